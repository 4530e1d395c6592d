"""Intervals of meters that were read or corrected and not looked at since. Pure."""

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Any, NamedTuple

from libs.rules.dumps import Dumped, Loaded


class Origin(NamedTuple):
    """The fact that asks to look at an interval."""

    stream: str
    """Its stream."""
    sequence: int
    """Its place there."""
    cause: str
    """Position and id, as a cause names them."""


class Pending:
    """Meters by the end of the interval that is to be looked at, oldest first."""

    def __init__(self) -> None:
        """Begin with none."""
        self._ends: list[int] = []
        self._meters: dict[int, dict[str, Origin]] = {}

    def touch(self, end: int, meter: str, origin: Origin) -> None:
        """Ask to look at an interval of a meter that ends at a second since 1970."""
        meters = self._meters.get(end)
        if meters is None:
            meters = self._meters[end] = {}
            heappush(self._ends, end)
        meters[meter] = origin

    def has_any(self, until: int) -> bool:
        """Tell whether an interval that ended by then is to be looked at."""
        return bool(self._ends) and self._ends[0] <= until

    def take(self, until: int) -> Iterator[tuple[int, str, Origin]]:
        """Take out all that ended by then, oldest first: end, meter and who asked."""
        while self.has_any(until):
            end = heappop(self._ends)
            for meter, origin in self._meters.pop(end).items():
                yield end, meter, origin

    def settle(self, until: int, is_settled: Callable[[str, Origin], bool]) -> None:
        """Forget what ended by then and was looked at already, as another can tell."""
        for end, meter, origin in list(self.take(until)):
            if not is_settled(meter, origin):
                self.touch(end, meter, origin)

    def dump(self) -> Dumped:
        """Give what is to be looked at, for a snapshot."""
        meters = [(end, dict(of_end)) for end, of_end in self._meters.items()]
        return {
            "touched": (
                [end, meter, *origin] for end, of_end in meters for meter, origin in of_end.items()
            )
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        row: list[Any]
        for row in dumped["touched"]:
            end, meter, stream, sequence, cause = row
            self.touch(end, meter, Origin(stream, sequence, cause))
