"""What the tests of the runtime share."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from pydantic import SecretStr

from libs.runtime.clock import ManualClock
from libs.runtime.health import Health
from libs.runtime.settings import ServiceSettings
from tests.servers import NatsServer


@pytest.fixture(autouse=True)
def _no_variables_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HELIOGRAPH_")]:
        monkeypatch.delenv(name)


class SampleSettings(ServiceSettings):
    """The settings of no service in particular."""


@pytest.fixture
def settings() -> ServiceSettings:
    return SampleSettings(deployment="test", start_timeout_s=5, stop_timeout_s=2)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def health(clock: ManualClock) -> Health:
    return Health("sample", "1.2.3", clock)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    user = "authorization { user: sample, password: secret }"
    with NatsServer(tmp_path / "nats", user) as found:
        yield found


@pytest.fixture
def nats_settings(settings: ServiceSettings, server: NatsServer) -> ServiceSettings:
    changes = {
        "nats_url": server.url,
        "nats_user": "sample",
        "nats_password": SecretStr("secret"),
    }
    return settings.model_copy(update=changes)


@pytest.fixture
async def asker(server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(
        server.url,
        user="sample",
        password="secret",
        max_reconnect_attempts=-1,
        reconnect_time_wait=0,
        error_cb=_ignore,
    )
    yield client
    await client.close()


async def _ignore(_: Exception) -> None:
    """A server that is killed makes errors."""
