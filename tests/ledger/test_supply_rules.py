"""What happens to a holding whose bills are late, and when it is cured."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.events.dunning import EscalationLevel
from libs.events.envelope import Recorded
from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued
from libs.events.repaying import ReturnAccrued
from libs.events.supply import (
    FirstLossCovered,
    SupplyDisconnected,
    SupplyDiverted,
    SupplyRestored,
)
from libs.events.system_commands import Pay, ReclaimHolding
from libs.events.systems import HoldingReclaimed
from libs.runtime.failures import NotFound, Refused
from tests.dumping import like, rows
from tests.histories import START
from tests.ledger.late import PRICE, Late, fresh_book, kinds

COVERS = (("guard", 200_000), ("ward", 50_000))


def pay(late: Late, amount: int, member: str = "home", agreement: str = "agr-h") -> list[Fact]:
    body = Pay(agreement=agreement, amount_stroops=amount)
    paid = late.when(member, f"pay-{late.history.ends[late.own]}", body)
    return paid + late.follow_up()


def supply_of(facts: list[Fact]) -> list[str]:
    names = ("SupplyDiverted", "SupplyDisconnected", "SupplyRestored", "FirstLossCovered")
    return [name for name in kinds(facts) if name in names]


def test_grace_that_is_over_diverts_the_supply_of_the_late_holding_alone() -> None:
    late = Late()
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(95)
    assert late.told(late.escalation("diversion", bill)) == [
        SupplyDiverted(holding="h", agreement="agr-h", invoice="agr-h-2026-06")
    ]
    assert late.rulebook.supply.state_of("h") == "diverted"
    assert late.rulebook.supply.state_of("h2") == "supplied"


def test_a_site_without_an_offtaker_is_not_diverted_and_still_disconnected() -> None:
    late = Late(offtaker=None)
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(220)
    assert late.told(late.escalation("diversion", bill)) == []
    assert late.told(late.escalation("disconnection", bill)) == [
        SupplyDisconnected(holding="h", agreement="agr-h", invoice="agr-h-2026-06")
    ]
    assert late.rulebook.supply.state_of("h") == "disconnected"


def test_what_is_paid_restores_both_levels_at_once_by_one_fact() -> None:
    late = Late()
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(220)
    late.told(late.escalation("diversion", bill), late.escalation("disconnection", bill))
    assert supply_of(pay(late, 99_999)) == []
    assert supply_of(pay(late, 1)) == ["SupplyRestored"]
    assert late.rulebook.supply.state_of("h") == "supplied"
    assert kinds(late.pass_days(221)) == []


def test_another_invoice_that_is_overdue_keeps_the_supply_away() -> None:
    late = Late()
    first, second = late.invoice(100_000, 30), late.invoice(50_000, 60)
    late.told(first, second)
    late.pass_days(95)
    late.told(late.escalation("diversion", first))
    assert supply_of(pay(late, 100_000)) == []
    assert supply_of(pay(late, 50_000)) == ["SupplyRestored"]


@pytest.mark.parametrize(("amount", "is_cured"), [(0, True), (1, False)])
def test_an_invoice_that_is_undone_cures_only_if_what_replaces_it_is_not_overdue(
    amount: int, is_cured: bool
) -> None:
    late = Late()
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(95)
    late.told(late.escalation("diversion", bill))
    note = CreditNoteIssued.model_validate(
        {
            "credit_note": "agr-h-2026-06.credit",
            "number": 2,
            "agreement": "agr-h",
            "recipient": "home",
            "asset": "USD",
            "invoice": "agr-h-2026-06",
            "reason": "readings",
            "because": (),
            "changes": (),
            "amounts": ({"line_class": "energy", "amount_stroops": 100_000},),
            "total_stroops": 100_000,
        }
    )
    undone = late.told(late.history.record("BILLING_pilot", "agr-h", note, time=late.now))
    assert supply_of(undone) == []  # both stand in one append, and may be read one by one
    changes = {"invoice": "agr-h-2026-06.2", "replaces": "agr-h-2026-06"}
    again = late.told(late.invoice(amount, 30, **changes))
    assert supply_of(again) == (["SupplyRestored"] if is_cured else [])


def test_an_escalation_that_comes_when_all_was_paid_causes_nothing() -> None:
    late = Late(covers=COVERS)
    bill = late.invoice(100_000, 30)
    late.told(bill)
    pay(late, 100_000)
    late.pass_days(300)
    levels: tuple[EscalationLevel, ...] = ("diversion", "disconnection", "reclaim")
    for level in levels:
        assert late.told(late.escalation(level, bill)) == []
    with pytest.raises(Refused) as refused:
        late.when("approver", "reclaim", ReclaimHolding(holding="h"))
    assert refused.value.code == "not-reclaimable"


def test_an_escalation_of_a_default_that_was_cured_is_not_acted_on_in_the_next() -> None:
    late = Late(covers=COVERS)
    first = late.invoice(100_000, 30)
    late.told(first)
    late.pass_days(95)
    late.told(late.escalation("diversion", first))
    old = late.escalation("disconnection", first, at=START + timedelta(days=94))
    pay(late, 100_000)
    second = late.invoice(100_000, 96)
    late.told(second)
    late.pass_days(120)
    assert late.told(old) == []
    assert supply_of(late.told(late.escalation("diversion", second))) == ["SupplyDiverted"]


def test_the_part_that_falls_due_later_does_not_revive_an_old_escalation() -> None:
    late = Late()
    later = {"later_due_at": START + timedelta(days=130), "later_stroops": 40_000}
    bill = late.invoice(100_000, 30, **later)
    late.told(bill)
    pay(late, 60_000)
    late.pass_days(95)
    assert late.told(late.escalation("diversion", bill)) == []
    late.pass_days(131)
    assert late.told() == []
    assert supply_of(late.told(late.escalation("diversion", bill))) == ["SupplyDiverted"]


@pytest.mark.parametrize("level", ["diversion", "disconnection"])
def test_a_level_that_is_told_twice_is_acted_on_once(level: EscalationLevel) -> None:
    late = Late(covers=COVERS)
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(220)
    assert late.told(late.escalation(level, bill))
    late.pass_days(221)
    assert late.told(late.escalation(level, bill)) == []


def test_the_first_loss_is_paid_to_the_owners_by_title_and_the_guarantor_takes_over() -> None:
    late = Late(covers=(("guard", 200_000),))
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(220)
    wallets = {who: late.balance("U:USD", f"wallet:{who}") for who in ("ann", "bob")}
    *_, covered = late.told(late.escalation("disconnection", bill))
    assert isinstance(covered, FirstLossCovered)
    assert (covered.amount_stroops, covered.cover_left_stroops) == (100_000, 100_000)
    assert {move.member: move.shares for move in covered.principal} == {
        "ann": 75_000,
        "bob": 25_000,
    }
    for who, part in (("ann", 75_000), ("bob", 25_000)):
        assert late.balance("U:USD", f"wallet:{who}") == wallets[who] + part
    assert late.balance("T:sun", "title:sun:guard") == 100_000
    assert late.balance("T:sun", "title:sun:ann") == 675_000
    assert late.balance("U:USD", "cover:sun:guard") == 100_000
    # What the recipient owes is unchanged, and the guarantor is repaid like any owner.
    assert supply_of(pay(late, 100_000)) == ["SupplyRestored"]
    assert late.balance("T:sun", "title:sun:guard") == 90_000


def test_two_guarantors_pay_in_the_order_of_deposit_and_never_each_other() -> None:
    late = Late(covers=(("ward", 30_000), ("guard", 200_000)))
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(220)
    facts = late.told(late.escalation("disconnection", bill))
    covered = [fact for fact in facts if isinstance(fact, FirstLossCovered)]
    assert [(each.guarantor, each.amount_stroops) for each in covered] == [
        ("ward", 30_000),
        ("guard", 70_000),
    ]
    assert {move.member for each in covered for move in each.principal} == {"ann", "bob"}
    assert sum(move.shares for each in covered for move in each.principal) == 100_000


def test_return_accrues_before_a_guarantor_steps_in_and_is_paid_first() -> None:
    late = Late(return_ppm_year=50_000, covers=COVERS)
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(219)  # 220 local days with that of the fact
    facts = late.told(late.escalation("disconnection", bill))
    accrued = [fact for fact in facts if isinstance(fact, ReturnAccrued)]
    assert [each.agreement for each in accrued] == ["agr-h", "agr-h2"]
    assert accrued[0].amount_stroops == 18_082  # 600,000 x 5 % x 220 / 365
    (covered,) = [fact for fact in facts if isinstance(fact, FirstLossCovered)]
    assert sum(move.amount_stroops for move in covered.returns) == 18_082
    assert sum(move.shares for move in covered.principal) == 100_000 - 18_082
    assert kinds(facts)[:2] == ["ReturnAccrued", "ReturnAccrued"]
    claims = "C:USD", "return_to:agr-h:guard"
    assert late.balance(*claims) == 18_082


def test_a_loss_within_the_accrued_return_moves_no_title_and_accrues_on_one_agreement() -> None:
    late = Late(return_ppm_year=50_000, covers=COVERS)
    bill = late.invoice(1_000, 30)
    late.told(bill)
    late.pass_days(219)
    facts = late.told(late.escalation("disconnection", bill))
    assert [fact.agreement for fact in facts if isinstance(fact, ReturnAccrued)] == ["agr-h"]
    assert late.balance("T:sun", "title:sun:guard") == 0
    assert late.balance("C:USD", "return_to:agr-h:guard") == 1_000


def test_no_cover_means_no_first_loss_and_more_cover_than_loss_stays() -> None:
    late = Late()
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(220)
    assert supply_of(late.told(late.escalation("disconnection", bill))) == ["SupplyDisconnected"]


def test_the_first_loss_covers_overdue_energy_and_no_other_class() -> None:
    late = Late(covers=COVERS)
    lines = [
        {"line": 1, "line_class": "energy", "kind": "use", "holding": "h", "amount_stroops": 600},
        {
            "line": 2,
            "line_class": "running",
            "kind": "upkeep",
            "holding": "h",
            "payee": "dev",
            "amount_stroops": 400,
        },
    ]
    bill = late.invoice(1_000, 30, lines=tuple(lines))
    late.told(bill)
    late.pass_days(220)
    facts = late.told(late.escalation("disconnection", bill))
    assert [fact.amount_stroops for fact in facts if isinstance(fact, FirstLossCovered)] == [600]


def test_a_holding_is_reclaimed_only_after_billing_said_so_and_while_it_is_overdue() -> None:
    late = Late()
    first, second = late.invoice(100_000, 30), late.invoice(100_000, 60)
    late.told(first, second)
    late.pass_days(400)
    late.told(late.escalation("disconnection", first))
    with pytest.raises(Refused) as refused:
        late.when("approver", "reclaim-1", ReclaimHolding(holding="h"))
    assert (refused.value.code, refused.value.field) == ("not-reclaimable", "body.holding")
    late.told(late.escalation("reclaim", first))
    with pytest.raises(Refused, match="ann is no approver"):
        late.when("ann", "reclaim-2", ReclaimHolding(holding="h"))
    with pytest.raises(NotFound) as unknown:
        late.when("approver", "reclaim-3", ReclaimHolding(holding="none"))
    assert unknown.value.code == "unknown-holding"
    (reclaimed,) = late.when("approver", "reclaim-4", ReclaimHolding(holding="h"))
    assert isinstance(reclaimed, HoldingReclaimed)
    with pytest.raises(Refused) as again:
        late.when("approver", "reclaim-5", ReclaimHolding(holding="h"))
    assert again.value.code == "not-reclaimable"
    assert late.follow_up() == []


def test_what_a_reclaimed_holder_had_repaid_is_his_as_ordinary_title() -> None:
    late = Late(return_ppm_year=50_000)
    paid, bill = late.invoice(70_000, 30), late.invoice(100_000, 30)
    late.told(paid, bill)
    pay(late, 70_000)
    own = late.balance("T:sun", "own:agr-h")
    assert own > 0
    late.pass_days(400)
    late.told(late.escalation("reclaim", bill))
    facts = late.when("approver", "reclaim", ReclaimHolding(holding="h"))
    assert kinds(facts) == ["ReturnAccrued", "ReturnAccrued", "HoldingReclaimed"]
    assert late.balance("T:sun", "own:agr-h") == 0
    assert late.balance("T:sun", "title:sun:home") == own
    with pytest.raises(Refused) as refused:
        late.when("home", "pay-ended", Pay(agreement="agr-h", amount_stroops=1))
    assert refused.value.code == "agreement-ended"


def test_an_ended_agreement_is_restored_by_nothing() -> None:
    late = Late()
    bill = late.invoice(100_000, 30)
    late.told(bill)
    late.pass_days(400)
    late.told(late.escalation("disconnection", bill), late.escalation("reclaim", bill))
    late.when("approver", "reclaim", ReclaimHolding(holding="h"))
    late.pass_days(401)
    assert late.told(late.escalation("diversion", bill)) == []


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_laws_of_defaults_hold_over_random_histories(data: st.DataObject) -> None:
    """Once per default, cured in any order, to the stroop, and a restart changes nothing."""
    late = Late(
        return_ppm_year=data.draw(st.sampled_from([0, 50_000])),
        covers=data.draw(st.sampled_from([(), COVERS])),
        offtaker=data.draw(st.sampled_from([None, "utility"])),
    )
    day, bills = 0, list[Recorded[Fact]]()
    money = late.rulebook.books.totals()["U:USD"]
    for _ in range(data.draw(st.integers(3, 12))):
        day += data.draw(st.integers(1, 40))
        late.pass_days(day)
        match data.draw(st.sampled_from(["bill", "escalate", "escalate", "pay"])):
            case "bill" if len(bills) < 5:
                bills.append(late.invoice(data.draw(st.integers(1, 100_000)), day + 5))
                late.told(bills[-1])
            case "escalate" if bills:
                level: EscalationLevel = data.draw(st.sampled_from(["diversion", "disconnection"]))
                bill = data.draw(st.sampled_from(bills))
                late.told(late.escalation(level, bill))
            case "pay":
                pay(late, data.draw(st.integers(1, 150_000)))
            case _:
                pass
        _check(late)
    assert late.rulebook.books.totals()["U:USD"] == money


def _check(late: Late) -> None:
    facts = [each.fact for each in late.history.facts if each.stream == late.own]
    since: list[str] = []
    for fact in facts:
        if isinstance(fact, SupplyRestored):
            assert since, "restored without a default"
            since = []
        elif isinstance(fact, SupplyDiverted | SupplyDisconnected):
            assert fact.fact_name not in since, "twice in one default"
            since.append(fact.fact_name)
        elif isinstance(fact, FirstLossCovered):
            assert "SupplyDisconnected" in since, "a first loss without a disconnection"
            assert fact.guarantor not in since, "twice in one default"
            since.append(fact.guarantor)
            parts = [*(m.amount_stroops for m in fact.returns), *(m.shares for m in fact.principal)]
            assert sum(parts) == fact.amount_stroops
    receivables = late.rulebook.repayment.receivables
    overdue = [
        receivables.overdue_stroops(each, late.now) for each in receivables.invoices_of("agr-h")
    ]
    assert bool(since) <= bool(sum(overdue)), "restored at once"
    books = late.rulebook.books
    for debits, credits_ in books.totals().values():
        assert debits == credits_
    titles = books.accounts("T:sun", "title:sun:") | books.accounts("T:sun", "own:")
    assert sum(titles.values()) == PRICE
    again = late.again()
    assert again.due() == (), "a restart acts on what was settled"
    assert again.supply.state_of("h") == late.rulebook.supply.state_of("h")
    loaded = fresh_book()
    loaded.load(rows(late.rulebook))
    assert loaded.due() == ()
    assert like(loaded.supply) == like(late.rulebook.supply)
