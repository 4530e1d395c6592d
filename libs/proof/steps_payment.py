"""Steps 12 and 13: what was paid, what moved with it, and that there is nothing else. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from libs.events.books import OwnershipTransferred, PaymentSettled
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued, InvoicePaid
from libs.events.positions import write_cause
from libs.events.repaying import (
    CreditApplied,
    CreditNoteSettled,
    InvoiceCapped,
    PrepaidApplied,
    StandingOrderSet,
)
from libs.events.system_commands import Pay, SetStandingOrder
from libs.proof.bill import Bill
from libs.proof.case import Case, Step, require, same
from libs.proof.documents import Documents
from libs.proof.people import People
from libs.proof.receivable import Receivable
from libs.proof.supply import RECIPIENT, latest

Clearing = Recorded[PaymentSettled] | Recorded[CreditApplied]
Touch = Clearing | Recorded[PrepaidApplied] | Recorded[InvoiceCapped] | Recorded[CreditNoteSettled]


@dataclass(slots=True)
class _Desk:
    """What the checks of this step share."""

    case: Case
    bill: Bill
    people: People
    notes: Sequence[Recorded[CreditNoteIssued]]


def check_payments(case: Case, bill: Bill, people: People, documents: Documents) -> Step:
    """Step 12: what was cleared of this invoice, and that title followed cash."""
    invoice = bill.invoice.fact
    desk = _Desk(case, bill, people, documents.notes)
    touches = _touches(case, bill)
    open_now = Receivable(invoice)
    shares = 0
    for each in touches:
        known = case.knew(each, bill.invoice)
        what = f"{each.fact.fact_name} at {each.stream} {each.sequence}"
        require(12, known, f"{what} came before the bill was known")
        require(12, each.envelope.key == invoice.agreement, f"{what} stands under another key")
        pairs = (
            ("asset", each.fact.asset, invoice.asset),
            ("agreement", each.fact.agreement, invoice.agreement),
        )
        same(12, what, pairs)
        if isinstance(each.fact, PaymentSettled | CreditApplied):
            shares += _check_clearing(desk, each)
        _do(desk, open_now, each)
    paid = case.all(InvoicePaid, lambda fact: fact.invoice == invoice.invoice)
    require(12, len(paid) <= 1, "it was paid twice")
    for done in paid:
        _check_paid(desk, done, touches)
    _name_open(case, bill, touches)
    checked = "amounts are conserved, classes cleared in their order, and each stroop of principal "
    checked += "moved one share"
    if not touches:
        checked = "no payment of this invoice is in the file"
    payments = sum(isinstance(each.fact, PaymentSettled) for each in touches)
    counts = {"payments": payments, "cleared stroops": open_now.cleared_stroops, "shares": shares}
    if len(touches) > payments:
        counts["credits and caps"] = len(touches) - payments
    return Step(12, "payment and title", checked, counts)


def _touches(case: Case, bill: Bill) -> list[Touch]:
    """All that the ledger did to the invoice, in its order."""
    name, agreement = bill.invoice.fact.invoice, bill.invoice.fact.agreement
    found: list[Touch] = [*case.all(PaymentSettled, lambda fact: fact.agreement == agreement)]
    found += case.all(CreditApplied, lambda fact: fact.agreement == agreement)
    for each in found:
        assert isinstance(each.fact, PaymentSettled | CreditApplied)
        is_part = any(part.invoice == name for part in each.fact.cleared)
        what = f"{each.fact.fact_name} at {each.stream} {each.sequence}"
        require(12, is_part, f"{what} clears nothing of this invoice")
    found += case.all(PrepaidApplied, lambda fact: fact.invoice == name)
    found += case.all(InvoiceCapped, lambda fact: fact.invoice == name)
    found += case.all(CreditNoteSettled, lambda fact: fact.invoice == name)
    require(12, len({each.stream for each in found}) <= 1, "two ledgers deal with it")
    return sorted(found, key=lambda each: each.sequence)


def _do(desk: _Desk, receivable: Receivable, each: Touch) -> None:
    """Take note of one fact, by the credit notes that its writer knew."""
    known = [note.fact for note in desk.notes if desk.case.knew(each, note)]
    receivable.credit(known)
    fact = each.fact
    if isinstance(fact, CreditNoteSettled):
        notes = [note for note in known if note.credit_note == fact.credit_note]
        require(12, len(notes) == 1, f"{fact.credit_note} is settled, and not in the file")
        receivable.undo(notes[0], fact)
    else:
        receivable.do(fact)


def _check_clearing(desk: _Desk, each: Clearing) -> int:
    """What money cleared, and whom it reached; gives the shares that moved."""
    fact = each.fact
    principal = sum(move.amount_stroops for move in fact.principal)
    given = principal + sum(move.amount_stroops for move in fact.returns)
    energy = sum(part.amount_stroops for part in fact.cleared if part.line_class == "energy")
    cleared = sum(part.amount_stroops for part in fact.cleared)
    if isinstance(fact, PaymentSettled):
        name = fact.payment
        _check_payment(desk, each, fact, cleared)
    else:
        name = fact.application
        is_named = re.fullmatch(rf"{re.escape(fact.agreement)}\.credit\.[1-9][0-9]*", name)
        require(12, is_named is not None, f"credit {name} has a name of another kind")
        pairs = (("amount", fact.amount_stroops, cleared), ("id", each.envelope.id, name))
        same(12, f"credit {name}", pairs)
    same(12, f"payment {name}", (("the energy it cleared", energy, given),))
    is_free = desk.bill.agreement.fact.terms.return_ppm_year == 0
    require(12, not (is_free and fact.returns), f"payment {name} pays a return that nobody agreed")
    return _check_title(desk, each, name, principal)


def _check_payment(desk: _Desk, each: Recorded[Fact], fact: PaymentSettled, cleared: int) -> None:
    """A payment by its payer's command, or by the order that he signed once."""
    what = f"payment {fact.payment}"
    holder = desk.bill.supply.holder(desk.bill.holding.recipient, each.sequence)
    if fact.kind == "standing-order":
        _check_order(desk, each, fact)
        pairs = (("what it cleared", cleared, fact.amount_stroops), ("payer", fact.payer, holder))
        same(12, what, pairs)
        return
    require(12, fact.command is not None, f"{what} carries no command")
    require(12, fact.kind == "invoices", f"{what} is of another kind")
    assert fact.command is not None
    order = desk.people.signed(each, fact.command, Pay, RECIPIENT, 12)
    same(
        12,
        what,
        (
            ("its name", fact.payment, f"{order.member}.{order.id}"),
            ("payer", fact.payer, order.member),
            ("payer", fact.payer, holder),
        ),
    )
    before = fact.credit_stroops + cleared - fact.amount_stroops
    require(12, before >= 0, f"{what}: credit of {-before} stroops comes from nowhere")


def _check_order(desk: _Desk, each: Recorded[Fact], fact: PaymentSettled) -> None:
    """The payer had signed a standing order; the newest one that is shown counts."""
    what = f"payment {fact.payment}"
    name = rf"{re.escape(fact.agreement)}\.auto\.[1-9][0-9]*"
    require(12, re.fullmatch(name, fact.payment) is not None, f"{what} has a name of another kind")
    require(12, fact.command is None, f"{what} carries a command")
    orders = desk.case.glance(StandingOrderSet, lambda order: order.agreement == fact.agreement)
    order = latest(orders, each)
    require(12, order is not None, f"{what}: nobody had ordered it")
    assert order is not None
    desk.case.need(order)
    ordered = desk.people.signed(order, order.fact.command, SetStandingOrder, RECIPIENT, 12)
    same(
        12,
        what,
        (
            ("payer", fact.payer, order.fact.member),
            ("who ordered it", order.fact.member, ordered.member),
            ("id", each.envelope.id, fact.payment),
        ),
    )
    name = desk.bill.invoice.fact.invoice
    before = sum(
        part.amount_stroops
        for earlier in desk.case.glance(PaymentSettled)
        if earlier.sequence <= each.sequence and earlier.fact.kind == "standing-order"
        for part in earlier.fact.cleared
        if part.invoice == name
    )
    require(12, before <= order.fact.limit_stroops, f"{what}: more than was ordered")


def _check_title(desk: _Desk, payment: Clearing, name: str, principal: int) -> int:
    """Title follows cash: one share for each stroop of principal, from the same members."""
    agreement, what = desk.bill.agreement.fact, f"title moved by payment {name}"
    moved = desk.case.all(OwnershipTransferred, lambda each: each.payment == name)
    require(12, len(moved) == bool(principal), f"{what}: {len(moved)} facts")
    if not moved:
        return 0
    title = moved[0].fact
    holder = desk.bill.supply.holder(desk.bill.holding.recipient, payment.sequence)
    same(
        12,
        what,
        (
            ("place", (moved[0].stream, moved[0].sequence), (payment.stream, payment.sequence + 1)),
            ("cause", moved[0].envelope.cause, write_cause(payment.position, payment.envelope.id)),
            ("system", title.system, agreement.system),
            ("holding", title.holding, agreement.holding),
            ("agreement", title.agreement, agreement.agreement),
            ("to_member", title.to_member, holder),
            ("holding_units", title.holding_units, desk.bill.holding.units),
            (
                "moves",
                [(move.member, move.shares) for move in title.moves],
                [(move.member, move.amount_stroops) for move in payment.fact.principal],
            ),
        ),
    )
    require(12, principal <= title.own_shares <= title.holding_units, f"{what}: too many shares")
    return principal


def _check_paid(desk: _Desk, paid: Recorded[InvoicePaid], touches: Sequence[Touch]) -> None:
    """The invoice counts as paid: nothing of it was open, by the facts shown."""
    invoice, notes = desk.bill.invoice.fact, desk.notes
    known = [each for each in touches if desk.case.knew(paid, each)]
    receivable = Receivable(invoice)
    for each in known:
        _do(desk, receivable, each)
    credited = [note for note in notes if desk.case.knew(paid, note)]
    receivable.credit([note.fact for note in credited])
    require(12, not receivable.is_open, "InvoicePaid: something of it is open")
    causes = {write_cause(each.position, each.envelope.id) for each in (*known, *credited)}
    is_caused = paid.envelope.cause in causes or not invoice.total_stroops
    require(12, is_caused, "InvoicePaid: its cause is none of what is shown")
    same(
        12,
        "InvoicePaid",
        (
            ("number", paid.fact.number, invoice.number),
            ("agreement", paid.fact.agreement, invoice.agreement),
            ("total_stroops", paid.fact.total_stroops, invoice.total_stroops),
            ("stream", paid.stream, desk.bill.invoice.stream),
            ("id", paid.envelope.id, f"{invoice.invoice}.paid"),
        ),
    )


def _name_open(case: Case, bill: Bill, touches: Sequence[Touch]) -> None:
    """Name what the facts of one invoice cannot show."""
    if not touches:
        if bill.invoice.fact.total_stroops:
            case.not_covered.append("Payments: none was anchored with this invoice.")
        return
    case.not_covered.append(
        "Who the investors are and what they held before; payments of other invoices."
    )
    if bill.agreement.fact.terms.return_ppm_year:
        case.not_covered.append("How much return had accrued when it was paid before principal.")
    facts = [each.fact for each in touches]
    if any(isinstance(fact, PrepaidApplied | InvoiceCapped) for fact in facts):
        case.not_covered.append("Where prepaid energy came from, and what was owed when it capped.")
    if any(
        part.line_class == "shared" and part.into == "wallet"
        for fact in facts
        if isinstance(fact, PaymentSettled | CreditApplied)
        for part in fact.cleared
    ):
        case.not_covered.append("Who held the holding from which shared energy came.")
    if any(isinstance(fact, CreditApplied) for fact in facts):
        case.not_covered.append("Where the credit came from that was applied.")
    if any(isinstance(fact, PaymentSettled) and fact.command is None for fact in facts):
        case.not_covered.append("That no newer standing order is left out.")


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
