"""The rules of trades between two members: create, execute, cancel, expire. Pure.

Creating holds the seller's energy, so that nobody can promise it twice; executing moves energy and
money in one fact. A trade that ended is known by a digest only: it stays closed for ever.

Source: domain rules, section 9; docs/decisions/0003.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.quantities import INTEGER_MAX, WH_PER_KWH, format_instant, parse_instant
from libs.events.trade_commands import CancelTrade, CreateTrade, ExecuteTrade
from libs.events.trading import TradeCancelled, TradeCreated, TradeExecuted, TradeExpired
from libs.rules.authority import Authority, Order
from libs.rules.dumps import Dumped, Loaded, dump_parts, load_parts
from libs.rules.numbers import scale
from libs.rules.postings import Books
from libs.runtime.failures import NotFound, Refused
from services.ledger.checks import (
    check_book_money,
    check_energy,
    check_expiry,
    check_money,
    check_open,
    check_party,
    check_positive_energy,
    check_signer,
)
from services.ledger.deadlines import Deadlines
from services.ledger.moment import Moment
from services.ledger.used import UsedIds

DEFAULT_EXPIRY = timedelta(hours=24)
"""How long a trade is open unless its seller says otherwise."""

PRICE_STROOPS_PER_KWH_MAX = 10**12
"""Highest price that a fact can say, in stroops per kWh."""

EXPIRIES_MAX = 100
"""Most trades that expire in one decision."""


@dataclass(frozen=True, slots=True)
class OpenTrade:
    """A trade that can still be executed."""

    trade: str
    """Its id."""
    seller: str
    """Whose energy is held."""
    buyer: str
    """Who may execute it."""
    asset: str
    """What it is paid in."""
    energy_wh: int
    """Energy in Wh."""
    price_stroops_per_kwh: int
    """Price in stroops per kWh."""
    total_stroops: int
    """What the buyer pays, in stroops."""
    expires_at: datetime
    """From this instant on it cannot be executed."""


_NAMES = tuple(each.name for each in fields(OpenTrade) if each.name != "expires_at")
_VALUES = attrgetter(*_NAMES)


class Trading:
    """Trades of one book: the open ones in full, all others as used."""

    def __init__(self, *, authority: Authority, books: Books, moment: Moment) -> None:
        """Begin with no trade.

        Args:
            authority: Members and time.
            books: The balances.
            moment: The fact by which trades expire.
        """
        self._authority, self._books, self._moment = authority, books, moment
        self.open: dict[str, OpenTrade] = {}
        """The open trades by id, oldest first."""
        self._used = UsedIds("trade")
        self._deadlines = Deadlines()
        self._of_sellers: dict[str, dict[str, None]] = {}
        self._folds: dict[type[Fact], Callable[[Any], None]] = {
            TradeCreated: self._created,
            TradeExecuted: self._ended,
            TradeCancelled: self._ended,
            TradeExpired: self._ended,
        }

    @property
    def facts(self) -> Collection[type[Fact]]:
        """What `evolve` takes note of."""
        return self._folds.keys()

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of the own stream."""
        fold = self._folds.get(type(recorded.fact)) if own else None
        if fold is not None:
            fold(recorded.fact)

    def open_of(self, seller: str) -> tuple[OpenTrade, ...]:
        """The open trades of a seller, newest first."""
        return tuple(self.open[trade] for trade in reversed(self._of_sellers.get(seller, {})))

    def due(self) -> Sequence[Draft]:
        """The trades whose time is over, some at once."""
        moment = self._moment
        expired = self._deadlines.due(moment.now, EXPIRIES_MAX)
        return [self._expire(self.open[trade]) for trade in expired]

    def _expire(self, trade: OpenTrade) -> Draft:
        assert self._moment.now is not None, "nothing expires without a time"
        fact = TradeExpired(
            trade=trade.trade, seller=trade.seller, buyer=trade.buyer, energy_wh=trade.energy_wh
        )
        fact_id = f"trade:{trade.trade}.expired"
        return Draft(trade.seller, fact, fact_id, self._moment.now, self._moment.cause)

    def create(self, order: Order) -> Sequence[Draft]:
        """A seller promises energy to one buyer at a price."""
        body = order.body(CreateTrade)
        check_signer(order, body.seller_id, "body.sellerId")
        check_party(self._authority, body.buyer_id, "body.buyerId")
        if body.buyer_id == body.seller_id:
            raise Refused("same-party", "nobody trades with himself", field="body.buyerId")
        check_positive_energy(body.energy_wh)
        check_book_money(body.asset, "body.asset")
        total = _total_stroops(body.energy_wh, body.price_stroops_per_kwh)
        expires_at = body.expires_at or order.time + DEFAULT_EXPIRY
        check_expiry(expires_at, order.time, "body.expiresAt")
        if body.trade_id in self._used:
            raise Refused("trade-exists", "its id was used before", field="body.tradeId")
        mine = self._of_sellers.get(body.seller_id, {})
        check_open(len(mine), "too-many-trades", "body.sellerId")
        check_energy(self._books, body.seller_id, body.energy_wh, "body.amount")
        fact = TradeCreated(
            trade=body.trade_id,
            seller=body.seller_id,
            buyer=body.buyer_id,
            asset=body.asset,
            energy_wh=body.energy_wh,
            price_stroops_per_kwh=body.price_stroops_per_kwh,
            total_stroops=total,
            expires_at=expires_at,
            metadata=body.metadata,
            command=order.kept,
        )
        return (Draft(body.seller_id, fact, f"{order.id}.trade", order.time),)

    def execute(self, order: Order) -> Sequence[Draft]:
        """The buyer pays and receives: the hot path, one fact and a few look-ups."""
        trade = self._open_trade(order.body(ExecuteTrade).trade_id, order.time)
        check_signer(order, trade.buyer, "member")
        check_party(self._authority, trade.seller, "body.tradeId")
        check_money(self._books, trade.buyer, trade.asset, trade.total_stroops, "body.tradeId")
        fact = TradeExecuted(
            trade=trade.trade,
            seller=trade.seller,
            buyer=trade.buyer,
            asset=trade.asset,
            energy_wh=trade.energy_wh,
            price_stroops_per_kwh=trade.price_stroops_per_kwh,
            total_stroops=trade.total_stroops,
            command=order.kept,
        )
        return (Draft(trade.seller, fact, f"{order.id}.executed", order.time),)

    def cancel(self, order: Order) -> Sequence[Draft]:
        """The seller or the buyer gives a trade up."""
        trade = self._open_trade(order.body(CancelTrade).trade_id, order.time)
        signer = order.signer.member
        if signer not in {trade.seller, trade.buyer}:
            raise Refused("wrong-signer", "its seller or its buyer must sign it", field="member")
        fact = TradeCancelled(
            trade=trade.trade,
            seller=trade.seller,
            buyer=trade.buyer,
            energy_wh=trade.energy_wh,
            reason="seller" if signer == trade.seller else "buyer",
            command=order.kept,
        )
        return (Draft(trade.seller, fact, f"{order.id}.cancelled", order.time),)

    def _open_trade(self, name: str, now: datetime) -> OpenTrade:
        trade, field = self.open.get(name), "body.tradeId"
        if trade is None:
            if name in self._used:
                ended = "it was executed, cancelled or expired; the views tell how it ended"
                raise Refused("trade-closed", ended, field=field)
            raise NotFound("unknown-trade", f"there is no trade {name}", field=field)
        if now >= trade.expires_at:
            until = format_instant(trade.expires_at)
            raise Refused("trade-expired", f"it could be executed until {until}", field=field)
        return trade

    def _created(self, fact: TradeCreated) -> None:
        self._used.add(fact.trade)
        self._put(
            OpenTrade(
                trade=fact.trade,
                seller=fact.seller,
                buyer=fact.buyer,
                asset=fact.asset,
                energy_wh=fact.energy_wh,
                price_stroops_per_kwh=fact.price_stroops_per_kwh,
                total_stroops=fact.total_stroops,
                expires_at=fact.expires_at,
            )
        )

    def _put(self, trade: OpenTrade) -> None:
        self.open[trade.trade] = trade
        self._deadlines.add(trade.expires_at, trade.trade)
        self._of_sellers.setdefault(trade.seller, {})[trade.trade] = None

    def _ended(self, fact: TradeExecuted | TradeCancelled | TradeExpired) -> None:
        trade = self.open.pop(fact.trade, None)
        if trade is None:
            return  # a match of the market, which was never open here
        self._deadlines.remove(trade.expires_at, trade.trade)
        of_seller = self._of_sellers[trade.seller]
        del of_seller[trade.trade]
        if not of_seller:
            del self._of_sellers[trade.seller]

    def dump(self) -> Dumped:
        """Give the open trades and the digests of all, for a snapshot."""
        open_trades = tuple(self.open.values())
        return {
            "open": ([format_instant(each.expires_at), *_VALUES(each)] for each in open_trades),
            **dump_parts({"used": self._used}),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for expires_at, *values in dumped["open"]:
            named = dict(zip(_NAMES, values, strict=True))
            self._put(OpenTrade(expires_at=parse_instant(expires_at), **named))
        load_parts({"used": self._used}, dumped)


def _total_stroops(energy_wh: int, price_stroops_per_kwh: int) -> int:
    """What energy costs, rounded once.

    Raises:
        Refused: The price or the total is not above zero, or fits into no fact.
    """
    field = "body.pricePerUnit"
    if price_stroops_per_kwh <= 0:
        raise Refused("price-not-positive", "the price must be above zero", field=field)
    total = scale(energy_wh, price_stroops_per_kwh, WH_PER_KWH)
    if price_stroops_per_kwh > PRICE_STROOPS_PER_KWH_MAX or total > INTEGER_MAX:
        raise Refused("out-of-range", "price or total is more than a fact can say", field=field)
    if total == 0:
        raise Refused("total-rounds-to-zero", "it would cost less than a stroop", field=field)
    return total
