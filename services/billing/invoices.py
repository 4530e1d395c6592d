"""Writes an invoice from readings and prices: the heart of billing. Pure.

Source: domain rules, sections 3 and 5.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import starmap
from typing import Final

from libs.events.invoicing import AgreementOpened, InvoiceIssued, InvoiceLine, MeterReadings
from libs.events.metering import ReadingRecorded, RegisterName
from libs.events.quantities import WH_PER_KWH
from libs.rules.numbers import scale
from libs.rules.rating import Rated, rate
from services.billing.inputs import Inputs
from services.billing.periods import Period
from services.billing.rating import Reading, energy_by_interval, touching

Counted = Mapping[str, Sequence[Reading]]
"""The readings that count, by meter, with the corrections to them."""

_RATED: Final[tuple[RegisterName, ...]] = ("generated", "consumed")


def write_invoice(
    inputs: Inputs, opened: AgreementOpened, period: Period, number: int, issued_at: datetime
) -> InvoiceIssued:
    """Write the invoice of one period.

    Args:
        inputs: Everything that was read; READINGS has reached the period's end plus the lag.
        opened: The agreement.
        period: The period.
        number: The invoice's number in its book.
        issued_at: The time of issue; the due time counts from it, nothing else depends on it.
    """
    counted = _counted(inputs, opened, period)
    rated, interval_count = _rated(inputs, opened, period, counted)
    lines = _lines(inputs, opened, rated)
    return InvoiceIssued(
        invoice=f"{opened.agreement}-{period.name}",
        number=number,
        agreement=opened.agreement,
        recipient=opened.recipient,
        asset=opened.asset,
        period_from=period.from_at,
        period_until=period.until_at,
        due_at=issued_at + timedelta(seconds=opened.due_after_s),
        readings=tuple(filter(None, starmap(_named, counted.items()))),
        rated_intervals=len(rated),
        unrated_intervals=interval_count - len(rated),
        generated_wh=sum(each.generated_wh for each in rated),
        consumed_wh=sum(each.demands[opened.holding].consumed_wh for each in rated),
        lines=lines,
        total_stroops=sum(line.amount_stroops for line in lines),
    )


def _counted(inputs: Inputs, opened: AgreementOpened, period: Period) -> Counted:
    """The readings of every meter of the system that touch the period and came in time."""
    cutoffs = inputs.cutoffs(period.until_at + timedelta(seconds=opened.settlement_lag_s))
    return {
        meter: touching(
            (each for each in inputs.readings[meter] if each.sequence < cutoffs[each.stream]),
            period.from_at,
            period.until_at,
        )
        for meter in inputs.meters(opened.system)
    }


def _rated(
    inputs: Inputs, opened: AgreementOpened, period: Period, counted: Counted
) -> tuple[list[Rated], int]:
    """The rated intervals of the period in which the holding counts, and how many it has."""
    length = opened.rating_interval_s
    first = -(-int(period.from_at.timestamp()) // length) * length
    starts = range(first, int(period.until_at.timestamp()), length)
    plant = inputs.installed.plant(opened.system)
    households = inputs.households(opened.system)
    known = {
        (meter, register): energy_by_interval(readings, register, length)
        for meter, readings in counted.items()
        for register in _RATED
    }

    def energy_of(meter: str, register: RegisterName, start: int) -> int | None:
        return known[meter, register].get(start)

    found = (rate(start, plant, households, energy_of) for start in starts)
    rated = [each for each in found if each is not None and opened.holding in each.shares]
    return rated, len(starts)


def _lines(
    inputs: Inputs, opened: AgreementOpened, rated: Sequence[Rated]
) -> tuple[InvoiceLine, ...]:
    """One line per version of the tariff: the exact sum of Wh x price, rounded once."""
    tariff = inputs.tariffs[opened.tariff]
    energy_wh: dict[int, int] = defaultdict(int)
    for each in rated:
        version = tariff.at(datetime.fromtimestamp(each.start, tz=UTC))
        assert version is not None, "an agreement is refused when its tariff has a gap"
        energy_wh[version[0].version] += each.shares[opened.holding].own_use_wh
    lines: list[InvoiceLine] = []
    for fact, place in tariff.versions:
        if fact.version not in energy_wh:
            continue
        energy = energy_wh[fact.version]
        lines.append(
            InvoiceLine(
                line=len(lines) + 1,
                line_class="energy",
                holding=opened.holding,
                tariff=fact.tariff,
                tariff_version=fact.version,
                price_position=place,
                price_stroops_per_kwh=fact.price_stroops_per_kwh,
                energy_wh=energy,
                amount_stroops=scale(energy, fact.price_stroops_per_kwh, WH_PER_KWH),
            )
        )
    return tuple(lines)


def _named(meter: str, counted: Sequence[Reading]) -> MeterReadings | None:
    """Name the readings of a meter; corrections are found behind them, before the cut-off."""
    readings = [(each, each.fact) for each in counted if isinstance(each.fact, ReadingRecorded)]
    if not readings:
        return None
    return MeterReadings(
        meter=meter,
        stream=readings[0][0].stream,
        first_seq=min(fact.seq for _, fact in readings),
        last_seq=max(fact.seq for _, fact in readings),
        positions=tuple(place.sequence for place, _ in readings),
    )
