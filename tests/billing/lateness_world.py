"""A book in which somebody owes: facts of billing and the ledger around the rules of lateness."""

import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from libs.events.books import ClassAmount, Cleared, PaymentSettled, Terms, UnitMove
from libs.events.envelope import Draft, Recorded
from libs.events.fact import Fact
from libs.events.invoicing import AgreementOpened, CreditNoteIssued, InvoiceIssued, InvoiceLine
from libs.events.systems import (
    CoverDeposited,
    HoldingTransferred,
    RaiseAccepted,
    SystemProposed,
)
from libs.rules.authority import Authority, Order
from libs.rules.receivables import Receivables
from libs.rules.timekeeper import Timekeeper
from services.billing.debtors import Debtor
from services.billing.lateness import Lateness
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, Stage

READINGS, LEDGER, BILLING = "READINGS_0", "LEDGER_pilot", "BILLING_pilot"
TERMS = Terms(return_ppm_year=0, minimum_payment_stroops=0)
SECOND = timedelta(seconds=1)
LADDER = ["ReminderSent", "AlertRaised", "SternNoticeSent", "diversion", "disconnection", "reclaim"]
"""The steps with six periods of grace."""

STEADY_S = 10**9
"""A cadence that makes no silence an outage."""


class Book:
    """What billing folds, as far as lateness looks at it."""

    def __init__(self) -> None:
        self.authority = Authority(deployment=DEPLOYMENT, service="billing", book="pilot")
        self.timekeeper = Timekeeper(
            BILLING, (READINGS, LEDGER), follows=("PRICES", READINGS, LEDGER)
        )
        self.receivables = Receivables()
        self.debtors: dict[str, Debtor] = {}
        self.asked = 0
        self.lateness = Lateness(
            timekeeper=self.timekeeper,
            receivables=self.receivables,
            debtors=self._debtor,
            stream=BILLING,
        )

    def _debtor(self, agreement: str) -> Debtor | None:
        self.asked += 1
        return self.debtors.get(agreement)

    def evolve(self, recorded: Recorded[Fact]) -> None:
        fact = recorded.fact
        self.authority.evolve(recorded, own=recorded.stream == BILLING)
        self.timekeeper.evolve(recorded)
        self.receivables.evolve(fact)
        if isinstance(fact, AgreementOpened):
            self.debtors[fact.agreement] = Debtor(fact, fact.recipient)
        elif isinstance(fact, HoldingTransferred) and fact.agreement is not None:
            opened = self.debtors[fact.agreement].opened
            self.debtors[fact.agreement] = Debtor(opened, fact.to_member)
        self.lateness.evolve(recorded)

    def due(self) -> Sequence[Draft]:
        return self.lateness.due() or self.timekeeper.due()

    def decide(self, order: Order) -> Sequence[Draft]:
        return self.lateness.decide(order)


class World:
    """One book on the stage, its people, and what the ledger would say."""

    def __init__(self, *agreements: str, **changes: Any) -> None:
        self.book = Book()
        self.stage = Stage(self.book, BILLING, "pilot")
        self.history = self.stage.history
        self.now = START
        offtaker = changes.pop("offtaker", "grid")
        self.add(
            self.history.register("home", "recipient"),
            self.history.register("eve", "recipient"),
            self.history.register("boss", "approver"),
            self.history.record(LEDGER, "sun", system(changes.get("time_zone", "UTC"), offtaker)),
            self.history.record(LEDGER, "sun", _accepted({"ann": 600, "bob": 400})),
            self.history.record(LEDGER, "sun", _cover("gus")),
        )
        for name in agreements or ("agr",):
            self.add(self.history.record(BILLING, name, opened(name, **changes)))
        self._number = self._payments = 0
        self.to(START)

    def add(self, *facts: Recorded[Fact]) -> None:
        self.stage.given(*facts)

    def to(self, now: datetime, *, cadence_s: int = STEADY_S) -> list[Fact]:
        """Time goes on, all streams reach it, and what follows is returned."""
        self.now = self.stage.now = now
        self.add(*self.history.advance(now, READINGS, LEDGER, cadence_s=cadence_s))
        return self.late_facts(self.stage.follow_up())

    @staticmethod
    def late_facts(facts: Sequence[Fact]) -> list[Fact]:
        return [fact for fact in facts if fact.fact_name != "TimeReached"]

    def steps(self, now: datetime) -> list[str]:
        return [name_of(fact) for fact in self.to(now)]

    def issue(
        self, due_at: datetime, amount: int = 50_000_000, agreement: str = "agr", **changes: Any
    ) -> str:
        """Billing issues an invoice now; one line of energy."""
        self._number += 1
        name: str = changes.pop("name", f"{agreement}-{self._number}")
        values: dict[str, Any] = {
            "invoice": name,
            "number": self._number,
            "agreement": agreement,
            "recipient": "home",
            "asset": "USD",
            "period_from": START,
            "period_until": START + timedelta(days=14),
            "due_at": due_at,
            "readings": (),
            "rated_intervals": 1,
            "unrated_intervals": 0,
            "generated_wh": 0,
            "consumed_wh": 0,
            "lines": (
                InvoiceLine(
                    line=1, line_class="energy", kind="use", holding="h", amount_stroops=amount
                ),
            ),
            "total_stroops": amount,
        }
        fact = InvoiceIssued.model_validate(values | changes)
        self.add(self.history.record(BILLING, agreement, fact, time=self.now))
        return name

    def credit(self, invoice: str, amount: int, reason: str = "readings") -> None:
        """Billing undoes a part of an invoice."""
        self._number += 1
        billed = self.book.receivables.get(invoice)
        assert billed is not None
        fact = CreditNoteIssued.model_validate(
            {
                "credit_note": f"{invoice}.credit",
                "number": self._number,
                "agreement": billed.agreement,
                "recipient": "home",
                "asset": "USD",
                "invoice": invoice,
                "reason": reason,
                "because": (),
                "changes": (),
                "amounts": (ClassAmount(line_class="energy", amount_stroops=amount),),
                "total_stroops": amount,
            }
        )
        self.add(self.history.record(BILLING, billed.agreement, fact, time=self.now))

    def open(self, invoice: str) -> int:
        billed = self.book.receivables.get(invoice)
        assert billed is not None
        return self.book.receivables.open_stroops(billed)

    def payment(self, invoice: str, amount: int) -> Recorded[Fact]:
        """What the ledger says of a payment; nobody has read it yet."""
        self._payments += 1
        billed = self.book.receivables.get(invoice)
        assert billed is not None
        fact = PaymentSettled(
            payment=f"home.pay-{self._payments}",
            agreement=billed.agreement,
            payer="home",
            asset="USD",
            kind="invoices",
            amount_stroops=amount,
            cleared=(Cleared(invoice=invoice, line_class="energy", amount_stroops=amount),),
            returns=(),
            principal=(),
            credit_stroops=0,
            command=ANY_COMMAND_SIGNED,
        )
        return self.history.record(LEDGER, billed.agreement, fact, time=self.now)

    def pay(self, invoice: str, amount: int | None = None) -> None:
        """The ledger settles a payment of a part of an invoice, or of all that is open."""
        self.add(self.payment(invoice, self.open(invoice) if amount is None else amount))

    def restart(self, rng: random.Random, *, upto: int | None = None) -> None:
        """Billing starts again: it folds its own stream, then the others in some interleaving.

        Args:
            rng: Chooses the interleaving.
            upto: How many facts it finds, in the order in which they were recorded; absent: all.
        """
        book, streams = Book(), dict[str, list[Recorded[Fact]]]()
        for fact in self.history.facts[:upto]:
            streams.setdefault(fact.stream, []).append(fact)
        for fact in streams.pop(BILLING):
            book.evolve(fact)
        for fact in interleaved(list(streams.values()), rng):
            book.evolve(fact)
        self.book = self.stage.rules = book


def interleaved(
    streams: Sequence[Sequence[Recorded[Fact]]], rng: random.Random
) -> list[Recorded[Fact]]:
    """Several streams as one, each in its own order."""
    left = [list(reversed(stream)) for stream in streams if stream]
    merged: list[Recorded[Fact]] = []
    while left:
        stream = rng.choice(left)
        merged.append(stream.pop())
        left = [each for each in left if each]
    return merged


def name_of(fact: Fact) -> str:
    return str(getattr(fact, "level", fact.fact_name))


def opened(agreement: str, **changes: Any) -> AgreementOpened:
    values: dict[str, Any] = {
        "agreement": agreement,
        "holding": f"{agreement}-h",
        "system": "sun",
        "recipient": "home",
        "tariff": "fixed",
        "asset": "USD",
        "period": "14d",
        "time_zone": "UTC",
        "first_day": "2026-06-01",
        "rating_interval_s": 900,
        "settlement_lag_s": 86_400,
        "due_after_s": 14 * 86_400,
        "terms": TERMS,
        "grace_periods": 6,
        "notice_s": 7 * 86_400,
        "command": ANY_COMMAND_SIGNED,
    }
    return AgreementOpened.model_validate(values | changes)


def system(time_zone: str, offtaker: str | None) -> SystemProposed:
    return SystemProposed(
        system="sun",
        proposer="dev",
        asset="USD",
        price_stroops=1_000,
        nameplate_w=5_000,
        site="roof",
        time_zone=time_zone,
        rating_interval_s=900,
        terms=TERMS,
        offtaker=offtaker,
        command=ANY_COMMAND_SIGNED,
    )


def _accepted(shares: dict[str, int]) -> RaiseAccepted:
    return RaiseAccepted(
        system="sun",
        recipient="home",
        asset="USD",
        moves=tuple(
            UnitMove(member=member, shares=count, amount_stroops=count)
            for member, count in shares.items()
        ),
        units=sum(shares.values()),
        command=ANY_COMMAND_SIGNED,
    )


def _cover(guarantor: str) -> CoverDeposited:
    return CoverDeposited(
        system="sun",
        guarantor=guarantor,
        asset="USD",
        amount_stroops=100,
        command=ANY_COMMAND_SIGNED,
    )
