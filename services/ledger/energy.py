"""The rules of energy tokens: minted by an approver, given away, used up; opening balances. Pure.

Minting of metered surplus has a module of its own. A factory's opening balances follow from its
registration: whatever stands in the register and not yet in this book is due, in whatever order
the two were read.

Source: domain rules, sections 3 and 9; docs/decisions/0003.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from libs.events.books import FundsDeposited
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.membership import MemberRegistered, Opening
from libs.events.positions import write_cause
from libs.events.trade_commands import MintEnergy, RetireEnergy, TransferEnergy
from libs.events.trading import EnergyMinted, EnergyRetired, EnergyTransferred
from libs.rules.authority import Authority, Order
from libs.rules.dumps import Dumped, Loaded
from libs.rules.postings import Books
from libs.rules.trade_postings import ENERGY
from libs.runtime.failures import Refused
from services.ledger.checks import (
    check_energy,
    check_party,
    check_positive_energy,
    check_signer,
)
from services.ledger.room import Room

_OPENING = "opening:"
"""How the ids of opening facts begin; no member is called so, hence no command's facts are."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """An opening balance that the register asks for."""

    opening: Opening
    cause: str


class Energy:
    """Tokens of one book: what an approver or a member does with them."""

    facts: Final = frozenset[type[Fact]]({MemberRegistered, EnergyMinted, FundsDeposited})
    """What `evolve` takes note of."""

    def __init__(self, *, authority: Authority, books: Books, room: Room, book: str) -> None:
        """Begin with no opening balance entered.

        Args:
            authority: Members and time.
            books: The balances.
            room: What the book can still take in.
            book: Name of the book; opening balances of others are not ours.
        """
        self._authority, self._books, self._room, self._book = authority, books, room, book
        self._entered: set[str] = set()
        self._pending: dict[str, _Asked] = {}

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold which opening balances are asked for, and which were entered."""
        fact = recorded.fact
        if isinstance(fact, MemberRegistered):
            self._ask(fact, write_cause(recorded.position, recorded.envelope.id))
        elif own and isinstance(fact, EnergyMinted | FundsDeposited):
            self._enter(fact.member, recorded.envelope.id)

    def _enter(self, member: str, fact_id: str) -> None:
        if fact_id.startswith(_OPENING):
            self._entered.add(member)
            self._pending.pop(member, None)

    def _ask(self, fact: MemberRegistered, cause: str) -> None:
        opening = fact.opening
        if opening is None or opening.book != self._book or fact.member in self._entered:
            return
        if opening.energy_wh or opening.amount_stroops:
            self._pending[fact.member] = _Asked(opening, cause)

    def due(self) -> Sequence[Draft]:
        """The opening balances of one member; whoever finds no room waits, and stops nobody."""
        now = self._authority.now
        if now is None:
            return ()
        for member, asked in self._pending.items():
            opening, cause = asked.opening, asked.cause
            money_left = self._room.left(f"U:{opening.asset}")
            if opening.energy_wh > self._room.left(ENERGY) or opening.amount_stroops > money_left:
                continue
            drafts = []
            if opening.energy_wh:
                minted = self._minted(f"{member}.opening.mint", member, opening.energy_wh, None)
                drafts.append(Draft(member, minted, f"{_OPENING}{member}.mint", now, cause))
            if opening.amount_stroops:
                deposited = FundsDeposited(
                    member=member, asset=opening.asset, amount_stroops=opening.amount_stroops
                )
                drafts.append(Draft(member, deposited, f"{_OPENING}{member}.deposit", now, cause))
            return drafts
        return ()

    def served_wh(self, member: str, energy_wh: int) -> int:
        """The part of a mint that serves the member's shortfall first, in Wh."""
        return min(energy_wh, self._books.balance(ENERGY, f"shortfall:{member}"))

    def mint(self, order: Order) -> Sequence[Draft]:
        """An approver makes tokens for energy that no meter reports."""
        order.require("approver")
        body = order.body(MintEnergy)
        check_party(self._authority, body.factory_id, "body.factoryId")
        check_positive_energy(body.energy_wh)
        self._room.check_energy(body.energy_wh, "body.amount")
        fact = self._minted(order.id, body.factory_id, body.energy_wh, order)
        return (Draft(body.factory_id, fact, f"{order.id}.mint", order.time),)

    def _minted(self, mint: str, member: str, energy_wh: int, order: Order | None) -> EnergyMinted:
        return EnergyMinted(
            mint=mint,
            member=member,
            reason="opening" if order is None else "approver",
            energy_wh=energy_wh,
            served_wh=self.served_wh(member, energy_wh),
            intervals=(),
            meters=(),
            command=None if order is None else order.kept,
        )

    def transfer(self, order: Order) -> Sequence[Draft]:
        """A member gives free tokens to another."""
        body = order.body(TransferEnergy)
        check_signer(order, body.from_member, "body.fromFactoryId")
        check_party(self._authority, body.to_member, "body.toFactoryId")
        if body.to_member == body.from_member:
            raise Refused("same-party", "nobody gives to himself", field="body.toFactoryId")
        check_positive_energy(body.energy_wh)
        check_energy(self._books, body.from_member, body.energy_wh, "body.amount")
        fact = EnergyTransferred(
            transfer=order.id,
            from_member=body.from_member,
            to_member=body.to_member,
            energy_wh=body.energy_wh,
            metadata=body.metadata,
            command=order.kept,
        )
        return (Draft(body.from_member, fact, f"{order.id}.transfer", order.time),)

    def retire(self, order: Order) -> Sequence[Draft]:
        """A member uses free tokens up."""
        body = order.body(RetireEnergy)
        check_signer(order, body.factory_id, "body.factoryId")
        check_positive_energy(body.energy_wh)
        check_energy(self._books, body.factory_id, body.energy_wh, "body.amount")
        fact = EnergyRetired(
            retirement=order.id,
            member=body.factory_id,
            energy_wh=body.energy_wh,
            purpose="use",
            command=order.kept,
        )
        return (Draft(body.factory_id, fact, f"{order.id}.retired", order.time),)

    def dump(self) -> Dumped:
        """Give who was entered and who waits, for a snapshot."""
        entered, pending = tuple(self._entered), dict(self._pending)
        return {
            "entered": (member for member in entered),
            "pending": (
                [member, each.opening.model_dump_json(), each.cause]
                for member, each in pending.items()
            ),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self._entered.update(dumped["entered"])
        for member, opening, cause in dumped["pending"]:
            self._pending[member] = _Asked(Opening.model_validate_json(opening), cause)
