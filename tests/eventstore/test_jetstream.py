"""The store on a real nats-server keeps the contract."""

from collections.abc import AsyncIterator

import pytest

from tests.eventstore.contract_appending import AppendingContract
from tests.eventstore.contract_reading import ReadingContract
from tests.eventstore.worlds import JetStreamWorld
from tests.faults import FaultProxy
from tests.servers import NatsServer


@pytest.fixture
async def world(shared_server: NatsServer) -> AsyncIterator[JetStreamWorld]:
    async with FaultProxy(shared_server.port) as proxy:
        made = JetStreamWorld(shared_server, proxy)
        await made.forget_streams()
        yield made
        await made.close()


class TestJetStreamStore(AppendingContract, ReadingContract):
    """Every test of the contract."""
