"""What is known of a rating interval, who counts for it, and the law of its shares."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from libs.rules.rating import Household, Point, Rated, rate, sum_parts

QUARTER = 900


def rated(
    start: int,
    energy: Mapping[str, int],
    *households: Household,
    plant: tuple[Point, ...] = (Point("pv", 0),),
) -> Rated | None:
    return rate(start, plant, households, lambda meter, register, at: energy.get(meter))


def home(name: str, units: int = 1, since: int = 0, meter_since: int = 0) -> Household:
    return Household(name, units, since, (Point(f"load-{name}", meter_since),))


def test_parts_are_summed_where_none_is_missing() -> None:
    parts = [(0, 300, 1), (300, 300, 2), (600, 300, 3), (900, 300, 4), (1_800, 900, 5)]
    assert sum_parts(parts, QUARTER) == {0: 6, 1_800: 5}


def test_coarser_parts_are_not_rated() -> None:
    assert sum_parts([(0, 3_600, 9)], QUARTER) == {}


def test_changes_count_where_all_is_known_and_nowhere_else() -> None:
    changes = [(0, 300, -1), (0, 300, 5), (1_800, 900, 7), (0, 3_600, 9)]
    assert sum_parts([(0, 900, 10)], QUARTER, changes) == {0: 14}


def test_a_holding_counts_from_its_opening_and_a_meter_from_its_enrolment() -> None:
    energy = {"pv": 100, "load-a": 0, "load-b": 0}
    both = (home("a"), home("b", since=901, meter_since=901))
    for start, holdings in ((0, {"a"}), (QUARTER, {"a"}), (2 * QUARTER, {"a", "b"})):
        found = rated(start, energy, *both)
        assert found is not None
        assert set(found.shares) == holdings
    later = (Point("pv", 0), Point("pv2", QUARTER))
    assert rated(0, energy, home("a"), plant=later) is not None
    assert rated(QUARTER, energy, home("a"), plant=later) is None


def test_what_lacks_a_meter_or_a_holder_is_not_rated() -> None:
    assert rated(0, {"pv": 100}, home("a")) is None
    assert rated(0, {"load-a": 100}, home("a")) is None
    assert rated(0, {"pv": 100}) is None
    assert rated(0, {"pv": 1, "load-a": 1}, home("a", meter_since=1)) is None


@given(
    plant=st.lists(st.integers(0, 10**6), min_size=1, max_size=4),
    consumed=st.lists(st.integers(0, 10**6), min_size=1, max_size=6),
)
def test_every_rated_interval_is_lawful(plant: list[int], consumed: list[int]) -> None:
    energy = {f"pv{number}": wh for number, wh in enumerate(plant)}
    energy |= {f"load-{number}": wh for number, wh in enumerate(consumed)}
    points = tuple(Point(f"pv{number}", 0) for number in range(len(plant)))
    found = rated(0, energy, *(home(str(n), n + 1) for n in range(len(consumed))), plant=points)
    assert found is not None
    assert found.is_lawful
    assert found.generated_wh == sum(plant)
