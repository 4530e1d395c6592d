"""The store in memory keeps the contract."""

import pytest

from tests.eventstore.contract_appending import AppendingContract
from tests.eventstore.contract_reading import ReadingContract
from tests.eventstore.worlds import MemoryWorld


@pytest.fixture
def world() -> MemoryWorld:
    return MemoryWorld()


class TestMemoryStore(AppendingContract, ReadingContract):
    """Every test of the contract."""
