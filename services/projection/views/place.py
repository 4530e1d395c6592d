"""How most rows begin and end: the place of their fact, and its time. Pure."""

from collections.abc import Iterator
from typing import Any

from libs.events import Fact, Recorded
from services.projection.table import Table, Values

Rows = Iterator[tuple[Table, Values]]
"""Rows of one fact, each with its table."""


def row(recorded: Recorded[Fact], *values: Any) -> Values:
    """A row that is only ever added: stream, sequence, what it says, time."""
    return (recorded.stream, recorded.sequence, *values, recorded.envelope.time)


def newest(recorded: Recorded[Fact], *key: str) -> Values:
    """How a row begins that replaces the one before: stream, key, sequence."""
    return (recorded.stream, *key, recorded.sequence)
