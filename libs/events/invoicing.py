"""Facts of billing: agreements and the bills that follow from them."""

from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from libs.events.books import LineClass, Terms, TimeZone
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
    Ordinal,
    PriceStroopsPerKwh,
)
from libs.events.subjects import BILLING


def as_date(text: str) -> date:
    """Read a `LocalDate`.

    Raises:
        ValueError: There is no such day.
    """
    return date.fromisoformat(text)


def _checked_date(text: str) -> str:
    as_date(text)
    return text


LocalDate = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"),
    AfterValidator(_checked_date),
]
"""A date in the site's local time, `YYYY-MM-DD`: a day that exists."""


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
    """Sequences in the stream, in order: one reading each."""


class InvoiceLine(Strict):
    """One line: the exact sum of Wh x price, rounded once."""

    line: Ordinal
    """Number of the line, from 1."""
    line_class: LineClass
    """Class; decides payee and order of clearing."""
    holding: Id
    """The holding whose energy it is."""
    tariff: Id
    """The tariff."""
    tariff_version: Ordinal
    """Its version."""
    price_position: PositionText
    """Where the `TariffPublished` of that version stands."""
    price_stroops_per_kwh: PriceStroopsPerKwh
    """Price in stroops per kWh."""
    energy_wh: EnergyWh
    """Energy in Wh."""
    amount_stroops: AmountStroops
    """Amount in stroops: energy x price, rounded half to even."""


@fact("AgreementOpened", 1, BILLING)
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
    period: Literal["month"]
    """Billing period: calendar months of the site's local time."""
    time_zone: TimeZone
    """The site's time zone."""
    first_day: LocalDate
    """First local day that is billed."""
    rating_interval_s: IntervalS
    """Interval over which generation and consumption are compared, in seconds."""
    settlement_lag_s: DurationS
    """Seconds from the end of a period to the final invoice."""
    due_after_s: DurationS
    """Seconds from the invoice to its due time."""
    terms: Terms
    """Return and minimum payment, as every investor signed them."""
    command: SignedText
    """The recipient's signed command."""


@fact("InvoiceIssued", 1, BILLING)
class InvoiceIssued(Fact):
    """A bill, final: its lines name the readings and the price that they come from."""

    invoice: Reference
    """The invoice: agreement and first month, such as `sunrise-2016-07`."""
    number: Ordinal
    """Number of the invoice in its book, without gaps."""
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
    readings: tuple[MeterReadings, ...]
    """The readings of every meter that the lines rest on; one stretch without gaps of `seq`
    unless a report never came. The cut-off is the position of the stream in `seen`."""
    rated_intervals: Count
    """Intervals of the period in which both meters were known."""
    unrated_intervals: Count
    """Intervals of the period that lack a meter: not billed, never guessed."""
    generated_wh: EnergyWh
    """Energy that the system generated in the rated intervals, in Wh."""
    consumed_wh: EnergyWh
    """Energy that the holding consumed in them, in Wh."""
    lines: Annotated[tuple[InvoiceLine, ...], Field(max_length=1_000)]
    """The lines."""
    total_stroops: AmountStroops
    """Sum of the lines, in stroops."""


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
