"""The edge that every writing service shares: one store connection, its writers, their commands.

A service's `app.py` joins its rules with this; what is special about a service (MQTT, Stellar) is
another task beside it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from libs.eventstore import JetStreamStore, NotPermitted, StoreUnavailable
from libs.runtime.commands import (
    command_subject,
    serve_commands_faststream,
    serve_commands_plain,
)
from libs.runtime.failures import Transient
from libs.runtime.health import Health
from libs.runtime.orders import OrderDesk
from libs.runtime.settings import ServiceSettings
from libs.runtime.writer import Writer

API_PREFIX: Final = "FACTS.API"
"""Prefix under which a service's account imports the event store's requests (decision 0002)."""

POSITIONS_EVERY_S: Final = 0.5
"""Seconds between two reports of the positions to health."""

Task = Callable[[asyncio.Event], Awaitable[None]]
"""A further task of a service; works until the event is set."""


async def connect_store(settings: ServiceSettings, health: Health) -> JetStreamStore:
    """Connect to the event store as the service's user.

    Raises:
        Transient: It was not reached, or did not let us in (a broker that is just being set up).
    """
    password = settings.nats_password
    try:
        store = await JetStreamStore.connect(
            settings.nats_url,
            settings.nats_user,
            None if password is None else password.get_secret_value(),
            f"heliograph-{settings.service}-store",
            on_closed=lambda why: health.give_up(Transient("nats-closed", why)),
            api_prefix=API_PREFIX,
        )
    except (StoreUnavailable, NotPermitted) as error:
        raise Transient("store-unreachable", str(error)) from error
    health.set("store", ok=True, detail="connected")
    return store


class WritingService:
    """A service process that appends facts: its writers and the desks that feed them."""

    def __init__(
        self,
        *,
        settings: ServiceSettings,
        health: Health,
        store: JetStreamStore,
        writers: Sequence[Writer],
        desks: Mapping[str, OrderDesk] | None = None,
        hot: bool = False,
        tasks: Sequence[Task] = (),
    ) -> None:
        """Join the parts.

        Args:
            settings: The service's.
            health: Where positions and parts are reported.
            store: Closed when the service ends.
            writers: The writers, one per own stream.
            desks: The desk of each book for which commands are taken.
            hot: Whether commands come by a plain subscription in place of FastStream.
            tasks: What else runs beside.
        """
        self._settings, self._health, self._store = settings, health, store
        self._writers, self._desks = tuple(writers), dict(desks or {})
        self._hot, self._tasks = hot, tuple(tasks)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until asked to stop; any part that ends with an error ends all."""
        self._health.set("recovered", ok=False, detail="folding streams")
        try:
            async with asyncio.TaskGroup() as group:
                for writer in self._writers:
                    group.create_task(writer.run(stop))
                for book, desk in self._desks.items():
                    group.create_task(self._serve(book, desk, stop))
                for task in (self._report, *self._tasks):
                    group.create_task(_run(task, stop))
        finally:
            await self._store.close()

    async def _serve(self, book: str, desk: OrderDesk, stop: asyncio.Event) -> None:
        subject = command_subject(self._settings.service, book)
        if self._hot:
            client = self._store.client
            await serve_commands_plain(client, subject, desk.handle, health=self._health, stop=stop)
        else:
            await serve_commands_faststream(
                self._settings, subject, desk.handle, health=self._health, stop=stop
            )

    async def _report(self, stop: asyncio.Event) -> None:
        for writer in self._writers:
            await _either(writer.recovered.wait(), stop)
        self._health.set("recovered", ok=True, detail="streams folded")
        while not stop.is_set():
            for writer in self._writers:
                for position in writer.read.values():
                    self._health.position(position.stream, position.sequence)
            await _either(asyncio.sleep(POSITIONS_EVERY_S), stop)


async def _run(task: Task, stop: asyncio.Event) -> None:
    await task(stop)


async def _either(waiting: Awaitable[object], stop: asyncio.Event) -> None:
    """Wait for something, or for the stop."""
    both = [asyncio.ensure_future(waiting), asyncio.ensure_future(stop.wait())]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in both:
            one.cancel()
