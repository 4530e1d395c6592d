"""Commands: their window, their name and service, and what makes two of them the same."""

import json
from typing import Any

import pytest

from libs.events.command import (
    COMMANDS,
    WINDOW_S_MAX,
    Body,
    Command,
    command,
    read_command,
    write_command,
)
from libs.events.commands import AdvanceTime, DepositFunds, RegisterMember
from libs.events.errors import InvalidSignature
from libs.events.jws import Signed, parse, verify
from libs.events.system_commands import Pay
from libs.rules.accepted import digest_of
from tools.example_parts import key_of
from tools.examples import ADVANCE, DEPOSIT, PAY
from tools.examples import COMMANDS as EXAMPLES

PAYLOAD: dict[str, Any] = json.loads(write_command(PAY))


def read(payload: bytes | dict[str, Any]) -> Command:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return read_command(Signed("", data, b"", b""))


def refusal(payload: bytes | dict[str, Any]) -> InvalidSignature:
    with pytest.raises(InvalidSignature) as caught:
        read(payload)
    return caught.value


def paying(**changes: object) -> dict[str, Any]:
    return PAYLOAD | {"body": PAYLOAD["body"] | changes}


def test_every_command_has_an_example() -> None:
    assert {example.command for example in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.command)
def test_a_command_comes_back_from_its_signed_text(example: Command) -> None:
    text = key_of(example.member).sign("hg-command+jws", write_command(example))
    signed = parse(text, "hg-command+jws")
    verify(signed)
    found = read_command(signed)

    assert found.body == example.body
    assert type(found.body) is COMMANDS[example.command]
    assert write_command(found) == write_command(example)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.command)
def test_a_command_is_for_the_service_that_decides_it(example: Command) -> None:
    right = json.loads(write_command(example))

    for service in {"ledger", "billing", "ingest", "oracle"} - {example.service}:
        error = refusal(right | {"service": service})
        assert (error.rule, str(error)) == (
            "command-schema",
            f"service: Input should be '{example.service}'",
        )
    for unknown in ("anchor", "", None, "Ledger"):
        assert str(refusal(right | {"service": unknown})).startswith("service: ")


@pytest.mark.parametrize("name", ["PayAll", "pay", "", "Body", "Command", None, 7, ["Pay"]])
def test_an_unknown_command_is_refused(name: object) -> None:
    assert refusal(PAYLOAD | {"command": name}).rule == "command-schema"


@pytest.mark.parametrize(
    "member", ["deployment", "service", "book", "id", "member", "nbf", "exp", "command", "body"]
)
def test_every_claim_but_after_is_needed(member: str) -> None:
    without = {name: value for name, value in PAYLOAD.items() if name != member}

    error = refusal(without)

    assert error.rule == "command-schema"
    assert member in str(error)


def test_after_may_be_absent() -> None:
    without = {name: value for name, value in PAYLOAD.items() if name != "after"}

    assert read(without).after is None
    assert read(PAYLOAD).after == PAY.after
    assert b"after" not in write_command(read(without))


@pytest.mark.parametrize("seconds", [1, 60, WINDOW_S_MAX])
def test_a_window_is_open_for_a_day_at_most(seconds: int) -> None:
    assert read(PAYLOAD | {"exp": PAY.nbf + seconds}).exp == PAY.nbf + seconds
    assert WINDOW_S_MAX == 24 * 60 * 60


@pytest.mark.parametrize("seconds", [0, -1, WINDOW_S_MAX + 1, 10**9])
def test_a_window_that_is_shut_or_too_long_is_refused(seconds: int) -> None:
    error = refusal(PAYLOAD | {"exp": PAY.nbf + seconds})

    assert error.rule == "command-schema"
    assert "exp must be later than nbf, by at most 24 hours" in str(error)


@pytest.mark.parametrize("value", [-1, 2**40 + 1, 1.5, "0", None, True])
def test_a_window_is_told_in_whole_seconds(value: object) -> None:
    assert str(refusal(PAYLOAD | {"nbf": value})).startswith("nbf: ")
    assert str(refusal(PAYLOAD | {"exp": value})).startswith("exp: ")


def test_a_wrong_body_names_its_field() -> None:
    assert str(refusal(paying(amount_stroops=0))).startswith("body.amount_stroops: ")
    assert str(refusal(paying(agreement="a.b"))).startswith("body.agreement: ")
    assert str(refusal(paying(tip=1))).startswith("body.tip: ")
    assert str(refusal(PAYLOAD | {"note": "x"})).startswith("note: ")
    invested = json.loads(write_command(next(e for e in EXAMPLES if e.command == "Invest")))
    invested["body"]["terms"]["return_ppm_year"] = 1_000_001
    assert str(refusal(invested)).startswith("body.terms.return_ppm_year: ")


def test_the_body_of_one_command_does_not_pass_for_another() -> None:
    assert refusal(PAYLOAD | {"body": DEPOSIT.body.model_dump()}).rule == "command-schema"
    assert refusal(PAYLOAD | {"body": {}}).rule == "command-schema"


def test_a_key_that_stands_twice_is_refused() -> None:
    twice = write_command(PAY).replace(
        b'"amount_stroops":', b'"amount_stroops":1,"amount_stroops":'
    )

    assert refusal(twice).rule == "payload-json"


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b"{", b'{"nbf":NaN}', b"\xff"])
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    assert refusal(payload).rule == "payload-json"


def test_a_name_is_used_once() -> None:
    with pytest.raises(ValueError, match="command Pay is registered already"):

        @command("Pay", "ledger")
        class PayAgain(Body):
            """Never registered."""

    assert COMMANDS["Pay"] is Pay


def test_the_digest_is_of_what_is_asked_and_of_nothing_around_it() -> None:
    later = PAYLOAD | {"nbf": PAY.nbf + 5, "exp": PAY.exp + 5, "id": "other", "member": "ines"}
    del later["after"]

    assert digest_of(read(later)) == digest_of(read(PAYLOAD))
    assert digest_of(read(json.dumps(PAYLOAD, indent=3).encode())) == digest_of(read(PAYLOAD))
    turned = PAYLOAD | {"body": dict(reversed(PAYLOAD["body"].items()))}
    assert digest_of(read(turned)) == digest_of(read(PAYLOAD))


def test_another_body_has_another_digest() -> None:
    digests = {digest_of(example) for example in EXAMPLES}
    digests |= {digest_of(read(paying(amount_stroops=amount))) for amount in (1, 2, 3)}

    assert len(digests) == len(EXAMPLES) + 3


def test_the_same_body_in_another_command_has_another_digest() -> None:
    systems = [e for e in EXAMPLES if e.command in {"ApproveSystem", "AcceptRaise"}]

    assert len({e.body.model_dump_json() for e in systems}) == 1
    assert len({digest_of(e) for e in systems}) == 2


def test_the_digest_has_one_value_on_every_machine() -> None:
    # SHA-256 of the text `Pay {"agreement":"raul-home","amount_stroops":340000000}`, by sha256sum.
    assert digest_of(PAY) == "6598c50b2a9b9289503893d837881c4ddda5fc3eb30543b16f055909df8cf705"


def test_lists_have_their_limits() -> None:
    advance = json.loads(write_command(ADVANCE))
    advance["body"]["down"] = ["billing"] * 17
    assert str(refusal(advance)).startswith("body.down: ")
    advance["body"]["down"] = ["billing"] * 16
    body = read(advance).body
    assert isinstance(body, AdvanceTime)
    assert len(body.down) == 16
    register = json.loads(write_command(EXAMPLES[0]))
    register["body"]["roles"] = []
    assert isinstance(EXAMPLES[0].body, RegisterMember)
    assert str(refusal(register)).startswith("body.roles: ")


def test_the_smallest_deposit_is_one_stroop() -> None:
    document = json.loads(write_command(DEPOSIT))
    document["body"]["amount_stroops"] = 1
    body = read(document).body

    assert isinstance(body, DepositFunds)
    assert body.amount_stroops == 1
