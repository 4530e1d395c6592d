"""Real servers for the tests of the event store."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import NatsServer


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One server for tests that do no harm to it."""
    with NatsServer(tmp_path_factory.mktemp("nats"), "max_payload: 1MB") as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server for one test, which may kill it."""
    with NatsServer(tmp_path / "nats") as server:
        yield server
