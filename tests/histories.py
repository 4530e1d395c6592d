"""Given / when / then for rules: facts that are recorded as a writer would record them.

Every fact goes through `encode` and `decode`, so a test cannot pass on a fact that could not be
stored, and every command is really signed.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from libs.events.command import WINDOW_S_MAX, Body, Command, write_command
from libs.events.envelope import Draft, Recorded, decode, encode
from libs.events.fact import Fact
from libs.events.jws import SigningKey, parse, verify_signature
from libs.events.membership import MemberRegistered
from libs.events.positions import Position, write_cause, write_seen
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.rules.accepted import Accepted
from libs.rules.authority import Authority, Order

DEPLOYMENT = "test"
START = datetime(2026, 6, 1, tzinfo=UTC)


def key_of(member: str) -> SigningKey:
    return SigningKey(member.encode().ljust(32, b"."))


def signed(
    member: str, command_id: str, body: Body, book: str, now: datetime = START, **claims: Any
) -> str:
    nbf = int(now.timestamp())
    command = Command(
        deployment=claims.get("deployment", DEPLOYMENT),
        service=claims.get("service", body.service),
        book=book,
        id=command_id,
        member=member,
        nbf=claims.get("nbf", nbf),
        exp=claims.get("exp", nbf + WINDOW_S_MAX),
        after=claims.get("after"),
        command=body.command_name,
        body=body,
    )
    return key_of(claims.get("signer", member)).sign("hg-command+jws", write_command(command))


ANY_COMMAND = "a.b.c"
"""Stands for a signed command where nobody looks at it."""


INPUTS = {
    "READINGS": {"METERS", "PRICES", "MEMBERS"},
    "LEDGER": {"READINGS", "METERS", "PRICES", "MEMBERS", "BILLING"},
    "BILLING": {"READINGS", "METERS", "PRICES", "MEMBERS", "LEDGER"},
}
"""What each writer follows, as the services are wired."""


class Rules(Protocol):
    """The part of a service that is tested."""

    authority: Authority

    def evolve(self, recorded: Recorded[Fact]) -> None: ...
    def due(self) -> Sequence[Draft]: ...
    def decide(self, order: Order) -> Sequence[Draft]: ...


class History:
    """Streams in memory: numbers, positions and ids are made as the writer makes them."""

    def __init__(self) -> None:
        self.facts: list[Recorded[Fact]] = []
        self.ends: dict[str, int] = defaultdict(int)
        self._numbers: dict[tuple[str, str], int] = defaultdict(int)

    def record(
        self,
        stream: str,
        key: str,
        fact: Fact,
        *,
        time: datetime = START,
        fact_id: str | None = None,
        cause: str = "- test",
        seen: str = "",
    ) -> Recorded[Fact]:
        self.ends[stream] += 1
        self._numbers[stream, key] += 1
        draft = Draft(key, fact, fact_id or f"{stream}.{self.ends[stream]}", time)
        subject, data = encode(
            draft,
            deployment=DEPLOYMENT,
            stream=stream,
            n=self._numbers[stream, key],
            cause=cause,
            seen=seen,
        )
        recorded = decode(
            deployment=DEPLOYMENT,
            stream=stream,
            sequence=self.ends[stream],
            subject=subject,
            data=data,
        )
        self.facts.append(recorded)
        return recorded

    def advance(self, to: datetime, *reached: str, cadence_s: int = 86_400) -> list[Recorded[Fact]]:
        """The oracle advances time, and these streams reach it."""
        made = [self.record("PRICES", "time", TimeAdvanced(to=to, cadence_s=cadence_s), time=to)]
        return made + [self.reach(name, to) for name in reached]

    def reach(self, stream: str, to: datetime) -> Recorded[Fact]:
        """A writer reaches a time, having seen all that stands in its inputs."""
        name = stream.partition("_")[0]
        last = {each.stream: each.position for each in self.facts if each.stream != stream}
        seen = [at for at in last.values() if at.stream.partition("_")[0] in INPUTS[name]]
        return self.record(stream, "time", TimeReached(to=to), time=to, seen=write_seen(seen))

    def register(self, member: str, *roles: str) -> Recorded[Fact]:
        fact = MemberRegistered.model_validate(
            {
                "member": member,
                "address": key_of(member).address,
                "roles": roles,
                "command": ANY_COMMAND_SIGNED,
            }
        )
        return self.record("MEMBERS", member, fact)


class Stage:
    """A rules object on the stage: given facts, when a command, then facts."""

    def __init__(self, rules: Rules, own: str, book: str, history: History | None = None) -> None:
        self.rules, self.own, self.book = rules, own, book
        self.history = history or History()
        self.now = START

    def given(self, *facts: Recorded[Fact]) -> "Stage":
        for fact in facts:
            self.rules.evolve(fact)
        return self

    def advance(self, days: float, *reached: str) -> None:
        self.now = START + timedelta(days=days)
        self.given(*self.history.advance(self.now, *reached))
        self.follow_up()

    def read(self) -> Mapping[str, Position]:
        last = {each.stream: each.position for each in self.history.facts}
        last.setdefault(self.own, Position.start(self.own))
        return last

    def judge(self, text: str) -> tuple[Order | None, Accepted | None]:
        message = parse(text, "hg-command+jws")
        verify_signature(message)
        return self.rules.authority.judge(message, text, self.read())

    def when(self, member: str, command_id: str, body: Body, **claims: Any) -> list[Fact]:
        """A member commands; the facts that follow are recorded and returned."""
        order, known = self.judge(signed(member, command_id, body, self.book, self.now, **claims))
        if known is not None:
            return []
        assert order is not None
        return self._record(self.rules.decide(order), f"- {order.id}")

    def follow_up(self) -> list[Fact]:
        """Whatever is due, until nothing is."""
        facts: list[Fact] = []
        for _ in range(1_000):
            drafts = self.rules.due()
            if not drafts:
                return facts
            facts += self._record(drafts, "- due")
        raise AssertionError("due never ends")

    def _record(self, drafts: Sequence[Draft], cause: str) -> list[Fact]:
        facts: list[Fact] = []
        keeping = [i for i, each in enumerate(drafts) if getattr(each.fact, "command", None)]
        found = cause
        for index, draft in enumerate(drafts):
            is_head = index == 0 or draft.cause is not None or index in keeping
            if is_head:
                found = draft.cause or cause
            recorded = self.history.record(
                self.own,
                draft.key,
                draft.fact,
                time=draft.time,
                fact_id=draft.id,
                cause=found,
            )
            if is_head:
                found = write_cause(recorded.position, draft.id)
            self.rules.evolve(recorded)
            facts.append(recorded.fact)
        return facts


def _registration() -> str:
    from libs.events.commands import RegisterMember  # noqa: PLC0415 - once, for a sample

    body = RegisterMember(member="x", address=key_of("x").address, roles=("recipient",))
    return signed("approver", "sample", body, "register")


ANY_COMMAND_SIGNED = _registration()
"""A command with a right form; for facts whose command nobody looks at."""
