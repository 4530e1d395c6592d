"""The demonstration of ownership as a user runs it, and the arithmetic by hand beside it.

`tests/golden/demo-ownership.json` holds what every play has in common: documents, steps of
lateness, own title, and the digest of the accepted reports. A play in which every process is killed
once must give the very same file.
"""

import json
import os
import subprocess
import sys
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.demo import ownership_cast as own
from heliograph.demo.command import SEASON, SEASON_ZONE
from heliograph.demo.ownership import DIVERTED
from heliograph.demo.ownership_hand import Repayment, bills, bucket_at, shared_out
from heliograph.demo.ownership_season import midnight_of, season_of
from libs.rules.numbers import split
from services.teller.source import read_source

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "demo-ownership.json"
SEED = int(os.environ.get("HELIOGRAPH_TEST_SEED", "0"))


def golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text())
    return found


def play(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "heliograph", "demo", "ownership", "--folder", str(folder)]
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
    assert "figures agree, each found in two or three ways." in done.stdout


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_play_in_which_every_process_is_killed_once_gives_the_same(tmp_path: Path) -> None:
    done = play(tmp_path / "play", "--kill", str(SEED))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "billing died" in done.stdout
    assert json.loads((tmp_path / "play" / "result.json").read_text()) == golden()


def test_the_golden_result_tells_the_whole_story() -> None:
    story = golden()
    steps = [(name, day) for name, key, day in story["steps"] if "ben" in key]
    assert steps == [
        ("SupplyDiverted", 71),
        ("SupplyRestored", 81),
        ("GridProceedsReceived", 84),
        ("CreditNoteIssued", 49),
        ("ReminderSent", 51),
        ("AlertRaised", 64),
        ("EscalationReached", 71),
    ]
    units = own.PRICE_STROOPS + own.SEED_STROOPS["investor-1"] // 10
    assert story["own"]["anna"] == units * own.ANNA.units_ppm // 1_000_000
    assert 0 < story["own"]["ben"] < units * own.BEN.units_ppm // 1_000_000


def test_the_season_conserves_energy() -> None:
    season = season_of(read_source(ROOT / SEASON, SEASON_ZONE), DIVERTED)
    sold = range(*(int(midnight_of(day).timestamp()) for day in DIVERTED))
    assert sum(season.generated_wh) == 2_941_907
    for place, at in enumerate(season.instants):
        drawn = season.anna_wh[place] + (0 if at in sold else season.ben_wh[place])
        flows = season.generated_wh[place] + season.imported_wh[place]
        assert flows == drawn + season.exported_wh[place]


def test_by_hand_a_correction_changes_only_the_corrected_period() -> None:
    season = season_of(read_source(ROOT / SEASON, SEASON_ZONE), DIVERTED)
    before, after = (bills(season, DIVERTED, 90, is_corrected=flag) for flag in (False, True))
    changed = {place for place in before if before[place].amounts != after[place].amounts}
    assert ("ben", 2) in changed
    assert {period for _, period in changed} == {2}


@given(st.integers(0, 10**12), st.dictionaries(st.text("ab", max_size=3), st.integers(0, 10**9)))
def test_sharing_out_by_hand_is_the_split_of_the_rules(
    amount: int, weights: dict[str, int]
) -> None:
    if sum(weights.values()):
        assert shared_out(amount, weights) == split(amount, weights)


def test_buckets_follow_the_local_hour_of_working_days() -> None:
    friday = midnight_of(0)
    hours = [bucket_at(int((friday + timedelta(hours=hour)).timestamp())) for hour in range(24)]
    assert hours.count("peak") == 4
    assert (hours[6], hours[7], hours[16], hours[20], hours[22]) == (
        "night",
        "day",
        "peak",
        "day",
        "night",
    )
    saturday = friday + timedelta(days=1, hours=17)
    assert bucket_at(int(saturday.timestamp())) == "day"


def test_repaying_by_hand_gives_opensolars_return() -> None:
    repayment = Repayment(4_000 * own.USD, {"A": 4_000 * own.USD})
    repayment.accrue(own.FIRST_DAY + timedelta(days=29))
    exact = Fraction(4_000 * own.USD * 30 * 5, 365 * 100)
    assert repayment.accrued_stroops == round(exact) == 164_383_562
