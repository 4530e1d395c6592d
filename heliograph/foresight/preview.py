"""What the next bill of an agreement would be by now, beside its draft. Pure."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from heliograph.foresight.history import Known
from heliograph.foresight.what_if import periods
from libs.events.invoicing import AgreementOpened, InvoiceDrafted
from libs.rules.fast_rating import Grid
from libs.rules.periods import Period
from libs.runtime.failures import NotFound
from services.billing.invoices import Documents
from services.billing.lines import Bill

AHEAD_MAX: Final = 24
"""Most periods without an invoice that are shown: more only where billing is far behind."""


@dataclass(frozen=True, slots=True)
class Next:
    """A period that has no invoice yet."""

    invoice: str
    """The name that its invoice will have."""
    period: Period
    """The period."""
    final_at: datetime
    """When its invoice is final."""
    bill: Bill
    """What it would say by now."""
    ahead_intervals: int
    """Intervals of the period that are still to come."""
    drafted: InvoiceDrafted | None
    """Its draft, as it was written when the period ended."""

    @property
    def unknown_intervals(self) -> int:
        """Intervals that are past, and lack a meter or a price."""
        return self.bill.unrated_intervals - self.ahead_intervals


@dataclass(slots=True)
class Preview:
    """What is not billed yet."""

    agreement: AgreementOpened
    """The agreement."""
    by_at: datetime
    """By when everything is known."""
    periods: list[Next] = field(default_factory=list)
    """Periods without an invoice that have begun, oldest first."""


def preview(known: Known, agreement: str) -> Preview:
    """Bill the running period by what is known now, and those that ended and are not final.

    Raises:
        NotFound: Codes `unknown-agreement`, `holding-reclaimed`, `not-begun`, `rate-missing`.
    """
    account = known.account(agreement)
    opened, now = account.opened, known.now
    if known.is_reclaimed(opened):
        text = f"the holding of {agreement} was reclaimed: nothing is billed any more"
        raise NotFound("holding-reclaimed", text)
    documents = Documents(known.inputs, known.accounts, known.ledger)
    billed, drafted = known.documents(agreement), known.drafted(agreement)
    first_day = max((each.period.next_day for each in billed.values()), default=None)
    found = Preview(opened, now)
    for number, period in enumerate(periods(opened, first_day), len(billed) + 1):
        if period.from_at >= now or len(found.periods) == AHEAD_MAX:
            break
        name, final_at = account.invoice_name(period), account.final_at(period)
        bill = documents.bill(account, period, number, known.as_of(final_at, now))
        grid = Grid.of(period.from_at, period.until_at, opened.rating_interval_s)
        found.periods.append(
            Next(
                invoice=name,
                period=period,
                final_at=final_at,
                bill=bill,
                ahead_intervals=grid.count - grid.place(int(now.timestamp())),
                drafted=drafted if drafted is not None and drafted.invoice == name else None,
            )
        )
    if not found.periods:
        raise NotFound("not-begun", f"the next period of {agreement} begins after {now:%Y-%m-%d}")
    return found
