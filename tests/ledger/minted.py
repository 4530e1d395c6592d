"""A small sunny world for the rules of minting: one plant, some homes, readings and corrections."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from libs.events.books import HoldingOpened, Terms
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.metering import (
    MeterEnrolled,
    MeterHead,
    ReadingCorrected,
    ReadingRecorded,
    RegisterName,
)
from libs.events.systems import SystemProposed
from libs.events.trading import EnergyMinted, EnergyShortfallBooked
from libs.rules.authority import Authority
from libs.rules.timekeeper import Timekeeper
from services.ledger.domain import Book
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, Stage, key_of

LEDGER, READINGS, METERS = "LEDGER_pilot", "READINGS_0", "METERS_0"
QUARTER = 900
DAY = 86_400


def rules() -> Book:
    return Book(
        authority=Authority(deployment=DEPLOYMENT, service="ledger", book="pilot"),
        timekeeper=Timekeeper(
            LEDGER, (READINGS,), follows=(METERS, "MEMBERS", "PRICES", "BILLING_pilot")
        ),
        stream=LEDGER,
    )


def system(name: str = "sun", interval_s: int = QUARTER) -> SystemProposed:
    return SystemProposed(
        system=name,
        proposer="dev",
        asset="USD",
        price_stroops=1_000,
        nameplate_w=5_000,
        site="roof",
        time_zone="UTC",
        rating_interval_s=interval_s,
        terms=Terms(return_ppm_year=0, minimum_payment_stroops=0),
        command=ANY_COMMAND_SIGNED,
    )


def holding(name: str, recipient: str, units: int, of: str = "sun") -> HoldingOpened:
    return HoldingOpened(
        holding=name, system=of, recipient=recipient, units=units, command=ANY_COMMAND_SIGNED
    )


def enrolment(meter: str, holding: str | None = None, of: str = "sun") -> MeterEnrolled:
    values = {
        "meter": meter,
        "address": key_of("teller").address,
        "role": "generation" if holding is None else "consumption",
        "system": of,
        "holding": holding,
        "site": "roof",
        "nameplate_w": 5_000,
        "starts": (),
        "command": ANY_COMMAND_SIGNED,
    }
    return MeterEnrolled.model_validate(values)


def register_of(meter: str) -> RegisterName:
    return "generated" if meter.startswith("pv") else "consumed"


class Sunny(Stage):
    """A book whose holdings get tokens for what their plant exports."""

    def __init__(
        self, homes: Sequence[tuple[str, int]] = (("ann", 1_000),), plant: Sequence[str] = ("pv",)
    ) -> None:
        super().__init__(rules(), LEDGER, "pilot")
        self.homes = dict(homes)
        self.seqs: dict[str, int] = {}
        history = self.history
        self.given(history.register("approver", "approver"))
        for member in self.homes:
            self.given(history.register(member, "recipient", "factory"))
        self.given(history.record(LEDGER, "sun", system()))
        for member, units in homes:
            fact = holding(f"h-{member}", member, units)
            self.given(history.record(LEDGER, fact.holding, fact))
            self.given(
                history.record(METERS, f"load-{member}", enrolment(f"load-{member}", fact.holding))
            )
        for meter in plant:
            self.given(history.record(METERS, meter, enrolment(meter)))
        self.advance(0, READINGS)

    @property
    def ledger(self) -> Book:
        assert isinstance(self.rules, Book)
        return self.rules

    def reading(
        self, meter: str, values: Sequence[int], quarter: int = 0, step: int = QUARTER
    ) -> Recorded[Fact]:
        """Record a reading that begins so many quarters of an hour after the start."""
        at = START + timedelta(seconds=quarter * QUARTER)
        seq = self.seqs[meter] = self.seqs.get(meter, 0) + 1
        name = register_of(meter)
        fact = ReadingRecorded.model_validate(
            {
                "meter": meter,
                "seq": seq,
                "epoch": 1,
                "first_interval_at": at,
                "interval_s": step,
                "registers": ({"name": name, "differences_wh": tuple(values), "after_wh": 10**12},),
                "head": MeterHead(epoch=1, seq=seq, until_at=at, registers=(), gaps=()),
                "report": "a.b.c",
            }
        )
        return self.history.record(READINGS, meter, fact, fact_id=f"{meter}.{seq}")

    def correction(self, meter: str, deltas: Sequence[int], quarter: int = 0) -> Recorded[Fact]:
        """Record a correction."""
        fact = ReadingCorrected.model_validate(
            {
                "meter": meter,
                "correction": "approver.fix",
                "first_interval_at": START + timedelta(seconds=quarter * QUARTER),
                "interval_s": QUARTER,
                "registers": ({"name": register_of(meter), "deltas_wh": tuple(deltas)},),
                "reason": "test",
                "command": ANY_COMMAND_SIGNED,
            }
        )
        return self.history.record(READINGS, meter, fact)

    def measured(
        self, generated: Sequence[int], *consumed: Sequence[int], quarter: int = 0
    ) -> None:
        """The plant's first meter and every home report the same quarters."""
        self.given(self.reading("pv", generated, quarter))
        for member, values in zip(self.homes, consumed, strict=True):
            self.given(self.reading(f"load-{member}", values, quarter))

    def pass_s(self, seconds: int) -> None:
        """So many seconds after the start were reached by the readings."""
        self.advance(seconds / DAY, READINGS)

    @property
    def mints(self) -> list[EnergyMinted]:
        facts = (each.fact for each in self.history.facts)
        return [fact for fact in facts if isinstance(fact, EnergyMinted)]

    @property
    def shortfalls(self) -> list[EnergyShortfallBooked]:
        facts = (each.fact for each in self.history.facts)
        return [fact for fact in facts if isinstance(fact, EnergyShortfallBooked)]

    def balance(self, account: str) -> int:
        return self.ledger.books.balance("W", account)


def quarter_at(quarter: int) -> datetime:
    return datetime.fromtimestamp(START.timestamp() + quarter * QUARTER, UTC)
