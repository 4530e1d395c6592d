"""Raising by given / when / then: two rounds, acceptance in three days, refunds to the stroop."""

import pytest

from libs.events.books import INVESTORS_MAX, SystemApproved, Terms, TitleMove
from libs.events.command import Body
from libs.events.commands import DepositFunds
from libs.events.quantities import INTEGER_MAX
from libs.events.system_commands import (
    AcceptRaise,
    CancelRaise,
    DepositCover,
    Invest,
)
from libs.events.systems import (
    CoverReleased,
    InvestmentMade,
    InvestmentRefunded,
    RaiseAccepted,
    RaiseCancelled,
    SeedRound,
    StageAdvanced,
)
from libs.events.versions import InvestmentMadeV1, RaiseAcceptedV1, SystemProposedV1
from tests.histories import ANY_COMMAND_SIGNED, START, Stage
from tests.ledger.raises import (
    COVER,
    LEDGER,
    MONEY,
    PRICE,
    TERMS,
    UNITS,
    accepted,
    advance,
    balance,
    cast,
    full,
    hold,
    in_stage,
    invest,
    proposed,
    refusal_of,
    rules_of,
    walked,
    wallet,
)

THREE_DAYS_S = 259_200


def titles(stage: Stage) -> dict[str, int]:
    return rules_of(stage).books.accounts("T:sun", "title:sun:")


def test_seed_money_reserves_more_units_than_stroops_and_the_uplift_is_issued_with_it() -> None:
    stage = in_stage(1)
    (fact,) = stage.when("ann", "seed", invest(200))
    assert isinstance(fact, InvestmentMade)
    assert (fact.round, fact.amount_stroops, fact.units) == ("seed", 200, 240)
    assert balance(stage, "T:sun", "issued:sun") == PRICE + 40
    assert balance(stage, "T:sun", "reserved:sun:ann") == 240
    assert balance(stage, "T:sun", "approver:sun") == PRICE - 200
    assert balance(stage, "U:USD", "escrow:sun:ann") == 200


def test_an_uplift_is_rounded_half_to_even() -> None:
    stage = in_stage(1, seed=SeedRound(factor_ppm=1_500_000, cap_stroops=300))
    made = [stage.when("ann", str(n), invest(n))[0] for n in (1, 3, 5)]
    assert [fact.units for fact in made if isinstance(fact, InvestmentMade)] == [2, 4, 8]


def test_in_the_raise_a_stroop_reserves_a_unit() -> None:
    stage = in_stage(4)
    (fact,) = stage.when("ann", "1", invest(600))
    assert isinstance(fact, InvestmentMade)
    assert (fact.round, fact.units, fact.is_at_risk) == ("raise", 600, False)
    assert balance(stage, "T:sun", "issued:sun") == PRICE


def test_acceptance_moves_money_and_title_and_leads_into_construction_in_one_decision() -> None:
    stage = full()
    accepted_fact, on = stage.when("home", "accept", AcceptRaise(system="sun"))
    assert isinstance(accepted_fact, RaiseAccepted)
    assert isinstance(on, StageAdvanced)
    moves = [(each.member, each.shares, each.amount_stroops) for each in accepted_fact.moves]
    assert moves == [("ann", 240, 200), ("bob", 800, 800)]
    assert accepted_fact.units == UNITS
    assert (on.from_stage, on.to_stage, on.command) == (4, 5, None)
    assert balance(stage, "U:USD", "build:sun") == PRICE
    assert titles(stage) == {"title:sun:ann": 240, "title:sun:bob": 800}
    assert balance(stage, "T:sun", "issued:sun") == UNITS
    assert rules_of(stage).systems["sun"].stage == 5


def test_any_recipient_accepts_where_none_is_named() -> None:
    stage = full(recipient=None)
    assert stage.when("next", "accept", AcceptRaise(system="sun"))
    assert rules_of(stage).systems["sun"].recipient == "next"


@pytest.mark.parametrize(
    ("stage", "member", "body", "code"),
    [
        (proposed, "ann", invest(1), "raise-not-open"),
        (lambda: in_stage(0), "ann", invest(1), "raise-not-open"),
        (lambda: in_stage(1, seed=None), "ann", invest(1), "raise-not-open"),
        (lambda: in_stage(3, seed=None), "ann", invest(1), "raise-not-open"),
        (lambda: in_stage(3), "ann", invest(1), "seed-closed"),
        (lambda: in_stage(4), "ann", invest(1, is_at_risk=True), "seed-closed"),
        (lambda: in_stage(1), "ann", invest(301), "seed-cap"),
        (lambda: in_stage(4), "ann", invest(PRICE + 1), "more-than-left"),
        (full, "ann", invest(1), "more-than-left"),
        (accepted, "ann", invest(1), "raise-not-open"),
        (lambda: in_stage(4), "eve", invest(1), "wrong-role"),
        (lambda: in_stage(4), "ann", invest(1, "moon"), "unknown-system"),
        (lambda: in_stage(4, price_stroops=MONEY + 1), "ann", invest(MONEY + 1),
         "insufficient-funds"),
        (lambda: in_stage(4), "ann",
         Invest(system="sun", amount_stroops=1,
                terms=Terms(return_ppm_year=0, minimum_payment_stroops=0)), "other-terms"),
        (lambda: in_stage(4), "home", AcceptRaise(system="sun"), "raise-not-full"),
        (lambda: in_stage(3), "home", AcceptRaise(system="sun"), "raise-not-open"),
        (accepted, "home", AcceptRaise(system="sun"), "raise-not-open"),
        (full, "next", AcceptRaise(system="sun"), "not-the-recipient"),
        (full, "ann", AcceptRaise(system="sun"), "wrong-role"),
        (lambda: full(cover_stroops=COVER + 1), "home", AcceptRaise(system="sun"),
         "cover-missing"),
        (cast, "home", AcceptRaise(system="sun"), "unknown-system"),
        (cast, "approver", CancelRaise(system="sun"), "unknown-system"),
        (full, "home", CancelRaise(system="sun"), "wrong-role"),
        (accepted, "approver", CancelRaise(system="sun"), "raise-not-open"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_of_raising_is_refused_and_changes_nothing(
    stage: object, member: str, body: Body, code: str
) -> None:
    assert callable(stage)
    assert refusal_of(stage(), member, body)[0] == code


def test_the_cap_holds_for_the_seed_round_and_not_for_one_payment() -> None:
    stage = in_stage(1)
    stage.when("ann", "1", invest(200))
    walked(stage, 1, 2)
    assert refusal_of(stage, "bob", invest(101))[0] == "seed-cap"
    assert stage.when("bob", "2", invest(100))


def test_an_investor_makes_at_most_twenty_investments_in_a_system() -> None:
    stage = in_stage(4)
    for number in range(20):
        stage.when("ann", str(number), invest(1))
    assert refusal_of(stage, "ann", invest(1))[0] == "too-many-investments"
    assert stage.when("bob", "1", invest(PRICE - 20))


def test_a_system_has_no_more_units_than_a_fact_can_say() -> None:
    price = INTEGER_MAX - 10
    seed = SeedRound(factor_ppm=2_000_000, cap_stroops=20)
    stage = in_stage(1, price_stroops=price, seed=seed)
    assert refusal_of(stage, "ann", invest(11))[0] == "out-of-range"
    assert stage.when("ann", "1", invest(10))


def test_a_full_raise_can_be_accepted_until_a_second_before_three_days_are_over() -> None:
    stage = full()
    advance(stage, THREE_DAYS_S - 1)
    assert stage.when("home", "accept", AcceptRaise(system="sun"))
    advance(stage, THREE_DAYS_S)
    assert not any(isinstance(each.fact, RaiseCancelled) for each in stage.history.facts)


@pytest.mark.parametrize("seconds", [THREE_DAYS_S, THREE_DAYS_S + 1])
def test_three_days_after_it_was_full_a_raise_is_cancelled_and_everyone_is_refunded(
    seconds: int,
) -> None:
    stage = full()
    advance(stage, seconds)
    facts = [each.fact for each in stage.history.facts[-4:]]
    assert [type(fact) for fact in facts] == [
        RaiseCancelled,
        InvestmentRefunded,
        InvestmentRefunded,
        CoverReleased,
    ]
    assert isinstance(facts[0], RaiseCancelled)
    assert (facts[0].reason, facts[0].command) == ("not-accepted", None)
    assert [wallet(stage, each) for each in ("ann", "bob", "guard")] == [MONEY] * 3
    assert rules_of(stage).books.accounts("T:sun", "") == {
        "issued:sun": PRICE,
        "approver:sun": PRICE,
    }
    assert refusal_of(stage, "home", AcceptRaise(system="sun"))[0] == "raise-cancelled"
    assert refusal_of(stage, "ann", invest(1))[0] == "raise-cancelled"


def test_at_the_deadline_acceptance_is_refused_even_before_the_raise_is_cancelled() -> None:
    stage = full()
    stage.now = START.replace(day=4)
    stage.given(*stage.history.advance(stage.now))
    assert refusal_of(stage, "home", AcceptRaise(system="sun"))[0] == "raise-cancelled"
    assert isinstance(stage.follow_up()[0], RaiseCancelled)


def test_the_three_days_count_from_the_investment_that_filled_it() -> None:
    stage = in_stage(4, cover_stroops=None)
    stage.when("ann", "1", invest(1))
    advance(stage, 10 * 86_400)
    stage.when("bob", "2", invest(PRICE - 1))
    advance(stage, 10 * 86_400 + THREE_DAYS_S - 1)
    assert not rules_of(stage).systems["sun"].cancelled
    advance(stage, 10 * 86_400 + THREE_DAYS_S)
    assert rules_of(stage).systems["sun"].cancelled


def test_a_raise_that_is_not_full_has_no_deadline() -> None:
    stage = in_stage(4)
    stage.when("ann", "1", invest(PRICE - 1))
    advance(stage, 300 * 86_400)
    assert not rules_of(stage).systems["sun"].cancelled


def test_an_approver_cancels_a_raise_and_all_of_both_rounds_goes_back() -> None:
    stage = full()
    (fact,) = stage.when("second", "cancel", CancelRaise(system="sun"))
    assert isinstance(fact, RaiseCancelled)
    assert (fact.reason, fact.command is not None) == ("cancelled", True)
    refunds = [each for each in stage.follow_up() if isinstance(each, InvestmentRefunded)]
    found = [(each.investor, each.amount_stroops, each.units, each.to_member) for each in refunds]
    assert found == [("ann", 200, 240, "ann"), ("bob", 800, 800, "bob")]
    assert [wallet(stage, each) for each in ("ann", "bob", "guard")] == [MONEY] * 3
    assert refusal_of(stage, "approver", CancelRaise(system="sun"))[0] == "raise-cancelled"


def test_seed_money_at_risk_goes_to_the_proposer_and_the_rest_to_its_investor() -> None:
    stage = in_stage(1)
    stage.when("ann", "risk", invest(100, is_at_risk=True))
    stage.when("ann", "safe", invest(50))
    stage.when("approver", "cancel", CancelRaise(system="sun"))
    refunds = [each for each in stage.follow_up() if isinstance(each, InvestmentRefunded)]
    assert [(each.amount_stroops, each.to_member) for each in refunds] == [
        (100, "dev"),
        (50, "ann"),
    ]
    assert (wallet(stage, "ann"), wallet(stage, "dev")) == (MONEY - 100, 100)
    assert balance(stage, "T:sun", "issued:sun") == PRICE


def test_refunds_come_fifty_at_a_time_and_each_names_what_ended_the_raise() -> None:
    stage = in_stage(4)
    for investor in ("ann", "bob", "cid"):
        for number in range(20):
            stage.when(investor, str(number), invest(1))
    stage.when("approver", "cancel", CancelRaise(system="sun"))
    cancelled = stage.history.facts[-1]
    rules = rules_of(stage)
    first = rules.due()
    assert len(first) == 50
    assert {draft.cause for draft in first} == {f"{cancelled.position} {cancelled.envelope.id}"}
    assert {draft.time for draft in first} == {cancelled.envelope.time}
    assert len(stage.follow_up()) == 60
    assert [wallet(stage, each) for each in ("ann", "bob", "cid")] == [MONEY] * 3
    assert not rules.due()


def test_a_raise_takes_as_many_investors_as_one_fact_can_name() -> None:
    stage = in_stage(4)
    for number in range(INVESTORS_MAX):
        member = f"m{number}"
        stage.given(stage.history.register(member, "investor"))
        fact = InvestmentMade(
            investment=f"{member}.1",
            system="sun",
            investor=member,
            asset="USD",
            amount_stroops=1,
            round="raise",
            units=1,
            is_at_risk=False,
            terms=TERMS,
            command=ANY_COMMAND_SIGNED,
        )
        deposit = DepositFunds(member=member, asset="USD", amount_stroops=1)
        stage.when("approver", f"deposit-{number}", deposit)
        stage.given(stage.history.record(LEDGER, "sun", fact))
    assert refusal_of(stage, "ann", invest(1))[0] == "too-many-investors"
    cover = DepositCover(system="sun", amount_stroops=1)
    assert refusal_of(stage, "guard", cover)[0] == "too-many-investors"


def test_cover_that_came_too_late_for_the_deadline_does_not_save_the_raise() -> None:
    stage = full(cover_stroops=COVER + 1)
    advance(stage, THREE_DAYS_S - 1)
    assert refusal_of(stage, "home", AcceptRaise(system="sun"))[0] == "cover-missing"
    stage.when("guard", "more", DepositCover(system="sun", amount_stroops=1))
    assert stage.when("home", "accept", AcceptRaise(system="sun"))


def test_cover_that_comes_when_the_raise_is_full_gives_no_more_time() -> None:
    stage = full()
    advance(stage, 2 * 86_400)
    stage.when("guard", "more", DepositCover(system="sun", amount_stroops=1))
    assert rules_of(stage).systems["sun"].full_at == START
    advance(stage, THREE_DAYS_S)
    assert rules_of(stage).systems["sun"].cancelled


def _old(stage: Stage, *facts: object) -> Stage:
    for fact in facts:
        assert hasattr(fact, "fact_name")
        stage.given(stage.history.record(LEDGER, "old", fact))  # type: ignore[arg-type]
    return stage


def test_a_history_from_before_there_were_stages_goes_on_from_construction() -> None:
    terms = Terms(return_ppm_year=0, minimum_payment_stroops=0)
    common = {"system": "old", "asset": "USD", "command": ANY_COMMAND_SIGNED}
    system = SystemProposedV1.model_validate(
        common
        | {"proposer": "dev", "price_stroops": 10, "nameplate_w": 1, "site": "s"}
        | {"time_zone": "UTC", "rating_interval_s": 900, "terms": terms.model_dump()}
    )
    invested = InvestmentMadeV1.model_validate(
        common
        | {"investment": "ann.1", "investor": "ann", "amount_stroops": 10}
        | {"terms": terms.model_dump()}
    )
    taken = RaiseAcceptedV1.model_validate(
        common | {"recipient": "home", "moves": (TitleMove(member="ann", shares=10),)}
    )
    approved = SystemApproved(system="old", shares=10, command=ANY_COMMAND_SIGNED)
    stage = _old(cast(), system, approved, invested)
    advance(stage, 10 * 86_400)  # full for long: the deadline is one of stage 4 alone
    assert not rules_of(stage).systems["old"].cancelled
    _old(stage, taken)
    old = rules_of(stage).systems["old"]
    assert (old.stage, old.units, old.investors) == (5, 10, ["ann"])
    assert balance(stage, "U:USD", "build:old") == 10
    walked(stage, 5, 6, "old")
    body = hold(10, "old-h").model_copy(update={"system": "old"})
    stage.when("approver", "hold", body)
    walked(stage, 6, 7, "old")
    assert old.stage == 7
