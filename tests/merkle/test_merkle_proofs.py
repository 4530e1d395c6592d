"""Every true statement about a log can be proved, and no altered proof passes.

Proofs come from `MerkleLog`, whose output is compared with the definition in `test_merkle_tree.py`
and with published vectors in `test_merkle_vectors.py`. Here they are altered in every way that a
forger
has: another leaf, position, size, root or node; a node more, fewer or moved; other types.
"""

import dataclasses
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from libs.merkle import (
    EMPTY_ROOT,
    SIZE_MAX,
    MerkleLog,
    MultiProof,
    ProofError,
    leaf_hash,
    multiproof,
    node_hash,
    verify_consistency,
    verify_inclusion,
    verify_multiproof,
)

LEAVES = [leaf_hash(index.to_bytes(2, "big")) for index in range(200)]
LOG = MerkleLog(LEAVES)
NOT_HASHES: list[Any] = [None, b"", b"x" * 31, b"x" * 33, "x" * 32, 5, bytearray(32)]
NOT_COUNTS: list[Any] = [None, -1, 1.0, "1", True, SIZE_MAX + 1, 2**64 - 1]
NOT_LISTS: list[Any] = [None, 5, "x" * 32, b"x" * 32, {}, iter([])]

sizes = st.integers(1, len(LEAVES))


def flipped(value: bytes, bit: int = 0) -> bytes:
    return bytes([value[0] ^ (1 << bit)]) + value[1:]


def altered_lists(nodes: list[bytes]) -> list[list[bytes]]:
    """All lists that differ from `nodes` by one node gone, more, changed, or moved."""
    lists = []
    for at in range(len(nodes)):
        lists += [nodes[:at] + nodes[at + 1 :]]
        lists += [[*nodes[:at], flipped(nodes[at]), *nodes[at + 1 :]]]
        lists += [[*nodes[:at], nodes[at], *nodes[at:]]]
    lists += [[*nodes, LEAVES[0]], [LEAVES[0], *nodes], [*nodes, b""]]
    if len(nodes) > 1:
        lists += [nodes[::-1], nodes[1:] + nodes[:1]]
    return [changed for changed in lists if changed != nodes]


@given(sizes, st.data())
@settings(deadline=None, max_examples=100)
def test_every_leaf_proves(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    verify_inclusion(
        leaf_hash=LEAVES[index],
        index=index,
        size=size,
        proof=LOG.inclusion_proof(index, size),
        root=LOG.root(size),
    )


@given(sizes, st.data())
@settings(deadline=None, max_examples=100)
def test_no_altered_inclusion_proof_passes(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = LOG.inclusion_proof(index, size)
    true: dict[str, Any] = {
        "leaf_hash": LEAVES[index],
        "index": index,
        "size": size,
        "proof": proof,
        "root": LOG.root(size),
    }
    other = data.draw(st.integers(0, len(LEAVES) + 5))
    changes: list[dict[str, Any]] = [{"proof": nodes} for nodes in altered_lists(proof)]
    changes += [
        {"leaf_hash": flipped(LEAVES[index], data.draw(st.integers(0, 7)))},
        {"root": flipped(LOG.root(size), data.draw(st.integers(0, 7)))},
        {"root": EMPTY_ROOT},
    ]
    if other != index:
        changes += [{"index": other}]
    for change in changes:
        with pytest.raises(ProofError):
            verify_inclusion(**{**true, **change})


@given(sizes, sizes, st.data())
@settings(deadline=None, max_examples=100)
def test_a_proof_for_one_size_is_no_proof_for_the_root_of_another(
    size: int, other: int, data: st.DataObject
) -> None:
    assume(size != other)
    index = data.draw(st.integers(0, size - 1))
    with pytest.raises(ProofError):
        verify_inclusion(
            leaf_hash=LEAVES[index],
            index=index,
            size=other,
            proof=LOG.inclusion_proof(index, size),
            root=LOG.root(other),
        )


def test_only_a_checkpoint_binds_a_size_to_its_root() -> None:
    # RFC 6962 does not hash the size. Leaf 0 needs two nodes in a tree of 3 leaves and in one of 4,
    # so a root with the wrong size passes here. This is why both must come from one checkpoint.
    proof = LOG.inclusion_proof(0, 3)
    verify_inclusion(leaf_hash=LEAVES[0], index=0, size=4, proof=proof, root=LOG.root(3))
    # The last leaf does tell the sizes apart.
    with pytest.raises(ProofError):
        verify_inclusion(
            leaf_hash=LEAVES[2],
            index=2,
            size=4,
            proof=LOG.inclusion_proof(2, 3),
            root=LOG.root(3),
        )


def test_an_inner_node_is_no_leaf() -> None:
    # Without prefixes, or without a size that is bound to the root, this would pass.
    inner = node_hash(LEAVES[0], LEAVES[1])
    with pytest.raises(ProofError):
        verify_inclusion(
            leaf_hash=inner, index=0, size=4, proof=LOG.inclusion_proof(0, 4)[1:], root=LOG.root(4)
        )


def test_every_pair_of_small_sizes_is_consistent() -> None:
    for size_to in range(34):
        for size_from in range(size_to + 1):
            verify_consistency(
                size_from=size_from,
                size_to=size_to,
                root_from=LOG.root(size_from),
                root_to=LOG.root(size_to),
                proof=LOG.consistency_proof(size_from, size_to),
            )


@given(st.integers(0, len(LEAVES)), st.integers(0, len(LEAVES)), st.data())
@settings(deadline=None, max_examples=100)
def test_no_altered_consistency_proof_passes(one: int, two: int, data: st.DataObject) -> None:
    size_from, size_to = sorted((one, two))
    proof = LOG.consistency_proof(size_from, size_to)
    true: dict[str, Any] = {
        "size_from": size_from,
        "size_to": size_to,
        "root_from": LOG.root(size_from),
        "root_to": LOG.root(size_to),
        "proof": proof,
    }
    verify_consistency(**true)
    changes: list[dict[str, Any]] = [{"proof": nodes} for nodes in altered_lists(proof)]
    changes += [{"root_from": flipped(true["root_from"], data.draw(st.integers(0, 7)))}]
    if size_from:
        # From nothing, any later log is a growth; there is nothing that could contradict it.
        changes += [{"root_to": flipped(true["root_to"], data.draw(st.integers(0, 7)))}]
        changes += [{"size_from": size_from - 1}, {"size_from": size_from + 1}]
    if size_from != size_to:
        changes += [{"size_from": size_to, "size_to": size_from}]
    for change in changes:
        with pytest.raises(ProofError):
            verify_consistency(**{**true, **change})


@given(st.integers(1, 60), st.integers(1, 60), st.data())
@settings(deadline=None, max_examples=60)
def test_a_log_with_a_rewritten_past_is_not_consistent(
    size_from: int, more: int, data: st.DataObject
) -> None:
    size_to = size_from + more
    index = data.draw(st.integers(0, size_from - 1))
    rewritten = MerkleLog([*LEAVES[:index], flipped(LEAVES[index]), *LEAVES[index + 1 : size_to]])
    for proof in (
        LOG.consistency_proof(size_from, size_to),
        rewritten.consistency_proof(size_from, size_to),
    ):
        with pytest.raises(ProofError):
            verify_consistency(
                size_from=size_from,
                size_to=size_to,
                root_from=LOG.root(size_from),
                root_to=rewritten.root(),
                proof=proof,
            )


def test_an_empty_log_has_one_root_only() -> None:
    for size_to in (0, 3):
        with pytest.raises(ProofError) as refusal:
            verify_consistency(
                size_from=0,
                size_to=size_to,
                root_from=LOG.root(3),
                root_to=LOG.root(3),
                proof=[],
            )
        assert refusal.value.step == 2


index_sets = st.lists(st.integers(0, len(LEAVES) - 1), min_size=1, max_size=40)


def leaves_of(proof: MultiProof) -> dict[int, bytes]:
    return {index: LEAVES[index] for index in proof.indices}


@given(index_sets, st.integers(0, len(LEAVES)))
@settings(deadline=None, max_examples=100)
def test_many_leaves_prove_together(indices: list[int], more: int) -> None:
    size = min(max(indices) + 1 + more, len(LEAVES))
    proof = multiproof(LOG, indices, size)
    assert proof.size == size
    assert list(proof.indices) == sorted(set(indices))
    verify_multiproof(leaves_of(proof), size, proof.nodes, LOG.root(size))


@given(index_sets)
@settings(deadline=None, max_examples=60)
def test_many_leaves_need_no_node_that_their_single_proofs_do_not_have(indices: list[int]) -> None:
    size = len(LEAVES)
    nodes = multiproof(LOG, indices, size).nodes
    union = {node for index in indices for node in LOG.inclusion_proof(index, size)}
    assert len(set(nodes)) == len(nodes)
    assert set(nodes) <= union
    if len(set(indices)) == 1:
        assert set(nodes) == union


@given(index_sets, st.integers(1, len(LEAVES)))
@settings(deadline=None, max_examples=40)
def test_no_altered_proof_of_many_leaves_passes(indices: list[int], more: int) -> None:
    size = min(max(indices) + more, len(LEAVES))
    proof = multiproof(LOG, indices, size)
    leaves, root = leaves_of(proof), LOG.root(size)
    for nodes in altered_lists(list(proof.nodes)):
        with pytest.raises(ProofError):
            verify_multiproof(leaves, size, nodes, root)
    for index in leaves:
        fewer = {other: leaf for other, leaf in leaves.items() if other != index}
        with pytest.raises(ProofError):
            verify_multiproof(fewer, size, proof.nodes, root)
        with pytest.raises(ProofError):
            verify_multiproof({**leaves, index: flipped(leaves[index])}, size, proof.nodes, root)
        for moved in {index - 1, index + 1} - set(leaves):
            with pytest.raises(ProofError):
                verify_multiproof({**fewer, moved: leaves[index]}, size, proof.nodes, root)
    with pytest.raises(ProofError):
        verify_multiproof(leaves, size, proof.nodes, flipped(root))


@given(index_sets, st.integers(1, len(LEAVES)))
@settings(deadline=None, max_examples=40)
def test_a_leaf_more_needs_other_nodes(indices: list[int], extra: int) -> None:
    proof = multiproof(LOG, indices, len(LEAVES))
    extra %= len(LEAVES)
    assume(extra not in proof.indices)
    with pytest.raises(ProofError):
        verify_multiproof(
            {**leaves_of(proof), extra: LEAVES[extra]}, len(LEAVES), proof.nodes, LOG.root()
        )


def test_two_leaves_cannot_change_places() -> None:
    proof = multiproof(LOG, [4, 5], 10)
    with pytest.raises(ProofError) as refusal:
        verify_multiproof({4: LEAVES[5], 5: LEAVES[4]}, 10, proof.nodes, LOG.root(10))
    assert refusal.value.step == 3


def test_all_leaves_together_need_no_node() -> None:
    for size in range(1, 20):
        proof = multiproof(LOG, range(size), size)
        assert proof.nodes == ()
        verify_multiproof(leaves_of(proof), size, [], LOG.root(size))


def test_a_proof_of_no_leaf_is_refused() -> None:
    with pytest.raises(ProofError, match="at least one leaf"):
        multiproof(LOG, [], 5)
    with pytest.raises(ProofError, match="at least one leaf"):
        verify_multiproof({}, 5, [LOG.root(5)], LOG.root(5))


@pytest.mark.parametrize("bad", [*NOT_COUNTS, 5])
def test_many_leaves_must_be_within_the_size(bad: int) -> None:
    with pytest.raises(ProofError):
        multiproof(LOG, [0, bad], 5)
    with pytest.raises(ProofError):
        verify_multiproof({0: LEAVES[0], bad: LEAVES[1]}, 5, [], LOG.root(5))


def test_a_proof_of_many_leaves_needs_a_size_that_the_log_had() -> None:
    for size in (0, len(LEAVES) + 1, -1):
        with pytest.raises(ProofError):
            multiproof(LOG, [0], size)
    with pytest.raises(ProofError):
        multiproof(LOG, 3, 5)  # type: ignore[arg-type]


def test_a_proof_of_many_leaves_cannot_be_changed_afterwards() -> None:
    proof = multiproof(LOG, [1, 3], 5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        proof.size = 6  # type: ignore[misc]


MALFORMED_INCLUSION = (
    [("leaf_hash", bad, 1) for bad in NOT_HASHES]
    + [("root", bad, 1) for bad in NOT_HASHES]
    + [("index", bad, 1) for bad in NOT_COUNTS]
    + [("size", bad, 1) for bad in (*NOT_COUNTS, 0)]
    + [("proof", bad, 2) for bad in NOT_LISTS]
    + [("proof", [LEAVES[0], LEAVES[1], bad], 2) for bad in NOT_HASHES]
)


@pytest.mark.parametrize(("field", "bad", "step"), MALFORMED_INCLUSION)
def test_malformed_inclusion_is_refused_with_its_step(field: str, bad: object, step: int) -> None:
    true: dict[str, Any] = {
        "leaf_hash": LEAVES[2],
        "index": 2,
        "size": 5,
        "proof": LOG.inclusion_proof(2, 5),
        "root": LOG.root(5),
    }
    with pytest.raises(ProofError) as refusal:
        verify_inclusion(**{**true, field: bad})
    assert refusal.value.step == step
    assert str(refusal.value) == f"step {step}: {refusal.value.reason}"


MALFORMED_CONSISTENCY = (
    [("root_from", bad, 1) for bad in NOT_HASHES]
    + [("root_to", bad, 1) for bad in NOT_HASHES]
    + [("size_from", bad, 1) for bad in (*NOT_COUNTS, 6)]
    + [("size_to", bad, 1) for bad in (*NOT_COUNTS, 2)]
    + [("proof", bad, 3) for bad in NOT_LISTS]
    + [("root_from", LEAVES[0], 4), ("root_to", LEAVES[0], 5)]
)


@pytest.mark.parametrize(("field", "bad", "step"), MALFORMED_CONSISTENCY)
def test_malformed_consistency_is_refused_with_its_step(field: str, bad: object, step: int) -> None:
    true: dict[str, Any] = {
        "size_from": 3,
        "size_to": 5,
        "root_from": LOG.root(3),
        "root_to": LOG.root(5),
        "proof": LOG.consistency_proof(3, 5),
    }
    with pytest.raises(ProofError) as refusal:
        verify_consistency(**{**true, field: bad})
    assert refusal.value.step == step


MALFORMED_MULTIPROOF = (
    [
        ("leaves", bad, 1)
        for bad in (None, [], [LEAVES[1]], [3], "x", {1: None}, {1: b""}, {"1": b""})
    ]
    + [("size", bad, 1) for bad in (*NOT_COUNTS, 0)]
    + [("root", bad, 1) for bad in NOT_HASHES]
    + [("nodes", bad, 2) for bad in NOT_LISTS]
    + [("nodes", [LEAVES[0], bad], 2) for bad in NOT_HASHES]
)


@pytest.mark.parametrize(("field", "bad", "step"), MALFORMED_MULTIPROOF)
def test_a_malformed_proof_of_many_leaves_is_refused_with_its_step(
    field: str, bad: object, step: int
) -> None:
    proof = multiproof(LOG, [1, 3], 5)
    true: dict[str, Any] = {
        "leaves": leaves_of(proof),
        "size": 5,
        "nodes": proof.nodes,
        "root": LOG.root(5),
    }
    with pytest.raises(ProofError) as refusal:
        verify_multiproof(**{**true, field: bad})
    assert refusal.value.step == step


@pytest.mark.parametrize(("node_count", "step"), [(61, 2), (62, 3), (63, 2)])
def test_the_largest_tree_size_is_checked_without_trouble(node_count: int, step: int) -> None:
    # Nobody has such a log, but a file may say so. The last leaf stands alone in its row.
    with pytest.raises(ProofError) as refusal:
        verify_inclusion(
            leaf_hash=LEAVES[0],
            index=SIZE_MAX - 1,
            size=SIZE_MAX,
            proof=[LEAVES[0]] * node_count,
            root=LEAVES[1],
        )
    assert refusal.value.step == step
    with pytest.raises(ProofError) as refusal:
        verify_multiproof({SIZE_MAX - 1: LEAVES[0]}, SIZE_MAX, [LEAVES[0]] * node_count, LEAVES[1])
    assert refusal.value.step == step
