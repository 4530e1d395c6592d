"""The oracle's rules: what time it is, and what energy costs.

Pure: facts in, facts out. In played time the clock moves when the player asks and every writer that
follows time has worked off the last step; in real time the edge asks with the wall clock's time.
What energy costs stands in `tariffs` and `feeds`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from libs.events.billing_commands import DefineFeed, Observe, PublishTariff, ReleaseSource
from libs.events.commands import AdvanceTime
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.pricing import TariffPublished
from libs.events.quantities import format_instant
from libs.events.subjects import TIME_KEY
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.rules.authority import Authority, Order
from libs.runtime.failures import NotYet, Refused
from services.oracle.feeds import Feeds
from services.oracle.tariffs import Tariffs

PLAYED_CADENCE_S = 86_400
"""Length of the first step of played time: a day."""


class Oracle:
    """State and rules of PRICES."""

    def __init__(
        self,
        *,
        authority: Authority,
        stream: str,
        followers: Mapping[str, str],
        played_from: datetime | None,
    ) -> None:
        """Begin with no time and no tariff.

        Args:
            authority: Judges commands; fed by this object.
            stream: The own stream.
            followers: The service behind each stream that must reach a time before the next.
            played_from: First time of a played clock; `None` for the real clock.
        """
        self.authority = authority
        self._stream, self._followers = stream, dict(followers)
        self._played_from = played_from
        self._reached: dict[str, datetime] = {}
        self._tariffs = Tariffs()
        self.feeds = Feeds()
        """What is observed; the edge asks until when."""

    @property
    def now(self) -> datetime | None:
        """The last time that was published."""
        return self.authority.now

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of PRICES, MEMBERS or a follower."""
        self.authority.evolve(recorded, own=recorded.stream == self._stream)
        fact = recorded.fact
        if isinstance(fact, TimeReached):
            self._reached[recorded.stream] = fact.to
        elif isinstance(fact, TimeAdvanced):
            self.feeds.time_passed(recorded)
        elif isinstance(fact, TariffPublished):
            self._tariffs.evolve(fact)
        elif recorded.stream == self._stream:
            self.feeds.evolve(recorded)

    def due(self) -> Sequence[Draft]:
        """The first step of played time, and what follows from observations and time."""
        if self.now is not None:
            return self.feeds.due(self.now)
        if self._played_from is None:
            return ()
        fact = TimeAdvanced(to=self._played_from, cadence_s=PLAYED_CADENCE_S)
        return (_time_draft(fact, f"time.{format_instant(fact.to)}", "- played-from"),)

    def decide(self, order: Order) -> Sequence[Draft]:
        """Decide a command.

        Raises:
            Refused: The signer may not, or a field breaks its rule.
            NotYet: A writer has not worked off the last step.
        """
        body = order.command.body
        match body:
            case Observe():
                return (self.feeds.observe(order, body),)
            case PublishTariff():
                return (self._tariffs.publish(order, body, self.feeds.rules_of),)
            case AdvanceTime():
                return (self._advance(order, body),)
            case DefineFeed():
                return (self.feeds.define(order, body, self.authority.members),)
            case ReleaseSource():
                return (self.feeds.release(order, body),)
            case _:
                raise Refused("wrong-service", f"{order.command.command} is not for the oracle")

    def _advance(self, order: Order, body: AdvanceTime) -> Draft:
        order.require("approver")
        if self._played_from is None:
            raise Refused("real-time", "the clock is real and moves by itself", field="command")
        if body.to <= order.time:
            raise Refused("time-not-later", "time moves forward only", field="body.to")
        for stream, service in self._followers.items():
            reached = self._reached.get(stream)
            if service not in body.down and (reached is None or reached < order.time):
                raise NotYet(
                    "time-not-reached",
                    f"{stream} has not reached {format_instant(order.time)}",
                    retry_after_s=0,
                )
        fact = TimeAdvanced(
            to=body.to,
            cadence_s=int((body.to - order.time).total_seconds()),
            command=order.text,
        )
        return _time_draft(fact, f"{order.id}.time", None)

    def tick(self, now: datetime, cadence_s: int) -> Sequence[Draft]:
        """The next step of real time: nothing while the clock has not moved on.

        Args:
            now: Whole seconds, from the edge's clock.
            cadence_s: Seconds until the next tick.
        """
        if self.now is not None and now <= self.now:
            return ()
        fact = TimeAdvanced(to=now, cadence_s=cadence_s)
        return (_time_draft(fact, f"time.{format_instant(now)}", "- clock"),)


def _time_draft(fact: TimeAdvanced, fact_id: str, cause: str | None) -> Draft:
    return Draft(TIME_KEY, fact, fact_id, fact.to, cause)
