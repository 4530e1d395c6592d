"""Build the one transaction that carries a hash to Stellar. Pure and deterministic.

The carrier is a native payment of 1 stroop to oneself with `MEMO_HASH`: always accepted, costs the
fee alone, and is visible in every explorer. The same arguments give the same bytes and hash, so an
envelope may be stored before it is sent and sent again as often as needed.
"""

from typing import Final, NamedTuple

from stellar_sdk import (
    Asset,
    HashMemo,
    Keypair,
    Payment,
    Preconditions,
    TimeBounds,
    Transaction,
    TransactionEnvelope,
    xdr,
)

from libs.stellar.encoding import NotCanonical, decode
from libs.stellar.errors import EvidenceError

MEMO_SIZE: Final = 32
ANCHOR_AMOUNT: Final = "0.0000001"
"""One stroop, as the SDK writes amounts."""
SEQUENCE_MAX: Final = 2**63 - 1
FEE_STROOPS_MIN: Final = 100
FEE_STROOPS_MAX: Final = 2**32 - 1
TIME_UNIX_MAX: Final = 2**64 - 1


class AnchorEnvelope(NamedTuple):
    """A signed anchor, ready to be stored and sent."""

    envelope_xdr: str
    """Base64 XDR of the `TransactionEnvelope`."""
    tx_hash: str
    """The transaction's name, 64 hex digits."""


def build_anchor_envelope(
    *,
    source_seed: str,
    sequence: int,
    memo_hash: bytes,
    max_time_unix: int,
    network_passphrase: str,
    fee_stroops: int,
) -> AnchorEnvelope:
    """Build and sign an anchor.

    Args:
        source_seed: Secret seed (`S…`) of the anchor account, which pays and signs.
        sequence: The sequence number it consumes: `account_sequence(address) + 1`; 1 to 2^63 - 1.
        memo_hash: What is anchored, 32 bytes.
        max_time_unix: Last close time at which it may enter a ledger, Unix seconds, above 0.
        network_passphrase: The network it is for.
        fee_stroops: Highest fee, 100 to 2^32 - 1; the network charges its clearing price.

    Raises:
        ValueError: An argument is outside its range.

    Source:
        CAP-15 (envelope); stellar-core, PaymentOpFrame: a native payment to oneself succeeds
        without a look at any balance.
    """
    if len(memo_hash) != MEMO_SIZE:
        raise ValueError("What is anchored has 32 bytes.")
    if not 1 <= sequence <= SEQUENCE_MAX:
        raise ValueError("The sequence number is outside 1 to 2^63 - 1.")
    if not FEE_STROOPS_MIN <= fee_stroops <= FEE_STROOPS_MAX:
        raise ValueError("The fee is outside 100 to 2^32 - 1 stroops.")
    if not 1 <= max_time_unix <= TIME_UNIX_MAX:
        raise ValueError("An anchor must expire: its latest time is above 0.")
    source = _keypair(source_seed)
    payment = Payment(destination=source.public_key, asset=Asset.native(), amount=ANCHOR_AMOUNT)
    transaction = Transaction(
        source=source,
        sequence=sequence,
        fee=fee_stroops,
        operations=[payment],
        memo=HashMemo(memo_hash),
        preconditions=Preconditions(time_bounds=TimeBounds(0, max_time_unix)),
    )
    envelope = TransactionEnvelope(transaction, network_passphrase)
    envelope.sign(source)
    return AnchorEnvelope(envelope.to_xdr(), envelope.hash_hex())


def _keypair(seed: str) -> Keypair:
    try:
        return Keypair.from_secret(seed)
    except ValueError:
        # The SDK's error repeats what it was given, which may be a seed with a blank behind it.
        raise ValueError("This is not a secret seed of an account.") from None


def anchor_memo(envelope_xdr: str) -> bytes:
    """Return the 32 bytes that an anchor carries. Nothing else about it is checked.

    Raises:
        EvidenceError: It is no envelope (step 1), or carries no hash (step 3), numbered as in
            `evidence.verify_anchor_evidence`.
    """
    try:
        envelope = decode(xdr.TransactionEnvelope, envelope_xdr)
    except NotCanonical as error:
        raise EvidenceError(1, f"The envelope is {error}.") from error
    memo = envelope.v1.tx.memo if envelope.v1 is not None else None
    if memo is None or memo.hash is None:
        raise EvidenceError(3, "The transaction carries no hash as its memo.")
    return memo.hash.hash
