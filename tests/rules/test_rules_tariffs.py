"""Which bucket holds when, tiers and proration, against tables that were written by hand."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.pricing import Bucket, MarketPrice, TariffPrices, TariffPublished, Tier, TimeOfUse
from libs.rules.tariffs import (
    SLOTS,
    bucket_at,
    bucket_table,
    market_ppm,
    prorated,
    rate_scale,
    slot_at,
    tier_parts,
    version_at,
)
from tests.histories import ANY_COMMAND_SIGNED

NIGHT, DAY, PEAK = "0", "1", "2"
SUMMER_WEEKDAY = NIGHT * 7 + DAY * 9 + PEAK * 5 + NIGHT * 3
WINTER_WEEKDAY = NIGHT * 7 + DAY * 14 + NIGHT * 3
WEEKEND = NIGHT * 24


def bucket(name: str, *tiers: tuple[int, int | None]) -> Bucket:
    return Bucket(
        name=name,
        tiers=tuple(Tier(price_stroops_per_kwh=price, up_to_wh=end) for price, end in tiers),
    )


SEASONS = TimeOfUse(
    buckets=(
        bucket("night", (1_000_000, None)),
        bucket("day", (2_000_000, None)),
        bucket("peak", (4_000_000, None)),
    ),
    weekday=tuple(SUMMER_WEEKDAY if 6 <= month <= 9 else WINTER_WEEKDAY for month in range(1, 13)),
    weekend=(WEEKEND,) * 12,
)
"""Peak from 16 to 21 o'clock on weekdays of June to September."""


def name_at(zone: str, utc: str) -> str:
    instant = int(datetime.fromisoformat(f"{utc}+00:00").timestamp())
    return bucket_at(SEASONS, instant, ZoneInfo(zone)).name


@pytest.mark.parametrize(
    ("zone", "utc", "expected"),
    [
        ("America/Denver", "2016-07-01T22:00", "peak"),  # Friday 16:00
        ("America/Denver", "2016-07-01T21:59", "day"),  # Friday 15:59
        ("America/Denver", "2016-07-02T02:59", "peak"),  # still Friday, 20:59
        ("America/Denver", "2016-07-02T03:00", "night"),  # Friday 21:00
        ("America/Denver", "2016-07-02T22:00", "night"),  # Saturday 16:00
        ("America/Denver", "2016-10-03T22:00", "day"),  # Monday 16:00 in October
        ("America/Denver", "2016-06-01T05:00", "night"),  # still 31 May, 23:00
        ("Asia/Kolkata", "2016-07-01T10:30", "peak"),  # 16:00, half an hour off
        ("Asia/Kolkata", "2016-07-01T10:29", "day"),
        ("Pacific/Chatham", "2016-07-01T03:15", "peak"),  # 16:00, 12:45 ahead
        ("Pacific/Chatham", "2016-06-30T11:15", "night"),  # Friday 00:00
    ],
)
def test_the_bucket_is_that_of_the_local_hour(zone: str, utc: str, expected: str) -> None:
    assert name_at(zone, utc) == expected


def test_a_spring_night_lacks_an_hour_and_an_autumn_night_has_one_twice() -> None:
    hours_of: dict[str, int] = {}
    for name, first in (("spring", (2024, 3, 10)), ("autumn", (2024, 11, 3))):
        zone = ZoneInfo("America/New_York")
        start = datetime(*first, tzinfo=zone).astimezone(UTC)
        end = datetime(*first, tzinfo=zone) + timedelta(days=1)
        slots = []
        while start < end.astimezone(UTC):
            slots.append(slot_at(int(start.timestamp()), zone) % 24)
            start += timedelta(hours=1)
        hours_of[name] = len(slots)
        assert slots.count(2) == (0 if name == "spring" else 1)
        assert slots.count(1) == (1 if name == "spring" else 2)
    assert hours_of == {"spring": 23, "autumn": 25}


def test_half_an_hour_of_lord_howe_is_lived_through_twice() -> None:
    zone = ZoneInfo("Australia/Lord_Howe")
    start = int(datetime(2024, 4, 6, 14, tzinfo=UTC).timestamp())
    hours = [slot_at(start + 900 * quarter, zone) % 24 for quarter in range(8)]
    assert hours == [1, 1, 1, 1, 1, 1, 2, 2]


def test_the_table_has_every_kind_of_hour() -> None:
    table = bucket_table(SEASONS)
    assert len(table) == SLOTS
    assert table[(7 - 1) * 48 + 16] == 2
    assert table[(7 - 1) * 48 + 24 + 16] == 0
    assert table[(12 - 1) * 48 + 16] == 1


TIERED = bucket("all", (1, 300_000), (2, 700_000), (3, None))
WHOLE = [(30, 30)]


@pytest.mark.parametrize(
    ("before", "energy", "expected"),
    [
        (0, 300_000, [(1, 300_000)]),
        (0, 300_001, [(1, 300_000), (2, 1)]),
        (0, 1_000_000, [(1, 300_000), (2, 400_000), (3, 300_000)]),
        (300_000, 1, [(2, 1)]),
        (299_999, 2, [(1, 1), (2, 1)]),
        (900_000, 5, [(3, 5)]),
        (0, 0, []),
    ],
)
def test_energy_is_cut_at_the_ends_of_tiers(
    before: int, energy: int, expected: list[tuple[int, int]]
) -> None:
    assert tier_parts(TIERED, WHOLE, before, energy) == expected


def test_tiers_of_a_part_of_two_months_are_prorated_by_their_days() -> None:
    # 10 of 31 days and 4 of 30: 96,774.19 and 40,000 Wh.
    assert tier_parts(TIERED, [(10, 31), (4, 30)], 0, 200_000) == [(1, 136_774), (2, 63_226)]


@given(
    before=st.integers(0, 10**6),
    parts=st.lists(st.integers(0, 10**6), max_size=5),
    days=st.integers(1, 30),
)
def test_tiers_filled_in_parts_hold_what_tiers_filled_at_once_hold(
    before: int, parts: list[int], days: int
) -> None:
    at_once: dict[int, int] = dict(tier_parts(TIERED, [(days, 30)], before, sum(parts)))
    in_parts: dict[int, int] = {}
    for part in parts:
        for tier, energy in tier_parts(TIERED, [(days, 30)], before, part):
            in_parts[tier] = in_parts.get(tier, 0) + energy
        before += part
    assert in_parts == at_once
    assert sum(at_once.values()) == sum(parts)


@given(
    amount=st.integers(0, 10**12),
    days=st.integers(0, 31),
    rate=st.integers(1, 10**15) | st.none(),
)
def test_a_prorated_amount_is_rounded_once_from_the_exact_fraction(
    amount: int, days: int, rate: int | None
) -> None:
    numerator, denominator = rate_scale(rate)
    exact = Fraction(amount * days, 31) * (1 if rate is None else Fraction(rate, 10**7))
    assert prorated(amount, [(days, 31)], numerator, denominator) == round(exact)


def test_a_whole_month_costs_the_whole_amount_and_its_parts_cost_as_much() -> None:
    assert prorated(1_000_003, [(31, 31)]) == 1_000_003
    assert prorated(100, [(10, 31)]) + prorated(100, [(21, 31)]) == 32 + 68


@pytest.mark.parametrize(
    ("price", "expected"), [(100, 3 * 10**8), (-50, 0), (-100, 0), (0, 100 * 10**6)]
)
def test_a_market_price_below_zero_counts_as_zero(price: int, expected: int) -> None:
    market = MarketPrice(feed="spot", factor_ppm=2_000_000, add_stroops_per_kwh=100)
    assert market_ppm(market, price) == expected


@settings(max_examples=50)
@given(starts=st.lists(st.integers(0, 10**6), min_size=1, unique=True), at=st.integers(0, 10**6))
def test_the_version_is_the_newest_that_began(starts: list[int], at: int) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    versions = [
        (
            TariffPublished(
                tariff="t",
                version=number,
                asset="USD",
                prices=TariffPrices(price_stroops_per_kwh=1),
                effective_from=begin + timedelta(seconds=start),
                command=ANY_COMMAND_SIGNED,
            ),
            "",
        )
        for number, start in enumerate(sorted(starts), 1)
    ]
    found = version_at(versions, begin + timedelta(seconds=at))
    expected = sum(start <= at for start in starts)
    assert (0 if found is None else found[0].version) == expected
