"""The verifier's functions on ledgers of Stellar's public network, which we did not make."""

import base64
import contextlib
import hashlib

import pytest
from stellar_sdk import xdr

from libs.stellar.encoding import decode, header_hash, transaction_hash
from libs.stellar.errors import EvidenceError
from libs.stellar.evidence import (
    verify_close_value,
    verify_header_chain,
    verify_inclusion,
    verify_signature,
)
from tests.stellar import mainnet

YEARS = ["ledgers-2020.jsonl", "ledgers-2024.jsonl"]


@pytest.mark.parametrize("name", YEARS)
def test_every_header_hashes_to_the_published_hash(name: str) -> None:
    for row in mainnet.lines(name):
        header = decode(xdr.LedgerHeader, row["ledger_header"])
        assert header_hash(header).hex() == row["ledger_hash"]


@pytest.mark.parametrize("name", YEARS)
def test_the_published_headers_are_one_chain(name: str) -> None:
    rows = mainnet.lines(name)
    chain = verify_header_chain([row["ledger_header"] for row in rows])
    assert (chain.first_ledger, chain.last_ledger) == (rows[0]["sequence"], rows[-1]["sequence"])
    assert (chain.first_hash, chain.last_hash) == (rows[0]["ledger_hash"], rows[-1]["ledger_hash"])


def test_the_published_validators_signed_the_close_values_of_2024() -> None:
    for row in mainnet.lines("ledgers-2024.jsonl"):
        assert verify_close_value(row["ledger_header"], mainnet.PASSPHRASE) == row["node_id"]


def test_the_close_values_of_2020_were_not_signed_yet() -> None:
    for row in mainnet.lines("ledgers-2020.jsonl"):
        with pytest.raises(EvidenceError) as caught:
            verify_close_value(row["ledger_header"], mainnet.PASSPHRASE)
        assert caught.value.step == 1


def test_a_close_value_is_not_signed_for_another_network() -> None:
    header = mainnet.lines("ledgers-2024.jsonl")[0]["ledger_header"]
    with pytest.raises(EvidenceError) as caught:
        verify_close_value(header, "Test SDF Network ; September 2015")
    assert caught.value.step == 2


@pytest.mark.parametrize(
    ("step", "change"),
    [
        (2, lambda headers: [*headers[:5], *headers[6:]]),
        (2, lambda headers: headers[::-1]),
        (2, lambda headers: [headers[0], *headers]),
        (3, lambda headers: [*headers[:3], _with_fee_pool(headers[3], 1), *headers[4:]]),
        (1, lambda headers: [*headers[:3], headers[3][:-4], *headers[4:]]),
        (1, lambda headers: [*headers, 5]),
        (1, lambda _: []),
        (1, lambda _: None),
        (1, lambda headers: headers[0]),
    ],
)
def test_a_broken_chain_is_found(step: int, change: object) -> None:
    headers = [row["ledger_header"] for row in mainnet.lines("ledgers-2020.jsonl")]
    with pytest.raises(EvidenceError) as caught:
        verify_header_chain(change(headers))  # type: ignore[operator]
    assert caught.value.step == step


def test_a_chain_whose_time_stands_still_is_refused() -> None:
    first, second = (row["ledger_header"] for row in mainnet.lines("ledgers-2020.jsonl")[:2])
    header = decode(xdr.LedgerHeader, second)
    header.scp_value.close_time = decode(xdr.LedgerHeader, first).scp_value.close_time
    with pytest.raises(EvidenceError) as caught:
        verify_header_chain([first, header.to_xdr()])
    assert caught.value.step == 4


def test_every_transaction_hashes_to_the_published_hash() -> None:
    for row in mainnet.lines("transactions-2020.jsonl"):
        envelope = decode(xdr.TransactionEnvelope, row["tx_envelope"])
        assert transaction_hash(envelope, mainnet.PASSPHRASE).hex() == row["transaction_hash"]
        decode(xdr.TransactionResult, row["tx_result"])


def test_a_whole_ledger_is_consistent_with_its_header() -> None:
    ledger = mainnet.full_ledger()
    assert header_hash(ledger.header) == ledger.hash
    digest = hashlib.sha256(ledger.tx_set.to_xdr_bytes()).digest()
    assert ledger.header.scp_value.tx_set_hash.hash == digest
    verify_close_value(ledger.header.to_xdr(), mainnet.PASSPHRASE)


def test_each_of_its_163_transactions_is_proven_to_be_in_it() -> None:
    ledger = mainnet.full_ledger()
    result_set = xdr.TransactionResultSet(ledger.results).to_xdr()
    header = ledger.header.to_xdr()
    hashes = {transaction_hash(each, mainnet.PASSPHRASE) for each in ledger.envelopes}
    assert len(hashes) == len(ledger.results) == 163
    for tx_hash in sorted(hashes)[::16]:
        found = verify_inclusion(tx_hash=tx_hash, result_set_xdr=result_set, header_xdr=header)
        assert found.ledger == 53_312_000
        assert found.header_hash == ledger.hash
    listed = {each.transaction_hash.hash for each in ledger.results}
    assert hashes == listed


def test_a_transaction_elsewhere_or_a_changed_result_is_not_in_it() -> None:
    ledger = mainnet.full_ledger()
    header = ledger.header.to_xdr()
    data = bytearray(xdr.TransactionResultSet(ledger.results).to_xdr_bytes())
    listed = ledger.results[0].transaction_hash.hash
    good = base64.b64encode(data).decode()
    with pytest.raises(EvidenceError) as caught:
        verify_inclusion(tx_hash=bytes(32), result_set_xdr=good, header_xdr=header)
    assert caught.value.step == 7
    data[4 + 32 + 7] ^= 1  # the lowest byte of the first transaction's fee
    bad = base64.b64encode(data).decode()
    with pytest.raises(EvidenceError) as caught:
        verify_inclusion(tx_hash=listed, result_set_xdr=bad, header_xdr=header)
    assert caught.value.step == 8


def test_157_of_its_envelopes_are_signed_by_their_source_accounts() -> None:
    """The other six, three fee bumps among them, carry no signature with the key's hint."""
    ledger = mainnet.full_ledger()
    good = 0
    for envelope in ledger.envelopes:
        part = envelope.v1 or envelope.fee_bump
        assert part is not None
        account = part.tx.source_account if envelope.v1 else part.tx.fee_source  # type: ignore[union-attr]
        key = account.ed25519 or account.med25519.ed25519  # type: ignore[union-attr]
        message = transaction_hash(envelope, mainnet.PASSPHRASE)
        with contextlib.suppress(EvidenceError):
            verify_signature(key.uint256, message, part.signatures)
            good += 1
    assert good == 157


def _with_fee_pool(header_xdr: str, change: int) -> str:
    header = decode(xdr.LedgerHeader, header_xdr)
    header.fee_pool = xdr.Int64(header.fee_pool.int64 + change)
    return header.to_xdr()
