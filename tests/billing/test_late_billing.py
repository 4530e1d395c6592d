"""Lateness in the whole of billing: its own invoices, its own catching up."""

import random
from datetime import timedelta

import pytest

from libs.events.billing_commands import DisputeInvoice, PauseClock, ResolveDispute
from libs.events.books import Cleared, PaymentSettled, Terms
from libs.events.dunning import (
    AlertRaised,
    ClockPaused,
    EscalationReached,
    InvoiceDisputed,
    ReminderSent,
    SternNoticeSent,
)
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued, InvoiceIssued
from tests.billing.lateness_world import STEADY_S, interleaved
from tests.billing.roof import BILLING, LEDGER, READINGS, invoices, opened, rules
from tests.histories import ANY_COMMAND_SIGNED, START, Stage

DAY = timedelta(days=1)
TERMS = Terms(return_ppm_year=0, minimum_payment_stroops=20_000_000)
STEPS = (ReminderSent, AlertRaised, SternNoticeSent, EscalationReached)


def started() -> Stage:
    """An agreement that is billed its minimum every 14 days, a day after, due 14 days later."""
    stage = opened(terms=TERMS, period="14d")
    stage.given(stage.history.register("boss", "approver"))
    return stage


def to(stage: Stage, day: float) -> list[Fact]:
    stage.now = START + day * DAY
    stage.given(*stage.history.advance(stage.now, READINGS, LEDGER, cadence_s=STEADY_S))
    return stage.follow_up()


def missed(stage: Stage, day: float) -> list[Recorded[Fact]]:
    """What the others write while billing is down."""
    stage.now = START + day * DAY
    return stage.history.advance(stage.now, READINGS, LEDGER, cadence_s=STEADY_S)


def payment(stage: Stage, invoice: InvoiceIssued) -> Recorded[Fact]:
    fact = PaymentSettled(
        payment=f"home.{invoice.invoice}",
        agreement="agr",
        payer="home",
        asset="USD",
        kind="invoices",
        amount_stroops=invoice.total_stroops,
        cleared=(
            Cleared(
                invoice=invoice.invoice, line_class="energy", amount_stroops=invoice.total_stroops
            ),
        ),
        returns=(),
        principal=(),
        credit_stroops=0,
        command=ANY_COMMAND_SIGNED,
    )
    return stage.history.record(LEDGER, "agr", fact, time=stage.now)


def steps(facts: list[Fact]) -> list[Fact]:
    return [fact for fact in facts if isinstance(fact, STEPS)]


def steady() -> Stage:
    """The same from the second day on: the first one announced another cadence."""
    stage = started()
    to(stage, 1)
    return stage


def test_an_invoice_that_nobody_pays_is_reminded_of_before_its_time_is_reached() -> None:
    stage = steady()
    to(stage, 15)
    (invoice,) = invoices(stage)
    assert invoice.due_at == START + 29 * DAY
    assert steps(to(stage, 43)) == []
    facts = to(stage, 43 + 1 / 86_400)
    assert [each.fact_name for each in facts] == ["ReminderSent", "TimeReached"]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("days", [1, 7, 20, 98])
def test_billing_that_was_down_for_seven_periods_while_its_bills_were_paid_sends_nothing(
    seed: int, days: int
) -> None:
    rng, stage = random.Random(seed), steady()
    for day in (15, 29):
        to(stage, day)
    first, second = invoices(stage)
    before, last = len(stage.history.facts), 29
    paid_on = {rng.randint(30, 42): first, rng.randint(43, 56): second}
    for day in range(30, 29 + 98 + 1):
        if (day - 29) % days == 0 or day in {43, 57}:
            missed(stage, last := day)
        stage.now = START + day * DAY
        if day in paid_on:
            payment(stage, paid_on[day])
    late = stage.history.facts[before:]
    stage.rules = rules()
    streams: dict[str, list[Recorded[Fact]]] = {}
    for fact in stage.history.facts[:before]:
        streams.setdefault(fact.stream, []).append(fact)
    stage.given(*streams.pop(BILLING), *interleaved(list(streams.values()), rng))
    waiting = [[each for each in late if each.stream == name] for name in streams]
    for fact in interleaved(waiting, rng):
        stage.given(fact)
        assert steps(stage.follow_up()) == []
    assert len(invoices(stage)) > 2, "it has written the bills of the time in which it was down"
    assert steps(to(stage, last + 1)) == []


def test_without_the_payments_the_same_silence_ends_with_a_reminder() -> None:
    stage = steady()
    for day in (15, 29):
        to(stage, day)
    stage.given(*(fact for day in range(36, 128, 7) for fact in missed(stage, day)))
    (reminder,) = steps(stage.follow_up())
    assert isinstance(reminder, ReminderSent)
    assert reminder.invoice == invoices(stage)[0].invoice


def test_a_dispute_that_is_decided_is_credited_at_once_and_makes_nobody_late() -> None:
    stage = steady()
    to(stage, 15)
    (invoice,) = invoices(stage)
    body = DisputeInvoice(invoice=invoice.invoice, amount_stroops=20_000_000, reason="meter")
    (fact,) = stage.when("home", "d", body)
    assert isinstance(fact, InvoiceDisputed)
    assert steps(to(stage, 60)) == []
    stage.when("boss", "r", ResolveDispute(invoice=invoice.invoice, credited_stroops=20_000_000))
    (note,) = [fact for fact in stage.follow_up() if isinstance(fact, CreditNoteIssued)]
    assert (note.reason, note.total_stroops) == ("dispute", 20_000_000)


def test_an_approver_stops_the_clock_of_the_whole_book() -> None:
    stage = steady()
    to(stage, 15)
    (fact,) = stage.when("boss", "p", PauseClock(pause="p", cause="storm"))
    assert isinstance(fact, ClockPaused)
    assert steps(to(stage, 200)) == []
