"""Which invoices are paid: nothing of them is open any more, and they were not credited away. Pure.

Source: docs/decisions/0005, paying.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from libs.events.books import PaymentSettled
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued, InvoiceIssued, InvoicePaid
from libs.events.positions import write_cause
from libs.events.repaying import (
    CreditApplied,
    CreditNoteSettled,
    InvoiceCapped,
    PrepaidApplied,
)
from libs.rules.receivables import Receivables


class _Unpaid(NamedTuple):
    """What `InvoicePaid` tells of an invoice."""

    number: int
    agreement: str
    total_stroops: int


class Paid:
    """The invoices that are not paid yet, and what was done to them since somebody looked."""

    facts: Final = frozenset[type[Fact]](
        {
            InvoiceIssued,
            InvoicePaid,
            CreditNoteIssued,
            PaymentSettled,
            CreditApplied,
            PrepaidApplied,
            InvoiceCapped,
            CreditNoteSettled,
        }
    )
    """What `evolve` takes note of."""

    def __init__(self, receivables: Receivables) -> None:
        """Begin with no invoice.

        Args:
            receivables: What is open; it folds a fact before this does.
        """
        self._receivables = receivables
        self._unpaid: dict[str, _Unpaid] = {}
        self._credited: dict[str, int] = {}
        self._touched: dict[str, str] = {}

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of billing or of the ledger; all others are ignored."""
        match recorded.fact:
            case InvoiceIssued() as fact:
                self._unpaid[fact.invoice] = _Unpaid(
                    fact.number, fact.agreement, fact.total_stroops
                )
                self._touched.setdefault(fact.invoice, "- nothing-to-pay")
            case InvoicePaid() as fact:
                self._unpaid.pop(fact.invoice, None)
                self._touched.pop(fact.invoice, None)
            case CreditNoteIssued() as fact:
                credited = self._credited.get(fact.invoice, 0) + fact.total_stroops
                self._credited[fact.invoice] = credited
                self._touch(recorded, fact.invoice)
            case PaymentSettled() | CreditApplied() as fact:
                self._touch(recorded, *(part.invoice for part in fact.cleared))
            case PrepaidApplied() | InvoiceCapped() | CreditNoteSettled() as fact:
                self._touch(recorded, fact.invoice)
            case _:
                pass

    def _touch(self, recorded: Recorded[Fact], *invoices: str) -> None:
        cause = write_cause(recorded.position, recorded.envelope.id)
        self._touched.update(dict.fromkeys(invoices, cause))

    def due(self, now: datetime | None) -> Sequence[Draft]:
        """The next invoice of which nothing is open any more."""
        for invoice, cause in list(self._touched.items()):
            unpaid, billed = self._unpaid.get(invoice), self._receivables.get(invoice)
            if billed is None:
                continue  # it was not read yet
            if unpaid is None or self._is_credited_away(invoice, unpaid):
                self._unpaid.pop(invoice, None)
            elif not self._receivables.open_stroops(billed):
                assert now is not None, "an invoice was issued at some time"
                fact = InvoicePaid(
                    invoice=invoice,
                    number=unpaid.number,
                    agreement=unpaid.agreement,
                    total_stroops=unpaid.total_stroops,
                )
                return (Draft(unpaid.agreement, fact, f"{invoice}.paid", now, cause),)
            del self._touched[invoice]
        return ()

    def _is_credited_away(self, invoice: str, unpaid: _Unpaid) -> bool:
        credited = self._credited.get(invoice, 0)
        return 0 < unpaid.total_stroops <= credited
