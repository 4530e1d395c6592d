"""Return: actual/365 on open principal, rounded once; return before principal; splits by member."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.rules.returns import accrued_stroops, payoff_stroops, split_by_member, waterfall

MONEY = st.integers(0, 10**15)
RATE = st.integers(0, 1_000_000)
DAYS = st.integers(0, 5_000)


@pytest.mark.parametrize(
    ("principal", "days", "rate", "expected"),
    [
        (40_000_000_000, 30, 50_000, 164_383_562),  # domain rules, section 6: 16.4383562 USD
        (40_000_000_000, 365, 50_000, 2_000_000_000),  # a year at 5 % is 5 %
        (40_000_000_000, 366, 50_000, 2_005_479_452),  # a leap year has a day more
        (1_000, 365, 500, 0),  # half a stroop, to even
        (3_000, 365, 500, 2),  # one and a half, to even
        (40_000_000_000, 0, 50_000, 0),
        (40_000_000_000, 30, 0, 0),
    ],
)
def test_return_is_actual_days_of_365(principal: int, days: int, rate: int, expected: int) -> None:
    assert accrued_stroops(principal, days, rate) == expected


@given(MONEY, DAYS, RATE)
def test_one_accrual_is_rounded_once(principal: int, days: int, rate: int) -> None:
    exact = Fraction(principal * days * rate, 365 * 1_000_000)
    assert abs(accrued_stroops(principal, days, rate) - exact) <= Fraction(1, 2)


@given(MONEY, MONEY, DAYS, RATE)
def test_a_payoff_is_principal_and_all_return_through_today(
    principal: int, due: int, days: int, rate: int
) -> None:
    payoff = payoff_stroops(principal, due, days, rate)
    assert payoff == principal + due + accrued_stroops(principal, days, rate)
    assert waterfall(payoff, payoff - principal, principal) == (payoff - principal, principal)


@given(MONEY, MONEY, st.data())
def test_all_return_is_paid_before_any_principal(
    due: int, principal: int, data: st.DataObject
) -> None:
    money = data.draw(st.integers(0, due + principal))
    returned, repaid = waterfall(money, due, principal)
    assert returned + repaid == money
    assert 0 <= returned <= due
    assert 0 <= repaid <= principal
    assert repaid == 0 or returned == due


def test_more_than_is_owed_is_a_bug_of_ours() -> None:
    with pytest.raises(AssertionError):
        waterfall(11, 5, 5)


def test_ties_go_to_the_lower_address_and_parts_are_named_by_member() -> None:
    addresses = {"zoe": "GAAA", "ann": "GBBB", "bob": "GCCC"}
    parts = split_by_member(5, {"ann": 1, "bob": 1, "zoe": 1}, addresses)
    assert parts == {"ann": 2, "bob": 1, "zoe": 2}
    assert list(parts) == ["ann", "bob", "zoe"]
    assert split_by_member(1, {"ann": 1, "bob": 1, "zoe": 1}, addresses) == {"zoe": 1}


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 10**6), min_size=1), st.data())
def test_nobody_is_repaid_more_than_his_weight(
    weights: dict[str, int], data: st.DataObject
) -> None:
    """So no claim and no title is ever crossed, to the last stroop."""
    amount = data.draw(st.integers(0, sum(weights.values())))
    parts = split_by_member(amount, weights, {member: f"G{member}" for member in weights})
    assert sum(parts.values()) == amount
    assert all(0 < part <= weights[member] for member, part in parts.items())
