"""Rows of the energy network: tokens, trades and the market. Pure."""

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from libs.events import (
    EnergyMinted,
    EnergyRetired,
    EnergyShortfallBooked,
    EnergyTransferred,
    Fact,
    OrderPlaced,
    OrderWithdrawn,
    Recorded,
    SlotCleared,
    TradeCancelled,
    TradeCreated,
    TradeExecuted,
    TradeExpired,
)
from libs.events.trading import Metadata
from services.projection.table import Table, Values
from services.projection.tables import (
    ENERGY_MINTED,
    ENERGY_RETIRED,
    ENERGY_SHORTFALL,
    ENERGY_TRANSFER,
    MARKET_ORDER,
    MARKET_ORDER_ENDED,
    SLOT_CLEARED,
    TRADE,
    TRADE_ENDED,
)

Rows = Iterator[tuple[Table, Values]]
"""Rows of one fact, each with its table."""


def metadata_text(metadata: Metadata | None) -> str | None:
    """Write metadata as the JSON that Postgres reads."""
    return None if metadata is None else json.dumps(metadata)


def minted(recorded: Recorded[EnergyMinted]) -> Rows:
    """One row per mint."""
    fact = recorded.fact
    first = fact.intervals[0].from_at if fact.intervals else None
    what = (fact.mint, fact.member, fact.reason, fact.energy_wh, fact.served_wh)
    where = (fact.system, fact.holding, first, len(fact.intervals))
    yield ENERGY_MINTED, _row(recorded, *what, *where)


def shortfall_booked(recorded: Recorded[EnergyShortfallBooked]) -> Rows:
    """One row per downward correction."""
    fact = recorded.fact
    place = (fact.member, fact.system, fact.holding)
    yield ENERGY_SHORTFALL, _row(recorded, *place, fact.energy_wh, fact.taken_wh)


def transferred(recorded: Recorded[EnergyTransferred]) -> Rows:
    """One row per transfer of energy."""
    fact = recorded.fact
    what = (fact.transfer, fact.from_member, fact.to_member, fact.energy_wh)
    yield ENERGY_TRANSFER, _row(recorded, *what, metadata_text(fact.metadata))


def retired(recorded: Recorded[EnergyRetired]) -> Rows:
    """One row per retirement."""
    fact = recorded.fact
    what = (fact.retirement, fact.member, fact.energy_wh, fact.purpose)
    yield ENERGY_RETIRED, _row(recorded, *what)


def trade_created(recorded: Recorded[TradeCreated]) -> Rows:
    """One row per trade that two members agreed."""
    fact = recorded.fact
    yield TRADE, _trade(recorded, fact.expires_at, None, metadata_text(fact.metadata))


def trade_executed(recorded: Recorded[TradeExecuted]) -> Rows:
    """One row per completed trade; for a match of the market also the trade itself."""
    fact = recorded.fact
    if fact.slot is not None:
        yield TRADE, _trade(recorded, None, fact.slot, None)
    ended = ("completed", None, fact.seller, fact.buyer, fact.asset, fact.energy_wh)
    price = (fact.price_stroops_per_kwh, fact.total_stroops)
    yield (
        TRADE_ENDED,
        _row(recorded, fact.trade, *ended, *price, fact.slot, fact.bid, fact.offer),
    )


def _trade(
    recorded: Recorded[TradeCreated] | Recorded[TradeExecuted],
    expires_at: datetime | None,
    slot_at: datetime | None,
    metadata: str | None,
) -> Values:
    fact = recorded.fact
    return _row(
        recorded,
        fact.trade,
        fact.seller,
        fact.buyer,
        fact.asset,
        fact.energy_wh,
        fact.price_stroops_per_kwh,
        fact.total_stroops,
        expires_at,
        slot_at,
        metadata,
    )


def trade_cancelled(recorded: Recorded[TradeCancelled]) -> Rows:
    """One row per trade that was given up."""
    yield _ended(recorded, "cancelled", recorded.fact.reason)


def trade_expired(recorded: Recorded[TradeExpired]) -> Rows:
    """One row per trade that nobody executed in time."""
    yield _ended(recorded, "expired", None)


def _ended(
    recorded: Recorded[TradeCancelled] | Recorded[TradeExpired], status: str, reason: str | None
) -> tuple[Table, Values]:
    fact = recorded.fact
    what = (fact.trade, status, reason, fact.seller, fact.buyer, None, fact.energy_wh)
    return TRADE_ENDED, _row(recorded, *what, None, None, None, None, None)


def order_placed(recorded: Recorded[OrderPlaced]) -> Rows:
    """One row per order."""
    fact = recorded.fact
    yield (
        MARKET_ORDER,
        _row(
            recorded,
            fact.order,
            fact.member,
            fact.side,
            fact.slot,
            fact.asset,
            fact.energy_wh,
            fact.limit_stroops_per_kwh,
            fact.held_stroops,
        ),
    )


def order_withdrawn(recorded: Recorded[OrderWithdrawn]) -> Rows:
    """One row per order of which something was left."""
    fact = recorded.fact
    what = (fact.order, fact.energy_wh, fact.returned_stroops, fact.reason)
    yield MARKET_ORDER_ENDED, _row(recorded, *what)


def slot_cleared(recorded: Recorded[SlotCleared]) -> Rows:
    """One row per slot; its trades come as trades."""
    fact = recorded.fact
    price = fact.price_stroops_per_kwh
    what = (fact.slot, fact.asset, fact.orders, price, fact.energy_wh, len(fact.matches))
    yield SLOT_CLEARED, _row(recorded, *what)


def _row(recorded: Recorded[Fact], *values: Any) -> Values:
    return (recorded.stream, recorded.sequence, *values, recorded.envelope.time)
