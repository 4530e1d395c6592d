"""Transfers between two books: every step, every crash between two steps, every no, and the law.

Two books share a history in memory. Each reads of the other's stream what its writer's filter would
let through, and only when the test delivers it.
"""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.commands import DepositFunds
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.positions import write_cause
from libs.events.quantities import INTEGER_MAX
from libs.events.subjects import LEDGER
from libs.events.trade_commands import (
    PostTransfer,
    ReserveTransfer,
    ReverseTransfer,
    TransferFunds,
    VoidTransfer,
)
from libs.events.trading import (
    TOKEN,
    EnergyLeg,
    MoneyLeg,
    TransferPosted,
    TransferReserved,
    TransferVoided,
    book_key,
)
from libs.runtime.failures import BrokenLaw
from tests.histories import ANY_COMMAND_SIGNED, START, History, Stage, key_of
from tests.ledger.network import (
    UNIT,
    book_of,
    folded,
    fresh,
    held,
    hours,
    is_balanced,
    refusal_of,
    registration,
    resumed,
    state_of,
    suspend,
    tokens,
)

HILL, DALE = "hill", "dale"
OTHER = {HILL: DALE, DALE: HILL}
MONEY = f"U:{TOKEN}"


class Town:
    """Two books that follow the register, the clock and each other."""

    def __init__(self) -> None:
        self.history = History()
        self.stages = {
            name: Stage(fresh(name, [OTHER[name]]), LEDGER.stream(name), name, self.history)
            for name in (HILL, DALE)
        }
        self.read: dict[tuple[str, str], int] = {}
        self.tell(self.history.register("approver", "approver"))
        self.advance(0)

    def tell(self, *facts: Recorded[Fact]) -> None:
        """Both read facts of the register or the clock; nothing is decided."""
        for stage in self.stages.values():
            stage.given(*facts)

    def advance(self, count: int) -> None:
        """Both read that it is so many hours later; nothing is decided."""
        for stage in self.stages.values():
            stage.now = hours(count)
        self.tell(*self.history.advance(hours(count)))

    def join(self, member: str, book: str, amount: float) -> None:
        self.tell(registration(self.stages[book], member, tokens=amount, book=book))
        self.stages[book].follow_up()

    def visible(self, name: str) -> list[Recorded[Fact]]:
        """What the writer's filter lets through of the other book's stream."""
        stream, key = LEDGER.stream(OTHER[name]), book_key(name)
        return [
            each
            for each in self.history.facts
            if each.stream == stream and each.envelope.key == key
        ]

    def deliver(self, name: str, count: int | None = None) -> None:
        """Let a book read on in the other's stream."""
        unread = self.visible(name)[self.read.get((name, "other"), 0) :][:count]
        self.stages[name].given(*unread)
        self.read[name, "other"] = self.read.get((name, "other"), 0) + len(unread)

    def step(self, name: str) -> list[Fact]:
        """A book reads what has come, and decides one decision, as one of many turns would."""
        self.deliver(name)
        stage = self.stages[name]
        before, drafts = len(self.history.facts), stage.rules.due()
        for draft in drafts:
            recorded = self.history.record(
                stage.own,
                draft.key,
                draft.fact,
                time=draft.time,
                fact_id=draft.id,
                cause=draft.cause or "- due",
            )
            stage.given(recorded)
        return [each.fact for each in self.history.facts[before:]]

    def settle(self) -> None:
        """Both go on until nothing is due."""
        while any([self.step(HILL), self.step(DALE)]):
            pass

    def crash(self, name: str, *, with_snapshot: bool = False) -> None:
        """The writer ends; its successor folds the own stream, then the inputs to their ends."""
        stage = self.stages[name]
        if with_snapshot:
            stage.rules = resumed(book_of(stage), [OTHER[name]], name)
            return
        facts = self.history.facts
        own = [each for each in facts if each.stream == stage.own]
        inputs = [each for each in facts if each.stream in {"MEMBERS", "PRICES"}]
        seen = self.visible(name)
        stage.rules = folded(fresh(name, [OTHER[name]]), [*own, *inputs, *seen])
        self.read[name, "other"] = len(seen)

    def amount(self, name: str, account: str) -> int:
        return book_of(self.stages[name]).books.balance(MONEY, account)

    def check_laws(self) -> None:
        """What is testable from the two streams alone, at any moment."""
        for name, other in OTHER.items():
            assert is_balanced(self.stages[name])
            transit = self.amount(name, f"transit:{other}")
            received = self.amount(other, f"received:{name}")
            open_ = book_of(self.stages[name]).transfers.open.values()
            on_its_way = sum(
                leg.amount_stroops
                for each in open_
                for leg in each.legs
                if each.to_book == other and isinstance(leg, MoneyLeg)
            )
            assert transit <= received <= transit + on_its_way

    def money(self) -> int:
        """All money of members, held or free, in both books."""
        return sum(
            sum(book_of(stage).books.accounts(MONEY, word).values())
            for stage in self.stages.values()
            for word in ("wallet:", "hold:")
        )


def send(
    amount: int, to_member: str = "dora", transfer: str = "t", **changes: object
) -> ReserveTransfer:
    leg = MoneyLeg(to_member=to_member, asset=TOKEN, amount_stroops=amount * UNIT)
    values = {
        "transfer": transfer,
        "legs": (leg,),
        "to_book": DALE,
        "expires_at": hours(24),
    }
    return ReserveTransfer.model_validate(values | changes)


def town() -> Town:
    made = Town()
    made.join("hans", HILL, 100)
    made.join("dora", DALE, 50)
    return made


def sent(to_member: str = "dora") -> Town:
    made = town()
    made.stages[HILL].when("hans", "send", send(10, to_member))
    return made


def of(town_: Town, name: str, kind: type[Fact]) -> Sequence[Recorded[Fact]]:
    stream = LEDGER.stream(name)
    return [
        each
        for each in town_.history.facts
        if each.stream == stream and isinstance(each.fact, kind)
    ]


def test_money_reaches_the_other_book_in_two_phases() -> None:
    made = sent()
    (reserved,) = of(made, HILL, TransferReserved)
    assert reserved.envelope.key == book_key(DALE)
    assert (tokens(made.stages[HILL], "hans"), held(made.stages[HILL], "hans", MONEY)) == (
        90,
        10 * UNIT,
    )

    (received,) = made.step(DALE)
    assert isinstance(received, TransferPosted)
    assert (received.from_book, received.to_book, received.is_held) == (HILL, None, False)
    assert tokens(made.stages[DALE], "dora") == 60
    made.check_laws()

    (posted,) = made.step(HILL)
    assert isinstance(posted, TransferPosted)
    assert (posted.from_book, posted.to_book, posted.is_held) == (None, DALE, True)
    assert (
        made.amount(HILL, f"transit:{DALE}") == made.amount(DALE, f"received:{HILL}") == 10 * UNIT
    )
    assert held(made.stages[HILL], "hans", MONEY) == 0
    made.check_laws()

    made.settle()
    assert len(of(made, DALE, TransferPosted)) == len(of(made, HILL, TransferPosted)) == 1


def test_each_step_names_the_step_before_as_its_cause() -> None:
    made = sent()
    made.settle()
    (reserved,) = of(made, HILL, TransferReserved)
    (received,) = of(made, DALE, TransferPosted)
    (posted,) = of(made, HILL, TransferPosted)

    assert received.envelope.cause == write_cause(reserved.position, reserved.envelope.id)
    assert posted.envelope.cause == write_cause(received.position, received.envelope.id)
    assert received.envelope.key == book_key(HILL)
    assert posted.envelope.key == book_key(DALE)


def test_a_member_may_move_his_own_money_to_another_book() -> None:
    made = sent(to_member="hans")
    made.settle()

    assert [tokens(made.stages[name], "hans") for name in (HILL, DALE)] == [90, 10]


def test_the_same_id_in_both_books_is_two_transfers() -> None:
    made = sent()
    leg = MoneyLeg(to_member="hans", asset=TOKEN, amount_stroops=UNIT)
    own = TransferFunds(transfer="t", legs=(leg,))
    made.stages[DALE].when("dora", "own", own)
    made.settle()

    assert [tokens(made.stages[name], "hans") for name in (HILL, DALE)] == [90, 1]
    assert tokens(made.stages[DALE], "dora") == 59


def test_too_late_by_the_clock_of_the_receiving_book_is_void() -> None:
    made = sent()
    made.advance(24)
    made.stages[HILL].follow_up()
    assert held(made.stages[HILL], "hans", MONEY) == 10 * UNIT, "the payer's book does not decide"

    made.settle()

    voids = [each.fact for name in (DALE, HILL) for each in of(made, name, TransferVoided)]
    assert [fact.reason for fact in voids if isinstance(fact, TransferVoided)] == ["expired"] * 2
    assert tokens(made.stages[HILL], "hans") == 100
    assert made.amount(DALE, f"received:{HILL}") == 0


def test_in_time_at_the_receiving_book_counts_even_when_the_payers_clock_went_on() -> None:
    made = sent()
    made.step(DALE)
    made.advance(48)
    made.settle()

    assert (tokens(made.stages[HILL], "hans"), tokens(made.stages[DALE], "dora")) == (90, 60)


def test_a_receiver_who_registers_later_receives_then() -> None:
    made = sent(to_member="late")
    made.settle()
    assert of(made, DALE, TransferPosted) == of(made, DALE, TransferVoided) == []

    made.join("late", DALE, 0)
    made.settle()

    assert tokens(made.stages[DALE], "late") == 10
    assert made.amount(HILL, f"transit:{DALE}") == 10 * UNIT


def test_a_receiver_who_never_registers_receives_nothing() -> None:
    made = sent(to_member="nobody")
    made.settle()
    made.advance(24)
    made.settle()

    assert len(of(made, DALE, TransferVoided)) == 1
    assert tokens(made.stages[HILL], "hans") == 100
    made.tell(registration(made.stages[DALE], "nobody", book=DALE))
    made.settle()
    assert len(of(made, DALE, TransferVoided)) == 1


def test_a_suspended_receiver_receives_nothing() -> None:
    made = sent()
    suspend(made.stages[DALE], "dora")
    made.settle()

    (void,) = of(made, HILL, TransferVoided)
    assert isinstance(void.fact, TransferVoided)
    assert void.fact.reason == "suspended"
    assert tokens(made.stages[HILL], "hans") == 100


def test_what_the_other_book_cannot_hold_goes_back() -> None:
    made = sent()
    rest = INTEGER_MAX - 60 * UNIT + 1
    made.stages[DALE].when(
        "approver", "much", DepositFunds(member="dora", asset=TOKEN, amount_stroops=rest)
    )
    made.settle()

    (void,) = of(made, HILL, TransferVoided)
    assert isinstance(void.fact, TransferVoided)
    assert (void.fact.reason, void.fact.to_book) == ("no-room", DALE)
    assert tokens(made.stages[HILL], "hans") == 100


def test_money_that_left_makes_room() -> None:
    made = town()
    rest = INTEGER_MAX - 100 * UNIT
    hill = made.stages[HILL]
    deposit = DepositFunds(member="hans", asset=TOKEN, amount_stroops=1)
    hill.when("approver", "1", DepositFunds(member="hans", asset=TOKEN, amount_stroops=rest))
    assert refusal_of(hill, "approver", deposit)[0] == "too-much-money"
    hill.when("hans", "2", send(10))
    made.settle()

    assert hill.when("approver", "3", deposit)


def test_money_that_came_takes_room() -> None:
    made = sent()
    made.settle()
    dale, rest = made.stages[DALE], INTEGER_MAX - 60 * UNIT
    more = DepositFunds(member="dora", asset=TOKEN, amount_stroops=rest + 1)

    assert refusal_of(dale, "approver", more)[0] == "too-much-money"
    fits = DepositFunds(member="dora", asset=TOKEN, amount_stroops=rest)
    assert dale.when("approver", "1", fits)


def test_money_may_go_to_and_fro_for_ever() -> None:
    made = Town()
    half = INTEGER_MAX // UNIT // 2
    made.join("hans", HILL, half)
    made.join("dora", DALE, 0)
    for number in range(5):
        made.stages[HILL].when("hans", f"to-{number}", send(half, transfer=f"to-{number}"))
        made.settle()
        back = send(half, "hans", f"fro-{number}", to_book=HILL)
        made.stages[DALE].when("dora", f"fro-{number}", back)
        made.settle()

    assert not of(made, HILL, TransferVoided)
    assert made.amount(DALE, f"received:{HILL}") == 5 * half * UNIT > INTEGER_MAX
    assert tokens(made.stages[HILL], "hans") == half
    made.check_laws()


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (send(1, to_book="vale"), "unknown-book", "body.to_book"),
        (send(1, to_book=HILL), "same-book", "body.to_book"),
        (send(101), "insufficient-funds", "body.legs"),
        (send(1, expires_at=START), "expiry-past", "body.expires_at"),
        (send(1, legs=(EnergyLeg(to_member="dora", energy_wh=1),)),
         "not-one-money-leg", "body.legs"),
        (send(1, legs=(MoneyLeg(to_member="dora", asset=TOKEN, amount_stroops=1),) * 2),
         "not-one-money-leg", "body.legs"),
        (send(1, legs=(MoneyLeg(to_member="dora", asset=f"USD:{key_of('x').address}",
                                amount_stroops=1),)), "not-book-money", "body.legs.0.asset"),
    ],
)  # fmt: skip
def test_what_cannot_go_to_another_book_is_refused(
    body: ReserveTransfer, code: str, field: str
) -> None:
    assert refusal_of(town().stages[HILL], "hans", body) == (code, field)


def test_no_command_ends_a_transfer_between_books() -> None:
    made = sent(to_member="hans")
    hill, field = made.stages[HILL], "body.transfer"
    between = ("transfer-between-books", field)
    assert refusal_of(hill, "hans", PostTransfer(transfer="t")) == between
    assert refusal_of(hill, "hans", VoidTransfer(transfer="t")) == between

    made.settle()

    undo = ReverseTransfer(transfer="t", reason="x")
    assert refusal_of(hill, "approver", undo) == ("not-reversible", field)
    assert refusal_of(made.stages[DALE], "approver", undo) == ("unknown-transfer", field)
    assert refusal_of(hill, "hans", PostTransfer(transfer="t")) == ("transfer-closed", field)


def test_an_answer_to_what_was_never_asked_stops_the_book() -> None:
    made = town()
    leg = MoneyLeg(to_member="dora", asset=TOKEN, amount_stroops=1)
    forged = TransferPosted(
        transfer="never",
        from_member="hans",
        legs=(leg,),
        is_held=False,
        returned_stroops=0,
        returned_wh=0,
        from_book=HILL,
        command=ANY_COMMAND_SIGNED,
    )
    made.history.record(LEDGER.stream(DALE), book_key(HILL), forged)

    with pytest.raises(BrokenLaw, match="unasked-answer"):
        made.step(HILL)


def test_what_is_done_leaves_nothing_behind_but_the_used_id() -> None:
    made = sent()
    made.settle()

    for stage in made.stages.values():
        between = {name: list(rows) for name, rows in book_of(stage).between.dump().items()}
        assert between == {"incoming": [], "taken": [], "settled": [], "answers": []}


def test_own_facts_and_those_of_the_other_book_may_be_read_in_any_order() -> None:
    made = sent()
    made.stages[HILL].when("hans", "2", send(5, transfer="t2"))
    made.step(DALE)
    made.settle()
    facts = made.history.facts
    for name in (HILL, DALE):
        own = [each for each in facts if each.stream == LEDGER.stream(name)]
        common = [each for each in facts if each.stream in {"MEMBERS", "PRICES"}]
        other = made.visible(name)
        for cut in range(len(own) + 1):
            for read in range(len(other) + 1):
                first, then = [*own[:cut], *other[:read]], [*other[read:], *own[cut:]]
                book = folded(fresh(name, [OTHER[name]]), [*common, *first, *then])
                assert state_of(book) == state_of(book_of(made.stages[name]))


@pytest.mark.parametrize("with_snapshot", [False, True])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_every_crash_between_two_steps_continues(with_snapshot: bool, data: st.DataObject) -> None:
    made = town()
    sides = {HILL: ("hans", "dora"), DALE: ("dora", "hans")}
    for number in range(data.draw(st.integers(1, 4))):
        name = data.draw(st.sampled_from([HILL, DALE]))
        payer, receiver = sides[name]
        to_member = data.draw(st.sampled_from([receiver, "nobody"]))
        body = send(
            data.draw(st.integers(1, 12)), to_member, f"t{number}", to_book=OTHER[name],
            expires_at=hours(data.draw(st.integers(1, 4))),
        )  # fmt: skip
        made.stages[name].when(payer, f"send-{number}", body)
    actions = st.sampled_from(
        ["step hill", "step dale", "crash hill", "crash dale", "read hill", "read dale", "time"]
    )
    passed = 0
    for action in data.draw(st.lists(actions, max_size=20)):
        word, _, name = action.partition(" ")
        if word == "time":
            passed += 1
            made.advance(passed)
        elif word == "step":
            made.step(name)
        elif word == "read":
            made.deliver(name, 1)
        else:
            made.crash(name, with_snapshot=with_snapshot)
        made.check_laws()
        assert made.money() >= 150 * UNIT
    made.advance(100)
    made.settle()

    assert made.money() == 150 * UNIT
    assert not any(book_of(stage).transfers.open for stage in made.stages.values())
    for name, other in OTHER.items():
        assert made.amount(name, f"transit:{other}") == made.amount(other, f"received:{name}")
    for name in (HILL, DALE):
        before = state_of(book_of(made.stages[name]))
        made.crash(name)
        assert state_of(book_of(made.stages[name])) == before
