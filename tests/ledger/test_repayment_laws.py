"""The laws of repayment over random histories of bills, payments, corrections and time."""

from collections.abc import Callable, Sequence
from itertools import chain, permutations
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.books import LineClass, PaymentSettled
from libs.events.commands import ReceiveFunds, WithdrawFunds
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import InvoiceIssued
from libs.events.repaying import CreditApplied
from libs.events.system_commands import SetStandingOrder
from services.ledger.domain import Book
from tests.dumping import like, through_snapshot
from tests.ledger.repaying import BILLING, FIVE_PERCENT, LEDGER, Line, Repaying, fresh_book

UNITS = {"agr-1": 600_000, "agr-2": 400_000}
MEMBERS = {1: "home", 2: "next"}
NUMBER = st.integers(1, 2)

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("pay"), NUMBER, st.integers(1, 700_000)),
        st.tuples(st.just("prepay"), NUMBER, st.integers(1, 300_000)),
        st.tuples(st.just("receive"), st.integers(1, 3), st.integers(1, 200_000)),
        st.tuples(st.just("order"), NUMBER, st.integers(0, 300_000)),
        st.tuples(st.just("withdraw"), st.integers(1, 40)),
        st.tuples(st.just("correct"), st.integers(0, 9), st.integers(0, 120)),
        st.tuples(st.just("days"), st.integers(1, 60)),
        st.tuples(
            st.just("bill"),
            NUMBER,
            st.integers(0, 300_000),
            st.integers(0, 40_000),
            st.integers(0, 20_000),
            st.integers(0, 20_000),
        ),
    ),
    min_size=1,
    max_size=14,
)


class Played:
    """A random history of two households, step by step."""

    def __init__(self) -> None:
        self.stage = Repaying(
            units=tuple(UNITS.values()), return_ppm_year=1_000_000, money=2_000_000
        )
        self.day = 0
        self.standing: dict[str, tuple[int, list[Line]]] = {}
        self.steps: dict[str, Callable[..., None]] = {
            "pay": self.pay,
            "prepay": self.prepay,
            "receive": self.receive,
            "order": self.order,
            "withdraw": self.withdraw,
            "correct": self.correct,
            "days": self.days,
            "bill": self.bill,
        }

    def play(self, kind: str, *values: int) -> None:
        self.steps[kind](*values)

    def pay(self, number: int, amount: int) -> None:
        wallet = self.stage.wallet(MEMBERS[number])
        if wallet:
            self.stage.pay(min(amount, wallet), MEMBERS[number], number)

    def prepay(self, number: int, amount: int) -> None:
        opened = self.stage.book_rules.agreements.get(f"agr-{number}")
        assert opened is not None
        owed = self.stage.book_rules.agreements.principal(opened)
        has = self.stage.wallet(MEMBERS[number])
        if owed and has:
            self.stage.prepay(min(owed, amount, has), MEMBERS[number], number)

    def receive(self, number: int, amount: int) -> None:
        body = ReceiveFunds(asset="USD", amount_stroops=amount, reference=f"agr-{number}")
        self.stage.do("approver", body)

    def order(self, number: int, limit: int) -> None:
        body = SetStandingOrder(agreement=f"agr-{number}", limit_stroops=limit)
        self.stage.do(MEMBERS[number], body)

    def withdraw(self, part: int) -> None:
        """The payee of running lines spends what he has, so he may owe a refund later."""
        if amount := self.stage.wallet("keeper") * part // 40:
            body = WithdrawFunds(member="keeper", asset="USD", amount_stroops=amount)
            self.stage.do("approver", body)

    def days(self, count: int) -> None:
        self.day += count
        self.stage.at(self.day)

    def bill(self, number: int, energy: int, shared: int, running: int, tax: int) -> None:
        lines: list[Line] = [
            ("energy", None, energy),
            ("shared", f"agr-{3 - number}", shared),
            ("running", "keeper", running),
            ("tax", "town", tax),
        ]
        invoice = self.stage.bill(*lines, number=number, due=self.day + 30)
        self.standing[invoice] = number, lines
        self.stage.follow_up()

    def correct(self, which: int, percent: int) -> None:
        """A credit note over the whole of an invoice, and one that replaces it."""
        if not self.standing:
            return
        name = list(self.standing)[which % len(self.standing)]
        number, lines = self.standing.pop(name)
        undone: dict[LineClass, int] = {line[0]: line[2] for line in lines if line[2]}
        changed: list[Line] = [(kind, payee, n * percent // 100) for kind, payee, n in lines]
        new = self.stage.invoice(*changed, number=number, due=30)
        self.stage.given(*([self.stage.note(name, undone)] if undone else []), new)
        assert isinstance(new.fact, InvoiceIssued)
        self.standing[new.fact.invoice] = number, changed
        self.stage.follow_up()


def check_all(stage: Repaying) -> None:
    stage.check_laws()
    rules = stage.book_rules
    books, receivables, audited = rules.books, rules.repayment.receivables, stage.all_accounts()
    everywhere = books.accounts("U:USD", "")
    assert all(not name.startswith("escrow:") for name in everywhere)
    inside = sum(n for name, n in everywhere.items() if name != "issuer:USD")
    assert inside == everywhere["issuer:USD"]
    facts = [each.fact for each in stage.history.facts if each.stream == LEDGER]
    settled = [each for each in facts if isinstance(each, PaymentSettled | CreditApplied)]
    for name, units in UNITS.items():
        opened = rules.agreements.get(name)
        assert opened is not None
        # Principal that was repaid is own title, to the share; all of it is owned.
        moves = [move for fact in settled if fact.agreement == name for move in fact.principal]
        own = stage.title(f"own:{name}")
        assert sum(move.amount_stroops for move in moves) == own <= units
        assert rules.agreements.is_owned(opened) == (own == units)
        # What an auditor's accounts say is due is what the invoices say is open.
        is_open = sum(receivables.open_stroops(each) for each in receivables.invoices_of(name))
        assert audited.balance("C:USD", f"due:{name}") == is_open
        assert audited.balance("C:USD", f"prepaid:{name}") == receivables.prepaid_stroops(name)
        indexed = sum(receivables.open_stroops(each) for each in receivables.oldest_first(name))
        assert indexed == is_open
        assert receivables.prepaid_stroops(name) == 0 or receivables.open_energy(name) == 0
        owed = rules.agreements.principal(opened) + rules.returns.with_today(name, stage.now)
        assert receivables.open_energy(name) <= owed
        assert not is_open or stage.money(f"credit:{name}") * 100 < is_open
        claims = books.accounts("C:USD", f"return_to:{name}:")
        assert sum(claims.values()) == stage.claim(f"return_due:{name}")


def what_is_open(rules: Book) -> dict[str, Any]:
    receivables = rules.repayment.receivables
    return {
        name: [
            (each.invoice, receivables.open_parts(each)) for each in receivables.oldest_first(name)
        ]
        for name in UNITS
    }


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_laws_hold_after_whatever_is_billed_paid_and_corrected(
    steps: list[tuple[Any, ...]],
) -> None:
    played = Played()
    for step in steps:
        played.play(*step)
        check_all(played.stage)
    assert played.stage.follow_up() == []


@settings(max_examples=30, deadline=None)
@given(STEPS, st.data())
def test_streams_in_any_order_and_snapshots_at_any_point_give_the_same_state(
    steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    played = Played()
    for step in steps:
        played.play(*step)
    facts, mine = played.stage.history.facts, played.stage.book_rules

    streams: list[list[Recorded[Fact]]] = [
        [fact for fact in facts if fact.stream == LEDGER],
        [fact for fact in facts if fact.stream == BILLING],
        [fact for fact in facts if fact.stream not in {LEDGER, BILLING}],
    ]
    for order in permutations(streams):
        again = played.stage.again(chain(*order))
        assert again.due() == ()
        assert what_is_open(again) == what_is_open(mine)
        assert like(again.books) == like(mine.books)
    cut = data.draw(st.integers(0, len(facts)))
    whole, loaded = through_snapshot(fresh_book, _fold, facts, cut)
    assert like(loaded) == like(whole)
    assert loaded.due() == ()


def _fold(rules: Book, fact: Recorded[Fact]) -> None:
    rules.evolve(fact)


def paid(bills: Sequence[int], payments: Sequence[int]) -> Repaying:
    stage = Repaying(units=tuple(UNITS.values()), return_ppm_year=FIVE_PERCENT)
    stage.at(20)
    for bill in bills:
        stage.bill(("tax", "town", bill // 7), ("energy", None, bill))
    stage.follow_up()
    for amount in payments:
        stage.pay(amount)
    return stage


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 300_000), min_size=1, max_size=4),
    st.lists(st.integers(1, 400_000), min_size=2, max_size=6),
    st.data(),
)
def test_payments_give_equal_totals_in_any_order_and_equal_splits_in_the_same(
    bills: list[int], payments: list[int], data: st.DataObject
) -> None:
    first, same = paid(bills, payments), paid(bills, payments)
    other = paid(bills, data.draw(st.permutations(payments)))

    for account in ("credit:agr-1", "tax:town", "wallet:home"):
        assert first.money(account) == other.money(account)
    assert first.title("own:agr-1") == other.title("own:agr-1")
    assert first.claim("return_due:agr-1") == other.claim("return_due:agr-1")
    investors = [stage.wallet("ann") + stage.wallet("bob") for stage in (first, other)]
    assert investors[0] == investors[1]
    assert like(first.book_rules.books) == like(same.book_rules.books)
