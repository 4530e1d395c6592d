"""What billing knows from others: readings, meters, prices, systems, payments. Pure.

Every input stream folds into a part of its own; nothing here looks at billing's own facts, so the
order in which streams arrive cannot matter.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from libs.events.books import HoldingOpened, PaymentSettled, SystemProposed
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.metering import MeterEnrolled, ReadingRecorded
from libs.events.positions import write_cause
from libs.events.pricing import TariffPublished
from libs.events.subjects import READINGS
from libs.events.timekeeping import TimeReached
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
        self._reached: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        self._generation: dict[str, list[str]] = defaultdict(list)
        self._consumption: dict[str, list[str]] = defaultdict(list)

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of READINGS, METERS, PRICES or LEDGER."""
        place = recorded.position
        match recorded.fact:
            case ReadingRecorded() as fact:
                self.readings[fact.meter].append(Reading(place.stream, place.sequence, fact))
            case TimeReached() as fact if recorded.stream.startswith(READINGS.name):
                self._reached[place.stream].append((fact.to, place.sequence))
            case MeterEnrolled() as fact:
                self._enrol(fact)
            case TariffPublished() as fact:
                versions = self.tariffs.setdefault(fact.tariff, Tariff()).versions
                versions.append((fact, str(place)))
            case SystemProposed() as fact:
                self.systems[fact.system] = fact
            case HoldingOpened() as fact:
                self.holdings[fact.holding] = fact
            case PaymentSettled() as fact:
                self._clear(fact, write_cause(place, recorded.envelope.id))
            case _:
                pass

    def _enrol(self, fact: MeterEnrolled) -> None:
        if fact.role == "generation":
            self._generation[fact.system].append(fact.meter)
        elif fact.role == "consumption" and fact.holding is not None:
            self._consumption[fact.holding].append(fact.meter)

    def _clear(self, fact: PaymentSettled, cause: str) -> None:
        for part in fact.cleared:
            self.cleared[part.invoice] += part.amount_stroops
            self.cleared_by[part.invoice] = cause

    def holdings_of(self, system: str) -> list[HoldingOpened]:
        """The holdings of a system, in the order in which they were opened."""
        return [each for each in self.holdings.values() if each.system == system]

    def generation_meters(self, system: str) -> Sequence[str]:
        """The meters of a system's plant."""
        return self._generation.get(system, [])

    def consumption_meters(self, holding: str) -> Sequence[str]:
        """The meters of a holding's consumption."""
        return self._consumption.get(holding, [])

    def meters(self, system: str) -> list[str]:
        """Every meter whose readings matter for the bills of a system, sorted."""
        meters = set(self.generation_meters(system))
        for holding in self.holdings_of(system):
            meters.update(self.consumption_meters(holding.holding))
        return sorted(meters)

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
