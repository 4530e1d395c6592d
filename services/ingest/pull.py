"""Taking messages from one durable consumer of the intake: whatever has arrived, without waiting.

A pull request is kept open ahead of need, so that messages flow while the last batch is decided.
What was taken and not acknowledged comes again after the consumer's `ack_wait`.
"""

import asyncio
import json
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from libs.runtime.health import Health

EXPIRES_S: Final = 5.0
"""Seconds after which the server drops a request that found nothing."""

BEAT_AGE_S_MAX: Final = 60.0
"""Seconds that one batch may take: longer than the event store waits for an append."""

PATIENCE_S: Final = 1.0
"""Seconds between two looks at whether the request is still alive, and between two signs of it."""

SILENCE_S_MAX: Final = 3.0
"""Seconds without any sign after which a request counts as lost, as with a connection."""

_NANOSECONDS: Final = 1_000_000_000


class Puller:
    """Pulls reports for one partition."""

    def __init__(self, client: Client, consumer: str, batch: int, health: Health) -> None:
        """Prepare; `open` starts it.

        Args:
            client: Connected in the account of the devices.
            consumer: Name of the durable consumer on INTAKE.
            batch: Most messages that are handed over at once.
            health: Told whether the consumer answers, as part `intake`.
        """
        self._client, self._batch, self._health = client, batch, health
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.INTAKE.{consumer}"
        self._consumer = consumer
        self._inbox = ""
        self._arrived: list[Msg] = []
        self._wake = asyncio.Event()
        self._asked = 0
        self._heard_until = 0.0

    async def open(self) -> None:
        """Listen for what the consumer sends."""
        self._inbox = self._client.new_inbox()
        await self._client.subscribe(
            self._inbox, cb=self._on_message, pending_msgs_limit=0, pending_bytes_limit=0
        )

    async def take(self) -> list[Msg]:
        """Wait for messages and give what has arrived: 1 to `batch`, in order."""
        while not self._arrived:
            self._wake.clear()
            await self._ask()
            self._health.beat("intake", BEAT_AGE_S_MAX)
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await self._wake.wait()
            except TimeoutError:
                continue
        taken, self._arrived = self._arrived[: self._batch], self._arrived[self._batch :]
        await self._ask()
        self._health.beat("intake", BEAT_AGE_S_MAX)
        return taken

    async def _ask(self) -> None:
        """Keep between one and two batches asked for or held."""
        now = asyncio.get_running_loop().time()
        if now > self._heard_until:
            self._asked = 0
        if self._asked + len(self._arrived) >= self._batch or not self._client.is_connected:
            return
        self._asked += self._batch
        self._heard_until = now + SILENCE_S_MAX
        request = {
            "batch": self._batch,
            "expires": int(EXPIRES_S * _NANOSECONDS),
            "idle_heartbeat": int(PATIENCE_S * _NANOSECONDS),
        }
        await self._client.publish(self._next, json.dumps(request).encode(), reply=self._inbox)

    async def _on_message(self, message: Msg) -> None:
        status = message.headers.get("Status") if message.headers else None
        self._wake.set()
        if status is not None and not message.reply.startswith("$JS.ACK."):
            self._on_status(status, message.headers or {})
            return
        self._asked = max(0, self._asked - 1)
        self._arrived.append(message)
        self._alive()

    def _on_status(self, status: str, headers: dict[str, str]) -> None:
        if status in {"100", "408"}:
            if status == "408":
                left = int(headers.get("Nats-Pending-Messages", "0"))
                self._asked = max(0, self._asked - left)
            self._alive()
            return
        # No consumer, or one that is moving: the request is dead; it is made again in a second.
        self._asked = self._batch
        self._heard_until = asyncio.get_running_loop().time() + PATIENCE_S
        self._health.set("intake", ok=False, detail=f"{self._consumer}: status {status}")

    def _alive(self) -> None:
        self._heard_until = asyncio.get_running_loop().time() + SILENCE_S_MAX
        self._health.set("intake", ok=True, detail="taking reports")
