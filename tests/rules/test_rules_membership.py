"""Who belongs: every service judges a command by what it has read of MEMBERS, and all alike."""

from collections.abc import Callable

import pytest

from libs.events.billing_commands import OpenAgreement
from libs.events.command import Body
from libs.events.commands import (
    AdvanceTime,
    DepositFunds,
    EnrolMeter,
    RotateKey,
    SuspendMember,
)
from libs.events.fact import Fact
from libs.events.membership import KeyRotated, MemberSuspended, RoleGranted
from libs.events.timekeeping import TimeAdvanced
from libs.rules.authority import Authority
from libs.rules.membership import Member, Members
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import HeliographError
from services.billing.domain import Billing
from services.ingest.meters import Meters
from services.ledger.domain import Book
from services.ledger.members import Register
from services.oracle.domain import Oracle
from tests.histories import (
    ANY_COMMAND_SIGNED,
    DEPLOYMENT,
    START,
    History,
    Rules,
    Stage,
    key_of,
    signed,
)


def _authority(service: str, book: str) -> Authority:
    return Authority(deployment=DEPLOYMENT, service=service, book=book)


def _book() -> Rules:
    timekeeper = Timekeeper("LEDGER_valley", ("READINGS_0",))
    authority = _authority("ledger", "valley")
    return Book(authority=authority, timekeeper=timekeeper, stream="LEDGER_valley")


def _billing() -> Rules:
    timekeeper = Timekeeper("BILLING_valley", ("READINGS_0", "LEDGER_valley"))
    authority = _authority("billing", "valley")
    return Billing(authority=authority, timekeeper=timekeeper, stream="BILLING_valley")


def _meters() -> Rules:
    authority = _authority("ingest", "0")
    return Meters(authority=authority, stream="METERS_0", partition=0, partitions=1)


def _oracle() -> Rules:
    authority = _authority("oracle", "main")
    return Oracle(authority=authority, stream="PRICES", followers={}, played_from=START)


def _register() -> Rules:
    return Register(authority=_authority("ledger", "register"), stream="MEMBERS")


WRITERS: list[tuple[Callable[[], Rules], str, str, type[Body]]] = [
    (_book, "LEDGER_valley", "valley", DepositFunds),
    (_billing, "BILLING_valley", "valley", OpenAgreement),
    (_meters, "METERS_0", "0", EnrolMeter),
    (_oracle, "PRICES", "main", AdvanceTime),
    (_register, "MEMBERS", "register", SuspendMember),
]
"""Everybody who takes commands: rules, own stream, book, and one of the commands."""

BODIES: dict[type[Body], Body] = {
    DepositFunds: DepositFunds(member="anna", asset="USD", amount_stroops=5),
    OpenAgreement: OpenAgreement.model_validate(
        {
            "agreement": "home",
            "holding": "h",
            "tariff": "t",
            "period": "month",
            "first_day": "2026-06-01",
            "rating_interval_s": 900,
            "settlement_lag_s": 1,
            "due_after_s": 1,
            "terms": {"return_ppm_year": 0, "minimum_payment_stroops": 0},
        }
    ),
    EnrolMeter: EnrolMeter.model_validate(
        {
            "meter": "m",
            "address": key_of("m").address,
            "role": "generation",
            "system": "s",
            "site": "s",
            "nameplate_w": 1,
            "starts": (),
        }
    ),
    AdvanceTime: AdvanceTime(to=START),
    SuspendMember: SuspendMember(member="anna", suspended=True, reason="x"),
}

NEW_KEY = KeyRotated(member="anna", address=key_of("anna-2").address, command=ANY_COMMAND_SIGNED)
AUDITOR = RoleGranted(member="anna", roles=("auditor",), command=ANY_COMMAND_SIGNED)


def suspension(*, on: bool) -> MemberSuspended:
    return MemberSuspended(member="anna", suspended=on, reason="x", command=ANY_COMMAND_SIGNED)


class Case:
    """One writer that has read that Anna is an approver, and what it says of her command."""

    def __init__(self, make: Callable[[], Rules], stream: str, book: str, body: type[Body]) -> None:
        self.stage = Stage(make(), stream, book, History())
        self.body = BODIES[body]
        self.stage.given(*self.stage.history.advance(START))
        self.stage.given(self.stage.history.register("anna", "approver"))

    def told(self, fact: Fact) -> None:
        self.stage.given(self.stage.history.record("MEMBERS", "anna", fact))

    def outcome(self, signer: str = "anna") -> str:
        """The code of the refusal, or the roles by which she is judged."""
        text = signed("anna", "c1", self.body, self.stage.book, signer=signer)
        try:
            order, _ = self.stage.judge(text)
        except HeliographError as error:
            return error.code
        assert order is not None
        return " ".join(order.signer.roles)


@pytest.fixture(params=WRITERS, ids=[stream for _, stream, _, _ in WRITERS])
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def test_the_key_that_was_read_last_counts(case: Case) -> None:
    assert case.outcome() == "approver"
    case.told(NEW_KEY)
    assert (case.outcome(), case.outcome("anna-2")) == ("wrong-key", "approver")


def test_the_roles_that_were_read_last_count(case: Case) -> None:
    case.told(AUDITOR)
    assert case.outcome() == "auditor"


def test_whoever_is_suspended_is_refused_until_it_is_lifted(case: Case) -> None:
    case.told(suspension(on=True))
    assert (case.outcome(), case.outcome("eve")) == ("member-suspended", "wrong-key")
    case.told(suspension(on=False))
    assert case.outcome() == "approver"


def test_a_change_that_was_not_read_yet_changes_nothing(case: Case) -> None:
    case.stage.history.record("MEMBERS", "anna", NEW_KEY)
    assert case.outcome() == "approver"


def test_members_fold_what_is_told_of_them() -> None:
    history, members = History(), Members()
    assert (members.get("anna"), members.has_approver) == (None, False)
    other = TimeAdvanced(to=START, cadence_s=60)
    for fact in (history.register("anna", "approver").fact, other, NEW_KEY, suspension(on=True)):
        members.evolve(fact)
    assert members.get("anna") == Member(
        "anna", key_of("anna-2").address, frozenset({"approver"}), is_suspended=True
    )
    assert (members.has_approver, members.is_last_approver("anna")) == (False, False)
    members.evolve(suspension(on=False))
    assert (members.has_approver, members.is_last_approver("anna")) == (True, True)
    members.evolve(AUDITOR)
    assert not members.has_approver
    assert members.owner_of(key_of("anna").address) == "anna"
    assert members.owner_of(key_of("eve").address) is None


def test_a_body_of_a_rotation_is_signed_with_the_key_before() -> None:
    case = Case(_register, "MEMBERS", "register", SuspendMember)
    body = RotateKey(member="anna", address=key_of("anna-2").address)
    assert case.stage.when("anna", "r", body)
    assert (case.outcome(), case.outcome("anna-2")) == ("wrong-key", "approver")
