"""Two small seasons: one in which all goes well, and one with troubles."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from libs.events.billing_commands import OpenAgreement, PublishTariff
from libs.events.books import Terms
from libs.events.commands import (
    CorrectReading,
    DepositFunds,
    EnrolMeter,
    GrantRoles,
    RegisterMember,
    RotateKey,
    SuspendMember,
)
from libs.events.metering import RegisterValue
from libs.events.system_commands import (
    AcceptRaise,
    ApproveSystem,
    Invest,
    OpenHolding,
    Pay,
    ProposeSystem,
)
from libs.events.trade_commands import RegisterFactory
from libs.rules.stages import CONSTRUCTION, INTERCONNECTION, OPERATION, RAISE, walk
from tests.proof.play import START, USD, Play, Teller, home, key, payload_of, sun

TERMS = Terms(return_ppm_year=0, minimum_payment_stroops=0)
ZONE = "America/Denver"

ROLES = {
    "approver": ("approver", "operator"),
    "developer": ("developer",),
    "household": ("recipient",),
    "neighbour": ("recipient",),
    "investor-1": ("investor",),
    "investor-2": ("investor",),
}


async def enrol(play: Play, meter: str, holding: str | None) -> None:
    names = ("consumed", "generated") if holding is None else ("consumed",)
    starts = tuple(RegisterValue.model_validate({"name": n, "value_wh": 0}) for n in names)
    body = EnrolMeter.model_validate(
        {
            "meter": meter,
            "address": key("teller").address,
            "role": "generation" if holding is None else "consumption",
            "system": "sunrise",
            "holding": holding,
            "site": "site",
            "nameplate_w": 6_000,
            "starts": starts,
        }
    )
    await play.ask("approver", body, "0")


async def set_up(
    play: Play, *, price_usd: int = 4_000, holdings: dict[str, int] | None = None
) -> None:
    """Members, tariff, meters, a funded system, holdings and an agreement."""
    for member, roles in ROLES.items():
        body = RegisterMember.model_validate(
            {"member": member, "address": key(member).address, "roles": roles}
        )
        await play.ask("approver", body, "register")
    tariff = PublishTariff(
        tariff="fixed", asset="USD", price_stroops_per_kwh=USD // 5, effective_from=play.now
    )
    await play.ask("approver", tariff, "main")
    units = price_usd * USD
    holdings = holdings or {"household": units}
    await enrol(play, "pv-1", None)
    for member in holdings:
        await enrol(play, f"{member}-1", f"holding-{member}")
    for investor, part in (("investor-1", 6), ("investor-2", 4)):
        deposit = DepositFunds(member=investor, asset="USD", amount_stroops=units * part // 10)
        await play.ask("approver", deposit)
    await play.ask("approver", DepositFunds(member="household", asset="USD", amount_stroops=units))
    await play.ask(
        "developer",
        ProposeSystem(
            system="sunrise",
            asset="USD",
            price_stroops=units,
            nameplate_w=6_000,
            site="site",
            time_zone=ZONE,
            terms=TERMS,
        ),
    )
    await play.ask("approver", ApproveSystem(system="sunrise"))
    await walked(play, 0, RAISE)
    for investor, part in (("investor-1", 6), ("investor-2", 4)):
        amount = units * part // 10
        await play.ask(investor, Invest(system="sunrise", amount_stroops=amount, terms=TERMS))
    await play.ask("household", AcceptRaise(system="sunrise"))
    await walked(play, CONSTRUCTION, INTERCONNECTION)
    for member, held in holdings.items():
        opened = OpenHolding(
            holding=f"holding-{member}", system="sunrise", recipient=member, units=held
        )
        await play.ask("approver", opened)
    await walked(play, INTERCONNECTION, OPERATION)
    first = play.now.astimezone(UTC).date()
    agreement = OpenAgreement(
        agreement="home",
        holding="holding-household",
        tariff="fixed",
        period="month",
        first_day=first.isoformat(),
        rating_interval_s=900,
        settlement_lag_s=86_400,
        due_after_s=14 * 86_400,
        terms=TERMS,
    )
    await play.ask("household", agreement)


async def walked(play: Play, from_stage: int, to_stage: int) -> None:
    """Whoever answers for these stages says that they are complete."""
    for leaver, body in walk("sunrise", from_stage, to_stage, document_hash):
        await play.ask("developer" if leaver == "proposer" else "approver", body)


def document_hash(kind: str) -> str:
    """The hash of a document that nobody wrote."""
    return sha256(kind.encode()).hexdigest()


def tellers(holders: Sequence[str] = ("household",)) -> dict[str, Teller]:
    teller = key("teller")
    made = {"pv-1": Teller("pv-1", teller, {"generated": sun, "consumed": lambda _: 0}, START)}
    for holder in holders:
        made[f"{holder}-1"] = Teller(f"{holder}-1", teller, {"consumed": home}, START)
    return made


async def to_the_end_of_august(play: Play) -> None:
    """Four days of July and all of August; both invoices are paid, the last by two payments."""
    await set_up(play)
    meters = tellers()
    for day in range(1, 39):
        to = START + timedelta(days=day)
        for teller in meters.values():
            outcomes = await play.deliver(teller.reports(to))
            assert set(outcomes) == {"ACCEPTED"}, outcomes
        await play.advance(to)
        if day in {6, 36}:
            await play.ask("household", Pay(agreement="home", amount_stroops=5 * USD))
        if day in {7, 37}:
            await play.ask("household", Pay(agreement="home", amount_stroops=100 * USD))


async def correct(play: Play, meter: str, at: datetime, *deltas_wh: int) -> None:
    """An approver corrects what a meter has recorded."""
    register = "generated" if meter.startswith("pv") else "consumed"
    values = {
        "meter": meter,
        "first_interval_at": at,
        "interval_s": 900,
        "registers": ({"name": register, "deltas_wh": deltas_wh},),
        "reason": "the clamp was loose",
    }
    await play.ask("approver", CorrectReading.model_validate(values), "0")


async def with_troubles(play: Play) -> None:
    """What goes wrong in a real season: reports lost, late, sent twice with other bytes."""
    units = 4_000 * USD
    await set_up(play, holdings={"household": units * 3 // 4, "neighbour": units // 4})
    meters = tellers(("household", "neighbour"))
    meters["neighbour-1"].interval_s, meters["neighbour-1"].per_report = 300, 36
    late: list[str] = []
    for day in range(1, 7):
        to = START + timedelta(days=day)
        for name, teller in meters.items():
            texts = teller.reports(to)
            if day == 1 and name == "household-1":
                texts = texts[1:]  # the very first report never comes
            if day == 2 and name == "pv-1":
                del texts[1]  # lost for ever
            if day == 2 and name == "neighbour-1":
                late = [texts.pop(3)]
            outcomes = await play.deliver(texts)
            assert set(outcomes) == {"ACCEPTED"}, outcomes
        if day == 4:
            await correct(play, "pv-1", START + timedelta(hours=9), -7, 0, 12)
            await correct(play, "pv-1", START + timedelta(hours=9), 3)
            await correct(play, "household-1", START + timedelta(hours=10), -40, -40)
        if day == 3:
            assert await play.deliver(late) == ["ACCEPTED"]
            forged = meters["pv-1"].key.sign(
                "hg-report+jws", payload_of(late[0]).replace(b'"neighbour-1"', b'"pv-1"')
            )
            assert (await play.deliver([forged]))[0].startswith("REFUSED")
            tariff = PublishTariff(
                tariff="fixed",
                asset="USD",
                price_stroops_per_kwh=USD // 4,
                effective_from=START + timedelta(days=3),
            )
            await play.ask("approver", tariff, "main")
            later = tariff.model_copy(update={"effective_from": START + timedelta(days=20)})
            await play.ask("approver", later, "main")
        await play.advance(to)


async def rotate(play: Play, member: str, *, by: str = "") -> None:
    """A member signs with another key from now on."""
    new = key(f"{member} renewed")
    await play.ask(by or member, RotateKey(member=member, address=new.address), "register")
    play.keys[member] = new


async def with_new_keys(play: Play) -> None:
    """People change: keys are replaced, a role is granted, somebody is suspended for a while."""
    await set_up(play)
    meters = tellers()
    for day in range(1, 8):
        to = START + timedelta(days=day)
        for teller in meters.values():
            assert set(await play.deliver(teller.reports(to))) == {"ACCEPTED"}
        if day == 2:
            deputy = RegisterFactory(
                factoryId="deputy",
                address=key("deputy").address,
                name="Deputy & Daughters",
                energyType="wind",
                book="pilot",
                initialBalance=1_000,
            )
            await play.ask("approver", deputy, "register")
            may = GrantRoles(member="deputy", roles=("factory", "approver"))
            await play.ask("approver", may, "register")
            await rotate(play, "approver")
            await rotate(play, "household", by="deputy")
            await rotate(play, "investor-1")
            grant = GrantRoles(member="household", roles=("investor", "recipient"))
            await play.ask("approver", grant, "register")
            for suspended in (True, False):
                suspend = SuspendMember(member="household", suspended=suspended, reason="key-lost")
                await play.ask("approver", suspend, "register")
        if day == 3:
            tariff = PublishTariff(
                tariff="fixed", asset="USD", price_stroops_per_kwh=USD // 4, effective_from=play.now
            )
            await play.ask("approver", tariff, "main")
        await play.advance(to)
        if day == 6:
            await play.ask("household", Pay(agreement="home", amount_stroops=5 * USD))
