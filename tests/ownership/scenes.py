"""Small worlds with one system, and what is often done in them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from libs.events.books import Terms
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.pricing import FeedIn, TariffPrices
from libs.events.system_commands import Pay
from tests.histories import START
from tests.ownership.model import Contract, Version
from tests.ownership.owing import Agreement
from tests.ownership.playing import World
from tests.ownership.raising import System

UNIT = 10_000_000
PRICE = 2_000_000
"""0.20 a kWh."""
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NOTICES = ("ReminderSent", "AlertRaised", "SternNoticeSent", "EscalationReached")
SUPPLY = (
    "SupplyDiverted",
    "SupplyDisconnected",
    "SupplyRestored",
    "FirstLossCovered",
    "GridEnergySold",
)
CAST: dict[str, tuple[str, ...]] = {
    "ada": ("investor",),
    "bob": ("investor",),
    "gus": ("guarantor",),
    "grid": ("platform",),
    "home": ("recipient",),
    "hut": ("recipient",),
    "state": ("platform",),
    "olga": ("operator",),
}


def village(
    price: int = 4_000 * UNIT,
    parts: Sequence[int] = (1,),
    *,
    return_ppm: int = 0,
    zone: str = "UTC",
    offtaker: str | None = None,
    cover: int = 0,
    name: str = "sun",
    world: World | None = None,
    **contract: Any,
) -> World:
    """A system in operation, owned 2 : 1 by two investors, held by one or two households.

    Args:
        price: Its price.
        parts: Weights of the holdings, which take all units.
        return_ppm: What the investors ask for.
        zone: The site's.
        offtaker: Who buys grid energy.
        cover: What the guarantor deposits.
        name: The system.
        world: Where; absent: a new one.
        contract: Terms of all agreements that are not the usual ones.
    """
    world = world or World(CAST)
    ledger, terms = world.model.ledger, Terms(return_ppm_year=return_ppm, minimum_payment_stroops=0)
    for member in ("ada", "bob", "gus", "home", "hut"):
        world.deposit(member, 3 * price)
    world.propose(
        System(name, "dev", "USD", price, zone, return_ppm, 0, offtaker=offtaker, rating_s=3_600),
        terms,
    )
    world.to_stage(name, 4)
    if cover:
        world.cover(name, "gus", cover)
    world.invest(name, "ada", price * 2 // 3, terms)
    world.invest(name, "bob", price - price * 2 // 3, terms)
    world.accept(name, "home")
    if "day" not in world.model.prices.tariffs:
        prices = TariffPrices(
            price_stroops_per_kwh=PRICE, feed_in=FeedIn(price_stroops_per_kwh=PRICE // 4)
        )
        version = Version(
            "USD", world.now, world.now, ((("", ((PRICE, None),))),), feed_in=PRICE // 4
        )
        world.publish("day", prices, version)
    world.enrol(f"{name}-pv", "generation", name)
    left = ledger.systems[name].units
    for number, (member, part) in enumerate(zip(("home", "hut"), parts, strict=False)):
        holding = f"{name}-h{number}"
        units = price * part // sum(parts) if number < len(parts) - 1 else left
        left -= units
        world.open_holding(name, holding, member, units)
        world.enrol(f"{name}-load{number}", "consumption", name, holding)
    world.to_stage(name, 7)
    usual: dict[str, Any] = {
        "tariff": "day",
        "period": "14d",
        "first_day": START.date() + DAY,
        "lag_s": 3_600,
        "due_after_s": 7 * 86_400,
    }
    for number, member in zip(range(len(parts)), ("home", "hut"), strict=False):
        opened = Contract(f"{name}-{number}", **{**usual, **contract})
        world.agree(opened, f"{name}-h{number}", name, member, terms)
    return world


def use(world: World, kwh: int, name: str = "sun") -> None:
    """Every household of a system uses so much in the next rated hour; all of it is generated."""
    start = max(world.now, START + 2 * DAY).replace(minute=0, second=0)
    loads = [meter for meter in world.model.meters.roles if meter.startswith(f"{name}-load")]
    for meter in loads:
        world.measure(meter, start, 3_600, (kwh * 1_000,))
    world.measure(f"{name}-pv", start, 3_600, (10 * len(loads) * kwh * 1_000,))
    world.settle()


def to(world: World, at: Any) -> None:
    """Play the clock to an instant."""
    world.advance(at - world.now)


def agreement(world: World, name: str = "sun-0") -> Agreement:
    return world.model.ledger.agreements[name]


def opened(world: World, name: str = "sun-0") -> int:
    return sum(bill.open_total for bill in agreement(world, name).bills.values())


def pay(world: World, amount: int, name: str = "sun-0", member: str = "home") -> bool:
    return world.ask(
        member,
        Pay(agreement=name, amount_stroops=amount),
        lambda: world.model.ledger.pay(member, name, amount),
    )


def told(world: World, *names: str, after: int = 0) -> list[str]:
    """The names of facts, in the order in which they were recorded."""
    found: list[Recorded[Fact]] = world.real.named(names, after)
    return [type(each.fact).__name__ for each in found]
