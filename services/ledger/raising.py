"""The rules of raising money: invest, seed, accept, cancel, and everyone's refund. Pure.

Money waits in escrow until the recipient accepts the full raise. He has three days from the
second at which it was full; then, or when an approver cancels, all of it goes back.

Source: domain rules, section 7; docs/decisions/0005.
"""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from libs.events.books import UnitMove
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.quantities import INTEGER_MAX, format_instant
from libs.events.system_commands import AcceptRaise, CancelRaise, Invest
from libs.events.systems import (
    InvestmentMade,
    InvestmentRefunded,
    RaiseAccepted,
    RaiseCancelled,
    Round,
    StageAdvanced,
)
from libs.rules.authority import Order
from libs.rules.dumps import Dumped, Loaded
from libs.rules.numbers import scale
from libs.rules.postings import Books
from libs.rules.stages import CONSTRUCTION, RAISE, SEED_STAGES
from libs.runtime.failures import Refused
from services.ledger.checks import check_id_unused, check_money
from services.ledger.deadlines import Deadlines
from services.ledger.moment import Moment
from services.ledger.staging import check_not_cancelled
from services.ledger.system_state import System
from services.ledger.systems import Systems

ACCEPTANCE: Final = timedelta(days=3)
"""How long the recipient has to accept a raise that is full."""

INVESTMENTS_MAX: Final = 20
"""Most investments of one investor in one system."""

REFUNDS_MAX: Final = 50
"""Most investments that are refunded in one decision."""

_PPM: Final = 1_000_000
_OF_RAISES: Final = (InvestmentMade, StageAdvanced, RaiseAccepted, RaiseCancelled)


class _Terms(NamedTuple):
    """In which round an investment is made, and what it gives."""

    round: Round
    units: int


class Raising:
    """Raises of one book: which of them end at which instant. The money is in `Systems`."""

    def __init__(self, *, books: Books, moment: Moment, systems: Systems) -> None:
        """Begin with no raise.

        Args:
            books: The balances.
            moment: The fact by which a raise ends that nobody accepts.
            systems: The systems of the book.
        """
        self._books, self._moment, self._systems = books, moment, systems
        self._deadlines = Deadlines()
        self._at: dict[str, datetime] = {}

    @property
    def facts(self) -> Collection[type[Fact]]:
        """What `evolve` takes note of."""
        return _OF_RAISES

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Note, after `Systems` has folded it, by when a raise must be accepted."""
        fact = recorded.fact
        if own and isinstance(
            fact, InvestmentMade | StageAdvanced | RaiseAccepted | RaiseCancelled
        ):
            self._schedule(fact.system)

    def _schedule(self, system: str) -> None:
        full_at, at = self._systems[system].full_at, self._at.pop(system, None)
        if at is not None:
            self._deadlines.remove(at, system)
        if full_at is not None:
            self._at[system] = full_at + ACCEPTANCE
            self._deadlines.add(full_at + ACCEPTANCE, system)

    def dump(self) -> Dumped:
        """Give nothing: it follows from the systems."""
        return {}

    def load(self, dumped: Loaded) -> None:  # noqa: ARG002 - there is nothing in it
        """Find the deadlines of the systems, which are loaded before."""
        for system in self._systems.systems:
            self._schedule(system)

    def due(self) -> Sequence[Draft]:
        """The next raise whose three days are over; else refunds of one that failed."""
        for system in self._deadlines.due(self._moment.now, 1):
            assert self._moment.now is not None, "nothing ends without a time"
            fact = RaiseCancelled(system=system, reason="not-accepted")
            fact_id = f"system:{system}.not-accepted"
            return (Draft(system, fact, fact_id, self._moment.now, self._moment.cause),)
        for system in self._systems.refunding:
            return self._refund(self._systems[system])
        return ()

    def _refund(self, system: System) -> Sequence[Draft]:
        """The oldest investments that are still in escrow, some at once."""
        assert system.trigger_at is not None, "its raise was cancelled at some time"
        proposed, drafts = system.proposed, []
        for each in list(system.investments.values())[:REFUNDS_MAX]:
            fact = InvestmentRefunded(
                investment=each.investment,
                system=proposed.system,
                investor=each.investor,
                asset=proposed.asset,
                amount_stroops=each.amount_stroops,
                units=each.units,
                to_member=proposed.proposer if each.is_at_risk else each.investor,
            )
            fact_id = f"{each.investment}.refunded"
            drafts.append(
                Draft(proposed.system, fact, fact_id, system.trigger_at, system.trigger_cause)
            )
        return drafts

    def invest(self, order: Order) -> Sequence[Draft]:
        """An investor reserves units; his money goes into escrow."""
        order.require("investor")
        body = order.body(Invest)
        system = self._systems.find(body.system)
        proposed, investor = system.proposed, order.signer.member
        check_id_unused(order.id, system.investments)
        if body.terms != proposed.terms:
            raise Refused("other-terms", "these are not the offered terms", field="body.terms")
        round_, units = _round_of(system, body)
        left = proposed.price_stroops - system.escrow_stroops
        if body.amount_stroops > left:
            raise Refused(
                "more-than-left", f"only {left} are still to raise", field="body.amount_stroops"
            )
        check_money(
            self._books, investor, proposed.asset, body.amount_stroops, "body.amount_stroops"
        )
        self._systems.check_owner(system, investor)
        mine = sum(each.investor == investor for each in system.investments.values())
        if mine >= INVESTMENTS_MAX:
            text = f"at most {INVESTMENTS_MAX} of one investor in a system"
            raise Refused("too-many-investments", text, field="member")
        fact = InvestmentMade(
            investment=order.id,
            system=body.system,
            investor=investor,
            asset=proposed.asset,
            amount_stroops=body.amount_stroops,
            round=round_,
            units=units,
            is_at_risk=bool(body.is_at_risk),
            terms=body.terms,
            command=order.text,
        )
        return (Draft(body.system, fact, f"{order.id}.investment", order.time),)

    def accept(self, order: Order) -> Sequence[Draft]:
        """The recipient accepts a full raise: cash raised = price, and construction begins."""
        order.require("recipient")
        system = self._systems.find(order.body(AcceptRaise).system)
        self._check_acceptable(system, order)
        proposed = system.proposed
        money, title, name = f"U:{proposed.asset}", f"T:{proposed.system}", proposed.system
        investors = sorted({each.investor for each in system.investments.values()})
        moves = tuple(
            UnitMove(
                member=investor,
                shares=self._books.balance(title, f"reserved:{name}:{investor}"),
                amount_stroops=self._books.balance(money, f"escrow:{name}:{investor}"),
            )
            for investor in investors
        )
        fact = RaiseAccepted(
            system=name,
            recipient=order.signer.member,
            asset=proposed.asset,
            moves=moves,
            units=sum(move.shares for move in moves),
            command=order.text,
        )
        on = StageAdvanced(
            system=name, from_stage=RAISE, to_stage=CONSTRUCTION, checklist=(), documents=()
        )
        return (
            Draft(name, fact, f"{order.id}.accepted", order.time),
            Draft(name, on, f"{order.id}.stage", order.time),
        )

    def _check_acceptable(self, system: System, order: Order) -> None:
        check_not_cancelled(system)
        proposed, field = system.proposed, "body.system"
        if proposed.recipient not in {None, order.signer.member}:
            text = f"{proposed.recipient} accepts it"
            raise Refused("not-the-recipient", text, field="member")
        if system.stage != RAISE or system.accepted:
            raise Refused("raise-not-open", f"it is in stage {system.stage}", field=field)
        if system.full_at is None:
            left = proposed.price_stroops - system.escrow_stroops
            raise Refused("raise-not-full", f"{left} are still to raise", field=field)
        if order.time >= system.full_at + ACCEPTANCE:
            until = format_instant(system.full_at + ACCEPTANCE)
            raise Refused("raise-cancelled", f"it could be accepted until {until}", field=field)
        cover = sum(
            self._books.balance(f"U:{proposed.asset}", f"cover:{proposed.system}:{each}")
            for each in system.guarantors
        )
        if cover < proposed.cover_stroops:
            text = f"guarantors deposited {cover} of {proposed.cover_stroops} stroops of cover"
            raise Refused("cover-missing", text, field=field)

    def cancel(self, order: Order) -> Sequence[Draft]:
        """An approver ends a raise before it is accepted; everybody is refunded."""
        order.require("approver")
        body = order.body(CancelRaise)
        system = self._systems.find(body.system)
        check_not_cancelled(system)
        if system.accepted:
            raise Refused("raise-not-open", "its raise is accepted", field="body.system")
        fact = RaiseCancelled(system=body.system, reason="cancelled", command=order.text)
        return (Draft(body.system, fact, f"{order.id}.cancelled", order.time),)


def _round_of(system: System, body: Invest) -> _Terms:
    """The round that is open, and the units that it gives for the money.

    Raises:
        Refused: No round is open, the seed round takes no more, or there is no such risk in it.
    """
    check_not_cancelled(system)
    seed, amount = system.proposed.seed, body.amount_stroops
    if system.approved and system.stage == RAISE:
        if body.is_at_risk:
            raise Refused("seed-closed", "only seed money is at risk", field="body.is_at_risk")
        return _Terms("raise", amount)
    if seed is not None and system.stage == RAISE - 1:
        raise Refused("seed-closed", "the seed round was open before", field="body.system")
    if not system.approved or seed is None or system.stage not in SEED_STAGES:
        text = f"{body.system} raises no money in stage {system.stage}"
        raise Refused("raise-not-open", text, field="body.system")
    left = seed.cap_stroops - system.seed_stroops
    if amount > left:
        text = f"the seed round takes {left} more"
        raise Refused("seed-cap", text, field="body.amount_stroops")
    units = scale(amount, seed.factor_ppm, _PPM)
    if system.units + units - amount > INTEGER_MAX:
        text = f"a system has at most {INTEGER_MAX} units"
        raise Refused("out-of-range", text, field="body.amount_stroops")
    return _Terms("seed", units)
