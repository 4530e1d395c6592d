"""The rules of supply: what follows when somebody is late, and when he is cured. Pure.

Billing says that a level was reached; we act on it only while the part of the invoice that was due
then is unpaid by our own books. So an escalation that comes late, when all was paid, causes
nothing, in whatever order the streams are read. What a default led to is ended by one
`SupplyRestored`; escalations from before it belong to that default and are never acted on again.

The first loss is covered in the same decision as the disconnection, so once per default. A
guarantor pays what the original owners are owed; two guarantors never pay each other.

Source: domain rules, section 8; docs/decisions/0005, "Supply".
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import islice
from typing import Final, Literal

from libs.events.books import PaymentSettled, TitleMove
from libs.events.dunning import EscalationLevel, EscalationReached
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, CreditNoteIssued, InvoiceIssued
from libs.events.positions import write_cause
from libs.events.quantities import format_instant, parse_instant
from libs.events.repaying import CreditApplied, CreditNoteSettled, InvoiceCapped, PrepaidApplied
from libs.events.supply import (
    FirstLossCovered,
    SupplyDisconnected,
    SupplyDiverted,
    SupplyRestored,
)
from libs.events.system_commands import ReclaimHolding
from libs.events.systems import HoldingOwned, HoldingReclaimed
from libs.rules.authority import Order
from libs.rules.dumps import Dumped, Loaded, dump_parts, load_parts
from libs.rules.postings import Books
from libs.rules.rating import Diversions
from libs.rules.receivables import Billed, Receivables
from libs.rules.returns import waterfall
from libs.runtime.failures import NotFound, Refused
from services.ledger.agreements import Agreements
from services.ledger.moment import Moment
from services.ledger.returns import Returns, money_moves
from services.ledger.systems import Systems

GUARANTORS_AT_ONCE: Final = 90
"""Most guarantors who cover one default, so that the facts fit into one decision."""

_CURING: Final = frozenset[type[Fact]](
    {
        PaymentSettled,
        CreditApplied,
        PrepaidApplied,
        InvoiceCapped,
        CreditNoteIssued,
        CreditNoteSettled,
        HoldingOwned,
    }
)
"""After these less may be overdue."""


@dataclass(frozen=True, slots=True)
class _Reached:
    """An escalation that billing told."""

    invoice: str
    at: datetime
    cause: str


@dataclass(slots=True)
class _Default:
    """What a default has led to by now."""

    holding: str
    is_diverted: bool = False
    is_disconnected: bool = False


class Supply:
    """Who is diverted or disconnected, and what billing said of whom."""

    facts: Final = (
        _CURING
        | Diversions.facts
        | frozenset[type[Fact]]({EscalationReached, InvoiceIssued, SupplyDisconnected})
    )
    """What `evolve` takes note of."""

    def __init__(
        self,
        *,
        books: Books,
        moment: Moment,
        systems: Systems,
        agreements: Agreements,
        receivables: Receivables,
        returns: Returns,
    ) -> None:
        """Begin with nobody late.

        Args:
            books: Cover and title.
            moment: The time.
            systems: Offtakers, guarantors and holdings.
            agreements: The agreements.
            receivables: What is overdue by our own books.
            returns: Accrues, and knows the claims.
        """
        self._books, self._moment, self._systems = books, moment, systems
        self._agreements, self._receivables, self._returns = agreements, receivables, returns
        self.diversions = Diversions()
        """When which holding was diverted: minting and grid sales ask."""
        self._reached: dict[str, dict[EscalationLevel, _Reached]] = defaultdict(dict)
        self._defaults: dict[str, _Default] = {}
        self._cured: dict[str, tuple[int, datetime]] = {}
        # Agreements with an invoice that was undone and is not issued again yet, and that invoice.
        self._undone: dict[str, str] = {}
        # What is to be looked at, and why: an index, so that asking costs nothing.
        self._look: dict[str, str] = {}

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of the own stream or of billing."""
        fact, at = recorded.fact, recorded.envelope.time
        cause = write_cause(recorded.position, recorded.envelope.id)
        if isinstance(fact, EscalationReached):
            reached = _Reached(fact.invoice, at, cause)
            self._reached[fact.agreement][fact.level] = reached
            self._look[fact.agreement] = cause
        elif isinstance(fact, CreditNoteIssued):
            if fact.reason != "dispute":  # it is issued again, and may be overdue at once
                self._undone[fact.agreement] = fact.invoice
            self._cause_a_look(fact.agreement, cause)
        elif isinstance(fact, InvoiceIssued):
            if fact.replaces is not None:
                self._undone.pop(fact.agreement, None)
            self._cause_a_look(fact.agreement, cause)
        elif own:
            self._evolve_own(fact, at)
            agreement = getattr(fact, "agreement", "")
            self._cause_a_look(agreement, cause)

    def _cause_a_look(self, agreement: str, cause: str) -> None:
        if agreement in self._defaults:
            self._look[agreement] = cause

    def _evolve_own(self, fact: Fact, at: datetime) -> None:
        self.diversions.evolve(fact, at)
        match fact:
            case SupplyDiverted():
                self._default(fact.agreement, fact.holding).is_diverted = True
            case SupplyDisconnected():
                self._default(fact.agreement, fact.holding).is_disconnected = True
            case SupplyRestored():
                del self._defaults[fact.agreement]
                count, _ = self._cured.get(fact.agreement, (0, at))
                self._cured[fact.agreement] = count + 1, at
            case _:
                pass

    def _default(self, agreement: str, holding: str) -> _Default:
        return self._defaults.setdefault(agreement, _Default(holding))

    def due(self) -> Sequence[Draft]:
        """The next step of a default, or its end."""
        now = self._moment.now
        if now is None:
            return ()
        for agreement in tuple(self._look):
            if drafts := self._decide(agreement, now):
                return drafts
            del self._look[agreement]
        return ()

    def _decide(self, name: str, now: datetime) -> Sequence[Draft]:
        opened, default = self._agreements.get(name), self._defaults.get(name)
        if opened is None or self._agreements.is_ended(opened) or name in self._undone:
            return ()
        is_cured = self._agreements.is_owned(opened) or not self._overdue(name, now)
        if default is not None and is_cured:
            restored = SupplyRestored(holding=opened.holding, agreement=name)
            return (self._draft(opened, restored, "restored", now, self._look[name]),)
        if is_cured:
            return ()
        return self._divert(opened, now) or self._disconnect(opened, now)

    def _overdue(self, agreement: str, now: datetime) -> bool:
        """Tell whether something of an agreement is overdue by our own books."""
        return any(
            self._receivables.overdue_stroops(each, now)
            for each in self._receivables.oldest_first(agreement)
        )

    def _late(self, agreement: str, level: EscalationLevel) -> _Reached | None:
        """The escalation at a level that still holds: what was overdue then is unpaid now."""
        reached = self._reached.get(agreement, {}).get(level)
        if reached is None:
            return None
        cured = self._cured.get(agreement)
        invoice = self._receivables.get(reached.invoice)
        if invoice is None or (cured is not None and reached.at <= cured[1]):
            return None
        return reached if self._receivables.overdue_stroops(invoice, reached.at) else None

    def _divert(self, opened: AgreementOpened, now: datetime) -> Sequence[Draft]:
        """Grace is over: sell the holding's energy, where there is somebody who buys it."""
        default = self._defaults.get(opened.agreement)
        reached = self._late(opened.agreement, "diversion")
        system = self._systems.systems.get(opened.system)
        if reached is None or (default is not None and default.is_diverted):
            return ()
        if system is None or system.proposed.offtaker is None:
            return ()
        fact = SupplyDiverted(
            holding=opened.holding, agreement=opened.agreement, invoice=reached.invoice
        )
        return (self._draft(opened, fact, "diverted", now, reached.cause),)

    def _disconnect(self, opened: AgreementOpened, now: datetime) -> Sequence[Draft]:
        """Open the relay and let guarantors step in; what accrues before is a decision before."""
        default = self._defaults.get(opened.agreement)
        reached = self._late(opened.agreement, "disconnection")
        if reached is None or (default is not None and default.is_disconnected):
            return ()
        covers, loss = self._covers(opened), self._first_loss(opened, now)
        if covers and loss and (accrued := self._accrue(opened, loss, now)):
            return [draft._replace(cause=reached.cause) for draft in accrued]
        fact = SupplyDisconnected(
            holding=opened.holding, agreement=opened.agreement, invoice=reached.invoice
        )
        drafts = [self._draft(opened, fact, "disconnected", now, reached.cause)]
        for covered in islice(self._cover(opened, covers, loss), GUARANTORS_AT_ONCE):
            kind = f"covered.{covered.guarantor}"
            drafts.append(self._draft(opened, covered, kind, now, None))
        return drafts

    def _covers(self, opened: AgreementOpened) -> dict[str, int]:
        """What is left of every guarantor's cover, in the order of deposit."""
        system = self._systems.systems.get(opened.system)
        names = () if system is None else system.guarantors
        asset, place = f"U:{opened.asset}", f"cover:{opened.system}"
        covers = {name: self._books.balance(asset, f"{place}:{name}") for name in names}
        return {name: amount for name, amount in covers.items() if amount}

    def _first_loss(self, opened: AgreementOpened, now: datetime) -> int:
        """Overdue energy, at most what is owed to the investors, in stroops."""
        overdue = sum(
            _overdue_energy(self._receivables, each, now)
            for each in self._receivables.oldest_first(opened.agreement)
        )
        owed = self._returns.with_today(opened.agreement, now) + self._agreements.principal(opened)
        return min(overdue, owed)

    def _accrue(self, opened: AgreementOpened, loss: int, now: datetime) -> Sequence[Draft]:
        """What accrues before: where title changes on the whole system, else on this agreement."""
        paid = min(loss, sum(self._covers(opened).values()))
        if paid > self._returns.with_today(opened.agreement, now):
            return self._returns.accrue_system(opened.system, now)
        return self._returns.accrue(opened.agreement, now)

    def _cover(
        self, opened: AgreementOpened, covers: Mapping[str, int], loss: int
    ) -> Iterator[FirstLossCovered]:
        """What each guarantor pays of the loss: first accrued return by claim, then principal."""
        claims = self._returns.claims(opened)
        prefix = f"title:{opened.system}:"
        held = self._books.accounts(f"T:{opened.system}", prefix)
        titles = {name.removeprefix(prefix): shares for name, shares in held.items()}
        for guarantor, cover in covers.items():
            amount = min(cover, loss)
            if not amount:
                return
            loss -= amount
            for_return, for_principal = waterfall(
                amount, sum(claims.values()), sum(titles.values())
            )
            returns = self._returns.by_weight(for_return, claims)
            principal = self._returns.by_weight(for_principal, titles)
            # What he takes over is his own risk: the next guarantor does not pay him for it.
            claims = {name: left - returns.get(name, 0) for name, left in claims.items()}
            titles = {name: left - principal.get(name, 0) for name, left in titles.items()}
            yield FirstLossCovered(
                holding=opened.holding,
                agreement=opened.agreement,
                system=opened.system,
                asset=opened.asset,
                guarantor=guarantor,
                amount_stroops=amount,
                returns=money_moves(returns),
                principal=tuple(
                    TitleMove(member=name, shares=part) for name, part in principal.items()
                ),
                cover_left_stroops=cover - amount,
            )

    def reclaim(self, order: Order) -> Sequence[Draft]:
        """An approver takes a holding back that is twelve periods late and uncured.

        Raises:
            NotFound: Code `unknown-holding`.
            Refused: Code `wrong-role`, `not-reclaimable` or `too-many-investors`.
        """
        order.require("approver")
        name = order.body(ReclaimHolding).holding
        holding = self._systems.holdings.get(name)
        if holding is None:
            raise NotFound("unknown-holding", f"there is no holding {name}", field="body.holding")
        opened = self._agreements.of_holding(name)
        is_held = holding.status == "HELD"
        if opened is None or not is_held or self._late(opened.agreement, "reclaim") is None:
            text = "only a holding that billing calls reclaimable, and that is still overdue"
            raise Refused("not-reclaimable", text, field="body.holding")
        own = self._agreements.own_shares(opened)
        moves = (TitleMove(member=holding.recipient, shares=own),) if own else ()
        if moves:
            system = self._systems[opened.system]
            self._systems.check_owner(system, holding.recipient, "body.holding")
        fact = HoldingReclaimed(
            holding=name,
            system=opened.system,
            agreement=opened.agreement,
            member=holding.recipient,
            units=holding.units,
            moves=moves,
            command=order.text,
        )
        accrued = (
            self._returns.accrue_system(opened.system, order.time)
            if moves
            else self._returns.accrue(opened.agreement, order.time)
        )
        return (*accrued, Draft(name, fact, f"{order.id}.reclaimed", order.time))

    def state_of(self, holding: str) -> Literal["supplied", "diverted", "disconnected"]:
        """What the site of a holding is to do."""
        opened = self._agreements.of_holding(holding)
        default = None if opened is None else self._defaults.get(opened.agreement)
        if default is None or not (default.is_disconnected or default.is_diverted):
            return "supplied"
        return "disconnected" if default.is_disconnected else "diverted"

    def _draft(
        self, opened: AgreementOpened, fact: Fact, kind: str, now: datetime, cause: str | None
    ) -> Draft:
        """A fact of a default; defaults of an agreement are numbered from 1."""
        number = self._cured.get(opened.agreement, (0, now))[0] + 1
        fact_id = f"supply:{opened.agreement}.{number}.{kind}"
        return Draft(opened.holding, fact, fact_id, now, cause)

    def dump(self) -> Dumped:
        """Give escalations and defaults, for a snapshot."""
        reached = [
            [agreement, level, each.invoice, format_instant(each.at), each.cause]
            for agreement, levels in self._reached.items()
            for level, each in levels.items()
        ]
        cured, undone = dict(self._cured), dict(self._undone)
        return {
            "reached": reached,
            "defaults": [
                [agreement, *(getattr(each, one.name) for one in fields(each))]
                for agreement, each in self._defaults.items()
            ],
            "cured": ([name, n, format_instant(at)] for name, (n, at) in cured.items()),
            "undone": (list(each) for each in undone.items()),
            **dump_parts({"diversions": self.diversions}),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for agreement, level, invoice, at, cause in dumped["reached"]:
            self._reached[agreement][level] = _Reached(invoice, parse_instant(at), cause)
            self._look[agreement] = cause
        for agreement, *values in dumped["defaults"]:
            self._defaults[agreement] = _Default(*values)
        for agreement, count, at in dumped["cured"]:
            self._cured[agreement] = count, parse_instant(at)
        self._undone.update(dict(dumped["undone"]))
        load_parts({"diversions": self.diversions}, dumped)


def _overdue_energy(receivables: Receivables, invoice: Billed, now: datetime) -> int:
    """Overdue energy of an invoice: what is left of it after the classes that are cleared first."""
    other = receivables.open_stroops(invoice) - receivables.open_stroops(invoice, "energy")
    return max(0, receivables.overdue_stroops(invoice, now) - other)
