"""A command id is free again an hour after its window; what it named may still stand then."""

from datetime import timedelta

import pytest

from libs.events.commands import DepositFunds, ReceiveFunds, SettleSuspense
from libs.events.repaying import FundsSuspended
from libs.events.system_commands import AcceptShares, ApproveSystem, CancelRaise, OfferShares
from libs.events.systems import InvestmentMade, SharesTransferred
from libs.runtime.failures import Refused
from tests.histories import START, Stage
from tests.ledger.raises import (
    accepted,
    balance,
    cast,
    in_stage,
    invest,
    propose,
    refusal_of,
    walked,
    wallet,
)

LATER_DAYS = 3
"""The window of a command that was signed at the start is over and forgotten."""


def offer(shares: int, days: int = 30) -> OfferShares:
    return OfferShares(
        system="sun",
        to_member="cid",
        shares=shares,
        price_stroops=7,
        expires_at=START + timedelta(days=days),
    )


def refused_as_used(stage: Stage, member: str, body: OfferShares | ReceiveFunds) -> bool:
    return refusal_of(stage, member, body)[:2] == ("id-used", "id")


def test_a_second_investment_under_the_id_of_one_in_escrow_is_refused() -> None:
    stage = in_stage(4)
    before = wallet(stage, "ann")
    stage.when("ann", "refused", invest(200))
    stage.advance(LATER_DAYS)

    code, field, _ = refusal_of(stage, "ann", invest(300))

    assert (code, field) == ("id-used", "id")
    stage.when("ann", "another", invest(300))
    stage.when("approver", "cancel", CancelRaise(system="sun"))
    stage.follow_up()
    assert balance(stage, "U:USD", "escrow:sun:ann") == 0
    assert wallet(stage, "ann") == before


def test_an_id_whose_investment_was_refunded_may_name_another() -> None:
    stage = in_stage(4)
    stage.when("ann", "mine", invest(200))
    stage.when("approver", "cancel", CancelRaise(system="sun"))
    stage.follow_up()
    stage.advance(LATER_DAYS)
    stage.when("dev", "propose-moon", propose(system="moon"))
    stage.when("approver", "approve-moon", ApproveSystem(system="moon"))
    walked(stage, 0, 4, "moon")

    made = stage.when("ann", "mine", invest(200, "moon"))

    assert [type(each) for each in made] == [InvestmentMade]


def test_a_second_offer_under_the_id_of_an_open_one_is_refused() -> None:
    stage = accepted()
    stage.when("ann", "refused", offer(10))
    stage.advance(LATER_DAYS)

    assert refused_as_used(stage, "ann", offer(20))

    (moved,) = stage.when("cid", "take", AcceptShares(offer="ann.refused"))
    assert isinstance(moved, SharesTransferred)
    assert moved.shares == 10


def test_money_in_suspense_is_not_hidden_by_other_money_under_the_same_id() -> None:
    stage = cast()
    stage.when("approver", "refused", ReceiveFunds(asset="USD", amount_stroops=5, reference="?"))
    stage.advance(LATER_DAYS)
    other = ReceiveFunds(asset="EUR", amount_stroops=9, reference="?")

    assert refused_as_used(stage, "approver", other)

    (suspended,) = stage.when("approver", "next", other)
    assert isinstance(suspended, FundsSuspended)
    for receipt in ("approver.refused", "approver.next"):
        stage.when("approver", f"settle-{receipt[-4:]}", SettleSuspense(receipt=receipt))
    assert balance(stage, "U:USD", "suspense:approver.refused") == 0
    assert balance(stage, "U:EUR", "suspense:approver.next") == 0


def test_an_id_under_which_nothing_stands_may_be_used_again() -> None:
    stage = cast()
    body = DepositFunds(member="ann", asset="USD", amount_stroops=1)
    stage.when("approver", "again", body)
    with pytest.raises(Refused):
        stage.when("approver", "again", body.model_copy(update={"amount_stroops": 2}))
    stage.advance(LATER_DAYS)

    assert stage.when("approver", "again", body)
