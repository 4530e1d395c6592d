"""The envelope: one message = one fact = one CloudEvents 1.0 document.

The bytes that `encode` makes are stored, hashed as Merkle leaf and never rewritten. `decode` reads
them back and refuses a document whose subject, type, source or key does not follow from the stream
in which it was found, and one that `encode` would have spelled in another way: so every reader on
earth, whatever it makes of double keys or nulls, reads the same in the same bytes.

Source: eventing contract, section 2; CloudEvents 1.0.2 (structured mode, JSON).
"""

from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, lru_cache
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar, cast

from pydantic import Field, StringConstraints, ValidationError, create_model
from pydantic_core import SchemaValidator, from_json

from libs.events.errors import InvalidFact
from libs.events.fact import LATEST, REGISTRY, Fact, Strict, schema_name, type_name
from libs.events.ids import Id
from libs.events.positions import CauseText, Position, SeenText, fact_hash
from libs.events.quantities import Instant
from libs.events.spelling import spell, validator_of
from libs.events.subjects import StreamFamily, family_of
from libs.events.upcast import newest

FACT_SIZE_MAX = 256 * 1024
"""Largest stored fact in bytes."""

NUMBER_MAX = 2**31 - 1
"""Largest `n`: CloudEvents extensions hold 32-bit integers only."""

SHAPES_REMEMBERED = 4_096
"""Pairs of class and stream for which it is remembered what their facts share."""

FactId = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9_.:-]{1,200}$")]
"""Id of a fact: derived from what makes it unique, never from signed bytes, never random."""


class Envelope(Strict):
    """The members around a fact's data, in the order in which they are written."""

    specversion: Literal["1.0"] = "1.0"
    """Version of CloudEvents."""
    id: FactId
    """Unique within the source: meter and seq, signer and command id, cause and kind."""
    source: Annotated[str, StringConstraints(strict=True, max_length=200)]
    """`/<deployment>/<stream>`."""
    type: str
    """`heliograph.<Name>.v<N>`."""
    subject: Annotated[str, StringConstraints(strict=True, max_length=255)]
    """The NATS subject under which the fact stands."""
    time: Instant
    """Domain time: when it happened, never when a computer wrote it down."""
    datacontenttype: Literal["application/json"] = "application/json"
    """What `data` is."""
    dataschema: str
    """URN of the JSON Schema of `data`."""
    key: Id
    """What the fact is about; the token of the subject before the name."""
    n: Annotated[int, Field(strict=True, ge=1, le=NUMBER_MAX)]
    """Number of the fact within its key, from 1, without gaps."""
    cause: CauseText
    """Position (or `-`) and id of what led to it."""
    seen: SeenText
    """Positions of all inputs that were folded when it was decided."""
    data: Fact
    """The fact itself."""


_F_co = TypeVar("_F_co", bound=Fact, covariant=True)


@dataclass(slots=True)  # frozen, it would take three times as long to make
class Recorded(Generic[_F_co]):
    """A fact as it stands in a stream; nobody changes it."""

    stream: str
    """Name of the stream."""
    sequence: int
    """Its place there, from 1."""
    envelope: Envelope
    """The stored document; its `data` is the stored version."""
    fact: _F_co
    """The fact in its newest version."""
    data: bytes
    """The stored bytes: the Merkle leaf."""
    _position: Position | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def position(self) -> Position:
        """Where it stands, with the hash of its bytes, which are hashed when somebody asks."""
        found = self._position
        if found is None:
            found = self._position = Position(self.stream, self.sequence, fact_hash(self.data))
        return found


class Draft(NamedTuple):
    """A fact that was decided and has no number and position yet."""

    key: str
    """What it is about: the token of the subject before its name."""
    fact: Fact
    """The fact."""
    id: str
    """Its id, unique within its stream."""
    time: datetime
    """Domain time."""
    cause: str | None = None
    """Position (or `-`) and id of what led to it, as `libs.events.positions` writes it; `None`
    names the fact before it, in the same decision, that names one itself or is the first."""


@cache
def _envelope_class(cls: type[Fact]) -> type[Envelope]:
    """The envelope with `data` of one class, so that one pass reads and checks everything."""
    literal: Any = Literal
    made = create_model(
        f"{cls.fact_name}V{cls.fact_version}Document",
        __base__=Envelope,
        type=(literal[type_name(cls)], ...),
        dataschema=(literal[schema_name(cls)], ...),
        data=(cls, ...),
    )
    # Fields keep the order of `Envelope`: pydantic replaces an inherited field in its place.
    return cast("type[Envelope]", made)


def envelope_schema(cls: type[Fact]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the whole stored document of one fact."""
    return _envelope_class(cls).model_json_schema()


def record(
    draft: Draft, *, deployment: str, stream: str, sequence: int, n: int, cause: str, seen: str
) -> Recorded[Fact]:
    """Write a fact down as it will stand at a place: the only place where stored bytes are made.

    Args:
        draft: The fact, its key, id and time.
        deployment: Id of this installation; part of `source`.
        stream: Stream to which it is appended.
        sequence: Its place there.
        n: Number within its key, from 1.
        cause: Position (or `-`) and id of what led to it.
        seen: Positions of all folded inputs.

    Returns:
        What `decode` would read back from its subject and bytes.

    Raises:
        InvalidFact: A member breaks its rule, the fact does not belong into the stream, or the
            document is larger than 256 KiB.
    """
    cls = type(draft.fact)
    same = _same_in_all(cls, deployment, stream)
    try:
        document: Envelope = same.validator.validate_python(
            {
                **same.members,
                "id": draft.id,
                "subject": same.family.subject(same.part, draft.key, cls.fact_name),
                "time": draft.time,
                "key": draft.key,
                "n": n,
                "cause": cause,
                "seen": seen,
                "data": draft.fact,
            }
        )
    except ValueError as error:
        raise InvalidFact(str(error), rule="envelope") from error
    data = spell(document)
    if len(data) > FACT_SIZE_MAX:
        raise InvalidFact(
            f"{cls.fact_name} has {len(data)} bytes, more than {FACT_SIZE_MAX}", rule="size"
        )
    return Recorded(stream, sequence, document, newest(draft.fact), data)


class _Same(NamedTuple):
    """What all facts of one class in one stream share."""

    family: StreamFamily
    part: str
    validator: SchemaValidator
    members: dict[str, str]


@lru_cache(maxsize=SHAPES_REMEMBERED)  # spares a quarter of `record`
def _same_in_all(cls: type[Fact], deployment: str, stream: str) -> _Same:
    family, part = _family_of(stream)
    if family not in cls.families:
        raise InvalidFact(f"{cls.fact_name} does not stand in {stream}", rule="stream")
    members = {
        "source": f"/{deployment}/{stream}",
        "type": type_name(cls),
        "dataschema": schema_name(cls),
    }
    return _Same(family, part, validator_of(_envelope_class(cls)), members)


def encode(
    draft: Draft, *, deployment: str, stream: str, n: int, cause: str, seen: str
) -> tuple[str, bytes]:
    """Make the subject and the bytes of a fact, wherever it will stand; see `record`."""
    recorded = record(
        draft, deployment=deployment, stream=stream, sequence=0, n=n, cause=cause, seen=seen
    )
    return recorded.envelope.subject, recorded.data


def decode(
    *, deployment: str, stream: str, sequence: int, subject: str, data: bytes
) -> Recorded[Fact]:
    """Read a stored fact and refuse one that does not belong where it was found.

    Raises:
        InvalidFact: The bytes are no fact of a known type and version, or its subject, source,
            type or key do not follow from its stream, or `encode` would have written other bytes.
            `rule` names what was broken.
    """
    family, part = _family_of(stream)
    name = subject.rpartition(".")[2]
    cls = LATEST.get(name)
    if cls is None or family not in cls.families:
        raise InvalidFact(f"no fact {name!r} stands in {stream}", rule="type")
    if len(data) > FACT_SIZE_MAX:
        raise InvalidFact(f"{len(data)} bytes, more than {FACT_SIZE_MAX}", rule="size")
    envelope = _read(cls, name, data)
    if envelope.subject != subject or subject != _subject(family, part, envelope.key, name):
        raise InvalidFact(f"{subject!r} does not follow from the document", rule="subject")
    if envelope.source != f"/{deployment}/{stream}":
        raise InvalidFact(f"source {envelope.source!r} is not of {stream}", rule="source")
    if spell(envelope) != data:
        raise InvalidFact("a stored fact has one spelling, and this is another", rule="spelling")
    return Recorded(stream, sequence, envelope, newest(envelope.data), data)


def _family_of(stream: str) -> tuple[StreamFamily, str]:
    try:
        return family_of(stream)
    except ValueError as error:
        raise InvalidFact(str(error), rule="stream") from error


def _subject(family: StreamFamily, part: str, key: str, name: str) -> str | None:
    """The subject that follows from the key, or nothing for a key that may not stand there."""
    try:
        return family.subject(part, key, name)
    except ValueError:
        return None


def _read(cls: type[Fact], name: str, data: bytes) -> Envelope:
    """Read the document as the newest version, or as the older version that it names."""
    try:
        return _read_as(cls, data)
    except ValidationError as newest_error:
        older = _older_class(cls, name, data)
        if older is None:
            raise InvalidFact(_first_fault(newest_error), rule="schema") from newest_error
    try:
        return _read_as(older, data)
    except ValidationError as error:
        raise InvalidFact(_first_fault(error), rule="schema") from error


def _read_as(cls: type[Fact], data: bytes) -> Envelope:
    found: Envelope = validator_of(_envelope_class(cls)).validate_json(data)
    return found


def _older_class(cls: type[Fact], name: str, data: bytes) -> type[Fact] | None:
    """The class of the older version that the document names, when it names one."""
    try:
        document = from_json(data)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    for version in range(cls.fact_version - 1, 0, -1):
        older = REGISTRY.get((name, version))
        if older is not None and document.get("type") == type_name(older):
            return older
    return None


def _first_fault(error: ValidationError) -> str:
    """Name the first field that breaks a rule, and the rule."""
    fault = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in fault["loc"]) or "document"
    return f"{place}: {fault['msg']}"
