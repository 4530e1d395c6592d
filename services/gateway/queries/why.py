"""Why a bill asks for what it asks for: one tree, from its amount down to who signed what."""

from collections.abc import Mapping
from typing import Any, Final

from services.gateway.database import Connection
from services.gateway.explanation import what_for
from services.gateway.queries import owning
from services.gateway.shapes import InvoiceDetail, Line, Shape
from services.gateway.shapes.owning import CreditNote
from services.gateway.units import code_of

READINGS_SHOWN: Final = 400
"""Most readings of one meter that are told one by one; all positions stand in the invoice."""

READINGS_SHOWN_IN_ALL: Final = 4_000
"""Most of all meters of a bill: each has an equal part of them."""

_SIGNED: Final = """
SELECT reading.stream, reading.sequence, reading.seq, reading.first_interval_at,
       reading.until_at, reading.generated_wh, reading.consumed_wh, meter.address
FROM reading LEFT JOIN meter ON meter.meter = reading.meter
WHERE reading.stream = $1 AND reading.sequence = ANY ($2) AND reading.meter = $3
ORDER BY reading.sequence LIMIT $4
"""

_AGREED: Final = """
SELECT agreement.stream, agreement.sequence, agreement.recipient, agreement.tariff,
       agreement.period, agreement.first_day, holding.holding, holding.units, holding.system,
       holding.stream AS holding_stream, holding.sequence AS holding_sequence
FROM agreement LEFT JOIN holding ON holding.holding = agreement.holding
    AND holding.stream = 'LEDGER_' || book_of(agreement.stream)
WHERE agreement.agreement = $1 AND agreement.stream = $2
"""


class Why(Shape):
    """A node of the tree: a statement, and what it rests on."""

    says: str
    """The statement."""
    position: str | None = None
    """Stream and sequence of the fact that says so; null for what follows from those below."""
    amount_stroops: int | None = None
    """The amount that it explains, in stroops."""
    energy_wh: int | None = None
    """The energy that it explains, in Wh."""
    because: "tuple[Why, ...]" = ()
    """What it rests on."""


async def why(connection: Connection, invoice: InvoiceDetail) -> Why | None:
    """The whole trace of an invoice; `None` while its issue is not projected."""
    if invoice.number is None:
        return None
    code = code_of(invoice.asset or "")
    shown = min(READINGS_SHOWN, READINGS_SHOWN_IN_ALL // max(1, len(invoice.readings)))
    meters = [await _readings(connection, used, shown) for used in invoice.readings]
    because, told_in = [await _agreed(connection, invoice)], 0
    for line in invoice.lines:
        because.append(_line(line, code, meters, told_in))
        told_in = told_in or (line.line if line.energy_wh else 0)
    if invoice.unrated_intervals:
        lacking = (
            f"{invoice.unrated_intervals:,} intervals are not billed: a meter or a price lacks"
        )
        because.append(Why(says=lacking))
    because += await _undone(connection, invoice)
    because += [
        Why(
            says=f"{payment.payment} cleared {payment.cleared} {code} of {payment.line_class}",
            position=f"{payment.stream}:{payment.sequence}",
            amount_stroops=payment.cleared_stroops,
        )
        for payment in invoice.payments
    ]
    return Why(
        says=f"Invoice {invoice.invoice} (number {invoice.number}) asks for {invoice.total} {code}",
        position=f"{invoice.stream}:{invoice.sequence}",
        amount_stroops=invoice.total_stroops,
        energy_wh=invoice.energy_wh,
        because=tuple(because),
    )


def _line(line: Line, code: str, meters: list[Why], told_in: int) -> Why:
    """A line rests on its price, on the readings, or on other lines.

    Args:
        line: The line.
        code: Of the asset.
        meters: The readings; every line of energy rests on all of them.
        told_in: The line that tells of them already, or 0: once is enough.
    """
    because: list[Why] = []
    if line.price is not None:
        price = line.price
        per_kwh = f"{price.price_per_kwh} {code} per kWh" if price.price_per_kwh else "by interval"
        because.append(
            Why(
                says=f"version {price.version} of tariff {price.tariff}: {per_kwh}",
                position=price.position.rpartition(":")[0],
            )
        )
    if line.energy_wh:
        because += [Why(says=f"the readings of line {told_in}")] if told_in else meters
    if line.base_lines:
        lines = ", ".join(str(number) for number in line.base_lines)
        because.append(Why(says=f"it is on lines {lines}"))
    how = line.arithmetic.words if line.arithmetic else f"{line.amount} {code}"
    return Why(
        says=f"Line {line.line}, {what_for(line)}: {how}",
        amount_stroops=line.amount_stroops,
        energy_wh=line.energy_wh or None,
        because=tuple(because),
    )


async def _readings(connection: Connection, used: Any, shown: int) -> Why:
    rows = await connection.fetch(_SIGNED, used.stream, used.positions, used.meter, shown)
    return Why(
        says=f"Meter {used.meter}: {used.count} reports, its numbers {used.first_seq} to "
        f"{used.last_seq}, at {used.ranges} of {used.stream}",
        because=tuple(_reading(row) for row in rows),
    )


def _reading(row: Mapping[str, Any]) -> Why:
    generated, consumed = row["generated_wh"], row["consumed_wh"]
    what = f"{generated} Wh generated" if generated is not None else f"{consumed} Wh consumed"
    span = f"{row['first_interval_at']:%Y-%m-%d %H:%M} to {row['until_at']:%Y-%m-%d %H:%M} UTC"
    return Why(
        says=f"report {row['seq']}, {span}: {what}, signed by {row['address']}",
        position=f"{row['stream']}:{row['sequence']}",
        energy_wh=generated if generated is not None else consumed,
    )


async def _agreed(connection: Connection, invoice: InvoiceDetail) -> Why:
    row = await connection.fetchrow(_AGREED, invoice.agreement, invoice.stream)
    if row is None:
        return Why(says=f"agreement {invoice.agreement} is not projected yet")
    held: tuple[Why, ...] = ()
    if row["holding_stream"] is not None:
        says = f"holding {row['holding']} has {row['units']} units of {row['system']}"
        held = (Why(says=says, position=f"{row['holding_stream']}:{row['holding_sequence']}"),)
    return Why(
        says=f"{row['recipient']} agreed to pay by tariff {row['tariff']}, period "
        f"{row['period']}, from {row['first_day']} on",
        position=f"{row['stream']}:{row['sequence']}",
        because=held,
    )


async def _undone(connection: Connection, invoice: InvoiceDetail) -> list[Why]:
    """Credit notes on this invoice, and the one on the invoice that it replaces."""
    found: list[Why] = []
    for name in filter(None, (invoice.replaces, invoice.invoice)):
        assert isinstance(invoice.stream, str), "it is issued"
        book = invoice.stream.partition("_")[2]
        notes = await owning.credit_notes(connection, book=book, invoice=name, limit=20)
        found += [_note(note, name) for note in notes.items]
    return found


def _note(note: CreditNote, name: str) -> Why:
    return Why(
        says=f"Credit note {note.credit_note} (number {note.number}) undid {name}, because of "
        f"{note.reason}: {note.total}",
        position=f"{note.stream}:{note.sequence}",
        amount_stroops=note.total_stroops,
        because=(
            *(Why(says="changed by", position=each) for each in note.because),
            *(Why(says=_change(each)) for each in note.changes),
        ),
    )


def _change(change: Mapping[str, Any]) -> str:
    where = f" {change['bucket']}" if change.get("bucket") else ""
    return (
        f"{change['kind']}{where}: {change['before_wh']} Wh, {change['before_stroops']} stroops "
        f"before; {change['after_wh']} Wh, {change['after_stroops']} stroops after"
    )
