"""Credit notes, and an invoice that replaces another: part of step 11. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from libs.events.billing_commands import ResolveDispute
from libs.events.books import LineClass
from libs.events.dunning import DisputeResolved
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import (
    CreditNoteIssued,
    InvoiceIssued,
    InvoiceLine,
    LineChange,
    LineKind,
)
from libs.events.metering import ReadingCorrected, ReadingRecorded
from libs.events.positions import write_cause
from libs.events.pricing import PricePublished
from libs.proof.bill import Bill
from libs.proof.case import Case, require, same
from libs.proof.people import APPROVER, People
from libs.proof.prices import STREAM, late_prices
from libs.proof.steps_readings import Readings
from libs.proof.times import AsOf
from libs.rules.periods import local_day, local_midnight

STEP = 11
"""The number of the step that this is part of."""

ORDER: tuple[LineClass, ...] = ("tax", "running", "shared", "energy")
"""The classes in the order in which they are cleared and credited."""

BECAUSE_MAX = 100
"""Most facts that a credit note names as its reason."""

Note = Recorded[CreditNoteIssued]
Invoice = Recorded[InvoiceIssued]


class Documents:
    """The documents around the invoice of a case."""

    def __init__(self, case: Case, bill: Bill, people: People) -> None:
        """Find them.

        Raises:
            ProofFailed: Two invoices are said to be replaced, or a note is of another one.
        """
        self._case, self._bill, self._people = case, bill, people
        invoice = bill.invoice.fact
        self.notes = self._notes_on(invoice.invoice)
        """Credit notes on the invoice, in their order."""
        self.replaced: Invoice | None = None
        """The invoice that it replaces."""
        self._before: list[Note] = []
        if invoice.replaces is not None:
            name = invoice.replaces
            self.replaced = case.one(
                STEP, "the replaced invoice", InvoiceIssued, lambda fact: fact.invoice == name
            )
            self._before = self._notes_on(name)

    def _notes_on(self, invoice: str) -> list[Note]:
        found = self._case.all(CreditNoteIssued, lambda fact: fact.invoice == invoice)
        for each in found:
            what = f"credit note {each.fact.credit_note}"
            require(STEP, each.stream == self._bill.invoice.stream, f"{what}: another book")
        return sorted(found, key=lambda each: each.sequence)

    @property
    def count(self) -> int:
        """How many credit notes are in the file."""
        return len(self.notes) + len(self._before)

    def check_notes(self) -> None:
        """Check the credit notes on the invoice itself.

        Raises:
            ProofFailed: One of them says something else than the invoice and who signed it.
        """
        for place, note in enumerate(self.notes):
            self._check_note(self._bill.invoice, self.notes[:place], note)
        if any(note.fact.reason != "dispute" for note in self.notes):
            self._case.not_covered.append(
                f"What replaced {self._bill.invoice.fact.invoice}: a credit note over all of it is "
                "in the file, and the new invoice has a proof of its own."
            )

    def check_replacement(self, first_name: str, rows: Sequence[Readings]) -> None:
        """Check an invoice that replaces another, with the credit note before it.

        Args:
            first_name: Name of the first invoice of the period.
            rows: The readings of every meter.

        Raises:
            ProofFailed: It does not follow from them.
        """
        recorded, invoice, old = self._bill.invoice, self._bill.invoice.fact, self.replaced
        assert old is not None, "it was found"
        undoing = [each for each in self._before if each.fact.reason != "dispute"]
        require(STEP, len(undoing) == 1, f"{len(undoing)} credit notes undo {old.fact.invoice}")
        note = undoing[0]
        for place, each in enumerate(self._before):
            self._check_note(old, self._before[:place], each)
        version = 1
        if old.fact.replaces is not None:
            version = int(old.fact.invoice.removeprefix(f"{first_name}."))
        name = first_name if version == 1 else f"{first_name}.{version}"
        pairs = (
            ("its name", invoice.invoice, f"{first_name}.{version + 1}"),
            ("the name of the one before", old.fact.invoice, name),
            ("place", recorded.sequence, note.sequence + 1),
            ("n", recorded.envelope.n, note.envelope.n + 1),
            ("number", invoice.number, note.fact.number + 1),
            ("cause", recorded.envelope.cause, write_cause(note.position, note.envelope.id)),
            ("time", recorded.envelope.time, note.envelope.time),
            ("agreement", old.fact.agreement, invoice.agreement),
            ("asset", old.fact.asset, invoice.asset),
            ("period_from", old.fact.period_from, invoice.period_from),
            ("period_until", old.fact.period_until, invoice.period_until),
            ("due_at", invoice.due_at, old.fact.due_at),
            ("the note's recipient", note.fact.recipient, invoice.recipient),
        )
        same(STEP, "the new invoice", pairs)
        require(STEP, old.sequence < note.sequence, "it replaces an invoice that came later")
        require(STEP, old.fact.lines != invoice.lines, "it changes nothing")
        self._case.not_covered.append(
            f"What {old.fact.invoice} rested on, which was replaced: it has a proof of its own."
        )
        self._check_later(old.fact)
        self._check_cutoff(old.fact)
        self._check_reason(old.fact, note, rows)

    def _check_later(self, old: InvoiceIssued) -> None:
        """The old due time holds up to the old amount; what is more falls due later."""
        invoice = self._bill.invoice.fact
        later = max(0, invoice.total_stroops - (old.total_stroops - old.later_stroops))
        later_at: datetime | None = None
        if later and invoice.total_stroops <= old.total_stroops and old.later_due_at is not None:
            later_at = old.later_due_at
        elif later:
            due_after_s = self._bill.agreement.fact.due_after_s
            later_at = self._bill.invoice.envelope.time + timedelta(seconds=due_after_s)
        pairs = (
            ("later_stroops", invoice.later_stroops, later),
            ("later_due_at", invoice.later_due_at, later_at),
        )
        same(STEP, "the new invoice", pairs)

    def _check_cutoff(self, old: InvoiceIssued) -> None:
        """It is decided as of a local midnight, later than what the old one was decided as of."""
        cutoff_at, zone = self._bill.invoice.fact.cutoff_at, self._bill.agreement.fact.time_zone
        require(STEP, cutoff_at is not None, "cutoff_at is missing")
        assert cutoff_at is not None
        is_midnight = local_midnight(local_day(cutoff_at, zone), zone) == cutoff_at
        require(STEP, is_midnight, "cutoff_at is no local midnight")
        before = old.cutoff_at or self._bill.final_at
        require(STEP, before < cutoff_at, "cutoff_at is not later than before")

    def _check_reason(self, old: InvoiceIssued, note: Note, rows: Sequence[Readings]) -> None:
        """The note names what changed the bill, and by how much."""
        bill = self._bill
        before = AsOf(bill.times, bill.final_at, old.cutoff_at or bill.final_at)
        late: list[Recorded[Fact]] = [*_late_readings(rows, before, bill.as_of)]
        reason = "readings" if late else "prices"
        late += late_prices(self._case, bill, before, bill.as_of)
        late.sort(key=lambda each: (each.stream, each.sequence))
        # Of feeds that only other periods follow it may name prices that the file lacks.
        places = [str(each.position) for each in late]
        priced = {str(each.position) for each in self._case.glance(PricePublished)}
        told = [
            place
            for place in note.fact.because
            if place in priced or not place.startswith(f"{STREAM}:")
        ]
        is_cut = len(note.fact.because) == BECAUSE_MAX
        pairs = (
            ("reason", note.fact.reason, reason),
            ("because", told, places[: len(told)] if is_cut else places),
            ("changes", note.fact.changes, _changes(old.lines, bill.invoice.fact.lines)),
        )
        same(STEP, f"credit note {note.fact.credit_note}", pairs)

    def _check_note(self, of: Invoice, before: Sequence[Note], note: Note) -> None:
        """A credit note undoes its invoice, or the part of which a dispute was decided."""
        fact, what = note.fact, f"credit note {note.fact.credit_note}"
        is_dispute = fact.reason == "dispute"
        ending = "dispute" if is_dispute else "credit"
        pairs = (
            (
                "its name",
                fact.credit_note,
                f"{of.fact.invoice}.{ending}",
            ),
            ("key", note.envelope.key, of.fact.agreement),
            ("id", note.envelope.id, fact.credit_note),
            ("agreement", fact.agreement, of.fact.agreement),
            ("asset", fact.asset, of.fact.asset),
            ("total", fact.total_stroops, sum(part.amount_stroops for part in fact.amounts)),
        )
        same(STEP, what, pairs)
        later = of.sequence < note.sequence and of.fact.number < fact.number
        require(STEP, later, f"{what} came before its invoice")
        holders = {self._bill.holding.recipient}
        holders |= {moved.fact.to_member for moved in self._bill.supply.transfers}
        require(STEP, fact.recipient in holders, f"{what} is for somebody who never held it")
        require(STEP, not any(e.fact.reason == fact.reason for e in before), f"{what}: twice")
        billed = by_class(of.fact.lines)
        if is_dispute:
            self._check_dispute(of, note)
            part = sum(part.amount_stroops for part in fact.amounts if part.line_class == "energy")
            require(STEP, part == fact.total_stroops, f"{what} credits more than energy")
            require(STEP, part <= billed["energy"], f"{what} credits more than was billed")
            return
        for each in before:
            billed.subtract({p.line_class: p.amount_stroops for p in each.fact.amounts})
        wanted = [(name, billed[name]) for name in ORDER if billed[name] > 0]
        told = [(part.line_class, part.amount_stroops) for part in fact.amounts]
        origin = self._bill.agreement
        cause = write_cause(origin.position, origin.envelope.id)
        same(STEP, what, (("amounts", told, wanted), ("cause", note.envelope.cause, cause)))

    def _check_dispute(self, of: Invoice, note: Note) -> None:
        """An approver decided a dispute, or what he had decided holds for the new invoice too."""
        what, cause = f"credit note {note.fact.credit_note}", note.envelope.cause
        if of.fact.replaces is not None and cause == of.envelope.cause:
            require(STEP, note.sequence == of.sequence + 1, f"{what} stands elsewhere")
            if of is self._bill.invoice:
                again = sum(
                    e.fact.total_stroops for e in self._before if e.fact.reason == "dispute"
                )
                wanted = min(again, by_class(of.fact.lines)["energy"])
                same(STEP, what, (("total", note.fact.total_stroops, wanted),))
            return
        name = of.fact.invoice
        decided = self._case.one(
            STEP, f"the decision behind {what}", DisputeResolved, lambda fact: fact.invoice == name
        )
        self._people.signed(decided, decided.fact.command, ResolveDispute, APPROVER, STEP)
        pairs = (
            ("cause", cause, write_cause(decided.position, decided.envelope.id)),
            ("total", note.fact.total_stroops, decided.fact.credited_stroops),
            ("agreement", decided.fact.agreement, of.fact.agreement),
        )
        same(STEP, what, pairs)


def by_class(lines: Sequence[InvoiceLine]) -> Counter[LineClass]:
    """What lines come to by class, in stroops."""
    sums: Counter[LineClass] = Counter()
    for line in lines:
        sums[line.line_class] += line.amount_stroops
    return sums


def _late_readings(
    rows: Sequence[Readings], before: AsOf, now: AsOf
) -> Iterator[Recorded[ReadingRecorded] | Recorded[ReadingCorrected]]:
    """Readings and corrections of what is rated that count now and did not before."""
    for row in rows:
        rated = "generated" if row.meter.fact.role == "generation" else "consumed"
        for each in row.touching:
            first = each.fact.first_interval_at
            is_rated = any(part.name == rated for part in each.fact.registers)
            if now.counts(each, first) and not before.counts(each, first) and is_rated:
                yield each


def _changes(before: Sequence[InvoiceLine], after: Sequence[InvoiceLine]) -> tuple[LineChange, ...]:
    """By what two invoices differ, for each kind of line and bucket."""
    sums: dict[tuple[LineKind, str | None], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for place, lines in enumerate((before, after)):
        for line in lines:
            found = sums[line.kind, line.bucket]
            found[place] += line.energy_wh
            found[place + 2] += line.amount_stroops
    return tuple(
        LineChange(
            kind=kind,
            bucket=bucket,
            before_wh=told[0],
            after_wh=told[1],
            before_stroops=told[2],
            after_stroops=told[3],
        )
        for (kind, bucket), told in sums.items()
        if (told[0], told[2]) != (told[1], told[3])
    )
