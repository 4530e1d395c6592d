"""Answers about coming to own: systems, holdings, agreements, lateness, prices."""

from datetime import date, datetime
from typing import Any, Literal

from pydantic import Field

from services.gateway.shapes.base import Shape

Supply = Literal["supplied", "diverted", "disconnected"]
"""`diverted`: its part is sold to the grid; `disconnected`: the load relay is open."""


class SystemState(Shape):
    """A system, from the proposal to the handoff."""

    book: str
    """Its community."""
    system: str
    """The system."""
    proposer: str
    """Who proposed it."""
    recipient: str | None
    """Who accepts the raise; null: any recipient."""
    asset: str
    """What the price is in."""
    price_stroops: int
    """What is raised, in stroops."""
    price: str = Field(examples=["4000.0000000"])
    """The same in units of the asset."""
    raised_stroops: int
    """Money that investors put in and did not get back, in stroops."""
    raised: str
    """The same in units of the asset."""
    units: int
    """Units of title: the price and the seed uplift."""
    investor_count: int
    """How many invested."""
    nameplate_w: int
    """Nameplate power, in W."""
    site: str
    """The site."""
    time_zone: str
    """The site's time zone."""
    return_ppm_year: int
    """Agreed return, in ppm a year."""
    minimum_payment_stroops: int
    """Least payment a period, in stroops."""
    offtaker: str | None
    """Who buys what is sold to the grid; null: the site has no grid."""
    cover_left_stroops: int
    """First-loss cover that is there, in stroops."""
    cover_left: str
    """The same in units of the asset."""
    stage: int = Field(ge=0, le=9)
    """Its stage, 0 to 9."""
    stage_name: str = Field(examples=["operation"])
    """The same in a word."""
    stage_at: datetime | None
    """When it was reached; null in the first."""
    status: Literal["proposed", "approved", "full", "building", "running", "paid-off", "cancelled"]
    """How it stands."""
    accepted_at: datetime | None
    """When its raise was accepted."""
    cancelled_because: str | None
    """Why the raise was cancelled."""
    paid_off_at: datetime | None
    """When its last holding was owned."""


class HoldingState(Shape):
    """A holding and who has it."""

    book: str
    """Its community."""
    holding: str
    """The holding."""
    system: str
    """Its system."""
    holder: str
    """Who holds it now."""
    units: int
    """Units of the system."""
    own_shares: int
    """Own title in it."""
    own_percent: str = Field(examples=["12.3456"])
    """The same in percent of the units."""
    status: Literal["HELD", "OWNED", "RECLAIMED"]
    """`HELD` until nothing is owed."""
    supply: Supply
    """Whether it is supplied."""
    offered_to: str | None
    """To whom its holder offers it."""
    moves_to: str | None
    """Who accepted it, and has it from `moves_at` on."""
    moves_at: datetime | None
    """When it changes hands."""
    opened_at: datetime
    """When it was opened."""
    owned_at: datetime | None
    """Since when it is owned."""


class SupplyState(Shape):
    """What a site's relay follows."""

    holding: str
    """The holding."""
    state: Supply
    """Whether it is supplied."""
    position: str | None = Field(examples=["LEDGER_pilot:812"])
    """Stream and sequence of the fact that says so; null: nothing ever changed."""
    tokens: list[dict[str, Any]]
    """The newest numbers of OpenPAYGO tokens that were issued for it, newest first: `device`,
    `kind`, `days`, `count`."""


class AgreementState(Shape):
    """An agreement: what was agreed, what is owed and what is owned."""

    book: str
    """Its community."""
    agreement: str
    """The agreement."""
    holding: str
    """Its holding."""
    system: str
    """Its system."""
    holder: str | None
    """Who pays; null while the holding is not projected."""
    status: Literal["HELD", "OWNED", "RECLAIMED"] | None
    """How the holding stands."""
    supply: Supply | None
    """Whether it is supplied."""
    tariff: str
    """Its tariff."""
    asset: str
    """What it is paid in."""
    period: str = Field(examples=["14d"])
    """Billing period."""
    first_day: date
    """First local day that is billed."""
    term_periods: int | None
    """After how many periods the rest falls due; null: never by itself."""
    time_zone: str
    """The site's time zone."""
    return_ppm_year: int
    """Agreed return, in ppm a year."""
    minimum_payment_stroops: int
    """Least payment a period, in stroops."""
    grace_periods: int
    """Periods from the due time until the energy is sold."""
    units: int | None
    """Units of the holding."""
    own_shares: int
    """Own title."""
    own_percent: str = Field(examples=["12.3456"])
    """The same in percent of the units."""
    principal_stroops: int
    """What is left of the principal, in stroops."""
    principal: str
    """The same in units of the asset."""
    accrued_return_stroops: int
    """Return that is booked and not paid, in stroops."""
    accrued_return: str
    """The same in units of the asset."""
    payoff_stroops: int
    """What would end the debt today: principal and return through today, in stroops."""
    payoff: str
    """The same in units of the asset."""
    open_stroops: int
    """What is open of its invoices, in stroops."""
    open: str
    """The same in units of the asset."""
    overdue_stroops: int
    """What of it is overdue, in stroops."""
    overdue: str
    """The same in units of the asset."""
    next_due_at: datetime | None
    """When the oldest open invoice is due."""
    credit_stroops: int
    """Money that waits for the next invoice, in stroops."""
    credit: str
    """The same in units of the asset."""
    prepaid_stroops: int
    """Energy that was paid and credited since, in stroops."""
    prepaid: str
    """The same in units of the asset."""
    grid_claim_stroops: int
    """What an offtaker owes for its energy, in stroops."""
    grid_claim: str
    """The same in units of the asset."""
    refunds_due_stroops: int
    """What payees owe it since a credit note, in stroops."""
    refunds_due: str
    """The same in units of the asset."""
    standing_order_stroops: int
    """Most that is paid of an invoice by itself, in stroops; 0: there is no standing order."""
    last_notice: str | None = Field(examples=["reminder"])
    """The last notice of lateness."""
    last_notice_at: datetime | None
    """When it was sent."""
    opened_at: datetime
    """When it was opened."""


class Notice(Shape):
    """A notice of lateness, or a level that was reached."""

    book: str
    """Its community."""
    kind: Literal["reminder", "alert", "stern", "diversion", "disconnection", "reclaim"]
    """What it is."""
    agreement: str
    """The agreement."""
    recipient: str
    """Who is late."""
    invoice: str
    """The invoice that is late by most."""
    overdue_stroops: int
    """What is overdue, in stroops."""
    overdue: str
    """The same in units of the asset."""
    periods_late: int
    """Whole periods that the invoice is late."""
    told: list[str]
    """Who is told besides the recipient."""
    sent_at: datetime
    """Domain time."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""


class CreditNote(Shape):
    """A document that undoes an invoice or a part of it."""

    credit_note: str
    """The credit note."""
    number: int
    """Its number; invoices and credit notes share one row."""
    agreement: str
    """The agreement."""
    invoice: str
    """The invoice that it undoes."""
    replaced_by: str | None
    """The invoice that stands in its place."""
    reason: Literal["readings", "prices", "dispute"]
    """Why."""
    because: list[str]
    """Positions of the facts that changed it."""
    changes: list[dict[str, Any]]
    """The difference, line by line: `kind`, `bucket`, energy and amount before and after."""
    amounts: list[dict[str, Any]]
    """What is undone, by class."""
    asset: str
    """What the amounts are in."""
    total_stroops: int
    """Their sum, in stroops."""
    total: str
    """The same in units of the asset."""
    issued_at: datetime
    """Domain time."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""


class Draft(Shape):
    """What an invoice would be by now."""

    invoice: str
    """Name that it will have."""
    agreement: str
    """The agreement."""
    recipient: str
    """Who will owe it."""
    asset: str
    """What the amounts are in."""
    period_from: datetime
    """Start of the period."""
    period_until: datetime
    """End of the period, not included."""
    final_at: datetime
    """When it becomes final."""
    rated_intervals: int
    """Intervals that are rated by now."""
    unrated_intervals: int
    """Intervals that lack a meter or a price by now."""
    lines: list[dict[str, Any]]
    """The lines, as in the fact."""
    total_stroops: int
    """Their sum, in stroops."""
    total: str
    """The same in units of the asset."""


class TariffVersion(Shape):
    """A version of a tariff."""

    tariff: str
    """The tariff."""
    version: int
    """Its version."""
    kind: Literal["fixed", "time-of-use", "market"]
    """How it prices."""
    asset: str
    """What the prices are in."""
    prices: dict[str, Any]
    """All that it says, as in the fact."""
    effective_from: datetime
    """First instant at which it holds."""
    effective_until: datetime | None
    """When the next version begins."""
    published_at: datetime
    """Domain time of the publication."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""


class FeedState(Shape):
    """A feed: its rules, and how fresh it is."""

    feed: str
    """The feed."""
    kind: Literal["price", "rate"]
    """What is observed."""
    asset: str
    """What a price is in; of a rate what one unit of `base` is worth."""
    base: str | None
    """The currency that is converted."""
    sources: list[str]
    """Who observes."""
    quarantined: list[str]
    """Who does not count, after too many outliers."""
    quorum: int
    """Fewest sources of which a value is published."""
    staleness_s: int
    """Seconds after which an observation is too old."""
    fence_ppm: int
    """How far from the median a value may lie, in ppm."""
    settle_s: int
    """Seconds that a quorum waits for the other sources."""
    published_at: datetime | None
    """When its newest value was published."""
    last_until: datetime | None
    """Until when its newest price holds."""
    is_stale: bool
    """True: nothing is rated by it until a new value comes."""


class FeedPrice(Shape):
    """A published price of one interval."""

    feed: str
    """The feed."""
    asset: str
    """What it is in."""
    from_at: datetime
    """Start of the interval."""
    until_at: datetime
    """Its end."""
    price_stroops_per_kwh: int
    """Price, in stroops per kWh; may be below zero."""
    made_of: list[dict[str, Any]]
    """The observations that were looked at."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""


class FeedRate(Shape):
    """A published rate."""

    feed: str
    """The feed."""
    base: str
    """The currency that is converted."""
    asset: str
    """What it is converted to."""
    from_at: datetime
    """Since when it holds."""
    until_at: datetime | None
    """Until when; null: the newest."""
    rate_stroops: int
    """Stroops of `asset` for one unit of `base`."""
    made_of: list[dict[str, Any]]
    """The observations that were looked at."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""


class SuspendedReceipt(Shape):
    """Money that arrived and waits until somebody says for what."""

    receipt: str = Field(examples=["approver.r-17"])
    """Its name, which `SettleSuspense` takes."""
    asset: str
    """What arrived."""
    amount_stroops: int
    """Amount, in stroops."""
    amount: str
    """The same in units of the asset."""
    reference: str
    """What the sender wrote."""
    reason: str
    """Why it is not credited."""
    received_at: datetime
    """Domain time."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""
