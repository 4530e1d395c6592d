"""Reading a stream in order, for ever, through whatever happens to server and connection.

Whatever ends a session (connection lost, server restarted, consumer gone, no heartbeat, a delivery
lost on the way), the next one begins behind the last position that was handed over, after asking
the leader where the stream begins and ends. So nothing is skipped or repeated, and an emptied or
older store is noticed.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from typing import Final, Protocol

from libs.eventstore.errors import (
    GapFound,
    NotPermitted,
    Rewound,
    StoreUnavailable,
    Trimmed,
)
from libs.eventstore.link import Link
from libs.eventstore.model import Stored, StreamState
from libs.eventstore.session import Session, SessionOver

RESTART_PAUSE_S: Final = 0.02
"""Seconds before the next session; doubled each time nothing came of one."""
RESTART_PAUSE_MAX_S: Final = 1.0
"""Most seconds between two sessions."""
END_PATIENCE_S: Final = 0.2
"""Seconds between two looks at the end, for a filtered reader that waits for a position."""

_LOG: Final = logging.getLogger("heliograph.eventstore")


class Leader(Protocol):
    """What a reader asks the stream's leader."""

    async def ask(self, stream: str, sequence: int, deadline: float) -> Stored | None:
        """Give the message at a position."""
        ...

    async def state(self, stream: str, deadline: float) -> StreamState:
        """Give first and last position."""
        ...

    async def last(self, stream: str, subject: str) -> Stored | None:
        """Give the last message of a subject."""
        ...


class Restarts:
    """Paces new sessions, and knows when they are of no use."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._barren = 0
        self._nobody_since: float | None = None

    def progress(self) -> None:
        """Something came."""
        self._barren, self._nobody_since = 0, None

    async def pause(self, why: SessionOver | StoreUnavailable) -> None:
        """Wait before the next session.

        Raises:
            NotPermitted: For some time nobody has served our requests.
            StoreUnavailable: The connection is closed for good.
        """
        _LOG.debug("session-over %s", why)
        if isinstance(why, StoreUnavailable) and self._link.closed_because is not None:
            raise why
        if not isinstance(why, SessionOver) or why.nobody is None:
            self._nobody_since = None
        elif self._nobody_since is None:
            self._nobody_since = self._link.now()
        elif self._link.now() - self._nobody_since > self._link.settings.grace_s:
            raise NotPermitted(why.nobody, "nobody serves it for this connection")
        self._barren += 1
        pause_s = RESTART_PAUSE_S * 2.0 ** min(self._barren - 1, 10)
        await asyncio.sleep(min(pause_s, RESTART_PAUSE_MAX_S))


class Follower:
    """A reader with its position."""

    def __init__(
        self,
        link: Link,
        leader: Leader,
        stream: str,
        after: int,
        until: int | None,
        subject: str | None,
    ) -> None:
        self._link = link
        self._leader = leader
        self._stream = stream
        self._position = after
        self._until = until
        self._subject = subject

    async def batches(self) -> AsyncGenerator[list[Stored], None]:
        """Read in order from session to session; see `EventStore.read`."""
        restarts = Restarts(self._link)
        while not self._done():
            session: Session | None = None
            try:
                state = await self._start()
                session = self._session()
                policy = {
                    "deliver_policy": "by_start_sequence",
                    "opt_start_seq": self._position + 1,
                }
                await session.open(policy, self._deadline())
                while not self._done() and not self._exhausted(session, state):
                    batch = await self._next(session, state)
                    if batch:
                        restarts.progress()
                        yield batch
            except (SessionOver, StoreUnavailable) as why:
                await restarts.pause(why)
            finally:
                if session is not None:
                    await session.close()

    def _session(self) -> Session:
        wanted = None
        if self._until is not None and self._subject is None:
            wanted = self._until - self._position
        return Session(self._link, self._stream, self._position, self._subject, wanted)

    def _done(self) -> bool:
        return self._until is not None and self._position >= self._until

    def _exhausted(self, session: Session, state: StreamState) -> bool:
        """Tell whether a filtered reader has all up to `until`; nothing need match any more."""
        if self._subject is None or self._until is None or state.last < self._until:
            return False
        if session.handed < session.pending_at_start:
            return False
        self._position = self._until
        return True

    async def _start(self) -> StreamState:
        """Ask where the stream begins and ends, and check that our position lies in it."""
        patient_until = self._link.now() + self._link.settings.grace_s
        while True:
            state = await self._leader.state(self._stream, self._deadline())
            if self._position + 1 < state.first:
                raise Trimmed(self._stream, self._position + 1, state.first)
            if self._position <= state.last:
                return state
            if self._link.now() > patient_until:
                raise Rewound(self._stream, self._position, state.last)
            await asyncio.sleep(RESTART_PAUSE_S)

    async def _next(self, session: Session, state: StreamState) -> list[Stored]:
        waits_for_end = self._subject is not None and self._until is not None
        try:
            batch = await session.next(
                END_PATIENCE_S if waits_for_end else self._link.settings.silence_max_s
            )
        except GapFound as gap:
            now = await self._leader.state(self._stream, self._deadline())
            if now.first > gap.missing:
                raise Trimmed(self._stream, gap.missing, now.first) from gap
            raise
        if not batch:
            await self._look_at_silence(state)
            return batch
        self._position = batch[-1].sequence
        if self._until is not None and self._position > self._until:
            batch = [message for message in batch if message.sequence <= self._until]
        return batch

    async def _look_at_silence(self, state: StreamState) -> None:
        """Nothing comes: is there nothing, or does the server hold something back?"""
        if self._subject is not None:
            if self._until is not None and state.last < self._until:
                now = await self._leader.state(self._stream, self._deadline())
                if now.last >= self._until:
                    raise SessionOver("the awaited position exists")
            return
        if self._position >= state.last:
            return
        missing = self._position + 1
        if await self._leader.ask(self._stream, missing, self._deadline()) is not None:
            raise SessionOver(f"the server holds back position {missing}")
        now = await self._leader.state(self._stream, self._deadline())
        if now.first > missing:
            raise Trimmed(self._stream, missing, now.first)
        raise GapFound(self._stream, missing, now.last)

    def _deadline(self) -> float:
        return self._link.now() + self._link.settings.deadline_s


async def heads(
    link: Link, leader: Leader, stream: str, subject_filter: str
) -> AsyncGenerator[list[Stored], None]:
    """Give the last message of every matching subject; see `EventStore.last_each`.

    A consumer with policy `last_per_subject` is used: direct gets (`multi_last`) refuse more than
    1,024 subjects, and may be answered by a follower that is behind. The consumer may live on such
    a follower too, so the pass ends only after the last match that the *leader* had at the start
    was seen; a log is applied in order.
    """
    newest = await leader.last(stream, subject_filter)
    if newest is None:
        return
    position, restarts = 0, Restarts(link)
    deadline = link.now() + link.settings.deadline_s
    while link.now() <= deadline:
        session = Session(link, stream, 0, subject_filter, None)
        try:
            await session.open({"deliver_policy": "last_per_subject"}, deadline)
            while session.handed < session.pending_at_start or position < newest.sequence:
                batch = await session.next(END_PATIENCE_S)
                # After a new start the pass begins anew; what was handed over already is left out.
                fresh = [message for message in batch if message.sequence > position]
                if fresh:
                    position = fresh[-1].sequence
                    restarts.progress()
                    deadline = link.now() + link.settings.deadline_s
                    yield fresh
                elif link.now() > deadline:
                    break
            else:
                return
        except SessionOver as why:
            await restarts.pause(why)
        finally:
            await session.close()
    raise StoreUnavailable(f"no progress reading {subject_filter} of {stream}")
