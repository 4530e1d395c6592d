"""From readings to shares: what is known of a rating interval, and who used it. Pure.

The one allocation of billing and ledger. A holding counts for the rating intervals that start at or
after it was opened, a meter for those that start at or after it was enrolled, both by the domain
time of the fact. So an interval that was rated once never gets another set of holdings by what is
decided later. An interval of which a counting meter lacks a part is not rated; nor are readings
that are coarser than the rating interval.

A holding whose supply is diverted consumes nothing for the allocation: co-holders are served first,
the rest is sold. Its own meter need not be known then. It counts so for the intervals that start
at or after `SupplyDiverted` and before `SupplyRestored`.

Source: domain rules, sections 3 and 8.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.events.fact import Fact
from libs.events.metering import MeterEnrolled, RegisterName
from libs.events.supply import SupplyDiverted, SupplyRestored
from libs.events.systems import HoldingReclaimed
from libs.rules.allocation import Demand, Share, allocate
from libs.rules.dumps import Dumped, Loaded

CORRECTABLE_S = 35 * 86_400
"""Seconds after the start of an interval for which its readings can be corrected: 35 days."""

Part = tuple[int, int, int]
"""Start in seconds since 1970, length in seconds, and energy in Wh: one interval of a reading."""

EnergyOf = Callable[[str, RegisterName, int], int | None]
"""Asks for a meter's energy in Wh in the rating interval with this start; None: not known."""


def sum_parts(
    parts: Iterable[Part], rating_interval_s: int, changes: Iterable[Part] = ()
) -> dict[int, int]:
    """Sum the intervals of one register over rating intervals that are known in full.

    Args:
        parts: What was read, no second twice.
        rating_interval_s: Length of a rating interval in seconds.
        changes: What corrections add, in Wh of either sign.

    Returns:
        Energy in Wh by start of the rating interval, in seconds since 1970. An interval of which a
        part is missing is left out; parts coarser than the rating interval are not rated.
    """
    sums: dict[int, int] = defaultdict(int)
    covered_s: dict[int, int] = defaultdict(int)
    for start, step, energy_wh in parts:
        if rating_interval_s % step == 0:
            place = start - start % rating_interval_s
            sums[place] += energy_wh
            covered_s[place] += step
    known = {place for place, known_s in covered_s.items() if known_s == rating_interval_s}
    for start, step, change_wh in changes:
        if rating_interval_s % step == 0:
            sums[start - start % rating_interval_s] += change_wh
    return {place: sums[place] for place in sorted(known)}


@dataclass(frozen=True, slots=True)
class Point:
    """A meter that counts, and since when."""

    meter: str
    """The meter."""
    since: int
    """When it was enrolled, seconds since 1970."""


class Installed:
    """Which meters measure a plant and the homes of its holdings: a fold of METERS."""

    def __init__(self) -> None:
        """Begin with no meter."""
        self._measures: dict[str, tuple[str, str | None]] = {}
        self._plants: dict[str, list[Point]] = defaultdict(list)
        self._homes: dict[str, list[Point]] = defaultdict(list)

    def enrol(self, fact: MeterEnrolled, at: datetime) -> None:
        """Fold an enrolment and its domain time; a grid meter is not rated."""
        point = Point(fact.meter, int(at.timestamp()))
        if fact.role == "generation":
            self._plants[fact.system].append(point)
        elif fact.role == "consumption" and fact.holding is not None:
            self._homes[fact.holding].append(point)
        else:
            return
        self._measures[fact.meter] = fact.system, fact.holding

    def measures(self, meter: str) -> tuple[str, str | None] | None:
        """The system of a plant's meter, or system and holding of a home's; None: not known."""
        return self._measures.get(meter)

    def dump(self) -> Dumped:
        """Give the meters for a snapshot."""
        return {
            "measures": ([meter, *what] for meter, what in dict(self._measures).items()),
            "plants": [
                [system, point.meter, point.since]
                for system, points in self._plants.items()
                for point in points
            ],
            "homes": [
                [holding, point.meter, point.since]
                for holding, points in self._homes.items()
                for point in points
            ],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for meter, system, holding in dumped["measures"]:
            self._measures[meter] = system, holding
        for system, meter, since in dumped["plants"]:
            self._plants[system].append(Point(meter, since))
        for holding, meter, since in dumped["homes"]:
            self._homes[holding].append(Point(meter, since))

    def plant(self, system: str) -> Sequence[Point]:
        """The meters of a system's plant."""
        return self._plants.get(system, ())

    def home(self, holding: str) -> Sequence[Point]:
        """The meters of a holding's consumption."""
        return self._homes.get(holding, ())


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time."""

    since: int
    """From when on, seconds since 1970."""
    until: int | None
    """Until when, not included; None: it goes on."""

    def holds(self, instant: int) -> bool:
        """Tell whether an instant, in seconds since 1970, lies in it."""
        return self.since <= instant and (self.until is None or instant < self.until)


class Diversions:
    """When which holding was diverted, and which was reclaimed: a fold of the ledger's facts."""

    facts = frozenset[type[Fact]]({SupplyDiverted, SupplyRestored, HoldingReclaimed})
    """What `evolve` takes note of."""

    def __init__(self) -> None:
        """Begin with none."""
        self._stretches: dict[str, tuple[Stretch, ...]] = {}
        self._ends: dict[str, int] = {}

    def evolve(self, fact: Fact, at: datetime) -> None:
        """Fold a fact and its domain time; all others are ignored."""
        instant = int(at.timestamp())
        match fact:
            case SupplyDiverted():
                before = self._stretches.get(fact.holding, ())
                self._stretches[fact.holding] = (*before, Stretch(instant, None))
            case SupplyRestored():
                self._end(fact.holding, instant)
            case HoldingReclaimed():
                self._end(fact.holding, instant)
                self._ends[fact.holding] = instant
            case _:
                pass

    def _end(self, holding: str, instant: int) -> None:
        known = self._stretches.get(holding, ())
        if known and known[-1].until is None:
            self._stretches[holding] = (*known[:-1], Stretch(known[-1].since, instant))

    def of(self, holding: str) -> Sequence[Stretch]:
        """When a holding was diverted, oldest first; they do not overlap."""
        return self._stretches.get(holding, ())

    def end_of(self, holding: str) -> int | None:
        """When a holding was reclaimed, seconds since 1970; None: it was not."""
        return self._ends.get(holding)

    def holds(self, holding: str, instant: int) -> bool:
        """Tell whether a holding is diverted at an instant, in seconds since 1970."""
        return any(each.holds(instant) for each in self.of(holding))

    def dump(self) -> Dumped:
        """Give all stretches for a snapshot."""
        stretches, ends = dict(self._stretches), dict(self._ends)
        return {
            "stretches": (
                [holding, each.since, each.until]
                for holding, known in stretches.items()
                for each in known
            ),
            "ends": (list(each) for each in ends.items()),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for holding, since, until in dumped["stretches"]:
            before = self._stretches.get(holding, ())
            self._stretches[holding] = (*before, Stretch(since, until))
        self._ends.update(dict(dumped["ends"]))


@dataclass(frozen=True, slots=True)
class Household:
    """A holding as far as rating looks at it."""

    holding: str
    """The holding."""
    units: int
    """Its units."""
    since: int
    """When it was opened, seconds since 1970."""
    home: Sequence[Point]
    """The meters of its consumption."""
    diverted: Sequence[Stretch] = ()
    """When its supply was diverted: it consumes nothing then."""
    until: int | None = None
    """When it was reclaimed, seconds since 1970; it counts no more from then on."""


@dataclass(frozen=True, slots=True)
class Rated:
    """One rating interval of a system of which everything is known."""

    start: int
    """Its start, seconds since 1970."""
    plant_wh: Mapping[str, int]
    """Generation of every meter of the plant that counts, in Wh."""
    demands: Mapping[str, Demand]
    """What every holding that counts was entitled by and consumed."""
    shares: Mapping[str, Share]
    """What each of them got."""

    @property
    def generated_wh(self) -> int:
        """The system's generation, in Wh."""
        return sum(self.plant_wh.values())

    @property
    def is_lawful(self) -> bool:
        """The law: generated = own use + used by co-holders + surplus."""
        used = sum(
            share.own_use_wh + share.surplus_wh + sum(share.used_of_others_wh.values())
            for share in self.shares.values()
        )
        return used == self.generated_wh


def rate(
    start: int, plant: Sequence[Point], households: Iterable[Household], energy_of: EnergyOf
) -> Rated | None:
    """Rate one interval of a system.

    Args:
        start: Its start, seconds since 1970.
        plant: All meters of the plant.
        households: All holdings of the system.
        energy_of: Knows the meters' energy.

    Returns:
        None when nobody held a part of the system yet, or a meter that counts is not known.
    """
    plant_wh = _known(start, plant, "generated", energy_of)
    if plant_wh is None:
        return None
    demands: dict[str, Demand] = {}
    for each in households:
        if each.since > start or (each.until is not None and each.until <= start):
            continue
        consumed: Mapping[str, int] | None = {}
        if not any(stretch.holds(start) for stretch in each.diverted):
            consumed = _known(start, each.home, "consumed", energy_of)
        if consumed is None:
            return None
        demands[each.holding] = Demand(each.units, sum(consumed.values()))
    if not demands:
        return None
    shares = allocate(sum(plant_wh.values()), demands)
    return Rated(start, plant_wh, demands, shares)


def _known(
    start: int, points: Sequence[Point], register: RegisterName, energy_of: EnergyOf
) -> dict[str, int] | None:
    """Energy of every meter that counts, in Wh; None when there is none or one is not known."""
    found: dict[str, int] = {}
    for point in points:
        if point.since > start:
            continue
        energy_wh = energy_of(point.meter, register, start)
        if energy_wh is None:
            return None
        found[point.meter] = energy_wh
    return found or None
