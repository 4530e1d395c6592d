"""Declaring streams: made once, left alone afterwards, only ever grown."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from libs.eventstore import (
    Declared,
    Frame,
    JetStreamStore,
    MemoryServer,
    StoreUnavailable,
    StreamDiffers,
    StreamSpec,
    UnexpectedAnswer,
    declare,
)
from libs.eventstore.admin import differences
from tests.eventstore.worlds import JetStreamWorld
from tests.faults import FaultProxy
from tests.servers import NatsServer

BASE = StreamSpec(
    name="BILLING_1",
    subjects=("billing.1.>",),
    max_bytes=1_000_000,
    max_msgs=1000,
    max_age_s=3600,
    max_msg_size=10_000,
    discard="new",
    discard_new_per_subject=True,
    max_msgs_per_subject=500,
)

GROWN: list[dict[str, Any]] = [
    {"max_bytes": 2_000_000},
    {"max_bytes": None},
    {"max_msgs": 2000},
    {"max_msgs": None},
    {"max_age_s": 7200},
    {"max_age_s": 0},
    {"max_msg_size": 20_000},
    {"max_msgs_per_subject": 600},
    {"description": "bills of book 1"},
    {"max_consumers": 3},
    {"max_consumers": None},
    {"consumer_inactive_s": 60},
    {"consumer_inactive_s": 0},
]

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"max_bytes": 500_000}, "max_bytes"),
    ({"max_msgs": 10}, "max_msgs"),
    ({"max_age_s": 60}, "max_age"),
    ({"max_msg_size": 100}, "max_msg_size"),
    ({"subjects": ("billing.1.>", "billing.2.>")}, "subjects"),
    ({"subjects": ("billing.2.>",)}, "subjects"),
    ({"storage": "memory"}, "storage"),
    ({"retention": "workqueue"}, "retention"),
    ({"discard": "old", "discard_new_per_subject": False}, "discard"),
    ({"deny_delete": False}, "deny_delete"),
    ({"deny_purge": False}, "deny_purge"),
    ({"allow_atomic": False}, "allow_atomic"),
    ({"allow_direct": False}, "allow_direct"),
    ({"duplicate_window_s": 60}, "duplicate_window"),
    ({"persist_mode": "async"}, "persist_mode"),
    ({"compression": "s2"}, "compression"),
    ({"subject_transform": ("billing.1.*", "billing.1.x.{{wildcard(1)}}")}, "subject_transform"),
]


@pytest.fixture
async def world(shared_server: NatsServer) -> AsyncIterator[JetStreamWorld]:
    async with FaultProxy(shared_server.port) as proxy:
        made = JetStreamWorld(shared_server, proxy)
        await made.forget_streams()
        yield made
        await made.close()


async def test_a_stream_is_made_once_and_left_alone(world: JetStreamWorld) -> None:
    boot = await world.connect(world.server.url)
    assert await declare(boot.client, BASE) is Declared.CREATED
    await boot.append("BILLING_1", [Frame("billing.1.a", b"1")], expected=0)
    for _ in range(2):
        assert await declare(boot.client, BASE) is Declared.SAME
    assert await boot.end("BILLING_1") == 1


@pytest.mark.parametrize("more", GROWN, ids=str)
async def test_limits_may_grow(world: JetStreamWorld, more: dict[str, Any]) -> None:
    boot = await world.connect(world.server.url)
    await declare(boot.client, BASE)
    await boot.append("BILLING_1", [Frame("billing.1.a", b"1")], expected=0)
    grown = replace(BASE, **more)
    assert await declare(boot.client, grown) is Declared.GROWN
    assert await declare(boot.client, grown) is Declared.SAME
    assert await boot.end("BILLING_1") == 1
    played = MemoryServer()
    played.declare(BASE)
    assert played.declare(grown) is Declared.GROWN


@pytest.mark.parametrize(("other", "named"), REFUSED, ids=str)
async def test_anything_else_is_refused_and_named(
    world: JetStreamWorld, other: dict[str, Any], named: str
) -> None:
    boot = await world.connect(world.server.url)
    await declare(boot.client, BASE)
    before = (await world.api("STREAM.INFO.BILLING_1"))["config"]
    with pytest.raises(StreamDiffers, match=named) as caught:
        await declare(boot.client, replace(BASE, **other))
    assert named in caught.value.differences
    assert (await world.api("STREAM.INFO.BILLING_1"))["config"] == before
    played = MemoryServer()
    played.declare(BASE)
    with pytest.raises(StreamDiffers, match=named):
        played.declare(replace(BASE, **other))


async def test_a_work_queue_in_memory_with_a_transform_can_be_declared(
    world: JetStreamWorld,
) -> None:
    boot = await world.connect(world.server.url)
    intake = StreamSpec(
        name="INTAKE",
        subjects=("intake.*.*",),
        storage="memory",
        retention="workqueue",
        max_bytes=1_000_000,
        max_msgs_per_subject=100,
        discard_new_per_subject=True,
        deny_delete=False,
        deny_purge=False,
        allow_atomic=False,
        subject_transform=(
            "intake.*.*",
            "intake.{{partition(4,2)}}.{{wildcard(1)}}.{{wildcard(2)}}",
        ),
    )
    assert await declare(boot.client, intake) is Declared.CREATED
    assert await declare(boot.client, intake) is Declared.SAME
    reduced = replace(intake, name="INTAKE_2", subjects=("other.*.*",), storage="file")
    reduced = replace(reduced, subject_transform=None, persist_mode="async")
    assert await declare(boot.client, reduced) is Declared.CREATED
    assert await declare(boot.client, reduced) is Declared.SAME
    with pytest.raises(StreamDiffers, match="subject_transform"):
        await declare(boot.client, replace(intake, subject_transform=None))


async def test_settings_that_the_server_refuses_are_told_in_its_words(
    world: JetStreamWorld,
) -> None:
    boot = await world.connect(world.server.url)
    await declare(boot.client, BASE)
    with pytest.raises(UnexpectedAnswer, match="overlap"):
        await declare(boot.client, replace(BASE, name="BILLING_2"))


async def test_a_server_that_is_away_is_told(own_server: NatsServer) -> None:
    boot = await JetStreamStore.connect(own_server.url, deadline_s=1.0)
    own_server.kill()
    with pytest.raises(StoreUnavailable):
        await declare(boot.client, BASE, timeout_s=0.2)
    await boot.close()


def test_what_the_server_leaves_out_is_no_difference() -> None:
    config = BASE.as_config()
    without = {name: value for name, value in config.items() if value not in (False, "", 0)}
    assert differences(without | {"metadata": {"a": "b"}}, config) == {}
