"""Facts of billing: agreements, and the bills and credit notes that follow from them."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from libs.events.books import (
    ClassAmount,
    LineClass,
    Terms,
    TimeZone,
)
from libs.events.fact import Fact, Strict, fact
from libs.events.ids import Id, Reference
from libs.events.metering import IntervalS, SignedText
from libs.events.positions import PositionText
from libs.events.pricing import Asset
from libs.events.quantities import (
    AmountStroops,
    Count,
    DurationS,
    EnergyWh,
    Instant,
    LocalDate,
    Ordinal,
    Ppm,
    PriceStroopsPerKwh,
)
from libs.events.subjects import BILLING

BillingPeriod = Literal["month", "14d", "28d"]
"""A calendar month, 14 or 28 days, from site-local midnight of the first billed day on."""

GracePeriods = Annotated[int, Field(strict=True, ge=2, le=6)]
"""Periods from the due time until a late holding's energy is sold."""

LineKind = Literal["use", "shared", "standing", "upkeep", "minimum", "term", "tax"]
"""`use`: own use; `shared`: a co-holder's surplus; `standing`: the tariff's standing charge;
`upkeep`: operation and maintenance; `minimum`: up to the minimum payment; `term`: the rest that
falls due at the end of the term; `tax`: a tax on other lines."""

TAXES_MAX = 10
"""Most taxes of an agreement."""

NOTICE_S: int = 7 * 86_400
"""Seconds between two steps of lateness unless an agreement says otherwise."""


class Tax(Strict):
    """A tax that is billed with an agreement."""

    authority: Id
    """The member who receives it."""
    rate_ppm: Ppm
    """Its rate, in ppm of the lines that it is on."""
    on: Annotated[tuple[LineClass, ...], Field(min_length=1, max_length=3)]
    """The classes of lines that it is on, never `tax`; each once."""


class Upkeep(Strict):
    """Operation and maintenance of a holding's part."""

    payee: Id
    """The member who does it; the tariff's standing charge is his too."""
    amount_stroops_per_month: AmountStroops
    """Amount in stroops a calendar month, prorated by local days; may be 0."""


class MeterReadings(Strict):
    """The readings of one meter that a line rests on."""

    meter: Id
    """The meter."""
    stream: Annotated[str, StringConstraints(strict=True, pattern=r"^READINGS_[0-9]+$")]
    """Stream in which they stand."""
    first_seq: Ordinal
    """Sequence of the first report that touches the period."""
    last_seq: Ordinal
    """Sequence of the last report that touches it."""
    positions: Annotated[tuple[Ordinal, ...], Field(min_length=1, max_length=6_000)]
    """Sequences in the stream, in order: one reading each; of too many the first and the last."""


class InvoiceLine(Strict):
    """One line; its amount was rounded once, half to even."""

    line: Ordinal
    """Number of the line, from 1."""
    line_class: LineClass
    """Class; decides the order of clearing and, with `payee`, who receives it."""
    kind: LineKind
    """What it is for."""
    holding: Id
    """The holding that is billed."""
    payee: Id | None = None
    """Who receives it: of shared energy the agreement it came from, else a member; absent for the
    class energy, which goes to the investors."""
    tariff: Id | None = None
    """The tariff of a priced line."""
    tariff_version: Ordinal | None = None
    """Its version."""
    price_position: PositionText | None = None
    """Where the price stands: `TariffPublished`, of a market price `PricePublished`."""
    bucket: Id | None = None
    """The bucket of a time-of-use tariff."""
    tier: Ordinal | None = None
    """The tier of that bucket, from 1."""
    price_stroops_per_kwh: PriceStroopsPerKwh | None = None
    """Price in stroops per kWh; absent where it differs from interval to interval."""
    rate_position: PositionText | None = None
    """Where the rate stands by which the tariff's currency was converted."""
    energy_wh: EnergyWh = 0
    """Energy in Wh."""
    days: Count = 0
    """Local days of a charge that is prorated."""
    rate_ppm: Ppm | None = None
    """Rate of a tax, in ppm."""
    base_lines: Annotated[tuple[Ordinal, ...], Field(max_length=1_000)] = ()
    """Numbers of the lines that a tax is on."""
    amount_stroops: AmountStroops
    """Amount in stroops."""


@fact("AgreementOpened", 2, BILLING)
class AgreementOpened(Fact):
    """A recipient agreed to pay for the energy that his holding gives him, and so to own it."""

    agreement: Id
    """The agreement."""
    holding: Id
    """The holding; one agreement each."""
    system: Id
    """Its system."""
    recipient: Id
    """The member who pays."""
    tariff: Id
    """The tariff of the energy."""
    asset: Asset
    """The settlement asset."""
    rate_feed: Id | None = None
    """The feed of the rate by which a tariff in another currency is converted at issue."""
    period: BillingPeriod
    """Billing period, in the site's local time."""
    time_zone: TimeZone
    """The site's time zone."""
    first_day: LocalDate
    """First local day that is billed, and anchor of the periods."""
    term_periods: Ordinal | None = None
    """After how many periods the rest falls due; absent: never by itself."""
    rating_interval_s: IntervalS
    """Interval over which generation and consumption are compared, in seconds."""
    settlement_lag_s: DurationS
    """Seconds from the end of a period to the final invoice."""
    due_after_s: DurationS
    """Seconds from the invoice to its due time."""
    terms: Terms
    """Return and minimum payment, as every investor signed them."""
    expected_wh_year: EnergyWh | None = None
    """Own use that is expected in a year, in Wh; its price exceeds the return."""
    grace_periods: GracePeriods
    """Periods from the due time until the holding's energy is sold."""
    notice_s: DurationS
    """Least seconds between two steps of lateness."""
    upkeep: Upkeep | None = None
    """Operation and maintenance; absent: none is billed, nor a standing charge."""
    taxes: Annotated[tuple[Tax, ...], Field(max_length=TAXES_MAX)] = ()
    """Taxes."""
    command: SignedText
    """The recipient's signed command."""


@fact("InvoiceDrafted", 1, BILLING)
class InvoiceDrafted(Fact):
    """A period ended: what its invoice would be by now. Readings may still come."""

    invoice: Reference
    """Name that the invoice will have."""
    agreement: Id
    """The agreement."""
    recipient: Id
    """Who will owe it."""
    asset: Asset
    """What the amounts are in."""
    period_from: Instant
    """Start of the period."""
    period_until: Instant
    """End of the period, not included."""
    final_at: Instant
    """When it becomes final."""
    rated_intervals: Count
    """Intervals that are rated by now."""
    unrated_intervals: Count
    """Intervals that lack a meter or a price by now."""
    lines: Annotated[tuple[InvoiceLine, ...], Field(max_length=1_000)]
    """The lines."""
    total_stroops: AmountStroops
    """Their sum, in stroops."""


@fact("InvoiceIssued", 2, BILLING)
class InvoiceIssued(Fact):
    """A bill, final: its lines name the readings and the prices that they come from."""

    invoice: Reference
    """The invoice: agreement and month or first day, such as `sunrise-2016-07`; the second of a
    period ends in `.2`."""
    number: Ordinal
    """Number of the document in its book; invoices and credit notes share one row without gaps."""
    agreement: Id
    """The agreement."""
    recipient: Id
    """The member who owes it."""
    asset: Asset
    """What the amounts are in."""
    period_from: Instant
    """Start of the period: local midnight."""
    period_until: Instant
    """End of the period, not included."""
    due_at: Instant
    """When it falls due."""
    later_due_at: Instant | None = None
    """When the part falls due by which it is higher than the invoice that it replaces."""
    later_stroops: AmountStroops = 0
    """That part, in stroops."""
    replaces: Reference | None = None
    """The invoice that a credit note just before this one undid."""
    readings: tuple[MeterReadings, ...]
    """The readings of every meter that the lines rest on; one stretch without gaps of `seq`
    unless a report never came. The cut-off of a first invoice is the place where its stream
    reached the end of the period plus the lag; of one that replaces, see `cutoff_at`."""
    cutoff_at: Instant | None = None
    """Of an invoice that replaces another: what came before streams reached this time counts."""
    rated_intervals: Count
    """Intervals of the period in which all meters and the price were known."""
    unrated_intervals: Count
    """Intervals of the period that lack a meter or a price: not billed, never guessed."""
    generated_wh: EnergyWh
    """Energy that the system generated in the rated intervals, in Wh."""
    consumed_wh: EnergyWh
    """Energy that the holding consumed in them, in Wh."""
    lines: Annotated[tuple[InvoiceLine, ...], Field(max_length=1_000)]
    """The lines."""
    total_stroops: AmountStroops
    """Sum of the lines, in stroops."""


class LineChange(Strict):
    """By what a line of a replaced invoice differs in the new one."""

    kind: LineKind
    """What the line is for."""
    bucket: Id | None = None
    """Its bucket, where it has one."""
    before_wh: EnergyWh
    """Energy before, in Wh."""
    after_wh: EnergyWh
    """Energy after, in Wh."""
    before_stroops: AmountStroops
    """Amount before, in stroops."""
    after_stroops: AmountStroops
    """Amount after, in stroops."""


@fact("CreditNoteIssued", 1, BILLING)
class CreditNoteIssued(Fact):
    """An invoice, or a part of it, is undone; the invoice itself stays as it was issued."""

    credit_note: Reference
    """The credit note: the invoice and `.credit`, or `.dispute`."""
    number: Ordinal
    """Number of the document in its book; invoices and credit notes share one row without gaps."""
    agreement: Id
    """The agreement."""
    recipient: Id
    """Whose invoice it was."""
    asset: Asset
    """What the amounts are in."""
    invoice: Reference
    """The invoice."""
    reason: Literal["readings", "prices", "dispute"]
    """Readings or prices came late or were corrected, or a dispute was decided."""
    because: Annotated[tuple[PositionText, ...], Field(max_length=100)]
    """The facts that changed it, the first hundred of them."""
    changes: Annotated[tuple[LineChange, ...], Field(max_length=200)]
    """The difference to the invoice that replaces it, explained."""
    amounts: Annotated[tuple[ClassAmount, ...], Field(max_length=4)]
    """What is undone, by class."""
    total_stroops: AmountStroops
    """Their sum, in stroops."""


@fact("InvoicePaid", 1, BILLING)
class InvoicePaid(Fact):
    """Everything that the invoice asked for was paid."""

    invoice: Reference
    """The invoice."""
    number: Ordinal
    """Its number."""
    agreement: Id
    """Its agreement."""
    total_stroops: AmountStroops
    """Its total, in stroops."""
