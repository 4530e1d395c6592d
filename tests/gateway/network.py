"""A small energy network, told by facts: the seed's story, and one of everything that follows."""

from datetime import datetime, timedelta

from libs.events import (
    Cleared,
    EnergyMinted,
    EnergyRetired,
    Fact,
    FactoryProfile,
    FundsDeposited,
    InvoiceLine,
    KeyRotated,
    MemberRegistered,
    MemberSuspended,
    Opening,
    OrderPlaced,
    OrderWithdrawn,
    PaymentSettled,
    Position,
    SlotCleared,
    TradeCancelled,
    TradeCreated,
    TradeExecuted,
    TradeExpired,
    TransferPosted,
    TransferReserved,
    TransferReversed,
)
from libs.events.jws import SigningKey
from libs.events.membership import EnergyType
from libs.events.trading import TOKEN, MoneyLeg, SlotMatch
from tests.projection.story import invoice
from tests.projection.world import SIGNED, START, World

LEDGER = "LEDGER_pilot"
SEED: tuple[tuple[str, str, EnergyType, int, int, int], ...] = (
    ("Factory01", "Solar Manufacturing Plant", "solar", 1_000, 800, 1_200),
    ("Factory02", "Wind Power Assembly", "wind", 800, 750, 850),
    ("Factory03", "Tech Production Facility", "footstep", 500, 600, 450),
    ("Factory04", "Heavy Industry Corp", "solar", 300, 900, 250),
    ("Factory05", "Electronics Assembly", "wind", 600, 550, 700),
)
"""Id, name, kind, balance of kWh and of tokens, use and yield of a day in kWh."""
STROOPS = 10_000_000
HOUR = "2016-07-01T{:02}:00:00Z"
"""Hour n of the story is 6 + n o'clock."""
SLOT = START + timedelta(hours=1)


def key(name: str) -> SigningKey:
    return SigningKey(f"{name} of the network".encode().ljust(32, b"."))


def hour(number: int) -> datetime:
    return START + timedelta(hours=number)


def factory(
    name: str, title: str, kind: EnergyType, kwh: int, use_kwh: int, yield_kwh: int
) -> tuple[str, Fact]:
    profile = FactoryProfile(
        name=title,
        energy_type=kind,
        daily_consumption_wh=use_kwh * 1_000,
        available_energy_wh=yield_kwh * 1_000,
    )
    return name, MemberRegistered(
        member=name,
        address=key(name).address,
        roles=("factory",),
        factory=profile,
        opening=Opening(
            book="pilot", asset=TOKEN, energy_wh=kwh * 1_000, amount_stroops=kwh * STROOPS
        ),
        command=SIGNED,
    )


def minted(member: str, kwh: int, *, is_opening: bool = True) -> tuple[str, Fact]:
    return member, EnergyMinted(
        mint=f"{member}.mint",
        member=member,
        reason="opening" if is_opening else "approver",
        energy_wh=kwh * 1_000,
        served_wh=0,
        intervals=(),
        meters=(),
    )


def deposited(member: str, tokens: int) -> tuple[str, Fact]:
    return member, FundsDeposited(member=member, asset=TOKEN, amount_stroops=tokens * STROOPS)


def created(
    trade: str, seller: str, buyer: str, kwh: int, price: int = 800_000
) -> tuple[str, Fact]:
    return seller, TradeCreated(
        trade=trade,
        seller=seller,
        buyer=buyer,
        asset=TOKEN,
        energy_wh=kwh * 1_000,
        price_stroops_per_kwh=price,
        total_stroops=kwh * price,
        expires_at=hour(24),
        metadata={"order": "4711"} if trade == "TRADE001" else None,
    )


def executed(trade: str, seller: str, buyer: str, kwh: int, price: int = 800_000) -> TradeExecuted:
    return TradeExecuted(
        trade=trade,
        seller=seller,
        buyer=buyer,
        asset=TOKEN,
        energy_wh=kwh * 1_000,
        price_stroops_per_kwh=price,
        total_stroops=kwh * price,
    )


async def tell_network(world: World) -> dict[str, Position]:
    """Tell it all.

    Returns:
        Where the facts stand that commands of the seed's story lead to, by command.
    """
    at: dict[str, Position] = {}
    at["RegisterFactory"] = await world.append("MEMBERS", *(factory(*each) for each in SEED))
    changes: list[tuple[str, Fact]] = [
        (
            "Factory05",
            MemberSuspended(member="Factory05", suspended=True, reason="dues", command=SIGNED),
        ),
        (
            "Factory03",
            KeyRotated(member="Factory03", address=key("renewed").address, command=SIGNED),
        ),
    ]
    await world.append("MEMBERS", *changes)
    for name, _, _, kwh, _, _ in SEED:
        await world.append(LEDGER, minted(name, kwh), deposited(name, kwh))
    world.now = hour(1)
    at["MintEnergy"] = await world.append(LEDGER, minted("Factory01", 500, is_opening=False))
    world.now = hour(2)
    at["CreateTrade"] = await world.append(
        LEDGER, created("TRADE001", "Factory01", "Factory04", 200)
    )
    world.now = hour(3)
    fact = executed("TRADE001", "Factory01", "Factory04", 200)
    at["ExecuteTrade"] = await world.append(LEDGER, ("Factory01", fact))
    world.now = hour(4)
    await _other_trades(world, at)
    world.now = hour(5)
    await _market(world)
    world.now = hour(6)
    await _transfers(world)
    await _claims(world)
    return at


async def _other_trades(world: World, at: dict[str, Position]) -> None:
    await world.append(
        LEDGER,
        created("TRADE002", "Factory01", "Factory05", 50, 900_000),
        created("TRADE003", "Factory01", "Factory05", 30, 700_000),
        created("TRADE004", "Factory02", "Factory03", 100, 700_000),
    )
    given_up = {"seller": "Factory01", "buyer": "Factory05"}
    cancelled = TradeCancelled.model_validate(
        {"trade": "TRADE002", "energy_wh": 50_000, "reason": "buyer", **given_up}
    )
    at["CancelTrade"] = await world.append(LEDGER, ("Factory01", cancelled))
    expired = TradeExpired.model_validate({"trade": "TRADE003", "energy_wh": 30_000, **given_up})
    retired = EnergyRetired(
        retirement="Factory05.used", member="Factory05", energy_wh=20_500, purpose="use"
    )
    await world.append(LEDGER, ("Factory01", expired))
    at["RetireEnergy"] = await world.append(LEDGER, ("Factory05", retired))


async def _market(world: World) -> None:
    """A bid of 12 kWh meets an offer of 10; what the bid held for the rest goes back."""
    order = {"slot": SLOT, "asset": TOKEN}
    bid = {"order": "b1", "member": "Factory03", "side": "bid", **order}
    offer = {"order": "o1", "member": "Factory02", "side": "offer", **order}
    limit = {"limit_stroops_per_kwh": 1_000_000}
    match = SlotMatch(
        bid="b1",
        offer="o1",
        buyer="Factory03",
        seller="Factory02",
        energy_wh=10_000,
        total_stroops=9_000_000,
    )
    trade = executed("b1.o1", "Factory02", "Factory03", 10, 900_000).model_copy(
        update={"slot": SLOT, "bid": "b1", "offer": "o1"}
    )
    late = {**offer, "order": "o2", "slot": SLOT + timedelta(minutes=15), "energy_wh": 1_000}
    left = {"energy_wh": 2_000, "returned_stroops": 3_000_000, "reason": "cleared"}
    facts: list[tuple[str, Fact]] = [
        (
            "Factory03",
            OrderPlaced.model_validate(
                {**bid, **limit, "energy_wh": 12_000, "held_stroops": 12_000_000}
            ),
        ),
        (
            "Factory02",
            OrderPlaced.model_validate({**offer, **limit, "energy_wh": 10_000, "held_stroops": 0}),
        ),
        (
            "market",
            SlotCleared(
                slot=SLOT,
                asset=TOKEN,
                orders=2,
                price_stroops_per_kwh=900_000,
                energy_wh=10_000,
                matches=(match,),
            ),
        ),
        ("Factory02", trade),
        ("Factory03", OrderWithdrawn.model_validate({**bid, **left})),
        ("Factory02", OrderPlaced.model_validate({**late, **limit, "held_stroops": 0})),
    ]
    await world.append(LEDGER, *facts)


async def _transfers(world: World) -> None:
    """One in two phases, posted in part; one with two legs at once, undone again."""
    payer = {"from_member": "Factory05"}
    five, four = (
        MoneyLeg(to_member="Factory02", asset=TOKEN, amount_stroops=tokens * STROOPS)
        for tokens in (5, 4)
    )
    ann = MoneyLeg(to_member="ann", asset=TOKEN, amount_stroops=STROOPS)
    posted = {"returned_stroops": 0, "returned_wh": 0}
    facts: list[Fact] = [
        TransferReserved.model_validate(
            {
                "transfer": "X1",
                "legs": (five,),
                "expires_at": hour(24),
                "metadata": {"n": "1"},
                **payer,
            }
        ),
        TransferPosted.model_validate(
            {
                "transfer": "X1",
                "legs": (four,),
                "is_held": True,
                **payer,
                **posted,
                "returned_stroops": STROOPS,
            }
        ),
        TransferPosted.model_validate(
            {"transfer": "X2", "legs": (four, ann), "is_held": False, **payer, **posted}
        ),
    ]
    await world.append(LEDGER, *(("Factory05", fact) for fact in facts))
    undone = TransferReversed.model_validate(
        {"transfer": "X2", "legs": (four,), "reason": "twice", **payer}
    )
    await world.append(LEDGER, ("Factory05", undone))


async def _claims(world: World) -> None:
    """Billing's half: two lines of one invoice, later one of another; the ledger's half between."""
    bill = invoice(price_position=Position.start("PRICES"), positions=[1])
    line = bill.lines[0]
    second = InvoiceLine.model_validate({**dict(line), "line": 2})
    both = {"lines": (line, second), "total_stroops": 2 * line.amount_stroops}
    world.now = hour(7)
    await world.append("BILLING_pilot", ("sunrise", bill.model_copy(update=both)))
    world.now = hour(8)
    paid = PaymentSettled(
        payment="p1",
        agreement="sunrise",
        payer="ann",
        asset="USD",
        kind="invoices",
        amount_stroops=10_000_000,
        cleared=(Cleared(invoice=bill.invoice, line_class="energy", amount_stroops=10_000_000),),
        returns=(),
        principal=(),
        credit_stroops=10_000_000,
        command=SIGNED,
    )
    deposit = FundsDeposited(member="ann", asset="USD", amount_stroops=50_000_000)
    await world.append(LEDGER, ("ann", deposit), ("sunrise", paid))
    world.now = hour(9)
    later = {"invoice": "sunrise-2016-08", "number": 2}
    await world.append("BILLING_pilot", ("sunrise", bill.model_copy(update=later)))
