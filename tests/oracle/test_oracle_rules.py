"""The oracle's rules by given / when / then: time moves forward only, prices are above zero."""

from datetime import timedelta

import pytest

from libs.events.billing_commands import PublishTariff
from libs.events.commands import AdvanceTime
from libs.events.pricing import TariffPrices, TariffPublished
from libs.events.system_commands import Pay
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.rules.authority import Authority
from libs.runtime.failures import NotYet, Refused
from services.oracle.domain import Oracle
from tests.histories import DEPLOYMENT, START, Stage

FOLLOWERS = {"READINGS_0": "ingest", "LEDGER_pilot": "ledger", "BILLING_pilot": "billing"}


def oracle(*, played: bool = True) -> Stage:
    rules = Oracle(
        authority=Authority(deployment=DEPLOYMENT, service="oracle", book="main"),
        stream="PRICES",
        followers=FOLLOWERS,
        played_from=START if played else None,
    )
    stage = Stage(rules, "PRICES", "main")
    stage.given(stage.history.register("approver", "approver"))
    stage.given(stage.history.register("home", "recipient"))
    stage.follow_up()
    return stage


def all_reached(stage: Stage, time: object = START) -> None:
    for stream in FOLLOWERS:
        stage.given(stage.history.record(stream, "time", TimeReached.model_validate({"to": time})))


def tariff(**changes: object) -> PublishTariff:
    values = {
        "tariff": "fixed",
        "asset": "USD",
        "price_stroops_per_kwh": 2_000_000,
        "effective_from": START,
    }
    return PublishTariff.model_validate(values | changes)


def test_played_time_begins_once_at_its_first_time() -> None:
    stage = oracle()
    assert [fact.fact for fact in stage.history.facts][2:] == [
        TimeAdvanced(to=START, cadence_s=86_400)
    ]
    assert stage.follow_up() == []


def test_played_time_advances_when_every_follower_has_reached_the_last() -> None:
    stage = oracle()
    all_reached(stage)
    to = START + timedelta(days=1)
    (fact,) = stage.when("approver", "t1", AdvanceTime(to=to))
    assert isinstance(fact, TimeAdvanced)
    assert (fact.to, fact.cadence_s) == (to, 86_400)


def test_a_follower_that_is_behind_holds_the_clock() -> None:
    stage = oracle()
    with pytest.raises(NotYet) as refusal:
        stage.when("approver", "t1", AdvanceTime(to=START + timedelta(days=1)))
    assert refusal.value.code == "time-not-reached"


def test_a_service_that_is_declared_down_does_not_hold_the_clock() -> None:
    stage = oracle()
    all_reached(stage)
    stage.when("approver", "t1", AdvanceTime(to=START + timedelta(days=1)))
    stage.now = START + timedelta(days=1)
    down = ("ingest", "ledger", "billing")
    (fact,) = stage.when("approver", "t2", AdvanceTime(to=START + timedelta(days=2), down=down))
    assert isinstance(fact, TimeAdvanced)


@pytest.mark.parametrize("days", [0, -1])
def test_time_never_stands_or_runs_back(days: int) -> None:
    stage = oracle()
    all_reached(stage)
    with pytest.raises(Refused) as refusal:
        stage.when("approver", "t1", AdvanceTime(to=START + timedelta(days=days)))
    assert (refusal.value.code, refusal.value.field) == ("time-not-later", "body.to")


def test_a_real_clock_is_not_moved_by_a_command() -> None:
    stage = oracle(played=False)
    stage.advance(0)
    with pytest.raises(Refused) as refusal:
        stage.when("approver", "t1", AdvanceTime(to=START + timedelta(days=1)))
    assert refusal.value.code == "real-time"


def test_a_real_clock_ticks_forward_only() -> None:
    stage = oracle(played=False)
    rules = stage.rules
    assert isinstance(rules, Oracle)
    (draft,) = rules.tick(START, 60)
    assert draft.fact == TimeAdvanced(to=START, cadence_s=60)
    stage.advance(0)
    assert rules.tick(START, 60) == ()
    assert rules.tick(START - timedelta(seconds=1), 60) == ()


def test_a_tariff_gets_versions_without_gaps() -> None:
    stage = oracle()
    (first,) = stage.when("approver", "p1", tariff())
    later = tariff(effective_from=START + timedelta(days=1), price_stroops_per_kwh=1)
    (second,) = stage.when("approver", "p2", later)
    assert isinstance(first, TariffPublished)
    assert isinstance(second, TariffPublished)
    assert (first.version, second.version) == (1, 2)
    assert first.prices == TariffPrices(price_stroops_per_kwh=2_000_000)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"price_stroops_per_kwh": 0}, "price-not-positive"),
        ({"effective_from": START - timedelta(seconds=1)}, "effective-in-the-past"),
    ],
)
def test_a_tariff_that_breaks_a_rule_is_refused(changes: dict[str, object], code: str) -> None:
    with pytest.raises(Refused) as refusal:
        oracle().when("approver", "p1", tariff(**changes))
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, "overlapping-tariff"),
        ({"effective_from": START + timedelta(days=1), "asset": "EUR"}, "wrong-asset"),
    ],
)
def test_a_second_version_that_breaks_a_rule_is_refused(
    changes: dict[str, object], code: str
) -> None:
    stage = oracle()
    stage.when("approver", "p1", tariff())
    with pytest.raises(Refused) as refusal:
        stage.when("approver", "p2", tariff(**changes))
    assert refusal.value.code == code


@pytest.mark.parametrize(
    "body", [tariff(), AdvanceTime(to=START + timedelta(days=1))], ids=["tariff", "time"]
)
def test_only_an_approver_may_ask(body: PublishTariff | AdvanceTime) -> None:
    stage = oracle()
    all_reached(stage)
    with pytest.raises(Refused) as refusal:
        stage.when("home", "x", body)
    assert refusal.value.code == "wrong-role"


def test_a_command_for_another_service_is_refused() -> None:
    with pytest.raises(Refused) as refusal:
        oracle().when("home", "x", Pay(agreement="home", amount_stroops=1))
    assert refusal.value.code == "wrong-service"


def test_a_repeated_command_changes_nothing() -> None:
    stage = oracle()
    assert len(stage.when("approver", "p1", tariff())) == 1
    assert stage.when("approver", "p1", tariff()) == []
