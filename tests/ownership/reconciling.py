"""What the facts of billing and the ledger say, added up, against the balances of the book.

No posting is used: only the totals that stand in the facts.
"""

from collections import Counter
from typing import Any

from libs.rules.postings import postings
from tests.ownership.accounts import is_debit
from tests.ownership.joined import Joined
from tests.ownership.raising import System


class Sums:
    """What is due, credit and prepaid of each agreement, by the facts."""

    def __init__(self) -> None:
        self.due: Counter[str] = Counter()
        self.credit: Counter[str] = Counter()
        self.prepaid: Counter[str] = Counter()

    def take(self, name: str, fact: Any) -> None:
        if name in {"FundsReceived", "RefundReceived", "GridProceedsReceived"}:
            self.credit[fact.agreement] += fact.amount_stroops
            if getattr(fact, "into", "") == "credit":
                self.credit[fact.payee] -= fact.amount_stroops
        elif name == "CreditRefunded":
            self.credit[fact.agreement] -= fact.amount_stroops
        elif name == "SuspenseSettled" and fact.agreement:
            self.credit[fact.agreement] += fact.amount_stroops
        elif name in {"PaymentSettled", "CreditApplied"}:
            _payment(fact, name, self.due, self.credit)
        else:
            self._billed(name, fact)

    def _billed(self, name: str, fact: Any) -> None:
        if name == "InvoiceIssued":
            assert fact.total_stroops == sum(line.amount_stroops for line in fact.lines)
            self.due[fact.agreement] += fact.total_stroops
        elif name == "CreditNoteSettled":
            self.due[fact.agreement] -= sum(each.amount_stroops for each in fact.unpaid)
            self.credit[fact.agreement] += sum(each.refunded_stroops for each in fact.refunds)
            for each in fact.refunds:
                if each.into == "credit":
                    self.credit[each.payee] -= each.refunded_stroops
            self.prepaid[fact.agreement] += fact.prepaid_stroops
        elif name == "PrepaidApplied":
            self.due[fact.agreement] -= fact.amount_stroops
            self.prepaid[fact.agreement] -= fact.amount_stroops
            assert self.prepaid[fact.agreement] == fact.prepaid_stroops
        elif name == "InvoiceCapped":
            self.due[fact.agreement] -= fact.amount_stroops
        elif name == "HoldingOwned":
            self.prepaid[fact.agreement] -= fact.lapsed_prepaid_stroops


def reconcile(real: Joined) -> None:
    """Invoices, credit notes, payments and balances of every agreement agree."""
    sums, read = Sums(), real.ledger.read
    assets: dict[str, str] = {}
    for recorded in real.history.facts:
        at = read.get(recorded.stream)
        if at is None or recorded.sequence > at.sequence:
            continue
        fact: Any = recorded.fact
        if type(fact).__name__ == "AgreementOpened":
            assets[fact.agreement] = fact.asset
        sums.take(type(fact).__name__, fact)
    balances = Audit().follow(real)
    for agreement, asset in assets.items():
        for place, expected in (
            ((f"C:{asset}", f"due:{agreement}"), sums.due[agreement]),
            ((f"C:{asset}", f"prepaid:{agreement}"), sums.prepaid[agreement]),
            ((f"U:{asset}", f"credit:{agreement}"), sums.credit[agreement]),
        ):
            assert balances.get(place, 0) == expected, (place, balances.get(place), expected)


def _payment(fact: Any, name: str, due: Counter[str], credit: Counter[str]) -> None:
    """What was cleared, what it paid, and what is left of it."""
    cleared = sum(each.amount_stroops for each in fact.cleared)
    energy = sum(each.amount_stroops for each in fact.cleared if each.line_class == "energy")
    owners = sum(each.amount_stroops for each in (*fact.returns, *fact.principal))
    due[fact.agreement] -= cleared
    if name == "CreditApplied":
        assert fact.amount_stroops == cleared
        credit[fact.agreement] -= cleared
    else:
        credit[fact.agreement] += fact.amount_stroops - cleared
    if getattr(fact, "kind", "") == "prepayment":
        assert not cleared
        credit[fact.agreement] -= owners
    else:
        assert owners == energy
    for each in fact.cleared:
        if each.into == "credit":
            credit[each.payee] += each.amount_stroops
    assert fact.credit_stroops == credit[fact.agreement], (fact, credit[fact.agreement])


class Audit:
    """All facts that the ledger has read or written, posted by whoever replays them.

    The book itself keeps what both billing and the ledger post to, claims of invoices, apart; an
    auditor has all of it in one map.
    """

    def __init__(self) -> None:
        self.balances: Counter[tuple[str, str]] = Counter()
        self._read = 0

    def follow(self, real: Joined) -> dict[tuple[str, str], int]:
        """Post what is new; give all balances on their normal side but those of energy."""
        facts = real.history.facts
        for recorded in facts[self._read :]:
            for entry in postings(recorded.fact):
                for account, is_debited in ((entry.debit, True), (entry.credit, False)):
                    side = 1 if is_debit(account) == is_debited else -1
                    self.balances[entry.asset, account] += side * entry.amount
        self._read = len(facts)
        found = {place: n for place, n in self.balances.items() if n and place[0] != "W"}
        kept = {
            place: amount for place, amount in real.book.books._balances.items() if place[0] != "W"
        }
        apart = {place: n for place, n in found.items() if _is_apart(*place)}
        assert kept == {place: n for place, n in found.items() if place not in apart}
        return found


def _is_apart(asset: str, account: str) -> bool:
    return asset[0] == "C" and account.split(":", maxsplit=1)[0] in {
        "due",
        "billed",
        "prepaid",
        "overbilled",
    }


def laws(real: Joined, systems: dict[str, System]) -> None:
    """The laws of the domain rules, section 10, on the real balances."""
    books = real.book.books
    for asset, (debits, credits_) in books.totals().items():
        assert debits == credits_, asset
    for name, system in systems.items():
        asset = f"T:{name}"
        title = sum(books.accounts(asset, "title:").values())
        own = sum(books.accounts(asset, "own:").values())
        if system.units:
            assert title + own == system.units, name
    for place, amount in books._balances.items():
        assert amount >= 0, place
