"""When which document is to be looked at: drafts, invoices, nights after late facts. Pure.

One heap of instants. What is not at its top costs nothing, however many agreements there are. An
entry that was overtaken by a fact is passed over, so the agenda needs no memory of what was done.

Source: docs/decisions/0005, bills.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from enum import IntEnum
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from libs.events.quantities import as_date
from libs.rules.periods import Period, local_day, local_midnight, period_from, period_of
from libs.rules.rating import CORRECTABLE_S
from services.billing.accounts import CLOSED_AFTER_S, Account, Accounts
from services.billing.inputs import Inputs
from services.billing.prices import STREAM


class Task(IntEnum):
    """What is to be looked at; of one instant in this order."""

    DRAFT = 0
    """The period ended."""
    ISSUE = 1
    """Its invoice is final."""
    REVISE = 2
    """The midnight after something came late."""
    CLOSE = 3
    """Nothing can change it any more."""


class Entry(NamedTuple):
    """Something to be looked at once an instant was reached; entries sort by it."""

    at: datetime
    """The instant."""
    as_of: datetime
    """The time as of which it is decided: `at`, unless that had to wait."""
    task: Task
    """What is to be looked at."""
    agreement: str
    """Of which agreement."""
    first_day: date
    """Of which period: its first local day."""


class Agenda:
    """Instants at which documents may be due, oldest first."""

    def __init__(self, accounts: Accounts, inputs: Inputs) -> None:
        """Begin with none."""
        self._accounts, self._inputs = accounts, inputs
        self._heap: list[Entry] = []
        self._looked: dict[str, int] = {}
        self._fresh: dict[str, None] = {}
        self._blocked: dict[str, list[Entry]] = {}
        self._deferred: dict[str, datetime] = {}

    def opened(self, account: Account) -> None:
        """Note a new agreement; what came before it may be late for it already."""
        self._fresh[account.opened.agreement] = None
        self._add_period(account)

    def issued(self, account: Account, period: Period) -> None:
        """Note that a period was billed for the first time."""
        closes_at = period.until_at + timedelta(seconds=CLOSED_AFTER_S)
        self._add(closes_at, Task.CLOSE, account, period)
        self._add_period(account)

    def _add_period(self, account: Account) -> None:
        period = account.next_period
        if account.opened.settlement_lag_s:
            self._add(period.until_at, Task.DRAFT, account, period)
        self._add(account.final_at(period), Task.ISSUE, account, period)

    def _add(self, at: datetime, task: Task, account: Account, period: Period) -> None:
        heappush(self._heap, Entry(at, at, task, account.opened.agreement, period.first_day))

    def first(self, now: datetime | None) -> Entry | None:
        """What is to be looked at first, of what is not after `now`."""
        if now is None:
            return None
        self._look()
        while self._heap and self._heap[0].at <= now:
            entry = self._heap[0]
            waits_until = self._deferred.get(entry.agreement, entry.at)
            if entry.agreement in self._blocked:
                self._blocked[entry.agreement].append(heappop(self._heap))
            elif entry.at < waits_until:
                self.defer(waits_until)
            else:
                return entry
        return None

    def done(self) -> None:
        """Pass over the first entry, however often it stands there."""
        entry = heappop(self._heap)
        while self._heap and self._heap[0] == entry:
            heappop(self._heap)

    def defer(self, until: datetime) -> None:
        """Let the first entry, and all of its agreement, wait for an instant."""
        entry = heappop(self._heap)
        self._deferred[entry.agreement] = until
        heappush(self._heap, entry._replace(at=until))

    def block(self) -> None:
        """Put the first entry aside, with all that follows it for its agreement."""
        entry = heappop(self._heap)
        self._blocked[entry.agreement] = [entry]

    def unblock(self) -> None:
        """Look again at what was put aside."""
        for entries in self._blocked.values():
            for entry in entries:
                heappush(self._heap, entry)
        self._blocked.clear()

    def _look(self) -> None:
        """Find the nights at which facts that were read since are to be settled."""
        inputs = self._inputs
        if self._fresh:
            for agreement in self._fresh:
                self._look_back(self._accounts.all[agreement])
            self._fresh.clear()
        for meter in list(inputs.touched):
            measured = inputs.installed.measures(meter)
            if measured is None:
                continue  # its enrolment was not read yet
            inputs.touched.remove(meter)
            log = inputs.meters[meter]
            rows = list(log.since(self._looked.get(meter, 0)))
            if rows:
                self._looked[meter] = max(place for place, _, _ in rows)
                self._note(log.stream, rows, list(self._accounts.of_system(measured[0])))
        for feed in inputs.prices.touched:
            rows = list(inputs.prices.since(feed, self._looked.get(f"{STREAM} {feed}", 0)))
            if rows:
                self._looked[f"{STREAM} {feed}"] = max(place for place, _, _ in rows)
                self._note(STREAM, rows, self._following(feed))
        inputs.prices.touched.clear()

    def _following(self, feed: str) -> list[Account]:
        prices = self._inputs.prices
        tariffs = [name for name in self._accounts.tariffs if feed in prices.feeds_of(name)]
        return [account for name in tariffs for account in self._accounts.of_tariff(name)]

    def _look_back(self, account: Account) -> None:
        inputs = self._inputs
        for meter in inputs.meters_of(account.opened.system):
            if meter in inputs.meters:
                log = inputs.meters[meter]
                self._note(log.stream, list(log.since(0)), [account])
        for feed in inputs.prices.feeds_of(account.opened.tariff):
            self._note(STREAM, list(inputs.prices.since(feed, 0)), [account])

    def _note(
        self, stream: str, rows: list[tuple[int, int, int]], accounts: Iterable[Account]
    ) -> None:
        """Add the nights for some facts of a stream: place, start and end of each."""
        columns = np.array(rows, np.int64).reshape(-1, 3)
        came_at = self._inputs.reached[stream].before(columns[:, 0])
        is_late = (came_at > columns[:, 1]) & (came_at < columns[:, 1] + CORRECTABLE_S)
        if not is_late.any():
            return
        late = zip(came_at[is_late].tolist(), columns[is_late].tolist(), strict=True)
        for came_s, (_, start, end) in late:
            for account in accounts:
                if came_s >= start + account.opened.settlement_lag_s:
                    self._add_nights(account, came_s, start, end)

    def _add_nights(self, account: Account, came_s: int, start: int, end: int) -> None:
        opened = account.opened
        came_at = datetime.fromtimestamp(came_s, tz=UTC)
        period = period_of(
            datetime.fromtimestamp(start, tz=UTC),
            opened.period,
            as_date(opened.first_day),
            opened.time_zone,
        )
        while period.from_at.timestamp() < end:
            if account.final_at(period) <= came_at:
                night = next_midnight(came_at, opened.time_zone)
                self._add(night, Task.REVISE, account, period)
            period = period_from(period.next_day, opened.period, opened.time_zone)


def next_midnight(instant: datetime, time_zone: str) -> datetime:
    """The first local midnight after an instant."""
    return local_midnight(local_day(instant, time_zone) + timedelta(days=1), time_zone)
