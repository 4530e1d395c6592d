"""Who is told of a stern notice: whoever has title in a system or covers its losses. Pure.

A fold of the ledger's facts about title; own title of recipients is none of it.

Source: domain rules, sections 6 to 8.
"""

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from libs.events.books import OwnershipTransferred
from libs.events.fact import Fact
from libs.events.supply import FirstLossCovered
from libs.events.systems import (
    CoverDeposited,
    CoverReleased,
    HoldingReclaimed,
    RaiseAccepted,
    SharesTransferred,
)

TOLD_MAX: Final = 1_000
"""Most members whom one notice names."""


class Stakeholders:
    """Investors and guarantors of every system of a book."""

    def __init__(self) -> None:
        """Begin with no system."""
        self._shares: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._guarantors: dict[str, set[str]] = defaultdict(set)
        self._folds: dict[type[Fact], Callable[[Any], None]] = {
            RaiseAccepted: self._accepted,
            SharesTransferred: self._transferred,
            FirstLossCovered: self._covered,
            OwnershipTransferred: self._repaid,
            HoldingReclaimed: self._reclaimed,
            CoverDeposited: self._deposited,
            CoverReleased: self._released,
        }

    def evolve(self, fact: Fact) -> None:
        """Fold a fact of the ledger; all others are ignored."""
        fold = self._folds.get(type(fact))
        if fold is not None:
            fold(fact)

    def of(self, system: str) -> tuple[str, ...]:
        """Whoever is told, by member; at most `TOLD_MAX`."""
        investors = (each for each, shares in self._shares[system].items() if shares > 0)
        return tuple(sorted({*investors, *self._guarantors[system]})[:TOLD_MAX])

    def _accepted(self, fact: RaiseAccepted) -> None:
        for move in fact.moves:
            self._shares[fact.system][move.member] += move.shares

    def _transferred(self, fact: SharesTransferred) -> None:
        self._shares[fact.system][fact.from_member] -= fact.shares
        self._shares[fact.system][fact.to_member] += fact.shares

    def _covered(self, fact: FirstLossCovered) -> None:
        for move in fact.principal:
            self._shares[fact.system][move.member] -= move.shares
            self._shares[fact.system][fact.guarantor] += move.shares

    def _repaid(self, fact: OwnershipTransferred) -> None:
        for move in fact.moves:
            self._shares[fact.system][move.member] -= move.shares

    def _reclaimed(self, fact: HoldingReclaimed) -> None:
        for move in fact.moves:
            self._shares[fact.system][move.member] += move.shares

    def _deposited(self, fact: CoverDeposited) -> None:
        self._guarantors[fact.system].add(fact.guarantor)

    def _released(self, fact: CoverReleased) -> None:
        self._guarantors[fact.system].discard(fact.guarantor)
