"""The event store on NATS JetStream.

Uses six API subjects and no more, each with the stream's name in it, so that an account can be
granted exactly
these: STREAM.INFO, STREAM.MSG.GET, CONSUMER.CREATE, CONSUMER.DELETE, CONSUMER.MSG.NEXT, DIRECT.GET.
"""

import asyncio
import base64
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any, Final, Self

from libs.eventstore.appending import (
    Answer,
    Append,
    Landed,
    Nobody,
    Refused,
    Unknown,
    append_once,
)
from libs.eventstore.errors import (
    EventStoreError,
    NotPermitted,
    StoreFull,
    StoreUnavailable,
    TornAppend,
    UnexpectedAnswer,
    WrongSubject,
)
from libs.eventstore.link import Link, NoAnswer, NobodyServes, Settings, parse_answer
from libs.eventstore.model import (
    Frame,
    Stored,
    StreamState,
    check_frames,
    check_sizes,
    check_subject,
)
from libs.eventstore.natspy import TappedClient
from libs.eventstore.reading import Follower, heads
from libs.eventstore.wire import encode_append, is_end_of_append, parse_headers, split_headers

APPEND_ID_BYTES: Final = 12
"""Random bytes of an append id: two writers never draw the same one, and it is stored with each
fact."""
SUBJECTS_REMEMBERED_MAX: Final = 300_000
"""Subjects per process that are known to belong to their stream; above that they are checked
anew."""
BYTES_PER_S_MIN: Final = 10_000_000
"""Bytes a second that an append is given time for, on top of the answer's own time."""

END_PAUSE_S: Final = 0.05
"""Seconds between two looks at a stream that ends in the middle of an append."""

_NOT_FOUND: Final = 10037
_AGAIN: Final = frozenset({10071, 10164, 10176, 10201, 10210, 10008, 10009, 10039, 10076})
"""Error codes after which the leader is asked and the append may be sent again: wrong position (two
codes), incomplete batch, duplicate id in a batch, too many batches, and a server that is starting
or electing."""
_STREAM_FULL: Final = 10077
_STORAGE_FULL: Final = frozenset({10002, 10023, 10028, 10047})


class JetStreamStore:
    """`EventStore` on NATS. One connection; safe to share among tasks of one event loop."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._states: dict[str, StreamState] = {}
        self._whole: set[str] = set()
        self._fitting: set[tuple[str, str]] = set()

    @classmethod
    async def connect(
        cls,
        url: str,
        user: str | None = None,
        password: str | None = None,
        name: str = "heliograph",
        *,
        on_closed: Callable[[str], None] | None = None,
        **more: Any,
    ) -> Self:
        """Connect; afterwards the connection comes back by itself for ever.

        Args:
            url: Such as `nats://127.0.0.1:4222`; several with commas between.
            user: Name of the account's user.
            password: Its password.
            name: Shown by the server's monitoring.
            on_closed: Called with the reason when the connection is closed for good by anyone but
                us. Leave the process then.
            more: Further fields of `libs.eventstore.link.Settings`, such as
                `api_prefix="FACTS.API"`.

        Raises:
            NotPermitted: User or password are wrong.
            StoreUnavailable: No server answered in time.
        """
        settings = Settings(url=url, user=user, password=password, name=name, **more)
        return cls(await Link.open(settings, on_closed))

    @property
    def client(self) -> TappedClient:
        """The connection itself, for the bootstrap job and for tests."""
        return self._link.client

    # Appending.

    async def append(self, stream: str, frames: Sequence[Frame], *, expected: int) -> int:
        """Store all frames behind position `expected`, or none; see `EventStore.append`."""
        check_frames(frames)
        if expected < 0:
            raise ValueError(f"expected position {expected}")
        deadline_s = self._link.settings.deadline_s
        await self._check_subjects(stream, frames, self._link.now() + deadline_s)
        check_sizes(frames, self._states[stream].message_bytes_max, self._link.client.max_payload)
        append = Append(stream, tuple(frames), expected, secrets.token_urlsafe(APPEND_ID_BYTES))
        if stream not in self._whole:
            await self._check_end_is_whole(stream, expected, self._link.now() + deadline_s)
            self._whole.add(stream)
        try:
            return await append_once(
                self, append, deadline_s, self._link.now, self._link.settings.grace_s
            )
        except StoreUnavailable:
            self._whole.discard(stream)
            raise

    async def _check_end_is_whole(self, stream: str, end: int, deadline: float) -> None:
        """See that the last fact is not one in the middle of a batch; see `TornAppend`."""
        patient_until = min(self._link.now() + self._link.settings.grace_s, deadline)
        while end > 0:
            found = await self._message(stream, {"seq": end}, deadline)
            if found is None or is_end_of_append(found[1]):
                return
            if (await self.state(stream, deadline)).last > end:
                return  # Fenced, as the append will tell.
            if self._link.now() > patient_until:
                raise TornAppend(stream, end)
            await asyncio.sleep(END_PAUSE_S)

    async def _check_subjects(self, stream: str, frames: Sequence[Frame], deadline: float) -> None:
        fresh = stream not in self._states
        if fresh:
            await self.state(stream, deadline)
        unknown = {(stream, frame.subject) for frame in frames} - self._fitting
        for _, subject in unknown:
            try:
                check_subject(stream, subject, self._states[stream].subjects)
            except WrongSubject:
                if fresh:
                    raise
                fresh = True
                await self.state(stream, deadline)
                check_subject(stream, subject, self._states[stream].subjects)
        if len(self._fitting) + len(unknown) > SUBJECTS_REMEMBERED_MAX:
            self._fitting.clear()
        self._fitting |= unknown

    async def send(self, append: Append, attempt: int, deadline: float) -> Answer:
        """Send all frames once; see `Wire.send`."""
        link = self._link
        await link.up(deadline)
        token, reply = link.new_reply()
        block = encode_append(append, attempt, reply)
        future = link.expect(token, tuple(frame.subject for frame in append.frames))
        timeout_s = link.settings.answer_timeout_s + len(block) / BYTES_PER_S_MIN
        try:
            if not link.client.write_now(block):
                await link.client.write_at_once(block)
            message = await link.answer(token, future, timeout_s)
        except NoAnswer as error:
            return Unknown(str(error))
        except NobodyServes:
            return Nobody(append.frames[0].subject)
        except NotPermitted as error:
            return Refused(str(error), error)
        answer = parse_answer(append.stream, message.data)
        return _refusal(append, answer) if "error" in answer else _landed(append, answer)

    async def ask(self, stream: str, sequence: int, deadline: float) -> Stored | None:
        """Give the message at a position from the leader; see `Wire.ask`."""
        found = await self._message(stream, {"seq": sequence}, deadline)
        return None if found is None else found[0]

    async def state(self, stream: str, deadline: float) -> StreamState:
        """Give the stream's state from the leader; see `Wire.state`."""
        answer = await self._link.api(f"STREAM.INFO.{stream}", stream, {}, deadline)
        if "error" in answer:
            raise UnexpectedAnswer(f"{stream}: {answer['error']}")
        state = StreamState(
            first=int(answer["state"]["first_seq"]),
            last=int(answer["state"]["last_seq"]),
            subjects=tuple(answer["config"].get("subjects") or ()),
            message_bytes_max=int(answer["config"].get("max_msg_size", -1)),
        )
        self._states[stream] = state
        return state

    async def _message(
        self, stream: str, which: dict[str, Any], deadline: float
    ) -> tuple[Stored, dict[str, str]] | None:
        """Give a message and all its headers."""
        answer = await self._link.api(f"STREAM.MSG.GET.{stream}", stream, which, deadline)
        if "error" in answer:
            if answer["error"].get("err_code") == _NOT_FOUND:
                return None
            raise UnexpectedAnswer(f"{stream} {which}: {answer['error']}")
        message = answer["message"]
        headers = parse_headers(base64.b64decode(message.get("hdrs", "")))
        append_id, own = split_headers(headers)
        data = base64.b64decode(message.get("data", ""))
        sequence = int(message["seq"])
        return Stored(stream, sequence, message["subject"], data, append_id, own), headers

    # Reading.

    def read(
        self, stream: str, *, after: int = 0, until: int | None = None, subject: str | None = None
    ) -> AsyncGenerator[list[Stored], None]:
        """Read in order; see `EventStore.read`."""
        return Follower(self._link, self, stream, after, until, subject).batches()

    async def last(self, stream: str, subject: str) -> Stored | None:
        """Give the last message of a subject from the leader; see `EventStore.last`."""
        found = await self._message(stream, {"last_by_subj": subject}, self._deadline())
        return None if found is None else found[0]

    def last_each(self, stream: str, subject_filter: str) -> AsyncGenerator[list[Stored], None]:
        """Give the last message of every matching subject; see `EventStore.last_each`."""
        return heads(self._link, self, stream, subject_filter)

    async def end(self, stream: str) -> int:
        """Give the last position from the leader; see `EventStore.end`."""
        return (await self.state(stream, self._deadline())).last

    async def get(self, stream: str, sequence: int) -> Stored | None:
        """Give the message at a position from the leader; see `EventStore.get`."""
        # The API refuses position 0, but an unknown stream shall be named all the same.
        found = await self.ask(stream, max(sequence, 1), self._deadline())
        return found if sequence > 0 else None

    async def close(self) -> None:
        """Close the connection; readers end with `StoreUnavailable`."""
        await self._link.close()

    def _deadline(self) -> float:
        return self._link.now() + self._link.settings.deadline_s


def _landed(append: Append, answer: dict[str, Any]) -> Landed:
    if answer.get("stream") != append.stream or answer.get("duplicate"):
        raise UnexpectedAnswer(f"append to {append.stream}: {answer}")
    return Landed(int(answer["seq"]))


def _refusal(append: Append, answer: dict[str, Any]) -> Refused:
    """Sort an error answer; Source: errors.json of nats-server 2.15.1."""
    code = int(answer["error"].get("err_code", 0))
    text = f"{code} {answer['error'].get('description', '')}"
    error: EventStoreError | None
    if code in _AGAIN:
        error = None
    elif code == _STREAM_FULL:
        what = "stream" if "maximum" in text else "disk"
        error = StoreFull(append.stream, what, text)
    elif code in _STORAGE_FULL:
        error = StoreFull(append.stream, "storage", text)
    else:
        error = UnexpectedAnswer(f"append to {append.stream}: {text}")
    return Refused(text, error)
