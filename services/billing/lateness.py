"""Who is late by how much, and what follows: notices, and levels at which the ledger acts. Pure.

An agreement climbs one step at a time, each once, until nothing of it is overdue any more; then it
begins anew. A step is decided for a time only when everything that could still come for it was
read: PRICES, READINGS and LEDGER have reached it.

The next instant at which each agreement can climb is in a heap. Only a fact about an agreement
moves it there, so nothing is looked at while nothing is due.

Source: domain rules, section 8; docs/decisions/0005, "Lateness".
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from heapq import heappop, heappush
from typing import Any, Final, Literal, NamedTuple

from libs.events.billing_commands import DisputeInvoice, PauseClock, ResolveDispute, ResumeClock
from libs.events.dunning import (
    AlertRaised,
    ClockPaused,
    ClockResumed,
    EscalationReached,
    ReminderSent,
    SternNoticeSent,
)
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.quantities import format_instant
from libs.events.systems import HoldingOwned, HoldingReclaimed, SystemProposed
from libs.rules.authority import Order
from libs.rules.periods import later_by
from libs.rules.receivables import Receivables
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import Refused
from services.billing.arrears import Arrears, LateClock
from services.billing.clock import NEVER, Pauses, outside, reached_at
from services.billing.debtors import Debtor, Debtors
from services.billing.disputes import Disputes
from services.billing.stakeholders import Stakeholders

DECIDED_TOGETHER_MAX: Final = 100
"""Most agreements that take a step in one decision."""

PERIODS_MAX: Final = 1_000
"""Most periods that are counted: a larger lateness is told as this."""

StepName = Literal["reminder", "alert", "stern", "diversion", "disconnection", "reclaim"]


class Step(NamedTuple):
    """A step of lateness."""

    name: StepName
    """What it is."""
    periods: int
    """At how many periods it is reached."""


class _Taken(NamedTuple):
    """How far an agreement climbed."""

    steps: int
    last_at: datetime


class _Next(NamedTuple):
    """The next step of an agreement, and the clock that leads to it."""

    at: datetime
    reached_at: datetime
    step: Step
    clock: LateClock
    debtor: Debtor


_NOTICES: Final = (ReminderSent, AlertRaised, SternNoticeSent, EscalationReached)


@lru_cache
def ladder(grace_periods: int, *, has_offtaker: bool) -> tuple[Step, ...]:
    """The steps of an agreement, in order.

    Args:
        grace_periods: Periods until its energy is sold, 2 to 6.
        has_offtaker: Whether somebody buys it; else there is no such step.
    """
    steps = [Step("reminder", 1), Step("alert", 2), Step("stern", 4)]
    if has_offtaker:
        steps.append(Step("diversion", grace_periods))
    steps += [Step("disconnection", 6), Step("reclaim", 12)]
    return tuple(sorted(steps, key=lambda step: step.periods))  # of equal ones in this order


class Lateness:
    """What billing knows of lateness: a part of the state of BILLING_<book>."""

    def __init__(
        self,
        *,
        timekeeper: Timekeeper,
        receivables: Receivables,
        debtors: Debtors,
        stream: str,
    ) -> None:
        """Begin with nobody late.

        Args:
            timekeeper: Says up to which time everything was read.
            receivables: What is open of every invoice; both are folded by whoever owns them,
                before `due` is asked.
            debtors: Gives the agreements and their recipients.
            stream: The own stream.
        """
        self._timekeeper, self._debtors = timekeeper, debtors
        self._pauses = Pauses(debtors)
        self._disputes = Disputes(receivables=receivables, debtors=debtors)
        self._arrears = Arrears(receivables=receivables, disputes=self._disputes, stream=stream)
        self._stakeholders = Stakeholders()
        self._with_offtaker: set[str] = set()
        self._ended: set[str] = set()
        self._taken: dict[str, _Taken] = {}
        self._changed: dict[str, None] = {}
        self._next: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of the own stream, of PRICES or of LEDGER; all others are ignored."""
        self._pauses.evolve(recorded)
        self._disputes.evolve(recorded)
        self._stakeholders.evolve(recorded.fact)
        self._changed.update(dict.fromkeys(self._arrears.evolve(recorded)))
        fact: Any = recorded.fact
        kind = type(fact)  # `isinstance` of another model takes pydantic ten times
        if kind in _NOTICES:
            before = self._taken.get(fact.agreement)
            steps = 1 if kind is ReminderSent or before is None else before.steps + 1
            self._taken[fact.agreement] = _Taken(steps, recorded.envelope.time)
            self._changed[fact.agreement] = None
        elif kind in {ClockPaused, ClockResumed}:
            about = self._arrears.agreements if fact.agreement is None else (fact.agreement,)
            self._changed.update(dict.fromkeys(about))
        elif kind is SystemProposed and fact.offtaker is not None:
            self._with_offtaker.add(fact.system)
        elif kind in {HoldingOwned, HoldingReclaimed}:
            self._ended.add(fact.agreement)
            self._changed[fact.agreement] = None

    def decide(self, order: Order) -> Sequence[Draft]:
        """Decide a command about disputes or the clock.

        Raises:
            NotFound, Refused: By the rule that the code names.
        """
        match order.command.body:
            case DisputeInvoice():
                return self._disputes.dispute(order)
            case ResolveDispute():
                return self._disputes.resolve(order)
            case PauseClock():
                return self._pauses.pause(order)
            case ResumeClock():
                return self._pauses.resume(order)
            case _:
                raise Refused("wrong-service", f"{order.command.command} is not for billing")

    def due(self) -> Sequence[Draft]:
        """The next outage, or the next steps of lateness; empty while nothing is due."""
        common = self._timekeeper.common
        if outage := self._pauses.due():
            return outage
        if common is None:
            return ()
        for agreement in self._changed:
            self._schedule(agreement, common)
        self._changed.clear()
        drafts: list[Draft] = []
        ready: dict[str, datetime] = {}
        while self._heap and self._heap[0][0] <= common and len(drafts) < DECIDED_TOGETHER_MAX:
            at, agreement = heappop(self._heap)
            if self._next.get(agreement) != at or agreement in ready:
                continue  # it was moved since, perhaps there and back
            step = self._step(agreement, common)
            if step is None or step.at > common:
                self._put(agreement, step)
                continue
            ready[agreement] = at
            drafts.append(self._draft(step, common))
        for agreement, at in ready.items():  # they stay until their facts are folded
            heappush(self._heap, (at, agreement))
        return tuple(drafts)

    def _schedule(self, agreement: str, common: datetime) -> None:
        """Find out anew when an agreement can climb, since a fact was about it."""
        taken = self._taken.get(agreement)
        is_late = taken is not None and not self._arrears.is_cured_since(agreement, taken.last_at)
        self._put(agreement, self._step(agreement, common))
        since = taken.last_at if taken is not None and is_late else None
        self._arrears.forget_closed(agreement, common, since)

    def _put(self, agreement: str, step: _Next | None) -> None:
        if step is None or step.at == NEVER:
            self._next.pop(agreement, None)
        elif self._next.get(agreement) != step.at:
            self._next[agreement] = step.at
            heappush(self._heap, (step.at, agreement))

    def _step(self, agreement: str, common: datetime) -> _Next | None:
        """The next step of an agreement, not before `common`; none when nothing leads to one."""
        debtor = self._debtors(agreement)
        if debtor is None or agreement in self._ended:
            return None
        opened, taken = debtor.opened, self._taken.get(agreement)
        count, earliest = 0, common
        if taken is not None:
            earliest = max(common, taken.last_at + timedelta(seconds=opened.notice_s))
            if not self._arrears.is_cured_since(agreement, taken.last_at):
                count = taken.steps
        has_offtaker = opened.system in self._with_offtaker
        steps = ladder(opened.grace_periods, has_offtaker=has_offtaker)
        if count >= len(steps):
            return None
        found: _Next | None = None
        for clock in self._arrears.clocks(agreement, self._pauses.of(agreement)):
            reached = late_at(clock, steps[count].periods, debtor)
            at = outside(max(reached, earliest), clock.stops)
            if found is None or (at, reached) < (found.at, found.reached_at):
                found = _Next(at, reached, steps[count], clock, debtor)
        return found

    def _draft(self, found: _Next, common: datetime) -> Draft:
        opened, name = found.debtor.opened, found.step.name
        notice: dict[str, Any] = {
            "agreement": opened.agreement,
            "recipient": found.debtor.recipient,
            "invoice": found.clock.bill.invoice,
            "overdue_stroops": self._arrears.overdue_stroops(opened.agreement, common),
            "periods_late": _periods_late(found, common),
        }
        fact: Fact
        if name == "reminder":
            fact = ReminderSent(**notice)
        elif name == "alert":
            fact = AlertRaised(**notice)
        elif name == "stern":
            fact = SternNoticeSent(**notice, told=self._stakeholders.of(opened.system))
        else:
            fact = EscalationReached(**notice, level=name)
        fact_id = f"{opened.agreement}.{name}.{format_instant(common)}"
        return Draft(opened.agreement, fact, fact_id, common, found.clock.bill.cause)


def late_at(clock: LateClock, periods: int, debtor: Debtor) -> datetime:
    """When an invoice is late by some periods; `NEVER` while its clock stands still.

    The first period must be over, so its step is reached a second later: instants are whole
    seconds. The others are reached at the instant itself.
    """
    opened = debtor.opened
    target = later_by(clock.due_at, periods, opened.period, opened.time_zone)
    if periods == 1:
        target += timedelta(seconds=1)
    return reached_at(clock.due_at, target, clock.stops)


def _periods_late(found: _Next, common: datetime) -> int:
    """Whole periods by which the invoice is late; at least those of its step."""
    periods = found.step.periods
    while periods < PERIODS_MAX and late_at(found.clock, periods + 1, found.debtor) <= common:
        periods += 1
    return periods
