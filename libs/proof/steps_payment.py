"""Steps 12 and 13: what was paid, what moved with it, and that there is nothing else. Pure."""

from libs.events.books import OwnershipTransferred, PaymentSettled
from libs.events.commands import Pay
from libs.events.envelope import Recorded
from libs.events.invoicing import InvoicePaid
from libs.events.positions import write_cause
from libs.proof.bill import Bill
from libs.proof.case import Case, Step, require, same
from libs.proof.people import People

PAYER = frozenset({"recipient"})
"""Who pays."""

Payment = Recorded[PaymentSettled]


def check_payments(case: Case, bill: Bill, people: People) -> Step:
    """Step 12: what payments cleared of this invoice, and that title followed cash."""
    invoice = bill.invoice.fact
    payments = sorted(
        case.all(PaymentSettled, lambda fact: fact.agreement == invoice.agreement),
        key=lambda each: each.sequence,
    )
    cleared = shares = 0
    for payment in payments:
        shares += _check_payment(case, bill, people, payment)
        parts = [each for each in payment.fact.cleared if each.invoice == invoice.invoice]
        require(12, bool(parts), f"payment {payment.fact.payment} clears nothing of this invoice")
        cleared += sum(part.amount_stroops for part in parts)
    require(12, cleared <= invoice.total_stroops, f"{cleared} was cleared, more than was billed")
    paid = case.all(InvoicePaid, lambda fact: fact.invoice == invoice.invoice)
    require(12, len(paid) <= 1, "it was paid twice")
    for each in paid:
        _check_paid(bill, each, payments, cleared)
    if payments:
        case.not_covered.append(
            "Who the investors are and what they held before; payments of other invoices."
        )
    elif invoice.total_stroops:
        case.not_covered.append("Payments: none was anchored with this invoice.")
    checked = "amounts are conserved, and each stroop of principal moved one share"
    if not payments:
        checked = "no payment of this invoice is in the file"
    counts = {"payments": len(payments), "cleared stroops": cleared, "shares": shares}
    return Step(12, "payment and title", checked, counts)


def _check_payment(case: Case, bill: Bill, people: People, payment: Payment) -> int:
    """One payment by its payer's command; gives the shares that moved."""
    fact, agreement = payment.fact, bill.agreement.fact
    what = f"payment {fact.payment}"
    require(12, fact.command is not None, f"{what} carries no command")
    assert fact.command is not None
    order = people.signed(payment, fact.command, Pay, PAYER, 12)
    principal = sum(move.amount_stroops for move in fact.principal)
    given = principal + sum(move.amount_stroops for move in fact.returns)
    same(
        12,
        what,
        (
            ("its name", fact.payment, f"{order.member}.{order.id}"),
            ("payer", fact.payer, order.member),
            ("payer", fact.payer, agreement.recipient),
            ("asset", fact.asset, agreement.asset),
            ("what it cleared", sum(part.amount_stroops for part in fact.cleared), given),
        ),
    )
    before = fact.credit_stroops + given - fact.amount_stroops
    require(12, before >= 0, f"{what}: credit of {-before} stroops comes from nowhere")
    require(12, case.knew(payment, bill.invoice), f"{what} came before the bill was known")
    return _check_title(case, bill, payment, principal)


def _check_title(case: Case, bill: Bill, payment: Payment, principal: int) -> int:
    """Title follows cash: one share for each stroop of principal, from the same members."""
    fact, agreement = payment.fact, bill.agreement.fact
    what = f"title moved by payment {fact.payment}"
    moved = case.all(OwnershipTransferred, lambda each: each.payment == fact.payment)
    require(12, len(moved) == bool(principal), f"{what}: {len(moved)} facts")
    if not moved:
        return 0
    title = moved[0].fact
    same(
        12,
        what,
        (
            ("place", (moved[0].stream, moved[0].sequence), (payment.stream, payment.sequence + 1)),
            ("cause", moved[0].envelope.cause, write_cause(payment.position, payment.envelope.id)),
            ("system", title.system, agreement.system),
            ("holding", title.holding, agreement.holding),
            ("agreement", title.agreement, agreement.agreement),
            ("to_member", title.to_member, agreement.recipient),
            ("holding_units", title.holding_units, bill.holding.units),
            (
                "moves",
                [(move.member, move.shares) for move in title.moves],
                [(move.member, move.amount_stroops) for move in fact.principal],
            ),
        ),
    )
    require(12, principal <= title.own_shares <= title.holding_units, f"{what}: too many shares")
    return principal


def _check_paid(
    bill: Bill, paid: Recorded[InvoicePaid], payments: list[Payment], cleared: int
) -> None:
    """The invoice counts as paid: everything was cleared, by the payments shown."""
    invoice = bill.invoice.fact
    same(
        12,
        "InvoicePaid",
        (
            ("number", paid.fact.number, invoice.number),
            ("agreement", paid.fact.agreement, invoice.agreement),
            ("total_stroops", paid.fact.total_stroops, invoice.total_stroops),
            ("what was cleared", cleared, invoice.total_stroops),
            ("stream", paid.stream, bill.invoice.stream),
        ),
    )
    if payments:
        last = payments[-1]
        cause = write_cause(last.position, last.envelope.id)
        same(12, "InvoicePaid", (("cause", paid.envelope.cause, cause),))


def check_nothing_else(case: Case, people: People) -> Step:
    """Step 13: every fact in the file was needed."""
    idle = case.idle()
    if idle:
        first = idle[0]
        what = f"{first.fact.fact_name} at {first.stream} {first.sequence}"
        require(13, truth=False, message=f"{what} is not needed for this proof")
    unused = people.unused()
    require(13, not unused, f"members that nothing names: {', '.join(unused)}")
    counts = {"facts": len(case.facts)}
    return Step(13, "nothing else", "the file holds nothing that no step needed", counts)
