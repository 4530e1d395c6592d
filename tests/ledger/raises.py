"""Systems on the stage: proposed, funded in two rounds, built, held; and what is where."""

from datetime import timedelta
from hashlib import sha256

import pytest

from libs.events.books import Terms
from libs.events.command import Body
from libs.events.commands import DepositFunds
from libs.events.invoicing import NOTICE_S, AgreementOpened
from libs.events.system_commands import (
    AcceptRaise,
    ApproveSystem,
    DepositCover,
    Invest,
    OpenHolding,
    ProposeSystem,
)
from libs.events.systems import SeedRound
from libs.rules.authority import Authority
from libs.rules.stages import walk
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import NotFound, Refused
from services.ledger.domain import Book
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, Stage

LEDGER = "LEDGER_pilot"
TERMS = Terms(return_ppm_year=50_000, minimum_payment_stroops=0)
PRICE = 1_000
SEED = SeedRound(factor_ppm=1_200_000, cap_stroops=300)
COVER = 100
MONEY = 10_000

CAST = {
    "approver": ("approver",),
    "second": ("approver",),
    "dev": ("developer",),
    "other-dev": ("developer", "originator"),
    "home": ("recipient",),
    "next": ("recipient",),
    "ann": ("investor",),
    "bob": ("investor",),
    "cid": ("investor", "approver"),
    "guard": ("guarantor",),
    "builder": ("contractor",),
    "eve": ("auditor",),
}


def fresh_book() -> Book:
    return Book(
        authority=Authority(deployment=DEPLOYMENT, service="ledger", book="pilot"),
        timekeeper=Timekeeper(LEDGER, ("READINGS_0",)),
        stream=LEDGER,
    )


def cast() -> Stage:
    """A book with its members, who have money, and no system."""
    stage = Stage(fresh_book(), LEDGER, "pilot")
    for member, roles in CAST.items():
        stage.given(stage.history.register(member, *roles))
    advance(stage, 0)
    for member in ("ann", "bob", "cid", "guard", "next", "eve"):
        body = DepositFunds(member=member, asset="USD", amount_stroops=MONEY)
        stage.when("approver", f"money-{member}", body)
    return stage


def rules_of(stage: Stage) -> Book:
    assert isinstance(stage.rules, Book)
    return stage.rules


def advance(stage: Stage, seconds: int) -> None:
    """Let so many seconds pass since the start, and whatever is due happen."""
    stage.now = START + timedelta(seconds=seconds)
    stage.given(*stage.history.advance(stage.now))
    stage.follow_up()


def hash_of(kind: str) -> str:
    """The hash of a document that nobody wrote."""
    return sha256(kind.encode()).hexdigest()


def propose(**changes: object) -> ProposeSystem:
    values = {
        "system": "sun",
        "asset": "USD",
        "price_stroops": PRICE,
        "nameplate_w": 5_000,
        "site": "roof",
        "time_zone": "America/Denver",
        "terms": TERMS,
        "recipient": "home",
        "seed": SEED,
        "cover_stroops": COVER,
    }
    return ProposeSystem.model_validate(values | changes)


def walked(stage: Stage, from_stage: int, to_stage: int, system: str = "sun") -> Stage:
    """Whoever answers for these stages says that they are complete."""
    for number, (leaver, body) in enumerate(walk(system, from_stage, to_stage, hash_of)):
        signer = "dev" if leaver == "proposer" else "approver"
        stage.when(signer, f"walk-{system}-{from_stage}-{number}", body)
    return stage


def proposed(**changes: object) -> Stage:
    stage = cast()
    stage.when("dev", "propose", propose(**changes))
    return stage


def in_stage(stage_number: int, **changes: object) -> Stage:
    """An approved system that was led so far, at most to the raise, without an investment."""
    stage = proposed(**changes)
    stage.when("approver", "approve", ApproveSystem(system="sun"))
    return walked(stage, 0, stage_number)


def invest(amount: int, system: str = "sun", *, is_at_risk: bool | None = None) -> Invest:
    return Invest(system=system, amount_stroops=amount, terms=TERMS, is_at_risk=is_at_risk)


def full(**changes: object) -> Stage:
    """A raise that is full: ann gave 200 for 240 units early, bob the rest; cover is there."""
    stage = in_stage(1, **changes)
    stage.when("ann", "seed", invest(200))
    walked(stage, 1, 4)
    stage.when("guard", "cover", DepositCover(system="sun", amount_stroops=COVER))
    stage.when("bob", "rest", invest(PRICE - 200))
    return stage


UNITS = PRICE + 40
"""Units of the system of `full`."""


def accepted() -> Stage:
    stage = full()
    stage.when("home", "accept", AcceptRaise(system="sun"))
    return stage


def hold(units: int, holding: str = "h", recipient: str = "home") -> OpenHolding:
    return OpenHolding(holding=holding, system="sun", recipient=recipient, units=units)


def operating() -> Stage:
    """A system in operation with two holdings, `h` of home and `h2` of next."""
    stage = accepted()
    walked(stage, 5, 6)
    stage.when("approver", "hold", hold(600))
    stage.when("approver", "hold2", hold(UNITS - 600, "h2", "next"))
    return walked(stage, 6, 7)


def agreed(stage: Stage, holding: str = "h", recipient: str = "home", **changes: object) -> Stage:
    """Billing opened the agreement of a holding, called after it."""
    values = {
        "agreement": f"agr-{holding}",
        "holding": holding,
        "system": "sun",
        "recipient": recipient,
        "tariff": "fixed",
        "asset": "USD",
        "period": "month",
        "time_zone": "America/Denver",
        "first_day": "2026-06-01",
        "rating_interval_s": 900,
        "settlement_lag_s": 0,
        "due_after_s": 0,
        "terms": TERMS,
        "grace_periods": 6,
        "notice_s": NOTICE_S,
        "command": ANY_COMMAND_SIGNED,
    }
    fact = AgreementOpened.model_validate(values | changes)
    stage.given(stage.history.record("BILLING_pilot", fact.agreement, fact))
    return stage


def balance(stage: Stage, asset: str, account: str) -> int:
    return rules_of(stage).books.balance(asset, account)


def wallet(stage: Stage, member: str) -> int:
    return balance(stage, "U:USD", f"wallet:{member}")


def refusal_of(stage: Stage, member: str, body: Body) -> tuple[str, str | None, str]:
    """Code, field and text of a refusal; nothing may have changed."""
    before = len(stage.history.facts)
    with pytest.raises((Refused, NotFound)) as refusal:
        stage.when(member, "refused", body)
    assert len(stage.history.facts) == before
    return refusal.value.code, refusal.value.field, refusal.value.message
