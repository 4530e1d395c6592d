"""What is still to be paid of every invoice: the one fold that ledger and billing share. Pure.

Billing says what was billed and credited, the ledger what was cleared, capped and given back. Both
fold here in any order: what is open is their difference, and it is asked for only where a rule
looks across. Invoices with something open are in an index, so years of paid ones cost nothing.

Source: domain rules, sections 5 and 6.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from libs.events.books import ClassAmount, LineClass, PaidInto, PaymentSettled
from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued, InvoiceIssued
from libs.events.quantities import format_instant, parse_instant
from libs.events.repaying import (
    CreditApplied,
    CreditNoteSettled,
    InvoiceCapped,
    PrepaidApplied,
)
from libs.events.systems import HoldingOwned
from libs.rules.dumps import Dumped, Loaded

ORDER: Final[tuple[LineClass, ...]] = ("tax", "running", "shared", "energy")
"""The classes in the order in which a payment clears them inside an invoice."""

Part = tuple[LineClass, str]
"""A class, and who receives it: a member, of `shared` the agreement it came from; empty for
energy."""

Received = tuple[LineClass, PaidInto, str]
"""A class, and the account that received money of it: its kind, and whose it is."""


@dataclass(frozen=True, slots=True)
class Billed:
    """An invoice as far as paying looks at it."""

    invoice: str
    """Its name."""
    number: int
    """Its number."""
    agreement: str
    """Its agreement."""
    due_at: datetime
    """When it falls due."""
    later_due_at: datetime | None
    """When the part falls due by which it is higher than what it replaces."""
    later_stroops: int
    """That part, in stroops."""
    total_stroops: int
    """Its total, in stroops."""
    parts: Mapping[Part, int]
    """What is billed by class and payee, in stroops, in the order of clearing."""

    def of_class(self, line_class: LineClass) -> int:
        """What is billed of a class, in stroops."""
        return sum(amount for part, amount in self.parts.items() if part[0] == line_class)


@dataclass(frozen=True, slots=True)
class Undone:
    """What a credit note undoes of an invoice."""

    unpaid: Mapping[LineClass, int]
    """What was open and is no longer due, by class."""
    prepaid_stroops: int
    """Energy that was cleared, in stroops."""
    received: Mapping[Received, int]
    """What other payees had received, in stroops."""


def _amounts() -> dict[LineClass, int]:
    return defaultdict(int)


@dataclass(slots=True)
class _Account:
    """What was done to one invoice, in stroops by class."""

    cleared: dict[LineClass, int] = field(default_factory=_amounts)
    credited: dict[LineClass, int] = field(default_factory=_amounts)  # by billing
    unpaid: dict[LineClass, int] = field(default_factory=_amounts)  # of settled credit notes
    returned: dict[LineClass, int] = field(default_factory=_amounts)
    received: dict[Received, int] = field(default_factory=lambda: defaultdict(int))
    prepaid: int = 0
    capped: int = 0
    by_order: int = 0  # what a standing order paid of it

    def less(self, line_class: LineClass) -> int:
        """By how much less is open of a class than was billed; more than that for what is undone.

        What a settled credit note gave back was cleared, so it is not less twice.
        """
        undone = max(0, self.credited.get(line_class, 0) - self.returned.get(line_class, 0))
        return self.done(line_class) + undone

    def done(self, line_class: LineClass) -> int:
        """What was cleared or capped of a class, before any credit note."""
        otherwise = self.prepaid + self.capped if line_class == "energy" else 0
        return self.cleared.get(line_class, 0) + otherwise


class Receivables:
    """Every invoice of a book, and what was done to each."""

    def __init__(self) -> None:
        """Begin with no invoice."""
        self._invoices: dict[str, Billed] = {}
        self._of_agreement: dict[str, dict[str, None]] = defaultdict(dict)
        self._open: dict[str, dict[str, None]] = {}
        self._accounts: dict[str, _Account] = defaultdict(_Account)
        self._prepaid: dict[str, int] = defaultdict(int)

    def evolve(self, fact: Fact) -> None:
        """Fold a fact of billing or of the ledger; all others are ignored."""
        match fact:
            case InvoiceIssued():
                self._put(billed(fact))
            case CreditNoteIssued():
                _add(self._accounts[fact.invoice].credited, fact.amounts)
                self._note_open(fact.invoice)
            case PaymentSettled() | CreditApplied():
                self._clear(fact)
            case PrepaidApplied():
                self._accounts[fact.invoice].prepaid += fact.amount_stroops
                self._prepaid[fact.agreement] -= fact.amount_stroops
                self._note_open(fact.invoice)
            case InvoiceCapped():
                self._accounts[fact.invoice].capped += fact.amount_stroops
                self._note_open(fact.invoice)
            case CreditNoteSettled():
                self._undo(fact)
            case HoldingOwned():
                # What is prepaid lapses: the shares for it were received when it was paid.
                self._prepaid[fact.agreement] -= fact.lapsed_prepaid_stroops
            case _:
                pass

    def _clear(self, fact: PaymentSettled | CreditApplied) -> None:
        is_automatic = isinstance(fact, PaymentSettled) and fact.kind == "standing-order"
        for each in fact.cleared:
            account = self._accounts[each.invoice]
            account.cleared[each.line_class] += each.amount_stroops
            if each.payee is not None:
                account.received[each.line_class, each.into, each.payee] += each.amount_stroops
            if is_automatic:
                account.by_order += each.amount_stroops
            self._note_open(each.invoice)

    def _undo(self, fact: CreditNoteSettled) -> None:
        account = self._accounts[fact.invoice]
        _add(account.unpaid, fact.unpaid)
        account.returned["energy"] += fact.prepaid_stroops
        for refund in fact.refunds:
            account.returned[refund.line_class] += refund.refunded_stroops + refund.owed_stroops
        self._prepaid[fact.agreement] += fact.prepaid_stroops
        self._note_open(fact.invoice)

    def _put(self, invoice: Billed) -> None:
        self._invoices[invoice.invoice] = invoice
        self._of_agreement[invoice.agreement][invoice.invoice] = None
        self._note_open(invoice.invoice)

    def _note_open(self, name: str) -> None:
        """Keep the index of invoices with something open; of an unread invoice nothing is."""
        invoice = self._invoices.get(name)
        if invoice is None:
            return
        if self.open_parts(invoice):
            self._open.setdefault(invoice.agreement, {})[name] = None
        elif (names := self._open.get(invoice.agreement)) is not None:
            names.pop(name, None)
            if not names:
                del self._open[invoice.agreement]

    def get(self, invoice: str) -> Billed | None:
        """An invoice, if it was issued and read."""
        return self._invoices.get(invoice)

    def is_overcleared(self, invoice: str) -> bool:
        """Tell whether more was cleared or capped than was billed: our bug, wherever it is."""
        found, account = self._invoices.get(invoice), self._accounts.get(invoice)
        if found is None or account is None:
            return False
        return any(account.done(each) > found.of_class(each) for each in ORDER)

    def invoices_of(self, agreement: str) -> Iterator[Billed]:
        """Every invoice of an agreement, in the order of issue."""
        for name in self._of_agreement.get(agreement, ()):
            yield self._invoices[name]

    def oldest_first(self, agreement: str) -> Sequence[Billed]:
        """The invoices of an agreement with something open, in the order of clearing."""
        found = [self._invoices[name] for name in self._open.get(agreement, ())]
        return sorted(found, key=lambda each: (each.due_at, each.number))

    def open_parts(self, invoice: Billed) -> dict[Part, int]:
        """What is open of an invoice by class and payee, in the order of clearing; above zero.

        Inside a class everything is cleared and undone in that order too.
        """
        account = self._accounts.get(invoice.invoice)
        if account is None:
            return {part: amount for part, amount in invoice.parts.items() if amount}
        left: dict[Part, int] = {}
        less = {line_class: account.less(line_class) for line_class in ORDER}
        for part, amount in invoice.parts.items():
            taken = min(amount, less[part[0]])
            less[part[0]] -= taken
            if amount - taken:
                left[part] = amount - taken
        return left

    def open_stroops(self, invoice: Billed, line_class: LineClass | None = None) -> int:
        """What is open of an invoice, in stroops; of one class, or of all."""
        return sum(
            amount
            for (of_class, _), amount in self.open_parts(invoice).items()
            if line_class in {None, of_class}
        )

    def overdue_stroops(self, invoice: Billed, now: datetime) -> int:
        """What is open and past its due time, in stroops."""
        open_stroops = self.open_stroops(invoice)
        if now < invoice.due_at:
            return 0
        if invoice.later_due_at is not None and now < invoice.later_due_at:
            return max(0, open_stroops - invoice.later_stroops)
        return open_stroops

    def open_energy(self, agreement: str) -> int:
        """Open energy of all invoices of an agreement, in stroops."""
        names = self._open.get(agreement, ())
        return sum(self.open_stroops(self._invoices[name], "energy") for name in names)

    def prepaid_stroops(self, agreement: str) -> int:
        """Energy that was paid and credited since, and clears later energy, in stroops."""
        return self._prepaid.get(agreement, 0)

    def received(self, invoice: str) -> Mapping[Received, int]:
        """What payees other than the investors received of an invoice, in stroops."""
        account = self._accounts.get(invoice)
        return {} if account is None else dict(account.received)

    def settled_otherwise(self, invoice: str) -> int:
        """What prepaid energy cleared of an invoice, in stroops."""
        account = self._accounts.get(invoice)
        return 0 if account is None else account.prepaid

    def capped_stroops(self, invoice: str) -> int:
        """By how much an invoice was capped, in stroops."""
        account = self._accounts.get(invoice)
        return 0 if account is None else account.capped

    def paid_by_order(self, invoice: str) -> int:
        """What a standing order paid of an invoice, in stroops."""
        account = self._accounts.get(invoice)
        return 0 if account is None else account.by_order

    def undone_by(self, note: CreditNoteIssued) -> Undone:
        """What a credit note undoes, given the credit notes that are settled already.

        First what was open, then what was cleared; what was capped is nobody's loss.
        """
        invoice, account = self._invoices[note.invoice], self._accounts[note.invoice]
        unpaid: dict[LineClass, int] = {}
        received: dict[Received, int] = {}
        prepaid = 0
        for each in sorted(note.amounts, key=lambda each: ORDER.index(each.line_class)):
            line_class, amount = each.line_class, each.amount_stroops
            done = account.done(line_class) + account.unpaid[line_class]
            still_open = min(amount, max(0, invoice.of_class(line_class) - done))
            if still_open:
                unpaid[line_class] = still_open
            back = amount - still_open
            if line_class == "energy":
                cleared = account.cleared["energy"] + account.prepaid - account.returned["energy"]
                prepaid = min(back, cleared)
            else:
                received |= _given_back(account, line_class, back)
        return Undone(unpaid=unpaid, prepaid_stroops=prepaid, received=received)

    def dump(self) -> Dumped:
        """Give all invoices and what was done to them, for a snapshot."""
        invoices = tuple(self._invoices.values())
        accounts = [[name, *_account_row(each)] for name, each in self._accounts.items()]
        return {
            "invoices": (_invoice_row(each) for each in invoices),
            "accounts": accounts,
            "prepaid": [list(each) for each in self._prepaid.items()],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for name, prepaid, capped, by_order, *by_class, received in dumped["accounts"]:
            account = self._accounts[name]
            account.prepaid, account.capped, account.by_order = prepaid, capped, by_order
            kept = account.cleared, account.credited, account.unpaid, account.returned
            for amounts, rows in zip(kept, by_class, strict=True):
                amounts.update(dict(rows))
            account.received.update({(kind, into, who): n for kind, into, who, n in received})
        for name, number, agreement, due, later, later_stroops, total, parts in dumped["invoices"]:
            self._put(
                Billed(
                    invoice=name,
                    number=number,
                    agreement=agreement,
                    due_at=parse_instant(due),
                    later_due_at=None if later is None else parse_instant(later),
                    later_stroops=later_stroops,
                    total_stroops=total,
                    parts={(of_class, payee): amount for of_class, payee, amount in parts},
                )
            )
        self._prepaid.update(dict(dumped["prepaid"]))


def _add(amounts: dict[LineClass, int], parts: Sequence[ClassAmount]) -> None:
    for part in parts:
        amounts[part.line_class] += part.amount_stroops


def _given_back(account: _Account, line_class: LineClass, amount: int) -> dict[Received, int]:
    """Who gives an amount back of what he received, in the order of receiving."""
    before, found = account.returned[line_class], {}
    for place, had in account.received.items():
        if place[0] == line_class:
            skipped = min(had, before)
            before -= skipped
            taken = min(amount, had - skipped)
            amount -= taken
            if taken:
                found[place] = taken
    return found


def _account_row(account: _Account) -> list[Any]:
    by_class = account.cleared, account.credited, account.unpaid, account.returned
    return [
        account.prepaid,
        account.capped,
        account.by_order,
        *([list(pair) for pair in amounts.items()] for amounts in by_class),
        [[*place, amount] for place, amount in account.received.items()],
    ]


def _invoice_row(each: Billed) -> list[Any]:
    return [
        each.invoice,
        each.number,
        each.agreement,
        format_instant(each.due_at),
        None if each.later_due_at is None else format_instant(each.later_due_at),
        each.later_stroops,
        each.total_stroops,
        [[*part, amount] for part, amount in each.parts.items()],
    ]


def billed(fact: InvoiceIssued) -> Billed:
    """What paying looks at of an invoice."""
    parts: dict[Part, int] = {}
    for line in fact.lines:
        part: Part = (line.line_class, line.payee or "")
        parts[part] = parts.get(part, 0) + line.amount_stroops
    in_order = sorted(parts.items(), key=lambda pair: (ORDER.index(pair[0][0]), pair[0][1]))
    return Billed(
        invoice=fact.invoice,
        number=fact.number,
        agreement=fact.agreement,
        due_at=fact.due_at,
        later_due_at=fact.later_due_at,
        later_stroops=fact.later_stroops,
        total_stroops=fact.total_stroops,
        parts=dict(in_order),
    )
