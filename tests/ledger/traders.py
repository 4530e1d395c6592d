"""Members who trade without pause and take no rest for an answer, and what must stand in the end.

Every command has an id that its client made. It is sent again under the same id until a final
answer comes, and each client knows which answer is right: so a ledger that forgets, doubles or
answers from an old memory is found out by the client itself, or in the stream.
"""

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from libs.events.batch import Batch, BatchItem
from libs.events.command import Body
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.membership import MemberRegistered
from libs.events.spelling import spell
from libs.events.trade_commands import (
    CreateTrade,
    ExecuteTrade,
    RegisterFactory,
    TransferEnergy,
    TransferFunds,
)
from libs.events.trading import TOKEN, MoneyLeg
from libs.rules.postings import Books, postings
from tests.embedded.town import BrokerProcess
from tests.histories import START, key_of, signed
from tests.ledger import model
from tests.ledger.model_accounts import DAY
from tests.ledger.model_people import Asked, Change
from tests.runtime.ledgers import PATIENCE_S, People

BOOK, STREAM = "pilot", "LEDGER_pilot"
AGAIN_S = 0.25
"""Seconds without an answer after which a command is sent again."""

ENERGY_WH, STROOPS = 1_000_000, 10**9
YES = "accepted"


@dataclass
class Wish:
    """A command, and the answer that is right."""

    member: str
    id: str
    body: Body
    right: str = YES


@dataclass
class Market:
    """What all clients together asked for and heard."""

    wishes: dict[tuple[str, str], Wish] = field(default_factory=dict)
    places: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Where each accepted command stands, as it was answered."""
    answered: int = 0
    """Commands that have their final answer."""

    def settle(self, wish: Wish, answer: Mapping[str, Any]) -> bool:
        """Take an answer to a command; tell whether it is final."""
        if answer.get("status", 0) >= 500:
            return False
        said = answer["outcome"] if answer.get("outcome") == YES else answer["code"]
        assert said == wish.right, (wish, answer)
        place = wish.member, wish.id
        if said == YES:
            position = answer["first"], answer["position"]
            assert self.places.setdefault(place, position) == position, "two answers differ"
        if place not in self.wishes:
            self.wishes[place] = wish
            self.answered += 1
        return True


class Crowd(People):
    """People who hear of every answer at once."""

    def __init__(self, broker: BrokerProcess) -> None:
        super().__init__(broker)
        self.market = Market()
        self._news: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._asked: dict[str, Sequence[Wish]] = {}
        self.wrong: list[AssertionError] = []

    async def _hear(self, message: Msg) -> None:
        await super()._hear(message)
        name = message.subject.rpartition(".")[2]
        if message.data and name in self._asked:
            try:
                self._settle(name, json.loads(message.data))
            except AssertionError as error:
                self.wrong.append(error)
            self._news[name].set()

    def _settle(self, name: str, answer: Mapping[str, Any]) -> None:
        """Also what comes late, after the client has gone on, must be the same answer."""
        wishes = self._asked[name]
        answers = answer["answers"] if answer.get("outcome") == "batch" else [answer] * len(wishes)
        is_whole = answer.get("outcome") == "batch" or len(wishes) == 1
        assert is_whole or answer["status"] >= 500, answer
        for wish, each in zip(wishes, answers, strict=True):
            self.market.settle(wish, each)

    def _is_done(self, name: str) -> bool:
        return all((wish.member, wish.id) in self.market.wishes for wish in self._asked[name])

    async def insist(self, name: str, text: str, wishes: Sequence[Wish]) -> None:
        """Send the same bytes until every command in them has a final answer."""
        self._asked[name] = wishes
        async with asyncio.timeout(4 * PATIENCE_S):
            while not self._is_done(name):
                self._news[name].clear()
                try:
                    await self.send(text, name, BOOK)
                    async with asyncio.timeout(AGAIN_S):
                        await self._news[name].wait()
                    if not self._is_done(name):
                        await asyncio.sleep(0.02)  # it said "try again"
                except TimeoutError:
                    continue
                except NatsError:
                    await asyncio.sleep(AGAIN_S)
        assert not self.wrong, self.wrong

    async def one(self, wish: Wish) -> None:
        await self.insist(
            f"{wish.member}_{wish.id}", signed(wish.member, wish.id, wish.body, BOOK), [wish]
        )

    async def many(self, name: str, wishes: Sequence[Wish]) -> None:
        """Ask for several things under one signature."""
        items = tuple(
            BatchItem(id=wish.id, command=wish.body.command_name, body=json.loads(spell(wish.body)))
            for wish in wishes
        )
        member = wishes[0].member
        text = signed(member, name, Batch(commands=items), BOOK)
        await self.insist(f"{member}_{name}", text, wishes)

    async def open(self, pairs: int) -> None:
        """Let sellers and buyers in, and wait until their openings stand in the book."""
        await self.begin()
        for number in range(pairs):
            for word in ("seller", "buyer"):
                name = f"{word}-{number}"
                body = RegisterFactory(
                    factoryId=name,
                    address=key_of(name).address,
                    name=name,
                    energyType="solar",
                    book=BOOK,
                    initialBalance=ENERGY_WH,
                    currencyBalance=STROOPS,
                )
                await self.ask("approver", f"register-{name}", body, "register")
        async with asyncio.timeout(PATIENCE_S):
            while len(await self.facts(STREAM)) < 4 * pairs:  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.05)


class Pair:
    """A seller and a buyer: trades there, energy and money back, so that it never ends."""

    def __init__(self, crowd: Crowd, number: int, seed: int) -> None:
        self._crowd, self._number = crowd, number
        self._chance = random.Random(seed * 1_000 + number)
        self._count = 0
        self.seller, self.buyer = f"seller-{number}", f"buyer-{number}"
        self.stopping = False

    def _wish(self, member: str, body: Body, right: str = YES) -> Wish:
        self._count += 1
        return Wish(member, f"c{self._count}", body, right)

    def _create(self, amount: int = 200, buyer: str = "") -> CreateTrade:
        self._count += 1
        return CreateTrade(
            tradeId=f"t{self._number}-{self._count}",
            sellerId=self.seller,
            buyerId=buyer or self.buyer,
            amount=amount,
            pricePerUnit=80_000,
        )

    async def run(self) -> None:
        while not self.stopping:
            await self._chance.choice((self._trade, self._trade, self._trades, self._give_back))()

    async def _trade(self) -> None:
        """Create and execute; then what must be refused, whoever answers."""
        crowd, created = self._crowd, self._create()
        execute = ExecuteTrade(tradeId=created.trade_id)
        await crowd.one(self._wish(self.seller, created))
        await crowd.one(self._wish(self.seller, execute, "wrong-signer"))
        await crowd.one(self._wish(self.buyer, execute))
        await crowd.one(self._wish(self.buyer, execute, "trade-closed"))
        await crowd.one(self._wish(self.seller, created, "trade-exists"))
        await crowd.one(self._wish(self.seller, self._create(buyer="ghost"), "unknown-party"))

    async def _trades(self) -> None:
        """The same by signed batches."""
        created = [self._create() for _ in range(self._chance.randint(1, 8))]
        creates = [self._wish(self.seller, each) for each in created]
        creates.append(self._wish(self.seller, self._create(0), "amount-not-positive"))
        await self._crowd.many(f"batch-{self._count}", creates)
        unknown = ExecuteTrade(tradeId=f"none-{self._number}-{self._count}")
        executes = [self._wish(self.buyer, unknown, "unknown-trade")]
        executes += [
            self._wish(self.buyer, ExecuteTrade(tradeId=each.trade_id)) for each in created
        ]
        await self._crowd.many(f"batch-{self._count}", executes)

    async def _give_back(self) -> None:
        energy = TransferEnergy(fromFactoryId=self.buyer, toFactoryId=self.seller, amount=200)
        leg = MoneyLeg(to_member=self.buyer, asset=TOKEN, amount_stroops=16_000)
        self._count += 1
        money = TransferFunds(transfer=f"x{self._number}-{self._count}", legs=(leg,))
        await self._crowd.one(self._wish(self.buyer, energy))
        await self._crowd.one(self._wish(self.seller, money))
        await self._crowd.one(self._wish(self.seller, money, "transfer-exists"))


def check_stream(facts: Sequence[Recorded[Fact]], market: Market) -> None:
    """Every yes stands once, where it was answered; nothing else does."""
    ids = [each.envelope.id for each in facts]
    assert len(set(ids)) == len(ids), "no id stands twice"
    numbers: Counter[str] = Counter()
    stands: dict[tuple[str, str], list[str]] = defaultdict(list)
    for recorded in facts:
        numbers[recorded.envelope.key] += 1
        assert recorded.envelope.n == numbers[recorded.envelope.key], "numbers have no gaps"
        member, _, rest = recorded.envelope.id.partition(".")
        if not member.startswith("opening:"):
            stands[member, rest.partition(".")[0]].append(str(recorded.position))
    found = {place: (positions[0], positions[-1]) for place, positions in stands.items()}
    assert found == market.places
    assert all(len(positions) == 1 for positions in stands.values()), "one command, one fact"


def check_books(
    members: Iterable[Recorded[Fact]], facts: Sequence[Recorded[Fact]], market: Market
) -> None:
    """The second model accepts the same in the order of the stream; totals are as begun."""
    book, books = model.Book(BOOK), Books()
    book.tick(START)
    count = 0
    for each in members:
        if isinstance(each.fact, MemberRegistered):
            fact, opening = each.fact, each.fact.opening
            begins = None
            if opening is not None:
                begins = opening.book, opening.energy_wh, opening.amount_stroops
            book.learn(Change(fact.member, fact.address, frozenset(fact.roles), opening=begins))
            count += opening is not None
    book.settle()
    order = {str(each.position): each.sequence for each in facts}
    for place in sorted(market.places, key=lambda place: order[market.places[place][0]]):
        wish, now = market.wishes[place], book.now
        key = key_of(wish.member).address
        asked = Asked(*place, key, wish.body.command_name, wish.body, now, now + DAY, BOOK)
        assert not book.answer(asked).faults, wish
    for each in facts:
        books.post(postings(each.fact))
    assert dict(books._balances) == book.balances
    assert {at: n for at, n in book.balances.items() if at[1].startswith("hold:")} == book.holds()
    for asset, begun in (("W", ENERGY_WH), (f"U:{TOKEN}", STROOPS)):
        words = ("kwh:", "hold:", "wallet:")
        mine = (n for at, n in book.balances.items() if at[0] == asset and at[1].startswith(words))
        assert sum(mine) == begun * count
