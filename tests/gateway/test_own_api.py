"""The routes of coming to own, over a world in which one of each fact was told."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pypdfium2  # type: ignore[import-untyped]
import pytest

from libs.events import CreditNoteIssued, InvoiceIssued, SystemProposed, TariffPublished
from libs.rules.stages import STAGES
from libs.runtime.health import Health
from services.gateway.app import create_app
from services.gateway.paper import payment_code
from services.gateway.queries.why import Why
from services.gateway.shapes import InvoiceDetail
from tests.gateway.conftest import made_state, memory, project
from tests.projection.ownership_story import tell_pay_to_own
from tests.projection.pg import Server
from tests.projection.story import tell
from tests.projection.world import World
from tools.examples import examples

FACTS = {example.name: example.fact for example in examples()}
_TOLD: dict[int, str] = {}


@pytest.fixture
async def api(postgres: Server, health: Health) -> AsyncIterator[httpx.AsyncClient]:
    if postgres.port not in _TOLD:
        dsn = await postgres.new_database()
        store = memory()
        world = World(store)
        await tell(world)
        await tell_pay_to_own(world)
        await project(dsn, store)
        _TOLD[postgres.port] = postgres.reader(dsn)
    state = await made_state(_TOLD[postgres.port], health)
    transport = httpx.ASGITransport(create_app(state))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client
    await state.views.close()


async def get(api: httpx.AsyncClient, path: str, status: int = 200) -> Any:
    answer = await api.get(f"/api/{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


def fact(name: str) -> Any:
    return FACTS[name]


async def test_a_system_tells_its_raise_and_its_stage(api: httpx.AsyncClient) -> None:
    proposed: SystemProposed = fact("SystemProposed.v2")
    (found,) = [
        each
        for each in (await get(api, "systems"))["items"]
        if each["offtaker"] == proposed.offtaker
    ]
    assert found["system"] == proposed.system
    assert found["price_stroops"] == proposed.price_stroops
    assert found["price"] == f"{proposed.price_stroops // 10**7}.0000000"
    assert found["stage_name"] == STAGES[found["stage"]].name
    assert (await get(api, f"systems/{proposed.system}"))["system"] == proposed.system
    assert (await get(api, "systems/nowhere", 404))["code"] == "unknown-system"
    assert (await get(api, "systems?book=elsewhere", 404))["code"] == "unknown-book"


async def test_a_holding_tells_who_has_it_and_whether_it_is_supplied(
    api: httpx.AsyncClient,
) -> None:
    holdings = (await get(api, "holdings"))["items"]
    assert holdings
    for each in holdings:
        same = await get(api, f"holdings/{each['holding']}")
        assert same == each
        supply = await get(api, f"holdings/{each['holding']}/supply")
        assert supply["state"] == each["supply"]
    told = fact("SupplyTokenIssued.v1")
    supply = await get(api, f"holdings/{told.holding}/supply")
    counts = [token["count"] for token in supply["tokens"]]
    assert told.count in counts
    assert counts == sorted(counts, reverse=True)
    assert (await get(api, "holdings/none/supply", 404))["code"] == "unknown-holding"


async def test_an_agreement_tells_what_is_owed_and_what_ends_it(api: httpx.AsyncClient) -> None:
    agreements = (await get(api, "agreements"))["items"]
    assert agreements
    for each in agreements:
        same = await get(api, f"agreements/{each['agreement']}")
        assert same in agreements  # the examples open one twice, in full and in short
        if each["status"] == "HELD":
            least = each["principal_stroops"] + each["accrued_return_stroops"]
            assert each["payoff_stroops"] >= least
        else:
            assert each["payoff_stroops"] == 0
    assert (await get(api, "agreements/none", 404))["code"] == "unknown-agreement"


async def test_notices_are_listed_newest_first_and_page_by_page(api: httpx.AsyncClient) -> None:
    whole = (await get(api, "notices"))["items"]
    assert {each["kind"] for each in whole} >= {"reminder", "alert", "stern"}
    paged, cursor = [], ""
    while True:
        page = await get(api, f"notices?limit=1{cursor}")
        paged += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert paged == whole


async def test_a_credit_note_explains_the_difference(api: httpx.AsyncClient) -> None:
    told: CreditNoteIssued = fact("CreditNoteIssued.v1")
    notes = (await get(api, "credit-notes"))["items"]
    note = max(
        (each for each in notes if each["credit_note"] == told.credit_note),
        key=lambda each: len(each["changes"]),
    )
    assert note["total_stroops"] == told.total_stroops
    assert [each["kind"] for each in note["changes"]] == [each.kind for each in told.changes]
    assert note["because"] == list(told.because)


async def test_every_kind_of_line_is_told_and_explained(api: httpx.AsyncClient) -> None:
    told: InvoiceIssued = fact("InvoiceIssued.v2")
    found = await get(api, f"invoices/{told.invoice}")
    assert [line["kind"] for line in found["lines"]] == [line.kind for line in told.lines]
    assert sum(line["amount_stroops"] for line in found["lines"]) == told.total_stroops
    assert found["explanation"][-1].endswith(".")
    for line in told.lines:
        assert any(f"Line {line.line}, " in sentence for sentence in found["explanation"])


def nodes(tree: Why) -> list[Why]:
    return [tree, *(node for child in tree.because for node in nodes(child))]


async def test_why_leads_from_the_amount_to_positions(api: httpx.AsyncClient) -> None:
    told: InvoiceIssued = fact("InvoiceIssued.v2")
    tree = Why.model_validate(await get(api, f"invoices/{told.invoice}/why"))
    assert tree.amount_stroops == told.total_stroops
    places = {node.position for node in nodes(tree) if node.position}
    prices = {line.price_position.rpartition(":")[0] for line in told.lines if line.price_position}
    assert prices <= places
    amounts = [node.amount_stroops for node in tree.because if node.says.startswith("Line ")]
    assert amounts == [line.amount_stroops for line in told.lines]
    meters = [node.says.split()[1] for node in nodes(tree) if node.says.startswith("Meter ")]
    assert meters == [f"{each.meter}:" for each in told.readings], "each is told of once"
    assert (await get(api, "invoices/none/why", 404))["code"] == "unknown-invoice"


async def test_a_bill_is_printed_the_same_each_time(api: httpx.AsyncClient) -> None:
    told: InvoiceIssued = fact("InvoiceIssued.v2")
    answers = [await api.get(f"/api/invoices/{told.invoice}/pdf") for _ in range(2)]
    assert answers[0].status_code == 200, answers[0].text
    assert answers[0].headers["content-type"] == "application/pdf"
    assert answers[0].content == answers[1].content
    text = "".join(
        page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(answers[0].content)
    )
    assert f"Invoice {told.number}" in text
    assert told.invoice in text


async def test_tariffs_and_feeds_are_listed_with_what_they_say(api: httpx.AsyncClient) -> None:
    told: TariffPublished = fact("TariffPublished.v2")
    versions = (await get(api, f"tariffs?tariff={told.tariff}"))["items"]
    (found,) = [each for each in versions if each["version"] == told.version]
    assert found["prices"] == told.prices.model_dump(mode="json", exclude_none=True)
    published = fact("PricePublished.v1")
    prices = (await get(api, f"prices/{published.feed}"))["items"]
    values = [each["price_stroops_per_kwh"] for each in prices]
    assert values == list(published.published.values)
    (feed,) = [
        each for each in (await get(api, "feeds"))["items"] if each["feed"] == published.feed
    ]
    assert feed["kind"] == "price"
    rate = fact("RatePublished.v1")
    (newest, *_) = (await get(api, f"rates/{rate.feed}"))["items"]
    assert newest["rate_stroops"] == rate.rate_stroops


async def test_drafts_are_those_whose_invoice_is_not_there(api: httpx.AsyncClient) -> None:
    issued = {each["invoice"] for each in (await get(api, "invoices?limit=1000"))["items"]}
    drafts = {each["invoice"] for each in (await get(api, "drafts"))["items"]}
    assert not issued & drafts


async def test_a_payment_code_asks_for_what_is_open(api: httpx.AsyncClient) -> None:
    told: InvoiceIssued = fact("InvoiceIssued.v2")
    bill = InvoiceDetail.model_validate(await get(api, f"invoices/{told.invoice}"))
    plain = payment_code(bill, "")
    assert plain.startswith(f"heliograph:pay?agreement={told.agreement}&invoice={told.invoice}")
    issuer = "G" + "A" * 55
    on_stellar = bill.model_copy(update={"asset": f"USD:{issuer}"})
    too_long = on_stellar.model_copy(update={"agreement": "a" * 29})
    assert payment_code(too_long, "G" + "B" * 55).startswith("heliograph:pay?agreement=aaa")
    code = payment_code(on_stellar, "G" + "B" * 55)
    assert code.startswith("web+stellar:pay?destination=G")
    assert f"asset_issuer={issuer}" in code
    assert f"memo={told.agreement}" in code


async def test_money_in_suspense_is_listed_until_it_is_settled(api: httpx.AsyncClient) -> None:
    waiting = {each["receipt"]: each for each in (await get(api, "suspense"))["items"]}
    told, settled = fact("FundsSuspended.v1"), fact("SuspenseSettled.v1")
    assert (told.receipt in waiting) == (told.receipt != settled.receipt)
    assert settled.receipt not in waiting
