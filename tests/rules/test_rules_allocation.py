"""The one allocation: its laws, examples by hand, and a real season computed twice.

The second computation of the season shares no code with the first: it uses exact fractions and the
definition for a single holding, which is the smaller of generation and consumption.
"""

import csv
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.rules.allocation import Demand, Share, allocate
from libs.rules.numbers import scale, split

SEASON = Path(__file__).parents[2] / "data" / "pv" / "serf_east_15min_ac_power.csv"
LOAD_W = 500
PRICE = 2_000_000  # stroops per kWh: 0.20 USD

demands = st.dictionaries(
    st.text("abcd", min_size=1, max_size=2),
    st.builds(Demand, st.integers(0, 5), st.sampled_from([0, 0, 1, 2, 7, 30])),
    min_size=1,
    max_size=6,
).filter(lambda found: sum(demand.units for demand in found.values()) > 0)
generations = st.integers(0, 60)


@given(generations, demands)
def test_what_was_generated_is_used_by_somebody_or_exported(
    generated: int, found: dict[str, Demand]
) -> None:
    shares = allocate(generated, found)
    lent = {key: sum(s.used_of_others_wh.get(key, 0) for s in shares.values()) for key in found}

    for key, share in shares.items():
        assert share.entitlement_wh == share.own_use_wh + lent[key] + share.surplus_wh
    assert sum(share.entitlement_wh for share in shares.values()) == generated


@given(generations, demands)
def test_nobody_uses_more_than_he_consumes_or_lends_more_than_he_spares(
    generated: int, found: dict[str, Demand]
) -> None:
    shares = allocate(generated, found)
    for key, share in shares.items():
        taken = sum(share.used_of_others_wh.values())
        lent = sum(other.used_of_others_wh.get(key, 0) for other in shares.values())

        assert share.own_use_wh == min(found[key].consumed_wh, share.entitlement_wh)
        assert share.own_use_wh + taken <= found[key].consumed_wh
        assert 0 <= lent <= share.entitlement_wh - share.own_use_wh
        assert share.surplus_wh >= 0
        assert key not in share.used_of_others_wh
        assert all(part > 0 for part in share.used_of_others_wh.values())


@given(generations, demands)
def test_nothing_is_exported_while_somebody_lacks(generated: int, found: dict[str, Demand]) -> None:
    shares = allocate(generated, found)
    lacking = sum(
        found[key].consumed_wh - share.own_use_wh - sum(share.used_of_others_wh.values())
        for key, share in shares.items()
    )

    assert lacking == 0 or sum(share.surplus_wh for share in shares.values()) == 0


@given(generations, demands)
def test_shared_energy_is_split_pro_rata_on_both_sides(
    generated: int, found: dict[str, Demand]
) -> None:
    shares = allocate(generated, found)
    spare = {key: share.entitlement_wh - share.own_use_wh for key, share in shares.items()}
    lacking = {key: found[key].consumed_wh - share.own_use_wh for key, share in shares.items()}
    shared = min(sum(spare.values()), sum(lacking.values()))
    lent = {key: spare[key] - share.surplus_wh for key, share in shares.items()}
    taken = {key: sum(share.used_of_others_wh.values()) for key, share in shares.items()}

    assert lent == split(shared, spare)
    assert taken == split(shared, lacking)


@given(generations, demands, st.randoms(use_true_random=False))
def test_the_order_in_which_holdings_are_named_does_not_matter(
    generated: int, found: dict[str, Demand], random: Random
) -> None:
    shuffled = sorted(found, key=lambda _: random.random())

    assert allocate(generated, {key: found[key] for key in shuffled}) == allocate(generated, found)


@given(generations, demands)
def test_names_that_sort_alike_are_treated_alike(generated: int, found: dict[str, Demand]) -> None:
    renamed = {f"home-{key}": demand for key, demand in found.items()}
    expected = {
        f"home-{key}": Share(
            share.entitlement_wh,
            share.own_use_wh,
            {f"home-{source}": part for source, part in share.used_of_others_wh.items()},
            share.surplus_wh,
        )
        for key, share in allocate(generated, found).items()
    }

    assert allocate(generated, renamed) == expected


@given(generations, st.integers(1, 10**6), st.integers(0, 2000))
def test_one_holding_uses_the_smaller_of_generation_and_consumption(
    generated: int, units: int, consumed: int
) -> None:
    share = allocate(generated, {"only": Demand(units, consumed)})["only"]

    assert share.own_use_wh == min(generated, consumed)
    assert share == Share(generated, share.own_use_wh, {}, generated - share.own_use_wh)


def test_a_neighbour_takes_what_is_spare() -> None:
    # 100 Wh for two equal halves: a uses 20 of 50, b lacks 30 and takes them, nothing is left.
    shares = allocate(100, {"a": Demand(1, 20), "b": Demand(1, 80)})

    assert shares == {
        "a": Share(50, 20, {}, 0),
        "b": Share(50, 50, {"a": 30}, 0),
    }


def test_two_neighbours_take_in_proportion_to_what_they_lack() -> None:
    # 90 Wh in thirds. a spares 30; b lacks 20, c lacks 40: they get 10 and 20.
    shares = allocate(90, {"a": Demand(1, 0), "b": Demand(1, 50), "c": Demand(1, 70)})

    assert shares == {
        "a": Share(30, 0, {}, 0),
        "b": Share(30, 30, {"a": 10}, 0),
        "c": Share(30, 30, {"a": 20}, 0),
    }


def test_two_neighbours_give_in_proportion_to_what_they_spare() -> None:
    # 90 Wh in thirds. a spares 20, b spares 10; c lacks 15: 10 of a and 5 of b; 10 and 5 remain.
    shares = allocate(90, {"a": Demand(1, 10), "b": Demand(1, 20), "c": Demand(1, 45)})

    assert shares == {
        "a": Share(30, 10, {}, 10),
        "b": Share(30, 20, {}, 5),
        "c": Share(30, 30, {"a": 10, "b": 5}, 0),
    }


def test_an_odd_watt_hour_goes_to_the_lower_key() -> None:
    shares = allocate(3, {"b": Demand(1, 9), "a": Demand(1, 0)})

    assert shares == {"b": Share(1, 1, {"a": 2}, 0), "a": Share(2, 0, {}, 0)}


@pytest.mark.parametrize("names", ["abcd", "dcba", "bdac"])
def test_takers_are_served_in_the_order_of_their_keys(names: str) -> None:
    found = {"a": Demand(1, 0), "b": Demand(1, 0), "c": Demand(0, 1), "d": Demand(0, 1)}

    shares = allocate(2, {name: found[name] for name in names})

    assert {name: shares[name].used_of_others_wh for name in "cd"} == {"c": {"a": 1}, "d": {"b": 1}}


def test_a_holding_without_units_may_still_use_what_others_spare() -> None:
    shares = allocate(10, {"owner": Demand(7, 4), "guest": Demand(0, 9)})

    assert shares == {"owner": Share(10, 4, {}, 0), "guest": Share(0, 0, {"owner": 6}, 0)}


def test_night_leaves_everybody_with_nothing() -> None:
    shares = allocate(0, {"a": Demand(1, 10), "b": Demand(2, 0)})

    assert shares == {"a": Share(0, 0, {}, 0), "b": Share(0, 0, {}, 0)}


@pytest.mark.parametrize(
    ("generated", "found"),
    [
        (1, {}),
        (1, {"a": Demand(0, 5)}),
        (-1, {"a": Demand(1, 5)}),
        (1, {"a": Demand(1, 5), "b": Demand(-1, 5)}),
    ],
)
def test_what_cannot_be_allocated_is_refused(generated: int, found: dict[str, Demand]) -> None:
    with pytest.raises(ValueError, match=r"below zero|weight"):
        allocate(generated, found)


def season() -> list[tuple[str, Fraction]]:
    """Start and exact power in W of every quarter of an hour."""
    with SEASON.open(encoding="utf-8", newline="") as file:
        return [(row["measured_on"], Fraction(row["ac_power"])) for row in csv.DictReader(file)]


def register(part: Callable[[Fraction], Fraction]) -> list[int]:
    """Differences in Wh of a cumulative register that shows whole Wh."""
    exact, shown = Fraction(0), [0]
    for _, power_w in season():
        exact += part(power_w) / 4
        shown.append(int(exact))
    return [after - before for before, after in pairwise(shown)]


@pytest.fixture(scope="module")
def generated() -> list[int]:
    return register(lambda power_w: max(power_w, Fraction(0)))


def rated(generated: list[int], intervals: int, places: list[str]) -> int:
    """Own use in Wh of the one holding, rated over so many quarters of an hour (or by place)."""
    sums: dict[str, int] = defaultdict(int)
    counts: dict[str, int] = defaultdict(int)
    for place, energy_wh in zip(places, generated, strict=True):
        sums[place] += energy_wh
        counts[place] += 1
    return sum(
        allocate(energy_wh, {"home": Demand(1, LOAD_W * count // 4)})["home"].own_use_wh
        for (place, energy_wh), count in zip(sums.items(), counts.values(), strict=True)
        if count == intervals
    )


def test_the_season_holds_what_the_rules_say(generated: list[int]) -> None:
    drawn = register(lambda power_w: max(-power_w, Fraction(0)))

    assert len(generated) == 10_000
    assert sum(generated) == 2_941_907
    assert sum(drawn) == 3_551
    assert min(generated) >= 0


def test_the_season_with_a_load_of_500_w_uses_573_104_wh(generated: list[int]) -> None:
    starts = [start for start, _ in season()]
    by_allocation = rated(generated, 1, starts)
    by_definition = sum(min(energy_wh, LOAD_W // 4) for energy_wh in generated)

    assert by_allocation == by_definition == 573_104
    assert scale(by_allocation, PRICE, 1_000) == 1_146_208_000  # 114.6208 USD
    whole = [allocate(wh, {"home": Demand(1, 125)})["home"].surplus_wh for wh in generated]
    assert sum(whole) == 2_941_907 - 573_104


def test_the_interval_is_part_of_the_contract(generated: list[int]) -> None:
    # Domain rules, section 3: 114.62 USD per 15 minutes, 117.24 per hour, 247.34 per day.
    starts = [start for start, _ in season()]
    hourly = rated(generated, 4, [start[:13] for start in starts])
    # The last day of the file ends at 3:45 and is rated for the part that is known.
    days: dict[str, list[int]] = defaultdict(list)
    for start, energy_wh in zip(starts, generated, strict=True):
        days[start[:10]].append(energy_wh)
    daily = sum(
        allocate(sum(day), {"home": Demand(1, 125 * len(day))})["home"].own_use_wh
        for day in days.values()
    )

    assert round(scale(hourly, PRICE, 1_000) / 1e7, 2) == 117.24
    assert round(scale(daily, PRICE, 1_000) / 1e7, 2) == 247.34
