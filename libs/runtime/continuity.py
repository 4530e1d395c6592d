"""What lets a writer go on soon after a process has ended: its lease, and snapshots of its fold."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from libs.runtime.failures import BrokenLaw
from libs.runtime.folding import Folding

if TYPE_CHECKING:
    from libs.runtime.lease import Lease
    from libs.runtime.snapshots import Snapshots

LAST_SNAPSHOT_S: Final = 5.0
"""Seconds that the snapshot at a stop may take; without it the next start folds more."""

SNAPSHOT_PAUSE_S: Final = 5.0
"""Seconds between the beginnings of two snapshots, at least: one of 100,000 members takes about a
second, mostly on a thread, and whoever waits for an answer meanwhile shall not notice."""


@dataclass(frozen=True, slots=True)
class Continuity:
    """What lets a writer's work go on sooner after a process has ended."""

    lease: "Lease | None" = None
    """Who holds the pen of the stream; None where only one process is ever started."""
    snapshots: "Snapshots | None" = None
    """Where snapshots are kept, if they are."""


class Saver:
    """Keeps snapshots of one fold: each so many facts, and at the end."""

    def __init__(self, folding: Folding, snapshots: "Snapshots | None") -> None:
        """Join a fold and where its snapshots are kept, if they are and its rules are dumpable."""
        self._folding = folding
        self._snapshots = None if folding.dumpable is None else snapshots
        self._saved_at = 0
        self._began_s = -SNAPSHOT_PAUSE_S
        self._saving: asyncio.Task[None] | None = None

    async def restore(self) -> None:
        """Load the newest snapshot that fits, if there is one, before anything was folded.

        Raises:
            BrokenLaw: Its rows could not be loaded. It is removed, so the next start replays.
        """
        folding = self._folding
        if self._snapshots is None:
            return
        found = await self._snapshots.newest(folding.stream, folding.inputs, folding.store)
        if found is None:
            return
        snapshot, rows = found
        try:
            await asyncio.to_thread(folding.load, snapshot, rows)
        except Exception as error:
            await self._snapshots.remove(snapshot)
            raise BrokenLaw("snapshot-unusable", f"{snapshot.own}: {error!r}") from error

    @property
    def is_due(self) -> bool:
        """Whether it is time for one, and none is being written."""
        if self._snapshots is None or (self._saving is not None and not self._saving.done()):
            return False
        if self._folding.folded - self._saved_at < self._snapshots.every:
            return False
        return asyncio.get_running_loop().time() - self._began_s >= SNAPSHOT_PAUSE_S

    def save_when_due(self) -> None:
        """Begin to write one, if it is time; only called when all that was folded is stored."""
        if self._snapshots is not None and self.is_due:
            self._saved_at = self._folding.folded
            self._began_s = asyncio.get_running_loop().time()
            saving = self._snapshots.save(self._folding.snapshot())
            self._saving = asyncio.create_task(saving)

    async def save_last(self) -> None:
        """Leave one to the next start, if there is time for it."""
        if self._saving is not None and not self._saving.done():
            self._saving.cancel()
            await asyncio.wait({self._saving})
            self._saved_at = -1  # for that one is not written
        if self._snapshots is not None and self._folding.folded > self._saved_at:
            with suppress(TimeoutError):
                async with asyncio.timeout(LAST_SNAPSHOT_S):
                    await self._snapshots.save(self._folding.snapshot())
