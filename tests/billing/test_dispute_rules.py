"""Disputes: what is refused, what stands still meanwhile, and what is left of it afterwards."""

import random
from datetime import timedelta
from typing import Any

import pytest

from libs.events.billing_commands import DisputeInvoice, OpenAgreement, ResolveDispute
from libs.events.command import Body
from libs.events.dunning import AlertRaised, DisputeResolved, InvoiceDisputed, ReminderSent
from libs.events.fact import Fact
from libs.events.systems import HoldingTransferred
from libs.runtime.failures import HeliographError
from tests.billing.lateness_world import LEDGER, SECOND, TERMS, World
from tests.histories import START

DAY = timedelta(days=1)
LATE = START + 14 * DAY + SECOND
"""When an invoice that was due at `START` is late."""


def dispute(world: World, invoice: str, amount: int, member: str = "home") -> list[Fact]:
    body = DisputeInvoice(invoice=invoice, amount_stroops=amount, reason="meter-broken")
    return world.stage.when(member, f"dispute-{invoice}", body)


def resolve(world: World, invoice: str, credited: int, *, is_credited: bool = True) -> None:
    body = ResolveDispute(invoice=invoice, credited_stroops=credited)
    (fact,) = world.stage.when("boss", f"resolve-{invoice}", body)
    assert isinstance(fact, DisputeResolved)
    assert fact.credited_stroops == credited
    if credited and is_credited:
        world.credit(invoice, credited, "dispute")


def test_a_dispute_lasts_ninety_days_and_stands_under_its_agreement() -> None:
    world = World()
    invoice = world.issue(START)
    (fact,) = dispute(world, invoice, 50_000_000)
    assert isinstance(fact, InvoiceDisputed)
    assert (fact.agreement, fact.reason) == ("agr", "meter-broken")
    assert fact.until_at == START + 90 * DAY
    assert world.history.facts[-1].envelope.key == "agr"


def test_a_dispute_that_is_repeated_changes_nothing() -> None:
    world = World()
    invoice = world.issue(START)
    dispute(world, invoice, 50_000_000)
    assert dispute(world, invoice, 50_000_000) == []


@pytest.mark.parametrize(
    ("member", "invoice", "amount", "code"),
    [
        ("home", "agr-9", 1, "unknown-invoice"),
        ("eve", "agr-1", 1, "not-your-invoice"),
        ("boss", "agr-1", 1, "not-your-invoice"),
        ("home", "agr-1", 30_000_001, "more-than-open"),
        ("home", "agr-2", 1, "nothing-open"),
        ("home", "agr-3", 1, "already-disputed"),
    ],
)
def test_what_cannot_be_disputed_is_refused(
    member: str, invoice: str, amount: int, code: str
) -> None:
    world = World()
    for _ in range(3):
        world.issue(START)
    world.pay("agr-1", 20_000_000)
    world.pay("agr-2")
    dispute(world, "agr-3", 1)
    before = len(world.history.facts)
    with pytest.raises(HeliographError) as refused:
        dispute_again(world, member, invoice, amount)
    assert refused.value.code == code
    assert len(world.history.facts) == before


def dispute_again(world: World, member: str, invoice: str, amount: int) -> None:
    body = DisputeInvoice(invoice=invoice, amount_stroops=amount, reason="other")
    world.stage.when(member, "again", body)


def test_all_that_is_open_may_be_disputed_and_a_decided_dispute_is_not_opened_again() -> None:
    world = World()
    invoice = world.issue(START)
    world.pay(invoice, 20_000_000)
    assert dispute(world, invoice, 30_000_000)
    resolve(world, invoice, 0)
    with pytest.raises(HeliographError, match="disputed once"):
        dispute_again(world, "home", invoice, 1)


def test_who_holds_the_holding_today_may_dispute() -> None:
    world = World()
    invoice = world.issue(START)
    moved = HoldingTransferred(
        holding="agr-h", from_member="home", to_member="eve", agreement="agr"
    )
    world.add(world.history.record(LEDGER, "agr-h", moved))
    with pytest.raises(HeliographError, match="another member"):
        dispute_again(world, "home", invoice, 1)
    assert dispute(world, invoice, 1, "eve")


@pytest.mark.parametrize(
    ("member", "values", "code"),
    [
        ("home", {"invoice": "agr-1", "credited_stroops": 0}, "wrong-role"),
        ("boss", {"invoice": "agr-9", "credited_stroops": 0}, "unknown-invoice"),
        ("boss", {"invoice": "agr-2", "credited_stroops": 0}, "not-disputed"),
        ("boss", {"invoice": "agr-3", "credited_stroops": 0}, "not-disputed"),
        ("boss", {"invoice": "agr-1", "credited_stroops": 20_000_001}, "credit-more-than-disputed"),
        ("boss", {"invoice": "agr-4", "credited_stroops": 1}, "credit-more-than-billed"),
    ],
)
def test_a_decision_that_fits_no_dispute_is_refused(
    member: str, values: dict[str, Any], code: str
) -> None:
    world = World()
    for _ in range(4):
        world.issue(START)
    dispute(world, "agr-1", 20_000_000)
    dispute(world, "agr-3", 1)
    resolve(world, "agr-3", 0)
    dispute(world, "agr-4", 20_000_000)
    world.credit("agr-4", 50_000_000)  # a corrected reading has replaced it meanwhile
    before = len(world.history.facts)
    with pytest.raises(HeliographError) as refused:
        world.stage.when(member, "x", ResolveDispute.model_validate(values))
    assert refused.value.code == code
    assert len(world.history.facts) == before


def test_the_rest_is_late_alone_while_a_part_is_disputed() -> None:
    world = World()
    invoice = world.issue(START)
    dispute(world, invoice, 20_000_000)
    assert world.to(LATE - SECOND) == []
    (fact,) = world.to(LATE)
    assert isinstance(fact, ReminderSent)
    assert fact.overdue_stroops == 30_000_000


def test_who_disputes_all_but_ten_cents_is_late_for_nothing() -> None:
    world = World()
    invoice = world.issue(START)
    dispute(world, invoice, 49_000_000)
    assert world.to(START + 80 * DAY) == []


@pytest.mark.parametrize("days", [5, 89])
def test_the_disputed_part_is_late_by_the_time_that_remained(days: int) -> None:
    world = World()
    invoice = world.issue(START)
    world.to(START + 3 * DAY)
    dispute(world, invoice, 50_000_000)
    world.to(START + (3 + days) * DAY)
    resolve(world, invoice, 10_000_000)
    assert world.to(LATE + days * DAY - SECOND) == []
    (fact,) = world.to(LATE + days * DAY)
    assert isinstance(fact, ReminderSent)
    assert (fact.overdue_stroops, fact.periods_late) == (40_000_000, 1)


def corrected(world: World, invoice: str, amount: int, name: str) -> str:
    """Readings are corrected: a credit note, and a new invoice with the old due time."""
    world.credit(invoice, world.open(invoice))
    return world.issue(START, amount, name=name, replaces=invoice)


@pytest.mark.parametrize("again", [0, 9])
def test_what_replaces_a_disputed_invoice_keeps_the_time_that_stood_still(again: int) -> None:
    world = World()
    invoice = world.issue(START)
    world.to(START + 3 * DAY)
    dispute(world, invoice, 50_000_000)
    world.to(START + 60 * DAY)
    second = corrected(world, invoice, 49_000_000, "agr-1.2")
    world.to(START + 61 * DAY)
    if again:
        dispute_again(world, "home", second, 49_000_000)
    world.to(START + (61 + again) * DAY)
    third = corrected(world, second, 48_000_000, "agr-1.3")
    assert world.to(LATE + (57 + again) * DAY - SECOND) == []
    (fact,) = world.to(LATE + (57 + again) * DAY)
    assert isinstance(fact, ReminderSent)
    assert (fact.invoice, fact.overdue_stroops) == (third, 48_000_000)


def test_nobody_decides_and_after_ninety_days_it_counts_again() -> None:
    world = World()
    invoice = world.issue(START)
    world.to(START + 3 * DAY)
    dispute(world, invoice, 50_000_000)
    assert world.to(LATE + 90 * DAY - SECOND) == []
    assert len(world.to(LATE + 90 * DAY)) == 1


def test_a_late_decision_takes_no_more_than_ninety_days() -> None:
    world = World()
    invoice = world.issue(START)
    dispute(world, invoice, 50_000_000)
    world.to(START + 100 * DAY)
    resolve(world, invoice, 10_000_000)
    assert world.to(LATE + 90 * DAY - SECOND) == []
    (fact,) = world.to(LATE + 90 * DAY)
    assert isinstance(fact, ReminderSent)
    assert fact.overdue_stroops == 40_000_000


def test_a_dispute_holds_back_a_step_that_was_reached_before() -> None:
    world = World()
    invoice = world.issue(START)
    assert len(world.to(START + 30 * DAY)) == 1
    dispute(world, invoice, 50_000_000)
    assert world.to(START + 119 * DAY) == []
    (fact,) = world.to(START + 120 * DAY)
    assert isinstance(fact, AlertRaised)
    assert fact.periods_late == 2


def test_what_was_decided_in_his_favour_makes_nobody_late_before_it_is_credited() -> None:
    world = World()
    invoice = world.issue(START)
    dispute(world, invoice, 50_000_000)
    resolve(world, invoice, 49_500_000, is_credited=False)
    assert world.to(START + 50 * DAY) == []
    world.credit(invoice, 49_500_000, "dispute")
    assert world.to(START + 100 * DAY) == []


def test_money_that_comes_meanwhile_pays_the_rest_first() -> None:
    world = World()
    invoice = world.issue(START)
    dispute(world, invoice, 20_000_000)
    world.pay(invoice, 30_000_000)
    assert world.to(START + 80 * DAY) == []


def test_a_restart_knows_every_dispute() -> None:
    world = World()
    invoice = world.issue(START)
    dispute(world, invoice, 20_000_000)
    world.restart(random.Random(1))
    with pytest.raises(HeliographError, match="disputed once"):
        dispute_again(world, "home", invoice, 1)
    (fact,) = world.to(LATE)
    assert isinstance(fact, ReminderSent)
    assert fact.overdue_stroops == 30_000_000


def test_a_command_of_others_is_not_decided_here() -> None:
    world = World()
    body: Body = OpenAgreement(
        agreement="a",
        holding="h",
        tariff="t",
        period="14d",
        first_day="2026-06-01",
        rating_interval_s=900,
        settlement_lag_s=0,
        due_after_s=0,
        terms=TERMS,
    )
    with pytest.raises(HeliographError) as refused:
        world.stage.when("home", "x", body)
    assert refused.value.code == "wrong-service"
