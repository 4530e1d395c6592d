"""One broker for all tests of the accounts; each test has its own connections."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.embedded.town import VAULTS, BrokerProcess, Town, subject_in


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    process = BrokerProcess(tmp_path_factory.mktemp("broker")).start()
    try:
        asyncio.run(_fill(process))
        yield process
    finally:
        process.stop()


@pytest.fixture
async def town(broker: BrokerProcess) -> AsyncIterator[Town]:
    made = Town(broker)
    yield made
    await made.leave()


async def _fill(process: BrokerProcess) -> None:
    """One message in every stream, so that there is something to read and to destroy."""
    town = Town(process)
    for vault in VAULTS.values():
        subject = subject_in(vault, "first", "First")
        answer = await town.ask(vault.writer, subject, {"stands": "for a fact"})
        assert answer["stream"] == vault.stream, answer
    await town.leave()
