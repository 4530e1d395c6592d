"""What energy costs in each rating interval, from the tariff, the feed and the rate. Pure.

Written apart from what billing uses, so that the two can disagree.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from libs.events.envelope import Recorded
from libs.events.invoicing import InvoiceIssued
from libs.events.pricing import (
    BUCKET_LETTERS,
    MarketPrice,
    PricePublished,
    RatePublished,
    TariffPublished,
    TimeOfUse,
)
from libs.events.quantities import STROOPS_PER_UNIT, WH_PER_KWH
from libs.events.subjects import PRICES
from libs.proof.bill import Bill
from libs.proof.case import Case, require, same
from libs.proof.errors import ProofFailed
from libs.proof.rating import Energy
from libs.proof.times import AsOf
from libs.rules.numbers import scale

STEP = 10
"""The number of the step that this is part of."""

STREAM = PRICES.stream("")
"""The stream of all prices."""

_PPM = 1_000_000
_SATURDAY = 5

Months = Sequence[tuple[int, int]]
"""For each calendar month the local days that count and the days that it has."""

Tariff = Recorded[TariffPublished]
Publication = Recorded[PricePublished]
Members = dict[str, Any]
"""Members of a line."""


@dataclass(slots=True)
class Prices:
    """The prices of a period."""

    versions: list[Tariff]
    """Versions of the tariff, oldest first."""
    asset: str
    """What the bill is in."""
    rate: Recorded[RatePublished] | None = None
    """By what a version in another asset is converted."""
    market: Mapping[str, Mapping[int, tuple[Publication, int]]] = field(default_factory=dict)
    """By feed and start of an interval: the publication that holds, and what it says."""

    def version_at(self, start: int) -> Tariff | None:
        """The version that holds at an instant, in seconds since 1970."""
        instant = datetime.fromtimestamp(start, UTC)
        holding = [each for each in self.versions if each.fact.effective_from <= instant]
        return holding[-1] if holding else None

    def priced_at(self, start: int) -> Tariff | None:
        """The version that holds in an interval, if there is a price."""
        version = self.version_at(start)
        if version is None or version.fact.prices.market is None:
            return version
        return version if start in self.market[version.fact.prices.market.feed] else None

    def rate_of(self, version: Tariff) -> Recorded[RatePublished] | None:
        """The rate by which a version is converted; None: it is in the asset of the bill.

        Raises:
            ProofFailed: It needs one, and the file has none.
        """
        if version.fact.asset == self.asset:
            return None
        if self.rate is None:
            raise ProofFailed(STEP, f"the rate of {version.fact.asset} in {self.asset} is missing")
        return self.rate

    def amount(self, version: Tariff, exact: Fraction) -> int:
        """The one rounding of a line of a version, in stroops."""
        rate = self.rate_of(version)
        if rate is not None:
            exact *= Fraction(rate.fact.rate_stroops, STROOPS_PER_UNIT)
        return scale(exact.numerator, 1, exact.denominator)


def prorated(amount: int, months: Months, rate: Recorded[RatePublished] | None = None) -> int:
    """What a monthly amount comes to for some local days: each month rounded once."""
    times, over = (1, 1) if rate is None else (rate.fact.rate_stroops, STROOPS_PER_UNIT)
    return sum(scale(amount * times, days, of_month * over) for days, of_month in months)


def find_prices(case: Case, bill: Bill) -> Prices:
    """Find what the energy of a period costs.

    Raises:
        ProofFailed: A version or the rate is missing or another.
    """
    _check_versions(case, bill)
    found = Prices(bill.tariffs, bill.agreement.fact.asset, _rate(case, bill))
    begin, end = bill.invoice.fact.period_from, bill.invoice.fact.period_until
    feeds = feeds_of(bill.tariffs)
    if feeds:
        cutoff = bill.times.reached(STREAM, bill.as_of.at)
        known = case.knew(bill.invoice, cutoff)
        require(STEP, known, "the bill was issued before PRICES was final")
        case.not_covered.append(
            "That a market price is the median of what its sources observed, and that no other "
            f"price of {', '.join(sorted(feeds))} from {begin} to {end} is left out."
        )
    found.market = {feed: _market(case, bill, feed) for feed in feeds}
    return found


def feeds_of(versions: Sequence[Tariff]) -> set[str]:
    """The feeds that versions of a tariff follow."""
    markets = (each.fact.prices.market for each in versions)
    return {market.feed for market in markets if market is not None}


def _check_versions(case: Case, bill: Bill) -> None:
    """The versions shown follow each other, and every price holds when it is used."""
    require(STEP, bool(bill.tariffs), "the tariff is missing")
    for older, newer in pairwise(bill.tariffs):
        is_next = older.fact.version + 1 == newer.fact.version
        require(STEP, is_next, "a version of the tariff is left out")
        later = older.fact.effective_from < newer.fact.effective_from
        require(STEP, later, "versions of the tariff overlap")
        require(STEP, older.sequence < newer.sequence, "versions of the tariff changed places")
        same(STEP, "the tariff", (("asset", newer.fact.asset, older.fact.asset),))
    for each in bill.tariffs:
        what = f"version {each.fact.version} of tariff {each.fact.tariff}"
        require(STEP, each.envelope.key == each.fact.tariff, f"{what} stands under another key")
        # A feed of the same name would be numbered with it.
        numbered = each.envelope.n >= each.fact.version
        require(STEP, numbered, f"{what} is not numbered by its version")
        if bill.agreement.fact.rate_feed is None:
            same(STEP, what, (("asset", each.fact.asset, bill.agreement.fact.asset),))
    newest = bill.tariffs[-1].fact
    if newest.effective_from < bill.invoice.fact.period_until:
        case.not_covered.append(
            f"That tariff {newest.tariff} had no version after {newest.version} when the bill was "
            "issued."
        )


def rate_named(invoice: InvoiceIssued) -> str | None:
    """Where the rate stands that the lines of an invoice name; None: they name none.

    Raises:
        ProofFailed: They name two.
    """
    named = {line.rate_position for line in invoice.lines} - {None}
    require(STEP, len(named) <= 1, "the lines name more than one rate")
    return next(iter(named), None)


def _rate(case: Case, bill: Bill) -> Recorded[RatePublished] | None:
    """The rate that the lines name, if it may be the one that held when the bill was final."""
    position, feed = rate_named(bill.invoice.fact), bill.agreement.fact.rate_feed
    if position is None:
        return None
    found = case.one(STEP, "the rate", RatePublished, lambda _: True)
    base = {each.fact.asset for each in bill.tariffs}
    pairs = (
        ("position", str(found.position), position),
        ("feed", found.fact.feed, feed),
        ("asset", found.fact.asset, bill.agreement.fact.asset),
        ("base", {found.fact.base}, base),
    )
    same(STEP, "the rate", pairs)
    require(STEP, case.knew(bill.invoice, found), "the rate came after the bill")
    is_late = found.sequence >= bill.times.place(STREAM, bill.final_at)
    holds = is_late or found.fact.from_at <= bill.final_at
    require(STEP, holds, "the rate did not hold yet when the bill was final")
    sentence = f"That {feed} had no newer rate when the bill was final, and was not stale."
    if is_late:
        sentence = f"That {feed} had no rate when the bill was final, nor one before that named."
    case.not_covered.append(sentence)
    return found


def _market(case: Case, bill: Bill, feed: str) -> dict[int, tuple[Publication, int]]:
    """What a feed says for every interval that has a price; of two publications the later holds."""
    found: dict[int, tuple[Publication, int]] = {}
    length = bill.agreement.fact.rating_interval_s
    for each in published(case.glance(PricePublished), feed, bill.grid, length):
        first, step = each.fact.published.first_at, each.fact.published.interval_s
        if not bill.as_of.counts(each, first):
            continue
        case.need(each)
        asset = bill.tariffs[0].fact.asset
        same(STEP, f"the price at {each.sequence}", (("asset", each.fact.asset, asset),))
        values, at = each.fact.published.values, int(first.timestamp())
        for start in bill.grid:
            if at <= start < at + step * len(values):
                found[start] = each, values[(start - at) // step]
    return found


def published(
    facts: Sequence[Publication], feed: str, grid: range, interval_s: int
) -> list[Publication]:
    """The publications of a feed that say something about a period, in their order."""
    found = []
    for each in sorted(facts, key=lambda each: each.sequence):
        first = int(each.fact.published.first_at.timestamp())
        end = first + each.fact.published.interval_s * len(each.fact.published.values)
        touches = bool(grid) and first < grid[-1] + interval_s and end > grid[0]
        if each.fact.feed == feed and touches:
            found.append(each)
    return found


def late_prices(case: Case, bill: Bill, before: AsOf, now: AsOf) -> Iterator[Publication]:
    """The prices that count now and did not before."""
    length = bill.agreement.fact.rating_interval_s
    for feed in feeds_of(bill.tariffs):
        for each in published(case.glance(PricePublished), feed, bill.grid, length):
            first = each.fact.published.first_at
            if now.counts(each, first) and not before.counts(each, first):
                yield each


@dataclass(frozen=True, slots=True)
class EnergyLine:
    """A line of energy whose amount is not rounded yet."""

    version: Tariff
    """The version of the tariff."""
    members: Members
    """What it says beside its amount."""
    exact: Fraction
    """Its amount in stroops of the version's asset."""


class EnergyLines:
    """Writes lines of energy; the tiers of a bucket fill up from one to the next."""

    def __init__(self, bill: Bill, prices: Prices, months: Months) -> None:
        """Begin with empty tiers."""
        self._prices, self._months = prices, months
        self._keeps_empty = bill.is_first_version
        self._zone = ZoneInfo(bill.agreement.fact.time_zone)
        self._filled_wh: dict[tuple[int, int], int] = defaultdict(int)

    def of(self, energy_wh: Energy) -> Iterator["EnergyLine"]:
        """The lines of some energy: one per version and, in it, per bucket and tier or price."""
        for version in self._prices.versions:
            part = {
                start: energy
                for start, energy in energy_wh.items()
                if self._prices.version_at(start) is version
            }
            if not part or not (any(part.values()) or self._keeps_empty):
                continue
            fact, rate = version.fact, self._prices.rate_of(version)
            common: Members = {"tariff": fact.tariff, "tariff_version": fact.version}
            common["rate_position"] = None if rate is None else str(rate.position)
            for line, exact in self._of_version(version, part):
                yield EnergyLine(version, common | line, exact)

    def _of_version(self, version: Tariff, energy_wh: Energy) -> Iterator[tuple[Members, Fraction]]:
        prices = version.fact.prices
        if prices.market is not None:
            yield from self._by_publication(prices.market, energy_wh)
        elif prices.time_of_use is not None:
            yield from self._by_bucket(version, prices.time_of_use, energy_wh)
        else:
            price = prices.price_stroops_per_kwh
            assert price is not None, "a tariff has one kind of price"
            yield self._at(version, price, sum(energy_wh.values()))

    @staticmethod
    def _at(version: Tariff, price: int, energy_wh: int) -> tuple[Members, Fraction]:
        line: Members = {
            "price_position": str(version.position),
            "price_stroops_per_kwh": price,
            "energy_wh": energy_wh,
        }
        return line, Fraction(energy_wh * price, WH_PER_KWH)

    def _by_bucket(
        self, version: Tariff, prices: TimeOfUse, energy_wh: Energy
    ) -> Iterator[tuple[Members, Fraction]]:
        """Sum by the bucket of the local hour, and cut each sum at the ends of the tiers."""
        sums: dict[int, int] = defaultdict(int)
        for start, energy in energy_wh.items():
            local = datetime.fromtimestamp(start, self._zone)
            schedule = prices.weekend if local.weekday() >= _SATURDAY else prices.weekday
            sums[BUCKET_LETTERS.index(schedule[local.month - 1][local.hour])] += energy
        for place, bucket in enumerate(prices.buckets):
            at = self._filled_wh[version.fact.version, place]
            until = at + sums[place]
            self._filled_wh[version.fact.version, place] = until
            for number, tier in enumerate(bucket.tiers, 1):
                end = until
                if tier.up_to_wh is not None:
                    end = min(until, prorated(tier.up_to_wh, self._months))
                if end > at:
                    line, exact = self._at(version, tier.price_stroops_per_kwh, end - at)
                    yield line | {"bucket": bucket.name, "tier": number}, exact
                    at = end

    def _by_publication(
        self, rules: MarketPrice, energy_wh: Energy
    ) -> Iterator[tuple[Members, Fraction]]:
        """Sum Wh x price of each publication; a price below zero counts as zero."""
        sums: dict[int, list[int]] = {}
        by_place: dict[int, Publication] = {}
        for start, energy in energy_wh.items():
            if energy:
                found, price = self._prices.market[rules.feed][start]
                by_place[found.sequence] = found
                total = sums.setdefault(found.sequence, [0, 0])
                total[0] += energy
                ppm = price * rules.factor_ppm + rules.add_stroops_per_kwh * _PPM
                total[1] += energy * max(0, ppm)
        for place in sorted(sums):
            energy, numerator = sums[place]
            line = {"price_position": str(by_place[place].position), "energy_wh": energy}
            yield line, Fraction(numerator, WH_PER_KWH * _PPM)
