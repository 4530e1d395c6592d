"""Laws of pay to own: any order, any interleaving, and the pilot of Opensolar."""

import random
from collections import Counter
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from tests.ownership.playing import World
from tests.ownership.reconciling import laws, reconcile
from tests.ownership.scenes import DAY, PRICE, UNIT, agreement, opened, pay, told, use, village

PAYMENTS = (
    ("sun-0", "home", 7 * UNIT + 1),
    ("sun-1", "hut", 3 * UNIT + 2),
    ("sun-0", "home", 11 * UNIT + 3),
    ("sun-1", "hut", 5 * UNIT),
)


def billed_village(return_ppm: int = 83_333) -> World:
    """Two households whose first bills stand."""
    world = village(price=100 * UNIT + 1, parts=(2, 1), return_ppm=return_ppm)
    use(world, 70)
    world.advance(16 * DAY)
    assert opened(world, "sun-0") == opened(world, "sun-1") == 70 * PRICE
    return world


def after_payments(order: tuple[int, ...]) -> tuple[dict[str, int], dict[str, int]]:
    """Totals, and what each investor received, after the payments in an order."""
    world = billed_village()
    before = {name: world.model.ledger.wallet("USD", name) for name in ("ada", "bob")}
    for number in order:
        name, member, amount = PAYMENTS[number]
        assert pay(world, amount, name, member)
    books = world.real.book.books
    shares = {
        name: books.balance("U:USD", f"wallet:{name}") - before[name] for name in ("ada", "bob")
    }
    totals = {
        "investors": sum(shares.values()),
        **{name: books.balance("T:sun", f"own:{name}") for name in ("sun-0", "sun-1")},
        **{f"due {name}": books.balance("C:USD", f"due:{name}") for name in ("sun-0", "sun-1")},
    }
    return totals, shares


def test_totals_are_equal_in_any_order_of_payments_and_splits_in_the_same() -> None:
    totals, shares = after_payments((0, 1, 2, 3))
    assert after_payments((0, 1, 2, 3)) == (totals, shares)
    for order in list(permutations(range(4)))[1::4]:
        others, parts = after_payments(order)
        assert others == totals
        for name in shares:
            assert abs(parts[name] - shares[name]) <= 2 * len(PAYMENTS)


def test_opensolars_pilot_ends_owned_with_exactly_all_shares() -> None:
    """4,000 USD at 0.20 USD/kWh are 20,000 kWh: the fourth bill of 6,000 kWh is capped."""
    world = village(period="month")
    paid = 0
    while agreement(world).owned_at is None:
        assert paid < 4_000 * UNIT
        use(world, 6_000)
        world.advance(31 * DAY)
        if amount := opened(world):
            pay(world, amount)
            paid += amount
    books = world.real.book.books
    assert paid == 4_000 * UNIT
    assert books.balance("T:sun", "own:sun-0") == 4_000 * UNIT
    assert books.accounts("T:sun", "title:") == {}
    assert books.balance("C:USD", "return_due:sun-0") == 0
    assert told(world, "HoldingOwned", "SystemPaidOff") == ["HoldingOwned", "SystemPaidOff"]
    assert told(world, "InvoiceCapped") == ["InvoiceCapped"]
    laws(world.real, world.model.ledger.systems)
    reconcile(world.real)


def test_thirty_days_at_five_per_cent_accrue_16_4383562() -> None:
    world = village(return_ppm=50_000)
    world.advance(world.now.replace(hour=0) - world.now + 31 * DAY - timedelta(hours=1))
    world.deposit("home", 1)
    body = __import__("libs.events.system_commands", fromlist=["Prepay"]).Prepay(
        agreement="sun-0", amount_stroops=164_383_562
    )
    world.ask("home", body, lambda: world.model.ledger.prepay("sun-0", 164_383_562))
    (accrued,) = [each for each in world.real.history.facts if _name(each) == "ReturnAccrued"]
    fact: Any = accrued.fact
    assert fact.amount_stroops == 164_383_562
    assert world.real.book.books.balance("T:sun", "own:sun-0") == 0


def _name(recorded: Recorded[Fact]) -> str:
    return type(recorded.fact).__name__


def _bills(world: World) -> list[str]:
    """What the invoices say, without their numbers and the places of readings."""
    bills = []
    for each in world.real.named(("InvoiceIssued", "CreditNoteIssued")):
        fact: Any = each.fact
        hidden = {"number", "readings", "because", "command"}
        shown = fact.model_dump(exclude=hidden)
        for line in shown.get("lines", ()):
            line.pop("price_position")
        bills.append(repr(sorted(shown.items())))
    return sorted(bills)


@pytest.mark.parametrize("seed", range(4))
def test_independent_agreements_have_the_same_bills_however_they_are_interleaved(seed: int) -> None:
    """Two systems' readings and corrections come in another order; within each it is the same."""

    def played(choose: random.Random | None) -> list[str]:
        world = village(price=100 * UNIT, name="sun")
        village(price=100 * UNIT, name="sea", world=world)
        for _ in range(12):
            start = world.now.replace(minute=0, second=0) - timedelta(hours=2)
            waiting = {
                name: [(f"{name}-load0", 5_000 + len(name)), (f"{name}-pv", 20_000)]
                for name in ("sun", "sea")
            }
            while any(waiting.values()):
                names = sorted(name for name, left in waiting.items() if left)
                name = choose.choice(names) if choose else names[0]
                meter, value = waiting[name].pop(0)
                if start > world.now - 40 * DAY:
                    world.measure(meter, start, 3_600, (value,))
                if choose and choose.random() < 0.5:
                    world.settle()
            world.settle()
            world.advance(5 * DAY)
        return _bills(world)

    alone, mixed = played(None), played(random.Random(seed))
    assert Counter(alone) == Counter(mixed)
    assert len(alone) > 6
