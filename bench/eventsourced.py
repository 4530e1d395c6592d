"""The same trade with the Python library `eventsourcing` on PostgreSQL, as its manual shows it.

Members and trades are aggregates; executing a trade loads the three, triggers an event in each and
saves them at once. All aggregates stay in its cache. One thread: the library locks its table for
each save, and more threads, which must look for each other's events, were slower.

Source: https://eventsourcing.readthedocs.io, application module.
"""

import asyncio
from typing import Final
from urllib.parse import unquote, urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from bench.measure import Stopwatch
from bench.parties import ENERGY_WH, START_BALANCE, TOTAL_STROOPS, parties

SAVED_AT_ONCE: Final = 100
"""Aggregates that are made in one go before anything is measured."""


class Member(Aggregate):
    """A member's balances."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.money_stroops = self.free_wh = self.held_wh = START_BALANCE

    @staticmethod
    def create_id(number: int) -> UUID:
        """The aggregate's id, from its number."""
        return uuid5(NAMESPACE_URL, f"/members/{number}")

    @event("Bought")
    def buy(self, energy_wh: int, total_stroops: int) -> None:
        """Pay, and receive energy."""
        if self.money_stroops < total_stroops:
            raise ValueError("too little money")
        self.money_stroops -= total_stroops
        self.free_wh += energy_wh

    @event("Sold")
    def sell(self, energy_wh: int, total_stroops: int) -> None:
        """Give energy that was held, and be paid."""
        if self.held_wh < energy_wh:
            raise ValueError("too little energy is held")
        self.held_wh -= energy_wh
        self.money_stroops += total_stroops


class Trade(Aggregate):
    """A trade that waits for its buyer."""

    def __init__(self, number: int, seller: int, buyer: int) -> None:
        self.number, self.seller, self.buyer = number, seller, buyer
        self.energy_wh, self.total_stroops = ENERGY_WH, TOTAL_STROOPS
        self.is_open = True

    @staticmethod
    def create_id(number: int) -> UUID:
        """The aggregate's id, from its number."""
        return uuid5(NAMESPACE_URL, f"/trades/{number}")

    @event("Executed")
    def execute(self) -> None:
        """Close it."""
        if not self.is_open:
            raise ValueError("the trade is closed")
        self.is_open = False


class Trading(Application[UUID]):
    """The application."""

    def execute(self, number: int) -> None:
        """Execute a trade: three aggregates, one transaction."""
        trade: Trade = self.repository.get(Trade.create_id(number))
        buyer: Member = self.repository.get(Member.create_id(trade.buyer))
        seller: Member = self.repository.get(Member.create_id(trade.seller))
        trade.execute()
        buyer.buy(trade.energy_wh, trade.total_stroops)
        seller.sell(trade.energy_wh, trade.total_stroops)
        self.save(trade, buyer, seller)


def _rate(dsn: str, members: int, trades: int) -> float:
    address = urlsplit(dsn)
    application = Trading(
        {
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": address.path.removeprefix("/"),
            "POSTGRES_HOST": address.hostname or "",
            "POSTGRES_PORT": str(address.port),
            "POSTGRES_USER": unquote(address.username or ""),
            "POSTGRES_PASSWORD": unquote(address.password or ""),
            "AGGREGATE_CACHE_MAXSIZE": str(2 * (members + trades)),
            "AGGREGATE_CACHE_FASTFORWARD": "n",
        }
    )
    try:
        made: list[Aggregate] = [Member(number) for number in range(members)]
        made += [Trade(number, *parties(number, members)) for number in range(trades)]
        for at in range(0, len(made), SAVED_AT_ONCE):
            application.save(*made[at : at + SAVED_AT_ONCE])
        watch = Stopwatch()
        for number in range(trades):
            application.execute(number)
        return trades / watch.seconds
    finally:
        application.close()


async def run(dsn: str, *, members: int, trades: int) -> float:
    """Execute each trade once, one after the other.

    Args:
        dsn: Address of the database, as its owner; the library makes its tables there, once.
        members: Number of members.
        trades: Number of trades.

    Returns:
        Trades a second.
    """
    return await asyncio.to_thread(_rate, dsn, members, trades)
