"""Refunds that payees owe agreements since credit notes, taken as soon as they can pay. Pure.

Source: domain rules, section 5; docs/decisions/0005, "Paying".
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from libs.events.books import PaidInto
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.positions import write_cause
from libs.events.repaying import CreditNoteSettled, RefundReceived
from libs.rules.dumps import Dumped, Loaded
from libs.rules.posting import Posting
from libs.rules.postings import Books
from libs.rules.repayment_postings import payee_account
from services.ledger.checks import is_enough
from services.ledger.moment import Moment

_Place = tuple[str, str]
"""An asset, and the account from which a debt is taken."""


class _Debt(NamedTuple):
    """What a payee owes an agreement since one credit note."""

    agreement: str
    asset: str
    into: PaidInto
    payee: str
    owed_stroops: int

    @property
    def place(self) -> _Place:
        return f"U:{self.asset}", payee_account(self.into, self.payee)


class Refunds:
    """Debts by age, and which of them can be taken."""

    def __init__(self, *, books: Books, moment: Moment) -> None:
        """Begin with no debt.

        Args:
            books: The balances.
            moment: The time at which debts are taken.
        """
        self._books, self._moment = books, moment
        self._debts: dict[int, _Debt] = {}
        self._made = 0
        self._at: dict[_Place, dict[int, None]] = {}
        self._ready: dict[_Place, str] = {}
        self._taken: Counter[str] = Counter()

    def evolve(self, fact: Fact) -> None:
        """Fold what is owed and what was taken, of the own stream."""
        if isinstance(fact, CreditNoteSettled):
            for each in fact.refunds:
                if each.owed_stroops:
                    self._made += 1
                    debt = (fact.agreement, fact.asset, each.into, each.payee, each.owed_stroops)
                    self._put(self._made, _Debt(*debt))
        elif isinstance(fact, RefundReceived):
            self._taken[fact.agreement] += 1
            self._pay(fact)

    def _put(self, age: int, debt: _Debt) -> None:
        self._debts[age] = debt
        self._at.setdefault(debt.place, {})[age] = None

    def _pay(self, fact: RefundReceived) -> None:
        """It pays the oldest debt of this account, as `due` decided."""
        place = f"U:{fact.asset}", payee_account(fact.into, fact.payee)
        age = next(iter(self._at[place]))
        debt = self._debts[age]
        left = debt.owed_stroops - fact.amount_stroops
        if left:
            self._debts[age] = debt._replace(owed_stroops=left)
            return
        del self._debts[age], self._at[place][age]
        if not self._at[place]:
            del self._at[place]

    def notice(self, entries: Sequence[Posting], recorded: Recorded[Fact]) -> None:
        """Look at the postings of an own fact: a debtor may have received money."""
        if not self._at:
            return
        for asset, _, account, _ in entries:
            place = asset, account
            if place in self._at and place not in self._ready:
                self._ready[place] = write_cause(recorded.position, recorded.envelope.id)

    def due(self) -> Sequence[Draft]:
        """Take the oldest debt whose account received money, as far as that reaches."""
        now = self._moment.now
        if not self._ready or now is None:
            return ()
        for place in list(self._ready):
            if place not in self._at or not self._reaches(place):
                del self._ready[place]
        if not self._ready:
            return ()
        age, place = min((next(iter(self._at[place])), place) for place in self._ready)
        debt = self._debts[age]
        fact = RefundReceived(
            agreement=debt.agreement,
            asset=debt.asset,
            payee=debt.payee,
            into=debt.into,
            amount_stroops=min(debt.owed_stroops, self._books.balance(*place)),
        )
        fact_id = f"{debt.agreement}.refund.{self._taken[debt.agreement] + 1}"
        return (Draft(debt.agreement, fact, fact_id, now, self._ready[place]),)

    def _reaches(self, place: _Place) -> bool:
        return is_enough(self._books.balance(*place), self._oldest(place).owed_stroops)

    def _oldest(self, place: _Place) -> _Debt:
        return self._debts[next(iter(self._at[place]))]

    def dump(self) -> Dumped:
        """Give the debts, and who may be able to pay, for a snapshot."""
        return {
            "made": [self._made],
            "debts": [[age, *debt] for age, debt in self._debts.items()],
            "ready": [[*place, cause] for place, cause in self._ready.items()],
            "taken": [list(pair) for pair in self._taken.items()],
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        (self._made,) = dumped["made"]
        for age, *debt in dumped["debts"]:
            self._put(age, _Debt(*debt))
        self._ready.update({(asset, account): cause for asset, account, cause in dumped["ready"]})
        self._taken.update(dict(dumped["taken"]))
