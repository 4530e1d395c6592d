"""The ledger's wiring: the register and any number of books in one process."""

from dataclasses import dataclass

from libs.events.subjects import BILLING, LEDGER, MEMBERS, METERS, PRICES, READINGS
from libs.events.trading import book_key
from libs.eventstore import JetStreamStore
from libs.rules.authority import Authority
from libs.rules.timekeeper import Timekeeper
from libs.runtime.clock import Clock
from libs.runtime.continuity import Continuity
from libs.runtime.health import Health
from libs.runtime.lease import Lease
from libs.runtime.orders import OrderDesk
from libs.runtime.process import Service
from libs.runtime.settings import SettingsError
from libs.runtime.snapshots import Snapshots, code_hash
from libs.runtime.writer import Writer
from libs.runtime.writing import WritingService, connect_store
from services.ledger import members
from services.ledger.domain import Book
from services.ledger.settings import LedgerSettings


async def build(settings: LedgerSettings, clock: Clock, health: Health) -> Service:
    """Connect the ledger.

    Raises:
        SettingsError: There is nothing to write, or the snapshots have no place.
        Transient: The event store is away.
    """
    del clock  # time is a fact
    if not (settings.registers or settings.served_books):
        raise SettingsError(["HELIOGRAPH_LEDGER_SERVES: no book and no register are left."])
    snapshots = _snapshots(settings)
    store = await connect_store(settings, health)
    wiring = _Wiring(settings, health, store, snapshots)
    desks = {members.BOOK: wiring.register()} if settings.registers else {}
    desks |= {book: wiring.book(book) for book in settings.served_books}
    return WritingService(
        settings=settings,
        health=health,
        store=store,
        writers=[desk.writer for desk in desks.values()],
        desks=desks,
        hot=True,
    )


@dataclass(frozen=True, slots=True)
class _Wiring:
    """Joins a writer, its rules and its desk; a lease and snapshots for each stream."""

    settings: LedgerSettings
    health: Health
    store: JetStreamStore
    snapshots: Snapshots | None

    def register(self) -> OrderDesk:
        """The register of members."""
        stream = MEMBERS.stream("")
        authority = Authority(
            deployment=self.settings.deployment,
            service=self.settings.service,
            book=members.BOOK,
            first_approver=self.settings.first_approver,
        )
        rules = members.Register(authority=authority, stream=stream, books=self.settings.all_books)
        writer = Writer(
            store=self.store,
            rules=rules,
            deployment=self.settings.deployment,
            stream=stream,
            inputs=(PRICES.stream(""),),
            continuity=self._continuity(stream),
        )
        return OrderDesk(writer=writer, authority=authority, decide=rules.decide)

    def book(self, book: str) -> OrderDesk:
        """One book."""
        deployment, service = self.settings.deployment, self.settings.service
        stream, register, prices = LEDGER.stream(book), MEMBERS.stream(""), PRICES.stream("")
        parts = [str(part) for part in range(self.settings.partitions)]
        readings, meters = [*map(READINGS.stream, parts)], [*map(METERS.stream, parts)]
        others = [other for other in self.settings.all_books if other != book]
        authority = Authority(deployment=deployment, service=service, book=book)
        rules = Book(
            authority=authority,
            timekeeper=Timekeeper(stream, readings, follows=(register, prices, *meters)),
            stream=stream,
            others=others,
        )
        writer = Writer(
            store=self.store,
            rules=rules,
            deployment=deployment,
            stream=stream,
            inputs=(
                *(register, prices, BILLING.stream(book)),
                *meters,  # before the readings, which then need not be looked at again
                *readings,
                *map(LEDGER.stream, others),
            ),
            filters={
                LEDGER.stream(other): f"{LEDGER.prefix}.{other}.{book_key(book)}.*"
                for other in others
            },
            continuity=self._continuity(stream),
        )
        return OrderDesk(writer=writer, authority=authority, decide=rules.decide)

    def _continuity(self, stream: str) -> Continuity:
        if not self.settings.standby:
            return Continuity(snapshots=self.snapshots)
        lease = Lease(self.store.client, self.settings.service, stream, self.health)
        return Continuity(lease=lease, snapshots=self.snapshots)


def _snapshots(settings: LedgerSettings) -> Snapshots | None:
    """Open the place of the snapshots, if there is one."""
    if settings.snapshots_url is None:
        return None
    try:
        return Snapshots(
            url=settings.snapshots_url,
            deployment=settings.deployment,
            code=code_hash("libs.events", "libs.rules", "services.ledger"),
            every=settings.snapshots_every,
        )
    except (ValueError, OSError) as error:
        raise SettingsError([f"HELIOGRAPH_LEDGER_SNAPSHOTS_URL: {error}."]) from error
