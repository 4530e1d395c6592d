"""Rows: given a fact, when it is projected, then these rows follow. No database here."""

import itertools
from datetime import timedelta

import pytest

from libs.events import (
    Draft,
    Fact,
    PaymentSettled,
    ReadingRecorded,
    Recorded,
    RegisterDifferences,
    TimeAdvanced,
    TimeReached,
    TradeCreated,
    TradeExecuted,
    decode,
    encode,
)
from libs.events.fact import LATEST
from libs.eventstore import Stored
from libs.rules.postings import postings
from libs.runtime.failures import BrokenLaw
from services.projection import ownership_tables, tables
from services.projection.batch import Batch, FactSource
from services.projection.rows import VIEWS, rows_of
from services.projection.table import Table, Values
from tests.projection.story import invoice
from tests.projection.world import DEPLOYMENT, START, reading


def recorded(stream: str, key: str, fact: Fact, sequence: int = 1) -> Recorded[Fact]:
    subject, data = encode(
        Draft(key, fact, f"{key}.1", START),
        deployment=DEPLOYMENT,
        stream=stream,
        n=1,
        cause="- test",
        seen="",
    )
    return decode(
        deployment=DEPLOYMENT, stream=stream, sequence=sequence, subject=subject, data=data
    )


def stored(found: Recorded[Fact]) -> Stored:
    return Stored(found.stream, found.sequence, found.envelope.subject, found.data, "append", {})


def row(table: Table, values: Values) -> dict[str, object]:
    return dict(zip(table.columns, values, strict=True))


def test_every_released_fact_has_a_view() -> None:
    assert {cls.fact_name for cls in VIEWS} == LATEST.keys()


def test_a_report_of_several_intervals_gives_totals_and_the_intervals() -> None:
    given = reading("m1", 3, each=4)
    ((table, values),) = rows_of(recorded("READINGS_0", "m1", given, 17))
    then = row(table, values)
    assert table is tables.READING
    assert then["sequence"] == 17
    assert then["until_at"] == given.first_interval_at + timedelta(hours=1)
    assert (then["generated_wh"], then["generated_after_wh"]) == (400, 1_200)
    assert then["generated_each_wh"] == (100, 100, 100, 100)
    assert then["consumed_wh"] is then["consumed_each_wh"] is then["consumed_after_wh"] is None


def test_a_report_of_one_interval_keeps_no_list_and_zero_is_not_nothing() -> None:
    parts = (
        RegisterDifferences(name="generated", differences_wh=(0,), after_wh=0),
        RegisterDifferences(name="consumed", differences_wh=(7,), after_wh=7),
    )
    given: ReadingRecorded = reading("m1", 1, each=1).model_copy(update={"registers": parts})
    ((table, values),) = rows_of(recorded("READINGS_0", "m1", given))
    then = row(table, values)
    assert (then["generated_wh"], then["consumed_wh"]) == (0, 7)
    assert then["generated_each_wh"] is then["consumed_each_wh"] is None
    assert then["generated_after_wh"] == 0


def test_an_invoice_gives_its_lines_and_the_readings_it_rests_on() -> None:
    price = recorded("PRICES", "time", TimeAdvanced(to=START, cadence_s=1)).position
    given = invoice(price_position=price, positions=[1, 2, 5])
    found = list(rows_of(recorded("BILLING_pilot", "sunrise", given, 9)))
    by_table = {table.name: row(table, values) for table, values in found[:3]}
    assert by_table["invoice"]["energy_wh"] == 4_801
    assert by_table["invoice_line"]["price_position"] == str(price)
    assert by_table["invoice_reading"]["positions"] == (1, 2, 5)
    assert [values for table, values in found if table is tables.CLAIM_BALANCE] == [
        ("BILLING_pilot", "C:USD", "due:sunrise", 9_602_000),
        ("BILLING_pilot", "C:USD", "billed:sunrise:energy", 9_602_000),
    ]


def test_balances_are_those_of_the_rules() -> None:
    given = PaymentSettled.model_validate_json(
        '{"payment": "p", "agreement": "a", "payer": "ann", "asset": "USD", "amount_stroops": 9,'
        '"kind": "invoices",'
        '"cleared": [], "returns": [], "principal": [{"member": "bob", "amount_stroops": 4}],'
        '"credit_stroops": 5}'
    )
    found = rows_of(recorded("LEDGER_pilot", "a", given))
    changes = [values for table, values in found if table is tables.ACCOUNT_BALANCE]
    assert len(changes) == 2 * len(postings(given))
    assert sum(values[-1] for values in changes) == 0  # credit accounts only: one gives, one gets
    assert ("LEDGER_pilot", "U:USD", "wallet:bob", 4) in changes
    assert ("LEDGER_pilot", "U:USD", "wallet:ann", -9) in changes


def test_all_holds_of_a_member_are_one_balance_and_each_line_says_what_for() -> None:
    given = TradeCreated(
        trade="T1",
        seller="sol",
        buyer="ann",
        asset="TOKEN",
        energy_wh=7,
        price_stroops_per_kwh=1_000,
        total_stroops=7,
        expires_at=START,
    )
    found = list(rows_of(recorded("LEDGER_pilot", "sol", given, 9)))
    assert [values for table, values in found if table is tables.ACCOUNT_BALANCE] == [
        ("LEDGER_pilot", "W", "kwh:sol", -7),
        ("LEDGER_pilot", "W", "hold:sol", 7),
    ]
    lines = [row(table, values) for table, values in found if table is tables.ENTRY]
    assert [(line["part"], line["account"], line["held_for"]) for line in lines] == [
        (1, "kwh:sol", None),
        (2, "hold:sol", "trade.T1"),
    ]
    assert {(line["fact"], line["fact_id"]) for line in lines} == {("TradeCreated", "sol.1")}


def test_a_match_of_the_market_is_a_trade_that_begins_and_ends_with_one_fact() -> None:
    given = TradeExecuted(
        trade="b1.o1",
        seller="sol",
        buyer="ann",
        asset="TOKEN",
        energy_wh=7,
        price_stroops_per_kwh=1_000,
        total_stroops=7,
        slot=START,
        bid="b1",
        offer="o1",
    )
    found = dict(list(rows_of(recorded("LEDGER_pilot", "sol", given, 9)))[:2])
    made, ended = (row(table, found[table]) for table in (tables.TRADE, tables.TRADE_ENDED))
    assert (made["trade"], made["slot_at"], made["expires_at"]) == ("b1.o1", START, None)
    assert (ended["trade"], ended["status"], ended["bid"]) == ("b1.o1", "completed", "b1")
    agreed = given.model_copy(update={"slot": None, "bid": None, "offer": None})
    names = [table.name for table, _ in rows_of(recorded("LEDGER_pilot", "sol", agreed, 9))]
    assert names[0] == "trade_ended"


def batch_of(*facts: Recorded[Fact]) -> Batch:
    source = FactSource(facts[0].stream, DEPLOYMENT)
    return source.batch([stored(fact) for fact in facts], facts[0].sequence - 1)


def test_a_batch_keeps_the_latest_and_sums_the_totals() -> None:
    times = [START + timedelta(days=day) for day in range(3)]
    facts = [
        recorded("READINGS_0", "time", TimeReached(to=to), sequence)
        for sequence, to in enumerate(times, 1)
    ]
    found = dict(batch_of(*facts).tables())
    assert found[tables.CLOCK] == [("READINGS_0", 3, times[-1], None)]
    assert found[tables.FACT_TOTAL] == [("READINGS_0", "TimeReached", 3)]


@pytest.mark.parametrize("cut", [1, 2, 5, 9])
def test_joined_batches_are_the_same_as_one(cut: int) -> None:
    facts = [recorded("READINGS_0", "m1", reading("m1", number), number) for number in range(1, 8)]
    facts += [
        recorded("READINGS_0", "time", TimeReached(to=START + timedelta(days=n)), 8 + n)
        for n in range(3)
    ]
    whole, first, second = batch_of(*facts), batch_of(*facts[:cut]), batch_of(*facts[cut:])
    first.join(second)
    assert dict(first.tables()) == dict(whole.tables())
    for name in ("sequence", "hash", "last_at", "count"):
        assert getattr(first, name) == getattr(whole, name)


def test_batches_that_do_not_follow_are_not_joined() -> None:
    facts = [recorded("READINGS_0", "m1", reading("m1", number), number) for number in (1, 2, 3)]
    with pytest.raises(BrokenLaw, match="batch-order"):
        batch_of(facts[0]).join(batch_of(facts[2]))


def test_a_missing_position_breaks_a_batch() -> None:
    facts = [recorded("READINGS_0", "m1", reading("m1", number), number) for number in (1, 3)]
    with pytest.raises(BrokenLaw, match="gap"):
        batch_of(*facts)


def test_every_column_is_written_by_one_family_of_streams() -> None:
    """Only the folds that are keyed by stream are shared between families."""
    families: dict[str, set[str]] = {}
    shared = {"fact_total", "clock"}
    for cls in VIEWS:
        for family, name in itertools.product(cls.families, _tables_of(cls)):
            families.setdefault(name, set()).add(family.name)
    assert {name for name, found in families.items() if len(found) > 1} <= shared


def _tables_of(cls: type[Fact]) -> set[str]:
    """The tables that the view of a fact names, read from its code."""
    names = VIEWS[cls].__code__.co_names
    everything = {**vars(tables), **vars(ownership_tables)}
    known = {name: made for name, made in everything.items() if isinstance(made, Table)}
    return {known[name].name for name in names if name in known}
