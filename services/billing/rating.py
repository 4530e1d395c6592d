"""The readings of one meter, and the corrections to them, as billing counts them. Pure.

Source: domain rules, section 3; what billing and ledger share is in libs/rules/rating.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.events.metering import ReadingCorrected, ReadingRecorded, RegisterName
from libs.rules.rating import Part, sum_parts


@dataclass(frozen=True, slots=True)
class Reading:
    """A recorded reading or a correction, and where it stands."""

    stream: str
    """Its stream."""
    sequence: int
    """Its place there."""
    fact: ReadingRecorded | ReadingCorrected
    """What was read, or by how much that was wrong."""

    @property
    def from_at(self) -> datetime:
        """Start of its first interval."""
        return self.fact.first_interval_at

    @property
    def until_at(self) -> datetime:
        """End of its last interval."""
        count = len(next(iter(_values(self.fact).values())))
        return self.from_at + timedelta(seconds=count * self.fact.interval_s)

    def parts(self, register: RegisterName) -> Iterable[Part]:
        """Its intervals of one register, oldest first."""
        start, step = int(self.from_at.timestamp()), self.fact.interval_s
        for index, energy_wh in enumerate(_values(self.fact).get(register, ())):
            yield start + index * step, step, energy_wh


def _values(fact: ReadingRecorded | ReadingCorrected) -> dict[RegisterName, tuple[int, ...]]:
    if isinstance(fact, ReadingRecorded):
        return {part.name: part.differences_wh for part in fact.registers}
    return {part.name: part.deltas_wh for part in fact.registers}


def touching(readings: Iterable[Reading], from_at: datetime, until_at: datetime) -> list[Reading]:
    """The readings with an interval that starts within the period, in order of sequence."""
    return sorted(
        (each for each in readings if each.from_at < until_at and each.until_at > from_at),
        key=lambda each: each.sequence,
    )


def energy_by_interval(
    readings: Iterable[Reading], register: RegisterName, rating_interval_s: int
) -> dict[int, int]:
    """Sum a register over rating intervals that are known in full, corrections included.

    Args:
        readings: Readings of one meter and their corrections.
        register: The register that counts.
        rating_interval_s: Length of a rating interval in seconds.

    Returns:
        Energy in Wh by start of the interval, in seconds since 1970.
    """
    parts: list[Part] = []
    changes: list[Part] = []
    for each in readings:
        is_change = isinstance(each.fact, ReadingCorrected)
        (changes if is_change else parts).extend(each.parts(register))
    return sum_parts(parts, rating_interval_s, changes)
