"""Proofs of real invoices: built, verified, and what they leave open."""

import pytest

from libs.events import InvoiceIssued, ReadingRefused, decode
from libs.eventstore import Stored
from libs.proof.build import build_proof, rounds_of
from libs.proof.errors import NotProvable
from libs.proof.model import TrustFile
from libs.proof.verify import STEPS_COUNT, Refused, Verdict, Verified, verify_proof

Season = dict[str, list[Stored]]


def counts(result: Verified, number: int) -> dict[str, int]:
    return dict(result.steps[number - 1].counts)


def invoice_of(season: Season) -> InvoiceIssued:
    found = next(s for s in season["BILLING_pilot"] if s.subject.endswith("InvoiceIssued"))
    fact = decode(
        deployment="demo",
        stream=found.stream,
        sequence=found.sequence,
        subject=found.subject,
        data=found.data,
    ).fact
    assert isinstance(fact, InvoiceIssued)
    return fact


def test_with_trust_it_is_proved(proof: bytes, trust: bytes) -> None:
    result = verify_proof(proof, trust)
    assert result.verdict is Verdict.PROVED
    assert [step.number for step in result.steps] == list(range(1, STEPS_COUNT + 1))
    assert counts(result, 9) == {"readings": 32, "declared gaps": 0}
    assert counts(result, 10) == {"rated intervals": 384, "unrated": 0, "lines": 1}
    assert counts(result, 12)["payments"] == 2
    assert counts(result, 12)["cleared stroops"] == result.total_stroops


def test_without_trust_it_is_consistent(proof: bytes) -> None:
    result = verify_proof(proof)
    assert result.verdict is Verdict.CONSISTENT
    assert any("No trust file" in sentence for sentence in result.not_covered)


def test_a_whole_month_stays_below_a_megabyte(season: Season, trust: bytes) -> None:
    proof = build_proof(season, "home-2016-08").to_bytes()
    result = verify_proof(proof, trust)
    assert result.verdict is Verdict.PROVED
    assert result.number == 2
    assert counts(result, 10) == {"rated intervals": 31 * 96, "unrated": 0, "lines": 1}
    assert len(proof) < 1_000_000


def test_a_known_ledger_is_no_open_question(
    season: Season, proof: bytes, trusted: TrustFile
) -> None:
    def is_open(trust: TrustFile) -> bool:
        result = verify_proof(proof, trust.to_bytes())
        return any("independent source" in sentence for sentence in result.not_covered)

    found = verify_proof(proof)
    known = trusted.model_copy(update={"ledgers": {str(found.ledger): found.ledger_hash}})
    assert is_open(trusted)
    assert not is_open(known)
    wrong = trusted.model_copy(update={"ledgers": {str(found.ledger): "0" * 64}})
    with pytest.raises(Refused, match="step 3"):
        verify_proof(proof, wrong.to_bytes())


def test_troubles_are_declared_and_billed_alike(troubled: Season) -> None:
    """Lost, late and refused reports, corrections, two holdings and prices, finer intervals."""
    result = verify_proof(build_proof(troubled, "home-2016-07").to_bytes())
    billed = invoice_of(troubled)
    assert result.total_stroops == billed.total_stroops
    assert counts(result, 7)["meters"] == 3
    assert counts(result, 8)["corrections"] == 3
    assert counts(result, 9)["declared gaps"] == 2
    # The first report of the household and one of the plant: two times 24 intervals.
    assert counts(result, 10) == {"rated intervals": 336, "unrated": 48, "lines": 2}
    assert any(s.subject.endswith(ReadingRefused.fact_name) for s in troubled["READINGS_0"])


def test_nothing_anchored(season: Season) -> None:
    with pytest.raises(NotProvable, match="no round has ended"):
        build_proof({**season, "ANCHORS": season["ANCHORS"][:2]}, "home-2016-07")


def test_an_unknown_invoice(season: Season) -> None:
    with pytest.raises(NotProvable, match="home-2017-01"):
        build_proof(season, "home-2017-01")


def test_an_invoice_that_no_round_covers_yet(season: Season) -> None:
    rounds = rounds_of(season)
    cut = next(
        place
        for place, stored in enumerate(season["ANCHORS"])
        if stored.subject.endswith("HeadAnchored")
    )
    early = {**season, "ANCHORS": season["ANCHORS"][: cut + 1]}
    assert len(rounds_of(early)) == 1 < len(rounds)
    with pytest.raises(NotProvable, match="home-2016-07"):
        build_proof(early, "home-2016-07")


def test_under_an_earlier_round_less_is_covered(season: Season, trust: bytes) -> None:
    """The first round that holds the invoice does not hold its payment."""
    for end in range(len(season["ANCHORS"])):
        try:
            early = build_proof({**season, "ANCHORS": season["ANCHORS"][:end]}, "home-2016-07")
        except NotProvable:
            continue
        result = verify_proof(early.to_bytes(), trust)
        assert counts(result, 12)["payments"] == 0
        assert any("none was anchored" in sentence for sentence in result.not_covered)
        return
    raise AssertionError("no round holds the invoice")


def test_no_streams() -> None:
    with pytest.raises(NotProvable):
        build_proof({}, "home-2016-07")
