"""Writes an invoice from readings and prices: the heart of billing. Pure.

Source: domain rules, sections 3 and 5.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from libs.events.invoicing import AgreementOpened, InvoiceIssued, InvoiceLine, MeterReadings
from libs.events.metering import RegisterName
from libs.events.quantities import WH_PER_KWH
from libs.rules.numbers import scale
from services.billing.inputs import Inputs
from services.billing.periods import Period
from services.billing.rating import Rated, Reading, energy_by_interval, rate, touching

Counted = Mapping[str, Sequence[Reading]]
"""The readings that count, by meter."""


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
        readings=tuple(_named(meter, readings) for meter, readings in counted.items() if readings),
        rated_intervals=len(rated),
        unrated_intervals=interval_count - len(rated),
        generated_wh=sum(each.generated_wh for each in rated),
        consumed_wh=sum(each.consumed_wh for each in rated),
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
    """The rated intervals of the period, and how many intervals it has."""
    length = opened.rating_interval_s
    first = -(-int(period.from_at.timestamp()) // length) * length
    starts = range(first, int(period.until_at.timestamp()), length)
    holdings = inputs.holdings_of(opened.system)
    consumed = {
        each.holding: _energy(inputs.consumption_meters(each.holding), counted, "consumed", length)
        for each in holdings
    }
    generated = _energy(inputs.generation_meters(opened.system), counted, "generated", length)
    units = {each.holding: each.units for each in holdings}
    return rate(generated, consumed, units, opened.holding, starts), len(starts)


def _energy(
    meters: Sequence[str], counted: Counted, register: RegisterName, length: int
) -> dict[int, int]:
    """Energy by interval, summed over meters; known only where every meter is known."""
    each = [energy_by_interval(counted[meter], register, length) for meter in meters]
    if not each:
        return {}
    common = set(each[0]).intersection(*each[1:])
    return {start: sum(energy[start] for energy in each) for start in common}


def _lines(
    inputs: Inputs, opened: AgreementOpened, rated: Sequence[Rated]
) -> tuple[InvoiceLine, ...]:
    """One line per version of the tariff: the exact sum of Wh x price, rounded once."""
    tariff = inputs.tariffs[opened.tariff]
    energy_wh: dict[int, int] = defaultdict(int)
    for each in rated:
        version = tariff.at(datetime.fromtimestamp(each.start, tz=UTC))
        assert version is not None, "an agreement is refused when its tariff has a gap"
        energy_wh[version[0].version] += each.own_use_wh
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


def _named(meter: str, readings: Sequence[Reading]) -> MeterReadings:
    return MeterReadings(
        meter=meter,
        stream=readings[0].stream,
        first_seq=min(reading.fact.seq for reading in readings),
        last_seq=max(reading.fact.seq for reading in readings),
        positions=tuple(reading.sequence for reading in readings),
    )
