"""The rules of ingest: which reports are readings, and the reason of every other."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.metering import ReadingRecorded, ReadingRefused, RegisterValue
from libs.events.timekeeping import TimeReached
from services.ingest import domain
from services.ingest.domain import Outcome
from services.ingest.past import Past
from tests.histories import History, key_of
from tests.ingest.reporting import START, Site, accepted, at, payload, reason, sign


def test_a_report_becomes_a_reading_with_the_head_after_it() -> None:
    site = Site()
    verdict = site.send(payload(1, 0, 100, 200))
    assert accepted(verdict)
    assert verdict.ours
    (recorded,) = site.own("ReadingRecorded")
    fact = recorded.fact
    assert isinstance(fact, ReadingRecorded)
    assert recorded.envelope.id == "home-1.1"
    assert recorded.envelope.key == "home-1"
    assert recorded.envelope.cause == "- home-1.1"
    assert recorded.envelope.time == at(2)
    assert fact.report.encode() == sign(payload(1, 0, 100, 200))
    assert fact.head.seq == 1
    assert fact.head.until_at == at(2)
    assert fact.head.registers == (RegisterValue(name="consumed", value_wh=300),)
    assert fact.head.gaps == ()


def test_consecutive_reports_leave_no_gap() -> None:
    site = Site()
    start = 0
    for seq in range(1, 6):
        assert accepted(site.send(payload(seq, 2 * seq - 2, 10, 20, start=start)))
        start += 30
    assert site.head.gaps == ()
    assert site.head.seq == 5


# What strangers send leaves no fact.


def tampered(data: bytes, part: int) -> bytes:
    parts = data.split(b".")
    letter = b"A" if parts[part][10:11] != b"A" else b"B"
    parts[part] = parts[part][:10] + letter + parts[part][11:]
    return b".".join(parts)


def with_header(**header: str) -> bytes:
    head = {"alg": "EdDSA", "kid": key_of("teller").address, "typ": "hg-report+jws"} | header
    text = base64.urlsafe_b64encode(json.dumps(head).encode()).rstrip(b"=")
    return b".".join((text, *sign(payload(1, 0, 1)).split(b".")[1:]))


STRANGERS: list[tuple[str, bytes, str]] = [
    ("bad-topic", sign(payload(1, 0, 1)), "rooftop.ho*me"),
    ("bad-topic", sign(payload(1, 0, 1)), "rooftop.>"),
    ("bad-topic", sign(payload(1, 0, 1)), "roof//top.home-1"),
    ("bad-topic", sign(payload(1, 0, 1)), "rooftop.home-1.more"),
    ("bad-topic", sign(payload(1, 0, 1)), "rooftop." + "a" * 65),
    ("too-large", b"a" * 65_537, "rooftop.home-1"),
    ("jws-compact-jws", b"not a message", "rooftop.home-1"),
    ("jws-compact-jws", "grün".encode(), "rooftop.home-1"),
    ("jws-base64url", b"a+b.c.d", "rooftop.home-1"),
    ("jws-header-json", b"AAAA.AAAA.AAAA", "rooftop.home-1"),
    ("jws-header-members", with_header(jku="https://evil.example"), "rooftop.home-1"),
    ("jws-alg", with_header(alg="none"), "rooftop.home-1"),
    ("jws-typ", with_header(typ="hg-command+jws"), "rooftop.home-1"),
    ("jws-kid", with_header(kid="GAAA"), "rooftop.home-1"),
    ("bad-signature", tampered(sign(payload(1, 0, 1)), 2), "rooftop.home-1"),
    ("bad-signature", tampered(sign(payload(1, 0, 1)), 1), "rooftop.home-1"),
    ("unknown-meter", sign(payload(1, 0, 1, meter="other")), "rooftop.other"),
    ("wrong-key", sign(payload(1, 0, 1), "mallory"), "rooftop.home-1"),
]


@pytest.mark.parametrize(("why", "data", "topic"), STRANGERS)
def test_what_strangers_send_is_refused_without_a_fact(why: str, data: bytes, topic: str) -> None:
    site = Site()
    verdict = site.send(data, topic=topic)
    assert verdict.outcome is Outcome.REFUSED
    assert reason(verdict) == why
    assert not verdict.ours
    assert site.own("ReadingRefused") == []
    assert verdict.breach is not None
    assert ":" in verdict.breach.detail, "a detail names the field and the rule"


def test_a_meter_that_nobody_knows_is_waited_for_once() -> None:
    site = Site()
    report = sign(payload(1, 0, 1, meter="late"))
    held = site.send(report, topic="rooftop.late", hold=True)
    assert (held.outcome, reason(held)) == (Outcome.NOT_YET, "unknown-meter")
    site.enrol("late")
    assert accepted(site.send(report, topic="rooftop.late"))


# What an enrolled meter sends with its key is refused as a fact.


def two_registers(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "differences_wh": [1], "after_wh": 1} for name in names]


Change = Callable[[], dict[str, Any]]

OURS: list[tuple[str, Change]] = [
    ("wrong-deployment", lambda: payload(1, 0, 1, deployment="other")),
    ("topic-differs", lambda: payload(1, 0, 1, meter="home-2")),
    ("bad-schema", lambda: payload(1, 0, 1, surprise=1)),
    ("bad-schema", lambda: payload(1, 0, 1, epoch=None)),
    ("bad-schema", lambda: payload(0, 0, 1)),
    ("bad-schema", lambda: payload(2**53, 0, 1)),
    ("bad-schema", lambda: payload(1, 0, -1)),
    ("bad-schema", lambda: payload(1, 0, *([0] * 97))),
    ("bad-schema", lambda: payload(1, 0, 1, interval_s=700, first_interval_at="x")),
    ("bad-schema", lambda: payload(1, 0, 1, interval_s=1.5)),
    ("bad-schema", lambda: payload(1, 0, 1, first_interval_at="2026-06-01T00:00:00+00:00")),
    ("bad-schema", lambda: payload(1, 0, 1, registers=two_registers("consumed", "consumed"))),
    ("interval-not-multiple", lambda: payload(1, 0, 1, first_interval_at="2026-06-01T00:07:00Z")),
    ("wrong-registers", lambda: payload(1, 0, 1, registers=two_registers("generated"))),
    ("wrong-registers", lambda: payload(1, 0, 1, registers=two_registers("consumed", "generated"))),
    ("wrong-epoch", lambda: payload(1, 0, 1, epoch=2)),
    ("impossible-energy", lambda: payload(1, 0, 501)),
    ("future-time", lambda: payload(1, 2 * 96, 1)),
    ("future-time", lambda: payload(1, 0, 1, first_interval_at="9999-12-31T23:45:00Z")),
    ("registers-run-back", lambda: payload(1, 0, 5, start=-1)),
]


@pytest.mark.parametrize(("why", "change"), OURS)
def test_what_breaks_a_rule_is_refused_as_a_fact(why: str, change: Change) -> None:
    site = Site()
    verdict = site.send(change())
    assert (verdict.outcome, reason(verdict), verdict.ours) == (Outcome.REFUSED, why, True)
    (recorded,) = site.own("ReadingRefused")
    fact = recorded.fact
    assert isinstance(fact, ReadingRefused)
    assert fact.reason == why
    assert ":" in fact.detail
    name = f"home-1.{'x' if fact.seq is None else fact.seq}"
    assert recorded.envelope.id == f"{name}.refused.{fact.sha256[:16]}"
    assert recorded.envelope.cause == f"- {name}"
    assert recorded.envelope.time == START
    assert site.head.seq == 0


def test_a_site_other_than_that_of_the_enrolment_is_refused() -> None:
    site = Site()
    assert reason(site.send(payload(1, 0, 1), topic="attic.home-1")) == "topic-differs"


def test_a_payload_with_a_key_twice_is_refused() -> None:
    site = Site()
    text = json.dumps(payload(1, 0, 1)).replace('"epoch": 1', '"epoch": 1, "epoch": 1')
    verdict = site.send(key_of("teller").sign("hg-report+jws", text.encode()).encode())
    assert reason(verdict) == "jws-payload-json"
    assert verdict.ours


def test_energy_up_to_the_nameplate_is_possible() -> None:
    site = Site()
    assert accepted(site.send(payload(1, 0, 500)))
    site.enrol("odd", nameplate_w=2_001)
    report = payload(1, 0, 501, meter="odd")
    assert accepted(site.send(report, topic="rooftop.odd")), "500.25 Wh are 501 by the registers"


SECOND: list[tuple[str, dict[str, Any]]] = [
    ("overlap", payload(2, 1, 1, start=300)),
    ("overlap", payload(3, 0, 1, start=300)),
    ("registers-run-back", payload(2, 2, 10, start=299)),
    ("registers-do-not-fit", payload(2, 2, 10, start=301)),
    ("sequence-reused", payload(1, 2, 10, start=300)),
    ("sequence-reused", payload(1, 0, 100, 201)),
]


@pytest.mark.parametrize(("why", "document"), SECOND)
def test_a_second_report_that_does_not_fit_is_refused(why: str, document: dict[str, Any]) -> None:
    site = Site()
    site.send(payload(1, 0, 100, 200))
    head = site.head
    assert reason(site.send(document)) == why
    assert site.head == head


# Repeats.


def test_a_repeat_is_acknowledged_and_changes_nothing() -> None:
    site = Site()
    site.send(payload(1, 0, 100))
    verdict = site.send(payload(1, 0, 100))
    assert verdict.outcome is Outcome.REPEATED
    assert verdict.position == site.own("ReadingRecorded")[0].position
    assert len(site.own("ReadingRecorded")) == 1


def test_a_refused_report_that_comes_again_leaves_no_second_fact() -> None:
    site = Site()
    for _ in range(3):
        verdict = site.send(payload(1, 0, 501))
        assert (reason(verdict), verdict.ours) == ("impossible-energy", True)
    assert len(site.own("ReadingRefused")) == 1


def test_an_old_sequence_is_judged_by_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    site.send(payload(1, 0, 100))
    site.send(payload(2, 1, 100, start=100))
    monkeypatch.setattr(site.rules, "past", Past())
    assert site.send(payload(1, 0, 100)).outcome is Outcome.LOOK_BACK
    again = site.send(payload(1, 0, 100), looked_back=True)
    assert again.outcome is Outcome.REPEATED
    assert again.position == site.own("ReadingRecorded")[0].position
    assert reason(site.send(payload(1, 0, 99), looked_back=True)) == "sequence-reused"


def test_a_sequence_that_was_passed_over_without_time_can_never_come() -> None:
    site = Site()
    site.send(payload(1, 0, 100))
    site.send(payload(3, 1, 100, start=100))
    assert [(gap.first_seq, gap.last_seq) for gap in site.head.gaps] == [(2, 2)]
    assert reason(site.send(payload(2, 1, 0, start=100))) == "overlap"


def test_memory_of_accepted_reports_is_bounded() -> None:
    past = Past(kept=2)
    position = Site().history.facts[0].position
    for seq in range(1, 5):
        past.keep("m", seq, b"x", position)
    assert [past.find("m", seq) is not None for seq in range(1, 5)] == [False, False, True, True]


def test_refusals_of_one_meter_are_facts_up_to_a_limit_between_two_times() -> None:
    site = Site()
    for number in range(domain.REFUSALS_PER_TIME + 5):
        verdict = site.send(payload(1, 0, 501 + number))
        assert (verdict.outcome, verdict.ours) == (Outcome.REFUSED, True)
    assert len(site.own("ReadingRefused")) == domain.REFUSALS_PER_TIME
    site.advance(at(96))
    site.send(payload(1, 0, 499_999))
    assert len(site.own("ReadingRefused")) == domain.REFUSALS_PER_TIME + 1


# Time.


def test_a_report_ahead_of_the_clock_waits_and_is_not_lost() -> None:
    site = Site()
    ahead = payload(1, 97, 100)  # ends half an hour after the day that is expected
    verdict = site.send(ahead)
    assert (verdict.outcome, reason(verdict)) == (Outcome.NOT_YET, "time-ahead")
    site.advance(at(96))
    assert accepted(site.send(ahead))


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [
        (0, Outcome.ACCEPTED),
        (300, Outcome.ACCEPTED),
        (301, Outcome.NOT_YET),
        (86_400, Outcome.NOT_YET),
        (86_401, Outcome.REFUSED),
    ],
)
def test_the_bounds_of_early_and_future_are_exact(seconds: int, outcome: Outcome) -> None:
    site = Site()
    ends = START + timedelta(days=2)
    site.advance(ends - timedelta(seconds=60 + seconds), cadence_s=60)
    assert site.send(payload(1, 2 * 96 - 1, 100)).outcome is outcome


def test_nothing_is_judged_before_the_first_time() -> None:
    site = Site(History())
    site.enrol("home-1")
    assert reason(site.send(payload(1, 0, 1))) == "no-time-yet"
    assert site.rules.due() == ()


def test_time_is_reached_once_and_names_its_cause() -> None:
    site = Site()
    facts = site.advance(at(96))
    assert facts == [TimeReached(to=at(96))]
    assert site.rules.due() == ()
    (first, second) = site.own("TimeReached")
    assert second.envelope.id == "time.2026-06-02T00:00:00Z"
    advanced = [each for each in site.history.facts if each.stream == "PRICES"][-1]
    assert second.envelope.cause == f"{advanced.position} {advanced.envelope.id}"
    assert first.envelope.key == second.envelope.key == "time"


# Restarts.


def test_after_a_restart_everything_is_judged_as_before() -> None:
    site = Site()
    site.send(payload(1, 0, 100))
    site.send(payload(4, 3, 100, start=300))
    site.send(payload(9, 9, 501, start=900))
    again = site.restarted()
    assert again.head == site.head
    assert again.rules.due() == ()
    facts = len(site.history.facts)
    assert again.send(payload(1, 0, 100)).outcome is Outcome.REPEATED
    assert reason(again.send(payload(9, 9, 501, start=900))) == "impossible-energy"
    assert reason(again.send(payload(4, 3, 99, start=300))) == "sequence-reused"
    assert len(site.history.facts) == facts + 1
    assert accepted(again.send(payload(2, 1, 100, start=100)))


# Whatever comes, the rules answer; an error of ours would come again with the message for ever.

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)

NUMBERS = st.sampled_from([0, 1, 60, 900, 3600, 2**53 - 1, 2**53, 2**63, 10**30])

INSTANTS = st.sampled_from(
    ["0001-01-01T00:00:00Z", "9999-12-31T23:45:00Z", "1969-12-31T00:00:00Z", "2026-06-01T00:00:00Z"]
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(payload(1, 0, 1))), ANYTHING | NUMBERS | INSTANTS, max_size=3
    ),
    st.booleans(),
)
def test_no_payload_breaks_the_rules(changes: dict[str, Any], old: bool) -> None:
    site = Site()
    if old:
        site.send(payload(7, 0, 1))
    verdict = site.send(payload(8, 1, 1, start=1) | changes, looked_back=True)
    assert (verdict.breach is None) == accepted(verdict)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.text(max_size=40))
def test_no_noise_breaks_the_rules(noise: bytes, topic: str) -> None:
    site = Site()
    for data in (noise, sign(payload(1, 0, 1))[:-5] + noise):
        assert site.send(data).outcome is Outcome.REFUSED
    assert site.send(sign(payload(1, 0, 1)), topic=topic).outcome is Outcome.REFUSED
