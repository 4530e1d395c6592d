"""A real broker with the installation's own configuration, and what else ingest needs around it.

Facts of other services are appended as those services would: as their users, through the store.
"""

import asyncio
import base64
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client

from heliograph.bootstrap import declare_all
from heliograph.broker import GATEWAY, INGEST_EDGE, Listeners, configuration, users
from heliograph.layout import Layout, device_user
from libs.events.command import Body
from libs.events.commands import EnrolMeter
from libs.events.envelope import Draft, Recorded, decode, encode
from libs.events.fact import Fact
from libs.events.membership import MemberRegistered
from libs.events.metering import MeterRole, RegisterValue
from libs.events.timekeeping import TimeAdvanced
from libs.eventstore import Frame, JetStreamStore
from libs.runtime.clock import SystemClock
from libs.runtime.health import Health
from libs.runtime.process import supervise
from services.ingest.app import build
from services.ingest.settings import IngestSettings
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, key_of, signed
from tests.servers import free_port, nats_server_binary

LAYOUT = Layout(sites={"rooftop": ("pv-1", "home-1"), "attic": ("m-2",)})


class Edge:
    """One broker, and the facts that others append to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self.mqtt_port = free_port(), free_port()
        self.passwords = {user: f"password-of-{user}" for user in users(LAYOUT)}
        self._process: subprocess.Popen[bytes] | None = None
        self._ends: dict[str, int] = {}

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        listeners = Listeners(
            client_port=self.port,
            monitor_port=free_port(),
            mqtt_port=self.mqtt_port,
            store=str(self.folder / "store"),
        )
        path = self.folder / "broker.conf"
        path.write_text(configuration(LAYOUT, listeners, self.passwords))
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [nats_server_binary(), "-c", str(path)], stdout=log, stderr=log
            )
        for port in (self.port, self.mqtt_port):
            _wait_for(port)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def declare(self) -> None:
        await declare_all(self.url, LAYOUT, self.passwords)

    async def store(self, user: str) -> JetStreamStore:
        return await JetStreamStore.connect(
            self.url, user, self.passwords[user], api_prefix="FACTS.API"
        )

    async def client(self, user: str) -> Client:
        return await nats.connect(self.url, user=user, password=self.passwords[user])

    async def record(self, user: str, stream: str, key: str, fact: Fact, at: datetime) -> None:
        """Append one fact as its owner; each key once."""
        store = await self.store(user)
        try:
            end = await store.end(stream)
            number = self._ends[stream + key] = self._ends.get(stream + key, 0) + 1
            subject, data = encode(
                Draft(key, fact, f"{stream}.{end + 1}", at),
                deployment=DEPLOYMENT,
                stream=stream,
                n=number,
                cause="- test",
                seen="",
            )
            await store.append(stream, [Frame(subject, data)], expected=end)
        finally:
            await store.close()

    async def advance(self, to: datetime, cadence_s: int = 86_400) -> None:
        fact = TimeAdvanced(to=to, cadence_s=cadence_s)
        await self.record("oracle", "PRICES", "time", fact, to)

    async def register(self, member: str, at: datetime) -> None:
        fact = MemberRegistered(
            member=member,
            address=key_of(member).address,
            roles=("approver",),
            command=ANY_COMMAND_SIGNED,
        )
        await self.record("ledger", "MEMBERS", member, fact, at)

    async def order(self, member: str, command_id: str, body: Body, now: datetime) -> bytes:
        """Send a signed command to ingest as the gateway does."""
        gateway = await self.client(GATEWAY)
        try:
            text = signed(member, command_id, body, "0", now)
            subject = "commands.ingest.0"
            return (await gateway.request(subject, text.encode(), timeout=10)).data
        finally:
            await gateway.close()

    async def facts(self, stream: str, user: str = "auditor") -> list[Recorded[Fact]]:
        store = await self.store(user)
        try:
            end = await store.end(stream)
            if not end:
                return []
            return [
                decode(
                    deployment=DEPLOYMENT,
                    stream=stream,
                    sequence=stored.sequence,
                    subject=stored.subject,
                    data=stored.data,
                )
                async for batch in store.read(stream, after=0, until=end)
                for stored in batch
            ]
        finally:
            await store.close()

    async def refusals(self) -> list[tuple[str, bytes]]:
        store = await self.store("auditor")
        try:
            end = await store.end("REFUSALS")
            found = [await store.get("REFUSALS", number) for number in range(1, end + 1)]
            return [(one.subject, one.data) for one in found if one is not None]
        finally:
            await store.close()

    def ingest_settings(self, **more: Any) -> IngestSettings:
        values: dict[str, Any] = {
            "deployment": DEPLOYMENT,
            "nats_url": self.url,
            "nats_user": "ingest",
            "nats_password": self.passwords["ingest"],
            "edge_user": INGEST_EDGE,
            "edge_password": self.passwords[INGEST_EDGE],
            "start_timeout_s": 15,
        }
        return IngestSettings.from_environment({}, **values | more)

    @asynccontextmanager
    async def ingest(self) -> AsyncIterator[Health]:
        """Run ingest until the block ends; whatever ends it by itself fails the test."""
        clock, stop = SystemClock(), asyncio.Event()
        health = Health("ingest", "0", clock)
        running = asyncio.ensure_future(
            supervise(self.ingest_settings(), build, clock, health, stop)
        )
        try:
            await eventually(lambda: running.done() or _takes_reports(health))
            yield health
        finally:
            stop.set()
            await running

    def teller_environment(self, data: Path, source: Path, **more: str) -> dict[str, str]:
        own = {
            "MQTT_PORT": str(self.mqtt_port),
            "MQTT_USER": device_user("rooftop"),
            "MQTT_PASSWORD": self.passwords[device_user("rooftop")],
            "DATA": str(data),
            "SEED": base64.b64encode(key_of("teller").seed).decode(),
            "SITE": "rooftop",
            "GENERATION_METER": "pv-1",
            "CONSUMPTION_METER": "home-1",
            "SOURCE": str(source),
        }
        shared = {"HELIOGRAPH_DEPLOYMENT": DEPLOYMENT, "HELIOGRAPH_PLAYED_TIME": "true"}
        return shared | {f"HELIOGRAPH_TELLER_{name}": value for name, value in (own | more).items()}


def enrolment(meter: str, role: MeterRole = "generation", **more: Any) -> EnrolMeter:
    """An enrolment of a meter of the Teller that fits its role."""
    names = {"generation": ("generated", "consumed"), "consumption": ("consumed",)}
    values: dict[str, Any] = {
        "meter": meter,
        "address": key_of("teller").address,
        "role": role,
        "system": "sunrise",
        "holding": "home" if role == "consumption" else None,
        "site": "rooftop",
        "nameplate_w": 6_000,
        "starts": tuple(
            RegisterValue.model_validate({"name": name, "value_wh": 0})
            for name in names.get(role, ("imported", "exported"))
        ),
    }
    return EnrolMeter.model_validate(values | more)


async def eventually(check: Callable[[], bool]) -> None:
    """Wait until something is so, ten seconds at most."""
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110 - there is nothing to be woken by
            await asyncio.sleep(0.02)


def _takes_reports(health: Health) -> bool:
    return health.is_ready() and "intake" in health.status()["beat_age_s"]


def _wait_for(port: int) -> None:
    until = time.monotonic() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return
