"""Who may say what: members, their keys and roles, and the commands that they signed. Pure.

Every member was registered by an approver's signed command, and that approver by another one, down
to the first approver, whose key the trust file names.
"""

from libs.events.commands import Body, Command, RegisterMember, read_command
from libs.events.envelope import Recorded
from libs.events.errors import InvalidSignature
from libs.events.fact import Fact
from libs.events.jws import Signed, parse, verify_signature
from libs.events.membership import MemberRegistered
from libs.events.subjects import family_of
from libs.proof.case import Case, require, same
from libs.proof.errors import ProofFailed

STEP = 7
"""The number of the step that this is part of."""

BOOKS = {"MEMBERS": "register", "PRICES": "main"}
"""The book that commands name for the streams that have no part."""

APPROVER = frozenset({"approver"})
"""Who registers, enrols, prices and approves."""

Member = tuple[str, frozenset[str]]
"""Address and roles."""


class People:
    """The members of a case, and the judge of their commands."""

    def __init__(self, case: Case) -> None:
        """Gather the registrations.

        Raises:
            ProofFailed: A member was registered twice.
        """
        self._case = case
        self._registered: dict[str, Recorded[MemberRegistered]] = {}
        for each in case.all(MemberRegistered):
            name = each.fact.member
            require(STEP, name not in self._registered, f"{name} was registered twice")
            self._registered[name] = each
        self.first_approver = case.trust.first_approver if case.trust else self._root()
        """Address from which all registrations descend."""
        self._used: set[str] = set()
        self.commands = 0
        """Number of commands that were verified."""

    def _root(self) -> str:
        """Who signed the oldest registration: the first approver, when nobody says who it is."""
        if not self._registered:
            raise ProofFailed(STEP, "the file registers nobody")
        oldest = min(self._registered.values(), key=lambda each: each.sequence)
        return _parsed(STEP, oldest.fact.command, "a registration").kid

    def verify(self) -> None:
        """Verify every registration.

        Raises:
            ProofFailed: One was not signed by an approver who was registered before.
        """
        for each in self._registered.values():
            self.signed(each, each.fact.command, RegisterMember, APPROVER)

    def unused(self) -> list[str]:
        """Members in the file whom nothing needed."""
        return sorted(set(self._registered) - self._used)

    def expect(self, member: str, role: str) -> None:
        """Make sure that a member is registered with a role.

        Raises:
            ProofFailed: He is not.
        """
        found = self._registered.get(member)
        require(STEP, found is not None, f"{member} is not registered")
        assert found is not None
        require(STEP, role in found.fact.roles, f"{member} is no {role}")
        self._used.add(member)

    def signed(
        self,
        recorded: Recorded[Fact],
        text: str,
        body: type[Body],
        roles: frozenset[str],
        step: int = STEP,
    ) -> Command:
        """Verify the command from which a fact came.

        Checks signature, key and role of the signer, deployment, book and window, and that the
        fact says what the command asks, member by member.

        Args:
            recorded: The fact.
            text: The signed command in it.
            body: What it must ask.
            roles: The roles of which the signer needs one.
            step: The step that asks.

        Raises:
            ProofFailed: One of the checks failed.
        """
        what = f"{recorded.fact.fact_name} at {recorded.stream} {recorded.sequence}"
        signed = _parsed(step, text, what)
        try:
            verify_signature(signed)
            command = read_command(signed)
        except InvalidSignature as error:
            raise ProofFailed(step, f"{what}: its command: {error}") from error
        require(step, isinstance(command.body, body), f"{what}: its command is another one")
        address, has = self._signer(step, recorded, command.member, signed.kid)
        require(step, signed.kid == address, f"{what}: not signed by {command.member}'s key")
        wanted = " or ".join(sorted(roles))
        require(step, bool(roles & has), f"{what}: {command.member} is no {wanted}")
        self._check_claims(step, recorded, command, what)
        names = type(command.body).model_fields
        same(step, what, ((n, getattr(recorded.fact, n), getattr(command.body, n)) for n in names))
        self.commands += 1
        return command

    def _signer(self, step: int, recorded: Recorded[Fact], member: str, kid: str) -> Member:
        """Key and roles of a member as the writer of a fact knew them."""
        found = self._registered.get(member)
        self._used.add(member)
        if found is not None and self._case.knew(recorded, found):
            return found.fact.address, frozenset(found.fact.roles)
        require(
            step,
            kid == self.first_approver,
            f"{member} was not registered when {recorded.fact.fact_name} was decided, "
            "and is not the first approver",
        )
        return kid, frozenset({"approver"})

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


def _parsed(step: int, text: str, what: str) -> Signed:
    try:
        return parse(text, "hg-command+jws")
    except InvalidSignature as error:
        raise ProofFailed(step, f"{what}: its command: {error}") from error
