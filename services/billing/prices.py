"""Tariffs, market prices and rates, as PRICES publishes them. Pure.

Source: domain rules, section 4; docs/decisions/0005, bills.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.pricing import (
    FeedDefined,
    FeedRules,
    FeedStale,
    PricePublished,
    RatePublished,
    TariffPublished,
)
from libs.events.subjects import PRICES
from libs.rules.fast_rating import Grid, Numbers
from libs.rules.tariffs import Version
from services.billing.reached import AsOf
from services.billing.readings import Late

STREAM: Final = PRICES.stream("")
"""The stream of all prices."""


@dataclass(frozen=True, slots=True)
class MarketPrices:
    """What a feed says for every interval of a grid."""

    prices: Numbers
    """Price in stroops per kWh, of either sign; 0 where none is known."""
    sources: Numbers
    """Which publication it comes from, a place in `positions`; -1: none, it is unpriced."""
    positions: Sequence[str]
    """Where the publications stand."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What one unit of a currency is worth."""

    stroops: int
    """Stroops of the other asset for one unit."""
    position: str
    """Where it stands."""


@dataclass(frozen=True, slots=True)
class _Published:
    sequence: int
    position: str
    start: int
    step: int
    values: "array[int]"

    @property
    def end(self) -> int:
        return self.start + self.step * len(self.values)


@dataclass(frozen=True, slots=True)
class _Rated:
    sequence: int
    from_s: int
    rate: Rate | None


class Prices:
    """Every tariff, feed and rate."""

    facts: Final = frozenset[type[Fact]](
        {TariffPublished, FeedDefined, PricePublished, RatePublished, FeedStale}
    )
    """What `evolve` takes note of."""

    def __init__(self) -> None:
        """Begin with none."""
        self.feeds: dict[str, FeedRules] = {}
        """The rules of every feed."""
        self.touched: set[str] = set()
        """Feeds with prices that nobody has looked at yet."""
        self._tariffs: dict[str, list[Version]] = defaultdict(list)
        self._published: dict[str, list[_Published]] = defaultdict(list)
        self._rates: dict[str, list[_Rated]] = defaultdict(list)

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of PRICES."""
        match recorded.fact:
            case TariffPublished() as fact:
                self._tariffs[fact.tariff].append((fact, str(recorded.position)))
            case FeedDefined() as fact:
                self.feeds[fact.feed] = fact.rules
            case PricePublished() as fact:
                published = fact.published
                start = int(published.first_at.timestamp())
                values = array("q", published.values)
                place = str(recorded.position)
                self._published[fact.feed].append(
                    _Published(recorded.sequence, place, start, published.interval_s, values)
                )
                self.touched.add(fact.feed)
            case RatePublished() as fact:
                rate = Rate(fact.rate_stroops, str(recorded.position))
                from_s = int(fact.from_at.timestamp())
                self._rates[fact.feed].append(_Rated(recorded.sequence, from_s, rate))
            case FeedStale() as fact:
                from_s = int(recorded.envelope.time.timestamp())
                self._rates[fact.feed].append(_Rated(recorded.sequence, from_s, None))
            case _:
                pass

    def versions(self, tariff: str) -> Sequence[Version]:
        """The versions of a tariff, oldest first; none if there is no such tariff."""
        return self._tariffs.get(tariff, ())

    def feeds_of(self, tariff: str) -> set[str]:
        """The feeds that any version of a tariff follows."""
        markets = (version.prices.market for version, _ in self.versions(tariff))
        return {market.feed for market in markets if market is not None}

    def market(self, feed: str, grid: Grid, as_of: AsOf) -> MarketPrices:
        """What a feed says for a grid; of two publications the later one holds."""
        prices, sources = np.zeros(grid.count, np.int64), np.full(grid.count, -1, np.int64)
        positions: list[str] = []
        for each in self._counting(feed, grid, as_of):
            places = grid.stretch(each.start, each.end)
            chosen = (grid.starts[places] - each.start) // each.step
            prices[places] = np.array(each.values, np.int64)[chosen]
            sources[places] = len(positions)
            positions.append(each.position)
        return MarketPrices(prices, sources, positions)

    def late(self, feed: str, grid: Grid, before: AsOf, now: AsOf) -> Iterable[Late]:
        """The publications that count now and did not before."""
        known = {each.sequence for each in self._counting(feed, grid, before)}
        for each in self._counting(feed, grid, now):
            if each.sequence not in known:
                yield Late(STREAM, each.sequence, each.position)

    def since(self, feed: str, sequence: int) -> Iterable[tuple[int, int, int]]:
        """Place, start and end of all that was published behind a place."""
        for each in reversed(self._published.get(feed, ())):
            if each.sequence <= sequence:
                return
            yield each.sequence, each.start, each.end

    def rate(self, feed: str, as_of: AsOf) -> Rate | None:
        """The rate that holds at a time; none while the feed is stale."""
        instant = min(as_of.final_s, as_of.as_of_s)
        cutoff = AsOf(as_of.reached, instant, instant).cutoff(STREAM)
        known = [
            each
            for each in self._rates.get(feed, ())
            if each.sequence < cutoff and each.from_s <= instant
        ]
        return known[-1].rate if known else None

    def next_rate(self, feed: str, as_of: AsOf) -> tuple[int, Rate] | None:
        """The first rate that was published after a time, and its place."""
        instant = min(as_of.final_s, as_of.as_of_s)
        cutoff = AsOf(as_of.reached, instant, instant).cutoff(STREAM)
        for each in self._rates.get(feed, ()):
            if each.sequence >= cutoff and each.rate is not None:
                return each.sequence, each.rate
        return None

    def last_rate(self, feed: str) -> Rate | None:
        """The newest rate that was published."""
        rates = (each.rate for each in reversed(self._rates.get(feed, ())))
        return next((rate for rate in rates if rate is not None), None)

    def published(self, feed: str) -> Mapping[int, tuple[int, int]]:
        """Length and price of every interval that was ever published, by start."""
        return {
            each.start + index * each.step: (each.step, value)
            for each in self._published.get(feed, ())
            for index, value in enumerate(each.values)
        }

    def _counting(self, feed: str, grid: Grid, as_of: AsOf) -> list[_Published]:
        end = grid.first + grid.length * grid.count
        found = [
            each
            for each in self._published.get(feed, ())
            if each.start < end and each.end > grid.first
        ]
        sequences = np.array([each.sequence for each in found], np.int64)
        starts = np.array([each.start for each in found], np.int64)
        mask = as_of.counts(STREAM, sequences, starts)
        return [each for each, counts in zip(found, mask.tolist(), strict=True) if counts]
