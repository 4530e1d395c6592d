"""What the state of a part of some rules looks like in a snapshot. Pure.

    def dump(self) -> Dumped:
        balances = dict(self._balances)  # a shallow copy, made at once
        return {"balances": ([*place, amount] for place, amount in balances.items())}

    def load(self, dumped: Loaded) -> None:
        self._balances = {(asset, account): n for asset, account, n in dumped["balances"]}

The law, for every history and every cut: folding all of it, and folding the first part, dumping,
loading into a fresh object and folding the rest, give the same state.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

Dumped = Mapping[str, Iterable[Any]]
"""Rows by section. A row is what JSON can hold: text, integers, booleans, None, lists of those, and
objects with text as keys. The rows may be made while they are read, on another thread, so they must
come from copies of containers and from objects that never change."""

Loaded = Mapping[str, Sequence[Any]]
"""The same rows, as JSON gave them back: every tuple is a list by now."""


@runtime_checkable
class Dumpable(Protocol):
    """A state that a snapshot can hold. What is no part of the state (settings) stays outside."""

    def dump(self) -> Dumped:
        """Give the state as rows; quick, since the writer stands still meanwhile."""
        ...

    def load(self, dumped: Loaded) -> None:
        """Take over the rows of a `dump` into a fresh object that has folded nothing yet."""
        ...


def dump_parts(parts: Mapping[str, Dumpable]) -> Dumped:
    """Give the rows of several parts, each section behind the part's name and a slash."""
    return {
        f"{name}/{section}": rows
        for name, part in parts.items()
        for section, rows in part.dump().items()
    }


def load_parts(parts: Mapping[str, Dumpable], dumped: Loaded) -> None:
    """Let several parts load what `dump_parts` gave, in the order in which they are named."""
    for name, part in parts.items():
        mine = f"{name}/"
        part.load(
            {
                section.removeprefix(mine): rows
                for section, rows in dumped.items()
                if section.startswith(mine)
            }
        )
