"""Is a transaction valid? The checks in stellar-core's order; the first that fails answers.

One difference from a validator's queue, on purpose: time bounds are compared with the close time
of the ledger that would hold the transaction, not with the last closed one. The devnet closes no
empty ledgers, so its last close time may lie far back; a validator compares a transaction set with
its own close time likewise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from stellar_sdk import xdr

from devnet import results
from devnet.account import LOW_INDEX, Account, AccountsView
from devnet.frame import Frame
from devnet.operations import rule_for
from devnet.protocol import BASE_FEE_STROOPS, INT64_MAX, starting_sequence
from devnet.results import OpCode, TxCode
from devnet.signatures import SignatureChecker, Signer, ed25519_signer, signers_of


@dataclass(frozen=True, slots=True)
class Moment:
    """The ledger that would hold the transaction."""

    ledger_sequence: int
    close_time: int
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checks before the operations found."""

    code: xdr.TransactionResultCode
    """`txSUCCESS` when nothing was found."""
    consumes_sequence: bool
    """Whether, inside a ledger, the sequence number is used up all the same."""


def minimum_fee(frame: Frame) -> int:
    """Return the fee in stroops that the operations need, at least that of one."""
    count = 1 if frame.transaction is None else max(1, len(frame.operations))
    return BASE_FEE_STROOPS * count


def check_valid(
    frame: Frame, accounts: AccountsView, moment: Moment
) -> xdr.TransactionResult | None:
    """Judge a transaction before it may enter a ledger.

    Returns:
        None when it is valid, else its result. The fee in it is what would be needed; nothing is
        charged and nothing is kept.

    Source:
        stellar-core, TransactionFrame::checkValid.
    """
    fee = minimum_fee(frame)
    checker = SignatureChecker(frame.hash, frame.signatures)
    verdict = check_common(frame, accounts, moment, checker, applying=False)
    if verdict.code is not TxCode.txSUCCESS:
        return results.refused(verdict.code, fee)
    outcomes = initial_results(frame)
    for index, operation in enumerate(frame.operations):
        failure = _check_operation(frame, operation, accounts, checker)
        if failure is not None:
            outcomes[index] = failure
            return results.performed(TxCode.txFAILED, fee, outcomes)
    if not checker.all_used():
        return results.refused(TxCode.txBAD_AUTH_EXTRA, fee)
    return None


def check_common(
    frame: Frame,
    accounts: AccountsView,
    moment: Moment,
    checker: SignatureChecker,
    *,
    applying: bool,
) -> Verdict:
    """Run every check that comes before the operations.

    Args:
        frame: The transaction.
        accounts: Last closed ledger, or the ledger being closed when `applying`.
        moment: The ledger that would hold the transaction.
        checker: Remembers which signatures were of use.
        applying: The fee is already taken, so only the reserve is looked at.

    Source:
        stellar-core, TransactionFrame::commonValidPreSeqNum and commonValid.
    """
    code = _first(_content_faults(frame, moment))
    account = accounts.get(frame.source) if code is TxCode.txSUCCESS else None
    if account is None:
        missing = TxCode.txNO_ACCOUNT if code is TxCode.txSUCCESS else code
        return Verdict(missing, consumes_sequence=False)
    if is_bad_sequence(frame, account, moment):
        return Verdict(TxCode.txBAD_SEQ, consumes_sequence=False)
    needed = 0 if applying else frame.fee_bid
    code = _first(_account_faults(frame, account, moment, checker, needed))
    return Verdict(code, consumes_sequence=True)


def check_operation_signatures(
    frame: Frame, accounts: AccountsView, checker: SignatureChecker
) -> list[xdr.OperationResult] | None:
    """Check each operation's source and threshold inside a ledger.

    Returns:
        None when all are authorised, else the results of all operations.
    """
    outcomes = initial_results(frame)
    good = True
    for index, operation in enumerate(frame.operations):
        failure = _check_authority(frame, operation, accounts, checker)
        if failure is not None:
            outcomes[index] = failure
            good = False
    return None if good else outcomes


def initial_results(frame: Frame) -> list[xdr.OperationResult]:
    """Return the operations' results before any is looked at: success, or not supported."""
    rules = [rule_for(operation) for operation in frame.operations]
    missing = results.outer(OpCode.opNOT_SUPPORTED)
    return [missing if rule is None else rule.success for rule in rules]


_Faults: TypeAlias = Iterator[tuple[xdr.TransactionResultCode, bool]]
"""Codes in the order of their checks, each with whether it applies; read up to the first."""


def _first(faults: _Faults) -> xdr.TransactionResultCode:
    return next((code for code, applies in faults if applies), TxCode.txSUCCESS)


def _content_faults(frame: Frame, moment: Moment) -> _Faults:
    """Check what does not depend on any account."""
    yield TxCode.txNOT_SUPPORTED, frame.transaction is None
    yield TxCode.txMALFORMED, _has_malformed_extra_signers(frame)
    yield TxCode.txMISSING_OPERATION, not frame.operations
    # Version 1 carries the resources of a contract call, which no operation here is.
    yield TxCode.txMALFORMED, frame.supported.ext.v != 0
    yield TxCode.txTOO_EARLY, _is_too_early(frame, moment)
    yield TxCode.txTOO_LATE, _is_too_late(frame, moment)
    yield TxCode.txINSUFFICIENT_FEE, frame.fee_bid < minimum_fee(frame)


def _account_faults(
    frame: Frame, account: Account, moment: Moment, checker: SignatureChecker, needed: int
) -> _Faults:
    """Check what the source account allows, once its sequence number fits."""
    too_early = _is_too_early_for_account(frame, account, moment)
    yield TxCode.txBAD_MIN_SEQ_AGE_OR_GAP, too_early
    yield TxCode.txBAD_AUTH, not _is_authorised(frame, account, checker)
    yield TxCode.txINSUFFICIENT_BALANCE, account.available < needed


def _has_malformed_extra_signers(frame: Frame) -> bool:
    """Tell whether extra signers repeat, or sign an empty payload (CAP-21, CAP-40)."""
    conditions = frame.preconditions
    if conditions is None:
        return False
    extra = conditions.extra_signers
    if len(extra) == 2 and extra[0] == extra[1]:  # noqa: PLR2004 - XDR allows at most two
        return True
    payloads = [signer.ed25519_signed_payload for signer in extra]
    return any(each is not None and not each.payload for each in payloads)


def _is_too_early(frame: Frame, moment: Moment) -> bool:
    bounds, conditions = frame.time_bounds, frame.preconditions
    if bounds is not None and bounds.min_time.time_point.uint64 > moment.close_time:
        return True
    ledgers = conditions.ledger_bounds if conditions is not None else None
    return ledgers is not None and ledgers.min_ledger.uint32 > moment.ledger_sequence


def _is_too_late(frame: Frame, moment: Moment) -> bool:
    """Tell whether an upper bound has passed; 0 means none, and the last ledger is not included."""
    bounds, conditions = frame.time_bounds, frame.preconditions
    latest = bounds.max_time.time_point.uint64 if bounds is not None else 0
    if latest and latest < moment.close_time:
        return True
    ledgers = conditions.ledger_bounds if conditions is not None else None
    end = ledgers.max_ledger.uint32 if ledgers is not None else 0
    return end != 0 and end <= moment.ledger_sequence


def is_bad_sequence(frame: Frame, account: Account, moment: Moment) -> bool:
    """Tell whether a sequence number does not follow the account's.

    Source:
        stellar-core, TransactionFrame::isBadSeq; the window of CAP-21.
    """
    wanted, used = frame.sequence, account.sequence
    if wanted == starting_sequence(moment.ledger_sequence):
        return True
    conditions = frame.preconditions
    if conditions is not None and conditions.min_seq_num is not None:
        return used < conditions.min_seq_num.sequence_number.int64 or used >= wanted
    return used == INT64_MAX or used + 1 != wanted


def _is_too_early_for_account(frame: Frame, account: Account, moment: Moment) -> bool:
    """Tell whether the account's sequence number changed too recently (CAP-21)."""
    conditions = frame.preconditions
    if conditions is None:
        return False
    age, gap = conditions.min_seq_age.duration.uint64, conditions.min_seq_ledger_gap.uint32
    return (
        moment.close_time - age < account.sequence_time
        or moment.ledger_sequence - gap < account.sequence_ledger
    )


def _is_authorised(frame: Frame, account: Account, checker: SignatureChecker) -> bool:
    if not checker.check(signers_of(account), account.thresholds[LOW_INDEX]):
        return False
    conditions = frame.preconditions
    extra = conditions.extra_signers if conditions is not None else []
    return not extra or checker.check([Signer(key, 1) for key in extra], len(extra))


def _check_operation(
    frame: Frame, operation: xdr.Operation, accounts: AccountsView, checker: SignatureChecker
) -> xdr.OperationResult | None:
    rule = rule_for(operation)
    if rule is None:
        return results.outer(OpCode.opNOT_SUPPORTED)
    failure = _check_authority(frame, operation, accounts, checker)
    return failure or rule.check(operation.body, frame.operation_source(operation))


def _check_authority(
    frame: Frame, operation: xdr.Operation, accounts: AccountsView, checker: SignatureChecker
) -> xdr.OperationResult | None:
    """Check that an operation's source agreed.

    A source that does not exist yet may be created by an earlier operation, so that its own
    signature is enough here; whether it exists is decided when the operation is applied.

    Source:
        stellar-core, OperationFrame::checkSignature.
    """
    key = frame.operation_source(operation)
    account, rule = accounts.get(key), rule_for(operation)
    assert rule is not None, "operations not supported are turned away first"
    if account is None:
        good = checker.check([ed25519_signer(key, 1)], 0)
    else:
        good = checker.check(signers_of(account), account.thresholds[rule.threshold_index])
    return None if good else results.outer(OpCode.opBAD_AUTH)
