"""The bill: the facts from which one invoice follows, found in a case. Pure.

Step 7 gathers them and verifies what was signed; the later steps recompute from here.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from libs.events.billing_commands import OpenAgreement, PublishTariff
from libs.events.books import HoldingOpened, SystemApproved
from libs.events.command import Command
from libs.events.commands import EnrolMeter
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, InvoiceIssued
from libs.events.metering import REGISTERS_OF, MeterEnrolled
from libs.events.pricing import TariffPublished
from libs.events.subjects import METERS, READINGS, family_of
from libs.events.system_commands import AcceptRaise, ApproveSystem, OpenHolding, ProposeSystem
from libs.events.systems import RaiseAccepted, SystemProposed
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.proof.case import Case, Step, require, same
from libs.proof.people import APPROVER, STEP, People
from libs.proof.supply import RECIPIENT, Supply, check_supply, gather_supply
from libs.proof.times import AsOf, Times

PROPOSER = frozenset({"developer", "originator"})
"""Who proposes systems."""


@dataclass(slots=True)
class Bill:
    """What an invoice rests on, beside the readings."""

    invoice: Recorded[InvoiceIssued]
    agreement: Recorded[AgreementOpened]
    others: list[Recorded[AgreementOpened]]
    """The agreements of the system's other holdings that stood when the bill was issued."""
    proposed: Recorded[SystemProposed]
    approved: Recorded[SystemApproved]
    accepted: Recorded[RaiseAccepted] | None
    """The accepted raise of a system with a seed round, which fixes its units."""
    holdings: list[Recorded[HoldingOpened]]
    """Every holding of the system that billing knew."""
    meters: list[Recorded[MeterEnrolled]]
    """Every meter of the plant and of the holdings, by name."""
    tariffs: list[Recorded[TariffPublished]]
    """Versions of the tariff, by version, without a gap."""
    supply: Supply
    """What happened to the holdings."""
    times: Times
    """Which stream reached which time, where."""

    @property
    def is_first_version(self) -> bool:
        """Whether it was written as version 1: nothing but own use at fixed prices."""
        return self.invoice.envelope.type.endswith(".v1")

    @property
    def final_at(self) -> datetime:
        """The time from which on readings come too late for the first invoice of the period."""
        lag = timedelta(seconds=self.agreement.fact.settlement_lag_s)
        return self.invoice.fact.period_until + lag

    @property
    def as_of(self) -> AsOf:
        """What counts for this invoice."""
        return AsOf(self.times, self.final_at, self.invoice.fact.cutoff_at or self.final_at)

    @property
    def grid(self) -> range:
        """The starts of the rating intervals of the period, seconds since 1970."""
        return grid_of(self.invoice.fact, self.agreement.fact.rating_interval_s)

    @property
    def opened(self) -> Recorded[HoldingOpened]:
        """How the holding was opened that is billed."""
        holding = self.agreement.fact.holding
        return next(each for each in self.holdings if each.fact.holding == holding)

    @property
    def holding(self) -> HoldingOpened:
        """The holding that is billed."""
        return self.opened.fact

    @property
    def units_issued(self) -> int:
        """Units of the system."""
        return self.approved.fact.shares if self.accepted is None else self.accepted.fact.units


def grid_of(invoice: InvoiceIssued, interval_s: int) -> range:
    """The starts of the rating intervals of a period, seconds since 1970."""
    first = -(-int(invoice.period_from.timestamp()) // interval_s) * interval_s
    return range(first, int(invoice.period_until.timestamp()), interval_s)


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
    holdings = case.all(HoldingOpened, lambda fact: fact.system == system)
    held = [each.fact.holding for each in holdings]
    require(STEP, len(set(held)) == len(held), "a holding was opened twice")
    require(STEP, agreement.fact.holding in held, "the holding is missing")
    billed = holdings[held.index(agreement.fact.holding)]
    proposed = case.one(STEP, "the proposal", SystemProposed, lambda fact: fact.system == system)
    bill = Bill(
        invoice=invoice,
        agreement=agreement,
        others=case.all(
            AgreementOpened, lambda fact: fact.system == system and fact.agreement != named
        ),
        proposed=proposed,
        approved=case.one(STEP, "the approval", SystemApproved, lambda fact: fact.system == system),
        accepted=_accepted(case, proposed.fact),
        holdings=holdings,
        meters=_meters(case, system, frozenset(held)),
        tariffs=sorted(
            case.all(TariffPublished, lambda fact: fact.tariff == agreement.fact.tariff),
            key=lambda each: each.fact.version,
        ),
        supply=gather_supply(case, invoice, set(held), billed),
        times=Times((*case.glance(TimeReached), *case.glance(TimeAdvanced)), case.need),
    )
    _check_known(case, bill)
    return bill


def _accepted(case: Case, proposed: SystemProposed) -> Recorded[RaiseAccepted] | None:
    """The accepted raise, where more units than the price may have been issued."""
    if proposed.seed is None:
        return None
    system = proposed.system
    return case.one(STEP, "the accepted raise", RaiseAccepted, lambda fact: fact.system == system)


def _check_known(case: Case, bill: Bill) -> None:
    """Billing had read all of it, and another agreement stands in the same book."""
    rests_on: list[Recorded[Fact]] = [bill.agreement, bill.proposed, bill.approved]
    rests_on += [*bill.holdings, *bill.meters, *bill.tariffs, *bill.others]
    rests_on += [bill.accepted] if bill.accepted is not None else []
    for each in rests_on:
        what = f"{each.fact.fact_name} at {each.stream} {each.sequence}"
        known = case.knew(bill.invoice, each)
        require(STEP, known, f"{what} was not known when the bill was issued")
    of = [each.fact.holding for each in (bill.agreement, *bill.others)]
    require(STEP, len(set(of)) == len(of), "a holding has two agreements")


def _meters(case: Case, system: str, held: frozenset[str]) -> list[Recorded[MeterEnrolled]]:
    """The meters of the plant and of the holdings that are shown."""
    found = case.all(MeterEnrolled, lambda fact: counts_for(fact, system, held))
    names = [each.fact.meter for each in found]
    require(STEP, len(set(names)) == len(names), "a meter was enrolled twice")
    return sorted(found, key=lambda each: each.fact.meter)


def counts_for(meter: MeterEnrolled, system: str, held: Collection[str]) -> bool:
    """Tell whether the readings of a meter matter for a system with some holdings."""
    if meter.system != system:
        return False
    return meter.role == "generation" or (meter.role == "consumption" and meter.holding in held)


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
    check_supply(case, people, bill.supply, bill.holding.recipient)
    proposed, approved, agreement = bill.proposed, bill.approved, bill.agreement
    if bill.accepted is not None:
        people.signed(bill.accepted, bill.accepted.fact.command, AcceptRaise, RECIPIENT)
    for other in bill.others:
        _check_agreement(people, bill, other)
    people.signed(approved, approved.fact.command, ApproveSystem, APPROVER)
    offered = people.signed(proposed, proposed.fact.command, ProposeSystem, PROPOSER)
    agreed = _check_agreement(people, bill, agreement)
    same(
        STEP,
        "who signed",
        (
            ("the proposer", proposed.fact.proposer, offered.member),
            ("the holder of the holding", _holder_at(case, bill, agreement), agreed.member),
            ("units issued", approved.fact.shares, proposed.fact.price_stroops),
        ),
    )
    _check_units(case, bill)
    _check_supply(bill)
    case.not_covered.append(
        f"That system {proposed.fact.system} has no further meters than those shown, that no key "
        "of a meter was replaced, and that no newer change of a member's key, roles or suspension "
        "is left out."
    )
    if len(bill.holdings) > 1 or bill.supply.transfers or bill.supply.diverted:
        case.not_covered.append(
            "That nothing else of the holdings is left out: a transfer, a diversion, or an "
            "agreement that one of them had."
        )
    if bill.accepted is not None:
        case.not_covered.append("By how many units the seed round raised those of the system.")
    checked = "commands are signed by registered members in the right roles, down to the first "
    checked += "approver; meters are bound to their keys"
    counts = {"commands": people.commands, "meters": len(bill.meters)}
    return Step(7, "people and meters", checked, counts), people, bill


def _check_agreement(people: People, bill: Bill, opened: Recorded[AgreementOpened]) -> Command:
    """An agreement is signed by its recipient, and of a holding that is shown."""
    agreed = people.signed(opened, opened.fact.command, OpenAgreement, RECIPIENT)
    what = f"agreement {opened.fact.agreement}"
    same(
        STEP,
        what,
        (
            ("its recipient", opened.fact.recipient, agreed.member),
            ("its key", opened.envelope.key, opened.fact.agreement),
        ),
    )
    held = {each.fact.holding for each in bill.holdings}
    require(STEP, opened.fact.holding in held, f"{what} is of a holding that is not shown")
    return agreed


def _holder_at(case: Case, bill: Bill, later: Recorded[Fact]) -> str:
    """Who held the holding that is billed, as the writer of a fact knew it."""
    known = [each.fact.to_member for each in bill.supply.transfers if case.knew(later, each)]
    return known[-1] if known else bill.holding.recipient


def _check_supply(bill: Bill) -> None:
    """What happened to the holding names the same agreement, and who owned it held it."""
    agreement, supply = bill.agreement.fact, bill.supply
    for moved in supply.transfers:
        named = moved.fact.agreement in {None, agreement.agreement}
        require(STEP, named, f"the transfer at {moved.sequence} names another agreement")
    if supply.owned is not None:
        owned = supply.owned.fact
        holder = supply.holder(bill.holding.recipient, supply.owned.sequence)
        pairs = (
            ("agreement", owned.agreement, agreement.agreement),
            ("system", owned.system, agreement.system),
            ("units", owned.units, bill.holding.units),
            ("asset", owned.asset, agreement.asset),
            ("member", owned.member, holder),
        )
        same(STEP, "the holding that is owned", pairs)


def _check_meter(people: People, meter: Recorded[MeterEnrolled]) -> None:
    people.signed(meter, meter.fact.command, EnrolMeter, APPROVER)
    what = f"meter {meter.fact.meter}"
    require(STEP, family_of(meter.stream)[0] is METERS, f"{what} is enrolled elsewhere")
    starts = {value.name for value in meter.fact.starts}
    require(STEP, starts == REGISTERS_OF[meter.fact.role], f"{what} lacks a register")


def _check_units(case: Case, bill: Bill) -> None:
    """All holdings together are the system's units; what is not shown is named."""
    gone, issued = bill.supply.reclaimed_at, bill.units_issued
    held = sum(each.fact.units for each in bill.holdings if each.fact.holding not in gone)
    require(STEP, held <= issued, f"holdings of {held} units, {issued} were issued")
    if held < issued:
        case.not_covered.append(
            f"That no other holding was open: those shown hold {held} of {issued} units."
        )
