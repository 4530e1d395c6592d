"""Numbers by name and interval, packed by day: 96 quarters of an hour take some 400 bytes. Pure."""

from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from libs.rules.dumps import Dumped, Loaded
from libs.rules.rating import Part

DAY_S: Final = 86_400
"""Seconds of a day, UTC."""

_UNKNOWN: Final = -1

_Packed = tuple[tuple[int, "array[int]"], ...]
"""For each length of an interval in seconds, the numbers of the whole day."""


class Series:
    """At most one number, from 0, for each name, length and start of an interval.

    An array is never changed in place but replaced, so that a snapshot may still read it.
    """

    def __init__(self) -> None:
        """Begin without numbers."""
        self._days: dict[int, dict[str, _Packed]] = {}
        self._first_day = 0

    @property
    def first_at(self) -> int:
        """Before this second since 1970 nothing is kept."""
        return self._first_day * DAY_S

    def put(self, name: str, start: int, step: int, numbers: Sequence[int]) -> None:
        """Note the numbers of consecutive intervals.

        Args:
            name: Whose they are.
            start: Start of the first interval, seconds since 1970, a multiple of `step`.
            step: Length of each in seconds; it divides a day.
            numbers: From 0.
        """
        for day, at, part in _by_day(start, step, numbers):
            known = self._packed(day, name, step)
            self._keep(day, name, step, [*known[:at], *part, *known[at + len(part) :]])

    def add(
        self, name: str, start: int, step: int, changes: Sequence[int], *, to_unknown: bool
    ) -> None:
        """Add to the numbers of consecutive intervals.

        Args:
            name: Whose they are.
            start: Start of the first interval, seconds since 1970.
            step: Length of each in seconds.
            changes: What is added, of either sign.
            to_unknown: Whether a number that is not known counts as 0; else it stays unknown.
        """
        for day, at, part in _by_day(start, step, changes):
            numbers = list(self._packed(day, name, step))
            for index, change in enumerate(part, at):
                if numbers[index] != _UNKNOWN:
                    numbers[index] += change
                elif to_unknown:
                    numbers[index] = change
            self._keep(day, name, step, numbers)

    def parts(self, name: str, start: int, until: int) -> Iterator[Part]:
        """The known intervals that start within a stretch of one day, of any length."""
        day = start // DAY_S
        for step, numbers in self._days.get(day, {}).get(name, ()):
            first, last = -(-(start - day * DAY_S) // step), -(-(until - day * DAY_S) // step)
            for index in range(first, min(last, len(numbers))):
                if numbers[index] != _UNKNOWN:
                    yield day * DAY_S + index * step, step, numbers[index]

    def ends(self, name: str) -> Iterator[int]:
        """When each known interval of a name ends, seconds since 1970."""
        for day in list(self._days):
            for start, step, _ in self.parts(name, day * DAY_S, (day + 1) * DAY_S):
                yield start + step

    def drop_before(self, instant: int) -> None:
        """Forget the days that ended by then, and take in nothing of them any more."""
        first = instant // DAY_S
        if first > self._first_day:
            self._first_day = first
            for day in [day for day in self._days if day < first]:
                del self._days[day]

    def drop_names(self, names: Collection[str], start: int, until: int) -> None:
        """Forget some names from the day of one instant on, on the days that ended by another."""
        for day in range(start // DAY_S, until // DAY_S):
            if (kept := self._days.get(day)) is not None:
                for name in names:
                    kept.pop(name, None)

    def dump(self) -> Dumped:
        """Give all numbers for a snapshot, a row for each day, name and length."""
        days = [(day, dict(kept)) for day, kept in self._days.items()]
        return {
            "first_day": [self._first_day],
            "numbers": (
                [day, name, step, *numbers]
                for day, kept in days
                for name, packed in kept.items()
                for step, numbers in packed
            ),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        (self._first_day,) = dumped["first_day"]
        for day, name, step, *numbers in dumped["numbers"]:
            self._keep(day, name, step, numbers)

    def _packed(self, day: int, name: str, step: int) -> Sequence[int]:
        found = dict(self._days.get(day, {}).get(name, ())).get(step)
        return [_UNKNOWN] * (DAY_S // step) if found is None else found

    def _keep(self, day: int, name: str, step: int, numbers: Sequence[int]) -> None:
        if day < self._first_day or all(number == _UNKNOWN for number in numbers):
            return
        try:
            packed = array("i", numbers)
        except OverflowError:
            packed = array("q", numbers)
        kept = self._days.setdefault(day, {})
        kept[name] = tuple(sorted({**dict(kept.get(name, ())), step: packed}.items()))


def _by_day(start: int, step: int, numbers: Sequence[int]) -> Iterator[tuple[int, int, list[int]]]:
    """Cut consecutive numbers where a day ends: the day, the place in it, and what falls on it."""
    left = list(numbers)
    while left:
        day, second = divmod(start, DAY_S)
        count = min(len(left), (DAY_S - second) // step)
        yield day, second // step, left[:count]
        left, start = left[count:], start + count * step
