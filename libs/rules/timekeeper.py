"""How a writer follows time: which time it has reached, and when it may say so.

Source: eventing contract, section 4; docs/decisions/0001.
"""

from collections.abc import Sequence
from datetime import datetime

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.positions import Position, parse_seen, write_cause, write_seen
from libs.events.quantities import format_instant, parse_instant
from libs.events.subjects import TIME_KEY
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.rules.dumps import Dumped, Loaded


class Timekeeper:
    """Folds `TimeAdvanced`, and the `TimeReached` of the own stream and of those waited for.

    What another writer had seen when it reached a time counts as well: a reading is decided on an
    enrolment, so whoever relies on READINGS having reached a time first reads METERS as far as it
    was seen there. Otherwise the order in which streams arrive could change a decision.
    """

    def __init__(self, own: str, waits_for: Sequence[str], follows: Sequence[str] = ()) -> None:
        """Begin with no time.

        Args:
            own: The own stream.
            waits_for: Streams that must have reached a time before the own one may.
            follows: Further streams that are read in full.
        """
        self._own, self._waits_for = own, tuple(waits_for)
        self._read: dict[str, int] = dict.fromkeys(follows, 0)
        self._seen: dict[str, dict[str, Position]] = {}
        self._reached: dict[str, datetime] = {}
        self._causes: dict[datetime, str] = {}
        self.now: datetime | None = None
        """The last `TimeAdvanced` that was read."""

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact; all others are ignored."""
        fact = recorded.fact
        if recorded.stream in self._read:
            self._read[recorded.stream] = recorded.sequence
        if isinstance(fact, TimeAdvanced):
            self.now = fact.to
            self._causes[fact.to] = write_cause(recorded.position, recorded.envelope.id)
        elif isinstance(fact, TimeReached):
            self._reached[recorded.stream] = fact.to
            self._seen[recorded.stream] = parse_seen(recorded.envelope.seen)
            if recorded.stream != self._own:
                return
        else:
            return
        own = self._reached.get(self._own)
        if own is not None:
            for done in [time for time in self._causes if time <= own]:
                del self._causes[done]

    def dump(self) -> Dumped:
        """Give which times were read, reached and seen, for a snapshot; a few rows per stream."""
        return {
            "now": [format_instant(time) for time in (self.now,) if time is not None],
            "read": [list(each) for each in self._read.items()],
            "reached": [[name, format_instant(time)] for name, time in self._reached.items()],
            "seen": [[name, write_seen(seen.values())] for name, seen in self._seen.items()],
            "causes": [[format_instant(time), cause] for time, cause in self._causes.items()],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self.now = next(map(parse_instant, dumped["now"]), None)
        self._read.update(dict(dumped["read"]))
        self._reached = {name: parse_instant(time) for name, time in dumped["reached"]}
        self._seen = {name: parse_seen(seen) for name, seen in dumped["seen"]}
        self._causes = {parse_instant(time): cause for time, cause in dumped["causes"]}

    @property
    def common(self) -> datetime | None:
        """The time up to which everything that is waited for was read; decide absence by it."""
        times = [self.now, *(self._reached.get(stream) for stream in self._waits_for)]
        known = [time for time in times if time is not None]
        return min(known) if len(known) == len(times) and self._as_far_as_they() else None

    def _as_far_as_they(self) -> bool:
        """Tell whether all that those we wait for had seen was read here too."""
        return all(
            self._read.get(stream, position.sequence) >= position.sequence
            for waited_for in self._waits_for
            for stream, position in self._seen.get(waited_for, {}).items()
        )

    def due(self) -> Sequence[Draft]:
        """`TimeReached` for the newest time that may be said, or nothing."""
        common, own = self.common, self._reached.get(self._own)
        times = [time for time in self._causes if common is not None and time <= common]
        if not times or (own is not None and max(times) <= own):
            return ()
        newest = max(times)
        fact = TimeReached(to=newest)
        cause = self._causes[newest]
        return (Draft(TIME_KEY, fact, f"time.{format_instant(newest)}", newest, cause),)
