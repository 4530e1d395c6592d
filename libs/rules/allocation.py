"""Who used what: the one allocation, used by billing and ledger alike.

Source: domain rules, section 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.rules.numbers import split


@dataclass(frozen=True, slots=True)
class Demand:
    """What one holding is entitled to by its size, and what its household consumed."""

    units: int
    """Units of the holding."""
    consumed_wh: int
    """Consumption in the interval, in Wh."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one holding got of an interval's generation, in Wh."""

    entitlement_wh: int
    """Its part of the generation."""
    own_use_wh: int
    """What its household used of that part."""
    used_of_others_wh: Mapping[str, int] = field(default_factory=dict)
    """What it used of the parts of co-holders, by their holding."""
    surplus_wh: int = 0
    """What nobody used: exported."""


def allocate(generated_wh: int, demands: Mapping[str, Demand]) -> dict[str, Share]:
    """Allocate one rating interval's generation to the holdings of a system.

    Args:
        generated_wh: Generation of the system in the interval, in Wh.
        demands: Units and consumption of every holding.

    Returns:
        A share per holding. Law: generated = own use + used by co-holders + surplus.

    Raises:
        ValueError: A quantity is below zero, or there is generation and no unit.
    """
    entitled = split(generated_wh, {key: demand.units for key, demand in demands.items()})
    own = {key: min(demand.consumed_wh, entitled[key]) for key, demand in demands.items()}
    spare = {key: entitled[key] - own[key] for key in demands}
    lacking = {key: demands[key].consumed_wh - own[key] for key in demands}
    shared = min(sum(spare.values()), sum(lacking.values()))
    left = split(shared, spare)
    surplus = {key: spare[key] - left[key] for key in demands}
    taken = split(shared, lacking)
    used: dict[str, dict[str, int]] = {}
    for key in sorted(demands):
        parts = split(taken[key], left)
        left = {source: left[source] - part for source, part in parts.items()}
        used[key] = {source: part for source, part in parts.items() if part}
    return {key: Share(entitled[key], own[key], used[key], surplus[key]) for key in demands}
