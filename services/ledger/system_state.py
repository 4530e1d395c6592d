"""A system, its holdings and what is in escrow, as a book knows them. Pure.

Source: domain rules, sections 1 and 7; docs/decisions/0005.
"""

from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, Final, Literal

from libs.events.quantities import format_instant, parse_instant
from libs.events.systems import SystemProposed
from libs.rules.stages import OPERATION, RAISE

Status = Literal["HELD", "OWNED", "RECLAIMED"]
"""`HELD` while it is paid for, then `OWNED`; `RECLAIMED` when it was taken back and is no more."""


@dataclass(slots=True)
class Holding:
    """The right to use a part of a system."""

    holding: str
    """Its name."""
    system: str
    """Its system."""
    recipient: str
    """Who holds it now."""
    units: int
    """Its units."""
    status: Status = "HELD"
    """Whether it is owned by now."""


@dataclass(frozen=True, slots=True)
class Investment:
    """Money in escrow, and the units that are reserved for it."""

    investment: str
    """Its name."""
    investor: str
    """Who made it."""
    amount_stroops: int
    """Money in escrow, in stroops."""
    units: int
    """Reserved units."""
    is_seed: bool
    """Whether it was made in the seed round."""
    is_at_risk: bool
    """Whether it is spent even if the raise fails."""


@dataclass(slots=True)
class System:
    """A system as the book knows it."""

    proposed: SystemProposed
    """What was proposed."""
    approved: bool = False
    """Whether it may raise money."""
    stage: int = 0
    """Its stage, 0 to 9."""
    stage7_day: date | None = None
    """Local day on which operation began; none before."""
    recipient: str | None = None
    """Who accepted the raise; none before."""
    cancelled: bool = False
    """Whether its raise ended without a system."""
    paid_off: bool = False
    """Whether every holding is owned."""
    issued_units: int = 0
    """Its units, fixed when the raise was accepted; 0 before."""
    full_at: datetime | None = None
    """Since when its raise can be accepted; none while it is not full, or not open."""
    trigger_at: datetime | None = None
    """Time of the last fact from which something follows by itself."""
    trigger_cause: str = ""
    """Position and id of that fact."""
    investors: list[str] = field(default_factory=list)
    """Members who put money in or got title since; never fewer, they may have claims."""
    guarantors: list[str] = field(default_factory=list)
    """Members whose cover may still be there, in the order of their first deposit."""
    investments: dict[str, Investment] = field(default_factory=dict)
    """What is in escrow, by name, oldest first."""
    holdings: dict[str, Holding] = field(default_factory=dict)
    """Its holdings, without those that were reclaimed, in the order of opening."""

    @property
    def accepted(self) -> bool:
        """Whether its raise was accepted."""
        return self.recipient is not None

    @property
    def units(self) -> int:
        """Its units: the price and the seed uplift; fixed once the raise was accepted."""
        uplift = sum(each.units - each.amount_stroops for each in self.investments.values())
        return self.issued_units or self.proposed.price_stroops + uplift

    @property
    def escrow_stroops(self) -> int:
        """Money in escrow, of both rounds, in stroops."""
        return sum(each.amount_stroops for each in self.investments.values())

    @property
    def seed_stroops(self) -> int:
        """Money in escrow of the seed round, in stroops."""
        return sum(each.amount_stroops for each in self.investments.values() if each.is_seed)

    @property
    def held_units(self) -> int:
        """Units of all its holdings together."""
        return sum(each.units for each in self.holdings.values())

    @property
    def is_full(self) -> bool:
        """Whether its raise is open and escrow is the price: it can be accepted."""
        is_open = self.stage == RAISE and not self.accepted and not self.cancelled
        return is_open and self.escrow_stroops == self.proposed.price_stroops

    @property
    def is_complete(self) -> bool:
        """Whether it is in operation and everything is owned: it is paid off."""
        return (
            self.stage == OPERATION
            and not self.paid_off
            and all(each.status == "OWNED" for each in self.holdings.values())
            and self.held_units == self.units
        )


_PLAIN: Final = (
    "approved",
    "stage",
    "recipient",
    "cancelled",
    "paid_off",
    "issued_units",
    "trigger_cause",
)
"""What a snapshot holds of a system as it is."""


def row_of(system: System) -> dict[str, Any]:
    """What a snapshot holds of a system, without its holdings."""
    day, full_at, trigger_at = system.stage7_day, system.full_at, system.trigger_at
    return {
        "proposed": system.proposed.model_dump_json(),
        "plain": {name: getattr(system, name) for name in _PLAIN},
        "stage7_day": day and day.isoformat(),
        "full_at": full_at and format_instant(full_at),
        "trigger_at": trigger_at and format_instant(trigger_at),
        "investors": list(system.investors),
        "guarantors": list(system.guarantors),
        "investments": [
            [getattr(each, one.name) for one in fields(each)]
            for each in system.investments.values()
        ],
    }


def system_of(row: dict[str, Any]) -> System:
    """The system of a row."""
    day, full_at, trigger_at = row["stage7_day"], row["full_at"], row["trigger_at"]
    investments = [Investment(*values) for values in row["investments"]]
    return System(
        SystemProposed.model_validate_json(row["proposed"]),
        stage7_day=day and date.fromisoformat(day),
        full_at=full_at and parse_instant(full_at),
        trigger_at=trigger_at and parse_instant(trigger_at),
        investors=row["investors"],
        guarantors=row["guarantors"],
        investments={each.investment: each for each in investments},
        **row["plain"],
    )
