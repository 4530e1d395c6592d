"""Title and holdings that change hands: offered by one, accepted by the other."""

from datetime import UTC, date, datetime, timedelta

import pytest

from libs.events.books import OwnershipTransferred, TitleMove
from libs.events.command import Body
from libs.events.repaying import ReturnAccrued
from libs.events.system_commands import AcceptHolding, AcceptShares, OfferHolding, OfferShares
from libs.events.systems import (
    HoldingAccepted,
    HoldingOffered,
    HoldingReclaimed,
    HoldingTransferred,
    SharesOffered,
    SharesTransferred,
)
from tests.histories import ANY_COMMAND_SIGNED, START, Stage
from tests.ledger.raises import (
    LEDGER,
    MONEY,
    accepted,
    advance,
    agreed,
    balance,
    operating,
    refusal_of,
    rules_of,
    wallet,
)

DAY_S = 86_400
TOMORROW = START + timedelta(days=1)


def offer(shares: int = 100, **changes: object) -> OfferShares:
    values: dict[str, object] = {"system": "sun", "to_member": "eve", "price_stroops": 90}
    values |= {"expires_at": TOMORROW, "shares": shares}
    return OfferShares.model_validate(values | changes)


OFFER = AcceptShares(offer="bob.offer")
TO_NEXT = OfferHolding(holding="h", to_member="next")


def offered(**changes: object) -> Stage:
    stage = accepted()
    stage.when("bob", "offer", offer(**changes))  # type: ignore[arg-type]
    return stage


def held() -> Stage:
    return agreed(agreed(operating()), "h2", "next")


def holding_offered() -> Stage:
    stage = held()
    stage.when("home", "offer", TO_NEXT)
    return stage


def moving() -> Stage:
    stage = holding_offered()
    stage.when("next", "take", AcceptHolding(holding="h"))
    return stage


def with_own_title(stage: Stage, shares: int, member: str = "home") -> Stage:
    """A payment has repaid some principal of holding `h`."""
    fact = OwnershipTransferred(
        payment="home.1",
        system="sun",
        holding="h",
        agreement="agr-h",
        to_member=member,
        moves=(TitleMove(member="bob", shares=shares),),
        own_shares=shares,
        holding_units=600,
    )
    stage.given(stage.history.record(LEDGER, "agr-h", fact))
    return stage


def test_offered_title_moves_for_its_price_when_the_other_accepts() -> None:
    stage = accepted()
    (made,) = stage.when("bob", "offer", offer())
    assert isinstance(made, SharesOffered)
    assert balance(stage, "T:sun", "title:sun:bob") == 800
    (moved,) = stage.when("eve", "take", OFFER)
    assert isinstance(moved, SharesTransferred)
    assert balance(stage, "T:sun", "title:sun:bob") == 700
    assert balance(stage, "T:sun", "title:sun:eve") == 100
    assert (wallet(stage, "bob"), wallet(stage, "eve")) == (MONEY - 800 + 90, MONEY - 90)
    assert rules_of(stage).systems["sun"].investors == ["ann", "bob", "eve"]


def test_title_may_be_given_away() -> None:
    stage = offered(price_stroops=0)
    assert stage.when("eve", "take", OFFER)
    assert wallet(stage, "eve") == MONEY


def test_return_accrues_on_the_title_of_before_in_the_same_decision() -> None:
    stage = held()
    stage.when("bob", "offer", offer(shares=800, expires_at=START + timedelta(days=300)))
    advance(stage, 200 * DAY_S)
    facts = stage.when("eve", "take", OFFER)
    assert [type(fact) for fact in facts] == [ReturnAccrued, ReturnAccrued, SharesTransferred]
    for fact in facts[:-1]:
        assert isinstance(fact, ReturnAccrued)
        assert {move.member for move in fact.moves} == {"ann", "bob"}
    asked = rules_of(stage).authority
    assert asked is not None
    assert stage.when("eve", "take", OFFER) == []  # the repeat is answered, and appends nothing


def test_who_bought_title_shares_in_the_next_accrual() -> None:
    stage = held()
    stage.when("bob", "offer", offer(shares=800, expires_at=START + timedelta(days=300)))
    advance(stage, 100 * DAY_S)
    stage.when("eve", "take", OFFER)
    drafts = rules_of(stage).returns.accrue_system("sun", START + timedelta(days=300))
    members = {m.member for d in drafts if isinstance(d.fact, ReturnAccrued) for m in d.fact.moves}
    assert members == {"ann", "eve"}


@pytest.mark.parametrize(
    ("stage", "member", "body", "code"),
    [
        (accepted, "bob", offer(801), "insufficient-shares"),
        (accepted, "eve", offer(1, to_member="bob"), "insufficient-shares"),
        (accepted, "bob", offer(to_member="bob"), "same-party"),
        (accepted, "bob", offer(to_member="nobody"), "unknown-party"),
        (accepted, "bob", offer(expires_at=START), "expiry-past"),
        (accepted, "bob", offer(expires_at=START + timedelta(days=400)), "expiry-too-far"),
        (accepted, "bob", offer(system="moon"), "unknown-system"),
        (lambda: with_own_title(held(), 5), "home", offer(1), "own-title-locked"),
        (lambda: with_own_title(held(), 5), "home", offer(6), "insufficient-shares"),
        (accepted, "eve", OFFER, "offer-unknown"),
        (offered, "ann", OFFER, "not-your-offer"),
        (lambda: offered(price_stroops=MONEY + 1), "eve", OFFER, "insufficient-funds"),
        (lambda: with_own_title(agreed(offered()), 701), "eve", OFFER, "insufficient-shares"),
        (held, "next", TO_NEXT, "not-your-holding"),
        (held, "home", OfferHolding(holding="x", to_member="next"), "unknown-holding"),
        (held, "home", OfferHolding(holding="h", to_member="ann"), "no-recipient"),
        (held, "home", OfferHolding(holding="h", to_member="nobody"), "unknown-party"),
        (held, "home", OfferHolding(holding="h", to_member="home"), "offer-unknown"),
        (held, "next", AcceptHolding(holding="h"), "offer-unknown"),
        (holding_offered, "home", AcceptHolding(holding="h"), "not-your-offer"),
        (moving, "home", OfferHolding(holding="h", to_member="home"), "holding-moving"),
        (moving, "next", AcceptHolding(holding="h"), "holding-moving"),
    ],
)
def test_what_breaks_a_rule_of_handing_over_is_refused_and_changes_nothing(
    stage: object, member: str, body: Body, code: str
) -> None:
    assert callable(stage)
    assert refusal_of(stage(), member, body)[0] == code


@pytest.mark.parametrize(("seconds", "is_open"), [(-1, True), (0, False), (1, False)])
def test_an_offer_is_open_until_the_second_at_which_it_expires(
    seconds: int, *, is_open: bool
) -> None:
    stage = offered()
    advance(stage, DAY_S + seconds)
    if is_open:
        assert stage.when("eve", "take", OFFER)
    else:
        assert refusal_of(stage, "eve", OFFER)[0] == "offer-expired"


def test_an_offer_is_accepted_once() -> None:
    stage = offered()
    stage.when("eve", "take", OFFER)
    assert refusal_of(stage, "eve", OFFER)[0] == "offer-unknown"


def test_a_member_has_at_most_a_hundred_open_offers_and_expired_ones_do_not_count() -> None:
    stage = accepted()
    for number in range(100):
        stage.when("bob", str(number), offer(1))
    assert refusal_of(stage, "bob", offer(1))[0] == "too-many-offers"
    advance(stage, DAY_S)
    later = START + timedelta(days=3)
    assert stage.when("bob", "later", offer(1, expires_at=later))
    for number in range(99):
        stage.when("bob", f"again-{number}", offer(1, expires_at=later))
    assert refusal_of(stage, "bob", offer(1, expires_at=later))[0] == "too-many-offers"


def test_a_holding_moves_whole_when_its_billing_period_ends() -> None:
    stage = holding_offered()
    assert isinstance(stage.history.facts[-1].fact, HoldingOffered)
    advance(stage, 14 * DAY_S)
    (fact,) = stage.when("next", "take", AcceptHolding(holding="h"))
    assert isinstance(fact, HoldingAccepted)
    assert fact.effective_at == datetime(2026, 7, 1, 6, tzinfo=UTC)  # midnight in Denver
    advance(stage, 30 * DAY_S + 6 * 3_600 - 1)
    assert rules_of(stage).systems.holdings["h"].recipient == "home"
    advance(stage, 30 * DAY_S + 6 * 3_600)
    moved = [each.fact for each in stage.history.facts if isinstance(each.fact, HoldingTransferred)]
    assert [(each.from_member, each.to_member, each.agreement) for each in moved] == [
        ("home", "next", "agr-h")
    ]
    assert rules_of(stage).systems.holdings["h"].recipient == "next"
    assert stage.follow_up() == []


@pytest.mark.parametrize(
    ("period", "end"),
    [("14d", date(2026, 6, 15)), ("28d", date(2026, 6, 29)), ("month", date(2026, 7, 1))],
)
def test_every_kind_of_period_ends_at_the_sites_midnight(period: str, end: date) -> None:
    stage = agreed(operating(), period=period)
    stage.when("home", "offer", TO_NEXT)
    advance(stage, 3 * DAY_S)
    (fact,) = stage.when("next", "take", AcceptHolding(holding="h"))
    assert isinstance(fact, HoldingAccepted)
    assert fact.effective_at == datetime(end.year, end.month, end.day, 6, tzinfo=UTC)


def test_a_holding_without_an_agreement_moves_at_the_next_local_midnight() -> None:
    stage = operating()
    stage.when("home", "offer", TO_NEXT)
    (fact,) = stage.when("next", "take", AcceptHolding(holding="h"))
    assert isinstance(fact, HoldingAccepted)
    assert fact.effective_at == START + timedelta(hours=6)
    advance(stage, DAY_S)
    moved = stage.history.facts[-1].fact
    assert isinstance(moved, HoldingTransferred)
    assert moved.agreement is None


def test_an_offer_of_a_holding_can_be_taken_back_and_replaced() -> None:
    stage = holding_offered()
    assert stage.when("home", "back", OfferHolding(holding="h", to_member="home"))
    assert refusal_of(stage, "next", AcceptHolding(holding="h"))[0] == "offer-unknown"
    assert stage.when("home", "again", TO_NEXT)
    assert stage.when("next", "take", AcceptHolding(holding="h"))


def test_a_holding_that_moved_can_move_on() -> None:
    stage = moving()
    advance(stage, 31 * DAY_S)
    stage.when("next", "offer", OfferHolding(holding="h", to_member="home"))
    stage.when("home", "take", AcceptHolding(holding="h"))
    advance(stage, 62 * DAY_S)
    assert rules_of(stage).systems.holdings["h"].recipient == "home"


def test_a_holding_that_is_reclaimed_before_its_period_ends_does_not_move() -> None:
    stage = moving()
    fact = HoldingReclaimed(
        holding="h",
        system="sun",
        agreement="agr-h",
        member="home",
        units=600,
        moves=(),
        command=ANY_COMMAND_SIGNED,
    )
    stage.given(stage.history.record(LEDGER, "h", fact))
    advance(stage, 31 * DAY_S)
    assert not [f for f in stage.history.facts if isinstance(f.fact, HoldingTransferred)]


def test_own_title_of_a_reclaimed_holding_becomes_ordinary_title_that_can_be_offered() -> None:
    stage = with_own_title(held(), 5)
    fact = HoldingReclaimed(
        holding="h",
        system="sun",
        agreement="agr-h",
        member="home",
        units=600,
        moves=(TitleMove(member="home", shares=5),),
        command=ANY_COMMAND_SIGNED,
    )
    stage.given(stage.history.record(LEDGER, "h", fact))
    assert balance(stage, "T:sun", "title:sun:home") == 5
    assert "home" in rules_of(stage).systems["sun"].investors
    assert stage.when("home", "offer", offer(5))
