"""Local days and billing periods in fourteen zones: every instant belongs to one of each."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.invoicing import BillingPeriod
from libs.rules.periods import (
    days_by_month,
    later_by,
    local_day,
    local_midnight,
    period_from,
    period_of,
)

ZONES = (
    "UTC",
    "America/Denver",
    "America/New_York",
    "America/St_Johns",  # half an hour, and until 2011 its clock was changed at 00:01
    "America/Santiago",  # midnight is skipped in spring and lived through twice in autumn
    "Europe/Berlin",
    "Africa/Cairo",  # midnight is skipped
    "Asia/Beirut",  # the same
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Tokyo",
    "Australia/Lord_Howe",  # the clock changes by half an hour
    "Pacific/Chatham",  # 12:45 and 13:45
    "Pacific/Apia",  # 30 December 2011 never was
)
KINDS: tuple[BillingPeriod, ...] = ("month", "14d", "28d")
QUARTER = timedelta(minutes=15)

zones = st.sampled_from(ZONES)
kinds = st.sampled_from(KINDS)
days = st.dates(date(2005, 1, 1), date(2037, 1, 1))
instants = st.datetimes(datetime(2005, 1, 1), datetime(2037, 1, 1)).map(  # noqa: DTZ001 - see below
    lambda found: found.replace(microsecond=0, tzinfo=UTC)
)


@settings(max_examples=300, deadline=None)
@given(zone=zones, instant=instants)
def test_every_instant_belongs_to_exactly_one_local_day(zone: str, instant: datetime) -> None:
    day = local_day(instant, zone)
    assert day == instant.astimezone(ZoneInfo(zone)).date()
    holding = [
        each
        for each in (day + timedelta(days=shift) for shift in (-2, -1, 0, 1, 2))
        if local_midnight(each, zone) <= instant < local_midnight(each + timedelta(days=1), zone)
    ]
    assert holding == [day]


@settings(max_examples=100, deadline=None)
@given(zone=zones, day=days)
def test_a_local_day_begins_at_the_first_instant_with_its_date(zone: str, day: date) -> None:
    begin = local_midnight(day, zone)
    assert local_day(begin, zone) >= day
    assert local_day(begin - timedelta(seconds=1), zone) < day


@pytest.mark.parametrize("zone", ZONES)
def test_days_of_three_years_touch_each_other_and_have_22_to_26_hours(zone: str) -> None:
    first = date(2024, 1, 1)
    begins = [local_midnight(first + timedelta(days=each), zone) for each in range(3 * 365)]
    lengths = {(after - before) // QUARTER for before, after in pairwise(begins)}
    assert lengths <= {4 * 23, 4 * 24 - 2, 4 * 24, 4 * 24 + 2, 4 * 25}


@pytest.mark.parametrize(
    ("zone", "day", "begins", "hours"),
    [
        ("America/Santiago", date(2024, 9, 8), datetime(2024, 9, 8, 4, tzinfo=UTC), 23),
        ("America/Santiago", date(2024, 4, 6), datetime(2024, 4, 6, 3, tzinfo=UTC), 25),
        ("Africa/Cairo", date(2024, 4, 26), datetime(2024, 4, 25, 22, tzinfo=UTC), 23),
        ("Asia/Beirut", date(2024, 3, 31), datetime(2024, 3, 30, 22, tzinfo=UTC), 23),
        ("Asia/Kolkata", date(2024, 7, 1), datetime(2024, 6, 30, 18, 30, tzinfo=UTC), 24),
        ("Australia/Lord_Howe", date(2024, 4, 7), datetime(2024, 4, 6, 13, tzinfo=UTC), 24.5),
        ("Pacific/Chatham", date(2024, 9, 29), datetime(2024, 9, 28, 11, 15, tzinfo=UTC), 23),
        ("Pacific/Apia", date(2011, 12, 29), datetime(2011, 12, 29, 10, tzinfo=UTC), 24),
    ],
)
def test_days_on_which_a_clock_is_changed_are_those_of_the_tables(
    zone: str, day: date, begins: datetime, hours: float
) -> None:
    assert local_midnight(day, zone) == begins
    following = local_midnight(day + timedelta(days=1), zone)
    assert following - begins == timedelta(hours=hours)


def test_a_day_that_never_was_has_no_length() -> None:
    begins = local_midnight(date(2011, 12, 30), "Pacific/Apia")
    assert begins == local_midnight(date(2011, 12, 31), "Pacific/Apia")


@settings(max_examples=200, deadline=None)
@given(zone=zones, kind=kinds, first_day=days, instant=instants)
def test_every_instant_from_the_first_day_on_belongs_to_exactly_one_period(
    zone: str, kind: BillingPeriod, first_day: date, instant: datetime
) -> None:
    if instant < local_midnight(first_day, zone):
        return
    found = period_of(instant, kind, first_day, zone)
    assert found.from_at <= instant < found.until_at
    assert found == period_from(found.first_day, kind, zone)
    after = period_from(found.next_day, kind, zone)
    assert after.from_at == found.until_at
    assert period_of(found.until_at, kind, first_day, zone) == after


@settings(max_examples=60, deadline=None)
@given(zone=zones, kind=kinds, first_day=days)
def test_periods_follow_each_other_without_gap_and_overlap(
    zone: str, kind: BillingPeriod, first_day: date
) -> None:
    periods = [period_from(first_day, kind, zone)]
    for _ in range(30):
        periods.append(period_from(periods[-1].next_day, kind, zone))
    for before, after in pairwise(periods):
        assert before.until_at == after.from_at
        assert before.from_at < before.until_at
    assert len({period.name for period in periods}) == len(periods)
    if kind == "month":
        assert all(period.first_day.day == 1 for period in periods[1:])
    else:
        length = {(period.next_day - period.first_day).days for period in periods}
        assert length == {int(kind.removesuffix("d"))}


@settings(max_examples=100, deadline=None)
@given(first_day=days, length=st.integers(0, 100))
def test_days_by_month_count_every_day_once(first_day: date, length: int) -> None:
    parts = days_by_month(first_day, first_day + timedelta(days=length))
    assert sum(count for count, _ in parts) == length
    assert all(0 < count <= of_month and 28 <= of_month <= 31 for count, of_month in parts)


@settings(max_examples=100, deadline=None)
@given(zone=zones, kind=kinds, instant=instants, periods=st.integers(0, 24))
def test_a_later_instant_has_the_same_local_time_or_the_next_that_there_is(
    zone: str, kind: BillingPeriod, instant: datetime, periods: int
) -> None:
    later = later_by(instant, periods, kind, zone)
    before, after = (each.astimezone(ZoneInfo(zone)) for each in (instant, later))
    if kind != "month" and before.utcoffset() == after.utcoffset():
        expected = timedelta(days=int(kind.removesuffix("d")) * periods)
        assert later - instant == expected
    assert later >= instant
    assert later <= later_by(instant, periods + 1, kind, zone)
