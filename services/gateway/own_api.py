"""The routes of coming to own: systems, holdings, agreements, lateness, prices; bills on paper."""

import asyncio
from threading import Lock
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from libs.events.ids import ID_PATTERN
from libs.runtime.failures import NotFound
from services.gateway import shapes
from services.gateway.api import Cursor, IdQuery, InvoiceId, Limit, state_of
from services.gateway.commands import check_book
from services.gateway.filters import Instant
from services.gateway.invoice_pdf import render
from services.gateway.paging import LIMIT, read_cursor
from services.gateway.paper import printed
from services.gateway.problems import responses
from services.gateway.queries import invoices, owning, why
from services.gateway.shapes import owning as answers

OWNING, PRICES = "ownership", "prices"
"""How the description groups the routes."""

router = APIRouter(prefix="/api", responses=responses(404, 422, 503))

Name = Annotated[str, Path(pattern=ID_PATTERN, description="Its id.")]
Book = Annotated[
    str | None, Query(pattern=ID_PATTERN, description="Community; the gateway's own unless named.")
]


_PRINTER = Lock()
"""One bill is printed at a time: the library is not made for threads."""


def _on_paper(invoice: shapes.InvoiceDetail, payee: str) -> bytes:
    with _PRINTER:
        return render(printed(invoice, payee))


def _book(request: Request, book: str | None) -> str:
    settings = state_of(request).settings
    wanted = book or settings.book
    check_book(wanted, settings.all_books)
    return wanted


@router.get("/systems", tags=[OWNING])
async def list_systems(
    request: Request, *, book: Book = None, limit: Limit = LIMIT, cursor: Cursor = None
) -> shapes.Page[answers.SystemState]:
    """Systems by id: stage, raise and status."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await owning.systems(
            connection, book=_book(request, book), system=None, limit=limit, after=after
        )


@router.get("/systems/{system}", tags=[OWNING])
async def one_system(request: Request, system: Name, book: Book = None) -> answers.SystemState:
    """One system."""
    async with state_of(request).views.reading() as connection:
        found = await owning.systems(
            connection, book=_book(request, book), system=system, limit=1, after=None
        )
    if not found.items:
        raise NotFound("unknown-system", "No system of this id is projected.")
    return found.items[0]


@router.get("/holdings", tags=[OWNING])
async def list_holdings(
    request: Request,
    *,
    system: IdQuery = None,
    holder: IdQuery = None,
    book: Book = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> shapes.Page[answers.HoldingState]:
    """Holdings by id."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await owning.holdings(
            connection,
            book=_book(request, book),
            system=system,
            holder=holder,
            limit=limit,
            after=after,
        )


@router.get("/holdings/{holding}", tags=[OWNING])
async def one_holding(request: Request, holding: Name, book: Book = None) -> answers.HoldingState:
    """One holding."""
    async with state_of(request).views.reading() as connection:
        found = await owning.holdings(connection, book=_book(request, book), holding=holding)
    if not found.items:
        raise NotFound("unknown-holding", "No holding of this id is projected.")
    return found.items[0]


@router.get("/holdings/{holding}/supply", tags=[OWNING])
async def supply(request: Request, holding: Name, book: Book = None) -> answers.SupplyState:
    """Whether a holding is supplied: what the relay of a site follows."""
    async with state_of(request).views.reading() as connection:
        found = await owning.supply(connection, _book(request, book), holding)
    if found is None:
        raise NotFound("unknown-holding", "No holding of this id is projected.")
    return found


@router.get("/agreements", tags=[OWNING])
async def list_agreements(
    request: Request,
    *,
    holder: IdQuery = None,
    system: IdQuery = None,
    book: Book = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> shapes.Page[answers.AgreementState]:
    """Agreements by id: what is owed, what is owned, what would pay it off today."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await owning.agreements(
            connection,
            book=_book(request, book),
            holder=holder,
            system=system,
            limit=limit,
            after=after,
        )


@router.get("/agreements/{agreement}", tags=[OWNING])
async def one_agreement(
    request: Request, agreement: Name, book: Book = None
) -> answers.AgreementState:
    """One agreement."""
    async with state_of(request).views.reading() as connection:
        found = await owning.agreements(connection, book=_book(request, book), agreement=agreement)
    if not found.items:
        raise NotFound("unknown-agreement", "No agreement of this id is projected.")
    return found.items[0]


@router.get("/notices", tags=[OWNING])
async def list_notices(
    request: Request,
    *,
    agreement: IdQuery = None,
    book: Book = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> shapes.Page[answers.Notice]:
    """Notices of lateness, newest first."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await owning.notices(
            connection, book=_book(request, book), agreement=agreement, limit=limit, after=after
        )


@router.get("/drafts", tags=["money"])
async def list_drafts(
    request: Request, *, agreement: IdQuery = None, book: Book = None, limit: Limit = LIMIT
) -> shapes.Page[answers.Draft]:
    """Bills that are not final yet."""
    async with state_of(request).views.reading() as connection:
        return await owning.drafts(
            connection, book=_book(request, book), agreement=agreement, limit=limit
        )


@router.get("/suspense", tags=["money"])
async def list_suspended(
    request: Request, *, book: Book = None, limit: Limit = LIMIT, cursor: Cursor = None
) -> shapes.Page[answers.SuspendedReceipt]:
    """Money that arrived and waits until an approver says for what (`SettleSuspense`)."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await owning.suspended(
            connection, book=_book(request, book), limit=limit, after=after
        )


@router.get("/credit-notes", tags=["money"])
async def list_credit_notes(
    request: Request,
    *,
    agreement: IdQuery = None,
    book: Book = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> shapes.Page[answers.CreditNote]:
    """Credit notes, newest first, each with the difference explained."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await owning.credit_notes(
            connection, book=_book(request, book), agreement=agreement, limit=limit, after=after
        )


@router.get("/invoices/{invoice}/why", tags=["money"])
async def why_invoice(request: Request, invoice: InvoiceId) -> why.Why:
    """The whole trace of a bill: from its amount down to readings, prices, and who signed what."""
    async with state_of(request).views.reading() as connection:
        detail = await invoices.invoice(connection, invoice)
        found = None if detail is None else await why.why(connection, detail)
    if found is None:
        raise NotFound("unknown-invoice", "No invoice of this id is projected.")
    return found


@router.get(
    "/invoices/{invoice}/pdf",
    tags=["money"],
    response_class=Response,
    responses={200: {"description": "The bill", "content": {"application/pdf": {}}}},
)
async def paper_invoice(request: Request, invoice: InvoiceId) -> Response:
    """The bill on paper, with a code to pay by: the same bytes for the same bill."""
    state = state_of(request)
    async with state.views.reading() as connection:
        found = await invoices.invoice(connection, invoice)
    if found is None or found.number is None:
        raise NotFound("unknown-invoice", "No invoice of this id is projected.")
    headers = {"Content-Disposition": f'inline; filename="{found.invoice}.pdf"'}
    # Hundreds of lines take seconds: nobody else waits for them.
    content = await asyncio.to_thread(_on_paper, found, state.settings.payee)
    return Response(content, media_type="application/pdf", headers=headers)


@router.get("/tariffs", tags=[PRICES])
async def list_tariffs(
    request: Request, *, tariff: IdQuery = None, limit: Limit = LIMIT, cursor: Cursor = None
) -> shapes.Page[answers.TariffVersion]:
    """Versions of tariffs, each with what it says and until when it holds."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await owning.tariffs(connection, tariff=tariff, limit=limit, after=after)


@router.get("/feeds", tags=[PRICES])
async def list_feeds(
    request: Request, limit: Limit = LIMIT, cursor: Cursor = None
) -> shapes.Page[answers.FeedState]:
    """Feeds of prices and rates: their rules, their sources, and how fresh they are."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await owning.feeds(connection, limit=limit, after=after)


@router.get("/prices/{feed}", tags=[PRICES])
async def list_prices(
    request: Request,
    feed: Name,
    *,
    from_: Annotated[
        Instant | None, Query(alias="from", description="Only what ends later.")
    ] = None,
    until: Annotated[Instant | None, Query(description="Only what begins earlier.")] = None,
    limit: Limit = LIMIT,
    cursor: Cursor = None,
) -> shapes.Page[answers.FeedPrice]:
    """Published prices of a feed, oldest first, each with the observations it was made of."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await owning.prices(
            connection, feed=feed, between=(from_, until), limit=limit, after=after
        )


@router.get("/rates/{feed}", tags=[PRICES])
async def list_rates(
    request: Request, feed: Name, *, limit: Limit = LIMIT, cursor: Cursor = None
) -> shapes.Page[answers.FeedRate]:
    """Published rates of a feed, newest first."""
    after = read_cursor(cursor)
    async with state_of(request).views.reading() as connection:
        return await owning.rates(connection, feed=feed, limit=limit, after=after)
