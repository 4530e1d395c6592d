"""The signer: what it signs is what the service reads, and what was given stays as it was."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.client import CommandClient
from heliograph.keys import new_key
from heliograph.signing import EARLY_S, NotSigned, Signer, Window, batch_body, new_command_id
from libs.events.command import WINDOW_S_MAX, Command, read_command, write_command
from libs.events.ids import is_id
from libs.events.jws import SigningKey, parse, payload_of, verify
from libs.events.positions import Position
from libs.events.trade_commands import CreateTrade, ExecuteTrade
from libs.runtime.clock import EPOCH, ManualClock
from tests.node_support import NodeScript, node_script
from tools.examples import COMMANDS as EXAMPLES

__all__ = ["node_script"]

KEY = SigningKey(b"s" * 32)
NOW = int(EPOCH.timestamp())
TRADE = {
    "tradeId": "TRADE001",
    "sellerId": "Factory01",
    "buyerId": "Factory04",
    "amount": "200.0",
    "pricePerUnit": "0.0800000",
}
"""Decimal text in a spelling that we would not choose."""


def signer(member: str = "anna", deployment: str = "test") -> Signer:
    return Signer(KEY, member=member, deployment=deployment, clock=ManualClock())


def claims_of(text: str) -> dict[str, Any]:
    verify(parse(text, "hg-command+jws"))
    return payload_of(parse(text, "hg-command+jws"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.command)
def test_json_and_model_are_signed_as_the_same_bytes(example: Command) -> None:
    document = json.loads(write_command(example))
    mine = signer(example.member, example.deployment)
    window = Window(example.nbf, example.exp)
    after = [Position.parse(text) for text in (example.after or "").split()]
    by_model = mine.sign(
        example.body, book=example.book, command_id=example.id, window=window, after=after
    )
    by_json = mine.sign_json(
        example.command,
        document["body"],
        book=example.book,
        command_id=example.id,
        window=window,
        after=after,
    )
    assert by_model == by_json
    assert parse(by_json, "hg-command+jws").payload == write_command(example)


def test_every_value_is_signed_as_it_was_given() -> None:
    for body in (TRADE, json.dumps(TRADE, indent=4)):
        claims = claims_of(signer().sign_json("CreateTrade", body, book="pilot"))
        assert claims["body"] == TRADE
    read = read_command(parse(signer().sign_json("CreateTrade", TRADE, book="p"), "hg-command+jws"))
    assert isinstance(read.body, CreateTrade)
    assert (read.body.energy_wh, read.body.price_stroops_per_kwh) == (200_000, 800_000)


def test_the_same_input_gives_the_same_text_and_a_new_id_another() -> None:
    body = ExecuteTrade(tradeId="T")
    same = {signer().sign(body, book="pilot", command_id="c") for _ in range(3)}
    assert len(same) == 1
    others = {signer().sign(body, book="pilot") for _ in range(3)}
    assert len(others | same) == 4
    assert all(is_id(new_command_id()) for _ in range(3))


def test_the_claims_are_those_that_were_told() -> None:
    after = [Position("MEMBERS", 2, "b" * 32), Position("LEDGER_pilot", 1, "a" * 32)]
    claims = claims_of(
        signer().sign(ExecuteTrade(tradeId="T"), book="pilot", command_id="c", after=after)
    )
    assert claims == {
        "deployment": "test",
        "service": "ledger",
        "book": "pilot",
        "id": "c",
        "member": "anna",
        "nbf": NOW - EARLY_S,
        "exp": NOW - EARLY_S + WINDOW_S_MAX,
        "after": f"{after[1]} {after[0]}",
        "command": "ExecuteTrade",
        "body": {"tradeId": "T"},
    }


@given(
    now=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis wants them so
    seconds=st.integers(1, WINDOW_S_MAX),
)
def test_a_window_holds_now_and_a_minute_before_and_never_more_than_a_day(
    now: datetime, seconds: int
) -> None:
    window = Window.around(now, seconds)
    before = int((now - timedelta(minutes=1)).timestamp())
    assert window.not_before <= before <= now.timestamp()
    assert now.timestamp() < window.expires + 1
    assert 0 < window.expires - window.not_before <= WINDOW_S_MAX
    told = Window.beginning(now, seconds)
    assert (told.not_before, told.expires - told.not_before) == (int(now.timestamp()), seconds)


def faults_of(command: str, body: Any, **more: Any) -> tuple[str, ...]:
    with pytest.raises(NotSigned) as refused:
        signer(more.pop("member", "anna")).sign_json(command, body, **({"book": "pilot"} | more))
    assert refused.value.what == command
    assert all(fault in str(refused.value) for fault in refused.value.faults)
    return refused.value.faults


def test_every_fault_of_a_body_is_named_with_its_rule() -> None:
    body = {"tradeId": "a.b", "sellerId": "Factory01", "amount": 200, "pricePerUnit": "0.00000001"}
    assert faults_of("CreateTrade", body | {"note": "x"}) == (
        "body.tradeId: String should match pattern '^[A-Za-z0-9_-]{1,64}$'",
        "body.buyerId: Field required",
        'body.amount: decimal text of kWh in quotes, such as "200", never a number',
        "body.pricePerUnit: a decimal text such as 200 or 0.5, with at most 7 places",
        "body.note: Extra inputs are not permitted",
    )


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("", "body: Expecting value"),
        ("[]", "body is no JSON object"),
        ('{"tradeId":"a","tradeId":"b"}', "body: a key stands twice"),
        ('{"tradeId":NaN}', "body: NaN is no JSON number"),
        ('{"tradeId":"a"} x', "body: Extra data"),
        ('{"tradeId":"a"},"exp":9', "body: Extra data"),
        ('{"tradeId":"\\ud800"}', "body: "),
        ('{"tradeId":"\ud800"}', "surrogates not allowed"),
        ('{"trade_id":"a"}', "body.tradeId: Field required"),
        ("{" * 100_000, "body: "),
        ({"tradeId": float("inf")}, "body: "),
        ({"tradeId": {1}}, "body: "),
    ],
)
def test_what_is_no_body_is_never_signed(body: Any, fault: str) -> None:
    assert fault in "\n".join(faults_of("ExecuteTrade", body))


def test_claims_are_checked_as_the_service_will() -> None:
    body = {"tradeId": "a"}
    assert faults_of("ExecuteTrade", body, book="a.b")[0].startswith("book: String should match")
    assert faults_of("ExecuteTrade", body, member="")[0].startswith("member: String should match")
    assert faults_of("ExecuteTrade", body, command_id="a b")[0].startswith("id: String should")
    for window in (Window(5, 5), Window(0, WINDOW_S_MAX + 1)):
        assert "at most 24 hours" in faults_of("ExecuteTrade", body, window=window)[0]
    with pytest.raises(NotSigned, match="book: String should match"):
        signer().sign(ExecuteTrade(tradeId="a"), book="a.b")
    twice = [Position("MEMBERS", n, "a" * 32) for n in (1, 2)]
    assert "each stream once" in faults_of("ExecuteTrade", body, after=twice)[0]
    assert faults_of("ExecuteTrad", body) == ("no command has this name",)


def test_the_client_sends_what_the_signer_signs() -> None:
    client = CommandClient(httpx.AsyncClient(), gateway_url="http://gateway", deployment="test")
    body = ExecuteTrade(tradeId="T")
    by_client = client.write(KEY, "anna", body, command_id="c", book="pilot", now=EPOCH)
    window = Window.beginning(EPOCH)
    assert by_client == signer().sign(body, book="pilot", command_id="c", window=window)


def test_a_signer_takes_its_key_from_a_file(tmp_path: Path) -> None:
    address = new_key(tmp_path / "anna.key")
    mine = Signer.from_file(tmp_path / "anna.key", member="anna", deployment="test")
    text = mine.sign(ExecuteTrade(tradeId="T"), book="pilot")
    assert mine.address == address == parse(text, "hg-command+jws").kid


# Batches.


def line(command: str, body: dict[str, Any], **more: Any) -> str:
    return json.dumps({"command": command, "body": body} | more)


def test_a_batch_keeps_order_bodies_and_ids() -> None:
    lines = [line("CreateTrade", TRADE), " ", line("ExecuteTrade", {"tradeId": "T"}, id="mine")]
    body = batch_body(lines, "monday")
    claims = claims_of(signer().sign_json("Batch", body, book="pilot", command_id="monday"))
    assert claims["body"]["commands"] == [
        {"id": "monday-1", "command": "CreateTrade", "body": TRADE},
        {"id": "mine", "command": "ExecuteTrade", "body": {"tradeId": "T"}},
    ]


def test_every_bad_line_of_a_batch_is_named() -> None:
    with pytest.raises(NotSigned) as refused:
        batch_body(
            [
                line("ExecuteTrade", {}),
                line("ExecuteTrade", {"tradeId": "T"}, id="b-4"),
                "{",
                line("ExecuteTrade", {"tradeId": "T"}),
                line("RegisterMember", {"member": "x"}),
                line("Nothing", {}),
                line("ReverseTransfer", {"transfer": "x", "reason": "y"}),
                line("ExecuteTrade", {"tradeId": "T"}, note=1),
                '{"command": [], "body": {}}',
                "7",
            ],
            "b",
        )
    faults = refused.value.faults
    assert [fault.partition(",")[0] for fault in faults] == [
        f"line {number}" for number in (1, 3, 4, 5, 5, 6, 7, 8, 9, 10)
    ]
    assert faults[0] == "line 1, body.tradeId: Field required"
    assert faults[2] == "line 4, id: b-4 stands twice"
    assert faults[6] == "line 7, command: ReverseTransfer may not stand in a batch"


def test_a_batch_of_500_trades_fits_and_one_more_does_not() -> None:
    lines = [line("ExecuteTrade", {"tradeId": f"T{n:07}"}) for n in range(501)]
    command_id = new_command_id()
    text = signer().sign_json("Batch", batch_body(lines[:500], command_id), book="pilot")
    assert len(claims_of(text)["body"]["commands"]) == 500
    (fault,) = faults_of("Batch", batch_body(lines, command_id))
    assert fault.startswith("body.commands: Tuple should have at most 500 items")
    assert faults_of("Batch", batch_body([], command_id))[0].startswith("body.commands: Tuple")


def test_what_is_too_long_is_not_signed() -> None:
    trades = [
        line(
            "CreateTrade",
            TRADE | {"tradeId": f"T{n}", "metadata": dict.fromkeys("abcde", "x" * 64)},
        )
        for n in range(500)
    ]
    (fault,) = faults_of("Batch", batch_body(trades, "b"))
    assert fault.endswith("at most 163,840 are taken")


@pytest.mark.node
def test_webcrypto_verifies_what_we_sign(node_script: NodeScript) -> None:
    text = signer().sign_json("CreateTrade", TRADE | {"metadata": {"order": "a b"}}, book="pilot")
    other = text[:-6] + ("AAAAAA" if not text.endswith("AAAAAA") else "BBBBBB")
    vectors = [
        {"name": name, "type": "hg-command+jws", "text": it}
        for name, it in (("ours", text), ("changed", other))
    ]
    judged = {
        each["name"]: each for each in node_script("verify_jws.mjs", stdin={"vectors": vectors})
    }
    assert (judged["ours"]["verdict"], judged["ours"]["plain"]) == ("valid", True)
    assert judged["changed"]["verdict"] != "valid"
