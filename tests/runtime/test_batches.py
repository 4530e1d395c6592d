"""Signed batches from the bytes to the answer, on the store in memory."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from math import inf
from typing import Any

import pytest
from pydantic import ValidationError
from typing_extensions import override

from libs.events.batch import BATCH_MAX, Batch, BatchItem, item_command
from libs.events.command import read_command
from libs.events.envelope import Draft
from libs.events.errors import InvalidSignature
from libs.events.jws import parse
from libs.events.positions import parse_cause
from libs.events.subjects import family_of
from libs.events.trade_commands import TransferFunds
from libs.events.trading import TradeExpired
from libs.eventstore import Frame, MemoryServer, MemoryStore, StreamSpec
from libs.runtime.failures import BrokenLaw, from_problem, gravest, is_problem
from libs.runtime.hot_commands import Request
from tests.histories import START, key_of
from tests.runtime.trades import (
    MEMBERS,
    OWN,
    PRICES,
    batch,
    batch_of,
    decoded,
    desk_on,
    execute,
    history,
    item,
    put,
    read,
    said,
)

NBF = int(START.timestamp())


class Store(MemoryStore):
    """A client that knows how large its appends were, and waits while its gate is shut."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server, deadline_s=0.2)
        self.sizes: list[int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.busy = 0

    @override
    async def append(self, stream: str, frames: Sequence[Frame], *, expected: int) -> int:
        self.busy += 1
        assert self.busy == 1, "one append is under way at a time"
        try:
            await self.gate.wait()
            last = await super().append(stream, frames, expected=expected)
        finally:
            self.busy -= 1
        self.sizes.append(len(frames))
        return last


class Process:
    """A desk whose writer runs."""

    def __init__(self, server: MemoryServer) -> None:
        self.store = Store(server)
        self.desk, self.rules = desk_on(self.store)
        self.stop = asyncio.Event()
        self.running = asyncio.create_task(self.desk.writer.run(self.stop))

    async def ask(self, text: str) -> dict[str, Any]:
        return read(await self.desk.handle(text.encode()))

    async def facts(self) -> list[Any]:
        end = await self.store.end(OWN)
        if not end:
            return []
        found = self.store.read(OWN, until=end)
        return [decoded(each) async for part in found for each in part]


@pytest.fixture
async def server() -> MemoryServer:
    made = MemoryServer()
    for name in (OWN, MEMBERS, PRICES):
        family, part = family_of(name)
        made.declare(StreamSpec(name=name, subjects=family.subjects(part)))
    await put(MemoryStore(made), history())
    return made


@asynccontextmanager
async def running(server: MemoryServer, *, may_fail: bool = False) -> AsyncIterator[Process]:
    process = Process(server)
    async with asyncio.timeout(20):
        try:
            yield process
        finally:
            process.stop.set()
            await asyncio.wait({process.running})
    if not may_fail:
        process.running.result()


async def test_the_commands_of_a_batch_are_answered_in_their_order(server: MemoryServer) -> None:
    async with running(server) as process:
        document = await process.ask(batch("t-1", "closed-1", "three-1"))
        facts = await process.facts()

    first, *three = facts
    assert document["answers"][0] == {
        "id": "t-1",
        "outcome": "accepted",
        "first": str(first.position),
        "position": str(first.position),
    }
    refused = document["answers"][1]
    assert (refused["id"], refused["code"], refused["status"]) == ("closed-1", "trade-closed", 409)
    assert is_problem(refused)
    assert document["answers"][2]["first"] == str(three[0].position)
    assert document["answers"][2]["position"] == str(three[-1].position)
    assert process.store.sizes == [4]


async def test_the_text_stands_once_and_the_other_facts_name_it(server: MemoryServer) -> None:
    text = batch("t-1", "three-1", "t-2")
    async with running(server) as process:
        await process.ask(text)
        facts = await process.facts()

    first, other, *_, last = facts
    assert [getattr(each.fact, "command", None) for each in facts] == [text, *[None] * 4]
    assert parse_cause(first.envelope.cause) == (None, "ines.t-1")
    assert parse_cause(other.envelope.cause) == (first.position, "ines.t-1")
    assert parse_cause(last.envelope.cause) == (first.position, "ines.t-1")
    assert parse_cause(facts[2].envelope.cause) == (other.position, "ines.three-1.executed")
    assert [each.envelope.id for each in facts][:2] == [
        "ines.t-1.executed",
        "ines.three-1.executed",
    ]


async def test_the_first_accepted_command_keeps_the_text(server: MemoryServer) -> None:
    text = batch("closed-1", "t-1", "t-2")
    async with running(server) as process:
        assert said(await process.ask(text)) == ["trade-closed", "accepted", "accepted"]
        facts = await process.facts()

    assert [each.fact.command for each in facts] == [text, None]


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_repeat_of_any_command_gets_its_first_answer(
    server: MemoryServer, is_restarted: bool
) -> None:
    text = batch("t-1", "closed-1", "three-1")
    async with running(server) as process:
        document = await process.ask(text)
        facts = await process.facts()
    first, _, third = document["answers"]
    async with running(server) as process:
        if not is_restarted:
            await process.ask(batch("t-1"))
        assert await process.ask(text) == document
        assert await process.ask(batch("three-1", "t-1", command_id="b2")) == {
            "outcome": "batch",
            "answers": [third, first],
        }
        alone = await process.ask(execute("three-1"))
        assert {"id": "three-1", **alone} == third
        assert await process.facts() == facts
        assert process.rules.executed == ["t-1", "three-1"]


async def test_a_command_that_stood_alone_is_known_in_a_batch(server: MemoryServer) -> None:
    async with running(server) as process:
        alone = await process.ask(execute("t-1"))
        document = await process.ask(batch("t-1", "t-2"))

    assert document["answers"][0] == {"id": "t-1", **alone}
    assert process.rules.executed == ["t-1", "t-2"]


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_another_body_under_a_used_id_is_refused(
    server: MemoryServer, is_restarted: bool
) -> None:
    async with running(server) as process:
        await process.ask(batch("t-1", "t-2"))
        if not is_restarted:
            other = batch_of(item("t-9", "t-2"), item("t-3"))
            assert said(await process.ask(other)) == ["id-reused", "accepted"]
    if is_restarted:
        async with running(server) as process:
            other = batch_of(item("t-9", "t-2"), item("t-3"))
            assert said(await process.ask(other)) == ["id-reused", "accepted"]


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_the_id_of_a_refused_command_stays_free(
    server: MemoryServer, is_restarted: bool
) -> None:
    async with running(server) as process:
        assert said(await process.ask(batch_of(item("t-1"), item("closed-1", "free")))) == [
            "accepted",
            "trade-closed",
        ]
        if not is_restarted:
            assert (await process.ask(execute("t-2", "free")))["outcome"] == "accepted"
    if is_restarted:
        async with running(server) as process:
            assert said(await process.ask(batch_of(item("t-2", "free")))) == ["accepted"]


async def test_an_id_that_stands_twice_is_refused_the_second_time(server: MemoryServer) -> None:
    text = batch_of(item("t-1"), item("t-1"), item("closed-1", "c"), item("t-2", "c"))
    async with running(server) as process:
        document = await process.ask(text)

        assert said(document) == ["accepted", "duplicate-id", "trade-closed", "duplicate-id"]
        assert await process.ask(text) == document
        assert process.rules.executed == ["t-1"]


@pytest.mark.parametrize(
    ("wrong", "code", "field"),
    [
        (BatchItem(id="x", command="Pay", body={}), "not-batchable", "command"),
        (BatchItem(id="x", command="Batch", body={"commands": []}), "not-batchable", "command"),
        (BatchItem(id="x", command="Nonsense", body={}), "not-batchable", "command"),
        (BatchItem(id="x", command="ExecuteTrade", body={}), "command-schema", "body.tradeId"),
        (
            BatchItem(id="x", command="ExecuteTrade", body={"tradeId": "a.b"}),
            "command-schema",
            "body.tradeId",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_command_that_cannot_be_read_is_refused_by_itself(
    server: MemoryServer, wrong: BatchItem, code: str, field: str
) -> None:
    async with running(server) as process:
        document = await process.ask(batch_of(item("t-1"), wrong, item("t-2")))

    assert said(document) == ["accepted", code, "accepted"]
    assert document["answers"][1]["field"] == field


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (batch("t-1", signer="ivo"), "wrong-key"),
        (batch("t-1", member="eve"), "unknown-member"),
        (batch("t-1", deployment="other"), "wrong-deployment"),
        (batch("t-1", after=f"MEMBERS:9:{'0' * 32}"), "not-read-yet"),
    ],
    ids=lambda value: value if len(value) < 30 else "",
)
async def test_what_is_wrong_around_it_refuses_the_whole_batch(
    server: MemoryServer, text: str, code: str
) -> None:
    async with running(server) as process:
        assert from_problem(await process.ask(text)).code == code
        assert await process.facts() == []


async def test_a_turn_reads_so_many_bytes_and_leaves_the_rest_to_the_next(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [execute(f"t-{number}") for number in range(5)]
    monkeypatch.setattr("libs.runtime.orders.TURN_BYTES", 2 * len(texts[0]))
    async with running(server) as process:
        answers = await asyncio.gather(*map(process.ask, texts))

    assert [each["outcome"] for each in answers] == ["accepted"] * 5
    assert max(process.store.sizes) <= 2


def test_a_list_with_many_faults_is_left_at_the_first() -> None:
    legs: list[dict[str, object]] = [{}] * 1_000
    with pytest.raises(ValidationError) as caught:
        TransferFunds.model_validate_json(json.dumps({"transfer": "t", "legs": legs}))
    assert caught.value.error_count() < 10, "those of one leg"
    with pytest.raises(ValidationError) as caught:
        Batch.model_validate_json(json.dumps({"commands": legs}))
    assert caught.value.error_count() < 10, "those of one command"


def test_a_number_that_no_float_holds_is_not_as_if_it_were_left_out() -> None:
    right = read_command(parse(batch("t-1"), "hg-command+jws"))
    odd = BatchItem(id="x", command="PostTransfer", body={"transfer": "t", "amount_stroops": inf})

    with pytest.raises(InvalidSignature, match=r"body\.amount_stroops"):
        item_command(right, odd)


async def test_the_window_is_judged_for_each_command(server: MemoryServer) -> None:
    async with running(server) as process:
        first = await process.ask(batch("t-1"))
        late = await process.ask(batch("t-1", "t-2", nbf=NBF - 60, exp=NBF))

    assert said(late) == ["accepted", "expired"]
    assert late["answers"][0] == first["answers"][0]


def oversized(count: int) -> str:
    items = [
        {"id": f"t-{n}", "command": "ExecuteTrade", "body": {"tradeId": "t"}} for n in range(count)
    ]
    body = str({"commands": items}).replace("'", '"')
    right = batch("t-1")
    payload = read(_payload(right)) | {"body": read(body.encode())}
    text = str(payload).replace("'", '"')
    return key_of("ines").sign("hg-command+jws", text.encode())


def _payload(text: str) -> bytes:
    return parse(text, "hg-command+jws").payload


async def test_a_batch_has_at_most_500_commands(server: MemoryServer) -> None:
    async with running(server) as process:
        answer = await process.ask(oversized(BATCH_MAX + 1))
        assert (answer["code"], answer["field"]) == ("command-schema", "body.commands")
        none = await process.ask(oversized(0))
        assert (none["code"], none["field"]) == ("command-schema", "body.commands")


async def test_five_hundred_commands_are_one_append(server: MemoryServer) -> None:
    trades = [f"t-{number:064d}"[-64:] for number in range(BATCH_MAX)]
    async with running(server) as process:
        document = await process.ask(batch(*trades))

    assert said(document) == ["accepted"] * BATCH_MAX
    assert process.store.sizes == [BATCH_MAX]
    async with running(server) as process:
        assert await process.ask(batch(*trades)) == document


async def test_what_finds_no_room_in_the_append_is_told_to_come_again(server: MemoryServer) -> None:
    trades = [f"hundred-{number}" for number in range(11)]
    text = batch(*trades, "t-1")
    async with running(server) as process:
        document = await process.ask(text)
        assert said(document) == ["accepted"] * 10 + ["append-full"] * 2
        assert document["answers"][-1]["status"] == 503
        assert process.store.sizes == [1_000]

        again = await process.ask(text)
        assert said(again) == ["accepted"] * 12
        assert again["answers"][:10] == document["answers"][:10]
        assert process.store.sizes == [1_000, 101]


@pytest.mark.parametrize(("trade", "kind"), [("bug-1", ZeroDivisionError), ("law-1", BrokenLaw)])
async def test_a_bug_in_the_middle_stores_nothing_of_the_turn(
    server: MemoryServer, trade: str, kind: type[BaseException]
) -> None:
    async with running(server, may_fail=True) as process:
        await process.desk.writer.recovered.wait()
        asked = [execute("t-1"), batch("t-2", trade, "t-3"), execute("t-4")]
        answers = await take(process, asked)
        await asyncio.wait({process.running})

    codes = [answer["code"].partition(":")[0] for answer in answers]
    assert codes == ["writer-stopped", "writer-stopped", "stopping"]
    error = process.running.exception()
    assert error is not None
    assert isinstance(gravest(error), kind)
    assert await process.facts() == []


async def take(process: Process, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Hand commands over in one go, and wait for all answers, in the order in which they come."""
    answers: list[tuple[bytes, dict[str, Any]]] = []
    done = asyncio.Event()

    def deliver(given: Sequence[tuple[Request, bytes | Exception]]) -> None:
        for request, answer in given:
            found = read(answer) if isinstance(answer, bytes) else {"code": str(answer)}
            answers.append((request.data, found))
        if len(answers) == len(texts):
            done.set()

    await process.desk.take([Request(text.encode()) for text in texts], deliver)
    await done.wait()
    assert [data for data, _ in answers] == [text.encode() for text in texts]
    return [answer for _, answer in answers]


async def test_what_came_together_is_decided_in_its_order(server: MemoryServer) -> None:
    trades = [f"closed-{n}" if n % 7 == 3 else f"t-{n}" for n in range(700)]
    async with running(server) as process:
        answers = await take(process, [execute(trade) for trade in trades])

    assert process.rules.executed == [trade for trade in trades if trade.startswith("t-")]
    codes = [(answer.get("code") or answer["outcome"]).partition(":")[0] for answer in answers]
    wanted = ["trade-closed" if trade.startswith("closed") else "accepted" for trade in trades]
    assert codes == wanted
    assert sum(process.store.sizes) == 600


async def test_a_large_batch_waits_for_an_append_of_its_own(server: MemoryServer) -> None:
    large = batch(*(f"t-{number}" for number in range(BATCH_MAX)))
    async with running(server) as process:
        answers = await take(process, [execute("before"), large, execute("after")])

    assert process.store.sizes == [1, 500, 1]
    assert process.rules.executed[0] == "before"
    assert process.rules.executed[-1] == "after"
    assert said(answers[1]) == ["accepted"] * BATCH_MAX


async def test_a_full_append_is_followed_by_one_for_what_is_due(server: MemoryServer) -> None:
    full = [batch(*(f"hundred-{m}-{n}" for n in range(10)), command_id=f"b{m}") for m in range(2)]
    fact = TradeExpired(trade="late", seller="solar", buyer="ines", energy_wh=1)
    async with running(server) as process:
        await process.desk.writer.recovered.wait()
        process.rules.due_now = [Draft("solar", fact, "late.expired", START, "- clock")]
        await asyncio.gather(*(process.ask(text) for text in full))

    assert process.store.sizes == [1_000, 1, 1_000]


async def test_the_next_turn_is_decided_while_one_is_appended(server: MemoryServer) -> None:
    texts = [execute(f"t-{number}") for number in range(1_200)]
    async with running(server) as process:
        await process.desk.writer.recovered.wait()
        process.store.gate.clear()
        taking = asyncio.create_task(take(process, texts))
        while len(process.rules.executed) < 1_000:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        assert process.store.sizes == []
        assert not taking.done()
        process.store.gate.set()
        answers = await taking

    assert process.store.sizes == [500, 500, 200]
    assert {answer["outcome"] for answer in answers} == {"accepted"}


async def test_what_was_decided_on_an_append_that_failed_is_never_answered_with_yes(
    server: MemoryServer,
) -> None:
    texts = [execute(f"t-{number}") for number in range(1_200)]
    async with running(server, may_fail=True) as process:
        await process.desk.writer.recovered.wait()
        process.store.gate.clear()
        taking = asyncio.create_task(take(process, texts))
        while len(process.rules.executed) < 1_000:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        await MemoryStore(server).append(
            OWN, [Frame("ledger.valley.solar.TradeExpired", b"other")], expected=0
        )
        process.store.gate.set()
        answers = await taking

    assert {answer["code"].partition(":")[0] for answer in answers} <= {
        "writer-stopped",
        "stopping",
    }
    error = process.running.exception()
    assert error is not None
    assert "fenced" in str(gravest(error))
