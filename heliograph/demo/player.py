"""Plays a season: sets the stage by signed commands, then moves the clock day by day.

The player asks for the next day only when every report before it has its receipt, every writer that
follows time has reached the last day, and every invoice issued so far is paid. So two runs give the
same bills, whatever is killed in between.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx

from heliograph.client import Accepted, CommandClient
from heliograph.demo import cast
from heliograph.demo.watch import Watch
from heliograph.errors import StackError
from libs.events.billing_commands import OpenAgreement, PublishTariff
from libs.events.books import Terms
from libs.events.command import Body
from libs.events.commands import (
    AdvanceTime,
    DepositFunds,
    EnrolMeter,
    RegisterMember,
)
from libs.events.invoicing import InvoiceIssued
from libs.events.metering import RegisterValue
from libs.events.positions import Position
from libs.events.quantities import format_instant
from libs.events.system_commands import (
    AcceptRaise,
    ApproveSystem,
    Invest,
    OpenHolding,
    Pay,
    ProposeSystem,
)
from libs.rules.stages import CONSTRUCTION, INTERCONNECTION, OPERATION, RAISE, walk
from libs.runtime.failures import Refused

STEP_DEADLINE_S = 90.0
"""Seconds in which one step of the play must be answered, restarts of services included."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""The first instant of a ledger's time."""

TERMS = Terms(return_ppm_year=0, minimum_payment_stroops=0)
"""Return 0 %, minimum payment 0: every investor signs them with his investment."""


def local_midnight(day: date, time_zone: str) -> datetime:
    """The instant at which a local day begins, in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(time_zone)).astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the running system answers."""

    gateway: str
    teller: str
    """The Teller's control endpoint."""
    devnet: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of the play, in the site's local time."""

    time_zone: str
    first_day: date
    """Local day of the first row."""
    last_day: date
    """Local day on which the play ends."""

    @property
    def starts_at(self) -> datetime:
        """Midnight before the first row."""
        return local_midnight(self.first_day, self.time_zone)

    def midnights(self) -> list[datetime]:
        """Every local midnight after the first, in UTC."""
        count = (self.last_day - self.first_day).days
        days = (self.first_day + timedelta(days=1 + n) for n in range(count))
        return [local_midnight(day, self.time_zone) for day in days]


def calendar_of(first_at: datetime, last_at: datetime, time_zone: str) -> Calendar:
    """Lay out the days of a play.

    Args:
        first_at: Start of the first row.
        last_at: End of the last row.
        time_zone: The site's.

    Returns:
        From the local day of the first row to that month's end after the last row, plus the
        settlement lag and one day more, so that the last invoice and its payment are anchored.

    Raises:
        StackError: No calendar reaches that far, or the play would begin before 1970.
    """
    zone = ZoneInfo(time_zone)
    span = f"{format_instant(first_at)} to {format_instant(last_at)}"
    try:
        first = first_at.astimezone(zone).date()
        last = (last_at - timedelta(seconds=1)).astimezone(zone).date()
        month_end = date(last.year + last.month // 12, last.month % 12 + 1, 1)
        lag = timedelta(seconds=cast.SETTLEMENT_LAG_S)
        calendar = Calendar(time_zone, first, month_end + lag + timedelta(days=1))
        starts_at = calendar.starts_at
        local_midnight(calendar.last_day, time_zone)
    except (OverflowError, ValueError) as error:
        raise StackError(f"{span}: the calendar does not reach that far.") from error
    if starts_at < EPOCH:
        raise StackError(f"{span}: a play cannot begin before 1970.")
    return calendar


class Player:
    """One play. Every command's id is fixed, so that a repeated play signs the same bytes."""

    def __init__(
        self,
        *,
        urls: Urls,
        scene: cast.Scene,
        calendar: Calendar,
        watch: Watch,
        http: httpx.AsyncClient,
        book: str,
    ) -> None:
        self._urls, self._scene, self._calendar = urls, scene, calendar
        self._watch, self._http, self._book = watch, http, book
        self._client = CommandClient(
            http,
            gateway_url=urls.gateway,
            deployment=cast.DEPLOYMENT,
            deadline_s=STEP_DEADLINE_S,
        )
        self._now = calendar.starts_at
        self._members = Position.start("MEMBERS")
        self.invoices: list[InvoiceIssued] = []
        """Every invoice that was paid, in order."""
        self.down: tuple[str, ...] = ()
        """Services that are declared down."""

    async def _ask(self, member: str, command_id: str, body: Body, **where: object) -> Accepted:
        book = str(where.get("book", self._book))
        after = where.get("after", (self._members,))
        assert isinstance(after, tuple)
        text = self._client.write(
            cast.key_of(member),
            member,
            body,
            command_id=command_id,
            book=book,
            now=self._now,
            after=after,
        )
        return await self._client.send(text)

    async def set_up(self) -> None:
        """Register members, enrol meters, fund the system, open holding and agreement."""
        for member, roles in cast.ROLES.items():
            body = RegisterMember.model_validate(
                {"member": member, "address": cast.key_of(member).address, "roles": roles}
            )
            done = await self._ask(
                "approver", f"register-{member}", body, book="register", after=()
            )
            self._members = done.last
        tariff = PublishTariff(
            tariff=cast.TARIFF,
            asset=cast.ASSET,
            price_stroops_per_kwh=cast.ENERGY_PRICE_STROOPS_PER_KWH,
            effective_from=self._now,
        )
        priced = await self._ask("approver", "tariff-1", tariff, book="main")
        await self._enrol()
        held = await self._fund()
        await self._ask(
            "household",
            "agreement",
            OpenAgreement(
                agreement=cast.AGREEMENT,
                holding=cast.HOLDING,
                tariff=cast.TARIFF,
                period="month",
                first_day=self._calendar.first_day.isoformat(),
                rating_interval_s=900,
                settlement_lag_s=cast.SETTLEMENT_LAG_S,
                due_after_s=cast.DUE_AFTER_S,
                terms=TERMS,
            ),
            after=(self._members, priced.last, held.last),
        )

    async def _enrol(self) -> None:
        teller, scene = cast.key_of("teller").address, self._scene
        meters = (
            EnrolMeter(
                meter=cast.GENERATION_METER,
                address=teller,
                role="generation",
                system=cast.SYSTEM,
                site=cast.SITE,
                nameplate_w=scene.nameplate_w,
                starts=(
                    RegisterValue(name="generated", value_wh=0),
                    RegisterValue(name="consumed", value_wh=0),
                ),
            ),
            EnrolMeter(
                meter=cast.CONSUMPTION_METER,
                address=teller,
                role="consumption",
                system=cast.SYSTEM,
                holding=cast.HOLDING,
                site=cast.SITE,
                nameplate_w=max(2 * scene.load_w, 1),
                starts=(RegisterValue(name="consumed", value_wh=0),),
            ),
        )
        for body in meters:
            await self._ask("approver", f"enrol-{body.meter}", body, book="0")

    async def _fund(self) -> Accepted:
        scene = self._scene
        for investor, amount in cast.INVESTMENTS_STROOPS.items():
            await self._deposit(investor, amount, f"deposit-{investor}")
        await self._ask(
            "developer",
            "propose",
            ProposeSystem(
                system=cast.SYSTEM,
                asset=cast.ASSET,
                price_stroops=cast.PRICE_STROOPS,
                nameplate_w=scene.nameplate_w,
                site=cast.SITE,
                time_zone=scene.time_zone,
                terms=TERMS,
            ),
        )
        await self._ask("approver", "approve", ApproveSystem(system=cast.SYSTEM))
        await self._walk(0, RAISE)
        for investor, amount in cast.INVESTMENTS_STROOPS.items():
            body = Invest(system=cast.SYSTEM, amount_stroops=amount, terms=TERMS)
            await self._ask(investor, "invest", body)
        await self._ask("household", "accept", AcceptRaise(system=cast.SYSTEM))
        await self._walk(CONSTRUCTION, INTERCONNECTION)
        held = await self._ask(
            "approver",
            "hold",
            OpenHolding(
                holding=cast.HOLDING,
                system=cast.SYSTEM,
                recipient="household",
                units=cast.PRICE_STROOPS,
            ),
        )
        await self._walk(INTERCONNECTION, OPERATION)
        return held

    async def _walk(self, from_stage: int, to_stage: int) -> None:
        """Let whoever answers for each stage say that it is complete."""
        steps = walk(cast.SYSTEM, from_stage, to_stage, cast.document_hash)
        for leaver, body in steps:
            signer = "developer" if leaver == "proposer" else "approver"
            await self._ask(signer, f"stage-{body.to_stage}", body)

    async def _deposit(self, member: str, amount: int, command_id: str) -> None:
        body = DepositFunds(member=member, asset=cast.ASSET, amount_stroops=amount)
        await self._ask("approver", command_id, body)

    async def play(self, on_day: Callable[[datetime], Awaitable[None]]) -> None:
        """Play every day to the end.

        Args:
            on_day: Called after each day, with its midnight.

        Raises:
            TimeoutError, HeliographError: The system did not get on with the play.
        """
        await self._settle()
        ahead = timedelta(days=1)  # the oracle's first cadence
        for midnight in self._calendar.midnights():
            # Reports are taken up to one cadence ahead, and that is the last step's length: around
            # a change of the clock the rest of the day is measured with the next step.
            await self._measure(min(midnight, self._now + ahead))
            ahead = midnight - self._now
            await self._advance(midnight)
            await self._settle()
            await on_day(midnight)

    async def _measure(self, until: datetime) -> None:
        """Let the Teller report up to a time, and wait for every receipt."""
        body = {"until": format_instant(until)}
        await post_until_done(self._http, f"{self._urls.teller}/played-time", body)

    async def _advance(self, to: datetime) -> None:
        """Set the devnet's time, then ask the oracle for it."""
        at = {"closed_at": format_instant(to)}
        await post_until_done(self._http, f"{self._urls.devnet}/admin/time", at)
        body = AdvanceTime(to=to, down=self.down)
        try:
            await self._ask("approver", f"time-{int(to.timestamp())}", body, book="main")
        except Refused as error:
            # An answer that was lost, asked for again across a day of 25 hours: the time itself,
            # which the next step waits for, tells whether it was accepted.
            if error.code != "expired":
                raise
        self._now = to

    async def _settle(self) -> None:
        """Wait until every writer has reached the day, and pay what was issued."""
        streams = {"billing": f"BILLING_{self._book}"}
        but = frozenset(streams[service] for service in self.down)
        await self._watch.reached(self._now, but=but, deadline_s=STEP_DEADLINE_S)
        while self._watch.unpaid and not self.down:
            recorded = self._watch.unpaid.pop(0)
            invoice = recorded.fact
            assert isinstance(invoice, InvoiceIssued)
            if invoice.total_stroops:
                amount = invoice.total_stroops
                await self._deposit("household", amount, f"deposit-{invoice.invoice}")
                body = Pay(agreement=invoice.agreement, amount_stroops=amount)
                after = (recorded.position,)
                await self._ask("household", f"pay-{invoice.invoice}", body, after=after)
            self.invoices.append(invoice)


async def post_until_done(http: httpx.AsyncClient, url: str, body: dict[str, str]) -> None:
    """Post to a helper of the play until it says yes.

    Raises:
        TimeoutError: It did not in time.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + STEP_DEADLINE_S
    reason = "no answer"
    while loop.time() < deadline:
        try:
            answer = await http.post(url, json=body, timeout=STEP_DEADLINE_S)
        except httpx.HTTPError as error:
            reason = repr(error)
        else:
            if answer.is_success:
                return
            reason = f"HTTP {answer.status_code}: {answer.text[:300]}"
        await asyncio.sleep(0.1)
    raise TimeoutError(f"{url} did not do what was asked: {reason}")
