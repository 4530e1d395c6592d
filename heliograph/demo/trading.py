"""Runs the trading demonstration: stack, the first example, the day, figures found three times."""

import asyncio
import json
import random
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from heliograph.demo import cast
from heliograph.demo.check import Ledgers, report_digests
from heliograph.demo.energy_day import EnergyDay
from heliograph.demo.factories import BOOK, FACTORIES
from heliograph.demo.figures import Views
from heliograph.demo.run import KILLED, all_streams, caught_up, connected_auditor
from heliograph.demo.screen import Screen
from heliograph.demo.seed_story import Story, Storyteller
from heliograph.demo.tellers import Broker, factory_tellers
from heliograph.demo.trading_check import account_json, figures_of_day, from_streams, from_views
from heliograph.demo.trading_day import STEPS, Feed, TradingDay, Urls
from heliograph.demo.trading_hand import Outcome, by_hand
from heliograph.demo.trading_screen import (
    show_factories,
    show_story,
    show_wrong,
    tell_lists,
    tell_reopening,
)
from heliograph.demo.watch import Watch
from heliograph.environment import SERVICES
from heliograph.layout import Layout
from heliograph.stack import Stack, StackOptions
from heliograph.subscribe import Subscriber
from libs.events.quantities import format_instant
from libs.eventstore import JetStreamStore

DAY: Final = date(2016, 7, 5)
"""The day that is played: sun with clouds from noon on, so that prices move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingOptions:
    """What the caller of the demonstration decides."""

    day: EnergyDay
    """What is made and used."""
    folder: Path
    """Where the stack keeps its data."""
    gateway_port: int = 3000
    """Where the gateway should be."""
    kept: bool = False
    """Whether the folder stays when the play is over."""
    kill_seed: int | None = None
    """Kill every process once, at moments that follow from this seed."""


def stack_options(options: TradingOptions, screen: Screen) -> StackOptions:
    """What the embedded stack is told: twenty sites, and Tellers of our own."""
    return StackOptions(
        data=options.folder,
        services=[service for service in SERVICES if service != "teller"],
        deployment=cast.DEPLOYMENT,
        layout=Layout(books=(BOOK,), sites={each.site: each.meters for each in FACTORIES}),
        played_time=True,
        gateway_port=options.gateway_port,
        on_event=screen.on_event,
        extra_env={
            "ledger": {"HELIOGRAPH_LEDGER_FIRST_APPROVER": cast.key_of("approver").address},
            "oracle": {"HELIOGRAPH_ORACLE_PLAYED_FROM": format_instant(options.day.starts_at)},
        },
    )


async def run_trading(options: TradingOptions, screen: Screen) -> list[str]:
    """Play the story and the day, and check every figure.

    Returns:
        What did not match; nothing when all is well.

    Raises:
        StackError, TimeoutError, HeliographError: It could not be played.
    """
    began = time.monotonic()
    screen.say("Starting broker, database, devnet and seven services ...")
    async with AsyncExitStack() as parts:
        stack = await parts.enter_async_context(Stack(stack_options(options, screen)))
        took = time.monotonic() - began
        screen.say(f"Ready after {took:.0f} s. Look at it while it is played:")
        tell_lists(screen, stack.urls.gateway)
        http = await parts.enter_async_context(httpx.AsyncClient(timeout=10))
        store = await parts.enter_async_context(connected_auditor(stack))
        play = _Play(options, stack, http, store, screen)
        story = await play.tell_story()
        await play.run_day()
        wrong = await play.check(story)
    screen.say(f"{time.monotonic() - began:.0f} s in all.")
    tell_reopening(screen, options.day, options.folder if options.kept else None)
    return wrong


class _Play:
    """One play on a running stack."""

    def __init__(
        self,
        options: TradingOptions,
        stack: Stack,
        http: httpx.AsyncClient,
        store: JetStreamStore,
        screen: Screen,
    ) -> None:
        self._options, self._stack, self._screen = options, stack, screen
        self._http, self._store = http, store
        self._subscriber = Subscriber(store, deployment=cast.DEPLOYMENT)

    async def tell_story(self) -> Story:
        """Part one."""
        stack, day = self._stack, self._options.day
        story = await Storyteller(self._http, stack.urls.gateway, day.starts_at).tell()
        show_story(self._screen.console, story)
        return story

    async def run_day(self) -> None:
        """Part two."""
        stack, day, screen = self._stack, self._options.day, self._screen
        passwords, urls = stack.credentials.passwords, stack.urls
        tellers = factory_tellers(day, Broker(urls.mqtt_host, urls.mqtt_port, passwords))
        streams = ("READINGS_0", f"LEDGER_{BOOK}", f"BILLING_{BOOK}", "ANCHORS")
        watch = Watch(self._store, deployment=cast.DEPLOYMENT, streams=streams)
        feed = Feed(self._subscriber)
        player = TradingDay(
            urls=Urls(urls.gateway, urls.devnet),
            day=day,
            tellers=tellers,
            watch=watch,
            feed=feed,
            http=self._http,
        )
        kills = _Kills(stack, self._options.kill_seed)
        try:
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(each.run()) for each in (tellers, watch, feed)]
                await player.set_up()
                screen.say("Twenty plants are raised, built and metered, each by its factory.")
                screen.begin("Trading", STEPS, "half hours", each="half hour")

                async def on_step(now: datetime) -> None:
                    bought = sum(feed.bought_wh.values()) // 1000
                    screen.step(now, f"{now:%H:%M} UTC, {bought:,} kWh traded")
                    kills.on_step(group)

                await player.play(on_step)
                for task in beside:
                    task.cancel()
        except ExceptionGroup as group_error:
            first: BaseException = group_error
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            raise first from group_error

    async def check(self, story: Story) -> list[str]:
        """Find every figure in three ways, and write the result."""
        console, day, urls = self._screen.console, self._options.day, self._stack.urls
        streams = await all_streams(self._stack, self._store)
        await caught_up(Views(self._http, urls.gateway), streams)
        fold = await from_streams(self._subscriber, day)
        hand = by_hand(day)
        views = await from_views(self._http, urls.gateway, day)
        totals, accounts, slots = figures_of_day(fold, views, hand)
        show_factories(console, fold.outcome, accounts)
        self._screen.report(totals)
        every = [*totals, *(one for each in accounts.values() for one in each), *slots]
        show_wrong(console, every)
        ledgers = Ledgers.read(streams)
        result = {**_comparable(story, fold.outcome), "reports": report_digests(ledgers)}
        text = json.dumps(result, indent=1)
        (self._options.folder / "result.json").write_text(f"{text}\n", encoding="utf-8")
        agreed = f"{sum(figure.agrees for figure in every):,} of {len(every):,} figures agree"
        self._screen.say(f"{agreed}, each found in {len(slots and slots[0].values)} ways.")
        wrong = [figure.name for figure in every if not figure.agrees]
        return [*story.faults(), *wrong, *ledgers.faults()]


def _comparable(story: Story, outcome: Outcome) -> dict[str, Any]:
    """What two plays have in common."""
    return {
        "story": story.balances,
        "refusals": {what: [code, status] for what, code, status in story.refusals},
        "factories": {name: account_json(each) for name, each in outcome.accounts.items()},
        "slots": {
            str(number): [slot.price_stroops_per_kwh, slot.energy_wh, slot.trades]
            for number, slot in sorted(outcome.slots.items())
        },
    }


class _Kills:
    """Kills every process once, each after a step that follows from the seed."""

    def __init__(self, stack: Stack, seed: int | None) -> None:
        self._stack, self._step = stack, 0
        self._kills: dict[int, list[tuple[float, str]]] = {}
        if seed is not None:
            chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
            for name in KILLED:
                if name != "teller":
                    moment = chance.randrange(STEPS - 1), chance.uniform(0, 0.3)
                    self._kills.setdefault(moment[0], []).append((moment[1], name))

    def on_step(self, group: asyncio.TaskGroup) -> None:
        """Called after each step."""
        for delay_s, name in self._kills.get(self._step, []):
            group.create_task(self._kill(delay_s, name))
        self._step += 1

    async def _kill(self, delay_s: float, name: str) -> None:
        await asyncio.sleep(delay_s)
        self._stack.kill(name)
