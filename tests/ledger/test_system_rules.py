"""Stages one at a time, holdings, and the system that is paid off, by given / when / then."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.books import TitleMove
from libs.events.command import Body
from libs.events.supply import FirstLossCovered
from libs.events.system_commands import (
    AcceptRaise,
    AdvanceStage,
    ApproveSystem,
    CancelRaise,
    DocumentNamed,
)
from libs.events.systems import (
    CoverReleased,
    HoldingOwned,
    HoldingReclaimed,
    StageAdvanced,
    SystemPaidOff,
    SystemProposed,
)
from libs.rules.stages import STAGES, walk
from tests.histories import ANY_COMMAND_SIGNED, Stage
from tests.ledger.raises import (
    COVER,
    LEDGER,
    MONEY,
    PRICE,
    SEED,
    TERMS,
    UNITS,
    accepted,
    advance,
    agreed,
    cast,
    full,
    hash_of,
    hold,
    in_stage,
    operating,
    propose,
    proposed,
    refusal_of,
    rules_of,
    walked,
    wallet,
)

STAGES_LEFT_BY_COMMAND = [rule.stage for rule in STAGES if rule.roles]


def next_step(stage_number: int) -> AdvanceStage:
    ((_, body),) = walk("sun", stage_number, stage_number + 1, hash_of)
    return body


def changed(stage_number: int, **changes: object) -> AdvanceStage:
    return next_step(stage_number).model_copy(update=changes)


def with_hash(stage_number: int, sha256: str) -> AdvanceStage:
    kind = STAGES[stage_number].documents[0]
    return changed(stage_number, documents=(DocumentNamed(kind=kind, sha256=sha256),))


def owned(stage: Stage, holding: str, member: str) -> None:
    """The last principal of a holding was repaid: its `HoldingOwned` stands in the book."""
    units = rules_of(stage).systems.holdings[holding].units
    fact = HoldingOwned(
        holding=holding,
        system="sun",
        agreement=f"agr-{holding}",
        member=member,
        units=units,
        asset="USD",
    )
    stage.given(stage.history.record(LEDGER, holding, fact, time=stage.now))


def reach(stage_number: int) -> Stage:
    """The system in any stage that is left by a command."""
    if stage_number <= 4:
        return in_stage(stage_number)
    if stage_number == 5:
        return accepted()
    if stage_number == 6:
        stage = walked(accepted(), 5, 6)
        stage.when("approver", "hold", hold(UNITS))
        return stage
    stage = operating()
    owned(stage, "h", "home")
    owned(stage, "h2", "next")
    stage.follow_up()
    return stage


def test_a_proposal_says_to_whom_it_is_sold_and_what_seed_and_cover_there_are() -> None:
    stage = proposed(offtaker="eve")
    fact = stage.history.facts[-1].fact
    assert isinstance(fact, SystemProposed)
    assert (fact.recipient, fact.seed, fact.cover_stroops, fact.offtaker) == (
        "home",
        SEED,
        COVER,
        "eve",
    )


def test_a_proposal_without_the_new_members_has_neither_seed_nor_cover_nor_recipient() -> None:
    stage = proposed(recipient=None, seed=None, cover_stroops=None)
    fact = stage.history.facts[-1].fact
    assert isinstance(fact, SystemProposed)
    assert (fact.recipient, fact.seed, fact.cover_stroops, fact.offtaker) == (None, None, 0, None)


@pytest.mark.parametrize("number", STAGES_LEFT_BY_COMMAND)
def test_every_stage_is_left_by_its_checklist_its_document_and_its_role(number: int) -> None:
    stage = reach(number)
    assert rules_of(stage).systems["sun"].stage == number
    walked(stage, number, number + 1)
    fact = stage.history.facts[-1].fact
    assert isinstance(fact, StageAdvanced)
    assert (fact.from_stage, fact.to_stage) == (number, number + 1)
    assert fact.checklist == STAGES[number].checklist
    assert [each.kind for each in fact.documents] == list(STAGES[number].documents)
    assert rules_of(stage).systems["sun"].stage == number + 1


@pytest.mark.parametrize("number", STAGES_LEFT_BY_COMMAND)
@pytest.mark.parametrize("sha256", ["", "0" * 62, "0" * 66, "g" * 64, "0" * 63 + " ", "00 " * 32])
def test_a_document_hash_of_another_length_or_not_in_hexadecimal_is_refused(
    number: int, sha256: str
) -> None:
    signer = "approver" if "approver" in STAGES[number].roles else "dev"
    code, field, text = refusal_of(reach(number), signer, with_hash(number, sha256))
    assert (code, field) == ("document-hash", "body.documents.0.sha256")
    assert "32 bytes" in text


def test_a_hash_in_upper_case_is_the_same_hash() -> None:
    stage = in_stage(0)
    (fact,) = stage.when("dev", "1", with_hash(0, "AB" * 32))
    assert isinstance(fact, StageAdvanced)
    assert fact.documents[0].sha256 == "ab" * 32


@pytest.mark.parametrize("name", ["localtime", "posixrules", "posix/UTC", "right/UTC", "Mars/Base"])
def test_a_time_zone_that_is_not_the_same_everywhere_is_refused(name: str) -> None:
    code, field, _ = refusal_of(cast(), "dev", propose(time_zone=name))
    assert (code, field) == ("unknown-time-zone", "body.time_zone")


def test_a_checklist_that_is_incomplete_names_what_is_missing() -> None:
    body = changed(0, checklist=("site-inspected",))
    code, field, text = refusal_of(in_stage(0), "dev", body)
    assert (code, field) == ("checklist-incomplete", "body.checklist")
    assert "recipient-agreed" in text
    assert "site-inspected" not in text


@pytest.mark.parametrize(
    ("stage", "member", "body", "code"),
    [
        (proposed, "dev", next_step(0), "not-approved"),
        (lambda: in_stage(0), "dev", next_step(0).model_copy(update={"system": "moon"}),
         "unknown-system"),
        (lambda: in_stage(0), "other-dev", next_step(0), "wrong-role"),
        (lambda: in_stage(0), "approver", next_step(0), "wrong-role"),
        (lambda: in_stage(2), "other-dev", next_step(2), "wrong-role"),
        (lambda: in_stage(3), "dev", next_step(3), "wrong-role"),
        (lambda: in_stage(4), "approver", changed(3, to_stage=5), "stage-by-itself"),
        (full, "approver", changed(3, to_stage=5), "stage-by-itself"),
        (accepted, "home", next_step(5), "wrong-role"),
        (operating, "approver", changed(6, to_stage=8), "stage-by-itself"),
        (lambda: in_stage(0), "dev", changed(0, checklist=(*STAGES[0].checklist, "bribe-paid")),
         "checklist-unknown-item"),
        (lambda: in_stage(0), "dev",
         changed(0, checklist=(*STAGES[0].checklist, STAGES[0].checklist[0])),
         "checklist-item-twice"),
        (lambda: in_stage(0), "dev", changed(0, documents=()), "document-missing"),
        (lambda: in_stage(0), "dev",
         changed(0, documents=(DocumentNamed(kind="photo", sha256="0" * 64),)),
         "document-missing"),
        (lambda: walked(accepted(), 5, 6), "approver", next_step(6), "holdings-incomplete"),
        (accepted, "approver", hold(UNITS + 1), "more-than-left"),
        (full, "approver", hold(1), "raise-not-accepted"),
        (accepted, "approver", hold(1, recipient="ann"), "no-recipient"),
        (accepted, "dev", hold(1), "wrong-role"),
        (cast, "eve", propose(), "wrong-role"),
        (cast, "dev", propose(recipient="ann"), "no-recipient"),
        (cast, "dev", propose(recipient="nobody"), "no-recipient"),
        (cast, "dev", propose(offtaker="nobody"), "unknown-party"),
        (cast, "dev", propose(price_stroops=SEED.cap_stroops), "seed-cap"),
        (lambda: in_stage(0), "approver", ApproveSystem(system="sun"), "already-approved"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_of_systems_is_refused_and_changes_nothing(
    stage: object, member: str, body: Body, code: str
) -> None:
    assert callable(stage)
    assert refusal_of(stage(), member, body)[0] == code


@pytest.mark.parametrize("number", STAGES_LEFT_BY_COMMAND)
@given(to_stage=st.integers(0, 9))
def test_no_stage_is_skipped_repeated_or_undone(number: int, to_stage: int) -> None:
    if to_stage == number + 1:
        return
    body = changed(number, to_stage=to_stage)
    signer = "approver" if "approver" in STAGES[number].roles else "dev"
    assert refusal_of(_reached(number), signer, body)[:2] == ("stage-skipped", "body.to_stage")


_STAGES: dict[int, Stage] = {}


def _reached(number: int) -> Stage:
    """The same system for every example: a refusal changes nothing."""
    if number not in _STAGES:
        _STAGES[number] = reach(number)
    return _STAGES[number]


def test_the_end_of_life_is_the_last_stage() -> None:
    stage = walked(reach(8), 8, 9)
    assert refusal_of(stage, "approver", changed(8, to_stage=9))[0] == "stage-skipped"


def test_a_cancelled_system_goes_through_no_further_stage() -> None:
    stage = in_stage(2)
    stage.when("approver", "cancel", CancelRaise(system="sun"))
    assert refusal_of(stage, "dev", next_step(2))[0] == "raise-cancelled"
    assert refusal_of(stage, "approver", ApproveSystem(system="sun"))[0] == "raise-cancelled"
    assert refusal_of(stage, "home", AcceptRaise(system="sun"))[0] == "raise-cancelled"


def test_the_contractor_or_any_developer_ends_construction() -> None:
    for signer in ("builder", "dev", "other-dev"):
        stage = accepted()
        assert stage.when(signer, "built", next_step(5))


def test_operation_begins_on_the_local_day_of_the_site() -> None:
    stage = accepted()
    advance(stage, 86_400 + 3 * 3_600)  # 2 June 03:00 UTC is still 1 June in Denver
    walked(stage, 5, 6)
    stage.when("approver", "hold", hold(UNITS))
    assert rules_of(stage).systems["sun"].stage7_day is None
    walked(stage, 6, 7)
    assert str(rules_of(stage).systems["sun"].stage7_day) == "2026-06-01"


def test_units_are_the_price_and_the_seed_uplift() -> None:
    stage = accepted()
    system = rules_of(stage).systems["sun"]
    assert (system.units, UNITS) == (PRICE + 40, PRICE + 40)
    stage.when("approver", "hold", hold(UNITS))
    assert refusal_of(stage, "approver", hold(1, "h2"))[0] == "more-than-left"


def test_a_system_has_at_most_ninety_holdings() -> None:
    stage = accepted()
    for number in range(90):
        stage.when("approver", f"hold-{number}", hold(1, f"h-{number}"))
    assert refusal_of(stage, "approver", hold(1, "h-90"))[0] == "too-many-holdings"


def test_the_last_owned_holding_pays_the_system_off_and_releases_cover() -> None:
    stage = operating()
    owned(stage, "h", "home")
    assert stage.follow_up() == []
    owned(stage, "h2", "next")
    last = stage.history.facts[-1]
    facts = stage.follow_up()
    assert [type(fact) for fact in facts] == [SystemPaidOff, StageAdvanced, CoverReleased]
    paid, on, released = facts
    assert isinstance(paid, SystemPaidOff)
    assert isinstance(on, StageAdvanced)
    assert isinstance(released, CoverReleased)
    assert paid.holding_count == 2
    assert (on.from_stage, on.to_stage, on.command) == (7, 8, None)
    assert (released.guarantor, released.amount_stroops) == ("guard", COVER)
    assert wallet(stage, "guard") == MONEY
    assert rules_of(stage).systems["sun"].paid_off
    written = {type(each.fact): each.envelope for each in stage.history.facts}
    assert written[SystemPaidOff].cause == f"{last.position} {last.envelope.id}"
    assert stage.follow_up() == []


def test_cover_that_was_used_up_is_not_released() -> None:
    stage = agreed(operating())
    fact = FirstLossCovered(
        holding="h",
        agreement="agr-h",
        system="sun",
        asset="USD",
        guarantor="guard",
        amount_stroops=COVER,
        returns=(),
        principal=(TitleMove(member="ann", shares=COVER),),
        cover_left_stroops=0,
    )
    stage.given(stage.history.record(LEDGER, "agr-h", fact))
    assert rules_of(stage).systems["sun"].investors == ["ann", "bob", "guard"]
    owned(stage, "h", "home")
    owned(stage, "h2", "next")
    assert [type(each) for each in stage.follow_up()] == [SystemPaidOff, StageAdvanced]
    assert rules_of(stage).systems.releasing == {}


def test_holdings_that_are_owned_before_operation_pay_the_system_off_when_it_begins() -> None:
    stage = walked(accepted(), 5, 6)
    stage.when("approver", "hold", hold(UNITS))
    owned(stage, "h", "home")
    assert stage.follow_up() == []
    walked(stage, 6, 7)
    assert [type(fact) for fact in stage.follow_up()][:2] == [SystemPaidOff, StageAdvanced]


def test_a_reclaimed_holding_frees_its_units_and_its_own_title_stays_its_holders() -> None:
    stage = agreed(operating())
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
    systems = rules_of(stage).systems
    owned(stage, "h2", "next")
    assert stage.follow_up() == []  # of all holdings that are left, but 600 units are nobody's
    assert [each.holding for each in systems.holdings_of("sun")] == ["h2"]
    assert systems.holdings["h"].status == "RECLAIMED"
    assert refusal_of(stage, "approver", hold(600))[0] == "holding-exists"
    assert stage.when("approver", "again", hold(600, "h3", "next"))
    assert stage.follow_up() == []  # 600 units are held by someone who owns nothing yet
    owned(stage, "h3", "next")
    assert isinstance(stage.follow_up()[0], SystemPaidOff)


def test_terms_with_return_and_a_minimum_payment_are_proposed_as_they_are() -> None:
    terms = TERMS.model_copy(update={"minimum_payment_stroops": 5})
    assert cast().when("dev", "1", propose(terms=terms))
