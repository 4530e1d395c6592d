"""The rules of transfers: at once, or in two phases: reserve, then post, void or expire. Pure.

A transfer moves money and energy on several legs, all or nothing. What is reserved for named
receivers is held; the payer cannot take it back before it expires. What took effect is undone only
by a compensating entry. What lies between two books is decided in `between.py`.

Source: docs/decisions/0003.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.quantities import format_instant
from libs.events.trade_commands import (
    PostTransfer,
    ReserveTransfer,
    ReverseTransfer,
    TransferFunds,
    VoidTransfer,
)
from libs.events.trading import (
    EnergyLeg,
    Leg,
    MoneyLeg,
    TransferPosted,
    TransferReserved,
    TransferReversed,
    TransferVoided,
    book_key,
)
from libs.rules.authority import Authority, Order
from libs.rules.dumps import Dumped, Loaded, dump_parts, load_parts
from libs.rules.postings import Books
from libs.runtime.failures import NotFound, Refused
from services.ledger.checks import (
    check_book_money,
    check_energy,
    check_expiry,
    check_money,
    check_open,
    check_party,
)
from services.ledger.deadlines import Deadlines
from services.ledger.moment import Moment
from services.ledger.reversible import REVERSIBLE, REVERSIBLE_MAX, Effective, Reversible
from services.ledger.used import UsedIds

EXPIRIES_MAX = 100
"""Most transfers that expire in one decision."""

_TRANSFER, _LEGS = "body.transfer", "body.legs"


class Transfers:
    """Transfers of one book: the open ones, those that can be reversed, and all others as used."""

    def __init__(
        self,
        *,
        authority: Authority,
        books: Books,
        moment: Moment,
        book: str,
        others: Sequence[str],
        reversible_max: int = REVERSIBLE_MAX,
    ) -> None:
        """Begin with no transfer.

        Args:
            authority: Members and time.
            books: The balances.
            moment: The fact by which transfers expire.
            book: Name of the book.
            others: The other books of the installation.
            reversible_max: The most transfers of one giver that can be reversed, at least 1.
        """
        self._authority, self._books, self._moment = authority, books, moment
        self._book, self._others = book, frozenset(others)
        self.open: dict[str, TransferReserved] = {}
        """Reserved transfers by id, without their commands."""
        self.used = UsedIds("transfer")
        """The ids of all transfers of this book."""
        self._deadlines = Deadlines()
        self._of_payers: Counter[str] = Counter()
        self._reversible = Reversible(reversible_max)
        self._folds: dict[type[Fact], Callable[[Any, datetime], None]] = {
            TransferReserved: self._reserved,
            TransferPosted: self._posted,
            TransferVoided: self._voided,
            TransferReversed: self._reversed,
        }

    @property
    def facts(self) -> Collection[type[Fact]]:
        """What `evolve` takes note of."""
        return self._folds.keys()

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of the own stream."""
        fold = self._folds.get(type(recorded.fact)) if own else None
        if fold is not None:
            fold(recorded.fact, recorded.envelope.time)

    def due(self) -> Sequence[Draft]:
        """The reservations of this book whose time is over, some at once."""
        moment = self._moment
        names = self._deadlines.due(moment.now, EXPIRIES_MAX)
        return [self._expire(self.open[name]) for name in names]

    def _expire(self, held: TransferReserved) -> Draft:
        assert self._moment.now is not None, "nothing expires without a time"
        fact = TransferVoided(
            transfer=held.transfer, from_member=held.from_member, legs=held.legs, reason="expired"
        )
        fact_id = f"transfer:{held.transfer}.expired"
        return Draft(held.from_member, fact, fact_id, self._moment.now, self._moment.cause)

    def transfer(self, order: Order) -> Sequence[Draft]:
        """The signer gives at once."""
        body, payer = order.body(TransferFunds), order.signer.member
        self._check_new(body.transfer)
        self._check_receivers(payer, body.legs)
        self._check_cover(payer, body.legs)
        fact = TransferPosted(
            transfer=body.transfer,
            from_member=payer,
            legs=body.legs,
            is_held=False,
            returned_stroops=0,
            returned_wh=0,
            metadata=body.metadata,
            command=order.kept,
        )
        return (Draft(payer, fact, f"{order.id}.posted", order.time),)

    def reserve(self, order: Order) -> Sequence[Draft]:
        """The signer holds what receivers of this book, or one of another book, may have."""
        body, payer = order.body(ReserveTransfer), order.signer.member
        self._check_new(body.transfer)
        check_open(self._of_payers[payer], "too-many-transfers", _TRANSFER)
        if body.to_book is None:
            self._check_receivers(payer, body.legs)
        else:
            self._check_other_book(body.to_book, body.legs)
        check_expiry(body.expires_at, order.time, "body.expires_at")
        self._check_cover(payer, body.legs)
        fact = TransferReserved(
            transfer=body.transfer,
            from_member=payer,
            legs=body.legs,
            to_book=body.to_book,
            expires_at=body.expires_at,
            metadata=body.metadata,
            command=order.kept,
        )
        key = payer if body.to_book is None else book_key(body.to_book)
        return (Draft(key, fact, f"{order.id}.reserved", order.time),)

    def post(self, order: Order) -> Sequence[Draft]:
        """A receiver takes what is held, of a single leg also a part."""
        body = order.body(PostTransfer)
        held = self._held_for(order, body.transfer)
        for party in dict.fromkeys((held.from_member, *_receivers(held.legs))):
            check_party(self._authority, party, _TRANSFER)
        legs, (stroops, energy_wh) = _taken(held.legs, body)
        fact = TransferPosted(
            transfer=held.transfer,
            from_member=held.from_member,
            legs=legs,
            is_held=True,
            returned_stroops=stroops,
            returned_wh=energy_wh,
            command=order.kept,
        )
        return (Draft(held.from_member, fact, f"{order.id}.posted", order.time),)

    def void(self, order: Order) -> Sequence[Draft]:
        """A receiver gives up what is held for him and for the others."""
        held = self._held_for(order, order.body(VoidTransfer).transfer)
        fact = TransferVoided(
            transfer=held.transfer,
            from_member=held.from_member,
            legs=held.legs,
            reason="receiver",
            command=order.kept,
        )
        return (Draft(held.from_member, fact, f"{order.id}.voided", order.time),)

    def reverse(self, order: Order) -> Sequence[Draft]:
        """An approver undoes what took effect; nobody's suspension protects what he received."""
        order.require("approver")
        body = order.body(ReverseTransfer)
        posted = self._to_reverse(body.transfer, order.time)
        for (receiver, asset), amount in _sums((leg.to_member, leg) for leg in posted.legs).items():
            self._check_has(receiver, asset, amount, _TRANSFER)
        fact = TransferReversed(
            transfer=posted.transfer,
            from_member=posted.from_member,
            legs=posted.legs,
            reason=body.reason,
            command=order.text,
        )
        return (Draft(posted.from_member, fact, f"{order.id}.reversed", order.time),)

    def _check_new(self, transfer: str) -> None:
        if transfer in self.used:
            raise Refused("transfer-exists", "its id was used before", field=_TRANSFER)

    def _check_receivers(self, payer: str, legs: Sequence[Leg]) -> None:
        for number, leg in enumerate(legs):
            field = f"{_LEGS}.{number}.to_member"
            check_party(self._authority, leg.to_member, field)
            if leg.to_member == payer:
                raise Refused("same-party", "nobody gives to himself", field=field)

    def _check_other_book(self, to_book: str, legs: Sequence[Leg]) -> None:
        """Whether the receiver is known there is for that book to say."""
        if to_book == self._book:
            raise Refused("same-book", "leave the book out within one book", field="body.to_book")
        if to_book not in self._others:
            raise NotFound("unknown-book", f"there is no book {to_book}", field="body.to_book")
        if len(legs) != 1 or not isinstance(legs[0], MoneyLeg):
            text = "to another book one leg of money moves; tokens stay in their book"
            raise Refused("not-one-money-leg", text, field=_LEGS)

    def _check_cover(self, payer: str, legs: Sequence[Leg]) -> None:
        for number, leg in enumerate(legs):
            if isinstance(leg, MoneyLeg):
                check_book_money(leg.asset, f"{_LEGS}.{number}.asset")
        for (_, asset), amount in _sums((payer, leg) for leg in legs).items():
            self._check_has(payer, asset, amount, _LEGS)

    def _check_has(self, member: str, asset: str | None, amount: int, field: str) -> None:
        if asset is None:
            check_energy(self._books, member, amount, field)
        else:
            check_money(self._books, member, asset, amount, field)

    def _held_for(self, order: Order, transfer: str) -> TransferReserved:
        """The open reservation of which the signer is a receiver."""
        held = self.open.get(transfer)
        if held is None:
            self._check_known(transfer)
            raise Refused("transfer-closed", "it was posted or voided", field=_TRANSFER)
        if held.to_book is not None:
            text = f"book {held.to_book} posts or voids it by itself"
            raise Refused("transfer-between-books", text, field=_TRANSFER)
        if order.signer.member not in _receivers(held.legs):
            raise Refused("wrong-signer", "a receiver must sign it", field="member")
        if order.time >= held.expires_at:
            until = format_instant(held.expires_at)
            raise Refused("transfer-expired", f"it was held until {until}", field=_TRANSFER)
        return held

    def _check_known(self, transfer: str) -> None:
        if transfer not in self.used:
            text = f"there is no transfer {transfer}"
            raise NotFound("unknown-transfer", text, field=_TRANSFER)

    def _to_reverse(self, transfer: str, now: datetime) -> TransferPosted:
        self._check_known(transfer)
        if transfer in self.open:
            raise Refused("transfer-not-posted", "it took no effect so far", field=_TRANSFER)
        found = self._reversible.get(transfer, now)
        if found is None:
            text = f"only what took effect within this book in the last {REVERSIBLE.days} days"
            raise Refused("not-reversible", text, field=_TRANSFER)
        if not found.text:
            raise Refused("transfer-reversed", "it was reversed before", field=_TRANSFER)
        return TransferPosted.model_validate_json(found.text)

    def _reserved(self, fact: TransferReserved, _: datetime) -> None:
        self.used.add(fact.transfer)
        self._hold(fact.model_copy(update={"command": None}))

    def _hold(self, fact: TransferReserved) -> None:
        self.open[fact.transfer] = fact
        self._of_payers[fact.from_member] += 1
        if fact.to_book is None:  # else only the other book knows whether it came in time
            self._deadlines.add(fact.expires_at, fact.transfer)

    def _release(self, transfer: str) -> None:
        held = self.open.pop(transfer, None)
        if held is not None:
            self._deadlines.remove(held.expires_at, transfer)
            self._of_payers[held.from_member] -= 1

    def _posted(self, fact: TransferPosted, at: datetime) -> None:
        if fact.from_book is not None:
            return  # its id is the other book's
        self.used.add(fact.transfer)
        self._release(fact.transfer)
        if fact.to_book is None:
            bare = fact.model_copy(update={"command": None, "metadata": None})
            text = bare.model_dump_json(exclude_none=True)
            self._reversible.keep(fact.transfer, Effective(fact.from_member, at, text))

    def _voided(self, fact: TransferVoided, _: datetime) -> None:
        if fact.from_book is None:
            self._release(fact.transfer)

    def _reversed(self, fact: TransferReversed, _: datetime) -> None:
        self._reversible.reverse(fact.transfer)

    def dump(self) -> Dumped:
        """Give open, reversible and used transfers, for a snapshot."""
        held = tuple(self.open.values())
        return {
            "open": (each.model_dump_json(exclude_none=True) for each in held),
            **dump_parts({"used": self.used, "reversible": self._reversible}),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for text in dumped["open"]:
            self._hold(TransferReserved.model_validate_json(text))
        load_parts({"used": self.used, "reversible": self._reversible}, dumped)


def _receivers(legs: Sequence[Leg]) -> tuple[str, ...]:
    return tuple(leg.to_member for leg in legs)


def _sums(legs: Iterable[tuple[str, Leg]]) -> Counter[tuple[str, str | None]]:
    """What each member needs in all, by asset of money, or `None` for energy."""
    found: Counter[tuple[str, str | None]] = Counter()
    for member, leg in legs:
        if isinstance(leg, MoneyLeg):
            found[member, leg.asset] += leg.amount_stroops
        else:
            found[member, None] += leg.energy_wh
    return found


def _taken(legs: tuple[Leg, ...], body: PostTransfer) -> tuple[tuple[Leg, ...], tuple[int, int]]:
    """The legs as the receiver takes them, and what goes back: stroops, and Wh.

    Raises:
        Refused: A part of several legs, of the other kind, or more than is held.
    """
    if body.amount_stroops is None and body.energy_wh is None:
        return legs, (0, 0)
    leg, *others = legs
    field = "body.amount_stroops" if body.energy_wh is None else "body.energy_wh"
    if others:
        raise Refused("not-one-leg", "of several legs all are posted, or none", field=field)
    if isinstance(leg, MoneyLeg) and body.amount_stroops is not None and body.energy_wh is None:
        back = leg.amount_stroops - body.amount_stroops
        returned = (back, 0)
        taken: Leg = MoneyLeg(
            to_member=leg.to_member, asset=leg.asset, amount_stroops=body.amount_stroops
        )
    elif isinstance(leg, EnergyLeg) and body.energy_wh is not None and body.amount_stroops is None:
        back = leg.energy_wh - body.energy_wh
        returned = (0, back)
        taken = EnergyLeg(to_member=leg.to_member, energy_wh=body.energy_wh)
    else:
        raise Refused("other-kind", "its leg is of the other kind", field=field)
    if back < 0:
        raise Refused("more-than-held", f"{-back} more than is held", field=field)
    return (taken,), returned
