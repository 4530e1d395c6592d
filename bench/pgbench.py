"""The same trade in PostgreSQL, by pgbench: what ours is measured against.

One transaction notes the client's request id, locks the open trade and four accounts, moves energy
and money, writes a journal row for each, and marks the trade; see `bench/sql`. PostgreSQL runs as
it is installed: `fsync` and `synchronous_commit` on, each trade a commit of its own. It verifies no
signature and keeps no command.
"""

import asyncio
import re
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg
import psutil

from heliograph.postgres import programs
from heliograph.processes import plain_environment
from heliograph.stack import Stack

CLIENTS: Final = 16
"""Connections that trade at once."""

THREADS: Final = 2
"""Threads of pgbench that serve them."""

FUNCTION: Final = "function"
"""Script that asks for a trade by one call of a function."""

STATEMENTS: Final = "statements"
"""Script that asks for it by the plain statements of the transaction."""

WARM: Final = 20
"""Trades of each connection before those that are measured."""

SETTLED_S: Final = 0.3
"""Seconds after which the sessions of a run have ended, and count as the server's children."""

DEADLINE_S: Final = 120.0
"""Seconds in which a run must be over."""

_SQL: Final = Path(__file__).parent / "sql"
_SCHEMA: Final = "trading"


@dataclass(frozen=True, slots=True)
class Figures:
    """What pgbench reported."""

    rate: float
    """Trades a second, the time of connecting left out."""
    server_us: float
    """CPU time that the server spent on a trade, in us."""
    load_us: float
    """CPU time that pgbench spent on it, in us."""


async def run(
    stack: Stack, script: str, *, members: int, trades: int, lean: bool = False
) -> Figures:
    """Execute trades in new tables, each of them once.

    Args:
        stack: Its PostgreSQL runs.
        script: `FUNCTION` or `STATEMENTS`.
        members: Number of members.
        trades: About how many trades; the same number for each connection.
        lean: Without foreign keys and indexes that the trade itself does not need.

    Raises:
        RuntimeError: A trade failed, or the books do not hold each trade once.
    """
    each = max(1, trades // CLIENTS)
    count = (WARM + each) * CLIENTS
    dsn = stack.urls.postgres
    connection = await asyncpg.connect(dsn, server_settings={"search_path": _SCHEMA})
    try:
        await connection.execute(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
        await connection.execute(f"CREATE SCHEMA {_SCHEMA}")
        await connection.execute((_SQL / "schema.sql").read_text(encoding="utf-8"))
        if lean:
            await connection.execute((_SQL / "lean.sql").read_text(encoding="utf-8"))
        await connection.execute("SELECT seed($1, $2)", members, count)
        await connection.execute("VACUUM (ANALYZE) account, trade")
        await _pgbench(dsn, script, turn=0, each=WARM, count=count)
        before = await _spent(stack)
        output = await _pgbench(dsn, script, turn=WARM, each=each, count=count)
        after = await _spent(stack)
        await _check(connection, count)
        await connection.execute(f"DROP SCHEMA {_SCHEMA} CASCADE")
    finally:
        await connection.close()
    server, load = (
        (now - then) / (each * CLIENTS) * 1e6 for now, then in zip(after, before, strict=True)
    )
    return Figures(_figure("tps = ", output), server, load)


async def _spent(stack: Stack) -> tuple[float, float]:
    """CPU seconds so far of the server with its children, and of all pgbench that ended."""
    await asyncio.sleep(SETTLED_S)
    pid = stack.pids["postgres"]
    assert pid is not None
    postmaster = psutil.Process(pid)
    own = postmaster.cpu_times()
    alive = [child.cpu_times() for child in postmaster.children()]
    server = own.user + own.system + own.children_user + own.children_system
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return server + sum(each.user + each.system for each in alive), ended.ru_utime + ended.ru_stime


async def _pgbench(dsn: str, script: str, *, turn: int, each: int, count: int) -> str:
    """Run a script `each` times on each connection, beginning with a turn; gives the report."""
    variables = {"turn": turn - 1, "clients": CLIENTS, "trades": count}
    process = await asyncio.create_subprocess_exec(
        str(programs() / "pgbench"),
        "--no-vacuum",
        "--protocol=prepared",
        f"--client={CLIENTS}",
        f"--jobs={THREADS}",
        f"--transactions={each}",
        f"--file={_SQL / f'{script}.pgbench'}",
        *(f"--define={name}={value}" for name, value in variables.items()),
        dsn,
        env={**plain_environment(), "PGOPTIONS": f"-c search_path={_SCHEMA}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(DEADLINE_S):
        raw, _ = await process.communicate()
    output = raw.decode("utf-8", "replace")
    if process.returncode != 0 or "failed transactions: 0 " not in output:
        raise RuntimeError(f"pgbench failed: {output[-1000:]}")
    return output


async def _check(connection: "asyncpg.Connection[asyncpg.Record]", count: int) -> None:
    """Each trade is executed and stands in the journal; nothing was made or lost."""
    row = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM trade JOIN request ON request.trade = trade.id"
        "  WHERE status = 'executed'),"
        " (SELECT count(DISTINCT (trade, debit)) FROM entry),"
        " (SELECT bool_and(balance = 10000000000 + coalesce(moved, 0)) FROM account LEFT JOIN"
        " (SELECT account, sum(amount) AS moved FROM (SELECT credit, amount FROM entry UNION ALL"
        "  SELECT debit, -amount FROM entry) AS both_sides (account, amount) GROUP BY account)"
        " AS sums ON sums.account = id)"
    )
    if row is None or tuple(row) != (count, 2 * count, True):
        raise RuntimeError(f"the books hold {row} of {count} trades")


def _figure(before: str, output: str) -> float:
    """The number that follows some words."""
    found = re.search(re.escape(before) + r"([\d.]+)", output)
    if found is None:
        raise RuntimeError(f"pgbench reported no {before!r}: {output[-1000:]}")
    return float(found[1])
