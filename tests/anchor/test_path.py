"""The whole way: facts in a played store, rounds on a real devnet process."""

import asyncio
import json
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from datetime import datetime

import pytest

from libs.events import AnchorPrepared, HeadAnchored, TimeReached
from libs.events.quantities import format_instant
from libs.proof.rounds import split_round
from libs.stellar.errors import StellarUnavailable
from libs.stellar.evidence import verify_anchor_evidence
from libs.stellar.gateway import HorizonGateway
from services.anchor.faucet import DevnetFaucet
from tests import devnet_process
from tests.anchor.world import STREAMS, World, day
from tests.devnet_process import PASSPHRASE, DevnetProcess


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    running = devnet_process.start(tmp_path_factory.mktemp("devnet"), played=True)
    yield running
    running.stop()


def set_time(devnet: DevnetProcess, to: datetime) -> None:
    request = urllib.request.Request(
        f"{devnet.url}/admin/time",
        data=json.dumps({"closed_at": format_instant(to)}).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200


@pytest.fixture
async def world(devnet: DevnetProcess) -> AsyncIterator[World]:
    gateway = HorizonGateway(devnet.url, network_passphrase=PASSPHRASE)
    async with gateway:
        yield World(gateway, PASSPHRASE, DevnetFaucet(devnet.url, PASSPHRASE))


async def test_a_season_of_days_is_anchored_day_by_day(devnet: DevnetProcess, world: World) -> None:
    async with world.anchor():
        for number in range(6):
            set_time(devnet, day(number))
            await world.advance(day(number))
            await world.until(f"time.{format_instant(day(number))}")
    facts = [each.fact for each in await world.facts()]
    kinds = [TimeReached, *[AnchorPrepared, HeadAnchored, TimeReached] * 5]
    assert [type(fact) for fact in facts] == kinds
    for number, (prepared, anchored) in enumerate(zip(facts[1::3], facts[2::3], strict=True)):
        assert isinstance(prepared, AnchorPrepared)
        assert isinstance(anchored, HeadAnchored)
        assert sorted(f"demo/{stream}" for stream in STREAMS) == list(
            split_round(prepared.round_text)
        )
        assert anchored.closed_at.date() == day(number + 1).date()
        verify_anchor_evidence(
            memo_hash=bytes.fromhex(prepared.round_sha256),
            envelope_xdr=prepared.envelope_xdr,
            result_set_xdr=anchored.result_set_xdr,
            header_xdr=anchored.header_xdr,
            network_passphrase=PASSPHRASE,
            anchor_account=prepared.account,
        )


async def test_an_outage_over_the_bound_ends_in_a_new_round(
    devnet: DevnetProcess, world: World
) -> None:
    """The devnet closes no empty ledgers: the anchor makes one close to see that it is too late."""
    start = 100
    await world.advance(day(start))
    set_time(devnet, day(start + 1))
    async with world.anchor():
        await world.until(f"time.{format_instant(day(start))}")

    async def lost(_: str) -> None:
        raise StellarUnavailable("played: the request is lost")

    submit = world.gateway.submit
    world.gateway.submit = lost  # type: ignore[method-assign, assignment]
    await world.advance(day(start + 1))
    async with world.anchor():
        await world.until("round.1.prepared")
    set_time(devnet, day(start + 2))
    world.gateway.submit = submit  # type: ignore[method-assign]
    async with world.anchor():
        await world.until("round.2.anchored")
    names = await world.names()
    assert names[1:4] == ["round.1.prepared", "round.1.failed", "round.2.prepared"]


async def test_the_devnet_comes_back_with_its_data(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Killed between two rounds: the anchor waits, and goes on with the same account."""
    folder = tmp_path_factory.mktemp("devnet")
    running = devnet_process.start(folder)
    port = running.url.rpartition(":")[2]
    async with HorizonGateway(running.url, network_passphrase=PASSPHRASE) as gateway:
        world = World(gateway, PASSPHRASE, DevnetFaucet(running.url, PASSPHRASE))
        await world.advance(day(0))
        await world.advance(day(1))
        async with world.anchor():
            await world.until("round.1.anchored")
            running.kill()
            await world.advance(day(2))
            await asyncio.sleep(0.2)
            assert "round.2.prepared" not in await world.names()
            again = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                devnet_process.command(),
                env=devnet_process.environment(folder, port=port),
                stderr=subprocess.DEVNULL,
                cwd=devnet_process.ROOT,
            )
            try:
                await world.until("round.2.anchored", 20)
            finally:
                again.kill()
                again.wait()
