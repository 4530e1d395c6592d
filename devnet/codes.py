"""Horizon's words for result codes."""

from typing import Final

from stellar_sdk import xdr

from devnet.results import CreateAccountCode, OpCode, PaymentCode, TxCode

TRANSACTION_CODES: Final[dict[xdr.TransactionResultCode, str]] = {
    TxCode.txSUCCESS: "tx_success",
    TxCode.txFAILED: "tx_failed",
    TxCode.txTOO_EARLY: "tx_too_early",
    TxCode.txTOO_LATE: "tx_too_late",
    TxCode.txMISSING_OPERATION: "tx_missing_operation",
    TxCode.txBAD_SEQ: "tx_bad_seq",
    TxCode.txBAD_AUTH: "tx_bad_auth",
    TxCode.txINSUFFICIENT_BALANCE: "tx_insufficient_balance",
    TxCode.txNO_ACCOUNT: "tx_no_source_account",
    TxCode.txINSUFFICIENT_FEE: "tx_insufficient_fee",
    TxCode.txBAD_AUTH_EXTRA: "tx_bad_auth_extra",
    TxCode.txINTERNAL_ERROR: "tx_internal_error",
    TxCode.txNOT_SUPPORTED: "tx_not_supported",
    TxCode.txBAD_MIN_SEQ_AGE_OR_GAP: "tx_bad_minseq_age_or_gap",
    TxCode.txMALFORMED: "tx_malformed",
}
"""Every transaction code that the devnet gives."""

_OUTER: Final[dict[xdr.OperationResultCode, str]] = {
    OpCode.opBAD_AUTH: "op_bad_auth",
    OpCode.opNO_ACCOUNT: "op_no_source_account",
    OpCode.opNOT_SUPPORTED: "op_not_supported",
}
_CREATE_ACCOUNT: Final[dict[xdr.CreateAccountResultCode, str]] = {
    CreateAccountCode.CREATE_ACCOUNT_SUCCESS: "op_success",
    CreateAccountCode.CREATE_ACCOUNT_MALFORMED: "op_malformed",
    CreateAccountCode.CREATE_ACCOUNT_UNDERFUNDED: "op_underfunded",
    CreateAccountCode.CREATE_ACCOUNT_LOW_RESERVE: "op_low_reserve",
    CreateAccountCode.CREATE_ACCOUNT_ALREADY_EXIST: "op_already_exists",
}
_PAYMENT: Final[dict[xdr.PaymentResultCode, str]] = {
    PaymentCode.PAYMENT_SUCCESS: "op_success",
    PaymentCode.PAYMENT_MALFORMED: "op_malformed",
    PaymentCode.PAYMENT_UNDERFUNDED: "op_underfunded",
    PaymentCode.PAYMENT_NO_DESTINATION: "op_no_destination",
    PaymentCode.PAYMENT_LINE_FULL: "op_line_full",
}


def transaction_code(result: xdr.TransactionResult) -> str:
    """Return Horizon's word for a transaction's result, such as `tx_bad_seq`."""
    return TRANSACTION_CODES[result.result.code]


def operation_codes(result: xdr.TransactionResult) -> list[str]:
    """Return Horizon's words for the operations; empty when none was looked at."""
    return [_operation_code(each) for each in result.result.results or ()]


def _operation_code(result: xdr.OperationResult) -> str:
    if result.tr is None:
        return _OUTER[result.code]
    if result.tr.create_account_result is not None:
        return _CREATE_ACCOUNT[result.tr.create_account_result.code]
    assert result.tr.payment_result is not None, "no other operation is performed"
    return _PAYMENT[result.tr.payment_result.code]
