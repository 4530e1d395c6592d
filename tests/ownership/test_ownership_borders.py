"""Escalation and grace at every border, a second before, at it, and a second after."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.ownership.arithmetic import later_by
from tests.ownership.playing import World
from tests.ownership.scenes import DAY, UNIT, agreement, opened, pay, to, told, use, village

SECOND = timedelta(seconds=1)
ZONES = ("UTC", "Europe/Berlin", "Australia/Lord_Howe")
PERIODS = ("14d", "28d", "month")
STEPS = {
    "ReminderSent": 1,
    "AlertRaised": 2,
    "SternNoticeSent": 4,
    "SupplyDisconnected": 6,
}


def late_village(zone: str = "UTC", period: str = "14d", **contract: Any) -> tuple[World, datetime]:
    """A household that does not pay its first bill; it gives the world and the due time."""
    world = village(zone=zone, period=period, notice_s=0, **contract)
    use(world, 10)
    while not agreement(world).bills:
        world.advance(10 * DAY)
    (bill,) = agreement(world).bills.values()
    return world, bill.due_at


def border(due: datetime, periods: int, period: str, zone: str) -> datetime:
    return later_by(due, periods, period, zone)


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("zone", ZONES)
def test_each_step_is_taken_at_its_border_and_not_a_second_earlier(zone: str, period: str) -> None:
    world, due = late_village(zone, period)
    for name, periods in STEPS.items():
        at = border(due, periods, period, zone)
        to(world, at - SECOND)
        assert told(world, name) == []
        to(world, at)
        # "After" one period is strictly after; the others are reached at the instant itself.
        assert told(world, name) == ([] if periods == 1 else [name])
        to(world, at + SECOND)
        assert told(world, name) == [name]
    assert told(world, *STEPS) == list(STEPS)


@pytest.mark.parametrize("grace", [2, 3, 4, 5, 6])
def test_grace_ends_at_its_border(grace: int) -> None:
    world, due = late_village("Europe/Berlin", "month", grace=grace, offtaker="grid")
    at = border(due, grace, "month", "Europe/Berlin")
    to(world, at - SECOND)
    assert told(world, "SupplyDiverted") == []
    to(world, at)
    assert told(world, "SupplyDiverted") == ["SupplyDiverted"]
    pay(world, opened(world))
    assert told(world, "SupplyRestored") == ["SupplyRestored"]


def test_a_site_without_a_grid_is_not_diverted() -> None:
    world, due = late_village(grace=2)
    to(world, border(due, 7, "14d", "UTC"))
    assert told(world, "SupplyDiverted", "SupplyDisconnected") == ["SupplyDisconnected"]


@pytest.mark.parametrize(
    ("seconds", "count"), [(-1, 1), (0, 2), (1, 2)], ids=["before", "at", "after"]
)
def test_two_steps_are_never_closer_than_the_notice_time(seconds: int, count: int) -> None:
    world = village(notice_s=7 * 86_400)
    use(world, 10)
    while not agreement(world).bills:
        world.advance(10 * DAY)
    # Time jumps: by now two steps are reached, and the first one is told.
    to(world, world.now + 80 * DAY)
    names = ("ReminderSent", "AlertRaised", "SternNoticeSent")
    assert told(world, *names) == ["ReminderSent"]
    to(world, world.now + 7 * DAY + seconds * SECOND)
    assert len(told(world, *names)) == count


@pytest.mark.parametrize("left", [UNIT // 10, UNIT // 10 + 1], ids=["at the minimum", "above it"])
def test_who_owes_no_more_than_the_minimum_is_not_late(left: int) -> None:
    world, due = late_village()
    pay(world, opened(world) - left)
    to(world, border(due, 3, "14d", "UTC"))
    assert bool(told(world, "ReminderSent")) == (left > UNIT // 10)


@pytest.mark.parametrize("stretch", [timedelta(hours=5), 20 * DAY])
def test_an_outage_of_the_platform_moves_every_border_by_its_length(stretch: timedelta) -> None:
    """Time was announced for an hour later and came much later: the time between does not count."""
    world, due = late_village()
    to(world, due)
    world.advance(SECOND, cadence_s=3_600)
    world.advance(timedelta(hours=1) + stretch)
    at = border(due, 2, "14d", "UTC") + stretch
    to(world, at - SECOND)
    assert told(world, "AlertRaised") == []
    to(world, at)
    assert told(world, "AlertRaised") == ["AlertRaised"]


@pytest.mark.parametrize("over", [0, 1], ids=["no outage", "outage"])
def test_a_gap_is_an_outage_above_twice_the_cadence_and_a_minute(over: int) -> None:
    world, due = late_village()
    to(world, due)
    world.advance(SECOND, cadence_s=3_600)
    world.advance(timedelta(seconds=2 * 3_600 + 60 + over))
    assert bool(told(world, "ClockPaused")) == bool(over)
    assert bool(told(world, "ClockResumed")) == bool(over)
