"""Facts of the energy network: kWh tokens, trades, the market, and transfers of any kind.

The key of each is the member whose energy or money it is, `market` for a cleared slot, and
`book-<other book>` for a transfer between books; never the id of a trade, because a stream with a
subject per trade would become slow (decision 0003).

A fact that follows from a signed batch has no `command` of its own: the text stands in the first
fact of the append, which `cause` names.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, FailFast, Field, StringConstraints, Tag

from libs.events.fact import Fact, Strict, fact
from libs.events.ids import Id, Reference
from libs.events.metering import INTERVALS_MAX, IntervalS, SignedBatchText
from libs.events.pricing import Asset
from libs.events.quantities import (
    AmountStroops,
    Count,
    EnergyWh,
    Instant,
    PositiveStroops,
    PositiveWh,
    PriceStroopsPerKwh,
)
from libs.events.subjects import LEDGER, TIME_KEY

TOKEN = "TOKEN"  # noqa: S105 - the name of a currency
"""The token currency of the energy network: book money that starts equal to the kWh."""

MARKET_KEY = "market"
"""Key of what belongs to the market as a whole."""

METERS_MAX = 16
"""Most generation meters of one system whose energy is minted."""

LEGS_MAX = 20
"""Most legs of one transfer."""

METADATA_MAX = 10
"""Most entries of metadata."""

MATCHES_MAX = 1_000
"""Most matches of one slot."""

MetadataText = Annotated[
    str, StringConstraints(strict=True, min_length=1, max_length=64, pattern=r"^[\x20-\x7e]+$")
]
"""A short text of printable ASCII; never personal data, since facts are kept for ever."""

Metadata = Annotated[dict[Id, MetadataText], Field(max_length=METADATA_MAX)]
"""What the sender wants to find again, such as an order number; no rule looks at it."""

OrderSide = Literal["bid", "offer"]
"""A bid buys energy, an offer sells it."""


def book_key(book: str) -> str:
    """The key of transfers to and from another book: its reader filters by it."""
    return f"book-{book}"


def is_reserved_key(name: str) -> bool:
    """Tell whether a name is a key of its own in the streams of the books, so no name of others."""
    return name in {TIME_KEY, MARKET_KEY} or name.startswith(book_key(""))


class MeterEnergy(Strict):
    """Energy that one meter accounts for."""

    meter: Id
    """The generation meter."""
    energy_wh: PositiveWh
    """Its part, in Wh."""


class IntervalEnergy(Strict):
    """Energy of one rating interval."""

    from_at: Instant
    """Start of the interval."""
    energy_wh: PositiveWh
    """Energy in Wh."""


class MoneyLeg(Strict):
    """One part of a transfer: money to one member."""

    to_member: Id
    """Who receives it."""
    asset: Asset
    """What money."""
    amount_stroops: PositiveStroops
    """How much, in stroops."""


class EnergyLeg(Strict):
    """One part of a transfer: energy to one member."""

    to_member: Id
    """Who receives it."""
    energy_wh: PositiveWh
    """How much, in Wh."""


def _kind_of_leg(value: object) -> str:
    """Tell the two kinds apart by the member that only one has, so that errors name its rules."""
    is_energy = isinstance(value, EnergyLeg) or (isinstance(value, dict) and "energy_wh" in value)
    return "EnergyLeg" if is_energy else "MoneyLeg"


Leg = Annotated[
    Annotated[MoneyLeg, Tag("MoneyLeg")] | Annotated[EnergyLeg, Tag("EnergyLeg")],
    Discriminator(_kind_of_leg),
]
"""One part of a transfer: money or energy."""

Legs = Annotated[tuple[Leg, ...], Field(min_length=1, max_length=LEGS_MAX), FailFast()]
"""All legs of a transfer; they move together or not at all."""


@fact("EnergyMinted", 1, LEDGER)
class EnergyMinted(Fact):
    """Energy became kWh tokens: metered surplus by itself, anything else by an approver's act."""

    mint: Reference
    """The mint: `<member>.<command id>`, or holding and first interval."""
    member: Id
    """Who receives the tokens."""
    reason: Literal["surplus", "approver", "opening"]
    """Metered surplus, an approver's explicit act, or the opening balance of a registration."""
    energy_wh: PositiveWh
    """Energy in Wh."""
    served_wh: EnergyWh
    """The part of it that served the member's shortfall, in Wh; the rest is free."""
    system: Id | None = None
    """The system; only for surplus."""
    holding: Id | None = None
    """The holding; only for surplus."""
    interval_s: IntervalS | None = None
    """Length of the rating intervals, in seconds; only for surplus."""
    intervals: Annotated[tuple[IntervalEnergy, ...], Field(max_length=INTERVALS_MAX)]
    """What each interval gave; the tokens carry it as their slot. They sum to `energy_wh`."""
    meters: Annotated[tuple[MeterEnergy, ...], Field(max_length=METERS_MAX)]
    """The generation meters that account for it. They sum to `energy_wh`."""
    command: SignedBatchText | None = None
    """The approver's signed command."""


@fact("EnergyShortfallBooked", 1, LEDGER)
class EnergyShortfallBooked(Fact):
    """A reading was corrected downwards: minted energy is taken back, the rest is owed."""

    member: Id
    """Whose tokens were minted too high."""
    system: Id
    """The system."""
    holding: Id
    """The holding."""
    energy_wh: PositiveWh
    """Energy that was minted too much, in Wh."""
    taken_wh: EnergyWh
    """The part that free tokens covered, in Wh."""
    interval_s: IntervalS
    """Length of the rating intervals, in seconds."""
    intervals: Annotated[tuple[IntervalEnergy, ...], Field(min_length=1, max_length=INTERVALS_MAX)]
    """By how much each interval was too high. They sum to `energy_wh`."""
    meters: Annotated[tuple[MeterEnergy, ...], Field(min_length=1, max_length=METERS_MAX)]
    """The generation meters that accounted for it. They sum to `energy_wh`."""


@fact("EnergyTransferred", 1, LEDGER)
class EnergyTransferred(Fact):
    """A member gave energy to another."""

    transfer: Reference
    """The transfer: `<member>.<command id>`."""
    from_member: Id
    """Who gave."""
    to_member: Id
    """Who received."""
    energy_wh: PositiveWh
    """Energy in Wh."""
    metadata: Metadata | None = None
    """What the sender wants to find again."""
    command: SignedBatchText | None = None
    """The sender's signed command."""


@fact("EnergyRetired", 1, LEDGER)
class EnergyRetired(Fact):
    """Tokens were used up: nobody can trade them again."""

    retirement: Reference
    """The retirement: `<member>.<command id>`."""
    member: Id
    """Whose they were."""
    energy_wh: PositiveWh
    """Energy in Wh."""
    purpose: Literal["use", "grid"]
    """Used by the member, or sold to the grid."""
    command: SignedBatchText | None = None
    """The member's signed command."""


@fact("TradeCreated", 1, LEDGER)
class TradeCreated(Fact):
    """A seller offered energy to one buyer at a price; the energy is held until it ends."""

    trade: Id
    """The trade; its id is never used again in this book."""
    seller: Id
    """Who sells and signed."""
    buyer: Id
    """Who may execute it."""
    asset: Asset
    """What it is paid in."""
    energy_wh: PositiveWh
    """Energy in Wh."""
    price_stroops_per_kwh: PriceStroopsPerKwh
    """Price in stroops per kWh, above zero."""
    total_stroops: PositiveStroops
    """Energy times price, rounded once, in stroops."""
    expires_at: Instant
    """From this instant on it cannot be executed."""
    metadata: Metadata | None = None
    """What the seller wants to find again."""
    command: SignedBatchText | None = None
    """The seller's signed command."""


@fact("TradeExecuted", 1, LEDGER)
class TradeExecuted(Fact):
    """Energy and payment changed hands, in one fact."""

    trade: Reference
    """The trade; `<bid>.<offer>` for a match of the market."""
    seller: Id
    """Who sold."""
    buyer: Id
    """Who bought."""
    asset: Asset
    """What was paid."""
    energy_wh: PositiveWh
    """Energy in Wh."""
    price_stroops_per_kwh: PriceStroopsPerKwh
    """Price in stroops per kWh."""
    total_stroops: PositiveStroops
    """What was paid, in stroops."""
    slot: Instant | None = None
    """The market's slot; absent for a trade that two members agreed."""
    bid: Id | None = None
    """The bid whose money was held; only for the market."""
    offer: Id | None = None
    """The offer whose energy was held; only for the market."""
    command: SignedBatchText | None = None
    """The buyer's signed command; absent for the market."""


@fact("TradeCancelled", 1, LEDGER)
class TradeCancelled(Fact):
    """A trade was given up before it was executed; the energy is free again."""

    trade: Id
    """The trade."""
    seller: Id
    """Whose energy was held."""
    buyer: Id
    """Who was to buy."""
    energy_wh: PositiveWh
    """Energy that is free again, in Wh."""
    reason: Literal["seller", "buyer", "correction"]
    """Who gave it up; `correction` when a reading turned out lower than what was minted."""
    command: SignedBatchText | None = None
    """The signed command; absent for a correction."""


@fact("TradeExpired", 1, LEDGER)
class TradeExpired(Fact):
    """Nobody executed a trade in time; the energy is free again."""

    trade: Id
    """The trade."""
    seller: Id
    """Whose energy was held."""
    buyer: Id
    """Who was to buy."""
    energy_wh: PositiveWh
    """Energy that is free again, in Wh."""


@fact("OrderPlaced", 1, LEDGER)
class OrderPlaced(Fact):
    """A member wants to buy or sell energy of one slot; his money or tokens are held."""

    order: Id
    """The order; its id is never used again in this book."""
    member: Id
    """Who ordered."""
    side: OrderSide
    """Whether he buys or sells."""
    slot: Instant
    """Start of the slot of 15 minutes."""
    asset: Asset
    """What is paid."""
    energy_wh: PositiveWh
    """Energy in Wh."""
    limit_stroops_per_kwh: PriceStroopsPerKwh
    """Highest price of a bid, lowest of an offer, in stroops per kWh."""
    held_stroops: AmountStroops
    """Money that a bid holds, in stroops; 0 for an offer, which holds its energy."""
    command: SignedBatchText | None = None
    """The member's signed command."""


@fact("OrderWithdrawn", 1, LEDGER)
class OrderWithdrawn(Fact):
    """An order ended: what was still held of it is free again."""

    order: Id
    """The order."""
    member: Id
    """Who had ordered."""
    side: OrderSide
    """Whether he bought or sold."""
    slot: Instant
    """The slot."""
    asset: Asset
    """What is paid."""
    energy_wh: EnergyWh
    """Energy that was not matched, in Wh; of an offer it is free again."""
    returned_stroops: AmountStroops
    """Money of a bid that is free again, in stroops."""
    reason: Literal["member", "cleared", "correction"]
    """The member's wish, what the market left over, or a corrected reading."""
    command: SignedBatchText | None = None
    """The member's signed command; absent when the market or a correction ended it."""


class SlotMatch(Strict):
    """A bid and an offer that met."""

    bid: Id
    """The bid."""
    offer: Id
    """The offer."""
    buyer: Id
    """Who buys."""
    seller: Id
    """Who sells."""
    energy_wh: PositiveWh
    """Energy in Wh."""
    total_stroops: PositiveStroops
    """What it costs, in stroops."""


@fact("SlotCleared", 1, LEDGER)
class SlotCleared(Fact):
    """The market of one slot was cleared at one price; each match follows as a trade."""

    slot: Instant
    """Start of the slot of 15 minutes."""
    asset: Asset
    """What is paid."""
    orders: Count
    """Number of orders that took part."""
    price_stroops_per_kwh: PriceStroopsPerKwh | None = None
    """The one price, in stroops per kWh; absent when no bid met an offer."""
    energy_wh: EnergyWh
    """Energy that changes hands, in Wh."""
    matches: Annotated[tuple[SlotMatch, ...], Field(max_length=MATCHES_MAX)]
    """Who meets whom, in the order in which the trades follow."""


@fact("TransferReserved", 1, LEDGER)
class TransferReserved(Fact):
    """First phase: what a member will give is held for those whom he named."""

    transfer: Id
    """The transfer; its id is never used again in this book."""
    from_member: Id
    """Who gives."""
    legs: Legs
    """What is held for whom."""
    to_book: Id | None = None
    """The book in which the receiver is; absent within one book."""
    expires_at: Instant
    """From this instant on it can only be voided."""
    metadata: Metadata | None = None
    """What the sender wants to find again."""
    command: SignedBatchText | None = None
    """The sender's signed command."""


@fact("TransferPosted", 1, LEDGER)
class TransferPosted(Fact):
    """A transfer took effect: at once, or as the second phase of a reservation."""

    transfer: Id
    """The transfer."""
    from_member: Id
    """Who gave."""
    legs: Legs
    """What each receiver got."""
    is_held: bool
    """Whether it was reserved in this book before."""
    returned_stroops: AmountStroops
    """Money of a transfer of one leg that was reserved and not used, in stroops."""
    returned_wh: EnergyWh
    """Energy of a transfer of one leg that was reserved and not used, in Wh."""
    to_book: Id | None = None
    """The book to which it went; its own `TransferPosted` stands there."""
    from_book: Id | None = None
    """The book from which it came."""
    metadata: Metadata | None = None
    """What the sender wants to find again."""
    command: SignedBatchText | None = None
    """The signed command; absent between books, where the reservation leads to it."""


@fact("TransferVoided", 1, LEDGER)
class TransferVoided(Fact):
    """A reserved transfer came to nothing; what was held is free again."""

    transfer: Id
    """The transfer."""
    from_member: Id
    """Who would have given."""
    legs: Legs
    """What was held."""
    reason: Literal["receiver", "expired", "no-room", "suspended"]
    """Given up by a receiver, too late, or more than the receiving book can hold or pay out."""
    to_book: Id | None = None
    """The book to which it would have gone."""
    from_book: Id | None = None
    """The book from which it would have come; nothing was held here."""
    command: SignedBatchText | None = None
    """The receiver's signed command; absent when it expired, or between books."""


@fact("TransferReversed", 1, LEDGER)
class TransferReversed(Fact):
    """A compensating entry: a transfer was undone, and both stand in the books for ever."""

    transfer: Id
    """The transfer that is undone."""
    from_member: Id
    """Who had given, and receives it back."""
    legs: Legs
    """What each receiver gives back."""
    reason: MetadataText
    """Why, in the approver's words."""
    command: SignedBatchText | None = None
    """The approver's signed command."""
