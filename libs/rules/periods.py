"""Billing periods, and spans of them, in the site's local time. Pure.

A period begins at a site-local midnight. Months are calendar months: the first one is what is left
of the month in which an agreement begins. Periods of 14 and 28 days are counted from the
agreement's first day. Where a clock is changed at midnight a local day begins at the first instant
that has its date, so days have 23, 24 or 25 hours and nothing is lost or counted twice.

Source: domain rules, sections 5 and 8.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from libs.events.invoicing import BillingPeriod

DAYS_OF: Final = {"14d": 14, "28d": 28}
"""Days of the periods that are no calendar months."""

_MONTHS: Final = 12


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time that one invoice covers."""

    name: str
    """Year and month, such as `2016-07`, or the first day, such as `2016-07-15`."""
    from_at: datetime
    """Start, UTC."""
    until_at: datetime
    """End, not included, UTC."""
    first_day: date
    """First local day."""
    next_day: date
    """First local day of the next period."""


def local_midnight(day: date, time_zone: str) -> datetime:
    """The instant at which a local day begins, in UTC."""
    zone = ZoneInfo(time_zone)
    begin = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    # Where the clock jumps over midnight, `begin` is still read as an hour of the day before.
    return begin if begin.astimezone(zone).date() >= day else begin + timedelta(hours=1)


def local_day(instant: datetime, time_zone: str) -> date:
    """The local day of an instant."""
    return instant.astimezone(ZoneInfo(time_zone)).date()


def period_from(day: date, kind: BillingPeriod, time_zone: str) -> Period:
    """The period that begins with a local day.

    Args:
        day: The agreement's first day, or the `next_day` of the period before.
        kind: What the agreement says.
        time_zone: The site's.
    """
    if kind == "month":
        next_day = date(day.year + day.month // _MONTHS, day.month % _MONTHS + 1, 1)
        name = f"{day.year:04}-{day.month:02}"
    else:
        next_day = day + timedelta(days=DAYS_OF[kind])
        name = day.isoformat()
    return Period(
        name, local_midnight(day, time_zone), local_midnight(next_day, time_zone), day, next_day
    )


def period_of(instant: datetime, kind: BillingPeriod, first_day: date, time_zone: str) -> Period:
    """The period of an agreement in which an instant lies.

    Args:
        instant: When; before the first day, the first period is given.
        kind: What the agreement says.
        first_day: The agreement's first day.
        time_zone: The site's.
    """
    day = max(local_day(instant, time_zone), first_day)
    if kind != "month":
        length = DAYS_OF[kind]
        day = first_day + timedelta(days=(day - first_day).days // length * length)
    else:
        day = max(day.replace(day=1), first_day)
    return period_from(day, kind, time_zone)


def later_by(instant: datetime, periods: int, kind: BillingPeriod, time_zone: str) -> datetime:
    """An instant some periods later, at the same local time of day.

    Args:
        instant: Such as the due time of an invoice.
        periods: How many, from 0.
        kind: Length of a period. A day that the later month lacks counts as that month's last.
        time_zone: The site's.
    """
    zone = ZoneInfo(time_zone)
    local = instant.astimezone(zone)
    if kind == "month":
        months = local.year * _MONTHS + local.month - 1 + periods
        year, month = divmod(months, _MONTHS)
        last = (date(year + (month + 1) // _MONTHS, (month + 1) % _MONTHS + 1, 1)) - timedelta(1)
        day = date(year, month + 1, min(local.day, last.day))
    else:
        day = local.date() + timedelta(days=DAYS_OF[kind] * periods)
    moved = datetime.combine(day, local.timetz().replace(tzinfo=None), tzinfo=zone)
    return moved.replace(fold=local.fold).astimezone(UTC)


def days_by_month(first_day: date, next_day: date) -> list[tuple[int, int]]:
    """The local days of a stretch by calendar month, for what is prorated.

    Returns:
        For each month the days that lie in the stretch, and the days that the month has.
    """
    parts: list[tuple[int, int]] = []
    day = first_day
    while day < next_day:
        following = date(day.year + day.month // _MONTHS, day.month % _MONTHS + 1, 1)
        parts.append(((min(following, next_day) - day).days, (following - day.replace(day=1)).days))
        day = following
    return parts
