"""Rows of meters and readings. Pure."""

from collections.abc import Iterator
from datetime import timedelta

from libs.events import MeterEnrolled, ReadingRecorded, ReadingRefused, Recorded
from services.projection.tables import METER, READING, READING_REFUSED, REGISTERS, Table, Values
from services.projection.views.text import plain


def reading_recorded(recorded: Recorded[ReadingRecorded]) -> Iterator[tuple[Table, Values]]:
    """One row per report: totals of each register, and the intervals when there are several."""
    fact = recorded.fact
    found = {part.name: part for part in fact.registers}
    parts = [found.get(name) for name in REGISTERS]
    count = len(fact.registers[0].differences_wh)
    each = [part and part.differences_wh for part in parts] if count > 1 else _NOTHING
    yield (
        READING,
        (
            recorded.stream,
            recorded.sequence,
            fact.meter,
            fact.seq,
            fact.epoch,
            fact.first_interval_at,
            fact.first_interval_at + timedelta(seconds=fact.interval_s * count),
            fact.interval_s,
            count,
            *[part and sum(part.differences_wh) for part in parts],
            *each,
            *[part and part.after_wh for part in parts],
        ),
    )


_NOTHING = [None] * len(REGISTERS)


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
