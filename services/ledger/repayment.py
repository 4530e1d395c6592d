"""The rules of paying: what a payment clears, whom it reaches, whose title moves. Pure.

First depth: energy lines, no return; the waterfall is principal alone. Money above what is open
stays as the agreement's credit.

Source: domain rules, section 6.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from libs.events.books import Cleared, MoneyMove, OwnershipTransferred, PaymentSettled, TitleMove
from libs.events.commands import Pay
from libs.events.envelope import Draft
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, InvoiceIssued
from libs.rules.authority import Authority, Order
from libs.rules.dumps import Dumped, Loaded
from libs.rules.numbers import split
from libs.rules.postings import Books
from libs.runtime.failures import BrokenLaw, NotFound, Refused
from services.ledger.systems import Systems


class Repayment:
    """Invoices as billing issued them, and what payments have cleared of them."""

    def __init__(self, authority: Authority, books: Books, systems: Systems) -> None:
        self._authority, self._books, self._systems = authority, books, systems
        self._agreements: dict[str, AgreementOpened] = {}
        self._invoices: dict[str, list[InvoiceIssued]] = defaultdict(list)
        self._cleared: dict[str, int] = defaultdict(int)

    def evolve_billing(self, fact: Fact) -> None:
        """Fold a fact of billing: the part of the state that payments look up."""
        if isinstance(fact, AgreementOpened):
            self._agreements[fact.agreement] = fact
        elif isinstance(fact, InvoiceIssued):
            self._invoices[fact.agreement].append(fact)

    def evolve(self, fact: Fact) -> None:
        """Fold a fact of the own stream."""
        if isinstance(fact, PaymentSettled):
            for part in fact.cleared:
                self._cleared[part.invoice] += part.amount_stroops

    def dump(self) -> Dumped:
        """Give agreements, invoices and what was cleared of them, for a snapshot."""
        agreements, cleared = tuple(self._agreements.values()), dict(self._cleared)
        invoices = [each for of_one in self._invoices.values() for each in of_one]
        return {
            "agreements": (each.model_dump_json() for each in agreements),
            "invoices": (each.model_dump_json() for each in invoices),
            "cleared": (list(each) for each in cleared.items()),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for text in dumped["agreements"]:
            self.evolve_billing(AgreementOpened.model_validate_json(text))
        for text in dumped["invoices"]:
            self.evolve_billing(InvoiceIssued.model_validate_json(text))
        self._cleared.update(dict(dumped["cleared"]))

    def open_stroops(self, invoice: InvoiceIssued) -> int:
        """What is still to be paid of an invoice, in stroops.

        Raises:
            BrokenLaw: More was cleared than was billed.
        """
        left = invoice.total_stroops - self._cleared.get(invoice.invoice, 0)
        if left < 0:
            raise BrokenLaw("overcleared", f"{invoice.invoice} was cleared by {-left} too much")
        return left

    def pay(self, order: Order) -> Sequence[Draft]:
        """Settle a payment from the payer's wallet.

        Returns:
            `PaymentSettled`, and `OwnershipTransferred` when principal was repaid.

        Raises:
            NotFound: Nobody knows the agreement.
            Refused: The agreement is another member's, or the wallet holds too little.
        """
        body = order.body(Pay)
        agreement = self._agreements.get(body.agreement)
        if agreement is None:
            raise NotFound(
                "unknown-agreement", f"no agreement {body.agreement}", field="body.agreement"
            )
        if order.signer.member != agreement.recipient:
            raise Refused(
                "not-your-agreement", f"{agreement.recipient} pays it", field="body.agreement"
            )
        free = self._books.balance(f"U:{agreement.asset}", f"wallet:{order.signer.member}")
        if body.amount_stroops > free:
            raise Refused(
                "insufficient-funds", f"the wallet holds {free}", field="body.amount_stroops"
            )
        return self._settle(order, agreement, body.amount_stroops)

    def _settle(self, order: Order, agreement: AgreementOpened, amount: int) -> Sequence[Draft]:
        credit = self._books.balance(f"U:{agreement.asset}", f"credit:{agreement.agreement}")
        holding = self._systems.holdings[agreement.holding]
        own = self._books.balance(f"T:{holding.system}", f"own:{agreement.agreement}")
        cleared = self._clear(agreement, min(credit + amount, holding.units - own))
        principal = sum(part.amount_stroops for part in cleared)
        repaid = self._by_title(holding.system, principal)
        settled = PaymentSettled(
            payment=order.id,
            agreement=agreement.agreement,
            payer=order.signer.member,
            asset=agreement.asset,
            amount_stroops=amount,
            cleared=cleared,
            returns=(),
            principal=tuple(
                MoneyMove(member=member, amount_stroops=part) for member, part in repaid.items()
            ),
            credit_stroops=credit + amount - principal,
            command=order.text,
        )
        key = agreement.agreement
        drafts = [Draft(key, settled, f"{order.id}.settled", order.time)]
        if principal:
            moved = OwnershipTransferred(
                payment=order.id,
                system=holding.system,
                holding=holding.holding,
                agreement=key,
                to_member=agreement.recipient,
                moves=tuple(TitleMove(member=who, shares=part) for who, part in repaid.items()),
                own_shares=own + principal,
                holding_units=holding.units,
            )
            drafts.append(Draft(key, moved, f"{order.id}.title", order.time))
        return drafts

    def _clear(self, agreement: AgreementOpened, money: int) -> tuple[Cleared, ...]:
        """Clear energy of the oldest due invoice first, until the money or the principal ends."""
        cleared = []
        for invoice in sorted(
            self._invoices.get(agreement.agreement, ()), key=lambda each: (each.due_at, each.number)
        ):
            if any(line.line_class != "energy" for line in invoice.lines):
                raise BrokenLaw("payee-unknown", f"{invoice.invoice} has lines without a payee")
            part = min(money, self.open_stroops(invoice))
            if part:
                cleared.append(
                    Cleared(invoice=invoice.invoice, line_class="energy", amount_stroops=part)
                )
                money -= part
        return tuple(cleared)

    def _by_title(self, system: str, principal: int) -> Mapping[str, int]:
        """Split principal by title, ties by address; only parts above zero, by member."""
        prefix = f"title:{system}:"
        titles = self._books.accounts(f"T:{system}", prefix)
        members = {}
        for account in titles:
            member = self._authority.member(account.removeprefix(prefix))
            if member is None:
                raise BrokenLaw("unknown-owner", f"{account} belongs to nobody registered")
            members[member.address] = (member.member, titles[account])
        parts = split(principal, {address: shares for address, (_, shares) in members.items()})
        by_member = {members[address][0]: part for address, part in parts.items() if part}
        return dict(sorted(by_member.items()))
