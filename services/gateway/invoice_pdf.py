"""A bill on paper: the same bytes for the same bill, always. Pure.

Everything that is printed comes in as text; nothing is computed here but places on the page. The
document holds no date of making and no random id, so its SHA-256 can be compared by anybody who
prints it again with the same release.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from reportlab.graphics.barcode.qr import QrCodeWidget
from reportlab.graphics.shapes import Drawing
from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    Flowable,
    KeepTogether,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

QR_MM: Final = 34
"""Side of the payment code in millimetres."""

_INK, _FAINT, _RULE = HexColor("#1a1a1a"), HexColor("#666666"), HexColor("#cccccc")
_BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=9, leading=12, textColor=_INK)
_SMALL = ParagraphStyle("small", _BODY, fontSize=7.5, leading=9.5, textColor=_FAINT)
_SMALL_RIGHT = ParagraphStyle("small-right", _SMALL, alignment=TA_RIGHT)
_RIGHT = ParagraphStyle("right", _BODY, alignment=TA_RIGHT)
_BOLD = ParagraphStyle("bold", _BODY, fontName="Helvetica-Bold")
_BOLD_RIGHT = ParagraphStyle("bold-right", _BOLD, alignment=TA_RIGHT)
_TITLE = ParagraphStyle("title", _BODY, fontName="Helvetica-Bold", fontSize=16, leading=20)
_COLUMNS: Final = (78 * mm, 27 * mm, 35 * mm, 34 * mm)
_MARGIN: Final = 18 * mm


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """One line of the bill."""

    what: str
    """What it is for."""
    quantity: str
    """How much, with its unit; empty where there is none."""
    price: str
    """What one unit costs; empty where there is none."""
    amount: str
    """What the line asks for."""


@dataclass(frozen=True, slots=True)
class PrintedInvoice:
    """What stands on the paper, as text."""

    title: str
    """Headline, such as `Invoice 12` or `Draft`."""
    facts: Sequence[tuple[str, str]]
    """Names and values at the top: period, agreement, due time."""
    lines: Sequence[PrintedLine]
    """The lines."""
    totals: Sequence[tuple[str, str]]
    """Names and amounts under the lines; the last one is what is to be paid."""
    payment: str | None
    """What the payment code says; None where nothing is to be paid."""
    payment_words: str
    """How to pay, beside the code."""
    explanation: Sequence[str]
    """The bill in sentences."""
    proof: str
    """How to check it."""


def render(invoice: PrintedInvoice) -> bytes:
    """Print a bill.

    Args:
        invoice: What stands on it.

    Returns:
        A PDF of one or more A4 pages; equal input gives equal bytes.
    """
    target = io.BytesIO()
    document = SimpleDocTemplate(
        target,
        pagesize=A4,
        invariant=1,
        title=invoice.title,
        author="Heliograph",
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN,
    )
    document.build(_story(invoice), onFirstPage=_foot, onLaterPages=_foot)
    return target.getvalue()


def _story(invoice: PrintedInvoice) -> list[Flowable]:
    story: list[Flowable] = [_paragraph(invoice.title, _TITLE), Spacer(0, 4 * mm)]
    story.append(_pairs(invoice.facts, (40 * mm, 134 * mm), _BODY))
    story += [Spacer(0, 6 * mm), _lines(invoice.lines), Spacer(0, 2 * mm)]
    story += [_totals(invoice.totals), Spacer(0, 6 * mm)]
    if invoice.payment is not None:
        story.append(_payment(invoice.payment, invoice.payment_words))
    if invoice.explanation:
        story.append(Spacer(0, 4 * mm))
        story += [_paragraph(sentence, _BODY) for sentence in invoice.explanation]
    story += [Spacer(0, 4 * mm), _paragraph(invoice.proof, _SMALL)]
    return story


def _paragraph(text: str, style: ParagraphStyle) -> Paragraph:
    """Text as text: nothing in it is markup."""
    safe = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Paragraph(safe, style)


def _pairs(
    pairs: Sequence[tuple[str, str]], widths: tuple[float, float], style: ParagraphStyle
) -> Table:
    rows = [[_paragraph(name, _SMALL), _paragraph(value, style)] for name, value in pairs]
    table = Table(rows, colWidths=widths, hAlign="LEFT")
    table.setStyle(
        TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, -1), 0)])
    )
    return table


def _lines(lines: Sequence[PrintedLine]) -> Table:
    head = [_paragraph("For", _SMALL)]
    head += [_paragraph(name, _SMALL_RIGHT) for name in ("Quantity", "Price", "Amount")]
    rows = [head]
    rows += [
        [
            _paragraph(line.what, _BODY),
            _paragraph(line.quantity, _RIGHT),
            _paragraph(line.price, _RIGHT),
            _paragraph(line.amount, _RIGHT),
        ]
        for line in lines
    ]
    table = Table(rows, colWidths=_COLUMNS, repeatRows=1, hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, 0), 0.6, _INK),
                ("LINEBELOW", (0, 1), (-1, -1), 0.3, _RULE),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("LEFTPADDING", (0, 0), (0, -1), 0),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ]
        )
    )
    return table


def _totals(totals: Sequence[tuple[str, str]]) -> Table:
    rows = []
    for place, (name, value) in enumerate(totals, 1):
        is_last = place == len(totals)
        left, right = (_BOLD, _BOLD_RIGHT) if is_last else (_BODY, _RIGHT)
        rows.append([_paragraph(name, left), _paragraph(value, right)])
    table = Table(rows, colWidths=(sum(_COLUMNS[:3]), _COLUMNS[3]), hAlign="LEFT")
    table.setStyle(
        TableStyle(
            [
                ("LINEABOVE", (0, -1), (-1, -1), 0.6, _INK),
                ("LEFTPADDING", (0, 0), (0, -1), 0),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ]
        )
    )
    return table


def _payment(payload: str, words: str) -> KeepTogether:
    side = QR_MM * mm
    code = QrCodeWidget(payload, barWidth=side, barHeight=side, barLevel="M")
    drawing = Drawing(side, side)
    drawing.add(code)
    table = Table(
        [[drawing, [_paragraph(words, _BODY), Spacer(0, 2 * mm), _paragraph(payload, _SMALL)]]],
        colWidths=(side + 6 * mm, 174 * mm - side - 6 * mm),
        hAlign="LEFT",
    )
    table.setStyle(
        TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), ("LEFTPADDING", (0, 0), (0, 0), 0)])
    )
    return KeepTogether([table])


def _foot(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.saveState()
    canvas.setFont("Helvetica", 7.5)
    canvas.setFillColor(_FAINT)
    canvas.drawString(_MARGIN, 10 * mm, "Heliograph: a bill that proves itself")
    canvas.drawRightString(A4[0] - _MARGIN, 10 * mm, f"page {document.page}")
    canvas.restoreState()
