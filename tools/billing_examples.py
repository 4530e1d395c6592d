"""The examples of billing: Raul's agreement, his bill of July, and the one that replaces it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from libs.events import billing_commands as asked
from libs.events import invoicing
from libs.events.books import ClassAmount
from libs.events.fact import Fact
from libs.events.positions import write_cause
from tools.example_parts import (
    AUGUST,
    BILLING,
    BOOK,
    JULY,
    LEDGER,
    PRICES,
    READINGS,
    SPRING,
    USD,
    Example,
    at,
    claims,
    from_command,
    from_time,
    least_of,
    signed,
)
from tools.ownership_examples import AGREEMENT, HOLDING, TERMS
from tools.repayment_examples import JULY_BILL

LAG_S, DUE_AFTER_S = 259_200, 1_209_600
UPKEEP = invoicing.Upkeep(payee="otto", amount_stroops_per_month=50_000_000)
TAXES = (invoicing.Tax(authority="county", rate_ppm=100_000, on=("energy", "shared", "running")),)

AGREE = claims(
    "raul",
    "raul-agrees",
    asked.OpenAgreement(
        agreement=AGREEMENT,
        holding=HOLDING,
        tariff="fixed-20-cents",
        period="month",
        first_day="2016-07-01",
        rating_interval_s=900,
        settlement_lag_s=LAG_S,
        due_after_s=DUE_AFTER_S,
        terms=TERMS,
    ),
    BOOK,
    SPRING,
)
AGREE_ALL = claims(
    "raul",
    "raul-agrees-all",
    asked.OpenAgreement(
        agreement=AGREEMENT,
        holding=HOLDING,
        tariff="foothills",
        period="month",
        first_day="2016-07-01",
        rating_interval_s=900,
        settlement_lag_s=LAG_S,
        due_after_s=DUE_AFTER_S,
        terms=TERMS,
        term_periods=240,
        expected_wh_year=4_500_000,
        grace_periods=4,
        notice_s=864_000,
        rate_feed="eur-usd",
        upkeep=UPKEEP,
        taxes=TAXES,
    ),
    BOOK,
    SPRING,
)

BILLING_COMMANDS = (AGREE, AGREE_ALL)
"""Every shape of the command that opens an agreement, the first shape first."""

USE = invoicing.InvoiceLine(
    line=1,
    line_class="energy",
    kind="use",
    holding=HOLDING,
    tariff="foothills",
    tariff_version=1,
    price_position=str(at(PRICES, 12)),
    bucket="peak",
    tier=1,
    price_stroops_per_kwh=2_000_000,
    rate_position=str(at(PRICES, 25)),
    energy_wh=169_107,
    amount_stroops=372_035_400,
)
SHARED = USE.model_copy(
    update={
        "line": 2,
        "line_class": "shared",
        "kind": "shared",
        "payee": "rosa-home",
        "energy_wh": 10_000,
        "amount_stroops": 22_000_000,
    }
)
RUNNING = invoicing.InvoiceLine(
    line=3,
    line_class="running",
    kind="upkeep",
    holding=HOLDING,
    payee="otto",
    days=31,
    amount_stroops=50_000_000,
)
TAX = invoicing.InvoiceLine(
    line=4,
    line_class="tax",
    kind="tax",
    holding=HOLDING,
    payee="county",
    rate_ppm=100_000,
    base_lines=(1, 2, 3),
    amount_stroops=44_403_540,
)
FIRST_LINE = invoicing.InvoiceLine(
    line=1,
    line_class="energy",
    kind="use",
    holding=HOLDING,
    tariff="fixed-20-cents",
    tariff_version=1,
    price_position=str(at(PRICES, 2)),
    price_stroops_per_kwh=2_000_000,
    energy_wh=169_107,
    amount_stroops=338_214_000,
)
LINES = (USE, SHARED, RUNNING, TAX)
TOTAL_STROOPS = sum(line.amount_stroops for line in LINES)


def _invoices() -> list[Example]:
    first = invoicing.InvoiceIssued(
        invoice=JULY_BILL,
        number=1,
        agreement=AGREEMENT,
        recipient="raul",
        asset=USD,
        period_from=JULY,
        period_until=AUGUST,
        due_at=datetime(2016, 8, 18, 6, tzinfo=UTC),
        readings=(
            invoicing.MeterReadings(
                meter="sunrise-pv",
                stream=READINGS,
                first_seq=42,
                last_seq=44,
                positions=(4_711, 4_713, 4_720),
            ),
            invoicing.MeterReadings(
                meter="raul-load", stream=READINGS, first_seq=7, last_seq=7, positions=(4_712,)
            ),
        ),
        rated_intervals=2_975,
        unrated_intervals=1,
        generated_wh=874_512,
        consumed_wh=371_875,
        lines=(FIRST_LINE,),
        total_stroops=338_214_000,
    )
    replacing = first.model_copy(
        update={
            "invoice": f"{JULY_BILL}.2",
            "number": 3,
            "later_due_at": datetime(2016, 9, 3, 6, tzinfo=UTC),
            "later_stroops": TOTAL_STROOPS - first.total_stroops,
            "replaces": JULY_BILL,
            "cutoff_at": datetime(2016, 8, 20, 6, tzinfo=UTC),
            "lines": LINES,
            "total_stroops": TOTAL_STROOPS,
        }
    )
    drafted = invoicing.InvoiceDrafted(
        invoice=JULY_BILL,
        agreement=AGREEMENT,
        recipient="raul",
        asset=USD,
        period_from=JULY,
        period_until=AUGUST,
        final_at=AUGUST + timedelta(seconds=LAG_S),
        rated_intervals=2_900,
        unrated_intervals=76,
        lines=LINES,
        total_stroops=TOTAL_STROOPS,
    )
    opened = write_cause(at(BILLING, 1), "raul.raul-agrees.agreement")
    issued = Example(BILLING, AGREEMENT, first, f"{JULY_BILL}.issued", AUGUST, opened, 2, 2)
    draft = _by_itself(f"{JULY_BILL}.drafted", drafted)
    return [
        draft,
        least_of(draft, lines=(FIRST_LINE,), total_stroops=FIRST_LINE.amount_stroops),
        replace(issued, is_least=True),
        _by_itself(f"{JULY_BILL}.2.issued", replacing),
    ]


def _credit_note() -> list[Example]:
    note = invoicing.CreditNoteIssued(
        credit_note=f"{JULY_BILL}.credit",
        number=2,
        agreement=AGREEMENT,
        recipient="raul",
        asset=USD,
        invoice=JULY_BILL,
        reason="readings",
        because=(str(at(READINGS, 4_712)),),
        changes=(
            invoicing.LineChange(
                kind="use",
                bucket="peak",
                before_wh=169_107,
                after_wh=169_107,
                before_stroops=338_214_000,
                after_stroops=372_035_400,
            ),
        ),
        amounts=(ClassAmount(line_class="energy", amount_stroops=338_214_000),),
        total_stroops=338_214_000,
    )
    full = _by_itself(f"{JULY_BILL}.credit", note)
    plain = note.changes[0].model_copy(update={"bucket": None})
    return [full, least_of(full, changes=(plain,))]


def _agreement_and_paid() -> list[Example]:
    where = {
        "system": "sunrise",
        "recipient": "raul",
        "asset": USD,
        "time_zone": "America/Denver",
        "command": signed(AGREE_ALL),
    }
    agreed = invoicing.AgreementOpened.model_validate({**AGREE_ALL.body.model_dump(), **where})
    paid = invoicing.InvoicePaid(
        invoice=JULY_BILL, number=1, agreement=AGREEMENT, total_stroops=338_214_000
    )
    cleared = write_cause(at(LEDGER, 12), "raul.july-paid.settled")
    absent = dict.fromkeys(("rate_feed", "term_periods", "expected_wh_year", "upkeep"))
    full = from_command(BILLING, AGREE_ALL, "agreement", AGREEMENT, agreed, sequence=1)
    return [
        full,
        least_of(full, **absent, taxes=()),
        Example(BILLING, AGREEMENT, paid, f"{JULY_BILL}.paid", AUGUST, cleared, 3, 3),
    ]


def _by_itself(name: str, fact: Fact) -> Example:
    return from_time(BILLING, AGREEMENT, name, fact)


def billing_examples() -> list[Example]:
    """One full example of every fact about agreements and bills."""
    return [*_agreement_and_paid(), *_invoices(), *_credit_note()]
