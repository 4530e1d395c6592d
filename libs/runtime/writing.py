"""The edge that every writing service shares: one store connection, its writers, their commands.

A service's `app.py` joins its rules with this; what is special about a service (MQTT, Stellar) is
another task beside it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from libs.eventstore import JetStreamStore, NotPermitted, StoreUnavailable
from libs.runtime.commands import command_subject, serve_commands_faststream
from libs.runtime.failures import Transient
from libs.runtime.health import Health
from libs.runtime.heap import settle_heap, spare_heap
from libs.runtime.hot_commands import serve_commands_plain
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
        spare_heap()
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
        await self._wait_for_pen(desk.writer, subject, stop)
        if stop.is_set():
            return
        if self._hot:
            client = self._store.client
            await serve_commands_plain(client, subject, desk.take, health=self._health, stop=stop)
        else:
            await serve_commands_faststream(
                self._settings, subject, desk.handle, health=self._health, stop=stop
            )

    async def _wait_for_pen(self, writer: Writer, subject: str, stop: asyncio.Event) -> None:
        """Return once this process may take commands; a standby is ready without taking any."""
        if writer.lease is None:
            return  # it holds the pen from the start, and commands wait until it has recovered
        self._health.set(subject, ok=False, detail="waiting for the pen")
        recovered = writer.recovered
        await _either(writer.lease.standing_by.wait(), recovered.wait(), stop.wait())
        if not recovered.is_set():
            self._health.set(subject, ok=True, detail="standby takes no commands")
        await _either(recovered.wait(), stop.wait())

    async def _report(self, stop: asyncio.Event) -> None:
        for writer in self._writers:
            await _either(writer.caught_up.wait(), stop.wait())
        settle_heap()
        self._health.set("recovered", ok=True, detail="streams folded")
        while not stop.is_set():
            for writer in self._writers:
                for position in writer.read.values():
                    self._health.position(position.stream, position.sequence)
            await _either(asyncio.sleep(POSITIONS_EVERY_S), stop.wait())


async def _run(task: Task, stop: asyncio.Event) -> None:
    await task(stop)


async def _either(*waiting: Awaitable[object]) -> None:
    """Wait for the first of several things."""
    all_of_them = [asyncio.ensure_future(one) for one in waiting]
    try:
        await asyncio.wait(all_of_them, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in all_of_them:
            one.cancel()
