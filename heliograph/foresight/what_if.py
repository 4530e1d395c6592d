"""What another tariff, period or payment would have cost, on the real history. Pure.

The bills are billing's own, asked again; what differs is the agreement, the tariff, or what was
paid. What cannot be known (an interval without a meter or a price) is counted and never guessed.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Final

from heliograph.foresight.debt import Debt
from heliograph.foresight.history import Documented, Known, due_at, parts_of, supposed
from libs.events.books import LineClass
from libs.events.invoicing import AgreementOpened, BillingPeriod, InvoiceLine
from libs.events.quantities import as_date
from libs.rules.periods import Period, local_day, local_midnight, period_from
from libs.rules.receivables import ORDER
from libs.runtime.failures import NotFound
from services.billing.accounts import Account
from services.billing.inputs import Inputs
from services.billing.invoices import Documents
from services.billing.lines import Bill
from services.billing.owed import Owed

PERIODS_MAX: Final = 5_200
"""Most periods that are looked at: two hundred years of fortnights."""


@dataclass(frozen=True, slots=True)
class Question:
    """What would have been different; nothing unless told."""

    tariff: str | None = None
    """Another tariff."""
    period: BillingPeriod | None = None
    """Another period."""
    payment_stroops: int | None = None
    """What would have been paid when each bill fell due; absent: the bill."""
    from_day: date | None = None
    """Periods that begin before it are left out of the comparison."""
    until_day: date | None = None
    """Periods that end after it begins are left out of the comparison."""


@dataclass(frozen=True, slots=True)
class Row:
    """One period, as it was billed and as it would have been."""

    first_day: date
    """Its first local day."""
    next_day: date
    """The first local day after it."""
    billed_stroops: int | None
    """What was billed; None: nothing was, for such a period."""
    supposed_stroops: int | None
    """What would have been billed; None where there would be no such period."""
    by_class: dict[LineClass, int]
    """The same by class."""
    unrated_intervals: int
    """Intervals without a meter or a price, in what would have been billed."""
    unpriced_intervals: int
    """Of them those that were billed, and for which the other tariff has no price."""
    is_part: bool = False
    """Whether it is cut off where the last real bill ends, so that totals are of the same days."""

    @property
    def difference_stroops(self) -> int | None:
        """What it would have been more; below zero: less."""
        if self.billed_stroops is None or self.supposed_stroops is None:
            return None
        return self.supposed_stroops - self.billed_stroops


@dataclass(slots=True)
class Answer:
    """What would have been."""

    agreement: AgreementOpened
    """The agreement as it would have been."""
    until_at: datetime
    """By when everything is known."""
    rows: list[Row] = field(default_factory=list)
    """The periods, oldest first."""
    debt: Debt = field(default_factory=lambda: Debt(0, 0, None))
    """What would be owed and paid by then."""
    owned_at: datetime | None = None
    """When the holding would have been owned."""
    payment_stroops: int | None = None
    """What would have been paid when each bill fell due; None: the bill."""
    own_shares: int = 0
    """What the recipient really owns by now."""
    disputed_stroops: int = 0
    """What disputes really credited of these bills, in stroops; it is not in the rows."""

    @property
    def billed_stroops(self) -> int:
        """What was billed in these periods."""
        return sum(row.billed_stroops or 0 for row in self.rows)

    @property
    def supposed_stroops(self) -> int:
        """What would have been billed in these periods."""
        return sum(row.supposed_stroops or 0 for row in self.rows)

    @property
    def is_of_same_days(self) -> bool:
        """Tell whether both totals are of the same days."""
        billed = [row for row in self.rows if row.billed_stroops is not None]
        return _days_of(billed) == _days_of(
            [row for row in self.rows if row.supposed_stroops is not None]
        )


class Supposed(Owed):
    """What the end of a term demands where others bills were paid: asked of the debt."""

    def __init__(self, debt: Debt) -> None:
        """Ask a debt."""
        super().__init__()
        self._debt = debt

    def demanded(
        self, opened: AgreementOpened, units: int, next_day: date, ledger: int, own: int
    ) -> int:
        """What is demanded, in stroops; see `Owed`."""
        del opened, units, ledger, own
        return self._debt.demanded(next_day)


def _days_of(rows: list[Row]) -> tuple[date | None, date | None]:
    first = min((row.first_day for row in rows), default=None)
    return first, max((row.next_day for row in rows), default=None)


def what_if(known: Known, agreement: str, question: Question) -> Answer:
    """Bill every past period again, and pay the bills when they fall due.

    Raises:
        NotFound: Codes `unknown-agreement`, `unknown-tariff`, `rate-missing` and `no-history`.
    """
    account = known.account(agreement)
    if question.tariff is not None:
        check_tariff(known, account.opened, question.tariff)
    play = _Play(known, account, question)
    play.run()
    if not play.answer.rows:
        raise NotFound("no-history", f"no period of {agreement} was final in that time")
    return play.answer


def check_tariff(known: Known, opened: AgreementOpened, tariff: str) -> None:
    """Refuse a tariff that nobody published, or that cannot be converted.

    Raises:
        NotFound: Codes `unknown-tariff` and `rate-missing`.
    """
    versions = known.inputs.prices.versions(tariff)
    if not versions:
        raise NotFound("unknown-tariff", f"no tariff {tariff}")
    foreign = {fact.asset for fact, _ in versions} - {opened.asset}
    rules = known.inputs.prices.feeds.get(opened.rate_feed or "")
    convertible = {rules.base} if rules is not None else set()
    if foreign - convertible:
        text = f"{tariff} is in {min(foreign)}, {opened.agreement} is paid in {opened.asset}"
        raise NotFound("rate-missing", f"{text}, and it has no rate between them")


class _Play:
    """The periods of an agreement once more, in order of time."""

    def __init__(self, known: Known, account: Account, question: Question) -> None:
        self._known, self._question, self._real = known, question, account.opened
        self._account = supposed(account, tariff=question.tariff, period=question.period)
        opened = self._account.opened
        self._debt = known.debt_at_start(opened)
        self._documents_by_day = known.documents(opened.agreement)
        self._is_other = opened != account.opened or question.payment_stroops is not None
        self._inputs = self._supposed_inputs() if self._is_other else known.inputs
        self._documents = Documents(self._inputs, known.accounts, known.ledger)
        self._due: list[datetime] = []
        self._prepayments = list(known.prepayments(opened.agreement))
        if question.payment_stroops is not None:
            self._prepayments.clear()
        self.answer = Answer(
            opened,
            known.now,
            debt=self._debt,
            payment_stroops=question.payment_stroops,
            own_shares=known.own_shares(account.opened),
        )

    def _supposed_inputs(self) -> Inputs:
        """The same facts, but owned and owed is what the supposed payments lead to."""
        inputs = copy.copy(self._known.inputs)
        inputs.owned_at = dict(inputs.owned_at)
        inputs.owned_at.pop(self._account.opened.holding, None)
        inputs.owed = Supposed(self._debt)
        return inputs

    def run(self) -> None:
        opened, now = self._account.opened, self._known.now
        for number, period in enumerate(self._periods(), 1):
            final_at = self._account.final_at(period)
            if final_at > now or self._documents.is_ended(self._account, final_at):
                break
            self._pay_until(final_at)
            bill = self._bill(period, number)
            due = due_at(self._account, final_at)
            day = local_day(final_at, opened.time_zone)
            self._debt.bill(due, parts_of(bill.lines), day)
            self._due.append(due)
            self._add(period, bill)
        self._pay_until(now)
        self._add_others()

    def _periods(self) -> Iterator[Period]:
        """The periods; others than the real ones end where the last real bill does."""
        opened = self._account.opened
        last = max((each.period.next_day for each in self._documents_by_day.values()), default=None)
        if opened.period == self._real.period or last is None:
            yield from periods(opened)
            return
        until_at = local_midnight(last, opened.time_zone)
        for period in periods(opened):
            if period.first_day >= last:
                return
            is_part = period.next_day > last
            yield replace(period, until_at=until_at, next_day=last) if is_part else period

    def _bill(self, period: Period, number: int) -> Bill:
        opened, final_at = self._account.opened, self._account.final_at(period)
        found = self._documents_by_day.get(period.first_day)
        at = max(final_at, self._known.settled_at(opened))
        if self._known.is_reclaimed(opened):  # nothing was settled any more
            at = final_at if found is None else found.cutoff_at
        as_of = self._known.as_of(final_at, at)
        place = {} if found is None else {"before_place": found.first_place}
        return self._documents.bill(self._account, period, number, as_of, **place)

    def _pay_until(self, at: datetime) -> None:
        """Pay what falls due by then, and repay what was really prepaid, in order of time."""
        while True:
            due = self._due[0] if self._due else None
            prepaid = self._prepayments[0] if self._prepayments else None
            if prepaid is not None and prepaid[0] <= min(at, due or at):
                self._prepayments.pop(0)
                self._debt.prepay(prepaid[1], self._day(prepaid[0]))
                self._note_owned(prepaid[0])
            elif due is not None and due <= at:
                self._due.pop(0)
                pay_due(self._debt, due, self._day(due), self._question.payment_stroops)
                self._note_owned(due)
            else:
                return

    def _day(self, instant: datetime) -> date:
        return local_day(instant, self._account.opened.time_zone)

    def _note_owned(self, at: datetime) -> None:
        if self.answer.owned_at is None and self._debt.is_owned:
            self.answer.owned_at = at
            if self._is_other:
                self._inputs.owned_at[self._account.opened.holding] = int(at.timestamp())

    def _add(self, period: Period, bill: Bill) -> None:
        found = self._documents_by_day.get(period.first_day)
        if found is not None and found.period.next_day != period.next_day:
            found = None
        opened = self._account.opened
        whole = period_from(period.first_day, opened.period, opened.time_zone)
        before = bill.unrated_intervals if found is None else found.unrated_intervals
        self._append(
            Row(
                first_day=period.first_day,
                next_day=period.next_day,
                billed_stroops=None if found is None else found.total_stroops,
                supposed_stroops=bill.total_stroops,
                by_class=by_class(bill.lines),
                unrated_intervals=bill.unrated_intervals,
                unpriced_intervals=max(0, bill.unrated_intervals - before),
                is_part=period.next_day != whole.next_day,
            ),
            found,
        )

    def _add_others(self) -> None:
        """The periods that were billed and would not be, in their places."""
        shared = {(row.first_day, row.next_day) for row in self.answer.rows}
        for each in self._documents_by_day.values():
            period = each.period
            if (period.first_day, period.next_day) not in shared:
                row = Row(period.first_day, period.next_day, each.total_stroops, None, {}, 0, 0)
                self._append(row, each)
        self.answer.rows.sort(key=lambda row: (row.next_day, row.first_day))

    def _append(self, row: Row, found: Documented | None) -> None:
        question = self._question
        if question.from_day is not None and row.first_day < question.from_day:
            return
        if question.until_day is not None and row.next_day > question.until_day:
            return
        self.answer.rows.append(row)
        self.answer.disputed_stroops += 0 if found is None else found.disputed_stroops


def periods(opened: AgreementOpened, first_day: date | None = None) -> Iterator[Period]:
    """The periods of an agreement, from its first one or from a day on."""
    day = as_date(opened.first_day) if first_day is None else first_day
    for _ in range(PERIODS_MAX):
        period = period_from(day, opened.period, opened.time_zone)
        yield period
        day = period.next_day


def pay_due(debt: Debt, at: datetime, day: date, payment_stroops: int | None) -> None:
    """Pay at a due time: what is due of all bills by then, or the given payment.

    What a given payment leaves over repays return and principal at once, as a signed prepayment
    does; once the holding is owned only bills are paid.
    """
    if payment_stroops is None:
        due = sum(bill.total_stroops for bill in debt.bills if bill.due_at <= at)
        debt.pay(max(0, due - debt.credit_stroops), day)
    else:
        debt.pay(payment_stroops, day, prepays=True)


def by_class(lines: tuple[InvoiceLine, ...]) -> dict[LineClass, int]:
    """What lines ask for by class, in stroops."""
    return {
        each: sum(line.amount_stroops for line in lines if line.line_class == each)
        for each in ORDER
    }
