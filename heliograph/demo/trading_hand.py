"""The trading day by hand: what must come out, from the input data alone and by plain arithmetic.

It shares the input (`energy_day`, `factories`) with the play and nothing with the services: neither
the allocation nor the clearing of the market, nor their rounding. So it can disagree with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate

from heliograph.demo.energy_day import SLOTS, EnergyDay
from heliograph.demo.factories import FACTORIES

MINTED_BY_HAND_WH = {"Factory01": 500_000}
"""What the seed's story mints, in Wh."""

SOLD_IN_STORY = {"Factory01": (-200_000, 160_000_000), "Factory04": (200_000, -160_000_000)}
"""What the seed's trade moves: Wh and stroops."""


@dataclass(slots=True)
class Account:
    """What a factory did on the day, and what it has in the end."""

    made_wh: int = 0
    own_wh: int = 0
    surplus_wh: int = 0
    bought_wh: int = 0
    sold_wh: int = 0
    paid_stroops: int = 0
    received_stroops: int = 0
    retired_wh: int = 0
    energy_wh: int = 0
    tokens_stroops: int = 0


@dataclass(frozen=True, slots=True)
class Slot:
    """A cleared slot."""

    price_stroops_per_kwh: int | None = None
    energy_wh: int = 0
    trades: int = 0


@dataclass(slots=True)
class Outcome:
    """What came of the day, by one way of finding out."""

    accounts: dict[str, Account] = field(
        default_factory=lambda: {each.id: Account() for each in FACTORIES}
    )
    """By factory."""
    slots: dict[int, Slot] = field(default_factory=dict)
    """By number of the slot, those in which somebody ordered."""


@dataclass(frozen=True, slots=True)
class Order:
    """A bid or an offer."""

    id: str
    member: str
    energy_wh: int
    limit: int
    """In stroops per kWh."""


@dataclass(frozen=True, slots=True)
class Deal:
    """What one member sells to another."""

    seller: str
    buyer: str
    energy_wh: int
    amount_stroops: int


def by_hand(day: EnergyDay) -> Outcome:
    """Find what must come of the day."""
    outcome = Outcome()
    for factory in FACTORIES:
        account = outcome.accounts[factory.id]
        energy_wh, stroops = SOLD_IN_STORY.get(factory.id, (0, 0))
        account.energy_wh = factory.balance_kwh * 1000 + energy_wh
        account.energy_wh += MINTED_BY_HAND_WH.get(factory.id, 0)
        account.tokens_stroops = factory.balance_kwh * 10_000_000 + stroops
        for made, used in zip(day.made_wh[factory.id], day.used_wh[factory.id], strict=True):
            account.made_wh += made
            account.own_wh += min(made, used)
            account.surplus_wh += max(made - used, 0)
        account.energy_wh += account.surplus_wh
    for slot in range(SLOTS):
        bids, offers = _orders(day, slot)
        if bids or offers:
            price, deals = clear_by_hand(bids, offers)
            energy_wh = sum(deal.energy_wh for deal in deals)
            outcome.slots[slot] = Slot(price, energy_wh, len(deals))
            _settle(outcome, deals)
    for account in outcome.accounts.values():
        account.retired_wh = account.bought_wh
        account.energy_wh -= account.bought_wh
    return outcome


def _settle(outcome: Outcome, deals: Sequence[Deal]) -> None:
    for deal in deals:
        seller, buyer = outcome.accounts[deal.seller], outcome.accounts[deal.buyer]
        seller.sold_wh += deal.energy_wh
        seller.energy_wh -= deal.energy_wh
        seller.received_stroops += deal.amount_stroops
        seller.tokens_stroops += deal.amount_stroops
        buyer.bought_wh += deal.energy_wh
        buyer.energy_wh += deal.energy_wh
        buyer.paid_stroops += deal.amount_stroops
        buyer.tokens_stroops -= deal.amount_stroops


def _orders(day: EnergyDay, slot: int) -> tuple[list[Order], list[Order]]:
    """Who lacks energy bids, who has too much offers."""
    bids, offers = [], []
    hour = day.hour_of(slot)
    for factory in FACTORIES:
        more_wh = day.made_wh[factory.id][slot] - day.used_wh[factory.id][slot]
        name, member = factory.order_id(slot), factory.id
        if more_wh > 0:
            limit = factory.limit_stroops_per_kwh("offer", hour)
            offers.append(Order(name, member, more_wh, limit))
        elif more_wh < 0:
            limit = factory.limit_stroops_per_kwh("bid", hour)
            bids.append(Order(name, member, -more_wh, limit))
    return bids, offers


def clear_by_hand(bids: Sequence[Order], offers: Sequence[Order]) -> tuple[int | None, list[Deal]]:
    """Clear a slot: the energy is the most that any price moves, the price lies in the middle.

    Of the limits of all orders, Wh by Wh from the highest down, those of the last offered Wh and of
    the next one bound the price.

    Args:
        bids: No two with one limit.
        offers: No two with one limit.
    """
    limits = {order.limit for order in (*bids, *offers)}
    volume = max((min(_above(bids, p), _below(offers, p)) for p in limits), default=0)
    if not volume:
        return None, []
    offered = sum(order.energy_wh for order in offers)
    every = sorted((*bids, *offers), key=lambda order: -order.limit)
    price = round(Fraction(_limit_at(every, offered) + _limit_at(every, offered + 1), 2))
    buying = _ranges(sorted(bids, key=lambda order: -order.limit), volume)
    selling = _ranges(sorted(offers, key=lambda order: order.limit), volume)
    deals: list[Deal] = []
    for bid, begin, end in buying:
        parts = {
            offer: min(end, theirs) - max(begin, since)
            for offer, since, theirs in selling
            if min(end, theirs) > max(begin, since)
        }
        for offer, amount in _share(round(Fraction((end - begin) * price, 1000)), parts).items():
            deals.append(Deal(offer.member, bid.member, parts[offer], amount))
    return price, deals


def _above(bids: Sequence[Order], price: int) -> int:
    return sum(bid.energy_wh for bid in bids if bid.limit >= price)


def _below(offers: Sequence[Order], price: int) -> int:
    return sum(offer.energy_wh for offer in offers if offer.limit <= price)


def _limit_at(orders: Sequence[Order], number: int) -> int:
    """The limit of the n-th Wh."""
    ends = accumulate(order.energy_wh for order in orders)
    return next(order.limit for order, end in zip(orders, ends, strict=True) if end >= number)


def _ranges(orders: Sequence[Order], volume: int) -> list[tuple[Order, int, int]]:
    """Lay orders one after the other on the energy that is exchanged."""
    ends = list(accumulate(order.energy_wh for order in orders))
    begins = [0, *ends]
    laid = zip(orders, begins, ends, strict=False)
    return [(order, begin, min(end, volume)) for order, begin, end in laid if begin < volume]


def _share(amount: int, parts: dict[Order, int]) -> dict[Order, int]:
    """Share an amount by energy: floors first, then a stroop each by the largest remainder."""
    whole = sum(parts.values())
    exact = {order: Fraction(amount * part, whole) for order, part in parts.items()}
    shared = {order: int(share) for order, share in exact.items()}
    ranked = sorted(parts, key=lambda order: (shared[order] - exact[order], order.id))
    for order in ranked[: amount - sum(shared.values())]:
        shared[order] += 1
    return shared
