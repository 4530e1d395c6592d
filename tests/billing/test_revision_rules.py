"""Late readings, corrections and prices: what replaces an invoice, night by night."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from libs.events.books import ClassAmount, Cleared, PaymentSettled, Terms
from libs.events.dunning import DisputeResolved, InvoiceDisputed
from libs.events.invoicing import CreditNoteIssued, InvoiceIssued, InvoicePaid, LineChange
from libs.events.metering import ReadingCorrected, ReadingRecorded
from libs.events.pricing import MarketPrice, PricePublished
from libs.events.repaying import CreditNoteSettled, PrepaidApplied
from libs.rules.rating import CORRECTABLE_S
from services.billing.domain import Billing
from tests.billing.roof import (
    BILLING,
    LEDGER,
    READINGS,
    agreement,
    amounts,
    billing,
    correction,
    invoices,
    measured,
    notes,
    opened,
    reading,
    rules,
    told,
    with_eve,
)
from tests.billing.test_line_rules import UPKEEP, feed, prices_at, publish
from tests.histories import ANY_COMMAND_SIGNED, START, Stage

DAYS_KEPT = CORRECTABLE_S // 86_400


def billed_june(**changes: object) -> Stage:
    stage = measured(opened(**changes), [100, 100], [100, 100])  # type: ignore[arg-type]
    measured(stage, [100], [100], days=29, seq=2)
    stage.advance(31, READINGS, LEDGER)
    return stage


def corrected(stage: Stage, *deltas: int, day: float = 0, meter: str = "load") -> None:
    at = START + timedelta(days=day)
    stage.given(stage.history.record(READINGS, meter, correction(meter, at, *deltas)))


def documents(stage: Stage) -> list[InvoiceIssued | CreditNoteIssued]:
    facts = (each.fact for each in stage.history.facts)
    return [fact for fact in facts if isinstance(fact, (InvoiceIssued, CreditNoteIssued))]


def test_a_correction_after_issue_is_settled_at_the_next_local_midnight() -> None:
    stage = billed_june()
    corrected(stage, -40)
    stage.advance(32 - 1 / 86_400, READINGS, LEDGER)
    assert notes(stage) == []
    stage.advance(32, READINGS, LEDGER)
    first, note, second = documents(stage)
    assert isinstance(first, InvoiceIssued)
    assert isinstance(note, CreditNoteIssued)
    assert isinstance(second, InvoiceIssued)
    assert [each.number for each in (first, note, second)] == [1, 2, 3]
    assert (note.credit_note, note.invoice) == ("agr-2026-06.credit", "agr-2026-06")
    assert note.amounts == (ClassAmount(line_class="energy", amount_stroops=600_000),)
    assert note.total_stroops == first.total_stroops == 600_000
    assert (second.invoice, second.replaces) == ("agr-2026-06.2", "agr-2026-06")
    assert second.total_stroops == 520_000
    assert second.cutoff_at == START + timedelta(days=32)
    assert second.due_at == first.due_at
    assert second.later_due_at is None


def test_the_difference_is_explained_by_kind_and_by_the_facts_that_made_it() -> None:
    stage = billed_june()
    corrected(stage, -40)
    stage.advance(32, READINGS, LEDGER)
    (note,) = notes(stage)
    assert note.reason == "readings"
    changed = [each for each in stage.history.facts if isinstance(each.fact, ReadingCorrected)]
    assert note.because == (str(changed[0].position),)
    assert note.changes == (
        LineChange(
            kind="use",
            before_wh=300,
            after_wh=260,
            before_stroops=600_000,
            after_stroops=520_000,
        ),
    )


def test_what_came_before_one_midnight_is_settled_together() -> None:
    stage = billed_june()
    corrected(stage, -40)
    stage.advance(31.5, READINGS, LEDGER)
    corrected(stage, -1, day=1 / 96)
    stage.advance(32, READINGS, LEDGER)
    corrected(stage, -2)
    stage.advance(40, READINGS, LEDGER)
    assert [each.invoice for each in invoices(stage)] == [
        "agr-2026-06",
        "agr-2026-06.2",
        "agr-2026-06.3",
    ]
    assert [note.invoice for note in notes(stage)] == ["agr-2026-06", "agr-2026-06.2"]
    assert [len(note.because) for note in notes(stage)] == [2, 1]
    assert [each.total_stroops for each in invoices(stage)] == [600_000, 518_000, 514_000]


def test_a_correction_that_changes_no_line_changes_no_document() -> None:
    stage = billed_june()
    corrected(stage, 40)  # he used more than there was
    stage.advance(33, READINGS, LEDGER)
    assert len(documents(stage)) == 1


def test_the_midnight_is_that_of_the_site() -> None:
    stage = opened("Asia/Kolkata", first_day="2026-06-02")
    measured(stage, [100], [100], days=2)
    stage.advance(31, READINGS, LEDGER)  # final 18:30 the evening before
    assert len(invoices(stage)) == 1
    corrected(stage, -40, day=2)
    stage.advance(31 + 18.5 / 24 - 1 / 86_400, READINGS, LEDGER)
    assert notes(stage) == []
    stage.advance(31 + 18.5 / 24, READINGS, LEDGER)
    assert len(notes(stage)) == 1


def test_a_late_reading_is_billed_and_the_rest_is_due_later() -> None:
    stage = billed_june()
    measured(stage, [50], [50], days=3, seq=3)
    stage.advance(35, READINGS, LEDGER)
    first, second = invoices(stage)
    assert (first.total_stroops, second.total_stroops) == (600_000, 700_000)
    assert second.due_at == first.due_at == START + timedelta(days=31 + 14)
    assert second.later_due_at == START + timedelta(days=35 + 14)
    assert second.later_stroops == 100_000
    assert [len(each.positions) for each in second.readings] == [3, 3]
    assert [each.positions for each in first.readings] == [
        each.positions[:2] for each in second.readings
    ]


def test_the_part_that_was_due_later_stays_so_when_less_is_left_of_it() -> None:
    stage = billed_june()
    measured(stage, [50], [50], days=3, seq=3)
    stage.advance(35, READINGS, LEDGER)
    corrected(stage, -20, day=3)
    stage.advance(40, READINGS, LEDGER)
    third = invoices(stage)[2]
    assert third.later_due_at == START + timedelta(days=35 + 14)
    assert third.later_stroops == 60_000


def test_a_late_price_makes_unrated_intervals_rated() -> None:
    stage = opened()
    publish(stage, market=MarketPrice(feed="spot"))
    told(stage, "PRICES", "spot", feed(), prices_at(1_000_000))
    measured(stage, [10] * 8, [10] * 8)
    stage.advance(31, READINGS, LEDGER)
    told(stage, "PRICES", "spot", prices_at(2_000_000, hour=1))
    stage.advance(32, READINGS, LEDGER)
    first, second = invoices(stage)
    assert (first.rated_intervals, second.rated_intervals) == (4, 8)
    assert (first.total_stroops, second.total_stroops) == (40_000, 120_000)
    (note,) = notes(stage)
    published = [each for each in stage.history.facts if isinstance(each.fact, PricePublished)]
    assert (note.reason, note.because) == ("prices", (str(published[-1].position),))


def test_what_comes_more_than_35_days_after_its_interval_changes_nothing() -> None:
    stage = billed_june()
    stage.advance(DAYS_KEPT - 1 / 86_400, READINGS, LEDGER)
    corrected(stage, -10)
    stage.advance(DAYS_KEPT, READINGS, LEDGER)
    corrected(stage, -20)
    stage.advance(DAYS_KEPT + 2, READINGS, LEDGER)
    corrected(stage, -30, day=29)
    stage.advance(DAYS_KEPT + 40, READINGS, LEDGER)
    june = [each for each in invoices(stage) if "2026-06" in each.invoice]
    assert [each.total_stroops for each in june] == [600_000, 580_000, 520_000]


def test_a_credit_note_undoes_every_class_and_the_new_invoice_taxes_anew() -> None:
    stage = billed_june(
        upkeep=UPKEEP,
        taxes=({"authority": "state", "rate_ppm": 100_000, "on": ("energy", "running")},),
    )
    corrected(stage, -50)
    stage.advance(33, READINGS, LEDGER)
    (note,), (first, second) = notes(stage), invoices(stage)
    assert note.amounts == (
        ClassAmount(line_class="tax", amount_stroops=63_000),
        ClassAmount(line_class="running", amount_stroops=30_000),
        ClassAmount(line_class="energy", amount_stroops=600_000),
    )
    assert note.total_stroops == first.total_stroops
    assert amounts(second) == {"use": 500_000, "upkeep": 30_000, "tax": 53_000}
    assert [change.kind for change in note.changes] == ["use", "tax"]


def test_a_correction_of_a_co_holder_is_settled_for_everybody_it_concerns() -> None:
    stage = with_eve(billing())
    stage.when("home", "1", agreement())
    stage.when("eve", "1", agreement(agreement="agr2", holding="h2"))
    measured(stage, [100], [80])
    stage.given(stage.history.record(READINGS, "load2", reading("load2", 1, START, [10])))
    stage.advance(31, READINGS, LEDGER)
    stage.given(stage.history.record(READINGS, "load2", _of_eve(25)))
    stage.advance(33, READINGS, LEDGER)
    newest = {each.agreement: each for each in invoices(stage)}
    assert amounts(newest["agr"]) == {"use": 100_000, "shared": 30_000}
    assert amounts(newest["agr2"]) == {"use": 70_000}


def _of_eve(delta: int) -> ReadingCorrected:
    return correction("load", START, delta).model_copy(update={"meter": "load2"})


def test_a_minimum_falls_when_more_was_used() -> None:
    terms = Terms(return_ppm_year=0, minimum_payment_stroops=700_000)
    stage = billed_june(terms=terms)
    measured(stage, [20], [20], days=3, seq=3)
    stage.advance(33, READINGS, LEDGER)
    assert [amounts(each) for each in invoices(stage)] == [
        {"use": 600_000, "minimum": 100_000},
        {"use": 640_000, "minimum": 60_000},
    ]


def test_a_late_fact_of_two_periods_is_settled_in_both() -> None:
    stage = opened(period="14d", settlement_lag_s=0)
    stage.advance(29, READINGS, LEDGER)
    measured(stage, [10] * 4, [10] * 4, days=14 - 2 / 96)
    stage.advance(31, READINGS, LEDGER)
    assert [(each.invoice, each.total_stroops) for each in invoices(stage)] == [
        ("agr-2026-06-01", 0),
        ("agr-2026-06-15", 0),
        ("agr-2026-06-01.2", 40_000),
        ("agr-2026-06-15.2", 40_000),
    ]


def paid(invoice: str, amount: int) -> PaymentSettled:
    return PaymentSettled(
        payment="home.1",
        agreement="agr",
        payer="home",
        asset="USD",
        kind="invoices",
        amount_stroops=amount,
        cleared=(Cleared(invoice=invoice, line_class="energy", amount_stroops=amount),),
        returns=(),
        principal=(),
        credit_stroops=0,
    )


def names_of_paid(stage: Stage) -> list[str]:
    facts = (each.fact for each in stage.history.facts)
    return [fact.invoice for fact in facts if isinstance(fact, InvoicePaid)]


def test_an_invoice_that_was_credited_away_is_not_paid_and_its_successor_is() -> None:
    stage = billed_june()
    corrected(stage, -300 + 200)
    stage.advance(33, READINGS, LEDGER)
    assert names_of_paid(stage) == []
    told(stage, LEDGER, "agr", paid("agr-2026-06.2", 400_000))
    stage.follow_up()
    assert names_of_paid(stage) == ["agr-2026-06.2"]


def test_prepaid_energy_pays_the_invoice_that_replaces_a_paid_one() -> None:
    stage = billed_june()
    told(stage, LEDGER, "agr", paid("agr-2026-06", 600_000))
    stage.follow_up()
    corrected(stage, -100)
    stage.advance(33, READINGS, LEDGER)
    settled = CreditNoteSettled(
        credit_note="agr-2026-06.credit",
        agreement="agr",
        asset="USD",
        invoice="agr-2026-06",
        unpaid=(),
        prepaid_stroops=600_000,
        refunds=(),
    )
    applied = PrepaidApplied(
        agreement="agr",
        asset="USD",
        invoice="agr-2026-06.2",
        amount_stroops=400_000,
        prepaid_stroops=200_000,
    )
    told(stage, LEDGER, "agr", settled, applied)
    stage.follow_up()
    assert names_of_paid(stage) == ["agr-2026-06", "agr-2026-06.2"]


def disputed(stage: Stage, credited: int) -> None:
    """A quarter of the invoice is disputed, and a part of that is credited."""
    about: dict[str, object] = {
        "invoice": "agr-2026-06",
        "agreement": "agr",
        "command": ANY_COMMAND_SIGNED,
    }
    doubt: dict[str, object] = {
        "amount_stroops": 150_000,
        "reason": "wrong-reading",
        "until_at": START + timedelta(days=100),
    }
    decided: dict[str, object] = {"credited_stroops": credited}
    told(
        stage,
        BILLING,
        "agr",
        InvoiceDisputed.model_validate(about | doubt),
        DisputeResolved.model_validate(about | decided),
        days=31,
    )


def test_a_dispute_that_was_won_is_credited_in_energy() -> None:
    stage = billed_june()
    disputed(stage, 150_000)
    stage.follow_up()
    (note,) = notes(stage)
    assert (note.credit_note, note.reason, note.number) == ("agr-2026-06.dispute", "dispute", 2)
    assert note.amounts == (ClassAmount(line_class="energy", amount_stroops=150_000),)
    assert note.total_stroops == 150_000
    told(stage, LEDGER, "agr", paid("agr-2026-06", 450_000))
    stage.follow_up()
    assert names_of_paid(stage) == ["agr-2026-06"]


def test_what_a_dispute_credited_is_credited_of_the_new_invoice_too() -> None:
    stage = billed_june()
    disputed(stage, 150_000)
    stage.follow_up()
    corrected(stage, -50)
    stage.advance(33, READINGS, LEDGER)
    first, second, third = notes(stage)
    assert (first.total_stroops, second.total_stroops) == (150_000, 450_000)
    assert (third.credit_note, third.total_stroops) == ("agr-2026-06.2.dispute", 150_000)
    assert [each.number for each in documents(stage)] == [1, 2, 3, 4, 5]


def test_a_dispute_that_was_lost_changes_nothing() -> None:
    stage = billed_june()
    disputed(stage, 0)
    assert not any(isinstance(each, CreditNoteIssued) for each in stage.follow_up())


def late_season(follow_up: Callable[[Stage, int], object]) -> Stage:
    """Four months in which readings come late, are corrected, and prices are late."""
    stage = with_eve(billing())
    publish(stage, market=MarketPrice(feed="spot"), days=40)
    told(stage, "PRICES", "spot", feed())
    stage.when("home", "1", agreement(upkeep=UPKEEP))
    stage.when("eve", "1", agreement(agreement="agr2", holding="h2", period="14d"))
    for day in range(120):
        made: list[ReadingRecorded | ReadingCorrected] = []
        if day % 3:  # every third report comes twenty days late
            made += _reports(day)
        if day >= 20 and (day - 20) % 3 == 0:
            made += _reports(day - 20)
        if day >= 20 and day % 7 == 0:
            made.append(correction("load", START + timedelta(days=day - 19), -day % 13))
        for fact in made:
            stage.given(stage.history.record(READINGS, fact.meter, fact))
        if day >= 40 and day % 5 == 0:
            for late in range(5):
                hour = 24 * (day - late - 7 * (day % 2))
                told(stage, "PRICES", "spot", prices_at(*[1_000_000 + day] * 24, hour=hour))
        stage.now = START + timedelta(days=day + 1)
        stage.given(*stage.history.advance(stage.now, READINGS, LEDGER))
        follow_up(stage, day)
    stage.follow_up()
    return stage


def _reports(day: int) -> list[ReadingRecorded | ReadingCorrected]:
    at = START + timedelta(days=day)
    return [
        reading("pv", day + 1, at, [100 + day] * 3),
        reading("load", day + 1, at, [90, 20, 40]),
        reading("load", day + 1, at, [10, 90, 10]).model_copy(update={"meter": "load2"}),
    ]


def told_by(stage: Stage) -> list[object]:
    """What documents say, but for when they were written."""
    return [
        fact.model_dump(exclude={"due_at", "later_due_at"})
        if isinstance(fact, InvoiceIssued)
        else fact
        for fact in documents(stage)
    ]


def test_a_billing_service_that_was_down_for_a_season_writes_the_same_documents() -> None:
    prompt = late_season(lambda stage, _: stage.follow_up())
    late = late_season(lambda _stage, _day: None)
    weekly = late_season(lambda stage, day: None if day % 30 else stage.follow_up())
    assert len(notes(prompt)) >= 6
    assert any(note.reason == "prices" for note in notes(prompt))
    assert told_by(prompt) == told_by(late) == told_by(weekly)


def test_a_restart_after_a_season_writes_nothing_again() -> None:
    stage = late_season(lambda stage, _: stage.follow_up())
    again = Stage(rules(), BILLING, "pilot", stage.history)
    own_first = sorted(stage.history.facts, key=lambda each: each.stream != BILLING)
    again.given(*own_first)
    assert again.follow_up() == []


def test_what_is_too_old_for_any_document_is_forgotten() -> None:
    stage = late_season(lambda stage, _: stage.follow_up())
    billed = stage.rules
    assert isinstance(billed, Billing)
    kept = {meter: log.interval_count for meter, log in billed.inputs.meters.items()}
    assert set(kept) == {"pv", "load", "load2"}
    assert all(0 < count < 3 * 100 for count in kept.values()), kept
    oldest = min(account.needed_from for account in billed.accounts.all.values())
    assert oldest > START + timedelta(days=25)


@pytest.mark.parametrize("hour", [0, 12])
def test_readings_of_before_the_oldest_open_period_are_not_kept(hour: int) -> None:
    stage = late_season(lambda stage, _: stage.follow_up())
    billed = stage.rules
    assert isinstance(billed, Billing)
    before = billed.inputs.meters["pv"].interval_count
    at: datetime = START + timedelta(hours=hour)
    stage.given(stage.history.record(READINGS, "pv", reading("pv", 900, at, [1])))
    assert billed.inputs.meters["pv"].interval_count == before
