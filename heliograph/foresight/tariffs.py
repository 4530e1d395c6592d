"""A tariff that nobody published, put beside those that stand in PRICES. Pure."""

from datetime import datetime
from typing import Final

from heliograph.foresight.history import Known
from libs.events.billing_commands import PublishTariff
from libs.events.envelope import Draft, record
from libs.events.invoicing import AgreementOpened
from libs.events.pricing import TariffPublished
from libs.events.quantities import INTEGER_MAX, as_date
from libs.events.subjects import PRICES
from libs.rules.periods import local_midnight
from libs.runtime.failures import NotFound
from services.oracle.tariffs import prices_of

NAME: Final = "supposed"
"""How a supposed tariff is called, unless somebody published one of this name."""


def suppose(known: Known, opened: AgreementOpened, body: PublishTariff) -> str:
    """Let a tariff hold from the agreement's first day on, whatever the body says of its time.

    Args:
        known: What is known; the tariff is added to it.
        opened: The agreement.
        body: The tariff, as one would publish it.

    Returns:
        The name by which it is asked for.

    Raises:
        NotFound: Code `unknown-feed`.
    """
    prices, name = known.inputs.prices, NAME
    if body.market is not None and body.market.feed not in prices.feeds:
        raise NotFound("unknown-feed", f"no feed {body.market.feed}")
    while prices.versions(name):
        name += "-2"
    first: datetime = local_midnight(as_date(opened.first_day), opened.time_zone)
    fact = TariffPublished(
        tariff=name,
        version=1,
        asset=body.asset,
        prices=prices_of(body),
        effective_from=first,
        command="supposed",
    )
    prices.evolve(
        record(
            Draft(name, fact, name, first),
            deployment=NAME,
            stream=PRICES.stream(""),
            sequence=INTEGER_MAX,  # behind everything that stands there
            n=1,
            cause=f"- {name}",
            seen="",
        )
    )
    return name
