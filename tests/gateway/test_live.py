"""The live feed and the life of the server, over real sockets."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from libs.runtime.health import Health
from services.gateway import live
from services.gateway.app import Gateway
from services.gateway.queries import community
from tests.gateway.conftest import made_state, memory, project
from tests.projection.pg import Server
from tests.projection.world import DEPLOYMENT, World
from tests.servers import NatsServer, free_port


@asynccontextmanager
async def serving(dsn: str, health: Health, **more: str) -> AsyncIterator[str]:
    """A gateway on a socket of its own; it must stop cleanly, with listeners still there."""
    gateway = Gateway(await made_state(dsn, health, **more))
    stop = asyncio.Event()
    task = asyncio.create_task(gateway.run(stop))
    try:
        yield f"http://127.0.0.1:{gateway.port}"
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await task


async def events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, Any]]:
    kind = ""
    async for line in lines:
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])


async def test_a_moved_position_is_told_to_every_listener(postgres: Server, health: Health) -> None:
    dsn = await postgres.new_database()
    store = memory()
    world = World(store)
    await project(dsn, store)
    async with (
        serving(postgres.reader(dsn), health) as url,
        httpx.AsyncClient(base_url=url, timeout=10) as client,
        client.stream("GET", "/api/live") as one,
        client.stream("GET", "/api/live") as other,
    ):
        assert one.headers["content-type"].startswith("text/event-stream")
        feeds = [events(one.aiter_lines()), events(other.aiter_lines())]
        for feed in feeds:
            kind, state = await anext(feed)
            assert (kind, state["positions"]["READINGS_0"]) == ("moved", 0)
        await world.readings(3)
        await project(dsn, store)
        for feed in feeds:
            kind, state = await anext(feed)
            while state["positions"]["READINGS_0"] != 3:
                kind, state = await anext(feed)
            assert kind == "moved"


async def test_views_that_go_away_and_come_back_are_told(postgres: Server, health: Health) -> None:
    dsn = await postgres.new_database()
    await project(dsn, memory())
    connection = await asyncpg.connect(dsn)
    async with (
        serving(postgres.reader(dsn), health) as url,
        httpx.AsyncClient(base_url=url, timeout=10) as client,
        client.stream("GET", "/api/live") as answer,
    ):
        feed = events(answer.aiter_lines())
        assert (await anext(feed))[0] == "moved"
        await connection.execute("ALTER SCHEMA heliograph RENAME TO away")
        assert await anext(feed) == ("away", {"ok": False, "code": "views-missing"})
        await connection.execute("ALTER SCHEMA away RENAME TO heliograph")
        assert (await anext(feed))[0] == "moved"
    await connection.close()


async def test_listeners_are_bounded_and_leave_again(
    told: str, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_S", 0.1)
    async with (
        serving(told, health, HELIOGRAPH_GATEWAY_LISTENERS="1") as url,
        httpx.AsyncClient(base_url=url, timeout=10) as client,
    ):
        async with client.stream("GET", "/api/live") as answer:
            lines = answer.aiter_lines()
            async for line in lines:
                if line.startswith(": "):
                    break  # a heartbeat: it has begun, and is alive
            refused = await client.get("/api/live")
            assert (refused.status_code, refused.json()["code"]) == (503, "feed-full")
            assert refused.headers["retry-after"] == "10"
        async with asyncio.timeout(5):
            while True:
                async with client.stream("GET", "/api/live") as answer:
                    if answer.status_code == 200:
                        break


async def test_the_process_serves_and_ends_when_asked(told: str, tmp_path: Path) -> None:
    port, health_port = free_port(), free_port()
    with NatsServer(tmp_path, jetstream="") as server:
        variables = {
            "HELIOGRAPH_DEPLOYMENT": DEPLOYMENT,
            "HELIOGRAPH_NATS_URL": server.url,
            "HELIOGRAPH_GATEWAY_POSTGRES_DSN": told,
            "HELIOGRAPH_GATEWAY_PORT": str(port),
            "HELIOGRAPH_GATEWAY_HEALTH_PORT": str(health_port),
        }
        child = subprocess.Popen(  # noqa: ASYNC220 - it takes no time
            [sys.executable, "-m", "services.gateway"],
            env={"PATH": os.environ["PATH"]} | variables,
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            async with httpx.AsyncClient(timeout=5) as client, asyncio.timeout(30):
                while True:
                    try:
                        ready = await client.get(f"http://127.0.0.1:{health_port}/readyz")
                    except httpx.TransportError:
                        await asyncio.sleep(0.05)
                        continue
                    if ready.status_code == 200:
                        break
                    await asyncio.sleep(0.05)
                answer = await client.get(f"http://127.0.0.1:{port}/api/clock")
                assert answer.json()["now_at"] == "2016-08-02T06:00:00Z"
                async with client.stream("GET", f"http://127.0.0.1:{port}/api/live"):
                    child.send_signal(signal.SIGTERM)
                    said, _ = await asyncio.to_thread(child.communicate, timeout=20)
        finally:
            child.kill()
        assert child.returncode == 0, said
        assert told not in said


async def test_a_mistake_of_ours_leaves_the_connection_open(
    told: str, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(community, "members", broken)
    async with serving(told, health) as url, httpx.AsyncClient(base_url=url, timeout=10) as client:
        doors = set()
        for path, status in (("members", 500), ("clock", 200), ("members", 500), ("meters", 200)):
            answer = await client.get(f"/api/{path}")
            assert answer.status_code == status
            assert "connection" not in answer.headers
            if status == 500:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["code"] == "internal-error"
            doors.add(answer.extensions["network_stream"].get_extra_info("client_addr"))
        assert len(doors) == 1
        assert None not in doors


async def test_an_answer_that_breaks_off_is_not_taken_for_whole(
    told: str, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> AsyncIterator[str]:
        yield "event: moved\n"
        raise RuntimeError("secret")

    monkeypatch.setattr(live.LiveFeed, "listen", broken)
    async with serving(told, health) as url, httpx.AsyncClient(base_url=url, timeout=10) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/api/live")
        assert (await client.get("/api/clock")).status_code == 200
