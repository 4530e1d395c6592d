"""The rules of each operation: what makes it malformed, what it does, why it fails.

A new operation is a new entry in `RULES` (and its words in `codes`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from stellar_sdk import xdr

from devnet import results
from devnet.account import MEDIUM_INDEX, Account, account_key, minimum_balance, muxed_key
from devnet.overlay import Overlay
from devnet.protocol import INT64_MAX, starting_sequence
from devnet.results import CreateAccountCode, OpType, PaymentCode


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of operation is judged and performed."""

    success: xdr.OperationResult
    """Its result when all went well, and until something is known."""
    check: Callable[[xdr.OperationBody, bytes], xdr.OperationResult | None]
    """Judge content alone: operation and source key give a failure, or None."""
    apply: Callable[[xdr.OperationBody, bytes, Overlay], xdr.OperationResult]
    """Change accounts and return the result; on failure the overlay is thrown away."""
    threshold_index: int = MEDIUM_INDEX
    """Which threshold of the source the signatures must reach."""


def rule_for(operation: xdr.Operation) -> Rule | None:
    """Return the rule of an operation; None when the devnet does not perform it.

    Payments of other assets than the native one are among those not performed.
    """
    payment = operation.body.payment_op
    if payment is not None and payment.asset.type is not xdr.AssetType.ASSET_TYPE_NATIVE:
        return None
    return RULES.get(operation.body.type)


def _check_create_account(body: xdr.OperationBody, source: bytes) -> xdr.OperationResult | None:
    """Refuse negative balances and creating oneself.

    Source:
        stellar-core, CreateAccountOpFrame; since protocol 14 a balance of 0 is well formed.
    """
    operation = body.create_account_op
    assert operation is not None, "the discriminant says so"
    if operation.starting_balance.int64 < 0 or account_key(operation.destination) == source:
        return results.create_account(CreateAccountCode.CREATE_ACCOUNT_MALFORMED)
    return None


def _apply_create_account(
    body: xdr.OperationBody, source: bytes, accounts: Overlay
) -> xdr.OperationResult:
    """Create an account from the source's balance.

    Source:
        stellar-core, CreateAccountOpFrame from protocol 14: exists, reserve, funds, in this order.
    """
    operation = body.create_account_op
    assert operation is not None, "the discriminant says so"
    key, balance = account_key(operation.destination), operation.starting_balance.int64
    payer = accounts[source]
    if key in accounts:
        return results.create_account(CreateAccountCode.CREATE_ACCOUNT_ALREADY_EXIST)
    if balance < minimum_balance():
        return results.create_account(CreateAccountCode.CREATE_ACCOUNT_LOW_RESERVE)
    if payer.available < balance:
        return results.create_account(CreateAccountCode.CREATE_ACCOUNT_UNDERFUNDED)
    accounts.put(payer.with_balance(payer.balance - balance))
    sequence = starting_sequence(accounts.ledger_sequence)
    accounts.put(Account(key=key, balance=balance, sequence=sequence))
    return results.create_account(CreateAccountCode.CREATE_ACCOUNT_SUCCESS)


def _check_payment(body: xdr.OperationBody, _source: bytes) -> xdr.OperationResult | None:
    """Refuse amounts that are not positive."""
    operation = body.payment_op
    assert operation is not None, "the discriminant says so"
    if operation.amount.int64 <= 0:
        return results.payment(PaymentCode.PAYMENT_MALFORMED)
    return None


def _apply_payment(
    body: xdr.OperationBody, source: bytes, accounts: Overlay
) -> xdr.OperationResult:
    """Move native coins.

    A native payment to oneself succeeds at once, whatever the balance.

    Source:
        stellar-core, PaymentOpFrame and PathPaymentStrictReceiveOpFrame: the destination is
        looked at before the source.
    """
    operation = body.payment_op
    assert operation is not None, "the discriminant says so"
    key, amount = muxed_key(operation.destination), operation.amount.int64
    if key == source:
        return results.payment(PaymentCode.PAYMENT_SUCCESS)
    payee = accounts.get(key)
    if payee is None:
        return results.payment(PaymentCode.PAYMENT_NO_DESTINATION)
    if payee.balance > INT64_MAX - amount:
        return results.payment(PaymentCode.PAYMENT_LINE_FULL)
    payer = accounts[source]
    if payer.available < amount:
        return results.payment(PaymentCode.PAYMENT_UNDERFUNDED)
    accounts.put(payee.with_balance(payee.balance + amount))
    accounts.put(payer.with_balance(payer.balance - amount))
    return results.payment(PaymentCode.PAYMENT_SUCCESS)


RULES: Final[dict[xdr.OperationType, Rule]] = {
    OpType.CREATE_ACCOUNT: Rule(
        success=results.create_account(CreateAccountCode.CREATE_ACCOUNT_SUCCESS),
        check=_check_create_account,
        apply=_apply_create_account,
    ),
    OpType.PAYMENT: Rule(
        success=results.payment(PaymentCode.PAYMENT_SUCCESS),
        check=_check_payment,
        apply=_apply_payment,
    ),
}
"""The operations that the devnet performs."""
