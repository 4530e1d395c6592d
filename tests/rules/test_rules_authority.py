"""Who may ask: every refusal by its code, repeats, windows by the time that was read, forgetting.

Commands are really signed; facts are recorded as a writer records them (`tests.histories`).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from libs.events.books import FundsDeposited
from libs.events.command import KEPT_AFTER_S, WINDOW_S_MAX, Body
from libs.events.commands import DepositFunds
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.jws import parse
from libs.events.positions import Position, write_cause, write_seen
from libs.events.system_commands import Pay
from libs.events.timekeeping import TimeReached
from libs.rules.accepted import Accepted, AcceptedCommands
from libs.rules.authority import STRANGER_SIZE_MAX, Authority, Order
from libs.rules.membership import Member
from libs.runtime.failures import FailureClass, HeliographError, NotYet, Refused
from tests.histories import START, History, key_of, signed

BOOK, STREAM = "valley", "LEDGER_valley"
NBF = int(START.timestamp())
BODY = DepositFunds(member="ines", asset="USD", amount_stroops=5)
OTHER_BODY = DepositFunds(member="ines", asset="USD", amount_stroops=6)


class World:
    """An authority of a book, and the streams that it reads."""

    def __init__(self, *, first_approver: str = "", with_time: bool = True) -> None:
        self.authority = Authority(
            deployment="test", service="ledger", book=BOOK, first_approver=first_approver
        )
        self.history = History()
        self.read = {name: Position.start(name) for name in (STREAM, "MEMBERS", "PRICES")}
        if with_time:
            self.pass_seconds(0)
            self.register("anna", "approver")

    def fold(self, recorded: Recorded[Fact]) -> Position:
        self.authority.evolve(recorded, own=recorded.stream == STREAM)
        self.read[recorded.stream] = recorded.position
        return recorded.position

    def pass_seconds(self, seconds: int) -> datetime:
        """It is so many seconds after the start."""
        now = START + timedelta(seconds=seconds)
        for recorded in self.history.advance(now):
            self.fold(recorded)
        return now

    def register(self, member: str, *roles: str) -> Position:
        return self.fold(self.history.register(member, *roles))

    def judge(self, text: str, read: Mapping[str, Position] | None = None) -> tuple[Any, Any]:
        return self.authority.judge(parse(text, "hg-command+jws"), text, read or self.read)

    def order(self, text: str) -> Order:
        order, known = self.judge(text)
        assert known is None
        assert isinstance(order, Order)
        return order

    def repeat(self, text: str) -> Accepted:
        order, known = self.judge(text)
        assert order is None
        assert isinstance(known, Accepted)
        return known

    def code(self, text: str) -> str:
        with pytest.raises(HeliographError) as caught:
            self.judge(text)
        return caught.value.code

    def accept(self, text: str, name: str = "anna.c1", stream: str = STREAM) -> Position:
        """Record the first fact of a command, as its decision would."""
        fact = FundsDeposited(member="ines", asset="USD", amount_stroops=5, command=text)
        if stream != STREAM:
            return self.history.record(stream, "ines", fact).position
        cause = write_cause(None, name)
        return self.fold(
            self.history.record(stream, "ines", fact, fact_id=f"{name}.deposit", cause=cause)
        )

    def follow(self, first: Position, name: str) -> Position:
        """Record a fact that names another as its cause and has no command of its own."""
        cause = write_cause(first, "whatever")
        fact = TimeReached(to=START)
        return self.fold(self.history.record(STREAM, "time", fact, fact_id=name, cause=cause))


def text(
    member: str = "anna", command_id: str = "c1", body: Body = BODY, book: str = BOOK, **claims: Any
) -> str:
    return signed(member, command_id, body, book, **claims)


def test_a_command_is_judged_by_the_time_and_the_members_that_were_read() -> None:
    world = World()
    asked = text()

    order = world.order(asked)

    assert order.time == START
    assert order.signer == Member("anna", key_of("anna").address, frozenset({"approver"}))
    assert (order.id, order.text) == ("anna.c1", asked)
    assert order.body(DepositFunds) == BODY
    order.require("approver")


def test_judging_changes_nothing() -> None:
    world = World()

    assert world.order(text()) == world.order(text())
    assert world.order(text(body=OTHER_BODY)).body(DepositFunds) == OTHER_BODY


def test_a_body_of_another_kind_is_our_bug() -> None:
    with pytest.raises(AssertionError):
        World().order(text()).body(Pay)


def test_a_role_that_is_lacking_is_named() -> None:
    world = World()
    world.register("ines", "investor", "recipient")
    order = world.order(text("ines"))

    order.require("recipient")
    with pytest.raises(Refused, match="ines is no approver") as caught:
        order.require("approver")
    assert (caught.value.code, caught.value.field) == ("wrong-role", "member")


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        (text(deployment="elsewhere"), "wrong-deployment", "deployment"),
        (text(book="other"), "wrong-book", "book"),
        (text("eve"), "unknown-member", "member"),
        (text(signer="eve"), "wrong-key", "kid"),
        (text(nbf=NBF + 1, exp=NBF + 60), "not-valid-yet", "nbf"),
        (text(nbf=2**40 - 60, exp=2**40), "not-valid-yet", "nbf"),  # no calendar has that year
        (text(nbf=NBF - 60, exp=NBF), "expired", "exp"),
        (text(nbf=NBF - WINDOW_S_MAX, exp=NBF - 1), "expired", "exp"),
        (text(after=f"ANCHORS:1:{'0' * 32}"), "stream-not-followed", "after"),
        (text(after=f"PRICES:1:{'0' * 32}"), "other-history", "after"),
        (text(after=f"PRICES:0:{'0' * 32} MEMBERS:0:{'0' * 32}"), "command-schema", "after"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 30 else "",
)
def test_a_claim_that_breaks_a_rule_is_refused_by_its_code(
    asked: str, code: str, field: str
) -> None:
    world = World()

    with pytest.raises(Refused) as caught:
        world.judge(asked)

    assert (caught.value.code, caught.value.field) == (code, field)
    assert caught.value.status == 422


def test_a_command_for_another_service_is_refused() -> None:
    billing = Authority(deployment="test", service="billing", book=BOOK)
    asked = text()

    with pytest.raises(Refused) as caught:
        billing.judge(parse(asked, "hg-command+jws"), asked, {})
    assert (caught.value.code, caught.value.field) == ("wrong-service", "service")


def test_a_payload_that_is_no_command_is_refused_with_its_field() -> None:
    world = World()
    asked = key_of("anna").sign("hg-command+jws", b'{"deployment":"test"}')
    twice = key_of("anna").sign("hg-command+jws", b'{"id":"a","id":"b"}')

    assert world.code(asked) == "command-schema"
    assert world.code(twice) == "payload-json"


@pytest.mark.parametrize(
    ("seconds", "code"), [(-1, "not-valid-yet"), (60, "expired"), (61, "expired")]
)
def test_a_window_opens_at_nbf_and_shuts_at_exp(seconds: int, code: str) -> None:
    world = World()
    shifted = text(nbf=NBF - seconds, exp=NBF - seconds + 60)

    assert world.code(shifted) == code


@pytest.mark.parametrize("seconds", [0, 1, 59])
def test_a_command_is_valid_within_its_window(seconds: int) -> None:
    world = World()

    assert world.order(text(nbf=NBF - seconds, exp=NBF - seconds + 60)).time == START


def test_without_any_time_nothing_is_decided_yet() -> None:
    world = World(with_time=False)
    world.register("anna", "approver")

    with pytest.raises(NotYet) as caught:
        world.judge(text())
    assert caught.value.code == "no-time-yet"
    world.pass_seconds(0)
    assert world.order(text()).time == START


def test_a_fact_that_a_command_answers_is_waited_for() -> None:
    world = World()
    start = Position.start(STREAM)
    coming = Position("MEMBERS", 2, "a" * 32)
    asked = text(after=write_seen([coming, world.read["PRICES"]]))

    with pytest.raises(NotYet) as caught:
        world.judge(asked)
    assert caught.value.code == "not-read-yet"
    assert caught.value.failure is FailureClass.NOT_YET

    there = world.register("ines", "investor")
    assert there.sequence == 2
    assert world.code(asked) == "other-history"
    asked = text(after=write_seen([there, start, world.read["PRICES"]]))
    assert world.order(asked).text == asked


def test_what_was_read_further_than_a_command_asks_is_enough() -> None:
    world = World()
    place = world.read["MEMBERS"]
    world.register("ines", "investor")

    assert world.read["MEMBERS"].sequence > place.sequence
    assert world.order(text(after=str(place))).command.after == str(place)


def test_a_repeat_is_told_from_a_new_command() -> None:
    world = World()
    first = world.accept(text())

    known = world.repeat(text())

    assert (known.first, known.last) == (first, first)
    assert world.order(text(command_id="c2")).id == "anna.c2"


def test_a_repeat_in_another_window_is_a_repeat() -> None:
    world = World()
    first = world.accept(text())

    assert world.repeat(text(nbf=NBF + 5, exp=NBF + 65)).first == first


def test_the_facts_of_a_decision_move_its_last_position() -> None:
    world = World()
    first = world.accept(text())
    world.follow(first, "anna.c1.title")
    last = world.follow(first, "anna.c1.more")

    known = world.repeat(text())

    assert (known.first, known.last) == (first, last)


def test_what_merely_follows_from_a_decision_does_not_move_its_last_position() -> None:
    world = World()
    first = world.accept(text())
    last = world.follow(first, "anna.c1.title")
    world.follow(first, "home-2026-06.issued")
    world.follow(first, "anna.c10.title")
    world.follow(last, "anna.c1.other")

    assert world.repeat(text()).last == last


def test_another_body_under_a_used_id_is_refused() -> None:
    world = World()
    world.accept(text())

    with pytest.raises(Refused) as caught:
        world.judge(text(body=OTHER_BODY))
    assert (caught.value.code, caught.value.field) == ("id-reused", "id")


def test_an_id_belongs_to_its_signer() -> None:
    world = World()
    world.register("ines", "approver")
    first = world.accept(text())

    assert world.order(text("ines", body=OTHER_BODY)).id == "ines.c1"
    second = world.accept(text("ines", body=OTHER_BODY), "ines.c1")
    assert world.repeat(text()).first == first
    assert world.repeat(text("ines", body=OTHER_BODY)).first == second


def test_only_its_own_facts_make_a_command_accepted() -> None:
    world = World()
    other = world.history.record(
        "LEDGER_other",
        "ines",
        FundsDeposited(member="ines", asset="USD", amount_stroops=5, command=text()),
    )
    world.authority.evolve(other, own=False)

    assert world.order(text()).id == "anna.c1"


def test_a_restart_remembers_what_was_accepted() -> None:
    world = World()
    first = world.accept(text())
    last = world.follow(first, "anna.c1.title")
    again = World(with_time=False)
    own_first = sorted(world.history.facts, key=lambda fact: fact.stream != STREAM)
    for recorded in own_first:  # a writer folds its own stream before its inputs
        again.fold(recorded)

    known = again.repeat(text())

    assert (known.first, known.last) == (first, last)
    assert again.authority.now == world.authority.now


def test_an_id_is_kept_for_an_hour_after_its_window_and_then_expired() -> None:
    world = World()
    asked = text(exp=NBF + 60)
    first = world.accept(asked)

    world.pass_seconds(60 + KEPT_AFTER_S - 1)
    assert world.repeat(asked).first == first
    world.pass_seconds(60 + KEPT_AFTER_S)
    assert world.code(asked) == "expired"
    assert KEPT_AFTER_S == 3600


def test_a_forgotten_id_may_be_used_again() -> None:
    world = World()
    first = world.accept(text(exp=NBF + 60))
    world.pass_seconds(60 + KEPT_AFTER_S)
    later = text(body=OTHER_BODY, nbf=NBF + 60 + KEPT_AFTER_S, exp=NBF + 10_000)

    assert world.order(later).id == "anna.c1"
    second = world.accept(later)
    world.follow(first, "anna.c1.late")
    assert world.repeat(later).first == second
    assert world.repeat(later).last == second


def test_a_replay_keeps_no_more_than_was_kept_then() -> None:
    world = World()
    for day in range(5):
        late = world.pass_seconds(day * 2 * WINDOW_S_MAX)
        nbf = int(late.timestamp())
        asked = text(command_id=f"c{day}", nbf=nbf, exp=nbf + 60)
        fact = FundsDeposited(member="ines", asset="USD", amount_stroops=5, command=asked)
        name = f"anna.c{day}.deposit"
        world.fold(world.history.record(STREAM, "ines", fact, fact_id=name, time=late))
    accepted = AcceptedCommands()
    counts = []

    for recorded in world.history.facts:
        if recorded.stream == STREAM:
            accepted.remember(recorded)
            counts.append(accepted.count("anna"))

    assert counts == [1] * 5


def test_one_member_has_so_many_commands_remembered_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("libs.rules.authority.KEPT_PER_MEMBER_MAX", 2)
    world = World()
    for number in range(2):
        world.accept(text(command_id=f"c{number}", exp=NBF + 60), f"anna.c{number}")

    assert world.code(text(command_id="c2")) == "too-many-commands"
    assert world.repeat(text(command_id="c1", exp=NBF + 60)).name == "anna.c1"
    world.pass_seconds(60 + KEPT_AFTER_S)
    assert world.order(text(command_id="c2")).id == "anna.c2"


def test_a_long_text_of_a_key_that_nobody_has_is_not_read() -> None:
    world = World()

    def asked(member: str, size: int) -> str:
        made = parse(text(member), "hg-command+jws").payload
        return key_of(member).sign("hg-command+jws", made + b" " * size)

    assert world.code(asked("eve", 0)) == "unknown-member"
    with pytest.raises(NotYet) as caught:
        world.judge(asked("eve", STRANGER_SIZE_MAX))
    assert caught.value.code == "unknown-key"
    assert world.order(asked("anna", STRANGER_SIZE_MAX)).id == "anna.c1"


def test_an_id_that_was_used_again_is_remembered_after_a_restart() -> None:
    world = World()
    world.accept(text(exp=NBF + 60))
    world.pass_seconds(60 + KEPT_AFTER_S)
    later = text(body=OTHER_BODY, nbf=NBF + 60 + KEPT_AFTER_S, exp=NBF + 10_000)
    second = world.accept(later)
    again = World(with_time=False)
    for recorded in sorted(world.history.facts, key=lambda fact: fact.stream != STREAM):
        again.fold(recorded)

    assert again.repeat(later).first == second
    again.pass_seconds(10_000 + KEPT_AFTER_S)
    assert again.code(later) == "expired"


def test_what_an_accepted_command_led_to_is_known() -> None:
    world = World()
    asked = text()
    order = world.order(asked)
    first = world.accept(asked)

    assert world.authority.accepted(order.command).first == first
    assert world.authority.accepted(order.command).exp == order.command.exp


def test_members_are_those_of_the_register() -> None:
    world = World()

    assert world.authority.member("eve") is None
    world.register("eve", "investor", "auditor")
    assert world.authority.member("eve") == Member(
        "eve", key_of("eve").address, frozenset({"investor", "auditor"})
    )


def test_the_first_approver_speaks_before_anybody_is_registered() -> None:
    world = World(first_approver=key_of("founder").address, with_time=False)
    world.pass_seconds(0)

    order = world.order(text("founder"))

    assert order.signer.roles == {"approver"}
    assert world.order(text("whoever", signer="founder")).signer.member == "whoever"
    assert world.code(text("eve")) == "unknown-member"


def test_the_first_approver_is_no_one_else_who_is_registered() -> None:
    world = World(first_approver=key_of("founder").address)

    assert world.code(text("anna", signer="founder")) == "wrong-key"
    world.register("founder", "investor")
    assert world.order(text("founder")).signer.roles == {"investor"}


def test_without_that_setting_there_is_no_first_approver() -> None:
    assert World().code(text("founder")) == "unknown-member"
