"""The trading demonstration as a user runs it, and the model by hand that it is compared with.

`tests/golden/demo-trading.json` holds what every play has in common: the seed's story, the codes of
the refusals, what each factory made, sold and has, every cleared slot, and the digest of the
accepted reports per meter. A play in which every process is killed once, the ledger with them, must
give the very same file.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.demo.command import SEASON, SEASON_ZONE, check_season_only
from heliograph.demo.energy_day import SLOTS, EnergyDay, day_of, moved, shapes_of, spread
from heliograph.demo.factories import FACTORIES
from heliograph.demo.seed_story import EXPECTED
from heliograph.demo.trading import DAY
from heliograph.demo.trading_check import Fold, account_json, figures_of_day
from heliograph.demo.trading_hand import Order, Outcome, Slot, by_hand, clear_by_hand
from heliograph.errors import StackError
from libs.rules import market
from services.teller.source import read_source

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "demo-trading.json"
SEED = int(os.environ.get("HELIOGRAPH_TEST_SEED", "0"))
SOURCE = read_source(ROOT / SEASON, SEASON_ZONE)


def played() -> EnergyDay:
    return day_of(SOURCE, DAY, SEASON_ZONE)


def golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text())
    return found


def play(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "heliograph", "demo", "trading", "--folder", str(folder)]
    return subprocess.run(
        [*command, "--port", "0", *options],
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )


def test_a_play_gives_the_golden_result(tmp_path: Path) -> None:
    done = play(tmp_path / "play")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads((tmp_path / "play" / "result.json").read_text()) == golden()
    assert "MISMATCH" not in done.stdout
    assert "307 of 307 figures agree, each found in 3 ways." in done.stdout
    assert done.stdout.count("not measured") == 3


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_day_in_which_every_process_is_killed_once_gives_the_same(tmp_path: Path) -> None:
    done = play(tmp_path / "play", "--kill", str(SEED))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ledger died" in done.stdout
    assert json.loads((tmp_path / "play" / "result.json").read_text()) == golden()


def test_the_golden_result_has_the_seeds_own_numbers() -> None:
    story = golden()["story"]
    assert list(story) == list(EXPECTED)
    assert story["trade executed"] == {"Factory01": ["1300", "1016"], "Factory04": ["500", "284"]}
    codes = {what: code for what, (code, _) in golden()["refusals"].items()}
    assert codes["sell to oneself"] == "same-party"
    assert codes["a price of 0"] == "price-not-positive"
    assert codes["execute twice"] == "trade-closed"
    assert codes["promise the same energy twice"] == "too-little-energy"
    assert codes["a stranger executes"] == "wrong-signer"
    assert codes["a factory mints for itself"] == "wrong-role"


def test_the_golden_result_follows_by_hand_from_the_input() -> None:
    hand = by_hand(played())
    accounts = golden()["factories"]
    assert {name: account_json(each) for name, each in hand.accounts.items()} == accounts
    slots = {
        str(number): [slot.price_stroops_per_kwh, slot.energy_wh, slot.trades]
        for number, slot in hand.slots.items()
    }
    assert slots == golden()["slots"]
    tokens = sum(account["tokens_stroops"] for account in accounts.values())
    assert tokens == sum(factory.balance_stroops for factory in FACTORIES)


def test_the_first_five_factories_are_those_of_the_original() -> None:
    told = [
        (each.id, each.energy_type, each.balance_kwh, each.use_kwh, each.available_kwh)
        for each in FACTORIES[:5]
    ]
    assert told == [
        ("Factory01", "solar", 1000, 800, 1200),
        ("Factory02", "wind", 800, 750, 850),
        ("Factory03", "footstep", 500, 600, 450),
        ("Factory04", "solar", 300, 900, 250),
        ("Factory05", "wind", 600, 550, 700),
    ]
    assert [each.number for each in FACTORIES] == list(range(1, 21))
    assert {each.energy_type for each in FACTORIES} == {"solar", "wind", "footstep"}


@pytest.mark.parametrize("hour", range(24))
def test_no_two_factories_have_the_same_limit(hour: int) -> None:
    bids = {each.limit_stroops_per_kwh("bid", hour) for each in FACTORIES}
    offers = {each.limit_stroops_per_kwh("offer", hour) for each in FACTORIES}
    assert len(bids) == len(offers) == len(FACTORIES)
    assert min(bids | offers) >= market.LIMIT_PRICE_MIN


def test_a_day_holds_exactly_what_the_factories_make_and_use() -> None:
    day = played()
    for factory in FACTORIES:
        assert sum(day.made_wh[factory.id]) == factory.available_kwh * 1000
        assert sum(day.used_wh[factory.id]) == factory.use_kwh * 1000
        assert len(day.made_wh[factory.id]) == len(day.used_wh[factory.id]) == SLOTS
        assert max(day.made_wh[factory.id]) * 4 < day.nameplate_w(factory)


def test_a_solar_plant_follows_the_measured_power() -> None:
    day = played()
    first = SOURCE.instants.index(int(day.starts_at.timestamp()))
    power = [max(value, 0) for value in SOURCE.powers[first : first + SLOTS]]
    made = day.made_wh["Factory01"]
    for slot in range(SLOTS):
        assert abs(made[slot] - 1_200_000 * power[slot] / sum(power)) < 1


def test_what_is_made_of_other_days_keeps_their_energy() -> None:
    days = [[slot + 100 * number for slot in range(SLOTS)] for number in range(4)]
    shapes = shapes_of(days)
    assert sum(shapes["wind"]) == sum(days[1]) + sum(days[2])
    assert sum(shapes["footstep"]) == 3 * sum(days[3])
    assert moved([1, 2, 3, 4], 1) == [4, 1, 2, 3]
    assert spread(10, [1, 1, 1]) == [3, 3, 4]


def test_a_day_that_the_series_does_not_hold_is_refused() -> None:
    with pytest.raises(StackError, match="does not hold this day"):
        day_of(SOURCE, DAY - timedelta(days=10), SEASON_ZONE)


def test_what_only_the_season_can_be_told_is_refused() -> None:
    check_season_only({"--data": None})
    with pytest.raises(StackError, match=r"^--data, --load-w: only for"):
        check_season_only({"--data": Path("x"), "--load-w": 3, "--billing-down": None})
    done = subprocess.run(
        [sys.executable, "-m", "heliograph", "demo", "trading", "--load-w", "3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "only for `heliograph demo season`" in done.stderr


@st.composite
def orders(draw: st.DrawFn) -> tuple[list[Order], list[Order]]:
    """Bids and offers of different members, no two of a side with one limit."""

    def side(name: str) -> list[Order]:
        limits = draw(st.lists(st.integers(1_000, 1_060), unique=True, max_size=6))
        return [
            Order(f"{name}{n}", f"m{name}{n}", draw(st.integers(1, 5_000)), limit)
            for n, limit in enumerate(limits)
        ]

    return side("b"), side("o")


@given(orders())
def test_the_market_by_hand_is_the_market_of_the_rules(
    given_orders: tuple[list[Order], list[Order]],
) -> None:
    bids, offers = given_orders
    found = market.clear([*_placed(bids, "bid", 0), *_placed(offers, "offer", 10)])
    price, deals = clear_by_hand(bids, offers)
    assert price == found.price_stroops_per_kwh
    assert sorted((d.buyer, d.seller, d.energy_wh, d.amount_stroops) for d in deals) == sorted(
        (m.buyer, m.seller, m.energy_wh, m.amount_stroops) for m in found.matches
    )


def _placed(each_side: Sequence[Order], side: Any, first: int) -> list[market.Order]:
    return [
        market.Order(each.id, each.member, side, each.energy_wh, each.limit, ordinal)
        for ordinal, each in enumerate(each_side, first)
    ]


def told_by_hand() -> tuple[Fold, Outcome, Outcome]:
    """All three ways, as if nothing had gone wrong."""
    fold, hand = Fold(played()), by_hand(played())
    fold.outcome = by_hand(played())
    fold.opened_wh = sum(each.balance_wh for each in FACTORIES)
    fold.opened_stroops = sum(each.balance_stroops for each in FACTORIES)
    fold.minted_wh = 500_000 + sum(each.surplus_wh for each in hand.accounts.values())
    return fold, by_hand(played()), hand


def test_every_figure_is_compared() -> None:
    def wrong(fold: Fold, views: Outcome, hand: Outcome) -> set[str]:
        totals, accounts, slots = figures_of_day(fold, views, hand)
        every = [*totals, *(one for each in accounts.values() for one in each), *slots]
        return {figure.name for figure in every if not figure.agrees}

    assert wrong(*told_by_hand()) == set()
    fold, views, hand = told_by_hand()
    views.accounts["Factory07"].tokens_stroops += 1
    assert wrong(fold, views, hand) == {"Factory07, tokens", "all tokens"}
    fold, views, hand = told_by_hand()
    fold.outcome.accounts["Factory03"].own_wh -= 1
    assert wrong(fold, views, hand) == {"Factory03, own use", "used of the own plant"}
    fold, views, hand = told_by_hand()
    fold.minted_wh += 1
    assert wrong(fold, views, hand) == {"all energy"}
    fold, views, hand = told_by_hand()
    views.slots[40] = Slot(1, views.slots[40].energy_wh, views.slots[40].trades)
    assert wrong(fold, views, hand) == {"slot 40", "price range"}
    fold, views, hand = told_by_hand()
    del views.slots[40]
    assert "slots cleared" in wrong(fold, views, hand)
