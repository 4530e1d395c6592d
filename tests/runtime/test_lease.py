"""Who holds the pen, with writers in this process and a real broker: take, answer, hang, yield."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import cast

import pytest
from nats.aio.client import Client
from typing_extensions import override

from libs.events.positions import Position
from libs.events.subjects import family_of
from libs.eventstore import Frame, JetStreamStore, StreamSpec, declare
from libs.runtime import lease as leases
from libs.runtime import writer as writing
from libs.runtime.continuity import Continuity
from libs.runtime.failures import FencedOff, HeliographError, Transient, gravest
from libs.runtime.health import Health
from libs.runtime.lease import Lease
from libs.runtime.writer import Writer
from tests.histories import DEPLOYMENT
from tests.runtime.test_writer import MEMBERS, OWN, PRICES, STREAMS, Tally, gift
from tests.servers import NatsServer

PATIENCE_S = 60.0
"""Seconds until something that never comes fails a test."""


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five times as fast as in life."""
    monkeypatch.setattr(leases, "PING_EVERY_S", 0.2)
    monkeypatch.setattr(writing, "TURN_HANGS_AFTER_S", 0.5)


class GatedStore(JetStreamStore):
    """A store whose appends can be held up on the way to the broker."""

    gate: asyncio.Event

    @override
    async def append(self, stream: str, frames: Sequence[Frame], *, expected: int) -> int:
        await self.gate.wait()
        return await super().append(stream, frames, expected=expected)


class Process:
    """One writer with its connection, as a process would have."""

    def __init__(self, store: GatedStore, health: Health) -> None:
        self.store, self.rules, self.health = store, Tally(), health
        self.store.gate = asyncio.Event()
        self.store.gate.set()
        self.lease = Lease(store.client, "ledger", OWN, health)
        self.writer = Writer(
            store=store,
            rules=self.rules,
            deployment=DEPLOYMENT,
            stream=OWN,
            inputs=(PRICES, MEMBERS),
            continuity=Continuity(lease=self.lease),
        )
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(self.writer.run(self.stop))

    @property
    def part(self) -> str:
        return str(self.health.status()["parts"][f"lease {OWN}"]["detail"])

    async def holds(self) -> None:
        await _until(self.writer.recovered.is_set, self)

    async def stands_by(self) -> None:
        await _until(self.lease.standing_by.is_set, self)

    async def deposit(self, name: str) -> Position:
        return await self.writer.submit(lambda writer: writer.stage([gift("ines", 1, name)]))

    async def error(self) -> BaseException:
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.wait({self.task})
        error = self.task.exception()
        assert error is not None
        return gravest(error)

    async def leave(self) -> None:
        self.stop.set()
        self.store.gate.set()
        await asyncio.wait({self.task})
        await self.store.close()


async def _until(true: Callable[[], object], process: Process) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            if process.task.done():
                process.task.result()
            await asyncio.sleep(0.01)


@pytest.fixture
async def streams(asker: Client) -> None:
    for name in STREAMS:
        family, part = family_of(name)
        await declare(asker, StreamSpec(name=name, subjects=family.subjects(part)))


@pytest.fixture
async def processes(
    server: NatsServer, streams: None, health: Health
) -> AsyncIterator[Callable[[], "asyncio.Future[Process]"]]:
    """Starts one process after the other."""
    started: list[Process] = []

    async def start() -> Process:
        store = await GatedStore.connect(server.url, "sample", "secret")
        started.append(Process(store, Health("ledger", "1", health._clock)))
        return started[-1]

    yield lambda: asyncio.ensure_future(start())
    for process in started:
        await process.leave()


Start = Callable[[], "asyncio.Future[Process]"]


async def test_the_first_takes_the_pen_and_the_second_stands_by_and_keeps_up(
    processes: Start,
) -> None:
    first = await processes()
    await first.holds()
    second = await processes()
    await second.stands_by()
    for number in range(5):
        await first.deposit(f"a.{number}")

    await _until(lambda: second.rules.wallets["ines"] == 5, second)
    assert (first.part, second.part) == ("holder", "standby")
    assert second.writer.position == first.writer.position
    assert not second.writer.recovered.is_set()
    assert not second.health.status()["parts"].keys() - {f"lease {OWN}"}


async def test_a_standby_takes_over_at_once_when_the_holder_leaves(processes: Start) -> None:
    first = await processes()
    await first.holds()
    second = await processes()
    await second.stands_by()
    position = await first.deposit("a.1")
    first.stop.set()

    await second.holds()
    assert second.part == "holder"
    assert second.writer.position == position
    assert (await second.deposit("a.2")).sequence == 2


async def test_a_standby_that_is_asked_to_stop_ends_without_the_pen(processes: Start) -> None:
    first = await processes()
    await first.holds()
    second = await processes()
    await second.stands_by()
    second.stop.set()
    async with asyncio.timeout(PATIENCE_S):
        await second.task

    assert not second.writer.recovered.is_set()
    assert (await first.deposit("a.1")).sequence == 1


async def test_a_holder_whose_turn_hangs_is_replaced_and_ends_when_it_goes_on(
    processes: Start,
) -> None:
    first = await processes()
    await first.holds()
    second = await processes()
    await second.stands_by()
    await first.deposit("a.1")
    first.store.gate.clear()
    hanging = asyncio.create_task(first.deposit("a.2"))

    await second.holds()
    assert (await second.deposit("b.2")).sequence == 2
    assert isinstance(await first.error(), FencedOff)
    with pytest.raises(Transient, match="ask again"):
        await hanging
    assert second.rules.wallets["ines"] == 2


async def test_of_two_that_hold_the_pen_one_yields_even_if_nothing_is_written(
    processes: Start,
) -> None:
    first = await processes()
    await first.holds()
    await first.lease.release()  # as if it were cut off: nobody hears it
    second = await processes()
    await second.holds()
    first.lease._subscription = await first.store.client.subscribe(
        first.lease._subject, cb=first.lease._answer
    )

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.wait({first.task, second.task}, return_when=asyncio.FIRST_COMPLETED)
    (ended,) = [each for each in (first, second) if each.task.done()]
    assert isinstance(await ended.error(), FencedOff)
    (left,) = [each for each in (first, second) if each is not ended]
    assert (await left.deposit("a.1")).sequence == 1


async def test_of_two_writers_on_one_stream_never_both_succeed(
    processes: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Lease, "_ping", _nobody)
    monkeypatch.setattr(Lease, "guard", lambda _: asyncio.sleep(PATIENCE_S))
    for stored in range(1, 11):
        both = [await processes(), await processes()]
        await asyncio.gather(*(process.holds() for process in both))
        names = [f"r{stored}.{number}" for number in range(2)]
        outcomes = await asyncio.gather(
            *(process.deposit(name) for process, name in zip(both, names, strict=True)),
            return_exceptions=True,
        )
        (yes,) = [each for each in outcomes if isinstance(each, Position)]
        (no,) = [each for each in outcomes if isinstance(each, HeliographError)]
        assert (yes.sequence, no.code) == (stored, "writer-stopped")
        loser = both[outcomes.index(no)]
        assert isinstance(await loser.error(), FencedOff)
        for process in both:
            await process.leave()


async def _nobody(self: Lease) -> leases._Heard:
    return leases._Heard.ABSENT


async def test_a_ping_is_answered_to_an_inbox_only(processes: Start, asker: Client) -> None:
    first = await processes()
    await first.holds()
    heard: list[str] = []

    async def hear(message: object) -> None:
        heard.append(str(message))

    await asker.subscribe("ledger.valley.evil", cb=hear)
    await asker.flush()
    await asker.publish(f"lease.ledger.{OWN}", b"me", reply="ledger.valley.evil")
    answer = await asker.request(f"lease.ledger.{OWN}", b"me", timeout=5)

    assert b'"stored": 0' in answer.data
    assert heard == []


class Answering:
    """A connection whose answer to a ping comes when the test says so."""

    is_connected = True

    def __init__(self) -> None:
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def request(self, *_: object, **__: object) -> None:
        await asyncio.wait_for(self.answer, 60)  # as nats-py does


async def test_a_standby_ends_even_if_an_answer_comes_together_with_the_end(
    health: Health,
) -> None:
    client = Answering()
    lease = Lease(cast("Client", client), "ledger", OWN, health)
    taking = asyncio.create_task(lease.take(asyncio.Event(), lambda: 0, lambda: asyncio.sleep(0)))
    await asyncio.sleep(0)
    client.answer.set_result(None)
    taking.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(PATIENCE_S):
            await taking
