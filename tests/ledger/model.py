"""The second model, part 5: a whole book by plain dictionaries.

It knows nothing of facts and streams: commands go in, balances come out. What the book does by
itself (openings, mints, ends, transfers from other books, the market) is `settle`, in the order
that the ledger promises, always worked out anew from everything that is known.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.ledger.model_accounts import PRICE_MOST
from tests.ledger.model_market import Bid, clear, cost, surplus
from tests.ledger.model_people import Change
from tests.ledger.model_transfers import Transfers

QUARTER = timedelta(minutes=15)
MINT_LAG = timedelta(minutes=15)
CLEARING_LAG = timedelta(hours=2)
SLOT_AHEAD = timedelta(days=7)
ORDERS_OF_MEMBER, ORDERS_OF_SLOT = 20, 600
LOWEST_LIMIT = 1_000


@dataclass
class Order:
    """What somebody wants on the market."""

    member: str
    side: str
    slot: datetime
    limit: int
    energy_wh: int
    held: int
    arrival: int
    is_open: bool = True


class Market(Transfers):
    """Orders, and slots that clear."""

    def __init__(self, book: str, others: Iterable[str] = ()) -> None:
        super().__init__(book, others)
        self.orders: dict[str, Order] = {}
        self.in_slot: Counter[tuple[datetime, str]] = Counter()
        """What was minted for a member in a slot and is not offered or sold."""
        self.cleared: list[tuple[datetime, int | None, int]] = []
        """The slots that were cleared, with price and energy."""

    def _open_of(self, slot: datetime) -> list[Order]:
        return [each for each in self.orders.values() if each.is_open and each.slot == slot]

    def _slot_faults(self, slot: datetime) -> Iterable[str]:
        if slot.timestamp() % 900:
            yield "not-a-slot"
        if slot > self.now + SLOT_AHEAD:
            yield "slot-too-far"
        if self.now >= slot + QUARTER + CLEARING_LAG:
            yield "slot-closed"

    def _room_faults(self, who: str, side: str, slot: datetime) -> Iterable[str]:
        of_slot = self._open_of(slot)
        of_member = [each for each in of_slot if each.member == who]
        if any(each.side != side for each in of_member):
            yield "own-order-crosses"
        if len(of_member) >= ORDERS_OF_MEMBER:
            yield "too-many-orders"
        if len(of_slot) >= ORDERS_OF_SLOT:
            yield "slot-full"

    def may_place_order(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self._slot_faults(body.slot)
        yield from self._room_faults(who, body.side, body.slot)
        if body.order_id in self.orders:
            yield "order-exists"
        limit = body.limit_stroops_per_kwh
        if not body.energy_wh:
            yield "amount-not-positive"
        if limit < LOWEST_LIMIT:
            yield "price-too-low"
        if limit > PRICE_MOST:
            yield "out-of-range"
        if body.side == "bid":
            yield from self.cover_faults(who, "U:TOKEN", cost(body.energy_wh, limit))
        else:
            if body.energy_wh > self.in_slot[body.slot, who]:
                yield "not-minted-in-slot"
            yield from self.cover_faults(who, "W", body.energy_wh)

    def do_place_order(self, _: str, who: str, body: Any) -> None:
        is_bid, limit = body.side == "bid", body.limit_stroops_per_kwh
        held = cost(body.energy_wh, limit) if is_bid else body.energy_wh
        asset, hold = "U:TOKEN" if is_bid else "W", f"hold:{who}:order.{body.order_id}"
        self.move(asset, self.own(asset, who), hold, held)
        if not is_bid:
            self.in_slot[body.slot, who] -= held
        self.orders[body.order_id] = Order(
            who, body.side, body.slot, limit, body.energy_wh, held, len(self.orders)
        )

    def may_withdraw_order(self, _: None, who: str, body: Any) -> Iterable[str]:
        order = self.orders.get(body.order_id)
        if order is None:
            yield "unknown-order"
        elif not order.is_open:
            yield "order-closed"
        else:
            if order.member != who:
                yield "not-your-order"
            if self.now >= order.slot + QUARTER + CLEARING_LAG:
                yield "slot-closed"

    def do_withdraw_order(self, _: str, __: str, body: Any) -> None:
        self.end_order(body.order_id)

    def end_order(self, name: str) -> None:
        order = self.orders[name]
        order.is_open = False
        asset = "U:TOKEN" if order.side == "bid" else "W"
        own = self.own(asset, order.member)
        self.move(asset, f"hold:{order.member}:order.{name}", own, order.held)
        if order.side == "offer":
            self.in_slot[order.slot, order.member] += order.held
        order.held = 0

    def step_market(self, common: datetime) -> bool:
        """Clear the first slot that may be."""
        closed = [
            each.slot
            for each in self.orders.values()
            if each.is_open and each.slot + QUARTER + CLEARING_LAG <= common
        ]
        if not closed:
            return False
        slot = min(closed)
        names = [name for name, each in self.orders.items() if each.is_open and each.slot == slot]
        sides: dict[str, list[Bid]] = {"bid": [], "offer": []}
        for name in names:
            order = self.orders[name]
            sides[order.side].append(Bid(name, order.energy_wh, order.limit, order.arrival))
        price, matches = clear(sides["bid"], sides["offer"])
        self.cleared.append((slot, price, sum(met.energy_wh for met in matches)))
        for met in matches:
            bid, offer = self.orders[met.bid], self.orders[met.offer]
            held = f"hold:{offer.member}:order.{met.offer}"
            self.move("W", held, f"kwh:{bid.member}", met.energy_wh)
            held = f"hold:{bid.member}:order.{met.bid}"
            self.move("U:TOKEN", held, f"wallet:{offer.member}", met.paid)
            offer.held -= met.energy_wh
            bid.held -= met.paid
        for name in names:
            self.end_order(name)
        return True


@dataclass(frozen=True)
class Home:
    """A holding whose surplus is minted for a member."""

    holding: str
    member: str
    units: int


class Book(Market):
    """A whole book: what is above, the openings, and minting for one plant."""

    def __init__(self, book: str, others: Iterable[str] = ()) -> None:
        super().__init__(book, others)
        self.openings: dict[str, tuple[int, int]] = {}
        self.homes: list[Home] = []
        self.plant = ""
        self.read: dict[tuple[str, datetime], int] = {}
        """Readings by meter and start of a quarter; `load-<holding>` is that of a home."""
        self.minted: Counter[tuple[str, datetime]] = Counter()
        self.given_up: dict[datetime, dict[str, int | None]] = {}
        """Quarters for which there was no room, with what was read of them then."""
        self.common: datetime | None = None
        """The time that the readings have reached, as far as we can rely on it."""

    def learn(self, change: Change) -> None:
        super().learn(change)
        if change.opening is not None and change.opening[0] == self.book:
            self.openings[change.member] = change.opening[1:]

    def settle(self) -> None:
        """Do what follows by itself, one thing after the other, until nothing does."""
        while (
            self.step_opening()
            or (self.common is not None and self.step_minting(self.common))
            or self.step_expiry()
            or self.step_between()
            or (self.common is not None and self.step_market(self.common))
        ):
            pass

    def step_opening(self) -> bool:
        """Enter the first opening balance for which there is room."""
        for member, (energy_wh, stroops) in self.openings.items():
            if energy_wh <= self.room("W") and stroops <= self.room("U:TOKEN"):
                del self.openings[member]
                self.mint("issued:approver", member, energy_wh)
                self.move("U:TOKEN", "issuer:TOKEN", f"wallet:{member}", stroops)
                return True
        return False

    def _due(self, common: datetime) -> dict[Home, list[tuple[datetime, int]]]:
        """By how much the surplus of each home differs from what was minted, oldest first."""
        due: dict[Home, list[tuple[datetime, int]]] = {home: [] for home in self.homes}
        for start in sorted({start for meter, start in self.read if meter == self.plant}):
            used = {
                home.holding: self.read.get((f"load-{home.holding}", start)) for home in self.homes
            }
            if start + QUARTER + MINT_LAG > common or None in used.values():
                continue
            if self.given_up.get(start) == used | {self.plant: self.read[self.plant, start]}:
                continue
            homes = {home.holding: (home.units, used[home.holding] or 0) for home in self.homes}
            spare = surplus(self.read[self.plant, start], homes)
            for home in self.homes:
                change = spare[home.holding] - self.minted[home.holding, start]
                if change:
                    due[home].append((start, change))
        return due

    def step_minting(self, common: datetime) -> bool:
        """Mint what was exported; where there is nothing to mint, take back of one home."""
        due = self._due(common)
        is_any = False
        for home, changes in due.items():
            more = [(start, change) for start, change in changes if change > 0]
            if more and sum(change for _, change in more) <= self.room("W"):
                is_any = True
                for start, change in more:
                    tokens = self.mint(f"issued:meter:{self.plant}", home.member, change)
                    self.in_slot[start, home.member] += tokens
                    self.minted[home.holding, start] += change
        if is_any:
            return True
        for home, changes in due.items():
            less = [(start, -change) for start, change in changes if change < 0]
            if less:
                self._take_back(home, less)
                return True
        for start in {start for changes in due.values() for start, _ in changes}:
            used = {
                each.holding: self.read.get((f"load-{each.holding}", start)) for each in self.homes
            }
            self.given_up[start] = used | {self.plant: self.read[self.plant, start]}
        return False

    def _take_back(self, home: Home, less: list[tuple[datetime, int]]) -> None:
        """Take free tokens, then offers, then trades, the newest first; the rest is owed."""
        member, wanted = home.member, sum(energy_wh for _, energy_wh in less)
        offers = [
            name
            for name, each in self.orders.items()
            if each.is_open and each.side == "offer" and each.member == member
        ]
        trades = [
            name for name, each in self.trades.items() if each.is_open and each.seller == member
        ]
        while self.free("W", member) < wanted and (offers or trades):
            if offers:
                self.end_order(offers.pop())
            else:
                self.end_trade(trades.pop(), member)
        issued = f"issued:meter:{self.plant}"
        for start, energy_wh in less:
            taken = min(self.free("W", member), energy_wh)
            self.move("W", f"kwh:{member}", issued, taken)
            self.move("W", f"shortfall:{member}", issued, energy_wh - taken)
            self.in_slot[start, member] -= energy_wh
            self.minted[home.holding, start] -= energy_wh

    def holds(self) -> dict[tuple[str, str], int]:
        """What must be held, worked out from what is open."""
        found: Counter[tuple[str, str]] = Counter()
        for name, trade in self.trades.items():
            if trade.is_open:
                found["W", f"hold:{trade.seller}:trade.{name}"] += trade.energy_wh
        for name, order in self.orders.items():
            if order.held:
                asset = "W" if order.side == "offer" else "U:TOKEN"
                found[asset, f"hold:{order.member}:order.{name}"] += order.held
        for name, held in self.transfers.items():
            for _, asset, amount in held.legs if held.state == "held" else ():
                found[asset, f"hold:{held.payer}:transfer.{name}"] += amount
        return dict(found)
