"""The whole system in one process, for the walkthrough: no server, no socket, real code between.

The services are built by their own `build`, with the event store in memory; the demonstration's
player plays on them. What stands for the edges is here: a gateway, an MQTT broker and a devnet that
are reached by calls.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from stellar_sdk import Keypair

from devnet.app import wire
from devnet.settings import Settings as DevnetSettings
from heliograph.demo import cast as roles
from heliograph.demo.player import Calendar, Player, Urls
from heliograph.demo.watch import Watch
from heliograph.layout import Layout, fact_vaults
from libs.events.jws import parse, payload_of
from libs.eventstore import MemoryServer, MemoryStore, Stored
from libs.runtime.clock import ManualClock
from libs.runtime.health import Health
from libs.runtime.orders import OrderDesk
from libs.runtime.settings import ServiceSettings
from libs.runtime.writer import Writer
from libs.runtime.writing import WritingService
from libs.stellar.gateway import HorizonGateway
from services.anchor import app as anchor
from services.anchor.settings import AnchorSettings
from services.billing import app as billing
from services.billing.settings import BillingSettings
from services.ingest import app as ingest
from services.ingest.domain import Ingest, Outcome
from services.ingest.reports import open_report
from services.ingest.settings import IngestSettings
from services.ledger import app as ledger
from services.ledger.settings import LedgerSettings
from services.oracle import app as oracle
from services.oracle.settings import OracleSettings
from services.teller.app import Teller
from services.teller.outbox import Outbox, Receipt, Waiting
from services.teller.settings import TellerSettings
from services.teller.source import read_source

ROOT = Path(__file__).parents[2]
SEASON = ROOT / "data" / "pv" / "serf_east_15min_ac_power.csv"
ZONE, BOOK = "America/Denver", "pilot"
CALENDAR = Calendar(ZONE, date(2016, 7, 1), date(2016, 8, 3))
PASSPHRASE = "Heliograph Devnet ; walkthrough"
LOG_SEED = hashlib.sha256(b"the logs of the walkthrough").digest()
ANCHOR = Keypair.from_raw_ed25519_seed(hashlib.sha256(b"the anchor of the walkthrough").digest())
APPS: tuple[Any, ...] = (ingest, oracle, ledger, billing, anchor)


@dataclass
class Village:
    """What was played, and what came of it."""

    server: MemoryServer
    outbox: Outbox
    carried: dict[tuple[str, int], str] = field(default_factory=dict)
    """Every report as it was sent, by meter and sequence."""

    async def streams(self) -> dict[str, list[Stored]]:
        """Every fact of every stream, as stored."""
        store, found = MemoryStore(self.server), {}
        for vault in fact_vaults(Layout()):
            rows: list[Stored] = []
            if end := await store.end(vault.stream):
                async for batch in store.read(vault.stream, until=end):
                    rows += batch
            found[vault.stream] = rows
        return found


class Carrier:
    """Stands for the Teller's courier, the MQTT broker and the intake: outbox in, receipts out."""

    def __init__(self, village: Village, writer: Writer) -> None:
        self.settled = asyncio.Condition()
        self.last_receipts: dict[str, dict[str, Any]] = {}
        self._village, self._writer = village, writer
        self._rules = cast("Ingest", writer._rules)
        self._wake = asyncio.Event()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        outbox = self._village.outbox
        while True:
            await self._wake.wait()
            self._wake.clear()
            for waiting in outbox.waiting(500):
                receipt = await self._deliver(waiting)
                if receipt is None:
                    self._wake.set()
                    continue
                outbox.settle([receipt])
            async with self.settled:
                self.settled.notify_all()

    async def _deliver(self, waiting: Waiting) -> Receipt | None:
        self._village.carried[waiting.meter, waiting.seq] = waiting.jws
        subject = f"intake.0.{roles.SITE}.{waiting.meter}"
        incoming = open_report(subject, waiting.jws.encode())

        def judge(writer: Writer) -> str | None:
            verdict = self._rules.judge(incoming)
            if verdict.outcome is Outcome.NOT_YET:
                return None
            assert verdict.draft is not None, verdict
            return str(writer.stage([verdict.draft]))

        position = await self._writer.submit(judge)
        if position is None:
            return None
        return Receipt(waiting.meter, waiting.seq, incoming.sha256, True, None, position)


class Edges(httpx.AsyncBaseTransport):
    """Answers what would go over HTTP: commands, the played time, the devnet."""

    def __init__(
        self, desks: dict[tuple[str, str], OrderDesk], devnet: httpx.ASGITransport
    ) -> None:
        self._desks, self._devnet = desks, devnet
        self.teller: Teller | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        match request.url.host:
            case "devnet":
                return await self._devnet.handle_async_request(request)
            case "teller":
                assert self.teller is not None
                status, answer = await self.teller.play(await request.aread())
                return httpx.Response(status, json=answer)
            case _:
                text = await request.aread()
                claims = payload_of(parse(text, "hg-command+jws"))
                desk = self._desks[claims["service"], claims["book"]]
                return httpx.Response(200, content=await desk.handle(text))


def settings_of(kind: type[Any], **values: object) -> Any:
    return kind.from_environment(
        {}, deployment=roles.DEPLOYMENT, book=BOOK, played_time=True, **values
    )


def every_settings() -> tuple[ServiceSettings, ...]:
    return (
        settings_of(IngestSettings),
        settings_of(OracleSettings, played_from=CALENDAR.starts_at),
        settings_of(LedgerSettings, first_approver=roles.key_of("approver").address, standby=False),
        settings_of(BillingSettings),
        settings_of(
            AnchorSettings,
            horizon_url="http://devnet",
            network_passphrase=PASSPHRASE,
            log_seed=base64.b64encode(LOG_SEED).decode(),
            account_seed=ANCHOR.secret,
        ),
    )


@asynccontextmanager
async def played_july(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Village]:
    """Play July 2016, the settlement lag, the payment and a day more."""
    server = MemoryServer()
    for vault in fact_vaults(Layout()):
        server.declare(vault.spec)
    devnet = wire(DevnetSettings(data=folder / "devnet", passphrase=PASSPHRASE, played=True))
    await devnet.state.node.fund(ANCHOR.raw_public_key())
    transport = httpx.ASGITransport(devnet)
    services = await _services(server, transport, monkeypatch)
    writers = {writer.stream: writer for service in services for writer in service._writers}
    desks = {
        (service._settings.service, book): desk
        for service in services
        for book, desk in service._desks.items()
    }
    edges = Edges(desks, transport)
    stop = asyncio.Event()
    courier = services[-1]._tasks[0]
    works = [writer.run(stop) for writer in writers.values()] + [_until(courier, stop)]
    teller_settings = _teller_settings(folder)
    village = Village(server, _outbox(teller_settings))
    carrier = Carrier(village, writers["READINGS_0"])
    edges.teller = _teller(teller_settings, village.outbox, carrier)
    watch = Watch(
        MemoryStore(server),
        deployment=roles.DEPLOYMENT,
        streams=("READINGS_0", f"LEDGER_{BOOK}", f"BILLING_{BOOK}", "ANCHORS"),
    )
    async with _running([*works, carrier.run(), watch.run()]):
        async with httpx.AsyncClient(transport=edges) as http:
            scene = roles.Scene(str(SEASON), ZONE, 6_000, 500)
            player = Player(
                urls=Urls("http://gateway", "http://teller", "http://devnet"),
                scene=scene,
                calendar=CALENDAR,
                watch=watch,
                http=http,
                book=BOOK,
            )
            await player.set_up()
            await player.play(_nothing)
        yield village
        stop.set()
    village.outbox.close()
    devnet.state.node.store.close()


async def _services(
    server: MemoryServer, devnet: httpx.ASGITransport, monkeypatch: pytest.MonkeyPatch
) -> Sequence[WritingService]:
    """Build every service as its process does, but for the store and the way to the devnet."""

    async def memory(*_: object) -> MemoryStore:
        return MemoryStore(server)

    def horizon(url: str, *, network_passphrase: str) -> HorizonGateway:
        gateway = HorizonGateway(url, network_passphrase=network_passphrase)
        gateway._client._http = httpx.AsyncClient(transport=devnet)
        return gateway

    monkeypatch.setattr(anchor, "HorizonGateway", horizon)
    built = []
    for app, settings in zip(APPS, every_settings(), strict=True):
        monkeypatch.setattr(app, "connect_store", memory)
        clock = ManualClock()
        built.append(await app.build(settings, clock, Health(settings.service, "0", clock)))
    return built


def _teller_settings(folder: Path) -> TellerSettings:
    made: TellerSettings = settings_of(
        TellerSettings,
        data=folder / "teller",
        seed=base64.b64encode(roles.seed_of("teller")).decode(),
        site=roles.SITE,
        generation_meter=roles.GENERATION_METER,
        consumption_meter=roles.CONSUMPTION_METER,
        source=SEASON,
        time_zone=ZONE,
        load_w=500,
    )
    return made


def _outbox(settings: TellerSettings) -> Outbox:
    return Outbox.open(settings.data, {"address": roles.key_of("teller").address})


def _teller(settings: TellerSettings, outbox: Outbox, carrier: Carrier) -> Teller:
    source = read_source(settings.source, settings.time_zone)
    clock = ManualClock()
    health = Health("teller", "0", clock)
    return Teller(settings, clock, health, source, outbox, cast("Any", carrier), None)


@asynccontextmanager
async def _running(works: Sequence[Awaitable[None]]) -> AsyncIterator[None]:
    """Let everything run beside; what fails is raised here."""
    tasks = [asyncio.ensure_future(work) for work in works]
    here = asyncio.current_task()
    assert here is not None

    def ended(task: "asyncio.Future[None]") -> None:
        if not task.cancelled() and task.exception() is not None:
            here.cancel()

    for task in tasks:
        task.add_done_callback(ended)
    try:
        yield
    finally:
        for task in tasks:
            task.remove_done_callback(ended)
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end


async def _until(task: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event) -> None:
    await task(stop)


async def _nothing(_: object) -> None:
    """After a day of the play."""


def of_kind(rows: Sequence[Stored], name: str) -> list[tuple[Stored, dict[str, Any]]]:
    """The stored facts of one name, with their data as plain JSON."""
    return [(row, json.loads(row.data)["data"]) for row in rows if row.subject.endswith(f".{name}")]
