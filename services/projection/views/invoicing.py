"""Rows of billing: agreements and invoices. Pure."""

from collections.abc import Iterator

from libs.events import AgreementOpened, InvoiceIssued, InvoicePaid, Recorded
from libs.events.invoicing import as_date
from services.projection.tables import (
    AGREEMENT,
    INVOICE,
    INVOICE_LINE,
    INVOICE_PAID,
    INVOICE_READING,
    Table,
    Values,
)


def agreement_opened(recorded: Recorded[AgreementOpened]) -> Iterator[tuple[Table, Values]]:
    """One row per agreement."""
    fact = recorded.fact
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
        ),
    )
    for line in fact.lines:
        price = (line.price_position, line.price_stroops_per_kwh)
        tariff = (line.tariff, line.tariff_version, *price)
        what = (fact.invoice, line.line_class, line.holding, *tariff)
        yield INVOICE_LINE, (*place, line.line, *what, line.energy_wh, line.amount_stroops)
    for part, used in enumerate(fact.readings, 1):
        stretch = (used.meter, used.stream, used.first_seq, used.last_seq, used.positions)
        yield INVOICE_READING, (*place, part, fact.invoice, *stretch)


def invoice_paid(recorded: Recorded[InvoicePaid]) -> Iterator[tuple[Table, Values]]:
    """One row per paid invoice."""
    fact = recorded.fact
    what = (fact.invoice, fact.agreement, fact.total_stroops, recorded.envelope.time)
    yield INVOICE_PAID, (recorded.stream, recorded.sequence, *what)
