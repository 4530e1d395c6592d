"""The bare hot path of commands: the real desk and writer under rules that only answer.

    python -m bench.commands --count 30000    # one per command, then batches

What a trade costs on top of this is the ledger's own rules. Processor time for each command is
the steadier figure where other work shares the machine.
"""

import argparse
import asyncio
import multiprocessing
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil

from bench.measure import Stopwatch, percentile
from bench.world import APPEND, DEPLOYMENT, KEY, START, Named, frames, running, store_of
from heliograph.stack import Stack
from libs.events.batch import Batch, BatchItem
from libs.events.command import WINDOW_S_MAX, Body, Command, write_command
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.jws import SigningKey
from libs.events.membership import MemberRegistered
from libs.events.timekeeping import TimeAdvanced
from libs.events.trade_commands import ExecuteTrade
from libs.events.trading import TradeExecuted
from libs.eventstore import JetStreamStore
from libs.eventstore.natspy import TappedClient
from libs.rules.authority import Authority, Order
from libs.runtime.clock import SystemClock
from libs.runtime.commands import command_subject
from libs.runtime.health import Health
from libs.runtime.heap import settle_heap
from libs.runtime.hot_commands import serve_commands_plain
from libs.runtime.orders import OrderDesk
from libs.runtime.writer import Writer
from libs.runtime.writing import API_PREFIX

BOOK, STREAM, INPUTS = "pilot", "LEDGER_pilot", ("MEMBERS", "PRICES")
BUYER = SigningKey(b"k" * 32)
DEADLINE_S = 120.0
"""Seconds in which all answers must have come."""
START_S = 2.0
"""Seconds that the service has to start."""


class Rules:
    """Rules that carry out every trade."""

    def __init__(self) -> None:
        self.authority = Authority(deployment=DEPLOYMENT, service="ledger", book=BOOK)

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold what the authority needs."""
        self.authority.evolve(recorded, own=recorded.stream == STREAM)

    def due(self) -> Sequence[Draft]:
        """Nothing follows by itself."""
        return ()

    def decide(self, order: Order) -> Sequence[Draft]:
        """Carry a trade out, whatever it is."""
        executed = TradeExecuted(
            trade=order.body(ExecuteTrade).trade_id,
            seller="seller",
            buyer=order.signer.member,
            asset="TOKEN",
            energy_wh=200_000,
            price_stroops_per_kwh=800_000,
            total_stroops=160_000_000,
            command=order.kept,
        )
        return (Draft("seller", executed, f"{order.id}.executed", order.time),)


def serve(url: str, user: str, password: str) -> None:
    """Be the service process, until it is terminated."""
    asyncio.run(_serve(url, user, password))


async def _serve(url: str, user: str, password: str) -> None:
    store = await JetStreamStore.connect(url, user, password, "bench", api_prefix=API_PREFIX)
    rules, stop = Rules(), asyncio.Event()
    writer = Writer(store=store, rules=rules, deployment=DEPLOYMENT, stream=STREAM, inputs=INPUTS)
    desk = OrderDesk(writer=writer, authority=rules.authority, decide=rules.decide)
    health, subject = Health("bench", "0", SystemClock()), command_subject("ledger", BOOK)
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run(stop))
        await writer.recovered.wait()
        settle_heap()
        group.create_task(
            serve_commands_plain(store.client, subject, desk.take, health=health, stop=stop)
        )


class Load:
    """Sends signed commands, so many at once on their way, and counts the answers."""

    def __init__(self, client: TappedClient, subject: str) -> None:
        self._client, self._subject = client, subject.encode("ascii")
        self._inbox = client.new_inbox().encode("ascii")
        self._answered = 0
        self._moved = asyncio.Event()
        self._sent_at: list[float] = []
        self._is_timed = False
        self.delays_s: list[float] = []
        self.refused: bytes | None = None

    async def start(self) -> None:
        """Listen for answers."""
        await self._client.tap(f"{self._inbox.decode()}.*", self._on_answer)

    def _on_answer(self, subject: bytes, reply: bytes, data: bytes, head: bytes | None) -> None:
        del reply, head
        if data.startswith(b'{"outcome"') and b'"type"' not in data:
            self._answered += 1
        else:
            self.refused = data
        if self._is_timed:
            at = self._sent_at[int(subject.rpartition(b".")[2])]
            self.delays_s.append(asyncio.get_running_loop().time() - at)
        self._moved.set()

    async def send(
        self, texts: Sequence[bytes], *, window: int, rate: float | None = None
    ) -> float:
        """Send all, at full speed or at a rate, and wait for every answer.

        Args:
            texts: Signed commands.
            window: Most that are on their way at once.
            rate: Commands a second; then the delay of each is kept.

        Returns:
            Seconds from the first send to the last answer.
        """
        loop, watch, goal, sent = asyncio.get_running_loop(), Stopwatch(), len(texts), 0
        self._answered, self._is_timed, self._sent_at = 0, rate is not None, [0.0] * goal
        async with asyncio.timeout(DEADLINE_S):
            while self._answered < goal:
                if self.refused is not None:
                    raise ValueError(self.refused)
                room = min(goal, self._answered + window)
                if rate is not None:
                    room = min(room, int(watch.seconds * rate) + 1)
                if room > sent:
                    self._sent_at[sent:room] = [loop.time()] * (room - sent)
                    await self._client.write_at_once(self._block(texts, sent, room))
                    sent = room
                await self._wait(0.001 if rate is not None else None)
        return watch.seconds

    async def _wait(self, seconds: float | None) -> None:
        if seconds is not None:
            await asyncio.sleep(seconds)
            return
        self._moved.clear()
        await self._moved.wait()

    def _block(self, texts: Sequence[bytes], begin: int, end: int) -> bytes:
        return b"".join(
            b"PUB %b %b.%d %d\r\n%b\r\n"
            % (self._subject, self._inbox, number, len(texts[number]), texts[number])
            for number in range(begin, end)
        )


class Busy:
    """Processor time of a process since now."""

    def __init__(self, pid: int | None) -> None:
        self._process = psutil.Process(pid)
        self._before = self._process.cpu_times()

    def us(self, count: int) -> str:
        """Say what each of so many commands took of it."""
        now = self._process.cpu_times()
        seconds = now.user + now.system - self._before.user - self._before.system
        return f"{seconds / count * 1e6:.0f} us of the service's processor time each"


def sign(body: Body, command_id: str, member: str = "buyer", key: SigningKey = BUYER) -> bytes:
    """Sign one command for the book."""
    nbf = int(START.timestamp())
    claims = Command(
        deployment=DEPLOYMENT,
        service="ledger",
        book=BOOK,
        id=command_id,
        member=member,
        nbf=nbf,
        exp=nbf + WINDOW_S_MAX,
        command=body.command_name,
        body=body,
    )
    return key.sign("hg-command+jws", write_command(claims)).encode("ascii")


def sign_single(count: int, name: str) -> list[bytes]:
    """Sign so many commands that stand alone."""
    return [sign(ExecuteTrade(tradeId=f"{name}-{n}"), f"{name}-{n}") for n in range(count)]


def sign_batches(count: int, size: int, name: str) -> list[bytes]:
    """Sign batches of so many commands."""

    def batch(number: int) -> Batch:
        ids = [f"{name}-{number}-{at}" for at in range(size)]
        items = (BatchItem(id=i, command="ExecuteTrade", body={"tradeId": i}) for i in ids)
        return Batch(commands=tuple(items))

    return [sign(batch(number), f"{name}-{number}") for number in range(count)]


async def prepare(stack: Stack) -> None:
    """Write a time and the members, as oracle and register would."""
    advanced = TimeAdvanced(to=START, cadence_s=86_400)
    async with store_of(stack, "oracle") as store:
        await store.append(
            "PRICES", frames("PRICES", [Named("time", advanced, "time")], {}), expected=0
        )
    text = sign(ExecuteTrade(tradeId="x"), "x").decode("ascii")
    facts = [
        Named(name, MemberRegistered(member=name, address=key.address, roles=("recipient",),
                                     command=text), f"{name}.registered")
        for name, key in (("buyer", BUYER), ("seller", KEY))
    ]  # fmt: skip
    async with store_of(stack, "ledger") as store:
        made = frames("MEMBERS", facts, {})
        for at in range(0, len(made), APPEND):
            await store.append("MEMBERS", made[at : at + APPEND], expected=at)


async def measure(folder: Path, count: int, window: int) -> None:
    """Run the service in a process of its own, and print what it does."""
    async with running(folder, 1) as stack:
        await prepare(stack)
        url, passwords = stack.urls.nats, stack.credentials.passwords
        spawn = multiprocessing.get_context("spawn")
        process = spawn.Process(target=serve, args=(url, "ledger", passwords["ledger"]))
        process.start()
        try:
            client = TappedClient()
            await client.connect(url, user="gateway", password=passwords["gateway"])
            load = Load(client, command_subject("ledger", BOOK))
            await load.start()
            await asyncio.sleep(START_S)
            await load.send(sign_single(1_000, "warm"), window=window)
            single, batches = sign_single(count, "one"), sign_batches(count // 500, 500, "batch")
            busy = Busy(process.pid)
            rate = count / await load.send(single, window=window)
            print(f"one per command: {rate:,.0f}/s, {busy.us(count)}")  # noqa: T201
            half = sign_single(int(rate * 2.5), "half")
            await load.send(half, window=window, rate=rate / 2)
            for part in (0.5, 0.99):
                delay_ms = percentile(load.delays_s, part) * 1_000
                print(f"half load, p{part * 100:.0f}: {delay_ms:.1f} ms")  # noqa: T201
            busy = Busy(process.pid)
            rate = len(batches) * 500 / await load.send(batches, window=4)
            print(f"batches of 500: {rate:,.0f}/s, {busy.us(count)}")  # noqa: T201
            await client.close()
        finally:
            process.terminate()
            process.join()


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(prog="python -m bench.commands", description=__doc__)
    parser.add_argument("--count", type=int, default=30_000, help="commands of each kind")
    parser.add_argument("--window", type=int, default=2_000, help="commands on their way at once")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heliograph-bench-") as folder:
        asyncio.run(measure(Path(folder) / "data", told.count, told.window))


if __name__ == "__main__":
    main()
