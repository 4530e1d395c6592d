"""Commands of systems: proposed, funded, built, held, paid, handed on.

Source: domain rules, sections 1, 6, 7 and 8.
"""

from typing import Annotated

from pydantic import Field, StringConstraints

from libs.events.books import Terms, TimeZone
from libs.events.command import Body, command
from libs.events.fact import Strict
from libs.events.ids import Id, Reference
from libs.events.metering import IntervalS
from libs.events.pricing import Asset
from libs.events.quantities import (
    AmountStroops,
    Count,
    Instant,
    PositiveStroops,
    PowerW,
    Shares,
)
from libs.events.systems import SeedRound, Stage


class DocumentNamed(Strict):
    """A document that stands behind a stage."""

    kind: Id
    """What it is, as the stage names it."""
    sha256: Annotated[str, StringConstraints(strict=True, max_length=200)]
    """SHA-256 of its bytes: 32 bytes as 64 hexadecimal digits."""


@command("ProposeSystem", "ledger", shape=2)
class ProposeSystem(Body):
    """A developer or originator proposes a solar system."""

    system: Id
    """The system."""
    asset: Asset
    """What the price is in."""
    price_stroops: PositiveStroops
    """Price in stroops."""
    nameplate_w: PowerW
    """Nameplate power in W."""
    site: Id
    """The site."""
    time_zone: TimeZone
    """The site's time zone."""
    rating_interval_s: IntervalS = 900
    """Rating interval in seconds; it divides an hour. Energy is allocated per interval."""
    terms: Terms
    """The terms that are offered."""
    recipient: Id | None = None
    """The member who accepts the raise and confirms payouts; absent: any recipient."""
    seed: SeedRound | None = None
    """The seed round of stages 1 and 2; absent: there is none."""
    cover_stroops: AmountStroops | None = None
    """First-loss cover that is deposited before stage 5, in stroops; absent: none."""
    offtaker: Id | None = None
    """The member who buys what is sold to the grid; absent: the site has no grid."""


@command("ApproveSystem", "ledger")
class ApproveSystem(Body):
    """An approver lets a proposed system raise money."""

    system: Id
    """The system."""


@command("AdvanceStage", "ledger")
class AdvanceStage(Body):
    """Whoever answers for a stage says that it is complete."""

    system: Id
    """The system."""
    to_stage: Stage
    """The next stage: one more than today's."""
    checklist: Annotated[tuple[Id, ...], Field(max_length=20)]
    """Every item of the stage that is left, each once."""
    documents: Annotated[tuple[DocumentNamed, ...], Field(max_length=20)]
    """The documents of that stage, at least the one that it needs."""


@command("Invest", "ledger", shape=2)
class Invest(Body):
    """An investor reserves units of a system and puts the money into escrow."""

    system: Id
    """The system."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    terms: Terms
    """The terms he agrees to; they must be those that the system offers."""
    is_at_risk: bool | None = None
    """True: seed money that is spent even if the raise fails; absent: it is refunded then."""


@command("AcceptRaise", "ledger")
class AcceptRaise(Body):
    """The recipient accepts a full raise."""

    system: Id
    """The system."""


@command("CancelRaise", "ledger")
class CancelRaise(Body):
    """An approver ends a raise before it is accepted; everybody is refunded."""

    system: Id
    """The system."""


@command("PayContractor", "ledger")
class PayContractor(Body):
    """The recipient or an approver confirms a payout; the second of both pays it."""

    system: Id
    """The system."""
    payout: Id
    """Name of the payout in its system, used once."""
    contractor: Id
    """Who is paid."""
    amount_stroops: PositiveStroops
    """How much, in stroops; both must name the same."""


@command("DepositCover", "ledger")
class DepositCover(Body):
    """A guarantor puts first-loss cover aside."""

    system: Id
    """The system."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


@command("OpenHolding", "ledger")
class OpenHolding(Body):
    """An approver gives a recipient the right to use a part of a system."""

    holding: Id
    """The holding."""
    system: Id
    """The system."""
    recipient: Id
    """The member who will use and own it."""
    units: Shares
    """Units of the system."""


@command("OfferHolding", "ledger")
class OfferHolding(Body):
    """A holder offers his holding to another recipient; an offer to himself takes it back."""

    holding: Id
    """The holding."""
    to_member: Id
    """Who may accept it."""


@command("AcceptHolding", "ledger")
class AcceptHolding(Body):
    """A recipient accepts an offered holding, with its debt."""

    holding: Id
    """The holding."""


@command("ReclaimHolding", "ledger")
class ReclaimHolding(Body):
    """An approver takes back a holding that is twelve periods late and uncured."""

    holding: Id
    """The holding."""


@command("OfferShares", "ledger")
class OfferShares(Body):
    """An investor offers title to another member."""

    system: Id
    """The system."""
    to_member: Id
    """Who may accept."""
    shares: Shares
    """Shares of title."""
    price_stroops: AmountStroops
    """What all of them cost, in stroops; may be 0."""
    expires_at: Instant
    """From this instant on it cannot be accepted."""


@command("AcceptShares", "ledger")
class AcceptShares(Body):
    """A member accepts offered title and pays its price."""

    offer: Reference
    """The offer: `<member>.<command id>` of the `OfferShares`."""


@command("Pay", "ledger", shape=2)
class Pay(Body):
    """A member pays towards the invoices of an agreement from his wallet."""

    agreement: Id
    """The agreement."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    asset: Asset | None = None
    """What he means to pay in; another than the agreement's is refused."""
    invoice: Reference | None = None
    """The invoice that he means to pay; one that is not open is refused. The oldest is cleared
    first all the same."""


@command("Prepay", "ledger")
class Prepay(Body):
    """A recipient repays return and principal before it falls due, first from credit."""

    agreement: Id
    """The agreement."""
    amount_stroops: PositiveStroops
    """Amount in stroops, at most what is owed."""


@command("RefundCredit", "ledger")
class RefundCredit(Body):
    """A recipient takes credit of an agreement back into his wallet."""

    agreement: Id
    """The agreement."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


@command("SetStandingOrder", "ledger")
class SetStandingOrder(Body):
    """A recipient lets every invoice be paid from his wallet by itself."""

    agreement: Id
    """The agreement."""
    limit_stroops: AmountStroops
    """Most that is paid of one invoice, in stroops; 0 ends the standing order."""


@command("PayGridProceeds", "ledger")
class PayGridProceeds(Body):
    """An offtaker pays for grid energy from his wallet."""

    agreement: Id
    """The agreement from whose holding it came."""
    amount_stroops: PositiveStroops
    """Amount in stroops, at most what he owes."""


@command("AssignPaygoDevice", "ledger")
class AssignPaygoDevice(Body):
    """An approver says that a pay-as-you-go device supplies a holding."""

    device: Id
    """The device: its serial number."""
    holding: Id
    """The holding."""
    first_count: Count
    """The device's token counter now."""
