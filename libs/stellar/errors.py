"""Errors of the ledger gateway: one base, and one class for each way to go on."""

from dataclasses import dataclass


class StellarError(Exception):
    """Base of everything this library raises on purpose."""


class StellarUnavailable(StellarError):
    """The network did not answer, or asked for patience: transient, outcome unknown.

    A submission that ends like this may still be in the next ledger: send the same bytes again,
    or ask for the status. Never build another transaction for the same sequence number.
    """


class UnexpectedAnswer(StellarError):
    """The answer is not what the API promises, or belongs to another network or transaction."""


class AccountMissing(StellarError):
    """The account does not exist on this network."""

    def __init__(self, address: str) -> None:
        super().__init__(f"Account {address} does not exist.")
        self.address = address


class EvidenceMissing(StellarError):
    """This server has no evidence for the transaction.

    Either the transaction is in no ledger, or the server is a public Horizon, which does not hand
    out result sets: there the bytes come from the metadata of RPC's `getLedgers`.
    """

    def __init__(self, tx_hash: str) -> None:
        super().__init__(f"No evidence for transaction {tx_hash}.")
        self.tx_hash = tx_hash


@dataclass(frozen=True, slots=True)
class ResultCodes:
    """Why a transaction was turned down, in Horizon's words."""

    transaction: str
    """Such as `tx_bad_seq`, or `transaction_malformed` when it could not be decoded."""
    operations: tuple[str, ...] = ()
    """One per operation, such as `op_success`; empty when none was looked at."""


class TransactionRefused(StellarError):
    """The network said no. Whether it stands in a ledger all the same tells the status."""

    def __init__(self, result_codes: ResultCodes, result_xdr: str | None) -> None:
        parts = [result_codes.transaction, *result_codes.operations]
        super().__init__(f"The transaction was refused: {', '.join(parts)}.")
        self.result_codes = result_codes
        self.result_xdr = result_xdr
        """Base64 XDR of the `TransactionResult`; None when it could not be decoded."""


class EvidenceError(StellarError):
    """Evidence does not prove what it should; `step` is the number of the check that failed."""

    def __init__(self, step: int, reason: str) -> None:
        super().__init__(f"Step {step}: {reason}")
        self.step = step
        self.reason = reason
