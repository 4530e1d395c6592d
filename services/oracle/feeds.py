"""Feeds: who observes, what was observed, and what is published of it. Pure.

A value is published as soon as every source has spoken, or a quorum has waited for the others long
enough by `TimeAdvanced`. Nothing is ever made up: without a quorum there is no value, and when the
last one is too old that is said once. What waits for an instant stands in a heap.

Source: domain rules, section 4.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from heapq import heappop, heappush
from typing import Final

from libs.events.billing_commands import DefineFeed, Observe, ReleaseSource
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.positions import write_cause
from libs.events.pricing import (
    OBSERVED_MAX,
    FeedDefined,
    FeedRules,
    FeedStale,
    Observation,
    PriceObserved,
    PricePublished,
    RatePublished,
    SourceQuarantined,
    SourceReleased,
)
from libs.events.quantities import format_instant
from libs.rules.authority import Order
from libs.rules.membership import Members
from libs.rules.rating import CORRECTABLE_S
from libs.runtime.failures import Refused
from services.oracle.feed import Feed, Ready, Said

DAY_S: Final = 86_400
"""Seconds of a day, UTC: intervals divide it."""

OLD_MAX_S: Final = CORRECTABLE_S
"""Seconds after its start for which an interval can be observed: later no bill follows it."""

AHEAD_MAX_S: Final = 35 * DAY_S
"""Seconds from now to the end of the last interval that can be observed."""

PENDING_MAX: Final = 10_000
"""Most intervals that wait for a value of one source: 100 days of quarters of an hour. Each has
room of its own, so that none can crowd out the others."""


class Feeds:
    """All feeds, and when each is to be looked at."""

    def __init__(self) -> None:
        """Begin with none."""
        self._feeds: dict[str, Feed] = {}
        self._changed: dict[str, None] = {}
        self._instants: list[tuple[int, str]] = []
        self._time_cause = ""

    def rules_of(self, feed: str) -> FeedRules | None:
        """The rules of a feed; None: there is none."""
        found = self._feeds.get(feed)
        return None if found is None else found.rules

    def observed_until(self, feed: str, source: str) -> datetime | None:
        """Until when a source has observed a feed; None: never."""
        found = self._feeds.get(feed)
        until = None if found is None else found.observed_until(source)
        return None if until is None else datetime.fromtimestamp(until, UTC)

    def time_passed(self, recorded: Recorded[Fact]) -> None:
        """Fold `TimeAdvanced`: the cause of what follows from time alone."""
        self._time_cause = write_cause(recorded.position, recorded.envelope.id)

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact about feeds; others are ignored."""
        fact, at = recorded.fact, int(recorded.envelope.time.timestamp())
        if isinstance(fact, FeedDefined):
            if (known := self._feeds.get(fact.feed)) is None:
                self._feeds[fact.feed] = Feed(fact.rules)
            else:
                known.define(fact.rules, at)
        elif isinstance(fact, PriceObserved):
            said = Said(0, at, str(recorded.position), _cause(recorded), recorded.sequence)
            feed = self._feeds[fact.feed]
            feed.observe(fact.source, fact.observed, said, kept_from=at - OLD_MAX_S)
        elif isinstance(fact, PricePublished):
            span = _stretch(fact.published)
            self._feeds[fact.feed].publish(span, fact.made_of, at=at, cause=_cause(recorded))
        elif isinstance(fact, RatePublished):
            start = int(fact.from_at.timestamp())
            feed = self._feeds[fact.feed]
            feed.publish((start, start), fact.made_of, at=at, cause=_cause(recorded))
        elif isinstance(fact, (SourceQuarantined, SourceReleased)):
            self._judge_source(fact, at)
        elif isinstance(fact, FeedStale):
            self._feeds[fact.feed].is_fresh = False
        else:
            return
        self._changed[fact.feed] = None

    def _judge_source(self, fact: SourceQuarantined | SourceReleased, at: int) -> None:
        feed = self._feeds[fact.feed]
        if isinstance(fact, SourceQuarantined):
            feed.quarantined.add(fact.source)
            feed.quarantines[fact.source] += 1
        else:
            feed.quarantined.discard(fact.source)
            feed.outliers[fact.source] = 0
        feed.look_again(at)

    def define(self, order: Order, body: DefineFeed, members: Members) -> Draft:
        """Decide `DefineFeed`.

        Raises:
            Refused: The signer is no approver, a source is unknown, or a field breaks its rule.
        """
        order.require("approver")
        rules = body.rules
        for number, source in enumerate(rules.sources):
            if members.get(source) is None:
                raise Refused(
                    "unknown-member",
                    f"{source} is not registered",
                    field=f"body.rules.sources.{number}",
                )
        if rules.settle_s >= rules.staleness_s:
            raise Refused(
                "feed-settle",
                "settle_s is below staleness_s, or what waits is too old to count",
                field="body.rules.settle_s",
            )
        if rules.base == rules.asset:
            raise Refused("feed-base", "a rate has two currencies", field="body.rules.base")
        last = self.rules_of(body.feed)
        if last is not None and last.kind != rules.kind:
            raise Refused("feed-kind", f"the feed is a {last.kind}", field="body.rules.kind")
        if last is not None and (last.asset, last.base) != (rules.asset, rules.base):
            name = "asset" if last.asset != rules.asset else "base"
            told = last.asset if name == "asset" else last.base
            raise Refused("feed-asset", f"the feed's {name} is {told}", field=f"body.rules.{name}")
        fact = FeedDefined(feed=body.feed, rules=rules, command=order.text)
        return Draft(body.feed, fact, f"{order.id}.feed", order.time)

    def observe(self, order: Order, body: Observe) -> Draft:
        """Decide `Observe`.

        Raises:
            Refused: The signer is no source, or a field breaks its rule.
        """
        feed, source = self._feed(body.feed), order.signer.member
        if source not in feed.rules.sources:
            raise Refused("not-a-source", f"{source} does not observe {body.feed}", field="member")
        if source in feed.quarantined:
            raise Refused(
                "source-quarantined",
                f"{source} was an outlier too often; an approver can release it",
                field="member",
            )
        _check_observation(body.observed, order.time)
        _check_values(body.observed, feed.rules)
        if feed.has_observed(source, *_stretch(body.observed)):
            raise Refused(
                "observation-overlaps",
                f"{source} has observed a part of it before, and what was observed stays",
                field="body.observed.first_at",
            )
        if feed.waiting_with(source, body.observed) > PENDING_MAX:
            raise Refused("feed-full", f"{PENDING_MAX} of your intervals wait for a value already")
        fact = PriceObserved(
            observation=order.id,
            feed=body.feed,
            source=source,
            observed=body.observed,
            document_sha256=body.document_sha256,
            command=order.text,
        )
        return Draft(body.feed, fact, f"{order.id}.observed", order.time)

    def release(self, order: Order, body: ReleaseSource) -> Draft:
        """Decide `ReleaseSource`.

        Raises:
            Refused: The signer is no approver, or the source is not quarantined.
        """
        order.require("approver")
        if body.source not in self._feed(body.feed).quarantined:
            raise Refused("not-quarantined", f"{body.source} counts", field="body.source")
        fact = SourceReleased(feed=body.feed, source=body.source, command=order.text)
        return Draft(body.feed, fact, f"{order.id}.released", order.time)

    def _feed(self, feed: str) -> Feed:
        found = self._feeds.get(feed)
        if found is None:
            raise Refused("unknown-feed", f"no feed is called {feed}", field="body.feed")
        return found

    def due(self, now: datetime) -> Sequence[Draft]:
        """The next fact that follows from what was observed, or from time."""
        now_s = int(now.timestamp())
        while self._instants and self._instants[0][0] <= now_s:
            at, name = heappop(self._instants)
            if self._feeds[name].wake_at == at:
                self._changed[name] = None
        while self._changed:
            name = next(iter(self._changed))
            draft = self._next(name, now, now_s)
            if draft is not None:
                return (draft,)
            del self._changed[name]
            self._sleep(name, now_s)
        return ()

    def _sleep(self, name: str, now_s: int) -> None:
        """Note when to look at a feed again of which nothing follows now."""
        feed = self._feeds[name]
        feed.forget(now_s)
        feed.wake_at = min((at for at in feed.instants(now_s) if at > now_s), default=None)
        if feed.wake_at is not None:
            heappush(self._instants, (feed.wake_at, name))

    def _next(self, name: str, now: datetime, now_s: int) -> Draft | None:
        feed = self._feeds[name]
        source = feed.to_quarantine()
        if source is not None:
            outliers = feed.outliers[source]
            fact = SourceQuarantined(feed=name, source=source, outliers=outliers)
            fact_id = f"quarantine.{name}.{source}.{feed.quarantines[source] + 1}"
            return Draft(name, fact, fact_id, now, feed.last_cause)
        ready = feed.ready(now_s, 1 if feed.rules.kind == "rate" else OBSERVED_MAX)
        if ready is not None:
            return _published(name, feed.rules, ready, now)
        if feed.last_until is not None and feed.is_due_stale(now_s):
            until = datetime.fromtimestamp(feed.last_until, UTC)
            stale_id = f"stale.{name}.{format_instant(until)}"
            stale = FeedStale(feed=name, last_until=until)
            return Draft(name, stale, stale_id, now, self._time_cause)
        return None


def _published(name: str, rules: FeedRules, ready: Ready, now: datetime) -> Draft:
    first_at = datetime.fromtimestamp(ready.first, UTC)
    fact: Fact
    if rules.base is not None:
        fact = RatePublished(
            feed=name,
            base=rules.base,
            asset=rules.asset,
            from_at=first_at,
            rate_stroops=ready.values[0],
            made_of=ready.made_of,
        )
    else:
        published = Observation(first_at=first_at, interval_s=ready.step, values=ready.values)
        fact = PricePublished(
            feed=name, asset=rules.asset, published=published, made_of=ready.made_of
        )
    fact_id = f"{rules.kind}.{name}.{format_instant(first_at)}"
    return Draft(name, fact, fact_id, now, ready.cause)


def _cause(recorded: Recorded[Fact]) -> str:
    return write_cause(recorded.position, recorded.envelope.id)


def _stretch(observed: Observation) -> tuple[int, int]:
    first = int(observed.first_at.timestamp())
    return first, first + observed.interval_s * len(observed.values)


def _check_observation(observed: Observation, now: datetime) -> None:
    """Intervals stand on the grid of the day, and bills can still follow them."""
    (start, until), now_s = _stretch(observed), int(now.timestamp())
    if DAY_S % observed.interval_s:
        raise Refused(
            "observation-grid",
            "the length of an interval divides a day",
            field="body.observed.interval_s",
        )
    field = "body.observed.first_at"
    if start % observed.interval_s:
        text = "an interval starts a whole number of its lengths after midnight, UTC"
        raise Refused("observation-grid", text, field=field)
    if start < now_s - OLD_MAX_S:
        days = OLD_MAX_S // DAY_S
        text = f"an interval that began more than {days} days ago is billed for good"
        raise Refused("observation-too-old", text, field=field)
    if until > now_s + AHEAD_MAX_S:
        text = f"nothing is observed more than {AHEAD_MAX_S // DAY_S} days ahead"
        raise Refused("observation-too-far", text, field=field)


def _check_values(observed: Observation, rules: FeedRules) -> None:
    if rules.kind != "rate":
        return
    for number, value in enumerate(observed.values):
        if value <= 0:
            raise Refused(
                "rate-not-positive",
                "a rate is above zero",
                field=f"body.observed.values.{number}",
            )
