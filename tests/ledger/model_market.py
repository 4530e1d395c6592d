"""The second model, part 2: prices, splits and allocations, worked out the slow way.

Nothing here knows `libs.rules`: rounding is that of `fractions`, the market tries every price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction


def cost(energy_wh: int, price: int) -> int:
    """Energy times price per kWh; Python rounds a fraction half to even."""
    return round(Fraction(energy_wh * price, 1_000))


def share_out(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Largest remainder: one unit after the other to whoever is furthest below his share."""
    total = sum(weights.values())
    if not total:
        return dict.fromkeys(weights, 0)
    exact = {key: Fraction(amount * weight, total) for key, weight in weights.items()}
    parts = {key: int(share) for key, share in exact.items()}
    for key in sorted(parts, key=lambda key: (parts[key] - exact[key], key)):
        if sum(parts.values()) < amount:
            parts[key] += 1
    return parts


def surplus(generated: int, homes: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    """What each holding exports of an interval.

    Args:
        generated: Of the whole system, in Wh.
        homes: Units and consumption in Wh by holding.
    """
    parts = share_out(generated, {name: units for name, (units, _) in homes.items()})
    spare = {name: max(parts[name] - used, 0) for name, (_, used) in homes.items()}
    lacking = sum(max(used - parts[name], 0) for name, (_, used) in homes.items())
    given = share_out(min(sum(spare.values()), lacking), spare)
    return {name: spare[name] - given[name] for name in homes}


@dataclass(frozen=True)
class Bid:
    """An order of either side."""

    name: str
    energy_wh: int
    limit: int
    arrival: int


@dataclass(frozen=True)
class Met:
    """A bid and an offer that met."""

    bid: str
    offer: str
    energy_wh: int
    paid: int


def clear(bids: Sequence[Bid], offers: Sequence[Bid]) -> tuple[int | None, list[Met]]:
    """Try every limit as the price: the most energy, and the middle of all prices that are fair.

    A price is fair if as much can change hands as would like to: no more is wanted strictly above
    it than is offered at it, and the other way round.
    """
    prices = sorted({order.limit for order in (*bids, *offers)})

    def wanted(price: int) -> int:
        return sum(bid.energy_wh for bid in bids if bid.limit >= price)

    def offered(price: int) -> int:
        return sum(offer.energy_wh for offer in offers if offer.limit <= price)

    quantity = max((min(wanted(price), offered(price)) for price in prices), default=0)
    if not quantity:
        return None, []
    fair = [
        price
        for price in prices
        if wanted(price + 1) <= offered(price) and offered(price - 1) <= wanted(price)
    ]
    price = round(Fraction(min(fair) + max(fair), 2))
    return price, list(_met(bids, offers, quantity, price))


def _met(bids: Sequence[Bid], offers: Sequence[Bid], quantity: int, price: int) -> list[Met]:
    """Lay bids and offers on one line of energy, the best first, and see where they lie above."""
    bought = _laid(sorted(bids, key=lambda bid: (-bid.limit, bid.arrival)), quantity)
    sold = _laid(sorted(offers, key=lambda offer: (offer.limit, offer.arrival)), quantity)
    found = []
    for bid, (begin, end) in bought.items():
        parts = {
            offer: min(end, until) - max(begin, since)
            for offer, (since, until) in sold.items()
            if min(end, until) > max(begin, since)
        }
        paid = share_out(cost(end - begin, price), parts)
        found += [Met(bid, offer, part, paid[offer]) for offer, part in parts.items()]
    return found


def _laid(orders: Sequence[Bid], quantity: int) -> dict[str, tuple[int, int]]:
    found, at = {}, 0
    for order in orders:
        end = min(at + order.energy_wh, quantity)
        if end > at:
            found[order.name] = at, end
        at = end
    return found
