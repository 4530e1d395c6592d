"""The raw parts: what the machine can do with nothing of ours around it."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import asyncpg
import nacl.bindings

from bench.measure import Stopwatch
from bench.world import START
from libs.events.ids import public_key_of
from libs.events.jws import MessageType, parse
from libs.eventstore import Frame, JetStreamStore

VERIFY_TIMES: Final = 3
"""How often all is verified; it takes less than a second, and the best is what the cores can do."""


def verify_rate(signed: Sequence[bytes], message_type: MessageType) -> float:
    """Bare Ed25519 verifications a second, on threads on all cores."""
    opened = [parse(text, message_type) for text in signed]
    messages = [(each.signature + each.signing_input, public_key_of(each.kid)) for each in opened]
    cores = os.cpu_count() or 1

    def verify(part: Sequence[tuple[bytes, bytes]]) -> None:
        for message, key in part:
            nacl.bindings.crypto_sign_open(message, key)

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(verify, [messages[:10]] * cores))
        best = 0.0
        for _ in range(VERIFY_TIMES):
            watch = Stopwatch()
            list(pool.map(verify, [messages[core::cores] for core in range(cores)]))
            best = max(best, len(messages) / watch.seconds)
        return best


async def append_rate(
    store: JetStreamStore, stream: str, rows: Sequence[Frame], size: int
) -> float:
    """Bare atomic-batch appends, facts a second: ready frames, written in one go."""
    expected = await store.end(stream)
    watch = Stopwatch()
    for at in range(0, len(rows), size):
        expected = await store.append(stream, rows[at : at + size], expected=expected)
    return len(rows) / watch.seconds


async def read_rate(store: JetStreamStore, stream: str) -> float:
    """Bare stream reading by overlapping pulls, facts a second."""
    end, count = await store.end(stream), 0
    watch = Stopwatch()
    async for batch in store.read(stream, until=end):
        count += len(batch)
    return count / watch.seconds


async def copy_rate(dsn: str, rows: int) -> float:
    """Bare `COPY` of rows like those of a reading, in batches of 1,000, a commit each."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "CREATE TABLE bare (stream text, sequence bigint, meter text, seq bigint, "
            "at timestamptz, energy bigint[], after bigint)"
        )
        records = [
            ("READINGS_0", n, f"m{n % 1000}", n // 1000, START, [100, 100, 100, 100], n * 400)
            for n in range(rows)
        ]
        watch = Stopwatch()
        for at in range(0, rows, 1_000):
            async with connection.transaction():
                await connection.copy_records_to_table("bare", records=records[at : at + 1_000])
        seconds = watch.seconds
        await connection.execute("DROP TABLE bare")
    finally:
        await connection.close()
    return rows / seconds
