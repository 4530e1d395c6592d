"""Strict XDR and the hashes that Stellar is made of. Pure.

Strict means: one text for one value. Base64 with stray characters, bytes left over, or a value
that encodes differently than it was given are all refused, so that a hash names exactly one text.
"""

import base64
import binascii
import hashlib
from typing import Final, Protocol, Self, TypeVar

from stellar_sdk import xdr

TEXT_SIZE_MAX: Final = 16_000_000
"""Longest base64 text that is decoded, in characters. A full mainnet result set has some 10^5."""


class NotCanonical(ValueError):
    """The text is not the one canonical encoding of a value of the wanted type."""


class Encodable(Protocol):
    """Any type of `stellar_sdk.xdr`."""

    @classmethod
    def from_xdr_bytes(cls, xdr: bytes) -> Self:
        """Decode; bytes left over are an error."""
        ...

    def to_xdr_bytes(self) -> bytes:
        """Encode."""
        ...


_T = TypeVar("_T", bound=Encodable)


def decode(kind: type[_T], text: object) -> _T:
    """Decode canonical base64 of canonical XDR.

    Args:
        kind: The type, from `stellar_sdk.xdr`.
        text: Base64 with padding and nothing else, at most 16 million characters.

    Raises:
        NotCanonical: For every other input, whatever its type.

    Source:
        RFC 4506; RFC 4648 section 3.5 on canonical encoding.
    """
    if not isinstance(text, str) or len(text) > TEXT_SIZE_MAX:
        raise NotCanonical("not a text, or too long")
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NotCanonical("not base64") from error
    if base64.b64encode(data).decode() != text:
        raise NotCanonical("not canonical base64")
    try:
        value = kind.from_xdr_bytes(data)
        again = value.to_xdr_bytes()
    except Exception as error:  # the generated decoder leaks many unrelated kinds
        raise NotCanonical(f"not XDR of {kind.__name__}") from error
    if again != data:
        raise NotCanonical("not canonical XDR")
    return value


def network_id(network_passphrase: str) -> bytes:
    """Return SHA-256 of a network's passphrase: what separates its signatures from others'."""
    return hashlib.sha256(network_passphrase.encode()).digest()


def transaction_hash(envelope: xdr.TransactionEnvelope, network_passphrase: str) -> bytes:
    """Return what a transaction's signatures sign and what names it, 32 bytes.

    Source:
        Stellar-transaction.x, TransactionSignaturePayload; CAP-15: version 0 is hashed as if it
        were version 1, whose source account begins with key type Ed25519 (0).
    """
    if envelope.fee_bump is not None:
        kind, content = xdr.EnvelopeType.ENVELOPE_TYPE_TX_FEE_BUMP, envelope.fee_bump.tx
        return _tagged_hash(network_passphrase, kind, content.to_xdr_bytes())
    if envelope.v1 is not None:
        content_bytes = envelope.v1.tx.to_xdr_bytes()
    else:
        assert envelope.v0 is not None, "an envelope is one of three kinds"
        content_bytes = bytes(4) + envelope.v0.tx.to_xdr_bytes()
    return _tagged_hash(network_passphrase, xdr.EnvelopeType.ENVELOPE_TYPE_TX, content_bytes)


def header_hash(header: xdr.LedgerHeader) -> bytes:
    """Return a ledger's hash, 32 bytes: SHA-256 of its header."""
    return hashlib.sha256(header.to_xdr_bytes()).digest()


def close_value_payload(value: xdr.StellarValue, network_passphrase: str) -> bytes:
    """Return the bytes a validator signs when it proposes a ledger's transactions and time.

    Source:
        stellar-core, HerderImpl: network id, ENVELOPE_TYPE_SCPVALUE, set hash, close time.
    """
    kind = xdr.EnvelopeType.ENVELOPE_TYPE_SCPVALUE.to_bytes(4, "big")
    moment = value.close_time.to_xdr_bytes()
    return network_id(network_passphrase) + kind + value.tx_set_hash.hash + moment


def _tagged_hash(network_passphrase: str, kind: xdr.EnvelopeType, content: bytes) -> bytes:
    tag = kind.to_bytes(4, "big")
    return hashlib.sha256(network_id(network_passphrase) + tag + content).digest()
