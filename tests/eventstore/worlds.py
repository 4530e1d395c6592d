"""Two worlds with the same doors: a real nats-server behind a fault proxy, and the store in memory.

A world makes streams and clients and does harm: it loses requests and answers of the next append,
delays them, goes away, trims, hides and rewinds.
"""

import asyncio
import json
import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from typing_extensions import override

from libs.eventstore import (
    EventStore,
    Fault,
    Faults,
    JetStreamStore,
    MemoryServer,
    MemoryStore,
    StreamSpec,
    declare,
)
from tests.faults import Act, FaultProxy, Rule, Side
from tests.servers import NatsServer

FAST: dict[str, Any] = {
    "answer_timeout_s": 0.3,
    "deadline_s": 8.0,
    "reconnect_pause_s": 0.02,
    "grace_s": 0.3,
    "heartbeat_s": 0.2,
    "silence_max_s": 0.6,
}
"""Settings of clients in tests: as in production, only faster."""


class World(ABC):
    """What a contract test needs."""

    @abstractmethod
    async def declare(self, spec: StreamSpec) -> None:
        """Make or grow a stream."""

    @abstractmethod
    async def client(self, *, deadline_s: float = 8.0) -> EventStore:
        """Give a client that is exposed to faults."""

    @abstractmethod
    async def calm_client(self) -> EventStore:
        """Give a client that is not."""

    @abstractmethod
    def lose_request(self) -> None:
        """The next append of an exposed client never arrives."""

    @abstractmethod
    def lose_answer(self) -> None:
        """The answer to the next append of an exposed client is lost."""

    @abstractmethod
    def delay_request(self) -> None:
        """The next append of an exposed client arrives late, at `deliver_delayed`."""

    @abstractmethod
    async def deliver_delayed(self) -> None:
        """Let delayed requests arrive."""

    @abstractmethod
    async def harm_done(self) -> None:
        """Wait until the harm that was ordered has happened."""

    @abstractmethod
    def go_away(self) -> None:
        """Exposed clients reach nobody."""

    @abstractmethod
    async def come_back(self) -> None:
        """End of `go_away`."""

    @abstractmethod
    async def trim(self, stream: str, through: int) -> None:
        """Remove everything up to a position."""

    @abstractmethod
    async def hide(self, stream: str, sequence: int) -> None:
        """Lose one message in the middle."""

    @abstractmethod
    async def rewind(self, stream: str, end: int) -> None:
        """Put back an older store."""


class MemoryWorld(World):
    def __init__(self) -> None:
        self.server = MemoryServer()
        self.faults = Faults()

    @override
    async def declare(self, spec: StreamSpec) -> None:
        self.server.declare(spec)

    @override
    async def client(self, *, deadline_s: float = 8.0) -> EventStore:
        return MemoryStore(self.server, deadline_s=deadline_s, faults=self.faults)

    @override
    async def calm_client(self) -> EventStore:
        return MemoryStore(self.server)

    @override
    def lose_request(self) -> None:
        self.faults.next.append(Fault.LOSE_REQUEST)

    @override
    def lose_answer(self) -> None:
        self.faults.next.append(Fault.LOSE_ANSWER)

    @override
    def delay_request(self) -> None:
        self.faults.next.append(Fault.DELAY_REQUEST)

    @override
    async def deliver_delayed(self) -> None:
        self.server.deliver_delayed()

    @override
    async def harm_done(self) -> None:
        while self.faults.next:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0)

    @override
    def go_away(self) -> None:
        self.faults.away = True

    @override
    async def come_back(self) -> None:
        self.faults.away = False

    @override
    async def trim(self, stream: str, through: int) -> None:
        self.server.trim(stream, through)

    @override
    async def hide(self, stream: str, sequence: int) -> None:
        self.server.hide(stream, sequence)

    @override
    async def rewind(self, stream: str, end: int) -> None:
        self.server.rewind(stream, end)


class JetStreamWorld(World):
    def __init__(self, server: NatsServer, proxy: FaultProxy) -> None:
        self.server = server
        self.proxy = proxy
        self.clients: list[JetStreamStore] = []
        self._rules: list[Rule] = []

    async def connect(self, url: str, **more: Any) -> JetStreamStore:
        made = await JetStreamStore.connect(url, **(FAST | more))
        self.clients.append(made)
        return made

    async def close(self) -> None:
        for made in self.clients:
            await made.close()

    async def api(self, call: str, **body: Any) -> dict[str, Any]:
        boot = await self.connect(self.server.url)
        answer = await boot.client.request(f"$JS.API.{call}", json.dumps(body).encode(), timeout=5)
        parsed: dict[str, Any] = json.loads(answer.data)
        assert "error" not in parsed, parsed
        return parsed

    async def forget_streams(self) -> None:
        for name in (await self.api("STREAM.NAMES"))["streams"] or ():
            await self.api(f"STREAM.DELETE.{name}")

    @override
    async def declare(self, spec: StreamSpec) -> None:
        boot = await self.connect(self.server.url)
        await declare(boot.client, spec)

    @override
    async def client(self, *, deadline_s: float = 8.0) -> EventStore:
        return await self.connect(self.proxy.url, deadline_s=deadline_s)

    @override
    async def calm_client(self) -> EventStore:
        return await self.connect(self.server.url)

    @override
    def lose_request(self) -> None:
        self._rules.append(self.proxy.rule(Side.TO_SERVER, b"HPUB ", Act.CUT_BEFORE))

    @override
    def lose_answer(self) -> None:
        self._rules.append(self.proxy.rule(Side.TO_SERVER, b"HPUB ", Act.CUT_AFTER))

    @override
    def delay_request(self) -> None:
        self._rules.append(self.proxy.rule(Side.TO_SERVER, b"HPUB ", Act.HOLD_AND_CUT))

    @override
    async def deliver_delayed(self) -> None:
        await self.proxy.release()

    @override
    async def harm_done(self) -> None:
        for rule in self._rules:
            await rule.matched.wait()

    @override
    def go_away(self) -> None:
        self.proxy.refuse()
        self.proxy.cut_clients()

    @override
    async def come_back(self) -> None:
        await self.proxy.accept()

    @override
    async def trim(self, stream: str, through: int) -> None:
        await self.api(f"STREAM.PURGE.{stream}", seq=through + 1)

    @override
    async def hide(self, stream: str, sequence: int) -> None:
        await self.api(f"STREAM.MSG.DELETE.{stream}", seq=sequence)

    @override
    async def rewind(self, stream: str, end: int) -> None:
        """Delete the stream and fill a new one of that name up to the position, as a restore
        does."""
        found = await self.api(f"STREAM.INFO.{stream}")
        boot = await self.calm_client()
        kept = (
            [item async for batch in boot.read(stream, until=end) for item in batch] if end else []
        )
        self.go_away()
        await self.api(f"STREAM.DELETE.{stream}")
        await self.api(f"STREAM.CREATE.{stream}", **found["config"])
        for item in kept:
            client = self.clients[-1].client
            await client.jetstream().publish(item.subject, item.data)
        await self.come_back()


def copy_store(server: NatsServer, target: Path) -> None:
    """Copy the folder of a stopped server."""
    assert not server.alive
    shutil.copytree(server.store, target, dirs_exist_ok=True)
