"""The Teller's rules: registers from power, and which intervals a report holds. Pure.

A register is the floor of an exact sum, so that nothing is lost between intervals: an interval's
energy is the difference of two registers, never a rounded product.

Which intervals stand in which report depends on the measurements alone, never on when somebody
asked: a report covers at most N steps of the raster `[k * N, (k + 1) * N)` since 1970 and is cut
at gaps. So the same source gives the same reports, whatever restarts happen in between.

Source: domain rules, section 3; eventing contract, sections 5 and 6.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import accumulate

from libs.events.jws import SigningKey
from libs.events.metering import RegisterDifferences, RegisterName, Report
from services.teller.source import Source

EPOCH = 1
"""Register epoch of every report: nothing was swapped yet."""

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True, slots=True)
class Counted:
    """A meter: its intervals, and each register after each of them."""

    meter: str
    """The meter's id."""
    step_s: int
    """Length of every interval in seconds."""
    instants: Sequence[int]
    """Start of every interval in seconds since 1970, rising, with gaps."""
    registers: tuple[tuple[RegisterName, Sequence[int]], ...]
    """Each register's name and its count in Wh after each interval, sorted by name."""

    def before(self, index: int) -> tuple[int, ...]:
        """The registers before an interval, in their order."""
        return tuple(after[index - 1] if index else 0 for _, after in self.registers)


@dataclass(frozen=True, slots=True)
class Piece:
    """The intervals of one report."""

    seq: int
    """Number of the report."""
    begin: int
    """Index of its first interval."""
    end: int
    """Index behind its last interval."""


@dataclass(frozen=True, slots=True)
class Built:
    """A signed report."""

    meter: str
    """The meter."""
    seq: int
    """Number of the report."""
    until: int
    """End of its last interval, in seconds since 1970."""
    after: tuple[int, ...]
    """The registers after it in Wh, in the meter's order."""
    jws: str
    """What is sent."""


class SourceChanged(Exception):
    """The measurements no longer agree with what was reported of them."""


def generation(meter: str, source: Source) -> Counted:
    """A plant's meter: positive power is generated, negative power is drawn (`consumed`)."""
    per_wh = SECONDS_PER_HOUR * source.scale

    def register(powers: Iterator[int]) -> list[int]:
        return [total * source.step_s // per_wh for total in accumulate(powers)]

    generated = register(max(power, 0) for power in source.powers)
    drawn = register(max(-power, 0) for power in source.powers)
    return Counted(
        meter, source.step_s, source.instants, (("consumed", drawn), ("generated", generated))
    )


def constant_load(meter: str, source: Source, load_w: int) -> Counted:
    """A household's meter under a constant load, over the time of the source, without gaps.

    Args:
        meter: The meter's id.
        source: Gives step, first and last instant.
        load_w: The load in W.
    """
    step_s, first = source.step_s, source.instants[0]
    instants = range(first, source.instants[-1] + step_s, step_s)
    consumed = [load_w * (instant + step_s - first) // SECONDS_PER_HOUR for instant in instants]
    return Counted(meter, step_s, instants, (("consumed", consumed),))


def pieces(counted: Counted, size: int, *, seq: int = 1, begin: int = 0) -> Iterator[Piece]:
    """Cut a meter's intervals into reports.

    Args:
        counted: The meter.
        size: Most intervals in one report.
        seq: Number of the first report to come.
        begin: Index of its first interval.
    """
    step_s, instants = counted.step_s, counted.instants
    for index in range(begin + 1, len(instants) + 1):
        if index < len(instants):
            follows = instants[index] == instants[index - 1] + step_s
            blocks = (instants[index - 1] // step_s // size, instants[index] // step_s // size)
            if follows and blocks[0] == blocks[1]:
                continue
        yield Piece(seq, begin, index)
        seq, begin = seq + 1, index


def resume(counted: Counted, until: int, after: tuple[int, ...]) -> int:
    """Find where to go on behind the last report that was built.

    Args:
        counted: The meter.
        until: End of the last report, in seconds since 1970.
        after: The registers after it.

    Returns:
        Index of the next interval.

    Raises:
        SourceChanged: The registers there are others now.
    """
    index = bisect_left(counted.instants, until)
    if counted.before(index) != after:
        at = datetime.fromtimestamp(until, UTC).isoformat()
        raise SourceChanged(
            f"{counted.meter}: the registers at {at} were reported as {after} Wh, "
            f"the source (or the load) now gives {counted.before(index)} Wh"
        )
    return index


def build(counted: Counted, piece: Piece, *, deployment: str, key: SigningKey) -> Built:
    """Make and sign the report of a piece. The same input gives the same bytes."""
    before = counted.before(piece.begin)
    parts = []
    for (name, after), start in zip(counted.registers, before, strict=True):
        values = after[piece.begin : piece.end]
        earlier = (start, *values[:-1])
        differences = tuple(now - then for now, then in zip(values, earlier, strict=True))
        parts.append(
            RegisterDifferences(name=name, differences_wh=differences, after_wh=values[-1])
        )
    report = Report(
        meter=counted.meter,
        seq=piece.seq,
        epoch=EPOCH,
        first_interval_at=datetime.fromtimestamp(counted.instants[piece.begin], UTC),
        interval_s=counted.step_s,
        registers=tuple(parts),
        deployment=deployment,
    )
    jws = key.sign("hg-report+jws", report.model_dump_json().encode("utf-8"))
    until = counted.instants[piece.end - 1] + counted.step_s
    return Built(counted.meter, piece.seq, until, counted.before(piece.end), jws)
