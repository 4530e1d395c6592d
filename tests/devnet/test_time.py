"""When ledgers close: with the clock, or at a played time that is set from outside."""

import httpx
import pytest

from devnet import horizon
from tests.devnet.conftest import Local
from tests.devnet.test_horizon import envelope, fund, post, problem
from tests.devnet.world import ANNA, BERT, NOBODY, START, pay


async def set_time(played: Local, closed_at: object) -> httpx.Response:
    return await played.http.post("/admin/time", json={"closed_at": closed_at})


async def test_ledgers_close_now_and_at_least_a_second_apart(local: Local) -> None:
    await fund(local, ANNA)
    assert local.node.last.close_time == START
    await fund(local, BERT)
    assert local.node.last.close_time == START + 1
    local.clock[0] = START + 100
    await fund(local, NOBODY)
    assert local.node.last.close_time == START + 100


async def test_a_clock_that_runs_back_does_not_take_the_ledgers_along(local: Local) -> None:
    await fund(local, ANNA)
    local.clock[0] = START - 100
    await fund(local, BERT)
    assert local.node.last.close_time == START + 1


async def test_a_transaction_is_late_when_the_clock_says_so(local: Local) -> None:
    await fund(local, ANNA)
    sent = await envelope(local, ANNA, pay(ANNA), latest=START + 10)
    local.clock[0] = START + 11
    extras = problem(await post(local, sent), 400, "transaction_failed", "Transaction Failed")
    assert extras["result_codes"] == {"transaction": "tx_too_late"}


async def test_without_played_time_nobody_sets_it(local: Local) -> None:
    problem(await set_time(local, START), 404, "not_found", "Resource Missing")


@pytest.mark.parametrize("closed_at", [START, "2027-01-15T08:00:00Z", "2027-01-15T09:00:00+01:00"])
async def test_a_played_time_is_when_ledgers_close(played: Local, closed_at: object) -> None:
    answer = await set_time(played, closed_at)
    expected = {"closed_at": START, "next_closed_at": "2027-01-15T08:00:00Z"}
    assert answer.json() == expected
    await fund(played, ANNA, BERT)
    assert played.node.last.close_time == START + 1
    await set_time(played, START + 900)
    sent = await envelope(played, ANNA, pay(BERT), latest=START + 900)
    record = (await post(played, sent)).json()
    assert record["created_at"] == "2027-01-15T08:15:00Z"


async def test_before_a_time_is_played_ledgers_count_seconds_from_1970(played: Local) -> None:
    await fund(played, ANNA, BERT)
    assert played.node.last.close_time == 2


async def test_a_played_time_does_not_go_back(played: Local) -> None:
    await set_time(played, START)
    refused = await set_time(played, START - 1)
    problem(refused, 409, "time_runs_backwards", "Conflict")
    again = await set_time(played, START)
    assert again.status_code == 200


@pytest.mark.parametrize(
    "closed_at", [-1, 253_370_764_801, 1.5, True, None, "soon", "2027-01-15T08:00:00", [], 10**30]
)
async def test_a_played_time_that_is_none_is_refused(played: Local, closed_at: object) -> None:
    extras = problem(await set_time(played, closed_at), 400, "bad_request", "Bad Request")
    assert extras["invalid_field"] == "closed_at"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"time": 1}', b"5"])
async def test_a_body_that_names_no_time_is_refused(played: Local, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await played.http.post("/admin/time", content=body, headers=headers)
    problem(answer, 400, "bad_request", "Bad Request")


async def test_a_form_of_a_web_page_sets_no_time(played: Local) -> None:
    answer = await played.http.post("/admin/time", data={"closed_at": str(START)})
    problem(answer, 415, "unsupported_media_type", "Unsupported Media Type")


@pytest.mark.parametrize("client", [("192.0.2.7", 1), ("somewhere", 1), None])
async def test_another_machine_sets_no_time(played: Local, client: tuple[str, int] | None) -> None:
    app = horizon.build(played.node)
    transport = httpx.ASGITransport(app=app, client=client)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://devnet") as http:
        answer = await http.post("/admin/time", json={"closed_at": START})
    problem(answer, 404, "not_found", "Resource Missing")
