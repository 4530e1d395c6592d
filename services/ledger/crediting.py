"""What becomes of invoices, credit and credit notes by itself. Pure.

Credit notes are settled first, by their number. Then payees give back what they owe, the oldest
debt first. Then of one agreement after the other: prepaid energy clears energy, open energy is
capped at what is owed, credit clears invoices, the standing order pays. Each follows from the state
alone, so it follows also after a restart, and once.

Looked at are only agreements that something touched since: a fact of billing, money that reached
their credit, or an account for which they wait.

Source: domain rules, sections 5 and 6; docs/decisions/0005, "Paying".
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from heapq import heappop, heappush
from typing import Any, Final

from libs.events.books import ClassAmount, PaymentSettled
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, CreditNoteIssued, InvoiceIssued
from libs.events.positions import write_cause
from libs.events.repaying import (
    CreditApplied,
    CreditNoteSettled,
    InvoiceCapped,
    PrepaidApplied,
    Refund,
    RefundReceived,
    StandingOrderSet,
)
from libs.events.systems import HoldingOwned, HoldingTransferred
from libs.rules.dumps import Dumped, Loaded, dump_parts, load_parts
from libs.rules.posting import Posting
from libs.rules.postings import Books
from libs.rules.receivables import Receivables
from libs.rules.repayment_postings import payee_account
from libs.runtime.failures import BrokenLaw
from services.ledger.agreements import Agreements
from services.ledger.checks import is_enough
from services.ledger.credit_notes import CreditNotes
from services.ledger.moment import Moment
from services.ledger.refunds import Refunds
from services.ledger.settling import DECISION_MAX, Settlement, Settling
from services.ledger.standing import StandingOrders

_CREDIT: Final = "credit:"

_Step = Callable[[AgreementOpened, datetime], Sequence[Draft]]
"""Something that may follow for an agreement."""


class Crediting:
    """Follows up on billing's facts and on money, agreement by agreement."""

    facts: Final = frozenset[type[Fact]](
        {
            AgreementOpened,
            InvoiceIssued,
            CreditNoteIssued,
            PaymentSettled,
            CreditApplied,
            PrepaidApplied,
            InvoiceCapped,
            CreditNoteSettled,
            RefundReceived,
            StandingOrderSet,
            HoldingOwned,
            HoldingTransferred,
        }
    )
    """What `evolve` takes note of."""

    def __init__(
        self,
        *,
        books: Books,
        moment: Moment,
        agreements: Agreements,
        receivables: Receivables,
        settling: Settling,
    ) -> None:
        """Begin with nothing to follow up on.

        Args:
            books: The balances.
            moment: The time of what follows.
            agreements: The agreements.
            receivables: Invoices, and what was done to them; folded here.
            settling: What money clears.
        """
        self._books, self._moment, self._agreements = books, moment, agreements
        self._receivables, self._settling = receivables, settling
        self.orders = StandingOrders(agreements)
        """The standing orders."""
        self._notes = CreditNotes()
        self._refunds = Refunds(books=books, moment=moment)
        self._steps: Sequence[_Step] = (
            self._apply_prepaid,
            self._cap,
            self._apply_credit,
            self._pay_by_order,
        )
        self._counts: Counter[str] = Counter()
        self._touched: dict[str, str] = {}
        self._queue: list[str] = []
        self._waiting: dict[tuple[str, str], dict[str, None]] = defaultdict(dict)

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold facts of billing and of the own stream; each kind stands in one of them only."""
        del own
        fact: Any = recorded.fact
        self._receivables.evolve(fact)
        self.orders.evolve(recorded)
        self._notes.evolve(fact)
        self._refunds.evolve(fact)
        if isinstance(fact, CreditApplied):
            self._counts[f"{fact.agreement}.credit"] += 1
        elif isinstance(fact, PaymentSettled) and fact.kind == "standing-order":
            self._counts[f"{fact.agreement}.auto"] += 1
        self._check_law(fact)
        if fact.agreement is not None:  # a holding may move before it has an agreement
            self._touch(fact.agreement, recorded)

    def _check_law(self, fact: Fact) -> None:
        """Stop when an invoice was cleared beyond what it billed, whichever was read first.

        Raises:
            BrokenLaw: It was.
        """
        names: tuple[str, ...] = ()
        if isinstance(fact, PaymentSettled | CreditApplied):
            names = tuple(each.invoice for each in fact.cleared)
        elif isinstance(fact, InvoiceIssued | InvoiceCapped | PrepaidApplied):
            names = (fact.invoice,)
        for name in names:
            if self._receivables.is_overcleared(name):
                raise BrokenLaw("overcleared", f"more of {name} was cleared than billed")

    def notice(self, entries: Sequence[Posting], recorded: Recorded[Fact]) -> None:
        """Look at the postings of an own fact: money may have come for which somebody waits."""
        self._refunds.notice(entries, recorded)
        for asset, _, account, _ in entries:
            if account.startswith(_CREDIT):
                self._touch(account.removeprefix(_CREDIT), recorded)
            if self._waiting and (asset, account) in self._waiting:
                for agreement in self._waiting.pop((asset, account)):
                    self._touch(agreement, recorded)

    def _touch(self, agreement: str, recorded: Recorded[Fact]) -> None:
        if agreement not in self._touched:
            heappush(self._queue, agreement)
            self._touched[agreement] = write_cause(recorded.position, recorded.envelope.id)

    def due(self) -> Sequence[Draft]:
        """The next decision; of agreements that were touched, by name."""
        now = self._moment.now
        if now is None:
            return ()
        if drafts := self._settle_note(now) or self._refunds.due():
            return drafts
        while self._queue:
            name = self._queue[0]
            opened = self._agreements.get(name)
            is_whole = not self._notes.concern(name)  # else its new invoice is about to be read
            if opened is not None and is_whole and not self._agreements.is_ended(opened):
                for step in self._steps:
                    if drafts := step(opened, now):
                        return drafts
            del self._touched[heappop(self._queue)]
        return ()

    def is_behind(self, opened: AgreementOpened) -> bool:
        """Tell whether something has to be settled before money may clear anything.

        A cap does not: energy above what is owed is cleared by nobody.
        """
        name, receivables = opened.agreement, self._receivables
        return self._notes.concern(name) or (
            receivables.prepaid_stroops(name) > 0 and receivables.open_energy(name) > 0
        )

    def _credit(self, opened: AgreementOpened) -> int:
        return self._books.balance(f"U:{opened.asset}", f"{_CREDIT}{opened.agreement}")

    def _cause(self, opened: AgreementOpened) -> str:
        return self._touched[opened.agreement]

    def _settle_note(self, now: datetime) -> Sequence[Draft]:
        note = self._notes.first()
        opened = None if note is None else self._agreements.get(note.agreement)
        if note is None or opened is None:
            return ()
        undone = self._receivables.undone_by(note)
        left: dict[str, int] = {}
        refunds = []
        for (line_class, into, payee), amount in undone.received.items():
            place = into, payee
            if into == "credit":  # once its holding is owned, it is the holder's money
                place = self._settling.receiver(payee)
            account = payee_account(*place)
            has = left.get(account, self._books.balance(f"U:{opened.asset}", account))
            refunded = min(amount, has)
            left[account] = has - refunded
            refund = Refund(
                line_class=line_class,
                into=place[0],
                payee=place[1],
                refunded_stroops=refunded,
                owed_stroops=amount - refunded,
            )
            refunds.append(refund)
        fact = CreditNoteSettled(
            credit_note=note.credit_note,
            agreement=opened.agreement,
            asset=opened.asset,
            invoice=note.invoice,
            unpaid=tuple(
                ClassAmount(line_class=line_class, amount_stroops=amount)
                for line_class, amount in undone.unpaid.items()
            ),
            # Once the holding is owned it lapses: the shares for it were received.
            prepaid_stroops=0 if self._agreements.is_owned(opened) else undone.prepaid_stroops,
            refunds=tuple(refunds),
        )
        fact_id = f"{note.credit_note}.settled"
        return (Draft(opened.agreement, fact, fact_id, now, self._cause(opened)),)

    def _apply_prepaid(self, opened: AgreementOpened, now: datetime) -> Sequence[Draft]:
        name, drafts = opened.agreement, list[Draft]()
        left = self._receivables.prepaid_stroops(name)
        if left <= 0:
            return ()
        for invoice in self._receivables.oldest_first(name):
            amount = min(left, self._receivables.open_stroops(invoice, "energy"))
            if amount and len(drafts) < DECISION_MAX:
                left -= amount
                fact = PrepaidApplied(
                    agreement=name,
                    asset=opened.asset,
                    invoice=invoice.invoice,
                    amount_stroops=amount,
                    prepaid_stroops=left,
                )
                before = self._receivables.settled_otherwise(invoice.invoice)
                fact_id = f"{invoice.invoice}.prepaid.{before}"
                drafts.append(Draft(name, fact, fact_id, now, self._cause(opened)))
        return drafts

    def _cap(self, opened: AgreementOpened, now: datetime) -> Sequence[Draft]:
        cause = self._cause(opened)
        return [draft._replace(cause=cause) for draft in self._settling.caps(opened, now)]

    def _apply_credit(self, opened: AgreementOpened, now: datetime) -> Sequence[Draft]:
        credit = self._credit(opened)
        invoices = self._receivables.oldest_first(opened.agreement) if credit else ()
        wanted = sum(map(self._receivables.open_stroops, invoices))
        if not wanted or not is_enough(credit, wanted):
            return ()
        done = self._settling.clear(opened, credit, now)
        if not done.cleared:
            return ()
        name = f"{opened.agreement}.credit"
        application = f"{name}.{self._counts[name] + 1}"
        fact = CreditApplied(
            application=application,
            agreement=opened.agreement,
            asset=opened.asset,
            amount_stroops=done.spent_stroops,
            cleared=done.cleared,
            returns=done.returns,
            principal=done.principal,
            credit_stroops=credit - done.spent_stroops,
        )
        return self._decided(opened, done, Draft(opened.agreement, fact, application, now))

    def _pay_by_order(self, opened: AgreementOpened, now: datetime) -> Sequence[Draft]:
        order = self.orders.of(opened)
        if order is None:
            return ()
        member, limit = order
        place = f"U:{opened.asset}", f"wallet:{member}"
        wallet = self._books.balance(*place)
        for invoice in self._receivables.oldest_first(opened.agreement):
            allowed = limit - self._receivables.paid_by_order(invoice.invoice)
            if allowed <= 0:
                continue
            wanted = min(self._receivables.open_stroops(invoice), allowed)
            if is_enough(wallet, wanted):
                done = self._settling.clear(opened, min(wallet, allowed), now, invoice)
                if done.cleared:
                    return self._ordered(opened, member, done, now)
            self._waiting[place][opened.agreement] = None
            return ()
        return ()

    def _ordered(
        self, opened: AgreementOpened, member: str, done: Settlement, now: datetime
    ) -> Sequence[Draft]:
        name = f"{opened.agreement}.auto"
        payment = f"{name}.{self._counts[name] + 1}"
        fact = PaymentSettled(
            payment=payment,
            agreement=opened.agreement,
            payer=member,
            asset=opened.asset,
            kind="standing-order",
            amount_stroops=done.spent_stroops,
            cleared=done.cleared,
            returns=done.returns,
            principal=done.principal,
            credit_stroops=self._credit(opened),
        )
        return self._decided(opened, done, Draft(opened.agreement, fact, payment, now))

    def _decided(
        self, opened: AgreementOpened, done: Settlement, settled: Draft
    ) -> Sequence[Draft]:
        """Join what accrues before, the fact that settles, and what stands behind it."""
        cause = self._cause(opened)
        named = [draft._replace(cause=cause) for draft in (*done.accrued, settled)]
        return named + self._settling.follow(opened, done, settled.id, settled.time)

    def dump(self) -> Dumped:
        """Give invoices, notes, debts, orders and what is to be looked at, for a snapshot."""
        return {
            **dump_parts(self._parts()),
            "counts": [list(pair) for pair in self._counts.items()],
            "touched": [list(pair) for pair in self._touched.items()],
            "waiting": [[*place, *names] for place, names in self._waiting.items()],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        load_parts(self._parts(), dumped)
        self._counts.update(dict(dumped["counts"]))
        self._touched = dict(dumped["touched"])
        self._queue = sorted(self._touched)
        for asset, account, *names in dumped["waiting"]:
            self._waiting[asset, account] = dict.fromkeys(names)

    def _parts(self) -> dict[str, Any]:
        return {
            "receivables": self._receivables,
            "orders": self.orders,
            "notes": self._notes,
            "refunds": self._refunds,
        }
