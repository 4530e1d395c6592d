"""Signed report in (over NATS) -> durable `ReadingRecorded` and receipt."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg

from bench import raw
from bench.measure import Results, Row, Stopwatch, percentile
from bench.world import SITE, enrol, frames, meter_names, readings, running, sign_reports, store_of
from heliograph.broker import BOOTSTRAP_EDGE
from heliograph.stack import Stack

WINDOW = 4_000
"""Most reports on their way at once, as the Tellers of many sites would have."""

DEADLINE_S = 120.0
"""Seconds in which all receipts must have come."""


class Load:
    """Sends signed reports and waits for their receipts."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sent_at: dict[tuple[str, int], float] = {}
        self.delays_s: list[float] = []
        self._receipts = 0
        self._moved = asyncio.Event()

    async def start(self) -> None:
        """Listen for receipts."""
        await self._client.subscribe("receipts.>", cb=self._on_receipt)

    async def _on_receipt(self, message: Msg) -> None:
        self._receipts += 1
        self._moved.set()
        if self._sent_at:
            at = message.data.index(b'"seq":') + 6
            seq = int(message.data[at : message.data.index(b",", at)])
            sent = self._sent_at.pop((message.subject.rpartition(".")[2], seq), None)
            if sent is not None:
                self.delays_s.append(asyncio.get_running_loop().time() - sent)

    async def send(
        self, signed: Sequence[tuple[str, bytes]], *, rate: float | None = None, first_seq: int = 0
    ) -> float:
        """Send all, at full speed or at a rate, and wait for every receipt.

        Returns:
            Seconds from the first send to the last receipt.
        """
        loop, watch, goal = asyncio.get_running_loop(), Stopwatch(), self._receipts + len(signed)
        meters = len({meter for meter, _ in signed})
        async with asyncio.timeout(DEADLINE_S):
            for index, (meter, text) in enumerate(signed):
                if rate is not None:
                    self._sent_at[meter, first_seq + index // meters] = loop.time()
                    if (ahead_s := index / rate - watch.seconds) > 0:
                        await asyncio.sleep(ahead_s)
                await self._client.publish(f"intake.{SITE}.{meter}", text)
                while goal - len(signed) + index - self._receipts > WINDOW:
                    await self._wait()
            await self._client.flush()
            while self._receipts < goal:
                await self._wait()
        return watch.seconds

    async def _wait(self) -> None:
        self._moved.clear()
        await self._moved.wait()


async def connect(stack: Stack) -> Client:
    """A connection in the account of the devices; the bootstrap's user may do what a load needs."""
    return await nats.connect(
        stack.urls.nats,
        user=BOOTSTRAP_EDGE,
        password=stack.credentials.passwords[BOOTSTRAP_EDGE],
        pending_size=16 * 1024 * 1024,
    )


async def run(folder: Path, results: Results, *, meters: int, rounds: int) -> float:
    """Measure the path and its raw parts.

    Args:
        folder: For the stack's data; new.
        results: Where rows are added.
        meters: Number of meters.
        rounds: Reports of each.

    Returns:
        Reports a second.
    """
    names = meter_names(meters)
    signed = sign_reports(names, 1, rounds)
    verified = raw.verify_rate([text for _, text in signed], "hg-report+jws")
    verify = results.add(Row("bare Ed25519 verification", verified, "1/s"))
    async with running(folder, meters) as stack, store_of(stack, "ingest") as store:
        rows = frames("READINGS_0", readings(signed, meters), {})
        append = await raw.append_rate(store, "READINGS_0", rows, 1_000)
        results.add(Row("bare atomic-batch appends", append, "facts/s"))
    slower = min(verify, append)
    async with running(folder.with_name("ingest"), meters) as stack:
        await enrol(stack, names)
    async with running(folder.with_name("ingest"), meters, "ingest") as stack:
        client = await connect(stack)
        load = Load(client)
        await load.start()
        rate = len(signed) / await load.send(signed)
        path = "signed report -> durable, receipt"
        results.add(Row(path, rate, "reports/s", rate / slower, "slower raw part", 0.5))
        await _lag(load, results, names, rounds, rate / 2)
        await client.close()
    return rate


async def _lag(load: Load, results: Results, names: list[str], rounds: int, rate: float) -> None:
    """Delays from sending to receipt at half the load."""
    count = max(1, min(rounds, int(rate * 5 / len(names))))
    more = sign_reports(names, rounds + 1, count)
    await load.send(more, rate=rate, first_seq=rounds + 1)
    for part, name in ((0.5, "p50"), (0.99, "p99")):
        delay_ms = percentile(load.delays_s, part) * 1_000
        results.add(Row(f"report -> receipt at half load, {name}", delay_ms, "ms"))
