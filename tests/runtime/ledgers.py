"""Real ledger processes at a real broker with the installation's own accounts.

The oracle's clock and the people are played: facts of PRICES are appended as the oracle, commands
are sent as the gateway straight to the broker, again and again until one says yes.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import httpx
import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from heliograph.broker import GATEWAY
from libs.events.command import Body
from libs.events.commands import DepositFunds, RegisterMember
from libs.events.envelope import Recorded, decode
from libs.events.fact import Fact
from libs.events.membership import Role
from libs.eventstore import Frame, JetStreamStore
from tests.embedded.town import BrokerProcess
from tests.histories import DEPLOYMENT, START, History, key_of, signed
from tests.servers import free_port

PATIENCE_S = 60.0
"""Seconds until something that never comes fails a test; no measure of anything."""


class LedgerProcess:
    """`python -m services.ledger`, its health and its log."""

    def __init__(self, broker: BrokerProcess, folder: Path, name: str, **settings: str) -> None:
        self.port = free_port()
        self.log = folder / f"{name}.log"
        own = {
            "NATS_USER": "ledger",
            "NATS_PASSWORD": broker.passwords["ledger"],
            "HEALTH_PORT": str(self.port),
            "FIRST_APPROVER": key_of("approver").address,
            "PARTITIONS": "2",
            **settings,
        }
        self._environment = {
            **{name: value for name, value in os.environ.items() if "HELIOGRAPH" not in name},
            **{f"HELIOGRAPH_LEDGER_{name}": value for name, value in own.items()},
            "HELIOGRAPH_DEPLOYMENT": DEPLOYMENT,
            "HELIOGRAPH_NATS_URL": broker.url,
            "HELIOGRAPH_LOG_FORMAT": "json",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.ledger"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        process = self._process
        assert process is not None
        await until(lambda: process.poll() is not None, self.tail)
        return process.returncode

    def end(self) -> None:
        """Kill it, if it still runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def is_part(self, stream: str, detail: str) -> None:
        """Wait until it is ready, and `holder` or `standby` of a stream."""
        async with asyncio.timeout(PATIENCE_S), httpx.AsyncClient() as http:
            while True:
                try:
                    answer = await http.get(f"http://127.0.0.1:{self.port}/readyz")
                    parts = answer.json()["parts"]
                    if answer.status_code == 200 and parts[f"lease {stream}"]["detail"] == detail:
                        return
                except (httpx.HTTPError, LookupError):
                    pass
                assert self._process is not None
                assert self._process.poll() is None, self.tail()
                await asyncio.sleep(0.05)

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's events of one kind."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def tail(self) -> str:
        return self.log.read_text()[-3_000:]


async def until(true: Callable[[], object], why: Callable[[], str]) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not true():  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(why()) from None


class People:
    """Whoever signs commands, and the oracle's clock."""

    def __init__(self, broker: BrokerProcess) -> None:
        self.broker, self.history = broker, History()
        self.heard: dict[str, list[dict[str, Any]]] = defaultdict(list)
        """Every answer that ever came, by command id."""
        self._client: Client
        self._inbox = ""

    async def __aenter__(self) -> Self:
        password = self.broker.passwords[GATEWAY]
        self._client = await nats.connect(self.broker.url, user=GATEWAY, password=password)
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(f"{self._inbox}.*", cb=self._hear)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def _hear(self, message: Msg) -> None:
        if message.data:
            self.heard[message.subject.rpartition(".")[2]].append(json.loads(message.data))

    def yes(self, command_id: str) -> dict[str, Any] | None:
        """The answer that said yes, if one did."""
        found = [each for each in self.heard[command_id] if each.get("outcome") == "accepted"]
        return found[0] if found else None

    def refusals(self) -> set[str]:
        """The codes of all answers that said no for good."""
        said = [each for answers in self.heard.values() for each in answers if "code" in each]
        return {each["code"] for each in said if each["status"] < 500}

    async def send(self, text: str, command_id: str, book: str) -> None:
        """Send once, and do not wait."""
        reply = f"{self._inbox}.{command_id}"
        await self._client.publish(f"commands.ledger.{book}", text.encode(), reply=reply)

    async def ask(self, member: str, command_id: str, body: Body, book: str) -> dict[str, Any]:
        """Send the same command until an answer says yes."""
        text = signed(member, command_id, body, book)
        async with asyncio.timeout(PATIENCE_S):
            while (answer := self.yes(command_id)) is None:
                try:
                    await self.send(text, command_id, book)
                except NatsError:
                    continue
                for _ in range(20):
                    await asyncio.sleep(0.01)
                    if self.yes(command_id):
                        break
        return answer

    async def register(self, member: str, *roles: Role) -> dict[str, Any]:
        body = RegisterMember(member=member, address=key_of(member).address, roles=roles)
        return await self.ask("approver", f"register-{member}", body, "register")

    async def deposit(self, number: int, book: str, member: str = "ann") -> dict[str, Any]:
        body = DepositFunds(member=member, asset="USD", amount_stroops=number + 1)
        return await self.ask("approver", f"{book}-{number}", body, book)

    async def begin(self) -> None:
        """Let time begin, and an approver and an investor be registered."""
        (advanced,) = self.history.advance(START)
        store = await self.store("oracle")
        frame = Frame(advanced.envelope.subject, advanced.data)
        await store.append("PRICES", [frame], expected=0)
        await store.close()
        await self.register("approver", "approver")
        await self.register("ann", "investor")

    async def store(self, user: str) -> JetStreamStore:
        password = self.broker.passwords[user]
        return await JetStreamStore.connect(self.broker.url, user, password, api_prefix="FACTS.API")

    async def facts(self, stream: str) -> list[Recorded[Fact]]:
        """Everything that stands in a stream."""
        store = await self.store("auditor")
        end = await store.end(stream)
        found = []
        if end:
            async for batch in store.read(stream, until=end):
                found += [
                    decode(
                        deployment=DEPLOYMENT,
                        stream=stream,
                        sequence=each.sequence,
                        subject=each.subject,
                        data=each.data,
                    )
                    for each in batch
                ]
        await store.close()
        return found
