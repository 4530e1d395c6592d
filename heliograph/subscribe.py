"""Follow the facts of an installation from another program, and never miss or double one.

    kept = PositionFile(Path("positions"), "BILLING_pilot")
    async with Subscriber.connect(url=..., user=..., password=..., deployment=...) as subscriber:
        async for recorded in subscriber.facts("BILLING_pilot", after=kept.position):
            ...                            # handle it
            kept.keep(recorded.position)   # then remember that it was handled

What the connection does (broker restarted, link lost) is no concern of the caller: reading goes on
behind the last fact. What cannot be mended stops with an error; nothing is skipped to get on. See
docs/subscribe.md.

Source: eventing contract, sections 1, 2 and 8.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

from libs.events.envelope import Recorded, decode
from libs.events.errors import InvalidFact
from libs.events.fact import LATEST, Fact
from libs.events.positions import Position, fact_hash
from libs.events.subjects import TIME_KEY, family_of
from libs.eventstore import (
    EventStore,
    EventStoreError,
    GapFound,
    JetStreamStore,
    NotPermitted,
    Rewound,
    Stored,
    StoreUnavailable,
    Trimmed,
)

API_PREFIX: Final = "FACTS.API"
"""Prefix under which an account imports the requests of a reader (decision 0002)."""

LAGGING_LEADER_S: Final = 2.0
"""Seconds that a leader which was just elected has to come to a position that was handled."""

LOOK_AGAIN_S: Final = 0.1
"""Seconds between two looks at such a leader."""


class SubscriberError(Exception):
    """Something that a subscriber must not pass over; its text says what and where."""


class OtherHistory(SubscriberError):
    """Another fact stands now where the last handled one stood: this is not the same history."""

    def __init__(self, kept: Position, found: Position) -> None:
        """Name both.

        Args:
            kept: What was handled.
            found: What stands there now.
        """
        super().__init__(f"{kept} was handled, and {found} stands there now")
        self.kept, self.found = kept, found


class NumberMissing(SubscriberError):
    """The facts of one key are numbered without gaps, and a number is missing."""

    def __init__(self, position: Position, key: str, wanted: int, found: int) -> None:
        """Name the fact that came instead.

        Args:
            position: Where it stands.
            key: Its key.
            wanted: The number that was to come.
            found: Its number.
        """
        super().__init__(f"{position}: fact {found} of {key!r} came where {wanted} was to come")
        self.position, self.key, self.wanted, self.found = position, key, wanted, found


class PositionUnreadable(SubscriberError):
    """A file of a kept position is damaged or another stream's."""


class Subscriber:
    """Reads facts as a user who may read and nothing else. Make it with `connect`."""

    def __init__(self, store: EventStore, *, deployment: str) -> None:
        """Read from a store that is open already.

        Args:
            store: Where streams are read.
            deployment: Id of the installation; every fact must name it.
        """
        self._store, self._deployment = store, deployment

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        *,
        url: str,
        user: str,
        password: str,
        deployment: str,
        name: str = "heliograph-subscriber",
        api_prefix: str = API_PREFIX,
    ) -> AsyncIterator[Self]:
        """Connect for as long as the `async with` lasts; the connection comes back by itself.

        Args:
            url: The broker, such as `nats://127.0.0.1:4222`; several with commas between.
            user: User of an account that may read.
            password: His password.
            deployment: Id of the installation.
            name: Shown by the broker's monitoring.
            api_prefix: Prefix under which the account imports the requests of a reader.

        Raises:
            NotPermitted: User or password are wrong.
            StoreUnavailable: The broker does not answer.
        """
        store = await JetStreamStore.connect(url, user, password, name, api_prefix=api_prefix)
        try:
            yield cls(store, deployment=deployment)
        finally:
            await store.close()

    async def end(self, stream: str) -> int:
        """Give the last position of a stream, 0 when it is empty.

        Raises:
            NotPermitted: There is no such stream, or this user may not read it.
            StoreUnavailable: No answer in time.
        """
        return await self._store.end(stream)

    async def facts(
        self,
        stream: str,
        *,
        after: Position | int = 0,
        until: int | None = None,
        name: str | Collection[str] = (),
        key: str | None = None,
    ) -> AsyncGenerator[Recorded[Fact], None]:
        """Give the facts of a stream in order, and go on for ever.

        Args:
            stream: Such as `BILLING_pilot`.
            after: The last position that was handled. Its hash is compared with what stands there
                now; a bare number is not compared, and 0 is the start.
            until: Last position to read; the generator ends there, or never without it.
            name: Names of the facts that are wanted, all unless told. Everything is read and
                counted, and left out here.
            key: The one key that is wanted, such as an agreement. Chosen by the broker, so
                positions have gaps, and the numbers of the key are checked in their place.

        Raises:
            OtherHistory: Another fact stands at `after` now.
            Trimmed: The position is not kept any more; `first` is the first one that is.
            Rewound: The stream ends before `after`.
            GapFound: The broker lost facts in the middle of the stream.
            NumberMissing: The broker lost facts of the key.
            InvalidFact: A fact does not belong where it stands, or is of a newer release than this
                program; the text names its position.
            NotPermitted: There is no such stream, or this user may not read it.
            StoreUnavailable: The connection is closed for good.
            ValueError: `after` is of another stream, or a wanted fact can never stand in this one.
        """
        names = _checked_names(stream, name)
        subject = None if key is None else _subject_of(stream, key)
        if isinstance(after, Position):
            await self._compare(stream, after)
            after = after.sequence
        order = _Order(stream, after, key)
        reading = self._store.read(stream, after=after, until=until, subject=subject)
        async with aclosing(reading) as batches:
            async for batch in batches:
                for stored in batch:
                    order.check(stored)
                    # What nobody asked for is not decoded: a newer release may have written it.
                    if not names or stored.subject.rpartition(".")[2] in names:
                        yield self._decode(stored)

    def _decode(self, stored: Stored) -> Recorded[Fact]:
        """Read a fact whose subject, type and source must follow from its stream."""
        try:
            return decode(
                deployment=self._deployment,
                stream=stored.stream,
                sequence=stored.sequence,
                subject=stored.subject,
                data=stored.data,
            )
        except InvalidFact as error:
            place = f"{stored.stream}:{stored.sequence}"
            raise InvalidFact(f"{place}: {error}", rule=error.rule) from error

    async def _compare(self, stream: str, kept: Position) -> None:
        """Make sure that the last handled fact still stands where it stood."""
        if kept.stream != stream:
            raise ValueError(f"{kept} is no position of {stream}")
        if kept.sequence == 0:
            return
        stored = await self._at(kept)
        found = Position(stream, kept.sequence, fact_hash(stored.data))
        if found != kept:
            raise OtherHistory(kept, found)

    async def _at(self, kept: Position) -> Stored:
        """The fact at a position that was handled once.

        Raises:
            Trimmed, Rewound, GapFound: It is not there, by reason.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LAGGING_LEADER_S
        while True:
            stored = await self._store.get(kept.stream, kept.sequence)
            if stored is not None:
                return stored
            end = await self._store.end(kept.stream)
            if end >= kept.sequence:
                break
            if loop.time() > deadline:
                raise Rewound(kept.stream, kept.sequence, end)
            await asyncio.sleep(LOOK_AGAIN_S)
        # The stream goes on behind it: the reader of the store says where it begins.
        async with aclosing(self._store.read(kept.stream, after=kept.sequence - 1)) as batches:
            async for batch in batches:
                return batch[0]
        raise GapFound(kept.stream, kept.sequence, end)


class _Order:
    """Checks that nothing is missing: by position, or by number where only one key is read."""

    def __init__(self, stream: str, after: int, key: str | None) -> None:
        self._stream, self._last, self._key = stream, after, key
        # Behind a start in the middle the first number is not known: what comes first is taken.
        self._number: int | None = None if after else 0

    def check(self, stored: Stored) -> None:
        """Check the place of the next message, or its number within its key."""
        if self._key is not None:
            self._check_number(stored, self._key)
        elif stored.sequence != self._last + 1:
            raise GapFound(self._stream, self._last + 1, stored.sequence)
        self._last = stored.sequence

    def _check_number(self, stored: Stored, key: str) -> None:
        place = Position(stored.stream, stored.sequence, fact_hash(stored.data))
        try:
            n = json.loads(stored.data)["n"]
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidFact(f"{place}: it has no number", rule="schema") from error
        if self._number is not None and n != self._number + 1:
            raise NumberMissing(place, key, self._number + 1, n)
        self._number = n


def _checked_names(stream: str, name: str | Collection[str]) -> frozenset[str]:
    """The wanted names, each of a fact that may stand in the stream."""
    names = frozenset((name,) if isinstance(name, str) else name)
    family, _ = family_of(stream)
    for each in sorted(names):
        cls = LATEST.get(each)
        if cls is None or family not in cls.families:
            raise ValueError(f"no fact {each!r} stands in {stream}")
    return names


def _subject_of(stream: str, key: str) -> str:
    """The subject of all facts of one key."""
    family, part = family_of(stream)
    one = family.subject(part, key, "TimeReached" if key == TIME_KEY else "AnyOther")
    return f"{one.rpartition('.')[0]}.*"


class PositionFile:
    """How far one stream was handled, in a file of its own; with what came of it, if that is small.

    Written beside and renamed, so that a crash leaves the old file or the new one. Whoever keeps
    position and result together counts every fact once, whatever happens; whoever does something
    else with a fact before he keeps its position does it at least once. One process at a time.
    """

    def __init__(self, folder: Path, stream: str) -> None:
        """Read what is kept; nothing handled and no result where there is no file.

        Args:
            folder: Where the file is, or will be; it is made.
            stream: The stream; its name is the file's.

        Raises:
            PositionUnreadable: The file is damaged or another stream's.
            ValueError: There is no such stream.
        """
        family_of(stream)
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{stream}.json"
        """The file."""
        self.position = Position.start(stream)
        """The last position that was handled."""
        self.result: Any = None
        """What was kept with it: any JSON value."""
        if self.path.exists():
            self._load()

    def keep(self, position: Position, result: object = None) -> None:
        """Remember a position and a result, on disk when this returns.

        Args:
            position: The last fact that was handled.
            result: Any JSON value; it replaces the one before.

        Raises:
            ValueError: The position is of another stream or lies before the kept one, or the
                result is no JSON value.
            OSError: It cannot be written; the old file stands.
        """
        kept = self.position
        if position.stream != kept.stream or position.sequence < kept.sequence:
            raise ValueError(f"{position} does not follow {kept}")
        text = json.dumps({"position": str(position), "result": result}, allow_nan=False)
        part = self.path.with_name(f"{self.path.name}.part")
        with part.open("w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)
        _sync(self.path.parent)
        self.position, self.result = position, result

    def _load(self) -> None:
        stream = self.position.stream
        try:
            document = json.loads(self.path.read_text("utf-8"))
            position, self.result = Position.parse(document["position"]), document["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise PositionUnreadable(f"{self.path} is damaged: {error}") from error
        if position.stream != stream:
            raise PositionUnreadable(f"{self.path} keeps {position}, which is not of {stream}")
        self.position = position


def _sync(folder: Path) -> None:
    """Put the renaming itself on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


__all__ = [
    "EventStoreError",
    "GapFound",
    "InvalidFact",
    "NotPermitted",
    "NumberMissing",
    "OtherHistory",
    "PositionFile",
    "PositionUnreadable",
    "Rewound",
    "StoreUnavailable",
    "Subscriber",
    "SubscriberError",
    "Trimmed",
]
