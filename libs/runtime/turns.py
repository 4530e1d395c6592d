"""One turn of a writer: what was staged, how it is stored, and who hears of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from libs.eventstore import EventStore, Fenced, Frame, StoreFull, StoreUnavailable
from libs.runtime.failures import FencedOff, Transient

Answer = Callable[[object], None]
"""Told what a piece of work returned or raised, once its facts are durable."""


@dataclass(slots=True)
class Turn:
    """What one turn has staged."""

    frames: list[Frame] = field(default_factory=list)
    """The facts, to be stored in one append."""
    answers: list[tuple[Answer, object]] = field(default_factory=list)
    """What is told to whom, once they are stored."""
    failed: BaseException | None = None
    """What ends the process; then nothing of the turn is stored."""

    async def store(self, store: EventStore, stream: str, expected: int) -> None:
        """Append what was staged; with nothing staged, prove that we still are the writer.

        Args:
            store: Where the stream lives.
            stream: The writer's stream.
            expected: Its last position before this turn.

        Raises:
            FencedOff: Another writer appended to the stream.
            Transient: Nothing was stored, or that is not known.
        """
        if self.failed is not None:
            raise self.failed
        try:
            if self.frames:
                await store.append(stream, self.frames, expected=expected)
            elif self.answers:
                end = await store.end(stream)
                if end != expected:
                    raise FencedOff("fenced", f"{stream} ends at {end}, we know {expected}")
        except Fenced as error:
            raise FencedOff("fenced", str(error)) from error
        except StoreFull as error:
            raise Transient("store-full", str(error)) from error
        except StoreUnavailable as error:
            raise Transient("store-unavailable", str(error)) from error

    def answer(self) -> None:
        """Tell everybody how it ended."""
        for answer, outcome in self.answers:
            answer(outcome)

    def abandon(self) -> None:
        """Whoever waits hears that the outcome is not known here, and asks the successor."""
        lost = Transient("writer-stopped", "the writer stopped; ask again with the same id")
        for answer, _ in self.answers:
            answer(lost)


def resolve(future: asyncio.Future[Any], outcome: object) -> None:
    """Give an outcome to whoever waits for a future, if somebody still does."""
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
