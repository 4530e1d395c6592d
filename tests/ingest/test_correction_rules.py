"""The rules of corrections: who may change which recorded interval, by how much, how late."""

from datetime import timedelta
from typing import Any

import pytest

from libs.events.commands import CorrectReading, EnrolMeter
from libs.events.fact import Fact
from libs.events.jws import parse, verify_signature
from libs.events.metering import ReadingCorrected, RegisterValue
from libs.events.positions import Position
from libs.rules.rating import CORRECTABLE_S
from libs.runtime.failures import HeliographError, NotFound, Refused
from services.ingest.corrections import LookBackNeeded, Looked
from tests.histories import key_of, signed
from tests.ingest.reporting import STEP_S, Site, accepted, at, payload

LIMIT_WH = 500
"""What 2,000 W allow in a quarter of an hour."""


class Corrected(Site):
    """A site whose approver corrects readings, and whose edge looks into the stream."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.now = at(8)
        for member, role in (("approver", "approver"), ("home", "recipient")):
            self.rules.evolve(self.history.register(member, role))
        assert accepted(self.send(payload(1, 0, 100, 0, 30, 40)))
        assert accepted(self.send(payload(2, 4, 50, 60, start=170)))
        self.advance(self.now)

    def correct(self, body: CorrectReading, command_id: str = "c1", **claims: Any) -> list[Fact]:
        """What an accepted correction leads to; the stream is asked when the rules want it."""
        member = claims.pop("member", "approver")
        text = signed(member, command_id, body, "0", self.now, **claims)
        message = parse(text, "hg-command+jws")
        verify_signature(message)
        read = {"READINGS_0": Position.start("READINGS_0")}
        for _ in range(2):
            order, _known = self.rules.authority.judge(message, text, read)
            if order is None:
                return []
            try:
                return self.record(self.rules.correct(order))
            except LookBackNeeded as error:
                self.looks += 1
                looked = Looked(error.asked, self.history.ends["READINGS_0"])
                for recorded in self.history.facts:
                    if recorded.stream == "READINGS_0":
                        looked.evolve(recorded)
                self.rules.corrections.look(looked)
        raise AssertionError("asked twice")


def correction(first: int = 0, *deltas: int, **more: Any) -> CorrectReading:
    values = {
        "meter": "home-1",
        "first_interval_at": at(first),
        "interval_s": STEP_S,
        "registers": ({"name": "consumed", "deltas_wh": deltas or (5,)},),
        "reason": "the clamp sat on the wrong wire",
    }
    return CorrectReading.model_validate(values | more)


def test_an_approver_corrects_recorded_intervals() -> None:
    site = Corrected()
    (fact,) = site.correct(correction(2, -30, 0, 400))
    assert isinstance(fact, ReadingCorrected)
    assert (fact.meter, fact.correction) == ("home-1", "approver.c1")
    assert fact.registers[0].deltas_wh == (-30, 0, 400)
    recorded = site.history.facts[-1]
    assert (recorded.envelope.key, recorded.envelope.id) == ("home-1", "approver.c1.corrected")
    assert recorded.envelope.time == site.now
    assert site.looks == 1


def test_a_correction_leaves_the_devices_own_chain_as_it_was_signed() -> None:
    site = Corrected()
    head = site.head
    site.correct(correction(0, -100))
    assert site.head == head
    assert accepted(site.send(payload(3, 6, 7, start=280)))


def test_a_repeated_correction_is_answered_without_a_second_fact() -> None:
    site = Corrected()
    site.correct(correction(0, -100))
    assert site.correct(correction(0, -100)) == []


def test_a_correction_adds_to_those_before_it() -> None:
    site = Corrected()
    site.correct(correction(0, -60))
    with pytest.raises(Refused) as refusal:
        site.correct(correction(0, -41), "c2")
    assert refusal.value.code == "below-zero"
    assert site.correct(correction(0, -40), "c3")
    assert site.looks == 3


def test_what_was_looked_up_counts_once() -> None:
    site = Corrected()
    with pytest.raises(Refused):
        site.correct(correction(0, -101))
    assert site.correct(correction(0, -100), "c2")
    assert site.looks == 2, "a reading may have filled a gap since"


PAIR = ({"name": "consumed", "deltas_wh": (1, 1)},)

BROKEN: list[tuple[str, dict[str, Any]]] = [
    ("unknown-meter", {"meter": "other"}),
    ("wrong-registers", {"registers": ({"name": "generated", "deltas_wh": (1,)},)}),
    ("wrong-registers", {"registers": ({"name": "consumed", "deltas_wh": (1,)},) * 2}),
    ("nothing-changes", {"registers": ({"name": "consumed", "deltas_wh": (0, 0)},)}),
    ("interval-not-multiple", {"interval_s": 1_000}),
    ("interval-not-multiple", {"first_interval_at": at(0) + timedelta(seconds=60)}),
    ("before-enrolment", {"first_interval_at": at(-1)}),
    ("not-recorded", {"first_interval_at": at(6)}),
    ("not-recorded", {"first_interval_at": at(5), "registers": PAIR}),
    ("not-recorded", {"interval_s": 300}),
    ("below-zero", {"registers": ({"name": "consumed", "deltas_wh": (-101,)},)}),
    ("below-zero", {"registers": ({"name": "consumed", "deltas_wh": (0, -1)},)}),
    ("impossible-energy", {"registers": ({"name": "consumed", "deltas_wh": (LIMIT_WH + 1,)},)}),
    ("impossible-energy", {"registers": ({"name": "consumed", "deltas_wh": (-LIMIT_WH - 1,)},)}),
    ("impossible-energy", {"registers": ({"name": "consumed", "deltas_wh": (401,)},)}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "changes"), BROKEN)
def test_a_correction_that_breaks_a_rule_is_refused(code: str, changes: dict[str, Any]) -> None:
    site = Corrected()
    before = len(site.history.facts)
    with pytest.raises(HeliographError) as refusal:
        site.correct(correction(**changes))
    assert refusal.value.code == code
    assert isinstance(refusal.value, NotFound if code == "unknown-meter" else Refused)
    assert len(site.history.facts) == before


def test_registers_must_cover_the_same_intervals() -> None:
    site = Corrected()
    starts = tuple(RegisterValue(name=name, value_wh=0) for name in ("generated", "consumed"))
    site.enrol("pv-1", role="generation", holding=None, starts=starts)
    registers = (
        {"name": "generated", "deltas_wh": (1, 2)},
        {"name": "consumed", "deltas_wh": (1,)},
    )
    with pytest.raises(Refused) as refusal:
        site.correct(correction(meter="pv-1", registers=registers))
    assert refusal.value.code == "registers-differ"


def test_only_an_approver_corrects_and_nothing_is_looked_up_for_others() -> None:
    site = Corrected()
    with pytest.raises(Refused) as refusal:
        site.correct(correction(), member="home")
    assert (refusal.value.code, site.looks) == ("wrong-role", 0)


def test_a_gap_cannot_be_corrected() -> None:
    site = Corrected()
    assert accepted(site.send(payload(4, 10, 7, start=300)))
    site.now = at(20)
    site.advance(site.now)
    with pytest.raises(Refused) as refusal:
        site.correct(correction(7, 5))
    assert refusal.value.code == "not-recorded"


@pytest.mark.parametrize(("late_s", "code"), [(0, None), (1, "too-old")])
def test_intervals_are_corrected_for_35_days(late_s: int, code: str | None) -> None:
    site = Corrected()
    site.now = at(0) + timedelta(seconds=CORRECTABLE_S + late_s)
    site.advance(site.now)
    if code is None:
        assert site.correct(correction())
        return
    with pytest.raises(Refused) as refusal:
        site.correct(correction())
    assert refusal.value.code == code


def test_what_is_no_correction_is_refused() -> None:
    site = Corrected()
    body = EnrolMeter.model_validate(
        {
            "meter": "pv-1",
            "address": key_of("teller").address,
            "role": "generation",
            "system": "sunrise",
            "site": "rooftop",
            "nameplate_w": 1,
            "starts": (),
        }
    )
    text = signed("approver", "c1", body, "0", site.now)
    order, _ = site.rules.authority.judge(parse(text, "hg-command+jws"), text, {})
    assert order is not None
    with pytest.raises(Refused) as refusal:
        site.rules.correct(order)
    assert refusal.value.code == "wrong-service"
