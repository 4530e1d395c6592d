"""The bill on paper: equal bytes, readable text, and a code that a foreign reader understands."""

from dataclasses import replace

import pypdfium2  # type: ignore[import-untyped]
import zxingcpp

from services.gateway.invoice_pdf import PrintedInvoice, PrintedLine, render

PAYMENT = "heliograph:pay?book=pilot&agreement=sun&invoice=sun-2016-07&amount=61.1331200&asset=USD"
BILL = PrintedInvoice(
    title="Invoice 12",
    facts=(("Invoice", "sun-2016-07"), ("Due", "2016-08-16 06:00 UTC")),
    lines=(
        PrintedLine("Own use, peak", "123.456 kWh", "0.2500000 USD/kWh", "30.8640000 USD"),
        PrintedLine("Tax 8 %", "", "", "2.4691200 USD"),
    ),
    totals=(("Sum", "33.3331200 USD"), ("To pay", "33.3331200 USD")),
    payment=PAYMENT,
    payment_words="Pay with this code.",
    explanation=("The system gave 700 kWh & <b>no markup</b>.",),
    proof="heliograph prove sun-2016-07",
)


def text_of(pdf: bytes) -> str:
    pages = [page.get_textpage().get_text_bounded() for page in pypdfium2.PdfDocument(pdf)]
    return "\n".join(pages)


def test_the_same_bill_is_the_same_bytes() -> None:
    assert render(BILL) == render(replace(BILL))
    assert render(BILL) != render(replace(BILL, title="Invoice 13"))


def test_nothing_in_it_tells_when_or_where_it_was_printed() -> None:
    assert b"/CreationDate (D:20000101000000" in render(BILL)


def test_every_text_can_be_read_and_nothing_is_markup() -> None:
    text = text_of(render(BILL))
    for wanted in ("Invoice 12", "123.456 kWh", "30.8640000 USD", "To pay", "& <b>no markup</b>"):
        assert wanted in text


def test_a_foreign_reader_understands_the_payment_code() -> None:
    page = pypdfium2.PdfDocument(render(BILL))[0]
    (code,) = zxingcpp.read_barcodes(page.render(scale=3).to_pil())
    assert code.text == PAYMENT


def test_a_paid_bill_has_no_code_and_a_long_one_goes_on() -> None:
    lines = tuple(
        PrintedLine(f"Line {number}", "1.000 kWh", "", f"{number}.0000000 USD")
        for number in range(1, 200)
    )
    pdf = render(replace(BILL, payment=None, lines=lines))
    pages = pypdfium2.PdfDocument(pdf)
    assert len(pages) > 1
    assert not zxingcpp.read_barcodes(pages[0].render(scale=3).to_pil())
    text = text_of(pdf)
    assert all(f"{number}.0000000 USD" in text for number in range(1, 200))
