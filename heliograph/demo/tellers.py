"""Tellers of a demonstration: each signs for its meters and sends over a connection of its own.

They count and sign as `services/teller` does, by its own rules. They keep nothing on disk: the same
day gives the same bytes, so what has no receipt yet is simply sent again.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import aiomqtt

from heliograph.demo import cast
from heliograph.demo.energy_day import SLOT_S, SLOTS, EnergyDay
from heliograph.demo.factories import FACTORIES, Factory
from heliograph.errors import StackError
from heliograph.layout import device_user
from libs.events.jws import SigningKey
from services.teller.domain import Counted, Piece, build

SEND_AGAIN_S: Final = 5.0
"""Seconds without a receipt after which a report is sent again."""

RECONNECT_S: Final = 0.2
"""Seconds before the broker is tried again."""


def counted(factory: Factory, day: EnergyDay) -> tuple[Counted, Counted]:
    """The registers of a factory's two meters, slot by slot."""
    first = int(day.starts_at.timestamp())
    instants = range(first, first + SLOTS * SLOT_S, SLOT_S)
    made, used = factory.meters
    generated = list(accumulate(day.made_wh[factory.id]))
    consumed = list(accumulate(day.used_wh[factory.id]))
    return (
        Counted(made, SLOT_S, instants, (("consumed", [0] * SLOTS), ("generated", generated))),
        Counted(used, SLOT_S, instants, (("consumed", consumed),)),
    )


@dataclass(frozen=True, slots=True)
class Broker:
    """Where devices connect."""

    host: str
    """Its host."""
    port: int
    """Its port for MQTT."""
    passwords: Mapping[str, str]
    """Passwords by user."""


class Teller:
    """The Teller of one site."""

    def __init__(
        self, site: str, key: SigningKey, meters: Sequence[Counted], broker: Broker
    ) -> None:
        """Prepare; keep `run` running.

        Args:
            site: Where it stands.
            key: Signs for all its meters.
            meters: What they measure.
            broker: Where it connects.
        """
        self._site, self._broker, self._key, self._meters = site, broker, key, meters
        self._reports = 0
        self._waiting: dict[tuple[str, int], str] = {}
        self._more = asyncio.Event()
        self._settled = asyncio.Condition()
        self._refused = ""

    async def report(self, begin: int, end: int) -> None:
        """Report some intervals of every meter, and wait for the receipts.

        Args:
            begin: Index of the first interval.
            end: Index behind the last.

        Raises:
            StackError: A report was refused.
        """
        self._reports += 1
        for meter in self._meters:
            piece = Piece(self._reports, begin, end)
            built = build(meter, piece, deployment=cast.DEPLOYMENT, key=self._key)
            self._waiting[built.meter, built.seq] = built.jws
        self._more.set()
        async with self._settled:
            await self._settled.wait_for(lambda: not self._waiting or self._refused)
        if self._refused:
            raise StackError(f"A report was refused: {self._refused}")

    async def run(self) -> None:
        """Connect, send and take receipts, again and again, for ever."""
        user = device_user(self._site)
        while True:
            try:
                async with aiomqtt.Client(
                    self._broker.host,
                    self._broker.port,
                    username=user,
                    password=self._broker.passwords[user],
                    identifier=f"teller-{self._site}",
                    protocol=aiomqtt.ProtocolVersion.V311,
                ) as client:
                    await client.subscribe(f"receipts/{self._site}/+", qos=1)
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._send(client))
                        group.create_task(self._receive(client))
            except* (aiomqtt.MqttError, OSError, TimeoutError):
                pass  # the broker is away: all that waits is sent again
            await asyncio.sleep(RECONNECT_S)

    async def _send(self, client: aiomqtt.Client) -> None:
        while True:
            self._more.clear()
            for (meter, _), jws in list(self._waiting.items()):
                await client.publish(f"intake/{self._site}/{meter}", jws.encode("ascii"), qos=1)
            try:
                async with asyncio.timeout(SEND_AGAIN_S):
                    await self._more.wait()
            except TimeoutError:
                continue

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            receipt: dict[str, Any] = json.loads(message.payload)
            async with self._settled:
                self._waiting.pop((receipt["meter"], receipt["seq"]), None)
                if receipt["outcome"] == "refused":
                    self._refused = f"{receipt['meter']}: {receipt['reason']}"
                self._settled.notify_all()


class Tellers:
    """All of them."""

    def __init__(self, tellers: Sequence[Teller]) -> None:
        """Prepare; keep `run` running."""
        self._tellers = tellers

    async def run(self) -> None:
        """Keep all of them running."""
        async with asyncio.TaskGroup() as group:
            for teller in self._tellers:
                group.create_task(teller.run())

    async def report(self, begin: int, end: int, deadline_s: float) -> None:
        """Let all report some intervals.

        Raises:
            TimeoutError: A receipt did not come in time.
            StackError: A report was refused.
        """
        async with asyncio.timeout(deadline_s):
            await asyncio.gather(*(teller.report(begin, end) for teller in self._tellers))


def factory_tellers(day: EnergyDay, broker: Broker) -> Tellers:
    """The Tellers of the twenty factories.

    Args:
        day: What their meters measure.
        broker: Where they connect.
    """
    return Tellers(
        [Teller(each.site, each.teller_key, counted(each, day), broker) for each in FACTORIES]
    )
