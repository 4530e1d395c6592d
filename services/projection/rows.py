"""From facts to rows: the one table of which view function reads which fact. Pure."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from libs.events import (
    AgreementOpened,
    AlertRaised,
    AnchorFailed,
    AnchorPrepared,
    ClockPaused,
    ClockResumed,
    ContractorPaid,
    CoverDeposited,
    CoverReleased,
    CreditApplied,
    CreditNoteIssued,
    CreditNoteSettled,
    CreditRefunded,
    DisputeResolved,
    EnergyMinted,
    EnergyRetired,
    EnergyShortfallBooked,
    EnergyTransferred,
    EscalationReached,
    Fact,
    FeedDefined,
    FeedStale,
    FirstLossCovered,
    FundsDeposited,
    FundsReceived,
    FundsSuspended,
    FundsWithdrawn,
    GridEnergySold,
    GridProceedsReceived,
    HeadAnchored,
    HoldingAccepted,
    HoldingOffered,
    HoldingOpened,
    HoldingOwned,
    HoldingReclaimed,
    HoldingTransferred,
    InvestmentMade,
    InvestmentRefunded,
    InvoiceCapped,
    InvoiceDisputed,
    InvoiceDrafted,
    InvoiceIssued,
    InvoicePaid,
    KeyRotated,
    MemberRegistered,
    MemberSuspended,
    MeterEnrolled,
    OrderPlaced,
    OrderWithdrawn,
    OwnershipTransferred,
    PaygoDeviceAssigned,
    PaymentSettled,
    PayoutApproved,
    PrepaidApplied,
    PriceObserved,
    PricePublished,
    RaiseAccepted,
    RaiseCancelled,
    RatePublished,
    ReadingCorrected,
    ReadingRecorded,
    ReadingRefused,
    Recorded,
    RefundReceived,
    ReminderSent,
    ReturnAccrued,
    RoleGranted,
    SharesOffered,
    SharesTransferred,
    SlotCleared,
    SourceQuarantined,
    SourceReleased,
    StageAdvanced,
    StandingOrderSet,
    SternNoticeSent,
    SupplyDisconnected,
    SupplyDiverted,
    SupplyRestored,
    SupplyTokenIssued,
    SuspenseSettled,
    SystemApproved,
    SystemPaidOff,
    SystemProposed,
    TariffPublished,
    TimeAdvanced,
    TimeReached,
    TradeCancelled,
    TradeCreated,
    TradeExecuted,
    TradeExpired,
    TransferPosted,
    TransferReserved,
    TransferReversed,
    TransferVoided,
)
from libs.events.subjects import BILLING, LEDGER
from libs.rules.postings import is_debit_account, postings
from services.projection.table import Table, Values
from services.projection.tables import ACCOUNT_BALANCE, CLAIM_BALANCE, CLAIM_ENTRY, ENTRY
from services.projection.views import (
    anchoring,
    books,
    dunning,
    energy,
    invoicing,
    metering,
    prices,
    register,
    repaying,
    supply,
    systems,
    transfers,
)

Rows = Iterable[tuple[Table, Values]]
"""Rows, each with its table."""

View = Callable[[Any], Rows]
"""Gives the rows of one fact."""

VIEWS: Final[Mapping[type[Fact], View]] = {
    AgreementOpened: invoicing.agreement_opened,
    AlertRaised: dunning.alert_raised,
    AnchorFailed: anchoring.anchor_failed,
    AnchorPrepared: anchoring.anchor_prepared,
    ClockPaused: dunning.clock_paused,
    ClockResumed: dunning.clock_resumed,
    ContractorPaid: systems.contractor_paid,
    CoverDeposited: systems.cover_deposited,
    CoverReleased: systems.cover_released,
    CreditApplied: repaying.credit_applied,
    CreditNoteIssued: invoicing.credit_note_issued,
    CreditNoteSettled: repaying.credit_note_settled,
    CreditRefunded: repaying.credit_refunded,
    DisputeResolved: dunning.dispute_resolved,
    EnergyMinted: energy.minted,
    EnergyRetired: energy.retired,
    EnergyShortfallBooked: energy.shortfall_booked,
    EnergyTransferred: energy.transferred,
    EscalationReached: dunning.escalation_reached,
    FeedDefined: prices.feed_defined,
    FeedStale: prices.feed_stale,
    FirstLossCovered: supply.first_loss_covered,
    FundsDeposited: books.funds_deposited,
    FundsReceived: repaying.funds_received,
    FundsSuspended: repaying.funds_suspended,
    FundsWithdrawn: repaying.funds_withdrawn,
    GridEnergySold: supply.grid_energy_sold,
    GridProceedsReceived: supply.grid_proceeds_received,
    HeadAnchored: anchoring.head_anchored,
    HoldingAccepted: systems.holding_accepted,
    HoldingOffered: systems.holding_offered,
    HoldingOpened: books.holding_opened,
    HoldingOwned: systems.holding_owned,
    HoldingReclaimed: systems.holding_reclaimed,
    HoldingTransferred: systems.holding_transferred,
    InvestmentMade: books.investment_made,
    InvestmentRefunded: systems.investment_refunded,
    InvoiceCapped: repaying.invoice_capped,
    InvoiceDisputed: dunning.invoice_disputed,
    InvoiceDrafted: invoicing.invoice_drafted,
    InvoiceIssued: invoicing.invoice_issued,
    InvoicePaid: invoicing.invoice_paid,
    KeyRotated: register.key_rotated,
    MemberRegistered: register.member_registered,
    MemberSuspended: register.member_suspended,
    MeterEnrolled: metering.meter_enrolled,
    OrderPlaced: energy.order_placed,
    OrderWithdrawn: energy.order_withdrawn,
    OwnershipTransferred: books.ownership_transferred,
    PaygoDeviceAssigned: supply.paygo_device_assigned,
    PaymentSettled: repaying.payment_settled,
    PayoutApproved: systems.payout_approved,
    PrepaidApplied: repaying.prepaid_applied,
    PriceObserved: prices.price_observed,
    PricePublished: prices.price_published,
    RaiseAccepted: books.raise_accepted,
    RaiseCancelled: systems.raise_cancelled,
    RatePublished: prices.rate_published,
    ReadingCorrected: metering.reading_corrected,
    ReadingRecorded: metering.reading_recorded,
    ReadingRefused: metering.reading_refused,
    RefundReceived: repaying.refund_received,
    ReminderSent: dunning.reminder_sent,
    ReturnAccrued: repaying.return_accrued,
    RoleGranted: register.role_granted,
    SharesOffered: systems.shares_offered,
    SharesTransferred: systems.shares_transferred,
    SlotCleared: energy.slot_cleared,
    SourceQuarantined: prices.source_quarantined,
    SourceReleased: prices.source_released,
    StageAdvanced: systems.stage_advanced,
    StandingOrderSet: repaying.standing_order_set,
    SternNoticeSent: dunning.stern_notice_sent,
    SupplyDisconnected: supply.disconnected,
    SupplyDiverted: supply.diverted,
    SupplyRestored: supply.restored,
    SupplyTokenIssued: supply.supply_token_issued,
    SuspenseSettled: repaying.suspense_settled,
    SystemApproved: books.system_approved,
    SystemPaidOff: systems.system_paid_off,
    SystemProposed: books.system_proposed,
    TariffPublished: prices.tariff_published,
    TimeAdvanced: register.time_advanced,
    TimeReached: register.time_reached,
    TradeCancelled: energy.trade_cancelled,
    TradeCreated: energy.trade_created,
    TradeExecuted: energy.trade_executed,
    TradeExpired: energy.trade_expired,
    TransferPosted: transfers.posted,
    TransferReserved: transfers.reserved,
    TransferReversed: transfers.reversed_,
    TransferVoided: transfers.voided,
}
"""A fact that stands here has rows of its own; every other one is only counted."""

_BALANCES: Final = {
    LEDGER.name: (ACCOUNT_BALANCE, ENTRY),
    BILLING.name: (CLAIM_BALANCE, CLAIM_ENTRY),
}


def rows_of(recorded: Recorded[Fact]) -> Rows:
    """Give the rows of a fact; also what it does to the accounts.

    Args:
        recorded: A decoded fact.
    """
    view = VIEWS.get(type(recorded.fact))
    rows = () if view is None else view(recorded)
    tables = _BALANCES.get(recorded.stream.partition("_")[0])
    return rows if tables is None else itertools.chain(rows, _entries(*tables, recorded))


def _entries(balance: Table, entry: Table, recorded: Recorded[Fact]) -> Rows:
    """Give each account's change on its normal side, as a sum and as a line.

    One table receives what one stream posts; accounts to which two streams post are joined when
    they are read, so that a single half may stand below zero. All that is held for a member is one
    account here, `hold:<member>`; its lines say what for.
    """
    stream, sequence, envelope = recorded.stream, recorded.sequence, recorded.envelope
    about = (type(recorded.fact).fact_name, envelope.id, envelope.time)
    part = 0
    for posting in postings(recorded.fact):
        for name, sign in ((posting.debit, 1), (posting.credit, -1)):
            change = posting.amount * (sign if is_debit_account(name) else -sign)
            account, held_for = _view_account(name)
            part += 1
            yield balance, (stream, posting.asset, account, change)
            yield entry, (stream, sequence, part, posting.asset, account, held_for, change, *about)


def _view_account(name: str) -> tuple[str, str | None]:
    """Part the name of a hold into its account here and what it is held for.

    A row of balances for every trade would stay for ever, at zero.
    """
    first, _, rest = name.partition(":")
    if first != "hold":
        return name, None
    member, _, held_for = rest.partition(":")
    return f"hold:{member}", held_for
