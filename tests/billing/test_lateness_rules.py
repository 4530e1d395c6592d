"""Lateness by given / when / then: each step to the second, once, in order, and by what it ends."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.billing_commands import DisputeInvoice
from libs.events.books import OwnershipTransferred, TitleMove
from libs.events.dunning import (
    AlertRaised,
    ReminderSent,
    SternNoticeSent,
)
from libs.events.fact import Fact
from libs.events.repaying import CreditNoteSettled, PrepaidApplied
from libs.events.systems import HoldingOwned, HoldingReclaimed, HoldingTransferred
from services.billing.lateness import ladder
from tests.billing.lateness_world import (
    LADDER,
    LEDGER,
    READINGS,
    SECOND,
    STEADY_S,
    World,
    interleaved,
)
from tests.histories import ANY_COMMAND_SIGNED, START

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


def later(due: datetime, periods: int, kind: str, zone: str) -> datetime:
    """The same local time some periods later, by another way than the rule's."""
    local = due.astimezone(ZoneInfo(zone))
    if kind != "month":
        return (local + periods * int(kind[:-1]) * DAY).astimezone(UTC)
    year, month = local.year, local.month
    for _ in range(periods):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    for day in range(local.day, 27, -1):
        try:
            return local.replace(year=year, month=month, day=day).astimezone(UTC)
        except ValueError:
            continue
    return local.replace(year=year, month=month).astimezone(UTC)


def climbed(world: World, days: int = 400) -> list[tuple[str, int]]:
    """Steps and the day on which each came, a day at a time."""
    found: list[tuple[str, int]] = []
    first = (world.now - START).days + 1
    for day in range(first, first + days):
        found += [(name, day) for name in world.steps(START + day * DAY)]
    return found


# Escalation to the second


@pytest.mark.parametrize("grace", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("kind", ["14d", "28d", "month"])
@pytest.mark.parametrize(
    ("zone", "due"),
    [
        ("UTC", "2026-06-01T00:00:00+00:00"),
        ("America/Denver", "2026-10-18T07:30:00+00:00"),  # 01:30 local: twice on 1 November
        ("America/Denver", "2027-02-14T09:30:00+00:00"),  # 02:30 local: not on 14 March
        ("Europe/Berlin", "2026-08-31T22:00:00+00:00"),
        ("Europe/Berlin", "2027-01-31T11:00:00+00:00"),  # the 31st, which months lack
        ("Australia/Lord_Howe", "2026-09-20T15:15:00+00:00"),  # half an hour of summer time
        ("Pacific/Apia", "2026-07-01T11:59:59+00:00"),
    ],
)
def test_each_step_comes_at_its_second_and_not_one_before(
    zone: str, due: str, kind: str, grace: int
) -> None:
    world = World(period=kind, time_zone=zone, grace_periods=grace, notice_s=0)
    due_at = datetime.fromisoformat(due).astimezone(UTC)
    world.issue(due_at)
    expected: dict[datetime, list[str]] = {}
    for name, periods in [*zip(LADDER[:3], (1, 2, 4), strict=True), ("diversion", grace)]:
        expected.setdefault(later(due_at, periods, kind, zone), []).append(name)
    for name, periods in (("disconnection", 6), ("reclaim", 12)):
        expected.setdefault(later(due_at, periods, kind, zone), []).append(name)
    for instant, names in sorted(expected.items()):
        assert world.steps(instant - SECOND) == []
        if names == ["ReminderSent"]:
            assert world.steps(instant) == []
            instant += SECOND  # noqa: PLW2901 - strictly after the first period
        assert world.steps(instant) == names
        assert world.steps(instant + SECOND) == []
    assert world.steps(later(due_at, 30, kind, zone)) == []


def test_steps_of_equal_periods_come_in_the_order_of_the_table_a_notice_apart() -> None:
    world = World(grace_periods=4)
    world.issue(START)
    assert climbed(world) == [
        ("ReminderSent", 15),
        ("AlertRaised", 28),
        ("SternNoticeSent", 56),
        ("diversion", 63),
        ("disconnection", 84),
        ("reclaim", 168),
    ]


def test_a_short_grace_comes_before_the_stern_notice() -> None:
    world = World(grace_periods=2)
    world.issue(START)
    names = [name for name, _ in climbed(world)]
    assert names == ["ReminderSent", "AlertRaised", "diversion", *LADDER[2:3], *LADDER[4:]]


def test_a_site_without_an_offtaker_has_no_diversion() -> None:
    world = World(offtaker=None)
    world.issue(START)
    assert [name for name, _ in climbed(world)] == [*LADDER[:3], *LADDER[4:]]
    assert [step.name for step in ladder(6, has_offtaker=False)] == [
        "reminder",
        "alert",
        "stern",
        "disconnection",
        "reclaim",
    ]


def test_a_jump_of_time_skips_no_step_and_no_notice() -> None:
    world = World()
    world.issue(START)
    at = START + 1_000 * DAY
    assert world.steps(at) == ["ReminderSent"]
    for name in LADDER[1:]:
        assert world.steps(at + 7 * DAY - SECOND) == []
        at += 7 * DAY
        assert world.steps(at) == [name]
    assert world.steps(at + 1_000 * DAY) == []


def test_a_notice_says_who_is_late_for_what_and_by_how_much() -> None:
    world = World()
    first, _ = world.issue(START, 30_000_000), world.issue(START + 20 * DAY, 20_000_000)
    world.pay(first, 5_000_000)
    (fact,) = world.to(START + 29 * DAY)
    assert fact == ReminderSent(
        agreement="agr",
        recipient="home",
        invoice=first,
        overdue_stroops=45_000_000,
        periods_late=2,
    )
    recorded = next(each for each in world.history.facts if each.fact == fact)
    assert recorded.envelope.time == START + 29 * DAY
    assert recorded.envelope.cause.endswith(" BILLING_pilot.3")


# What makes late, and what does not


@pytest.mark.parametrize(("open_stroops", "is_late"), [(1_000_000, False), (1_000_001, True)])
def test_ten_cents_make_nobody_late(open_stroops: int, is_late: bool) -> None:
    world = World()
    invoice = world.issue(START)
    world.pay(invoice, 50_000_000 - open_stroops)
    assert bool(world.steps(START + 100 * DAY)) == is_late


def test_a_part_payment_neither_stops_nor_resets_the_clock() -> None:
    world = World()
    invoice = world.issue(START)
    world.steps(START + 13 * DAY)
    world.pay(invoice, 40_000_000)
    assert world.steps(START + 14 * DAY) == []
    assert world.steps(START + 14 * DAY + SECOND) == ["ReminderSent"]


def test_the_part_by_which_a_new_invoice_is_higher_is_late_by_its_own_due_time() -> None:
    world = World(notice_s=0)
    invoice = world.issue(START, 50_000_000, later_due_at=START + 5 * DAY, later_stroops=20_000_000)
    world.pay(invoice, 30_000_000)
    assert world.steps(START + 19 * DAY) == []
    assert world.steps(START + 19 * DAY + SECOND) == ["ReminderSent"]


def test_of_a_new_invoice_the_old_part_is_late_by_the_old_due_time() -> None:
    world = World(notice_s=0)
    world.issue(START, 50_000_000, later_due_at=START + 50 * DAY, later_stroops=20_000_000)
    (fact,) = world.to(START + 14 * DAY + SECOND)
    assert isinstance(fact, ReminderSent)
    assert fact.overdue_stroops == 30_000_000


def test_a_credited_invoice_is_not_open_and_the_new_one_goes_on_in_its_place() -> None:
    world = World()
    invoice = world.issue(START)
    assert world.steps(START + 28 * DAY) == ["ReminderSent"]
    world.credit(invoice, 50_000_000)
    world.issue(START, 40_000_000, name=f"{invoice}.2", replaces=invoice)
    (alert,) = world.to(START + 35 * DAY)
    assert isinstance(alert, AlertRaised)
    assert (alert.invoice, alert.overdue_stroops) == (f"{invoice}.2", 40_000_000)


def test_an_invoice_that_replaces_a_paid_one_sends_nothing_until_the_ledger_has_read_it() -> None:
    world = World()
    invoice = world.issue(START)
    world.pay(invoice)
    world.steps(START + 100 * DAY)
    world.credit(invoice, 50_000_000)
    world.issue(START, 40_000_000, name=f"{invoice}.2", replaces=invoice)
    assert world.late_facts(world.stage.follow_up()) == []
    settled = CreditNoteSettled(
        credit_note=f"{invoice}.credit",
        agreement="agr",
        asset="USD",
        invoice=invoice,
        unpaid=(),
        prepaid_stroops=50_000_000,
        refunds=(),
    )
    applied = PrepaidApplied(
        agreement="agr",
        asset="USD",
        invoice=f"{invoice}.2",
        amount_stroops=40_000_000,
        prepaid_stroops=10_000_000,
    )
    world.add(
        world.history.record(LEDGER, "agr", settled, time=world.now),
        world.history.record(LEDGER, "agr", applied, time=world.now),
    )
    assert world.steps(START + 200 * DAY) == []


@pytest.mark.parametrize("missing", [READINGS, LEDGER])
def test_nothing_is_decided_before_every_stream_has_reached_the_time(missing: str) -> None:
    world = World()
    invoice = world.issue(START)
    world.to(START + DAY)
    now = world.stage.now = world.now = START + 50 * DAY
    others = {READINGS, LEDGER} - {missing}
    world.add(*world.history.advance(now, *others, cadence_s=STEADY_S))
    assert world.stage.follow_up() == []
    world.pay(invoice)
    world.add(world.history.reach(missing, now))
    assert world.late_facts(world.stage.follow_up()) == []


def test_investors_and_guarantors_of_today_are_told_of_a_stern_notice() -> None:
    world = World()
    world.issue(START)
    repaid = OwnershipTransferred(
        payment="home.p",
        system="sun",
        holding="agr-h",
        agreement="agr",
        to_member="home",
        moves=(TitleMove(member="bob", shares=400),),
        own_shares=400,
        holding_units=1_000,
    )
    world.add(world.history.record(LEDGER, "agr", repaid))
    facts = [world.to(START + day * DAY) for day in (15, 28, 56)]
    (stern,) = facts[-1]
    assert isinstance(stern, SternNoticeSent)
    assert stern.told == ("ann", "gus")


def test_a_holding_that_changed_hands_takes_its_clock_with_it() -> None:
    world = World()
    world.issue(START)
    world.steps(START + 15 * DAY)
    moved = HoldingTransferred(
        holding="agr-h", from_member="home", to_member="eve", agreement="agr"
    )
    world.add(world.history.record(LEDGER, "agr-h", moved))
    (alert,) = world.to(START + 28 * DAY)
    assert isinstance(alert, AlertRaised)
    assert alert.recipient == "eve"


@pytest.mark.parametrize("is_owned", [True, False])
def test_the_clock_ends_with_the_holding(is_owned: bool) -> None:
    world = World()
    world.issue(START)
    world.steps(START + 15 * DAY)
    values: dict[str, Any] = {
        "holding": "agr-h",
        "system": "sun",
        "agreement": "agr",
        "member": "home",
        "units": 1_000,
    }
    ended: Fact = (
        HoldingOwned(**values, asset="USD")
        if is_owned
        else HoldingReclaimed(**values, moves=(), command=ANY_COMMAND_SIGNED)
    )
    world.add(world.history.record(LEDGER, "agr", ended, time=world.now))
    assert world.steps(START + 300 * DAY) == []


# Cured, and late again


def test_who_is_cured_begins_anew() -> None:
    world = World()
    first = world.issue(START)
    assert [name for name, _ in climbed(world, 40)] == LADDER[:2]
    second = world.issue(START + 50 * DAY)
    world.pay(first)
    assert climbed(world, 60) == [("ReminderSent", 65), ("AlertRaised", 78)]
    world.pay(second)
    assert climbed(world, 400) == []


def test_a_debt_without_a_moment_of_nothing_overdue_repeats_no_step() -> None:
    world = World()
    first = world.issue(START)
    assert [name for name, _ in climbed(world, 39)] == LADDER[:2]
    world.issue(START + 39 * DAY)  # due in the second in which the first one is paid
    world.pay(first)
    assert climbed(world, 100) == [
        ("SternNoticeSent", 39 + 56),
        ("diversion", 39 + 84),
        ("disconnection", 39 + 91),
    ]


def test_one_second_with_nothing_overdue_is_enough() -> None:
    world = World()
    first = world.issue(START)
    assert [name for name, _ in climbed(world, 39)] == LADDER[:2]
    world.issue(START + 39 * DAY + SECOND)
    world.pay(first)
    assert [name for name, _ in climbed(world, 40)] == LADDER[:2]


def test_a_dispute_of_everything_is_no_cure() -> None:
    world = World()
    invoice = world.issue(START)
    assert [name for name, _ in climbed(world, 30)] == LADDER[:2]
    body = DisputeInvoice(invoice=invoice, amount_stroops=50_000_000, reason="meter")
    assert world.stage.when("home", "d", body)
    assert climbed(world, 90 + 25) == []
    assert climbed(world, 1) == [("SternNoticeSent", 30 + 90 + 26)]


# Down for seven periods


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    paid_on=st.lists(st.integers(1, 27), min_size=1, max_size=4),
    step_days=st.sampled_from([1, 7, 14, 98]),
)
def test_billing_that_was_down_while_every_bill_was_paid_sends_nothing(
    seed: int, paid_on: list[int], step_days: int
) -> None:
    rng = random.Random(seed)
    world = World("agr", "two")
    named = rng.choices(["agr", "two"], k=len(paid_on))
    invoices = [world.issue(START + 14 * DAY, agreement=name) for name in named]
    before = len(world.history.facts)
    for day in range(1, 7 * 14 + 1):  # the others go on, and billing reads nothing
        world.now = START + day * DAY
        if day % step_days == 0 or day == 28:
            world.history.advance(world.now, READINGS, LEDGER, cadence_s=STEADY_S)
        for invoice, paid in zip(invoices, paid_on, strict=True):
            if paid == day:
                world.payment(invoice, 50_000_000)
    missed = world.history.facts[before:]
    world.restart(rng, upto=before)
    streams = [[each for each in missed if each.stream == name] for name in _INPUTS]
    for fact in interleaved(streams, rng):
        world.add(fact)
        assert world.late_facts(world.stage.follow_up()) == []
    assert world.book.timekeeper.common == START + 98 * DAY


_INPUTS = ("PRICES", LEDGER, READINGS)


@pytest.mark.parametrize("seed", range(20))
def test_a_writer_that_has_read_everything_sends_nothing_for_what_was_paid_late(seed: int) -> None:
    world = World()
    invoice = world.issue(START + 14 * DAY)
    for week in range(1, 15):
        world.now = START + week * 7 * DAY
        world.history.advance(world.now, READINGS, LEDGER, cadence_s=STEADY_S)
        if week == 13:
            world.payment(invoice, 50_000_000)
    world.restart(random.Random(seed))
    assert world.late_facts(world.stage.follow_up()) == []


@pytest.mark.parametrize("seed", range(20))
def test_billing_that_was_down_reminds_of_a_bill_that_nobody_paid(seed: int) -> None:
    world = World()
    world.issue(START + 14 * DAY)
    for week in range(1, 15):
        world.history.advance(START + week * 7 * DAY, READINGS, LEDGER, cadence_s=STEADY_S)
    world.restart(random.Random(seed))
    (fact,) = world.late_facts(world.stage.follow_up())
    assert isinstance(fact, ReminderSent)
    assert fact.periods_late == 6


def test_a_bill_that_is_written_while_billing_catches_up_is_late_once_it_could_be_paid() -> None:
    world = World()
    world.to(START + 13 * DAY)
    missed = [
        fact
        for day in range(14, 99, 7)
        for fact in world.history.advance(START + day * DAY, READINGS, LEDGER, cadence_s=STEADY_S)
    ]
    world.add(*missed[:3])
    world.now = world.stage.now = START + 14 * DAY
    world.issue(START + 28 * DAY)  # the ledger was at day 98 when this was written
    world.add(*missed[3:])
    assert world.late_facts(world.stage.follow_up()) == []
    assert world.steps(START + 99 * DAY) == []
    world.restart(random.Random(5))
    assert world.late_facts(world.stage.follow_up()) == []
    assert world.steps(START + 98 * DAY + 14 * DAY) == []
    assert world.steps(START + 98 * DAY + 14 * DAY + SECOND) == ["ReminderSent"]


# Cost


def test_nothing_is_looked_at_while_nothing_is_due() -> None:
    names = [f"agr-{number}" for number in range(50)]
    world = World(*names)
    for name in names:
        world.issue(START + 14 * DAY, agreement=name)
    world.to(START + HOUR)
    asked = world.book.asked
    for day in range(1, 28):
        world.to(START + day * DAY)
    assert world.book.asked == asked
    world.pay("agr-7-8")
    world.to(START + 28 * DAY)
    assert world.book.asked - asked == 1
    assert len(world.to(START + 28 * DAY + SECOND)) == 49


def test_who_owes_nothing_is_in_no_heap() -> None:
    world = World()
    invoice = world.issue(START)
    world.pay(invoice)
    world.to(START + DAY)
    world.issue(START, 0)
    world.to(START + 2 * DAY)
    assert world.book.lateness._next == {}
    assert world.book.lateness._arrears.agreements == ()


def test_what_is_due_stays_due_until_it_is_written_down() -> None:
    names = [f"agr-{number}" for number in range(150)]
    world = World(*names)
    for name in names:
        world.issue(START, agreement=name)
    world.now = START + 20 * DAY
    world.add(*world.history.advance(world.now, READINGS, LEDGER, cadence_s=STEADY_S))
    first, second = world.book.due(), world.book.due()
    assert [each.fact for each in first] == [each.fact for each in second]
    assert len(first) == 100
    assert len(world.late_facts(world.stage.follow_up())) == 150
