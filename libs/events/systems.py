"""Facts of systems: proposed, approved, funded, built, handed over. Who holds, who owns.

The postings of every fact are a pure function of it: `libs.rules.postings`.
"""

from typing import Annotated, Literal

from pydantic import Field

from libs.events.books import (
    INVESTORS_MAX,
    Terms,
    TimeZone,
    TitleMove,
    UnitMove,
)
from libs.events.fact import Fact, Strict, fact
from libs.events.ids import HashHex, Id, Reference
from libs.events.metering import IntervalS, SignedText
from libs.events.pricing import Asset
from libs.events.quantities import (
    AmountStroops,
    Count,
    Instant,
    PositiveStroops,
    PowerW,
    Shares,
)
from libs.events.subjects import LEDGER

Stage = Annotated[int, Field(strict=True, ge=0, le=9)]
"""Stage of a system: 0 handshake, 1 engagement, 2 quotes, 3 signing, 4 raise, 5 construction,
6 interconnection, 7 operation, 8 handoff, 9 end of life."""

SEED_FACTOR_PPM_MAX = 10_000_000
"""Most units that a seed investor gets for his money, in ppm of it: ten times."""

Round = Literal["seed", "raise"]
"""The seed round is open in stages 1 and 2, the raise in stage 4."""


class SeedRound(Strict):
    """What investors get who come early."""

    factor_ppm: Annotated[int, Field(strict=True, ge=1_000_000, le=SEED_FACTOR_PPM_MAX)]
    """Units for each stroop, in ppm: 1,200,000 gives 1.2 units. The uplift is owed by the
    recipient, who repays it as principal."""
    cap_stroops: PositiveStroops
    """Most money that the round takes, in stroops."""


class Document(Strict):
    """A document that stands behind a stage; only its hash is a fact."""

    kind: Id
    """What it is, as the stage names it."""
    sha256: HashHex
    """SHA-256 of its bytes: 32 bytes in hexadecimal."""


@fact("SystemProposed", 2, LEDGER)
class SystemProposed(Fact):
    """Someone proposes a solar system at a price; it stands in stage 0."""

    system: Id
    """The system."""
    proposer: Id
    """The member who proposes it."""
    asset: Asset
    """What the price is in."""
    price_stroops: PositiveStroops
    """Price in stroops: the money that is raised. Units are the price and the seed uplift."""
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
    recipient: Id | None = None
    """The member who accepts the raise and confirms payouts; absent: any recipient."""
    seed: SeedRound | None = None
    """The seed round; absent: there is none."""
    cover_stroops: AmountStroops = 0
    """First-loss cover that guarantors deposit before stage 5, in stroops."""
    offtaker: Id | None = None
    """The member who buys what is sold to the grid; absent: the site has no grid."""
    command: SignedText
    """The proposer's signed command."""


@fact("StageAdvanced", 1, LEDGER)
class StageAdvanced(Fact):
    """A system went on by one stage."""

    system: Id
    """The system."""
    from_stage: Stage
    """The stage it leaves."""
    to_stage: Stage
    """The next one."""
    checklist: Annotated[tuple[Id, ...], Field(max_length=20)]
    """What the signer confirms: every item of the stage that is left."""
    documents: Annotated[tuple[Document, ...], Field(max_length=20)]
    """The documents of that stage."""
    command: SignedText | None = None
    """The signed command; absent where it follows from an accepted raise or the last payment."""


@fact("InvestmentMade", 2, LEDGER)
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
    """Money put into escrow, in stroops."""
    round: Round
    """In which round."""
    units: Shares
    """Units that are reserved: the amount, in the seed round times its factor."""
    is_at_risk: bool
    """True: he signed that seed money is spent even if the raise fails."""
    terms: Terms
    """The terms that the investor signed."""
    command: SignedText
    """The investor's signed command."""


@fact("InvestmentRefunded", 1, LEDGER)
class InvestmentRefunded(Fact):
    """A raise failed and an investment was given back, to the stroop."""

    investment: Reference
    """The investment."""
    system: Id
    """The system."""
    investor: Id
    """Who made it."""
    asset: Asset
    """The system's asset."""
    amount_stroops: PositiveStroops
    """Money that leaves escrow, in stroops."""
    units: Shares
    """Units that are reserved no longer."""
    to_member: Id
    """Who receives the money: the investor, or the proposer where it was at risk."""


@fact("RaiseAccepted", 2, LEDGER)
class RaiseAccepted(Fact):
    """The recipient accepted a full raise: escrow builds it, reserved units become title."""

    system: Id
    """The system."""
    recipient: Id
    """The member who accepted."""
    asset: Asset
    """The system's asset."""
    moves: Annotated[tuple[UnitMove, ...], Field(min_length=1, max_length=INVESTORS_MAX)]
    """Shares that each investor now owns and money that leaves his escrow, by member."""
    units: Shares
    """Units of the system, fixed from now on: the sum of the shares."""
    command: SignedText
    """The recipient's signed command."""


@fact("RaiseCancelled", 1, LEDGER)
class RaiseCancelled(Fact):
    """A raise ended without a system; every investment is refunded."""

    system: Id
    """The system."""
    reason: Literal["cancelled", "not-accepted"]
    """An approver cancelled it, or nobody accepted it within three days."""
    command: SignedText | None = None
    """The approver's signed command."""


@fact("PayoutApproved", 1, LEDGER)
class PayoutApproved(Fact):
    """One of two confirmed that a contractor is to be paid; the other still has to."""

    payout: Id
    """Name of the payout in its system."""
    system: Id
    """The system."""
    contractor: Id
    """Who is to be paid."""
    asset: Asset
    """The system's asset."""
    amount_stroops: PositiveStroops
    """How much, in stroops."""
    confirmed_by: Id
    """Who confirmed it."""
    confirmed_as: Literal["recipient", "approver"]
    """As what."""
    command: SignedText
    """His signed command."""


@fact("ContractorPaid", 1, LEDGER)
class ContractorPaid(Fact):
    """Recipient and approver had both confirmed a payout: the contractor has the money."""

    payout: Id
    """Name of the payout in its system."""
    system: Id
    """The system."""
    contractor: Id
    """Who was paid."""
    asset: Asset
    """The system's asset."""
    amount_stroops: PositiveStroops
    """How much, in stroops."""
    command: SignedText
    """The second confirmation's signed command."""


@fact("CoverDeposited", 1, LEDGER)
class CoverDeposited(Fact):
    """A guarantor put money aside that covers investors' first loss."""

    system: Id
    """The system."""
    guarantor: Id
    """The member."""
    asset: Asset
    """The system's asset."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    command: SignedText
    """The guarantor's signed command."""


@fact("CoverReleased", 1, LEDGER)
class CoverReleased(Fact):
    """Cover that is needed no longer went back: the raise failed or the system is paid off."""

    system: Id
    """The system."""
    guarantor: Id
    """The member."""
    asset: Asset
    """The system's asset."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


@fact("SharesOffered", 1, LEDGER)
class SharesOffered(Fact):
    """An investor offers title to another member; both must sign."""

    offer: Reference
    """The offer: `<member>.<command id>`."""
    system: Id
    """The system."""
    from_member: Id
    """Who offers."""
    to_member: Id
    """Who may accept."""
    asset: Asset
    """What it costs in: the system's asset."""
    shares: Shares
    """Shares of title."""
    price_stroops: AmountStroops
    """What the receiver pays for all of them, in stroops; may be 0."""
    expires_at: Instant
    """From this instant on it cannot be accepted."""
    command: SignedText
    """The investor's signed command."""


@fact("SharesTransferred", 1, LEDGER)
class SharesTransferred(Fact):
    """An offer was accepted: title moved, and its price the other way."""

    offer: Reference
    """The offer."""
    system: Id
    """The system."""
    from_member: Id
    """Who owned the shares."""
    to_member: Id
    """Who owns them now."""
    asset: Asset
    """The system's asset."""
    shares: Shares
    """Shares of title."""
    price_stroops: AmountStroops
    """What the receiver paid, in stroops."""
    command: SignedText
    """The receiver's signed command."""


@fact("HoldingOffered", 1, LEDGER)
class HoldingOffered(Fact):
    """A holder offers his holding, whole: title, debt, invoices and clock; both must sign."""

    holding: Id
    """The holding."""
    from_member: Id
    """Who holds it."""
    to_member: Id
    """Who may accept it."""
    command: SignedText
    """The holder's signed command."""


@fact("HoldingAccepted", 1, LEDGER)
class HoldingAccepted(Fact):
    """An offered holding was accepted; it moves when the running billing period ends."""

    holding: Id
    """The holding."""
    from_member: Id
    """Who holds it."""
    to_member: Id
    """Who will."""
    effective_at: Instant
    """When it moves: the end of the running billing period, site-local midnight."""
    command: SignedText
    """The receiver's signed command."""


@fact("HoldingTransferred", 1, LEDGER)
class HoldingTransferred(Fact):
    """A holding changed hands, with everything that belongs to it."""

    holding: Id
    """The holding."""
    from_member: Id
    """Who held it."""
    to_member: Id
    """Who holds it now."""
    agreement: Id | None = None
    """Its agreement, which goes with it."""


@fact("HoldingOwned", 1, LEDGER)
class HoldingOwned(Fact):
    """Principal and accrued return are zero: the holding is owned."""

    holding: Id
    """The holding."""
    system: Id
    """Its system."""
    agreement: Id
    """The agreement by which it was paid."""
    member: Id
    """Who owns it."""
    units: Shares
    """Its units, all of which are own title now."""
    asset: Asset
    """Its asset."""
    lapsed_prepaid_stroops: AmountStroops = 0
    """Prepaid energy that lapses: its shares were received when it was paid."""


@fact("SystemPaidOff", 1, LEDGER)
class SystemPaidOff(Fact):
    """Every holding of a system is owned; no investor has title in it any more."""

    system: Id
    """The system."""
    holding_count: Count
    """Number of its holdings."""


@fact("HoldingReclaimed", 1, LEDGER)
class HoldingReclaimed(Fact):
    """After twelve periods uncured an approver took a holding back; nobody loses title.

    Own title becomes ordinary title, which is repaid when the next recipient pays.
    """

    holding: Id
    """The holding, which ends; its units are free for a new one."""
    system: Id
    """Its system."""
    agreement: Id
    """The agreement, which ends."""
    member: Id
    """Who held it."""
    units: Shares
    """Units of the holding."""
    moves: Annotated[tuple[TitleMove, ...], Field(max_length=1)]
    """Own title that becomes ordinary title of the member; none when nothing was repaid."""
    command: SignedText
    """The approver's signed command."""
