"""Billing's wiring: the agreements and invoices of every book, one writer each."""

import asyncio
from contextlib import suppress
from functools import partial
from typing import Final

from libs.events.subjects import BILLING, LEDGER, MEMBERS, METERS, PRICES, READINGS
from libs.eventstore import EventStore
from libs.rules.authority import Authority
from libs.rules.timekeeper import Timekeeper
from libs.runtime.clock import Clock
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from libs.runtime.orders import OrderDesk
from libs.runtime.process import Service
from libs.runtime.writer import Writer
from libs.runtime.writing import WritingService, connect_store
from services.billing.domain import Billing
from services.billing.settings import BillingSettings

ALARM_EVERY_S: Final = 5.0
"""Seconds between two looks for agreements that are stuck."""

_log = get_logger(__name__)


async def build(settings: BillingSettings, clock: Clock, health: Health) -> Service:
    """Connect billing.

    Raises:
        Transient: The event store is away.
    """
    del clock  # time is a fact
    store = await connect_store(settings, health)
    desks: dict[str, OrderDesk] = {}
    of_book: dict[str, Billing] = {}
    for book in settings.all_books:
        of_book[book], desks[book] = _book(settings, store, book)

    def stuck() -> dict[str, str]:
        return {
            f"{book}/{agreement}": why
            for book, rules in of_book.items()
            for agreement, why in rules.stuck.items()
        }

    health.describe("stuck_agreements", stuck)
    return WritingService(
        settings=settings,
        health=health,
        store=store,
        writers=[desk.writer for desk in desks.values()],
        desks=desks,
        tasks=[partial(_alarm, rules, health) for rules in of_book.values()],
    )


def _book(settings: BillingSettings, store: EventStore, book: str) -> tuple[Billing, OrderDesk]:
    """Join the rules of one book with their writer."""
    stream, ledger = BILLING.stream(book), LEDGER.stream(book)
    parts = [str(part) for part in range(settings.partitions)]
    readings = [READINGS.stream(part) for part in parts]
    authority = Authority(deployment=settings.deployment, service="billing", book=book)
    inputs = (
        MEMBERS.stream(""),
        PRICES.stream(""),
        ledger,
        *(METERS.stream(part) for part in parts),
        *readings,
    )
    timekeeper = Timekeeper(stream, (*readings, ledger), follows=inputs)
    rules = Billing(authority=authority, timekeeper=timekeeper, stream=stream)
    writer = Writer(
        store=store,
        rules=rules,
        deployment=settings.deployment,
        stream=stream,
        inputs=inputs,
    )
    return rules, OrderDesk(writer=writer, authority=authority, decide=rules.decide)


async def _alarm(rules: Billing, health: Health, stop: asyncio.Event) -> None:
    """Tell an operator of agreements whose next invoice no fact can hold, once each."""
    told: set[str] = set()
    while not stop.is_set():
        for agreement in rules.stuck.keys() - told:
            _log.error("invoice-stuck", agreement=agreement, reason=rules.stuck[agreement])
            health.count("alarms")
            told.add(agreement)
        with suppress(TimeoutError):
            async with asyncio.timeout(ALARM_EVERY_S):
                await stop.wait()
