"""Answers about money and title: invoices and what explains them, who owns what."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field

from services.gateway.shapes.base import Shape


class Invoice(Shape):
    """An invoice in short."""

    invoice: str = Field(examples=["sunrise-2016-07"])
    """The invoice."""
    number: int | None
    """Its number in the book; null while the issue is not projected."""
    agreement: str
    """The agreement."""
    recipient: str | None
    """The member who owes it."""
    asset: str | None = Field(examples=["USD"])
    """What the amounts are in."""
    period_from: datetime | None
    """Start of the period."""
    period_until: datetime | None
    """End of the period, not included."""
    first_day: date | None
    """First local day of the period, at the site."""
    last_day: date | None
    """Last local day of the period."""
    issued_at: datetime | None
    """Domain time of the issue."""
    due_at: datetime | None
    """When it falls due."""
    energy_wh: int | None
    """Billed energy, in Wh."""
    energy_kwh: str | None
    """The same in kWh."""
    total_stroops: int | None
    """What it asks for, in stroops."""
    total: str | None = Field(examples=["1.2345678"])
    """The same in units of the asset."""
    paid_stroops: int
    """What payments cleared so far, in stroops."""
    paid: str
    """The same in units of the asset."""
    open_stroops: int
    """What is still to be paid, in stroops: less what was capped, credited or prepaid, too."""
    open: str
    """The same in units of the asset."""
    later_due_at: datetime | None
    """When the part is due by which it is higher than the invoice that it replaces."""
    replaces: str | None
    """The invoice in whose place it stands."""
    replaced_by: str | None
    """The invoice that stands in its place."""
    status: Literal[
        "open", "part-paid", "overdue", "settling", "paid", "credited", "replaced", "pending"
    ]
    """`settling`: paid in the ledger, not yet in billing; `credited`, `replaced`: a credit note
    undid it; `pending`: its issue is not projected."""
    stream: str | None
    """Stream of the fact; null while the issue is not projected."""
    sequence: int | None
    """Its position there."""


class Price(Shape):
    """The price behind a line."""

    tariff: str
    """The tariff."""
    version: int
    """Its version."""
    price_stroops_per_kwh: int | None
    """Price in stroops per kWh, as the line says; null where it differs by interval."""
    price_per_kwh: str | None = Field(examples=["0.2000000"])
    """The same in units of the asset."""
    position: str = Field(examples=["PRICES:2:0f3c..."])
    """Where the `TariffPublished`, or the `PricePublished` of a market price, stands: stream,
    sequence, hash."""
    effective_from: datetime | None
    """First instant at which it holds; null while the fact is not projected."""
    state: Literal["found", "pending", "differs"]
    """Whether the fact at that position says the same."""


class Arithmetic(Shape):
    """How an amount came about."""

    words: str = Field(examples=["12.345 kWh x 0.2000000 USD per kWh = 2.4690000 USD"])
    """In words, for people."""
    energy_wh: int
    """Energy, in Wh."""
    price_stroops_per_kwh: int
    """Price, in stroops per kWh."""
    product: int
    """Energy times price, in stroops times Wh per kWh, exact."""
    divisor: int
    """Wh per kWh."""
    rounded_stroops: int
    """Product divided by the divisor, rounded half to even, in stroops."""
    agrees: bool
    """Whether that is the amount of the line."""


class Line(Shape):
    """One line of an invoice."""

    line: int
    """Its number."""
    line_class: str
    """`energy`, `shared`, `running` or `tax`."""
    kind: str = Field(examples=["use"])
    """What it is for: `use`, `shared`, `standing`, `upkeep`, `minimum`, `term` or `tax`."""
    holding: str
    """The holding."""
    payee: str | None
    """Who receives it; null: the investors."""
    bucket: str | None
    """The bucket of a time-of-use tariff."""
    tier: int | None
    """The tier of that bucket."""
    days: int
    """Local days of a charge that is prorated; else 0."""
    rate_ppm: int | None
    """Rate of a tax, in ppm."""
    base_lines: list[int]
    """The lines that a tax is on."""
    energy_wh: int
    """Energy, in Wh."""
    energy_kwh: str
    """The same in kWh."""
    amount_stroops: int
    """Amount, in stroops."""
    amount: str
    """The same in units of the asset."""
    price: Price | None
    """The price; null for what has none."""
    arithmetic: Arithmetic | None
    """The arithmetic, done again by the gateway; null where a line has no single price."""


class ReadingsUsed(Shape):
    """The readings of one meter that an invoice rests on."""

    meter: str
    """The meter."""
    stream: str
    """Stream of its readings."""
    first_seq: int
    """The meter's number of the first report."""
    last_seq: int
    """The meter's number of the last report."""
    count: int
    """How many reports."""
    positions: list[int]
    """Their positions in the stream."""
    ranges: str = Field(examples=["1-24, 26"])
    """The same as stretches."""
    found: int
    """How many of them are projected; the others are pending."""
    state: Literal["found", "pending"]
    """Whether all are."""


class Payment(Shape):
    """What one payment cleared on an invoice."""

    payment: str
    """The payment."""
    payer: str | None
    """Who paid; null: the agreement's credit, applied by itself."""
    line_class: str
    """The class of lines that it cleared."""
    cleared_stroops: int
    """How much of this invoice, in stroops."""
    cleared: str
    """The same in units of the asset."""
    returned_stroops: int | None
    """Return that the whole payment paid to investors, in stroops."""
    principal_stroops: int | None
    """Principal that the whole payment repaid, in stroops: as many shares moved."""
    shares_moved: int
    """Shares of title that moved because of the whole payment."""
    settled_at: datetime
    """Domain time."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""


class InvoiceDetail(Invoice):
    """An invoice with everything that explains it."""

    time_zone: str | None
    """The site's time zone; null while the agreement is not projected."""
    rated_intervals: int | None
    """Intervals in which both meters were known."""
    unrated_intervals: int | None
    """Intervals that lack a meter: not billed, never guessed."""
    generated_wh: int | None
    """What the system generated in the rated intervals, in Wh."""
    generated_kwh: str | None
    """The same in kWh."""
    consumed_wh: int | None
    """What the holding consumed in them, in Wh."""
    consumed_kwh: str | None
    """The same in kWh."""
    lines: list[Line]
    """The lines."""
    readings: list[ReadingsUsed]
    """The readings that they rest on."""
    payments: list[Payment]
    """What was paid."""
    paid_at: datetime | None
    """When billing said that it is paid."""
    pending: list[str]
    """What other streams have not told yet."""
    explanation: list[str]
    """The whole bill in sentences."""


class Holder(Shape):
    """One member's title in a system."""

    member: str
    """The member; the system's id for units that the approver still holds."""
    kind: Literal["investor", "reserved", "recipient", "approver"]
    """`reserved`: paid into escrow, not yet title."""
    shares: int
    """Shares of title."""
    share_percent: str = Field(examples=["12.3456"])
    """Part of the system's units, in percent."""


class HoldingTitle(Shape):
    """One holding, and how much of it its recipient owns."""

    holding: str
    """The holding."""
    recipient: str
    """The member who uses it."""
    units: int
    """Units of the system."""
    own_shares: int
    """The recipient's own title."""
    own_percent: str = Field(examples=["0.0225"])
    """Own title as part of the holding, in percent."""
    principal_shares: int
    """What is still to be repaid, in shares: as many stroops."""


class Ownership(Shape):
    """A system, its holdings and who owns it."""

    system: str
    """The system."""
    asset: str
    """What its price is in."""
    price_stroops: int
    """Price, in stroops; as many units."""
    price: str
    """The same in units of the asset."""
    nameplate_w: int
    """Nameplate power, in W."""
    time_zone: str
    """The site's time zone."""
    state: Literal["proposed", "approved", "full", "building", "running", "paid-off", "cancelled"]
    """How the system stands."""
    units: int
    """Units of title: the price and the seed uplift; 0 before the approval."""
    holdings: list[HoldingTitle]
    """Its holdings."""
    title: list[Holder]
    """Who owns it; the shares sum to the units."""
