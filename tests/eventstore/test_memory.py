"""The store in memory keeps the contract."""

import pytest

from tests.eventstore.contract import EventStoreContract
from tests.eventstore.worlds import MemoryWorld


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


class TestMemoryStore(EventStoreContract):
    """Every test of the contract."""
