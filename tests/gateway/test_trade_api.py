"""The energy network's routes over a told network: figures, filters, order, paging, problems."""

import httpx
import pytest

from libs.runtime.health import Health
from services.gateway import filters
from services.gateway.paging import digest_of
from tests.gateway.asking import get, whole
from tests.gateway.conftest import client_of, made_state, memory, project
from tests.gateway.network import (
    HOUR,
    LEDGER,
    created,
    deposited,
    factory,
    key,
    minted,
    tell_network,
)
from tests.gateway.test_api import FORGED, forge
from tests.projection.pg import Server
from tests.projection.world import World


async def test_a_factory_has_the_seeds_fields_and_exact_ones(network: httpx.AsyncClient) -> None:
    said = await get(network, "/factory/Factory01")
    assert said == {
        "success": True,
        "message": "ok",
        "data": {
            "id": "Factory01",
            "name": "Solar Manufacturing Plant",
            "energyType": "solar",
            "energyBalance": 1300,
            "currencyBalance": 1016,
            "dailyConsumption": 800,
            "availableEnergy": 1200,
            "energy_balance_wh": 1_300_000,
            "free_energy_wh": 1_300_000,
            "held_energy_wh": 0,
            "shortfall_wh": 0,
            "currency_balance_stroops": 10_160_000_000,
            "free_stroops": 10_160_000_000,
            "held_stroops": 0,
            "daily_consumption_wh": 800_000,
            "available_energy_wh": 1_200_000,
            "book": "pilot",
            "address": key("Factory01").address,
            "is_suspended": False,
            "registered_at": HOUR.format(6),
        },
    }


async def test_what_is_promised_is_still_had_but_not_free(network: httpx.AsyncClient) -> None:
    two = (await get(network, "/factory/Factory02"))["data"]
    assert (two["energy_balance_wh"], two["free_energy_wh"], two["held_energy_wh"]) == (
        790_000,
        689_000,
        101_000,
    )
    three = (await get(network, "/factory/Factory03"))["data"]
    assert (three["held_stroops"], three["currencyBalance"]) == (0, 499.1)
    assert three["address"] == key("renewed").address
    assert (await get(network, "/factory/Factory05"))["data"]["is_suspended"] is True


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, "12345"),
        ({"energyType": "wind"}, "25"),
        ({"name": "PLANT"}, "1"),
        ({"name": "%"}, ""),
        ({"minEnergy": "510"}, "1235"),
        ({"minEnergy": "510.001", "maxEnergy": "790"}, "25"),
        ({"minCurrency": "1016"}, "1"),
        ({"maxCurrency": "284"}, "4"),
        ({"suspended": "true"}, "5"),
        ({"suspended": "false", "energyType": "wind"}, "2"),
        ({"sort": "-id"}, "54321"),
        ({"sort": "energyBalance"}, "43521"),
        ({"sort": "-energyBalance"}, "12534"),
        ({"sort": "-currencyBalance", "energyType": "solar"}, "14"),
        ({"sort": "availableEnergy"}, "43521"),
        ({"sort": "-dailyConsumption"}, "41235"),
    ],
)
async def test_factories_are_filtered_and_sorted(
    network: httpx.AsyncClient, query: dict[str, str], ids: str
) -> None:
    for limit in (1, 2, 100):
        found = await whole(network, "/factories", limit, **query)
        assert [one["id"] for one in found] == [f"Factory0{each}" for each in ids]


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, "b1.o1 TRADE004 TRADE003 TRADE002 TRADE001"),
        ({"sort": "timestamp"}, "TRADE001 TRADE002 TRADE003 TRADE004 b1.o1"),
        ({"status": "pending"}, "TRADE004"),
        ({"status": "completed"}, "b1.o1 TRADE001"),
        ({"status": "expired"}, "TRADE003"),
        ({"seller": "Factory01", "status": "cancelled"}, "TRADE002"),
        ({"buyer": "Factory03"}, "b1.o1 TRADE004"),
        ({"member": "Factory04"}, "TRADE001"),
        ({"from": HOUR.format(8), "until": HOUR.format(10)}, "TRADE001"),
        ({"from": HOUR.format(11)}, "b1.o1"),
        ({"minAmount": "30.001", "maxAmount": "100"}, "TRADE004 TRADE002"),
        ({"minPrice": "0.08", "maxPrice": "0.0899999"}, "TRADE001"),
        ({"market": "true"}, "b1.o1"),
        ({"market": "false", "sort": "amount"}, "TRADE003 TRADE002 TRADE004 TRADE001"),
        ({"sort": "-amount"}, "TRADE001 TRADE004 TRADE002 TRADE003 b1.o1"),
        ({"sort": "pricePerUnit"}, "TRADE003 TRADE004 TRADE001 TRADE002 b1.o1"),
        ({"sort": "-totalPrice"}, "TRADE001 TRADE004 TRADE002 TRADE003 b1.o1"),
    ],
)
async def test_trades_are_filtered_and_sorted(
    network: httpx.AsyncClient, query: dict[str, str], ids: str
) -> None:
    for limit in (1, 2, 100):
        found = await whole(network, "/trades", limit, **query)
        assert [one["tradeId"] for one in found] == ids.split()


async def test_a_trade_has_the_seeds_fields_and_exact_ones(network: httpx.AsyncClient) -> None:
    assert (await get(network, "/trade/TRADE001"))["data"] == {
        "tradeId": "TRADE001",
        "sellerId": "Factory01",
        "buyerId": "Factory04",
        "amount": 200,
        "pricePerUnit": 0.08,
        "totalPrice": 16,
        "timestamp": HOUR.format(8),
        "status": "completed",
        "energy_wh": 200_000,
        "price_stroops_per_kwh": 800_000,
        "total_stroops": 160_000_000,
        "asset": "TOKEN",
        "expires_at": "2016-07-02T06:00:00Z",
        "ended_at": HOUR.format(9),
        "reason": None,
        "slot_at": None,
        "metadata": {"order": "4711"},
        "book": "pilot",
    }
    match = (await get(network, "/trade/b1.o1"))["data"]
    assert (match["slot_at"], match["expires_at"], match["status"]) == (
        HOUR.format(7),
        None,
        "completed",
    )
    assert (await get(network, "/trade/TRADE002"))["data"]["reason"] == "buyer"


async def test_the_history_tells_every_change_newest_first(network: httpx.AsyncClient) -> None:
    found = await whole(network, "/factory/Factory01/history", 2)
    told = [(one["fact"], one["energy_change_wh"], one["value"]["energyBalance"]) for one in found]
    assert told == [
        ("TradeExpired", 0, 1300),
        ("TradeCancelled", 0, 1300),
        ("TradeCreated", 0, 1300),
        ("TradeCreated", 0, 1300),
        ("TradeExecuted", -200_000, 1300),
        ("TradeCreated", 0, 1500),
        ("EnergyMinted", 500_000, 1500),
        ("FundsDeposited", 0, 1000),
        ("EnergyMinted", 1_000_000, 1000),
    ]
    assert found[4] == {
        "txId": f"{LEDGER}:13",
        "value": {
            "id": "Factory01",
            "energyBalance": 1300,
            "currencyBalance": 1016,
            "energy_balance_wh": 1_300_000,
            "currency_balance_stroops": 10_160_000_000,
        },
        "timestamp": HOUR.format(9),
        "isDelete": False,
        "fact": "TradeExecuted",
        "fact_id": "Factory01.TradeExecuted.5",
        "energy_change_wh": -200_000,
        "currency_change_stroops": 160_000_000,
    }


@pytest.mark.parametrize(
    ("at", "free", "held", "tokens"),
    [
        ("2016-07-01T05:59:59Z", 0, 0, 0),
        (HOUR.format(6), 1_000_000, 0, 1000),
        (HOUR.format(7), 1_500_000, 0, 1000),
        (HOUR.format(8), 1_300_000, 200_000, 1000),
        ("2016-07-01T02:59:59-06:00", 1_300_000, 200_000, 1000),
        (HOUR.format(9), 1_300_000, 0, 1016),
        (None, 1_300_000, 0, 1016),
    ],
)
async def test_a_balance_is_told_as_it_stood_at_a_moment(
    network: httpx.AsyncClient, at: str | None, free: int, held: int, tokens: int
) -> None:
    query = {} if at is None else {"at": at}
    said = (await get(network, "/factory/Factory01/balance", **query))["data"]
    assert (said["free_wh"], said["held_wh"], said["currencyBalance"]) == (free, held, tokens)
    assert said["balance_wh"] == free + held == said["balance"] * 1_000
    assert said["factoryId"] == "Factory01"
    assert (said["at"] is None) == (at is None)


async def test_orders_and_slots_of_the_market(network: httpx.AsyncClient) -> None:
    found = await whole(network, "/market/orders", 2)
    told = [(one["orderId"], one["status"], one["matched_wh"], one["reason"]) for one in found]
    assert told == [
        ("o2", "open", 0, None),
        ("o1", "matched", 10_000, None),
        ("b1", "ended", 10_000, "cleared"),
    ]
    assert (found[2]["amount"], found[2]["pricePerUnit"], found[2]["held_stroops"]) == (
        12,
        0.1,
        12_000_000,
    )
    for query, ids in (
        ({"slot": HOUR.format(7)}, ["o1", "b1"]),
        ({"member": "Factory02"}, ["o2", "o1"]),
    ):
        assert [one["orderId"] for one in await whole(network, "/market/orders", 1, **query)] == ids
    (slot,) = await whole(network, "/market/slots", 1)
    assert (slot["pricePerUnit"], slot["energy_wh"], slot["matches"]) == (0.09, 10_000, 1)
    assert await whole(network, "/market/slots", 1, **{"from": HOUR.format(8)}) == []


async def test_a_transfer_tells_its_steps(network: httpx.AsyncClient) -> None:
    steps = (await get(network, "/transfers/X1"))["data"]
    assert [(one["step"], one["returned_stroops"]) for one in steps] == [
        ("reserved", None),
        ("posted", 10_000_000),
    ]
    assert steps[0]["metadata"] == {"n": "1"}
    assert steps[1]["legs"] == [
        {"to_member": "Factory02", "asset": "TOKEN", "amount_stroops": 40_000_000}
        | {"energy_wh": None}
    ]
    steps = (await get(network, "/transfers/X2"))["data"]
    assert [(one["step"], len(one["legs"]), one["reason"]) for one in steps] == [
        ("posted", 2, None),
        ("reversed", 1, "twice"),
    ]


@pytest.mark.parametrize(
    ("path", "status", "code", "field"),
    [
        ("/factory/Factory99", 404, "unknown-factory", None),
        ("/factory/ann", 404, "unknown-factory", None),
        ("/factory/Factory99/balance", 404, "unknown-factory", None),
        (f"/factory/Factory99/balance?at={HOUR.format(8)}", 404, "unknown-factory", None),
        ("/factory/Factory99/history", 404, "unknown-factory", None),
        ("/factory/Factory01?book=other", 404, "unknown-book", "book"),
        ("/factory/Factory01/history?book=other", 404, "unknown-book", "book"),
        ("/factories?book=register", 404, "unknown-book", "book"),
        ("/trades?book=nowhere", 404, "unknown-book", "book"),
        ("/transfers/X1?book=nowhere", 404, "unknown-book", "book"),
        ("/accounts/wallet:ann?book=nowhere", 404, "unknown-book", "book"),
        ("/trade/TRADE099", 404, "unknown-trade", None),
        ("/transfers/X99", 404, "unknown-transfer", None),
        ("/factory/a%00b", 422, "invalid-request", "factory"),
        ("/trade/a'b", 422, "invalid-request", "trade"),
        ("/accounts/a'b", 422, "invalid-request", "account"),
        ("/accounts/wallet:ann/statement", 422, "invalid-request", "asset"),
        ("/factories?sort=name", 422, "invalid-request", "sort"),
        ("/factories?minEnergy=1e3", 422, "invalid-request", "minEnergy"),
        ("/factories?minEnergy=0.0001", 422, "invalid-request", "minEnergy"),
        ("/factories?minEnergy=-1", 422, "invalid-request", "minEnergy"),
        ("/factories?name=%00", 422, "invalid-request", "name"),
        ("/factories?energytype=wind", 422, "invalid-request", "energytype"),
        ("/factories?limit=1001", 422, "invalid-request", "limit"),
        ("/trades?status=open", 422, "invalid-request", "status"),
        ("/trades?minPrice=0.00000001", 422, "invalid-request", "minPrice"),
        ("/trades?from=2016-07-01", 422, "invalid-request", "from"),
        ("/trades?cursor=abc", 422, "bad-cursor", "cursor"),
        ("/market/orders?slot=now", 422, "invalid-request", "slot"),
        ("/energy/mint", 405, "http-405", None),
    ],
)
async def test_every_error_is_a_problem_that_names_its_field(
    network: httpx.AsyncClient, path: str, status: int, code: str, field: str | None
) -> None:
    answer = await network.get(path)
    said = answer.json()
    assert (answer.status_code, said["code"], said.get("field")) == (status, code, field)
    assert answer.headers["content-type"] == "application/problem+json"


_PARAMETERS: dict[str, type[filters.Listing]] = {
    "/factories": filters.FactoryFilter,
    "/factories?sort=-energyBalance": filters.FactoryFilter,
    "/trades": filters.TradeFilter,
    "/trades?sort=amount": filters.TradeFilter,
    "/factory/Factory01/history": filters.Listing,
    "/market/orders": filters.OrderFilter,
    "/market/slots": filters.SlotFilter,
    "/accounts/wallet:ann/statement?asset=U:TOKEN": filters.StatementFilter,
}


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("/trades?", "/trades?sort=timestamp&"),
        ("/trades?sort=amount&", "/trades?sort=-amount&"),
        ("/trades?", "/trades?seller=Factory01&"),
        ("/factories?", "/factories?energyType=wind&"),
        ("/factory/Factory01/history?", "/factory/Factory02/history?"),
        ("/market/orders?", "/trades?"),
        (
            "/accounts/wallet:Factory05/statement?asset=U:TOKEN&",
            "/accounts/wallet:Factory05/statement?asset=W&",
        ),
    ],
)
async def test_a_cursor_belongs_to_the_parameters_for_which_it_was_given(
    network: httpx.AsyncClient, given: str, used: str
) -> None:
    cursor = (await network.get(f"{given}limit=1")).json()["next_cursor"]
    answer = await network.get(f"{used}cursor={cursor}")
    said = answer.json()
    assert (answer.status_code, said["code"], said["field"]) == (422, "bad-cursor", "cursor")
    assert "other parameters" in said["detail"]
    same = await network.get(f"{given}book=pilot&limit=2&cursor={cursor}")
    assert same.status_code == 200, same.text  # the size of a page may change


@pytest.mark.parametrize("path", _PARAMETERS)
async def test_a_forged_cursor_is_refused_or_harmless(
    network: httpx.AsyncClient, path: str
) -> None:
    own = dict(httpx.URL(path).params)
    parameters = _PARAMETERS[path].model_validate(own).model_dump(mode="json")
    asked = {name: parameters[name] for name in parameters.keys() - {"limit", "cursor"}}
    digest = digest_of(httpx.URL(f"/api{path}").path, asked | {"book": "pilot"})
    for name, document in FORGED.items():
        cursor = digest + forge(document)
        answer = await network.get(path, params=own | {"cursor": cursor})
        assert (answer.status_code, answer.json()["code"]) == (422, "bad-cursor"), name
    for at in ("0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00"):
        cursor = digest + forge([at, "\U0010ffff", 2**63 - 1])
        answer = await network.get(path, params=own | {"cursor": cursor})
        assert answer.status_code == 200, answer.text


async def test_pages_neither_lose_nor_double_what_was_there_while_rows_are_added(
    postgres: Server, health: Health
) -> None:
    dsn, store = await postgres.new_database(), memory()
    world = World(store)
    await tell_network(world)
    await project(dsn, store)
    state = await made_state(postgres.reader(dsn), health)
    lists = {
        "/trades": ("tradeId", ("-timestamp", "timestamp", "amount", "-amount", "-pricePerUnit")),
        "/factories": ("id", ("id", "-id", "energyBalance", "-currencyBalance")),
    }
    number = 10
    async with client_of(state) as network:
        for path, (name, sorts) in lists.items():
            for sort in sorts:
                before = {one[name] for one in await whole(network, path, 100, sort=sort)}
                found: list[str] = []
                query = {"sort": sort, "limit": "3"}
                while True:
                    page = await get(network, path, **query)
                    found += [one[name] for one in page["data"]]
                    if page["next_cursor"] is None:
                        break
                    query["cursor"] = page["next_cursor"]
                    if number % 4:  # else it would never end
                        await _add(world, number)
                        await project(dsn, store)
                    number += 1
                assert len(found) == len(set(found))
                assert before <= set(found)
    await state.views.close()


async def _add(world: World, number: int) -> None:
    """A factory and a trade, somewhere in every order."""
    name = f"Factory{(number * 37) % 100:02}x{number}"
    kwh = (number * 53) % 1_500
    await world.append("MEMBERS", factory(name, "Another", "wind", kwh, number, number))
    await world.append(
        LEDGER,
        minted(name, kwh + 1),
        deposited(name, kwh + 1),
        created(f"T{number}", "Factory02", name, 1 + number % 7, 700_000 + number % 3),
    )
