"""The past billed again: exactly what was billed, and by hand what another choice would cost."""

from datetime import date, datetime, timedelta

import pytest

from heliograph.foresight.history import Known
from heliograph.foresight.tariffs import suppose
from heliograph.foresight.what_if import Question, what_if
from libs.events.billing_commands import PublishTariff
from libs.events.invoicing import InvoiceIssued
from libs.events.system_commands import Prepay
from libs.events.systems import HoldingReclaimed
from libs.rules.periods import local_day, local_midnight
from libs.runtime.failures import NotFound
from tests.billing import roof
from tests.foresight.past import FIRST, final, known_of, publish, used
from tests.histories import ANY_COMMAND_SIGNED, START
from tests.ownership.scenes import DAY, PRICE, UNIT, pay, to, use
from tests.ownership.wandering import Wanderer

SEEDS = (3, 4, 5, 9, 13)
"""Random histories in which the raise succeeds, so that something is billed."""


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_question_is_answered_by_what_was_billed(seed: int) -> None:
    """Corrections, taxes, tiers, markets, lateness, terms, owning: every bill, to the stroop."""
    wanderer = Wanderer(seed)
    wanderer.wander(60)
    real = wanderer.world.real
    known, newest = known_of(wanderer.world), dict[tuple[str, datetime], int]()
    for fact in real.facts(InvoiceIssued):
        assert isinstance(fact, InvoiceIssued)
        newest[fact.agreement, fact.period_from] = fact.total_stroops
    supposed = dict[tuple[str, datetime], int]()
    for name in {agreement for agreement, _ in newest}:
        zone = known.account(name).opened.time_zone
        for row in what_if(known, name, Question()).rows:
            assert row.difference_stroops == 0, row
            assert row.supposed_stroops is not None
            supposed[name, local_midnight(row.first_day, zone)] = row.supposed_stroops
    assert supposed == newest
    assert len(newest) > 3


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_owed_now_is_what_the_ledger_says(seed: int) -> None:
    """A forecast begins where the second model of the ledger stands."""
    wanderer = Wanderer(seed)
    wanderer.wander(60)
    known, ledger = known_of(wanderer.world), wanderer.world.model.ledger
    for name, agr in ledger.agreements.items():
        if agr.owned_at is not None or known.is_reclaimed(known.account(name).opened):
            continue
        opened = known.account(name).opened
        debt = known.debt_now(opened)
        today = local_day(wanderer.world.now, opened.time_zone)
        assert debt.principal_stroops + debt.through(today) == ledger.owed(agr)
        assert debt.open_stroops == sum(bill.open_total for bill in agr.bills.values())
        assert debt.credit_stroops == ledger.credit(agr)


def test_the_order_in_which_streams_are_read_changes_nothing() -> None:
    world = used(10, 20)
    whole = known_of(world)
    apart = Known("pilot")
    for stream in apart.streams:
        apart.fold(each for each in world.real.history.facts if each.stream == stream)
    question = Question(payment_stroops=UNIT)
    assert what_if(whole, "sun-0", question) == what_if(apart, "sun-0", question)


def test_another_tariff_costs_its_price() -> None:
    world = used(10, 20)
    publish(world, "dear", 3 * PRICE)
    found = what_if(known_of(world), "sun-0", Question(tariff="dear"))
    assert [row.billed_stroops for row in found.rows] == [2 * UNIT, 4 * UNIT]
    assert [row.supposed_stroops for row in found.rows] == [6 * UNIT, 12 * UNIT]
    assert found.supposed_stroops - found.billed_stroops == 12 * UNIT


def test_energy_before_a_tariff_held_has_no_price_and_is_counted() -> None:
    world = used(10, 20)
    publish(world, "late", 3 * PRICE, at=FIRST + 14 * DAY)
    rows = what_if(known_of(world), "sun-0", Question(tariff="late")).rows
    assert [row.supposed_stroops for row in rows] == [0, 12 * UNIT]
    assert [row.unpriced_intervals for row in rows] == [1, 0]


def test_a_tariff_that_nobody_published_holds_from_the_first_day_on() -> None:
    known = known_of(used(10, 20))
    body = PublishTariff(
        tariff="dear",
        asset="USD",
        price_stroops_per_kwh=2 * PRICE,
        effective_from=START + timedelta(days=999),
    )
    name = suppose(known, known.account("sun-0").opened, body)
    assert what_if(known, "sun-0", Question(tariff=name)).supposed_stroops == 12 * UNIT
    assert what_if(known, "sun-0", Question()).supposed_stroops == 6 * UNIT


def test_another_period_is_billed_over_the_same_days() -> None:
    world = used(10, 20, 40)
    found = what_if(known_of(world), "sun-0", Question(period="28d"))
    mine = [row for row in found.rows if row.supposed_stroops is not None]
    assert [row.supposed_stroops for row in mine] == [6 * UNIT, 8 * UNIT]
    assert [row.is_part for row in mine] == [False, True]
    assert [row.difference_stroops for row in found.rows] == [None, None, None, 0]
    assert found.is_of_same_days
    assert found.supposed_stroops == found.billed_stroops == 14 * UNIT


def test_a_part_of_a_month_stands_beside_the_fortnight_of_the_same_days() -> None:
    (row,) = what_if(known_of(used(10)), "sun-0", Question(period="month")).rows
    assert (row.billed_stroops, row.supposed_stroops, row.is_part) == (2 * UNIT, 2 * UNIT, True)


def test_bills_that_fall_due_are_paid_and_the_last_one_is_open() -> None:
    world = used(10, 20)  # the second bill is issued now, and due in a week
    found = what_if(known_of(world), "sun-0", Question())
    assert found.debt.paid.principal_stroops == 2 * UNIT
    assert found.debt.open_stroops == 4 * UNIT
    assert found.own_shares == 0
    to(world, world.now + 7 * DAY)
    found = what_if(known_of(world), "sun-0", Question())
    assert (found.debt.paid.principal_stroops, found.debt.open_stroops) == (6 * UNIT, 0)


def test_a_payment_above_the_bill_repays_sooner_and_below_leaves_it_open() -> None:
    world = used(10, 20, 30)
    high = what_if(known_of(world), "sun-0", Question(payment_stroops=10 * UNIT)).debt
    low = what_if(known_of(world), "sun-0", Question(payment_stroops=UNIT)).debt
    assert (high.paid.principal_stroops, high.open_stroops) == (20 * UNIT, 6 * UNIT)
    assert (low.paid.principal_stroops, low.open_stroops) == (2 * UNIT, 10 * UNIT)


def test_whoever_would_have_owned_earlier_is_billed_no_more_energy() -> None:
    world = used(10, 20, 30, price=4 * UNIT)
    found = what_if(known_of(world), "sun-0", Question(payment_stroops=4 * UNIT))
    assert found.owned_at == final(1) + 7 * DAY
    # The second fortnight's energy was used before that week was over.
    assert [row.supposed_stroops for row in found.rows] == [2 * UNIT, 4 * UNIT, 0]
    assert found.debt.paid.principal_stroops == 4 * UNIT
    assert found.debt.open_stroops == 0


def test_whoever_really_owned_is_billed_on_where_he_would_not() -> None:
    world = used(10, price=2 * UNIT)
    pay(world, 2 * UNIT)
    use(world, 20)
    to(world, final(2))
    known = known_of(world)
    rows = what_if(known, "sun-0", Question()).rows
    assert [row.supposed_stroops for row in rows] == [2 * UNIT, 0]
    rows = what_if(known, "sun-0", Question(payment_stroops=UNIT)).rows
    assert [(row.billed_stroops, row.supposed_stroops) for row in rows] == [
        (2 * UNIT, 2 * UNIT),
        (0, 4 * UNIT),
    ]


def test_the_term_demands_what_would_be_left() -> None:
    world = used(10, 20, term_periods=2)
    publish(world, "dear", 2 * PRICE)
    known = known_of(world)
    rows = what_if(known, "sun-0", Question()).rows
    assert [row.supposed_stroops for row in rows] == [2 * UNIT, 398 * UNIT]
    # The first bill of 4 would be paid, and 396 be left, the second bill's own 8 among it.
    rows = what_if(known, "sun-0", Question(tariff="dear")).rows
    assert [row.supposed_stroops for row in rows] == [4 * UNIT, 396 * UNIT]


def test_other_periods_have_no_term() -> None:
    found = what_if(known_of(used(10, 20, 30, 40, term_periods=2)), "sun-0", Question(period="28d"))
    bills = [row.supposed_stroops for row in found.rows if row.supposed_stroops is not None]
    assert bills == [6 * UNIT, 14 * UNIT]


def test_nothing_is_settled_any_more_once_the_holding_is_reclaimed() -> None:
    stage = roof.measured(roof.opened(), [100], [100])
    stage.advance(31, roof.READINGS, roof.LEDGER)
    reclaimed = HoldingReclaimed(
        holding="h",
        system="sun",
        agreement="agr",
        member="home",
        units=1_000,
        moves=(),
        command=ANY_COMMAND_SIGNED,
    )
    roof.told(stage, roof.LEDGER, "h", reclaimed, days=31.5)
    stage.advance(32, roof.READINGS, roof.LEDGER)
    fix = roof.correction("load", START, -40)
    stage.given(stage.history.record(roof.READINGS, "load", fix))
    for days in (33, 62, 64):
        stage.advance(days, roof.READINGS, roof.LEDGER)
    (issued,) = roof.invoices(stage)
    (row,) = what_if(Known("pilot").fold(stage.history.facts), "agr", Question()).rows
    assert row.supposed_stroops == row.billed_stroops == issued.total_stroops == 200_000


def test_what_was_really_prepaid_is_prepaid_in_every_answer_but_to_payments() -> None:
    world = used(10)
    body = Prepay(agreement="sun-0", amount_stroops=9 * UNIT)
    world.ask("home", body, lambda: world.model.ledger.prepay("sun-0", 9 * UNIT))
    pay(world, 2 * UNIT)  # the bill; its payment is no prepayment
    to(world, final(2))
    known = known_of(world)
    assert what_if(known, "sun-0", Question()).debt.paid.principal_stroops == 11 * UNIT
    other = what_if(known, "sun-0", Question(payment_stroops=2 * UNIT)).debt
    assert other.paid.principal_stroops == 2 * UNIT


def test_days_choose_the_periods_that_are_compared() -> None:
    known = known_of(used(10, 20, 30))
    day = FIRST.date()
    second = Question(from_day=day + timedelta(14), until_day=day + timedelta(28))
    assert [row.billed_stroops for row in what_if(known, "sun-0", second).rows] == [4 * UNIT]
    with pytest.raises(NotFound, match="no-history"):
        what_if(known, "sun-0", Question(from_day=date(2030, 1, 1)))


def test_what_cannot_be_asked_is_refused_by_its_code() -> None:
    world = used(10)
    pay(world, UNIT)
    known = known_of(world)
    with pytest.raises(NotFound, match=r"unknown-agreement.*sun-0"):
        what_if(known, "moon", Question())
    with pytest.raises(NotFound, match="unknown-tariff"):
        what_if(known, "sun-0", Question(tariff="none"))
    euro = PublishTariff(tariff="e", asset="EUR", price_stroops_per_kwh=PRICE, effective_from=START)
    name = suppose(known, known.account("sun-0").opened, euro)
    with pytest.raises(NotFound, match="rate-missing"):
        what_if(known, "sun-0", Question(tariff=name))
    with pytest.raises(NotFound, match="no-time-yet"):
        _ = Known("pilot").now
