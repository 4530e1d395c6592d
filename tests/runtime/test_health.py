"""Health: what counts as alive and as ready, and that it is served inside the loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from libs.runtime.clock import ManualClock, SystemClock
from libs.runtime.failures import FencedOff, Transient
from libs.runtime.health import BODY_SIZE_MAX, Health, HealthServer, health_app, keep_beating


def test_nothing_reported_is_neither_alive_nor_ready(health: Health) -> None:
    assert not health.is_alive()
    assert not health.is_ready()


def test_alive_means_a_beat_younger_than_five_seconds(health: Health, clock: ManualClock) -> None:
    health.beat("loop")
    clock.advance(4.9)
    assert health.is_alive()
    clock.advance(0.1)
    assert not health.is_alive()
    assert health.missed_beats() == ["loop"]


def test_one_stopped_heart_is_enough(health: Health, clock: ManualClock) -> None:
    health.beat("projector", age_s_max=60)
    health.beat("loop")
    clock.advance(59)
    health.beat("loop")
    assert health.is_alive()
    clock.advance(1)
    health.beat("loop")
    assert health.missed_beats() == ["projector"]
    health.rest("projector")
    assert health.is_alive()


def test_a_wall_clock_that_jumps_stops_no_heart(health: Health, clock: ManualClock) -> None:
    health.beat("loop")
    clock.jump(clock.now().replace(year=2031))

    assert health.is_alive()


def test_ready_means_that_every_part_is_in_order(health: Health) -> None:
    health.set("nats", ok=True)
    health.set("replay", ok=False, detail="at 7 of 9")
    assert not health.is_ready()
    health.set("replay", ok=True)
    assert health.is_ready()


async def test_the_first_who_gives_up_is_heard(health: Health) -> None:
    health.give_up(FencedOff("fenced", "Another."))
    health.give_up(Transient("nats-closed", "Closed."))

    with pytest.raises(FencedOff):
        await health.given_up()


async def test_the_loop_beats_until_it_is_told_to_stop() -> None:
    health, done = Health("sample", "1", SystemClock()), asyncio.Event()
    beating = asyncio.create_task(keep_beating(health, done))
    await asyncio.sleep(0)
    assert health.is_alive()
    done.set()
    await beating
    assert health.missed_beats() == []


@asynccontextmanager
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(health_app(health))
    async with httpx.AsyncClient(transport=transport, base_url="http://health") as found:
        yield found


async def test_the_probes_answer_by_status_and_say_why(health: Health, clock: ManualClock) -> None:
    async with client(health) as web:
        assert (await web.get("/livez")).status_code == 503
        health.beat("loop")
        health.set("nats", ok=False, detail="disconnected")
        alive, ready = await web.get("/livez"), await web.get("/readyz")
        assert (alive.status_code, ready.status_code) == (200, 503)
        assert ready.json()["parts"] == {"nats": {"ok": False, "detail": "disconnected"}}
        health.set("nats", ok=True)
        assert (await web.get("/readyz")).status_code == 200


async def test_the_status_tells_everything(health: Health, clock: ManualClock) -> None:
    health.beat("loop")
    health.set("nats", ok=True, detail="here")
    health.position("READINGS_0", 12)
    health.count("refused", 2)
    health.count("refused")
    clock.advance(1.5)
    async with client(health) as web:
        assert (await web.get("/status")).json() == {
            "service": "sample",
            "version": "1.2.3",
            "started_at": "2025-01-01T00:00:00Z",
            "alive": True,
            "ready": True,
            "parts": {"nats": {"ok": True, "detail": "here"}},
            "beat_age_s": {"loop": 1.5},
            "positions": {"READINGS_0": 12},
            "counters": {"refused": 3},
        }


async def test_the_body_for_an_endpoint_is_read_up_to_its_limit(health: Health) -> None:
    found: list[int] = []
    sent = 0

    async def take(body: bytes) -> tuple[int, dict[str, Any]]:
        found.append(len(body))
        return 200, {}

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 1024

    health.endpoints["POST", "/take"] = take
    async with client(health) as web:
        assert (await web.post("/take", content=b"x" * BODY_SIZE_MAX)).status_code == 200
        for body in (b"x" * (BODY_SIZE_MAX + 1), endless()):
            answer = await web.post("/take", content=body)
            assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
        assert (await web.post("/other", content=endless())).status_code == 404
    assert found == [BODY_SIZE_MAX]
    assert sent == BODY_SIZE_MAX // 1024 + 1


async def test_the_metrics_are_prometheus_text(health: Health) -> None:
    health.set('odd"\n', ok=True)
    health.position("READINGS_0", 12)
    health.count("refused", 2)
    async with client(health) as web:
        answer = await web.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.text == (
        '# TYPE heliograph_ready gauge\nheliograph_ready{part="odd\\"\\n"} 1\n'
        '# TYPE heliograph_position gauge\nheliograph_position{stream="READINGS_0"} 12\n'
        '# TYPE heliograph_events_total counter\nheliograph_events_total{event="refused"} 2\n'
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_health_is_served_on_a_port_of_the_systems_choice(health: Health, host: str) -> None:
    try:
        server = HealthServer(health, host, 0)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    done = asyncio.Event()
    serving = asyncio.create_task(server.run(done))
    health.beat("loop")
    where = f"[{host}]" if ":" in host else host
    async with httpx.AsyncClient() as web:
        assert (await web.get(f"http://{where}:{server.port}/livez")).status_code == 200
        assert (await web.get(f"http://{where}:{server.port}/nothing")).status_code == 404
    done.set()
    async with asyncio.timeout(3):
        await serving

    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, server.port)


def test_a_port_that_is_taken_is_an_error(health: Health) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        HealthServer(health, "127.0.0.1", taken.getsockname()[1])
