"""What is known of a rating interval, who counts for it, and the law of its shares."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from libs.events.supply import SupplyDiverted, SupplyRestored
from libs.events.systems import HoldingReclaimed
from libs.rules.rating import Diversions, Household, Point, Rated, rate, sum_parts
from tests.dumping import rows

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


def diverted(holding: str, *at: tuple[str, int]) -> Diversions:
    """Tell what happened to the supply of a holding, and when."""
    diversions = Diversions()
    kinds = {
        "diverted": SupplyDiverted(holding=holding, agreement="agr", invoice="agr-2016-07"),
        "restored": SupplyRestored(holding=holding, agreement="agr"),
        "reclaimed": HoldingReclaimed(
            holding=holding,
            system="sun",
            agreement="agr",
            member="ann",
            units=1,
            moves=(),
            command="a.b.c",
        ),
    }
    for kind, instant in at:
        diversions.evolve(kinds[kind], datetime.fromtimestamp(instant, UTC))
    return diversions


def test_who_is_diverted_consumes_nothing_and_co_holders_are_served_first() -> None:
    energy = {"pv": 100, "load-a": 80, "load-b": 70}
    stretches = diverted("a", ("diverted", QUARTER), ("restored", 3 * QUARTER)).of("a")
    late = replace(home("a"), diverted=stretches)
    surplus = {}
    for start in range(0, 4 * QUARTER, QUARTER):
        found = rated(start, energy, late, home("b"))
        assert found is not None
        assert found.is_lawful
        surplus[start] = found.shares["a"].surplus_wh
    assert surplus == {0: 0, QUARTER: 30, 2 * QUARTER: 30, 3 * QUARTER: 0}


def test_the_silent_meter_of_a_diverted_home_keeps_nobody_from_being_rated() -> None:
    energy = {"pv": 100, "load-b": 70}
    late = replace(home("a"), diverted=diverted("a", ("diverted", 0)).of("a"))
    assert rated(0, energy, home("a"), home("b")) is None
    assert rated(0, energy, late, home("b")) is not None


def test_a_reclaimed_holding_counts_until_its_end() -> None:
    energy = {"pv": 100, "load-a": 0, "load-b": 0}
    diversions = diverted("a", ("diverted", 0), ("reclaimed", QUARTER))
    assert diversions.end_of("a") == QUARTER
    assert diversions.holds("a", QUARTER - 1)
    assert not diversions.holds("a", QUARTER)
    gone = replace(home("a"), until=diversions.end_of("a"))
    for start, holdings in ((0, {"a", "b"}), (QUARTER, {"b"})):
        found = rated(start, energy, gone, home("b"))
        assert found is not None
        assert set(found.shares) == holdings


@given(
    st.lists(st.sampled_from(["diverted", "restored"]), max_size=8),
    st.lists(st.integers(1, 5), min_size=8, max_size=8),
)
def test_stretches_are_those_between_a_diversion_and_its_end(
    kinds: list[str], gaps: list[int]
) -> None:
    told: list[tuple[str, int]] = []
    instant, wanted = 0, ""
    expected: dict[int, bool] = {}
    for kind, gap in zip(kinds, gaps, strict=False):
        if kind == wanted or (not wanted and kind == "restored"):
            continue  # the ledger tells neither twice
        for second in range(instant, instant + gap):
            expected[second] = wanted == "diverted"
        instant, wanted = instant + gap, kind
        told.append((kind, instant))
    expected[instant] = wanted == "diverted"
    diversions = diverted("a", *told)
    assert {second: diversions.holds("a", second) for second in expected} == expected
    loaded = Diversions()
    loaded.load(rows(diversions))
    assert loaded.of("a") == diversions.of("a")
