"""What growth costs: ten times the meters, ten times the history, memory of the process."""

import asyncio
from pathlib import Path

import psutil

from bench.ingest import Load, connect
from bench.measure import Results, Row
from bench.world import enrol, meter_names, running, sign_reports

BAR = 1.3
"""Most cost per event after growing ten times, as a multiple of the cost before."""

MEASURED = 5_000
"""Reports whose cost is measured."""


async def _cost(folder: Path, meters: int, history: int) -> tuple[float, float]:
    """CPU seconds of ingest per report, and its memory in MiB, after a history."""
    names = meter_names(meters)
    async with running(folder, meters) as stack:
        await enrol(stack, names)
    async with running(folder, meters, "ingest") as stack:
        client = await connect(stack)
        load = Load(client)
        await load.start()
        if history:
            await load.send(sign_reports(names, 1, history))
        pid = stack.pids["ingest"]
        assert pid is not None
        process = psutil.Process(pid)
        rounds = max(1, MEASURED // meters)
        signed = sign_reports(names, history + 1, rounds)
        before = process.cpu_times()
        await load.send(signed)
        await asyncio.sleep(0.2)
        after = process.cpu_times()
        memory = process.memory_info().rss / 2**20
        await client.close()
    spent = (after.user - before.user) + (after.system - before.system)
    return spent / len(signed), memory


async def run(folder: Path, results: Results, *, meters: int, rounds: int) -> None:
    """Measure the cost per event as meters and history grow."""
    first, memory = await _cost(folder / "g1", meters, rounds)
    results.add(Row("CPU of ingest per report", first * 1e6, "us"))
    results.add(Row("memory of ingest", memory, "MiB"))
    more, memory = await _cost(folder / "g2", meters * 10, 1)
    path = "... ten times the meters"
    results.add(Row(path, more * 1e6, "us", more / first, "first row", BAR, at_most=True))
    results.add(Row("... its memory", memory, "MiB"))
    longer, memory = await _cost(folder / "g3", meters, rounds * 10)
    ratio = longer / first
    path = "... ten times the history"
    results.add(Row(path, longer * 1e6, "us", ratio, "first row", BAR, at_most=True))
    results.add(Row("... its memory", memory, "MiB"))
