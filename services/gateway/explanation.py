"""The words of an invoice: every figure with where it comes from. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from libs.events.quantities import WH_PER_KWH
from libs.rules.numbers import scale
from services.gateway.shapes import Arithmetic, InvoiceDetail, Line, Price
from services.gateway.units import amount, code_of, is_zone, kwh

RANGES_MAX: Final = 60
"""Most characters of positions within a sentence; longer ones stand in the table only."""

_STATUS: Final = {
    "open": "It is open.",
    "part-paid": "It is paid in part.",
    "overdue": "It is overdue.",
    "settling": "The ledger has it paid; billing has not confirmed it yet.",
    "paid": "It is paid.",
    "credited": "A credit note undid it.",
    "replaced": "A credit note undid it, and another invoice stands in its place.",
    "pending": "It is pending.",
}


def arithmetic(
    *, energy_wh: int, price_stroops_per_kwh: int, amount_stroops: int, asset: str
) -> Arithmetic:
    """Do a line's arithmetic again, with the one function that rounds."""
    product = energy_wh * price_stroops_per_kwh
    rounded = scale(energy_wh, price_stroops_per_kwh, WH_PER_KWH)
    code = code_of(asset)
    exact = product % WH_PER_KWH == 0
    words = (
        f"{kwh(energy_wh)} kWh x {amount(price_stroops_per_kwh)} {code} per kWh = "
        f"{amount(rounded)} {code}"
    )
    if not exact:
        words += ", rounded once to 0.0000001, half to even"
    return Arithmetic(
        words=words,
        energy_wh=energy_wh,
        price_stroops_per_kwh=price_stroops_per_kwh,
        product=product,
        divisor=WH_PER_KWH,
        rounded_stroops=rounded,
        agrees=rounded == amount_stroops,
    )


def sentences(invoice: InvoiceDetail) -> list[str]:
    """Tell an issued invoice in sentences."""
    return [*_period(invoice), *_readings(invoice), *_lines(invoice), *_payments(invoice)]


def _period(invoice: InvoiceDetail) -> Iterator[str]:
    assert invoice.period_from is not None, "it is issued"
    assert invoice.period_until is not None, "it is issued"
    first = _day(invoice.period_from, invoice.time_zone)
    last = _day(invoice.period_until - timedelta(seconds=1), invoice.time_zone)
    yield (
        f"Invoice {invoice.invoice} (number {invoice.number}) covers {first} to {last}, local time "
        f"of {invoice.time_zone or 'UTC (the site is not known here yet)'}."
    )
    lacking = "No interval lacks a meter."
    if invoice.unrated_intervals:
        lacking = f"{invoice.unrated_intervals:,} intervals lack a meter or a price of the system; "
        lacking += "they are not billed."
    yield (
        f"{invoice.rated_intervals:,} intervals were rated: generation and consumption were both "
        f"known, {invoice.generated_kwh} kWh and {invoice.consumed_kwh} kWh. {lacking}"
    )


def _readings(invoice: InvoiceDetail) -> Iterator[str]:
    for used in invoice.readings:
        places = f"at {used.ranges}"
        if len(used.ranges) > RANGES_MAX:
            places = f"between {used.positions[0]} and {used.positions[-1]}"
        yield (
            f"Meter {used.meter}: {used.count:,} reports, its numbers {used.first_seq} to "
            f"{used.last_seq}, stand in {used.stream} {places}."
        )


def _lines(invoice: InvoiceDetail) -> Iterator[str]:
    code = code_of(invoice.asset or "")
    for line in invoice.lines:
        yield f"Line {line.line}, {what_for(line)}: {_words(line, code)}."
        if line.price is not None:
            yield _price(line.price)
        if line.arithmetic is not None and not line.arithmetic.agrees:
            yield f"Line {line.line} says {line.amount}: this does not agree."
    yield f"The lines sum to {invoice.total} {code}."


def what_for(line: Line) -> str:
    """Say in words what a line is for."""
    where = f", {line.bucket}" if line.bucket else ""
    if line.bucket and line.tier and line.tier > 1:
        where += f", tier {line.tier}"
    words = {
        "use": f"own use of {line.holding}{where}",
        "shared": f"surplus of agreement {line.payee} used by {line.holding}{where}",
        "standing": f"standing charge, {line.days} days",
        "upkeep": f"operation and maintenance, {line.days} days",
        "minimum": "up to the minimum payment",
        "term": "the rest, at the end of the term",
        "tax": f"tax of {_percent(line.rate_ppm or 0)} % on lines {_list(line.base_lines)}",
    }
    return words.get(line.kind, line.kind)


def _words(line: Line, code: str) -> str:
    if line.arithmetic is not None:
        return line.arithmetic.words
    if line.energy_wh:
        return f"{line.energy_kwh} kWh, each interval at its own price, {line.amount} {code}"
    return f"{line.amount} {code}"


def _percent(rate_ppm: int) -> str:
    whole, rest = divmod(rate_ppm, 10_000)
    return f"{whole}.{rest:04}".rstrip("0").rstrip(".")


def _list(numbers: list[int]) -> str:
    return ", ".join(str(number) for number in numbers)


def _price(price: Price) -> str:
    where = price.position.rpartition(":")[0]
    said = f"Its price is version {price.version} of tariff {price.tariff}, published at {where}"
    if price.state == "pending":
        return f"{said}; that fact is not projected yet."
    if price.state == "differs":
        return f"{said}; the fact there says something else."
    if price.effective_from is None:
        return f"{said}, a price of the market for each interval."
    return f"{said}, in force from {price.effective_from:%Y-%m-%d %H:%M} UTC."


def _payments(invoice: InvoiceDetail) -> Iterator[str]:
    code = code_of(invoice.asset or "")
    for payment in invoice.payments:
        yield (
            f"Payment {payment.payment} at {payment.stream}:{payment.sequence} cleared "
            f"{payment.cleared} {code}; the payment moved {payment.shares_moved:,} shares of title."
        )
    yield f"{_STATUS[invoice.status]} Cleared so far: {invoice.paid} of {invoice.total} {code}."
    cleared = invoice.paid_stroops + invoice.open_stroops
    if invoice.total_stroops and cleared < invoice.total_stroops:
        otherwise = invoice.total_stroops - cleared
        yield f"{amount(otherwise)} {code} were capped, credited or paid before."


def _day(moment: datetime, zone: str | None) -> str:
    local = moment.astimezone(ZoneInfo(zone if zone and is_zone(zone) else "UTC"))
    return f"{local:%Y-%m-%d}"
