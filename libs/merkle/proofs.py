"""Check that leaves stand in a log, and that a log only grew.

Also gathers the one proof that is not just read off the log: that of many leaves together.

A check takes hashes and sizes and either returns nothing or raises. It never asks where a root
comes
from: a root and its size must come together from a checkpoint that the caller trusts. A size that
    is
not bound to its root proves nothing about positions.

The number of hashes in a proof follows from positions and sizes alone. A proof with one hash more
or fewer is refused before any hashing, so there is exactly one acceptable form of every proof.

Source:
    RFC 6962 section 2.1; RFC 9162 section 2.1 and C2SP merkle-tree for the verification.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from libs.merkle._checks import at_step, checked_bytes, checked_hashes, checked_integer
from libs.merkle.errors import ProofError
from libs.merkle.tree import (
    EMPTY_ROOT,
    MerkleLog,
    node_hash,
    sibling_path,
    split_point,
    tail_subtree,
)


def verify_inclusion(
    *, leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Verify that a leaf stands at a position of the tree with a given root and size.

    Steps:
        1. The position is within the size; leaf hash and root are 32 bytes.
        2. The proof has as many hashes, of 32 bytes, as this position in a tree of this size needs.
        3. Leaf and proof, joined from the leaf upwards, give the root.

    Args:
        leaf_hash: Leaf hash, 32 bytes. The caller has worked it out from the leaf's own bytes.
        index: Position of the leaf, from 0.
        size: Number of leaves under the root.
        proof: `(node_count,)` hashes, 32 bytes each, from the leaf's neighbour upwards.
        root: Root of the tree, 32 bytes, trusted by the caller.

    Raises:
        ProofError: Step 1, 2 or 3 fails.

    Source:
        RFC 6962 section 2.1.1; RFC 9162 section 2.1.3.2.
    """
    with at_step(1):
        size = checked_integer(size, "the tree size")
        index = checked_integer(index, "the leaf index")
        if index >= size:
            raise ProofError(f"leaf {index} is not in a tree of {size} leaves")
        node = checked_bytes(leaf_hash, "the leaf hash")
        root = checked_bytes(root, "the root")
    with at_step(2):
        siblings = [sibling for _, sibling in sibling_path(index, size - 1)]
        hashes = checked_hashes(proof, "the inclusion proof", count=len(siblings))
    with at_step(3):
        for sibling, value in zip(siblings, hashes, strict=True):
            node = node_hash(node, value) if sibling % 2 else node_hash(value, node)
        if node != root:
            raise ProofError(f"leaf {index} does not lead to the root of {size} leaves")


def verify_consistency(
    *, size_from: int, size_to: int, root_from: bytes, root_to: bytes, proof: Sequence[bytes]
) -> None:
    """Verify that a log of a later size begins with everything it had at an earlier size.

    Steps:
        1. The sizes are in order, and both roots are 32 bytes.
        2. A size of 0 goes with the root of the empty tree, and equal sizes with equal roots.
        3. The proof has as many hashes, of 32 bytes, as these two sizes need: none if they are
           equal or the earlier one is 0.
        4. Joined from the node where the sizes begin to differ, with the hashes on the left of the
           way up only, the proof gives the earlier root.
        5. With the hashes on the right as well it gives the later root.

    Args:
        size_from: Number of leaves at the earlier time.
        size_to: Number of leaves at the later time, at least `size_from`.
        root_from: Root at the earlier size, 32 bytes, trusted by the caller.
        root_to: Root at the later size, 32 bytes; trusted for no more than this proof shows.
        proof: `(node_count,)` hashes, 32 bytes each, in the order of RFC 6962.

    Raises:
        ProofError: One of the steps fails.

    Source:
        RFC 6962 section 2.1.2; RFC 9162 section 2.1.4.2. From size 0: C2SP merkle-tree, except that
        the roots of empty trees are compared here as well.
    """
    with at_step(1):
        size_to = checked_integer(size_to, "the later size")
        size_from = checked_integer(size_from, "the earlier size", most=size_to)
        root_from = checked_bytes(root_from, "the earlier root")
        root_to = checked_bytes(root_to, "the later root")
    with at_step(2):
        if size_from == 0 and root_from != EMPTY_ROOT:
            raise ProofError("the earlier root is not that of an empty tree")
        if size_from == size_to and root_from != root_to:
            raise ProofError(f"two different roots for the same {size_to} leaves")
    with at_step(3):
        if size_from in {0, size_to}:
            checked_hashes(proof, "the consistency proof", count=0)
            return
        height, index = tail_subtree(size_from)
        siblings = [sibling for _, sibling in sibling_path(index, (size_to - 1) >> height)]
        # With index 0 the earlier tree is itself the first node, and its root is not sent again.
        count = len(siblings) + (1 if index else 0)
        hashes = checked_hashes(proof, "the consistency proof", count=count)
    earlier = later = hashes.pop(0) if index else root_from
    for sibling, value in zip(siblings, hashes, strict=True):
        if sibling % 2:
            later = node_hash(later, value)
        else:
            earlier, later = node_hash(value, earlier), node_hash(value, later)
    with at_step(4):
        if earlier != root_from:
            raise ProofError(f"the proof does not lead to the root of {size_from} leaves")
    with at_step(5):
        if later != root_to:
            raise ProofError(f"the proof does not lead to the root of {size_to} leaves")


@dataclass(frozen=True, slots=True)
class MultiProof:
    """What is needed, beside a set of leaves, to work out one root from all of them together.

    The nodes stand in one canonical order. Walk the tree from the root, left part before right
    part, cutting each range where RFC 6962 cuts it. At a range with none of the leaves write down
    its hash and go no deeper; at a single leaf of the set write nothing. What was written is
    `nodes`.
    """

    size: int
    """Number of leaves under the root."""

    indices: tuple[int, ...]
    """`(leaf_count,)` positions of the leaves, from 0, rising, each once."""

    nodes: tuple[bytes, ...]
    """`(node_count,)` hashes, 32 bytes each, in the canonical order."""


def multiproof(log: MerkleLog, indices: Iterable[int], size: int) -> MultiProof:
    """Gather one proof for many leaves, in which no node occurs twice.

    Neighbouring leaves need hardly more nodes than one of them. A node that can be worked out from
    the leaves is left out.

    Args:
        log: The log, at least `size` leaves long.
        indices: Positions of the leaves, from 0, in any order; a repeated one counts once.
        size: Number of leaves under the root that the proof leads to.

    Returns:
        The proof, for `verify_multiproof`.

    Raises:
        ProofError: There is no leaf, a leaf is not within the size, or the log never had this size.

    Source:
        RFC 6962 section 2.1 for the tree; the order of nodes is this project's own.
    """
    size = checked_integer(size, "the tree size", most=log.size)
    wanted = _checked_positions(indices, size)
    nodes = tuple(log.subtree_root(start, end) for start, end in _bare_ranges(wanted, 0, size))
    return MultiProof(size=size, indices=tuple(wanted), nodes=nodes)


def verify_multiproof(
    leaves: Mapping[int, bytes], size: int, nodes: Sequence[bytes], root: bytes
) -> None:
    """Verify that many leaves stand, each at its own position, under one root.

    Steps:
        1. There is at least one leaf, each position is within the size, every leaf hash and the
           root are 32 bytes.
        2. There are as many nodes, of 32 bytes, as these positions in a tree of this size need.
        3. Leaves and nodes, joined in the canonical order of `MultiProof`, give the root.

    Args:
        leaves: Position, from 0, to leaf hash, 32 bytes. The caller has worked the hashes out from
            the leaves' own bytes.
        size: Number of leaves under the root.
        nodes: `(node_count,)` hashes, 32 bytes each, in the canonical order.
        root: Root of the tree, 32 bytes, trusted by the caller.

    Raises:
        ProofError: Step 1, 2 or 3 fails.

    Source:
        RFC 6962 section 2.1 for the tree; the order of nodes is this project's own.
    """
    with at_step(1):
        size = checked_integer(size, "the tree size")
        root = checked_bytes(root, "the root")
        given: object = leaves
        if not isinstance(given, Mapping):
            raise ProofError("the leaves are not a mapping of positions to hashes")
        wanted = _checked_positions(given, size)
        known = {index: checked_bytes(given[index], "a leaf hash") for index in wanted}
    with at_step(2):
        count = sum(1 for _ in _bare_ranges(wanted, 0, size))
        hashes = checked_hashes(nodes, "the proof of many leaves", count=count)
    with at_step(3):
        if _joined(wanted, known, iter(hashes), 0, size) != root:
            raise ProofError(f"{len(wanted)} leaves do not lead to the root of {size} leaves")


def _checked_positions(indices: object, size: int) -> list[int]:
    """Sort the positions and drop repeated ones; at least one, all below `size`."""
    if not isinstance(indices, Iterable):
        raise ProofError("the leaf indices are not a list")
    wanted = sorted({checked_integer(index, "a leaf index") for index in indices})
    if not wanted:
        raise ProofError("a proof needs at least one leaf")
    if wanted[-1] >= size:
        raise ProofError(f"leaf {wanted[-1]} is not in a tree of {size} leaves")
    return wanted


def _bare_ranges(wanted: Sequence[int], start: int, end: int) -> Iterator[tuple[int, int]]:
    """List the largest ranges without any of the leaves, in canonical order.

    At most 63 calls deep: each halves the power of two that holds a range of up to `SIZE_MAX`.
    """
    if not wanted:
        yield start, end
    elif end - start > 1:
        middle = split_point(start, end)
        cut = bisect_left(wanted, middle)
        yield from _bare_ranges(wanted[:cut], start, middle)
        yield from _bare_ranges(wanted[cut:], middle, end)


def _joined(
    wanted: Sequence[int],
    leaves: Mapping[int, bytes],
    nodes: Iterator[bytes],
    start: int,
    end: int,
) -> bytes:
    """Work out the hash of a range, taking nodes in the order of `_bare_ranges`."""
    if not wanted:
        return next(nodes)
    if end - start == 1:
        return leaves[start]
    middle = split_point(start, end)
    cut = bisect_left(wanted, middle)
    left = _joined(wanted[:cut], leaves, nodes, start, middle)
    return node_hash(left, _joined(wanted[cut:], leaves, nodes, middle, end))
