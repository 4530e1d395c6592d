"""What is decided as of a time, whenever billing looks: rates that come late, ends of terms."""

from datetime import timedelta

import pytest

from libs.events.invoicing import CreditNoteIssued, InvoiceIssued
from libs.events.repaying import CreditNoteSettled, InvoiceCapped, PrepaidApplied
from libs.events.systems import HoldingReclaimed
from services.billing.domain import Billing
from tests.billing.roof import (
    BILLING,
    LEDGER,
    READINGS,
    agreement,
    amounts,
    billing,
    correction,
    drafts,
    invoices,
    measured,
    opened,
    rules,
    told,
    with_eve,
)
from tests.billing.test_line_rules import feed, in_euro, paid, version_of
from tests.histories import ANY_COMMAND_SIGNED, START, Stage

RECLAIMED = HoldingReclaimed(
    holding="h",
    system="sun",
    agreement="agr",
    member="home",
    units=1_000,
    moves=(),
    command=ANY_COMMAND_SIGNED,
)


def story(*, prompt: bool) -> Stage:
    """Eve pays by a tariff in euro, whose rate is published two months late."""
    stage = with_eve(billing())
    told(stage, "PRICES", "euro", version_of("euro", "EUR"), days=0)
    told(stage, "PRICES", "spot", feed("rate", "USD", "EUR"))
    stage.when("home", "1", agreement(agreement="z"))
    stage.when("eve", "1", agreement(holding="h2", tariff="euro", rate_feed="spot", period="28d"))
    measured(stage, [100], [100])
    for day in range(1, 130):
        if day == 64:
            told(stage, "PRICES", "spot", in_euro(64, 20_000_000), days=64)
        if day == 35:
            measured(stage, [60], [60], days=10, seq=2)
        stage.now = START + timedelta(days=day)
        stage.given(*stage.history.advance(stage.now, READINGS, LEDGER))
        if prompt:
            stage.follow_up()
    stage.follow_up()
    return stage


def of(stage: Stage) -> list[tuple[str, int, int]]:
    facts = (each.fact for each in stage.history.facts)
    return [
        (
            fact.invoice if isinstance(fact, InvoiceIssued) else fact.credit_note,
            fact.number,
            fact.total_stroops,
        )
        for fact in facts
        if isinstance(fact, (InvoiceIssued, CreditNoteIssued))
    ]


def test_a_rate_that_comes_late_gives_the_same_numbers_to_a_prompt_and_to_a_late_service() -> None:
    prompt = story(prompt=True)
    assert of(prompt) == of(story(prompt=False))
    names = [name for name, _, _ in of(prompt)]
    first = names.index("agr-2026-06-01")
    assert names.index("z-2026-06") < first, "the other agreement was not held up"
    assert [number for _, number, _ in of(prompt)] == list(range(1, len(names) + 1))


def test_what_was_due_before_a_holding_was_reclaimed_is_written_even_if_it_had_to_wait() -> None:
    stage = billing()
    told(stage, "PRICES", "euro", version_of("euro", "EUR"))
    told(stage, "PRICES", "spot", feed("rate", "USD", "EUR"))
    stage.when("home", "1", agreement(tariff="euro", rate_feed="spot", period="14d"))
    measured(stage, [100], [100])
    for day in range(1, 70):
        if day == 20:
            told(stage, READINGS, "load", correction("load", START, -40), days=20)
        if day == 40:
            told(stage, LEDGER, "h", RECLAIMED, days=40)
        if day == 60:
            told(stage, "PRICES", "spot", in_euro(60, 20_000_000), days=60)
        stage.advance(day, READINGS, LEDGER)
    written = of(stage)
    assert [name for name, _, _ in written] == [
        "agr-2026-06-01",
        "agr-2026-06-01.credit",
        "agr-2026-06-01.2",
        "agr-2026-06-15",
    ]
    assert [number for _, number, _ in written] == [1, 2, 3, 4]
    assert isinstance(stage.rules, Billing)
    assert stage.rules.stuck == {}
    stage.rules = again = rules()
    own_first = sorted(stage.history.facts, key=lambda each: each.stream != BILLING)
    stage.given(*own_first)
    assert stage.follow_up() == []
    stage.advance(120, READINGS, LEDGER)
    assert of(stage) == written
    assert list(again.accounts.of_system("sun")) == [], "nothing of it is kept any more"


def test_a_draft_without_a_rate_is_left_out_and_the_next_has_one() -> None:
    stage = story(prompt=True)
    names = [draft.invoice for draft in drafts(stage) if draft.agreement == "agr"]
    assert names == ["agr-2026-07-27", "agr-2026-08-24"]
    euro = [each for each in invoices(stage) if each.agreement == "agr"]
    assert all(line.rate_position for each in euro for line in each.lines if line.kind == "use")


def june_of_term(used: int) -> Stage:
    """The term ends with July; June is billed in full."""
    stage = measured(opened(term_periods=2), [used], [used])
    stage.advance(31, READINGS, LEDGER)
    return stage


def corrected_june(stage: Stage, delta: int) -> None:
    stage.given(stage.history.record(READINGS, "load", correction("load", START, delta)))
    stage.advance(33, READINGS, LEDGER)


@pytest.mark.parametrize("is_settled", [False, True])
def test_paid_energy_that_was_credited_is_no_principal_twice(*, is_settled: bool) -> None:
    stage = june_of_term(200)
    # All 400,000 are paid, 400 of them principal: of 1,000 units 600 are left.
    told(stage, LEDGER, "agr", paid(400_000, 0, 400), days=31)
    corrected_june(stage, -100)
    if is_settled:
        settled = CreditNoteSettled(
            credit_note="agr-2026-06.credit",
            agreement="agr",
            asset="USD",
            invoice="agr-2026-06",
            unpaid=(),
            prepaid_stroops=400_000,
            refunds=(),
        )
        applied = PrepaidApplied(
            agreement="agr",
            asset="USD",
            invoice="agr-2026-06.2",
            amount_stroops=200_000,
            prepaid_stroops=200_000,
        )
        told(stage, LEDGER, "agr", settled, applied, days=33)
    stage.advance(62, READINGS, LEDGER)
    assert amounts(invoices(stage)[-1]) == {"term": 600}


def test_a_cap_ends_with_the_invoice_that_was_capped() -> None:
    stage = june_of_term(2)
    capped = InvoiceCapped(
        agreement="agr",
        asset="USD",
        invoice="agr-2026-06",
        amount_stroops=3_000,
        reason="owed",
    )
    told(stage, LEDGER, "agr", capped, days=31)
    corrected_june(stage, -2)
    measured(stage, [0], [0], days=32, seq=2)
    stage.advance(62, READINGS, LEDGER)
    assert amounts(invoices(stage)[-1]) == {"term": 1_000}


def test_what_a_cap_left_open_is_not_demanded_again() -> None:
    stage = june_of_term(2)
    capped = InvoiceCapped(
        agreement="agr", asset="USD", invoice="agr-2026-06", amount_stroops=3_100, reason="owed"
    )
    told(stage, LEDGER, "agr", capped, days=31)
    stage.advance(62, READINGS, LEDGER)
    assert amounts(invoices(stage)[-1]) == {"term": 100}
