"""The event store in memory, for tests and simulation: same promise, no server, faults on demand.

`MemoryServer` plays the server and outlives its clients; `MemoryStore` is one client. Appends go
through the same outcome table as those of `JetStreamStore`. Not modelled: age, replicas, work
queues, limits per subject.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Final

from libs.eventstore.admin import Declared, forbidden_differences
from libs.eventstore.appending import Answer, Append, Landed, Refused, Unknown, append_once
from libs.eventstore.errors import (
    GapFound,
    Rewound,
    StoreFull,
    StoreUnavailable,
    StreamDiffers,
    Trimmed,
    UnknownStream,
)
from libs.eventstore.model import (
    NO_HEADERS,
    Frame,
    Stored,
    StreamState,
    check_frames,
    check_sizes,
    check_subject,
    matches,
)
from libs.eventstore.spec import StreamSpec
from libs.eventstore.wire import heads

BATCH_COUNT_MAX: Final = 1_000
"""Messages given to a reader at once."""
PAYLOAD_BYTES_MAX: Final = 1024 * 1024
"""What the played server takes as one message."""
MESSAGE_OVERHEAD_BYTES: Final = 34
"""Bytes that a stored message takes beside subject, headers and data. Source: file store of
nats-server."""


class Fault(Enum):
    """What may happen to one sending of an append; each is used up by one sending."""

    NONE = "none"
    """Nothing."""
    LOSE_REQUEST = "lose request"
    """It never arrives, nobody answers."""
    LOSE_ANSWER = "lose answer"
    """It is stored, the answer is lost."""
    DELAY_REQUEST = "delay request"
    """Nobody answers; it arrives just behind the next sending, or when `deliver_delayed` is
    called."""


class Faults:
    """What happens on the way between one client (or several) and the played server."""

    def __init__(self) -> None:
        self.next: deque[Fault] = deque()
        """What will happen to the next sendings, in order; empty: nothing."""
        self._away = False
        self._changed = asyncio.Event()

    @property
    def away(self) -> bool:
        """Whether nobody is reached."""
        return self._away

    @away.setter
    def away(self, away: bool) -> None:
        self._away = away
        self.wake()

    def wake(self) -> None:
        """Let everyone who waits look again."""
        woken, self._changed = self._changed, asyncio.Event()
        woken.set()

    async def wait(self) -> None:
        """Wait until something has changed."""
        await self._changed.wait()


@dataclass(slots=True)
class MemoryStream:
    """One stream of the played server."""

    spec: StreamSpec
    """How it is set up."""
    first: int = 1
    """First kept position, one behind the last when nothing is kept."""
    kept: list[Stored | None] = field(default_factory=list)
    """Messages from `first` on; None where one was hidden."""
    sizes: list[int] = field(default_factory=list)
    """Bytes of each of them."""
    heads: dict[str, int] = field(default_factory=dict)
    """Last position of every subject, trimmed ones too."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set and replaced whenever something happens to the stream."""

    @property
    def last(self) -> int:
        """Last position."""
        return self.first + len(self.kept) - 1

    def at(self, sequence: int) -> Stored | None:
        """Give the message at a position."""
        index = sequence - self.first
        return self.kept[index] if 0 <= index < len(self.kept) else None

    def drop(self, number: int) -> None:
        """Remove so many messages from the start."""
        del self.kept[:number]
        del self.sizes[:number]
        self.first += number
        self.wake()

    def full(self, size: int, number: int) -> str | None:
        """Tell which limit so many bytes in so many more messages would break."""
        if self.spec.max_bytes is not None and sum(self.sizes) + size > self.spec.max_bytes:
            return "maximum bytes exceeded"
        if self.spec.max_msgs is not None and len(self.kept) + number > self.spec.max_msgs:
            return "maximum messages exceeded"
        return None

    def wake(self) -> None:
        """Let everyone who waits look again."""
        woken, self.changed = self.changed, asyncio.Event()
        woken.set()


class MemoryServer:
    """The played server: streams that outlive their clients, and requests that are delayed."""

    def __init__(self) -> None:
        self._streams: dict[str, MemoryStream] = {}
        self._delayed: deque[Append] = deque()
        self._ids = count(1)

    def wake_all(self) -> None:
        """Let every reader look again."""
        for stream in self._streams.values():
            stream.wake()

    def declare(self, spec: StreamSpec) -> Declared:
        """Make a stream or grow its limits, by the rules of `libs.eventstore.admin.declare`.

        Raises:
            StreamDiffers: It exists and differs in more than what may change.
        """
        known = self._streams.get(spec.name)
        if known is None:
            self._streams[spec.name] = MemoryStream(spec)
            return Declared.CREATED
        forbidden = forbidden_differences(known.spec.as_config(), spec.as_config())
        if forbidden:
            raise StreamDiffers(spec.name, forbidden)
        done = Declared.SAME if known.spec == spec else Declared.GROWN
        known.spec = spec
        return done

    def stream(self, name: str) -> MemoryStream:
        """Give a stream.

        Raises:
            UnknownStream: There is none of that name.
        """
        if name not in self._streams:
            raise UnknownStream(name)
        return self._streams[name]

    def new_append_id(self) -> str:
        """Give a new id for an append: counted, so that a simulation repeats."""
        return f"memory-{next(self._ids)}"

    def send(self, append: Append, fault: Fault) -> Answer:
        """Take in one sending of an append, with what happens to it on the way."""
        if fault is Fault.LOSE_REQUEST:
            return Unknown("played: the request is lost")
        if fault is Fault.DELAY_REQUEST:
            self._delayed.append(append)
            return Unknown("played: the request is on its way")
        answer = self._store(append)
        self.deliver_delayed()
        if fault is Fault.LOSE_ANSWER:
            return Unknown("played: the answer is lost")
        return answer

    def deliver_delayed(self) -> None:
        """Let delayed requests arrive; their answers reach nobody."""
        while self._delayed:
            self._store(self._delayed.popleft())

    def trim(self, name: str, through: int) -> None:
        """Remove everything up to a position, as the trim job does."""
        stream = self.stream(name)
        stream.drop(min(max(through - stream.first + 1, 0), len(stream.kept)))

    def hide(self, name: str, sequence: int) -> None:
        """Lose one message in the middle, as a flipped bit on disk does."""
        stream = self.stream(name)
        stream.kept[sequence - stream.first] = None

    def rewind(self, name: str, end: int) -> None:
        """Put back an older store that ends at a position."""
        stream = self.stream(name)
        keep = max(end - stream.first + 1, 0)
        del stream.kept[keep:]
        del stream.sizes[keep:]
        stream.heads = {item.subject: item.sequence for item in stream.kept if item is not None}
        stream.wake()

    def _store(self, append: Append) -> Answer:
        stream = self.stream(append.stream)
        if stream.last != append.expected:
            return Refused(f"wrong last sequence: {stream.last}")
        spec = stream.spec
        sizes = [
            MESSAGE_OVERHEAD_BYTES + len(frame.subject) + len(head) + len(frame.data)
            for frame, head in zip(append.frames, heads(append, 1), strict=True)
        ]
        text = stream.full(sum(sizes), len(sizes))
        if text is not None and spec.discard == "new":
            return Refused(text, StoreFull(append.stream, "stream", text))
        for frame in append.frames:
            sequence = stream.last + 1
            own = dict(frame.headers) or NO_HEADERS
            stream.kept.append(
                Stored(spec.name, sequence, frame.subject, frame.data, append.append_id, own)
            )
            stream.heads[frame.subject] = sequence
        stream.sizes += sizes
        while len(stream.kept) > 1 and stream.full(0, 0) is not None:
            stream.drop(1)
        stream.wake()
        return Landed(append.last)


class MemoryStore:
    """`EventStore` on a played server.

    Args:
        server: The played server, shared by all clients that are given it; a new one when left out.
        deadline_s: Seconds after which an outcome is reported as unknown.
        faults: What happens on the way; may be shared by several clients.
    """

    def __init__(
        self,
        server: MemoryServer | None = None,
        *,
        deadline_s: float = 30.0,
        faults: Faults | None = None,
    ) -> None:
        self.server = server or MemoryServer()
        self.faults = faults or Faults()
        self._deadline_s = deadline_s
        self._closed = False

    async def append(self, stream: str, frames: Sequence[Frame], *, expected: int) -> int:
        """Store all frames behind position `expected`, or none; see `EventStore.append`."""
        check_frames(frames)
        if expected < 0:
            raise ValueError(f"expected position {expected}")
        state = await self.state(stream, self._deadline())
        for frame in frames:
            check_subject(stream, frame.subject, state.subjects)
        check_sizes(frames, state.message_bytes_max, PAYLOAD_BYTES_MAX)
        append = Append(stream, tuple(frames), expected, self.server.new_append_id())
        return await append_once(self, append, self._deadline_s, _now)

    async def send(self, append: Append, attempt: int, deadline: float) -> Answer:
        """Send all frames once; see `Wire.send`."""
        del attempt
        await self._reach(append.stream, deadline)
        fault = self.faults.next.popleft() if self.faults.next else Fault.NONE
        return self.server.send(append, fault)

    async def ask(self, stream: str, sequence: int, deadline: float) -> Stored | None:
        """Give the message at a position; see `Wire.ask`."""
        return (await self._reach(stream, deadline)).at(sequence)

    async def state(self, stream: str, deadline: float) -> StreamState:
        """Give the stream's state; see `Wire.state`."""
        reached = await self._reach(stream, deadline)
        return StreamState(
            first=reached.first if reached.last else 0,
            last=reached.last,
            subjects=reached.spec.subjects,
            message_bytes_max=reached.spec.max_msg_size,
        )

    async def read(
        self, stream: str, *, after: int = 0, until: int | None = None, subject: str | None = None
    ) -> AsyncGenerator[list[Stored], None]:
        """Read in order; see `EventStore.read`."""
        position = after
        while until is None or position < until:
            reached = await self._reach(stream, None)
            if position > reached.last:
                raise Rewound(stream, position, reached.last)
            if position + 1 < reached.first:
                raise Trimmed(stream, position + 1, reached.first)
            if position == reached.last:
                await reached.changed.wait()
                continue
            batch: list[Stored] = []
            stop = min(reached.last, position + BATCH_COUNT_MAX, until or reached.last)
            for sequence in range(position + 1, stop + 1):
                message = reached.at(sequence)
                if message is not None and (subject is None or matches(message.subject, subject)):
                    batch.append(message)
                elif message is None and subject is None:
                    stop = sequence - 1
                    break
            if stop == position:
                raise GapFound(stream, position + 1, reached.last)
            position = stop
            if batch:
                yield batch

    async def last(self, stream: str, subject: str) -> Stored | None:
        """Give the last message of a subject; see `EventStore.last`."""
        reached = await self._reach(stream, self._deadline())
        if subject in reached.heads:
            return reached.at(reached.heads[subject])
        found = [at for name, at in reached.heads.items() if matches(name, subject)]
        return reached.at(max(found)) if found else None

    async def last_each(
        self, stream: str, subject_filter: str
    ) -> AsyncGenerator[list[Stored], None]:
        """Give the last message of every matching subject; see `EventStore.last_each`."""
        reached = await self._reach(stream, self._deadline())
        positions = sorted(
            at for name, at in reached.heads.items() if matches(name, subject_filter)
        )
        found = [message for message in map(reached.at, positions) if message is not None]
        for start in range(0, len(found), BATCH_COUNT_MAX):
            yield found[start : start + BATCH_COUNT_MAX]

    async def end(self, stream: str) -> int:
        """Give the last position; see `EventStore.end`."""
        return (await self.state(stream, self._deadline())).last

    async def get(self, stream: str, sequence: int) -> Stored | None:
        """Give the message at a position; see `EventStore.get`."""
        return await self.ask(stream, sequence, self._deadline())

    async def close(self) -> None:
        """End; readers end with `StoreUnavailable`."""
        self._closed = True
        self.faults.wake()
        self.server.wake_all()

    def _deadline(self) -> float:
        return _now() + self._deadline_s

    async def _reach(self, stream: str, deadline: float | None) -> MemoryStream:
        """Reach a stream, waiting for a server that is away until the deadline, None: for ever."""
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout_at(deadline):
                while self.faults.away and not self._closed:
                    await self.faults.wait()
        except TimeoutError:
            raise StoreUnavailable("played: the server is away") from None
        if self._closed:
            raise StoreUnavailable("connection closed for good: closed by this process")
        return self.server.stream(stream)


def _now() -> float:
    return asyncio.get_running_loop().time()
