"""What READINGS and METERS say, as far as minting still looks at it. Pure.

Which readings count is fixed by READINGS alone: those that were recorded before their stream had
reached the end of their day, UTC, and `KEPT_S` more. So it does not matter when the ledger reads
them. What was forgotten never comes back.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.metering import MeterEnrolled, ReadingCorrected, ReadingRecorded, RegisterName
from libs.events.positions import write_cause
from libs.events.subjects import READINGS
from libs.events.timekeeping import TimeReached
from libs.rules.dumps import Dumped, Loaded, dump_parts, load_parts
from libs.rules.rating import CORRECTABLE_S, Installed, sum_parts
from libs.rules.series import DAY_S, Series
from services.ledger.pending import Origin, Pending

MINT_LAG_S: Final = 900
"""Seconds from the end of an interval to its mint: most readings have come by then."""

KEPT_S: Final = CORRECTABLE_S + DAY_S
"""Seconds after its day for which an interval can be minted: a day more than ingest takes
corrections, so that whatever it accepts counts."""

_RATED: Final[tuple[RegisterName, ...]] = ("generated", "consumed")


class Metered:
    """Readings of the last weeks with their corrections, meters, and what was touched."""

    facts: Final = frozenset[type[Fact]](
        {ReadingRecorded, ReadingCorrected, MeterEnrolled, TimeReached}
    )
    """What `evolve` takes note of."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.installed = Installed()
        self._held: dict[str, str] = {}
        self._held_systems: set[str] = set()
        self._enrolled: dict[str, Origin] = {}
        self._readings = Series()
        self._reached: dict[str, int] = {}
        self._pending = Pending()
        self._decided_at = 0
        self._decided: Mapping[str, int] = {}

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of READINGS or METERS."""
        match recorded.fact:
            case ReadingRecorded() | ReadingCorrected() as fact:
                self._read(recorded, fact)
            case MeterEnrolled() as fact:
                self._enrol(recorded, fact)
            case TimeReached() as fact if recorded.stream.startswith(READINGS.name):
                self._reached[recorded.stream] = int(fact.to.timestamp())
            case _:
                pass

    def decide_up_to(self, instant: int, seen: Mapping[str, int]) -> None:
        """Fold that the book has reached a time: what it had seen by then is decided.

        Args:
            instant: Seconds since 1970.
            seen: How far it had read each stream.
        """
        before, self._decided_at, self._decided = self._decided_at, instant, seen
        self._pending.settle(instant - MINT_LAG_S, self._is_decided)
        self._readings.drop_before(instant - KEPT_S)
        if instant // DAY_S > before // DAY_S:
            names = [name for meter in self._enrolled for name in self._names_not_held(meter)]
            self._readings.drop_names(names, before, instant)

    def has_touched(self, until: int) -> bool:
        """Tell whether an interval that ended by then is to be looked at."""
        return self._pending.has_any(until)

    def take_touched(self, until: int) -> Iterator[tuple[int, str, Origin]]:
        """Take out what is to be looked at and ended by then: its end, meter and who asks."""
        return self._pending.take(until)

    def energy_wh(
        self, meter: str, register: RegisterName, start: int, interval_s: int
    ) -> int | None:
        """A meter's energy in a rating interval, in Wh; None: not known."""
        parts = self._readings.parts(f"{meter}/{register}", start, start + interval_s)
        return sum_parts(parts, interval_s).get(start)

    def _read(self, recorded: Recorded[Fact], fact: ReadingRecorded | ReadingCorrected) -> None:
        numbers = _numbers(fact)
        if not numbers:
            return  # a grid meter
        start, step = int(fact.first_interval_at.timestamp()), fact.interval_s
        reached = self._reached.get(recorded.stream, 0)
        first_at = max(self._readings.first_at, _day_of(reached - KEPT_S))
        if any(self._names_not_held(fact.meter)):
            first_at = max(first_at, _day_of(self._decided_at))
        left_out = max(0, -(-(first_at - start) // step))
        start += left_out * step
        for register, values in numbers.items():
            name, counting = f"{fact.meter}/{register}", values[left_out:]
            if isinstance(fact, ReadingRecorded):
                self._readings.put(name, start, step, counting)
            else:
                self._readings.add(name, start, step, counting, to_unknown=False)
        count = len(next(iter(numbers.values()))) - left_out
        origin = _origin(recorded)
        for end in range(start + step, start + step * (count + 1), step):
            self._touch(end, fact.meter, origin)

    def hold(self, holding: str, system: str) -> None:
        """Fold that the book opened a holding."""
        self._held[holding] = system
        self._held_systems.add(system)

    def system_of(self, meter: str) -> str | None:
        """The system that a meter measures, if the book has opened a holding for which it counts.

        What other meters say is kept only for days that are not over: a holding counts from its
        opening, which is never in the past.
        """
        system, holding = self.installed.measures(meter) or ("", None)
        if holding is not None:
            return self._held.get(holding)
        return system if system in self._held_systems else None

    def _names_not_held(self, meter: str) -> Iterator[str]:
        """The names of a meter's numbers, if it is known to measure what is not ours."""
        if self.installed.measures(meter) is not None and self.system_of(meter) is None:
            yield from (f"{meter}/{register}" for register in _RATED)

    def _touch(self, end: int, meter: str, origin: Origin) -> None:
        """Ask to look at an interval, unless the book did so before it said its last time."""
        if end + MINT_LAG_S > self._decided_at or not self._is_decided(meter, origin):
            self._pending.touch(end, meter, origin)

    def _is_decided(self, meter: str, origin: Origin) -> bool:
        """Tell whether the book had read a fact, and the meter's enrolment, when it reached it."""
        enrolled = self._enrolled.get(meter)
        return enrolled is not None and all(
            self._decided.get(each.stream, 0) >= each.sequence for each in (origin, enrolled)
        )

    def _enrol(self, recorded: Recorded[Fact], fact: MeterEnrolled) -> None:
        """Fold an enrolment; readings may have been read before it."""
        origin = self._enrolled[fact.meter] = _origin(recorded)
        self.installed.enrol(fact, recorded.envelope.time)
        for register in _RATED:
            for end in self._readings.ends(f"{fact.meter}/{register}"):
                self._touch(end, fact.meter, origin)

    def dump(self) -> Dumped:
        """Give everything for a snapshot."""
        enrolled, held = dict(self._enrolled), dict(self._held)
        return {
            "held": (list(each) for each in held.items()),
            "enrolled": ([meter, *origin] for meter, origin in enrolled.items()),
            "reached": [list(each) for each in self._reached.items()],
            "decided": [self._decided_at, dict(self._decided)],
            **dump_parts(self._parts()),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for holding, system in dumped["held"]:
            self.hold(holding, system)
        for meter, stream, sequence, cause in dumped["enrolled"]:
            self._enrolled[meter] = Origin(stream, sequence, cause)
        self._reached.update(dict(dumped["reached"]))
        self._decided_at, self._decided = dumped["decided"]
        load_parts(self._parts(), dumped)

    def _parts(self) -> dict[str, Installed | Series | Pending]:
        return {
            "installed": self.installed,
            "readings": self._readings,
            "pending": self._pending,
        }


def _day_of(instant: int) -> int:
    """Start of the day, UTC, of a second since 1970."""
    return instant // DAY_S * DAY_S


def _origin(recorded: Recorded[Fact]) -> Origin:
    cause = write_cause(recorded.position, recorded.envelope.id)
    return Origin(recorded.stream, recorded.sequence, cause)


def _numbers(fact: ReadingRecorded | ReadingCorrected) -> Mapping[RegisterName, Sequence[int]]:
    """The registers that may be rated. A plant's own draw at night is none of them."""
    if isinstance(fact, ReadingCorrected):
        return {part.name: part.deltas_wh for part in fact.registers if part.name in _RATED}
    known = {part.name: part.differences_wh for part in fact.registers if part.name in _RATED}
    if "generated" in known:
        known.pop("consumed", None)
    return known
