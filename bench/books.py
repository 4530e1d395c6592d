"""What a large book costs: 100,000 members beside 100, and how soon it is back after a start."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import snapshots, trade_world
from bench.measure import Results, Row, Stopwatch
from bench.trade_load import Load
from bench.trade_world import Deal, signed_executes
from bench.trades import WINDOW, Cpu
from bench.world import running
from heliograph.stack import Stack

COST_BAR: Final = 1.3
"""CPU per command in the large book over that in the small one, at most."""

RECOVERY_BAR_S: Final = 5.0
"""Seconds from the start of the process until it decides again, from a snapshot, at most."""

REPLAY_MAX_S: Final = 600.0
"""Seconds in which a replay must be over."""


@dataclass(frozen=True, slots=True)
class BooksSize:
    """How large the books are."""

    small: int
    """Members of the small book."""
    large: int
    """Members of the large book."""
    facts: int
    """Facts of the large book before anything is measured, about."""
    measured: int
    """Commands whose cost is measured; twice as many are carried out, and if these are fewer than
    between two snapshots, all of them are replayed after the kill."""


async def run(folder: Path, results: Results, size: BooksSize) -> None:
    """Measure the cost per command in both books, then the recovery of the large one."""
    first = await _small(folder / "small", size)
    results.add(Row(f"CPU per execute, {size.small:,} members", first * 1e6, "us"))
    executed_count = max(0, size.facts - 2 * size.large) // 2
    executed = trade_world.deals(0, executed_count, size.large)
    to_do = trade_world.deals(executed_count, 2 * size.measured, size.large)
    async with running(folder / "large", 1, "ledger") as stack:
        await stack.stop_service("ledger")
        await trade_world.seed(stack, size.large, to_do, executed)
        del executed
        replay_s = await _started(stack)
        await snapshots.written(stack, size.facts)
        cost = await _cost(stack, to_do)
        path = f"... {size.large:,} members, {size.facts:,} facts"
        row = Row(path, cost * 1e6, "us", cost / first, "the small book", COST_BAR, at_most=True)
        results.add(row)
        results.add(Row(f"start by replay, {size.facts:,} facts", replay_s, "s"))
        if size.facts >= snapshots.EVERY:
            path = f"... killed {len(to_do):,} facts after a snapshot"
            _recovered(stack, results, path, await _killed(stack))
        await stack.stop_service("ledger")
        path = f"... from a snapshot, {size.facts:,} facts"
        _recovered(stack, results, path, await _started(stack))


async def _small(folder: Path, size: BooksSize) -> float:
    to_do = trade_world.deals(0, 2 * size.measured, size.small)
    async with running(folder, 1, "ledger") as stack:
        await stack.stop_service("ledger")
        await trade_world.seed(stack, size.small, to_do)
        await _started(stack)
        return await _cost(stack, to_do)


async def _cost(stack: Stack, deals: Sequence[Deal]) -> float:
    """CPU seconds of the ledger per command, of the second half of some."""
    load = await Load.connect(stack)
    half = len(deals) // 2
    await load.send(signed_executes(deals[:half]), trades=half, window=WINDOW)
    signed = signed_executes(deals[half:])
    before = Cpu.of(stack)
    await load.send(signed, trades=len(signed), window=WINDOW)
    after = Cpu.of(stack)
    await load.close()
    return (after.ledger - before.ledger) / len(signed)


async def _started(stack: Stack) -> float:
    """Seconds from the start of the ledger's process until it decides."""
    watch = Stopwatch()
    await stack.start_service("ledger", wait=False)
    await stack.wait_ready("ledger", timeout_s=REPLAY_MAX_S)
    return watch.seconds


async def _killed(stack: Stack) -> float:
    """Seconds from a kill of the ledger until the one that the stack starts instead decides."""
    watch = Stopwatch()
    stack.kill("ledger")
    await stack.wait_ready("ledger", timeout_s=REPLAY_MAX_S)
    return watch.seconds


def _recovered(stack: Stack, results: Results, path: str, seconds: float) -> None:
    """Tell how long a start took.

    Raises:
        RuntimeError: It did without a snapshot.
    """
    if not snapshots.is_used(stack):
        raise RuntimeError(f"the start did without a snapshot: {snapshots.events(stack)[-3:]}")
    row = Row(path, seconds, "s", seconds / RECOVERY_BAR_S, f"{RECOVERY_BAR_S:g} s")
    row.bar, row.at_most = 1.0, True
    results.add(row)
