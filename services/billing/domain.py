"""Billing's rules: agreements, and the documents that follow from readings, prices and time. Pure.

A draft is due at the end of a period, the invoice when everything that could still change it was
read: READINGS, LEDGER and PRICES have reached the end plus the settlement lag. What counts in a
document is fixed by where each stream reached the time as of which it is decided, so a bill that is
issued late, by a billing service that was down for a season, has the same lines; and so have the
credit notes and new invoices that follow from late readings, corrections and prices, night by
night.

Read `agenda.py` (when), `invoices.py` (what a document says), `lines.py` (what energy costs).
"""

from collections.abc import Sequence
from datetime import datetime

from libs.events.billing_commands import OpenAgreement
from libs.events.dunning import DisputeResolved
from libs.events.envelope import FACT_SIZE_MAX, Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, CreditNoteIssued, InvoiceDrafted, InvoiceIssued
from libs.events.metering import ReadingRecorded
from libs.events.positions import write_cause
from libs.events.spelling import spell
from libs.events.subjects import BILLING, LEDGER
from libs.events.timekeeping import TimeAdvanced
from libs.rules.authority import Authority, Order
from libs.rules.receivables import Receivables
from libs.rules.timekeeper import Timekeeper
from services.billing.accounts import Account, Accounts
from services.billing.agenda import Agenda, Entry, Task
from services.billing.agreements import open_agreement
from services.billing.debtors import Debtor
from services.billing.inputs import Inputs
from services.billing.invoices import Documents
from services.billing.lateness import Lateness
from services.billing.paid import Paid

Document = InvoiceDrafted | InvoiceIssued | CreditNoteIssued
"""What billing writes."""

ENVELOPE_SIZE_MAX = 32 * 1024
"""Bytes that are left for what stands around a document: the positions of up to 512 inputs."""


class Billing:
    """State and rules of BILLING_<book>."""

    def __init__(self, *, authority: Authority, timekeeper: Timekeeper, stream: str) -> None:
        """Begin with no agreement."""
        self.authority, self.timekeeper = authority, timekeeper
        self.accounts = Accounts()
        self.inputs = Inputs(self.accounts.floor_of)
        self.receivables = Receivables()
        self.documents = Documents(self.inputs, self.accounts, _ledger_of(stream))
        self.agenda = Agenda(self.accounts, self.inputs)
        self.paid = Paid(self.receivables)
        self.lateness = Lateness(
            timekeeper=timekeeper,
            receivables=self.receivables,
            debtors=self._debtor,
            stream=stream,
        )
        self._stream = stream
        self._resolved: dict[str, tuple[DisputeResolved, str]] = {}
        self.stuck: dict[str, str] = {}
        """Agreements whose next document cannot be written, and why: an operator's alarm."""

    def evolve(self, recorded: Recorded[Fact]) -> None:
        """Fold a fact of the own stream or of any input."""
        if type(recorded.fact) is ReadingRecorded:  # the most there are: nothing else looks at them
            self.timekeeper.evolve(recorded)
            self.inputs.evolve(recorded)
            return
        own = recorded.stream == self._stream
        self.authority.evolve(recorded, own=own)
        self.timekeeper.evolve(recorded)
        self.receivables.evolve(recorded.fact)
        if own:
            self._evolve_own(recorded)
        else:
            self._evolve_input(recorded)
        if type(recorded.fact) in Paid.facts:
            self.paid.evolve(recorded)
        self.lateness.evolve(recorded)

    def _evolve_own(self, recorded: Recorded[Fact]) -> None:
        self.accounts.evolve(recorded)
        self.inputs.owed.bill(recorded)
        match recorded.fact:
            case AgreementOpened() as fact:
                self.agenda.opened(self.accounts.all[fact.agreement])
            case InvoiceIssued() as fact if fact.replaces is None:
                found = self.accounts.find(fact.invoice)
                assert found is not None, "it was just folded"
                self.agenda.issued(found[0], found[1].period)
            case DisputeResolved() as fact if fact.credited_stroops:
                cause = write_cause(recorded.position, recorded.envelope.id)
                self._resolved[fact.invoice] = fact, cause
            case CreditNoteIssued() as fact if fact.reason == "dispute":
                self._resolved.pop(fact.invoice, None)
            case _:
                pass

    def _evolve_input(self, recorded: Recorded[Fact]) -> None:
        fact = recorded.fact
        self.inputs.evolve(recorded)
        if type(fact) is TimeAdvanced:  # `isinstance` of another model takes pydantic ten times
            self.accounts.now_s = int(fact.to.timestamp())
            self.agenda.unblock()

    def due(self) -> Sequence[Draft]:
        """The next document, paid invoice, step of lateness or reached time; one at a time."""
        return (
            self._credit()
            or self._write()
            or self.paid.due(self.authority.now)
            or self.lateness.due()
            or self.timekeeper.due()
        )

    def _credit(self) -> Sequence[Draft]:
        """The credit note of a dispute that was decided for the recipient."""
        for fact, cause in self._resolved.values():
            assert self.authority.now is not None, "a command was judged at some time"
            account = self.accounts.all[fact.agreement]
            number = self.accounts.number + 1
            note = self.documents.disputed(account, fact.invoice, fact.credited_stroops, number)
            return (Draft(fact.agreement, note, note.credit_note, self.authority.now, cause),)
        return ()

    def _write(self) -> Sequence[Draft]:
        """The next documents, in the order of the instants as of which they are decided."""
        common = self.timekeeper.common
        while (entry := self.agenda.first(common)) is not None:
            assert common is not None, "nothing is due before there is a time"
            agreement = entry.agreement
            account = self.accounts.all[agreement]
            ready_at = self._ready_at(account, entry)
            if ready_at is None:
                self._block(entry, f"rate-missing: {account.opened.rate_feed} has none yet")
                continue
            if ready_at > entry.at:
                self.agenda.defer(ready_at)
                continue
            try:
                facts = self._documents(account, entry, common)
                _check_size(facts)
            except (ValueError, OverflowError) as error:
                # A sum that no fact can hold: an alarm for this agreement, no halt for the others.
                self._block(entry, str(error))
                continue
            self.stuck.pop(agreement, None)
            if facts:
                drafts = [Draft(agreement, fact, _id_of(fact), common) for fact in facts]
                return (drafts[0]._replace(cause=account.cause), *drafts[1:])
            self.agenda.done()
        return ()

    def _ready_at(self, account: Account, entry: Entry) -> datetime | None:
        """When an entry can be decided: at once, unless an invoice has to wait for a rate."""
        is_next = entry.task is Task.ISSUE and entry.first_day == account.next_day
        if not is_next or self.documents.is_ended(account, entry.as_of):
            return entry.at
        return self.documents.ready_at(account)

    def _block(self, entry: Entry, why: str) -> None:
        self.stuck[entry.agreement] = f"{entry.first_day}: {why}"
        self.agenda.block()

    def _documents(self, account: Account, entry: Entry, common: datetime) -> Sequence[Document]:
        """What an entry of the agenda leads to; nothing if it was overtaken."""
        billed = account.billed.get(entry.first_day)
        is_ended = self.documents.is_ended(account, entry.as_of)
        if entry.task is Task.CLOSE:
            if billed is not None:
                self.accounts.close(account, entry.first_day)
                self.inputs.forget(account.opened.system)
        elif is_ended:
            pass  # what is as of before that may still stand behind it, where it had to wait
        elif entry.task is Task.REVISE:
            if billed is not None and billed.cutoff_at < entry.as_of:
                return self.documents.revised(account, billed, entry.as_of, common)
        elif entry.first_day == account.next_day:
            if entry.task is Task.ISSUE:
                return (self.documents.first(account, common),)
            is_drafted = account.drafted == account.invoice_name(account.next_period)
            if not is_drafted and self.documents.has_rate(account):
                return (self.documents.draft(account),)
        if is_ended and not account.billed:
            self.accounts.end(account)
        return ()

    def decide(self, order: Order) -> Sequence[Draft]:
        """Decide a command.

        Raises:
            NotFound, Refused: By the rule that the code names.
        """
        if not isinstance(order.command.body, OpenAgreement):
            return self.lateness.decide(order)
        fact = open_agreement(order, self.inputs, self.accounts, self.authority.members)
        return (Draft(fact.agreement, fact, f"{order.id}.agreement", order.time),)

    def _debtor(self, agreement: str) -> Debtor | None:
        """An agreement, and who holds its holding now."""
        account = self.accounts.all.get(agreement)
        if account is None:
            return None
        opened = account.opened
        if opened.holding not in self.inputs.holdings:
            return Debtor(opened, opened.recipient)
        return Debtor(opened, self.inputs.holder(opened.holding))


def _ledger_of(stream: str) -> str:
    """The ledger of the book of a billing stream."""
    return LEDGER.stream(stream.removeprefix(f"{BILLING.name}_"))


def _check_size(facts: Sequence[Document]) -> None:
    """Refuse documents that no fact can hold.

    Raises:
        ValueError: One is too long.
    """
    for fact in facts:
        size = len(spell(fact))
        if size > FACT_SIZE_MAX - ENVELOPE_SIZE_MAX:
            raise ValueError(f"{type(fact).__name__} would have {size} bytes")


def _id_of(fact: Document) -> str:
    """The id of a document's fact: its name, and what happened."""
    if isinstance(fact, CreditNoteIssued):
        return fact.credit_note
    if isinstance(fact, InvoiceIssued):
        return f"{fact.invoice}.issued"
    return f"{fact.invoice}.drafted"
