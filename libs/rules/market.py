"""The market of one slot: which bids meet which offers, and at what one price. Pure.

A double auction with a uniform price. Bids stand by falling, offers by rising limit, and of equal
limits the earlier order stands first. They meet as long as the bid's limit reaches the offer's:
that is as much energy as any one price can move. The price is the middle of all prices at which
nobody who trades is worse off than his limit, and nobody who was left out would rather trade: of
`n` Wh offered in all, those between the `n`-th and the next highest limit of all orders, Wh by Wh.

Nobody can meet himself: whoever keeps the orders refuses a bid and an offer of one member in one
slot (code `own-order-crosses`). To pass over such a pair instead would either move less energy than
the price allows, or let an order be served before a better one.

Source: domain rules, section 9; Wurman, Walsh, Wellman: Flexible double auctions for electronic
commerce (Decision Support Systems 24, 1998), the M-th and (M + 1)-st price.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, Literal

from libs.events.quantities import WH_PER_KWH
from libs.rules.numbers import scale, split

SLOT_S: Final = 900
"""Length of a slot, in seconds."""

CLEARING_LAG_S: Final = 7_200
"""Seconds from the end of a slot until it is cleared: time for its energy to be read and minted."""

ORDERS_PER_SLOT_MAX: Final = 600
"""Most orders of one slot. All its matches stand in one fact of at most 256 KiB, and one of them
with the longest ids and numbers takes 364 bytes."""

LIMIT_PRICE_MIN: Final = WH_PER_KWH
"""Lowest limit, in stroops per kWh: each Wh costs at least a stroop, so no match is for nothing."""


@dataclass(frozen=True, slots=True)
class Order:
    """A bid or an offer for energy of the slot."""

    id: str
    """Its id."""
    member: str
    """Who ordered."""
    side: Literal["bid", "offer"]
    """A bid buys, an offer sells."""
    energy_wh: int
    """Energy in Wh, above zero."""
    limit_stroops_per_kwh: int
    """Highest price of a bid, lowest of an offer, in stroops per kWh; `LIMIT_PRICE_MIN` or more."""
    ordinal: int
    """Order of arrival: of two orders with one limit the lower is served first."""


@dataclass(frozen=True, slots=True)
class Match:
    """A bid and an offer that meet."""

    bid: str
    """The bid."""
    offer: str
    """The offer."""
    buyer: str
    """Who buys."""
    seller: str
    """Who sells."""
    energy_wh: int
    """Energy in Wh, above zero."""
    amount_stroops: int
    """What it costs, in stroops, above zero."""


@dataclass(frozen=True, slots=True)
class Clearing:
    """What came of a slot."""

    price_stroops_per_kwh: int | None
    """The one price, in stroops per kWh; None when no bid met an offer."""
    energy_wh: int
    """Energy that changes hands, in Wh."""
    matches: tuple[Match, ...]
    """Who meets whom, the best bid first; fewer than there are orders."""
    left_wh: Mapping[str, int]
    """What is not matched of each order, in Wh, by its id."""


_Pair = tuple[Order, Order, int]
"""A bid, an offer, and the energy that they exchange, in Wh."""


def slot_of(instant: datetime) -> datetime:
    """The start of the slot in which an instant lies."""
    return instant - timedelta(seconds=int(instant.timestamp()) % SLOT_S)


def clears_at(slot: datetime) -> datetime:
    """From which instant on the slot that starts here is cleared, and takes no more orders."""
    return slot + timedelta(seconds=SLOT_S + CLEARING_LAG_S)


def bid_hold_stroops(energy_wh: int, limit_stroops_per_kwh: int) -> int:
    """The most that a bid can cost, in stroops: what is held for it."""
    return scale(energy_wh * limit_stroops_per_kwh, 1, WH_PER_KWH)


def clear(orders: Iterable[Order]) -> Clearing:
    """Clear a slot; the result does not depend on how the orders are arranged.

    Args:
        orders: All orders; ids and ordinals are unique, and no member is on both sides.

    Returns:
        The matches, whose energy is as much as any one price allows within the limits. All matches
        of a bid together cost its energy times the price, rounded once, and share that by energy.
    """
    bids, offers = _sides(orders)
    left_wh = {order.id: order.energy_wh for order in (*bids, *offers)}
    pairs, price = _meet(bids, offers, left_wh)
    if price is None:
        return Clearing(None, 0, (), left_wh)
    energy_wh = sum(part for _, _, part in pairs)
    return Clearing(price, energy_wh, tuple(_matches(pairs, price)), left_wh)


def _sides(orders: Iterable[Order]) -> tuple[list[Order], list[Order]]:
    """Bids and offers, each with the one first that is served first."""
    given = tuple(orders)
    bids = [order for order in given if order.side == "bid"]
    offers = [order for order in given if order.side == "offer"]
    assert len({order.id for order in given}) == len(given), "ids are unique"
    assert len({order.ordinal for order in given}) == len(given), "ordinals are unique"
    assert all(
        order.energy_wh > 0 and order.limit_stroops_per_kwh >= LIMIT_PRICE_MIN for order in given
    ), "whoever takes orders sees to that"
    assert {order.member for order in bids}.isdisjoint(order.member for order in offers), (
        "own-order-crosses: nobody stands on both sides"
    )
    bids.sort(key=lambda order: (-order.limit_stroops_per_kwh, order.ordinal))
    offers.sort(key=lambda order: (order.limit_stroops_per_kwh, order.ordinal))
    return bids, offers


def _meet(
    bids: Sequence[Order], offers: Sequence[Order], left_wh: dict[str, int]
) -> tuple[list[_Pair], int | None]:
    """Pair bids with offers from the best down, take what they exchange, and find the price."""
    pairs: list[_Pair] = []
    at_bid = at_offer = 0
    while at_bid < len(bids) and at_offer < len(offers):
        bid, offer = bids[at_bid], offers[at_offer]
        if bid.limit_stroops_per_kwh < offer.limit_stroops_per_kwh:
            break
        part = min(left_wh[bid.id], left_wh[offer.id])
        pairs.append((bid, offer, part))
        left_wh[bid.id] -= part
        left_wh[offer.id] -= part
        at_bid += left_wh[bid.id] == 0
        at_offer += left_wh[offer.id] == 0
    if not pairs:
        return pairs, None
    # The last pair holds the worst limits that are served; next in line stand the best that are
    # not, an order that is served in part among them. Every price between those four is fair.
    last_bid, last_offer, _ = pairs[-1]
    low = [order.limit_stroops_per_kwh for order in (last_offer, *bids[at_bid : at_bid + 1])]
    high = [order.limit_stroops_per_kwh for order in (last_bid, *offers[at_offer : at_offer + 1])]
    assert max(low) <= min(high), "no bid that is left reaches an offer that is left"
    return pairs, scale(max(low) + min(high), 1, 2)


def _matches(pairs: Sequence[_Pair], price: int) -> Iterator[Match]:
    """Say what each pair pays: the pairs of one bid share its cost by energy."""
    for _, group in groupby(pairs, key=lambda pair: pair[0].id):
        of_bid = tuple(group)
        parts = {offer.id: part for _, offer, part in of_bid}
        amounts = split(scale(sum(parts.values()) * price, 1, WH_PER_KWH), parts)
        for bid, offer, part in of_bid:
            amount = amounts[offer.id]
            assert amount > 0, "each Wh costs at least a stroop"
            yield Match(bid.id, offer.id, bid.member, offer.member, part, amount)
