"""Asking the stream with which bytes an old sequence was accepted.

Memory holds the latest reports only (`past`). An older one that comes again is answered from the
facts of its meter, all waiting ones of a meter by one pass. One pass at a time; what finds no room
is left to come again.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from libs.events.envelope import Recorded, decode
from libs.events.fact import Fact
from libs.events.metering import ReadingRecorded
from libs.events.subjects import READINGS
from libs.eventstore import EventStore, StoreUnavailable
from libs.runtime.failures import Transient
from services.ingest.corrections import Asked, Looked
from services.ingest.past import Past, digest_of

WAITING_MAX: Final = 1_000
"""Most reports that wait for a pass."""


class LookBack:
    """Reads old readings of meters, one meter after the other."""

    def __init__(self, store: EventStore, *, deployment: str, partition: int) -> None:
        """Prepare.

        Args:
            store: Where READINGS lives.
            deployment: Id of the installation.
            partition: The partition of this process.
        """
        self._store, self._deployment, self._part = store, deployment, str(partition)
        self._stream = READINGS.stream(self._part)
        self._waiting: OrderedDict[str, dict[int, asyncio.Future[Past]]] = OrderedDict()
        self._count = 0
        self._wake = asyncio.Event()

    def ask(self, meter: str, seq: int) -> asyncio.Future[Past] | None:
        """Ask for one sequence; `None` when too many are waiting.

        Returns:
            A future of what was accepted under it: empty when nothing ever was.
        """
        known = self._waiting.get(meter, {}).get(seq)
        if known is not None:
            return known
        if self._count >= WAITING_MAX:
            return None
        answer: asyncio.Future[Past] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(meter, {})[seq] = answer
        self._count += 1
        self._wake.set()
        return answer

    async def run(self) -> None:
        """Work off what is asked, for ever."""
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            meter, asked = self._waiting.popitem(last=False)
            self._count -= len(asked)
            try:
                past = await self._read(meter, set(asked))
            except StoreUnavailable as error:
                lost = Transient("store-unavailable", str(error))
                for answer in asked.values():
                    if not answer.done():
                        answer.set_exception(lost)
                continue
            for answer in asked.values():
                if not answer.done():
                    answer.set_result(past)

    async def recorded(self, asked: Asked) -> Looked:
        """Read what the stream holds by now of some intervals, for the decision of a correction.

        Raises:
            Transient: The event store is away.
        """
        try:
            end = await self._store.end(self._stream)
            looked = Looked(asked, end)
            async with aclosing(self._facts(asked.meter, end, "*")) as facts:
                async for recorded in facts:
                    looked.evolve(recorded)
        except StoreUnavailable as error:
            raise Transient("store-unavailable", str(error)) from error
        return looked

    async def _read(self, meter: str, wanted: set[int]) -> Past:
        """One pass over a meter's readings, ended early when all were found."""
        past = Past()
        end = await self._store.end(self._stream)
        async with aclosing(self._facts(meter, end, ReadingRecorded.fact_name)) as facts:
            async for recorded in facts:
                fact = recorded.fact
                if isinstance(fact, ReadingRecorded) and fact.seq in wanted:
                    past.keep(meter, fact.seq, digest_of(fact.report), recorded.position)
                    wanted.discard(fact.seq)
                if not wanted:
                    break
        return past

    async def _facts(self, meter: str, end: int, name: str) -> AsyncGenerator[Recorded[Fact], None]:
        """Every fact of a meter and of a name, `*` for any, up to a sequence."""
        if not end:
            return
        subject = READINGS.subject(self._part, meter, name)
        reading = self._store.read(self._stream, after=0, until=end, subject=subject)
        async with aclosing(reading) as batches:
            async for batch in batches:
                for stored in batch:
                    yield decode(
                        deployment=self._deployment,
                        stream=stored.stream,
                        sequence=stored.sequence,
                        subject=stored.subject,
                        data=stored.data,
                    )
