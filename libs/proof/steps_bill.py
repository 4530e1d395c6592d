"""Steps 10 and 11: the energy, the price and the invoice, computed again. Pure.

Written apart from services/billing, so that the two can disagree.
"""

from datetime import timedelta
from typing import Final

from libs.events.invoicing import InvoiceLine, MeterReadings
from libs.events.positions import write_cause
from libs.proof.bill import Bill
from libs.proof.case import Case, Step, require, same
from libs.proof.documents import Documents
from libs.proof.lines import lines_of, period_number
from libs.proof.people import People
from libs.proof.prices import find_prices
from libs.proof.rating import rate
from libs.proof.steps_readings import Readings

NAMED_OF_METER_MAX: Final = 6_000
"""Most readings of one meter that an invoice names one by one."""

NAMED_MAX: Final = 12_000
"""Most readings that it names so in all; else it names the first and the last of every meter."""


def check_energy(case: Case, bill: Bill, rows: list[Readings]) -> Step:
    """Step 10: allocation and price, computed again, give every line of the invoice."""
    invoice = bill.invoice.fact
    prices, rating = find_prices(case, bill), rate(bill, rows)
    lines = lines_of(case, bill, rating, prices)
    require(10, len(lines) == len(invoice.lines), f"{len(invoice.lines)} lines, not {len(lines)}")
    for found, wanted in zip(invoice.lines, lines, strict=True):
        names = InvoiceLine.model_fields
        pairs = ((name, getattr(found, name), getattr(wanted, name)) for name in names)
        same(10, f"line {wanted.line}", pairs)
    rated = [start for start in rating.generated_wh if prices.priced_at(start) is not None]
    unrated = len(bill.grid) - len(rated)
    same(
        10,
        "the invoice",
        (
            ("rated_intervals", invoice.rated_intervals, len(rated)),
            ("unrated_intervals", invoice.unrated_intervals, unrated),
            ("generated_wh", invoice.generated_wh, sum(rating.generated_wh[at] for at in rated)),
            ("consumed_wh", invoice.consumed_wh, sum(rating.consumed_wh[at] for at in rated)),
            ("total", invoice.total_stroops, sum(line.amount_stroops for line in lines)),
        ),
    )
    counts = {"rated intervals": len(rated), "unrated": unrated, "lines": len(lines)}
    checked = "who used what in every interval, price, proration and rounding give every line and "
    checked += "the total"
    return Step(10, "energy and price", checked, counts)


def check_invoice(
    case: Case, bill: Bill, rows: list[Readings], people: People
) -> tuple[Step, Documents]:
    """Step 11: the invoice is that of its agreement, for its period, and names its readings.

    One that replaces another follows from a credit note over all of that.
    """
    recorded, invoice, agreement = bill.invoice, bill.invoice.fact, bill.agreement.fact
    _, period = period_number(bill)
    in_full = _is_in_full([len(row.counted) for row in rows])
    named = tuple(_named(row, in_full=in_full) for row in rows if row.counted)
    same(
        11,
        "the invoice",
        (
            ("period_from", invoice.period_from, period.from_at),
            ("period_until", invoice.period_until, period.until_at),
            ("recipient", invoice.recipient, _holder(case, bill)),
            ("asset", invoice.asset, agreement.asset),
            ("readings", invoice.readings, named),
            ("key", recorded.envelope.key, agreement.agreement),
            ("id", recorded.envelope.id, f"{invoice.invoice}.issued"),
        ),
    )
    require(11, recorded.stream == bill.agreement.stream, "another book than the agreement's")
    require(11, recorded.envelope.time >= bill.as_of.at, "it was issued before it was final")
    documents = Documents(case, bill, people)
    if invoice.replaces is None:
        _check_first(bill, f"{agreement.agreement}-{period.name}")
    else:
        documents.check_replacement(f"{agreement.agreement}-{period.name}", rows)
    documents.check_notes()
    _check_agreement(bill)
    case.not_covered.append("Corrections and other facts later than the anchored checkpoints.")
    checked = "number, agreement, holding, recipient, period of local time, due time and readings"
    counts = {"number": invoice.number, "readings named": sum(len(row.counted) for row in rows)}
    if documents.count:
        checked += "; credit notes, and the invoice before"
        counts["credit notes"] = documents.count
    return Step(11, "invoice", checked, counts), documents


def _check_first(bill: Bill, name: str) -> None:
    """The first invoice of a period: its name, its cause, and when it falls due."""
    recorded, invoice, agreement = bill.invoice, bill.invoice.fact, bill.agreement
    due_at = recorded.envelope.time + timedelta(seconds=agreement.fact.due_after_s)
    origin = write_cause(agreement.position, agreement.envelope.id)
    pairs = (
        ("its name", invoice.invoice, name),
        ("due_at", invoice.due_at, due_at),
        ("later_due_at", invoice.later_due_at, None),
        ("later_stroops", invoice.later_stroops, 0),
        ("cutoff_at", invoice.cutoff_at, None),
        ("cause", recorded.envelope.cause, origin),
    )
    same(11, "the invoice", pairs)


def _holder(case: Case, bill: Bill) -> str:
    """Who held the holding, as far as the ledger had come at the time of the bill."""
    first = bill.holding.recipient
    if not bill.supply.transfers or bill.is_first_version:
        return first
    reached = bill.times.reached(bill.opened.stream, bill.as_of.at)
    require(11, case.knew(bill.invoice, reached), "the ledger had not come so far")
    return bill.supply.holder(first, reached.sequence)


def _check_agreement(bill: Bill) -> None:
    """The agreement says of its system what the system says of itself."""
    agreement, proposed = bill.agreement.fact, bill.proposed.fact
    pairs = (
        ("system", agreement.system, bill.holding.system),
        ("asset", agreement.asset, proposed.asset),
        ("time_zone", agreement.time_zone, proposed.time_zone),
        ("terms", agreement.terms, proposed.terms),
        ("rating_interval_s", agreement.rating_interval_s, proposed.rating_interval_s),
    )
    same(11, "the agreement", pairs)


def _is_in_full(counts: list[int]) -> bool:
    """Whether an invoice has room to name every reading of every meter."""
    return max(counts, default=0) <= NAMED_OF_METER_MAX and sum(counts) <= NAMED_MAX


def _named(row: Readings, *, in_full: bool) -> MeterReadings:
    """How an invoice names the readings of a meter: all of them, or the first and the last."""
    sequences = [reading.fact.seq for reading in row.counted]
    counted = row.counted if in_full else row.counted[:: max(1, len(row.counted) - 1)]
    return MeterReadings(
        meter=row.meter.fact.meter,
        stream=row.stream,
        first_seq=min(sequences),
        last_seq=max(sequences),
        positions=tuple(reading.sequence for reading in counted),
    )
