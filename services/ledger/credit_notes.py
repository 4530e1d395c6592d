"""Credit notes that billing issued and the ledger did not settle yet. Pure.

A note over readings or prices is settled once the invoice was read that stands right behind it, in
the same append: otherwise it would depend on how facts come in batches what its money clears.
"""

from collections import Counter
from heapq import heappop, heappush

from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued, InvoiceIssued
from libs.events.repaying import CreditNoteSettled
from libs.rules.dumps import Dumped, Loaded


class CreditNotes:
    """What is to be settled, by number of the document."""

    def __init__(self) -> None:
        """Begin with none."""
        self._open: dict[str, CreditNoteIssued] = {}
        self._numbers: list[tuple[int, str]] = []
        self._of_agreement: Counter[str] = Counter()
        self._settled: set[str] = set()
        self._of_invoice: Counter[str] = Counter()
        self._replaced: set[str] = set()

    def evolve(self, fact: Fact) -> None:
        """Fold issue and settlement, whichever is read first; the other then forgets both."""
        if isinstance(fact, CreditNoteIssued):
            if fact.credit_note in self._settled:
                self._settled.discard(fact.credit_note)
                return
            self._open[fact.credit_note] = fact
            heappush(self._numbers, (fact.number, fact.credit_note))
            self._of_agreement[fact.agreement] += 1
            self._of_invoice[fact.invoice] += 1
        elif isinstance(fact, InvoiceIssued):
            if fact.replaces is not None and fact.replaces in self._of_invoice:
                self._replaced.add(fact.replaces)
        elif isinstance(fact, CreditNoteSettled):
            if self._open.pop(fact.credit_note, None) is None:
                self._settled.add(fact.credit_note)
                return
            if _is_last(self._of_agreement, fact.agreement):
                del self._of_agreement[fact.agreement]
            # A dispute's note of the same invoice may go before the one that waits for the new one.
            if _is_last(self._of_invoice, fact.invoice):
                del self._of_invoice[fact.invoice]
                self._replaced.discard(fact.invoice)

    def first(self) -> CreditNoteIssued | None:
        """The credit note that is settled next; none while its new invoice was not read."""
        while self._numbers and self._numbers[0][1] not in self._open:
            heappop(self._numbers)
        if not self._numbers:
            return None
        note = self._open[self._numbers[0][1]]
        is_whole = note.reason == "dispute" or note.invoice in self._replaced
        return note if is_whole else None

    def concern(self, agreement: str) -> bool:
        """Tell whether one of an agreement waits."""
        return agreement in self._of_agreement

    def dump(self) -> Dumped:
        """Give the open notes, and those that were settled before they were read."""
        notes = tuple(self._open.values())
        return {
            "open": (note.model_dump_json() for note in notes),
            "settled": sorted(self._settled),
            "replaced": sorted(self._replaced),
        }

    def load(self, dumped: Loaded) -> None:
        """Take over what `dump` gave."""
        self._settled.update(dumped["settled"])
        self._replaced.update(dumped["replaced"])
        for text in dumped["open"]:
            self.evolve(CreditNoteIssued.model_validate_json(text))


def _is_last(counts: Counter[str], name: str) -> bool:
    """Count one less; tell whether none is left."""
    counts[name] -= 1
    return not counts[name]
