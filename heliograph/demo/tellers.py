"""The Tellers of the factories: each signs for two meters and sends over a connection of its own.

They count and sign as `services/teller` does, by its own rules. They keep nothing on disk: the same
day gives the same bytes, so what has no receipt yet is simply sent again.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
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


class Teller:
    """One factory's Teller."""

    def __init__(self, factory: Factory, day: EnergyDay, broker: tuple[str, int, str]) -> None:
        """Prepare; keep `run` running.

        Args:
            factory: Whose meters.
            day: What they measure.
            broker: Host, port and password.
        """
        self._site, self._broker = factory.site, broker
        self._key: SigningKey = factory.teller_key
        self._meters = counted(factory, day)
        self._reports = 0
        self._waiting: dict[tuple[str, int], str] = {}
        self._more = asyncio.Event()
        self._settled = asyncio.Condition()
        self._refused = ""

    async def report(self, begin: int, end: int) -> None:
        """Report some slots, and wait for the receipts.

        Args:
            begin: Number of the first slot.
            end: Number behind the last.

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
        host, port, password = self._broker
        while True:
            try:
                async with aiomqtt.Client(
                    host,
                    port,
                    username=device_user(self._site),
                    password=password,
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

    def __init__(self, day: EnergyDay, host: str, port: int, passwords: Mapping[str, str]) -> None:
        """Prepare; keep `run` running.

        Args:
            day: What the meters measure.
            host: The broker's for devices.
            port: The broker's for devices.
            passwords: By user of the broker.
        """
        self._tellers: Sequence[Teller] = [
            Teller(each, day, (host, port, passwords[device_user(each.site)])) for each in FACTORIES
        ]

    async def run(self) -> None:
        """Keep all of them running."""
        async with asyncio.TaskGroup() as group:
            for teller in self._tellers:
                group.create_task(teller.run())

    async def report(self, begin: int, end: int, deadline_s: float) -> None:
        """Let all report some slots.

        Raises:
            TimeoutError: A receipt did not come in time.
            StackError: A report was refused.
        """
        async with asyncio.timeout(deadline_s):
            await asyncio.gather(*(teller.report(begin, end) for teller in self._tellers))
