"""What ends at which instant, so that asking what is due costs nothing while nothing is. Pure.

An index: it follows from the things that are open, so it is built again and never dumped.
"""

from collections.abc import Sequence
from datetime import datetime
from heapq import heappop, heappush
from itertools import islice


class Deadlines:
    """Names by the instant from which on they are due, oldest first, in the order of adding."""

    def __init__(self) -> None:
        """Begin with none."""
        self._instants: list[datetime] = []
        self._names: dict[datetime, dict[str, None]] = {}

    def add(self, at: datetime, name: str) -> None:
        """Let a name become due at an instant."""
        names = self._names.get(at)
        if names is None:
            # Emptied ones stay until their instant, so that each instant is in the heap once.
            names = self._names[at] = {}
            heappush(self._instants, at)
        names[name] = None

    def remove(self, at: datetime, name: str) -> None:
        """Forget a name that ended before, or by, its instant."""
        names = self._names.get(at)
        if names is not None:
            names.pop(name, None)

    def due(self, now: datetime | None, count: int) -> Sequence[str]:
        """The first names whose instant is not after `now`; they stay until they are removed.

        Args:
            now: The time; nothing is due while there is none.
            count: The most names to give, at least 1.
        """
        while self._instants and now is not None and self._instants[0] <= now:
            names = self._names[self._instants[0]]
            if names:
                return tuple(islice(names, count))
            del self._names[heappop(self._instants)]
        return ()
