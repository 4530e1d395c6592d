"""The rules of the register: who is let in. Pure."""

from collections.abc import Sequence

from libs.events.commands import RegisterMember
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.membership import MemberRegistered
from libs.rules.authority import Authority, Order
from libs.runtime.failures import Refused

BOOK = "register"
"""The book of the register's commands."""


class Register:
    """State and rules of MEMBERS."""

    def __init__(self, *, authority: Authority, stream: str) -> None:
        """Begin with nobody but the first approver, whom the authority knows by his key."""
        self.authority = authority
        self._stream = stream
        self._addresses: set[str] = set()

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of MEMBERS or PRICES."""
        self.authority.evolve(recorded, own=recorded.stream == self._stream)
        if isinstance(recorded.fact, MemberRegistered):
            self._addresses.add(recorded.fact.address)

    def due(self) -> Sequence[Draft]:
        """Nothing ever follows by itself."""
        return ()

    def decide(self, order: Order) -> Sequence[Draft]:
        """Register a member.

        Raises:
            Refused: The signer is no approver, the member or the key is registered already, or a
                role stands twice.
        """
        order.require("approver")
        if not isinstance(order.command.body, RegisterMember):
            raise Refused("wrong-service", f"{order.command.command} is not for the register")
        body = order.body(RegisterMember)
        if self.authority.member(body.member) is not None:
            raise Refused(
                "member-exists", f"{body.member} is registered already", field="body.member"
            )
        if body.address in self._addresses:
            raise Refused("address-exists", "a member has this key already", field="body.address")
        if len(set(body.roles)) != len(body.roles):
            raise Refused("role-twice", "a role stands twice", field="body.roles")
        fact = MemberRegistered(
            member=body.member, address=body.address, roles=body.roles, command=order.text
        )
        return (Draft(body.member, fact, f"{order.id}.member", order.time),)
