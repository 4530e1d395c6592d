"""A service process that behaves as `HELIOGRAPH_SAMPLE_MODE` says, for the tests of processes."""

import asyncio
import sys
import threading
import time
from typing import Literal

from pydantic import Field

from libs.runtime import process
from libs.runtime.broker import connect
from libs.runtime.clock import Clock
from libs.runtime.failures import FencedOff, Refused, Transient
from libs.runtime.health import Health
from libs.runtime.process import run
from libs.runtime.settings import ServiceSettings

process.GIVE_UP_GRACE_S = 0.05  # type: ignore[misc]


class SampleSettings(ServiceSettings):
    """How to behave."""

    mode: Literal[
        "obedient",
        "bug",
        "fenced",
        "returns",
        "gives-up",
        "stubborn",
        "stuck",
        "thread",
        "connects",
        "blind",
        "waits",
    ] = Field("obedient", description="What the service does.")


class Sample:
    """Does what it is told."""

    def __init__(self, settings: SampleSettings, health: Health) -> None:
        self._mode = settings.mode
        self._health = health

    async def run(self, stop: asyncio.Event) -> None:
        match self._mode:
            case "bug":
                async with asyncio.TaskGroup() as group:
                    group.create_task(stop.wait())
                    group.create_task(self._fail())
            case "fenced":
                raise ExceptionGroup("", [Transient("x", "x"), FencedOff("fenced", "Another.")])
            case "returns":
                return
            case "gives-up":
                self._health.give_up(Transient("nats-closed", "Closed."))
            case "thread":
                threading.Thread(target=time.sleep, args=(60,)).start()
            case _:
                pass
        await stop.wait()
        if self._mode == "stubborn":
            await asyncio.sleep(60)
        if self._mode == "stuck":
            time.sleep(60)  # noqa: ASYNC251 - a loop that is stuck is the point

    async def _fail(self) -> None:
        raise ValueError("what nobody expected")


async def build(settings: SampleSettings, clock: Clock, health: Health) -> Sample:
    if settings.mode in {"stuck", "thread"}:
        process.HARD_STOP_AFTER_S = 0.4  # type: ignore[misc]
    if settings.mode == "connects":
        await connect(settings, health)
    if settings.mode == "blind":
        raise Refused("no-meters", "There is nothing to do.")
    if settings.mode == "waits":
        raise ConnectionRefusedError("not there")
    return Sample(settings, health)


if __name__ == "__main__":
    sys.path.insert(0, ".")
    run(SampleSettings, build)
