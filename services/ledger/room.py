"""How much a book can still take in, so that no balance leaves what a fact can say. Pure.

Whatever members hold of one asset came in by a deposit, a mint or another book, and left to another
book or by a correction. As long as that sum fits into a fact, every single balance does.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

from libs.events.books import FundsDeposited
from libs.events.fact import Fact
from libs.events.quantities import INTEGER_MAX
from libs.events.repaying import FundsReceived, FundsSuspended, FundsWithdrawn, SuspenseSettled
from libs.events.trading import EnergyMinted, EnergyShortfallBooked, MoneyLeg, TransferPosted
from libs.rules.dumps import Dumped, Loaded
from libs.rules.trade_postings import ENERGY
from libs.runtime.failures import Refused


class Room:
    """What is in the book, by asset: stroops of each money, and Wh of tokens ever made."""

    def __init__(self) -> None:
        """Begin with an empty book."""
        self._inside: Counter[str] = Counter()
        self._folds: dict[type[Fact], Callable[[Any], None]] = {
            FundsDeposited: self._arrived,
            FundsReceived: self._arrived,
            FundsSuspended: self._arrived,
            FundsWithdrawn: self._left,
            SuspenseSettled: self._settled,
            TransferPosted: self._posted,
            EnergyMinted: self._minted,
            EnergyShortfallBooked: self._taken_back,
        }

    def evolve(self, fact: Fact) -> None:
        """Fold a fact of the own stream."""
        fold = self._folds.get(type(fact))
        if fold is not None:
            fold(fact)

    def left(self, asset: str) -> int:
        """What can still come in.

        Args:
            asset: `U:<asset>` for stroops of book money, `W` for Wh of tokens.
        """
        return INTEGER_MAX - self._inside[asset]

    def check_money(self, asset: str, amount_stroops: int, field: str) -> None:
        """Refuse money for which there is no room.

        Raises:
            Refused: Code `too-much-money`.
        """
        self._check("too-much-money", f"U:{asset}", amount_stroops, field)

    def check_energy(self, energy_wh: int, field: str) -> None:
        """Refuse tokens for which there is no room.

        Raises:
            Refused: Code `too-much-energy`.
        """
        self._check("too-much-energy", ENERGY, energy_wh, field)

    def dump(self) -> Dumped:
        """Give the sums for a snapshot."""
        return {"inside": [list(each) for each in self._inside.items()]}

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self._inside.update(dict(dumped["inside"]))

    def _check(self, code: str, asset: str, amount: int, field: str) -> None:
        left = self.left(asset)
        if amount > left:
            text = f"a book holds at most {INTEGER_MAX} of {asset}, there is room for {left}"
            raise Refused(code, text, field=field)

    def _arrived(self, fact: FundsDeposited | FundsReceived | FundsSuspended) -> None:
        self._inside[f"U:{fact.asset}"] += fact.amount_stroops

    def _left(self, fact: FundsWithdrawn | SuspenseSettled) -> None:
        self._inside[f"U:{fact.asset}"] -= fact.amount_stroops

    def _settled(self, fact: SuspenseSettled) -> None:
        if fact.member is None and fact.agreement is None:
            self._left(fact)

    def _minted(self, fact: EnergyMinted) -> None:
        self._inside[ENERGY] += fact.energy_wh - fact.served_wh

    def _taken_back(self, fact: EnergyShortfallBooked) -> None:
        self._inside[ENERGY] -= fact.taken_wh

    def _posted(self, fact: TransferPosted) -> None:
        if fact.from_book is None and fact.to_book is None:
            return
        sign = 1 if fact.from_book is not None else -1
        for leg in fact.legs:
            if isinstance(leg, MoneyLeg):
                self._inside[f"U:{leg.asset}"] += sign * leg.amount_stroops
