"""Rows of meters and readings. Pure."""

from collections.abc import Iterator
from datetime import timedelta

from libs.events import (
    MeterEnrolled,
    ReadingCorrected,
    ReadingRecorded,
    ReadingRefused,
    Recorded,
)
from services.projection.table import Table, Values
from services.projection.tables import METER, READING, READING_CORRECTED, READING_REFUSED, REGISTERS
from services.projection.views.text import plain


def reading_recorded(recorded: Recorded[ReadingRecorded]) -> tuple[tuple[Table, Values]]:
    """One row per report: totals of each register, and the intervals when there are several.

    This is the hot path, so it fills one list by index and makes nothing else.
    """
    fact = recorded.fact
    at, interval_s = fact.first_interval_at, fact.interval_s
    count = len(fact.registers[0].differences_wh)
    until_at = at + timedelta(seconds=interval_s * count)
    what = [fact.meter, fact.seq, fact.epoch, at, until_at, interval_s, count]
    values: list[object] = [recorded.stream, recorded.sequence, *what, *_NOTHING]
    for part in fact.registers:
        place = _PLACES[part.name]
        values[place] = sum(part.differences_wh)
        values[place + 8] = part.after_wh
        if count > 1:
            values[place + 4] = part.differences_wh
    return ((READING, tuple(values)),)


_NOTHING = (None,) * (3 * len(REGISTERS))
_PLACES = {name: READING.columns.index(f"{name}_wh") for name in REGISTERS}


def reading_refused(recorded: Recorded[ReadingRefused]) -> Iterator[tuple[Table, Values]]:
    """One row per refused report."""
    fact = recorded.fact
    yield (
        READING_REFUSED,
        (
            recorded.stream,
            recorded.sequence,
            fact.meter,
            fact.seq,
            fact.reason,
            plain(fact.detail),
            fact.sha256,
            recorded.envelope.time,
        ),
    )


def meter_enrolled(recorded: Recorded[MeterEnrolled]) -> Iterator[tuple[Table, Values]]:
    """One row per meter; a later enrolment replaces an earlier one."""
    fact = recorded.fact
    yield (
        METER,
        (
            fact.meter,
            recorded.stream,
            recorded.sequence,
            fact.address,
            fact.role,
            fact.system,
            fact.holding,
            fact.site,
            fact.nameplate_w,
            recorded.envelope.time,
        ),
    )


def reading_corrected(recorded: Recorded[ReadingCorrected]) -> Iterator[tuple[Table, Values]]:
    """One row per correction, with the change of each register's total."""
    fact = recorded.fact
    changes = {part.name: sum(part.deltas_wh) for part in fact.registers}
    yield (
        READING_CORRECTED,
        (
            recorded.stream,
            recorded.sequence,
            fact.meter,
            fact.correction,
            fact.first_interval_at,
            fact.interval_s,
            len(fact.registers[0].deltas_wh),
            *(changes.get(name) for name in REGISTERS),
            fact.reason,
            recorded.envelope.time,
        ),
    )
