"""Facts of the oracle about prices."""

from typing import Annotated

from pydantic import StringConstraints

from libs.events.fact import Fact, fact
from libs.events.ids import Id
from libs.events.metering import SignedText
from libs.events.quantities import Instant, Ordinal, PriceStroopsPerKwh
from libs.events.subjects import PRICES

Asset = Annotated[
    str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9]{1,12}(?::G[A-Z2-7]{55})?$")
]
"""Code of an asset, and `:` and its issuer when it lives on Stellar; book money has a code only."""


@fact("TariffPublished", 1, PRICES)
class TariffPublished(Fact):
    """A version of a tariff holds from `effective_from` on."""

    tariff: Id
    """The tariff."""
    version: Ordinal
    """Its version, from 1, without gaps."""
    asset: Asset
    """What the price is in."""
    price_stroops_per_kwh: PriceStroopsPerKwh
    """Price of energy, in stroops per kWh."""
    effective_from: Instant
    """First instant at which it holds; never before the time at which it was published."""
    command: SignedText
    """The approver's signed command."""
