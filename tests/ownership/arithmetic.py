"""Rounding and local time of the second model, written from the domain rules alone."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from functools import lru_cache
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
DAYS_OF = {"14d": 14, "28d": 28}


def scale(amount: int, numerator: int, denominator: int) -> int:
    """`round` of a fraction goes to the nearest integer, of two equally near to the even one."""
    return round(Fraction(amount * numerator, denominator))


def split(
    amount: int, weights: Mapping[str, int], key: Callable[[str], str] = str
) -> dict[str, int]:
    """Largest remainder; of equal remainders the one with the lower key gets one more."""
    total = sum(weights.values())
    if not amount:
        return dict.fromkeys(weights, 0)
    exact = {name: Fraction(amount * weight, total) for name, weight in weights.items()}
    parts = {name: share.numerator // share.denominator for name, share in exact.items()}
    order = sorted(weights, key=lambda name: (parts[name] - exact[name], key(name)))
    for name in order[: amount - sum(parts.values())]:
        parts[name] += 1
    return parts


def day_of(instant: datetime, zone: str) -> date:
    return instant.astimezone(ZoneInfo(zone)).date()


@lru_cache(maxsize=10_000)
def midnight(day: date, zone: str) -> datetime:
    """The first instant that has this local date, or a later one: looked for by quarter hours."""
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) - DAY
    while day_of(instant, zone) < day:
        instant += timedelta(minutes=15)
    return instant


def next_midnight(instant: datetime, zone: str) -> datetime:
    """The first local midnight after an instant."""
    day = day_of(instant, zone)
    while midnight(day, zone) <= instant:
        day += DAY
    return midnight(day, zone)


def next_month(day: date) -> date:
    """The first of the month after."""
    day = day.replace(day=28)
    while day.day != 1:
        day += DAY
    return day


def period_end(first: date, kind: str) -> date:
    """The first day after the period that begins with a day."""
    return next_month(first) if kind == "month" else first + DAYS_OF[kind] * DAY


def period_name(agreement: str, first: date, kind: str) -> str:
    return f"{agreement}-{first.isoformat()[:7]}" if kind == "month" else f"{agreement}-{first}"


def later_by(instant: datetime, periods: int, kind: str, zone: str) -> datetime:
    """The same local time of day some periods later; a day that a month lacks is its last."""
    local = instant.astimezone(ZoneInfo(zone))
    day = local.date()
    if kind == "month":
        wanted = day.day
        day = day.replace(day=1)
        for _ in range(periods):
            day = next_month(day)
        last = (next_month(day) - DAY).day
        day = day.replace(day=min(wanted, last))
    else:
        day += periods * DAYS_OF[kind] * DAY
    moved = local.replace(year=day.year, month=day.month, day=day.day)
    return moved.astimezone(UTC)


def prorated(
    amount: int, first: date, end: date, counts: Callable[[date], bool] = lambda _: True
) -> int:
    """An amount a calendar month for the local days that count: rounded once for every month."""
    days: dict[date, int] = {}
    while first < end:
        days[first.replace(day=1)] = days.get(first.replace(day=1), 0) + counts(first)
        first += DAY
    return sum(scale(amount, n, (next_month(m) - m).days) for m, n in days.items())
