"""Whom the reader trusts: a proof under other keys is refused, whatever else it says."""

import hashlib

import pytest
from nacl.signing import SigningKey

from libs.eventstore import Stored
from libs.proof.build import log_keys_of
from libs.proof.model import NotAFile, TrustFile
from libs.proof.verify import Refused, Verdict, verify_proof
from tests.devnet.world import ANNA
from tests.proof.forge import FORGER_SEED, Forge
from tests.proof.play import key

Season = dict[str, list[Stored]]


def step_of(proof: bytes, trust: TrustFile) -> int:
    with pytest.raises(Refused) as refused:
        verify_proof(proof, trust.to_bytes())
    return refused.value.step


def keys_of(season: Season, seed: bytes) -> tuple[str, ...]:
    return log_keys_of("demo", season, bytes(SigningKey(seed).verify_key))


def test_another_installation(proof: bytes, trusted: TrustFile) -> None:
    assert step_of(proof, trusted.model_copy(update={"deployment": "other"})) == 2


def test_another_network(proof: bytes, trusted: TrustFile) -> None:
    assert step_of(proof, trusted.model_copy(update={"network": "Public Global"})) == 2


def test_another_anchor_account(proof: bytes, trusted: TrustFile) -> None:
    other = (key("other").address,)
    assert step_of(proof, trusted.model_copy(update={"anchor_accounts": other})) == 2


def test_a_log_without_a_key(proof: bytes, trusted: TrustFile) -> None:
    for place in range(len(trusted.log_keys)):
        keys = trusted.log_keys[:place] + trusted.log_keys[place + 1 :]
        trust = trusted.model_copy(update={"log_keys": keys})
        name = trusted.log_keys[place].partition("+")[0]
        if f'"{name}"'.encode() in proof:
            assert step_of(proof, trust) == 2
        else:
            assert verify_proof(proof, trust.to_bytes()).verdict is Verdict.PROVED


def test_two_keys_for_a_log(season: Season, proof: bytes, trusted: TrustFile) -> None:
    both = trusted.log_keys + keys_of(season, FORGER_SEED)
    assert step_of(proof, trusted.model_copy(update={"log_keys": both})) == 2


def test_a_key_that_is_none(proof: bytes, trusted: TrustFile) -> None:
    keys = (*trusted.log_keys, "demo/X+00000000+AAAA")
    assert step_of(proof, trusted.model_copy(update={"log_keys": keys})) == 2


def test_other_log_keys(season: Season, proof: bytes, trusted: TrustFile) -> None:
    seed = hashlib.sha256(b"other logs").digest()
    assert step_of(proof, trusted.model_copy(update={"log_keys": keys_of(season, seed)})) == 4


def test_another_first_approver(proof: bytes, trusted: TrustFile) -> None:
    trust = trusted.model_copy(update={"first_approver": key("other").address})
    assert step_of(proof, trust) == 7


def test_a_file_that_was_signed_and_anchored_again(season: Season, trusted: TrustFile) -> None:
    """Every byte of every fact is honest; only the keys around them are the forger's."""
    forged = Forge(season, "home-2016-07").anchored()
    assert verify_proof(forged).verdict is Verdict.CONSISTENT
    assert step_of(forged, trusted) == 2
    account = trusted.model_copy(update={"anchor_accounts": (ANNA.public_key,)})
    assert step_of(forged, account) == 4
    believer = account.model_copy(update={"log_keys": keys_of(season, FORGER_SEED)})
    assert verify_proof(forged, believer.to_bytes()).verdict is Verdict.PROVED


def test_an_honest_round_with_the_forgers_checkpoints(
    season: Season, proof: bytes, trust: bytes
) -> None:
    """The honest anchor does not carry over to another text."""
    honest = proof.decode()
    forged = Forge(season, "home-2016-07").anchored().decode()
    text = honest[honest.index('"text"') : honest.index('"network"')]
    other = forged[forged.index('"text"') : forged.index('"network"')]
    with pytest.raises(Refused) as refused:
        verify_proof(honest.replace(text, other).encode(), trust)
    assert refused.value.step == 3


@pytest.mark.parametrize("data", [b"", b"{}", b"null", b"\xff"])
def test_a_trust_file_that_is_none(proof: bytes, data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        verify_proof(proof, data)
    assert refused.value.step == 2


def test_the_trust_file_has_one_spelling(trust: bytes) -> None:
    assert TrustFile.from_bytes(trust).to_bytes() == trust
    with pytest.raises(NotAFile):
        TrustFile.from_bytes(trust.replace(b"\n", b""))
