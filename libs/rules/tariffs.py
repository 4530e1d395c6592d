"""Which price of a tariff holds when, and what is prorated by local days. Pure.

A time-of-use tariff knows months, weekdays and weekends, and hours of the site's local clock. The
local time of an instant decides, so an hour that a clock lives through twice has one price both
times, and one that it leaps over has none. An interval belongs where it starts.

Source: domain rules, sections 4 and 5; docs/decisions/0005.
"""

from bisect import bisect_right
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from libs.events.pricing import (
    BUCKET_LETTERS,
    Bucket,
    MarketPrice,
    TariffPublished,
    TimeOfUse,
)
from libs.events.quantities import STROOPS_PER_UNIT
from libs.rules.numbers import scale

PPM: Final = 1_000_000
"""Parts of the whole."""

SLOTS: Final = 12 * 2 * 24
"""Kinds of local hours: each hour of a weekday and of a weekend day, for each month."""

Months = Sequence[tuple[int, int]]
"""For each calendar month the days that count and the days that it has: see `days_by_month`."""

Version = tuple[TariffPublished, str]
"""A version of a tariff, and the position where it stands."""

_DAY_HOURS: Final = 24
_SATURDAY: Final = 5


def slot_at(instant_s: int, zone: ZoneInfo) -> int:
    """The kind of local hour in which an instant lies, 0 to `SLOTS` - 1.

    Args:
        instant_s: Seconds since 1970.
        zone: The site's.
    """
    local = datetime.fromtimestamp(instant_s, tz=UTC).astimezone(zone)
    is_weekend = local.weekday() >= _SATURDAY
    return ((local.month - 1) * 2 + is_weekend) * _DAY_HOURS + local.hour


def bucket_table(prices: TimeOfUse) -> tuple[int, ...]:
    """The place of the bucket in `prices.buckets` for every kind of local hour."""
    return tuple(
        BUCKET_LETTERS.index(letter)
        for weekday, weekend in zip(prices.weekday, prices.weekend, strict=True)
        for hours in (weekday, weekend)
        for letter in hours
    )


def bucket_at(prices: TimeOfUse, instant_s: int, zone: ZoneInfo) -> Bucket:
    """The bucket that holds at an instant.

    Args:
        prices: The tariff.
        instant_s: Seconds since 1970.
        zone: The site's.
    """
    return prices.buckets[bucket_table(prices)[slot_at(instant_s, zone)]]


def version_at(versions: Sequence[Version], instant: datetime) -> Version | None:
    """The version of a tariff, of those given oldest first, that holds at an instant."""
    place = bisect_right(versions, instant, key=lambda each: each[0].effective_from)
    return versions[place - 1] if place else None


def market_ppm(market: MarketPrice, price_stroops_per_kwh: int) -> int:
    """What a feed's price comes to by a tariff, in ppm of stroops per kWh; never below zero."""
    return max(0, price_stroops_per_kwh * market.factor_ppm + market.add_stroops_per_kwh * PPM)


def prorated(amount: int, months: Months, numerator: int = 1, denominator: int = 1) -> int:
    """A monthly amount for some local days: the sum over months, each rounded once.

    Args:
        amount: The amount of a whole calendar month.
        months: Days that count and days of each month.
        numerator: By what it is converted, inside the same rounding.
        denominator: Over what.
    """
    return sum(scale(amount * numerator, days, of_month * denominator) for days, of_month in months)


def tier_parts(
    bucket: Bucket, months: Months, before_wh: int, energy_wh: int
) -> list[tuple[int, int]]:
    """Cut energy at the ends of a bucket's tiers.

    Args:
        bucket: The bucket.
        months: The period's local days by month; the ends of the tiers are prorated by them.
        before_wh: Energy of the period that filled the tiers already.
        energy_wh: Energy that comes on top of it.

    Returns:
        The tier, from 1, and its part of the energy, for each part above zero.
    """
    if len(bucket.tiers) == 1:
        return [(1, energy_wh)] if energy_wh else []
    parts: list[tuple[int, int]] = []
    at, until = before_wh, before_wh + energy_wh
    for number, tier in enumerate(bucket.tiers, 1):
        end = until if tier.up_to_wh is None else min(until, prorated(tier.up_to_wh, months))
        if end > at:
            parts.append((number, end - at))
            at = end
    return parts


def rate_scale(rate_stroops: int | None) -> tuple[int, int]:
    """Numerator and denominator by which an amount is converted; without a rate it stays."""
    return (1, 1) if rate_stroops is None else (rate_stroops, STROOPS_PER_UNIT)
