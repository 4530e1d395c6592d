"""A book that only knows the execution of trades, for tests of the desk: on any event store.

The id of a trade says what becomes of it: `closed-...` is refused, `three-...` leads to three
facts, `hundred-...` to a hundred, `bug-...` ends the process, and so does `law-...`.
"""

import json
from collections.abc import Sequence
from typing import Any

from libs.events.batch import Batch, BatchItem
from libs.events.command import Body
from libs.events.envelope import Draft, Recorded, decode
from libs.events.fact import Fact
from libs.events.trade_commands import ExecuteTrade
from libs.events.trading import TradeExecuted, TradeExpired
from libs.eventstore import EventStore, Frame, Stored
from libs.rules.authority import Authority, Order
from libs.runtime.failures import BrokenLaw, Refused
from libs.runtime.orders import OrderDesk
from libs.runtime.writer import Writer
from tests.histories import DEPLOYMENT, START, History, signed

BOOK, OWN, MEMBERS, PRICES = "valley", "LEDGER_valley", "MEMBERS", "PRICES"
COUNTS = {"three": 3, "hundred": 100}


class Trades:
    """Rules that remember what was executed."""

    def __init__(self) -> None:
        self.authority = Authority(deployment=DEPLOYMENT, service="ledger", book=BOOK)
        self.executed: list[str] = []
        self.due_now: list[Draft] = []
        self.evolved = 0

    def evolve(self, recorded: Recorded[Fact]) -> None:
        self.authority.evolve(recorded, own=recorded.stream == OWN)
        self.evolved += 1
        if isinstance(recorded.fact, TradeExecuted):
            self.executed.append(recorded.fact.trade)

    def due(self) -> Sequence[Draft]:
        return (self.due_now.pop(),) if self.due_now else ()

    def decide(self, order: Order) -> Sequence[Draft]:
        trade = order.body(ExecuteTrade).trade_id
        kind = trade.partition("-")[0]
        if kind == "closed":
            raise Refused("trade-closed", f"{trade} is closed")
        if kind == "law":
            raise BrokenLaw("balance", "money appeared")
        if kind == "bug":
            raise ZeroDivisionError
        fact = TradeExecuted(
            trade=trade,
            seller="solar",
            buyer=order.signer.member,
            asset="TOKEN",
            energy_wh=1_000,
            price_stroops_per_kwh=800_000,
            total_stroops=800_000,
            command=order.kept,
        )
        drafts = [Draft("solar", fact, f"{order.id}.executed", order.time)]
        more = TradeExpired(trade=trade, seller="solar", buyer="ines", energy_wh=1)
        names = (f"{order.id}.more-{number}" for number in range(1, COUNTS.get(kind, 1)))
        return drafts + [Draft("solar", more, name, order.time) for name in names]


def history() -> list[Recorded[Fact]]:
    """Ines and Ivo are members, and it is the start of June."""
    told = History()
    members = [told.register(member, "recipient") for member in ("ines", "ivo")]
    return [*members, *told.advance(START)]


async def put(store: EventStore, facts: Sequence[Recorded[Fact]]) -> None:
    """Append facts as the services that own their streams would."""
    for recorded in facts:
        frame = Frame(recorded.envelope.subject, recorded.data)
        await store.append(recorded.stream, [frame], expected=await store.end(recorded.stream))


def desk_on(store: EventStore) -> tuple[OrderDesk, Trades]:
    """A desk with its writer, which is to be run."""
    rules = Trades()
    writer = Writer(
        store=store, rules=rules, deployment=DEPLOYMENT, stream=OWN, inputs=(MEMBERS, PRICES)
    )
    return OrderDesk(writer=writer, authority=rules.authority, decide=rules.decide), rules


def execute(trade: str, command_id: str | None = None, member: str = "ines", **claims: Any) -> str:
    """A signed command that stands alone."""
    return signed(member, command_id or trade, ExecuteTrade(tradeId=trade), BOOK, **claims)


def batch(*trades: str, member: str = "ines", command_id: str = "b1", **claims: Any) -> str:
    """A signed batch of executions; each command has the id of its trade."""
    return batch_of(*map(item, trades), member=member, id=command_id, **claims)


def batch_of(*items: BatchItem, member: str = "ines", **claims: Any) -> str:
    """A signed batch of any commands."""
    body: Body = Batch(commands=items)
    return signed(member, claims.pop("id", "b1"), body, BOOK, **claims)


def item(trade: str, command_id: str | None = None) -> BatchItem:
    """One execution of a batch."""
    return BatchItem(id=command_id or trade, command="ExecuteTrade", body={"tradeId": trade})


def said(document: dict[str, Any]) -> list[str]:
    """Of each answer of a batch, whether it was accepted, or its code."""
    assert document["outcome"] == "batch", document
    return [each.get("code") or each["outcome"] for each in document["answers"]]


def read(answer: bytes) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(answer)
    return document


def decoded(stored: Stored) -> Recorded[Fact]:
    return decode(
        deployment=DEPLOYMENT,
        stream=stored.stream,
        sequence=stored.sequence,
        subject=stored.subject,
        data=stored.data,
    )
