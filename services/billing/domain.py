"""Billing's rules: agreements, and the invoices that follow from readings, prices and time. Pure.

An invoice is due when everything that could still change it was read: READINGS and LEDGER have
reached the end of its period plus the settlement lag. Which readings count is fixed by READINGS
alone (those before its first `TimeReached` at or after that time), so a bill that is issued late,
by a billing service that was down for a season, has the same lines.

First depth: calendar months, a fixed tariff, energy lines. Credit notes, other periods, tiers and
running charges come with the systems issue. Until then a correction counts like a reading while it
is in time, and one that comes later is only named (`corrections_after_issue`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from libs.events.commands import OpenAgreement
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, InvoiceIssued, InvoicePaid, as_date
from libs.events.metering import ReadingCorrected
from libs.events.positions import write_cause
from libs.rules.authority import Authority, Order
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import Refused
from services.billing.agreements import open_agreement
from services.billing.inputs import Inputs
from services.billing.invoices import write_invoice
from services.billing.periods import Period, local_midnight, month_from
from services.billing.rating import Reading


@dataclass(slots=True)
class _Agreement:
    """An agreement, and how far it was billed."""

    opened: AgreementOpened
    cause: str
    next_day: date

    @property
    def next_period(self) -> Period:
        """The period that is billed next."""
        return month_from(self.next_day, self.opened.time_zone)

    @property
    def final_at(self) -> datetime:
        """When its invoice becomes final."""
        return self.next_period.until_at + timedelta(seconds=self.opened.settlement_lag_s)


class Billing:
    """State and rules of BILLING_<book>."""

    def __init__(self, *, authority: Authority, timekeeper: Timekeeper, stream: str) -> None:
        """Begin with no agreement."""
        self.authority, self.timekeeper = authority, timekeeper
        self.inputs = Inputs()
        self._stream = stream
        self._agreements: dict[str, _Agreement] = {}
        self._holdings: set[str] = set()
        self._unpaid: dict[str, InvoiceIssued] = {}
        self._number = 0
        self.stuck: dict[str, str] = {}
        """Agreements whose next invoice cannot be written down, and why: an operator's alarm."""

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of the own stream or of any input."""
        self.authority.evolve(recorded, own=recorded.stream == self._stream)
        self.timekeeper.evolve(recorded)
        if recorded.stream != self._stream:
            self.inputs.evolve(recorded)
            return
        match recorded.fact:
            case AgreementOpened() as fact:
                cause = write_cause(recorded.position, recorded.envelope.id)
                self._agreements[fact.agreement] = _Agreement(fact, cause, as_date(fact.first_day))
                self._holdings.add(fact.holding)
            case InvoiceIssued() as fact:
                self._number = fact.number
                self._unpaid[fact.invoice] = fact
                agreement = self._agreements[fact.agreement]
                agreement.next_day = agreement.next_period.next_day
            case InvoicePaid() as fact:
                del self._unpaid[fact.invoice]
            case _:
                pass

    def due(self) -> Sequence[Draft]:
        """The next invoice, paid invoice or reached time; one decision at a time."""
        return self._issue() or self._pay() or self.timekeeper.due()

    def _issue(self) -> Sequence[Draft]:
        common = self.timekeeper.common
        for agreement in self._agreements.values():
            if common is None or common < agreement.final_at:
                continue
            opened, period = agreement.opened, agreement.next_period
            self._forget(opened.system)
            try:
                fact = write_invoice(self.inputs, opened, period, self._number + 1, common)
            except (ValueError, OverflowError) as error:
                # A sum that no fact can hold: an alarm for this agreement, no halt for the others.
                self.stuck[opened.agreement] = f"{period.name}: {error}"
                continue
            self.stuck.pop(opened.agreement, None)
            fact_id = f"{fact.invoice}.issued"
            return (Draft(opened.agreement, fact, fact_id, common, agreement.cause),)
        return ()

    def _forget(self, system: str) -> None:
        """Drop the readings of a system that none of its agreements can bill any more."""
        agreements = [each for each in self._agreements.values() if each.opened.system == system]
        held = {each.holding for each in self.inputs.holdings_of(system)}
        if held == {each.opened.holding for each in agreements}:
            starts = [local_midnight(each.next_day, each.opened.time_zone) for each in agreements]
            self.inputs.forget(system, min(starts))

    def _pay(self) -> Sequence[Draft]:
        for invoice in self._unpaid.values():
            if self.inputs.cleared[invoice.invoice] < invoice.total_stroops:
                continue
            fact = InvoicePaid(
                invoice=invoice.invoice,
                number=invoice.number,
                agreement=invoice.agreement,
                total_stroops=invoice.total_stroops,
            )
            cause = self.inputs.cleared_by.get(invoice.invoice, "- nothing-to-pay")
            assert self.authority.now is not None, "an invoice was issued at some time"
            fact_id = f"{invoice.invoice}.paid"
            return (Draft(invoice.agreement, fact, fact_id, self.authority.now, cause),)
        return ()

    def corrections_after_issue(self) -> list[str]:
        """Corrections that came too late for an invoice; its credit note is not written yet."""
        return [
            correction.fact.correction
            for correction in self.inputs.corrections
            if isinstance(correction.fact, ReadingCorrected)
            and any(self._is_late(correction, each) for each in self._agreements.values())
        ]

    def _is_late(self, correction: Reading, agreement: _Agreement) -> bool:
        """Tell whether a correction changes what an issued invoice has counted."""
        opened, zone = agreement.opened, ZoneInfo(agreement.opened.time_zone)
        if correction.fact.meter not in self.inputs.meters(opened.system):
            return False
        last = correction.until_at - timedelta(seconds=1)
        for instant in (correction.from_at, last):
            day = instant.astimezone(zone).date()
            if not as_date(opened.first_day) <= day < agreement.next_day:
                continue
            final_at = month_from(day, opened.time_zone).until_at
            cutoffs = self.inputs.cutoffs(final_at + timedelta(seconds=opened.settlement_lag_s))
            if correction.sequence >= cutoffs[correction.stream]:
                return True
        return False

    def decide(self, order: Order) -> Sequence[Draft]:
        """Decide a command.

        Raises:
            NotFound, Refused: By the rule that the code names.
        """
        if not isinstance(order.command.body, OpenAgreement):
            raise Refused("wrong-service", f"{order.command.command} is not for billing")
        fact = open_agreement(order, self.inputs, self._agreements, self._holdings)
        return (Draft(fact.agreement, fact, f"{order.id}.agreement", order.time),)
