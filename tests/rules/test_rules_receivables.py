"""What is open of invoices: by class and payee, whatever was done to them and read first."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.books import PaymentSettled
from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued, InvoiceIssued
from libs.events.repaying import (
    CreditApplied,
    CreditNoteSettled,
    InvoiceCapped,
    PrepaidApplied,
)
from libs.events.systems import HoldingOwned
from libs.rules.receivables import ORDER, Billed, Part, Receivables
from tests.dumping import like, through_snapshot
from tests.histories import ANY_COMMAND_SIGNED

NOON = datetime(2016, 8, 1, 12, tzinfo=UTC)
DUE = NOON + timedelta(days=14)
LATER = DUE + timedelta(days=20)
KINDS = {"energy": "use", "shared": "shared", "running": "upkeep", "tax": "tax"}


def invoice(*lines: tuple[str, str | None, int], number: int = 1, **more: Any) -> InvoiceIssued:
    values = {
        "invoice": f"home-{number}",
        "number": number,
        "agreement": "home",
        "recipient": "raul",
        "asset": "USD",
        "period_from": NOON,
        "period_until": NOON,
        "due_at": DUE,
        "readings": (),
        "rated_intervals": 0,
        "unrated_intervals": 0,
        "generated_wh": 0,
        "consumed_wh": 0,
        "lines": tuple(
            {
                "line": at,
                "line_class": line_class,
                "kind": KINDS[line_class],
                "holding": "h",
                "payee": payee,
                "amount_stroops": amount,
            }
            for at, (line_class, payee, amount) in enumerate(lines, 1)
        ),
        "total_stroops": sum(amount for _, _, amount in lines),
    }
    return InvoiceIssued.model_validate(values | more)


def cleared(*parts: tuple[str, str | None, int], number: int = 1) -> PaymentSettled:
    into = {"energy": "investors", "tax": "tax", "running": "wallet", "shared": "credit"}
    return PaymentSettled.model_validate(
        {
            "payment": "raul.1",
            "agreement": "home",
            "payer": "raul",
            "asset": "USD",
            "kind": "invoices",
            "amount_stroops": 1,
            "cleared": tuple(
                {
                    "invoice": f"home-{number}",
                    "line_class": line_class,
                    "amount_stroops": amount,
                    "into": into[line_class],
                    "payee": payee,
                }
                for line_class, payee, amount in parts
            ),
            "returns": (),
            "principal": (),
            "credit_stroops": 0,
            "command": ANY_COMMAND_SIGNED,
        }
    )


def by_class(amounts: Mapping[Any, int]) -> tuple[dict[str, object], ...]:
    return tuple({"line_class": name, "amount_stroops": n} for name, n in amounts.items())


def note(amounts: Mapping[Any, int], number: int = 1) -> CreditNoteIssued:
    values = {
        "credit_note": f"home-{number}.credit",
        "number": 100 + number,
        "agreement": "home",
        "recipient": "raul",
        "asset": "USD",
        "invoice": f"home-{number}",
        "reason": "readings",
        "because": (),
        "changes": (),
        "amounts": by_class(amounts),
        "total_stroops": sum(amounts.values()),
    }
    return CreditNoteIssued.model_validate(values)


def settled(of: CreditNoteIssued, receivables: Receivables) -> CreditNoteSettled:
    """What the ledger says of a credit note; payees give all of it back at once."""
    undone = receivables.undone_by(of)
    refunds = tuple(
        {
            "line_class": line_class,
            "into": into,
            "payee": payee,
            "refunded_stroops": amount,
            "owed_stroops": 0,
        }
        for (line_class, into, payee), amount in undone.received.items()
    )
    return CreditNoteSettled.model_validate(
        {
            "credit_note": of.credit_note,
            "agreement": "home",
            "asset": "USD",
            "invoice": of.invoice,
            "unpaid": by_class(undone.unpaid),
            "prepaid_stroops": undone.prepaid_stroops,
            "refunds": refunds,
        }
    )


def capped(amount: int, number: int = 1) -> InvoiceCapped:
    return InvoiceCapped(
        agreement="home",
        asset="USD",
        invoice=f"home-{number}",
        amount_stroops=amount,
        reason="owed",
    )


def prepaid(amount: int, number: int = 1) -> PrepaidApplied:
    return PrepaidApplied(
        agreement="home",
        asset="USD",
        invoice=f"home-{number}",
        amount_stroops=amount,
        prepaid_stroops=0,
    )


def folded(*facts: Fact) -> Receivables:
    receivables = Receivables()
    for fact in facts:
        receivables.evolve(fact)
    return receivables


def get(receivables: Receivables, number: int = 1) -> Billed:
    found = receivables.get(f"home-{number}")
    assert found is not None
    return found


def open_of(receivables: Receivables, number: int = 1) -> dict[Part, int]:
    return receivables.open_parts(get(receivables, number))


MIXED = invoice(
    ("energy", None, 60),
    ("energy", None, 40),
    ("shared", "other", 30),
    ("running", "keeper", 20),
    ("tax", "town", 6),
    ("tax", "county", 4),
)


def test_lines_are_open_by_class_and_payee_in_the_order_of_clearing() -> None:
    assert list(open_of(folded(MIXED)).items()) == [
        (("tax", "county"), 4),
        (("tax", "town"), 6),
        (("running", "keeper"), 20),
        (("shared", "other"), 30),
        (("energy", ""), 100),
    ]


def test_what_was_cleared_is_open_no_more() -> None:
    receivables = folded(
        MIXED, cleared(("tax", "county", 4), ("tax", "town", 1), ("energy", None, 7))
    )

    assert open_of(receivables) == {
        ("tax", "town"): 5,
        ("running", "keeper"): 20,
        ("shared", "other"): 30,
        ("energy", ""): 93,
    }
    assert receivables.open_stroops(get(receivables)) == 148
    assert receivables.open_energy("home") == 93


def test_shared_energy_counts_as_cleared_whoever_received_it() -> None:
    to_holder = cleared(("shared", "other", 30)).model_dump()
    to_holder["cleared"][0].update(into="wallet", payee="ivo")

    receivables = folded(MIXED, PaymentSettled.model_validate(to_holder))

    assert ("shared", "other") not in open_of(receivables)
    assert receivables.received("home-1") == {("shared", "wallet", "ivo"): 30}


def test_credit_clears_as_a_payment_does() -> None:
    applied = CreditApplied.model_validate(
        {
            "application": "home.credit.1",
            "agreement": "home",
            "asset": "USD",
            "amount_stroops": 5,
            "cleared": cleared(("energy", None, 5)).model_dump()["cleared"],
            "returns": (),
            "principal": (),
            "credit_stroops": 0,
        }
    )

    assert folded(MIXED, applied).open_energy("home") == 95


def test_prepaid_and_caps_lower_energy_alone() -> None:
    receivables = folded(MIXED, prepaid(30), capped(50))

    assert receivables.open_energy("home") == 20
    assert receivables.open_stroops(get(receivables)) == 80
    assert receivables.settled_otherwise("home-1") == 30
    assert receivables.capped_stroops("home-1") == 50


def test_a_credit_note_lowers_what_is_open_as_soon_as_it_is_read() -> None:
    receivables = folded(MIXED, cleared(("tax", "county", 4)), note({"tax": 10, "energy": 100}))

    assert open_of(receivables) == {("running", "keeper"): 20, ("shared", "other"): 30}


def test_a_credit_note_undoes_what_is_open_first_and_then_what_was_cleared() -> None:
    issued = note({"tax": 10, "energy": 100})
    receivables = folded(MIXED, cleared(("tax", "county", 4), ("energy", None, 30)), issued)

    undone = receivables.undone_by(issued)

    assert undone.unpaid == {"tax": 6, "energy": 70}
    assert undone.prepaid_stroops == 30
    assert undone.received == {("tax", "tax", "county"): 4}


def test_what_was_capped_comes_back_to_nobody() -> None:
    issued = note({"energy": 100})
    receivables = folded(MIXED, cleared(("energy", None, 30)), capped(60), issued)

    undone = receivables.undone_by(issued)

    assert (undone.unpaid, undone.prepaid_stroops) == ({"energy": 10}, 30)


def test_energy_that_prepaid_had_cleared_is_prepaid_again() -> None:
    issued = note({"energy": 100})
    receivables = folded(MIXED, prepaid(40), issued)

    assert receivables.undone_by(issued).prepaid_stroops == 40


def test_two_credit_notes_undo_no_more_than_there_was() -> None:
    first, second = note({"energy": 50}), note({"energy": 50})
    receivables = folded(MIXED, cleared(("energy", None, 70)), first)
    answer = settled(first, receivables)
    assert (answer.unpaid[0].amount_stroops, answer.prepaid_stroops) == (30, 20)
    receivables.evolve(answer)
    receivables.evolve(second)

    undone = receivables.undone_by(second)

    assert (undone.unpaid, undone.prepaid_stroops) == ({}, 50)


def test_prepaid_is_what_came_back_less_what_was_applied_and_lapses_when_owned() -> None:
    issued = note({"energy": 100})
    receivables = folded(MIXED, cleared(("energy", None, 100)), issued)
    receivables.evolve(settled(issued, receivables))
    receivables.evolve(invoice(("energy", None, 70), number=2))
    receivables.evolve(prepaid(70, number=2))
    assert receivables.prepaid_stroops("home") == 30

    receivables.evolve(
        HoldingOwned(
            holding="h",
            system="sun",
            agreement="home",
            member="raul",
            units=1,
            asset="USD",
            lapsed_prepaid_stroops=30,
        )
    )
    assert receivables.prepaid_stroops("home") == 0


@pytest.mark.parametrize(
    ("now", "paid", "expected"),
    [
        (DUE - timedelta(seconds=1), 0, 0),
        (DUE, 0, 70),
        (LATER - timedelta(seconds=1), 0, 70),
        (LATER, 0, 100),
        (DUE, 80, 0),
        (LATER, 80, 20),
    ],
)
def test_the_part_by_which_a_new_invoice_is_higher_falls_due_later(
    now: datetime, paid: int, expected: int
) -> None:
    issued = invoice(("energy", None, 100), later_due_at=LATER, later_stroops=30)
    receivables = folded(issued, *([cleared(("energy", None, paid))] if paid else []))

    assert receivables.overdue_stroops(get(receivables), now) == expected


def test_invoices_come_oldest_due_first_and_then_by_number() -> None:
    receivables = folded(
        invoice(("energy", None, 1), number=3),
        invoice(("energy", None, 1), number=2, due_at=LATER),
        invoice(("energy", None, 1), number=1),
        invoice(("energy", None, 0), number=4),
    )

    assert [each.number for each in receivables.oldest_first("home")] == [1, 3, 2]
    assert [each.number for each in receivables.invoices_of("home")] == [3, 2, 1, 4]


def test_nothing_is_known_of_what_was_not_read() -> None:
    receivables = folded(cleared(("energy", None, 5)))

    assert receivables.get("home-1") is None
    assert receivables.oldest_first("home") == []
    assert not receivables.is_overcleared("home-1")
    assert (receivables.open_energy("home"), receivables.prepaid_stroops("home")) == (0, 0)


@pytest.mark.parametrize("amount", [100, 101])
def test_more_cleared_than_billed_is_seen(amount: int) -> None:
    assert folded(MIXED, cleared(("energy", None, amount))).is_overcleared("home-1") == (
        amount > 100
    )


def test_years_of_paid_invoices_cost_nothing() -> None:
    def seconds(paid: int) -> float:
        facts: list[Fact] = []
        for number in range(1, paid + 1):
            facts.append(invoice(("energy", None, 5), number=number))
            facts.append(cleared(("energy", None, 5), number=number))
        receivables = folded(*facts, invoice(("energy", None, 5), number=paid + 1))
        begin = perf_counter()
        for _ in range(2_000):
            assert len(receivables.oldest_first("home")) == 1
            assert receivables.open_energy("home") == 5
        return perf_counter() - begin

    few = min(seconds(2) for _ in range(3))
    many = min(seconds(400) for _ in range(3))
    assert many < 5 * few


LINES = st.lists(
    st.sampled_from(
        [("energy", None), ("shared", "other"), ("running", "keeper"), ("tax", "town")]
    ),
    min_size=1,
    max_size=5,
)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Fact], list[Fact]]:
    """Billing's facts and the ledger's, as the two streams hold them."""
    receivables, billing, ledger = Receivables(), list[Fact](), list[Fact]()

    def tell(stream: list[Fact], fact: Fact) -> None:
        stream.append(fact)
        receivables.evolve(fact)

    for number in range(1, draw(st.integers(1, 4)) + 1):
        lines = [(*line, draw(st.integers(0, 50))) for line in draw(LINES)]
        tell(billing, invoice(*lines, number=number))
        for (line_class, payee), amount in open_of(receivables, number).items():
            part = draw(st.integers(0, amount))
            if part:
                tell(ledger, cleared((line_class, payee or None, part), number=number))
        energy = receivables.open_stroops(get(receivables, number), "energy")
        if energy and draw(st.booleans()):
            tell(ledger, capped(draw(st.integers(1, energy)), number))
        if draw(st.booleans()):
            undone = {
                name: amount
                for name in ORDER
                if (amount := get(receivables, number).of_class(name))
            }
            issued = note(undone, number)
            tell(billing, issued)
            if draw(st.booleans()):
                tell(ledger, settled(issued, receivables))
    return billing, ledger


def _fold(receivables: Receivables, fact: Fact) -> None:
    receivables.evolve(fact)


def state(receivables: Receivables) -> object:
    return [
        [(each.invoice, receivables.open_parts(each)) for each in receivables.oldest_first("home")],
        [each.invoice for each in receivables.invoices_of("home")],
        receivables.open_energy("home"),
        receivables.prepaid_stroops("home"),
    ]


@st.composite
def mixes(draw: st.DrawFn) -> tuple[list[Fact], list[Fact], list[Fact]]:
    """Two streams, and one of the orders in which they may arrive."""
    billing, ledger = draw(histories())
    mixed, left = list[Fact](), [list(billing), list(ledger)]
    while any(left):
        stream = draw(st.sampled_from([each for each in left if each]))
        mixed.append(stream.pop(0))
    return billing, ledger, mixed


@settings(max_examples=150, deadline=None)
@given(mixes())
def test_what_is_open_does_not_depend_on_which_stream_was_read_first(
    drawn: tuple[list[Fact], list[Fact], list[Fact]],
) -> None:
    billing, ledger, mixed = drawn
    assert state(folded(*mixed)) == state(folded(*billing, *ledger))
    assert like(folded(*mixed)) == like(folded(*ledger, *billing))


@settings(max_examples=100, deadline=None)
@given(mixes(), st.data())
def test_a_snapshot_at_any_point_changes_nothing(
    drawn: tuple[list[Fact], list[Fact], list[Fact]], data: st.DataObject
) -> None:
    _, _, mixed = drawn
    cut = data.draw(st.integers(0, len(mixed)))
    whole, loaded = through_snapshot(Receivables, _fold, mixed, cut)
    assert state(loaded) == state(whole)
    assert like(loaded) == like(whole)


@settings(max_examples=100, deadline=None)
@given(histories())
def test_billed_is_what_is_open_and_what_became_of_the_rest(
    drawn: tuple[Sequence[Fact], Iterable[Fact]],
) -> None:
    """Once every credit note is settled, nothing is lost and nothing counts twice."""
    billing, ledger = drawn
    receivables = folded(*billing, *ledger)
    answered = {fact.credit_note for fact in ledger if isinstance(fact, CreditNoteSettled)}
    for each in billing:
        if isinstance(each, CreditNoteIssued) and each.credit_note not in answered:
            ledger = [*ledger, settled(each, receivables)]
            receivables.evolve(settled(each, receivables))
    gone = 0
    for fact in ledger:
        match fact:
            case PaymentSettled():
                gone += sum(part.amount_stroops for part in fact.cleared)
            case InvoiceCapped():
                gone += fact.amount_stroops
            case CreditNoteSettled():
                gone += sum(part.amount_stroops for part in fact.unpaid)
            case _:
                pass
    open_stroops = sum(receivables.open_stroops(each) for each in receivables.invoices_of("home"))
    billed = sum(each.total_stroops for each in receivables.invoices_of("home"))
    assert billed == open_stroops + gone
    assert open_stroops >= 0
