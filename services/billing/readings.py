"""Readings and corrections as billing keeps them: numbers in arrays, and where each stood. Pure.

Two bytes an interval in most cases, and some thirty for each report. Nothing holds a fact. What
counted as of any time can be told again, exactly, until it is forgotten.

Source: domain rules, section 3; docs/decisions/0005, bills.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from libs.events.metering import ReadingCorrected, ReadingRecorded, RegisterName
from libs.events.positions import HASH_DIGITS, Position
from libs.rules.fast_rating import Grid, Mask, Numbers
from services.billing.reached import AsOf

_HASH_BYTES: Final = HASH_DIGITS // 2

_WIDTHS: Final = ("H", "I", "q")
"""The array types for energies, the narrowest first."""

_RATED: Final[tuple[RegisterName, ...]] = ("generated", "consumed")
"""The registers that are rated; of a plant the first, not its own night draw."""


def rated_register(fact: ReadingRecorded | ReadingCorrected) -> RegisterName | None:
    """The register of a meter that is rated; None for a grid meter, which is not."""
    names = {part.name for part in fact.registers}
    return next((name for name in _RATED if name in names), None)


@dataclass(frozen=True, slots=True)
class Late:
    """A fact that changed what had been counted."""

    stream: str
    """Where it stands."""
    sequence: int
    """Its place there."""
    position: str
    """The same with its hash, as facts name it."""


class _Spans:
    """Stretches of consecutive intervals, a row each, in the order of the stream."""

    __slots__ = ("counts", "hashes", "numbers", "sequences", "starts", "steps", "values")

    def __init__(self, width: str) -> None:
        self.sequences, self.starts = array("q"), array("q")
        self.steps, self.counts = array("H"), array("H")
        self.numbers = array("q")  # the meter's own number of the report
        self.values = array(width)
        self.hashes = bytearray()

    def add(self, at: Position, start: int, step: int, values: Sequence[int], number: int) -> None:
        self.sequences.append(at.sequence)
        self.starts.append(start)
        self.steps.append(step)
        self.counts.append(len(values))
        self.numbers.append(number)
        self.hashes += bytes.fromhex(at.hash)
        self._widen(values)
        self.values.extend(values)

    def _widen(self, values: Sequence[int]) -> None:
        """Take a wider type where a number does not fit; most are small for ever."""
        width, most = self.values.typecode, max(values)
        while width != _WIDTHS[-1] and most >> (8 * array(width).itemsize):
            width = _WIDTHS[_WIDTHS.index(width) + 1]
        if width != self.values.typecode:
            self.values = array(width, self.values)

    def columns(self) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Sequence, start, step and count of every stretch, as new arrays."""
        rows = (self.sequences, self.starts, self.steps, self.counts)
        first, second, third, fourth = (np.array(row, np.int64) for row in rows)
        return first, second, third, fourth

    def chosen(self, mask: Mask) -> tuple[Numbers, Numbers, Numbers]:
        """Start, length and energy of every interval of some stretches."""
        _, starts, steps, counts = self.columns()
        offsets = np.concatenate(([0], np.cumsum(counts)))
        rows = np.flatnonzero(mask)
        low, high = int(offsets[rows[0]]), int(offsets[rows[-1] + 1])
        between = slice(int(rows[0]), int(rows[-1]) + 1)
        counts_between = counts[between]
        values = np.array(self.values[low:high], np.int64)
        order = np.arange(high - low) - np.repeat(offsets[between] - low, counts_between)
        lengths = np.repeat(steps[between], counts_between)
        begins = np.repeat(starts[between], counts_between) + order * lengths
        if not mask[between].all():
            kept = np.repeat(mask[between], counts_between)
            return begins[kept], lengths[kept], values[kept]
        return begins, lengths, values

    def forget(self, floor: int) -> None:
        """Drop the stretches that ended by an instant."""
        _, starts, steps, counts = self.columns()
        stays = starts + steps * counts > floor
        if stays.all():
            return
        kept_values = np.repeat(stays, counts)
        for name in ("sequences", "starts", "steps", "counts", "numbers"):
            row = getattr(self, name)
            setattr(self, name, array(row.typecode, np.array(row)[stays].tolist()))
        values = np.array(self.values, np.int64)[kept_values]
        self.values = array(self.values.typecode, values.tolist())
        hashes = np.frombuffer(bytes(self.hashes), np.uint8).reshape(-1, _HASH_BYTES)
        self.hashes = bytearray(hashes[stays].tobytes())

    def position(self, stream: str, row: int) -> str:
        digits = self.hashes[row * _HASH_BYTES : (row + 1) * _HASH_BYTES].hex()
        return str(Position(stream, self.sequences[row], digits))


class MeterLog:
    """What one meter reported of the register that is rated, with the corrections to it."""

    __slots__ = ("_changes", "_read", "_register", "stream")

    def __init__(self, stream: str, register: RegisterName) -> None:
        """Begin with nothing.

        Args:
            stream: A meter's facts stand in one stream.
            register: The register that is rated.
        """
        self.stream, self._register = stream, register
        self._read, self._changes = _Spans(_WIDTHS[0]), _Spans(_WIDTHS[-1])

    def evolve(self, at: Position, fact: ReadingRecorded | ReadingCorrected) -> None:
        """Keep a reading or a correction of it."""
        start = int(fact.first_interval_at.timestamp())
        if isinstance(fact, ReadingRecorded):
            for part in fact.registers:
                if part.name == self._register:
                    self._read.add(at, start, fact.interval_s, part.differences_wh, fact.seq)
        else:
            for change in fact.registers:
                if change.name == self._register:
                    self._changes.add(at, start, fact.interval_s, change.deltas_wh, 0)

    def energy(self, grid: Grid, as_of: AsOf) -> tuple[Numbers, Mask]:
        """Energy in Wh of every interval of a grid, and which of them are known in full."""
        sums, covered_s = np.zeros((2, grid.count), np.int64)
        for spans in (self._read, self._changes):
            mask = self._mask(spans, grid, as_of)
            if not mask.any():
                continue
            starts, lengths, energies = spans.chosen(mask)
            places = (starts - grid.first) // grid.length
            fits = (grid.length % lengths == 0) & (places >= 0) & (places < grid.count)
            np.add.at(sums, places[fits], energies[fits])
            if spans is self._read:
                np.add.at(covered_s, places[fits], lengths[fits])
        is_known: Mask = covered_s == grid.length
        return sums * is_known, is_known

    def counted(self, grid: Grid, as_of: AsOf) -> tuple[Numbers, Numbers]:
        """The meter's own numbers of the readings that count, and their places in the stream.

        Corrections are found behind them, before the cut-off.
        """
        rows = np.flatnonzero(self._mask(self._read, grid, as_of))
        numbers, places = self._read.numbers, self._read.sequences
        return np.array(numbers, np.int64)[rows], np.array(places, np.int64)[rows]

    def late(self, grid: Grid, before: AsOf, now: AsOf) -> Iterable[Late]:
        """The facts that count now and did not before."""
        for spans in (self._read, self._changes):
            new = self._mask(spans, grid, now) & ~self._mask(spans, grid, before)
            for row in np.flatnonzero(new).tolist():
                place = spans.sequences[row]
                yield Late(self.stream, place, spans.position(self.stream, row))

    def since(self, sequence: int) -> Iterable[tuple[int, int, int]]:
        """Place, start and end of everything that stands behind a place of the stream."""
        for spans in (self._read, self._changes):
            for row in range(bisect_left(spans.sequences, sequence + 1), len(spans.sequences)):
                start = spans.starts[row]
                yield spans.sequences[row], start, start + spans.steps[row] * spans.counts[row]

    def forget(self, floor: int) -> None:
        """Forget what ended by an instant, in seconds since 1970."""
        self._read.forget(floor)
        self._changes.forget(floor)

    @property
    def interval_count(self) -> int:
        """Number of intervals that are kept."""
        return len(self._read.values)

    def _mask(self, spans: _Spans, grid: Grid, as_of: AsOf) -> Mask:
        """Which stretches touch a grid and count."""
        sequences, starts, steps, counts = spans.columns()
        end = grid.first + grid.length * grid.count
        mask: Mask = (starts < end) & (starts + steps * counts > grid.first)
        return mask & as_of.counts(self.stream, sequences, starts) if mask.any() else mask
