"""The bill: the facts from which one invoice follows, found in a case. Pure.

Step 7 gathers them and verifies what was signed; the later steps recompute from here.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.events.books import HoldingOpened, SystemApproved, SystemProposed
from libs.events.commands import (
    ApproveSystem,
    EnrolMeter,
    OpenAgreement,
    OpenHolding,
    ProposeSystem,
    PublishTariff,
)
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, InvoiceIssued
from libs.events.metering import REGISTERS_OF, MeterEnrolled
from libs.events.pricing import TariffPublished
from libs.events.subjects import METERS, READINGS, family_of
from libs.proof.case import Case, Step, require, same
from libs.proof.people import APPROVER, STEP, People

PROPOSER = frozenset({"developer", "originator"})
"""Who proposes systems."""

RECIPIENT = frozenset({"recipient"})
"""Who agrees to pay."""


@dataclass(slots=True)
class Bill:
    """What an invoice rests on, beside the readings."""

    invoice: Recorded[InvoiceIssued]
    agreement: Recorded[AgreementOpened]
    proposed: Recorded[SystemProposed]
    approved: Recorded[SystemApproved]
    holdings: list[Recorded[HoldingOpened]]
    """Every holding of the system that billing knew."""
    meters: list[Recorded[MeterEnrolled]]
    """Every meter of the plant and of the holdings, by name."""
    tariffs: list[Recorded[TariffPublished]]
    """Versions of the tariff, by version, without a gap."""

    @property
    def final_at(self) -> datetime:
        """The time from which on readings come too late for this invoice."""
        lag = timedelta(seconds=self.agreement.fact.settlement_lag_s)
        return self.invoice.fact.period_until + lag

    @property
    def holding(self) -> HoldingOpened:
        """The holding that is billed."""
        return next(
            each.fact for each in self.holdings if each.fact.holding == self.agreement.fact.holding
        )


def readings_stream(meter: Recorded[MeterEnrolled]) -> str:
    """The stream in which a meter's readings stand: the partition of its enrolment."""
    return READINGS.stream(family_of(meter.stream)[1])


def gather(case: Case) -> Bill:
    """Find the facts of the bill.

    Raises:
        ProofFailed: One is missing, stands twice, or was not known to billing.
    """
    invoice = case.one(
        STEP, "the invoice", InvoiceIssued, lambda fact: fact.invoice == case.file.invoice
    )
    named = invoice.fact.agreement
    agreement = case.one(
        STEP, "the agreement", AgreementOpened, lambda fact: fact.agreement == named
    )
    system = agreement.fact.system
    bill = Bill(
        invoice=invoice,
        agreement=agreement,
        proposed=case.one(STEP, "the proposal", SystemProposed, lambda fact: fact.system == system),
        approved=case.one(STEP, "the approval", SystemApproved, lambda fact: fact.system == system),
        holdings=case.all(HoldingOpened, lambda fact: fact.system == system),
        meters=_meters(case, system),
        tariffs=sorted(
            case.all(TariffPublished, lambda fact: fact.tariff == agreement.fact.tariff),
            key=lambda each: each.fact.version,
        ),
    )
    held = [each.fact.holding for each in bill.holdings]
    require(STEP, len(set(held)) == len(held), "a holding was opened twice")
    require(STEP, agreement.fact.holding in held, "the holding is missing")
    rests_on: list[Recorded[Fact]] = [agreement, bill.proposed, *bill.holdings]
    rests_on += [*bill.meters, *bill.tariffs]
    for each in rests_on:
        what = f"{each.fact.fact_name} at {each.stream} {each.sequence}"
        require(STEP, case.knew(invoice, each), f"{what} was not known when the bill was issued")
    return bill


def _meters(case: Case, system: str) -> list[Recorded[MeterEnrolled]]:
    found = case.all(MeterEnrolled, lambda fact: fact.system == system and fact.role != "grid")
    names = [each.fact.meter for each in found]
    require(STEP, len(set(names)) == len(names), "a meter was enrolled twice")
    return sorted(found, key=lambda each: each.fact.meter)


def check_people(case: Case) -> tuple[Step, People, Bill]:
    """Step 7: everything that was signed was signed by whom it should be, and says the same."""
    people, bill = People(case), gather(case)
    people.verify()
    for meter in bill.meters:
        _check_meter(people, meter)
    for tariff in bill.tariffs:
        people.signed(tariff, tariff.fact.command, PublishTariff, APPROVER)
    for holding in bill.holdings:
        people.signed(holding, holding.fact.command, OpenHolding, APPROVER)
        people.expect(holding, holding.fact.recipient, "recipient")
    proposed, approved, agreement = bill.proposed, bill.approved, bill.agreement
    people.signed(approved, approved.fact.command, ApproveSystem, APPROVER)
    offered = people.signed(proposed, proposed.fact.command, ProposeSystem, PROPOSER)
    agreed = people.signed(agreement, agreement.fact.command, OpenAgreement, RECIPIENT)
    same(
        STEP,
        "who signed",
        (
            ("the proposer", proposed.fact.proposer, offered.member),
            ("the recipient of the agreement", agreement.fact.recipient, agreed.member),
            ("the recipient of the holding", bill.holding.recipient, agreed.member),
            ("units issued", approved.fact.shares, proposed.fact.price_stroops),
        ),
    )
    _check_units(case, bill)
    case.not_covered.append(
        f"That system {proposed.fact.system} has no further meters than those shown, that no key "
        "of a meter was replaced, and that no newer change of a member's key, roles or suspension "
        "is left out."
    )
    checked = "commands are signed by registered members in the right roles, down to the first "
    checked += "approver; meters are bound to their keys"
    counts = {"commands": people.commands, "meters": len(bill.meters)}
    return Step(7, "people and meters", checked, counts), people, bill


def _check_meter(people: People, meter: Recorded[MeterEnrolled]) -> None:
    people.signed(meter, meter.fact.command, EnrolMeter, APPROVER)
    what = f"meter {meter.fact.meter}"
    require(STEP, family_of(meter.stream)[0] is METERS, f"{what} is enrolled elsewhere")
    starts = {value.name for value in meter.fact.starts}
    require(STEP, starts == REGISTERS_OF[meter.fact.role], f"{what} lacks a register")


def _check_units(case: Case, bill: Bill) -> None:
    """All holdings together are the system's units; what is not shown is named."""
    held, issued = sum(each.fact.units for each in bill.holdings), bill.approved.fact.shares
    require(STEP, held <= issued, f"holdings of {held} units, {issued} were issued")
    if held < issued:
        case.not_covered.append(
            f"That no other holding was open: those shown hold {held} of {issued} units."
        )
