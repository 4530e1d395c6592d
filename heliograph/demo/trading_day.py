"""The second part of the trading demonstration: a day of twenty plants and one market.

Each factory raises its own plant, reports what it makes and uses, offers what was minted for it and
bids for what it lacked; the clock goes in steps of half an hour. Every command's id is fixed, and
no two orders of a slot have the same limit, so it does not matter whose order arrives first.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import httpx

from heliograph.client import Accepted, CommandClient
from heliograph.demo import cast
from heliograph.demo.energy_day import SLOT_S, SLOTS, EnergyDay
from heliograph.demo.factories import (
    BOOK,
    FACTORIES,
    PLANT_ASSET,
    PLANT_STROOPS_PER_W,
    ROLES,
    Factory,
)
from heliograph.demo.player import TERMS, post_until_done
from heliograph.demo.tellers import Tellers
from heliograph.demo.watch import Watch
from heliograph.subscribe import Subscriber
from libs.events.batch import Batch, BatchItem
from libs.events.command import Body
from libs.events.commands import (
    AdvanceTime,
    DepositFunds,
    EnrolMeter,
    GrantRoles,
)
from libs.events.decimals import KWH_PLACES, MONEY_PLACES, write_decimal
from libs.events.metering import RegisterValue
from libs.events.positions import Position
from libs.events.quantities import format_instant
from libs.events.system_commands import (
    AcceptRaise,
    ApproveSystem,
    Invest,
    OpenHolding,
    ProposeSystem,
)
from libs.events.timekeeping import TimeReached
from libs.events.trade_commands import RetireEnergy
from libs.events.trading import EnergyMinted, TradeExecuted
from libs.rules.stages import CONSTRUCTION, INTERCONNECTION, OPERATION, RAISE, walk
from libs.runtime.failures import HeliographError, Refused

STEP_SLOTS: Final = 2
"""Slots of one step of the clock: half an hour."""

STEP: Final = timedelta(seconds=STEP_SLOTS * SLOT_S)
"""One step of the clock."""

STEPS: Final = SLOTS // STEP_SLOTS + 5
"""Steps of the play: the day, and until its last slot is minted, cleared and settled."""

MINTED_AFTER_SLOTS: Final = 1
"""Slots behind the end of a slot after which its surplus is minted."""

DEADLINE_S: Final = 90.0
"""Seconds in which one step must be done, restarts of services included."""


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the running system answers."""

    gateway: str
    devnet: str


class Feed:
    """What the factories know of the book: they follow its stream as any subscriber may."""

    def __init__(self, subscriber: Subscriber) -> None:
        """Prepare; keep `run` running."""
        self._subscriber = subscriber
        self._changed = asyncio.Condition()
        self._reached: datetime | None = None
        self.minted_wh: dict[tuple[str, datetime], int] = defaultdict(int)
        """Surplus that was minted, by member and slot, in Wh."""
        self.bought_wh: dict[str, int] = defaultdict(int)
        """What each member bought on the market, in Wh."""

    async def run(self) -> None:
        """Follow until cancelled."""
        wanted = ("EnergyMinted", "TradeExecuted", "TimeReached")
        async for recorded in self._subscriber.facts(f"LEDGER_{BOOK}", name=wanted):
            match recorded.fact:
                case EnergyMinted() as fact:
                    for part in fact.intervals:
                        self.minted_wh[fact.member, part.from_at] += part.energy_wh
                case TradeExecuted(slot=datetime()) as fact:
                    self.bought_wh[fact.buyer] += fact.energy_wh
                case TimeReached() as fact:
                    async with self._changed:
                        self._reached = fact.to
                        self._changed.notify_all()
                case _:
                    pass

    async def reached(self, time: datetime) -> None:
        """Wait until everything that the book decided by a time was read.

        Raises:
            TimeoutError: It was not, in time.
        """
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(
                lambda: self._reached is not None and self._reached >= time
            )


class TradingDay:
    """One play of the day."""

    def __init__(
        self,
        *,
        urls: Urls,
        day: EnergyDay,
        tellers: Tellers,
        watch: Watch,
        feed: Feed,
        http: httpx.AsyncClient,
    ) -> None:
        """Join the parts; `tellers`, `watch` and `feed` are kept running by the caller."""
        self._urls, self._day, self._http = urls, day, http
        self._tellers, self._watch, self._feed = tellers, watch, feed
        self._client = CommandClient(
            http, gateway_url=urls.gateway, deployment=cast.DEPLOYMENT, deadline_s=DEADLINE_S
        )
        self._now = day.starts_at
        self._ordered = 0

    async def _ask(
        self, member: str, command_id: str, body: Body, book: str = BOOK, *after: Position
    ) -> Accepted:
        return await self._client.send(self._write(member, command_id, body, book, *after))

    def _write(
        self, member: str, command_id: str, body: Body, book: str = BOOK, *after: Position
    ) -> str:
        return self._client.write(
            cast.key_of(member),
            member,
            body,
            command_id=command_id,
            book=book,
            now=self._now,
            after=after,
        )

    async def set_up(self) -> None:
        """Let every factory raise, build and meter its own plant with its own money."""
        await _all(self._raise_plant)

    async def _raise_plant(self, factory: Factory) -> None:
        name, system = factory.id, factory.system
        nameplate_w = self._day.nameplate_w(factory)
        price = nameplate_w * PLANT_STROOPS_PER_W
        granted = await self._ask(
            "approver", f"roles-{name}", GrantRoles(member=name, roles=ROLES), "register"
        )
        after = granted.last
        deposit = DepositFunds(member=name, asset=PLANT_ASSET, amount_stroops=price)
        await self._ask("approver", f"deposit-{name}", deposit, BOOK, after)
        proposal = ProposeSystem(
            system=system,
            asset=PLANT_ASSET,
            price_stroops=price,
            nameplate_w=nameplate_w,
            site=factory.site,
            time_zone=self._day.time_zone,
            terms=TERMS,
        )
        await self._ask(name, "propose", proposal, BOOK, after)
        await self._ask("approver", f"approve-{name}", ApproveSystem(system=system))
        await self._walk(factory, 0, RAISE)
        await self._ask(name, "invest", Invest(system=system, amount_stroops=price, terms=TERMS))
        await self._ask(name, "accept", AcceptRaise(system=system))
        await self._walk(factory, CONSTRUCTION, INTERCONNECTION)
        holding = OpenHolding(holding=factory.holding, system=system, recipient=name, units=price)
        await self._ask("approver", f"hold-{name}", holding)
        await self._walk(factory, INTERCONNECTION, OPERATION)
        await self._enrol(factory)

    async def _walk(self, factory: Factory, from_stage: int, to_stage: int) -> None:
        """Let whoever answers for each stage say that it is complete."""
        for leaver, body in walk(factory.system, from_stage, to_stage, cast.document_hash):
            signer = factory.id if leaver == "proposer" else "approver"
            await self._ask(signer, f"stage-{factory.id}-{body.to_stage}", body)

    async def _enrol(self, factory: Factory) -> None:
        made, used = factory.meters
        zero = {name: RegisterValue(name=name, value_wh=0) for name in ("generated", "consumed")}
        meters = (
            EnrolMeter(
                meter=made,
                address=factory.teller_key.address,
                role="generation",
                system=factory.system,
                site=factory.site,
                nameplate_w=self._day.nameplate_w(factory),
                starts=(zero["generated"], zero["consumed"]),
            ),
            EnrolMeter(
                meter=used,
                address=factory.teller_key.address,
                role="consumption",
                system=factory.system,
                holding=factory.holding,
                site=factory.site,
                nameplate_w=self._day.connection_w(factory),
                starts=(zero["consumed"],),
            ),
        )
        for body in meters:
            await self._ask("approver", f"enrol-{body.meter}", body, "0")

    async def play(self, on_step: Callable[[datetime], Awaitable[None]]) -> None:
        """Play the day until its last slot is settled; then let all use up what they bought.

        Args:
            on_step: Called after each step, with its time.

        Raises:
            TimeoutError, HeliographError: The system did not get on with the play.
            StackError: A report was refused.
        """
        await self._watch.reached(self._now, but=frozenset(), deadline_s=DEADLINE_S)
        for step in range(STEPS):
            begin = step * STEP_SLOTS
            if begin < SLOTS:
                await self._tellers.report(begin, begin + STEP_SLOTS, DEADLINE_S)
            await self._advance(self._now + STEP)
            await self._watch.reached(self._now, but=frozenset(), deadline_s=DEADLINE_S)
            await self._feed.reached(self._now)
            await self._order(min(begin + STEP_SLOTS - MINTED_AFTER_SLOTS, SLOTS))
            await on_step(self._now)
        await _all(self._use_up)

    async def _advance(self, to: datetime) -> None:
        """Set the devnet's time, then ask the oracle for it."""
        at = {"closed_at": format_instant(to)}
        await post_until_done(self._http, f"{self._urls.devnet}/admin/time", at)
        body = AdvanceTime(to=to)
        try:
            await self._ask("approver", f"time-{int(to.timestamp())}", body, "main")
        except Refused as error:
            if error.code != "expired":  # an answer that was lost; see the season's player
                raise
        self._now = to

    async def _order(self, until: int) -> None:
        """Let all factories order in the slots that are minted and not ordered yet."""
        slots = range(self._ordered, until)
        self._ordered = max(until, self._ordered)
        await _all(lambda factory: self._order_of(factory, slots))

    async def _order_of(self, factory: Factory, slots: range) -> None:
        items = tuple(item for slot in slots for item in self._orders(factory, slot))
        if items:
            text = self._write(factory.id, f"orders-{slots.start}", Batch(commands=items))
            for answer in await self._client.send_batch(text):
                if isinstance(answer, HeliographError):
                    raise answer

    def _orders(self, factory: Factory, slot: int) -> list[BatchItem]:
        """Offer all surplus that was minted in a slot, or bid for all that was lacking."""
        slot_at = self._day.slot_at(slot)
        minted_wh = self._feed.minted_wh.get((factory.id, slot_at), 0)
        lacking_wh = self._day.used_wh[factory.id][slot] - self._day.made_wh[factory.id][slot]
        side: Literal["bid", "offer"] = "offer" if minted_wh else "bid"
        energy_wh = minted_wh or lacking_wh
        if energy_wh <= 0:
            return []
        limit = factory.limit_stroops_per_kwh(side, self._day.hour_of(slot))
        body = {
            "orderId": factory.order_id(slot),
            "side": side,
            "slot": format_instant(slot_at),
            "amount": write_decimal(energy_wh, KWH_PLACES),
            "pricePerUnit": write_decimal(limit, MONEY_PLACES),
        }
        return [BatchItem(id=f"order-{slot}", command="PlaceOrder", body=body)]

    async def _use_up(self, factory: Factory) -> None:
        if bought_wh := self._feed.bought_wh.get(factory.id):
            body = RetireEnergy(factoryId=factory.id, amount=bought_wh)
            await self._ask(factory.id, "use-up", body)


async def _all(work: Callable[[Factory], Coroutine[Any, Any, None]]) -> None:
    """Let all factories do something at the same time."""
    async with asyncio.TaskGroup() as group:
        for factory in FACTORIES:
            group.create_task(work(factory))
