"""Used ids and deadlines: the two indexes that the rules of trades and transfers stand on."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.layout import Layout
from services.ledger.deadlines import Deadlines
from services.ledger.used import DIGEST_BYTES, UsedIds
from tests.histories import START

names = st.text("abcXYZ019_-", min_size=1, max_size=8)
minutes = st.integers(0, 6)


def test_an_id_of_one_kind_is_free_in_another() -> None:
    trades, orders = UsedIds("trade"), UsedIds("order")
    trades.add("T1")
    orders.add("T2")
    orders.load({name: list(rows) for name, rows in trades.dump().items()})

    assert "T1" in trades
    assert "T1" not in UsedIds("order")
    assert len(orders) == 2
    assert "T1" not in orders, "what was dumped of trades are no orders"


def test_a_snapshot_holds_eight_bytes_for_each_id() -> None:
    used = UsedIds("trade")
    for number in range(10_000):
        used.add(f"T{number}")
        used.add(f"T{number // 2}")
    rows = json.loads(json.dumps(list(used.dump()["digests"])))

    again = UsedIds("trade")
    again.load({"digests": rows})

    assert len(used) == len(again) == 10_000
    assert sum(map(len, rows)) == 10_000 * 2 * DIGEST_BYTES
    assert len(rows) == 3
    assert all(f"T{number}" in again for number in range(10_000))
    assert "T10000" not in again
    assert list(again.dump()["digests"]) == rows


def test_a_dump_is_what_stood_there_when_it_was_asked_for() -> None:
    used = UsedIds("trade")
    used.add("before")
    dumped = used.dump()
    used.add("after")

    assert [len(row) for row in dumped["digests"]] == [2 * DIGEST_BYTES]


def test_nothing_is_due_without_a_time() -> None:
    deadlines = Deadlines()
    deadlines.add(START, "a")

    assert deadlines.due(None, 10) == ()
    assert deadlines.due(START - timedelta(seconds=1), 10) == ()
    assert deadlines.due(START, 10) == ("a",)


@given(
    steps=st.lists(st.tuples(st.booleans(), minutes, names), max_size=40),
    now=minutes,
    count=st.integers(1, 5),
)
def test_what_is_due_is_what_was_added_and_not_removed_oldest_first(
    steps: list[tuple[bool, int, str]], now: int, count: int
) -> None:
    deadlines, model = Deadlines(), dict[tuple[int, str], None]()
    for is_added, minute, name in steps:
        at = START + timedelta(minutes=minute)
        if is_added:
            deadlines.add(at, name)
            model[minute, name] = None
        else:
            deadlines.remove(at, name)
            model.pop((minute, name), None)
    time = START + timedelta(minutes=now)
    told: list[tuple[int, str]] = []
    while due := deadlines.due(time, count):
        assert len(due) <= count
        assert deadlines.due(time, count) == due, "asking changes nothing"
        first = min(minute for minute, _ in model)
        for name in due:
            deadlines.remove(START + timedelta(minutes=first), name)
            del model[first, name]
            told.append((first, name))

    assert [minute for minute, _ in told] == sorted(minute for minute, _ in told)
    assert not [minute for minute, _ in model if minute <= now]


def test_the_name_of_a_book_leaves_room_for_the_key_of_its_transfers() -> None:
    assert Layout(books=("b" * 59,)).books
    with pytest.raises(ValueError, match="at most 59 characters"):
        Layout(books=("b" * 60,))
