"""Transaction and operation results as the protocol writes them."""

from collections.abc import Sequence

from stellar_sdk import xdr

TxCode = xdr.TransactionResultCode
OpCode = xdr.OperationResultCode
OpType = xdr.OperationType
CreateAccountCode = xdr.CreateAccountResultCode
PaymentCode = xdr.PaymentResultCode


def refused(code: xdr.TransactionResultCode, fee_charged: int) -> xdr.TransactionResult:
    """Return the result of a transaction whose operations were not looked at.

    Args:
        code: Any code but success, failed and the two of fee bumps.
        fee_charged: Stroops; for a transaction outside a ledger what would be needed.
    """
    return _result(xdr.TransactionResultResult(code), fee_charged)


def performed(
    code: xdr.TransactionResultCode, fee_charged: int, operations: Sequence[xdr.OperationResult]
) -> xdr.TransactionResult:
    """Return the result of a transaction with one result per operation (success or failed)."""
    assert code in {TxCode.txSUCCESS, TxCode.txFAILED}, code
    return _result(xdr.TransactionResultResult(code, results=list(operations)), fee_charged)


def create_account(code: xdr.CreateAccountResultCode) -> xdr.OperationResult:
    """Return the result of a create_account operation."""
    inner = xdr.CreateAccountResult(code)
    tr = xdr.OperationResultTr(OpType.CREATE_ACCOUNT, create_account_result=inner)
    return xdr.OperationResult(OpCode.opINNER, tr)


def payment(code: xdr.PaymentResultCode) -> xdr.OperationResult:
    """Return the result of a payment operation."""
    inner = xdr.PaymentResult(code)
    tr = xdr.OperationResultTr(OpType.PAYMENT, payment_result=inner)
    return xdr.OperationResult(OpCode.opINNER, tr)


def outer(code: xdr.OperationResultCode) -> xdr.OperationResult:
    """Return the result of an operation that was not looked into (bad auth, no account, …)."""
    assert code is not OpCode.opINNER, "an inner result needs its operation"
    return xdr.OperationResult(code)


def is_success(result: xdr.OperationResult) -> bool:
    """Tell whether an operation succeeded. Each operation's success code is 0."""
    if result.tr is None:
        return False
    if result.tr.create_account_result is not None:
        return result.tr.create_account_result.code is CreateAccountCode.CREATE_ACCOUNT_SUCCESS
    assert result.tr.payment_result is not None, "no other operation is performed"
    return result.tr.payment_result.code is PaymentCode.PAYMENT_SUCCESS


def _result(body: xdr.TransactionResultResult, fee_charged: int) -> xdr.TransactionResult:
    return xdr.TransactionResult(xdr.Int64(fee_charged), body, xdr.TransactionResultExt(0))
