"""The load: signed commands over NATS, as the gateway sends them, with as little work as possible.

One connection of the gateway's user. Frames are made before, and written many at once; answers are
taken straight from the parser. What a command costs here is told beside the figures.
"""

import asyncio
from collections.abc import Sequence
from typing import Final, Self

from bench.measure import Stopwatch
from bench.trade_world import BOOK
from heliograph.broker import GATEWAY
from heliograph.stack import Stack
from libs.eventstore.natspy import TappedClient

DEADLINE_S: Final = 120.0
"""Seconds in which everything that was sent must be answered."""

TICK_S: Final = 0.001
"""Seconds between two looks at what is to be sent, at a given rate."""

PENDING_BYTES: Final = 64 * 1024 * 1024
"""Bytes that may wait for the connection."""

ACCEPTED: Final = b'"outcome":"accepted"'
"""What stands in an answer once for each command that was carried out."""

_INBOX: Final = "_INBOX.bench."


class Load:
    """Sends commands and counts what was accepted."""

    def __init__(self, client: TappedClient) -> None:
        self._client = client
        self._answered = self._accepted = self._sent = 0
        self._due_s: list[float] = []
        self._delays_s: list[float] = []
        self._wrong = b""
        self._moved = asyncio.Event()

    @classmethod
    async def connect(cls, stack: Stack) -> Self:
        """Connect as the gateway."""
        client = TappedClient()
        await client.connect(
            stack.urls.nats,
            user=GATEWAY,
            password=stack.credentials.passwords[GATEWAY],
            pending_size=PENDING_BYTES,
        )
        load = cls(client)
        await client.tap(f"{_INBOX}>", load._on_answer)
        await client.flush()
        return load

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    def _on_answer(self, subject: bytes, reply: bytes, data: bytes, head: bytes | None) -> None:
        del reply, head
        number = int(subject[len(_INBOX) :])
        if self._due_s:
            self._delays_s.append(asyncio.get_running_loop().time() - self._due_s[number])
        accepted = data.count(ACCEPTED)
        self._accepted += accepted
        if not accepted:
            self._wrong = self._wrong or data[:500]
        self._answered += 1
        self._moved.set()

    async def send(self, commands: Sequence[bytes], *, trades: int, window: int) -> float:
        """Send all, with at most `window` of them on their way, until the last answer.

        Args:
            commands: Signed commands.
            trades: How many trades they execute together.
            window: How many may be on their way at once.

        Returns:
            Seconds from the first to the last answer.

        Raises:
            RuntimeError: Not every trade was accepted.
        """
        blocks = self._begin(commands)
        watch = Stopwatch()
        async with asyncio.timeout(DEADLINE_S):
            while self._answered < len(blocks):
                until = min(self._answered + window, len(blocks))
                if until > self._sent:
                    await self._write(blocks, until)
                self._moved.clear()
                if self._answered < len(blocks):
                    await self._moved.wait()
        self._check(trades)
        return watch.seconds

    async def send_at(self, commands: Sequence[bytes], rate: float) -> list[float]:
        """Send commands of one trade each on a timetable, however slow the answers are.

        Args:
            commands: Signed commands.
            rate: Commands a second.

        Returns:
            Seconds from the instant at which each should have been sent to its answer.

        Raises:
            RuntimeError: Not every trade was accepted.
        """
        blocks, loop = self._begin(commands), asyncio.get_running_loop()
        begun_s = loop.time()
        self._due_s = [begun_s + number / rate for number in range(len(blocks))]
        async with asyncio.timeout(DEADLINE_S):
            while self._answered < len(blocks):
                until = min(int((loop.time() - begun_s) * rate) + 1, len(blocks))
                if until > self._sent:
                    await self._write(blocks, until)
                await asyncio.sleep(TICK_S)
        self._check(len(commands))
        return self._delays_s

    def _begin(self, commands: Sequence[bytes]) -> list[bytes]:
        self._answered = self._accepted = self._sent = 0
        self._due_s, self._delays_s = [], []
        subject = f"commands.ledger.{BOOK}"
        return [
            f"PUB {subject} {_INBOX}{number} {len(text)}\r\n".encode() + text + b"\r\n"
            for number, text in enumerate(commands)
        ]

    async def _write(self, blocks: Sequence[bytes], until: int) -> None:
        part, self._sent = blocks[self._sent : until], until
        await self._client.write_at_once(b"".join(part))

    def _check(self, trades: int) -> None:
        if self._accepted != trades:
            raise RuntimeError(f"{self._accepted} of {trades} trades accepted: {self._wrong!r}")
