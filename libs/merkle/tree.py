"""The Merkle tree of RFC 6962: its hashes, its shape, and a log that grows leaf by leaf.

Positions used throughout: leaves are counted from 0. The node (height, index) stands over the
leaves from `index * 2**height` up to but not including `(index + 1) * 2**height`; where the tree
ends earlier, it stands over those that exist. A node without a right half is the same hash as its
left half, so it is never stored or sent twice.

Nothing here may judge a proof; that is the business of `proofs`.

Source:
    RFC 6962 section 2.1; C2SP merkle-tree (same tree, same hashes).
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from libs.merkle._checks import HASH_SIZE, SIZE_MAX, checked_bytes, checked_integer
from libs.merkle.errors import ProofError

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "SIZE_MAX",
    "MerkleLog",
    "leaf_hash",
    "node_hash",
    "root_hash",
    "sibling_path",
    "split_point",
    "tail_subtree",
]

LEAF_PREFIX = b"\x00"
"""Byte before the data of a leaf, so that no leaf can pass for an inner node."""

NODE_PREFIX = b"\x01"
"""Byte before the two hashes under an inner node."""

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Root of a tree without leaves, 32 bytes."""


def leaf_hash(data: bytes) -> bytes:
    """Hash the stored bytes of one leaf.

    Args:
        data: The leaf as it is stored, any length, also empty.

    Returns:
        32 bytes.

    Raises:
        ProofError: The data is not `bytes`.

    Source:
        RFC 6962 section 2.1.
    """
    given: object = data
    if not isinstance(given, bytes):
        raise ProofError("the data of a leaf is not bytes")
    return hashlib.sha256(LEAF_PREFIX + given).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two neighbours into the node above them.

    Args:
        left: Hash over the earlier leaves, 32 bytes.
        right: Hash over the later leaves, 32 bytes.

    Returns:
        32 bytes.

    Raises:
        ProofError: A side is not 32 bytes long. Without this check bytes could be moved from one
            side to the other and give the same hash.

    Source:
        RFC 6962 section 2.1.
    """
    if len(left) != HASH_SIZE or len(right) != HASH_SIZE:
        raise ProofError("a node is not made of two hashes of 32 bytes")
    return hashlib.sha256(NODE_PREFIX + left + right).digest()


def root_hash(leaf_hashes: Sequence[bytes]) -> bytes:
    """Hash all leaves of a tree into its root, in one go and without a log.

    Joins neighbours, row by row; the last of an odd row has no neighbour and moves up as it is.
    This gives the tree of the recursive definition, which splits at the largest power of two.

    Args:
        leaf_hashes: `(leaf_count,)` leaf hashes, 32 bytes each, oldest first; may be empty.

    Returns:
        The root, 32 bytes; SHA-256 of nothing for an empty tree.

    Raises:
        ProofError: An element is not 32 bytes long.

    Source:
        RFC 6962 section 2.1.
    """
    row = [checked_bytes(value, "a leaf hash") for value in leaf_hashes]
    if not row:
        return EMPTY_ROOT
    while len(row) > 1:
        lone = row[-1:] if len(row) % 2 else []
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row) - 1, 2)] + lone
    return row[0]


def split_point(start: int, end: int) -> int:
    """Tell where the definition of the tree cuts a range of leaves in two.

    Args:
        start: First leaf of the range.
        end: Leaf after the last one; at least `start + 2`.

    Returns:
        First leaf of the right part: `start` plus the largest power of two below `end - start`.

    Source:
        RFC 6962 section 2.1, the number k.
    """
    return start + (1 << ((end - start - 1).bit_length() - 1))


def sibling_path(index: int, last: int) -> Iterator[tuple[int, int]]:
    """Walk from a node to the root and name the neighbour that is needed at each height.

    A node with an odd index has its neighbour on the left. One with an even index has it on the
    right, unless it is itself the last of its row: then it moves up as it is and needs no
    neighbour.

    Args:
        index: Where the walk starts, counted from the left in its row.
        last: Index of the last node of that row; at least `index`.

    Yields:
        `(rise, sibling)`: how many rows above the start, and the index of the neighbour in that
        row. An even `sibling` stands on the left of the walk, an odd one on its right.
    """
    rise = 0
    while last > 0:
        if index % 2 or index < last:
            yield rise, index ^ 1
        index, last, rise = index >> 1, last >> 1, rise + 1


def tail_subtree(size: int) -> tuple[int, int]:
    """Name the last complete subtree of a tree, where a larger tree begins to differ from it.

    Args:
        size: Number of leaves, at least 1.

    Returns:
        `(height, index)` of the node that ends with leaf `size - 1` and is as large as the binary
        form of `size` allows. Its index is 0 exactly when `size` is a power of two.
    """
    height = (size & -size).bit_length() - 1
    return height, (size >> height) - 1


class MerkleLog:
    """A growing tree that remembers every complete subtree, so that any earlier size can be proved.

    Row `h` of the store holds the hashes of the complete nodes of height `h`, end to end. A
    complete node never changes again, so rows only grow: about 64 bytes of memory for each leaf.
    Appending costs one hash per leaf on average. Each question costs at most a few hashes for each
    row.

    The log holds hashes only; it never sees what is in a leaf.

    Source:
        RFC 6962 sections 2.1 to 2.1.2.
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._rows: list[bytearray] = [bytearray()]
        self.extend(leaf_hashes)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._rows[0]) // HASH_SIZE

    def append_leaf_hash(self, leaf: bytes) -> None:
        """Add one leaf at the end.

        Args:
            leaf: Its leaf hash, 32 bytes.

        Raises:
            ProofError: The hash is not 32 bytes; the log is as it was.
        """
        self._rows[0] += checked_bytes(leaf, "a leaf hash")
        self._complete_rows()

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Add leaves at the end, all or none.

        Args:
            leaf_hashes: `(leaf_count,)` leaf hashes, 32 bytes each, oldest first.

        Raises:
            ProofError: One of them is not 32 bytes; the log is as it was.
        """
        self._rows[0] += b"".join([checked_bytes(leaf, "a leaf hash") for leaf in leaf_hashes])
        self._complete_rows()

    def root(self, size: int | None = None) -> bytes:
        """Give the root of the log as it is, or as it was at an earlier size.

        Args:
            size: Number of leaves from the first, up to the present size; the present size if left
                out.

        Returns:
            32 bytes.

        Raises:
            ProofError: The log never had this size.
        """
        size = self._checked_size(self.size if size is None else size)
        return self.subtree_root(0, size) if size else EMPTY_ROOT

    def subtree_root(self, start: int, end: int) -> bytes:
        """Give the hash of one node of the tree, complete or cut off by the end of the tree.

        Args:
            start: First leaf under the node.
            end: Leaf after the last one under it.

        Returns:
            32 bytes, the hash over the leaves from `start` up to but not including `end`.

        Raises:
            ProofError: The range is empty, goes beyond the log, or is not one that splitting a tree
                in the way of RFC 6962 can lead to.
        """
        end = self._checked_size(end)
        start = checked_integer(start, "the first leaf")
        count = end - start
        if count < 1 or start % (1 << (count - 1).bit_length()):
            raise ProofError(f"leaves {start} to {end} are not a subtree")
        # Each 1 in the binary form of the count is one complete node; the smallest stands last.
        height, index = tail_subtree(count)
        node = self._complete_node(height, (start >> height) + index)
        while index:
            count = index << height
            height, index = tail_subtree(count)
            node = node_hash(self._complete_node(height, (start >> height) + index), node)
        return node

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Give what is needed, beside a leaf, to work out the root of the log at a given size.

        Args:
            index: Which leaf, from 0.
            size: Number of leaves the root stands for; more than `index`, up to the present size.

        Returns:
            `(node_count,)` hashes, 32 bytes each, from the leaf's neighbour upwards; none for size
            1.

        Raises:
            ProofError: The log never had this size, or the leaf is not within it.

        Source:
            RFC 6962 section 2.1.1.
        """
        size = self._checked_size(size)
        index = checked_integer(index, "the leaf index")
        if index >= size:
            raise ProofError(f"leaf {index} is not in a tree of {size} leaves")
        return self._siblings(0, index, size)

    def consistency_proof(self, size_from: int, size_to: int) -> list[bytes]:
        """Give what is needed to see that the log at one size begins with all it had at another.

        Args:
            size_from: Earlier size, from 0.
            size_to: Later size, at least `size_from`, up to the present size.

        Returns:
            `(node_count,)` hashes, 32 bytes each, in the order of RFC 6962; none where the sizes
            are equal or the earlier one is 0.

        Raises:
            ProofError: The sizes are in the wrong order, or the log never had the later one.

        Source:
            RFC 6962 section 2.1.2; C2SP merkle-tree for size 0.
        """
        size_to = self._checked_size(size_to)
        size_from = checked_integer(size_from, "the earlier size", most=size_to)
        if size_from in {0, size_to}:
            return []
        height, index = tail_subtree(size_from)
        # A size that is a power of two is one node, which the verifier has already: its root.
        start = [self._complete_node(height, index)] if index else []
        return start + self._siblings(height, index, size_to)

    def _checked_size(self, size: object) -> int:
        return checked_integer(size, "the tree size", most=self.size)

    def _siblings(self, height: int, index: int, size: int) -> list[bytes]:
        """List the neighbours on the way from a node to the root of the log at `size`."""
        proof: list[bytes] = []
        for rise, sibling in sibling_path(index, (size - 1) >> height):
            start = sibling << (height + rise)
            end = min((sibling + 1) << (height + rise), size)
            # Only one of them can be cut off by the end of the tree, so all together cost O(log n).
            proof.append(self.subtree_root(start, end))
        return proof

    def _complete_node(self, height: int, index: int) -> bytes:
        return bytes(self._rows[height][index * HASH_SIZE : (index + 1) * HASH_SIZE])

    def _complete_rows(self) -> None:
        """Add to each row the nodes whose two halves have become complete in the row below."""
        height = 0
        while True:
            pair_count = len(self._rows[height]) // (2 * HASH_SIZE)
            if pair_count and height + 1 == len(self._rows):
                self._rows.append(bytearray())
            done = len(self._rows[height + 1]) // HASH_SIZE if pair_count else 0
            if done == pair_count:
                return
            self._rows[height + 1] += b"".join(
                node_hash(
                    self._complete_node(height, 2 * pair), self._complete_node(height, 2 * pair + 1)
                )
                for pair in range(done, pair_count)
            )
            height += 1
