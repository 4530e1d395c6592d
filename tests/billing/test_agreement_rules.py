"""What an agreement may say: refusals by rule, with the field; and what its fact holds."""

from typing import Any

import pytest

from libs.events.books import Terms
from libs.events.invoicing import AgreementOpened, Tax, Upkeep
from libs.events.pricing import MarketPrice
from libs.events.systems import HoldingReclaimed, HoldingTransferred
from libs.runtime.failures import HeliographError
from services.billing.agreements import DUE_AFTER_S_MAX, NOTICE_S_MAX, SETTLEMENT_LAG_S_MAX
from tests.billing.roof import LEDGER, agreement, billing, told
from tests.billing.test_line_rules import TIME_OF_USE, feed, in_euro, prices_at, publish
from tests.histories import ANY_COMMAND_SIGNED, Stage

FIVE_PERCENT = Terms(return_ppm_year=50_000, minimum_payment_stroops=0)
"""1,000 units cost 50 stroops a year."""


def refused(stage: Stage, member: str = "home", **changes: Any) -> tuple[str, str | None]:
    before = len(stage.history.facts)
    with pytest.raises(HeliographError) as refusal:
        stage.when(member, "1", agreement(**changes))
    assert len(stage.history.facts) == before
    return refusal.value.code, refusal.value.field


def agreed(stage: Stage, member: str = "home", **changes: Any) -> AgreementOpened:
    (fact,) = stage.when(member, "1", agreement(**changes))
    assert isinstance(fact, AgreementOpened)
    return fact


def test_everything_that_is_agreed_stands_in_the_fact() -> None:
    upkeep = Upkeep(payee="fixit", amount_stroops_per_month=5)
    taxes = (Tax(authority="state", rate_ppm=7, on=("energy", "running")),)
    fact = agreed(
        billing(),
        period="28d",
        term_periods=12,
        expected_wh_year=1_000,
        grace_periods=2,
        notice_s=5,
        upkeep=upkeep,
        taxes=taxes,
    )
    assert (fact.period, fact.term_periods, fact.expected_wh_year) == ("28d", 12, 1_000)
    assert (fact.grace_periods, fact.notice_s) == (2, 5)
    assert (fact.upkeep, fact.taxes, fact.rate_feed) == (upkeep, taxes, None)
    assert (fact.recipient, fact.asset, fact.time_zone) == ("home", "USD", "UTC")


def test_grace_and_notice_are_six_periods_and_a_week_unless_agreed_otherwise() -> None:
    fact = agreed(billing())
    assert (fact.grace_periods, fact.notice_s) == (6, 7 * 86_400)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("due_after_s", DUE_AFTER_S_MAX),
        ("settlement_lag_s", SETTLEMENT_LAG_S_MAX),
        ("notice_s", NOTICE_S_MAX),
    ],
)
def test_nobody_signs_himself_out_of_lateness(name: str, most: int) -> None:
    longer: dict[str, Any] = {name: most + 1}
    longest: dict[str, Any] = {name: most}
    assert refused(billing(), **longer) == ("too-long", f"body.{name}")
    assert getattr(agreed(billing(), **longest), name) == most


def test_only_whoever_holds_it_now_agrees_for_a_holding() -> None:
    stage = billing()
    moved = HoldingTransferred(holding="h", from_member="home", to_member="eve")
    told(stage, LEDGER, "h", moved)
    assert refused(stage) == ("not-your-holding", "member")
    assert agreed(stage, "eve").recipient == "eve"


def test_a_holding_that_was_reclaimed_is_none_any_more() -> None:
    stage = billing()
    fact = HoldingReclaimed(
        holding="h",
        system="sun",
        agreement="old",
        member="home",
        units=1_000,
        moves=(),
        command=ANY_COMMAND_SIGNED,
    )
    told(stage, LEDGER, "h", fact)
    assert refused(stage) == ("unknown-holding", "body.holding")


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        (
            {"upkeep": Upkeep(payee="nobody", amount_stroops_per_month=1)},
            "unknown-member",
            "body.upkeep.payee",
        ),
        (
            {"taxes": (Tax(authority="nobody", rate_ppm=1, on=("energy",)),)},
            "unknown-member",
            "body.taxes.0.authority",
        ),
        (
            {"taxes": (Tax(authority="state", rate_ppm=1, on=("energy", "tax")),)},
            "tax-on-tax",
            "body.taxes.0.on",
        ),
        (
            {
                "taxes": (
                    Tax(authority="state", rate_ppm=1, on=("energy",)),
                    Tax(authority="state", rate_ppm=1, on=("shared", "shared")),
                )
            },
            "duplicate-class",
            "body.taxes.1.on",
        ),
        ({"rate_feed": "none"}, "unknown-rate-feed", "body.rate_feed"),
    ],
)
def test_payees_taxes_and_feeds_are_known_and_make_sense(
    changes: dict[str, Any], code: str, field: str
) -> None:
    assert refused(billing(), **changes) == (code, field)


def test_a_tariff_in_another_asset_needs_a_rate_of_both() -> None:
    stage = billing()
    publish(stage, asset="EUR", price_stroops_per_kwh=1)
    assert refused(stage) == ("wrong-asset", "body.tariff")
    told(stage, "PRICES", "spot", feed())
    assert refused(stage, rate_feed="spot")[0] == "unknown-rate-feed"
    told(stage, "PRICES", "spot", feed("rate", "USD", "GBP"))
    assert refused(stage, rate_feed="spot") == ("wrong-asset", "body.rate_feed")
    told(stage, "PRICES", "spot", feed("rate", "EUR", "USD"))
    assert refused(stage, rate_feed="spot") == ("wrong-asset", "body.rate_feed")
    told(stage, "PRICES", "spot", feed("rate", "USD", "EUR"))
    assert agreed(stage, rate_feed="spot").rate_feed == "spot"


def test_where_there_is_a_return_the_expected_energy_is_named() -> None:
    code = refused(billing(terms=FIVE_PERCENT), terms=FIVE_PERCENT)
    assert code == ("expected-energy-missing", "body.expected_wh_year")


def margin(stage: Stage, expected_wh_year: int, **changes: Any) -> str | None:
    """The refusal of an agreement of this energy; None if there is none."""
    try:
        agreed(stage, terms=FIVE_PERCENT, expected_wh_year=expected_wh_year, **changes)
    except HeliographError as refusal:
        return refusal.code
    return None


def least(stage: Stage, energy: int, **changes: Any) -> None:
    """With one Wh less it is refused."""
    assert margin(stage, energy - 1, **changes) == "no-return-margin"
    assert margin(stage, energy, **changes) is None


def test_the_energy_of_a_year_is_worth_more_than_its_return() -> None:
    stage = billing(terms=FIVE_PERCENT)
    publish(stage, price_stroops_per_kwh=1_000)
    least(stage, 51)  # a stroop a Wh: 50 would be as much as the return


def test_the_mean_price_of_a_tariff_by_time_of_use_is_that_of_its_hours() -> None:
    stage = billing(terms=FIVE_PERCENT)
    publish(stage, time_of_use=TIME_OF_USE)
    # 261 weekdays have an hour at 3,000,000, all others cost 1,000,000.
    mean = (8_760 + 2 * 261) * 1_000_000 / 8_760
    least(stage, int(50 * 1_000 / mean) + 1)


def test_a_later_version_counts_from_when_it_holds() -> None:
    stage = billing(terms=FIVE_PERCENT)
    publish(stage, price_stroops_per_kwh=1_000)
    publish(stage, days=73, version=3, price_stroops_per_kwh=6_000)
    least(stage, 11)  # a fifth of the year at 1, the rest at 6: 5 stroops a Wh


def test_a_market_price_counts_with_what_was_published_of_it() -> None:
    stage = billing(terms=FIVE_PERCENT)
    publish(stage, market=MarketPrice(feed="spot"))
    told(stage, "PRICES", "spot", feed())
    assert margin(stage, 10**12) == "no-return-margin"
    told(stage, "PRICES", "spot", prices_at(4_000, -1_000, 2_000, 2_000))
    least(stage, 26)  # the mean is 2 stroops a Wh, what is below zero counts as nothing


def test_a_price_in_another_currency_counts_at_the_newest_rate() -> None:
    stage = billing(terms=FIVE_PERCENT)
    publish(stage, asset="EUR", price_stroops_per_kwh=1_000)
    told(stage, "PRICES", "spot", feed("rate", "USD", "EUR"))
    assert margin(stage, 10**9, rate_feed="spot") == "no-return-margin"
    told(stage, "PRICES", "spot", in_euro(0, 1), in_euro(0, 5_000_000))
    least(stage, 101, rate_feed="spot")
