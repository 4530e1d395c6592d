"""The rules of corrections: by how much a recorded reading may be changed, by whom, how late. Pure.

Ingest keeps heads only. What an interval holds by now is read from the stream before it is decided
(`lookback`), and counts as long as no other correction of the meter was recorded since.

A correction is decided in this order; the first rule that it breaks names the refusal:

1. `wrong-role`, `unknown-meter`: an approver corrects an enrolled meter of this partition.
2. `wrong-registers`, `registers-differ`, `nothing-changes`: registers of its role, each once, all
   over the same intervals, and not only zeros.
3. `interval-not-multiple`: on the raster of its interval, which divides an hour.
4. `too-old`, `before-enrolment`, `not-recorded`: at most `CORRECTABLE_S` ago, not before the
   enrolment, not behind the head.
5. `not-recorded`: every interval was recorded, with the same length.
6. `below-zero`, `impossible-energy`: what results is at least 0 and at most what the nameplate
   allows, and so is the change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.events.commands import CorrectReading
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.metering import (
    REGISTERS_OF,
    MeterEnrolled,
    MeterHead,
    ReadingCorrected,
    ReadingRecorded,
    RegisterCorrection,
    RegisterName,
)
from libs.events.quantities import format_instant
from libs.rules.authority import Order
from libs.rules.rating import CORRECTABLE_S
from libs.runtime.failures import NotFound, Refused, Transient
from services.ingest.heads import energy_limit_wh

HOUR_S = 3_600
"""Seconds in an hour; an interval divides it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Intervals of one meter, all of the same length."""

    meter: str
    """The meter."""
    start: int
    """Start of the first, seconds since 1970."""
    step: int
    """Length of each in seconds."""
    count: int
    """How many follow each other."""

    @classmethod
    def by(cls, body: CorrectReading) -> "Asked":
        """The intervals of a correction."""
        start = int(body.first_interval_at.timestamp())
        return cls(body.meter, start, body.interval_s, len(body.registers[0].deltas_wh))


class LookBackNeeded(Transient):
    """Raised by the rules: the stream must be asked what it holds, then it is decided."""

    def __init__(self, asked: Asked) -> None:
        super().__init__("look-back", "the readings must be looked up first; ask again")
        self.asked = asked


class Looked:
    """What the stream held of some intervals when it was asked."""

    def __init__(self, asked: Asked, until: int) -> None:
        """Begin with nothing.

        Args:
            asked: The intervals.
            until: How far the stream is read.
        """
        self.asked, self.until = asked, until
        self._known: dict[RegisterName, list[int | None]] = {}

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of the meter; every correction stands behind its reading."""
        fact = recorded.fact
        if isinstance(fact, ReadingRecorded):
            for part in fact.registers:
                self._add(part.name, fact, part.differences_wh)
        elif isinstance(fact, ReadingCorrected):
            for change in fact.registers:
                self._add(change.name, fact, change.deltas_wh)

    def energy_wh(self, register: RegisterName, index: int) -> int | None:
        """Energy of one of the intervals in Wh, with its corrections; None: never recorded."""
        known = self._known.get(register)
        return None if known is None else known[index]

    def _add(
        self,
        register: RegisterName,
        fact: ReadingRecorded | ReadingCorrected,
        numbers: Sequence[int],
    ) -> None:
        asked, start = self.asked, int(fact.first_interval_at.timestamp())
        if fact.interval_s != asked.step:
            return
        known = self._known.setdefault(register, [None] * asked.count)
        for index, number in enumerate(numbers, (start - asked.start) // asked.step):
            if 0 <= index < asked.count:
                known[index] = (known[index] or 0) + number


class Corrections:
    """Decides corrections; remembers where each meter's last one stands."""

    def __init__(self) -> None:
        """Begin with none."""
        self._last: dict[str, int] = {}
        self._looked: Looked | None = None

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of READINGS."""
        if isinstance(recorded.fact, ReadingCorrected):
            self._last[recorded.fact.meter] = recorded.sequence

    def look(self, looked: Looked) -> None:
        """Take what the stream holds of some intervals, for the next decision alone."""
        self._looked = looked

    def decide(
        self,
        order: Order,
        enrolled: MeterEnrolled | None,
        enrolled_at: datetime | None,
        head: MeterHead | None,
    ) -> Draft:
        """Decide a correction.

        Args:
            order: The judged command.
            enrolled: The meter's enrolment, if there is one.
            enrolled_at: Its domain time.
            head: The meter's head.

        Raises:
            NotFound, Refused: By the rule that the code names.
            LookBackNeeded: All rules are kept that can be judged without the readings.
        """
        order.require("approver")
        body = order.body(CorrectReading)
        if enrolled is None or enrolled_at is None or head is None:
            raise NotFound(
                "unknown-meter", f"{body.meter} is not enrolled here", field="body.meter"
            )
        _check_registers(body.registers, enrolled)
        _check_time(body, order.time, enrolled_at, head)
        limit_wh = energy_limit_wh(enrolled, body.interval_s)
        for part in body.registers:
            if max(map(abs, part.deltas_wh)) > limit_wh:
                raise _impossible(part.name, enrolled, limit_wh)
        self._check_result(body, enrolled, limit_wh)
        fact = ReadingCorrected(
            meter=body.meter,
            correction=order.id,
            first_interval_at=body.first_interval_at,
            interval_s=body.interval_s,
            registers=body.registers,
            reason=body.reason,
            command=order.text,
        )
        return Draft(body.meter, fact, f"{order.id}.corrected", order.time)

    def _check_result(self, body: CorrectReading, enrolled: MeterEnrolled, limit_wh: int) -> None:
        """Check what every interval would hold afterwards."""
        asked, looked, self._looked = Asked.by(body), self._looked, None
        last = self._last.get(body.meter, 0)
        if looked is None or looked.asked != asked or looked.until < last:
            raise LookBackNeeded(asked)
        for part in body.registers:
            for index, delta_wh in enumerate(part.deltas_wh):
                known_wh = looked.energy_wh(part.name, index)
                name = f"{part.name}, interval {index + 1}"
                if known_wh is None:
                    raise Refused(
                        "not-recorded",
                        f"{name}: no reading of {body.interval_s} s was recorded",
                        field="body.first_interval_at",
                    )
                if known_wh + delta_wh < 0:
                    raise Refused(
                        "below-zero",
                        f"{name}: {known_wh} Wh are recorded, {delta_wh} Wh is too much",
                        field="body.registers",
                    )
                if known_wh + delta_wh > limit_wh:
                    raise _impossible(part.name, enrolled, limit_wh)


def _check_registers(registers: Sequence[RegisterCorrection], enrolled: MeterEnrolled) -> None:
    """Check that the registers are the meter's, and that they say something."""
    names, expected = [part.name for part in registers], REGISTERS_OF[enrolled.role]
    if len(set(names)) != len(names) or not set(names) <= expected:
        raise Refused(
            "wrong-registers",
            f"a {enrolled.role} meter has {', '.join(sorted(expected))}, each once",
            field="body.registers",
        )
    if len({len(part.deltas_wh) for part in registers}) != 1:
        raise Refused(
            "registers-differ",
            "all registers must cover the same intervals",
            field="body.registers",
        )
    if not any(any(part.deltas_wh) for part in registers):
        raise Refused("nothing-changes", "every change is 0", field="body.registers")


def _check_time(
    body: CorrectReading, now: datetime, enrolled_at: datetime, head: MeterHead
) -> None:
    """Check where the intervals lie: on the raster, not too old, behind nothing that is known."""
    start, step = body.first_interval_at, body.interval_s
    field = "body.first_interval_at"
    if HOUR_S % step or int(start.timestamp()) % step:
        raise Refused(
            "interval-not-multiple",
            "interval_s divides an hour, and first_interval_at is a multiple of it",
            field=field,
        )
    if start < now - timedelta(seconds=CORRECTABLE_S):
        days = CORRECTABLE_S // 86_400
        raise Refused("too-old", f"at most {days} days are corrected", field=field)
    if start < enrolled_at:
        raise Refused(
            "before-enrolment",
            f"the meter counts from {format_instant(enrolled_at)}",
            field=field,
        )
    length = timedelta(seconds=step * len(body.registers[0].deltas_wh))
    if head.until_at is None or start > head.until_at - length:
        raise Refused("not-recorded", "the meter has not reported so far", field=field)


def _impossible(register: RegisterName, enrolled: MeterEnrolled, limit_wh: int) -> Refused:
    return Refused(
        "impossible-energy",
        f"{register}: {enrolled.nameplate_w} W allow {limit_wh} Wh in one interval",
        field="body.registers",
    )
