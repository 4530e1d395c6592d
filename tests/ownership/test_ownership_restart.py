"""Billing is down while the clock is played on: what it says when it comes back."""

import itertools
import random
from datetime import timedelta

import pytest

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.system_commands import Pay
from tests.ownership.joined import BILLING, COMMON, LEDGER
from tests.ownership.playing import World
from tests.ownership.scenes import DAY, NOTICES, SUPPLY, opened, told, use, village

PERIOD = 14 * DAY


def down_for_seven_periods() -> World:
    """Two bills of two households stand, both are paid while billing is down."""
    world = village(price=400 * 10**7, parts=(1, 1), offtaker="grid", cover=20 * 10**7)
    use(world, 10)
    world.advance(PERIOD + 2 * DAY)
    world.real.is_billing_down = True
    for number in range(7 * 14):
        world.now += DAY
        world.real.history.advance(world.now, "READINGS_0", cadence_s=86_400)
        world.real.run()
        if number == 3:
            pay_for_real(world)
        if number % 20 == 7:
            use_unseen(world)
    return world


def pay_for_real(world: World) -> None:
    """Every bill that was issued is paid."""
    for name, member in (("sun-0", "home"), ("sun-1", "hut")):
        amount = opened(world, name)
        assert amount > 0
        assert pay_unseen(world, amount, name, member)


def pay_unseen(world: World, amount: int, name: str, member: str) -> bool:
    world.count += 1
    body = Pay(agreement=name, amount_stroops=amount)
    return bool(world.real.ledger.ask(member, f"c{world.count}", body, world.now))


def use_unseen(world: World) -> None:
    """Readings go on while billing is down."""
    start = world.now.replace(minute=0, second=0) - timedelta(hours=5)
    for meter in ("sun-load0", "sun-load1", "sun-pv"):
        world.measure(meter, start, 3_600, (60_000,) if meter.endswith("pv") else (5_000,))


ORDERS = list(itertools.permutations((*COMMON, LEDGER)))[::3]
"""Forty of the 120: each stream comes first, last and in between."""


@pytest.mark.timeout(600)
def test_paid_bills_make_nobody_late_in_any_order_of_catching_up() -> None:
    world = down_for_seven_periods()
    billing, before = world.real.billing, len(world.real.history.facts)
    ends = {name: world.real.history.ends[name] for name in (BILLING, *COMMON, LEDGER)}
    issued = None
    for order in ORDERS:
        billing.begin_again(order, ends)
        drafts: list[Draft] = []
        while made := billing.rules.due():
            drafts += made
            for draft in made:
                # Only in thought: nothing is recorded, so that every order begins the same.
                recorded = _as_recorded(world, draft)
                billing.rules.evolve(recorded)
        names = [type(draft.fact).__name__ for draft in drafts]
        assert not set(names) & set(NOTICES), names
        bills = sorted(repr(d.fact) for d in drafts if "Invoice" in type(d.fact).__name__)
        assert issued in {None, tuple(bills)}, "another order gives other bills"
        issued = tuple(bills)
        assert names.count("InvoiceIssued") == 14
        world.real.history.facts = world.real.history.facts[:before]
        _rewind(world, ends)
    billing.begin_again(ORDERS[7], ends)
    world.real.is_billing_down = False
    world.real.run()
    assert told(world, *NOTICES, *SUPPLY) == []


def _as_recorded(world: World, draft: Draft) -> Recorded[Fact]:
    history = world.real.history
    return history.record(
        BILLING,
        draft.key,
        draft.fact,
        time=draft.time,
        fact_id=draft.id,
        cause=draft.cause or "- due",
    )


def _rewind(world: World, ends: dict[str, int]) -> None:
    history = world.real.history
    history.ends.update(ends)
    for place in [place for place in history._numbers if place[0] == BILLING]:
        history._numbers[place] = sum(
            1 for each in history.facts if (each.stream, each.envelope.key) == place
        )


@pytest.mark.parametrize("seed", range(6))
def test_paid_bills_make_nobody_late_when_streams_arrive_in_pieces(seed: int) -> None:
    """Billing decides between the pieces, with some streams far behind the others."""
    world = down_for_seven_periods()
    billing, choose = world.real.billing, random.Random(seed)
    while streams := sorted({each.stream for each in billing.waiting()}):
        name = choose.choice(streams)
        for recorded in billing.waiting(name)[: choose.randint(1, 120)]:
            billing.fold(recorded)
        billing.due()
    world.real.is_billing_down = False
    world.real.run()
    assert told(world, *NOTICES, *SUPPLY) == []
