"""The HTTP face of the devnet: the part of Horizon that clients of this project use.

One path is the devnet's own: `/evidence/{hash}` gives at once what an auditor needs. On the public
network the same bytes come from the metadata of RPC's `getLedgers`.
"""

import ipaddress
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from stellar_sdk import StrKey, xdr

from devnet import problems, records
from devnet.frame import EnvelopeMalformed
from devnet.node import Node, Refused, TimeRunsBackwards, TryAgainLater
from devnet.problems import Problem
from devnet.protocol import INT64_MAX
from devnet.results import TxCode
from devnet.store import PAGE_SIZE_MAX, StoredTransaction

BODY_SIZE_MAX: Final = 100_000
"""Longest request body that is read, in bytes."""
FORM_FIELD_COUNT_MAX: Final = 10
PAGE_SIZE_DEFAULT: Final = 10
FEE_STATS_LEDGERS: Final = 5
"""How many of the newest ledgers `/fee_stats` looks at."""
FORM_TYPE: Final = "application/x-www-form-urlencoded"
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NUMBER: Final = re.compile(r"[0-9]{1,19}")


class HalResponse(JSONResponse):
    """A success, with Horizon's content type."""

    media_type = "application/hal+json; charset=utf-8"


class ProblemResponse(JSONResponse):
    """An error, with Horizon's content type."""

    media_type = "application/problem+json; charset=utf-8"


def build(node: Node) -> Starlette:
    """Return the application for a node; it closes the node's store when it stops."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await node.stop()
        node.store.close()

    routes = [
        Route("/", _root),
        Route("/accounts/{account_id}", _account),
        Route("/transactions", _submit, methods=["POST"]),
        Route("/transactions/{tx_id}", _transaction),
        Route("/ledgers", _ledgers),
        Route("/ledgers/{ledger_id}", _ledger),
        Route("/ledgers/{ledger_id}/transactions", _ledger_transactions),
        Route("/fee_stats", _fee_stats),
        Route("/friendbot", _friendbot, methods=["GET", "POST"]),
        Route("/evidence/{tx_id}", _evidence),
    ]
    if node.played:
        routes.append(Route("/admin/time", _set_time, methods=["POST"]))
    handlers: dict[Any, Callable[[Request, Any], Response]] = {
        Problem: _on_problem,
        HTTPException: _on_http_exception,
        Exception: _on_error,
    }
    app = Starlette(routes=routes, exception_handlers=handlers, lifespan=lifespan)
    app.state.node = node
    return app


def _on_problem(_request: Request, problem: Problem) -> Response:
    return ProblemResponse(problem.body(), status_code=problem.status)


def _on_http_exception(request: Request, error: HTTPException) -> Response:
    found = error.status_code == HTTPStatus.METHOD_NOT_ALLOWED
    problem = problems.method_not_allowed() if found else problems.not_found()
    return _on_problem(request, problem)


def _on_error(request: Request, _error: Exception) -> Response:
    return _on_problem(request, problems.internal_error())


async def _root(request: Request) -> Response:
    node = _node(request)
    return HalResponse(records.root(_base(request), node.network, node.last))


async def _account(request: Request) -> Response:
    node = _node(request)
    state = node.account(_key(request.path_params["account_id"], "account_id"))
    if state is None:
        raise problems.not_found()
    changed_in = node.store.ledger(state.modified_ledger)
    assert changed_in is not None, "an account names a ledger that closed"
    return HalResponse(records.account(_base(request), state, changed_in.closed.close_time))


async def _submit(request: Request) -> Response:
    node, form = _node(request), await _form(request)
    text = form.get("tx", "")
    if not text:
        raise problems.bad_request("tx", "The form field is missing or empty.")
    try:
        outcome = await node.submit(text)
    except EnvelopeMalformed as error:
        raise problems.transaction_malformed(text, str(error)) from error
    except TryAgainLater as error:
        raise problems.server_over_capacity(str(error)) from error
    return _outcome(request, outcome)


async def _friendbot(request: Request) -> Response:
    address = request.query_params.get("addr")
    if address is None and request.method == "POST":
        address = (await _form(request)).get("addr")
    key = _key(address or "", "addr")
    try:
        outcome = await _node(request).fund(key)
    except TryAgainLater as error:
        raise problems.server_over_capacity(str(error)) from error
    return _outcome(request, outcome)


async def _transaction(request: Request) -> Response:
    stored = _stored_transaction(request)
    return HalResponse(records.transaction(_base(request), stored, _node(request).network))


async def _ledgers(request: Request) -> Response:
    base, query = _base(request), _page_query(request)
    found = _node(request).store.ledgers(
        after=records.ledger_of(int(query["cursor"])) if query["cursor"] else None,
        limit=int(query["limit"]),
        descending=query["order"] == "desc",
    )
    page = [records.ledger(base, each) for each in found]
    return HalResponse(records.page(base, "ledgers", page, query))


async def _ledger(request: Request) -> Response:
    stored = _node(request).store.ledger(_ledger_sequence(request))
    if stored is None:
        raise problems.not_found()
    return HalResponse(records.ledger(_base(request), stored))


async def _ledger_transactions(request: Request) -> Response:
    node, base, query = _node(request), _base(request), _page_query(request)
    sequence = _ledger_sequence(request)
    if node.store.ledger(sequence) is None:
        raise problems.not_found()
    found = node.store.ledger_transactions(
        sequence,
        after=records.position_of(int(query["cursor"])) if query["cursor"] else None,
        limit=int(query["limit"]),
        descending=query["order"] == "desc",
    )
    page = [records.transaction(base, each, node.network) for each in found]
    return HalResponse(records.page(base, f"ledgers/{sequence}/transactions", page, query))


async def _fee_stats(request: Request) -> Response:
    node = _node(request)
    last = node.store.ledger(node.last.sequence)
    assert last is not None, "the last ledger is kept"
    bids = node.store.bids(from_ledger=node.last.sequence - FEE_STATS_LEDGERS + 1)
    return HalResponse(records.fee_stats(last, bids))


async def _evidence(request: Request) -> Response:
    """Give envelope, result set and header of a transaction: all that its proof needs."""
    node, stored = _node(request), _stored_transaction(request)
    ledger = node.store.ledger(stored.ledger)
    assert ledger is not None, "a transaction names a ledger that closed"
    body = {
        "ledger": stored.ledger,
        "envelope_xdr": records.as_base64(stored.envelope),
        "result_set_xdr": records.as_base64(ledger.result_set),
        "header_xdr": ledger.closed.header.to_xdr(),
        "network_passphrase": node.network.passphrase,
    }
    return JSONResponse(body)


async def _set_time(request: Request) -> Response:
    """Set the played time. Only for callers on this machine."""
    client = request.client
    if client is None or not _is_loopback(client.host):
        raise problems.not_found()
    if _media_type(request) != "application/json":
        raise problems.unsupported_media_type("application/json")
    node, closed_at = _node(request), _instant(await _body(request))
    try:
        node.set_played_time(closed_at)
    except ValueError as error:
        raise problems.bad_request("closed_at", str(error)) from error
    except TimeRunsBackwards as error:
        raise problems.time_runs_backwards() from error
    upcoming = node.next_close_time()
    return JSONResponse({"closed_at": closed_at, "next_closed_at": records.as_text(upcoming)})


def _outcome(request: Request, outcome: StoredTransaction | Refused) -> Response:
    """Answer a submission: the record when it succeeded, else the problem with its codes."""
    if isinstance(outcome, Refused):
        envelope = records.as_base64(outcome.frame.envelope_bytes)
        raise problems.transaction_failed(envelope, outcome.result)
    result = xdr.TransactionResult.from_xdr_bytes(outcome.result)
    if result.result.code is not TxCode.txSUCCESS:
        raise problems.transaction_failed(records.as_base64(outcome.envelope), result)
    network = _node(request).network
    return HalResponse(records.transaction(_base(request), outcome, network))


def _node(request: Request) -> Node:
    node = request.app.state.node
    assert isinstance(node, Node), "build() put it there"
    return node


def _base(request: Request) -> str:
    return str(request.base_url)


def _stored_transaction(request: Request) -> StoredTransaction:
    name = request.path_params["tx_id"]
    if _HASH.fullmatch(name) is None:
        raise problems.bad_request("tx_id", "A transaction hash has 64 lower-case hex digits.")
    stored = _node(request).store.transaction(bytes.fromhex(name))
    if stored is None:
        raise problems.not_found()
    return stored


def _ledger_sequence(request: Request) -> int:
    text = request.path_params["ledger_id"]
    if _NUMBER.fullmatch(text) is None or int(text) > INT64_MAX:
        raise problems.bad_request("ledger_id", "A ledger is named by its number.")
    return int(text)


def _key(address: str, field: str) -> bytes:
    if not StrKey.is_valid_ed25519_public_key(address):
        raise problems.bad_request(field, "An account is named by its address, G and 55 more.")
    return StrKey.decode_ed25519_public_key(address)


def _page_query(request: Request) -> dict[str, str]:
    """Return cursor, limit and order, checked; cursor may be empty, and `now` is the end."""
    query = request.query_params
    cursor, order = query.get("cursor", ""), query.get("order", "asc")
    cursor = str(INT64_MAX) if cursor == "now" else cursor
    limit = query.get("limit", str(PAGE_SIZE_DEFAULT))
    if cursor and (_NUMBER.fullmatch(cursor) is None or int(cursor) > INT64_MAX):
        raise problems.bad_request("cursor", "A cursor is the paging token of a record.")
    if order not in {"asc", "desc"}:
        raise problems.bad_request("order", "The order is asc or desc.")
    if _NUMBER.fullmatch(limit) is None or not 1 <= int(limit) <= PAGE_SIZE_MAX:
        raise problems.bad_request("limit", f"The limit is 1 to {PAGE_SIZE_MAX}.")
    return {"cursor": cursor, "limit": limit, "order": order}


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def _form(request: Request) -> dict[str, str]:
    """Return the fields of a form, each once."""
    if _media_type(request) not in {FORM_TYPE, ""}:
        raise problems.unsupported_media_type(FORM_TYPE)
    body = await _body(request)
    try:
        return dict(parse_qsl(body.decode(), max_num_fields=FORM_FIELD_COUNT_MAX))
    except ValueError as error:
        raise problems.bad_request("body", "The body is not a form.") from error


async def _body(request: Request) -> bytes:
    """Read the body, but not more than is allowed."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_SIZE_MAX:
            raise problems.payload_too_large(BODY_SIZE_MAX)
    return bytes(body)


def _instant(body: bytes) -> int:
    """Return `closed_at` of a JSON body: Unix seconds, or RFC 3339 with an offset."""
    try:
        value = json.loads(body)["closed_at"]
        if isinstance(value, str):
            instant = datetime.fromisoformat(value)
            if instant.tzinfo is None or instant.microsecond:
                raise problems.bad_request("closed_at", "An offset and whole seconds are needed.")
            return int(instant.timestamp())
    except (ValueError, KeyError, TypeError) as error:
        reason = "The body is JSON with Unix seconds or RFC 3339 under closed_at."
        raise problems.bad_request("closed_at", reason) from error
    if not isinstance(value, int) or isinstance(value, bool):
        raise problems.bad_request("closed_at", "Unix seconds are a whole number.")
    return value


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
