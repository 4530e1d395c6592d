"""The log gives the roots and proofs that the recursive definition of RFC 6962 gives.

The definition is written out below, word for word from section 2.1, slow and without the library's
own helpers. Laws are tried on every size up to 40 and on sizes and appends that Hypothesis chooses.
"""

import hashlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.merkle import (
    EMPTY_ROOT,
    SIZE_MAX,
    MerkleLog,
    ProofError,
    leaf_hash,
    node_hash,
    root_hash,
)

SIZES = range(41)
LEAVES = [leaf_hash(index.to_bytes(2, "big")) for index in range(300)]


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def largest_power_below(count: int) -> int:
    power = 1
    while power * 2 < count:
        power *= 2
    return power


def mth(leaves: list[bytes]) -> bytes:
    """Merkle tree hash, RFC 6962 section 2.1, over leaf hashes."""
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_below(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:]))


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """Audit path, RFC 6962 section 2.1.1."""
    if len(leaves) == 1:
        return []
    k = largest_power_below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], *, known: bool) -> list[bytes]:
    """Consistency proof, RFC 6962 section 2.1.2."""
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    k = largest_power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], known=known), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], known=False), mth(leaves[:k])]


def state(log: MerkleLog) -> tuple[int, bytes]:
    return log.size, log.root()


def test_a_leaf_and_a_node_are_hashed_with_different_first_bytes() -> None:
    assert leaf_hash(b"reading") == sha256(b"\x00reading")
    assert node_hash(LEAVES[0], LEAVES[1]) == sha256(b"\x01" + LEAVES[0] + LEAVES[1])
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != node_hash(LEAVES[0], LEAVES[1])


@pytest.mark.parametrize("size", SIZES)
def test_the_root_is_that_of_the_recursive_definition(size: int) -> None:
    expected = mth(LEAVES[:size])
    assert root_hash(LEAVES[:size]) == expected
    assert MerkleLog(LEAVES[:size]).root() == expected


@pytest.mark.parametrize("size", SIZES)
def test_a_longer_log_still_gives_every_earlier_root(size: int) -> None:
    assert MerkleLog(LEAVES).root(size) == mth(LEAVES[:size])


@pytest.mark.parametrize("size", SIZES[1:])
def test_inclusion_proofs_are_those_of_the_recursive_definition(size: int) -> None:
    log = MerkleLog(LEAVES)
    for index in range(size):
        assert log.inclusion_proof(index, size) == path(index, LEAVES[:size])


@pytest.mark.parametrize("size", SIZES[1:])
def test_consistency_proofs_are_those_of_the_recursive_definition(size: int) -> None:
    log = MerkleLog(LEAVES)
    for size_from in range(1, size + 1):
        expected = subproof(size_from, LEAVES[:size], known=True)
        assert log.consistency_proof(size_from, size) == expected
    assert log.consistency_proof(0, size) == []


@given(st.lists(st.integers(0, 20), max_size=12))
@settings(deadline=None, max_examples=60)
def test_the_log_is_the_same_however_its_leaves_arrive(batches: list[int]) -> None:
    one_by_one, in_batches = MerkleLog(), MerkleLog()
    for count in batches:
        start = in_batches.size
        in_batches.extend(iter(LEAVES[start : start + count]))
        for leaf in LEAVES[start : start + count]:
            one_by_one.append_leaf_hash(leaf)
        assert (
            state(in_batches) == state(one_by_one) == (start + count, mth(LEAVES[: start + count]))
        )


@given(st.integers(0, 300), st.integers(0, 300))
@settings(deadline=None, max_examples=60)
def test_growing_a_log_changes_nothing_it_said_before(earlier: int, more: int) -> None:
    log = MerkleLog(LEAVES[:earlier])
    root = log.root()
    proof = log.inclusion_proof(earlier // 2, earlier) if earlier else []
    log.extend(LEAVES[earlier : earlier + more])
    assert log.root(earlier) == root
    if earlier:
        assert log.inclusion_proof(earlier // 2, earlier) == proof


@given(st.integers(0, 6), st.integers(0, 40), st.integers(1, 64))
@settings(deadline=None, max_examples=100)
def test_every_subtree_has_the_root_of_its_own_leaves(height: int, index: int, count: int) -> None:
    start, end = index << height, (index << height) + min(count, 1 << height)
    if end <= len(LEAVES):
        assert MerkleLog(LEAVES).subtree_root(start, end) == mth(LEAVES[start:end])


@pytest.mark.parametrize(("start", "end"), [(0, 0), (3, 3), (4, 2), (1, 3), (2, 5), (296, 301)])
def test_a_range_that_is_no_subtree_has_no_root(start: int, end: int) -> None:
    with pytest.raises(ProofError):
        MerkleLog(LEAVES).subtree_root(start, end)


def test_a_new_log_is_empty() -> None:
    assert state(MerkleLog()) == (0, EMPTY_ROOT)
    assert MerkleLog().consistency_proof(0, 0) == []


@pytest.mark.parametrize("bad", [b"", b"x" * 31, b"x" * 33, "x" * 32, None, 7, bytearray(32)])
def test_what_is_no_hash_never_enters_the_log(bad: object) -> None:
    log = MerkleLog(LEAVES[:5])
    before = state(log)
    with pytest.raises(ProofError):
        log.append_leaf_hash(bad)  # type: ignore[arg-type]
    with pytest.raises(ProofError):
        log.extend([LEAVES[5], LEAVES[6], bad])  # type: ignore[list-item]
    with pytest.raises(ProofError):
        root_hash([LEAVES[5], bad])  # type: ignore[list-item]
    assert state(log) == before
    log.append_leaf_hash(LEAVES[5])
    assert log.root() == mth(LEAVES[:6])


@pytest.mark.parametrize("bad", [-1, 6, SIZE_MAX, SIZE_MAX + 1, 2**64 - 1, 1.0, True, "1"])
def test_a_size_or_leaf_that_the_log_never_had_is_refused(bad: int) -> None:
    log = MerkleLog(LEAVES[:5])
    with pytest.raises(ProofError):
        log.root(bad)
    with pytest.raises(ProofError):
        log.inclusion_proof(0, bad)
    with pytest.raises(ProofError):
        log.inclusion_proof(bad, 5)
    with pytest.raises(ProofError):
        log.consistency_proof(bad, 5)
    with pytest.raises(ProofError):
        log.consistency_proof(1, bad)


def test_a_leaf_beyond_the_asked_size_is_refused_though_the_log_has_it() -> None:
    log = MerkleLog(LEAVES[:5])
    with pytest.raises(ProofError, match="leaf 3 is not in a tree of 3 leaves"):
        log.inclusion_proof(3, 3)
    with pytest.raises(ProofError):
        log.inclusion_proof(0, 0)
    with pytest.raises(ProofError):
        log.consistency_proof(4, 3)


def test_a_node_is_made_of_exactly_two_hashes() -> None:
    with pytest.raises(ProofError):
        node_hash(LEAVES[0] + b"x", LEAVES[1][1:])
    with pytest.raises(ProofError):
        node_hash(LEAVES[0], b"")


def test_only_bytes_are_leaves() -> None:
    with pytest.raises(ProofError):
        leaf_hash("reading")  # type: ignore[arg-type]


def test_a_proof_in_a_million_leaves_takes_less_than_ten_milliseconds() -> None:
    # The cheapest way to a million distinct leaf hashes: numbers, for a log does not look inside.
    size = 1_000_003
    log = MerkleLog(index.to_bytes(32, "big") for index in range(size))
    slowest_s = 0.0
    for index in range(0, size, 19_997):
        attempts_s = []
        for _ in range(3):
            start_s = time.perf_counter()
            log.inclusion_proof(index, size - 1)
            log.consistency_proof(index, size)
            attempts_s.append(time.perf_counter() - start_s)
        # The best of three, so that other work on the machine does not count.
        slowest_s = max(slowest_s, min(attempts_s))
    assert slowest_s < 0.010
