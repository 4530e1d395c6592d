"""How a random history begins: members, a system that is raised or not, prices, agreements."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.events.books import Terms
from libs.events.pricing import Bucket, MarketPrice, TariffPrices, Tier, TimeOfUse
from libs.events.system_commands import (
    CancelRaise,
)
from tests.ownership.arithmetic import DAY, day_of
from tests.ownership.model import Contract, Version
from tests.ownership.owing import Agreement
from tests.ownership.playing import APPROVER, World
from tests.ownership.raising import System

UNIT = 10_000_000
HOUR = timedelta(hours=1)
ZONES = ("UTC", "America/Puerto_Rico", "Europe/Berlin", "America/Los_Angeles", "Australia/Sydney")
INVESTORS = ("ines", "ivan", "ida", "igor")
HOMES = ("home", "hut", "hall")
MEMBERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(INVESTORS, ("investor",)),
    **dict.fromkeys(HOMES, ("recipient",)),
    "heir": ("recipient",),
    "gus": ("guarantor", "investor"),
    "gwen": ("guarantor", "investor"),
    "grid": ("platform",),
    "carl": ("contractor",),
    "olga": ("operator",),
    "state": ("platform",),
}
LETTERS = "abc"


class Beginning:
    """A system with one to three holdings, in operation, or refunded."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.world = World(MEMBERS)
        self.steps = 0
        self.read_until: dict[str, datetime] = {}
        self.kept_back: list[tuple[str, datetime, tuple[int, ...]]] = []
        self.reported: list[tuple[str, datetime, tuple[int, ...]]] = []
        self.paused: list[str] = []
        self.receipts: list[tuple[str, str]] = []
        self.offers: list[tuple[str, str]] = []
        self.payouts = 0
        self.priced_until: datetime | None = None
        self._begin()

    # -- how it begins ------------------------------------------------------------------------

    def _begin(self) -> None:
        pick, world = self.random, self.world
        price = pick.randint(20 * UNIT, 200 * UNIT)
        self.terms = Terms(
            return_ppm_year=pick.choice((0, 50_000, 83_333, 1_000_000)),
            minimum_payment_stroops=pick.choice((0, 0, 3 * UNIT + 1)),
        )
        self.system = System(
            "sun",
            "dev",
            "USD",
            price,
            pick.choice(ZONES),
            self.terms.return_ppm_year,
            self.terms.minimum_payment_stroops,
            recipient=pick.choice((None, "home")),
            seed_factor=pick.choice((0, 1_234_567)),
            seed_cap=price // 3,
            cover_needed=pick.choice((0, 0, 5 * UNIT)),
            offtaker=pick.choice((None, "grid")),
            rating_s=3_600,
        )
        for member in (*INVESTORS, "gus", "gwen"):
            world.deposit(member, pick.choice((price, 2 * price + 7)))
        for member in HOMES:
            world.deposit(member, pick.choice((0, price // 2, 3 * price)) + 1)
        world.propose(self.system, self.terms)
        if self.system.seed_factor:
            world.to_stage("sun", 1)
            for number in range(pick.randint(0, 2)):
                amount = pick.randint(1, price // 6)
                risk = pick.random() < 0.3
                world.invest("sun", INVESTORS[number], amount, self.terms, at_risk=risk)
        world.to_stage("sun", 4)
        if self.system.cover_needed or pick.random() < 0.5:
            world.cover("sun", "gus", 4 * UNIT)
            world.cover("sun", "gwen", pick.randint(1, 3) * UNIT)
        left = price - self.system.raised()
        world.invest("sun", "igor", left + 1, self.terms)
        for member in INVESTORS[: pick.randint(1, 3)]:
            part = min(left, pick.randint(1, price // 2))
            if part and world.invest("sun", member, part, self.terms):
                left -= part
        if left:
            world.invest("sun", "igor", left, self.terms)
        if pick.random() < 0.1:
            self._fail()
            return
        world.accept("sun", "home")
        self._hold()
        self._operate()

    def _fail(self) -> None:
        """The raise fails, by an approver or by itself."""
        if self.random.random() < 0.5:
            self.world.advance(timedelta(days=3) - timedelta(seconds=1))
            self.world.advance(timedelta(seconds=1))
            return
        self.world.ask(
            APPROVER, CancelRaise(system="sun"), lambda: self.world.model.ledger.cancel("sun")
        )

    def _hold(self) -> None:
        """Holdings take all units."""
        count, left = self.random.randint(1, 3), self.system.units
        self.holdings: list[tuple[str, str]] = []
        for number in range(count):
            units = left if number == count - 1 else self.random.randint(1, left // 2)
            holding, member = f"h{number}", HOMES[number]
            self.world.open_holding("sun", holding, member, units)
            self.world.enrol(f"load{number}", "consumption", "sun", holding)
            self.holdings.append((holding, member))
            left -= units
        self.world.enrol("pv", "generation", "sun")

    def _operate(self) -> None:
        """Prices, operation, agreements."""
        world, pick = self.world, self.random
        self._publish()
        world.to_stage("sun", 6)
        world.advance(timedelta(hours=pick.randint(1, 50)))
        world.to_stage("sun", 7)
        for number, (holding, member) in enumerate(self.holdings):
            has_upkeep = pick.random() < 0.4
            taxes: tuple[Any, ...] = ()
            if pick.random() < 0.5:
                taxes = (("state", pick.choice((70_000, 115_000)), ("energy", "running")),)
            contract = Contract(
                f"agr{number}",
                "day",
                pick.choice(("14d", "28d", "month")),
                day_of(world.now, self.system.zone) + pick.randint(1, 9) * DAY,
                pick.choice((0, 3_600, 86_400, 200_000)),
                # Never a multiple of a step, so that nothing falls on a border that is not meant.
                pick.choice((3, 14)) * 86_400 + 3_601,
                term_periods=pick.choice((0, 0, 0, 5)),
                upkeep_payee="olga" if has_upkeep else "",
                upkeep=pick.choice((0, 2 * UNIT + 3)) if has_upkeep else 0,
                taxes=taxes,
                grace=pick.choice((2, 4, 6)),
                notice_s=pick.choice((0, 3, 7)) * 86_400,
            )
            world.agree(contract, holding, "sun", member, self.terms)
        first = min(agr.first_day for agr in self.agreements)
        for meter in world.model.meters.roles:
            begin = datetime(first.year, first.month, first.day, 4, tzinfo=UTC)
            self.read_until[meter] = begin

    def _publish(self) -> None:
        """A fixed price, or two buckets of which one has tiers."""
        price = self.random.choice((2_000_000, 1_333_333))
        standing = self.random.choice((0, UNIT + 1))
        since = self.world.now
        buckets: tuple[Any, ...] = (("", ((price, None),)),)
        weekday: tuple[str, ...] = ()
        weekend: tuple[str, ...] = ()
        kind = self.random.choice(("fixed", "hours", "tiers", "market"))
        if kind == "tiers" and len(self.holdings) > 1:
            # The texts do not say whether own use or shared energy fills a tier first.
            kind = "fixed"
        if kind == "market":
            self._publish_market(standing)
            return
        if kind == "fixed":
            prices = TariffPrices(price_stroops_per_kwh=price, standing_stroops_per_month=standing)
        else:
            buckets = (
                ("night", ((price // 2, None),)),
                (
                    "day",
                    ((price, 60_000), (3 * price, None)) if kind == "tiers" else ((price, None),),
                ),
            )
            weekday = ("000000011111111111110000",) * 12
            weekend = ("000000000000111100000000",) * 6 + ("0" * 24,) * 6
            shape = TimeOfUse(
                buckets=tuple(
                    Bucket(
                        name=name,
                        tiers=tuple(
                            Tier(price_stroops_per_kwh=each, up_to_wh=end) for each, end in tiers
                        ),
                    )
                    for name, tiers in buckets
                ),
                weekday=weekday,
                weekend=weekend,
            )
            prices = TariffPrices(time_of_use=shape, standing_stroops_per_month=standing)
        version = Version(
            "USD", since, self.world.now, buckets, weekday, weekend, standing=standing
        )
        self.world.publish("day", prices, version)

    def _publish_market(self, standing: int) -> None:
        market = MarketPrice(feed="spot", add_stroops_per_kwh=300_000)
        version = Version(
            "USD", self.world.now, self.world.now, feed="spot", add=300_000, standing=standing
        )
        prices = TariffPrices(market=market, standing_stroops_per_month=standing)
        self.world.publish("day", prices, version)
        self.priced_until = self.world.now.replace(hour=0)
        self._publish_spot(self.world.now + 3 * DAY, least=1_000_000)

    def _publish_spot(self, until: datetime, least: int = -900_000) -> None:
        """Prices for every six hours, some of them below zero; now and then a day is missing."""
        while self.priced_until is not None and self.priced_until < until:
            values = [self.random.randint(least, 4_000_000) for _ in range(40)]
            self.world.publish_prices("spot", self.priced_until, 21_600, values)
            self.priced_until += 10 * DAY + self.random.choice((0, 0, 0, 1)) * DAY

    @property
    def agreements(self) -> list[Agreement]:
        return list(self.world.model.ledger.agreements.values())
