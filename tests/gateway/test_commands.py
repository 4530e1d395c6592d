"""Passing commands on: a fake service answers on a real nats-server with the gateway's rights."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from libs.runtime.failures import NotYet, Refused, Transient, problem_document
from libs.runtime.health import Health
from services.gateway import commands
from services.gateway.app import create_app
from services.gateway.state import State
from tests.gateway.conftest import made_state
from tests.projection.world import DEPLOYMENT, KEYS
from tests.servers import NatsServer

ACCOUNTS = """
accounts {
  GATE {
    users: [{user: gateway, password: g, permissions: {
      publish: ["commands.>"], subscribe: ["_INBOX.>"]}}]
    imports: [{service: {account: LEDGER, subject: "commands.ledger.*"}}]
  }
  LEDGER {
    users: [{user: ledger, password: l}]
    exports: [{service: "commands.ledger.*"}]
  }
}
"""
JOSE = {"content-type": "application/jose"}
BOOKS = ("pilot", "sad", "silent", "odd", "nobody-home", "late", "slow", "ending", "ended")
ACCEPTED = {"outcome": "accepted", "first": "LEDGER_pilot:1:" + "0" * 32, "position": "x"}


def signed(**changes: object) -> str:
    claims: dict[str, object] = {
        "deployment": DEPLOYMENT,
        "service": "ledger",
        "book": "pilot",
        "id": "c1",
        "member": "ann",
        "nbf": 0,
        "exp": 1,
        "command": "Pay",
        "body": {},
    }
    return KEYS["ann"].sign("hg-command+jws", json.dumps(claims | changes).encode())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(Path(tmp_path_factory.mktemp("nats")), ACCOUNTS, jetstream="") as made:
        yield made


@pytest.fixture
async def ledger(server: NatsServer) -> AsyncIterator[Client]:
    client = await nats.connect(server.url, user="ledger", password="l")
    yield client
    await client.close()


@pytest.fixture
async def api(server: NatsServer, health: Health) -> AsyncIterator[httpx.AsyncClient]:
    state = await made_state(
        "postgresql://nobody@127.0.0.1:1/none",
        health,
        HELIOGRAPH_GATEWAY_COMMAND_TIMEOUT_S="2",
        HELIOGRAPH_BOOKS=",".join(BOOKS),
    )
    state.nats = await nats.connect(server.url, user="gateway", password="g")
    async with _client(state) as client:
        yield client
    await state.nats.close()


def _client(state: State) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(state))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway")


async def answering(ledger: Client, answer: bytes, book: str = "pilot") -> list[bytes]:
    heard: list[bytes] = []

    async def on_command(message: Msg) -> None:
        heard.append(message.data)
        await message.respond(answer)

    await ledger.subscribe(f"commands.ledger.{book}", cb=on_command)
    await ledger.flush()
    return heard


async def test_an_accepted_command_passes_both_ways_unchanged(
    api: httpx.AsyncClient, ledger: Client
) -> None:
    heard = await answering(ledger, json.dumps(ACCEPTED).encode())
    command = signed()
    answer = await api.post("/api/commands", content=command, headers=JOSE)
    assert (answer.status_code, answer.json()) == (200, ACCEPTED)
    assert answer.headers["content-type"] == "application/json"
    assert heard == [command.encode()]


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Refused("too-little-money", "The wallet holds less."), 409, None),
        (Refused("invalid", "No.", field="body.amount"), 422, None),
        (NotYet("behind", "Try again.", retry_after_s=7), 503, "7"),
    ],
)
async def test_a_problem_keeps_its_status_and_words(
    api: httpx.AsyncClient,
    ledger: Client,
    error: Refused | NotYet,
    status: int,
    retry_after: str | None,
) -> None:
    document = problem_document(error)
    await answering(ledger, json.dumps(document).encode(), book="sad")
    answer = await api.post("/api/commands", content=signed(book="sad"), headers=JOSE)
    assert (answer.status_code, answer.json()) == (status, document)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers.get("retry-after") == retry_after


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (signed(), {"content-type": "application/json"}, 415, "wrong-content-type"),
        (signed(), {}, 415, "wrong-content-type"),
        ("a" * 170_000, JOSE, 413, "too-large"),
        ("", JOSE, 400, "not-a-command"),
        ("a.b.c", JOSE, 400, "not-a-command"),
        (KEYS["ann"].sign("hg-report+jws", b"{}"), JOSE, 400, "not-a-command"),
        (signed(service="anchor"), JOSE, 422, "unknown-service"),
        (signed(service=["ledger"]), JOSE, 422, "unknown-service"),
        (signed(service="ledger.>"), JOSE, 422, "unknown-service"),
        (signed(book="*"), JOSE, 422, "invalid-book"),
        (signed(book="a.b"), JOSE, 422, "invalid-book"),
        (signed(book=7), JOSE, 422, "invalid-book"),
        (signed(book="nobody-home"), JOSE, 503, "service-away"),
        (signed(service="oracle"), JOSE, 503, "service-away"),
        (signed(book="nowhere"), JOSE, 404, "unknown-book"),
        (signed(book="nowhere", service="billing"), JOSE, 404, "unknown-book"),
        (signed(book="register", service="billing"), JOSE, 404, "unknown-book"),
        (signed(book="register"), JOSE, 503, "service-away"),
    ],
)
async def test_what_cannot_be_passed_on_is_a_problem(
    api: httpx.AsyncClient, content: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await api.post("/api/commands", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("retry-after" in answer.headers) == (status == 503)
    assert status != 404 or answer.json()["field"] == "book"


async def test_silence_and_nonsense_mean_try_again(api: httpx.AsyncClient, ledger: Client) -> None:
    async def silent(_: Msg) -> None:
        await asyncio.sleep(0)

    await ledger.subscribe("commands.ledger.silent", cb=silent)
    await answering(ledger, b"\xff", book="odd")
    for book, code in (("silent", "no-answer"), ("odd", "bad-answer")):
        answer = await api.post("/api/commands", content=signed(book=book), headers=JOSE)
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert "retry-after" in answer.headers


async def test_a_service_that_hangs_is_asked_again_and_its_successor_answers(
    api: httpx.AsyncClient, ledger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "ASK_AGAIN_S", 0.1)
    heard: list[bytes] = []

    async def second_time(message: Msg) -> None:
        heard.append(message.data)
        if len(heard) > 1:
            await message.respond(json.dumps(ACCEPTED).encode())

    await ledger.subscribe("commands.ledger.late", cb=second_time)
    await ledger.flush()
    command = signed(book="late")
    answer = await api.post("/api/commands", content=command, headers=JOSE)
    assert (answer.status_code, answer.json()) == (200, ACCEPTED)
    assert heard == [command.encode()] * 2


async def test_a_late_answer_to_the_first_question_counts(
    api: httpx.AsyncClient, ledger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "ASK_AGAIN_S", 0.1)
    heard: list[Msg] = []

    async def the_first(message: Msg) -> None:
        heard.append(message)
        if len(heard) == 3:
            await heard[0].respond(json.dumps(ACCEPTED).encode())

    await ledger.subscribe("commands.ledger.slow", cb=the_first)
    await ledger.flush()
    answer = await api.post("/api/commands", content=signed(book="slow"), headers=JOSE)
    assert (answer.status_code, answer.json()) == (200, ACCEPTED)


@pytest.mark.parametrize("code", ["writer-stopped", "stopping", "fenced"])
async def test_a_process_that_ends_is_followed_by_its_successor(
    api: httpx.AsyncClient, ledger: Client, code: str
) -> None:
    ending = json.dumps(problem_document(Transient(code, "Ask again."))).encode()
    answers = iter([ending, json.dumps(ACCEPTED).encode()])

    async def ending_first(message: Msg) -> None:
        await message.respond(next(answers))

    taken = await ledger.subscribe("commands.ledger.ending", cb=ending_first)
    await ledger.flush()
    answer = await api.post("/api/commands", content=signed(book="ending"), headers=JOSE)
    assert (answer.status_code, answer.json()) == (200, ACCEPTED)
    await taken.unsubscribe()


async def test_a_process_that_ends_without_successor_has_the_last_word(
    api: httpx.AsyncClient, ledger: Client
) -> None:
    document = problem_document(Transient("stopping", "Ask again."))
    await answering(ledger, json.dumps(document).encode(), book="ended")
    answer = await api.post("/api/commands", content=signed(book="ended"), headers=JOSE)
    assert (answer.status_code, answer.json()) == (503, document)


async def test_a_service_that_is_away_for_a_moment_is_waited_for(
    api: httpx.AsyncClient, ledger: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PAUSE_S", 0.05)
    looked = asyncio.Event()
    no_responders = commands._away

    def away() -> Transient:
        looked.set()
        return no_responders()

    monkeypatch.setattr(commands, "_away", away)
    asked = asyncio.create_task(
        api.post("/api/commands", content=signed(book="pilot"), headers=JOSE)
    )
    await looked.wait()
    await answering(ledger, json.dumps(ACCEPTED).encode())
    answer = await asked
    assert (answer.status_code, answer.json()) == (200, ACCEPTED)


async def test_without_a_broker_the_answer_is_try_again(health: Health) -> None:
    state = await made_state("postgresql://nobody@127.0.0.1:1/none", health)
    async with _client(state) as api:
        answer = await api.post("/api/commands", content=signed(), headers=JOSE)
    assert (answer.status_code, answer.json()["code"]) == (503, "broker-away")
