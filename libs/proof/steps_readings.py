"""Steps 8 and 9: every report is signed and repeated rightly, and none is missing. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import cast

from pydantic import ValidationError

from libs.events.commands import CorrectReading
from libs.events.envelope import Recorded
from libs.events.errors import InvalidSignature
from libs.events.fact import Fact
from libs.events.jws import parse, payload_of, verify_signature
from libs.events.metering import (
    MeterEnrolled,
    MeterGap,
    MeterHead,
    ReadingCorrected,
    ReadingRecorded,
    ReadingRefused,
    RegisterValue,
    Report,
)
from libs.proof.bill import Bill, readings_stream
from libs.proof.case import Case, Step, require, same
from libs.proof.errors import ProofFailed
from libs.proof.people import APPROVER, People

Reading = Recorded[ReadingRecorded]
Correction = Recorded[ReadingCorrected]


@dataclass(slots=True)
class Readings:
    """The readings of one meter that count for the bill."""

    meter: Recorded[MeterEnrolled]
    """Its enrolment."""
    stream: str
    """Their stream."""
    touching: list[Reading | Correction]
    """What touches the period and came before the cut-off, by sequence."""
    counted: list[Reading]
    """The readings among them that count."""
    corrections: list[Correction]
    """The corrections among them that count."""


def until_of(fact: ReadingRecorded) -> datetime:
    """The end of a reading's last interval."""
    count = len(fact.registers[0].differences_wh)
    return fact.first_interval_at + timedelta(seconds=count * fact.interval_s)


def starts_of(fact: ReadingRecorded) -> tuple[RegisterValue, ...]:
    """The registers before a reading's first interval, by name."""
    return tuple(
        RegisterValue(name=part.name, value_wh=part.after_wh - sum(part.differences_wh))
        for part in sorted(fact.registers, key=lambda part: part.name)
    )


def ends_of(fact: ReadingRecorded) -> tuple[RegisterValue, ...]:
    """The registers after a reading's last interval, by name."""
    return tuple(
        RegisterValue(name=part.name, value_wh=part.after_wh)
        for part in sorted(fact.registers, key=lambda part: part.name)
    )


def check_reports(case: Case, bill: Bill, people: People) -> Step:
    """Step 8: each reading repeats a report that the meter's enrolled key signed.

    And each correction repeats a command that an approver signed.
    """
    meters = {each.fact.meter: each for each in bill.meters}
    found = case.all(ReadingRecorded, lambda fact: fact.meter in meters)
    for reading in found:
        meter = meters[reading.fact.meter]
        what = f"reading {reading.fact.meter} {reading.fact.seq}"
        require(8, reading.stream == readings_stream(meter), f"{what} stands in another stream")
        require(8, reading.envelope.key == reading.fact.meter, f"{what} stands under another key")
        require(8, case.knew(reading, meter), f"{what}: its meter was not enrolled yet")
        report = _report(reading.fact, meter.fact, what)
        wanted = ((n, getattr(reading.fact, n), getattr(report, n)) for n in _REPORTED)
        around = (
            ("deployment", report.deployment, case.file.deployment),
            ("id", reading.envelope.id, f"{reading.fact.meter}.{reading.fact.seq}"),
            ("time", reading.envelope.time, until_of(reading.fact)),
        )
        same(8, what, (*wanted, *around))
        names = {part.name for part in reading.fact.registers}
        require(8, names == {v.name for v in meter.fact.starts}, f"{what}: wrong registers")
    checked = "each report is signed by its meter's key, and the fact says what the report says"
    counts = {"reports": len(found)}
    corrections = case.all(ReadingCorrected, lambda fact: fact.meter in meters)
    if corrections:
        counts["corrections"] = len(corrections)
        checked += "; each correction is signed by an approver"
    for each in corrections:
        _check_correction(people, each, meters[each.fact.meter])
    return Step(8, "reports", checked, counts)


def _check_correction(
    people: People, correction: Correction, meter: Recorded[MeterEnrolled]
) -> None:
    """A correction is an approver's, and of registers that the meter has."""
    fact = correction.fact
    command = people.signed(correction, fact.command, CorrectReading, APPROVER, 8)
    what = f"correction {fact.correction}"
    same(8, what, (("its name", fact.correction, f"{command.member}.{command.id}"),))
    names = {part.name for part in fact.registers}
    has = names <= {value.name for value in meter.fact.starts}
    require(8, has, f"{what}: wrong registers")
    once = len(names) == len(fact.registers)
    require(8, once and len({len(p.deltas_wh) for p in fact.registers}) == 1, f"{what}: misshapen")


_REPORTED = ("meter", "seq", "epoch", "first_interval_at", "interval_s", "registers")


def _report(fact: ReadingRecorded, meter: MeterEnrolled, what: str) -> Report:
    try:
        signed = parse(fact.report, "hg-report+jws")
        verify_signature(signed)
        payload_of(signed)
        report = Report.model_validate_json(signed.payload)
    except InvalidSignature as error:
        raise ProofFailed(8, f"{what}: {error}") from error
    except ValidationError as error:
        raise ProofFailed(8, f"{what}: what was signed is no report") from error
    require(8, signed.kid == meter.address, f"{what}: not signed by the meter's enrolled key")
    return report


def check_sequences(case: Case, bill: Bill) -> tuple[Step, list[Readings]]:
    """Step 9: nothing is left out and nothing stands twice, up to the gaps that are declared."""
    rows, gaps = [], 0
    for meter in bill.meters:
        stream = readings_stream(meter)
        cutoff = _cutoff(case, bill, stream)
        row, declared = _row(case, bill, meter, cutoff)
        rows.append(row)
        gaps += declared
    readings = sum(len(row.counted) for row in rows)
    checked = "reports follow each other without a gap but those declared, registers join"
    return Step(9, "sequences", checked, {"readings": readings, "declared gaps": gaps}), rows


def _cutoff(case: Case, bill: Bill, stream: str) -> int:
    """Where a stream of readings first reached the time as of which the bill was decided."""
    last = bill.times.reached(stream, bill.as_of.at)
    require(9, case.knew(bill.invoice, last), f"the bill was issued before {stream} was final")
    return last.sequence


def _row(
    case: Case, bill: Bill, meter: Recorded[MeterEnrolled], cutoff: int
) -> tuple[Readings, int]:
    """The facts of one meter, one after the other."""
    name, stream = meter.fact.meter, readings_stream(meter)
    row = _facts_of(case, name, stream)
    before = [each for each in row if each.sequence < cutoff]
    _check_numbers(case, name, row, before)
    touching = [
        cast("Reading | Correction", each)
        for each in before
        if isinstance(each.fact, ReadingRecorded | ReadingCorrected)
        and touches(each.fact, bill.grid, bill.agreement.fact.rating_interval_s)
    ]
    chain = _readings(touching)
    if not chain:
        require(9, not row, f"{name}: facts without a reading in the period")
        case.not_covered.append(f"That meter {name} had no reading in the period.")
        return Readings(meter, stream, [], [], []), 0
    require(9, row[0] is chain[0], f"{name}: the file begins with a fact before the period")
    readings = _readings(before)
    _check_heads(readings)
    declared = _check_chain(bill, meter.fact, chain, readings[-1].fact.head)
    counting = [each for each in touching if bill.as_of.counts(each, each.fact.first_interval_at)]
    corrections = [each for each in counting if isinstance(each.fact, ReadingCorrected)]
    counted = _readings(counting)
    return Readings(meter, stream, touching, counted, corrections), declared


def _readings(row: Sequence[Recorded[Fact]]) -> list[Reading]:
    """Those of the facts that are readings."""
    return [cast("Reading", each) for each in row if isinstance(each.fact, ReadingRecorded)]


def touches(fact: ReadingRecorded | ReadingCorrected, grid: range, interval_s: int) -> bool:
    """Tell whether a stretch of readings lies, with a part of it, in the intervals of a period.

    Args:
        fact: A reading or a correction.
        grid: The starts of the rating intervals, seconds since 1970.
        interval_s: Length of each in seconds.
    """
    first = int(fact.first_interval_at.timestamp())
    if isinstance(fact, ReadingRecorded):
        count = len(fact.registers[0].differences_wh)
    else:
        count = len(fact.registers[0].deltas_wh)
    if not grid:
        return False
    return first < grid[-1] + interval_s and first + count * fact.interval_s > grid[0]


def _facts_of(case: Case, meter: str, stream: str) -> list[Recorded[Fact]]:
    """Readings, corrections and refusals of one meter, by sequence."""
    refused = case.all(ReadingRefused, lambda fact: fact.meter == meter)
    for each in refused:
        digest = sha256(each.fact.report.encode("ascii")).hexdigest()
        require(9, each.fact.sha256 == digest, f"{meter}: a refused report has another hash")
    found: list[Recorded[Fact]] = [*case.all(ReadingRecorded, lambda fact: fact.meter == meter)]
    corrections = case.all(ReadingCorrected, lambda fact: fact.meter == meter)
    found += corrections
    found += refused
    require(
        9,
        all(each.stream == stream and each.envelope.key == meter for each in found),
        f"{meter}: a fact stands elsewhere",
    )
    return sorted(found, key=lambda each: each.sequence)


def _check_numbers(
    case: Case, meter: str, row: Sequence[Recorded[Fact]], before: Sequence[Recorded[Fact]]
) -> None:
    """`n` has no gap from the first fact to the first one behind the cut-off."""
    numbers = [each.envelope.n for each in row]
    expected = list(range(numbers[0], numbers[0] + len(numbers))) if numbers else []
    require(9, numbers == expected, f"{meter}: its facts are not numbered without a gap")
    require(9, len(row) - len(before) <= 1, f"{meter}: more than one fact behind the cut-off")
    if row and len(row) == len(before):
        case.not_covered.append(
            f"That no further fact of meter {meter} stands between the last one shown and the "
            "cut-off: the next one was not anchored yet."
        )


def _check_heads(readings: Sequence[Reading]) -> None:
    """Each head is that of its reading, or of a later sequence when the reading came late."""
    for each in readings:
        fact = each.fact
        what = f"reading {fact.meter} {fact.seq}"
        require(9, fact.head.epoch == fact.epoch, f"{what}: a head of another epoch")
        require(9, fact.head.seq >= fact.seq, f"{what}: a head before it")
        if fact.head.seq == fact.seq:
            fits = (fact.head.until_at, fact.head.registers) == (until_of(fact), ends_of(fact))
            require(9, fits, f"{what}: its head is not its end")


def _check_chain(
    bill: Bill, meter: MeterEnrolled, counted: Sequence[Reading], head: MeterHead
) -> int:
    """Join the readings by their sequence; whatever is missing must be declared in the head."""
    chain = sorted((each.fact for each in counted), key=lambda fact: fact.seq)
    require(
        9,
        len({fact.epoch for fact in chain}) == 1,
        f"{meter.meter}: two register epochs; version 1 of this format has one",
    )
    gaps = {gap.first_seq: gap for gap in head.gaps}
    declared = 0
    for fact, following in pairwise(chain):
        declared += not _joins(fact, following, gaps)
    first, last = chain[0], chain[-1]
    if first.first_interval_at > bill.invoice.fact.period_from or first.seq == 1:
        declared += _check_begin(meter, first, gaps)
    if until_of(last) < bill.invoice.fact.period_until:
        declared += _check_end(last, head, gaps)
    return declared


def _joins(fact: ReadingRecorded, following: ReadingRecorded, gaps: dict[int, MeterGap]) -> bool:
    """Tell whether two readings join directly; a gap between them must be declared exactly."""
    what = f"meter {fact.meter}, reports {fact.seq} and {following.seq}"
    ends, starts = ends_of(fact), starts_of(following)
    until, begins = until_of(fact), following.first_interval_at
    require(9, fact.seq < following.seq, f"{what}: a sequence stands twice")
    require(9, until <= begins, f"{what} overlap")
    if fact.seq + 1 == following.seq and until == begins:
        require(9, ends == starts, f"{what}: the registers do not join")
        return True
    gap = gaps.get(fact.seq + 1)
    require(9, gap is not None, f"{what}: something is missing between them and not declared")
    assert gap is not None
    same(
        9,
        f"{what}: the declared gap",
        (
            ("from_at", gap.from_at, until),
            ("until_at", gap.until_at, begins),
            ("last_seq", gap.last_seq, following.seq - 1),
            ("before", gap.before, ends),
            ("after", gap.after, starts),
        ),
    )
    return False


def _check_begin(meter: MeterEnrolled, first: ReadingRecorded, gaps: dict[int, MeterGap]) -> int:
    """A first reading that nothing precedes: a declared gap, or the meter's very first report.

    Returns:
        1 for a declared gap, else 0.
    """
    what = f"meter {meter.meter}: the beginning of the period"
    gap = next((g for g in gaps.values() if g.last_seq == first.seq - 1), None)
    if gap is not None and gap.until_at == first.first_interval_at:
        require(9, gap.after == starts_of(first), f"{what}: the registers do not join")
        return 1
    begun = tuple(sorted(meter.starts, key=lambda value: value.name))
    is_first = first.seq == 1 and starts_of(first) == begun
    require(9, is_first, f"{what} is missing and not declared")
    return 0


def _check_end(last: ReadingRecorded, head: MeterHead, gaps: dict[int, MeterGap]) -> int:
    """The period ends after the last reading: declared, or nothing newer was accepted.

    Returns:
        1 for a declared gap, else 0.
    """
    gap = gaps.get(last.seq + 1)
    is_open = gap is not None and (gap.from_at, gap.before) == (until_of(last), ends_of(last))
    is_newest = head.seq == last.seq and head.until_at == until_of(last)
    require(
        9,
        is_open or is_newest,
        f"meter {last.meter}: the end of the period is missing and not declared",
    )
    return int(is_open)
