"""Tokens that carry a slot: what a member may still offer on the market of that slot. Pure.

Tokens are alike, so a slot is no mark on a token but a count: what was minted for a member out of
the slot's intervals, less what corrections took back and what he offered. It stays with him when
tokens move; whether tokens are there at all is for the balance to say.
"""

from datetime import datetime, timedelta
from typing import Final

from libs.events.fact import Fact
from libs.events.quantities import format_instant, parse_instant
from libs.events.timekeeping import TimeReached
from libs.events.trading import EnergyMinted, EnergyShortfallBooked
from libs.rules.dumps import Dumped, Loaded
from libs.rules.market import SLOT_S, clears_at, slot_of


class SlotEnergy:
    """What is minted and not offered, by slot and member, of the slots that are not closed."""

    facts: Final = frozenset[type[Fact]]({EnergyMinted, EnergyShortfallBooked, TimeReached})
    """What `evolve` takes note of."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._left: dict[datetime, dict[str, int]] = {}
        self._reached: datetime | None = None

    def left_wh(self, slot: datetime, member: str) -> int:
        """What the member may still offer, in Wh; below zero after a correction of what he sold."""
        return self._left.get(slot, {}).get(member, 0)

    def change(self, slot: datetime, member: str, energy_wh: int) -> None:
        """Change it by what is offered (below zero) or no longer offered, in Wh."""
        if self._reached is not None and clears_at(slot) <= self._reached:
            return  # closed for ever: nobody asks again
        members = self._left.setdefault(slot, {})
        members[member] = members.get(member, 0) + energy_wh

    def evolve(self, fact: Fact) -> None:
        """Fold a fact of the own stream."""
        match fact:
            case EnergyMinted():
                self._mint(fact)
            case EnergyShortfallBooked():
                for each in fact.intervals:
                    self._count(each.from_at, fact.interval_s, fact.member, -each.energy_wh)
            case TimeReached():
                self._reached = fact.to
                for slot in [slot for slot in self._left if clears_at(slot) <= fact.to]:
                    del self._left[slot]
            case _:
                pass

    def _mint(self, fact: EnergyMinted) -> None:
        """Count what became tokens; what served a shortfall is taken from the first intervals."""
        served = fact.served_wh
        for each in fact.intervals:
            assert fact.interval_s is not None, "whoever lists intervals says how long they are"
            owed = min(served, each.energy_wh)
            served -= owed
            self._count(each.from_at, fact.interval_s, fact.member, each.energy_wh - owed)

    def _count(self, from_at: datetime, interval_s: int, member: str, energy_wh: int) -> None:
        """Count an interval into its slot. One that lasts longer belongs to none."""
        slot = slot_of(from_at)
        if energy_wh and from_at - slot <= timedelta(seconds=SLOT_S - interval_s):
            self.change(slot, member, energy_wh)

    def dump(self) -> Dumped:
        """Give the counts for a snapshot."""
        left = [(slot, dict(members)) for slot, members in self._left.items()]
        return {
            "reached": [format_instant(time) for time in (self._reached,) if time is not None],
            "left": (
                [format_instant(slot), member, energy_wh]
                for slot, members in left
                for member, energy_wh in members.items()
            ),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for slot, member, energy_wh in dumped["left"]:
            self._left.setdefault(parse_instant(slot), {})[member] = energy_wh
        self._reached = next(map(parse_instant, dumped["reached"]), None)
