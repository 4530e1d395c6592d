"""Where decoded batches wait while Postgres is at work: bounded, joined when they are taken."""

import asyncio
from collections import deque
from typing import Final

from services.projection.batch import Batch

FACTS_MAX: Final = 1_000
"""Most facts in one transaction, unless a single batch has more."""

WAITING_FACTS_MAX: Final = 3_000
"""Most facts that wait; the reader pauses above it."""


class Inbox:
    """A queue of batches of one stream, with one reader and one taker."""

    def __init__(self) -> None:
        self._batches: deque[Batch] = deque()
        self._facts = 0
        self._closed = False
        self._failure: BaseException | None = None
        self._arrived, self._room = asyncio.Event(), asyncio.Event()

    async def put(self, batch: Batch) -> None:
        """Add a batch, and wait until there is room for the next."""
        self._batches.append(batch)
        self._facts += batch.count
        self._arrived.set()
        while self._facts >= WAITING_FACTS_MAX:
            self._room.clear()
            await self._room.wait()

    def close(self, failure: BaseException | None = None) -> None:
        """Say that nothing more will come.

        Args:
            failure: Why, if it is an error; raised once everything was taken.
        """
        self._closed = True
        self._failure = self._failure or failure
        self._arrived.set()

    async def take(self) -> Batch | None:
        """Give what waits, joined up to `FACTS_MAX` facts; `None` when nothing more will come."""
        while not self._batches:
            if self._closed:
                if self._failure is not None:
                    raise self._failure
                return None
            self._arrived.clear()
            await self._arrived.wait()
        batch = self._batches.popleft()
        while self._batches and batch.count + self._batches[0].count <= FACTS_MAX:
            batch.join(self._batches.popleft())
        self._facts -= batch.count
        self._room.set()
        return batch
