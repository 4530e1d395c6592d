"""Numbers packed by day: across midnight, large ones, changed, forgotten, dumped."""

import json
from typing import Any

from libs.rules.series import DAY_S, Series

QUARTER = 900


def known(series: Series, name: str = "pv", day: int = 10) -> list[tuple[int, int, int]]:
    return list(series.parts(name, day * DAY_S, (day + 1) * DAY_S))


def loaded(series: Series) -> Series:
    rows: Any = json.loads(json.dumps({name: list(rows) for name, rows in series.dump().items()}))
    made = Series()
    made.load(rows)
    return made


def test_consecutive_numbers_may_cross_midnight() -> None:
    series = Series()
    series.put("pv", 11 * DAY_S - QUARTER, QUARTER, [3, 0, 5])
    assert known(series) == [(11 * DAY_S - QUARTER, QUARTER, 3)]
    assert known(series, day=11) == [
        (11 * DAY_S, QUARTER, 0),
        (11 * DAY_S + QUARTER, QUARTER, 5),
    ]
    assert sorted(series.ends("pv")) == [11 * DAY_S + each * QUARTER for each in range(3)]


def test_lengths_stand_beside_each_other_and_large_numbers_fit() -> None:
    series = Series()
    series.put("pv", 10 * DAY_S, QUARTER, [10**12])
    series.put("pv", 10 * DAY_S + 3_600, 300, [1, 2])
    assert known(series) == [
        (10 * DAY_S + 3_600, 300, 1),
        (10 * DAY_S + 3_900, 300, 2),
        (10 * DAY_S, QUARTER, 10**12),
    ]
    assert known(loaded(series)) == known(series)


def test_changes_add_to_what_is_known_and_to_the_unknown_only_when_asked() -> None:
    series = Series()
    series.put("pv", 10 * DAY_S, QUARTER, [5])
    series.add("pv", 10 * DAY_S, QUARTER, [-2, 7], to_unknown=False)
    assert known(series) == [(10 * DAY_S, QUARTER, 3)]
    series.add("pv", 10 * DAY_S, QUARTER, [1, 7], to_unknown=True)
    assert [each[2] for each in known(series)] == [4, 7]
    series.add("pv2", 10 * DAY_S, QUARTER, [7], to_unknown=False)
    assert known(series, "pv2") == []


def test_what_is_forgotten_does_not_come_back() -> None:
    series = Series()
    series.put("pv", 10 * DAY_S, QUARTER, [1])
    series.put("pv", 12 * DAY_S, QUARTER, [1])
    series.drop_before(12 * DAY_S - 1)
    series.put("pv", 10 * DAY_S, QUARTER, [1])
    assert (known(series), len(known(series, day=12))) == ([], 1)
    again = loaded(series)
    assert again.first_at == series.first_at == 11 * DAY_S
    again.drop_names(["pv"], 12 * DAY_S, 13 * DAY_S)
    assert known(again, day=12) == []


def test_a_snapshot_may_be_read_while_the_numbers_go_on() -> None:
    series = Series()
    series.put("pv", 10 * DAY_S, QUARTER, [1])
    rows = series.dump()
    series.add("pv", 10 * DAY_S, QUARTER, [5], to_unknown=True)
    series.put("pv", 10 * DAY_S + QUARTER, QUARTER, [9])
    made = Series()
    made.load({name: list(each) for name, each in rows.items()})
    assert known(made) == [(10 * DAY_S, QUARTER, 1)]
