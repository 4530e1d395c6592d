"""When a holding would be paid off, if its past year went on for ever. Pure.

A period to come repeats the energy, and the market prices, of the same period of the last year;
with less than a year of history it has the mean of all known periods, by days. Its charges, its
minimum payment and its tariff's prices are those of its own time. Intervals that are not known
repeat as such: nothing is billed for them.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final, Literal

import numpy as np

from heliograph.foresight.debt import Debt
from heliograph.foresight.history import Known, due_at, parts_of, supposed
from heliograph.foresight.what_if import check_tariff, pay_due, periods
from libs.rules.fast_rating import Numbers
from libs.rules.periods import DAYS_OF, Period, days_by_month, local_day
from libs.rules.tariffs import Version
from libs.runtime.failures import NotFound
from services.billing.accounts import Account
from services.billing.lines import Bill, Priced, Usage, claims_of, lines_of
from services.billing.prices import MarketPrices, Rate
from services.billing.rating import Rating
from services.billing.reached import AsOf

YEARS_MAX: Final = 100
"""How far a forecast looks ahead."""

YEAR_DAYS: Final = 364
"""Days that are known of a year at least: 52 weeks; of months it is twelve."""

Outcome = Literal["owned", "no-end", "owned-already"]
"""How it ends. `no-end`: what is paid does not exceed the return, or it takes longer than
`YEARS_MAX`."""


@dataclass(frozen=True, slots=True)
class Future:
    """What is supposed of the time to come; as it is now unless told."""

    tariff: str | None = None
    """Another tariff."""
    payment_stroops: int | None = None
    """What is paid when each bill falls due; absent: the bill."""


@dataclass(slots=True)
class Forecast:
    """How an agreement would end."""

    outcome: Outcome
    """How."""
    from_at: datetime
    """By when everything is known; it goes on from there."""
    debt: Debt
    """What is left, and what would be paid from now on."""
    principal_stroops: int
    """Open principal now."""
    return_stroops: int
    """Return that is due now and not paid."""
    basis: str = ""
    """What it repeats."""
    unknown_intervals: int = 0
    """Intervals without a meter or a price, of those that it repeats."""
    known_intervals: int = 0
    """All of them."""
    bill_count: int = 0
    """Bills to come."""
    owned_at: datetime | None = None
    """When the holding is owned."""
    reason: str = ""
    """Why there is no end."""


@dataclass(frozen=True, slots=True)
class Source:
    """A stretch of the past that a period to come repeats."""

    period: Period
    """It."""
    as_of: AsOf
    """What counts."""
    usage: Usage
    """What was used in it."""

    @property
    def days(self) -> int:
        """Its local days."""
        return (self.period.next_day - self.period.first_day).days


def forecast(known: Known, agreement: str, future: Future) -> Forecast:
    """Go on with the past until the holding is owned.

    Raises:
        NotFound: Codes `unknown-agreement`, `unknown-tariff`, `rate-missing`, `tariff-gap`,
            `no-history` and `holding-reclaimed`.
    """
    account = known.account(agreement)
    opened = account.opened
    if future.tariff is not None:
        check_tariff(known, opened, future.tariff)
    if known.is_reclaimed(opened):
        raise NotFound("holding-reclaimed", f"the holding of {agreement} was reclaimed")
    debt, now = known.debt_now(opened), known.now
    today = local_day(now, opened.time_zone)
    found = Forecast("owned-already", now, debt, debt.principal_stroops, debt.through(today))
    if known.repaid(opened):
        return found
    changed = supposed(account, tariff=future.tariff, period=None)
    _Going(known, changed, future, found).run()
    return found


class _Going:
    """The periods to come, in order of time."""

    def __init__(self, known: Known, account: Account, future: Future, found: Forecast) -> None:
        self._known, self._account, self._future = known, account, future
        self._found, self._debt = found, found.debt
        self._past = Past(known, account)
        found.basis = self._past.basis
        found.known_intervals, found.unknown_intervals = self._past.intervals()
        self._due: list[datetime] = []
        self._measures: list[int] = []

    def run(self) -> None:
        opened, found = self._account.opened, self._found
        billed = self._known.documents(opened.agreement)
        first_day = max((each.period.next_day for each in billed.values()), default=None)
        today = local_day(found.from_at, opened.time_zone)
        if self._future.payment_stroops is None:  # what is overdue is paid at once
            pay_due(self._debt, found.from_at, today, None)
        else:
            self._debt.pay(0, today)
        if self._is_owned(found.from_at):
            return
        self._due = sorted(bill.due_at for bill in self._debt.bills if bill.due_at > found.from_at)
        number = len(billed)
        for period in periods(opened, first_day):
            number += 1
            final_at = max(self._account.final_at(period), found.from_at)
            if self._pay_until(final_at) or self._is_endless(period):
                return
            bill = self._past.bill(period, self._term(period, number))
            due = due_at(self._account, final_at)
            self._debt.bill(due, parts_of(bill.lines), local_day(final_at, opened.time_zone))
            self._debt.pay(0, local_day(final_at, opened.time_zone))  # what is credit clears it
            self._due.append(due)
            found.bill_count += 1

    def _term(self, period: Period, number: int) -> int:
        """What the end of the term demands with this period's bill, in stroops."""
        opened = self._account.opened
        if opened.term_periods is None or number < opened.term_periods:
            return 0
        return self._debt.demanded(period.next_day)

    def _pay_until(self, at: datetime) -> bool:
        while self._due and self._due[0] <= at:
            due = self._due.pop(0)
            day = local_day(due, self._account.opened.time_zone)
            pay_due(self._debt, due, day, self._future.payment_stroops)
            if self._is_owned(due):
                return True
        return False

    def _is_owned(self, at: datetime) -> bool:
        if self._debt.is_owned:
            self._found.outcome, self._found.owned_at = "owned", at
        return self._debt.is_owned

    def _is_endless(self, period: Period) -> bool:
        """Tell whether two years brought nothing, or it takes too long."""
        opened = self._account.opened
        years = (period.first_day - local_day(self._found.from_at, opened.time_zone)).days / 365
        of_year = 12 if opened.period == "month" else YEAR_DAYS // DAYS_OF[opened.period]
        owed = self._debt.principal_stroops + self._debt.through(period.first_day)
        self._measures.append(owed)
        has_term = opened.term_periods is not None and self._future.payment_stroops is None
        known = self._measures[::-of_year][:3]
        if len(known) == 3 and known[0] >= known[1] >= known[2] and not has_term:  # noqa: PLR2004
            self._found.reason = "what is paid does not exceed the return"
        elif years > YEARS_MAX:
            self._found.reason = f"it takes more than {YEARS_MAX} years"
        else:
            return False
        self._found.outcome = "no-end"
        return True


class Past:
    """What a period to come repeats."""

    def __init__(self, known: Known, account: Account) -> None:
        """Look at every period that is final by now.

        Raises:
            NotFound: Code `no-history`.
        """
        self._known, self._account = known, account
        opened = account.opened
        self._rating = Rating(known.inputs, known.accounts.of_holding)
        final = [each for each in _until(known, account) if account.final_at(each) <= known.now]
        if not final:
            raise NotFound("no-history", f"no period of {opened.agreement} is final yet")
        self._sources, self.basis = self._choose(final)
        self._repeated: dict[tuple[date, int], Usage] = {}
        self._bills: dict[tuple[date, tuple[tuple[int, int], ...], tuple[int, ...]], Bill] = {}
        self._market: dict[tuple[str, date], MarketPrices] = {}

    def _choose(self, final: list[Period]) -> tuple[list[Source], str]:
        opened = self._account.opened
        if opened.period == "month":
            whole, count = [each for each in final if each.first_day.day == 1], 12
        else:
            whole, count = final, YEAR_DAYS // DAYS_OF[opened.period]
        if len(whole) >= count:
            year = whole[-count:]
            basis = f"the same periods of the last year, {year[0].name} to {year[-1].name}"
            return [self._source(each, each) for each in year], basis
        basis = f"the mean of the known periods, {final[0].name} to {final[-1].name}"
        if len(final) == 1:
            basis = f"the one known period, {final[0].name}"
        return [self._source(final[0], final[-1])], basis

    def _source(self, first: Period, last: Period) -> Source:
        stretch = replace(first, until_at=last.until_at, next_day=last.next_day)
        final_at = self._account.final_at(last)
        at = max(final_at, self._known.settled_at(self._account.opened))
        as_of = self._known.as_of(final_at, at)
        return Source(stretch, as_of, self._rating.usage(self._account.opened, stretch, as_of))

    def intervals(self) -> tuple[int, int]:
        """All intervals that are repeated, and those of which a meter is not known."""
        counts = [(each.usage.grid.count, int(each.usage.is_rated.sum())) for each in self._sources]
        total = sum(count for count, _ in counts)
        return total, total - sum(rated for _, rated in counts)

    def source_of(self, period: Period) -> Source:
        """The known stretch that lies nearest in the year."""
        place = period.first_day.timetuple().tm_yday

        def distance(source: Source) -> tuple[int, int]:
            apart = abs(source.period.first_day.timetuple().tm_yday - place)
            return min(apart, 365 - apart), -source.period.first_day.toordinal()

        if self._account.opened.period == "month":
            same = [s for s in self._sources if s.period.first_day.month == period.first_day.month]
            return same[0] if len(self._sources) > 1 else self._sources[0]
        return min(self._sources, key=distance)

    def bill(self, period: Period, term_stroops: int) -> Bill:
        """What a period to come would cost.

        Raises:
            NotFound: Codes `tariff-gap` and `rate-missing`.
        """
        source, versions = self.source_of(period), self._versions(period)
        months = tuple(days_by_month(period.first_day, period.next_day))
        # Most bills to come are like one of the last year: they are written once.
        key = source.period.first_day, months, tuple(each[0].version for each in versions)
        if term_stroops or len(versions) > 1:
            return self._write(period, source, versions, term_stroops)
        if key not in self._bills:
            self._bills[key] = self._write(period, source, versions, 0)
        return self._bills[key]

    def _write(
        self, period: Period, source: Source, versions: list[Version], term_stroops: int
    ) -> Bill:
        opened, days = self._account.opened, (period.next_day - period.first_day).days
        key = source.period.first_day, days
        if key not in self._repeated:
            self._repeated[key] = repeated(source.usage, days, source.days)
        # The days are those to come, for what is prorated; the instants those that are repeated.
        moved = replace(period, from_at=source.period.from_at, until_at=source.period.until_at)

        def market(feed: str) -> MarketPrices:
            return self._market_of(feed, source)

        held = [_moved(each, _like(each, period, source)) for each in versions]
        priced = Priced(held, market, self._rate())
        claims = claims_of(opened, period, term_stroops)
        return lines_of(opened, moved, self._repeated[key], priced, claims)

    def _market_of(self, feed: str, source: Source) -> MarketPrices:
        key = feed, source.period.first_day
        if key not in self._market:
            prices = self._known.inputs.prices
            self._market[key] = prices.market(feed, source.usage.grid, source.as_of)
        return self._market[key]

    def _rate(self) -> Rate | None:
        opened = self._account.opened
        versions = self._known.inputs.prices.versions(opened.tariff)
        if all(fact.asset == opened.asset for fact, _ in versions):
            return None
        rate = self._known.inputs.prices.last_rate(opened.rate_feed or "")
        if rate is None:
            raise NotFound("rate-missing", f"{opened.rate_feed} has published no rate yet")
        return rate

    def _versions(self, period: Period) -> list[Version]:
        """The versions that hold in a period."""
        versions = self._known.inputs.prices.versions(self._account.opened.tariff)
        begun = [each for each in versions if each[0].effective_from <= period.from_at]
        if not begun:
            raise NotFound("tariff-gap", f"no price holds on {period.first_day}")
        inside = [v for v in versions if period.from_at < v[0].effective_from < period.until_at]
        return [begun[-1], *inside]


def _like(version: Version, period: Period, source: Source) -> datetime:
    """Where in a stretch a version begins to hold, as it does in the period that repeats it."""
    after = max(timedelta(0), version[0].effective_from - period.from_at)
    length = source.period.until_at - source.period.from_at
    whole_s = int((period.until_at - period.from_at).total_seconds())
    seconds = int(after.total_seconds()) * int(length.total_seconds()) // whole_s
    return source.period.from_at + timedelta(seconds=seconds)


def _moved(version: Version, at: datetime) -> Version:
    return version[0].model_copy(update={"effective_from": at}), version[1]


def _until(known: Known, account: Account) -> list[Period]:
    found = []
    for period in periods(account.opened):
        if period.until_at > known.now:
            break
        found.append(period)
    return found


def repeated(usage: Usage, days: int, of_days: int) -> Usage:
    """The energy of a stretch, for another number of days: nothing of the sum is lost.

    Args:
        usage: What was used in the stretch.
        days: Local days of the period to come.
        of_days: Local days of the stretch.
    """
    if days == of_days:
        return usage
    return replace(
        usage,
        own_wh=_spread(usage.own_wh, days, of_days),
        shared_wh={name: _spread(each, days, of_days) for name, each in usage.shared_wh.items()},
        generated_wh=_spread(usage.generated_wh, days, of_days),
        consumed_wh=_spread(usage.consumed_wh, days, of_days),
    )


def _spread(numbers: Numbers, days: int, of_days: int) -> Numbers:
    """Scale consecutive numbers: the difference of the floored exact cumulative sum."""
    sums = np.concatenate(([0], np.cumsum(numbers)))
    assert int(sums[-1]) * days < 2**62, "energies are Wh, and years are few"
    return np.diff(sums * days // of_days)
