"""A system in operation with somebody who may be late: bills, escalations, meters, an offtaker.

Its two holdings are of 600,000 and 400,000 of 1,000,000 units. Billing's facts are told by hand.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from libs.events.books import Terms
from libs.events.commands import DepositFunds
from libs.events.dunning import EscalationLevel, EscalationReached
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import NOTICE_S, AgreementOpened, InvoiceIssued
from libs.events.metering import MeterEnrolled, MeterHead, ReadingRecorded
from libs.events.pricing import TariffPrices, TariffPublished
from libs.events.system_commands import (
    AcceptRaise,
    ApproveSystem,
    DepositCover,
    Invest,
    OpenHolding,
    ProposeSystem,
)
from libs.rules.authority import Authority
from libs.rules.stages import walk
from libs.rules.timekeeper import Timekeeper
from services.ledger.domain import Book
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, History, Stage, key_of
from tests.ledger.raises import hash_of

LEDGER, BILLING, READINGS, METERS = "LEDGER_pilot", "BILLING_pilot", "READINGS_0", "METERS_0"
PRICES = "PRICES"
PRICE = 1_000_000
DAY, QUARTER = 86_400, 900
MONEY = 100_000_000
FEED_IN = 700_000
"""Stroops per kWh."""

CAST = {
    "approver": ("approver",),
    "dev": ("developer",),
    "home": ("recipient",),
    "next": ("recipient",),
    "ann": ("investor",),
    "bob": ("investor",),
    "guard": ("guarantor",),
    "ward": ("guarantor",),
    "utility": ("platform",),
}


def fresh_book() -> Book:
    return Book(
        authority=Authority(deployment=DEPLOYMENT, service="ledger", book="pilot"),
        timekeeper=Timekeeper(LEDGER, (READINGS,), follows=(METERS, "MEMBERS", PRICES, BILLING)),
        stream=LEDGER,
    )


class Late(Stage):
    """A book in which `home` may be late."""

    def __init__(
        self,
        *,
        return_ppm_year: int = 0,
        offtaker: str | None = "utility",
        covers: Sequence[tuple[str, int]] = (),
        history: History | None = None,
    ) -> None:
        super().__init__(fresh_book(), LEDGER, "pilot", history)
        self.terms = Terms(return_ppm_year=return_ppm_year, minimum_payment_stroops=0)
        self.number, self.seqs, self.bills = 0, dict[str, int](), 0
        for member, roles in CAST.items():
            self.given(self.history.register(member, *roles))
        self.given(self.tariff({"price_stroops_per_kwh": FEED_IN}))
        self.pass_days(0)
        for member in ("home", "next", "ann", "bob", "guard", "ward", "utility"):
            body = DepositFunds(member=member, asset="USD", amount_stroops=MONEY)
            self.when("approver", f"money-{member}", body)
        self._build(offtaker, covers)
        for meter, role, holding in (
            ("pv", "generation", None),
            ("load-h", "consumption", "h"),
            ("load-h2", "consumption", "h2"),
            ("grid", "grid", None),
        ):
            self.given(self.enrolment(meter, role, holding))
        self.given(self.agreement("h", "home"), self.agreement("h2", "next"))
        self.pass_days(0)

    def _build(self, offtaker: str | None, covers: Sequence[tuple[str, int]]) -> None:
        proposal = {
            "system": "sun",
            "asset": "USD",
            "price_stroops": PRICE,
            "nameplate_w": 5_000,
            "site": "roof",
            "time_zone": "UTC",
            "terms": self.terms,
            "recipient": "home",
            "offtaker": offtaker,
        }
        self.when("dev", "propose", ProposeSystem.model_validate(proposal))
        self.when("approver", "approve", ApproveSystem(system="sun"))
        self._walk(0, 4)
        for guarantor, amount in covers:
            body = DepositCover(system="sun", amount_stroops=amount)
            self.when(guarantor, f"cover-{guarantor}-{self.history.ends[LEDGER]}", body)
        for investor, amount in (("ann", 750_000), ("bob", 250_000)):
            invest = Invest(system="sun", amount_stroops=amount, terms=self.terms)
            self.when(investor, "invest", invest)
        self.when("home", "accept", AcceptRaise(system="sun"))
        self.follow_up()
        self._walk(5, 6)
        for holding, recipient, units in (("h", "home", 600_000), ("h2", "next", 400_000)):
            opened = OpenHolding(holding=holding, system="sun", recipient=recipient, units=units)
            self.when("approver", f"hold-{holding}", opened)
        self._walk(6, 7)

    def _walk(self, from_stage: int, to_stage: int) -> None:
        for number, (leaver, body) in enumerate(walk("sun", from_stage, to_stage, hash_of)):
            signer = "dev" if leaver == "proposer" else "approver"
            self.when(signer, f"walk-{from_stage}-{number}", body)

    @property
    def rulebook(self) -> Book:
        assert isinstance(self.rules, Book)
        return self.rules

    # What billing, the oracle and the meters say.

    def tariff(self, feed_in: object, version: int = 1, **changes: object) -> Recorded[Fact]:
        prices = {"price_stroops_per_kwh": 2_000_000, "feed_in": feed_in}
        values = {
            "tariff": "fixed",
            "version": version,
            "asset": "USD",
            "prices": TariffPrices.model_validate(prices),
            "effective_from": START,
            "command": ANY_COMMAND_SIGNED,
        }
        fact = TariffPublished.model_validate(values | changes)
        return self.history.record(PRICES, "fixed", fact)

    def agreement(self, holding: str, recipient: str, **changes: object) -> Recorded[Fact]:
        values = {
            "agreement": f"agr-{holding}",
            "holding": holding,
            "system": "sun",
            "recipient": recipient,
            "tariff": "fixed",
            "asset": "USD",
            "period": "month",
            "time_zone": "UTC",
            "first_day": "2026-06-01",
            "rating_interval_s": QUARTER,
            "settlement_lag_s": 0,
            "due_after_s": 0,
            "terms": self.terms,
            "grace_periods": 2,
            "notice_s": NOTICE_S,
            "command": ANY_COMMAND_SIGNED,
        }
        fact = AgreementOpened.model_validate(values | changes)
        return self.history.record(BILLING, fact.agreement, fact)

    def invoice(self, amount: int, due_day: float, **changes: Any) -> Recorded[Fact]:
        """A bill of energy for a month of its own, due so many days after the start."""
        self.bills += 1
        holding = changes.pop("holding", "h")
        month, agreement = self.bills, f"agr-{holding}"
        line = {
            "line": 1,
            "line_class": "energy",
            "kind": "use",
            "holding": holding,
            "amount_stroops": amount,
        }
        values = {
            "invoice": f"{agreement}-{month_start(month):%Y-%m}",
            "number": self.bills,
            "agreement": agreement,
            "recipient": "home" if holding == "h" else "next",
            "asset": "USD",
            "period_from": month_start(month),
            "period_until": month_start(month + 1),
            "due_at": START + timedelta(days=due_day),
            "readings": (),
            "rated_intervals": 0,
            "unrated_intervals": 0,
            "generated_wh": 0,
            "consumed_wh": 0,
            "lines": (line,) if amount else (),
            "total_stroops": amount,
        }
        fact = InvoiceIssued.model_validate(values | changes)
        return self.history.record(BILLING, agreement, fact, time=self.now)

    def escalation(
        self, level: EscalationLevel, invoice: Recorded[Fact], at: datetime | None = None
    ) -> Recorded[Fact]:
        """Billing says that a level was reached, now unless told when."""
        bill = invoice.fact
        assert isinstance(bill, InvoiceIssued)
        fact = EscalationReached(
            agreement=bill.agreement,
            recipient=bill.recipient,
            invoice=bill.invoice,
            overdue_stroops=1,
            periods_late={"diversion": 2, "disconnection": 6, "reclaim": 12}[level],
            level=level,
        )
        return self.history.record(BILLING, bill.agreement, fact, time=at or self.now)

    def enrolment(self, meter: str, role: str, holding: str | None) -> Recorded[Fact]:
        values = {
            "meter": meter,
            "address": key_of("teller").address,
            "role": role,
            "system": "sun",
            "holding": holding,
            "site": "roof",
            "nameplate_w": 5_000,
            "starts": (),
            "command": ANY_COMMAND_SIGNED,
        }
        return self.history.record(METERS, meter, MeterEnrolled.model_validate(values))

    def reading(self, meter: str, values: Sequence[int], quarter: int) -> Recorded[Fact]:
        """Quarters of an hour of a meter, the first so many after the start."""
        at = START + timedelta(seconds=quarter * QUARTER)
        seq = self.seqs[meter] = self.seqs.get(meter, 0) + 1
        name = {"pv": "generated", "grid": "exported"}.get(meter, "consumed")
        fact = ReadingRecorded.model_validate(
            {
                "meter": meter,
                "seq": seq,
                "epoch": 1,
                "first_interval_at": at,
                "interval_s": QUARTER,
                "registers": ({"name": name, "differences_wh": tuple(values), "after_wh": 10**12},),
                "head": MeterHead(epoch=1, seq=seq, until_at=at, registers=(), gaps=()),
                "report": "a.b.c",
            }
        )
        return self.history.record(READINGS, meter, fact, fact_id=f"{meter}.{seq}")

    # What happens.

    def pass_days(self, days: float) -> list[Fact]:
        """So many days after the start; give what follows by itself."""
        self.now = START + timedelta(days=days)
        self.given(*self.history.advance(self.now, READINGS))
        return self.follow_up()

    def told(self, *facts: Recorded[Fact]) -> list[Fact]:
        """Read facts, and give what follows by itself."""
        self.given(*facts)
        return self.follow_up()

    def balance(self, asset: str, account: str) -> int:
        return self.rulebook.books.balance(asset, account)

    def again(self) -> Book:
        """The book after a restart: its own stream first, then every input."""
        book = fresh_book()
        for recorded in (each for each in self.history.facts if each.stream == LEDGER):
            book.evolve(recorded)
        for stream in ("MEMBERS", PRICES, BILLING, METERS, READINGS):
            for recorded in (each for each in self.history.facts if each.stream == stream):
                book.evolve(recorded)
        return book


def month_start(month: int) -> datetime:
    """The first of June 2026 is the start of month 1."""
    return START.replace(year=2026 + (month + 4) // 12, month=(month + 4) % 12 + 1)


def kinds(facts: Sequence[Fact]) -> list[str]:
    """What facts are called, without the time that was reached."""
    return [fact.fact_name for fact in facts if fact.fact_name != "TimeReached"]
