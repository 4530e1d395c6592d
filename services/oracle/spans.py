"""Which stretches of time are taken: sorted, joined, and as short as they can be. Pure."""

from bisect import bisect_left, bisect_right


class Spans:
    """A set of instants, kept as stretches whose end is left out, in seconds since 1970."""

    def __init__(self) -> None:
        """Begin with none."""
        self._starts: list[int] = []
        self._ends: list[int] = []

    @property
    def until(self) -> int | None:
        """Where the last stretch ends; None: there is none."""
        return self._ends[-1] if self._ends else None

    def meets(self, start: int, until: int) -> bool:
        """Tell whether something of a stretch is taken."""
        at = bisect_right(self._ends, start)
        return at < len(self._starts) and self._starts[at] < until

    def add(self, start: int, until: int) -> None:
        """Take a stretch."""
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, until)
        if first < last:
            start, until = min(start, self._starts[first]), max(until, self._ends[last - 1])
        self._starts[first:last], self._ends[first:last] = [start], [until]

    def drop_before(self, instant: int) -> None:
        """Forget the stretches that ended by then."""
        count = bisect_right(self._ends, instant)
        if count < len(self._ends):  # the last one stays: it says how far it went
            del self._starts[:count], self._ends[:count]
