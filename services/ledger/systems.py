"""What a book knows of systems and holdings: stage, money raised, who holds, who owns. Pure.

The state alone, and what follows from it for a system that is paid off. The rules by which others
change it are in `staging.py`, `raising.py`, `payouts.py` and `handover.py`.

Source: domain rules, sections 1 and 7; docs/decisions/0005.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

from libs.events.books import INVESTORS_MAX, HoldingOpened, SystemApproved
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.positions import write_cause
from libs.events.supply import FirstLossCovered
from libs.events.systems import (
    CoverDeposited,
    CoverReleased,
    HoldingOwned,
    HoldingReclaimed,
    HoldingTransferred,
    InvestmentMade,
    InvestmentRefunded,
    RaiseAccepted,
    RaiseCancelled,
    SharesTransferred,
    StageAdvanced,
    SystemPaidOff,
    SystemProposed,
)
from libs.rules.dumps import Dumped, Loaded
from libs.rules.periods import local_day
from libs.rules.postings import Books
from libs.rules.stages import CONSTRUCTION, OPERATION
from libs.runtime.failures import NotFound, Refused
from services.ledger.system_state import Holding, Investment, System, row_of, system_of


class Systems:
    """Systems and holdings of one book."""

    def __init__(self, books: Books) -> None:
        """Begin with none.

        Args:
            books: The balances, after the fact that is folded.
        """
        self._books = books
        self.systems: dict[str, System] = {}
        """Every system by name."""
        self.holdings: dict[str, Holding] = {}
        """Every holding by name, also those that were reclaimed: a name is used once."""
        self.complete: dict[str, None] = {}
        """Systems of which the last holding is owned, and that are not paid off yet."""
        self.refunding: dict[str, None] = {}
        """Systems whose raise failed and that still have money in escrow."""
        self.releasing: dict[str, None] = {}
        """Systems that need no cover any more and still have some."""
        self._folds: dict[type[Fact], Callable[[System, Any], None]] = {
            SystemApproved: _approved,
            StageAdvanced: _stage_advanced,
            InvestmentMade: _invested,
            InvestmentRefunded: _refunded,
            RaiseAccepted: _raise_accepted,
            RaiseCancelled: _raise_cancelled,
            CoverDeposited: _cover_deposited,
            CoverReleased: _cover_released,
            HoldingOpened: self._holding_opened,
            HoldingOwned: _holding_owned,
            HoldingReclaimed: _holding_reclaimed,
            SystemPaidOff: self._paid_off,
            SharesTransferred: _shares_transferred,
            FirstLossCovered: _first_loss_covered,
        }

    @property
    def facts(self) -> Collection[type[Fact]]:
        """What `evolve` takes note of."""
        return {SystemProposed, HoldingTransferred, *self._folds}

    def __getitem__(self, system: str) -> System:
        """A system that was proposed."""
        return self.systems[system]

    def find(self, system: str, field_name: str = "body.system") -> System:
        """A system that a command names.

        Raises:
            NotFound: Code `unknown-system`.
        """
        found = self.systems.get(system)
        if found is None:
            raise NotFound("unknown-system", f"there is no system {system}", field=field_name)
        return found

    def holdings_of(self, system: str) -> Sequence[Holding]:
        """The holdings of a system, without those that were reclaimed."""
        return tuple(self.systems[system].holdings.values())

    def check_owner(self, system: System, member: str, field_name: str = "member") -> None:
        """Refuse one more member who may have title: every payment lists all of them.

        Raises:
            Refused: Code `too-many-investors`.
        """
        known = {*system.investors, *system.guarantors}
        if member not in known and len(known) >= INVESTORS_MAX:
            text = f"at most {INVESTORS_MAX} investors and guarantors together"
            raise Refused("too-many-investors", text, field=field_name)

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of the own stream, after its postings."""
        fact: Any = recorded.fact
        fold = self._folds.get(type(fact)) if own else None
        if fold is not None:
            system = self.systems[fact.system]
            fold(system, fact)
            self._follow(system, recorded)
        elif own and type(fact) is SystemProposed:
            self.systems[fact.system] = System(fact)
        elif own and type(fact) is HoldingTransferred:
            self.holdings[fact.holding].recipient = fact.to_member

    def _follow(self, system: System, recorded: Recorded[Fact]) -> None:
        """Note since when something follows from the fact that was folded."""
        time = recorded.envelope.time
        if type(recorded.fact) in _TRIGGERS:
            system.trigger_at = time
            system.trigger_cause = write_cause(recorded.position, recorded.envelope.id)
        if type(recorded.fact) is StageAdvanced and system.stage == OPERATION:
            system.stage7_day = local_day(time, system.proposed.time_zone)
        if not system.is_full:
            system.full_at = None
        elif system.full_at is None:
            system.full_at = time
        self._index(system)

    def _index(self, system: System) -> None:
        """Keep the systems of which something is due by name, so that asking costs nothing."""
        ended = system.cancelled or system.paid_off
        for index, is_due in (
            (self.complete, system.is_complete),
            (self.refunding, system.cancelled and bool(system.investments)),
            (self.releasing, ended and bool(system.guarantors)),
        ):
            if is_due:
                index[system.proposed.system] = None
            else:
                index.pop(system.proposed.system, None)

    def due(self) -> Sequence[Draft]:
        """The next system whose last holding is owned: it is paid off and leaves operation."""
        for name in self.complete:
            system = self.systems[name]
            assert system.trigger_at is not None, "a holding was owned, or operation began"
            at, cause = system.trigger_at, system.trigger_cause
            paid = SystemPaidOff(system=name, holding_count=len(system.holdings))
            on = StageAdvanced(
                system=name,
                from_stage=OPERATION,
                to_stage=OPERATION + 1,
                checklist=(),
                documents=(),
            )
            return (
                Draft(name, paid, f"system:{name}.paid-off", at, cause),
                Draft(name, on, f"system:{name}.handoff", at, cause),
            )
        return ()

    def _paid_off(self, system: System, _: SystemPaidOff) -> None:
        """Forget guarantors of whose cover nothing is left: there is nothing to release."""
        system.paid_off = True
        asset, name = f"U:{system.proposed.asset}", system.proposed.system
        system.guarantors = [
            each for each in system.guarantors if self._books.balance(asset, f"cover:{name}:{each}")
        ]

    def _holding_opened(self, system: System, fact: HoldingOpened) -> None:
        holding = Holding(fact.holding, fact.system, fact.recipient, fact.units)
        self.holdings[fact.holding] = system.holdings[fact.holding] = holding

    def dump(self) -> Dumped:
        """Give systems and holdings, which change in place and so at once, for a snapshot."""
        return {
            "systems": [row_of(each) for each in self.systems.values()],
            "holdings": [
                [each.holding, each.system, each.recipient, each.units, each.status]
                for each in self.holdings.values()
            ],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for row in dumped["systems"]:
            system = system_of(row)
            self.systems[system.proposed.system] = system
        for values in dumped["holdings"]:
            holding = Holding(*values)
            self.holdings[holding.holding] = holding
            if holding.status != "RECLAIMED":
                self.systems[holding.system].holdings[holding.holding] = holding
        for system in self.systems.values():
            self._index(system)


_TRIGGERS: Final = frozenset({StageAdvanced, RaiseCancelled, HoldingOwned, SystemPaidOff})
"""Facts from which something can follow by itself."""


def _approved(system: System, _: SystemApproved) -> None:
    system.approved = True


def _stage_advanced(system: System, fact: StageAdvanced) -> None:
    system.stage = fact.to_stage


def _invested(system: System, fact: InvestmentMade) -> None:
    system.investments[fact.investment] = Investment(
        investment=fact.investment,
        investor=fact.investor,
        amount_stroops=fact.amount_stroops,
        units=fact.units,
        is_seed=fact.round == "seed",
        is_at_risk=fact.is_at_risk,
    )
    _owner(system, fact.investor)


def _refunded(system: System, fact: InvestmentRefunded) -> None:
    system.investments.pop(fact.investment, None)


def _raise_accepted(system: System, fact: RaiseAccepted) -> None:
    """Fold an accepted raise; where there were no stages yet, construction begins with it."""
    system.recipient, system.issued_units = fact.recipient, fact.units
    system.stage = max(system.stage, CONSTRUCTION)
    system.investments.clear()


def _raise_cancelled(system: System, _: RaiseCancelled) -> None:
    system.cancelled = True


def _cover_deposited(system: System, fact: CoverDeposited) -> None:
    if fact.guarantor not in system.guarantors:
        system.guarantors.append(fact.guarantor)


def _cover_released(system: System, fact: CoverReleased) -> None:
    if fact.guarantor in system.guarantors:
        system.guarantors.remove(fact.guarantor)


def _holding_owned(system: System, fact: HoldingOwned) -> None:
    system.holdings[fact.holding].status = "OWNED"


def _holding_reclaimed(system: System, fact: HoldingReclaimed) -> None:
    system.holdings.pop(fact.holding).status = "RECLAIMED"
    for move in fact.moves:
        _owner(system, move.member)


def _shares_transferred(system: System, fact: SharesTransferred) -> None:
    _owner(system, fact.to_member)


def _first_loss_covered(system: System, fact: FirstLossCovered) -> None:
    _owner(system, fact.guarantor)


def _owner(system: System, member: str) -> None:
    if member not in system.investors:
        system.investors.append(member)
