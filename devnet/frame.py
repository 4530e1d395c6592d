"""A transaction as it came from outside: decoded, hashed, not yet believed."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from stellar_sdk import xdr

from devnet.account import muxed_key

ENVELOPE_TEXT_SIZE_MAX: Final = 100_000
"""Longest base64 text of an envelope that is looked at, in characters."""


class EnvelopeMalformed(Exception):
    """The text is not one canonical, complete `TransactionEnvelope`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An envelope with everything that is computed from its bytes once."""

    envelope: xdr.TransactionEnvelope
    envelope_bytes: bytes
    hash: bytes
    """What is signed and what names the transaction: SHA-256 over network id and content."""
    full_hash: bytes
    """SHA-256 of the envelope with its signatures; orders a transaction set."""
    transaction: xdr.Transaction | None
    """None for kinds the devnet does not run: version 0 and fee bump."""
    signatures: tuple[xdr.DecoratedSignature, ...]

    @property
    def supported(self) -> xdr.Transaction:
        """The transaction, where `transaction` is known not to be None."""
        assert self.transaction is not None, "validity turns the other kinds away first"
        return self.transaction

    @property
    def source(self) -> bytes:
        """Raw key of the account that pays and whose sequence number is used, 32 bytes."""
        return muxed_key(self.supported.source_account)

    @property
    def sequence(self) -> int:
        """The sequence number the transaction wants to consume."""
        return self.supported.seq_num.sequence_number.int64

    @property
    def fee_bid(self) -> int:
        """Highest fee the source agrees to, in stroops, for all operations together."""
        return self.supported.fee.uint32

    @property
    def operations(self) -> list[xdr.Operation]:
        """The operations, 0 to 100."""
        return self.supported.operations

    @property
    def time_bounds(self) -> xdr.TimeBounds | None:
        """Earliest and latest close time, whichever precondition carries them."""
        conditions = self.supported.cond
        if conditions.v2 is not None:
            return conditions.v2.time_bounds
        return conditions.time_bounds

    @property
    def preconditions(self) -> xdr.PreconditionsV2 | None:
        """The preconditions of CAP-21, when the transaction has any."""
        return self.supported.cond.v2

    def operation_source(self, operation: xdr.Operation) -> bytes:
        """Return the raw key of the account an operation acts for: its own, or the source."""
        if operation.source_account is None:
            return self.source
        return muxed_key(operation.source_account)


def decode_envelope(text: str, network_id: bytes) -> Frame:
    """Decode an envelope from outside.

    Args:
        text: Base64 of the XDR of one `TransactionEnvelope`, without blanks.
        network_id: SHA-256 of the passphrase, 32 bytes.

    Raises:
        EnvelopeMalformed: The text is too long, not base64, not XDR, has bytes left over, or
            would not encode to the same bytes again (so that one hash has one text).

    Source:
        Stellar-transaction.x: at most 100 operations and 20 signatures, kept by the decoder.
    """
    if len(text) > ENVELOPE_TEXT_SIZE_MAX:
        raise EnvelopeMalformed("The envelope is too long.")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise EnvelopeMalformed("The envelope is not base64.") from error
    return _frame(data, network_id)


def frame_of(envelope: xdr.TransactionEnvelope, network_id: bytes) -> Frame:
    """Return the frame of an envelope that this process built or stored itself."""
    return _frame(envelope.to_xdr_bytes(), network_id)


def _frame(data: bytes, network_id: bytes) -> Frame:
    try:
        envelope = xdr.TransactionEnvelope.from_xdr_bytes(data)
        canonical = envelope.to_xdr_bytes()
    except Exception as error:  # the generated decoder leaks many unrelated kinds
        raise EnvelopeMalformed("The envelope is not XDR of a transaction.") from error
    if canonical != data:
        raise EnvelopeMalformed("The envelope is not encoded canonically.")
    kind, content, signatures = _parts(envelope)
    signed = hashlib.sha256(network_id + kind.to_bytes(4, "big") + content).digest()
    return Frame(
        envelope=envelope,
        envelope_bytes=data,
        hash=signed,
        full_hash=hashlib.sha256(data).digest(),
        transaction=envelope.v1.tx if envelope.v1 is not None else None,
        signatures=tuple(signatures),
    )


def _parts(
    envelope: xdr.TransactionEnvelope,
) -> tuple[xdr.EnvelopeType, bytes, list[xdr.DecoratedSignature]]:
    """Return envelope type, signed content and signatures.

    Source:
        CAP-15: a version 0 transaction is signed as if it were version 1, whose source account
        begins with the key type Ed25519 (0).
    """
    if envelope.v1 is not None:
        content = envelope.v1.tx.to_xdr_bytes()
        return xdr.EnvelopeType.ENVELOPE_TYPE_TX, content, envelope.v1.signatures
    if envelope.v0 is not None:
        content = bytes(4) + envelope.v0.tx.to_xdr_bytes()
        return xdr.EnvelopeType.ENVELOPE_TYPE_TX, content, envelope.v0.signatures
    assert envelope.fee_bump is not None, "an envelope is one of three kinds"
    content = envelope.fee_bump.tx.to_xdr_bytes()
    kind = xdr.EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP
    return kind, content, envelope.fee_bump.signatures
