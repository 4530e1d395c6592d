"""The rules of METERS: who may enrol which meter, and with what."""

from typing import Any

import pytest

from libs.events.metering import MeterEnrolled
from libs.events.subjects import partition_of
from libs.rules.authority import Authority
from libs.runtime.failures import Refused
from services.ingest.meters import Meters
from tests.histories import DEPLOYMENT, START, Stage, key_of
from tests.ingest.edge import enrolment


def stage(partition: int = 0, partitions: int = 1) -> Stage:
    book = str(partition)
    rules = Meters(
        authority=Authority(deployment=DEPLOYMENT, service="ingest", book=book),
        stream=f"METERS_{book}",
        partition=partition,
        partitions=partitions,
    )
    made = Stage(rules, f"METERS_{book}", book)
    made.given(
        made.history.register("approver", "approver"),
        made.history.register("household", "recipient"),
    )
    made.given(*made.history.advance(START))
    return made


def test_an_approver_enrols_a_meter() -> None:
    scene = stage()
    (fact,) = scene.when("approver", "c1", enrolment("pv-1"))
    assert isinstance(fact, MeterEnrolled)
    assert fact.address == key_of("teller").address
    recorded = scene.history.facts[-1]
    assert recorded.envelope.id == "approver.c1.meter"
    assert recorded.envelope.time == START
    assert scene.follow_up() == []


def test_one_key_may_serve_several_meters() -> None:
    scene = stage()
    scene.when("approver", "c1", enrolment("pv-1"))
    assert scene.when("approver", "c2", enrolment("home-1", "consumption"))
    assert scene.when("approver", "c3", enrolment("grid-1", "grid"))


def test_a_repeated_enrolment_is_answered_without_a_second_fact() -> None:
    scene = stage()
    scene.when("approver", "c1", enrolment("pv-1"))
    assert scene.when("approver", "c1", enrolment("pv-1")) == []


STARTS: tuple[Any, ...] = ({"name": "consumed", "value_wh": 0},)

BROKEN: list[tuple[str, str, dict[str, Any]]] = [
    ("meter-known", "body.meter", {"meter": "known"}),
    ("meter-reserved", "body.meter", {"meter": "time"}),
    ("meter-reserved", "body.meter", {"meter": "unknown"}),
    ("wrong-registers", "body.starts", {"starts": STARTS}),
    ("wrong-registers", "body.starts", {"starts": STARTS * 2}),
    ("wrong-registers", "body.starts", {"starts": ()}),
    ("wrong-registers", "body.starts", {"role": "grid"}),
    ("holding-not-allowed", "body.holding", {"holding": "home"}),
    ("holding-missing", "body.holding", {"role": "consumption", "starts": STARTS, "holding": None}),
]


@pytest.mark.parametrize(("code", "field", "change"), BROKEN)
def test_an_enrolment_that_breaks_a_rule_names_rule_and_field(
    code: str, field: str, change: dict[str, Any]
) -> None:
    scene = stage()
    scene.when("approver", "c1", enrolment("known"))
    values = {"meter": "pv-1"} | enrolment("pv-1").model_dump() | change
    with pytest.raises(Refused) as caught:
        scene.when("approver", "c2", type(enrolment("pv-1")).model_validate(values))
    assert (caught.value.code, caught.value.field) == (code, field)


def test_only_an_approver_may_enrol() -> None:
    with pytest.raises(Refused, match="wrong-role"):
        stage().when("household", "c1", enrolment("pv-1"))


def test_a_meter_is_enrolled_in_its_own_partition_only() -> None:
    right = partition_of("pv-1", 4)
    assert stage(right, 4).when("approver", "c1", enrolment("pv-1"))
    with pytest.raises(Refused, match="wrong-partition"):
        stage((right + 1) % 4, 4).when("approver", "c1", enrolment("pv-1"))
