"""When the clock of lateness stands still: pauses, outages, and what they take from a lateness."""

import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.billing_commands import PauseClock, ResumeClock
from libs.events.command import Body
from libs.events.dunning import ClockPaused, ClockResumed
from libs.events.fact import Fact
from libs.events.timekeeping import TimeAdvanced
from libs.runtime.failures import HeliographError
from services.billing.clock import NEVER, Span, outside, reached_at, union
from tests.billing.lateness_world import LEDGER, READINGS, SECOND, World
from tests.histories import ANY_COMMAND_SIGNED, START

DAY = timedelta(days=1)
LATE = START + 14 * DAY + SECOND
"""When an invoice that was due at `START` is late, if no clock ever stands still."""


def pause(world: World, name: str, agreement: str | None = None, by: str = "boss") -> list[Fact]:
    body = PauseClock(pause=name, agreement=agreement, cause="storm")
    return world.stage.when(by, f"pause-{name}", body)


def resume(world: World, name: str, by: str = "boss") -> list[Fact]:
    return world.stage.when(by, f"resume-{name}", ResumeClock(pause=name))


def comes_at(world: World, at: datetime) -> bool:
    """Whether the next steps come at an instant and not a second before."""
    return world.steps(at - SECOND) == [] and world.steps(at) != []


# Pauses


@pytest.mark.parametrize("agreement", [None, "agr"])
def test_a_pause_is_subtracted_to_the_second(agreement: str | None) -> None:
    world = World()
    world.issue(START)
    world.to(START + 3 * DAY)
    (paused,) = pause(world, "p", agreement)
    world.to(START + 5 * DAY + 7 * SECOND)
    (resumed,) = resume(world, "p")
    assert isinstance(paused, ClockPaused)
    assert paused.from_at == START + 3 * DAY
    assert isinstance(resumed, ClockResumed)
    assert (resumed.agreement, resumed.cause) == (agreement, "storm")
    assert (resumed.from_at, resumed.until_at) == (
        START + 3 * DAY,
        START + 5 * DAY + 7 * SECOND,
    )
    assert comes_at(world, LATE + 2 * DAY + 7 * SECOND)


def test_a_pause_that_runs_stops_everything_and_its_end_lets_it_go_on() -> None:
    world = World()
    world.issue(START)
    world.to(START + 13 * DAY)
    pause(world, "p")
    assert world.steps(START + 500 * DAY) == []
    resume(world, "p")
    assert comes_at(world, LATE + 487 * DAY)


def test_a_step_that_only_waits_for_its_notice_waits_for_a_pause_too() -> None:
    world = World()
    world.issue(START)
    assert world.steps(START + 60 * DAY) == ["ReminderSent"]
    pause(world, "p")
    assert world.steps(START + 70 * DAY) == []
    resume(world, "p")
    assert world.late_facts(world.stage.follow_up()) != []


def test_pauses_that_overlap_count_once() -> None:
    world = World()
    world.issue(START)
    world.to(START + 2 * DAY)
    pause(world, "all")
    world.to(START + 4 * DAY)
    pause(world, "mine", "agr")
    world.to(START + 6 * DAY)
    resume(world, "all")
    world.to(START + 9 * DAY)
    resume(world, "mine")
    assert comes_at(world, LATE + 7 * DAY)


def test_a_pause_of_another_agreement_or_from_before_the_due_time_counts_for_nothing() -> None:
    world = World("agr", "two")
    world.issue(START + 5 * DAY)
    world.to(START + 2 * DAY)
    pause(world, "early")
    world.to(START + 4 * DAY)
    resume(world, "early")
    world.to(START + 6 * DAY)
    pause(world, "other", "two")
    assert comes_at(world, LATE + 5 * DAY)


def test_of_a_pause_that_began_before_the_due_time_only_the_rest_counts() -> None:
    world = World()
    world.issue(START + 5 * DAY)
    world.to(START + 2 * DAY)
    pause(world, "p")
    world.to(START + 6 * DAY)
    resume(world, "p")
    assert comes_at(world, LATE + 6 * DAY)


def test_nothing_is_decided_in_the_first_second_of_a_pause() -> None:
    world = World()
    world.issue(START)
    world.now = world.stage.now = LATE
    world.add(*world.history.advance(LATE, READINGS, cadence_s=10**9))
    pause(world, "p")
    world.add(world.history.reach(LEDGER, LATE))
    assert world.late_facts(world.stage.follow_up()) == []
    world.to(LATE + DAY)
    resume(world, "p")
    assert world.late_facts(world.stage.follow_up()) != []


@pytest.mark.parametrize(
    ("member", "body", "code"),
    [
        ("home", PauseClock(pause="q", cause="storm"), "wrong-role"),
        ("boss", PauseClock(pause="p", cause="storm"), "pause-exists"),
        ("boss", PauseClock(pause="over", cause="storm"), "pause-exists"),
        ("boss", PauseClock(pause="outage-x", cause="storm"), "id-reserved"),
        ("boss", PauseClock(pause="q", agreement="no", cause="storm"), "unknown-agreement"),
        ("home", ResumeClock(pause="p"), "wrong-role"),
        ("boss", ResumeClock(pause="q"), "unknown-pause"),
        ("boss", ResumeClock(pause="over"), "pause-ended"),
    ],
)
def test_what_no_approver_may_say_of_the_clock_is_refused(
    member: str, body: Body, code: str
) -> None:
    world = World()
    pause(world, "p")
    pause(world, "over")
    resume(world, "over")
    before = len(world.history.facts)
    with pytest.raises(HeliographError) as refused:
        world.stage.when(member, "x", body)
    assert refused.value.code == code
    assert len(world.history.facts) == before


# Outages


def tick(world: World, seconds: int, cadence_s: int, *, played: bool = False) -> list[Fact]:
    """Time goes on by itself, or a player lets it."""
    world.now = world.stage.now = world.now + timedelta(seconds=seconds)
    command = ANY_COMMAND_SIGNED if played else None
    fact = TimeAdvanced(to=world.now, cadence_s=cadence_s, command=command)
    world.add(world.history.record("PRICES", "time", fact, time=world.now))
    world.add(*(world.history.reach(name, world.now) for name in (READINGS, LEDGER)))
    return world.late_facts(world.stage.follow_up())


@pytest.mark.parametrize(("silent_s", "is_outage"), [(2 * 600 + 60, False), (2 * 600 + 61, True)])
def test_a_silent_clock_is_an_outage_from_the_time_that_it_had_announced(
    silent_s: int, is_outage: bool
) -> None:
    world = World()
    world.issue(START)
    assert tick(world, 600, 600) == []
    facts = tick(world, silent_s, 5)
    if not is_outage:
        assert facts == []
        return
    paused, resumed = facts
    assert isinstance(paused, ClockPaused)
    assert isinstance(resumed, ClockResumed)
    assert paused.cause == resumed.cause == "platform-outage"
    assert (resumed.from_at, resumed.until_at) == (START + 1_200 * SECOND, world.now)
    assert (paused.agreement, paused.command, resumed.command) == (None, None, None)
    tick(world, 1, 10**9)
    assert comes_at(world, LATE + (silent_s - 600) * SECOND)


def test_an_outage_is_written_down_once_also_after_a_restart() -> None:
    world = World()
    tick(world, 600, 600)
    assert len(tick(world, 86_400, 600)) == 2
    world.restart(random.Random(3))
    assert world.late_facts(world.stage.follow_up()) == []


def test_an_outage_that_nobody_has_written_down_is_found_after_a_restart() -> None:
    world = World()
    tick(world, 600, 600)
    world.now += DAY
    fact = TimeAdvanced(to=world.now, cadence_s=600)
    world.history.record("PRICES", "time", fact, time=world.now)
    world.restart(random.Random(3))
    facts = world.late_facts(world.stage.follow_up())
    assert [type(each) for each in facts] == [ClockPaused, ClockResumed]


@pytest.mark.parametrize("played", [(True, True), (False, True), (True, False)])
def test_played_time_has_no_outage(played: tuple[bool, bool]) -> None:
    world = World()
    assert tick(world, 600, 600, played=played[0]) == []
    assert tick(world, 86_400, 600, played=played[1]) == []


def test_seven_periods_without_a_clock_make_nobody_late() -> None:
    world = World()
    world.issue(START)
    tick(world, 600, 600)
    facts = tick(world, 7 * 14 * 86_400, 600)
    assert [type(each) for each in facts] == [ClockPaused, ClockResumed]


# Arithmetic

INSTANTS = st.integers(0, 15)
SPANS = st.lists(st.tuples(INSTANTS, INSTANTS), max_size=6)


def _at(number: int) -> datetime:
    return START + number * SECOND


def _spans(numbers: list[tuple[int, int]]) -> list[Span]:
    return [(_at(begin), _at(end)) for begin, end in numbers]


@given(numbers=SPANS, since=INSTANTS, length=st.integers(1, 15))
def test_a_clock_shows_what_a_count_of_its_seconds_says(
    numbers: list[tuple[int, int]], since: int, length: int
) -> None:
    reached = reached_at(_at(since), _at(since + length), union(_spans(numbers)))
    ran = now = 0
    while ran < length:
        ran += not any(begin <= since + now < end for begin, end in numbers)
        now += 1
    assert reached == _at(since + now)


@given(numbers=SPANS, instant=INSTANTS)
def test_outside_is_the_next_second_in_which_the_clock_goes(
    numbers: list[tuple[int, int]], instant: int
) -> None:
    found = outside(_at(instant), union(_spans(numbers)))
    while any(begin <= instant < end for begin, end in numbers):
        instant += 1
    assert found == _at(instant)


def test_a_stop_without_an_end_has_no_instant_behind_it() -> None:
    stops = union([(_at(5), NEVER), (_at(2), _at(3))])
    assert reached_at(_at(0), _at(5), stops) == NEVER
    assert reached_at(_at(0), _at(4), stops) == _at(5)
    assert outside(_at(7), stops) == NEVER
