"""What members ask about repayment: pay, prepay, take credit back, let invoices be paid. Pure.

Source: domain rules, section 6; docs/decisions/0005, "Paying".
"""

from collections.abc import Sequence
from typing import Final

from libs.events.books import PaymentKind, PaymentSettled
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened
from libs.events.repaying import CreditRefunded, StandingOrderSet
from libs.events.system_commands import Pay, Prepay, RefundCredit, SetStandingOrder
from libs.rules.authority import Order
from libs.rules.dumps import Dumped, Loaded
from libs.rules.posting import Posting
from libs.rules.postings import Books
from libs.rules.receivables import Receivables
from libs.runtime.failures import NotFound, Refused
from services.ledger.agreements import Agreements
from services.ledger.checks import check_money
from services.ledger.crediting import Crediting
from services.ledger.moment import Moment
from services.ledger.returns import Returns
from services.ledger.settling import Settlement, Settling

_AMOUNT: Final = "body.amount_stroops"
_NOTHING: Final = Settlement((), (), (), (), is_last=False)


class Repayment:
    """Joins invoices, settlements and what follows by itself, and decides what members ask."""

    facts: Final = Crediting.facts
    """What `evolve` takes note of."""

    def __init__(
        self, *, books: Books, moment: Moment, agreements: Agreements, returns: Returns
    ) -> None:
        """Begin with no invoice.

        Args:
            books: The balances.
            moment: The time of what follows by itself.
            agreements: The agreements.
            returns: What accrues.
        """
        self._books, self._agreements = books, agreements
        self.receivables = Receivables()
        """Every invoice, and what is open of it."""
        self._settling = Settling(
            agreements=agreements, returns=returns, receivables=self.receivables
        )
        self._crediting = Crediting(
            books=books,
            moment=moment,
            agreements=agreements,
            receivables=self.receivables,
            settling=self._settling,
        )

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of billing or of the own stream."""
        self._crediting.evolve(recorded, own=own)

    def notice(self, entries: Sequence[Posting], recorded: Recorded[Fact]) -> None:
        """Look at the postings of an own fact: money may have come for which somebody waits."""
        self._crediting.notice(entries, recorded)

    def due(self) -> Sequence[Draft]:
        """What follows next by itself."""
        return self._crediting.due()

    def dump(self) -> Dumped:
        """Give the whole state for a snapshot."""
        return self._crediting.dump()

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self._crediting.load(dumped)

    def pay(self, order: Order) -> Sequence[Draft]:
        """Settle a payment from the payer's wallet.

        Where a credit note or prepaid energy was read and comes first, all of it is credit, which
        is applied right after.

        Returns:
            `PaymentSettled`, before it what accrues, and behind it what it makes owned.

        Raises:
            NotFound: Nobody knows the agreement or the invoice.
            Refused: By the rule that the code names.
        """
        body = order.body(Pay)
        opened = self._payable(order, body.agreement)
        if body.asset is not None and body.asset != opened.asset:
            raise Refused("wrong-asset", f"it is paid in {opened.asset}", field="body.asset")
        self._check_invoice(opened, body.invoice)
        payer = order.signer.member
        check_money(self._books, payer, opened.asset, body.amount_stroops, _AMOUNT)
        money = self._credit(opened) + body.amount_stroops
        if self._crediting.is_behind(opened):
            done = _NOTHING
        else:
            done = self._settling.clear(opened, money, order.time)
        return self._settled(order, opened, "invoices", body.amount_stroops, done)

    def prepay(self, order: Order) -> Sequence[Draft]:
        """Repay return and principal before an invoice demands it, first from credit.

        Raises:
            NotFound: Nobody knows the agreement.
            Refused: By the rule that the code names; `more-than-owed` names the payoff amount.
        """
        body = order.body(Prepay)
        opened = self._payable(order, body.agreement)
        owed = self._settling.owed(opened, order.time)
        if body.amount_stroops > owed:
            text = f"a payoff takes {owed} stroops today: principal and return"
            raise Refused("more-than-owed", text, field=_AMOUNT)
        from_credit = min(self._free_credit(opened), body.amount_stroops)
        from_wallet = body.amount_stroops - from_credit
        check_money(self._books, order.signer.member, opened.asset, from_wallet, _AMOUNT)
        done = self._settling.prepay(opened, body.amount_stroops, order.time)
        return self._settled(order, opened, "prepayment", from_wallet, done)

    def _settled(
        self,
        order: Order,
        opened: AgreementOpened,
        kind: PaymentKind,
        amount: int,
        done: Settlement,
    ) -> Sequence[Draft]:
        fact = PaymentSettled(
            payment=order.id,
            agreement=opened.agreement,
            payer=order.signer.member,
            asset=opened.asset,
            kind=kind,
            amount_stroops=amount,
            cleared=done.cleared,
            returns=done.returns,
            principal=done.principal,
            credit_stroops=self._credit(opened) + amount - done.spent_stroops,
            command=order.text,
        )
        settled = Draft(opened.agreement, fact, f"{order.id}.settled", order.time)
        following = self._settling.follow(opened, done, order.id, order.time)
        return [*done.accrued, settled, *following]

    def refund_credit(self, order: Order) -> Sequence[Draft]:
        """Give the holder credit back that nothing open needs.

        Raises:
            NotFound: Nobody knows the agreement.
            Refused: By the rule that the code names.
        """
        body = order.body(RefundCredit)
        opened = self._own(order, body.agreement)
        free = self._free_credit(opened)
        if body.amount_stroops > free:
            text = f"{free} stroops of credit are not needed for open invoices"
            raise Refused("insufficient-credit", text, field=_AMOUNT)
        fact = CreditRefunded(
            agreement=opened.agreement,
            member=order.signer.member,
            asset=opened.asset,
            amount_stroops=body.amount_stroops,
            command=order.text,
        )
        return [Draft(opened.agreement, fact, f"{order.id}.refunded", order.time)]

    def set_standing_order(self, order: Order) -> Sequence[Draft]:
        """Let every invoice be paid from the holder's wallet, or end that.

        Raises:
            NotFound: Nobody knows the agreement.
            Refused: By the rule that the code names.
        """
        body = order.body(SetStandingOrder)
        opened = self._payable(order, body.agreement)
        fact = StandingOrderSet(
            agreement=opened.agreement,
            member=order.signer.member,
            limit_stroops=body.limit_stroops,
            command=order.text,
        )
        return [Draft(opened.agreement, fact, f"{order.id}.standing", order.time)]

    def _own(self, order: Order, name: str) -> AgreementOpened:
        """The agreement that a command names, whose holder signed it."""
        field = "body.agreement"
        opened = self._agreements.get(name)
        if opened is None:
            raise NotFound("unknown-agreement", f"no agreement {name}", field=field)
        holder = self._agreements.holder(opened)
        if order.signer.member != holder:
            raise Refused("not-your-agreement", f"{holder} pays it", field=field)
        return opened

    def _payable(self, order: Order, name: str) -> AgreementOpened:
        opened = self._own(order, name)
        if self._agreements.is_ended(opened):
            text = "its holding was reclaimed: nothing is paid any more"
            raise Refused("agreement-ended", text, field="body.agreement")
        return opened

    def _check_invoice(self, opened: AgreementOpened, name: str | None) -> None:
        if name is None:
            return
        invoice = self.receivables.get(name)
        if invoice is None or invoice.agreement != opened.agreement:
            text = f"{opened.agreement} has no invoice {name}"
            raise NotFound("unknown-invoice", text, field="body.invoice")
        if not self.receivables.open_stroops(invoice):
            raise Refused("invoice-closed", f"nothing of {name} is open", field="body.invoice")

    def _credit(self, opened: AgreementOpened) -> int:
        return self._books.balance(f"U:{opened.asset}", f"credit:{opened.agreement}")

    def _free_credit(self, opened: AgreementOpened) -> int:
        """Credit that no open invoice needs; one that was just read will be cleared with it."""
        if self._agreements.is_ended(opened):
            return self._credit(opened)
        invoices = self.receivables.oldest_first(opened.agreement)
        needed = sum(self.receivables.open_stroops(each) for each in invoices)
        return max(0, self._credit(opened) - needed)
