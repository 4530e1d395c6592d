"""What billing knows from others: readings, meters, prices, systems, payments. Pure.

Every input stream folds into a part of its own; nothing here looks at billing's own facts, so the
order in which streams arrive cannot matter.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from libs.events.books import HoldingOpened, PaymentSettled, SystemProposed
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.metering import MeterEnrolled, ReadingCorrected, ReadingRecorded
from libs.events.positions import write_cause
from libs.events.pricing import TariffPublished
from libs.events.subjects import READINGS
from libs.events.timekeeping import TimeReached
from libs.rules.rating import Household, Installed
from services.billing.rating import Reading


@dataclass(slots=True)
class Tariff:
    """The versions of a tariff, oldest first, with their positions."""

    versions: list[tuple[TariffPublished, str]] = field(default_factory=list)

    def at(self, instant: datetime) -> tuple[TariffPublished, str] | None:
        """The version that holds at an instant, when there is one."""
        place = bisect_right(self.versions, instant, key=lambda each: each[0].effective_from)
        return self.versions[place - 1] if place else None


class Inputs:
    """The folded inputs of one book."""

    def __init__(self) -> None:
        self.readings: dict[str, list[Reading]] = defaultdict(list)
        self.tariffs: dict[str, Tariff] = {}
        self.systems: dict[str, SystemProposed] = {}
        self.holdings: dict[str, HoldingOpened] = {}
        self.cleared: dict[str, int] = defaultdict(int)
        self.cleared_by: dict[str, str] = {}
        self.corrections: list[Reading] = []
        """Every correction, in the order of reading; an approver signs each, so they are few."""
        self.installed = Installed()
        self._opened_at: dict[str, int] = {}
        self._reached: dict[str, list[tuple[datetime, int]]] = defaultdict(list)

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of READINGS, METERS, PRICES or LEDGER."""
        place = recorded.position
        match recorded.fact:
            case ReadingRecorded() | ReadingCorrected() as fact:
                reading = Reading(place.stream, place.sequence, fact)
                self.readings[fact.meter].append(reading)
                if isinstance(fact, ReadingCorrected):
                    self.corrections.append(reading)
            case TimeReached() as fact if recorded.stream.startswith(READINGS.name):
                self._reached[place.stream].append((fact.to, place.sequence))
            case MeterEnrolled() as fact:
                self.installed.enrol(fact, recorded.envelope.time)
            case TariffPublished() as fact:
                versions = self.tariffs.setdefault(fact.tariff, Tariff()).versions
                versions.append((fact, str(place)))
            case SystemProposed() as fact:
                self.systems[fact.system] = fact
            case HoldingOpened() as fact:
                self.holdings[fact.holding] = fact
                self._opened_at[fact.holding] = int(recorded.envelope.time.timestamp())
            case PaymentSettled() as fact:
                self._clear(fact, write_cause(place, recorded.envelope.id))
            case _:
                pass

    def _clear(self, fact: PaymentSettled, cause: str) -> None:
        for part in fact.cleared:
            self.cleared[part.invoice] += part.amount_stroops
            self.cleared_by[part.invoice] = cause

    def holdings_of(self, system: str) -> list[HoldingOpened]:
        """The holdings of a system, in the order in which they were opened."""
        return [each for each in self.holdings.values() if each.system == system]

    def households(self, system: str) -> list[Household]:
        """The same holdings, as rating looks at them."""
        return [
            Household(
                each.holding,
                each.units,
                self._opened_at[each.holding],
                self.installed.home(each.holding),
            )
            for each in self.holdings_of(system)
        ]

    def meters(self, system: str) -> list[str]:
        """Every meter whose readings matter for the bills of a system, sorted."""
        points = [*self.installed.plant(system)]
        for holding in self.holdings_of(system):
            points += self.installed.home(holding.holding)
        return sorted({point.meter for point in points})

    def cutoffs(self, final_at: datetime) -> Mapping[str, int]:
        """Where each READINGS stream first reached a time: readings before it count."""
        return {
            stream: next(sequence for time, sequence in reached if time >= final_at)
            for stream, reached in self._reached.items()
        }

    def forget(self, system: str, needed_from: datetime) -> None:
        """Drop readings that end before the oldest instant that can still be billed."""
        for meter in self.meters(system):
            self.readings[meter] = [
                reading for reading in self.readings[meter] if reading.until_at > needed_from
            ]
