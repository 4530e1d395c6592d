"""What the API answers: one model per thing, integers with their unit in the name.

Beside every integer for machines stands a decimal text for people. Instants are UTC.
"""

from datetime import date, datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

T = TypeVar("T")


class Shape(BaseModel):
    """A JSON object."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Page(Shape, Generic[T]):
    """One page of a list."""

    items: list[T]
    """The items, in the order of the list."""
    next_cursor: str | None = None
    """Give it as `cursor` for the next page; null on the last one."""


class Register(Shape):
    """One cumulative register over a report."""

    name: Literal["generated", "consumed", "imported", "exported"]
    """Which register."""
    total_wh: int = Field(examples=[400])
    """Energy over all intervals of the report, in Wh."""
    total_kwh: str = Field(examples=["0.400"])
    """The same in kWh."""
    differences_wh: list[int] = Field(examples=[[100, 100, 100, 100]])
    """Energy in each interval, in Wh, oldest first."""
    after_wh: int
    """The register after the last interval, in Wh."""


class Reading(Shape):
    """An accepted report of a meter."""

    stream: str = Field(examples=["READINGS_0"])
    """Stream in which the fact stands."""
    sequence: int = Field(examples=[17])
    """Its position there."""
    meter: str = Field(examples=["pv-1"])
    """The meter."""
    seq: int
    """The meter's own number of the report."""
    epoch: int
    """Register epoch."""
    first_interval_at: datetime
    """Start of the first interval."""
    until_at: datetime
    """End of the last interval, not included."""
    interval_s: int = Field(examples=[900])
    """Length of every interval, in seconds."""
    registers: list[Register]
    """The registers that the meter has."""


class Meter(Shape):
    """An enrolled meter."""

    meter: str = Field(examples=["pv-1"])
    """The meter."""
    role: str = Field(examples=["generation"])
    """`generation`, `consumption` or `grid`."""
    system: str
    """The system at which it stands."""
    holding: str | None
    """The holding whose consumption it measures."""
    site: str
    """The site."""
    nameplate_w: int
    """Most power that it can measure, in W."""
    nameplate_kw: str
    """The same in kW."""
    address: str
    """Stellar address of the key that signs its reports."""
    enrolled_at: datetime
    """Domain time of its enrolment."""
    last_until_at: datetime | None
    """End of its newest interval; null before its first report."""
    stream: str
    """Stream of the enrolment."""
    sequence: int
    """Its position there."""


class Member(Shape):
    """A registered member."""

    member: str = Field(examples=["ann"])
    """The member."""
    address: str
    """Stellar address of the key that signs the member's commands."""
    roles: list[str] = Field(examples=[["recipient"]])
    """Roles."""
    registered_at: datetime
    """Domain time of the registration."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""


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
    status: Literal["open", "part-paid", "overdue", "settling", "paid", "pending"]
    """`settling`: paid in the ledger, not yet in billing; `pending`: its issue is not projected."""
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
    price_stroops_per_kwh: int
    """Price in stroops per kWh, as the line says."""
    price_per_kwh: str = Field(examples=["0.2000000"])
    """The same in units of the asset."""
    position: str = Field(examples=["PRICES:2:0f3c..."])
    """Where the `TariffPublished` stands: stream, sequence, hash."""
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
    holding: str
    """The holding."""
    energy_wh: int
    """Energy, in Wh."""
    energy_kwh: str
    """The same in kWh."""
    amount_stroops: int
    """Amount, in stroops."""
    amount: str
    """The same in units of the asset."""
    price: Price
    """The price."""
    arithmetic: Arithmetic
    """The arithmetic, done again by the gateway."""


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
    """Who paid."""
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
    state: Literal["proposed", "approved", "accepted"]
    """How far the raise is."""
    units: int
    """Units of title; 0 before the approval."""
    holdings: list[HoldingTitle]
    """Its holdings."""
    title: list[Holder]
    """Who owns it; the shares sum to the units."""


class Anchor(Shape):
    """One round of anchoring."""

    round: int
    """Number of the round."""
    log: str
    """Key of the fact."""
    status: Literal["prepared", "confirmed", "failed"]
    """Whether its transaction stands in a closed ledger."""
    network: str
    """Passphrase of the network."""
    is_devnet: bool
    """True: this is the devnet double and not Stellar."""
    notice: str
    """The same in words."""
    transaction_hash: str
    """Hash of the transaction."""
    ledger: int | None
    """The ledger that holds it."""
    closed_at: datetime | None
    """Close time of that ledger."""
    account: str
    """The anchor's account."""
    round_sha256: str
    """What the memo holds: SHA-256 of the signed checkpoints of all logs."""
    round_text: str
    """Those checkpoints."""
    prepared_at: datetime
    """Domain time."""
    valid_until: datetime
    """Upper time bound of the transaction."""
    reason: str | None
    """Why it failed."""
    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""


class StreamClock(Shape):
    """How far one writer has worked off the clock."""

    stream: str
    """Its stream."""
    reached_at: datetime
    """The last time that it reached."""
    behind_s: int
    """Seconds behind the clock; 0 when it has caught up."""


class Clock(Shape):
    """The one clock of the rules."""

    now_at: datetime | None
    """The time that the oracle last published; null before the first."""
    cadence_s: int | None
    """Seconds until the next one is expected."""
    sequence: int | None
    """Position of that fact in PRICES."""
    is_played: bool
    """True: a player moves this clock; false: it follows the wall clock."""
    streams: list[StreamClock]
    """The writers that follow it."""


class Refusal(Shape):
    """A report that was refused."""

    kind: Literal["fact", "message"]
    """`fact`: rightly signed, of an enrolled meter; `message`: anything else that came in."""
    reason: str = Field(examples=["overlap"])
    """Code of the rule."""
    detail: str
    """The rule in words."""
    meter: str
    """The meter, as far as it was known."""
    seq: int | None
    """The meter's number of the report."""
    sha256: str
    """Hash of the message."""
    first_256_bytes: str | None
    """Its first bytes in base64; only of messages."""
    count: int
    """How many refusals this one stands for."""
    refused_at: datetime | None
    """Domain time; messages have none."""
    stream: str
    """Where it stands."""
    sequence: int
    """Its position there."""


class StreamPosition(Shape):
    """How far a stream is projected."""

    stream: str
    """The stream."""
    sequence: int
    """Position of the last projected fact."""
    hash: str
    """First 32 hexadecimal digits of the SHA-256 of its bytes."""
    fact_count: int
    """How many facts were projected."""
    is_counted: bool
    """True: as many facts as positions, so nothing is missing; always true for REFUSALS."""
    last_at: datetime | None
    """Domain time of that fact."""
    moved_at: datetime
    """Wall-clock time at which the position moved."""
    facts: dict[str, int]
    """Number of projected facts by name."""


class EnergyDay(Shape):
    """One local day of a system."""

    day: date
    """The day in the site's time zone."""
    generated_wh: int | None
    """Generated, in Wh; null: no reading."""
    generated_kwh: str | None
    """The same in kWh."""
    consumed_wh: int | None
    """Consumed by all holdings, in Wh; null: no reading."""
    consumed_kwh: str | None
    """The same in kWh."""
    used_wh: int | None
    """Generated and used at the site, in Wh; null where one side is not known."""
    used_kwh: str | None
    """The same in kWh."""


class Energy(Shape):
    """Energy of a system per local day."""

    system: str | None
    """The system; null while there is none."""
    time_zone: str
    """The time zone of the days."""
    state: Literal["known", "pending"]
    """`pending`: the system's proposal is not projected, days are UTC."""
    rating_s: int
    """Intervals of this length were compared for `used_wh`, in seconds."""
    days: list[EnergyDay]
    """Days with readings, oldest first; missing days have none."""


class HealthAnswer(Shape):
    """Whether the gateway can do its work."""

    status: Literal["ok"] = "ok"
    """Everything that it needs answers."""
    service: str
    """`gateway`."""
    version: str
    """The release that runs."""
    deployment: str
    """Id of this installation."""
    parts: dict[str, Any]
    """How each part is."""
