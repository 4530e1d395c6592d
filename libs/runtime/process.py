"""The life of a service process: one way to start, one way to run, one way to end.

    def main() -> None:
        run(IngestSettings, build)

Whatever ends a task ends the process, with one log line and an exit code that names why: a service
that is half dead must not look alive.
"""

import asyncio
import faulthandler
import importlib.metadata
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from enum import IntEnum
from typing import Final, NoReturn, Protocol, TypeVar

from libs.runtime.clock import Clock, SystemClock
from libs.runtime.failures import (
    BrokenLaw,
    FailureClass,
    HeliographError,
    Transient,
    classify,
    gravest,
)
from libs.runtime.health import Health, HealthServer, keep_beating
from libs.runtime.logs import get_logger, set_up_logs
from libs.runtime.settings import ServiceSettings, SettingsError, near_misses
from libs.runtime.telemetry import observe, set_up_telemetry, shut_down_telemetry

RETRY_START_EVERY_S: Final = 1.0
"""Seconds between two attempts to build a service whose outside systems are away."""

HARD_STOP_AFTER_S: Final = 8.0
"""Seconds after the last deadline until a process that still hangs is ended without ceremony."""

GIVE_UP_GRACE_S: Final = 1.0
"""Seconds that a service has to end by itself, and to say why, after somebody gave up for it."""

_log = get_logger(__name__)


class ExitCode(IntEnum):
    """Why a process ended."""

    STOPPED = 0
    """It was asked to."""
    BUG = 1
    """A mistake of ours, or a stop that took too long."""
    SETTINGS = 2
    """The settings cannot be used."""
    FENCED = 3
    """Another writer holds the stream."""
    UNREACHABLE = 4
    """An outside system was not reached at start, or was lost for good."""


_EXIT_CODES: Final = {
    FailureClass.FENCED: ExitCode.FENCED,
    FailureClass.TRANSIENT: ExitCode.UNREACHABLE,
    FailureClass.NOT_YET: ExitCode.UNREACHABLE,
}


class Service(Protocol):
    """What a process runs. Built once, by a function that has connected everything it needs."""

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then close everything and return.

        Args:
            stop: Set when the process was asked to end. From then on `stop_timeout_s` counts.

        Raises:
            Exception: Anything; it ends the process, and its failure class decides the exit code.
        """
        ...


S = TypeVar("S", bound=ServiceSettings)

Build = Callable[[S, Clock, Health], Awaitable[Service]]
"""Makes the service. May raise `Transient` while outside systems are away: it is called again."""


def run(settings_class: type[S], build: Build[S]) -> NoReturn:
    """Be a service process, from the first line to the exit code.

    Args:
        settings_class: Read from the environment; names the service.
        build: Makes the service.
    """
    code = run_to_code(settings_class, build)
    _arm_hard_stop(0.0)  # for threads that would not let the interpreter end
    sys.exit(code)


def run_to_code(settings_class: type[S], build: Build[S]) -> ExitCode:
    """Do what `run` does, but return the exit code."""
    try:
        settings = settings_class()
    except SettingsError as error:
        name = settings_class.service
        sys.stderr.write(f"heliograph {name}: these settings cannot be used:\n{error}\n")
        return ExitCode.SETTINGS
    version = release()
    set_up_logs(settings.service, version, level=settings.log_level, log_format=settings.log_format)
    set_up_telemetry(settings.service, version, settings.deployment, settings.otlp_endpoint)
    _log.info("settings", **settings.describe())
    for sentence in near_misses(settings_class, os.environ):
        _log.warning("setting-ignored", detail=sentence)
    try:
        asyncio.run(_with_signals(settings, build, version))
    except Exception as error:  # noqa: BLE001 - the last one to know
        code = report_end(error)
    else:
        _log.info("process-stopped", exit_code=ExitCode.STOPPED.value)
        code = ExitCode.STOPPED
    shut_down_telemetry()
    faulthandler.cancel_dump_traceback_later()
    return code


async def supervise(
    settings: S, build: Build[S], clock: Clock, health: Health, stop: asyncio.Event
) -> None:
    """Run one service with its health until it is asked to stop.

    Without signals and exit codes: for `run`, and for whoever runs several in one process.

    Args:
        settings: The service's.
        build: Makes the service.
        clock: What the service sees as the clock.
        health: Where the service reports; it is served on `health_host` and `health_port`.
        stop: Setting it asks the service to stop.

    Raises:
        Exception: What ended the service, if it was not asked to stop (perhaps in a group).
    """
    server = _serve_health_at(settings, health)
    done = asyncio.Event()
    health.set("process", ok=False, detail="starting")
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(keep_beating(health, done))
            group.create_task(server.run(done))
            giving_up = group.create_task(_given_up(health, stop))
            _log.info("health-served", host=settings.health_host, port=server.port)
            service = await _unless(stop, lambda: _start(settings, build, clock, health))
            if service is not None:
                running = group.create_task(service.run(stop))
                health.set("process", ok=True, detail="running")
                _log.info("service-started", deployment=settings.deployment, book=settings.book)
                await _serve(running, stop, settings.stop_timeout_s, health)
            giving_up.cancel()
            done.set()
    finally:
        server.close()


def report_end(error: BaseException) -> ExitCode:
    """Log what ended a service, in one line that names its failure class.

    Args:
        error: What ended it, perhaps a group.

    Returns:
        The exit code for it.
    """
    failure, worst = classify(error), gravest(error)
    code = _EXIT_CODES.get(failure, ExitCode.BUG)
    if isinstance(worst, SettingsError):
        code = ExitCode.SETTINGS
    _log.error(
        "process-ended",
        failure=failure.value,
        code=worst.code if isinstance(worst, HeliographError) else type(worst).__name__,
        detail=worst.message if isinstance(worst, HeliographError) else str(worst),
        exit_code=code.value,
        exc_info=worst if code is ExitCode.BUG else None,
    )
    return code


def release() -> str:
    """Return the version of Heliograph that runs, or `0` where it is not installed."""
    try:
        return importlib.metadata.version("heliograph")
    except importlib.metadata.PackageNotFoundError:
        return "0"


async def _with_signals(settings: S, build: Build[S], version: str) -> None:
    clock = SystemClock()
    health = Health(settings.service, version, clock)
    stop = asyncio.Event()
    _export(health)

    def ask_to_stop(name: str) -> None:
        _log.info("stop-asked", signal=name)
        _arm_hard_stop(settings.stop_timeout_s)
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask_to_stop, number.name)
    try:
        await supervise(settings, build, clock, health, stop)
    finally:
        _arm_hard_stop(0.0)


def _arm_hard_stop(after_s: float) -> None:
    """End the process, with a stack of every thread, if it hangs beyond all deadlines.

    It works without the event loop and without the interpreter lock, so nothing can hold it up.
    """
    faulthandler.dump_traceback_later(after_s + HARD_STOP_AFTER_S, exit=True)


async def _start(settings: S, build: Build[S], clock: Clock, health: Health) -> Service:
    """Build the service, again and again while outside systems are away."""
    reason = "no answer"
    try:
        async with asyncio.timeout(settings.start_timeout_s):
            while True:
                try:
                    return await build(settings, clock, health)
                except Exception as error:
                    if classify(error) is not FailureClass.TRANSIENT:
                        raise
                    reason = str(gravest(error))
                    health.set("process", ok=False, detail="waiting for outside systems")
                    _log.warning("start-waits", reason=reason)
                await asyncio.sleep(RETRY_START_EVERY_S)
    except TimeoutError:
        raise Transient(
            "start-timed-out",
            f"The service could not start in {settings.start_timeout_s:g} s: {reason}",
        ) from None


def _serve_health_at(settings: ServiceSettings, health: Health) -> HealthServer:
    host, port = settings.health_host, settings.health_port
    try:
        return HealthServer(health, host, port)
    except OSError as error:
        names = [
            f"{settings.prefixes(name)[-1]}{name.upper()}"
            for name in ("health_host", "health_port")
        ]
        raise SettingsError(
            [f"{' and '.join(names)}: {host} port {port} cannot be bound: {error.strerror}."]
        ) from error


async def _given_up(health: Health, stop: asyncio.Event) -> None:
    """Raise what somebody gave up for; after the stop was asked it counts no more.

    A service that fails closes its connections, so its own error comes first: it says more.
    """
    try:
        await health.given_up()
    except Exception:
        await asyncio.sleep(GIVE_UP_GRACE_S)
        if not stop.is_set():
            raise


async def _unless(stop: asyncio.Event, work: Callable[[], Awaitable[Service]]) -> Service | None:
    """Return the result of the work, or None if it was asked to stop before."""
    if stop.is_set():
        return None
    working, stopping = asyncio.ensure_future(work()), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)


async def _serve(
    running: "asyncio.Task[None]", stop: asyncio.Event, stop_timeout_s: float, health: Health
) -> None:
    """Wait for the service to end; whatever it raises itself, its task group raises."""
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    if not stop.is_set() and running.done() and running.exception() is None:
        raise BrokenLaw("service-returned", "The service ended without having been asked to.")
    health.set("process", ok=False, detail="stopping")
    await asyncio.wait({running}, timeout=stop_timeout_s)
    if not running.done():
        raise BrokenLaw("stop-too-slow", f"The service did not close within {stop_timeout_s:g} s.")


def _export(health: Health) -> None:
    observe(
        "heliograph.position",
        lambda: health.positions,
        label="stream",
        description="Sequence up to which a stream was read or written",
    )
    observe(
        "heliograph.events",
        lambda: health.counters,
        label="event",
        description="What happened, counted since the start",
        grows=True,
    )
