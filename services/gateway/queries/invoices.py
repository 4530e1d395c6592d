"""Invoices, and what explains them."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from libs.rules.periods import local_day
from services.gateway.database import Connection
from services.gateway.explanation import arithmetic, sentences
from services.gateway.paging import Key, cut
from services.gateway.shapes import (
    Invoice,
    InvoiceDetail,
    Line,
    Page,
    Payment,
    Price,
    ReadingsUsed,
)
from services.gateway.units import amount, is_zone, kwh, ranges

_INVOICES: Final = """
SELECT invoice_state.*, agreed.time_zone FROM invoice_state
LEFT JOIN LATERAL (
    SELECT time_zone FROM agreement
    WHERE agreement.agreement = invoice_state.agreement
      AND agreement.stream = invoice_state.stream
    ORDER BY sequence LIMIT 1
) agreed ON true
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

_ONE: Final = _INVOICES + "WHERE invoice = $1 ORDER BY sequence LIMIT 1"

_LINES: Final = """
SELECT invoice_line.*, tariff.effective_from, tariff.prices, tariff.tariff AS found_tariff,
       tariff.version AS found_version, published.feed,
       tariff.stream IS NOT NULL OR published.stream IS NOT NULL AS is_found,
       COALESCE(tariff.hash, published.hash) = split_part(price_position, ':', 3) AS is_there
FROM invoice_line
LEFT JOIN tariff ON tariff.stream = split_part(price_position, ':', 1)
                AND tariff.sequence = split_part(price_position, ':', 2)::bigint
LEFT JOIN price_published published
    ON published.stream = split_part(price_position, ':', 1)
    AND published.sequence = split_part(price_position, ':', 2)::bigint
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
SELECT cleared.*, payment.payer,
       COALESCE(payment.returned_stroops, credit.returned_stroops) AS returned_stroops,
       COALESCE(payment.principal_stroops, credit.principal_stroops) AS principal_stroops,
       COALESCE(moved.shares, 0)::bigint AS shares_moved
FROM payment_cleared cleared
LEFT JOIN payment ON payment.stream = cleared.stream AND payment.sequence = cleared.sequence
LEFT JOIN credit_applied credit
    ON credit.stream = cleared.stream AND credit.sequence = cleared.sequence
LEFT JOIN LATERAL (
    SELECT sum(shares) AS shares FROM title_move
    WHERE title_move.payment = cleared.payment AND title_move.stream = cleared.stream
) moved ON true
WHERE cleared.invoice = $1 AND ($2::text IS NULL OR cleared.stream = 'LEDGER_' || book_of($2))
ORDER BY cleared.stream, cleared.sequence, cleared.part LIMIT 1000
"""


async def invoices(
    connection: Connection, *, agreement: str | None, limit: int, after: Key | None
) -> Page[Invoice]:
    """Give invoices, newest first."""
    at, stream, sequence = after or (None, None, None)
    rows = await connection.fetch(_LIST, at, stream, sequence, agreement, limit + 1)
    keyed = [((row["issued_at"], row["stream"], row["sequence"]), row) for row in rows]
    items = [Invoice(**_short(row)) for row in rows[:limit]]
    return Page(items=items, next_cursor=cut(keyed, limit))


async def invoice(connection: Connection, invoice_id: str) -> InvoiceDetail | None:
    """Give one invoice with its explanation; `None` when no stream has named it."""
    row = await connection.fetchrow(_ONE, invoice_id)
    stream = None if row is None else row["stream"]  # other books may use the same names
    rows = await connection.fetch(_PAYMENTS, invoice_id, stream)
    payments = [_payment(found) for found in rows]
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
    zone, short = row["time_zone"], _short(row)
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


def status_of(row: Mapping[str, Any]) -> str:
    """Tell how an invoice stands; both halves must agree before it counts as paid.

    Args:
        row: Of `invoice_state`: what billing asked for and said, less what the ledger did.
    """
    if row["status"] in {"replaced", "credited"}:
        return str(row["status"])
    if row["paid_at"] is not None:
        return "paid"
    if row["total_stroops"] and row["open_stroops"] == 0:
        return "settling"
    if row["overdue_stroops"]:
        return "overdue"
    return "part-paid" if row["cleared_stroops"] else "open"


def _short(row: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        "invoice number agreement recipient asset period_from period_until issued_at due_at "
        "later_due_at replaces replaced_by energy_wh total_stroops open_stroops stream sequence"
    )
    zone = row["time_zone"] if is_zone(row["time_zone"]) else "UTC"
    return {name: row[name] for name in names.split()} | {
        "first_day": local_day(row["period_from"], zone),
        "last_day": local_day(row["period_until"] - timedelta(seconds=1), zone),
        "energy_kwh": kwh(row["energy_wh"]),
        "total": amount(row["total_stroops"]),
        "paid_stroops": row["cleared_stroops"],
        "paid": amount(row["cleared_stroops"]),
        "open": amount(row["open_stroops"]),
        "status": status_of(row),
    }


def _line(row: Mapping[str, Any], asset: str) -> Line:
    price = None if row["price_position"] is None else _price(row)
    sum_done = None
    if row["price_stroops_per_kwh"] is not None and row["rate_position"] is None:
        sum_done = arithmetic(
            energy_wh=row["energy_wh"],
            price_stroops_per_kwh=row["price_stroops_per_kwh"],
            amount_stroops=row["amount_stroops"],
            asset=asset,
        )
    names = "line line_class kind holding payee bucket tier days rate_ppm energy_wh amount_stroops"
    return Line.model_validate(
        {name: row[name] for name in names.split()}
        | {
            "base_lines": row["base_lines"],
            "energy_kwh": kwh(row["energy_wh"]),
            "amount": amount(row["amount_stroops"]),
            "price": price,
            "arithmetic": sum_done,
        }
    )


def _price(row: Mapping[str, Any]) -> Price:
    stroops = row["price_stroops_per_kwh"]
    state = "pending"
    if row["is_found"]:
        state = "found" if row["is_there"] and _says_so(row) else "differs"
    return Price.model_validate(
        {
            "tariff": row["tariff"],
            "version": row["tariff_version"],
            "price_stroops_per_kwh": stroops,
            "price_per_kwh": None if stroops is None else amount(stroops),
            "position": row["price_position"],
            "effective_from": row["effective_from"],
            "state": state,
        }
    )


def _says_so(row: Mapping[str, Any]) -> bool:
    """Tell whether the tariff at the named position has the price of the line."""
    if row["found_tariff"] is None:
        return row["feed"] is not None  # a market price: one for each interval
    if (row["found_tariff"], row["found_version"]) != (row["tariff"], row["tariff_version"]):
        return False
    prices: dict[str, Any] = json.loads(row["prices"])
    said, stroops = prices.get("price_stroops_per_kwh"), row["price_stroops_per_kwh"]
    for bucket in (prices.get("time_of_use") or {}).get("buckets", ()):
        if bucket["name"] == row["bucket"]:
            said = bucket["tiers"][(row["tier"] or 1) - 1]["price_stroops_per_kwh"]
    return bool(said is None or stroops is None or said == stroops)


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
    found = [
        f"price of line {line.line}"
        for line in lines
        if line.price is not None and line.price.state == "pending"
    ]
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
            "open_stroops": 0,
            "open": amount(0),
            "status": "pending",
            "lines": [],
            "readings": [],
            "payments": payments,
            "pending": ["the invoice itself"],
            "explanation": ["Payments name this invoice; its issue is not projected yet."],
        }
    )
