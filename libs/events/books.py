"""Facts of a book: money, holdings, payments, return, and the title that follows them.

The postings of every fact are a pure function of it: `libs.rules.postings`.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from libs.events.fact import Fact, Strict, fact
from libs.events.ids import Id, Reference
from libs.events.metering import SignedText
from libs.events.pricing import Asset
from libs.events.quantities import AmountStroops, PositiveStroops, RatePpmYear, Shares
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


PaymentKind = Literal["invoices", "standing-order", "prepayment"]
"""Why a payment was made."""

CLEARED_MAX = 100
"""Most entries of what one payment clears; the rest of the money is credit and is applied next."""


class TitleMove(Strict):
    """Shares of title that left or reached one member."""

    member: Id
    """The member."""
    shares: Shares
    """Number of shares: units of the system's title."""


class UnitMove(Strict):
    """Reserved units that became title, and the money that was raised with them."""

    member: Id
    """The investor."""
    shares: Shares
    """Units of title; more than the stroops where a seed round gave more for its money."""
    amount_stroops: PositiveStroops
    """Money that left his escrow, in stroops."""


class MoneyMove(Strict):
    """Money that reached one member."""

    member: Id
    """The member."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


PaidInto = Literal["investors", "wallet", "credit", "tax"]
"""Where cleared money went: the waterfall, a member's wallet, another agreement's credit, or the
account of a tax authority."""


class Cleared(Strict):
    """What a payment cleared on one invoice."""

    invoice: Reference
    """The invoice."""
    line_class: LineClass
    """The class of lines that was cleared."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    into: PaidInto = "investors"
    """Where the money went; `investors` for the class energy and no other."""
    payee: Id | None = None
    """The member or, for `credit`, the agreement that received it; absent for `investors`."""


class ClassAmount(Strict):
    """An amount of one class of lines."""

    line_class: LineClass
    """The class."""
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


@fact("SystemApproved", 1, LEDGER)
class SystemApproved(Fact):
    """The approver let the system raise money; all its title is the approver's to place."""

    system: Id
    """The system."""
    shares: Shares
    """Units of title that are issued: the price in stroops."""
    command: SignedText
    """The approver's signed command."""


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


@fact("PaymentSettled", 2, LEDGER)
class PaymentSettled(Fact):
    """A payment cleared invoices and reached those to whom it was due."""

    payment: Reference
    """The payment: `<member>.<command id>` of the command that made it; of a standing order
    `<agreement>.auto.<number>`."""
    agreement: Id
    """The agreement whose invoices it pays."""
    payer: Id
    """The member who paid."""
    asset: Asset
    """What was paid."""
    kind: PaymentKind
    """`invoices`: on the payer's command; `standing-order`: by itself, on one; `prepayment`: for
    return and principal, without an invoice."""
    amount_stroops: AmountStroops
    """What the payer's wallet gave, in stroops; 0 only for a prepayment out of credit."""
    cleared: Annotated[tuple[Cleared, ...], Field(max_length=CLEARED_MAX)]
    """What was cleared, oldest due invoice first, in it tax, running, shared, energy."""
    returns: tuple[MoneyMove, ...]
    """Return paid to each investor."""
    principal: tuple[MoneyMove, ...]
    """Principal repaid to each investor; each stroop moves one share."""
    credit_stroops: AmountStroops
    """What is left as the agreement's credit after this payment."""
    command: SignedText | None = None
    """The payer's signed command; absent for a standing order, which was signed once."""


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
