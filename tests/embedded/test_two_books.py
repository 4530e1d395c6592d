"""Two communities in one installation: every service serves both, and a ledger stands by."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from heliograph.client import CommandClient
from heliograph.credentials import bytes_of_seed
from heliograph.environment import SERVICES
from heliograph.layout import Layout, fact_vaults
from heliograph.stack import Stack, StackOptions
from libs.events.command import Body
from libs.events.commands import DepositFunds, RegisterMember
from libs.events.jws import SigningKey
from libs.runtime.clock import SystemClock

BOOKS = ("pilot", "second")
LAYOUT = Layout(books=BOOKS)
STANDBY = "ledger-standby"
RUN = (*(service for service in SERVICES if service != "teller"), STANDBY)
HELD = ["holder", "standby"]
DEADLINE_S = 60.0


class Approver:
    """Signs commands with the first approver's key and sends them through the gateway."""

    def __init__(self, stack: Stack, http: httpx.AsyncClient) -> None:
        seed = bytes_of_seed(stack.credentials.seeds["first-approver"])
        self.key = SigningKey(seed)
        self._client = CommandClient(
            http, gateway_url=stack.urls.gateway, deployment="embedded", deadline_s=DEADLINE_S
        )

    async def ask(self, command_id: str, body: Body, book: str) -> str:
        text = self._client.write(
            self.key,
            "approver",
            body,
            command_id=command_id,
            book=book,
            now=SystemClock().now() - timedelta(hours=1),
        )
        return str((await self._client.send(text)).last)


async def status(http: httpx.AsyncClient, stack: Stack, name: str) -> dict[str, Any]:
    answer = await http.get(f"{stack.urls.health[name]}/status")
    found: dict[str, Any] = answer.json()
    return found


async def follows(http: httpx.AsyncClient, stack: Stack, name: str) -> set[str]:
    """The streams of books that a service reads or writes, once it has said so."""
    positions = (await status(http, stack, name))["positions"]
    return {stream for stream in positions if stream.startswith(("LEDGER_", "BILLING_"))}


async def told(http: httpx.AsyncClient, stack: Stack, part: str) -> list[str]:
    """What both ledgers say of a part, in order."""
    parts = [(await status(http, stack, name))["parts"] for name in ("ledger", STANDBY)]
    return sorted(each.get(part, {}).get("detail", "") for each in parts)


@pytest.mark.timeout(240)
async def test_every_service_serves_both_books_and_a_standby_takes_over(tmp_path: Path) -> None:
    options = StackOptions(data=tmp_path, services=RUN, layout=LAYOUT, gateway_port=0)
    of_books = {vault.stream for vault in fact_vaults(LAYOUT) if vault.stream.endswith(BOOKS)}
    assert len(of_books) == 4
    async with Stack(options) as stack, httpx.AsyncClient(timeout=10) as http:
        people = Approver(stack, http)
        approver = RegisterMember(
            member="approver", address=people.key.address, roles=("approver", "investor")
        )
        await people.ask("approver", approver, "register")
        for number, book in enumerate(BOOKS, 1):
            body = DepositFunds(member="approver", asset="USD", amount_stroops=number)
            at = await people.ask("deposit", body, book)
            assert at.startswith(f"LEDGER_{book}:")

        # Whoever holds the pen of a stream is killed; the other goes on with it.
        for name in ("ledger", STANDBY):
            stack.kill(name)
            for book in BOOKS:
                body = DepositFunds(member="approver", asset="USD", amount_stroops=7)
                await people.ask(f"after-{name}", body, book)
            await stack.wait_ready(name)

        async with asyncio.timeout(DEADLINE_S):
            for name in ("ledger", STANDBY, "billing", "oracle", "anchor", "projection"):
                wanted = of_books
                while not wanted <= await follows(http, stack, name):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            projected: dict[str, int] = {}
            while not all(projected.get(f"LEDGER_{book}", 0) >= 3 for book in BOOKS):
                answer = await http.get(f"{stack.urls.gateway}/api/positions")
                projected = {each["stream"]: each["sequence"] for each in answer.json()["items"]}
                await asyncio.sleep(0.1)
            for stream in ("MEMBERS", "LEDGER_pilot", "LEDGER_second"):
                while await told(http, stack, f"lease {stream}") != HELD:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        assert (tmp_path / "snapshots").is_dir()
