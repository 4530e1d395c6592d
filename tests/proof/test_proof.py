"""A proof of a real invoice: built, verified."""

from libs.eventstore import Stored
from libs.proof.build import build_proof
from libs.proof.verify import Verdict, verify_proof


def test_without_trust_it_is_consistent(season: dict[str, list[Stored]]) -> None:
    result = verify_proof(build_proof(season, "home-2016-07").to_bytes())
    assert result.verdict is Verdict.CONSISTENT
