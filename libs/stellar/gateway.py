"""The port to a ledger, and Horizon behind it.

Who anchors or pays depends on `LedgerGateway` alone; which server answers is wiring.
"""

import json
from collections.abc import Awaitable
from http import HTTPStatus
from types import TracebackType
from typing import Final, NamedTuple, Protocol, Self, TypeAlias

from stellar_sdk import exceptions as sdk
from stellar_sdk import xdr
from stellar_sdk.client.response import Response

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
        root = answers.read(answers.Root, await self._get(""))
        self._check_passphrase(root.network_passphrase)

    async def account_sequence(self, address: str) -> int:
        """Return the last sequence number an account used (see `LedgerGateway`)."""
        try:
            body = await self._get(f"accounts/{address}")
        except _Missing as error:
            raise AccountMissing(address) from error
        return answers.read(answers.Account, body).sequence

    async def submit(self, envelope_xdr: str) -> Submission:
        """Hand in a transaction and wait for its ledger (see `LedgerGateway`).

        Horizon's synchronous submission is one POST. The SDK's own way is not used: it asks about
        every destination first (SEP-29), and decodes with a function that is going away.

        Raises:
            TransactionRefused: The network said no.
            NotCanonical: The envelope is none; nothing was sent.
        """
        envelope = decode(xdr.TransactionEnvelope, envelope_xdr)
        expected = transaction_hash(envelope, self._passphrase).hex()
        try:
            form = {"tx": envelope_xdr}
            body = await self._ask(self._client.post(f"{self._url}/transactions", form))
        except _ProblemGiven as error:
            raise _refusal(error) from error
        answer = _transaction(body, expected)
        return Submission(expected, answer.ledger)

    async def status(self, tx_hash: str) -> TransactionStatus:
        """Tell whether a transaction is in a ledger (see `LedgerGateway`)."""
        try:
            body = await self._get(f"transactions/{tx_hash}")
        except _Missing:
            return Unknown(tx_hash)
        answer = _transaction(body, tx_hash)
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
            body = await self._get(f"evidence/{tx_hash}")
        except _Missing as error:
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
        body = await self._get("ledgers", {"order": "desc", "limit": "1"})
        records = answers.read(answers.LedgerPage, body).embedded.records
        if not records:
            raise UnexpectedAnswer("The server knows no ledger.")
        return LatestLedger(records[0].sequence, int(records[0].closed_at.timestamp()))

    async def fees(self) -> Fees:
        """Return what operations cost of late."""
        answer = answers.read(answers.FeeStats, await self._get("fee_stats"))
        charged = answer.fee_charged
        return Fees(answer.last_ledger_base_fee, charged.p95, charged.max)

    async def _get(self, path: str, params: dict[str, str] | None = None) -> object:
        return await self._ask(self._client.get(f"{self._url}/{path}", params))

    async def _ask(self, call: Awaitable[Response]) -> object:
        """Await an answer and sort it by its status: good, transient, missing, refused, nonsense.

        Returns:
            The JSON of a good answer.
        """
        try:
            response = await call
        except sdk.ConnectionError as error:
            raise StellarUnavailable(f"{self._url} does not answer now.") from error
        except sdk.ContentSizeLimitExceededError as error:
            raise UnexpectedAnswer(f"{self._url} answers without end.") from error
        status = response.status_code
        if status in _TRANSIENT_STATUSES or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise StellarUnavailable(f"{self._url} answered {status}.")
        if status == HTTPStatus.NOT_FOUND:
            raise _Missing(f"{self._url} does not know {response.url}.")
        try:
            body = json.loads(response.text)
        except ValueError as error:
            raise UnexpectedAnswer(f"{self._url} does not answer in JSON.") from error
        if status == HTTPStatus.BAD_REQUEST:
            raise _ProblemGiven(answers.read(answers.Problem, body))
        if status != HTTPStatus.OK:
            raise UnexpectedAnswer(f"{self._url} answered {status}.")
        return body

    def _check_passphrase(self, found: str) -> None:
        if found != self._passphrase:
            raise UnexpectedAnswer(f"{self._url} serves another network: {found!r}.")


class _Missing(UnexpectedAnswer):
    """404. Where that is no answer to the question, it is an unexpected one."""


class _ProblemGiven(UnexpectedAnswer):
    """400 with a problem document. Where nothing can be refused, it is an unexpected answer."""

    def __init__(self, problem: answers.Problem) -> None:
        super().__init__(f"The server answered with the problem {problem.type!r}.")
        self.problem = problem


def _transaction(body: object, expected_hash: str) -> answers.Transaction:
    answer = answers.read(answers.Transaction, body)
    if answer.hash != expected_hash:
        raise UnexpectedAnswer("The server answered about another transaction.")
    return answer


def _refusal(given: _ProblemGiven) -> StellarError:
    """Return what a problem means that answered a submission."""
    kind = given.problem.type.removeprefix(answers.PROBLEM_PREFIX)
    if kind == "transaction_malformed":
        return TransactionRefused(ResultCodes(kind), None)
    if kind != "transaction_failed":
        return given
    extras = answers.read(answers.FailedExtras, given.problem.extras)
    codes = extras.result_codes
    return TransactionRefused(ResultCodes(codes.transaction, codes.operations), extras.result_xdr)
