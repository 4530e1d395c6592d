"""The market of a slot: by hand, by a published example, by laws, by brute force."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.envelope import FACT_SIZE_MAX, Draft, encode
from libs.events.quantities import INTEGER_MAX
from libs.events.trading import MARKET_KEY, MATCHES_MAX, TOKEN, SlotCleared, SlotMatch
from libs.rules.market import (
    CLEARING_LAG_S,
    LIMIT_PRICE_MIN,
    ORDERS_PER_SLOT_MAX,
    Clearing,
    Match,
    Order,
    bid_hold_stroops,
    clear,
    clears_at,
    slot_of,
)

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
CENT = 100_000
"""A cent per kWh in stroops per kWh."""


def bid(name: str, energy_wh: int, limit: int, ordinal: int) -> Order:
    return Order(name, f"buyer-of-{name}", "bid", energy_wh, limit, ordinal)


def offer(name: str, energy_wh: int, limit: int, ordinal: int) -> Order:
    return Order(name, f"seller-of-{name}", "offer", energy_wh, limit, ordinal)


# Few prices and small amounts, so that ties, exact fits and orders served in part are common.
sides = st.lists(
    st.tuples(
        st.booleans(),
        st.integers(1, 12),
        st.sampled_from([1_000, 1_001, 1_002, 1_500, 1_999, 2_000, 777_777]),
        st.integers(0, 3),
    ),
    max_size=14,
)


@st.composite
def slots(draw: st.DrawFn) -> list[Order]:
    ordinals = draw(st.permutations(range(len(drawn := draw(sides)))))
    return [
        Order(
            f"{'bid' if is_bid else 'offer'}-{number}",
            f"{'buyer' if is_bid else 'seller'}-{member}",
            "bid" if is_bid else "offer",
            energy_wh,
            limit,
            ordinal,
        )
        for number, ((is_bid, energy_wh, limit, member), ordinal) in enumerate(
            zip(drawn, ordinals, strict=True)
        )
    ]


def wanted(orders: Sequence[Order], price: int) -> tuple[int, int]:
    """Energy that could be bought and sold at a price within all limits."""
    return (
        sum(o.energy_wh for o in orders if o.side == "bid" and o.limit_stroops_per_kwh >= price),
        sum(o.energy_wh for o in orders if o.side == "offer" and o.limit_stroops_per_kwh <= price),
    )


def most(orders: Sequence[Order]) -> int:
    """The most that any one price moves: by trying every limit."""
    prices = {order.limit_stroops_per_kwh for order in orders}
    return max((min(wanted(orders, price)) for price in prices), default=0)


def by_id(orders: Sequence[Order]) -> dict[str, Order]:
    return {order.id: order for order in orders}


def served(cleared: Clearing) -> Counter[str]:
    energy: Counter[str] = Counter()
    for match in cleared.matches:
        energy[match.bid] += match.energy_wh
        energy[match.offer] += match.energy_wh
    return energy


@given(slots())
def test_as_much_energy_moves_as_any_price_allows(orders: list[Order]) -> None:
    cleared = clear(orders)
    assert cleared.energy_wh == most(orders)
    assert (cleared.price_stroops_per_kwh is None) == (not cleared.matches)
    if cleared.price_stroops_per_kwh is not None:
        assert min(wanted(orders, cleared.price_stroops_per_kwh)) == cleared.energy_wh


@given(slots())
def test_the_price_lies_in_the_middle_of_the_published_interval(orders: list[Order]) -> None:
    cleared = clear(orders)
    if cleared.price_stroops_per_kwh is None:
        return
    # Wurman, Walsh, Wellman (1998): with M units on sale, the M-th and the next highest limit.
    units = sorted(
        (order.limit_stroops_per_kwh for order in orders for _ in range(order.energy_wh)),
        reverse=True,
    )
    on_sale = sum(order.energy_wh for order in orders if order.side == "offer")
    high, low = units[on_sale - 1], units[on_sale]
    assert low <= cleared.price_stroops_per_kwh <= high
    assert cleared.price_stroops_per_kwh == round(Fraction(low + high, 2))


@given(slots())
def test_nobody_trades_worse_than_his_limit_and_nobody_better_is_left_out(
    orders: list[Order],
) -> None:
    cleared, known = clear(orders), by_id(orders)
    price = cleared.price_stroops_per_kwh
    for match in cleared.matches:
        assert price is not None
        assert known[match.offer].limit_stroops_per_kwh <= price
        assert price <= known[match.bid].limit_stroops_per_kwh
    if price is None:
        return
    for order in orders:
        gain = price - order.limit_stroops_per_kwh
        if order.side == "bid":
            gain = -gain
        if gain > 0:
            assert cleared.left_wh[order.id] == 0
        elif gain < 0:
            assert cleared.left_wh[order.id] == order.energy_wh


@given(slots())
def test_energy_and_money_balance_exactly(orders: list[Order]) -> None:
    cleared, known, energy = clear(orders), by_id(orders), served(clear(orders))
    assert sum(match.energy_wh for match in cleared.matches) == cleared.energy_wh
    assert set(cleared.left_wh) == set(known)
    for order in orders:
        assert cleared.left_wh[order.id] >= 0
        assert energy[order.id] + cleared.left_wh[order.id] == order.energy_wh
    for match in cleared.matches:
        assert match.energy_wh >= 1
        assert match.amount_stroops >= 1
        assert (match.buyer, match.seller) == (known[match.bid].member, known[match.offer].member)
        assert match.buyer != match.seller
    assert len(cleared.matches) < max(1, len(orders))
    assert len({(match.bid, match.offer) for match in cleared.matches}) == len(cleared.matches)


@given(slots())
def test_a_bid_costs_its_energy_times_the_price_and_never_more_than_is_held(
    orders: list[Order],
) -> None:
    cleared, known = clear(orders), by_id(orders)
    costs: Counter[str] = Counter()
    for match in cleared.matches:
        costs[match.bid] += match.amount_stroops
        exact = Fraction(match.energy_wh * (cleared.price_stroops_per_kwh or 0), 1_000)
        assert abs(match.amount_stroops - exact) < 2
    for name, energy in served(cleared).items():
        order = known[name]
        if order.side == "bid":
            assert costs[name] == round(
                Fraction(energy * (cleared.price_stroops_per_kwh or 0), 1_000)
            )
            assert costs[name] <= bid_hold_stroops(order.energy_wh, order.limit_stroops_per_kwh)


@given(slots(), st.randoms())
def test_the_arrangement_of_the_orders_changes_nothing(orders: list[Order], random: Random) -> None:
    shuffled = orders.copy()
    random.shuffle(shuffled)
    assert clear(shuffled) == clear(orders)


@given(slots())
def test_of_equal_limits_the_earlier_order_is_served_first(orders: list[Order]) -> None:
    cleared, energy = clear(orders), served(clear(orders))
    for one in orders:
        for other in orders:
            is_tie = (one.side, one.limit_stroops_per_kwh) == (
                other.side,
                other.limit_stroops_per_kwh,
            )
            if is_tie and one.ordinal < other.ordinal and energy[other.id]:
                assert cleared.left_wh[one.id] == 0


@given(st.integers(1, INTEGER_MAX), st.integers(LIMIT_PRICE_MIN, 10**12))
def test_a_bid_holds_what_it_costs_at_its_limit(energy_wh: int, limit: int) -> None:
    held = bid_hold_stroops(energy_wh, limit)
    assert held == round(Fraction(energy_wh * limit, 1_000))
    assert held >= energy_wh


def test_a_slot_computed_by_hand() -> None:
    orders = [
        bid("late", 400, 20 * CENT, 6),
        bid("early", 500, 20 * CENT, 2),
        bid("low", 1_000, 8 * CENT, 3),
        offer("cheap", 300, 6 * CENT, 5),
        offer("roof", 350, 10 * CENT, 4),
        offer("dear", 700, 25 * CENT, 1),
    ]
    # 650 Wh are offered up to 20 cents: `early` gets 500, `late` 150 of 400. `late` would take
    # more at any price below 20 cents, so the price is 20 cents.
    assert clear(orders) == Clearing(
        20 * CENT,
        650,
        (
            Match("early", "cheap", "buyer-of-early", "seller-of-cheap", 300, 600_000),
            Match("early", "roof", "buyer-of-early", "seller-of-roof", 200, 400_000),
            Match("late", "roof", "buyer-of-late", "seller-of-roof", 150, 300_000),
        ),
        {"early": 0, "late": 250, "low": 1_000, "cheap": 0, "roof": 0, "dear": 700},
    )


@pytest.mark.parametrize(
    ("orders", "price"),
    [
        # One bid and one offer that fit: the middle.
        ([bid("b", 10, 3_000, 1), offer("o", 10, 1_000, 2)], 2_000),
        # Half a stroop goes to the even side.
        ([bid("b", 10, 1_004, 1), offer("o", 10, 1_001, 2)], 1_002),
        ([bid("b", 10, 1_006, 1), offer("o", 10, 1_001, 2)], 1_004),
        # A bid that is left out pushes the price up to its limit, an offer pulls it down.
        ([bid("b", 10, 3_000, 1), offer("o", 10, 1_000, 2), bid("c", 5, 2_900, 3)], 2_950),
        ([bid("b", 10, 3_000, 1), offer("o", 10, 1_000, 2), offer("p", 5, 1_100, 3)], 1_050),
        # An order that is served in part sets the price.
        ([bid("b", 11, 3_000, 1), offer("o", 10, 1_000, 2)], 3_000),
        ([bid("b", 10, 3_000, 1), offer("o", 11, 1_000, 2)], 1_000),
        # Equal limits meet; a stroop apart they do not.
        ([bid("b", 1, 1_000, 1), offer("o", 1, 1_000, 2)], 1_000),
        ([bid("b", 1, 1_000, 1), offer("o", 1, 1_001, 2)], None),
        ([bid("b", 1, 1_000, 1)], None),
        ([offer("o", 1, 1_000, 1)], None),
        ([], None),
    ],
)
def test_prices_computed_by_hand(orders: list[Order], price: int | None) -> None:
    assert clear(orders).price_stroops_per_kwh == price


def test_the_example_of_the_australian_exchange() -> None:
    # The opening auction of "stock X": 1,000 shares at 6.39 under the exchange's four principles
    # (most volume, least surplus, market pressure, reference price). Source: readings of the UNSW
    # trading engine course, cgi.cse.unsw.edu.au/~fethir/TradingEngineCourse/session3, appendix.
    bids = [(500, 640), (500, 639), (500, 639), (1_000, 634), (500, 633)]
    offers = [(1_000, 610), (500, 640), (520, 641), (550, 642), (519, 643)]
    orders = [bid(f"b{at}", n, cents * CENT, at) for at, (n, cents) in enumerate(bids)]
    orders += [offer(f"o{at}", n, cents * CENT, at + 5) for at, (n, cents) in enumerate(offers)]
    cleared = clear(orders)
    assert cleared.price_stroops_per_kwh == 639 * CENT
    assert [(each.bid, each.offer, each.energy_wh) for each in cleared.matches] == [
        ("b0", "o0", 500),
        ("b1", "o0", 500),
    ]


def test_a_cost_that_does_not_divide_is_split_by_the_largest_remainder() -> None:
    # 5 Wh at 1,500 cost 7.5, so 8 (half to even): 2 Wh get 3.2, 3 Wh get 4.8.
    cleared = clear([bid("b", 5, 1_500, 1), offer("x", 2, 1_500, 2), offer("y", 3, 1_500, 3)])
    assert [match.amount_stroops for match in cleared.matches] == [3, 5]
    # 10 Wh at 1,050 cost 10.5, so 10 (half to even): equal parts.
    tie = [bid("b", 10, 1_050, 1), offer("y", 5, 1_050, 2), offer("x", 5, 1_050, 3)]
    assert [match.amount_stroops for match in clear(tie).matches] == [5, 5]
    # 6 Wh at 1,250 cost 7.5, so 8: the odd stroops go to the lower ids, not to the earlier.
    odd = [bid("b", 6, 1_250, 1)]
    odd += [offer(name, 2, 1_250, 2 + at) for at, name in enumerate("zyx")]
    assert [(match.offer, match.amount_stroops) for match in clear(odd).matches] == [
        ("z", 2),
        ("y", 3),
        ("x", 3),
    ]


def test_a_member_on_both_sides_is_an_error_of_ours() -> None:
    mine = [Order("b", "ann", "bid", 1, 1_000, 1), Order("o", "ann", "offer", 1, 2_000, 2)]
    with pytest.raises(AssertionError, match="own-order-crosses"):
        clear(mine)


@pytest.mark.parametrize(
    "change",
    [
        {"energy_wh": 0},
        {"limit_stroops_per_kwh": LIMIT_PRICE_MIN - 1},
        {"id": "o"},
        {"ordinal": 1},
    ],
)
def test_an_order_that_nobody_should_have_taken_is_an_error_of_ours(
    change: dict[str, object],
) -> None:
    values: dict[str, object] = {"id": "b", "energy_wh": 1, "limit_stroops_per_kwh": 1_000}
    values |= {"member": "ann", "side": "bid", "ordinal": 2} | change
    with pytest.raises(AssertionError):
        clear([Order(**values), offer("o", 1, 1_000, 1)])  # type: ignore[arg-type] # test data


def test_a_slot_is_a_quarter_of_an_hour_and_clears_two_hours_after_its_end() -> None:
    last = NOON + timedelta(seconds=899)
    assert slot_of(NOON) == slot_of(last) == NOON
    assert slot_of(last + timedelta(seconds=1)) == NOON + timedelta(seconds=900)
    assert slot_of(NOON - timedelta(seconds=1)) == NOON - timedelta(seconds=900)
    assert clears_at(NOON) == NOON + timedelta(seconds=900 + CLEARING_LAG_S)
    assert clears_at(NOON) == datetime(2026, 6, 1, 14, 15, tzinfo=UTC)


def test_the_largest_slot_fits_into_one_fact() -> None:
    longest = "x" * 64
    match = SlotMatch(
        bid=longest,
        offer=longest,
        buyer=longest,
        seller=longest,
        energy_wh=INTEGER_MAX,
        total_stroops=INTEGER_MAX,
    )
    fact = SlotCleared(
        slot=NOON,
        asset=TOKEN,
        orders=ORDERS_PER_SLOT_MAX,
        price_stroops_per_kwh=10**12,
        energy_wh=INTEGER_MAX,
        matches=(match,) * (ORDERS_PER_SLOT_MAX - 1),
    )
    assert ORDERS_PER_SLOT_MAX <= MATCHES_MAX
    partitions = " ".join(f"READINGS_{n:03}:{INTEGER_MAX}:{'0' * 32}" for n in range(256))
    _, data = encode(
        Draft(MARKET_KEY, fact, "market.x", NOON),
        deployment="d" * 64,
        stream=f"LEDGER_{longest}",
        n=1,
        cause="- test",
        seen=partitions,
    )
    assert len(data) <= FACT_SIZE_MAX
