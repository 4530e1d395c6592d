"""Billing's rules by given / when / then: agreements, months, what is rated, late bills."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.books import Cleared, PaymentSettled, Terms
from libs.events.commands import DepositFunds
from libs.events.invoicing import AgreementOpened, InvoiceIssued, InvoicePaid
from libs.events.metering import ReadingRecorded
from libs.events.pricing import TariffPublished
from libs.rules.authority import Authority
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import HeliographError
from services.billing.domain import Billing
from tests.billing.roof import (
    BILLING,
    LEDGER,
    METERS,
    PRICE,
    READINGS,
    TERMS,
    agreement,
    billing,
    correction,
    enrolment,
    holding,
    invoices,
    measured,
    opened,
    reading,
    system,
    tariff,
)
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, Stage


def test_own_use_is_billed_per_interval_and_the_surplus_is_not() -> None:
    stage = measured(opened(), [100, 0, 300], [50, 80, 400])
    stage.advance(31, READINGS, LEDGER)
    (invoice,) = invoices(stage)
    assert invoice.lines[0].energy_wh == 50 + 0 + 300
    assert invoice.total_stroops == 350 * PRICE // 1_000
    assert (invoice.rated_intervals, invoice.unrated_intervals) == (3, 30 * 96 - 3)
    assert (invoice.generated_wh, invoice.consumed_wh) == (400, 530)


def test_an_invoice_waits_for_the_settlement_lag_to_the_second() -> None:
    stage = measured(opened(), [100], [100])
    stage.advance(31 - 1 / 86_400, READINGS, LEDGER)
    assert invoices(stage) == []
    stage.advance(31, READINGS, LEDGER)
    assert len(invoices(stage)) == 1


@pytest.mark.parametrize("missing", [READINGS, LEDGER])
def test_an_invoice_waits_until_its_inputs_have_reached_the_time(missing: str) -> None:
    stage = measured(opened(), [100], [100])
    stage.advance(31, *({READINGS, LEDGER} - {missing}))
    assert invoices(stage) == []
    stage.given(stage.history.reach(missing, START + timedelta(days=31)))
    stage.follow_up()
    assert len(invoices(stage)) == 1


def test_a_correction_before_the_cut_off_changes_the_invoice() -> None:
    stage = measured(opened(), [100, 100], [100, 100])
    late = START + timedelta(minutes=15)
    stage.given(
        stage.history.record(READINGS, "pv", correction("pv", START, -30)),
        stage.history.record(READINGS, "load", correction("load", late, -60)),
    )
    stage.advance(31, READINGS, LEDGER)
    (invoice,) = invoices(stage)
    assert invoice.lines[0].energy_wh == 70 + 40
    assert (invoice.generated_wh, invoice.consumed_wh) == (170, 140)
    assert [len(each.positions) for each in invoice.readings] == [1, 1], "readings are named"


def test_holdings_and_meters_count_from_when_they_were_there() -> None:
    stage = opened()
    middle = START + timedelta(minutes=15)
    stage.given(
        stage.history.record(LEDGER, "h2", holding(1_000, "h2", "eve"), time=middle),
        stage.history.record(METERS, "load2", enrolment("load2", "consumption", "h2"), time=middle),
    )
    measured(stage, [100, 100], [100, 100])
    stage.given(stage.history.record(READINGS, "load2", reading("load2", 1, middle, [0])))
    stage.advance(31, READINGS, LEDGER)
    (invoice,) = invoices(stage)
    # Alone in the first interval; of the second one half is his own, the other half eve's.
    assert invoice.lines[0].energy_wh == 100 + 50
    assert invoice.rated_intervals == 2


def test_lines_name_their_readings_and_price() -> None:
    stage = measured(opened(), [100], [100])
    stage.advance(31, READINGS, LEDGER)
    (invoice,) = invoices(stage)
    places = {each.meter: each.positions for each in invoice.readings}
    recorded = [each for each in stage.history.facts if isinstance(each.fact, ReadingRecorded)]
    assert places == {"pv": (recorded[0].sequence,), "load": (recorded[1].sequence,)}
    published = next(e for e in stage.history.facts if isinstance(e.fact, TariffPublished))
    assert invoice.lines[0].price_position == str(published.position)


def test_a_reading_after_the_cut_off_is_not_in_the_first_invoice() -> None:
    stage = measured(opened(), [100], [100])
    stage.advance(31, READINGS)
    measured(stage, [100], [100], days=10, seq=2)
    stage.given(stage.history.reach(LEDGER, stage.now))
    stage.follow_up()
    (invoice,) = invoices(stage)
    assert invoice.lines[0].energy_wh == 100


def test_a_late_billing_service_issues_the_same_invoices() -> None:
    def story(*, down: bool) -> list[InvoiceIssued]:
        stage = opened()
        for day in range(0, 100, 5):
            measured(stage, [100 + day], [90], days=day, seq=day + 1)
            now = START + timedelta(days=day + 5)
            stage.now = now
            stage.given(*stage.history.advance(now, READINGS, LEDGER))
            if not down:
                stage.follow_up()
        stage.follow_up()
        return invoices(stage)

    prompt, late = story(down=False), story(down=True)
    assert len(prompt) == 3
    assert [(i.invoice, i.number, i.lines, i.readings, i.total_stroops) for i in prompt] == [
        (i.invoice, i.number, i.lines, i.readings, i.total_stroops) for i in late
    ]


def test_numbers_have_no_gaps_and_months_follow_each_other() -> None:
    stage = opened(first_day="2026-06-10")
    for month in range(1, 4):
        stage.advance(35 * month, READINGS, LEDGER)
    issued = invoices(stage)
    assert [each.number for each in issued] == [1, 2, 3]
    assert [each.invoice for each in issued] == ["agr-2026-06", "agr-2026-07", "agr-2026-08"]
    assert issued[0].period_from == datetime(2026, 6, 10, tzinfo=UTC)
    assert all(a.period_until == b.period_from for a, b in pairwise(issued))


def test_an_interval_that_lacks_a_meter_is_not_rated() -> None:
    stage = opened()
    stage.given(stage.history.record(READINGS, "pv", reading("pv", 1, START, [100, 100])))
    stage.given(stage.history.record(READINGS, "load", reading("load", 1, START, [100])))
    stage.advance(31, READINGS, LEDGER)
    (invoice,) = invoices(stage)
    assert (invoice.rated_intervals, invoice.total_stroops) == (1, 100 * PRICE // 1_000)


def test_finer_readings_are_summed_and_half_known_intervals_are_not_rated() -> None:
    stage = opened()
    fine = reading("pv", 1, START, [10] * 20, interval_s=60)
    stage.given(stage.history.record(READINGS, "pv", fine))
    stage.given(stage.history.record(READINGS, "load", reading("load", 1, START, [500, 500])))
    stage.advance(31, READINGS, LEDGER)
    (invoice,) = invoices(stage)
    assert (invoice.rated_intervals, invoice.lines[0].energy_wh) == (1, 150)


def test_coarser_readings_are_not_rated() -> None:
    stage = opened()
    coarse = reading("pv", 1, START, [500], interval_s=3_600)
    stage.given(stage.history.record(READINGS, "pv", coarse))
    stage.given(stage.history.record(READINGS, "load", reading("load", 1, START, [100] * 4)))
    stage.advance(31, READINGS, LEDGER)
    assert invoices(stage)[0].rated_intervals == 0


def test_a_reading_across_the_turn_of_the_month_counts_to_both_by_its_intervals() -> None:
    stage = opened()
    measured(stage, [100, 7], [100, 7], days=30 - 1 / 96)
    stage.advance(62, READINGS, LEDGER)
    june, july = invoices(stage)
    assert (june.lines[0].energy_wh, july.lines[0].energy_wh) == (100, 7)
    assert june.readings[0].positions == july.readings[0].positions


def test_each_version_of_the_tariff_has_its_own_line() -> None:
    stage = opened()
    stage.given(stage.history.record("PRICES", "fixed", tariff(2, days=10, price=3_333_333)))
    measured(stage, [100], [100])
    measured(stage, [1], [1], days=10, seq=2)
    stage.advance(31, READINGS, LEDGER)
    (invoice,) = invoices(stage)
    assert [(line.tariff_version, line.amount_stroops) for line in invoice.lines] == [
        (1, 200_000),
        (2, 3_333),
    ]


def test_surplus_of_a_co_holder_is_not_billed_as_own_use() -> None:
    stage = billing()
    stage.given(
        stage.history.record(LEDGER, "h2", holding(1_000, "h2", "eve")),
        stage.history.record(METERS, "load2", enrolment("load2", "consumption", "h2")),
    )
    stage.when("home", "1", agreement())
    measured(stage, [100], [80])
    stage.given(stage.history.record(READINGS, "load2", reading("load2", 1, START, [10])))
    stage.advance(31, READINGS, LEDGER)
    (invoice,) = invoices(stage)
    assert invoice.lines[0].energy_wh == 50


def test_an_invoice_is_paid_when_the_ledger_has_cleared_all_of_it() -> None:
    stage = measured(opened(), [100], [100])
    stage.advance(31, READINGS, LEDGER)
    total = invoices(stage)[0].total_stroops
    for part in (total - 1, 1):
        assert not any(isinstance(each.fact, InvoicePaid) for each in stage.history.facts)
        payment = PaymentSettled(
            payment=f"home.{part}",
            agreement="agr",
            payer="home",
            asset="USD",
            kind="invoices",
            amount_stroops=part,
            cleared=(Cleared(invoice="agr-2026-06", line_class="energy", amount_stroops=part),),
            returns=(),
            principal=(),
            credit_stroops=0,
        )
        stage.given(stage.history.record(LEDGER, "agr", payment))
        stage.follow_up()
    assert isinstance(stage.history.facts[-1].fact, InvoicePaid)
    assert stage.follow_up() == []


def test_a_month_with_nothing_used_has_an_invoice_of_zero_that_is_paid_at_once() -> None:
    stage = opened()
    stage.advance(31, READINGS, LEDGER)
    assert invoices(stage)[0].total_stroops == 0
    assert any(isinstance(each.fact, InvoicePaid) for each in stage.history.facts)


@pytest.mark.parametrize(
    ("member", "changes", "code"),
    [
        ("home", {"holding": "none"}, "unknown-holding"),
        ("eve", {}, "not-your-holding"),
        ("home", {"tariff": "none"}, "unknown-tariff"),
        ("home", {"terms": Terms(return_ppm_year=1, minimum_payment_stroops=0)}, "other-terms"),
        ("home", {"rating_interval_s": 1_800}, "other-interval"),
        ("home", {"agreement": "time"}, "id-reserved"),
        ("home", {"agreement": "book-second"}, "id-reserved"),
        ("home", {"first_day": "2026-05-30"}, "first-day-past"),
        ("home", {"first_day": "9999-12-31"}, "first-day-far"),
        ("home", {"first_day": "2026-05-31"}, "tariff-gap"),
    ],
)
def test_an_agreement_that_breaks_a_rule_is_refused(
    member: str, changes: dict[str, object], code: str
) -> None:
    stage = billing()
    before = len(stage.history.facts)
    with pytest.raises(HeliographError) as refusal:
        stage.when(member, "1", agreement(**changes))
    assert refusal.value.code == code
    assert len(stage.history.facts) == before


@pytest.mark.parametrize(
    ("changes", "code"),
    [({"holding": "h2"}, "agreement-exists"), ({"agreement": "b"}, "holding-has-agreement")],
)
def test_a_second_agreement_is_refused(changes: dict[str, object], code: str) -> None:
    stage = opened()
    stage.given(stage.history.record(LEDGER, "h2", holding(1, "h2")))
    with pytest.raises(HeliographError) as refusal:
        stage.when("home", "2", agreement(**changes))
    assert refusal.value.code == code


def test_a_command_for_another_service_is_refused() -> None:
    with pytest.raises(HeliographError) as refusal:
        billing().when("home", "1", DepositFunds(member="a", asset="USD", amount_stroops=1))
    assert refusal.value.code == "wrong-service"


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_any_interleaving_of_the_input_streams_gives_the_same_bill(seed: int) -> None:
    source = measured(billing(), [100, 20], [30, 40])
    source.given(*source.history.advance(START + timedelta(days=31), READINGS, LEDGER))
    by_stream: dict[str, list[int]] = {}
    for index, fact in enumerate(source.history.facts):
        by_stream.setdefault(fact.stream, []).append(index)
    order = [name for name, places in by_stream.items() for _ in places]
    random.Random(seed).shuffle(order)
    rules = Billing(
        authority=Authority(deployment=DEPLOYMENT, service="billing", book="pilot"),
        timekeeper=Timekeeper(
            BILLING, (READINGS, LEDGER), follows=(METERS, "PRICES", READINGS, LEDGER)
        ),
        stream=BILLING,
    )
    stage = Stage(rules, BILLING, "pilot", source.history)
    own = AgreementOpened(
        **agreement().model_dump(include={"agreement", "holding", "tariff", "period", "first_day"}),
        rating_interval_s=900,
        settlement_lag_s=86_400,
        due_after_s=0,
        grace_periods=6,
        notice_s=0,
        terms=TERMS,
        system="sun",
        recipient="home",
        asset="USD",
        time_zone="UTC",
        command=ANY_COMMAND_SIGNED,
    )
    stage.given(source.history.record(BILLING, "agr", own))
    facts = source.history.facts
    for name in order:
        stage.given(facts[by_stream[name].pop(0)])
        stage.follow_up()
    (invoice,) = invoices(stage)
    assert (invoice.lines[0].energy_wh, invoice.rated_intervals) == (30 + 20, 2)


def test_a_bill_that_no_fact_can_hold_stops_its_agreement_only() -> None:
    stage = opened()
    stage.given(
        stage.history.record(LEDGER, "moon", system().model_copy(update={"system": "moon"})),
        stage.history.record(
            LEDGER, "h2", holding(1_000, "h2", "eve").model_copy(update={"system": "moon"})
        ),
        stage.history.record(
            METERS, "pv2", enrolment("pv2", "generation").model_copy(update={"system": "moon"})
        ),
        stage.history.record(
            METERS,
            "load2",
            enrolment("load2", "consumption", "h2").model_copy(update={"system": "moon"}),
        ),
        stage.history.record(
            "PRICES", "dear", tariff(price=10**12).model_copy(update={"tariff": "dear"})
        ),
    )
    stage.when("eve", "1", agreement(agreement="agr2", holding="h2", tariff="dear"))
    measured(stage, [100], [100])
    much = [10**8] * 96
    stage.given(
        stage.history.record(
            READINGS, "pv2", reading("pv", 1, START, much).model_copy(update={"meter": "pv2"})
        ),
        stage.history.record(
            READINGS, "load2", reading("load", 1, START, much).model_copy(update={"meter": "load2"})
        ),
    )
    stage.advance(31, READINGS, LEDGER)
    assert [each.agreement for each in invoices(stage)] == ["agr"]
    rules = stage.rules
    assert isinstance(rules, Billing)
    assert list(rules.stuck) == ["agr2"]
    assert "total_stroops" in rules.stuck["agr2"] or "amount_stroops" in rules.stuck["agr2"]


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Denver", "UTC"])
@pytest.mark.parametrize(("day", "code"), [("0001-01-01", "past"), ("9999-12-31", "far")])
def test_first_days_at_the_ends_of_the_calendar_are_refused(zone: str, day: str, code: str) -> None:
    with pytest.raises(HeliographError) as refusal:
        billing(zone).when("home", "1", agreement(first_day=day))
    assert refusal.value.code == f"first-day-{code}"


@pytest.mark.parametrize("field", ["settlement_lag_s", "due_after_s"])
def test_lengths_of_time_have_a_limit(field: str) -> None:
    agreement(**{field: 366 * 86_400})
    with pytest.raises(ValueError, match=field):
        agreement(**{field: 366 * 86_400 + 1})
