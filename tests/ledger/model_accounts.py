"""The second model, part 3: accounts, tokens, trades, after the domain rules, sections 9 to 11."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.ledger.model_market import cost
from tests.ledger.model_people import Decider

MOST = 2**53 - 1
"""The largest number that a fact may hold, and so what a book may hold of one asset."""

DEBIT = ("issuer", "issued", "shortfall", "received")
"""First words of accounts that stand on the debit side."""

LONGEST = timedelta(days=366)
DAY = timedelta(days=1)
PRICE_MOST = 10**12


@dataclass
class Trade:
    """What a seller promised to a buyer."""

    seller: str
    buyer: str
    asset: str
    energy_wh: int
    paid: int
    expires_at: datetime
    is_open: bool = True


class Accounts(Decider):
    """Balances, what everybody has free, and how much there may be."""

    def __init__(self, book: str) -> None:
        super().__init__(book)
        self.balances: dict[tuple[str, str], int] = {}

    def of(self, asset: str, account: str) -> int:
        return self.balances.get((asset, account), 0)

    def move(self, asset: str, debit: str, credit: str, amount: int) -> None:
        if amount == 0:
            return
        assert amount > 0
        for account, sign in ((debit, 1), (credit, -1)):
            side = 1 if account.split(":")[0] in DEBIT else -1
            left = self.of(asset, account) + sign * side * amount
            assert left >= 0, f"{account} would stand at {left}"
            self.balances[asset, account] = left
            if not left:
                del self.balances[asset, account]

    def own(self, asset: str, member: str) -> str:
        return f"kwh:{member}" if asset == "W" else f"wallet:{member}"

    def free(self, asset: str, member: str) -> int:
        return self.of(asset, self.own(asset, member))

    def room(self, asset: str) -> int:
        """What can still come in: all that members hold of an asset must fit into a number."""
        return MOST - sum(
            amount
            for (of, account), amount in self.balances.items()
            if of == asset and account.split(":")[0] not in (*DEBIT, "transit")
        )

    def party_faults(self, member: str) -> Iterable[str]:
        if member not in self.people:
            yield "unknown-party"
        elif self.people[member].is_suspended:
            yield "party-suspended"

    def cover_faults(self, member: str, asset: str, amount: int) -> Iterable[str]:
        if amount > self.free(asset, member):
            yield "too-little-energy" if asset == "W" else "insufficient-funds"

    def expiry_faults(self, expires_at: datetime) -> Iterable[str]:
        if expires_at <= self.now:
            yield "expiry-past"
        if expires_at > self.now + LONGEST:
            yield "expiry-too-far"

    def mint(self, issued: str, member: str, energy_wh: int) -> int:
        """Make tokens; a shortfall is served first. Gives what became tokens."""
        served = min(energy_wh, self.of("W", f"shortfall:{member}"))
        self.move("W", issued, f"shortfall:{member}", served)
        self.move("W", issued, f"kwh:{member}", energy_wh - served)
        return energy_wh - served

    def may_deposit_funds(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self.lacks(who, "approver")
        if body.member not in self.people:
            yield "unknown-member"
        if ":" in body.asset:
            yield "not-book-money"
        if body.amount_stroops > self.room(f"U:{body.asset}"):
            yield "too-much-money"

    def do_deposit_funds(self, _: str, __: str, body: Any) -> None:
        wallet = f"wallet:{body.member}"
        self.move(f"U:{body.asset}", f"issuer:{body.asset}", wallet, body.amount_stroops)

    def may_mint_energy(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self.lacks(who, "approver")
        yield from self.party_faults(body.factory_id)
        if not body.energy_wh:
            yield "amount-not-positive"
        if body.energy_wh > self.room("W"):
            yield "too-much-energy"

    def do_mint_energy(self, _: str, __: str, body: Any) -> None:
        self.mint("issued:approver", body.factory_id, body.energy_wh)

    def may_transfer_energy(self, _: None, who: str, body: Any) -> Iterable[str]:
        if who != body.from_member:
            yield "wrong-signer"
        if body.from_member == body.to_member:
            yield "same-party"
        yield from self.party_faults(body.to_member)
        if not body.energy_wh:
            yield "amount-not-positive"
        yield from self.cover_faults(body.from_member, "W", body.energy_wh)

    def do_transfer_energy(self, _: str, __: str, body: Any) -> None:
        self.move("W", f"kwh:{body.from_member}", f"kwh:{body.to_member}", body.energy_wh)

    def may_retire_energy(self, _: None, who: str, body: Any) -> Iterable[str]:
        if who != body.factory_id:
            yield "wrong-signer"
        if not body.energy_wh:
            yield "amount-not-positive"
        yield from self.cover_faults(body.factory_id, "W", body.energy_wh)

    def do_retire_energy(self, _: str, who: str, body: Any) -> None:
        self.move("W", f"kwh:{who}", f"retired:{who}:use", body.energy_wh)


class Trades(Accounts):
    """Trades between two members."""

    def __init__(self, book: str) -> None:
        super().__init__(book)
        self.trades: dict[str, Trade] = {}

    def may_create_trade(self, _: None, who: str, body: Any) -> Iterable[str]:
        if who != body.seller_id:
            yield "wrong-signer"
        if body.seller_id == body.buyer_id:
            yield "same-party"
        yield from self.party_faults(body.buyer_id)
        if ":" in body.asset:
            yield "not-book-money"
        price, total = body.price_stroops_per_kwh, cost(body.energy_wh, body.price_stroops_per_kwh)
        if not body.energy_wh:
            yield "amount-not-positive"
        if not price:
            yield "price-not-positive"
        elif not total:
            yield "total-rounds-to-zero"
        if price > PRICE_MOST or total > MOST:
            yield "out-of-range"
        if body.expires_at is not None:
            yield from self.expiry_faults(body.expires_at)
        if body.trade_id in self.trades:
            yield "trade-exists"
        yield from self.cover_faults(body.seller_id, "W", body.energy_wh)

    def do_create_trade(self, _: str, who: str, body: Any) -> None:
        total = cost(body.energy_wh, body.price_stroops_per_kwh)
        expires_at = body.expires_at or self.now + DAY
        made = Trade(who, body.buyer_id, f"U:{body.asset}", body.energy_wh, total, expires_at)
        self.trades[body.trade_id] = made
        self.move("W", f"kwh:{who}", f"hold:{who}:trade.{body.trade_id}", body.energy_wh)

    def _trade_faults(self, name: str) -> Iterable[str]:
        trade = self.trades.get(name)
        if trade is None:
            yield "unknown-trade"
        elif not trade.is_open:
            yield "trade-closed"
        elif self.now >= trade.expires_at:
            yield "trade-expired"

    def may_execute_trade(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self._trade_faults(body.trade_id)
        trade = self.trades.get(body.trade_id)
        if trade is not None and trade.is_open:
            if who != trade.buyer:
                yield "wrong-signer"
            yield from self.party_faults(trade.seller)
            yield from self.cover_faults(trade.buyer, trade.asset, trade.paid)

    def do_execute_trade(self, _: str, __: str, body: Any) -> None:
        trade = self.trades[body.trade_id]
        self.end_trade(body.trade_id, trade.buyer)
        self.move(trade.asset, f"wallet:{trade.buyer}", f"wallet:{trade.seller}", trade.paid)

    def may_cancel_trade(self, _: None, who: str, body: Any) -> Iterable[str]:
        yield from self._trade_faults(body.trade_id)
        trade = self.trades.get(body.trade_id)
        if trade is not None and trade.is_open and who not in (trade.seller, trade.buyer):
            yield "wrong-signer"

    def do_cancel_trade(self, _: str, __: str, body: Any) -> None:
        self.end_trade(body.trade_id, self.trades[body.trade_id].seller)

    def end_trade(self, name: str, to_member: str) -> None:
        trade = self.trades[name]
        trade.is_open = False
        hold = f"hold:{trade.seller}:trade.{name}"
        self.move("W", hold, f"kwh:{to_member}", trade.energy_wh)
