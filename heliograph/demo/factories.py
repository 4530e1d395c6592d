"""The twenty factories of the trading day, and what each of them has.

Factory01 to Factory05 are those of the energy network that this one follows, number by number. The
other fifteen are ours: businesses of an industrial zone, in figures of the same order. Everything
is fixed, keys too, so that two plays sign the same bytes.
"""

from dataclasses import dataclass
from typing import Final, Literal

from heliograph.demo import cast
from libs.events.jws import SigningKey
from libs.events.membership import EnergyType
from libs.events.quantities import STROOPS_PER_UNIT, WH_PER_KWH

Shift = Literal["day", "two", "round"]
"""When a factory works: from 6 to 18, from 6 to 22, or round the clock."""

BOOK: Final = "park"
"""The community of the factories."""

PLANT_ASSET: Final = "USD"
"""What the plants are paid in: another money than the tokens, so that their totals stay as told."""

PLANT_STROOPS_PER_W: Final = STROOPS_PER_UNIT
"""What a plant costs: 1 USD per W of its nameplate."""

ROLES: Final = ("factory", "originator", "investor", "recipient")
"""What a factory may do once it has a plant of its own."""


@dataclass(frozen=True, slots=True)
class Factory:
    """A factory as the approver registers it."""

    number: int
    """1 to 20."""
    name: str
    """Its business name."""
    energy_type: EnergyType
    """How it makes energy."""
    balance_kwh: int
    """Energy that it begins with in kWh, and as many tokens."""
    use_kwh: int
    """What it uses on a day, in kWh."""
    available_kwh: int
    """What its plant makes on a day, in kWh."""
    shift: Shift
    """When it works."""

    @property
    def id(self) -> str:
        """The member's id, such as Factory01."""
        return f"Factory{self.number:02}"

    @property
    def key(self) -> SigningKey:
        """The factory's key."""
        return cast.key_of(self.id)

    @property
    def teller_key(self) -> SigningKey:
        """The key of the Teller that signs for both meters."""
        return cast.key_of(f"teller of {self.id}")

    @property
    def site(self) -> str:
        """Where plant and works are."""
        return f"site-{self.number:02}"

    @property
    def system(self) -> str:
        """Its plant."""
        return f"plant-{self.number:02}"

    @property
    def holding(self) -> str:
        """Its right to use the whole plant."""
        return f"works-{self.number:02}"

    @property
    def meters(self) -> tuple[str, str]:
        """The plant's meter and the works' meter."""
        return f"made-{self.number:02}", f"used-{self.number:02}"

    def order_id(self, slot: int) -> str:
        """The id of its order in a slot of the day: it has one at most."""
        return f"{self.id}-{slot:02}"

    @property
    def balance_wh(self) -> int:
        """Energy that it begins with, in Wh."""
        return self.balance_kwh * WH_PER_KWH

    @property
    def balance_stroops(self) -> int:
        """Tokens that it begins with, in stroops."""
        return self.balance_kwh * STROOPS_PER_UNIT

    def limit_stroops_per_kwh(self, side: Literal["bid", "offer"], hour: int) -> int:
        """The price at which it still trades, in stroops per kWh; no two factories have the same.

        Args:
            side: It bids 0.0675 to 0.115 tokens, a fifth more in the evening; and asks 0.045 to
                0.0735 tokens.
            hour: Local hour of the slot.
        """
        if side == "offer":
            return 450_000 + 15_000 * (7 * self.number % 20)
        bid = 1_150_000 - 25_000 * (3 * self.number % 20)
        return bid * 6 // 5 if hour in EVENING else bid


EVENING: Final = range(17, 22)
"""Local hours in which everybody bids more: the sun goes down and work goes on."""

FACTORIES: Final = (
    Factory(1, "Solar Manufacturing Plant", "solar", 1000, 800, 1200, "two"),
    Factory(2, "Wind Power Assembly", "wind", 800, 750, 850, "day"),
    Factory(3, "Tech Production Facility", "footstep", 500, 600, 450, "round"),
    Factory(4, "Heavy Industry Corp", "solar", 300, 900, 250, "round"),
    Factory(5, "Electronics Assembly", "wind", 600, 550, 700, "two"),
    Factory(6, "Green Energy Plant", "solar", 500, 450, 900, "day"),
    Factory(7, "Harbour Crane Works", "wind", 700, 650, 820, "two"),
    Factory(8, "Central Station Hall", "footstep", 200, 380, 240, "two"),
    Factory(9, "North Cold Storage", "solar", 900, 1100, 600, "round"),
    Factory(10, "Ridge Turbine Service", "wind", 850, 300, 780, "day"),
    Factory(11, "East Textile Mill", "solar", 400, 820, 520, "two"),
    Factory(12, "Arcade Shopping Floor", "footstep", 150, 260, 130, "two"),
    Factory(13, "Timber and Joinery Works", "wind", 350, 480, 360, "day"),
    Factory(14, "Valley Dairy", "solar", 620, 700, 760, "round"),
    Factory(15, "South Data Hall", "wind", 1000, 1300, 640, "round"),
    Factory(16, "Old Town Bakery", "solar", 280, 340, 410, "round"),
    Factory(17, "Riverside Sports Hall", "footstep", 120, 180, 90, "two"),
    Factory(18, "Paper Recycling Plant", "solar", 750, 980, 830, "two"),
    Factory(19, "Coast Wind Logistics", "wind", 450, 260, 690, "day"),
    Factory(20, "Green Tech Solar Facility", "solar", 1000, 400, 1150, "day"),
)
"""All twenty, in the order in which they are registered."""
