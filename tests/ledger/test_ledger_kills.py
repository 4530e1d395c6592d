"""kill -9 of the ledger under load, and two writers at once: nothing answered is lost or doubled.

The broker has the installation's own accounts and stays; the ledger is a real process.
"""

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path
from typing import Self

import httpx
import pytest

from libs.runtime.process import ExitCode
from tests.embedded.town import BrokerProcess
from tests.ledger.traders import STREAM, Crowd, Pair, check_books, check_stream
from tests.runtime.ledgers import PATIENCE_S, LedgerProcess

PAIRS = 6
SEED = int(os.environ.get("HELIOGRAPH_TEST_SEED", "0"))
PROGRESS = 10
"""Commands that are answered between two blows."""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[BrokerProcess]:
    folder = tmp_path / "broker"
    folder.mkdir()
    process = BrokerProcess(folder)
    process.launch()
    try:
        asyncio.run(process.declare())
        yield process
    finally:
        process.stop(signal.SIGKILL)


class Keeper:
    """Keeps ledgers running, as a supervisor does."""

    def __init__(self, broker: BrokerProcess, folder: Path, **settings: str) -> None:
        self._broker, self._folder = broker, folder
        self._settings = {"SERVES": "pilot", **settings}
        self._count = 0
        self.running: list[LedgerProcess] = []

    def keep(self, count: int) -> None:
        """Start ledgers until so many run."""
        while len(self.running) < count:
            self._count += 1
            name = f"ledger-{self._count}"
            made = LedgerProcess(self._broker, self._folder, name, **self._settings)
            self.running.append(made.start())

    def take(self, process: LedgerProcess) -> LedgerProcess:
        """Care no longer for a process."""
        self.running.remove(process)
        return process

    async def holder(self) -> LedgerProcess:
        """Whoever says that it holds the pen of the book."""
        async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient(timeout=1) as http:
            while True:
                for process in self.running:
                    try:
                        answer = await http.get(f"http://127.0.0.1:{process.port}/readyz")
                        part = answer.json()["parts"].get(f"lease {STREAM}", {})
                    except (httpx.HTTPError, ValueError):
                        continue
                    if part.get("detail") == "holder":
                        return process
                await asyncio.sleep(0.05)

    def end(self) -> None:
        for process in self.running:
            process.end()


@pytest.fixture
def keep(broker: BrokerProcess, tmp_path: Path) -> Iterator[Callable[..., Keeper]]:
    made: list[Keeper] = []

    def one(**settings: str) -> Keeper:
        made.append(Keeper(broker, tmp_path, **settings))
        return made[-1]

    yield one
    for keeper in made:
        keeper.end()


class Load:
    """Clients that trade until they are told to stop."""

    def __init__(self, crowd: Crowd, seed: int) -> None:
        self._crowd, self.market = crowd, crowd.market
        self._pairs = [Pair(crowd, number, seed) for number in range(PAIRS)]
        self._tasks = [asyncio.ensure_future(pair.run()) for pair in self._pairs]

    async def goes_on(self, keeper: Keeper) -> None:
        """Wait until further commands were answered."""
        before = self.market.answered
        async with asyncio.timeout(2 * PATIENCE_S):
            while self.market.answered < before + PROGRESS:
                for task in self._tasks:
                    if task.done():
                        task.result()
                assert keeper.running
                await asyncio.sleep(0.01)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self) -> None:
        for pair in self._pairs:
            pair.stopping = True
        await asyncio.gather(*self._tasks)
        assert not self._crowd.wrong, self._crowd.wrong


@asynccontextmanager
async def begun(broker: BrokerProcess, seed: int) -> AsyncIterator[tuple[Crowd, Load]]:
    """Let clients in and begin to trade; they end with the test, however it ends."""
    async with Crowd(broker) as crowd:
        await crowd.open(PAIRS)
        async with Load(crowd, seed) as load:
            yield crowd, load


async def blow(keeper: Keeper, load: Load, chance: random.Random) -> str:
    """Kill the holder, or stop it until it has lost the pen."""
    holder = await keeper.holder()
    await asyncio.sleep(chance.uniform(0.0, 0.3))
    if len(keeper.running) == 1 or chance.random() < 0.75:
        keeper.take(holder).end()
        return "killed"
    holder.signal(signal.SIGSTOP)
    await asyncio.sleep(1)  # answers that were on their way must not count below
    await load.goes_on(keeper)  # the standby has taken over
    holder.signal(signal.SIGCONT)
    assert await holder.ended() == ExitCode.FENCED, holder.tail()
    keeper.take(holder)
    return "stopped"


async def kill_and_compare(
    broker: BrokerProcess, keep: Callable[..., Keeper], kills: int, seed: int
) -> tuple[int, int]:
    """Give the number of commands that were answered, and how often a ledger was stopped.

    One ledger alone in the first third, then one with a standby beside it; all with snapshots.
    """
    chance = random.Random(seed)
    keeper = keep(SNAPSHOTS_URL=(keeper_folder(broker)).as_uri(), SNAPSHOTS_EVERY="150")
    keeper.keep(1)
    killed = stopped = 0
    async with begun(broker, seed) as (crowd, load):
        while killed < kills:
            keeper.keep(1 if 3 * killed < kills else 2)
            await load.goes_on(keeper)
            if await blow(keeper, load, chance) == "killed":
                killed += 1
            else:
                stopped += 1
        keeper.keep(1)
        await load.goes_on(keeper)
        await load.stop()
        members, facts = await crowd.facts("MEMBERS"), await crowd.facts(STREAM)
    check_stream(facts, crowd.market)
    check_books(members, facts, crowd.market)
    return crowd.market.answered, stopped


def keeper_folder(broker: BrokerProcess) -> Path:
    return broker.config.parent / "snapshots"


@pytest.mark.timeout(280)
async def test_four_kills_lose_and_double_nothing(
    broker: BrokerProcess, keep: Callable[..., Keeper]
) -> None:
    answered, _ = await kill_and_compare(broker, keep, kills=4, seed=20261121)
    assert answered > 4 * PROGRESS


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_a_hundred_kills_lose_and_double_nothing(
    broker: BrokerProcess, keep: Callable[..., Keeper]
) -> None:
    began = time.monotonic()
    answered, stopped = await kill_and_compare(broker, keep, kills=100, seed=SEED)
    taken = time.monotonic() - began
    print(  # noqa: T201
        f"ledger killed 100 times, stopped {stopped} times: {answered} commands answered, "
        f"seed {SEED}, {taken:.0f} s"
    )


async def fence_each_other(
    broker: BrokerProcess, keep: Callable[..., Keeper], fences: int, seed: int
) -> int:
    """Two writers without a lease: both decide everything, one append wins, the other ends."""
    keeper = keep(STANDBY="false")
    keeper.keep(1)
    fenced = 0
    async with begun(broker, seed) as (crowd, load):
        while fenced < fences:
            keeper.keep(2)
            await load.goes_on(keeper)
            for process in list(keeper.running):
                if process.events("process-ended"):
                    assert await keeper.take(process).ended() == ExitCode.FENCED, process.tail()
                    fenced += 1
        await load.stop()
        members, facts = await crowd.facts("MEMBERS"), await crowd.facts(STREAM)
        appends = await append_ids(crowd)
    check_stream(facts, crowd.market)
    check_books(members, facts, crowd.market)
    assert len(appends) == len(facts)
    runs = [append for append, _ in groupby(appends)]
    assert "" not in runs
    assert len(set(runs)) == len(runs), "the facts of an append stand together"
    return crowd.market.answered


async def append_ids(crowd: Crowd) -> list[str]:
    """The append that stored each position."""
    store = await crowd.store("auditor")
    end = await store.end(STREAM)
    found = [each.append_id async for batch in store.read(STREAM, until=end) for each in batch]
    await store.close()
    return found


@pytest.mark.timeout(280)
async def test_of_two_writers_on_one_book_one_is_fenced(
    broker: BrokerProcess, keep: Callable[..., Keeper]
) -> None:
    assert await fence_each_other(broker, keep, fences=2, seed=20261121)


@pytest.mark.long
@pytest.mark.timeout(3600)
async def test_two_writers_on_one_book_never_both_succeed_in_full(
    broker: BrokerProcess, keep: Callable[..., Keeper]
) -> None:
    began = time.monotonic()
    answered = await fence_each_other(broker, keep, fences=25, seed=SEED)
    taken = time.monotonic() - began
    print(  # noqa: T201
        f"two ledgers on one book, 25 fenced: {answered} commands answered, seed {SEED}, "
        f"{taken:.0f} s"
    )
