"""Prove that a fact stands in a log, and that a log only ever grew.

What is here, from the ground up:

- `tree`: the Merkle tree of RFC 6962 and `MerkleLog`, which keeps every complete subtree in memory
  and answers for any earlier size.
- `proofs`: the checks a stranger makes: one leaf, many leaves together, growth from one size to
  another.
- `checkpoint`: the text that names a log's size and root, and the signed note around it (C2SP).
- `errors`: `ProofError`, the only error that leaves this library.

The library takes bytes and text and gives bytes and text or raises. It must never read a file, a
clock or a network, and it never decides whom to trust: keys, origins and roots are given by the
caller.
"""

from libs.merkle.checkpoint import (
    Checkpoint,
    encode_vkey,
    key_id,
    parse_checkpoint,
    parse_vkey,
    sign_note,
    verify_checkpoint,
    verify_note,
)
from libs.merkle.errors import ProofError
from libs.merkle.proofs import (
    MultiProof,
    multiproof,
    verify_consistency,
    verify_inclusion,
    verify_multiproof,
)
from libs.merkle.tree import (
    EMPTY_ROOT,
    HASH_SIZE,
    SIZE_MAX,
    MerkleLog,
    leaf_hash,
    node_hash,
    root_hash,
)

__all__ = [
    "EMPTY_ROOT",
    "HASH_SIZE",
    "SIZE_MAX",
    "Checkpoint",
    "MerkleLog",
    "MultiProof",
    "ProofError",
    "encode_vkey",
    "key_id",
    "leaf_hash",
    "multiproof",
    "node_hash",
    "parse_checkpoint",
    "parse_vkey",
    "root_hash",
    "sign_note",
    "verify_checkpoint",
    "verify_consistency",
    "verify_inclusion",
    "verify_multiproof",
    "verify_note",
]
