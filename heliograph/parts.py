"""Keeping one part of the stack running: start, wait until ready, start again when it dies."""

import asyncio
import contextlib
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from signal import SIGKILL
from typing import Any, Final

from heliograph import guard
from heliograph.errors import StackError
from heliograph.processes import Command, end, explain, send, spawn, sweep

DELAY_FIRST_S: Final = 0.1
"""Seconds before the first new start; doubled for each that follows soon."""
DELAY_MAX_S: Final = 5.0
"""Most seconds before a new start."""
STEADY_S: Final = 10.0
"""Seconds after which a part counts as steady, and the delay begins anew."""
LOG_TAIL_BYTES: Final = 1_500
"""Bytes of a log that are shown when a part does not come up."""

HOPELESS: Final = frozenset({2, guard.NOT_RUN})
"""Exit codes that no new start mends: unusable settings (`libs.runtime.process`), no program."""


class What(StrEnum):
    """What an event is about."""

    STARTING = "starting"
    READY = "ready"
    DIED = "died"
    STOPPING = "stopping"
    STOPPED = "stopped"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class StackEvent:
    """Something that happened to a part, for people."""

    what: What
    """Which kind."""
    part: str
    """The part's name, such as `broker`, `ledger`."""
    detail: str = ""
    """A few words."""
    restarts: int = 0
    """How often the part was started again so far."""


Report = Callable[[StackEvent], None]
"""Hears of every event. It must return soon and not raise."""


async def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One process of the stack."""

    name: str
    """Its name in logs and messages."""
    command: Command
    """What runs."""
    ready: Callable[[], Awaitable[object]] = nothing
    """Returns once the part is ready; called anew for each start."""
    probe: Callable[[], Awaitable[object]] = nothing
    """Returns once the part is ready at this moment; called for one that was ready before."""
    prepare: Callable[[], Awaitable[None]] = nothing
    """Called before each start. A `StackError` counts as a failed start."""


class Keeper:
    """Runs one part until it is told to stop."""

    def __init__(self, part: Part, log: Path, folder: Path, report: Report) -> None:
        self.part = part
        self.restarts = 0
        """How often it was started again because it died."""
        self.ready = asyncio.Event()
        """Set while it is ready."""
        self.last_exit: str = ""
        """How it last ended, for people."""
        self.hopeless: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Told when it ended in a way that no new start can mend."""
        self._log, self._folder, self._report = log, folder, report
        self._process: Process | None = None
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if alive and self._process is not None else None

    @property
    def wanted(self) -> bool:
        """Whether it is meant to run."""
        return self._task is not None and not self._stop.is_set()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Begin to keep it running."""
        if self._task is not None and not self._task.done():
            return
        self._stop.clear()
        if self.hopeless.done():
            self.hopeless = asyncio.get_running_loop().create_future()
        self._task = group.create_task(self._keep())

    async def stop(self) -> None:
        """Ask it to stop, kill it when its time is over, and return once it is gone."""
        if self._task is None:
            return
        self._stop.set()
        await asyncio.wait({self._task})

    async def wait_ready(self) -> None:
        """Wait until it is ready at this moment.

        Raises:
            StackError: It cannot become ready.
        """
        ready: asyncio.Future[Any] = asyncio.ensure_future(self.ready.wait())
        hopeless: asyncio.Future[Any] = self.hopeless
        try:
            await asyncio.wait({ready, hopeless}, return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                reason = self.hopeless.result()
                raise StackError(f"{self.part.name} cannot start ({reason}):\n{self.tail()}")
        finally:
            ready.cancel()
        await self.part.probe()

    def kill(self) -> None:
        """Kill its process; it is started again."""
        self.ready.clear()
        if self._process is not None:
            send(self._process, SIGKILL)

    def abort(self) -> None:
        """Kill its process for good."""
        self._stop.set()
        self.kill()

    def tail(self) -> str:
        """Give the end of its log."""
        try:
            with self._log.open("rb") as file:
                file.seek(0, 2)
                file.seek(max(0, file.tell() - LOG_TAIL_BYTES))
                return file.read().decode("utf-8", "replace").strip()
        except OSError:
            return ""

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        delay = DELAY_FIRST_S
        while not self._stop.is_set():
            self._tell(What.STARTING)
            began = loop.time()
            self.last_exit = await self._run_once()
            if self._stop.is_set():
                break
            self.restarts += 1
            if loop.time() - began >= STEADY_S:
                delay = DELAY_FIRST_S
            self._tell(What.DIED, f"{self.last_exit}; starts again in {delay:g} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stop.wait()
            delay = min(delay * 2, DELAY_MAX_S)
        self._tell(What.STOPPED, self.last_exit)

    async def _run_once(self) -> str:
        """Run the process once; give how it ended."""
        try:
            await self.part.prepare()
            process = await spawn(self.part.command, self._log, self._folder)
        except (StackError, OSError) as error:
            return str(error)
        self._process = process
        watching = asyncio.ensure_future(self._watch())
        stopping = asyncio.ensure_future(self._stop.wait())
        ended = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
            self.ready.clear()
            graceful = True
            if not ended.done():
                self._tell(What.STOPPING)
                graceful = await end(process, self.part.command)
            code = await ended
        finally:
            self.ready.clear()
            send(process, SIGKILL)
            sweep(process)
            for task in (watching, stopping, ended):
                task.cancel()
            await asyncio.gather(watching, stopping, ended, return_exceptions=True)
        if code in HOPELESS:
            self._give_up(explain(code))
        return explain(code) if graceful else f"did not stop in {self.part.command.stop_s:g} s"

    async def _watch(self) -> None:
        try:
            await self.part.ready()
        except StackError as error:
            self._give_up(str(error))
            return
        except Exception as error:  # noqa: BLE001 - a mistake of ours must be told, not waited for
            self._give_up(repr(error))
            return
        self.ready.set()
        self._tell(What.READY)

    def _give_up(self, reason: str) -> None:
        if not self.hopeless.done():
            self.hopeless.set_result(reason)

    def _tell(self, what: What, detail: str = "") -> None:
        self._report(StackEvent(what, self.part.name, detail, self.restarts))
