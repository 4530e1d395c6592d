"""The second model: the clock of lateness and its steps (domain rules, section 8)."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tests.ownership.arithmetic import DAY, later_by
from tests.ownership.bills import Account, Contract
from tests.ownership.owing import Bill

SMALL = 1_000_000
"""0.10: an invoice with no more than this overdue makes nobody late."""
DISPUTE_MAX = 90 * DAY
STEPS = ("reminder", "alert", "stern", "diversion", "disconnection", "reclaim")
Stretch = tuple[datetime, datetime | None]


@dataclass
class Dispute:
    """A part of an invoice whose clock stands still."""

    amount: int
    since: datetime
    until: datetime
    before: list[Stretch] = field(default_factory=list)  # of the invoices that it replaces

    def is_running(self, now: datetime) -> bool:
        return self.since <= now < self.until


@dataclass
class Ladder:
    """Which steps an agreement has taken, and when the last."""

    taken: set[str] = field(default_factory=set)
    last_at: datetime | None = None


def stood_still(since: datetime, now: datetime, pauses: list[Stretch]) -> timedelta:
    """The union of stretches, as far as they lie between two instants: second by second in idea."""
    total, reached = timedelta(0), since
    for begin, end in sorted(pauses, key=lambda each: each[0]):
        first, last = max(begin, reached), min(end or now, now)
        if last > first:
            total += last - first
            reached = last
    return total


class Lateness:
    """Who is late by how much, and what he hears."""

    def __init__(self) -> None:
        self.ladders: dict[str, Ladder] = {}
        self.pauses: dict[str, tuple[str | None, datetime, datetime | None]] = {}
        self.disputes: dict[str, Dispute] = {}
        self.inherited: dict[str, Dispute] = {}

    def dispute(self, invoice: str, amount: int, now: datetime) -> None:
        """A part of an invoice has a clock of its own, for 90 days at most."""
        old = self.inherited.get(invoice)
        before = [] if old is None else [*old.before, (old.since, old.until)]
        self.disputes[invoice] = Dispute(amount, now, now + DISPUTE_MAX, before)

    def replace(self, old: str, new: str, now: datetime) -> None:
        """For what replaces an invoice the time counts for which the clock of that stood still."""
        had = self.disputes.get(old) or self.inherited.get(old)
        if had is not None:
            self.inherited[new] = Dispute(had.amount, had.since, min(had.until, now), had.before)

    def stops(self, agreement: str) -> list[Stretch]:
        return [
            (since, until) for of, since, until in self.pauses.values() if of in {None, agreement}
        ]

    def is_late(
        self,
        contract: Contract,
        zone: str,
        due: datetime,
        periods: int,
        now: datetime,
        pauses: list[Stretch],
    ) -> bool:
        """k periods late = due + k periods of local time + the pauses since due."""
        at = later_by(due, periods, contract.period, zone) + stood_still(due, now, pauses)
        return now > at if periods == 1 else now >= at

    def periods_late(
        self, contract: Contract, zone: str, bill: Bill, now: datetime
    ) -> tuple[int, timedelta]:
        """Whole periods, and for how long the clock of its latest part has run."""
        most, longest = 0, timedelta(0)
        for due, pauses in self._parts(contract, bill, now):
            periods = 0
            while periods < 100 and self.is_late(contract, zone, due, periods + 1, now, pauses):
                periods += 1
            most = max(most, periods)
            longest = max(longest, now - due - stood_still(due, now, pauses))
        return most, longest

    def _parts(
        self, contract: Contract, bill: Bill, now: datetime
    ) -> list[tuple[datetime, list[Stretch]]]:
        """The clocks of an invoice: of what was due first, of what is due later, of a dispute."""
        stops = self.stops(contract.name)
        dispute = self.disputes.get(bill.name) or self.inherited.get(bill.name)
        early, late = bill.open_total, 0
        if bill.later_due_at is not None:
            early = max(0, bill.open_total - bill.later)
            late = bill.open_total - early
        parts: list[tuple[datetime, list[Stretch]]] = []
        for due, amount in ((bill.due_at, early), (bill.later_due_at or bill.due_at, late)):
            disputed = 0
            if dispute is not None:
                disputed = min(dispute.amount, amount)
                if not dispute.is_running(now) and disputed > SMALL and now >= due:
                    stood = [*dispute.before, (dispute.since, dispute.until)]
                    parts.append((due, [*stops, *stood]))
            if amount - disputed > SMALL and now >= due:
                parts.append((due, stops))
        return parts

    def overdue(self, account: Account, now: datetime) -> int:
        """What is overdue and not disputed now."""
        total = 0
        for bill in account.agreement.bills.values():
            dispute = self.disputes.get(bill.name)
            running = dispute.amount if dispute and dispute.is_running(now) else 0
            total += max(0, bill.overdue(now) - min(running, bill.open_total))
        return total

    def is_cured(self, account: Account, now: datetime) -> bool:
        """Nothing is overdue, disputed or not: the next lateness begins with the first step."""
        ladder = self.ladders.setdefault(account.contract.name, Ladder())
        if account.agreement.overdue(now) and account.agreement.owned_at is None:
            return False
        self.ladders[account.contract.name] = Ladder(last_at=ladder.last_at)
        return True

    def step(
        self, account: Account, now: datetime, but: Collection[str] = ()
    ) -> tuple[str, str, str, int] | None:
        """The next step: its name, agreement, the worst invoice, and what is overdue.

        Args:
            account: The agreement.
            now: The time.
            but: Bills that are just being corrected: nobody is late with them meanwhile.
        """
        contract, agr = account.contract, account.agreement
        ladder = self.ladders.setdefault(contract.name, Ladder())
        overdue = self.overdue(account, now)
        if self.is_cured(account, now) or not overdue:
            return None
        if ladder.last_at and now < ladder.last_at + timedelta(seconds=contract.notice_s):
            return None
        if any(until is None for _, until in self.stops(agr.name)):
            # While the clock stands still nobody comes closer to anything.
            return None
        late = [
            (*self.periods_late(contract, agr.system.zone, bill, now), bill.name)
            for bill in agr.by_due()
            if bill.name not in but
        ]
        worst, _, invoice = max(late, key=lambda each: each[:2], default=(0, None, ""))
        for name, periods in self._ladder(account):
            if name not in ladder.taken and worst >= periods:
                ladder.taken.add(name)
                ladder.last_at = now
                return name, contract.name, invoice, overdue
        return None

    @staticmethod
    def _ladder(account: Account) -> list[tuple[str, int]]:
        """Steps by periods; with equal periods in this order; no grid, no diversion."""
        periods = {
            "reminder": 1,
            "alert": 2,
            "stern": 4,
            "diversion": account.contract.grace,
            "disconnection": 6,
            "reclaim": 12,
        }
        if account.agreement.system.offtaker is None:
            del periods["diversion"]
        return sorted(periods.items(), key=lambda each: (each[1], STEPS.index(each[0])))
