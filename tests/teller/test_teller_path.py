"""The Teller as a process, with a real broker: kills, lost connections, played time, receipts."""

import asyncio
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.events.metering import ReadingRecorded
from libs.runtime.clock import ManualClock
from libs.runtime.health import Health
from libs.runtime.process import ExitCode, Service
from libs.runtime.settings import SettingsError
from services.teller.app import build
from services.teller.domain import build as build_report
from services.teller.domain import constant_load, generation, pieces
from services.teller.settings import TellerSettings
from services.teller.source import read_source
from tests.histories import DEPLOYMENT, key_of
from tests.ingest.edge import Edge, enrolment, eventually
from tests.servers import free_port
from tests.teller.test_source import SERF

ROOT = Path(__file__).parents[2]
START = datetime(2016, 7, 1, 7, tzinfo=UTC)
DAYS = 3


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The first days of the season."""
    path = tmp_path / "power.csv"
    path.write_text("".join(SERF.read_text().splitlines(keepends=True)[: 1 + 96 * DAYS]))
    return path


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    edge = Edge(tmp_path)
    edge.start()
    try:
        await edge.declare()
        await edge.advance(START, cadence_s=86_400 * (DAYS + 1))
        await edge.register("approver", START)
        yield edge
    finally:
        edge.stop()


async def enrol(edge: Edge) -> None:
    for body in (enrolment("pv-1"), enrolment("home-1", "consumption")):
        await edge.order("approver", f"enrol-{body.meter}", body, START)


class Process:
    """A Teller's process."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self.port = free_port()
        self.environment = {
            **os.environ,
            **environment,
            "HELIOGRAPH_TELLER_HEALTH_PORT": str(self.port),
            "PYTHONPATH": str(ROOT),
        }
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.teller"],
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    async def start(self) -> None:
        self.launch()
        async with asyncio.timeout(15), httpx.AsyncClient() as http:
            while True:
                try:
                    status = await http.get(f"http://127.0.0.1:{self.port}/status")
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                if "teller" in status.json():
                    return
                await asyncio.sleep(0.02)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, 10)

    async def play(self, until: datetime, timeout_s: float = 20) -> tuple[int, dict[str, Any]]:
        body = {"until": until.strftime("%Y-%m-%dT%H:%M:%SZ"), "timeout_s": timeout_s}
        async with httpx.AsyncClient(timeout=timeout_s + 5) as http:
            answer = await http.post(f"http://127.0.0.1:{self.port}/played-time", json=body)
        return answer.status_code, answer.json()

    async def status(self) -> dict[str, Any]:
        async with httpx.AsyncClient() as http:
            answer = await http.get(f"http://127.0.0.1:{self.port}/status")
        found: dict[str, Any] = answer.json()["teller"]
        return found


@asynccontextmanager
async def teller(edge: Edge, source: Path, **more: str) -> AsyncIterator[Process]:
    environment = edge.teller_environment(edge.folder / "teller", source, **more)
    process = Process(environment, edge.folder / "teller.log")
    await process.start()
    try:
        yield process
    finally:
        process.kill()


def expected(source: Path) -> dict[str, list[str]]:
    """The reports that there must be, made without any Teller."""
    clean = read_source(source)
    meters = (generation("pv-1", clean), constant_load("home-1", clean, 500))
    return {
        meter.meter: [
            build_report(meter, one, deployment=DEPLOYMENT, key=key_of("teller")).jws
            for one in pieces(meter, 24)
        ]
        for meter in meters
    }


def digest(reports: list[str]) -> str:
    return hashlib.sha256(
        b"".join(hashlib.sha256(one.encode()).digest() for one in reports)
    ).hexdigest()


async def recorded(edge: Edge) -> dict[str, list[str]]:
    """The reports that are readings, by meter and sequence; each sequence once."""
    facts = [one.fact for one in await edge.facts("READINGS_0")]
    readings = [fact for fact in facts if isinstance(fact, ReadingRecorded)]
    found: dict[str, list[str]] = {}
    for fact in sorted(readings, key=lambda fact: fact.seq):
        found.setdefault(fact.meter, []).append(fact.report)
    return found


def stored(edge: Edge) -> dict[tuple[str, int], str]:
    database = sqlite3.connect(edge.folder / "teller/outbox.sqlite3")
    rows = database.execute("SELECT meter, seq, jws FROM reports").fetchall()
    database.close()
    return {(meter, seq): jws for meter, seq, jws in rows}


async def test_played_days_are_reported_and_receipted(edge: Edge, source: Path) -> None:
    async with edge.ingest(), teller(edge, source) as process:
        await enrol(edge)
        first = START + timedelta(days=1)
        code, numbers = await process.play(first)
        assert (code, numbers["waiting"], numbers["refused"]) == (200, 0, 0)
        assert numbers["reports_built"] == numbers["accepted"] == 8
        assert await process.play(first) == (code, numbers), "asking again changes nothing"
        code, numbers = await process.play(START + timedelta(days=DAYS))
        assert (code, numbers["accepted"]) == (200, sum(map(len, expected(source).values())))
        status = await process.status()
        assert status["accepted_digest"] == {
            meter: digest(reports) for meter, reports in expected(source).items()
        }
        assert status["source"]["rows"] == 96 * DAYS
        assert status["last_receipts"]["pv-1"]["outcome"] == "recorded"
        assert await process.stop() == ExitCode.STOPPED
    assert await recorded(edge) == expected(source)


async def test_a_kill_between_build_and_receipt_changes_no_byte(edge: Edge, source: Path) -> None:
    async with teller(edge, source) as process:
        code, numbers = await process.play(START + timedelta(days=1), timeout_s=0.2)
        assert (code, numbers["waiting"], numbers["accepted"]) == (503, 8, 0)
        process.kill()
        before = stored(edge)
        assert len(before) == 8
        async with edge.ingest():
            await enrol(edge)
            for hour in range(24, 24 * DAYS, 14):
                await process.start()
                play = asyncio.ensure_future(process.play(START + timedelta(hours=hour)))
                await asyncio.sleep(0.01 * (hour % 4))
                process.kill()
                await asyncio.gather(play, return_exceptions=True)
            await process.start()
            code, numbers = await process.play(START + timedelta(days=DAYS))
            assert (code, numbers["refused"], numbers["waiting"]) == (200, 0, 0)
    reports = await recorded(edge)
    assert reports == expected(source)
    assert {key: reports[key[0]][key[1] - 1] for key in before} == before


async def test_a_broker_that_goes_away_costs_no_report(edge: Edge, source: Path) -> None:
    async with teller(edge, source) as process:
        await process.play(START + timedelta(days=1), timeout_s=0)
        edge.stop()
        code, numbers = await process.play(START + timedelta(days=2), timeout_s=0)
        assert (code, numbers["waiting"]) == (503, 16)
        edge.start()
        async with edge.ingest():
            await enrol(edge)
            code, numbers = await process.play(START + timedelta(days=DAYS))
            assert (code, numbers["refused"]) == (200, 0)
    assert await recorded(edge) == expected(source)


async def test_a_refused_report_is_parked_and_the_others_go_on(edge: Edge, source: Path) -> None:
    async with edge.ingest(), teller(edge, source) as process:
        for body in (enrolment("pv-1"), enrolment("home-1", "consumption", nameplate_w=400)):
            await edge.order("approver", f"enrol-{body.meter}", body, START)
        code, numbers = await process.play(START + timedelta(days=1))
        assert (code, numbers["accepted"], numbers["refused"]) == (200, 4, 4)
        status = await process.status()
        assert {one["reason"] for one in status["refused_reports"]} == {"impossible-energy"}
        assert {one["meter"] for one in status["refused_reports"]} == {"home-1"}


async def test_requests_that_are_wrong_are_told_so(edge: Edge, source: Path) -> None:
    async with teller(edge, source) as process, httpx.AsyncClient() as http:
        url = f"http://127.0.0.1:{process.port}/played-time"
        bodies = (
            b"",
            b"[]",
            b"{}",
            b'{"until": 5}',
            b'{"until": "2016-07-01"}',
            b'{"until": "2016-07-01T07:00:00Z", "timeout_s": -1}',
            b'{"until": "2016-07-01T07:00:00Z", "timeout_s": NaN}',
            b'{"until": "2016-07-01T07:00:00Z", "timeout_s": [1]}',
            b'{"until": "2016-07-01T07:00:00Z", "timeout_s": 1' + b"0" * 400 + b"}",
            b'{"until": "2016-07-01T07:00:00Z", "timeout_s": 1' + b"0" * 5_000 + b"}",
            b'{"until": ' + b"[" * 500 + b"]" * 500 + b"}",
            b"[" * 65_536,
            b'{"until": "\\ud800"}',
        )
        for body in bodies:
            answer = await http.post(url, content=body)
            assert (answer.status_code, answer.json()["code"]) == (400, "not-a-played-time"), body
        assert (await http.post(url, content=b"[" * 65_537)).status_code == 413
        assert (await http.get(url)).status_code == 404


# Without a broker.


def settings(folder: Path, source: Path, **more: Any) -> TellerSettings:
    values: dict[str, Any] = {
        "deployment": DEPLOYMENT,
        "data": folder / "data",
        "seed": "aGVsaW9ncmFwaGhlbGlvZ3JhcGhoZWxpb2dyYXBoaGU=",
        "site": "rooftop",
        "generation_meter": "pv-1",
        "source": source,
        "mqtt_port": free_port(),
    }
    return TellerSettings.from_environment({}, **values | more)


async def test_in_real_time_reports_follow_the_clock(tmp_path: Path, source: Path) -> None:
    clock = ManualClock(START + timedelta(hours=6))
    health = Health("teller", "0", clock)
    service = await build(settings(tmp_path, source), clock, health)
    stop = asyncio.Event()
    running = asyncio.ensure_future(service.run(stop))
    await eventually(lambda: health.counters.get("reports-built", 0) == 1)
    clock.advance(6 * 3600)
    await eventually(lambda: health.counters["reports-built"] == 2)
    assert not health.endpoints, "time is played only where it is not real"
    stop.set()
    await running


async def run_shortly(service: Service) -> None:
    stop = asyncio.Event()
    stop.set()
    await service.run(stop)


async def test_what_cannot_be_used_is_told_at_the_start(tmp_path: Path, source: Path) -> None:
    clock = ManualClock()
    health = Health("teller", "0", clock)
    with pytest.raises(SettingsError, match="HELIOGRAPH_TELLER_SOURCE"):
        await build(settings(tmp_path, tmp_path / "none.csv"), clock, health)
    await run_shortly(await build(settings(tmp_path, source), clock, health))
    with pytest.raises(SettingsError, match=r"HELIOGRAPH_TELLER_DATA: .*belongs to"):
        await build(settings(tmp_path, source, site="attic"), clock, health)
    with pytest.raises(SettingsError, match="HELIOGRAPH_TELLER_SEED"):
        settings(tmp_path, source, seed="c2hvcnQ=")


def cut_short(source: Path) -> None:
    lines = source.read_text().splitlines(keepends=True)
    source.write_text("".join([lines[0], *lines[50:]]))


async def test_a_source_that_was_rewritten_is_refused(tmp_path: Path, source: Path) -> None:
    clock = ManualClock(START + timedelta(days=2))
    made = settings(tmp_path, source, played_time=True)
    health = Health("teller", "0", clock)
    service = await build(made, clock, health)
    stop = asyncio.Event()
    running = asyncio.ensure_future(service.run(stop))
    await asyncio.sleep(0)
    until = (START + timedelta(days=2)).strftime('{"until": "%Y-%m-%dT%H:%M:%SZ", "timeout_s": 0}')
    code, numbers = await health.endpoints["POST", "/played-time"](until.encode())
    assert (code, numbers["reports_built"]) == (503, 8)
    stop.set()
    await running
    cut_short(source)
    with pytest.raises(SettingsError, match="registers"):
        await build(made, clock, health)
