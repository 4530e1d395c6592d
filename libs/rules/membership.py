"""Who belongs, with which key and in which roles: the fold of MEMBERS. Pure.

The same for every service that takes commands and for the register itself, so that a key, a role
and a suspension mean the same everywhere.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from libs.events.commands import RegisterMember
from libs.events.fact import Fact
from libs.events.membership import (
    FactoryProfile,
    KeyRotated,
    MemberRegistered,
    MemberSuspended,
    Opening,
    RoleGranted,
)
from libs.events.trade_commands import RegisterFactory
from libs.events.trading import TOKEN
from libs.rules.dumps import Dumped, Loaded


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the register says."""

    member: str
    """Its id."""
    address: str
    """Its key, as a Stellar address."""
    roles: frozenset[str]
    """Its roles."""
    is_suspended: bool = False
    """Whether its commands are refused."""

    @property
    def is_acting_approver(self) -> bool:
        """Tell whether he may register, grant and suspend today."""
        return "approver" in self.roles and not self.is_suspended


class Members:
    """All members as far as MEMBERS was read."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._members: dict[str, Member] = {}
        self._owners: dict[str, str] = {}
        self._approvers: set[str] = set()
        self._folds: dict[type[Fact], Callable[[Any], Member]] = {
            MemberRegistered: _registered,
            RoleGranted: self._granted,
            KeyRotated: self._rotated,
            MemberSuspended: self._suspended,
        }

    def get(self, member: str) -> Member | None:
        """The member of this id, when it was read."""
        return self._members.get(member)

    def owner_of(self, address: str) -> str | None:
        """Who signs, or once signed, with a key; a key never changes hands."""
        return self._owners.get(address)

    @property
    def has_approver(self) -> bool:
        """Tell whether an approver stands in the register."""
        return bool(self._approvers)

    def is_last_approver(self, member: str) -> bool:
        """Tell whether nobody could register or grant any more without this member."""
        return self._approvers == {member}

    def evolve(self, fact: Fact) -> None:
        """Fold a fact of MEMBERS; all others are ignored."""
        fold = self._folds.get(type(fact))
        if fold is not None:
            self._put(fold(fact))

    def dump(self) -> Dumped:
        """Give the members, and every key that one ever had, for a snapshot."""
        members, owners = dict(self._members), dict(self._owners)
        return {
            "members": (
                [each.member, each.address, sorted(each.roles), each.is_suspended]
                for each in members.values()
            ),
            "owners": (list(each) for each in owners.items()),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for member, address, roles, is_suspended in dumped["members"]:
            self._put(Member(member, address, frozenset(roles), is_suspended))
        self._owners = dict(dumped["owners"])

    def _put(self, member: Member) -> None:
        self._members[member.member] = member
        self._owners[member.address] = member.member
        if member.is_acting_approver:
            self._approvers.add(member.member)
        else:
            self._approvers.discard(member.member)

    def _granted(self, fact: RoleGranted) -> Member:
        return replace(self._members[fact.member], roles=frozenset(fact.roles))

    def _rotated(self, fact: KeyRotated) -> Member:
        return replace(self._members[fact.member], address=fact.address)

    def _suspended(self, fact: MemberSuspended) -> Member:
        return replace(self._members[fact.member], is_suspended=fact.suspended)


def registration(body: RegisterMember | RegisterFactory, text: str) -> MemberRegistered:
    """The fact that a command to register asks for: what the register writes and a proof expects.

    Args:
        body: What is asked.
        text: The signed command.
    """
    if isinstance(body, RegisterMember):
        return MemberRegistered(
            member=body.member, address=body.address, roles=body.roles, command=text
        )
    available_wh = body.available_energy_wh
    profile = FactoryProfile(
        name=body.name,
        energy_type=body.energy_type,
        daily_consumption_wh=body.daily_consumption_wh,
        available_energy_wh=body.initial_balance_wh if available_wh is None else available_wh,
    )
    opening = Opening(
        book=body.book,
        asset=TOKEN,
        energy_wh=body.initial_balance_wh,
        amount_stroops=body.currency_balance_stroops,
    )
    return MemberRegistered(
        member=body.factory_id,
        address=body.address,
        roles=("factory",),
        factory=profile,
        opening=opening,
        command=text,
    )


def _registered(fact: MemberRegistered) -> Member:
    return Member(fact.member, fact.address, frozenset(fact.roles))
