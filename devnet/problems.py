"""Horizon's error answers (RFC 7807), in our own words but with its types, titles and extras."""

from http import HTTPStatus
from typing import Any, Final

from stellar_sdk import xdr

from devnet.codes import operation_codes, transaction_code

TYPE_PREFIX: Final = "https://stellar.org/horizon-errors/"


class Problem(Exception):
    """An answer that is not a success."""

    def __init__(
        self,
        kind: str,
        status: HTTPStatus,
        title: str,
        detail: str,
        extras: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.extras = extras

    def body(self) -> dict[str, Any]:
        """Return the JSON document."""
        body: dict[str, Any] = {
            "type": TYPE_PREFIX + self.kind,
            "title": self.title,
            "status": int(self.status),
            "detail": self.detail,
        }
        return body if self.extras is None else body | {"extras": self.extras}


def not_found() -> Problem:
    """Nothing is there under this name."""
    detail = "Nothing is stored under this address. Check the path and its parts."
    return Problem("not_found", HTTPStatus.NOT_FOUND, "Resource Missing", detail)


def bad_request(field: str, reason: str) -> Problem:
    """A parameter cannot be used; `extras` names it and says why."""
    detail = "A parameter of this request cannot be used; `extras` says which and why."
    extras = {"invalid_field": field, "reason": reason}
    return Problem("bad_request", HTTPStatus.BAD_REQUEST, "Bad Request", detail, extras)


def unsupported_media_type(wanted: str) -> Problem:
    """The body has another type than this path takes."""
    detail = f"The body must be {wanted}."
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return Problem("unsupported_media_type", status, "Unsupported Media Type", detail)


def payload_too_large(limit: int) -> Problem:
    """The body is longer than the devnet reads."""
    detail = f"The body may have at most {limit} bytes."
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return Problem("payload_too_large", status, "Payload Too Large", detail)


def method_not_allowed() -> Problem:
    """The path exists, but not for this method."""
    detail = "This address does not take this method."
    status = HTTPStatus.METHOD_NOT_ALLOWED
    return Problem("method_not_allowed", status, "Method Not Allowed", detail)


def server_over_capacity(detail: str) -> Problem:
    """The queue has no place now; the same bytes may be sent again."""
    status = HTTPStatus.SERVICE_UNAVAILABLE
    return Problem("server_over_capacity", status, "Server Over Capacity", detail)


def time_runs_backwards() -> Problem:
    """A played time earlier than the one before (no Horizon type; devnet only)."""
    detail = "The played time may not go back."
    return Problem("time_runs_backwards", HTTPStatus.CONFLICT, "Conflict", detail)


def internal_error() -> Problem:
    """Our own fault; the log has the cause."""
    detail = "The devnet failed. Its log says why."
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return Problem("server_error", status, "Internal Server Error", detail)


def transaction_malformed(envelope: str, reason: str) -> Problem:
    """The envelope cannot be decoded."""
    detail = (
        f"{reason} The form field `tx` must hold the base64 of one XDR TransactionEnvelope; what"
        " was read stands in `extras.envelope_xdr`."
    )
    status, title = HTTPStatus.BAD_REQUEST, "Transaction Malformed"
    return Problem("transaction_malformed", status, title, detail, {"envelope_xdr": envelope})


def transaction_failed(envelope_xdr: str, result: xdr.TransactionResult) -> Problem:
    """The transaction was refused, or is in a ledger and failed; the codes say which and why."""
    codes: dict[str, Any] = {"transaction": transaction_code(result)}
    operations = operation_codes(result)
    if operations:
        codes["operations"] = operations
    detail = (
        "The transaction did not succeed; `extras.result_codes` names the reason. The devnet"
        " performs create_account and native payment; every other operation is op_not_supported,"
        " and fee bumps and version 0 envelopes are tx_not_supported."
    )
    extras = {
        "envelope_xdr": envelope_xdr,
        "result_codes": codes,
        "result_xdr": result.to_xdr(),
    }
    status, title = HTTPStatus.BAD_REQUEST, "Transaction Failed"
    return Problem("transaction_failed", status, title, detail, extras)
