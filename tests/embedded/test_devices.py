"""What a device can do at the broker over MQTT: send its own reports, hear its own receipts.

A topic level `*` or `>` would be a wildcard for everybody behind the broker, so it must store
nothing and reach nobody. The intake must hold back a flood without harm to others.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import nats
import pytest
from nats.aio.msg import Msg

from heliograph.broker import BOOTSTRAP_EDGE, GATEWAY, INGEST_EDGE
from heliograph.layout import INTAKE, WRITERS_AND_READERS, device_user
from libs.events.subjects import partition_of
from tests.embedded.town import LAYOUT, SETTLED_S, BrokerProcess, Town, differing

REFUSED = 0x80
"""What MQTT answers to a subscription that is not allowed."""


def mqtt(broker: BrokerProcess, user: str) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1",
        broker.ports["mqtt"],
        username=user,
        password=broker.passwords[user],
        identifier=f"test-{secrets.token_hex(4)}",
        timeout=3,
    )


@pytest.fixture
async def device(broker: BrokerProcess) -> AsyncIterator[aiomqtt.Client]:
    async with mqtt(broker, device_user("rooftop")) as client:
        yield client


@pytest.fixture(autouse=True)
async def _empty_intake(town: Town) -> None:
    answer = await town.ask(BOOTSTRAP_EDGE, f"$JS.API.STREAM.PURGE.{INTAKE}")
    assert answer["success"], answer


async def stored(town: Town) -> dict[str, int]:
    """Messages in INTAKE by subject."""
    await asyncio.sleep(SETTLED_S)
    answer = await town.ask(
        BOOTSTRAP_EDGE, f"$JS.API.STREAM.INFO.{INTAKE}", {"subjects_filter": ">"}
    )
    return dict(answer["state"].get("subjects") or {})


async def test_a_report_reaches_the_consumer_of_its_partition_and_a_receipt_comes_back(
    town: Town, device: aiomqtt.Client
) -> None:
    await device.subscribe("receipts/rooftop/+", qos=1)
    ingest = await town.enter(INGEST_EDGE)
    inbox = ingest.new_inbox()
    came = await ingest.subscribe(inbox)
    for meter in LAYOUT.sites["rooftop"]:
        await device.publish(f"intake/rooftop/{meter}", meter.encode(), qos=1)
        partition = partition_of(meter, LAYOUT.partitions)
        await ingest.publish(
            f"$JS.API.CONSUMER.MSG.NEXT.{INTAKE}.ingest-{partition}",
            b'{"batch":1,"expires":2000000000}',
            inbox,
        )
        report = await came.next_msg(timeout=3)
        assert (report.subject, report.data) == (
            f"intake.{partition}.rooftop.{meter}",
            meter.encode(),
        )
        await ingest.publish(report.reply, b"+ACK")
        await ingest.publish(f"receipts.rooftop.{meter}", b"receipt")
        async with asyncio.timeout(3):
            receipt = await anext(device.messages)
        assert (str(receipt.topic), receipt.payload) == (f"receipts/rooftop/{meter}", b"receipt")
    assert not await stored(town)
    assert not town.complaints


FORBIDDEN_TOPICS = (
    "intake/cellar/pv-2",
    "intake/rooftop/pv-2",
    "intake/rooftop",
    "intake/rooftop/pv-1/more",
    "intake/rooftop/*",
    "intake/*/pv-1",
    "intake/*/*",
    "intake/rooftop/>",
    "intake/>",
    ">",
    "*",
    "readings/0/pv-1/ReadingRecorded",
    "members/evil/MemberRegistered",
    "commands/ledger/pilot",
    "receipts/rooftop/pv-1",
    "receipts/cellar/pv-2",
    "$JS/API/STREAM/DELETE/INTAKE",
    "$JS/API/STREAM/PURGE/INTAKE",
    "$JS/ACK/INTAKE/ingest-0/1/1/1/1/0",
    "FACTS/API/STREAM/INFO/MEMBERS",
    "$SYS/REQ/SERVER/PING",
    "$MQTT/msgs/intake/rooftop/pv-1",
    "$MQTT/JSA/evil",
)


async def test_whatever_else_a_device_publishes_is_stored_nowhere_and_reaches_nobody(
    town: Town, broker: BrokerProcess
) -> None:
    before = await town.census()
    heard: list[str] = []

    async def hear(message: Msg) -> None:
        if b"evil" in message.data:
            heard.append(message.subject)

    edge = await town.enter(BOOTSTRAP_EDGE)
    await edge.subscribe(">", cb=hear)
    await edge.flush()
    for topic in FORBIDDEN_TOPICS:
        for qos in (0, 1):
            async with mqtt(broker, device_user("rooftop")) as client:
                try:
                    await client.publish(topic, b"evil", qos=qos, retain=bool(qos))
                except aiomqtt.MqttError:
                    continue  # thrown out, which is an answer too
    await town.settle()
    assert not heard
    assert not differing(before, await town.census())
    # That the listener does hear: the same from one who may.
    async with mqtt(broker, device_user("cellar")) as client:
        await client.publish("intake/cellar/pv-2", b"evil", qos=1)
    await town.settle()
    assert heard[0] == "intake.cellar.pv-2"


async def test_the_last_will_of_a_device_speaks_for_nobody_else(
    town: Town, broker: BrokerProcess
) -> None:
    before = await town.census()
    for topic in ("intake/cellar/pv-2", "intake/rooftop/*", "receipts/cellar/pv-2"):
        await die_with_will(broker, topic)
    await town.settle()
    assert not differing(before, await town.census())
    # That a will is carried out at all: the same for a topic of its own.
    assert await die_with_will(broker, "intake/rooftop/pv-1") == ACCEPTED
    assert [subject.rpartition(".")[2] for subject in await stored(town)] == ["pv-1"]


ACCEPTED = bytes((0x20, 2, 0, 0))
"""The answer of MQTT to a connection that is let in."""


async def die_with_will(broker: BrokerProcess, topic: str) -> bytes:
    """Connect as a device that leaves a will, and vanish; gives the broker's answer.

    Written out here, for a client library would say goodbye.
    """
    user = device_user("rooftop")
    with_user_password_and_will, keep_alive_s = 0b1100_1110, 60
    body = _text("MQTT") + bytes((4, with_user_password_and_will)) + keep_alive_s.to_bytes(2, "big")
    for field in (secrets.token_hex(4), topic, "evil", user, broker.passwords[user]):
        body += _text(field)
    assert len(body) < 2 * 128
    length = bytes((len(body),)) if len(body) < 128 else bytes((len(body) % 128 + 128, 1))
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.ports["mqtt"])
    writer.write(b"\x10" + length + body)
    async with asyncio.timeout(3):
        answer = await reader.read(4)
    writer.transport.abort()
    return answer


def _text(text: str) -> bytes:
    return len(text.encode()).to_bytes(2, "big") + text.encode()


@pytest.mark.parametrize(
    "topic",
    [
        "#",
        "+/+/+",
        "receipts/#",
        "receipts/+/+",
        "receipts/cellar/#",
        "receipts/cellar/pv-2",
        "intake/#",
        "intake/rooftop/pv-1",
        "$MQTT/sub/#",
        "$MQTT/#",
        "$JS/#",
        "_INBOX/#",
        "commands/#",
    ],
)
async def test_a_device_listens_to_nothing_but_its_own_receipts(
    town: Town, broker: BrokerProcess, topic: str
) -> None:
    heard = []
    async with mqtt(broker, device_user("rooftop")) as client:
        try:
            granted = await client.subscribe(topic, qos=1)
        except aiomqtt.MqttError:
            return
        codes = [getattr(code, "value", code) for code in granted]
        if codes == [REFUSED]:
            return
        # Granted by the letter: then nothing must come.
        edge = await town.enter(BOOTSTRAP_EDGE)
        for subject in ("receipts.cellar.pv-2", "intake.rooftop.pv-1", "commands.ledger.pilot"):
            await edge.publish(subject, b"secret")
        async with mqtt(broker, device_user("cellar")) as other:
            await other.publish("intake/cellar/pv-2", b"secret", qos=1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                heard.append(await anext(client.messages))
    assert not heard, codes


async def test_only_devices_come_in_by_mqtt(broker: BrokerProcess) -> None:
    for user in (*WRITERS_AND_READERS, GATEWAY, INGEST_EDGE, BOOTSTRAP_EDGE):
        with pytest.raises(aiomqtt.MqttError):
            async with mqtt(broker, user):
                pass


async def test_a_message_of_quality_two_is_refused(town: Town, broker: BrokerProcess) -> None:
    """It would be kept in a stream of the server's own until the device comes back."""
    with pytest.raises(aiomqtt.MqttError):
        async with mqtt(broker, device_user("rooftop")) as client:
            await client.publish("intake/rooftop/pv-1", b"{}", qos=2, timeout=1)
    assert not await stored(town)


async def test_the_server_and_this_code_agree_on_partitions(town: Town) -> None:
    edge = await town.enter(BOOTSTRAP_EDGE)
    meters = [f"meter-{number}_{number * number:x}" for number in range(200)]
    await asyncio.gather(*(edge.request(f"intake.site.{meter}", b"x", 5) for meter in meters))
    expected = {
        f"intake.{partition_of(meter, LAYOUT.partitions)}.site.{meter}": 1 for meter in meters
    }
    assert await stored(town) == expected
    assert {subject.split(".")[1] for subject in expected} == {"0", "1"}


async def test_a_flooding_device_blocks_only_itself(town: Town, device: aiomqtt.Client) -> None:
    for number in range(1_100):
        await device.publish("intake/rooftop/pv-1", str(number).encode(), qos=0)
    await device.publish("intake/rooftop/home-1", b"in spite of it", qos=1)
    found = await stored(town)
    assert {subject.split(".", 2)[2]: count for subject, count in found.items()} == {
        "rooftop.pv-1": 1_000,
        "rooftop.home-1": 1,
    }


async def test_the_intake_takes_no_message_beyond_its_size(
    town: Town, device: aiomqtt.Client
) -> None:
    await device.publish("intake/rooftop/pv-1", b"x" * (64 * 1024 - 200), qos=1)
    await device.publish("intake/rooftop/home-1", b"x" * (64 * 1024 + 1), qos=1)
    assert [subject.rpartition(".")[2] for subject in await stored(town)] == ["pv-1"]


async def test_the_intake_is_there_again_after_the_broker_was_killed(
    tmp_path: Path,
) -> None:
    """With a stream in memory a single server would forget the stream itself."""
    other = BrokerProcess(tmp_path)
    other.launch()
    await other.declare()
    other.stop(9)
    other.launch()
    client = await nats.connect(
        other.url,
        user=INGEST_EDGE,
        password=other.passwords[INGEST_EDGE],
        reconnect_time_wait=0.1,
        max_reconnect_attempts=100,
    )
    answer = json.loads(
        (await client.request(f"$JS.API.CONSUMER.INFO.{INTAKE}.ingest-1", b"", 5)).data
    )
    await client.close()
    other.stop()
    assert answer["config"]["max_ack_pending"] == 5_000
