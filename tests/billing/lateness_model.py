"""A second model of lateness that counts days, and a play that compares it with billing's rules."""

import random
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from libs.events.billing_commands import DisputeInvoice, PauseClock, ResolveDispute, ResumeClock
from libs.events.dunning import InvoiceDisputed
from tests.billing.lateness_world import LADDER, World
from tests.histories import START

DAY = timedelta(days=1)


class DayModel:
    """Lateness of one agreement, 14-day periods in UTC, by counting days."""

    def __init__(self, grace: int, notice_days: int, *, has_offtaker: bool) -> None:
        rungs = [(1, 0, LADDER[0]), (2, 1, LADDER[1]), (4, 2, LADDER[2])]
        rungs += [(6, 4, LADDER[4]), (12, 5, LADDER[5])]
        rungs += [(grace, 3, LADDER[3])] if has_offtaker else []
        self.rungs = sorted(rungs)
        self.notice_days = notice_days
        self.bills: dict[str, dict[str, int]] = {}
        self.stopped: list[list[int]] = []
        self.disputes: dict[str, list[int]] = {}
        self.taken, self.last = 0, -10_000

    def overdue(self, bill: dict[str, int], day: int) -> int:
        if day < bill["due"]:
            return 0
        early = max(0, bill["open"] - bill["later"])
        return early if day < bill["later_due"] else bill["open"]

    def look(self, day: int) -> None:
        """After anything happened: whoever has nothing overdue begins anew."""
        if not any(self.overdue(bill, day) for bill in self.bills.values()):
            self.taken = 0

    def _periods(self, since: int, day: int, stopped: list[list[int]], rung: int) -> bool:
        if any(begin <= day < end for begin, end in stopped):
            return False
        ran = sum(
            not any(begin <= each < end for begin, end in stopped) for each in range(since, day)
        )
        return ran > 14 if rung == 1 else ran >= 14 * rung

    def _is_late(self, name: str, day: int, rung: int) -> bool:
        bill = self.bills[name]
        dispute = self.disputes.get(name, [0, 0, 0])
        held = min(dispute[2], bill["open"])
        for since, amount in (
            (bill["due"], bill["open"] - bill["later"]),
            (bill["later_due"], bill["open"]),
        ):
            if amount - held > 1_000_000 and self._periods(since, day, self.stopped, rung):
                return True
            both = [*self.stopped, dispute[:2]]
            if amount > 1_000_000 and self._periods(since, day, both, rung):
                return True
        return False

    def steps(self, day: int) -> list[str]:
        found: list[str] = []
        while self.taken < len(self.rungs) and day >= self.last + self.notice_days:
            rung, _, name = self.rungs[self.taken]
            if not any(self._is_late(bill, day, rung) for bill in self.bills):
                break
            found.append(name)
            self.taken, self.last = self.taken + 1, day
        return found


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("days"), st.sampled_from([1, 3, 7, 13, 14, 15, 28, 60, 200])),
        st.tuples(st.just("issue"), st.integers(0, 20), st.sampled_from([0, 0, 5, 30])),
        st.tuples(st.just("pay"), st.integers(0, 5), st.sampled_from([1, 2, 3, 50, 50])),
        st.tuples(st.just("dispute"), st.integers(0, 5), st.sampled_from([1, 3, 50])),
        st.tuples(st.just("resolve"), st.integers(0, 5), st.sampled_from([0, 1, 50])),
        st.tuples(st.just("pause"), st.booleans()),
        st.tuples(st.just("resume"), st.integers(0, 3)),
        st.tuples(st.just("replace"), st.integers(0, 5), st.sampled_from([1, 40, 80])),
    ),
    min_size=4,
    max_size=40,
)


class Play:
    """Plays operations on a world and, beside it, on the model."""

    def __init__(self, grace: int, notice_days: int, *, has_offtaker: bool, restarts: bool) -> None:
        self.world = World(
            grace_periods=grace,
            notice_s=notice_days * 86_400,
            offtaker="grid" if has_offtaker else None,
        )
        self.model = DayModel(grace, notice_days, has_offtaker=has_offtaker)
        self.restarts = random.Random(7) if restarts else None
        self.day = self.made = 0
        self.running: dict[str, list[int]] = {}
        self.expected: list[tuple[str, int]] = []
        self.found: list[tuple[str, int]] = []

    def run(self, operations: list[tuple[Any, ...]]) -> "Play":
        for name, *values in [*operations, ("days", 1), ("days", 400)]:
            getattr(self, name)(*values)
            self.model.look(self.day)
            if self.restarts is not None:
                self.world.restart(self.restarts)
                self.later()
        return self

    def later(self) -> None:
        found = self.world.late_facts(self.world.stage.follow_up())
        assert found == [], "nothing is due that was not due before the restart"

    def days(self, count: int) -> None:
        self.day += count
        self.found += [(name, self.day) for name in self.world.steps(START + self.day * DAY)]
        self.expected += [(name, self.day) for name in self.model.steps(self.day)]

    def issue(self, after: int, later_after: int) -> None:
        due, amount = self.day + after, 50_000_000
        changes: dict[str, Any] = {}
        if later_after:
            changes = {
                "later_due_at": START + (due + later_after) * DAY,
                "later_stroops": 20_000_000,
            }
        name = self.world.issue(START + due * DAY, amount, **changes)
        self.model.bills[name] = {
            "open": amount,
            "due": due,
            "later": 20_000_000 if later_after else 0,
            "later_due": due + later_after,
        }

    def _bill(self, index: int) -> str | None:
        names = [name for name, bill in self.model.bills.items() if bill["open"]]
        return names[index % len(names)] if names else None

    def pay(self, index: int, units: int) -> None:
        if (name := self._bill(index)) is not None:
            bill = self.model.bills[name]
            amount = min(units * 1_000_000 - 500_000 * (units < 3), bill["open"])
            self.world.pay(name, amount)
            bill["open"] -= amount

    def dispute(self, index: int, units: int) -> None:
        name = self._bill(index)
        if name is None or name in self.model.disputes:
            return
        amount = min(units * 1_000_000, self.model.bills[name]["open"])
        self.made += 1
        body = DisputeInvoice(invoice=name, amount_stroops=amount, reason="meter")
        (fact,) = self.world.stage.when("home", f"d{self.made}", body)
        assert isinstance(fact, InvoiceDisputed)
        self.model.disputes[name] = [self.day, self.day + 90, amount, 0]

    def resolve(self, index: int, units: int) -> None:
        names = [name for name, each in self.model.disputes.items() if not each[3]]
        if not names:
            return
        name = names[index % len(names)]
        dispute, bill = self.model.disputes[name], self.model.bills[name]
        amount = min(units * 1_000_000, dispute[2], bill["open"])
        self.made += 1
        body = ResolveDispute(invoice=name, credited_stroops=amount)
        assert self.world.stage.when("boss", f"r{self.made}", body)
        if amount:
            self.world.credit(name, amount, "dispute")
        bill["open"] -= amount
        dispute[1:] = [min(dispute[1], self.day), dispute[2] - amount, 1]

    def pause(self, is_common: bool) -> None:
        self.made += 1
        name = f"p{self.made}"
        body = PauseClock(pause=name, agreement=None if is_common else "agr", cause="storm")
        assert self.world.stage.when("boss", name, body)
        self.running[name] = [self.day, 10**6]
        self.model.stopped.append(self.running[name])

    def resume(self, index: int) -> None:
        if self.running:
            name = list(self.running)[index % len(self.running)]
            self.made += 1
            body = ResumeClock(pause=name)
            assert self.world.stage.when("boss", f"e{self.made}", body)
            self.running.pop(name)[1] = self.day

    def replace(self, index: int, units: int) -> None:
        """Credit note and new invoice over what is open, in one append."""
        name = self._bill(index)
        if name is None or self.model.bills[name]["later"]:
            return
        bill, amount = self.model.bills[name], units * 1_000_000
        self.world.credit(name, bill["open"])
        later = max(0, amount - bill["open"])
        changes: dict[str, Any] = {"replaces": name}
        if later:
            changes |= {"later_stroops": later, "later_due_at": START + (self.day + 10) * DAY}
        new = self.world.issue(START + bill["due"] * DAY, amount, **changes)
        self.model.bills[new] = {
            "open": amount,
            "due": bill["due"],
            "later": later,
            "later_due": self.day + 10 if later else bill["due"],
        }
        bill["open"] = 0
