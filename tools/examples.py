"""One small, consistent story that holds one full example of every fact and every command.

A roof in Colorado in the summer of 2016: Dora proposes it, Ines pays for it, Raul uses it and comes
to own it. The keys are derived from names, so the same bytes come out on every machine. Nothing in
here is random and nothing asks a clock.
"""

import hashlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from libs.events import anchoring, commands, metering
from libs.events.command import write_command
from libs.events.fact import Fact
from libs.events.membership import MemberRegistered
from libs.events.positions import write_cause
from libs.events.quantities import format_instant
from libs.events.timekeeping import TimeAdvanced, TimeReached
from tools.billing_examples import BILLING_COMMANDS, billing_examples
from tools.dunning_examples import DUNNING_COMMANDS, dunning_examples
from tools.example_parts import (
    ANCHORS,
    AUGUST,
    DEPLOYMENT,
    JULY,
    MEMBERS,
    METERS,
    NOON,
    PRICES,
    READINGS,
    SPRING,
    Example,
    at,
    claims,
    from_command,
    key_of,
    signed,
)
from tools.member_examples import MEMBER_COMMANDS, member_examples
from tools.ownership_examples import OWNERSHIP_COMMANDS, ownership_examples
from tools.price_examples import PRICE_COMMANDS, price_examples
from tools.repayment_examples import (
    DEPOSIT,
    PAY,
    REPAYMENT_COMMANDS,
    repayment_examples,
)
from tools.trade_examples import TRADE_COMMANDS, trade_examples

__all__ = ["ADVANCE", "COMMANDS", "DEPOSIT", "PAY", "examples", "payloads"]

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
ADVANCE = claims(
    "anna", "to-august", commands.AdvanceTime(to=AUGUST, down=("billing",)), "main", JULY
)
COMMANDS = (
    REGISTER,
    ENROL,
    ADVANCE,
    *PRICE_COMMANDS,
    *OWNERSHIP_COMMANDS,
    *REPAYMENT_COMMANDS,
    *BILLING_COMMANDS,
    *DUNNING_COMMANDS,
    *TRADE_COMMANDS,
    *MEMBER_COMMANDS,
)
"""One example of every shape of every command; of one command the first shape first."""

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


def _register_and_time() -> list[Example]:
    member = MemberRegistered.model_validate(
        {**REGISTER.body.model_dump(), "command": signed(REGISTER)}
    )
    advanced = TimeAdvanced(to=AUGUST, cadence_s=2_678_400, command=signed(ADVANCE))
    ticked = TimeAdvanced(to=JULY, cadence_s=60)
    name = f"time.{format_instant(JULY)}"
    cause = write_cause(at(PRICES, 8), name)
    return [
        replace(from_command(MEMBERS, REGISTER, "member", "raul", member), is_least=True),
        from_command(PRICES, ADVANCE, "time", "time", advanced),
        Example(PRICES, "time", ticked, name, JULY, "- clock", 3, 9, is_least=True),
        Example(READINGS, "time", TimeReached(to=JULY), name, JULY, cause, 3, 4_810),
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
    """Full examples of every fact, and one without optional members where there are any."""
    return [
        *_register_and_time(),
        *price_examples(),
        *_metering(),
        *ownership_examples(),
        *repayment_examples(),
        *billing_examples(),
        *dunning_examples(),
        *_anchors(),
        *trade_examples(),
        *member_examples(),
    ]


def payloads() -> dict[str, bytes]:
    """What is signed, by name: one payload of every shape of every command, and one report."""
    found = {"Report": REPORT.model_dump_json().encode("utf-8")}
    shapes: Counter[str] = Counter()
    for each in COMMANDS:
        shapes[each.command] += 1
        shape = shapes[each.command]
        name = f"Command.{each.command}" + (f".{shape}" if shape > 1 else "")
        found[name] = write_command(each)
    return found
