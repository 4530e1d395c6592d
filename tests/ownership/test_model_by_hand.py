"""The second model against numbers that were worked out by hand, or stand in the domain rules."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.ownership.accounts import Accounts
from tests.ownership.arithmetic import later_by, midnight, prorated, scale, split
from tests.ownership.lateness import stood_still
from tests.ownership.model import Contract, Model, Version
from tests.ownership.raising import No, System
from tests.ownership.rating import allocate, tier_parts

UNIT = 10_000_000
START = datetime(2026, 6, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def fixed(price: int = 2_000_000) -> Version:
    return Version("USD", START, START - QUARTER, buckets=(("", ((price, None),)),))


def pilot(price: int = 4_000 * UNIT, return_ppm: int = 0, **contract: object) -> Model:
    """One system, one holding, two investors who hold 3 : 1, in operation since the start."""
    model = Model()
    model.tick(START - QUARTER, 900)
    ledger = model.ledger
    for member in ("ada", "bob", "home"):
        ledger.deposit(member, "USD", 2 * price)
    ledger.propose(System("sun", "dev", "USD", price, "UTC", return_ppm, 0))
    ledger.approve("sun")
    for stage in (1, 2, 3, 4):
        ledger.advance_stage("sun", stage)
    ledger.invest("sun", "ada", price * 3 // 4)
    ledger.invest("sun", "bob", price - price * 3 // 4)
    ledger.accept("sun", "home")
    ledger.open_holding("sun", "h", price)
    ledger.advance_stage("sun", 6)
    model.tick(START, 900)
    ledger.advance_stage("sun", 7)
    model.enrol("pv", "generation", "sun")
    model.enrol("load", "consumption", "sun", "h")
    model.publish("fixed", fixed())
    values = {
        "name": "agr",
        "tariff": "fixed",
        "period": "month",
        "first_day": date(2026, 6, 1),
        "lag_s": 86_400,
        "due_after_s": 14 * 86_400,
    }
    model.open_agreement(Contract(**{**values, **contract}), "h", "sun", "home")  # type: ignore[arg-type]
    return model


def use(model: Model, at: datetime, wh: int, generated: int | None = None) -> None:
    model.measure("pv", at, 900, (wh if generated is None else generated,))
    model.measure("load", at, 900, (wh,))


def test_rounding_goes_to_the_even_neighbour_and_a_split_loses_nothing() -> None:
    assert [scale(n, 1, 2) for n in (1, 3, 5, -1, -3)] == [0, 2, 2, 0, -2]
    assert split(10, {"b": 1, "a": 1, "c": 1}) == {"b": 3, "a": 4, "c": 3}


def test_a_day_without_midnight_begins_when_its_date_begins() -> None:
    begin = midnight(date(2018, 11, 4), "America/Sao_Paulo")
    assert begin == datetime(2018, 11, 4, 3, tzinfo=UTC)
    assert begin.astimezone(ZoneInfo("America/Sao_Paulo")).hour == 1


def test_a_month_after_the_31st_of_january_is_the_last_of_february() -> None:
    due = datetime(2027, 1, 31, 12, tzinfo=UTC)
    assert later_by(due, 1, "month", "UTC") == datetime(2027, 2, 28, 12, tzinfo=UTC)
    assert later_by(due, 2, "month", "UTC") == datetime(2027, 3, 31, 12, tzinfo=UTC)


def test_a_charge_is_prorated_by_the_days_of_each_month() -> None:
    assert prorated(3_100, date(2026, 1, 25), date(2026, 2, 8)) == 700 + 775


def test_the_union_of_pauses_counts_no_second_twice() -> None:
    at = [START + timedelta(hours=n) for n in range(10)]
    assert stood_still(at[1], at[9], [(at[0], at[3]), (at[2], at[4]), (at[6], None)]) == 6 * (
        timedelta(hours=1)
    )


def test_an_account_may_not_cross_its_side() -> None:
    with pytest.raises(AssertionError, match="cross"):
        Accounts().post("U:USD", "wallet:ada", "wallet:bob", 1)


def test_surplus_serves_the_one_who_lacks_it_and_the_rest_is_surplus() -> None:
    uses = allocate(100, {"a": 50, "b": 30, "c": 20}, {"a": 10, "b": 60, "c": 5})
    assert (uses["a"].own, uses["b"].own, uses["c"].own) == (10, 30, 5)
    # 55 are spare, 40 + 15; 30 are wanted: 21.8 and 8.2 of them.
    assert uses["b"].sources == (("a", 22), ("c", 8))
    assert (uses["a"].surplus, uses["b"].surplus, uses["c"].surplus) == (18, 0, 7)


def test_tiers_are_prorated_by_local_days() -> None:
    tiers = ((100, 30_000), (200, None))
    assert tier_parts(20_000, tiers, date(2026, 6, 1), date(2026, 6, 16)) == [
        (1, 15_000, 100),
        (2, 5_000, 200),
    ]


def test_opensolars_pilot_ends_owned_with_exactly_all_shares() -> None:
    """4,000 USD at 0.20 USD/kWh are 20,000 kWh; the last bill is capped."""
    model = pilot()
    paid, months = 0, 0
    while model.ledger.agreements["agr"].owned_at is None:
        use(model, model.now, 6_000_000)
        month = (START.month + months) % 12 + 1
        year = START.year + (START.month + months) // 12
        model.advance(datetime(year, month, 2, tzinfo=UTC), 40 * 86_400)
        open_now = sum(bill.open_total for bill in model.ledger.agreements["agr"].bills.values())
        model.ledger.pay("home", "agr", open_now)
        paid, months = paid + open_now, months + 1
        model.follow_up()
        model.check()
    assert (paid, months) == (4_000 * UNIT, 4)
    assert model.balances["T:sun", "own:agr"] == 4_000 * UNIT
    assert model.ledger.title(model.ledger.systems["sun"]) == {}
    assert model.ledger.wallet("USD", "ada") == 8_000 * UNIT
    assert ("paid off", "sun") in model.log


def test_thirty_days_at_five_per_cent_accrue_what_the_domain_rules_say() -> None:
    model = pilot(return_ppm=50_000)
    model.tick(START + timedelta(days=29, hours=23), 86_400)
    model.ledger.prepay("agr", 164_383_562)
    assert model.ledger.accrued(model.ledger.agreements["agr"]) == 0
    assert model.ledger.own(model.ledger.agreements["agr"]) == 0
    assert model.ledger.wallet("USD", "ada") - 5_000 * UNIT == 123_287_672
    assert model.ledger.wallet("USD", "bob") - 7_000 * UNIT == 41_095_890


def test_paid_energy_that_is_corrected_becomes_prepaid_and_moves_no_share_again() -> None:
    model = pilot()
    use(model, START, 1_000_000)
    model.advance(datetime(2026, 7, 2, tzinfo=UTC), 40 * 86_400)
    model.ledger.pay("home", "agr", 200 * UNIT)
    model.follow_up()
    own = model.balances["T:sun", "own:agr"]
    model.measure("load", START, 900, (-400_000,), is_correction=True)
    made = model.advance(datetime(2026, 7, 3, tzinfo=UTC))
    assert [(kind, each.name) for kind, each in made] == [
        ("credit", "agr-2026-06"),
        ("invoice", "agr-2026-06.2"),
    ]
    assert model.balances["C:USD", "prepaid:agr"] == 80 * UNIT
    assert model.balances["T:sun", "own:agr"] == own == 200 * UNIT
    assert ("C:USD", "due:agr") not in model.balances
    model.check()


def test_a_late_recipient_hears_each_step_once_and_is_cured_by_paying() -> None:
    model = pilot(period="14d", lag_s=3_600)
    model.ledger.systems["sun"].offtaker = "grid"
    use(model, START, 1_000_000)
    for days in range(1, 150):
        model.advance(START + timedelta(days=days))
    due = START + timedelta(days=15 + 14)
    heard = [each for each in model.log if each[1] == "agr"]
    assert [each[0] for each in heard] == [
        "reminder",
        "alert",
        "stern",
        "diversion",
        "diverted",
        "disconnection",
        "disconnected",
    ]
    assert due + timedelta(days=14 * 6) <= model.now
    model.ledger.pay("home", "agr", 200 * UNIT)
    model.follow_up()
    assert model.log[-1] == ("restored", "agr")


def test_a_raise_that_nobody_accepts_is_refunded_to_the_stroop() -> None:
    model = Model()
    model.tick(START, 900)
    ledger = model.ledger
    ledger.deposit("ada", "USD", 100)
    ledger.deposit("bob", "USD", 100)
    ledger.propose(
        System("sun", "dev", "USD", 120, "UTC", 0, 0, seed_factor=1_250_000, seed_cap=50)
    )
    ledger.approve("sun")
    ledger.advance_stage("sun", 1)
    ledger.invest("sun", "bob", 10, at_risk=True)
    for stage in (2, 3, 4):
        ledger.advance_stage("sun", stage)
    ledger.invest("sun", "ada", 100)
    with pytest.raises(No):
        ledger.invest("sun", "bob", 11)
    ledger.invest("sun", "bob", 10)
    model.tick(START + timedelta(days=3) - timedelta(seconds=1), 900)
    assert model.balances["U:USD", "escrow:sun:bob"] == 20
    model.tick(START + timedelta(days=3), 900)
    wallets = {name: ledger.wallet("USD", name) for name in ("ada", "bob", "dev")}
    assert wallets == {"ada": 100, "bob": 90, "dev": 10}
    assert ledger.accounts.under("T:sun", "") == {"approver:sun": 120, "issued:sun": 120}
