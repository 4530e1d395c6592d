"""Commands: what members ask services to do, as the payload of a `hg-command+jws`.

A command is an intention in the imperative; the facts that follow are in the past tense. The claims
around its body say for whom it is meant and when it is valid; the body is one of the models below.

Source: eventing contract, section 5; docs/decisions/0001.
"""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, cast

from pydantic import Field, TypeAdapter, ValidationError, create_model, model_validator

from libs.events.books import Terms, TimeZone
from libs.events.errors import InvalidSignature
from libs.events.fact import Strict
from libs.events.ids import Address, Id
from libs.events.invoicing import LocalDate
from libs.events.jws import Signed, payload_of
from libs.events.membership import Role
from libs.events.metering import IntervalS, MeterRole, RegisterValue
from libs.events.positions import SeenText
from libs.events.pricing import Asset
from libs.events.quantities import (
    DurationS,
    Instant,
    PositiveStroops,
    PowerW,
    PriceStroopsPerKwh,
    Shares,
)

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
    body: Body
    """What is asked."""

    @model_validator(mode="after")
    def _check(self) -> "Command":
        if not self.nbf < self.exp <= self.nbf + WINDOW_S_MAX:
            raise ValueError("exp must be later than nbf, by at most 24 hours")
        return self


_B = TypeVar("_B", bound=type[Body])
COMMANDS: dict[str, type[Body]] = {}
"""Every command, by name."""


def command(name: str, service: Service) -> Callable[[_B], _B]:
    """Register a body as a command of a service.

    Raises:
        ValueError: The name is taken.
    """

    def register(cls: _B) -> _B:
        if name in COMMANDS:
            raise ValueError(f"command {name} is registered already")
        cls.command_name, cls.service = name, service
        COMMANDS[name] = cls
        return cls

    return register


@command("RegisterMember", "ledger")
class RegisterMember(Body):
    """An approver lets a member in."""

    member: Id
    """The new member."""
    address: Address
    """The member's Stellar address."""
    roles: Annotated[tuple[Role, ...], Field(min_length=1, max_length=12)]
    """The member's roles, each once."""


@command("EnrolMeter", "ingest")
class EnrolMeter(Body):
    """An approver binds a meter to the key that signs for it."""

    meter: Id
    """The meter."""
    address: Address
    """The key of its Teller."""
    role: MeterRole
    """What the meter is for."""
    system: Id
    """The system."""
    holding: Id | None = None
    """The holding; needed for the role `consumption` and refused for the others."""
    site: Id
    """The site."""
    nameplate_w: PowerW
    """Most power that it can measure, in W."""
    starts: tuple[RegisterValue, ...]
    """Its registers now, each register of its role once."""


@command("PublishTariff", "oracle")
class PublishTariff(Body):
    """An approver sets a fixed price of energy."""

    tariff: Id
    """The tariff."""
    asset: Asset
    """What the price is in."""
    price_stroops_per_kwh: PriceStroopsPerKwh
    """Price in stroops per kWh; must be above zero for a fixed tariff."""
    effective_from: Instant
    """First instant at which it holds; not before now."""


@command("AdvanceTime", "oracle")
class AdvanceTime(Body):
    """The player moves the clock; only in played time."""

    to: Instant
    """The new time."""
    down: Annotated[tuple[Id, ...], Field(max_length=16)] = ()
    """Services that the player declares down: nobody waits for them."""


@command("DepositFunds", "ledger")
class DepositFunds(Body):
    """An approver states that a member brought book money."""

    member: Id
    """The member."""
    asset: Asset
    """What was deposited."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


@command("ProposeSystem", "ledger")
class ProposeSystem(Body):
    """A developer or originator proposes a solar system."""

    system: Id
    """The system."""
    asset: Asset
    """What the price is in."""
    price_stroops: PositiveStroops
    """Price in stroops."""
    nameplate_w: PowerW
    """Nameplate power in W."""
    site: Id
    """The site."""
    time_zone: TimeZone
    """The site's time zone."""
    terms: Terms
    """The terms that are offered."""


@command("ApproveSystem", "ledger")
class ApproveSystem(Body):
    """An approver lets a proposed system raise money."""

    system: Id
    """The system."""


@command("Invest", "ledger")
class Invest(Body):
    """An investor reserves units of a system and puts the money into escrow."""

    system: Id
    """The system."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""
    terms: Terms
    """The terms he agrees to; they must be those that the system offers."""


@command("AcceptRaise", "ledger")
class AcceptRaise(Body):
    """The recipient accepts a full raise."""

    system: Id
    """The system."""


@command("OpenHolding", "ledger")
class OpenHolding(Body):
    """An approver gives a recipient the right to use a part of a system."""

    holding: Id
    """The holding."""
    system: Id
    """The system."""
    recipient: Id
    """The member who will use and own it."""
    units: Shares
    """Units of the system."""


@command("OpenAgreement", "billing")
class OpenAgreement(Body):
    """A recipient agrees to pay for the energy of his holding."""

    agreement: Id
    """The agreement."""
    holding: Id
    """The holding."""
    tariff: Id
    """The tariff."""
    period: Literal["month"]
    """Billing period."""
    first_day: LocalDate
    """First local day that is billed."""
    rating_interval_s: IntervalS
    """Rating interval in seconds."""
    settlement_lag_s: DurationS
    """Seconds from the end of a period to the final invoice."""
    due_after_s: DurationS
    """Seconds from the invoice to its due time."""
    terms: Terms
    """The terms; they must be those that every investor signed."""


@command("Pay", "ledger")
class Pay(Body):
    """A member pays towards the invoices of an agreement from his wallet."""

    agreement: Id
    """The agreement."""
    amount_stroops: PositiveStroops
    """Amount in stroops."""


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


def read_command(signed: Signed) -> Command:
    """Read the payload of a signed command; its signature is the caller's question.

    Raises:
        InvalidSignature: A claim or a field of the body breaks its rule; the message names both.
    """
    payload_of(signed)  # no key stands twice
    try:
        found: Command = _reader().validate_json(signed.payload)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in fault["loc"] if part not in COMMANDS) or "payload"
        raise InvalidSignature(f"{place}: {fault['msg']}", rule="command-schema") from error
    return found


def write_command(claims: Command) -> bytes:
    """Write the claims as the JSON that is signed."""
    return claims.model_dump_json(exclude_none=True, serialize_as_any=True).encode("utf-8")
