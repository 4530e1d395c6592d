"""A real broker with the installation's own configuration, entered as any of its users.

The bootstrap's users, who alone see into the vaults, take the census: what every stream holds.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from heliograph import guard
from heliograph.bootstrap import declare_all
from heliograph.broker import BOOTSTRAP_EDGE, Listeners, configuration, users
from heliograph.folder import choose_ports
from heliograph.layout import INTAKE, Layout, Vault, vaults
from tests.servers import nats_server_binary

LAYOUT = Layout(
    books=("pilot", "second"),
    partitions=2,
    sites={"rooftop": ("pv-1", "home-1"), "cellar": ("pv-2",)},
)
VAULTS = {vault.stream: vault for vault in vaults(LAYOUT)}

SETTLED_S = 0.15
"""Seconds in which the server has stored what it took."""


def subject_in(vault: Vault, key: str = "evil", kind: str = "Evil") -> str:
    """A subject that the stream keeps."""
    first, *tokens = vault.spec.subjects[0].split(".")
    named = iter((key, kind))
    return ".".join([first, *(next(named) if token == "*" else token for token in tokens)])


class BrokerProcess:
    """One nats-server; `stop` and `start` as often as wanted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ports = choose_ports(("nats", "monitor", "mqtt"), {})
        self.passwords = {user: f"password of {user}" for user in users(LAYOUT)}
        self.config = folder / "nats.conf"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.ports['nats']}"

    def start(self) -> Self:
        """Launch it and declare its streams."""
        self.launch()
        asyncio.run(self.declare())
        return self

    def launch(self) -> None:
        listeners = Listeners(
            client_port=self.ports["nats"],
            monitor_port=self.ports["monitor"],
            mqtt_port=self.ports["mqtt"],
            store=str(self._folder / "streams"),
        )
        self.config.write_text(configuration(LAYOUT, listeners, self.passwords))
        ends_with_us = (sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), "9")
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*ends_with_us, "-", "-", "-", nats_server_binary(), "-c", str(self.config)],
                stdout=log,
                stderr=log,
            )

    def stop(self, number: int = 15) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=10)
            self._process = None

    async def admits(self, user: str | None, password: str | None) -> bool:
        """Whether the server lets somebody in by its own protocol."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.ports["nats"])
        try:
            who = {} if user is None else {"user": user, "pass": password}
            await reader.readline()
            writer.write(f"CONNECT {json.dumps({'verbose': False, **who})}\r\nPING\r\n".encode())
            async with asyncio.timeout(5):
                return (await reader.readline()).startswith(b"PONG")
        finally:
            writer.close()
            await writer.wait_closed()

    async def declare(self) -> dict[str, Any]:
        return dict(await declare_all(self.url, LAYOUT, self.passwords))


@dataclass
class Town:
    """Connections of one test."""

    broker: BrokerProcess
    clients: dict[str, Client] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    _door: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def enter(self, user: str) -> Client:
        """Connect as a user, once per test."""

        async def complain(error: Exception) -> None:
            self.complaints.append(str(error))

        async with self._door:
            if user not in self.clients:
                self.clients[user] = await nats.connect(
                    self.broker.url,
                    user=user,
                    password=self.broker.passwords[user],
                    allow_reconnect=False,
                    error_cb=complain,
                )
            return self.clients[user]

    async def ask(self, user: str, subject: str, body: object = None) -> dict[str, Any]:
        """Ask as a user and give the answer."""
        client = await self.enter(user)
        payload = b"" if body is None else json.dumps(body).encode()
        answer: dict[str, Any] = json.loads((await client.request(subject, payload, 5)).data)
        return answer

    async def settle(self, *users: str) -> None:
        """Wait until all that these users (all unless told) have sent has been worked in."""
        for user in users or tuple(self.clients):
            await self.clients[user].flush()
        await asyncio.sleep(SETTLED_S)

    async def census(self) -> dict[str, Any]:
        """What every stream holds and how it is set up, by the bootstrap's users."""
        asked = {vault.stream: vault.user for vault in VAULTS.values()} | {INTAKE: BOOTSTRAP_EDGE}
        answers = await asyncio.gather(
            *(self.ask(user, f"$JS.API.STREAM.INFO.{stream}") for stream, user in asked.items())
        )
        counted = {}
        for stream, answer in zip(asked, answers, strict=True):
            assert "error" not in answer, (stream, answer)
            state = answer["state"]
            counted[stream] = (state["messages"], state["last_seq"], answer["config"])
        return counted

    async def answered(
        self, user: str, requests: Iterable[tuple[str, bytes]], patience_s: float = SETTLED_S
    ) -> dict[str, bytes]:
        """Send requests all at once; give the answers that are more than "nobody is there"."""
        client = await self.enter(user)
        inbox = client.new_inbox()
        asked: list[str] = []
        found: dict[str, bytes] = {}

        async def on_answer(message: Msg) -> None:
            if message.headers and message.headers.get("Status") == "503":
                return
            found[asked[int(message.subject.rpartition(".")[2])]] = message.data

        subscription = await client.subscribe(f"{inbox}.*", cb=on_answer)
        for subject, body in requests:
            await client.publish(subject, body, reply=f"{inbox}.{len(asked)}")
            asked.append(subject)
        assert asked
        await client.flush()
        await asyncio.sleep(patience_s)
        await client.flush()
        await subscription.unsubscribe()
        return found

    async def leave(self) -> None:
        for client in self.clients.values():
            await client.close()


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> Collection[str]:
    """The streams that are not as they were."""
    return [stream for stream in before if before[stream] != after[stream]]
