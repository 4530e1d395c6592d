"""Facts of supply: what becomes of energy and cover when somebody is late, and when he is cured."""

from typing import Annotated, Literal

from pydantic import Field

from libs.events.books import INVESTORS_MAX, MoneyMove, TitleMove
from libs.events.fact import Fact, fact
from libs.events.ids import Id, Reference
from libs.events.metering import INTERVALS_MAX, IntervalS, SignedText
from libs.events.positions import PositionText
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
from libs.events.subjects import LEDGER

PaygoKind = Literal["add-time", "disable"]
"""`add-time` adds days; `disable` ends pay-as-you-go for good, once the holding is owned."""

PAYGO_DAYS_MAX = 995
"""Most days that one OpenPAYGO token of nine digits can add."""


@fact("SupplyDiverted", 1, LEDGER)
class SupplyDiverted(Fact):
    """Grace is over: the holding is billed nothing, and its whole part is sold to the grid."""

    holding: Id
    """The holding."""
    agreement: Id
    """Its agreement."""
    invoice: Reference
    """The overdue invoice."""


@fact("SupplyDisconnected", 1, LEDGER)
class SupplyDisconnected(Fact):
    """The load relay of a holding opens; generation is still sold."""

    holding: Id
    """The holding."""
    agreement: Id
    """Its agreement."""
    invoice: Reference
    """The overdue invoice."""


@fact("SupplyRestored", 1, LEDGER)
class SupplyRestored(Fact):
    """Nothing is overdue any more: the holding is supplied and billed as before."""

    holding: Id
    """The holding."""
    agreement: Id
    """Its agreement."""


@fact("FirstLossCovered", 1, LEDGER)
class FirstLossCovered(Fact):
    """A guarantor stepped in: he paid return and principal, and takes over claims and title."""

    holding: Id
    """The holding that is in default."""
    agreement: Id
    """Its agreement; what its recipient owes is unchanged."""
    system: Id
    """Its system."""
    asset: Asset
    """Its asset."""
    guarantor: Id
    """Who stepped in."""
    amount_stroops: PositiveStroops
    """What his cover paid: the overdue energy, as far as the cover reaches."""
    returns: Annotated[tuple[MoneyMove, ...], Field(max_length=INVESTORS_MAX)]
    """Accrued return that he paid to each investor and may now claim himself."""
    principal: Annotated[tuple[TitleMove, ...], Field(max_length=INVESTORS_MAX)]
    """Principal that he paid to each investor; as many shares of title are his."""
    cover_left_stroops: AmountStroops
    """What is left of his cover."""


@fact("GridEnergySold", 1, LEDGER)
class GridEnergySold(Fact):
    """Energy of a diverted holding went to the grid; the offtaker owes its price."""

    holding: Id
    """The holding."""
    agreement: Id
    """The agreement to whose credit the proceeds will belong."""
    system: Id
    """Its system."""
    member: Id
    """Whose tokens are retired."""
    offtaker: Id
    """Who owes the price."""
    asset: Asset
    """What it is owed in."""
    first_interval_at: Instant
    """Start of the first rating interval."""
    interval_s: IntervalS
    """Length of a rating interval in seconds."""
    energies_wh: Annotated[tuple[EnergyWh, ...], Field(min_length=1, max_length=INTERVALS_MAX)]
    """Energy sold in each interval, in Wh: at most what the grid meter exported."""
    energy_wh: PositiveWh
    """Their sum, in Wh."""
    tariff: Id
    """The tariff whose feed-in price holds."""
    price_position: PositionText
    """Where that price stands."""
    price_stroops_per_kwh: PriceStroopsPerKwh
    """Feed-in price in stroops per kWh; a price below zero counts as zero."""
    amount_stroops: AmountStroops
    """Energy x price, rounded once, half to even."""


@fact("GridProceedsReceived", 1, LEDGER)
class GridProceedsReceived(Fact):
    """An offtaker paid for grid energy: the agreement's credit receives it."""

    agreement: Id
    """The agreement."""
    offtaker: Id
    """Who paid from his wallet."""
    asset: Asset
    """What was paid."""
    amount_stroops: PositiveStroops
    """Amount in stroops, at most what he owed."""
    command: SignedText
    """The offtaker's signed command."""


@fact("PaygoDeviceAssigned", 1, LEDGER)
class PaygoDeviceAssigned(Fact):
    """A pay-as-you-go device at an offline site serves one holding."""

    device: Id
    """The device: its serial number, used once in a book."""
    holding: Id
    """The holding that it supplies."""
    first_count: Count
    """The device's token counter now."""
    command: SignedText
    """The approver's signed command."""


@fact("SupplyTokenIssued", 1, LEDGER)
class SupplyTokenIssued(Fact):
    """A token number was spent for a device: whoever has its key makes the one token of it.

    The digits follow from the key, the count and the value; the key is no fact.
    """

    device: Id
    """The device; no other takes it."""
    holding: Id
    """The holding."""
    agreement: Id
    """The agreement that was paid."""
    kind: PaygoKind
    """What the token does."""
    days: Annotated[int, Field(strict=True, ge=0, le=PAYGO_DAYS_MAX)]
    """Days that it adds; 0 for `disable`."""
    count: Count
    """The device's counter for this token, after OpenPAYGO: even for `add-time`, odd for others;
    above every count before."""
    invoice: Reference | None = None
    """The paid invoice for which it was issued; absent for `disable`."""
