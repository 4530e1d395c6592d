"""The ledger's wiring: the register and one book in one process."""

from libs.events.subjects import BILLING, LEDGER, MEMBERS, PRICES, READINGS
from libs.rules.authority import Authority
from libs.rules.timekeeper import Timekeeper
from libs.runtime.clock import Clock
from libs.runtime.health import Health
from libs.runtime.orders import OrderDesk
from libs.runtime.process import Service
from libs.runtime.writer import Writer
from libs.runtime.writing import WritingService, connect_store
from services.ledger import members
from services.ledger.domain import Book
from services.ledger.settings import LedgerSettings


async def build(settings: LedgerSettings, clock: Clock, health: Health) -> Service:
    """Connect the ledger.

    Raises:
        Transient: The event store is away.
    """
    del clock  # time is a fact
    store = await connect_store(settings, health)
    deployment, book = settings.deployment, settings.book
    prices, register_stream = PRICES.stream(""), MEMBERS.stream("")
    register_authority = Authority(
        deployment=deployment,
        service="ledger",
        book=members.BOOK,
        first_approver=settings.first_approver,
    )
    register = members.Register(authority=register_authority, stream=register_stream)
    register_writer = Writer(
        store=store,
        rules=register,
        deployment=deployment,
        stream=register_stream,
        inputs=(prices,),
    )
    readings = [READINGS.stream(str(part)) for part in range(settings.partitions)]
    stream = LEDGER.stream(book)
    authority = Authority(deployment=deployment, service="ledger", book=book)
    rules = Book(
        authority=authority,
        timekeeper=Timekeeper(stream, readings, follows=(register_stream, prices)),
        stream=stream,
    )
    writer = Writer(
        store=store,
        rules=rules,
        deployment=deployment,
        stream=stream,
        inputs=(register_stream, prices, BILLING.stream(book), *readings),
        filters={
            name: f"{READINGS.prefix}.{name.partition('_')[2]}.time.TimeReached"
            for name in readings
        },
    )
    return WritingService(
        settings=settings,
        health=health,
        store=store,
        writers=(register_writer, writer),
        desks={
            members.BOOK: OrderDesk(
                writer=register_writer, authority=register_authority, decide=register.decide
            ),
            book: OrderDesk(writer=writer, authority=authority, decide=rules.decide),
        },
        hot=True,
    )
