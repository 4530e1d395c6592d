"""A book of the energy network on the stage: its factories, what they sign, what it holds."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

from libs.events.command import Body
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.membership import FactoryProfile, MemberRegistered, MemberSuspended, Opening
from libs.events.subjects import LEDGER
from libs.events.trade_commands import CreateTrade
from libs.events.trading import TOKEN
from libs.rules.authority import Authority
from libs.rules.dumps import Dumpable
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import NotFound, Refused
from services.ledger.domain import Book
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, History, Stage, key_of

KWH, UNIT = 1_000, 10_000_000
"""Wh in a kWh, stroops in a unit of money."""


def book_of(stage: Stage) -> Book:
    assert isinstance(stage.rules, Book)
    return stage.rules


def fresh(name: str = "pilot", others: Sequence[str] = ()) -> Book:
    """The rules of a book that has folded nothing."""
    stream = LEDGER.stream(name)
    return Book(
        authority=Authority(deployment=DEPLOYMENT, service="ledger", book=name),
        timekeeper=Timekeeper(stream, ("READINGS_0",)),
        stream=stream,
        others=others,
    )


def network(history: History | None = None) -> Stage:
    """A book with an approver and a time, and no factory."""
    stage = Stage(fresh(), LEDGER.stream("pilot"), "pilot", history)
    stage.given(stage.history.register("approver", "approver"))
    stage.advance(0)
    return stage


def registration(
    stage: Stage, member: str, *, kwh: float = 0, tokens: float = 0, book: str = "pilot"
) -> Recorded[Fact]:
    """The register lets a factory in."""
    fact = MemberRegistered(
        member=member,
        address=key_of(member).address,
        roles=("factory",),
        factory=FactoryProfile(
            name=member, energy_type="solar", daily_consumption_wh=0, available_energy_wh=0
        ),
        opening=Opening(
            book=book, asset=TOKEN, energy_wh=int(kwh * KWH), amount_stroops=int(tokens * UNIT)
        ),
        command=ANY_COMMAND_SIGNED,
    )
    return stage.history.record("MEMBERS", member, fact)


def let_in(stage: Stage, member: str, **opening: Any) -> None:
    """The register lets a factory in, and the book enters what it begins with."""
    stage.given(registration(stage, member, **opening))
    stage.follow_up()


def suspend(stage: Stage, member: str, *, suspended: bool = True) -> None:
    fact = MemberSuspended(
        member=member, suspended=suspended, reason="test", command=ANY_COMMAND_SIGNED
    )
    stage.given(stage.history.record("MEMBERS", member, fact))


def factories() -> Stage:
    """The two factories of the seed's example."""
    stage = network()
    let_in(stage, "Factory01", kwh=1_000, tokens=1_000)
    let_in(stage, "Factory04", kwh=300, tokens=300)
    return stage


def offer(**changes: object) -> CreateTrade:
    """The seed's trade: 200 kWh at 0.08."""
    values: dict[str, object] = {
        "tradeId": "TRADE001",
        "sellerId": "Factory01",
        "buyerId": "Factory04",
        "amount": 200 * KWH,
        "pricePerUnit": 800_000,
    }
    return CreateTrade.model_validate(values | changes)


def kwh(stage: Stage, member: str) -> float:
    """Free energy of a member."""
    return book_of(stage).books.balance("W", f"kwh:{member}") / KWH


def tokens(stage: Stage, member: str) -> float:
    """Free tokens of a member."""
    return book_of(stage).books.balance(f"U:{TOKEN}", f"wallet:{member}") / UNIT


def held(stage: Stage, member: str, asset: str = "W") -> int:
    """What is held of a member in all, in Wh or stroops."""
    return sum(book_of(stage).books.accounts(asset, f"hold:{member}:").values())


def refusal_of(stage: Stage, member: str, body: Body, **claims: Any) -> tuple[str, str | None]:
    """The code and field of a refusal; nothing may have changed."""
    before = len(stage.history.facts)
    with pytest.raises((Refused, NotFound)) as refusal:
        stage.when(member, "refused", body, **claims)
    assert len(stage.history.facts) == before
    return refusal.value.code, refusal.value.field


def is_balanced(stage: Stage) -> bool:
    return all(debits == others for debits, others in book_of(stage).books.totals().values())


def as_json(part: Dumpable) -> Any:
    """What a snapshot would give back of a part."""
    return json.loads(json.dumps({name: list(rows) for name, rows in part.dump().items()}))


def state_of(book: Book) -> dict[str, Any]:
    """The state of the parts of energy, trades and transfers, in an order of its own."""
    parts: dict[str, Dumpable] = {
        "books": book.books,
        "room": book.room,
        "moment": book.moment,
        "energy": book.energy,
        "trading": book.trading,
        "transfers": book.transfers,
        "between": book.between,
    }
    return {
        f"{name}/{section}": sorted(map(str, rows))
        for name, part in parts.items()
        for section, rows in as_json(part).items()
    }


def folded(book: Book, facts: Iterable[Recorded[Fact]]) -> Book:
    for fact in facts:
        book.evolve(fact)
    return book


def resumed(book: Book, others: Sequence[str] = (), name: str = "pilot") -> Book:
    """A fresh book that has loaded what this one dumped."""
    again = fresh(name, others)
    again.load(as_json(book))
    return again


def hours(count: int) -> datetime:
    """An instant after the start."""
    return START + timedelta(hours=count)
