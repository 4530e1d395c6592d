"""From the Teller's MQTT to a durable reading and back: real broker, real processes."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.events.metering import ReadingRecorded
from libs.runtime.clock import SystemClock
from libs.runtime.health import Health
from libs.runtime.process import supervise
from services.teller.app import build as build_teller
from services.teller.settings import TellerSettings
from tests.ingest.edge import Edge, enrolment

ROOT = Path(__file__).parents[2]
SERF = ROOT / "data/pv/serf_east_15min_ac_power.csv"
START = datetime(2016, 7, 1, 7, tzinfo=UTC)


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


async def enrol(edge: Edge) -> None:
    for number, body in enumerate((enrolment("pv-1"), enrolment("home-1", "consumption"))):
        answer = json.loads(await edge.order("approver", f"enrol-{number}", body, START))
        assert answer["outcome"] == "accepted", answer


async def test_a_day_of_measurements_becomes_readings(edge: Edge, tmp_path: Path) -> None:
    async with edge.ingest():
        await enrol(edge)
        environment = edge.teller_environment(tmp_path / "teller", SERF)
        settings = TellerSettings.from_environment(environment)
        clock, stop = SystemClock(), asyncio.Event()
        health = Health("teller", "0", clock)
        running = asyncio.ensure_future(supervise(settings, build_teller, clock, health, stop))
        while ("POST", "/played-time") not in health.endpoints and not running.done():
            await asyncio.sleep(0.02)
        play = health.endpoints["POST", "/played-time"]
        import time
        t=time.time()
        code, answer = await play(b'{"until":"2016-07-02T07:00:00Z","timeout_s":10}')
        print(code, answer, time.time()-t)
        await edge.advance(datetime(2016, 10, 20, tzinfo=UTC))
        t=time.time()
        code, answer = await play(b'{"until":"2016-10-20T07:00:00Z","timeout_s":60}')
        print(code, answer, time.time()-t)
        print(health.status())
        stop.set()
        await running
    print(len(await edge.facts("READINGS_0")))
    assert 0
