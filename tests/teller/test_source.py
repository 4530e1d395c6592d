"""Measurements from CSV files: what is wrong is counted and left out, never guessed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.teller.domain import constant_load, generation
from services.teller.source import Source, SourceRefused, read_rows, read_source

SERF = Path(__file__).parents[2] / "data/pv/serf_east_15min_ac_power.csv"
DENVER = ZoneInfo("America/Denver")


def read(*rows: str, zone: ZoneInfo | None = None, header: str = "measured_on,ac_power") -> Source:
    return read_rows([line.split(",") for line in (header, *rows)], zone)


def quarter(minutes: int, watts: str = "100") -> str:
    return f"2016-07-01T{minutes // 60:02}:{minutes % 60:02}:00Z,{watts}"


def starts(source: Source) -> list[str]:
    return [datetime.fromtimestamp(one, UTC).strftime("%d %H:%M") for one in source.instants]


def differences(values: Sequence[int]) -> list[int]:
    return [now - then for then, now in zip((0, *values[:-1]), values, strict=True)]


def test_a_real_season_loses_nothing() -> None:
    source = read_source(SERF)
    assert source.report.generated_wh == 2_941_907
    assert source.report.drawn_wh == 3_551
    assert (source.report.rows, source.report.used, source.report.gaps) == (10_000, 10_000, 0)
    assert (source.report.first_at, source.report.until_at) == (
        "2016-07-01T07:00:00Z",
        "2016-10-13T11:00:00Z",
    )
    plant, home = generation("pv-1", source), constant_load("home-1", source, 500)
    ((drawn_name, drawn), (made_name, made)) = plant.registers
    assert (drawn_name, made_name) == ("consumed", "generated")
    assert (drawn[-1], made[-1]) == (3_551, 2_941_907)
    ((_, used),) = home.registers
    own_use = sum(map(min, differences(made), differences(used)))
    assert own_use == 573_104


def test_energy_comes_from_exact_registers() -> None:
    source = read(*(quarter(15 * number, "0.5") for number in range(96)))
    ((_, _), (_, made)) = generation("m", source).registers
    assert made[-1] == 12, "96 quarters of 0.5 W are 12 Wh; floored one by one they are none"


@given(st.lists(st.integers(-9_999_999, 9_999_999), min_size=2, max_size=30))
def test_registers_never_run_back_and_are_the_floor_of_the_sum(powers: list[int]) -> None:
    rows = [quarter(15 * number, f"{power / 1000:.3f}") for number, power in enumerate(powers)]
    for (_, register), sign in zip(generation("m", read(*rows)).registers, (-1, 1), strict=True):
        total = 0
        for power, value in zip(powers, register, strict=True):
            total += max(0, sign * power)
            assert value == total * 900 // 3_600_000
        assert list(register) == sorted(register)


def test_a_load_counts_over_gaps_of_the_source() -> None:
    source = read(quarter(0), quarter(15), quarter(60))
    home = constant_load("home-1", source, 100)
    assert len(home.instants) == 5
    assert home.registers[0][1] == [25, 50, 75, 100, 125]


@pytest.mark.parametrize("minutes", [1, 3, 5, 15])
def test_these_steps_are_read(minutes: int) -> None:
    source = read(*(quarter(minutes * number) for number in range(5)))
    assert source.step_s == 60 * minutes


@pytest.mark.parametrize("minutes", [2, 10, 30, 60])
def test_other_steps_are_refused(minutes: int) -> None:
    with pytest.raises(SourceRefused, match=f"the step is {60 * minutes} s"):
        read(*(quarter(minutes * number) for number in range(5)))


def test_a_step_that_changes_is_refused() -> None:
    coarse = [quarter(15 * number) for number in range(10)]
    fine = [quarter(150 + 5 * number) for number in range(60)]
    with pytest.raises(SourceRefused, match="changes from 300 s to 900 s at 2016-07-01T00:00:00Z"):
        read(*coarse, *fine)


def test_gaps_and_blank_values_are_missing_intervals() -> None:
    source = read(quarter(0), quarter(15, ""), quarter(30), quarter(75), quarter(90, "n/a"))
    assert starts(source) == ["01 00:00", "01 00:30", "01 01:15"]
    report = source.report
    assert (report.blank, report.not_numeric, report.gaps, report.missing) == (1, 1, 2, 3)


@pytest.mark.parametrize(
    "text", ["nan", "inf", "1e3", "0x10", "1,5", "\uff11\uff12", "--1", "1" * 13]
)
def test_only_plain_decimal_numbers_are_values(text: str) -> None:
    rows = [row.split(",", 1) for row in ("t,w", quarter(0), quarter(15, text), quarter(30))]
    report = read_rows(rows, None).report
    assert (report.not_numeric, report.used) == (1, 2)


def test_exact_duplicates_are_dropped_and_counted() -> None:
    source = read(quarter(0), quarter(0, "100.0"), quarter(15), quarter(15))
    assert (source.report.duplicates, source.report.used) == (2, 2)


def test_contradicting_rows_are_a_gap() -> None:
    rows = (quarter(0), quarter(15), quarter(15, "101"), quarter(15), quarter(30))
    source = read(*rows)
    assert starts(source) == ["01 00:00", "01 00:30"]
    assert (source.report.contradictions, source.report.gaps) == (3, 1)
    blank = read(quarter(0), quarter(15), quarter(15, ""), quarter(30))
    assert blank.report.contradictions == 2


def test_unordered_rows_are_sorted_and_counted() -> None:
    source = read(quarter(30), quarter(0), quarter(15), quarter(45))
    assert starts(source) == ["01 00:00", "01 00:15", "01 00:30", "01 00:45"]
    assert source.report.unordered == 2


def test_rows_beside_the_raster_are_left_out() -> None:
    late = "2016-07-01T00:16:00Z,5"
    part = "2016-07-01T00:30:00.5Z,5"
    source = read(quarter(0), quarter(15), late, part, *(quarter(30 + 15 * n) for n in range(4)))
    assert source.report.off_raster == 2
    assert source.report.gaps == 0


def test_lines_that_are_no_rows_are_counted() -> None:
    source = read(quarter(0), "yesterday,5", "2016-07-01T00:15:00Z", quarter(15), "")
    assert (source.report.malformed, source.report.rows) == (2, 4)


FORMS: list[tuple[str, list[list[str]]]] = [
    ("a header of two columns", []),
    ("a header of two columns", [["a", "b", "c"]]),
    ("no header but a row", [["2016-07-01T00:00:00Z", "5"]]),
    ("two rows at least", [["t", "w"], ["2016-07-01T00:00:00Z", "5"]]),
    ("no time zone is given", [["t", "w"], ["2016-07-01T00:00:00", "5"]]),
    (
        "no row can be used",
        [["t", "w"], ["2016-07-01T00:00:00Z", ""], ["2016-07-01T00:15:00Z", "x"]],
    ),
]


@pytest.mark.parametrize(("why", "rows"), FORMS)
def test_a_file_of_another_form_is_refused_with_the_reason(why: str, rows: list[list[str]]) -> None:
    with pytest.raises(SourceRefused, match=why):
        read_rows(rows, None)


def test_a_file_or_zone_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceRefused):
        read_source(tmp_path / "none.csv")
    with pytest.raises(SourceRefused, match="no time zone"):
        read_source(SERF, "Mars/Olympus")
    (tmp_path / "noise.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceRefused):
        read_source(tmp_path / "noise.csv")


# Daylight saving: America/Denver, 6 November 2016 01:00 to 02:00 twice, 13 March 02:00 skipped.


def local(day: str, first: int, count: int) -> list[str]:
    minutes = range(first, first + 15 * count, 15)
    return [f"2016-{day}T{one // 60:02}:{one % 60:02}:00,{one}" for one in minutes]


def test_the_repeated_hour_is_told_apart_by_the_order_in_the_file() -> None:
    rows = [*local("11-06", 30, 6), *local("11-06", 60, 6)]
    source = read(*rows, zone=DENVER)
    assert source.report.used == 12
    assert source.report.gaps == source.report.ambiguous == source.report.unordered == 0
    assert starts(source)[0] == "06 06:30"
    assert starts(source)[-1] == "06 09:15"


def test_rows_that_stand_alone_in_the_repeated_hour_are_left_out() -> None:
    source = read(*local("11-06", 0, 12), zone=DENVER)
    assert source.report.ambiguous == 4
    assert source.report.used == 8
    assert (source.report.gaps, source.report.missing) == (1, 8)


def test_local_times_of_the_skipped_hour_are_left_out() -> None:
    source = read(*local("03-13", 60, 12), zone=DENVER)
    assert source.report.nonexistent == 4
    assert source.report.used == 8
    assert source.report.gaps == 0


def test_offsets_need_no_zone_and_win_over_one() -> None:
    rows = [
        f"2016-11-06 01:{minute:02}:00-0{hour}:00,5"
        for hour in (6, 7)
        for minute in (0, 15, 30, 45)
    ]
    source = read(*rows, zone=DENVER)
    assert (source.report.used, source.report.ambiguous, source.report.gaps) == (8, 0, 0)


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Denver"])
@pytest.mark.parametrize("time", ["0001-01-01 00:00", "9999-12-31 23:45", "9999-12-31T23:45-12:00"])
def test_a_time_at_an_end_of_the_calendar_is_malformed(time: str, zone: str) -> None:
    source = read(f"{time},100", quarter(0), quarter(15), zone=ZoneInfo(zone))
    assert (source.report.malformed, source.report.used) == (1, 2)
    with pytest.raises(SourceRefused, match="two rows at least"):
        read(f"{time},100", f"{time},100", zone=ZoneInfo(zone))


@pytest.mark.parametrize("zone", ["Mars/Olympus", "../secrets", "America", "\0"])
def test_a_zone_that_is_none_is_named(zone: str) -> None:
    with pytest.raises(SourceRefused, match="is no time zone"):
        read_source(SERF, zone)
