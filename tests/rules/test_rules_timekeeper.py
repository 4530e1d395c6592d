"""How a writer follows time: it says that it reached a time once all it waits for have."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.positions import write_cause
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.rules.timekeeper import Timekeeper
from tests.histories import START, History
from tools.examples import examples

OWN, READINGS, METERS = "BILLING_valley", "READINGS_0", "METERS_0"


def hour(number: int) -> datetime:
    return START + timedelta(hours=number)


class World:
    """A timekeeper and the streams that it reads."""

    def __init__(self, *waits_for: str, follows: tuple[str, ...] = ()) -> None:
        self.keeper = Timekeeper(OWN, waits_for, follows)
        self.history = History()

    def advance(self, to: datetime) -> Recorded[Fact]:
        return self.fold(self.history.advance(to)[0])

    def reach(self, stream: str, to: datetime, seen: str = "") -> Recorded[Fact]:
        fact = TimeReached(to=to)
        return self.fold(self.history.record(stream, "time", fact, time=to, seen=seen))

    def fold(self, recorded: Recorded[Fact]) -> Recorded[Fact]:
        self.keeper.evolve(recorded)
        return recorded

    def say(self) -> datetime | None:
        """Record what is due, and give its time."""
        drafts = self.keeper.due()
        if not drafts:
            return None
        fact = drafts[0].fact
        assert isinstance(fact, TimeReached)
        self.reach(OWN, fact.to)
        return fact.to


def test_without_any_time_nothing_is_due() -> None:
    world = World()

    assert (world.keeper.now, world.keeper.common) == (None, None)
    assert world.keeper.due() == ()


def test_who_waits_for_nobody_reaches_every_time_at_once() -> None:
    world = World()
    advanced = world.advance(hour(1))

    assert world.keeper.now == world.keeper.common == hour(1)
    assert world.keeper.due() == (
        Draft(
            "time",
            TimeReached(to=hour(1)),
            "time.2026-06-01T01:00:00Z",
            hour(1),
            write_cause(advanced.position, advanced.envelope.id),
        ),
    )


def test_a_time_is_reached_once() -> None:
    world = World()
    world.advance(hour(1))

    assert [world.say(), world.say()] == [hour(1), None]
    world.advance(hour(2))
    assert [world.say(), world.say()] == [hour(2), None]


def test_of_several_times_the_newest_is_said() -> None:
    world = World()
    for number in (1, 2, 3):
        world.advance(hour(number))

    assert [world.say(), world.say()] == [hour(3), None]


def test_nobody_reaches_a_time_before_those_he_waits_for() -> None:
    world = World(READINGS, "READINGS_1")
    world.advance(hour(1))
    assert (world.keeper.common, world.say()) == (None, None)

    world.reach(READINGS, hour(1))
    assert (world.keeper.common, world.say()) == (None, None)
    world.reach("READINGS_1", hour(1))
    assert (world.keeper.common, world.say()) == (hour(1), hour(1))


def test_the_slowest_of_them_decides() -> None:
    world = World(READINGS, "READINGS_1")
    for number in (1, 2, 3):
        world.advance(hour(number))
    world.reach(READINGS, hour(3))
    world.reach("READINGS_1", hour(2))

    assert world.keeper.common == hour(2)
    assert [world.say(), world.say()] == [hour(2), None]
    world.reach("READINGS_1", hour(3))
    assert [world.say(), world.say()] == [hour(3), None]


def test_a_reached_time_counts_only_once_the_time_itself_was_read() -> None:
    world = World(READINGS)
    world.reach(READINGS, hour(1))

    assert (world.keeper.common, world.say()) == (None, None)
    world.advance(hour(1))
    assert world.say() == hour(1)


def test_an_other_stream_that_nobody_waits_for_changes_nothing() -> None:
    world = World(READINGS)
    world.advance(hour(1))
    world.reach("LEDGER_valley", hour(1))

    assert (world.keeper.common, world.say()) == (None, None)


def test_what_those_had_seen_is_read_first() -> None:
    world = World(READINGS, follows=(METERS,))
    world.advance(hour(1))
    world.reach(READINGS, hour(1), seen=f"{METERS}:2:{'a' * 32} PRICES:1:{'b' * 32}")
    assert (world.keeper.common, world.say()) == (None, None)

    world.fold(enrolment(world.history))
    assert (world.keeper.common, world.say()) == (None, None)
    world.fold(enrolment(world.history))
    assert (world.keeper.common, world.say()) == (hour(1), hour(1))


def test_streams_that_are_not_followed_in_full_are_not_waited_for() -> None:
    world = World(READINGS)
    world.advance(hour(1))
    world.reach(READINGS, hour(1), seen=f"{METERS}:2:{'a' * 32}")

    assert world.say() == hour(1)


def enrolment(history: History) -> Recorded[Fact]:
    fact = next(each.fact for each in examples() if each.stream == METERS)
    return history.record(METERS, "raul-load", fact)


def test_a_restart_goes_on_where_the_stream_ended() -> None:
    world = World(READINGS)
    for number in (1, 2):
        world.advance(hour(number))
        world.reach(READINGS, hour(number))
        world.say()
    world.advance(hour(3))
    again = Timekeeper(OWN, (READINGS,))
    for recorded in sorted(world.history.facts, key=lambda fact: fact.stream != OWN):
        again.evolve(recorded)

    assert again.common == hour(2)
    assert again.due() == ()
    again.evolve(world.history.reach(READINGS, hour(3)))
    assert [draft.time for draft in again.due()] == [hour(3)]


@pytest.mark.parametrize("reached", [0, 1, 2])
def test_a_restart_after_a_loss_says_what_was_not_said_yet(reached: int) -> None:
    history = History()
    facts = [history.reach(OWN, hour(number)) for number in range(1, reached + 1)]
    facts += [history.advance(hour(number))[0] for number in (1, 2, 3)]
    keeper = Timekeeper(OWN, ())
    for recorded in facts:
        keeper.evolve(recorded)

    assert [draft.time for draft in keeper.due()] == [hour(3)]


@settings(max_examples=60)
@given(st.permutations(["PRICES"] * 4 + [READINGS] * 4 + [METERS] * 3))
def test_the_order_in_which_streams_arrive_cannot_matter(order: list[str]) -> None:
    history = History()
    waiting: dict[str, list[Recorded[Fact]]] = {"PRICES": [], READINGS: [], METERS: []}
    for number in (1, 2, 3, 4):
        waiting["PRICES"] += history.advance(hour(number))
        if number < 4:
            waiting[METERS].append(enrolment(history))
        waiting[READINGS].append(history.reach(READINGS, hour(number)))
    keeper = Timekeeper(OWN, (READINGS,), follows=(METERS,))
    read = dict.fromkeys(waiting, 0)
    said: list[datetime] = []
    for stream in order:
        keeper.evolve(waiting[stream][read[stream]])
        read[stream] += 1
        for draft in keeper.due():
            number = int((draft.time - START) / timedelta(hours=1))
            assert min(read["PRICES"], read[READINGS]) >= number
            assert read[METERS] >= min(number, 3)
            keeper.evolve(history.reach(OWN, draft.time))
            said.append(draft.time)
        assert keeper.due() == ()

    assert said == sorted(set(said))
    assert said[-1] == hour(4)
    assert keeper.common == keeper.now == hour(4)


def test_a_time_that_was_advanced_is_known_by_its_last_fact() -> None:
    world = World()
    world.advance(hour(1))
    advanced = world.advance(hour(2))

    assert isinstance(advanced.fact, TimeAdvanced)
    assert world.keeper.now == advanced.fact.to
    assert world.keeper.due()[0].cause == write_cause(advanced.position, advanced.envelope.id)
