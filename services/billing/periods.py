"""Billing periods in the site's local time. Pure.

Source: domain rules, section 5: calendar months from site-local midnight.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time that one invoice covers."""

    name: str
    """Year and month, such as `2016-07`."""
    from_at: datetime
    """Start, UTC."""
    until_at: datetime
    """End, not included, UTC."""
    next_day: date
    """First local day of the next period."""


def local_midnight(day: date, time_zone: str) -> datetime:
    """The instant at which a local day begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


def month_from(day: date, time_zone: str) -> Period:
    """The part of a calendar month that begins with a local day."""
    next_day = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return Period(
        f"{day.year:04}-{day.month:02}",
        local_midnight(day, time_zone),
        local_midnight(next_day, time_zone),
        next_day,
    )
