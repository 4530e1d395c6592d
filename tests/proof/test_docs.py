"""The pages say what the code does: examples are real, lists are whole."""

import re
from pathlib import Path

from pydantic import BaseModel

from libs.proof import verify
from libs.proof.model import ProofFact, ProofFile, ProofLog, ProofRound, TrustFile
from libs.proof.rounds import round_sha256
from tests.proof.test_rounds import MEMO, TEXT

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def example(name: str) -> str:
    found = re.search(r"```(?:text|json)\n(.*?)```", page(name), re.DOTALL)
    assert found is not None
    return found[1]


def test_the_example_of_a_round_is_one() -> None:
    assert example("formats/round.md") == TEXT
    assert f"`{MEMO}`" in page("formats/round.md")
    assert round_sha256(TEXT).hex() == MEMO


def test_the_example_of_a_trust_file_is_one() -> None:
    text = example("formats/trust.md").encode()
    assert TrustFile.from_bytes(text).to_bytes() == text


def test_the_example_of_a_proof_has_every_member_in_order() -> None:
    names = re.findall(r'^ *"([a-z_]+)":', example("formats/proof.md"), re.MULTILINE)

    def members(model: type[BaseModel]) -> list[str]:
        return list(model.model_fields)

    outer, around = members(ProofFile), members(ProofRound)
    log = members(ProofLog)
    wanted = [*outer[:5], *around, outer[5], *log[:4], *members(ProofFact), log[4]]
    assert names == wanted


def test_the_steps_are_those_of_the_verifier() -> None:
    named = re.findall(r"^(\d+)\. \*\*([a-z ]+)\*\*", page("verify.md"), re.MULTILINE)
    documented = re.findall(r"^(\d+)\. ([a-z ]+?)[:,]", verify.__doc__ or "", re.MULTILINE)
    assert named == documented
    assert len(named) == verify.STEPS_COUNT
