"""Facts of the register: who belongs, with which key, in which roles, and who may not act now."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from libs.events.fact import Fact, Strict, fact
from libs.events.ids import Address, Id
from libs.events.metering import SignedText
from libs.events.pricing import Asset
from libs.events.quantities import AmountStroops, EnergyWh
from libs.events.subjects import MEMBERS

Role = Literal[
    "approver",
    "recipient",
    "investor",
    "guarantor",
    "originator",
    "contractor",
    "developer",
    "factory",
    "device",
    "operator",
    "auditor",
    "platform",
]
"""What a member may be. One member may have several roles."""

Roles = Annotated[tuple[Role, ...], Field(min_length=1, max_length=12)]
"""All roles of a member, each once."""

EnergyType = Literal["solar", "wind", "footstep"]
"""How a factory generates."""

BusinessName = Annotated[
    str,
    StringConstraints(
        strict=True,
        min_length=1,
        max_length=100,
        # Neither control characters nor those that nobody sees or that turn the direction of text.
        pattern=r"^[^\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+$",
    ),
]
"""The public name of a business, printable; never the name of a person."""

SuspensionReason = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z][a-z0-9-]{0,63}$")]
"""Why, as a code such as `key-lost`; no free text, since facts hold no personal data."""


class FactoryProfile(Strict):
    """What a factory of the energy network says of itself; all of it is public."""

    name: BusinessName
    """The business."""
    energy_type: EnergyType
    """How it generates."""
    daily_consumption_wh: EnergyWh
    """What it uses on a day, in Wh, as it says."""
    available_energy_wh: EnergyWh
    """What it has to offer, in Wh, as it says; its tokens are in the books."""


class Opening(Strict):
    """What a factory starts with; the book named follows the register and enters it once."""

    book: Id
    """The book in which it trades."""
    asset: Asset
    """What money."""
    energy_wh: EnergyWh
    """Energy tokens, in Wh; 0 enters none."""
    amount_stroops: AmountStroops
    """Money in stroops; 0 enters none."""


@fact("MemberRegistered", 1, MEMBERS)
class MemberRegistered(Fact):
    """An approver let a member in."""

    member: Id
    """The member."""
    address: Address
    """The Stellar address whose key signs the member's commands."""
    roles: Roles
    """Roles, each once."""
    factory: FactoryProfile | None = None
    """What a factory says of itself; only for factories of the energy network."""
    opening: Opening | None = None
    """With what it starts; only for factories of the energy network."""
    command: SignedText
    """The approver's signed command."""


@fact("RoleGranted", 1, MEMBERS)
class RoleGranted(Fact):
    """An approver changed what a member may do."""

    member: Id
    """The member."""
    roles: Roles
    """All roles from now on, each once; those that are missing were withdrawn."""
    command: SignedText
    """The approver's signed command."""


@fact("KeyRotated", 1, MEMBERS)
class KeyRotated(Fact):
    """A member signs with another key from now on; the one before is nobody's for ever."""

    member: Id
    """The member."""
    address: Address
    """The Stellar address of the new key."""
    command: SignedText
    """The command, signed with the member's key before or, when he lost it, by an approver."""


@fact("MemberSuspended", 1, MEMBERS)
class MemberSuspended(Fact):
    """An approver suspended a member, whose commands are refused until he lifts it."""

    member: Id
    """The member."""
    suspended: bool
    """True: suspended from now on. False: the suspension is lifted."""
    reason: SuspensionReason
    """Why, as a code."""
    command: SignedText
    """The approver's signed command."""
