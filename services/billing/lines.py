"""The lines of an invoice, from what was used and what it costs: the heart of billing. Pure.

Nothing here knows streams or what was billed before, so foresight asks the same questions of other
tariffs, periods and terms: `lines_of` with the agreement and the prices changed.

Source: domain rules, section 5; docs/decisions/0005, bills.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from libs.events.books import LineClass
from libs.events.invoicing import AgreementOpened, InvoiceLine
from libs.events.pricing import TariffPublished, TimeOfUse
from libs.events.quantities import WH_PER_KWH
from libs.rules.fast_rating import (
    Grid,
    Mask,
    Numbers,
    bucket_sums,
    exact_sum,
    local_slots,
)
from libs.rules.numbers import scale
from libs.rules.periods import Period, days_by_month
from libs.rules.tariffs import (
    PPM,
    Months,
    Version,
    bucket_table,
    market_ppm,
    prorated,
    rate_scale,
    tier_parts,
    version_at,
)
from services.billing.prices import MarketPrices, Rate

ENERGY_LINES_MAX: Final = 400
"""Most lines of energy of a bill; of more, those of one class, source and version are joined."""

_OF_ONE_PRICE: Final = frozenset({"bucket", "tier", "price_stroops_per_kwh"})

TABLES_REMEMBERED: Final = 1_024
"""Time-of-use tariffs of which the table of buckets is remembered."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one holding used in a period, per rating interval, in Wh."""

    grid: Grid
    """The rating intervals of the period."""
    is_rated: Mask
    """Whether all meters were known and the holding counts."""
    own_wh: Numbers
    """Own use, as far as it is billed: none once the holding is owned."""
    shared_wh: Mapping[str, Numbers]
    """Use of others' surplus, by the agreement that it came from."""
    generated_wh: Numbers
    """Generation of the system."""
    consumed_wh: Numbers
    """Consumption of the holding."""


@dataclass(frozen=True, slots=True)
class Priced:
    """The prices of a period."""

    versions: Sequence[Version]
    """The versions of the tariff, oldest first."""
    market: Callable[[str], MarketPrices]
    """What a feed says for the grid of the usage."""
    rate: Rate | None = None
    """By what a version in another asset than the agreement's is converted."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a bill claims beside energy; nothing of it while the supply is diverted."""

    running_months: Months
    """Local days for which standing charge and upkeep count, and the days of each month."""
    minimum_stroops: int
    """Least sum of the lines without tax, in stroops; 0 once the holding is owned."""
    term_stroops: int = 0
    """At the end of the term: principal and return, less open energy, in stroops; else 0."""


def claims_of(opened: AgreementOpened, period: Period, term_stroops: int = 0) -> Claims:
    """The claims of an ordinary period: supplied throughout, not owned.

    Args:
        opened: The agreement.
        period: The period.
        term_stroops: What the end of the term demands, if the period is one.
    """
    months = days_by_month(period.first_day, period.next_day)
    minimum = opened.terms.minimum_payment_stroops
    if opened.period == "month":
        minimum = prorated(minimum, months)
    return Claims(months, minimum, term_stroops)


@dataclass(frozen=True, slots=True)
class Bill:
    """What a period costs."""

    lines: tuple[InvoiceLine, ...]
    """The lines."""
    rated_intervals: int
    """Intervals of which all meters and the price are known."""
    unrated_intervals: int
    """The others."""
    generated_wh: int
    """Generation of the system in the rated intervals, in Wh."""
    consumed_wh: int
    """Consumption of the holding in them, in Wh."""

    @property
    def total_stroops(self) -> int:
        """Sum of the lines, in stroops."""
        return sum(line.amount_stroops for line in self.lines)


@dataclass(slots=True)
class _Writer:
    """Numbers the lines as they are written."""

    holding: str
    lines: list[InvoiceLine] = field(default_factory=list)

    def add(self, **members: Any) -> None:
        if members["amount_stroops"] or members.get("energy_wh"):
            number = len(self.lines) + 1
            self.lines.append(InvoiceLine(line=number, holding=self.holding, **members))

    def sum(self, *classes: LineClass) -> int:
        return sum(each.amount_stroops for each in self.lines if each.line_class in classes)


def lines_of(
    opened: AgreementOpened, period: Period, usage: Usage, priced: Priced, claims: Claims
) -> Bill:
    """Write the lines of one period.

    Args:
        opened: The agreement: its upkeep, taxes and asset.
        period: The period.
        usage: What was used.
        priced: What it costs.
        claims: What is claimed beside energy.
    """
    costs = _Costs(opened, period, usage, priced)
    is_rated = usage.is_rated & costs.is_priced
    writer = _Writer(opened.holding)
    rows: list[_Row] = []
    for source, energy_wh in (("", usage.own_wh), *sorted(usage.shared_wh.items())):
        named: dict[str, Any] = {"line_class": "energy", "kind": "use"}
        if source:
            named = {"line_class": "shared", "kind": "shared", "payee": source}
        rows += [
            replace(row, members=named | row.members) for row in costs.of(energy_wh * is_rated)
        ]
    for row in rows if len(rows) <= ENERGY_LINES_MAX else _joined(rows):
        writer.add(**row.members, amount_stroops=row.amount_stroops)
    _add_running(writer, opened, priced, period, claims)
    _add_energy_claims(writer, claims)
    _add_taxes(writer, opened)
    rated = int(is_rated.sum())
    return Bill(
        lines=tuple(writer.lines),
        rated_intervals=rated,
        unrated_intervals=usage.grid.count - rated,
        generated_wh=exact_sum(usage.generated_wh[is_rated]),
        consumed_wh=exact_sum(usage.consumed_wh[is_rated]),
    )


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of energy whose amount is not rounded yet."""

    members: dict[str, Any]
    numerator: int
    denominator: int
    rate: Rate | None

    @property
    def amount_stroops(self) -> int:
        """The one rounding of a line."""
        times, over = rate_scale(None if self.rate is None else self.rate.stroops)
        return scale(self.numerator, times, self.denominator * over)


def _joined(rows: Sequence[_Row]) -> Iterator[_Row]:
    """One line for each class, source and tariff version; it names the first of their prices."""
    groups: dict[tuple[str, str, int], list[_Row]] = defaultdict(list)
    for row in rows:
        said = row.members
        groups[said["kind"], said.get("payee", ""), said["tariff_version"]].append(row)
    for group in groups.values():
        first, *others = group
        if not others:
            yield first
            continue
        kept = {name: value for name, value in first.members.items() if name not in _OF_ONE_PRICE}
        energy_wh = sum(row.members["energy_wh"] for row in group)
        yield replace(
            first,
            members=kept | {"energy_wh": energy_wh},
            numerator=sum(row.numerator for row in group),
        )


class _Costs:
    """What energy costs in each interval of a period."""

    def __init__(
        self, opened: AgreementOpened, period: Period, usage: Usage, priced: Priced
    ) -> None:
        self._asset, self._rate = opened.asset, priced.rate
        self._zone, self._grid = opened.time_zone, usage.grid
        self._months = days_by_month(period.first_day, period.next_day)
        self._filled_wh: dict[tuple[int, int], int] = defaultdict(int)
        self._parts: list[tuple[Version, slice, MarketPrices | None]] = []
        self.is_priced: Mask = np.zeros(usage.grid.count, np.bool_)
        following = [int(fact.effective_from.timestamp()) for fact, _ in priced.versions]
        for index, version in enumerate(priced.versions):
            until = following[index + 1] if index + 1 < len(following) else None
            places = usage.grid.stretch(following[index], until)
            if places.start >= places.stop:
                continue
            market = version[0].prices.market
            prices = None if market is None else priced.market(market.feed)
            self._parts.append((version, places, prices))
            self.is_priced[places] = True if prices is None else prices.sources[places] >= 0

    def of(self, energy_wh: Numbers) -> Iterator[_Row]:
        """The lines of some energy: one per version and, in it, per bucket and tier or price."""
        for (fact, place), places, market in self._parts:
            rate = _rate_of(fact, self._asset, self._rate)
            common = {"tariff": fact.tariff, "tariff_version": fact.version}
            if rate is not None:
                common["rate_position"] = rate.position
            part = energy_wh[places]
            if market is not None:
                for line, numerator in self._by_price(fact, places, part, market):
                    yield _Row(common | line, numerator, WH_PER_KWH * PPM, rate)
                continue
            common["price_position"] = place
            lines: Iterable[dict[str, Any]]
            if fact.prices.time_of_use is not None:
                lines = self._by_bucket(fact, fact.prices.time_of_use, places, part)
            else:
                price = fact.prices.price_stroops_per_kwh
                lines = [{"price_stroops_per_kwh": price, "energy_wh": exact_sum(part)}]
            for line in lines:
                if line["energy_wh"]:
                    numerator = line["energy_wh"] * line["price_stroops_per_kwh"]
                    yield _Row(common | line, numerator, WH_PER_KWH, rate)

    def _by_bucket(
        self, fact: TariffPublished, prices: TimeOfUse, places: slice, energy_wh: Numbers
    ) -> Iterator[dict[str, Any]]:
        buckets = _table(prices)[local_slots(self._grid, self._zone)[places]]
        sums = bucket_sums(buckets, energy_wh, len(prices.buckets)).tolist()
        for index, (bucket, energy) in enumerate(zip(prices.buckets, sums, strict=True)):
            filled = fact.version, index
            before = self._filled_wh[filled]
            self._filled_wh[filled] += energy
            for tier, part in tier_parts(bucket, self._months, before, energy):
                yield {
                    "bucket": bucket.name,
                    "tier": tier,
                    "price_stroops_per_kwh": bucket.tiers[tier - 1].price_stroops_per_kwh,
                    "energy_wh": part,
                }

    @staticmethod
    def _by_price(
        fact: TariffPublished, places: slice, energy_wh: Numbers, market: MarketPrices
    ) -> Iterator[tuple[dict[str, Any], int]]:
        """One line per publication, with the exact sum of its Wh x price in ppm."""
        rules = fact.prices.market
        assert rules is not None, "the version follows a feed"
        used = np.flatnonzero(energy_wh)
        sums: dict[int, list[int]] = defaultdict(lambda: [0, 0])
        columns = (market.sources[places], energy_wh, market.prices[places])
        for source, energy, price in zip(
            *(column[used].tolist() for column in columns), strict=True
        ):
            found = sums[source]
            found[0] += energy
            found[1] += energy * market_ppm(rules, price)
        for source, (energy, numerator) in sorted(sums.items()):
            yield {"price_position": market.positions[source], "energy_wh": energy}, numerator


def _rate_of(fact: TariffPublished, asset: str, rate: Rate | None) -> Rate | None:
    """The rate, if a version is in another asset than the agreement."""
    if fact.asset == asset:
        return None
    assert rate is not None, "without a rate nothing is billed"
    return rate


@lru_cache(maxsize=TABLES_REMEMBERED)
def _table(prices: TimeOfUse) -> NDArray[np.int64]:
    return np.array(bucket_table(prices), np.int64)


def _add_running(
    writer: _Writer, opened: AgreementOpened, priced: Priced, period: Period, claims: Claims
) -> None:
    """Standing charge and upkeep, both to the upkeep payee; none without one."""
    upkeep, months = opened.upkeep, claims.running_months
    if upkeep is None:
        return
    named = {"line_class": "running", "payee": upkeep.payee, "days": sum(n for n, _ in months)}
    version = version_at(priced.versions, period.from_at)
    if version is not None:
        fact, place = version
        rate = _rate_of(fact, opened.asset, priced.rate)
        times, over = rate_scale(None if rate is None else rate.stroops)
        writer.add(
            **named,
            kind="standing",
            tariff=fact.tariff,
            tariff_version=fact.version,
            price_position=place,
            rate_position=None if rate is None else rate.position,
            amount_stroops=prorated(fact.prices.standing_stroops_per_month, months, times, over),
        )
    amount = prorated(upkeep.amount_stroops_per_month, months)
    writer.add(**named, kind="upkeep", amount_stroops=amount)


def _add_energy_claims(writer: _Writer, claims: Claims) -> None:
    """What tops up to the minimum payment, and what falls due at the end of the term."""
    missing = claims.minimum_stroops - writer.sum("energy", "shared", "running")
    if missing > 0:
        writer.add(line_class="energy", kind="minimum", amount_stroops=missing)
    rest = claims.term_stroops - writer.sum("energy")
    if rest > 0:
        writer.add(line_class="energy", kind="term", amount_stroops=rest)


def _add_taxes(writer: _Writer, opened: AgreementOpened) -> None:
    """One line per rate, on the lines of its classes."""
    for tax in opened.taxes:
        base = [line for line in writer.lines if line.line_class in tax.on]
        amount = scale(sum(line.amount_stroops for line in base), tax.rate_ppm, PPM)
        writer.add(
            line_class="tax",
            kind="tax",
            payee=tax.authority,
            rate_ppm=tax.rate_ppm,
            base_lines=tuple(line.line for line in base),
            amount_stroops=amount,
        )
