"""Drafts, invoices, and what replaces them: documents of one period as of a time. Pure.

What a document says is a function of the input streams alone: which facts count is fixed by where
each stream reached the time as of which it is decided. Only numbers and due times tell when it was
written.

Source: domain rules, sections 3 and 5; docs/decisions/0005, bills.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from libs.events.books import ClassAmount, LineClass
from libs.events.invoicing import (
    CreditNoteIssued,
    InvoiceDrafted,
    InvoiceIssued,
    InvoiceLine,
    LineChange,
    LineKind,
)
from libs.rules.fast_rating import Grid
from libs.rules.periods import Period, days_by_month, local_midnight
from libs.rules.receivables import ORDER
from libs.rules.tariffs import Version
from libs.runtime.failures import NotFound
from services.billing.accounts import Account, Accounts, Billed
from services.billing.inputs import Inputs
from services.billing.lines import Bill, Claims, Priced, claims_of, lines_of
from services.billing.prices import STREAM, MarketPrices, Rate
from services.billing.rating import Rating
from services.billing.reached import AsOf

BECAUSE_MAX: Final = 100
"""Most facts that a credit note names as its reason."""

_Reason = Literal["readings", "prices"]

_ALL: Final = 2**62
"""Behind every place."""


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which document is written."""

    account: Account
    period: Period
    number: int
    """Number of the period in its agreement."""
    as_of: AsOf
    before_place: int
    """Own facts before this place count for what is open."""


class Documents:
    """Writes the documents of a book."""

    def __init__(self, inputs: Inputs, accounts: Accounts, ledger: str) -> None:
        """Write by what was read and what was written before.

        Args:
            inputs: What others said.
            accounts: Agreements and their documents.
            ledger: The stream of the book's ledger.
        """
        self._inputs, self._accounts, self._ledger = inputs, accounts, ledger
        self._rating = Rating(inputs, accounts.of_holding)
        self._market: dict[tuple[str, Grid, int, int], MarketPrices] = {}

    def draft(self, account: Account) -> InvoiceDrafted:
        """The draft of the next period, as of its end; there is a rate, if one is needed."""
        wanted = self._next(account, account.next_period.until_at)
        bill = self._bill(wanted)
        return InvoiceDrafted(
            invoice=account.invoice_name(wanted.period),
            agreement=account.opened.agreement,
            recipient=self._recipient(wanted),
            asset=account.opened.asset,
            period_from=wanted.period.from_at,
            period_until=wanted.period.until_at,
            final_at=account.final_at(wanted.period),
            rated_intervals=bill.rated_intervals,
            unrated_intervals=bill.unrated_intervals,
            lines=bill.lines,
            total_stroops=bill.total_stroops,
        )

    def first(self, account: Account, issued_at: datetime) -> InvoiceIssued:
        """The first invoice of the next period.

        Args:
            account: The agreement; every stream has reached the time at which it is final.
            issued_at: The time of issue; the due time counts from it, nothing else depends on it.
        """
        wanted = self._next(account, account.final_at(account.next_period))
        due_at = issued_at + timedelta(seconds=account.opened.due_after_s)
        return self._invoice(wanted, self._bill(wanted), due_at)

    def revised(
        self, account: Account, billed: Billed, night: datetime, issued_at: datetime
    ) -> Sequence[CreditNoteIssued | InvoiceIssued]:
        """What replaces an invoice at a midnight after something came late, if a line differs.

        Args:
            account: The agreement.
            billed: The period.
            night: The midnight; every stream has reached it.
            issued_at: The time of issue; what is due later than before counts from it.
        """
        opened = account.opened
        final_s = _seconds(billed.final_at)
        as_of = AsOf(self._inputs.reached, final_s, _seconds(night))
        wanted = _Wanted(account, billed.period, billed.number, as_of, billed.first_place)
        bill = self._bill(wanted)
        if bill.lines == billed.lines:
            return ()
        before = AsOf(self._inputs.reached, final_s, _seconds(billed.cutoff_at))
        because, reason = self._because(wanted, before)
        credited = {
            line_class: amount - billed.credited.get(line_class, 0)
            for line_class, amount in _by_class(billed.lines).items()
        }
        note = CreditNoteIssued(
            credit_note=f"{billed.invoice}.credit",
            number=self._accounts.number + 1,
            agreement=opened.agreement,
            recipient=self._recipient(wanted),
            asset=opened.asset,
            invoice=billed.invoice,
            reason=reason,
            because=because,
            changes=_changes(billed.lines, bill.lines),
            amounts=_amounts(credited),
            total_stroops=sum(credited.values()),
        )
        invoice = self._replacement(wanted, bill, billed, issued_at)
        disputed = min(billed.credited.get("energy", 0), _by_class(invoice.lines).get("energy", 0))
        if disputed:  # what a dispute had credited is credited of the new invoice too
            again = self.disputed(account, invoice.invoice, disputed, invoice.number + 1)
            return note, invoice, again
        return note, invoice

    def disputed(
        self, account: Account, invoice: str, amount: int, number: int
    ) -> CreditNoteIssued:
        """The credit note of a dispute that was decided for the recipient."""
        opened = account.opened
        return CreditNoteIssued(
            credit_note=f"{invoice}.dispute",
            number=number,
            agreement=opened.agreement,
            recipient=self._inputs.holder(opened.holding),
            asset=opened.asset,
            invoice=invoice,
            reason="dispute",
            because=(),
            changes=(),
            amounts=_amounts({"energy": amount}),
            total_stroops=amount,
        )

    def has_rate(self, account: Account) -> bool:
        """Tell whether the draft of the next period has a rate, or needs none."""
        wanted = self._next(account, account.next_period.until_at)
        return not self._needs_rate(wanted) or self._rate(wanted) is not None

    def ready_at(self, account: Account) -> datetime | None:
        """When the first invoice of the next period can be decided: when it is final.

        Where no rate holds then, it waits until PRICES has reached a time behind the next one;
        None: there is none yet.
        """
        final_at = account.final_at(account.next_period)
        wanted = self._next(account, final_at)
        if not self._needs_rate(wanted) or self._rate(wanted) is not None:
            return final_at
        found = self._inputs.prices.next_rate(account.opened.rate_feed or "", wanted.as_of)
        reached_s = None if found is None else self._inputs.reached[STREAM].after(found[0])
        return None if reached_s is None else datetime.fromtimestamp(reached_s, tz=UTC)

    def is_ended(self, account: Account, instant: datetime) -> bool:
        """Tell whether the holding was reclaimed before an instant: nothing is billed any more."""
        place = self._inputs.reached[self._ledger].cutoff(_seconds(instant))
        return self._inputs.is_reclaimed(account.opened.holding, place)

    def bill(
        self, account: Account, period: Period, number: int, as_of: AsOf, before_place: int = _ALL
    ) -> Bill:
        """What a period costs as of a time; foresight asks it of other tariffs and periods.

        Args:
            account: The agreement.
            period: The period.
            number: Its number in the agreement, from 1.
            as_of: What counts.
            before_place: Own facts before this place count for what is open at the end of the term.

        Raises:
            NotFound: Code `rate-missing`.
        """
        wanted = _Wanted(account, period, number, as_of, before_place)
        if self._needs_rate(wanted) and self._rate(wanted) is None:
            feed = account.opened.rate_feed or ""
            if self._inputs.prices.next_rate(feed, as_of) is None:
                raise NotFound("rate-missing", f"{feed or 'no feed'} has published no rate yet")
        return self._bill(wanted)

    def _next(self, account: Account, as_of: datetime) -> _Wanted:
        period = account.next_period
        final_s = _seconds(account.final_at(period))
        counted = AsOf(self._inputs.reached, final_s, _seconds(as_of))
        return _Wanted(account, period, account.period_count + 1, counted, _ALL)

    def _bill(self, wanted: _Wanted) -> Bill:
        opened, period = wanted.account.opened, wanted.period
        usage = self._rating.usage(opened, period, wanted.as_of)

        return lines_of(
            opened, period, usage, self._priced(wanted, usage.grid), self._claims(wanted)
        )

    def _priced(self, wanted: _Wanted, grid: Grid) -> Priced:
        """The prices of a period, and the rate if a version that holds in it needs one."""
        rate = None
        if self._needs_rate(wanted):
            feed = wanted.account.opened.rate_feed or ""
            rate = self._rate(wanted)
            following = self._inputs.prices.next_rate(feed, wanted.as_of)
            if rate is None and following is not None:
                rate = following[1]

        def market(feed: str) -> MarketPrices:
            return self._market_of(feed, grid, wanted.as_of)

        return Priced(self._versions(wanted), market, rate)

    def _versions(self, wanted: _Wanted) -> list[Version]:
        """The versions of the tariff that began before the period ended."""
        versions = self._inputs.prices.versions(wanted.account.opened.tariff)
        return [each for each in versions if each[0].effective_from < wanted.period.until_at]

    def _needs_rate(self, wanted: _Wanted) -> bool:
        asset = wanted.account.opened.asset
        return any(fact.asset != asset for fact, _ in self._versions(wanted))

    def _rate(self, wanted: _Wanted) -> Rate | None:
        return self._inputs.prices.rate(wanted.account.opened.rate_feed or "", wanted.as_of)

    def _market_of(self, feed: str, grid: Grid, as_of: AsOf) -> MarketPrices:
        """What a feed says; the agreements of a tariff share the newest answer."""
        key = feed, grid, as_of.final_s, as_of.as_of_s
        if key not in self._market:
            self._market = {key: self._inputs.prices.market(feed, grid, as_of)}
        return self._market[key]

    def _claims(self, wanted: _Wanted) -> Claims:
        """What is claimed beside energy: less while the supply is diverted or once it is owned."""
        opened, period = wanted.account.opened, wanted.period
        claims = claims_of(opened, period)
        until_s = _seconds(period.until_at)
        diversions = self._inputs.diversions
        if diversions.of(opened.holding):
            claims = Claims(self._supplied_months(wanted), claims.minimum_stroops)
        owned_at = self._inputs.owned_at.get(opened.holding, _ALL)
        if owned_at < until_s or diversions.holds(opened.holding, until_s - 1):
            return Claims(claims.running_months, 0)
        if opened.term_periods is None or wanted.number < opened.term_periods:
            return claims
        as_of_s = min(wanted.as_of.final_s, wanted.as_of.as_of_s)
        term = self._inputs.owed.demanded(
            opened,
            self._inputs.holdings[opened.holding].units,
            period.next_day,
            self._inputs.reached[self._ledger].cutoff(as_of_s),
            wanted.before_place,
        )
        return Claims(claims.running_months, claims.minimum_stroops, term)

    def _supplied_months(self, wanted: _Wanted) -> list[tuple[int, int]]:
        """The local days that did not begin while the supply was diverted, by month."""
        opened, period = wanted.account.opened, wanted.period
        months: dict[tuple[int, int], list[int]] = {}
        for index in range((period.next_day - period.first_day).days):
            day = period.first_day + timedelta(days=index)
            begins_s = _seconds(local_midnight(day, opened.time_zone))
            ((_, of_month),) = days_by_month(day, day + timedelta(days=1))
            month = months.setdefault((day.year, day.month), [0, of_month])
            month[0] += not self._inputs.diversions.holds(opened.holding, begins_s)
        return [(days, of_month) for days, of_month in months.values()]

    def _recipient(self, wanted: _Wanted) -> str:
        place = self._inputs.reached[self._ledger].cutoff(wanted.as_of.as_of_s)
        return self._inputs.holder(wanted.account.opened.holding, place)

    def _invoice(self, wanted: _Wanted, bill: Bill, due_at: datetime) -> InvoiceIssued:
        opened, period = wanted.account.opened, wanted.period
        grid = Grid.of(period.from_at, period.until_at, opened.rating_interval_s)
        return InvoiceIssued(
            invoice=wanted.account.invoice_name(period),
            number=self._accounts.number + 1,
            agreement=opened.agreement,
            recipient=self._recipient(wanted),
            asset=opened.asset,
            period_from=period.from_at,
            period_until=period.until_at,
            due_at=due_at,
            readings=self._rating.named(opened, grid, wanted.as_of),
            rated_intervals=bill.rated_intervals,
            unrated_intervals=bill.unrated_intervals,
            generated_wh=bill.generated_wh,
            consumed_wh=bill.consumed_wh,
            lines=bill.lines,
            total_stroops=bill.total_stroops,
        )

    def _replacement(
        self, wanted: _Wanted, bill: Bill, old: Billed, issued_at: datetime
    ) -> InvoiceIssued:
        """The new invoice: due as before up to the old amount, the rest as if issued now."""
        first_part = old.total_stroops - old.later_stroops
        later_at = issued_at + timedelta(seconds=wanted.account.opened.due_after_s)
        if bill.total_stroops <= old.total_stroops and old.later_due_at is not None:
            later_at = old.later_due_at
        later = max(0, bill.total_stroops - first_part)
        return self._invoice(wanted, bill, old.due_at).model_copy(
            update={
                "invoice": wanted.account.invoice_name(wanted.period, old.version + 1),
                "number": self._accounts.number + 2,
                "replaces": old.invoice,
                "cutoff_at": datetime.fromtimestamp(wanted.as_of.as_of_s, tz=UTC),
                "later_due_at": later_at if later else None,
                "later_stroops": later,
            }
        )

    def _because(self, wanted: _Wanted, before: AsOf) -> tuple[tuple[str, ...], _Reason]:
        """The facts that changed a bill, and of which kind they are."""
        opened, period = wanted.account.opened, wanted.period
        grid = Grid.of(period.from_at, period.until_at, opened.rating_interval_s)
        late = list(self._rating.late(opened, grid, before, wanted.as_of))
        reason: _Reason = "readings" if late else "prices"
        prices = self._inputs.prices
        for feed in sorted(prices.feeds_of(opened.tariff)):
            late += prices.late(feed, grid, before, wanted.as_of)
        late.sort(key=lambda each: (each.stream, each.sequence))
        return tuple(each.position for each in late[:BECAUSE_MAX]), reason


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


def _by_class(lines: Sequence[InvoiceLine]) -> dict[LineClass, int]:
    sums: dict[LineClass, int] = defaultdict(int)
    for line in lines:
        sums[line.line_class] += line.amount_stroops
    return sums


def _amounts(by_class: dict[LineClass, int]) -> tuple[ClassAmount, ...]:
    return tuple(
        ClassAmount(line_class=line_class, amount_stroops=by_class[line_class])
        for line_class in ORDER
        if by_class.get(line_class, 0) > 0
    )


def _changes(before: Sequence[InvoiceLine], after: Sequence[InvoiceLine]) -> tuple[LineChange, ...]:
    """By what two bills differ, for each kind of line and bucket."""
    sums: dict[tuple[LineKind, str | None], list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for place, lines in enumerate((before, after)):
        for line in lines:
            found = sums[line.kind, line.bucket]
            found[place] += line.energy_wh
            found[2 + place] += line.amount_stroops
    return tuple(
        LineChange(
            kind=kind,
            bucket=bucket,
            before_wh=before_wh,
            after_wh=after_wh,
            before_stroops=before_stroops,
            after_stroops=after_stroops,
        )
        for (kind, bucket), (before_wh, after_wh, before_stroops, after_stroops) in sums.items()
        if (before_wh, before_stroops) != (after_wh, after_stroops)
    )
