"""When the clock of lateness stands still: outages of our platform, and what approvers say. Pure.

A stretch in which it stands still is subtracted from every lateness that it falls into; stretches
that overlap count once. Nothing is decided inside one.

Source: domain rules, section 8; docs/decisions/0005, "Lateness".
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from libs.events.billing_commands import PauseClock, ResumeClock
from libs.events.dunning import CLOCK_KEY, ClockPaused, ClockResumed
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.positions import write_cause
from libs.events.quantities import format_instant
from libs.events.timekeeping import TimeAdvanced
from libs.rules.authority import Order
from libs.runtime.failures import NotFound, Refused
from services.billing.debtors import Debtors

NEVER: Final = datetime.max.replace(microsecond=0, tzinfo=UTC)
"""Stands for the end of what has none yet."""

OUTAGE_CADENCES: Final = 2
"""A clock that is silent for more than so many of its announced steps was out of order."""

OUTAGE_GRACE_S: Final = 60
"""Seconds that it may be silent beyond them."""

OUTAGE: Final = "platform-outage"
"""The cause of a pause that the facts of time show."""

_OUTAGE_PREFIX: Final = "outage-"

Span = tuple[datetime, datetime]
"""A stretch of time: from, and until (not included)."""


def union(spans: Iterable[Span]) -> list[Span]:
    """Join stretches that overlap or touch; in order, none of them empty."""
    joined: list[Span] = []
    for begin, end in sorted(spans):
        if begin >= end:
            continue
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined


def reached_at(since: datetime, target: datetime, stops: Sequence[Span]) -> datetime:
    """When a clock that began at `since` shows `target`, if it stands still during `stops`.

    Args:
        since: When it began.
        target: What it would show if it never stood still; later than `since`.
        stops: As `union` gives them.

    Returns:
        The instant; `NEVER` while it is not known when the clock goes on.
    """
    for begin, end in stops:
        if begin >= target:
            break
        if end <= since:
            continue
        if end == NEVER:
            return NEVER
        target += end - max(begin, since)
    return target


def outside(instant: datetime, stops: Sequence[Span]) -> datetime:
    """The first instant, not before this one, at which a clock goes; see `reached_at`."""
    for begin, end in stops:
        if begin <= instant < end:
            return end
    return instant


class Pauses:
    """Every pause of a book, and the outages that are not written down yet."""

    def __init__(self, debtors: Debtors) -> None:
        """Begin with a clock that goes."""
        self._debtors = debtors
        self._pauses: dict[str, ClockPaused] = {}
        self._running: set[str] = set()
        self._spans: dict[str | None, dict[str, Span]] = {}
        self._joined: dict[str | None, list[Span]] = {}
        self._last: TimeAdvanced | None = None
        self._outages: dict[str, tuple[Span, str]] = {}

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold time, and the pauses of the own stream; all others are ignored."""
        fact: Any = recorded.fact
        kind = type(fact)  # `isinstance` of another model takes pydantic ten times
        if kind is TimeAdvanced:
            self._advance(fact, write_cause(recorded.position, recorded.envelope.id))
        elif kind is ClockPaused:
            self._pauses[fact.pause] = fact
            self._running.add(fact.pause)
            self._put(fact.agreement, fact.pause, (fact.from_at, NEVER))
        elif kind is ClockResumed:
            self._running.discard(fact.pause)
            self._outages.pop(fact.pause, None)
            self._put(fact.agreement, fact.pause, (fact.from_at, fact.until_at))

    def _put(self, agreement: str | None, pause: str, span: Span) -> None:
        spans = self._spans.setdefault(agreement, {})
        spans[pause] = span
        self._joined[agreement] = union(spans.values())

    def _advance(self, fact: TimeAdvanced, cause: str) -> None:
        """Notice that time stood still for longer than it had said; a player says each step."""
        before, self._last = self._last, fact
        if before is None or before.command is not None or fact.command is not None:
            return
        allowed = timedelta(seconds=OUTAGE_CADENCES * before.cadence_s + OUTAGE_GRACE_S)
        if fact.to - before.to <= allowed:
            return
        span = before.to + timedelta(seconds=before.cadence_s), fact.to
        name = _OUTAGE_PREFIX + format_instant(span[0]).replace("-", "").replace(":", "")
        if name not in self._pauses:
            self._outages[name] = span, cause

    def of(self, agreement: str) -> list[Span]:
        """When the clock of an agreement stands still, as `union` gives it."""
        common, own = self._joined.get(None, []), self._joined.get(agreement)
        return union([*common, *own]) if own else common

    def due(self) -> Sequence[Draft]:
        """The next outage that time has shown: one decision, it began and it ended."""
        for name, ((from_at, until_at), cause) in self._outages.items():
            paused = ClockPaused(pause=name, cause=OUTAGE, from_at=from_at)
            resumed = ClockResumed(pause=name, cause=OUTAGE, from_at=from_at, until_at=until_at)
            return (
                Draft(CLOCK_KEY, paused, f"{name}.paused", until_at, cause),
                Draft(CLOCK_KEY, resumed, f"{name}.resumed", until_at, cause),
            )
        return ()

    def pause(self, order: Order) -> Sequence[Draft]:
        """Decide `PauseClock`.

        Raises:
            NotFound, Refused: By the rule that the code names.
        """
        body = order.body(PauseClock)
        order.require("approver")
        if body.pause.startswith(_OUTAGE_PREFIX):
            raise Refused("id-reserved", "outages are called so", field="body.pause")
        if body.pause in self._pauses:
            raise Refused("pause-exists", "the name was used", field="body.pause")
        if body.agreement is not None and self._debtors(body.agreement) is None:
            raise NotFound(
                "unknown-agreement", f"no agreement {body.agreement}", field="body.agreement"
            )
        fact = ClockPaused(
            pause=body.pause,
            agreement=body.agreement,
            cause=body.cause,
            from_at=order.time,
            command=order.text,
        )
        return (Draft(body.agreement or CLOCK_KEY, fact, f"{order.id}.paused", order.time),)

    def resume(self, order: Order) -> Sequence[Draft]:
        """Decide `ResumeClock`.

        Raises:
            NotFound, Refused: By the rule that the code names.
        """
        body = order.body(ResumeClock)
        order.require("approver")
        paused = self._pauses.get(body.pause)
        if paused is None:
            raise NotFound("unknown-pause", f"no pause {body.pause}", field="body.pause")
        if body.pause not in self._running:
            raise Refused("pause-ended", "the clock goes on already", field="body.pause")
        fact = ClockResumed(
            pause=body.pause,
            agreement=paused.agreement,
            cause=paused.cause,
            from_at=paused.from_at,
            until_at=order.time,
            command=order.text,
        )
        return (Draft(paused.agreement or CLOCK_KEY, fact, f"{order.id}.resumed", order.time),)
