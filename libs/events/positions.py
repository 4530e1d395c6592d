"""Positions in streams, and the grammar in which facts name them.

A position is written `STREAM:sequence:hash`, where `hash` is the first 32 hexadecimal digits of the
SHA-256 of the stored bytes there. `seen` is a list of positions sorted by stream, parted by one
space; `cause` is a position, or `-` for what came from outside, a space, and an id.
"""

import hashlib
import re
from collections.abc import Iterable
from typing import Annotated, NamedTuple

from pydantic import StringConstraints

HASH_DIGITS = 32
"""Hexadecimal digits of a fact's hash in a written position: 128 bits."""

_STREAM = r"[A-Z]+(?:_[A-Za-z0-9_-]{1,64})?"
_POSITION = rf"{_STREAM}:(?:0|[1-9][0-9]{{0,15}}):[0-9a-f]{{{HASH_DIGITS}}}"
_PARSED = re.compile(rf"({_STREAM}):(0|[1-9][0-9]{{0,15}}):([0-9a-f]{{{HASH_DIGITS}}})")

PositionText = Annotated[str, StringConstraints(strict=True, pattern=rf"^{_POSITION}$")]
"""A written position."""

SeenText = Annotated[
    str, StringConstraints(strict=True, pattern=rf"^(?:{_POSITION}(?: {_POSITION})*)?$")
]
"""The written positions of all inputs, sorted by stream; empty when there are none."""

CauseText = Annotated[
    str, StringConstraints(strict=True, pattern=rf"^(?:-|{_POSITION}) [A-Za-z0-9_./:-]{{1,200}}$")
]
"""What led to a fact: a position or `-`, a space, and an id."""

EMPTY_HASH = "0" * HASH_DIGITS
"""Stands for the hash at position 0, before the first fact."""


def fact_hash(data: bytes) -> str:
    """Hash stored bytes as positions write it: 32 hexadecimal digits of SHA-256."""
    return hashlib.sha256(data).hexdigest()[:HASH_DIGITS]


class Position(NamedTuple):  # a frozen dataclass takes three times as long to make
    """One place in one stream, with the hash of the fact that stands there."""

    stream: str
    """Name of the stream, such as `READINGS_0`."""
    sequence: int
    """Sequence in the stream, from 1; 0 stands before the first fact."""
    hash: str
    """First 32 hexadecimal digits of the SHA-256 of the stored bytes; zeros at sequence 0."""

    def __str__(self) -> str:
        return f"{self.stream}:{self.sequence}:{self.hash}"

    @classmethod
    def start(cls, stream: str) -> "Position":
        """The position before the first fact of a stream."""
        return cls(stream, 0, EMPTY_HASH)

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read a written position.

        Raises:
            ValueError: The text is not `STREAM:sequence:hash`.
        """
        match = _PARSED.fullmatch(text)
        if match is None:
            raise ValueError("a position is written STREAM:sequence:hash")
        return cls(match[1], int(match[2]), match[3])


def write_seen(positions: Iterable[Position]) -> str:
    """Write the positions of all inputs, sorted by stream."""
    return " ".join(str(position) for position in sorted(positions))


def parse_seen(text: str) -> dict[str, Position]:
    """Read `seen` as a mapping from stream to position.

    Raises:
        ValueError: A part is no position, a stream stands twice, or they are not sorted.
    """
    positions = [Position.parse(part) for part in text.split(" ")] if text else []
    streams = [position.stream for position in positions]
    if streams != sorted(set(streams)):
        raise ValueError("`seen` names each stream once, sorted by stream")
    return {position.stream: position for position in positions}


def write_cause(position: Position | None, cause_id: str) -> str:
    """Write a cause: the position of the fact, or `-` for what came from outside, and its id."""
    return f"{'-' if position is None else position} {cause_id}"


def parse_cause(text: str) -> tuple[Position | None, str]:
    """Read a cause as its position (`None` for what came from outside) and its id.

    Raises:
        ValueError: The text is not a position or `-`, one space, and an id.
    """
    place, space, cause_id = text.partition(" ")
    if not space or not cause_id:
        raise ValueError("a cause is a position or `-`, a space, and an id")
    return (None if place == "-" else Position.parse(place)), cause_id
