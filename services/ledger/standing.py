"""Standing orders: who lets every invoice be paid from his wallet, and up to which limit. Pure."""

from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened
from libs.events.repaying import StandingOrderSet
from libs.events.systems import HoldingTransferred
from libs.rules.dumps import Dumped, Loaded
from services.ledger.agreements import Agreements


class StandingOrders:
    """The standing orders of a book, by agreement."""

    def __init__(self, agreements: Agreements) -> None:
        """Begin with none.

        Args:
            agreements: Who holds what; an order ends with the hold of whoever signed it.
        """
        self._agreements = agreements
        self._orders: dict[str, tuple[str, int]] = {}

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold orders, and what ends them for good: a holding that moves, and may come back."""
        fact = recorded.fact
        if isinstance(fact, HoldingTransferred) and fact.agreement is not None:
            self._orders.pop(fact.agreement, None)
        if isinstance(fact, StandingOrderSet):
            self._orders.pop(fact.agreement, None)
            if fact.limit_stroops:
                self._orders[fact.agreement] = fact.member, fact.limit_stroops

    def of(self, opened: AgreementOpened) -> tuple[str, int] | None:
        """Who pays every invoice of an agreement, and how much of each at most; in stroops."""
        order = self._orders.get(opened.agreement)
        if order is None or order[0] != self._agreements.holder(opened):
            return None
        return order

    def dump(self) -> Dumped:
        """Give all orders for a snapshot."""
        return {"orders": [[name, *order] for name, order in self._orders.items()]}

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self._orders.update({name: (member, limit) for name, member, limit in dumped["orders"]})
