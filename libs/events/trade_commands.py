"""Commands of the energy network.

What the third seed names (register, mint, transfer, create, execute) has the seed's own field names
and decimal text, so that one signed command is the same for REST and NATS; inside they are Wh and
stroops. Zero is read here and refused by the rules, with a code.
"""

from pydantic import Field

from libs.events.command import Body, command
from libs.events.decimals import KwhText, MoneyText
from libs.events.ids import Address, Id
from libs.events.membership import BusinessName, EnergyType
from libs.events.pricing import Asset
from libs.events.quantities import Instant, PositiveStroops, PositiveWh
from libs.events.trading import TOKEN, Legs, Metadata, MetadataText, OrderSide


@command("RegisterFactory", "ledger")
class RegisterFactory(Body):
    """An approver lets a factory in and states its opening balances."""

    factory_id: Id = Field(alias="factoryId")
    """The new member."""
    address: Address
    """The factory's Stellar address: the key that signs for it."""
    name: BusinessName
    """Its public name."""
    energy_type: EnergyType = Field(alias="energyType")
    """How it makes energy."""
    book: Id
    """The community in which it trades; the opening balances stand there."""
    initial_balance_wh: KwhText = Field(alias="initialBalance")
    """Energy that it begins with, in kWh; at most 3 places."""
    # The default is the integer inside, which as JSON would be refused; so it is not validated.
    currency_balance_stroops: MoneyText = Field(
        default=0, alias="currencyBalance", validate_default=False
    )
    """Tokens that it begins with; at most 7 places."""
    daily_consumption_wh: KwhText = Field(
        default=0, alias="dailyConsumption", validate_default=False
    )
    """What it uses on a day, in kWh."""
    available_energy_wh: KwhText | None = Field(default=None, alias="availableEnergy")
    """What it can make on a day, in kWh; the initial balance unless stated."""


@command("MintEnergy", "ledger", batch=True)
class MintEnergy(Body):
    """An approver makes tokens for energy that no meter reports."""

    factory_id: Id = Field(alias="factoryId")
    """Who receives the tokens."""
    energy_wh: KwhText = Field(alias="amount")
    """Energy in kWh, above zero."""


@command("TransferEnergy", "ledger", batch=True)
class TransferEnergy(Body):
    """A member gives energy to another; signed by the giver."""

    from_member: Id = Field(alias="fromFactoryId")
    """Who gives."""
    to_member: Id = Field(alias="toFactoryId")
    """Who receives."""
    energy_wh: KwhText = Field(alias="amount")
    """Energy in kWh, above zero."""
    metadata: Metadata | None = None
    """What the sender wants to find again."""


@command("RetireEnergy", "ledger", batch=True)
class RetireEnergy(Body):
    """A member uses tokens up; signed by the member."""

    factory_id: Id = Field(alias="factoryId")
    """Whose tokens."""
    energy_wh: KwhText = Field(alias="amount")
    """Energy in kWh, above zero."""


@command("CreateTrade", "ledger", batch=True)
class CreateTrade(Body):
    """A seller offers energy to one buyer; signed by the seller."""

    trade_id: Id = Field(alias="tradeId")
    """A new id."""
    seller_id: Id = Field(alias="sellerId")
    """Who sells."""
    buyer_id: Id = Field(alias="buyerId")
    """Who may execute it."""
    energy_wh: KwhText = Field(alias="amount")
    """Energy in kWh, above zero."""
    price_stroops_per_kwh: MoneyText = Field(alias="pricePerUnit")
    """Price of a kWh, above zero."""
    asset: Asset = TOKEN
    """What it is paid in."""
    expires_at: Instant | None = Field(default=None, alias="expiresAt")
    """From when on it cannot be executed; 24 hours from now unless stated."""
    metadata: Metadata | None = None
    """What the seller wants to find again."""


@command("ExecuteTrade", "ledger", batch=True)
class ExecuteTrade(Body):
    """The buyer pays and receives; signed by the buyer."""

    trade_id: Id = Field(alias="tradeId")
    """The trade."""


@command("CancelTrade", "ledger", batch=True)
class CancelTrade(Body):
    """The seller or the buyer gives a trade up."""

    trade_id: Id = Field(alias="tradeId")
    """The trade."""


@command("PlaceOrder", "ledger", batch=True)
class PlaceOrder(Body):
    """A member bids for, or offers, energy of one slot."""

    order_id: Id = Field(alias="orderId")
    """A new id."""
    side: OrderSide
    """`bid` buys, `offer` sells."""
    slot: Instant
    """Start of the slot of 15 minutes."""
    energy_wh: KwhText = Field(alias="amount")
    """Energy in kWh, above zero."""
    limit_stroops_per_kwh: MoneyText = Field(alias="pricePerUnit")
    """Highest price of a bid, lowest of an offer."""


@command("WithdrawOrder", "ledger", batch=True)
class WithdrawOrder(Body):
    """A member takes an order back before its slot is cleared."""

    order_id: Id = Field(alias="orderId")
    """The order."""


@command("TransferFunds", "ledger", batch=True)
class TransferFunds(Body):
    """The signer gives money or energy to one or more members, all or nothing, at once."""

    transfer: Id
    """A new id."""
    legs: Legs
    """Who receives what."""
    metadata: Metadata | None = None
    """What the sender wants to find again."""


@command("ReserveTransfer", "ledger", batch=True)
class ReserveTransfer(Body):
    """The signer holds what he will give; a receiver posts or voids it before it expires.

    To another book it carries money on one leg, and that book posts it by itself.
    """

    transfer: Id
    """A new id."""
    legs: Legs
    """Who may receive what."""
    to_book: Id | None = None
    """The receiver's book; absent for this one."""
    expires_at: Instant
    """From when on it can only be voided, at most a year ahead."""
    metadata: Metadata | None = None
    """What the sender wants to find again."""


@command("PostTransfer", "ledger", batch=True)
class PostTransfer(Body):
    """A receiver takes what is held; of a transfer of one leg also a part, the rest goes back."""

    transfer: Id
    """The transfer."""
    amount_stroops: PositiveStroops | None = None
    """How much of the money of its one leg, in stroops; all unless stated."""
    energy_wh: PositiveWh | None = None
    """How much of the energy of its one leg, in Wh; all unless stated."""


@command("VoidTransfer", "ledger", batch=True)
class VoidTransfer(Body):
    """A receiver gives up what is held for him."""

    transfer: Id
    """The transfer."""


@command("ReverseTransfer", "ledger")
class ReverseTransfer(Body):
    """An approver undoes a transfer by a compensating entry, within 7 days."""

    transfer: Id
    """The transfer that took effect."""
    reason: MetadataText
    """Why."""
