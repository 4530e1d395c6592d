"""Rows of prices: tariffs, feeds, what was observed and what was published. Pure."""

from libs.events import (
    FeedDefined,
    FeedStale,
    PriceObserved,
    PricePublished,
    RatePublished,
    Recorded,
    SourceQuarantined,
    SourceReleased,
    TariffPublished,
)
from libs.events.pricing import TariffPrices
from services.projection.ownership_tables import (
    FEED,
    FEED_SOURCE,
    FEED_STALE,
    PRICE_OBSERVED,
    PRICE_PUBLISHED,
    RATE_PUBLISHED,
)
from services.projection.tables import TARIFF
from services.projection.views.place import Rows, newest, row
from services.projection.views.text import json_list, json_of


def tariff_published(recorded: Recorded[TariffPublished]) -> Rows:
    """One row per version of a tariff."""
    fact, prices = recorded.fact, recorded.fact.prices
    what = (recorded.position.hash, fact.tariff, fact.version, fact.asset)
    price = (prices.price_stroops_per_kwh, fact.effective_from)
    rest = (prices.standing_stroops_per_month, prices.source_sha256)
    yield TARIFF, (*row(recorded, *what, *price), _kind(prices), json_of(prices), *rest)


def _kind(prices: TariffPrices) -> str:
    if prices.time_of_use is not None:
        return "time-of-use"
    return "fixed" if prices.market is None else "market"


def feed_defined(recorded: Recorded[FeedDefined]) -> Rows:
    """The rules of a feed that hold."""
    fact, rules = recorded.fact, recorded.fact.rules
    what = (rules.kind, rules.asset, rules.base, rules.sources, rules.quorum)
    limits = (rules.staleness_s, rules.fence_ppm, rules.settle_s, recorded.envelope.time)
    yield FEED, (*newest(recorded, fact.feed), *what, *limits)


def price_observed(recorded: Recorded[PriceObserved]) -> Rows:
    """One row per observation."""
    fact, said = recorded.fact, recorded.fact.observed
    who = (fact.observation, fact.feed, fact.source)
    what = (said.first_at, said.interval_s, said.values, fact.document_sha256)
    yield PRICE_OBSERVED, row(recorded, *who, *what)


def price_published(recorded: Recorded[PricePublished]) -> Rows:
    """One row per publication, with the price of each interval."""
    fact, said = recorded.fact, recorded.fact.published
    about = (recorded.position.hash, fact.feed, fact.asset)
    what = (said.first_at, said.interval_s, said.values, json_list(fact.made_of))
    yield PRICE_PUBLISHED, row(recorded, *about, *what)


def rate_published(recorded: Recorded[RatePublished]) -> Rows:
    """One row per rate."""
    fact = recorded.fact
    about = (recorded.position.hash, fact.feed, fact.base, fact.asset)
    what = (fact.from_at, fact.rate_stroops, json_list(fact.made_of))
    yield RATE_PUBLISHED, row(recorded, *about, *what)


def source_quarantined(recorded: Recorded[SourceQuarantined]) -> Rows:
    """That a source does not count for a feed."""
    fact = recorded.fact
    what = (True, fact.outliers, recorded.envelope.time)
    yield FEED_SOURCE, (*newest(recorded, fact.feed, fact.source), *what)


def source_released(recorded: Recorded[SourceReleased]) -> Rows:
    """That it counts again."""
    fact = recorded.fact
    what = (False, 0, recorded.envelope.time)
    yield FEED_SOURCE, (*newest(recorded, fact.feed, fact.source), *what)


def feed_stale(recorded: Recorded[FeedStale]) -> Rows:
    """Since when a feed was stale, the last time."""
    fact = recorded.fact
    yield FEED_STALE, (*newest(recorded, fact.feed), fact.last_until, recorded.envelope.time)
