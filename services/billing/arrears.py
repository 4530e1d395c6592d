"""What is overdue of every agreement, since when, and whether it was cured meanwhile. Pure.

The same facts give the same answers in whatever order the streams were read: what is open comes of
`Receivables`, when it was closed comes of the domain times of what cleared or credited it.

An invoice counts for lateness from the `TimeReached` of LEDGER on that had seen it, and its clock
stands still until the one before: nobody could pay it earlier. So neither a bill that is written
late, while billing catches up, makes anybody late, nor one that replaces a paid invoice and has
its old due time.

Source: domain rules, sections 5 and 8; docs/decisions/0005, "Lateness".
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple

from libs.events.books import PaymentSettled
from libs.events.dunning import DisputeResolved, InvoiceDisputed
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued, InvoiceIssued
from libs.events.positions import parse_seen, write_cause
from libs.events.repaying import CreditApplied, CreditNoteSettled, InvoiceCapped, PrepaidApplied
from libs.events.subjects import BILLING, LEDGER, family_of
from libs.events.timekeeping import TimeReached
from libs.rules.receivables import Billed, Receivables
from services.billing.clock import NEVER, Span, union
from services.billing.disputes import Disputes

IGNORED_STROOPS: Final = 1_000_000
"""What may be overdue of an invoice without making it late: 0.10, in stroops."""


@dataclass(slots=True)
class Bill:
    """An invoice that may be open."""

    invoice: str
    """Its name."""
    sequence: int
    """Where it stands in the own stream."""
    issued_at: datetime
    """When it was issued."""
    cause: str
    """Position and id of its fact."""
    payable_at: datetime
    """From when on it could be paid: when it was issued, or what LEDGER had reached without it."""


class LateClock(NamedTuple):
    """A clock that runs over enough money to make an agreement late."""

    bill: Bill
    """The invoice."""
    due_at: datetime
    """When it begins."""
    stops: Sequence[Span]
    """When it stands still, as `union` gives it."""


class Arrears:
    """The open invoices of every agreement of a book."""

    def __init__(self, *, receivables: Receivables, disputes: Disputes, stream: str) -> None:
        """Begin with no invoice.

        Args:
            receivables: What is open of every invoice, folded by whoever owns it.
            disputes: What is disputed of them.
            stream: The own stream.
        """
        self._receivables, self._disputes = receivables, disputes
        self._stream, self._ledger = stream, LEDGER.stream(family_of(stream)[1])
        assert stream.startswith(BILLING.name), "bills stand in a stream of billing"
        self._bills: dict[str, dict[str, Bill]] = defaultdict(dict)
        self._lowered: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        self._seen = 0
        self._ledger_at: datetime | None = None
        self._unseen: deque[tuple[Bill, str]] = deque()
        self._folds: dict[type[Fact], Callable[[Recorded[Any]], Sequence[str]]] = {
            InvoiceIssued: self._issued,
            CreditNoteIssued: self._credited,
            InvoiceDisputed: _agreement,
            DisputeResolved: _agreement,
            PaymentSettled: self._cleared,
            CreditApplied: self._cleared,
            PrepaidApplied: self._reduced,
            InvoiceCapped: self._reduced,
            CreditNoteSettled: _agreement,
            TimeReached: self._reached,
        }

    @property
    def agreements(self) -> Sequence[str]:
        """The agreements that may have something open."""
        return tuple(self._bills)

    def evolve(self, recorded: Recorded[Fact]) -> Sequence[str]:
        """Fold a fact of the own stream or of LEDGER; all others are ignored.

        Returns:
            The agreements whose lateness may be another one now.
        """
        fold = self._folds.get(type(recorded.fact))
        return () if fold is None else fold(recorded)

    def _issued(self, recorded: Recorded[InvoiceIssued]) -> Sequence[str]:
        fact, envelope = recorded.fact, recorded.envelope
        cause = write_cause(recorded.position, envelope.id)
        bill = Bill(fact.invoice, recorded.sequence, envelope.time, cause, envelope.time)
        self._bills[fact.agreement][fact.invoice] = bill
        if recorded.sequence > self._seen:
            self._unseen.append((bill, fact.agreement))
        return (fact.agreement,)

    def _credited(self, recorded: Recorded[CreditNoteIssued]) -> Sequence[str]:
        fact = recorded.fact
        self._lowered[fact.invoice].append((recorded.envelope.time, fact.total_stroops))
        return (fact.agreement,)

    def _cleared(self, recorded: Recorded[PaymentSettled | CreditApplied]) -> Sequence[str]:
        for part in recorded.fact.cleared:
            self._lowered[part.invoice].append((recorded.envelope.time, part.amount_stroops))
        return (recorded.fact.agreement,)

    def _reduced(self, recorded: Recorded[PrepaidApplied | InvoiceCapped]) -> Sequence[str]:
        fact = recorded.fact
        self._lowered[fact.invoice].append((recorded.envelope.time, fact.amount_stroops))
        return (fact.agreement,)

    def _reached(self, recorded: Recorded[TimeReached]) -> Sequence[str]:
        """Note how far LEDGER had read the own stream."""
        if recorded.stream != self._ledger:
            return ()
        mine = parse_seen(recorded.envelope.seen).get(self._stream)
        self._seen = self._seen if mine is None else mine.sequence
        found: dict[str, None] = {}
        while self._unseen and self._unseen[0][0].sequence <= self._seen:
            bill, agreement = self._unseen.popleft()
            bill.payable_at = max(bill.issued_at, self._ledger_at or bill.issued_at)
            found[agreement] = None
        self._ledger_at = recorded.fact.to
        return tuple(found)

    def clocks(self, agreement: str, stops: Sequence[Span]) -> Iterator[LateClock]:
        """Every clock by which an agreement may be late.

        An invoice has up to two due times. What is disputed of it, or was, has a clock that stands
        still longer; it matters only where the rest is too little to be late.

        Args:
            agreement: The agreement.
            stops: When its clock stands still.
        """
        for bill, billed in self._counted(agreement):
            dispute = self._disputes.get(bill.invoice)
            mine = union([*stops, (bill.issued_at, bill.payable_at)])
            open_stroops = self._open(billed)
            held = 0 if dispute is None else min(dispute.held_stroops, open_stroops)
            dues = [(billed.due_at, open_stroops)]
            if billed.later_due_at is not None:
                dues = [
                    (billed.due_at, open_stroops - billed.later_stroops),
                    (billed.later_due_at, open_stroops),
                ]
            for due_at, amount in dues:
                if amount - held > IGNORED_STROOPS:
                    yield LateClock(bill, due_at, mine)
                elif dispute is not None and amount > IGNORED_STROOPS:
                    stood = union([*mine, *dispute.earlier, dispute.span])
                    yield LateClock(bill, due_at, stood)

    def overdue_stroops(self, agreement: str, now: datetime) -> int:
        """What is overdue of an agreement, without what is disputed, in stroops."""
        total = 0
        for bill, billed in self._counted(agreement):
            overdue = self._receivables.overdue_stroops(billed, now)
            dispute = self._disputes.get(bill.invoice)
            if dispute is not None:
                held = dispute.held_stroops if dispute.stands_at(now) else 0
                overdue -= held + dispute.awaited_stroops
            total += max(0, overdue)
        return total

    def _counted(self, agreement: str) -> list[tuple[Bill, Billed]]:
        """Bills that count, as a payment clears them: of equally late ones the first is named."""
        counted: list[tuple[Bill, Billed]] = []
        for bill in self._bills.get(agreement, {}).values():
            billed = self._receivables.get(bill.invoice)
            assert billed is not None, "receivables fold the same facts"
            if bill.sequence <= self._seen:
                counted.append((bill, billed))
        return sorted(counted, key=lambda each: (each[1].due_at, each[1].number))

    def _open(self, billed: Billed) -> int:
        """What is open, without what an approver has decided to credit."""
        dispute = self._disputes.get(billed.invoice)
        awaited = 0 if dispute is None else dispute.awaited_stroops
        return max(0, self._receivables.open_stroops(billed) - awaited)

    def is_cured_since(self, agreement: str, instant: datetime) -> bool:
        """Tell whether there was a moment, from an instant on, at which nothing was overdue."""
        covered = instant
        for begin, end in sorted(self._overdue_spans(agreement)):
            if begin > covered:
                return True
            covered = max(covered, end)
        return covered < NEVER

    def _overdue_spans(self, agreement: str) -> Iterator[Span]:
        for bill in self._bills.get(agreement, {}).values():
            billed = self._receivables.get(bill.invoice)
            assert billed is not None, "receivables fold the same facts"
            open_stroops = self._receivables.open_stroops(billed)
            later = 0 if billed.later_due_at is None else billed.later_stroops
            parts = [(billed.due_at, later)]
            if billed.later_due_at is not None:
                parts.append((billed.later_due_at, 0))
            for due_at, left in parts:
                end = NEVER if open_stroops > left else self._lowered_at(billed, left)
                yield max(due_at, bill.issued_at), end

    def _lowered_at(self, billed: Billed, left_stroops: int) -> datetime:
        """When no more than this was left open of an invoice of which no more is open now."""
        left, at = billed.total_stroops, billed.due_at
        lowered = iter(sorted(self._lowered.get(billed.invoice, ())))
        while left > left_stroops and (step := next(lowered, None)) is not None:
            at, amount = step
            left -= amount
        return at

    def forget_closed(self, agreement: str, now: datetime, since: datetime | None) -> None:
        """Drop the invoices of an agreement that can never matter again.

        Args:
            agreement: The agreement.
            now: The time; what was closed before it stays closed.
            since: From when on it matters when an invoice was closed; absent: it does not.
        """
        bills = self._bills.get(agreement, {})
        for bill in tuple(bills.values()):
            billed = self._receivables.get(bill.invoice)
            assert billed is not None, "receivables fold the same facts"
            if self._receivables.open_stroops(billed) or bill.sequence > self._seen:
                continue
            closed_at = max(bill.issued_at, self._lowered_at(billed, 0))
            if closed_at < now and (since is None or closed_at < since):
                del bills[bill.invoice]
                self._lowered.pop(bill.invoice, None)
        if not bills:
            self._bills.pop(agreement, None)


def _agreement(recorded: Recorded[Any]) -> Sequence[str]:
    return (recorded.fact.agreement,)
