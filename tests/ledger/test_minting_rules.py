"""Minting by given / when / then: surplus, corrections, shortfall, restarts, laws."""

from datetime import timedelta

from libs.events.positions import parse_cause
from libs.events.systems import HoldingTransferred
from libs.events.timekeeping import TimeReached
from libs.events.trade_commands import CreateTrade, PlaceOrder, TransferEnergy
from libs.events.trading import (
    EnergyMinted,
    EnergyShortfallBooked,
    OrderWithdrawn,
    TradeCancelled,
)
from libs.rules.rating import CORRECTABLE_S
from services.ledger.metered import KEPT_S, MINT_LAG_S
from services.ledger.taking import cells_of
from tests.histories import START
from tests.ledger.minted import (
    DAY,
    LEDGER,
    METERS,
    QUARTER,
    READINGS,
    Sunny,
    enrolment,
    holding,
    quarter_at,
)

READY = QUARTER + MINT_LAG_S
"""Seconds after its start at which a quarter of an hour is minted."""


def test_the_surplus_of_an_interval_becomes_tokens_of_the_recipient() -> None:
    stage = Sunny()
    stage.measured([100, 50], [30, 80])
    stage.pass_s(READY)
    (mint,) = stage.mints
    assert (mint.member, mint.reason, mint.energy_wh, mint.served_wh) == ("ann", "surplus", 70, 0)
    assert (mint.system, mint.holding, mint.interval_s) == ("sun", "h-ann", QUARTER)
    assert [(each.from_at, each.energy_wh) for each in mint.intervals] == [(START, 70)]
    assert [(each.meter, each.energy_wh) for each in mint.meters] == [("pv", 70)]
    assert stage.balance("kwh:ann") == stage.balance("issued:meter:pv") == 70
    stage.pass_s(READY + QUARTER)
    assert len(stage.mints) == 1, "no surplus needs no fact"


def test_an_interval_waits_for_its_lag_to_the_second() -> None:
    stage = Sunny()
    stage.measured([100], [0])
    stage.pass_s(READY - 1)
    assert not stage.mints
    stage.pass_s(READY)
    assert len(stage.mints) == 1


def test_an_interval_waits_until_the_readings_have_reached_the_time() -> None:
    stage = Sunny()
    stage.measured([100], [0])
    stage.advance(READY / DAY)
    assert not stage.mints
    stage.given(stage.history.reach(READINGS, stage.now))
    stage.follow_up()
    assert len(stage.mints) == 1


def test_mints_stand_before_the_time_of_their_turn() -> None:
    stage = Sunny()
    stage.measured([100], [0])
    stage.pass_s(READY)
    own = [each.fact for each in stage.history.facts if each.stream == LEDGER]
    assert isinstance(own[-2], EnergyMinted)
    assert isinstance(own[-1], TimeReached)


def test_an_interval_waits_for_every_meter_and_is_minted_when_the_last_one_comes() -> None:
    stage = Sunny([("ann", 500), ("bob", 500)], plant=("pv", "pv2"))
    stage.given(stage.reading("pv", [100]), stage.reading("load-ann", [10]))
    stage.given(stage.reading("load-bob", [90]))
    stage.pass_s(DAY)
    assert not stage.mints
    last = stage.reading("pv2", [40])
    stage.given(last)
    stage.follow_up()
    minted = {mint.member: mint for mint in stage.mints}
    # 70 Wh each; 20 of ann's 60 spare ones serve bob.
    assert {member: mint.energy_wh for member, mint in minted.items()} == {"ann": 40}
    parts = [(each.meter, each.energy_wh) for each in minted["ann"].meters]
    assert parts == [("pv", 29), ("pv2", 11)]
    (recorded,) = [each for each in stage.history.facts if isinstance(each.fact, EnergyMinted)]
    assert parse_cause(recorded.envelope.cause)[0] == last.position


def test_many_intervals_stand_in_one_fact_and_each_holding_has_its_own() -> None:
    stage = Sunny([("ann", 500), ("bob", 500)])
    stage.measured([100] * 96, [0] * 96, [50] * 96)
    stage.pass_s(2 * DAY)
    assert [(mint.member, mint.energy_wh, len(mint.intervals)) for mint in stage.mints] == [
        ("ann", 4_800, 96)
    ]
    stage.measured([100] * 96, [0] * 96, [0] * 96, quarter=96)
    stage.measured([100] * 4, [0] * 4, [0] * 4, quarter=192)
    stage.pass_s(3 * DAY)
    assert [(mint.member, len(mint.intervals)) for mint in stage.mints[1:]] == [
        ("ann", 96),
        ("bob", 96),
        ("ann", 4),
        ("bob", 4),
    ]
    assert len({mint.mint for mint in stage.mints}) == len(stage.mints)


def test_facts_are_of_one_interval_or_of_one_meter() -> None:
    stage = Sunny(plant=("pv", "pv2"))
    stage.given(stage.reading("pv", [30, 20, 0]), stage.reading("pv2", [10, 0, 7]))
    stage.given(stage.reading("load-ann", [0, 0, 0]))
    stage.pass_s(DAY)
    cells = sorted(cell for mint in stage.mints for cell in cells_of(mint))
    at = int(START.timestamp())
    assert cells == [
        (at, "pv", 30),
        (at, "pv2", 10),
        (at + QUARTER, "pv", 20),
        (at + 2 * QUARTER, "pv2", 7),
    ]
    assert len(stage.mints) == 2


def test_finer_readings_are_summed_and_coarser_ones_never_minted() -> None:
    stage = Sunny()
    stage.given(stage.reading("pv", [10] * 20, step=60))
    stage.given(stage.reading("load-ann", [0, 0]))
    stage.pass_s(DAY)
    assert [mint.energy_wh for mint in stage.mints] == [150]
    stage.given(stage.reading("pv", [500], quarter=100, step=3_600))
    stage.given(stage.reading("load-ann", [0] * 4, quarter=100))
    stage.pass_s(2 * DAY)
    assert len(stage.mints) == 1


def test_a_holding_counts_from_the_interval_after_its_opening() -> None:
    stage = Sunny([("ann", 500)])
    stage.pass_s(QUARTER + 1)
    fact = holding("h-bob", "bob", 500)
    stage.given(
        stage.history.register("bob", "recipient"),
        stage.history.record(LEDGER, "h-bob", fact, time=stage.now),
        stage.history.record(METERS, "load-bob", enrolment("load-bob", "h-bob"), time=stage.now),
    )
    stage.given(stage.reading("pv", [100] * 3), stage.reading("load-ann", [0] * 3))
    stage.given(stage.reading("load-bob", [0], quarter=2))
    stage.pass_s(DAY)
    minted = [(m.member, [each.energy_wh for each in m.intervals]) for m in stage.mints]
    assert minted == [("ann", [100, 100, 50]), ("bob", [50])]


def test_what_another_book_proposed_is_not_minted_here() -> None:
    stage = Sunny()
    stage.given(stage.history.record(METERS, "pv-x", enrolment("pv-x", of="moon")))
    stage.given(stage.history.record(METERS, "load-x", enrolment("load-x", "h-x", of="moon")))
    stage.given(stage.reading("pv-x", [100] * 96), stage.reading("load-x", [0] * 96))
    stage.pass_s(3 * DAY)
    assert not stage.mints
    rows = {name: list(rows) for name, rows in stage.ledger.minting.dump().items()}
    assert not rows["metered/readings/numbers"], "nor remembered for long"


def test_an_enrolment_that_is_read_after_the_readings_completes_them() -> None:
    stage = Sunny(plant=())
    stage.given(stage.reading("pv", [100]), stage.reading("load-ann", [40]))
    stage.pass_s(DAY)
    assert not stage.mints
    stage.given(stage.history.record(METERS, "pv", enrolment("pv")))
    stage.follow_up()
    assert [mint.energy_wh for mint in stage.mints] == [60]


def test_a_correction_upwards_is_a_further_mint() -> None:
    stage = Sunny()
    stage.measured([100], [30])
    stage.pass_s(DAY)
    stage.given(stage.correction("pv", [5]), stage.correction("load-ann", [-10]))
    stage.follow_up()
    assert [mint.energy_wh for mint in stage.mints] == [70, 15]
    assert stage.balance("kwh:ann") == stage.balance("issued:meter:pv") == 85
    assert stage.mints[0].mint != stage.mints[1].mint


def test_a_correction_downwards_takes_free_tokens() -> None:
    stage = Sunny()
    stage.measured([100, 100], [30, 30])
    stage.pass_s(DAY)
    stage.given(stage.correction("pv", [-20], quarter=1))
    stage.follow_up()
    (fact,) = stage.shortfalls
    assert (fact.member, fact.energy_wh, fact.taken_wh) == ("ann", 20, 20)
    assert [(each.from_at, each.energy_wh) for each in fact.intervals] == [(quarter_at(1), 20)]
    assert stage.balance("kwh:ann") == stage.balance("issued:meter:pv") == 120
    assert stage.balance("shortfall:ann") == 0


def test_a_correction_before_the_mint_leaves_one_mint() -> None:
    stage = Sunny()
    stage.measured([100], [30])
    stage.given(stage.correction("pv", [-20]))
    stage.pass_s(DAY)
    assert [mint.energy_wh for mint in stage.mints] == [50]
    assert not stage.shortfalls


def test_what_is_not_there_any_more_is_shortfall_and_later_mints_serve_it_first() -> None:
    stage = Sunny()
    stage.given(stage.history.register("mill", "factory"))
    stage.measured([100], [0])
    stage.pass_s(DAY)
    gift = TransferEnergy.model_validate(
        {"fromFactoryId": "ann", "toFactoryId": "mill", "amount": "0.09"}
    )
    stage.when("ann", "gift", gift)
    stage.given(stage.correction("pv", [-50]))
    stage.follow_up()
    (fact,) = stage.shortfalls
    assert (fact.energy_wh, fact.taken_wh) == (50, 10)
    assert stage.balance("shortfall:ann") == 40
    stage.measured([30, 30], [0, 0], quarter=96)
    stage.pass_s(2 * DAY)
    assert [(mint.energy_wh, mint.served_wh) for mint in stage.mints[1:]] == [(60, 40)]
    assert (stage.balance("shortfall:ann"), stage.balance("kwh:ann")) == (0, 20)
    assert stage.balance("issued:meter:pv") == 110


def test_two_holdings_of_one_member_do_not_serve_his_shortfall_twice() -> None:
    stage = Sunny()
    fact = holding("h-two", "ann", 1_000)
    stage.given(
        stage.history.record(LEDGER, "h-two", fact),
        stage.history.record(METERS, "load-two", enrolment("load-two", "h-two")),
        stage.history.register("mill", "factory"),
    )
    stage.measured([100], [0])
    stage.given(stage.reading("load-two", [0]))
    stage.pass_s(DAY)
    gift = TransferEnergy.model_validate(
        {"fromFactoryId": "ann", "toFactoryId": "mill", "amount": "0.1"}
    )
    stage.when("ann", "gift", gift)
    stage.given(stage.correction("pv", [-40]))
    stage.follow_up()
    assert stage.balance("shortfall:ann") == 40
    stage.measured([60], [0], quarter=96)
    stage.given(stage.reading("load-two", [0], quarter=96))
    stage.pass_s(2 * DAY)
    assert [(m.energy_wh, m.served_wh) for m in stage.mints[-2:]] == [(30, 30), (30, 10)]
    assert (stage.balance("shortfall:ann"), stage.balance("kwh:ann")) == (0, 20)


def trade(name: str, amount: str) -> CreateTrade:
    return CreateTrade.model_validate(
        {
            "tradeId": name,
            "sellerId": "ann",
            "buyerId": "mill",
            "amount": amount,
            "pricePerUnit": "1",
        }
    )


def test_offers_and_then_the_newest_trades_end_before_there_is_a_shortfall() -> None:
    stage = Sunny()
    stage.given(stage.history.register("mill", "factory"))
    stage.measured([100], [0])
    stage.pass_s(READY)
    for number in range(3):
        stage.when("ann", f"t{number}", trade(f"t{number}", "0.02"))
    offer = {"orderId": "o", "side": "offer", "slot": START, "amount": "0.03", "pricePerUnit": "1"}
    stage.when("ann", "offer", PlaceOrder.model_validate(offer))
    assert stage.balance("kwh:ann") == 10
    stage.given(stage.correction("pv", [-65]))
    made = stage.follow_up()
    assert [type(fact) for fact in made] == [
        OrderWithdrawn,
        TradeCancelled,
        TradeCancelled,
        EnergyShortfallBooked,
    ]
    assert [fact.trade for fact in made if isinstance(fact, TradeCancelled)] == ["t2", "t1"]
    assert {fact.reason for fact in made if isinstance(fact, TradeCancelled | OrderWithdrawn)} == {
        "correction"
    }
    (fact,) = stage.shortfalls
    assert (fact.energy_wh, fact.taken_wh) == (65, 65)
    assert stage.balance("kwh:ann") == 15
    assert stage.balance("hold:ann:trade.t0") == 20


def test_more_trades_than_a_decision_holds_end_in_several() -> None:
    stage = Sunny()
    stage.given(stage.history.register("mill", "factory"))
    stage.measured([250], [0])
    stage.pass_s(READY)
    for number in range(250):
        stage.when("ann", f"t{number}", trade(f"t{number}", "0.001"))
    stage.given(stage.correction("pv", [-240]))
    sizes = []
    while drafts := stage.rules.due():
        assert len(drafts) <= 100
        sizes.append(len(drafts))
        stage._record(drafts, "- due")
    assert sizes == [100, 100, 41]
    assert (stage.balance("kwh:ann"), stage.balance("shortfall:ann")) == (0, 0)
    assert len(stage.ledger.trading.open) == 10


def test_the_parts_of_the_meters_are_corrected_each_by_itself() -> None:
    stage = Sunny(plant=("pv", "pv2"))
    stage.given(stage.reading("pv", [60]), stage.reading("pv2", [40]))
    stage.given(stage.reading("load-ann", [0]))
    stage.pass_s(DAY)
    stage.given(stage.correction("pv", [-60]), stage.correction("pv2", [60]))
    stage.follow_up()
    assert (stage.balance("issued:meter:pv"), stage.balance("issued:meter:pv2")) == (0, 100)
    assert (stage.balance("kwh:ann"), stage.balance("shortfall:ann")) == (100, 0)


def test_a_reading_that_comes_after_its_time_is_given_up_and_nothing_is_minted_twice() -> None:
    stage = Sunny()
    stage.given(stage.reading("pv", [100, 100]), stage.reading("load-ann", [0]))
    stage.pass_s(DAY)
    assert [mint.energy_wh for mint in stage.mints] == [100]
    stage.pass_s(KEPT_S + 2 * DAY)
    stage.given(stage.reading("load-ann", [0], quarter=1), stage.correction("pv", [-50, 0]))
    stage.follow_up()
    assert len(stage.mints) == 1
    assert not stage.shortfalls
    rows = {name: list(rows) for name, rows in stage.ledger.minting.dump().items()}
    assert not rows["metered/readings/numbers"]
    assert not rows["minted/numbers"]


def test_the_last_correction_that_ingest_takes_still_counts() -> None:
    stage = Sunny()
    stage.measured([100], [0])
    stage.pass_s(CORRECTABLE_S)
    stage.given(stage.correction("pv", [-50]))
    stage.pass_s(CORRECTABLE_S + 10 * DAY)
    assert stage.balance("kwh:ann") == 50


def test_a_book_that_was_down_for_a_season_mints_all_of_it() -> None:
    stage = Sunny()
    facts = []
    for day in range(80):
        facts += [stage.reading("pv", [2] * 96, day * 96)]
        facts += [stage.reading("load-ann", [1] * 96, day * 96)]
        facts += stage.history.advance(START + timedelta(days=day + 1), READINGS)
    stage.given(*facts)
    stage.follow_up()
    assert stage.balance("kwh:ann") == 80 * 96 - 1, "the last quarter lacks its lag"
    assert max(len(mint.intervals) for mint in stage.mints) == 96


def test_the_new_holder_of_a_holding_gets_its_tokens_from_then_on() -> None:
    world = Sunny([("ann", 600), ("bob", 400)])
    world.measured([100], [0], [0])
    world.pass_s(QUARTER + 900)
    assert (world.balance("kwh:ann"), world.balance("kwh:bob")) == (60, 40)
    moved = HoldingTransferred(holding="h-ann", from_member="ann", to_member="bob")
    world.given(world.history.record(LEDGER, "h-ann", moved))
    world.measured([100], [0], [0], quarter=1)
    world.pass_s(2 * QUARTER + 900)
    assert (world.balance("kwh:ann"), world.balance("kwh:bob")) == (60, 140)
