"""The library agrees with vectors that others have published.

Three sources, none of them ours:

- `data/merkle`: one proof for each file, with the expected verdict, from transparency-dev/merkle.
- The eight leaves and their roots from the test suite of Google's certificate-transparency (also in
  transparency-dev/merkle, `testonly/constants.go`).
- The tree of seven leaves of C2SP merkle-tree, section "Example", with its proofs by label.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from libs.merkle import (
    EMPTY_ROOT,
    MerkleLog,
    ProofError,
    leaf_hash,
    multiproof,
    root_hash,
    verify_consistency,
    verify_inclusion,
    verify_multiproof,
)

VECTORS = Path(__file__).parents[2] / "data" / "merkle"
INCLUSION = sorted((VECTORS / "inclusion").rglob("*.json"))
CONSISTENCY = sorted((VECTORS / "consistency").rglob("*.json"))

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]

ROOTS = [
    bytes.fromhex(text)
    for text in (
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    )
]


def published_log() -> MerkleLog:
    return MerkleLog(leaf_hash(leaf) for leaf in LEAVES)


def read(path: Path) -> dict[str, Any]:
    vector: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return vector


def decoded(value: str | None) -> bytes:
    return base64.b64decode(value or "", validate=True)


def check_inclusion(vector: dict[str, Any]) -> None:
    verify_inclusion(
        leaf_hash=decoded(vector["leafHash"]),
        index=vector["leafIdx"],
        size=vector["treeSize"],
        proof=[decoded(node) for node in vector["proof"] or []],
        root=decoded(vector["root"]),
    )


def check_consistency(vector: dict[str, Any]) -> None:
    verify_consistency(
        size_from=vector["size1"],
        size_to=vector["size2"],
        root_from=decoded(vector["root1"]),
        root_to=decoded(vector["root2"]),
        proof=[decoded(node) for node in vector["proof"] or []],
    )


def name(path: Path) -> str:
    return str(path.relative_to(VECTORS).with_suffix(""))


def test_every_published_file_is_tried() -> None:
    verdicts = [read(path)["wantErr"] for path in INCLUSION + CONSISTENCY]
    assert (len(INCLUSION), len(CONSISTENCY)) == (53, 43)
    assert (verdicts.count(False), verdicts.count(True)) == (7, 89)


@pytest.mark.parametrize("path", INCLUSION, ids=name)
def test_a_published_inclusion_proof_gets_its_published_verdict(path: Path) -> None:
    vector = read(path)
    if vector["wantErr"]:
        with pytest.raises(ProofError):
            check_inclusion(vector)
    else:
        check_inclusion(vector)


@pytest.mark.parametrize("path", CONSISTENCY, ids=name)
def test_a_published_consistency_proof_gets_its_published_verdict(path: Path) -> None:
    vector = read(path)
    if vector["wantErr"]:
        with pytest.raises(ProofError):
            check_consistency(vector)
    else:
        check_consistency(vector)


def test_our_log_makes_the_published_inclusion_proofs() -> None:
    log = published_log()
    tried = 0
    for path in INCLUSION:
        vector = read(path)
        if not vector["wantErr"] and "single-entry" not in name(path):
            proof = log.inclusion_proof(vector["leafIdx"], vector["treeSize"])
            assert proof == [decoded(node) for node in vector["proof"] or []]
            tried += 1
    assert tried == 3


def test_our_log_makes_the_published_consistency_proofs() -> None:
    log = published_log()
    tried = 0
    for path in CONSISTENCY:
        vector = read(path)
        if not vector["wantErr"]:
            proof = log.consistency_proof(vector["size1"], vector["size2"])
            assert proof == [decoded(node) for node in vector["proof"] or []]
            tried += 1
    assert tried == 3


@pytest.mark.parametrize("size", range(9))
def test_the_eight_known_leaves_have_their_known_roots(size: int) -> None:
    log = published_log()
    hashes = [leaf_hash(leaf) for leaf in LEAVES[:size]]
    assert root_hash(hashes) == ROOTS[size]
    assert MerkleLog(hashes).root() == ROOTS[size]
    assert log.root(size) == ROOTS[size]


def test_the_empty_root_is_the_hash_of_nothing() -> None:
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT == ROOTS[0]


def test_many_leaves_lead_to_a_published_root() -> None:
    proof = multiproof(published_log(), [1, 2, 6], 8)
    leaves = {index: leaf_hash(LEAVES[index]) for index in proof.indices}
    verify_multiproof(leaves, 8, proof.nodes, ROOTS[8])


def test_the_seven_leaf_tree_of_c2sp_has_its_labelled_proofs() -> None:
    def over(left: bytes, right: bytes) -> bytes:
        return hashlib.sha256(b"\x01" + left + right).digest()

    entries = [bytes([65 + index]) for index in range(7)]
    a, b, c, d, e, f, g = (hashlib.sha256(b"\x00" + entry).digest() for entry in entries)
    h, i, j = over(a, b), over(c, d), over(e, f)
    k, m = over(h, i), over(j, g)  # m is the page's "l"
    log = MerkleLog(leaf_hash(entry) for entry in entries)

    assert log.root() == over(k, m)
    assert log.inclusion_proof(0, 7) == [b, i, m]
    assert log.inclusion_proof(3, 7) == [c, h, m]
    assert log.inclusion_proof(4, 7) == [f, g, k]
    assert log.inclusion_proof(6, 7) == [j, k]
    assert log.consistency_proof(3, 7) == [c, d, h, m]
    assert log.consistency_proof(4, 7) == [m]
    assert log.consistency_proof(6, 7) == [j, g, k]
    # The canonical order of many leaves, by hand: depth first, left before right.
    assert multiproof(log, [3, 4], 7).nodes == (h, c, f, g)
    assert multiproof(log, [0, 1, 6], 7).nodes == (i, j)
