"""The rules of grid energy: what a diverted holding's surplus is sold for, and who pays. Pure.

What is minted for an interval in which its holding was diverted is sold at once: at most what the
grid meters exported in the interval less what was sold of it before, and at most the member's free
tokens. An interval whose export is not known yet waits for its reading, as long as readings are
kept; what is never exported stays the holder's tokens. One mint is one sale; several where the
price changes within it, or a night lies in it.

Proceeds are a claim on the offtaker. When he pays, the agreement's credit receives it.

Source: domain rules, sections 8 and 11; docs/decisions/0005, "Supply".
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Final

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened
from libs.events.metering import INTERVALS_MAX
from libs.events.positions import parse_seen, write_cause
from libs.events.quantities import INTEGER_MAX
from libs.events.supply import GridEnergySold, GridProceedsReceived
from libs.events.system_commands import PayGridProceeds
from libs.events.timekeeping import TimeReached
from libs.events.trading import EnergyMinted, EnergyShortfallBooked
from libs.rules.authority import Order
from libs.rules.dumps import Dumpable, Dumped, Loaded, dump_parts, load_parts
from libs.rules.numbers import scale
from libs.rules.postings import Books
from libs.rules.rating import Diversions
from libs.rules.series import Series
from libs.rules.trade_postings import ENERGY
from libs.runtime.failures import NotFound, Refused
from services.ledger.agreements import Agreements
from services.ledger.checks import check_money
from services.ledger.exported import Exported
from services.ledger.feed_in import FeedInPrices, Price
from services.ledger.metered import KEPT_S
from services.ledger.moment import Moment
from services.ledger.systems import Systems
from services.ledger.taking import DECISION_FACTS_MAX, cells_of

WH_OF_KWH: Final = 1_000
"""Wh in a kWh."""

_OWN: Final = ""


@dataclass(slots=True)
class _Seller:
    """A holding that was diverted, as far as selling looks at it."""

    system: str
    member: str
    interval_s: int
    sales: int = 0
    """Facts of sale by now, which make ids unique."""
    open: dict[int, None] = field(default_factory=dict)
    """Starts of intervals in which more was minted than sold: an index."""


class Grid:
    """Sales of one book to the grid."""

    facts: Final = (
        Exported.facts
        | FeedInPrices.facts
        | frozenset[type[Fact]]({EnergyMinted, EnergyShortfallBooked, GridEnergySold, TimeReached})
    )
    """What `evolve` takes note of."""

    def __init__(
        self,
        *,
        books: Books,
        moment: Moment,
        systems: Systems,
        agreements: Agreements,
        diversions: Diversions,
    ) -> None:
        """Begin with nothing sold.

        Args:
            books: Free tokens and claims.
            moment: The time.
            systems: The offtakers.
            agreements: The agreements.
            diversions: When which holding was diverted.
        """
        self._books, self._moment = books, moment
        self._systems, self._agreements, self._diversions = systems, agreements, diversions
        self._exported = Exported(lambda system: self._offtaker(system) is not None)
        self._prices = FeedInPrices()
        self._minted, self._sold, self._sold_of_system = Series(), Series(), Series()
        self._sellers: dict[str, _Seller] = {}
        self._of_system: dict[str, dict[str, None]] = defaultdict(dict)
        self._decided: dict[str, int] = {}
        # Systems to be looked at; for each stream the newest fact that asks, and its cause.
        self._look: dict[str, dict[str, tuple[int, str]]] = defaultdict(dict)

    def _offtaker(self, system: str) -> str | None:
        found = self._systems.systems.get(system)
        return None if found is None else found.proposed.offtaker

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold a fact of the own stream, READINGS, METERS or PRICES."""
        if not own:
            self._read(recorded)
            return
        match recorded.fact:
            case EnergyMinted() | EnergyShortfallBooked() as fact if fact.holding is not None:
                if self._count(fact, fact.holding) and isinstance(fact, EnergyMinted):
                    self._ask(fact.system or "", _OWN, recorded)
            case GridEnergySold() as fact:
                self._sell(fact)
            case TimeReached() as fact:
                self._reach(int(fact.to.timestamp()), recorded.envelope.seen)
            case _:
                pass

    def _read(self, recorded: Recorded[Fact]) -> None:
        """Fold what others say of prices and exports."""
        if type(recorded.fact) in FeedInPrices.facts:
            self._prices.evolve(recorded)
            return
        system = self._exported.evolve(recorded)
        is_new = recorded.sequence > self._decided.get(recorded.stream, 0)
        if system is not None and system in self._of_system and is_new:
            self._ask(system, recorded.stream, recorded)

    def _ask(self, system: str, stream: str, recorded: Recorded[Fact]) -> None:
        """Ask to look at a system, because of a fact."""
        cause = write_cause(recorded.position, recorded.envelope.id)
        self._look[system][stream] = recorded.sequence, cause

    def _count(self, fact: EnergyMinted | EnergyShortfallBooked, holding: str) -> bool:
        """Fold what was minted or taken back of diverted intervals; tell whether there are any."""
        if not self._diversions.of(holding):
            return False
        sign = 1 if isinstance(fact, EnergyMinted) else -1
        assert fact.interval_s is not None, "surplus is of intervals"
        assert fact.system is not None, "surplus is of a system"
        cells = [
            (start, sign * energy_wh)
            for start, _, energy_wh in cells_of(fact)
            if self._diversions.holds(holding, start)
        ]
        for start, change in cells:
            seller = self._sellers.get(holding)
            if seller is None:
                seller = _Seller(fact.system, fact.member, fact.interval_s)
                self._keep(holding, seller)
            if seller.member != fact.member:  # what the last holder has is his
                seller.member = fact.member
                seller.open.clear()
            self._minted.add(holding, start, fact.interval_s, [change], to_unknown=True)
            self._open(holding, seller, start)
        return bool(cells)

    def _keep(self, holding: str, seller: _Seller) -> None:
        self._sellers[holding] = seller
        self._of_system[seller.system][holding] = None

    def _sell(self, fact: GridEnergySold) -> None:
        start, seller = int(fact.first_interval_at.timestamp()), self._sellers[fact.holding]
        seller.sales += 1
        for series, name in ((self._sold, fact.holding), (self._sold_of_system, fact.system)):
            series.add(name, start, fact.interval_s, fact.energies_wh, to_unknown=True)
        for index in range(len(fact.energies_wh)):
            self._open(fact.holding, seller, start + index * fact.interval_s)

    def _open(self, holding: str, seller: _Seller, start: int) -> None:
        """Keep the index of intervals of which something is to be sold."""
        if self._unsold_wh(holding, start, seller.interval_s) > 0:
            seller.open[start] = None
        else:
            seller.open.pop(start, None)

    def _unsold_wh(self, holding: str, start: int, interval_s: int) -> int:
        minted_wh = _wh(self._minted, holding, start, interval_s)
        return minted_wh - _wh(self._sold, holding, start, interval_s)

    def _reach(self, to: int, seen: str) -> None:
        """What was to be looked at by a time was: it stands before it in the own stream."""
        self._decided = {name: at.sequence for name, at in parse_seen(seen).items()}
        for system, asked in tuple(self._look.items()):
            later = {
                stream: each
                for stream, each in asked.items()
                if stream != _OWN and each[0] > self._decided.get(stream, 0)
            }
            if later:
                self._look[system] = later
            else:
                del self._look[system]
        self._forget(to - KEPT_S)

    def _forget(self, instant: int) -> None:
        before = self._minted.first_at
        for series in (
            self._minted,
            self._sold,
            self._sold_of_system,
            self._exported,
            self._prices,
        ):
            series.drop_before(instant)
        if self._minted.first_at > before:
            for seller in self._sellers.values():
                kept = [start for start in seller.open if start >= self._minted.first_at]
                seller.open = dict.fromkeys(kept)

    def due(self) -> Sequence[Draft]:
        """The next sale of a holding; one decision at a time."""
        now = self._moment.now
        if now is None:
            return ()
        for system in tuple(self._look):
            cause = max(self._look[system].values())[1]
            for holding in self._of_system.get(system, ()):
                sales = islice(self._sales(holding, now, cause), DECISION_FACTS_MAX)
                if drafts := tuple(sales):
                    return drafts
            del self._look[system]
        return ()

    def _sales(self, holding: str, now: datetime, cause: str) -> Iterator[Draft]:
        """What can be sold of a holding, a fact for each price and stretch of intervals."""
        seller, opened = self._sellers[holding], self._agreements.of_holding(holding)
        offtaker = self._offtaker(seller.system)
        if opened is None or offtaker is None:
            return
        sales = self._parts(opened, seller, now)
        for number, (price, cells) in enumerate(sales, seller.sales + 1):
            fact = self._fact(opened, seller, offtaker, price, cells)
            fact_id = f"grid:{holding}.{number}"
            yield Draft(holding, fact, fact_id, now, cause if number == seller.sales + 1 else None)

    def _fact(
        self,
        opened: AgreementOpened,
        seller: _Seller,
        offtaker: str,
        price: Price,
        cells: dict[int, int],
    ) -> GridEnergySold:
        starts, energy_wh = (
            range(min(cells), max(cells) + 1, seller.interval_s),
            sum(cells.values()),
        )
        return GridEnergySold(
            holding=opened.holding,
            agreement=opened.agreement,
            system=seller.system,
            member=seller.member,
            offtaker=offtaker,
            asset=opened.asset,
            first_interval_at=datetime.fromtimestamp(starts[0], UTC),
            interval_s=seller.interval_s,
            energies_wh=tuple(cells.get(start, 0) for start in starts),
            energy_wh=energy_wh,
            tariff=opened.tariff,
            price_position=price.position,
            price_stroops_per_kwh=price.stroops_per_kwh,
            amount_stroops=scale(energy_wh * price.stroops_per_kwh, 1, WH_OF_KWH),
        )

    def _parts(
        self, opened: AgreementOpened, seller: _Seller, now: datetime
    ) -> Iterator[tuple[Price, dict[int, int]]]:
        """What can be sold: stretches of one price, with the energy of each interval in Wh."""
        free_wh = self._books.balance(ENERGY, f"kwh:{seller.member}")
        cells: dict[int, int] = {}
        last: Price | None = None
        for start in sorted(seller.open):
            price = self._prices.at(opened, start, now)
            if price is None:
                continue
            # What one fact can say; the rest of an interval is the next sale.
            most_wh = INTEGER_MAX * WH_OF_KWH // max(price.stroops_per_kwh, WH_OF_KWH)
            sellable_wh = self._sellable_wh(opened.holding, seller, start)
            energy_wh = min(free_wh, sellable_wh, most_wh)
            if energy_wh <= 0:
                continue
            is_far = bool(cells) and (
                start - min(cells) >= INTERVALS_MAX * seller.interval_s
                or sum(cells.values()) + energy_wh > most_wh
            )
            if last is not None and cells and (price != last or is_far):
                yield last, cells
                cells = {}
            cells[start], last = energy_wh, price
            free_wh -= energy_wh
        if last is not None and cells:
            yield last, cells

    def _sellable_wh(self, holding: str, seller: _Seller, start: int) -> int:
        """What was minted and not sold, at most what is left of the export, in Wh."""
        interval_s = seller.interval_s
        exported_wh = self._exported.energy_wh(seller.system, start, interval_s)
        if exported_wh is None:
            return 0
        left_wh = exported_wh - _wh(self._sold_of_system, seller.system, start, interval_s)
        return min(left_wh, self._unsold_wh(holding, start, interval_s))

    def pay(self, order: Order) -> Sequence[Draft]:
        """An offtaker pays for grid energy from his wallet.

        Raises:
            NotFound: Code `unknown-agreement`.
            Refused: Code `not-the-offtaker`, `more-than-owed` or `insufficient-funds`.
        """
        body, payer = order.body(PayGridProceeds), order.signer.member
        opened = self._agreements.get(body.agreement)
        if opened is None:
            raise NotFound(
                "unknown-agreement", f"no agreement {body.agreement}", field="body.agreement"
            )
        if payer != self._offtaker(opened.system):
            text = f"{payer} does not buy the energy of {opened.system}"
            raise Refused("not-the-offtaker", text, field="member")
        owed = self._books.balance(f"C:{opened.asset}", f"grid_for:{opened.agreement}")
        if body.amount_stroops > owed:
            raise Refused("more-than-owed", f"{owed} stroops are owed", field="body.amount_stroops")
        check_money(self._books, payer, opened.asset, body.amount_stroops, "body.amount_stroops")
        fact = GridProceedsReceived(
            agreement=opened.agreement,
            offtaker=payer,
            asset=opened.asset,
            amount_stroops=body.amount_stroops,
            command=order.text,
        )
        return (Draft(opened.agreement, fact, f"{order.id}.proceeds", order.time),)

    def dump(self) -> Dumped:
        """Give everything for a snapshot."""
        return {
            "sellers": [
                [holding, each.system, each.member, each.interval_s, each.sales, *each.open]
                for holding, each in self._sellers.items()
            ],
            "decided": [list(each) for each in self._decided.items()],
            "look": [
                [system, stream, *each]
                for system, asked in self._look.items()
                for stream, each in asked.items()
            ],
            **dump_parts(self._state()),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for holding, system, member, interval_s, sales, *starts in dumped["sellers"]:
            self._keep(holding, _Seller(system, member, interval_s, sales, dict.fromkeys(starts)))
        self._decided.update(dict(dumped["decided"]))
        for system, stream, sequence, cause in dumped["look"]:
            self._look[system][stream] = sequence, cause
        load_parts(self._state(), dumped)

    def _state(self) -> dict[str, Dumpable]:
        return {
            "exported": self._exported,
            "prices": self._prices,
            "minted": self._minted,
            "sold": self._sold,
            "sold_of_system": self._sold_of_system,
        }


def _wh(series: Series, name: str, start: int, interval_s: int) -> int:
    """The sum of a name in an interval, in Wh."""
    return sum(energy_wh for _, _, energy_wh in series.parts(name, start, start + interval_s))
