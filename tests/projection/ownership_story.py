"""The rest of the story: one of each fact of pay to own, as the golden examples tell them."""

from collections.abc import Iterator

from tests.projection.world import World
from tools.billing_examples import billing_examples
from tools.dunning_examples import dunning_examples
from tools.example_parts import Example
from tools.ownership_examples import ownership_examples
from tools.price_examples import price_examples
from tools.repayment_examples import repayment_examples


def _examples() -> Iterator[Example]:
    yield from price_examples()
    yield from ownership_examples()
    yield from billing_examples()
    yield from repayment_examples()
    yield from dunning_examples()


async def tell_pay_to_own(world: World) -> None:
    """One of each fact about prices, systems, holdings, bills, repayment, lateness and supply."""
    streams = {"LEDGER": "LEDGER_pilot", "BILLING": "BILLING_pilot", "PRICES": "PRICES"}
    for example in _examples():
        stream = streams[example.stream.partition("_")[0]]
        await world.append(stream, (example.key, example.fact))
