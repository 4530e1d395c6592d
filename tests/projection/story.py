"""The story of the small community: one of everything that can happen to it."""

from collections.abc import Sequence
from datetime import timedelta

from libs.events import (
    AgreementOpened,
    AnchorFailed,
    AnchorPrepared,
    Cleared,
    Fact,
    FactoryProfile,
    FundsDeposited,
    HeadAnchored,
    HoldingOpened,
    InvestmentMade,
    InvoiceIssued,
    InvoiceLine,
    InvoicePaid,
    KeyRotated,
    MemberRegistered,
    MemberSuspended,
    MeterEnrolled,
    MeterReadings,
    MoneyMove,
    Opening,
    OwnershipTransferred,
    PaymentSettled,
    Position,
    RaiseAccepted,
    ReadingRefused,
    RegisterValue,
    RoleGranted,
    SystemApproved,
    SystemProposed,
    TariffPrices,
    TariffPublished,
    TimeAdvanced,
    TimeReached,
    TitleMove,
    UnitMove,
)
from libs.events.metering import MeterRole
from libs.events.subjects import TIME_KEY
from tests.projection.world import DEVNET, HOSTILE, KEYS, SIGNED, START, TERMS, World, reading
from tools.trade_examples import trade_examples


async def tell(world: World) -> None:
    """One of everything: members, a system, readings, a bill, its payment, title, anchors."""
    await _members_and_meters(world)
    await _raise(world)
    await _bill(world)
    await _pay(world)
    await _trade(world)
    await _anchor(world)


async def _members_and_meters(world: World) -> None:
    def member(name: str, *roles: str) -> tuple[str, Fact]:
        fields = {"member": name, "address": KEYS[name].address, "roles": roles, "command": SIGNED}
        return name, MemberRegistered.model_validate(fields)

    await world.append(
        "MEMBERS",
        member("approver", "approver"),
        member("ann", "recipient"),
        member("bob", "investor"),
        ("sol", _factory()),
        *_changes(),
    )
    await world.append(
        "METERS_0",
        ("m1", _enrolled("m1", "generation", None)),
        ("m2", _enrolled("m2", "consumption", "sunny")),
    )
    await world.append(
        "PRICES",
        (TIME_KEY, TimeAdvanced(to=START, cadence_s=86_400)),
        (
            "flat",
            TariffPublished(
                tariff="flat",
                version=1,
                asset="USD",
                prices=TariffPrices(price_stroops_per_kwh=2_000_000),
                effective_from=START,
                command=SIGNED,
            ),
        ),
    )
    await world.readings(24)
    consumed = [("m2", reading("m2", seq, name="consumed")) for seq in range(1, 13)]
    await world.append("READINGS_0", *consumed)
    refused = ReadingRefused(
        meter="m1", seq=3, reason="overlap", detail=HOSTILE + "\x00", sha256="a" * 64, report=SIGNED
    )
    await world.append("READINGS_0", ("m1", refused), (TIME_KEY, TimeReached(to=START)))


def _factory() -> MemberRegistered:
    return MemberRegistered(
        member="sol",
        address=KEYS["sol"].address,
        roles=("factory",),
        factory=FactoryProfile(
            name=HOSTILE.replace("\u202e", ""),
            energy_type="solar",
            daily_consumption_wh=100_000,
            available_energy_wh=1_000_000,
        ),
        opening=Opening(book="pilot", asset="TOKEN", energy_wh=0, amount_stroops=0),
        command=SIGNED,
    )


def _changes() -> list[tuple[str, Fact]]:
    """Bob has another key and may do more; Sol was suspended and is again."""

    def suspended(*, now: bool) -> tuple[str, Fact]:
        return "sol", MemberSuspended(
            member="sol", suspended=now, reason="unpaid-dues", command=SIGNED
        )

    return [
        ("bob", KeyRotated(member="bob", address=KEYS["bob-renewed"].address, command=SIGNED)),
        ("bob", RoleGranted(member="bob", roles=("investor", "guarantor"), command=SIGNED)),
        *(suspended(now=now) for now in (True, False, True)),
    ]


def _enrolled(meter: str, role: MeterRole, holding: str | None) -> MeterEnrolled:
    return MeterEnrolled(
        meter=meter,
        address=KEYS["m1"].address,
        role=role,
        system="roof",
        holding=holding,
        site="house",
        nameplate_w=5_000,
        starts=(RegisterValue(name="consumed", value_wh=0),),
        command=SIGNED,
    )


async def _raise(world: World) -> None:
    price = 40_000_000_000
    await world.append(
        "LEDGER_pilot",
        (
            "bob",
            FundsDeposited(member="bob", asset="USD", amount_stroops=price, command=SIGNED),
        ),
        (
            "ann",
            FundsDeposited(member="ann", asset="USD", amount_stroops=50_000_000, command=SIGNED),
        ),
        (
            "roof",
            SystemProposed(
                system="roof",
                proposer="bob",
                asset="USD",
                price_stroops=price,
                nameplate_w=5_000,
                site="house",
                time_zone="America/Denver",
                rating_interval_s=900,
                terms=TERMS,
                command=SIGNED,
            ),
        ),
        ("roof", SystemApproved(system="roof", shares=price, command=SIGNED)),
        (
            "roof",
            InvestmentMade(
                investment="i1",
                system="roof",
                investor="bob",
                asset="USD",
                amount_stroops=price,
                round="raise",
                units=price,
                is_at_risk=False,
                terms=TERMS,
                command=SIGNED,
            ),
        ),
        (
            "roof",
            RaiseAccepted(
                system="roof",
                recipient="ann",
                asset="USD",
                moves=(UnitMove(member="bob", shares=price, amount_stroops=price),),
                units=price,
                command=SIGNED,
            ),
        ),
        (
            "sunny",
            HoldingOpened(
                holding="sunny", system="roof", recipient="ann", units=price, command=SIGNED
            ),
        ),
    )


def invoice(
    number: int = 1, *, price_position: Position, positions: Sequence[int], energy_wh: int = 4_801
) -> InvoiceIssued:
    amount = energy_wh * 2_000_000 // 1_000
    return InvoiceIssued(
        invoice=f"sunrise-2016-{6 + number:02}",
        number=number,
        agreement="sunrise",
        recipient="ann",
        asset="USD",
        period_from=START,
        period_until=START + timedelta(days=31),
        due_at=START + timedelta(days=60),
        readings=(
            MeterReadings(
                meter="m1",
                stream="READINGS_0",
                first_seq=1,
                last_seq=len(positions),
                positions=tuple(positions),
            ),
        ),
        rated_intervals=48,
        unrated_intervals=2_928,
        generated_wh=9_600,
        consumed_wh=energy_wh,
        lines=(
            InvoiceLine(
                line=1,
                line_class="energy",
                kind="use",
                holding="sunny",
                tariff="flat",
                tariff_version=1,
                price_position=str(price_position),
                price_stroops_per_kwh=2_000_000,
                energy_wh=energy_wh,
                amount_stroops=amount,
            ),
        ),
        total_stroops=amount,
    )


async def _bill(world: World) -> None:
    agreement = AgreementOpened(
        agreement="sunrise",
        holding="sunny",
        system="roof",
        recipient="ann",
        tariff="flat",
        asset="USD",
        period="month",
        time_zone="America/Denver",
        first_day="2016-07-01",
        rating_interval_s=900,
        settlement_lag_s=86_400,
        due_after_s=86_400 * 14,
        grace_periods=6,
        notice_s=604_800,
        terms=TERMS,
        command=SIGNED,
    )
    price = world.ends["PRICES"]
    world.now = START + timedelta(days=32)
    await world.append("PRICES", (TIME_KEY, TimeAdvanced(to=world.now, cadence_s=86_400)))
    await world.append(
        "BILLING_pilot",
        ("sunrise", agreement),
        ("sunrise", invoice(price_position=price, positions=range(1, 25))),
        ("sunrise", invoice(2, price_position=price, positions=[1, 2, 3, 7, 99_999])),
        (TIME_KEY, TimeReached(to=world.now)),
    )


async def _pay(world: World) -> None:
    await world.append(
        "LEDGER_pilot",
        (
            "sunrise",
            PaymentSettled(
                payment="p1",
                agreement="sunrise",
                payer="ann",
                asset="USD",
                kind="invoices",
                amount_stroops=10_000_000,
                cleared=(
                    Cleared(
                        invoice="sunrise-2016-07", line_class="energy", amount_stroops=9_602_000
                    ),
                ),
                returns=(MoneyMove(member="bob", amount_stroops=602_000),),
                principal=(MoneyMove(member="bob", amount_stroops=9_000_000),),
                credit_stroops=398_000,
                command=SIGNED,
            ),
        ),
        (
            "sunrise",
            OwnershipTransferred(
                payment="p1",
                system="roof",
                holding="sunny",
                agreement="sunrise",
                to_member="ann",
                moves=(TitleMove(member="bob", shares=9_000_000),),
                own_shares=9_000_000,
                holding_units=40_000_000_000,
            ),
        ),
        (TIME_KEY, TimeReached(to=world.now)),
    )
    await world.append(
        "BILLING_pilot",
        (
            "sunrise",
            InvoicePaid(
                invoice="sunrise-2016-07", number=1, agreement="sunrise", total_stroops=9_602_000
            ),
        ),
    )


async def _trade(world: World) -> None:
    """One of each fact of the energy network, as the golden examples tell them."""
    for example in trade_examples():
        stream = "READINGS_0" if example.stream.startswith("READINGS") else "LEDGER_pilot"
        await world.append(stream, (example.key, example.fact))


async def _anchor(world: World) -> None:
    def prepared(number: int) -> tuple[str, Fact]:
        return "main", AnchorPrepared(
            round=number,
            round_text=f"demo/READINGS_0\n{number}\n",
            round_sha256=f"{number:064x}",
            account=KEYS["approver"].address,
            network=DEVNET,
            account_sequence=str((1 << 40) + number),
            envelope_xdr="AAAA",
            transaction_hash=f"{number + 160:064x}",
            valid_until=world.now + timedelta(minutes=5),
        )

    await world.append(
        "ANCHORS",
        prepared(1),
        (
            "main",
            HeadAnchored(
                round=1,
                transaction_hash=f"{161:064x}",
                ledger=777,
                closed_at=world.now + timedelta(seconds=6),
                result_set_xdr="AAAA",
                header_xdr="AAAA",
            ),
        ),
        prepared(2),
        ("main", AnchorFailed(round=2, transaction_hash=f"{162:064x}", reason=HOSTILE)),
        prepared(3),
        (TIME_KEY, TimeReached(to=world.now)),
    )
