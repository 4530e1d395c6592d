"""When each stream reached which time: it fixes which of its facts count. Pure.

Source: docs/decisions/0005, bills.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping

import numpy as np

from libs.rules.fast_rating import Mask, Numbers
from libs.rules.rating import CORRECTABLE_S

_NEVER = -(2**62)


class Reached:
    """The times that one stream reached, and where: 16 bytes each."""

    __slots__ = ("_places", "_times")

    def __init__(self) -> None:
        """Begin with none."""
        self._times, self._places = array("q"), array("q")

    def add(self, to_s: int, sequence: int) -> None:
        """Note that the stream reached a time at a place."""
        if not self._times or to_s > self._times[-1]:  # only the first place of a time matters
            self._times.append(to_s)
            self._places.append(sequence)

    def cutoff(self, instant_s: int) -> int:
        """Where it first reached an instant, or a later one: facts before that place count.

        Args:
            instant_s: Seconds since 1970; the stream has reached it.
        """
        return self._places[bisect_left(self._times, instant_s)]

    def after(self, sequence: int) -> int | None:
        """The first time that was reached behind a place, seconds since 1970; None: not yet."""
        found = bisect_left(self._places, sequence)
        return self._times[found] if found < len(self._times) else None

    def before(self, sequences: Numbers) -> Numbers:
        """The last time that was reached before each place; seconds since 1970."""
        if not self._times:
            return np.full(len(sequences), _NEVER, np.int64)
        places = np.frombuffer(self._places, np.int64)
        times = np.frombuffer(self._times, np.int64)
        found = np.searchsorted(places, sequences, side="left") - 1
        return np.where(found < 0, _NEVER, times[np.maximum(found, 0)])


class AsOf:
    """What counts for a document: what stood before streams reached a time.

    A first invoice is decided as of the time at which it is final. For a later one also counts
    what came since, unless that was more than 35 days after its first interval.
    """

    __slots__ = ("as_of_s", "final_s", "reached")

    def __init__(self, reached: Mapping[str, Reached], final_s: int, as_of_s: int) -> None:
        """Fix both times, in seconds since 1970.

        Args:
            reached: Every stream.
            final_s: When the first invoice is final.
            as_of_s: The time as of which the document is decided; of a draft before `final_s`.
        """
        self.reached, self.final_s, self.as_of_s = reached, final_s, as_of_s

    def cutoff(self, stream: str) -> int:
        """The place before which the facts of a stream count."""
        return self.reached[stream].cutoff(self.as_of_s)

    def counts(self, stream: str, sequences: Numbers, starts: Numbers) -> Mask:
        """Which facts count.

        Args:
            stream: Where they stand.
            sequences: Their places.
            starts: The start of the first interval of each, seconds since 1970.
        """
        mask: Mask = sequences < self.cutoff(stream)
        if self.as_of_s > self.final_s and mask.any():
            mask &= (sequences < self.reached[stream].cutoff(self.final_s)) | (
                self.reached[stream].before(sequences) < starts + CORRECTABLE_S
            )
        return mask


def all_reached() -> dict[str, Reached]:
    """Begin with no stream."""
    return defaultdict(Reached)
