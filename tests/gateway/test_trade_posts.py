"""The energy network's routes that ask for something: a fake ledger answers on a real nats-server.

The fake's answers are the places of the facts of the told network, as if the commands had led to
them; the views are those of that network, and go on when more of it is projected.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from libs.events import Position
from libs.events.jws import parse, payload_of
from libs.eventstore import MemoryStore
from libs.runtime.failures import NotFound, NotYet, Refused, problem_document
from libs.runtime.health import Health
from tests.gateway.conftest import client_of, made_state, memory, project
from tests.gateway.network import (
    LEDGER,
    SEED,
    created,
    deposited,
    executed,
    factory,
    key,
    minted,
    tell_network,
)
from tests.gateway.test_commands import ACCOUNTS, JOSE, signed
from tests.projection.pg import Server
from tests.projection.world import World
from tests.servers import NatsServer

BODIES: dict[str, dict[str, Any]] = {
    "RegisterFactory": {"factoryId": "Factory01", "book": "pilot", "initialBalance": "1000"},
    "MintEnergy": {"factoryId": "Factory01", "amount": "500"},
    "TransferEnergy": {
        "fromFactoryId": "Factory01",
        "toFactoryId": "Factory04",
        "amount": "0.5",
    },
    "RetireEnergy": {"factoryId": "Factory05", "amount": "20.5"},
    "CreateTrade": {"tradeId": "TRADE001", "amount": "200", "pricePerUnit": "0.08"},
    "ExecuteTrade": {"tradeId": "TRADE001"},
    "CancelTrade": {"tradeId": "TRADE002"},
}
ROUTES = {
    "RegisterFactory": "/factory/register",
    "MintEnergy": "/energy/mint",
    "TransferEnergy": "/energy/transfer",
    "RetireEnergy": "/energy/retire",
    "CreateTrade": "/trade/create",
    "ExecuteTrade": "/trade/execute",
    "CancelTrade": "/trade/cancel",
}


@dataclass
class Scene:
    """A told network, its views, a gateway before them and a fake ledger behind it."""

    api: httpx.AsyncClient
    world: World
    at: dict[str, Position]
    project: Callable[[], Awaitable[None]]
    answers: dict[str, dict[str, Any]]
    """What the fake answers, by command."""
    heard: list[bytes]

    async def ask(self, command: str, **changes: Any) -> httpx.Response:
        claims = {"command": command, "body": BODIES[command]} | changes
        return await self.api.post(ROUTES[command], content=signed(**claims), headers=JOSE)

    def accept(self, command: str, position: Position) -> None:
        self.answers[command] = {"outcome": "accepted", "position": str(position)}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    with NatsServer(Path(tmp_path_factory.mktemp("nats")), ACCOUNTS, jetstream="") as made:
        yield made


@pytest.fixture
async def scene(server: NatsServer, postgres: Server, health: Health) -> AsyncIterator[Scene]:
    dsn, store = await postgres.new_database(), memory()
    world = World(store)
    at = await tell_network(world)
    await project(dsn, store)
    state = await made_state(postgres.reader(dsn), health, HELIOGRAPH_GATEWAY_VIEWS_TIMEOUT_S="0.5")
    state.nats = await nats.connect(server.url, user="gateway", password="g")
    ledger = await nats.connect(server.url, user="ledger", password="l")
    async with client_of(state) as api:
        made = Scene(api, world, at, _projector(dsn, store), {}, [])
        for command, position in at.items():
            made.accept(command, position)
        await _listen(ledger, made)
        yield made
    await state.nats.close()
    await ledger.close()
    await state.views.close()


def _projector(dsn: str, store: MemoryStore) -> Callable[[], Awaitable[None]]:
    async def projected() -> None:
        await project(dsn, store)

    return projected


async def _listen(ledger: Client, scene: Scene) -> None:
    async def on_command(message: Msg) -> None:
        scene.heard.append(message.data)
        command = str(payload_of(parse(message.data, "hg-command+jws"))["command"])
        await message.respond(json.dumps(scene.answers[command]).encode())

    await ledger.subscribe("commands.ledger.*", cb=on_command)
    await ledger.flush()


async def test_a_registration_is_answered_with_the_factory_as_it_begins(scene: Scene) -> None:
    answer = await scene.ask("RegisterFactory", book="register")
    said = answer.json()
    assert (answer.status_code, said["success"]) == (200, True)
    assert said["message"] == "Factory01 is registered."
    data = said["data"]
    assert (data["id"], data["name"], data["energyType"]) == SEED[0][:3]
    assert (data["energyBalance"], data["currencyBalance"]) == (1000, 1000)
    assert (data["dailyConsumption"], data["availableEnergy"]) == (800, 1200)
    assert (data["free_energy_wh"], data["held_energy_wh"]) == (1_000_000, 0)
    assert data["address"] == key("Factory01").address


async def test_what_moved_is_answered_as_it_left_the_first_factory(scene: Scene) -> None:
    said = (await scene.ask("MintEnergy")).json()["data"]
    assert said == {
        "factoryId": "Factory01",
        "toFactoryId": None,
        "amount": 500,
        "energy_wh": 500_000,
        "balance": 1500,  # not 1300, which the trade of an hour later left
        "balance_wh": 1_500_000,
        "position": str(scene.at["MintEnergy"]),
    }
    said = (await scene.ask("RetireEnergy")).json()["data"]
    assert (said["energy_wh"], said["balance_wh"]) == (20_500, 579_500)
    scene.accept("TransferEnergy", scene.at["RetireEnergy"])
    said = (await scene.ask("TransferEnergy")).json()["data"]
    assert (said["energy_wh"], said["toFactoryId"], said["balance_wh"]) == (
        500,
        "Factory04",
        1_300_000,
    )


async def test_a_trade_is_answered_as_its_command_left_it(scene: Scene) -> None:
    for command, status in (
        ("CreateTrade", "pending"),
        ("ExecuteTrade", "completed"),
        ("CancelTrade", "cancelled"),
    ):
        answer = await scene.ask(command)
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"]["status"] == status
    now = (await scene.api.get("/trade/TRADE001")).json()["data"]
    assert now["status"] == "completed"


async def test_a_repeat_is_answered_as_the_first_was_whatever_happened_since(scene: Scene) -> None:
    first = {command: (await scene.ask(command)).content for command in scene.at}
    await scene.world.append(
        LEDGER,
        minted("Factory01", 1, is_opening=False),
        minted("Factory05", 1, is_opening=False),
        created("TRADE009", "Factory01", "Factory02", 5),
    )
    await scene.project()
    for command, said in first.items():
        assert (await scene.ask(command)).content == said, command
    assert len(scene.heard) == 2 * len(first)


async def test_a_post_waits_until_the_views_show_what_followed(scene: Scene) -> None:
    position = await scene.world.append(LEDGER, minted("Factory02", 5, is_opening=False))
    scene.accept("MintEnergy", position)
    body = {"factoryId": "Factory02", "amount": "5"}
    answer = await scene.ask("MintEnergy", body=body)
    said = answer.json()
    assert (answer.status_code, said["code"]) == (503, "views-behind")
    assert "was carried out" in said["detail"]
    assert "retry-after" in answer.headers
    waiting = asyncio.create_task(scene.ask("MintEnergy", body=body))
    await scene.project()
    first = await waiting
    again = await scene.ask("MintEnergy", body=body)
    assert again.json()["data"]["balance_wh"] == 795_000
    assert first.content in (answer.content, again.content)  # a slow machine gives up before


async def test_a_registration_waits_for_its_opening_facts_and_not_for_balances(
    scene: Scene,
) -> None:
    newcomer = factory("Factory06", "Green Energy Plant", "solar", 500, 1, 1)
    position = await scene.world.append("MEMBERS", newcomer)
    scene.accept("RegisterFactory", position)
    body = {"factoryId": "Factory06", "book": "pilot", "initialBalance": "500"}
    await scene.project()
    answer = await scene.ask("RegisterFactory", book="register", body=body)
    assert (answer.status_code, answer.json()["code"]) == (503, "views-behind")
    await scene.world.append(LEDGER, minted("Factory06", 500))
    await scene.project()
    answer = await scene.ask("RegisterFactory", book="register", body=body)
    assert answer.status_code == 503
    await scene.world.append(LEDGER, deposited("Factory06", 500))
    await scene.world.append(LEDGER, created("T6", "Factory06", "Factory01", 500))
    await scene.world.append(LEDGER, ("Factory06", executed("T6", "Factory06", "Factory01", 500)))
    await scene.project()
    answer = await scene.ask("RegisterFactory", book="register", body=body)
    assert (answer.status_code, answer.json()["data"]["energyBalance"]) == (200, 500)
    now = (await scene.api.get("/factory/Factory06")).json()["data"]
    assert now["energyBalance"] == 0


async def test_a_factory_that_begins_with_nothing_waits_for_nothing(scene: Scene) -> None:
    position = await scene.world.append("MEMBERS", factory("Factory07", "Mill", "wind", 0, 1, 1))
    scene.accept("RegisterFactory", position)
    await scene.project()
    body = {"factoryId": "Factory07", "book": "pilot", "initialBalance": "0"}
    answer = await scene.ask("RegisterFactory", book="register", body=body)
    assert (answer.status_code, answer.json()["data"]["energyBalance"]) == (200, 0)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Refused("too-little-energy", "There are 3 Wh.", field="body.amount"), 422),
        (Refused("trade-closed", "It was executed."), 409),
        (NotFound("unknown-trade", "There is none.", field="body.tradeId"), 404),
        (NotYet("not-read-yet", "Behind.", retry_after_s=3), 503),
    ],
)
async def test_a_refusal_passes_with_its_status_and_code(
    scene: Scene, error: Refused, status: int
) -> None:
    document = problem_document(error)
    for command in ROUTES:
        scene.answers[command] = document
        answer = await scene.ask(command)
        assert (answer.status_code, answer.json()) == (status, document)
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("retry-after" in answer.headers) == (status == 503)


async def test_a_route_takes_its_own_command_only(scene: Scene) -> None:
    for command, route in ROUTES.items():
        for other in {*ROUTES, "Pay", "Batch"} - {command}:
            content = signed(command=other, body=BODIES.get(other, {}))
            answer = await scene.api.post(route, content=content, headers=JOSE)
            said = answer.json()
            assert (answer.status_code, said["code"]) == (422, "wrong-command")
            assert said["field"] == "command"
    assert scene.heard == []


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        ('{"factoryId": "Factory01"}', {"content-type": "application/json"}, 415, "content-type"),
        ('{"factoryId": "Factory01"}', JOSE, 400, "not-a-command"),
        ("", JOSE, 400, "not-a-command"),
        ("a" * 163_841, JOSE, 413, "too-large"),
        (signed(book="*", command="MintEnergy"), JOSE, 422, "invalid-book"),
        (signed(service="oracle", command="MintEnergy"), JOSE, 503, "service-away"),
    ],
)
async def test_what_is_no_command_is_a_problem(
    scene: Scene, content: str, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await scene.api.post("/energy/mint", content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["code"].endswith(code)
    assert scene.heard == []


@pytest.mark.parametrize("position", [None, "here", "LEDGER_pilot:x:" + "0" * 32])
async def test_nonsense_of_a_service_means_try_again(scene: Scene, position: str | None) -> None:
    scene.answers["MintEnergy"] = {"position": position} if position else {}
    answer = await scene.ask("MintEnergy")
    assert (answer.status_code, answer.json()["code"]) == (503, "bad-answer")


async def test_a_command_is_carried_out_even_where_the_views_are_away(
    server: NatsServer, health: Health
) -> None:
    away = "postgresql://nobody@127.0.0.1:1/none"
    state = await made_state(away, health, HELIOGRAPH_GATEWAY_VIEWS_TIMEOUT_S="0.1")
    state.nats = await nats.connect(server.url, user="gateway", password="g")
    ledger = await nats.connect(server.url, user="ledger", password="l")
    async with client_of(state) as api:

        async def unused() -> None:
            """Nothing is projected here."""

        scene = Scene(api, World(memory()), {}, unused, {}, [])
        scene.accept("ExecuteTrade", Position(LEDGER, 7, "0" * 32))
        await _listen(ledger, scene)
        answer = await scene.ask("ExecuteTrade")
    assert (answer.status_code, answer.json()["code"]) == (503, "views-behind")
    assert len(scene.heard) == 1
    await state.nats.close()
    await ledger.close()
    await state.views.close()
