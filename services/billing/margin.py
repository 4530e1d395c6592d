"""Whether an agreement can repay: its energy must be worth more than the return of a year. Pure.

Source: domain rules, section 6; docs/decisions/0005.
"""

from datetime import datetime
from fractions import Fraction
from typing import Final
from zoneinfo import ZoneInfo

from libs.events.billing_commands import OpenAgreement
from libs.events.pricing import MarketPrice, TariffPublished
from libs.events.quantities import STROOPS_PER_UNIT, WH_PER_KWH, as_date
from libs.events.systems import SystemProposed
from libs.rules.periods import local_midnight
from libs.rules.tariffs import PPM, bucket_table, market_ppm, slot_at, version_at
from libs.runtime.failures import Refused
from services.billing.prices import Prices

HOUR_S: Final = 3_600
"""Seconds of an hour: the mean price is one of hours."""

YEAR_S: Final = 365 * 86_400
"""Seconds of the first year."""


def check_margin(
    prices: Prices, body: OpenAgreement, system: SystemProposed, principal_stroops: int
) -> None:
    """Refuse an agreement whose expected energy does not exceed its return.

    Args:
        prices: Tariffs, feeds and rates.
        body: The command.
        system: The system.
        principal_stroops: What is still to be repaid of the holding.

    Raises:
        Refused: Codes `expected-energy-missing` and `no-return-margin`.
    """
    rate_ppm = system.terms.return_ppm_year
    if not rate_ppm:
        return
    if body.expected_wh_year is None:
        raise Refused(
            "expected-energy-missing",
            "where there is a return, the expected own use of a year is named",
            field="body.expected_wh_year",
        )
    begins_at = local_midnight(as_date(body.first_day), system.time_zone)
    price = mean_price(prices, body, system, begins_at)
    worth = body.expected_wh_year * price / WH_PER_KWH
    if worth * PPM <= principal_stroops * rate_ppm:
        raise Refused(
            "no-return-margin",
            f"the energy of a year is worth {int(worth)} stroops; it must be more than "
            f"principal x return, {principal_stroops * rate_ppm // PPM} stroops a year",
            field="body.expected_wh_year",
        )


def mean_price(
    prices: Prices, body: OpenAgreement, system: SystemProposed, begins_at: datetime
) -> Fraction:
    """The mean price of the hours of a year, in stroops of the system's asset per kWh.

    Of a bucket the first tier counts; of a market price the mean of all that was published, or
    nothing while there is none.
    """
    versions, zone = prices.versions(body.tariff), ZoneInfo(system.time_zone)
    first = int(begins_at.timestamp())
    hours_of: dict[int, list[int]] = {}
    for start in range(first, first + YEAR_S, HOUR_S):
        found = version_at(versions, datetime.fromtimestamp(start, tz=begins_at.tzinfo))
        assert found is not None, "the tariff holds from the first day on"
        hours_of.setdefault(found[0].version, []).append(start)
    total = Fraction(0)
    for version, _ in versions:
        starts = hours_of.get(version.version, [])
        if starts:
            rate = _rate(prices, body, version, system)
            total += rate * _sum_of_hours(prices, version, starts, zone)
    return total / (YEAR_S // HOUR_S)


def _rate(
    prices: Prices, body: OpenAgreement, version: TariffPublished, system: SystemProposed
) -> Fraction:
    """By what a price is converted; nothing while no rate was published."""
    if version.asset == system.asset:
        return Fraction(1)
    rate = prices.last_rate(body.rate_feed or "")
    return Fraction(0) if rate is None else Fraction(rate.stroops, STROOPS_PER_UNIT)


def _sum_of_hours(
    prices: Prices, version: TariffPublished, starts: list[int], zone: ZoneInfo
) -> Fraction:
    said = version.prices
    if said.price_stroops_per_kwh is not None:
        return Fraction(said.price_stroops_per_kwh * len(starts))
    if said.time_of_use is not None:
        table = bucket_table(said.time_of_use)
        first = [bucket.tiers[0].price_stroops_per_kwh for bucket in said.time_of_use.buckets]
        return Fraction(sum(first[table[slot_at(start, zone)]] for start in starts))
    assert said.market is not None, "a tariff is fixed, by time of use or of a market"
    return _market_mean(prices, said.market) * len(starts)


def _market_mean(prices: Prices, market: MarketPrice) -> Fraction:
    """The mean of all that a feed published, by time."""
    published = prices.published(market.feed).values()
    seconds = sum(step for step, _ in published)
    if not seconds:
        return Fraction(0)
    return Fraction(
        sum(step * market_ppm(market, price) for step, price in published), PPM * seconds
    )
