"""The port to a ledger, and Horizon behind it.

Who anchors or pays depends on `LedgerGateway` alone; which server answers is wiring.
"""

from collections.abc import Awaitable
from types import TracebackType
from typing import Any, Final, NamedTuple, Protocol, Self, TypeAlias

from stellar_sdk import exceptions as sdk
from stellar_sdk import xdr
from stellar_sdk.server_async import ServerAsync

from libs.stellar import answers
from libs.stellar.client import GET_TIMEOUT_S, POST_TIMEOUT_S, HttpxClient
from libs.stellar.encoding import decode, transaction_hash
from libs.stellar.errors import (
    AccountMissing,
    EvidenceMissing,
    ResultCodes,
    StellarError,
    StellarUnavailable,
    TransactionRefused,
    UnexpectedAnswer,
)

_TRANSIENT_STATUSES: Final = frozenset({408, 425, 429})
"""Answers of the 400s that ask for patience."""


class Submission(NamedTuple):
    """A transaction that the network took."""

    tx_hash: str
    """64 hex digits."""
    ledger: int | None
    """The ledger it is in; None: taken, not in a ledger yet, ask for its status."""


class Unknown(NamedTuple):
    """The server knows no such transaction; it may still come, until its time has passed."""

    tx_hash: str


class Confirmed(NamedTuple):
    """The transaction is in a closed ledger. Ledgers are final."""

    tx_hash: str
    ledger: int
    successful: bool
    """Whether its operations took effect; the fee and the sequence number are gone either way."""
    result_xdr: str
    """Base64 XDR of the `TransactionResult`."""
    closed_at_unix: int
    """Close time of the ledger, Unix seconds."""


TransactionStatus: TypeAlias = Unknown | Confirmed


class LedgerEvidence(NamedTuple):
    """What `evidence.verify_anchor_evidence` needs; not yet verified."""

    ledger: int
    envelope_xdr: str
    """Base64 XDR of the `TransactionEnvelope`."""
    result_set_xdr: str
    """Base64 XDR of the ledger's whole `TransactionResultSet`."""
    header_xdr: str
    """Base64 XDR of the `LedgerHeader`."""
    network_passphrase: str


class LatestLedger(NamedTuple):
    """The newest closed ledger that the server knows."""

    sequence: int
    closed_at_unix: int
    """Unix seconds."""


class Fees(NamedTuple):
    """What operations cost of late, in stroops per operation."""

    base_stroops: int
    """Lowest fee the network takes now."""
    p95_stroops: int
    """95 of 100 transactions were charged at most this."""
    max_stroops: int
    """The dearest was charged this."""


class LedgerGateway(Protocol):
    """A ledger network, as far as Heliograph needs one.

    Every method raises `StellarUnavailable` when the network does not answer, and
    `UnexpectedAnswer` when its answer makes no sense.
    """

    async def account_sequence(self, address: str) -> int:
        """Return the last sequence number an account used; its next transaction uses one more.

        Raises:
            AccountMissing: The account does not exist.
        """
        ...

    async def submit(self, envelope_xdr: str) -> Submission:
        """Hand in a signed transaction. The same bytes again are always safe.

        Raises:
            TransactionRefused: The network said no.
            StellarUnavailable: Nobody knows; send the same bytes again.
        """
        ...

    async def status(self, tx_hash: str) -> TransactionStatus:
        """Tell whether a transaction is in a ledger."""
        ...

    async def evidence(self, tx_hash: str) -> LedgerEvidence:
        """Return what proves that a transaction is in a ledger.

        Raises:
            EvidenceMissing: This server has none.
        """
        ...

    async def latest_ledger(self) -> LatestLedger:
        """Return the newest closed ledger."""
        ...

    async def fees(self) -> Fees:
        """Return what operations cost of late."""
        ...


class HorizonGateway:
    """`LedgerGateway` over Horizon, or over a double of it.

    Evidence comes from `/evidence/{hash}`, which only the project's devnet has; a public Horizon
    answers with `EvidenceMissing`.
    """

    def __init__(
        self,
        horizon_url: str,
        *,
        network_passphrase: str,
        get_timeout_s: float = GET_TIMEOUT_S,
        post_timeout_s: float = POST_TIMEOUT_S,
    ) -> None:
        self._url = horizon_url.rstrip("/")
        self._passphrase = network_passphrase
        self._client = HttpxClient(get_timeout_s=get_timeout_s, post_timeout_s=post_timeout_s)
        self._server = ServerAsync(self._url, self._client)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def check_network(self) -> None:
        """Make sure that the server serves the configured network.

        Raises:
            UnexpectedAnswer: It serves another one.
        """
        root = answers.read(answers.Root, await self._ask(self._server.root().call()))
        self._check_passphrase(root.network_passphrase)

    async def account_sequence(self, address: str) -> int:
        """Return the last sequence number an account used (see `LedgerGateway`)."""
        try:
            body = await self._ask(self._server.accounts().account_id(address).call())
        except sdk.NotFoundError as error:
            raise AccountMissing(address) from error
        return answers.read(answers.Account, body).sequence

    async def submit(self, envelope_xdr: str) -> Submission:
        """Hand in a transaction and wait for its ledger (see `LedgerGateway`).

        Horizon's synchronous submission is one POST; the check of SEP-29 is left out, because
        every transaction built here carries a memo or pays its own account.

        Raises:
            TransactionRefused: The network said no.
            NotCanonical: The envelope is none; nothing was sent.
        """
        envelope = decode(xdr.TransactionEnvelope, envelope_xdr)
        expected = transaction_hash(envelope, self._passphrase).hex()
        sending = self._server.submit_transaction(envelope_xdr, skip_memo_required_check=True)
        try:
            body = await self._ask(sending)
        except sdk.BadRequestError as error:
            raise _refusal(error) from error
        except sdk.NotFoundError as error:
            raise UnexpectedAnswer(f"{self._url} takes no transactions.") from error
        answer = self._transaction(body, expected)
        return Submission(expected, answer.ledger)

    async def status(self, tx_hash: str) -> TransactionStatus:
        """Tell whether a transaction is in a ledger (see `LedgerGateway`)."""
        try:
            body = await self._ask(self._server.transactions().transaction(tx_hash).call())
        except sdk.NotFoundError:
            return Unknown(tx_hash)
        answer = self._transaction(body, tx_hash)
        return Confirmed(
            tx_hash=tx_hash,
            ledger=answer.ledger,
            successful=answer.successful,
            result_xdr=answer.result_xdr,
            closed_at_unix=int(answer.created_at.timestamp()),
        )

    async def evidence(self, tx_hash: str) -> LedgerEvidence:
        """Return what proves that a transaction is in a ledger (see `LedgerGateway`)."""
        try:
            body = await self._ask(self._get(f"evidence/{tx_hash}"))
        except sdk.NotFoundError as error:
            raise EvidenceMissing(tx_hash) from error
        answer = answers.read(answers.Evidence, body)
        self._check_passphrase(answer.network_passphrase)
        return LedgerEvidence(
            ledger=answer.ledger,
            envelope_xdr=answer.envelope_xdr,
            result_set_xdr=answer.result_set_xdr,
            header_xdr=answer.header_xdr,
            network_passphrase=answer.network_passphrase,
        )

    async def latest_ledger(self) -> LatestLedger:
        """Return the newest closed ledger."""
        body = await self._ask(self._server.ledgers().order(desc=True).limit(1).call())
        records = answers.read(answers.LedgerPage, body).embedded.records
        if not records:
            raise UnexpectedAnswer("The server knows no ledger.")
        return LatestLedger(records[0].sequence, int(records[0].closed_at.timestamp()))

    async def fees(self) -> Fees:
        """Return what operations cost of late."""
        body = await self._ask(self._server.fee_stats().call())
        answer = answers.read(answers.FeeStats, body)
        charged = answer.fee_charged
        return Fees(answer.last_ledger_base_fee, charged.p95, charged.max)

    async def _get(self, path: str) -> dict[str, Any]:
        response = await self._client.get(f"{self._url}/{path}")
        sdk.raise_request_exception(response)
        return response.json()

    async def _ask(self, call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
        """Await an SDK call and sort its errors: transient, refused, missing, or nonsense.

        `NotFoundError` and other `BadRequestError`s pass through for the caller to name.
        """
        try:
            return await call
        except (sdk.ConnectionError, sdk.BadResponseError) as error:
            raise StellarUnavailable(f"{self._url} does not answer now.") from error
        except sdk.BadRequestError as error:
            if error.status in _TRANSIENT_STATUSES:
                raise StellarUnavailable(f"{self._url} asks for patience.") from error
            if error.type is None or not error.type.startswith(answers.PROBLEM_PREFIX):
                raise UnexpectedAnswer(f"{self._url} answered {error.status}.") from error
            raise
        except (sdk.UnknownRequestError, sdk.ContentSizeLimitExceededError) as error:
            raise UnexpectedAnswer(f"{self._url} does not answer as Horizon.") from error
        except (ValueError, TypeError, AttributeError) as error:
            # The SDK reads error bodies without looking whether they are JSON objects.
            raise UnexpectedAnswer(f"{self._url} does not answer in JSON.") from error

    def _transaction(self, body: dict[str, Any], expected_hash: str) -> answers.Transaction:
        answer = answers.read(answers.Transaction, body)
        if answer.hash != expected_hash:
            raise UnexpectedAnswer("The server answered about another transaction.")
        return answer

    def _check_passphrase(self, found: str) -> None:
        if found != self._passphrase:
            raise UnexpectedAnswer(f"{self._url} serves another network: {found!r}.")


def _refusal(error: sdk.BadRequestError) -> StellarError:
    """Return what a 400 to a submission means."""
    kind = (error.type or "").removeprefix(answers.PROBLEM_PREFIX)
    if kind == "transaction_malformed":
        return TransactionRefused(ResultCodes(kind), None)
    if kind != "transaction_failed":
        return UnexpectedAnswer(f"The submission was answered with {kind}.")
    extras = answers.read(answers.FailedExtras, error.extras)
    codes = extras.result_codes
    return TransactionRefused(ResultCodes(codes.transaction, codes.operations), extras.result_xdr)
