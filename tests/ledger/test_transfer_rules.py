"""Transfers within a book by given / when / then: at once, in two phases, undone; refusals."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.command import Body
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
    Leg,
    MoneyLeg,
    TransferPosted,
    TransferReserved,
    TransferReversed,
    TransferVoided,
)
from libs.runtime.failures import NotFound, Refused
from services.ledger.reversible import REVERSIBLE, Effective, Reversible
from services.ledger.transfers import Transfers
from tests.histories import START, Stage, key_of, signed
from tests.ledger.network import (
    KWH,
    UNIT,
    book_of,
    folded,
    fresh,
    held,
    hours,
    is_balanced,
    kwh,
    let_in,
    network,
    refusal_of,
    resumed,
    state_of,
    suspend,
    tokens,
)

MONEY = f"U:{TOKEN}"


def money(amount: int, to_member: str = "bob", asset: str = TOKEN) -> MoneyLeg:
    return MoneyLeg(to_member=to_member, asset=asset, amount_stroops=amount * UNIT)


def energy(amount: int, to_member: str = "bob") -> EnergyLeg:
    return EnergyLeg(to_member=to_member, energy_wh=amount * KWH)


def give(*legs: Leg, transfer: str = "t") -> TransferFunds:
    return TransferFunds(transfer=transfer, legs=legs)


def reserve(*legs: Leg, transfer: str = "t", **changes: object) -> ReserveTransfer:
    values = {"transfer": transfer, "legs": legs, "expires_at": hours(24)}
    return ReserveTransfer.model_validate(values | changes)


POST, VOID = PostTransfer(transfer="t"), VoidTransfer(transfer="t")
REVERSE = ReverseTransfer(transfer="t", reason="sent to the wrong member")
BOTH = (money(10), energy(5, "cid"))


def people() -> Stage:
    stage = network()
    for member in ("ann", "bob", "cid"):
        let_in(stage, member, kwh=100, tokens=100)
    return stage


def given_(*legs: Leg) -> Stage:
    stage = people()
    stage.when("ann", "give", give(*(legs or BOTH)))
    return stage


def reserved(*legs: Leg) -> Stage:
    stage = people()
    stage.when("ann", "reserve", reserve(*(legs or BOTH)))
    return stage


def posted(*legs: Leg) -> Stage:
    stage = reserved(*legs)
    stage.when("bob", "post", POST)
    return stage


def voided() -> Stage:
    stage = reserved()
    stage.when("bob", "void", VOID)
    return stage


def expired() -> Stage:
    stage = reserved()
    stage.advance(1)
    return stage


def reversed_() -> Stage:
    stage = given_()
    stage.when("approver", "reverse", REVERSE)
    return stage


def after(days: float, begin: Callable[[], Stage] = given_) -> Stage:
    stage = begin()
    stage.advance(days)
    return stage


def spent() -> Stage:
    """The receiver gave away what he had received, and all else."""
    stage = given_()
    stage.when("bob", "on", give(money(101, "cid"), transfer="t2"))
    return stage


def used_up() -> Stage:
    stage = given_()
    stage.when("cid", "on", give(energy(101), transfer="t2"))
    return stage


def at_the_deadline() -> Stage:
    """Its time is over, and the book has not said so yet."""
    stage = reserved()
    stage.now = hours(24)
    stage.given(*stage.history.advance(stage.now))
    return stage


def with_suspended(member: str, begin: Callable[[], Stage] = people) -> Stage:
    stage = begin()
    suspend(stage, member)
    return stage


def balances(stage: Stage) -> dict[str, tuple[float, float]]:
    return {who: (tokens(stage, who), kwh(stage, who)) for who in ("ann", "bob", "cid")}


def test_a_transfer_of_several_legs_moves_all_of_them() -> None:
    stage = people()
    (fact,) = stage.when("ann", "1", give(*BOTH, money(1, "cid")))

    assert isinstance(fact, TransferPosted)
    assert not fact.is_held
    assert balances(stage) == {"ann": (89, 95), "bob": (110, 100), "cid": (101, 105)}
    assert stage.history.facts[-1].envelope.key == "ann"
    assert is_balanced(stage)


def test_of_several_legs_none_moves_when_one_cannot() -> None:
    stage = people()

    assert refusal_of(stage, "ann", give(money(60), money(41, "cid")))[0] == "insufficient-funds"
    assert refusal_of(stage, "ann", give(money(1), energy(101)))[0] == "too-little-energy"
    assert balances(stage) == balances(people())


def test_what_is_reserved_is_held_until_a_receiver_posts_it() -> None:
    stage = people()
    (fact,) = stage.when("ann", "1", reserve(*BOTH))
    assert isinstance(fact, TransferReserved)
    assert balances(stage)["ann"] == (90, 95)
    assert (held(stage, "ann"), held(stage, "ann", MONEY)) == (5 * KWH, 10 * UNIT)
    assert refusal_of(stage, "ann", give(money(91), transfer="t2"))[0] == "insufficient-funds"

    (fact,) = stage.when("cid", "2", POST)

    assert isinstance(fact, TransferPosted)
    assert (fact.is_held, fact.returned_stroops, fact.returned_wh) == (True, 0, 0)
    assert balances(stage) == {"ann": (90, 95), "bob": (110, 100), "cid": (100, 105)}
    assert (held(stage, "ann"), held(stage, "ann", MONEY)) == (0, 0)
    assert is_balanced(stage)


def test_of_a_single_leg_a_part_can_be_posted_and_the_rest_goes_back() -> None:
    stage = reserved(money(10))
    stage.when("bob", "1", PostTransfer(transfer="t", amount_stroops=4 * UNIT))
    assert (tokens(stage, "ann"), tokens(stage, "bob")) == (96, 104)
    assert held(stage, "ann", MONEY) == 0

    stage = reserved(energy(10))
    stage.when("bob", "1", PostTransfer(transfer="t", energy_wh=10 * KWH))
    assert (kwh(stage, "ann"), kwh(stage, "bob")) == (90, 110)

    stage = reserved(energy(10))
    (fact,) = stage.when("bob", "1", PostTransfer(transfer="t", energy_wh=1))
    assert isinstance(fact, TransferPosted)
    assert fact.returned_wh == 10 * KWH - 1


def test_a_receiver_gives_up_what_is_held_for_all() -> None:
    stage = reserved()
    (fact,) = stage.when("cid", "1", VOID)

    assert isinstance(fact, TransferVoided)
    assert fact.reason == "receiver"
    assert balances(stage) == balances(people())


def test_what_nobody_posts_in_time_goes_back() -> None:
    stage = reserved()
    stage.advance(1)
    last = stage.history.facts[-1]

    assert isinstance(last.fact, TransferVoided)
    assert (last.fact.reason, last.envelope.time) == ("expired", hours(24))
    assert last.envelope.cause.startswith("PRICES:2:")
    assert balances(stage) == balances(people())
    stage.advance(2)
    assert len([each for each in stage.history.facts if each.fact == last.fact]) == 1


def test_what_was_posted_or_voided_does_not_expire_as_well() -> None:
    for stage in (posted(), voided()):
        before = len(stage.history.facts)
        stage.advance(2)
        assert [each.envelope.key for each in stage.history.facts[before:]] == ["time"]


@pytest.mark.parametrize("begin", [given_, posted])
def test_a_transfer_is_undone_by_a_compensating_entry(begin: Callable[[], Stage]) -> None:
    stage = begin()
    suspend(stage, "bob")
    before = len(stage.history.facts)
    (fact,) = stage.when("approver", "1", REVERSE)

    assert isinstance(fact, TransferReversed)
    assert balances(stage) == balances(people())
    assert len(stage.history.facts) == before + 1, "what was posted stands for ever"


def test_of_a_part_only_the_part_is_undone() -> None:
    stage = reserved(money(10))
    stage.when("bob", "1", PostTransfer(transfer="t", amount_stroops=4 * UNIT))
    stage.when("approver", "2", REVERSE)

    assert balances(stage) == balances(people())


def test_on_the_seventh_day_it_can_still_be_undone() -> None:
    assert after(7).when("approver", "1", REVERSE)


def test_only_so_many_can_be_undone() -> None:
    stage = given_(money(1))
    stage.when("ann", "2", give(money(1), transfer="t2"))
    stage.when("ann", "3", give(money(1), transfer="t3"))
    book = book_of(stage)
    few = Transfers(
        authority=book.authority,
        books=book.books,
        moment=book.moment,
        book="pilot",
        others=(),
        reversible_max=2,
    )
    for each in stage.history.facts:
        few.evolve(each, own=each.stream == stage.own)

    order, _ = stage.judge(signed("approver", "4", REVERSE, "pilot"))
    assert order is not None
    with pytest.raises(Refused, match="not-reversible"):
        few.reverse(order)
    assert book.transfers.reverse(order)


def test_a_payer_has_so_much_reserved_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ledger.checks.OPEN_MAX", 2)
    stage = reserved(money(1))
    stage.when("ann", "second", reserve(money(1), transfer="t2"))

    third = reserve(money(1), transfer="t3")
    assert refusal_of(stage, "ann", third) == ("too-many-transfers", "body.transfer")
    stage.when("bob", "reserves", reserve(money(1, "cid"), transfer="t4"))
    stage.when("bob", "post", POST)
    stage.when("ann", "third", third)


def test_what_can_no_longer_be_undone_is_let_go_of() -> None:
    stage = given_()
    stage.advance(8)
    stage.when("ann", "2", give(money(1), transfer="t2"))
    dumped = {name: list(rows) for name, rows in book_of(stage).transfers.dump().items()}

    assert [row[0] for row in dumped["reversible/effective"]] == ["t2"]


def test_nobody_pushes_out_what_another_gave() -> None:
    now = START
    kept = Reversible(most=2)
    kept.keep("loot", Effective("victim", now, "{}"))
    for number in range(5):
        kept.keep(f"flood-{number}", Effective("thief", now, "{}"))

    assert kept.get("loot", now) is not None
    assert [kept.get(f"flood-{number}", now) is not None for number in range(5)] == [
        *(False, False, False),
        *(True, True),
    ]
    later = now + REVERSIBLE + timedelta(seconds=1)
    kept.keep("new", Effective("ann", later, "{}"))
    fresh = Reversible(most=2)
    fresh.load({name: list(rows) for name, rows in kept.dump().items()})
    assert [kept.get(name, later) is None for name in ("loot", "flood-4", "new")] == [
        *(True, True),
        False,
    ]
    assert {name: list(rows) for name, rows in fresh.dump().items()} == {
        name: list(rows) for name, rows in kept.dump().items()
    }


@pytest.mark.parametrize(
    ("stage", "member", "body", "code", "field"),
    [
        (people, "ann", give(money(1, "nobody")), "unknown-party", "body.legs.0.to_member"),
        (people, "ann", give(money(1), energy(1, "ann")), "same-party", "body.legs.1.to_member"),
        (lambda: with_suspended("bob"), "ann", give(money(1)),
         "party-suspended", "body.legs.0.to_member"),
        (lambda: with_suspended("ann"), "ann", give(money(1)), "member-suspended", "member"),
        (people, "ann", give(energy(1), money(1, asset=f"USD:{key_of('x').address}")),
         "not-book-money", "body.legs.1.asset"),
        (people, "ann", give(money(1, asset="USD")), "insufficient-funds", "body.legs"),
        (people, "ann", give(money(101)), "insufficient-funds", "body.legs"),
        (people, "ann", give(energy(101)), "too-little-energy", "body.legs"),
        (people, "nobody", give(money(1)), "unknown-member", "member"),
        (given_, "ann", give(money(1)), "transfer-exists", "body.transfer"),
        (given_, "bob", reserve(money(1)), "transfer-exists", "body.transfer"),
        (reserved, "bob", give(money(1)), "transfer-exists", "body.transfer"),
        (voided, "ann", reserve(money(1)), "transfer-exists", "body.transfer"),
        (expired, "ann", give(money(1)), "transfer-exists", "body.transfer"),
        (people, "ann", reserve(money(1, "nobody")), "unknown-party", "body.legs.0.to_member"),
        (people, "ann", reserve(money(1, "ann")), "same-party", "body.legs.0.to_member"),
        (lambda: with_suspended("bob"), "ann", reserve(money(1)),
         "party-suspended", "body.legs.0.to_member"),
        (people, "ann", reserve(money(101)), "insufficient-funds", "body.legs"),
        (people, "ann", reserve(energy(101)), "too-little-energy", "body.legs"),
        (people, "ann", reserve(money(1), expires_at=START), "expiry-past", "body.expires_at"),
        (people, "ann", reserve(money(1), expires_at=START + timedelta(days=366, seconds=1)),
         "expiry-too-far", "body.expires_at"),
        (people, "ann", reserve(money(1), to_book="hill"), "unknown-book", "body.to_book"),
        (people, "ann", reserve(money(1), to_book="pilot"), "same-book", "body.to_book"),
        (people, "bob", POST, "unknown-transfer", "body.transfer"),
        (reserved, "ann", POST, "wrong-signer", "member"),
        (reserved, "approver", POST, "wrong-signer", "member"),
        (given_, "bob", POST, "transfer-closed", "body.transfer"),
        (posted, "bob", POST, "transfer-closed", "body.transfer"),
        (voided, "bob", POST, "transfer-closed", "body.transfer"),
        (expired, "bob", POST, "transfer-closed", "body.transfer"),
        (at_the_deadline, "bob", POST, "transfer-expired", "body.transfer"),
        (lambda: with_suspended("ann", reserved), "bob", POST, "party-suspended", "body.transfer"),
        (lambda: with_suspended("cid", reserved), "bob", POST, "party-suspended", "body.transfer"),
        (lambda: with_suspended("bob", reserved), "bob", POST, "member-suspended", "member"),
        (reserved, "bob", PostTransfer(transfer="t", amount_stroops=1),
         "not-one-leg", "body.amount_stroops"),
        (lambda: reserved(money(1)), "bob", PostTransfer(transfer="t", energy_wh=1),
         "other-kind", "body.energy_wh"),
        (lambda: reserved(energy(1)), "bob", PostTransfer(transfer="t", amount_stroops=1),
         "other-kind", "body.amount_stroops"),
        (lambda: reserved(energy(1)), "bob",
         PostTransfer(transfer="t", amount_stroops=1, energy_wh=1), "other-kind", "body.energy_wh"),
        (lambda: reserved(money(1)), "bob", PostTransfer(transfer="t", amount_stroops=UNIT + 1),
         "more-than-held", "body.amount_stroops"),
        (lambda: reserved(energy(1)), "bob", PostTransfer(transfer="t", energy_wh=KWH + 1),
         "more-than-held", "body.energy_wh"),
        (people, "bob", VOID, "unknown-transfer", "body.transfer"),
        (reserved, "ann", VOID, "wrong-signer", "member"),
        (posted, "bob", VOID, "transfer-closed", "body.transfer"),
        (at_the_deadline, "bob", VOID, "transfer-expired", "body.transfer"),
        (given_, "ann", REVERSE, "wrong-role", "member"),
        (people, "approver", REVERSE, "unknown-transfer", "body.transfer"),
        (reserved, "approver", REVERSE, "transfer-not-posted", "body.transfer"),
        (voided, "approver", REVERSE, "not-reversible", "body.transfer"),
        (expired, "approver", REVERSE, "not-reversible", "body.transfer"),
        (reversed_, "approver", REVERSE, "transfer-reversed", "body.transfer"),
        (lambda: after(7.1), "approver", REVERSE, "not-reversible", "body.transfer"),
        (spent, "approver", REVERSE, "insufficient-funds", "body.transfer"),
        (used_up, "approver", REVERSE, "too-little-energy", "body.transfer"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_and_changes_nothing(
    stage: Callable[[], Stage], member: str, body: Body, code: str, field: str
) -> None:
    assert refusal_of(stage(), member, body) == (code, field)


PEOPLE = st.sampled_from(["ann", "bob", "cid"])
AMOUNTS = st.integers(1, 60)
NAMES = st.sampled_from(["t1", "t2", "t3", "t4"])
LEGS = st.lists(
    st.one_of(st.builds(money, AMOUNTS, PEOPLE), st.builds(energy, AMOUNTS, PEOPLE)),
    min_size=1,
    max_size=3,
)
BODIES = st.one_of(
    st.builds(lambda legs, name: give(*legs, transfer=name), LEGS, NAMES),
    st.builds(lambda legs, name: reserve(*legs, transfer=name), LEGS, NAMES),
    st.builds(lambda name: PostTransfer(transfer=name), NAMES),
    st.builds(lambda name, n: PostTransfer(transfer=name, energy_wh=n * KWH), NAMES, AMOUNTS),
    st.builds(lambda name: VoidTransfer(transfer=name), NAMES),
)
STEPS = st.one_of(
    st.tuples(PEOPLE, BODIES),
    st.tuples(PEOPLE, BODIES),
    st.builds(lambda name: ("approver", ReverseTransfer(transfer=name, reason="x")), NAMES),
    st.just(None),
)


@settings(max_examples=60, deadline=None)
@given(plan=st.lists(STEPS, max_size=25), cut=st.integers(0, 40))
def test_whatever_is_asked_is_conserved_and_a_snapshot_goes_on_like_the_history(
    plan: list[tuple[str, Body] | None], cut: int
) -> None:
    stage, days = people(), 0
    for number, step in enumerate(plan):
        if step is None:
            days += 3
            stage.advance(days)
            continue
        with suppress(Refused, NotFound):
            stage.when(step[0], f"c{number}", step[1])

    assert is_balanced(stage)
    free = balances(stage).values()
    on_hold = sum(held(stage, who, MONEY) for who in ("ann", "bob", "cid"))
    assert sum(each[0] for each in free) * UNIT + on_hold == 300 * UNIT
    open_wh = sum(held(stage, who) for who in ("ann", "bob", "cid"))
    assert sum(each[1] for each in free) * KWH + open_wh == 300 * KWH
    facts = stage.history.facts
    again = folded(resumed(folded(fresh(), facts[:cut])), facts[cut:])
    assert state_of(again) == state_of(book_of(stage))
