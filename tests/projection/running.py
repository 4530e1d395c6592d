"""Helpers that run a projection inside a test."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from libs.eventstore import EventStore
from libs.runtime.health import Health
from services.projection.app import Projection
from services.projection.settings import ProjectionSettings
from services.projection.tables import TABLES
from tests.projection.world import World


class Shared:
    """A store that several projections use: closing is the test's business."""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def close(self) -> None:
        """Stay open."""


@asynccontextmanager
async def projecting(
    settings: ProjectionSettings, store: EventStore, health: Health, **how: bool
) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a projection until the block ends."""
    stop = asyncio.Event()
    shared: Any = Shared(store)
    service = Projection(settings=settings, store=shared, health=health, **how)
    task = asyncio.create_task(service.run(stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.gather(task, return_exceptions=True)


async def run_once(
    settings: ProjectionSettings, store: EventStore, health: Health, **how: bool
) -> None:
    shared: Any = Shared(store)
    service = Projection(settings=settings, store=shared, health=health, once=True, **how)
    async with asyncio.timeout(30):
        await service.run(asyncio.Event())


async def until(
    true: Callable[[], Awaitable[bool]], seconds: float = 60, every: float = 0.02
) -> None:
    deadline = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline, "it never became true"
        await asyncio.sleep(every)


async def caught_up(database: "asyncpg.Connection[asyncpg.Record]", world: World) -> bool:
    """Whether every stream's position is its end, with as many facts, and the same hash."""
    try:
        rows = await database.fetch(
            "SELECT stream, sequence, hash, fact_count FROM projection_position"
        )
    except asyncpg.UndefinedTableError:
        return False
    at = {row["stream"]: tuple(row)[1:] for row in rows}
    return all(
        at.get(name) == (end.sequence, end.hash, end.sequence) for name, end in world.ends.items()
    )


async def contents(
    database: "asyncpg.Connection[asyncpg.Record]",
) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, sorted; wall-clock columns left out."""
    found = {}
    for table in TABLES:
        rows = await database.fetch(f"SELECT {', '.join(table.columns)} FROM {table.name}")
        found[table.name] = sorted((tuple(row) for row in rows), key=repr)
    rows = await database.fetch(
        "SELECT stream, sequence, hash, fact_count, last_at FROM projection_position"
    )
    found["projection_position"] = sorted((tuple(row) for row in rows), key=repr)
    return found
