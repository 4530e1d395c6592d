"""Which facts count for a document: those before their stream reached a time. Pure.

Builder and verifier ask the same questions of this module, the one of whole streams and the other
of the facts in a file, so both need the same facts of time.

Source: domain rules, section 5; docs/decisions/0005, bills.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.quantities import format_instant
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.proof.case import require

STEP = 9
"""The number of the step that this is part of."""

CORRECTABLE = timedelta(days=35)
"""From the start of an interval on: what comes later about it changes no bill."""

Time = Recorded[TimeReached] | Recorded[TimeAdvanced]
"""A stream reached a time: PRICES by saying it, the others by having worked it off."""


class Times:
    """Where streams reached which time, as far as the facts at hand tell."""

    def __init__(self, facts: Iterable[Time], use: Callable[[Recorded[Fact]], None]) -> None:
        """Sort the facts at hand.

        Args:
            facts: Facts of time, in any order.
            use: Is told of every fact on which an answer rests.
        """
        self._rows: dict[str, list[Time]] = defaultdict(list)
        for each in sorted(facts, key=lambda each: each.sequence):
            self._rows[each.stream].append(each)
        self._use = use
        self._places: dict[tuple[str, datetime], Time] = {}

    def reached(self, stream: str, instant: datetime) -> Time:
        """The fact by which a stream first reached an instant, or a later one.

        Raises:
            ProofFailed: It is not there, or the one before it is missing.
        """
        found = self._places.get((stream, instant))
        if found is None:
            found = self._places[stream, instant] = self._first(stream, instant)
        return found

    def place(self, stream: str, instant: datetime) -> int:
        """The place before which facts of a stream count as of an instant."""
        return self.reached(stream, instant).sequence

    def _first(self, stream: str, instant: datetime) -> Time:
        row, what = self._rows.get(stream, []), format_instant(instant)
        later = [index for index, each in enumerate(row) if each.fact.to >= instant]
        require(STEP, bool(later), f"{stream} did not reach {what} in this file")
        index = later[0]
        found = row[index]
        self._use(found)
        if index == 0:
            is_first = found.envelope.n == 1
            require(STEP, is_first, f"{stream}: the time reached before {what} is missing")
        else:
            before = row[index - 1]
            is_next = before.envelope.n + 1 == found.envelope.n
            require(STEP, is_next, f"{stream}: a time reached before {what} is missing")
            self._use(before)
        return found

    def before(self, stream: str, sequence: int) -> datetime | None:
        """The last time that a stream had reached before a place; None: none.

        Raises:
            ProofFailed: The facts around the place are not there.
        """
        row, what = self._rows.get(stream, []), f"{stream} {sequence}"
        later = [index for index, each in enumerate(row) if each.sequence > sequence]
        require(STEP, bool(later), f"the time reached after {what} is missing")
        following = row[later[0]]
        self._use(following)
        if later[0] == 0:
            is_first = following.envelope.n == 1
            require(STEP, is_first, f"the time reached before {what} is missing")
            return None
        found = row[later[0] - 1]
        is_next = found.envelope.n + 1 == following.envelope.n
        require(STEP, is_next, f"a time reached around {what} is missing")
        self._use(found)
        return found.fact.to


@dataclass(frozen=True, slots=True)
class AsOf:
    """What counts for a document that is decided as of a time."""

    times: Times
    """Where streams reached times."""
    final_at: datetime
    """When the first invoice of the period was final."""
    at: datetime
    """The time: `final_at`, or later for an invoice that replaces another."""

    def cutoff(self, stream: str) -> int:
        """The place before which facts of a stream count."""
        return self.times.place(stream, self.at)

    def counts(self, fact: Recorded[Fact], first_at: datetime) -> bool:
        """Tell whether a fact about intervals counts.

        Args:
            fact: A reading, a correction or a published price.
            first_at: Start of its first interval. What came later than 35 days after that, and
                after the first invoice was final, does not count.
        """
        stream, sequence = fact.stream, fact.sequence
        if sequence >= self.cutoff(stream):
            return False
        ends_at = first_at + CORRECTABLE
        if self.at <= ends_at or sequence < self.times.place(stream, self.final_at):
            return True
        reached = self.times.before(stream, sequence)
        return reached is None or reached < ends_at
