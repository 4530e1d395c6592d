"""Agreements as billing opened them, beside what the book says of their holdings. Pure.

Only billing's facts fold here: our own stand in `systems.py` and in the balances, so the order in
which the two streams arrive cannot matter.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened
from libs.rules.dumps import Dumped, Loaded
from libs.rules.postings import Books
from services.ledger.system_state import Status
from services.ledger.systems import Systems


class Agreements:
    """Every agreement of a book."""

    facts: Final = frozenset[type[Fact]]({AgreementOpened})
    """What `evolve` takes note of."""

    def __init__(self, books: Books, systems: Systems) -> None:
        """Begin with none.

        Args:
            books: The balances.
            systems: The holdings.
        """
        self._books, self._systems = books, systems
        self._opened: dict[str, AgreementOpened] = {}
        self._of_holding: dict[str, str] = {}
        self._of_system: dict[str, list[str]] = defaultdict(list)

    def evolve(self, recorded: Recorded[Fact], *, own: bool) -> None:
        """Fold `AgreementOpened` of billing."""
        if isinstance(recorded.fact, AgreementOpened) and not own:
            self._open(recorded.fact)

    def _open(self, fact: AgreementOpened) -> None:
        self._opened[fact.agreement] = fact
        self._of_holding[fact.holding] = fact.agreement
        self._of_system[fact.system].append(fact.agreement)

    def due(self) -> Sequence[Draft]:
        """Nothing follows from an agreement alone."""
        return ()

    def get(self, agreement: str) -> AgreementOpened | None:
        """An agreement, when it and its holding were read."""
        opened = self._opened.get(agreement)
        return opened if opened is not None and opened.holding in self._systems.holdings else None

    def of_holding(self, holding: str) -> AgreementOpened | None:
        """The agreement of a holding, when it has one that was read."""
        name = self._of_holding.get(holding)
        return None if name is None else self._opened[name]

    def of_system(self, system: str) -> Sequence[str]:
        """The agreements of a system, by name."""
        return sorted(self._of_system.get(system, ()))

    def holder(self, agreement: AgreementOpened) -> str:
        """The member who holds its holding today, or held it last."""
        holding = self._systems.holdings.get(agreement.holding)
        return agreement.recipient if holding is None else holding.recipient

    def units(self, agreement: AgreementOpened) -> int:
        """Units of its holding."""
        return self._systems.holdings[agreement.holding].units

    def own_shares(self, agreement: AgreementOpened) -> int:
        """The recipient's own title in its holding, which was repaid."""
        return self._books.balance(f"T:{agreement.system}", f"own:{agreement.agreement}")

    def principal(self, agreement: AgreementOpened) -> int:
        """Open principal in stroops: units less own title; 0 once it is owned or reclaimed."""
        if self.status(agreement) != "HELD":
            return 0
        return self.units(agreement) - self.own_shares(agreement)

    def status(self, agreement: AgreementOpened) -> Status:
        """How its holding stands."""
        holding = self._systems.holdings.get(agreement.holding)
        return "HELD" if holding is None else holding.status

    def is_owned(self, agreement: AgreementOpened) -> bool:
        """Tell whether its holding is owned: only shared, running and tax lines are billed."""
        return self.status(agreement) == "OWNED"

    def is_ended(self, agreement: AgreementOpened) -> bool:
        """Tell whether its holding was reclaimed: nobody pays it any more."""
        return self.status(agreement) == "RECLAIMED"

    def dump(self) -> Dumped:
        """Give the agreements for a snapshot."""
        opened = tuple(self._opened.values())
        return {"opened": (each.model_dump_json() for each in opened)}

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        for text in dumped["opened"]:
            self._open(AgreementOpened.model_validate_json(text))
