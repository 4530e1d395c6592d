"""The life of a service: real processes with real signals, and the same in one loop."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.runtime.clock import Clock, SystemClock
from libs.runtime.failures import BrokenLaw, FailureClass, Refused, Transient, classify, gravest
from libs.runtime.health import Health
from libs.runtime.process import ExitCode, Service, supervise
from libs.runtime.settings import ServiceSettings

SCRIPT = Path(__file__).with_name("sample_service.py")
ROOT = SCRIPT.parents[2]


@dataclass
class Ended:
    """What a process left behind."""

    code: int
    lines: list[dict[str, Any]]
    stderr: str

    def line(self, event: str) -> dict[str, Any]:
        (found,) = [line for line in self.lines if line["event"] == event]
        return found


class Process:
    """A sample service as a process of its own."""

    def __init__(self, mode: str, **variables: str) -> None:
        shared = {"HELIOGRAPH_DEPLOYMENT": "test", "HELIOGRAPH_STOP_TIMEOUT_S": "0.4"}
        own = {f"HELIOGRAPH_SAMPLE_{name.upper()}": value for name, value in variables.items()}
        self._popen = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
            | shared
            | own
            | {"HELIOGRAPH_SAMPLE_MODE": mode},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[dict[str, Any]] = []

    def wait_for(self, event: str) -> dict[str, Any]:
        assert self._popen.stdout is not None
        for text in self._popen.stdout:
            self._lines.append(json.loads(text))
            if self._lines[-1]["event"] == event:
                return self._lines[-1]
        raise AssertionError(f"{event} never came: {self._lines}")

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def end(self) -> Ended:
        out, err = self._popen.communicate(timeout=15)
        self._lines += [json.loads(text) for text in out.splitlines()]
        return Ended(self._popen.returncode, self._lines, err)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_asked_to_stop_ends_with_0(number: signal.Signals) -> None:
    process = Process("obedient", nats_password="hunter2")
    process.wait_for("service-started")
    process.send(number)
    ended = process.end()

    assert ended.code == ExitCode.STOPPED
    assert [line["event"] for line in ended.lines] == [
        "settings",
        "health-served",
        "service-started",
        "stop-asked",
        "process-stopped",
    ]
    assert ended.stderr == ""
    assert ended.line("settings")["deployment"] == "test"
    assert "hunter2" not in str(ended.lines)


def test_whatever_ends_a_task_ends_the_process() -> None:
    expected = {
        "bug": (ExitCode.BUG, "bug", "ValueError"),
        "fenced": (ExitCode.FENCED, "fenced", "fenced"),
        "returns": (ExitCode.BUG, "bug", "service-returned"),
        "gives-up": (ExitCode.UNREACHABLE, "transient", "nats-closed"),
        "blind": (ExitCode.BUG, "refused", "no-meters"),
    }
    for mode, process in {mode: Process(mode) for mode in expected}.items():
        ended = process.end()
        line = ended.line("process-ended")

        assert ended.code == line["exit_code"]
        assert (ended.code, line["failure"], line["code"]) == expected[mode]
        assert ("exception" in line) is (ended.code == ExitCode.BUG)
        assert ended.stderr == ""


def test_an_outside_system_that_stays_away_is_exit_4() -> None:
    away = {"nats_url": "nats://127.0.0.1:9", "start_timeout_s": "0.3"}
    for process in [Process(mode, **away) for mode in ("connects", "waits")]:
        ended = process.end()

        assert ended.code == ExitCode.UNREACHABLE
        assert ended.line("process-ended")["failure"] == "transient"


def test_settings_that_cannot_be_used_are_told_and_exit_2() -> None:
    ended = Process("obedient", modus="x", log_level="loud").end()

    assert ended.code == ExitCode.SETTINGS
    assert ended.lines == []
    assert "HELIOGRAPH_SAMPLE_MODUS: sample has no such setting" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_health_port_that_is_taken_is_exit_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = Process("obedient", health_port=str(taken.getsockname()[1])).end()

    assert ended.code == ExitCode.SETTINGS
    assert "HEALTH_PORT" in ended.line("process-ended")["detail"]


def test_a_service_that_does_not_close_in_time_is_a_bug() -> None:
    process = Process("stubborn")
    process.wait_for("service-started")
    process.send(signal.SIGTERM)
    ended = process.end()

    assert ended.code == ExitCode.BUG
    assert ended.line("process-ended")["code"] == "stop-too-slow"


def test_what_hangs_beyond_all_deadlines_is_ended_hard() -> None:
    for process in [Process(mode) for mode in ("stuck", "thread")]:
        process.wait_for("service-started")
        process.send(signal.SIGTERM)
        ended = process.end()

        assert ended.code == ExitCode.BUG
        assert "Timeout" in ended.stderr
        assert "most recent call first" in ended.stderr


class Quiet:
    """A service that waits to be stopped."""

    async def run(self, stop: asyncio.Event) -> None:
        await stop.wait()


async def test_readiness_follows_the_life_of_the_service(settings: ServiceSettings) -> None:
    stop, ready, free = asyncio.Event(), asyncio.Event(), asyncio.Event()
    health = Health("sample", "1", SystemClock())

    async def build(_s: ServiceSettings, _c: Clock, _h: Health) -> Service:
        await ready.wait()
        return Closing()

    class Closing:
        async def run(self, stop: asyncio.Event) -> None:
            await stop.wait()
            await free.wait()

    running = asyncio.create_task(supervise(settings, build, SystemClock(), health, stop))
    seen = []
    for event in (ready, stop, free):
        await asyncio.sleep(0.02)
        seen.append((health.is_alive(), health.is_ready()))
        event.set()
    await running

    assert seen == [(True, False), (True, True), (True, False)]


async def test_a_build_is_repeated_while_an_outside_system_is_away(
    settings: ServiceSettings, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.runtime.process.RETRY_START_EVERY_S", 0.01)
    stop, tries = asyncio.Event(), 0

    async def build(_s: ServiceSettings, _c: Clock, _h: Health) -> Service:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise ConnectionRefusedError("not yet there")
        stop.set()
        return Quiet()

    await supervise(settings, build, SystemClock(), health, stop)

    assert tries == 4


async def test_a_stop_during_the_start_ends_the_start(
    settings: ServiceSettings, health: Health
) -> None:
    stop, cancelled = asyncio.Event(), asyncio.Event()

    async def build(_s: ServiceSettings, _c: Clock, _h: Health) -> Service:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return Quiet()

    asyncio.get_running_loop().call_later(0.02, stop.set)
    await supervise(settings, build, SystemClock(), health, stop)

    assert cancelled.is_set()


async def test_the_bug_is_told_even_if_the_connection_closes_in_its_wake(
    settings: ServiceSettings, health: Health
) -> None:
    class Failing:
        async def run(self, stop: asyncio.Event) -> None:
            try:
                raise BrokenLaw("debits-differ", "They differ.")
            finally:
                health.give_up(Transient("nats-closed", "Closed."))
                await asyncio.sleep(0.01)

    async def build(_s: ServiceSettings, _c: Clock, _h: Health) -> Service:
        return Failing()

    with pytest.raises(ExceptionGroup) as caught:
        await supervise(settings, build, SystemClock(), health, asyncio.Event())

    assert classify(caught.value) is FailureClass.BUG
    assert "debits-differ" in str(gravest(caught.value))


async def test_giving_up_while_stopping_changes_nothing(
    settings: ServiceSettings, health: Health
) -> None:
    stop = asyncio.Event()
    stop.set()

    async def build(_s: ServiceSettings, _c: Clock, _h: Health) -> Service:
        raise Refused("never", "It is stopping already.")

    health.give_up(Transient("nats-closed", "Closed."))
    await supervise(settings, build, SystemClock(), health, stop)


async def test_several_services_share_one_process(settings: ServiceSettings) -> None:
    stop = asyncio.Event()
    healths = [Health(name, "1", SystemClock()) for name in ("one", "two")]

    async def build(_s: ServiceSettings, _c: Clock, _h: Health) -> Service:
        return Quiet()

    async with asyncio.TaskGroup() as group:
        for health in healths:
            group.create_task(supervise(settings, build, SystemClock(), health, stop))
        await asyncio.sleep(0.05)
        assert all(health.is_ready() for health in healths)
        stop.set()


async def test_health_is_served_on_the_port_that_is_logged() -> None:
    process = await asyncio.to_thread(Process, "obedient")
    port = (await asyncio.to_thread(process.wait_for, "health-served"))["port"]
    await asyncio.to_thread(process.wait_for, "service-started")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as web:
        assert (await web.get("/livez")).status_code == 200
        assert (await web.get("/readyz")).status_code == 200
        assert (await web.get("/status")).json()["service"] == "sample"
    process.send(signal.SIGTERM)

    assert (await asyncio.to_thread(process.end)).code == 0
