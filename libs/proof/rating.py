"""Who used what in each rating interval, from the readings that count. Pure.

Written apart from what billing uses, so that the two can disagree; the one allocation is shared.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from libs.events.metering import RegisterName
from libs.events.quantities import as_date
from libs.proof.bill import Bill
from libs.proof.steps_readings import Readings
from libs.rules.allocation import Demand, allocate
from libs.rules.periods import local_midnight

Energy = dict[int, int]
"""Energy in Wh by start of a rating interval, seconds since 1970."""

OWN = ""
"""Stands for the holding itself among those whose energy it used."""


@dataclass(slots=True)
class Rating:
    """What the readings say about the intervals of a period of which everything is known."""

    generated_wh: Energy = field(default_factory=dict)
    """Generation of the system."""
    consumed_wh: Energy = field(default_factory=dict)
    """The holding's consumption."""
    used_wh: dict[str, Energy] = field(default_factory=lambda: defaultdict(dict))
    """What it used and is billed for: under `OWN` of its own part, else of a co-holder's, under his
    agreement."""


Meters = list[tuple[int, Energy]]
"""Since when each meter counts, seconds since 1970, and its energy."""


def rate(bill: Bill, rows: list[Readings]) -> Rating:
    """Compare generation and consumption interval by interval.

    A holding counts from its opening, until it is taken back, and a meter from its enrolment. While
    the supply of a holding is diverted it consumes nothing, and its meter need not be known.
    """
    length = bill.agreement.fact.rating_interval_s
    plant = [_meter(row, "generated", length) for row in rows if row.meter.fact.holding is None]
    homes: dict[str, Meters] = {
        each.fact.holding: [
            _meter(row, "consumed", length)
            for row in rows
            if row.meter.fact.holding == each.fact.holding
        ]
        for each in bill.holdings
    }
    mine, owned_at = bill.agreement.fact.holding, bill.supply.owned_at
    billed_from = _sources(bill)
    rating = Rating()
    for start in bill.grid:
        generated_wh, demands = _together(plant, start), _demands(bill, homes, start)
        if generated_wh is None or demands is None or mine not in demands:
            continue
        share = allocate(generated_wh, demands)[mine]
        rating.generated_wh[start] = generated_wh
        rating.consumed_wh[start] = demands[mine].consumed_wh
        is_owned = owned_at is not None and owned_at.timestamp() <= start
        rating.used_wh[OWN][start] = 0 if is_owned else share.own_use_wh
        for source, energy_wh in share.used_of_others_wh.items():
            agreement, since = billed_from.get(source, ("", 0))
            if agreement and since <= start:
                rating.used_wh[agreement][start] = energy_wh
    return rating


def _sources(bill: Bill) -> dict[str, tuple[str, int]]:
    """Whose surplus is billed: by holding, its agreement and since when it is one."""
    if bill.is_first_version:
        return {}
    found: dict[str, tuple[str, int]] = {}
    for each in bill.others:
        begin = local_midnight(as_date(each.fact.first_day), each.fact.time_zone)
        found[each.fact.holding] = each.fact.agreement, int(begin.timestamp())
    return found


def _demands(bill: Bill, homes: dict[str, Meters], start: int) -> dict[str, Demand] | None:
    """Units and consumption of the holdings that count in an interval; None: one is not known."""
    demands: dict[str, Demand] = {}
    for each in bill.holdings:
        holding, ended_at = each.fact.holding, bill.supply.reclaimed_at.get(each.fact.holding)
        is_over = ended_at is not None and ended_at.timestamp() <= start
        if each.envelope.time.timestamp() > start or is_over:
            continue
        consumed_wh = 0
        if not bill.supply.is_diverted(holding, start):
            known = _together(homes[holding], start)
            if known is None:
                return None
            consumed_wh = known
        demands[holding] = Demand(each.fact.units, consumed_wh)
    return demands


def _together(meters: Meters, start: int) -> int | None:
    """Energy of the meters that count in an interval, in Wh; None where one is not known."""
    counting = [energy for since, energy in meters if since <= start]
    if not counting or any(start not in energy for energy in counting):
        return None
    return sum(energy[start] for energy in counting)


def _meter(row: Readings, register: RegisterName, length: int) -> tuple[int, Energy]:
    """Since when a meter counts, and its energy; an interval counts when all of it is known."""
    parts: dict[int, list[int]] = {}
    for reading in row.counted:
        step = reading.fact.interval_s
        if length % step:
            continue  # coarser than the rating interval: not rated
        at = int(reading.fact.first_interval_at.timestamp())
        differences = next(p for p in reading.fact.registers if p.name == register).differences_wh
        for energy_wh in differences:
            parts.setdefault(at - at % length, []).extend([energy_wh, step])
            at += step
    sums = {start: sum(known[::2]) for start, known in parts.items() if sum(known[1::2]) == length}
    for correction in row.corrections:
        step = correction.fact.interval_s
        for part in correction.fact.registers:
            at = int(correction.fact.first_interval_at.timestamp())
            for delta_wh in part.deltas_wh if part.name == register and not length % step else ():
                if at - at % length in sums:
                    sums[at - at % length] += delta_wh
                at += step
    return int(row.meter.envelope.time.timestamp()), sums
