"""Laws of the median, the quorum and the fence, on random observations."""

from itertools import permutations
from statistics import median as of_statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.pricing import PricePublished
from services.oracle.median import judge, median
from services.oracle.spans import Spans
from tests.oracle.staging import HOUR_S, SOURCES, pass_time, say, with_feed

PRICES = st.integers(-(10**9), 10**9)
FENCES = st.integers(1, 10**9)


@settings(deadline=None)
@given(st.lists(PRICES, min_size=1, max_size=20))
def test_the_median_is_that_of_the_standard_library_rounded_half_to_even(values: list[int]) -> None:
    exact = of_statistics(values)
    assert abs(median(values) - exact) <= 0.5
    assert median(values) == round(exact)
    assert median(values) == median(values[::-1])


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=2), PRICES, min_size=1, max_size=20), FENCES, st.data())
def test_a_value_lies_between_the_sources_and_has_its_quorum(
    values: dict[str, int], fence_ppm: int, data: st.DataObject
) -> None:
    quorum = data.draw(st.integers(1, 20))
    found = judge(values, fence_ppm=fence_ppm, quorum=quorum)
    far = {
        source
        for source, told in values.items()
        if abs(told - median(list(values.values()))) * 10**6
        > fence_ppm * abs(median(list(values.values())))
    }
    if found is None:
        assert len(values) - len(far) < quorum
    else:
        assert min(values.values()) <= found.value <= max(values.values())
        assert found.outliers == far
        assert len(values) - len(far) >= quorum


@pytest.mark.parametrize(
    ("told", "is_outlier"), [(105, False), (106, True), (95, False), (94, True)]
)
def test_the_fence_itself_is_no_outlier(told: int, is_outlier: bool) -> None:
    found = judge({"a": 100, "b": 100, "c": told}, fence_ppm=50_000, quorum=2)
    assert found is not None
    assert ("c" in found.outliers) == is_outlier


@settings(deadline=None)
@given(PRICES, PRICES, PRICES, FENCES, st.integers(1, 3))
def test_one_liar_among_three_never_moves_a_value_outside_of_the_honest_range(
    one: int, other: int, lie: int, fence_ppm: int, quorum: int
) -> None:
    found = judge({"a": one, "b": other, "liar": lie}, fence_ppm=fence_ppm, quorum=quorum)
    assert found is None or min(one, other) <= found.value <= max(one, other)


HOUR = st.tuples(*[st.integers(90, 130)] * 3)


# Either there may be outliers, too few of them for a quarantine, or there are none.
@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.just(100_000), st.lists(HOUR, min_size=1, max_size=2))
    | st.tuples(st.just(500_000), st.lists(HOUR, min_size=1, max_size=6)),
    st.permutations(SOURCES),
    st.lists(st.integers(1, 6), min_size=3, max_size=3),
)
def test_the_order_of_observations_does_not_matter_when_all_come_in_time(
    fenced: tuple[int, list[tuple[int, int, int]]], order: list[str], cuts: list[int]
) -> None:
    fence_ppm, hours = fenced

    def told(sources: list[str], blocks: dict[str, int]) -> dict[float, int]:
        stage = with_feed(fence_ppm=fence_ppm)
        for source in sources:
            values = [hour[SOURCES.index(source)] for hour in hours]
            for at in range(0, len(values), blocks[source]):
                say(stage, source, *values[at : at + blocks[source]], hours=at)
        pass_time(stage, HOUR_S)
        published: dict[float, int] = {}
        for recorded in stage.history.facts:
            if isinstance(fact := recorded.fact, PricePublished):
                first = fact.published.first_at.timestamp()
                for at, value in enumerate(fact.published.values):
                    assert first + at * HOUR_S not in published, "an interval is published once"
                    published[first + at * HOUR_S] = value
        return published

    blocks = dict(zip(SOURCES, cuts, strict=True))
    assert told(order, blocks) == told(list(SOURCES), dict.fromkeys(SOURCES, 6))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=30))
def test_spans_are_a_set_of_seconds(stretches: list[tuple[int, int]]) -> None:
    spans, taken = Spans(), set[int]()
    for start, length in stretches:
        assert spans.meets(start, start + length) == bool(taken & {*range(start, start + length)})
        spans.add(start, start + length)
        taken |= {*range(start, start + length)}
        assert spans.until == max(taken) + 1
    for second in range(80):
        assert spans.meets(second, second + 1) == (second in taken)
    assert len(spans._starts) == sum(second - 1 not in taken for second in taken)


def test_spans_that_are_long_over_are_forgotten_but_the_last() -> None:
    for order in permutations([(0, 5), (7, 9), (20, 30)]):
        spans = Spans()
        for start, until in order:
            spans.add(start, until)
        spans.drop_before(9)
        assert spans._starts == [20]
        spans.drop_before(40)
        assert spans.until == 30
