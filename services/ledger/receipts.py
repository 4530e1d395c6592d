"""Book money that comes in and goes out on an approver's word. Pure.

Money that has arrived is never refused for what was written beside it: it becomes the credit of an
agreement, or waits in suspense until somebody says where it belongs.

Source: domain rules, sections 6 and 11.
"""

from collections.abc import Sequence
from typing import Final

from libs.events.books import FundsDeposited
from libs.events.commands import DepositFunds, ReceiveFunds, SettleSuspense, WithdrawFunds
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened
from libs.events.repaying import FundsReceived, FundsSuspended, FundsWithdrawn, SuspenseSettled
from libs.rules.authority import Authority, Order
from libs.rules.dumps import Dumped, Loaded
from libs.rules.postings import Books
from libs.runtime.failures import NotFound, Refused
from services.ledger.agreements import Agreements
from services.ledger.checks import check_book_money, check_id_unused, check_money
from services.ledger.room import Room

_AMOUNT: Final = "body.amount_stroops"


class Receipts:
    """What arrived and waits in suspense."""

    facts: Final = frozenset[type[Fact]]((FundsSuspended, SuspenseSettled))
    """What `evolve` takes note of."""

    def __init__(
        self, *, authority: Authority, books: Books, room: Room, agreements: Agreements
    ) -> None:
        """Begin with nothing in suspense.

        Args:
            authority: Who is registered.
            books: The balances.
            room: What the book can still take in.
            agreements: For what money may come.
        """
        self._authority, self._books, self._room = authority, books, room
        self._agreements = agreements
        self._suspended: dict[str, str] = {}

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold what came into suspense and left it, of the own stream."""
        fact = recorded.fact
        if own and isinstance(fact, FundsSuspended):
            self._suspended[fact.receipt] = fact.asset
        elif own and isinstance(fact, SuspenseSettled):
            del self._suspended[fact.receipt]

    def due(self) -> Sequence[Draft]:
        """Nothing: suspended money waits for somebody's word."""
        return ()

    def deposit(self, order: Order) -> Sequence[Draft]:
        """A member brought book money: it reaches his wallet."""
        order.require("approver")
        body = order.body(DepositFunds)
        self._check_member(body.member)
        self._check_arrival(body.asset, body.amount_stroops)
        fact = FundsDeposited(
            member=body.member,
            asset=body.asset,
            amount_stroops=body.amount_stroops,
            command=order.text,
        )
        return [Draft(body.member, fact, f"{order.id}.deposit", order.time)]

    def receive(self, order: Order) -> Sequence[Draft]:
        """Money arrived with a reference, whatever that says."""
        order.require("approver")
        body = order.body(ReceiveFunds)
        check_id_unused(order.id, self._suspended)
        self._check_arrival(body.asset, body.amount_stroops)
        opened = self._agreements.get(body.reference)
        reason = self._why_not(opened, body.asset)
        if opened is not None and reason is None:
            received = FundsReceived(
                receipt=order.id,
                agreement=opened.agreement,
                asset=body.asset,
                amount_stroops=body.amount_stroops,
                command=order.text,
            )
            return [Draft(opened.agreement, received, f"{order.id}.received", order.time)]
        suspended = FundsSuspended(
            receipt=order.id,
            asset=body.asset,
            amount_stroops=body.amount_stroops,
            reference=body.reference,
            reason=reason or "unknown-reference",
            command=order.text,
        )
        return [Draft(order.signer.member, suspended, f"{order.id}.suspended", order.time)]

    def _why_not(self, opened: AgreementOpened | None, asset: str) -> str | None:
        """Why money cannot be an agreement's credit; `None` when it can."""
        if opened is None:
            return "unknown-reference"
        if self._agreements.is_ended(opened):
            return "agreement-ended"
        return None if asset == opened.asset else "other-asset"

    def settle_suspense(self, order: Order) -> Sequence[Draft]:
        """Suspended money goes to a member, to an agreement, or back to its sender."""
        order.require("approver")
        body = order.body(SettleSuspense)
        asset = self._suspended.get(body.receipt)
        if asset is None:
            text = f"nothing waits under {body.receipt}"
            raise NotFound("unknown-receipt", text, field="body.receipt")
        if body.member is not None and body.agreement is not None:
            raise Refused("two-receivers", "a member or an agreement", field="body.agreement")
        if body.member is not None:
            self._check_member(body.member)
        if body.agreement is not None:
            self._check_agreement(body.agreement, asset)
        fact = SuspenseSettled(
            receipt=body.receipt,
            asset=asset,
            amount_stroops=self._books.balance(f"U:{asset}", f"suspense:{body.receipt}"),
            member=body.member,
            agreement=body.agreement,
            command=order.text,
        )
        return [Draft(order.signer.member, fact, f"{order.id}.suspense", order.time)]

    def withdraw(self, order: Order) -> Sequence[Draft]:
        """Book money was paid out to a member: it leaves his wallet."""
        order.require("approver")
        body = order.body(WithdrawFunds)
        self._check_member(body.member)
        check_book_money(body.asset, "body.asset")
        check_money(self._books, body.member, body.asset, body.amount_stroops, _AMOUNT)
        fact = FundsWithdrawn(
            member=body.member,
            asset=body.asset,
            amount_stroops=body.amount_stroops,
            command=order.text,
        )
        return [Draft(body.member, fact, f"{order.id}.withdrawn", order.time)]

    def _check_member(self, member: str) -> None:
        if self._authority.member(member) is None:
            raise Refused("unknown-member", f"{member} is not registered", field="body.member")

    def _check_agreement(self, name: str, asset: str) -> None:
        opened, field = self._agreements.get(name), "body.agreement"
        reason = self._why_not(opened, asset)
        if opened is None:
            raise NotFound("unknown-agreement", f"no agreement {name}", field=field)
        if reason is not None:
            code = "wrong-asset" if reason == "other-asset" else reason
            raise Refused(code, f"{asset} cannot become credit of {name}", field=field)

    def _check_arrival(self, asset: str, amount: int) -> None:
        if ":" in asset:
            text = "a Stellar asset arrives on Stellar only"
            raise Refused("not-book-money", text, field="body.asset")
        self._room.check_money(asset, amount, _AMOUNT)

    def dump(self) -> Dumped:
        """Give what is in suspense, for a snapshot."""
        return {"suspended": [list(pair) for pair in self._suspended.items()]}

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self._suspended.update(dict(dumped["suspended"]))
