"""kill -9 of the server during appends: what was acknowledged is there, once, at its position.

The stream is synced on every write (`sync_interval: always`), as in production.
"""

import asyncio
import os
import random
from typing import Any

import pytest

from libs.eventstore import Frame, JetStreamStore, StreamSpec, declare
from tests.faults import Act, FaultProxy, Side
from tests.servers import NatsServer

S = "LEDGER_1"
SPEC = StreamSpec(name=S, subjects=("ledger.1.>",))


class Writer:
    """Appends until told to stop, and remembers what was acknowledged."""

    def __init__(self, store: JetStreamStore, seed: int) -> None:
        self.store = store
        self.random = random.Random(seed)
        self.acknowledged: list[bytes] = []
        self.stopping = False

    async def run(self) -> None:
        while not self.stopping:
            count = self.random.choice([1, 1, 2, 10, 100, 1000])
            end = len(self.acknowledged)
            facts = [f"{end + number}:".encode().ljust(300, b".") for number in range(count)]
            frames = [Frame(f"ledger.1.k{end % 7}.Minted", fact) for fact in facts]
            assert await self.store.append(S, frames, expected=end) == end + count
            self.acknowledged += facts


class Tail:
    """Reads along all the time."""

    def __init__(self, store: JetStreamStore) -> None:
        self.store = store
        self.seen: list[bytes] = []

    async def run(self) -> None:
        async for batch in self.store.read(S):
            for item in batch:
                assert item.sequence == len(self.seen) + 1
                self.seen.append(item.data)


async def kill_and_compare(server: NatsServer, kills: int, seed: int) -> None:
    chance = random.Random(seed)
    settings: dict[str, Any] = {"deadline_s": 60.0, "reconnect_pause_s": 0.02, "heartbeat_s": 0.5}
    store = await JetStreamStore.connect(server.url, **settings)
    reader = await JetStreamStore.connect(server.url, **settings)
    await declare(store.client, SPEC)
    writer, tail = Writer(store, seed), Tail(reader)
    writing, tailing = asyncio.ensure_future(writer.run()), asyncio.ensure_future(tail.run())
    for _ in range(kills):
        before = len(writer.acknowledged)
        await asyncio.sleep(chance.uniform(0.02, 0.25))
        server.kill()
        await asyncio.sleep(chance.uniform(0.0, 0.05))
        server.start()
        while len(writer.acknowledged) == before:
            assert not writing.done(), writing
            assert not tailing.done(), tailing
            await asyncio.sleep(0.005)
    writer.stopping = True
    await writing
    end = len(writer.acknowledged)
    assert await store.end(S) == end
    read = [item.data async for batch in reader.read(S, until=end) for item in batch]
    assert read == writer.acknowledged
    async with asyncio.timeout(30):
        while len(tail.seen) < end:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert tail.seen == writer.acknowledged
    tailing.cancel()
    await asyncio.gather(tailing, return_exceptions=True)
    await reader.close()
    await store.close()


async def test_five_kills_lose_and_double_nothing(own_server: NatsServer) -> None:
    await kill_and_compare(own_server, kills=5, seed=20261121)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_hundred_kills_lose_and_double_nothing(own_server: NatsServer) -> None:
    seed = int(os.environ.get("HELIOGRAPH_TEST_SEED", "0"))
    await kill_and_compare(own_server, kills=100, seed=seed)
    print(f"broker: 100 kills, seed {seed}: nothing lost, nothing doubled")  # noqa: T201


@pytest.mark.long
async def test_fifty_batches_cut_in_the_middle_block_the_stream_for_a_while_only(
    own_server: NatsServer,
) -> None:
    """The server keeps unfinished batches for ten seconds and takes no more than fifty."""
    async with FaultProxy(own_server.port) as proxy:
        store = await JetStreamStore.connect(proxy.url, reconnect_pause_s=0.02)
        await declare(store.client, SPEC)
        frames = [Frame("ledger.1.k.Minted", b"x" * 500)] * 1000
        end = 0
        for _ in range(60):
            proxy.rule(Side.TO_SERVER, b"Nats-Batch-Sequence: 900\r\n", Act.CUT_BEFORE)
            end = await store.append(S, frames, expected=end)
        assert end == 60_000
        count = 0
        async for batch in store.read(S, until=end):
            count += len(batch)
        assert count == end
        await store.close()
