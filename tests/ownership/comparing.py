"""What the real rules say and the second model says, in one spelling."""

from collections.abc import Callable
from typing import Any

from libs.events.invoicing import InvoiceIssued, InvoiceLine
from tests.ownership.bills import Document
from tests.ownership.rating import Line

STEPS = {
    "ReminderSent": "reminder",
    "AlertRaised": "alert",
    "SternNoticeSent": "stern",
}
TOLD: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    **{
        name: lambda fact, step=step: (  # type: ignore[misc]
            step,
            fact.agreement,
            fact.invoice,
            fact.overdue_stroops,
        )
        for name, step in STEPS.items()
    },
    "EscalationReached": lambda fact: (
        fact.level,
        fact.agreement,
        fact.invoice,
        fact.overdue_stroops,
    ),
    "SupplyDiverted": lambda fact: ("diverted", fact.agreement, fact.invoice),
    "SupplyDisconnected": lambda fact: ("disconnected", fact.agreement, fact.invoice),
    "SupplyRestored": lambda fact: ("restored", fact.agreement),
    "HoldingOwned": lambda fact: ("owned", fact.agreement),
    "SystemPaidOff": lambda fact: ("paid off", fact.system),
    "StageAdvanced": lambda fact: ("stage", fact.system, fact.to_stage),
}
"""What others are told of, as the model says it."""


def line_of(line: InvoiceLine) -> Line:
    """A line of the real invoice, as far as the texts fix it."""
    is_bucket = line.bucket is not None
    return Line(
        line.line_class,
        line.kind,
        line.payee or "",
        line.tariff_version or 0,
        line.bucket or "",
        (line.tier or 0) if is_bucket else 0,
        line.energy_wh,
        line.amount_stroops,
    )


def same(document: Document, fact: InvoiceIssued) -> None:
    """The invoice says what the model says."""
    real = sorted(line_of(line) for line in fact.lines if line.amount_stroops)
    mine = sorted(
        Line(**{**vars(line), "tier": line.tier if line.bucket else 0})
        for line in document.lines
        if line.amount
    )
    assert real == mine, f"{fact.invoice} (real, model): {real}, {mine}"
    assert fact.total_stroops == document.total == sum(line.amount for line in mine)
    assert fact.due_at == document.due_at, (fact.invoice, fact.due_at, document.due_at)
    later = (fact.later_due_at, fact.later_stroops)
    assert later == (document.later_due_at, document.later), (fact.invoice, later, document)
