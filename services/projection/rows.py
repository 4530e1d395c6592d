"""From facts to rows: the one table of which view function reads which fact. Pure."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from libs.events import (
    AgreementOpened,
    AnchorFailed,
    AnchorPrepared,
    Fact,
    FundsDeposited,
    HeadAnchored,
    HoldingOpened,
    InvestmentMade,
    InvoiceIssued,
    InvoicePaid,
    MemberRegistered,
    MeterEnrolled,
    OwnershipTransferred,
    PaymentSettled,
    RaiseAccepted,
    ReadingRecorded,
    ReadingRefused,
    Recorded,
    SystemApproved,
    SystemProposed,
    TariffPublished,
    TimeAdvanced,
    TimeReached,
)
from libs.events.subjects import BILLING, LEDGER
from libs.rules.postings import is_debit_account, postings
from services.projection.tables import ACCOUNT_BALANCE, CLAIM_BALANCE, Table, Values
from services.projection.views import anchoring, books, invoicing, metering, register

Rows = Iterable[tuple[Table, Values]]
"""Rows, each with its table."""

View = Callable[[Any], Rows]
"""Gives the rows of one fact."""

VIEWS: Final[Mapping[type[Fact], View]] = {
    AgreementOpened: invoicing.agreement_opened,
    AnchorFailed: anchoring.anchor_failed,
    AnchorPrepared: anchoring.anchor_prepared,
    FundsDeposited: books.funds_deposited,
    HeadAnchored: anchoring.head_anchored,
    HoldingOpened: books.holding_opened,
    InvestmentMade: books.investment_made,
    InvoiceIssued: invoicing.invoice_issued,
    InvoicePaid: invoicing.invoice_paid,
    MemberRegistered: register.member_registered,
    MeterEnrolled: metering.meter_enrolled,
    OwnershipTransferred: books.ownership_transferred,
    PaymentSettled: books.payment_settled,
    RaiseAccepted: books.raise_accepted,
    ReadingRecorded: metering.reading_recorded,
    ReadingRefused: metering.reading_refused,
    SystemApproved: books.system_approved,
    SystemProposed: books.system_proposed,
    TariffPublished: register.tariff_published,
    TimeAdvanced: register.time_advanced,
    TimeReached: register.time_reached,
}
"""A fact that stands here has rows of its own; every other one is only counted."""

_BALANCES: Final = {LEDGER.name: ACCOUNT_BALANCE, BILLING.name: CLAIM_BALANCE}


def rows_of(recorded: Recorded[Fact]) -> Rows:
    """Give the rows of a fact; also what it does to the accounts.

    Args:
        recorded: A decoded fact.
    """
    view = VIEWS.get(type(recorded.fact))
    rows = () if view is None else view(recorded)
    table = _BALANCES.get(recorded.stream.partition("_")[0])
    return rows if table is None else itertools.chain(rows, _balances(table, recorded))


def _balances(table: Table, recorded: Recorded[Fact]) -> Rows:
    """Give each account's change on its normal side.

    One table receives what one stream posts; accounts to which two streams post are joined when
    they are read, so that a single half may stand below zero.
    """
    for entry in postings(recorded.fact):
        for account, sign in ((entry.debit, 1), (entry.credit, -1)):
            change = entry.amount * (sign if is_debit_account(account) else -sign)
            yield table, (recorded.stream, entry.asset, account, change)
