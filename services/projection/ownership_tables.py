"""The tables of pay to own as the projector sees them: from a price to a notice.

`schema/0006_pay_to_own.sql` declares the same tables; `tests/projection` compares the two.
"""

from typing import Final

from services.projection.table import Merge, Table, table

FEED: Final = table(
    "feed",
    "stream feed sequence kind asset base sources quorum staleness_s fence_ppm settle_s defined_at",
    Merge.LATEST,
    2,
)
PRICE_OBSERVED: Final = table(
    "price_observed",
    "stream sequence observation feed source first_at interval_s observed document_sha256 "
    "observed_at",
)
PRICE_PUBLISHED: Final = table(
    "price_published",
    "stream sequence hash feed asset first_at interval_s prices_stroops made_of published_at",
)
RATE_PUBLISHED: Final = table(
    "rate_published",
    "stream sequence hash feed base asset from_at rate_stroops made_of published_at",
)
FEED_SOURCE: Final = table(
    "feed_source",
    "stream feed source sequence is_quarantined outliers decided_at",
    Merge.LATEST,
    3,
)
FEED_STALE: Final = table(
    "feed_stale",
    "stream feed sequence last_until stale_at",
    Merge.LATEST,
    2,
)
STAGE_ADVANCED: Final = table(
    "stage_advanced",
    "stream sequence system from_stage to_stage checklist documents is_signed advanced_at",
)
INVESTMENT_REFUNDED: Final = table(
    "investment_refunded",
    "stream sequence investment system investor asset amount_stroops units to_member refunded_at",
)
RAISE_CANCELLED: Final = table(
    "raise_cancelled",
    "stream sequence system reason cancelled_at",
)
PAYOUT: Final = table(
    "payout",
    "stream sequence payout step system contractor asset amount_stroops confirmed_by "
    "confirmed_as at",
)
COVER: Final = table(
    "cover",
    "stream sequence system guarantor step asset amount_stroops at",
)
SHARE_OFFER: Final = table(
    "share_offer",
    "stream sequence offer system from_member to_member asset shares price_stroops expires_at "
    "offered_at",
)
SHARE_TRANSFER: Final = table(
    "share_transfer",
    "stream sequence offer system from_member to_member asset shares price_stroops transferred_at",
)
HOLDING_OFFER: Final = table(
    "holding_offer",
    "stream sequence holding step from_member to_member effective_at at",
)
HOLDING_TRANSFERRED: Final = table(
    "holding_transferred",
    "stream sequence holding from_member to_member agreement transferred_at",
)
HOLDING_OWNED: Final = table(
    "holding_owned",
    "stream sequence holding system agreement member units asset lapsed_prepaid_stroops owned_at",
)
SYSTEM_PAID_OFF: Final = table(
    "system_paid_off",
    "stream sequence system holding_count paid_off_at",
)
HOLDING_RECLAIMED: Final = table(
    "holding_reclaimed",
    "stream sequence holding system agreement member units own_shares reclaimed_at",
)
CREDIT_APPLIED: Final = table(
    "credit_applied",
    "stream sequence application agreement asset amount_stroops returned_stroops "
    "principal_stroops credit_stroops applied_at",
)
CREDIT_REFUNDED: Final = table(
    "credit_refunded",
    "stream sequence agreement member asset amount_stroops refunded_at",
)
PREPAID_APPLIED: Final = table(
    "prepaid_applied",
    "stream sequence agreement asset invoice amount_stroops prepaid_stroops applied_at",
)
INVOICE_CAPPED: Final = table(
    "invoice_capped",
    "stream sequence agreement asset invoice amount_stroops reason capped_at",
)
CREDIT_NOTE_SETTLED: Final = table(
    "credit_note_settled",
    "stream sequence credit_note agreement asset invoice unpaid_stroops prepaid_stroops "
    "refunded_stroops owed_stroops refunds settled_at",
)
REFUND_RECEIVED: Final = table(
    "refund_received",
    "stream sequence agreement asset payee into_kind amount_stroops received_at",
)
STANDING_ORDER: Final = table(
    "standing_order",
    "stream agreement sequence member limit_stroops set_at",
    Merge.LATEST,
    2,
)
RETURN_ACCRUED: Final = table(
    "return_accrued",
    "stream sequence agreement system asset from_day until_day principal_stroops "
    "return_ppm_year amount_stroops accrued_at",
)
RECEIPT: Final = table(
    "receipt",
    "stream sequence receipt agreement asset amount_stroops reference reason received_at",
)
SUSPENSE_SETTLED: Final = table(
    "suspense_settled",
    "stream sequence receipt asset amount_stroops member agreement settled_at",
)
WITHDRAWAL: Final = table(
    "withdrawal",
    "stream sequence member asset amount_stroops withdrawn_at",
)
SUPPLY_CHANGE: Final = table(
    "supply_change",
    "stream sequence holding agreement change invoice changed_at",
)
FIRST_LOSS: Final = table(
    "first_loss",
    "stream sequence holding agreement system asset guarantor amount_stroops returned_stroops "
    "principal_stroops cover_left_stroops covered_at",
)
GRID_SALE: Final = table(
    "grid_sale",
    "stream sequence holding agreement system member offtaker asset first_interval_at "
    "interval_s energies_wh energy_wh tariff price_position price_stroops_per_kwh "
    "amount_stroops sold_at",
)
GRID_PROCEEDS: Final = table(
    "grid_proceeds",
    "stream sequence agreement offtaker asset amount_stroops received_at",
)
PAYGO_DEVICE: Final = table(
    "paygo_device",
    "stream sequence device holding first_count assigned_at",
)
SUPPLY_TOKEN: Final = table(
    "supply_token",
    "stream sequence device holding agreement kind days token_count invoice issued_at",
)
INVOICE_DRAFT: Final = table(
    "invoice_draft",
    "stream sequence invoice agreement recipient asset period_from period_until final_at "
    "rated_intervals unrated_intervals lines total_stroops drafted_at",
)
CREDIT_NOTE: Final = table(
    "credit_note",
    "stream sequence credit_note number agreement recipient asset invoice reason because "
    "changes amounts total_stroops issued_at",
)
NOTICE: Final = table(
    "notice",
    "stream sequence kind agreement recipient invoice overdue_stroops periods_late told sent_at",
)
CLOCK_PAUSE: Final = table(
    "clock_pause",
    "stream sequence pause step agreement cause from_at until_at at",
)
DISPUTE: Final = table(
    "dispute",
    "stream sequence invoice step agreement amount_stroops reason until_at at",
)

TABLES: Final = tuple(found for found in globals().copy().values() if isinstance(found, Table))
"""Every table of pay to own."""
