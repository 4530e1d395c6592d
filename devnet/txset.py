"""The order of transactions in a set, and the order in which they are applied."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from stellar_sdk import xdr

from devnet.protocol import BASE_FEE_STROOPS


@dataclass(frozen=True, slots=True)
class TransactionSet:
    """A transaction set, encoded and hashed."""

    encoded: bytes
    """XDR of the `GeneralizedTransactionSet`."""
    hash: bytes
    """SHA-256 of `encoded`; the header carries it."""
    apply_order: tuple[int, ...]
    """Positions in the sequence that was given, in the order in which they are applied."""


def build(previous_hash: bytes, envelopes: Sequence[xdr.TransactionEnvelope]) -> TransactionSet:
    """Build a set of classic transactions, at most one of each source account.

    Args:
        previous_hash: Hash of the last closed ledger's header, 32 bytes.
        envelopes: The transactions, in any order.

    Source:
        CAP-42 (generalized set), CAP-63 (parallel second phase, empty here).
    """
    full = [full_hash(envelope) for envelope in envelopes]
    ordered = sorted(range(len(full)), key=full.__getitem__)
    component = xdr.TxSetComponent(
        xdr.TxSetComponentType.TXSET_COMP_TXS_MAYBE_DISCOUNTED_FEE,
        xdr.TxSetComponentTxsMaybeDiscountedFee(
            base_fee=xdr.Int64(BASE_FEE_STROOPS), txs=[envelopes[index] for index in ordered]
        ),
    )
    parallel = xdr.ParallelTxsComponent(base_fee=xdr.Int64(BASE_FEE_STROOPS), execution_stages=[])
    phases = [
        xdr.TransactionPhase(0, v0_components=[component]),
        xdr.TransactionPhase(1, parallel_txs_component=parallel),
    ]
    content = xdr.TransactionSetV1(xdr.Hash(previous_hash), phases)
    encoded = xdr.GeneralizedTransactionSet(1, content).to_xdr_bytes()
    set_hash = hashlib.sha256(encoded).digest()
    return TransactionSet(encoded, set_hash, tuple(apply_order(full, set_hash)))


def full_hash(envelope: xdr.TransactionEnvelope) -> bytes:
    """Return the hash that places a transaction in a set: its signatures are part of it."""
    return hashlib.sha256(envelope.to_xdr_bytes()).digest()


def apply_order(full_hashes: Sequence[bytes], set_hash: bytes) -> list[int]:
    """Return the positions of transactions in the order in which they are applied.

    Args:
        full_hashes: SHA-256 of each envelope with its signatures, 32 bytes each.
        set_hash: SHA-256 of the transaction set, 32 bytes.

    Source:
        stellar-core sorts by each hash XOR the set's hash, so that nobody can choose a place in
        the order. Checked here against a mainnet ledger (tests/devnet).
    """
    mask = int.from_bytes(set_hash, "big")

    def place(index: int) -> int:
        return int.from_bytes(full_hashes[index], "big") ^ mask

    return sorted(range(len(full_hashes)), key=place)
