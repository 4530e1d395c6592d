"""Old versions of facts, brought to the newest shape when they are read.

Stored bytes are never rewritten: the Merkle leaf is the hash of what was stored, so reading an old
fact through an upcast can never break a proof. One step leads from version N to version N + 1.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from libs.events.fact import LATEST, REGISTRY, Fact

Upcast = Callable[[Any], Fact]
_U = TypeVar("_U", bound=Upcast)

UPCASTS: dict[tuple[str, int], Upcast] = {}
"""The step that leads away from (name, version)."""


def upcast(name: str, version: int) -> Callable[[_U], _U]:
    """Register the pure step from (name, version) to the next version.

    Raises:
        ValueError: There is such a step already.
    """

    def register(step: _U) -> _U:
        if (name, version) in UPCASTS:
            raise ValueError(f"the step from {name} version {version} is registered already")
        UPCASTS[name, version] = step
        return step

    return register


def newest(stored: Fact) -> Fact:
    """Bring a stored fact to the newest version of its name."""
    shape = stored
    while shape.fact_version < LATEST[shape.fact_name].fact_version:
        older, shape = shape, UPCASTS[shape.fact_name, shape.fact_version](shape)
        assert (shape.fact_name, shape.fact_version) == (older.fact_name, older.fact_version + 1)
    return shape


def missing_steps() -> list[tuple[str, int]]:
    """Name the versions from which no step leads on; a test wants this list to be empty."""
    return [
        (name, version)
        for (name, version) in REGISTRY
        if version < LATEST[name].fact_version and (name, version) not in UPCASTS
    ]
