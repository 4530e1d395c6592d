"""The oracle as a process: a source of its settings becomes prices, and a restart repeats none."""

import asyncio
from datetime import timedelta
from pathlib import Path

import httpx

from heliograph.client import CommandClient
from heliograph.credentials import bytes_of_seed
from heliograph.keys import new_key
from heliograph.stack import Stack, StackOptions
from heliograph.subscribe import Subscriber
from libs.events.billing_commands import DefineFeed
from libs.events.command import Body
from libs.events.commands import RegisterMember
from libs.events.jws import SigningKey
from libs.events.pricing import PriceObserved, PricePublished
from libs.runtime.clock import SystemClock
from tests.oracle.papers import day_ahead
from tests.oracle.staging import rules

SOURCES = """
[[sources]]
name = "night"
feed = "spot"
kind = "entsoe"
asset = "EUR"
member = "north"
key_file = "north.key"
place = "prices.xml"
every_s = 1
"""
STAMP = "%Y-%m-%dT%H:%MZ"


def document(hours: int) -> bytes:
    start = SystemClock().now().replace(hour=0, minute=0, second=0, microsecond=0)
    end = start + timedelta(hours=hours)
    points = {hour: str(hour) for hour in range(1, hours + 1)}
    return day_ahead(f"{start:{STAMP}}", f"{end:{STAMP}}", points)


async def observed_and_published(stack: Stack, count: int) -> list[tuple[int, ...]]:
    """What was observed, once there are so many published prices."""
    found, published = [], 0
    async with Subscriber.connect(
        url=stack.urls.nats,
        user="auditor",
        password=stack.credentials.passwords["auditor"],
        deployment="embedded",
    ) as subscriber:
        async for recorded in subscriber.facts("PRICES"):
            if isinstance(recorded.fact, PriceObserved):
                found.append(recorded.fact.observed.values)
            published += isinstance(recorded.fact, PricePublished)
            if published == count:
                return found
    raise AssertionError("a stream does not end")


async def test_a_source_of_the_settings_becomes_prices(tmp_path: Path) -> None:
    address = new_key(tmp_path / "north.key")
    (tmp_path / "sources.toml").write_text(SOURCES)
    (tmp_path / "prices.xml").write_bytes(document(2))
    options = StackOptions(
        data=tmp_path / "data",
        services=("ledger", "oracle", "projection", "gateway"),
        infrastructure=("broker", "postgres"),
        gateway_port=0,
        extra_env={"oracle": {"HELIOGRAPH_ORACLE_SOURCES": str(tmp_path / "sources.toml")}},
    )
    async with asyncio.timeout(200), httpx.AsyncClient(timeout=30) as http:
        async with Stack(options) as stack:
            client = CommandClient(http, gateway_url=stack.urls.gateway, deployment="embedded")
            approver = SigningKey(bytes_of_seed(stack.credentials.seeds["first-approver"]))

            async def ask(command_id: str, body: Body, book: str) -> None:
                now = SystemClock().now() - timedelta(hours=1)
                text = client.write(
                    approver, "approver", body, command_id=command_id, book=book, now=now
                )
                await client.send(text)

            for member, key, roles in (
                ("approver", approver.address, ("approver",)),
                ("north", address, ("platform",)),
            ):
                told = {"member": member, "address": key, "roles": roles}
                body = RegisterMember.model_validate(told)
                await ask(member, body, "register")
            spot = rules(sources=("north",), quorum=1)
            await ask("feed", DefineFeed(feed="spot", rules=spot), "main")
            assert await observed_and_published(stack, 1) == [(10_000, 20_000)]
        (tmp_path / "prices.xml").write_bytes(document(3))
        async with Stack(options) as stack:
            assert await observed_and_published(stack, 2) == [(10_000, 20_000), (30_000,)]
