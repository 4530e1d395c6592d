"""The routes of the API: each asks the views once and answers a shape."""

from collections.abc import AsyncIterator
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import StreamingResponse
from starlette.responses import Response

from libs.events.ids import ID_PATTERN, Reference
from libs.events.jws import COMMAND_SIZE_MAX
from libs.runtime.failures import NotFound, Transient
from services.gateway import commands, shapes
from services.gateway.filters import Instant
from services.gateway.paging import CURSOR_MAX, LIMIT, LIMIT_MAX, read_cursor
from services.gateway.problems import responses
from services.gateway.queries import community, invoices, metering, ownership
from services.gateway.state import State

router = APIRouter(prefix="/api", responses=responses(422, 503))

IdQuery = Annotated[
    str | None,
    Query(pattern=ID_PATTERN, description="Only of this id: 1 to 64 of A-Z a-z 0-9 _ -."),
]
Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Most items on the page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=CURSOR_MAX, description="`next_cursor` of the page before; opaque."),
]
InvoiceId = Annotated[Reference, Path(examples=["sunrise-2016-07"], description="Its id.")]


_JOSE = {
    "requestBody": {
        "required": True,
        "description": f"A compact JWS of type hg-command+jws, at most {COMMAND_SIZE_MAX} bytes.",
        "content": {
            commands.CONTENT_TYPE: {
                "schema": {"type": "string", "example": "eyJhbGciOi...e30.c2ln"}
            }
        },
    }
}


def state_of(request: Request) -> State:
    """Give what the application was made with."""
    state: State = request.app.state.gateway
    return state


@router.get("/health", tags=["operation"])
async def health(request: Request) -> shapes.HealthAnswer:
    """Tell whether the views and the broker answer; 503 with what is missing otherwise."""
    state = state_of(request)
    async with state.views.reading() as connection:
        await connection.fetchval("SELECT 1")
    parts = state.health.status()["parts"]
    missing = [name for name, part in parts.items() if not part["ok"] and name != "process"]
    if missing:
        raise Transient("not-ready", f"Out of order: {', '.join(sorted(missing))}.")
    return shapes.HealthAnswer(
        service=state.health.service,
        version=state.health.version,
        deployment=state.settings.deployment,
        parts=parts,
    )


@router.get("/readings", tags=["energy"])
async def readings(
    request: Request,
    *,
    meter: IdQuery = None,
    from_: Annotated[
        Instant | None,
        Query(alias="from", description="Only what ends later.", examples=["2016-07-01T06:00:00Z"]),
    ] = None,
    until: Annotated[
        Instant | None,
        Query(description="Only what begins earlier.", examples=["2016-08-01T06:00:00Z"]),
    ] = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> shapes.Page[shapes.Reading]:
    """Accepted reports, newest first: of one meter by time, of all meters by position."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await metering.readings(
            connection, meter=meter, between=(from_, until), limit=limit, after=after
        )


@router.get("/energy", tags=["energy"])
async def energy(
    request: Request,
    system: IdQuery = None,
    days: Annotated[int, Query(ge=1, le=62, description="Most days.")] = 31,
) -> shapes.Energy:
    """Energy per local day of a system (the first one unless named), as its meters reported it.

    Corrections, and what is not rated, stand in the bills.
    """
    async with state_of(request).views.reading() as connection:
        return await metering.energy(connection, system=system, days=days)


@router.get("/meters", tags=["energy"])
async def meters(
    request: Request, limit: Limit = LIMIT, cursor: Cursor = None
) -> shapes.Page[shapes.Meter]:
    """All enrolled meters, by id."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await metering.meters(connection, limit=limit, after=after)


@router.get("/invoices", tags=["money"])
async def list_invoices(
    request: Request, agreement: IdQuery = None, limit: Limit = LIMIT, cursor: Cursor = None
) -> shapes.Page[shapes.Invoice]:
    """Invoices, newest first."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await invoices.invoices(connection, agreement=agreement, limit=limit, after=after)


@router.get("/invoices/{invoice}", tags=["money"], responses=responses(404))
async def one_invoice(request: Request, invoice: InvoiceId) -> shapes.InvoiceDetail:
    """One invoice with everything that explains it: readings, price, arithmetic, payments."""
    async with state_of(request).views.reading() as connection:
        found = await invoices.invoice(connection, invoice)
    if found is None:
        raise NotFound("unknown-invoice", "No invoice of this id is projected.")
    return found


@router.get("/ownership", tags=["money"])
async def who_owns(
    request: Request, limit: Limit = LIMIT, cursor: Cursor = None
) -> shapes.Page[shapes.Ownership]:
    """Every system by id, with its holdings, own title and the title of every holder."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await ownership.ownership(connection, limit=limit, after=after)


@router.get("/members", tags=["community"])
async def members(
    request: Request, limit: Limit = LIMIT, cursor: Cursor = None
) -> shapes.Page[shapes.Member]:
    """All registered members, by id."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await community.members(connection, limit=limit, after=after)


@router.get("/clock", tags=["community"])
async def clock(request: Request) -> shapes.Clock:
    """The one clock of the rules, and how far each writer has worked it off."""
    state = state_of(request)
    async with state.views.reading() as connection:
        return await community.clock(connection, is_played=state.settings.played_time)


@router.get("/anchors", tags=["proof"])
async def anchors(
    request: Request, limit: Limit = LIMIT, cursor: Cursor = None
) -> shapes.Page[shapes.Anchor]:
    """Rounds of anchoring, newest first, with transaction hash and ledger."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await community.anchors(connection, limit=limit, after=after)


@router.get("/refusals", tags=["energy"])
async def refusals(
    request: Request,
    kind: Annotated[
        Literal["fact", "message"],
        Query(description="`fact`: rightly signed, of enrolled meters; `message`: all others."),
    ] = "fact",
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> shapes.Page[shapes.Refusal]:
    """Refused reports, newest first."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await metering.refusals(connection, kind=kind, limit=limit, after=after)


@router.get("/positions", tags=["operation"])
async def positions(request: Request) -> shapes.Page[shapes.StreamPosition]:
    """How far every stream is projected, with the proof by counts."""
    async with state_of(request).views.reading() as connection:
        return await community.positions(connection)


@router.post(
    "/commands",
    tags=["commands"],
    responses=responses(400, 404, 409, 413, 415),
    openapi_extra=_JOSE,
    response_class=Response,
)
async def post_command(request: Request) -> Response:
    """Pass a signed command to its service and its answer back.

    Accepted: 200 with `{"outcome": "accepted", "first": position, "position": position}`. Refused:
    the service's problem. After 503 send the same command again: its id makes that safe.
    """
    state = state_of(request)
    message = await commands.read_body(request)
    return await commands.forward(state.desk(), message)


@router.get(
    "/live",
    tags=["operation"],
    response_class=StreamingResponse,
    responses={200: {"description": "Server-Sent Events", "content": {"text/event-stream": {}}}},
)
async def live(request: Request) -> StreamingResponse:
    """Tell live what moves, as Server-Sent Events.

    `moved` brings the clock and all positions, `away` says that the views do not answer. A comment
    every 15 seconds shows that the feed is alive.
    """
    events: AsyncIterator[str] = state_of(request).feed.listen()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)
