"""First versions of facts that have a newer one, and the steps to it.

Nothing writes these any more. What was stored in them is read for ever.
"""

from typing import Annotated, Literal

from pydantic import Field

from libs.events.books import (
    INVESTORS_MAX,
    Cleared,
    LineClass,
    MoneyMove,
    PaymentSettled,
    Terms,
    TimeZone,
    TitleMove,
    UnitMove,
)
from libs.events.fact import Fact, Strict, fact
from libs.events.ids import Id, Reference
from libs.events.invoicing import (
    NOTICE_S,
    AgreementOpened,
    InvoiceIssued,
    InvoiceLine,
    MeterReadings,
)
from libs.events.metering import IntervalS, SignedText
from libs.events.positions import PositionText
from libs.events.pricing import Asset, TariffPrices, TariffPublished
from libs.events.quantities import (
    AmountStroops,
    Count,
    DurationS,
    EnergyWh,
    Instant,
    LocalDate,
    Ordinal,
    PositiveStroops,
    PowerW,
    PriceStroopsPerKwh,
)
from libs.events.subjects import BILLING, LEDGER, PRICES
from libs.events.systems import InvestmentMade, RaiseAccepted, SystemProposed
from libs.events.upcast import upcast

GRACE_PERIODS = 6
"""Grace of an agreement that was opened before agreements said it."""


class ClearedV1(Strict):
    """What a payment cleared on one invoice, version 1."""

    invoice: Reference
    """The invoice."""
    line_class: LineClass
    """The class of lines that was cleared."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


class InvoiceLineV1(Strict):
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
class AgreementOpenedV1(Fact):
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
class InvoiceIssuedV1(Fact):
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
    lines: Annotated[tuple[InvoiceLineV1, ...], Field(max_length=1_000)]
    """The lines."""
    total_stroops: AmountStroops
    """Sum of the lines, in stroops."""


@fact("TariffPublished", 1, PRICES)
class TariffPublishedV1(Fact):
    """A version of a tariff holds from `effective_from` on."""

    tariff: Id
    """The tariff."""
    version: Ordinal
    """Its version, from 1, without gaps."""
    asset: Asset
    """What the price is in."""
    price_stroops_per_kwh: PriceStroopsPerKwh
    """Price of energy, in stroops per kWh."""
    effective_from: Instant
    """First instant at which it holds; never before the time at which it was published."""
    command: SignedText
    """The approver's signed command."""


@fact("SystemProposed", 1, LEDGER)
class SystemProposedV1(Fact):
    """Someone proposes a solar system at a price."""

    system: Id
    """The system."""
    proposer: Id
    """The member who proposes it."""
    asset: Asset
    """What the price is in."""
    price_stroops: PositiveStroops
    """Price in stroops; the system has as many units and shares of title."""
    nameplate_w: PowerW
    """Nameplate power in W."""
    site: Id
    """The site."""
    time_zone: TimeZone
    """The site's time zone; periods and prices follow its local time."""
    rating_interval_s: IntervalS
    """Rating interval in seconds: one allocation for all holdings of the system."""
    terms: Terms
    """The terms that are offered to investors."""
    command: SignedText
    """The proposer's signed command."""


@fact("InvestmentMade", 1, LEDGER)
class InvestmentMadeV1(Fact):
    """An investor reserved units; his money waits in escrow."""

    investment: Reference
    """The investment: `<member>.<command id>` of the command that made it."""
    system: Id
    """The system."""
    investor: Id
    """The member."""
    asset: Asset
    """The system's asset."""
    amount_stroops: PositiveStroops
    """Money put into escrow, in stroops; as many units are reserved."""
    terms: Terms
    """The terms that the investor signed."""
    command: SignedText
    """The investor's signed command."""


@fact("RaiseAccepted", 1, LEDGER)
class RaiseAcceptedV1(Fact):
    """The recipient accepted a full raise: escrow builds it, reserved units become title."""

    system: Id
    """The system."""
    recipient: Id
    """The member who accepted."""
    asset: Asset
    """The system's asset."""
    moves: Annotated[tuple[TitleMove, ...], Field(min_length=1, max_length=INVESTORS_MAX)]
    """Shares that each investor now owns, by member; as many stroops leave his escrow."""
    command: SignedText
    """The recipient's signed command."""


@fact("PaymentSettled", 1, LEDGER)
class PaymentSettledV1(Fact):
    """A payment cleared invoices and reached those to whom it was due."""

    payment: Reference
    """The payment: `<member>.<command id>` of the command that made it."""
    agreement: Id
    """The agreement whose invoices it pays."""
    payer: Id
    """The member who paid."""
    asset: Asset
    """What was paid."""
    amount_stroops: PositiveStroops
    """What the payer's wallet gave, in stroops."""
    cleared: tuple[ClearedV1, ...]
    """What was cleared, oldest due invoice first."""
    returns: tuple[MoneyMove, ...]
    """Return paid to each investor."""
    principal: tuple[MoneyMove, ...]
    """Principal repaid to each investor; each stroop moves one share."""
    credit_stroops: AmountStroops
    """What is left as the agreement's credit after this payment."""
    command: SignedText | None = None
    """The payer's signed command."""


def _same(older: Fact, *but: str) -> dict[str, object]:
    """The members of a fact that its newer version has too."""
    return {name: getattr(older, name) for name in type(older).model_fields if name not in but}


@upcast("SystemProposed", 1)
def _system_proposed(older: SystemProposedV1) -> SystemProposed:
    return SystemProposed.model_validate(_same(older))


@upcast("InvestmentMade", 1)
def _investment_made(older: InvestmentMadeV1) -> InvestmentMade:
    added = {"round": "raise", "units": older.amount_stroops, "is_at_risk": False}
    return InvestmentMade.model_validate(_same(older) | added)


@upcast("RaiseAccepted", 1)
def _raise_accepted(older: RaiseAcceptedV1) -> RaiseAccepted:
    moves = tuple(
        UnitMove(member=move.member, shares=move.shares, amount_stroops=move.shares)
        for move in older.moves
    )
    units = sum(move.shares for move in moves)
    return RaiseAccepted.model_validate(_same(older) | {"moves": moves, "units": units})


@upcast("PaymentSettled", 1)
def _payment_settled(older: PaymentSettledV1) -> PaymentSettled:
    cleared = tuple(Cleared.model_validate(_members(each)) for each in older.cleared)
    added = {"kind": "invoices", "cleared": cleared}
    return PaymentSettled.model_validate(_same(older) | added)


@upcast("AgreementOpened", 1)
def _agreement_opened(older: AgreementOpenedV1) -> AgreementOpened:
    added = {"grace_periods": GRACE_PERIODS, "notice_s": NOTICE_S}
    return AgreementOpened.model_validate(_same(older) | added)


@upcast("InvoiceIssued", 1)
def _invoice_issued(older: InvoiceIssuedV1) -> InvoiceIssued:
    lines = tuple(InvoiceLine.model_validate(_members(each, kind="use")) for each in older.lines)
    return InvoiceIssued.model_validate(_same(older) | {"lines": lines})


@upcast("TariffPublished", 1)
def _tariff_published(older: TariffPublishedV1) -> TariffPublished:
    prices = TariffPrices(price_stroops_per_kwh=older.price_stroops_per_kwh)
    members = _same(older, "price_stroops_per_kwh") | {"prices": prices}
    return TariffPublished.model_validate(members)


def _members(part: Strict, **added: object) -> dict[str, object]:
    return {name: getattr(part, name) for name in type(part).model_fields} | added
