"""Answers about the energy network: the seed's own fields, and exact integers beside them.

The seed's numbers (`energyBalance`, `amount`, `pricePerUnit`) are JSON numbers of kWh and units of
money; `..._wh` and `..._stroops` beside each are exact whatever reads them.
"""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import Field

from services.gateway.shapes.base import Shape

T = TypeVar("T")


class Answer(Shape, Generic[T]):
    """What every route of the energy network answers."""

    success: Literal[True] = True
    """True: anything else is a problem document."""
    message: str = "ok"
    """The same in words."""
    data: T
    """What was asked for."""


class ListAnswer(Shape, Generic[T]):
    """One page of a list of the energy network."""

    success: Literal[True] = True
    """True: anything else is a problem document."""
    count: int
    """Number of items on this page."""
    data: list[T]
    """The items."""
    next_cursor: str | None = None
    """Give it as `cursor` for the next page; null on the last one."""


class Factory(Shape):
    """A factory and what it has; held is promised to a trade, an order or a transfer."""

    id: str = Field(examples=["Factory01"])
    """The factory."""
    name: str
    """Its public name."""
    energyType: str  # noqa: N815 - the seed's name
    """solar, wind or footstep."""
    energyBalance: float  # noqa: N815 - the seed's name
    """Energy in kWh: free and held."""
    currencyBalance: float  # noqa: N815 - the seed's name
    """Tokens: free and held."""
    dailyConsumption: float  # noqa: N815 - the seed's name
    """What it uses on a day, in kWh, as it says."""
    availableEnergy: float  # noqa: N815 - the seed's name
    """What it can make on a day, in kWh, as it says."""
    energy_balance_wh: int
    """Energy in Wh: free and held."""
    free_energy_wh: int
    """Energy that it can use now, in Wh."""
    held_energy_wh: int
    """Energy that is promised, in Wh."""
    shortfall_wh: int
    """Energy that later mints serve first, in Wh."""
    currency_balance_stroops: int
    """Tokens in stroops: free and held."""
    free_stroops: int
    """Tokens that it can spend now, in stroops."""
    held_stroops: int
    """Tokens that are promised, in stroops."""
    daily_consumption_wh: int
    """What it uses on a day, in Wh."""
    available_energy_wh: int
    """What it can make on a day, in Wh."""
    book: str
    """The community."""
    address: str
    """Stellar address of its key."""
    is_suspended: bool
    """True: its commands are refused."""
    registered_at: datetime
    """Domain time of the registration."""


class Balance(Shape):
    """What a factory has, now or at a moment."""

    factoryId: str  # noqa: N815 - the seed's name
    """The factory."""
    balance: float
    """Energy in kWh: free and held."""
    currencyBalance: float  # noqa: N815 - the seed's name
    """Tokens: free and held."""
    balance_wh: int
    """Energy in Wh."""
    free_wh: int
    """Of it free, in Wh."""
    held_wh: int
    """Of it promised, in Wh."""
    currency_balance_stroops: int
    """Tokens in stroops: free and held."""
    at: datetime | None
    """The moment that was asked for; null for now."""


class FactoryValue(Shape):
    """A factory's record as a fact left it."""

    id: str
    """The factory."""
    energyBalance: float  # noqa: N815 - the seed's name
    """Energy in kWh: free and held."""
    currencyBalance: float  # noqa: N815 - the seed's name
    """Tokens: free and held."""
    energy_balance_wh: int
    """The same in Wh."""
    currency_balance_stroops: int
    """The same in stroops."""


class HistoryEntry(Shape):
    """One change of a factory's record."""

    txId: str  # noqa: N815 - the seed's name
    """The fact: stream and position."""
    value: FactoryValue
    """The record afterwards."""
    timestamp: datetime
    """Domain time of the fact."""
    isDelete: bool = False  # noqa: N815 - the seed's name
    """Never: nothing is deleted here."""
    fact: str = Field(examples=["TradeExecuted"])
    """What happened."""
    fact_id: str
    """Id of the fact."""
    energy_change_wh: int
    """By how much the energy changed, in Wh."""
    currency_change_stroops: int
    """By how much the tokens changed, in stroops."""


class Trade(Shape):
    """A trade of two members, or a match of the market."""

    tradeId: str = Field(examples=["TRADE001"])  # noqa: N815 - the seed's name
    """The trade."""
    sellerId: str  # noqa: N815 - the seed's name
    """Who sells."""
    buyerId: str  # noqa: N815 - the seed's name
    """Who buys."""
    amount: float
    """Energy in kWh."""
    pricePerUnit: float  # noqa: N815 - the seed's name
    """Price of a kWh."""
    totalPrice: float  # noqa: N815 - the seed's name
    """What it costs."""
    timestamp: datetime
    """Domain time at which it was made."""
    status: Literal["pending", "completed", "cancelled", "expired"]
    """How it stands."""
    energy_wh: int
    """Energy in Wh."""
    price_stroops_per_kwh: int
    """Price in stroops per kWh."""
    total_stroops: int
    """What it costs, in stroops."""
    asset: str
    """What it is paid in."""
    expires_at: datetime | None
    """From then on it cannot be executed; null for the market."""
    ended_at: datetime | None
    """Domain time at which it ended; null while it is pending."""
    reason: str | None
    """Who gave it up; null unless it was cancelled."""
    slot_at: datetime | None
    """The market's slot; null for a trade of two members."""
    metadata: dict[str, str] | None
    """What the seller wanted to find again."""
    book: str
    """The community."""


class Moved(Shape):
    """Energy that was made, changed hands or was used up."""

    factoryId: str  # noqa: N815 - the seed's name
    """Whose energy it is or was."""
    toFactoryId: str | None = None  # noqa: N815 - the seed's name
    """Who received it; null unless it was given away."""
    amount: float
    """Energy in kWh."""
    energy_wh: int
    """The same in Wh."""
    balance: float
    """What the first factory had afterwards, free and held, in kWh."""
    balance_wh: int
    """The same in Wh."""
    position: str = Field(examples=["LEDGER_pilot:7:" + "0" * 32])
    """The fact, as a position."""


class Order(Shape):
    """An order of the market."""

    orderId: str  # noqa: N815 - as in its command
    """The order."""
    member: str
    """Who ordered."""
    side: Literal["bid", "offer"]
    """Buys or sells."""
    slot_at: datetime
    """Start of the slot."""
    amount: float
    """Energy in kWh."""
    energy_wh: int
    """The same in Wh."""
    pricePerUnit: float  # noqa: N815 - as in its command
    """Limit: the highest price of a kWh for a bid, the lowest for an offer."""
    limit_stroops_per_kwh: int
    """The same in stroops per kWh."""
    held_stroops: int
    """Money that a bid held, in stroops."""
    placed_at: datetime
    """Domain time."""
    status: Literal["open", "matched", "ended"]
    """Open until its slot is cleared; ended when something of it was left or taken back."""
    reason: str | None
    """Why it ended: member, cleared, correction."""
    matched_wh: int
    """Energy that the market matched, in Wh."""


class Slot(Shape):
    """A cleared slot of the market."""

    slot_at: datetime
    """Start of the slot."""
    price_stroops_per_kwh: int | None
    """The one price, in stroops per kWh; null when no bid met an offer."""
    pricePerUnit: float | None  # noqa: N815 - as in the commands
    """The same in units of money."""
    energy_wh: int
    """Energy that changed hands, in Wh."""
    orders: int
    """Number of orders."""
    matches: int
    """Number of trades."""
    cleared_at: datetime
    """Domain time."""


class AccountBalance(Shape):
    """What stands on one account of one asset."""

    account: str = Field(examples=["wallet:ann"])
    """The account."""
    asset: str = Field(examples=["U:USD"])
    """The asset: `U:` money, `T:` title, `C:` claims, `W` energy."""
    balance: int
    """Stroops, shares or Wh, on the account's normal side."""


class StatementLine(Shape):
    """One entry of an account."""

    stream: str
    """Stream of the fact."""
    sequence: int
    """Its position there."""
    part: int
    """Number of the entry among those of the fact."""
    fact: str
    """What happened."""
    fact_id: str
    """Id of the fact."""
    at: datetime
    """Domain time."""
    held_for: str | None
    """Of a hold: what it is held for, such as `trade.TRADE001`; null on other accounts."""
    change: int
    """Stroops, shares or Wh, on the account's normal side."""
    balance: int
    """What stood on the account afterwards, in the same unit."""


class Statement(Shape):
    """An account's entries within a time, with what stood before and after."""

    success: Literal[True] = True
    """True: anything else is a problem document."""
    account: str
    """The account."""
    asset: str
    """The asset."""
    opening_balance: int
    """What stood there before the first line of this page, in stroops, shares or Wh."""
    count: int
    """Number of lines on this page."""
    data: list[StatementLine]
    """Entries, oldest first."""
    closing_balance: int
    """What stood there after the last line of this page, not of the whole time; same unit."""
    next_cursor: str | None = None
    """Give it as `cursor` for the next page; null on the last one."""


class TransferLeg(Shape):
    """One part of a transfer: money or energy to one member."""

    to_member: str
    """Who receives it."""
    asset: str | None = None
    """What money; null for energy."""
    amount_stroops: int | None = None
    """How much money, in stroops; null for energy."""
    energy_wh: int | None = None
    """How much energy, in Wh; null for money."""


class TransferStep(Shape):
    """One step of a transfer."""

    step: Literal["reserved", "posted", "voided", "reversed"]
    """What happened."""
    from_member: str
    """Who gives."""
    legs: list[TransferLeg]
    """Who receives what."""
    returned_stroops: int | None
    """Money that was reserved and went back, in stroops; null unless it was posted."""
    returned_wh: int | None
    """Energy that was reserved and went back, in Wh; null unless it was posted."""
    to_book: str | None
    """The book to which it goes."""
    from_book: str | None
    """The book from which it comes."""
    expires_at: datetime | None
    """Until when it can be posted."""
    reason: str | None
    """Why it was voided or reversed."""
    metadata: dict[str, str] | None
    """What the sender wanted to find again."""
    at: datetime
    """Domain time."""
    sequence: int
    """Position of the fact."""
