"""Disputes: what a recipient does not want to pay until somebody has looked. Pure.

A disputed part has a clock of its own, which stands still from the dispute until it is decided, at
most 90 days; what is left of it afterwards is late by the time that remains.

Source: domain rules, section 8; docs/decisions/0005, "Lateness".
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from libs.events.billing_commands import DisputeInvoice, ResolveDispute
from libs.events.dunning import DisputeResolved, InvoiceDisputed
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued, InvoiceIssued
from libs.rules.authority import Order
from libs.rules.receivables import Billed, Receivables
from libs.runtime.failures import NotFound, Refused
from services.billing.clock import Span
from services.billing.debtors import Debtors

DISPUTE_DAYS_MAX: Final = 90
"""Days after which a disputed part counts again even if nobody decided."""


@dataclass(slots=True)
class Dispute:
    """What is disputed of an invoice, or was."""

    disputed_stroops: int
    """What was disputed, in stroops."""
    span: Span
    """From when until when its clock stands still."""
    held_stroops: int
    """What has a clock of its own, in stroops: all that was disputed and not credited."""
    is_resolved: bool = False
    """Whether an approver has decided it."""
    awaited_stroops: int = 0
    """What was decided in the recipient's favour and is not credited yet, in stroops."""
    earlier: tuple[Span, ...] = ()
    """When the clocks of invoices stood still that it replaces."""

    def stands_at(self, instant: datetime) -> bool:
        """Tell whether its clock stands still."""
        return self.span[0] <= instant < self.span[1]


class Disputes:
    """The disputes of a book, at most one per invoice."""

    def __init__(self, *, receivables: Receivables, debtors: Debtors) -> None:
        """Begin with no dispute.

        Args:
            receivables: What is open of every invoice, folded by whoever owns it.
            debtors: Who has to pay.
        """
        self._receivables, self._debtors = receivables, debtors
        self._disputes: dict[str, Dispute] = {}
        self._inherited: dict[str, Dispute] = {}
        self._credited: dict[str, int] = defaultdict(int)

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of the own stream; all others are ignored."""
        fact: Any = recorded.fact
        kind = type(fact)
        if kind is InvoiceDisputed:
            span, amount = (recorded.envelope.time, fact.until_at), fact.amount_stroops
            before = self._inherited.pop(fact.invoice, None)
            earlier = () if before is None else (*before.earlier, before.span)
            self._disputes[fact.invoice] = Dispute(amount, span, amount, earlier=earlier)
        elif kind is DisputeResolved:
            dispute = self._disputes[fact.invoice]
            dispute.is_resolved = True
            dispute.span = dispute.span[0], min(dispute.span[1], recorded.envelope.time)
            dispute.held_stroops -= fact.credited_stroops
            dispute.awaited_stroops = fact.credited_stroops
        elif kind is InvoiceIssued and fact.replaces is not None:
            self._inherit(fact, recorded.envelope.time)
        elif kind is CreditNoteIssued:
            for part in fact.amounts:
                if part.line_class == "energy":
                    self._credited[fact.invoice] += part.amount_stroops
            if fact.reason == "dispute" and fact.invoice in self._disputes:
                self._disputes[fact.invoice].awaited_stroops = 0

    def _inherit(self, fact: InvoiceIssued, at: datetime) -> None:
        """Let the time for which a clock stood still count for what replaces its invoice.

        It keeps the due time of old; else whoever disputed with reason would be late at once.
        """
        old = self.get(fact.replaces or "")
        if old is not None:
            span = old.span[0], min(old.span[1], at)
            self._inherited[fact.invoice] = replace(old, span=span, is_resolved=True)

    def get(self, invoice: str) -> Dispute | None:
        """The dispute of an invoice, or of one that it replaces, if there is or was one."""
        return self._disputes.get(invoice) or self._inherited.get(invoice)

    def dispute(self, order: Order) -> Sequence[Draft]:
        """Decide `DisputeInvoice`.

        Raises:
            NotFound, Refused: By the rule that the code names.
        """
        body = order.body(DisputeInvoice)
        invoice = self._invoice(body.invoice)
        debtor = self._debtors(invoice.agreement)
        if debtor is None or debtor.recipient != order.signer.member:
            raise Refused("not-your-invoice", "another member owes it", field="member")
        if body.invoice in self._disputes:
            raise Refused("already-disputed", "an invoice is disputed once", field="body.invoice")
        open_stroops = self._receivables.open_stroops(invoice)
        if not open_stroops:
            raise Refused("nothing-open", "nothing of it is open", field="body.invoice")
        if body.amount_stroops > open_stroops:
            raise Refused(
                "more-than-open", f"{open_stroops} stroops are open", field="body.amount_stroops"
            )
        fact = InvoiceDisputed(
            invoice=body.invoice,
            agreement=invoice.agreement,
            amount_stroops=body.amount_stroops,
            reason=body.reason,
            until_at=order.time + timedelta(days=DISPUTE_DAYS_MAX),
            command=order.text,
        )
        return (Draft(invoice.agreement, fact, f"{order.id}.dispute", order.time),)

    def resolve(self, order: Order) -> Sequence[Draft]:
        """Decide `ResolveDispute`; the credit note is billing's next decision.

        Raises:
            NotFound, Refused: By the rule that the code names.
        """
        body = order.body(ResolveDispute)
        order.require("approver")
        invoice = self._invoice(body.invoice)
        dispute = self._disputes.get(body.invoice)
        if dispute is None or dispute.is_resolved:
            raise Refused("not-disputed", "there is no open dispute", field="body.invoice")
        if body.credited_stroops > dispute.disputed_stroops:
            raise Refused(
                "credit-more-than-disputed",
                f"{dispute.disputed_stroops} stroops are disputed",
                field="body.credited_stroops",
            )
        billed = sum(amount for (kind, _), amount in invoice.parts.items() if kind == "energy")
        left = billed - self._credited.get(body.invoice, 0)
        if body.credited_stroops > left:
            raise Refused(
                "credit-more-than-billed",
                f"{left} stroops of its energy are not credited yet",
                field="body.credited_stroops",
            )
        fact = DisputeResolved(
            invoice=body.invoice,
            agreement=invoice.agreement,
            credited_stroops=body.credited_stroops,
            command=order.text,
        )
        return (Draft(invoice.agreement, fact, f"{order.id}.resolved", order.time),)

    def _invoice(self, name: str) -> Billed:
        invoice = self._receivables.get(name)
        if invoice is None:
            raise NotFound("unknown-invoice", f"no invoice {name}", field="body.invoice")
        return invoice
