"""What is paid for energy that goes to the grid: the feed-in price of an agreement's tariff. Pure.

Below zero, or where there is none, it counts as zero. A tariff in another currency than the
agreement is converted by the rate that holds when the energy is sold, rounded half to even per kWh.

Source: domain rules, sections 4 and 8; docs/decisions/0005.
"""

from bisect import bisect_right
from collections import defaultdict
from datetime import datetime
from typing import Final, NamedTuple

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened
from libs.events.pricing import FeedIn, MarketPrice, PricePublished, RatePublished, TariffPublished
from libs.rules.dumps import Dumped, Loaded
from libs.rules.numbers import scale

PRICE_MAX: Final = 10**12
"""Highest price that a fact can say, in stroops per kWh; what comes out higher counts as this, for
a source or a rate from outside must not end the book."""

_PPM: Final = 1_000_000
_STROOPS: Final = 10_000_000


class Price(NamedTuple):
    """A feed-in price."""

    stroops_per_kwh: int
    """In the agreement's asset, from 0."""
    position: str
    """Where it stands: `PricePublished` for a market price, else `TariffPublished`."""


class _Version(NamedTuple):
    """What a version of a tariff says of the grid."""

    since: int
    asset: str
    position: str
    feed_in: FeedIn | None


class _Published(NamedTuple):
    """Prices of consecutive intervals."""

    start: int
    interval_s: int
    values: tuple[int, ...]
    position: str

    def at(self, instant: int) -> int | None:
        place = (instant - self.start) // self.interval_s
        return self.values[place] if 0 <= place < len(self.values) else None


class _Rate(NamedTuple):
    since: int
    base: str
    asset: str
    rate_stroops: int


class FeedInPrices:
    """Tariffs, market prices and rates as far as grid sales look at them."""

    facts: Final = frozenset[type[Fact]]({TariffPublished, PricePublished, RatePublished})
    """What `evolve` takes note of."""

    def __init__(self) -> None:
        """Begin with no price."""
        self._tariffs: dict[str, list[_Version]] = defaultdict(list)
        self._prices: dict[str, list[_Published]] = defaultdict(list)
        self._rates: dict[str, list[_Rate]] = defaultdict(list)

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of PRICES."""
        position = str(recorded.position)
        match recorded.fact:
            case TariffPublished() as fact:
                since = int(fact.effective_from.timestamp())
                version = _Version(since, fact.asset, position, fact.prices.feed_in)
                self._tariffs[fact.tariff].append(version)
            case PricePublished() as fact:
                told, start = fact.published, int(fact.published.first_at.timestamp())
                self._prices[fact.feed].append(
                    _Published(start, told.interval_s, told.values, position)
                )
            case RatePublished() as fact:
                since = int(fact.from_at.timestamp())
                self._rates[fact.feed].append(
                    _Rate(since, fact.base, fact.asset, fact.rate_stroops)
                )
            case _:
                pass

    def at(self, opened: AgreementOpened, instant: int, now: datetime) -> Price | None:
        """The feed-in price for an interval.

        Args:
            opened: The agreement.
            instant: Start of the interval, seconds since 1970.
            now: When it is sold; a rate that holds then converts.

        Returns:
            None only when no version of the tariff holds.
        """
        versions = self._tariffs.get(opened.tariff, [])
        place = bisect_right(versions, instant, key=lambda each: each.since)
        if not place:
            return None
        version = versions[place - 1]
        price = Price(0, version.position)
        if version.feed_in is not None and version.feed_in.market is not None:
            price = self._market(version.feed_in.market, instant) or price
        elif version.feed_in is not None and version.feed_in.price_stroops_per_kwh is not None:
            price = Price(version.feed_in.price_stroops_per_kwh, version.position)
        if version.asset == opened.asset:
            return price
        return Price(self._converted(price.stroops_per_kwh, opened, version, now), price.position)

    def _market(self, market: MarketPrice, instant: int) -> Price | None:
        for published in reversed(self._prices.get(market.feed, [])):
            value = published.at(instant)
            if value is not None:
                price = scale(value, market.factor_ppm, _PPM) + market.add_stroops_per_kwh
                return Price(min(max(0, price), PRICE_MAX), published.position)
        return None

    def _converted(
        self, price: int, opened: AgreementOpened, version: _Version, now: datetime
    ) -> int:
        for rate in reversed(self._rates.get(opened.rate_feed or "", [])):
            is_it = (rate.base, rate.asset) == (version.asset, opened.asset)
            if is_it and rate.since <= now.timestamp():
                return min(scale(price, rate.rate_stroops, _STROOPS), PRICE_MAX)
        return 0

    def drop_before(self, instant: int) -> None:
        """Forget market prices that held before a second since 1970, and rates that are replaced.

        Args:
            instant: Nothing that begins before it is sold any more.
        """
        for feed, published in self._prices.items():
            self._prices[feed] = [
                each
                for each in published
                if each.start + each.interval_s * len(each.values) > instant
            ]
        for feed, rates in self._rates.items():
            newer = [each for each in rates if each.since >= instant]
            self._rates[feed] = [*rates[: len(rates) - len(newer)][-1:], *newer]

    def dump(self) -> Dumped:
        """Give all prices for a snapshot."""
        return {
            "tariffs": [
                [
                    tariff,
                    each.since,
                    each.asset,
                    each.position,
                    None if each.feed_in is None else each.feed_in.model_dump_json(),
                ]
                for tariff, versions in self._tariffs.items()
                for each in versions
            ],
            "prices": [
                [feed, each.start, each.interval_s, list(each.values), each.position]
                for feed, published in self._prices.items()
                for each in published
            ],
            "rates": [[feed, *each] for feed, rates in self._rates.items() for each in rates],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for tariff, since, asset, position, text in dumped["tariffs"]:
            feed_in = None if text is None else FeedIn.model_validate_json(text)
            self._tariffs[tariff].append(_Version(since, asset, position, feed_in))
        for feed, start, interval_s, values, position in dumped["prices"]:
            self._prices[feed].append(_Published(start, interval_s, tuple(values), position))
        for feed, since, base, asset, rate in dumped["rates"]:
            self._rates[feed].append(_Rate(since, base, asset, rate))
