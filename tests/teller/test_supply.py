"""The supply at the site: what moves the relay, and what does not."""

import asyncio
import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.runtime.clock import SystemClock
from libs.runtime.health import Health
from libs.runtime.settings import SettingsError
from services.teller.app import Teller, build
from services.teller.settings import TellerSettings
from services.teller.supply import ANSWER_SIZE_MAX, FILE_NAME, FileRelay, State, SupplyWatch, Told
from tests.ingest.edge import eventually
from tests.servers import free_port
from tests.teller.test_source import SERF

Answer = Callable[[httpx.Request], httpx.Response]


def position(sequence: int, stream: str = "LEDGER_pilot") -> str:
    return f"{stream}:{sequence}"


class Site:
    """A Teller's watch, with a relay in a file, and a gateway that says what it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.relay = folder, folder / "gpio"
        self.said: Answer = lambda _: httpx.Response(503)
        self.asked: list[str] = []
        self.health = Health("teller", "0", SystemClock())
        self.restart()

    def restart(self, relay: bool = True) -> None:
        self.watch = SupplyWatch(
            holding="h",
            url="https://gateway.example/",
            book="pilot",
            poll_s=60,
            folder=self.folder,
            relay=FileRelay(self.relay) if relay else None,
            health=self.health,
        )

    def says(self, state: str, sequence: int | None = 1, **changes: object) -> None:
        place = None if sequence is None else position(sequence)
        told = {"holding": "h", "state": state, "position": place} | changes
        self.said = lambda _: httpx.Response(200, json=told)

    async def look(self) -> str:
        """One look; what the relay's file holds then."""

        def answer(request: httpx.Request) -> httpx.Response:
            self.asked.append(str(request.url))
            return self.said(request)

        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            await self.watch.look(http)
        return self.wire

    @property
    def wire(self) -> str:
        return self.relay.read_text() if self.relay.exists() else ""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def test_disconnection_opens_the_relay_and_the_cure_closes_it(site: Site) -> None:
    site.says("supplied", 1)
    assert await site.look() == "1"
    site.says("disconnected", 2)
    assert await site.look() == "0"
    site.says("supplied", 3)
    assert await site.look() == "1"
    assert set(site.asked) == {"https://gateway.example/api/holdings/h/supply?book=pilot"}


async def test_a_diverted_household_stays_connected(site: Site) -> None:
    site.says("diverted")
    assert await site.look() == "1"
    assert site.watch.status()["state"] == "diverted"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(404),
        httpx.Response(500),
        httpx.Response(302, headers={"location": "https://elsewhere.example/"}),
        httpx.Response(200, text="no JSON"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"holding": "h"}),
        httpx.Response(200, json={"holding": "x", "state": "supplied", "position": None}),
        httpx.Response(200, json={"holding": "h", "state": "off", "position": None}),
        httpx.Response(200, json={"holding": "h", "state": "supplied", "position": "here"}),
        httpx.Response(200, json={"holding": "h", "state": "supplied", "position": 5}),
        httpx.Response(200, text="[" * 50_000),
        httpx.Response(200, content=b" " * (ANSWER_SIZE_MAX + 1)),
    ],
    ids=lambda answer: f"{answer.status_code}-{answer.content[:40]!r}",
)
async def test_what_is_no_answer_leaves_the_relay_as_it_was(
    site: Site, answer: httpx.Response
) -> None:
    site.says("disconnected")
    await site.look()
    site.said = lambda _: answer
    assert await site.look() == "0"
    assert site.watch.status() | {"position": None} == {
        "holding": "h",
        "state": "disconnected",
        "position": None,
        "answered": False,
        "relay": "open",
    }
    assert site.health.counters["supply-unanswered"] == 1


async def test_a_gateway_that_cannot_be_reached_leaves_the_relay_as_it_was(site: Site) -> None:
    def away(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("nobody is there", request=request)

    site.said = away
    assert await site.look() == ""  # nothing was ever said: nothing is switched
    site.says("disconnected")
    await site.look()
    site.said = away
    assert await site.look() == "0"


async def test_after_a_restart_the_relay_is_set_to_what_was_said_last(site: Site) -> None:
    site.says("disconnected", 7)
    await site.look()
    site.relay.write_text("1")  # as a power cut leaves it
    site.said = lambda _: httpx.Response(503)
    site.restart()
    assert site.watch.status()["state"] == "disconnected"
    assert await site.look() == "0"


async def test_an_answer_from_before_the_last_one_is_left(site: Site) -> None:
    site.says("supplied", 9)
    await site.look()
    site.says("disconnected", 8)
    assert await site.look() == "1"
    site.says("disconnected", None)
    assert await site.look() == "1"
    site.says("disconnected", 0, position=position(1, "LEDGER_other"))  # the book moved
    assert await site.look() == "0"


async def test_what_was_kept_of_another_holding_or_is_damaged_counts_as_nothing(
    site: Site,
) -> None:
    for text in ("{", json.dumps({"holding": "x", "state": "disconnected", "position": None})):
        (site.folder / FILE_NAME).write_text(text)
        site.restart()
        assert site.watch.status()["state"] is None
        assert await site.look() == ""


async def test_a_relay_that_fails_is_told_and_tried_again(site: Site) -> None:
    site.relay.mkdir()
    site.says("disconnected")
    async with httpx.AsyncClient(transport=httpx.MockTransport(site.said)) as http:
        await site.watch.look(http)
        assert not site.health.is_ready()
        assert site.watch.status()["relay"] is None
        site.relay.rmdir()
        await site.watch.look(http)
    assert site.wire == "0"
    assert site.watch.status()["relay"] == "open"


async def test_without_a_relay_the_state_is_shown(site: Site) -> None:
    site.restart(relay=False)
    site.says("disconnected")
    assert await site.look() == ""
    assert site.watch.status()["state"] == "disconnected"
    assert site.watch.status()["relay"] is None


def settings(folder: Path, **changes: Any) -> TellerSettings:
    values = {
        "deployment": "test",
        "data": folder,
        "seed": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "site": "roof",
        "generation_meter": "pv",
        "source": folder / "power.csv",
    }
    return TellerSettings.model_validate(values | changes)


def test_a_watch_needs_a_gateway_and_a_holding(tmp_path: Path) -> None:
    health = Health("teller", "0", SystemClock())
    assert SupplyWatch.of(settings(tmp_path), health) is None
    with pytest.raises(SettingsError, match="go together"):
        settings(tmp_path, holding="h")
    with pytest.raises(SettingsError, match="RELAY needs"):
        settings(tmp_path, relay=tmp_path / "gpio")
    told = {"holding": "h", "gateway_url": "http://127.0.0.1:3000"}
    assert SupplyWatch.of(settings(tmp_path, **told), health) is not None


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(list(State))), min_size=1))
def test_whatever_arrives_in_whatever_order_the_newest_holds(
    answers: list[tuple[int, State]],
) -> None:
    known: Told | None = None
    for sequence, state in answers:
        told = Told("h", state, position(sequence))
        if known is None or not told.is_before(known):
            known = told
    newest = max(sequence for sequence, _ in answers)
    assert known is not None
    assert known.position == position(newest)
    assert known.state == [state for sequence, state in answers if sequence == newest][-1]


class _Gateway(http.server.BaseHTTPRequestHandler):
    """Says that the holding is disconnected."""

    def do_GET(self) -> None:
        body: dict[str, Any] = {
            "holding": "h",
            "state": "disconnected",
            "position": None,
            "tokens": [],
        }
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


async def test_the_teller_asks_a_gateway_and_shows_it_in_its_status(tmp_path: Path) -> None:
    (tmp_path / "power.csv").write_text("".join(SERF.read_text().splitlines(keepends=True)[:97]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Gateway) as gateway:
        threading.Thread(target=gateway.serve_forever, daemon=True).start()
        told = {
            "holding": "h",
            "gateway_url": f"http://127.0.0.1:{gateway.server_address[1]}",
            "relay": tmp_path / "gpio",
            "mqtt_port": free_port(),
            "time_zone": "America/Denver",
        }
        clock = SystemClock()
        health = Health("teller", "0", clock)
        service = await build(settings(tmp_path, **told), clock, health)
        stop = asyncio.Event()
        running = asyncio.ensure_future(service.run(stop))
        relay = tmp_path / "gpio"
        await eventually(lambda: relay.exists() and relay.read_text() == "0")
        assert isinstance(service, Teller)
        assert service.status()["supply"] == {
            "holding": "h",
            "state": "disconnected",
            "position": None,
            "answered": True,
            "relay": "open",
        }
        stop.set()
        await running
        gateway.shutdown()
