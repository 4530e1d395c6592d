"""Reading the energy network: the seed's routes with the seed's shapes, and exact integers beside.

Every answer comes from one snapshot of the views. `trade_posts.py` has the routes that ask for
something.
"""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from libs.events.ids import ID_PATTERN, Reference
from libs.runtime.failures import NotFound
from services.gateway import filters
from services.gateway.api import state_of
from services.gateway.commands import check_book
from services.gateway.paging import Key, bind_cursor, digest_of, read_bound_cursor
from services.gateway.problems import responses
from services.gateway.queries import accounts, factories, trades
from services.gateway.shapes import trading as shapes

NETWORK, BOOKS = "energy network", "books"
"""How the description groups the routes."""

router = APIRouter(prefix="/api", responses=responses(404, 422, 503))

FactoryId = Annotated[
    str, Path(pattern=ID_PATTERN, examples=["Factory01"], description="Id of the factory.")
]
TradeId = Annotated[
    Reference,
    Path(examples=["TRADE001"], description="Id of the trade; `<bid>.<offer>` for a match."),
]
TransferId = Annotated[
    str, Path(pattern=ID_PATTERN, examples=["T-1"], description="Id of the transfer.")
]
Account = Annotated[
    str,
    Path(
        pattern=r"^[A-Za-z0-9_.:-]{1,260}$",
        examples=["wallet:ann"],
        description="The account, as the postings name it; `hold:<member>` is all of a member's.",
    ),
]


def _book(request: Request, wanted: filters.InBook) -> str:
    """Give the community that is asked for, or the gateway's own.

    Raises:
        NotFound: The installation has no such community.
    """
    settings = state_of(request).settings
    book = wanted.book or settings.book
    check_book(book, settings.all_books)
    return book


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a page of a list is asked for."""

    book: str
    """The community."""
    after: Key | None
    """Place of the last row of the page before."""
    digest: str
    """Of the list's parameters; its cursors carry it."""

    @classmethod
    def of(cls, request: Request, wanted: filters.Listing) -> "_Asked":
        """Read what is asked.

        Raises:
            NotFound: The installation has no such community.
            Refused: The cursor is none of ours, or belongs to other parameters.
        """
        book = _book(request, wanted)
        parameters = wanted.model_dump(mode="json", exclude={"limit", "cursor"}) | {"book": book}
        digest = digest_of(request.scope["path"], parameters)
        return cls(book, read_bound_cursor(wanted.cursor, digest), digest)

    def bound(self, cursor: str | None) -> dict[str, str | None]:
        """Give the field of a page whose cursor belongs to what was asked."""
        return {"next_cursor": bind_cursor(cursor, self.digest)}


def unknown_factory(factory: str) -> NotFound:
    """The refusal of an id that no factory of the community has."""
    return NotFound("unknown-factory", f"No factory {factory} is registered in this community.")


def unknown_trade(trade: str) -> NotFound:
    """The refusal of an id that no trade of the community has."""
    return NotFound("unknown-trade", f"No trade {trade} is known in this community.")


@router.get("/factories", tags=[NETWORK])
async def list_factories(
    request: Request, wanted: Annotated[filters.FactoryFilter, Query()]
) -> shapes.ListAnswer[shapes.Factory]:
    """Factories of a community: filtered, in any order, page by page."""
    state, asked = state_of(request), _Asked.of(request, wanted)
    async with state.views.reading() as connection:
        found = await factories.factories(connection, asked.book, wanted, after=asked.after)
    return found.model_copy(update=asked.bound(found.next_cursor))


@router.get("/factory/{factory}", tags=[NETWORK])
async def one_factory(
    request: Request, factory: FactoryId, wanted: Annotated[filters.InBook, Query()]
) -> shapes.Answer[shapes.Factory]:
    """One factory and what it has."""
    state, book = state_of(request), _book(request, wanted)
    async with state.views.reading() as connection:
        found = await factories.factory(connection, book, factory)
    if found is None:
        raise unknown_factory(factory)
    return shapes.Answer(data=found)


@router.get("/factory/{factory}/balance", tags=[NETWORK])
async def factory_balance(
    request: Request, factory: FactoryId, wanted: Annotated[filters.InBookAt, Query()]
) -> shapes.Answer[shapes.Balance]:
    """What a factory has, now or at a moment."""
    state, book = state_of(request), _book(request, wanted)
    async with state.views.reading() as connection:
        found = await factories.balance(connection, book, factory, wanted.at)
    if found is None:
        raise unknown_factory(factory)
    return shapes.Answer(data=found)


@router.get("/factory/{factory}/history", tags=[NETWORK])
async def factory_history(
    request: Request, factory: FactoryId, wanted: Annotated[filters.Listing, Query()]
) -> shapes.ListAnswer[shapes.HistoryEntry]:
    """Every fact that changed what a factory has, newest first, each with what it left."""
    state, asked = state_of(request), _Asked.of(request, wanted)
    async with state.views.reading() as connection:
        if await factories.factory(connection, asked.book, factory) is None:
            raise unknown_factory(factory)
        found = await factories.history(
            connection, asked.book, factory, limit=wanted.limit, after=asked.after
        )
    return found.model_copy(update=asked.bound(found.next_cursor))


@router.get("/trades", tags=[NETWORK])
async def list_trades(
    request: Request, wanted: Annotated[filters.TradeFilter, Query()]
) -> shapes.ListAnswer[shapes.Trade]:
    """Trades of a community, newest first unless asked otherwise: filtered, page by page."""
    state, asked = state_of(request), _Asked.of(request, wanted)
    async with state.views.reading() as connection:
        found = await trades.trades(connection, asked.book, wanted, after=asked.after)
    return found.model_copy(update=asked.bound(found.next_cursor))


@router.get("/trade/{trade}", tags=[NETWORK])
async def one_trade(
    request: Request, trade: TradeId, wanted: Annotated[filters.InBook, Query()]
) -> shapes.Answer[shapes.Trade]:
    """One trade: of two members, or a match of the market."""
    state, book = state_of(request), _book(request, wanted)
    async with state.views.reading() as connection:
        found = await trades.trade(connection, book, trade)
    if found is None:
        raise unknown_trade(trade)
    return shapes.Answer(data=found)


@router.get("/market/orders", tags=[NETWORK])
async def market_orders(
    request: Request, wanted: Annotated[filters.OrderFilter, Query()]
) -> shapes.ListAnswer[shapes.Order]:
    """Orders of the market, newest first."""
    state, asked = state_of(request), _Asked.of(request, wanted)
    async with state.views.reading() as connection:
        found = await trades.orders(connection, asked.book, wanted, after=asked.after)
    return found.model_copy(update=asked.bound(found.next_cursor))


@router.get("/market/slots", tags=[NETWORK])
async def market_slots(
    request: Request, wanted: Annotated[filters.SlotFilter, Query()]
) -> shapes.ListAnswer[shapes.Slot]:
    """Cleared slots of the market, the last cleared first."""
    state, asked = state_of(request), _Asked.of(request, wanted)
    async with state.views.reading() as connection:
        found = await trades.slots(connection, asked.book, wanted, after=asked.after)
    return found.model_copy(update=asked.bound(found.next_cursor))


@router.get("/transfers/{transfer}", tags=[BOOKS])
async def one_transfer(
    request: Request, transfer: TransferId, wanted: Annotated[filters.InBook, Query()]
) -> shapes.ListAnswer[shapes.TransferStep]:
    """Every step of a transfer, oldest first."""
    state, book = state_of(request), _book(request, wanted)
    async with state.views.reading() as connection:
        found = await trades.transfer(connection, book, transfer)
    if not found:
        raise NotFound("unknown-transfer", f"No transfer {transfer} is known in this community.")
    return shapes.ListAnswer(count=len(found), data=found)


@router.get("/accounts/{account}", tags=[BOOKS])
async def account_balances(
    request: Request, account: Account, wanted: Annotated[filters.InBookAt, Query()]
) -> shapes.ListAnswer[shapes.AccountBalance]:
    """What stands on an account of any member, per asset, now or at a moment.

    Nothing for an account that was never posted to: no account is opened before.
    """
    state, book = state_of(request), _book(request, wanted)
    async with state.views.reading() as connection:
        found = await accounts.balances(connection, book, account, wanted.at)
    return shapes.ListAnswer(count=len(found), data=found)


@router.get("/accounts/{account}/statement", tags=[BOOKS])
async def account_statement(
    request: Request, account: Account, wanted: Annotated[filters.StatementFilter, Query()]
) -> shapes.Statement:
    """Entries of an account of any member in the order of their time, each with what it left."""
    state, asked = state_of(request), _Asked.of(request, wanted)
    async with state.views.reading() as connection:
        found = await accounts.statement(connection, asked.book, account, wanted, after=asked.after)
    return found.model_copy(update=asked.bound(found.next_cursor))
