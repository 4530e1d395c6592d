"""Facts of time. Periods, lateness and expiry follow these and no computer's clock."""

from libs.events.fact import Fact, fact
from libs.events.metering import SignedText
from libs.events.quantities import Instant, Ordinal
from libs.events.subjects import ANCHORS, BILLING, LEDGER, PRICES, READINGS


@fact("TimeAdvanced", 1, PRICES)
class TimeAdvanced(Fact):
    """The oracle says that it is now `to`."""

    to: Instant
    """The new time; later than every one before."""
    cadence_s: Ordinal
    """Seconds until the next one is expected; in played time the length of the step."""
    command: SignedText | None = None
    """The player's signed command, in played time."""


@fact("TimeReached", 1, READINGS, LEDGER, BILLING, ANCHORS)
class TimeReached(Fact):
    """A writer that follows time has decided everything that it read up to `to`."""

    to: Instant
    """The time of the `TimeAdvanced` that it has worked off."""
