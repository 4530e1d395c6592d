"""Forgeries: each is refused, and by the step that is there for it.

Without a trust file, so that nothing but the facts themselves can refuse: the forger anchors what
he wrote with keys of his own.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from libs.events.jws import MessageType, SigningKey
from libs.eventstore import Stored
from libs.proof.verify import Refused, Verdict, verify_proof
from tests.proof.forge import Change, Forge
from tests.proof.play import USD, key

INVOICE = "home-2016-07"
Season = dict[str, list[Stored]]
Forgery = Callable[[Forge], object]


def refusal(season: Season, forgery: Forgery, invoice: str = INVOICE) -> Refused:
    forge = Forge(season, invoice)
    forgery(forge)
    forge.rehash()
    with pytest.raises(Refused) as refused:
        verify_proof(forge.anchored())
    return refused.value


def edit(kind: str, change: Change, place: int = 0) -> Forgery:
    return lambda forge: forge.edit(forge.find(kind, place), change)


def put(*path: str | int, value: Any) -> Change:
    """Set a member of `data`; a function is given what stands there."""

    def change(document: dict[str, Any]) -> None:
        part: Any = document["data"]
        for name in path[:-1]:
            part = part[name]
        part[path[-1]] = value(part[path[-1]]) if callable(value) else value

    return change


def more(amount: int) -> Callable[[int], int]:
    return lambda before: before + amount


def signed_again(text: str, by: SigningKey, kind: MessageType, change: Change) -> str:
    part = text.split(".")[1]
    payload = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    change(payload)
    return by.sign(kind, json.dumps(payload, separators=(",", ":")).encode())


def sign_again(member: str, by: str, kind: MessageType, change: Change = lambda _: None) -> Change:
    def apply(document: dict[str, Any]) -> None:
        old = document["data"][member]
        document["data"][member] = signed_again(old, key(by), kind, change)

    return apply


def test_the_forger_alone_changes_nothing(season: Season) -> None:
    forge = Forge(season, INVOICE)
    assert verify_proof(forge.anchored()).verdict is Verdict.CONSISTENT


def test_positions_that_do_not_follow(season: Season) -> None:
    forge = Forge(season, INVOICE)
    forge.edit(forge.find("TariffPublished"), put("prices", "price_stroops_per_kwh", value=more(1)))
    with pytest.raises(Refused) as refused:
        verify_proof(forge.anchored())
    assert refused.value.step == 6


def bill(*path: str | int, value: Any) -> Forgery:
    return edit("InvoiceIssued", put(*path, value=value))


def paid(*path: str | int, value: Any) -> Forgery:
    return edit("PaymentSettled", put(*path, value=value))


def title(*path: str | int, value: Any) -> Forgery:
    return edit("OwnershipTransferred", put(*path, value=value))


FACTS: list[tuple[str, Forgery, int]] = [
    (
        "another installation",
        edit("InvoiceIssued", lambda d: d.update(source="/other/BILLING_pilot")),
        6,
    ),
    (
        "a key twice in a fact",
        lambda forge: forge.write(forge.find("InvoiceIssued"), b'"data":{', b'"data":{"number":7,'),
        6,
    ),
    ("an unknown member", edit("InvoiceIssued", lambda d: d["data"].update(discount=1)), 6),
    ("an unknown kind", edit("InvoiceIssued", lambda d: d.update(type="heliograph.Gift.v1")), 6),
]

PEOPLE: list[tuple[str, Forgery, int]] = [
    (
        "another meter key",
        edit("MeterEnrolled", put("address", value=key("forger").address)),
        7,
    ),
    ("more power", edit("MeterEnrolled", put("nameplate_w", value=more(1))), 7),
    (
        "another price",
        edit("TariffPublished", put("prices", "price_stroops_per_kwh", value=more(1))),
        7,
    ),
    (
        "a price that the forger signed",
        edit(
            "TariffPublished",
            sign_again("command", "forger", "hg-command+jws"),
        ),
        7,
    ),
    (
        "a price that an investor signed",
        edit(
            "TariffPublished",
            sign_again(
                "command", "investor-1", "hg-command+jws", lambda d: d.update(member="investor-1")
            ),
        ),
        7,
    ),
    (
        "a command for another book",
        edit(
            "HoldingOpened",
            sign_again("command", "approver", "hg-command+jws", lambda d: d.update(book="b2")),
        ),
        7,
    ),
    (
        "a command for another installation",
        edit(
            "HoldingOpened",
            sign_again("command", "approver", "hg-command+jws", lambda d: d.update(deployment="x")),
        ),
        7,
    ),
    (
        "a command out of its window",
        edit(
            "HoldingOpened",
            sign_again(
                "command",
                "approver",
                "hg-command+jws",
                lambda d: d.update(nbf=d["nbf"] - 90_000, exp=d["exp"] - 90_000),
            ),
        ),
        7,
    ),
    (
        "a report passed as a command",
        edit("HoldingOpened", sign_again("command", "approver", "hg-report+jws")),
        7,
    ),
    ("fewer units", edit("HoldingOpened", put("units", value=more(-1))), 7),
    ("more units issued", edit("SystemApproved", put("shares", value=more(1))), 7),
    ("another member's key", edit("MemberRegistered", put("address", value=key("x").address)), 7),
    ("another role", edit("MemberRegistered", put("roles", value=["investor"])), 7),
    ("other terms", edit("AgreementOpened", put("terms", "return_ppm_year", value=1)), 7),
    ("another lag", edit("AgreementOpened", put("settlement_lag_s", value=0)), 7),
    ("a member left out", lambda forge: forge.drop(forge.find("MemberRegistered", 1)), 7),
    ("the holding left out", lambda forge: forge.drop(forge.find("HoldingOpened")), 7),
    ("a meter left out", lambda forge: forge.drop(forge.find("MeterEnrolled")), 10),
    ("the tariff left out", lambda forge: forge.drop(forge.find("TariffPublished")), 10),
]

READINGS: list[tuple[str, Forgery, int]] = [
    (
        "a reading that the meter did not report",
        edit("ReadingRecorded", put("registers", 0, "after_wh", value=more(1))),
        8,
    ),
    (
        "energy moved between intervals",
        edit("ReadingRecorded", put("registers", 0, "differences_wh", value=lambda d: d[::-1]), 4),
        8,
    ),
    (
        "a report of another key",
        edit("ReadingRecorded", sign_again("report", "forger", "hg-report+jws")),
        8,
    ),
    (
        "a report at another time",
        edit("ReadingRecorded", lambda d: d.update(time="2016-07-30T00:00:00Z")),
        8,
    ),
    (
        "a report for another installation",
        edit(
            "ReadingRecorded",
            sign_again("report", "teller", "hg-report+jws", lambda d: d.update(deployment="x")),
        ),
        8,
    ),
    ("a reading left out", lambda forge: forge.drop(forge.find("ReadingRecorded", 5)), 9),
    ("the first reading left out", lambda forge: forge.drop(forge.find("ReadingRecorded")), 9),
    ("the cut-off left out", lambda forge: forge.drop(forge.find("TimeReached", 1)), 9),
    ("a time left out", lambda forge: forge.drop(forge.find("TimeReached")), 9),
    ("a later cut-off", edit("TimeReached", put("to", value="2016-08-01T07:00:00Z"), 1), 9),
]


def by_the_teller(change: Change) -> Change:
    """An insider with the Teller's key: report and fact change alike."""

    def apply(document: dict[str, Any]) -> None:
        sign_again("report", "teller", "hg-report+jws", change)(document)
        change(document["data"])

    return apply


INSIDER: list[tuple[str, Forgery, int]] = [
    (
        "registers that do not join",
        edit(
            "ReadingRecorded", by_the_teller(lambda d: d["registers"][0].update(after_wh=10**6)), 4
        ),
        9,
    ),
    (
        "energy taken from an interval",
        edit(
            "ReadingRecorded",
            by_the_teller(
                lambda d: d["registers"][0].update(
                    differences_wh=[0, *d["registers"][0]["differences_wh"][1:]]
                )
            ),
            4,
        ),
        9,
    ),
    (
        "an hour lost",
        edit("ReadingRecorded", by_the_teller(lambda d: d.update(interval_s=600)), 4),
        8,
    ),
    (
        "registers below zero",
        edit("ReadingRecorded", by_the_teller(lambda d: d["registers"][0].update(after_wh=0)), 4),
        9,
    ),
    (
        "the end of time",
        edit(
            "ReadingRecorded",
            by_the_teller(lambda d: d.update(first_interval_at="9999-12-31T23:45:00Z")),
            4,
        ),
        8,
    ),
    ("another epoch", edit("ReadingRecorded", by_the_teller(lambda d: d.update(epoch=2)), 4), 9),
]

BILL: list[tuple[str, Forgery, int]] = [
    (
        "a dearer line",
        bill("lines", 0, "price_stroops_per_kwh", value=more(1)),
        10,
    ),
    ("more energy", bill("lines", 0, "energy_wh", value=more(1)), 10),
    ("another amount", bill("lines", 0, "amount_stroops", value=more(1)), 10),
    ("another total", bill("total_stroops", value=more(-1)), 10),
    ("no line", bill("lines", value=[]), 10),
    ("a second line", bill("lines", value=lambda lines: lines * 2), 10),
    ("fewer intervals", bill("rated_intervals", value=more(-1)), 10),
    ("more unrated", bill("unrated_intervals", value=more(1)), 10),
    ("more generation", bill("generated_wh", value=more(1)), 10),
    ("more consumption", bill("consumed_wh", value=more(1)), 10),
    (
        "another price position",
        bill("lines", 0, "price_position", value=lambda p: p.replace("PRICES:", "PRICES:1")),
        10,
    ),
    ("another asset", bill("asset", value="EUR"), 11),
    ("another recipient", bill("recipient", value="neighbour"), 11),
    ("due earlier", bill("due_at", value="2016-08-03T06:00:00Z"), 11),
    (
        "a longer period",
        bill("period_from", value="2016-07-27T06:00:00Z"),
        10,
    ),
    (
        "a shorter period",
        bill("period_from", value="2016-07-28T12:00:00Z"),
        9,
    ),
    (
        "a reading not named",
        bill("readings", 0, "positions", value=lambda p: p[1:]),
        11,
    ),
    (
        "another first report",
        bill("readings", 0, "first_seq", value=more(1)),
        11,
    ),
    ("another identity", edit("InvoiceIssued", lambda d: d.update(id="x.issued")), 11),
    ("another cause", edit("InvoiceIssued", lambda d: d.update(cause="- nothing")), 11),
]

PAYMENT: list[tuple[str, Forgery, int]] = [
    ("another amount paid", paid("amount_stroops", value=more(USD)), 12),
    ("another payer", paid("payer", value="neighbour"), 12),
    (
        "more cleared",
        paid("cleared", 0, "amount_stroops", value=more(1)),
        12,
    ),
    (
        "principal kept back",
        paid("principal", 0, "amount_stroops", value=more(-1)),
        12,
    ),
    (
        "a return from nowhere",
        paid("returns", value=[{"member": "investor-1", "amount_stroops": 5}]),
        12,
    ),
    (
        "title kept back",
        title("moves", 0, "shares", value=more(-1)),
        12,
    ),
    ("title to another", title("to_member", value="neighbour"), 12),
    (
        "title of another",
        title("moves", 0, "member", value="developer"),
        12,
    ),
    ("too much title", title("own_shares", value=10**12), 12),
    (
        "another holding's units",
        title("holding_units", value=more(1)),
        12,
    ),
    ("the transfer left out", lambda forge: forge.drop(forge.find("OwnershipTransferred")), 12),
    (
        "a payment left out",
        lambda forge: [
            forge.drop(forge.find("PaymentSettled")),
            forge.drop(forge.find("OwnershipTransferred")),
        ],
        12,
    ),
    ("paid without payment", edit("InvoicePaid", put("total_stroops", value=more(1))), 12),
]

ELSE: list[tuple[str, Forgery, int]] = [
    (
        "a time that nobody asked for",
        lambda forge: forge.add("LEDGER_pilot", forge.place("LEDGER_pilot", "TimeReached")),
        13,
    ),
    ("a fact too many", lambda forge: forge.add("PRICES", 0), 13),
    ("a stranger registered", lambda forge: forge.add("MEMBERS", 3), 13),
]

ALL = [*FACTS, *PEOPLE, *READINGS, *INSIDER, *BILL, *PAYMENT, *ELSE]


@pytest.mark.parametrize(("forgery", "step"), [row[1:] for row in ALL], ids=[row[0] for row in ALL])
def test_every_forgery_is_refused_by_its_step(season: Season, forgery: Forgery, step: int) -> None:
    error = refusal(season, forgery)
    assert error.step == step, error.message
    assert [passed.number for passed in error.passed] == list(range(1, step))
