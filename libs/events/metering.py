"""Facts of ingest: meters, and what they measured. And the report that a meter signs."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from libs.events.fact import Fact, Strict, fact
from libs.events.ids import Address, HashHex, Id, Reference
from libs.events.quantities import Count, EnergyChangeWh, EnergyWh, Instant, Ordinal, PowerW
from libs.events.subjects import METERS, READINGS

INTERVALS_MAX = 96
"""Most intervals in one report."""

GAPS_MAX = 64
"""Most open gaps that a meter's head remembers."""

RegisterName = Literal["generated", "consumed", "imported", "exported"]
"""What a cumulative register counts. None of them ever runs backwards."""

MeterRole = Literal["generation", "consumption", "grid"]
"""What a meter is for: a plant, one holding's consumption, or the connection to the grid."""

IntervalS = Annotated[int, Field(strict=True, ge=60, le=3600)]
"""Length of an interval in seconds; it divides an hour."""

SignedText = Annotated[
    str, StringConstraints(strict=True, max_length=65_536, pattern=r"^[A-Za-z0-9_.-]+$")
]
"""A compact JWS, as it was received."""

SignedBatchText = Annotated[
    str, StringConstraints(strict=True, max_length=163_840, pattern=r"^[A-Za-z0-9_.-]+$")
]
"""A signed command as it was received, which may be a batch of commands."""

REGISTERS_OF: dict[MeterRole, frozenset[RegisterName]] = {
    "generation": frozenset({"generated", "consumed"}),
    "consumption": frozenset({"consumed"}),
    "grid": frozenset({"imported", "exported"}),
}
"""The registers that a meter of each role reports. A plant's `consumed` is its own night draw."""


class RegisterValue(Strict):
    """One register at one instant."""

    name: RegisterName
    """Which register."""
    value_wh: EnergyWh
    """Its cumulative count in Wh."""


class RegisterDifferences(Strict):
    """One register over the intervals of a report."""

    name: RegisterName
    """Which register."""
    differences_wh: Annotated[tuple[EnergyWh, ...], Field(min_length=1, max_length=INTERVALS_MAX)]
    """Difference of the cumulative register over each interval, in Wh, oldest first."""
    after_wh: EnergyWh
    """The cumulative register after the last interval, in Wh."""


class Intervals(Strict):
    """What a report says: consecutive intervals of one meter, and its registers after them."""

    meter: Id
    """The meter."""
    seq: Ordinal
    """Number of the report: the meter's own count, from 1, never used twice."""
    epoch: Ordinal
    """Register epoch: a swap or reset of the registers starts a new one."""
    first_interval_at: Instant
    """Start of the first interval; a multiple of the interval's length since 1970."""
    interval_s: IntervalS
    """Length of every interval, in seconds."""
    registers: Annotated[tuple[RegisterDifferences, ...], Field(min_length=1, max_length=4)]
    """The meter's registers, each once, all over the same intervals."""

    @model_validator(mode="after")
    def _check(self) -> "Intervals":
        if 3600 % self.interval_s:
            raise ValueError("interval_s must divide an hour")
        if int(self.first_interval_at.timestamp()) % self.interval_s:
            raise ValueError("first_interval_at must be a multiple of interval_s")
        if len({part.name for part in self.registers}) != len(self.registers):
            raise ValueError("registers must name each register once")
        if len({len(part.differences_wh) for part in self.registers}) != 1:
            raise ValueError("registers must all cover the same intervals")
        return self

    @property
    def interval_count(self) -> int:
        """Number of intervals, 1 to 96."""
        return len(self.registers[0].differences_wh)


class Report(Intervals):
    """What a meter signs: the payload of a `hg-report+jws`."""

    deployment: Id
    """The installation for which it is meant."""


class MeterGap(Strict):
    """A stretch between two accepted reports for which no report was accepted yet."""

    from_at: Instant
    """End of the report before the gap."""
    until_at: Instant
    """Start of the report after the gap."""
    first_seq: Ordinal
    """First missing sequence."""
    last_seq: Count
    """Last missing sequence; one below `first_seq` when time was lost but no report."""
    before: tuple[RegisterValue, ...]
    """Registers at its start."""
    after: tuple[RegisterValue, ...]
    """Registers at its end."""


class MeterHead(Strict):
    """All that ingest needs to judge a meter's next report."""

    epoch: Ordinal
    """Register epoch."""
    seq: Count
    """Highest accepted sequence; 0 before the first."""
    until_at: Instant | None = None
    """End of the newest accepted interval; absent before the first report."""
    registers: tuple[RegisterValue, ...]
    """Registers at that instant."""
    gaps: Annotated[tuple[MeterGap, ...], Field(max_length=GAPS_MAX)]
    """Open gaps, oldest first."""


@fact("MeterEnrolled", 1, METERS)
class MeterEnrolled(Fact):
    """An approver bound a meter to the key that signs for it."""

    meter: Id
    """The meter."""
    address: Address
    """The key of its Teller; one key may serve several meters."""
    role: MeterRole
    """What the meter is for."""
    system: Id
    """The system at which it stands."""
    holding: Id | None = None
    """The holding whose consumption it measures; only for the role `consumption`."""
    site: Id
    """The site; the second token of its intake subject."""
    nameplate_w: PowerW
    """Most power that it can measure, in W; more energy is refused as impossible."""
    starts: tuple[RegisterValue, ...]
    """Its registers at enrolment, each register of its role once."""
    command: SignedText
    """The approver's signed command."""


@fact("ReadingRecorded", 1, READINGS)
class ReadingRecorded(Fact):
    """A meter's report was verified and accepted."""

    meter: Id
    """The meter."""
    seq: Ordinal
    """Number of the report."""
    epoch: Ordinal
    """Register epoch."""
    first_interval_at: Instant
    """Start of the first interval."""
    interval_s: IntervalS
    """Length of every interval, in seconds."""
    registers: Annotated[tuple[RegisterDifferences, ...], Field(min_length=1, max_length=4)]
    """Differences per interval and the register after them, in Wh."""
    head: MeterHead
    """The meter's head after this report."""
    report: SignedText
    """The signed report, as it was received."""


@fact("ReadingRefused", 1, READINGS)
class ReadingRefused(Fact):
    """A report of an enrolled meter, rightly signed, broke a rule: an auditor would ask."""

    meter: Id
    """The meter."""
    seq: Ordinal | None = None
    """Number of the report, when it could be read."""
    reason: Id
    """Code of the rule that refused it."""
    detail: Annotated[str, StringConstraints(strict=True, max_length=500)]
    """The rule in words, with the field."""
    sha256: HashHex
    """Hash of the signed report."""
    report: SignedText
    """The signed report, as it was received."""


CorrectionReason = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=200, pattern=r"^[\x20-\x7e]+$")
]
"""Why a reading is corrected; printable ASCII, never personal data."""


class RegisterCorrection(Strict):
    """By how much one register was wrong over the intervals of a correction."""

    name: RegisterName
    """Which register."""
    deltas_wh: Annotated[tuple[EnergyChangeWh, ...], Field(min_length=1, max_length=INTERVALS_MAX)]
    """What is added to each interval, in Wh, oldest first; below zero for a lower reading."""


@fact("ReadingCorrected", 1, READINGS)
class ReadingCorrected(Fact):
    """An approver corrected what a meter had recorded; the device's own chain stays as signed."""

    meter: Id
    """The meter."""
    correction: Reference
    """The correction: `<member>.<command id>`."""
    first_interval_at: Instant
    """Start of the first interval that is corrected."""
    interval_s: IntervalS
    """Length of every interval, in seconds: that of the readings."""
    registers: Annotated[tuple[RegisterCorrection, ...], Field(min_length=1, max_length=4)]
    """Signed changes per interval, each register once; later ones add to earlier ones."""
    reason: CorrectionReason
    """Why, in the approver's words."""
    command: SignedText
    """The approver's signed command."""
