"""The one loop of every service that appends facts: read, decide, append, answer.

A writer owns one partition stream. It keeps the state in memory: a fold of its own facts and of
every input stream, each into a part of its own. Whatever arrives (signed commands, batches of
reports, facts of inputs) is worked off in turns:

1. fold the input facts that have come,
2. let each waiting piece of work decide on the state and stage its facts,
3. ask `due` what else follows, until nothing is due,
4. append all staged facts in one atomic batch at the expected position,
5. answer; or, when nothing was appended, first ask the leader whether we still are the writer.

Staged facts are folded at once, so that the next decision of the same turn sees them; nothing of
that leaves the process before the append is durable, and a failed append ends the process, which
starts again from the stream. So the state that anyone ever hears of is the stream's.

Source: eventing contract, sections 3 and 4; docs/decisions/0001.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from libs.events.envelope import Draft, Recorded, decode, record
from libs.events.fact import Fact
from libs.events.positions import Position, parse_seen, write_cause, write_seen
from libs.eventstore import (
    EventStore,
    Fenced,
    Frame,
    Stored,
    StoreFull,
    StoreUnavailable,
)
from libs.runtime.failures import BrokenLaw, FencedOff, HeliographError, Transient
from libs.runtime.telemetry import inject_context

DECISION_FACTS_MAX = 100
"""Most facts of one decision."""

APPEND_FACTS_MAX = 1_000
"""Most facts of one append."""

TURN_FACTS = 500
"""A turn takes no further work once so many facts are staged."""

WAITING_MAX = 10_000
"""Most pieces of work that wait; more are told to come back."""

R = TypeVar("R")


class Rules(Protocol):
    """The pure part of a service: what it knows, and what follows from it."""

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold one fact, of the own stream or of an input. Never refuses."""

    def due(self) -> Sequence[Draft]:
        """The next decision that follows from the state alone; empty when nothing is due."""


@dataclass(slots=True)
class _Work(Generic[R]):
    """Something that waits for its turn."""

    decide: Callable[["Writer"], R]
    answer: asyncio.Future[R]


@dataclass(slots=True)
class _Turn:
    """What one turn has staged."""

    frames: list[Frame] = field(default_factory=list)
    answers: list[tuple[asyncio.Future[Any], object]] = field(default_factory=list)
    failed: BaseException | None = None


class Writer:
    """Appends to one stream, alone. Make it, then keep `run` running."""

    def __init__(
        self,
        *,
        store: EventStore,
        rules: Rules,
        deployment: str,
        stream: str,
        inputs: Sequence[str],
        filters: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare a writer.

        Args:
            store: Where streams live.
            rules: The service's pure part; only this writer touches it.
            deployment: Id of the installation.
            stream: The stream that it writes.
            inputs: The streams that it follows.
            filters: Inputs of which only some subjects matter, with the subject to read.
        """
        self._filters = dict(filters or {})
        self._store, self._rules = store, rules
        self._deployment, self.stream = deployment, stream
        self.read: dict[str, Position] = {name: Position.start(name) for name in (stream, *inputs)}
        self._inputs = tuple(inputs)
        self._numbers: dict[str, int] = {}
        self._waiting: deque[_Work[Any]] = deque()
        self._arrived: deque[list[Stored]] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._turn = _Turn()
        self._seen = ""
        self._more_due = False
        self._ended = False
        self.recovered = asyncio.Event()
        """Set once the stream and the inputs were read as far as they went at the start."""

    @property
    def position(self) -> Position:
        """End of the own stream, as this writer knows it (staged facts included)."""
        return self.read[self.stream]

    async def submit(self, decide: Callable[["Writer"], R]) -> R:
        """Let a piece of work decide in its turn, and wait until its facts are durable.

        Args:
            decide: Called once, in the writer's turn; it reads the state and calls `stage`. It may
                raise a `HeliographError` before it stages anything.

        Returns:
            What `decide` returned, after the append.

        Raises:
            HeliographError: What `decide` raised, once it is proved that we still are the writer;
                or `Transient`, when too much is waiting, the append failed or the writer has ended.
        """
        if self._ended:
            raise Transient("stopping", "the service stops; ask again with the same id")
        if len(self._waiting) >= WAITING_MAX:
            raise Transient("busy", "too many commands are waiting, try again")
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Work(decide, answer))
        self._wake.set()
        return await answer

    def stage(self, drafts: Sequence[Draft]) -> Position:
        """Stage the facts of one decision; called from work and from the writer itself.

        Returns:
            Position of the last staged fact; durable when `submit` returns.

        Raises:
            BrokenLaw: More facts than one decision or one append may have: our bug.
        """
        if not 0 < len(drafts) <= DECISION_FACTS_MAX:
            raise BrokenLaw("decision-size", f"a decision of {len(drafts)} facts")
        if len(self._turn.frames) + len(drafts) > APPEND_FACTS_MAX:
            raise BrokenLaw("append-size", "more than 1,000 facts in one append")
        first: Recorded[Fact] | None = None
        for draft in drafts:
            cause = draft.cause
            if cause is None:
                if first is None:
                    raise BrokenLaw("cause-missing", "the first fact of a decision has no cause")
                cause = write_cause(first.position, first.envelope.id)
            recorded = self._stage_one(draft, cause)
            first = first or recorded
        return self.position

    def _stage_one(self, draft: Draft, cause: str) -> Recorded[Fact]:
        recorded = record(
            draft,
            deployment=self._deployment,
            stream=self.stream,
            sequence=self.position.sequence + 1,
            n=self._numbers.get(draft.key, 0) + 1,
            cause=cause,
            seen=self._seen,
        )
        frame = Frame(recorded.envelope.subject, recorded.data, inject_context())
        self._turn.frames.append(frame)
        self._fold(recorded)
        return recorded

    def _fold(self, recorded: Recorded[Fact]) -> None:
        """Fold one fact into the state, and its place into what was read."""
        if recorded.stream == self.stream:
            key, n = recorded.envelope.key, recorded.envelope.n
            if n != self._numbers.get(key, 0) + 1:
                raise BrokenLaw("numbering", f"{key} has no gapless numbers in {self.stream}")
            self._numbers[key] = n
        self._rules.evolve(recorded)
        self.read[recorded.stream] = recorded.position

    async def run(self, stop: asyncio.Event) -> None:
        """Recover, then work until asked to stop.

        Raises:
            FencedOff: Another writer appended to our stream.
            HeliographError, EventStoreError: What else ends the process; see the failure classes.
        """
        try:
            await self._recover()
            self.recovered.set()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._follow(name)) for name in self._inputs]
                tasks.append(group.create_task(self._wake_on(stop)))
                try:
                    while not stop.is_set():
                        await self._take_turn()
                        await self._rest(stop)
                finally:
                    for task in tasks:
                        task.cancel()
        finally:
            self._ended = True
            self._refuse_waiting()

    async def _recover(self) -> None:
        """Fold the own stream, then every input at least as far as the own facts saw it."""
        seen: Mapping[str, Position] = {}
        async for batch in self._to_now(self.stream):
            for stored in batch:
                recorded = self._decode(stored)
                self._fold(recorded)
                seen = parse_seen(recorded.envelope.seen)
        for name in self._inputs:
            async for batch in self._to_now(name):
                self._fold_batch(batch, seen.get(name))
            wanted = seen.get(name)
            if wanted is not None and self.read[name].sequence < wanted.sequence:
                raise BrokenLaw("rewound", f"{name} ends before {wanted}, which was seen already")

    async def _to_now(self, stream: str) -> AsyncIterator[list[Stored]]:
        end = await self._store.end(stream)
        if end:
            subject = self._filters.get(stream)
            reading = self._store.read(stream, after=0, until=end, subject=subject)
            async with aclosing(reading) as batches:
                async for batch in batches:
                    yield batch

    def _decode(self, stored: Stored) -> Recorded[Fact]:
        return decode(
            deployment=self._deployment,
            stream=stored.stream,
            sequence=stored.sequence,
            subject=stored.subject,
            data=stored.data,
        )

    def _fold_batch(self, batch: Sequence[Stored], seen: Position | None) -> None:
        """Fold input facts; stop when a fact that was seen before is another one now."""
        for stored in batch:
            recorded = self._decode(stored)
            if seen is not None and self.read[stored.stream].sequence < seen.sequence:
                # A filtered reader may skip positions, but never one that was seen.
                place = recorded.position
                if place.sequence >= seen.sequence and place != seen:
                    raise BrokenLaw("other-history", f"another fact stands at {seen}")
            self._fold(recorded)

    async def _follow(self, stream: str) -> None:
        """Bring the facts of one input, a few batches ahead of the turns at most."""
        after, subject = self.read[stream].sequence, self._filters.get(stream)
        async with aclosing(self._store.read(stream, after=after, subject=subject)) as batches:
            async for batch in batches:
                while len(self._arrived) > 2 * len(self._inputs):
                    self._room.clear()
                    await self._room.wait()
                self._arrived.append(batch)
                self._wake.set()
        raise BrokenLaw("reader-ended", f"the reader of {stream} ended by itself")

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _rest(self, stop: asyncio.Event) -> None:
        """Sleep until something arrives; work that came meanwhile is taken at once."""
        idle = not (self._waiting or self._arrived or self._more_due)
        if idle and not stop.is_set():
            self._wake.clear()
            await self._wake.wait()

    async def _take_turn(self) -> None:
        """One turn: fold, decide, append, answer."""
        while self._arrived:
            self._fold_batch(self._arrived.popleft(), None)
        self._room.set()
        self._seen = write_seen(self.read[name] for name in self._inputs)
        self._turn = turn = _Turn()
        expected = self.position.sequence
        try:
            while self._waiting and turn.failed is None and len(turn.frames) < TURN_FACTS:
                self._do(self._waiting.popleft())
            self._more_due = turn.failed is None and self._stage_due(turn)
            await self._settle(turn, expected)
        except BaseException:
            self._abandon(turn)
            raise
        for future, outcome in turn.answers:
            _answer(future, outcome)

    def _stage_due(self, turn: _Turn) -> bool:
        """Stage what is due; true when the append is full before nothing is due any more."""
        while len(turn.frames) <= APPEND_FACTS_MAX - DECISION_FACTS_MAX:
            drafts = self._rules.due()
            if not drafts:
                return False
            self.stage(drafts)
        return True

    def _do(self, work: _Work[Any]) -> None:
        """Let one piece of work decide, and note how it is answered after the append."""
        staged = len(self._turn.frames)
        try:
            outcome = work.decide(self)
        except HeliographError as error:
            if len(self._turn.frames) != staged or isinstance(error, BrokenLaw):
                self._turn.failed = error  # half a decision must not be appended
            outcome = error
        except Exception as error:  # noqa: BLE001 - anything else is a bug and ends the process
            self._turn.failed = outcome = error
        self._turn.answers.append((work.answer, outcome))

    async def _settle(self, turn: _Turn, expected: int) -> None:
        """Append what was staged; with nothing staged, prove that we still are the writer."""
        if turn.failed is not None:
            raise turn.failed
        try:
            if turn.frames:
                await self._store.append(self.stream, turn.frames, expected=expected)
            elif turn.answers:
                end = await self._store.end(self.stream)
                if end != expected:
                    raise FencedOff("fenced", f"{self.stream} ends at {end}, we know {expected}")
        except Fenced as error:
            raise FencedOff("fenced", str(error)) from error
        except StoreFull as error:
            raise Transient("store-full", str(error)) from error
        except StoreUnavailable as error:
            raise Transient("store-unavailable", str(error)) from error

    def _abandon(self, turn: _Turn) -> None:
        """Whoever waits hears that the outcome is not known here, and asks the successor."""
        lost = Transient("writer-stopped", "the writer stopped; ask again with the same id")
        for future, _ in turn.answers:
            _answer(future, lost)

    def _refuse_waiting(self) -> None:
        stopped = Transient("stopping", "the service stops; ask again with the same id")
        while self._waiting:
            _answer(self._waiting.popleft().answer, stopped)


def _answer(future: asyncio.Future[Any], outcome: object) -> None:
    if future.done():
        return
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
