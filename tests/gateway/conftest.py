"""A told world behind a gateway: projected once per run, asked by every test."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from libs.eventstore import MemoryStore
from libs.runtime.clock import SystemClock
from libs.runtime.health import Health
from services.gateway.app import create_app, make_feed
from services.gateway.database import Views
from services.gateway.settings import GatewaySettings
from services.gateway.state import State
from services.projection.settings import ProjectionSettings
from tests.gateway.network import tell_network
from tests.projection.pg import Server
from tests.projection.running import run_once
from tests.projection.story import tell
from tests.projection.world import DEPLOYMENT, World, specs


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    server = Server()
    asyncio.run(server.start())
    yield server
    server.close()


@pytest.fixture
def health() -> Health:
    return Health("gateway", "test", SystemClock())


async def project(dsn: str, store: MemoryStore) -> None:
    settings = ProjectionSettings.from_environment(
        {"HELIOGRAPH_DEPLOYMENT": DEPLOYMENT, "HELIOGRAPH_PROJECTION_POSTGRES_DSN": dsn}
    )
    await run_once(settings, store, Health("projection", "test", SystemClock()))


def memory() -> MemoryStore:
    store = MemoryStore()
    for spec in specs():
        store.server.declare(spec)
    return store


_TOLD: dict[int, str] = {}


@pytest.fixture
async def told(postgres: Server) -> str:
    """DSN of a database that holds the told world; nobody changes it."""
    if postgres.port not in _TOLD:
        dsn = await postgres.new_database()
        store = memory()
        await tell(World(store))
        await project(dsn, store)
        _TOLD[postgres.port] = postgres.reader(dsn)
    return _TOLD[postgres.port]


def gateway_settings(dsn: str, **more: str) -> GatewaySettings:
    environment = {
        "HELIOGRAPH_DEPLOYMENT": DEPLOYMENT,
        "HELIOGRAPH_GATEWAY_POSTGRES_DSN": dsn,
        "HELIOGRAPH_GATEWAY_PORT": "0",
        "HELIOGRAPH_PLAYED_TIME": "true",
    }
    return GatewaySettings.from_environment(environment | more)


async def made_state(dsn: str, health: Health, **more: str) -> State:
    settings = gateway_settings(dsn, **more)
    views = Views(settings, health)
    await views.open()
    return State(settings, health, views, make_feed(views, settings))


@pytest.fixture
async def state(told: str, health: Health) -> AsyncIterator[State]:
    made = await made_state(told, health)
    yield made
    await made.views.close()


@pytest.fixture
async def api(state: State) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(state), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


_NETWORKS: dict[int, str] = {}


@pytest.fixture
async def network(postgres: Server, health: Health) -> AsyncIterator[httpx.AsyncClient]:
    """A gateway's API before the told energy network; nobody changes it."""
    if postgres.port not in _NETWORKS:
        dsn = await postgres.new_database()
        store = memory()
        await tell_network(World(store))
        await project(dsn, store)
        _NETWORKS[postgres.port] = postgres.reader(dsn)
    state = await made_state(_NETWORKS[postgres.port], health)
    async with client_of(state) as client:
        yield client
    await state.views.close()


def client_of(state: State) -> httpx.AsyncClient:
    """Ask a gateway below `/api`."""
    transport = httpx.ASGITransport(create_app(state))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway/api")
