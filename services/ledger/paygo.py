"""The rules of pay-as-you-go devices: which device serves whom, and which tokens it gets. Pure.

A site that is offline cannot be told that its bill was paid; its holder is given a token of digits
instead. Here its number is spent, once; the digits are made by whoever has the device's key. An
invoice that is paid in full earns the days of the next period, once per period, also if a credit
note replaces it; it must cover time after the device was assigned. `OWNED` earns the one token that
ends pay-as-you-go.

Source: domain rules, section 8; docs/decisions/0005, "Supply".
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from libs.events.books import PaymentSettled
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, CreditNoteIssued, InvoiceIssued
from libs.events.positions import write_cause
from libs.events.quantities import format_instant, parse_instant
from libs.events.repaying import CreditApplied, CreditNoteSettled, InvoiceCapped, PrepaidApplied
from libs.events.supply import PaygoDeviceAssigned, PaygoKind, SupplyTokenIssued
from libs.events.system_commands import AssignPaygoDevice
from libs.events.systems import HoldingOwned
from libs.rules.authority import Order
from libs.rules.dumps import Dumped, Loaded
from libs.rules.paygo import next_count
from libs.rules.periods import local_day, period_from
from libs.rules.receivables import Receivables
from libs.runtime.failures import NotFound, Refused
from services.ledger.agreements import Agreements
from services.ledger.moment import Moment
from services.ledger.systems import Systems

_PAYING: Final = frozenset[type[Fact]](
    {PaymentSettled, CreditApplied, PrepaidApplied, InvoiceCapped, CreditNoteSettled}
)
"""After these an invoice may be paid."""


@dataclass(slots=True)
class _Device:
    """The device of a holding."""

    device: str
    assigned_at: datetime
    count: int
    is_disabled: bool = False


class Paygo:
    """Devices, and what they were given."""

    facts: Final = _PAYING | frozenset[type[Fact]](
        {InvoiceIssued, CreditNoteIssued, HoldingOwned, PaygoDeviceAssigned, SupplyTokenIssued}
    )
    """What `evolve` takes note of."""

    def __init__(
        self, *, moment: Moment, systems: Systems, agreements: Agreements, receivables: Receivables
    ) -> None:
        """Begin with no device.

        Args:
            moment: The time.
            systems: The holdings.
            agreements: The agreements.
            receivables: What is open of every invoice.
        """
        self._moment, self._systems = moment, systems
        self._agreements, self._receivables = agreements, receivables
        self._used: set[str] = set()
        self._devices: dict[str, _Device] = {}
        # Ends of the periods of invoices that may still earn a token, by agreement.
        self._earning: dict[str, dict[str, datetime]] = defaultdict(dict)
        self._earned: dict[str, set[str]] = defaultdict(set)
        # Holdings to be looked at, and why: an index, so that asking costs nothing.
        self._look: dict[str, str] = {}

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of the own stream or of billing."""
        fact, cause = recorded.fact, write_cause(recorded.position, recorded.envelope.id)
        match fact:
            case InvoiceIssued():
                self._earning[fact.agreement][fact.invoice] = fact.period_until
            case CreditNoteIssued() if fact.reason != "dispute":  # undone, and issued again
                self._earning[fact.agreement].pop(fact.invoice, None)
            case PaygoDeviceAssigned() if own:
                self._used.add(fact.device)
                self._devices[fact.holding] = _Device(
                    fact.device, recorded.envelope.time, fact.first_count
                )
                self._look[fact.holding] = cause
            case SupplyTokenIssued() if own:
                device = self._devices[fact.holding]
                device.count, device.is_disabled = fact.count, fact.kind == "disable"
                if fact.invoice is not None:
                    self._earned[fact.agreement].add(_period(fact.agreement, fact.invoice))
            case _:
                pass
        opened = self._agreements.get(getattr(fact, "agreement", ""))
        if opened is not None and opened.holding in self._devices:
            self._look[opened.holding] = cause

    def due(self) -> Sequence[Draft]:
        """The next token; one decision each."""
        now = self._moment.now
        if now is None:
            return ()
        for holding in tuple(self._look):
            opened = self._agreements.of_holding(holding)
            if opened is not None and (drafts := self._decide(opened, now)):
                return drafts
            del self._look[holding]
        return ()

    def _decide(self, opened: AgreementOpened, now: datetime) -> Sequence[Draft]:
        device = self._devices[opened.holding]
        if device.is_disabled or self._agreements.is_ended(opened):
            return ()
        if self._agreements.is_owned(opened):
            return (self._draft(opened, device, "disable", now),)
        for invoice, until in self._paid(opened.agreement, device):
            period = period_from(
                local_day(until, opened.time_zone), opened.period, opened.time_zone
            )
            days = (period.next_day - period.first_day).days
            return (self._draft(opened, device, "add-time", now, days=days, invoice=invoice),)
        return ()

    def _paid(self, agreement: str, device: _Device) -> Sequence[tuple[str, datetime]]:
        """The invoices that are paid in full and earn a token, the oldest period first."""
        earned, found = self._earned[agreement], []
        for name, until in self._earning.get(agreement, {}).items():
            if until <= device.assigned_at or _period(agreement, name) in earned:
                continue
            invoice = self._receivables.get(name)
            if invoice is not None and not self._receivables.open_stroops(invoice):
                found.append((name, until))
        return sorted(found, key=lambda each: each[1])

    def _draft(
        self,
        opened: AgreementOpened,
        device: _Device,
        kind: PaygoKind,
        now: datetime,
        *,
        days: int = 0,
        invoice: str | None = None,
    ) -> Draft:
        count, holding = next_count(device.count, kind), opened.holding
        fact = SupplyTokenIssued(
            device=device.device,
            holding=holding,
            agreement=opened.agreement,
            kind=kind,
            days=days,
            count=count,
            invoice=invoice,
        )
        return Draft(holding, fact, f"paygo:{device.device}.{count}", now, self._look[holding])

    def assign(self, order: Order) -> Sequence[Draft]:
        """An approver says that a device supplies a holding, perhaps in place of another.

        Raises:
            NotFound: Code `unknown-holding`.
            Refused: Code `wrong-role`, `device-used` or `holding-ended`.
        """
        order.require("approver")
        body = order.body(AssignPaygoDevice)
        holding = self._systems.holdings.get(body.holding)
        if holding is None:
            raise NotFound(
                "unknown-holding", f"there is no holding {body.holding}", field="body.holding"
            )
        if holding.status == "RECLAIMED":
            raise Refused("holding-ended", f"{body.holding} was reclaimed", field="body.holding")
        if body.device in self._used:
            text = f"{body.device} was assigned before; a device is assigned once"
            raise Refused("device-used", text, field="body.device")
        fact = PaygoDeviceAssigned(
            device=body.device,
            holding=body.holding,
            first_count=body.first_count,
            command=order.text,
        )
        return (Draft(body.holding, fact, f"{order.id}.device", order.time),)

    def dump(self) -> Dumped:
        """Give devices, and what was earned, for a snapshot."""
        return {
            "used": sorted(self._used),
            "devices": [
                [
                    holding,
                    each.device,
                    format_instant(each.assigned_at),
                    each.count,
                    each.is_disabled,
                ]
                for holding, each in self._devices.items()
            ],
            "earning": [
                [agreement, invoice, format_instant(until)]
                for agreement, invoices in self._earning.items()
                for invoice, until in invoices.items()
            ],
            "earned": [[agreement, *sorted(names)] for agreement, names in self._earned.items()],
            "look": [list(each) for each in self._look.items()],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self._used.update(dumped["used"])
        for holding, device, assigned_at, count, is_disabled in dumped["devices"]:
            at = parse_instant(assigned_at)
            self._devices[holding] = _Device(device, at, count, is_disabled)
        for agreement, invoice, until in dumped["earning"]:
            self._earning[agreement][invoice] = parse_instant(until)
        for agreement, *names in dumped["earned"]:
            self._earned[agreement].update(names)
        self._look.update(dict(dumped["look"]))


def _period(agreement: str, invoice: str) -> str:
    """The period in the name of an invoice; that of a replacement is the same."""
    return invoice.removeprefix(f"{agreement}-").partition(".")[0]
