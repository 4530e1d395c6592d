"""Wiring of the projection: one store connection; per stream a task with its own connection."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

import asyncpg

from libs.eventstore import EventStore
from libs.runtime.clock import Clock
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from libs.runtime.process import Build
from libs.runtime.writing import connect_store
from services.projection import schema
from services.projection.batch import FactSource, RefusalSource, Source
from services.projection.database import Connection, connect, is_passing, let_go
from services.projection.follower import DELAYS_S, Follower, pause
from services.projection.settings import ProjectionSettings

PART: Final = "postgres"
"""Name of Postgres on health."""

_log = get_logger(__name__)


class Projection:
    """Keeps all views."""

    def __init__(
        self,
        *,
        settings: ProjectionSettings,
        store: EventStore,
        health: Health,
        rebuild: bool = False,
        once: bool = False,
    ) -> None:
        """Prepare; nothing is connected to Postgres yet, so that it may be away at the start.

        Args:
            settings: The projection's.
            store: Where streams are read; closed when the work ends.
            health: Told of everything.
            rebuild: Drop the views first and build them from the streams' beginning.
            once: End when every stream was read to the end that it had at the start.
        """
        self._settings, self._store, self._health = settings, store, health
        self._rebuild, self._once = rebuild, once
        health.set(PART, ok=False, detail="starting")

    async def run(self, stop: asyncio.Event) -> None:
        """Bring the schema up to date, then follow every stream until asked to stop."""
        try:
            await self._persist(stop, self._set_up)
            async with asyncio.TaskGroup() as group:
                for source in self._sources():
                    follower = Follower(
                        source=source,
                        store=self._store,
                        connect=self._connect,
                        health=self._health,
                    )
                    group.create_task(follower.run(stop, until_end=self._once))
            stop.set()  # all followers ended, so they were asked to or it was once only
        finally:
            await self._store.close()

    def _sources(self) -> list[Source]:
        settings = self._settings
        streams, deployment = settings.fact_streams(), settings.deployment
        found: list[Source] = [FactSource(stream, deployment) for stream in streams]
        return [*found, RefusalSource()]

    async def _connect(self) -> "Connection[asyncpg.Record]":
        return await connect(self._settings)

    async def _set_up(self) -> None:
        settings = self._settings
        connection = await self._connect()
        try:
            if self._rebuild:
                await schema.drop(connection, settings.schema_name)
                self._rebuild = False
            await schema.apply(connection, settings.schema_name, reader_role=settings.reader_role)
        finally:
            await let_go(connection)

    async def _persist(self, stop: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
        """Do something with Postgres, again and again until it is there."""
        attempt = 0
        while not stop.is_set():
            try:
                await work()
            except Exception as error:
                if not is_passing(error):
                    raise
                attempt += 1
                self._health.set(PART, ok=False, detail=f"waiting: {error}"[:200])
                _log.warning("postgres-waits", reason=repr(error))
                delay_s = DELAYS_S[min(attempt, len(DELAYS_S)) - 1] * random.uniform(0.5, 1.0)  # noqa: S311 - jitter
                await pause(stop, delay_s)
            else:
                self._health.set(PART, ok=True, detail="schema up to date")
                return


def builder(*, rebuild: bool = False, once: bool = False) -> Build[ProjectionSettings]:
    """Give the function that makes the service; see `Projection` for the arguments."""

    async def build(settings: ProjectionSettings, clock: Clock, health: Health) -> Projection:
        del clock
        store = await connect_store(settings, health)
        return Projection(settings=settings, store=store, health=health, rebuild=rebuild, once=once)

    return build
