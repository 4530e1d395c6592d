"""Who may ask: judges signed commands by the members and the time that were read.

The same for every service that takes commands, so that a member, a window and a repeated id mean
the same everywhere. Pure: it folds facts and answers questions.

Source: eventing contract, section 5.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple, TypeVar

from libs.events.batch import BatchItem, item_command
from libs.events.command import KEPT_AFTER_S, Body, Command, read_command
from libs.events.envelope import Recorded
from libs.events.errors import InvalidSignature
from libs.events.fact import Fact
from libs.events.jws import Signed
from libs.events.positions import Position, parse_seen
from libs.events.quantities import format_instant, parse_instant
from libs.events.timekeeping import TimeAdvanced
from libs.rules.accepted import Accepted, AcceptedCommands, digest_of
from libs.rules.dumps import Dumpable, Dumped, Loaded, dump_parts, load_parts
from libs.rules.membership import Member, Members
from libs.runtime.failures import NotYet, Refused, Transient

KEPT_PER_MEMBER_MAX = 250_000
"""Most accepted commands of one member whose windows ended less than an hour ago: each takes about
1 KiB of memory, which one member alone shall not exhaust."""

STRANGER_SIZE_MAX = 8_192
"""Longest signed text of an unknown key that is read at all, in characters: reading the longest
takes the one thread of a writer 40 ms, a common command's a fifth of one."""

_B = TypeVar("_B", bound=Body)


class Order(NamedTuple):
    """A command that was judged: signed by its member, in time, new."""

    command: Command
    """The claims."""
    signer: Member
    """Who asks."""
    text: str
    """The compact JWS as it came, to be kept with the first fact."""
    time: datetime
    """The time by which it was judged: domain time of the facts that follow."""
    is_first: bool = True
    """False for a command of a signed batch that others of the batch went before."""

    @property
    def kept(self) -> str | None:
        """The signed text, where its first fact shall keep it: once per append of a batch."""
        return self.text if self.is_first else None

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


class Opened(NamedTuple):
    """A command or a batch that was read and is meant for us."""

    command: Command
    """The claims."""
    signed: Signed
    """The message."""
    text: str
    """The same as it came."""


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
            first_approver: Address whose key counts as an approver's until one stands in the
                register; the register's setting.
        """
        self._deployment, self._service, self._book = deployment, service, book
        self._first_approver = first_approver
        self.members = Members()
        self._accepted = AcceptedCommands()
        self.now: datetime | None = None
        """The last `TimeAdvanced` that was read."""
        self._now_s = 0

    def member(self, member: str) -> Member | None:
        """The member of this id, when it was read."""
        return self.members.get(member)

    def accepted(self, command: Command) -> Accepted:
        """What an accepted command led to."""
        found = self._accepted.get(command.member, command.id)
        assert found is not None, "asked only after its facts were folded"
        return found

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact: members and time from any stream, accepted commands from the own one."""
        fact = recorded.fact
        if type(fact) is TimeAdvanced:  # `isinstance` of another model takes pydantic ten times
            self._set(fact.to)
            self._accepted.forget(self._now_s)
        else:
            self.members.evolve(fact)
        if own:
            self._accepted.remember(recorded)

    def dump(self) -> Dumped:
        """Give members, time and the accepted commands for a snapshot."""
        return {
            "now": (format_instant(time) for time in (self.now,) if time is not None),
            **dump_parts(self._parts()),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        load_parts(self._parts(), dumped)
        for text in dumped["now"]:
            self._set(parse_instant(text))

    def _set(self, now: datetime) -> None:
        self.now, self._now_s = now, int(now.timestamp())

    def _parts(self) -> dict[str, Dumpable]:
        return {"members": self.members, "accepted": self._accepted}

    def judge(
        self, signed: Signed, text: str, read: Mapping[str, Position]
    ) -> tuple[Order | None, Accepted | None]:
        """Judge a command whose signature is verified; `open` and `judge_opened` in one.

        Returns:
            The order to decide, or what the first of a repeat was answered with.

        Raises:
            Refused: A claim breaks a rule; the code names it.
            NotYet: The fact that it answers was not read yet.
        """
        return self.judge_opened(self.open(signed, text, read))

    def open(self, signed: Signed, text: str, read: Mapping[str, Position]) -> Opened:
        """Read a command and see that it is for us, and that what it answers was read.

        Args:
            signed: The message; its signature is verified.
            text: The same as it came.
            read: How far each input and the own stream were read.

        Raises:
            Refused: A claim breaks a rule; the code names it.
            NotYet: The fact that it answers was not read yet.
        """
        self._check_stranger(signed.kid, len(text))
        try:
            command = read_command(signed)
        except InvalidSignature as error:
            raise _refused(error) from error
        self._check_address(command)
        self._wait_for(command.after, read)
        self._accepted.judged(text, command)
        return Opened(command, signed, text)

    def judge_opened(self, opened: Opened) -> tuple[Order | None, Accepted | None]:
        """Judge a command that stands alone; see `judge`."""
        return self._judge(opened.command, opened, is_first=True)

    def check_signer(self, opened: Opened) -> None:
        """Refuse a batch as a whole that another than its member signed.

        Raises:
            Refused: The key is not the member's, and never was.
        """
        if self.members.owner_of(opened.signed.kid) != opened.command.member:
            self._signer(opened.command, opened.signed)

    def judge_item(
        self, opened: Opened, item: BatchItem, *, is_first: bool
    ) -> tuple[Order | None, Accepted | None]:
        """Judge one command of a batch; see `judge`.

        Args:
            opened: The batch.
            item: One of its commands.
            is_first: False once another command of the batch has led to facts.
        """
        try:
            command = item_command(opened.command, item)
        except InvalidSignature as error:
            raise _refused(error) from error
        self._accepted.judged(opened.text, opened.command, command)
        return self._judge(command, opened, is_first=is_first)

    def _judge(
        self, command: Command, opened: Opened, *, is_first: bool
    ) -> tuple[Order | None, Accepted | None]:
        known = self._repeated(command, opened.signed)
        if known is not None:
            return None, known
        signer = self._signer(command, opened.signed)
        if self.now is None:
            raise NotYet("no-time-yet", "no TimeAdvanced was read yet")
        self._check_window(command)
        if self._accepted.count(command.member) >= KEPT_PER_MEMBER_MAX:
            text = f"{KEPT_PER_MEMBER_MAX} are remembered: sign shorter windows, and come back"
            raise Transient("too-many-commands", text, retry_after_s=KEPT_AFTER_S)
        return Order(command, signer, opened.text, self.now, is_first), None

    def _check_stranger(self, kid: str, size: int) -> None:
        """Do not read long texts of a key that no member has: anybody can make a key, and sign."""
        if size <= STRANGER_SIZE_MAX or kid == self._first_approver:
            return
        if self.members.owner_of(kid) is None:
            raise NotYet("unknown-key", "no member with this key was read so far")

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

    def _repeated(self, command: Command, signed: Signed) -> Accepted | None:
        """What a command led to that was accepted before."""
        known = self._accepted.get(command.member, command.id)
        if known is None:
            return None
        # Whose key was replaced since, perhaps by this very command, still hears his answer.
        if self.members.owner_of(signed.kid) != command.member:
            self._signer(command, signed)
        if known.digest != digest_of(command):
            raise Refused("id-reused", "another body was accepted under this id", field="id")
        return known

    def _signer(self, command: Command, signed: Signed) -> Member:
        member = self.members.get(command.member)
        if member is None:
            is_first = signed.kid == self._first_approver and not self.members.has_approver
            if is_first:
                return Member(command.member, signed.kid, frozenset({"approver"}))
            raise Refused("unknown-member", f"{command.member} is not registered", field="member")
        if member.address != signed.kid:
            raise Refused("wrong-key", f"not signed by the key of {command.member}", field="kid")
        if member.is_suspended:
            raise Refused("member-suspended", f"{command.member} is suspended", field="member")
        return member

    def _check_window(self, command: Command) -> None:
        now = self._now_s
        if now >= command.exp:
            raise Refused("expired", f"valid until {_told(command.exp, now)}", field="exp")
        if now < command.nbf:
            raise Refused("not-valid-yet", f"valid from {_told(command.nbf, now)}", field="nbf")


def _refused(error: InvalidSignature) -> Refused:
    """The refusal of a claim that cannot be read; it names the field."""
    return Refused(error.rule, str(error), field=str(error).partition(":")[0])


LATEST_S: Final = 253_402_300_799
"""The last second of the year 9999, in seconds since 1970: later instants have no spelling."""


def _told(limit_s: int, now_s: int) -> str:
    """An end of a window, and the time by which it is judged, for people."""
    limit, now = (
        format_instant(datetime.fromtimestamp(min(seconds, LATEST_S), UTC))
        for seconds in (limit_s, now_s)
    )
    return f"{limit}, it is {now} by the clock of the rules (GET /api/clock)"
