"""Carrying reports to the broker and receipts back, over MQTT 3.1.1.

The broker's PUBACK says only that the message reached it, so nothing but the receipt settles a
report. Whatever has no receipt in time is sent again, the same bytes, later and later; after a
lost connection everything under way is sent again at once.
"""

import asyncio
import json
import random
from dataclasses import dataclass
from typing import Any, Final

import aiomqtt

from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from services.teller.outbox import Outbox, Receipt, Settled, Waiting
from services.teller.settings import TellerSettings

IN_FLIGHT_MAX: Final = 500
"""Most reports that were sent and have no receipt."""

REFILL_BELOW: Final = IN_FLIGHT_MAX // 2
"""Reports under way at or below which more are taken from the outbox."""

AT_ONCE: Final = 50
"""Reports that are handed to the broker before one of them is confirmed."""

RECEIPTS_AT_ONCE: Final = 200
"""Most receipts that are worked in together."""

RECEIPT_SIZE_MAX: Final = 16_384
"""Largest receipt that is read, in bytes."""

RESEND_AFTER_S: Final = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds without a receipt after which a report is sent again; the last repeats."""

RECONNECT_AFTER_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before the broker is tried again; the last repeats."""

JITTER: Final = 0.2
"""Part by which a waiting time is lengthened or shortened, so that Tellers do not march in step."""

PUBLISH_TIMEOUT_S: Final = 10.0
"""Seconds to wait for the broker's confirmation."""

KEEPALIVE_S: Final = 20
"""Seconds of silence after which the broker is asked whether it is still there."""

_log = get_logger(__name__)


@dataclass(slots=True)
class _Sent:
    """A report under way."""

    waiting: Waiting
    attempts: int
    due_at: float


class Courier:
    """Sends what waits in the outbox, and settles what comes back."""

    def __init__(self, settings: TellerSettings, outbox: Outbox, health: Health) -> None:
        """Prepare; keep `run` running.

        Args:
            settings: Where the broker is, and who we are.
            outbox: What is to be sent.
            health: Told of the connection, as part `mqtt`; counts.
        """
        self._settings, self._outbox, self._health = settings, outbox, health
        self._sent: dict[tuple[str, int], _Sent] = {}
        self._wake = asyncio.Event()
        self._attempts = 0
        self.settled = asyncio.Condition()
        """Notified whenever receipts were worked in."""
        self.last_receipts: dict[str, dict[str, Any]] = {}
        """The last receipt of each meter, as it came."""

    def wake(self) -> None:
        """Say that the outbox holds more."""
        self._wake.set()

    async def run(self) -> None:
        """Connect and work, again and again, for ever."""
        self._health.set("mqtt", ok=False, detail="connecting")
        while True:
            try:
                await self._session()
            except* (aiomqtt.MqttError, OSError, TimeoutError) as group:
                self._health.set("mqtt", ok=False, detail="disconnected")
                _log.warning("mqtt-disconnected", reason=str(group.exceptions[0]))
            delays = RECONNECT_AFTER_S
            await asyncio.sleep(jittered(delays[min(self._attempts, len(delays) - 1)]))
            self._attempts += 1

    async def _session(self) -> None:
        settings = self._settings
        password = settings.mqtt_password
        async with aiomqtt.Client(
            settings.mqtt_host,
            settings.mqtt_port,
            username=settings.mqtt_user,
            password=None if password is None else password.get_secret_value(),
            identifier=f"teller-{settings.site}",
            protocol=aiomqtt.ProtocolVersion.V311,
            clean_session=True,
            keepalive=KEEPALIVE_S,
            timeout=PUBLISH_TIMEOUT_S,
            max_inflight_messages=AT_ONCE,
        ) as client:
            client.pending_calls_threshold = 2 * AT_ONCE
            await client.subscribe(f"receipts/{settings.site}/+", qos=1)
            self._attempts = 0
            self._health.set("mqtt", ok=True, detail="connected")
            _log.info("mqtt-connected", host=settings.mqtt_host, port=settings.mqtt_port)
            self._sent.clear()  # what was under way may be lost: all of it goes again
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send(client))
                group.create_task(self._receive(client))

    async def _send(self, client: aiomqtt.Client) -> None:
        """Keep up to 500 reports under way, in the order of meter and sequence."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            now = loop.time()
            due = self._due(now)
            for at in range(0, len(due), AT_ONCE):
                chunk = due[at : at + AT_ONCE]
                async with asyncio.TaskGroup() as group:
                    for waiting in chunk:
                        group.create_task(self._publish(client, waiting))
                self._health.count("reports-sent", len(chunk))
            nearest = min((sent.due_at for sent in self._sent.values()), default=now + 60.0)
            try:
                async with asyncio.timeout(max(0.0, nearest - loop.time())):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _due(self, now: float) -> list[Waiting]:
        """What is to be sent now: what is new and has room, and what had no receipt in time."""
        if len(self._sent) <= REFILL_BELOW:
            for waiting in self._outbox.waiting(IN_FLIGHT_MAX):
                key = (waiting.meter, waiting.seq)
                if key not in self._sent and len(self._sent) < IN_FLIGHT_MAX:
                    self._sent[key] = _Sent(waiting, 0, now)
        due = []
        for _, sent in sorted(self._sent.items()):
            if sent.due_at <= now:
                delay = RESEND_AFTER_S[min(sent.attempts, len(RESEND_AFTER_S) - 1)]
                sent.attempts, sent.due_at = sent.attempts + 1, now + jittered(delay)
                due.append(sent.waiting)
        return due

    async def _publish(self, client: aiomqtt.Client, waiting: Waiting) -> None:
        topic = f"intake/{self._settings.site}/{waiting.meter}"
        await client.publish(topic, waiting.jws.encode("ascii"), qos=1)

    async def _receive(self, client: aiomqtt.Client) -> None:
        """Work receipts in, as many at once as have come."""
        messages = client.messages
        async for first in messages:
            batch = [first]
            while len(messages) and len(batch) < RECEIPTS_AT_ONCE:
                batch.append(await anext(messages))
            receipts = [
                receipt for message in batch if (receipt := self._read(message.payload)) is not None
            ]
            if not receipts:
                continue
            for receipt, done in zip(receipts, self._outbox.settle(receipts), strict=True):
                self._health.count(f"receipts-{done.value}")
                if done is Settled.UNKNOWN:
                    continue
                self._sent.pop((receipt.meter, receipt.seq), None)
                if done is Settled.REFUSED:
                    _log.error(
                        "report-refused",
                        meter=receipt.meter,
                        seq=receipt.seq,
                        reason=receipt.reason,
                    )
            self._wake.set()
            async with self.settled:
                self.settled.notify_all()

    def _read(self, payload: object) -> Receipt | None:
        """Read a receipt; one that cannot be read is counted and forgotten."""
        try:
            document = json.loads(_small(payload))
            receipt = Receipt(
                meter=_text(document["meter"]),
                seq=_number(document["seq"]),
                sha256=_text(document["sha256"]),
                recorded={"recorded": True, "refused": False}[document["outcome"]],
                reason=_text(document.get("reason", "")) or None,
                position=_text(document.get("position", "")) or None,
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            self._health.count("receipts-unreadable")
            return None
        self.last_receipts[receipt.meter] = document
        return receipt


def jittered(seconds: float) -> float:
    """Lengthen or shorten a waiting time by up to a fifth."""
    return seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret


def _small(payload: object) -> bytes:
    if not isinstance(payload, bytes) or len(payload) > RECEIPT_SIZE_MAX:
        raise ValueError("no receipt")
    return payload


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _number(value: object) -> int:
    if type(value) is not int:
        raise TypeError("no number")
    return value
