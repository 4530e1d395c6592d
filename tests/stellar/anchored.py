"""An anchor in a ledger of the devnet, with its evidence, made without any server."""

import base64
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from stellar_sdk import Keypair, xdr

from devnet.frame import Frame, decode_envelope
from libs.stellar.anchoring import build_anchor_envelope
from libs.stellar.evidence import AnchoredAt, verify_anchor_evidence
from tests.devnet.world import ANNA, BERT, PASSPHRASE, START, World, pay

MEMO = bytes(range(32))


@dataclass(frozen=True)
class Evidence:
    """The arguments of the verifier."""

    memo_hash: Any
    envelope_xdr: Any
    result_set_xdr: Any
    header_xdr: Any
    network_passphrase: Any = PASSPHRASE
    anchor_account: Any = ANNA.public_key

    def verify(self) -> AnchoredAt:
        return verify_anchor_evidence(
            memo_hash=self.memo_hash,
            envelope_xdr=self.envelope_xdr,
            result_set_xdr=self.result_set_xdr,
            header_xdr=self.header_xdr,
            network_passphrase=self.network_passphrase,
            anchor_account=self.anchor_account,
        )

    def changed(self, **values: Any) -> "Evidence":
        return replace(self, **values)


def close_over(world: World, frame: Frame, *company: Frame) -> Evidence:
    """Close a ledger over a transaction, and give its evidence."""
    closing = world.close(frame, *company)
    return Evidence(
        memo_hash=MEMO,
        envelope_xdr=text(frame.envelope_bytes),
        result_set_xdr=text(closing.result_set),
        header_xdr=closing.closed.header.to_xdr(),
    )


def anchor(source: Keypair, sequence: int) -> str:
    return build_anchor_envelope(
        source_seed=source.secret,
        sequence=sequence,
        memo_hash=MEMO,
        max_time_unix=START + 600,
        network_passphrase=PASSPHRASE,
        fee_stroops=100_000,
    ).envelope_xdr


@cache
def good() -> Evidence:
    """Give an anchor of Anna's in a ledger with another transaction of Bert's."""
    world = World.inhabited()
    envelope = anchor(ANNA, world.account(ANNA).sequence + 1)
    frame = decode_envelope(envelope, world.network.network_id)
    return close_over(world, frame, world.frame(BERT, pay(BERT)))


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def data_of(encoded: str) -> bytes:
    return base64.b64decode(encoded)


def result_set_of(evidence: Evidence) -> xdr.TransactionResultSet:
    return xdr.TransactionResultSet.from_xdr(evidence.result_set_xdr)
