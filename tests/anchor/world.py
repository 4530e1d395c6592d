"""An anchor for tests: real facts, a played event store, a ledger that can be told what to do."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from stellar_sdk import Keypair

from libs.events import Draft, Fact, Recorded, TimeAdvanced, decode, encode
from libs.events.quantities import format_instant
from libs.events.subjects import family_of
from libs.eventstore import Frame, MemoryStore, StreamSpec
from libs.eventstore.memory import MemoryServer
from libs.runtime.clock import ManualClock
from libs.runtime.health import Health
from libs.runtime.writer import Writer
from libs.stellar.gateway import LedgerGateway
from services.anchor.app import WatchedAnchor, streams_of
from services.anchor.courier import Courier
from services.anchor.ledgerwork import Faucet, LedgerWork
from services.anchor.logs import Logs

DEPLOYMENT = "demo"
DAY = 86_400
START = datetime(2016, 7, 1, 7, tzinfo=UTC)
LOG_SEED = hashlib.sha256(b"the logs of the tests").digest()
ACCOUNT = Keypair.from_raw_ed25519_seed(hashlib.sha256(b"the anchor of the tests").digest())
INPUTS = streams_of(["pilot"], 1)
STREAMS = ("ANCHORS", *INPUTS)


def day(number: int) -> datetime:
    return START + timedelta(days=number)


def spec_of(stream: str) -> StreamSpec:
    family, part = family_of(stream)
    return StreamSpec(name=stream, subjects=family.subjects(part))


def server() -> MemoryServer:
    made = MemoryServer()
    for stream in STREAMS:
        made.declare(spec_of(stream))
    return made


async def eventually(truth: Callable[[], bool], within_s: float = 5.0) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(within_s):
        while not truth():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)


@dataclass
class Pen:
    """Writes facts of one stream by hand."""

    stream: str
    sequence: int = 0
    numbers: dict[str, int] = field(default_factory=dict)

    def write(self, draft: Draft, *, seen: str = "") -> tuple[str, bytes]:
        n = self.numbers[draft.key] = self.numbers.get(draft.key, 0) + 1
        self.sequence += 1
        return encode(
            draft,
            deployment=DEPLOYMENT,
            stream=self.stream,
            n=n,
            cause=draft.cause or "- test",
            seen=seen,
        )

    def record(self, draft: Draft) -> Recorded[Fact]:
        subject, data = self.write(draft)
        return decode(
            deployment=DEPLOYMENT,
            stream=self.stream,
            sequence=self.sequence,
            subject=subject,
            data=data,
        )


def time_draft(to: datetime) -> Draft:
    fact = TimeAdvanced(to=to, cadence_s=DAY)
    return Draft("time", fact, f"time.{format_instant(to)}", to, "- clock")


@dataclass
class Running:
    """A running anchor."""

    writer: Writer
    rules: WatchedAnchor
    health: Health
    task: "asyncio.Task[None]"


@dataclass
class World:
    """One installation: what is stored outlives the anchor."""

    gateway: LedgerGateway
    passphrase: str
    faucet: Faucet | None = None
    server: MemoryServer = field(default_factory=server)
    prices: Pen = field(default_factory=lambda: Pen("PRICES"))
    fee_stroops_max: int = 100_000

    async def advance(self, to: datetime) -> None:
        expected = self.prices.sequence
        subject, data = self.prices.write(time_draft(to))
        store = MemoryStore(self.server)
        await store.append("PRICES", [Frame(subject, data)], expected=expected)

    async def facts(self, stream: str = "ANCHORS") -> Sequence[Recorded[Fact]]:
        store, found = MemoryStore(self.server), []
        end = await store.end(stream)
        if end:
            async for batch in store.read(stream, after=0, until=end):
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
        return found

    async def names(self) -> list[str]:
        return [each.envelope.id for each in await self.facts()]

    async def until(self, fact_id: str, within_s: float = 10.0) -> None:
        async with asyncio.timeout(within_s):
            while fact_id not in await self.names():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def anchor(self) -> AsyncIterator[Running]:
        """Run an anchor on what is stored; leaving it is a crash: nothing is closed in order."""
        changed, health = asyncio.Event(), Health("anchor", "0", ManualClock())
        rules = WatchedAnchor(
            logs=Logs(DEPLOYMENT, STREAMS),
            stream="ANCHORS",
            interval_s=DAY,
            log_seed=LOG_SEED,
            changed=changed,
        )
        writer = Writer(
            store=MemoryStore(self.server),
            rules=rules,
            deployment=DEPLOYMENT,
            stream="ANCHORS",
            inputs=INPUTS,
        )
        work = LedgerWork(
            gateway=self.gateway,
            account_seed=ACCOUNT.secret,
            network=self.passphrase,
            fee_stroops_max=self.fee_stroops_max,
            faucet=self.faucet,
        )
        courier = Courier(writer=writer, rules=rules, work=work, health=health, changed=changed)
        stop = asyncio.Event()

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(writer.run(stop))
                group.create_task(courier.run(stop))

        task = asyncio.create_task(both())
        try:
            yield Running(writer, rules, health, task)
        finally:
            failure = task.exception() if task.done() else None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if failure is not None:
                raise failure
