"""The real rules of one book joined in memory: the ledger and billing, without a broker.

Every fact goes through its stored bytes, and every command is really signed. A side folds what it
is given, and decides until nothing is due, as the writer does.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from libs.events.command import WINDOW_S_MAX, Body, Command, write_command
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.jws import parse, verify_signature
from libs.events.positions import Position, write_cause, write_seen
from libs.rules.authority import Authority, Order
from libs.rules.timekeeper import Timekeeper
from services.billing.domain import Billing
from services.ledger.domain import Book
from tests.histories import DEPLOYMENT, History, key_of

BOOK = "pilot"
LEDGER, BILLING = f"LEDGER_{BOOK}", f"BILLING_{BOOK}"
READINGS, METERS, PRICES, MEMBERS = "READINGS_0", "METERS_0", "PRICES", "MEMBERS"
COMMON = (MEMBERS, PRICES, METERS, READINGS)
DUE_MAX = 5_000


class Deciding(Protocol):
    """What both services' rules are."""

    authority: Authority

    def evolve(self, recorded: Recorded[Fact]) -> None: ...
    def due(self) -> Sequence[Draft]: ...
    def decide(self, order: Order) -> Sequence[Draft]: ...


def fresh_book() -> Book:
    """The ledger's rules as its service wires them."""
    return Book(
        authority=Authority(deployment=DEPLOYMENT, service="ledger", book=BOOK),
        timekeeper=Timekeeper(LEDGER, (READINGS,), follows=(MEMBERS, PRICES, METERS)),
        stream=LEDGER,
    )


def fresh_billing() -> Deciding:
    """Billing's rules as its service wires them."""
    return Billing(
        authority=Authority(deployment=DEPLOYMENT, service="billing", book=BOOK),
        timekeeper=Timekeeper(BILLING, (READINGS, LEDGER), follows=(*COMMON, LEDGER)),
        stream=BILLING,
    )


class Side:
    """One service: its rules, and how far it has read."""

    def __init__(
        self,
        service: str,
        stream: str,
        inputs: Sequence[str],
        make: Callable[[], Deciding],
        history: History,
    ) -> None:
        self.service, self.stream, self.inputs = service, stream, tuple(inputs)
        self._make, self.history = make, history
        self.rules = make()
        self.read: dict[str, Position] = {name: Position.start(name) for name in (stream, *inputs)}

    def waiting(self, *streams: str) -> list[Recorded[Fact]]:
        """What stands in some inputs and was not read."""
        wanted = streams or self.inputs
        return [
            each
            for each in self.history.facts
            if each.stream in wanted and each.sequence > self.read[each.stream].sequence
        ]

    def fold(self, recorded: Recorded[Fact]) -> None:
        at = self.read[recorded.stream]
        assert recorded.sequence == at.sequence + 1, "a fact is left out"
        self.rules.evolve(recorded)
        self.read[recorded.stream] = recorded.position

    def stage(self, drafts: Sequence[Draft], cause: str) -> list[Recorded[Fact]]:
        """Record what was decided, and fold it."""
        made: list[Recorded[Fact]] = []
        seen = write_seen(self.read[name] for name in self.inputs)
        for draft in drafts:
            recorded = self.history.record(
                self.stream,
                draft.key,
                draft.fact,
                time=draft.time,
                fact_id=draft.id,
                cause=draft.cause or cause,
                seen=seen,
            )
            if not made:
                cause = write_cause(recorded.position, draft.id)
            self.fold(recorded)
            made.append(recorded)
        return made

    def due(self) -> list[Recorded[Fact]]:
        """Whatever is due, until nothing is."""
        made: list[Recorded[Fact]] = []
        for _ in range(DUE_MAX):
            drafts = self.rules.due()
            if not drafts:
                return made
            made += self.stage(drafts, "- due")
        raise AssertionError(f"{self.service}: due never ends: {made[-3:]}")

    def ask(self, member: str, command_id: str, body: Body, now: datetime) -> list[Recorded[Fact]]:
        """A member commands, or it is refused with an exception."""
        text = signed(self.service, member, command_id, body, now)
        message = parse(text, "hg-command+jws")
        verify_signature(message)
        order, known = self.rules.authority.judge(message, text, self.read)
        assert known is None
        assert order is not None
        return self.stage(self.rules.decide(order), f"- {order.id}")

    def begin_again(self, order: Sequence[str] = (), ends: Mapping[str, int] | None = None) -> None:
        """The process ends; the next one folds its own stream, then its inputs.

        Args:
            order: In which order the inputs are read; absent: as they are wired.
            ends: How far; absent: as far as before.
        """
        until = {name: at.sequence for name, at in self.read.items()} | dict(ends or {})
        self.rules = self._make()
        self.read = {name: Position.start(name) for name in (self.stream, *self.inputs)}
        for name in (self.stream, *(order or self.inputs)):
            for recorded in self.history.facts:
                if recorded.stream == name and recorded.sequence <= until[name]:
                    self.fold(recorded)


def signed(service: Any, member: str, command_id: str, body: Body, now: datetime) -> str:
    nbf = int(now.timestamp())
    command = Command(
        deployment=DEPLOYMENT,
        service=service,
        book=BOOK,
        id=command_id,
        member=member,
        nbf=nbf,
        exp=nbf + WINDOW_S_MAX,
        command=body.command_name,
        body=body,
    )
    return key_of(member).sign("hg-command+jws", write_command(command))


class Joined:
    """Both services, over one history."""

    def __init__(self, make_billing: Callable[[], Deciding] = fresh_billing) -> None:
        self.history = History()
        inputs = (*COMMON, BILLING)
        self.ledger = Side("ledger", LEDGER, inputs, fresh_book, self.history)
        self.billing = Side("billing", BILLING, (*COMMON, LEDGER), make_billing, self.history)
        self.is_billing_down = False

    @property
    def book(self) -> Book:
        assert isinstance(self.ledger.rules, Book)
        return self.ledger.rules

    def run(self, read: Callable[[Recorded[Fact]], Any] = lambda _: None) -> None:
        """Let both read and decide until nothing moves.

        Args:
            read: Is told of each fact of billing just before the ledger has read it.
        """
        while True:
            moved = self._ledger(read)
            if not self.is_billing_down:
                for recorded in (news := self.billing.waiting()):
                    self.billing.fold(recorded)
                moved |= bool(news) | bool(self.billing.due())
            if not moved:
                return

    def _ledger(self, read: Callable[[Recorded[Fact]], Any]) -> bool:
        """The ledger reads all else, then billing's facts, one decision after the other."""
        side = self.ledger
        for recorded in (news := side.waiting(*COMMON)):
            side.fold(recorded)
        moved = bool(news) | bool(side.due())
        for recorded in side.waiting(BILLING):
            read(recorded)
            side.fold(recorded)
            moved = True
            if type(recorded.fact).__name__ != "CreditNoteIssued" or _stands_alone(recorded.fact):
                side.due()
        return moved | bool(side.due())

    def facts(self, *kinds: type[Fact]) -> list[Fact]:
        return [each.fact for each in self.history.facts if isinstance(each.fact, kinds)]

    def named(self, names: Collection[str], after: int = 0) -> list[Recorded[Fact]]:
        """The facts with some names, from a place in the history on."""
        return [each for each in self.history.facts[after:] if type(each.fact).__name__ in names]


def _stands_alone(fact: Fact) -> bool:
    """No invoice follows a credit note that decides a dispute."""
    return getattr(fact, "reason", "") == "dispute"
