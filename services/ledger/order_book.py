"""The open orders of a book, by id, by slot, by member and by when their slot clears. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from libs.events.trading import OrderPlaced
from libs.rules.dumps import Dumped, Loaded, dump_parts, load_parts
from libs.rules.market import Order, clears_at
from services.ledger.deadlines import Deadlines
from services.ledger.used import UsedIds


@dataclass(frozen=True, slots=True)
class OpenOrder:
    """An order that has not ended, and what is still open of it."""

    placed: OrderPlaced
    """How it was placed, without the signed command."""
    ordinal: int
    """Its place in the own stream: order of arrival."""
    energy_wh: int
    """Energy that is not matched, in Wh."""
    held_stroops: int
    """Money that a bid still holds, in stroops."""

    @property
    def on_market(self) -> Order:
        """What the market looks at."""
        placed, limit = self.placed, self.placed.limit_stroops_per_kwh
        return Order(placed.order, placed.member, placed.side, self.energy_wh, limit, self.ordinal)


class OrderBook:
    """All open orders, in the order of their arrival, and the ids of all that ever were."""

    def __init__(self) -> None:
        """Begin with none."""
        self._used = UsedIds("order")
        self._orders: dict[str, OpenOrder] = {}
        # Indexes, made again when a snapshot is loaded.
        self._slots: dict[datetime, dict[str, None]] = {}
        self._members: dict[str, dict[datetime, dict[str, None]]] = {}
        self._deadlines = Deadlines()

    def get(self, order: str) -> OpenOrder | None:
        """The open order of this id."""
        return self._orders.get(order)

    def was_used(self, order: str) -> bool:
        """Tell whether an order of this id is or was there."""
        return order in self._used

    def of_slot(self, slot: datetime) -> Collection[str]:
        """Ids of the open orders of a slot, in the order of their arrival."""
        return self._slots.get(slot, {})

    def of_member(self, member: str, slot: datetime) -> Collection[str]:
        """Ids of a member's open orders of a slot, in the order of their arrival."""
        return self._members.get(member, {}).get(slot, {})

    def offers_of(self, member: str) -> Sequence[OpenOrder]:
        """All open offers of a member, the newest first."""
        names = [name for of_slot in self._members.get(member, {}).values() for name in of_slot]
        opened = [self._orders[name] for name in names]
        offers = [each for each in opened if each.placed.side == "offer"]
        return sorted(offers, key=lambda offer: -offer.ordinal)

    def slot_due(self, now: datetime | None) -> datetime | None:
        """The first slot that has orders and is to be cleared by now."""
        due = self._deadlines.due(now, 1)
        return self._orders[due[0]].placed.slot if due else None

    def place(self, fact: OrderPlaced, ordinal: int) -> None:
        """An order was placed."""
        self._used.add(fact.order)
        placed = fact.model_copy(update={"command": None})  # who asks for it reads the stream
        self._put(OpenOrder(placed, ordinal, fact.energy_wh, fact.held_stroops))

    def trade(self, order: str, energy_wh: int, paid_stroops: int) -> None:
        """A part of an order was matched, and of a bid paid; one with nothing left has ended."""
        before = self._orders[order]
        energy, held = before.energy_wh - energy_wh, before.held_stroops - paid_stroops
        self._orders[order] = replace(before, energy_wh=energy, held_stroops=held)
        if not (energy or held):
            self.end(order)

    def end(self, order: str) -> None:
        """An order ended."""
        placed = self._orders.pop(order).placed
        slot, of_member = placed.slot, self._members[placed.member]
        _drop(self._slots, slot, order)
        _drop(of_member, slot, order)
        if not of_member:
            del self._members[placed.member]
        self._deadlines.remove(clears_at(slot), order)

    def _put(self, opened: OpenOrder) -> None:
        name, member, slot = opened.placed.order, opened.placed.member, opened.placed.slot
        self._orders[name] = opened
        self._slots.setdefault(slot, {})[name] = None
        self._members.setdefault(member, {}).setdefault(slot, {})[name] = None
        self._deadlines.add(clears_at(slot), name)

    def dump(self) -> Dumped:
        """Give the open orders and all ids for a snapshot."""
        orders = tuple(self._orders.values())
        return {
            "orders": (
                [each.placed.model_dump_json(), each.ordinal, each.energy_wh, each.held_stroops]
                for each in orders
            ),
            **dump_parts({"used": self._used}),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for text, ordinal, energy_wh, held_stroops in dumped["orders"]:
            placed = OrderPlaced.model_validate_json(text)
            self._put(OpenOrder(placed, ordinal, energy_wh, held_stroops))
        load_parts({"used": self._used}, dumped)


def _drop(index: dict[datetime, dict[str, None]], slot: datetime, order: str) -> None:
    """Take an order out of an index; a slot without any stands in none."""
    del index[slot][order]
    if not index[slot]:
        del index[slot]
