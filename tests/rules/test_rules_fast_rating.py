"""Rating of many intervals at once gives the very integers of the rule for one."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.metering import RegisterName
from libs.rules.allocation import Demand, allocate
from libs.rules.fast_rating import (
    Grid,
    Mask,
    Numbers,
    allocate_many,
    bucket_sums,
    exact_sum,
    local_slots,
    rate_many,
    split_many,
)
from libs.rules.numbers import split
from libs.rules.rating import Household, Point, Stretch, rate
from libs.rules.tariffs import slot_at

NAMES = ("a", "b", "c", "d", "e")


def numbers(rows: object) -> Numbers:
    return np.array(rows, np.int64)


@st.composite
def columns(draw: st.DrawFn, most: int) -> tuple[list[int], list[list[int]]]:
    """Amounts per column, and weights per row and column."""
    rows, count = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    few = st.integers(0, draw(st.sampled_from([2, 10, most])))
    weights = [draw(st.lists(few, min_size=count, max_size=count)) for _ in range(rows)]
    amounts = draw(st.lists(few, min_size=count, max_size=count))
    sums = [sum(row[place] for row in weights) for place in range(count)]
    return [amount if total else 0 for amount, total in zip(amounts, sums, strict=True)], weights


@settings(max_examples=200, deadline=None)
@given(case=columns(10**6) | columns(2**53 - 1))
def test_splitting_many_amounts_splits_each(case: tuple[list[int], list[list[int]]]) -> None:
    amounts, weights = case
    found = split_many(numbers(amounts), numbers(weights))
    for place, amount in enumerate(amounts):
        of_column = {NAMES[row]: weights[row][place] for row in range(len(weights))}
        assert found[:, place].tolist() == list(split(amount, of_column).values())


@st.composite
def systems(draw: st.DrawFn, most: int) -> tuple[list[int], list[int], list[list[int]]]:
    """Generation per interval, units per holding, consumption per holding and interval."""
    rows, count = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    energy = st.integers(0, draw(st.sampled_from([3, 100, most])))
    row = st.lists(energy, min_size=count, max_size=count)
    units = draw(st.lists(st.integers(1, most), min_size=rows, max_size=rows))
    return draw(row), units, [draw(row) for _ in range(rows)]


@settings(max_examples=300, deadline=None)
@given(case=systems(10**6) | systems(2**40) | systems(2**53 - 1))
def test_allocating_many_intervals_allocates_each(
    case: tuple[list[int], list[int], list[list[int]]],
) -> None:
    generated, units, consumed = case
    wide = numbers(units).reshape(-1, 1) * np.ones(len(generated), np.int64)
    found = allocate_many(numbers(generated), wide, numbers(consumed))
    for place, energy in enumerate(generated):
        demands = {
            NAMES[row]: Demand(units[row], consumed[row][place]) for row in range(len(units))
        }
        for row, share in enumerate(allocate(energy, demands).values()):
            assert int(found.entitlement_wh[row, place]) == share.entitlement_wh
            assert int(found.own_use_wh[row, place]) == share.own_use_wh
            assert int(found.surplus_wh[row, place]) == share.surplus_wh
            used = {
                NAMES[source]: int(energies[place])
                for source, energies in found.from_others(row).items()
                if energies[place]
            }
            assert used == dict(share.used_of_others_wh)


times = st.integers(-2, 9)


@st.composite
def sites(
    draw: st.DrawFn,
) -> tuple[list[Point], list[Household], dict[str, list[int | None]]]:
    """A plant, homes that come and go and are diverted, and what each meter knows."""
    plant = [Point(f"pv{each}", draw(times) * 900) for each in range(draw(st.integers(0, 2)))]
    homes = []
    for name in NAMES[: draw(st.integers(0, 4))]:
        since, until = draw(times), draw(times | st.none())
        stretch = draw(st.none() | st.tuples(times, times | st.none()))
        diverted: tuple[Stretch, ...] = ()
        if stretch is not None:
            end = None if stretch[1] is None else stretch[1] * 900
            diverted = (Stretch(stretch[0] * 900, end),)
        count = draw(st.integers(0, 2))
        points = [Point(f"{name}{each}", draw(times) * 900) for each in range(count)]
        homes.append(
            Household(
                holding=name,
                units=draw(st.integers(1, 10**10)),
                since=since * 900 + draw(st.sampled_from([0, 1, 899])),
                home=points,
                diverted=diverted,
                until=None if until is None else until * 900,
            )
        )
    meters = [point.meter for point in plant] + [
        point.meter for home in homes for point in home.home
    ]
    known = st.lists(st.integers(0, 500) | st.none(), min_size=8, max_size=8)
    return plant, homes, {meter: draw(known) for meter in meters}


@settings(max_examples=300, deadline=None)
@given(site=sites())
def test_rating_many_intervals_rates_each(
    site: tuple[list[Point], list[Household], dict[str, list[int | None]]],
) -> None:
    plant, homes, known = site
    grid = Grid(0, 900, 8)

    def many(meter: str, register: RegisterName) -> tuple[Numbers, Mask]:
        row = known[meter]
        mask = np.array([value is not None for value in row], np.bool_)
        return numbers([value or 0 for value in row]), mask

    found = rate_many(grid, plant, homes, many)
    for place in range(grid.count):
        start = place * 900
        one = rate(start, plant, homes, lambda meter, _, at: known[meter][at // 900])
        assert bool(found.is_rated[place]) == (one is not None)
        if one is None:
            continue
        assert int(found.generated_wh[place]) == one.generated_wh
        for row, name in enumerate(found.holdings):
            assert bool(found.is_held[row, place]) == (name in one.demands)
            if name in one.demands:
                assert int(found.consumed_wh[row, place]) == one.demands[name].consumed_wh
                assert int(found.shares.own_use_wh[row, place]) == one.shares[name].own_use_wh
                used = {
                    found.holdings[source]: int(energies[place])
                    for source, energies in found.shares.from_others(row).items()
                    if energies[place]
                }
                assert used == dict(one.shares[name].used_of_others_wh)


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
def test_local_hours_of_a_grid_are_those_of_its_instants(zone: str) -> None:
    first = int(datetime(2024, 3, 9, tzinfo=UTC).timestamp())
    grid = Grid(first, 900, 40 * 96)
    slots = local_slots(grid, zone)
    chosen = range(0, grid.count, 7)
    assert slots[::7].tolist() == [slot_at(first + 900 * each, ZoneInfo(zone)) for each in chosen]


@settings(max_examples=100, deadline=None)
@given(
    rows=st.integers(1, 5).flatmap(
        lambda count: st.lists(
            st.tuples(
                st.integers(0, 3),
                st.lists(st.integers(0, 10**12), min_size=count, max_size=count),
            ),
            max_size=30,
        )
    )
)
def test_sums_by_bucket_are_exact_for_one_agreement_and_for_many(
    rows: list[tuple[int, list[int]]],
) -> None:
    buckets = numbers([bucket for bucket, _ in rows])
    if not rows:
        return
    energies = numbers([values for _, values in rows]).T
    found = bucket_sums(buckets, energies, 4)
    for index in range(energies.shape[0]):
        expected = [
            sum(values[index] for bucket, values in rows if bucket == each) for each in range(4)
        ]
        assert found[index].tolist() == expected
        assert bucket_sums(buckets, energies[index], 4).tolist() == expected


@given(values=st.lists(st.integers(0, 2**63 - 1), max_size=20))
def test_sums_are_exact_beyond_64_bits(values: list[int]) -> None:
    assert exact_sum(numbers(values)) == sum(values)


def test_a_grid_has_the_intervals_that_start_in_a_stretch() -> None:
    grid = Grid.of(
        datetime(2026, 1, 1, 0, 1, tzinfo=UTC), datetime(2026, 1, 1, 1, 0, 1, tzinfo=UTC), 900
    )
    assert [start % 3_600 // 60 for start in grid.starts.tolist()] == [15, 30, 45, 0]
    assert grid.place(grid.first - 1) == 0
    assert grid.place(grid.first + 1) == 1
    assert grid.place(grid.first + 10_000) == 4
    assert grid.stretch(grid.first + 900, grid.first + 1_801) == slice(1, 3)
