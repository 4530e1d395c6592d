"""Devnets for tests: in this process, behind a client that needs no socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from devnet import horizon
from devnet.node import Node
from devnet.protocol import Network
from devnet.store import Store
from tests.devnet.world import PASSPHRASE, START


@dataclass
class Local:
    """A devnet in this process, with a clock that stands still unless it is moved."""

    node: Node
    http: httpx.AsyncClient
    clock: list[int]


async def _local(folder: Path, *, played: bool) -> AsyncIterator[Local]:
    network = Network.from_passphrase(PASSPHRASE)
    store = Store.open(folder, network)
    clock = [START]
    node = Node(network=network, store=store, clock=lambda: clock[0], played=played)
    transport = httpx.ASGITransport(app=horizon.build(node), client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://devnet") as http:
        yield Local(node, http, clock)
    await node.stop()
    store.close()


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Local]:
    async for devnet in _local(tmp_path, played=False):
        yield devnet


@pytest.fixture
async def played(tmp_path: Path) -> AsyncIterator[Local]:
    async for devnet in _local(tmp_path, played=True):
        yield devnet
