"""The examples of lateness and supply: Raul is late, what becomes of his energy, and the cure."""

from datetime import UTC, datetime

from libs.events import billing_commands as to_billing
from libs.events import dunning, supply
from libs.events import system_commands as to_ledger
from libs.events.books import MoneyMove, TitleMove
from libs.events.command import Command
from libs.events.fact import Fact
from tools.example_parts import (
    AUGUST,
    BILLING,
    BOOK,
    LEDGER,
    NOON,
    PRICES,
    SPRING,
    USD,
    Example,
    at,
    claims,
    from_command,
    from_time,
    least_of,
    signed,
)
from tools.ownership_examples import AGREEMENT, HOLDING
from tools.repayment_examples import JULY_BILL

NOVEMBER = datetime(2016, 11, 1, 6, tzinfo=UTC)
OUTAGE_FROM, OUTAGE_UNTIL = datetime(2016, 9, 2, 3, tzinfo=UTC), datetime(2016, 9, 2, 9, tzinfo=UTC)
DEVICE = "SN-0042"

DISPUTE = claims(
    "raul",
    "july-is-wrong",
    to_billing.DisputeInvoice(
        invoice=JULY_BILL, amount_stroops=50_000_000, reason="meter-was-swapped"
    ),
    BOOK,
    AUGUST,
)
RESOLVE = claims(
    "anna",
    "raul-was-right",
    to_billing.ResolveDispute(invoice=JULY_BILL, credited_stroops=30_000_000),
    BOOK,
    AUGUST,
)
PAUSE = claims(
    "anna",
    "pause-1",
    to_billing.PauseClock(pause="september-fire", agreement=AGREEMENT, cause="platform-outage"),
    BOOK,
    AUGUST,
)
RESUME = claims("anna", "resume-1", to_billing.ResumeClock(pause="september-fire"), BOOK, NOVEMBER)
PROCEEDS = claims(
    "grid-company",
    "october",
    to_ledger.PayGridProceeds(agreement=AGREEMENT, amount_stroops=941_500),
    BOOK,
    NOVEMBER,
)
ASSIGN = claims(
    "anna",
    "device-42",
    to_ledger.AssignPaygoDevice(device=DEVICE, holding=HOLDING, first_count=1),
    BOOK,
    SPRING,
)

DUNNING_COMMANDS = (DISPUTE, RESOLVE, PAUSE, RESUME, PROCEEDS, ASSIGN)
"""One of each command about lateness and supply."""


def _notices() -> list[Example]:
    late = {
        "agreement": AGREEMENT,
        "recipient": "raul",
        "invoice": JULY_BILL,
        "overdue_stroops": 338_214_000,
    }

    def notice(cls: type[Fact], name: str, periods: int, **more: object) -> Example:
        fact = cls.model_validate({**late, "periods_late": periods, **more})
        time = datetime(2016, 8 + periods, 18, 6, tzinfo=UTC)
        return from_time(BILLING, AGREEMENT, f"{JULY_BILL}.{name}", fact, time)

    return [
        notice(dunning.ReminderSent, "reminder", 1),
        notice(dunning.AlertRaised, "alert", 2),
        notice(dunning.SternNoticeSent, "stern", 4, told=("gina", "ines", "ivo")),
        notice(dunning.EscalationReached, "diversion", 4, level="diversion"),
    ]


def _clock() -> list[Example]:
    span = {"pause": "september-fire", "agreement": AGREEMENT, "cause": "platform-outage"}
    paused = dunning.ClockPaused.model_validate(
        span | {"from_at": OUTAGE_FROM, "command": signed(PAUSE)}
    )
    resumed = dunning.ClockResumed.model_validate(
        span | {"from_at": OUTAGE_FROM, "until_at": OUTAGE_UNTIL, "command": signed(RESUME)}
    )
    disputed = dunning.InvoiceDisputed(
        invoice=JULY_BILL,
        agreement=AGREEMENT,
        amount_stroops=50_000_000,
        reason="meter-was-swapped",
        until_at=NOVEMBER,
        command=signed(DISPUTE),
    )
    resolved = dunning.DisputeResolved(
        invoice=JULY_BILL,
        agreement=AGREEMENT,
        credited_stroops=30_000_000,
        command=signed(RESOLVE),
    )
    begun = _of(BILLING, PAUSE, "paused", dunning.CLOCK_KEY, paused)
    ended = _of(BILLING, RESUME, "resumed", dunning.CLOCK_KEY, resumed)
    outage = {"pause": "outage-2016-09-02", "agreement": None, "command": None}
    return [
        begun,
        least_of(begun, **outage),
        ended,
        least_of(ended, **outage),
        _of(BILLING, DISPUTE, "disputed", AGREEMENT, disputed),
        _of(BILLING, RESOLVE, "resolved", AGREEMENT, resolved),
    ]


def _supply() -> list[Example]:
    what = {"holding": HOLDING, "agreement": AGREEMENT}
    overdue = what | {"invoice": JULY_BILL}
    diverted = supply.SupplyDiverted.model_validate(overdue)
    disconnected = supply.SupplyDisconnected.model_validate(overdue)
    restored = supply.SupplyRestored.model_validate(what)
    covered = supply.FirstLossCovered(
        holding=HOLDING,
        agreement=AGREEMENT,
        system="sunrise",
        asset=USD,
        guarantor="gina",
        amount_stroops=338_214_000,
        returns=(
            MoneyMove(member="ines", amount_stroops=106_164_384),
            MoneyMove(member="ivo", amount_stroops=63_698_630),
        ),
        principal=(
            TitleMove(member="ines", shares=105_219_366),
            TitleMove(member="ivo", shares=63_131_620),
        ),
        cover_left_stroops=1_661_786_000,
    )
    return [
        _by_itself("diverted", diverted),
        _by_itself("disconnected", disconnected),
        _by_itself("restored", restored),
        _by_itself("covered", covered),
    ]


def _grid() -> list[Example]:
    sold = supply.GridEnergySold(
        holding=HOLDING,
        agreement=AGREEMENT,
        system="sunrise",
        member="raul",
        offtaker="grid-company",
        asset=USD,
        first_interval_at=NOON,
        interval_s=900,
        energies_wh=(640, 705, 0),
        energy_wh=1_345,
        tariff="foothills",
        price_position=str(at(PRICES, 12)),
        price_stroops_per_kwh=700_000,
        amount_stroops=941_500,
    )
    received = supply.GridProceedsReceived(
        agreement=AGREEMENT,
        offtaker="grid-company",
        asset=USD,
        amount_stroops=941_500,
        command=signed(PROCEEDS),
    )
    return [
        _by_itself("2016-07-01T180000Z.sold", sold),
        _of(LEDGER, PROCEEDS, "proceeds", AGREEMENT, received),
    ]


def _devices() -> list[Example]:
    assigned = supply.PaygoDeviceAssigned(
        device=DEVICE, holding=HOLDING, first_count=1, command=signed(ASSIGN)
    )
    token = supply.SupplyTokenIssued(
        device=DEVICE,
        holding=HOLDING,
        agreement=AGREEMENT,
        kind="add-time",
        days=31,
        count=4,
        invoice=JULY_BILL,
    )
    issued = from_time(LEDGER, HOLDING, f"{DEVICE}.4.token", token)
    return [
        _of(LEDGER, ASSIGN, "device", HOLDING, assigned),
        issued,
        least_of(issued, kind="disable", days=0, count=5, invoice=None),
    ]


def _by_itself(what: str, fact: Fact) -> Example:
    return from_time(LEDGER, HOLDING, f"{HOLDING}.{what}", fact, NOVEMBER)


def _of(stream: str, command: Command, kind: str, key: str, fact: Fact) -> Example:
    return from_command(stream, command, kind, key, fact, sequence=60)


def dunning_examples() -> list[Example]:
    """One full example of every fact about lateness and supply."""
    return [*_notices(), *_clock(), *_supply(), *_grid(), *_devices()]
