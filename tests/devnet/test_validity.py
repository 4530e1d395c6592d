"""Each refusal of the devnet, in stellar-core's order: a fault is named before later ones are."""

import hashlib

import pytest
from stellar_sdk import (
    AccountMerge,
    Asset,
    BumpSequence,
    FeeBumpTransaction,
    FeeBumpTransactionEnvelope,
    HashMemo,
    Keypair,
    LedgerBounds,
    Payment,
    Preconditions,
    SignedPayloadSigner,
    SignerKey,
    StrKey,
    TimeBounds,
    Transaction,
    TransactionEnvelope,
)

from devnet.frame import EnvelopeMalformed, Frame, decode_envelope, frame_of
from devnet.protocol import INT64_MAX
from tests.devnet.world import ANNA, BERT, CLAUS, NOBODY, START, World, create, key, pay

NOW = START + 60


@pytest.fixture
def world() -> World:
    return World.inhabited()


def bounds(earliest: int, latest: int) -> Preconditions:
    return Preconditions(time_bounds=TimeBounds(earliest, latest))


def test_a_sound_payment_is_valid(world: World) -> None:
    frame = world.frame(ANNA, pay(BERT), preconditions=bounds(NOW, NOW))
    assert world.codes(frame, NOW) == ()


def test_a_stroop_to_oneself_with_a_hash_is_valid(world: World) -> None:
    assert world.codes(world.frame(ANNA, pay(ANNA, "0.0000001"), memo=HashMemo(bytes(32)))) == ()


def test_no_operation_comes_before_time(world: World) -> None:
    frame = world.frame(ANNA, preconditions=bounds(NOW + 1, 0))
    assert world.codes(frame, NOW) == ("tx_missing_operation",)


def test_too_early_comes_before_too_late_and_fee(world: World) -> None:
    frame = world.frame(ANNA, pay(BERT), fee=1, preconditions=bounds(NOW + 1, NOW + 2))
    assert world.codes(frame, NOW) == ("tx_too_early",)


def test_too_late_comes_before_fee(world: World) -> None:
    frame = world.frame(ANNA, pay(BERT), fee=1, preconditions=bounds(0, NOW - 1))
    assert world.codes(frame, NOW) == ("tx_too_late",)


def test_ledger_bounds_include_the_first_and_leave_out_the_last(world: World) -> None:
    coming = world.last.sequence + 1

    def judged(first: int, last: int) -> tuple[str, ...]:
        conditions = Preconditions(ledger_bounds=LedgerBounds(first, last))
        return world.codes(world.frame(ANNA, pay(BERT), preconditions=conditions))

    assert judged(coming, coming + 1) == ()
    assert judged(coming + 1, 0) == ("tx_too_early",)
    assert judged(0, coming) == ("tx_too_late",)


def test_a_low_fee_comes_before_a_missing_account_and_names_what_is_needed(world: World) -> None:
    frame = world.frame(NOBODY, pay(BERT), pay(ANNA), fee=199, sequence=1)
    result = world.judge(frame)
    assert result is not None
    assert world.codes(frame) == ("tx_insufficient_fee",)
    assert result.fee_charged.int64 == 200


def test_a_missing_source_comes_before_its_sequence(world: World) -> None:
    frame = world.frame(NOBODY, pay(BERT), sequence=INT64_MAX)
    assert world.codes(frame) == ("tx_no_source_account",)


@pytest.mark.parametrize("distance", [0, 2, -1])
def test_a_wrong_sequence_comes_before_signatures(world: World, distance: int) -> None:
    sequence = world.account(ANNA).sequence + distance
    frame = world.frame(ANNA, pay(BERT), sequence=sequence, signers=[])
    assert world.codes(frame) == ("tx_bad_seq",)


def test_the_starting_sequence_of_the_coming_ledger_is_never_good(world: World) -> None:
    start = (world.last.sequence + 1) << 32
    conditions = Preconditions(min_sequence_number=0)
    frame = world.frame(ANNA, pay(BERT), sequence=start, preconditions=conditions)
    assert world.codes(frame) == ("tx_bad_seq",)


def test_a_minimum_sequence_number_opens_a_window(world: World) -> None:
    used = world.account(ANNA).sequence

    def judged(minimum: int, sequence: int) -> tuple[str, ...]:
        conditions = Preconditions(min_sequence_number=minimum)
        return world.codes(
            world.frame(ANNA, pay(BERT), sequence=sequence, preconditions=conditions)
        )

    assert judged(used, used + 9) == ()
    assert judged(used + 1, used + 9) == ("tx_bad_seq",)
    assert judged(used, used) == ("tx_bad_seq",)


def test_sequence_age_and_gap_come_before_signatures(world: World) -> None:
    world.close(world.frame(ANNA, pay(BERT)), at=NOW)

    def judged(at: int, *, age: int = 0, gap: int = 0) -> tuple[str, ...]:
        conditions = Preconditions(min_sequence_age=age, min_sequence_ledger_gap=gap)
        return world.codes(world.frame(ANNA, pay(BERT), preconditions=conditions, signers=[]), at)

    assert judged(NOW + 9, age=10) == ("tx_bad_minseq_age_or_gap",)
    assert judged(NOW + 10, age=10) == ("tx_bad_auth",)
    assert judged(NOW + 9, gap=2) == ("tx_bad_minseq_age_or_gap",)
    assert judged(NOW + 9, gap=1) == ("tx_bad_auth",)


def test_an_account_that_never_acted_has_no_sequence_age(world: World) -> None:
    conditions = Preconditions(min_sequence_age=60)
    assert world.codes(world.frame(ANNA, pay(BERT), preconditions=conditions), NOW) == ()


def test_missing_wrong_and_foreign_signatures_come_before_balance(world: World) -> None:
    def judged(**how: object) -> tuple[str, ...]:
        return world.codes(world.frame(ANNA, pay(BERT), fee=2**32 - 1, **how))  # type: ignore[arg-type]

    assert judged(signers=[]) == ("tx_bad_auth",)
    assert judged(signers=[BERT]) == ("tx_bad_auth",)
    assert judged(passphrase="Another Network") == ("tx_bad_auth",)


def test_a_signature_with_another_hint_is_not_looked_at(world: World) -> None:
    envelope = world.envelope(ANNA, pay(BERT)).to_xdr_object()
    assert envelope.v1 is not None
    envelope.v1.signatures[0].hint.signature_hint = bytes(4)
    assert world.codes(frame_of(envelope, world.network.network_id)) == ("tx_bad_auth",)


def test_a_fee_that_touches_the_reserve_comes_before_operations(world: World) -> None:
    balance = world.account(ANNA).balance
    spare = balance - 10_000_000
    assert world.codes(world.frame(ANNA, pay(BERT, "0"), fee=spare + 1)) == (
        "tx_insufficient_balance",
    )
    assert world.codes(world.frame(ANNA, pay(BERT, "0"), fee=spare)) == (
        "tx_failed",
        "op_malformed",
    )


def test_an_operation_without_its_sources_signature_is_not_authorised(world: World) -> None:
    frame = world.frame(ANNA, pay(CLAUS), pay(CLAUS, source=BERT))
    assert world.codes(frame) == ("tx_failed", "op_success", "op_bad_auth")
    both = world.frame(ANNA, pay(CLAUS), pay(CLAUS, source=BERT), signers=[ANNA, BERT])
    assert world.codes(both) == ()


def test_an_operation_of_an_account_to_come_needs_that_accounts_signature(world: World) -> None:
    operations = [create(NOBODY), pay(ANNA, source=NOBODY)]
    assert world.codes(world.frame(ANNA, *operations)) == ("tx_failed", "op_success", "op_bad_auth")
    assert world.codes(world.frame(ANNA, *operations, signers=[ANNA, NOBODY])) == ()


def test_authority_comes_before_the_form_of_an_operation(world: World) -> None:
    frame = world.frame(ANNA, pay(CLAUS, "0", source=BERT))
    assert world.codes(frame) == ("tx_failed", "op_bad_auth")


def test_creating_oneself_is_malformed(world: World) -> None:
    assert world.codes(world.frame(ANNA, create(ANNA))) == ("tx_failed", "op_malformed")


def test_operations_that_are_not_performed_say_so(world: World) -> None:
    token = Payment(destination=BERT.public_key, asset=Asset("KWH", ANNA.public_key), amount="1")
    for operation in (AccountMerge(BERT.public_key), BumpSequence(1), token):
        frame = world.frame(ANNA, pay(BERT), operation)
        assert world.codes(frame) == ("tx_failed", "op_success", "op_not_supported")


@pytest.mark.parametrize("extra", [[ANNA, ANNA], [ANNA, BERT], [ANNA, NOBODY]])
def test_a_signature_that_serves_nothing_is_the_last_fault(
    world: World, extra: list[Keypair]
) -> None:
    envelope = world.envelope(ANNA, pay(BERT), signers=[extra[0]])
    digest = envelope.hash()
    envelope.signatures.append(extra[1].sign_decorated(digest))
    frame = frame_of(envelope.to_xdr_object(), world.network.network_id)
    assert world.codes(frame) == ("tx_bad_auth_extra",)


def with_extra_signers(world: World, *keys: SignerKey, signers: list[Keypair]) -> Frame:
    conditions = Preconditions(extra_signers=list(keys))
    return world.frame(ANNA, pay(BERT), preconditions=conditions, signers=signers)


def test_extra_signers_must_all_have_signed(world: World) -> None:
    bert, claus = (SignerKey.ed25519_public_key(each.public_key) for each in (BERT, CLAUS))
    one = with_extra_signers(world, bert, claus, signers=[ANNA, BERT])
    both = with_extra_signers(world, bert, claus, signers=[ANNA, BERT, CLAUS])
    assert world.codes(one) == ("tx_bad_auth",)
    assert world.codes(both) == ()


def test_extra_signers_that_repeat_or_sign_nothing_are_malformed(world: World) -> None:
    bert = SignerKey.ed25519_public_key(BERT.public_key)
    empty = SignerKey.ed25519_signed_payload(SignedPayloadSigner(BERT.public_key, b""))
    for keys in ([bert, bert], [empty]):
        frame = with_extra_signers(world, *keys, signers=[ANNA, BERT])
        assert world.codes(frame) == ("tx_malformed",)


@pytest.mark.parametrize(("preimage", "codes"), [(b"sunlight", ()), (b"night", ("tx_bad_auth",))])
def test_the_preimage_of_a_hash_is_a_signature_too(
    world: World, preimage: bytes, codes: tuple[str, ...]
) -> None:
    digest = hashlib.sha256(b"sunlight").digest()
    named = SignerKey.sha256_hash(StrKey.encode_sha256_hash(digest))
    conditions = Preconditions(extra_signers=[named])
    envelope = world.envelope(ANNA, pay(BERT), preconditions=conditions)
    envelope.sign_hashx(preimage)
    assert world.codes(frame_of(envelope.to_xdr_object(), world.network.network_id)) == codes


@pytest.mark.parametrize("payload", [b"heliograph", b"sun"])
def test_a_signed_payload_is_a_signature_too(world: World, payload: bytes) -> None:
    named = SignerKey.ed25519_signed_payload(SignedPayloadSigner(BERT.public_key, payload))
    conditions = Preconditions(extra_signers=[named])
    envelope = world.envelope(ANNA, pay(BERT), preconditions=conditions)
    envelope.signatures.append(BERT.sign_payload_decorated(payload))
    assert world.codes(frame_of(envelope.to_xdr_object(), world.network.network_id)) == ()


def test_a_transaction_authorised_beforehand_needs_no_signature_for_it(world: World) -> None:
    """Nobody can name a transaction's hash inside itself, so it is never met here."""
    named = SignerKey.pre_auth_tx(StrKey.encode_pre_auth_tx(bytes(32)))
    conditions = Preconditions(extra_signers=[named])
    assert world.codes(world.frame(ANNA, pay(BERT), preconditions=conditions)) == ("tx_bad_auth",)


def test_fee_bumps_and_version_0_are_not_supported(world: World) -> None:
    inner = world.envelope(ANNA, pay(BERT))
    outer = FeeBumpTransaction(BERT, 400, inner)
    bump = FeeBumpTransactionEnvelope(outer, world.network.passphrase)
    bump.sign(BERT)
    old = Transaction(ANNA, world.account(ANNA).sequence + 1, 100, [pay(BERT)], v1=False)
    envelope = TransactionEnvelope(old, world.network.passphrase)
    envelope.sign(ANNA)
    for each in (bump.to_xdr_object(), envelope.to_xdr_object()):
        frame = frame_of(each, world.network.network_id)
        assert world.codes(frame) == ("tx_not_supported",)
    assert frame_of(bump.to_xdr_object(), world.network.network_id).hash == bump.hash()
    assert frame_of(envelope.to_xdr_object(), world.network.network_id).hash == envelope.hash()


@pytest.mark.parametrize(
    "text", ["", "!", "AAAA", "A" * 100_001, "AAAAAgAAAAA=", "\N{SUN}", "AAAAAg==\n"]
)
def test_what_is_no_envelope_is_malformed(world: World, text: str) -> None:
    with pytest.raises(EnvelopeMalformed):
        decode_envelope(text, world.network.network_id)


def test_an_envelope_with_something_behind_it_is_malformed(world: World) -> None:
    text = world.envelope(ANNA, pay(BERT)).to_xdr()
    assert decode_envelope(text, world.network.network_id).sequence > 0
    with pytest.raises(EnvelopeMalformed):
        decode_envelope(text + "AAAA", world.network.network_id)


def test_names_give_keys_for_these_tests() -> None:
    assert key("anna") == ANNA
