"""What a holding used, from the readings that count as of a time. Pure.

Source: domain rules, section 3; what billing and ledger share is in libs/rules/rating.py.
"""

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from libs.events.invoicing import AgreementOpened, MeterReadings
from libs.events.metering import RegisterName
from libs.events.quantities import as_date
from libs.rules.fast_rating import Grid, Mask, Numbers, RatedGrid, rate_many
from libs.rules.periods import Period, local_midnight
from services.billing.inputs import Inputs
from services.billing.lines import Usage
from services.billing.reached import AsOf
from services.billing.readings import Late

RATED_REMEMBERED: Final = 4
"""Rated grids that are remembered: the agreements of a system share them."""

NAMED_OF_METER_MAX: Final = 6_000
"""Most readings of one meter that are named one by one."""

NAMED_MAX: Final = 12_000
"""Most readings that an invoice names one by one: they take half of the room of a fact."""

AgreementOf = Callable[[str], AgreementOpened | None]
"""Knows the agreement of a holding, if it has one."""


class Rating:
    """Rates the systems of a book as of a time."""

    def __init__(self, inputs: Inputs, agreement_of: AgreementOf) -> None:
        """Rate by what was read.

        Args:
            inputs: Readings, meters and holdings.
            agreement_of: Knows to whom the surplus of a holding is owed.
        """
        self._inputs, self._agreement_of = inputs, agreement_of
        self._rated: dict[tuple[str, Grid, int, int], RatedGrid] = {}

    def usage(self, opened: AgreementOpened, period: Period, as_of: AsOf) -> Usage:
        """What the holding of an agreement used in a period."""
        grid = Grid.of(period.from_at, period.until_at, opened.rating_interval_s)
        rated = self._rate(opened.system, grid, as_of)
        row = rated.holdings.index(opened.holding)
        own = rated.shares.own_use_wh[row]
        owned_at = self._inputs.owned_at.get(opened.holding)
        if owned_at is not None:
            own = own.copy()
            own[grid.place(owned_at) :] = 0
        shared: dict[str, Numbers] = {}
        for source, energy in rated.shares.from_others(row).items():
            owner = self._agreement_of(rated.holdings[source])
            if owner is None:
                continue  # nobody is there to be paid
            begins = local_midnight(as_date(owner.first_day), owner.time_zone)
            energy[: grid.place(int(begins.timestamp()))] = 0
            shared[owner.agreement] = energy
        return Usage(
            grid=grid,
            is_rated=rated.is_rated & rated.is_held[row],
            own_wh=own,
            shared_wh=shared,
            generated_wh=rated.generated_wh,
            consumed_wh=rated.consumed_wh[row],
        )

    def named(self, opened: AgreementOpened, grid: Grid, as_of: AsOf) -> tuple[MeterReadings, ...]:
        """Name the readings of every meter of the system that a bill rests on.

        Where they are too many for one fact, of every meter the first and the last: what stands
        between them and touches the period counts.
        """
        logs, found = self._inputs.meters, {}
        for meter in self._inputs.meters_of(opened.system):
            if meter in logs:
                numbers, places = logs[meter].counted(grid, as_of)
                if places.size:
                    found[meter] = numbers, places
        sizes = [places.size for _, places in found.values()]
        in_full = max(sizes, default=0) <= NAMED_OF_METER_MAX and sum(sizes) <= NAMED_MAX
        return tuple(
            MeterReadings(
                meter=meter,
                stream=logs[meter].stream,
                first_seq=int(numbers.min()),
                last_seq=int(numbers.max()),
                positions=tuple((places if in_full else _ends(places)).tolist()),
            )
            for meter, (numbers, places) in found.items()
        )

    def late(self, opened: AgreementOpened, grid: Grid, before: AsOf, now: AsOf) -> Iterable[Late]:
        """The readings and corrections that count now and did not before."""
        for meter in self._inputs.meters_of(opened.system):
            log = self._inputs.meters.get(meter)
            if log is not None:
                yield from log.late(grid, before, now)

    def _rate(self, system: str, grid: Grid, as_of: AsOf) -> RatedGrid:
        key = system, grid, as_of.final_s, as_of.as_of_s
        found = self._rated.get(key)
        if found is None:
            if len(self._rated) >= RATED_REMEMBERED:
                del self._rated[next(iter(self._rated))]
            found = self._rated[key] = self._rate_anew(system, grid, as_of)
        return found

    def _rate_anew(self, system: str, grid: Grid, as_of: AsOf) -> RatedGrid:
        def energy_of(meter: str, register: RegisterName) -> tuple[Numbers, Mask]:
            del register  # a meter has one that is rated
            log = self._inputs.meters.get(meter)
            if log is None:
                return np.zeros(grid.count, np.int64), np.zeros(grid.count, np.bool_)
            return log.energy(grid, as_of)

        plant, households = self._inputs.installed.plant(system), self._inputs.households(system)
        return rate_many(grid, plant, households, energy_of)


def _ends(places: Numbers) -> Numbers:
    """The first and the last, or the only one."""
    return places[[0, -1]] if places.size > 1 else places
