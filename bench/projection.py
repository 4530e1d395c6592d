"""Fact -> visible row in Postgres: throughput beside bare reading and bare COPY, and lag."""

import asyncio
from pathlib import Path

import asyncpg

from bench import raw
from bench.measure import Results, Row, Stopwatch, percentile
from bench.world import frames, meter_names, readings, running, sign_reports, store_of
from heliograph.stack import Stack
from libs.eventstore import Frame, JetStreamStore

DEADLINE_S = 120.0
"""Seconds in which all rows must be visible."""

LAG_BATCH = 20
"""Facts per append while lag is measured."""


async def _visible(connection: "asyncpg.Connection[asyncpg.Record]", until: int) -> None:
    """Wait until the view of READINGS has come to a position."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = await connection.fetchval(
                "SELECT sequence FROM projection_position WHERE stream = 'READINGS_0'"
            )
            if found is not None and found >= until:
                return
            await asyncio.sleep(0.002)


async def _connected(stack: Stack) -> "asyncpg.Connection[asyncpg.Record]":
    connection = await asyncpg.connect(stack.urls.postgres)
    schema = await connection.fetchval(
        "SELECT table_schema FROM information_schema.tables "
        "WHERE table_name = 'projection_position' LIMIT 1"
    )
    await connection.execute(f'SET search_path TO "{schema}", public')
    return connection


async def run(folder: Path, results: Results, *, meters: int, rounds: int) -> float:
    """Measure the path and its raw parts.

    Args:
        folder: For the stack's data; new.
        results: Where rows are added.
        meters: Number of meters.
        rounds: Readings of each.

    Returns:
        Facts a second.
    """
    signed = sign_reports(meter_names(meters), 1, rounds)
    numbers: dict[str, int] = {}
    rows = frames("READINGS_0", readings(signed, meters), numbers)
    async with running(folder, meters) as stack, store_of(stack, "ingest") as store:
        await raw.append_rate(store, "READINGS_0", rows, 1_000)
    async with running(folder, meters, "projection") as stack:
        connection = await _connected(stack)
        await _visible(connection, len(rows))
        async with store_of(stack, "auditor") as store:
            read = await raw.read_rate(store, "READINGS_0")
        copy = await raw.copy_rate(stack.urls.postgres, len(rows))
        results.add(Row("bare stream reading", read, "facts/s"))
        results.add(Row("bare COPY", copy, "rows/s"))
        rate = await _catch_up(stack, connection, len(rows))
        slower = min(read, copy)
        results.add(
            Row("fact -> visible row", rate, "facts/s", rate / slower, "slower raw part", 0.5)
        )
        more = frames("READINGS_0", readings(signed, meters), numbers)
        async with store_of(stack, "ingest") as store:
            await _lag(store, connection, more, rate / 2, results)
        await connection.close()
    return rate


async def _catch_up(
    stack: Stack, connection: "asyncpg.Connection[asyncpg.Record]", count: int
) -> float:
    """Seconds in which a projection that was away works off everything from the beginning."""
    await stack.stop_service("projection")
    await connection.execute("DELETE FROM projection_position WHERE stream = 'READINGS_0'")
    for table in ("reading", "meter_day", "reading_interval"):
        exists = await connection.fetchval("SELECT to_regclass($1)", table)
        if exists:
            await connection.execute(f"TRUNCATE {table}")
    await stack.start_service("projection", wait=False)
    await _visible(connection, 1)
    begun = await connection.fetchval(
        "SELECT sequence FROM projection_position WHERE stream = 'READINGS_0'"
    )
    watch = Stopwatch()
    await _visible(connection, count)
    return float(count - begun) / watch.seconds


async def _lag(
    store: JetStreamStore,
    connection: "asyncpg.Connection[asyncpg.Record]",
    rows: list[Frame],
    rate: float,
    results: Results,
) -> None:
    """Delays from a durable append to its visible rows, at half the load."""
    expected, delays_s = await store.end("READINGS_0"), []
    watch, sent = Stopwatch(), 0
    for at in range(0, min(len(rows), int(rate * 4)), LAG_BATCH):
        if (ahead_s := sent / rate - watch.seconds) > 0:
            await asyncio.sleep(ahead_s)
        part = rows[at : at + LAG_BATCH]
        expected = await store.append("READINGS_0", part, expected=expected)
        sent += len(part)
        if (at // LAG_BATCH) % 10 == 0:
            one = Stopwatch()
            await _visible(connection, expected)
            delays_s.append(one.seconds)
    for part_of_all, name in ((0.5, "p50"), (0.99, "p99")):
        delay_ms = percentile(delays_s, part_of_all) * 1_000
        results.add(Row(f"fact -> visible at half load, {name}", delay_ms, "ms"))
