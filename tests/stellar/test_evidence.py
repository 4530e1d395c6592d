"""Evidence of an anchor: what proves it, and that nothing else passes; each fault has its step."""

import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import (
    Asset,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    HashMemo,
    Keypair,
    MuxedAccount,
    Payment,
    ReturnHashMemo,
    StrKey,
    Transaction,
    TransactionEnvelope,
    xdr,
)

from libs.stellar.errors import EvidenceError
from libs.stellar.evidence import verify_close_value, verify_signature
from tests.devnet.world import ANNA, BERT, PASSPHRASE, START, World, pay
from tests.stellar.anchored import (
    MEMO,
    Evidence,
    anchor,
    close_over,
    data_of,
    good,
    result_set_of,
    text,
)

IDENTITY = b"\x01" + bytes(31)
"""The neutral point: under it, one signature fits every message."""


def fails_at(step: int, evidence: Evidence) -> None:
    with pytest.raises(EvidenceError) as caught:
        evidence.verify()
    assert caught.value.step == step, caught.value
    assert str(caught.value).startswith(f"Step {step}: ")


def test_good_evidence_tells_where_the_hash_stands() -> None:
    proven = good().verify()
    assert proven.ledger == 3
    assert proven.closed_at_unix == START + 5
    header = data_of(good().header_xdr)
    assert proven.header_hash == hashlib.sha256(header).hexdigest()
    envelope = TransactionEnvelope.from_xdr(good().envelope_xdr, PASSPHRASE)
    assert proven.tx_hash == envelope.hash_hex()


BLOBS = {"envelope_xdr": 1, "result_set_xdr": 7, "header_xdr": 8}


@pytest.mark.parametrize(("blob", "step"), BLOBS.items())
@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: None,
        lambda _: 5,
        lambda _: [],
        lambda _: "",
        lambda _: "AAAA",
        lambda _: "\N{SUN}",
        lambda good_text: good_text.encode(),
        lambda good_text: good_text + "\n",
        lambda good_text: " " + good_text,
        lambda good_text: good_text[:-1],
        lambda good_text: good_text + "AAAA",
        lambda good_text: text(data_of(good_text)[:-4]),
        lambda good_text: text(data_of(good_text) + bytes(4)),
        lambda good_text: text(bytes(len(data_of(good_text)))),
        lambda good_text: text(b"\xff" * len(data_of(good_text))),
    ],
)
def test_blobs_of_a_wrong_form_are_refused(
    blob: str, step: int, spoil: Callable[[str], object]
) -> None:
    fails_at(step, good().changed(**{blob: spoil(getattr(good(), blob))}))


@pytest.mark.parametrize("account", [None, 5, "", b"G", ANNA.secret, "G" * 56, "\ud800"])
def test_an_account_of_a_wrong_form_is_refused(account: object) -> None:
    fails_at(2, good().changed(anchor_account=account))


@pytest.mark.parametrize("memo", [None, 5, "", bytes(31), bytes(33), MEMO.hex(), list(MEMO)])
def test_a_hash_of_a_wrong_form_is_refused(memo: object) -> None:
    fails_at(3, good().changed(memo_hash=memo))


@pytest.mark.parametrize("passphrase", [None, 5, b"", "", "x" * 1_001, "\ud800"])
def test_a_passphrase_of_a_wrong_form_is_refused(passphrase: object) -> None:
    fails_at(5, good().changed(network_passphrase=passphrase))


def test_another_account_hash_or_network_is_not_proven() -> None:
    fails_at(2, good().changed(anchor_account=BERT.public_key))
    fails_at(3, good().changed(memo_hash=bytes(32)))
    fails_at(6, good().changed(network_passphrase="Another Network"))


def of_operation(**changes: object) -> Evidence:
    """Give evidence of a transaction of Anna's that is almost an anchor."""
    world = World.inhabited()
    parts: dict[str, object] = {
        "operations": [pay(ANNA, "0.0000001")],
        "memo": HashMemo(MEMO),
        "source": ANNA,
        "signers": [ANNA],
    }
    parts |= changes
    source = parts["source"]
    sequence = world.account(ANNA).sequence + 1
    transaction = Transaction(
        source,  # type: ignore[arg-type]
        sequence,
        1_000,
        parts["operations"],  # type: ignore[arg-type]
        parts["memo"],  # type: ignore[arg-type]
    )
    envelope = TransactionEnvelope(transaction, PASSPHRASE)
    for signer in parts["signers"]:  # type: ignore[attr-defined]
        envelope.sign(signer)
    tx_hash = envelope.hash()
    pairs = [xdr.TransactionResultPair(xdr.Hash(tx_hash), _success())]
    return _around(envelope.to_xdr(), xdr.TransactionResultSet(pairs))


def test_a_transaction_like_an_anchor_in_a_made_up_ledger_passes_so_the_rest_can_fail() -> None:
    assert of_operation().verify().ledger == 3


MUXED = MuxedAccount(ANNA.public_key, 7)


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        (2, {"source": MUXED}),
        (2, {"operations": [pay(ANNA, "0.0000001", source=BERT)], "signers": [ANNA, BERT]}),
        (3, {"memo": None}),
        (3, {"memo": ReturnHashMemo(MEMO)}),
        (3, {"memo": HashMemo(bytes(32))}),
        (4, {"operations": []}),
        (4, {"operations": [pay(ANNA, "0.0000001")] * 2}),
        (4, {"operations": [pay(ANNA, "0.0000002")]}),
        (4, {"operations": [pay(BERT, "0.0000001")]}),
        (4, {"operations": [Payment(ANNA.public_key, Asset("KWH", BERT.public_key), "0.0000001")]}),
        (4, {"operations": [Payment(MUXED, Asset.native(), "0.0000001")]}),
        (6, {"signers": []}),
        (6, {"signers": [BERT]}),
    ],
)
def test_what_is_almost_an_anchor_is_none(step: int, changes: dict[str, object]) -> None:
    fails_at(step, of_operation(**changes))


def test_the_operation_may_name_the_account_itself_and_others_may_sign_too() -> None:
    named = pay(ANNA, "0.0000001", source=ANNA)
    assert of_operation(operations=[named], signers=[BERT, ANNA]).verify().ledger == 3


def test_older_envelopes_and_fee_bumps_are_refused() -> None:
    inner = TransactionEnvelope.from_xdr(good().envelope_xdr, PASSPHRASE)
    bump = FeeBumpTransactionEnvelope(FeeBumpTransaction(BERT, 400_000, inner), PASSPHRASE)
    bump.sign(BERT)
    fails_at(1, good().changed(envelope_xdr=bump.to_xdr()))
    old = Transaction(ANNA, 1, 100, [pay(ANNA, "0.0000001")], HashMemo(MEMO), v1=False)
    envelope = TransactionEnvelope(old, PASSPHRASE)
    envelope.sign(ANNA)
    fails_at(1, good().changed(envelope_xdr=envelope.to_xdr()))


def test_a_signature_with_another_hint_or_size_does_not_count() -> None:
    for hint, size in ((bytes(4), 64), (None, 63), (None, 0)):
        envelope = xdr.TransactionEnvelope.from_xdr(good().envelope_xdr)
        assert envelope.v1 is not None
        decorated = envelope.v1.signatures[0]
        decorated.hint.signature_hint = hint or decorated.hint.signature_hint
        decorated.signature.signature = decorated.signature.signature[:size]
        fails_at(6, good().changed(envelope_xdr=envelope.to_xdr()))


def test_a_key_of_small_order_proves_nothing() -> None:
    """Under the neutral point anyone can sign: R neutral, S zero fits every message."""
    address = StrKey.encode_ed25519_public_key(IDENTITY)
    payment = Payment(address, Asset.native(), "0.0000001")
    transaction = Transaction(Keypair.from_public_key(address), 1, 1_000, [payment], HashMemo(MEMO))
    envelope = TransactionEnvelope(transaction, PASSPHRASE).to_xdr_object()
    assert envelope.v1 is not None
    forged = xdr.Signature(IDENTITY + bytes(32))
    envelope.v1.signatures = [xdr.DecoratedSignature(xdr.SignatureHint(IDENTITY[-4:]), forged)]
    evidence = _around(envelope.to_xdr(), xdr.TransactionResultSet([]))
    fails_at(6, evidence.changed(anchor_account=address))


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(32), b"\xff" * 32, IDENTITY])
def test_keys_that_are_no_proper_points_are_refused(key: bytes) -> None:
    with pytest.raises(EvidenceError) as caught:
        verify_signature(key, b"message", [])
    assert caught.value.step == 6


def test_a_result_set_without_it_or_with_it_twice_is_refused() -> None:
    pairs = result_set_of(good()).results
    tx_hash = bytes.fromhex(good().verify().tx_hash)
    others = [pair for pair in pairs if pair.transaction_hash.hash != tx_hash]
    assert len(others) == 1
    for changed in ([], others, [*pairs, *pairs]):
        fails_at(7, _around(good().envelope_xdr, xdr.TransactionResultSet(changed)))


def test_a_transaction_that_failed_anchors_nothing() -> None:
    codes = xdr.TransactionResultCode
    payment_codes = xdr.PaymentResultCode
    results = [
        _result(codes.txFAILED, [_payment(payment_codes.PAYMENT_UNDERFUNDED)]),
        _result(codes.txSUCCESS, [_payment(payment_codes.PAYMENT_UNDERFUNDED)]),
        _result(codes.txSUCCESS, []),
        _result(codes.txSUCCESS, [_payment(payment_codes.PAYMENT_SUCCESS)] * 2),
        _result(codes.txSUCCESS, [xdr.OperationResult(xdr.OperationResultCode.opBAD_AUTH)]),
        _result(codes.txBAD_SEQ, None),
    ]
    tx_hash = bytes.fromhex(good().verify().tx_hash)
    for result in results:
        pairs = [xdr.TransactionResultPair(xdr.Hash(tx_hash), result)]
        fails_at(7, _around(good().envelope_xdr, xdr.TransactionResultSet(pairs)))


def test_a_header_of_another_ledger_is_refused() -> None:
    world = World.inhabited()
    fails_at(8, good().changed(header_xdr=world.last.header.to_xdr()))


def test_a_failed_anchor_in_a_real_ledger_is_refused() -> None:
    """Here the devnet itself says that the payment failed: its amount is no stroop."""
    world = World.inhabited()
    frame = world.frame(ANNA, pay(BERT, "1000"), memo=HashMemo(MEMO))
    fails_at(4, close_over(world, frame))


def test_close_values_of_the_devnet_are_signed_by_its_validator() -> None:
    validator = World().network.validator.public_key
    assert verify_close_value(good().header_xdr, PASSPHRASE) == validator


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["envelope_xdr", "result_set_xdr"]),
    st.integers(0, 2**16),
    st.integers(0, 7),
)
def test_no_bit_of_envelope_or_result_set_can_be_changed(blob: str, place: int, bit: int) -> None:
    data = bytearray(data_of(getattr(good(), blob)))
    data[place % len(data)] ^= 1 << bit
    with pytest.raises(EvidenceError):
        good().changed(**{blob: text(bytes(data))}).verify()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**16), st.integers(0, 7))
def test_a_changed_bit_of_the_header_changes_the_ledgers_hash(place: int, bit: int) -> None:
    """The header is not proven by itself: its hash is what an independent source confirms."""
    data = bytearray(data_of(good().header_xdr))
    data[place % len(data)] ^= 1 << bit
    try:
        proven = good().changed(header_xdr=text(bytes(data))).verify()
    except EvidenceError as error:
        assert error.step == 8  # noqa: PT017 - both ends are fine
    else:
        assert proven.header_hash != good().verify().header_hash


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(BLOBS)), st.binary(max_size=600))
def test_any_bytes_at_all_raise_nothing_but_evidence_errors(blob: str, data: bytes) -> None:
    with pytest.raises(EvidenceError):
        good().changed(**{blob: text(bytes(data))}).verify()


def test_the_devnet_accepts_the_very_anchor_that_is_verified() -> None:
    world = World.inhabited()
    text_of_anchor = anchor(ANNA, world.account(ANNA).sequence + 1)
    assert text_of_anchor == good().envelope_xdr


def _payment(code: xdr.PaymentResultCode) -> xdr.OperationResult:
    tr = xdr.OperationResultTr(xdr.OperationType.PAYMENT, payment_result=xdr.PaymentResult(code))
    return xdr.OperationResult(xdr.OperationResultCode.opINNER, tr)


def _result(
    code: xdr.TransactionResultCode, operations: list[xdr.OperationResult] | None
) -> xdr.TransactionResult:
    body = xdr.TransactionResultResult(code, results=operations)
    return xdr.TransactionResult(xdr.Int64(100), body, xdr.TransactionResultExt(0))


def _success() -> xdr.TransactionResult:
    codes = xdr.PaymentResultCode
    return _result(xdr.TransactionResultCode.txSUCCESS, [_payment(codes.PAYMENT_SUCCESS)])


def _around(envelope_xdr: str, result_set: xdr.TransactionResultSet) -> Evidence:
    """Give evidence with a header that fits a result set: anyone can write one."""
    header = xdr.LedgerHeader.from_xdr(good().header_xdr)
    header.tx_set_result_hash = xdr.Hash(hashlib.sha256(result_set.to_xdr_bytes()).digest())
    return Evidence(MEMO, envelope_xdr, result_set.to_xdr(), header.to_xdr())
