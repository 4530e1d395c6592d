"""The second model of pay to own, whole: one book, its bills, and who is late.

It is written from the domain rules and docs/decisions/0005 alone, and imports nothing of the rules
under test. It is slow, keeps everything, and rounds with fractions. Where the texts are silent the
README beside it says which reading it takes.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.ownership.arithmetic import midnight, next_midnight, period_end
from tests.ownership.bills import Account, Bills, Contract, Document
from tests.ownership.lateness import Lateness
from tests.ownership.owing import Agreement, Bill
from tests.ownership.raising import need
from tests.ownership.rating import Measured, Meters, Prices, Published, Version
from tests.ownership.settling import Settling

SLACK_S = 60


class Model:
    """Everything that happens to the real rules happens here too."""

    def __init__(self, address: Callable[[str], str] = str) -> None:
        self.ledger = Settling(address)
        self.meters, self.prices = Meters(), Prices()
        self.bills, self.lateness = Bills(self.meters, self.prices), Lateness()
        self.now = datetime(1970, 1, 1, tzinfo=UTC)
        self.announced: datetime | None = None
        self.log = self.ledger.log
        self.issued: list[tuple[str, Document]] = []
        self.numbers = 0
        self.replacing: dict[str, datetime] = {}
        """Bills that replace others, and when they were read: they count from the next time."""

    # -- time ---------------------------------------------------------------------------------

    def tick(self, to: datetime, cadence_s: int) -> None:
        """The clock goes on; a gap of more than was announced is an outage of the platform."""
        if self.announced is not None:
            cadence = self._cadence
            if to - self.now > timedelta(seconds=2 * cadence + SLACK_S):
                name = f"outage-{len(self.lateness.pauses)}"
                self.lateness.pauses[name] = (None, self.announced, to)
        self.now = self.ledger.now = to
        self.announced, self._cadence = to + timedelta(seconds=cadence_s), cadence_s
        self.ledger.settle()

    _cadence = 0

    def advance(self, to: datetime, cadence_s: int = 86_400) -> list[tuple[str, Document]]:
        """A time and all that it brings, where the model plays alone."""
        self.tick(to, cadence_s)
        documents = self.documents()
        for kind, document in documents:
            self.read(kind, document)
        self.follow_up()
        return documents

    def documents(self) -> list[tuple[str, Document]]:
        """What billing issues by now; the ledger has not read it yet."""
        made = self.bills.due(self.now, self._owed)
        self.issued += made
        return made

    def read(self, kind: str, document: Document) -> None:
        """The ledger reads a document of billing."""
        self.numbers += 1
        agr = self.ledger.agreements[document.contract.name]
        if kind == "credit":
            bill = agr.bills[document.name]
            self.ledger.read_credit_note(agr, bill, document.by_class())
        else:
            if document.revision > 1:
                stem = document.name.rpartition(".")[0]
                last = document.revision - 1
                old = stem if last == 1 else f"{stem}.{last}"
                self.lateness.replace(old, document.name, self.now)
                self.replacing[document.name] = self.now
            self.ledger.read_invoice(
                agr,
                Bill(
                    document.name,
                    self.numbers,
                    document.due_at,
                    document.by_row(),
                    document.later_due_at,
                    document.later,
                ),
            )
        if kind == "invoice":
            self.ledger.settle()

    def follow_up(self) -> None:
        """Steps of lateness, and what the ledger does on them, until nothing follows."""
        self.ledger.settle()
        while taken := self.take_steps():
            for name, agreement, invoice, _ in taken:
                self.ledger.escalate(self.ledger.agreements[agreement], name, invoice)
            self.ledger.settle()

    def take_steps(self, corrected: Collection[str] = ()) -> list[tuple[str, str, str, int]]:
        """The steps that are due by what the ledger has read, each agreement's next one.

        Args:
            corrected: Bills of which the credit note is still to be read by the ledger. What
                replaces them counts from the next time.
        """
        but = {*corrected, *(name for name, at in self.replacing.items() if at == self.now)}
        for each in self.bills.accounts.values():
            self.lateness.is_cured(each, self.now)
        steps = [self.lateness.step(each, self.now, but) for each in self.bills.accounts.values()]
        taken = [step for step in steps if step is not None]
        self.log += taken
        return taken

    def _owed(self, agreement: Agreement, end: date) -> int:
        """What a line `term` demands before the invoice's own energy lines."""
        ledger = self.ledger
        through = ledger.accrued(agreement) + ledger.pending(agreement, end)[0]
        through -= ledger.booked_after(agreement, end)
        return ledger.principal(agreement) + through - agreement.open_energy

    # -- facts of other streams ---------------------------------------------------------------

    def enrol(self, meter: str, role: str, system: str, holding: str = "") -> None:
        self.meters.roles[meter] = (role, system, holding)

    def measure(
        self,
        meter: str,
        start: datetime,
        step_s: int,
        values: Sequence[int],
        *,
        is_correction: bool = False,
    ) -> None:
        """A report or a correction is recorded, before the stream reaches another time."""
        self.meters.measured.append(
            Measured(meter, start, step_s, tuple(values), self.now, is_correction)
        )

    def publish(self, tariff: str, version: Version) -> None:
        self.prices.tariffs.setdefault(tariff, []).append(version)

    def publish_prices(self, feed: str, published: Published) -> None:
        self.prices.feeds.setdefault(feed, []).append(published)

    # -- billing's commands -------------------------------------------------------------------

    def open_agreement(self, contract: Contract, holding: str, system: str, member: str) -> None:
        of = self.ledger.systems[system]
        agr = Agreement(contract.name, holding, of, member, contract.first_day)
        self.ledger.agreements[contract.name] = agr
        self.bills.open(contract, agr)

    def account(self, agreement: str) -> Account:
        return self.bills.accounts[agreement]

    def dispute(self, invoice: str, amount: int) -> None:
        """A part of an invoice, for 90 days at most, once."""
        (bill,) = [
            agr.bills[invoice] for agr in self.ledger.agreements.values() if invoice in agr.bills
        ]
        need(that=invoice not in self.lateness.disputes, rule="one dispute per invoice")
        need(that=amount <= bill.open_total, rule="more than is open")
        self.lateness.dispute(invoice, amount, self.now)

    def resolve(self, invoice: str, credited: int) -> None:
        """Decide a dispute: that much of the energy is undone."""
        dispute = self.lateness.disputes.get(invoice)
        need(that=dispute is not None and dispute.is_running(self.now), rule="no dispute")
        assert dispute is not None
        need(that=credited <= dispute.amount, rule="more than is disputed")
        dispute.until = self.now
        if credited:
            (agr,) = [a for a in self.ledger.agreements.values() if invoice in a.bills]
            self.ledger.read_credit_note(agr, agr.bills[invoice], {"energy": credited})
            self.numbers += 1

    def pause(self, name: str, agreement: str | None) -> None:
        self.lateness.pauses[name] = (agreement, self.now, None)

    def resume(self, name: str) -> None:
        agreement, since, _ = self.lateness.pauses[name]
        self.lateness.pauses[name] = (agreement, since, self.now)

    def accept_holding(self, agreement: str, member: str) -> None:
        """It moves, whole, when the running billing period ends."""
        account = self.account(agreement)
        zone, first = account.agreement.system.zone, account.contract.first_day
        while midnight(period_end(first, account.contract.period), zone) <= self.now:
            first = period_end(first, account.contract.period)
        at = midnight(period_end(first, account.contract.period), zone)
        self.ledger.moving[agreement] = (member, at)

    # -- what can be compared -----------------------------------------------------------------

    @property
    def balances(self) -> dict[tuple[str, str], int]:
        return self.ledger.accounts.balances

    def check(self) -> None:
        """The laws of the domain rules, section 10, on the model itself."""
        self.ledger.accounts.check()
        for system in self.ledger.systems.values():
            if system.units:
                accounts = self.ledger.accounts
                own = sum(
                    self.ledger.own(agr)
                    for agr in self.ledger.agreements.values()
                    if agr.system is system
                )
                assert own + sum(self.ledger.title(system).values()) == system.units
                assert accounts.of(system.t, f"issued:{system.name}") == system.units
        for agr in self.ledger.agreements.values():
            c, of = agr.system.c, self.ledger.accounts.of
            assert of(c, f"prepaid:{agr.name}") == of(c, f"overbilled:{agr.name}")
            assert of(c, f"due:{agr.name}") == sum(each.open_total for each in agr.bills.values())
            if agr.owned_at is not None:
                assert self.ledger.own(agr) == agr.units
                assert not agr.open_energy
                assert not of(c, f"return_due:{agr.name}")

    def sample(self) -> dict[str, Any]:
        """What differs is shown with this."""
        return {"now": self.now, "log": self.log[-10:], "issued": len(self.issued)}


__all__ = ["Contract", "Model", "Published", "Version", "next_midnight"]
