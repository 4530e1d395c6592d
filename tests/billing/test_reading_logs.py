"""Numbers in arrays say of any time what the facts themselves would say."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.metering import ReadingRecorded
from libs.events.positions import Position
from libs.rules.fast_rating import Grid
from libs.rules.rating import CORRECTABLE_S, Part, sum_parts
from services.billing.reached import AsOf, Reached
from services.billing.readings import MeterLog, rated_register
from tests.billing.roof import correction, enrolment, reading

DAY = 86_400
START = datetime(2026, 6, 1, tzinfo=UTC)
START_S = int(START.timestamp())
HASH = "ab" * 16
STREAM = "READINGS_0"


def reached(*times: tuple[int, int]) -> dict[str, Reached]:
    """When the stream reached which day: pairs of day and place."""
    found = Reached()
    for day, place in times:
        found.add(START_S + day * DAY, place)
    return {STREAM: found}


def test_the_first_place_of_a_time_is_the_cut_off() -> None:
    found = reached((1, 5), (1, 7), (3, 9))[STREAM]
    at = [found.cutoff(START_S + second) for second in (DAY, DAY + 1, 3 * DAY)]
    assert at == [5, 9, 9]
    assert found.after(5) == START_S + DAY
    assert found.after(6) == START_S + 3 * DAY
    assert found.after(10) is None
    days = (found.before(np.array([4, 6, 8, 10])) - START_S) // DAY
    assert days[1:].tolist() == [1, 1, 3]
    assert days[0] < -10_000


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, int, int, list[int]]]:
    """Readings and corrections: kind, start, step and values; no interval is read twice."""
    made: list[tuple[str, int, int, list[int]]] = []
    quarter = 0
    for _ in range(draw(st.integers(1, 12))):
        step = draw(st.sampled_from([60, 300, 900, 1_800, 3_600]))
        count = draw(st.integers(1, 6)) * max(1, 900 // step)
        quarter += draw(st.integers(0, 2)) + (-quarter) % max(1, step // 900)
        most = draw(st.sampled_from([100, 70_000, 2**33]))
        values = draw(st.lists(st.integers(0, most), min_size=count, max_size=count))
        made.append(("read", quarter * 900, step, values))
        quarter += -(-count * step // 900)
    made = draw(st.permutations(made))
    for _ in range(draw(st.integers(0, 3))):
        deltas = draw(st.lists(st.integers(-50, 50), min_size=1, max_size=5))
        made.append(("change", draw(st.integers(0, 40)) * 900, 900, deltas))
    return made


@settings(max_examples=150, deadline=None)
@given(
    made=histories(),
    places=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    days=st.tuples(st.integers(0, 40), st.integers(0, 40)),
)
def test_energy_as_of_a_time_is_that_of_the_facts_that_count(
    made: list[tuple[str, int, int, list[int]]], places: tuple[int, int], days: tuple[int, int]
) -> None:
    log = MeterLog(STREAM, "consumed")
    for place, (kind, start, step, values) in enumerate(made, 1):
        at = Position(STREAM, place * 2, HASH)
        when = START + timedelta(seconds=start)
        if kind == "read":
            log.evolve(at, reading("load", place, when, values, step))
        else:
            log.evolve(at, correction("load", when, *values))
    (first_place, last_place), (final_day, more) = sorted(places), days
    times = reached((final_day, first_place * 2 - 1), (final_day + more, last_place * 2 - 1))
    final_s, as_of_s = START_S + final_day * DAY, START_S + (final_day + more) * DAY
    grid = Grid(START_S + 900, 900, 60)
    energy, is_known = log.energy(grid, AsOf(times, final_s, as_of_s))

    cutoff = 2 * (first_place if more == 0 else last_place) - 1
    parts: dict[str, list[Part]] = {"read": [], "change": []}
    for place, (kind, start, step, values) in enumerate(made, 1):
        is_late = place * 2 > 2 * first_place - 1
        too_late = is_late and final_s >= START_S + start + CORRECTABLE_S
        if place * 2 < cutoff and not too_late:
            for index, value in enumerate(values):
                parts[kind].append((START_S + start + index * step, step, value))
    expected = sum_parts(parts["read"], 900, parts["change"])
    inside = {start: value for start, value in expected.items() if start in grid.starts.tolist()}
    found = {
        start: value
        for start, value, known in zip(
            grid.starts.tolist(), energy.tolist(), is_known.tolist(), strict=True
        )
        if known
    }
    assert found == inside


def test_what_is_forgotten_is_gone_and_the_rest_is_as_it_was() -> None:
    log = MeterLog(STREAM, "consumed")
    for day in range(10):
        at = Position(STREAM, day + 1, f"{day:032x}")
        values = [day * 10_000 + each for each in range(96)]
        log.evolve(at, reading("load", day + 1, START + timedelta(days=day), values))
    log.evolve(Position(STREAM, 11, HASH), correction("load", START + timedelta(days=7), 5))
    as_of = AsOf(reached((30, 99)), START_S + 30 * DAY, START_S + 30 * DAY)
    whole = Grid(START_S, 900, 960)
    before, _ = log.energy(whole, as_of)
    log.forget(START_S + 4 * DAY + 900)
    after, is_known = log.energy(whole, as_of)
    assert log.interval_count == 6 * 96
    assert not is_known[: 4 * 96].any()
    assert after[4 * 96 :].tolist() == before[4 * 96 :].tolist()
    numbers, places = log.counted(whole, as_of)
    assert numbers.tolist() == places.tolist() == [5, 6, 7, 8, 9, 10]
    none = AsOf(reached((0, 0), (30, 99)), START_S, START_S)
    late = [each.position for each in log.late(whole, none, as_of)]
    assert late[0] == f"{STREAM}:5:{4:032x}"
    assert late[-1] == f"{STREAM}:11:{HASH}"


@pytest.mark.parametrize(("most", "width"), [(65_535, 2), (65_536, 4), (2**40, 8)])
def test_a_number_takes_as_many_bytes_as_it_needs(most: int, width: int) -> None:
    log = MeterLog(STREAM, "consumed")
    log.evolve(Position(STREAM, 1, HASH), reading("load", 1, START, [1, 2]))
    log.evolve(
        Position(STREAM, 2, HASH), reading("load", 2, START + timedelta(days=1), [3, most, 4])
    )
    assert log._read.values.itemsize == width
    assert log._read.values.tolist() == [1, 2, 3, most, 4]


def test_a_grid_meter_is_not_rated() -> None:
    fact = reading("load", 1, START, [1])
    assert rated_register(fact) == "consumed"
    exported = fact.registers[0].model_copy(update={"name": "exported"})
    grid = ReadingRecorded.model_validate(fact.model_dump() | {"registers": (exported,)})
    assert rated_register(grid) is None
    assert enrolment("grid", "grid").role == "grid"
