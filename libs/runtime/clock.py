"""The only place that reads the wall clock.

Domain time never comes from here: it comes from `TimeAdvanced` facts. This clock serves logs,
logins, timeouts and health. It must never decide about energy, money or ownership.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

EPOCH: Final = datetime(2025, 1, 1, tzinfo=UTC)
"""Where a `ManualClock` starts unless told otherwise."""


class Clock(Protocol):
    """Tells the time to whoever was handed one."""

    def now(self) -> datetime:
        """Return the wall-clock instant, aware, in UTC. It may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start, which never run back; only differences count."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """Return the machine's wall-clock instant, aware, in UTC."""
        return datetime.now(UTC)  # noqa: TID251 - this is the one place

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is told to move, for tests."""

    def __init__(self, start: datetime = EPOCH) -> None:
        """Start at an instant.

        Args:
            start: The first instant, aware. Kept in UTC.

        Raises:
            ValueError: The instant is naive.
        """
        self._now = _in_utc(start)
        self._monotonic = 0.0

    def now(self) -> datetime:
        """Return the instant last set, aware, in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds advanced since the start."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move both clocks on.

        Args:
            seconds: Seconds, 0 or more.

        Raises:
            ValueError: The seconds are negative.
        """
        if seconds < 0:
            raise ValueError("A clock is advanced by 0 seconds or more.")
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def jump(self, to: datetime) -> None:
        """Set the wall clock, backwards too, as a correction of the machine's time would.

        The monotonic seconds stay.

        Args:
            to: The new instant, aware.

        Raises:
            ValueError: The instant is naive.
        """
        self._now = _in_utc(to)


def _in_utc(instant: datetime) -> datetime:
    if instant.tzinfo is None:
        raise ValueError("An instant needs a time zone.")
    return instant.astimezone(UTC)
