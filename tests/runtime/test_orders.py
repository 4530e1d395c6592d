"""Signed commands from the bytes to the answer, on the store in memory.

The rules know deposits only: an approver lets money into a wallet, at most 1,000 at once, and a
large deposit leads to two facts. Every command is really signed.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from typing_extensions import override

from libs.events.books import FundsDeposited, OwnershipTransferred, TitleMove
from libs.events.command import Body
from libs.events.commands import DepositFunds
from libs.events.envelope import Draft, Recorded, decode
from libs.events.fact import Fact
from libs.events.positions import parse_cause
from libs.events.subjects import TIME_KEY, family_of
from libs.events.system_commands import Pay
from libs.eventstore import Frame, MemoryServer, MemoryStore, StreamSpec
from libs.rules.authority import Authority, Order
from libs.runtime.failures import Refused, Transient, from_problem, gravest, is_problem
from libs.runtime.orders import OrderDesk
from libs.runtime.writer import Writer
from tests.histories import DEPLOYMENT, START, History, key_of, signed

BOOK, OWN, MEMBERS, PRICES = "valley", "LEDGER_valley", "MEMBERS", "PRICES"
LARGE = 100

TITLE = OwnershipTransferred(
    payment="p",
    system="sun",
    holding="h",
    agreement="a",
    to_member="ines",
    moves=(TitleMove(member="ivo", shares=1),),
    own_shares=1,
    holding_units=10,
)
"""A fact without a command of its own."""


class Deposits:
    """Wallets that approvers fill."""

    def __init__(self) -> None:
        self.authority = Authority(deployment=DEPLOYMENT, service="ledger", book=BOOK)
        self.wallets: dict[str, int] = {}
        self.echo: list[Draft] = []

    def evolve(self, recorded: Recorded[Fact]) -> None:
        self.authority.evolve(recorded, own=recorded.stream == OWN)
        fact = recorded.fact
        if isinstance(fact, FundsDeposited):
            self.wallets[fact.member] = self.wallets.get(fact.member, 0) + fact.amount_stroops

    def due(self) -> Sequence[Draft]:
        return (self.echo.pop(),) if self.echo else ()

    def decide(self, order: Order) -> Sequence[Draft]:
        order.require("approver")
        body = order.command.body
        if not isinstance(body, DepositFunds):
            return ()
        if body.amount_stroops > 1_000:
            raise Refused("too-much", "at most 1,000", field="body.amount_stroops")
        if body.member == "nobody":
            raise ZeroDivisionError
        fact = FundsDeposited(command=order.text, **body.model_dump())
        key = "no id" if body.member == "odd" else body.member
        drafts = [Draft(key, fact, f"{order.id}.deposit", order.time)]
        if body.amount_stroops >= LARGE:
            drafts.append(Draft(body.member, TITLE, f"{order.id}.title", order.time))
        return drafts


class Client(MemoryStore):
    """A client whose appends are answered only while its gate is open."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server, deadline_s=0.2)
        self.gate, self.stored = asyncio.Event(), asyncio.Event()
        self.gate.set()

    @override
    async def append(self, stream: str, frames: Sequence[Frame], *, expected: int) -> int:
        last = await super().append(stream, frames, expected=expected)
        self.stored.set()
        await self.gate.wait()
        return last


class World:
    """A played server, its inputs, and a desk whose writer runs."""

    def __init__(self, **limits: Any) -> None:
        self.server = MemoryServer()
        self.history = History()
        for name in (OWN, MEMBERS, PRICES):
            family, part = family_of(name)
            more = limits if name == OWN else {}
            self.server.declare(StreamSpec(name=name, subjects=family.subjects(part), **more))

    async def put(self, recorded: Recorded[Fact]) -> None:
        end = len(self.server.stream(recorded.stream).kept)
        frame = Frame(recorded.envelope.subject, recorded.data)
        await MemoryStore(self.server).append(recorded.stream, [frame], expected=end)

    async def prepared(self) -> "World":
        """Anna approves, Ines invests, and it is the start of June."""
        await self.put(self.history.register("anna", "approver"))
        await self.put(self.history.register("ines", "investor"))
        await self.advance(0)
        return self

    async def advance(self, hours: float) -> None:
        for recorded in self.history.advance(START + timedelta(hours=hours)):
            await self.put(recorded)

    @asynccontextmanager
    async def desk(self) -> AsyncIterator["Desk"]:
        """A process with a desk; started anew each time."""
        desk = Desk(self)
        async with asyncio.timeout(20):
            try:
                yield desk
            finally:
                desk.stop.set()
                await asyncio.wait({desk.running})
            if not desk.may_fail:
                desk.running.result()

    def facts(self) -> list[Recorded[Fact]]:
        return [
            decode(
                deployment=DEPLOYMENT,
                stream=OWN,
                sequence=each.sequence,
                subject=each.subject,
                data=each.data,
            )
            for each in self.server.stream(OWN).kept
            if each is not None
        ]


class Desk:
    """One process: rules, writer and desk."""

    def __init__(self, world: World) -> None:
        self.rules = Deposits()
        self.store = Client(world.server)
        self.writer = Writer(
            store=self.store,
            rules=self.rules,
            deployment=DEPLOYMENT,
            stream=OWN,
            inputs=(MEMBERS, PRICES),
        )
        self.desk = OrderDesk(
            writer=self.writer, authority=self.rules.authority, decide=self.rules.decide
        )
        self.stop = asyncio.Event()
        self.running = asyncio.create_task(self.writer.run(self.stop))
        self.may_fail = False

    async def ask(self, text: str | bytes) -> dict[str, Any]:
        data = text if isinstance(text, bytes) else text.encode()
        answer: dict[str, Any] = json.loads(await self.desk.handle(data, {"trace": "x"}))
        return answer

    async def read(self, stream: str, sequence: int) -> None:
        """Wait until the writer has read a stream so far."""
        while self.writer.read[stream].sequence < sequence:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)

    async def error(self) -> BaseException:
        """Wait for what ends the process; an error that nobody waits for fails the test."""
        self.may_fail = True
        await asyncio.wait({self.running})
        found = self.running.exception()
        assert found is not None
        return gravest(found)


def deposit(amount: int = 5, command_id: str = "c1", *, member: str = "ines", **claims: Any) -> str:
    body = DepositFunds(member=member, asset="USD", amount_stroops=amount)
    return command(body, command_id, **claims)


def command(body: Body, command_id: str = "c1", **claims: Any) -> str:
    told = {"member": claims.pop("by", "anna"), "book": claims.pop("book", BOOK)}
    return signed(told["member"], command_id, body, told["book"], **claims)


def code(answer: dict[str, Any]) -> str:
    assert is_problem(answer), answer
    return from_problem(answer).code


async def test_an_accepted_command_is_answered_with_the_places_of_its_facts() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        answer = await desk.ask(deposit())

    (fact,) = world.facts()
    assert answer == {
        "outcome": "accepted",
        "first": str(fact.position),
        "position": str(fact.position),
    }


async def test_the_signed_command_stands_in_the_first_fact_and_is_its_cause() -> None:
    world = await World().prepared()
    text = deposit(LARGE)
    async with world.desk() as desk:
        answer = await desk.ask(text)

    first, second = world.facts()
    assert isinstance(first.fact, FundsDeposited)
    assert first.fact.command == text
    assert parse_cause(first.envelope.cause) == (None, "anna.c1")
    assert parse_cause(second.envelope.cause) == (first.position, "anna.c1.deposit")
    assert (answer["first"], answer["position"]) == (str(first.position), str(second.position))
    assert first.envelope.time == START


async def test_a_cause_that_the_decision_names_is_kept() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        decide = desk.rules.decide

        def with_cause(order: Order) -> Sequence[Draft]:
            (draft,) = decide(order)
            return (Draft(draft.key, draft.fact, draft.id, draft.time, "- because"),)

        named = OrderDesk(writer=desk.writer, authority=desk.rules.authority, decide=with_cause)
        await named.handle(deposit().encode())

    assert world.facts()[0].envelope.cause == "- because"


@pytest.mark.parametrize(
    ("asked", "refused", "field", "status"),
    [
        (deposit(signer="ines"), "wrong-key", "kid", 422),
        (deposit(by="eve"), "unknown-member", "member", 422),
        (deposit(by="ines"), "wrong-role", "member", 422),
        (deposit(book="other"), "wrong-book", "book", 422),
        (deposit(deployment="other"), "wrong-deployment", "deployment", 422),
        (
            deposit(exp=int(START.timestamp()), nbf=int(START.timestamp()) - 9),
            "expired",
            "exp",
            422,
        ),
        (deposit(1_001), "too-much", "body.amount_stroops", 422),
        (deposit(after=f"MEMBERS:2:{'0' * 32}"), "other-history", "after", 422),
        (deposit(after=f"MEMBERS:9:{'0' * 32}"), "not-read-yet", None, 503),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
async def test_a_refusal_names_its_rule_and_stores_nothing(
    asked: str, refused: str, field: str | None, status: int
) -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        answer = await desk.ask(asked)

        assert (code(answer), answer.get("field"), answer["status"]) == (refused, field, status)
        assert (await desk.ask(deposit(command_id="c2")))["outcome"] == "accepted"
    assert len(world.facts()) == 1


async def test_a_wrong_signature_is_refused_before_any_turn() -> None:
    world = await World().prepared()
    right = deposit()
    other = deposit(6)
    swapped = right.rpartition(".")[0] + "." + other.rpartition(".")[2]
    lame = key_of("anna")
    lame.address = "G" + "A" * 55
    async with world.desk() as desk:
        answers = [await desk.ask(swapped), await desk.ask(lame.sign("hg-command+jws", b"{}"))]

    assert [(code(each), each["field"]) for each in answers] == [
        ("bad-signature", "signature"),
        ("bad-signature", "kid"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"a.b.c",
        b"\xff\xfe.\x00.",
        deposit().encode() + b"\n",
        b"x" * 70_000,
        key_of("anna").sign("hg-report+jws", b"{}").encode(),
        key_of("anna").sign("hg-login+jws", b"{}").encode(),
    ],
    ids=["empty", "word", "letters", "bytes", "line feed", "large", "report", "login"],
)
async def test_what_is_no_command_is_poison(data: bytes) -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        answer = await desk.ask(data)

        assert (code(answer), answer["status"]) == ("not-a-command", 400)
        assert not desk.running.done()
    assert world.facts() == []


async def test_a_payload_that_breaks_the_schema_names_its_field() -> None:
    world = await World().prepared()
    payload = json.dumps({"deployment": DEPLOYMENT, "command": "DepositFunds", "service": "ledger"})
    unknown = json.dumps({"deployment": DEPLOYMENT, "command": "Donate"})
    async with world.desk() as desk:
        asked = [key_of("anna").sign("hg-command+jws", p.encode()) for p in (payload, unknown)]
        answers = [await desk.ask(each) for each in asked]

    assert [code(each) for each in answers] == ["command-schema", "command-schema"]
    assert answers[0]["field"] == "book"


async def test_a_repeat_gets_the_same_answer_and_stores_nothing() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        first = await desk.ask(deposit(LARGE))
        await desk.ask(deposit(command_id="c2"))

        assert await desk.ask(deposit(LARGE)) == first
        assert await desk.ask(deposit(LARGE, exp=int(START.timestamp()) + 60)) == first
    assert len(world.facts()) == 3


async def test_a_repeat_after_a_restart_gets_the_same_answer() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        first = await desk.ask(deposit(LARGE))
    await world.advance(1)
    async with world.desk() as desk:
        again = await desk.ask(deposit(LARGE))

        assert again == first
        assert desk.rules.wallets == {"ines": LARGE}
    assert len(world.facts()) == 2


async def test_a_repeat_after_something_followed_from_it_gets_the_same_answer() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        first = await desk.ask(deposit(LARGE))
        cause = f"{first['first']} anna.c1.deposit"
        desk.rules.echo.append(Draft("ines", TITLE, "later.title", START, cause))
        await desk.ask(deposit(command_id="c2"))

        assert [each.envelope.id for each in world.facts()][-1] == "later.title"
        assert await desk.ask(deposit(LARGE)) == first


async def test_the_same_command_twice_in_one_turn_is_decided_once() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        await desk.writer.recovered.wait()
        answers = await asyncio.gather(*(desk.ask(deposit()) for _ in range(5)))

    assert len(world.facts()) == 1
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["outcome"] == "accepted"


async def test_the_same_id_with_another_body_is_refused_even_in_one_turn() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        await desk.writer.recovered.wait()
        answers = await asyncio.gather(desk.ask(deposit(5)), desk.ask(deposit(6)))

    assert sorted(answer.get("code", "accepted") for answer in answers) == ["accepted", "id-reused"]
    assert len(world.facts()) == 1


async def test_a_refused_id_stays_free() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        assert code(await desk.ask(deposit(1_001))) == "too-much"
        assert (await desk.ask(deposit(1_000)))["outcome"] == "accepted"


async def test_a_command_expires_by_the_time_that_was_read() -> None:
    world = await World().prepared()
    text = deposit(exp=int(START.timestamp()) + 60)
    async with world.desk() as desk:
        first = await desk.ask(text)
        await world.advance(1)
        await desk.read(PRICES, 2)
        assert await desk.ask(text) == first
        await world.advance(2)
        await desk.read(PRICES, 3)
        assert code(await desk.ask(text)) == "expired"


async def test_what_would_be_no_fact_is_refused_and_ends_nothing() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        assert code(await desk.ask(deposit(member="odd"))) == "out-of-range"
        assert (await desk.ask(deposit()))["outcome"] == "accepted"
    assert len(world.facts()) == 1


async def test_nobody_names_anything_as_the_clock_is_named() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        assert code(await desk.ask(deposit(member=TIME_KEY))) == "id-reserved"
        assert (await desk.ask(deposit()))["outcome"] == "accepted"


async def test_a_command_waits_for_the_recovery() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        assert not desk.writer.recovered.is_set()
        answer = await desk.ask(deposit())

    assert answer["outcome"] == "accepted"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (deposit(member="nobody"), ZeroDivisionError),
        (command(Pay(agreement="a", amount_stroops=1)), AssertionError),
    ],
    ids=["bug", "no facts"],
)
async def test_a_bug_in_the_decision_ends_the_process(text: str, kind: type[BaseException]) -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        answer = await desk.ask(text)

        assert (code(answer), answer["status"]) == ("writer-stopped", 503)
        assert isinstance(await desk.error(), kind)
        assert code(await desk.ask(deposit(command_id="c2"))) == "stopping"
    assert world.facts() == []


async def test_a_full_store_is_never_answered_with_yes() -> None:
    world = await World(max_msgs=1).prepared()
    async with world.desk() as desk:
        assert (await desk.ask(deposit()))["outcome"] == "accepted"
        answer = await desk.ask(deposit(command_id="c2"))
        assert isinstance(await desk.error(), Transient)

    assert (code(answer), answer["status"]) == ("writer-stopped", 503)
    assert answer["retry_after_s"] >= 1
    assert len(world.facts()) == 1


async def test_a_command_that_was_stored_but_not_answered_is_answered_by_the_successor() -> None:
    world = await World().prepared()
    async with world.desk() as desk:
        await desk.writer.recovered.wait()
        desk.store.gate.clear()
        asking = asyncio.create_task(desk.ask(deposit(LARGE)))
        await desk.store.stored.wait()
        desk.may_fail = True
        desk.running.cancel()  # the process dies between the append and the answer
        assert code(await asking) == "writer-stopped"
    async with world.desk() as desk:
        answer = await desk.ask(deposit(LARGE))

    first, second = world.facts()
    assert (answer["first"], answer["position"]) == (str(first.position), str(second.position))
