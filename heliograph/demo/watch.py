"""What the player knows of the running system: it reads the streams as any subscriber may."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from libs.events.envelope import Recorded, decode
from libs.events.fact import Fact
from libs.events.invoicing import InvoiceIssued
from libs.events.timekeeping import TimeReached
from libs.eventstore import EventStore


class Watch:
    """Follows the streams that keep time, and the invoices that are issued."""

    def __init__(self, store: EventStore, *, deployment: str, streams: Sequence[str]) -> None:
        """Prepare to follow.

        Args:
            store: As the read-only auditor.
            deployment: Id of the installation.
            streams: Every stream that follows time.
        """
        self._store, self._deployment, self._streams = store, deployment, tuple(streams)
        self._reached: dict[str, datetime] = {}
        self._changed = asyncio.Condition()
        self.unpaid: list[Recorded[Fact]] = []
        """Invoices that were issued and not taken by the player yet, oldest first."""

    async def run(self) -> None:
        """Follow all streams until cancelled."""
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(self._follow(stream))

    async def _follow(self, stream: str) -> None:
        family, _, part = stream.partition("_")
        time_only = ".".join(filter(None, (family.lower(), part, "time", "*")))
        subject = None if family == "BILLING" else time_only
        async for batch in self._store.read(stream, subject=subject):
            async with self._changed:
                for stored in batch:
                    recorded = decode(
                        deployment=self._deployment,
                        stream=stored.stream,
                        sequence=stored.sequence,
                        subject=stored.subject,
                        data=stored.data,
                    )
                    self._note(recorded)
                self._changed.notify_all()

    def _note(self, recorded: Recorded[Fact]) -> None:
        fact = recorded.fact
        if isinstance(fact, TimeReached):
            self._reached[recorded.stream] = fact.to
        elif isinstance(fact, InvoiceIssued):
            self.unpaid.append(recorded)

    async def reached(self, time: datetime, *, but: frozenset[str], deadline_s: float) -> None:
        """Wait until every followed stream has reached a time.

        Args:
            time: The time.
            but: Streams that nobody waits for.
            deadline_s: Seconds after which waiting is given up.

        Raises:
            TimeoutError: A stream did not; the message names it and how far it came.
        """
        wanted = [stream for stream in self._streams if stream not in but]

        def late() -> list[str]:
            return [
                stream
                for stream in wanted
                if stream not in self._reached or self._reached[stream] < time
            ]

        try:
            async with asyncio.timeout(deadline_s), self._changed:
                await self._changed.wait_for(lambda: not late())
        except TimeoutError:
            where = {stream: str(self._reached.get(stream)) for stream in late()}
            raise TimeoutError(f"not reached {time}: {where}") from None
