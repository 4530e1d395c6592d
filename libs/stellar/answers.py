"""The parts of Horizon's answers that are read here, and nothing more of them."""

from typing import Any, Final, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from libs.stellar.errors import UnexpectedAnswer

PROBLEM_PREFIX: Final = "https://stellar.org/horizon-errors/"
"""What the type of every Horizon problem begins with (RFC 7807)."""


class Answer(BaseModel):
    """Base: fields that are not read here may be anything."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Root(Answer):
    """`GET /`."""

    network_passphrase: str


class Account(Answer):
    """`GET /accounts/{address}`."""

    sequence: int


class Transaction(Answer):
    """`GET /transactions/{hash}` and the answer to a submission."""

    hash: str
    ledger: int
    successful: bool
    result_xdr: str
    created_at: AwareDatetime


class Ledger(Answer):
    """One record of `GET /ledgers`."""

    sequence: int
    closed_at: AwareDatetime


class LedgerRecords(Answer):
    """The records of a page."""

    records: list[Ledger]


class LedgerPage(Answer):
    """`GET /ledgers`."""

    embedded: LedgerRecords = Field(alias="_embedded")


class Charged(Answer):
    """What operations were charged, in stroops."""

    p95: int
    max: int


class FeeStats(Answer):
    """`GET /fee_stats`."""

    last_ledger_base_fee: int
    fee_charged: Charged


class Evidence(Answer):
    """`GET /evidence/{hash}` of the devnet."""

    ledger: int
    envelope_xdr: str
    result_set_xdr: str
    header_xdr: str
    network_passphrase: str


class Problem(Answer):
    """An error (RFC 7807)."""

    type: str
    extras: Any = None


class Codes(Answer):
    """Result codes in Horizon's words."""

    transaction: str
    operations: tuple[str, ...] = ()


class FailedExtras(Answer):
    """The extras of a `transaction_failed` problem."""

    result_codes: Codes
    result_xdr: str


_A = TypeVar("_A", bound=Answer)


def read(kind: type[_A], body: Any) -> _A:
    """Read an answer.

    Raises:
        UnexpectedAnswer: A field is missing or has another type.
    """
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise UnexpectedAnswer(f"The answer is no {kind.__name__}.") from error
