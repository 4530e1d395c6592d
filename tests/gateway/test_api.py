"""The API over a told world: figures, paging, problems, headers."""

import base64
import hashlib
import json
import re
from typing import Any

import asyncpg
import httpx
import pytest

from libs.runtime.failures import Refused
from libs.runtime.health import Health
from services.gateway import problems
from services.gateway.app import PAGES, create_app
from services.gateway.paging import read_cursor, write_cursor
from services.gateway.state import State
from tests.gateway.conftest import made_state, memory, project
from tests.projection.pg import Server
from tests.projection.story import tell
from tests.projection.world import HOSTILE, KEYS, World


async def get(api: httpx.AsyncClient, path: str, status: int = 200) -> Any:
    answer = await api.get(path)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_readings_are_paged_newest_first_without_loss(api: httpx.AsyncClient) -> None:
    for query, count in (("meter=m1", 24), ("meter=m2", 12), ("", 36)):
        found: list[int] = []
        cursor = ""
        while True:
            page = await get(api, f"/api/readings?{query}&limit=5{cursor}")
            found += [item["sequence"] for item in page["items"]]
            assert len(page["items"]) <= 5
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert found == sorted(found, reverse=True)
        assert len(set(found)) == len(found) == count


async def test_a_reading_tells_its_energy_twice_and_its_place(api: httpx.AsyncClient) -> None:
    page = await get(api, "/api/readings?meter=m1&limit=1")
    item = page["items"][0]
    assert (item["stream"], item["sequence"], item["seq"]) == ("READINGS_0", 24, 24)
    assert item["registers"] == [
        {
            "name": "generated",
            "total_wh": 400,
            "total_kwh": "0.400",
            "differences_wh": [100, 100, 100, 100],
            "after_wh": 9_600,
        }
    ]


async def test_from_and_until_cut_the_readings(api: httpx.AsyncClient) -> None:
    path = "/api/readings?meter=m1&from=2016-07-01T08:00:00Z&until=2016-07-01T10:00:00Z"
    starts = [item["first_interval_at"] for item in (await get(api, path))["items"]]
    assert starts == ["2016-07-01T09:00:00Z", "2016-07-01T08:00:00Z"]


async def test_an_invoice_explains_itself(api: httpx.AsyncClient) -> None:
    said = await get(api, "/api/invoices/sunrise-2016-07")
    assert (said["status"], said["total"], said["paid"]) == ("paid", "0.9602000", "0.9602000")
    line = said["lines"][0]
    assert line["arithmetic"]["words"] == "4.801 kWh x 0.2000000 USD per kWh = 0.9602000 USD"
    assert line["arithmetic"]["agrees"] is True
    assert line["price"]["state"] == "found"
    assert line["price"]["position"].startswith("PRICES:2:")
    assert said["readings"][0]["ranges"] == "1-24"
    assert said["readings"][0]["state"] == "found"
    assert said["payments"][0]["payment"] == "p1"
    assert said["payments"][0]["shares_moved"] == 9_000_000
    assert said["pending"] == []
    told = " ".join(said["explanation"])
    for words in ("2016-07-01 to 2016-07-31", "READINGS_0 at 1-24", "PRICES:2", "LEDGER_pilot:8"):
        assert words in told


async def test_what_is_not_projected_yet_shows_as_pending(api: httpx.AsyncClient) -> None:
    said = await get(api, "/api/invoices/sunrise-2016-08")
    used = said["readings"][0]
    assert (used["count"], used["found"], used["state"]) == (5, 4, "pending")
    assert said["pending"] == ["readings of m1"]
    assert said["status"] == "open"


async def test_a_payment_without_its_invoice_shows_as_pending(
    postgres: Server, health: Health
) -> None:
    dsn = await postgres.new_database()
    store = memory()
    await tell(World(store))
    await project(dsn, store)
    connection = await asyncpg.connect(dsn)
    await connection.execute("DELETE FROM heliograph.invoice")
    await connection.execute("UPDATE heliograph.tariff SET price_stroops_per_kwh = 1")
    await connection.close()
    state = await made_state(postgres.reader(dsn), health)
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as api:
        said = await get(api, "/api/invoices/sunrise-2016-07")
    await state.views.close()
    assert (said["status"], said["total"], said["paid"]) == ("pending", None, "0.9602000")
    assert said["pending"] == ["the invoice itself"]


async def test_invoices_are_listed_by_agreement(api: httpx.AsyncClient) -> None:
    page = await get(api, "/api/invoices?agreement=sunrise&limit=1")
    second = await get(api, f"/api/invoices?agreement=sunrise&cursor={page['next_cursor']}")
    found = [item["invoice"] for item in page["items"] + second["items"]]
    assert found == ["sunrise-2016-08", "sunrise-2016-07"]
    assert (await get(api, "/api/invoices?agreement=other"))["items"] == []


async def test_ownership_sums_to_the_units(api: httpx.AsyncClient) -> None:
    system = (await get(api, "/api/ownership"))["items"][0]
    assert system["units"] == sum(holder["shares"] for holder in system["title"])
    assert [(one["member"], one["kind"], one["share_percent"]) for one in system["title"]] == [
        ("bob", "investor", "99.9775"),
        ("ann", "recipient", "0.0225"),
    ]
    holding = system["holdings"][0]
    assert (holding["recipient"], holding["own_percent"]) == ("ann", "0.0225")
    assert holding["own_shares"] + holding["principal_shares"] == holding["units"]


async def test_anchors_say_that_the_devnet_is_not_stellar(api: httpx.AsyncClient) -> None:
    page = await get(api, "/api/anchors")
    assert [(one["round"], one["status"]) for one in page["items"]] == [
        (3, "prepared"),
        (2, "failed"),
        (1, "confirmed"),
    ]
    assert all(one["is_devnet"] for one in page["items"])
    assert page["items"][0]["notice"] == "devnet double, not Stellar"
    assert page["items"][2]["ledger"] == 777
    first = await get(api, "/api/anchors?limit=2")
    rest = await get(api, f"/api/anchors?limit=2&cursor={first['next_cursor']}")
    assert [one["round"] for one in rest["items"]] == [1]


async def test_the_small_lists(api: httpx.AsyncClient) -> None:
    assert [one["member"] for one in (await get(api, "/api/members"))["items"]] == [
        "ann",
        "approver",
        "bob",
        "sol",
    ]
    meters = (await get(api, "/api/meters"))["items"]
    assert [(one["meter"], one["holding"]) for one in meters] == [("m1", None), ("m2", "sunny")]
    assert meters[0]["last_until_at"] == "2016-07-02T06:00:00Z"
    clock = await get(api, "/api/clock")
    assert (clock["now_at"], clock["is_played"]) == ("2016-08-02T06:00:00Z", True)
    behind = {one["stream"]: one["behind_s"] for one in clock["streams"]}
    assert behind["READINGS_0"] == 32 * 86_400
    assert behind["LEDGER_pilot"] == 0
    refusals = (await get(api, "/api/refusals"))["items"]
    assert refusals[0]["detail"].startswith(HOSTILE)
    assert (await get(api, "/api/refusals?kind=message"))["items"] == []
    positions = (await get(api, "/api/positions"))["items"]
    assert all(one["is_counted"] for one in positions)
    assert (await get(api, "/api/health"))["status"] == "ok"


async def test_a_member_is_told_as_he_is_today(api: httpx.AsyncClient) -> None:
    found = {one["member"]: one for one in (await get(api, "/api/members"))["items"]}
    ann, bob, sol = found["ann"], found["bob"], found["sol"]
    assert (ann["roles"], ann["address"]) == (["recipient"], KEYS["ann"].address)
    assert (ann["is_suspended"], ann["suspension_reason"], ann["factory"]) == (False, None, None)
    assert (bob["roles"], bob["address"]) == (
        ["investor", "guarantor"],
        KEYS["bob-renewed"].address,
    )
    assert (sol["is_suspended"], sol["suspension_reason"]) == (True, "unpaid-dues")
    assert sol["factory"] == {
        "business_name": HOSTILE.replace("\u202e", ""),
        "energy_type": "solar",
        "daily_consumption_wh": 100_000,
        "available_energy_wh": 1_000_000,
        "opening_book": "pilot",
        "opening_energy_wh": 0,
        "opening_asset": "TOKEN",
        "opening_stroops": 0,
    }


@pytest.mark.parametrize(
    ("path", "name"), [("members", "member"), ("meters", "meter"), ("ownership", "system")]
)
async def test_lists_by_id_are_paged_without_loss(
    api: httpx.AsyncClient, path: str, name: str
) -> None:
    whole = [one[name] for one in (await get(api, f"/api/{path}"))["items"]]
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await get(api, f"/api/{path}?limit=1" + (f"&cursor={cursor}" if cursor else ""))
        found += [one[name] for one in page["items"]]
        cursor = page["next_cursor"]
    assert found == whole == sorted(whole)


async def test_energy_is_summed_per_local_day(api: httpx.AsyncClient) -> None:
    said = await get(api, "/api/energy")
    assert (said["system"], said["time_zone"], said["state"]) == ("roof", "America/Denver", "known")
    assert said["days"] == [
        {
            "day": "2016-07-01",
            "generated_wh": 9_600,
            "generated_kwh": "9.600",
            "consumed_wh": 4_800,
            "consumed_kwh": "4.800",
            "used_wh": 4_800,
            "used_kwh": "4.800",
        }
    ]
    assert (await get(api, "/api/energy?system=none"))["days"] == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/nothing", 404, "no-such-page"),
        ("/elsewhere", 404, "no-such-page"),
        ("/api/invoices/none", 404, "unknown-invoice"),
        ("/api/invoices/a%00b", 422, "invalid-request"),
        ("/api/invoices/%3Cscript%3E", 422, "invalid-request"),
        (f"/api/invoices/{'a' * 64}.{'b' * 65}", 404, "unknown-invoice"),
        (f"/api/invoices/{'a' * 131}", 422, "invalid-request"),
        ("/api/readings?limit=0", 422, "invalid-request"),
        ("/api/readings?limit=1001", 422, "invalid-request"),
        ("/api/readings?meter=a.b", 422, "invalid-request"),
        ("/api/readings?meter=%00", 422, "invalid-request"),
        ("/api/readings?from=2016-07-01", 422, "invalid-request"),
        ("/api/readings?cursor=abc", 422, "bad-cursor"),
        ("/api/refusals?kind=other", 422, "invalid-request"),
        ("/api/energy?days=63", 422, "invalid-request"),
        ("/api/commands", 405, "http-405"),
    ],
)
async def test_every_error_is_a_problem(
    api: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    answer = await api.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:heliograph:problem:{code}"
    assert answer.headers["x-content-type-options"] == "nosniff"


FORGED = {
    "surrogate": ["2016-01-01T00:00:00+00:00", "\ud800", 1],
    "nul": ["2016-01-01T00:00:00+00:00", "\0", 1],
    "before the years": ["0001-01-01T00:00:00+14:00", "a", 1],
    "after the years": ["9999-12-31T23:59:59-14:00", "a", 1],
    "no zone": ["2016-01-01T00:00:00", "a", 1],
    "true": ["2016-01-01T00:00:00+00:00", "a", True],
    "too large": ["2016-01-01T00:00:00+00:00", "a", 2**63],
    "negative": ["2016-01-01T00:00:00+00:00", "a", -1],
    "other members": {"a": 1, "b": 2, "c": 3},
}
PAGED = ["readings", "readings?meter=m1", "meters", "invoices", "ownership", "members"]
PAGED += ["anchors", "refusals", "refusals?kind=message"]


def forge(document: object) -> str:
    text = json.dumps(document).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.mark.parametrize("path", PAGED)
async def test_a_forged_cursor_is_refused_by_its_name(api: httpx.AsyncClient, path: str) -> None:
    for name, document in FORGED.items():
        answer = await api.get(f"/api/{path}", params={"cursor": forge(document)} | _query(path))
        said = answer.json()
        assert (answer.status_code, said["code"]) == (422, "bad-cursor"), name
        assert said["field"] == "cursor"
    for at in ("0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00"):
        cursor = forge([at, "\U0010ffff", 2**63 - 1])
        answer = await api.get(f"/api/{path}", params={"cursor": cursor} | _query(path))
        assert answer.status_code == 200, answer.text


def _query(path: str) -> dict[str, str]:
    return dict(httpx.URL(path).params)


def test_a_cursor_is_read_in_utc() -> None:
    key = read_cursor(forge(["2016-01-01T02:00:00+02:00", "a", 1]))
    assert key is not None
    assert key[0].isoformat() == "2016-01-01T00:00:00+00:00"
    assert read_cursor(write_cursor(key)) == key


@pytest.mark.parametrize("name", ["from", "until"])
async def test_an_instant_beyond_the_years_is_refused_by_its_name(
    api: httpx.AsyncClient, name: str
) -> None:
    for at in ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"):
        answer = await api.get("/api/readings", params={name: at})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid-request")
        assert answer.json()["field"] == name
        assert "1 to 9999" in answer.json()["detail"]
    for at in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2016-07-01T00:00:00-14:00"):
        answer = await api.get("/api/readings", params={name: at, "meter": "m1"})
        assert answer.status_code == 200, answer.text


READS = [
    *("readings", "energy", "meters", "invoices", "invoices/x", "ownership"),
    *("members", "clock", "anchors", "refusals", "positions", "health"),
    *("factories", "factory/x", "factory/x/balance", "factory/x/history", "trades", "trade/x"),
    *("market/orders", "market/slots", "transfers/x", "accounts/x", "accounts/x/statement?asset=W"),
]


@pytest.mark.parametrize("path", READS)
async def test_without_views_or_postgres_the_answer_is_try_again(
    postgres: Server, health: Health, path: str
) -> None:
    away = "postgresql://gateway:test@127.0.0.1:1/none"
    for dsn, code in (
        (postgres.reader(postgres.dsn("template1")), "views-missing"),
        (away, "views-away"),
    ):
        state = await made_state(dsn, health)
        transport = httpx.ASGITransport(create_app(state))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as api:
            answer = await api.get(f"/api/{path}")
        await state.views.close()
        if path == "health" and code == "views-missing":
            continue  # Postgres answers; readiness says the rest
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert int(answer.headers["retry-after"]) >= 1
        assert not health.is_ready()


async def test_a_mistake_of_ours_is_told_without_its_text(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = []

    class Log:
        def error(self, event: str, **fields: object) -> None:
            logged.append((event, str(fields["exc_info"])))

    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(problems, "_log", Log())
    monkeypatch.setattr(state.views, "reading", broken)
    transport = httpx.ASGITransport(create_app(state), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as api:
        answer = await api.get("/api/members")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")
    assert "secret" not in answer.text
    assert logged == [("request-failed", "secret")]
    assert answer.headers["content-type"] == "application/problem+json"
    assert "content-security-policy" in answer.headers


def test_a_problem_may_repeat_whatever_a_stranger_wrote() -> None:
    answer = problems.problem(Refused("odd-name", "\ud800 \u20ac", field="\udfff"))
    assert bytes(answer.body).isascii()
    assert json.loads(bytes(answer.body))["detail"] == "\ud800 \u20ac"


async def test_openapi_describes_every_answer(api: httpx.AsyncClient) -> None:
    said = await get(api, "/openapi.json")
    assert said["openapi"].startswith("3.1")
    for path, methods in said["paths"].items():
        for operation in methods.values():
            assert operation["description"], path
            assert {"200", "503"} <= operation["responses"].keys()
            if "requestBody" in operation:
                assert list(operation["requestBody"]["content"]) == ["application/jose"], path
            for parameter in operation.get("parameters", []):
                assert parameter["description"], (path, parameter["name"])
    for name, schema in said["components"]["schemas"].items():
        for field, info in schema.get("properties", {}).items():
            assert name.startswith(("HTTP", "Validation")) or "description" in info, (name, field)
    body = said["paths"]["/api/commands"]["post"]["requestBody"]
    assert list(body["content"]) == ["application/jose"]


async def test_the_pages_run_only_their_own_script(api: httpx.AsyncClient) -> None:
    for path, name in (("/", "index.html"), ("/api/docs", "docs.html")):
        answer = await api.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        text = (PAGES / name).read_text("utf-8")
        assert answer.text == text
        scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
        assert len(scripts) == text.count("<script") == 1
        digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
        for danger in ("innerHTML", "insertAdjacent", "document.write", "eval(", " style="):
            assert danger not in text
        assert "://" not in re.sub(
            r"http://www\.w3\.org/2000/svg", "", text
        )  # nothing from outside
