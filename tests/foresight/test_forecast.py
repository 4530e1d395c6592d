"""The past goes on: by hand, and as laws over random payments."""

from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.foresight.forecast import Forecast, Future, Past, forecast
from heliograph.foresight.history import Known, supposed
from heliograph.foresight.what_if import Question, what_if
from libs.events.books import PaymentSettled
from libs.events.pricing import MarketPrice, TariffPrices
from libs.events.systems import HoldingOwned
from libs.rules.periods import period_from
from libs.runtime.failures import NotFound
from tests.foresight.past import FIRST, final, known_of, publish, used
from tests.ownership.playing import World
from tests.ownership.scenes import DAY, HOUR, UNIT, agreement, opened, pay, to, use, village


def ask(known: Known, payment: int | None = None, tariff: str | None = None) -> Forecast:
    return forecast(known, "sun-0", Future(tariff, payment))


def test_with_less_than_a_year_the_mean_of_the_known_periods_goes_on() -> None:
    found = ask(known_of(used(10, 20, price=60 * UNIT)))
    assert found.basis == "the mean of the known periods, 2026-06-02 to 2026-06-16"
    # Two bills are open, of 2 and 4; the mean of 15 kWh makes bills of 3: 54 are 18 of them.
    assert (found.outcome, found.bill_count) == ("owned", 18)
    assert found.owned_at == final(20) + 7 * DAY
    assert (found.principal_stroops, found.return_stroops) == (60 * UNIT, 0)
    assert found.debt.paid.total_stroops == 60 * UNIT
    assert (found.known_intervals, found.unknown_intervals) == (28 * 24, 28 * 24 - 2)


def test_a_payment_is_made_whenever_a_bill_falls_due() -> None:
    found = ask(known_of(used(10, 20, price=60 * UNIT)), payment=20 * UNIT)
    # 20 is paid when the second bill falls due, as the first one is overdue already; then twice.
    assert found.owned_at == final(4) + 7 * DAY
    assert found.debt.paid.total_stroops == 60 * UNIT


def test_another_tariff_ends_it_sooner() -> None:
    world = used(10, 20, price=60 * UNIT)
    publish(world, "dear", 6_000_000)
    found = ask(known_of(world), tariff="dear")
    assert found.bill_count == 6  # of 9 each, for 54
    assert found.owned_at == final(8) + 7 * DAY


def test_with_a_year_the_same_period_of_the_last_year_is_repeated() -> None:
    world = used(*range(1, 28), price=4_000 * UNIT)
    known = known_of(world)
    account = known.account("sun-0")
    past = Past(known, account)
    assert past.basis == "the same periods of the last year, 2026-06-16 to 2027-06-01"
    day, energies = date(2027, 6, 15), []
    for _ in range(26):
        period = period_from(day, "14d", "UTC")
        energies.append(sum(line.energy_wh for line in past.bill(period, 0).lines))
        day = period.next_day
    assert energies == [kwh * 1_000 for kwh in range(2, 28)]
    # Ten years later it is still the same time of the year, within half a period.
    far = past.source_of(period_from(date(2037, 12, 24), "14d", "UTC"))
    assert abs((far.period.first_day - date(2026, 12, 24)).days) <= 7
    new_year = past.source_of(period_from(date(2038, 1, 1), "14d", "UTC"))
    assert new_year.period.first_day == date(2026, 12, 29)


def test_months_repeat_the_same_month_and_a_leap_day_has_its_part() -> None:
    world = village(price=4_000 * UNIT, period="month")
    for month in range(13):
        use(world, 10 + month)
        year, number = divmod(5 + month + 1, 12)
        to(world, FIRST.replace(year=2026 + year, month=number + 1, day=1) + HOUR)
    past = Past(known_of(world), known_of(world).account("sun-0"))
    assert past.basis == "the same periods of the last year, 2026-07 to 2027-06"
    july, leap = (period_from(date(*day), "month", "UTC") for day in ((2027, 7, 1), (2028, 2, 1)))
    assert sum(line.energy_wh for line in past.bill(july, 0).lines) == 11_000
    assert sum(line.energy_wh for line in past.bill(leap, 0).lines) == 18_000 * 29 // 28


def test_it_never_ends_where_the_payment_does_not_exceed_the_return() -> None:
    # 5 % of 4,000 are 200 a year, 7.6712 a fortnight of 364 days.
    known = known_of(used(10, 20, price=4_000 * UNIT, return_ppm=50_000))
    low, high = ask(known, payment=76_700_000), ask(known, payment=100 * UNIT)
    assert (low.outcome, low.owned_at) == ("no-end", None)
    assert low.reason == "what is paid does not exceed the return"
    assert low.debt.paid.principal_stroops == 0
    assert high.outcome == "owned"


def test_it_takes_too_long_after_a_hundred_years() -> None:
    found = ask(known_of(used(1, 1)), payment=100)
    assert (found.outcome, found.reason) == ("no-end", "it takes more than 100 years")


def test_the_end_of_the_term_pays_the_rest() -> None:
    found = ask(known_of(used(10, 20, term_periods=4)))
    assert found.owned_at == final(4) + 7 * DAY
    assert found.debt.paid.total_stroops == 400 * UNIT
    assert found.bill_count == 2


def test_a_term_ends_it_even_where_the_bills_never_would() -> None:
    found = ask(known_of(used(1, 1, price=4_000 * UNIT, return_ppm=50_000, term_periods=80)))
    # Return of the days until a bill is paid comes with the next: 4.38, then 0.005, then nothing.
    assert found.owned_at == final(83) + 7 * DAY
    given_payment = ask(
        known_of(used(1, 1, price=4_000 * UNIT, return_ppm=50_000, term_periods=80)), payment=UNIT
    )
    assert given_payment.outcome == "no-end"


def test_a_tariff_of_the_future_holds_from_its_day_on() -> None:
    world = used(10, 10, price=60 * UNIT)
    publish(world, "soon", 2_000_000)
    publish(world, "soon", 28_000_000, at=FIRST + 40 * DAY)  # near the end of the third fortnight
    known = known_of(world)
    past = Past(known, supposed(known.account("sun-0"), tariff="soon", period=None))
    bills = [
        past.bill(period_from(FIRST.date() + timedelta(days), "14d", "UTC"), 0) for days in (28, 42)
    ]
    assert [bill.total_stroops for bill in bills] == [2 * UNIT, 28 * UNIT]


def test_what_is_owned_needs_no_forecast() -> None:
    world = used(10, price=2 * UNIT)
    pay(world, 2 * UNIT)
    found = ask(known_of(world))
    assert (found.outcome, found.principal_stroops) == ("owned-already", 0)


def test_what_cannot_be_forecast_is_refused_by_its_code() -> None:
    with pytest.raises(NotFound, match="no-history"):
        ask(known_of(village()))
    with pytest.raises(NotFound, match="unknown-tariff"):
        ask(known_of(used(10)), tariff="none")
    world = used(10)
    publish(world, "never", 1, at=FIRST + 900 * DAY)
    with pytest.raises(NotFound, match="tariff-gap"):
        ask(known_of(world), tariff="never")


@cache
def debtor() -> Known:
    world = used(30, 10, 50, price=300 * UNIT, return_ppm=80_000)
    pay(world, 9 * UNIT)
    return known_of(world)


PAYMENTS = st.integers(1, 60 * UNIT)


@settings(deadline=None, max_examples=40)
@given(one=PAYMENTS, more=st.integers(0, 20 * UNIT))
def test_a_higher_payment_never_ends_later_and_never_costs_more(one: int, more: int) -> None:
    low, high = ask(debtor(), payment=one), ask(debtor(), payment=one + more)
    if low.owned_at is None:
        return
    assert high.owned_at is not None
    assert high.owned_at <= low.owned_at
    assert high.debt.paid.return_stroops <= low.debt.paid.return_stroops


@settings(deadline=None, max_examples=40)
@given(payment=st.none() | PAYMENTS)
def test_exactly_principal_and_return_are_paid(payment: int | None) -> None:
    known = debtor()
    start = known.debt_now(known.account("sun-0").opened)
    found = ask(known, payment=payment)
    paid = found.debt.paid
    owed = start.principal_stroops + start.return_stroops + found.debt.accrued_stroops
    left = found.debt.principal_stroops + found.debt.return_stroops
    assert paid.return_stroops + paid.principal_stroops == owed - left
    if found.outcome == "owned":
        assert left == 0
        assert paid.principal_stroops == start.principal_stroops
        assert paid.by_class["energy"] + paid.prepaid_stroops == owed


def test_what_then_happens_is_what_was_forecast() -> None:
    """The same use goes on, every bill is paid when due: same day, same return, to the stroop."""
    world = used(30, 30, price=40 * UNIT, return_ppm=80_000)
    known = known_of(world)
    found = ask(known)
    assert found.owned_at is not None
    period, before = 3, sum(_returns(world))
    pay(world, 6 * UNIT)  # the first bill is overdue
    while world.now < found.owned_at:
        assert agreement(world).owned_at is None
        use(world, 30)
        to(world, final(period - 1) + 7 * DAY)
        pay(world, min(6 * UNIT, opened(world)))
        to(world, final(period))
        period += 1
    known = known_of(world)
    assert known.repaid(known.account("sun-0").opened)
    (owned,) = (each for each in world.real.history.facts if isinstance(each.fact, HoldingOwned))
    assert owned.envelope.time == found.owned_at
    assert sum(_returns(world)) - before == found.debt.paid.return_stroops > 0


def _returns(world: World) -> Iterator[int]:
    for fact in world.real.facts(PaymentSettled):
        assert isinstance(fact, PaymentSettled)
        yield from (move.amount_stroops for move in fact.returns)


def test_market_prices_are_repeated_with_the_energy() -> None:
    world = used(10, 20)
    prices = TariffPrices(market=MarketPrice(feed="mill"))
    publish(world, "spot", 0, prices=prices)
    world.publish_prices("mill", FIRST + DAY, 3_600, (3_000_000,))
    world.publish_prices("mill", final(1), 3_600, (4_000_000,))
    to(world, final(2) + 2 * DAY)  # they came late, and count from the next midnight on
    known = known_of(world)
    rows = what_if(known, "sun-0", Question(tariff="spot")).rows
    assert [row.supposed_stroops for row in rows] == [3 * UNIT, 8 * UNIT]
    past = Past(known, supposed(known.account("sun-0"), tariff="spot", period=None))
    bill = past.bill(period_from(FIRST.date() + timedelta(28), "14d", "UTC"), 0)
    assert [line.amount_stroops for line in bill.lines] == [15_000_000, 40_000_000]
