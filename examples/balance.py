"""Keep a book yourself: what members have, free and held, from nothing but the facts.

Claims arise in BILLING and are cleared in LEDGER, so where there are invoices both are needed. An
invoice stands before its payment: with the end of LEDGER taken first, BILLING holds what it needs.
"""

import asyncio
import os
import sys

from heliograph.subscribe import Subscriber
from libs.rules.postings import Books, postings


async def main(members: list[str]) -> None:
    """Fold both streams as far as they reach now, and tell what these members have."""
    books = Books()
    async with Subscriber.connect(
        url=os.environ["NATS_URL"],
        user="auditor",
        password=os.environ["NATS_PASSWORD"],
        deployment=os.environ["DEPLOYMENT"],
    ) as subscriber:
        ledger_end = await subscriber.end("LEDGER_pilot")
        billing_end = await subscriber.end("BILLING_pilot")
        for stream, end in (("BILLING_pilot", billing_end), ("LEDGER_pilot", ledger_end)):
            async for recorded in subscriber.facts(stream, until=end):
                books.post(postings(recorded.fact))
    for member in members:
        for asset, own, unit in (("W", "kwh", "Wh"), ("U:TOKEN", "wallet", "stroops")):
            free = books.balance(asset, f"{own}:{member}")
            held = sum(books.accounts(asset, f"hold:{member}:").values())
            print(f"{member}: {free} {unit} free, {held} {unit} held")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
