"""What is open of one invoice, fact by fact. Pure.

Written apart from the fold that ledger and billing share, so that the two can disagree.

Source: domain rules, sections 5 and 6; docs/decisions/0005, paying.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from libs.events.books import Cleared, LineClass, PaymentSettled
from libs.events.invoicing import CreditNoteIssued, InvoiceIssued, InvoiceLine
from libs.events.repaying import (
    CreditApplied,
    CreditNoteSettled,
    InvoiceCapped,
    PrepaidApplied,
    Refund,
)
from libs.proof.case import require, same
from libs.proof.documents import ORDER, by_class

STEP = 12
"""The number of the step that this is part of."""

Clearing = PaymentSettled | CreditApplied
"""What clears lines with money."""

Touch = Clearing | PrepaidApplied | InvoiceCapped | CreditNoteSettled
"""What the ledger does to an invoice."""


_INTO: Mapping[LineClass, set[str]] = {
    "energy": {"investors"},
    "tax": {"tax"},
    "running": {"wallet"},
}
"""Where money of a class goes; that of shared energy has two places."""


class Receivable:
    """One invoice, and what was done to it so far; amounts are stroops by class."""

    def __init__(self, invoice: InvoiceIssued) -> None:
        """Begin with all of it open."""
        self._name = invoice.invoice
        self._billed = by_class(invoice.lines)
        self._parts = _by_payee(invoice.lines)
        self._cleared: Counter[LineClass] = Counter()
        self._cleared_parts: Counter[tuple[LineClass, str]] = Counter()
        self._credited: Counter[LineClass] = Counter()
        self._unpaid: Counter[LineClass] = Counter()
        self._returned: Counter[LineClass] = Counter()
        self._otherwise = 0
        self._prepaid = 0
        self.by_order = 0
        """What standing orders paid of it."""

    @property
    def cleared_stroops(self) -> int:
        """What payments and credit cleared of it."""
        return self._cleared.total()

    def credit(self, notes: Sequence[CreditNoteIssued]) -> None:
        """Say which credit notes are known by now."""
        self._credited.clear()
        for note in notes:
            for part in note.amounts:
                self._credited[part.line_class] += part.amount_stroops

    def open(self, line_class: LineClass) -> int:
        """What is open of a class; what was given back of a credit note had been cleared."""
        undone = max(0, self._credited[line_class] - self._returned[line_class])
        return max(0, self._billed[line_class] - self._done(line_class) - undone)

    @property
    def is_open(self) -> bool:
        """Whether anything is open."""
        return any(self.open(line_class) for line_class in ORDER)

    def _done(self, line_class: LineClass) -> int:
        otherwise = self._otherwise if line_class == "energy" else 0
        return self._cleared[line_class] + otherwise

    def do(self, fact: Clearing | PrepaidApplied | InvoiceCapped) -> None:
        """Take note of what the ledger cleared or capped.

        Raises:
            ProofFailed: It did more than was open, or in another order.
        """
        if isinstance(fact, PrepaidApplied | InvoiceCapped):
            is_open = fact.amount_stroops <= self.open("energy")
            require(STEP, is_open, f"{fact.fact_name}: more than was open of energy")
            self._otherwise += fact.amount_stroops
            if isinstance(fact, PrepaidApplied):
                self._prepaid += fact.amount_stroops
        else:
            is_automatic = isinstance(fact, PaymentSettled) and fact.kind == "standing-order"
            for part in fact.cleared:
                if part.invoice == self._name:
                    self._clear(part)
                    self.by_order += part.amount_stroops if is_automatic else 0

    def _clear(self, part: Cleared) -> None:
        line_class = part.line_class
        what = f"{part.amount_stroops} of {line_class} was cleared"
        for earlier in ORDER[: ORDER.index(line_class)]:
            require(STEP, not self.open(earlier), f"{what} while {earlier} was open")
        require(STEP, part.amount_stroops <= self.open(line_class), f"{what}, more than is open")
        self._cleared[line_class] += part.amount_stroops
        self._check_place(part, what)
        place = line_class, part.payee or ""
        self._cleared_parts[place] += part.amount_stroops
        is_bounded = place in self._parts
        within = self._cleared_parts[place] <= self._parts[place] or not is_bounded
        require(STEP, within, f"{what} for {place[1]}, more than is billed")

    def _check_place(self, part: Cleared | Refund, what: str) -> None:
        """Money of a class goes to the payee of its lines, and comes back from him.

        Of shared energy it goes into a wallet where its source is owned: to whoever holds that.
        """
        into = _INTO.get(part.line_class, {"credit", "wallet"})
        require(STEP, part.into in into, f"{what}: {part.line_class} in {part.into}")
        if part.line_class != "shared" or part.into == "credit":
            is_billed = (part.line_class, part.payee or "") in self._parts
            require(STEP, is_billed, f"{what}: nothing is billed for {part.payee}")

    def undo(self, note: CreditNoteIssued, fact: CreditNoteSettled) -> None:
        """Settle a credit note: first what was open, then what was cleared comes back.

        Raises:
            ProofFailed: It gave back more or less.
        """
        what = f"the settlement of {fact.credit_note}"
        told = {part.line_class: part.amount_stroops for part in fact.unpaid}
        back: Counter[LineClass] = Counter({"energy": fact.prepaid_stroops})
        for refund in fact.refunds:
            back[refund.line_class] += refund.refunded_stroops + refund.owed_stroops
            self._check_place(refund, what)
        amounts = {part.line_class: part.amount_stroops for part in note.amounts}
        for line_class in ORDER:
            amount = amounts.get(line_class, 0)
            done = self._done(line_class) + self._unpaid[line_class]
            still_open = min(amount, max(0, self._billed[line_class] - done))
            same(STEP, what, ((f"open {line_class}", told.get(line_class, 0), still_open),))
            had = self._cleared[line_class] - self._returned[line_class]
            if line_class == "energy":
                had += self._prepaid
            given = min(amount - still_open, had)
            # Once a holding is owned nothing is prepaid any more: its shares were received.
            lapses = line_class == "energy" and not back[line_class]
            if not lapses:
                same(STEP, what, ((f"cleared {line_class}", back[line_class], given),))
            self._unpaid[line_class] += still_open
            self._returned[line_class] += back[line_class]


def _by_payee(lines: Sequence[InvoiceLine]) -> Counter[tuple[LineClass, str]]:
    sums: Counter[tuple[LineClass, str]] = Counter()
    for line in lines:
        sums[line.line_class, line.payee or ""] += line.amount_stroops
    return sums
