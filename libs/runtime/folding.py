"""What a writer has read: the fold of its own stream and of every input, and how far each went.

The one code path for a start, for a standby that keeps up, and for a snapshot: `catch_up` reads on
from wherever the fold is.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

from libs.events.envelope import Draft, Recorded, decode
from libs.events.fact import Fact
from libs.events.positions import Position, parse_seen
from libs.eventstore import EventStore, Stored
from libs.rules.dumps import Dumpable, Dumped, Loaded, dump_parts, load_parts
from libs.runtime.failures import BrokenLaw

_NUMBERS = "numbers"
_RULES = "rules"


class Rules(Protocol):
    """The pure part of a service: what it knows, and what follows from it."""

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold one fact, of the own stream or of an input. Never refuses."""

    def due(self) -> Sequence[Draft]:
        """The next decision that follows from the state alone; empty when nothing is due."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a writer had folded."""

    own: Position
    """How far the own stream was folded."""
    inputs: tuple[Position, ...]
    """How far every input was."""
    sections: Dumped
    """The state."""


class Folding:
    """The rules' state together with how far every stream was folded into it."""

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
        """Begin with nothing folded; the arguments are those of a `Writer`."""
        self.stream, self.inputs = stream, tuple(inputs)
        self.read: dict[str, Position] = {name: Position.start(name) for name in (stream, *inputs)}
        """How far each stream was folded: the position of its last folded fact."""
        self.folded = 0
        """Facts that were folded since the start."""
        self.store = store
        """Where the streams are."""
        self._rules, self._deployment = rules, deployment
        self._filters = dict(filters or {})
        self._numbers: dict[str, int] = {}
        self._seen: Mapping[str, Position] = {}
        self._looked = dict.fromkeys(self.read, 0)

    @property
    def position(self) -> Position:
        """End of the own stream, as far as it was folded."""
        return self.read[self.stream]

    def next_number(self, key: str) -> int:
        """The number of the next own fact of this key, from 1."""
        return self._numbers.get(key, 0) + 1

    def fold(self, recorded: Recorded[Fact]) -> None:
        """Fold one fact into the state, and its place into what was read.

        Raises:
            BrokenLaw: The numbers of a key of the own stream have a gap.
        """
        if recorded.stream == self.stream:
            key, n = recorded.envelope.key, recorded.envelope.n
            if n != self._numbers.get(key, 0) + 1:
                raise BrokenLaw("numbering", f"{key} has no gapless numbers in {self.stream}")
            self._numbers[key] = n
        self._rules.evolve(recorded)
        self.read[recorded.stream] = recorded.position
        self.folded += 1

    def fold_batch(self, batch: Sequence[Stored], seen: Position | None = None) -> None:
        """Fold input facts; stop when a fact that was seen before is another one now.

        Raises:
            BrokenLaw: It is.
        """
        for stored in batch:
            recorded = self._decode(stored)
            if seen is not None and self.read[stored.stream].sequence < seen.sequence:
                # A filtered reader may skip positions, but never one that was seen.
                place = recorded.position
                if place.sequence >= seen.sequence and place != seen:
                    raise BrokenLaw("other-history", f"another fact stands at {seen}")
            self.fold(recorded)

    async def catch_up(self) -> None:
        """Fold the own stream on to its end, then every input at least as far as it was seen.

        Raises:
            BrokenLaw: An input is not the one that own facts saw.
        """
        async for batch in self._to_now(self.stream):
            for stored in batch:
                recorded = self._decode(stored)
                self.fold(recorded)
                self._seen = parse_seen(recorded.envelope.seen)
        for name in self.inputs:
            wanted = self._seen.get(name)
            async for batch in self._to_now(name):
                self.fold_batch(batch, wanted)
            if wanted is not None and self.read[name].sequence < wanted.sequence:
                raise BrokenLaw("rewound", f"{name} ends before {wanted}, which was seen already")

    async def follow(self, name: str) -> AsyncIterator[list[Stored]]:
        """Read an input on, behind what was folded, for ever."""
        after, subject = self.read[name].sequence, self._filters.get(name)
        async with aclosing(self.store.read(name, after=after, subject=subject)) as batches:
            async for batch in batches:
                yield batch
        raise BrokenLaw("reader-ended", f"the reader of {name} ended by itself")

    @property
    def dumpable(self) -> Dumpable | None:
        """The rules, if a snapshot can hold their state."""
        return self._rules if isinstance(self._rules, Dumpable) else None

    def snapshot(self) -> Snapshot:
        """Give what was folded, by rules that are dumpable."""
        assert self.dumpable is not None
        numbers = dict(self._numbers)
        return Snapshot(
            own=self.position,
            inputs=tuple(self.read[name] for name in self.inputs),
            sections={
                _NUMBERS: (list(each) for each in numbers.items()),
                **dump_parts({_RULES: self.dumpable}),
            },
        )

    def load(self, snapshot: Snapshot, rows: Loaded) -> None:
        """Take over what was folded, before anything else was."""
        assert self.dumpable is not None
        load_parts({_RULES: self.dumpable}, rows)
        self._numbers = dict(rows[_NUMBERS])
        for position in (snapshot.own, *snapshot.inputs):
            self.read[position.stream] = position

    async def _to_now(self, stream: str) -> AsyncIterator[list[Stored]]:
        end = await self.store.end(stream)
        # Behind the last fact that was folded, a filtered reader may have looked in vain already.
        after = max(self.read[stream].sequence, self._looked[stream])
        if end > after:
            subject = self._filters.get(stream)
            reading = self.store.read(stream, after=after, until=end, subject=subject)
            async with aclosing(reading) as batches:
                async for batch in batches:
                    yield batch
            self._looked[stream] = end

    def _decode(self, stored: Stored) -> Recorded[Fact]:
        return decode(
            deployment=self._deployment,
            stream=stored.stream,
            sequence=stored.sequence,
            subject=stored.subject,
            data=stored.data,
        )
