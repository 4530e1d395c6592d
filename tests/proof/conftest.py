"""One played season for all tests of proofs; building and verifying never change it."""

import asyncio
from collections.abc import Iterator

import pytest

from libs.eventstore import Stored
from tests import devnet_process
from tests.devnet_process import DevnetProcess
from tests.proof.play import playing, to_the_end_of_august


@pytest.fixture(scope="session")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    running = devnet_process.start(tmp_path_factory.mktemp("devnet"), played=True)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def season(devnet: DevnetProcess) -> dict[str, list[Stored]]:
    """Every stream of five weeks with two paid invoices."""

    async def play_it() -> dict[str, list[Stored]]:
        async with playing(devnet.url) as play:
            await to_the_end_of_august(play)
            return await play.streams()

    return asyncio.run(play_it())
