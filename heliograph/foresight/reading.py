"""Reads what foresight needs from the streams, as any subscriber may who can write nothing."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heliograph.credentials import Credentials
from heliograph.errors import StackError
from heliograph.folder import Folder
from heliograph.foresight.history import NAMES, Known
from heliograph.subscribe import Subscriber, SubscriberError
from libs.events.errors import InvalidFact
from libs.events.subjects import family_of
from libs.eventstore import EventStoreError

READER = "auditor"
"""The user who may read every stream and write none."""

TELL_EACH = 500
"""Facts between two looks at the progress."""

Progress = Callable[[str, int, int], Any]
"""Is told how far a stream was read: its name, the place, and its end."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the streams of a book are."""

    url: str
    """The broker."""
    user: str
    """A user who may read."""
    password: str
    """His password."""
    deployment: str
    """Id of the installation."""
    partitions: int
    """Number of partitions."""
    book: str
    """The book."""


def place_of(data: Path, book: str | None) -> Place:
    """What the data folder of a running stack says.

    Args:
        data: The folder.
        book: The book; None: the only one.

    Raises:
        StackError: It is no such folder, or has several books and none is named.
    """
    folder = Folder(data.absolute())
    state, credentials = folder.load_state(), Credentials.load(folder.credentials)
    try:
        books = list(state.get("books") or ["pilot"])
        place = Place(
            url=f"nats://127.0.0.1:{state['ports']['nats']}",
            user=READER,
            password=credentials.passwords[READER],
            deployment=str(state["deployment"]),
            partitions=int(state["partitions"]),
            book=book or books[0],
        )
    except KeyError as error:
        raise StackError(
            f"{data} is not the data folder of a stack: no {error}. Start one with `heliograph up`,"
            " or say where to read: --data FOLDER or --nats URL."
        ) from error
    if book is None and len(books) > 1:
        raise StackError(f"Say which book, with --book: {', '.join(books)}.")
    if place.book not in books:
        raise StackError(f"There is no book {place.book}; there are: {', '.join(books)}.")
    return place


def read(place: Place, progress: Progress) -> Known:
    """Fold everything that stands in the streams by now.

    Raises:
        StackError: The broker is away, refuses, or says what is no fact.
    """
    return asyncio.run(read_all(place, progress))


async def read_all(place: Place, progress: Progress) -> Known:
    """Fold everything that stands in the streams by now; see `read`."""
    try:
        async with Subscriber.connect(
            url=place.url,
            user=place.user,
            password=place.password,
            deployment=place.deployment,
            name="heliograph-foresight",
        ) as subscriber:
            return await fold(subscriber, Known(place.book, place.partitions), progress)
    except (EventStoreError, SubscriberError, InvalidFact) as error:
        raise StackError(f"The streams at {place.url} cannot be read: {error}.") from error


async def fold(subscriber: Subscriber, known: Known, progress: Progress) -> Known:
    """Fold every stream up to its end by now.

    Raises:
        EventStoreError, SubscriberError, InvalidFact: It cannot be read.
    """
    for stream in known.streams:
        end = await subscriber.end(stream)
        names = {cls.fact_name for cls in NAMES[family_of(stream)[0].name]}
        progress(stream, 0, end)
        if not end:
            continue
        async with aclosing(subscriber.facts(stream, until=end, name=names)) as facts:
            async for recorded in facts:
                known.evolve(recorded)
                if recorded.sequence % TELL_EACH == 0:
                    progress(stream, recorded.sequence, end)
        progress(stream, end, end)
    return known
