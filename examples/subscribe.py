"""Sum up what each household was billed.

Kill it at any moment and start it again: it goes on where it was, and every invoice counts once,
because the sums are kept in one file with the position up to which they are right.
"""

import asyncio
import os
from pathlib import Path

from heliograph.subscribe import PositionFile, Subscriber
from libs.events import InvoiceIssued

STREAM = "BILLING_pilot"


async def main() -> None:
    """Follow the invoices of one book for ever."""
    kept = PositionFile(Path(os.environ["POSITIONS"]), STREAM)
    billed: dict[str, int] = kept.result or {}
    async with Subscriber.connect(
        url=os.environ["NATS_URL"],
        user="auditor",
        password=os.environ["NATS_PASSWORD"],
        deployment=os.environ["DEPLOYMENT"],
    ) as subscriber:
        async for recorded in subscriber.facts(STREAM, after=kept.position, name="InvoiceIssued"):
            invoice = recorded.fact
            assert isinstance(invoice, InvoiceIssued)
            who, stroops = invoice.recipient, invoice.total_stroops
            billed[who] = billed.get(who, 0) + stroops
            kept.keep(recorded.position, billed)
            print(f"{recorded.sequence} {invoice.invoice}: {who} owes {billed[who]}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
