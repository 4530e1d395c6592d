"""Who may say what: members, their keys and roles, and the commands that they signed. Pure.

Every member was registered by an approver's signed command, and that approver by another one, down
to the first approver, whose key the trust file names. Key, roles and suspension of a member change
by facts too, so whoever signed is judged as the writer of that very fact knew him.
"""

from collections.abc import Iterable
from typing import cast

from libs.events.billing_commands import PublishTariff
from libs.events.command import Body, Command, read_command
from libs.events.commands import (
    GrantRoles,
    RegisterMember,
    RotateKey,
    SuspendMember,
)
from libs.events.envelope import Recorded
from libs.events.errors import InvalidSignature
from libs.events.fact import Fact
from libs.events.invoicing import NOTICE_S
from libs.events.jws import Signed, parse, verify_signature
from libs.events.membership import KeyRotated, MemberRegistered, MemberSuspended, RoleGranted
from libs.events.pricing import TariffPrices
from libs.events.subjects import family_of
from libs.events.system_commands import Pay
from libs.events.trade_commands import RegisterFactory
from libs.proof.case import Case, require, same
from libs.proof.errors import ProofFailed
from libs.rules.membership import Member, Members, registration

STEP = 7
"""The number of the step that this is part of."""

BOOKS = {"MEMBERS": "register", "PRICES": "main"}
"""The book that commands name for the streams that have no part."""

APPROVER = frozenset({"approver"})
"""Who registers, enrols, prices and approves."""

ANYBODY = frozenset[str]()
"""No role is asked for."""

_ABSENT: dict[str, object] = {
    "cover_stroops": 0,
    "grace_periods": 6,
    "notice_s": NOTICE_S,
    "taxes": (),
}
"""What a fact says where its command leaves it out."""

MemberFact = MemberRegistered | RoleGranted | KeyRotated | MemberSuspended
"""What is told of a member."""

_ASKED: dict[type[Fact], tuple[type[Body], ...]] = {
    MemberRegistered: (RegisterMember, RegisterFactory),
    RoleGranted: (GrantRoles,),
    KeyRotated: (RotateKey,),
    MemberSuspended: (SuspendMember,),
}


class People:
    """The members of a case, and the judge of their commands."""

    def __init__(self, case: Case) -> None:
        """Gather what is told of each member.

        Raises:
            ProofFailed: It does not begin with the one registration, or something is left out.
        """
        self._case = case
        told = [each for kind in _ASKED for each in case.all(kind)]
        self._facts = cast(
            "list[Recorded[MemberFact]]", sorted(told, key=lambda each: each.sequence)
        )
        self._rows: dict[str, list[Recorded[MemberFact]]] = {}
        for each in self._facts:
            row = self._rows.setdefault(each.fact.member, [])
            row.append(each)
            _check_place(each, len(row))
        self.first_approver = case.trust.first_approver if case.trust else self._root()
        """Address from which all registrations descend."""
        self._used: set[str] = set()
        self._behind: dict[str, set[str]] = {}
        self.commands = 0
        """Number of commands that were verified."""

    def _root(self) -> str:
        """Who signed the oldest registration: the first approver, when nobody says who it is."""
        if not self._facts:
            raise ProofFailed(STEP, "the file registers nobody")
        return _parsed(STEP, self._facts[0].fact.command, "a registration").kid

    def verify(self) -> None:
        """Verify everything that is told of members.

        Raises:
            ProofFailed: A fact was not signed by whom it must be: an approver who was registered
                before or, for a new key, the member with the key before.
        """
        for each in self._facts:
            fact = each.fact
            is_own = (
                isinstance(fact, KeyRotated)
                and _read(STEP, fact.command, fact.fact_name).member == fact.member
            )
            roles = ANYBODY if is_own else APPROVER
            self.signed(each, fact.command, _ASKED[type(fact)], roles)

    def unused(self) -> list[str]:
        """Members in the file whom nothing needed, not even one who is needed himself."""
        reached: set[str] = set()
        wanted = set(self._used)
        while wanted:
            reached.add(member := wanted.pop())
            wanted |= self._behind.get(member, set()) - reached
        return sorted(set(self._rows) - reached)

    def expect(self, recorded: Recorded[Fact], member: str, role: str) -> None:
        """Make sure that a member had a role when a fact was decided.

        Raises:
            ProofFailed: He had not.
        """
        found = self._known(recorded, self._rows.get(member, ())).get(member)
        require(STEP, found is not None, f"{member} is not registered")
        assert found is not None
        require(STEP, role in found.roles, f"{member} is no {role}")
        self._used.add(member)

    def signed(
        self,
        recorded: Recorded[Fact],
        text: str,
        body: type[Body] | tuple[type[Body], ...],
        roles: frozenset[str],
        step: int = STEP,
    ) -> Command:
        """Verify the command from which a fact came.

        Checks signature, key and role of the signer, deployment, book and window, and that the
        fact says what the command asks, member by member.

        Args:
            recorded: The fact.
            text: The signed command in it.
            body: What it must ask, or one of several.
            roles: The roles of which the signer needs one; none for anybody.
            step: The step that asks.

        Raises:
            ProofFailed: One of the checks failed.
        """
        what = f"{recorded.fact.fact_name} at {recorded.stream} {recorded.sequence}"
        signed = _parsed(step, text, what)
        try:
            verify_signature(signed)
        except InvalidSignature as error:
            raise ProofFailed(step, f"{what}: its command: {error}") from error
        command = _read(step, text, what)
        require(step, isinstance(command.body, body), f"{what}: its command is another one")
        signer = self._signer(step, recorded, command.member, signed.kid)
        require(step, signed.kid == signer.address, f"{what}: not signed by {signer.member}'s key")
        require(step, not signer.is_suspended, f"{what}: {signer.member} was suspended")
        wanted = " or ".join(sorted(roles))
        is_one = not roles or bool(roles & signer.roles)
        require(step, is_one, f"{what}: {signer.member} is no {wanted}")
        self._check_claims(step, recorded, command, what)
        same(step, what, _pairs(recorded.fact, command.body, text))
        self.commands += 1
        return command

    def _signer(self, step: int, recorded: Recorded[Fact], member: str, kid: str) -> Member:
        """A member as the writer of a fact knew him; remembers that he was needed."""
        if isinstance(recorded.fact, MemberFact):
            self._behind.setdefault(recorded.fact.member, set()).add(member)
        else:
            self._used.add(member)
        found = self._known(recorded, self._rows.get(member, ())).get(member)
        if found is not None:
            return found
        is_first = kid == self.first_approver
        # Once an approver stands in the register, the key of the first one counts no more.
        is_first = is_first and not self._known(recorded, self._facts).has_approver
        require(
            step,
            is_first,
            f"{member} was not registered when {recorded.fact.fact_name} was decided, "
            "and is not the first approver",
        )
        return Member(member, kid, APPROVER)

    def _known(self, recorded: Recorded[Fact], facts: Iterable[Recorded[MemberFact]]) -> Members:
        """What the writer of a fact knew of members."""
        members = Members()
        for each in facts:
            if self._case.knew(recorded, each):
                members.evolve(each.fact)
        return members

    def _check_claims(
        self, step: int, recorded: Recorded[Fact], command: Command, what: str
    ) -> None:
        """Deployment, book, id and window of a command against the fact that followed from it."""
        family, part = family_of(recorded.stream)
        decided = int(recorded.envelope.time.timestamp())
        same(
            step,
            what,
            (
                ("deployment of its command", command.deployment, self._case.file.deployment),
                ("book of its command", command.book, BOOKS.get(family.name, part)),
            ),
        )
        require(
            step,
            recorded.envelope.id.startswith(f"{command.member}.{command.id}."),
            f"{what}: its id does not name its command",
        )
        require(
            step,
            command.nbf <= decided < command.exp,
            f"{what}: it was decided outside of its command's window",
        )


def _check_place(recorded: Recorded[MemberFact], number: int) -> None:
    """What is told of a member begins with his one registration and leaves nothing out."""
    fact = recorded.fact
    require(STEP, recorded.envelope.key == fact.member, f"{fact.member} stands under another key")
    is_first = number == 1
    if isinstance(fact, MemberRegistered):
        require(STEP, is_first, f"{fact.member} was registered twice")
    else:
        require(STEP, not is_first, f"the registration of {fact.member} is missing")
    require(STEP, recorded.envelope.n == number, f"something about {fact.member} is left out")


def _pairs(fact: Fact, body: Body, text: str) -> Iterable[tuple[str, object, object]]:
    """What a fact says beside what its command asks, member by member."""
    if isinstance(body, RegisterMember | RegisterFactory):
        asked = registration(body, text)
        return [(n, getattr(fact, n), getattr(asked, n)) for n in type(asked).model_fields]
    wanted = {n: getattr(body, n) for n in type(body).model_fields}
    if isinstance(body, PublishTariff):
        standing = wanted.pop("standing_stroops_per_month") or 0
        prices = {n: wanted.pop(n) for n in TariffPrices.model_fields if n in wanted}
        wanted["prices"] = TariffPrices(standing_stroops_per_month=standing, **prices)
    elif isinstance(body, Pay):
        del wanted["invoice"]  # whichever he means, the oldest is cleared first
    absent = [n for n in wanted if wanted[n] is None and n in _ABSENT]
    wanted |= {n: _ABSENT[n] for n in absent}
    if wanted.get("asset", "") is None:
        del wanted["asset"]
    return [(n, getattr(fact, n), value) for n, value in wanted.items()]


def _read(step: int, text: str, what: str) -> Command:
    try:
        return read_command(_parsed(step, text, what))
    except InvalidSignature as error:
        raise ProofFailed(step, f"{what}: its command: {error}") from error


def _parsed(step: int, text: str, what: str) -> Signed:
    try:
        return parse(text, "hg-command+jws")
    except InvalidSignature as error:
        raise ProofFailed(step, f"{what}: its command: {error}") from error
