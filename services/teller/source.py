"""Measurements from a CSV file of power values, cleaned but never guessed.

A row `time, watts` says which power held for one step from its time on. What is wrong with a row is
counted, and the row is left out: an interval without a sound row is a gap, in no report. Nothing is
filled in, moved or averaged.

Local times without an offset are read in the zone that is given. In the hour that daylight saving
repeats, two rows of one local time are the first and the second, in their order in the file; a row
that stands alone there is left out, since nobody can know which it is. In the hour that it skips,
rows are left out.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from libs.events.quantities import format_instant

STEPS_S: Final = (60, 180, 300, 900)
"""The steps that are read, in seconds: 1, 3, 5 and 15 minutes."""

ROWS_MAX: Final = 5_000_000
"""Most rows of a file; nine years at one minute."""

COLUMNS: Final = 2

EARLIEST: Final = datetime(1, 1, 3, tzinfo=UTC)
LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC)
"""Local times that can be read: far enough from the calendar's ends for every offset."""

OTHER_STEPS_MAX: Final = 6
"""Equal distances in a row, other than the step, from which on the step counts as changed."""

_NUMBER: Final = re.compile(r"[+-]?([0-9]{1,12})(?:\.([0-9]{0,12}))?")


class SourceRefused(Exception):
    """The file cannot be read as measurements; the text says why."""


@dataclass(slots=True)
class SourceReport:
    """What was found in a file, and what was left out of it."""

    rows: int = 0
    """Rows below the header, blank lines not counted."""
    used: int = 0
    """Rows that became intervals."""
    malformed: int = 0
    """Rows without two columns or with a time that cannot be read, or that no calendar has in UTC
    (years 1 and 9999); left out."""
    blank: int = 0
    """Rows without a value: gaps."""
    not_numeric: int = 0
    """Rows whose value is no plain decimal number: gaps."""
    duplicates: int = 0
    """Exact repetitions of a row; left out."""
    contradictions: int = 0
    """Rows of one time with different values: all left out, a gap."""
    unordered: int = 0
    """Rows that stood behind a later one; sorted in."""
    off_raster: int = 0
    """Rows whose time is no multiple of the step since 1970; left out."""
    ambiguous: int = 0
    """Local times of the repeated hour that could not be told apart; left out."""
    nonexistent: int = 0
    """Local times of the skipped hour; left out."""
    negative: int = 0
    """Intervals of negative power: drawn, not generated."""
    gaps: int = 0
    """Stretches without a sound row."""
    missing: int = 0
    """Intervals within them."""
    step_s: int = 0
    """The step in seconds."""
    first_at: str = ""
    """Start of the first interval."""
    until_at: str = ""
    """End of the last interval."""
    generated_wh: int = 0
    """Total of the positive power in Wh, floored."""
    drawn_wh: int = 0
    """Total of the negative power in Wh, floored."""

    def as_json(self) -> dict[str, Any]:
        """All members as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Source:
    """Clean measurements: power by interval, exact."""

    step_s: int
    """Length of every interval in seconds."""
    instants: Sequence[int]
    """Start of every interval in seconds since 1970, rising."""
    powers: Sequence[int]
    """Power in each, in units of 1 / `scale` W; negative when drawn."""
    scale: int
    """A power of ten."""
    report: SourceReport
    """What was found and left out."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One row with a readable time."""

    local: datetime
    value: tuple[int, int] | None
    """Digits and number of decimals; `None`: a gap."""


def read_source(path: Path, time_zone: str | None = None) -> Source:
    """Read a file of measurements.

    Args:
        path: A CSV file in UTF-8 with one header line and two columns, whatever they are called.
        time_zone: IANA name of the zone of times without an offset.

    Raises:
        SourceRefused: The file has another form or step, or nothing that can be used.
    """
    try:
        zone = ZoneInfo(time_zone) if time_zone else None
    except (ValueError, KeyError, OSError) as error:
        raise SourceRefused(f"{time_zone!r} is no time zone") from error
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return read_rows(csv.reader(file), zone)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SourceRefused(f"{path}: {error}") from error


def read_rows(lines: Iterable[Sequence[str]], zone: tzinfo | None) -> Source:
    """Read the rows of a file, header first; see `read_source`."""
    report = SourceReport()
    rows = _parse(lines, report)
    placed = _place(rows, zone, report)
    merged = _merge(placed, report)
    step_s = _step(sorted(merged))
    report.step_s = step_s
    sound: dict[int, tuple[int, int]] = {}
    for instant in sorted(merged):
        value = merged[instant]
        if instant % step_s:
            report.off_raster += 1
        elif value is not None:
            sound[instant] = value
    if not sound:
        raise SourceRefused("no row can be used")
    return _finish(sound, step_s, report)


def _parse(lines: Iterable[Sequence[str]], report: SourceReport) -> list[_Row]:
    """Read times and values as they stand."""
    filled = (line for line in lines if any(cell.strip() for cell in line))
    header = next(filled, None)
    if header is None or len(header) != COLUMNS:
        raise SourceRefused("a header of two columns is needed: time and power in W")
    if _NUMBER.fullmatch(header[1].strip()):
        raise SourceRefused("the first line is no header but a row")
    rows = []
    for line in filled:
        report.rows += 1
        if report.rows > ROWS_MAX:
            raise SourceRefused(f"more than {ROWS_MAX} rows")
        if len(line) != COLUMNS or (local := _time(line[0])) is None:
            report.malformed += 1
            continue
        rows.append(_Row(local, _value(line[1].strip(), report)))
    return rows


def _time(text: str) -> datetime | None:
    try:
        local = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return local if EARLIEST <= local.replace(tzinfo=UTC) < LATEST else None


def _value(text: str, report: SourceReport) -> tuple[int, int] | None:
    """Read a plain decimal number exactly, as digits and number of decimals."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        if text:
            report.not_numeric += 1
        else:
            report.blank += 1
        return None
    decimals = (found[2] or "").rstrip("0")
    digits = int(found[1] + decimals)
    return (-digits if text.startswith("-") else digits), len(decimals)


def _place(
    rows: Sequence[_Row], zone: tzinfo | None, report: SourceReport
) -> list[tuple[int, tuple[int, int] | None]]:
    """Give every row its instant; see the module about daylight saving."""
    naive = Counter(row.local for row in rows if row.local.tzinfo is None)
    if naive and zone is None:
        raise SourceRefused("times have no offset and no time zone is given")
    met: Counter[datetime] = Counter()
    placed = []
    latest: int | None = None
    for row in rows:
        local = row.local
        if local.tzinfo is None:
            assert zone is not None
            fold = _fold(local, zone, naive[local], met[local])
            met[local] += 1
            if fold is None:
                report.ambiguous += 1
                continue
            local = local.replace(tzinfo=zone, fold=fold)
            if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None, fold=0) != row.local:
                report.nonexistent += 1
                continue
        if local.microsecond:
            report.off_raster += 1
            continue
        instant = int(local.timestamp())
        if latest is not None and instant < latest:
            report.unordered += 1
        latest = instant if latest is None else max(latest, instant)
        placed.append((instant, row.value))
    return placed


def _fold(local: datetime, zone: tzinfo, count: int, before: int) -> int | None:
    """Tell which of two equal local times a row has: 0, 1, or `None` when nobody can know.

    Args:
        local: The local time.
        zone: Its zone.
        count: Rows of this local time in the file.
        before: How many of them stood before this one.
    """
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return 0
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None, fold=0) != local:
        return 0  # skipped, not repeated
    return before if count == 2 else None  # noqa: PLR2004 - first and second


def _merge(
    placed: Sequence[tuple[int, tuple[int, int] | None]], report: SourceReport
) -> dict[int, tuple[int, int] | None]:
    """One value per instant; repetitions and contradictions are left out."""
    merged: dict[int, tuple[int, int] | None] = {}
    counts: Counter[int] = Counter()
    contradicted: set[int] = set()
    for instant, value in placed:
        counts[instant] += 1
        if instant in merged and merged[instant] != value:
            contradicted.add(instant)
        merged.setdefault(instant, value)
    for instant, count in counts.items():
        if instant in contradicted:
            report.contradictions += count
            merged[instant] = None
        else:
            report.duplicates += count - 1
    return merged


def _step(instants: Sequence[int]) -> int:
    """Find the one step: the distance that occurs most often.

    Raises:
        SourceRefused: It is none that is read, or it changes within the file.
    """
    distances = [later - earlier for earlier, later in pairwise(instants)]
    if not distances:
        raise SourceRefused("two rows at least are needed to know the step")
    counts = Counter(distances)
    step_s = min(counts, key=lambda distance: (-counts[distance], distance))
    if step_s not in STEPS_S:
        raise SourceRefused(f"the step is {step_s} s; it must be 1, 3, 5 or 15 minutes")
    in_a_row = 0
    for index, distance in enumerate(distances):
        in_a_row = in_a_row + 1 if index and distance == distances[index - 1] else 1
        if distance != step_s and in_a_row >= OTHER_STEPS_MAX:
            where = format_instant(datetime.fromtimestamp(instants[index + 1 - in_a_row], UTC))
            raise SourceRefused(f"the step changes from {step_s} s to {distance} s at {where}")
    return step_s


def _finish(sound: dict[int, tuple[int, int]], step_s: int, report: SourceReport) -> Source:
    """Bring all values to one scale, and sum them up for the report."""
    decimals = max(value[1] for value in sound.values())
    instants = list(sound)
    powers = [digits * 10 ** (decimals - own) for digits, own in sound.values()]
    jumps = [later - earlier for earlier, later in pairwise(instants) if later - earlier > step_s]
    report.used = len(instants)
    report.negative = sum(power < 0 for power in powers)
    report.gaps = len(jumps)
    report.missing = sum(jump // step_s - 1 for jump in jumps)
    report.first_at = format_instant(datetime.fromtimestamp(instants[0], UTC))
    report.until_at = format_instant(datetime.fromtimestamp(instants[-1] + step_s, UTC))
    per_wh = 3600 * 10**decimals
    report.generated_wh = sum(power for power in powers if power > 0) * step_s // per_wh
    report.drawn_wh = -sum(power for power in powers if power < 0) * step_s // per_wh
    return Source(step_s, instants, powers, 10**decimals, report)
