"""The clock: aware, in UTC, and still when it is told to be."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from libs.runtime.clock import EPOCH, Clock, ManualClock, SystemClock


def test_the_machines_clock_is_aware_and_in_utc() -> None:
    clock: Clock = SystemClock()

    assert clock.now().tzinfo is UTC
    assert clock.monotonic() <= clock.monotonic()


def test_a_manual_clock_stands_still() -> None:
    clock: Clock = ManualClock()

    assert clock.now() == clock.now() == EPOCH


def test_advancing_moves_both_clocks_by_the_same() -> None:
    clock = ManualClock()
    clock.advance(1.5)

    assert clock.now() - EPOCH == timedelta(seconds=1.5)
    assert clock.monotonic() == 1.5


def test_a_jump_back_leaves_the_monotonic_seconds() -> None:
    clock = ManualClock()
    clock.advance(10)
    clock.jump(datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))

    assert clock.now() == datetime(2020, 1, 1, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() == 10


def test_naive_instants_and_negative_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        ManualClock(datetime(2025, 1, 1))  # noqa: DTZ001 - that is the point
    with pytest.raises(ValueError, match="0 seconds or more"):
        ManualClock().advance(-1)
