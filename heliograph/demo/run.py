"""Runs the demonstration: stack, play, figures found twice, the proof of one invoice."""

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx

from heliograph.demo import cast
from heliograph.demo.check import Ledgers, invoices_of, report_digests, title_of
from heliograph.demo.figures import Views, figures_of, kwh, money
from heliograph.demo.player import Calendar, Player, Urls, calendar_of
from heliograph.demo.screen import Screen
from heliograph.demo.watch import Watch
from heliograph.layout import Layout, fact_vaults
from heliograph.stack import Stack, StackOptions
from libs.events.quantities import format_instant, parse_instant
from libs.eventstore import JetStreamStore, Stored
from libs.runtime.writing import API_PREFIX

KILLED: Final = (
    "ingest",
    "oracle",
    "ledger",
    "billing",
    "anchor",
    "projection",
    "gateway",
    "teller",
    "devnet",
    "postgres",
    "broker",
)
"""What a play with kills kills, each once."""

CATCH_UP_S: Final = 30.0
"""Seconds in which the views must catch up after the play."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What the caller of the demonstration decides."""

    scene: cast.Scene
    """What is played."""
    source: Any
    """The source's report as JSON values: counts, first and last instant, step, energy."""
    folder: Path
    """Where the stack keeps its data."""
    gateway_port: int = 3000
    """Where the gateway should be."""
    kill_seed: int | None = None
    """Kill every process once, at moments that follow from this seed."""
    billing_down: tuple[int, int] | None = None
    """Days (from, until) in which billing is declared down and stopped."""


@dataclass(slots=True)
class DemoResult:
    """What a play led to; two plays of the same scene have all of it in common."""

    invoices: list[dict[str, Any]]
    """Numbers, amounts and lines."""
    title: dict[str, int]
    """Shares of title per member."""
    reports: dict[str, str]
    """Digest of the accepted reports per meter."""
    mismatches: list[str] = field(default_factory=list)
    """Figures that were not the same in all ways; empty when all is well."""
    restarts: dict[str, int] = field(default_factory=dict)
    """How often each process was started again."""


def stack_options(options: DemoOptions, calendar: Calendar, screen: Screen) -> StackOptions:
    """What the embedded stack is told for a play."""
    scene, start = options.scene, format_instant(calendar.starts_at)
    key = cast.key_of("approver")
    return StackOptions(
        data=options.folder,
        deployment=cast.DEPLOYMENT,
        layout=Layout(sites={cast.SITE: (cast.GENERATION_METER, cast.CONSUMPTION_METER)}),
        played_time=True,
        gateway_port=options.gateway_port,
        on_event=screen.on_event,
        extra_env={
            "ledger": {"HELIOGRAPH_LEDGER_FIRST_APPROVER": key.address},
            "oracle": {"HELIOGRAPH_ORACLE_PLAYED_FROM": start},
            "teller": {
                "HELIOGRAPH_TELLER_SEED": _base64(cast.seed_of("teller")),
                "HELIOGRAPH_TELLER_SITE": cast.SITE,
                "HELIOGRAPH_TELLER_GENERATION_METER": cast.GENERATION_METER,
                "HELIOGRAPH_TELLER_CONSUMPTION_METER": cast.CONSUMPTION_METER,
                "HELIOGRAPH_TELLER_SOURCE": scene.source,
                "HELIOGRAPH_TELLER_TIME_ZONE": scene.time_zone,
                "HELIOGRAPH_TELLER_LOAD_W": str(scene.load_w),
            },
        },
    )


def _base64(seed: bytes) -> str:
    import base64  # noqa: PLC0415 - here only

    return base64.b64encode(seed).decode("ascii")


async def run_demo(options: DemoOptions, screen: Screen) -> DemoResult:
    """Play a season and check every figure.

    Raises:
        StackError, TimeoutError, HeliographError: It could not be played.
    """
    began = time.monotonic()
    scene, source = options.scene, options.source
    calendar = calendar_of(
        parse_instant(source["first_at"]), parse_instant(source["until_at"]), scene.time_zone
    )
    screen.say("Starting broker, database, devnet and eight services ...")
    async with Stack(stack_options(options, calendar, screen)) as stack:
        screen.say(
            f"Ready after {time.monotonic() - began:.0f} s. Watch it live: {stack.urls.gateway}"
        )
        async with httpx.AsyncClient(timeout=10) as http, connected_auditor(stack) as store:
            await _play(options, calendar, stack, http, store, screen)
            streams = await all_streams(stack, store)
            ledgers = Ledgers.read(streams)
            views = Views(http, stack.urls.gateway)
            await caught_up(views, streams)
            days = len(calendar.midnights())
            figures = await figures_of(ledgers, views, source, scene, days)
            screen.report(figures)
            result = DemoResult(
                invoices=invoices_of(ledgers),
                title=title_of(ledgers),
                reports=report_digests(ledgers),
                restarts={name: count for name, count in stack.restarts.items() if count},
            )
            result.mismatches += [figure.name for figure in figures if not figure.agrees]
            result.mismatches += ledgers.faults()
            result.mismatches += _prove(options, stack, streams, result, screen)
    text = json.dumps(_comparable(result), indent=1)
    (options.folder / "result.json").write_text(f"{text}\n", encoding="utf-8")
    screen.say(f"{time.monotonic() - began:.0f} s in all.")
    return result


def _comparable(result: DemoResult) -> dict[str, Any]:
    return {"invoices": result.invoices, "title": result.title, "reports": result.reports}


@asynccontextmanager
async def connected_auditor(stack: Stack) -> AsyncIterator[JetStreamStore]:
    """The event store as the read-only subscriber sees it."""
    store = await JetStreamStore.connect(
        stack.urls.nats,
        "auditor",
        stack.credentials.passwords["auditor"],
        "heliograph-demo",
        api_prefix=API_PREFIX,
    )
    try:
        yield store
    finally:
        await store.close()


async def _play(
    options: DemoOptions,
    calendar: Calendar,
    stack: Stack,
    http: httpx.AsyncClient,
    store: JetStreamStore,
    screen: Screen,
) -> None:
    book = stack.options.layout.books[0]
    watch = Watch(
        store,
        deployment=cast.DEPLOYMENT,
        streams=("READINGS_0", f"LEDGER_{book}", f"BILLING_{book}", "ANCHORS"),
    )
    player = Player(
        urls=Urls(stack.urls.gateway, stack.urls.health["teller"], stack.urls.devnet),
        scene=options.scene,
        calendar=calendar,
        watch=watch,
        http=http,
        book=book,
    )
    watching = asyncio.ensure_future(watch.run())
    troubles = _Troubles(options, stack, player, len(calendar.midnights()))
    try:
        await player.set_up()
        screen.say(
            "Members, meters, system, raise, holding and agreement stand, all by signed commands."
        )
        screen.begin("Playing", len(calendar.midnights()), "days")

        async def on_day(now: datetime) -> None:
            billed = sum(invoice.total_stroops for invoice in player.invoices)
            screen.step(now, f"{len(player.invoices)} invoices paid, {money(billed)}")
            await troubles.on_day()

        await _either(player.play(on_day), watching)
        await troubles.end()
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _either(play: Awaitable[None], watching: "asyncio.Future[None]") -> None:
    """Play on, unless what the player watches with has failed."""
    playing = asyncio.ensure_future(play)
    try:
        await asyncio.wait({playing, watching}, return_when=asyncio.FIRST_COMPLETED)
        if watching.done():
            watching.result()
        await playing
    finally:
        playing.cancel()


class _Troubles:
    """What goes wrong on purpose: kills at seeded moments, a billing service that is away."""

    def __init__(self, options: DemoOptions, stack: Stack, player: Player, days: int) -> None:
        self._options, self._stack, self._player = options, stack, player
        self._day = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._kills: dict[int, list[tuple[float, str]]] = {}
        if options.kill_seed is not None:
            chance = random.Random(options.kill_seed)  # noqa: S311 - repeatable on purpose
            for name in KILLED:
                day = chance.randrange(days)
                self._kills.setdefault(day, []).append((chance.uniform(0, 0.3), name))

    async def on_day(self) -> None:
        """Called after each day."""
        for delay_s, name in self._kills.get(self._day, []):
            self._tasks.append(asyncio.create_task(self._kill(delay_s, name)))
        if self._options.billing_down is not None:
            first, last = self._options.billing_down
            if self._day == first:
                self._player.down = ("billing",)
                await self._stack.stop_service("billing")
            elif self._day == last:
                await self._stack.start_service("billing")
                self._player.down = ()
        self._day += 1

    async def _kill(self, delay_s: float, name: str) -> None:
        await asyncio.sleep(delay_s)
        self._stack.kill(name)

    async def end(self) -> None:
        """Wait for what was started."""
        await asyncio.gather(*self._tasks)


async def all_streams(stack: Stack, store: JetStreamStore) -> dict[str, list[Stored]]:
    """Every fact of every stream, as stored."""
    streams: dict[str, list[Stored]] = {}
    for vault in fact_vaults(stack.options.layout):
        end, rows = await store.end(vault.stream), []
        if end:
            async for batch in store.read(vault.stream, until=end):
                rows += batch
        streams[vault.stream] = rows
    return streams


async def caught_up(views: Views, streams: dict[str, list[Stored]]) -> None:
    """Wait until the views have come to the end of every stream."""
    deadline = time.monotonic() + CATCH_UP_S
    behind: Callable[[dict[str, int]], list[str]] = lambda read: [  # noqa: E731
        stream for stream, rows in streams.items() if read.get(stream, 0) < len(rows)
    ]
    late: list[str] = ["all"]
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            late = behind(await views.positions())
            if not late:
                return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"the views have not caught up: {', '.join(late)}")


def _prove(
    options: DemoOptions,
    stack: Stack,
    streams: dict[str, list[Stored]],
    result: DemoResult,
    screen: Screen,
) -> list[str]:
    """Prove the last invoice that asked for anything.

    None does after a season without sun; that this is right is for the figures to tell.
    """
    from heliograph.demo.proving import prove_last  # noqa: PLC0415 - XDR takes a while to load

    billed = [each["invoice"] for each in result.invoices if each["total_stroops"]]
    if not billed:
        screen.say("No invoice asks for anything, so there is nothing to prove.")
        return []
    return prove_last(options.folder, stack, streams, billed[-1], screen)


__all__ = ["DemoOptions", "DemoResult", "kwh", "run_demo"]
