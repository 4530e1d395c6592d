"""Facts of billing about lateness: notices, escalation, the clock's stops, disputes."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from libs.events.fact import Fact, Strict, fact
from libs.events.ids import Id, Reference
from libs.events.metering import SignedText
from libs.events.quantities import AmountStroops, Instant, Ordinal, PositiveStroops
from libs.events.subjects import BILLING

CLOCK_KEY = "clock"
"""Key of what stops the clock of all agreements of a book."""

PauseCause = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z][a-z0-9-]{0,63}$")]
"""Why the clock stood still, as a code such as `platform-outage`."""

EscalationLevel = Literal["diversion", "disconnection", "reclaim"]
"""`diversion`: grace is over; `disconnection`: six periods late; `reclaim`: twelve, from when on an
approver may take the holding back."""


class _Notice(Strict):
    agreement: Id
    """The agreement."""
    recipient: Id
    """Who is late."""
    invoice: Reference
    """The invoice that is late by most."""
    overdue_stroops: PositiveStroops
    """What is overdue of the agreement, in stroops, without what is disputed."""
    periods_late: Ordinal
    """Whole periods that the invoice is late."""


@fact("ReminderSent", 1, BILLING)
class ReminderSent(Fact, _Notice):
    """More than one period late: the recipient is reminded."""


@fact("AlertRaised", 1, BILLING)
class AlertRaised(Fact, _Notice):
    """Two periods late: the recipient is warned."""


@fact("SternNoticeSent", 1, BILLING)
class SternNoticeSent(Fact, _Notice):
    """Four periods late: recipient, investors and guarantors are told."""

    told: Annotated[tuple[Id, ...], Field(max_length=1_000)]
    """The investors and guarantors who are told, by member."""


@fact("EscalationReached", 1, BILLING)
class EscalationReached(Fact, _Notice):
    """A level at which the ledger acts, if the invoice is overdue by its books too."""

    level: EscalationLevel
    """Which."""


@fact("ClockPaused", 1, BILLING)
class ClockPaused(Fact):
    """The clock of lateness stands still: for all, or for one agreement."""

    pause: Id
    """Its name."""
    agreement: Id | None = None
    """The agreement; absent: every agreement of the book."""
    cause: PauseCause
    """Why."""
    from_at: Instant
    """Since when."""
    command: SignedText | None = None
    """The approver's signed command; absent for an outage that the facts of time show."""


@fact("ClockResumed", 1, BILLING)
class ClockResumed(Fact):
    """A pause ended: the time between is subtracted from every lateness."""

    pause: Id
    """Its name."""
    agreement: Id | None = None
    """The agreement; absent: every agreement of the book."""
    cause: PauseCause
    """Why it had stood still."""
    from_at: Instant
    """Since when it stood still."""
    until_at: Instant
    """Until when."""
    command: SignedText | None = None
    """The approver's signed command; absent for an outage that the facts of time show."""


@fact("InvoiceDisputed", 1, BILLING)
class InvoiceDisputed(Fact):
    """A recipient disputes a part of an invoice: it is late for the rest alone meanwhile."""

    invoice: Reference
    """The invoice."""
    agreement: Id
    """Its agreement."""
    amount_stroops: PositiveStroops
    """The disputed amount, at most what is open, in stroops."""
    reason: PauseCause
    """Why, as a code."""
    until_at: Instant
    """From when on it counts again even if nobody decided."""
    command: SignedText
    """The recipient's signed command."""


@fact("DisputeResolved", 1, BILLING)
class DisputeResolved(Fact):
    """An approver decided a dispute."""

    invoice: Reference
    """The invoice."""
    agreement: Id
    """Its agreement."""
    credited_stroops: AmountStroops
    """By how much the recipient was right, in stroops of energy; a credit note follows. 0: not."""
    command: SignedText
    """The approver's signed command."""
