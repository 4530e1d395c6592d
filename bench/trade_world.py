"""Members, balances and trades for the benchmarks: a seeded history, and what members sign."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import islice
from typing import Final

from bench.parties import ENERGY_WH, START_BALANCE, TOTAL_STROOPS, parties
from bench.world import COMMAND, DEPLOYMENT, KEY, START, Named, frames, store_of
from heliograph.stack import Stack
from libs.events.batch import Batch, BatchItem
from libs.events.books import FundsDeposited
from libs.events.command import Body, Command, write_command
from libs.events.fact import Fact
from libs.events.jws import SigningKey
from libs.events.membership import MemberRegistered
from libs.events.timekeeping import TimeAdvanced
from libs.events.trade_commands import ExecuteTrade
from libs.events.trading import TOKEN, EnergyMinted, TradeCreated, TradeExecuted
from libs.eventstore import Frame, JetStreamStore

BOOK: Final = "pilot"
"""The book in which is traded."""

STREAM: Final = f"LEDGER_{BOOK}"
"""Its stream."""

NOW: Final = START + timedelta(days=30)
"""The time of the seeded history and of the commands."""

APPENDED_AT_ONCE: Final = 1_000
"""Facts of each append of the seeded history."""


@dataclass(frozen=True, slots=True)
class Deal:
    """A trade that a seller offered to a buyer."""

    number: int
    """Its number; the id follows from it."""
    seller: int
    """The seller's number."""
    buyer: int
    """The buyer's number."""

    @property
    def id(self) -> str:
        """The trade's id."""
        return f"t{self.number}"


def deals(first: int, number: int, members: int) -> list[Deal]:
    """So many trades, from a number on."""
    return [Deal(each, *parties(each, members)) for each in range(first, first + number)]


def deals_of_one_buyer(first: int, number: int, members: int) -> list[Deal]:
    """So many trades of one buyer with all others in turn."""
    _, buyer = parties(first, members)
    sellers = ((buyer + 1 + each % (members - 1)) % members for each in range(number))
    return [Deal(first + each, seller, buyer) for each, seller in enumerate(sellers)]


def member_name(number: int) -> str:
    """Name of a member."""
    return f"f{number}"


@lru_cache(maxsize=200_000)
def key_of(number: int) -> SigningKey:
    """The key of a member."""
    return SigningKey((number + 1).to_bytes(32, "big"))


# What members sign.


def signed_executes(deals: Sequence[Deal]) -> list[bytes]:
    """One signed command for each trade, by its buyer."""
    return [_signed(deal.buyer, f"x{deal.id}", ExecuteTrade(tradeId=deal.id)) for deal in deals]


def signed_batch(deals: Sequence[Deal]) -> bytes:
    """One signed batch of the same for several trades of one buyer."""
    assert len({deal.buyer for deal in deals}) == 1, "a batch has one signer"
    items = tuple(
        BatchItem(id=f"x{deal.id}", command="ExecuteTrade", body={"tradeId": deal.id})
        for deal in deals
    )
    return _signed(deals[0].buyer, f"batch-{deals[0].id}", Batch(commands=items))


def _signed(member: int, command_id: str, body: Body) -> bytes:
    nbf = int(NOW.timestamp()) - 3_600
    claims = Command(
        deployment=DEPLOYMENT,
        service="ledger",
        book=BOOK,
        id=command_id,
        member=member_name(member),
        nbf=nbf,
        exp=nbf + 12 * 3_600,
        command=body.command_name,
        body=body,
    )
    return key_of(member).sign("hg-command+jws", write_command(claims)).encode("ascii")


# The seeded history. A million facts are too many to be made one by one, so one of each kind is
# made, and its bytes are the pattern of the others.

_PRICE: Final = TOTAL_STROOPS * 1_000 // ENERGY_WH
_SELLER, _BUYER, _TRADE, _N = "SELLER", "BUYER", "TRADE", 2_000_000_000
_MARKS: Final = {
    _SELLER: "%(seller)s",
    _BUYER: "%(buyer)s",
    _TRADE: "%(trade)s",
    KEY.address: "%(address)s",
    str(_N): "%(n)d",
}
"""What stands for what differs."""


class _Pattern:
    """The bytes of one kind of fact about a seller, with places for what differs."""

    def __init__(self, stream: str, fact: Fact, what: str) -> None:
        named = Named(_SELLER, fact, f"{_SELLER}.{_TRADE}.{what}")
        made = frames(stream, [named], {_SELLER: _N - 1})[0]
        self._subject, self._data = _with_places(made.subject), _with_places(made.data.decode())

    def frame(self, **values: str | int) -> Frame:
        """The fact with its values."""
        return Frame(self._subject % values, (self._data % values).encode())


def _with_places(text: str) -> str:
    text = text.replace("%", "%%")
    for mark, place in _MARKS.items():
        text = text.replace(mark, place)
    return text


def _registrations(members: int) -> Iterator[Frame]:
    """All members, each let in once."""
    fact = MemberRegistered(
        member=_SELLER, address=KEY.address, roles=("factory",), command=COMMAND
    )
    pattern = _Pattern("MEMBERS", fact, "member")
    for number in range(members):
        name, address = member_name(number), key_of(number).address
        yield pattern.frame(seller=name, trade="register", address=address, n=1)


def _book(members: int, executed: Iterable[Deal], still_open: Iterable[Deal]) -> Iterator[Frame]:
    """Balances of all members, then trades that were executed, then trades that wait."""
    deposited = FundsDeposited(member=_SELLER, asset=TOKEN, amount_stroops=START_BALANCE)
    minted = EnergyMinted(
        mint=f"{_SELLER}.{_TRADE}",
        member=_SELLER,
        reason="approver",
        energy_wh=START_BALANCE,
        served_wh=0,
        intervals=(),
        meters=(),
    )
    deposit = _Pattern(STREAM, deposited, "deposit")
    mint = _Pattern(STREAM, minted, "mint")
    for number in range(members):
        yield deposit.frame(seller=member_name(number), trade="start", n=1)
        yield mint.frame(seller=member_name(number), trade="start", n=2)
    numbers: Counter[int] = Counter(dict.fromkeys(range(members), 2))
    yield from _trades(executed, numbers, is_executed=True)
    yield from _trades(still_open, numbers, is_executed=False)


def _trades(deals: Iterable[Deal], numbers: Counter[int], *, is_executed: bool) -> Iterator[Frame]:
    both = {
        "seller": _SELLER,
        "buyer": _BUYER,
        "asset": TOKEN,
        "energy_wh": ENERGY_WH,
        "price_stroops_per_kwh": _PRICE,
        "total_stroops": TOTAL_STROOPS,
    }
    ends = NOW + timedelta(days=1)
    created = TradeCreated.model_validate({**both, "trade": _TRADE, "expires_at": ends})
    executed = TradeExecuted.model_validate({**both, "trade": _TRADE})
    patterns = [_Pattern(STREAM, created, "trade")]
    if is_executed:
        patterns.append(_Pattern(STREAM, executed, "executed"))
    for deal in deals:
        seller, buyer = member_name(deal.seller), member_name(deal.buyer)
        for pattern in patterns:
            numbers[deal.seller] += 1
            n = numbers[deal.seller]
            yield pattern.frame(seller=seller, buyer=buyer, trade=deal.id, n=n)


async def seed(
    stack: Stack, members: int, still_open: Iterable[Deal], executed: Iterable[Deal] = ()
) -> None:
    """Write a time, the members and the book, as oracle and ledger would.

    Args:
        stack: Its broker runs and its ledger does not.
        members: Number of members.
        still_open: Trades that were created.
        executed: Trades that were created and executed before those.
    """
    advanced = Named("time", TimeAdvanced(to=NOW, cadence_s=86_400), "time")
    async with store_of(stack, "oracle") as store:
        await store.append("PRICES", frames("PRICES", [advanced], {}), expected=0)
    async with store_of(stack, "ledger") as store:
        await _append(store, "MEMBERS", _registrations(members))
        await _append(store, STREAM, _book(members, executed, still_open))


async def _append(store: JetStreamStore, stream: str, rows: Iterator[Frame]) -> None:
    expected = await store.end(stream)
    while part := list(islice(rows, APPENDED_AT_ONCE)):
        expected = await store.append(stream, part, expected=expected)


def executed_frames(deals: Sequence[Deal]) -> list[Frame]:
    """The facts that lead from one signed command each: ready frames for bare appends."""
    return [
        frame
        for deal, text in zip(deals, signed_executes(deals), strict=True)
        for frame in frames(STREAM, [_executed(deal, text)], {})
    ]


def _executed(deal: Deal, text: bytes) -> Named:
    seller, buyer = member_name(deal.seller), member_name(deal.buyer)
    fact = TradeExecuted(
        trade=deal.id,
        seller=seller,
        buyer=buyer,
        asset=TOKEN,
        energy_wh=ENERGY_WH,
        price_stroops_per_kwh=_PRICE,
        total_stroops=TOTAL_STROOPS,
        command=text.decode("ascii"),
    )
    return Named(seller, fact, f"{buyer}.x{deal.id}.executed")
