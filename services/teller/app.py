"""The Teller's wiring: settings in, a running agent out."""

import asyncio
import json
import sqlite3
from collections import deque
from datetime import datetime
from itertools import islice, takewhile
from typing import Any, Final

from libs.events.jws import SigningKey
from libs.events.quantities import parse_instant
from libs.runtime.clock import Clock
from libs.runtime.failures import Poison, Transient, problem_document
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from libs.runtime.process import Service
from libs.runtime.settings import SettingsError
from services.teller.domain import (
    Counted,
    Piece,
    SourceChanged,
    constant_load,
    generation,
    pieces,
    resume,
)
from services.teller.domain import (
    build as build_report,
)
from services.teller.mqtt import Courier
from services.teller.outbox import Outbox, OutboxRefused
from services.teller.settings import TellerSettings
from services.teller.source import Source, SourceRefused, read_source
from services.teller.supply import SupplyWatch

BUILT_AT_ONCE: Final = 200
"""Reports that are signed and stored together."""

LOOK_EVERY_S: Final = 1.0
"""Seconds between two looks at the real clock."""

WAIT_S: Final = 60.0
"""Seconds to wait for receipts of played time, unless the request says otherwise."""

WAIT_S_MAX: Final = 600.0
"""Most seconds that a request may wait."""

REFUSED_SHOWN_MAX: Final = 100
"""Most parked reports that the status shows."""

_log = get_logger(__name__)


async def build(settings: TellerSettings, clock: Clock, health: Health) -> Service:
    """Read the source, open the outbox, and join them with the courier.

    Raises:
        SettingsError: The source or the outbox cannot be used; the text says why.
    """
    key = SigningKey(settings.seed_bytes)
    try:
        source = await asyncio.to_thread(read_source, settings.source, settings.time_zone)
    except SourceRefused as error:
        raise SettingsError([f"HELIOGRAPH_TELLER_SOURCE: {error}."]) from error
    _log.info("source-read", **source.report.as_json())
    identity = {
        "deployment": settings.deployment,
        "site": settings.site,
        "address": key.address,
        "generation_meter": settings.generation_meter,
        "consumption_meter": settings.consumption_meter or "",
    }
    try:
        outbox = Outbox.open(settings.data, identity)
    except (OutboxRefused, OSError) as error:
        raise SettingsError([f"HELIOGRAPH_TELLER_DATA: {error}."]) from error
    courier, watch = Courier(settings, outbox, health), SupplyWatch.of(settings, health)
    try:
        return Teller(settings, clock, health, source, outbox, courier, watch)
    except SourceChanged as error:
        outbox.close()
        raise SettingsError([f"HELIOGRAPH_TELLER_SOURCE: {error}."]) from error


class _Line:
    """One meter's reports: those that are built, and those that are still to be."""

    def __init__(self, counted: Counted, size: int, outbox: Outbox) -> None:
        last = outbox.last(counted.meter)
        self.built, begin = 0, 0
        if last is not None:
            self.built, begin = last[0], resume(counted, last[1], last[2])
        self.counted = counted
        self._rest = deque(pieces(counted, size, seq=self.built + 1, begin=begin))

    def ended(self, until: int) -> list[Piece]:
        """Give the next pieces whose last interval ended by an instant (seconds since 1970)."""
        latest = until - self.counted.step_s
        ended = takewhile(lambda one: self.counted.instants[one.end - 1] <= latest, self._rest)
        return list(islice(ended, BUILT_AT_ONCE))

    def advance(self, count: int) -> None:
        """Say that so many of the next pieces are stored."""
        for _ in range(count):
            self.built = self._rest.popleft().seq


class Teller:
    """Builds reports as time passes, and lets the courier carry them."""

    def __init__(
        self,
        settings: TellerSettings,
        clock: Clock,
        health: Health,
        source: Source,
        outbox: Outbox,
        courier: Courier,
        watch: SupplyWatch | None,
    ) -> None:
        """Join the parts.

        Args:
            settings: The Teller's.
            clock: Real time, where it is not played.
            health: Shows the status and takes the played time.
            source: What was measured.
            outbox: Closed when the service ends.
            courier: Sends what the outbox holds.
            watch: Switches the supply; None: nobody is asked for it.

        Raises:
            SourceChanged: The source does not agree with what was reported of it.
        """
        self._settings, self._clock, self._health = settings, clock, health
        self._source, self._outbox, self._courier = source, outbox, courier
        self._watch, self._key = watch, SigningKey(settings.seed_bytes)
        meters = [generation(settings.generation_meter, source)]
        if settings.consumption_meter is not None:
            meters.append(constant_load(settings.consumption_meter, source, settings.load_w))
        self._lines = [_Line(meter, settings.intervals_per_report, outbox) for meter in meters]
        self._building = asyncio.Lock()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until asked to stop; what is not carried by then waits on disk."""
        self._health.describe("teller", self.status)
        if self._settings.played_time:
            self._health.endpoints["POST", "/played-time"] = self.play
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._courier.run())]
                if self._watch is not None:
                    tasks.append(group.create_task(self._watch.run()))
                if not self._settings.played_time:
                    tasks.append(group.create_task(self._follow_clock()))
                await stop.wait()
                for task in tasks:
                    task.cancel()
        finally:
            self._outbox.close()

    async def _follow_clock(self) -> None:
        """Build what has ended by the real clock; try again when the disk is full."""
        while True:
            try:
                await self.build_until(self._clock.now())
            except sqlite3.Error as error:
                self._health.set("outbox", ok=False, detail=str(error))
                _log.error("outbox-failed", reason=str(error))
            await asyncio.sleep(LOOK_EVERY_S)

    async def build_until(self, now: datetime) -> None:
        """Sign and store every report whose last interval ended by now.

        Raises:
            sqlite3.Error: They could not be stored; asking again goes on where it ended.
        """
        until = int(now.timestamp())
        async with self._building:
            for line in self._lines:
                while chunk := line.ended(until):
                    deployment = self._settings.deployment
                    self._outbox.store(
                        build_report(line.counted, piece, deployment=deployment, key=self._key)
                        for piece in chunk
                    )
                    line.advance(len(chunk))
                    self._health.count("reports-built", len(chunk))
                    self._courier.wake()
                    await asyncio.sleep(0)
        self._health.set("outbox", ok=True, detail="stored")

    async def play(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """Answer `POST /played-time`, there only in played time: build, and wait for receipts.

        Args:
            body: JSON: `until`, an instant, and perhaps `timeout_s`, seconds to wait.

        Returns:
            200 with the counts once every report that ended by then has its receipt; 503 with the
            counts when the deadline passed; a problem document for a request that is wrong.
        """
        try:
            until, timeout_s = _read_play(body)
            await self.build_until(until)
        except Poison as error:
            return error.status, problem_document(error)
        except sqlite3.Error as error:
            self._health.set("outbox", ok=False, detail=str(error))
            failure = Transient("outbox-failed", f"The outbox cannot store: {error}.")
            return failure.status, problem_document(failure)
        seconds = int(until.timestamp())
        try:
            async with asyncio.timeout(timeout_s), self._courier.settled:
                await self._courier.settled.wait_for(
                    lambda: self._outbox.waiting_until(seconds) == 0
                )
        except TimeoutError:
            return 503, self._numbers()
        return 200, self._numbers()

    def _numbers(self) -> dict[str, Any]:
        return {"reports_built": sum(line.built for line in self._lines)} | self._outbox.counts()

    def status(self) -> dict[str, Any]:
        """What `GET /status` shows as `teller`."""
        meters = [line.counted.meter for line in self._lines]
        return {
            **self._numbers(),
            "address": self._key.address,
            "source": self._source.report.as_json(),
            "last_receipts": self._courier.last_receipts,
            "refused_reports": self._outbox.refused(REFUSED_SHOWN_MAX),
            "accepted_digest": {meter: self._outbox.digest(meter) for meter in meters},
            "supply": None if self._watch is None else self._watch.status(),
        }


def _read_play(body: bytes) -> tuple[datetime, float]:
    """Read a request for played time.

    Raises:
        Poison: It is no such request.
    """
    try:
        document = json.loads(body)
        until = parse_instant(document["until"])
        timeout_s = float(document.get("timeout_s", WAIT_S))
    except RecursionError as error:
        raise Poison("not-a-played-time", "It is nested too deeply.") from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Poison("not-a-played-time", f"until: {error}", field="until") from error
    if not 0 <= timeout_s <= WAIT_S_MAX:
        raise Poison("not-a-played-time", f"timeout_s: 0 to {WAIT_S_MAX:g}", field="timeout_s")
    return until, timeout_s
