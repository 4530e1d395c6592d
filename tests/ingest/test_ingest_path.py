"""From MQTT to a durable reading and back: a real broker, the real configuration, ingest itself.

One broker serves the whole file; every test has an edge of its own within it only by its meters, so
the tests follow each other on one set of streams, as they would in an installation.
"""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from nats.aio.client import Client

from heliograph.broker import INGEST_EDGE
from heliograph.layout import device_user
from libs.events.commands import CorrectReading
from libs.events.metering import (
    MeterEnrolled,
    ReadingCorrected,
    ReadingRecorded,
    ReadingRefused,
)
from libs.events.timekeeping import TimeReached
from services.ingest import intake
from services.ingest.past import Past
from tests.histories import START
from tests.ingest.edge import Edge, enrolment, eventually
from tests.ingest.reporting import at, payload, sign


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    edge = Edge(tmp_path)
    edge.start()
    try:
        await edge.declare()
        await edge.advance(START)
        await edge.register("approver", START)
        yield edge
    finally:
        edge.stop()


class Device:
    """What a site's hub can do at the broker."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client

    async def send(self, data: bytes, topic: str = "intake/rooftop/home-1") -> None:
        await self.client.publish(topic, data, qos=1)

    async def receipt(self) -> dict[str, Any]:
        async with asyncio.timeout(10):
            message = await anext(self.client.messages)
        assert isinstance(message.payload, bytes)
        found: dict[str, Any] = json.loads(message.payload)
        return found

    async def silence(self, seconds: float = 0.3) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await anext(self.client.messages)


def device(edge: Edge, site: str = "rooftop") -> aiomqtt.Client:
    user = device_user(site)
    return aiomqtt.Client(
        "127.0.0.1",
        edge.mqtt_port,
        username=user,
        password=edge.passwords[user],
        identifier=f"test-{site}-{secrets.token_hex(4)}",
    )


async def enrol(edge: Edge, *meters: str) -> None:
    for meter in meters:
        body = enrolment(meter, "generation" if meter.startswith("pv") else "consumption")
        answer = json.loads(await edge.order("approver", f"enrol-{meter}", body, START))
        assert answer["outcome"] == "accepted", answer


async def test_reports_become_readings_and_bad_ones_disturb_nobody(edge: Edge) -> None:
    async with edge.ingest() as health:
        await enrol(edge, "pv-1", "home-1")
        async with device(edge) as mqtt:
            await mqtt.subscribe("receipts/rooftop/+", qos=1)
            hub = Device(mqtt)
            good = sign(payload(1, 0, 100, 200))
            await hub.send(good)
            first = await hub.receipt()
            assert first == {
                "meter": "home-1",
                "seq": 1,
                "sha256": hashlib.sha256(good).hexdigest(),
                "outcome": "recorded",
                "position": first["position"],
            }
            await hub.send(good)
            assert await hub.receipt() == first, "a repeat gets the same receipt"
            await _refusals_of_ours(hub)
            await _refusals_of_strangers(edge, hub)
            await hub.send(sign(payload(2, 2, 50, start=300)))
            assert (await hub.receipt())["outcome"] == "recorded"
        assert health.counters["reports-accepted"] == 2
        assert health.is_ready()
    await _check_streams(edge)


async def _refusals_of_ours(hub: Device) -> None:
    bad = sign(payload(2, 2, 5_001, start=300))
    for _ in range(2):
        await hub.send(bad)
        receipt = await hub.receipt()
        assert (receipt["outcome"], receipt["reason"]) == ("refused", "impossible-energy")
        assert receipt["sha256"] == hashlib.sha256(bad).hexdigest()
    await hub.send(sign(payload(1, 0, 1)))
    assert (await hub.receipt())["reason"] == "sequence-reused"


async def _refusals_of_strangers(edge: Edge, hub: Device) -> None:
    """Wrong signatures, noise, and topics that are none: no receipt, and nobody is disturbed."""
    for _ in range(15):
        await hub.send(sign(payload(3, 3, 1), "mallory"))
    await hub.send(b"\x00\xff noise")
    for topic in ("intake/rooftop/other", "intake/attic/m-2", "intake/roof.top/home-1"):
        await hub.send(sign(payload(3, 3, 1)), topic)
    await hub.silence()
    for level in ("intake/rooftop/*", "intake/rooftop/>", "intake/*/home-1"):
        async with device(edge) as other:
            await other.publish(level, sign(payload(3, 3, 1)), qos=0)
    await _ten_megabytes(edge)


async def _ten_megabytes(edge: Edge) -> None:
    """The broker takes one megabyte at most, and closes the connection that sends more."""
    async with device(edge) as other:
        with pytest.raises(aiomqtt.MqttError):
            await other.publish("intake/rooftop/home-1", secrets.token_bytes(10 << 20), timeout=2)
    assert "maximum payload exceeded" in (edge.folder / "broker.log").read_text()


async def _check_streams(edge: Edge) -> None:
    readings = await edge.facts("READINGS_0")
    kinds = [type(one.fact) for one in readings]
    assert kinds.count(ReadingRecorded) == 2
    assert kinds.count(ReadingRefused) == 2
    assert kinds.count(TimeReached) == 1
    meters = await edge.facts("METERS_0")
    assert [type(one.fact) for one in meters] == [MeterEnrolled, MeterEnrolled]
    refusals = await edge.refusals()
    subjects = [subject for subject, _ in refusals]
    assert subjects.count("refusals.wrong-key.home-1") == 10, "ten a minute and no more"
    assert "refusals.jws-compact-jws.home-1" not in subjects, "the device's minute is used up"
    document = json.loads(refusals[0][1])
    assert document["subject"] == "intake.0.rooftop.home-1"
    assert document["count"] == 1
    assert base64.b64decode(document["first_256_bytes"]) == sign(payload(3, 3, 1), "mallory")[:256]


async def test_topics_that_a_lax_broker_lets_through_are_refused_here(edge: Edge) -> None:
    """The rights of a device allow its own topics only; this sender may do anything."""
    async with edge.ingest() as health:
        await enrol(edge, "home-1")
        lax = await edge.client("bootstrap-EDGE")
        topics = (
            "a//b.home-1",
            "rooftop.ho,me",
            "rooftop.*",
            "*.home-1",
            "rooftop.>",
            "r.stranger",
        )
        for topic in topics:
            await lax.publish(f"intake.{topic}", sign(payload(1, 0, 1)))
        await lax.flush()
        await eventually(lambda: health.counters.get("refusals-kept", 0) >= 3)
        await lax.publish("intake.rooftop.home-1", sign(payload(1, 0, 1)))
        await eventually(lambda: health.counters.get("reports-accepted", 0) == 1)
        await lax.close()
    subjects = [subject for subject, _ in await edge.refusals()]
    assert set(subjects) == {"refusals.bad-topic.unknown", "refusals.unknown-meter.unknown"}
    assert len(await edge.facts("READINGS_0")) == 2


async def test_corrections_and_enrolments_come_to_one_desk_and_end_in_two_streams(
    edge: Edge,
) -> None:
    async with edge.ingest():
        await enrol(edge, "home-1")
        async with device(edge) as mqtt:
            await mqtt.subscribe("receipts/rooftop/+", qos=1)
            hub = Device(mqtt)
            await hub.send(sign(payload(1, 0, 100, 200)))
            assert (await hub.receipt())["outcome"] == "recorded"
        answers = []
        for command_id, delta_wh in (("c1", -150), ("c2", -51), ("c3", -50), ("c3", -50)):
            values = {
                "meter": "home-1",
                "first_interval_at": at(1),
                "interval_s": 900,
                "registers": ({"name": "consumed", "deltas_wh": (delta_wh,)},),
                "reason": "test",
            }
            body = CorrectReading.model_validate(values)
            answers.append(json.loads(await edge.order("approver", command_id, body, START)))
        assert [each.get("outcome") for each in answers] == ["accepted", None, *["accepted"] * 2]
        assert answers[1]["type"].endswith(":below-zero")
        assert answers[2] == answers[3]
    facts = [each.fact for each in await edge.facts("READINGS_0")]
    corrected = [fact for fact in facts if isinstance(fact, ReadingCorrected)]
    assert [fact.registers[0].deltas_wh for fact in corrected] == [(-150,), (-50,)]


async def test_reports_of_the_future_wait_for_the_clock(edge: Edge) -> None:
    async with edge.ingest():
        await enrol(edge, "home-1")
        async with device(edge) as mqtt:
            await mqtt.subscribe("receipts/rooftop/+", qos=1)
            hub = Device(mqtt)
            await hub.send(sign(payload(1, 97, 100)))
            await hub.silence()
            await edge.advance(at(96))
            assert (await hub.receipt())["outcome"] == "recorded"


async def test_after_a_restart_old_sequences_are_known_and_nothing_is_doubled(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = [sign(payload(seq, seq - 1, 10, start=10 * (seq - 1))) for seq in range(1, 21)]
    async with device(edge) as mqtt:
        await mqtt.subscribe("receipts/rooftop/+", qos=1)
        hub = Device(mqtt)
        async with edge.ingest():
            await enrol(edge, "home-1")
            for report in reports:
                await hub.send(report)
            before = [await hub.receipt() for _ in reports]
        monkeypatch.setattr("services.ingest.domain.Past", lambda: Past(kept=3))
        async with edge.ingest():
            for report in (*reports, sign(payload(1, 0, 11))):
                await hub.send(report)
            after = [await hub.receipt() for _ in range(21)]
    by_seq = sorted(before, key=lambda one: int(one["seq"]))
    again = [one for one in after if one["outcome"] == "recorded"]
    assert sorted(again, key=lambda one: int(one["seq"])) == by_seq
    assert [one["reason"] for one in after if one["outcome"] == "refused"] == ["sequence-reused"]
    recorded = [
        one for one in await edge.facts("READINGS_0") if isinstance(one.fact, ReadingRecorded)
    ]
    assert [one.envelope.n for one in recorded] == list(range(1, 21))


async def test_reports_out_of_order_end_without_a_gap(edge: Edge) -> None:
    async with edge.ingest() as health:
        await enrol(edge, "home-1")
        async with device(edge) as mqtt:
            await mqtt.subscribe("receipts/rooftop/+", qos=1)
            hub = Device(mqtt)
            for seq in (3, 2, 1):
                await hub.send(sign(payload(seq, seq - 1, 10, start=10 * (seq - 1))))
            assert {(await hub.receipt())["seq"] for _ in range(3)} == {1, 2, 3}
        assert health.counters.get("reports-refused", 0) == 0
    facts = [one.fact for one in await edge.facts("READINGS_0")]
    heads = [fact.head for fact in facts if isinstance(fact, ReadingRecorded)]
    assert [head.seq for head in heads][-1] == 3
    assert heads[-1].gaps == ()


async def test_a_missing_consumer_is_seen_and_its_return_is_enough(edge: Edge) -> None:
    async with edge.ingest() as health:
        admin = await edge.client("bootstrap-EDGE")
        await _delete_consumer(admin)
        await eventually(lambda: not health.is_ready())
        await edge.declare()
        await eventually(health.is_ready)
        await admin.close()


async def _delete_consumer(admin: Client) -> None:
    answer = await admin.request("$JS.API.CONSUMER.DELETE.INTAKE.ingest-0", b"", timeout=5)
    assert json.loads(answer.data)["success"]


async def test_ingest_may_do_in_the_devices_account_what_it_needs_and_no_more(edge: Edge) -> None:
    client = await edge.client(INGEST_EDGE)
    errors: list[Exception] = []

    async def remember(error: Exception) -> None:
        errors.append(error)

    client._error_cb = remember
    await client.publish("intake.rooftop.home-1", b"x")
    await client.flush()
    await eventually(lambda: bool(errors))
    await client.close()


def test_the_number_of_deliveries_is_read_from_both_forms_of_the_reply() -> None:
    assert intake._deliveries("$JS.ACK.INTAKE.ingest-0.3.7.9.1700000000.0") == 3
    assert intake._deliveries("$JS.ACK.hub.HASH.INTAKE.ingest-0.4.7.9.1700000000.0.token") == 4
    assert intake._deliveries("") == 1


def test_the_window_of_a_device_opens_again_after_a_minute() -> None:
    from services.ingest.refusals import Limiter  # noqa: PLC0415 - beside its only test

    limiter = Limiter()
    taken = [limiter.take("a", 0.0) for _ in range(12)]
    assert taken == [1] * 10 + [0, 0]
    assert limiter.take("b", 1.0) == 1
    assert limiter.take("a", 60.0) == 3, "it stands for the two that were left out"


def test_all_devices_together_are_limited_too() -> None:
    from services.ingest.refusals import ALTOGETHER, Limiter  # noqa: PLC0415 - as above

    limiter = Limiter()
    kept = sum(limiter.take(f"device-{number}", 0.0) > 0 for number in range(ALTOGETHER + 100))
    assert kept == ALTOGETHER
