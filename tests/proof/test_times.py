"""Which facts count: before their stream reached a time, and not 35 days behind their interval."""

from datetime import UTC, datetime, timedelta

import pytest

from libs.events.envelope import Draft, Recorded, record
from libs.events.fact import Fact
from libs.events.timekeeping import TimeReached
from libs.proof.errors import ProofFailed
from libs.proof.times import AsOf, Time, Times

BEGIN = datetime(2016, 7, 1, tzinfo=UTC)
STREAM = "READINGS_0"
EVERY = 10
"""Between two times stand nine other facts."""


def day(number: int) -> datetime:
    return BEGIN + timedelta(days=number)


def reached(number: int) -> Time:
    """The stream reached the start of a day, as its fact `EVERY` x `number`."""
    fact = TimeReached(to=day(number))
    made: Recorded[Fact] = record(
        Draft("time", fact, f"time.{number}", day(number)),
        deployment="demo",
        stream=STREAM,
        sequence=EVERY * number,
        n=number,
        cause="- clock",
        seen="",
    )
    return Recorded(made.stream, made.sequence, made.envelope, fact, made.data)


def times(*numbers: int) -> tuple[Times, set[int]]:
    """What a file knows that holds some days, and which of them an answer rested on."""
    used: set[int] = set()
    return Times(map(reached, numbers), lambda each: used.add(each.sequence // EVERY)), used


def test_the_place_rests_on_the_first_time_and_the_one_before() -> None:
    known, used = times(*range(1, 9))
    assert known.place(STREAM, day(4)) == 40
    assert known.place(STREAM, day(4) + timedelta(hours=1)) == 50
    assert used == {3, 4, 5}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((1, 2, 3), "did not reach 2016-07-05"),
        ((4, 5), "is missing"),
        ((2, 4), "is missing"),
        ((), "did not reach"),
    ],
)
def test_a_time_that_is_left_out_is_missed(numbers: tuple[int, ...], message: str) -> None:
    known, _ = times(*numbers)
    with pytest.raises(ProofFailed, match=message) as refused:
        known.place(STREAM, day(4))
    assert refused.value.step == 9


def at(sequence: int) -> Recorded[Fact]:
    made = reached(1)
    return Recorded(STREAM, sequence, made.envelope, made.fact, made.data)


@pytest.mark.parametrize(
    ("sequence", "first_day", "counts"),
    [
        (19, -60, True),  # before the first bill was final, however old
        (21, 0, True),
        (349, 0, True),  # the stream had reached day 34
        (351, 0, False),  # it had gone 35 days beyond
        (359, 1, True),
        (361, 1, False),
        (399, 20, True),
        (400, 39, False),  # behind the cut-off
    ],
)
def test_what_came_late_counts_for_35_days(sequence: int, first_day: int, counts: bool) -> None:
    known, _ = times(*range(1, 50))
    as_of = AsOf(known, final_at=day(2), at=day(40))
    assert as_of.counts(at(sequence), day(first_day)) is counts


def test_a_first_bill_looks_at_its_cutoff_alone() -> None:
    known, used = times(1, 2)
    as_of = AsOf(known, final_at=day(2), at=day(2))
    assert as_of.counts(at(19), day(-60))
    assert not as_of.counts(at(20), day(1))
    assert used == {1, 2}


def test_a_late_fact_needs_the_times_around_it() -> None:
    known, _ = times(1, 2, 36, 39, 40)
    with pytest.raises(ProofFailed, match="around READINGS_0 371 is missing"):
        AsOf(known, final_at=day(2), at=day(40)).counts(at(371), day(0))
