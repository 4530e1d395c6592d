"""What the twenty factories make and use on the trading day, from a real series of PV power. Pure.

Solar plants follow the series itself; no free series of wind or footsteps was at hand, so theirs
are made from other days of the same series by the plain steps below, which `SHAPES` tells whoever
watches. Each shape is scaled to what the plant makes on a day, and so is the use: nothing is lost,
for a register is the floor of an exact sum.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate, pairwise
from typing import Final
from zoneinfo import ZoneInfo

from heliograph.demo.factories import FACTORIES, Factory, Shift
from heliograph.errors import StackError
from libs.events.membership import EnergyType
from libs.events.quantities import WH_PER_KWH
from services.teller.source import Source

SLOT_S: Final = 900
"""Length of a slot in seconds."""

SLOTS: Final = 96
"""Slots of a day."""

HOUR: Final = 4
"""Slots of an hour."""

DAYS: Final = 4
"""Days of the series that are used: the day that is played and the three after it."""

SHAPES: Final = {
    "solar": "the day itself, its night draw of a few W left out",
    "wind": "the two days after it, one moved 9 hours, one 15 hours, round midnight",
    "footstep": "the third day after it at triple speed, three times: shifts at 6, 14 and 22 h",
}
"""How each kind of plant follows from the series."""

USE: Final = (
    "a stated profile: in the hours of work (6 to 18, 6 to 22, or all day) five, four or one times "
    "the power of the others"
)
"""How a factory's use is spread over the day."""

WORK: Final[Mapping[Shift, tuple[range, int]]] = {
    "day": (range(6, 18), 5),
    "two": (range(6, 22), 4),
    "round": (range(24), 1),
}
"""Local hours of work, and how many times the power of the other hours is used in them."""

NAMEPLATE_MARGIN: Final = 1_000
"""A nameplate is the highest power of the day, rounded up to so many W."""


@dataclass(frozen=True, slots=True)
class EnergyDay:
    """Energy of every factory in every slot of a day."""

    starts_at: datetime
    """Local midnight, in UTC."""
    time_zone: str
    """Of the park."""
    made_wh: Mapping[str, Sequence[int]]
    """What each factory's plant made by slot, in Wh."""
    used_wh: Mapping[str, Sequence[int]]
    """What each factory used by slot, in Wh."""

    def slot_at(self, slot: int) -> datetime:
        """When a slot begins."""
        return self.starts_at + timedelta(seconds=slot * SLOT_S)

    def hour_of(self, slot: int) -> int:
        """The local hour in which a slot begins."""
        return self.slot_at(slot).astimezone(ZoneInfo(self.time_zone)).hour

    def nameplate_w(self, factory: Factory) -> int:
        """What the plant's meter can measure at most, in W."""
        return _nameplate_w(self.made_wh[factory.id])

    def connection_w(self, factory: Factory) -> int:
        """What the works' meter can measure at most, in W."""
        return _nameplate_w(self.used_wh[factory.id])


def _nameplate_w(energy_wh: Sequence[int]) -> int:
    highest_w = max(energy_wh) * HOUR
    return (highest_w // NAMEPLATE_MARGIN + 1) * NAMEPLATE_MARGIN


def day_of(source: Source, day: date, time_zone: str) -> EnergyDay:
    """Take a day of a series for all factories.

    Args:
        source: Clean measurements in steps of 15 minutes.
        day: The local day.
        time_zone: IANA name.

    Raises:
        StackError: The series lacks a part of the days that are used.
    """
    starts_at = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)
    power = dict(zip(source.instants, source.powers, strict=True))
    first = int(starts_at.timestamp())
    instants = range(first, first + DAYS * SLOTS * SLOT_S, SLOT_S)
    if any(instant not in power for instant in instants):
        raise StackError(f"{day}: the series does not hold this day and the three after it.")
    values = [max(power[instant], 0) for instant in instants]
    shapes = shapes_of([values[n * SLOTS : (n + 1) * SLOTS] for n in range(DAYS)])
    return EnergyDay(
        starts_at=starts_at,
        time_zone=time_zone,
        made_wh={
            each.id: spread(each.available_kwh * WH_PER_KWH, shapes[each.energy_type])
            for each in FACTORIES
        },
        used_wh={
            each.id: spread(each.use_kwh * WH_PER_KWH, work_of(each.shift)) for each in FACTORIES
        },
    )


def shapes_of(days: Sequence[Sequence[int]]) -> dict[EnergyType, list[int]]:
    """Make the shape of each kind of plant from four days of power; see `SHAPES`."""
    today, first, second, third = days
    wind = zip(moved(first, 9 * HOUR), moved(second, 15 * HOUR), strict=True)
    steps = [sum(third[at : at + 3]) for at in range(0, SLOTS, 3)]
    return {
        "solar": list(today),
        "wind": [one + other for one, other in wind],
        "footstep": moved(steps * 3, 2 * HOUR),
    }


def moved(values: Sequence[int], slots: int) -> list[int]:
    """Move a day's values to later slots; what leaves the day comes in at its beginning."""
    return [*values[-slots:], *values[:-slots]]


def work_of(shift: Shift) -> list[int]:
    """The shape of a factory's use."""
    hours, times = WORK[shift]
    return [times if slot // HOUR in hours else 1 for slot in range(SLOTS)]


def spread(total_wh: int, shape: Sequence[int]) -> list[int]:
    """Spread energy over slots by a shape, without losing a Wh."""
    whole = sum(shape)
    registers = [0, *(total_wh * part // whole for part in accumulate(shape))]
    return [after - before for before, after in pairwise(registers)]
