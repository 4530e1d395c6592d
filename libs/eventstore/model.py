"""The types of the event store and the promise that both of its implementations keep.

This layer moves bytes. It knows positions, subjects and sizes, and never looks into a fact.
"""

import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from libs.eventstore.errors import Malformed, TooLarge, TooMany, WrongSubject

APPEND_COUNT_MAX: Final = 1_000
"""Facts in one append. Source: contract on eventing, section 2, and ADR-50 of NATS."""
FACT_BYTES_MAX: Final = 256 * 1024
"""Bytes of one fact without its headers. Source: contract on eventing, section 2."""
HEADER_BYTES_MAX: Final = 8 * 1024
"""Bytes of the caller's headers of one fact (trace context), chosen far above what tracing
needs."""
STORE_HEADER_BYTES: Final = 512
"""Bytes that the store's own headers are counted as, more than they ever are."""
APPEND_HEADER: Final = "Heliograph-Append"
"""Header that names the append which stored a message. Source: contract on eventing, section 3."""
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
"""The headers of a message that has none."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_SUBJECT = re.compile(r"[^\s.*>\x00-\x1f\x7f]+(\.[^\s.*>\x00-\x1f\x7f]+)*")


class Frame(NamedTuple):
    """One message to append."""

    subject: str
    """Where it is stored: letters, digits and the like in tokens parted by dots, no wildcards."""
    data: bytes
    """The fact, at most 256 KiB, stored as it stands."""
    headers: Mapping[str, str] = NO_HEADERS
    """Trace context, printable ASCII. Never hashed, never a fact."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored message."""

    stream: str
    """The stream it was read from."""
    sequence: int
    """Its position, counted from 1 without gaps."""
    subject: str
    """Where it is stored."""
    data: bytes
    """The fact, as it was appended."""
    append_id: str
    """Random id of the append that stored it, `""` when it was not stored by this library."""
    headers: Mapping[str, str]
    """What the writer gave with it (trace context), without the store's own headers."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """What the leader says about a stream."""

    first: int
    """First kept position; `last + 1` when nothing is kept, 0 when nothing was ever stored."""
    last: int
    """Last position, 0 when nothing was ever stored."""
    subjects: tuple[str, ...]
    """Subjects that it stores, with wildcards."""
    message_bytes_max: int
    """Most bytes of a message with its headers, -1 when the stream sets no limit."""


class EventStore(Protocol):
    """Append-only streams of bytes with one writer each.

    Source:
        Contract on eventing, sections 1, 3 and 8.
    """

    async def append(self, stream: str, frames: Sequence[Frame], *, expected: int) -> int:
        """Store all frames behind position `expected`, or none of them.

        Args:
            stream: Name of the stream.
            frames: 1 to 1,000 messages, in order.
            expected: The last position that the caller knows, 0 for an empty stream.

        Returns:
            The last position, always `expected + len(frames)`.

        Raises:
            Fenced: Another writer took position `expected + 1`. Nothing of this append is stored.
                Leave.
            Rewound: The stream ends before `expected`.
            Malformed: Nothing was sent: no frames, `TooMany`, `TooLarge`, `WrongSubject`, bad
                headers.
            StoreFull: Nothing was stored.
            UnknownStream: There is no such stream.
            NotPermitted: This connection may not append here.
            StoreUnavailable: The deadline passed; whether the facts are or will be stored is
                **unknown**.
        """
        ...

    def read(
        self, stream: str, *, after: int = 0, until: int | None = None, subject: str | None = None
    ) -> AsyncGenerator[list[Stored], None]:
        """Read in order, in lists of 1 to 1,000 messages.

        Use `contextlib.aclosing` around it when the loop may be left early, so that the server's
        side is removed at once.

        Args:
            stream: Name of the stream.
            after: Position behind which to start, 0 for the start.
            until: Last position to read (waited for when it does not exist yet); None: go on for
                ever.
            subject: Only subjects that match, with wildcards. Positions then have gaps, so losses
                *inside* the store cannot be seen; losses on the way are seen and repaired as
                without a filter.

        Raises:
            GapFound: A position is missing in the store (without `subject`).
            Trimmed: The position behind `after` was trimmed.
            Rewound: The stream ends before `after`, or before what was read already.
            UnknownStream: There is no such stream.
            NotPermitted: This connection may not read here.
            StoreUnavailable: The connection is closed for good. A connection that is away is waited
                for.
        """
        ...

    async def last(self, stream: str, subject: str) -> Stored | None:
        """Give the last message of a subject, asked from the leader; `subject` may have wildcards.

        Raises:
            UnknownStream: There is no such stream.
            NotPermitted: This connection may not ask here.
            StoreUnavailable: No answer before the deadline.
        """
        ...

    def last_each(self, stream: str, subject_filter: str) -> AsyncGenerator[list[Stored], None]:
        """Give the last message of every subject that matches, in order of position.

        Everything that was stored when the call began is reflected: the pass ends only after the
        last matching message that the leader had then was seen. Messages appended meanwhile may
        follow, so a subject can come more than once; the later one counts.

        Raises:
            UnknownStream: There is no such stream.
            NotPermitted: This connection may not read here.
            StoreUnavailable: No progress before the deadline.
        """
        ...

    async def end(self, stream: str) -> int:
        """Give the last position, asked from the leader; 0 when nothing was ever stored.

        Raises:
            UnknownStream: There is no such stream.
            NotPermitted: This connection may not ask here.
            StoreUnavailable: No answer before the deadline.
        """
        ...

    async def get(self, stream: str, sequence: int) -> Stored | None:
        """Give the message at a position, asked from the leader; None when none is kept there.

        Raises:
            UnknownStream: There is no such stream.
            NotPermitted: This connection may not ask here.
            StoreUnavailable: No answer before the deadline.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection; readers end with `StoreUnavailable`."""
        ...


def check_frames(frames: Sequence[Frame]) -> None:
    """Refuse an append that is wrong in itself, whatever the stream.

    Raises:
        Malformed: It is empty, or a subject or header cannot be written.
        TooMany: More than 1,000 facts.
        TooLarge: A fact of more than 256 KiB, or more than 8 KiB of headers.
    """
    if not frames:
        raise Malformed("an append of nothing")
    if len(frames) > APPEND_COUNT_MAX:
        raise TooMany(len(frames), APPEND_COUNT_MAX)
    for frame in frames:
        if len(frame.data) > FACT_BYTES_MAX:
            raise TooLarge(frame.subject, len(frame.data), FACT_BYTES_MAX, "the limit of a fact")
        if frame.headers:
            _check_headers(frame)


def _check_headers(frame: Frame) -> None:
    size = 0
    for name, value in frame.headers.items():
        if not _HEADER_NAME.fullmatch(name) or name.lower().startswith(("nats-", "heliograph-")):
            raise Malformed(f"header name {name!r} on {frame.subject}")
        if not _HEADER_VALUE.fullmatch(value) or value != value.strip():
            raise Malformed(f"value of header {name!r} on {frame.subject}")
        size += len(name) + len(value) + 4
    if size > HEADER_BYTES_MAX:
        raise TooLarge(frame.subject, size, HEADER_BYTES_MAX, "the limit of headers")


def check_sizes(frames: Sequence[Frame], message_bytes_max: int, payload_bytes_max: int) -> None:
    """Refuse an append with a message that stream or server would not take.

    Args:
        frames: What to append.
        message_bytes_max: The stream's limit, -1 for none.
        payload_bytes_max: The server's limit; a larger message would cost the connection.

    Raises:
        TooLarge: A message with its headers is larger, the store's own headers counted as 512
            bytes.
    """
    limit, size_max = "the server's max_payload", payload_bytes_max
    if 0 <= message_bytes_max < payload_bytes_max:
        limit, size_max = "the stream's max_msg_size", message_bytes_max
    if max(len(frame.data) for frame in frames) + HEADER_BYTES_MAX + STORE_HEADER_BYTES <= size_max:
        return
    for frame in frames:
        own = sum(len(name) + len(value) + 4 for name, value in frame.headers.items())
        size = len(frame.data) + own + STORE_HEADER_BYTES
        if size > size_max:
            raise TooLarge(frame.subject, size, size_max, limit)


def check_subject(stream: str, subject: str, patterns: Sequence[str]) -> None:
    """Refuse a subject that the stream does not store.

    Raises:
        Malformed: The subject has wildcards, spaces or empty tokens.
        WrongSubject: None of the stream's subjects matches.
    """
    if not _SUBJECT.fullmatch(subject):
        raise Malformed(f"{subject!r} cannot be the subject of a message")
    if not any(matches(subject, pattern) for pattern in patterns):
        raise WrongSubject(stream, subject)


def matches(subject: str, pattern: str) -> bool:
    """Tell whether a subject matches a pattern with `*` (one token) and a final `>` (the rest)."""
    tokens = subject.split(".")
    wanted = pattern.split(".")
    if wanted[-1] == ">":
        wanted.pop()
        if len(tokens) <= len(wanted):
            return False
        tokens = tokens[: len(wanted)]
    return len(tokens) == len(wanted) and all(
        want in ("*", token) for want, token in zip(wanted, tokens, strict=True)
    )
