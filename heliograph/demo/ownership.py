"""Runs the demonstration of ownership: stack, story, figures found two and three times."""

import asyncio
import json
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx

from heliograph.demo import cast
from heliograph.demo import ownership_cast as own
from heliograph.demo.check import Ledgers, report_digests
from heliograph.demo.figures import Views, money
from heliograph.demo.ownership_check import GRACE_ENDS_ON, Found, day_of, figures_of
from heliograph.demo.ownership_play import Books, OwnershipPlay, Urls
from heliograph.demo.ownership_season import Season, midnight_of
from heliograph.demo.run import KILLED, all_streams, caught_up, connected_auditor
from heliograph.demo.screen import Screen
from heliograph.demo.tellers import Broker, Teller, Tellers
from heliograph.demo.watch import Watch
from heliograph.environment import SERVICES
from heliograph.layout import Layout
from heliograph.stack import Stack, StackOptions
from heliograph.subscribe import Subscriber
from libs.events.quantities import format_instant
from libs.eventstore import JetStreamStore

DIVERTED: Final = (GRACE_ENDS_ON, own.SCRIPT.ben_cures_on)
"""Days (from, until) in which Ben's part is sold."""

TOLD: Final = {
    f"LEDGER_{own.BOOK}": (
        "RaiseAccepted",
        "SupplyDiverted",
        "SupplyRestored",
        "GridProceedsReceived",
        "HoldingOwned",
    ),
    f"BILLING_{own.BOOK}": (
        "ReminderSent",
        "AlertRaised",
        "SternNoticeSent",
        "EscalationReached",
        "CreditNoteIssued",
    ),
}
"""Facts that are told as they happen, by stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnershipOptions:
    """What the caller of the demonstration decides."""

    season: Season
    """What is measured."""
    folder: Path
    """Where the stack keeps its data."""
    gateway_port: int = 3000
    """Where the gateway should be."""
    kill_seed: int | None = None
    """Kill every process once, at moments that follow from this seed."""


def stack_options(options: OwnershipOptions, screen: Screen) -> StackOptions:
    """What the embedded stack is told: one site, and a Teller of our own."""
    meters = (own.PLANT_METER, own.GRID_METER, *(each.meter for each in own.HOUSEHOLDS))
    return StackOptions(
        data=options.folder,
        services=[service for service in SERVICES if service != "teller"],
        deployment=cast.DEPLOYMENT,
        layout=Layout(books=(own.BOOK,), sites={own.SITE: meters}),
        played_time=True,
        gateway_port=options.gateway_port,
        on_event=screen.on_event,
        extra_env={
            "ledger": {"HELIOGRAPH_LEDGER_FIRST_APPROVER": cast.key_of("approver").address},
            "oracle": {"HELIOGRAPH_ORACLE_PLAYED_FROM": format_instant(midnight_of(0))},
        },
    )


async def run_ownership(options: OwnershipOptions, screen: Screen) -> list[str]:
    """Play the story, and check every figure.

    Returns:
        What did not match; nothing when all is well.

    Raises:
        StackError, TimeoutError, HeliographError: It could not be played.
    """
    began = time.monotonic()
    screen.say("Starting broker, database, devnet and seven services ...")
    async with AsyncExitStack() as parts:
        stack = await parts.enter_async_context(Stack(stack_options(options, screen)))
        screen.say(
            f"Ready after {time.monotonic() - began:.0f} s. Watch it live: {stack.urls.gateway}"
        )
        http = await parts.enter_async_context(httpx.AsyncClient(timeout=10))
        store = await parts.enter_async_context(connected_auditor(stack))
        await _play(options, stack, http, store, screen)
        wrong = await _check(options, stack, http, store, screen)
    screen.say(f"{time.monotonic() - began:.0f} s in all.")
    return wrong


async def _play(
    options: OwnershipOptions,
    stack: Stack,
    http: httpx.AsyncClient,
    store: JetStreamStore,
    screen: Screen,
) -> None:
    urls, season = stack.urls, options.season
    broker = Broker(urls.mqtt_host, urls.mqtt_port, stack.credentials.passwords)
    tellers = Tellers([Teller(own.SITE, cast.key_of("teller"), season.meters, broker)])
    streams = ("READINGS_0", f"LEDGER_{own.BOOK}", f"BILLING_{own.BOOK}", "ANCHORS")
    watch = Watch(store, deployment=cast.DEPLOYMENT, streams=streams)
    subscriber = Subscriber(store, deployment=cast.DEPLOYMENT)
    books = Books(subscriber)
    player = OwnershipPlay(
        urls=Urls(urls.gateway, urls.devnet),
        season=season,
        tellers=tellers,
        watch=watch,
        books=books,
        http=http,
    )
    kills = _Kills(stack, options.kill_seed, season.days)
    try:
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(each.run()) for each in (tellers, watch, books)]
            beside.append(group.create_task(_tell(subscriber, screen)))
            await player.set_up()
            screen.say("The system is raised in two rounds, built, metered and handed out.")
            screen.begin("Playing", season.days, "days")

            async def on_day(day: int, now: datetime) -> None:
                open_stroops = books.open_stroops("ben")
                screen.step(now, f"Ben owes {money(open_stroops)}")
                kills.on_day(day, group)

            await player.play(on_day)
            for task in beside:
                task.cancel()
    except ExceptionGroup as group_error:
        first: BaseException = group_error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from group_error


async def _tell(subscriber: Subscriber, screen: Screen) -> None:
    """Tell what happens, as it happens, from the streams."""

    async def follow(stream: str) -> None:
        async for recorded in subscriber.facts(stream, name=TOLD[stream]):
            day = day_of(recorded.envelope.time.isoformat())
            name = recorded.fact.fact_name
            screen.say(f"  day {day}: {name} ({recorded.envelope.key})")

    async with asyncio.TaskGroup() as group:
        for stream in TOLD:
            group.create_task(follow(stream))


async def _check(
    options: OwnershipOptions,
    stack: Stack,
    http: httpx.AsyncClient,
    store: JetStreamStore,
    screen: Screen,
) -> list[str]:
    """Find every figure in all ways, and write the result."""
    streams = await all_streams(stack, store)
    views = Views(http, stack.urls.gateway)
    await caught_up(views, streams)
    ledgers = Ledgers.read(streams)
    figures = await figures_of(Found(options.season, ledgers, views))
    screen.report(figures)
    text = json.dumps(_comparable(ledgers), indent=1)
    (options.folder / "result.json").write_text(f"{text}\n", encoding="utf-8")
    agreed = sum(figure.agrees for figure in figures)
    screen.say(f"{agreed:,} of {len(figures):,} figures agree, each found in two or three ways.")
    return [*(figure.name for figure in figures if not figure.agrees), *ledgers.faults()]


def _comparable(ledgers: Ledgers) -> dict[str, Any]:
    """What two plays have in common."""
    return {
        "invoices": [
            {name: each[name] for name in ("number", "invoice", "total_stroops")}
            for each in ledgers.named("InvoiceIssued")
        ],
        "steps": [
            [fact["type"].split(".")[1], fact["key"], day_of(fact["time"])]
            for stream, names in TOLD.items()
            for fact in ledgers.facts[stream]
            if fact["type"].split(".")[1] in names
        ],
        "own": {
            fact["agreement"]: fact["own_shares"] for fact in ledgers.named("OwnershipTransferred")
        },
        "reports": report_digests(ledgers),
    }


class _Kills:
    """Kills every process once, each after a day that follows from the seed."""

    def __init__(self, stack: Stack, seed: int | None, days: int) -> None:
        self._stack = stack
        self._kills: dict[int, list[tuple[float, str]]] = {}
        if seed is not None:
            chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
            for name in KILLED:
                if name != "teller":
                    moment = chance.randrange(1, days), chance.uniform(0, 0.3)
                    self._kills.setdefault(moment[0], []).append((moment[1], name))

    def on_day(self, day: int, group: asyncio.TaskGroup) -> None:
        """Called after each day."""
        for delay_s, name in self._kills.get(day, []):
            group.create_task(self._kill(delay_s, name))

    async def _kill(self, delay_s: float, name: str) -> None:
        await asyncio.sleep(delay_s)
        self._stack.kill(name)
