"""docs/trade.md is true: its blocks run on an embedded stack, and so does every refusal.

The seed's story is told by the page itself; what must be refused is asked with the same keys.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from heliograph.keys import read_key
from heliograph.stack import Stack, StackOptions
from libs.events.trade_commands import RegisterFactory
from libs.events.trading import OrderWithdrawn, TradeCancelled
from services.gateway.filters import FactoryFilter, OrderFilter, StatementFilter, TradeFilter
from services.gateway.shapes.trading import Order, Trade
from tests.docs.refusals import People, refuse_everything

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "trade.md"
SIGN = ROOT / "docs" / "sign.md"
ADDRESS = "http://127.0.0.1:3000"
SERVICES = ("ledger", "oracle", "projection", "gateway")


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def run_blocks(blocks: list[str], folder: Path, gateway: str) -> str:
    """Run blocks of a page in one shell; give what they printed."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    command = programs / "heliograph"
    command.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = sign ] && set -- "$@" --clock {gateway}\n'
        f'exec "{sys.executable}" -m heliograph "$@"\n'
    )
    command.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", "set -e\n" + "\n".join(blocks).replace(ADDRESS, gateway)],
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_page(folder: Path, gateway: str) -> list[Any]:
    """Run every block of the page; give every answer in order, also what curl asked again for."""
    said, decoder = [], json.JSONDecoder()
    for line in run_blocks(blocks(PAGE), folder, gateway).splitlines():
        while line.startswith("{"):
            document, end = decoder.raw_decode(line)
            said.append(document)
            line = line[end:]  # noqa: PLW2901 - the rest of it
    return said


def run_sign_page(folder: Path, gateway: str) -> None:
    """Who read this page walks through the other one too: its trade is executed, and just once."""
    others = [block for block in blocks(SIGN) if "--command RegisterMember" not in block]
    assert len(others) == len(blocks(SIGN)) - 1
    answers = run_blocks(others, folder, gateway)
    assert "refused" not in answers, answers
    environment = os.environ | {"GATEWAY": gateway, "DEPLOYMENT": "embedded"}
    told = [run_example("sign.py", folder, environment) for _ in range(2)]
    assert told[0].startswith("done: LEDGER_pilot:")
    assert told[0] == told[1]


def run_example(script: str, folder: Path, environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / script), *words],
        cwd=folder,
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def compare_books(stack: Stack, http: httpx.AsyncClient, folder: Path) -> None:
    """What `examples/balance.py` makes of the facts is what the API answers."""
    environment = os.environ | {
        "NATS_URL": stack.urls.nats,
        "NATS_PASSWORD": stack.credentials.passwords["auditor"],
        "DEPLOYMENT": "embedded",
    }
    members = ("Factory01", "Factory02", "Factory04", "ben")
    printed = await asyncio.to_thread(run_example, "balance.py", folder, environment, *members)
    assert not re.search(r"Factory02: .* 0 stroops held", printed)  # its orders hold money

    async def told() -> str:
        lines = []
        for member in members:
            answer = await http.get(f"{stack.urls.gateway}/api/factory/{member}")
            has = answer.json()["data"]
            assert has["energy_balance_wh"] == has["free_energy_wh"] + has["held_energy_wh"]
            assert has["currency_balance_stroops"] == has["free_stroops"] + has["held_stroops"]
            energy, money = has["free_energy_wh"], has["free_stroops"]
            lines.append(f"{member}: {energy} Wh free, {has['held_energy_wh']} Wh held\n")
            lines.append(f"{member}: {money} stroops free, {has['held_stroops']} stroops held\n")
        return "".join(lines)

    for _ in range(300):  # the views follow the facts
        if printed == await told():
            break
        await asyncio.sleep(0.1)
    assert printed == await told()


@asynccontextmanager
async def installation(folder: Path) -> AsyncIterator[tuple[Stack, httpx.AsyncClient]]:
    options = StackOptions(
        data=folder / ".heliograph",
        services=SERVICES,
        infrastructure=("broker", "postgres"),
        gateway_port=0,
    )
    async with Stack(options) as stack, httpx.AsyncClient(timeout=30) as http:
        yield stack, http


def tell_story(said: list[Any]) -> None:
    """What the page printed is the seed's story."""
    by_message = {each["message"]: each["data"] for each in said if "message" in each}
    assert by_message["Factory01 is registered."]["energyBalance"] == 1000
    assert by_message["Factory04 is registered."]["energyBalance"] == 300
    assert by_message["The energy is minted."]["balance"] == 1500
    trade = by_message["The trade is created."]
    assert (trade["status"], trade["totalPrice"], trade["total_stroops"]) == (
        "pending",
        16,
        160_000_000,
    )
    assert by_message["The trade is executed."]["status"] == "completed"
    seller, buyer = (each["data"] for each in said if each.get("message") == "ok")
    assert (seller["id"], seller["energyBalance"], seller["currencyBalance"]) == (
        "Factory01",
        1300,
        1016,
    )
    assert (buyer["id"], buyer["energyBalance"], buyer["currencyBalance"]) == (
        "Factory04",
        500,
        284,
    )
    assert by_message["The energy is transferred."]["balance"] == 480
    assert by_message["The energy is retired."]["balance"] == 349.5
    factories, trades, history, statement = said[-4:]
    assert [each["id"] for each in factories["data"]] == ["Factory01"]
    assert [each["tradeId"] for each in trades["data"]] == ["TRADE001"]
    assert [each["fact"] for each in history["data"]][:3] == [
        "TransferReversed",
        "TransferPosted",
        "TradeExecuted",
    ]
    assert [each["change"] for each in statement["data"]][-2:] == [250_000_000, -250_000_000]
    assert statement["closing_balance"] == 10_160_000_000


@pytest.mark.timeout(240)
async def test_the_page_and_every_refusal_run_on_an_installation(tmp_path: Path) -> None:
    async with installation(tmp_path) as (stack, http):
        gateway = stack.urls.gateway
        tell_story(await asyncio.to_thread(run_page, tmp_path, gateway))
        await asyncio.to_thread(run_sign_page, tmp_path, gateway)
        keys = {
            name: read_key(tmp_path / f"{name}.key")
            for name in ("approver", "Factory01", "Factory02", "Factory04")
        }
        people = People(http, gateway, keys)
        await refuse_everything(people)
        await compare_books(stack, http, tmp_path)
    assert told_codes() - people.heard == NOT_HERE.keys()


NOT_HERE = {
    **dict.fromkeys(("trade-expired", "transfer-expired"), "the ledger works the time off first"),
    **dict.fromkeys(("transfer-between-books", "not-one-money-leg"), "there is one book here"),
    "slot-full": "600 orders",
    "wrong-book": "the gateway finds nobody there",
    **dict.fromkeys(
        ("wrong-content-type", "too-large", "views-behind", "unknown-factory"), "tests/gateway"
    ),
    **dict.fromkeys(("invalid-request", "bad-cursor"), "tests/gateway"),
    "service-away": "the ledger is there",
    "no-answer": "it answers",
}
"""Codes of the page that this test does not hear, and why; other tests do."""


def told_codes() -> set[str]:
    """Every code in the page's table."""
    table = PAGE.read_text("utf-8").partition("| code | why |")[2]
    cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    return {code for cell in cells for code in re.findall(r"`([a-z-]+)`", cell)}


def test_the_page_tells_every_code_of_trading() -> None:
    found: set[str] = {"service-away", "no-answer", "views-behind"}
    for name in ("trading", "energy", "transfers", "taking", "market", "room", "checks"):
        source = (ROOT / "services" / "ledger" / f"{name}.py").read_text("utf-8")
        found |= set(re.findall(r"(?:Refused|NotFound|_check)\(\s*\"([a-z-]+)\"", source))
    assert len(found) > 30
    assert found - {"id-reserved", "id-used"} <= told_codes()  # for systems and repayment


def test_the_page_tells_every_status_and_reason() -> None:
    page = PAGE.read_text("utf-8")
    for model, field in (
        (Trade, "status"),
        (TradeCancelled, "reason"),
        (Order, "status"),
        (OrderWithdrawn, "reason"),
    ):
        for value in get_args(model.model_fields[field].annotation):
            assert f"`{value}`" in page, (model.__name__, value)


def test_the_page_tells_what_a_registration_needs() -> None:
    for name, info in RegisterFactory.model_fields.items():
        assert f"`{info.alias or name}`" in PAGE.read_text("utf-8"), name


def test_the_page_tells_every_parameter_of_the_lists() -> None:
    page = PAGE.read_text("utf-8")
    for model in (FactoryFilter, TradeFilter, OrderFilter, StatementFilter):
        for name, info in model.model_fields.items():
            assert f"`{info.alias or name}`" in page, (model.__name__, name)
