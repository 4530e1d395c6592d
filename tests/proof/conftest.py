"""One played season for all tests of proofs; building and verifying never change it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from libs.eventstore import Stored
from libs.proof.build import build_proof, first_approver_of, log_keys_of, trust_file
from libs.proof.model import TrustFile
from tests import devnet_process
from tests.anchor.world import ACCOUNT, LOG_SEED
from tests.devnet_process import PASSPHRASE, DevnetProcess
from tests.proof.owning import handed_over, to_own
from tests.proof.play import Play, playing
from tests.proof.seasons import to_the_end_of_august, with_new_keys, with_troubles

Season = dict[str, list[Stored]]


@pytest.fixture(scope="session")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevnetProcess]:
    running = devnet_process.start(tmp_path_factory.mktemp("devnet"), played=True)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def season(devnet: DevnetProcess) -> Season:
    """Every stream of five weeks with two paid invoices."""

    async def play_it() -> Season:
        async with playing(devnet.url) as play:
            await to_the_end_of_august(play)
            return await play.streams()

    return asyncio.run(play_it())


@pytest.fixture(scope="session")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Season:
    """Two holdings, two prices, lost, late and refused reports, finer intervals."""
    return _played(tmp_path_factory.mktemp("devnet"), with_troubles)


@pytest.fixture(scope="session")
def renewed(tmp_path_factory: pytest.TempPathFactory) -> Season:
    """Keys, roles and a suspension that change between what a bill rests on and its payment."""
    return _played(tmp_path_factory.mktemp("devnet"), with_new_keys)


def _played(folder: Path, season: Callable[[Play], Awaitable[None]]) -> Season:
    running = devnet_process.start(folder, played=True)

    async def play_it() -> Season:
        async with playing(running.url) as play:
            await season(play)
            return await play.streams()

    try:
        return asyncio.run(play_it())
    finally:
        running.stop()


@pytest.fixture(scope="session")
def owning(tmp_path_factory: pytest.TempPathFactory) -> Season:
    """Time of use and market prices, shared energy, taxes, a bill replaced twice, a diversion."""
    return _played(tmp_path_factory.mktemp("devnet"), to_own)


@pytest.fixture(scope="session")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Season:
    """A dispute, a replaced bill, another holder, the end of the term, a payoff."""
    return _played(tmp_path_factory.mktemp("devnet"), handed_over)


@pytest.fixture(scope="session")
def proof(season: Season) -> bytes:
    return build_proof(season, "home-2016-07").to_bytes()


@pytest.fixture(scope="session")
def trusted(season: Season) -> TrustFile:
    return trust_file(
        deployment="demo",
        network=PASSPHRASE,
        anchor_accounts=[ACCOUNT.public_key],
        log_keys=log_keys_of("demo", season, bytes(SigningKey(LOG_SEED).verify_key)),
        first_approver=first_approver_of(season),
    )


@pytest.fixture(scope="session")
def trust(trusted: TrustFile) -> bytes:
    return trusted.to_bytes()
