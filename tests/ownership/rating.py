"""The second model: who used what in an interval, and what it costs (domain rules, 3 to 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from tests.ownership.arithmetic import midnight, prorated, scale, split

RATE = 10_000_000
"""Stroops in a unit: what a rate is a rate of."""


@dataclass(frozen=True)
class Version:
    """A version of a tariff. Buckets: tiers as (price, end in Wh a month or None)."""

    asset: str
    effective_from: datetime
    tag: datetime
    """The time that PRICES had reached when it was published."""
    buckets: tuple[tuple[str, tuple[tuple[int, int | None], ...]], ...] = ()
    weekday: tuple[str, ...] = ()
    weekend: tuple[str, ...] = ()
    feed: str | None = None
    add: int = 0
    standing: int = 0
    feed_in: int = 0


@dataclass(frozen=True)
class Published:
    """Market prices of a feed."""

    first_at: datetime
    interval_s: int
    values: tuple[int, ...]
    tag: datetime


@dataclass
class Measured:
    """What one meter reported, or an approver corrected, and when the stream had come how far."""

    meter: str
    start: datetime
    step_s: int
    values: tuple[int, ...]
    tag: datetime
    is_correction: bool = False


@dataclass(frozen=True)
class Use:
    """One holding in one interval, in Wh."""

    own: int
    surplus: int
    sources: tuple[tuple[str, int], ...]
    """What came from which co-holder."""


@dataclass(frozen=True, order=True)
class Line:
    """A line of a bill, as far as the texts fix it."""

    line_class: str
    kind: str
    payee: str = ""
    version: int = 0
    bucket: str = ""
    tier: int = 0
    energy_wh: int = 0
    amount: int = 0


def allocate(
    generated: int, units: Mapping[str, int], consumed: Mapping[str, int]
) -> dict[str, Use]:
    """Own use of the own part; surplus serves co-holders' deficits pro rata.

    With one holding short, or one with surplus, the texts fix who serves whom; with two and two
    they do not, and a system of the random histories has at most three holdings.
    """
    part = split(generated, units)
    own = {name: min(consumed[name], part[name]) for name in units}
    spare = {name: part[name] - own[name] for name in units}
    short = {name: consumed[name] - own[name] for name in units}
    shared = min(sum(spare.values()), sum(short.values()))
    given = split(shared, {name: n for name, n in spare.items() if n})
    taken = split(shared, {name: n for name, n in short.items() if n})
    assert not shared or min(len(given), len(taken)) == 1, "the texts are silent"
    uses = {}
    for name in units:
        sources: list[tuple[str, int]] = []
        if taken.get(name):
            (first, *more) = sorted(given)
            sources = [(source, given[source]) for source in sorted(given)]
            if not more:
                sources = [(first, taken[name])]
        sources = [each for each in sources if each[1]]
        uses[name] = Use(own[name], spare[name] - given.get(name, 0), tuple(sources))
    assert sum(use.own + use.surplus for use in uses.values()) + shared == generated
    return uses


@dataclass
class Meters:
    """All that was measured, in the order in which it was recorded."""

    roles: dict[str, tuple[str, str, str]] = field(default_factory=dict)
    """Role, system and holding of each meter."""
    measured: list[Measured] = field(default_factory=list)

    def of(self, system: str, role: str, holding: str = "") -> list[str]:
        return [name for name, who in self.roles.items() if who == (role, system, holding)]

    def values(
        self, meters: Sequence[str], step_s: int, until: datetime | None = None
    ) -> dict[datetime, int]:
        """The energy of each interval in which all these meters are known.

        Args:
            meters: Whose energies are summed.
            step_s: The rating interval; finer reports are summed, coarser ones do not count.
            until: What was recorded before the stream reached this time; absent: all.
        """
        found = [self._of_one(meter, step_s, until) for meter in meters]
        if not found:
            return {}
        common = set(found[0]).intersection(*found[1:])
        return {start: sum(each[start] for each in found) for start in common}

    def _of_one(self, meter: str, step_s: int, until: datetime | None) -> dict[datetime, int]:
        exact: dict[tuple[datetime, int], int] = {}
        for each in self.measured:
            if each.meter != meter or (until is not None and each.tag >= until):
                continue
            for number, value in enumerate(each.values):
                key = each.start + timedelta(seconds=number * each.step_s), each.step_s
                if key in exact or not each.is_correction:
                    exact[key] = value + (exact.get(key, 0) if each.is_correction else 0)
        sums: dict[datetime, list[int]] = {}
        for (start, step), value in exact.items():
            if step <= step_s:
                second = int(start.timestamp()) // step_s * step_s
                whole = datetime.fromtimestamp(second, start.tzinfo)
                sums.setdefault(whole, []).extend([value] + [0] * (step // 60 - 1))
        return {start: sum(parts) for start, parts in sums.items() if len(parts) * 60 == step_s}


@dataclass
class Prices:
    """Tariffs, market prices and rates."""

    tariffs: dict[str, list[Version]] = field(default_factory=dict)
    feeds: dict[str, list[Published]] = field(default_factory=dict)
    rates: dict[str, list[tuple[datetime, int]]] = field(default_factory=dict)

    def version_at(self, tariff: str, at: datetime, until: datetime) -> tuple[int, Version] | None:
        """The version that holds at an instant, of those published before a time."""
        known = enumerate(self.tariffs.get(tariff, []), 1)
        holding = [(n, v) for n, v in known if v.effective_from <= at and v.tag < until]
        return holding[-1] if holding else None

    def market(self, version: Version, at: datetime, until: datetime) -> tuple[int, int] | None:
        """Which publication covers an instant, and the price; below zero it counts as zero."""
        for number, each in reversed([*enumerate(self.feeds.get(version.feed or "", []))]):
            index = int((at - each.first_at).total_seconds()) // each.interval_s
            if each.tag < until and 0 <= index < len(each.values):
                return number, max(0, each.values[index] + version.add)
        return None

    def rate(self, feed: str | None, at: datetime) -> int:
        if feed is None:
            return RATE
        return [rate for since, rate in self.rates[feed] if since <= at][-1]


def bucket_at(
    version: Version, at: datetime, zone: str
) -> tuple[str, tuple[tuple[int, int | None], ...]]:
    """The bucket of the local hour in which an interval starts."""
    if len(version.buckets) == 1:
        return version.buckets[0]
    local = at.astimezone(ZoneInfo(zone))
    hours = version.weekday if local.weekday() < 5 else version.weekend
    return version.buckets[
        "0123456789abcdefghijklmnopqrstuvwxyz".index(hours[local.month - 1][local.hour])
    ]


def tier_parts(
    energy: int, tiers: Sequence[tuple[int, int | None]], first: date, end: date
) -> list[tuple[int, int, int]]:
    """Tier, energy and price of what a period used of one bucket."""
    parts, before = [], 0
    for number, (price, up_to) in enumerate(tiers, 1):
        ends = energy if up_to is None else min(energy, prorated(up_to, first, end))
        if ends > before:
            parts.append((number, ends - before, price))
            before = ends
    return parts


def energy_amount(energy_price: int, rate: int) -> int:
    """Wh x price, and the rate, rounded once."""
    return scale(energy_price * rate, 1, 1_000 * RATE)


def starts_between(first: date, end: date, zone: str, step_s: int) -> list[datetime]:
    start = int(midnight(first, zone).timestamp())
    until = int(midnight(end, zone).timestamp())
    first_start = -(-start // step_s) * step_s
    return [datetime.fromtimestamp(at, UTC) for at in range(first_start, until, step_s)]
