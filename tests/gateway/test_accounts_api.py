"""Accounts of the books over a told network: balances at a moment, and statements."""

from typing import Any

import asyncpg
import httpx
import pytest

from tests.gateway.asking import get
from tests.gateway.conftest import memory, project
from tests.gateway.network import HOUR, tell_network
from tests.projection.pg import Server
from tests.projection.world import World


@pytest.mark.parametrize(
    ("account", "at", "balances"),
    [
        ("wallet:Factory01", None, {"U:TOKEN": 10_160_000_000}),
        ("wallet:Factory01", HOUR.format(8), {"U:TOKEN": 10_000_000_000}),
        ("kwh:Factory04", None, {"W": 500_000}),
        ("hold:Factory01", HOUR.format(8), {"W": 200_000}),
        ("hold:Factory01:trade.TRADE001", HOUR.format(8), {"W": 200_000}),
        ("hold:Factory01:trade.TRADE002", HOUR.format(8), {}),
        ("hold:Factory02:trade.TRADE004", None, {"W": 100_000}),
        ("hold:Factory02:order.o2", None, {"W": 1_000}),
        ("hold:Factory02", None, {"W": 101_000}),
        ("wallet:ann", None, {"U:TOKEN": 10_000_000, "U:USD": 40_000_000}),
        ("wallet:ann", HOUR.format(12), {"U:TOKEN": 10_000_000}),
        ("retired:Factory05:use", None, {"W": 20_500}),
        ("due:sunrise", None, {"C:USD": 18_806_000}),
        ("due:sunrise", HOUR.format(13), {"C:USD": 19_204_000}),
        ("due:sunrise", HOUR.format(14), {"C:USD": 9_204_000}),
        ("billed:sunrise:energy", None, {"C:USD": 18_806_000}),
        ("wallet:nobody", None, {}),
    ],
)
async def test_what_stands_on_an_account_of_any_member(
    network: httpx.AsyncClient, account: str, at: str | None, balances: dict[str, int]
) -> None:
    said = await get(network, f"/accounts/{account}", **({} if at is None else {"at": at}))
    assert {one["asset"]: one["balance"] for one in said["data"]} == balances
    assert all(one["account"] == account for one in said["data"])


STATEMENTS = [
    ("kwh:Factory01", "W", [1_000_000, 500_000, -200_000, -50_000, -30_000, 50_000, 30_000]),
    ("hold:Factory01", "W", [200_000, -200_000, 50_000, 30_000, -50_000, -30_000]),
    ("hold:Factory01:trade.TRADE003", "W", [30_000, -30_000]),
    (
        "wallet:Factory05",
        "U:TOKEN",
        [6_000_000_000, -50_000_000, 10_000_000, -40_000_000, -10_000_000, 40_000_000],
    ),
    ("due:sunrise", "C:USD", [9_602_000, 9_602_000, -10_000_000, 9_602_000]),
    ("wallet:Factory01", "U:USD", []),
]


@pytest.mark.parametrize(("account", "asset", "changes"), STATEMENTS)
async def test_a_statement_carries_its_balance_over_every_page(
    network: httpx.AsyncClient, account: str, asset: str, changes: list[int]
) -> None:
    for limit in (1, 2, 3, 100):
        found: list[Any] = []
        balance, query = 0, {"asset": asset, "limit": str(limit)}
        while True:
            page = await get(network, f"/accounts/{account}/statement", **query)
            assert page["opening_balance"] == balance
            for line in page["data"]:
                balance += line["change"]
                assert line["balance"] == balance
            assert page["closing_balance"] == balance
            found += page["data"]
            if page["next_cursor"] is None:
                break
            query["cursor"] = page["next_cursor"]
        assert [line["change"] for line in found] == changes
        places = [(line["stream"], line["sequence"], line["part"]) for line in found]
        assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("account", "asset", "between", "opening", "changes"),
    [
        ("kwh:Factory01", "W", (7, 9), 1_000_000, [500_000, -200_000]),
        ("kwh:Factory01", "W", (11, None), 1_300_000, []),
        ("kwh:Factory01", "W", (None, 6), 0, []),
        ("kwh:Factory01", "W", (20, 21), 1_300_000, []),
        ("due:sunrise", "C:USD", (14, 15), 19_204_000, [-10_000_000]),
        ("due:sunrise", "C:USD", (15, None), 9_204_000, [9_602_000]),
    ],
)
async def test_a_statement_opens_with_what_stood_there_before(
    network: httpx.AsyncClient,
    account: str,
    asset: str,
    between: tuple[int | None, int | None],
    opening: int,
    changes: list[int],
) -> None:
    names = zip(("from", "until"), between, strict=True)
    query = {name: HOUR.format(at) for name, at in names if at is not None}
    for limit in (1, 100):
        page = await get(
            network, f"/accounts/{account}/statement", asset=asset, limit=str(limit), **query
        )
        assert page["opening_balance"] == opening
        assert [line["change"] for line in page["data"]] == changes[:limit]
        assert page["closing_balance"] == opening + sum(changes[:limit])
        while page["next_cursor"] is not None:
            left = page["closing_balance"]
            more = query | {"cursor": page["next_cursor"], "asset": asset}
            page = await get(network, f"/accounts/{account}/statement", **more)
            assert page["opening_balance"] == left
        assert page["closing_balance"] == opening + sum(changes)


async def test_a_statement_of_holds_says_what_is_held_for(network: httpx.AsyncClient) -> None:
    page = await get(network, "/accounts/hold:Factory02/statement", asset="W")
    assert [line["held_for"] for line in page["data"]] == [
        "trade.TRADE004",
        "order.o1",
        "order.o1",
        "order.o2",
    ]


async def test_every_balance_is_the_sum_of_its_lines(postgres: Server) -> None:
    dsn, store = await postgres.new_database(), memory()
    await tell_network(World(store))
    await project(dsn, store)
    connection = await asyncpg.connect(dsn, server_settings={"search_path": "heliograph"})
    both = await connection.fetch(
        "SELECT stream, asset, account, sum(change) AS total, sum(balance) AS balance FROM ("
        " SELECT stream, asset, account, change, 0 AS balance FROM entry UNION ALL"
        " SELECT stream, asset, account, change, 0 FROM claim_entry UNION ALL"
        " SELECT stream, asset, account, 0, balance FROM account_balance UNION ALL"
        " SELECT stream, asset, account, 0, balance FROM claim_balance"
        ") line GROUP BY stream, asset, account"
    )
    await connection.close()
    assert len(both) > 20
    assert all(row["total"] == row["balance"] for row in both)
