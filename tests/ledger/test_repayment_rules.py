"""Paying is owning, by given / when / then: what clears what, whom it reaches, when it is owned."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import pytest

from libs.events.books import OwnershipTransferred, PaymentSettled
from libs.events.command import Body
from libs.events.commands import DepositFunds, ReceiveFunds, SettleSuspense, WithdrawFunds
from libs.events.fact import Fact
from libs.events.repaying import (
    CreditApplied,
    CreditNoteSettled,
    CreditRefunded,
    FundsReceived,
    FundsSuspended,
    FundsWithdrawn,
    InvoiceCapped,
    PrepaidApplied,
    RefundReceived,
    StandingOrderSet,
    SuspenseSettled,
)
from libs.events.system_commands import Pay, Prepay, RefundCredit, SetStandingOrder
from libs.events.systems import (
    HoldingOwned,
    HoldingReclaimed,
    HoldingTransferred,
    StageAdvanced,
    SystemPaidOff,
)
from libs.runtime.failures import BrokenLaw
from tests.histories import ANY_COMMAND_SIGNED
from tests.ledger.repaying import (
    FIVE_PERCENT,
    LEDGER,
    MONEY,
    Line,
    Repaying,
    fresh_book,
)

ENERGY: Line = ("energy", None, 100)
MIXED: tuple[Line, ...] = (
    ("energy", None, 100),
    ("shared", "agr-2", 30),
    ("running", "keeper", 20),
    ("tax", "town", 10),
)


F = TypeVar("F", bound=Fact)


def of_kind(facts: Sequence[Fact], kind: type[F]) -> list[F]:
    return [fact for fact in facts if isinstance(fact, kind)]


def one(facts: Sequence[Fact], kind: type[F]) -> F:
    (found,) = of_kind(facts, kind)
    return found


def names(facts: list[Fact]) -> list[str]:
    return [type(fact).fact_name for fact in facts]


def two() -> Repaying:
    return Repaying(units=(600, 400))


# -- what a payment clears ------------------------------------------------------------------------


def test_a_payment_clears_tax_then_running_then_shared_then_energy() -> None:
    stage = two()
    stage.bill(*MIXED)

    settled = one(stage.pay(95), PaymentSettled)

    assert [
        (each.line_class, each.into, each.payee, each.amount_stroops) for each in settled.cleared
    ] == [
        ("tax", "tax", "town", 10),
        ("running", "wallet", "keeper", 20),
        ("shared", "credit", "agr-2", 30),
        ("energy", "investors", None, 35),
    ]
    assert stage.money("tax:town") == 10
    assert stage.wallet("keeper") == 20
    assert stage.money("credit:agr-2") == 30
    assert stage.wallet("ann") + stage.wallet("bob") == stage.title("own:agr-1") == 35
    stage.check_laws()


def test_only_energy_moves_title() -> None:
    stage = two()
    stage.bill(*MIXED)

    assert names(stage.pay(60)) == ["PaymentSettled"]
    assert stage.title("own:agr-1") == 0


def test_the_oldest_due_invoice_comes_first_whatever_its_number() -> None:
    stage = two()
    younger = stage.bill(ENERGY, due=60)
    older = stage.bill(ENERGY, due=30)

    settled = one(stage.pay(150), PaymentSettled)

    assert [(each.invoice, each.amount_stroops) for each in settled.cleared] == [
        (older, 100),
        (younger, 50),
    ]


def test_in_a_class_payees_come_by_name() -> None:
    stage = two()
    stage.bill(("tax", "town", 5), ("running", "keeper", 5), ("tax", "dev", 5))

    settled = one(stage.pay(12), PaymentSettled)

    assert [(each.payee, each.amount_stroops) for each in settled.cleared] == [
        ("dev", 5),
        ("town", 5),
        ("keeper", 2),
    ]


def test_money_above_what_is_open_is_credit_and_clears_the_next_invoice_by_itself() -> None:
    stage = two()
    stage.bill(ENERGY)
    assert one(stage.pay(130), PaymentSettled).credit_stroops == 30

    stage.bill(ENERGY)
    applied = one(stage.follow_up(), CreditApplied)

    assert (applied.application, applied.amount_stroops) == ("agr-1.credit.1", 30)
    assert applied.credit_stroops == stage.money("credit:agr-1") == 0
    assert stage.title("own:agr-1") == 130
    assert stage.history.facts[-2].envelope.cause.startswith("BILLING_pilot:")
    stage.check_laws()


def test_what_a_settlement_has_no_entries_for_is_credit_and_is_applied_next() -> None:
    stage = Repaying(units=(100_000, 100_000))
    for _ in range(130):
        stage.bill(("energy", None, 10))

    facts = stage.pay(1_300)

    settled, applied = one(facts, PaymentSettled), one(facts, CreditApplied)
    assert (len(settled.cleared), settled.credit_stroops) == (100, 300)
    assert (len(applied.cleared), applied.credit_stroops) == (30, 0)


def test_nothing_is_due_and_nothing_looked_at_while_nothing_happens() -> None:
    stage = two()
    stage.bill(ENERGY)
    stage.follow_up()

    assert stage.book_rules.repayment.due() == ()
    stage.at(400)
    assert stage.follow_up() == []


def test_a_repeated_payment_changes_nothing() -> None:
    stage = two()
    stage.bill(ENERGY)
    body = Pay(agreement="agr-1", amount_stroops=100)
    assert stage.when("home", "pay", body)
    assert stage.when("home", "pay", body) == []


# -- who may pay what -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "body", "code"),
    [
        ("home", Pay(agreement="none", amount_stroops=1), "unknown-agreement"),
        ("next", Pay(agreement="agr-1", amount_stroops=1), "not-your-agreement"),
        ("home", Pay(agreement="agr-1", amount_stroops=1, asset="EUR"), "wrong-asset"),
        ("home", Pay(agreement="agr-1", amount_stroops=1, invoice="agr-1.9"), "unknown-invoice"),
        ("home", Pay(agreement="agr-1", amount_stroops=1, invoice="agr-2.2"), "unknown-invoice"),
        ("home", Pay(agreement="agr-1", amount_stroops=1, invoice="agr-1.1"), "invoice-closed"),
        ("home", Pay(agreement="agr-1", amount_stroops=MONEY), "insufficient-funds"),
        ("home", Prepay(agreement="none", amount_stroops=1), "unknown-agreement"),
        ("next", Prepay(agreement="agr-1", amount_stroops=1), "not-your-agreement"),
        ("home", Prepay(agreement="agr-1", amount_stroops=501), "more-than-owed"),
        ("home", RefundCredit(agreement="agr-1", amount_stroops=1), "insufficient-credit"),
        ("next", RefundCredit(agreement="agr-1", amount_stroops=1), "not-your-agreement"),
        ("next", SetStandingOrder(agreement="agr-1", limit_stroops=1), "not-your-agreement"),
        ("home", SetStandingOrder(agreement="none", limit_stroops=1), "unknown-agreement"),
        ("home", ReceiveFunds(asset="USD", amount_stroops=1, reference="agr-1"), "wrong-role"),
        ("approver", SettleSuspense(receipt="no.1"), "unknown-receipt"),
        ("approver", WithdrawFunds(member="ann", asset="USD", amount_stroops=61),
         "insufficient-funds"),
        ("approver", WithdrawFunds(member="who", asset="USD", amount_stroops=1), "unknown-member"),
        ("home", WithdrawFunds(member="home", asset="USD", amount_stroops=1), "wrong-role"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_refused_and_changes_nothing(
    member: str, body: Body, code: str
) -> None:
    stage = two()
    stage.bill(ENERGY)
    stage.pay(100)
    stage.bill(ENERGY, number=2)
    assert stage.wallet("ann") == 60

    assert stage.refusal_of(member, body) == code


def test_an_open_invoice_may_be_named_and_the_oldest_is_cleared_all_the_same() -> None:
    stage = two()
    older, younger = stage.bill(ENERGY), stage.bill(ENERGY)

    settled = one(stage.pay(100, asset="USD", invoice=younger), PaymentSettled)

    assert [each.invoice for each in settled.cleared] == [older]


def test_whoever_holds_the_holding_today_pays_it() -> None:
    stage = two()
    stage.bill(ENERGY)
    moved = HoldingTransferred(
        holding="h1", from_member="home", to_member="next", agreement="agr-1"
    )
    stage.given(stage.history.record(LEDGER, "h1", moved))

    assert stage.refusal_of("home", Pay(agreement="agr-1", amount_stroops=1)) == (
        "not-your-agreement"
    )
    assert one(stage.pay(100, member="next"), OwnershipTransferred).to_member == "next"


def reclaimed() -> Repaying:
    stage = two()
    stage.bill(ENERGY)
    stage.pay(130)
    fact = HoldingReclaimed.model_validate(
        {
            "holding": "h1",
            "system": "sun",
            "agreement": "agr-1",
            "member": "home",
            "units": 600,
            "moves": ({"member": "home", "shares": 100},),
            "command": ANY_COMMAND_SIGNED,
        }
    )
    stage.given(stage.history.record(LEDGER, "h1", fact))
    stage.follow_up()
    return stage


@pytest.mark.parametrize(
    "body",
    [
        Pay(agreement="agr-1", amount_stroops=1),
        Prepay(agreement="agr-1", amount_stroops=1),
        SetStandingOrder(agreement="agr-1", limit_stroops=1),
    ],
)
def test_an_agreement_ends_with_its_holding_and_is_paid_no_more(body: Body) -> None:
    assert reclaimed().refusal_of("home", body) == "agreement-ended"


def test_credit_of_an_ended_agreement_is_still_refunded() -> None:
    stage = reclaimed()
    stage.bill(ENERGY)
    assert stage.follow_up() == []

    refunded = one(stage.do("home", RefundCredit(agreement="agr-1", amount_stroops=30)),
                   CreditRefunded)  # fmt: skip
    assert (refunded.member, stage.money("credit:agr-1")) == ("home", 0)


# -- owning ---------------------------------------------------------------------------------------


def test_paying_all_principal_owns_the_holding_and_credits_what_is_open() -> None:
    stage = two()
    first, second = stage.bill(("energy", None, 600)), stage.bill(("energy", None, 600))

    facts = stage.follow_up()
    assert (one(facts, InvoiceCapped).invoice, one(facts, InvoiceCapped).reason) == (
        second,
        "owed",
    )
    facts = stage.pay(600)

    assert names(facts) == ["PaymentSettled", "OwnershipTransferred", "HoldingOwned"]
    owned = one(facts, HoldingOwned)
    assert (owned.holding, owned.member, owned.units) == ("h1", "home", 600)
    assert stage.title("own:agr-1") == 600
    assert stage.open_of(first) == stage.open_of(second) == 0
    stage.check_laws()


def test_what_is_open_is_capped_in_the_same_decision_in_which_it_is_owned() -> None:
    stage = two()
    invoices = [stage.bill(ENERGY, ("tax", "town", 1)) for _ in range(3)]
    stage.follow_up()

    facts = stage.prepay(600)

    assert names(facts)[:3] == ["PaymentSettled", "OwnershipTransferred", "HoldingOwned"]
    caps = of_kind(facts, InvoiceCapped)
    assert [(cap.invoice, cap.amount_stroops, cap.reason) for cap in caps] == [
        (invoice, 100, "owned") for invoice in invoices
    ]
    assert [stage.open_of(invoice) for invoice in invoices] == [1, 1, 1]
    stage.check_laws()


def test_energy_is_owned_and_tax_and_running_lines_are_still_paid() -> None:
    stage = two()
    stage.prepay(600)
    stage.bill(*MIXED)

    assert [cap.reason for cap in of_kind(stage.follow_up(), InvoiceCapped)] == ["owned"]
    settled = one(stage.pay(80), PaymentSettled)

    assert [each.line_class for each in settled.cleared] == ["tax", "running", "shared"]
    assert settled.credit_stroops == 20
    assert one(stage.do("home", RefundCredit(agreement="agr-1", amount_stroops=20)),
               CreditRefunded).amount_stroops == 20  # fmt: skip


def test_shared_energy_of_an_owned_holding_is_paid_to_its_holder() -> None:
    stage = two()
    stage.prepay(400, "next", 2)
    stage.bill(("shared", "agr-2", 30))
    before = stage.wallet("next")

    (cleared,) = one(stage.pay(30), PaymentSettled).cleared

    assert (cleared.into, cleared.payee, stage.wallet("next") - before) == ("wallet", "next", 30)
    assert stage.open_of("agr-1.1") == 0
    stage.check_laws()


def test_the_last_payment_pays_the_system_off() -> None:
    stage = two()
    stage.prepay(600)
    facts = stage.prepay(400, "next", 2)

    assert of_kind(facts, SystemPaidOff)
    assert [each.to_stage for each in of_kind(facts, StageAdvanced)] == [8]
    assert stage.book_rules.books.accounts("T:sun", "title:") == {}


def test_opensolars_pilot_ends_owned_with_exactly_all_shares() -> None:
    """4,000 USD at 0.20 USD/kWh and 5 %: 500 kWh a month are 100 USD."""
    price, month = 40_000_000_000, 1_000_000_000
    stage = Repaying(units=(price,), return_ppm_year=FIVE_PERCENT)
    paid, months, owned = 0, 0, list[HoldingOwned]()
    while not owned:
        months += 1
        stage.at(months * 30 - 1)
        stage.bill(("energy", None, month), due=months * 30)
        stage.follow_up()
        asked = stage.open_of(f"agr-1.{months}")
        paid += asked
        owned = of_kind(stage.pay(asked), HoldingOwned)

    # As the formula for annuities says: -ln(1 - 40 r) / ln(1 + r) = 43.8 at r = 0.05 x 30/365.
    assert months == 44
    assert stage.title("own:agr-1") == price
    assert stage.claim("return_due:agr-1") == stage.money("credit:agr-1") == 0
    assert stage.wallet("ann") + stage.wallet("bob") == paid == MONEY - stage.wallet("home")
    assert stage.book_rules.systems.systems["sun"].stage == 8
    assert stage.open_of("agr-1.44") == 0
    stage.check_laws()


# -- prepayment and credit ------------------------------------------------------------------------


def test_a_prepayment_takes_credit_first_and_then_the_wallet() -> None:
    stage = two()
    stage.pay(30)

    settled = one(stage.prepay(50), PaymentSettled)

    assert (settled.kind, settled.amount_stroops, settled.credit_stroops) == ("prepayment", 20, 0)
    assert (settled.cleared, stage.title("own:agr-1")) == ((), 50)


def test_a_prepayment_may_come_out_of_credit_alone() -> None:
    stage = two()
    stage.pay(30)

    settled = one(stage.prepay(10), PaymentSettled)

    assert (settled.amount_stroops, settled.credit_stroops) == (0, 20)
    stage.check_laws()


def test_the_refusal_of_too_large_a_prepayment_names_what_a_payoff_takes() -> None:
    stage = Repaying(units=(40_000_000_000,), return_ppm_year=FIVE_PERCENT)
    stage.at(29)
    payoff = 40_000_000_000 + 164_383_562

    with pytest.raises(Exception, match=f"a payoff takes {payoff} stroops"):
        stage.prepay(payoff + 1)
    assert of_kind(stage.prepay(payoff), HoldingOwned)


def test_open_energy_is_capped_when_a_prepayment_makes_it_more_than_is_owed() -> None:
    stage = two()
    invoice = stage.bill(ENERGY)
    facts = stage.prepay(550)

    assert [(cap.amount_stroops, cap.reason) for cap in of_kind(facts, InvoiceCapped)] == [
        (50, "owed")
    ]
    assert stage.open_of(invoice) == 50


def test_credit_that_an_open_invoice_needs_is_not_refunded() -> None:
    stage = two()
    stage.pay(30)
    stage.bill(("energy", None, 20))  # read, and its credit not yet applied

    assert stage.refusal_of("home", RefundCredit(agreement="agr-1", amount_stroops=11)) == (
        "insufficient-credit"
    )
    assert stage.do("home", RefundCredit(agreement="agr-1", amount_stroops=10))
    assert stage.open_of("agr-1.1") == 0


# -- credit notes ---------------------------------------------------------------------------------


def test_a_credit_note_on_an_unpaid_invoice_lowers_what_is_due() -> None:
    stage = two()
    invoice = stage.bill(*MIXED)
    note = {"energy": 100, "shared": 30, "running": 20, "tax": 10}
    stage.given(stage.note(invoice, note))  # type: ignore[arg-type]

    settled = one(stage.follow_up(), CreditNoteSettled)

    assert {part.line_class: part.amount_stroops for part in settled.unpaid} == note
    assert (settled.prepaid_stroops, settled.refunds, stage.open_of(invoice)) == (0, (), 0)
    stage.check_laws()


def test_paid_energy_becomes_prepaid_and_clears_energy_without_moving_shares_again() -> None:
    stage = two()
    invoice = stage.bill(ENERGY)
    stage.pay(100)
    stage.given(stage.note(invoice, {"energy": 100}), stage.invoice(("energy", None, 90), due=30))

    facts = stage.follow_up()

    assert names(facts) == ["CreditNoteSettled", "PrepaidApplied"]
    assert one(facts, CreditNoteSettled).prepaid_stroops == 100
    assert one(facts, PrepaidApplied).prepaid_stroops == 10
    assert stage.title("own:agr-1") == 100
    stage.bill(ENERGY)
    assert one(stage.follow_up(), PrepaidApplied).amount_stroops == 10
    stage.check_laws()


def test_a_correction_never_claws_back_shares() -> None:
    stage = two()
    invoice = stage.bill(("energy", None, 600))
    stage.pay(600)
    stage.given(stage.note(invoice, {"energy": 600}))

    settled = one(stage.follow_up(), CreditNoteSettled)

    assert settled.prepaid_stroops == 0  # it lapses: the shares were received
    assert stage.title("own:agr-1") == 600
    stage.check_laws()


def test_prepaid_comes_before_a_cap_and_lapses_when_the_holding_is_owned() -> None:
    stage = two()
    invoice = stage.bill(("energy", None, 560))
    stage.pay(560)
    stage.given(stage.note(invoice, {"energy": 560}), stage.invoice(("energy", None, 550), due=30))
    facts = stage.follow_up()
    assert not of_kind(facts, InvoiceCapped)
    assert one(facts, PrepaidApplied).prepaid_stroops == 10

    assert one(stage.prepay(40), HoldingOwned).lapsed_prepaid_stroops == 10
    assert stage.book_rules.repayment.receivables.prepaid_stroops("agr-1") == 0
    stage.check_laws()


def test_what_other_payees_received_comes_back_as_far_as_it_reaches() -> None:
    stage = two()
    invoice = stage.bill(("running", "keeper", 20), ("tax", "town", 10), ("shared", "agr-2", 30))
    stage.pay(60)
    stage.do("approver", WithdrawFunds(member="keeper", asset="USD", amount_stroops=15))
    stage.given(stage.note(invoice, {"running": 20, "tax": 10, "shared": 30}))

    settled = one(stage.follow_up(), CreditNoteSettled)

    assert [
        (each.into, each.payee, each.refunded_stroops, each.owed_stroops)
        for each in settled.refunds
    ] == [("tax", "town", 10, 0), ("wallet", "keeper", 5, 15), ("credit", "agr-2", 30, 0)]
    assert stage.money("credit:agr-1") == 45
    assert stage.claim("owed_by:keeper") == 15
    received = of_kind(stage.deposit("keeper", 9), RefundReceived)
    assert [(each.payee, each.amount_stroops) for each in received] == [("keeper", 9)]
    assert one(stage.deposit("keeper", 9), RefundReceived).amount_stroops == 6
    assert (stage.wallet("keeper"), stage.claim("owed_by:keeper")) == (3, 0)
    stage.check_laws()


def owing(*amounts: int) -> Repaying:
    """Surplus of agr-2 was paid, spent and undone: agr-2 owes it, one credit note after another."""
    stage = two()
    invoices = [stage.bill(("shared", "agr-2", amount)) for amount in amounts]
    stage.pay(sum(amounts))
    stage.do("next", RefundCredit(agreement="agr-2", amount_stroops=sum(amounts)))
    for invoice, amount in zip(invoices, amounts, strict=True):
        stage.given(stage.note(invoice, {"shared": amount}))
        (refund,) = one(stage.follow_up(), CreditNoteSettled).refunds
        assert (refund.into, refund.payee, refund.owed_stroops) == ("credit", "agr-2", amount)
    return stage


def test_an_owed_refund_goes_before_the_debtors_own_invoices() -> None:
    stage = owing(30)
    stage.bill(("tax", "town", 50), number=2)

    facts = stage.do("approver", ReceiveFunds(asset="USD", amount_stroops=40, reference="agr-2"))

    assert names(facts) == ["FundsReceived", "RefundReceived", "CreditApplied"]
    assert (stage.money("credit:agr-1"), stage.money("tax:town")) == (30, 10)
    stage.check_laws()


def test_the_oldest_debt_is_taken_first() -> None:
    stage = owing(30, 20)

    received: list[int] = []
    for amount in (10, 25, 40):
        body = ReceiveFunds(asset="USD", amount_stroops=amount, reference="agr-2")
        received += [
            each.amount_stroops for each in of_kind(stage.do("approver", body), RefundReceived)
        ]

    assert received == [10, 20, 5, 15]
    assert stage.money("credit:agr-2") == 25
    stage.check_laws()


def test_a_refund_is_credit_that_clears_what_is_open() -> None:
    stage = two()
    invoice = stage.bill(("tax", "town", 10))
    stage.pay(10)
    stage.given(stage.note(invoice, {"tax": 10}), stage.invoice(("tax", "town", 8), due=30))

    assert names(stage.follow_up()) == ["CreditNoteSettled", "CreditApplied"]
    assert (stage.money("tax:town"), stage.money("credit:agr-1")) == (8, 2)


def test_a_payment_that_a_credit_note_goes_before_is_credit_and_applied_after_it() -> None:
    stage = two()
    invoice = stage.bill(ENERGY)
    stage.pay(100)
    stage.given(stage.note(invoice, {"energy": 100}), stage.invoice(("energy", None, 150), due=30))

    facts = stage.pay(50)

    assert names(facts) == [
        "PaymentSettled",
        "CreditNoteSettled",
        "PrepaidApplied",
        "CreditApplied",
        "OwnershipTransferred",
    ]
    assert (stage.open_of("agr-1.3"), stage.title("own:agr-1")) == (0, 150)


def test_a_dispute_credits_a_part_and_the_replacement_the_rest() -> None:
    stage = two()
    invoice = stage.bill(ENERGY)
    stage.pay(60)
    stage.given(stage.note(invoice, {"energy": 50}))
    settled = one(stage.follow_up(), CreditNoteSettled)
    assert [part.amount_stroops for part in settled.unpaid] == [40]
    assert settled.prepaid_stroops == 10
    stage.given(stage.note(invoice, {"energy": 50}))

    assert one(stage.follow_up(), CreditNoteSettled).prepaid_stroops == 50
    stage.check_laws()


# -- standing orders ------------------------------------------------------------------------------


def ordered(limit: int, money: int = MONEY) -> Repaying:
    stage = Repaying(units=(600, 400), money=money)
    facts = stage.do("home", SetStandingOrder(agreement="agr-1", limit_stroops=limit))
    assert one(facts, StandingOrderSet).member == "home"
    return stage


def test_a_standing_order_pays_an_invoice_as_soon_as_it_is_read() -> None:
    stage = ordered(200)
    stage.bill(*MIXED)

    facts = stage.follow_up()

    settled = one(facts, PaymentSettled)
    assert (settled.payment, settled.kind, settled.command) == (
        "agr-1.auto.1",
        "standing-order",
        None,
    )
    assert settled.amount_stroops == 160
    assert one(facts, OwnershipTransferred).payment == "agr-1.auto.1"
    stage.check_laws()


def test_a_standing_order_pays_no_more_of_an_invoice_than_its_limit() -> None:
    stage = ordered(70)
    first = stage.bill(ENERGY)
    second = stage.bill(ENERGY)

    paid = of_kind(stage.follow_up(), PaymentSettled)

    assert [(each.cleared[0].invoice, each.amount_stroops) for each in paid] == [
        (first, 70),
        (second, 70),
    ]
    stage.deposit("home", 5)
    assert stage.open_of(first) == 30
    facts = stage.do("home", SetStandingOrder(agreement="agr-1", limit_stroops=90))
    assert [each.amount_stroops for each in of_kind(facts, PaymentSettled)] == [20, 20]


def test_a_standing_order_goes_on_when_the_wallet_fills() -> None:
    stage = ordered(100, money=30)
    stage.bill(ENERGY)
    assert one(stage.follow_up(), PaymentSettled).amount_stroops == 30

    assert one(stage.deposit("home", 50), PaymentSettled).amount_stroops == 50
    stage.deposit("ann", 50)
    assert stage.book_rules.repayment.due() == ()
    assert one(stage.deposit("home", 50), PaymentSettled).amount_stroops == 20
    assert stage.wallet("home") == 30


def test_a_standing_order_takes_credit_first() -> None:
    stage = ordered(100)
    stage.pay(30)
    stage.bill(ENERGY)

    facts = stage.follow_up()

    assert one(facts, CreditApplied).amount_stroops == 30
    assert one(facts, PaymentSettled).amount_stroops == 70


@pytest.mark.parametrize("how", ["ended", "handed on", "handed on and back"])
def test_a_standing_order_ends(how: str) -> None:
    stage = ordered(100)
    if how == "ended":
        stage.do("home", SetStandingOrder(agreement="agr-1", limit_stroops=0))
    members = {"handed on": ("home", "next"), "handed on and back": ("home", "next", "home")}
    for giver, taker in pairwise(members.get(how, ())):
        moved = HoldingTransferred(
            holding="h1", from_member=giver, to_member=taker, agreement="agr-1"
        )
        stage.given(stage.history.record(LEDGER, "h1", moved))
    stage.bill(ENERGY)

    assert of_kind(stage.follow_up(), PaymentSettled) == []


# -- money nobody expected ------------------------------------------------------------------------


def receive(reference: str, amount: int = 50, asset: str = "USD") -> ReceiveFunds:
    return ReceiveFunds(asset=asset, amount_stroops=amount, reference=reference)


def test_money_for_an_agreement_is_its_credit_and_clears_what_is_open() -> None:
    stage = two()
    stage.bill(ENERGY)

    facts = stage.do("approver", receive("agr-1"))

    assert names(facts) == ["FundsReceived", "CreditApplied", "OwnershipTransferred"]
    assert one(facts, FundsReceived).receipt.startswith("approver.c")
    stage.check_laws()


@pytest.mark.parametrize(
    ("reference", "asset", "reason"),
    [
        ("whatever is this?", "USD", "unknown-reference"),
        ("", "USD", "unknown-reference"),
        ("agr-2", "EUR", "other-asset"),
        ("agr-1", "USD", "agreement-ended"),
    ],
)
def test_money_is_never_refused_for_what_was_written_beside_it(
    reference: str, asset: str, reason: str
) -> None:
    stage = reclaimed()

    suspended = one(stage.do("approver", receive(reference, asset=asset)), FundsSuspended)

    assert suspended.reason == reason
    place = f"suspense:{suspended.receipt}"
    assert stage.book_rules.books.balance(f"U:{asset}", place) == 50


@pytest.mark.parametrize(
    ("where", "account", "amount"),
    [
        ({"member": "ann"}, "wallet:ann", 50),
        ({"agreement": "agr-1"}, "credit:agr-1", 50),
        ({}, "issuer:USD", -50),
    ],
)
def test_suspended_money_goes_where_somebody_says_and_once(
    where: dict[str, str], account: str, amount: int
) -> None:
    stage = two()
    receipt = one(stage.do("approver", receive("?")), FundsSuspended).receipt
    before = stage.money(account)

    settled = one(
        stage.do("approver", SettleSuspense.model_validate({"receipt": receipt} | where)),
        SuspenseSettled,
    )

    assert settled.amount_stroops == 50
    assert (stage.money(account) - before, stage.money(f"suspense:{receipt}")) == (amount, 0)
    assert stage.refusal_of("approver", SettleSuspense(receipt=receipt)) == "unknown-receipt"


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ({"member": "who"}, "unknown-member"),
        ({"agreement": "none"}, "unknown-agreement"),
        ({"agreement": "agr-1"}, "wrong-asset"),
        ({"agreement": "agr-1", "member": "ann"}, "two-receivers"),
    ],
)
def test_suspended_money_goes_to_nobody_who_cannot_have_it(
    where: dict[str, str], code: str
) -> None:
    stage = two()
    receipt = one(stage.do("approver", receive("?", asset="EUR")), FundsSuspended).receipt
    body = SettleSuspense.model_validate({"receipt": receipt} | where)

    assert stage.refusal_of("approver", body) == code


def test_money_that_is_paid_out_leaves_the_wallet_and_the_book_has_room_again() -> None:
    stage = two()
    left = stage.book_rules.room.left("U:USD")

    body = WithdrawFunds(member="home", asset="USD", amount_stroops=30)
    assert one(stage.do("approver", body), FundsWithdrawn).amount_stroops == 30
    assert stage.wallet("home") == MONEY - 30
    assert stage.book_rules.room.left("U:USD") == left + 30


def test_what_waits_in_suspense_counts_for_the_room_of_the_book() -> None:
    stage = two()
    left = stage.book_rules.room.left("U:USD")
    receipt = one(stage.do("approver", receive("?")), FundsSuspended).receipt
    assert stage.book_rules.room.left("U:USD") == left - 50
    stage.do("approver", SettleSuspense(receipt=receipt))
    assert stage.book_rules.room.left("U:USD") == left

    body = DepositFunds(member="ann", asset="USD", amount_stroops=left + 1)
    assert stage.refusal_of("approver", body) == "too-much-money"
    assert stage.refusal_of("approver", receive("agr-1", left + 1)) == "too-much-money"
    assert stage.refusal_of("approver", receive("agr-1", asset=f"USD:{'G' * 56}")) == (
        "not-book-money"
    )


# -- laws -----------------------------------------------------------------------------------------


def test_more_cleared_than_billed_is_a_broken_law_whichever_was_read_first() -> None:
    stage = two()
    invoice = stage.bill(ENERGY)
    stage.pay(100)
    lower = stage.invoice(("energy", None, 99))
    assert stage.open_of(invoice) == 0
    again = fresh_book()
    facts = [fact for fact in stage.history.facts if fact.stream == LEDGER]
    for fact in facts:
        again.evolve(fact)

    changed = lower.fact.model_copy(update={"invoice": invoice})
    lower.fact = changed
    with pytest.raises(BrokenLaw):
        again.evolve(lower)
