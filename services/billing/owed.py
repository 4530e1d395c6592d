"""What the end of a term demands: principal, return and open energy as of a time. Pure.

The ledger says what was repaid and accrued, billing what it billed. Both are kept with their place,
so that a bill that is written late demands what a prompt one would have. What was paid and credited
since clears other energy of its agreement, so only its sum matters, not where the ledger put it.

Source: docs/decisions/0005, return and bills.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from libs.events.books import PaymentSettled
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, CreditNoteIssued, InvoiceIssued
from libs.events.quantities import as_date
from libs.events.repaying import (
    CreditApplied,
    InvoiceCapped,
    ReturnAccrued,
)
from libs.events.systems import StageAdvanced
from libs.rules.periods import local_day
from libs.rules.returns import accrued_stroops
from libs.rules.stages import OPERATION


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one fact of the ledger changed."""

    sequence: int
    principal: int = 0
    returned: int = 0
    cleared: int = 0  # energy, with money
    invoice: str = ""
    capped: int = 0  # of that invoice


@dataclass(frozen=True, slots=True)
class _Accrual:
    """Return that the ledger booked."""

    sequence: int
    from_day: date
    until_day: date
    principal: int
    amount: int


class Owed:
    """Repayment of every agreement, as far as the end of a term looks at it."""

    facts: Final = frozenset[type[Fact]](
        {PaymentSettled, CreditApplied, InvoiceCapped, ReturnAccrued, StageAdvanced}
    )
    """What `evolve` takes note of."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._entries: dict[str, list[_Entry]] = defaultdict(list)
        self._accruals: dict[str, list[_Accrual]] = defaultdict(list)
        self._billed: dict[str, list[tuple[int, str, int]]] = defaultdict(list)
        self._operates: dict[str, tuple[int, datetime]] = {}

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of the ledger."""
        place, fact = recorded.sequence, recorded.fact
        match fact:
            case PaymentSettled() | CreditApplied():
                principal = sum(move.amount_stroops for move in fact.principal)
                returned = sum(move.amount_stroops for move in fact.returns)
                energy = sum(
                    each.amount_stroops for each in fact.cleared if each.line_class == "energy"
                )
                self._entries[fact.agreement].append(_Entry(place, principal, returned, energy))
            case InvoiceCapped():
                self._entries[fact.agreement].append(
                    _Entry(place, invoice=fact.invoice, capped=fact.amount_stroops)
                )
            case ReturnAccrued():
                first, after = as_date(fact.from_day), as_date(fact.until_day)
                self._accruals[fact.agreement].append(
                    _Accrual(place, first, after, fact.principal_stroops, fact.amount_stroops)
                )
            case StageAdvanced() if fact.to_stage == OPERATION:
                self._operates[fact.system] = place, recorded.envelope.time
            case _:
                pass

    def bill(self, recorded: Recorded[Fact]) -> None:
        """Fold an own fact: energy that was billed or credited."""
        match recorded.fact:
            case InvoiceIssued() as fact:
                energy = sum(
                    line.amount_stroops for line in fact.lines if line.line_class == "energy"
                )
                self._billed[fact.agreement].append((recorded.sequence, fact.invoice, energy))
            case CreditNoteIssued() as fact:
                energy = sum(
                    part.amount_stroops for part in fact.amounts if part.line_class == "energy"
                )
                self._billed[fact.agreement].append((recorded.sequence, fact.invoice, -energy))
            case _:
                pass

    def demanded(
        self, opened: AgreementOpened, units: int, next_day: date, ledger: int, own: int
    ) -> int:
        """What the end of a term demands beside the invoice's own energy lines, in stroops.

        Args:
            opened: The agreement.
            units: Units of the holding: its principal at the start.
            next_day: The local day after the period.
            ledger: Facts of the ledger before this place count.
            own: Own facts before this place count.

        Returns:
            Principal and return accrued through the period's last day, less open energy; it may be
            below zero.
        """
        entries = [each for each in self._entries[opened.agreement] if each.sequence < ledger]
        principal = units - sum(each.principal for each in entries)
        accrued = self._accrued(opened, principal, next_day, ledger)
        returned = sum(each.returned for each in entries)
        return principal + accrued - returned - self._open_energy(opened.agreement, entries, own)

    def _open_energy(self, agreement: str, entries: Sequence[_Entry], own: int) -> int:
        """Energy that was billed, and neither credited nor cleared nor capped."""
        billed: dict[str, int] = defaultdict(int)
        capped: dict[str, int] = defaultdict(int)
        for place, invoice, energy in self._billed[agreement]:
            if place < own:
                billed[invoice] += energy
        for each in entries:
            capped[each.invoice] += each.capped
        # A cap ends with its invoice: of one that was credited away nothing is left to be capped.
        left = sum(energy - min(energy, capped[name]) for name, energy in billed.items())
        return max(0, left - sum(each.cleared for each in entries))

    def _accrued(self, opened: AgreementOpened, principal: int, next_day: date, ledger: int) -> int:
        """Return through the day before `next_day`: what was booked, and what is not yet."""
        rate = opened.terms.return_ppm_year
        place, operates_at = self._operates.get(opened.system, (ledger, None))
        if operates_at is None or place >= ledger:
            return 0
        begin = max(as_date(opened.first_day), local_day(operates_at, opened.time_zone))
        total = 0
        for each in self._accruals[opened.agreement]:
            if each.sequence >= ledger:
                continue
            begin = max(begin, each.until_day)
            if each.until_day <= next_day:
                total += each.amount
            elif each.from_day < next_day:
                total += accrued_stroops(each.principal, (next_day - each.from_day).days, rate)
        days = (next_day - begin).days
        return total + accrued_stroops(principal, days, rate) if days > 0 else total
