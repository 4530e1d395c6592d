"""What Horizon shows of ledgers, transactions and accounts: HAL documents from stored bytes."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from stellar_sdk import StrKey, xdr

from devnet.account import (
    HIGH_INDEX,
    LOW_INDEX,
    MASTER_WEIGHT_INDEX,
    MEDIUM_INDEX,
    Account,
)
from devnet.frame import Frame, frame_of
from devnet.ledger import Closed
from devnet.protocol import LEDGER_VERSION, Network
from devnet.results import TxCode
from devnet.store import Bid, StoredLedger, StoredTransaction

SOFTWARE: Final = "heliograph-devnet"
_PERCENTILES: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99)
_HALF: Final = 32
"""Bits by which a ledger's number is moved in a paging token (SEP-35)."""
_ORDER: Final = 12


def root(base: str, network: Network, last: Closed) -> dict[str, Any]:
    """Return the entry document: which network this is and how far it got."""
    paths = {
        "account": "accounts/{account_id}",
        "friendbot": "friendbot{?addr}",
        "ledger": "ledgers/{sequence}",
        "ledgers": "ledgers{?cursor,limit,order}",
        "transaction": "transactions/{hash}",
        "fee_stats": "fee_stats",
        "evidence": "evidence/{hash}",
    }
    links = {name: _link(base, path) for name, path in paths.items()}
    return {
        "_links": {"self": _link(base, "")} | links,
        "horizon_version": SOFTWARE,
        "core_version": SOFTWARE,
        "ingest_latest_ledger": last.sequence,
        "history_latest_ledger": last.sequence,
        "history_latest_ledger_closed_at": as_text(last.close_time),
        "history_elder_ledger": 1,
        "core_latest_ledger": last.sequence,
        "network_passphrase": network.passphrase,
        "current_protocol_version": LEDGER_VERSION,
        "supported_protocol_version": LEDGER_VERSION,
        "core_supported_protocol_version": LEDGER_VERSION,
    }


def account(base: str, state: Account, modified_at: int) -> dict[str, Any]:
    """Return an account.

    Args:
        base: Root of all links, ending in a slash.
        state: The account.
        modified_at: Close time of the ledger that last changed it, Unix seconds.
    """
    address = state.address
    record: dict[str, Any] = {
        "_links": {"self": _link(base, f"accounts/{address}")},
        "id": address,
        "account_id": address,
        "sequence": str(state.sequence),
        "subentry_count": 0,
        "last_modified_ledger": state.modified_ledger,
        "last_modified_time": as_text(modified_at),
        "thresholds": {
            "low_threshold": state.thresholds[LOW_INDEX],
            "med_threshold": state.thresholds[MEDIUM_INDEX],
            "high_threshold": state.thresholds[HIGH_INDEX],
        },
        "flags": {
            "auth_required": False,
            "auth_revocable": False,
            "auth_immutable": False,
            "auth_clawback_enabled": False,
        },
        "balances": [
            {
                "balance": as_amount(state.balance),
                "buying_liabilities": as_amount(0),
                "selling_liabilities": as_amount(0),
                "asset_type": "native",
            }
        ],
        "signers": [
            {
                "weight": state.thresholds[MASTER_WEIGHT_INDEX],
                "key": address,
                "type": "ed25519_public_key",
            }
        ],
        "data": {},
        "num_sponsoring": 0,
        "num_sponsored": 0,
        "paging_token": address,
    }
    if state.sequence_ledger:
        record["sequence_ledger"] = state.sequence_ledger
        record["sequence_time"] = str(state.sequence_time)
    return record


def ledger(base: str, stored: StoredLedger) -> dict[str, Any]:
    """Return a ledger, its header included."""
    header, sequence = stored.closed.header, stored.closed.sequence
    own = f"ledgers/{sequence}"
    links = {"self": _link(base, own)}
    links["transactions"] = _link(base, f"{own}/transactions{{?cursor,limit,order}}")
    return {
        "_links": links,
        "id": stored.closed.hash.hex(),
        "paging_token": str(ledger_token(sequence)),
        "hash": stored.closed.hash.hex(),
        "prev_hash": header.previous_ledger_hash.hash.hex(),
        "sequence": sequence,
        "successful_transaction_count": stored.successful_count,
        "failed_transaction_count": stored.failed_count,
        "operation_count": stored.operation_count,
        "tx_set_operation_count": stored.tx_set_operation_count,
        "closed_at": as_text(stored.closed.close_time),
        "total_coins": as_amount(header.total_coins.int64),
        "fee_pool": as_amount(header.fee_pool.int64),
        "base_fee_in_stroops": header.base_fee.uint32,
        "base_reserve_in_stroops": header.base_reserve.uint32,
        "max_tx_set_size": header.max_tx_set_size.uint32,
        "protocol_version": header.ledger_version.uint32,
        "header_xdr": header.to_xdr(),
    }


def transaction(base: str, stored: StoredTransaction, network: Network) -> dict[str, Any]:
    """Return a transaction that is in a ledger."""
    envelope = xdr.TransactionEnvelope.from_xdr_bytes(stored.envelope)
    frame = frame_of(envelope, network.network_id)
    result = xdr.TransactionResult.from_xdr_bytes(stored.result)
    name = frame.hash.hex()
    source = StrKey.encode_ed25519_public_key(frame.source)
    links = {
        "self": _link(base, f"transactions/{name}"),
        "account": _link(base, f"accounts/{source}"),
        "ledger": _link(base, f"ledgers/{stored.ledger}"),
    }
    return {
        "_links": links,
        "id": name,
        "paging_token": str(transaction_token(stored.ledger, stored.position)),
        "successful": result.result.code is TxCode.txSUCCESS,
        "hash": name,
        "ledger": stored.ledger,
        "created_at": as_text(stored.close_time),
        "source_account": source,
        "source_account_sequence": str(frame.sequence),
        "fee_account": source,
        "fee_charged": str(result.fee_charged.int64),
        "max_fee": str(frame.fee_bid),
        "operation_count": len(frame.operations),
        "envelope_xdr": as_base64(stored.envelope),
        "result_xdr": as_base64(stored.result),
        "fee_meta_xdr": as_base64(stored.fee_changes),
        "signatures": [as_base64(each.signature.signature) for each in frame.signatures],
        **_memo(frame.supported.memo),
        **_preconditions(frame),
    }


def page(
    base: str, path: str, records: Sequence[dict[str, Any]], query: dict[str, str]
) -> dict[str, Any]:
    """Return a page of records.

    Args:
        base: Root of all links, ending in a slash.
        path: The collection's path.
        records: The records, in the order asked for.
        query: `cursor`, `limit` and `order` as asked for; the links repeat them.
    """
    first = records[0]["paging_token"] if records else query["cursor"]
    last = records[-1]["paging_token"] if records else query["cursor"]
    turned = {"asc": "desc", "desc": "asc"}[query["order"]]

    def link(cursor: str, order: str) -> dict[str, Any]:
        return _link(base, f"{path}?cursor={cursor}&limit={query['limit']}&order={order}")

    return {
        "_links": {
            "self": link(query["cursor"], query["order"]),
            "next": link(last, query["order"]),
            "prev": link(first, turned),
        },
        "_embedded": {"records": list(records)},
    }


def fee_stats(last: StoredLedger, bids: Sequence[Bid]) -> dict[str, Any]:
    """Return how much was bid and paid per operation of late, as decimal strings of stroops."""
    base_fee = last.closed.header.base_fee.uint32
    used = last.tx_set_operation_count / last.closed.header.max_tx_set_size.uint32
    return {
        "last_ledger": str(last.closed.sequence),
        "last_ledger_base_fee": str(base_fee),
        "ledger_capacity_usage": f"{used:.2f}",
        "fee_charged": _distribution([each.charged for each in bids] or [base_fee]),
        "max_fee": _distribution([each.bid for each in bids] or [base_fee]),
    }


def ledger_token(sequence: int) -> int:
    """Return a ledger's paging token.

    Source:
        SEP-35: ledger in the upper 32 bits, then 20 bits of order, then 12 bits of operation.
    """
    return sequence << _HALF


def transaction_token(sequence: int, position: int) -> int:
    """Return a transaction's paging token; `position` counts from 1 in apply order (SEP-35)."""
    return (sequence << _HALF) | (position << _ORDER)


def position_of(token: int) -> int:
    """Return the place in a ledger that a transaction's paging token names."""
    return (token & ((1 << _HALF) - 1)) >> _ORDER


def ledger_of(token: int) -> int:
    """Return the ledger that a paging token names."""
    return token >> _HALF


def as_text(unix_seconds: int) -> str:
    """Return an instant as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def as_amount(stroops: int) -> str:
    """Return stroops as a decimal number of coins with seven places, such as `1.0000000`."""
    return f"{stroops // 10**7}.{stroops % 10**7:07d}"


def as_base64(data: bytes) -> str:
    """Return bytes as base64 text."""
    return base64.b64encode(data).decode()


def _link(base: str, path: str) -> dict[str, Any]:
    templated = {"templated": True} if "{" in path else {}
    return {"href": base + path, **templated}


def _memo(memo: xdr.Memo) -> dict[str, str]:
    """Return the memo's fields; `memo` is absent when there is none."""
    if memo.text is not None:
        text = memo.text.decode(errors="replace")
        return {"memo_type": "text", "memo": text, "memo_bytes": as_base64(memo.text)}
    if memo.id is not None:
        return {"memo_type": "id", "memo": str(memo.id.uint64)}
    if memo.hash is not None:
        return {"memo_type": "hash", "memo": as_base64(memo.hash.hash)}
    if memo.ret_hash is not None:
        return {"memo_type": "return", "memo": as_base64(memo.ret_hash.hash)}
    return {"memo_type": "none"}


def _preconditions(frame: Frame) -> dict[str, Any]:
    """Return time bounds, where there are any; 0 means no bound and is left out."""
    bounds = frame.time_bounds
    if bounds is None:
        return {}
    both = {
        "min_time": bounds.min_time.time_point.uint64,
        "max_time": bounds.max_time.time_point.uint64,
    }
    return {"preconditions": {"timebounds": {k: str(v) for k, v in both.items() if v}}}


def _distribution(values: Sequence[int]) -> dict[str, str]:
    """Return extremes, the most frequent value and percentiles by nearest rank."""
    ordered = sorted(values)
    ranks = {f"p{p}": ordered[max(0, -(-p * len(ordered) // 100) - 1)] for p in _PERCENTILES}
    mode = max(ordered, key=ordered.count)
    found = {"max": ordered[-1], "min": ordered[0], "mode": mode} | ranks
    return {name: str(value) for name, value in found.items()}
