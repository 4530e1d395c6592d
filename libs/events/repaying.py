"""Facts of repayment: credit, prepaid energy, caps, accrued return, and money nobody expected.

The postings of every fact are a pure function of it: `libs.rules.postings`.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from libs.events.books import (
    CLEARED_MAX,
    INVESTORS_MAX,
    ClassAmount,
    Cleared,
    LineClass,
    MoneyMove,
    PaidInto,
)
from libs.events.fact import Fact, Strict, fact
from libs.events.ids import Id, Reference
from libs.events.metering import SignedText
from libs.events.pricing import Asset
from libs.events.quantities import AmountStroops, LocalDate, PositiveStroops, RatePpmYear
from libs.events.subjects import LEDGER

ReceiptReference = Annotated[
    str, StringConstraints(strict=True, max_length=140, pattern=r"^[\x20-\x7e]*$")
]
"""What a sender wrote beside his money; printable ASCII."""


class Refund(Strict):
    """What a payee gives back of a cleared line."""

    line_class: LineClass
    """The class of the line."""
    into: PaidInto
    """The kind of account that had received it."""
    payee: Id
    """Whose account."""
    refunded_stroops: AmountStroops
    """What his account gave back at once, in stroops."""
    owed_stroops: AmountStroops
    """What he owes the agreement from now on, in stroops."""


@fact("CreditApplied", 1, LEDGER)
class CreditApplied(Fact):
    """An agreement's credit cleared invoices, as a payment would have."""

    application: Reference
    """Its name: `<agreement>.credit.<number>`."""
    agreement: Id
    """The agreement."""
    asset: Asset
    """Its asset."""
    amount_stroops: PositiveStroops
    """What the credit gave, in stroops: the sum of what was cleared."""
    cleared: Annotated[tuple[Cleared, ...], Field(min_length=1, max_length=CLEARED_MAX)]
    """What was cleared, oldest due invoice first, in it tax, running, shared, energy."""
    returns: tuple[MoneyMove, ...]
    """Return paid to each investor."""
    principal: tuple[MoneyMove, ...]
    """Principal repaid to each investor; each stroop moves one share."""
    credit_stroops: AmountStroops
    """What is left of the credit."""


@fact("CreditRefunded", 1, LEDGER)
class CreditRefunded(Fact):
    """A recipient took an agreement's credit back into his wallet."""

    agreement: Id
    """The agreement."""
    member: Id
    """Its recipient."""
    asset: Asset
    """Its asset."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    command: SignedText
    """The recipient's signed command."""


@fact("PrepaidApplied", 1, LEDGER)
class PrepaidApplied(Fact):
    """Energy that was paid already, and credited since, cleared energy of another invoice.

    No shares move: they moved when it was paid.
    """

    agreement: Id
    """The agreement."""
    asset: Asset
    """Its asset."""
    invoice: Reference
    """The invoice whose energy it clears."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    prepaid_stroops: AmountStroops
    """What is left as prepaid."""


@fact("InvoiceCapped", 1, LEDGER)
class InvoiceCapped(Fact):
    """An invoice demands no more energy than the holding still owes."""

    agreement: Id
    """The agreement."""
    asset: Asset
    """Its asset."""
    invoice: Reference
    """The invoice."""
    amount_stroops: PositiveStroops
    """By how much its energy is lowered, in stroops."""
    reason: Literal["owed", "owned"]
    """`owed`: open energy was more than principal and accrued return; `owned`: nothing is owed any
    more, what is open is credited."""


@fact("CreditNoteSettled", 1, LEDGER)
class CreditNoteSettled(Fact):
    """What a credit note undid: nothing was paid of it yet, or it was, and comes back."""

    credit_note: Reference
    """The credit note."""
    agreement: Id
    """The agreement."""
    asset: Asset
    """Its asset."""
    invoice: Reference
    """The invoice that it undoes."""
    unpaid: tuple[ClassAmount, ...]
    """What was open and is no longer due, by class."""
    prepaid_stroops: AmountStroops
    """Energy that was cleared and clears later energy without moving shares again."""
    refunds: tuple[Refund, ...]
    """What other payees had received of it, and give back now or owe."""


@fact("RefundReceived", 1, LEDGER)
class RefundReceived(Fact):
    """A payee gave back what he owed an agreement since a credit note."""

    agreement: Id
    """The agreement whose credit receives it."""
    asset: Asset
    """Its asset."""
    payee: Id
    """Who owed it."""
    into: PaidInto
    """The kind of account it came from."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


@fact("StandingOrderSet", 1, LEDGER)
class StandingOrderSet(Fact):
    """A recipient lets every invoice be paid from his wallet by itself, up to a limit."""

    agreement: Id
    """The agreement."""
    member: Id
    """Its recipient."""
    limit_stroops: AmountStroops
    """Most that is paid of one invoice, in stroops; 0 ends the standing order."""
    command: SignedText
    """The recipient's signed command."""


@fact("ReturnAccrued", 1, LEDGER)
class ReturnAccrued(Fact):
    """Return on the open principal of a holding, for whole local days, split by title."""

    agreement: Id
    """The agreement."""
    system: Id
    """Its system."""
    asset: Asset
    """Its asset."""
    from_day: LocalDate
    """First local day for which it accrues."""
    until_day: LocalDate
    """The local day after the last."""
    principal_stroops: PositiveStroops
    """Open principal at the start of every one of these days."""
    return_ppm_year: RatePpmYear
    """The agreed return, in ppm a year of 365 days."""
    amount_stroops: PositiveStroops
    """The accrued return: rounded once, half to even."""
    moves: Annotated[tuple[MoneyMove, ...], Field(min_length=1, max_length=INVESTORS_MAX)]
    """To whom it is due, by member; the parts sum to the amount."""


@fact("FundsReceived", 1, LEDGER)
class FundsReceived(Fact):
    """Book money arrived for an agreement and is its credit."""

    receipt: Reference
    """The receipt: `<member>.<command id>`."""
    agreement: Id
    """The agreement."""
    asset: Asset
    """What arrived."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    command: SignedText
    """The approver's signed command."""


@fact("FundsSuspended", 1, LEDGER)
class FundsSuspended(Fact):
    """Book money arrived and nobody knows for what: it waits until somebody says."""

    receipt: Reference
    """The receipt: `<member>.<command id>`."""
    asset: Asset
    """What arrived."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    reference: ReceiptReference
    """What the sender wrote."""
    reason: Id
    """Why it is not credited, as a code."""
    command: SignedText
    """The approver's signed command."""


@fact("SuspenseSettled", 1, LEDGER)
class SuspenseSettled(Fact):
    """Suspended money went where it belongs: to a member, to an agreement, or back."""

    receipt: Reference
    """The receipt."""
    asset: Asset
    """What had arrived."""
    amount_stroops: PositiveStroops
    """Amount in stroops: all of it."""
    member: Id | None = None
    """The member whose wallet receives it."""
    agreement: Id | None = None
    """The agreement whose credit receives it; without both it was returned to its sender."""
    command: SignedText
    """The approver's signed command."""


@fact("FundsWithdrawn", 1, LEDGER)
class FundsWithdrawn(Fact):
    """A member took book money out of his wallet, on an approver's word that it was paid out."""

    member: Id
    """The member."""
    asset: Asset
    """What was withdrawn."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    command: SignedText
    """The approver's signed command."""
