"""What can go wrong when facts are appended or read.

Every class says what is *proved*: `Fenced`, `StoreFull` and the refusals before sending prove that
nothing was stored; `StoreUnavailable` proves nothing. A caller must never turn one kind into the
other.
"""


class EventStoreError(Exception):
    """Anything that this library raises on purpose."""


class Fenced(EventStoreError):
    """Another writer has appended to this stream; this append was not and can never be stored.

    The only right thing to do is to leave the process: its state is that of a writer that was
    replaced.

    Source:
        Contract on eventing, section 3, outcome table.
    """

    def __init__(self, stream: str, expected: int, found_append_id: str) -> None:
        super().__init__(
            f"another writer exists: position {expected + 1} of {stream} "
            f"was taken by append {found_append_id!r}"
        )
        self.stream = stream
        self.expected = expected
        self.found_append_id = found_append_id


class Rewound(EventStoreError):
    """The stream ends before a position that was seen: emptied, or an older one was restored.

    A writer leaves: its state holds facts that the stream no longer has.

    Source:
        Contract on eventing, section 1 (restoring below a published head starts a new incarnation).
    """

    def __init__(self, stream: str, position: int, end: int) -> None:
        super().__init__(
            f"{stream} ends at {end}, before position {position} which was already seen"
        )
        self.stream = stream
        self.position = position
        self.end = end


class Malformed(EventStoreError):
    """An append that is wrong in itself: our bug, refused before anything is sent."""


class TooMany(Malformed):
    """An append of more facts than one append may hold; refused before anything is sent."""

    def __init__(self, count: int, count_max: int) -> None:
        super().__init__(f"{count} facts in one append, at most {count_max} are allowed")
        self.count = count
        self.count_max = count_max


class TooLarge(Malformed):
    """A fact, alone or with its headers, of too many bytes; refused before anything is sent."""

    def __init__(self, subject: str, size: int, size_max: int, limit: str) -> None:
        super().__init__(f"{size} bytes on {subject}, {limit} is {size_max}")
        self.subject = subject
        self.size = size
        self.size_max = size_max
        self.limit = limit


class WrongSubject(Malformed):
    """A fact whose subject is not one of the stream's subjects; refused before anything is sent."""

    def __init__(self, stream: str, subject: str) -> None:
        super().__init__(f"{subject!r} is not a subject of {stream}")
        self.stream = stream
        self.subject = subject


class StoreFull(EventStoreError):
    """There is no room: nothing was stored.

    Attributes:
        stream: The stream.
        what: `"stream"` when a limit of the stream is reached, `"storage"` when one of the server
            or the account is, `"disk"` when the disk itself is full.
        text: The server's words.
    """

    def __init__(self, stream: str, what: str, text: str) -> None:
        super().__init__(f"no room for {stream}: the {what} is full ({text})")
        self.stream = stream
        self.what = what
        self.text = text


class StoreUnavailable(EventStoreError):
    """The store did not answer before the deadline, or the connection is closed for good.

    After an append the outcome is unknown: the facts may be stored, may still arrive, or may be
    lost. The writer leaves, or reads the stream from the leader before it says anything to anyone.
    """


class TornAppend(StoreUnavailable):
    """A part of an append is stored and the rest is not (yet): the outcome is unknown.

    nats-server 2.15.1 does this when the disk or its `max_file_store` becomes full in the middle of
    a batch; it completes the batch when it is started again with room. Until then nobody may append
    behind the part, so an append to such a stream is refused with this error too. A stream whose
    own `max_bytes` is reached refuses the whole batch instead.

    Attributes:
        stream: The stream.
        position: The last position of the part.
    """

    def __init__(self, stream: str, position: int) -> None:
        super().__init__(
            f"{stream} ends at {position} in the middle of an append: "
            "make room and start nats-server again, it then completes the append"
        )
        self.stream = stream
        self.position = position


class UnexpectedAnswer(EventStoreError):
    """The server said something that this library does not know; the text is the server's own."""


class GapFound(EventStoreError):
    """Positions are missing in the middle of a stream: facts were lost or hidden in the store.

    Attributes:
        missing: The first missing position.
        found: The position that was delivered instead, or the stream's end.
    """

    def __init__(self, stream: str, missing: int, found: int) -> None:
        super().__init__(
            f"position {missing} of {stream} is missing although position {found} exists"
        )
        self.stream = stream
        self.missing = missing
        self.found = found


class Trimmed(EventStoreError):
    """The asked position was trimmed from the start of the stream on purpose.

    Attributes:
        first: The first position that is kept; `read(stream, after=first - 1)` works.
    """

    def __init__(self, stream: str, asked: int, first: int) -> None:
        super().__init__(f"position {asked} of {stream} was trimmed, the first kept one is {first}")
        self.stream = stream
        self.asked = asked
        self.first = first


class UnknownStream(EventStoreError):
    """No stream of this name exists."""

    def __init__(self, stream: str) -> None:
        super().__init__(f"there is no stream {stream}")
        self.stream = stream


class NotPermitted(EventStoreError):
    """The connection may not do this, or nobody serves that subject for it (missing import)."""

    def __init__(self, subject: str, text: str) -> None:
        super().__init__(f"not permitted: {subject} ({text})")
        self.subject = subject
        self.text = text


class StreamDiffers(EventStoreError):
    """A stream exists with settings that may not be changed to the wanted ones.

    Attributes:
        differences: Name of each setting with its present and its wanted value.
    """

    def __init__(self, stream: str, differences: dict[str, tuple[object, object]]) -> None:
        told = "; ".join(
            f"{name} is {now!r}, wanted {then!r}" for name, (now, then) in differences.items()
        )
        super().__init__(f"{stream} exists and must not be changed: {told}")
        self.stream = stream
        self.differences = differences
