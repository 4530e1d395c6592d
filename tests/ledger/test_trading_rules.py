"""Energy and trades by given / when / then: the seed's story, every refusal, expiry, snapshots."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.books import FundsDeposited
from libs.events.command import Body
from libs.events.commands import DepositFunds
from libs.events.positions import write_cause
from libs.events.quantities import INTEGER_MAX
from libs.events.timekeeping import TimeReached
from libs.events.trade_commands import (
    CancelTrade,
    ExecuteTrade,
    MintEnergy,
    RetireEnergy,
    TransferEnergy,
)
from libs.events.trading import (
    EnergyMinted,
    EnergyRetired,
    EnergyShortfallBooked,
    EnergyTransferred,
    IntervalEnergy,
    MeterEnergy,
    TradeCancelled,
    TradeCreated,
    TradeExecuted,
    TradeExpired,
)
from libs.runtime.failures import NotFound, Refused
from services.ledger.trading import EXPIRIES_MAX
from tests.histories import START, Stage, key_of
from tests.ledger.network import (
    KWH,
    UNIT,
    book_of,
    factories,
    folded,
    fresh,
    held,
    hours,
    is_balanced,
    kwh,
    let_in,
    network,
    offer,
    refusal_of,
    registration,
    resumed,
    state_of,
    suspend,
    tokens,
)

EXECUTE = ExecuteTrade(tradeId="TRADE001")
CANCEL = CancelTrade(tradeId="TRADE001")


def mint(member: str, wh: int) -> MintEnergy:
    return MintEnergy(factoryId=member, amount=wh)


def give(wh: int, to_member: str = "Factory04", from_member: str = "Factory01") -> TransferEnergy:
    return TransferEnergy(fromFactoryId=from_member, toFactoryId=to_member, amount=wh)


def retire(wh: int, member: str = "Factory01") -> RetireEnergy:
    return RetireEnergy(factoryId=member, amount=wh)


def offered(**changes: object) -> Stage:
    stage = factories()
    stage.when("Factory01", "create", offer(**changes))
    return stage


def executed() -> Stage:
    stage = offered()
    stage.when("Factory04", "execute", EXECUTE)
    return stage


def cancelled() -> Stage:
    stage = offered()
    stage.when("Factory01", "cancel", CANCEL)
    return stage


def expired() -> Stage:
    stage = offered()
    stage.advance(1)
    return stage


def poor() -> Stage:
    """A buyer who has a stroop less than what the trade costs."""
    stage = network()
    let_in(stage, "Factory01", kwh=1_000)
    let_in(stage, "Factory04", tokens=15.9999999)
    stage.when("Factory01", "create", offer())
    return stage


def with_suspended(member: str, begin: Callable[[], Stage] = offered) -> Stage:
    stage = begin()
    suspend(stage, member)
    return stage


def test_a_seller_has_so_many_open_trades_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.ledger.checks.OPEN_MAX", 2)
    stage = offered(amount=KWH)
    stage.when("Factory01", "create-2", offer(tradeId="t2", amount=KWH))

    third = offer(tradeId="t3", amount=KWH)
    assert refusal_of(stage, "Factory01", third) == ("too-many-trades", "body.sellerId")
    stage.when("Factory04", "execute", EXECUTE)
    stage.when("Factory01", "create-3", third)


def at_the_deadline() -> Stage:
    """The time of the trade is over, and the book has not said so yet."""
    stage = offered()
    stage.now = hours(24)
    stage.given(*stage.history.advance(stage.now))
    return stage


def with_shortfall() -> Stage:
    """40 kWh were minted by a meter's word, 25 too many; 15 were spent meanwhile."""
    stage = network()
    let_in(stage, "Factory01")
    let_in(stage, "Factory04")
    metered = {
        "member": "Factory01",
        "system": "roof",
        "holding": "h",
        "interval_s": 900,
        "meters": (MeterEnergy(meter="m", energy_wh=40 * KWH),),
        "intervals": (IntervalEnergy(from_at=START, energy_wh=40 * KWH),),
        "energy_wh": 40 * KWH,
    }
    minted = EnergyMinted.model_validate(
        metered | {"mint": "h.1", "reason": "surplus", "served_wh": 0}
    )
    stage.given(stage.history.record(stage.own, "Factory01", minted))
    stage.when("Factory01", "give", give(30 * KWH))
    down = {
        "meters": (MeterEnergy(meter="m", energy_wh=25 * KWH),),
        "intervals": (IntervalEnergy(from_at=START, energy_wh=25 * KWH),),
        "energy_wh": 25 * KWH,
        "taken_wh": 10 * KWH,
    }
    short = EnergyShortfallBooked.model_validate(metered | down)
    stage.given(stage.history.record(stage.own, "Factory01", short))
    return stage


def test_the_story_of_the_seed() -> None:
    stage = factories()
    assert (kwh(stage, "Factory01"), tokens(stage, "Factory01")) == (1_000, 1_000)
    assert (kwh(stage, "Factory04"), tokens(stage, "Factory04")) == (300, 300)

    stage.when("approver", "mint", mint("Factory01", 500 * KWH))
    assert kwh(stage, "Factory01") == 1_500

    (created,) = stage.when("Factory01", "create", offer())
    assert isinstance(created, TradeCreated)
    assert created.total_stroops == 16 * UNIT
    assert (kwh(stage, "Factory01"), held(stage, "Factory01")) == (1_300, 200 * KWH)

    (fact,) = stage.when("Factory04", "execute", EXECUTE)
    assert isinstance(fact, TradeExecuted)
    assert stage.history.facts[-1].envelope.key == "Factory01"
    assert (kwh(stage, "Factory01"), kwh(stage, "Factory04")) == (1_300, 500)
    assert (tokens(stage, "Factory01"), tokens(stage, "Factory04")) == (1_016, 284)
    assert held(stage, "Factory01") == 0
    assert is_balanced(stage)


def test_opening_balances_are_entered_once_and_name_the_registration() -> None:
    stage = network()
    registered = registration(stage, "Factory01", kwh=1_000, tokens=5)
    stage.given(registered)

    minted, deposited = stage.follow_up()

    assert isinstance(minted, EnergyMinted)
    assert (minted.reason, minted.energy_wh, minted.command) == ("opening", 1_000 * KWH, None)
    assert isinstance(deposited, FundsDeposited)
    assert (deposited.amount_stroops, deposited.command) == (5 * UNIT, None)
    cause = write_cause(registered.position, registered.envelope.id)
    assert [each.envelope.cause for each in stage.history.facts[-2:]] == [cause, cause]
    assert stage.follow_up() == []


def test_a_part_of_zero_is_left_out() -> None:
    stage = network()
    stage.given(registration(stage, "a", kwh=1), registration(stage, "b", tokens=1))
    stage.given(registration(stage, "c"))

    assert [type(fact) for fact in stage.follow_up()] == [EnergyMinted, FundsDeposited]


def test_the_opening_of_another_book_is_not_ours() -> None:
    stage = network()
    stage.given(registration(stage, "a", kwh=1, book="hill"))

    assert stage.follow_up() == []


def test_nothing_is_entered_before_there_is_a_time() -> None:
    stage = Stage(fresh(), "LEDGER_pilot", "pilot")
    stage.given(registration(stage, "a", kwh=1))
    assert stage.follow_up() == []

    stage.advance(0)

    assert kwh(stage, "a") == 1


def test_an_opening_for_which_there_is_no_room_waits_and_stops_nobody() -> None:
    stage = network()
    let_in(stage, "a", kwh=(INTEGER_MAX - 5_000) // KWH)
    let_in(stage, "b", kwh=6)
    let_in(stage, "c", kwh=5)

    assert (kwh(stage, "b"), kwh(stage, "c")) == (0, 5)


def test_a_restart_between_registration_and_opening_enters_it_once() -> None:
    stage = factories()
    own = [each for each in stage.history.facts if each.stream == stage.own]
    inputs = [each for each in stage.history.facts if each.stream != stage.own]

    before = folded(fresh(), inputs)
    after = folded(fresh(), [*own, *inputs])
    in_part = folded(fresh(), [*own[:2], *inputs])

    assert len(before.due()) == 2
    assert after.due() == ()
    assert [draft.fact for draft in in_part.due()] == [each.fact for each in own[2:]]
    assert state_of(after) == state_of(book_of(stage))


def test_a_mint_serves_the_shortfall_first() -> None:
    stage = with_shortfall()
    books = book_of(stage).books
    assert (kwh(stage, "Factory01"), books.balance("W", "shortfall:Factory01")) == (0, 15 * KWH)

    (fact,) = stage.when("approver", "1", mint("Factory01", 10 * KWH))
    assert isinstance(fact, EnergyMinted)
    assert (fact.served_wh, kwh(stage, "Factory01")) == (10 * KWH, 0)

    (fact,) = stage.when("approver", "2", mint("Factory01", 10 * KWH))
    assert isinstance(fact, EnergyMinted)
    assert (fact.served_wh, kwh(stage, "Factory01")) == (5 * KWH, 5)
    assert books.balance("W", "shortfall:Factory01") == 0
    assert is_balanced(stage)


def test_energy_is_given_to_another_member() -> None:
    stage = factories()
    (fact,) = stage.when("Factory01", "give", give(250 * KWH))

    assert isinstance(fact, EnergyTransferred)
    assert fact.transfer == "Factory01.give"
    assert (kwh(stage, "Factory01"), kwh(stage, "Factory04")) == (750, 550)


def test_retired_energy_is_gone() -> None:
    stage = factories()
    (fact,) = stage.when("Factory01", "use", retire(1_000 * KWH))

    assert isinstance(fact, EnergyRetired)
    assert kwh(stage, "Factory01") == 0
    assert book_of(stage).books.balance("W", "retired:Factory01:use") == 1_000 * KWH
    assert refusal_of(stage, "Factory01", offer(amount=1))[0] == "too-little-energy"


def test_the_same_energy_cannot_be_promised_twice() -> None:
    stage = factories()
    stage.when("Factory01", "1", offer(amount=600 * KWH))

    again = offer(tradeId="TRADE002", amount=600 * KWH)
    assert refusal_of(stage, "Factory01", again) == ("too-little-energy", "body.amount")
    assert refusal_of(stage, "Factory01", give(401 * KWH))[0] == "too-little-energy"
    assert refusal_of(stage, "Factory01", retire(401 * KWH))[0] == "too-little-energy"
    assert stage.when("Factory01", "2", offer(tradeId="TRADE003", amount=400 * KWH))


def test_a_trade_is_executed_once() -> None:
    stage = executed()

    assert refusal_of(stage, "Factory04", EXECUTE) == ("trade-closed", "body.tradeId")
    assert (tokens(stage, "Factory01"), kwh(stage, "Factory04")) == (1_016, 500)


def test_a_repeated_command_is_answered_and_changes_nothing() -> None:
    stage = executed()

    assert stage.when("Factory04", "execute", EXECUTE) == []
    assert stage.when("Factory01", "create", offer()) == []
    assert tokens(stage, "Factory01") == 1_016


@pytest.mark.parametrize(("member", "reason"), [("Factory01", "seller"), ("Factory04", "buyer")])
def test_either_side_gives_a_trade_up(member: str, reason: str) -> None:
    stage = offered()
    (fact,) = stage.when(member, "cancel", CANCEL)

    assert isinstance(fact, TradeCancelled)
    assert fact.reason == reason
    assert (kwh(stage, "Factory01"), held(stage, "Factory01")) == (1_000, 0)
    assert stage.history.facts[-1].envelope.key == "Factory01"


def test_a_trade_expires_after_a_day_unless_its_seller_says_otherwise() -> None:
    stage = factories()
    stage.when("Factory01", "1", offer())
    stage.when("Factory01", "2", offer(tradeId="TRADE002", expiresAt=hours(30)))

    stage.advance(1, "READINGS_0")
    *_, last, reached = stage.history.facts
    assert isinstance(last.fact, TradeExpired)
    assert (last.fact.trade, last.envelope.time) == ("TRADE001", START + timedelta(days=1))
    assert last.envelope.cause.startswith("PRICES:2:")
    assert isinstance(reached.fact, TimeReached), "said only after all that was due by then"
    assert (kwh(stage, "Factory01"), held(stage, "Factory01")) == (800, 200 * KWH)

    stage.advance(2)
    assert held(stage, "Factory01") == 0


def test_a_trade_that_ended_does_not_expire_as_well() -> None:
    for stage in (executed(), cancelled()):
        before = len(stage.history.facts)
        stage.advance(400)
        assert not any(isinstance(each.fact, TradeExpired) for each in stage.history.facts[before:])


def test_many_trades_expire_in_decisions_of_a_hundred() -> None:
    stage = factories()
    count = 2 * EXPIRIES_MAX + 1
    for number in range(count):
        stage.when("Factory01", f"c{number}", offer(tradeId=f"T{number}", amount=KWH))
    stage.now = hours(24)
    stage.given(*stage.history.advance(stage.now))

    assert len(book_of(stage).due()) == EXPIRIES_MAX
    gone = [fact.trade for fact in stage.follow_up() if isinstance(fact, TradeExpired)]
    assert gone == [f"T{number}" for number in range(count)]
    assert kwh(stage, "Factory01") == 1_000


def test_the_open_trades_of_a_seller_are_told_newest_first() -> None:
    stage = offered()
    stage.when("Factory01", "2", offer(tradeId="TRADE002", amount=KWH))
    stage.when("Factory04", "3", offer(tradeId="T3", sellerId="Factory04", buyerId="Factory01"))
    trading = book_of(stage).trading
    assert [each.trade for each in trading.open_of("Factory01")] == ["TRADE002", "TRADE001"]

    stage.when("Factory04", "x", EXECUTE)

    assert [each.trade for each in trading.open_of("Factory01")] == ["TRADE002"]
    assert trading.open_of("nobody") == ()


@pytest.mark.parametrize(
    ("amount", "price", "total"),
    [(1, 500, None), (1, 501, 1), (3, 500, 2), (5, 500, 2), (1_000, 1, 1), (1_500, 1, 2)],
)
def test_the_total_is_rounded_once_half_to_even(amount: int, price: int, total: int | None) -> None:
    stage, body = factories(), offer(amount=amount, pricePerUnit=price)
    if total is None:
        code = refusal_of(stage, "Factory01", body)
        assert code == ("total-rounds-to-zero", "body.pricePerUnit")
        return
    (fact,) = stage.when("Factory01", "1", body)
    assert isinstance(fact, TradeCreated)
    assert fact.total_stroops == total


@pytest.mark.parametrize(
    ("stage", "member", "body", "code", "field"),
    [
        (factories, "Factory01", mint("Factory01", 1), "wrong-role", "member"),
        (factories, "approver", mint("nobody", 1), "unknown-party", "body.factoryId"),
        (factories, "approver", mint("Factory01", 0), "amount-not-positive", "body.amount"),
        (factories, "approver", mint("Factory01", INTEGER_MAX), "too-much-energy", "body.amount"),
        (lambda: with_suspended("Factory01"), "approver", mint("Factory01", 1),
         "party-suspended", "body.factoryId"),
        (factories, "Factory04", give(1), "wrong-signer", "body.fromFactoryId"),
        (factories, "Factory01", give(1, "nobody"), "unknown-party", "body.toFactoryId"),
        (factories, "Factory01", give(1, "Factory01"), "same-party", "body.toFactoryId"),
        (factories, "Factory01", give(0), "amount-not-positive", "body.amount"),
        (factories, "Factory01", give(1_000_001), "too-little-energy", "body.amount"),
        (lambda: with_suspended("Factory04"), "Factory01", give(1),
         "party-suspended", "body.toFactoryId"),
        (lambda: with_suspended("Factory01"), "Factory01", give(1), "member-suspended", "member"),
        (factories, "Factory04", retire(1), "wrong-signer", "body.factoryId"),
        (factories, "Factory01", retire(0), "amount-not-positive", "body.amount"),
        (factories, "Factory01", retire(1_000_001), "too-little-energy", "body.amount"),
        (factories, "Factory04", offer(), "wrong-signer", "body.sellerId"),
        (factories, "approver", offer(), "wrong-signer", "body.sellerId"),
        (factories, "Factory01", offer(buyerId="nobody"), "unknown-party", "body.buyerId"),
        (factories, "nobody", offer(sellerId="nobody"), "unknown-member", "member"),
        (factories, "Factory01", offer(buyerId="Factory01"), "same-party", "body.buyerId"),
        (factories, "Factory01", offer(amount=0), "amount-not-positive", "body.amount"),
        (factories, "Factory01", offer(pricePerUnit=0), "price-not-positive", "body.pricePerUnit"),
        (factories, "Factory01", offer(amount=1, pricePerUnit=1),
         "total-rounds-to-zero", "body.pricePerUnit"),
        (factories, "Factory01", offer(pricePerUnit=10**12 + 1),
         "out-of-range", "body.pricePerUnit"),
        (factories, "Factory01", offer(amount=INTEGER_MAX, pricePerUnit=10**12),
         "out-of-range", "body.pricePerUnit"),
        (factories, "Factory01", offer(amount=1_000_001), "too-little-energy", "body.amount"),
        (factories, "Factory01", offer(asset=f"USD:{key_of('x').address}"),
         "not-book-money", "body.asset"),
        (factories, "Factory01", offer(expiresAt=START), "expiry-past", "body.expiresAt"),
        (factories, "Factory01", offer(expiresAt=START + timedelta(days=366, seconds=1)),
         "expiry-too-far", "body.expiresAt"),
        (lambda: with_suspended("Factory04", factories), "Factory01", offer(),
         "party-suspended", "body.buyerId"),
        (offered, "Factory01", offer(), "trade-exists", "body.tradeId"),
        (executed, "Factory01", offer(), "trade-exists", "body.tradeId"),
        (cancelled, "Factory01", offer(), "trade-exists", "body.tradeId"),
        (expired, "Factory01", offer(), "trade-exists", "body.tradeId"),
        (executed, "Factory04", offer(sellerId="Factory04", buyerId="Factory01"),
         "trade-exists", "body.tradeId"),
        (factories, "Factory04", EXECUTE, "unknown-trade", "body.tradeId"),
        (offered, "Factory01", EXECUTE, "wrong-signer", "member"),
        (offered, "approver", EXECUTE, "wrong-signer", "member"),
        (executed, "Factory04", EXECUTE, "trade-closed", "body.tradeId"),
        (cancelled, "Factory04", EXECUTE, "trade-closed", "body.tradeId"),
        (expired, "Factory04", EXECUTE, "trade-closed", "body.tradeId"),
        (at_the_deadline, "Factory04", EXECUTE, "trade-expired", "body.tradeId"),
        (at_the_deadline, "Factory01", CANCEL, "trade-expired", "body.tradeId"),
        (poor, "Factory04", EXECUTE, "insufficient-funds", "body.tradeId"),
        (lambda: with_suspended("Factory01"), "Factory04", EXECUTE,
         "party-suspended", "body.tradeId"),
        (lambda: with_suspended("Factory04"), "Factory04", EXECUTE, "member-suspended", "member"),
        (factories, "Factory01", CANCEL, "unknown-trade", "body.tradeId"),
        (offered, "approver", CANCEL, "wrong-signer", "member"),
        (executed, "Factory01", CANCEL, "trade-closed", "body.tradeId"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_and_changes_nothing(
    stage: Callable[[], Stage], member: str, body: Body, code: str, field: str
) -> None:
    assert refusal_of(stage(), member, body) == (code, field)


def test_a_year_ahead_is_not_too_far() -> None:
    assert factories().when("Factory01", "1", offer(expiresAt=START + timedelta(days=366)))


def test_below_zero_cannot_even_be_said() -> None:
    with pytest.raises(ValueError, match="pricePerUnit"):
        offer(pricePerUnit=-1)
    with pytest.raises(ValueError, match="amount"):
        offer(amount="-1")


def test_a_book_holds_no_more_energy_than_a_fact_can_say() -> None:
    stage = network()
    let_in(stage, "a")
    let_in(stage, "b")
    stage.when("approver", "1", mint("a", INTEGER_MAX - 10))
    stage.when("a", "2", retire(5, "a"))

    refused = refusal_of(stage, "approver", mint("b", 11))
    assert refused == ("too-much-energy", "body.amount")
    assert stage.when("approver", "3", mint("b", 10))


def test_what_serves_a_shortfall_takes_no_room() -> None:
    stage = with_shortfall()
    stage.when("approver", "1", mint("Factory01", 15 * KWH))
    room = INTEGER_MAX - (40 - 10) * KWH

    refused = refusal_of(stage, "approver", mint("Factory04", room + 1))
    assert refused == ("too-much-energy", "body.amount")
    assert stage.when("approver", "2", mint("Factory04", room))


def test_opening_money_counts_for_what_a_book_can_hold() -> None:
    stage = factories()
    too_much = DepositFunds(
        member="Factory01", asset="TOKEN", amount_stroops=INTEGER_MAX - 1_300 * UNIT + 1
    )
    code = refusal_of(stage, "approver", too_much)
    assert code == ("too-much-money", "body.amount_stroops")


MEMBERS = ("Factory01", "Factory04", "Factory05")
amounts = st.integers(0, 400 * KWH)
members = st.sampled_from(MEMBERS)
ids = st.sampled_from([f"T{number}" for number in range(6)])
steps = st.one_of(
    st.tuples(st.just("approver"), st.builds(mint, members, amounts)),
    st.builds(lambda who, to, wh: (who, give(wh, to, who)), members, members, amounts),
    st.builds(lambda who, wh: (who, retire(wh, who)), members, amounts),
    st.builds(
        lambda trade, seller, buyer, wh, price: (
            seller,
            offer(tradeId=trade, sellerId=seller, buyerId=buyer, amount=wh, pricePerUnit=price),
        ),
        ids, members, members, amounts, st.integers(0, 3_000_000),
    ),
    st.builds(lambda who, trade: (who, ExecuteTrade(tradeId=trade)), members, ids),
    st.builds(lambda who, trade: (who, CancelTrade(tradeId=trade)), members, ids),
    st.integers(1, 30),
)  # fmt: skip


def play(stage: Stage, plan: list[tuple[str, Body] | int]) -> None:
    """Commands, and hours that pass; whatever is refused is refused."""
    passed = 0
    for number, step in enumerate(plan):
        if isinstance(step, int):
            passed += step
            stage.advance(passed / 24)
            continue
        member, body = step
        with suppress(Refused, NotFound):
            stage.when(member, f"c{number}", body)
        stage.follow_up()


@settings(max_examples=60, deadline=None)
@given(plan=st.lists(steps, max_size=25))
def test_energy_and_money_are_conserved_whatever_is_asked(
    plan: list[tuple[str, Body] | int],
) -> None:
    stage = factories()
    let_in(stage, "Factory05", kwh=600, tokens=600)
    play(stage, plan)

    books, minted = book_of(stage).books, 0
    for each in stage.history.facts:
        minted += each.fact.energy_wh if isinstance(each.fact, EnergyMinted) else 0
    everywhere = books.accounts("W", "")
    issued = everywhere.pop("issued:approver", 0)
    assert issued == minted == sum(everywhere.values())
    assert sum(books.accounts("U:TOKEN", "wallet:").values()) == 1_900 * UNIT
    open_wh = sum(each.energy_wh for each in book_of(stage).trading.open.values())
    assert sum(books.accounts("W", "hold:").values()) == open_wh


@settings(max_examples=40, deadline=None)
@given(plan=st.lists(steps, max_size=15), cut=st.integers(0, 60))
def test_a_snapshot_at_any_place_goes_on_like_the_whole_history(
    plan: list[tuple[str, Body] | int], cut: int
) -> None:
    stage = factories()
    play(stage, plan)
    facts = stage.history.facts

    again = resumed(folded(fresh(), facts[:cut]))
    folded(again, facts[cut:])

    assert state_of(again) == state_of(book_of(stage))
    assert [draft.fact for draft in again.due()] == [draft.fact for draft in book_of(stage).due()]
