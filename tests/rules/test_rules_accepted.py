"""What was accepted, folded from own facts: forgetting, batches, and snapshots at any place."""

import json
from typing import Any

import pytest

from libs.events.batch import Batch, BatchItem
from libs.events.command import KEPT_AFTER_S
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.positions import write_cause
from libs.events.trade_commands import ExecuteTrade
from libs.events.trading import TradeExecuted
from libs.rules.accepted import AcceptedCommands
from tests.histories import START, History, signed

BOOK, STREAM = "valley", "LEDGER_valley"
NBF = int(START.timestamp())


def item(name: str) -> BatchItem:
    return BatchItem(id=name, command="ExecuteTrade", body={"tradeId": name})


class Told:
    """A history of executed trades."""

    def __init__(self) -> None:
        self.history = History()
        self.facts: list[Recorded[Fact]] = []

    def tell(self, name: str, text: str | None, cause: str, what: str = "executed") -> str:
        fact = TradeExecuted(
            trade=name,
            seller="solar",
            buyer="ines",
            asset="TOKEN",
            energy_wh=1,
            price_stroops_per_kwh=1_000,
            total_stroops=1,
            command=text,
        )
        recorded = self.history.record(
            STREAM, "solar", fact, fact_id=f"ines.{name}.{what}", cause=cause
        )
        self.facts.append(recorded)
        return write_cause(recorded.position, recorded.envelope.id)

    def alone(self, name: str, **claims: Any) -> str:
        text = signed("ines", name, ExecuteTrade(tradeId=name), BOOK, **claims)
        return self.tell(name, text, f"- ines.{name}")

    def batch(self, *names: str, refused: tuple[str, ...] = (), **claims: Any) -> str:
        body = Batch(commands=tuple(map(item, sorted((*names, *refused)))))
        text = signed("ines", "batch", body, BOOK, **claims)
        cause = self.tell(names[0], text, f"- ines.{names[0]}")
        for name in names[1:]:
            self.tell(name, None, cause)
        return cause


def folded(facts: list[Recorded[Fact]]) -> AcceptedCommands:
    accepted = AcceptedCommands()
    for fact in facts:
        accepted.remember(fact)
    return accepted


def state(accepted: AcceptedCommands) -> Any:
    return json.loads(json.dumps({name: list(rows) for name, rows in accepted.dump().items()}))


def places(accepted: AcceptedCommands, *names: str) -> list[tuple[int, int] | None]:
    """First and last position of each command."""
    found = [accepted.get("ines", name) for name in names]
    return [None if each is None else (each.first.sequence, each.last.sequence) for each in found]


def test_every_accepted_command_of_a_batch_is_known_by_its_own_facts() -> None:
    told = Told()
    told.alone("a")
    told.batch("b", "c", "d", refused=("e",))
    second = write_cause(told.facts[2].position, told.facts[2].envelope.id)
    told.tell("c", None, second, "more")

    accepted = folded(told.facts)

    assert places(accepted, "a", "b", "c", "d", "e") == [(1, 1), (2, 2), (3, 5), (4, 4), None]
    known = accepted.get("ines", "c")
    assert known is not None
    assert (known.name, known.first) == ("ines.c", told.facts[2].position)


def test_a_command_alone_and_in_a_batch_has_the_same_digest() -> None:
    alone, batched = Told(), Told()
    alone.alone("a")
    batched.batch("b", "a")

    one, other = (folded(each.facts).get("ines", "a") for each in (alone, batched))

    assert one is not None
    assert other is not None
    assert one.digest == other.digest


def test_a_fact_of_another_member_or_of_nobody_accepts_nothing() -> None:
    told = Told()
    cause = told.batch("b", refused=("c",))
    fact = told.facts[0].fact.model_copy(update={"command": None})
    for fact_id in ("ivo.c.executed", "c.expired", "ines", "ines.x.y"):
        told.facts.append(told.history.record(STREAM, "solar", fact, fact_id=fact_id, cause=cause))

    assert places(folded(told.facts), "c") == [None]


def test_a_later_command_closes_the_batch() -> None:
    told = Told()
    cause = told.batch("b", refused=("c",))
    told.alone("a")
    told.tell("c", None, cause, "late")

    assert places(folded(told.facts), "a", "b", "c") == [(2, 2), (1, 1), None]


def test_only_what_ended_an_hour_ago_is_forgotten() -> None:
    told = Told()
    for number in range(50):
        told.alone(f"t-{number}", exp=NBF + 60 + number % 10)
    accepted = folded(told.facts)

    accepted.forget(NBF + 64 + KEPT_AFTER_S)

    names = [f"t-{number}" for number in range(50)]
    kept = [place is not None for place in places(accepted, *names)]
    assert kept == [number % 10 > 4 for number in range(50)]
    accepted.forget(NBF + 70 + KEPT_AFTER_S)
    assert places(accepted, *names) == [None] * 50
    assert state(accepted)["commands"] == []


def test_of_an_id_that_stands_twice_in_a_batch_the_first_was_decided() -> None:
    told = Told()
    second = BatchItem(id="a", command="Nonsense", body={})
    text = signed("ines", "batch", Batch(commands=(item("a"), second)), BOOK)
    told.tell("a", text, "- ines.a")
    alone = Told()
    alone.alone("a")

    one, other = (folded(each.facts).get("ines", "a") for each in (alone, told))

    assert one is not None
    assert other is not None
    assert one.digest == other.digest


@pytest.mark.parametrize("is_cut", [False, True])
def test_an_id_that_was_forgotten_is_known_again_in_a_batch(is_cut: bool) -> None:
    """Time is read after the own stream: what is used again is met before it was forgotten."""
    told = Told()
    told.alone("a", exp=NBF + 60)
    cause = told.batch("b", "a")
    told.tell("a", None, write_cause(told.facts[2].position, "ines.a.executed"), "more")
    told.tell("b", None, cause, "more")

    accepted = folded(told.facts[:2])
    if is_cut:
        before, accepted = accepted, AcceptedCommands()
        accepted.load(state(before))
    for fact in told.facts[2:]:
        accepted.remember(fact)

    assert places(accepted, "a", "b") == [(3, 4), (2, 5)]
    accepted.forget(NBF + 60 + KEPT_AFTER_S)
    assert places(accepted, "a", "b") == [(3, 4), (2, 5)]


@pytest.mark.parametrize("cut", range(9))
def test_a_snapshot_at_any_fact_goes_on_alike(cut: int) -> None:
    told = Told()
    told.alone("a")
    cause = told.batch("b", "c", "d", refused=("e",))
    told.tell("b", None, cause, "more")
    told.alone("f", exp=NBF + 60)
    told.batch("g", "h")
    assert len(told.facts) == 8

    whole, before, after = folded(told.facts), folded(told.facts[:cut]), AcceptedCommands()
    after.load(state(before))
    for fact in told.facts[cut:]:
        after.remember(fact)

    assert state(after) == state(whole)
    for accepted in (whole, after):
        accepted.forget(NBF + 60 + KEPT_AFTER_S)
    assert state(after) == state(whole)
    assert places(after, "b", "f", "h") == [(2, 5), None, (8, 8)]
