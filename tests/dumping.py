"""The law of snapshots: a state that went through one goes on like a state that did not."""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from libs.rules.dumps import Dumpable, Loaded

T = TypeVar("T", bound=Dumpable)
E = TypeVar("E")


def rows(dumpable: Dumpable) -> dict[str, list[Any]]:
    """A state as it stands in a file and comes back: through JSON."""
    dumped = {name: list(section) for name, section in dumpable.dump().items()}
    text = json.dumps(dumped, ensure_ascii=False, allow_nan=False)
    loaded: dict[str, list[Any]] = json.loads(text)
    return loaded


def like(dumpable: Dumpable) -> dict[str, list[str]]:
    """The state without the order of its rows."""
    return {name: sorted(map(json.dumps, section)) for name, section in rows(dumpable).items()}


def through_snapshot(
    fresh: Callable[[], T], fold: Callable[[T, E], object], history: Sequence[E], cut: int
) -> tuple[T, T]:
    """Fold a history in one go, and with a snapshot after `cut` of it; give both states.

    The rows are made only after more was folded, as a thread does that writes them out.
    """
    whole, first, second = fresh(), fresh(), fresh()
    for each in history:
        fold(whole, each)
    for each in history[:cut]:
        fold(first, each)
    at_once, later = rows(first), first.dump()
    for each in history[cut:]:
        fold(first, each)
    dumped: Loaded = json.loads(
        json.dumps({name: list(section) for name, section in later.items()})
    )
    assert dumped == at_once, "what was folded after the dump shows in it"
    second.load(dumped)
    for each in history[cut:]:
        fold(second, each)
    return whole, second
