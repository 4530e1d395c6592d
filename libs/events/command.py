"""Commands: what members ask services to do, as the payload of a `hg-command+jws`.

A command is an intention in the imperative; the facts that follow are in the past tense. The claims
around its body say for whom it is meant and when it is valid; the body is one of the models below.

Source: eventing contract, section 5; docs/decisions/0001.
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, cast

from pydantic import (
    Field,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    create_model,
    model_validator,
)

from libs.events.errors import InvalidSignature
from libs.events.fact import Strict
from libs.events.ids import Id
from libs.events.jws import Signed, payload_of
from libs.events.positions import SeenText
from libs.events.spelling import spell

WINDOW_S_MAX = 24 * 3600
"""Most seconds between `nbf` and `exp`."""

KEPT_AFTER_S = 3600
"""Seconds for which an id is remembered after its `exp`; later the answer is `expired`."""

Service = Literal["ledger", "billing", "ingest", "oracle"]
"""A service that takes commands."""

UnixTime = Annotated[int, Field(strict=True, ge=0, le=2**40)]
"""Seconds since 1970, as JWT's NumericDate without fractions."""


class Body(Strict):
    """What a command asks for. Subclasses are registered with `@command`."""

    command_name: ClassVar[str]
    service: ClassVar[Service]
    batchable: ClassVar[bool]
    shape: ClassVar[int]


class Command(Strict):
    """The claims of a command."""

    deployment: Id
    """The installation for which it is meant."""
    service: Service
    """The service for which it is meant."""
    book: Id
    """The book; `register` for members, the partition for ingest, `main` for the oracle."""
    id: Id
    """Made and stored by the signer before it is sent: makes a repeat recognisable."""
    member: Id
    """Who asks; his key must have signed."""
    nbf: UnixTime
    """Not valid before."""
    exp: UnixTime
    """Not valid from this second on."""
    after: SeenText | None = None
    """Facts that this answers, as positions: the decider first reads that far."""
    command: str
    """Name of the command."""
    body: SerializeAsAny[Body]
    """What is asked."""

    @model_validator(mode="after")
    def _check(self) -> "Command":
        if not self.nbf < self.exp <= self.nbf + WINDOW_S_MAX:
            raise ValueError("exp must be later than nbf, by at most 24 hours")
        return self


_B = TypeVar("_B", bound=type[Body])
COMMANDS: dict[str, type[Body]] = {}
"""Every command, by name."""


def command(
    name: str, service: Service, *, batch: bool = False, shape: int = 1
) -> Callable[[_B], _B]:
    """Register a body as a command of a service.

    Args:
        name: Its name, in the imperative.
        service: Who decides it.
        batch: Whether it may stand in a signed batch.
        shape: Counts its shapes, from 1. A later shape may only add optional members, so that
            whatever was signed in an earlier one is read, and written, as it was.

    Raises:
        ValueError: The name is taken.
    """

    def register(cls: _B) -> _B:
        if name in COMMANDS:
            raise ValueError(f"command {name} is registered already")
        cls.command_name, cls.service, cls.batchable, cls.shape = name, service, batch, shape
        COMMANDS[name] = cls
        return cls

    return register


@cache
def _claims_class(body: type[Body]) -> type[Command]:
    """The claims with the body, name and service of one command."""
    literal: Any = Literal
    made = create_model(
        f"{body.command_name}Command",
        __base__=Command,
        command=(literal[body.command_name], ...),
        service=(literal[body.service], ...),
        body=(body, ...),
    )
    return cast("type[Command]", made)


def command_schema(body: type[Body]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what is signed for one command: its claims with its body."""
    return _claims_class(body).model_json_schema()


@cache
def _reader() -> TypeAdapter[Any]:
    """One model per command, told apart by its name, so that one pass checks everything."""
    union: Any = Union
    models: list[Any] = [_claims_class(body) for _, body in sorted(COMMANDS.items())]
    shape: Any = Annotated[union[tuple(models)], Field(discriminator="command")]
    return TypeAdapter(shape)


def _is_class(part: str | int) -> bool:
    """Tell whether a step of an error's place is the name of a class, which no reader knows."""
    return isinstance(part, str) and part[:1].isupper()


def read_command(signed: Signed) -> Command:
    """Read the payload of a signed command; its signature is the caller's question.

    Raises:
        InvalidSignature: A claim or a field of the body breaks its rule; the message names both.
    """
    try:
        found: Command = _reader().validator.validate_json(signed.payload)
    except ValidationError as error:
        payload_of(signed)  # a key that stands twice is the graver fault
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"] if not _is_class(part)) or "payload"
        raise InvalidSignature(f"{place}: {fault['msg']}", rule="command-schema") from error
    if write_command(found) != signed.payload:  # what we would write has no key twice
        payload_of(signed)
    return found


def write_command(claims: Command) -> bytes:
    """Write the claims as the JSON that is signed."""
    return spell(claims)
