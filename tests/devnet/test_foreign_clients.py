"""Clients that others wrote: Stellar's JavaScript SDK, and Stellar's XDR codec in Rust."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import AccountMerge, HashMemo, xdr

from devnet.ledger import Closing
from devnet.protocol import Network
from devnet.store import Store
from libs.stellar.evidence import verify_header_chain
from tests import devnet_process
from tests.devnet.world import ANNA, BERT, CLAUS, NOBODY, PASSPHRASE, World, create, pay
from tests.node_support import NodeScript, node_script
from tests.stellar import mainnet

__all__ = ["node_script"]


@pytest.mark.node
def test_the_javascript_sdk_pays_and_is_refused(node_script: NodeScript, tmp_path: Path) -> None:
    devnet = devnet_process.start(tmp_path)
    try:
        seen: dict[str, Any] = node_script("horizon_client.mjs", devnet.url, PASSPHRASE)
    finally:
        assert devnet.stop()[0] == 0
    store = Store.open(tmp_path, Network.from_passphrase(PASSPHRASE))
    stored = store.transaction(bytes.fromhex(seen["ownHash"]))
    ledgers = store.ledgers(after=None, limit=200, descending=False)
    store.close()
    assert stored is not None
    assert seen["passphrase"] == PASSPHRASE
    assert seen["baseFee"] == 100
    expected = {"successful": True, "ledger": stored.ledger, "hash": seen["ownHash"]}
    assert seen["payment"] == expected
    assert seen["again"] == stored.ledger
    memo = base64.b64encode(b"\xab" * 32).decode()
    sequence = seen["expectedSequence"]
    assert seen["found"] == {"memo": memo, "memoType": "hash", "sequence": sequence}
    assert seen["balance"] == "10012.3456789"
    assert seen["ledger"]["sequence"] == stored.ledger
    assert seen["ledger"]["hash"] == ledgers[stored.ledger - 1].closed.hash.hex()
    assert seen["ledgerTransactions"] == 1
    assert seen["page"] == [stored.ledger, stored.ledger - 1]
    assert seen["nextPage"] == [stored.ledger - 2, stored.ledger - 3]
    assert seen["missing"] == {"notFound": True, "status": 404}
    assert seen["badSequence"]["status"] == 400
    assert seen["badSequence"]["extras"]["result_codes"] == {"transaction": "tx_bad_seq"}
    verify_header_chain([each.closed.header.to_xdr() for each in ledgers])


@pytest.mark.node
def test_every_blob_of_the_devnet_survives_the_rust_codec(node_script: NodeScript) -> None:
    world = _eventful()
    blobs = [blob for closing in world.closings for blob in _blobs(closing)]
    entries = (account.as_entry() for account in world.accounts.values())
    blobs += [("LedgerEntry", entry.to_xdr_bytes()) for entry in entries]
    for refused in (world.frame(ANNA, AccountMerge(BERT.public_key)), world.frame(ANNA)):
        result = world.judge(refused)
        assert result is not None
        blobs.append(("TransactionResult", result.to_xdr_bytes()))
    kinds = {kind for kind, _ in blobs}
    assert len(kinds) == 7
    _round_trip(node_script, blobs)


@pytest.mark.node
def test_it_would_notice_a_difference(node_script: NodeScript) -> None:
    header = World().last.header.to_xdr_bytes()
    for spoilt in (header[:-4], header + bytes(4), header[:-1] + b"\x09"):
        values = [{"type": "LedgerHeader", "xdr": base64.b64encode(spoilt).decode()}]
        answer = node_script("xdr_roundtrip.mjs", stdin=values)
        assert len(answer["failures"]) == 1


@pytest.mark.node
def test_the_rust_codec_agrees_on_mainnets_ledger_too(node_script: NodeScript) -> None:
    ledger = mainnet.full_ledger()
    result_set = xdr.TransactionResultSet(ledger.results).to_xdr_bytes()
    blobs = [
        ("LedgerHeader", ledger.header.to_xdr_bytes()),
        ("GeneralizedTransactionSet", ledger.tx_set.to_xdr_bytes()),
        ("TransactionResultSet", result_set),
    ]
    _round_trip(node_script, blobs)


def test_the_lock_file_names_no_registry() -> None:
    folder = Path(__file__).parents[1] / "node"
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert not [name for name, package in packages.items() if "resolved" in package]
    assert packages["node_modules/@stellar/stellar-sdk"]["version"] == "15.1.0"


def _eventful() -> World:
    """Give a world in which everything happened that can happen in a ledger."""
    world = World.inhabited()
    memo = HashMemo(bytes(range(32)))
    world.close(world.frame(ANNA, pay(ANNA, "0.0000001"), memo=memo), world.frame(BERT, pay(ANNA)))
    world.close(world.frame(ANNA, create(NOBODY, "5"), pay(NOBODY)))
    failing = [
        world.frame(ANNA, create(BERT), pay(BERT, "1000"), create(ANNA_LATER, "0.5")),
        world.frame(BERT, pay(ANNA_LATER), pay(CLAUS, "922337203685.4775807")),
        world.frame(
            CLAUS,
            create(ANNA_LATER, "5000"),
            pay(ANNA, "2", source=ANNA_LATER),
            signers=[CLAUS, ANNA_LATER],
        ),
    ]
    world.close(*failing)
    return world


ANNA_LATER = World().network.validator


def _blobs(closing: Closing) -> list[tuple[str, bytes]]:
    blobs = [
        ("LedgerHeader", closing.closed.header.to_xdr_bytes()),
        ("TransactionResultSet", closing.result_set),
    ]
    if closing.tx_set:
        blobs.append(("GeneralizedTransactionSet", closing.tx_set))
    for applied in closing.applied:
        blobs.append(("TransactionEnvelope", applied.frame.envelope_bytes))
        blobs.append(("TransactionResult", applied.result.to_xdr_bytes()))
        blobs.append(("LedgerEntryChanges", applied.fee_changes))
    return blobs


def _round_trip(node_script: NodeScript, blobs: list[tuple[str, bytes]]) -> None:
    values = [{"type": kind, "xdr": base64.b64encode(data).decode()} for kind, data in blobs]
    answer = node_script("xdr_roundtrip.mjs", stdin=values)
    assert answer == {"checked": len(values), "failures": []}
