"""Devices at sites that are offline: which numbers are spent on them, and what their digits do."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openpaygo import (  # type: ignore[import-untyped]
    OpenPAYGOTokenEncoder,
    TokenType,
    decode_token,
)
from typer.testing import CliRunner

from heliograph.cli import make_app
from heliograph.commands.paygo import digits
from heliograph.errors import StackError
from libs.events.fact import Fact
from libs.events.invoicing import CreditNoteIssued
from libs.events.supply import PaygoDeviceAssigned, SupplyTokenIssued
from libs.events.system_commands import AssignPaygoDevice, Pay, Prepay, ReclaimHolding
from libs.rules.paygo import next_count
from libs.runtime.failures import NotFound, Refused
from tests.dumping import like, rows
from tests.ledger.late import BILLING, Late, fresh_book, month_start

KEY, OTHER_KEY = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"


def equipped(device: str = "SN-1", first_count: int = 1, holding: str = "h") -> Late:
    late = Late()
    body = AssignPaygoDevice(device=device, holding=holding, first_count=first_count)
    (assigned,) = late.when("approver", f"assign-{device}", body)
    assert isinstance(assigned, PaygoDeviceAssigned)
    return late


def pay(late: Late, amount: int, holding: str = "h") -> list[SupplyTokenIssued]:
    body = Pay(agreement=f"agr-{holding}", amount_stroops=amount)
    member = "home" if holding == "h" else "next"
    late.when(member, f"pay-{late.history.ends[late.own]}", body)
    return tokens(late.follow_up())


def tokens(facts: list[Fact]) -> list[SupplyTokenIssued]:
    return [fact for fact in facts if isinstance(fact, SupplyTokenIssued)]


class Device:
    """What stands at the site: it knows its key and the counts that it took."""

    def __init__(self, key: str = KEY, count: int = 1) -> None:
        self.key, self.count, self.used = key, count, [count]

    def type_in(self, text: str) -> tuple[Any, Any]:
        value, kind, count, used = decode_token(
            token=text, secret_key=self.key, count=self.count, used_counts=self.used
        )
        if count is not None:
            self.count, self.used = max(self.count, count), used
        return value, kind


def digits_of(token: SupplyTokenIssued, key: str = KEY) -> str:
    return digits(key, None, kind=token.kind, count=token.count, days=token.days)


def test_an_invoice_that_is_paid_in_full_earns_the_days_of_the_next_period() -> None:
    late = equipped()
    late.told(late.invoice(100, 30))
    assert pay(late, 99) == []
    assert pay(late, 1) == [
        SupplyTokenIssued(
            device="SN-1",
            holding="h",
            agreement="agr-h",
            kind="add-time",
            days=31,  # July, after the bill for June
            count=2,
            invoice="agr-h-2026-06",
        )
    ]
    late.told(late.invoice(100, 60))
    assert [(each.days, each.count) for each in pay(late, 100)] == [(31, 4)]
    late.told(late.invoice(100, 90))
    assert [(each.days, each.count) for each in pay(late, 100)] == [(30, 6)]


def test_an_invoice_over_nothing_earns_its_days_at_once() -> None:
    late = equipped()
    assert [each.days for each in tokens(late.told(late.invoice(0, 30)))] == [31]


def test_a_holding_without_a_device_earns_no_token() -> None:
    late = equipped(holding="h2")
    late.told(late.invoice(100, 30))
    assert pay(late, 100) == []


def test_an_invoice_that_is_undone_and_issued_again_earns_once() -> None:
    late = equipped()
    first = late.invoice(100, 30)
    late.told(first)
    note = CreditNoteIssued.model_validate(
        {
            "credit_note": "agr-h-2026-06.credit",
            "number": 90,
            "agreement": "agr-h",
            "recipient": "home",
            "asset": "USD",
            "invoice": "agr-h-2026-06",
            "reason": "readings",
            "because": (),
            "changes": (),
            "amounts": ({"line_class": "energy", "amount_stroops": 100},),
            "total_stroops": 100,
        }
    )
    again = {"invoice": "agr-h-2026-06.2", "replaces": "agr-h-2026-06"}
    months = {"period_from": month_start(1), "period_until": month_start(2)}
    facts = late.told(late.history.record(BILLING, "agr-h", note))
    assert tokens(facts) == []  # what was undone is not paid
    late.told(late.invoice(120, 30, **again, **months))
    assert [each.invoice for each in pay(late, 120)] == ["agr-h-2026-06.2"]
    third = {"invoice": "agr-h-2026-06.3", "replaces": "agr-h-2026-06.2"}
    assert tokens(late.told(late.invoice(0, 30, **third, **months))) == []


def test_what_covers_time_before_the_device_earns_nothing() -> None:
    late = Late()
    late.told(late.invoice(100, 30))
    late.pass_days(45)
    late.when("approver", "assign", AssignPaygoDevice(device="SN-1", holding="h", first_count=0))
    assert pay(late, 100) == []
    late.told(late.invoice(100, 60))
    assert [each.count for each in pay(late, 100)] == [2]


def test_an_owned_holding_gets_one_token_that_ends_pay_as_you_go() -> None:
    late = equipped()
    late.told(late.invoice(100, 30))
    late.when("home", "prepay", Prepay(agreement="agr-h", amount_stroops=600_000))
    assert tokens(late.follow_up()) == [
        SupplyTokenIssued(
            device="SN-1", holding="h", agreement="agr-h", kind="disable", days=0, count=3
        )
    ]
    assert tokens(late.told(late.invoice(0, 60))) == []


@pytest.mark.parametrize(
    ("member", "device", "holding", "code"),
    [
        ("approver", "SN-1", "h2", "device-used"),
        ("approver", "SN-2", "nowhere", "unknown-holding"),
        ("home", "SN-2", "h", "wrong-role"),
    ],
)
def test_a_device_is_assigned_once_by_an_approver(
    member: str, device: str, holding: str, code: str
) -> None:
    late = equipped()
    with pytest.raises((Refused, NotFound)) as refused:
        late.when(
            member, "assign", AssignPaygoDevice(device=device, holding=holding, first_count=0)
        )
    assert refused.value.code == code


def test_a_reclaimed_holding_gets_neither_device_nor_token() -> None:
    late = equipped()
    bill, other = late.invoice(100, 30), late.invoice(0, 500)
    late.told(bill)
    late.pass_days(400)
    late.told(late.escalation("reclaim", bill))
    late.when("approver", "reclaim", ReclaimHolding(holding="h"))
    assert tokens(late.told(other)) == []
    with pytest.raises(Refused) as refused:
        late.when(
            "approver", "assign-2", AssignPaygoDevice(device="SN-2", holding="h", first_count=0)
        )
    assert refused.value.code == "holding-ended"


def test_a_device_that_replaces_another_counts_for_itself() -> None:
    late = equipped(first_count=10)
    late.told(late.invoice(100, 30))
    assert [(each.device, each.count) for each in pay(late, 100)] == [("SN-1", 12)]
    late.when("approver", "assign-2", AssignPaygoDevice(device="SN-2", holding="h", first_count=0))
    late.told(late.invoice(100, 60))
    assert [(each.device, each.count) for each in pay(late, 100)] == [("SN-2", 2)]


@given(st.integers(0, 10_000))
def test_counts_are_those_of_the_library(count: int) -> None:
    library = OpenPAYGOTokenEncoder._get_new_count
    assert next_count(count, "add-time") == library(count, TokenType.ADD_TIME)
    assert next_count(count, "disable") == library(count, TokenType.DISABLE_PAYG)


def test_a_device_takes_its_token_once_and_none_of_another_device() -> None:
    late = equipped()
    device, other = Device(), Device(OTHER_KEY)
    for month in range(1, 4):
        late.told(late.invoice(100, 30 * month))
        (token,) = pay(late, 100)
        text = digits_of(token)
        assert len(text) == 9
        assert other.type_in(text)[1] == TokenType.INVALID
        assert device.type_in(text) == (token.days, TokenType.ADD_TIME)
        assert device.type_in(text)[1] == TokenType.ALREADY_USED
    late.when("home", "prepay", Prepay(agreement="agr-h", amount_stroops=599_700))
    (last,) = tokens(late.follow_up())
    assert device.type_in(digits_of(last))[1] == TokenType.DISABLE_PAYG


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_no_count_is_spent_twice_and_a_restart_spends_none(data: st.DataObject) -> None:
    late = equipped(first_count=data.draw(st.integers(0, 9)))
    devices, bills = 1, 0
    for _ in range(data.draw(st.integers(2, 10))):
        match data.draw(st.sampled_from(["bill", "pay", "device", "pass"])):
            case "bill":
                bills += 1
                late.told(late.invoice(data.draw(st.integers(0, 50)), 30 * bills))
            case "pay":
                pay(late, data.draw(st.integers(1, 80)))
            case "device":
                devices += 1
                body = AssignPaygoDevice(device=f"SN-{devices}", holding="h", first_count=devices)
                late.when("approver", f"assign-{devices}", body)
                late.follow_up()
            case _:
                late.pass_days(late.history.ends["PRICES"] * 10)
    spent = tokens([each.fact for each in late.history.facts])
    counts: dict[str, int] = {}
    for token in spent:
        assert token.count > counts.get(token.device, -1)
        counts[token.device] = token.count
    invoices = [token.invoice for token in spent]
    assert len(invoices) == len(set(invoices))
    again = late.again()
    assert again.due() == ()
    loaded = fresh_book()
    loaded.load(rows(late.rulebook))
    assert like(loaded.paygo) == like(late.rulebook.paygo)


def key_file(folder: Path, device: str = "SN-1", changes: dict[str, object] | None = None) -> Path:
    path = folder / f"{device}.json"
    path.write_text(json.dumps({"device": device, "secret_key": KEY} | (changes or {})))
    return path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(make_app(), ["paygo", "token", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output.strip()


def test_the_command_makes_the_digits_of_a_fact(tmp_path: Path) -> None:
    late = equipped()
    late.told(late.invoice(100, 30))
    (token,) = pay(late, 100)
    fact, key = tmp_path / "fact.json", key_file(tmp_path)
    fact.write_text(json.dumps({"data": json.loads(token.model_dump_json(exclude_none=True))}))
    told = ("--device", "SN-1", "--key-file", str(key))
    made = run(*told, "--fact", str(fact))
    assert made == run(*told, "--count", "2", "--days", "31") == digits_of(token)
    assert Device().type_in(made) == (31, TokenType.ADD_TIME)
    assert run(*told, "--count", "3", "--kind", "disable") != made


@pytest.mark.parametrize(
    ("key", "arguments", "words"),
    [
        ({}, ("--count", "3", "--days", "31"), "even"),
        ({}, ("--count", "2", "--kind", "disable"), "odd"),
        ({"secret_key": "abc"}, ("--count", "2", "--days", "31"), "32 hexadecimal"),
        ({"starting_code": -1}, ("--count", "2", "--days", "31"), "starting_code"),
    ],
)
def test_a_wrong_count_or_key_is_told(
    tmp_path: Path, key: dict[str, object], arguments: tuple[str, ...], words: str
) -> None:
    path = key_file(tmp_path, changes=key)
    with pytest.raises(StackError, match=words):
        run("--device", "SN-1", "--key-file", str(path), *arguments)


def test_a_token_of_another_device_is_not_made(tmp_path: Path) -> None:
    path = str(key_file(tmp_path, "SN-2"))
    with pytest.raises(StackError, match="the key of SN-2, not of SN-1"):
        run("--device", "SN-1", "--key-file", path, "--count", "2", "--days", "31")
    token = SupplyTokenIssued(
        device="SN-2", holding="h", agreement="agr-h", kind="disable", days=0, count=3
    )
    fact = tmp_path / "fact.json"
    fact.write_text(token.model_dump_json(exclude_none=True))
    with pytest.raises(StackError, match="for SN-2, not for SN-1"):
        run("--device", "SN-1", "--key-file", str(key_file(tmp_path)), "--fact", str(fact))
