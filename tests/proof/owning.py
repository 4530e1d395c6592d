"""A season of two households who come to own: one pays by order, one is late and diverted.

Time of use with tiers, standing charge, upkeep and tax; market prices in another currency;
shared energy; an invoice that is replaced twice.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from libs.events.billing_commands import (
    DefineFeed,
    DisputeInvoice,
    Observe,
    OpenAgreement,
    PublishTariff,
    ResolveDispute,
)
from libs.events.books import Terms
from libs.events.command import Body
from libs.events.commands import DepositFunds, RegisterMember
from libs.events.pricing import FeedRules, MarketPrice, Observation, TimeOfUse
from libs.events.system_commands import (
    AcceptHolding,
    AcceptRaise,
    ApproveSystem,
    Invest,
    OfferHolding,
    OpenHolding,
    Pay,
    ProposeSystem,
    SetStandingOrder,
)
from libs.rules.stages import CONSTRUCTION, INTERCONNECTION, OPERATION, RAISE
from tests.proof.play import START, USD, Play, key
from tests.proof.seasons import ROLES, ZONE, correct, document_hash, enrol, tellers, walked

TERMS = Terms(return_ppm_year=50_000, minimum_payment_stroops=25 * USD)
UNITS = 3_000 * USD
HOLDINGS = {"household": UNITS // 3, "neighbour": UNITS * 2 // 3}
OWNING_ROLES = ROLES | {
    "keeper": ("contractor",),
    "state": ("auditor",),
    "grid": ("platform",),
    "spot-1": ("platform",),
    "spot-2": ("platform",),
}
DAYS = 58
"""The fourth bill of 14 days is final then, and the neighbour was diverted in a part of it."""

LATE = 5
"""The day whose prices come when its bill is issued already."""


def time_of_use() -> TimeOfUse:
    """Cheap nights, dear evenings in two tiers, and one price at weekends."""
    prices: dict[str, Any] = {
        "buckets": (
            {"name": "night", "tiers": ({"price_stroops_per_kwh": 1_500_000},)},
            {
                "name": "day",
                "tiers": (
                    {"price_stroops_per_kwh": 2_000_000, "up_to_wh": 40_000},
                    {"price_stroops_per_kwh": 2_500_001, "up_to_wh": 60_000},
                    {"price_stroops_per_kwh": 3_000_000},
                ),
            },
            {"name": "weekend", "tiers": ({"price_stroops_per_kwh": 1_750_000},)},
        ),
        "weekday": ("0" * 8 + "1" * 12 + "0" * 4,) * 12,
        "weekend": ("2" * 24,) * 12,
    }
    return TimeOfUse.model_validate(prices)


def feed(kind: str, asset: str, base: str | None = None) -> FeedRules:
    values = {
        "kind": kind,
        "asset": asset,
        "base": base,
        "sources": ("spot-1", "spot-2"),
        "quorum": 2,
        "staleness_s": 31 * 86_400,
        "fence_ppm": 500_000,
        "settle_s": 0,
    }
    return FeedRules.model_validate(values)


async def observe(play: Play, name: str, first_at: datetime, values: tuple[int, ...]) -> None:
    """Both sources say nearly the same; the median lies between them."""
    for source, more in (("spot-1", 0), ("spot-2", 2)):
        observed = Observation(
            first_at=first_at,
            interval_s=3_600,
            values=tuple(value + more for value in values),
        )
        body = Observe(feed=name, observed=observed, document_sha256=document_hash(name))
        await play.ask(source, body, "main")


async def spot(play: Play, day: datetime) -> None:
    """Tomorrow's hourly prices; at noon there is so much sun that they are below zero."""
    values = tuple(-400_000 if hour == 19 else 900_000 + 40_000 * hour for hour in range(24))
    await observe(play, "spot", day, values)


async def prices(play: Play) -> None:
    await play.ask("approver", DefineFeed(feed="spot", rules=feed("price", "EUR")), "main")
    await play.ask("approver", DefineFeed(feed="euro", rules=feed("rate", "USD", "EUR")), "main")
    await observe(play, "euro", play.now, (10_800_001,))
    tariff = PublishTariff(
        tariff="hours",
        asset="USD",
        time_of_use=time_of_use(),
        standing_stroops_per_month=3 * USD,
        effective_from=play.now,
    )
    await play.ask("approver", tariff, "main")
    market = PublishTariff(
        tariff="market",
        asset="EUR",
        market=MarketPrice(feed="spot", factor_ppm=1_100_000, add_stroops_per_kwh=50_000),
        standing_stroops_per_month=2 * USD,
        effective_from=play.now,
    )
    await play.ask("approver", market, "main")


async def registered(play: Play) -> None:
    """Everybody who has a part in these seasons."""
    for member, roles in OWNING_ROLES.items():
        body = RegisterMember.model_validate(
            {"member": member, "address": key(member).address, "roles": roles}
        )
        await play.ask("approver", body, "register")


async def funded(play: Play, holdings: dict[str, int]) -> None:
    """A system that is built and in operation, with some holdings."""
    units = sum(holdings.values())
    for investor, part in (("investor-1", 6), ("investor-2", 4)):
        deposit = DepositFunds(member=investor, asset="USD", amount_stroops=units * part // 10)
        await play.ask("approver", deposit)
    proposal = ProposeSystem(
        system="sunrise",
        asset="USD",
        price_stroops=units,
        nameplate_w=6_000,
        site="site",
        time_zone=ZONE,
        terms=TERMS,
        offtaker="grid",
    )
    await play.ask("developer", proposal)
    await play.ask("approver", ApproveSystem(system="sunrise"))
    await walked(play, 0, RAISE)
    for investor, part in (("investor-1", 6), ("investor-2", 4)):
        amount = units * part // 10
        await play.ask(investor, Invest(system="sunrise", amount_stroops=amount, terms=TERMS))
    await play.ask("household", AcceptRaise(system="sunrise"))
    await walked(play, CONSTRUCTION, INTERCONNECTION)
    for member, held in holdings.items():
        holding = f"holding-{member}"
        body = OpenHolding(holding=holding, system="sunrise", recipient=member, units=held)
        await play.ask("approver", body)
    await walked(play, INTERCONNECTION, OPERATION)


def agreement(name: str, member: str, tariff: str, **more: Any) -> OpenAgreement:
    values = {
        "agreement": name,
        "holding": f"holding-{member}",
        "tariff": tariff,
        "period": "14d",
        "first_day": START.astimezone(UTC).date().isoformat(),
        "rating_interval_s": 900,
        "settlement_lag_s": 86_400,
        "due_after_s": 86_400,
        "terms": TERMS,
        "expected_wh_year": 5_000_000,
        **more,
    }
    return OpenAgreement.model_validate(values)


async def agreed(play: Play) -> None:
    taxes = (
        {"authority": "state", "rate_ppm": 70_000, "on": ("energy", "shared")},
        {"authority": "state", "rate_ppm": 190_001, "on": ("running",)},
    )
    upkeep = {"payee": "keeper", "amount_stroops_per_month": 5 * USD + 3}
    home = agreement("home", "household", "hours", upkeep=upkeep, taxes=taxes)
    await play.ask("household", home)
    late = {"grace_periods": 2, "notice_s": 0, "rate_feed": "euro", "due_after_s": 0}
    await play.ask("neighbour", agreement("next", "neighbour", "market", upkeep=upkeep, **late))
    deposit = DepositFunds(member="household", asset="USD", amount_stroops=200 * USD)
    await play.ask("approver", deposit)
    order = SetStandingOrder(agreement="home", limit_stroops=100 * USD)
    await play.ask("household", order)


async def to_own(play: Play) -> None:
    """Two months of bills; the first of the household is replaced twice."""
    await registered(play)
    await prices(play)
    await enrol(play, "pv-1", None)
    for member in HOLDINGS:
        await enrol(play, f"{member}-1", f"holding-{member}")
    await funded(play, HOLDINGS)
    await spot(play, play.now)
    await agreed(play)
    meters = tellers(tuple(HOLDINGS))
    for day in range(1, DAYS + 1):
        to = START + timedelta(days=day)
        if day != LATE:
            await spot(play, to)
        if day == 16:  # the first bill was final on day 15
            await spot(play, START + timedelta(days=LATE))
        if day % 25 == 0:
            await observe(play, "euro", play.now, (10_900_000 + day,))
        for teller in meters.values():
            outcomes = await play.deliver(teller.reports(to))
            assert set(outcomes) == {"ACCEPTED"}, outcomes
        if day == 18:
            await correct(play, "household-1", START + timedelta(hours=9), *(300,) * 20)
        if day == 21:
            await correct(play, "household-1", START + timedelta(days=2, hours=9), *(-60,) * 10)
            await correct(play, "pv-1", START + timedelta(days=3, hours=9), *(-9,) * 8)
        await play.advance(to)
        if day == 50:  # cured: he is supplied again
            deposit = DepositFunds(member="neighbour", asset="USD", amount_stroops=90 * USD)
            await play.ask("approver", deposit)
            await play.ask("neighbour", Pay(agreement="next", amount_stroops=90 * USD))


async def handed_over(play: Play) -> None:
    """Eight weeks: a dispute, a correction, another holder, the end of the term, a payoff."""
    await registered(play)
    await prices(play)
    await enrol(play, "pv-1", None)
    await enrol(play, "household-1", "holding-household")
    await funded(play, {"household": 400 * USD})
    for member in ("household", "neighbour"):
        deposit = DepositFunds(member=member, asset="USD", amount_stroops=500 * USD)
        await play.ask("approver", deposit)
    upkeep = {"payee": "keeper", "amount_stroops_per_month": 5 * USD}
    home = agreement("home", "household", "hours", upkeep=upkeep, term_periods=2)
    await play.ask("household", home)
    meters = tellers()
    for day in range(1, 59):
        to = START + timedelta(days=day)
        for teller in meters.values():
            assert set(await play.deliver(teller.reports(to))) == {"ACCEPTED"}
        if day == 19:
            await correct(play, "household-1", START + timedelta(days=1, hours=9), *(200,) * 10)
        await play.advance(to)
        await _act(play, day)


async def _act(play: Play, day: int) -> None:
    """What people do on some days of that season."""
    first = "home-2016-07-28"
    if day == 16:
        body: Body = DisputeInvoice(invoice=first, amount_stroops=3 * USD, reason="meter-doubted")
        await play.ask("household", body)
    elif day == 17:
        await play.ask("approver", ResolveDispute(invoice=first, credited_stroops=2 * USD))
        await play.ask("household", Pay(agreement="home", amount_stroops=5 * USD, asset="USD"))
    elif day == 21:
        body = OfferHolding(holding="holding-household", to_member="neighbour")
        await play.ask("household", body)
    elif day == 22:
        await play.ask("neighbour", AcceptHolding(holding="holding-household"))
    elif day == 31:
        await play.ask("neighbour", Pay(agreement="home", amount_stroops=450 * USD))
