"""The time of a book: the last `TimeAdvanced` that was read, and its place. Pure."""

from datetime import datetime

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.positions import write_cause
from libs.events.quantities import format_instant, parse_instant
from libs.events.timekeeping import TimeAdvanced
from libs.rules.dumps import Dumped, Loaded


class Moment:
    """What time it is, and which fact said so: the cause of whatever ends by itself."""

    def __init__(self) -> None:
        """Begin with no time."""
        self.now: datetime | None = None
        """The last `TimeAdvanced` that was read."""
        self.cause = ""
        """Position and id of that fact; empty before the first."""

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold `TimeAdvanced`; all others are ignored."""
        fact = recorded.fact
        if type(fact) is TimeAdvanced:
            self.now = fact.to
            self.cause = write_cause(recorded.position, recorded.envelope.id)

    def dump(self) -> Dumped:
        """Give time and cause for a snapshot."""
        return {"moment": [[format_instant(self.now), self.cause]] if self.now else []}

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for now, cause in dumped["moment"]:
            self.now, self.cause = parse_instant(now), cause
