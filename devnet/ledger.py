"""Close a ledger: a pure function of the last ledger, the waiting transactions and a close time."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from stellar_sdk import xdr

from devnet import results, txset
from devnet.account import Account, AccountsView, public_key
from devnet.frame import Frame
from devnet.operations import rule_for
from devnet.overlay import Overlay
from devnet.protocol import (
    BASE_FEE_STROOPS,
    BASE_RESERVE_STROOPS,
    GENESIS_SEQUENCE,
    LEDGER_VERSION,
    TOTAL_COINS_STROOPS,
    TX_SET_OPERATION_COUNT_MAX,
    Network,
)
from devnet.results import OpCode, TxCode
from devnet.signatures import SignatureChecker
from devnet.validity import Moment, check_common, check_operation_signatures, minimum_fee

_SKIP_LEDGERS = (50, 5_000, 50_000, 500_000)


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed ledger's header with its hash."""

    header: xdr.LedgerHeader
    hash: bytes
    """SHA-256 of the header's XDR, 32 bytes."""

    @property
    def sequence(self) -> int:
        """The ledger's number, from 1."""
        return self.header.ledger_seq.uint32

    @property
    def close_time(self) -> int:
        """Unix seconds; 0 for the first ledger."""
        return self.header.scp_value.close_time.time_point.uint64


@dataclass(frozen=True, slots=True)
class Applied:
    """A transaction that is in a ledger, with what came of it."""

    frame: Frame
    result: xdr.TransactionResult
    fee_changes: bytes
    """XDR of the `LedgerEntryChanges` of taking the fee."""

    @property
    def successful(self) -> bool:
        """Whether every operation succeeded."""
        return self.result.result.code is TxCode.txSUCCESS


@dataclass(frozen=True, slots=True)
class Closing:
    """Everything that closing a ledger produced."""

    closed: Closed
    tx_set: bytes
    """XDR of the `GeneralizedTransactionSet`; empty for the first ledger."""
    result_set: bytes
    """XDR of the `TransactionResultSet`."""
    applied: tuple[Applied, ...]
    """In the order in which they were applied."""
    changed: tuple[Account, ...]
    """Accounts as they are afterwards, in the order of their keys."""


def genesis(network: Network) -> Closing:
    """Return the first ledger: no transaction, all coins with the root account.

    Source:
        stellar-core's genesis ledger, except that reserve and version are today's.
    """
    account = Account(
        key=network.root.raw_public_key(),
        balance=TOTAL_COINS_STROOPS,
        sequence=0,
        modified_ledger=GENESIS_SEQUENCE,
    )
    zero = xdr.Hash(bytes(32))
    result_set = xdr.TransactionResultSet([]).to_xdr_bytes()
    header = xdr.LedgerHeader(
        ledger_version=xdr.Uint32(LEDGER_VERSION),
        previous_ledger_hash=zero,
        scp_value=xdr.StellarValue(
            tx_set_hash=zero,
            close_time=xdr.TimePoint(xdr.Uint64(0)),
            upgrades=[],
            ext=xdr.StellarValueExt(xdr.StellarValueType.STELLAR_VALUE_BASIC),
        ),
        tx_set_result_hash=xdr.Hash(hashlib.sha256(result_set).digest()),
        bucket_list_hash=xdr.Hash(state_hash(bytes(32), [account])),
        ledger_seq=xdr.Uint32(GENESIS_SEQUENCE),
        total_coins=xdr.Int64(TOTAL_COINS_STROOPS),
        fee_pool=xdr.Int64(0),
        inflation_seq=xdr.Uint32(0),
        id_pool=xdr.Uint64(0),
        base_fee=xdr.Uint32(BASE_FEE_STROOPS),
        base_reserve=xdr.Uint32(BASE_RESERVE_STROOPS),
        max_tx_set_size=xdr.Uint32(TX_SET_OPERATION_COUNT_MAX),
        skip_list=[zero] * len(_SKIP_LEDGERS),
        ext=xdr.LedgerHeaderExt(0),
    )
    return Closing(_sealed(header), b"", result_set, (), (account,))


def close(
    network: Network,
    last: Closed,
    accounts: AccountsView,
    frames: Sequence[Frame],
    close_time: int,
) -> Closing:
    """Close the next ledger.

    Args:
        network: Whose validator signs.
        last: The last closed ledger.
        accounts: Accounts after it; not changed here.
        frames: Transactions that `validity.check_valid` let pass for this moment, in any order,
            at most one of each source account.
        close_time: Unix seconds, later than the last ledger's.

    Source:
        stellar-core, LedgerManagerImpl: fees of all transactions first, then each transaction.
    """
    assert close_time > last.close_time, "close times strictly increase"
    assert len({frame.source for frame in frames}) == len(frames), "one per source account"
    sequence = last.sequence + 1
    ordered = txset.build(last.hash, [frame.envelope for frame in frames])
    ledger = Overlay(accounts, ledger_sequence=sequence, close_time=close_time)
    queue = [frames[index] for index in ordered.apply_order]
    fees = [_take_fee(frame, ledger) for frame in queue]
    applied = []
    for frame, (fee, changes) in zip(queue, fees, strict=True):
        applied.append(Applied(frame, _apply(frame, ledger, fee), changes))
    pairs = [xdr.TransactionResultPair(xdr.Hash(a.frame.hash), a.result) for a in applied]
    result_set = xdr.TransactionResultSet(pairs).to_xdr_bytes()
    changed = ledger.changed()
    header = xdr.LedgerHeader(
        ledger_version=last.header.ledger_version,
        previous_ledger_hash=xdr.Hash(last.hash),
        scp_value=close_value(network, ordered.hash, close_time),
        tx_set_result_hash=xdr.Hash(hashlib.sha256(result_set).digest()),
        bucket_list_hash=xdr.Hash(state_hash(last.header.bucket_list_hash.hash, changed)),
        ledger_seq=xdr.Uint32(sequence),
        total_coins=last.header.total_coins,
        fee_pool=xdr.Int64(last.header.fee_pool.int64 + sum(fee for fee, _ in fees)),
        inflation_seq=last.header.inflation_seq,
        id_pool=last.header.id_pool,
        base_fee=last.header.base_fee,
        base_reserve=last.header.base_reserve,
        max_tx_set_size=last.header.max_tx_set_size,
        skip_list=last.header.skip_list,
        ext=xdr.LedgerHeaderExt(0),
    )
    header.skip_list = skip_list(sequence, header.bucket_list_hash, last.header.skip_list)
    return Closing(_sealed(header), ordered.encoded, result_set, tuple(applied), changed)


def close_value(network: Network, tx_set_hash: bytes, close_time: int) -> xdr.StellarValue:
    """Return what a validator proposes for a ledger, signed by it.

    Source:
        stellar-core, HerderImpl: the signature covers network id, envelope type, transaction set
        hash and close time.
    """
    moment = xdr.TimePoint(xdr.Uint64(close_time))
    kind = xdr.EnvelopeType.ENVELOPE_TYPE_SCPVALUE.to_bytes(4, "big")
    signed = network.network_id + kind + tx_set_hash + moment.to_xdr_bytes()
    signature = xdr.LedgerCloseValueSignature(
        node_id=xdr.NodeID(public_key(network.validator.raw_public_key())),
        signature=xdr.Signature(network.validator.sign(signed)),
    )
    kind_signed = xdr.StellarValueType.STELLAR_VALUE_SIGNED
    return xdr.StellarValue(
        tx_set_hash=xdr.Hash(tx_set_hash),
        close_time=moment,
        upgrades=[],
        ext=xdr.StellarValueExt(kind_signed, lc_value_signature=signature),
    )


def skip_list(
    sequence: int, bucket_list_hash: xdr.Hash, last: Sequence[xdr.Hash]
) -> list[xdr.Hash]:
    """Return a header's skip list.

    Args:
        sequence: The ledger's number.
        bucket_list_hash: Its own state hash.
        last: The skip list of the ledger before, four hashes.

    Source:
        stellar-core, BucketManager::calculateSkipValues. The entries are state hashes, though the
        XDR's comment speaks of ledgers; mainnet's headers show it (tests/devnet).
    """
    values = list(last)
    if sequence % _SKIP_LEDGERS[0] != 0:
        return values
    deepest = 0  # how many places move one further
    behind = sequence
    for distance, step in itertools.pairwise(_SKIP_LEDGERS):
        behind -= distance
        if behind <= 0 or behind % step != 0:
            break
        deepest += 1
    for index in range(deepest, 0, -1):
        values[index] = values[index - 1]
    values[0] = bucket_list_hash
    return values


def state_hash(last: bytes, changed: Sequence[Account]) -> bytes:
    """Return the devnet's commitment to its accounts, 32 bytes.

    It stands where stellar-core puts the hash of its bucket list, and is not that: it is a running
    hash over the changed entries, so that equal histories give equal hashes at constant cost.

    Args:
        last: The hash after the ledger before.
        changed: The accounts this ledger changed, in the order of their keys.
    """
    entries = b"".join(account.as_entry().to_xdr_bytes() for account in changed)
    return hashlib.sha256(last + hashlib.sha256(entries).digest()).digest()


def _sealed(header: xdr.LedgerHeader) -> Closed:
    return Closed(header, hashlib.sha256(header.to_xdr_bytes()).digest())


def _take_fee(frame: Frame, ledger: Overlay) -> tuple[int, bytes]:
    """Take a transaction's fee: the clearing price, at most what was bid and what is there."""
    before = ledger[frame.source]
    fee = min(frame.fee_bid, minimum_fee(frame), before.balance)
    ledger.put(before.with_balance(before.balance - fee))
    kinds = xdr.LedgerEntryChangeType
    changes = xdr.LedgerEntryChanges(
        [
            xdr.LedgerEntryChange(kinds.LEDGER_ENTRY_STATE, state=before.as_entry()),
            xdr.LedgerEntryChange(
                kinds.LEDGER_ENTRY_UPDATED, updated=ledger[frame.source].as_entry()
            ),
        ]
    )
    return fee, changes.to_xdr_bytes()


def _apply(frame: Frame, ledger: Overlay, fee: int) -> xdr.TransactionResult:
    """Apply one transaction: sequence number, signatures, operations."""
    moment = Moment(ledger.ledger_sequence, ledger.close_time)
    checker = SignatureChecker(frame.hash, frame.signatures)
    verdict = check_common(frame, ledger, moment, checker, applying=True)
    if verdict.consumes_sequence:
        account = ledger[frame.source]
        used = replace(
            account,
            sequence=frame.sequence,
            sequence_ledger=moment.ledger_sequence,
            sequence_time=moment.close_time,
        )
        ledger.put(used)
    if verdict.code is not TxCode.txSUCCESS:
        return results.refused(verdict.code, fee)
    unauthorised = check_operation_signatures(frame, ledger, checker)
    if unauthorised is not None:
        return results.performed(TxCode.txFAILED, fee, unauthorised)
    if not checker.all_used():
        return results.refused(TxCode.txBAD_AUTH_EXTRA, fee)
    return _apply_operations(frame, ledger, fee)


def _apply_operations(frame: Frame, ledger: Overlay, fee: int) -> xdr.TransactionResult:
    """Apply all operations, or none: one failure throws the others' changes away.

    Source:
        stellar-core, TransactionFrame::applyOperations: later operations are still tried, so that
        each has a result.
    """
    transaction = ledger.child()
    outcomes = []
    for operation in frame.operations:
        rule, source = rule_for(operation), frame.operation_source(operation)
        assert rule is not None, "operations not supported never enter a ledger"
        layer = transaction.child()
        if source in layer:
            outcome = rule.check(operation.body, source) or rule.apply(
                operation.body, source, layer
            )
        else:
            outcome = results.outer(OpCode.opNO_ACCOUNT)
        if results.is_success(outcome):
            layer.commit()
        outcomes.append(outcome)
    if all(results.is_success(outcome) for outcome in outcomes):
        transaction.commit()
        return results.performed(TxCode.txSUCCESS, fee, outcomes)
    return results.performed(TxCode.txFAILED, fee, outcomes)
