"""Rows of repayment: payments, credit, return, and money that nobody expected. Pure."""

from collections.abc import Sequence

from libs.events import (
    Cleared,
    CreditApplied,
    CreditNoteSettled,
    CreditRefunded,
    Fact,
    FundsReceived,
    FundsSuspended,
    FundsWithdrawn,
    InvoiceCapped,
    MoneyMove,
    PaymentSettled,
    PrepaidApplied,
    Recorded,
    RefundReceived,
    ReturnAccrued,
    StandingOrderSet,
    SuspenseSettled,
)
from libs.events.quantities import as_date
from services.projection.ownership_tables import (
    CREDIT_APPLIED,
    CREDIT_NOTE_SETTLED,
    CREDIT_REFUNDED,
    INVOICE_CAPPED,
    PREPAID_APPLIED,
    RECEIPT,
    REFUND_RECEIVED,
    RETURN_ACCRUED,
    STANDING_ORDER,
    SUSPENSE_SETTLED,
    WITHDRAWAL,
)
from services.projection.tables import PAYMENT, PAYMENT_CLEARED, PAYMENT_MOVE
from services.projection.views.place import Rows, newest, row
from services.projection.views.text import json_list


def _sum(moves: Sequence[MoneyMove]) -> int:
    return sum(move.amount_stroops for move in moves)


def payment_settled(recorded: Recorded[PaymentSettled]) -> Rows:
    """One row for the payment, one per entry it cleared, one per member who got money."""
    fact = recorded.fact
    what = (fact.payment, fact.agreement, fact.payer, fact.asset, fact.amount_stroops)
    sums = (_sum(fact.returns), _sum(fact.principal), fact.credit_stroops)
    yield PAYMENT, (*row(recorded, *what, *sums), fact.kind)
    yield from _cleared(recorded, fact.payment, fact.agreement, fact.cleared)
    yield from _moves(recorded, fact.payment, fact.returns, fact.principal)


def credit_applied(recorded: Recorded[CreditApplied]) -> Rows:
    """The same for credit that cleared what a payment would have, under its own name."""
    fact = recorded.fact
    what = (fact.application, fact.agreement, fact.asset, fact.amount_stroops)
    sums = (_sum(fact.returns), _sum(fact.principal), fact.credit_stroops)
    yield CREDIT_APPLIED, row(recorded, *what, *sums)
    yield from _cleared(recorded, fact.application, fact.agreement, fact.cleared)
    yield from _moves(recorded, fact.application, fact.returns, fact.principal)


def _cleared(
    recorded: Recorded[Fact], payment: str, agreement: str, cleared: Sequence[Cleared]
) -> Rows:
    for part, done in enumerate(cleared, 1):
        what = (payment, agreement, done.invoice, done.line_class, done.amount_stroops)
        yield PAYMENT_CLEARED, (*row(recorded, part, *what), done.into, done.payee)


def _moves(
    recorded: Recorded[Fact],
    payment: str,
    returns: Sequence[MoneyMove],
    principal: Sequence[MoneyMove],
) -> Rows:
    moves = [("return", move) for move in returns] + [("principal", move) for move in principal]
    for part, (kind, move) in enumerate(moves, 1):
        what = (payment, kind, move.member, move.amount_stroops)
        yield PAYMENT_MOVE, (recorded.stream, recorded.sequence, part, *what)


def credit_refunded(recorded: Recorded[CreditRefunded]) -> Rows:
    """One row per credit that was taken back."""
    fact = recorded.fact
    what = (fact.agreement, fact.member, fact.asset, fact.amount_stroops)
    yield CREDIT_REFUNDED, row(recorded, *what)


def prepaid_applied(recorded: Recorded[PrepaidApplied]) -> Rows:
    """One row per invoice that prepaid energy cleared."""
    fact = recorded.fact
    what = (fact.agreement, fact.asset, fact.invoice, fact.amount_stroops, fact.prepaid_stroops)
    yield PREPAID_APPLIED, row(recorded, *what)


def invoice_capped(recorded: Recorded[InvoiceCapped]) -> Rows:
    """One row per cap of an invoice."""
    fact = recorded.fact
    what = (fact.agreement, fact.asset, fact.invoice, fact.amount_stroops, fact.reason)
    yield INVOICE_CAPPED, row(recorded, *what)


def credit_note_settled(recorded: Recorded[CreditNoteSettled]) -> Rows:
    """One row per credit note of which it is known what it undid."""
    fact = recorded.fact
    yield (
        CREDIT_NOTE_SETTLED,
        row(
            recorded,
            fact.credit_note,
            fact.agreement,
            fact.asset,
            fact.invoice,
            sum(part.amount_stroops for part in fact.unpaid),
            fact.prepaid_stroops,
            sum(refund.refunded_stroops for refund in fact.refunds),
            sum(refund.owed_stroops for refund in fact.refunds),
            json_list(fact.refunds),
        ),
    )


def refund_received(recorded: Recorded[RefundReceived]) -> Rows:
    """One row per refund that came later."""
    fact = recorded.fact
    what = (fact.agreement, fact.asset, fact.payee, fact.into, fact.amount_stroops)
    yield REFUND_RECEIVED, row(recorded, *what)


def standing_order_set(recorded: Recorded[StandingOrderSet]) -> Rows:
    """The standing order that holds."""
    fact = recorded.fact
    what = (fact.member, fact.limit_stroops, recorded.envelope.time)
    yield STANDING_ORDER, (*newest(recorded, fact.agreement), *what)


def return_accrued(recorded: Recorded[ReturnAccrued]) -> Rows:
    """One row per accrual; to whom it is due stands in the entries of its accounts."""
    fact = recorded.fact
    days = (as_date(fact.from_day), as_date(fact.until_day))
    about = (fact.agreement, fact.system, fact.asset, *days)
    amounts = (fact.principal_stroops, fact.return_ppm_year, fact.amount_stroops)
    yield RETURN_ACCRUED, row(recorded, *about, *amounts)


def funds_received(recorded: Recorded[FundsReceived]) -> Rows:
    """One row per receipt that is an agreement's credit."""
    fact = recorded.fact
    what = (fact.receipt, fact.agreement, fact.asset, fact.amount_stroops)
    yield RECEIPT, row(recorded, *what, None, None)


def funds_suspended(recorded: Recorded[FundsSuspended]) -> Rows:
    """One row per receipt that waits until somebody says what it is."""
    fact = recorded.fact
    what = (fact.receipt, None, fact.asset, fact.amount_stroops)
    yield RECEIPT, row(recorded, *what, fact.reference, fact.reason)


def suspense_settled(recorded: Recorded[SuspenseSettled]) -> Rows:
    """One row per receipt of which somebody said it."""
    fact = recorded.fact
    what = (fact.receipt, fact.asset, fact.amount_stroops, fact.member, fact.agreement)
    yield SUSPENSE_SETTLED, row(recorded, *what)


def funds_withdrawn(recorded: Recorded[FundsWithdrawn]) -> Rows:
    """One row per withdrawal."""
    fact = recorded.fact
    yield WITHDRAWAL, row(recorded, fact.member, fact.asset, fact.amount_stroops)
