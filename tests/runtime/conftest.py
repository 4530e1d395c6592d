"""What the tests of the runtime share."""

import os

import pytest

from libs.runtime.clock import ManualClock
from libs.runtime.health import Health
from libs.runtime.settings import ServiceSettings


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
