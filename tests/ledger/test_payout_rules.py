"""Contractors paid on two confirmations, and guarantors' cover, by given / when / then."""

import pytest

from libs.events.command import Body
from libs.events.commands import DepositFunds
from libs.events.system_commands import AcceptRaise, CancelRaise, DepositCover, PayContractor
from libs.events.systems import (
    ContractorPaid,
    CoverDeposited,
    CoverReleased,
    PayoutApproved,
)
from libs.runtime.failures import Refused
from tests.histories import Stage
from tests.ledger.raises import (
    COVER,
    MONEY,
    PRICE,
    accepted,
    balance,
    full,
    in_stage,
    proposed,
    refusal_of,
    rules_of,
    wallet,
)


def pay(amount: int = 400, **changes: str) -> PayContractor:
    values = {"system": "sun", "payout": "first", "contractor": "builder"} | changes
    return PayContractor.model_validate(values | {"amount_stroops": amount})


def cover(amount: int = 1) -> DepositCover:
    return DepositCover(system="sun", amount_stroops=amount)


def confirmed_by(member: str) -> Stage:
    stage = accepted()
    stage.when(member, "confirm", pay())
    return stage


def paid() -> Stage:
    stage = confirmed_by("home")
    stage.when("approver", "confirm", pay())
    return stage


@pytest.mark.parametrize(("first", "second"), [("home", "approver"), ("approver", "home")])
def test_recipient_and_approver_pay_a_contractor_in_any_order(first: str, second: str) -> None:
    stage = accepted()
    (half,) = stage.when(first, "1", pay())
    assert isinstance(half, PayoutApproved)
    assert (half.confirmed_by, wallet(stage, "builder")) == (first, 0)
    (whole,) = stage.when(second, "2", pay())
    assert isinstance(whole, ContractorPaid)
    assert wallet(stage, "builder") == 400
    assert balance(stage, "U:USD", "build:sun") == PRICE - 400


@pytest.mark.parametrize(
    ("stage", "member", "body", "code"),
    [
        (full, "home", pay(), "raise-not-accepted"),
        (accepted, "next", pay(), "not-the-recipient"),
        (accepted, "ann", pay(), "wrong-role"),
        (accepted, "builder", pay(), "wrong-role"),
        (accepted, "home", pay(contractor="ann"), "no-contractor"),
        (accepted, "home", pay(contractor="nobody"), "no-contractor"),
        (accepted, "home", pay(PRICE + 1), "not-enough-build-money"),
        (accepted, "home", pay(system="moon"), "unknown-system"),
        (lambda: confirmed_by("home"), "home", pay(), "same-confirmer"),
        (lambda: confirmed_by("approver"), "approver", pay(), "same-confirmer"),
        (lambda: confirmed_by("approver"), "second", pay(), "same-confirmer"),
        (lambda: confirmed_by("home"), "approver", pay(399), "payout-other-amount"),
        (paid, "home", pay(), "payout-done"),
        (paid, "approver", pay(), "payout-done"),
        (full, "ann", cover(), "no-guarantor"),
        (full, "guard", cover(MONEY), "insufficient-funds"),
        (accepted, "guard", cover(), "raise-not-open"),
        (proposed, "guard", cover().model_copy(update={"system": "moon"}), "unknown-system"),
    ],
)
def test_what_breaks_a_rule_of_payouts_and_cover_is_refused_and_changes_nothing(
    stage: object, member: str, body: Body, code: str
) -> None:
    assert callable(stage)
    assert refusal_of(stage(), member, body)[0] == code


def test_the_second_confirmation_names_the_same_contractor() -> None:
    stage = confirmed_by("home")
    stage.given(stage.history.register("mason", "contractor"))
    body = pay(contractor="mason")
    assert refusal_of(stage, "approver", body)[:2] == (
        "payout-other-contractor",
        "body.contractor",
    )


def test_an_approver_who_accepted_the_raise_himself_still_needs_another_approver() -> None:
    stage = full(recipient=None)
    stage.given(stage.history.register("chief", "approver", "recipient"))
    stage.when("chief", "accept", AcceptRaise(system="sun"))
    (half,) = stage.when("chief", "1", pay())
    assert isinstance(half, PayoutApproved)
    assert half.confirmed_as == "recipient"
    assert refusal_of(stage, "chief", pay())[0] == "same-confirmer"
    assert isinstance(stage.when("approver", "2", pay())[0], ContractorPaid)


def test_two_payouts_that_wait_cannot_both_have_the_last_money() -> None:
    stage = accepted()
    for payout in ("one", "two"):
        stage.when("home", payout, pay(700, payout=payout))
    stage.when("approver", "one", pay(700, payout="one"))
    assert refusal_of(stage, "approver", pay(700, payout="two"))[0] == "not-enough-build-money"
    assert balance(stage, "U:USD", "build:sun") == PRICE - 700


def test_cover_waits_beside_the_raise_and_comes_back_when_it_fails() -> None:
    stage = in_stage(1)
    (fact,) = stage.when("guard", "1", cover(30))
    assert isinstance(fact, CoverDeposited)
    stage.when("guard", "2", cover(12))
    assert balance(stage, "U:USD", "cover:sun:guard") == 42
    stage.when("approver", "cancel", CancelRaise(system="sun"))
    released = [each for each in stage.follow_up() if isinstance(each, CoverReleased)]
    assert [(each.guarantor, each.amount_stroops) for each in released] == [("guard", 42)]
    assert wallet(stage, "guard") == MONEY
    assert stage.follow_up() == []


def test_cover_that_nobody_asked_for_is_taken_too() -> None:
    stage = in_stage(4, cover_stroops=None)
    assert stage.when("guard", "1", cover(COVER))


def test_guarantors_stand_in_the_order_of_their_first_deposit_and_are_at_most_twenty() -> None:
    stage = in_stage(1)
    for number in range(20):
        member = f"g{number}"
        stage.given(stage.history.register(member, "guarantor"))
        deposit = DepositFunds(member=member, asset="USD", amount_stroops=2)
        stage.when("approver", f"deposit-{number}", deposit)
        stage.when(member, "1", cover())
    stage.when("g0", "2", cover())
    assert rules_of(stage).systems["sun"].guarantors == [f"g{number}" for number in range(20)]
    with pytest.raises(Refused) as refusal:
        stage.when("guard", "1", cover())
    assert refusal.value.code == "too-many-guarantors"
