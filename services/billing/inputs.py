"""What billing knows from others: readings, meters, prices, systems, holdings, repayment. Pure.

Every input stream folds into a part of its own; nothing here looks at billing's own facts, so the
order in which streams arrive cannot matter.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from libs.events.books import HoldingOpened
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.metering import MeterEnrolled, ReadingCorrected, ReadingRecorded
from libs.events.systems import HoldingOwned, HoldingReclaimed, HoldingTransferred, SystemProposed
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.rules.rating import Diversions, Household, Installed
from services.billing.owed import Owed
from services.billing.prices import Prices
from services.billing.reached import Reached, all_reached
from services.billing.readings import MeterLog, rated_register

_Fold = Callable[[Recorded[Fact]], None]

KEPT_MIN: Final = 8_192
"""Intervals of a meter from which on it is looked at what of them can be forgotten."""


class Inputs:
    """The folded inputs of one book."""

    def __init__(self, floor_of: Callable[[str], int]) -> None:
        """Begin with nothing.

        Args:
            floor_of: Tells of a system since when, in seconds since 1970, its readings are needed.
        """
        self.reached: dict[str, Reached] = all_reached()
        """Which stream reached which time, where."""
        self.meters: dict[str, MeterLog] = {}
        """What every meter measured."""
        self.touched: set[str] = set()
        """Meters with readings that nobody has looked at yet."""
        self.installed, self.diversions = Installed(), Diversions()
        self.prices, self.owed = Prices(), Owed()
        self.systems: dict[str, SystemProposed] = {}
        """Every system."""
        self.holdings: dict[str, HoldingOpened] = {}
        """Every holding, as it was opened."""
        self.owned_at: dict[str, int] = {}
        """When a holding was owned, seconds since 1970."""
        self._since: dict[str, int] = {}
        self._of_system: dict[str, list[str]] = defaultdict(list)
        self._holders: dict[str, list[tuple[int, str]]] = {}
        self._reclaimed: dict[str, int] = {}
        self._trimmed_at: dict[str, int] = {}
        self._floor_of = floor_of
        folds: Sequence[tuple[_Fold, Iterable[type[Fact]]]] = (
            (self._read, (ReadingRecorded, ReadingCorrected)),
            (self._reach, (TimeReached, TimeAdvanced)),
            (self._enrol, (MeterEnrolled,)),
            (self.prices.evolve, Prices.facts),
            (self._propose, (SystemProposed,)),
            (self._hold, (HoldingOpened, HoldingTransferred, HoldingOwned, HoldingReclaimed)),
            (self.owed.evolve, Owed.facts),
            (self._divert, Diversions.facts),
        )
        self._folds: dict[type[Fact], list[_Fold]] = defaultdict(list)
        for fold, kinds in folds:
            for kind in kinds:
                self._folds[kind].append(fold)

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of READINGS, METERS, PRICES or LEDGER; most facts of a ledger are ignored."""
        for fold in self._folds.get(type(recorded.fact), ()):
            fold(recorded)

    def _read(self, recorded: Recorded[Fact]) -> None:
        fact: Any = recorded.fact
        measured = self.installed.measures(fact.meter)
        if measured is not None and _end_of(fact) <= self._floor_of(measured[0]):
            return
        log = self.meters.get(fact.meter)
        if log is None:
            register = rated_register(fact)
            if register is None:
                return
            log = self.meters[fact.meter] = MeterLog(recorded.stream, register)
        log.evolve(recorded.position, fact)
        self.touched.add(fact.meter)
        if measured is not None and log.interval_count > self._trimmed_at.get(fact.meter, KEPT_MIN):
            # Nobody closes the periods of a system without agreements, nor of another book.
            log.forget(self._floor_of(measured[0]))
            self._trimmed_at[fact.meter] = max(KEPT_MIN, 2 * log.interval_count)

    def _reach(self, recorded: Recorded[Fact]) -> None:
        fact: Any = recorded.fact
        self.reached[recorded.stream].add(int(fact.to.timestamp()), recorded.sequence)

    def _enrol(self, recorded: Recorded[Fact]) -> None:
        fact: Any = recorded.fact
        self.installed.enrol(fact, recorded.envelope.time)

    def _propose(self, recorded: Recorded[Fact]) -> None:
        fact: Any = recorded.fact
        self.systems[fact.system] = fact

    def _divert(self, recorded: Recorded[Fact]) -> None:
        self.diversions.evolve(recorded.fact, recorded.envelope.time)

    def _hold(self, recorded: Recorded[Fact]) -> None:
        """Fold who holds what."""
        match recorded.fact:
            case HoldingOpened() as fact:
                self.holdings[fact.holding] = fact
                self._since[fact.holding] = int(recorded.envelope.time.timestamp())
                self._of_system[fact.system].append(fact.holding)
                self._holders[fact.holding] = [(recorded.sequence, fact.recipient)]
            case HoldingTransferred() as fact:
                self._holders[fact.holding].append((recorded.sequence, fact.to_member))
            case HoldingOwned() as fact:
                self.owned_at[fact.holding] = int(recorded.envelope.time.timestamp())
            case HoldingReclaimed() as fact:
                self._reclaimed[fact.holding] = recorded.sequence
            case _:
                pass

    def holder(self, holding: str, before: int | None = None) -> str:
        """Who holds a holding: now, or as of a place in LEDGER."""
        holders = self._holders[holding]
        known = [member for place, member in holders if before is None or place < before]
        return known[-1] if known else holders[0][1]

    def is_reclaimed(self, holding: str, before: int | None = None) -> bool:
        """Tell whether a holding was reclaimed: by now, or as of a place in LEDGER."""
        place = self._reclaimed.get(holding)
        return place is not None and (before is None or place < before)

    def households(self, system: str) -> list[Household]:
        """The holdings of a system, as rating looks at them."""
        return [
            Household(
                holding=name,
                units=self.holdings[name].units,
                since=self._since[name],
                home=self.installed.home(name),
                diverted=self.diversions.of(name),
                until=self.diversions.end_of(name),
            )
            for name in self._of_system[system]
        ]

    def meters_of(self, system: str) -> list[str]:
        """Every meter whose readings matter for the bills of a system, sorted."""
        points = [*self.installed.plant(system)]
        for name in self._of_system[system]:
            points += self.installed.home(name)
        return sorted({point.meter for point in points})

    def forget(self, system: str) -> None:
        """Forget the readings of a system that no bill can need any more."""
        floor = self._floor_of(system)
        for meter in self.meters_of(system):
            if meter in self.meters:
                self.meters[meter].forget(floor)


def _end_of(fact: ReadingRecorded | ReadingCorrected) -> int:
    """The end of the last interval, seconds since 1970."""
    if isinstance(fact, ReadingRecorded):
        count = len(fact.registers[0].differences_wh)
    else:
        count = len(fact.registers[0].deltas_wh)
    return int(fact.first_interval_at.timestamp()) + fact.interval_s * count
