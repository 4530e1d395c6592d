"""The demonstration as a user runs it: a process, its output, its exit code, its result file.

`tests/golden/demo-season.json` holds what every play of the season has in common: numbers, amounts
and lines of the invoices, title per holder, and the digest of the accepted reports per meter. Keys
are fixed, so a play with kills, or with billing away for two months, must give the very same file.
"""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from heliograph.demo.command import NAMEPLATE_W_MAX, check_billing_down, check_folder, read_scene
from heliograph.demo.player import calendar_of
from heliograph.errors import StackError

GOLDEN = Path(__file__).parents[1] / "golden" / "demo-season.json"
SEED = int(os.environ.get("HELIOGRAPH_TEST_SEED", "0"))


def play(folder: Path, *options: str, timeout_s: float = 280) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "heliograph", "demo", "--folder", str(folder), "--port", "0"]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, timeout=timeout_s, check=False
    )


def result_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def golden() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(GOLDEN.read_text())
    return found


def test_the_golden_result_says_what_the_season_is_known_to_give() -> None:
    invoices = golden()["invoices"]
    assert sum(line["energy_wh"] for each in invoices for line in each["lines"]) == 573_104
    assert sum(each["total_stroops"] for each in invoices) == 1_146_208_000
    assert sum(golden()["title"].values()) == 4_000 * 10**7


def test_a_play_gives_the_golden_result_and_proves_an_invoice(tmp_path: Path) -> None:
    done = play(tmp_path / "play")
    assert done.returncode == 0, done.stdout + done.stderr
    assert result_of(tmp_path / "play") == golden()
    for words in ("2,941.907 kWh", "3.551 kWh", "573.104 kWh", "114.6208000 USD"):
        assert words in done.stdout
    assert "MISMATCH" not in done.stdout


def test_a_play_in_which_every_process_is_killed_once_gives_the_same(tmp_path: Path) -> None:
    done = play(tmp_path / "play", "--kill", "7")
    assert done.returncode == 0, done.stdout + done.stderr
    assert result_of(tmp_path / "play") == golden()
    assert done.stdout.count("SIGKILL") >= 11


def test_a_billing_service_that_was_away_for_two_months_issues_the_same(tmp_path: Path) -> None:
    done = play(tmp_path / "play", "--billing-down", "20", "82")
    assert done.returncode == 0, done.stdout + done.stderr
    assert result_of(tmp_path / "play") == golden()


@pytest.mark.long
def test_many_plays_with_kills_give_the_same(tmp_path: Path) -> None:
    for round_number in range(10):
        seed = SEED * 1_000 + round_number
        folder = tmp_path / f"play-{seed}"
        done = play(folder, "--kill", str(seed))
        assert done.returncode == 0, f"seed {seed}\n{done.stdout}{done.stderr}"
        assert result_of(folder) == golden(), f"seed {seed}"
        print(f"play with kills: seed {seed}, same result")  # noqa: T201 - a long run is quoted


AUTUMN = """time,watts
2026-10-25 01:00,100
2026-10-25 01:30,100
2026-10-25 02:00,100
2026-10-25 02:30,100
2026-10-25 03:00,100
"""

ROUGH = """time,watts
2026-03-28 10:00,100
2026-03-28 10:05,200
2026-03-28 10:05,200
2026-03-28 10:15,300
2026-03-28 10:10,
2026-03-28 10:20,-5
2026-03-28 10:25,500
2026-03-29 01:55,500
2026-03-29 02:00,500
2026-03-29 03:00,500
"""


def test_a_rough_file_is_played_and_all_that_was_not_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "rough.csv").write_text(ROUGH)
    options = ("--data", str(tmp_path / "rough.csv"), "--time-zone", "Europe/Berlin")
    done = play(tmp_path / "play", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    told = " ".join(done.stdout.split())
    for words in (
        "1 blank values",
        "1 duplicated rows, dropped",
        "1 rows out of order, sorted",
        "1 local times that do not exist, dropped",
        "2 gaps",
        "1 negative values",
    ):
        assert words in told
    # By hand: 10:00 to 10:10 and 10:15 to 10:30, and 15 minutes around the change of the clock;
    # only the interval from 10:15 has all of its three parts.
    assert [each["lines"] for each in result_of(tmp_path / "play")["invoices"]] == [
        [{"energy_wh": 66, "price_stroops_per_kwh": 2_000_000, "amount_stroops": 132_000}]
    ]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("time,watts\n2026-06-01T00:00Z,1\n2026-06-01T00:10Z,1\n", (), "the step is 600 s"),
        ("time,watts\n", (), "row"),
        ("time,watts\n2026-06-01 00:00,1\n2026-06-01 00:15,1\n", (), "time zone"),
        (AUTUMN, ("--time-zone", "Mars/Olympus"), "there is no such IANA time zone"),
        ("time,watts\n2026-06-01T00:00Z,9\n2026-06-01T00:15Z,9\n", ("--nameplate-w", "5"), "9 W"),
    ],
)
def test_a_file_that_cannot_be_played_is_refused_with_the_reason(
    tmp_path: Path, text: str, options: tuple[str, ...], words: str
) -> None:
    (tmp_path / "bad.csv").write_text(text)
    done = play(tmp_path / "play", "--data", str(tmp_path / "bad.csv"), *options)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "play").exists()


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    done = play(tmp_path)
    assert done.returncode == 1
    assert "is not empty" in done.stderr


@pytest.mark.parametrize(
    ("first_day", "step_minutes"), [("2026-03-28", 5), ("2026-10-24", 1)], ids=["spring", "autumn"]
)
def test_days_of_23_and_25_hours_are_played_without_losing_a_watt_hour(
    tmp_path: Path, first_day: str, step_minutes: int
) -> None:
    step, first = timedelta(minutes=step_minutes), datetime.fromisoformat(f"{first_day}T00:00Z")
    times = [first + n * step for n in range(int(timedelta(days=3) / step))]
    rows = [f"{time.isoformat()},{time.hour * 30}" for time in times]
    (tmp_path / "file.csv").write_text("\n".join(["time,watts", *rows]))
    options = ("--data", str(tmp_path / "file.csv"), "--time-zone", "Europe/Berlin")
    done = play(tmp_path / "play", *options)
    assert done.returncode == 0, done.stdout + done.stderr
    # The plant gives 30 W more each hour of the day, the household draws at most 500 of it.
    own_use_wh = 3 * sum(min(hour * 30, 500) for hour in range(24))
    invoices = result_of(tmp_path / "play")["invoices"]
    lines = [line for each in invoices for line in each["lines"]]
    assert abs(sum(line["energy_wh"] for line in lines) - own_use_wh) <= 3 * 96
    assert sum(each["rated_intervals"] for each in invoices) == 3 * 96


def scene_of(tmp_path: Path, *rows: str, zone: str | None = None) -> tuple[Any, Any]:
    (tmp_path / "file.csv").write_text("\n".join(["time,watts", *rows]))
    return read_scene(tmp_path / "file.csv", None, zone, 500)


def test_a_season_without_sun_is_played_and_there_is_nothing_to_prove(tmp_path: Path) -> None:
    rows = [f"2026-06-29T{n // 4:02}:{n % 4 * 15:02}Z,{-3 * (n % 2)}" for n in range(96)]
    (tmp_path / "dark.csv").write_text("\n".join(["time,watts", *rows]))
    done = play(tmp_path / "play", "--data", str(tmp_path / "dark.csv"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "there is nothing to prove" in " ".join(done.stdout.split())
    assert all(each["total_stroops"] == 0 for each in result_of(tmp_path / "play")["invoices"])


def test_a_file_of_more_than_ten_years_is_refused_with_first_and_last_row(tmp_path: Path) -> None:
    rows = ["2026-06-01T00:00Z,1", "2026-06-01T00:15Z,1", "2026-06-01T00:30Z,1"]
    with pytest.raises(StackError, match=r"2026-06-01T00:00:00Z, to the last, 2036-07-01T00:00:00"):
        scene_of(tmp_path, *rows, "2036-07-01T00:00Z,1")
    scene_of(tmp_path, *rows, "2036-05-31T00:00Z,1")


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("9999-12-20T00:", "does not reach that far"),
        ("0001-01-03T00:", "before 1970"),
        ("1970-01-01T00:", "before 1970"),
    ],
)
def test_days_that_no_play_can_have_are_refused(tmp_path: Path, first: str, words: str) -> None:
    with pytest.raises(StackError, match=rf"file\.csv.*{words}"):
        scene_of(tmp_path, f"{first}00Z,1", f"{first}15Z,1", zone="Europe/Berlin")


def test_a_calendar_that_overflows_is_told() -> None:
    last = datetime(9999, 12, 30, tzinfo=UTC)
    with pytest.raises(StackError, match="9999-12-29T00:00:00Z to 9999-12-30T00:00:00Z"):
        calendar_of(last - timedelta(days=1), last, "UTC")


@pytest.mark.parametrize("down", [(-1, 2), (2, 2), (3, 1), (0, 33), (40, 50)])
def test_billing_cannot_be_away_on_other_days_than_the_plays(
    tmp_path: Path, down: tuple[int, int]
) -> None:
    scene, source = scene_of(tmp_path, "2026-06-01T00:00Z,1", "2026-06-01T00:15Z,1")
    # June has 30 days; settlement takes one more, its payment another.
    with pytest.raises(StackError, match="the play has 32 days, from 0 to 31"):
        check_billing_down(down, scene, source)
    check_billing_down((0, 31), scene, source)


def test_a_nameplate_has_a_most(tmp_path: Path) -> None:
    watts = NAMEPLATE_W_MAX
    scene, _ = scene_of(tmp_path, f"2026-06-01T00:00Z,{watts}", "2026-06-01T00:15Z,1")
    assert scene.nameplate_w == watts
    with pytest.raises(StackError, match="which ingest would refuse"):
        scene_of(tmp_path, f"2026-06-01T00:00Z,{watts + 1}", "2026-06-01T00:15Z,1")
    done = play(tmp_path / "play", "--nameplate-w", str(watts + 1))
    assert done.returncode == 2
    assert "--nameplate-w" in done.stderr


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match="is a file: a play needs a folder"):
        check_folder(tmp_path / "file")
    check_folder(tmp_path / "new")
