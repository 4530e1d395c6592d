"""The tables of the views as the projector sees them, and how rows reach each.

`schema/*.sql` declares the same tables; `tests/projection` compares the two. Pure: no database.
"""

from typing import Final

from services.projection import ownership_tables
from services.projection.table import Merge, Table, table

REGISTERS: Final = ("generated", "consumed", "imported", "exported")
"""Registers in the order of the columns of `reading`."""

FACT_TOTAL: Final = table("fact_total", "stream fact total", Merge.SUM, 2)
CLOCK: Final = table("clock", "stream sequence now_at cadence_s", Merge.LATEST, 1)
READING: Final = table(
    "reading",
    "stream sequence meter seq epoch first_interval_at until_at interval_s interval_count "
    "generated_wh consumed_wh imported_wh exported_wh "
    "generated_each_wh consumed_each_wh imported_each_wh exported_each_wh "
    "generated_after_wh consumed_after_wh imported_after_wh exported_after_wh",
)
READING_REFUSED: Final = table(
    "reading_refused", "stream sequence meter seq reason detail sha256 refused_at"
)
METER: Final = table(
    "meter",
    "meter stream sequence address role system holding site nameplate_w enrolled_at",
    Merge.LATEST,
    1,
)
MEMBER: Final = table(
    "member",
    "member stream sequence address roles registered_at business_name energy_type "
    "daily_consumption_wh available_energy_wh opening_book opening_energy_wh opening_asset "
    "opening_stroops",
    Merge.LATEST,
    1,
)
MEMBER_ROLES: Final = table(
    "member_roles", "member stream sequence roles granted_at", Merge.LATEST, 1
)
MEMBER_KEY: Final = table(
    "member_key", "member stream sequence address rotated_at", Merge.LATEST, 1
)
MEMBER_SUSPENSION: Final = table(
    "member_suspension",
    "member stream sequence is_suspended reason decided_at",
    Merge.LATEST,
    1,
)
TARIFF: Final = table(
    "tariff",
    "stream sequence hash tariff version asset price_stroops_per_kwh effective_from published_at "
    "kind prices standing_stroops_per_month source_sha256",
)
SYSTEM: Final = table(
    "system",
    "stream sequence system proposer asset price_stroops nameplate_w site time_zone "
    "return_ppm_year minimum_payment_stroops proposed_at recipient seed_factor_ppm "
    "seed_cap_stroops cover_stroops offtaker",
)
SYSTEM_APPROVED: Final = table("system_approved", "stream sequence system shares approved_at")
INVESTMENT: Final = table(
    "investment",
    "stream sequence investment system investor asset amount_stroops made_at round units "
    "is_at_risk",
)
RAISE_ACCEPTED: Final = table(
    "raise_accepted", "stream sequence system recipient asset accepted_at units"
)
HOLDING: Final = table("holding", "stream sequence holding system recipient units opened_at")
DEPOSIT: Final = table("deposit", "stream sequence member asset amount_stroops deposited_at")
PAYMENT: Final = table(
    "payment",
    "stream sequence payment agreement payer asset amount_stroops returned_stroops "
    "principal_stroops credit_stroops settled_at kind",
)
PAYMENT_CLEARED: Final = table(
    "payment_cleared",
    "stream sequence part payment agreement invoice line_class amount_stroops settled_at "
    "into_kind payee",
)
PAYMENT_MOVE: Final = table(
    "payment_move", "stream sequence part payment kind member amount_stroops"
)
TITLE_MOVE: Final = table(
    "title_move",
    "stream sequence part kind system holding agreement payment from_member to_member shares "
    "moved_at",
)
OWN_TITLE: Final = table(
    "own_title",
    "stream holding sequence system agreement member own_shares holding_units moved_at",
    Merge.LATEST,
    2,
)
ACCOUNT_BALANCE: Final = table("account_balance", "stream asset account balance", Merge.SUM, 3)
AGREEMENT: Final = table(
    "agreement",
    "stream sequence agreement holding system recipient tariff asset period time_zone first_day "
    "rating_interval_s settlement_lag_s due_after_s return_ppm_year minimum_payment_stroops "
    "opened_at rate_feed term_periods expected_wh_year grace_periods notice_s upkeep_payee "
    "upkeep_stroops_per_month taxes",
)
INVOICE: Final = table(
    "invoice",
    "stream sequence hash invoice number agreement recipient asset period_from period_until due_at "
    "rated_intervals unrated_intervals generated_wh consumed_wh energy_wh total_stroops seen "
    "issued_at later_due_at later_stroops replaces cutoff_at",
)
INVOICE_LINE: Final = table(
    "invoice_line",
    "stream sequence line invoice line_class holding tariff tariff_version price_position "
    "price_stroops_per_kwh energy_wh amount_stroops kind payee bucket tier rate_position days "
    "rate_ppm base_lines",
)
INVOICE_READING: Final = table(
    "invoice_reading",
    "stream sequence part invoice meter readings_stream first_seq last_seq positions",
)
INVOICE_PAID: Final = table(
    "invoice_paid", "stream sequence invoice agreement total_stroops paid_at"
)
CLAIM_BALANCE: Final = table("claim_balance", "stream asset account balance", Merge.SUM, 3)
READING_CORRECTED: Final = table(
    "reading_corrected",
    "stream sequence meter correction first_interval_at interval_s interval_count generated_wh "
    "consumed_wh imported_wh exported_wh reason corrected_at",
)
_ENTRY: Final = "stream sequence part asset account held_for change fact fact_id at"
ENTRY: Final = table("entry", _ENTRY)
CLAIM_ENTRY: Final = table("claim_entry", _ENTRY)
ENERGY_MINTED: Final = table(
    "energy_minted",
    "stream sequence mint member reason energy_wh served_wh system holding first_interval_at "
    "interval_count minted_at",
)
ENERGY_SHORTFALL: Final = table(
    "energy_shortfall", "stream sequence member system holding energy_wh taken_wh booked_at"
)
ENERGY_TRANSFER: Final = table(
    "energy_transfer",
    "stream sequence transfer from_member to_member energy_wh metadata transferred_at",
)
ENERGY_RETIRED: Final = table(
    "energy_retired", "stream sequence retirement member energy_wh purpose retired_at"
)
TRADE: Final = table(
    "trade",
    "stream sequence trade seller buyer asset energy_wh price_stroops_per_kwh total_stroops "
    "expires_at slot_at metadata created_at",
)
TRADE_ENDED: Final = table(
    "trade_ended",
    "stream sequence trade status reason seller buyer asset energy_wh price_stroops_per_kwh "
    "total_stroops slot_at bid offer ended_at",
)
MARKET_ORDER: Final = table(
    "market_order",
    "stream sequence order_id member side slot_at asset energy_wh limit_stroops_per_kwh "
    "held_stroops placed_at",
)
MARKET_ORDER_ENDED: Final = table(
    "market_order_ended",
    "stream sequence order_id energy_wh returned_stroops reason ended_at",
)
SLOT_CLEARED: Final = table(
    "slot_cleared",
    "stream sequence slot_at asset orders price_stroops_per_kwh energy_wh match_count cleared_at",
)
TRANSFER_STEP: Final = table(
    "transfer_step",
    "stream sequence transfer step from_member to_book from_book expires_at returned_stroops "
    "returned_wh reason metadata at",
)
TRANSFER_LEG: Final = table(
    "transfer_leg", "stream sequence part to_member asset amount_stroops energy_wh"
)
ANCHOR_PREPARED: Final = table(
    "anchor_prepared",
    "stream sequence log round round_text round_sha256 account network account_sequence "
    "transaction_hash valid_until prepared_at",
)
ANCHOR_CONFIRMED: Final = table(
    "anchor_confirmed", "stream sequence log round transaction_hash ledger closed_at"
)
ANCHOR_FAILED: Final = table(
    "anchor_failed", "stream sequence log round transaction_hash reason failed_at"
)
REFUSAL: Final = table(
    "refusal",
    "stream sequence subject reason meter detail sha256 first_256_bytes count",
    Merge.LATEST,
    2,
)

TABLES: Final = (
    *(found for found in globals().copy().values() if isinstance(found, Table)),
    *ownership_tables.TABLES,
)
"""Every table but `projection_position`."""
