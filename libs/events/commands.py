"""What members ask services to do: members, meters, prices, systems, holdings and payments.

The energy network's commands are in `libs.events.trade_commands`; the claims around every body, and
how a command is read and written, in `libs.events.command`.
"""

from typing import Annotated, Literal

from pydantic import Field

from libs.events.books import Terms, TimeZone
from libs.events.command import Body, command
from libs.events.ids import Address, Id
from libs.events.invoicing import LocalDate
from libs.events.membership import Roles, SuspensionReason
from libs.events.metering import (
    CorrectionReason,
    IntervalS,
    MeterRole,
    RegisterCorrection,
    RegisterValue,
)
from libs.events.pricing import Asset
from libs.events.quantities import (
    DurationS,
    Instant,
    PositiveStroops,
    PowerW,
    PriceStroopsPerKwh,
    Shares,
)


@command("RegisterMember", "ledger")
class RegisterMember(Body):
    """An approver lets a member in."""

    member: Id
    """The new member."""
    address: Address
    """The member's Stellar address."""
    roles: Roles
    """The member's roles, each once."""


@command("GrantRoles", "ledger")
class GrantRoles(Body):
    """An approver says what a member may do from now on."""

    member: Id
    """The member."""
    roles: Roles
    """All its roles afterwards, each once; those that are missing are withdrawn."""


@command("RotateKey", "ledger")
class RotateKey(Body):
    """A member replaces his key, signed with the old one; an approver does it for a lost key."""

    member: Id
    """The member."""
    address: Address
    """The Stellar address of the new key; no member has it or ever had it."""


@command("SuspendMember", "ledger")
class SuspendMember(Body):
    """An approver suspends a member, or lifts the suspension."""

    member: Id
    """The member."""
    suspended: bool
    """True: its commands are refused from now on. False: they count again."""
    reason: SuspensionReason
    """Why, as a code."""


@command("EnrolMeter", "ingest")
class EnrolMeter(Body):
    """An approver binds a meter to the key that signs for it."""

    meter: Id
    """The meter."""
    address: Address
    """The key of its Teller."""
    role: MeterRole
    """What the meter is for."""
    system: Id
    """The system."""
    holding: Id | None = None
    """The holding; needed for the role `consumption` and refused for the others."""
    site: Id
    """The site."""
    nameplate_w: PowerW
    """Most power that it can measure, in W."""
    starts: tuple[RegisterValue, ...]
    """Its registers now, each register of its role once."""


@command("CorrectReading", "ingest")
class CorrectReading(Body):
    """An approver says by how much a meter's recorded intervals are wrong."""

    meter: Id
    """The meter."""
    first_interval_at: Instant
    """Start of the first interval that is corrected."""
    interval_s: IntervalS
    """Length of every interval, in seconds: that of the readings."""
    registers: Annotated[tuple[RegisterCorrection, ...], Field(min_length=1, max_length=4)]
    """Signed changes per interval, each register once, all over the same intervals."""
    reason: CorrectionReason
    """Why, in the approver's words."""


@command("PublishTariff", "oracle")
class PublishTariff(Body):
    """An approver sets a fixed price of energy."""

    tariff: Id
    """The tariff."""
    asset: Asset
    """What the price is in."""
    price_stroops_per_kwh: PriceStroopsPerKwh
    """Price in stroops per kWh; must be above zero for a fixed tariff."""
    effective_from: Instant
    """First instant at which it holds; not before now."""


@command("AdvanceTime", "oracle")
class AdvanceTime(Body):
    """The player moves the clock; only in played time."""

    to: Instant
    """The new time."""
    down: Annotated[tuple[Id, ...], Field(max_length=16)] = ()
    """Services that the player declares down: nobody waits for them."""


@command("DepositFunds", "ledger")
class DepositFunds(Body):
    """An approver states that a member brought book money."""

    member: Id
    """The member."""
    asset: Asset
    """What was deposited."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


@command("ProposeSystem", "ledger")
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


@command("ApproveSystem", "ledger")
class ApproveSystem(Body):
    """An approver lets a proposed system raise money."""

    system: Id
    """The system."""


@command("Invest", "ledger")
class Invest(Body):
    """An investor reserves units of a system and puts the money into escrow."""

    system: Id
    """The system."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    terms: Terms
    """The terms he agrees to; they must be those that the system offers."""


@command("AcceptRaise", "ledger")
class AcceptRaise(Body):
    """The recipient accepts a full raise."""

    system: Id
    """The system."""


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


@command("OpenAgreement", "billing")
class OpenAgreement(Body):
    """A recipient agrees to pay for the energy of his holding."""

    agreement: Id
    """The agreement."""
    holding: Id
    """The holding."""
    tariff: Id
    """The tariff."""
    period: Literal["month"]
    """Billing period."""
    first_day: LocalDate
    """First local day that is billed."""
    rating_interval_s: IntervalS
    """Rating interval in seconds."""
    settlement_lag_s: DurationS
    """Seconds from the end of a period to the final invoice."""
    due_after_s: DurationS
    """Seconds from the invoice to its due time."""
    terms: Terms
    """The terms; they must be those that every investor signed."""


@command("Pay", "ledger")
class Pay(Body):
    """A member pays towards the invoices of an agreement from his wallet."""

    agreement: Id
    """The agreement."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
