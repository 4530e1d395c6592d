"""What members ask services to do: members, meters, time and book money.

Systems, holdings and payments are in `libs.events.system_commands`, agreements, invoices and
prices in `libs.events.billing_commands`, the energy network in `libs.events.trade_commands`; the
claims around every body, and how a command is read and written, in `libs.events.command`.
"""

from typing import Annotated

from pydantic import Field

from libs.events.command import Body, command
from libs.events.ids import Address, Id, Reference
from libs.events.membership import Roles, SuspensionReason
from libs.events.metering import (
    CorrectionReason,
    IntervalS,
    MeterRole,
    RegisterCorrection,
    RegisterValue,
)
from libs.events.pricing import Asset
from libs.events.quantities import Instant, PositiveStroops, PowerW
from libs.events.repaying import ReceiptReference


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


@command("ReceiveFunds", "ledger")
class ReceiveFunds(Body):
    """An approver states that book money arrived with a reference; it is never refused."""

    asset: Asset
    """What arrived."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    reference: ReceiptReference
    """What the sender wrote: the id of an agreement, or anything."""


@command("SettleSuspense", "ledger")
class SettleSuspense(Body):
    """An approver says where suspended money belongs; without a receiver it is returned."""

    receipt: Reference
    """The receipt."""
    member: Id | None = None
    """The member whose wallet receives it."""
    agreement: Id | None = None
    """The agreement whose credit receives it; at most one of both."""


@command("WithdrawFunds", "ledger")
class WithdrawFunds(Body):
    """An approver states that book money was paid out to a member."""

    member: Id
    """The member."""
    asset: Asset
    """What was paid out."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
