"""Steps 10 and 11: the energy, the price and the invoice, computed again. Pure.

Written apart from services/billing, so that the two can disagree.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from libs.events.envelope import Recorded
from libs.events.invoicing import InvoiceLine, MeterReadings, as_date
from libs.events.metering import ReadingRecorded, RegisterName
from libs.events.pricing import TariffPublished
from libs.events.quantities import WH_PER_KWH
from libs.events.positions import write_cause
from libs.proof.bill import Bill
from libs.proof.case import Case, Step, require, same
from libs.proof.errors import ProofFailed
from libs.proof.steps_readings import Readings
from libs.rules.allocation import Demand, allocate
from libs.rules.numbers import scale

Energy = dict[int, int]
"""Energy in Wh by start of a rating interval, seconds since 1970."""


def check_energy(case: Case, bill: Bill, rows: list[Readings]) -> Step:
    """Step 10: allocation and price, computed again, give every line of the invoice."""
    invoice, length = bill.invoice.fact, bill.agreement.fact.rating_interval_s
    _check_tariff(case, bill)
    generated = _together(row for row in rows if row.meter.fact.role == "generation")(
        "generated", length
    )
    consumed = {
        each.fact.holding: _together(_of_holding(rows, each.fact.holding))("consumed", length)
        for each in bill.holdings
    }
    begin, end = _unix(invoice.period_from), _unix(invoice.period_until)
    starts = range(-(-begin // length) * length, end, length)
    units = {each.fact.holding: each.fact.units for each in bill.holdings}
    mine = bill.agreement.fact.holding
    rated, used, sums = 0, {}, [0, 0]
    for start in starts:
        known = {holding: energy[start] for holding, energy in consumed.items() if start in energy}
        if start not in generated or len(known) < len(consumed):
            continue
        demands = {holding: Demand(units[holding], wh) for holding, wh in known.items()}
        own = allocate(generated[start], demands)[mine].own_use_wh
        version = _version_at(bill, start)
        used[version] = used.get(version, 0) + own
        rated, sums = rated + 1, [sums[0] + generated[start], sums[1] + known[mine]]
    same(
        10,
        "the invoice",
        (
            ("rated_intervals", invoice.rated_intervals, rated),
            ("unrated_intervals", invoice.unrated_intervals, len(starts) - rated),
            ("generated_wh", invoice.generated_wh, sums[0]),
            ("consumed_wh", invoice.consumed_wh, sums[1]),
        ),
    )
    lines = _lines(bill, used)
    require(10, len(lines) == len(invoice.lines), f"{len(invoice.lines)} lines, not {len(lines)}")
    for found, wanted in zip(invoice.lines, lines, strict=True):
        names = InvoiceLine.model_fields
        pairs = ((name, getattr(found, name), getattr(wanted, name)) for name in names)
        same(10, f"line {wanted.line}", pairs)
    total = sum(line.amount_stroops for line in lines)
    same(10, "the invoice", (("total_stroops", invoice.total_stroops, total),))
    counts = {"rated intervals": rated, "unrated": len(starts) - rated, "lines": len(lines)}
    checked = "own use of every interval, price and rounding give every line and the total"
    return Step(10, "energy and price", checked, counts)
