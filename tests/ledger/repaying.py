"""A system in operation whose holdings are being paid for: bills and credit notes told by hand."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import count

import pytest

from libs.events.books import LineClass, Terms
from libs.events.command import Body
from libs.events.commands import DepositFunds
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import NOTICE_S, AgreementOpened, CreditNoteIssued, InvoiceIssued
from libs.events.repaying import ReturnAccrued
from libs.events.system_commands import (
    AcceptRaise,
    ApproveSystem,
    Invest,
    OpenHolding,
    Pay,
    Prepay,
    ProposeSystem,
)
from libs.rules.authority import Authority
from libs.rules.postings import Books, postings
from libs.rules.stages import walk
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import NotFound, Refused
from services.ledger.domain import Book
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, Stage
from tests.ledger.raises import hash_of

LEDGER, BILLING = "LEDGER_pilot", "BILLING_pilot"
PRICE = 1_000
MONEY = 10**12
FIVE_PERCENT = 50_000

CAST = {
    "approver": ("approver",),
    "dev": ("developer",),
    "home": ("recipient",),
    "next": ("recipient",),
    "ann": ("investor",),
    "bob": ("investor",),
    "cid": ("investor",),
    "keeper": ("contractor",),
    "town": ("platform",),
}
"""`keeper` receives running lines, `town` tax."""

Line = tuple[LineClass, str | None, int]
"""Class, payee and amount of a line."""


def fresh_book() -> Book:
    return Book(
        authority=Authority(deployment=DEPLOYMENT, service="ledger", book="pilot"),
        timekeeper=Timekeeper(LEDGER, ("READINGS_0",)),
        stream=LEDGER,
    )


class Repaying(Stage):
    """Holdings `h1`, `h2`, ... of home, next, ... with agreements `agr-1`, `agr-2`, ..."""

    def __init__(
        self,
        *,
        units: Sequence[int] = (PRICE,),
        return_ppm_year: int = 0,
        investors: Mapping[str, int] | None = None,
        money: int = MONEY,
    ) -> None:
        super().__init__(fresh_book(), LEDGER, "pilot")
        self.terms = Terms(return_ppm_year=return_ppm_year, minimum_payment_stroops=0)
        self.price, self._numbers, self._ids = sum(units), count(1), count(1)
        for member, roles in CAST.items():
            self.given(self.history.register(member, *roles))
        self.at(0)
        for member in ("home", "next"):
            self.deposit(member, money)
        self._raise(investors or {"ann": self.price * 6 // 10, "bob": self.price * 4 // 10})
        for number, (part, recipient) in enumerate(zip(units, ("home", "next"), strict=False), 1):
            holding = OpenHolding(
                holding=f"h{number}", system="sun", recipient=recipient, units=part
            )
            self.do("approver", holding)
        self._walk(6, 7)
        for number, recipient in zip(range(1, len(units) + 1), ("home", "next"), strict=False):
            self.agree(number, recipient)

    @property
    def book_rules(self) -> Book:
        assert isinstance(self.rules, Book)
        return self.rules

    def _raise(self, investors: Mapping[str, int]) -> None:
        proposal = ProposeSystem(
            system="sun",
            asset="USD",
            price_stroops=self.price,
            nameplate_w=5_000,
            site="roof",
            time_zone="UTC",
            terms=self.terms,
        )
        self.do("dev", proposal)
        self.do("approver", ApproveSystem(system="sun"))
        self._walk(0, 4)
        for member, amount in investors.items():
            self.deposit(member, amount)
            self.do(member, Invest(system="sun", amount_stroops=amount, terms=self.terms))
        self.do("home", AcceptRaise(system="sun"))
        self.follow_up()
        self._walk(5, 6)

    def _walk(self, from_stage: int, to_stage: int) -> None:
        for leaver, body in walk("sun", from_stage, to_stage, hash_of):
            self.do("dev" if leaver == "proposer" else "approver", body)

    def do(self, member: str, body: Body) -> list[Fact]:
        """A member commands, and whatever follows by itself happens."""
        facts = self.when(member, f"c{next(self._ids)}", body)
        return facts + self.follow_up()

    def deposit(self, member: str, amount: int, asset: str = "USD") -> list[Fact]:
        return self.do("approver", DepositFunds(member=member, asset=asset, amount_stroops=amount))

    def at(self, days: float) -> list[Fact]:
        """So many days passed since the start."""
        self.now = START + timedelta(days=days)
        self.given(*self.history.advance(self.now))
        return self.follow_up()

    def agree(self, number: int, recipient: str, **changes: object) -> None:
        values = {
            "agreement": f"agr-{number}",
            "holding": f"h{number}",
            "system": "sun",
            "recipient": recipient,
            "tariff": "fixed",
            "asset": "USD",
            "period": "month",
            "time_zone": "UTC",
            "first_day": "2026-06-01",
            "rating_interval_s": 900,
            "settlement_lag_s": 0,
            "due_after_s": 0,
            "terms": self.terms,
            "grace_periods": 6,
            "notice_s": NOTICE_S,
            "command": ANY_COMMAND_SIGNED,
        }
        fact = AgreementOpened.model_validate(values | changes)
        self.given(self.history.record(BILLING, fact.agreement, fact))

    def invoice(
        self, *lines: Line, number: int = 1, due: int | None = None, **changes: str
    ) -> Recorded[Fact]:
        """Billing issues an invoice of an agreement, due after so many days."""
        document = next(self._numbers)
        fact = InvoiceIssued.model_validate(
            {
                "invoice": f"agr-{number}.{document}",
                "number": document,
                "agreement": f"agr-{number}",
                "recipient": "home",
                "asset": "USD",
                "period_from": START,
                "period_until": START + timedelta(days=30),
                "due_at": START + timedelta(days=30 * document if due is None else due),
                "readings": (),
                "rated_intervals": 1,
                "unrated_intervals": 0,
                "generated_wh": 1,
                "consumed_wh": 1,
                "lines": tuple(
                    {
                        "line": line,
                        "line_class": line_class,
                        "kind": _KINDS[line_class],
                        "holding": f"h{number}",
                        "payee": payee,
                        "amount_stroops": amount,
                    }
                    for line, (line_class, payee, amount) in enumerate(lines, 1)
                ),
                "total_stroops": sum(amount for _, _, amount in lines),
            }
            | changes
        )
        return self.history.record(BILLING, fact.agreement, fact)

    def bill(self, *lines: Line, number: int = 1, due: int | None = None) -> str:
        """As `invoice`, and it is read; the caller says when what is due happens."""
        recorded = self.invoice(*lines, number=number, due=due)
        self.given(recorded)
        assert isinstance(recorded.fact, InvoiceIssued)
        return recorded.fact.invoice

    def note(
        self, invoice: str, amounts: Mapping[LineClass, int], **changes: str
    ) -> Recorded[Fact]:
        """Billing undoes an invoice, or a part of it."""
        agreement, document = invoice.partition(".")[0], next(self._numbers)
        fact = CreditNoteIssued.model_validate(
            {
                "credit_note": f"{invoice}.credit.{document}",
                "number": document,
                "agreement": agreement,
                "recipient": "home",
                "asset": "USD",
                "invoice": invoice,
                "reason": "dispute",
                "because": (),
                "changes": (),
                "amounts": tuple(
                    {"line_class": line_class, "amount_stroops": amount}
                    for line_class, amount in amounts.items()
                ),
                "total_stroops": sum(amounts.values()),
            }
            | changes
        )
        return self.history.record(BILLING, agreement, fact)

    def pay(self, amount: int, member: str = "home", number: int = 1, **more: str) -> list[Fact]:
        body = Pay.model_validate({"agreement": f"agr-{number}", "amount_stroops": amount} | more)
        return self.do(member, body)

    def prepay(self, amount: int, member: str = "home", number: int = 1) -> list[Fact]:
        return self.do(member, Prepay(agreement=f"agr-{number}", amount_stroops=amount))

    def money(self, account: str) -> int:
        return self.book_rules.books.balance("U:USD", account)

    def wallet(self, member: str) -> int:
        return self.money(f"wallet:{member}")

    def claim(self, account: str) -> int:
        return self.book_rules.books.balance("C:USD", account)

    def title(self, account: str) -> int:
        return self.book_rules.books.balance("T:sun", account)

    def open_of(self, invoice: str) -> int:
        receivables = self.book_rules.repayment.receivables
        found = receivables.get(invoice)
        assert found is not None
        return receivables.open_stroops(found)

    def refusal_of(self, member: str, body: Body) -> str:
        """The code of a refusal; nothing may have changed."""
        before = len(self.history.facts)
        with pytest.raises((Refused, NotFound)) as refusal:
            self.when(member, "refused", body)
        assert len(self.history.facts) == before
        return refusal.value.code

    def all_accounts(self) -> Books:
        """The accounts by all facts of both streams, as an auditor posts them."""
        books = Books()
        for recorded in self.history.facts:
            books.post(postings(recorded.fact))
        return books

    def check_laws(self) -> None:
        """Debits equal credits, title stands for every unit, claims are those of the facts."""
        for books in (self.book_rules.books, self.all_accounts()):
            assert all(debits == others for debits, others in books.totals().values())
        titles = self.book_rules.books.accounts("T:sun", "")
        kept = ("title:", "own:")
        assert sum(n for name, n in titles.items() if name.startswith(kept)) == self.price

    def again(self, facts: Iterable[Recorded[Fact]]) -> Book:
        """A book that reads the same facts from their streams, in another order."""
        rules = fresh_book()
        for fact in facts:
            rules.evolve(fact)
        return rules


def accruals(facts: Iterable[Fact]) -> list[ReturnAccrued]:
    return [fact for fact in facts if isinstance(fact, ReturnAccrued)]


_KINDS = {"energy": "use", "shared": "shared", "running": "upkeep", "tax": "tax"}
