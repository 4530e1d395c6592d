"""One broker for all tests of the accounts; each test has its own connections.

Folders lie in memory where there is room: a killed process loses nothing there, and waiting for a
disk that others use too would be most of the time.
"""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.embedded.town import VAULTS, BrokerProcess, Town, subject_in

ROOM = 1 << 30
"""Free bytes from which memory is used."""


def _make_folder() -> Path:
    memory = Path("/dev/shm")
    usable = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM
    folder = Path(tempfile.mkdtemp(prefix="heliograph-", dir=memory if usable else None))
    folder.chmod(0o711)
    return folder


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    folder = _make_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def session_path() -> Iterator[Path]:
    folder = _make_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def broker(session_path: Path) -> Iterator[BrokerProcess]:
    folder = session_path / "broker"
    folder.mkdir()
    process = BrokerProcess(folder).start()
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
