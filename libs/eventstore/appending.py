"""The outcome table of an append: when it landed, when it may be sent again, when to give up.

This is the one place that decides about an append. It speaks to a store through the small port
`Wire`, so the same lines run against NATS and against the store in memory, and every row can be
tested without a socket.

It never guesses: success is a server's answer or our own append id found at the position behind
`expected`; failure is somebody else's append id there. Everything else is asked again until the
deadline, and then reported as unknown.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Final, Protocol

from libs.eventstore.errors import (
    EventStoreError,
    Fenced,
    NotPermitted,
    Rewound,
    StoreUnavailable,
    TornAppend,
    UnexpectedAnswer,
    UnknownStream,
)
from libs.eventstore.model import Frame, Stored, StreamState

PAUSE_FIRST_S: Final = 0.02
"""Seconds before an append is sent for the third time; doubled each time."""
PAUSE_MAX_S: Final = 1.0
"""Most seconds between two attempts."""
GRACE_S: Final = 2.0
"""Seconds for which what looks like a lasting fault may still be a server that is starting.

Nobody serves a subject (or the permission is missing), or only a part of a batch can be read (or
the batch is torn).
"""


@dataclass(frozen=True, slots=True)
class Append:
    """One append as it is sent, perhaps several times."""

    stream: str
    """Where to."""
    frames: tuple[Frame, ...]
    """What, checked already."""
    expected: int
    """The position behind which it belongs."""
    append_id: str
    """Random, the same in every attempt."""

    @property
    def last(self) -> int:
        """The last position once it is stored."""
        return self.expected + len(self.frames)


@dataclass(frozen=True, slots=True)
class Landed:
    """The server says that everything is stored."""

    last: int
    """Position of the last message."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server says that nothing was stored by this attempt."""

    text: str
    """The server's words."""
    error: EventStoreError | None = None
    """What to raise; None when the attempt may be repeated."""


@dataclass(frozen=True, slots=True)
class Nobody:
    """Nobody serves the subject: a server is starting, or an import is missing."""

    subject: str
    """The subject that was tried."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """No answer in time, or the connection was lost."""

    text: str
    """Why there is no answer."""


Answer = Landed | Refused | Nobody | Unknown


class Wire(Protocol):
    """What an append needs from a store."""

    async def send(self, append: Append, attempt: int, deadline: float) -> Answer:
        """Send all frames once and give the answer.

        Args:
            append: What to send.
            attempt: Counted from 1.
            deadline: Loop time (s) until which a connection is waited for.

        Raises:
            StoreUnavailable: It could not be sent, nor ever can be.
        """
        ...

    async def ask(self, stream: str, sequence: int, deadline: float) -> Stored | None:
        """Give the message at a position from the leader; asks until a deadline (loop time, s)."""
        ...

    async def state(self, stream: str, deadline: float) -> StreamState:
        """Give the stream's state from the leader; asks until the deadline (loop time, s)."""
        ...


async def append_once(
    wire: Wire,
    append: Append,
    deadline_s: float,
    now: Callable[[], float],
    grace_s: float = GRACE_S,
) -> int:
    """Store an append exactly once, or prove that it is not stored, or say that this is unknown.

    Args:
        wire: The store.
        append: What to store.
        deadline_s: Seconds until the outcome is reported as unknown.
        now: Loop time (s).
        grace_s: Seconds for which a lasting fault may still be a server that starts.

    Returns:
        The last position.

    Raises:
        Fenced: Another append holds the position.
        Rewound: The stream ends before `append.expected`.
        StoreFull: Nothing was stored, there is no room.
        NotPermitted: Nobody serves the subject for this connection.
        StoreUnavailable: The outcome is unknown.

    Source:
        Contract on eventing, section 3, outcome table.
    """
    return await _Attempts(wire, append, now() + deadline_s, now, grace_s).run()


class _Attempts:
    """All attempts of one append."""

    def __init__(
        self,
        wire: Wire,
        append: Append,
        deadline: float,
        now: Callable[[], float],
        grace_s: float,
    ) -> None:
        self._wire = wire
        self._append = append
        self._deadline = deadline
        self._now = now
        self._grace_s = grace_s
        self._nobody_since: float | None = None
        self._doubtful = False  # An attempt without an answer may still arrive.

    async def run(self) -> int:
        append = self._append
        for attempt in count(1):
            # 1. Send. Only a positive answer ends the matter here.
            answer = await self._wire.send(append, attempt, self._deadline)
            if isinstance(answer, Landed):
                if answer.last != append.last:
                    raise UnexpectedAnswer(f"{append.stream} ends at {answer.last}, not as asked")
                return append.last
            # 2. Ask the leader what stands at the position. Ours: it landed. Another's: fenced.
            self._doubtful = self._doubtful or isinstance(answer, Unknown)
            if await self._landed():
                return append.last
            # 3. Nothing stands there. Is this the end of it?
            self._give_up_on(answer)
            # 4. The same facts go out again under the same position and append id.
            if attempt > 1:
                pause_s = PAUSE_FIRST_S * 2.0 ** min(attempt - 2, 10)
                await asyncio.sleep(min(pause_s, PAUSE_MAX_S))
        raise AssertionError("count() has no end")

    async def _landed(self) -> bool:
        """Tell whether the append is stored; False means that its position is free."""
        try:
            return await self._look()
        except (NotPermitted, UnknownStream) as error:
            if self._doubtful:
                raise self._unknown(str(error)) from error
            raise
        except TornAppend:
            raise
        except StoreUnavailable as error:
            raise self._unknown(str(error)) from error

    async def _look(self) -> bool:
        append, stream = self._append, self._append.stream
        found = await self._wire.ask(stream, append.expected + 1, self._deadline)
        if found is None:
            state = await self._wire.state(stream, self._deadline)
            if state.last < append.expected:
                raise Rewound(stream, append.expected, state.last)
            if state.last == append.expected:
                return False
            # Stored between the two questions, or trimmed already: one more question tells which.
            found = await self._wire.ask(stream, append.expected + 1, self._deadline)
            if found is None:
                raise self._unknown(f"position {append.expected + 1} exists but is not kept")
        if found.append_id != append.append_id:
            raise Fenced(stream, append.expected, found.append_id)
        if len(append.frames) > 1:
            await self._wait_for_rest()
        return True

    async def _wait_for_rest(self) -> None:
        """See that not only the first fact is stored; the server may be at it just now."""
        append = self._append
        patient_until = min(self._now() + self._grace_s, self._deadline)
        while True:
            final = await self._wire.ask(append.stream, append.last, self._deadline)
            if final is not None and final.append_id == append.append_id:
                return
            if final is not None or self._now() > patient_until:
                state = await self._wire.state(append.stream, self._deadline)
                raise TornAppend(append.stream, state.last)
            await asyncio.sleep(PAUSE_FIRST_S)

    def _give_up_on(self, answer: Refused | Nobody | Unknown) -> None:
        """Raise if nothing is left to try."""
        if isinstance(answer, Refused) and answer.error is not None:
            if self._doubtful:
                raise self._unknown(answer.text) from answer.error
            raise answer.error
        if not isinstance(answer, Nobody):
            self._nobody_since = None
        elif self._nobody_since is None:
            self._nobody_since = self._now()
        elif self._now() - self._nobody_since > self._grace_s:
            raise NotPermitted(answer.subject, "nobody serves this subject for this connection")
        if self._now() >= self._deadline:
            raise self._unknown(str(answer))

    def _unknown(self, text: str) -> StoreUnavailable:
        append = self._append
        return StoreUnavailable(
            f"outcome unknown: {len(append.frames)} facts to {append.stream} behind position "
            f"{append.expected} ({text})"
        )
