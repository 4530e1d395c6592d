"""What is owed in an agreement while supposed bills are paid: return, principal, own shares. Pure.

Source: domain rules, sections 5 and 6; docs/decisions/0005, "Return" and "Paying".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from libs.events.books import LineClass
from libs.rules.receivables import ORDER, Part
from libs.rules.returns import accrued_stroops, clearing, waterfall


@dataclass(slots=True)
class Open:
    """A bill that is not wholly paid."""

    due_at: datetime
    """When it falls due."""
    parts: dict[Part, int]
    """What is open of it by class and payee, in stroops, in the order of clearing."""

    @property
    def total_stroops(self) -> int:
        """What is open of it, in stroops."""
        return sum(self.parts.values())


@dataclass(slots=True)
class Paid:
    """What was paid, in stroops."""

    by_class: dict[LineClass, int] = field(default_factory=lambda: dict.fromkeys(ORDER, 0))
    """What bills were paid, by class."""
    prepaid_stroops: int = 0
    """What was repaid before a bill demanded it."""
    return_stroops: int = 0
    """Return that was paid of both."""
    principal_stroops: int = 0
    """Principal that was repaid of both: each stroop is a share."""

    @property
    def total_stroops(self) -> int:
        """All of it."""
        return sum(self.by_class.values()) + self.prepaid_stroops


@dataclass(slots=True)
class Debt:
    """Principal, return, open bills and credit of one agreement, as time goes on."""

    principal_stroops: int
    """Open principal."""
    return_ppm_year: int
    """The agreed return, in ppm a year."""
    next_day: date | None
    """First local day for which no return is booked; None: nothing accrues yet."""
    return_stroops: int = 0
    """Return that is booked and not paid."""
    credit_stroops: int = 0
    """Money of the agreement that nothing needed yet."""
    prepaid_stroops: int = 0
    """Energy that was paid and credited since; it clears later energy."""
    bills: list[Open] = field(default_factory=list)
    """Bills with something open, oldest due first."""
    paid: Paid = field(default_factory=Paid)
    """What was paid since the beginning."""
    accrued_stroops: int = 0
    """Return that was booked since the beginning."""
    capped_stroops: int = 0
    """Energy that was billed and is not owed."""

    @property
    def is_owned(self) -> bool:
        """Tell whether principal and return are zero."""
        return self.principal_stroops == 0 and self.return_stroops == 0

    @property
    def open_stroops(self) -> int:
        """What is open of all bills."""
        return sum(bill.total_stroops for bill in self.bills)

    @property
    def open_energy_stroops(self) -> int:
        """Energy that is open in all bills."""
        return sum(bill.parts.get(("energy", ""), 0) for bill in self.bills)

    def through(self, day: date) -> int:
        """Return that would be due through a local day, that day included."""
        return self.return_stroops + self._accrued(day)

    def demanded(self, next_day: date) -> int:
        """What the end of a term demands beside the bill's own energy; see billing's `Owed`."""
        owed = self.principal_stroops + self.through(next_day - timedelta(days=1))
        return owed - self.open_energy_stroops

    def accrue(self, day: date) -> None:
        """Book return through a local day; days of which it would round to 0 stay open."""
        amount = self._accrued(day)
        if amount:
            self.return_stroops += amount
            self.accrued_stroops += amount
            self.next_day = day + timedelta(days=1)

    def bill(self, due_at: datetime, parts: Mapping[Part, int], day: date) -> None:
        """Take in a bill: what is prepaid clears its energy, and more than is owed is capped.

        Args:
            due_at: When it falls due; not before those that were taken in.
            parts: What it asks for, in stroops.
            day: The local day on which it is read.
        """
        order = sorted(parts.items(), key=lambda pair: (ORDER.index(pair[0][0]), pair[0][1]))
        bill = Open(due_at, {part: amount for part, amount in order if amount})
        energy = bill.parts.get(("energy", ""), 0)
        from_prepaid = min(energy, self.prepaid_stroops)
        self.prepaid_stroops -= from_prepaid
        over = self.open_energy_stroops + energy - from_prepaid
        over -= self.principal_stroops + self.through(day)
        over = min(max(0, over), energy - from_prepaid)
        self.capped_stroops += over
        _take(bill, ("energy", ""), from_prepaid + over)
        self.bills.append(bill)
        self._forget_paid()

    def pay(self, money_stroops: int, day: date, *, prepays: bool = False) -> None:
        """Pay: the oldest bill first, in it tax, running, shared, energy.

        Args:
            money_stroops: How much, beside what is credit already.
            day: The local day.
            prepays: Whether what bills do not need repays return and principal at once; else it is
                credit.
        """
        self.accrue(day)
        money = money_stroops + self.credit_stroops
        owed = self.principal_stroops + self.return_stroops
        energy = 0
        for bill, part, taken in list(clearing(self._open(), money, owed)):
            _take(bill, part, taken)
            self.paid.by_class[part[0]] += taken
            money -= taken
            energy += taken if part[0] == "energy" else 0
        self._repay(energy)
        if prepays:  # what is not owed at all, is not paid
            extra = max(0, money - self.credit_stroops)
            extra = min(extra, self.principal_stroops + self.return_stroops)
            self.paid.prepaid_stroops += extra
            self._repay(extra)
            money = min(money, self.credit_stroops)
        self.credit_stroops = money
        self._forget_paid()

    def prepay(self, money_stroops: int, day: date) -> None:
        """Repay return and principal before a bill demands it; never more than both."""
        self.accrue(day)
        money = min(money_stroops, self.principal_stroops + self.return_stroops)
        self.paid.prepaid_stroops += money
        self._repay(money)
        self._forget_paid()

    def _repay(self, money: int) -> None:
        returns, principal = waterfall(money, self.return_stroops, self.principal_stroops)
        self.return_stroops -= returns
        self.principal_stroops -= principal
        self.paid.return_stroops += returns
        self.paid.principal_stroops += principal

    def _accrued(self, day: date) -> int:
        if self.next_day is None or day < self.next_day:
            return 0
        days = (day - self.next_day).days + 1
        return accrued_stroops(self.principal_stroops, days, self.return_ppm_year)

    def _open(self) -> Iterator[tuple[Open, Part, int]]:
        for bill in self.bills:
            yield from [(bill, part, amount) for part, amount in bill.parts.items()]

    def _forget_paid(self) -> None:
        """Once it is owned open energy is not owed any more."""
        if self.is_owned:
            self.prepaid_stroops = 0
            for bill in self.bills:
                self.capped_stroops += bill.parts.pop(("energy", ""), 0)
        self.bills = [bill for bill in self.bills if bill.parts]


def _take(bill: Open, part: Part, amount: int) -> None:
    left = bill.parts.get(part, 0) - amount
    if left:
        bill.parts[part] = left
    else:
        bill.parts.pop(part, None)
