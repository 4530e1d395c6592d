"""The base of every fact, and the registry of (name, version).

A fact's name and version are written out beside its class, never taken from the Python path, so
that moving a class cannot change what is stored.
"""

from collections.abc import Callable
from functools import cache
from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

from libs.events.subjects import StreamFamily


class Strict(BaseModel):
    """A strict, frozen model: no coercion, no unknown fields, no floats where integers belong."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
        serialize_by_alias=True,
    )


class Fact(Strict):
    """Something that happened, past tense. Subclasses are registered with `@fact`."""

    fact_name: ClassVar[str]
    fact_version: ClassVar[int]
    families: ClassVar[tuple[StreamFamily, ...]]


_F = TypeVar("_F", bound=type[Fact])

REGISTRY: dict[tuple[str, int], type[Fact]] = {}
"""Every version of every fact that was ever released, by name and version."""

LATEST: dict[str, type[Fact]] = {}
"""The newest version of every fact, by name."""


def fact(name: str, version: int, *families: StreamFamily) -> Callable[[_F], _F]:
    """Register a class as one version of a fact.

    Args:
        name: The stored name, past tense, such as `ReadingRecorded`.
        version: From 1; a changed shape is a new version with an upcast.
        families: The streams in which it stands: one, but for `TimeReached`.

    Raises:
        ValueError: The name and version are taken, or the name belongs to other families.
    """

    def register(cls: _F) -> _F:
        if (name, version) in REGISTRY:
            raise ValueError(f"{name} version {version} is registered already")
        latest = LATEST.get(name)
        if latest is not None and latest.families != families:
            raise ValueError(f"{name} does not move to other streams with a new version")
        cls.fact_name, cls.fact_version, cls.families = name, version, families
        REGISTRY[name, version] = cls
        if latest is None or latest.fact_version < version:
            LATEST[name] = cls
        return cls

    return register


@cache
def type_name(cls: type[Fact]) -> str:
    """The CloudEvents `type` of a fact: `heliograph.<Name>.v<N>`."""
    return f"heliograph.{cls.fact_name}.v{cls.fact_version}"


@cache
def schema_name(cls: type[Fact]) -> str:
    """The `dataschema` of a fact, a URN that never changes; the file is in `docs/schemas`."""
    return f"urn:heliograph:schema:{cls.fact_name}:v{cls.fact_version}"
