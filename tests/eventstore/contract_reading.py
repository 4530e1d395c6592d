"""The second half of the contract of `EventStore`: reading.

Every test runs against the real store and the one in memory; `world` is a fixture of the module
that derives its class from `ReadingContract`.
"""

import asyncio
import contextlib

import pytest

from libs.eventstore import (
    Frame,
    GapFound,
    Rewound,
    Stored,
    StoreUnavailable,
    Trimmed,
)
from tests.eventstore.samples import S, assert_stored, collect, everything, frames, spec
from tests.eventstore.worlds import World


class ReadingContract:
    async def test_reading_starts_behind_after_and_stops_at_until(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(50), expected=0)
        for after, until in ((0, 50), (0, 1), (49, 50), (10, 20), (50, 50), (20, 10)):
            found = await collect(store.read(S, after=after, until=until))
            assert [item.sequence for item in found] == list(range(after + 1, until + 1))

    async def test_many_lists_of_at_most_a_thousand(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        for expected in range(0, 7000, 1000):
            await store.append(S, frames(1000, expected + 1), expected=expected)
        lists = [batch async for batch in store.read(S, after=500, until=6500)]
        assert all(0 < len(batch) <= 1000 for batch in lists)
        found = [item.sequence for batch in lists for item in batch]
        assert found == list(range(501, 6501))

    async def test_a_tail_gives_what_is_appended_later(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(3), expected=0)
        seen: list[Stored] = []

        async def tail() -> None:
            async with contextlib.aclosing(store.read(S)) as batches:
                async for batch in batches:
                    seen.extend(batch)
                    if len(seen) == 9:
                        return

        reading = asyncio.ensure_future(tail())
        for expected in (3, 5, 7):
            await asyncio.sleep(0.05)
            await store.append(S, frames(2, expected + 1), expected=expected)
        async with asyncio.timeout(5):
            await reading
        assert_stored(seen, frames(9))

    async def test_until_is_waited_for(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(3), expected=0)
        plain = asyncio.ensure_future(collect(store.read(S, until=5)))
        matching = asyncio.ensure_future(collect(store.read(S, until=5, subject="ledger.1.abc.*")))
        nothing = asyncio.ensure_future(collect(store.read(S, until=5, subject="ledger.1.none")))
        await asyncio.sleep(0.1)
        assert not plain.done()
        assert not matching.done()
        assert not nothing.done()
        await store.append(S, frames(4, 4), expected=3)
        async with asyncio.timeout(5):
            assert_stored(await plain, frames(5))
            assert_stored(await matching, frames(5))
            assert await nothing == []

    async def test_a_filter_gives_only_what_matches(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        names = ["a.Minted", "b.Minted", "a.Traded", "c.x.y", "b.Traded", "a.Minted"]
        wanted = [Frame(f"ledger.1.{name}", name.encode()) for name in names]
        await store.append(S, wanted, expected=0)
        for pattern, positions in {
            "ledger.1.a.Minted": [1, 6],
            "ledger.1.*.Minted": [1, 2, 6],
            "ledger.1.a.>": [1, 3, 6],
            "ledger.1.>": [1, 2, 3, 4, 5, 6],
            "ledger.1.*.*.y": [4],
            "ledger.1.zzz": [],
        }.items():
            found = await collect(store.read(S, until=6, subject=pattern))
            assert [item.sequence for item in found] == positions
            found = await collect(store.read(S, after=2, until=5, subject=pattern))
            assert [item.sequence for item in found] == [at for at in positions if 2 < at <= 5]

    async def test_single_questions(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        assert await store.end(S) == 0
        assert await store.last(S, "ledger.1.>") is None
        assert await store.get(S, 1) is None
        names = ["a.Minted", "b.Minted", "a.Minted", "a.Traded"]
        await store.append(S, [Frame(f"ledger.1.{n}", n.encode()) for n in names], expected=0)
        found = await everything(store)
        assert await store.end(S) == 4
        assert [await store.get(S, at) for at in range(6)] == [None, *found, None]
        assert await store.last(S, "ledger.1.a.Minted") == found[2]
        assert await store.last(S, "ledger.1.b.Minted") == found[1]
        assert await store.last(S, "ledger.1.a.*") == found[3]
        assert await store.last(S, "ledger.1.*.Minted") == found[2]
        assert await store.last(S, "ledger.1.c.Minted") is None

    async def test_the_last_fact_of_each_of_many_subjects(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        assert await collect(store.last_each(S, "ledger.1.>")) == []
        end = 0
        for turn in range(4):
            batch = [Frame(f"ledger.1.m{n}.Head", f"{turn}".encode()) for n in range(turn, 900)]
            end = await store.append(S, batch, expected=end)
        more = [Frame(f"ledger.1.n{n}.Other", b"9") for n in range(1000)]
        end = await store.append(S, more, expected=end)
        found = await collect(store.last_each(S, "ledger.1.*.Head"))
        assert [item.sequence for item in found] == sorted(item.sequence for item in found)
        heads = {item.subject: item.data for item in found}
        wanted = {f"ledger.1.m{n}.Head": f"{min(n, 3)}".encode() for n in range(900)}
        assert heads == wanted
        assert len(found) == 900
        everyone = await collect(store.last_each(S, "ledger.1.>"))
        assert len({item.subject for item in everyone}) == 1900
        assert everyone[-1].sequence == end
        assert await collect(store.last_each(S, "ledger.1.*.None")) == []

    async def test_a_trimmed_position_is_told_with_the_first_kept_one(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(10), expected=0)
        await world.trim(S, 4)
        for pattern in (None, "ledger.1.>"):
            for after in (0, 3):
                with pytest.raises(Trimmed) as caught:
                    await collect(store.read(S, after=after, until=10, subject=pattern))
                assert (caught.value.asked, caught.value.first) == (after + 1, 5)
            found = await collect(store.read(S, after=4, until=10, subject=pattern))
            assert [item.sequence for item in found] == [5, 6, 7, 8, 9, 10]
        assert await store.get(S, 4) is None
        await world.trim(S, 10)
        assert await store.end(S) == 10
        with pytest.raises(Trimmed):
            await collect(store.read(S, after=9, until=10))
        assert await store.append(S, frames(1, 11), expected=10) == 11
        assert [item.sequence for item in await collect(store.read(S, after=10, until=11))] == [11]

    @pytest.mark.parametrize("hidden", [3, 1, 10])
    async def test_a_gap_is_an_error(self, world: World, hidden: int) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(10), expected=0)
        await world.hide(S, hidden)
        seen: list[int] = []
        error = Trimmed if hidden == 1 else GapFound
        with pytest.raises((GapFound, error)) as caught:  # noqa: PT012 - reading goes so far
            async for batch in store.read(S, until=10):
                seen.extend(item.sequence for item in batch)
        assert seen == list(range(1, hidden))
        if isinstance(caught.value, GapFound):
            assert caught.value.missing == hidden

    @pytest.mark.parametrize("end", [0, 4])
    async def test_a_store_that_went_back_is_an_error(self, world: World, end: int) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(10), expected=0)
        tail = store.read(S)
        seen: list[Stored] = []
        while len(seen) < 10:
            seen += await anext(tail)
        await world.rewind(S, end)
        async with asyncio.timeout(10):
            with pytest.raises(Rewound) as caught:
                await anext(tail)
        assert (caught.value.position, caught.value.end) == (10, end)
        with pytest.raises(Rewound):
            await collect(store.read(S, after=10, until=11))
        with pytest.raises(Rewound):
            await store.append(S, frames(1), expected=10)

    async def test_a_reader_waits_for_a_store_that_is_away(self, world: World) -> None:
        await world.declare(spec())
        store, other = await world.client(deadline_s=0.5), await world.calm_client()
        await other.append(S, frames(3), expected=0)
        tail = store.read(S)
        seen: list[Stored] = []
        while len(seen) < 3:
            seen += await anext(tail)
        world.go_away()
        waiting = asyncio.ensure_future(anext(tail))
        await asyncio.sleep(0.8)
        assert not waiting.done()
        await world.come_back()
        await other.append(S, frames(3, 4), expected=3)
        async with asyncio.timeout(10):
            seen += await waiting
            while len(seen) < 6:
                seen += await anext(tail)
        assert_stored(seen, frames(6))
        await tail.aclose()

    async def test_closing_ends_readers_and_refuses_the_rest(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(1), expected=0)
        tail = store.read(S)
        assert len(await anext(tail)) == 1
        waiting = asyncio.ensure_future(anext(tail))
        await asyncio.sleep(0.05)
        await store.close()
        async with asyncio.timeout(2):
            with pytest.raises(StoreUnavailable, match="closed"):
                await waiting
            with pytest.raises(StoreUnavailable, match="closed"):
                await store.append(S, frames(1, 2), expected=1)
            with pytest.raises(StoreUnavailable, match="closed"):
                await store.end(S)
