"""From readings to rated energy: which intervals have both meters, and who used what. Pure.

Source: domain rules, section 3.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.events.metering import ReadingRecorded, RegisterName
from libs.rules.allocation import Demand, allocate


@dataclass(frozen=True, slots=True)
class Reading:
    """A recorded reading and where it stands."""

    stream: str
    """Its stream."""
    sequence: int
    """Its place there."""
    fact: ReadingRecorded
    """What was read."""

    @property
    def from_at(self) -> datetime:
        """Start of its first interval."""
        return self.fact.first_interval_at

    @property
    def until_at(self) -> datetime:
        """End of its last interval."""
        count = len(self.fact.registers[0].differences_wh)
        return self.from_at + timedelta(seconds=count * self.fact.interval_s)


def touching(readings: Iterable[Reading], from_at: datetime, until_at: datetime) -> list[Reading]:
    """The readings with an interval that starts within the period, in order of sequence."""
    return sorted(
        (each for each in readings if each.from_at < until_at and each.until_at > from_at),
        key=lambda each: each.sequence,
    )


def energy_by_interval(
    readings: Iterable[Reading], register: RegisterName, rating_interval_s: int
) -> dict[int, int]:
    """Sum a register over rating intervals that are known in full.

    Args:
        readings: Readings of one meter.
        register: The register that counts.
        rating_interval_s: Length of a rating interval in seconds.

    Returns:
        Energy in Wh by start of the interval, in seconds since 1970. An interval of which a part
        is missing is left out; readings coarser than the rating interval are not rated.
    """
    sums: dict[int, int] = {}
    covered_s: dict[int, int] = {}
    for reading in readings:
        step = reading.fact.interval_s
        if rating_interval_s % step:
            continue
        start = int(reading.from_at.timestamp())
        for part in reading.fact.registers:
            if part.name != register:
                continue
            for index, energy_wh in enumerate(part.differences_wh):
                place = (start + index * step) // rating_interval_s * rating_interval_s
                sums[place] = sums.get(place, 0) + energy_wh
                covered_s[place] = covered_s.get(place, 0) + step
    return {
        place: sums[place] for place, known_s in covered_s.items() if known_s == rating_interval_s
    }


@dataclass(frozen=True, slots=True)
class Rated:
    """What a holding used of its own part, and what there was, over some intervals."""

    start: int
    """Start of the interval, seconds since 1970."""
    generated_wh: int
    """The system's generation, in Wh."""
    consumed_wh: int
    """The holding's consumption, in Wh."""
    own_use_wh: int
    """What it used of its own part, in Wh: what is billed."""


def rate(
    generated: Mapping[int, int],
    consumed: Mapping[str, Mapping[int, int]],
    units: Mapping[str, int],
    holding: str,
    starts: Sequence[int],
) -> list[Rated]:
    """Rate the intervals of a period for one holding.

    Args:
        generated: The system's generation by interval, in Wh.
        consumed: Consumption by interval, for every holding of the system, in Wh.
        units: Units of every holding.
        holding: The holding that is rated.
        starts: Starts of the intervals, seconds since 1970.

    Returns:
        The intervals in which all meters are known; the others are not rated.
    """
    rated = []
    for start in starts:
        generated_wh = generated.get(start)
        demands = {
            each: Demand(units[each], energy[start])
            for each, energy in consumed.items()
            if start in energy
        }
        if generated_wh is None or len(demands) != len(consumed):
            continue
        share = allocate(generated_wh, demands)[holding]
        rated.append(Rated(start, generated_wh, demands[holding].consumed_wh, share.own_use_wh))
    return rated
