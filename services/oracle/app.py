"""The oracle's wiring: settings in, a running service out."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from functools import partial

from libs.events.subjects import ANCHORS, BILLING, LEDGER, MEMBERS, PRICES, READINGS
from libs.rules.authority import Authority
from libs.runtime.clock import Clock
from libs.runtime.failures import Refused
from libs.runtime.health import Health
from libs.runtime.orders import OrderDesk
from libs.runtime.process import Service
from libs.runtime.writer import Writer
from libs.runtime.writing import WritingService, connect_store
from services.oracle.domain import Oracle
from services.oracle.polling import Poller
from services.oracle.settings import OracleSettings
from services.oracle.sources import Source, read_sources

BOOK = "main"
"""The one book of the oracle's commands."""


def followers(settings: OracleSettings) -> dict[str, str]:
    """The streams that must reach a time before the next, and the service behind each."""
    readings = [READINGS.stream(str(part)) for part in range(settings.partitions)]
    return {
        **dict.fromkeys(readings, "ingest"),
        **{LEDGER.stream(book): "ledger" for book in settings.all_books},
        **{BILLING.stream(book): "billing" for book in settings.all_books},
        ANCHORS.stream(""): "anchor",
    }


def _time_subject(stream: str) -> str:
    """Subject of a follower's `TimeReached`: the only facts of it that matter here."""
    family, _, part = stream.partition("_")
    return ".".join(filter(None, (family.lower(), part, "time", "TimeReached")))


async def build(settings: OracleSettings, clock: Clock, health: Health) -> Service:
    """Connect the oracle.

    Raises:
        Refused: Played time without its first time, or a file of sources or a key that cannot be
            read.
        Transient: The event store is away.
    """
    if settings.played_time and settings.played_from is None:
        raise Refused("setting-missing", "PLAYED_TIME needs HELIOGRAPH_ORACLE_PLAYED_FROM")
    sources = () if settings.sources is None else read_sources(settings.sources)
    follow = followers(settings)
    stream = PRICES.stream("")
    authority = Authority(deployment=settings.deployment, service="oracle", book=BOOK)
    rules = Oracle(
        authority=authority,
        stream=stream,
        followers=follow,
        played_from=settings.played_from if settings.played_time else None,
    )
    store = await connect_store(settings, health)
    writer = Writer(
        store=store,
        rules=rules,
        deployment=settings.deployment,
        stream=stream,
        inputs=(MEMBERS.stream(""), *follow),
        filters={name: _time_subject(name) for name in follow},
    )

    async def keep_time(stop: asyncio.Event) -> None:
        """Publish the wall clock's time, in steps of the cadence."""
        await writer.recovered.wait()
        while not stop.is_set() and not settings.played_time:
            now = clock.now().replace(microsecond=0)
            await writer.submit(partial(_stage_tick, rules=rules, now=now, settings=settings))
            try:
                async with asyncio.timeout(settings.cadence_s):
                    await stop.wait()
            except TimeoutError:
                continue

    desk = OrderDesk(writer=writer, authority=authority, decide=rules.decide)

    async def watch_sources(stop: asyncio.Event) -> None:
        """Look at the sources, once what they said before is known."""
        await writer.recovered.wait()
        if poller is not None and not stop.is_set():
            await poller.run(stop)

    poller = _poller(settings, sources, rules, desk)
    return WritingService(
        settings=settings,
        health=health,
        store=store,
        writers=(writer,),
        desks={BOOK: desk},
        tasks=(keep_time, watch_sources),
    )


def _poller(
    settings: OracleSettings, sources: Sequence[Source], rules: Oracle, desk: OrderDesk
) -> Poller | None:
    """What looks at the sources, where there are any."""
    if not sources:
        return None
    return Poller(
        sources=sources,
        deployment=settings.deployment,
        handle=desk.handle,
        now=lambda: rules.now,
        feeds=rules.feeds,
    )


def _stage_tick(writer: Writer, *, rules: Oracle, now: datetime, settings: OracleSettings) -> None:
    drafts = rules.tick(now, settings.cadence_s)
    if drafts:
        writer.stage(drafts)
