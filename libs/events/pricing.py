"""Facts of the oracle about prices: feeds, observations, tariffs, rates.

A tariff is fixed, by time of use (the shape of OpenEI's utility rate database), or follows a feed
of market prices. Its versions hold one after the other, without gap and overlap.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from libs.events.fact import Fact, Strict, fact
from libs.events.ids import HashHex, Id, Reference
from libs.events.metering import SignedText
from libs.events.positions import PositionText
from libs.events.quantities import (
    AmountStroops,
    Count,
    DurationS,
    Instant,
    Ordinal,
    PositiveWh,
    Ppm,
    PriceChangeStroopsPerKwh,
    PriceStroopsPerKwh,
)
from libs.events.subjects import PRICES

Asset = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9]{1,12}(?::G[A-Z2-7]{55})?$")
]
"""Code of an asset, and `:` and its issuer when it lives on Stellar; book money has a code only."""

BUCKETS_MAX = 36
"""Most buckets of a time-of-use tariff: each has one digit or letter in a schedule."""

TIERS_MAX = 10
"""Most tiers of a bucket."""

OBSERVED_MAX = 200
"""Most values of one observation: two days of quarters of an hour and a little more."""

SOURCES_MAX = 20
"""Most sources of a feed."""

BUCKET_LETTERS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""How a schedule names a bucket: its place in the list, in one letter."""

ScheduleHours = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-z]{24}$")]
"""24 letters, one per local hour: the bucket that holds."""

Schedule = Annotated[tuple[ScheduleHours, ...], Field(min_length=12, max_length=12)]
"""The hours of a day for each month, January first."""


class Tier(Strict):
    """A price up to an amount of energy in a calendar month."""

    price_stroops_per_kwh: PriceStroopsPerKwh
    """Price in stroops per kWh."""
    up_to_wh: PositiveWh | None = None
    """Where the tier ends, in Wh a calendar month, prorated by local days; absent: no end."""


class Bucket(Strict):
    """What energy costs at some hours."""

    name: Id
    """Its name on the bill, such as `peak`."""
    tiers: Annotated[tuple[Tier, ...], Field(min_length=1, max_length=TIERS_MAX)]
    """Its tiers, the cheapest amount first; the last has no end."""

    @model_validator(mode="after")
    def _check(self) -> "Bucket":
        ends = [tier.up_to_wh for tier in self.tiers]
        if ends[-1] is not None or None in ends[:-1]:
            raise ValueError("tiers: the last tier, and no other, has no end (up_to_wh)")
        known = [end for end in ends if end is not None]
        if known != sorted(set(known)):
            raise ValueError("tiers: each ends above the one before (up_to_wh)")
        return self


class TimeOfUse(Strict):
    """Prices by month, kind of day and local hour."""

    buckets: Annotated[tuple[Bucket, ...], Field(min_length=1, max_length=BUCKETS_MAX)]
    """The prices."""
    weekday: Schedule
    """Which bucket holds when, Monday to Friday."""
    weekend: Schedule
    """Which bucket holds when, Saturday and Sunday."""

    @model_validator(mode="after")
    def _check(self) -> "TimeOfUse":
        if len({bucket.name for bucket in self.buckets}) != len(self.buckets):
            raise ValueError("buckets: each name stands once")
        known = set(BUCKET_LETTERS[: len(self.buckets)])
        for name, schedule in (("weekday", self.weekday), ("weekend", self.weekend)):
            if not set("".join(schedule)) <= known:
                raise ValueError(f"{name}: a gap in the tariff: an hour names no bucket")
        return self


class MarketPrice(Strict):
    """A price that follows a feed."""

    feed: Id
    """The feed of prices."""
    factor_ppm: Ppm = 1_000_000
    """What of the feed's price counts, in ppm."""
    add_stroops_per_kwh: PriceChangeStroopsPerKwh = 0
    """What is added, in stroops per kWh, of either sign. A result below zero counts as zero."""


class FeedIn(Strict):
    """What is paid for energy that goes to the grid; exactly one of both."""

    price_stroops_per_kwh: PriceStroopsPerKwh | None = None
    """A fixed price in stroops per kWh."""
    market: MarketPrice | None = None
    """A market price; below zero it counts as zero."""

    @model_validator(mode="after")
    def _check(self) -> "FeedIn":
        if (self.price_stroops_per_kwh is None) == (self.market is None):
            raise ValueError("feed_in: exactly one of price_stroops_per_kwh and market")
        return self


class TariffPrices(Strict):
    """What a tariff says; exactly one of fixed price, time of use and market."""

    price_stroops_per_kwh: PriceStroopsPerKwh | None = None
    """A fixed price of energy, in stroops per kWh."""
    time_of_use: TimeOfUse | None = None
    """Prices by month, kind of day and local hour of the site."""
    market: MarketPrice | None = None
    """A price that follows a feed."""
    standing_stroops_per_month: AmountStroops = 0
    """Standing charge in stroops a calendar month, prorated by local days."""
    feed_in: FeedIn | None = None
    """What is paid for grid energy; absent: nothing."""
    source_sha256: HashHex | None = None
    """SHA-256 of the document from which the tariff was read."""

    @model_validator(mode="after")
    def _check_kind(self) -> "TariffPrices":
        kinds = (self.price_stroops_per_kwh, self.time_of_use, self.market)
        if sum(kind is not None for kind in kinds) != 1:
            raise ValueError("exactly one of price_stroops_per_kwh, time_of_use and market")
        return self


@fact("TariffPublished", 2, PRICES)
class TariffPublished(Fact):
    """A version of a tariff holds from `effective_from` on."""

    tariff: Id
    """The tariff."""
    version: Ordinal
    """Its version, from 1, without gaps."""
    asset: Asset
    """What the prices are in."""
    prices: TariffPrices
    """What it says."""
    effective_from: Instant
    """First instant at which it holds; never before the time at which it was published."""
    command: SignedText
    """The approver's signed command."""


FeedKind = Literal["price", "rate"]
"""A price of energy, or a rate between two currencies."""


class FeedRules(Strict):
    """How observations become a published value."""

    kind: FeedKind
    """What is observed."""
    asset: Asset
    """What a price is in; of a rate what one unit of `base` is worth."""
    base: Asset | None = None
    """The currency that is converted; for a rate only."""
    sources: Annotated[tuple[Id, ...], Field(min_length=1, max_length=SOURCES_MAX)]
    """The members who may observe, each once."""
    quorum: Annotated[int, Field(strict=True, ge=1, le=SOURCES_MAX)]
    """Fewest sources, after outliers are put aside, of which a value is published."""
    staleness_s: Annotated[int, Field(strict=True, ge=60, le=31 * 86_400)]
    """Seconds after which an observation is too old to count; and after which the feed is stale
    when nothing was published."""
    fence_ppm: Annotated[int, Field(strict=True, ge=1, le=10**9)]
    """An observation that is further from the median than this, in ppm of it, is an outlier."""
    settle_s: DurationS
    """Seconds that a quorum waits for the other sources."""

    @model_validator(mode="after")
    def _check(self) -> "FeedRules":
        if len(set(self.sources)) != len(self.sources):
            raise ValueError("sources: each stands once")
        if self.quorum > len(self.sources):
            raise ValueError("quorum: at most the number of sources")
        if (self.base is not None) != (self.kind == "rate"):
            raise ValueError("base: for a rate, and only for a rate")
        return self


class Observation(Strict):
    """Values of consecutive intervals."""

    first_at: Instant
    """Start of the first interval."""
    interval_s: Annotated[int, Field(strict=True, ge=60, le=31 * 86_400)]
    """Length of each in seconds."""
    values: Annotated[
        tuple[PriceChangeStroopsPerKwh, ...], Field(min_length=1, max_length=OBSERVED_MAX)
    ]
    """Prices in stroops per kWh, or rates in stroops of `asset` for one unit of `base`."""


@fact("FeedDefined", 1, PRICES)
class FeedDefined(Fact):
    """An approver said who observes a feed and how a value comes of it."""

    feed: Id
    """The feed."""
    rules: FeedRules
    """The rules, from now on."""
    command: SignedText
    """The approver's signed command."""


@fact("PriceObserved", 1, PRICES)
class PriceObserved(Fact):
    """A source says what it saw, under its signature."""

    observation: Reference
    """The observation: `<member>.<command id>`."""
    feed: Id
    """The feed."""
    source: Id
    """The member who observed."""
    observed: Observation
    """What."""
    document_sha256: HashHex
    """SHA-256 of the document in which it stood."""
    command: SignedText
    """The source's signed command."""


class Used(Strict):
    """An observation from which a value was made."""

    source: Id
    """Who observed."""
    position: PositionText
    """Where his `PriceObserved` stands."""
    is_outlier: bool
    """True: put aside."""


@fact("PricePublished", 1, PRICES)
class PricePublished(Fact):
    """The price of a feed for some intervals: the median of fresh sources."""

    feed: Id
    """The feed."""
    asset: Asset
    """What it is in."""
    published: Observation
    """The prices, in stroops per kWh."""
    made_of: Annotated[tuple[Used, ...], Field(min_length=1, max_length=SOURCES_MAX)]
    """Every observation that was looked at, by source."""


@fact("RatePublished", 1, PRICES)
class RatePublished(Fact):
    """The rate of a feed: what one unit of a currency is worth in another."""

    feed: Id
    """The feed."""
    base: Asset
    """The currency that is converted."""
    asset: Asset
    """What it is converted to."""
    from_at: Instant
    """Since when it holds, until the next one."""
    rate_stroops: Annotated[int, Field(strict=True, ge=1, le=10**15)]
    """Stroops of `asset` for one unit (10^7 stroops) of `base`."""
    made_of: Annotated[tuple[Used, ...], Field(min_length=1, max_length=SOURCES_MAX)]
    """Every observation that was looked at, by source."""


@fact("SourceQuarantined", 1, PRICES)
class SourceQuarantined(Fact):
    """A source was an outlier too often: it does not count until an approver releases it."""

    feed: Id
    """The feed."""
    source: Id
    """The member."""
    outliers: Count
    """Outliers in a row."""


@fact("SourceReleased", 1, PRICES)
class SourceReleased(Fact):
    """An approver lets a quarantined source count again."""

    feed: Id
    """The feed."""
    source: Id
    """The member."""
    command: SignedText
    """The approver's signed command."""


@fact("FeedStale", 1, PRICES)
class FeedStale(Fact):
    """A feed has no fresh value: what it said last is stale, and nothing is rated by it."""

    feed: Id
    """The feed."""
    last_until: Instant
    """Until when its last value held."""
