"""How things stand: given facts, when they are projected, then the SQL views say this.

The facts are the golden examples, changed where a test needs it. What an invoice has open is
compared with what the ledger's own arithmetic says of the same facts.
"""

from datetime import datetime, timedelta
from typing import Any

import pytest

from libs.events import Fact, InvoiceIssued, TimeAdvanced
from libs.events.subjects import TIME_KEY
from libs.rules.receivables import Receivables
from libs.runtime.health import Health
from services.projection.settings import ProjectionSettings
from tests.projection.running import run_once
from tests.projection.world import World
from tools.example_parts import AUGUST, JULY
from tools.examples import examples

FACTS = {example.name: example.fact for example in examples()}
BILL, NEW_BILL = "raul-home-2016-07", "raul-home-2016-07.2"

Row = dict[str, Any]


def fact(name: str, **changes: object) -> Fact:
    """A golden example, changed."""
    return FACTS[name].model_copy(update=changes)


class Told:
    """Appends facts to the streams where they belong, and asks the views."""

    def __init__(
        self, world: World, settings: ProjectionSettings, health: Health, database: Any
    ) -> None:
        self.world = world
        self._settings, self._health, self._database = settings, health, database

    async def tell(self, *facts: Fact) -> None:
        for each in facts:
            family = type(each).families[0].name
            stream = family if family == "PRICES" else f"{family}_pilot"
            key = TIME_KEY if isinstance(each, TimeAdvanced) else "thing"
            await self.world.append(stream, (key, each))

    async def at(self, now: datetime) -> None:
        await self.tell(TimeAdvanced(to=now, cadence_s=60))

    async def ask(self, question: str) -> list[Row]:
        await run_once(self._settings, self.world.store, self._health)
        return [dict(row) for row in await self._database.fetch(question)]

    async def one(self, view: str) -> Row:
        (row,) = await self.ask(f"SELECT * FROM {view}")
        return row


@pytest.fixture
def told(world: World, settings: ProjectionSettings, health: Health, database: Any) -> Told:
    return Told(world, settings, health, database)


async def test_a_system_goes_from_proposed_to_paid_off(told: Told) -> None:
    async def status() -> tuple[str, int, int]:
        row = await told.one("system_state")
        return row["status"], row["stage"], row["raised_stroops"]

    full = 40_000_000_000
    await told.tell(fact("SystemProposed.v2"))
    assert await status() == ("proposed", 0, 0)
    await told.tell(fact("SystemApproved.v1"), fact("StageAdvanced.v1"))
    assert await status() == ("approved", 3, 0)
    await told.tell(
        fact("InvestmentMade.v2"),
        fact("InvestmentMade.v2", investor="ivo", amount_stroops=15_000_000_000, units=15 * 10**9),
    )
    assert await status() == ("full", 3, full)
    await told.tell(fact("RaiseAccepted.v2"))
    assert await status() == ("building", 3, full)
    await told.tell(fact("StageAdvanced.v1", from_stage=6, to_stage=7))
    assert await status() == ("running", 7, full)
    await told.tell(fact("SystemPaidOff.v1"))
    assert await status() == ("paid-off", 7, full)


async def test_a_seed_round_raises_the_units_and_its_refund_lowers_them(told: Told) -> None:
    seed = {"amount_stroops": 1_000_000, "units": 1_200_000}
    await told.tell(fact("SystemProposed.v2"), fact("InvestmentMade.v2", round="seed", **seed))
    assert (await told.one("system_state"))["units"] == 40_000_200_000

    await told.tell(fact("InvestmentRefunded.v1", **seed), fact("RaiseCancelled.v1"))

    row = await told.one("system_state")
    assert (row["units"], row["raised_stroops"]) == (40_000_000_000, 0)
    assert (row["status"], row["cancelled_because"]) == ("cancelled", "cancelled")


async def test_cover_is_what_is_left_of_it(told: Told) -> None:
    await told.tell(fact("SystemProposed.v2"), fact("CoverDeposited.v1"))
    assert (await told.one("system_state"))["cover_left_stroops"] == 2_000_000_000

    await told.tell(fact("FirstLossCovered.v1"))

    left = (await told.one("system_state"))["cover_left_stroops"]
    assert left == 2_000_000_000 - 338_214_000


async def test_a_holding_is_offered_accepted_and_moves(told: Told) -> None:
    await told.tell(fact("HoldingOpened.v1"), fact("HoldingOffered.v1"))
    row = await told.one("holding_state")
    assert (row["holder"], row["offered_to"], row["moves_to"]) == ("raul", "rosa", None)

    await told.tell(fact("HoldingAccepted.v1"))
    row = await told.one("holding_state")
    assert (row["holder"], row["offered_to"], row["moves_to"]) == ("raul", None, "rosa")
    assert row["moves_at"] == AUGUST

    await told.tell(fact("HoldingTransferred.v1"))
    row = await told.one("holding_state")
    assert (row["holder"], row["offered_to"], row["moves_to"]) == ("rosa", None, None)


async def test_an_offer_to_the_holder_himself_takes_it_back(told: Told) -> None:
    await told.tell(fact("HoldingOpened.v1"), fact("HoldingOffered.v1"))
    await told.tell(fact("HoldingOffered.v1", to_member="raul"))

    assert (await told.one("holding_state"))["offered_to"] is None


async def test_supply_follows_the_last_cure(told: Told) -> None:
    async def supply() -> str:
        return str((await told.one("holding_state"))["supply"])

    await told.tell(fact("HoldingOpened.v1"))
    assert await supply() == "supplied"
    await told.tell(fact("SupplyDiverted.v1"))
    assert await supply() == "diverted"
    await told.tell(fact("SupplyDisconnected.v1"))
    assert await supply() == "disconnected"
    await told.tell(fact("SupplyRestored.v1"))
    assert await supply() == "supplied"
    await told.tell(fact("SupplyDisconnected.v1"))
    row = await told.one("holding_state")
    assert (row["supply"], row["is_diverted"]) == ("disconnected", False)


async def test_a_holding_is_held_then_owned_or_reclaimed(told: Told) -> None:
    await told.tell(fact("HoldingOpened.v1"), fact("OwnershipTransferred.v1"))
    row = await told.one("holding_state")
    assert (row["status"], row["own_shares"]) == ("HELD", 168_350_986)
    await told.tell(fact("HoldingOwned.v1"))
    assert (await told.one("holding_state"))["status"] == "OWNED"
    await told.tell(fact("HoldingReclaimed.v1"))
    row = await told.one("holding_state")
    assert (row["status"], row["own_shares"]) == ("RECLAIMED", 0)


async def test_two_books_may_have_a_holding_of_the_same_name(told: Told, database: Any) -> None:
    await told.tell(fact("HoldingOpened.v1"), fact("OwnershipTransferred.v1"))
    await told.one("holding_state")
    for table in ("holding", "own_title"):
        await database.execute(
            f"CREATE TEMPORARY TABLE other AS SELECT * FROM {table};"
            "UPDATE other SET stream = 'LEDGER_hill', sequence = 1;"
            f"INSERT INTO {table} SELECT * FROM other; DROP TABLE other"
        )
    await database.execute("UPDATE own_title SET own_shares = 7 WHERE stream = 'LEDGER_hill'")

    rows = await database.fetch("SELECT book, own_shares FROM holding_state ORDER BY book")

    assert [tuple(row) for row in rows] == [("hill", 7), ("pilot", 168_350_986)]


async def test_a_draft_is_one_until_its_invoice_is_issued(told: Told) -> None:
    await told.tell(fact("InvoiceDrafted.v1"))
    assert (await told.one("draft_state"))["invoice"] == BILL

    await told.tell(fact("InvoiceIssued.v2.least"))

    assert await told.ask("SELECT * FROM draft_state") == []
    assert (await told.one("invoice_state"))["status"] == "open"


async def test_an_invoice_is_overdue_from_its_due_time_on(told: Told) -> None:
    issued = FACTS["InvoiceIssued.v2"]
    assert isinstance(issued, InvoiceIssued)
    assert issued.later_due_at is not None
    second = timedelta(seconds=1)
    total, later = issued.total_stroops, issued.later_stroops
    overdue = []
    await told.tell(issued)
    for now in (issued.due_at, issued.later_due_at):
        for moment in (now - second, now):
            await told.at(moment)
            overdue.append((await told.one("invoice_state"))["overdue_stroops"])

    assert overdue == [0, total - later, total - later, total]


async def test_a_disputed_part_is_shown_until_it_is_decided_or_time_is_up(told: Told) -> None:
    async def disputed() -> int:
        return int((await told.one("invoice_state"))["disputed_stroops"])

    dispute = fact("InvoiceDisputed.v1", until_at=AUGUST)
    await told.tell(fact("InvoiceIssued.v2.least"), dispute)
    await told.at(JULY)
    assert await disputed() == 50_000_000
    await told.at(AUGUST)
    assert await disputed() == 0
    await told.tell(fact("InvoiceDisputed.v1", until_at=AUGUST + timedelta(days=90)))
    assert await disputed() == 50_000_000
    await told.tell(fact("DisputeResolved.v1"))
    assert await disputed() == 0


def _open_by_the_rules(facts: list[Fact], invoice: str) -> int:
    rules = Receivables()
    for each in facts:
        rules.evolve(each)
    found = rules.get(invoice)
    assert found is not None
    return rules.open_stroops(found)


async def test_what_is_open_is_what_the_rules_say(told: Told) -> None:
    """Step by step, from the issue over a part payment to a credit note that was settled."""
    part = fact("PaymentSettled.v2").model_dump()["cleared"][1]["amount_stroops"] - 138_214_000
    paid = FACTS["PaymentSettled.v2"]
    cleared = paid.model_dump()["cleared"][1] | {"amount_stroops": part}
    steps: list[Fact] = [
        fact("InvoiceIssued.v2.least"),
        type(paid).model_validate(dict(paid) | {"cleared": (cleared,)}),
        fact("InvoiceCapped.v1"),
        fact("CreditNoteIssued.v1"),
        fact("CreditNoteSettled.v1", refunds=()),
        fact("InvoiceIssued.v2"),
        fact("PrepaidApplied.v1", invoice=NEW_BILL),
    ]
    question = "SELECT invoice, open_stroops, status FROM invoice_state ORDER BY number"
    found: list[list[int]] = []
    expected: list[list[int]] = []
    rows: list[Row] = []
    for number, step in enumerate(steps, 1):
        await told.tell(step)
        rows = await told.ask(question)
        found.append([row["open_stroops"] for row in rows])
        names = [row["invoice"] for row in rows]
        expected.append([_open_by_the_rules(steps[:number], name) for name in names])

    assert found == expected
    assert found[0] == [338_214_000]
    assert found[-1][0] == 0
    assert [row["status"] for row in rows] == ["replaced", "open"]


async def test_a_credited_invoice_that_nothing_replaces_is_credited(told: Told) -> None:
    await told.tell(fact("InvoiceIssued.v2.least"), fact("CreditNoteIssued.v1"))

    row = await told.one("invoice_state")

    assert (row["status"], row["open_stroops"]) == ("credited", 0)


async def test_an_agreement_shows_what_is_owed_and_what_is_owned(told: Told) -> None:
    await told.tell(
        fact("HoldingOpened.v1"),
        fact("AgreementOpened.v2"),
        fact("ReturnAccrued.v1"),
        fact("InvoiceIssued.v2.least"),
        fact("StandingOrderSet.v1"),
        fact("FundsReceived.v1"),
        fact("ReminderSent.v1"),
    )
    await told.at(AUGUST + timedelta(days=60))

    row = await told.one("agreement_state")

    assert (row["book"], row["holder"], row["supply"]) == ("pilot", "raul", "supplied")
    assert (row["principal_stroops"], row["own_shares"]) == (40_000_000_000, 0)
    assert row["accrued_return_stroops"] == 169_863_014
    assert (row["credit_stroops"], row["prepaid_stroops"]) == (500_000_000, 0)
    assert (row["open_stroops"], row["overdue_stroops"]) == (338_214_000, 338_214_000)
    assert row["standing_order_stroops"] == 600_000_000
    assert row["last_notice"] == "reminder"
    await told.tell(fact("PaymentSettled.v2"), fact("OwnershipTransferred.v1"))
    row = await told.one("agreement_state")
    assert row["own_shares"] == 168_350_986
    assert row["principal_stroops"] == 40_000_000_000 - 168_350_986
    assert (row["accrued_return_stroops"], row["open_stroops"]) == (0, 0)
    assert row["next_due_at"] is None


async def test_a_feed_is_stale_until_it_says_something_again(told: Told) -> None:
    await told.tell(fact("FeedDefined.v1.least"), fact("PricePublished.v1"))
    row = await told.one("feed_state")
    assert (row["is_stale"], row["quarantined"]) == (False, [])

    await told.tell(fact("FeedStale.v1"), fact("SourceQuarantined.v1"))
    row = await told.one("feed_state")
    assert (row["is_stale"], row["quarantined"]) == (True, ["sami"])

    await told.tell(fact("PricePublished.v1"), fact("SourceReleased.v1"))
    row = await told.one("feed_state")
    assert (row["is_stale"], row["quarantined"]) == (False, [])


async def test_prices_are_listed_by_interval_and_rates_until_the_next(told: Told) -> None:
    later = fact("RatePublished.v1", from_at=AUGUST, rate_stroops=12_000_000)
    await told.tell(fact("PricePublished.v1"), fact("RatePublished.v1"), later)

    prices = await told.ask("SELECT * FROM price_list ORDER BY from_at")
    rates = await told.ask("SELECT * FROM rate_list ORDER BY from_at")

    hour = timedelta(hours=1)
    assert [row["price_stroops_per_kwh"] for row in prices] == [412_300, 380_000, -12_500, 0]
    assert [row["until_at"] - row["from_at"] for row in prices] == [hour] * 4
    assert [(row["rate_stroops"], row["until_at"]) for row in rates] == [
        (11_000_000, AUGUST),
        (12_000_000, None),
    ]


async def test_a_version_of_a_tariff_holds_until_the_next(told: Told) -> None:
    await told.tell(fact("TariffPublished.v2"), fact("TariffPublished.v2.market"))

    rows = await told.ask("SELECT * FROM tariff_list ORDER BY version")

    assert [(row["kind"], row["effective_until"]) for row in rows] == [
        ("time-of-use", AUGUST),
        ("market", None),
    ]
