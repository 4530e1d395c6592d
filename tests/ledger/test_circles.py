"""Money that comes round to who paid it: everything ends, after few facts."""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import chain

import pytest

from libs.events.books import PaymentSettled
from libs.events.commands import WithdrawFunds
from libs.events.fact import Fact
from libs.events.repaying import CreditApplied, CreditNoteSettled, RefundReceived
from libs.events.system_commands import SetStandingOrder
from services.ledger.checks import PART_MIN
from services.ledger.domain import Book
from tests.dumping import through_snapshot
from tests.ledger.repaying import LEDGER, Repaying, fresh_book

HUGE = 50_000
"""Stroops of which each would be a fact of its own."""


def neighbours() -> Repaying:
    """Two co-holders."""
    return Repaying(units=(600_000, 400_000))


def both_owe() -> Repaying:
    """Each of them has used the other's surplus."""
    return billed_to_each_other(neighbours())


def billed_to_each_other(stage: Repaying) -> Repaying:
    stage.bill(("shared", "agr-2", HUGE), number=1)
    stage.bill(("shared", "agr-1", HUGE), number=2)
    stage.follow_up()
    return stage


def owing_keeper() -> Repaying:
    """The keeper owes agr-1 a refund that he has spent; agr-1 has a new bill of his."""
    stage = neighbours()
    invoice = stage.bill(("running", "keeper", HUGE))
    stage.follow_up()
    stage.pay(HUGE)
    stage.do("approver", WithdrawFunds(member="keeper", asset="USD", amount_stroops=HUGE))
    stage.given(stage.note(invoice, {"running": HUGE}))
    stage.bill(("running", "keeper", HUGE))
    stage.follow_up()
    return stage


def debts_to_each_other() -> Repaying:
    """Both paid each other's surplus and spent it before both bills were undone."""
    stage = neighbours()
    invoices = [
        stage.bill(("shared", "agr-2", HUGE), number=1),
        stage.bill(("shared", "agr-1", HUGE), number=2),
    ]
    stage.follow_up()
    stage.pay(HUGE)
    spent = [stage.bill(("tax", "town", HUGE), number=number) for number in (1, 2)]
    stage.follow_up()
    assert [stage.open_of(each) for each in (*invoices, *spent)] == [0, 0, 0, HUGE]
    stage.pay(HUGE, "next", 2)
    for invoice in invoices:
        stage.given(stage.note(invoice, {"shared": HUGE}))
    stage.follow_up()
    return stage


def owners() -> Repaying:
    """Both own their holdings, and let the other's surplus be paid from wallets that are empty."""
    stage = neighbours()
    for member, number, units in (("home", 1, 600_000), ("next", 2, 400_000)):
        stage.prepay(units, member, number)
        order = SetStandingOrder(agreement=f"agr-{number}", limit_stroops=HUGE)
        stage.do(member, order)
        left = WithdrawFunds(member=member, asset="USD", amount_stroops=stage.wallet(member))
        stage.do("approver", left)
    return billed_to_each_other(stage)


def add(stage: Repaying, amount: int) -> list[Fact]:
    """Some stroops for `home`, who pays them in if no order does."""
    facts = stage.deposit("home", amount)
    has_paid = any(isinstance(each, PaymentSettled) for each in facts)
    return facts if has_paid or stage.wallet("home") < amount else facts + stage.pay(amount)


CIRCLES = pytest.mark.parametrize("circle", [both_owe, owing_keeper, debts_to_each_other, owners])


@CIRCLES
def test_a_stroop_does_not_go_round(circle: Callable[[], Repaying]) -> None:
    stage = circle()

    assert most_of_one(add(stage, 1)) <= 1
    assert stage.at(1) == []
    stage.check_laws()


@CIRCLES
def test_what_is_a_hundredth_goes_round_and_ends(circle: Callable[[], Repaying]) -> None:
    stage = circle()

    assert 0 < most_of_one(add(stage, HUGE // PART_MIN)) <= PART_MIN
    assert stage.follow_up() == []
    stage.check_laws()


@CIRCLES
def test_what_waits_for_more_is_not_due_after_a_restart(circle: Callable[[], Repaying]) -> None:
    stage = circle()
    add(stage, 1)
    facts = stage.history.facts

    _, loaded = through_snapshot(fresh_book, Book.evolve, facts, len(facts) // 2)
    streams = ([each for each in facts if (each.stream == LEDGER) is own] for own in (True, False))
    for book in (loaded, stage.again(chain(*streams))):
        assert book.due() == ()


def test_money_that_suffices_ends_a_circle_with_what_had_waited() -> None:
    stage = both_owe()
    add(stage, 1)

    stage.pay(HUGE)

    assert [stage.open_of(f"agr-{number}.{number}") for number in (1, 2)] == [0, 0]
    stage.check_laws()


def test_the_note_of_a_dispute_does_not_keep_a_correction_of_its_invoice_waiting() -> None:
    stage = neighbours()
    invoice, other = stage.bill(("energy", None, 100)), stage.bill(("energy", None, 70), number=2)
    stage.given(
        stage.note(invoice, {"energy": 30}),
        stage.note(invoice, {"energy": 70}, reason="readings"),
        stage.invoice(("energy", None, 60), replaces=invoice),
        stage.note(other, {"energy": 5}),
    )

    notes = [each for each in stage.follow_up() if isinstance(each, CreditNoteSettled)]

    assert [each.invoice for each in notes] == [invoice, invoice, other]
    assert stage.open_of(invoice) == 0


def most_of_one(facts: Sequence[Fact]) -> int:
    """What the busiest agreement settled by itself, or got back."""
    kinds = (PaymentSettled, CreditApplied, RefundReceived)
    counts = Counter(
        (each.fact_name, each.agreement)
        for each in facts
        if isinstance(each, kinds) and getattr(each, "kind", "") != "invoices"
    )
    return max(counts.values(), default=0)
