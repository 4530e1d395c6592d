"""Rows of lateness: notices, the clock's stops, disputes. Pure."""

from libs.events import (
    AlertRaised,
    ClockPaused,
    ClockResumed,
    DisputeResolved,
    EscalationReached,
    InvoiceDisputed,
    Recorded,
    ReminderSent,
    SternNoticeSent,
)
from services.projection.ownership_tables import CLOCK_PAUSE, DISPUTE, NOTICE
from services.projection.table import Values
from services.projection.views.place import Rows, row

_Notice = (
    Recorded[ReminderSent]
    | Recorded[AlertRaised]
    | Recorded[SternNoticeSent]
    | Recorded[EscalationReached]
)


def reminder_sent(recorded: Recorded[ReminderSent]) -> Rows:
    """One row per reminder."""
    yield NOTICE, _notice(recorded, "reminder")


def alert_raised(recorded: Recorded[AlertRaised]) -> Rows:
    """One row per alert."""
    yield NOTICE, _notice(recorded, "alert")


def stern_notice_sent(recorded: Recorded[SternNoticeSent]) -> Rows:
    """One row per stern notice, with whom else it was sent to."""
    yield NOTICE, _notice(recorded, "stern", recorded.fact.told)


def escalation_reached(recorded: Recorded[EscalationReached]) -> Rows:
    """One row per level at which the ledger acts, under the name of the level."""
    yield NOTICE, _notice(recorded, recorded.fact.level)


def _notice(recorded: _Notice, kind: str, told: tuple[str, ...] = ()) -> Values:
    fact = recorded.fact
    what = (kind, fact.agreement, fact.recipient, fact.invoice)
    return row(recorded, *what, fact.overdue_stroops, fact.periods_late, told)


def clock_paused(recorded: Recorded[ClockPaused]) -> Rows:
    """One row per stop of the clock."""
    fact = recorded.fact
    what = (fact.pause, "paused", fact.agreement, fact.cause, fact.from_at, None)
    yield CLOCK_PAUSE, row(recorded, *what)


def clock_resumed(recorded: Recorded[ClockResumed]) -> Rows:
    """One row per stop that ended."""
    fact = recorded.fact
    what = (fact.pause, "resumed", fact.agreement, fact.cause, fact.from_at, fact.until_at)
    yield CLOCK_PAUSE, row(recorded, *what)


def invoice_disputed(recorded: Recorded[InvoiceDisputed]) -> Rows:
    """One row per dispute."""
    fact = recorded.fact
    what = (fact.invoice, "disputed", fact.agreement, fact.amount_stroops)
    yield DISPUTE, row(recorded, *what, fact.reason, fact.until_at)


def dispute_resolved(recorded: Recorded[DisputeResolved]) -> Rows:
    """One row per decision of a dispute, with what was credited."""
    fact = recorded.fact
    what = (fact.invoice, "resolved", fact.agreement, fact.credited_stroops)
    yield DISPUTE, row(recorded, *what, None, None)
