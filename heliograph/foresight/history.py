"""What is known of an agreement by now: the facts of an installation, folded for foresight. Pure.

Readings, prices and holdings are folded by billing's own `Inputs`, what is open by the very
`Receivables` that ledger and billing share, balances by the one table of postings. Unlike billing
nothing is forgotten: what-if looks at every period since the first.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from heliograph.foresight.debt import Debt, Open
from libs.events.books import HoldingOpened, PaymentSettled
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import (
    AgreementOpened,
    BillingPeriod,
    CreditNoteIssued,
    InvoiceDrafted,
    InvoiceIssued,
    InvoiceLine,
)
from libs.events.metering import MeterEnrolled, ReadingCorrected, ReadingRecorded
from libs.events.pricing import (
    FeedDefined,
    FeedStale,
    PricePublished,
    RatePublished,
    TariffPublished,
)
from libs.events.quantities import as_date
from libs.events.repaying import ReturnAccrued
from libs.events.subjects import BILLING, LEDGER, METERS, PRICES, READINGS
from libs.events.supply import SupplyDiverted, SupplyRestored
from libs.events.systems import (
    HoldingOwned,
    HoldingReclaimed,
    HoldingTransferred,
    StageAdvanced,
    SystemProposed,
)
from libs.events.timekeeping import TimeAdvanced, TimeReached
from libs.rules.periods import Period, local_day, local_midnight, period_from
from libs.rules.postings import is_debit_account, postings
from libs.rules.receivables import Part, Receivables
from libs.rules.repayment_postings import REPAYMENT_RULES
from libs.rules.stages import OPERATION
from libs.rules.supply_postings import SUPPLY_RULES
from libs.runtime.failures import NotFound
from services.billing.accounts import Account, Accounts
from services.billing.inputs import Inputs
from services.billing.reached import AsOf

_BALANCES: Final = frozenset({"own", "return_due", "credit"})
"""First words of the accounts whose balance foresight begins with."""

NAMES: Final[dict[str, frozenset[type[Fact]]]] = {
    METERS.name: frozenset({MeterEnrolled}),
    READINGS.name: frozenset({ReadingRecorded, ReadingCorrected, TimeReached}),
    PRICES.name: frozenset(
        {TimeAdvanced, TariffPublished, FeedDefined, PricePublished, RatePublished, FeedStale}
    ),
    LEDGER.name: frozenset(
        {
            *(SystemProposed, StageAdvanced, HoldingOpened, HoldingTransferred, HoldingOwned),
            *(HoldingReclaimed, SupplyDiverted, SupplyRestored, TimeReached),
            *(each for each in (*REPAYMENT_RULES, *SUPPLY_RULES) if LEDGER in each.families),
        }
    ),
    BILLING.name: frozenset(
        {AgreementOpened, InvoiceDrafted, InvoiceIssued, CreditNoteIssued, TimeReached}
    ),
}
"""The facts that foresight needs, by family of streams; all others are passed over."""


@dataclass(slots=True)
class Documented:
    """What a period of an agreement was really billed."""

    period: Period
    """The period."""
    number: int
    """Its number in the agreement, from 1."""
    first_place: int
    """Where its first invoice stands."""
    invoice: str
    """Its newest invoice."""
    lines: tuple[InvoiceLine, ...]
    """Its lines."""
    total_stroops: int
    """Their sum."""
    unrated_intervals: int
    """Intervals that lacked a meter or a price."""
    cutoff_at: datetime
    """What came before streams reached this time counts in it."""
    disputed_stroops: int = 0
    """What a dispute credited of it since."""


@dataclass(slots=True)
class _Agreement:
    account: Account
    documents: dict[date, Documented] = field(default_factory=dict)
    drafted: InvoiceDrafted | None = None


class Known:
    """The folded facts of one book."""

    def __init__(self, book: str, partitions: int = 1) -> None:
        """Begin with nothing.

        Args:
            book: The book.
            partitions: Number of partitions.
        """
        self.inputs = Inputs(lambda _: 0)
        """Readings, meters, prices, holdings, as billing keeps them."""
        self.accounts = Accounts()
        """Every agreement."""
        self.receivables = Receivables()
        """What is open of every invoice."""
        self.ledger, self.billing = LEDGER.stream(book), BILLING.stream(book)
        parts = [str(part) for part in range(partitions)]
        self.streams: tuple[str, ...] = (
            *(METERS.stream(part) for part in parts),
            PRICES.stream(""),
            *(READINGS.stream(part) for part in parts),
            self.billing,
            self.ledger,
        )
        """The streams that are to be folded."""
        self._of: dict[str, _Agreement] = {}
        self._of_invoice: dict[str, tuple[str, date]] = {}
        self._balances: dict[str, int] = defaultdict(int)
        self._operates_at: dict[str, datetime] = {}
        self._next_days: dict[str, date] = {}
        self._prepayments: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
        self._reached_s: dict[str, int] = {}

    def fold(self, facts: Iterable[Recorded[Fact]]) -> "Known":
        """Fold facts; of one stream in their order, the streams in any."""
        for recorded in facts:
            self.evolve(recorded)
        return self

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of any of the streams."""
        if isinstance(recorded.fact, TimeReached | TimeAdvanced):
            self._reached_s[recorded.stream] = int(recorded.fact.to.timestamp())
        if recorded.stream == self.billing:
            self._bill(recorded)
        elif recorded.stream in self.streams:
            self.inputs.evolve(recorded)
        if recorded.stream in {self.ledger, self.billing}:
            self.receivables.evolve(recorded.fact)
        if recorded.stream == self.ledger:
            self._repay(recorded)

    def _bill(self, recorded: Recorded[Fact]) -> None:
        self.inputs.owed.bill(recorded)
        match recorded.fact:
            case AgreementOpened() as fact:
                self.accounts.evolve(recorded)
                self._of[fact.agreement] = _Agreement(self.accounts.all[fact.agreement])
            case InvoiceDrafted() as fact:
                self._of[fact.agreement].drafted = fact
            case InvoiceIssued() as fact:
                self._issue(recorded.sequence, fact)
            case CreditNoteIssued() as fact if fact.reason == "dispute":
                agreement, first_day = self._of_invoice[fact.invoice]
                self._of[agreement].documents[first_day].disputed_stroops += fact.total_stroops
            case _:
                pass

    def _issue(self, place: int, fact: InvoiceIssued) -> None:
        one = self._of[fact.agreement]
        opened = one.account.opened
        first_day = local_day(fact.period_from, opened.time_zone)
        period = period_from(first_day, opened.period, opened.time_zone)
        before = one.documents.get(first_day)
        one.documents[first_day] = Documented(
            period=period,
            number=len(one.documents) + 1 if before is None else before.number,
            first_place=place if before is None else before.first_place,
            invoice=fact.invoice,
            lines=fact.lines,
            total_stroops=fact.total_stroops,
            unrated_intervals=fact.unrated_intervals,
            cutoff_at=fact.cutoff_at or one.account.final_at(period),
        )
        self._of_invoice[fact.invoice] = fact.agreement, first_day

    def _repay(self, recorded: Recorded[Fact]) -> None:
        match recorded.fact:
            case StageAdvanced() as fact if fact.to_stage == OPERATION:
                self._operates_at[fact.system] = recorded.envelope.time
            case ReturnAccrued() as fact:
                self._next_days[fact.agreement] = as_date(fact.until_day)
            case PaymentSettled() as fact if fact.kind == "prepayment":
                amount = sum(move.amount_stroops for move in (*fact.returns, *fact.principal))
                self._prepayments[fact.agreement].append((recorded.envelope.time, amount))
            case _:
                pass
        for _, debit, credit, amount in postings(recorded.fact):
            for account, change in ((debit, amount), (credit, -amount)):
                if account.partition(":")[0] in _BALANCES:
                    sign = 1 if is_debit_account(account) else -1
                    self._balances[account] += sign * change

    # -- what is asked of it ------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The time that every stream has reached, so that everything before it is known.

        Raises:
            NotFound: Code `no-time-yet`.
        """
        wanted = [name for name in self.streams if not name.startswith(f"{METERS.name}_")]
        missing = [name for name in wanted if name not in self._reached_s]
        if missing:
            raise NotFound("no-time-yet", f"{missing[0]} has not reached any time yet")
        return datetime.fromtimestamp(min(self._reached_s[name] for name in wanted), tz=UTC)

    def account(self, agreement: str) -> Account:
        """An agreement.

        Raises:
            NotFound: Code `unknown-agreement`.
        """
        if agreement not in self._of:
            names = ", ".join(sorted(self._of)) or "none"
            raise NotFound("unknown-agreement", f"no agreement {agreement}; there are: {names}")
        return self._of[agreement].account

    def documents(self, agreement: str) -> dict[date, Documented]:
        """What was billed, by first day of the period."""
        return self._of[agreement].documents

    def drafted(self, agreement: str) -> InvoiceDrafted | None:
        """The newest draft."""
        return self._of[agreement].drafted

    def prepayments(self, agreement: str) -> list[tuple[datetime, int]]:
        """What was repaid without an invoice: when, and how much in stroops."""
        return self._prepayments[agreement]

    def units(self, opened: AgreementOpened) -> int:
        """Units of the holding: its principal at the start."""
        return self.inputs.holdings[opened.holding].units

    def own_shares(self, opened: AgreementOpened) -> int:
        """The recipient's own title by now."""
        return self._balances[f"own:{opened.agreement}"]

    def repaid(self, opened: AgreementOpened) -> bool:
        """Tell whether the holding is owned by now."""
        return opened.holding in self.inputs.owned_at

    def is_reclaimed(self, opened: AgreementOpened) -> bool:
        """Tell whether the holding was reclaimed by now."""
        return self.inputs.is_reclaimed(opened.holding)

    def debt_at_start(self, opened: AgreementOpened) -> Debt:
        """What was owed when the agreement began: all units, and no return yet."""
        return Debt(self.units(opened), opened.terms.return_ppm_year, self._first_day(opened))

    def debt_now(self, opened: AgreementOpened) -> Debt:
        """What is owed by now."""
        name = opened.agreement
        bills = self.receivables.oldest_first(name)
        return Debt(
            principal_stroops=self.units(opened) - self.own_shares(opened),
            return_ppm_year=opened.terms.return_ppm_year,
            next_day=self._next_days.get(name) or self._first_day(opened),
            return_stroops=self._balances[f"return_due:{name}"],
            credit_stroops=self._balances[f"credit:{name}"],
            prepaid_stroops=self.receivables.prepaid_stroops(name),
            bills=[Open(each.due_at, self.receivables.open_parts(each)) for each in bills],
        )

    def _first_day(self, opened: AgreementOpened) -> date | None:
        operates_at = self._operates_at.get(opened.system)
        if operates_at is None:
            return None
        return max(as_date(opened.first_day), local_day(operates_at, opened.time_zone))

    def as_of(self, final_at: datetime, at: datetime) -> AsOf:
        """What counts for a period that is final at a time, as of another one."""
        return AsOf(self.inputs.reached, int(final_at.timestamp()), int(at.timestamp()))

    def settled_at(self, opened: AgreementOpened) -> datetime:
        """The last local midnight by now: what came late was settled then for the last time."""
        return local_midnight(local_day(self.now, opened.time_zone), opened.time_zone)


def supposed(account: Account, *, tariff: str | None, period: BillingPeriod | None) -> Account:
    """An agreement as it would have been with another tariff or period.

    The periods of a term are counted in the agreement's own; with others it has no term.
    """
    changes: dict[str, object] = {}
    if tariff is not None:
        changes["tariff"] = tariff
    if period is not None and period != account.opened.period:
        changes |= {"period": period, "term_periods": None}
    opened = account.opened.model_copy(update=changes)
    return Account(opened, account.cause, as_date(opened.first_day))


def parts_of(lines: Iterable[InvoiceLine]) -> dict[Part, int]:
    """What lines ask for by class and payee, in stroops."""
    parts: dict[Part, int] = defaultdict(int)
    for line in lines:
        parts[line.line_class, line.payee or ""] += line.amount_stroops
    return dict(parts)


def due_at(account: Account, final_at: datetime) -> datetime:
    """When a bill that is issued as soon as it is final falls due."""
    return final_at + timedelta(seconds=account.opened.due_after_s)
