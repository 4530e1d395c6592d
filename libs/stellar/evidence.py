"""Prove offline that a hash stands in a ledger. Pure: bytes in, an answer or `EvidenceError` out.

What this proves is that the hash, the anchor account's signature and the ledger belong together.
That the ledger is the network's own is for the caller to find out: chain its header to one whose
hash an independent source confirms (`verify_header_chain`). A header alone proves nothing, because
anyone can write one; the validator's signature in it (`verify_close_value`) covers the transaction
set and the time, and says only which validator proposed them.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from stellar_sdk import StrKey, xdr

from libs.stellar.encoding import (
    Encodable,
    NotCanonical,
    close_value_payload,
    decode,
    header_hash,
    transaction_hash,
)
from libs.stellar.errors import EvidenceError

HEADER_COUNT_MAX: Final = 100_000
"""Longest chain of headers that is verified at once; a checkpoint is every 64th ledger."""
ANCHOR_STROOPS: Final = 1
HASH_SIZE: Final = 32
PASSPHRASE_SIZE_MAX: Final = 1_000
_SIGNATURE_SIZE: Final = 64
_HINT_SIZE: Final = 4

_T = TypeVar("_T", bound=Encodable)


@dataclass(frozen=True, slots=True)
class AnchoredAt:
    """Where a hash stands, once everything about it was checked."""

    ledger: int
    """The ledger's number."""
    closed_at_unix: int
    """When it closed, Unix seconds."""
    tx_hash: str
    """The transaction, 64 hex digits."""
    header_hash: str
    """The ledger's hash, 64 hex digits: compare it, or its chain, with an independent source."""


@dataclass(frozen=True, slots=True)
class Included:
    """A transaction's place in a ledger."""

    ledger: int
    closed_at_unix: int
    header_hash: bytes
    result: xdr.TransactionResult


@dataclass(frozen=True, slots=True)
class HeaderChain:
    """A gapless run of ledgers."""

    first_ledger: int
    last_ledger: int
    first_hash: str
    """Hash of the first ledger, 64 hex digits."""
    last_hash: str
    """Hash of the last ledger, 64 hex digits."""


def verify_anchor_evidence(
    *,
    memo_hash: bytes,
    envelope_xdr: str,
    result_set_xdr: str,
    header_xdr: str,
    network_passphrase: str,
    anchor_account: str,
) -> AnchoredAt:
    """Verify that an anchor account put a hash into a ledger.

    1. The envelope is one canonical version 1 envelope, without bytes left over.
    2. Its source, and that of its operation, is the anchor account.
    3. Its memo is exactly the hash.
    4. It holds exactly one operation: a native payment of 1 stroop to oneself.
    5. Its hash is computed with the network's id.
    6. The anchor account's key signed that hash.
    7. The result set lists that hash once, as successful.
    8. The header names the result set by its hash.
    9. The header's own hash is computed.

    Fee bumps are not accepted, nor signatures of other keys than the account's own.

    Args:
        memo_hash: What should be anchored, 32 bytes.
        envelope_xdr: Base64 XDR of the `TransactionEnvelope`.
        result_set_xdr: Base64 XDR of the ledger's whole `TransactionResultSet`.
        header_xdr: Base64 XDR of the `LedgerHeader`.
        network_passphrase: The network it should be on.
        anchor_account: Address (`G…`) of the trusted anchor account.

    Raises:
        EvidenceError: A check failed, or an input has the wrong form; `step` says where.

    Source:
        Stellar-ledger.x and Stellar-transaction.x; stellar-core, LedgerManagerImpl.
    """
    envelope = _decoded(1, "envelope", xdr.TransactionEnvelope, envelope_xdr)
    if envelope.v1 is None:
        raise EvidenceError(1, "The envelope is not of version 1.")
    transaction = envelope.v1.tx
    key = _account_key(2, anchor_account)
    _check_source(transaction, key)
    _check_memo(transaction, memo_hash)
    _check_payment(transaction, key)
    _check_passphrase(5, network_passphrase)
    tx_hash = transaction_hash(envelope, network_passphrase)
    verify_signature(key, tx_hash, envelope.v1.signatures)
    included = verify_inclusion(
        tx_hash=tx_hash, result_set_xdr=result_set_xdr, header_xdr=header_xdr
    )
    if not _is_one_successful_payment(included.result):
        raise EvidenceError(7, "The transaction is in the ledger, but did not succeed.")
    return AnchoredAt(
        ledger=included.ledger,
        closed_at_unix=included.closed_at_unix,
        tx_hash=tx_hash.hex(),
        header_hash=included.header_hash.hex(),
    )


def verify_signature(
    key: bytes, message: bytes, signatures: Sequence[xdr.DecoratedSignature]
) -> None:
    """Verify that a key signed a message (step 6).

    Args:
        key: Raw Ed25519 public key, 32 bytes.
        message: What should be signed, usually a transaction hash.
        signatures: The envelope's; the hint says which are meant for this key.

    Raises:
        EvidenceError: The key is of small order or not on the curve, so that signatures under it
            mean nothing; or none of the signatures is its own.

    Source:
        RFC 8032; libsodium's check of points.
    """
    if len(key) != HASH_SIZE or not crypto_core_ed25519_is_valid_point(key):
        raise EvidenceError(6, "The account's key is not a proper Ed25519 key.")
    verifier = VerifyKey(key)
    hinted = [s for s in signatures if s.hint.signature_hint == key[-_HINT_SIZE:]]
    for each in hinted:
        if len(each.signature.signature) != _SIGNATURE_SIZE:
            continue
        try:
            verifier.verify(message, each.signature.signature)
        except BadSignatureError:
            continue
        return
    raise EvidenceError(6, "The account's key did not sign this transaction.")


def verify_inclusion(*, tx_hash: bytes, result_set_xdr: str, header_xdr: str) -> Included:
    """Verify that a transaction is in a ledger (steps 7 to 9). Whether it succeeded is not judged.

    Args:
        tx_hash: The transaction, 32 bytes.
        result_set_xdr: Base64 XDR of the ledger's whole `TransactionResultSet`.
        header_xdr: Base64 XDR of the `LedgerHeader`.

    Raises:
        EvidenceError: The transaction is not listed exactly once, or the two do not belong
            together.
    """
    result_set = _decoded(7, "result set", xdr.TransactionResultSet, result_set_xdr)
    found = [p.result for p in result_set.results if p.transaction_hash.hash == tx_hash]
    if len(found) != 1:
        raise EvidenceError(7, f"The result set lists the transaction {len(found)} times.")
    header = _decoded(8, "header", xdr.LedgerHeader, header_xdr)
    digest = hashlib.sha256(result_set.to_xdr_bytes()).digest()
    if header.tx_set_result_hash.hash != digest:
        raise EvidenceError(8, "The header names another result set.")
    return Included(
        ledger=header.ledger_seq.uint32,
        closed_at_unix=header.scp_value.close_time.time_point.uint64,
        header_hash=header_hash(header),
        result=found[0],
    )


def verify_header_chain(headers: Sequence[str]) -> HeaderChain:
    """Verify that headers follow each other without a gap.

    1. There is at least one, and not too many; each is canonical XDR of a `LedgerHeader`.
    2. Numbers rise by one.
    3. Each names the hash of the one before.
    4. Close times rise.

    Args:
        headers: Base64 XDR of `LedgerHeader`s, oldest first, 1 to 100 000.

    Raises:
        EvidenceError: A check failed; `step` says which.

    Source:
        Stellar-ledger.x; stellar-core asks that close times strictly increase.
    """
    _check_list(headers)
    first = before = _decoded(1, "header", xdr.LedgerHeader, headers[0])
    digest = header_hash(before)
    first_hash = digest
    for text in headers[1:]:
        header = _decoded(1, "header", xdr.LedgerHeader, text)
        number = header.ledger_seq.uint32
        if number != before.ledger_seq.uint32 + 1:
            raise EvidenceError(2, f"Ledger {number} follows {before.ledger_seq.uint32}.")
        if header.previous_ledger_hash.hash != digest:
            raise EvidenceError(3, f"Ledger {number} names another ledger before it.")
        if _closed_at(header) <= _closed_at(before):
            raise EvidenceError(4, f"Ledger {number} closed before the ledger before it.")
        before, digest = header, header_hash(header)
    return HeaderChain(
        first_ledger=first.ledger_seq.uint32,
        last_ledger=before.ledger_seq.uint32,
        first_hash=first_hash.hex(),
        last_hash=digest.hex(),
    )


def verify_close_value(header_xdr: str, network_passphrase: str) -> str:
    """Verify the signature of the validator that proposed a ledger's transactions and time.

    1. The header is canonical, the passphrase a text, and the value in it is signed.
    2. The signature is the named validator's, for this network.

    Returns:
        The validator's address (`G…`). Whether it is to be trusted is another question.

    Raises:
        EvidenceError: A check failed; `step` says which.
    """
    header = _decoded(1, "header", xdr.LedgerHeader, header_xdr)
    _check_passphrase(1, network_passphrase)
    signed = header.scp_value.ext.lc_value_signature
    if signed is None:
        raise EvidenceError(1, "The header's value is not signed.")
    key = signed.node_id.node_id.ed25519
    assert key is not None, "the protocol has one type of public key"
    payload = close_value_payload(header.scp_value, network_passphrase)
    hint = xdr.SignatureHint(key.uint256[-_HINT_SIZE:])
    try:
        verify_signature(key.uint256, payload, [xdr.DecoratedSignature(hint, signed.signature)])
    except EvidenceError as error:
        raise EvidenceError(2, "The validator did not sign this value.") from error
    return StrKey.encode_ed25519_public_key(key.uint256)


def _decoded(step: int, name: str, kind: type[_T], text: object) -> _T:
    try:
        return decode(kind, text)
    except NotCanonical as error:
        raise EvidenceError(step, f"The {name} is {error}.") from error


def _account_key(step: int, address: object) -> bytes:
    if not isinstance(address, str) or not StrKey.is_valid_ed25519_public_key(address):
        raise EvidenceError(step, "The anchor account is not an address.")
    return StrKey.decode_ed25519_public_key(address)


def _check_passphrase(step: int, network_passphrase: object) -> None:
    if not isinstance(network_passphrase, str):
        raise EvidenceError(step, "The network passphrase is not a text.")
    try:
        size = len(network_passphrase.encode())
    except UnicodeEncodeError as error:
        raise EvidenceError(step, "The network passphrase is not a text.") from error
    if not 1 <= size <= PASSPHRASE_SIZE_MAX:
        raise EvidenceError(step, "The network passphrase is empty or too long.")


def _check_list(headers: object) -> None:
    if not isinstance(headers, Sequence) or isinstance(headers, (str, bytes)):
        raise EvidenceError(1, "The headers are not a list.")
    if not 1 <= len(headers) <= HEADER_COUNT_MAX:
        raise EvidenceError(1, f"There are {len(headers)} headers.")


def _check_source(transaction: xdr.Transaction, key: bytes) -> None:
    sources = [transaction.source_account]
    sources += [op.source_account for op in transaction.operations if op.source_account]
    if any(not _is_plain(source, key) for source in sources):
        raise EvidenceError(2, "The transaction acts for another account than the anchor account.")


def _check_memo(transaction: xdr.Transaction, memo_hash: object) -> None:
    if not isinstance(memo_hash, bytes) or len(memo_hash) != HASH_SIZE:
        raise EvidenceError(3, "What should be anchored is not 32 bytes.")
    if transaction.memo.hash is None or transaction.memo.hash.hash != memo_hash:
        raise EvidenceError(3, "The memo is not the hash.")


def _check_payment(transaction: xdr.Transaction, key: bytes) -> None:
    payments = [operation.body.payment_op for operation in transaction.operations]
    if len(payments) != 1 or payments[0] is None:
        raise EvidenceError(4, "The transaction is not a single payment.")
    payment = payments[0]
    if (
        payment.asset.type is not xdr.AssetType.ASSET_TYPE_NATIVE
        or payment.amount.int64 != ANCHOR_STROOPS
        or not _is_plain(payment.destination, key)
    ):
        raise EvidenceError(4, "The payment is not 1 native stroop to oneself.")


def _is_plain(account: xdr.MuxedAccount, key: bytes) -> bool:
    """Tell whether an account is this key, without a multiplexing id."""
    return account.ed25519 is not None and account.ed25519.uint256 == key


def _is_one_successful_payment(result: xdr.TransactionResult) -> bool:
    if result.result.code is not xdr.TransactionResultCode.txSUCCESS:
        return False
    operations = result.result.results or []
    inner = operations[0].tr.payment_result if operations and operations[0].tr else None
    success = xdr.PaymentResultCode.PAYMENT_SUCCESS
    return len(operations) == 1 and inner is not None and inner.code is success


def _closed_at(header: xdr.LedgerHeader) -> int:
    return header.scp_value.close_time.time_point.uint64
