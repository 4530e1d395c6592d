"""Asking for something in the energy network: the seed's routes, with signed commands as bodies.

The gateway judges nothing: it passes the command on, waits until the views show what followed, and
answers from them, so that whoever reads afterwards reads his own write. What it answers is what the
command led to and nothing that came later; a repeat of a command is answered as the first was.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import APIRouter, Request

from libs.events.decimals import KWH_PLACES, parse_decimal
from libs.events.jws import COMMAND_SIZE_MAX, parse, payload_of
from libs.events.positions import Position
from libs.events.quantities import WH_PER_KWH
from libs.runtime.failures import Refused, Transient
from services.gateway import commands
from services.gateway.api import state_of
from services.gateway.database import Connection
from services.gateway.problems import responses
from services.gateway.queries import factories, trades
from services.gateway.shapes import trading as shapes
from services.gateway.state import State
from services.gateway.trade_api import NETWORK

T = TypeVar("T")

LOOK_EVERY_S: Final = (0.01, 0.2)
"""Seconds between two looks at the views: the first, from which it doubles, and the longest."""

router = APIRouter(
    prefix="/api", tags=[NETWORK], responses=responses(400, 404, 409, 413, 415, 422, 503)
)


@dataclass(frozen=True, slots=True)
class _CarriedOut:
    """A command that a service accepted."""

    book: str
    """The book of its claims."""
    body: dict[str, Any]
    """What was asked, in the seed's field names."""
    position: Position
    """Its last fact."""


def _signed(command: str) -> dict[str, Any]:
    """What OpenAPI tells of a body: the signed command, and where its schema is."""
    schema = {
        "type": "string",
        "description": f"Its `body` has the schema urn:heliograph:schema:Command.{command}.",
        "example": "eyJhbGciOi...e30.c2ln",
    }
    body = {
        "required": True,
        "description": (
            f"The command `{command}`, signed: a compact JWS of type hg-command+jws, at most "
            f"{COMMAND_SIZE_MAX} bytes. `heliograph sign --schema {command}` prints what its body "
            "may hold."
        ),
        "content": {commands.CONTENT_TYPE: {"schema": schema}},
    }
    return {"requestBody": body}


async def _carry_out(request: Request, command: str) -> _CarriedOut:
    """Pass the route's command on.

    Raises:
        Refused: It is another command.
        HeliographError: What the service answered, or that it did not.
    """
    state, message = state_of(request), await commands.read_body(request)
    commands.route(message, state.settings.all_books)  # tells what is wrong with the form
    claims = payload_of(parse(message, "hg-command+jws"))
    if claims.get("command") != command:
        raise Refused("wrong-command", f"This route takes {command}.", field="command")
    answer = await commands.ask(state.desk(), message)
    try:
        position = Position.parse(str(answer["position"]))
    except (KeyError, ValueError) as error:
        raise Transient("bad-answer", "The service's answer cannot be read.") from error
    body = claims["body"]
    assert isinstance(body, dict), "the service accepted it"
    return _CarriedOut(str(claims["book"]), body, position)


async def _read_after(
    state: State, position: Position, look: Callable[[Connection], Awaitable[T | None]]
) -> T:
    """Ask the views until they have reached a position and show something.

    Raises:
        Transient: They did not in time.
    """
    deadline = asyncio.get_running_loop().time() + state.settings.views_timeout_s
    delay_s, longest_s = LOOK_EVERY_S
    while True:
        found = await _look_once(state, position, look)
        if found is not None:
            return found
        if asyncio.get_running_loop().time() > deadline:
            raise Transient(
                "views-behind",
                "The command was carried out; the views do not show it yet. Read it in a moment, "
                "or send the same command again, with the same id.",
            )
        await asyncio.sleep(delay_s)
        delay_s = min(2 * delay_s, longest_s)


async def _look_once(
    state: State, position: Position, look: Callable[[Connection], Awaitable[T | None]]
) -> T | None:
    """Ask the views; nothing while they are behind or away, for the command was carried out."""
    try:
        async with state.views.reading() as connection:
            reached = await connection.fetchval(
                "SELECT sequence FROM projection_position WHERE stream = $1", position.stream
            )
            return await look(connection) if (reached or 0) >= position.sequence else None
    except Transient:
        return None


@router.post("/factory/register", openapi_extra=_signed("RegisterFactory"))
async def register(request: Request) -> shapes.Answer[shapes.Factory]:
    """Let a factory in (`RegisterFactory`, signed by an approver).

    Answers the factory as it begins, once its opening balances stand in its book.
    """
    done = await _carry_out(request, "RegisterFactory")
    member = str(done.body["factoryId"])

    async def look(connection: Connection) -> shapes.Factory | None:
        return await factories.registered(connection, member)

    data = await _read_after(state_of(request), done.position, look)
    return shapes.Answer(message=f"{member} is registered.", data=data)


async def _move(request: Request, command: str, of: str, to: str | None = None) -> shapes.Moved:
    """Carry out a command that moves energy.

    Args:
        request: The request.
        command: The command that its route takes.
        of: Field of the body that names whose energy it is.
        to: Field that names who receives it.
    """
    done = await _carry_out(request, command)
    member, position = str(done.body[of]), done.position
    energy_wh = parse_decimal(str(done.body["amount"]), KWH_PLACES)

    async def look(connection: Connection) -> int | None:
        return await factories.energy_after(connection, position.stream, member, position.sequence)

    balance_wh = await _read_after(state_of(request), position, look)
    return shapes.Moved(
        factoryId=member,
        toFactoryId=None if to is None else str(done.body[to]),
        amount=energy_wh / WH_PER_KWH,
        energy_wh=energy_wh,
        balance=balance_wh / WH_PER_KWH,
        balance_wh=balance_wh,
        position=str(position),
    )


@router.post("/energy/mint", openapi_extra=_signed("MintEnergy"))
async def mint(request: Request) -> shapes.Answer[shapes.Moved]:
    """Make tokens for energy that no meter reports (`MintEnergy`, signed by an approver)."""
    data = await _move(request, "MintEnergy", "factoryId")
    return shapes.Answer(message="The energy is minted.", data=data)


@router.post("/energy/transfer", openapi_extra=_signed("TransferEnergy"))
async def transfer(request: Request) -> shapes.Answer[shapes.Moved]:
    """Give energy to another member (`TransferEnergy`, signed by the giver)."""
    data = await _move(request, "TransferEnergy", "fromFactoryId", "toFactoryId")
    return shapes.Answer(message="The energy is transferred.", data=data)


@router.post("/energy/retire", openapi_extra=_signed("RetireEnergy"))
async def retire(request: Request) -> shapes.Answer[shapes.Moved]:
    """Use tokens up, so that nobody can trade them again (`RetireEnergy`, signed by the member)."""
    data = await _move(request, "RetireEnergy", "factoryId")
    return shapes.Answer(message="The energy is retired.", data=data)


async def _trade(request: Request, command: str) -> shapes.Trade:
    """Carry out a command about one trade; give the trade as the command left it."""
    done = await _carry_out(request, command)
    name, upto = str(done.body["tradeId"]), done.position.sequence

    async def look(connection: Connection) -> shapes.Trade | None:
        return await trades.trade(connection, done.book, name, upto)

    return await _read_after(state_of(request), done.position, look)


@router.post("/trade/create", openapi_extra=_signed("CreateTrade"))
async def create_trade(request: Request) -> shapes.Answer[shapes.Trade]:
    """Offer energy to one buyer and hold it for him (`CreateTrade`, signed by the seller)."""
    data = await _trade(request, "CreateTrade")
    return shapes.Answer(message="The trade is created.", data=data)


@router.post("/trade/execute", openapi_extra=_signed("ExecuteTrade"))
async def execute_trade(request: Request) -> shapes.Answer[shapes.Trade]:
    """Pay and receive at once (`ExecuteTrade`, signed by the buyer)."""
    data = await _trade(request, "ExecuteTrade")
    return shapes.Answer(message="The trade is executed.", data=data)


@router.post("/trade/cancel", openapi_extra=_signed("CancelTrade"))
async def cancel_trade(request: Request) -> shapes.Answer[shapes.Trade]:
    """Give a pending trade up (`CancelTrade`, signed by the seller or the buyer)."""
    data = await _trade(request, "CancelTrade")
    return shapes.Answer(message="The trade is cancelled.", data=data)
