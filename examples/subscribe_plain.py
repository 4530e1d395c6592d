"""Follow a stream with nats-py alone, without any code of Heliograph.

It prints the position of each fact and keeps nothing; it begins behind the position `AFTER`.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator

import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

STREAM, SUBJECTS = "BILLING_pilot", "billing.pilot.*.*"


async def messages(streams: JetStreamContext, position: int) -> AsyncIterator[tuple[int, Msg]]:
    """Give every message behind a position, in order, through whatever happens to the broker."""
    while True:
        begin = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=position + 1,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=60,
        )
        try:
            consumer = await streams.pull_subscribe(SUBJECTS, stream=STREAM, config=begin)
            while True:
                for message in await consumer.fetch(100, timeout=2):
                    sequence = message.metadata.sequence.stream
                    if sequence != position + 1:
                        raise RuntimeError(f"{position + 1} is missing, {sequence} came")
                    position = sequence
                    yield position, message
        except nats.errors.Error:
            # Nothing new, or the broker was away and forgot us: begin anew behind the position.
            await asyncio.sleep(0.2)


def read(message: Msg, deployment: str) -> dict[str, object]:
    """Read a fact, and refuse one that does not belong where it stands."""
    fact: dict[str, str] = json.loads(message.data)
    name = message.subject.rpartition(".")[2]
    belongs = fact["source"] == f"/{deployment}/{STREAM}" and fact["subject"] == message.subject
    if not belongs or fact["type"].split(".")[1] != name:
        raise RuntimeError(f"{message.subject}: not a fact of {STREAM}")
    return dict(fact)


async def main() -> None:
    """Follow the stream for ever."""
    client = await nats.connect(
        os.environ["NATS_URL"],
        user="auditor",
        password=os.environ["NATS_PASSWORD"],
        max_reconnect_attempts=-1,
    )
    streams = client.jetstream(prefix="FACTS.API")
    async for position, message in messages(streams, int(os.environ.get("AFTER", "0"))):
        fact = read(message, os.environ["DEPLOYMENT"])
        digest = hashlib.sha256(message.data).hexdigest()[:32]
        print(f"{STREAM}:{position}:{digest} {fact['type']}", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
