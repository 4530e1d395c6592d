"""Heads and gaps: what is missing is remembered with its bounds, and only what fits fills it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.metering import GAPS_MAX, MeterGap, ReadingRecorded
from services.ingest.domain import Outcome
from tests.ingest.reporting import START, Site, accepted, at, payload, reason


def shape(gap: MeterGap) -> tuple[datetime, datetime, int, int, int, int]:
    before, after = gap.before[0].value_wh, gap.after[0].value_wh
    return (gap.from_at, gap.until_at, gap.first_seq, gap.last_seq, before, after)


def shapes(site: Site) -> list[tuple[datetime, datetime, int, int, int, int]]:
    return [shape(gap) for gap in site.head.gaps]


def with_gap() -> Site:
    """Report 1 covers interval 0, report 5 interval 10; between them 90 Wh and three sequences."""
    site = Site()
    site.send(payload(1, 0, 10))
    site.send(payload(5, 10, 10, start=100))
    return site


def test_a_report_beyond_the_head_opens_a_gap_with_its_bounds() -> None:
    site = with_gap()
    assert shapes(site) == [(at(1), at(10), 2, 4, 10, 100)]
    assert site.head.seq == 5
    assert site.head.until_at == at(11)


def test_a_next_report_that_begins_later_leaves_a_gap_in_time_alone() -> None:
    site = Site()
    site.send(payload(1, 0, 10))
    assert accepted(site.send(payload(2, 4, 10, start=10)))
    assert shapes(site) == [(at(1), at(4), 2, 1, 10, 10)]


def test_a_late_report_in_the_middle_splits_its_gap() -> None:
    site = with_gap()
    assert accepted(site.send(payload(3, 4, 10, 10, start=40)))
    assert shapes(site) == [(at(1), at(4), 2, 2, 10, 40), (at(6), at(10), 4, 4, 60, 100)]
    assert site.head.seq == 5


def test_late_reports_that_fit_exactly_close_their_gap() -> None:
    site = with_gap()
    assert accepted(site.send(payload(4, 7, 10, 10, 10, start=70)))
    assert accepted(site.send(payload(2, 1, 10, 10, 10, start=10)))
    assert shapes(site) == [(at(4), at(7), 3, 3, 40, 70)]
    assert accepted(site.send(payload(3, 4, 10, 10, 10, start=40)))
    assert shapes(site) == []


def test_a_late_report_that_leaves_time_leaves_a_gap_in_time() -> None:
    site = Site()
    site.send(payload(1, 0, 10))
    site.send(payload(3, 10, 10, start=100))
    assert accepted(site.send(payload(2, 1, 10, start=10)))
    assert shapes(site) == [(at(2), at(10), 3, 2, 20, 100)]


LATE: list[tuple[str, dict[str, Any]]] = [
    ("overlap", payload(3, 0, 10, start=40)),
    ("overlap", payload(3, 9, 10, 10, start=40)),
    ("overlap", payload(3, 20, 10, start=40)),
    ("registers-run-back", payload(3, 4, 10, start=9)),
    ("registers-run-back", payload(3, 4, 10, start=91)),
    ("registers-do-not-fit", payload(2, 1, 10, start=11)),
    ("registers-do-not-fit", payload(4, 9, 10, start=89)),
]


@pytest.mark.parametrize(("why", "document"), LATE)
def test_a_late_report_that_does_not_fit_its_gap_is_refused(
    why: str, document: dict[str, Any]
) -> None:
    site = with_gap()
    before = shapes(site)
    assert reason(site.send(document)) == why
    assert shapes(site) == before


def test_the_gap_before_the_first_report_has_no_lower_bound() -> None:
    site = Site()
    site.advance(at(96))
    assert accepted(site.send(payload(3, 2, 10, start=20)))
    assert shapes(site) == [(START, at(2), 1, 2, 0, 20)]
    assert accepted(site.send(payload(1, -40, 10)))
    assert shapes(site) == [(at(-39), at(2), 2, 2, 10, 20)]


def test_the_first_report_may_begin_above_the_registers_of_the_enrolment() -> None:
    site = Site()
    assert accepted(site.send(payload(1, 4, 10, start=50)))
    assert shapes(site) == [(START, at(4), 1, 0, 0, 50)]


def test_a_report_out_of_order_is_held_back_once() -> None:
    site = Site()
    site.send(payload(1, 0, 10))
    third = payload(3, 2, 10, start=20)
    held = site.send(third, hold=True)
    assert (held.outcome, reason(held)) == (Outcome.NOT_YET, "out-of-order")
    assert accepted(site.send(payload(2, 1, 10, start=10), hold=True))
    assert accepted(site.send(third, hold=True))
    assert shapes(site) == []


def test_more_gaps_than_a_head_holds_are_refused_until_one_is_closed() -> None:
    site = Site()
    site.advance(at(96))
    for number in range(GAPS_MAX):
        first = 2 * number + 1
        assert accepted(site.send(payload(2 * number + 2, first, 1, start=first)))
    late = payload(2 * GAPS_MAX + 2, 2 * GAPS_MAX + 1, 1, start=2 * GAPS_MAX + 1)
    assert len(site.head.gaps) == GAPS_MAX
    assert reason(site.send(late)) == "too-many-gaps"
    assert accepted(site.send(payload(3, 2, 1, start=2)))
    assert len(site.head.gaps) == GAPS_MAX - 1


def test_a_gap_that_nothing_can_fill_gives_way_to_a_new_one() -> None:
    site = Site()
    site.advance(at(2 * 96))
    for number in range(GAPS_MAX + 3):
        assert accepted(site.send(payload(number + 1, 2 * number, 1, start=number)))
    assert len(site.head.gaps) == GAPS_MAX
    assert site.head.gaps[0].from_at == at(5), "the oldest were forgotten"


# Laws.


@dataclass(frozen=True)
class Chain:
    """Valid reports of one meter, in order, and an order in which they come."""

    reports: list[dict[str, Any]]
    order: list[int]


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    reports, first, register = [], draw(st.integers(-8, 8)), 0
    for seq in range(1, draw(st.integers(1, 9)) + 1):
        if draw(st.booleans()):
            first += draw(st.integers(1, 3))
            register += draw(st.integers(0, 50))
        differences = draw(st.lists(st.integers(0, 500), min_size=1, max_size=4))
        reports.append(payload(seq, first, *differences, start=register))
        first, register = first + len(differences), register + sum(differences)
    indexes = list(range(len(reports)))
    order = draw(st.permutations(indexes)) + draw(st.lists(st.sampled_from(indexes), max_size=6))
    return Chain(reports, order)


@settings(max_examples=80, deadline=None)
@given(chains())
def test_any_order_accepts_each_report_once_and_ends_at_the_same_head(chain: Chain) -> None:
    in_order, shuffled = Site(), Site()
    for report in chain.reports:
        assert accepted(in_order.send(report))
    met: set[int] = set()
    for index in chain.order:
        verdict = shuffled.send(chain.reports[index])
        assert verdict.outcome is (Outcome.REPEATED if index in met else Outcome.ACCEPTED)
        met.add(index)
    assert shuffled.head == in_order.head
    assert shuffled.restarted().head == in_order.head


@settings(max_examples=80, deadline=None)
@given(chains(), st.data())
def test_accepted_energy_and_open_gaps_make_up_the_registers(
    chain: Chain, data: st.DataObject
) -> None:
    site = Site()
    came = data.draw(st.lists(st.sampled_from(chain.order), min_size=1))
    for index in came:
        site.send(chain.reports[index])
        readings = [recorded.fact for recorded in site.own("ReadingRecorded")]
        energy = sum(
            sum(fact.registers[0].differences_wh)
            for fact in readings
            if isinstance(fact, ReadingRecorded)
        )
        open_wh = sum(gap.after[0].value_wh - gap.before[0].value_wh for gap in site.head.gaps)
        assert energy + open_wh == site.head.registers[0].value_wh
        assert [gap.first_seq for gap in site.head.gaps] == sorted(
            gap.first_seq for gap in site.head.gaps
        )
