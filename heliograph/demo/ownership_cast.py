"""Who plays in the demonstration of ownership, and what they agree on. All of it is fixed.

A roof of two households, five investors, a guarantor, and a grid company that buys what a late
household may not use.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from libs.events.books import Terms
from libs.events.invoicing import Tax, Upkeep
from libs.events.pricing import Bucket, FeedIn, Tier, TimeOfUse
from libs.events.quantities import STROOPS_PER_UNIT
from libs.events.systems import SeedRound

USD: Final = STROOPS_PER_UNIT
"""Stroops of one USD."""

SYSTEM, SITE, BOOK, ASSET = "terrace", "terrace-roof", "pilot", "USD"
"""The system, its site, its community and its money."""

ZONE: Final = "America/Denver"
"""The site's time zone."""

FIRST_DAY: Final = date(2016, 7, 1)
"""First local day of the play and of both agreements."""

PLANT_METER, GRID_METER = "terrace-pv", "terrace-grid"
"""The meter of the plant, and the one of the connection to the grid."""

NAMEPLATE_W: Final = 6_000
"""Nameplate of the plant in W."""

PRICE_STROOPS: Final = 4_000 * USD
"""Price of the system: Opensolar's pilot."""

SEED: Final = SeedRound(factor_ppm=1_100_000, cap_stroops=400 * USD)
"""Who comes early gets 1.1 units for his money, up to 400 USD in all."""

SEED_STROOPS: Final = {"investor-1": 400 * USD}
"""What is invested in the seed round."""

RAISE_STROOPS: Final = {
    "investor-1": 600 * USD,
    "investor-2": 1_000 * USD,
    "investor-3": 900 * USD,
    "investor-4": 700 * USD,
    "investor-5": 400 * USD,
}
"""What is invested in the raise; with the seed round it is the price."""

COVER_STROOPS: Final = 100 * USD
"""First-loss cover of the guarantor."""

PAYOUT_STROOPS: Final = 3_500 * USD
"""What the contractor is paid for building it."""

TERMS: Final = Terms(return_ppm_year=50_000, minimum_payment_stroops=0)
"""Return 5 % a year, no minimum payment: every investor signs them."""

TARIFF: Final = "terrace-tou"
"""The tariff of both households."""

_WORKDAY: Final = "000000011111111122221100"
_WEEKEND: Final = "000000011111111111111100"

PRICES: Final = TimeOfUse(
    buckets=(
        Bucket(name="night", tiers=(Tier(price_stroops_per_kwh=USD * 12 // 100),)),
        Bucket(name="day", tiers=(Tier(price_stroops_per_kwh=USD * 20 // 100),)),
        Bucket(name="peak", tiers=(Tier(price_stroops_per_kwh=USD * 32 // 100),)),
    ),
    weekday=(_WORKDAY,) * 12,
    weekend=(_WEEKEND,) * 12,
)
"""Night 0.12 (22 to 7), day 0.20, and peak 0.32 on working days from 16 to 20."""

STANDING_STROOPS: Final = 3 * USD
"""Standing charge a month."""

FEED_IN: Final = FeedIn(price_stroops_per_kwh=USD * 5 // 100)
"""What the grid company pays for a kWh: 0.05."""

UPKEEP: Final = Upkeep(payee="caretaker", amount_stroops_per_month=2 * USD)
"""Operation and maintenance, 2 USD a month each; the standing charge is the caretaker's too."""

TAX: Final = Tax(authority="treasury", rate_ppm=50_000, on=("energy", "shared"))
"""5 % on energy."""

SETTLEMENT_LAG_S: Final = 86_400
"""From the end of a period to its invoice: one day."""

DUE_AFTER_S: Final = 7 * 86_400
"""From the invoice to its due time: a week."""

GRACE_PERIODS: Final = 2
"""Periods from the due time until a late household's energy is sold."""


@dataclass(frozen=True, slots=True)
class Household:
    """One of the two."""

    name: str
    """The member; the agreement is called the same."""
    units_ppm: int
    """Its part of the system's units, in ppm."""
    expected_wh_year: int
    """Own use that it expects of a year, in Wh."""
    base_w: int
    """What it draws at any time, in W."""
    evening_w: int
    """What it draws from 17 to 22 besides, in W."""

    @property
    def holding(self) -> str:
        """Its holding."""
        return f"{SYSTEM}-{self.name}"

    @property
    def meter(self) -> str:
        """Its meter."""
        return f"home-{self.name}"


ANNA: Final = Household("anna", 400_000, 1_500_000, 250, 600)
"""Pays by standing order and pays the rest off early."""

BEN: Final = Household("ben", 600_000, 2_200_000, 700, 0)
"""Is late into grace, and cured."""

HOUSEHOLDS: Final = (ANNA, BEN)
"""Both of them."""

ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "approver": ("approver",),
    "developer": ("developer", "originator"),
    "builder": ("contractor",),
    "anna": ("recipient",),
    "ben": ("recipient",),
    **{f"investor-{number}": ("investor",) for number in range(1, 6)},
    "guarantor": ("guarantor",),
    "grid-company": ("platform",),
    "caretaker": ("operator",),
    "treasury": ("platform",),
}
"""The members and their roles, in the order in which they are registered."""


@dataclass(frozen=True, slots=True)
class Script:
    """What happens on which day of the play; day 1 is the midnight after the first day."""

    correct_on: int = 48
    """An approver corrects a week of Ben's meter, whose invoice was issued days before."""
    correct_from: int = 33
    """First day of that week, counted from the first day, which is 0."""
    correct_days: int = 7
    """Days that are corrected."""
    correct_wh: int = -60
    """What is added to each quarter of an hour from 12 to 14, in Wh."""
    ben_pays_until: int = 20
    """Ben pays what was issued by this day; then he stops."""
    ben_cures_on: int = 81
    """Ben pays everything that is open."""
    grid_pays_on: int = 84
    """The grid company pays what it owes."""
    anna_pays_off_on: int = 90
    """Anna prepays all that is left."""


SCRIPT: Final = Script()
"""The story."""
