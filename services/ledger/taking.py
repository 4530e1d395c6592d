"""The facts of minting: what is due becomes mints, or is taken back. Pure.

A fact is of one interval or of one meter, whichever takes fewer facts; so the facts tell what each
meter accounts for in each interval.

Source: domain rules, section 3; decision 0003.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from libs.events.envelope import Draft
from libs.events.fact import Fact
from libs.events.metering import INTERVALS_MAX
from libs.events.trading import (
    METERS_MAX,
    EnergyMinted,
    EnergyShortfallBooked,
    IntervalEnergy,
    MeterEnergy,
    TradeCancelled,
)
from libs.rules.postings import Books
from libs.rules.trade_postings import ENERGY
from services.ledger.market import Market, withdrawal
from services.ledger.room import Room
from services.ledger.trading import Trading

DECISION_FACTS_MAX: Final = 100
"""Most facts of one decision."""

Cells = Mapping[tuple[int, str], int]
"""Energy above zero in Wh by start of the interval, seconds since 1970, and generation meter."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A holding whose surplus is minted."""

    holding: str
    """The holding."""
    system: str
    """Its system."""
    interval_s: int
    """Rating interval of the system, in seconds."""
    member: str
    """Who receives its tokens."""


@dataclass(frozen=True, slots=True)
class Decision:
    """When and why something is minted or taken back."""

    time: datetime
    """The time that was reached."""
    cause: str
    """The fact that completed the newest of the intervals."""
    number: int
    """Facts of minting that the holding has, which makes the ids unique."""


@dataclass(frozen=True, slots=True)
class _Sum:
    """What one fact says: energy by interval and by meter."""

    intervals: tuple[IntervalEnergy, ...]
    meters: tuple[MeterEnergy, ...]

    @property
    def energy_wh(self) -> int:
        return sum(each.energy_wh for each in self.intervals)


def cells_of(fact: EnergyMinted | EnergyShortfallBooked) -> Iterator[tuple[int, str, int]]:
    """Read a fact of minting again: start of the interval, meter and energy in Wh."""
    for interval in fact.intervals:
        for meter in fact.meters:
            each = interval if len(fact.meters) == 1 else meter
            yield int(interval.from_at.timestamp()), meter.meter, each.energy_wh


class Taking:
    """Writes what is due down, and takes energy back where it is."""

    def __init__(self, *, books: Books, room: Room, trading: Trading, market: Market) -> None:
        """Join the parts of the book.

        Args:
            books: The balances.
            room: What the book can still take in.
            trading: The open trades.
            market: The open offers.
        """
        self._books, self._room = books, room
        self._trading, self._market = trading, market

    def mint(
        self, holder: Holder, cells: Cells, decision: Decision, *, beside_wh: int
    ) -> Sequence[Draft]:
        """Mint energy; a shortfall is served first. Nothing while the book has no room for it.

        Args:
            holder: For whom.
            cells: What is minted.
            decision: When and why.
            beside_wh: What the same decision mints for others, in Wh.
        """
        shortfall = self._books.balance(ENERGY, f"shortfall:{holder.member}")
        sums = list(islice(_sums(cells), DECISION_FACTS_MAX))
        if sum(part.energy_wh for part in sums) + beside_wh > self._room.left(ENERGY):
            return ()
        drafts = []
        for number, part in enumerate(sums, decision.number):
            served = min(shortfall, part.energy_wh)
            shortfall -= served
            name = _name(holder, part, number)
            fact = EnergyMinted(
                mint=name,
                member=holder.member,
                reason="surplus",
                energy_wh=part.energy_wh,
                served_wh=served,
                system=holder.system,
                holding=holder.holding,
                interval_s=holder.interval_s,
                intervals=part.intervals,
                meters=part.meters,
            )
            drafts.append(_draft(holder.member, fact, f"surplus:{name}", decision))
        return drafts

    def take_back(self, holder: Holder, cells: Cells, decision: Decision) -> Sequence[Draft]:
        """Take energy back: free tokens, then offers, then trades; what is left is shortfall.

        Offers and trades are ended whole, the newest first. Where there are more than one decision
        holds, the rest of it is due next.
        """
        sums = list(islice(_sums(cells), DECISION_FACTS_MAX))
        wanted = sum(part.energy_wh for part in sums)
        free = self._books.balance(ENERGY, f"kwh:{holder.member}")
        drafts: list[Draft] = []
        for draft, energy_wh in self._held(holder.member, decision):
            if free >= wanted or len(drafts) == DECISION_FACTS_MAX:
                break
            drafts.append(draft)
            free += energy_wh
        if len(drafts) + len(sums) > DECISION_FACTS_MAX:
            return drafts
        for number, part in enumerate(sums, decision.number):
            taken = min(free, part.energy_wh)
            free -= taken
            fact = EnergyShortfallBooked(
                member=holder.member,
                system=holder.system,
                holding=holder.holding,
                energy_wh=part.energy_wh,
                taken_wh=taken,
                interval_s=holder.interval_s,
                intervals=part.intervals,
                meters=part.meters,
            )
            name = _name(holder, part, number)
            drafts.append(_draft(holder.member, fact, f"surplus:{name}", decision))
        return drafts

    def _held(self, member: str, decision: Decision) -> Iterator[tuple[Draft, int]]:
        """What a member holds in offers and trades, newest first, as facts that free it."""
        for offer in self._market.newest_offers_of(member):
            placed, withdrawn = offer.placed, withdrawal(offer, "correction")
            name = f"correction:order.{placed.order}"
            yield _draft(member, withdrawn, name, decision), offer.energy_wh
        for trade in self._trading.open_of(member):
            cancelled = TradeCancelled(
                trade=trade.trade,
                seller=trade.seller,
                buyer=trade.buyer,
                energy_wh=trade.energy_wh,
                reason="correction",
            )
            name = f"correction:trade.{trade.trade}"
            yield _draft(member, cancelled, name, decision), trade.energy_wh


def _sums(cells: Cells) -> Iterator[_Sum]:
    """Sum cells to facts, by interval or by meter, in order."""
    starts = sorted({start for start, _ in cells})
    meters = sorted({meter for _, meter in cells})
    by_start = len(starts) * -(-len(meters) // METERS_MAX) <= len(meters)
    for whole in starts if by_start else meters:
        row = sorted(cell for cell in cells.items() if cell[0][not by_start] == whole)
        most = METERS_MAX if by_start else INTERVALS_MAX
        for at in range(0, len(row), most):
            yield _sum(row[at : at + most])


def _sum(row: Sequence[tuple[tuple[int, str], int]]) -> _Sum:
    """Sum the cells of one interval or of one meter."""
    of_starts: Counter[int] = Counter()
    of_meters: Counter[str] = Counter()
    for (start, meter), energy_wh in row:
        of_starts[start] += energy_wh
        of_meters[meter] += energy_wh
    return _Sum(
        tuple(
            IntervalEnergy(from_at=datetime.fromtimestamp(start, UTC), energy_wh=energy_wh)
            for start, energy_wh in of_starts.items()
        ),
        tuple(
            MeterEnergy(meter=meter, energy_wh=energy_wh) for meter, energy_wh in of_meters.items()
        ),
    )


def _name(holder: Holder, part: _Sum, number: int) -> str:
    """Holding, first interval, and how many facts of minting the holding had before."""
    return f"{holder.holding}.{part.intervals[0].from_at:%Y%m%dT%H%M%SZ}.{number}"


def _draft(member: str, fact: Fact, fact_id: str, decision: Decision) -> Draft:
    return Draft(member, fact, fact_id, decision.time, decision.cause)
