"""The courier between facts and ledger: crashes between every two steps, and what kills a round."""

import asyncio
from dataclasses import replace

import pytest

from libs.events import AnchorFailed, AnchorPrepared, HeadAnchored
from libs.eventstore import Frame, MemoryStore
from libs.runtime import failures
from libs.runtime.failures import BrokenLaw, FencedOff, gravest
from libs.stellar.errors import AccountMissing
from libs.stellar.gateway import Confirmed
from tests.anchor.ledger import Ledger
from tests.anchor.world import ACCOUNT, World, day, eventually
from tests.devnet.world import PASSPHRASE


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries wait no time."""
    monkeypatch.setattr(failures.Handling, "delay_s", lambda _self, _attempt: 0.005)


async def due(ledger: Ledger) -> World:
    """A world in which the round of day 1 is due."""
    world = World(ledger, PASSPHRASE)
    await world.advance(day(0))
    await world.advance(day(1))
    return world


async def prepared_of(world: World) -> list[AnchorPrepared]:
    return [each.fact for each in await world.facts() if isinstance(each.fact, AnchorPrepared)]


DONE = ["round.1.prepared", "round.1.anchored", "time.2016-07-02T07:00:00Z"]


async def ends_well(world: World) -> list[str]:
    async with world.anchor():
        await world.until(DONE[-1])
    names = await world.names()
    return [name for name in names if name != "time.2016-07-01T07:00:00Z"]


async def test_a_round_in_one_go() -> None:
    ledger = Ledger()
    assert await ends_well(await due(ledger)) == DONE
    assert len(ledger.sent) == 1


async def test_crash_after_the_preparation_and_before_the_sending() -> None:
    ledger = Ledger()
    world = await due(ledger)
    submit, ledger.hold = ledger.submit, True

    async def never(_: str) -> None:
        await asyncio.Event().wait()

    ledger.submit = never  # type: ignore[assignment, method-assign]
    async with world.anchor():
        await world.until("round.1.prepared")
    ledger.submit, ledger.hold = submit, False  # type: ignore[method-assign]
    assert ledger.sent == []
    assert await ends_well(world) == DONE
    (prepared,) = await prepared_of(world)
    assert ledger.sent == [prepared.envelope_xdr], "the very bytes of the fact, and no others"


async def test_crash_after_the_sending() -> None:
    ledger = Ledger(hold=True)
    world = await due(ledger)
    async with world.anchor():
        await eventually(lambda: len(ledger.sent) >= 3)
    ledger.hold = False
    assert await ends_well(world) == DONE
    assert len(set(ledger.sent)) == 1, "only ever the same bytes"


async def test_crash_after_the_ledger_closed() -> None:
    ledger = Ledger()
    world = await due(ledger)
    status = ledger.status

    async def silent(_: str) -> Confirmed:
        if ledger.done:
            await asyncio.Event().wait()
        return await status(_)  # type: ignore[return-value]

    ledger.status = silent  # type: ignore[method-assign, assignment]
    async with world.anchor():
        await eventually(lambda: bool(ledger.done))
    ledger.status = status  # type: ignore[method-assign]
    assert await ends_well(world) == DONE
    assert len(ledger.sent) == 1, "found by its hash, not sent again"


async def test_a_lost_answer_is_looked_up() -> None:
    ledger = Ledger(lose_answer=True)
    assert await ends_well(await due(ledger)) == DONE
    assert len(ledger.sent) == 1


async def test_while_stellar_is_away_facts_wait() -> None:
    ledger = Ledger(away=True)
    world = await due(ledger)
    async with world.anchor() as running:
        await eventually(lambda: len(ledger.asked) >= 3)
        assert await prepared_of(world) == []
        assert not running.health.is_ready()
        ledger.away = False
        await world.until(DONE[-1])
        assert running.health.is_ready()


async def test_a_used_sequence_number_ends_the_round_and_begins_another() -> None:
    ledger = Ledger(refuse="tx_bad_seq")
    world = await due(ledger)
    async with world.anchor():
        await world.until("round.1.prepared")
        ledger.sequence_shift = 1
        await world.until("round.1.failed")
        ledger.refuse, ledger.sequence_shift = None, 0
        await world.until("round.2.anchored")
    failed = next(f.fact for f in await world.facts() if isinstance(f.fact, AnchorFailed))
    assert (failed.round, failed.reason) == (1, "tx_bad_seq")


async def test_a_bad_sequence_alone_kills_nothing() -> None:
    ledger = Ledger(refuse="tx_bad_seq")
    world = await due(ledger)
    async with world.anchor():
        await eventually(lambda: len(ledger.sent) >= 5)
        assert "round.1.failed" not in await world.names()
        ledger.refuse = None
        await world.until(DONE[-1])


async def test_expired_only_when_a_later_ledger_closed() -> None:
    ledger = Ledger(refuse="tx_too_late")
    world = await due(ledger)
    async with world.anchor():
        await world.until("round.1.prepared")
        (prepared,) = await prepared_of(world)
        await eventually(lambda: len(ledger.sent) >= 3)
        assert "round.1.failed" not in await world.names()
        ledger.closed_at = int(prepared.valid_until.timestamp())
        sent = len(ledger.sent)
        await eventually(lambda: len(ledger.sent) >= sent + 3)
        assert "round.1.failed" not in await world.names(), "not past its bound yet"
        ledger.closed_at += 1
        await world.until("round.1.failed")
        ledger.refuse, ledger.closed_at = None, None
        await world.until("round.2.anchored")
    failed = next(f.fact for f in await world.facts() if isinstance(f.fact, AnchorFailed))
    assert failed.reason == "expired"


async def test_a_refusal_of_what_stands_in_a_ledger_is_no_failure() -> None:
    """`tx_bad_seq` after the own transaction went through: its hash is found first."""
    ledger = Ledger(hold=True)
    world = await due(ledger)
    async with world.anchor():
        await eventually(lambda: bool(ledger.sent))
    (prepared,) = await prepared_of(world)
    ledger._close(prepared.transaction_hash, prepared.envelope_xdr)
    ledger.refuse = "tx_bad_seq"
    assert await ends_well(world) == DONE


async def test_a_transaction_that_failed_in_a_ledger() -> None:
    ledger = Ledger()
    world = await due(ledger)
    status = ledger.status

    async def unlucky(tx_hash: str) -> object:
        found = await status(tx_hash)
        first = (await prepared_of(world))[0].transaction_hash
        if isinstance(found, Confirmed) and tx_hash == first:
            return found._replace(successful=False)
        return found

    ledger.status = unlucky  # type: ignore[method-assign, assignment]
    async with world.anchor():
        await world.until("round.2.anchored")
    failed = next(f.fact for f in await world.facts() if isinstance(f.fact, AnchorFailed))
    assert (failed.round, failed.reason) == (1, "tx_failed")
    first, second = await prepared_of(world)
    assert int(second.account_sequence) == int(first.account_sequence) + 1


async def test_wrong_evidence_is_never_recorded() -> None:
    ledger = Ledger()
    world = await due(ledger)
    evidence = ledger.evidence

    async def forged(tx_hash: str) -> object:
        found = await evidence(tx_hash)
        return found._replace(header_xdr=ledger.world.closings[0].closed.header.to_xdr())

    ledger.evidence = forged  # type: ignore[method-assign, assignment]
    async with world.anchor() as running:
        await eventually(lambda: ledger.asked.count("evidence") >= 3)
        assert not running.health.is_ready()
        assert not any(isinstance(f.fact, HeadAnchored) for f in await world.facts())
        ledger.evidence = evidence  # type: ignore[method-assign]
        await world.until(DONE[-1])


async def test_a_missing_account_is_funded_where_there_is_a_faucet() -> None:
    class Faucet:
        async def fund(self, address: str) -> None:
            assert address == ACCOUNT.public_key
            ledger.found()

    ledger = Ledger(exists=False)
    world = await due(ledger)
    world.faucet = Faucet()
    assert await ends_well(world) == DONE


async def test_without_a_faucet_a_missing_account_is_waited_for() -> None:
    ledger = Ledger(exists=False)
    world = await due(ledger)
    async with world.anchor() as running:
        await eventually(lambda: len(ledger.asked) >= 3)
        detail = str(running.health.status()["parts"]["stellar"])
        assert ACCOUNT.public_key in detail
        ledger.found()
        await world.until(DONE[-1])
    assert issubclass(AccountMissing, Exception)


async def test_bids_are_bounded() -> None:
    ledger = Ledger()
    world = await due(ledger)
    world.fee_stroops_max = 120
    assert await ends_well(world) == DONE
    fee = ledger.world.closings[-1].closed.header.fee_pool.int64
    assert 0 < fee <= 220, "100 for the account's creation, at most 120 for the round"


async def test_sequence_numbers_beyond_2_to_the_53_are_kept_exactly() -> None:
    """On a public network they are ledger x 2^32; so facts hold them as text."""
    ledger = Ledger(sequence_shift=2**57)
    world = await due(ledger)
    ledger.refuse = "tx_internal_error"  # the small world behind this ledger does not know them
    async with world.anchor():
        await eventually(lambda: bool(ledger.sent))
        (prepared,) = await prepared_of(world)
    assert int(prepared.account_sequence) > 2**57


async def test_another_history_ends_the_process() -> None:
    ledger = Ledger()
    world = await due(ledger)
    await ends_well(world)
    kept = world.server.stream("PRICES").kept
    assert kept[0] is not None
    other = kept[0].data.replace(b'"cadence_s":86400', b'"cadence_s":86401')
    kept[0] = replace(kept[0], data=other)
    error = await ending(world)
    assert isinstance(error, BrokenLaw)
    assert error.code == "log-rewritten"


async def ending(world: World) -> BaseException:
    """How an anchor ends by itself."""
    try:
        async with world.anchor() as running:
            await asyncio.wait({running.task}, timeout=5)
    except BaseExceptionGroup as group:
        return gravest(group)
    raise AssertionError("it goes on")


async def test_another_writer_ends_the_process() -> None:
    ledger = Ledger()
    world = await due(ledger)
    await ends_well(world)
    ending_soon = asyncio.ensure_future(ending(world))
    await asyncio.sleep(0.1)
    store = MemoryStore(world.server)
    end = await store.end("ANCHORS")
    row = await store.get("ANCHORS", end)
    assert row is not None
    await store.append("ANCHORS", [Frame(row.subject, row.data)], expected=end)
    await world.advance(day(2))
    assert isinstance(await ending_soon, FencedOff)
