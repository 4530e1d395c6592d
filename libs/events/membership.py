"""Facts of the register: who belongs, with which key, in which roles."""

from typing import Annotated, Literal

from pydantic import Field

from libs.events.fact import Fact, fact
from libs.events.ids import Address, Id
from libs.events.metering import SignedText
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


@fact("MemberRegistered", 1, MEMBERS)
class MemberRegistered(Fact):
    """An approver let a member in."""

    member: Id
    """The member."""
    address: Address
    """The Stellar address whose key signs the member's commands."""
    roles: Annotated[tuple[Role, ...], Field(min_length=1, max_length=12)]
    """Roles, each once."""
    command: SignedText
    """The approver's signed command."""
