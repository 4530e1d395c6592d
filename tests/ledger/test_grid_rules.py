"""What a diverted holding's energy is sold for, and who pays it to whom."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.metering import ReadingCorrected
from libs.events.pricing import Observation, PricePublished, RatePublished, Used
from libs.events.supply import GridEnergySold
from libs.events.system_commands import Pay, PayGridProceeds
from libs.events.trading import EnergyMinted
from libs.runtime.failures import NotFound, Refused
from tests.dumping import like, rows
from tests.histories import ANY_COMMAND_SIGNED, START
from tests.ledger.late import FEED_IN, QUARTER, READINGS, Late, fresh_book, kinds

DIVERTED_DAY = 95
FIRST = DIVERTED_DAY * 96
"""The first quarter of an hour that is diverted."""


def diverted(**options: object) -> Late:
    """`home` was diverted on day 95, with one bill of 100,000 unpaid."""
    late = Late(**options)  # type: ignore[arg-type]
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(DIVERTED_DAY)
    late.told(late.escalation("diversion", bill))
    return late


def measure(
    late: Late,
    generated: list[int],
    homes: tuple[list[int], list[int]],
    exported: list[int] | None,
    quarter: int = FIRST,
) -> list[Fact]:
    """All meters report the same quarters, and the readings reach what follows."""
    late.given(late.reading("pv", generated, quarter))
    late.given(
        late.reading("load-h", homes[0], quarter), late.reading("load-h2", homes[1], quarter)
    )
    if exported is not None:
        late.given(late.reading("grid", exported, quarter))
    return late.pass_days((quarter + len(generated) + 1) / 96)


def sales(facts: list[Fact]) -> list[GridEnergySold]:
    return [fact for fact in facts if isinstance(fact, GridEnergySold)]


def test_the_whole_part_of_a_diverted_holding_is_sold_right_after_its_mint() -> None:
    late = diverted()
    facts = measure(late, [1_000], ([900], [400]), [600])
    assert kinds(facts) == ["EnergyMinted", "GridEnergySold"]
    (sold,) = sales(facts)
    assert sold == GridEnergySold(
        holding="h",
        agreement="agr-h",
        system="sun",
        member="home",
        offtaker="utility",
        asset="USD",
        first_interval_at=START + timedelta(days=DIVERTED_DAY),
        interval_s=QUARTER,
        energies_wh=(600,),  # 60 % of what was generated, whatever the home drew
        energy_wh=600,
        tariff="fixed",
        price_position=sold.price_position,
        price_stroops_per_kwh=FEED_IN,
        amount_stroops=600 * FEED_IN // 1_000,
    )
    assert late.balance("W", "kwh:home") == 0
    assert late.balance("W", "retired:home:grid") == 600
    assert late.balance("C:USD", "grid_due:utility") == 420_000
    assert late.balance("C:USD", "grid_for:agr-h") == 420_000


def test_co_holders_are_served_before_the_grid() -> None:
    late = diverted()
    facts = measure(late, [1_000], ([0], [700]), [1_000])
    (sold,) = sales(facts)
    assert sold.energy_wh == 300  # 600 less the 300 that the neighbour lacked


def test_no_more_is_sold_than_the_grid_meter_exported_and_the_rest_stays_the_holders() -> None:
    late = diverted()
    (sold,) = sales(measure(late, [1_000, 1_000, 1_000], ([0] * 3, [400] * 3), [250, 0, 600]))
    assert sold.energies_wh == (250, 0, 600)
    assert late.balance("W", "kwh:home") == 350 + 600


def test_export_that_is_told_late_is_sold_when_it_is_told() -> None:
    late = diverted()
    facts = measure(late, [1_000], ([0], [400]), None)
    assert kinds(facts) == ["EnergyMinted"]
    late.given(late.reading("grid", [500], FIRST))
    assert [sold.energy_wh for sold in sales(late.follow_up())] == [500]
    correction = ReadingCorrected.model_validate(
        {
            "meter": "grid",
            "correction": "approver.fix",
            "first_interval_at": START + timedelta(days=DIVERTED_DAY),
            "interval_s": QUARTER,
            "registers": ({"name": "exported", "deltas_wh": (70,)},),
            "reason": "test",
            "command": ANY_COMMAND_SIGNED,
        }
    )
    facts = late.told(late.history.record(READINGS, "grid", correction))
    assert [sold.energy_wh for sold in sales(facts)] == [70]


def test_energy_from_before_the_diversion_and_after_the_cure_is_the_holders() -> None:
    late = diverted()
    before = measure(late, [1_000], ([0], [400]), [600], quarter=FIRST - 4)
    assert kinds(before) == ["EnergyMinted"]
    late.pass_days(DIVERTED_DAY + 1)
    late.when("home", "pay", Pay(agreement="agr-h", amount_stroops=100_000))
    assert kinds(late.follow_up())[-1] == "SupplyRestored"
    within = measure(late, [1_000], ([0], [400]), [600], quarter=FIRST + 95)
    assert [sold.energy_wh for sold in sales(within)] == [600]
    after = measure(late, [1_000], ([0], [400]), [600], quarter=FIRST + 96)
    assert kinds(after) == ["EnergyMinted"]


def test_a_diverted_holding_is_minted_though_its_own_meter_is_silent() -> None:
    late = diverted()
    late.given(late.reading("pv", [1_000], FIRST), late.reading("load-h2", [400], FIRST))
    late.given(late.reading("grid", [600], FIRST))
    facts = late.pass_days((FIRST + 2) / 96)
    assert kinds(facts) == ["EnergyMinted", "GridEnergySold"]


@pytest.mark.parametrize(
    ("feed_in", "price"),
    [
        (None, 0),
        ({"price_stroops_per_kwh": 0}, 0),
        ({"market": {"feed": "day-ahead"}}, 300_000),
        ({"market": {"feed": "day-ahead", "factor_ppm": 500_000}}, 150_000),
        ({"market": {"feed": "day-ahead", "add_stroops_per_kwh": -300_001}}, 0),
        ({"market": {"feed": "nobody"}}, 0),
        ({"market": {"feed": "day-ahead", "add_stroops_per_kwh": 10**12}}, 10**12),
    ],
)
def test_the_price_is_the_feed_in_of_the_tariff_and_never_below_zero(
    feed_in: object, price: int
) -> None:
    late = diverted()
    now = START + timedelta(days=DIVERTED_DAY)
    late.given(late.tariff(feed_in, 2, effective_from=now), published(late, now, 300_000))
    (sold,) = sales(measure(late, [1_000], ([0], [400]), [600]))
    assert sold.price_stroops_per_kwh == price
    assert late.balance("C:USD", "grid_for:agr-h") == sold.amount_stroops == 600 * price // 1_000
    assert late.balance("W", "retired:home:grid") == 600


def published(late: Late, at: datetime, *values: int) -> Recorded[Fact]:
    """The prices of a day-ahead feed, hour by hour."""
    used = Used(source="dev", position=f"PRICES:1:{'0' * 32}", is_outlier=False)
    told = Observation(first_at=at, interval_s=3_600, values=values)
    fact = PricePublished(feed="day-ahead", asset="USD", published=told, made_of=(used,))
    return late.history.record("PRICES", "day-ahead", fact)


def test_a_price_that_changes_within_a_mint_makes_a_sale_of_its_own() -> None:
    late = diverted()
    now = START + timedelta(days=DIVERTED_DAY)
    late.given(late.tariff({"market": {"feed": "day-ahead"}}, 2, effective_from=now))
    late.given(published(late, now, 100_000, -5, 300_000))
    found = sales(measure(late, [1_000] * 12, ([0] * 12, [400] * 12), [600] * 12))
    assert [(sold.price_stroops_per_kwh, sold.energies_wh) for sold in found] == [
        (100_000, (600,) * 4),
        (0, (600,) * 4),
        (300_000, (600,) * 4),
    ]
    assert len({sold.price_position for sold in found}) == 1


def test_a_tariff_in_another_currency_is_converted_by_the_rate() -> None:
    late = Late()
    rate = {"feed": "eur-usd", "base": "EUR", "asset": "USD", "from_at": START}
    used = Used(source="dev", position=f"PRICES:1:{'0' * 32}", is_outlier=False)
    fact = RatePublished.model_validate(rate | {"rate_stroops": 11_000_000, "made_of": (used,)})
    late.given(late.history.record("PRICES", "eur-usd", fact))
    late.given(late.tariff({"price_stroops_per_kwh": 1_000_000}, 2, asset="EUR"))
    late.given(late.agreement("h", "home", rate_feed="eur-usd"))
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(DIVERTED_DAY)
    late.told(late.escalation("diversion", bill))
    (sold,) = sales(measure(late, [1_000], ([0], [400]), [600]))
    assert (sold.asset, sold.price_stroops_per_kwh) == ("USD", 1_100_000)


def test_a_rate_from_outside_cannot_end_the_book() -> None:
    late = Late()
    rate = {"feed": "eur-usd", "base": "EUR", "asset": "USD", "from_at": START}
    used = Used(source="dev", position=f"PRICES:1:{'0' * 32}", is_outlier=False)
    fact = RatePublished.model_validate(rate | {"rate_stroops": 10**15, "made_of": (used,)})
    late.given(late.history.record("PRICES", "eur-usd", fact))
    late.given(late.tariff({"price_stroops_per_kwh": 1_000_000}, 2, asset="EUR"))
    late.given(late.agreement("h", "home", rate_feed="eur-usd"))
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(DIVERTED_DAY)
    late.told(late.escalation("diversion", bill))

    found = sales(measure(late, [40_000_000], ([0], [10_000_000]), [30_000_000]))

    assert {sold.price_stroops_per_kwh for sold in found} == {10**12}
    assert sum(sold.energy_wh for sold in found) == 24_000_000  # its 600,000 of 1,000,000 units
    assert late.balance("C:USD", "grid_for:agr-h") == sum(sold.amount_stroops for sold in found)


def test_a_night_within_a_late_mint_is_no_part_of_a_sale() -> None:
    late = diverted()
    sun, dark = [1_000] * 40, [0] * 20
    quarters = [*sun, *dark, *sun]
    for at in (FIRST, FIRST + 96):
        for meter, values in (
            ("pv", quarters),
            ("load-h", [0] * 100),
            ("load-h2", [400] * 100),
            ("grid", [600 if each else 0 for each in quarters]),
        ):
            late.given(late.reading(meter, values[:96], at))
    found = sales(late.pass_days((FIRST + 200) / 96))
    assert sum(sold.energy_wh for sold in found) == 2 * 76 * 600
    assert late.balance("W", "kwh:home") == 0
    assert all(len(sold.energies_wh) <= 96 for sold in found)


def test_the_offtaker_pays_and_the_money_pays_the_bill() -> None:
    late = diverted()
    measure(late, [1_000], ([0], [400]), [600])
    body = PayGridProceeds(agreement="agr-h", amount_stroops=420_000)
    late.when("utility", "proceeds", body)
    facts = kinds(late.follow_up())
    assert facts[0] == "CreditApplied"
    assert facts[-1] == "SupplyRestored"
    assert late.balance("C:USD", "grid_due:utility") == 0
    assert late.balance("C:USD", "grid_for:agr-h") == 0
    # What is more than the debt is the holder's credit.
    assert late.balance("U:USD", "credit:agr-h") == 320_000


@pytest.mark.parametrize(
    ("member", "agreement", "amount", "code"),
    [
        ("home", "agr-h", 1, "not-the-offtaker"),
        ("utility", "agr-h", 420_001, "more-than-owed"),
        ("utility", "agr-h2", 1, "more-than-owed"),
        ("utility", "nobody", 1, "unknown-agreement"),
    ],
)
def test_proceeds_are_refused_by_rule(member: str, agreement: str, amount: int, code: str) -> None:
    late = diverted()
    measure(late, [1_000], ([0], [400]), [600])
    with pytest.raises((Refused, NotFound)) as refused:
        late.when(member, "proceeds", PayGridProceeds(agreement=agreement, amount_stroops=amount))
    assert refused.value.code == code
    assert late.balance("C:USD", "grid_for:agr-h") == 420_000


def test_an_offtaker_without_money_cannot_pay() -> None:
    late = diverted()
    late.given(late.tariff({"price_stroops_per_kwh": 10**12}, 2))
    measure(late, [1_000], ([0], [400]), [600])
    body = PayGridProceeds(agreement="agr-h", amount_stroops=100_000_001)
    with pytest.raises(Refused) as refused:
        late.when("utility", "proceeds", body)
    assert refused.value.code == "insufficient-funds"


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_no_interval_sells_more_than_was_exported_or_entitled(data: st.DataObject) -> None:
    """In any order of readings, with late exports, corrections and a cure in between."""
    late = diverted()
    quarters = 6
    energy = st.lists(st.integers(0, 900), min_size=quarters, max_size=quarters)
    generated, exported = data.draw(energy), data.draw(energy)
    told = [
        late.reading("pv", generated, FIRST),
        late.reading("load-h", data.draw(energy), FIRST),
        late.reading("load-h2", data.draw(energy), FIRST),
        late.reading("grid", exported, FIRST),
    ]
    reach = quarters + data.draw(st.integers(-3, 3))
    for reading in data.draw(st.permutations(told)):
        late.given(reading)
        if data.draw(st.booleans()):
            late.pass_days((FIRST + reach) / 96)
    if data.draw(st.booleans()):
        late.when("home", "pay", Pay(agreement="agr-h", amount_stroops=100_000))
    late.pass_days((FIRST + quarters + 1) / 96)
    sold = [0] * quarters
    for sale in sales([each.fact for each in late.history.facts]):
        start = int(sale.first_interval_at.timestamp() - START.timestamp()) // QUARTER - FIRST
        for index, energy_wh in enumerate(sale.energies_wh, start):
            sold[index] += energy_wh
        assert sale.amount_stroops == (sale.energy_wh * FEED_IN + 500) // 1_000
    for index in range(quarters):
        assert sold[index] <= exported[index]
        assert sold[index] <= -(-generated[index] * 6 // 10)
    minted = sum(
        each.fact.energy_wh
        for each in late.history.facts
        if isinstance(each.fact, EnergyMinted) and each.fact.member == "home"
    )
    assert late.balance("W", "kwh:home") + sum(sold) == minted
    for debits, credits_ in late.rulebook.books.totals().values():
        assert debits == credits_
    again = late.again()
    assert again.due() == ()
    loaded = fresh_book()
    loaded.load(rows(late.rulebook))
    assert loaded.due() == ()
    assert like(loaded.grid) == like(late.rulebook.grid)
    ids = [each.envelope.id for each in late.history.facts if each.stream == late.own]
    assert len(ids) == len(set(ids))
