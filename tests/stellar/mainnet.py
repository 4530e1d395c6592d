"""Real ledgers of Stellar's public network (data/stellar, Apache-2.0; see LICENSE.md there)."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import zstandard
from stellar_sdk import xdr

from libs.stellar.encoding import transaction_hash

PASSPHRASE = "Public Global Stellar Network ; September 2015"
FOLDER = Path(__file__).parents[2] / "data" / "stellar"


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


@dataclass(frozen=True)
class FullLedger:
    """Everything that the network published about one ledger."""

    header: xdr.LedgerHeader
    hash: bytes
    tx_set: xdr.GeneralizedTransactionSet
    results: list[xdr.TransactionResultPair]
    envelopes: list[xdr.TransactionEnvelope]


def transaction_name(envelope: xdr.TransactionEnvelope) -> bytes:
    return transaction_hash(envelope, PASSPHRASE)


@cache
def full_ledger() -> FullLedger:
    """Read ledger 53 312 000 of 2024-09-02."""
    packed = (FOLDER / "FCD285FF--53312000.xdr.zstd").read_bytes()
    data = zstandard.ZstdDecompressor().decompressobj().decompress(packed)
    meta = xdr.LedgerCloseMetaBatch.from_xdr_bytes(data).ledger_close_metas[0].v1
    assert meta is not None
    envelopes = [
        envelope
        for phase in meta.tx_set.v1_tx_set.phases  # type: ignore[union-attr]
        for component in phase.v0_components or []
        for envelope in component.txs_maybe_discounted_fee.txs  # type: ignore[union-attr]
    ]
    return FullLedger(
        header=meta.ledger_header.header,
        hash=meta.ledger_header.hash.hash,
        tx_set=meta.tx_set,
        results=[each.result for each in meta.tx_processing],
        envelopes=envelopes,
    )
