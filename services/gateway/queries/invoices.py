"""Invoices, and what explains them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from services.gateway.database import Connection
from services.gateway.explanation import arithmetic, sentences
from services.gateway.paging import Key, cut
from services.gateway.queries.community import now_of
from services.gateway.shapes import (
    Invoice,
    InvoiceDetail,
    Line,
    Page,
    Payment,
    Price,
    ReadingsUsed,
)
from services.gateway.units import amount, kwh, ranges

_INVOICES: Final = """
SELECT invoice.*, coalesce(cleared.paid_stroops, 0)::bigint AS paid_stroops, done.paid_at
FROM invoice
LEFT JOIN LATERAL (
    SELECT sum(amount_stroops) AS paid_stroops FROM payment_cleared
    WHERE payment_cleared.invoice = invoice.invoice
) cleared ON true
LEFT JOIN LATERAL (
    SELECT paid_at FROM invoice_paid
    WHERE invoice_paid.invoice = invoice.invoice ORDER BY sequence LIMIT 1
) done ON true
"""

_LIST: Final = (
    _INVOICES
    + """
WHERE ($1::timestamptz IS NULL OR (issued_at, stream, sequence) < ($1, $2::text, $3::bigint))
  AND ($4::text IS NULL OR agreement = $4)
ORDER BY issued_at DESC, stream DESC, sequence DESC
LIMIT $5
"""
)

_ONE: Final = _INVOICES + "WHERE invoice.invoice = $1 ORDER BY sequence LIMIT 1"

_LINES: Final = """
SELECT invoice_line.*, tariff.effective_from, tariff.stream IS NOT NULL AS is_found,
       tariff.tariff = invoice_line.tariff AND tariff.version = invoice_line.tariff_version
         AND tariff.price_stroops_per_kwh = invoice_line.price_stroops_per_kwh
         AND tariff.hash = split_part(price_position, ':', 3) AS is_same
FROM invoice_line
LEFT JOIN tariff ON tariff.stream = split_part(price_position, ':', 1)
                AND tariff.sequence = split_part(price_position, ':', 2)::bigint
WHERE invoice_line.stream = $1 AND invoice_line.sequence = $2
ORDER BY line
"""

_READINGS: Final = """
SELECT invoice_reading.*, (
    SELECT count(*) FROM reading
    WHERE reading.stream = readings_stream AND reading.sequence = ANY (positions)
      AND reading.meter = invoice_reading.meter
) AS found
FROM invoice_reading WHERE stream = $1 AND sequence = $2 ORDER BY part
"""

_PAYMENTS: Final = """
SELECT cleared.*, payment.payer, payment.returned_stroops, payment.principal_stroops,
       coalesce(moved.shares, 0)::bigint AS shares_moved
FROM payment_cleared cleared
LEFT JOIN payment ON payment.stream = cleared.stream AND payment.sequence = cleared.sequence
LEFT JOIN LATERAL (
    SELECT sum(shares) AS shares FROM title_move WHERE title_move.payment = cleared.payment
) moved ON true
WHERE cleared.invoice = $1
ORDER BY cleared.stream, cleared.sequence, cleared.part LIMIT 1000
"""


async def invoices(
    connection: Connection, *, agreement: str | None, limit: int, after: Key | None
) -> Page[Invoice]:
    """Give invoices, newest first."""
    at, stream, sequence = after or (None, None, None)
    rows = await connection.fetch(_LIST, at, stream, sequence, agreement, limit + 1)
    now = await now_of(connection)
    keyed = [((row["issued_at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [Invoice(**_short(row, now)) for row in rows[:limit]]
    return Page(items=items, next_cursor=cut(keyed, limit))


async def invoice(connection: Connection, invoice_id: str) -> InvoiceDetail | None:
    """Give one invoice with its explanation; `None` when no stream has named it."""
    row = await connection.fetchrow(_ONE, invoice_id)
    payments = [_payment(found) for found in await connection.fetch(_PAYMENTS, invoice_id)]
    if row is None:
        if not payments:
            return None
        agreement = await connection.fetchval(
            "SELECT agreement FROM payment_cleared WHERE invoice = $1 LIMIT 1", invoice_id
        )
        return _only_paid(invoice_id, agreement, payments)
    place = (row["stream"], row["sequence"])
    lines = [_line(found, row["asset"]) for found in await connection.fetch(_LINES, *place)]
    used = [_used(found) for found in await connection.fetch(_READINGS, *place)]
    zone = await connection.fetchval(
        "SELECT time_zone FROM agreement WHERE agreement = $1 ORDER BY sequence LIMIT 1",
        row["agreement"],
    )
    short = _short(row, await now_of(connection))
    detail = InvoiceDetail(
        **short,
        time_zone=zone,
        rated_intervals=row["rated_intervals"],
        unrated_intervals=row["unrated_intervals"],
        generated_wh=row["generated_wh"],
        generated_kwh=kwh(row["generated_wh"]),
        consumed_wh=row["consumed_wh"],
        consumed_kwh=kwh(row["consumed_wh"]),
        lines=lines,
        readings=used,
        payments=payments,
        paid_at=row["paid_at"],
        pending=_pending(short["status"], lines, used, zone),
        explanation=[],
    )
    return detail.model_copy(update={"explanation": sentences(detail)})


def status_of(
    *, total: int, paid: int, is_paid: bool, due_at: datetime, now: datetime | None
) -> str:
    """Tell how an invoice stands; both halves must agree before it counts as paid.

    Args:
        total: What it asks for, in stroops.
        paid: What payments cleared, in stroops: the ledger's half.
        is_paid: Whether billing said that it is paid: the other half.
        due_at: When it falls due.
        now: Time of the clock of the rules.
    """
    if is_paid:
        return "paid"
    if total and paid >= total:
        return "settling"
    if now is not None and now > due_at:
        return "overdue"
    return "part-paid" if paid else "open"


def _short(row: Mapping[str, Any], now: datetime | None) -> dict[str, Any]:
    total, paid = row["total_stroops"], row["paid_stroops"]
    names = (
        "invoice number agreement recipient asset period_from period_until issued_at due_at "
        "energy_wh total_stroops paid_stroops stream sequence"
    )
    return {name: row[name] for name in names.split()} | {
        "energy_kwh": kwh(row["energy_wh"]),
        "total": amount(total),
        "paid": amount(paid),
        "status": status_of(
            total=total,
            paid=paid,
            is_paid=row["paid_at"] is not None,
            due_at=row["due_at"],
            now=now,
        ),
    }


def _line(row: Mapping[str, Any], asset: str) -> Line:
    known = "found" if row["is_same"] else "differs"
    return Line(
        line=row["line"],
        line_class=row["line_class"],
        holding=row["holding"],
        energy_wh=row["energy_wh"],
        energy_kwh=kwh(row["energy_wh"]),
        amount_stroops=row["amount_stroops"],
        amount=amount(row["amount_stroops"]),
        price=Price.model_validate(
            {
                "tariff": row["tariff"],
                "version": row["tariff_version"],
                "price_stroops_per_kwh": row["price_stroops_per_kwh"],
                "price_per_kwh": amount(row["price_stroops_per_kwh"]),
                "position": row["price_position"],
                "effective_from": row["effective_from"],
                "state": known if row["is_found"] else "pending",
            }
        ),
        arithmetic=arithmetic(
            energy_wh=row["energy_wh"],
            price_stroops_per_kwh=row["price_stroops_per_kwh"],
            amount_stroops=row["amount_stroops"],
            asset=asset,
        ),
    )


def _used(row: Mapping[str, Any]) -> ReadingsUsed:
    count = len(row["positions"])
    return ReadingsUsed(
        meter=row["meter"],
        stream=row["readings_stream"],
        first_seq=row["first_seq"],
        last_seq=row["last_seq"],
        count=count,
        positions=row["positions"],
        ranges=ranges(row["positions"]),
        found=row["found"],
        state="found" if row["found"] == count else "pending",
    )


def _payment(row: Mapping[str, Any]) -> Payment:
    return Payment(
        payment=row["payment"],
        payer=row["payer"],
        line_class=row["line_class"],
        cleared_stroops=row["amount_stroops"],
        cleared=amount(row["amount_stroops"]),
        returned_stroops=row["returned_stroops"],
        principal_stroops=row["principal_stroops"],
        shares_moved=row["shares_moved"],
        settled_at=row["settled_at"],
        stream=row["stream"],
        sequence=row["sequence"],
    )


def _pending(
    status: str, lines: list[Line], used: list[ReadingsUsed], zone: str | None
) -> list[str]:
    found = [f"price of line {line.line}" for line in lines if line.price.state == "pending"]
    found += [f"readings of {part.meter}" for part in used if part.state == "pending"]
    found += ["agreement"] if zone is None else []
    return found + (["billing's word that it is paid"] if status == "settling" else [])


def _only_paid(invoice_id: str, agreement: str, payments: list[Payment]) -> InvoiceDetail:
    """The ledger's half alone: billing's stream is projected later."""
    paid = sum(payment.cleared_stroops for payment in payments)
    optional = {
        name: None
        for name, info in InvoiceDetail.model_fields.items()
        if type(None) in getattr(info.annotation, "__args__", ())
    }
    return InvoiceDetail.model_validate(
        optional
        | {
            "invoice": invoice_id,
            "agreement": agreement,
            "paid_stroops": paid,
            "paid": amount(paid),
            "status": "pending",
            "lines": [],
            "readings": [],
            "payments": payments,
            "pending": ["the invoice itself"],
            "explanation": ["Payments name this invoice; its issue is not projected yet."],
        }
    )
