"""One PostgreSQL for the whole run, one database and one memory store per test."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from libs.eventstore import MemoryStore
from libs.runtime.clock import SystemClock
from libs.runtime.health import Health
from services.projection.settings import ProjectionSettings
from tests.projection.pg import Server
from tests.projection.world import DEPLOYMENT, World, specs


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    server = Server()
    asyncio.run(server.start())
    yield server
    server.close()


@pytest.fixture
async def dsn(postgres: Server) -> str:
    return await postgres.new_database()


@pytest.fixture
def settings(dsn: str) -> ProjectionSettings:
    return ProjectionSettings.from_environment(
        {"HELIOGRAPH_DEPLOYMENT": DEPLOYMENT, "HELIOGRAPH_PROJECTION_POSTGRES_DSN": dsn}
    )


@pytest.fixture
def store() -> MemoryStore:
    made = MemoryStore()
    for spec in specs():
        made.server.declare(spec)
    return made


@pytest.fixture
def world(store: MemoryStore) -> World:
    return World(store)


@pytest.fixture
def health() -> Health:
    return Health("projection", "test", SystemClock())


@pytest.fixture
async def database(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "heliograph"})
    yield connection
    await connection.close()
