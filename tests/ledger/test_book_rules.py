"""The rules of a book by given / when / then: raising, paying, owning; every refusal; the laws."""

from datetime import timedelta
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.books import (
    FundsDeposited,
    HoldingOpened,
    OwnershipTransferred,
    PaymentSettled,
    SystemApproved,
    Terms,
)
from libs.events.command import Body
from libs.events.commands import DepositFunds, RegisterMember
from libs.events.invoicing import NOTICE_S, AgreementOpened, InvoiceIssued, InvoiceLine
from libs.events.repaying import InvoiceCapped
from libs.events.system_commands import (
    AcceptRaise,
    ApproveSystem,
    Invest,
    OpenHolding,
    Pay,
    ProposeSystem,
)
from libs.events.systems import HoldingOwned, InvestmentMade, RaiseAccepted, SystemProposed
from libs.events.timekeeping import TimeReached
from libs.rules.authority import Authority
from libs.rules.stages import walk
from libs.rules.timekeeper import Timekeeper
from libs.runtime.failures import HeliographError, NotFound, Refused
from services.ledger.domain import Book
from services.ledger.members import BOOK, Register
from tests.histories import ANY_COMMAND_SIGNED, DEPLOYMENT, START, Stage, key_of

TERMS = Terms(return_ppm_year=0, minimum_payment_stroops=0)
PRICE = 1_000
LEDGER, BILLING = "LEDGER_pilot", "BILLING_pilot"


def book() -> Stage:
    rules = Book(
        authority=Authority(deployment=DEPLOYMENT, service="ledger", book="pilot"),
        timekeeper=Timekeeper(LEDGER, ("READINGS_0",)),
        stream=LEDGER,
    )
    stage = Stage(rules, LEDGER, "pilot")
    for member, role in (
        ("approver", "approver"),
        ("dev", "developer"),
        ("home", "recipient"),
        ("ann", "investor"),
        ("bob", "investor"),
    ):
        stage.given(stage.history.register(member, role))
    stage.advance(0)
    return stage


def propose(**changes: object) -> ProposeSystem:
    values = {
        "system": "sun",
        "asset": "USD",
        "price_stroops": PRICE,
        "nameplate_w": 5_000,
        "site": "roof",
        "time_zone": "America/Denver",
        "terms": TERMS,
    }
    return ProposeSystem.model_validate(values | changes)


def deposit(member: str, amount: int, asset: str = "USD") -> DepositFunds:
    return DepositFunds(member=member, asset=asset, amount_stroops=amount)


def invest(amount: int, system: str = "sun", terms: Terms = TERMS) -> Invest:
    return Invest(system=system, amount_stroops=amount, terms=terms)


def hold(units: int = PRICE, **changes: str) -> OpenHolding:
    values = {"holding": "h", "system": "sun", "recipient": "home"} | changes
    return OpenHolding.model_validate(values | {"units": units})


def proposed() -> Stage:
    stage = book()
    stage.when("dev", "1", propose())
    return stage


def document(kind: str) -> str:
    """The hash of a document that nobody wrote."""
    return sha256(kind.encode()).hexdigest()


def signed_steps(system: str, from_stage: int, to_stage: int) -> list[tuple[str, Body]]:
    """Who leaves these stages, and what he signs."""
    steps = walk(system, from_stage, to_stage, document)
    return [("dev" if leaver == "proposer" else "approver", body) for leaver, body in steps]


def walked(stage: Stage, from_stage: int, to_stage: int, system: str = "sun") -> Stage:
    """The system after whoever answers for its stages said that they are complete."""
    for number, (signer, body) in enumerate(signed_steps(system, from_stage, to_stage)):
        stage.when(signer, f"walk-{system}-{from_stage}-{number}", body)
    return stage


def approved(ann: int = PRICE, bob: int = PRICE) -> Stage:
    """A raise that is open, and two investors with money."""
    stage = proposed()
    stage.when("approver", "2", ApproveSystem(system="sun"))
    walked(stage, 0, 4)
    stage.when("approver", "3", deposit("ann", ann))
    stage.when("approver", "4", deposit("bob", bob))
    return stage


def held(ann: int = 600) -> Stage:
    stage = approved()
    stage.when("ann", "5", invest(ann))
    stage.when("bob", "6", invest(PRICE - ann))
    stage.when("home", "7", AcceptRaise(system="sun"))
    stage.when("approver", "8", hold())
    return stage


def with_invoices(stage: Stage, *amounts: int) -> Stage:
    agreement = AgreementOpened(
        agreement="agr",
        holding="h",
        system="sun",
        recipient="home",
        tariff="fixed",
        asset="USD",
        period="month",
        time_zone="America/Denver",
        first_day="2026-06-01",
        rating_interval_s=900,
        settlement_lag_s=0,
        due_after_s=0,
        terms=TERMS,
        grace_periods=6,
        notice_s=NOTICE_S,
        command=ANY_COMMAND_SIGNED,
    )
    stage.given(stage.history.record(BILLING, "agr", agreement))
    for number, amount in enumerate(amounts, start=1):
        line = InvoiceLine(
            line=1,
            line_class="energy",
            kind="use",
            holding="h",
            tariff="fixed",
            tariff_version=1,
            price_position="PRICES:1:" + "0" * 32,
            price_stroops_per_kwh=1_000,
            energy_wh=amount,
            amount_stroops=amount,
        )
        invoice = InvoiceIssued(
            invoice=f"agr-{number}",
            number=number,
            agreement="agr",
            recipient="home",
            asset="USD",
            period_from=START,
            period_until=START + timedelta(days=30),
            due_at=START + timedelta(days=30 * number),
            readings=(),
            rated_intervals=1,
            unrated_intervals=0,
            generated_wh=amount,
            consumed_wh=amount,
            lines=(line,),
            total_stroops=amount,
        )
        stage.given(stage.history.record(BILLING, "agr", invoice))
    return stage


def balance(stage: Stage, asset: str, account: str) -> int:
    rules = stage.rules
    assert isinstance(rules, Book)
    return rules.books.balance(asset, account)


def refusal_of(stage: Stage, member: str, body: Body) -> tuple[str, str | None]:
    """The code and field of a refusal; nothing may have changed."""
    before = len(stage.history.facts)
    with pytest.raises((Refused, NotFound)) as refusal:
        stage.when(member, "refused", body)
    assert len(stage.history.facts) == before
    return refusal.value.code, refusal.value.field


def test_a_deposit_reaches_the_wallet() -> None:
    stage = book()
    assert isinstance(stage.when("approver", "1", deposit("ann", 5))[0], FundsDeposited)
    assert balance(stage, "U:USD", "wallet:ann") == 5


def test_a_system_is_proposed_then_approved_and_its_title_is_the_approvers_to_place() -> None:
    stage = proposed()
    assert isinstance(stage.history.facts[-1].fact, SystemProposed)
    assert isinstance(stage.when("approver", "2", ApproveSystem(system="sun"))[0], SystemApproved)
    assert balance(stage, "T:sun", "approver:sun") == PRICE


def test_investing_reserves_units_and_puts_money_into_escrow() -> None:
    stage = approved()
    (fact,) = stage.when("ann", "5", invest(600))
    assert isinstance(fact, InvestmentMade)
    assert balance(stage, "U:USD", "escrow:sun:ann") == 600
    assert balance(stage, "T:sun", "reserved:sun:ann") == 600
    assert balance(stage, "T:sun", "approver:sun") == 400


def test_accepting_moves_escrow_to_the_building_and_reserved_units_to_title() -> None:
    stage = held()
    accepted = [f.fact for f in stage.history.facts if isinstance(f.fact, RaiseAccepted)]
    assert [(move.member, move.shares) for move in accepted[0].moves] == [
        ("ann", 600),
        ("bob", 400),
    ]
    assert balance(stage, "U:USD", "build:sun") == PRICE
    assert balance(stage, "U:USD", "escrow:sun:ann") == 0
    assert balance(stage, "T:sun", "title:sun:bob") == 400
    assert isinstance(stage.history.facts[-1].fact, HoldingOpened)


def test_paying_an_invoice_repays_investors_by_title_and_moves_as_many_shares() -> None:
    stage = with_invoices(held(), 100)
    stage.when("approver", "9", deposit("home", 100))
    settled, moved = stage.when("home", "10", Pay(agreement="agr", amount_stroops=100))
    assert isinstance(settled, PaymentSettled)
    assert isinstance(moved, OwnershipTransferred)
    assert [(part.invoice, part.amount_stroops) for part in settled.cleared] == [("agr-1", 100)]
    assert [(part.member, part.amount_stroops) for part in settled.principal] == [
        ("ann", 60),
        ("bob", 40),
    ]
    assert [(part.member, part.shares) for part in moved.moves] == [("ann", 60), ("bob", 40)]
    assert (moved.own_shares, moved.holding_units) == (100, PRICE)
    assert balance(stage, "U:USD", "wallet:ann") == 400 + 60
    assert balance(stage, "T:sun", "own:agr") == 100


def test_the_second_fact_of_a_payment_names_the_first_as_its_cause() -> None:
    stage = with_invoices(held(), 100)
    stage.when("approver", "9", deposit("home", 100))
    stage.when("home", "10", Pay(agreement="agr", amount_stroops=100))
    settled, moved = stage.history.facts[-2:]
    assert moved.envelope.cause == f"{settled.position} {settled.envelope.id}"


def test_a_partial_payment_clears_a_part_and_the_next_clears_the_rest() -> None:
    stage = with_invoices(held(), 100)
    stage.when("approver", "9", deposit("home", 100))
    stage.when("home", "10", Pay(agreement="agr", amount_stroops=30))
    settled, _ = stage.when("home", "11", Pay(agreement="agr", amount_stroops=70))
    assert isinstance(settled, PaymentSettled)
    assert [part.amount_stroops for part in settled.cleared] == [70]


def test_a_payment_clears_the_oldest_due_invoice_first() -> None:
    stage = with_invoices(held(), 100, 50)
    stage.when("approver", "9", deposit("home", 120))
    settled, _ = stage.when("home", "10", Pay(agreement="agr", amount_stroops=120))
    assert isinstance(settled, PaymentSettled)
    assert [(part.invoice, part.amount_stroops) for part in settled.cleared] == [
        ("agr-1", 100),
        ("agr-2", 20),
    ]


def test_money_above_what_is_open_stays_as_credit_and_is_used_next_time() -> None:
    stage = with_invoices(held(), 100)
    stage.when("approver", "9", deposit("home", 200))
    settled = stage.when("home", "10", Pay(agreement="agr", amount_stroops=130))[0]
    assert isinstance(settled, PaymentSettled)
    assert settled.credit_stroops == 30
    with_invoices(stage, 100, 50)
    settled = stage.when("home", "11", Pay(agreement="agr", amount_stroops=20))[0]
    assert isinstance(settled, PaymentSettled)
    assert ([part.amount_stroops for part in settled.cleared], settled.credit_stroops) == ([50], 0)


def test_a_payment_before_any_invoice_moves_no_title() -> None:
    stage = with_invoices(held())
    stage.when("approver", "9", deposit("home", 10))
    facts = stage.when("home", "10", Pay(agreement="agr", amount_stroops=10))
    assert len(facts) == 1
    assert balance(stage, "U:USD", "credit:agr") == 10


def test_principal_never_exceeds_the_holding_which_is_owned_then() -> None:
    stage = with_invoices(held(), PRICE + 500)
    stage.when("approver", "9", deposit("home", PRICE + 500))
    settled, moved, owned, capped = stage.when(
        "home", "10", Pay(agreement="agr", amount_stroops=PRICE + 500)
    )
    assert isinstance(settled, PaymentSettled)
    assert isinstance(moved, OwnershipTransferred)
    assert isinstance(owned, HoldingOwned)
    assert isinstance(capped, InvoiceCapped)
    assert (moved.own_shares, settled.credit_stroops) == (PRICE, 500)
    assert capped.amount_stroops == 500
    assert balance(stage, "T:sun", "title:sun:ann") == 0


def test_a_repeated_payment_changes_nothing() -> None:
    stage = with_invoices(held(), 100)
    stage.when("approver", "9", deposit("home", 200))
    assert stage.when("home", "10", Pay(agreement="agr", amount_stroops=100))
    assert stage.when("home", "10", Pay(agreement="agr", amount_stroops=100)) == []


def test_the_same_id_with_another_body_is_refused() -> None:
    stage = with_invoices(held(), 100)
    stage.when("approver", "9", deposit("home", 200))
    stage.when("home", "refused", Pay(agreement="agr", amount_stroops=100))
    assert refusal_of(stage, "home", Pay(agreement="agr", amount_stroops=99))[0] == "id-reused"


@pytest.mark.parametrize(
    ("stage", "member", "body", "code"),
    [
        (book, "home", deposit("home", 1), "wrong-role"),
        (book, "approver", deposit("nobody", 1), "unknown-member"),
        (book, "approver", deposit("ann", 1, f"USD:{key_of('x').address}"), "not-book-money"),
        (book, "ann", propose(), "wrong-role"),
        (book, "dev", propose(time_zone="Mars/Olympus"), "unknown-time-zone"),
        (book, "dev", propose(time_zone="/etc/passwd"), "unknown-time-zone"),
        (book, "dev", propose(system="time"), "id-reserved"),
        (book, "dev", propose(system="book-second"), "id-reserved"),
        (proposed, "dev", propose(), "system-exists"),
        (book, "approver", ApproveSystem(system="sun"), "unknown-system"),
        (proposed, "dev", ApproveSystem(system="sun"), "wrong-role"),
        (approved, "approver", ApproveSystem(system="sun"), "already-approved"),
        (proposed, "ann", invest(1), "raise-not-open"),
        (approved, "home", invest(1), "wrong-role"),
        (approved, "ann", invest(1, system="moon"), "unknown-system"),
        (approved, "ann", invest(PRICE + 1), "more-than-left"),
        (approved, "ann", invest(1, terms=Terms(return_ppm_year=1, minimum_payment_stroops=0)),
         "other-terms"),
        (lambda: approved(ann=5), "ann", invest(6), "insufficient-funds"),
        (approved, "home", AcceptRaise(system="sun"), "raise-not-full"),
        (approved, "ann", AcceptRaise(system="sun"), "wrong-role"),
        (held, "home", AcceptRaise(system="sun"), "raise-not-open"),
        (approved, "approver", hold(), "raise-not-accepted"),
        (held, "approver", hold(), "holding-exists"),
        (held, "approver", hold(1, holding="market"), "id-reserved"),
        (held, "approver", hold(1, holding="h2"), "more-than-left"),
        (held, "approver", hold(1, holding="h2", recipient="ann"), "no-recipient"),
        (held, "home", hold(), "wrong-role"),
        (held, "home", Pay(agreement="agr", amount_stroops=1), "unknown-agreement"),
        (lambda: with_invoices(held(), 1), "home", Pay(agreement="agr", amount_stroops=1),
         "insufficient-funds"),
        (lambda: with_invoices(held(), 1), "ann", Pay(agreement="agr", amount_stroops=1),
         "not-your-agreement"),
        (book, "approver",
         RegisterMember(member="x", address=key_of("x").address, roles=("investor",)),
         "wrong-service"),
    ],
)  # fmt: skip
def test_a_command_that_breaks_a_rule_is_refused_and_changes_nothing(
    stage: object, member: str, body: Body, code: str
) -> None:
    assert callable(stage)
    assert refusal_of(stage(), member, body)[0] == code


@settings(max_examples=60, deadline=None)
@given(
    ann=st.integers(1, PRICE - 1),
    amounts=st.lists(st.integers(1, 400), min_size=1, max_size=4),
    payments=st.lists(st.integers(1, 500), min_size=1, max_size=8),
)
def test_money_and_title_are_conserved_whatever_is_paid(
    ann: int, amounts: list[int], payments: list[int]
) -> None:
    stage = with_invoices(held(ann), *amounts)
    rules = stage.rules
    assert isinstance(rules, Book)
    stage.when("approver", "9", deposit("home", 500 * 8))
    for number, payment in enumerate(payments):
        stage.when("home", f"pay-{number}", Pay(agreement="agr", amount_stroops=payment))
        for debits, other_side in rules.books.totals().values():
            assert debits == other_side
    own = balance(stage, "T:sun", "own:agr")
    title = rules.books.accounts("T:sun", "title:")
    assert own + sum(title.values()) == PRICE
    assert own == min(sum(payments), sum(amounts), PRICE)
    repaid = balance(stage, "U:USD", "wallet:ann") + balance(stage, "U:USD", "wallet:bob")
    assert repaid == PRICE + own
    assert balance(stage, "U:USD", "credit:agr") == sum(payments) - own


def test_a_replay_of_the_same_facts_gives_the_same_balances() -> None:
    stage = with_invoices(held(), 100)
    stage.when("approver", "9", deposit("home", 100))
    stage.when("home", "10", Pay(agreement="agr", amount_stroops=100))
    again = book()
    for fact in stage.history.facts[len(again.history.facts) :]:
        again.rules.evolve(fact)
    for asset, account in (("U:USD", "wallet:ann"), ("T:sun", "own:agr"), ("U:USD", "build:sun")):
        assert balance(again, asset, account) == balance(stage, asset, account) > 0


def test_the_order_of_billings_facts_and_own_facts_does_not_matter() -> None:
    stage = with_invoices(held(), 100)
    stage.when("approver", "9", deposit("home", 200))
    stage.when("home", "10", Pay(agreement="agr", amount_stroops=60))
    facts = stage.history.facts
    own = [fact for fact in facts if fact.stream == LEDGER]
    others = [fact for fact in facts if fact.stream != LEDGER]
    again = Stage(
        Book(
            authority=Authority(deployment=DEPLOYMENT, service="ledger", book="pilot"),
            timekeeper=Timekeeper(LEDGER, ("READINGS_0",)),
            stream=LEDGER,
        ),
        LEDGER,
        "pilot",
        stage.history,
    )
    again.given(*own, *others)
    settled, _ = again.when("home", "11", Pay(agreement="agr", amount_stroops=100))
    assert isinstance(settled, PaymentSettled)
    assert ([part.amount_stroops for part in settled.cleared], settled.credit_stroops) == ([40], 60)


def test_time_is_reached_only_when_readings_have_reached_it() -> None:
    stage = book()
    stage.advance(1)
    assert [f for f in stage.history.facts if f.stream == LEDGER] == []
    stage.advance(2, "READINGS_0")
    reached = [f.fact for f in stage.history.facts if f.stream == LEDGER]
    assert reached == [TimeReached(to=START + timedelta(days=2))]


def register() -> Stage:
    rules = Register(
        authority=Authority(
            deployment=DEPLOYMENT,
            service="ledger",
            book=BOOK,
            first_approver=key_of("approver").address,
        ),
        stream="MEMBERS",
    )
    stage = Stage(rules, "MEMBERS", BOOK)
    stage.advance(0)
    return stage


def member(name: str, *roles: str, key: str = "") -> RegisterMember:
    return RegisterMember.model_validate(
        {"member": name, "address": key_of(key or name).address, "roles": roles or ("investor",)}
    )


def test_the_first_approver_registers_himself_and_then_others() -> None:
    stage = register()
    assert stage.when("approver", "1", member("approver", "approver"))
    assert stage.when("approver", "2", member("ann"))


@pytest.mark.parametrize(
    ("signer", "body", "code"),
    [
        ("approver", member("ann"), "member-exists"),
        ("approver", member("eve", key="ann"), "address-exists"),
        ("approver", member("eve", "investor", "investor"), "role-twice"),
        ("ann", member("eve"), "wrong-role"),
        ("nobody", member("eve"), "unknown-member"),
    ],
)
def test_the_register_refuses(signer: str, body: RegisterMember, code: str) -> None:
    stage = register()
    stage.when("approver", "1", member("approver", "approver"))
    stage.when("approver", "2", member("ann"))
    with pytest.raises(HeliographError) as refusal:
        stage.when(signer, "3", body)
    assert refusal.value.code == code


def test_a_book_holds_no_more_money_than_a_fact_can_say() -> None:
    stage = book()
    stage.when("approver", "1", deposit("ann", 2**53 - 10))
    assert refusal_of(stage, "approver", deposit("bob", 10)) == (
        "too-much-money",
        "body.amount_stroops",
    )
    assert stage.when("approver", "2", deposit("bob", 9))
