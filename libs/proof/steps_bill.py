"""Steps 10 and 11: the energy, the price and the invoice, computed again. Pure.

Written apart from services/billing, so that the two can disagree.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from libs.events.envelope import Recorded
from libs.events.invoicing import InvoiceLine, MeterReadings, as_date
from libs.events.metering import RegisterName
from libs.events.positions import write_cause
from libs.events.pricing import TariffPublished
from libs.events.quantities import WH_PER_KWH
from libs.proof.bill import Bill
from libs.proof.case import Case, Step, require, same
from libs.proof.errors import ProofFailed
from libs.proof.steps_readings import Readings
from libs.rules.allocation import Demand, allocate
from libs.rules.numbers import scale

Energy = dict[int, int]
"""Energy in Wh by start of a rating interval, seconds since 1970."""


@dataclass(slots=True)
class Rating:
    """What the readings say about the period."""

    interval_count: int = 0
    """Rating intervals that start in the period."""
    rated: int = 0
    """Those of which every meter is known."""
    generated_wh: int = 0
    """Generation in them, in Wh."""
    consumed_wh: int = 0
    """The holding's consumption in them, in Wh."""
    own_use_wh: dict[int, int] = field(default_factory=dict)
    """What the holding used of its own part, in Wh, by version of the tariff."""


def check_energy(case: Case, bill: Bill, rows: list[Readings]) -> Step:
    """Step 10: allocation and price, computed again, give every line of the invoice."""
    invoice = bill.invoice.fact
    _check_tariff(case, bill)
    rating = _rate(bill, rows)
    unrated = rating.interval_count - rating.rated
    lines = _lines(bill, rating)
    require(10, len(lines) == len(invoice.lines), f"{len(invoice.lines)} lines, not {len(lines)}")
    for found, wanted in zip(invoice.lines, lines, strict=True):
        names = InvoiceLine.model_fields
        pairs = ((name, getattr(found, name), getattr(wanted, name)) for name in names)
        same(10, f"line {wanted.line}", pairs)
    same(
        10,
        "the invoice",
        (
            ("rated_intervals", invoice.rated_intervals, rating.rated),
            ("unrated_intervals", invoice.unrated_intervals, unrated),
            ("generated_wh", invoice.generated_wh, rating.generated_wh),
            ("consumed_wh", invoice.consumed_wh, rating.consumed_wh),
            ("total", invoice.total_stroops, sum(line.amount_stroops for line in lines)),
        ),
    )
    counts = {"rated intervals": rating.rated, "unrated": unrated, "lines": len(lines)}
    checked = "own use of every interval, price and rounding give every line and the total"
    return Step(10, "energy and price", checked, counts)


def _rate(bill: Bill, rows: list[Readings]) -> Rating:
    """Compare generation and consumption interval by interval.

    A holding counts from its opening and a meter from its enrolment.
    """
    invoice, length = bill.invoice.fact, bill.agreement.fact.rating_interval_s
    plant = [
        (_unix(row.meter.envelope.time), _energy(row, "generated", length))
        for row in rows
        if row.meter.fact.role == "generation"
    ]
    homes = {
        each.fact.holding: [
            (_unix(row.meter.envelope.time), _energy(row, "consumed", length))
            for row in rows
            if row.meter.fact.holding == each.fact.holding
        ]
        for each in bill.holdings
    }
    first = -(-_unix(invoice.period_from) // length) * length
    starts = range(first, _unix(invoice.period_until), length)
    mine, rating = bill.agreement.fact.holding, Rating(len(starts))
    for start in starts:
        generated_wh = _together(plant, start)
        demands: dict[str, Demand] = {}
        counting = [each for each in bill.holdings if _unix(each.envelope.time) <= start]
        for each in counting:
            consumed_wh = _together(homes[each.fact.holding], start)
            if consumed_wh is not None:
                demands[each.fact.holding] = Demand(each.fact.units, consumed_wh)
        if generated_wh is None or len(demands) < len(counting) or mine not in demands:
            continue
        own = allocate(generated_wh, demands)[mine].own_use_wh
        version = _version_at(bill, start).fact.version
        rating.rated += 1
        rating.generated_wh += generated_wh
        rating.consumed_wh += demands[mine].consumed_wh
        rating.own_use_wh[version] = rating.own_use_wh.get(version, 0) + own
    return rating


def _together(meters: list[tuple[int, Energy]], start: int) -> int | None:
    """Energy of the meters that count in an interval, in Wh; None where one is not known."""
    counting = [energy for since, energy in meters if since <= start]
    if not counting or any(start not in energy for energy in counting):
        return None
    return sum(energy[start] for energy in counting)


def _energy(row: Readings, register: RegisterName, length: int) -> Energy:
    """Energy of one meter by rating interval; an interval counts when all its parts are known."""
    parts: dict[int, list[int]] = {}
    for reading in row.counted:
        step = reading.fact.interval_s
        if length % step:
            continue  # coarser than the rating interval: not rated
        at = _unix(reading.fact.first_interval_at)
        differences = next(p for p in reading.fact.registers if p.name == register).differences_wh
        for energy_wh in differences:
            parts.setdefault(at - at % length, []).extend([energy_wh, step])
            at += step
    sums = {start: sum(known[::2]) for start, known in parts.items() if sum(known[1::2]) == length}
    for correction in row.corrections:
        step = correction.fact.interval_s
        for part in correction.fact.registers:
            at = _unix(correction.fact.first_interval_at)
            for delta_wh in part.deltas_wh if part.name == register and not length % step else ():
                if at - at % length in sums:
                    sums[at - at % length] += delta_wh
                at += step
    return sums


def _check_tariff(case: Case, bill: Bill) -> None:
    """The versions shown follow each other, and every price holds when it is used."""
    require(10, bool(bill.tariffs), "the tariff is missing")
    for older, newer in pairwise(bill.tariffs):
        require(
            10, older.fact.version + 1 == newer.fact.version, "a version of the tariff is left out"
        )
        later = older.fact.effective_from < newer.fact.effective_from
        require(10, later, "versions of the tariff overlap")
    for each in bill.tariffs:
        what = f"version {each.fact.version} of tariff {each.fact.tariff}"
        require(10, each.envelope.key == each.fact.tariff, f"{what} stands under another key")
        require(10, each.envelope.n == each.fact.version, f"{what} is not numbered by its version")
        same(10, what, (("asset", each.fact.asset, bill.agreement.fact.asset),))
    newest = bill.tariffs[-1].fact
    if newest.effective_from < bill.invoice.fact.period_until:
        case.not_covered.append(
            f"That tariff {newest.tariff} had no version after {newest.version} when the bill was "
            "issued."
        )


def _version_at(bill: Bill, start: int) -> Recorded[TariffPublished]:
    """The version of the tariff that holds when an interval starts."""
    instant = datetime.fromtimestamp(start, UTC)
    holding = [each for each in bill.tariffs if each.fact.effective_from <= instant]
    if not holding:
        raise ProofFailed(10, f"no version of the tariff in this file holds at {instant}")
    return holding[-1]


def _lines(bill: Bill, rating: Rating) -> list[InvoiceLine]:
    """One line per version of the tariff under which an interval was rated."""
    lines: list[InvoiceLine] = []
    for tariff in bill.tariffs:
        fact = tariff.fact
        if fact.version not in rating.own_use_wh:
            continue
        energy_wh = rating.own_use_wh[fact.version]
        price = fact.price_stroops_per_kwh
        lines.append(
            InvoiceLine(
                line=len(lines) + 1,
                line_class="energy",
                holding=bill.agreement.fact.holding,
                tariff=fact.tariff,
                tariff_version=fact.version,
                price_position=str(tariff.position),
                price_stroops_per_kwh=price,
                energy_wh=energy_wh,
                amount_stroops=scale(energy_wh, price, WH_PER_KWH),
            )
        )
    return lines


def check_invoice(case: Case, bill: Bill, rows: list[Readings]) -> Step:
    """Step 11: the invoice is that of its agreement, for its month, and names its readings."""
    recorded, invoice, agreement = bill.invoice, bill.invoice.fact, bill.agreement.fact
    day, begin, end = _period(bill)
    named = tuple(_named(row) for row in rows if row.counted)
    origin = write_cause(bill.agreement.position, bill.agreement.envelope.id)
    due_after = timedelta(seconds=agreement.due_after_s)
    same(
        11,
        "the invoice",
        (
            ("its name", invoice.invoice, f"{agreement.agreement}-{day.year:04}-{day.month:02}"),
            ("recipient", invoice.recipient, agreement.recipient),
            ("asset", invoice.asset, agreement.asset),
            ("period_from", invoice.period_from, begin),
            ("period_until", invoice.period_until, end),
            ("due_at", invoice.due_at, recorded.envelope.time + due_after),
            ("readings", invoice.readings, named),
            ("key", recorded.envelope.key, agreement.agreement),
            ("id", recorded.envelope.id, f"{invoice.invoice}.issued"),
            ("cause", recorded.envelope.cause, origin),
        ),
    )
    require(11, recorded.stream == bill.agreement.stream, "another book than the agreement's")
    require(11, recorded.envelope.time >= bill.final_at, "it was issued before it was final")
    proposed, held = bill.proposed.fact, bill.holding
    same(
        11,
        "the agreement",
        (
            ("system", agreement.system, held.system),
            ("asset", agreement.asset, proposed.asset),
            ("time_zone", agreement.time_zone, proposed.time_zone),
            ("terms", agreement.terms, proposed.terms),
        ),
    )
    case.not_covered.append("Corrections and other facts later than the anchored checkpoints.")
    checked = "number, agreement, holding, recipient, month of local time, due time and readings"
    counts = {"number": invoice.number, "readings named": sum(len(n.positions) for n in named)}
    return Step(11, "invoice", checked, counts)


def _period(bill: Bill) -> tuple[date, datetime, datetime]:
    """The local month in which the invoice's period begins: first day, start and end."""
    agreement, period_from = bill.agreement.fact, bill.invoice.fact.period_from
    try:
        zone = ZoneInfo(agreement.time_zone)
        opened = as_date(agreement.first_day)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ProofFailed(11, f"the agreement: {error}") from error
    day = period_from.astimezone(zone).date()
    require(11, day >= opened, "the period begins before the agreement")
    is_whole = day.day == 1 or day == opened
    require(11, is_whole, "the period does not begin with a month or with the agreement")
    following = date(day.year + (day.month == 12), day.month % 12 + 1, 1)  # noqa: PLR2004
    return day, _midnight(day, zone), _midnight(following, zone)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _named(row: Readings) -> MeterReadings:
    """How an invoice names the readings of a meter."""
    sequences: Iterable[int] = [reading.fact.seq for reading in row.counted]
    return MeterReadings(
        meter=row.meter.fact.meter,
        stream=row.stream,
        first_seq=min(sequences),
        last_seq=max(sequences),
        positions=tuple(reading.sequence for reading in row.counted),
    )


def _unix(instant: datetime) -> int:
    return int(instant.timestamp())
