"""The second model: what an agreement owes, pays, owns (domain rules, 5, 6 and 8)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime

from tests.ownership.arithmetic import DAY, day_of, scale, split
from tests.ownership.raising import Raising, System, need

CLASSES = ("tax", "running", "shared", "energy")
"""In the order in which a payment clears them."""
ENERGY = ("energy", "")
ENTRIES_MAX = 100
YEAR = 365 * 1_000_000

Row = tuple[str, str]
"""A class of lines, and its payee; none for energy."""


@dataclass
class Bill:
    """An invoice as the ledger sees it."""

    name: str
    number: int
    due_at: datetime
    billed: dict[Row, int]
    later_due_at: datetime | None = None
    later: int = 0
    open: dict[Row, int] = field(default_factory=dict)
    cleared: dict[Row, int] = field(default_factory=dict)
    """Money that cleared a row."""
    prepaid: int = 0
    """Energy that was cleared by prepaid."""
    by_order: int = 0
    """What the standing order paid of it."""

    def __post_init__(self) -> None:
        self.open = dict(self.billed)

    @property
    def open_total(self) -> int:
        return sum(self.open.values())

    def overdue(self, now: datetime, row: Row | None = None) -> int:
        """What is open and due; what falls due later is cleared last."""
        open_now = self.open_total if row is None else self.open.get(row, 0)
        if now < self.due_at:
            return 0
        if self.later_due_at is not None and now < self.later_due_at:
            return max(0, open_now - self.later)
        return open_now


@dataclass
class Agreement:
    """What the ledger knows of an agreement."""

    name: str
    holding: str
    system: System
    member: str
    first_day: date
    bills: dict[str, Bill] = field(default_factory=dict)
    next_day: date | None = None
    booked: list[tuple[date, date, int, int]] = field(default_factory=list)
    """Return that accrued: its days, the principal then, the amount."""
    """From this day on return is still to accrue."""
    order_limit: int = 0
    order_by: str = ""
    """Who signed the standing order; it pays while he holds the holding."""
    owned_at: datetime | None = None
    diverted: list[tuple[datetime, datetime | None]] = field(default_factory=list)
    is_disconnected: bool = False
    is_first_loss_spent: bool = False

    @property
    def units(self) -> int:
        return self.system.holdings[self.holding]

    @property
    def is_diverted(self) -> bool:
        return bool(self.diverted) and self.diverted[-1][1] is None

    def by_due(self) -> list[Bill]:
        return sorted(self.bills.values(), key=lambda bill: (bill.due_at, bill.number))

    @property
    def open_energy(self) -> int:
        return sum(bill.open.get(ENERGY, 0) for bill in self.bills.values())

    def overdue(self, now: datetime) -> int:
        return sum(bill.overdue(now) for bill in self.bills.values())


class Owing(Raising):
    """Agreements: return accrues, payments clear bills, and title follows cash."""

    agreements: dict[str, Agreement]

    # -- what is owed -------------------------------------------------------------------------

    def own(self, agr: Agreement) -> int:
        return self.accounts.of(agr.system.t, f"own:{agr.name}")

    def principal(self, agr: Agreement) -> int:
        return agr.units - self.own(agr)

    def credit(self, agr: Agreement) -> int:
        return self.accounts.of(agr.system.u, f"credit:{agr.name}")

    def free_credit(self, agr: Agreement) -> int:
        """Credit that no open bill needs."""
        return max(0, self.credit(agr) - sum(bill.open_total for bill in agr.by_due()))

    def accrued(self, agr: Agreement) -> int:
        return self.accounts.of(agr.system.c, f"return_due:{agr.name}")

    def title(self, system: System) -> dict[str, int]:
        return self.accounts.under(system.t, f"title:{system.name}:")

    def pending(self, agr: Agreement, end: date | None = None) -> tuple[int, date]:
        """Return that is still to accrue through this local day, and the day after it."""
        system, until = agr.system, end or day_of(self.now, agr.system.zone) + DAY
        if system.operating_from is None:
            return 0, until
        first = agr.next_day or max(agr.first_day, system.operating_from)
        days = max(0, (until - first).days)
        return scale(self.principal(agr) * days, system.return_ppm, YEAR), until

    def booked_after(self, agr: Agreement, end: date) -> int:
        """Return that accrued for the local days from this one on."""
        after = 0
        for first, until, principal, amount in agr.booked:
            if until > end:
                days = max(0, (end - first).days)
                after += amount - scale(principal * days, agr.system.return_ppm, YEAR)
        return after

    def owed(self, agr: Agreement) -> int:
        """Principal, and return through this local day."""
        return self.principal(agr) + self.accrued(agr) + self.pending(agr)[0]

    def accrue(self, agr: Agreement) -> None:
        """Rounded once, then split by title; what rounds to 0 leaves its days open."""
        amount, until = self.pending(agr)
        if not amount:
            return
        for member, part in split(amount, self.title(agr.system), self.address).items():
            due, to = f"return_due:{agr.name}", f"return_to:{agr.name}:{member}"
            self.accounts.post(agr.system.c, due, to, part)
        first = agr.next_day or max(agr.first_day, agr.system.operating_from or agr.first_day)
        agr.booked.append((first, until, self.principal(agr), amount))
        agr.next_day = until

    def accrue_all(self, system: System) -> None:
        """Before principal or title of a system changes, return of all its holdings accrues."""
        for agr in self.agreements.values():
            if agr.system is system:
                self.accrue(agr)

    # -- paying -------------------------------------------------------------------------------

    def pay(self, member: str, name: str, amount: int) -> None:
        agr = self.agreements[name]
        need(that=amount <= self.wallet(agr.system.asset, member), rule="too little money")
        self.accounts.post(agr.system.u, f"wallet:{member}", f"credit:{name}", amount)
        self.clear(agr, self.credit(agr))

    def prepay(self, name: str, amount: int) -> None:
        """Return and principal before they fall due, first from credit."""
        agr = self.agreements[name]
        need(that=agr.owned_at is None, rule="owned")
        need(that=amount <= self.owed(agr), rule="more than is owed")
        given = max(0, amount - self.free_credit(agr))
        need(that=given <= self.wallet(agr.system.asset, agr.member), rule="too little money")
        self.accounts.post(agr.system.u, f"wallet:{agr.member}", f"credit:{name}", given)
        self.waterfall(agr, amount)

    def refund_credit(self, name: str, amount: int) -> None:
        agr = self.agreements[name]
        need(that=amount <= self.free_credit(agr), rule="too little credit")
        self.accounts.post(agr.system.u, f"credit:{name}", f"wallet:{agr.member}", amount)

    def receive(self, receipt: str, asset: str, amount: int, reference: str) -> None:
        """Money that arrived is never refused."""
        agr = self.agreements.get(reference)
        if agr is None or agr.system.asset != asset:
            self.suspend(receipt, asset, amount)
        else:
            self.accounts.post(f"U:{asset}", f"issuer:{asset}", f"credit:{reference}", amount)

    def clear(self, agr: Agreement, budget: int, only: Bill | None = None) -> int:
        """Clear with credit what is open, the oldest due bill first; give what was cleared."""
        plan: list[tuple[Bill, Row, int]] = []
        energy, left = 0, budget
        for bill, row in self._open_rows(agr, only):
            amount = min(left, bill.open[row])
            if row == ENERGY:
                amount = min(amount, self.owed(agr) - energy)
                energy += amount
            if amount > 0 and len(plan) < ENTRIES_MAX:
                plan.append((bill, row, amount))
                left -= amount
        for bill, row, amount in plan:
            bill.open[row] -= amount
            bill.cleared[row] = bill.cleared.get(row, 0) + amount
            self.accounts.post(
                agr.system.c, f"billed:{agr.name}:{row[0]}", f"due:{agr.name}", amount
            )
            if row != ENERGY:
                to = self.payee_account(row)
                self.accounts.post(agr.system.u, f"credit:{agr.name}", to, amount)
        if energy:
            self.waterfall(agr, energy)
        return budget - left

    def _open_rows(self, agr: Agreement, only: Bill | None) -> Iterator[tuple[Bill, Row]]:
        for bill in [only] if only else agr.by_due():
            for row in sorted(bill.open, key=lambda row: (CLASSES.index(row[0]), row[1])):
                if bill.open[row] > 0:
                    yield bill, row

    def payee_account(self, row: Row) -> str:
        kind, payee = row
        if kind == "tax":
            return f"tax:{payee}"
        if kind == "running":
            return f"wallet:{payee}"
        source = self.agreements[payee]
        return f"credit:{payee}" if source.owned_at is None else f"wallet:{source.member}"

    def waterfall(self, agr: Agreement, amount: int) -> None:
        """Energy money: all accrued return, then principal; each stroop of it moves one share."""
        system, post = agr.system, self.accounts.post
        self.accrue(agr)
        returned = min(amount, self.accrued(agr))
        claims = self.accounts.under(system.c, f"return_to:{agr.name}:")
        for member, part in split(returned, claims, self.address).items():
            post(system.c, f"return_to:{agr.name}:{member}", f"return_due:{agr.name}", part)
            post(system.u, f"credit:{agr.name}", f"wallet:{member}", part)
        if rest := amount - returned:
            self.accrue_all(system)
            for member, part in split(rest, self.title(system), self.address).items():
                post(system.t, f"title:{system.name}:{member}", f"own:{agr.name}", part)
                post(system.u, f"credit:{agr.name}", f"wallet:{member}", part)
        self.own_if_paid(agr)

    def own_if_paid(self, agr: Agreement) -> None:
        """Principal and accrued return are both zero: what is open of energy is credited."""
        if agr.owned_at is not None or self.principal(agr) or self.accrued(agr):
            return
        system, post = agr.system, self.accounts.post
        agr.owned_at = self.now
        for bill in agr.bills.values():
            post(system.c, f"billed:{agr.name}:energy", f"due:{agr.name}", bill.open.pop(ENERGY, 0))
        lapsed = self.accounts.of(system.c, f"prepaid:{agr.name}")
        post(system.c, f"prepaid:{agr.name}", f"overbilled:{agr.name}", lapsed)
        self.log.append(("owned", agr.name))
        self.restore(agr)
        held = [each for each in self.agreements.values() if each.system is system]
        if all(each.owned_at for each in held) and len(held) == len(system.holdings):
            system.stage = 8
            self.log += [("paid off", system.name), ("stage", system.name, 8)]
            self.release_cover(system)

    # -- bills --------------------------------------------------------------------------------

    def read_invoice(self, agr: Agreement, bill: Bill) -> None:
        """A new invoice; prepaid clears its energy; it demands no more than what is owed."""
        for (kind, _), amount in bill.billed.items():
            billed = f"billed:{agr.name}:{kind}"
            self.accounts.post(agr.system.c, f"due:{agr.name}", billed, amount)
        agr.bills[bill.name] = bill
        self.apply_prepaid(agr)
        self.cap(agr)

    def apply_prepaid(self, agr: Agreement) -> bool:
        """Energy that was paid and credited since clears the oldest open energy."""
        c, post, happened = agr.system.c, self.accounts.post, False
        for bill in agr.by_due():
            left = self.accounts.of(c, f"prepaid:{agr.name}")
            amount = min(left, bill.open.get(ENERGY, 0))
            if amount > 0:
                bill.open[ENERGY] -= amount
                bill.prepaid += amount
                post(c, f"prepaid:{agr.name}", f"due:{agr.name}", amount)
                post(c, f"billed:{agr.name}:energy", f"overbilled:{agr.name}", amount)
                happened = True
        return happened

    def cap(self, agr: Agreement) -> None:
        """Open energy never exceeds what is owed: the newest bills demand less."""
        for bill in sorted(agr.bills.values(), key=lambda bill: -bill.number):
            owed = 0 if agr.owned_at else self.owed(agr)
            excess = min(agr.open_energy - owed, bill.open.get(ENERGY, 0))
            if excess > 0:
                bill.open[ENERGY] -= excess
                billed = f"billed:{agr.name}:energy"
                self.accounts.post(agr.system.c, billed, f"due:{agr.name}", excess)

    def read_credit_note(self, agr: Agreement, bill: Bill, amounts: dict[str, int]) -> None:
        """First what was open is no longer due; what was cleared comes back."""
        for kind, undone in amounts.items():
            rows = [row for row in sorted(bill.billed) if row[0] == kind]
            left = undone
            for row in rows:
                amount = min(left, bill.open.get(row, 0))
                bill.open[row] = bill.open.get(row, 0) - amount
                billed = f"billed:{agr.name}:{kind}"
                self.accounts.post(agr.system.c, billed, f"due:{agr.name}", amount)
                left -= amount
            for row in rows:
                left -= self._give_back(agr, bill, row, left)
        if agr.owned_at is not None:
            lapsed = self.accounts.of(agr.system.c, f"prepaid:{agr.name}")
            over = f"overbilled:{agr.name}"
            self.accounts.post(agr.system.c, f"prepaid:{agr.name}", over, lapsed)

    def _give_back(self, agr: Agreement, bill: Bill, row: Row, most: int) -> int:
        """Cleared money of one row: energy becomes prepaid, others refund as far as they can."""
        c, u, post = agr.system.c, agr.system.u, self.accounts.post
        if row == ENERGY:
            cleared = bill.cleared.get(row, 0) + bill.prepaid
            amount = min(most, cleared)
            post(c, f"overbilled:{agr.name}", f"prepaid:{agr.name}", amount)
            bill.cleared[row], bill.prepaid = cleared - amount, 0
            return amount
        amount = min(most, bill.cleared.get(row, 0))
        account = self.payee_account(row)
        now = min(amount, self.accounts.of(u, account))
        post(u, account, f"credit:{agr.name}", now)
        payee = account.split(":", 1)[1]
        post(c, f"owed_by:{payee}", f"owed_to:{agr.name}", amount - now)
        if amount > now:
            self.owing_back.append((agr.name, account, amount - now))
        bill.cleared[row] = bill.cleared.get(row, 0) - amount
        return amount

    owing_back: list[tuple[str, str, int]]

    def restore(self, agr: Agreement) -> None:
        if agr.is_diverted:
            agr.diverted[-1] = (agr.diverted[-1][0], self.now)
        elif not agr.is_disconnected:
            return
        agr.is_disconnected = False
        self.log.append(("restored", agr.name))
