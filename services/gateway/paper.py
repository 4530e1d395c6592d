"""From an invoice as the API tells it to what stands on the paper. Pure."""

from datetime import timedelta
from typing import Final
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from services.gateway.explanation import what_for
from services.gateway.invoice_pdf import PrintedInvoice, PrintedLine
from services.gateway.shapes import InvoiceDetail, Line
from services.gateway.units import amount, code_of, is_zone

MEMO_SIZE_MAX: Final = 28
"""Most bytes of a text memo on Stellar; an id has one byte a character."""


def printed(invoice: InvoiceDetail, payee: str = "") -> PrintedInvoice:
    """What stands on the paper of an issued invoice.

    Args:
        invoice: With everything that explains it.
        payee: Stellar address that takes payments; empty: payments name the agreement.
    """
    code = code_of(invoice.asset or "")
    paid_otherwise = (invoice.total_stroops or 0) - invoice.paid_stroops - invoice.open_stroops
    totals = [("Sum of the lines", f"{invoice.total} {code}")]
    if invoice.paid_stroops:
        totals.append(("Paid", f"{invoice.paid} {code}"))
    if paid_otherwise > 0:
        totals.append(("Capped, credited or paid before", f"{amount(paid_otherwise)} {code}"))
    totals.append(("To pay", f"{invoice.open} {code}"))
    return PrintedInvoice(
        title=f"Invoice {invoice.number}",
        facts=tuple(_facts(invoice)),
        lines=tuple(_line(line, code) for line in invoice.lines),
        totals=tuple(totals),
        payment=payment_code(invoice, payee) if invoice.open_stroops else None,
        payment_words=(
            f"Pay {invoice.open} {code} with this code, or name the agreement "
            f"{invoice.agreement} as reference."
        ),
        explanation=tuple(invoice.explanation),
        proof=(
            f"This bill stands at {invoice.stream}:{invoice.sequence}. `heliograph prove "
            f"{invoice.invoice}` makes a file of it that anybody can check offline."
        ),
    )


def payment_code(invoice: InvoiceDetail, payee: str) -> str:
    """What the payment code says.

    Args:
        invoice: What is to be paid.
        payee: Stellar address that takes payments, or empty.

    Returns:
        A payment request of SEP-7 where the asset lives on Stellar and an address takes payments,
        with the agreement as text memo, if that has room for it; else a `heliograph:pay` address
        with the same members.
    """
    code, _, issuer = (invoice.asset or "").partition(":")
    if issuer and payee and len(invoice.agreement) <= MEMO_SIZE_MAX:
        asked = {
            "destination": payee,
            "amount": invoice.open,
            "asset_code": code,
            "asset_issuer": issuer,
            "memo": invoice.agreement,
            "memo_type": "MEMO_TEXT",
        }
        return f"web+stellar:pay?{urlencode(asked, quote_via=quote)}"
    asked = {
        "agreement": invoice.agreement,
        "invoice": invoice.invoice,
        "amount": invoice.open,
        "asset": code,
    }
    return f"heliograph:pay?{urlencode(asked, quote_via=quote)}"


def _facts(invoice: InvoiceDetail) -> list[tuple[str, str]]:
    zone = invoice.time_zone if is_zone(invoice.time_zone) else "UTC"
    assert invoice.period_from is not None, "it is issued"
    assert invoice.period_until is not None, "it is issued"
    assert invoice.issued_at is not None, "it is issued"
    assert invoice.due_at is not None, "it is issued"
    first = invoice.period_from.astimezone(ZoneInfo(zone or "UTC"))
    last = (invoice.period_until - timedelta(seconds=1)).astimezone(ZoneInfo(zone or "UTC"))
    facts = [
        ("Invoice", invoice.invoice),
        ("Agreement", invoice.agreement),
        ("For", invoice.recipient or ""),
        ("Period", f"{first:%Y-%m-%d} to {last:%Y-%m-%d}, {zone}"),
        ("Issued", f"{invoice.issued_at:%Y-%m-%d %H:%M} UTC"),
        ("Due", f"{invoice.due_at:%Y-%m-%d %H:%M} UTC"),
    ]
    if invoice.replaces is not None:
        facts.append(("In place of", invoice.replaces))
    if invoice.replaced_by is not None:
        facts.append(("Replaced by", invoice.replaced_by))
    return facts


def _line(line: Line, code: str) -> PrintedLine:
    price = line.price.price_per_kwh if line.price is not None else None
    what = what_for(line)
    return PrintedLine(
        what=what[:1].upper() + what[1:],
        quantity=f"{line.energy_kwh} kWh" if line.energy_wh else "",
        price="" if price is None else f"{price} {code}/kWh",
        amount=f"{line.amount} {code}",
    )
