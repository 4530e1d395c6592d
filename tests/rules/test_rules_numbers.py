"""The two functions that round: by exact fractions, by laws, by published examples."""

from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.rules.numbers import scale, split

keys = st.text("abcdef", min_size=1, max_size=3)
weights = st.dictionaries(keys, st.integers(0, 10**6), min_size=1, max_size=8)
some_weight = weights.filter(lambda found: sum(found.values()) > 0)
amounts = st.integers(0, 2**53 - 1)


@given(st.integers(), st.integers(), st.integers(min_value=1))
def test_scale_rounds_the_exact_fraction_half_to_even(a: int, n: int, d: int) -> None:
    assert scale(a, n, d) == round(Fraction(a * n, d))


@pytest.mark.parametrize(
    ("amount", "numerator", "denominator", "result"),
    [
        (1, 1, 2, 0),
        (3, 1, 2, 2),
        (5, 1, 2, 2),
        (7, 1, 2, 4),
        (-1, 1, 2, 0),
        (-3, 1, 2, -2),
        (-5, 1, 2, -2),
        (1, -3, 2, -2),
        (2, 1, 3, 1),
        (1, 1, 3, 0),
        (-2, 1, 3, -1),
        (0, 5, 7, 0),
        (5, 0, 7, 0),
        (2**53 - 1, 2**53 - 1, 1, (2**53 - 1) ** 2),
        # 169,107 Wh at 0.20 USD per kWh: 33.8214 USD, exact.
        (169_107, 2_000_000, 1_000, 338_214_000),
        # Opensolar's pilot (domain rules, section 6): 4,000 USD at 5 % for 30 days, actual / 365.
        (40_000_000_000, 50_000 * 30, 1_000_000 * 365, 164_383_562),
        # 200 kWh at 0.08 cost 16 (domain rules, section 9).
        (200_000, 800_000, 1_000, 160_000_000),
    ],
)
def test_scale_gives_what_was_computed_by_hand(
    amount: int, numerator: int, denominator: int, result: int
) -> None:
    assert scale(amount, numerator, denominator) == result


@given(st.integers(), st.integers(), st.integers(min_value=1), st.integers(1, 1000))
def test_scale_does_not_depend_on_how_the_fraction_is_written(
    a: int, n: int, d: int, by: int
) -> None:
    assert scale(a, n * by, d * by) == scale(a, n, d) == scale(n, a, d)
    assert scale(-a, n, d) == -scale(a, n, d)


@given(st.integers(), st.integers(min_value=1))
def test_scale_by_one_changes_nothing(a: int, d: int) -> None:
    assert scale(a, d, d) == a


@pytest.mark.parametrize("denominator", [0, -1])
def test_scale_needs_a_denominator_above_zero(denominator: int) -> None:
    with pytest.raises(ValueError, match="above zero"):
        scale(1, 1, denominator)


@given(amounts, some_weight)
def test_split_conserves_the_amount_and_no_part_is_one_off(
    amount: int, found: dict[str, int]
) -> None:
    parts = split(amount, found)
    total = sum(found.values())

    assert sum(parts.values()) == amount
    assert list(parts) == list(found)
    for key, weight in found.items():
        exact = Fraction(amount * weight, total)
        assert abs(parts[key] - exact) < 1
        assert parts[key] >= 0
        assert parts[key] == exact or exact.denominator != 1


@given(amounts, some_weight, st.randoms(use_true_random=False))
def test_split_does_not_depend_on_the_order_of_the_weights(
    amount: int, found: dict[str, int], random: Random
) -> None:
    shuffled = sorted(found, key=lambda _: random.random())

    assert split(amount, {key: found[key] for key in shuffled}) == split(amount, found)


@given(amounts, some_weight)
def test_who_has_no_weight_gets_nothing(amount: int, found: dict[str, int]) -> None:
    parts = split(amount, found | {"zero": 0})

    assert parts["zero"] == 0
    assert {key: part for key, part in parts.items() if key != "zero"} == split(amount, found)


@given(amounts, some_weight, st.integers(2, 1000))
def test_only_the_ratio_of_the_weights_counts(amount: int, found: dict[str, int], by: int) -> None:
    assert split(amount, {key: by * weight for key, weight in found.items()}) == split(
        amount, found
    )


@given(some_weight)
def test_the_sum_of_the_weights_is_split_into_the_weights(found: dict[str, int]) -> None:
    assert split(sum(found.values()), found) == found
    assert set(split(0, found).values()) == {0}


@given(amounts, some_weight)
def test_the_larger_remainder_is_served_first_and_then_the_lower_key(
    amount: int, found: dict[str, int]
) -> None:
    parts = split(amount, found)
    total = sum(found.values())
    remainder = {key: amount * weight % total for key, weight in found.items()}
    rounded_up = {key for key in found if parts[key] > amount * found[key] // total}
    order = sorted(found, key=lambda key: (-remainder[key], key))

    assert rounded_up == set(order[: len(rounded_up)])


@pytest.mark.parametrize(
    ("amount", "found", "parts"),
    [
        (10, {"a": 1, "b": 1, "c": 1}, {"a": 4, "b": 3, "c": 3}),
        (11, {"a": 1, "b": 1, "c": 1}, {"a": 4, "b": 4, "c": 3}),
        (11, {"c": 1, "b": 1, "a": 1}, {"c": 3, "b": 4, "a": 4}),
        (1, {"b": 1, "a": 1}, {"b": 0, "a": 1}),
        (1, {"a": 1, "b": 2}, {"a": 0, "b": 1}),
        (7, {"x": 5, "y": 3, "z": 1}, {"x": 4, "y": 2, "z": 1}),
        (5, {"only": 3}, {"only": 5}),
        # Largest remainder (Hamilton's method) with 10 seats for 6 : 6 : 2, the textbook case in
        # which an eleventh seat would cost the smallest one its second.
        (10, {"a": 6, "b": 6, "c": 2}, {"a": 4, "b": 4, "c": 2}),
        (11, {"a": 6, "b": 6, "c": 2}, {"a": 5, "b": 5, "c": 1}),
        # 168.350986 USD of principal among 25,000 and 15,000 of 40,000 shares.
        (
            168_350_986,
            {"ines": 25_000_000_000, "ivo": 15_000_000_000},
            {"ines": 105_219_366, "ivo": 63_131_620},
        ),
    ],
)
def test_split_gives_what_was_computed_by_hand(
    amount: int, found: dict[str, int], parts: dict[str, int]
) -> None:
    assert split(amount, found) == parts


def test_nothing_may_be_split_among_nobody() -> None:
    assert split(0, {}) == {}
    assert split(0, {"a": 0}) == {"a": 0}


@pytest.mark.parametrize(
    ("amount", "found", "reason"),
    [
        (1, {}, "needs a weight"),
        (1, {"a": 0, "b": 0}, "needs a weight"),
        (-1, {"a": 1}, "below zero"),
        (1, {"a": 2, "b": -1}, "below zero"),
        (0, {"a": -1, "b": 1}, "below zero"),
    ],
)
def test_what_cannot_be_split_is_refused(amount: int, found: dict[str, int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        split(amount, found)
