"""What is owed while supposed bills are paid: by hand, and as laws over random payments."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from heliograph.foresight.debt import Debt
from libs.rules.receivables import Part

UNIT = 10_000_000
DAY = date(2026, 6, 1)
DUE = datetime(2026, 6, 8, tzinfo=UTC)
ENERGY: Part = ("energy", "")
EVERYTHING: dict[Part, int] = {
    ENERGY: 40,
    ("shared", "neighbour"): 30,
    ("running", "fixit"): 20,
    ("tax", "state"): 10,
}


def debt(principal: int = 1_000, rate: int = 0, **values: Any) -> Debt:
    return Debt(principal, rate, DAY, **values)


def later(days: int) -> date:
    return DAY + timedelta(days=days)


def test_the_pilot_accrues_what_the_domain_rules_say() -> None:
    # 4,000 USD at 5 % for 30 days: 16.4383562, each of the days counted.
    owed = debt(4_000 * UNIT, 50_000)
    assert owed.through(later(29)) == 164_383_562
    owed.pay(100 * UNIT, later(29), prepays=True)
    assert owed.paid.return_stroops == 164_383_562
    assert owed.paid.principal_stroops == 100 * UNIT - 164_383_562
    assert owed.principal_stroops == 4_000 * UNIT - owed.paid.principal_stroops


def test_a_payment_clears_tax_then_running_then_shared_then_energy() -> None:
    owed = debt()
    owed.bill(DUE, EVERYTHING, DAY)
    for money, left in ((15, [15, 30, 40]), (20, [25, 40]), (30, [35])):
        owed.pay(money, DAY)
        assert list(owed.bills[0].parts.values()) == left
    assert owed.paid.by_class == {"tax": 10, "running": 20, "shared": 30, "energy": 5}
    assert (owed.paid.principal_stroops, owed.principal_stroops) == (5, 995)


def test_the_oldest_bill_is_paid_first() -> None:
    owed = debt()
    owed.bill(DUE, {ENERGY: 40}, DAY)
    owed.bill(DUE + timedelta(days=14), {("tax", "state"): 10}, DAY)
    owed.pay(45, DAY)
    assert [bill.parts for bill in owed.bills] == [{("tax", "state"): 5}]


def test_what_is_left_over_is_credit_or_is_prepaid() -> None:
    kept, gone = debt(), debt()
    for owed, prepays in ((kept, False), (gone, True)):
        owed.bill(DUE, {ENERGY: 40}, DAY)
        owed.pay(100, DAY, prepays=prepays)
    assert (kept.credit_stroops, kept.principal_stroops) == (60, 960)
    assert (gone.credit_stroops, gone.principal_stroops, gone.paid.prepaid_stroops) == (0, 900, 60)


def test_credit_pays_the_next_bill_and_is_never_prepaid() -> None:
    owed = debt(credit_stroops=50)
    owed.pay(10, DAY, prepays=True)
    assert (owed.credit_stroops, owed.paid.prepaid_stroops) == (50, 10)
    owed.bill(DUE, {ENERGY: 40}, DAY)
    owed.pay(0, DAY)
    assert (owed.credit_stroops, owed.paid.by_class["energy"]) == (10, 40)


def test_energy_above_what_is_owed_is_capped() -> None:
    owed = debt(100)
    owed.bill(DUE, {ENERGY: 70}, DAY)
    owed.bill(DUE, {ENERGY: 70}, DAY)
    assert owed.open_energy_stroops == 100
    assert owed.capped_stroops == 40
    owed.pay(100, DAY)
    assert owed.is_owned
    assert owed.bills == []


def test_prepaid_energy_clears_without_moving_shares_and_before_the_cap() -> None:
    owed = debt(100, prepaid_stroops=30)
    owed.bill(DUE, {ENERGY: 130}, DAY)
    assert (owed.open_energy_stroops, owed.capped_stroops, owed.prepaid_stroops) == (100, 0, 0)
    assert owed.principal_stroops == 100


def test_once_it_is_owned_open_energy_is_not_owed_and_the_rest_is() -> None:
    owed = debt(100)
    owed.bill(DUE, {ENERGY: 60, ("tax", "state"): 5}, DAY)
    owed.bill(DUE, {ENERGY: 30, ("tax", "state"): 5}, DAY)
    owed.prepay(1_000, DAY)
    assert owed.is_owned
    assert owed.paid.prepaid_stroops == 100
    assert [bill.parts for bill in owed.bills] == [{("tax", "state"): 5}] * 2
    assert owed.capped_stroops == 90


def test_the_end_of_the_term_demands_principal_and_return_less_open_energy() -> None:
    owed = debt(365 * UNIT, 1_000_000)  # one unit a day
    owed.bill(DUE, {ENERGY: 3 * UNIT}, DAY)
    assert owed.demanded(later(14)) == (365 + 14 - 3) * UNIT


def test_days_that_round_to_nothing_stay_open() -> None:
    owed = debt(100, 1_000_000)  # 100 stroops a year
    owed.accrue(DAY)
    assert (owed.return_stroops, owed.next_day) == (0, DAY)
    owed.accrue(later(10))
    assert (owed.return_stroops, owed.next_day) == (3, later(11))


AMOUNTS = st.integers(0, 400)
BILLS = st.lists(
    st.tuples(st.integers(0, 40), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS, st.booleans()), max_size=12
)


@given(principal=st.integers(1, 3_000), rate=st.sampled_from((0, 50_000, 5_000_000)), steps=BILLS)
def test_nothing_is_lost_and_nothing_is_paid_twice(
    principal: int, rate: int, steps: list[tuple[int, int, int, int, int, bool]]
) -> None:
    owed, day, given_money, billed = debt(principal, rate), DAY, 0, 0
    for days, energy, tax, money, extra, prepays in steps:
        day += timedelta(days=days)
        owed.bill(DUE, {ENERGY: energy, ("tax", "state"): tax}, day)
        billed += energy + tax
        owed.pay(money + extra, day, prepays=prepays)
        given_money += money + extra
        paid = owed.paid
        assert owed.principal_stroops + paid.principal_stroops == principal
        assert owed.return_stroops + paid.return_stroops == owed.accrued_stroops
        energy_paid = paid.by_class["energy"] + paid.prepaid_stroops
        assert energy_paid == paid.return_stroops + paid.principal_stroops
        assert sum(paid.by_class.values()) + owed.open_stroops + owed.capped_stroops == billed
        assert paid.total_stroops + owed.credit_stroops <= given_money
        assert owed.open_energy_stroops <= owed.principal_stroops + owed.through(day)
