"""What came of the trading day by the streams and by the views, compared with what must have come.

The streams are read by the subscriber that other platforms use, and folded fact by fact; the views
are asked by REST, as anybody may.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

import httpx

from heliograph.demo.check import Figure
from heliograph.demo.energy_day import SLOT_S, EnergyDay
from heliograph.demo.factories import BOOK, FACTORIES
from heliograph.demo.figures import Views, kwh
from heliograph.demo.trading_hand import Account, Outcome, Slot
from heliograph.subscribe import Subscriber
from libs.events.books import FundsDeposited
from libs.events.decimals import MONEY_PLACES, write_decimal
from libs.events.fact import Fact
from libs.events.metering import ReadingRecorded
from libs.events.trading import (
    TOKEN,
    EnergyMinted,
    EnergyRetired,
    SlotCleared,
    TradeExecuted,
)

WAYS: Final = ("streams", "views", "by hand")
"""The ways in which every figure is found."""

_MADE: Final = {factory.meters[0]: factory.id for factory in FACTORIES}
_NAMES: Final = {
    "made_wh": "generated",
    "own_wh": "own use",
    "surplus_wh": "surplus minted",
    "bought_wh": "bought",
    "sold_wh": "sold",
    "paid_stroops": "paid",
    "received_stroops": "received",
    "retired_wh": "used up",
    "energy_wh": "energy",
    "tokens_stroops": "tokens",
}
"""What people call the figures of an account."""


def tokens(stroops: int) -> str:
    """Stroops as tokens."""
    return f"{write_decimal(stroops, MONEY_PLACES)} {TOKEN}"


class Fold:
    """The outcome as the facts tell it, one after the other."""

    def __init__(self, day: EnergyDay) -> None:
        """Begin with nothing."""
        self.outcome = Outcome()
        self.opened_wh = 0
        """Energy of the openings, in Wh."""
        self.opened_stroops = 0
        """Tokens of the openings, in stroops."""
        self.minted_wh = 0
        """Everything else that was minted, in Wh."""
        self._day = day
        self._registers: dict[tuple[str, datetime], dict[str, int]] = {}

    def add(self, fact: Fact) -> None:
        """Fold a fact; those that change no total are left."""
        match fact:
            case ReadingRecorded():
                self._read(fact)
            case FundsDeposited(asset="TOKEN"):
                self.opened_stroops += fact.amount_stroops
                self.outcome.accounts[fact.member].tokens_stroops += fact.amount_stroops
            case EnergyMinted():
                self._mint(fact)
            case EnergyRetired():
                account = self.outcome.accounts[fact.member]
                account.energy_wh -= fact.energy_wh
                account.retired_wh += fact.energy_wh
            case TradeExecuted():
                self._trade(fact)
            case SlotCleared():
                number = slot_number(self._day, fact.slot)
                price, energy_wh = fact.price_stroops_per_kwh, fact.energy_wh
                self.outcome.slots[number] = Slot(price, energy_wh, len(fact.matches))
            case _:
                pass

    def _read(self, fact: ReadingRecorded) -> None:
        name = "generated" if fact.meter in _MADE else "consumed"
        (values,) = (each.differences_wh for each in fact.registers if each.name == name)
        first = slot_number(self._day, fact.first_interval_at)
        member = f"Factory{fact.meter[-2:]}"
        for slot, value in enumerate(values, first):
            registers = self._registers.setdefault((member, self._day.slot_at(slot)), {})
            registers[name] = value
            account = self.outcome.accounts[member]
            account.made_wh += value * (name == "generated")
            if len(registers) == 2:  # noqa: PLR2004 - both meters are known
                account.own_wh += min(registers.values())

    def _mint(self, fact: EnergyMinted) -> None:
        account = self.outcome.accounts[fact.member]
        account.energy_wh += fact.energy_wh
        if fact.reason == "opening":
            self.opened_wh += fact.energy_wh
            return
        self.minted_wh += fact.energy_wh
        if fact.reason == "surplus":
            account.surplus_wh += fact.energy_wh

    def _trade(self, fact: TradeExecuted) -> None:
        seller, buyer = (self.outcome.accounts[each] for each in (fact.seller, fact.buyer))
        seller.energy_wh -= fact.energy_wh
        buyer.energy_wh += fact.energy_wh
        seller.tokens_stroops += fact.total_stroops
        buyer.tokens_stroops -= fact.total_stroops
        if fact.slot is not None:
            seller.sold_wh += fact.energy_wh
            buyer.bought_wh += fact.energy_wh
            seller.received_stroops += fact.total_stroops
            buyer.paid_stroops += fact.total_stroops


def slot_number(day: EnergyDay, at: datetime) -> int:
    """The number of the slot that begins at an instant."""
    return int((at - day.starts_at).total_seconds()) // SLOT_S


async def from_streams(subscriber: Subscriber, day: EnergyDay) -> Fold:
    """Fold readings and book."""
    fold = Fold(day)
    for stream in ("READINGS_0", f"LEDGER_{BOOK}"):
        if end := await subscriber.end(stream):
            async for recorded in subscriber.facts(stream, until=end):
                fold.add(recorded.fact)
    return fold


class _Network:
    """The lists of the energy network."""

    def __init__(self, http: httpx.AsyncClient, gateway_url: str) -> None:
        self._http, self._url = http, f"{gateway_url}/api"

    async def rows(self, path: str, **query: str) -> list[dict[str, Any]]:
        """All rows of a list, page by page."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            asked = {**query, "limit": "500"} | ({"cursor": cursor} if cursor else {})
            answer = await self._http.get(f"{self._url}/{path}", params=asked)
            page = answer.raise_for_status().json()
            rows += page["data"]
            cursor = page.get("next_cursor")
            if not cursor:
                return rows


async def from_views(http: httpx.AsyncClient, gateway_url: str, day: EnergyDay) -> Outcome:
    """Ask the gateway for all of it."""
    outcome, network = Outcome(), _Network(http, gateway_url)
    accounts = outcome.accounts
    for row in await Views(http, gateway_url).rows("readings"):
        if row["meter"] in _MADE:
            made = [each["total_wh"] for each in row["registers"] if each["name"] == "generated"]
            accounts[_MADE[row["meter"]]].made_wh += sum(made)
    for row in await network.rows("trades", market="true"):
        seller, buyer = accounts[row["sellerId"]], accounts[row["buyerId"]]
        seller.sold_wh += row["energy_wh"]
        seller.received_stroops += row["total_stroops"]
        buyer.bought_wh += row["energy_wh"]
        buyer.paid_stroops += row["total_stroops"]
    for row in await network.rows("market/slots"):
        number = slot_number(day, datetime.fromisoformat(row["slot_at"]))
        price, energy_wh = row["price_stroops_per_kwh"], row["energy_wh"]
        outcome.slots[number] = Slot(price, energy_wh, row["matches"])
    for row in await network.rows("factories"):
        account = accounts[row["id"]]
        account.energy_wh = row["energy_balance_wh"]
        account.tokens_stroops = row["currency_balance_stroops"]
        _add_history(account, await network.rows(f"factory/{row['id']}/history"), day)
    return outcome


def _add_history(account: Account, history: list[dict[str, Any]], day: EnergyDay) -> None:
    """Add what was minted once the day had begun, and what was used up."""
    for entry in history:
        change_wh = entry["energy_change_wh"]
        if entry["fact"] == "EnergyRetired":
            account.retired_wh -= change_wh
        is_of_day = datetime.fromisoformat(entry["timestamp"]) > day.starts_at
        if entry["fact"] == "EnergyMinted" and is_of_day:
            account.surplus_wh += change_wh
    account.own_wh = account.made_wh - account.surplus_wh


def figures_of_day(
    fold: Fold, views: Outcome, hand: Outcome
) -> tuple[list[Figure], dict[str, list[Figure]], list[Figure]]:
    """Compare all figures.

    Returns:
        Those of the whole day, those of each factory, those of each slot.
    """
    ways = dict(zip(WAYS, (fold.outcome, views, hand), strict=True))
    accounts = {
        factory.id: [
            Figure(
                f"{factory.id}, {name}",
                {
                    way: _written(field, getattr(outcome.accounts[factory.id], field))
                    for way, outcome in ways.items()
                },
            )
            for field, name in _NAMES.items()
        ]
        for factory in FACTORIES
    }
    numbers = sorted({number for outcome in ways.values() for number in outcome.slots})
    slots = [
        Figure(
            f"slot {number}",
            {way: str(outcome.slots.get(number)) for way, outcome in ways.items()},
        )
        for number in numbers
    ]
    return [*_totals(ways), *_conserved(fold, views, hand)], accounts, slots


def _totals(ways: Mapping[str, Outcome]) -> list[Figure]:
    def figure(name: str, field: str) -> Figure:
        return Figure(
            name,
            {
                way: _written(field, sum(getattr(a, field) for a in each.accounts.values()))
                for way, each in ways.items()
            },
        )

    return [
        figure("generated", "made_wh"),
        figure("used of the own plant", "own_wh"),
        figure("surplus, minted", "surplus_wh"),
        figure("sold on the market", "sold_wh"),
        figure("bought and used up", "retired_wh"),
        figure("paid on the market", "paid_stroops"),
        Figure("slots cleared", {way: str(len(each.slots)) for way, each in ways.items()}),
        Figure(
            "trades of the market",
            {
                way: str(sum(slot.trades for slot in each.slots.values()))
                for way, each in ways.items()
            },
        ),
        Figure("price range", {way: price_range(each) for way, each in ways.items()}),
    ]


def _conserved(fold: Fold, views: Outcome, hand: Outcome) -> list[Figure]:
    """Nothing came from nowhere: what all have is what they began with, and what was minted."""
    began = sum(factory.balance_stroops for factory in FACTORIES)
    retired_wh = sum(account.retired_wh for account in fold.outcome.accounts.values())
    return [
        Figure(
            "all tokens",
            {
                "at registration": tokens(fold.opened_stroops),
                "in the list of factories": tokens(began),
                **{way: tokens(_sum(each, "tokens_stroops")) for way, each in _ends(fold, views)},
                "by hand": tokens(_sum(hand, "tokens_stroops")),
            },
        ),
        Figure(
            "all energy",
            {
                "registered + minted - used up": kwh(fold.opened_wh + fold.minted_wh - retired_wh),
                **{way: kwh(_sum(each, "energy_wh")) for way, each in _ends(fold, views)},
                "by hand": kwh(_sum(hand, "energy_wh")),
            },
        ),
    ]


def _ends(fold: Fold, views: Outcome) -> tuple[tuple[str, Outcome], ...]:
    return ("streams", fold.outcome), ("views", views)


def _sum(outcome: Outcome, field: str) -> int:
    return sum(getattr(account, field) for account in outcome.accounts.values())


def price_range(outcome: Outcome) -> str:
    """The lowest and the highest price of a slot."""
    every = [slot.price_stroops_per_kwh for slot in outcome.slots.values()]
    prices = [price for price in every if price is not None]
    if not prices:
        return "none"
    low, high = (write_decimal(price, MONEY_PLACES) for price in (min(prices), max(prices)))
    return f"{low} to {high} {TOKEN} a kWh"


def _written(field: str, value: int) -> str:
    return tokens(value) if field.endswith("_stroops") else kwh(value)


def account_json(account: Account) -> dict[str, int]:
    """An account as the result file has it."""
    return {each.name: getattr(account, each.name) for each in fields(account)}
