"""Minting: metered surplus becomes tokens, and is taken back when readings are corrected. Pure.

One formula decides everything: what is due for a holding, a generation meter and a rating interval
is the surplus that the readings give by now, less what was minted of it. So no surplus needs no
fact, a correction upwards is a further mint and one downwards a shortfall, and whoever starts again
asks again and finds nothing that was decided.

An interval is looked at once it ended `MINT_LAG_S` ago by the time that all readings have reached,
and again whenever a reading, a correction or an enrolment touches it. One that is never completed
is given up after `KEPT_S`: readings and what was minted of them are forgotten together, so nothing
is minted twice.

Source: domain rules, section 3; decision 0003.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final

from libs.events.books import HoldingOpened
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.metering import INTERVALS_MAX
from libs.events.positions import parse_seen
from libs.events.subjects import METERS, READINGS
from libs.events.systems import HoldingTransferred, SystemProposed
from libs.events.timekeeping import TimeReached
from libs.events.trading import EnergyMinted, EnergyShortfallBooked
from libs.rules.dumps import Dumpable, Dumped, Loaded, dump_parts, load_parts
from libs.rules.numbers import split
from libs.rules.rating import Diversions, Household, Rated, rate
from libs.rules.series import Series
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import BrokenLaw
from services.ledger.metered import KEPT_S, MINT_LAG_S, Metered
from services.ledger.taking import DECISION_FACTS_MAX, Cells, Decision, Holder, Taking, cells_of

_READ: Final = (READINGS.name, METERS.name)
_HELD: Final = ("holding", "system", "member")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A holding, and since when it counts."""

    holder: Holder
    units: int
    since: int
    """Seconds since 1970."""


class _Due:
    """What is due of some intervals of a system, by holding."""

    def __init__(self) -> None:
        self.mints: dict[str, dict[tuple[int, str], int]] = defaultdict(dict)
        self.takings: dict[str, dict[tuple[int, str], int]] = defaultdict(dict)
        self.causes: dict[int, str] = {}

    def cause_of(self, cells: Cells) -> str:
        """The fact that completed the newest of the intervals."""
        return self.causes[max(start for start, _ in cells)]


class Minting:
    """Systems and holdings of one book, and what was minted for them."""

    facts: Final = Metered.facts | frozenset[type[Fact]](
        {
            SystemProposed,
            HoldingOpened,
            HoldingTransferred,
            EnergyMinted,
            EnergyShortfallBooked,
            TimeReached,
        }
    )
    """What `evolve` takes note of."""

    def __init__(self, *, timekeeper: Timekeeper, taking: Taking, diversions: Diversions) -> None:
        """Begin with no system.

        Args:
            timekeeper: Knows the time that all readings have reached.
            taking: Writes the facts.
            diversions: When which holding was diverted, and which was reclaimed.
        """
        self._timekeeper, self._taking, self._diversions = timekeeper, taking, diversions
        self._metered = Metered()
        self._minted = Series()
        self._intervals_s: dict[str, int] = {}
        self._opened: dict[str, dict[str, _Opened]] = defaultdict(dict)
        self._counts: dict[str, int] = defaultdict(int)
        self._ready: dict[str, dict[int, str]] = {}

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of the own stream, READINGS or METERS."""
        if not own:
            self._metered.evolve(recorded)
            return
        match recorded.fact:
            case SystemProposed() as fact:
                self._intervals_s[fact.system] = fact.rating_interval_s
            case HoldingOpened() as fact:
                holder = Holder(
                    fact.holding, fact.system, self._intervals_s[fact.system], fact.recipient
                )
                since = int(recorded.envelope.time.timestamp())
                self._open(_Opened(holder, fact.units, since))
            case HoldingTransferred() as fact:
                self._hand_over(fact)
            case EnergyMinted() | EnergyShortfallBooked() as fact if fact.holding is not None:
                self._count(fact, fact.holding)
            case TimeReached() as fact:
                self._reach(fact.to, recorded.envelope.seen)
            case _:
                pass

    def _hand_over(self, fact: HoldingTransferred) -> None:
        """From now on the new holder gets the tokens, and what is taken back is his."""
        for opened in self._opened.values():
            if (each := opened.get(fact.holding)) is not None:
                holder = replace(each.holder, member=fact.to_member)
                opened[fact.holding] = replace(each, holder=holder)

    def _open(self, opened: _Opened) -> None:
        holder = opened.holder
        self._opened[holder.system][holder.holding] = opened
        self._metered.hold(holder.holding, holder.system)

    def _count(self, fact: EnergyMinted | EnergyShortfallBooked, holding: str) -> None:
        """Fold what was minted or taken back, by meter and interval."""
        sign = 1 if isinstance(fact, EnergyMinted) else -1
        assert fact.interval_s is not None, "surplus is of intervals"
        for start, meter, energy_wh in cells_of(fact):
            change = [sign * energy_wh]
            name = f"{holding}/{meter}"
            self._minted.add(name, start, fact.interval_s, change, to_unknown=True)
        self._counts[holding] += 1

    def _reach(self, to: datetime, seen: str) -> None:
        """All that was due by a time stands before it in the own stream."""
        instant = int(to.timestamp())
        places = {
            stream: position.sequence
            for stream, position in parse_seen(seen).items()
            if stream.startswith(_READ)
        }
        self._metered.decide_up_to(instant, places)
        self._minted.drop_before(instant - KEPT_S)

    def due(self) -> Sequence[Draft]:
        """The next mints of a system, or the next energy that is taken back from a holding."""
        now = self._timekeeper.now
        if now is None or not (self._ready or self._metered.has_touched(_before(now))):
            return ()
        common = self._timekeeper.common
        if common is None:
            return ()
        self._make_ready(_before(common))
        for system in tuple(self._ready):
            if drafts := self._decide(system, common):
                return drafts
        return ()

    def _make_ready(self, until: int) -> None:
        """Gather what was touched by the rating intervals of our systems.

        What measures no holding of ours is left: one that is opened later counts from then on. An
        interval that is not over yet is asked for by its last part.
        """
        for end, meter, origin in self._metered.take_touched(until):
            system = self._metered.system_of(meter)
            if system is None:
                continue
            interval_s = self._intervals_s[system]
            start = (end - 1) // interval_s * interval_s
            if start + interval_s <= until:
                self._ready.setdefault(system, {})[start] = origin.cause

    def _decide(self, system: str, common: datetime) -> Sequence[Draft]:
        """Look at the oldest intervals of a system that are ready; where nothing is due, no more.

        Mints go first, so that what is taken back of a member finds them. What finds no room in the
        book is given up until it is read or corrected again: `TimeReached`, which follows, says
        that all before it was decided, and a replay must find the same left to do.
        """
        while system in self._ready:
            due = self._compare(system)
            drafts = self._mints(system, due, common) or self._takings(system, due, common)
            if drafts:
                return drafts
            for start in due.causes:
                del self._ready[system][start]
            if system in self._ready and not self._ready[system]:
                del self._ready[system]
        return ()

    def _mints(self, system: str, due: _Due, common: datetime) -> Sequence[Draft]:
        drafts: list[Draft] = []
        members: set[str] = set()
        for holding, cells in due.mints.items():
            holder = self._opened[system][holding].holder
            if holder.member in members:
                continue  # what a mint serves depends on what the last one served
            decision = Decision(common, due.cause_of(cells), self._counts[holding])
            mints = self._taking.mint(holder, cells, decision, beside_wh=_energy_wh(drafts))
            if len(drafts) + len(mints) > DECISION_FACTS_MAX:
                break
            drafts += mints
            members.add(holder.member)
        return drafts

    def _takings(self, system: str, due: _Due, common: datetime) -> Sequence[Draft]:
        for holding, cells in due.takings.items():
            holder = self._opened[system][holding].holder
            decision = Decision(common, due.cause_of(cells), self._counts[holding])
            return self._taking.take_back(holder, cells, decision)
        return ()

    def _compare(self, system: str) -> _Due:
        """What is due of the oldest intervals that are ready; those before them are done."""
        interval_s, installed = self._intervals_s[system], self._metered.installed
        plant = installed.plant(system)
        households = [
            Household(
                holding=holding,
                units=each.units,
                since=each.since,
                home=installed.home(holding),
                diverted=self._diversions.of(holding),
                until=self._diversions.end_of(holding),
            )
            for holding, each in self._opened[system].items()
        ]
        energy_of = partial(self._metered.energy_wh, interval_s=interval_s)
        ready, due = self._ready[system], _Due()
        for start in sorted(ready):
            if len(due.causes) == INTERVALS_MAX:
                break
            rated = rate(start, plant, households, energy_of)
            if rated is not None and self._add(due, rated, interval_s):
                due.causes[start] = ready[start]
            else:
                del ready[start]
        if not ready:
            del self._ready[system]
        return due

    def _add(self, due: _Due, rated: Rated, interval_s: int) -> bool:
        """Add what is due of one interval; tell whether anything is.

        Raises:
            BrokenLaw: Energy and its uses differ, or less than nothing was minted.
        """
        if not rated.is_lawful:
            raise BrokenLaw("allocation", f"interval {rated.start}: {rated}")
        is_any = False
        for holding, share in rated.shares.items():
            weights = rated.plant_wh if share.surplus_wh else dict.fromkeys(rated.plant_wh, 0)
            for meter, surplus_wh in split(share.surplus_wh, weights).items():
                minted_wh = self._minted_wh(holding, meter, rated.start, interval_s)
                if minted_wh < 0:
                    raise BrokenLaw("minting", f"{holding}, {meter}, {rated.start}: {minted_wh} Wh")
                cells = due.mints if surplus_wh > minted_wh else due.takings
                if surplus_wh != minted_wh:
                    is_any = True
                    cells[holding][rated.start, meter] = abs(surplus_wh - minted_wh)
        return is_any

    def _minted_wh(self, holding: str, meter: str, start: int, interval_s: int) -> int:
        """What was minted less what was taken back, in Wh."""
        known = self._minted.parts(f"{holding}/{meter}", start, start + interval_s)
        return sum(energy_wh for _, _, energy_wh in known)

    def dump(self) -> Dumped:
        """Give everything for a snapshot."""
        opened = [each for of_system in self._opened.values() for each in of_system.values()]
        return {
            "intervals": [list(each) for each in self._intervals_s.items()],
            "opened": (
                [*(getattr(each.holder, name) for name in _HELD), each.units, each.since]
                for each in opened
            ),
            "counts": [list(each) for each in self._counts.items()],
            "ready": [
                [system, start, cause]
                for system, ready in self._ready.items()
                for start, cause in ready.items()
            ],
            **dump_parts(self._parts()),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self._intervals_s.update(dict(dumped["intervals"]))
        for holding, system, member, units, since in dumped["opened"]:
            holder = Holder(holding, system, self._intervals_s[system], member)
            self._open(_Opened(holder, units, since))
        self._counts.update(dict(dumped["counts"]))
        for system, start, cause in dumped["ready"]:
            self._ready.setdefault(system, {})[start] = cause
        load_parts(self._parts(), dumped)

    def _parts(self) -> dict[str, Dumpable]:
        return {"metered": self._metered, "minted": self._minted}


def _before(instant: datetime) -> int:
    """The end of the intervals that are looked at by an instant, seconds since 1970."""
    return int(instant.timestamp()) - MINT_LAG_S


def _energy_wh(drafts: Sequence[Draft]) -> int:
    """What is minted by some facts, in Wh."""
    return sum(each.fact.energy_wh for each in drafts if isinstance(each.fact, EnergyMinted))
