"""One small, consistent story that holds one full example of every fact and every command.

A roof in Colorado in the summer of 2016: Dora proposes it, Ines pays for it, Raul uses it and comes
to own it. The keys are derived from names, so the same bytes come out on every machine. Nothing in
here is random and nothing asks a clock.
"""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

from libs.events import anchoring, books, commands, invoicing, metering
from libs.events.command import write_command
from libs.events.fact import Fact
from libs.events.membership import MemberRegistered
from libs.events.positions import Position, fact_hash, write_cause
from libs.events.pricing import TariffPublished
from libs.events.quantities import format_instant
from libs.events.timekeeping import TimeAdvanced, TimeReached
from tools.example_parts import (
    ANCHORS,
    AUGUST,
    BILLING,
    BOOK,
    DEPLOYMENT,
    JULY,
    LEDGER,
    MEMBERS,
    METERS,
    NOON,
    PRICES,
    READINGS,
    SPRING,
    USD,
    Example,
    at,
    claims,
    from_command,
    key_of,
    signed,
)
from tools.member_examples import MEMBER_COMMANDS, member_examples
from tools.trade_examples import TRADE_COMMANDS, trade_examples

TERMS = books.Terms(return_ppm_year=50_000, minimum_payment_stroops=100_000_000)
STARTS = (
    metering.RegisterValue(name="generated", value_wh=1_234_567),
    metering.RegisterValue(name="consumed", value_wh=890),
)


REGISTER = claims(
    "anna",
    "register-raul",
    commands.RegisterMember(
        member="raul", address=key_of("raul").address, roles=("recipient", "platform")
    ),
    "register",
    SPRING,
)
ENROL = claims(
    "anna",
    "enrol-load",
    commands.EnrolMeter(
        meter="raul-load",
        address=key_of("teller").address,
        role="consumption",
        system="sunrise",
        holding="raul-sunrise",
        site="foothills",
        nameplate_w=12_000,
        starts=(metering.RegisterValue(name="consumed", value_wh=48_123_456),),
    ),
    "0",
    SPRING,
)
TARIFF = claims(
    "anna",
    "fixed-price",
    commands.PublishTariff(
        tariff="fixed-20-cents", asset=USD, price_stroops_per_kwh=2_000_000, effective_from=JULY
    ),
    "main",
    SPRING,
)
ADVANCE = claims(
    "anna", "to-august", commands.AdvanceTime(to=AUGUST, down=("billing",)), "main", JULY
)
DEPOSIT = claims(
    "anna",
    "ines-pays-in",
    commands.DepositFunds(member="ines", asset=USD, amount_stroops=25_000_000_000),
    BOOK,
    SPRING,
)
PROPOSE = claims(
    "dora",
    "propose-sunrise",
    commands.ProposeSystem(
        system="sunrise",
        asset=USD,
        price_stroops=40_000_000_000,
        nameplate_w=5_000,
        site="foothills",
        time_zone="America/Denver",
        terms=TERMS,
    ),
    BOOK,
    SPRING,
)
APPROVE = claims("anna", "approve-sunrise", commands.ApproveSystem(system="sunrise"), BOOK, SPRING)
INVEST = claims(
    "ines",
    "invest-1",
    commands.Invest(system="sunrise", amount_stroops=25_000_000_000, terms=TERMS),
    BOOK,
    SPRING,
)
ACCEPT = claims("raul", "accept-sunrise", commands.AcceptRaise(system="sunrise"), BOOK, SPRING)
HOLD = claims(
    "anna",
    "raul-holds",
    commands.OpenHolding(
        holding="raul-sunrise", system="sunrise", recipient="raul", units=40_000_000_000
    ),
    BOOK,
    SPRING,
)
AGREE = claims(
    "raul",
    "raul-agrees",
    commands.OpenAgreement(
        agreement="raul-home",
        holding="raul-sunrise",
        tariff="fixed-20-cents",
        period="month",
        first_day="2016-07-01",
        rating_interval_s=900,
        settlement_lag_s=259_200,
        due_after_s=1_209_600,
        terms=TERMS,
    ),
    BOOK,
    SPRING,
)
PAY = claims(
    "raul",
    "july-paid",
    commands.Pay(agreement="raul-home", amount_stroops=340_000_000),
    BOOK,
    AUGUST,
)

COMMANDS = (
    REGISTER,
    ENROL,
    TARIFF,
    ADVANCE,
    DEPOSIT,
    PROPOSE,
    APPROVE,
    INVEST,
    ACCEPT,
    HOLD,
    AGREE,
    PAY,
    *TRADE_COMMANDS,
    *MEMBER_COMMANDS,
)
"""One example of every command."""

REGISTERS = (
    metering.RegisterDifferences(
        name="generated", differences_wh=(812, 845, 901, 0), after_wh=1_237_125
    ),
    metering.RegisterDifferences(name="consumed", differences_wh=(0, 0, 0, 1), after_wh=891),
)
REPORT = metering.Report(
    deployment=DEPLOYMENT,
    meter="sunrise-pv",
    seq=42,
    epoch=1,
    first_interval_at=NOON,
    interval_s=900,
    registers=REGISTERS,
)
"""An example of what a meter signs."""

REPORT_SIGNED = key_of("teller").sign("hg-report+jws", REPORT.model_dump_json().encode("utf-8"))


def _head() -> metering.MeterHead:
    gap = metering.MeterGap(
        from_at=datetime(2016, 6, 30, 18, tzinfo=UTC),
        until_at=datetime(2016, 6, 30, 19, tzinfo=UTC),
        first_seq=17,
        last_seq=17,
        before=STARTS,
        after=(metering.RegisterValue(name="generated", value_wh=1_236_000), STARTS[1]),
    )
    after = tuple(metering.RegisterValue(name=r.name, value_wh=r.after_wh) for r in REGISTERS)
    until_at = datetime(2016, 7, 1, 19, tzinfo=UTC)
    return metering.MeterHead(epoch=1, seq=42, until_at=until_at, registers=after, gaps=(gap,))


def _metering() -> list[Example]:
    enrolment = {**ENROL.body.model_dump(), "command": signed(ENROL)}
    enrolled = metering.MeterEnrolled.model_validate(enrolment)
    plant = metering.MeterEnrolled.model_validate(
        enrolment | {"meter": "sunrise-pv", "role": "generation", "holding": None, "starts": STARTS}
    )
    recorded = metering.ReadingRecorded(
        meter=REPORT.meter,
        seq=REPORT.seq,
        epoch=REPORT.epoch,
        first_interval_at=REPORT.first_interval_at,
        interval_s=REPORT.interval_s,
        registers=REPORT.registers,
        head=_head(),
        report=REPORT_SIGNED,
    )
    bare_head = metering.MeterHead(epoch=1, seq=42, registers=_head().registers, gaps=())
    refused = metering.ReadingRefused(
        meter="sunrise-pv",
        seq=42,
        reason="sequence-reused",
        detail="registers: report 42 said something else before",
        sha256=hashlib.sha256(REPORT_SIGNED.encode("ascii")).hexdigest(),
        report=REPORT_SIGNED,
    )
    unread = refused.model_copy(update={"seq": None, "reason": "report-schema"})
    key, end = "sunrise-pv", datetime(2016, 7, 1, 19, tzinfo=UTC)
    digest = refused.sha256[:16]

    def reading(fact: Fact, name: str, time: datetime = end, *, is_least: bool = False) -> Example:
        return Example(READINGS, key, fact, name, time, f"- {key}.42", 42, 4_711, is_least=is_least)

    least = from_command(METERS, ENROL, "meter", plant.meter, plant)
    return [
        from_command(METERS, ENROL, "meter", enrolled.meter, enrolled),
        Example(METERS, key, plant, least.id, least.time, least.cause, is_least=True),
        reading(recorded, f"{key}.42"),
        reading(recorded.model_copy(update={"head": bare_head}), f"{key}.42", is_least=True),
        reading(refused, f"{key}.refused.{digest}", NOON),
        reading(unread, f"{key}.refused.{digest}", NOON, is_least=True),
    ]


def _register_and_prices() -> list[Example]:
    member = MemberRegistered.model_validate(
        {**REGISTER.body.model_dump(), "command": signed(REGISTER)}
    )
    tariff = TariffPublished.model_validate(
        {**TARIFF.body.model_dump(), "version": 1, "command": signed(TARIFF)}
    )
    advanced = TimeAdvanced(to=AUGUST, cadence_s=2_678_400, command=signed(ADVANCE))
    ticked = TimeAdvanced(to=JULY, cadence_s=60)
    name = f"time.{format_instant(JULY)}"
    cause = write_cause(at(PRICES, 8), name)
    return [
        replace(from_command(MEMBERS, REGISTER, "member", "raul", member), is_least=True),
        from_command(PRICES, TARIFF, "tariff", "fixed-20-cents", tariff),
        from_command(PRICES, ADVANCE, "time", "time", advanced),
        Example(PRICES, "time", ticked, name, JULY, "- clock", 3, 9, is_least=True),
        Example(READINGS, "time", TimeReached(to=JULY), name, JULY, cause, 3, 4_810),
    ]


def _raise() -> list[Example]:
    deposited = books.FundsDeposited.model_validate(
        {**DEPOSIT.body.model_dump(), "command": signed(DEPOSIT)}
    )
    opening = Example(
        LEDGER,
        "ines",
        deposited.model_copy(update={"command": None}),
        "ines.opening.deposit",
        SPRING,
        write_cause(at(MEMBERS, 5), "anna.register-ines.member"),
        is_least=True,
    )
    proposed = books.SystemProposed.model_validate(
        {**PROPOSE.body.model_dump(), "proposer": "dora", "command": signed(PROPOSE)}
    )
    approved = books.SystemApproved(
        system="sunrise", shares=40_000_000_000, command=signed(APPROVE)
    )
    invested = books.InvestmentMade(
        investment="ines.invest-1",
        system="sunrise",
        investor="ines",
        asset=USD,
        amount_stroops=25_000_000_000,
        terms=TERMS,
        command=signed(INVEST),
    )
    accepted = books.RaiseAccepted(
        system="sunrise",
        recipient="raul",
        asset=USD,
        moves=(
            books.TitleMove(member="ines", shares=25_000_000_000),
            books.TitleMove(member="ivo", shares=15_000_000_000),
        ),
        command=signed(ACCEPT),
    )
    opened = books.HoldingOpened.model_validate({**HOLD.body.model_dump(), "command": signed(HOLD)})
    return [
        from_command(LEDGER, DEPOSIT, "deposit", "ines", deposited, sequence=1),
        opening,
        from_command(LEDGER, PROPOSE, "system", "sunrise", proposed, sequence=2),
        from_command(LEDGER, APPROVE, "approved", "sunrise", approved, sequence=3),
        from_command(LEDGER, INVEST, "investment", "sunrise", invested, sequence=4),
        from_command(LEDGER, ACCEPT, "accepted", "sunrise", accepted, sequence=5),
        from_command(LEDGER, HOLD, "holding", "raul-sunrise", opened, sequence=6),
    ]


def _repayment() -> list[Example]:
    settled = books.PaymentSettled(
        payment="raul.july-paid",
        agreement="raul-home",
        payer="raul",
        asset=USD,
        amount_stroops=340_000_000,
        cleared=(
            books.Cleared(
                invoice="raul-home-2016-07", line_class="energy", amount_stroops=338_214_000
            ),
        ),
        returns=(
            books.MoneyMove(member="ines", amount_stroops=106_164_384),
            books.MoneyMove(member="ivo", amount_stroops=63_698_630),
        ),
        principal=(
            books.MoneyMove(member="ines", amount_stroops=105_219_366),
            books.MoneyMove(member="ivo", amount_stroops=63_131_620),
        ),
        credit_stroops=1_786_000,
        command=signed(PAY),
    )
    bare = settled.model_copy(update={"command": None, "payment": "raul.credit-1"})
    moved = books.OwnershipTransferred(
        payment="raul.july-paid",
        system="sunrise",
        holding="raul-sunrise",
        agreement="raul-home",
        to_member="raul",
        moves=(
            books.TitleMove(member="ines", shares=105_219_366),
            books.TitleMove(member="ivo", shares=63_131_620),
        ),
        own_shares=168_350_986,
        holding_units=40_000_000_000,
    )
    first = from_command(LEDGER, PAY, "settled", "raul-home", settled, sequence=12)
    _, data = first.encoded()
    cause = write_cause(Position(LEDGER, 12, fact_hash(data)), first.id)
    issued = write_cause(at(BILLING, 2), "raul-home-2016-07.issued")
    return [
        first,
        Example(LEDGER, "raul-home", bare, "credit-1", AUGUST, issued, 1, 12, is_least=True),
        Example(LEDGER, "raul-home", moved, "raul.july-paid.title", first.time, cause, 3, 13),
    ]


def _billing() -> list[Example]:
    agreed = invoicing.AgreementOpened.model_validate(
        {
            **AGREE.body.model_dump(),
            "system": "sunrise",
            "recipient": "raul",
            "asset": USD,
            "time_zone": "America/Denver",
            "command": signed(AGREE),
        }
    )
    line = invoicing.InvoiceLine(
        line=1,
        line_class="energy",
        holding="raul-sunrise",
        tariff="fixed-20-cents",
        tariff_version=1,
        price_position=str(at(PRICES, 2)),
        price_stroops_per_kwh=2_000_000,
        energy_wh=169_107,
        amount_stroops=338_214_000,
    )
    issued = invoicing.InvoiceIssued(
        invoice="raul-home-2016-07",
        number=1,
        agreement="raul-home",
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
        lines=(line,),
        total_stroops=338_214_000,
    )
    paid = invoicing.InvoicePaid(
        invoice=issued.invoice,
        number=1,
        agreement="raul-home",
        total_stroops=issued.total_stroops,
    )
    opened = write_cause(at(BILLING, 1), "raul.raul-agrees.agreement")
    cleared = write_cause(at(LEDGER, 12), "raul.july-paid.settled")
    name = issued.invoice
    return [
        from_command(BILLING, AGREE, "agreement", "raul-home", agreed, sequence=1),
        Example(BILLING, "raul-home", issued, f"{name}.issued", AUGUST, opened, 2, 2),
        Example(BILLING, "raul-home", paid, f"{name}.paid", AUGUST, cleared, 3, 3),
    ]


def _anchors() -> list[Example]:
    text = f"heliograph example round\n{READINGS} 5953\n"
    transaction = hashlib.sha256(b"heliograph example transaction").hexdigest()
    prepared = anchoring.AnchorPrepared(
        round=1,
        round_text=text,
        round_sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        account=key_of("anchor").address,
        network="Heliograph Devnet ; examples",
        account_sequence="4294967297",
        envelope_xdr="AAAAAgAAAAB" + "x" * 37 + "==",
        transaction_hash=transaction,
        valid_until=datetime(2016, 8, 1, 6, 5, tzinfo=UTC),
    )
    anchored = anchoring.HeadAnchored(
        round=1,
        transaction_hash=transaction,
        ledger=52_929_573,
        closed_at=datetime(2016, 8, 1, 6, 0, 5, tzinfo=UTC),
        result_set_xdr="AAAAAQ==",
        header_xdr="AAAAFZR1nSqT5Zki",
    )
    failed = anchoring.AnchorFailed(round=2, transaction_hash=transaction, reason="expired")
    time = write_cause(at(PRICES, 8), f"time.{format_instant(AUGUST)}")
    made = write_cause(at(ANCHORS, 1), "round.1.prepared")
    key = "rounds"
    return [
        Example(ANCHORS, key, prepared, "round.1.prepared", AUGUST, time, 1, 1),
        Example(ANCHORS, key, anchored, "round.1.anchored", AUGUST, made, 2, 2),
        Example(ANCHORS, key, failed, "round.2.failed", AUGUST, made, 4, 4),
    ]


def examples() -> list[Example]:
    """One full example of every fact, and one without optional members where there are any."""
    return [
        *_register_and_prices(),
        *_metering(),
        *_raise(),
        *_repayment(),
        *_billing(),
        *_anchors(),
        *trade_examples(),
        *member_examples(),
    ]


def payloads() -> dict[str, bytes]:
    """What is signed, by name: one payload of every command, and one report."""
    signed = {f"Command.{each.command}": write_command(each) for each in COMMANDS}
    return signed | {"Report": REPORT.model_dump_json().encode("utf-8")}
