"""Rows of billing: agreements, invoices, credit notes. Pure."""

from collections.abc import Iterator

from libs.events import (
    AgreementOpened,
    CreditNoteIssued,
    InvoiceDrafted,
    InvoiceIssued,
    InvoiceLine,
    InvoicePaid,
    Recorded,
)
from libs.events.quantities import as_date
from services.projection.ownership_tables import CREDIT_NOTE, INVOICE_DRAFT
from services.projection.table import Table, Values
from services.projection.tables import (
    AGREEMENT,
    INVOICE,
    INVOICE_LINE,
    INVOICE_PAID,
    INVOICE_READING,
)
from services.projection.views.place import Rows, row
from services.projection.views.text import json_list


def agreement_opened(recorded: Recorded[AgreementOpened]) -> Iterator[tuple[Table, Values]]:
    """One row per agreement."""
    fact, upkeep = recorded.fact, recorded.fact.upkeep
    yield (
        AGREEMENT,
        (
            recorded.stream,
            recorded.sequence,
            fact.agreement,
            fact.holding,
            fact.system,
            fact.recipient,
            fact.tariff,
            fact.asset,
            fact.period,
            fact.time_zone,
            as_date(fact.first_day),
            fact.rating_interval_s,
            fact.settlement_lag_s,
            fact.due_after_s,
            fact.terms.return_ppm_year,
            fact.terms.minimum_payment_stroops,
            recorded.envelope.time,
            fact.rate_feed,
            fact.term_periods,
            fact.expected_wh_year,
            fact.grace_periods,
            fact.notice_s,
            None if upkeep is None else upkeep.payee,
            None if upkeep is None else upkeep.amount_stroops_per_month,
            json_list(fact.taxes),
        ),
    )


def invoice_issued(recorded: Recorded[InvoiceIssued]) -> Iterator[tuple[Table, Values]]:
    """One row for the invoice, one per line, one per meter whose readings it rests on."""
    fact = recorded.fact
    place = (recorded.stream, recorded.sequence)
    yield (
        INVOICE,
        (
            *place,
            recorded.position.hash,
            fact.invoice,
            fact.number,
            fact.agreement,
            fact.recipient,
            fact.asset,
            fact.period_from,
            fact.period_until,
            fact.due_at,
            fact.rated_intervals,
            fact.unrated_intervals,
            fact.generated_wh,
            fact.consumed_wh,
            sum(line.energy_wh for line in fact.lines),
            fact.total_stroops,
            recorded.envelope.seen,
            recorded.envelope.time,
            fact.later_due_at,
            fact.later_stroops,
            fact.replaces,
            fact.cutoff_at,
        ),
    )
    for line in fact.lines:
        yield INVOICE_LINE, (*place, *_line(fact.invoice, line))
    for part, used in enumerate(fact.readings, 1):
        stretch = (used.meter, used.stream, used.first_seq, used.last_seq, used.positions)
        yield INVOICE_READING, (*place, part, fact.invoice, *stretch)


def _line(invoice: str, line: InvoiceLine) -> Values:
    return (
        line.line,
        invoice,
        line.line_class,
        line.holding,
        line.tariff,
        line.tariff_version,
        line.price_position,
        line.price_stroops_per_kwh,
        line.energy_wh,
        line.amount_stroops,
        line.kind,
        line.payee,
        line.bucket,
        line.tier,
        line.rate_position,
        line.days,
        line.rate_ppm,
        line.base_lines,
    )


def invoice_drafted(recorded: Recorded[InvoiceDrafted]) -> Rows:
    """One row per draft."""
    fact = recorded.fact
    who = (fact.invoice, fact.agreement, fact.recipient, fact.asset)
    times = (fact.period_from, fact.period_until, fact.final_at)
    rated = (fact.rated_intervals, fact.unrated_intervals)
    lines = json_list(fact.lines)
    yield INVOICE_DRAFT, row(recorded, *who, *times, *rated, lines, fact.total_stroops)


def credit_note_issued(recorded: Recorded[CreditNoteIssued]) -> Rows:
    """One row per credit note."""
    fact = recorded.fact
    who = (fact.credit_note, fact.number, fact.agreement, fact.recipient, fact.asset, fact.invoice)
    why = (fact.reason, fact.because, json_list(fact.changes))
    yield CREDIT_NOTE, row(recorded, *who, *why, json_list(fact.amounts), fact.total_stroops)


def invoice_paid(recorded: Recorded[InvoicePaid]) -> Iterator[tuple[Table, Values]]:
    """One row per paid invoice."""
    fact = recorded.fact
    what = (fact.invoice, fact.agreement, fact.total_stroops, recorded.envelope.time)
    yield INVOICE_PAID, (recorded.stream, recorded.sequence, *what)
