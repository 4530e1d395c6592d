"""Refused reports of nobody that we know: kept for operators, few per device, never facts.

What a stranger sends must not fill our disk: each device may leave ten a minute, all together six
hundred; the others are counted only, and their number stands in the next that is kept.
"""

import asyncio
import base64
import json
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from libs.runtime.broker import request
from libs.runtime.clock import Clock
from libs.runtime.health import Health
from services.ingest.reports import Breach, Incoming

PER_DEVICE: Final = 10
"""Most kept refusals of one device within a minute."""

ALTOGETHER: Final = 600
"""Most kept refusals of all devices within a minute."""

MINUTE_S: Final = 60.0
"""Length of the window, in seconds."""

DEVICES_MAX: Final = 10_000
"""Devices whose windows are remembered; the one that was silent longest is forgotten."""

BYTES_KEPT: Final = 256
"""First bytes of a refused message that are kept."""

WAITING_MAX: Final = 1_000
"""Most refusals that wait to be stored; more are counted only."""

ANSWER_S: Final = 2.0
"""Seconds to wait for the stream's answer."""

SUBJECT_SHOWN_MAX: Final = 200
"""Most characters of a stranger's subject that are kept."""


@dataclass(slots=True)
class _Window:
    """What one device has left within a minute."""

    began: float
    kept: int = 0
    left_out: int = 0


class Limiter:
    """Counts per device, and altogether, within windows of a minute."""

    def __init__(self) -> None:
        """Begin with empty windows."""
        self._devices: OrderedDict[str, _Window] = OrderedDict()
        self._all = _Window(float("-inf"))

    def take(self, device: str, now: float) -> int:
        """Ask to keep one refusal.

        Args:
            device: Whose it is.
            now: Monotonic seconds.

        Returns:
            How many it stands for: itself and those left out since the last; 0: leave it out.
        """
        window = self._devices.pop(device, None) or _Window(now)
        self._devices[device] = window
        if len(self._devices) > DEVICES_MAX:
            self._devices.popitem(last=False)
        for one in (window, self._all):
            if now - one.began >= MINUTE_S:
                one.began, one.kept = now, 0
        if window.kept >= PER_DEVICE or self._all.kept >= ALTOGETHER:
            window.left_out += 1
            return 0
        window.kept += 1
        self._all.kept += 1
        stands_for, window.left_out = window.left_out + 1, 0
        return stands_for


class Refusals:
    """Stores refusals in REFUSALS, beside the hot path."""

    def __init__(self, client: Client, clock: Clock, health: Health) -> None:
        """Prepare; keep `run` running.

        Args:
            client: Connected as ingest, which alone may write REFUSALS.
            clock: Its monotonic seconds part the minutes.
            health: Counts.
        """
        self._client, self._clock, self._health = client, clock, health
        self._limiter = Limiter()
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(WAITING_MAX)

    def keep(self, subject: str, incoming: Incoming, breach: Breach, *, enrolled: bool) -> None:
        """Note a refusal, if its device may still leave one.

        Args:
            subject: The intake subject.
            incoming: The message.
            breach: Why it was refused.
            enrolled: Whether its topic's meter is one of ours.
        """
        self._health.count(f"refused-{breach.reason}")
        device = subject[:SUBJECT_SHOWN_MAX]
        stands_for = self._limiter.take(device, self._clock.monotonic())
        if not stands_for:
            self._health.count("refusals-left-out")
            return
        document = {
            "reason": breach.reason,
            "detail": breach.detail,
            "sha256": incoming.sha256,
            "first_256_bytes": base64.b64encode(incoming.data[:BYTES_KEPT]).decode("ascii"),
            "subject": device,
            "count": stands_for,
        }
        meter = incoming.meter if enrolled and incoming.meter is not None else "unknown"
        text = json.dumps(document, separators=(",", ":")).encode("utf-8")
        try:
            self._waiting.put_nowait((f"refusals.{breach.reason}.{meter}", text))
        except asyncio.QueueFull:
            self._health.count("refusals-left-out")

    async def run(self) -> None:
        """Store what waits, one after the other; what cannot be stored is counted and dropped."""
        while True:
            subject, text = await self._waiting.get()
            try:
                answer = await request(self._client, subject, text, ANSWER_S)
                stored = b'"error"' not in answer.data
            except (NatsError, OSError):
                stored = False
            self._health.count("refusals-kept" if stored else "refusals-lost")
