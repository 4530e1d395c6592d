"""The examples of the energy network: a bakery with panels and the foundry next door."""

from datetime import UTC, datetime

from libs.events import trade_commands as orders
from libs.events import trading
from libs.events.batch import Batch, BatchItem
from libs.events.command import Body, Command
from libs.events.commands import CorrectReading
from libs.events.fact import Fact
from libs.events.metering import ReadingCorrected, RegisterCorrection
from libs.events.positions import write_cause
from tools.example_parts import (
    BOOK,
    LEDGER,
    NOON,
    READINGS,
    SPRING,
    Example,
    at,
    claims,
    from_command,
    key_of,
    signed,
)

BAKERY, FOUNDRY = "bakery", "foundry"
EVENING = datetime(2016, 7, 1, 21, tzinfo=UTC)
EXPIRES = datetime(2016, 7, 2, 18, tzinfo=UTC)
METADATA = {"note": "PO 2016/17"}
SURPLUS = (
    trading.IntervalEnergy(from_at=NOON, energy_wh=640),
    trading.IntervalEnergy(from_at=datetime(2016, 7, 1, 18, 15, tzinfo=UTC), energy_wh=705),
)
METERS_OF_SURPLUS = (trading.MeterEnergy(meter="bakery-pv", energy_wh=1_345),)
LEGS = (
    trading.MoneyLeg(to_member=FOUNDRY, asset=trading.TOKEN, amount_stroops=5_000_000),
    trading.EnergyLeg(to_member="raul", energy_wh=1_500),
)
MONEY_LEG = (trading.MoneyLeg(to_member=FOUNDRY, asset=trading.TOKEN, amount_stroops=5_000_000),)


def _claims(member: str, command_id: str, body: Body, book: str = BOOK) -> Command:
    return claims(member, command_id, body, book, NOON)


REGISTER = claims(
    "anna",
    "register-bakery",
    orders.RegisterFactory(
        factoryId=BAKERY,
        address=key_of(BAKERY).address,
        name="Sunrise Bakery",
        energyType="solar",
        book=BOOK,
        initialBalance=1_000_000,
        currencyBalance=10_000_000_000,
        dailyConsumption=800_000,
        availableEnergy=1_200_000,
    ),
    "register",
    SPRING,
)
MINT = _claims("anna", "mint-1", orders.MintEnergy(factoryId=BAKERY, amount=500_000))
GIVE = _claims(
    BAKERY,
    "gift",
    orders.TransferEnergy(
        fromFactoryId=BAKERY, toFactoryId=FOUNDRY, amount=250_000, metadata=METADATA
    ),
)
RETIRE = _claims(FOUNDRY, "used", orders.RetireEnergy(factoryId=FOUNDRY, amount=120_500))
CREATE = _claims(
    BAKERY,
    "create-1",
    orders.CreateTrade(
        tradeId="TRADE001",
        sellerId=BAKERY,
        buyerId=FOUNDRY,
        amount=200_000,
        pricePerUnit=800_000,
        expiresAt=EXPIRES,
        metadata=METADATA,
    ),
)
EXECUTE = _claims(FOUNDRY, "execute-1", orders.ExecuteTrade(tradeId="TRADE001"))
CANCEL = _claims(BAKERY, "cancel-1", orders.CancelTrade(tradeId="TRADE002"))
BID = _claims(
    FOUNDRY,
    "bid-1",
    orders.PlaceOrder(orderId="bid-1", side="bid", slot=NOON, amount=1_000, pricePerUnit=900_000),
)
WITHDRAW = _claims(FOUNDRY, "withdraw-1", orders.WithdrawOrder(orderId="bid-1"))
SEND = _claims(BAKERY, "send-1", orders.TransferFunds(transfer="T-1", legs=LEGS, metadata=METADATA))
RESERVE = _claims(
    BAKERY,
    "reserve-1",
    orders.ReserveTransfer(
        transfer="T-2", legs=MONEY_LEG, to_book="harbour", expires_at=EXPIRES, metadata=METADATA
    ),
)
POST = _claims(FOUNDRY, "post-1", orders.PostTransfer(transfer="T-3", amount_stroops=4_000_000))
VOID = _claims(FOUNDRY, "void-1", orders.VoidTransfer(transfer="T-4"))
REVERSE = _claims(
    "anna", "reverse-1", orders.ReverseTransfer(transfer="T-1", reason="sent to the wrong member")
)

BATCH = _claims(
    FOUNDRY,
    "batch-1",
    Batch(
        commands=(
            BatchItem(id="execute-2", command="ExecuteTrade", body={"tradeId": "TRADE003"}),
            BatchItem(id="withdraw-2", command="WithdrawOrder", body={"orderId": "bid-2"}),
        )
    ),
)
CORRECT = claims(
    "anna",
    "correct-1",
    CorrectReading(
        meter="sunrise-pv",
        first_interval_at=NOON,
        interval_s=900,
        registers=(RegisterCorrection(name="generated", deltas_wh=(-12, 0, 40)),),
        reason="clock of the meter was wrong",
    ),
    "0",
    EVENING,
)

TRADE_COMMANDS = (
    BATCH,
    REGISTER,
    MINT,
    GIVE,
    RETIRE,
    CREATE,
    EXECUTE,
    CANCEL,
    BID,
    WITHDRAW,
    SEND,
    RESERVE,
    POST,
    VOID,
    REVERSE,
    CORRECT,
)
"""One example of every command of the energy network."""


def _least(fact: Fact, example: Example, **absent: object) -> Example:
    """The same without its optional members, as it follows from a batch or by itself."""
    bare = type(fact).model_validate(
        {
            **{name: value for name, value in dict(fact).items() if name not in absent},
            **{name: value for name, value in absent.items() if value is not None},
        }
    )
    cause = write_cause(at(LEDGER, 40), "bakery.batch-1.create-1")
    return Example(
        example.stream, example.key, bare, example.id, example.time, cause, 3, 41, is_least=True
    )


def _both(command: Command, kind: str, key: str, fact: Fact, **absent: object) -> list[Example]:
    full = from_command(LEDGER, command, kind, key, fact, sequence=40)
    return [full, _least(fact, full, command=None, **absent)]


def _energy() -> list[Example]:
    minted = trading.EnergyMinted(
        mint="bakery-roof.2016-07-01T180000Z",
        member=BAKERY,
        reason="surplus",
        energy_wh=1_345,
        served_wh=45,
        system="bakery-roof",
        holding="bakery-roof",
        interval_s=900,
        intervals=SURPLUS,
        meters=METERS_OF_SURPLUS,
        command=signed(MINT),
    )
    opening = {"reason": "opening", "intervals": (), "meters": ()}
    short = trading.EnergyShortfallBooked(
        member=BAKERY,
        system="bakery-roof",
        holding="bakery-roof",
        energy_wh=1_345,
        taken_wh=1_300,
        interval_s=900,
        intervals=SURPLUS,
        meters=METERS_OF_SURPLUS,
    )
    given = trading.EnergyTransferred(
        transfer="bakery.gift",
        from_member=BAKERY,
        to_member=FOUNDRY,
        energy_wh=250_000,
        metadata=METADATA,
        command=signed(GIVE),
    )
    retired = trading.EnergyRetired(
        retirement="foundry.used",
        member=FOUNDRY,
        energy_wh=120_500,
        purpose="use",
        command=signed(RETIRE),
    )
    cause = write_cause(at(READINGS, 5_953), "bakery-pv.corrected")
    name = "bakery-roof.shortfall"
    return [
        *_both(MINT, "mint", BAKERY, minted, system=None, holding=None, interval_s=None, **opening),
        Example(LEDGER, BAKERY, short, name, NOON, cause, 4, 42),
        *_both(GIVE, "transfer", BAKERY, given, metadata=None),
        *_both(RETIRE, "retired", FOUNDRY, retired),
    ]


def _trades() -> list[Example]:
    created = trading.TradeCreated(
        trade="TRADE001",
        seller=BAKERY,
        buyer=FOUNDRY,
        asset=trading.TOKEN,
        energy_wh=200_000,
        price_stroops_per_kwh=800_000,
        total_stroops=160_000_000,
        expires_at=EXPIRES,
        metadata=METADATA,
        command=signed(CREATE),
    )
    executed = trading.TradeExecuted(
        trade="TRADE001",
        seller=BAKERY,
        buyer=FOUNDRY,
        asset=trading.TOKEN,
        energy_wh=200_000,
        price_stroops_per_kwh=800_000,
        total_stroops=160_000_000,
        slot=NOON,
        bid="bid-1",
        offer="offer-1",
        command=signed(EXECUTE),
    )
    ended = {"trade": "TRADE002", "seller": BAKERY, "buyer": FOUNDRY, "energy_wh": 50_000}
    cancelled = trading.TradeCancelled.model_validate(
        {**ended, "reason": "seller", "command": signed(CANCEL)}
    )
    expired = trading.TradeExpired.model_validate(ended)
    cause = write_cause(at("PRICES", 7), "time.2016-07-02T18:00:00Z")
    return [
        *_both(CREATE, "trade", BAKERY, created, metadata=None),
        *_both(EXECUTE, "executed", BAKERY, executed, slot=None, bid=None, offer=None),
        *_both(CANCEL, "cancelled", BAKERY, cancelled),
        Example(LEDGER, BAKERY, expired, "TRADE002.expired", EXPIRES, cause, 9, 60),
    ]


def _market() -> list[Example]:
    placed = trading.OrderPlaced(
        order="bid-1",
        member=FOUNDRY,
        side="bid",
        slot=NOON,
        asset=trading.TOKEN,
        energy_wh=1_000,
        limit_stroops_per_kwh=900_000,
        held_stroops=900_000,
        command=signed(BID),
    )
    withdrawn = trading.OrderWithdrawn(
        order="bid-1",
        member=FOUNDRY,
        side="bid",
        slot=NOON,
        asset=trading.TOKEN,
        energy_wh=1_000,
        returned_stroops=900_000,
        reason="member",
        command=signed(WITHDRAW),
    )
    match = trading.SlotMatch(
        bid="bid-1",
        offer="offer-1",
        buyer=FOUNDRY,
        seller=BAKERY,
        energy_wh=640,
        total_stroops=544_000,
    )
    cleared = trading.SlotCleared(
        slot=NOON,
        asset=trading.TOKEN,
        orders=2,
        price_stroops_per_kwh=850_000,
        energy_wh=640,
        matches=(match,),
    )
    cause = write_cause(at("PRICES", 7), "time.2016-07-01T21:00:00Z")
    name = "slot.2016-07-01T18:00:00Z"
    full = Example(LEDGER, trading.MARKET_KEY, cleared, name, EVENING, cause, 5, 71)
    return [
        *_both(BID, "order", FOUNDRY, placed),
        *_both(WITHDRAW, "withdrawn", FOUNDRY, withdrawn),
        full,
        _least(cleared, full, price_stroops_per_kwh=None, energy_wh=0, matches=()),
    ]


def _transfers() -> list[Example]:
    reserved = trading.TransferReserved(
        transfer="T-2",
        from_member=BAKERY,
        legs=MONEY_LEG,
        to_book="harbour",
        expires_at=EXPIRES,
        metadata=METADATA,
        command=signed(RESERVE),
    )
    posted = trading.TransferPosted(
        transfer="T-3",
        from_member=BAKERY,
        legs=MONEY_LEG,
        is_held=True,
        returned_stroops=1_000_000,
        returned_wh=0,
        to_book="harbour",
        from_book="valley",
        metadata=METADATA,
        command=signed(POST),
    )
    voided = trading.TransferVoided(
        transfer="T-4",
        from_member=BAKERY,
        legs=LEGS,
        reason="receiver",
        to_book="harbour",
        from_book="valley",
        command=signed(VOID),
    )
    reversed_ = trading.TransferReversed(
        transfer="T-1",
        from_member=BAKERY,
        legs=LEGS,
        reason="sent to the wrong member",
        command=signed(REVERSE),
    )
    books = {"to_book": None, "from_book": None}
    key = trading.book_key("harbour")
    return [
        *_both(RESERVE, "reserved", key, reserved, to_book=None, metadata=None),
        *_both(POST, "posted", key, posted, metadata=None, **books),
        *_both(VOID, "voided", BAKERY, voided, **books),
        *_both(REVERSE, "reversed", BAKERY, reversed_),
    ]


def _correction() -> list[Example]:
    body = CORRECT.body
    corrected = ReadingCorrected.model_validate(
        {**body.model_dump(), "correction": "anna.correct-1", "command": signed(CORRECT)}
    )
    name = "anna.correct-1.corrected"
    return [
        Example(READINGS, "sunrise-pv", corrected, name, EVENING, "- anna.correct-1", 43, 4_712)
    ]


def trade_examples() -> list[Example]:
    """One full example of every fact of the energy network, and one without optional members."""
    return [*_energy(), *_trades(), *_market(), *_transfers(), *_correction()]
