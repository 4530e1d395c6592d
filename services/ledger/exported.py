"""What the grid meters of systems exported, as far as energy can still be sold. Pure.

Source: domain rules, sections 3 and 8.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Final

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.metering import MeterEnrolled, ReadingCorrected, ReadingRecorded
from libs.rules.dumps import Dumped, Loaded, dump_parts, load_parts
from libs.rules.rating import Point, sum_parts
from libs.rules.series import Series


class Exported:
    """Grid meters, and their export registers by interval."""

    facts: Final = frozenset[type[Fact]]({ReadingRecorded, ReadingCorrected, MeterEnrolled})
    """What `evolve` takes note of."""

    def __init__(self, is_wanted: Callable[[str], bool]) -> None:
        """Begin with no meter.

        Args:
            is_wanted: Tells whether a system sells to the grid in this book; what the grid meters
                of others say is not kept.
        """
        self._is_wanted = is_wanted
        self._system_of: dict[str, str] = {}
        self._meters: dict[str, list[Point]] = defaultdict(list)
        self._readings = Series()

    def evolve(self, recorded: Recorded[Fact]) -> str | None:
        """Fold a fact of READINGS or METERS; what is not of a grid meter is left.

        Returns:
            The system of which more is known now, if it is one.
        """
        match recorded.fact:
            case MeterEnrolled() as fact if fact.role == "grid":
                self._system_of[fact.meter] = fact.system
                since = int(recorded.envelope.time.timestamp())
                self._meters[fact.system].append(Point(fact.meter, since))
                return fact.system
            case ReadingRecorded() | ReadingCorrected() as fact:
                return self._read(fact)
            case _:
                return None

    def _read(self, fact: ReadingRecorded | ReadingCorrected) -> str | None:
        system = self._system_of.get(fact.meter)
        if system is not None and not self._is_wanted(system):
            return None
        start = int(fact.first_interval_at.timestamp())
        if isinstance(fact, ReadingRecorded):
            for part in fact.registers:
                if part.name == "exported":
                    self._readings.put(fact.meter, start, fact.interval_s, part.differences_wh)
                    return system
            return None
        for change in fact.registers:
            if change.name == "exported":
                deltas = change.deltas_wh
                self._readings.add(fact.meter, start, fact.interval_s, deltas, to_unknown=False)
                return system
        return None

    def energy_wh(self, system: str, start: int, interval_s: int) -> int | None:
        """What a system exported in a rating interval, in Wh.

        Args:
            system: The system.
            start: Start of the interval, seconds since 1970.
            interval_s: Its length in seconds.

        Returns:
            The sum over the grid meters that count; None when there is none, or one is not known.
        """
        meters = [each.meter for each in self._meters.get(system, ()) if each.since <= start]
        known = [self._meter_wh(meter, start, interval_s) for meter in meters]
        sums = [energy_wh for energy_wh in known if energy_wh is not None]
        return sum(sums) if sums and len(sums) == len(known) else None

    def _meter_wh(self, meter: str, start: int, interval_s: int) -> int | None:
        parts = self._readings.parts(meter, start, start + interval_s)
        return sum_parts(parts, interval_s).get(start)

    def drop_before(self, instant: int) -> None:
        """Forget the days that ended by a second since 1970."""
        self._readings.drop_before(instant)

    def dump(self) -> Dumped:
        """Give meters and readings for a snapshot."""
        return {
            "meters": [
                [system, each.meter, each.since]
                for system, points in self._meters.items()
                for each in points
            ],
            **dump_parts({"readings": self._readings}),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for system, meter, since in dumped["meters"]:
            self._system_of[meter] = system
            self._meters[system].append(Point(meter, since))
        load_parts({"readings": self._readings}, dumped)
