"""The transaction that carries a hash: same arguments, same bytes; and what it holds."""

import traceback
from typing import Any

import pytest
from stellar_sdk import Account, Asset, Keypair, Network, TransactionBuilder, xdr

from libs.stellar.anchoring import anchor_memo, build_anchor_envelope
from libs.stellar.errors import EvidenceError
from tests.devnet.world import ANNA

SEED = Keypair.from_raw_ed25519_seed(bytes(range(32))).secret
GOOD: dict[str, Any] = {
    "source_seed": SEED,
    "sequence": 2**33 + 7,
    "memo_hash": bytes(range(32)),
    "max_time_unix": 1_800_000_300,
    "network_passphrase": "Heliograph Devnet ; 2026",
    "fee_stroops": 100_000,
}
GOLDEN_HASH = "e2a2ad06fcc8e00690c15db5788f5857ceeadb97d88441f6d5a6a6356efd0f5d"


def test_the_same_arguments_give_the_bytes_they_always_gave() -> None:
    built = build_anchor_envelope(**GOOD)
    assert built == build_anchor_envelope(**GOOD)
    assert built.tx_hash == GOLDEN_HASH


def test_it_is_what_the_sdks_own_builder_makes() -> None:
    source = Keypair.from_secret(SEED)
    account = Account(source.public_key, GOOD["sequence"] - 1)
    envelope = (
        TransactionBuilder(account, GOOD["network_passphrase"], base_fee=100_000)
        .append_payment_op(source.public_key, Asset.native(), "0.0000001")
        .add_hash_memo(GOOD["memo_hash"])
        .add_time_bounds(0, GOOD["max_time_unix"])
        .build()
    )
    envelope.sign(source)
    assert build_anchor_envelope(**GOOD) == (envelope.to_xdr(), envelope.hash_hex())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence", GOOD["sequence"] + 1),
        ("memo_hash", bytes(32)),
        ("max_time_unix", GOOD["max_time_unix"] + 1),
        ("network_passphrase", Network.TESTNET_NETWORK_PASSPHRASE),
        ("fee_stroops", 100_001),
        ("source_seed", ANNA.secret),
    ],
)
def test_each_argument_counts(name: str, value: object) -> None:
    assert build_anchor_envelope(**(GOOD | {name: value})).tx_hash != GOLDEN_HASH


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("memo_hash", bytes(31)),
        ("memo_hash", bytes(33)),
        ("sequence", 0),
        ("sequence", 2**63),
        ("fee_stroops", 99),
        ("fee_stroops", 2**32),
        ("max_time_unix", 0),
        ("max_time_unix", 2**64),
    ],
)
def test_arguments_outside_their_ranges_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"outside|32 bytes|expire"):
        build_anchor_envelope(**(GOOD | {name: value}))


@pytest.mark.parametrize("seed", ["S", SEED + " ", SEED[:-1], ANNA.public_key, ""])
def test_a_seed_that_is_none_is_refused_without_being_shown(seed: str) -> None:
    with pytest.raises(ValueError, match="not a secret seed") as caught:
        build_anchor_envelope(**(GOOD | {"source_seed": seed}))
    shown = "".join(traceback.format_exception(caught.value))
    assert "Invalid Ed25519" not in shown
    assert seed not in str(caught.value) or not seed


def test_the_hash_can_be_read_back() -> None:
    assert anchor_memo(build_anchor_envelope(**GOOD).envelope_xdr) == GOOD["memo_hash"]


def test_reading_it_from_something_else_names_the_step() -> None:
    with pytest.raises(EvidenceError) as caught:
        anchor_memo("nonsense")
    assert caught.value.step == 1
    envelope = xdr.TransactionEnvelope.from_xdr(build_anchor_envelope(**GOOD).envelope_xdr)
    assert envelope.v1 is not None
    envelope.v1.tx.memo = xdr.Memo(xdr.MemoType.MEMO_NONE)
    with pytest.raises(EvidenceError) as caught:
        anchor_memo(envelope.to_xdr())
    assert caught.value.step == 3
