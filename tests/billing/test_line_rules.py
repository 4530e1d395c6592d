"""What an invoice claims, line by line: prices, charges, minimum, term, taxes, currencies."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from libs.events.books import Cleared, MoneyMove, PaymentSettled, Terms
from libs.events.invoicing import InvoiceIssued, Tax, Upkeep
from libs.events.pricing import (
    Bucket,
    FeedDefined,
    FeedRules,
    FeedStale,
    MarketPrice,
    Observation,
    PricePublished,
    RatePublished,
    TariffPrices,
    TariffPublished,
    Tier,
    TimeOfUse,
    Used,
)
from libs.events.repaying import ReturnAccrued
from libs.events.supply import SupplyDiverted, SupplyRestored
from libs.events.systems import (
    HoldingOwned,
    HoldingReclaimed,
    HoldingTransferred,
    StageAdvanced,
)
from services.billing.domain import Billing
from tests.billing.roof import (
    LEDGER,
    PRICE,
    READINGS,
    agreement,
    amounts,
    billing,
    drafts,
    invoices,
    measured,
    opened,
    reading,
    told,
    with_eve,
)
from tests.histories import ANY_COMMAND_SIGNED, START, Stage

DAY = 86_400
UPKEEP = Upkeep(payee="fixit", amount_stroops_per_month=30_000)
USED = (Used(source="src", position=f"PRICES:1:{'0' * 32}", is_outlier=False),)


def publish(
    stage: Stage, *, asset: str = "USD", days: float = 0, version: int = 2, **prices: Any
) -> None:
    """A second version of the tariff; on day 0 it replaces the first."""
    fact = TariffPublished(
        tariff="fixed",
        version=version,
        asset=asset,
        prices=TariffPrices(**prices),
        effective_from=START + timedelta(days=days),
        command=ANY_COMMAND_SIGNED,
    )
    told(stage, "PRICES", "fixed", fact)


def version_of(tariff: str, asset: str) -> TariffPublished:
    """The first version of another tariff."""
    return TariffPublished(
        tariff=tariff,
        version=1,
        asset=asset,
        prices=TariffPrices(price_stroops_per_kwh=PRICE),
        effective_from=START,
        command=ANY_COMMAND_SIGNED,
    )


def first_invoice(stage: Stage, days: float = 31) -> InvoiceIssued:
    stage.advance(days, READINGS, LEDGER)
    return invoices(stage)[0]


def hours(*peak: int) -> str:
    return "".join("1" if hour in peak else "0" for hour in range(24))


TIME_OF_USE = TimeOfUse(
    buckets=(
        Bucket(name="base", tiers=(Tier(price_stroops_per_kwh=1_000_000),)),
        Bucket(
            name="peak",
            tiers=(
                Tier(price_stroops_per_kwh=3_000_000, up_to_wh=150),
                Tier(price_stroops_per_kwh=5_000_000),
            ),
        ),
    ),
    weekday=(hours(9),) * 12,
    weekend=(hours(),) * 12,
)


def test_each_bucket_and_tier_has_a_line_that_names_its_price() -> None:
    stage = opened()
    publish(stage, time_of_use=TIME_OF_USE)
    # 2026-06-01 is a Monday: eight o'clock is base, nine is peak.
    measured(stage, [10] * 4 + [50] * 4, [100] * 8, days=8 / 24)
    invoice = first_invoice(stage)
    assert [(line.bucket, line.tier, line.energy_wh) for line in invoice.lines] == [
        ("base", 1, 40),
        ("peak", 1, 150),
        ("peak", 2, 50),
    ]
    assert [line.amount_stroops for line in invoice.lines] == [40_000, 450_000, 250_000]
    published = next(
        each
        for each in stage.history.facts
        if isinstance(each.fact, TariffPublished) and each.fact.version == 2
    )
    assert {line.price_position for line in invoice.lines} == {str(published.position)}
    assert invoice.total_stroops == 740_000


def test_the_local_hour_of_the_site_decides() -> None:
    stage = opened("Asia/Kolkata", first_day="2026-06-02")
    publish(stage, time_of_use=TIME_OF_USE)
    measured(stage, [7, 11], [9, 99], days=1 + (3 * 60 + 15) / 1_440)  # 08:45 and 09:00 there
    assert [(line.bucket, line.energy_wh) for line in first_invoice(stage).lines] == [
        ("base", 7),
        ("peak", 11),
    ]


def test_tiers_of_a_part_of_a_month_are_prorated() -> None:
    stage = opened(first_day="2026-06-21")  # a Sunday; ten of thirty days
    publish(stage, time_of_use=TIME_OF_USE)
    measured(stage, [60], [60], days=21 + 9 / 24)
    tiers = [(line.tier, line.energy_wh) for line in first_invoice(stage).lines]
    assert tiers == [(1, 50), (2, 10)]


def test_own_use_fills_the_tiers_before_shared_use_does() -> None:
    stage = with_eve(billing())
    publish(stage, time_of_use=TIME_OF_USE)
    stage.when("home", "1", agreement())
    stage.when("eve", "1", agreement(agreement="agr2", holding="h2"))
    measured(stage, [200], [180], days=9 / 24)
    at = START + timedelta(hours=9)
    stage.given(stage.history.record(READINGS, "load2", reading("load2", 1, at, [0])))
    invoice = first_invoice(stage)
    assert [
        (line.kind, line.payee, line.tier, line.energy_wh, line.amount_stroops)
        for line in invoice.lines
    ] == [
        ("use", None, 1, 100, 300_000),
        ("shared", "agr2", 1, 50, 150_000),
        ("shared", "agr2", 2, 30, 150_000),
    ]


def test_surplus_of_a_co_holder_is_a_line_of_class_shared_for_his_agreement() -> None:
    stage = with_eve(billing())
    stage.when("home", "1", agreement())
    stage.when("eve", "1", agreement(agreement="agr2", holding="h2"))
    measured(stage, [100], [80])
    stage.given(stage.history.record(READINGS, "load2", reading("load2", 1, START, [10])))
    stage.advance(31, READINGS, LEDGER)
    mine, hers = invoices(stage)
    assert [(line.line_class, line.kind, line.payee, line.energy_wh) for line in mine.lines] == [
        ("energy", "use", None, 50),
        ("shared", "shared", "agr2", 30),
    ]
    assert [(line.kind, line.energy_wh) for line in hers.lines] == [("use", 10)]


def test_surplus_of_a_holding_without_an_agreement_is_billed_to_nobody() -> None:
    stage = with_eve(billing())
    stage.when("home", "1", agreement())
    measured(stage, [100], [80])
    stage.given(stage.history.record(READINGS, "load2", reading("load2", 1, START, [10])))
    assert amounts(first_invoice(stage)) == {"use": 50 * PRICE // 1_000}


def test_standing_charge_and_upkeep_go_to_the_upkeep_payee() -> None:
    stage = opened(upkeep=UPKEEP, first_day="2026-06-21")
    publish(stage, price_stroops_per_kwh=PRICE, standing_stroops_per_month=10_000)
    invoice = first_invoice(stage)
    assert [
        (line.line_class, line.kind, line.payee, line.days, line.amount_stroops)
        for line in invoice.lines
    ] == [
        ("running", "standing", "fixit", 10, 3_333),
        ("running", "upkeep", "fixit", 10, 10_000),
    ]


def test_without_an_upkeep_payee_no_standing_charge_is_billed() -> None:
    stage = opened()
    publish(stage, price_stroops_per_kwh=PRICE, standing_stroops_per_month=10_000)
    assert first_invoice(stage).lines == ()


def test_upkeep_of_28_days_is_prorated_month_by_month() -> None:
    stage = opened(upkeep=UPKEEP, first_day="2026-06-15", period="28d")
    invoice = first_invoice(stage, 45)
    assert invoice.invoice == "agr-2026-06-15"
    # 16 of 30 days of June, 12 of 31 of July: 16,000 and 11,612.9.
    assert amounts(invoice) == {"upkeep": 16_000 + 11_613}


@pytest.mark.parametrize(
    ("changes", "days", "minimum"),
    [
        ({}, 31, 100_000),
        ({"first_day": "2026-06-21"}, 31, 33_333),
        ({"period": "14d"}, 15, 100_000),
        ({"first_day": "2026-06-21", "period": "28d"}, 50, 100_000),
    ],
)
def test_a_bill_below_the_minimum_is_topped_up(
    changes: dict[str, Any], days: float, minimum: int
) -> None:
    terms = Terms(return_ppm_year=0, minimum_payment_stroops=100_000)
    stage = opened(terms=terms, upkeep=Upkeep(payee="fixit", amount_stroops_per_month=0), **changes)
    measured(stage, [5], [5], days=25 if "first_day" in changes else 0)
    invoice = first_invoice(stage, days)
    assert amounts(invoice) == {"use": 10_000, "minimum": minimum - 10_000}
    assert {line.line_class for line in invoice.lines} == {"energy"}


def test_a_bill_at_the_minimum_is_not_topped_up() -> None:
    terms = Terms(return_ppm_year=0, minimum_payment_stroops=100_000)
    stage = measured(opened(terms=terms), [50], [50])
    assert amounts(first_invoice(stage)) == {"use": 100_000}


def test_taxes_name_their_lines_and_are_rounded_once_each() -> None:
    taxes = (
        Tax(authority="state", rate_ppm=190_000, on=("energy", "running")),
        Tax(authority="fixit", rate_ppm=1, on=("running",)),
        Tax(authority="state", rate_ppm=10_000, on=("shared",)),
    )
    upkeep = Upkeep(payee="fixit", amount_stroops_per_month=500_013)
    stage = measured(opened(taxes=taxes, upkeep=upkeep), [100], [100])
    lines = first_invoice(stage).lines
    assert [(line.payee, line.base_lines, line.amount_stroops) for line in lines[2:]] == [
        ("state", (1, 2), round((200_000 + 500_013) * 0.19)),
        ("fixit", (2,), 1),
    ]


def feed(kind: str = "price", asset: str = "USD", base: str | None = None) -> FeedDefined:
    rules = FeedRules.model_validate(
        {
            "kind": kind,
            "asset": asset,
            "base": base,
            "sources": ("src",),
            "quorum": 1,
            "staleness_s": 3_600,
            "fence_ppm": 100_000,
            "settle_s": 0,
        }
    )
    return FeedDefined(feed="spot", rules=rules, command=ANY_COMMAND_SIGNED)


def prices_at(*values: int, hour: float = 0) -> PricePublished:
    return PricePublished(
        feed="spot",
        asset="USD",
        published=Observation(
            first_at=START + timedelta(hours=hour), interval_s=3_600, values=values
        ),
        made_of=USED,
    )


def test_a_market_price_has_one_line_per_publication_and_no_price_is_no_rating() -> None:
    stage = opened()
    publish(stage, market=MarketPrice(feed="spot", factor_ppm=1_500_000, add_stroops_per_kwh=7))
    told(stage, "PRICES", "spot", feed(), prices_at(1_000_001, -3_000_000))
    told(stage, "PRICES", "spot", prices_at(2_000_000, hour=2))
    measured(stage, [3] * 16, [3] * 16)
    invoice = first_invoice(stage)
    assert [(line.energy_wh, line.price_stroops_per_kwh) for line in invoice.lines] == [
        (24, None),
        (12, None),
    ]
    # 12 Wh at 1,500,008.5 and 12 at nothing; 12 at 3,000,007.
    assert [line.amount_stroops for line in invoice.lines] == [18_000, 36_000]
    assert (invoice.rated_intervals, invoice.unrated_intervals) == (12, 30 * 96 - 12)
    assert len({line.price_position for line in invoice.lines}) == 2


def test_the_later_of_two_publications_holds() -> None:
    stage = opened()
    publish(stage, market=MarketPrice(feed="spot"))
    told(stage, "PRICES", "spot", feed(), prices_at(1_000_000, 1_000_000), prices_at(3_000_000))
    measured(stage, [10] * 8, [10] * 8)
    assert [line.amount_stroops for line in first_invoice(stage).lines] == [40_000, 120_000]


def in_euro(days: float, rate: int, hour: float = 0) -> RatePublished:
    return RatePublished(
        feed="spot",
        base="EUR",
        asset="USD",
        from_at=START + timedelta(days=days, hours=hour),
        rate_stroops=rate,
        made_of=USED,
    )


def euro() -> Stage:
    stage = billing()
    publish(stage, days=0, asset="EUR", price_stroops_per_kwh=PRICE)
    told(stage, "PRICES", "spot", feed("rate", "USD", "EUR"))
    stage.when("home", "1", agreement(rate_feed="spot"))
    return measured(stage, [33], [33])


def test_another_currency_is_converted_at_issue_inside_the_one_rounding() -> None:
    stage = euro()
    told(stage, "PRICES", "spot", in_euro(0, 9_000_000), in_euro(30, 11_234_567))
    (line,) = first_invoice(stage).lines
    assert line.amount_stroops == round(33 * PRICE * 1.1234567 / 1_000)
    assert line.rate_position is not None


def test_without_a_rate_the_invoice_waits_for_the_next_one() -> None:
    stage = euro()
    told(stage, "PRICES", "spot", in_euro(0, 9_000_000))
    told(stage, "PRICES", "spot", FeedStale(feed="spot", last_until=START), days=20)
    stage.advance(31, READINGS, LEDGER)
    assert invoices(stage) == []
    rules = stage.rules
    assert isinstance(rules, Billing)
    assert list(rules.stuck) == ["agr"]
    told(stage, "PRICES", "spot", in_euro(40, 20_000_000), in_euro(41, 30_000_000))
    stage.advance(41, READINGS, LEDGER)
    assert invoices(stage)[0].total_stroops == 33 * PRICE * 2 // 1_000
    assert rules.stuck == {}


def accrued(first: str, until: str, amount: int) -> ReturnAccrued:
    return ReturnAccrued(
        agreement="agr",
        system="sun",
        asset="USD",
        from_day=first,
        until_day=until,
        principal_stroops=1_000,
        return_ppm_year=500_000,
        amount_stroops=amount,
        moves=(MoneyMove(member="dev", amount_stroops=amount),),
    )


def paid(energy: int, returns: int, principal: int, invoice: str = "agr-2026-06") -> PaymentSettled:
    def moved(amount: int) -> tuple[MoneyMove, ...]:
        return (MoneyMove(member="dev", amount_stroops=amount),) if amount else ()

    return PaymentSettled(
        payment=f"home.{invoice}",
        agreement="agr",
        payer="home",
        asset="USD",
        kind="invoices",
        amount_stroops=energy,
        cleared=(Cleared(invoice=invoice, line_class="energy", amount_stroops=energy),),
        returns=moved(returns),
        principal=moved(principal),
        credit_stroops=0,
    )


def test_at_the_end_of_the_term_and_after_it_the_rest_falls_due() -> None:
    terms = Terms(return_ppm_year=500_000, minimum_payment_stroops=0)
    stage = opened(terms=terms, term_periods=2, expected_wh_year=10**6)
    operates = StageAdvanced(system="sun", from_stage=6, to_stage=7, checklist=(), documents=())
    told(stage, LEDGER, "sun", operates)
    measured(stage, [2], [2])  # 4,000 stroops are more than the holding's 1,000 units
    measured(stage, [0], [0], days=30, seq=2)
    measured(stage, [0], [0], days=61, seq=3)
    stage.advance(31, READINGS, LEDGER)
    # June: 300 of 4,000 are paid, 41 of them return through June.
    told(stage, LEDGER, "agr", accrued("2026-06-01", "2026-07-01", 41), paid(300, 41, 259), days=32)
    stage.advance(62, READINGS, LEDGER)
    stage.advance(93, READINGS, LEDGER)
    june, july, august = invoices(stage)
    assert amounts(june) == {"use": 4_000}
    assert amounts(july) == {}, "3,700 are open, which is more than is owed"
    assert amounts(august) == {}
    told(stage, LEDGER, "agr", paid(3_699, 0, 99), days=94)
    stage.advance(123, READINGS, LEDGER)
    # 642 of principal, return from July to September on it, less one stroop that is open.
    assert amounts(invoices(stage)[3]) == {"term": 642 + round(642 * 92 * 0.5 / 365) - 1}


def test_a_period_that_the_term_does_not_end_demands_energy_only() -> None:
    stage = measured(opened(term_periods=2), [0], [0])
    assert amounts(first_invoice(stage)) == {}
    stage.advance(62, READINGS, LEDGER)
    assert amounts(invoices(stage)[1]) == {"term": 1_000}


def owned(days: float) -> tuple[HoldingOwned, float]:
    fact = HoldingOwned(
        holding="h", system="sun", agreement="agr", member="home", units=1_000, asset="USD"
    )
    return fact, days


def test_after_it_is_owned_only_shared_running_and_tax_lines_are_billed() -> None:
    taxes = (Tax(authority="state", rate_ppm=100_000, on=("energy", "running")),)
    terms = Terms(return_ppm_year=0, minimum_payment_stroops=10**9)
    stage = with_eve(billing(terms=terms))
    more: dict[str, object] = {"terms": terms, "upkeep": UPKEEP}
    stage.when("home", "1", agreement(taxes=taxes, term_periods=1, **more))
    stage.when("eve", "1", agreement(agreement="agr2", holding="h2", **more))
    told(stage, LEDGER, "h", owned(1 / 96)[0], days=1 / 96)
    measured(stage, [100, 100], [80, 80])
    stage.given(stage.history.record(READINGS, "load2", reading("load2", 1, START, [10, 10])))
    invoice = first_invoice(stage)
    assert [(line.kind, line.energy_wh, line.amount_stroops) for line in invoice.lines] == [
        ("use", 50, 100_000),
        ("shared", 60, 120_000),
        ("upkeep", 0, 30_000),
        ("tax", 0, 13_000),
    ]


def test_while_diverted_nothing_is_billed_and_co_holders_are_served_first() -> None:
    terms = Terms(return_ppm_year=0, minimum_payment_stroops=10**6)
    stage = with_eve(billing(terms=terms))
    stage.when("home", "1", agreement(terms=terms, upkeep=UPKEEP))
    stage.when("eve", "1", agreement(agreement="agr2", holding="h2", terms=terms))
    gone = SupplyDiverted(holding="h", agreement="agr", invoice="agr-2026-05")
    back = SupplyRestored(holding="h", agreement="agr")
    told(stage, LEDGER, "h", gone, days=1 / 96)
    measured(stage, [100] * 3, [50] * 3)
    stage.given(stage.history.record(READINGS, "load2", reading("load2", 1, START, [70] * 3)))
    stage.advance(31, READINGS, LEDGER)
    mine, hers = invoices(stage)
    # One interval and one day were supplied; at the end of the month it was not.
    assert amounts(mine) == {"use": 50 * 2_000, "upkeep": 1_000}
    assert [(line.kind, line.energy_wh) for line in hers.lines] == [
        ("use", 150),
        ("shared", 40),
        ("minimum", 0),
    ]
    told(stage, LEDGER, "h", back, days=40.5)
    stage.advance(62, READINGS, LEDGER)
    july = invoices(stage)[2]
    # Days 30 to 40 began diverted: eleven of the 31 days of July.
    assert amounts(july) == {"upkeep": round(30_000 * 20 / 31), "minimum": 10**6 - 19_355}


def test_a_reclaimed_holding_is_billed_no_more() -> None:
    stage = measured(opened(), [10], [10])
    stage.advance(31, READINGS, LEDGER)
    reclaimed = HoldingReclaimed(
        holding="h",
        system="sun",
        agreement="agr",
        member="home",
        units=1_000,
        moves=(),
        command=ANY_COMMAND_SIGNED,
    )
    told(stage, LEDGER, "h", reclaimed, days=40)
    for days in (62, 100, 200):
        stage.advance(days, READINGS, LEDGER)
    assert [each.invoice for each in invoices(stage)] == ["agr-2026-06"]


def test_a_holding_that_changed_hands_is_billed_to_whoever_holds_it() -> None:
    stage = opened()
    moved = HoldingTransferred(holding="h", from_member="home", to_member="eve", agreement="agr")
    stage.advance(31, READINGS, LEDGER)
    told(stage, LEDGER, "h", moved, days=40)
    stage.advance(62, READINGS, LEDGER)
    assert [each.recipient for each in invoices(stage)] == ["home", "eve"]


def test_a_draft_tells_at_the_end_of_the_period_what_is_known_by_then() -> None:
    stage = measured(opened(upkeep=UPKEEP), [10], [10])
    stage.advance(30, READINGS)
    assert drafts(stage) == []
    stage.given(stage.history.reach(LEDGER, stage.now))
    stage.follow_up()
    measured(stage, [20], [20], days=1, seq=2)
    stage.advance(31, READINGS, LEDGER)
    (draft,), (invoice,) = drafts(stage), invoices(stage)
    assert draft.invoice == invoice.invoice
    assert draft.final_at == START + timedelta(days=31)
    assert amounts(draft) == {"use": 20_000, "upkeep": 30_000}
    assert amounts(invoice) == {"use": 60_000, "upkeep": 30_000}
    assert invoice.number == 1, "a draft has no number"


def test_without_a_lag_there_is_no_draft() -> None:
    stage = opened(settlement_lag_s=0)
    stage.advance(30, READINGS, LEDGER)
    assert (len(drafts(stage)), len(invoices(stage))) == (0, 1)


@pytest.mark.parametrize(("period", "ends"), [("14d", 14), ("28d", 28), ("month", 30)])
def test_periods_of_every_kind_follow_each_other(period: str, ends: int) -> None:
    stage = opened(period=period, settlement_lag_s=0)
    stage.advance(ends - 1, READINGS, LEDGER)
    assert invoices(stage) == []
    stage.advance(100, READINGS, LEDGER)
    issued = invoices(stage)
    assert issued[0].period_until == START + timedelta(days=ends)
    assert all(before.period_until == after.period_from for before, after in pairwise(issued))
