"""Bills of many readings, prices and homes still fit into a fact: nobody's billing stands still."""

from datetime import timedelta

import pytest

from libs.events.invoicing import Tax
from libs.events.pricing import MarketPrice
from services.billing import lines, rating
from services.billing.domain import Billing
from tests.billing.roof import (
    LEDGER,
    METERS,
    PRICE,
    READINGS,
    agreement,
    billing,
    enrolment,
    holding,
    invoices,
    measured,
    opened,
    reading,
    told,
)
from tests.billing.test_line_rules import feed, prices_at, publish
from tests.histories import START, Stage

DAY = timedelta(days=1)
TAX = Tax(authority="state", rate_ppm=100_000, on=("energy",))


def reported(stage: Stage, meter: str, count: int, each_s: int) -> None:
    """Reports of one interval each, one after the other."""
    for number in range(count):
        at = START + timedelta(seconds=number * each_s)
        fact = reading(meter, number + 1, at, [5], each_s)
        stage.given(stage.history.record(READINGS, meter, fact))


def test_a_period_of_reports_every_five_minutes_is_billed() -> None:
    stage = opened(period="28d")
    reported(stage, "pv", 28 * 288, 300)
    reported(stage, "load", 28 * 288, 300)
    stage.advance(29, READINGS, LEDGER)
    assert isinstance(stage.rules, Billing)
    assert stage.rules.stuck == {}
    (bill,) = invoices(stage)
    assert bill.unrated_intervals == 0
    assert [(each.first_seq, each.last_seq) for each in bill.readings] == [(1, 28 * 288)] * 2
    assert [len(each.positions) for each in bill.readings] == [2, 2]


@pytest.mark.parametrize(
    ("most", "of_meter", "expected"),
    [(6, 3, [3, 3]), (5, 3, [2, 2]), (6, 2, [2, 2])],
    ids=["just fits", "too many in all", "too many of a meter"],
)
def test_readings_are_named_one_by_one_while_there_is_room(
    monkeypatch: pytest.MonkeyPatch, most: int, of_meter: int, expected: list[int]
) -> None:
    monkeypatch.setattr(rating, "NAMED_MAX", most)
    monkeypatch.setattr(rating, "NAMED_OF_METER_MAX", of_meter)
    stage = opened()
    for seq in (1, 2, 3):
        measured(stage, [100] * 4, [50] * 4, days=seq, seq=seq)
    stage.advance(31, READINGS, LEDGER)
    (bill,) = invoices(stage)
    assert [len(each.positions) for each in bill.readings] == expected
    for each in bill.readings:
        assert each.positions[0] < each.positions[-1]
        assert (each.first_seq, each.last_seq) == (1, 3)


def test_lines_beyond_the_room_of_a_bill_are_joined_and_rounded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bills = {}
    for most in (3, 2):
        monkeypatch.setattr(lines, "ENERGY_LINES_MAX", most)
        stage = billing()
        publish(stage, market=MarketPrice(feed="spot"))
        publish(stage, version=3, days=2, price_stroops_per_kwh=PRICE)
        told(stage, "PRICES", "spot", feed(), prices_at(*[3] * 24), prices_at(*[5] * 24, hour=24))
        stage.when("home", "1", agreement(taxes=(TAX,)))
        for day in range(3):
            measured(stage, [1_000], [100], days=day, seq=day + 1)
        stage.advance(31, READINGS, LEDGER)
        (bills[most],) = invoices(stage)
    apart, joined = bills[3].lines, bills[2].lines
    # Version 2: 100 Wh at 3 and 100 Wh at 5 stroops are 0.3 and 0.5, together 0.8.
    assert [(each.energy_wh, each.amount_stroops) for each in apart[:3]] == [
        (100, 0),
        (100, 0),
        (100, 200_000),
    ]
    assert [(each.energy_wh, each.amount_stroops) for each in joined[:2]] == [
        (200, 1),
        (100, 200_000),
    ]
    assert joined[0].price_position == apart[0].price_position
    assert joined[1].price_stroops_per_kwh == PRICE
    assert joined[2].base_lines == (1, 2)


def test_many_homes_that_share_at_market_prices_are_billed() -> None:
    stage = billing()
    publish(stage, market=MarketPrice(feed="spot"))
    told(stage, "PRICES", "spot", feed())
    for number in range(15):
        name = f"h{number}x"
        told(stage, LEDGER, name, holding(1_000, name, "eve"))
        told(stage, METERS, f"m{number}", enrolment(f"m{number}", "consumption", name))
        stage.when("eve", name, agreement(agreement=f"agr{number}", holding=name))
    stage.when("home", "1", agreement())
    meters = {"pv": 16_000, "load": 1_900} | {f"m{number}": 500 for number in range(15)}
    for day in range(30):
        told(stage, "PRICES", "spot", prices_at(*[900_000] * 24, hour=24 * day))
        for meter, energy in meters.items():
            made = reading("pv" if meter == "pv" else "load", day + 1, START + day * DAY, [energy])
            made = made.model_copy(update={"meter": meter})
            stage.given(stage.history.record(READINGS, meter, made))
    stage.advance(31, READINGS, LEDGER)
    assert isinstance(stage.rules, Billing)
    assert stage.rules.stuck == {}
    (bill,) = (each for each in invoices(stage) if each.agreement == "agr")
    assert len(bill.lines) == 1 + 15
    assert sum(each.amount_stroops for each in bill.lines) == 30 * 1_900 * 900
