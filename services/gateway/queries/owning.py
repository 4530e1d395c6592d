"""Questions about coming to own: systems, holdings, agreements, lateness, prices."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final, TypeVar

from libs.rules.periods import local_day
from libs.rules.returns import payoff_stroops
from libs.rules.stages import STAGES
from services.gateway.database import Connection
from services.gateway.paging import Key, cut, next_id
from services.gateway.queries.community import now_of
from services.gateway.queries.listing import Conditions
from services.gateway.shapes import Page, Shape
from services.gateway.shapes.owning import (
    AgreementState,
    CreditNote,
    Draft,
    FeedPrice,
    FeedRate,
    FeedState,
    HoldingState,
    Notice,
    SupplyState,
    SuspendedReceipt,
    SystemState,
    TariffVersion,
)
from services.gateway.units import amount, percent

S = TypeVar("S", bound=Shape)
Row = Mapping[str, Any]

TOKENS_SHOWN: Final = 20
"""Newest token numbers that are told of a holding."""

_TOKENS: Final = """
SELECT device, kind, days, token_count AS count FROM supply_token
WHERE holding = $1 AND stream = $2 ORDER BY sequence DESC LIMIT $3
"""

_NEXT_DAY: Final = """
SELECT (SELECT max(until_day) FROM return_accrued
        WHERE agreement = $1 AND stream = 'LEDGER_' || $2) AS accrued_until,
       (SELECT min(advanced_at) FROM stage_advanced
        WHERE system = $3 AND to_stage = 7 AND stream = 'LEDGER_' || $2) AS operates_since
"""


async def _page(
    connection: Connection, sql: str, conditions: Conditions, order: str, limit: int
) -> Sequence[Row]:
    """One row more than the page holds, if there is one."""
    arguments = [*conditions.arguments, limit + 1]
    found: Sequence[Row] = await connection.fetch(
        f"{sql} WHERE {conditions} ORDER BY {order} LIMIT ${len(arguments)}", *arguments
    )
    return found


def _shape(kind: type[S], row: Row, **more: Any) -> S:
    """A shape from a row; texts of money stand beside their integers, JSON is read."""
    values: dict[str, Any] = {}
    for name in kind.model_fields:
        if name in more:
            values[name] = more[name]
        elif name in row.keys():  # noqa: SIM118 - a record is no mapping
            values[name] = _value(row[name], kind, name)
        elif f"{name}_stroops" in row.keys():  # noqa: SIM118
            values[name] = amount(row[f"{name}_stroops"])
    return kind.model_validate(values)


def _value(value: Any, kind: type[S], name: str) -> Any:
    annotation = str(kind.model_fields[name].annotation)
    is_json = isinstance(value, str) and "dict[" in annotation
    return json.loads(value) if is_json else value


async def systems(
    connection: Connection, *, book: str, system: str | None, limit: int, after: Key | None
) -> Page[SystemState]:
    """Systems of a book, by id."""
    conditions = Conditions(book)
    conditions.add("system = ?", system)
    conditions.add("system > ?", after and after[1])
    rows = await _page(
        connection, "SELECT * FROM (SELECT * FROM system_state WHERE book = $1) found",
        conditions, "system", limit,
    )  # fmt: skip
    items = [_shape(SystemState, row, stage_name=STAGES[row["stage"]].name) for row in rows[:limit]]
    return Page(items=items, next_cursor=next_id([row["system"] for row in rows], limit))


async def holdings(
    connection: Connection,
    *,
    book: str,
    holding: str | None = None,
    system: str | None = None,
    holder: str | None = None,
    limit: int = 1,
    after: Key | None = None,
) -> Page[HoldingState]:
    """Holdings of a book, by id."""
    conditions = Conditions(book)
    conditions.add("holding = ?", holding)
    conditions.add("system = ?", system)
    conditions.add("holder = ?", holder)
    conditions.add("holding > ?", after and after[1])
    rows = await _page(
        connection, "SELECT * FROM (SELECT * FROM holding_state WHERE book = $1) found",
        conditions, "holding", limit,
    )  # fmt: skip
    items = [
        _shape(HoldingState, row, own_percent=percent(row["own_shares"], row["units"]))
        for row in rows[:limit]
    ]
    return Page(items=items, next_cursor=next_id([row["holding"] for row in rows], limit))


async def supply(connection: Connection, book: str, holding: str) -> SupplyState | None:
    """What a site's relay follows; `None` when the holding is not projected."""
    row = await connection.fetchrow(
        "SELECT holding, stream, supply FROM holding_state WHERE book = $1 AND holding = $2",
        book,
        holding,
    )
    if row is None:
        return None
    place = await connection.fetchrow(
        "SELECT stream, sequence FROM supply_change WHERE holding = $1 AND stream = $2 "
        "ORDER BY sequence DESC LIMIT 1",
        holding,
        row["stream"],
    )
    tokens = await connection.fetch(_TOKENS, holding, row["stream"], TOKENS_SHOWN)
    return SupplyState(
        holding=holding,
        state=row["supply"],
        position=None if place is None else f"{place['stream']}:{place['sequence']}",
        tokens=[dict(token) for token in tokens],
    )


async def agreements(
    connection: Connection,
    *,
    book: str,
    agreement: str | None = None,
    holder: str | None = None,
    system: str | None = None,
    limit: int = 1,
    after: Key | None = None,
) -> Page[AgreementState]:
    """Agreements of a book, by id, each with what would pay it off today."""
    conditions = Conditions(book)
    conditions.add("agreement = ?", agreement)
    conditions.add("holder = ?", holder)
    conditions.add("system = ?", system)
    conditions.add("agreement > ?", after and after[1])
    rows = await _page(
        connection, "SELECT * FROM (SELECT * FROM agreement_state WHERE book = $1) found",
        conditions, "agreement", limit,
    )  # fmt: skip
    now = await now_of(connection)
    items = [await _agreement(connection, row, now) for row in rows[:limit]]
    return Page(items=items, next_cursor=next_id([row["agreement"] for row in rows], limit))


async def _agreement(connection: Connection, row: Row, now: datetime | None) -> AgreementState:
    payoff = 0
    if row["holding_status"] == "HELD":
        days = await _open_days(connection, row, now)
        payoff = payoff_stroops(
            row["principal_stroops"], row["accrued_return_stroops"], days, row["return_ppm_year"]
        )
    return _shape(
        AgreementState,
        row,
        status=row["holding_status"],
        own_percent=percent(row["own_shares"], row["units"] or 0),
        payoff_stroops=payoff,
        payoff=amount(payoff),
        standing_order_stroops=row["standing_order_stroops"],
    )


async def _open_days(connection: Connection, row: Row, now: datetime | None) -> int:
    """Local days, today included, for which no return is booked yet."""
    found = await connection.fetchrow(_NEXT_DAY, row["agreement"], row["book"], row["system"])
    if now is None or found is None or found["operates_since"] is None:
        return 0
    zone = row["time_zone"]
    first: date = max(row["first_day"], local_day(found["operates_since"], zone))
    begin = found["accrued_until"] or first
    return max(0, (local_day(now, zone) + timedelta(days=1) - begin).days)


async def notices(
    connection: Connection, *, book: str, agreement: str | None, limit: int, after: Key | None
) -> Page[Notice]:
    """Notices of lateness, newest first."""
    conditions = Conditions(book)
    conditions.add("agreement = ?", agreement)
    at, stream, sequence = after or (None, None, None)
    conditions.add("(sent_at, stream, sequence) < (?, ?, ?)", at, stream, sequence)
    rows = await _page(
        connection, "SELECT * FROM (SELECT * FROM notice_list WHERE book = $1) found",
        conditions, "sent_at DESC, stream DESC, sequence DESC", limit,
    )  # fmt: skip
    keyed = [((row["sent_at"], row["stream"], row["sequence"]), row) for row in rows]
    return Page(items=[_shape(Notice, row) for row in rows[:limit]], next_cursor=cut(keyed, limit))


_CREDIT_NOTES: Final = """
SELECT * FROM (
    SELECT credit_note.*, book_of(credit_note.stream) AS book, newer.invoice AS replaced_by
    FROM credit_note
    LEFT JOIN LATERAL (
        SELECT invoice FROM invoice found
        WHERE found.replaces = credit_note.invoice AND found.stream = credit_note.stream
        ORDER BY sequence LIMIT 1
    ) newer ON true
) found
"""


async def credit_notes(
    connection: Connection,
    *,
    book: str,
    agreement: str | None = None,
    invoice: str | None = None,
    limit: int,
    after: Key | None = None,
) -> Page[CreditNote]:
    """Credit notes, newest first."""
    conditions = Conditions()
    conditions.add("book = ?", book)
    conditions.add("agreement = ?", agreement)
    conditions.add("invoice = ?", invoice)
    at, stream, sequence = after or (None, None, None)
    conditions.add("(issued_at, stream, sequence) < (?, ?, ?)", at, stream, sequence)
    order = "issued_at DESC, stream DESC, sequence DESC"
    rows = await _page(connection, _CREDIT_NOTES, conditions, order, limit)
    keyed = [((row["issued_at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [_shape(CreditNote, row) for row in rows[:limit]]
    return Page(items=items, next_cursor=cut(keyed, limit))


_SUSPENDED: Final = """
SELECT * FROM receipt
WHERE stream = 'LEDGER_' || $1 AND agreement IS NULL
  AND NOT EXISTS (
      SELECT FROM suspense_settled settled
      WHERE settled.receipt = receipt.receipt AND settled.stream = receipt.stream
  )
  AND sequence > $2
ORDER BY sequence LIMIT $3
"""


async def suspended(
    connection: Connection, *, book: str, limit: int, after: Key | None
) -> Page[SuspendedReceipt]:
    """Receipts that wait in suspense, oldest first."""
    rows = await connection.fetch(_SUSPENDED, book, after[2] if after else 0, limit + 1)
    keyed = [((row["received_at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [_shape(SuspendedReceipt, row) for row in rows[:limit]]
    return Page(items=items, next_cursor=cut(keyed, limit))


async def drafts(
    connection: Connection, *, book: str, agreement: str | None, limit: int
) -> Page[Draft]:
    """Drafts whose invoice is not issued yet, by agreement."""
    conditions = Conditions()
    conditions.add("book = ?", book)
    conditions.add("agreement = ?", agreement)
    rows = await _page(
        connection, "SELECT * FROM draft_state", conditions, "agreement, sequence", limit
    )
    return Page(items=[_shape(Draft, row) for row in rows[:limit]])


async def tariffs(
    connection: Connection, *, tariff: str | None, limit: int, after: Key | None
) -> Page[TariffVersion]:
    """Versions of tariffs, by tariff and version."""
    conditions = Conditions()
    conditions.add("tariff = ?", tariff)
    conditions.add("(tariff, version) > (?, ?)", after and after[1], after and after[2])
    rows = await _page(
        connection, "SELECT * FROM tariff_list", conditions, "tariff, version", limit
    )
    items = [_shape(TariffVersion, row) for row in rows[:limit]]
    keyed = [((row["published_at"], row["tariff"], row["version"]), row) for row in rows]
    return Page(items=items, next_cursor=cut(keyed, limit))


async def feeds(connection: Connection, *, limit: int, after: Key | None) -> Page[FeedState]:
    """Feeds, by id."""
    conditions = Conditions()
    conditions.add("feed > ?", after and after[1])
    rows = await _page(connection, "SELECT * FROM feed_state", conditions, "feed", limit)
    items = [_shape(FeedState, row) for row in rows[:limit]]
    return Page(items=items, next_cursor=next_id([row["feed"] for row in rows], limit))


async def prices(
    connection: Connection,
    *,
    feed: str,
    between: tuple[datetime | None, datetime | None],
    limit: int,
    after: Key | None,
) -> Page[FeedPrice]:
    """Prices of a feed, oldest first."""
    conditions = Conditions()
    conditions.add("feed = ?", feed)
    conditions.add("until_at > ?", between[0])
    conditions.add("from_at < ?", between[1])
    at, stream, sequence = after or (None, None, None)
    conditions.add("(from_at, stream, sequence) > (?, ?, ?)", at, stream, sequence)
    rows = await _page(
        connection, "SELECT * FROM price_list", conditions, "from_at, stream, sequence", limit
    )
    keyed = [((row["from_at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [_shape(FeedPrice, row) for row in rows[:limit]]
    return Page(items=items, next_cursor=cut(keyed, limit))


async def rates(
    connection: Connection, *, feed: str, limit: int, after: Key | None
) -> Page[FeedRate]:
    """Rates of a feed, newest first."""
    conditions = Conditions()
    conditions.add("feed = ?", feed)
    at, stream, sequence = after or (None, None, None)
    conditions.add("(from_at, stream, sequence) < (?, ?, ?)", at, stream, sequence)
    rows = await _page(
        connection,
        "SELECT * FROM rate_list",
        conditions,
        "from_at DESC, stream DESC, sequence DESC",
        limit,
    )
    keyed = [((row["from_at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [_shape(FeedRate, row) for row in rows[:limit]]
    return Page(items=items, next_cursor=cut(keyed, limit))
