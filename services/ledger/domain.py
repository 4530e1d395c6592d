"""The rules of a book: one `decide` before money, systems and repayment. Pure.

The own facts fold into the balances; billing's facts fold into a part of their own, so that the
order in which the two streams arrive cannot matter. Laws are checked at every fact: no account
crosses its normal side, and for each asset debits equal credits by construction.
"""

from collections.abc import Callable, Sequence

from libs.events.books import FundsDeposited
from libs.events.commands import (
    AcceptRaise,
    ApproveSystem,
    Body,
    DepositFunds,
    Invest,
    OpenHolding,
    Pay,
    ProposeSystem,
)
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.quantities import INTEGER_MAX
from libs.events.subjects import BILLING
from libs.rules.authority import Authority, Order
from libs.rules.postings import Books, postings
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import BrokenLaw, Refused
from services.ledger.repayment import Repayment
from services.ledger.systems import Systems


class Book:
    """State and rules of LEDGER_<book>."""

    def __init__(self, *, authority: Authority, timekeeper: Timekeeper, stream: str) -> None:
        """Begin with empty books."""
        self.authority, self.timekeeper = authority, timekeeper
        self._stream = stream
        self.books = Books()
        self.systems = Systems(authority, self.books)
        self.repayment = Repayment(authority, self.books, self.systems)
        self._decisions: dict[type[Body], Callable[[Order], Sequence[Draft]]] = {
            DepositFunds: lambda order: (self._deposit(order),),
            ProposeSystem: lambda order: (self.systems.propose(order),),
            ApproveSystem: lambda order: (self.systems.approve(order),),
            Invest: lambda order: (self.systems.invest(order),),
            AcceptRaise: lambda order: (self.systems.accept(order),),
            OpenHolding: lambda order: (self.systems.open_holding(order),),
            Pay: self.repayment.pay,
        }

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of the own stream, MEMBERS, PRICES, READINGS or BILLING.

        Raises:
            BrokenLaw: A posting would break a law of the books.
        """
        self.authority.evolve(recorded, own=recorded.stream == self._stream)
        self.timekeeper.evolve(recorded)
        if recorded.stream == self._stream:
            self._post(recorded.fact)
            self.systems.evolve(recorded.fact)
            self.repayment.evolve(recorded.fact)
        elif recorded.stream.startswith(BILLING.name):
            self.repayment.evolve_billing(recorded.fact)

    def _post(self, fact: Fact) -> None:
        """Post money and title. Claims are billing's part less what payments cleared of it."""
        entries = [entry for entry in postings(fact) if not entry.asset.startswith("C:")]
        try:
            self.books.post(entries)
        except ValueError as error:
            raise BrokenLaw("books", str(error)) from error

    def due(self) -> Sequence[Draft]:
        """Say which time was reached; nothing else follows by itself yet."""
        return self.timekeeper.due()

    def decide(self, order: Order) -> Sequence[Draft]:
        """Decide a command.

        Raises:
            Refused, NotFound: By the rule that the code names.
        """
        decide = self._decisions.get(type(order.command.body))
        if decide is None:
            raise Refused("wrong-service", f"{order.command.command} is not for a book")
        return decide(order)

    def _deposit(self, order: Order) -> Draft:
        order.require("approver")
        body = order.body(DepositFunds)
        if self.authority.member(body.member) is None:
            raise Refused("unknown-member", f"{body.member} is not registered", field="body.member")
        if ":" in body.asset:
            raise Refused(
                "not-book-money", "a Stellar asset arrives on Stellar only", field="body.asset"
            )
        issued = self.books.balance(f"U:{body.asset}", f"issuer:{body.asset}")
        if issued + body.amount_stroops > INTEGER_MAX:
            raise Refused(
                "too-much-money",
                f"a book holds at most {INTEGER_MAX} stroops of an asset, {issued} are in it",
                field="body.amount_stroops",
            )
        fact = FundsDeposited(
            member=body.member,
            asset=body.asset,
            amount_stroops=body.amount_stroops,
            command=order.text,
        )
        return Draft(body.member, fact, f"{order.id}.deposit", order.time)
