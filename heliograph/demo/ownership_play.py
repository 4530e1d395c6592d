"""Plays the story of ownership: funded, built, used, paid, late, cured, corrected, paid off.

The clock goes from local midnight to local midnight. Every command's id is fixed, so that a
repeated play signs the same bytes.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import httpx

from heliograph.client import Accepted, CommandClient
from heliograph.demo import cast
from heliograph.demo import ownership_cast as own
from heliograph.demo.ownership_season import STEP_S, Season, midnight_of
from heliograph.demo.player import post_until_done
from heliograph.demo.tellers import Tellers
from heliograph.demo.watch import Watch
from heliograph.subscribe import Subscriber
from libs.events.billing_commands import OpenAgreement, PublishTariff
from libs.events.command import Body
from libs.events.commands import (
    AdvanceTime,
    CorrectReading,
    DepositFunds,
    EnrolMeter,
    RegisterMember,
)
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.metering import MeterRole, RegisterCorrection, RegisterValue
from libs.events.positions import Position
from libs.events.quantities import format_instant
from libs.events.supply import GridEnergySold
from libs.events.system_commands import (
    AcceptRaise,
    ApproveSystem,
    DepositCover,
    Invest,
    OpenHolding,
    Pay,
    PayContractor,
    PayGridProceeds,
    Prepay,
    ProposeSystem,
    SetStandingOrder,
)
from libs.events.timekeeping import TimeReached
from libs.rules.receivables import Receivables
from libs.rules.stages import walk
from libs.runtime.failures import Refused

DEADLINE_S = 90.0
"""Seconds in which one step must be done, restarts of services included."""

UNITS_STROOPS = own.PRICE_STROOPS + own.SEED_STROOPS["investor-1"] // 10
"""Units of the system: its price, and a tenth of what came early."""


def document_hash(kind: str) -> str:
    """A stand-in for the hash of a document of the story."""
    return hashlib.sha256(f"heliograph demonstration document: {kind}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the running system answers."""

    gateway: str
    devnet: str


class Books:
    """What the households know: they follow billing and the ledger as any subscriber may."""

    def __init__(self, subscriber: Subscriber) -> None:
        """Prepare; keep `run` running."""
        self._subscriber = subscriber
        self._changed = asyncio.Condition()
        self._reached: dict[str, datetime] = {}
        self._positions: dict[str, Position] = {}
        self.receivables = Receivables()
        """What is open of every invoice."""
        self.grid_due_stroops = 0
        """What the grid company owes for Ben's energy."""

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as group:
            for stream in (f"LEDGER_{own.BOOK}", f"BILLING_{own.BOOK}"):
                group.create_task(self._follow(stream))

    async def _follow(self, stream: str) -> None:
        async for recorded in self._subscriber.facts(stream):
            async with self._changed:
                self._note(recorded)
                self._changed.notify_all()

    def _note(self, recorded: Recorded[Fact]) -> None:
        fact = recorded.fact
        self._positions[recorded.stream] = recorded.position
        self.receivables.evolve(fact)
        if isinstance(fact, GridEnergySold):
            self.grid_due_stroops += fact.amount_stroops
        elif isinstance(fact, TimeReached):
            self._reached[recorded.stream] = fact.to

    async def reached(self, time: datetime) -> None:
        """Wait until everything that both decided by a time was read.

        Raises:
            TimeoutError: It was not, in time.
        """
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(
                lambda: len(self._reached) == 2 and min(self._reached.values()) >= time  # noqa: PLR2004 - both streams
            )

    async def read(self, position: Position) -> None:
        """Wait until a fact was read."""
        async with asyncio.timeout(DEADLINE_S), self._changed:
            await self._changed.wait_for(
                lambda: (
                    self._positions.get(position.stream, position).sequence >= position.sequence
                    and position.stream in self._positions
                )
            )

    @property
    def positions(self) -> tuple[Position, ...]:
        """How far both were read."""
        return tuple(self._positions.values())

    def open_stroops(self, agreement: str) -> int:
        """What is open of an agreement, in stroops."""
        invoices = self.receivables.oldest_first(agreement)
        return sum(self.receivables.open_stroops(each) for each in invoices)


class OwnershipPlay:
    """One play."""

    def __init__(
        self,
        *,
        urls: Urls,
        season: Season,
        tellers: Tellers,
        watch: Watch,
        books: Books,
        http: httpx.AsyncClient,
    ) -> None:
        """Join the parts; `tellers`, `watch` and `books` are kept running by the caller."""
        self._urls, self._season, self._http = urls, season, http
        self._tellers, self._watch, self._books = tellers, watch, books
        self._client = CommandClient(
            http, gateway_url=urls.gateway, deployment=cast.DEPLOYMENT, deadline_s=DEADLINE_S
        )
        self._now = midnight_of(0)
        self._after: tuple[Position, ...] = ()

    async def _ask(
        self, member: str, command_id: str, body: Body, book: str = own.BOOK
    ) -> Accepted:
        after = () if book == "register" else self._after
        text = self._client.write(
            cast.key_of(member),
            member,
            body,
            command_id=command_id,
            book=book,
            now=self._now,
            after=after if book == own.BOOK else after[:1],
        )
        return await self._client.send(text)

    async def set_up(self) -> None:
        """Register members, price energy, raise and build the system, open both agreements."""
        for member, roles in own.ROLES.items():
            body = RegisterMember.model_validate(
                {"member": member, "address": cast.key_of(member).address, "roles": roles}
            )
            done = await self._ask("approver", f"register-{member}", body, "register")
            self._after = (done.last,)
        priced = await self._ask(
            "approver",
            "tariff",
            PublishTariff(
                tariff=own.TARIFF,
                asset=own.ASSET,
                effective_from=self._now,
                time_of_use=own.PRICES,
                standing_stroops_per_month=own.STANDING_STROOPS,
                feed_in=own.FEED_IN,
            ),
            "main",
        )
        await self._enrol()
        held = await self._fund()
        self._after = (self._after[0], priced.last)
        await self._agree(held)

    async def _enrol(self) -> None:
        meters: list[tuple[str, MeterRole, str | None, tuple[str, ...]]] = [
            (own.PLANT_METER, "generation", None, ("generated", "consumed")),
            (own.GRID_METER, "grid", None, ("imported", "exported")),
            *((each.meter, "consumption", each.holding, ("consumed",)) for each in own.HOUSEHOLDS),
        ]
        for meter, role, holding, registers in meters:
            body = EnrolMeter(
                meter=meter,
                address=cast.key_of("teller").address,
                role=role,
                system=own.SYSTEM,
                holding=holding,
                site=own.SITE,
                nameplate_w=own.NAMEPLATE_W,
                starts=tuple(
                    RegisterValue.model_validate({"name": name, "value_wh": 0})
                    for name in registers
                ),
            )
            await self._ask("approver", f"enrol-{meter}", body, "0")

    async def _fund(self) -> Position:
        """Propose, raise in two rounds, accept, build, and hand out the holdings."""
        proposal = ProposeSystem(
            system=own.SYSTEM,
            asset=own.ASSET,
            price_stroops=own.PRICE_STROOPS,
            nameplate_w=own.NAMEPLATE_W,
            site=own.SITE,
            time_zone=own.ZONE,
            terms=own.TERMS,
            recipient="anna",
            seed=own.SEED,
            cover_stroops=own.COVER_STROOPS,
            offtaker="grid-company",
        )
        await self._ask("developer", "propose", proposal)
        await self._ask("approver", "approve", ApproveSystem(system=own.SYSTEM))
        await self._walk(0, 1)
        await self._invest(own.SEED_STROOPS, "seed")
        await self._walk(1, 4)
        await self._invest(own.RAISE_STROOPS, "raise")
        await self._deposit("guarantor", own.COVER_STROOPS, "deposit-cover")
        cover = DepositCover(system=own.SYSTEM, amount_stroops=own.COVER_STROOPS)
        await self._ask("guarantor", "cover", cover)
        await self._ask("anna", "accept", AcceptRaise(system=own.SYSTEM))
        payout = PayContractor(
            system=own.SYSTEM,
            payout="construction",
            contractor="builder",
            amount_stroops=own.PAYOUT_STROOPS,
        )
        await self._ask("anna", "payout", payout)
        await self._ask("approver", "payout", payout)
        await self._walk(5, 6)
        for each in own.HOUSEHOLDS:
            body = OpenHolding(
                holding=each.holding,
                system=own.SYSTEM,
                recipient=each.name,
                units=UNITS_STROOPS * each.units_ppm // 1_000_000,
            )
            await self._ask("approver", f"hold-{each.name}", body)
        return await self._walk(6, 7)

    async def _walk(self, from_stage: int, to_stage: int) -> Position:
        last: Position | None = None
        for leaver, body in walk(own.SYSTEM, from_stage, to_stage, document_hash):
            member = "approver" if leaver == "approver" else "developer"
            last = (await self._ask(member, f"stage-{body.to_stage}", body)).last
        assert last is not None
        return last

    async def _invest(self, amounts: dict[str, int], name: str) -> None:
        for investor, amount in amounts.items():
            await self._deposit(investor, amount, f"deposit-{name}-{investor}")
            body = Invest(system=own.SYSTEM, amount_stroops=amount, terms=own.TERMS)
            await self._ask(investor, f"invest-{name}", body)

    async def _agree(self, held: Position) -> None:
        before = self._after
        for each in own.HOUSEHOLDS:
            self._after = (*before, held)
            agreed = await self._ask(
                each.name,
                "agree",
                OpenAgreement(
                    agreement=each.name,
                    holding=each.holding,
                    tariff=own.TARIFF,
                    period="14d",
                    first_day=own.FIRST_DAY.isoformat(),
                    rating_interval_s=STEP_S,
                    settlement_lag_s=own.SETTLEMENT_LAG_S,
                    due_after_s=own.DUE_AFTER_S,
                    terms=own.TERMS,
                    expected_wh_year=each.expected_wh_year,
                    grace_periods=own.GRACE_PERIODS,
                    upkeep=own.UPKEEP,
                    taxes=(own.TAX,),
                ),
            )
            self._after = (before[0], agreed.last)
            if each is own.ANNA:
                order = SetStandingOrder(agreement=each.name, limit_stroops=500 * own.USD)
                await self._ask(each.name, "standing-order", order)
        await self._deposit("anna", 3_000 * own.USD, "deposit-anna")
        self._after = before[:1]

    async def _deposit(self, member: str, amount: int, command_id: str) -> Accepted:
        body = DepositFunds(member=member, asset=own.ASSET, amount_stroops=amount)
        return await self._ask("approver", command_id, body)

    async def play(self, on_day: Callable[[int, datetime], Awaitable[None]]) -> None:
        """Play every day to the end.

        Args:
            on_day: Called after each day, with its number and its midnight.

        Raises:
            TimeoutError, HeliographError: The system did not get on with the play.
            StackError: A report was refused.
        """
        await self._settle()
        begin = 0
        for day in range(1, self._season.days + 1):
            end = self._season.until(midnight_of(day))
            if end > begin:
                await self._tellers.report(begin, end, DEADLINE_S)
            begin = end
            await self._advance(midnight_of(day))
            await self._settle()
            await self._act(day)
            await on_day(day, self._now)

    async def _settle(self) -> None:
        await self._watch.reached(self._now, but=frozenset(), deadline_s=DEADLINE_S)
        await self._books.reached(self._now)

    async def _advance(self, to: datetime) -> None:
        """Set the devnet's time, then ask the oracle for it."""
        at = {"closed_at": format_instant(to)}
        await post_until_done(self._http, f"{self._urls.devnet}/admin/time", at)
        try:
            command_id = f"time-{int(to.timestamp())}"
            await self._ask("approver", command_id, AdvanceTime(to=to), "main")
        except Refused as error:
            if error.code != "expired":  # an answer that was lost; see the season's player
                raise
        self._now = to

    async def _act(self, day: int) -> None:
        """What people do on a day."""
        script = own.SCRIPT
        if day <= script.ben_pays_until or day == script.ben_cures_on:
            await self._pay_open("ben", day)
        if day == script.correct_on:
            await self._correct()
        if day == script.grid_pays_on:
            owed = self._books.grid_due_stroops
            await self._deposit("grid-company", owed, "deposit-grid-company")
            body = PayGridProceeds(agreement="ben", amount_stroops=owed)
            await self._ask("grid-company", "grid", body)
        if day == script.anna_pays_off_on:
            await self._pay_off()

    async def _pay_open(self, member: str, day: int) -> None:
        """Pay all that is open, from money that was just brought."""
        amount = self._books.open_stroops(member)
        if amount:
            await self._deposit(member, amount, f"deposit-{member}-{day}")
            self._after = (self._after[0], *self._books.positions)
            paid = await self._ask(
                member, f"pay-{day}", Pay(agreement=member, amount_stroops=amount)
            )
            self._after = self._after[:1]
            await self._books.read(paid.last)

    async def _correct(self) -> None:
        """An approver lowers what Ben's meter counted around noon, for a week, day by day."""
        script = own.SCRIPT
        for day in range(script.correct_from, script.correct_from + script.correct_days):
            noon = midnight_of(day).replace(hour=18)  # 12 o'clock in Denver in summer
            deltas = (script.correct_wh,) * 8
            body = CorrectReading(
                meter=own.BEN.meter,
                first_interval_at=noon,
                interval_s=STEP_S,
                registers=(RegisterCorrection(name="consumed", deltas_wh=deltas),),
                reason="clamp on the wrong phase",
            )
            await self._ask("approver", f"correct-{day}", body, "0")

    async def _pay_off(self) -> None:
        """Anna asks what she owes, and prepays it."""
        answer = await self._http.get(f"{self._urls.gateway}/api/agreements/anna")
        answer.raise_for_status()
        owed = int(answer.json()["payoff_stroops"])
        await self._ask("anna", "prepay", Prepay(agreement="anna", amount_stroops=owed))
