"""The market of a book: orders for slots of 15 minutes, and what follows when one is cleared. Pure.

What a bid can cost and what an offer sells is held before the slot is cleared. An order is a word
given to all others: once its slot is closed only a corrected reading takes an offer back, and the
suspension of its member does not. Clearing goes in steps, each following from the own stream alone,
so that a crash between any two changes nothing: `SlotCleared`, its trades, then what is left over.

Source: domain rules, section 9; decision 0003.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, Literal

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.positions import write_cause
from libs.events.quantities import format_instant
from libs.events.trade_commands import PlaceOrder, WithdrawOrder
from libs.events.trading import (
    MARKET_KEY,
    TOKEN,
    OrderPlaced,
    OrderWithdrawn,
    SlotCleared,
    SlotMatch,
    TradeExecuted,
)
from libs.rules.authority import Order
from libs.rules.dumps import Dumpable, Dumped, Loaded, dump_parts, load_parts
from libs.rules.market import (
    LIMIT_PRICE_MIN,
    ORDERS_PER_SLOT_MAX,
    Match,
    bid_hold_stroops,
    clear,
    clears_at,
    slot_of,
)
from libs.rules.postings import Books
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import NotFound, Refused
from services.ledger.checks import check_energy, check_money, check_positive_energy
from services.ledger.moment import Moment
from services.ledger.order_book import OpenOrder, OrderBook
from services.ledger.slot_energy import SlotEnergy
from services.ledger.trading import PRICE_STROOPS_PER_KWH_MAX

SLOT_AHEAD_S: Final = 7 * 86_400
"""How far ahead a slot may lie, in seconds; it bounds how many slots are open at a time."""

ORDERS_PER_MEMBER_MAX: Final = 20
"""Most open orders of one member in one slot, so that nobody fills it alone."""

STEP_FACTS_MAX: Final = 100
"""Most facts of one step of a clearing: those of one decision."""


@dataclass(frozen=True, slots=True)
class _Settling:
    """A slot that was cleared and is not settled yet."""

    cleared: SlotCleared
    """What was decided."""
    cause: str
    """Names that fact: the cause of what follows."""
    done: int = 0
    """Number of its matches that became trades."""


class Market:
    """Orders and slots of one book."""

    facts: Final = SlotEnergy.facts | frozenset[type[Fact]](
        {OrderPlaced, OrderWithdrawn, SlotCleared, TradeExecuted}
    )
    """What `evolve` takes note of."""

    def __init__(self, *, books: Books, timekeeper: Timekeeper, moment: Moment) -> None:
        """Begin without orders.

        Args:
            books: What members have free.
            timekeeper: Knows the time up to which everything was read, so that a slot may clear.
            moment: The fact that said what time it is.
        """
        self._books, self._timekeeper, self._moment = books, timekeeper, moment
        self._orders = OrderBook()
        self._energy = SlotEnergy()
        self._settling: _Settling | None = None

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of the own stream; all others are ignored."""
        if not own:
            return
        fact = recorded.fact
        self._energy.evolve(fact)
        match fact:
            case OrderPlaced():
                self._orders.place(fact, recorded.sequence)
                if fact.side == "offer":
                    self._energy.change(fact.slot, fact.member, -fact.energy_wh)
            case OrderWithdrawn():
                self._orders.end(fact.order)
                if fact.side == "offer":
                    self._energy.change(fact.slot, fact.member, fact.energy_wh)
                self._end_settling()
            case SlotCleared():
                cause = write_cause(recorded.position, recorded.envelope.id)
                self._settling = _Settling(fact, cause)
            case TradeExecuted():
                self._fold_trade(fact)
            case _:
                pass

    def _fold_trade(self, fact: TradeExecuted) -> None:
        if fact.bid is None or fact.offer is None:
            return  # two members agreed on it without the market
        assert self._settling is not None, "a match follows from its slot"
        self._orders.trade(fact.bid, fact.energy_wh, fact.total_stroops)
        self._orders.trade(fact.offer, fact.energy_wh, 0)
        self._settling = replace(self._settling, done=self._settling.done + 1)
        self._end_settling()

    def _end_settling(self) -> None:
        """A slot is settled when all its trades stand and none of its orders is open."""
        settling = self._settling
        if settling is None or settling.done < len(settling.cleared.matches):
            return
        if not self._orders.of_slot(settling.cleared.slot):
            self._settling = None

    def newest_offers_of(self, member: str) -> Sequence[OpenOrder]:
        """Offers that a corrected reading may take back, whole, the newest first.

        Those of a slot that is being settled are not among them: they are sold or about to end.
        """
        settling = self._settling
        return [
            offer
            for offer in self._orders.offers_of(member)
            if settling is None or offer.placed.slot != settling.cleared.slot
        ]

    def place(self, order: Order) -> Sequence[Draft]:
        """A member bids for, or offers, energy of one slot.

        Raises:
            Refused: By the rule that the code names.
        """
        body, member = order.body(PlaceOrder), order.signer.member
        _check_slot(body.slot, order.time)
        if self._orders.was_used(body.order_id):
            raise Refused(
                "order-exists", f"there is or was an order {body.order_id}", field="body.orderId"
            )
        _check_amounts(body)
        self._check_room(body, member)
        held = 0
        if body.side == "bid":
            held = bid_hold_stroops(body.energy_wh, body.limit_stroops_per_kwh)
            check_money(self._books, member, TOKEN, held, "body.amount")
        else:
            self._check_energy(body, member)
        fact = OrderPlaced(
            order=body.order_id,
            member=member,
            side=body.side,
            slot=body.slot,
            asset=TOKEN,
            energy_wh=body.energy_wh,
            limit_stroops_per_kwh=body.limit_stroops_per_kwh,
            held_stroops=held,
            command=order.kept,
        )
        return (Draft(member, fact, f"{order.id}.order", order.time),)

    def _check_room(self, body: PlaceOrder, member: str) -> None:
        own = self._orders.of_member(member, body.slot)
        first = self._orders.get(next(iter(own))) if own else None
        if first is not None and first.placed.side != body.side:
            raise Refused(
                "own-order-crosses",
                f"your {first.placed.side} of this slot is open: nobody stands on both sides",
                field="body.side",
            )
        if len(own) >= ORDERS_PER_MEMBER_MAX:
            raise Refused(
                "too-many-orders", f"at most {ORDERS_PER_MEMBER_MAX} in a slot", field="body.slot"
            )
        if len(self._orders.of_slot(body.slot)) >= ORDERS_PER_SLOT_MAX:
            raise Refused(
                "slot-full", f"it has {ORDERS_PER_SLOT_MAX} open orders", field="body.slot"
            )

    def _check_energy(self, body: PlaceOrder, member: str) -> None:
        """See that the energy was minted in the slot, and that the tokens are free."""
        left = self._energy.left_wh(body.slot, member)
        if body.energy_wh > left:
            raise Refused(
                "not-minted-in-slot",
                f"{max(left, 0)} Wh were minted for you in this slot and are not offered",
                field="body.amount",
            )
        check_energy(self._books, member, body.energy_wh, "body.amount")

    def withdraw(self, order: Order) -> Sequence[Draft]:
        """A member takes an order back before its slot is closed.

        Raises:
            NotFound: There never was such an order.
            Refused: The order ended, is another member's, or its slot is closed.
        """
        name, field = order.body(WithdrawOrder).order_id, "body.orderId"
        found = self._orders.get(name)
        if found is None and not self._orders.was_used(name):
            raise NotFound("unknown-order", f"there is no order {name}", field=field)
        if found is None:
            raise Refused("order-closed", f"{name} has ended", field=field)
        if found.placed.member != order.signer.member:
            raise Refused("not-your-order", f"{name} is another member's", field=field)
        _check_open(found.placed.slot, order.time, field)
        fact = withdrawal(found, "member", command=order.kept)
        return (Draft(fact.member, fact, f"{order.id}.withdrawn", order.time),)

    def due(self) -> Sequence[Draft]:
        """The next step of clearing a slot, or nothing."""
        now = self._moment.now
        if now is None:
            return ()
        if self._settling is not None:
            return self._step(self._settling, now)
        slot = self._orders.slot_due(now)
        common = None if slot is None else self._timekeeper.common
        if slot is None or common is None or common < clears_at(slot):
            return ()
        return (Draft(MARKET_KEY, self._cleared(slot), _fact_id(slot), now, self._moment.cause),)

    def _cleared(self, slot: datetime) -> SlotCleared:
        opened = [self._orders.get(name) for name in self._orders.of_slot(slot)]
        orders = [each.on_market for each in opened if each is not None]
        clearing = clear(orders)
        return SlotCleared(
            slot=slot,
            asset=TOKEN,
            orders=len(orders),
            price_stroops_per_kwh=clearing.price_stroops_per_kwh,
            energy_wh=clearing.energy_wh,
            matches=tuple(map(_slot_match, clearing.matches)),
        )

    def _step(self, settling: _Settling, now: datetime) -> Sequence[Draft]:
        """The next trades; when all stand, the end of the orders of which something is left."""
        cleared, cause = settling.cleared, settling.cause
        matches = cleared.matches[settling.done : settling.done + STEP_FACTS_MAX]
        if matches:
            trades = [_trade(cleared, match) for match in matches]
            return [
                Draft(trade.seller, trade, _fact_id(cleared.slot, trade.trade), now, cause)
                for trade in trades
            ]
        names = islice(self._orders.of_slot(cleared.slot), STEP_FACTS_MAX)
        left = [each for each in map(self._orders.get, names) if each is not None]
        return [
            Draft(
                each.placed.member,
                withdrawal(each, "cleared"),
                _fact_id(cleared.slot, each.placed.order),
                now,
                cause,
            )
            for each in left
        ]

    def dump(self) -> Dumped:
        """Give orders, energy and the slot that is being settled for a snapshot."""
        settling = self._settling
        return {
            "settling": (
                [each.cleared.model_dump_json(), each.cause, each.done]
                for each in (settling,)
                if each is not None
            ),
            **dump_parts(self._parts()),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        load_parts(self._parts(), dumped)
        for text, cause, done in dumped["settling"]:
            self._settling = _Settling(SlotCleared.model_validate_json(text), cause, done)

    def _parts(self) -> dict[str, Dumpable]:
        return {"orders": self._orders, "energy": self._energy}


def withdrawal(
    order: OpenOrder,
    reason: Literal["member", "cleared", "correction"],
    *,
    command: str | None = None,
) -> OrderWithdrawn:
    """The fact that ends an order: all that it still holds is free again.

    Args:
        order: The order.
        reason: Why it ends.
        command: The member's signed command, where it is his wish and is kept here.
    """
    placed = order.placed
    return OrderWithdrawn(
        order=placed.order,
        member=placed.member,
        side=placed.side,
        slot=placed.slot,
        asset=placed.asset,
        energy_wh=order.energy_wh,
        returned_stroops=order.held_stroops,
        reason=reason,
        command=command,
    )


def _check_slot(slot: datetime, now: datetime) -> None:
    if slot != slot_of(slot):
        raise Refused("not-a-slot", "a slot starts at a quarter of an hour", field="body.slot")
    if slot - now > timedelta(seconds=SLOT_AHEAD_S):
        days = SLOT_AHEAD_S // 86_400
        raise Refused("slot-too-far", f"at most {days} days ahead", field="body.slot")
    _check_open(slot, now, "body.slot")


def _check_open(slot: datetime, now: datetime, field: str) -> None:
    """Refuse what comes too late, even if the slot is not cleared yet: the same in every run."""
    if now >= clears_at(slot):
        closed_at = format_instant(clears_at(slot))
        raise Refused("slot-closed", f"it was closed at {closed_at}", field=field)


def _check_amounts(body: PlaceOrder) -> None:
    limit = body.limit_stroops_per_kwh
    check_positive_energy(body.energy_wh)
    if limit < LIMIT_PRICE_MIN:
        raise Refused(
            "price-too-low", f"at least {LIMIT_PRICE_MIN} stroops a kWh", field="body.pricePerUnit"
        )
    if limit > PRICE_STROOPS_PER_KWH_MAX:
        raise Refused("out-of-range", "more than a fact can say", field="body.pricePerUnit")


def _slot_match(match: Match) -> SlotMatch:
    return SlotMatch(
        bid=match.bid,
        offer=match.offer,
        buyer=match.buyer,
        seller=match.seller,
        energy_wh=match.energy_wh,
        total_stroops=match.amount_stroops,
    )


def _trade(cleared: SlotCleared, match: SlotMatch) -> TradeExecuted:
    assert cleared.price_stroops_per_kwh is not None, "where orders met there is a price"
    return TradeExecuted(
        trade=f"{match.bid}.{match.offer}",
        seller=match.seller,
        buyer=match.buyer,
        asset=cleared.asset,
        energy_wh=match.energy_wh,
        price_stroops_per_kwh=cleared.price_stroops_per_kwh,
        total_stroops=match.total_stroops,
        slot=cleared.slot,
        bid=match.bid,
        offer=match.offer,
    )


def _fact_id(slot: datetime, *of: str) -> str:
    """Id of a fact of a slot; its colons tell it from the ids of what commands lead to."""
    return ".".join((f"slot:{format_instant(slot)}", *of))
