"""The rules of what a raise pays for, and of cover: contractors, guarantors. Pure.

A contractor is paid from what was raised once two members said so: the recipient of the raise and
an approver. Cover waits beside the raise for the investors' first loss, and what is left goes back.

Source: domain rules, section 7; docs/decisions/0005.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final, Literal

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.system_commands import DepositCover, PayContractor
from libs.events.systems import ContractorPaid, CoverDeposited, CoverReleased, PayoutApproved
from libs.rules.authority import Authority, Order
from libs.rules.dumps import Dumped, Loaded
from libs.rules.postings import Books
from libs.runtime.failures import Refused
from services.ledger.checks import check_money
from services.ledger.staging import check_not_cancelled
from services.ledger.system_state import System
from services.ledger.systems import Systems

PAYOUTS_MAX: Final = 1_000
"""Most payouts of one system."""

GUARANTORS_MAX: Final = 20
"""Most guarantors of one system, whose cover is given back in one decision."""

_Confirmer = Literal["recipient", "approver"]


class Payouts:
    """Payouts of one book: those that one confirmed, and the names of those that were made."""

    def __init__(self, *, authority: Authority, books: Books, systems: Systems) -> None:
        """Begin with none.

        Args:
            authority: Members and time.
            books: The balances.
            systems: The systems of the book.
        """
        self._authority, self._books, self._systems = authority, books, systems
        self._confirmed: dict[tuple[str, str], PayoutApproved] = {}
        self._names: dict[str, dict[str, None]] = defaultdict(dict)

    @property
    def facts(self) -> Collection[type[Fact]]:
        """What `evolve` takes note of."""
        return {PayoutApproved, ContractorPaid}

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of the own stream."""
        fact = recorded.fact
        if own and isinstance(fact, PayoutApproved):
            self._put(fact)
        elif own and isinstance(fact, ContractorPaid):
            self._confirmed.pop((fact.system, fact.payout), None)
            self._names[fact.system][fact.payout] = None

    def _put(self, fact: PayoutApproved) -> None:
        self._confirmed[fact.system, fact.payout] = fact
        self._names[fact.system][fact.payout] = None

    def dump(self) -> Dumped:
        """Give what was confirmed once, and all names, for a snapshot."""
        confirmed = tuple(self._confirmed.values())
        return {
            "confirmed": (each.model_dump_json() for each in confirmed),
            "names": [[system, *names] for system, names in self._names.items()],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for system, *names in dumped["names"]:
            self._names[system].update(dict.fromkeys(names))
        for text in dumped["confirmed"]:
            self._put(PayoutApproved.model_validate_json(text))

    def due(self) -> Sequence[Draft]:
        """The cover of the next system that needs it no longer, of all its guarantors at once."""
        for name in self._systems.releasing:
            system = self._systems[name]
            assert system.trigger_at is not None, "it ended at some time"
            asset = system.proposed.asset
            return [
                Draft(
                    name,
                    CoverReleased(
                        system=name,
                        guarantor=each,
                        asset=asset,
                        amount_stroops=self._books.balance(f"U:{asset}", f"cover:{name}:{each}"),
                    ),
                    f"system:{name}.cover.{each}",
                    system.trigger_at,
                    system.trigger_cause,
                )
                for each in system.guarantors
            ]
        return ()

    def deposit_cover(self, order: Order) -> Sequence[Draft]:
        """A guarantor puts first-loss cover aside, before the raise is accepted."""
        body, guarantor = order.body(DepositCover), order.signer.member
        if "guarantor" not in order.signer.roles:
            raise Refused("no-guarantor", f"{guarantor} is no guarantor", field="member")
        system = self._systems.find(body.system)
        check_not_cancelled(system)
        if system.accepted:
            text = "cover is deposited until the raise is accepted"
            raise Refused("raise-not-open", text, field="body.system")
        asset = system.proposed.asset
        check_money(self._books, guarantor, asset, body.amount_stroops, "body.amount_stroops")
        if guarantor not in system.guarantors and len(system.guarantors) >= GUARANTORS_MAX:
            text = f"at most {GUARANTORS_MAX} guarantors of a system"
            raise Refused("too-many-guarantors", text, field="member")
        self._systems.check_owner(system, guarantor)
        fact = CoverDeposited(
            system=body.system,
            guarantor=guarantor,
            asset=asset,
            amount_stroops=body.amount_stroops,
            command=order.text,
        )
        return (Draft(body.system, fact, f"{order.id}.cover", order.time),)

    def pay(self, order: Order) -> Sequence[Draft]:
        """Recipient or approver confirms a payout; the second of both pays it."""
        body = order.body(PayContractor)
        system = self._systems.find(body.system)
        confirmer = _confirmer_of(system, order)
        before = self._confirmed.get((body.system, body.payout))
        self._check_new(body, before)
        if before is not None:
            _check_same(body, before, order.signer.member, confirmer)
        left = self._books.balance(f"U:{system.proposed.asset}", f"build:{body.system}")
        if body.amount_stroops > left:
            text = f"of what was raised {left} stroops are left"
            raise Refused("not-enough-build-money", text, field="body.amount_stroops")
        if before is None:
            fact: Fact = PayoutApproved(
                payout=body.payout,
                system=body.system,
                contractor=body.contractor,
                asset=system.proposed.asset,
                amount_stroops=body.amount_stroops,
                confirmed_by=order.signer.member,
                confirmed_as=confirmer,
                command=order.text,
            )
        else:
            fact = ContractorPaid(
                payout=body.payout,
                system=body.system,
                contractor=body.contractor,
                asset=system.proposed.asset,
                amount_stroops=body.amount_stroops,
                command=order.text,
            )
        return (Draft(body.system, fact, f"{order.id}.payout", order.time),)

    def _check_new(self, body: PayContractor, before: PayoutApproved | None) -> None:
        """Refuse a payout that was made, and one to a member who is no contractor."""
        names = self._names.get(body.system, {})
        if before is None and body.payout in names:
            raise Refused("payout-done", f"{body.payout} was paid", field="body.payout")
        contractor = self._authority.member(body.contractor)
        if contractor is None or "contractor" not in contractor.roles:
            text = f"{body.contractor} is no contractor"
            raise Refused("no-contractor", text, field="body.contractor")
        if before is None and len(names) >= PAYOUTS_MAX:
            text = f"at most {PAYOUTS_MAX} payouts of a system"
            raise Refused("too-many-payouts", text, field="body.payout")


def _confirmer_of(system: System, order: Order) -> _Confirmer:
    """As what the signer confirms: the recipient of this raise before anything else.

    Raises:
        Refused: The raise is not accepted, or the signer is neither.
    """
    if not system.accepted:
        raise Refused("raise-not-accepted", "its raise is not accepted", field="body.system")
    if order.signer.member == system.recipient:
        return "recipient"
    if "approver" in order.signer.roles:
        return "approver"
    if "recipient" in order.signer.roles:
        text = f"{system.recipient} accepted this raise and confirms its payouts"
        raise Refused("not-the-recipient", text, field="member")
    raise Refused("wrong-role", "the recipient or an approver confirms it", field="member")


def _check_same(
    body: PayContractor, before: PayoutApproved, member: str, confirmer: _Confirmer
) -> None:
    """Refuse a second confirmation of something else, and one by the same side."""
    if body.amount_stroops != before.amount_stroops:
        text = f"{before.confirmed_by} confirmed {before.amount_stroops} stroops"
        raise Refused("payout-other-amount", text, field="body.amount_stroops")
    if body.contractor != before.contractor:
        text = f"{before.confirmed_by} confirmed it for {before.contractor}"
        raise Refused("payout-other-contractor", text, field="body.contractor")
    if member == before.confirmed_by or confirmer == before.confirmed_as:
        other = "an approver" if before.confirmed_as == "recipient" else "the recipient"
        raise Refused("same-confirmer", f"it waits for {other}", field="member")
