"""Which bytes were accepted under which sequence: remembered for the latest reports. Pure.

The memory is bounded over all meters together and is a fold of the stream, so it is right again
after a restart. A sequence that it does not hold any more is looked up in the stream by the edge,
which fills another `Past` with the facts of that meter.
"""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from libs.events.positions import Position

ACCEPTED_KEPT = 100_000
"""Accepted reports that are remembered, over all meters."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted report."""

    digest: bytes
    """SHA-256 of its bytes, 32 bytes."""
    position: Position
    """Where its reading stands."""


class Past:
    """Digests of accepted reports by meter and sequence; the oldest give way."""

    def __init__(self, kept: int = ACCEPTED_KEPT) -> None:
        """Begin with none.

        Args:
            kept: Most reports that are remembered.
        """
        self._kept = kept
        self._accepted: OrderedDict[tuple[str, int], Accepted] = OrderedDict()

    def keep(self, meter: str, seq: int, digest: bytes, position: Position) -> None:
        """Remember an accepted report, and forget the oldest when there are too many."""
        self._accepted[meter, seq] = Accepted(digest, position)
        if len(self._accepted) > self._kept:
            self._accepted.popitem(last=False)

    def find(self, meter: str, seq: int) -> Accepted | None:
        """The report that was accepted under a sequence, when it is remembered."""
        return self._accepted.get((meter, seq))


def digest_of(report: str) -> bytes:
    """SHA-256 of a signed report, 32 bytes."""
    return hashlib.sha256(report.encode("ascii")).digest()
