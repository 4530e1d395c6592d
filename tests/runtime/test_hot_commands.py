"""The hot path against a real nats-server: many commands at once, batches, and kill -9."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

from libs.events.subjects import family_of
from libs.eventstore import JetStreamStore, StreamSpec, declare
from libs.eventstore.natspy import TappedClient
from libs.runtime.commands import command_subject
from libs.runtime.failures import gravest
from libs.runtime.health import Health
from libs.runtime.hot_commands import serve_commands_plain
from tests.runtime.trades import (
    BOOK,
    MEMBERS,
    OWN,
    PRICES,
    Trades,
    batch,
    decoded,
    desk_on,
    execute,
    history,
    put,
    said,
)
from tests.servers import NatsServer

SUBJECT = command_subject("ledger", BOOK)
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def store(server: NatsServer) -> AsyncIterator[JetStreamStore]:
    """The streams, with members and a time in them."""
    found = await JetStreamStore.connect(server.url, "sample", "secret")
    for name in (OWN, MEMBERS, PRICES):
        family, part = family_of(name)
        await declare(found.client, StreamSpec(name=name, subjects=family.subjects(part)))
    await put(found, history())
    yield found
    await found.close()


@asynccontextmanager
async def serving(
    store: JetStreamStore, health: Health, max_pending: int = 10_000
) -> AsyncIterator[tuple[Trades, "asyncio.Task[None]"]]:
    desk, rules = desk_on(store)
    stop = asyncio.Event()

    async def work() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(desk.writer.run(stop))
            group.create_task(
                serve_commands_plain(
                    store.client,
                    SUBJECT,
                    desk.take,
                    health=health,
                    stop=stop,
                    max_pending=max_pending,
                )
            )

    task = asyncio.ensure_future(work())
    async with asyncio.timeout(30):
        while not health.is_ready() and not task.done():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        try:
            yield rules, task
        finally:
            stop.set()
            await asyncio.gather(task, return_exceptions=True)


class Asker:
    """Sends many commands in one go and keeps the answers by their number."""

    def __init__(self, client: TappedClient) -> None:
        self._client, self._inbox = client, client.new_inbox()
        self.answers: dict[int, dict[str, Any]] = {}
        self._moved = asyncio.Event()

    async def start(self) -> None:
        await self._client.tap(f"{self._inbox}.*", self._on_answer)

    def _on_answer(self, subject: bytes, reply: bytes, data: bytes, head: bytes | None) -> None:
        self.answers[int(subject.rpartition(b".")[2])] = json.loads(data)
        self._moved.set()

    async def send(self, texts: Sequence[str], first: int = 0) -> None:
        parts = [
            f"PUB {SUBJECT} {self._inbox}.{number} {len(text)}\r\n{text}\r\n"
            for number, text in enumerate(texts, first)
        ]
        await self._client.write_at_once("".join(parts).encode())

    async def wait(self, count: int) -> list[dict[str, Any]]:
        async with asyncio.timeout(30):
            while len(self.answers) < count:
                self._moved.clear()
                await self._moved.wait()
        return [self.answers[number] for number in sorted(self.answers)]


@pytest.fixture
async def many(server: NatsServer) -> AsyncIterator[Asker]:
    client = TappedClient()
    await client.connect(server.url, user="sample", password="secret")
    found = Asker(client)
    await found.start()
    yield found
    await client.close()


async def facts_of(store: JetStreamStore) -> list[Any]:
    end = await store.end(OWN)
    if not end:
        return []
    return [decoded(each) async for part in store.read(OWN, until=end) for each in part]


async def test_commands_are_decided_and_answered_in_the_order_of_their_arrival(
    store: JetStreamStore, many: Asker, health: Health
) -> None:
    trades = [f"closed-{n}" if n % 5 == 1 else f"t-{n}" for n in range(1_500)]
    async with serving(store, health) as (rules, _):
        await many.send([execute(trade) for trade in trades])
        answers = await many.wait(len(trades))

    accepted = [trade for trade in trades if trade.startswith("t-")]
    assert rules.executed == accepted
    facts = await facts_of(store)
    assert [each.fact.trade for each in facts] == accepted
    firsts = [answer["first"] for answer in answers if "first" in answer]
    assert firsts == [str(each.position) for each in facts]
    assert health.counters["commands-answered"] == 1_200
    assert health.counters["commands-refused"] == 300


async def test_a_batch_is_answered_over_the_wire(
    store: JetStreamStore, asker: Client, health: Health
) -> None:
    text = batch(*(f"t-{number:060d}" for number in range(500)))
    assert len(text) > 65_536
    async with serving(store, health):
        answer = json.loads((await asker.request(SUBJECT, text.encode(), timeout=10)).data)

    assert said(answer) == ["accepted"] * 500


async def test_too_many_at_once_are_told_to_come_again_and_the_others_are_answered(
    store: JetStreamStore, many: Asker, health: Health
) -> None:
    async with serving(store, health, max_pending=100) as (rules, _):
        await many.send([execute(f"t-{number}") for number in range(1_000)])
        answers = await many.wait(1_000)

    busy = [answer for answer in answers if answer.get("code") == "busy"]
    assert len(busy) == health.counters["commands-busy"] > 0
    assert len(rules.executed) == 1_000 - len(busy) >= 100
    assert rules.executed[:100] == [f"t-{number}" for number in range(100)]


async def test_an_answer_that_nobody_can_take_harms_nobody(
    store: JetStreamStore, many: Asker, asker: Client, health: Health
) -> None:
    replies = ("_INBOX.>", "_INBOX.*", "_INBOX.", "_INBOX..x", "ledger.valley.x.Y")
    parts = [
        f"PUB {SUBJECT} {reply} {len(text)}\r\n{text}\r\n"
        for number, reply in enumerate(replies)
        for text in (execute(f"t-{number}"),)
    ]
    async with serving(store, health) as (_, task):
        await many._client.write_at_once("".join(parts).encode())
        answer = json.loads((await asker.request(SUBJECT, execute("last").encode())).data)
        assert not task.done()

    assert answer["outcome"] == "accepted"
    assert health.counters["commands-ignored"] == 1
    assert await store.end(OWN) == len(replies)


async def test_a_bug_is_answered_first_and_ends_the_service_then(
    store: JetStreamStore, many: Asker, health: Health
) -> None:
    async with serving(store, health) as (_, task):
        await many.send([execute("bug-1"), *(execute(f"t-{number}") for number in range(50))])
        answers = await many.wait(51)
        await asyncio.wait({task})

    assert {answer["code"] for answer in answers} <= {"writer-stopped", "stopping"}
    error = task.exception()
    assert error is not None
    assert isinstance(gravest(error), ZeroDivisionError)
    assert await store.end(OWN) == 0


async def test_answers_are_lost_with_the_connection_and_given_again(
    store: JetStreamStore,
    server: NatsServer,
    many: Asker,
    asker: Client,
    health: Health,
) -> None:
    texts = [execute(f"t-{number}") for number in range(300)]
    async with serving(store, health) as (_, task):
        await many.send(texts)
        await many.wait(1)
        server.kill()
        await asyncio.to_thread(server.start)
        first: dict[str, Any] = {}
        while not first:
            with contextlib.suppress(NoRespondersError, TimeoutError):
                reply = await asker.request(SUBJECT, texts[0].encode(), timeout=1)
                first = json.loads(reply.data)
        assert first == many.answers.get(0, first)
        assert not task.done()
    stored = {each.envelope.id: str(each.position) for each in await facts_of(store)}
    for number, answer in many.answers.items():
        assert stored[f"ines.t-{number}.executed"] == answer["first"]


@asynccontextmanager
async def process(server: NatsServer) -> AsyncIterator["asyncio.subprocess.Process"]:
    command = (sys.executable, "-m", "tests.runtime.hot_service", server.url)
    found = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    try:
        yield found
    finally:
        with contextlib.suppress(ProcessLookupError):
            found.kill()
        await found.wait()


async def answered(asker: Client, text: str) -> dict[str, Any]:
    """Ask until somebody answers."""
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(NoRespondersError, TimeoutError):
                reply = await asker.request(SUBJECT, text.encode(), timeout=5)
                document: dict[str, Any] = json.loads(reply.data)
                return document
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("after", [1, 5, 12])
async def test_a_batch_that_is_cut_by_a_kill_is_stored_as_a_whole_or_not_at_all(
    store: JetStreamStore, server: NatsServer, many: Asker, asker: Client, after: int
) -> None:
    texts = [
        batch(*(f"t-{number}-{part}" for part in range(60)), command_id=f"b{number}")
        for number in range(30)
    ]
    async with process(server) as first:
        assert (await answered(asker, execute("begin")))["outcome"] == "accepted"
        await many.send(texts)
        await many.wait(after)
        first.kill()
        await first.wait()
    counts: dict[str, int] = {}
    for fact in (await facts_of(store))[1:]:
        number = fact.fact.trade.split("-")[1]
        counts[number] = counts.get(number, 0) + 1
    assert set(counts.values()) == {60}
    assert {str(number) for number in many.answers} <= set(counts)

    async with process(server):
        again = [await answered(asker, text) for text in texts]
    assert all(said(answer) == ["accepted"] * 60 for answer in again)
    assert {number: again[number] for number in many.answers} == many.answers
    facts = await facts_of(store)
    assert len(facts) == len({fact.envelope.id for fact in facts}) == 1 + 30 * 60
