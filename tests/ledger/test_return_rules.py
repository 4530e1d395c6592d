"""Return by given / when / then: which days count, on which principal, whose it is."""

from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.books import PaymentSettled
from libs.events.fact import Fact
from libs.events.repaying import ReturnAccrued
from tests.histories import START
from tests.ledger.repaying import FIVE_PERCENT, Repaying, accruals

DOLLARS = 10_000_000


def of_kind(facts: list[Fact], kind: type[Fact]) -> list[Fact]:
    return [fact for fact in facts if isinstance(fact, kind)]


def pilot(**changes: object) -> Repaying:
    """Opensolar's pilot: 4,000 USD at 5 % a year."""
    values = {"units": (4_000 * DOLLARS,), "return_ppm_year": FIVE_PERCENT}
    return Repaying(**(values | changes))  # type: ignore[arg-type]


def test_4000_usd_at_5_percent_for_30_days_accrue_16_4383562() -> None:
    stage = pilot()
    stage.at(29)  # June 30 is the thirtieth day

    accrued = accruals(stage.prepay(1))

    assert [(each.from_day, each.until_day) for each in accrued] == [("2026-06-01", "2026-07-01")]
    assert accrued[0].amount_stroops == 164_383_562
    assert sum(move.amount_stroops for move in accrued[0].moves) == 164_383_562
    assert [move.member for move in accrued[0].moves] == ["ann", "bob"]


def test_accrual_stands_before_the_payment_and_names_the_command_as_its_cause() -> None:
    stage = pilot()
    stage.at(29)
    stage.prepay(200_000_000)

    first, settled, moved = stage.history.facts[-3:]

    assert [type(each.fact).fact_name for each in (first, settled, moved)] == [
        "ReturnAccrued",
        "PaymentSettled",
        "OwnershipTransferred",
    ]
    assert first.envelope.cause == settled.envelope.cause
    assert first.envelope.cause.startswith("- home.")
    assert moved.envelope.cause == f"{settled.position} {settled.envelope.id}"


def test_a_day_counts_once_however_often_something_is_paid_on_it() -> None:
    stage = pilot()
    stage.at(29)

    assert len(accruals(stage.prepay(1))) == 1
    assert accruals(stage.prepay(1)) == []
    stage.at(29.9)
    assert accruals(stage.prepay(1)) == []
    stage.at(30)
    assert [each.from_day for each in accruals(stage.prepay(1))] == ["2026-07-01"]


def test_principal_that_is_repaid_still_counts_on_that_day_and_no_more_on_the_next() -> None:
    stage = pilot()
    stage.at(29)
    stage.prepay(164_383_562 + 20_000 * 1_000_000)  # half of the principal
    stage.at(39)

    (accrued,) = accruals(stage.prepay(1))

    assert accrued.principal_stroops == 20_000_000_000
    assert accrued.amount_stroops == round(Fraction(20_000_000_000 * 10 * 5, 100 * 365))


def test_return_waits_for_the_agreements_first_day() -> None:
    stage = pilot()
    stage.agree(1, "home", first_day="2026-06-10")
    stage.at(29)

    assert [each.from_day for each in accruals(stage.prepay(1))] == ["2026-06-10"]


def test_what_rounds_to_nothing_is_no_fact_and_its_days_stay_open() -> None:
    stage = Repaying(units=(1_000,), return_ppm_year=FIVE_PERCENT)  # 0.137 stroops a day
    stage.at(2)
    assert accruals(stage.prepay(1)) == []
    stage.at(3)  # 999 stroops for four days: 0.547

    (accrued,) = accruals(stage.prepay(1))

    assert (accrued.from_day, accrued.amount_stroops) == ("2026-06-01", 1)


def test_a_system_that_does_not_operate_yields_nothing() -> None:
    stage = pilot()
    stage.book_rules.systems.systems["sun"].stage7_day = None
    stage.at(100)

    assert accruals(stage.prepay(1)) == []


def test_repaid_principal_first_accrues_every_holding_of_the_system() -> None:
    stage = pilot(units=(3_000 * DOLLARS, 1_000 * DOLLARS))
    stage.at(9)

    accrued = accruals(stage.prepay(1_000_000_000))

    assert [each.agreement for each in accrued] == ["agr-1", "agr-2"]
    assert stage.claim("return_due:agr-2") == accrued[1].amount_stroops > 0


def test_return_that_is_paid_alone_leaves_the_others_as_they_were() -> None:
    stage = pilot(units=(3_000 * DOLLARS, 1_000 * DOLLARS))
    stage.at(9)

    assert [each.agreement for each in accruals(stage.prepay(1_000))] == ["agr-1"]


def test_a_part_of_the_return_is_split_by_what_each_claim_stands_at() -> None:
    stage = pilot()
    stage.at(29)

    (settled,) = of_kind(stage.prepay(100), PaymentSettled)

    assert isinstance(settled, PaymentSettled)
    assert [(move.member, move.amount_stroops) for move in settled.returns] == [
        ("ann", 60),
        ("bob", 40),
    ]
    assert settled.principal == ()


@pytest.mark.parametrize("days", [0, 1, 29])
def test_the_payoff_amount_says_what_would_accrue_through_today(days: int) -> None:
    stage = pilot()
    stage.at(days)
    returns = stage.book_rules.returns
    before = returns.with_today("agr-1", stage.now)

    (accrued,) = accruals(stage.prepay(1))

    assert before == accrued.amount_stroops
    assert returns.due_stroops("agr-1") == returns.with_today("agr-1", stage.now) == before - 1


@settings(max_examples=25, deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 40), st.integers(1, 3_000_000_000), st.integers(1, 2)),
        min_size=1,
        max_size=8,
    )
)
def test_every_day_counts_once_on_the_principal_at_its_start(
    steps: list[tuple[int, int, int]],
) -> None:
    stage = pilot(units=(3_000 * DOLLARS, 1_000 * DOLLARS))
    day, members = 0, {1: "home", 2: "next"}
    found: list[ReturnAccrued] = []
    for later, amount, number in steps:
        day += later
        stage.at(day)
        found += accruals(stage.prepay(amount, members[number], number))
    stage.check_laws()

    for number, units in ((1, 30_000_000_000), (2, 10_000_000_000)):
        mine = [each for each in found if each.agreement == f"agr-{number}"]
        following = START.date()
        for each in mine:  # no day is missing, none counts twice
            assert date.fromisoformat(each.from_day) == following
            following = date.fromisoformat(each.until_day)
            days = (following - date.fromisoformat(each.from_day)).days
            exact = Fraction(each.principal_stroops * days * 5, 100 * 365)
            assert abs(each.amount_stroops - exact) <= Fraction(1, 2)
            assert each.principal_stroops <= units
        if mine:
            assert following <= START.date() + timedelta(days=day + 1)


def test_return_that_no_fact_could_say_accrues_in_parts() -> None:
    units = 4 * 10**15
    stage = pilot(units=(units, units), return_ppm_year=1_000_000)
    stage.bill(("energy", None, 10**12))
    stage.at(1_500)

    first, second = accruals(stage.pay(3)), accruals(stage.pay(3))

    assert [each.agreement for each in (*first, *second)] == ["agr-1", "agr-1"]
    assert second[0].from_day == first[0].until_day
    whole = units * 1_501
    assert sum(each.amount_stroops for each in (*first, *second)) == round(Fraction(whole, 365))
    stage.check_laws()
