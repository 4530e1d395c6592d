"""The reader on a real server: through restarts, silence and lost consumers, never doubling or
skipping."""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest

from libs.eventstore import (
    Frame,
    JetStreamStore,
    Rewound,
    Stored,
    StoreUnavailable,
    StreamSpec,
    declare,
)
from libs.eventstore import session as session_module
from tests.eventstore.worlds import FAST, JetStreamWorld, copy_store
from tests.faults import Act, FaultProxy, Side
from tests.servers import NatsServer

S = "LEDGER_1"
SPEC = StreamSpec(name=S, subjects=("ledger.1.>",), deny_delete=False, deny_purge=False)


def frames(first: int, count: int, size: int = 0) -> list[Frame]:
    return [
        Frame("ledger.1.a.Minted", f"{n}:".encode().ljust(size, b"."))
        for n in range(first, first + count)
    ]


async def fill(store: JetStreamStore, count: int, size: int = 0) -> int:
    end = await store.end(S)
    for first in range(end + 1, end + count + 1, 1000):
        some = min(1000, end + count + 1 - first)
        await store.append(S, frames(first, some, size), expected=first - 1)
    return end + count


async def until_true(true: Callable[[], bool], within_s: float = 5.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


class Tail:
    """Reads in the background and checks that nothing is doubled or skipped."""

    def __init__(self, batches: AsyncGenerator[list[Stored], None], after: int = 0) -> None:
        self.position = after
        self._batches = batches
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        async with contextlib.aclosing(self._batches) as batches:
            async for batch in batches:
                for item in batch:
                    assert item.sequence == self.position + 1
                    assert int(item.data.split(b":")[0]) == item.sequence
                    self.position = item.sequence

    async def reach(self, position: int, within_s: float = 5.0) -> None:
        await until_true(lambda: self.task.done() or self.position >= position, within_s)
        assert self.position == position

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def world(own_server: NatsServer) -> AsyncIterator[JetStreamWorld]:
    async with FaultProxy(own_server.port) as proxy:
        made = JetStreamWorld(own_server, proxy)
        await made.declare(SPEC)
        yield made
        await made.close()


async def consumers(world: JetStreamWorld) -> list[dict[str, Any]]:
    return (await world.api(f"CONSUMER.LIST.{S}"))["consumers"] or []


async def test_a_reader_goes_on_through_restarts(world: JetStreamWorld) -> None:
    writer = await world.connect(world.server.url)
    reader = await world.connect(world.server.url)
    tail = Tail(reader.read(S))
    for _ in range(3):
        end = await fill(writer, 2500)
        world.server.kill()
        world.server.start()
        await tail.reach(end)
    end = await fill(writer, 10)
    await tail.reach(end)
    await tail.end()


async def test_a_restart_in_the_middle_of_a_long_read(world: JetStreamWorld) -> None:
    store = await world.connect(world.server.url)
    end = await fill(store, 30_000, 100)
    seen = 0
    async for batch in store.read(S, until=end):
        for item in batch:
            assert item.sequence == seen + 1
            seen = item.sequence
        if seen in (5000, 15_000) or 9000 < seen < 10_000:
            world.server.kill()
            world.server.start()
    assert seen == end


@pytest.mark.parametrize("cuts", [10])
async def test_cut_connections_neither_double_nor_skip(world: JetStreamWorld, cuts: int) -> None:
    writer = await world.connect(world.server.url)
    reader = await world.connect(world.proxy.url)
    tail = Tail(reader.read(S))
    end = 0
    for number in range(cuts):
        # Cut in the middle of what is delivered.
        world.proxy.rule(Side.TO_CLIENT, f"{end + 400}:".encode(), Act.CUT_BEFORE)
        end = await fill(writer, 600 + number)
    await tail.reach(end, 10)
    await tail.end()


async def test_a_silent_connection_is_noticed(world: JetStreamWorld) -> None:
    writer = await world.connect(world.server.url)
    reader = await world.connect(world.proxy.url)
    tail = Tail(reader.read(S))
    await tail.reach(await fill(writer, 10))
    # From now on nothing comes back, and nobody says that the connection is dead.
    world.proxy.hold(Side.TO_CLIENT)
    end = await fill(writer, 10)
    await tail.reach(end, 8)
    await tail.end()


async def test_a_silent_connection_does_not_stop_a_writer(world: JetStreamWorld) -> None:
    store = await world.connect(world.proxy.url)
    await fill(store, 10)
    world.proxy.hold(Side.TO_CLIENT)
    assert await store.append(S, frames(11, 3), expected=10) == 13
    world.proxy.hold(Side.TO_SERVER)
    assert await store.append(S, frames(14, 3), expected=13) == 16
    await world.proxy.release()
    tail = Tail(store.read(S))
    await tail.reach(16)
    await tail.end()


async def test_a_late_answer_is_not_taken_for_another(world: JetStreamWorld) -> None:
    store = await world.connect(world.proxy.url)
    await fill(store, 3)
    world.proxy.rule(Side.TO_SERVER, b"HPUB ", Act.HOLD_BACK)
    late = asyncio.ensure_future(store.append(S, frames(4, 2), expected=3))
    await asyncio.sleep(0.45)
    await world.proxy.release()
    assert await late == 5
    assert await store.append(S, frames(6, 1), expected=5) == 6


async def test_a_deleted_consumer_is_replaced(world: JetStreamWorld) -> None:
    store = await world.connect(world.server.url)
    tail = Tail(store.read(S))
    await tail.reach(await fill(store, 10))
    for _ in range(3):
        for consumer in await consumers(world):
            await world.api(f"CONSUMER.DELETE.{S}.{consumer['name']}")
        await tail.reach(await fill(store, 10))
    await tail.end()


async def test_consumers_are_removed_when_reading_ends(world: JetStreamWorld) -> None:
    store = await world.connect(world.server.url)
    end = await fill(store, 5000)

    async def none_left() -> None:
        async with asyncio.timeout(2):
            while await consumers(world):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
        assert not store._link.client._taps
        assert not store._link.listeners

    assert len([item async for batch in store.read(S, until=end) for item in batch]) == end
    await none_left()
    async with contextlib.aclosing(store.read(S)) as batches:
        async for _ in batches:
            assert len(await consumers(world)) == 1
            break
    await none_left()
    async for _ in store.read(S, until=end):
        break
    await none_left()
    tail = Tail(store.read(S))
    await tail.reach(end)
    await tail.end()
    await none_left()
    assert [item async for batch in store.last_each(S, "ledger.>") for item in batch]
    await none_left()


async def test_a_slow_caller_holds_no_more_than_three_requests(world: JetStreamWorld) -> None:
    store = await world.connect(world.server.url)
    await fill(store, 12_000)
    async with contextlib.aclosing(store.read(S)) as batches:
        got = len(await anext(batches))
        for _ in range(3):
            await asyncio.sleep(0.2)
            delivered = (await consumers(world))[0]["delivered"]["stream_seq"]
            limit = session_module.PULL_COUNT * session_module.PULLS_MAX
            assert delivered <= got + limit
            got += len(await anext(batches))


async def test_large_facts_are_asked_for_by_bytes(world: JetStreamWorld) -> None:
    store = await world.connect(world.server.url)
    end = 0
    for _ in range(4):
        end = await store.append(S, frames(end + 1, 40, 256 * 1024), expected=end)
    async with contextlib.aclosing(store.read(S)) as batches:
        got = len(await anext(batches))
        await asyncio.sleep(0.5)
        delivered = (await consumers(world))[0]["delivered"]["stream_seq"]
        limit = session_module.PULL_BYTES_MAX * session_module.PULLS_MAX // (256 * 1024)
        assert delivered <= got + limit + session_module.PULLS_MAX
        while got < end:
            got += len(await anext(batches))


async def test_a_reader_that_slept_longer_than_its_consumer_goes_on(
    world: JetStreamWorld,
) -> None:
    store = await world.connect(world.server.url)
    end = await fill(store, 9000)
    position = 0
    async for batch in store.read(S, until=end):
        for item in batch:
            assert item.sequence == position + 1
            position = item.sequence
        for consumer in await consumers(world):
            await world.api(f"CONSUMER.DELETE.{S}.{consumer['name']}")
    assert position == end


async def test_an_older_store_after_a_restart_is_an_error(
    world: JetStreamWorld, own_server: NatsServer
) -> None:
    store = await world.connect(own_server.url)
    await fill(store, 10)
    own_server.stop()
    older = own_server.folder / "older"
    copy_store(own_server, older)
    own_server.start()
    end = await fill(store, 10)
    tail = Tail(store.read(S))
    await tail.reach(end)
    own_server.kill()
    own_server.store = older
    own_server.start()
    async with asyncio.timeout(10):
        with pytest.raises(Rewound) as caught:
            await tail.task
    assert (caught.value.position, caught.value.end) == (20, 10)
    with pytest.raises(Rewound):
        await store.append(S, frames(21, 1), expected=20)


async def test_an_emptied_store_is_an_error(world: JetStreamWorld, own_server: NatsServer) -> None:
    store = await world.connect(own_server.url)
    tail = Tail(store.read(S))
    await tail.reach(await fill(store, 10))
    own_server.kill()
    own_server.store = own_server.folder / "empty"
    own_server.start()
    await world.declare(SPEC)
    async with asyncio.timeout(10):
        with pytest.raises(Exception, match=r"no stream|ends at 0"):
            await tail.task


async def test_a_new_fact_is_with_the_reader_within_milliseconds(world: JetStreamWorld) -> None:
    store = await world.connect(world.server.url)
    reader = await world.connect(world.server.url)
    arrived: asyncio.Queue[float] = asyncio.Queue()

    async def follow() -> None:
        async for batch in reader.read(S):
            for _ in batch:
                arrived.put_nowait(time.perf_counter())

    following = asyncio.ensure_future(follow())
    await asyncio.sleep(0.2)
    delays_ms = []
    for number in range(1, 41):
        await store.append(S, frames(number, 1), expected=number - 1)
        appended = time.perf_counter()
        delays_ms.append((await arrived.get() - appended) * 1000)
        await asyncio.sleep(0.01)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert statistics.median(delays_ms) < 5, sorted(delays_ms)


async def test_sessions_are_replaced_after_their_turn(world: JetStreamWorld) -> None:
    store = await world.connect(world.server.url, session_pulls_max=4)
    end = await fill(store, 20_000)
    tail = Tail(store.read(S))
    await tail.reach(end)
    for _ in range(3):
        await tail.reach(await fill(store, 3000))
    await tail.end()


async def test_last_each_goes_on_through_cuts(world: JetStreamWorld) -> None:
    writer = await world.connect(world.server.url)
    reader = await world.connect(world.proxy.url)
    end = 0
    for first in range(0, 5000, 1000):
        some = [Frame(f"ledger.1.m{n}.Head", f"{n}:".encode()) for n in range(first, first + 1000)]
        end = await writer.append(S, some, expected=end)
    for at in (1500, 1501, 4000):
        world.proxy.rule(Side.TO_CLIENT, f"ledger.1.m{at}.".encode(), Act.CUT_BEFORE)
    found = [item async for batch in reader.last_each(S, "ledger.1.*.Head") for item in batch]
    assert [item.sequence for item in found] == list(range(1, 5001))


async def test_a_reader_ends_when_the_connection_is_closed(world: JetStreamWorld) -> None:
    store = await JetStreamStore.connect(world.server.url, **FAST)
    tail = Tail(store.read(S))
    await tail.reach(await fill(store, 3))
    await store.close()
    with pytest.raises(StoreUnavailable, match="closed by this process"):
        await tail.task


async def test_a_thousand_readers_leave_nothing_behind(world: JetStreamWorld) -> None:
    store = await world.connect(world.server.url)
    await fill(store, 5)
    for after in range(300):
        found = [item async for batch in store.read(S, after=after % 5, until=5) for item in batch]
        assert len(found) == 5 - after % 5
    assert await consumers(world) == []
    assert len(store._link.client._subs) == 1
    assert store._link._waiters == {}


async def test_declaring_needs_no_reader(world: JetStreamWorld) -> None:
    boot = await world.connect(world.server.url)
    assert (await declare(boot.client, SPEC)).value == "same"
