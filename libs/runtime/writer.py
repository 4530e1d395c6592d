"""The one loop of every service that appends facts: read, decide, append, answer.

A writer owns one partition stream. It keeps the state in memory: a fold of its own facts and of
every input stream, each into a part of its own. Whatever arrives (signed commands, batches of
reports, facts of inputs) is worked off in turns:

1. fold the input facts that have come,
2. let each waiting piece of work decide on the state and stage its facts,
3. ask `due` what else follows, until nothing is due,
4. append all staged facts in one atomic batch at the expected position,
5. answer; or, when nothing was appended, first ask the leader whether we still are the writer.

While a turn is being appended the next one gathers; where much waits already it is decided then,
and appended as soon as the one before is stored. One append is under way at a time.

Staged facts are folded at once, so that the next decision of the same turn sees them; nothing of
that leaves the process before the append is durable, and a failed append ends the process, which
starts again from the stream. So the state that anyone ever hears of is the stream's.

Source: eventing contract, sections 3 and 4; docs/decisions/0001.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from libs.events.envelope import Draft, Recorded, record
from libs.events.fact import Fact
from libs.events.positions import Position, write_cause, write_seen
from libs.eventstore import EventStore, Frame, Stored
from libs.runtime.continuity import Continuity, Saver
from libs.runtime.failures import BrokenLaw, HeliographError, Transient
from libs.runtime.folding import Folding, Rules
from libs.runtime.telemetry import inject_context, is_on
from libs.runtime.turns import Answer, Turn, resolve

DECISION_FACTS_MAX = 100
"""Most facts of one decision."""

APPEND_FACTS_MAX = 1_000
"""Most facts of one append."""

TURN_FACTS = 500
"""A turn takes no further work once so many facts are staged."""

WAITING_MAX = 10_000
"""Most pieces of work that wait; more are told to come back."""

TURN_HANGS_AFTER_S = 3.0
"""Seconds after which a turn counts as hung, and a standby may take over."""

R = TypeVar("R")


@dataclass(slots=True)
class Work(Generic[R]):
    """Something that waits for its turn."""

    decide: Callable[["Writer"], R]
    """Reads the state and stages facts, in the turn."""
    answer: Answer
    """Hears how it ended."""


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
        continuity: Continuity | None = None,
    ) -> None:
        """Prepare a writer.

        Args:
            store: Where streams live.
            rules: The service's pure part; only this writer touches it.
            deployment: Id of the installation.
            stream: The stream that it writes.
            inputs: The streams that it follows.
            filters: Inputs of which only some subjects matter, with the subject to read.
            continuity: Lease and snapshots, where they are wanted.
        """
        self._folding = Folding(
            store=store,
            rules=rules,
            deployment=deployment,
            stream=stream,
            inputs=inputs,
            filters=filters,
        )
        self._store, self._rules = store, rules
        self._deployment, self.stream = deployment, stream
        self.read = self._folding.read
        """How far each stream was folded: the position of its last folded fact."""
        self._inputs = tuple(inputs)
        continuity = continuity or Continuity()
        self.lease = continuity.lease
        """Decides whether this process writes or stands by; None: it writes."""
        self._saver = Saver(self._folding, continuity.snapshots)
        self._turn_at: tuple[float, int] | None = None
        self._flight: asyncio.Task[None] | None = None
        self._stored_end = 0
        self._hurried = False
        self._waiting: deque[Work[Any]] = deque()
        self._arrived: deque[list[Stored]] = deque()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._turn = Turn()
        self._seen = ""
        self._more_due = False
        self._due_waits = False
        self._ended = False
        self.caught_up = asyncio.Event()
        """Set once the stream and the inputs were read as far as they went at the start."""
        self.recovered = asyncio.Event()
        """Set once this process also holds the pen: from then on it decides."""

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
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.post(decide, partial(resolve, answer))
        return await answer

    def post(self, decide: Callable[["Writer"], R], answer: Answer) -> None:
        """Let a piece of work decide in its turn, without a task that waits for it.

        Args:
            decide: As for `submit`.
            answer: Told what `submit` would return or raise. It must be short and must not raise.

        Raises:
            Transient: Too much is waiting, or the writer has ended; `answer` hears nothing.
        """
        if self._ended:
            raise Transient("stopping", "the service stops; ask again with the same id")
        if len(self._waiting) >= WAITING_MAX:
            raise Transient("busy", "too many commands are waiting, try again")
        self._waiting.append(Work(decide, answer))
        self._wake.set()

    def hurry(self) -> None:
        """Say that much waits: decide it while the turn before is still being appended."""
        self._hurried = True
        self._wake.set()

    @property
    def room(self) -> int:
        """Facts that the append of this turn still has room for."""
        return APPEND_FACTS_MAX - len(self._turn.frames)

    @property
    def takes_more(self) -> bool:
        """Whether a piece of work that holds several decisions may begin with another."""
        return len(self._turn.frames) < TURN_FACTS

    def stage(self, drafts: Sequence[Draft], cause: str | None = None) -> Position:
        """Stage the facts of one decision; called from work and from the writer itself.

        Args:
            drafts: The facts.
            cause: Cause of the first, where it names none.

        Returns:
            Position of the last staged fact; durable when `submit` returns.

        Raises:
            BrokenLaw: More facts than one decision or one append may have: our bug.
        """
        if not 0 < len(drafts) <= DECISION_FACTS_MAX:
            raise BrokenLaw("decision-size", f"a decision of {len(drafts)} facts")
        if len(self._turn.frames) + len(drafts) > APPEND_FACTS_MAX:
            raise BrokenLaw("append-size", "more than 1,000 facts in one append")
        for index, draft in enumerate(drafts):
            if draft.cause is None and cause is None:
                raise BrokenLaw("cause-missing", "the first fact of a decision has no cause")
            recorded = self._stage_one(draft, draft.cause or cause or "")
            is_head = index == 0 or draft.cause is not None
            is_named = index + 1 < len(drafts) and drafts[index + 1].cause is None
            if is_head and is_named:  # to hash it is not free
                cause = write_cause(recorded.position, recorded.envelope.id)
        return self.position

    def _stage_one(self, draft: Draft, cause: str) -> Recorded[Fact]:
        recorded = record(
            draft,
            deployment=self._deployment,
            stream=self.stream,
            sequence=self.position.sequence + 1,
            n=self._folding.next_number(draft.key),
            cause=cause,
            seen=self._seen,
        )
        subject, data = recorded.envelope.subject, recorded.data
        frame = Frame(subject, data, inject_context()) if is_on() else Frame(subject, data)
        self._turn.frames.append(frame)
        self._folding.fold(recorded)
        return recorded

    async def run(self, stop: asyncio.Event) -> None:
        """Recover, wait for the pen, then work until asked to stop.

        Raises:
            FencedOff: Another writer appended to our stream, or holds the pen too.
            HeliographError, EventStoreError: What else ends the process; see the failure classes.
        """
        try:
            await self._start(stop)
            if self.recovered.is_set():
                await self._work(stop)
        finally:
            self._ended = True
            self._refuse_waiting()
            if self.lease is not None:
                await self.lease.release()
        if self.recovered.is_set():
            await self._saver.save_last()

    async def _start(self, stop: asyncio.Event) -> None:
        """Fold what is there; with a lease, go on doing so until the pen is ours."""
        await self._saver.restore()
        await self._folding.catch_up()
        self.caught_up.set()
        if self.lease is not None:
            await self.lease.take(stop, self._standing, self._folding.catch_up)
            if stop.is_set():
                return
            await self._folding.catch_up()
        self._stored_end = self.position.sequence
        self.recovered.set()

    async def _work(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._follow(name)) for name in self._inputs]
            tasks.append(group.create_task(self._wake_on(stop)))
            if self.lease is not None:
                tasks.append(group.create_task(self.lease.guard()))
            try:
                while not stop.is_set():
                    await self._take_turn()
                    await self._rest(stop)
                await self._stored()
            finally:
                if self._flight is not None:
                    self._flight.cancel()
                    await asyncio.gather(self._flight, return_exceptions=True)
                for task in tasks:
                    task.cancel()

    def _standing(self) -> int | None:
        """How far our stream is stored; None while a turn makes no progress."""
        if not self.recovered.is_set():
            return self.position.sequence
        if self._turn_at is None:
            return self._stored_end
        began, stored = self._turn_at
        now = asyncio.get_running_loop().time()
        return stored if now - began < TURN_HANGS_AFTER_S else None

    async def _follow(self, stream: str) -> None:
        """Bring the facts of one input, a few batches ahead of the turns at most."""
        async for batch in self._folding.follow(stream):
            while len(self._arrived) > 2 * len(self._inputs):
                self._room.clear()
                await self._room.wait()
            self._arrived.append(batch)
            self._wake.set()

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _rest(self, stop: asyncio.Event) -> None:
        """Sleep until there is something to decide; see `hurry`."""
        await asyncio.sleep(0)  # an append goes out before anything else is decided
        while self._flight is not None and not self._flight.done():
            if self._hurried and not self._saver.is_due:
                return
            self._wake.clear()
            await self._wake.wait()
        await self._stored()
        self._saver.save_when_due()
        idle = not (self._waiting or self._arrived or self._more_due)
        if idle and not stop.is_set():
            self._wake.clear()
            await self._wake.wait()

    async def _take_turn(self) -> None:
        """One turn: fold, decide, and begin to append once the turn before is stored."""
        while self._arrived:
            self._folding.fold_batch(self._arrived.popleft())
        self._room.set()
        self._seen = write_seen(self.read[name] for name in self._inputs)
        self._turn = turn = Turn()
        self._hurried = False
        expected = self.position.sequence
        try:
            self._decide(turn)
            await self._stored()
        except BaseException:
            turn.abandon()
            raise
        if turn.frames or turn.answers:
            self._turn_at = asyncio.get_running_loop().time(), expected
            self._flight = asyncio.create_task(self._finish(turn, expected))
            self._flight.add_done_callback(lambda _: self._wake.set())

    def _decide(self, turn: Turn) -> None:
        """Let the work that waits decide, then what is due."""
        for _ in range(len(self._waiting)):  # what is posted meanwhile is for the next turn
            if turn.failed is None and self.takes_more and not self._due_waits:
                self._do(self._waiting.popleft())
        # An append without room for a decision is followed by one for what is due alone.
        self._due_waits = self.room < DECISION_FACTS_MAX
        self._more_due = turn.failed is None and self._stage_due(turn)

    async def _stored(self) -> None:
        """Wait until the turn before is stored and answered, if one is under way."""
        flight = self._flight
        if flight is not None:
            await flight
            self._flight = None

    async def _finish(self, turn: Turn, expected: int) -> None:
        """Append a turn, and answer."""
        try:
            await turn.store(self._store, self.stream, expected)
        except BaseException:
            turn.abandon()
            raise
        self._turn_at, self._stored_end = None, expected + len(turn.frames)
        turn.answer()

    def _stage_due(self, turn: Turn) -> bool:
        """Stage what is due; true when the append is full before nothing is due any more."""
        while len(turn.frames) <= APPEND_FACTS_MAX - DECISION_FACTS_MAX:
            drafts = self._rules.due()
            if not drafts:
                return False
            self.stage(drafts)
        return True

    def _do(self, work: Work[Any]) -> None:
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

    def _refuse_waiting(self) -> None:
        stopped = Transient("stopping", "the service stops; ask again with the same id")
        while self._waiting:
            self._waiting.popleft().answer(stopped)
