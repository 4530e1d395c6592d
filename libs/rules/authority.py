"""Who may ask: judges signed commands by the members and the time that were read.

The same for every service that takes commands, so that a member, a window and a repeated id mean
the same everywhere. Pure: it folds facts and answers questions.

Source: eventing contract, section 5.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from libs.events.commands import KEPT_AFTER_S, Body, Command, read_command
from libs.events.envelope import Recorded
from libs.events.errors import InvalidSignature
from libs.events.fact import Fact
from libs.events.jws import Signed, parse
from libs.events.membership import MemberRegistered
from libs.events.positions import Position, parse_cause, parse_seen
from libs.events.timekeeping import TimeAdvanced
from libs.runtime.failures import NotYet, Refused

_B = TypeVar("_B", bound=Body)


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the register says."""

    member: str
    """Its id."""
    address: str
    """Its key, as a Stellar address."""
    roles: frozenset[str]
    """Its roles."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command that was judged: signed by its member, in time, new."""

    command: Command
    """The claims."""
    signer: Member
    """Who asks."""
    text: str
    """The compact JWS as it came, to be kept with the first fact."""
    time: datetime
    """The time by which it was judged: domain time of the facts that follow."""

    @property
    def id(self) -> str:
        """Signer and command id: what makes the facts of this command unique."""
        return f"{self.command.member}.{self.command.id}"

    def require(self, role: str) -> None:
        """Refuse unless the signer has the role.

        Raises:
            Refused: Code `wrong-role`.
        """
        if role not in self.signer.roles:
            raise Refused("wrong-role", f"{self.signer.member} is no {role}", field="member")

    def body(self, kind: type[_B]) -> _B:
        """The body, known to be of this kind."""
        assert isinstance(self.command.body, kind)
        return self.command.body


@dataclass(slots=True)
class Accepted:
    """A command that led to facts: what a repeat is answered with."""

    name: str
    """Signer and command id; the ids of its facts begin with it and a dot."""
    digest: str
    """SHA-256 of the command's name and body."""
    exp: int
    """End of its window, seconds since 1970."""
    first: Position
    """Position of its first fact."""
    last: Position
    """Position of its last fact."""


def digest_of(command: Command) -> str:
    """Hash what a command asks, so that a repeat is told from another body under the same id."""
    body = json.loads(command.body.model_dump_json())
    text = json.dumps([command.command, body], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


class Authority:
    """Members, time, and the commands that were accepted: a fold of facts."""

    def __init__(
        self, *, deployment: str, service: str, book: str, first_approver: str = ""
    ) -> None:
        """Begin with nobody.

        Args:
            deployment: Commands for another installation are refused.
            service: The service that decides.
            book: Its book.
            first_approver: Address whose key counts as an approver's; the register's setting.
        """
        self._deployment, self._service, self._book = deployment, service, book
        self._first_approver = first_approver
        self._members: dict[str, Member] = {}
        self._by_first: dict[Position, Accepted] = {}
        self._accepted: dict[tuple[str, str], Accepted] = {}
        self.now: datetime | None = None
        """The last `TimeAdvanced` that was read."""

    def member(self, member: str) -> Member | None:
        """The member of this id, when it was read."""
        return self._members.get(member)

    def accepted(self, command: Command) -> Accepted:
        """What an accepted command led to."""
        return self._accepted[command.member, command.id]

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact: members and time from any stream, accepted commands from the own one."""
        fact = recorded.fact
        if isinstance(fact, MemberRegistered):
            self._members[fact.member] = Member(fact.member, fact.address, frozenset(fact.roles))
        elif isinstance(fact, TimeAdvanced):
            self.now = fact.to
            self._forget()
        if own:
            self._remember(recorded)

    def _remember(self, recorded: Recorded[Fact]) -> None:
        text = getattr(recorded.fact, "command", None)
        if text is None:
            cause, _ = parse_cause(recorded.envelope.cause)
            known = None if cause is None else self._by_first.get(cause)
            # What merely follows from the first fact (an invoice from its agreement) has other ids.
            if known is not None and recorded.envelope.id.startswith(f"{known.name}."):
                known.last = recorded.position
            return
        command = read_command(parse(text, "hg-command+jws"))
        place = recorded.position
        name = f"{command.member}.{command.id}"
        known = Accepted(name, digest_of(command), command.exp, place, place)
        self._accepted[command.member, command.id] = self._by_first[place] = known

    def _forget(self) -> None:
        """Drop the ids whose window ended more than an hour ago; they are `expired` by now."""
        assert self.now is not None
        limit = int(self.now.timestamp()) - KEPT_AFTER_S
        for key in [key for key, known in self._accepted.items() if known.exp <= limit]:
            del self._by_first[self._accepted.pop(key).first]

    def judge(
        self, signed: Signed, text: str, read: Mapping[str, Position]
    ) -> tuple[Order | None, Accepted | None]:
        """Judge a command whose signature is verified.

        Args:
            signed: The message.
            text: The same as it came.
            read: How far each input and the own stream were read.

        Returns:
            The order to decide, or what the first of a repeat was answered with.

        Raises:
            Refused: A claim breaks a rule; the code names it.
            NotYet: The fact that it answers was not read yet.
        """
        try:
            command = read_command(signed)
        except InvalidSignature as error:
            field = str(error).partition(":")[0]
            raise Refused(error.rule, str(error), field=field) from error
        self._check_address(command)
        self._wait_for(command.after, read)
        signer = self._signer(command, signed)
        known = self._accepted.get((command.member, command.id))
        if known is not None:
            if known.digest != digest_of(command):
                raise Refused("id-reused", "another body was accepted under this id", field="id")
            return None, known
        if self.now is None:
            raise NotYet("no-time-yet", "no TimeAdvanced was read yet")
        self._check_window(command)
        return Order(command, signer, text, self.now), None

    def _check_address(self, command: Command) -> None:
        claims = (
            ("deployment", command.deployment, self._deployment),
            ("service", command.service, self._service),
            ("book", command.book, self._book),
        )
        for field, claimed, mine in claims:
            if claimed != mine:
                raise Refused(
                    f"wrong-{field}", f"meant for {field} {claimed}, this is {mine}", field=field
                )

    def _wait_for(self, after: str | None, read: Mapping[str, Position]) -> None:
        try:
            positions = parse_seen(after or "")
        except ValueError as error:
            raise Refused("command-schema", str(error), field="after") from error
        for stream, wanted in positions.items():
            reached = read.get(stream)
            if reached is None:
                raise Refused("stream-not-followed", f"{stream} is not followed", field="after")
            if reached.sequence < wanted.sequence:
                raise NotYet(
                    "not-read-yet", f"{stream} was read to {reached.sequence}", retry_after_s=0
                )
            if reached.sequence == wanted.sequence and reached.hash != wanted.hash:
                raise Refused("other-history", f"another fact stands at {wanted}", field="after")

    def _signer(self, command: Command, signed: Signed) -> Member:
        member = self._members.get(command.member)
        if member is None:
            if self._first_approver and signed.kid == self._first_approver:
                return Member(command.member, signed.kid, frozenset({"approver"}))
            raise Refused("unknown-member", f"{command.member} is not registered", field="member")
        if member.address != signed.kid:
            raise Refused("wrong-key", f"not signed by the key of {command.member}", field="kid")
        return member

    def _check_window(self, command: Command) -> None:
        assert self.now is not None
        now = int(self.now.timestamp())
        if now >= command.exp:
            raise Refused("expired", f"valid until {command.exp}, it is {now}", field="exp")
        if now < command.nbf:
            raise Refused("not-valid-yet", f"valid from {command.nbf}, it is {now}", field="nbf")
