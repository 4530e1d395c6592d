"""Rating many intervals at once: the rules of `rating` and `allocation` over whole arrays. Pure.

Every result is the very integer that the rule for one interval gives; where a product might not
fit into 64 bits, that rule itself is asked. Rows are holdings in the order of their names, columns
are rating intervals in the order of time.

Source: domain rules, sections 2 and 3.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from libs.events.metering import RegisterName
from libs.rules.numbers import split
from libs.rules.rating import Household, Point
from libs.rules.tariffs import slot_at

Numbers = NDArray[np.int64]
"""Integers, exact."""

Mask = NDArray[np.bool_]
"""Yes or no for each interval."""

GRIDS_REMEMBERED: Final = 64
"""Pairs of grid and time zone of which the local hours are remembered: agreements share them."""

_FITS: Final = 2**62
"""Products below this are computed in 64 bits."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Consecutive rating intervals."""

    first: int
    """Start of the first, seconds since 1970."""
    length: int
    """Length of each in seconds."""
    count: int
    """How many there are."""

    @classmethod
    def of(cls, from_at: datetime, until_at: datetime, length: int) -> "Grid":
        """The rating intervals that start within a stretch of time."""
        first = -(-int(from_at.timestamp()) // length) * length
        return cls(first, length, len(range(first, int(until_at.timestamp()), length)))

    @property
    def starts(self) -> Numbers:
        """The start of every interval."""
        return self.first + self.length * np.arange(self.count, dtype=np.int64)

    def place(self, instant: int) -> int:
        """The first interval that starts at an instant or later, 0 to `count`."""
        return min(self.count, max(0, -(-(instant - self.first) // self.length)))

    def stretch(self, since: int, until: int | None) -> slice:
        """The intervals that start from an instant on and before another."""
        return slice(self.place(since), self.count if until is None else self.place(until))


MeterEnergy = Callable[[str, RegisterName], tuple[Numbers, Mask]]
"""Knows a meter's energy in Wh in every interval of a grid, and in which it is known."""


def exact_sum(numbers: Numbers) -> int:
    """Sum integers from 0 without overflow."""
    if numbers.size == 0:
        return 0
    if int(numbers.max()) < _FITS // numbers.size:
        return int(numbers.sum())
    return sum(numbers.tolist())


def split_many(amounts: Numbers, weights: Numbers) -> Numbers:
    """Split an amount per column by the weights of its rows; ties by the lower row.

    Args:
        amounts: What is split, from 0, one per column.
        weights: From 0; a column without weight has the amount 0.

    Returns:
        What `numbers.split` gives for every column, its keys being the rows in order.
    """
    rows = weights.shape[0]
    if rows == 1:
        return amounts.reshape(1, -1)
    if weights.size == 0 or not amounts.any():
        return np.zeros_like(weights)
    largest, heaviest = int(amounts.max()), int(weights.max())
    if largest * heaviest >= _FITS or heaviest * rows >= _FITS:
        return _split_one_by_one(amounts, weights)
    totals = np.maximum(weights.sum(axis=0), 1)
    parts, rests = np.divmod(weights * amounts, totals)
    left = amounts - parts.sum(axis=0)
    places = np.flatnonzero(left)
    if places.size:
        # The largest remainders get one more; of equal ones the sort keeps the lower row first.
        order = np.argsort(-rests[:, places], axis=0, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(rows)[:, None], axis=0)
        parts[:, places] += ranks < left[places]
    return parts


def _split_one_by_one(amounts: Numbers, weights: Numbers) -> Numbers:
    parts = np.zeros_like(weights)
    for column, amount in enumerate(amounts.tolist()):
        weights_of = {f"{row:09}": int(weight) for row, weight in enumerate(weights[:, column])}
        parts[:, column] = list(split(amount, weights_of).values())
    return parts


@dataclass(frozen=True, slots=True)
class Shares:
    """What the holdings got of many intervals' generation, in Wh."""

    entitlement_wh: Numbers
    """Their parts of the generation."""
    own_use_wh: Numbers
    """What their households used of these."""
    surplus_wh: Numbers
    """What nobody used."""
    used_of_others: Mapping[int, tuple[NDArray[np.intp], NDArray[np.intp], Numbers]]
    """For the row of each holding that used parts of others: source row, column and energy."""

    def from_others(self, row: int) -> dict[int, Numbers]:
        """What a holding used of the parts of others: energy per interval by source row."""
        found: dict[int, Numbers] = {}
        if row in self.used_of_others:
            sources, columns, energies = self.used_of_others[row]
            for source in np.unique(sources).tolist():
                of_source = sources == source
                found[source] = np.zeros(self.own_use_wh.shape[1], np.int64)
                found[source][columns[of_source]] = energies[of_source]
        return found


def allocate_many(generated_wh: Numbers, units: Numbers, consumed_wh: Numbers) -> Shares:
    """Allocate many intervals: what `allocation.allocate` gives for each of them.

    Args:
        generated_wh: Generation of the system per interval.
        units: Units per holding and interval; 0 where it does not count.
        consumed_wh: Consumption per holding and interval.
    """
    if units.shape[0] > 1:
        # The same parts, of smaller products.
        units = units // max(1, int(np.gcd.reduce(units, axis=None)))
    entitled = split_many(generated_wh, units)
    own = np.minimum(consumed_wh, entitled)
    if units.shape[0] == 1:  # alone there is nobody to share with
        return Shares(entitled, own, entitled - own, {})
    spare, lacking = entitled - own, consumed_wh - own
    shared = np.minimum(spare.sum(axis=0), lacking.sum(axis=0))
    columns = np.flatnonzero(shared)
    surplus, used = spare.copy(), {}
    if columns.size:
        left = split_many(shared[columns], spare[:, columns])
        surplus[:, columns] -= left
        taken = split_many(shared[columns], lacking[:, columns])
        for row in np.flatnonzero(taken.any(axis=1)).tolist():
            parts = split_many(taken[row], left)
            left -= parts
            sources, places = np.nonzero(parts)
            used[row] = (sources, columns[places], parts[sources, places])
    return Shares(entitled, own, surplus, used)


@dataclass(frozen=True, slots=True)
class RatedGrid:
    """The rating intervals of a system over a stretch of time."""

    grid: Grid
    """Which."""
    holdings: tuple[str, ...]
    """Its holdings, by name: the rows."""
    is_rated: Mask
    """Whether all meters that count were known and somebody held a part."""
    is_held: Mask
    """Whether a holding counts, per holding and interval."""
    generated_wh: Numbers
    """Generation of the system; 0 where it is not rated."""
    consumed_wh: Numbers
    """Consumption per holding and interval; 0 where it is not rated."""
    shares: Shares
    """Who used what."""


def rate_many(
    grid: Grid, plant: Sequence[Point], households: Sequence[Household], energy_of: MeterEnergy
) -> RatedGrid:
    """Rate the intervals of a grid: what `rating.rate` gives for each of them.

    Args:
        grid: The intervals.
        plant: All meters of the plant.
        households: All holdings of the system.
        energy_of: Knows the meters' energy on this grid.
    """
    homes = sorted(households, key=lambda each: each.holding)
    generated, is_rated = _known(grid, plant, "generated", energy_of)
    shape = (len(homes), grid.count)
    consumed, is_held = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    for row, home in enumerate(homes):
        is_held[row, grid.stretch(home.since, home.until)] = True
        energy, is_known = _known(grid, home.home, "consumed", energy_of)
        for stretch in home.diverted:
            diverted = grid.stretch(stretch.since, stretch.until)
            energy[diverted], is_known[diverted] = 0, True
        consumed[row] = energy
        is_rated &= is_known | ~is_held[row]
    is_rated &= is_held.any(axis=0)
    generated *= is_rated
    is_counted = is_held & is_rated
    consumed *= is_counted
    units = is_counted * np.array([home.units for home in homes], np.int64).reshape(-1, 1)
    shares = allocate_many(generated, units, consumed)
    names = tuple(home.holding for home in homes)
    return RatedGrid(grid, names, is_rated, is_held, generated, consumed, shares)


def _known(
    grid: Grid, points: Sequence[Point], register: RegisterName, energy_of: MeterEnergy
) -> tuple[Numbers, Mask]:
    """The sum of the meters that count, and where there is one and all of them are known."""
    total, is_known = np.zeros(grid.count, np.int64), np.zeros(grid.count, np.bool_)
    is_missing = np.zeros(grid.count, np.bool_)
    for point in points:
        counts = grid.stretch(point.since, None)
        energy, known = energy_of(point.meter, register)
        total[counts] += energy[counts]
        is_missing[counts] |= ~known[counts]
        is_known[counts] = True
    return total, is_known & ~is_missing


@lru_cache(maxsize=GRIDS_REMEMBERED)
def local_slots(grid: Grid, time_zone: str) -> NDArray[np.int16]:
    """The kind of local hour of every interval of a grid; see `tariffs.slot_at`."""
    zone = ZoneInfo(time_zone)
    starts = range(grid.first, grid.first + grid.length * grid.count, grid.length)
    slots = np.array([slot_at(start, zone) for start in starts], np.int16)
    slots.setflags(write=False)
    return slots


def bucket_sums(buckets: NDArray[np.int64], energies: Numbers, bucket_count: int) -> Numbers:
    """Sum energy by bucket.

    Args:
        buckets: The bucket of every interval.
        energies: Energy in Wh per interval, or one row of them per agreement.
        bucket_count: Number of buckets.

    Returns:
        The sum for every bucket, or one row of them per agreement.
    """
    sums = np.zeros((*energies.shape[:-1], bucket_count), np.int64)
    if not len(buckets):
        return sums
    # A bucket holds for hours on end: first every run of intervals is summed, then the few runs.
    runs = np.flatnonzero(np.diff(buckets, prepend=-1))
    of_runs = np.add.reduceat(energies, runs, axis=-1)
    for bucket in range(bucket_count):
        sums[..., bucket] = of_runs[..., buckets[runs] == bucket].sum(axis=-1)
    return sums
