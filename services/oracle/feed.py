"""One feed: what its sources said, and what is still to be made of it. Pure.

An interval waits until a value can be made of it. What a source said counts while it is younger
than the staleness limit, and while the source is listed and not quarantined. An interval is
published once; what comes after that, or overlaps what is published, is kept as a fact and changes
nothing. Instants are whole seconds since 1970.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from libs.events.pricing import FeedRules, Observation, Used
from services.oracle.median import Judged, judge
from services.oracle.spans import Spans

OUTLIERS_MAX: Final = 3
"""Publications in a row, each of one or more intervals, in which a source is an outlier until it is
quarantined."""

Key = tuple[int, int]
"""Start and length of an interval, in seconds."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a source said about an interval."""

    value: int
    """The price or rate."""
    at: int
    """When it was observed."""
    position: str
    """Where its `PriceObserved` stands."""
    cause: str
    """The same, with the id of that fact."""
    sequence: int
    """Its place in the stream: the newest observation is what leads to a value."""


@dataclass(slots=True)
class Interval:
    """An interval of which nothing is published."""

    said: dict[str, Said] = field(default_factory=dict)
    """By source."""
    quorum_at: int | None = None
    """Since when there has been a quorum."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Consecutive intervals of which values can be published, made of the same observations."""

    first: int
    """Start of the first."""
    step: int
    """Length of each in seconds."""
    values: tuple[int, ...]
    """The values."""
    made_of: tuple[Used, ...]
    """Of what."""
    cause: str
    """The newest observation among them."""


class Feed:
    """The rules of a feed and what is known of it."""

    def __init__(self, rules: FeedRules) -> None:
        """Begin with the rules and no observation."""
        self.rules = rules
        """The rules, from the last `FeedDefined`."""
        self.quarantined: set[str] = set()
        """Sources that do not count."""
        self.quarantines: Counter[str] = Counter()
        """How often each source was quarantined."""
        self.outliers: Counter[str] = Counter()
        """In how many publications in a row each source was an outlier."""
        self.last_until: int | None = None
        """Until when its last value holds; of a rate since when."""
        self.is_fresh = False
        """Whether a value was fresh when it was published, and nobody has said that it is stale."""
        self.last_cause = ""
        """The last published fact: what a quarantine follows from."""
        self.wake_at: int | None = None
        """When it is to be looked at next."""
        self.pending: dict[Key, Interval] = {}
        """The intervals that wait."""
        self._observed: dict[str, Spans] = {}
        self._published = Spans()

    def has_observed(self, source: str, start: int, until: int) -> bool:
        """Tell whether a source has said something about a part of a stretch."""
        spans = self._observed.get(source)
        return spans is not None and spans.meets(start, until)

    def waiting_with(self, source: str, observed: Observation) -> int:
        """How many intervals of a source would wait with those of an observation."""
        waiting = sum(source in interval.said for interval in self.pending.values())
        return waiting + len(observed.values)

    def observed_until(self, source: str) -> int | None:
        """Until when a source has observed; None: never."""
        spans = self._observed.get(source)
        return None if spans is None else spans.until

    def define(self, rules: FeedRules, now: int) -> None:
        """Follow new rules."""
        self.rules = rules
        self.look_again(now)

    def observe(self, source: str, observed: Observation, said: Said, *, kept_from: int) -> None:
        """Fold an observation.

        Args:
            source: Who.
            observed: What.
            said: The first value, with its time and place; those of the others are the same.
            kept_from: Observations that ended before are forgotten.
        """
        first, step = int(observed.first_at.timestamp()), observed.interval_s
        spans = self._observed.setdefault(source, Spans())
        spans.add(first, first + step * len(observed.values))
        spans.drop_before(kept_from)
        for number, value in enumerate(observed.values):
            start = first + number * step
            if self._is_settled(start, start + step):
                continue
            interval = self.pending.setdefault((start, step), Interval())
            before = self._judge(interval, said.at)
            interval.said[source] = Said(value, said.at, said.position, said.cause, said.sequence)
            if self._judge(interval, said.at) is None:
                interval.quorum_at = None
            elif before is None or interval.quorum_at is None:
                interval.quorum_at = said.at

    def publish(
        self, span: tuple[int, int], made_of: tuple[Used, ...], *, at: int, cause: str
    ) -> None:
        """Fold published values.

        Args:
            span: From when until when they hold; of a rate its start, twice.
            made_of: Of what they were made.
            at: When they were published.
            cause: The fact.
        """
        start, until = span
        if until > start:
            self._published.add(start, until)
        if self.last_until is None or until > self.last_until:
            self.last_until = until
            # What was old already when it came was never fresh: nothing becomes stale with it.
            self.is_fresh = self.is_fresh or at < until + self.rules.staleness_s
        self.last_cause = cause
        for used in made_of:
            self.outliers[used.source] = self.outliers[used.source] + 1 if used.is_outlier else 0
        settled = [key for key in self.pending if self._is_settled(key[0], sum(key))]
        for key in settled:
            del self.pending[key]

    def look_again(self, now: int) -> None:
        """Count the quorum of every interval anew: who may speak has changed."""
        for interval in self.pending.values():
            has_quorum = self._judge(interval, now) is not None
            interval.quorum_at = (interval.quorum_at or now) if has_quorum else None

    def to_quarantine(self) -> str | None:
        """The first source that was an outlier too often."""
        for source in self.rules.sources:
            if self.outliers[source] >= OUTLIERS_MAX and source not in self.quarantined:
                return source
        return None

    def ready(self, now: int, count: int) -> Ready | None:
        """The first intervals that can be published, at most `count`."""
        first: Ready | None = None
        values: list[int] = []
        for start, step in sorted(self.pending):
            found = self._ready((start, step), now)
            if first is None:
                first = found
            elif (
                found is None
                or start != first.first + step * len(values)
                or (step, found.made_of) != (first.step, first.made_of)
                or len(values) == count
            ):
                break
            if found is not None:
                values.append(found.values[0])
        if first is None:
            return None
        return Ready(first.first, first.step, tuple(values), first.made_of, first.cause)

    def instants(self, now: int) -> Iterator[int]:
        """When something may follow by itself, or be forgotten, after `now`."""
        limit_s = self.rules.staleness_s
        if self.last_until is not None and self.is_fresh:
            yield max(self.last_until + limit_s, now + 1)
        for interval in self.pending.values():
            if interval.quorum_at is not None:
                yield interval.quorum_at + self.rules.settle_s
            yield max(said.at for said in interval.said.values()) + limit_s

    def forget(self, now: int) -> None:
        """Forget the intervals of which every observation is too old to count."""
        limit_s = self.rules.staleness_s
        for key, interval in list(self.pending.items()):
            if all(said.at + limit_s <= now for said in interval.said.values()):
                del self.pending[key]

    def is_due_stale(self, now: int) -> bool:
        """Tell whether its last value is stale and nobody said so."""
        if self.last_until is None or not self.is_fresh:
            return False
        return now >= self.last_until + self.rules.staleness_s

    def _is_settled(self, start: int, until: int) -> bool:
        """Whether nothing is to be published for an interval any more."""
        if self.rules.kind == "rate":
            return self.last_until is not None and start <= self.last_until
        return self._published.meets(start, until)

    def _speakers(self) -> list[str]:
        return [source for source in self.rules.sources if source not in self.quarantined]

    def _fresh(self, interval: Interval, now: int) -> dict[str, Said]:
        limit_s = self.rules.staleness_s
        found = ((source, interval.said.get(source)) for source in self._speakers())
        return {
            source: said for source, said in found if said is not None and now < said.at + limit_s
        }

    def _judge(self, interval: Interval, now: int) -> Judged | None:
        values = {source: said.value for source, said in self._fresh(interval, now).items()}
        return judge(values, fence_ppm=self.rules.fence_ppm, quorum=self.rules.quorum)

    def _ready(self, key: Key, now: int) -> Ready | None:
        """One interval with its value, if it can be published now."""
        interval = self.pending[key]
        if interval.quorum_at is None:
            return None
        judged, fresh = self._judge(interval, now), self._fresh(interval, now)
        has_settled = now >= interval.quorum_at + self.rules.settle_s
        if judged is None or not (has_settled or len(fresh) == len(self._speakers())):
            return None
        made_of = tuple(
            Used(source=source, position=said.position, is_outlier=source in judged.outliers)
            for source, said in sorted(fresh.items())
        )
        newest = max(fresh.values(), key=lambda said: said.sequence)
        return Ready(key[0], key[1], (judged.value,), made_of, newest.cause)
