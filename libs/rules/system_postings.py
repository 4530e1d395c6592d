"""Postings of system facts: raising, building, cover, title between members. Pure.

Source: domain rules, section 11.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from libs.events.books import SystemApproved
from libs.events.fact import Fact
from libs.events.systems import (
    ContractorPaid,
    CoverDeposited,
    CoverReleased,
    HoldingReclaimed,
    InvestmentMade,
    InvestmentRefunded,
    RaiseAccepted,
    SharesTransferred,
)
from libs.rules.posting import Posting


def _system_approved(fact: SystemApproved) -> Iterable[Posting]:
    yield Posting(
        f"T:{fact.system}", f"issued:{fact.system}", f"approver:{fact.system}", fact.shares
    )


def _investment_made(fact: InvestmentMade) -> Iterable[Posting]:
    title, unplaced = f"T:{fact.system}", f"approver:{fact.system}"
    place, uplift = f"{fact.system}:{fact.investor}", fact.units - fact.amount_stroops
    yield Posting(
        f"U:{fact.asset}", f"wallet:{fact.investor}", f"escrow:{place}", fact.amount_stroops
    )
    if uplift:
        yield Posting(title, f"issued:{fact.system}", unplaced, uplift)
    yield Posting(title, unplaced, f"reserved:{place}", fact.units)


def _investment_refunded(fact: InvestmentRefunded) -> Iterable[Posting]:
    title, unplaced = f"T:{fact.system}", f"approver:{fact.system}"
    place, uplift = f"{fact.system}:{fact.investor}", fact.units - fact.amount_stroops
    yield Posting(
        f"U:{fact.asset}", f"escrow:{place}", f"wallet:{fact.to_member}", fact.amount_stroops
    )
    yield Posting(title, f"reserved:{place}", unplaced, fact.units)
    if uplift:
        yield Posting(title, unplaced, f"issued:{fact.system}", uplift)


def _raise_accepted(fact: RaiseAccepted) -> Iterable[Posting]:
    for move in fact.moves:
        place = f"{fact.system}:{move.member}"
        yield Posting(
            f"U:{fact.asset}", f"escrow:{place}", f"build:{fact.system}", move.amount_stroops
        )
        yield Posting(f"T:{fact.system}", f"reserved:{place}", f"title:{place}", move.shares)


def _contractor_paid(fact: ContractorPaid) -> Iterable[Posting]:
    yield Posting(
        f"U:{fact.asset}", f"build:{fact.system}", f"wallet:{fact.contractor}", fact.amount_stroops
    )


def _cover_deposited(fact: CoverDeposited) -> Iterable[Posting]:
    cover = f"cover:{fact.system}:{fact.guarantor}"
    yield Posting(f"U:{fact.asset}", f"wallet:{fact.guarantor}", cover, fact.amount_stroops)


def _cover_released(fact: CoverReleased) -> Iterable[Posting]:
    cover = f"cover:{fact.system}:{fact.guarantor}"
    yield Posting(f"U:{fact.asset}", cover, f"wallet:{fact.guarantor}", fact.amount_stroops)


def _shares_transferred(fact: SharesTransferred) -> Iterable[Posting]:
    old, new = (f"title:{fact.system}:{who}" for who in (fact.from_member, fact.to_member))
    yield Posting(f"T:{fact.system}", old, new, fact.shares)
    if fact.price_stroops:
        yield Posting(
            f"U:{fact.asset}",
            f"wallet:{fact.to_member}",
            f"wallet:{fact.from_member}",
            fact.price_stroops,
        )


def _holding_reclaimed(fact: HoldingReclaimed) -> Iterable[Posting]:
    for move in fact.moves:
        title = f"title:{fact.system}:{move.member}"
        yield Posting(f"T:{fact.system}", f"own:{fact.agreement}", title, move.shares)


SYSTEM_RULES: Mapping[type[Fact], Callable[[Any], Iterable[Posting]]] = {
    SystemApproved: _system_approved,
    InvestmentMade: _investment_made,
    InvestmentRefunded: _investment_refunded,
    RaiseAccepted: _raise_accepted,
    ContractorPaid: _contractor_paid,
    CoverDeposited: _cover_deposited,
    CoverReleased: _cover_released,
    SharesTransferred: _shares_transferred,
    HoldingReclaimed: _holding_reclaimed,
}
"""What each of these facts posts."""
