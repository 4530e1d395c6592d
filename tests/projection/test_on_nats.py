"""The projection on a real nats-server, in this process and as a process of its own."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from libs.eventstore import JetStreamStore, declare
from libs.runtime.health import Health
from services.projection.settings import ProjectionSettings
from tests.projection.running import caught_up, contents, projecting, until
from tests.projection.story import tell
from tests.projection.world import DEPLOYMENT, World, specs
from tests.servers import NatsServer

IMPORTS = 'mappings { "FACTS.API.>": "$JS.API.>" }'
"""Stands for the imports of decision 0002, within one account."""


async def declared(server: NatsServer) -> JetStreamStore:
    store = await JetStreamStore.connect(server.url)
    for spec in specs():
        await declare(store.client, spec)
    return store


async def test_a_world_told_over_nats_is_projected_while_it_happens(
    tmp_path: Path, settings: ProjectionSettings, health: Health, database: Any
) -> None:
    with NatsServer(tmp_path, jetstream="") as server:
        store = await declared(server)
        world = World(store)
        async with projecting(settings, store, health):
            await tell(world)
            await world.readings(2_500, first=1_000)
            await until(lambda: caught_up(database, world))
        assert await database.fetchval("SELECT count(*) FROM reading") == 2_536
        await store.close()


def process(*arguments: str, **variables: str) -> "subprocess.Popen[str]":
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "services.projection", *arguments],
        env=environment | {"HELIOGRAPH_DEPLOYMENT": DEPLOYMENT} | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=Path(__file__).parents[2],
    )


async def ended(child: "subprocess.Popen[str]") -> tuple[int, str]:
    said, _ = await asyncio.to_thread(child.communicate, timeout=30)
    return child.returncode, said


async def test_the_process_follows_stops_rebuilds_and_ends_once_done(
    tmp_path: Path, dsn: str, database: Any
) -> None:
    with NatsServer(tmp_path, IMPORTS, jetstream="") as server:
        store = await declared(server)
        world = World(store)
        await tell(world)
        where = {
            "HELIOGRAPH_NATS_URL": server.url,
            "HELIOGRAPH_PROJECTION_POSTGRES_DSN": dsn,
            "HELIOGRAPH_PROJECTION_READER_ROLE": "gateway",
        }
        child = process(**where)
        await until(lambda: caught_up(database, world))
        child.send_signal(signal.SIGTERM)
        code, said = await ended(child)
        assert code == 0, said
        live = await contents(database)
        code, said = await ended(process("--rebuild", "--once", **where))
        assert code == 0, said
        assert "views-dropped" in said
        assert "test@" not in said  # the DSN is a secret
        assert await contents(database) == live
        assert await database.fetchval(
            "SELECT has_table_privilege('gateway', 'heliograph.reading', 'SELECT')"
        )
        await store.close()


async def test_unusable_settings_end_the_process_with_2() -> None:
    code, said = await ended(process(HELIOGRAPH_PROJECTION_PARTITIONS="0"))
    assert code == 2
    assert "HELIOGRAPH_PROJECTION_PARTITIONS" in said
