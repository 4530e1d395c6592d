"""Accounts of the books: balances now and at a moment, and statements.

Money, title and energy are posted by the ledger alone, claims by billing and the ledger together:
an account is what both wrote. A hold has its own name, `hold:<member>:<what for>`, as in the
postings; `hold:<member>` is all of a member's holds.
"""

from collections.abc import Mapping
from datetime import datetime
from itertools import accumulate
from typing import Any, Final

from services.gateway.database import Connection
from services.gateway.filters import StatementFilter
from services.gateway.paging import Key, write_cursor
from services.gateway.shapes.trading import AccountBalance, Statement, StatementLine

_BALANCES: Final = """
SELECT asset, sum(balance)::bigint AS balance FROM (
    SELECT asset, balance FROM account_balance WHERE stream = $1 AND account = $3
    UNION ALL
    SELECT asset, balance FROM claim_balance WHERE stream = $2 AND account = $3
) half
GROUP BY asset ORDER BY asset
"""

_ENTRIES: Final = """
SELECT * FROM (
    SELECT * FROM entry WHERE stream = $1 AND account = $3
    UNION ALL
    SELECT * FROM claim_entry WHERE stream = $2 AND account = $3
) either
WHERE ($4::text IS NULL OR held_for = $4)
"""

_BALANCES_AT: Final = f"""
SELECT asset, sum(change)::bigint AS balance FROM ({_ENTRIES}) line
WHERE $5::timestamptz IS NULL OR at <= $5
GROUP BY asset ORDER BY asset
"""  # noqa: S608 - the names are ours

_OPENING: Final = f"""
SELECT COALESCE(sum(change), 0)::bigint FROM ({_ENTRIES}) line
WHERE asset = $5 AND (
    at < $6::timestamptz
    OR ($7::timestamptz IS NULL OR at < $7)
        AND (at, sequence, part, stream) <= ($8::timestamptz, $9::bigint, $10::integer, $11::text)
)
"""  # noqa: S608 - the names are ours

_LINES: Final = f"""
SELECT * FROM ({_ENTRIES}) line
WHERE asset = $5
AND ($6::timestamptz IS NULL OR at >= $6) AND ($7::timestamptz IS NULL OR at < $7)
AND ($8::timestamptz IS NULL
    OR (at, sequence, part, stream) > ($8, $9::bigint, $10::integer, $11::text))
ORDER BY at, sequence, part, stream
LIMIT $12
"""  # noqa: S608 - the names are ours

_PARTS: Final = 1 << 20
"""More than the entries of any fact: sequence and entry make one number of a cursor."""


def _places(book: str, account: str) -> tuple[str, str, str, str | None]:
    """Streams of both halves, the account of the views, and what of it is meant."""
    of_views, held_for = account, None
    if account.startswith("hold:"):
        member, _, held_for = account.removeprefix("hold:").partition(":")
        of_views = f"hold:{member}"
    return f"LEDGER_{book}", f"BILLING_{book}", of_views, held_for or None


async def balances(
    connection: Connection, book: str, account: str, at: datetime | None
) -> list[AccountBalance]:
    """Give what stands on an account, per asset, now or once all up to a moment had happened."""
    *place, held_for = _places(book, account)
    if at is None and held_for is None:
        rows = await connection.fetch(_BALANCES, *place)
    else:
        rows = await connection.fetch(_BALANCES_AT, *place, held_for, at)
    return [AccountBalance(account=account, **dict(row)) for row in rows]


async def statement(
    connection: Connection, book: str, account: str, wanted: StatementFilter, *, after: Key | None
) -> Statement:
    """Give the entries of an account in the order of their time, each with what it left."""
    sequence, part = divmod(after[2], _PARTS) if after else (None, None)
    behind = (after and after[0], sequence, part, after and after[1])
    which = (wanted.asset, wanted.from_at, wanted.until)
    asked: tuple[object, ...] = (*_places(book, account), *which, *behind)
    opening = int(await connection.fetchval(_OPENING, *asked))
    found = await connection.fetch(_LINES, *asked, wanted.limit + 1)
    rows = found[: wanted.limit]
    left = list(accumulate((row["change"] for row in rows), initial=opening))
    lines = [_line(row, balance) for row, balance in zip(rows, left[1:], strict=True)]
    cursor = None
    if len(found) > wanted.limit:
        last = rows[-1]
        cursor = write_cursor(
            (last["at"], last["stream"], last["sequence"] * _PARTS + last["part"])
        )
    return Statement(
        account=account,
        asset=wanted.asset,
        opening_balance=opening,
        count=len(lines),
        data=lines,
        closing_balance=left[-1],
        next_cursor=cursor,
    )


def _line(row: Mapping[str, Any], balance: int) -> StatementLine:
    own = {name: row[name] for name in StatementLine.model_fields if name != "balance"}
    return StatementLine(balance=balance, **own)
