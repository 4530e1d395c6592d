"""The case: the facts of a proof file, decoded, and how they are asked for.

Every step of the verification takes facts from here and so marks them as needed; a fact that no
step needed is refused at the end. Nothing here decides.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.positions import Position, parse_seen
from libs.proof.errors import ProofFailed
from libs.proof.model import ProofFile, TrustFile

F = TypeVar("F", bound=Fact)


@dataclass(slots=True)
class Step:
    """One step that was passed."""

    number: int
    """Its number, from 1."""
    name: str
    """Its name, a few words."""
    checked: str
    """What was checked, in one sentence."""
    counts: Mapping[str, int]
    """How much of what."""


@dataclass(slots=True)
class Case:
    """All that the steps share."""

    file: ProofFile
    """The file."""
    trust: TrustFile | None
    """Whom the reader trusts; nobody when it is missing."""
    facts: dict[tuple[str, int], Recorded[Fact]] = field(default_factory=dict)
    """The decoded facts, by stream and sequence."""
    not_covered: list[str] = field(default_factory=list)
    """What the proof leaves open, each as one sentence."""
    _kinds: dict[type[Fact], list[Recorded[Fact]]] = field(default_factory=dict)
    _needed: set[tuple[str, int]] = field(default_factory=set)
    _seen: dict[tuple[str, int], dict[str, Position]] = field(default_factory=dict)

    def add(self, recorded: Recorded[Fact]) -> None:
        """Add a decoded fact."""
        self.facts[recorded.stream, recorded.sequence] = recorded
        self._kinds.setdefault(type(recorded.fact), []).append(recorded)

    def all(self, kind: type[F], rule: Callable[[F], bool] = lambda _: True) -> list[Recorded[F]]:
        """Every fact of a kind that fits a rule, by stream and sequence; marked as needed."""
        found = self.glance(kind, rule)
        for each in found:
            self.need(each)
        return found

    def glance(
        self, kind: type[F], rule: Callable[[F], bool] = lambda _: True
    ) -> list[Recorded[F]]:
        """As `all`, but none of them is marked as needed."""
        known = cast("list[Recorded[F]]", self._kinds.get(kind, []))
        return [each for each in known if rule(each.fact)]

    def one(self, step: int, what: str, kind: type[F], rule: Callable[[F], bool]) -> Recorded[F]:
        """The one fact of a kind that fits a rule.

        Raises:
            ProofFailed: There is none, or more than one.
        """
        found = self.all(kind, rule)
        if len(found) != 1:
            raise ProofFailed(step, f"{what}: {len(found)} facts in the file, one is needed")
        return found[0]

    def need(self, recorded: Recorded[Fact]) -> None:
        """Mark a fact as needed."""
        self._needed.add((recorded.stream, recorded.sequence))

    def idle(self) -> list[Recorded[Fact]]:
        """The facts that no step needed."""
        return [each for place, each in sorted(self.facts.items()) if place not in self._needed]

    def seen(self, recorded: Recorded[Fact]) -> dict[str, Position]:
        """The positions that a fact's writer had read."""
        place = (recorded.stream, recorded.sequence)
        if place not in self._seen:
            self._seen[place] = parse_seen(recorded.envelope.seen)
        return self._seen[place]

    def knew(self, later: Recorded[Fact], earlier: Recorded[Fact]) -> bool:
        """Tell whether the writer of one fact had read another one."""
        if later.stream == earlier.stream:
            return earlier.sequence < later.sequence
        position = self.seen(later).get(earlier.stream)
        return position is not None and position.sequence >= earlier.sequence


def require(step: int, truth: bool, message: str) -> None:  # noqa: FBT001
    """Refuse unless something holds.

    Raises:
        ProofFailed: It does not.
    """
    if not truth:
        raise ProofFailed(step, message)


def same(step: int, what: str, pairs: Iterable[tuple[str, object, object]]) -> None:
    """Refuse unless pairs are equal.

    Args:
        step: Number of the step.
        what: What they are about.
        pairs: Name of the member, what stands there, what it must be.

    Raises:
        ProofFailed: One pair differs; the message names it.
    """
    for name, found, wanted in pairs:
        if found != wanted:
            raise ProofFailed(step, f"{what}: {name} is {found}, it must be {wanted}")
