"""A meter's head: what was accepted of it, and what a further report does to that. Pure.

The head after a report is a function of the head before and the report alone. It holds the highest
accepted sequence, the end of the newest accepted interval, the registers there, and the open gaps:
stretches between accepted reports from which none was accepted yet, each with the registers at
both its ends. So a late report either fits into one gap exactly, or is refused.

The order in which a meter's reports come does not matter for the head at the end. Therefore the gap
before the first report has no lower bound: its `from_at` is the enrolment, or its end if that is
earlier, and it is there only while a sequence is missing or the registers differ.

Source: eventing contract, section 6.
"""

from datetime import datetime, timedelta
from operator import attrgetter

from libs.events.metering import (
    GAPS_MAX,
    REGISTERS_OF,
    MeterEnrolled,
    MeterGap,
    MeterHead,
    RegisterValue,
    Report,
)
from libs.events.quantities import format_instant
from services.ingest.reports import Breached

FIRST_EPOCH = 1
"""The register epoch with which every meter begins."""

SECONDS_PER_HOUR = 3600

Registers = tuple[RegisterValue, ...]

_name = attrgetter("name")


def first_head(enrolled: MeterEnrolled) -> MeterHead:
    """The head of a meter of which nothing was accepted yet."""
    return MeterHead(
        epoch=FIRST_EPOCH,
        seq=0,
        until_at=None,
        registers=tuple(sorted(enrolled.starts, key=lambda value: value.name)),
        gaps=(),
    )


def end_of(report: Report) -> datetime:
    """The end of the last interval of a report."""
    return report.first_interval_at + timedelta(seconds=report.interval_s * report.interval_count)


def gap_of(head: MeterHead, seq: int) -> MeterGap | None:
    """The open gap that lacks a sequence, or `None`."""
    return next((gap for gap in head.gaps if gap.first_seq <= seq <= gap.last_seq), None)


def energy_limit_wh(enrolled: MeterEnrolled, interval_s: int) -> int:
    """Most energy in Wh that the nameplate allows in an interval of so many seconds."""
    return -(-enrolled.nameplate_w * interval_s // SECONDS_PER_HOUR)


def check_device(report: Report, enrolled: MeterEnrolled, head: MeterHead) -> None:
    """Check what the meter as such can say: its registers, its epoch, its power.

    Raises:
        Breached: `wrong-registers`, `wrong-epoch` or `impossible-energy`.
    """
    names = {part.name for part in report.registers}
    expected = REGISTERS_OF[enrolled.role]
    if names != expected:
        wanted = ", ".join(sorted(expected))
        raise Breached("wrong-registers", f"registers: a {enrolled.role} meter reports {wanted}")
    if report.epoch != head.epoch:
        raise Breached("wrong-epoch", f"epoch: {report.epoch}, the meter is in epoch {head.epoch}")
    limit = energy_limit_wh(enrolled, report.interval_s)
    for part in report.registers:
        if max(part.differences_wh) > limit:
            raise Breached(
                "impossible-energy",
                f"registers.{part.name}: {max(part.differences_wh)} Wh in one interval, "
                f"{enrolled.nameplate_w} W allow {limit} Wh",
            )


def after_report(head: MeterHead, report: Report, enrolled_at: datetime) -> MeterHead:
    """The head after an accepted report.

    Args:
        head: The head before it; its sequence is not used yet.
        report: Of this meter, with the registers of its role.
        enrolled_at: When the meter was enrolled.

    Raises:
        Breached: `overlap`, `registers-run-back`, `registers-do-not-fit` or `too-many-gaps`.
    """
    if report.seq > head.seq:
        return _beyond(head, report, enrolled_at)
    gap = gap_of(head, report.seq)
    assert gap is not None, "the caller asks only for sequences that are missing"
    return _inside(head, gap, report, enrolled_at)


def _beyond(head: MeterHead, report: Report, enrolled_at: datetime) -> MeterHead:
    """A report above the highest accepted sequence: the next one, or one that opens a gap."""
    begins, starts = report.first_interval_at, _at_start(report, head.registers)
    if head.until_at is not None and begins < head.until_at:
        raise Breached(
            "overlap",
            f"first_interval_at: {format_instant(begins)} is before "
            f"{format_instant(head.until_at)}, the end of what was accepted",
        )
    _not_backwards(head.registers, starts, "at the end of what was accepted")
    gap = _rest(
        head.until_at,
        begins,
        (head.seq + 1, report.seq - 1),
        (head.registers, starts),
        enrolled_at,
    )
    gaps = head.gaps if gap is None else tuple(_bounded([*head.gaps, gap]))
    return MeterHead(
        epoch=head.epoch,
        seq=report.seq,
        until_at=end_of(report),
        registers=_at_end(report),
        gaps=gaps,
    )


def _inside(head: MeterHead, gap: MeterGap, report: Report, enrolled_at: datetime) -> MeterHead:
    """A late report: splits its gap into what is left before and behind it."""
    begins, until = report.first_interval_at, end_of(report)
    starts, ends = _at_start(report, gap.before), _at_end(report)
    leads = gap.first_seq == 1
    if (begins < gap.from_at and not leads) or until > gap.until_at:
        raise Breached(
            "overlap",
            f"first_interval_at: sequence {report.seq} may cover {format_instant(gap.from_at)} "
            f"to {format_instant(gap.until_at)} only",
        )
    _not_backwards(gap.before, starts, "at the start of the gap")
    _not_backwards(ends, gap.after, "at the end of the report")
    left = _rest(
        None if leads else gap.from_at,
        begins,
        (gap.first_seq, report.seq - 1),
        (gap.before, starts),
        enrolled_at,
    )
    right = _rest(
        until,
        gap.until_at,
        (report.seq + 1, gap.last_seq),
        (ends, gap.after),
        enrolled_at,
    )
    gaps = [
        piece
        for known in head.gaps
        for piece in ((left, right) if known is gap else (known,))
        if piece is not None
    ]
    return head.model_copy(update={"gaps": tuple(_bounded(gaps))})


def _rest(
    from_at: datetime | None,
    until_at: datetime,
    missing: tuple[int, int],
    registers: tuple[Registers, Registers],
    enrolled_at: datetime,
) -> MeterGap | None:
    """What is not covered between two places, as a gap; `None` when nothing is missing.

    Args:
        from_at: End of what stands before; `None` when that is nothing, so that no bound is known.
        until_at: Start of what stands behind.
        missing: First and last missing sequence; none when the last is below the first.
        registers: Those before and those behind.
        enrolled_at: When the meter was enrolled.

    Raises:
        Breached: `registers-do-not-fit`: no time is left, but the registers differ.
    """
    before, after = registers
    if from_at == until_at and before != after:
        raise _unfitting(before, after)
    nothing_between = from_at == until_at or (from_at is None and before == after)
    if nothing_between and missing[1] < missing[0]:
        return None
    return MeterGap(
        from_at=min(enrolled_at, until_at) if from_at is None else from_at,
        until_at=until_at,
        first_seq=missing[0],
        last_seq=missing[1],
        before=before,
        after=after,
    )


def _bounded(gaps: list[MeterGap]) -> list[MeterGap]:
    """Keep at most 64 gaps: the oldest that no report can ever fill gives way.

    A gap without a missing sequence, or without time, can be filled by nothing; the facts of its
    time keep it. One that could still be filled is never forgotten.

    Raises:
        Breached: `too-many-gaps`.
    """
    if len(gaps) <= GAPS_MAX:
        return gaps
    for index, gap in enumerate(gaps):
        no_time = gap.from_at == gap.until_at and gap.first_seq > 1
        if gap.last_seq < gap.first_seq or no_time:
            return gaps[:index] + gaps[index + 1 :]
    raise Breached("too-many-gaps", f"seq: {GAPS_MAX} gaps are open already; send what is missing")


def _at_start(report: Report, known: Registers) -> Registers:
    """The registers before the first interval of a report, sorted by name.

    Args:
        report: The report.
        known: Registers of the same names; a value that is equal is taken from here and not made
            again, as with every report that follows the last one without a gap.
    """
    values = []
    for part, other in zip(sorted(report.registers, key=_name), known, strict=True):
        value = part.after_wh - sum(part.differences_wh)
        if value < 0:
            raise Breached(
                "registers-run-back",
                f"registers.{part.name}: the differences are more than after_wh",
            )
        same = other.value_wh == value
        values.append(other if same else RegisterValue(name=part.name, value_wh=value))
    return tuple(values)


def _at_end(report: Report) -> Registers:
    """The registers after the last interval of a report, sorted by name."""
    parts = sorted(report.registers, key=_name)
    return tuple(RegisterValue(name=part.name, value_wh=part.after_wh) for part in parts)


def _not_backwards(earlier: Registers, later: Registers, where: str) -> None:
    for before, after in zip(earlier, later, strict=True):
        if after.value_wh < before.value_wh:
            raise Breached(
                "registers-run-back",
                f"registers.{before.name}: {after.value_wh} Wh is below {before.value_wh} Wh "
                f"{where}",
            )


def _unfitting(before: Registers, after: Registers) -> Breached:
    """The breach for registers that differ although no time lies between."""
    differing = next(
        (one, other)
        for one, other in zip(before, after, strict=True)
        if one.value_wh != other.value_wh
    )
    return Breached(
        "registers-do-not-fit",
        f"registers.{differing[0].name}: the differences lead from {differing[1].value_wh} Wh, "
        f"the neighbouring report ends at {differing[0].value_wh} Wh",
    )
