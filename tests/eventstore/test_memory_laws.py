"""Laws of the store in memory, found by Hypothesis: it behaves as a plain list, whatever happens on
the way."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from libs.eventstore import (
    Fault,
    Faults,
    Fenced,
    Frame,
    MemoryServer,
    MemoryStore,
    Rewound,
    Stored,
    StoreFull,
    StreamSpec,
    Trimmed,
)
from libs.eventstore.model import matches

S = "S"
SUBJECTS = st.sampled_from(["s.a", "s.b", "s.a.x", "s.b.x.y"])
FRAME = st.tuples(SUBJECTS, st.binary(max_size=20)).map(lambda pair: Frame(*pair))
FRAMES = st.lists(FRAME, min_size=1, max_size=5)
PATTERNS = st.sampled_from(["s.a", "s.*", "s.>", "s.*.x", "s.a.>", "s.none"])


@dataclass
class Model:
    """What a list would do."""

    facts: list[Frame] = field(default_factory=list)
    first: int = 1


class StoreMachine(RuleBasedStateMachine):
    """Two clients of one server, one of them badly connected, against a list."""

    @initialize(max_msgs=st.sampled_from([None, 12]))
    def begin(self, max_msgs: int | None) -> None:
        self.loop = asyncio.new_event_loop()
        self.server = MemoryServer()
        self.server.declare(StreamSpec(name=S, subjects=("s.>",), max_msgs=max_msgs))
        self.faults = Faults()
        self.bad = MemoryStore(self.server, faults=self.faults)
        self.good = MemoryStore(self.server)
        self.max_msgs = max_msgs
        self.model = Model()

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    def _fits(self, frames: list[Frame]) -> bool:
        kept = len(self.model.facts) - self.model.first + 1
        return self.max_msgs is None or kept + len(frames) <= self.max_msgs

    @rule(
        frames=FRAMES,
        behind=st.integers(-3, 2),
        faults=st.lists(st.sampled_from(list(Fault)), max_size=3),
        badly=st.booleans(),
    )
    def append(self, frames: list[Frame], behind: int, faults: list[Fault], *, badly: bool) -> None:
        end = len(self.model.facts)
        expected = max(end + behind, 0)
        if expected > end or not self._fits(frames):
            faults = []  # A refusal behind a lost sending proves nothing; that is tested elsewhere.
        self.faults.next.extend(faults)
        work = (self.bad if badly else self.good).append(S, frames, expected=expected)
        if expected > end:
            with pytest.raises(Rewound):
                self.loop.run_until_complete(work)
        elif expected < end:
            with pytest.raises(
                (Fenced, Rewound) if expected + 1 >= self.model.first else Exception
            ):
                self.loop.run_until_complete(work)
        elif not self._fits(frames):
            with pytest.raises(StoreFull):
                self.loop.run_until_complete(work)
        else:
            assert self.loop.run_until_complete(work) == end + len(frames)
            self.model.facts += frames
        self.faults.next.clear()

    @rule()
    def deliver(self) -> None:
        self.server.deliver_delayed()

    @precondition(lambda self: len(self.model.facts) >= self.model.first)
    @rule(data=st.data())
    def trim(self, data: st.DataObject) -> None:
        through = data.draw(st.integers(self.model.first, len(self.model.facts)))
        self.server.trim(S, through)
        self.model.first = through + 1

    @rule(data=st.data(), pattern=st.none() | PATTERNS)
    def read(self, data: st.DataObject, pattern: str | None) -> None:
        end = len(self.model.facts)
        after = data.draw(st.integers(0, end))
        until = data.draw(st.integers(0, end))
        work = self._collect(after, until, pattern)
        if after < until and after + 1 < self.model.first:
            with pytest.raises(Trimmed):
                self.loop.run_until_complete(work)
            return
        found = self.loop.run_until_complete(work)
        wanted = [
            (at, frame.subject, frame.data)
            for at, frame in enumerate(self.model.facts, 1)
            if after < at <= until and (pattern is None or matches(frame.subject, pattern))
        ]
        assert [(item.sequence, item.subject, item.data) for item in found] == wanted

    async def _collect(self, after: int, until: int, pattern: str | None) -> list[Stored]:
        batches = self.bad.read(S, after=after, until=until, subject=pattern)
        return [item async for batch in batches for item in batch]

    @rule(pattern=PATTERNS)
    def last(self, pattern: str) -> None:
        kept = list(enumerate(self.model.facts, 1))[self.model.first - 1 :]
        matching = [at for at, frame in kept if matches(frame.subject, pattern)]
        found = self.loop.run_until_complete(self.good.last(S, pattern))
        assert (found.sequence if found else None) == (matching[-1] if matching else None)

        async def heads() -> list[Stored]:
            return [item async for batch in self.good.last_each(S, pattern) for item in batch]

        newest = {frame.subject: at for at, frame in kept if matches(frame.subject, pattern)}
        found_each = self.loop.run_until_complete(heads())
        assert [item.sequence for item in found_each] == sorted(newest.values())

    @invariant()
    def the_end_is_the_length(self) -> None:
        if hasattr(self, "model"):
            assert self.loop.run_until_complete(self.good.end(S)) == len(self.model.facts)


TestStoreMachine = StoreMachine.TestCase
TestStoreMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@settings(max_examples=100, deadline=None)
@given(
    appends=st.lists(FRAMES, min_size=1, max_size=6),
    faults=st.lists(st.sampled_from(list(Fault)), max_size=12),
)
def test_any_faults_leave_every_append_exactly_once(
    appends: list[list[Frame]], faults: list[Fault]
) -> None:
    async def run() -> None:
        server = MemoryServer()
        server.declare(StreamSpec(name=S, subjects=("s.>",)))
        store = MemoryStore(server)
        store.faults.next.extend(faults)
        end = 0
        for frames in appends:
            end = await store.append(S, frames, expected=end)
        server.deliver_delayed()
        found = [item async for batch in store.read(S, until=end) for item in batch]
        wanted = [frame for frames in appends for frame in frames]
        assert [(item.subject, item.data) for item in found] == [
            (frame.subject, frame.data) for frame in wanted
        ]
        assert await store.end(S) == len(wanted)

    asyncio.run(run())
