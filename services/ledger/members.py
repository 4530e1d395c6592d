"""The rules of the register: who is let in, what he may do, and with which key. Pure."""

from collections.abc import Callable, Collection, Sequence

from libs.events.command import Body
from libs.events.commands import (
    GrantRoles,
    RegisterMember,
    RotateKey,
    SuspendMember,
)
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.membership import KeyRotated, MemberSuspended, RoleGranted
from libs.events.trade_commands import RegisterFactory
from libs.events.trading import is_reserved_key
from libs.rules.authority import Authority, Order
from libs.rules.dumps import Dumped, Loaded
from libs.rules.membership import Member, registration
from libs.runtime.failures import NotFound, Refused

BOOK = "register"
"""The book of the register's commands."""


class Register:
    """Rules of MEMBERS; the members themselves are a part of the authority."""

    def __init__(self, *, authority: Authority, stream: str, books: Collection[str] = ()) -> None:
        """Begin with nobody but the first approver, whom the authority knows by his key.

        Args:
            authority: Members, time and accepted commands.
            stream: MEMBERS.
            books: The books of the installation, in which a factory may trade; none: any.
        """
        self.authority = authority
        self._stream, self._books = stream, frozenset(books)
        self._decisions: dict[type[Body], Callable[[Order], Draft]] = {
            RegisterMember: self._register,
            RegisterFactory: self._register,
            GrantRoles: self._grant,
            RotateKey: self._rotate,
            SuspendMember: self._suspend,
        }

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of MEMBERS or PRICES."""
        self.authority.evolve(recorded, own=recorded.stream == self._stream)

    def dump(self) -> Dumped:
        """Give the state: all of it is the authority's."""
        return self.authority.dump()

    def load(self, dumped: Loaded) -> None:
        """Take over what was dumped, into an object that folded nothing."""
        self.authority.load(dumped)

    def due(self) -> Sequence[Draft]:
        """Nothing ever follows by itself."""
        return ()

    def decide(self, order: Order) -> Sequence[Draft]:
        """Decide a command.

        Raises:
            Refused, NotFound: By the rule that the code names.
        """
        decide = self._decisions.get(type(order.command.body))
        if decide is None:
            raise Refused("wrong-service", f"{order.command.command} is not for the register")
        return (decide(order),)

    def _register(self, order: Order) -> Draft:
        """Let a member or a factory in, unless the id or the key is taken."""
        order.require("approver")
        body = order.command.body
        assert isinstance(body, RegisterMember | RegisterFactory)
        fact = registration(body, order.text)
        field = "body.member" if isinstance(body, RegisterMember) else "body.factoryId"
        if is_reserved_key(fact.member):
            raise Refused("member-reserved", f"no member may be called {fact.member}", field=field)
        if fact.opening and self._books and fact.opening.book not in self._books:
            raise NotFound("unknown-book", f"no book {fact.opening.book}", field="body.book")
        if self.authority.member(fact.member) is not None:
            raise Refused("member-exists", f"{fact.member} is registered already", field=field)
        self._check_key(fact.address)
        _check_roles(fact.roles)
        return Draft(fact.member, fact, f"{order.id}.member", order.time)

    def _grant(self, order: Order) -> Draft:
        """Replace a member's roles by others."""
        order.require("approver")
        body = order.body(GrantRoles)
        member = self._member(body.member)
        _check_roles(body.roles)
        if member.roles == set(body.roles):
            raise Refused("roles-unchanged", "these are its roles already", field="body.roles")
        if "approver" not in body.roles:
            self._check_approver_remains(member)
        fact = RoleGranted(member=member.member, roles=body.roles, command=order.text)
        return Draft(member.member, fact, f"{order.id}.roles", order.time)

    def _rotate(self, order: Order) -> Draft:
        """Replace a key: the member's own, or for him when he lost it."""
        body = order.body(RotateKey)
        if body.member != order.signer.member:
            order.require("approver")
        member = self._member(body.member)
        self._check_key(body.address)
        fact = KeyRotated(member=member.member, address=body.address, command=order.text)
        return Draft(member.member, fact, f"{order.id}.key", order.time)

    def _suspend(self, order: Order) -> Draft:
        """Suspend a member, or lift it."""
        order.require("approver")
        body = order.body(SuspendMember)
        member = self._member(body.member)
        if member.is_suspended == body.suspended:
            state = "suspended" if body.suspended else "not suspended"
            raise Refused("suspension-unchanged", f"it is {state} already", field="body.suspended")
        if body.suspended:
            self._check_approver_remains(member)
        fact = MemberSuspended(
            member=member.member,
            suspended=body.suspended,
            reason=body.reason,
            command=order.text,
        )
        return Draft(member.member, fact, f"{order.id}.suspension", order.time)

    def _member(self, name: str) -> Member:
        member = self.authority.member(name)
        if member is None:
            raise NotFound("unknown-member", f"{name} is not registered", field="body.member")
        return member

    def _check_key(self, address: str) -> None:
        """A key belongs to one member for ever: what it signed must never seem another's."""
        if self.authority.members.owner_of(address) is not None:
            raise Refused("address-exists", "a member has or had this key", field="body.address")

    def _check_approver_remains(self, member: Member) -> None:
        if self.authority.members.is_last_approver(member.member):
            raise Refused(
                "last-approver",
                f"without {member.member} nobody could approve any more",
                field="body.member",
            )


def _check_roles(roles: Sequence[str]) -> None:
    if len(set(roles)) != len(roles):
        raise Refused("role-twice", "a role stands twice", field="body.roles")
