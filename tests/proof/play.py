"""A small season, played with the real rules of all services on a played event store.

Only the edges are missing: no broker, no MQTT, no Teller process. Facts, signatures, numbers and
anchors are real; the ledger network is a devnet process.
"""

import asyncio
import base64
import hashlib
import json
import urllib.request
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.events.command import WINDOW_S_MAX, Body, Command, write_command
from libs.events.commands import AdvanceTime
from libs.events.jws import SigningKey
from libs.events.metering import RegisterDifferences, Report
from libs.events.quantities import format_instant
from libs.eventstore import MemoryStore, Stored
from libs.rules.authority import Authority
from libs.rules.timekeeper import Timekeeper
from libs.runtime.orders import OrderDesk
from libs.runtime.writer import Writer
from libs.stellar.gateway import HorizonGateway
from services.anchor.faucet import DevnetFaucet
from services.billing.domain import Billing
from services.ingest.desk import PartitionDesk
from services.ingest.domain import Ingest
from services.ingest.lookback import LookBack
from services.ingest.meters import Meters
from services.ingest.reports import open_report
from services.ledger.domain import Book
from services.ledger.members import Register
from services.oracle.domain import Oracle
from tests.anchor.world import DEPLOYMENT, STREAMS, World
from tests.devnet_process import PASSPHRASE

USD = 10_000_000
START = datetime(2016, 7, 28, 6, tzinfo=UTC)
"""Local midnight in Denver, three days before the month ends."""

BEHIND = {
    "not-read-yet",
    "no-time-yet",
    "time-not-reached",
    "unknown-agreement",
    "unknown-holding",
    "unknown-member",
    "unknown-system",
    "unknown-tariff",
    "wrong-key",
}
"""Refusals that end when an input was read."""

Curve = Callable[[datetime], int]
"""Energy in Wh of the interval that begins at an instant."""


def key(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(f"proof tests: {name}".encode()).digest())


def sun(at: datetime) -> int:
    """Some power by day, none at night, never the same twice."""
    minute = (at.hour - 6) % 24 * 60 + at.minute
    return max(0, 900 - abs(720 - minute)) // 2 + at.day if 240 < minute < 1200 else 0


def home(at: datetime) -> int:
    return 90 + (at.hour * 7 + at.minute) % 61


@dataclass
class Teller:
    """One meter as its Teller plays it."""

    meter: str
    key: SigningKey
    curves: dict[str, Curve]
    at: datetime
    interval_s: int = 900
    per_report: int = 24
    seq: int = 0
    registers: dict[str, int] = field(default_factory=dict)

    def reports(self, until: datetime) -> list[str]:
        length = timedelta(seconds=self.interval_s * self.per_report)
        texts = []
        while self.at + length <= until:
            texts.append(self.report())
        return texts

    def report(self) -> str:
        self.seq += 1
        starts = [
            self.at + timedelta(seconds=self.interval_s * place) for place in range(self.per_report)
        ]
        parts = []
        for name, curve in sorted(self.curves.items()):
            differences = tuple(curve(start) for start in starts)
            after = self.registers.get(name, 0) + sum(differences)
            self.registers[name] = after
            part = RegisterDifferences.model_validate(
                {"name": name, "differences_wh": differences, "after_wh": after}
            )
            parts.append(part)
        report = Report(
            deployment=DEPLOYMENT,
            meter=self.meter,
            seq=self.seq,
            epoch=1,
            first_interval_at=self.at,
            interval_s=self.interval_s,
            registers=tuple(parts),
        )
        self.at = starts[-1] + timedelta(seconds=self.interval_s)
        return self.key.sign("hg-report+jws", report.model_dump_json().encode())


@dataclass
class Play:
    """The running services, and what a player does with them."""

    world: World
    devnet_url: str
    desks: dict[tuple[str, str], OrderDesk]
    rules: dict[str, Any]
    writers: dict[str, Writer]
    now: datetime
    counter: int = 0
    keys: dict[str, SigningKey] = field(default_factory=dict)
    """Keys of members who rotated theirs."""

    async def ask(self, member: str, body: Body, book: str = "pilot") -> dict[str, Any]:
        self.counter += 1
        nbf = int(self.now.timestamp())
        claims = Command(
            deployment=DEPLOYMENT,
            service=body.service,
            book=book,
            id=f"c{self.counter}",
            member=member,
            nbf=nbf,
            exp=nbf + WINDOW_S_MAX,
            command=body.command_name,
            body=body,
        )
        signer = self.keys.get(member, key(member))
        text = signer.sign("hg-command+jws", write_command(claims))
        answer: dict[str, Any] = {}
        for _ in range(200):
            answer = json.loads(await self.desks[body.service, book].handle(text.encode()))
            if answer.get("outcome") == "accepted":
                return answer
            if str(answer.get("type")).rpartition(":")[2] not in BEHIND:
                break
            await asyncio.sleep(0.01)
        raise AssertionError(answer)

    async def deliver(self, texts: Sequence[str]) -> list[str]:
        """Give reports to ingest; says what became of each."""
        ingest, outcomes = self.rules["READINGS_0"], []
        for text in texts:
            meter = json.loads(payload_of(text))["meter"]
            incoming = open_report(f"intake.0.site.{meter}", text.encode())

            def decide(writer: Writer, incoming: Any = incoming) -> str:
                verdict = ingest.judge(incoming)
                if verdict.draft is not None:
                    writer.stage([verdict.draft])
                reason = verdict.breach.reason if verdict.breach else ""
                return f"{verdict.outcome.name} {reason}".strip()

            outcomes.append(await self.writers["READINGS_0"].submit(decide))
        return outcomes

    async def advance(self, to: datetime) -> None:
        """Move the devnet and the oracle, and wait until everybody reached it."""
        request = urllib.request.Request(
            f"{self.devnet_url}/admin/time",
            data=json.dumps({"closed_at": format_instant(to)}).encode(),
            headers={"content-type": "application/json"},
        )
        await asyncio.to_thread(lambda: urllib.request.urlopen(request, timeout=5).close())
        await self.ask("approver", AdvanceTime(to=to), "main")
        self.now = to
        async with asyncio.timeout(20):
            while not self._settled(to):  # noqa: ASYNC110 - the rules have no event for this
                await asyncio.sleep(0.005)

    def _settled(self, to: datetime) -> bool:
        oracle = self.rules["PRICES"]
        reached = [oracle._reached.get(stream) for stream in oracle._followers]
        return all(time == to for time in reached) and not self.rules["BILLING_pilot"].due()

    async def streams(self) -> dict[str, list[Stored]]:
        store, found = MemoryStore(self.world.server), {}
        for stream in STREAMS:
            end, rows = await store.end(stream), []
            if end:
                async for batch in store.read(stream, after=0, until=end):
                    rows += batch
            found[stream] = rows
        return found


def payload_of(text: str) -> bytes:
    part = text.split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


@asynccontextmanager
async def playing(devnet_url: str) -> AsyncIterator[Play]:
    gateway = HorizonGateway(devnet_url, network_passphrase=PASSPHRASE)
    async with gateway:
        world = World(gateway, PASSPHRASE, DevnetFaucet(devnet_url, PASSPHRASE))
        rules, desks, writers = _services(world)
        stop = asyncio.Event()

        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                for writer in writers.values():
                    group.create_task(writer.run(stop))

        task = asyncio.create_task(run())
        async with world.anchor():
            try:
                yield Play(world, devnet_url, desks, rules, writers, START)
            finally:
                failure = task.exception() if task.done() else None
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
                if failure is not None:
                    raise failure


FOLLOWERS = {
    "READINGS_0": "ingest",
    "LEDGER_pilot": "ledger",
    "BILLING_pilot": "billing",
    "ANCHORS": "anchor",
}

# Inputs of each stream's writer, and the desk that takes commands for it.
WIRING: dict[str, tuple[tuple[str, ...], tuple[str, str] | None]] = {
    "PRICES": (("MEMBERS", *FOLLOWERS), ("oracle", "main")),
    "MEMBERS": (("PRICES",), ("ledger", "register")),
    "METERS_0": (("MEMBERS", "PRICES"), ("ingest", "0")),
    "READINGS_0": (("MEMBERS", "METERS_0", "PRICES"), None),
    "LEDGER_pilot": (
        ("MEMBERS", "PRICES", "BILLING_pilot", "METERS_0", "READINGS_0"),
        ("ledger", "pilot"),
    ),
    "BILLING_pilot": (
        ("MEMBERS", "PRICES", "LEDGER_pilot", "METERS_0", "READINGS_0"),
        ("billing", "pilot"),
    ),
}


def _authority(service: str, book: str) -> Authority:
    first = key("approver").address
    return Authority(deployment=DEPLOYMENT, service=service, book=book, first_approver=first)


def _rules() -> dict[str, Any]:
    oracle, meters = _authority("oracle", "main"), _authority("ingest", "0")
    ledger, billing = _authority("ledger", "pilot"), _authority("billing", "pilot")
    return {
        "PRICES": Oracle(authority=oracle, stream="PRICES", followers=FOLLOWERS, played_from=START),
        "MEMBERS": Register(authority=_authority("ledger", "register"), stream="MEMBERS"),
        "METERS_0": Meters(authority=meters, stream="METERS_0", partition=0, partitions=1),
        "READINGS_0": Ingest(
            deployment=DEPLOYMENT, stream="READINGS_0", authority=_authority("ingest", "0")
        ),
        "LEDGER_pilot": Book(
            authority=ledger,
            timekeeper=Timekeeper("LEDGER_pilot", ("READINGS_0",), follows=("METERS_0",)),
            stream="LEDGER_pilot",
        ),
        "BILLING_pilot": Billing(
            authority=billing,
            timekeeper=Timekeeper("BILLING_pilot", ("READINGS_0", "LEDGER_pilot")),
            stream="BILLING_pilot",
        ),
    }


def _services(
    world: World,
) -> tuple[dict[str, Any], dict[tuple[str, str], OrderDesk], dict[str, Writer]]:
    desks: dict[tuple[str, str], OrderDesk] = {}
    writers: dict[str, Writer] = {}
    rules = _rules()
    for stream, made in rules.items():
        inputs, where = WIRING[stream]
        writers[stream] = writer = Writer(
            store=MemoryStore(world.server),
            rules=made,
            deployment=DEPLOYMENT,
            stream=stream,
            inputs=inputs,
        )
        if where is not None:
            desks[where] = OrderDesk(writer=writer, authority=made.authority, decide=made.decide)
    desks["ingest", "0"] = PartitionDesk(
        writer=writers["READINGS_0"],
        rules=rules["READINGS_0"],
        lookback=LookBack(MemoryStore(world.server), deployment=DEPLOYMENT, partition=0),
        meters=desks["ingest", "0"],
    )
    return rules, desks, writers
