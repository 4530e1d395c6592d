"""The first half of the contract of `EventStore`: appending.

Every test runs against the real store and the one in memory; `world` is a fixture of the module
that derives its class from `AppendingContract`.
"""

import asyncio

import pytest

from libs.eventstore import (
    APPEND_COUNT_MAX,
    FACT_BYTES_MAX,
    Fenced,
    Frame,
    Malformed,
    Rewound,
    StoreFull,
    StoreUnavailable,
    TooLarge,
    TooMany,
    UnknownStream,
    WrongSubject,
)
from tests.eventstore.samples import SUBJECT, S, assert_stored, collect, everything, frames, spec
from tests.eventstore.worlds import World


class AppendingContract:
    async def test_what_is_appended_is_read_in_order_without_gaps(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        wanted = [*frames(1), *frames(3, 2), *frames(20, 5), *frames(1, 25)]
        assert await store.append(S, wanted[:1], expected=0) == 1
        assert await store.append(S, wanted[1:4], expected=1) == 4
        assert await store.append(S, wanted[4:24], expected=4) == 24
        assert await store.append(S, wanted[24:], expected=24) == 25
        found = await everything(store)
        assert_stored(found, wanted)
        assert {item.stream for item in found} == {S}
        ids = [item.append_id for item in found]
        assert ids == [ids[0]] + [ids[1]] * 3 + [ids[4]] * 20 + [ids[24]]
        assert len(set(ids)) == 4
        assert "" not in ids

    async def test_an_append_holds_up_to_a_thousand_facts(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        wanted = frames(APPEND_COUNT_MAX, size=300)
        assert await store.append(S, wanted, expected=0) == APPEND_COUNT_MAX
        assert_stored(await everything(store), wanted)

    async def test_a_fact_holds_up_to_256_kib(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        wanted = frames(2, size=FACT_BYTES_MAX)
        assert await store.append(S, wanted, expected=0) == 2
        assert_stored(await everything(store), wanted)

    async def test_headers_are_kept_beside_the_fact(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        context = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        await store.append(S, [Frame(SUBJECT, b"1", context), Frame(SUBJECT, b"2")], expected=0)
        await store.append(S, [Frame(SUBJECT, b"3", context)], expected=2)
        found = await everything(store)
        assert [dict(item.headers) for item in found] == [context, {}, context]
        for item in found:
            assert await store.get(S, item.sequence) == item

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ([], Malformed),
            (frames(APPEND_COUNT_MAX + 1), TooMany),
            (frames(1, size=FACT_BYTES_MAX + 1), TooLarge),
            ([*frames(3), *frames(1, size=FACT_BYTES_MAX + 1)], TooLarge),
            ([Frame(SUBJECT, b"", {"trace": "x" * 9000})], TooLarge),
            (frames(1, subject="billing.1.abc.Issued"), WrongSubject),
            ([*frames(2), *frames(1, subject="ledger.2.abc.Minted")], WrongSubject),
            (frames(1, subject="ledger.1"), WrongSubject),
            (frames(1, subject="ledger.1.*.Minted"), Malformed),
            (frames(1, subject="ledger.1.>"), Malformed),
            (frames(1, subject="ledger.1..Minted"), Malformed),
            (frames(1, subject="ledger.1.a b"), Malformed),
            (frames(1, subject="ledger.1.a\r\nPUB x 0"), Malformed),
            (frames(1, subject=""), Malformed),
            ([Frame(SUBJECT, b"", {"Nats-Msg-Id": "1"})], Malformed),
            ([Frame(SUBJECT, b"", {"Heliograph-Append": "1"})], Malformed),
            ([Frame(SUBJECT, b"", {"trace": "a\r\nNats-Rollup: all"})], Malformed),
            ([Frame(SUBJECT, b"", {"tra ce": "a"})], Malformed),
        ],
    )
    async def test_a_wrong_append_is_refused_before_it_is_sent(
        self, world: World, wrong: list[Frame], error: type[Exception]
    ) -> None:
        await world.declare(spec())
        store = await world.client()
        with pytest.raises(error):
            await store.append(S, wrong, expected=0)
        assert await store.end(S) == 0
        assert await store.append(S, frames(1), expected=0) == 1

    async def test_a_fact_larger_than_the_stream_takes_is_refused(self, world: World) -> None:
        await world.declare(spec(max_msg_size=4000))
        store = await world.client()
        with pytest.raises(TooLarge, match="max_msg_size"):
            await store.append(S, frames(2, size=3900), expected=0)
        assert await store.append(S, frames(2, size=3000), expected=0) == 2

    async def test_an_unknown_stream_is_named(self, world: World) -> None:
        store = await world.client()
        for call in (
            store.append(S, frames(1), expected=0),
            store.end(S),
            store.get(S, 1),
            store.last(S, SUBJECT),
            collect(store.read(S, until=1)),
            collect(store.last_each(S, ">")),
        ):
            with pytest.raises(UnknownStream, match=S):
                await call

    # One writer.

    async def test_a_taken_position_means_another_writer(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(3), expected=0)
        for expected in (0, 1, 2):
            with pytest.raises(Fenced) as caught:
                await store.append(S, frames(2, 7), expected=expected)
            assert caught.value.expected == expected
        assert_stored(await everything(store), frames(3))

    async def test_the_same_append_again_is_another_append(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(3), expected=0)
        with pytest.raises(Fenced):
            await store.append(S, frames(3), expected=0)
        assert_stored(await everything(store), frames(3))

    async def test_a_position_beyond_the_end_means_a_store_that_went_back(
        self, world: World
    ) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(3), expected=0)
        for count in (1, 2):
            with pytest.raises(Rewound) as caught:
                await store.append(S, frames(count), expected=5)
            assert (caught.value.position, caught.value.end) == (5, 3)
        assert await store.end(S) == 3

    async def test_of_two_writers_only_the_one_at_the_end_goes_on(self, world: World) -> None:
        await world.declare(spec())
        one, two = await world.client(), await world.calm_client()
        await one.append(S, frames(2), expected=0)
        with pytest.raises(Fenced):
            await two.append(S, frames(2, 90), expected=0)
        await two.append(S, frames(2, 3), expected=2)
        with pytest.raises(Fenced):
            await one.append(S, frames(1, 91), expected=2)
        await one.append(S, frames(1, 5), expected=4)
        with pytest.raises(Fenced):
            await two.append(S, frames(1000, 92), expected=4)
        assert_stored(await everything(one), frames(5))

    async def test_of_two_writers_at_once_exactly_one_wins(self, world: World) -> None:
        await world.declare(spec())
        one, two = await world.client(), await world.calm_client()
        end = 0
        for _ in range(20):
            done = await asyncio.gather(
                one.append(S, frames(3, 100), expected=end),
                two.append(S, frames(3, 200), expected=end),
                return_exceptions=True,
            )
            assert sorted(type(result).__name__ for result in done) == ["Fenced", "int"]
            end += 3
            assert await one.end(S) == end

    # The outcome table.

    @pytest.mark.parametrize("count", [1, 2, 1000])
    async def test_a_lost_request_is_sent_again(self, world: World, count: int) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(1), expected=0)
        world.lose_request()
        assert await store.append(S, frames(count, 2), expected=1) == 1 + count
        assert_stored(await everything(store), frames(1 + count))

    @pytest.mark.parametrize("count", [1, 2, 20])
    async def test_a_lost_answer_is_no_second_append(self, world: World, count: int) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(1), expected=0)
        world.lose_answer()
        assert await store.append(S, frames(count, 2), expected=1) == 1 + count
        assert_stored(await everything(store), frames(1 + count))

    @pytest.mark.parametrize("count", [1, 2, 20])
    async def test_a_request_that_arrives_after_its_resend_changes_nothing(
        self, world: World, count: int
    ) -> None:
        await world.declare(spec())
        store = await world.client()
        await store.append(S, frames(1), expected=0)
        world.delay_request()
        assert await store.append(S, frames(count, 2), expected=1) == 1 + count
        await world.deliver_delayed()
        assert await store.append(S, frames(1, 2 + count), expected=1 + count) == 2 + count
        assert_stored(await everything(store), frames(2 + count))

    async def test_another_writer_that_lands_while_ours_is_lost_fences(self, world: World) -> None:
        await world.declare(spec())
        store, other = await world.client(), await world.calm_client()
        await store.append(S, frames(1), expected=0)
        world.delay_request()
        ours = asyncio.ensure_future(store.append(S, frames(2, 80), expected=1))
        await world.harm_done()
        world.go_away()
        await other.append(S, frames(2, 2), expected=1)
        await world.come_back()
        with pytest.raises(Fenced):
            await ours
        await world.deliver_delayed()
        assert_stored(await everything(other), frames(3))

    async def test_ours_landed_although_another_writer_went_on_behind_it(
        self, world: World
    ) -> None:
        await world.declare(spec())
        store, other = await world.client(), await world.calm_client()
        world.lose_answer()
        ours = asyncio.ensure_future(store.append(S, frames(2), expected=0))
        while await other.end(S) < 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
        await other.append(S, frames(1, 3), expected=2)
        assert await ours == 2
        assert_stored(await everything(other), frames(3))

    async def test_many_faults_in_a_row(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client()
        end = 0
        for harm in (world.lose_request, world.lose_answer, world.delay_request) * 2:
            harm()
            end = await store.append(S, frames(3, end + 1), expected=end)
            await world.deliver_delayed()
        assert_stored(await everything(store), frames(18))

    async def test_a_store_that_stays_away_leaves_the_outcome_unknown(self, world: World) -> None:
        await world.declare(spec())
        store = await world.client(deadline_s=0.8)
        await store.append(S, frames(1), expected=0)
        world.go_away()
        with pytest.raises(StoreUnavailable):
            await store.append(S, frames(1, 2), expected=1)
        with pytest.raises(StoreUnavailable):
            await store.end(S)
        await world.come_back()
        await asyncio.sleep(0.2)
        end = await store.end(S)
        assert end in (1, 2)
        await store.append(S, frames(1, 3), expected=end)

    # Room.

    @pytest.mark.parametrize("count", [1, 30])
    async def test_a_full_stream_takes_nothing_until_it_has_grown(
        self, world: World, count: int
    ) -> None:
        await world.declare(spec(max_bytes=20_000))
        store = await world.client()
        end = 0
        with pytest.raises(StoreFull) as caught:  # noqa: PT012 - one of them fails
            for _ in range(40):
                end = await store.append(S, frames(count, end + 1, size=1000), expected=end)
        assert caught.value.what == "stream"
        assert caught.value.stream == S
        assert await store.end(S) == end
        with pytest.raises(StoreFull):
            await store.append(S, frames(count, end + 1, size=1000), expected=end)
        await world.declare(spec(max_bytes=2_000_000))
        end = await store.append(S, frames(count, end + 1, size=1000), expected=end)
        assert_stored(await everything(store), frames(end, size=1000))
