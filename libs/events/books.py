"""Facts of a book: money, systems, holdings, payments and the title that follows them.

The postings of every fact are a pure function of it: `libs.rules.postings`.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from libs.events.fact import Fact, Strict, fact
from libs.events.ids import Id, Reference
from libs.events.metering import IntervalS, SignedText
from libs.events.pricing import Asset
from libs.events.quantities import AmountStroops, PositiveStroops, PowerW, RatePpmYear, Shares
from libs.events.subjects import LEDGER

INVESTORS_MAX = 800
"""Most investors in one system, so that a settled payment, which lists them twice at worst, fits
into one fact of 256 KiB beside its signed command (decision 0001)."""

TimeZone = Annotated[
    str, StringConstraints(strict=True, max_length=64, pattern=r"^[A-Za-z0-9_+/-]+$")
]
"""Name of a time zone in the IANA database, such as `America/Denver`."""

LineClass = Literal["energy", "shared", "running", "tax"]
"""Class of an invoice line: decides the order in which a payment clears it, and its payee."""


class Terms(Strict):
    """What investors and recipient agreed to. Every investor signs them with his investment."""

    return_ppm_year: RatePpmYear
    """Return on the open principal, in ppm a year."""
    minimum_payment_stroops: AmountStroops
    """Least payment per period; 0 only by the consent that signing these terms is."""


class TitleMove(Strict):
    """Shares of title that left or reached one member."""

    member: Id
    """The member."""
    shares: Shares
    """Number of shares: units of the system's title."""


class MoneyMove(Strict):
    """Money that reached one member."""

    member: Id
    """The member."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


class Cleared(Strict):
    """What a payment cleared on one invoice."""

    invoice: Reference
    """The invoice."""
    line_class: LineClass
    """The class of lines that was cleared."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


@fact("FundsDeposited", 1, LEDGER)
class FundsDeposited(Fact):
    """Book money reached a member's wallet on an approver's word."""

    member: Id
    """The member."""
    asset: Asset
    """What was deposited."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    command: SignedText | None = None
    """The approver's signed command; absent for an opening balance, whose registration has it."""


@fact("SystemProposed", 1, LEDGER)
class SystemProposed(Fact):
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


@fact("SystemApproved", 1, LEDGER)
class SystemApproved(Fact):
    """The approver let the system raise money; all its title is the approver's to place."""

    system: Id
    """The system."""
    shares: Shares
    """Units of title that are issued: the price in stroops."""
    command: SignedText
    """The approver's signed command."""


@fact("InvestmentMade", 1, LEDGER)
class InvestmentMade(Fact):
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
class RaiseAccepted(Fact):
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


@fact("HoldingOpened", 1, LEDGER)
class HoldingOpened(Fact):
    """A recipient may use a part of a system, and will come to own it."""

    holding: Id
    """The holding."""
    system: Id
    """The system."""
    recipient: Id
    """The member who holds it."""
    units: Shares
    """Units of the system; all holdings together equal the system's units."""
    command: SignedText
    """The approver's signed command."""


@fact("PaymentSettled", 1, LEDGER)
class PaymentSettled(Fact):
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
    cleared: tuple[Cleared, ...]
    """What was cleared, oldest due invoice first."""
    returns: tuple[MoneyMove, ...]
    """Return paid to each investor."""
    principal: tuple[MoneyMove, ...]
    """Principal repaid to each investor; each stroop moves one share."""
    credit_stroops: AmountStroops
    """What is left as the agreement's credit after this payment."""
    command: SignedText | None = None
    """The payer's signed command."""


@fact("OwnershipTransferred", 1, LEDGER)
class OwnershipTransferred(Fact):
    """Title followed cash: for each stroop of principal one share moved to the recipient."""

    payment: Reference
    """The payment that moved it."""
    system: Id
    """The system."""
    holding: Id
    """The holding whose principal was repaid."""
    agreement: Id
    """The agreement in which the shares now stand as own title."""
    to_member: Id
    """The recipient."""
    moves: Annotated[tuple[TitleMove, ...], Field(min_length=1, max_length=INVESTORS_MAX)]
    """Shares that left each investor."""
    own_shares: Shares
    """The recipient's own title in this holding afterwards."""
    holding_units: Shares
    """Units of the holding: at `own_shares = holding_units` it is repaid."""
