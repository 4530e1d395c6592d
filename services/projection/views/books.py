"""Rows of the ledger: systems, holdings, payments, title. Pure."""

from collections.abc import Iterator

from libs.events import (
    Fact,
    FundsDeposited,
    HoldingOpened,
    InvestmentMade,
    OwnershipTransferred,
    RaiseAccepted,
    Recorded,
    SystemApproved,
    SystemProposed,
)
from services.projection.table import Table, Values
from services.projection.tables import (
    DEPOSIT,
    HOLDING,
    INVESTMENT,
    OWN_TITLE,
    RAISE_ACCEPTED,
    SYSTEM,
    SYSTEM_APPROVED,
    TITLE_MOVE,
)


def funds_deposited(recorded: Recorded[FundsDeposited]) -> Iterator[tuple[Table, Values]]:
    """One row per deposit."""
    fact = recorded.fact
    yield (
        DEPOSIT,
        (*_place(recorded), fact.member, fact.asset, fact.amount_stroops, recorded.envelope.time),
    )


def system_proposed(recorded: Recorded[SystemProposed]) -> Iterator[tuple[Table, Values]]:
    """One row per proposal."""
    fact = recorded.fact
    yield (
        SYSTEM,
        (
            *_place(recorded),
            fact.system,
            fact.proposer,
            fact.asset,
            fact.price_stroops,
            fact.nameplate_w,
            fact.site,
            fact.time_zone,
            fact.terms.return_ppm_year,
            fact.terms.minimum_payment_stroops,
            recorded.envelope.time,
            fact.recipient,
            None if fact.seed is None else fact.seed.factor_ppm,
            None if fact.seed is None else fact.seed.cap_stroops,
            fact.cover_stroops,
            fact.offtaker,
        ),
    )


def system_approved(recorded: Recorded[SystemApproved]) -> Iterator[tuple[Table, Values]]:
    """One row per approval."""
    fact = recorded.fact
    yield SYSTEM_APPROVED, (*_place(recorded), fact.system, fact.shares, recorded.envelope.time)


def investment_made(recorded: Recorded[InvestmentMade]) -> Iterator[tuple[Table, Values]]:
    """One row per investment."""
    fact = recorded.fact
    yield (
        INVESTMENT,
        (
            *_place(recorded),
            fact.investment,
            fact.system,
            fact.investor,
            fact.asset,
            fact.amount_stroops,
            recorded.envelope.time,
            fact.round,
            fact.units,
            fact.is_at_risk,
        ),
    )


def raise_accepted(recorded: Recorded[RaiseAccepted]) -> Iterator[tuple[Table, Values]]:
    """One row for the acceptance, and one per investor whose reserved units became title."""
    fact, at = recorded.fact, recorded.envelope.time
    place = _place(recorded)
    yield RAISE_ACCEPTED, (*place, fact.system, fact.recipient, fact.asset, at, fact.units)
    for part, move in enumerate(fact.moves, 1):
        yield (
            TITLE_MOVE,
            (*place, part, "raise", fact.system, *_NO_PAYMENT, None, move.member, move.shares, at),
        )


_NO_PAYMENT = (None, None, None)


def holding_opened(recorded: Recorded[HoldingOpened]) -> Iterator[tuple[Table, Values]]:
    """One row per holding."""
    fact = recorded.fact
    yield (
        HOLDING,
        (
            *_place(recorded),
            fact.holding,
            fact.system,
            fact.recipient,
            fact.units,
            recorded.envelope.time,
        ),
    )


def ownership_transferred(
    recorded: Recorded[OwnershipTransferred],
) -> Iterator[tuple[Table, Values]]:
    """One row per investor who gave title, and the newest own title of the holding."""
    fact, at = recorded.fact, recorded.envelope.time
    place = _place(recorded)
    about = (fact.system, fact.holding, fact.agreement, fact.payment)
    for part, move in enumerate(fact.moves, 1):
        to = (move.member, fact.to_member, move.shares)
        yield TITLE_MOVE, (*place, part, "payment", *about, *to, at)
    standing = (fact.system, fact.agreement, fact.to_member, fact.own_shares, fact.holding_units)
    yield OWN_TITLE, (recorded.stream, fact.holding, recorded.sequence, *standing, at)


def _place(recorded: Recorded[Fact]) -> tuple[str, int]:
    return recorded.stream, recorded.sequence
