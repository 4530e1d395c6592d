"""What the lists of the energy network can be asked for: one model of query parameters per list.

A parameter that a list does not know is refused, so that a misspelt filter never passes for a list
without filter.
"""

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
)

from libs.events.decimals import KwhText, MoneyText
from libs.events.ids import Id
from libs.events.membership import EnergyType
from services.gateway.paging import CURSOR_MAX, LIMIT, LIMIT_MAX


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("an instant lies in the years 1 to 9999, in UTC") from error


Instant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""An instant of any zone, turned to UTC."""

NameText = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{1,100}$")]
"""A part of a name, without control characters, which Postgres could not take."""

FactorySort = Literal[
    "id",
    "-id",
    "energyBalance",
    "-energyBalance",
    "currencyBalance",
    "-currencyBalance",
    "dailyConsumption",
    "-dailyConsumption",
    "availableEnergy",
    "-availableEnergy",
]
"""Order of factories; `-` from the highest down."""

TradeSort = Literal[
    "timestamp",
    "-timestamp",
    "amount",
    "-amount",
    "pricePerUnit",
    "-pricePerUnit",
    "totalPrice",
    "-totalPrice",
]
"""Order of trades; `-` from the highest down."""

TradeStatus = Literal["pending", "completed", "cancelled", "expired"]
"""How a trade stands."""


class InBook(BaseModel):
    """A question about one community."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    book: Id | None = None
    """The community; that of the gateway if left out."""


class InBookAt(InBook):
    """A question about one community at a moment."""

    at: Instant | None = None
    """As it stood once all up to then had happened; as it stands now if left out."""


class Listing(InBook):
    """A question for one page of a list of a community."""

    limit: Annotated[int, Field(ge=1, le=LIMIT_MAX)] = LIMIT
    """Most items on the page."""
    cursor: Annotated[str | None, Field(max_length=CURSOR_MAX)] = None
    """`next_cursor` of the page before; opaque, and only for the same order and filters."""


class FactoryFilter(Listing):
    """Which factories, in which order."""

    energy_type: EnergyType | None = Field(None, alias="energyType")
    """Only of this type."""
    name: NameText | None = None
    """Only whose name holds this text, in any case."""
    min_energy_wh: KwhText | None = Field(None, alias="minEnergy")
    """Only with at least so much energy, in kWh."""
    max_energy_wh: KwhText | None = Field(None, alias="maxEnergy")
    """Only with at most so much energy, in kWh."""
    min_stroops: MoneyText | None = Field(None, alias="minCurrency")
    """Only with at least so many tokens."""
    max_stroops: MoneyText | None = Field(None, alias="maxCurrency")
    """Only with at most so many tokens."""
    is_suspended: bool | None = Field(None, alias="suspended")
    """Only those that are suspended, or only those that are not."""
    sort: FactorySort = "id"
    """Order; `-` from the highest down."""


class Within(Listing):
    """A question for what happened within a time."""

    from_at: Instant | None = Field(None, alias="from")
    """Only from then on."""
    until: Instant | None = None
    """Only before then."""


class TradeFilter(Within):
    """Which trades, in which order; the time is that at which they were made."""

    status: TradeStatus | None = None
    """Only that stand so."""
    seller: Id | None = None
    """Only of this seller."""
    buyer: Id | None = None
    """Only of this buyer."""
    member: Id | None = None
    """Only with this member on either side."""
    min_energy_wh: KwhText | None = Field(None, alias="minAmount")
    """Only of at least so much energy, in kWh."""
    max_energy_wh: KwhText | None = Field(None, alias="maxAmount")
    """Only of at most so much energy, in kWh."""
    min_price_stroops_per_kwh: MoneyText | None = Field(None, alias="minPrice")
    """Only at this price of a kWh or above."""
    max_price_stroops_per_kwh: MoneyText | None = Field(None, alias="maxPrice")
    """Only at this price of a kWh or below."""
    is_market: bool | None = Field(None, alias="market")
    """Only matches of the market, or only trades of two members."""
    sort: TradeSort = "-timestamp"
    """Order; `-` from the highest down. `timestamp` is the order in which they were made."""


class OrderFilter(Listing):
    """Which orders."""

    slot_at: Instant | None = Field(None, alias="slot")
    """Only of the slot that begins then."""
    member: Id | None = None
    """Only of this member."""


class SlotFilter(Within):
    """Which slots; the time is that at which they begin."""


class StatementFilter(Within):
    """Which entries of an account."""

    asset: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:_-]{1,80}$")] = Field(
        examples=["U:TOKEN"]
    )
    """The asset: `U:` money, `T:` title, `C:` claims, `W` energy in Wh."""
