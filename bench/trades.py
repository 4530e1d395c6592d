"""A trade: signed `ExecuteTrade` -> durable and answered, beside PostgreSQL and the raw parts.

Commands go over NATS to a ledger that is a process of its own, on a broker that syncs each append;
they are signed before, and their trades created before. PostgreSQL does the same trades with the
same number of members on the same machine, one after the other, never both at once.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from bench import eventsourced, pgbench, raw, snapshots, trade_world
from bench.measure import Results, Row, percentile
from bench.trade_load import Load
from bench.trade_world import Deal, signed_batch, signed_executes
from bench.world import DEPLOYMENT, running, store_of
from heliograph.stack import Stack, StackOptions

WINDOW: Final = 1_000
"""Most single commands on their way at once, as a gateway with many members would have."""

BATCH: Final = 500
"""Trades of a signed batch."""

BATCH_WINDOW: Final = 4
"""Most batches on their way at once."""

AT_HALF_LOAD_S: Final = 5.0
"""Seconds for which half of the reached rate is kept up, if there are trades enough."""

SINGLE_BAR: Final = 2.0
"""Trades by single commands over those of PostgreSQL by plain statements, at least; below 1.2 is
not done."""

BATCHED_BAR: Final = 4.0
"""Trades in signed batches over those of PostgreSQL by plain statements, at least; below 3 is not
done."""

RAW_BAR: Final = 0.5
"""Trades by single commands over the slower raw part, at least."""

P99_BAR_MS: Final = 50.0
"""Time to the answer at half load, 99th percentile in ms, at most."""


@dataclass(frozen=True, slots=True)
class TradesSize:
    """How much is traded."""

    members: int
    """Members, here and in PostgreSQL."""
    trades: int
    """Trades of each run."""
    warm: int
    """Trades before the first run."""
    eventsourced: int
    """Trades with the library, which takes longer for each."""


@dataclass(frozen=True, slots=True)
class _Postgres:
    """Trades a second in PostgreSQL."""

    statements: float
    """By the plain statements of a transaction, one after the other, as applications trade."""
    call: float
    """By one call of a function in the database, the toughest form."""


_STATEMENTS: Final = "plain statements"

_WAYS: Final = (
    (pgbench.STATEMENTS, _STATEMENTS, False),
    (pgbench.FUNCTION, "one call", False),
    (pgbench.FUNCTION, "one call, lean tables", True),
)
"""Script, what it is called, and whether foreign keys and indexes for readers are left out."""


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time that each process has spent so far, in seconds."""

    ledger: float
    broker: float
    load: float

    @classmethod
    def of(cls, stack: Stack) -> "Cpu":
        """Look at a stack's processes, and at this one, which makes the load."""
        return cls(_spent(stack, "ledger"), _spent(stack, "broker"), time.process_time())


def _spent(stack: Stack, name: str) -> float:
    pid = stack.pids[name]
    assert pid is not None
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def run(folder: Path, results: Results, size: TradesSize) -> None:
    """Measure PostgreSQL, the library, the raw parts, and then ours."""
    others = await _postgres(folder / "postgres", results, size)
    warm = trade_world.deals(0, size.warm, size.members)
    full = trade_world.deals(size.warm, size.trades, size.members)
    half = trade_world.deals(size.warm + size.trades, size.trades, size.members)
    first = size.warm + 2 * size.trades
    batches = [
        trade_world.deals_of_one_buyer(at, BATCH, size.members)
        for at in range(first, first + size.trades, BATCH)
    ]
    signed = signed_executes(full)
    slower = await _raw_parts(folder / "raw", results, signed, full)
    async with running(folder / "trades", 1, "ledger") as stack:
        await stack.stop_service("ledger")
        every = [*warm, *full, *half, *(deal for batch in batches for deal in batch)]
        await trade_world.seed(stack, size.members, every)
        await stack.start_service("ledger")
        await snapshots.written(stack, len(every))
        load = await Load.connect(stack)
        await load.send(signed_executes(warm), trades=len(warm), window=WINDOW)
        rate = await _singles(stack, load, results, signed, others, slower)
        await _at_half_load(load, results, half, rate / 2)
        await _batched(stack, load, results, batches, others)
        await load.close()


async def _postgres(folder: Path, results: Results, size: TradesSize) -> _Postgres:
    """Trades a second in PostgreSQL, and with the library on it."""
    options = StackOptions(
        data=folder, deployment=DEPLOYMENT, services=(), infrastructure=("postgres",)
    )
    rates: list[float] = []
    async with Stack(options) as stack:
        for script, how, lean in _WAYS:
            found = await pgbench.run(
                stack, script, members=size.members, trades=size.trades, lean=lean
            )
            results.add(Row(f"PostgreSQL trade, {how}", found.rate, "trades/s"))
            results.add(Row(f"... {how}: CPU of the server", found.server_us, "us"))
            results.add(Row(f"... {how}: CPU of pgbench", found.load_us, "us"))
            rates.append(found.rate)
        library = await eventsourced.run(
            stack.urls.postgres, members=size.members, trades=size.eventsourced
        )
        row = Row("eventsourcing library on PostgreSQL", library, "trades/s")
        row.ratio, row.of = library / rates[0], _STATEMENTS
        results.add(row)
    return _Postgres(rates[0], rates[1])


async def _raw_parts(
    folder: Path, results: Results, signed: Sequence[bytes], deals: Sequence[Deal]
) -> float:
    """The slower of verifying the same commands and appending the same facts."""
    verify = raw.verify_rate(signed, "hg-command+jws")
    results.add(Row("bare verification of commands", verify, "1/s"))
    rows = trade_world.executed_frames(deals)
    async with running(folder, 1) as stack, store_of(stack, "ledger") as store:
        append = await raw.append_rate(store, trade_world.STREAM, rows, 1_000)
    results.add(Row("bare appends of trades", append, "facts/s"))
    return min(verify, append)


async def _singles(
    stack: Stack,
    load: Load,
    results: Results,
    signed: Sequence[bytes],
    others: _Postgres,
    slower: float,
) -> float:
    """Trades a second by single commands, beside PostgreSQL and the slower raw part."""
    before = Cpu.of(stack)
    rate = len(signed) / await load.send(signed, trades=len(signed), window=WINDOW)
    after = Cpu.of(stack)
    path = "signed execute -> durable, answered"
    _beside_postgres(results, path, rate, others, SINGLE_BAR)
    path = "... beside its raw parts"
    results.add(Row(path, rate, "trades/s", rate / slower, "slower raw part", RAW_BAR))
    _cpu_rows(results, "single", before, after, len(signed))
    return rate


def _beside_postgres(
    results: Results, path: str, rate: float, others: _Postgres, bar: float
) -> None:
    """The bar is against plain statements; the call is the toughest form, and told beside."""
    results.add(Row(path, rate, "trades/s", rate / others.statements, _STATEMENTS, bar))
    path = f"{path} (beside one call)"
    results.add(Row(path, rate, "trades/s", rate / others.call, "one call"))


def _cpu_rows(results: Results, how: str, before: Cpu, after: Cpu, trades: int) -> None:
    """What each process spends on a trade."""
    for name in ("ledger", "broker", "load"):
        spent = (getattr(after, name) - getattr(before, name)) / trades
        results.add(Row(f"... {how}: CPU of the {name}", spent * 1e6, "us"))


async def _at_half_load(load: Load, results: Results, deals: Sequence[Deal], rate: float) -> None:
    """Time to the answer when commands come on a timetable."""
    wanted = deals[: max(1, int(rate * AT_HALF_LOAD_S))]
    delays_s = await load.send_at(signed_executes(wanted), rate)
    results.add(Row("execute -> answer at half load, p50", percentile(delays_s, 0.5) * 1e3, "ms"))
    late_ms = percentile(delays_s, 0.99) * 1e3
    row = Row("execute -> answer at half load, p99", late_ms, "ms", late_ms / P99_BAR_MS)
    row.of, row.bar, row.at_most = f"{P99_BAR_MS:g} ms", 1.0, True
    results.add(row)


async def _batched(
    stack: Stack, load: Load, results: Results, batches: Sequence[Sequence[Deal]], others: _Postgres
) -> None:
    """Trades a second in signed batches."""
    signed = [signed_batch(batch) for batch in batches]
    trades = sum(map(len, batches))
    before = Cpu.of(stack)
    rate = trades / await load.send(signed, trades=trades, window=BATCH_WINDOW)
    after = Cpu.of(stack)
    path = f"signed batches of {BATCH} -> durable, answered"
    _beside_postgres(results, path, rate, others, BATCHED_BAR)
    _cpu_rows(results, "batched", before, after, trades)
