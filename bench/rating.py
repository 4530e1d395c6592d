"""Rating against time-of-use prices, beside polars' bare multiply-and-sum of the same table.

Each agreement is a home alone on its roof. Rated together are the allocation, the bucket of every
interval by the site's local time, exact sums, tiers, and one rounding a line; that is what a tariff
for many homes costs. Bills one by one are the whole of `lines_of`, with its checked lines.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np

from bench.measure import Results, Row, Stopwatch
from libs.events.books import Terms
from libs.events.invoicing import NOTICE_S, AgreementOpened
from libs.events.pricing import Bucket, TariffPrices, TariffPublished, Tier, TimeOfUse
from libs.events.quantities import WH_PER_KWH
from libs.rules.fast_rating import Grid, Numbers, allocate_many, bucket_sums, local_slots
from libs.rules.numbers import scale
from libs.rules.periods import Period, days_by_month, period_from
from libs.rules.tariffs import bucket_table, tier_parts
from services.billing.lines import Priced, Usage, claims_of, lines_of
from services.billing.prices import MarketPrices

BAR: Final = 30.0
"""Times that polars needs, at most."""

TIMES: Final = 5
"""How often each is done; the best is what it takes."""

ZONE: Final = "America/Denver"
"""The site's time zone."""

SIGNED: Final = "a.b.c"
"""Stands for a signed command."""


@dataclass(frozen=True, slots=True)
class RatingSize:
    """How much is rated."""

    agreements: int
    """Number of agreements."""
    intervals: int
    """Rating intervals of each."""


@dataclass(frozen=True, slots=True)
class _Table:
    """What is rated."""

    period: Period
    grid: Grid
    generated: Numbers
    consumed: Numbers


def run(results: Results, size: RatingSize) -> None:
    """Measure polars, all agreements together, and their bills one by one."""
    table = _table(size)
    bare = min(_bare(table) for _ in range(TIMES))
    together, total = _best(table)
    one_by_one, billed = _bills(table)
    if total != billed:
        raise RuntimeError(f"together {total}, one by one {billed}")
    count = f"{size.agreements * size.intervals:,} intervals"
    results.add(Row("polars, bare multiply-and-sum", bare * 1e3, "ms"))
    row = Row(f"rating {count} by time of use", together * 1e3, "ms", together / bare)
    row.of, row.bar, row.at_most = "polars", BAR, True
    results.add(row)
    results.add(Row("... as bills, one by one", one_by_one * 1e3, "ms"))


def _table(size: RatingSize) -> _Table:
    period = period_from(datetime(2026, 7, 1, tzinfo=UTC).date(), "month", ZONE)
    grid = Grid(int(period.from_at.timestamp()), 900, size.intervals)
    random, shape = np.random.default_rng(5), (size.agreements, size.intervals)
    return _Table(period, grid, random.integers(0, 900, shape), random.integers(0, 900, shape))


def _bare(table: _Table) -> float:
    """Seconds of polars for the sum of energy x price, of the table as it is."""
    import polars as pl

    energy = np.minimum(table.generated, table.consumed).ravel()
    price = np.full(energy.shape, 2_000_000, np.int64)
    frame = pl.DataFrame({"energy_wh": energy, "price": price})
    watch = Stopwatch()
    frame.select((pl.col("energy_wh") * pl.col("price")).sum()).item()
    return watch.seconds


def _best(table: _Table) -> tuple[float, int]:
    best, total = float("inf"), 0
    for _ in range(TIMES):
        watch = Stopwatch()
        total = _together(table)
        best = min(best, watch.seconds)
    return best, total


def _together(table: _Table) -> int:
    """Rate all agreements at once; the sum of their lines in stroops."""
    prices, shape = tariff(), table.generated.shape
    flat = allocate_many(
        table.generated.ravel(),
        np.ones((1, table.generated.size), np.int64),
        table.consumed.reshape(1, -1),
    )
    buckets = np.array(bucket_table(prices), np.int64)[local_slots(table.grid, ZONE)]
    sums = bucket_sums(buckets, flat.own_use_wh.reshape(shape), len(prices.buckets))
    months = days_by_month(table.period.first_day, table.period.next_day)
    total = 0
    for row in sums.tolist():
        for bucket, energy_wh in zip(prices.buckets, row, strict=True):
            for tier, part_wh in tier_parts(bucket, months, 0, energy_wh):
                price = bucket.tiers[tier - 1].price_stroops_per_kwh
                total += scale(part_wh, price, WH_PER_KWH)
    return total


def _bills(table: _Table) -> tuple[float, int]:
    """Write the lines of every agreement; seconds, and their sum in stroops."""
    opened, versions = _agreement(), [(_published(), f"PRICES:1:{'0' * 32}")]
    claims = claims_of(opened, table.period)
    is_rated = np.ones(table.grid.count, np.bool_)
    total = 0
    watch = Stopwatch()
    for generated, consumed in zip(table.generated, table.consumed, strict=True):
        own = np.minimum(generated, consumed)
        usage = Usage(table.grid, is_rated, own, {}, generated, consumed)
        priced = Priced(versions, _no_market)
        total += lines_of(opened, table.period, usage, priced, claims).total_stroops
    return watch.seconds, total


def _no_market(feed: str) -> MarketPrices:
    raise LookupError(feed)


def tariff() -> TimeOfUse:
    """Three buckets, one of them with two tiers; a summer of four months."""
    day = "000000011111111122222000"
    winter = "000000011111111111111000"
    return TimeOfUse(
        buckets=(
            Bucket(name="night", tiers=(Tier(price_stroops_per_kwh=1_100_000),)),
            Bucket(
                name="day",
                tiers=(
                    Tier(price_stroops_per_kwh=1_900_000, up_to_wh=60_000),
                    Tier(price_stroops_per_kwh=2_300_000),
                ),
            ),
            Bucket(name="peak", tiers=(Tier(price_stroops_per_kwh=3_700_000),)),
        ),
        weekday=tuple(day if 6 <= month <= 9 else winter for month in range(1, 13)),  # noqa: PLR2004
        weekend=("0" * 24,) * 12,
    )


def _published() -> TariffPublished:
    return TariffPublished(
        tariff="t",
        version=1,
        asset="USD",
        prices=TariffPrices(time_of_use=tariff()),
        effective_from=datetime(2026, 1, 1, tzinfo=UTC),
        command=SIGNED,
    )


def _agreement() -> AgreementOpened:
    members: dict[str, Any] = {
        "agreement": "a",
        "holding": "h",
        "system": "s",
        "recipient": "r",
        "tariff": "t",
        "asset": "USD",
        "period": "month",
        "time_zone": ZONE,
        "first_day": "2026-07-01",
        "rating_interval_s": 900,
        "settlement_lag_s": int(timedelta(days=1).total_seconds()),
        "due_after_s": 0,
        "terms": Terms(return_ppm_year=0, minimum_payment_stroops=0),
        "grace_periods": 6,
        "notice_s": NOTICE_S,
        "command": SIGNED,
    }
    return AgreementOpened.model_validate(members)
