"""Which commands were accepted, and what a repeat is answered with: a fold of own facts. Pure.

A command that stands alone is kept, as it was signed, with the first fact of its decision. Of a
signed batch only the first fact of the append keeps the text; the commands of the batch that were
accepted are those whose ids the following facts name (`<member>.<command id>.<what>`).
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, Final, NamedTuple

from libs.events.batch import Batch, BatchItem, item_command
from libs.events.command import KEPT_AFTER_S, Command, read_command
from libs.events.envelope import Recorded
from libs.events.jws import parse
from libs.events.positions import Position, parse_cause
from libs.events.spelling import spell
from libs.rules.dumps import Dumped, Loaded

Key = tuple[str, str]
"""Signer and command id."""

_Kept = tuple[str, int, int, str, int, str]
"""Digest, end of the window, then sequence and hash of first and last fact. There may be millions:
a tuple of text and numbers is small, and the garbage collector leaves it alone."""


_EXP: Final = 1
_FIRST: Final = 2


class Accepted(NamedTuple):
    """A command that led to facts: what a repeat is answered with."""

    name: str
    """Signer and command id; the ids of its facts begin with it and a dot."""
    digest: str
    """SHA-256 of the command's name and body."""
    exp: int
    """End of its window, seconds since 1970."""
    first: Position
    """Position of its first fact."""
    last: Position
    """Position of its last fact."""


@dataclass(slots=True)
class _Read:
    """A signed text that was read, so that its facts need not read it again."""

    text: str
    claims: Command
    items: dict[str, BatchItem] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)

    def command(self, command_id: str) -> Command:
        """One command of the batch."""
        found = self.commands.get(command_id)
        return found or item_command(self.claims, self.items[command_id])


def digest_of(command: Command) -> str:
    """Hash what a command asks, so that a repeat is told from another body under the same id.

    A body that was read is written in one way only: members in the order of the model, numbers
    without spare digits. So the digest does not depend on how the signer spelled it.
    """
    name = command.command.encode("ascii", "replace")
    return hashlib.sha256(b"%b %b" % (name, spell(command.body))).hexdigest()


class AcceptedCommands:
    """The accepted commands whose window ended less than an hour ago."""

    def __init__(self) -> None:
        """Begin with none."""
        self._stream = ""
        self._known: dict[Key, _Kept] = {}
        self._by_first: dict[int, Key] = {}
        self._ends: dict[int, list[Key]] = {}
        self._instants: list[int] = []
        self._time: datetime | None = None
        self._of_members: Counter[str] = Counter()
        self._batch: _Read | None = None
        self._batch_from = 0
        self._judged: _Read | None = None  # no state: spares reading the same text twice

    def get(self, member: str, command_id: str) -> Accepted | None:
        """What a command led to, if it was accepted and is not forgotten."""
        kept = self._known.get((member, command_id))
        if kept is None:
            return None
        digest, exp, first, first_hash, last, last_hash = kept
        at = to = Position(self._stream, first, first_hash)
        if last != first:
            to = Position(self._stream, last, last_hash)
        return Accepted(f"{member}.{command_id}", digest, exp, at, to)

    def count(self, member: str) -> int:
        """How many commands of a member are kept."""
        return self._of_members.get(member, 0)

    def judged(self, text: str, claims: Command, item: Command | None = None) -> None:
        """Say what a signed text holds, and one command of it when it is a batch."""
        if self._judged is None or self._judged.text is not text:
            self._judged = _opened(text, claims)
        if item is not None:
            self._judged.commands[item.id] = item

    def remember(self, recorded: Recorded[Any]) -> None:
        """Fold a fact of the own stream."""
        text = getattr(recorded.fact, "command", None)
        if text is not None:
            read = self._read(text)
            self._batch, self._batch_from = read if read.items else None, recorded.sequence
            if not read.items:
                self._accept(read.claims, recorded)
                return
        if self._batch is None or not self._accept_item(self._batch, recorded):
            self._follow(recorded)

    def _read(self, text: str) -> _Read:
        if self._judged is not None and self._judged.text == text:
            return self._judged
        return _opened(text, read_command(parse(text, "hg-command+jws")))

    def _accept(self, command: Command, recorded: Recorded[Any]) -> None:
        # In a replay the clock is read after the own stream. But these facts have the time by which
        # their command was judged, so no more is kept meanwhile than was kept then.
        time = recorded.envelope.time
        if time is not self._time:  # the facts of a turn share it
            self._time = time
            self.forget(int(time.timestamp()))
        key, place = (command.member, command.id), recorded.position
        sequence = place.sequence
        if (before := self._known.get(key)) is not None:
            self._by_first.pop(before[_FIRST], None)
        else:
            self._of_members[command.member] += 1
        digest, self._stream = digest_of(command), place.stream
        self._known[key] = (digest, command.exp, sequence, place.hash, sequence, place.hash)
        self._by_first[sequence] = key
        self._end(command.exp, key)

    def _end(self, exp: int, key: Key) -> None:
        """Note when a window ends: each instant is in the heap once, many commands share it."""
        keys = self._ends.get(exp)
        if keys is None:
            keys = self._ends[exp] = []
            heappush(self._instants, exp)
        keys.append(key)

    def _accept_item(self, batch: _Read, recorded: Recorded[Any]) -> bool:
        """Accept a command of the last batch that this fact is the first of."""
        member, _, rest = recorded.envelope.id.partition(".")
        command_id = rest.partition(".")[0]
        if member != batch.claims.member or command_id not in batch.items:
            return False
        known = self._known.get((member, command_id))
        if known is not None and known[_FIRST] >= self._batch_from:
            return False  # else the id was used long ago: in a replay time comes after own facts
        self._accept(batch.command(command_id), recorded)
        return True

    def _follow(self, recorded: Recorded[Any]) -> None:
        """Move the last position of the command that this fact is a further one of."""
        cause, _ = parse_cause(recorded.envelope.cause)
        key = None if cause is None else self._by_first.get(cause.sequence)
        if cause is None or key is None:
            return
        digest, exp, first, first_hash, _, _ = self._known[key]
        # What merely follows from the first fact (an invoice from its agreement) has other ids.
        is_mine = recorded.envelope.id.startswith(f"{key[0]}.{key[1]}.")
        if is_mine and (cause.stream, cause.hash) == (self._stream, first_hash):
            last = recorded.position
            self._known[key] = (digest, exp, first, first_hash, last.sequence, last.hash)

    def forget(self, now_s: int) -> None:
        """Drop the commands whose window ended an hour ago; they are `expired` by now.

        Args:
            now_s: Seconds since 1970.
        """
        while self._instants and self._instants[0] <= now_s - KEPT_AFTER_S:
            exp = heappop(self._instants)
            for key in self._ends.pop(exp):
                known = self._known.get(key)
                if known is not None and known[_EXP] == exp:  # else the id was used again since
                    del self._known[key]
                    self._of_members[key[0]] -= 1
                    self._by_first.pop(known[_FIRST], None)

    def dump(self) -> Dumped:
        """Give the commands, and the batch that may still go on, for a snapshot."""
        known, batch = dict(self._known), self._batch
        return {
            "stream": [self._stream],
            "commands": ([*key, *kept] for key, kept in known.items()),
            "batch": [] if batch is None else [[batch.text, self._batch_from]],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        (self._stream,) = dumped["stream"]
        for member, command_id, *kept in dumped["commands"]:
            digest, exp, first, first_hash, last, last_hash = kept
            key = member, command_id
            self._known[key] = (digest, exp, first, first_hash, last, last_hash)
            self._by_first[first] = key
            self._of_members[member] += 1
            self._end(exp, key)
        for text, sequence in dumped["batch"]:
            self._batch, self._batch_from = self._read(text), sequence


def _opened(text: str, claims: Command) -> _Read:
    body = claims.body
    items: dict[str, BatchItem] = {}
    for item in body.commands if type(body) is Batch else ():
        items.setdefault(item.id, item)  # of an id that stands twice, only the first is decided
    return _Read(text, claims, items)
