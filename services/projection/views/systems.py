"""Rows of systems and holdings: stages, raising, building, hands. Pure."""

from libs.events import (
    ContractorPaid,
    CoverDeposited,
    CoverReleased,
    HoldingAccepted,
    HoldingOffered,
    HoldingOwned,
    HoldingReclaimed,
    HoldingTransferred,
    InvestmentRefunded,
    PayoutApproved,
    RaiseCancelled,
    Recorded,
    SharesOffered,
    SharesTransferred,
    StageAdvanced,
    SystemPaidOff,
)
from services.projection.ownership_tables import (
    COVER,
    HOLDING_OFFER,
    HOLDING_OWNED,
    HOLDING_RECLAIMED,
    HOLDING_TRANSFERRED,
    INVESTMENT_REFUNDED,
    PAYOUT,
    RAISE_CANCELLED,
    SHARE_OFFER,
    SHARE_TRANSFER,
    STAGE_ADVANCED,
    SYSTEM_PAID_OFF,
)
from services.projection.tables import TITLE_MOVE
from services.projection.views.place import Rows, row
from services.projection.views.text import json_list

_NO_PAYMENT = (None, None, None)


def stage_advanced(recorded: Recorded[StageAdvanced]) -> Rows:
    """One row per step of a system."""
    fact = recorded.fact
    stages = (fact.system, fact.from_stage, fact.to_stage, fact.checklist)
    documents = json_list(fact.documents)
    yield STAGE_ADVANCED, row(recorded, *stages, documents, fact.command is not None)


def investment_refunded(recorded: Recorded[InvestmentRefunded]) -> Rows:
    """One row per investment that was given back."""
    fact = recorded.fact
    whose = (fact.investment, fact.system, fact.investor, fact.asset)
    yield (
        INVESTMENT_REFUNDED,
        row(recorded, *whose, fact.amount_stroops, fact.units, fact.to_member),
    )


def raise_cancelled(recorded: Recorded[RaiseCancelled]) -> Rows:
    """One row per raise that came to nothing."""
    yield RAISE_CANCELLED, row(recorded, recorded.fact.system, recorded.fact.reason)


def payout_approved(recorded: Recorded[PayoutApproved]) -> Rows:
    """One row for the first confirmation of a payout."""
    fact = recorded.fact
    what = (fact.payout, "confirmed", fact.system, fact.contractor, fact.asset)
    who = (fact.confirmed_by, fact.confirmed_as)
    yield PAYOUT, row(recorded, *what, fact.amount_stroops, *who)


def contractor_paid(recorded: Recorded[ContractorPaid]) -> Rows:
    """One row for the payout itself."""
    fact = recorded.fact
    what = (fact.payout, "paid", fact.system, fact.contractor, fact.asset)
    yield PAYOUT, row(recorded, *what, fact.amount_stroops, None, None)


def cover_deposited(recorded: Recorded[CoverDeposited]) -> Rows:
    """One row per deposit of cover."""
    fact = recorded.fact
    what = (fact.system, fact.guarantor, "deposited", fact.asset, fact.amount_stroops)
    yield COVER, row(recorded, *what)


def cover_released(recorded: Recorded[CoverReleased]) -> Rows:
    """One row per guarantor who got cover back."""
    fact = recorded.fact
    what = (fact.system, fact.guarantor, "released", fact.asset, fact.amount_stroops)
    yield COVER, row(recorded, *what)


def shares_offered(recorded: Recorded[SharesOffered]) -> Rows:
    """One row per offer of title."""
    fact = recorded.fact
    what = (fact.offer, fact.system, fact.from_member, fact.to_member, fact.asset)
    yield SHARE_OFFER, row(recorded, *what, fact.shares, fact.price_stroops, fact.expires_at)


def shares_transferred(recorded: Recorded[SharesTransferred]) -> Rows:
    """One row for the sale, and one for the title that moved with it."""
    fact = recorded.fact
    hands = (fact.from_member, fact.to_member)
    what = (fact.offer, fact.system, *hands, fact.asset, fact.shares, fact.price_stroops)
    yield SHARE_TRANSFER, row(recorded, *what)
    yield TITLE_MOVE, row(recorded, 1, "sale", fact.system, *_NO_PAYMENT, *hands, fact.shares)


def holding_offered(recorded: Recorded[HoldingOffered]) -> Rows:
    """One row per offer of a holding."""
    fact = recorded.fact
    what = (fact.holding, "offered", fact.from_member, fact.to_member, None)
    yield HOLDING_OFFER, row(recorded, *what)


def holding_accepted(recorded: Recorded[HoldingAccepted]) -> Rows:
    """One row per offer that was accepted."""
    fact = recorded.fact
    what = (fact.holding, "accepted", fact.from_member, fact.to_member, fact.effective_at)
    yield HOLDING_OFFER, row(recorded, *what)


def holding_transferred(recorded: Recorded[HoldingTransferred]) -> Rows:
    """One row per change of hands."""
    fact = recorded.fact
    what = (fact.holding, fact.from_member, fact.to_member, fact.agreement)
    yield HOLDING_TRANSFERRED, row(recorded, *what)


def holding_owned(recorded: Recorded[HoldingOwned]) -> Rows:
    """One row per holding that is paid."""
    fact = recorded.fact
    what = (fact.holding, fact.system, fact.agreement, fact.member, fact.units, fact.asset)
    yield HOLDING_OWNED, row(recorded, *what, fact.lapsed_prepaid_stroops)


def system_paid_off(recorded: Recorded[SystemPaidOff]) -> Rows:
    """One row per system that belongs to its holders."""
    yield SYSTEM_PAID_OFF, row(recorded, recorded.fact.system, recorded.fact.holding_count)


def holding_reclaimed(recorded: Recorded[HoldingReclaimed]) -> Rows:
    """One row per holding that was taken back, and one for the title that its holder keeps."""
    fact = recorded.fact
    own = sum(move.shares for move in fact.moves)
    what = (fact.holding, fact.system, fact.agreement, fact.member, fact.units, own)
    yield HOLDING_RECLAIMED, row(recorded, *what)
    about = ("reclaim", fact.system, fact.holding, fact.agreement, None)
    for part, move in enumerate(fact.moves, 1):
        hands = (fact.member, move.member)
        yield TITLE_MOVE, row(recorded, part, *about, *hands, move.shares)
