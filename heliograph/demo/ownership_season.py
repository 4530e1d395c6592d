"""What the meters of the demonstration of ownership measure. Pure.

The plant is the real series; what the households draw is a stated profile, and the grid meter takes
the difference. A household whose energy is sold draws from elsewhere meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Final
from zoneinfo import ZoneInfo

from heliograph.demo.ownership_cast import (
    ANNA,
    BEN,
    FIRST_DAY,
    GRID_METER,
    PLANT_METER,
    ZONE,
    Household,
)
from heliograph.demo.player import local_midnight
from services.teller.domain import Counted, generation
from services.teller.source import Source

STEP_S: Final = 900
"""Length of an interval in seconds."""

_EVENING: Final = range(17, 22)
_PER_HOUR: Final = 4


@dataclass(frozen=True, slots=True)
class Season:
    """Energy of every interval, in Wh, in the order of `instants`."""

    instants: Sequence[int]
    """Start of every interval, seconds since 1970."""
    generated_wh: Sequence[int]
    """What the plant gave."""
    anna_wh: Sequence[int]
    """What Anna drew."""
    ben_wh: Sequence[int]
    """What Ben's meter counted, before it was corrected."""
    imported_wh: Sequence[int]
    """What came from the grid."""
    exported_wh: Sequence[int]
    """What went to the grid."""
    meters: Sequence[Counted]
    """The four meters, as a Teller counts them."""

    @property
    def days(self) -> int:
        """Local midnights after the first until everything is billed."""
        end = datetime.fromtimestamp(self.instants[-1], UTC).astimezone(ZoneInfo(ZONE)).date()
        return (end - FIRST_DAY).days + 2

    def until(self, midnight: datetime) -> int:
        """Index behind the last interval that ends by an instant."""
        end = int(midnight.timestamp())
        return sum(instant + STEP_S <= end for instant in self.instants)


def midnight_of(day: int) -> datetime:
    """The local midnight with which a day of the play begins; day 0 is the first."""
    return local_midnight(FIRST_DAY + timedelta(days=day), ZONE)


def season_of(source: Source, diverted: tuple[int, int]) -> Season:
    """Lay out the season.

    Args:
        source: The real series, in steps of 15 minutes without gaps.
        diverted: Days (from, until) in which Ben's energy is sold.
    """
    plant = generation(PLANT_METER, source)
    generated = _differences(dict(plant.registers)["generated"])
    sold = range(*(int(midnight_of(day).timestamp()) for day in diverted))
    anna, ben = ([_drawn_wh(each, at) for at in source.instants] for each in (ANNA, BEN))
    flows = [
        made - first - (0 if at in sold else second)
        for at, made, first, second in zip(source.instants, generated, anna, ben, strict=True)
    ]
    imported, exported = [max(0, -flow) for flow in flows], [max(0, flow) for flow in flows]
    meters = (
        plant,
        _counted(ANNA.meter, source, {"consumed": anna}),
        _counted(BEN.meter, source, {"consumed": ben}),
        _counted(GRID_METER, source, {"exported": exported, "imported": imported}),
    )
    return Season(source.instants, generated, anna, ben, imported, exported, meters)


def _drawn_wh(household: Household, instant: int) -> int:
    """What a household draws in the interval that begins at an instant, in Wh."""
    hour = datetime.fromtimestamp(instant, UTC).astimezone(ZoneInfo(ZONE)).hour
    power_w = household.base_w + (household.evening_w if hour in _EVENING else 0)
    return power_w // _PER_HOUR


def _differences(register: Sequence[int]) -> list[int]:
    return [after - before for before, after in pairwise([0, *register])]


def _counted(meter: str, source: Source, energy_wh: dict[str, list[int]]) -> Counted:
    registers = tuple(
        (name, list(accumulate(values))) for name, values in sorted(energy_wh.items())
    )
    return Counted(meter, STEP_S, source.instants, registers)  # type: ignore[arg-type]
