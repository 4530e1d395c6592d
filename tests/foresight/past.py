"""Histories for foresight: the small worlds of the ownership tests, told by their facts alone."""

from datetime import datetime, timedelta
from typing import Any

from heliograph.foresight.history import Known
from libs.events.pricing import TariffPrices, TariffPublished
from tests.histories import ANY_COMMAND_SIGNED, START
from tests.ownership.joined import PRICES
from tests.ownership.playing import World
from tests.ownership.scenes import DAY, HOUR, UNIT, to, use, village

FIRST = START + DAY
"""The agreement's first day."""


def known_of(world: World) -> Known:
    return Known("pilot").fold(world.real.history.facts)


def final(period: int, days: int = 14) -> datetime:
    """When the bill of a period is final; the first one is 1."""
    return FIRST + timedelta(days=days * period) + HOUR


def used(*kwh: int, price: int = 400 * UNIT, **contract: Any) -> World:
    """One household that used so much in each of its fortnights; all of them are billed, unpaid."""
    world = village(price=price, **contract)
    for period, energy in enumerate(kwh, 1):
        use(world, energy)
        to(world, final(period))
    return world


def publish(
    world: World,
    tariff: str,
    price: int,
    at: datetime = START,
    prices: TariffPrices | None = None,
) -> None:
    """Another tariff stands in PRICES; nobody has it."""
    fact = TariffPublished(
        tariff=tariff,
        version=1,
        asset="USD",
        prices=prices or TariffPrices(price_stroops_per_kwh=price),
        effective_from=at,
        command=ANY_COMMAND_SIGNED,
    )
    world.real.history.record(PRICES, tariff, fact, time=world.now)
