"""Trades, orders, slots and transfers."""

import json
from collections.abc import Mapping
from typing import Any, Final

from libs.events.quantities import STROOPS_PER_UNIT, WH_PER_KWH
from services.gateway.database import Connection
from services.gateway.filters import OrderFilter, SlotFilter, TradeFilter
from services.gateway.paging import Key, cut
from services.gateway.queries.listing import Conditions, Sorting, page
from services.gateway.shapes.trading import ListAnswer, Order, Slot, Trade, TransferStep

_TRADES: Final = """
SELECT * FROM (
    SELECT made.*, made.created_at AS made_at, COALESCE(ended.status, 'pending') AS status,
        ended.reason, ended.ended_at
    FROM trade made
    LEFT JOIN trade_ended ended ON ended.trade = made.trade AND ended.stream = made.stream
        AND ended.sequence <= $2
    WHERE made.stream = $1
) trades
"""

_COLUMNS: Final = {
    "timestamp": "sequence",
    "amount": "energy_wh",
    "pricePerUnit": "price_stroops_per_kwh",
    "totalPrice": "total_stroops",
}

_NOW: Final = 2**63 - 1
"""A position after every other: as it stands now."""

_ORDERS: Final = """
SELECT placed.*, ended.reason, cleared.cleared_at, (
    SELECT COALESCE(sum(energy_wh), 0)::bigint FROM trade_ended matched
    WHERE matched.stream = placed.stream AND matched.slot_at = placed.slot_at
    AND placed.order_id IN (matched.bid, matched.offer)
) AS matched_wh
FROM market_order placed
LEFT JOIN market_order_ended ended
    ON ended.order_id = placed.order_id AND ended.stream = placed.stream
LEFT JOIN LATERAL (
    SELECT cleared_at FROM slot_cleared
    WHERE slot_cleared.slot_at = placed.slot_at AND slot_cleared.stream = placed.stream LIMIT 1
) cleared ON true
WHERE placed.stream = $1
AND ($2::timestamptz IS NULL OR placed.slot_at = $2)
AND ($3::text IS NULL OR placed.member = $3)
AND ($4::bigint IS NULL OR placed.sequence < $4)
ORDER BY placed.sequence DESC
LIMIT $5
"""

_SLOTS: Final = """
SELECT * FROM slot_cleared
WHERE stream = $1
AND ($2::timestamptz IS NULL OR slot_at >= $2) AND ($3::timestamptz IS NULL OR slot_at < $3)
AND ($4::bigint IS NULL OR sequence < $4)
ORDER BY sequence DESC
LIMIT $5
"""

_TRANSFER: Final = """
SELECT step.*, (
    SELECT json_agg(json_strip_nulls(json_build_object('to_member', leg.to_member,
        'asset', leg.asset, 'amount_stroops', leg.amount_stroops, 'energy_wh', leg.energy_wh))
        ORDER BY leg.part)
    FROM transfer_leg leg WHERE leg.stream = step.stream AND leg.sequence = step.sequence
)::text AS legs
FROM transfer_step step WHERE step.transfer = $2 AND step.stream = $1 ORDER BY step.sequence
"""


def _ledger(book: str) -> str:
    return f"LEDGER_{book}"


async def trades(
    connection: Connection, book: str, wanted: TradeFilter, *, after: Key | None
) -> ListAnswer[Trade]:
    """Give the trades of a book that pass a filter."""
    found = Conditions(_ledger(book), _NOW)
    found.add("status = ?", wanted.status)
    found.add("seller = ?", wanted.seller)
    found.add("buyer = ?", wanted.buyer)
    found.add("(seller = ? OR buyer = ?)", wanted.member, wanted.member)
    found.add("made_at >= ?", wanted.from_at)
    found.add("made_at < ?", wanted.until)
    found.add("energy_wh >= ?", wanted.min_energy_wh)
    found.add("energy_wh <= ?", wanted.max_energy_wh)
    found.add("price_stroops_per_kwh >= ?", wanted.min_price_stroops_per_kwh)
    found.add("price_stroops_per_kwh <= ?", wanted.max_price_stroops_per_kwh)
    found.add("(slot_at IS NOT NULL) = ?", wanted.is_market)
    sorting = Sorting.of(wanted.sort, _COLUMNS, "trade")
    rows, cursor = await page(connection, _TRADES, found, sorting, limit=wanted.limit, after=after)
    items = [_trade(book, row) for row in rows]
    return ListAnswer(count=len(items), data=items, next_cursor=cursor)


async def trade(connection: Connection, book: str, name: str, upto: int = _NOW) -> Trade | None:
    """Give one trade, or nothing.

    Args:
        connection: Within one transaction.
        book: The community.
        name: Its id.
        upto: A position in the book; what happened later does not show.
    """
    row = await connection.fetchrow(f"{_TRADES} WHERE trade = $3", _ledger(book), upto, name)
    return None if row is None else _trade(book, row)


def _trade(book: str, row: Mapping[str, Any]) -> Trade:
    own = {name: row[name] for name in Trade.model_fields if name in row.keys()}  # noqa: SIM118 - a record is no mapping
    return Trade(
        tradeId=row["trade"],
        sellerId=row["seller"],
        buyerId=row["buyer"],
        amount=row["energy_wh"] / WH_PER_KWH,
        pricePerUnit=row["price_stroops_per_kwh"] / STROOPS_PER_UNIT,
        totalPrice=row["total_stroops"] / STROOPS_PER_UNIT,
        timestamp=row["made_at"],
        book=book,
        **{**own, "metadata": _metadata(row["metadata"])},
    )


def _metadata(text: str | None) -> dict[str, str] | None:
    found: dict[str, str] | None = None if text is None else json.loads(text)
    return found


async def orders(
    connection: Connection, book: str, wanted: OrderFilter, *, after: Key | None
) -> ListAnswer[Order]:
    """Give orders of the market, newest first."""
    rows = await connection.fetch(
        _ORDERS,
        _ledger(book),
        wanted.slot_at,
        wanted.member,
        after and after[2],
        wanted.limit + 1,
    )
    keyed = [((row["placed_at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [_order(row) for row in rows[: wanted.limit]]
    return ListAnswer(count=len(items), data=items, next_cursor=cut(keyed, wanted.limit))


def _order(row: Mapping[str, Any]) -> Order:
    is_open = row["cleared_at"] is None and row["reason"] is None
    is_matched = row["matched_wh"] == row["energy_wh"]  # a bid may get back money all the same
    own = {name: row[name] for name in Order.model_fields if name in row.keys()}  # noqa: SIM118 - a record is no mapping
    return Order(
        orderId=row["order_id"],
        amount=row["energy_wh"] / WH_PER_KWH,
        status="open" if is_open else "matched" if is_matched else "ended",
        pricePerUnit=row["limit_stroops_per_kwh"] / STROOPS_PER_UNIT,
        **own,
    )


async def slots(
    connection: Connection, book: str, wanted: SlotFilter, *, after: Key | None
) -> ListAnswer[Slot]:
    """Give cleared slots, the last cleared first."""
    rows = await connection.fetch(
        _SLOTS,
        _ledger(book),
        wanted.from_at,
        wanted.until,
        after and after[2],
        wanted.limit + 1,
    )
    keyed = [((row["cleared_at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [_slot(row) for row in rows[: wanted.limit]]
    return ListAnswer(count=len(items), data=items, next_cursor=cut(keyed, wanted.limit))


def _slot(row: Mapping[str, Any]) -> Slot:
    price = row["price_stroops_per_kwh"]
    own = {name: row[name] for name in Slot.model_fields if name in row.keys()}  # noqa: SIM118 - a record is no mapping
    return Slot(
        pricePerUnit=None if price is None else price / STROOPS_PER_UNIT,
        matches=row["match_count"],
        **own,
    )


async def transfer(connection: Connection, book: str, name: str) -> list[TransferStep]:
    """Give every step of a transfer, oldest first; nothing for one that is not known."""
    rows = await connection.fetch(_TRANSFER, _ledger(book), name)
    return [_step(row) for row in rows]


def _step(row: Mapping[str, Any]) -> TransferStep:
    own = {name: row[name] for name in TransferStep.model_fields if name in row.keys()}  # noqa: SIM118 - a record is no mapping
    texts = {"legs": json.loads(row["legs"]), "metadata": _metadata(row["metadata"])}
    return TransferStep(**{**own, **texts})
