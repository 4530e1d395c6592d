"""Follows one stream into Postgres, exactly once, for ever.

A batch is one transaction: its rows and the new position. The position moves first and only from
the place where it is expected, so that of two projectors one waits for the other and then finds
itself fenced. After any trouble with Postgres the stored position is read again and says whether
the last transaction counts; nothing else is remembered.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import asyncpg

from libs.events.positions import Position, fact_hash
from libs.eventstore import EventStore, EventStoreError, Rewound, Trimmed
from libs.runtime.failures import BrokenLaw, FencedOff
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from services.projection.batch import Batch, Source
from services.projection.database import Connection, is_passing, let_go, prepare_staging
from services.projection.inbox import Inbox
from services.projection.table import Merge

DELAYS_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0)
"""Seconds before the first, second, ... further attempt; the last repeats for ever."""

REFUSALS_KEPT: Final = 100_000
"""Rows of REFUSALS that are kept, by position."""

_MOVE: Final = """
UPDATE projection_position
SET sequence = $2, hash = $3, fact_count = fact_count + $4, last_at = coalesce($5, last_at),
    moved_at = now()
WHERE stream = $1 AND sequence = $6 AND hash = $7
RETURNING fact_count
"""

_FORGET: Final = "DELETE FROM refusal WHERE stream = $1 AND (sequence <= $2 OR $3)"

_log = get_logger(__name__)

Connect = Callable[[], Awaitable["Connection[asyncpg.Record]"]]
"""Opens a connection of the follower's own."""


class Follower:
    """Keeps the rows of one stream."""

    def __init__(
        self, *, source: Source, store: EventStore, connect: Connect, health: Health
    ) -> None:
        """Prepare.

        Args:
            source: The stream, and how its messages become rows.
            store: Where it is read.
            connect: Opens a connection to Postgres.
            health: Told of a part named after the stream, and of the position.
        """
        self._source, self._store = source, store
        self._connect, self._health = connect, health
        self.stream = source.stream
        self._part = f"view-{source.stream}"
        self._at: Position | None = None
        self._hoped: Position | None = None
        self._followed = False

    async def run(self, stop: asyncio.Event, *, until_end: bool = False) -> None:
        """Follow until asked to stop.

        Args:
            stop: Ends the work behind the transaction that is under way.
            until_end: End by itself at what is the stream's end when it begins.

        Raises:
            FencedOff: Another projector moved the position.
            BrokenLaw: Another history stands in the stream, or a count is wrong.
            InvalidFact: Bytes that are no fact.
        """
        attempt = 0
        self._say(ok=not self._source.is_of_facts, detail="starting")
        while not stop.is_set():
            self._followed = False
            try:
                await self._work(stop, until_end=until_end)
            except Exception as error:
                if not self._may_pass(error):
                    raise
                if until_end and not is_passing(error):
                    _log.warning("view-left-out", stream=self.stream, reason=repr(error))
                    return
                attempt = 1 if self._followed else attempt + 1
                self._say(ok=not self._source.is_of_facts, detail=f"waiting: {error}"[:200])
                self._health.count("projection-retries")
                delay_s = DELAYS_S[min(attempt, len(DELAYS_S)) - 1] * random.uniform(0.5, 1.0)  # noqa: S311
                _log.warning(
                    "view-waits", stream=self.stream, reason=repr(error), delay_s=round(delay_s, 2)
                )
                await pause(stop, delay_s)
            else:
                return

    def _may_pass(self, error: Exception) -> bool:
        if not self._source.is_of_facts and isinstance(error, EventStoreError):
            return True  # it may be missing, and nothing rests on it
        return is_passing(error)

    def _say(self, *, ok: bool, detail: str) -> None:
        self._health.set(self._part, ok=ok, detail=detail)

    async def _work(self, stop: asyncio.Event, *, until_end: bool) -> None:
        """Everything that hangs on one connection to Postgres."""
        connection = await self._connect()
        try:
            await prepare_staging(connection)
            position = await self._stand(connection)
            until = await self._store.end(self.stream) if until_end else None
            await self._check_history(position)
            self._say(ok=True, detail="following")
            self._followed = True
            await self._follow(connection, stop, until)
        finally:
            await let_go(connection)

    async def _follow(
        self, connection: "Connection[asyncpg.Record]", stop: asyncio.Event, until: int | None
    ) -> None:
        """Read in one task and write in this one, which alone touches the connection."""
        assert self._at is not None, "the position was read"
        inbox = Inbox()
        reading = asyncio.create_task(self._read(inbox, self._at.sequence, until))
        stopping = asyncio.create_task(_close_on(stop, inbox))
        try:
            while (batch := await inbox.take()) is not None:
                await self._apply(connection, batch)
                if stop.is_set():
                    return
        finally:
            for task in (reading, stopping):
                task.cancel()
            await asyncio.gather(reading, stopping, return_exceptions=True)

    async def _read(self, inbox: Inbox, after: int, until: int | None) -> None:
        """Bring batches until the stream's reader ends."""
        try:
            while until is None or after < until:
                try:
                    after = await self._read_on(inbox, after, until)
                except Trimmed as error:  # REFUSALS loses messages by age
                    if self._source.is_of_facts:
                        raise
                    after = error.first - 1
                except Rewound:  # and may be made anew
                    if self._source.is_of_facts:
                        raise
                    after = 0
            inbox.close()
        except Exception as error:  # noqa: BLE001 - raised where batches are taken
            inbox.close(error)

    async def _read_on(self, inbox: Inbox, after: int, until: int | None) -> int:
        """Read behind a position; give where the reader ended by itself."""
        reader = self._store.read(
            self.stream, after=after, until=until, subject=self._source.subject
        )
        async with aclosing(reader) as batches:
            async for messages in batches:
                batch = self._source.batch(messages, after)
                after = batch.sequence
                await inbox.put(batch)
        if until is None:
            raise BrokenLaw("reader-ended", f"the reader of {self.stream} ended by itself")
        return until

    async def _stand(self, connection: "Connection[asyncpg.Record]") -> Position:
        """Read the stored position; it must be where we left it, or where we hoped to be."""
        await connection.execute(
            "INSERT INTO projection_position (stream) VALUES ($1) ON CONFLICT DO NOTHING",
            self.stream,
        )
        row = await connection.fetchrow(
            "SELECT sequence, hash FROM projection_position WHERE stream = $1", self.stream
        )
        assert row is not None, "it was just inserted"
        position = Position(self.stream, row["sequence"], row["hash"])
        if self._at is not None and position not in {self._at, self._hoped}:
            raise FencedOff(
                "fenced", f"another projector moved {self._at} to {position}; this one ends"
            )
        self._at, self._hoped = position, None
        self._health.position(self.stream, position.sequence)
        return position

    async def _check_history(self, position: Position) -> None:
        """Compare the stored hash with the stream: it must be the history that was projected."""
        if position.sequence == 0 or not self._source.is_of_facts:
            return
        stored = await self._store.get(self.stream, position.sequence)
        if stored is None:
            end = await self._store.end(self.stream)
            if end < position.sequence:
                raise BrokenLaw("rewound", f"{self.stream} ends at {end}, before {position}")
        elif fact_hash(stored.data) != position.hash:
            raise BrokenLaw("other-history", f"another fact stands at {position}")

    async def _apply(self, connection: "Connection[asyncpg.Record]", batch: Batch) -> None:
        """One transaction: move the position from where it is expected, then bring the rows."""
        before, of_facts = self._at, self._source.is_of_facts
        assert before is not None, "the position was read"
        assert before.sequence == batch.after or not of_facts, "batches follow each other"
        self._hoped = Position(self.stream, batch.sequence, batch.hash)
        async with connection.transaction():
            moves = (batch.sequence, batch.hash, batch.count, batch.last_at)
            expected = (before.sequence, before.hash)
            count = await connection.fetchval(_MOVE, self.stream, *moves, *expected)
            if count is None:
                raise FencedOff("fenced", f"another projector moved the position from {before}")
            if of_facts and count != batch.sequence:
                raise BrokenLaw("count", f"{count} facts projected at {self._hoped}")
            if not of_facts:
                oldest = batch.sequence - REFUSALS_KEPT
                await connection.execute(_FORGET, self.stream, oldest, batch.after == 0)
            await _bring(connection, batch)
        self._at, self._hoped = self._hoped, None
        self._health.position(self.stream, batch.sequence)
        self._health.count("facts-projected", batch.count)


async def _bring(connection: "Connection[asyncpg.Record]", batch: Batch) -> None:
    """Copy the rows of a batch: appended ones into their table, others to be merged."""
    for table, rows in batch.tables():
        appended = table.merge is Merge.APPEND
        target = table.name if appended else table.staging
        await connection.copy_records_to_table(target, records=rows, columns=table.columns)
        if not appended:
            await connection.execute(table.merge_sql())


async def _close_on(stop: asyncio.Event, inbox: Inbox) -> None:
    await stop.wait()
    inbox.close()


async def pause(stop: asyncio.Event, delay_s: float) -> None:
    """Wait, but not beyond the stop."""
    try:
        async with asyncio.timeout(delay_s):
            await stop.wait()
    except TimeoutError:
        return
