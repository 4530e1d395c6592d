"""Postings of repayment facts: money in and out, what it clears, and the title that follows. Pure.

All money goes through the agreement's credit, so that what a payment leaves over is its credit.

Source: domain rules, section 11.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from libs.events.books import (
    Cleared,
    FundsDeposited,
    OwnershipTransferred,
    PaidInto,
    PaymentSettled,
)
from libs.events.fact import Fact
from libs.events.repaying import (
    CreditApplied,
    CreditNoteSettled,
    CreditRefunded,
    FundsReceived,
    FundsSuspended,
    FundsWithdrawn,
    InvoiceCapped,
    PrepaidApplied,
    RefundReceived,
    ReturnAccrued,
    SuspenseSettled,
)
from libs.events.systems import HoldingOwned
from libs.rules.posting import Posting


def payee_account(into: PaidInto, payee: str) -> str:
    """The account of whoever receives a cleared line that is not energy.

    Args:
        into: The kind of account.
        payee: A member; for `credit` an agreement.
    """
    return f"{into}:{payee}"


def _funds_deposited(fact: FundsDeposited) -> Iterable[Posting]:
    money = f"U:{fact.asset}"
    yield Posting(money, f"issuer:{fact.asset}", f"wallet:{fact.member}", fact.amount_stroops)


def _funds_received(fact: FundsReceived) -> Iterable[Posting]:
    money = f"U:{fact.asset}"
    yield Posting(money, f"issuer:{fact.asset}", f"credit:{fact.agreement}", fact.amount_stroops)


def _funds_suspended(fact: FundsSuspended) -> Iterable[Posting]:
    money = f"U:{fact.asset}"
    yield Posting(money, f"issuer:{fact.asset}", f"suspense:{fact.receipt}", fact.amount_stroops)


def _suspense_settled(fact: SuspenseSettled) -> Iterable[Posting]:
    receiver = f"issuer:{fact.asset}"
    if fact.member is not None:
        receiver = f"wallet:{fact.member}"
    elif fact.agreement is not None:
        receiver = f"credit:{fact.agreement}"
    yield Posting(f"U:{fact.asset}", f"suspense:{fact.receipt}", receiver, fact.amount_stroops)


def _funds_withdrawn(fact: FundsWithdrawn) -> Iterable[Posting]:
    money = f"U:{fact.asset}"
    yield Posting(money, f"wallet:{fact.member}", f"issuer:{fact.asset}", fact.amount_stroops)


def _payment_settled(fact: PaymentSettled) -> Iterable[Posting]:
    if fact.amount_stroops:  # a prepayment may come out of credit alone
        wallet, credit = f"wallet:{fact.payer}", f"credit:{fact.agreement}"
        yield Posting(f"U:{fact.asset}", wallet, credit, fact.amount_stroops)
    yield from _settled(fact)


def _credit_applied(fact: CreditApplied) -> Iterable[Posting]:
    yield from _settled(fact)


def _settled(fact: PaymentSettled | CreditApplied) -> Iterable[Posting]:
    """What leaves the agreement's credit, and the claims that end with it."""
    money, claims = f"U:{fact.asset}", f"C:{fact.asset}"
    credit = f"credit:{fact.agreement}"
    yield from _cleared(fact.agreement, fact.asset, fact.cleared)
    for move in fact.returns:
        owed = f"return_to:{fact.agreement}:{move.member}"
        yield Posting(claims, owed, f"return_due:{fact.agreement}", move.amount_stroops)
        yield Posting(money, credit, f"wallet:{move.member}", move.amount_stroops)
    for move in fact.principal:
        yield Posting(money, credit, f"wallet:{move.member}", move.amount_stroops)


def _cleared(agreement: str, asset: str, parts: Sequence[Cleared]) -> Iterable[Posting]:
    for part in parts:
        billed, amount = f"billed:{agreement}:{part.line_class}", part.amount_stroops
        yield Posting(f"C:{asset}", billed, f"due:{agreement}", amount)
        if part.payee is not None:  # the money of energy follows the waterfall
            account = payee_account(part.into, part.payee)
            yield Posting(f"U:{asset}", f"credit:{agreement}", account, amount)


def _credit_refunded(fact: CreditRefunded) -> Iterable[Posting]:
    credit, wallet = f"credit:{fact.agreement}", f"wallet:{fact.member}"
    yield Posting(f"U:{fact.asset}", credit, wallet, fact.amount_stroops)


def _prepaid_applied(fact: PrepaidApplied) -> Iterable[Posting]:
    claims, name, amount = f"C:{fact.asset}", fact.agreement, fact.amount_stroops
    yield Posting(claims, f"prepaid:{name}", f"due:{name}", amount)
    yield Posting(claims, f"billed:{name}:energy", f"overbilled:{name}", amount)


def _invoice_capped(fact: InvoiceCapped) -> Iterable[Posting]:
    billed, due = f"billed:{fact.agreement}:energy", f"due:{fact.agreement}"
    yield Posting(f"C:{fact.asset}", billed, due, fact.amount_stroops)


def _credit_note_settled(fact: CreditNoteSettled) -> Iterable[Posting]:
    money, claims, name = f"U:{fact.asset}", f"C:{fact.asset}", fact.agreement
    for part in fact.unpaid:
        billed = f"billed:{name}:{part.line_class}"
        yield Posting(claims, billed, f"due:{name}", part.amount_stroops)
    if fact.prepaid_stroops:
        yield Posting(claims, f"overbilled:{name}", f"prepaid:{name}", fact.prepaid_stroops)
    for refund in fact.refunds:
        if refund.refunded_stroops:
            account = payee_account(refund.into, refund.payee)
            yield Posting(money, account, f"credit:{name}", refund.refunded_stroops)
        if refund.owed_stroops:
            owed_by = f"owed_by:{refund.payee}"
            yield Posting(claims, owed_by, f"owed_to:{name}", refund.owed_stroops)


def _refund_received(fact: RefundReceived) -> Iterable[Posting]:
    name, amount = fact.agreement, fact.amount_stroops
    account = payee_account(fact.into, fact.payee)
    yield Posting(f"U:{fact.asset}", account, f"credit:{name}", amount)
    yield Posting(f"C:{fact.asset}", f"owed_to:{name}", f"owed_by:{fact.payee}", amount)


def _return_accrued(fact: ReturnAccrued) -> Iterable[Posting]:
    due = f"return_due:{fact.agreement}"
    for move in fact.moves:
        owed = f"return_to:{fact.agreement}:{move.member}"
        yield Posting(f"C:{fact.asset}", due, owed, move.amount_stroops)


def _ownership_transferred(fact: OwnershipTransferred) -> Iterable[Posting]:
    for move in fact.moves:
        title = f"title:{fact.system}:{move.member}"
        yield Posting(f"T:{fact.system}", title, f"own:{fact.agreement}", move.shares)


def _holding_owned(fact: HoldingOwned) -> Iterable[Posting]:
    if fact.lapsed_prepaid_stroops:
        prepaid, overbilled = f"prepaid:{fact.agreement}", f"overbilled:{fact.agreement}"
        yield Posting(f"C:{fact.asset}", prepaid, overbilled, fact.lapsed_prepaid_stroops)


REPAYMENT_RULES: Mapping[type[Fact], Callable[[Any], Iterable[Posting]]] = {
    FundsDeposited: _funds_deposited,
    FundsReceived: _funds_received,
    FundsSuspended: _funds_suspended,
    SuspenseSettled: _suspense_settled,
    FundsWithdrawn: _funds_withdrawn,
    PaymentSettled: _payment_settled,
    CreditApplied: _credit_applied,
    CreditRefunded: _credit_refunded,
    PrepaidApplied: _prepaid_applied,
    InvoiceCapped: _invoice_capped,
    CreditNoteSettled: _credit_note_settled,
    RefundReceived: _refund_received,
    ReturnAccrued: _return_accrued,
    OwnershipTransferred: _ownership_transferred,
    HoldingOwned: _holding_owned,
}
"""What each of these facts posts."""
