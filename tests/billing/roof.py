"""A roof with a plant and homes: facts of ingest, oracle and ledger around the rules of billing."""

from datetime import datetime, timedelta

from libs.events.billing_commands import OpenAgreement
from libs.events.books import HoldingOpened, Terms
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, CreditNoteIssued, InvoiceDrafted, InvoiceIssued
from libs.events.metering import (
    MeterEnrolled,
    MeterHead,
    ReadingCorrected,
    ReadingRecorded,
    RegisterCorrection,
    RegisterDifferences,
    RegisterName,
    RegisterValue,
)
from libs.events.pricing import TariffPrices, TariffPublished
from libs.events.systems import SystemProposed
from libs.rules.authority import Authority
from libs.rules.timekeeper import Timekeeper
from services.billing.domain import Billing
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, Stage, key_of

TERMS = Terms(return_ppm_year=0, minimum_payment_stroops=0)
READINGS, METERS, LEDGER, BILLING = "READINGS_0", "METERS_0", "LEDGER_pilot", "BILLING_pilot"
PRICE = 2_000_000


def agreement(**changes: object) -> OpenAgreement:
    values: dict[str, object] = {
        "agreement": "agr",
        "holding": "h",
        "tariff": "fixed",
        "period": "month",
        "first_day": "2026-06-01",
        "rating_interval_s": 900,
        "settlement_lag_s": 86_400,
        "due_after_s": 14 * 86_400,
        "terms": TERMS,
    }
    return OpenAgreement.model_validate(values | changes)


def tariff(version: int = 1, *, days: int = 0, price: int = PRICE) -> TariffPublished:
    return TariffPublished(
        tariff="fixed",
        version=version,
        asset="USD",
        prices=TariffPrices(price_stroops_per_kwh=price),
        effective_from=START + timedelta(days=days),
        command=ANY_COMMAND_SIGNED,
    )


def enrolment(meter: str, role: str, holding: str | None = None) -> MeterEnrolled:
    values = {
        "meter": meter,
        "address": key_of("teller").address,
        "role": role,
        "system": "sun",
        "holding": holding,
        "site": "roof",
        "nameplate_w": 5_000,
        "starts": (),
        "command": ANY_COMMAND_SIGNED,
    }
    return MeterEnrolled.model_validate(values)


def reading(
    meter: str, seq: int, at: datetime, values: list[int], interval_s: int = 900
) -> ReadingRecorded:
    register: RegisterName = "generated" if meter == "pv" else "consumed"
    return ReadingRecorded(
        meter=meter,
        seq=seq,
        epoch=1,
        first_interval_at=at,
        interval_s=interval_s,
        registers=(
            RegisterDifferences(name=register, differences_wh=tuple(values), after_wh=10**9),
        ),
        head=MeterHead(
            epoch=1,
            seq=seq,
            until_at=at + timedelta(seconds=interval_s * len(values)),
            registers=(RegisterValue(name=register, value_wh=10**9),),
            gaps=(),
        ),
        report="a.b.c",
    )


def system(zone: str = "UTC", terms: Terms = TERMS) -> SystemProposed:
    return SystemProposed(
        system="sun",
        proposer="dev",
        asset="USD",
        price_stroops=1_000,
        nameplate_w=5_000,
        site="roof",
        time_zone=zone,
        rating_interval_s=900,
        terms=terms,
        command=ANY_COMMAND_SIGNED,
    )


def holding(units: int = 1_000, name: str = "h", recipient: str = "home") -> HoldingOpened:
    return HoldingOpened(
        holding=name, system="sun", recipient=recipient, units=units, command=ANY_COMMAND_SIGNED
    )


def rules() -> Billing:
    return Billing(
        authority=Authority(deployment=DEPLOYMENT, service="billing", book="pilot"),
        timekeeper=Timekeeper(
            BILLING, (READINGS, LEDGER), follows=(METERS, "PRICES", READINGS, LEDGER)
        ),
        stream=BILLING,
    )


def billing(zone: str = "UTC", terms: Terms = TERMS) -> Stage:
    stage = Stage(rules(), BILLING, "pilot")
    history = stage.history
    stage.given(
        history.register("home", "recipient"),
        history.register("eve", "recipient"),
        history.register("fixit", "contractor"),
        history.register("state", "auditor"),
        history.record(METERS, "pv", enrolment("pv", "generation")),
        history.record(METERS, "load", enrolment("load", "consumption", "h")),
        history.record("PRICES", "fixed", tariff()),
        history.record(LEDGER, "sun", system(zone, terms)),
        history.record(LEDGER, "h", holding()),
    )
    stage.advance(0, READINGS, LEDGER)
    return stage


def opened(zone: str = "UTC", **changes: object) -> Stage:
    terms = changes.get("terms", TERMS)
    assert isinstance(terms, Terms)
    stage = billing(zone, terms)
    (fact,) = stage.when("home", "1", agreement(**changes))
    assert isinstance(fact, AgreementOpened)
    return stage


def measured(stage: Stage, generated: list[int], consumed: list[int], **at: float) -> Stage:
    start = START + timedelta(days=at.get("days", 0))
    seq = int(at.get("seq", 1))
    stage.given(
        stage.history.record(READINGS, "pv", reading("pv", seq, start, generated)),
        stage.history.record(READINGS, "load", reading("load", seq, start, consumed)),
    )
    return stage


def invoices(stage: Stage) -> list[InvoiceIssued]:
    facts = (each.fact for each in stage.history.facts)
    return [fact for fact in facts if isinstance(fact, InvoiceIssued)]


def correction(meter: str, at: datetime, *deltas: int) -> ReadingCorrected:
    register: RegisterName = "generated" if meter == "pv" else "consumed"
    return ReadingCorrected(
        meter=meter,
        correction="approver.fix",
        first_interval_at=at,
        interval_s=900,
        registers=(RegisterCorrection(name=register, deltas_wh=deltas),),
        reason="test",
        command=ANY_COMMAND_SIGNED,
    )


def notes(stage: Stage) -> list[CreditNoteIssued]:
    facts = (each.fact for each in stage.history.facts)
    return [fact for fact in facts if isinstance(fact, CreditNoteIssued)]


def drafts(stage: Stage) -> list[InvoiceDrafted]:
    facts = (each.fact for each in stage.history.facts)
    return [fact for fact in facts if isinstance(fact, InvoiceDrafted)]


def with_eve(stage: Stage, units: int = 1_000) -> Stage:
    """A second home of the same system."""
    stage.given(
        stage.history.record(LEDGER, "h2", holding(units, "h2", "eve")),
        stage.history.record(METERS, "load2", enrolment("load2", "consumption", "h2")),
    )
    return stage


def told(stage: Stage, stream: str, key: str, *facts: Fact, days: float = 0) -> None:
    """Facts of another service at some time."""
    time = START + timedelta(days=days)
    stage.given(*(stage.history.record(stream, key, fact, time=time) for fact in facts))


def amounts(bill: InvoiceIssued | InvoiceDrafted) -> dict[str, int]:
    """Stroops by kind of line."""
    sums: dict[str, int] = {}
    for line in bill.lines:
        sums[line.kind] = sums.get(line.kind, 0) + line.amount_stroops
    return sums
