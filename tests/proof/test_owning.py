"""Bills of people who come to own: every invoice of two seasons is proved, and says what it should.

What is wrong with them is refused: see `test_owning_forgeries.py`.
"""

import gzip
import json
from pathlib import Path
from typing import Any, get_args

import pytest

from libs.events.invoicing import LineKind
from libs.eventstore import Stored
from libs.proof.build import build_proof
from libs.proof.model import TrustFile
from libs.proof.verify import Verdict, Verified, verify_proof

Season = dict[str, list[Stored]]
GOLDEN = Path(__file__).parent / "golden"


def documents(season: Season, kind: str) -> list[dict[str, Any]]:
    rows = (row for rows in season.values() for row in rows)
    return [json.loads(row.data)["data"] for row in rows if row.subject.endswith(f".{kind}")]


def proved(season: Season, invoice: str, trust: TrustFile) -> Verified:
    result = verify_proof(build_proof(season, invoice).to_bytes(), trust.to_bytes())
    assert result.verdict is Verdict.PROVED
    return result


def count(result: Verified, step: int, what: str) -> int:
    return result.steps[step - 1].counts[what]


def names(result: Verified) -> str:
    return " ".join(result.not_covered)


@pytest.mark.parametrize("which", ["owning", "handed"])
def test_every_invoice_is_proved(
    which: str, trusted: TrustFile, request: pytest.FixtureRequest
) -> None:
    season: Season = request.getfixturevalue(which)
    billed = documents(season, "InvoiceIssued")
    assert len(billed) >= 5
    for each in billed:
        result = proved(season, each["invoice"], trusted)
        assert (result.total_stroops, result.number) == (each["total_stroops"], each["number"])
        assert result.recipient == each["recipient"]


def test_the_seasons_have_every_kind_of_line(owning: Season, handed: Season) -> None:
    billed = [*documents(owning, "InvoiceIssued"), *documents(handed, "InvoiceIssued")]
    assert {line["kind"] for each in billed for line in each["lines"]} == set(get_args(LineKind))
    lines = [line for each in billed for line in each["lines"]]
    assert {line.get("tier") for line in lines} == {None, 1, 2, 3}
    assert any("rate_position" in line for line in lines)


def test_a_replaced_invoice_and_those_that_replace_it(owning: Season, trusted: TrustFile) -> None:
    first = proved(owning, "home-2016-07-28", trusted)
    second = proved(owning, "home-2016-07-28.2", trusted)
    third = proved(owning, "home-2016-07-28.3", trusted)
    assert "What replaced home-2016-07-28:" in names(first)
    assert "What replaced home-2016-07-28.2:" in names(second)
    assert "What replaced" not in names(third)
    assert second.number == first.number + 5
    assert [count(each, 11, "credit notes") for each in (first, second, third)] == [1, 2, 1]


def test_a_price_that_came_late_is_a_reason(owning: Season, trusted: TrustFile) -> None:
    first, second = (proved(owning, f"next-2016-07-28{n}", trusted) for n in ("", ".2"))
    assert (count(first, 10, "unrated"), count(second, 10, "unrated")) == (96, 0)
    assert "median" in names(first)
    assert "euro had no newer rate" in names(first)
    notes = documents(owning, "CreditNoteIssued")
    assert [note["reason"] for note in notes] == ["prices", "readings", "readings"]


def test_a_diverted_neighbour_changes_what_is_allocated(owning: Season, trusted: TrustFile) -> None:
    result = proved(owning, "next-2016-09-08", trusted)
    assert count(result, 10, "lines") == 10
    [invoice] = [
        each for each in documents(owning, "InvoiceIssued") if each["invoice"] == "next-2016-09-08"
    ]
    days = {line["kind"]: line.get("days") for line in invoice["lines"] if "days" in line}
    assert days["upkeep"] == 7  # of 14: the others began while it was diverted


def test_a_dispute_holds_for_the_new_invoice_too(handed: Season, trusted: TrustFile) -> None:
    result = proved(handed, "home-2016-07-28.2", trusted)
    assert count(result, 11, "credit notes") == 3


def test_another_holder_receives_the_bill(handed: Season, trusted: TrustFile) -> None:
    first, second = (proved(handed, f"home-{day}", trusted) for day in ("2016-07-28", "2016-08-11"))
    assert (first.recipient, second.recipient) == ("household", "neighbour")


def test_what_is_left_at_the_end_of_the_term_is_not_covered(
    handed: Season, trusted: TrustFile
) -> None:
    assert "end of the term" not in names(proved(handed, "home-2016-07-28", trusted))
    assert "end of the term" in names(proved(handed, "home-2016-08-11", trusted))


def test_once_owned_no_energy_is_billed(handed: Season, trusted: TrustFile) -> None:
    result = proved(handed, "home-2016-09-08", trusted)
    owned = documents(handed, "HoldingOwned")
    assert len(owned) == 1
    day_wh = result.energy_wh
    assert 0 < day_wh < proved(handed, "home-2016-08-25", trusted).energy_wh // 10


@pytest.mark.parametrize("name", ["paid", "troubled"])
def test_a_proof_of_version_1_still_verifies(name: str) -> None:
    """Files that the first release wrote, byte for byte."""
    proof = gzip.decompress((GOLDEN / f"{name}.v1.proof.json.gz").read_bytes())
    assert b"heliograph.InvoiceIssued.v1" in proof
    result = verify_proof(proof, (GOLDEN / "trust.json").read_bytes())
    assert result.verdict is Verdict.PROVED
    assert count(result, 12, "payments") == (2 if name == "paid" else 0)
