"""Commands to billing and to the oracle: agreements, disputes, tariffs, feeds.

Source: domain rules, sections 4, 5 and 8.
"""

from typing import Annotated

from pydantic import Field

from libs.events.books import Terms
from libs.events.command import Body, command
from libs.events.dunning import PauseCause
from libs.events.ids import HashHex, Id, Reference
from libs.events.invoicing import (
    TAXES_MAX,
    BillingPeriod,
    GracePeriods,
    Tax,
    Upkeep,
)
from libs.events.metering import IntervalS
from libs.events.pricing import (
    Asset,
    FeedIn,
    FeedRules,
    MarketPrice,
    Observation,
    TimeOfUse,
)
from libs.events.quantities import (
    AmountStroops,
    DurationS,
    EnergyWh,
    Instant,
    LocalDate,
    Ordinal,
    PositiveStroops,
    PriceStroopsPerKwh,
)


@command("OpenAgreement", "billing", shape=2)
class OpenAgreement(Body):
    """A recipient agrees to pay for the energy of his holding."""

    agreement: Id
    """The agreement."""
    holding: Id
    """The holding."""
    tariff: Id
    """The tariff."""
    period: BillingPeriod
    """Billing period."""
    first_day: LocalDate
    """First local day that is billed, and anchor of the periods."""
    rating_interval_s: IntervalS
    """Rating interval in seconds."""
    settlement_lag_s: DurationS
    """Seconds from the end of a period to the final invoice."""
    due_after_s: DurationS
    """Seconds from the invoice to its due time."""
    terms: Terms
    """The terms; they must be those that every investor signed."""
    term_periods: Ordinal | None = None
    """After how many periods the rest falls due; absent: never by itself."""
    expected_wh_year: EnergyWh | None = None
    """Own use that is expected in a year, in Wh; needed where the return is above zero."""
    grace_periods: GracePeriods | None = None
    """Periods from the due time until the energy is sold; absent: 6."""
    notice_s: DurationS | None = None
    """Least seconds between two steps of lateness; absent: 7 days."""
    rate_feed: Id | None = None
    """The feed of the rate for a tariff in another currency."""
    upkeep: Upkeep | None = None
    """Operation and maintenance."""
    taxes: Annotated[tuple[Tax, ...], Field(min_length=1, max_length=TAXES_MAX)] | None = None
    """Taxes."""


@command("DisputeInvoice", "billing")
class DisputeInvoice(Body):
    """A recipient disputes a part of an invoice."""

    invoice: Reference
    """The invoice."""
    amount_stroops: PositiveStroops
    """The disputed amount, at most what is open, in stroops."""
    reason: PauseCause
    """Why, as a code."""


@command("ResolveDispute", "billing")
class ResolveDispute(Body):
    """An approver decides a dispute."""

    invoice: Reference
    """The invoice."""
    credited_stroops: AmountStroops
    """By how much the recipient was right, in stroops; 0: not at all."""


@command("PauseClock", "billing")
class PauseClock(Body):
    """An approver stops the clock of lateness for time in which our own platform fails."""

    pause: Id
    """Its name, used once."""
    agreement: Id | None = None
    """The agreement; absent: all."""
    cause: PauseCause
    """Why, as a code."""


@command("ResumeClock", "billing")
class ResumeClock(Body):
    """An approver lets the clock go on."""

    pause: Id
    """The pause that ends."""


@command("PublishTariff", "oracle", shape=2)
class PublishTariff(Body):
    """An approver publishes a version of a tariff; exactly one kind of price."""

    tariff: Id
    """The tariff."""
    asset: Asset
    """What the prices are in."""
    price_stroops_per_kwh: PriceStroopsPerKwh | None = None
    """A fixed price in stroops per kWh, above zero."""
    effective_from: Instant
    """First instant at which it holds; not before now."""
    time_of_use: TimeOfUse | None = None
    """Prices by month, kind of day and local hour."""
    market: MarketPrice | None = None
    """A price that follows a feed."""
    standing_stroops_per_month: AmountStroops | None = None
    """Standing charge in stroops a calendar month; absent: none."""
    feed_in: FeedIn | None = None
    """What is paid for grid energy; absent: nothing."""
    source_sha256: HashHex | None = None
    """SHA-256 of the document from which it was read."""


@command("DefineFeed", "oracle")
class DefineFeed(Body):
    """An approver says who observes a feed and how a value comes of it."""

    feed: Id
    """The feed."""
    rules: FeedRules
    """The rules."""


@command("Observe", "oracle")
class Observe(Body):
    """A source says what it saw."""

    feed: Id
    """The feed."""
    observed: Observation
    """What."""
    document_sha256: HashHex
    """SHA-256 of the document in which it stood."""


@command("ReleaseSource", "oracle")
class ReleaseSource(Body):
    """An approver lets a quarantined source count again."""

    feed: Id
    """The feed."""
    source: Id
    """The member."""
