"""Forgeries of the newer bills: each is refused, and by the step that is there for it."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from libs.events.jws import MessageType
from libs.eventstore import Stored
from tests.proof.forge import Change, Forge
from tests.proof.test_forgeries import Forgery, edit, more, put, refusal, sign_again

Season = dict[str, list[Stored]]
COMMAND: MessageType = "hg-command+jws"
FIRST, SECOND, THIRD = "home-2016-07-28", "home-2016-07-28.2", "home-2016-07-28.3"
SEED = int(os.environ.get("HELIOGRAPH_TEST_SEED", "0"))


def issued(forge: Forge) -> tuple[str, int]:
    """The invoice that is proved, among those in the file."""
    found = [("BILLING_pilot", index) for index in forge.chosen["BILLING_pilot"]]
    return next(
        place
        for place in found
        if forge.read(place)["type"].startswith("heliograph.InvoiceIssued")
        and forge.read(place)["data"]["invoice"] == forge.invoice
    )


def bill(*path: str | int, value: Any) -> Forgery:
    return lambda forge: forge.edit(issued(forge), put(*path, value=value))


def line(kind: str, member: str, value: Any, nth: int = 0) -> Forgery:
    """Change a line of a kind; the total follows where the amount does."""

    def change(document: dict[str, Any]) -> None:
        lines = [each for each in document["data"]["lines"] if each["kind"] == kind]
        part = lines[nth]
        old = part.get(member)
        part[member] = value(old) if callable(value) else value
        if member == "amount_stroops":
            document["data"]["total_stroops"] += part[member] - old

    return lambda forge: forge.edit(issued(forge), change)


def left_out(kind: str, place: int = 0) -> Forgery:
    return lambda forge: forge.drop(forge.find(kind, place))


def another_price(document: dict[str, Any]) -> None:
    document["data"]["prices"]["time_of_use"]["buckets"][1]["tiers"][1]["up_to_wh"] += 1_000


def price_signed(document: dict[str, Any]) -> None:
    """An approver signs another tariff than the one that was billed."""

    def change(claims: dict[str, Any]) -> None:
        claims["body"]["time_of_use"]["buckets"][1]["tiers"][1]["up_to_wh"] += 1_000

    another_price(document)
    sign_again("command", "approver", COMMAND, change)(document)


def agreed_again(*path: str | int, value: Any) -> Change:
    """The household signs another agreement than the one that was billed."""

    def apply(document: dict[str, Any]) -> None:
        put(*path, value=value)(document)
        found = document["data"]
        for name in path[:-1]:
            found = found[name]
        new = found[path[-1]]

        def change(claims: dict[str, Any]) -> None:
            part = claims["body"]
            for name in path[:-1]:
                part = part[name]
            part[path[-1]] = new

        sign_again("command", "household", COMMAND, change)(document)

    return apply


def unreplaced(document: dict[str, Any]) -> None:
    del document["data"]["replaces"]


def without_cutoff(document: dict[str, Any]) -> None:
    del document["data"]["cutoff_at"]


def more_disputed(document: dict[str, Any]) -> None:
    put("total_stroops", value=more(1))(document)
    put("amounts", 0, "amount_stroops", value=more(1))(document)


def with_a_term(document: dict[str, Any]) -> None:
    lines = document["data"]["lines"]
    term = {"line": len(lines) + 1, "line_class": "energy", "kind": "term"}
    lines.append(term | {"holding": lines[0]["holding"], "energy_wh": 0, "days": 0})
    lines[-1] |= {"base_lines": [], "amount_stroops": 100}
    document["data"]["total_stroops"] += 100


LINES: list[tuple[str, str, Forgery, int]] = [
    ("another price", FIRST, line("use", "price_stroops_per_kwh", more(1)), 10),
    ("another bucket", FIRST, line("use", "bucket", "weekend"), 10),
    ("another tier", FIRST, line("use", "tier", 2), 10),
    ("energy of another tier", FIRST, line("use", "energy_wh", more(1), 2), 10),
    ("less shared energy", FIRST, line("shared", "energy_wh", more(-1)), 10),
    ("another payee of shared energy", FIRST, line("shared", "payee", "home"), 10),
    ("shared energy as own use", FIRST, line("shared", "kind", "use"), 10),
    ("another standing charge", FIRST, line("standing", "amount_stroops", more(1)), 10),
    ("other days", FIRST, line("standing", "days", 13), 10),
    ("another payee of the upkeep", FIRST, line("upkeep", "payee", "household"), 10),
    ("more upkeep", FIRST, line("upkeep", "amount_stroops", more(1)), 10),
    ("another tax rate", FIRST, line("tax", "rate_ppm", more(1)), 10),
    ("other base lines", FIRST, line("tax", "base_lines", lambda b: b[1:]), 10),
    ("another tax authority", FIRST, line("tax", "payee", "keeper"), 10),
    ("less tax", FIRST, line("tax", "amount_stroops", more(-1), 1), 10),
    ("another class", FIRST, line("upkeep", "line_class", "energy"), 10),
    (
        "another rate",
        "next-2016-07-28.2",
        line("use", "rate_position", lambda p: p.replace("PRICES:", "PRICES:1")),
        10,
    ),
    ("another publication", "next-2016-07-28.2", line("use", "amount_stroops", more(1)), 10),
    ("another minimum", "next-2016-07-28.2", line("minimum", "amount_stroops", more(1)), 10),
    ("a published price left out", "next-2016-07-28.2", left_out("PricePublished"), 10),
    (
        "another published price",
        "next-2016-07-28.2",
        edit("PricePublished", put("published", "values", 12, value=more(10_000))),
        10,
    ),
    ("the rate left out", "next-2016-07-28.2", left_out("RatePublished"), 10),
    (
        "another published rate",
        "next-2016-07-28.2",
        edit("RatePublished", put("rate_stroops", value=more(1_000))),
        10,
    ),
    ("a time of PRICES left out", "next-2016-07-28.2", left_out("TimeAdvanced"), 9),
    ("a diversion left out", "home-2016-09-08", left_out("SupplyDiverted"), 10),
    ("its end left out", "home-2016-09-08", left_out("SupplyRestored"), 10),
    (
        "a diversion of somebody else",
        "home-2016-09-08",
        edit("SupplyDiverted", put("holding", value="holding-household")),
        7,
    ),
    ("a tariff of which the tiers differ", FIRST, edit("TariffPublished", another_price), 7),
    ("the same, signed", FIRST, edit("TariffPublished", price_signed), 10),
    ("another tax in the agreement", FIRST, edit("AgreementOpened", put("taxes", value=[])), 7),
    (
        "another tax, signed",
        FIRST,
        edit("AgreementOpened", agreed_again("taxes", 0, "rate_ppm", value=more(1))),
        10,
    ),
    (
        "another upkeep, signed",
        FIRST,
        edit("AgreementOpened", agreed_again("upkeep", "payee", value="state")),
        10,
    ),
    ("the neighbour's agreement left out", FIRST, left_out("AgreementOpened", 1), 10),
]

CHAIN: list[tuple[str, str, Forgery, int]] = [
    ("another part that is due later", SECOND, bill("later_stroops", value=more(-1)), 11),
    ("due later altogether", SECOND, bill("due_at", value="2016-08-20T06:00:00Z"), 11),
    ("its later part due sooner", SECOND, bill("later_due_at", value="2016-08-15T06:00:00Z"), 11),
    ("an earlier cut-off", SECOND, bill("cutoff_at", value="2016-08-14T06:00:00Z"), 9),
    ("a later cut-off", SECOND, bill("cutoff_at", value="2016-08-16T06:00:00Z"), 9),
    ("a cut-off at another hour", SECOND, bill("cutoff_at", value="2016-08-15T05:00:00Z"), 11),
    ("no cut-off", THIRD, lambda forge: forge.edit(issued(forge), without_cutoff), 9),
    ("another one replaced", THIRD, bill("replaces", value=FIRST), 11),
    ("nothing replaced", SECOND, lambda forge: forge.edit(issued(forge), unreplaced), 11),
    ("another number", SECOND, bill("number", value=more(1)), 11),
    ("the credit note left out", SECOND, left_out("CreditNoteIssued"), 11),
    ("the replaced invoice left out", SECOND, left_out("InvoiceIssued"), 11),
    ("less undone", SECOND, edit("CreditNoteIssued", put("total_stroops", value=more(-1))), 11),
    (
        "less undone, of one class",
        SECOND,
        edit("CreditNoteIssued", put("amounts", 0, "amount_stroops", value=more(-1))),
        11,
    ),
    ("another reason", SECOND, edit("CreditNoteIssued", put("reason", value="prices")), 11),
    ("no reason", SECOND, edit("CreditNoteIssued", put("because", value=[])), 11),
    ("no difference", SECOND, edit("CreditNoteIssued", put("changes", value=[])), 11),
    (
        "another difference",
        SECOND,
        edit("CreditNoteIssued", put("changes", 0, "after_wh", value=more(1))),
        11,
    ),
    ("another number of the note", SECOND, edit("CreditNoteIssued", put("number", value=1)), 11),
    ("a correction left out", SECOND, left_out("ReadingCorrected"), 9),
    ("the time of the cut-off left out", SECOND, left_out("TimeReached", 1), 9),
]

PAID: list[tuple[str, str, Forgery, int]] = [
    ("more than ordered", FIRST, edit("StandingOrderSet", put("limit_stroops", value=1)), 12),
    ("an order left out", FIRST, left_out("StandingOrderSet"), 12),
    (
        "an order of another",
        FIRST,
        edit(
            "StandingOrderSet",
            sign_again("command", "neighbour", COMMAND, lambda d: d.update(member="neighbour")),
        ),
        12,
    ),
    ("paid by another", FIRST, edit("PaymentSettled", put("payer", value="neighbour")), 12),
    ("more paid", FIRST, edit("PaymentSettled", put("amount_stroops", value=more(1))), 12),
    (
        "tax cleared last",
        FIRST,
        edit("PaymentSettled", put("cleared", value=lambda parts: parts[::-1])),
        12,
    ),
    (
        "tax into another pocket",
        FIRST,
        edit("PaymentSettled", put("cleared", 0, "payee", value="keeper")),
        12,
    ),
    (
        "tax into a wallet",
        FIRST,
        edit("PaymentSettled", put("cleared", 0, "into", value="wallet")),
        12,
    ),
    (
        "less tax cleared",
        FIRST,
        edit("PaymentSettled", put("cleared", 0, "amount_stroops", value=more(-1))),
        12,
    ),
    (
        "the credit note's settlement",
        FIRST,
        edit("CreditNoteSettled", put("prepaid_stroops", value=more(-1))),
        12,
    ),
    (
        "a refund kept",
        FIRST,
        edit("CreditNoteSettled", put("refunds", 0, "refunded_stroops", value=more(-1))),
        12,
    ),
    ("more prepaid", SECOND, edit("PrepaidApplied", put("amount_stroops", value=more(10**9))), 12),
    ("prepaid left out", SECOND, left_out("PrepaidApplied"), 12),
    ("credit left out", SECOND, left_out("CreditApplied"), 12),
    ("more credit", SECOND, edit("CreditApplied", put("amount_stroops", value=more(1))), 12),
    ("title left out", FIRST, left_out("OwnershipTransferred"), 12),
    ("paid for nothing", FIRST, edit("InvoicePaid", put("number", value=more(1))), 12),
    (
        "paid by another cause",
        FIRST,
        edit("InvoicePaid", lambda document: document.update(cause="- nothing-to-pay")),
        12,
    ),
]

HANDED: list[tuple[str, str, Forgery, int]] = [
    ("another recipient", "home-2016-08-11", bill("recipient", value="household"), 11),
    ("the transfer left out", "home-2016-08-11", left_out("HoldingTransferred"), 11),
    ("the acceptance left out", "home-2016-08-11", left_out("HoldingAccepted"), 7),
    (
        "accepted by another",
        "home-2016-08-11",
        edit("HoldingAccepted", sign_again("command", "household", COMMAND)),
        7,
    ),
    ("a term that is too much", "home-2016-08-11", line("term", "amount_stroops", more(10**9)), 10),
    ("a term before its end", FIRST, lambda forge: forge.edit(issued(forge), with_a_term), 10),
    ("the owner's day left out", "home-2016-09-08", left_out("HoldingOwned"), 10),
    ("a decided dispute left out", FIRST, left_out("DisputeResolved"), 11),
    (
        "a dispute that another decided",
        FIRST,
        edit("DisputeResolved", sign_again("command", "household", COMMAND)),
        11,
    ),
    (
        "more credited than decided",
        FIRST,
        edit(
            "CreditNoteIssued",
            more_disputed,
        ),
        11,
    ),
    ("a dispute that is forgotten", SECOND, left_out("CreditNoteIssued"), 11),
]


def cases(rows: list[tuple[str, str, Forgery, int]]) -> Callable[[Any], Any]:
    return pytest.mark.parametrize(
        ("invoice", "forgery", "step"),
        [row[1:] for row in rows],
        ids=[row[0].replace(" ", "-") for row in rows],
    )


@cases([*LINES, *CHAIN, *PAID])
def test_every_forgery_is_refused_by_its_step(
    owning: Season, invoice: str, forgery: Forgery, step: int
) -> None:
    error = refusal(owning, forgery, invoice)
    assert error.step == step, error.message


@cases(HANDED)
def test_every_forgery_about_holders_is_refused_by_its_step(
    handed: Season, invoice: str, forgery: Forgery, step: int
) -> None:
    error = refusal(handed, forgery, invoice)
    assert error.step == step, error.message
