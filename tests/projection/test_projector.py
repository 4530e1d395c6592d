"""The projector against a real PostgreSQL and the memory twin of the event store."""

import asyncio
from decimal import Decimal
from typing import Any

import asyncpg
import pytest

from libs.eventstore import MemoryStore
from libs.runtime.health import Health
from services.projection.settings import ProjectionSettings
from tests.projection.running import caught_up, contents, projecting, run_once, until
from tests.projection.world import World, tell

Database = "asyncpg.Connection[asyncpg.Record]"


async def test_a_told_world_stands_in_every_table(
    world: World, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    await tell(world)
    async with projecting(settings, world.store, health):
        await until(lambda: caught_up(database, world))
    found = await contents(database)
    empty = {name for name, rows in found.items() if not rows}
    assert empty == {"refusal"}
