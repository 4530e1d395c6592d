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
from typing import Any

import httpx
import pytest

from heliograph.keys import read_key
from heliograph.stack import Stack, StackOptions
from services.gateway.filters import FactoryFilter, OrderFilter, StatementFilter, TradeFilter
from tests.docs.refusals import People, refuse_everything

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "trade.md"
ADDRESS = "http://127.0.0.1:3000"
SERVICES = ("ledger", "oracle", "projection", "gateway")


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def run_page(folder: Path, gateway: str) -> list[Any]:
    """Run every block of the page; give every JSON document that it printed, in order."""
    programs = folder / "programs"
    programs.mkdir()
    command = programs / "heliograph"
    command.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = sign ] && set -- "$@" --clock {gateway}\n'
        f'exec "{sys.executable}" -m heliograph "$@"\n'
    )
    command.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-c", "set -e\n" + "\n".join(blocks()).replace(ADDRESS, gateway)],
        cwd=folder,
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


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
    assert [each["fact"] for each in history["data"]][:2] == ["TransferPosted", "TradeExecuted"]
    assert statement["closing_balance"] == 10_410_000_000


@pytest.mark.timeout(240)
async def test_the_page_and_every_refusal_run_on_an_installation(tmp_path: Path) -> None:
    async with installation(tmp_path) as (stack, http):
        gateway = stack.urls.gateway
        tell_story(await asyncio.to_thread(run_page, tmp_path, gateway))
        keys = {
            name: read_key(tmp_path / f"{name}.key")
            for name in ("approver", "Factory01", "Factory02", "Factory04")
        }
        people = People(http, gateway, keys)
        await refuse_everything(people)
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
}
"""Codes of the page that this test does not hear, and why; other tests do."""


def told_codes() -> set[str]:
    """Every code in the page's table."""
    table = PAGE.read_text("utf-8").partition("| code | why |")[2]
    cells = re.findall(r"^\| (`.+?) \|", table, re.MULTILINE)
    return {code for cell in cells for code in re.findall(r"`([a-z-]+)`", cell)}


def test_the_page_tells_every_code_of_trading() -> None:
    found: set[str] = set()
    for name in ("trading", "energy", "transfers", "taking", "market", "room", "checks"):
        source = (ROOT / "services" / "ledger" / f"{name}.py").read_text("utf-8")
        found |= set(re.findall(r"(?:Refused|NotFound|_check)\(\s*\"([a-z-]+)\"", source))
    assert len(found) > 30
    assert found - {"id-reserved"} <= told_codes()  # that is for systems and holdings


def test_the_page_tells_every_parameter_of_the_lists() -> None:
    page = PAGE.read_text("utf-8")
    for model in (FactoryFilter, TradeFilter, OrderFilter, StatementFilter):
        for name, info in model.model_fields.items():
            assert f"`{info.alias or name}`" in page, (model.__name__, name)
