"""Agreements, how far each was billed, and what its documents said: a fold of billing's own facts.

Pure.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Final

from libs.events.books import LineClass
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import (
    AgreementOpened,
    CreditNoteIssued,
    InvoiceDrafted,
    InvoiceIssued,
    InvoiceLine,
)
from libs.events.positions import write_cause
from libs.events.quantities import as_date
from libs.rules.periods import Period, local_day, period_from
from libs.rules.rating import CORRECTABLE_S

DAY_S: Final = 86_400
"""Seconds of a day."""

CLOSED_AFTER_S: Final = CORRECTABLE_S + 2 * DAY_S
"""Seconds after its period for which an invoice may be replaced: corrections of 35 days, settled at
the midnight that follows, on a day of at most 25 hours."""

UNCLAIMED_S: Final = 3 * DAY_S
"""Seconds that the first day of an agreement may lie back: a day, in any time zone."""


@dataclass(slots=True)
class Billed:
    """A period that was billed, and its newest invoice."""

    period: Period
    """The period."""
    number: int
    """Number of the period in its agreement, from 1."""
    final_at: datetime
    """When its first invoice was final."""
    first_place: int
    """Where its first invoice stands in the own stream."""
    invoice: str
    """Its newest invoice."""
    cutoff_at: datetime
    """What came before streams reached this time counts in it."""
    version: int
    """1 for the first, 2 for the first that replaces."""
    lines: tuple[InvoiceLine, ...]
    """Its lines."""
    total_stroops: int
    """Their sum."""
    due_at: datetime
    """When it falls due."""
    later_due_at: datetime | None
    """When the rest of it does."""
    later_stroops: int
    """That rest, in stroops."""
    credited: dict[LineClass, int] = field(default_factory=lambda: defaultdict(int))
    """What a dispute credited of it, by class."""


@dataclass(slots=True)
class Account:
    """An agreement, and how far it was billed."""

    opened: AgreementOpened
    """The agreement."""
    cause: str
    """Position and id of its opening."""
    next_day: date
    """First local day that is not billed."""
    period_count: int = 0
    """Periods that were billed."""
    drafted: str = ""
    """The newest draft."""
    billed: dict[date, Billed] = field(default_factory=dict)
    """Billed periods that may still be corrected, by first day, oldest first."""

    @property
    def next_period(self) -> Period:
        """The period that is billed next."""
        return period_from(self.next_day, self.opened.period, self.opened.time_zone)

    def final_at(self, period: Period) -> datetime:
        """When the first invoice of a period is final."""
        return period.until_at + timedelta(seconds=self.opened.settlement_lag_s)

    def invoice_name(self, period: Period, version: int = 1) -> str:
        """The name of an invoice."""
        name = f"{self.opened.agreement}-{period.name}"
        return name if version == 1 else f"{name}.{version}"

    @property
    def needed_from(self) -> datetime:
        """The oldest instant whose readings a document may still need."""
        oldest = next(iter(self.billed.values()), None)
        return (oldest.period if oldest else self.next_period).from_at


class Accounts:
    """Every agreement of a book."""

    def __init__(self) -> None:
        """Begin with none."""
        self.all: dict[str, Account] = {}
        """By agreement."""
        self.number = 0
        """The newest number of a document."""
        self._of_holding: dict[str, str] = {}
        self._of_system: dict[str, dict[str, None]] = defaultdict(dict)
        self._of_tariff: dict[str, dict[str, None]] = defaultdict(dict)
        self._of_invoice: dict[str, tuple[str, date]] = {}
        self._floors: dict[str, int] = {}
        self.now_s = 0
        """The last time that was read, seconds since 1970."""

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold an own fact."""
        match recorded.fact:
            case AgreementOpened() as fact:
                self._open(recorded, fact)
            case InvoiceDrafted() as fact:
                self.all[fact.agreement].drafted = fact.invoice
            case InvoiceIssued() as fact:
                self.number = fact.number
                self._issue(recorded.sequence, fact)
            case CreditNoteIssued() as fact:
                self.number = fact.number
                found = self.find(fact.invoice)
                if found is not None:
                    for part in fact.amounts:
                        found[1].credited[part.line_class] += part.amount_stroops
            case _:
                pass

    def _open(self, recorded: Recorded[Fact], fact: AgreementOpened) -> None:
        cause = write_cause(recorded.position, recorded.envelope.id)
        self.all[fact.agreement] = Account(fact, cause, as_date(fact.first_day))
        self._of_holding[fact.holding] = fact.agreement
        self._of_system[fact.system][fact.agreement] = None
        self._of_tariff[fact.tariff][fact.agreement] = None
        self._floors.pop(fact.system, None)

    def _issue(self, place: int, fact: InvoiceIssued) -> None:
        account = self.all[fact.agreement]
        first_day = local_day(fact.period_from, account.opened.time_zone)
        known = account.billed.get(first_day)
        if known is None and fact.replaces is not None:
            return  # it was closed before this fact was read again: nothing follows from it
        if known is None:
            period = account.next_period
            final_at = account.final_at(period)
            for day, old in list(account.billed.items()):
                if (final_at - old.period.until_at).total_seconds() > CLOSED_AFTER_S:
                    self.close(account, day)
            account.next_day = period.next_day
            account.period_count += 1
            known = Billed(
                period=period,
                number=account.period_count,
                final_at=final_at,
                first_place=place,
                invoice=fact.invoice,
                cutoff_at=final_at,
                version=0,
                lines=(),
                total_stroops=0,
                due_at=fact.due_at,
                later_due_at=None,
                later_stroops=0,
            )
            account.billed[period.first_day] = known
            self._floors.pop(account.opened.system, None)
        self._of_invoice.pop(known.invoice, None)
        self._of_invoice[fact.invoice] = fact.agreement, known.period.first_day
        known.invoice, known.lines, known.total_stroops = (
            fact.invoice,
            fact.lines,
            fact.total_stroops,
        )
        known.version += 1
        known.cutoff_at = fact.cutoff_at or known.final_at
        known.due_at, known.later_due_at = fact.due_at, fact.later_due_at
        known.later_stroops = fact.later_stroops
        known.credited.clear()

    def close(self, account: Account, first_day: date) -> None:
        """Forget a period that can be corrected no more."""
        closed = account.billed.pop(first_day)
        self._of_invoice.pop(closed.invoice, None)
        self._floors.pop(account.opened.system, None)

    def end(self, account: Account) -> None:
        """Forget the periods of an agreement whose holding was reclaimed: it is billed no more."""
        for first_day in list(account.billed):
            self.close(account, first_day)
        self._of_system[account.opened.system].pop(account.opened.agreement, None)
        self._floors.pop(account.opened.system, None)

    def find(self, invoice: str) -> tuple[Account, Billed] | None:
        """The period of the newest invoice of this name, if it may still be corrected."""
        agreement, first_day = self._of_invoice.get(invoice, ("", None))
        if first_day is None:
            return None
        account = self.all[agreement]
        return account, account.billed[first_day]

    def of_holding(self, holding: str) -> AgreementOpened | None:
        """The agreement of a holding, if it has one."""
        agreement = self._of_holding.get(holding)
        return None if agreement is None else self.all[agreement].opened

    def of_system(self, system: str) -> Iterator[Account]:
        """The agreements of a system."""
        return (self.all[name] for name in self._of_system.get(system, ()))

    def of_tariff(self, tariff: str) -> Iterator[Account]:
        """The agreements of a tariff."""
        return (self.all[name] for name in self._of_tariff.get(tariff, ()))

    @property
    def tariffs(self) -> Mapping[str, object]:
        """The tariffs that agreements follow."""
        return self._of_tariff

    def floor_of(self, system: str) -> int:
        """Before this second nothing of a system is needed any more.

        An agreement that is opened later needs less than what is kept for those that are there.
        """
        floor = self._floors.get(system)
        if floor is None:
            needed = [account.needed_from for account in self.of_system(system)]
            floor = min((int(each.timestamp()) for each in needed), default=2**62)
            self._floors[system] = floor
        return min(floor, self.now_s - UNCLAIMED_S)
