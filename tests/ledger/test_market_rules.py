"""The market of a book by given / when / then: orders, every refusal, clearing in steps, laws."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.commands import DepositFunds
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.membership import MemberSuspended
from libs.events.quantities import INTEGER_MAX
from libs.events.timekeeping import TimeReached
from libs.events.trade_commands import PlaceOrder, TransferEnergy, WithdrawOrder
from libs.events.trading import (
    TOKEN,
    EnergyMinted,
    EnergyShortfallBooked,
    IntervalEnergy,
    MeterEnergy,
    OrderPlaced,
    OrderWithdrawn,
    SlotCleared,
    TradeExecuted,
)
from libs.rules.authority import Authority
from libs.rules.market import ORDERS_PER_SLOT_MAX, clears_at
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import HeliographError, NotFound, Refused
from services.ledger.domain import Book
from services.ledger.market import ORDERS_PER_MEMBER_MAX, STEP_FACTS_MAX, withdrawal
from services.ledger.moment import Moment
from services.ledger.slot_energy import SlotEnergy
from tests.dumping import like, through_snapshot
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, Stage

LEDGER = "LEDGER_pilot"
SLOT = START
CLEARS_DAYS = (900 + 7_200) / 86_400
"""From the start of a slot to when it is cleared."""

MONEY, ENERGY = f"U:{TOKEN}", "W"
RICH = 10**12
KWH = 1_000
SELLERS, BUYERS = ("sun", "wind"), ("mill", "farm")


def rules() -> Book:
    return Book(
        authority=Authority(deployment=DEPLOYMENT, service="ledger", book="pilot"),
        timekeeper=Timekeeper(LEDGER, ("READINGS_0",)),
        stream=LEDGER,
    )


def opened() -> Stage:
    """Two sellers, two buyers with money, midnight."""
    stage = Stage(rules(), LEDGER, "pilot")
    stage.given(stage.history.register("approver", "approver"))
    for member in (*SELLERS, *BUYERS):
        stage.given(stage.history.register(member, "factory"))
    stage.advance(0, "READINGS_0")
    for member in BUYERS:
        deposit = DepositFunds(member=member, asset=TOKEN, amount_stroops=RICH)
        stage.when("approver", f"money-{member}", deposit)
    return stage


def minted(
    stage: Stage,
    member: str,
    energy_wh: int,
    from_at: datetime = SLOT,
    served_wh: int = 0,
    interval_s: int = 900,
) -> Stage:
    fact = EnergyMinted(
        mint=f"h.{len(stage.history.facts)}",
        member=member,
        reason="surplus",
        energy_wh=energy_wh,
        served_wh=served_wh,
        system="plant",
        holding="h",
        interval_s=interval_s,
        intervals=(IntervalEnergy(from_at=from_at, energy_wh=energy_wh),),
        meters=(MeterEnergy(meter="pv", energy_wh=energy_wh),),
    )
    return stage.given(stage.history.record(LEDGER, member, fact))


def corrected(stage: Stage, member: str, energy_wh: int, taken_wh: int) -> Stage:
    fact = EnergyShortfallBooked(
        member=member,
        system="plant",
        holding="h",
        energy_wh=energy_wh,
        taken_wh=taken_wh,
        interval_s=900,
        intervals=(IntervalEnergy(from_at=SLOT, energy_wh=energy_wh),),
        meters=(MeterEnergy(meter="pv", energy_wh=energy_wh),),
    )
    return stage.given(stage.history.record(LEDGER, member, fact))


def by_approver(stage: Stage, member: str, energy_wh: int) -> Stage:
    """Tokens without a slot."""
    fact = EnergyMinted(
        mint=f"a.{len(stage.history.facts)}",
        member=member,
        reason="approver",
        energy_wh=energy_wh,
        served_wh=0,
        intervals=(),
        meters=(),
    )
    return stage.given(stage.history.record(LEDGER, member, fact))


def order(name: str, side: str, energy_wh: int, limit: int, slot: datetime = SLOT) -> PlaceOrder:
    return PlaceOrder.model_validate(
        {"orderId": name, "side": side, "slot": slot, "amount": energy_wh, "pricePerUnit": limit}
    )


def bid(
    stage: Stage, member: str, name: str, energy_wh: int, limit: int, slot: datetime = SLOT
) -> list[Fact]:
    return stage.when(member, f"place-{name}", order(name, "bid", energy_wh, limit, slot))


def offer(
    stage: Stage, member: str, name: str, energy_wh: int, limit: int, slot: datetime = SLOT
) -> list[Fact]:
    return stage.when(member, f"place-{name}", order(name, "offer", energy_wh, limit, slot))


def take_back(stage: Stage, member: str, name: str) -> list[Fact]:
    return stage.when(member, f"back-{name}", WithdrawOrder(orderId=name))


def book(stage: Stage) -> Book:
    assert isinstance(stage.rules, Book)
    return stage.rules


def money(stage: Stage, account: str) -> int:
    return book(stage).books.balance(MONEY, account)


def energy(stage: Stage, account: str) -> int:
    return book(stage).books.balance(ENERGY, account)


def holds(stage: Stage) -> dict[str, int]:
    books = book(stage).books
    return books.accounts(MONEY, "hold:") | books.accounts(ENERGY, "hold:")


def own_facts(stage: Stage, start: int = 0) -> list[Recorded[Fact]]:
    return [each for each in stage.history.facts[start:] if each.stream == LEDGER]


def clearing(stage: Stage, days: float = CLEARS_DAYS) -> list[Recorded[Fact]]:
    """What follows when the time comes; without the times that were reached."""
    before = len(stage.history.facts)
    stage.advance(days, "READINGS_0")
    return [each for each in own_facts(stage, before) if not isinstance(each.fact, TimeReached)]


def refusal(code: str) -> Any:
    return pytest.raises(HeliographError, match=f"^{code}: ")


def test_a_bid_holds_the_money_that_it_can_cost_at_most() -> None:
    stage = opened()
    (placed,) = bid(stage, "mill", "b-1", 1_500, 333_333)
    assert isinstance(placed, OrderPlaced)
    # 1.5 kWh at 0.0333333 are 499,999.5 stroops: half to even.
    assert placed.held_stroops == 500_000
    assert money(stage, "hold:mill:order.b-1") == 500_000
    assert money(stage, "wallet:mill") == RICH - 500_000
    assert placed.command is not None


def test_an_offer_holds_its_energy() -> None:
    stage = minted(opened(), "sun", 700)
    (placed,) = offer(stage, "sun", "o-1", 500, 1_000)
    assert isinstance(placed, OrderPlaced)
    assert placed.held_stroops == 0
    assert energy(stage, "hold:sun:order.o-1") == 500
    assert energy(stage, "kwh:sun") == 200


@pytest.mark.parametrize(
    ("placed", "code"),
    [
        (order("x", "bid", 1, 1_000, SLOT + timedelta(seconds=1)), "not-a-slot"),
        (order("x", "bid", 1, 1_000, SLOT + timedelta(seconds=450)), "not-a-slot"),
        (order("x", "bid", 1, 1_000, START + timedelta(days=7, seconds=900)), "slot-too-far"),
        (order("x", "bid", 1, 1_000, datetime(9999, 12, 31, 23, 45, tzinfo=UTC)), "slot-too-far"),
        (order("x", "bid", 1, 1_000, datetime(1, 1, 1, tzinfo=UTC)), "slot-closed"),
        (order("x", "bid", 1, 1_000, START - timedelta(seconds=8_100)), "slot-closed"),
        (order("x", "offer", 1, 1_000, START - timedelta(days=9)), "slot-closed"),
        (order("mine", "bid", 1, 1_000), "order-exists"),
        (order("x", "bid", 0, 1_000), "amount-not-positive"),
        (order("x", "bid", 1, 0), "price-too-low"),
        (order("x", "bid", 1, 999), "price-too-low"),
        (order("x", "bid", 1, 10**12 + 1), "out-of-range"),
        (order("x", "offer", 1, INTEGER_MAX), "out-of-range"),
        (order("x", "bid", KWH, RICH - 999_999), "insufficient-funds"),
        (order("x", "bid", INTEGER_MAX, 10**12), "insufficient-funds"),
        (order("x", "offer", 1, 1_000), "own-order-crosses"),
        (order("x", "offer", 1, 1_000, SLOT + timedelta(hours=1)), "not-minted-in-slot"),
    ],
)
def test_every_refusal_of_an_order_has_its_code(placed: PlaceOrder, code: str) -> None:
    stage = minted(opened(), "mill", 10)
    bid(stage, "mill", "mine", KWH, 1_000_000)
    state = like(book(stage))
    with refusal(code) as refused:
        stage.when("mill", "1", placed)
    assert refused.value.field is not None
    assert refused.value.field.startswith("body.")
    assert like(book(stage)) == state


def test_orders_are_taken_from_a_week_before_until_the_slot_is_closed() -> None:
    stage = opened()
    bid(stage, "mill", "early", KWH, 1_000, START + timedelta(days=7))
    bid(stage, "mill", "late", KWH, 1_000, START - timedelta(seconds=7_200))
    stage.advance(CLEARS_DAYS - 1 / 86_400, "READINGS_0")
    bid(stage, "mill", "last", KWH, 1_000)
    stage.advance(CLEARS_DAYS)
    with refusal("slot-closed"):
        bid(stage, "mill", "too-late", KWH, 1_000)


def test_an_offer_needs_tokens_of_its_slot_that_are_free_and_not_offered() -> None:
    stage = by_approver(opened(), "sun", 5 * KWH)
    with refusal("not-minted-in-slot"):
        offer(stage, "sun", "o-1", 1, 1_000)
    minted(stage, "sun", 100)
    with refusal("not-minted-in-slot"):
        offer(stage, "sun", "o-1", 101, 1_000)
    offer(stage, "sun", "o-1", 60, 1_000)
    with refusal("not-minted-in-slot"):
        offer(stage, "sun", "o-2", 41, 1_000)
    take_back(stage, "sun", "o-1")
    offer(stage, "sun", "o-2", 100, 1_000)
    with refusal("not-minted-in-slot"):
        offer(stage, "wind", "o-3", 1, 1_000)


def test_tokens_that_were_given_away_cannot_be_offered() -> None:
    stage = minted(opened(), "sun", 100)
    gift = TransferEnergy(fromFactoryId="sun", toFactoryId="wind", amount=70)
    given_away = stage.when("sun", "gift", gift)
    assert len(given_away) == 1
    with refusal("too-little-energy"):
        offer(stage, "sun", "o-1", 31, 1_000)
    with refusal("not-minted-in-slot"):  # a slot stays with the member for whom it was minted
        offer(stage, "wind", "o-2", 1, 1_000)
    offer(stage, "sun", "o-3", 30, 1_000)


def test_intervals_count_into_the_slot_in_which_they_lie() -> None:
    stage = opened()
    for minute in (0, 5, 10):
        minted(stage, "sun", 10, SLOT + timedelta(minutes=minute), interval_s=300)
    minted(stage, "sun", 1_000, SLOT + timedelta(minutes=15), interval_s=300)
    minted(stage, "sun", 5_000, SLOT, interval_s=3_600)  # longer than a slot: of none
    minted(stage, "sun", 5_000, SLOT + timedelta(minutes=10), interval_s=600)  # lies across
    with refusal("not-minted-in-slot"):
        offer(stage, "sun", "o-1", 31, 1_000)
    offer(stage, "sun", "o-1", 30, 1_000)
    offer(stage, "sun", "o-2", 1_000, 1_000, SLOT + timedelta(minutes=15))


def test_what_serves_a_shortfall_or_was_corrected_away_cannot_be_offered() -> None:
    stage = minted(opened(), "sun", 100)
    corrected(stage, "sun", 30, taken_wh=30)
    with refusal("not-minted-in-slot"):
        offer(stage, "sun", "o-1", 71, 1_000)
    gift = TransferEnergy(fromFactoryId="sun", toFactoryId="wind", amount=70)
    stage.when("sun", "gift", gift)
    corrected(stage, "sun", 70, taken_wh=0)
    minted(stage, "sun", 100, served_wh=70)
    by_approver(stage, "sun", KWH)
    with refusal("not-minted-in-slot"):
        offer(stage, "sun", "o-1", 31, 1_000)
    offer(stage, "sun", "o-1", 30, 1_000)


def test_of_several_intervals_the_first_serve_the_shortfall() -> None:
    intervals = tuple(
        IntervalEnergy(from_at=SLOT + timedelta(minutes=15 * at), energy_wh=100) for at in range(3)
    )
    fact = EnergyMinted(
        mint="h.1",
        member="sun",
        reason="surplus",
        energy_wh=300,
        served_wh=120,
        system="plant",
        holding="h",
        interval_s=900,
        intervals=intervals,
        meters=(MeterEnergy(meter="pv", energy_wh=300),),
    )
    energy_of_slots = SlotEnergy()
    energy_of_slots.evolve(fact)
    left = [energy_of_slots.left_wh(each.from_at, "sun") for each in intervals]
    assert left == [0, 80, 100]
    assert energy_of_slots.left_wh(SLOT, "wind") == 0


def test_the_energy_of_a_closed_slot_is_forgotten_for_ever() -> None:
    counts, later = SlotEnergy(), SLOT + timedelta(minutes=15)
    for slot in (SLOT, later):
        counts.change(slot, "sun", 100)
    counts.evolve(TimeReached(to=clears_at(SLOT) - timedelta(seconds=1)))
    assert counts.left_wh(SLOT, "sun") == 100
    counts.evolve(TimeReached(to=clears_at(SLOT)))
    counts.change(SLOT, "sun", 7)  # a correction that comes late
    assert (counts.left_wh(SLOT, "sun"), counts.left_wh(later, "sun")) == (0, 100)


def test_a_correction_of_what_was_sold_leaves_less_than_nothing_to_offer() -> None:
    stage = minted(opened(), "sun", 100)
    offer(stage, "sun", "o-1", 100, 1_000)
    corrected(stage, "sun", 40, taken_wh=0)
    minted(stage, "sun", 41, served_wh=40)
    by_approver(stage, "sun", KWH)
    with refusal("not-minted-in-slot"):
        offer(stage, "sun", "o-2", 1, 1_000)  # 100 - 40 + 1 are minted, 100 offered


def test_a_withdrawn_order_frees_what_it_holds_and_its_id_stays_used() -> None:
    stage = minted(opened(), "sun", 100)
    offer(stage, "sun", "o-1", 100, 1_000)
    bid(stage, "mill", "b-1", KWH, 2_000)
    (back,) = take_back(stage, "sun", "o-1")
    assert isinstance(back, OrderWithdrawn)
    assert (back.energy_wh, back.returned_stroops, back.reason) == (100, 0, "member")
    (paid_back,) = take_back(stage, "mill", "b-1")
    assert isinstance(paid_back, OrderWithdrawn)
    assert (paid_back.energy_wh, paid_back.returned_stroops) == (KWH, 2_000)
    assert paid_back.command is not None
    assert holds(stage) == {}
    assert (energy(stage, "kwh:sun"), money(stage, "wallet:mill")) == (100, RICH)
    with refusal("order-exists"):
        stage.when("farm", "1", order("o-1", "bid", 1, 1_000))
    with refusal("order-closed"):
        stage.when("sun", "2", WithdrawOrder(orderId="o-1"))
    assert clearing(stage) == []


def test_every_refusal_to_withdraw_has_its_code() -> None:
    stage = opened()
    bid(stage, "mill", "b-1", KWH, 2_000)
    with pytest.raises(NotFound, match=r"^unknown-order: "):
        take_back(stage, "mill", "never")
    with refusal("not-your-order"):
        take_back(stage, "farm", "b-1")
    stage.advance(CLEARS_DAYS)  # the slot is closed, but READINGS has not come so far
    with refusal("slot-closed"):
        take_back(stage, "mill", "b-1")
    assert holds(stage) == {"hold:mill:order.b-1": 2_000}


def test_a_member_may_bid_in_one_slot_and_offer_in_another() -> None:
    stage = minted(opened(), "mill", 100)
    offer(stage, "mill", "o-1", 100, 1_000)
    with refusal("own-order-crosses"):
        bid(stage, "mill", "b-1", 1, 1_000)
    bid(stage, "mill", "b-2", 1, 1_000, SLOT + timedelta(minutes=15))
    take_back(stage, "mill", "o-1")
    bid(stage, "mill", "b-3", 1, 1_000)


def test_nobody_fills_a_slot_alone() -> None:
    stage = opened()
    for number in range(ORDERS_PER_MEMBER_MAX):
        bid(stage, "mill", f"b-{number}", 1, 1_000)
    with refusal("too-many-orders"):
        bid(stage, "mill", "one-more", 1, 1_000)
    bid(stage, "mill", "elsewhere", 1, 1_000, SLOT + timedelta(minutes=15))
    bid(stage, "farm", "another", 1, 1_000)


def test_a_full_slot_takes_no_more_orders() -> None:
    stage = opened()
    for number in range(ORDERS_PER_SLOT_MAX):
        minted(stage, f"s{number}", 1)
        fact = OrderPlaced(
            order=f"o-{number}",
            member=f"s{number}",
            side="offer",
            slot=SLOT,
            asset=TOKEN,
            energy_wh=1,
            limit_stroops_per_kwh=1_000,
            held_stroops=0,
        )
        stage.given(stage.history.record(LEDGER, f"s{number}", fact))
    with refusal("slot-full"):
        bid(stage, "mill", "one-more", 1, 1_000)
    facts = clearing(stage)
    assert len(facts) == 1 + ORDERS_PER_SLOT_MAX
    assert holds(stage) == {}


def test_a_cleared_slot_becomes_trades_and_gives_back_what_is_left() -> None:
    stage = minted(minted(opened(), "sun", 1_000), "wind", 600)
    offer(stage, "sun", "o-sun", 1_000, 500_000)
    offer(stage, "wind", "o-wind", 600, 900_000)
    bid(stage, "mill", "b-mill", 700, 1_000_000)
    bid(stage, "farm", "b-farm", 500, 800_000)
    cleared, *rest = clearing(stage)
    # mill takes 700 Wh of sun, farm the other 300 and would have liked 200 more at up to 0.08:
    # so the price is 0.08. wind asks 0.09 and sells nothing.
    assert isinstance(cleared.fact, SlotCleared)
    assert (cleared.fact.orders, cleared.fact.energy_wh) == (4, 1_000)
    assert cleared.fact.price_stroops_per_kwh == 800_000
    assert (cleared.envelope.key, cleared.envelope.id) == ("market", "slot:2026-06-01T00:00:00Z")
    assert cleared.envelope.time == clears_at(SLOT)
    trades = [each.fact for each in rest if isinstance(each.fact, TradeExecuted)]
    assert [(t.trade, t.seller, t.buyer, t.energy_wh, t.total_stroops) for t in trades] == [
        ("b-mill.o-sun", "sun", "mill", 700, 560_000),
        ("b-farm.o-sun", "sun", "farm", 300, 240_000),
    ]
    ended = [each.fact for each in rest if isinstance(each.fact, OrderWithdrawn)]
    assert [(o.order, o.energy_wh, o.returned_stroops, o.reason) for o in ended] == [
        ("o-wind", 600, 0, "cleared"),
        ("b-mill", 0, 140_000, "cleared"),
        ("b-farm", 200, 160_000, "cleared"),
    ]
    assert len(rest) == 5
    assert holds(stage) == {}
    assert (money(stage, "wallet:sun"), money(stage, "wallet:wind")) == (800_000, 0)
    assert (money(stage, "wallet:mill"), money(stage, "wallet:farm")) == (
        RICH - 560_000,
        RICH - 240_000,
    )
    assert [energy(stage, f"kwh:{each}") for each in (*SELLERS, *BUYERS)] == [0, 600, 700, 300]


def test_what_follows_from_a_slot_names_it_and_stands_under_its_owner() -> None:
    stage = minted(opened(), "sun", 10)
    offer(stage, "sun", "o", 10, 1_000)
    bid(stage, "mill", "b", 20, 2_000)
    cleared, trade, rest = clearing(stage)
    time_fact = next(each for each in reversed(stage.history.facts) if each.stream == "PRICES")
    assert cleared.envelope.cause == f"{time_fact.position} {time_fact.envelope.id}"
    for each, key in ((trade, "sun"), (rest, "mill")):
        assert each.envelope.cause == f"{cleared.position} {cleared.envelope.id}"
        assert each.envelope.key == key
    assert trade.envelope.id == "slot:2026-06-01T00:00:00Z.b.o"
    assert rest.envelope.id == "slot:2026-06-01T00:00:00Z.b"


def test_a_slot_clears_when_everything_of_its_time_was_read_and_not_before() -> None:
    stage = opened()
    bid(stage, "mill", "b-1", KWH, 2_000)
    assert clearing(stage, CLEARS_DAYS - 1 / 86_400) == []
    before = len(stage.history.facts)
    stage.advance(CLEARS_DAYS)  # READINGS is behind
    assert own_facts(stage, before) == []
    stage.given(stage.history.reach("READINGS_0", stage.now))
    cleared, rest, reached = stage.follow_up()
    assert isinstance(cleared, SlotCleared)
    assert (cleared.price_stroops_per_kwh, cleared.matches) == (None, ())
    assert isinstance(rest, OrderWithdrawn)
    # Only then the ledger says that it has reached the time.
    assert isinstance(reached, TimeReached)


def test_slots_without_orders_make_no_facts_and_the_others_clear_in_their_order() -> None:
    stage = opened()
    for minutes in (45, 0, 15):
        slot = SLOT + timedelta(minutes=minutes)
        bid(stage, "mill", f"b-{minutes}", KWH, 2_000, slot)
    facts = [each.fact for each in clearing(stage, 1)]
    assert [fact.slot for fact in facts if isinstance(fact, SlotCleared)] == [
        SLOT + timedelta(minutes=minutes) for minutes in (0, 15, 45)
    ]
    assert len(facts) == 6
    assert clearing(stage, 2) == []


def test_a_suspended_member_keeps_the_word_he_gave() -> None:
    stage = minted(opened(), "sun", 10)
    offer(stage, "sun", "o", 10, 1_000)
    bid(stage, "mill", "b", 10, 1_000)
    fact = MemberSuspended(
        member="sun", suspended=True, reason="fees-unpaid", command=ANY_COMMAND_SIGNED
    )
    stage.given(stage.history.record("MEMBERS", "sun", fact))
    with refusal("member-suspended"):
        take_back(stage, "sun", "o")
    clearing(stage)
    assert energy(stage, "kwh:mill") == 10


def correction(stage: Stage, member: str) -> list[str]:
    """What a downward correction does with the newest offer of a member."""
    market = book(stage).market
    names = [each.placed.order for each in market.newest_offers_of(member)]
    if names:
        newest = market.newest_offers_of(member)[0]
        fact = withdrawal(newest, "correction")
        stage.given(stage.history.record(LEDGER, member, fact))
    return names


def test_a_correction_takes_offers_back_the_newest_first() -> None:
    stage = minted(minted(opened(), "sun", 100), "sun", 50, SLOT + timedelta(minutes=15))
    offer(stage, "sun", "o-1", 40, 1_000)
    offer(stage, "sun", "o-2", 50, 1_000, SLOT + timedelta(minutes=15))
    offer(stage, "sun", "o-3", 30, 1_000)
    bid(stage, "farm", "b-1", 40, 1_000)
    assert book(stage).market.newest_offers_of("farm") == []
    assert correction(stage, "sun") == ["o-3", "o-2", "o-1"]
    assert correction(stage, "sun") == ["o-2", "o-1"]
    assert energy(stage, "kwh:sun") == 110
    assert holds(stage) == {"hold:sun:order.o-1": 40, "hold:farm:order.b-1": 40}
    assert [each.fact for each in clearing(stage)][1].trade == "b-1.o-1"  # type: ignore[attr-defined]
    assert correction(stage, "sun") == []


def step(stage: Stage) -> list[Fact]:
    """One decision of what is due, as after a crash."""
    return stage._record(stage.rules.due(), "- due")


def test_a_correction_does_not_touch_what_a_cleared_slot_has_promised() -> None:
    stage = minted(opened(), "sun", 10)
    offer(stage, "sun", "o", 10, 1_000)
    bid(stage, "mill", "b", 10, 1_000)
    stage.now = clears_at(SLOT)
    stage.given(*stage.history.advance(stage.now, "READINGS_0"))
    assert [offer.placed.order for offer in book(stage).market.newest_offers_of("sun")] == ["o"]
    (cleared,) = step(stage)
    assert isinstance(cleared, SlotCleared)
    assert book(stage).market.newest_offers_of("sun") == []
    (trade,) = step(stage)
    assert isinstance(trade, TradeExecuted)
    assert holds(stage) == {}


def many() -> Stage:
    """A slot with more results than one decision may hold, all money and energy in place."""
    stage = opened()
    for number in range(130):
        minted(stage, f"s{number}", 100)
        for side, member, limit, held in (
            ("bid", "mill", 2_000, 2 * (50 + number % 3)),
            ("offer", f"s{number}", 1_000 + number % 5, 0),
        ):
            fact = OrderPlaced.model_validate(
                {
                    "order": f"{side}-{number}",
                    "member": member,
                    "side": side,
                    "slot": SLOT,
                    "asset": TOKEN,
                    "energy_wh": 50 + number % (3 if side == "bid" else 4),
                    "limit_stroops_per_kwh": limit,
                    "held_stroops": held,
                }
            )
            stage.given(stage.history.record(LEDGER, member, fact))
    return stage


def test_a_large_slot_is_settled_in_steps_and_goes_on_after_a_crash_between_any_two() -> None:
    stage = many()
    stage.now = clears_at(SLOT)
    stage.given(*stage.history.advance(stage.now, "READINGS_0"))
    sizes = []
    while not isinstance((made := step(stage))[0], TimeReached):
        sizes.append(len(made))
        crashed = rules()
        for each in stage.history.facts:
            crashed.evolve(each)
        assert crashed.due() == stage.rules.due()
        facts = stage.history.facts
        _, loaded = through_snapshot(rules, Book.evolve, facts, len(facts))
        assert loaded.due() == stage.rules.due()
        assert like(crashed) == like(book(stage))
    assert sizes[0] == 1
    assert max(sizes) == STEP_FACTS_MAX
    assert len(sizes) > 3
    assert holds(stage) == {}


members = st.sampled_from((*BUYERS, *SELLERS))
limits = st.sampled_from([1_000, 1_001, 1_500, 1_777, 2_000])
slots = st.integers(0, 1)
bids = st.tuples(st.just("bid"), st.sampled_from(BUYERS), st.integers(1, 60), limits, slots)
offers = st.tuples(st.just("offer"), st.sampled_from(SELLERS), st.integers(1, 60), limits, slots)
others = st.one_of(
    st.tuples(st.sampled_from(["bid", "offer"]), members, st.integers(1, 60), limits, slots),
    st.tuples(st.just("back"), st.integers(0, 20)),
    st.tuples(st.just("advance"), st.integers(1, 60)),
    st.tuples(st.just("mint"), members, st.integers(1, 90)),
)
actions = st.lists(st.one_of(bids, offers, others), min_size=4, max_size=30)
Action = tuple[Any, ...]


def act(stage: Stage, number: int, action: Action) -> None:
    kind, *values = action
    if kind == "advance":
        days = (stage.now - START) / timedelta(days=1) + values[0] / 1_440
        stage.advance(round(days * 1_440) / 1_440, "READINGS_0")
    elif kind == "mint":
        member, energy_wh = values
        minted(stage, member, energy_wh, SLOT + timedelta(minutes=15 * (number % 2)))
    elif kind == "back":
        for member in (*BUYERS, *SELLERS):
            with suppress(Refused, NotFound):
                stage.when(member, f"back-{number}", WithdrawOrder(orderId=f"o-{values[0]}"))
    else:
        member, energy_wh, limit, at = values
        slot = SLOT + timedelta(minutes=15 * at)
        stage.when(member, f"place-{number}", order(f"o-{number}", kind, energy_wh, limit, slot))


def play(todo: Sequence[Action]) -> Stage:
    """A day of two slots in which the sellers have energy to begin with."""
    stage = opened()
    for seller in SELLERS:
        for at in range(2):
            minted(stage, seller, 150, SLOT + timedelta(minutes=15 * at))
    for number, action in enumerate(todo):
        with suppress(Refused, NotFound):
            act(stage, number, action)
    stage.advance(2, "READINGS_0")
    return stage


@settings(max_examples=60, deadline=None)
@given(actions, st.floats(0, 1))
def test_laws_hold_over_random_histories_and_over_a_snapshot_anywhere(
    todo: list[Action], share: float
) -> None:
    stage = play(todo)
    facts = [each.fact for each in own_facts(stage)]
    placed = {fact.order: fact for fact in facts if isinstance(fact, OrderPlaced)}
    trades = [fact for fact in facts if isinstance(fact, TradeExecuted)]
    ended = [fact.order for fact in facts if isinstance(fact, OrderWithdrawn)]
    everyone = (*BUYERS, *SELLERS)
    made = sum(fact.energy_wh for fact in facts if isinstance(fact, EnergyMinted))
    assert holds(stage) == {}, "two days later every slot is settled"
    assert len(ended) == len(set(ended))
    assert sum(money(stage, f"wallet:{member}") for member in everyone) == 2 * RICH
    assert sum(energy(stage, f"kwh:{member}") for member in everyone) == made
    for trade in trades:
        assert trade.bid is not None
        assert trade.offer is not None
        high, low = placed[trade.bid], placed[trade.offer]
        assert high.slot == low.slot == trade.slot
        assert low.limit_stroops_per_kwh <= trade.price_stroops_per_kwh
        assert trade.price_stroops_per_kwh <= high.limit_stroops_per_kwh
        assert trade.buyer != trade.seller
    for debits, credits_ in book(stage).books.totals().values():
        assert debits == credits_
    history = stage.history.facts
    cut = round(share * len(history))
    _, again = through_snapshot(rules, Book.evolve, history, cut)
    assert like(again) == like(book(stage))


def test_a_snapshot_taken_anywhere_in_a_clearing_leads_to_the_same_state() -> None:
    stage = minted(minted(opened(), "sun", 1_000), "wind", 600)
    offer(stage, "sun", "o-sun", 1_000, 500_000)
    offer(stage, "wind", "o-wind", 600, 900_000)
    bid(stage, "mill", "b-mill", 700, 1_000_000)
    bid(stage, "farm", "b-farm", 500, 800_000)
    bid(stage, "farm", "b-later", 500, 800_000, SLOT + timedelta(minutes=15))
    clearing(stage)
    history = stage.history.facts
    for cut in range(len(history) + 1):
        _, again = through_snapshot(rules, Book.evolve, history, cut)
        assert like(again) == like(book(stage))
        assert again.due() == ()


def test_a_moment_is_not_asked_for_before_there_is_one() -> None:
    assert Moment().now is None
    assert rules().market.due() == ()
