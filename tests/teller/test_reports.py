"""Reports and the outbox: the same measurements give the same bytes, whatever happens between."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.jws import SigningKey, parse, verify
from libs.events.metering import Report
from services.teller.domain import (
    Built,
    Counted,
    SourceChanged,
    build,
    constant_load,
    generation,
    pieces,
    resume,
)
from services.teller.outbox import Outbox, OutboxRefused, Receipt, Settled, Waiting
from services.teller.source import Source, read_source
from tests.teller.test_source import SERF, quarter, read

KEY = SigningKey(b"k" * 32)
WHO = {"site": "rooftop"}


def counted(instants: Sequence[int], step_s: int = 900) -> Counted:
    return Counted(
        "m", step_s, instants, (("consumed", [5 * n + 5 for n in range(len(instants))]),)
    )


def cut(meter: Counted, size: int) -> list[list[int]]:
    return [list(meter.instants[one.begin : one.end]) for one in pieces(meter, size)]


def built(meter: Counted, size: int = 24) -> list[Built]:
    return [build(meter, one, deployment="d", key=KEY) for one in pieces(meter, size)]


def test_a_report_covers_one_block_of_the_raster_and_is_cut_at_gaps() -> None:
    steps = [1, 2, 3, 4, 6, 7, 8, 12]
    found = cut(counted([900 * step for step in steps]), 4)
    assert [[instant // 900 for instant in one] for one in found] == [
        [1, 2, 3],
        [4],
        [6, 7],
        [8],
        [12],
    ]


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(1, 10))
def test_every_interval_is_in_exactly_one_report(steps: set[int], size: int) -> None:
    meter = counted([900 * step for step in sorted(steps)])
    found = list(pieces(meter, size))
    assert [one.seq for one in found] == list(range(1, len(found) + 1))
    assert [index for one in found for index in range(one.begin, one.end)] == list(
        range(len(meter.instants))
    )
    for one in cut(meter, size):
        assert one == list(range(one[0], one[-1] + 900, 900))
        assert len({instant // 900 // size for instant in one}) == 1


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(1, 10), st.data())
def test_going_on_behind_any_report_gives_the_same_reports(
    steps: set[int], size: int, data: st.DataObject
) -> None:
    meter = counted([900 * step for step in sorted(steps)])
    all_of_them = built(meter, size)
    done = data.draw(st.integers(1, len(all_of_them)))
    last = all_of_them[done - 1]
    begin = resume(meter, last.until, last.after)
    rest = [
        build(meter, one, deployment="d", key=KEY)
        for one in pieces(meter, size, seq=last.seq + 1, begin=begin)
    ]
    assert all_of_them[:done] + rest == all_of_them


def test_a_report_is_what_ingest_reads() -> None:
    meter = generation(
        "pv-1", read(*(quarter(15 * n, "-40.5" if n < 2 else "400") for n in range(4)))
    )
    (one,) = built(meter)
    signed = parse(one.jws, "hg-report+jws")
    assert signed.kid == KEY.address
    report = Report.model_validate_json(json.dumps(verify(signed)))
    assert (report.meter, report.seq, report.epoch, report.deployment) == ("pv-1", 1, 1, "d")
    assert {part.name: (part.differences_wh, part.after_wh) for part in report.registers} == {
        "consumed": ((10, 10, 0, 0), 20),
        "generated": ((0, 0, 100, 100), 200),
    }


def test_fine_steps_stand_in_the_report_as_they_are() -> None:
    source = read(*(quarter(5 * number) for number in range(30)))
    reports = [json.loads(verify_bytes(one)) for one in built(generation("m", source))]
    assert {report["interval_s"] for report in reports} == {300}
    assert [len(report["registers"][0]["differences_wh"]) for report in reports] == [24, 6]


def verify_bytes(one: Built) -> bytes:
    return parse(one.jws, "hg-report+jws").payload


def test_the_season_is_signed_the_same_twice() -> None:
    source = read_source(SERF)
    first, second = (built(generation("pv-1", source)) for _ in range(2))
    assert first == second
    assert len(first) == 417
    assert first[-1].after == (3_551, 2_941_907)
    assert len(built(constant_load("home-1", source, 500))) == 417


def test_another_source_or_load_is_noticed_at_the_start() -> None:
    source = read(quarter(0), quarter(15), quarter(30))
    meter = constant_load("m", source, 100)
    one = build(meter, next(pieces(meter, 2)), deployment="d", key=KEY)
    assert resume(meter, one.until, one.after) == 2
    with pytest.raises(SourceChanged, match="registers"):
        resume(constant_load("m", source, 104), one.until, one.after)
    longer = read(quarter(0), quarter(15), quarter(30), quarter(45))
    assert resume(constant_load("m", longer, 100), one.until, one.after) == 2


# The outbox.


def receipt(one: Built, *, recorded: bool = True, sha256: str | None = None) -> Receipt:
    digest = hashlib.sha256(one.jws.encode()).hexdigest()
    reason = None if recorded else "overlap"
    return Receipt(one.meter, one.seq, sha256 or digest, recorded, reason, "READINGS_0:1:x")


def some(count: int = 3) -> list[Built]:
    source: Source = read(*(quarter(15 * number) for number in range(count)))
    return built(constant_load("m", source, 100), 1)


def test_what_was_stored_survives_closing(tmp_path: Path) -> None:
    box = Outbox.open(tmp_path, WHO)
    box.store(some())
    box.close()
    again = Outbox.open(tmp_path, WHO)
    assert again.waiting(10) == [Waiting(one.meter, one.seq, one.jws) for one in some()]
    last = some()[-1]
    assert again.last("m") == (last.seq, last.until, last.after)
    assert again.last("other") is None


def test_a_receipt_settles_only_what_its_hash_matches(tmp_path: Path) -> None:
    box = Outbox.open(tmp_path, WHO)
    first, second, third = some()
    box.store([first, second, third])
    wrong = receipt(first, sha256="0" * 64)
    unknown = replace(receipt(first), seq=99)
    assert box.settle([wrong, unknown]) == [Settled.UNKNOWN, Settled.UNKNOWN]
    assert box.settle([receipt(first), receipt(second, recorded=False)]) == [
        Settled.ACCEPTED,
        Settled.REFUSED,
    ]
    assert box.settle([receipt(first), receipt(second)]) == [Settled.AGAIN, Settled.AGAIN]
    assert [one.seq for one in box.waiting(10)] == [3]
    assert box.counts() == {"waiting": 1, "accepted": 1, "refused": 1}
    (parked,) = box.refused(10)
    assert (parked["seq"], parked["reason"]) == (2, "overlap")


def test_accepted_bytes_are_deleted_and_refused_ones_kept(tmp_path: Path) -> None:
    box = Outbox.open(tmp_path, WHO)
    first, second = some(2)
    box.store([first, second])
    box.settle([receipt(first), receipt(second, recorded=False)])
    box.close()
    rows = sqlite3.connect(tmp_path / "outbox.sqlite3").execute("SELECT seq, jws FROM reports")
    assert dict(rows.fetchall()) == {1: None, 2: second.jws}


def test_the_digest_covers_accepted_reports_in_order(tmp_path: Path) -> None:
    box = Outbox.open(tmp_path, WHO)
    first, second, third = some()
    box.store([first, second, third])
    assert box.digest("m") == hashlib.sha256().hexdigest()
    box.settle([receipt(third), receipt(second, recorded=False), receipt(first)])
    hashes = (hashlib.sha256(one.jws.encode()).digest() for one in (first, third))
    assert box.digest("m") == hashlib.sha256(b"".join(hashes)).hexdigest()


def test_nothing_is_stored_twice_or_by_half(tmp_path: Path) -> None:
    box = Outbox.open(tmp_path, WHO)
    first, second, third = some()
    box.store([first])
    with pytest.raises(sqlite3.IntegrityError):
        box.store([third, second, first])
    assert [one.seq for one in box.waiting(10)] == [1]


def test_the_outbox_of_another_is_refused(tmp_path: Path) -> None:
    Outbox.open(tmp_path, WHO).close()
    with pytest.raises(OutboxRefused, match="belongs to"):
        Outbox.open(tmp_path, {"site": "attic"})
    (tmp_path / "other").mkdir()
    (tmp_path / "other/outbox.sqlite3").write_bytes(b"no database" * 100)
    with pytest.raises(OutboxRefused):
        Outbox.open(tmp_path / "other", WHO)


def test_an_outbox_in_use_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.teller.outbox.LOCK_S", 0.05)
    box = Outbox.open(tmp_path, WHO)
    with pytest.raises(OutboxRefused, match="locked"):
        Outbox.open(tmp_path, WHO)
    box.close()
    Outbox.open(tmp_path, WHO).close()


def test_waiting_reports_are_counted_by_their_end(tmp_path: Path) -> None:
    box = Outbox.open(tmp_path, WHO)
    first, second, third = some()
    box.store([first, second, third])
    assert box.waiting_until(second.until) == 2
    box.settle([receipt(first), receipt(second, recorded=False)])
    assert box.waiting_until(second.until) == 0
    assert box.waiting_until(third.until) == 1
