"""Who plays in the demonstration, with which keys, and what they agree on. All of it is fixed.

The keys are made from their names, so that two runs sign the same bytes. They are worth nothing.
"""

import hashlib
from dataclasses import dataclass

from libs.events.jws import SigningKey
from libs.events.quantities import STROOPS_PER_UNIT

DEPLOYMENT = "demo"
"""Id of the demonstration's installation."""

ASSET = "USD"
"""Book money of the demonstration."""

SYSTEM, SITE, HOLDING, AGREEMENT = "sunrise", "rooftop", "sunrise-home", "home"
"""The solar system, its site, the household's holding and its agreement."""

TARIFF = "fixed"
"""The tariff."""

GENERATION_METER, CONSUMPTION_METER = "pv-1", "home-1"
"""The plant's meter and the household's meter."""

PRICE_STROOPS = 4_000 * STROOPS_PER_UNIT
"""Price of the system: 4,000 USD, as in Opensolar's pilot (Puerto Rico)."""

ENERGY_PRICE_STROOPS_PER_KWH = STROOPS_PER_UNIT // 5
"""Price of energy: 0.20 USD per kWh, as in Opensolar's oracle."""

INVESTMENTS_STROOPS = {
    "investor-1": 2_400 * STROOPS_PER_UNIT,
    "investor-2": 1_600 * STROOPS_PER_UNIT,
}
"""What each investor puts in."""

SETTLEMENT_LAG_S = 86_400
"""From the end of a month to its invoice: one day."""

DUE_AFTER_S = 14 * 86_400
"""From the invoice to its due time: two weeks."""

ROLES: dict[str, tuple[str, ...]] = {
    "approver": ("approver", "operator"),
    "developer": ("developer", "originator"),
    "household": ("recipient",),
    "investor-1": ("investor",),
    "investor-2": ("investor",),
}
"""The members and their roles, in the order in which they are registered."""


def seed_of(name: str) -> bytes:
    """The fixed seed of a player of the demonstration, 32 bytes."""
    return hashlib.sha256(f"heliograph demonstration key: {name}".encode()).digest()


def key_of(name: str) -> SigningKey:
    """The fixed key of a player of the demonstration."""
    return SigningKey(seed_of(name))


def document_hash(kind: str) -> str:
    """The hash of a document behind a stage; in a demonstration nobody has written it."""
    return hashlib.sha256(f"heliograph demonstration document: {kind}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Scene:
    """What differs from run to run of the demonstration."""

    source: str
    """Path of the power CSV."""
    time_zone: str
    """The site's time zone."""
    nameplate_w: int
    """Nameplate of the plant in W."""
    load_w: int
    """The household's stated constant draw in W."""
