"""Passing signed commands on: the gateway reads only for whom they are, and judges nothing.

The deciding service verifies the signature; a command that was changed on the way is refused there.
"""

import json
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from starlette.requests import Request
from starlette.responses import Response

from libs.events.command import COMMANDS
from libs.events.errors import InvalidSignature
from libs.events.ids import is_id
from libs.events.jws import COMMAND_SIZE_MAX, parse, payload_of
from libs.runtime.commands import command_subject
from libs.runtime.failures import (
    PROBLEM_CONTENT_TYPE,
    Poison,
    Refused,
    Transient,
    from_problem,
    is_problem,
)
from services.gateway.problems import problem

CONTENT_TYPE: Final = "application/jose"
"""Content type of a compact JWS. Source: RFC 7515, section 9.2.1."""

SERVICES: Final = frozenset(body.service for body in COMMANDS.values())
"""Services that take commands."""


def route(message: bytes) -> str:
    """Read the unverified claims that name the subject of a command.

    Args:
        message: A compact JWS of type `hg-command+jws`.

    Returns:
        The subject, such as `commands.ledger.pilot`.

    Raises:
        Poison: It is no command.
        Refused: It names no service or book.
    """
    try:
        claims = payload_of(parse(message, "hg-command+jws"))
    except InvalidSignature as error:
        raise Poison("not-a-command", f"The body is no signed command: {error}.") from error
    service, book = claims.get("service"), claims.get("book")
    if not isinstance(service, str) or service not in SERVICES:
        known = ", ".join(sorted(SERVICES))
        raise Refused("unknown-service", f"The service must be one of {known}.", field="service")
    if not isinstance(book, str) or not is_id(book):
        raise Refused("invalid-book", "The book must be an id.", field="book")
    return command_subject(service, book)


async def read_body(request: Request) -> bytes:
    """Read the body of a command.

    Raises:
        Refused: Another content type (415), or more than 160 KiB (413).
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != CONTENT_TYPE:
        raise Refused(
            "wrong-content-type", f"Send the signed command as {CONTENT_TYPE}.", status=415
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > COMMAND_SIZE_MAX:
            raise Refused(
                "too-large", f"A command has at most {COMMAND_SIZE_MAX} bytes.", status=413
            )
    return bytes(body)


async def forward(client: Client, message: bytes, timeout_s: float) -> Response:
    """Pass a command on and its answer back.

    Args:
        client: Connected as the gateway.
        message: The signed command, unchanged.
        timeout_s: Seconds that the service has to answer.

    Returns:
        200 with the service's JSON, or the service's problem with its status.

    Raises:
        Transient, Poison, Refused: As `ask`, but for what the service itself refused.
    """
    data = await _request(client, message, timeout_s)
    document = _read(data)
    if not is_problem(document):
        return Response(data, 200, media_type="application/json")
    told = problem(from_problem(document))
    headers = {"Retry-After": told.headers["Retry-After"]} if "Retry-After" in told.headers else {}
    return Response(data, told.status_code, headers, media_type=PROBLEM_CONTENT_TYPE)


async def ask(client: Client, message: bytes, timeout_s: float) -> dict[str, Any]:
    """Pass a command on and read the service's answer.

    Args:
        client: Connected as the gateway.
        message: The signed command, unchanged.
        timeout_s: Seconds that the service has to answer.

    Returns:
        What the service answered to an accepted command.

    Raises:
        Transient: Nobody answered in time. The command may have been carried out; sending it again
            with the same id is always right.
        Poison: It is no command.
        Refused: It names no service or book.
        HeliographError: What the service answered.
    """
    document = _read(await _request(client, message, timeout_s))
    if is_problem(document):
        raise from_problem(document)
    return document


async def _request(client: Client, message: bytes, timeout_s: float) -> bytes:
    subject = route(message)
    try:
        answer = await client.request(subject, message, timeout=timeout_s)
    except NoRespondersError as error:
        raise Transient(
            "service-away", "The service for this command is away. Send the same command again."
        ) from error
    except (NatsError, TimeoutError, OSError) as error:
        raise Transient(
            "no-answer",
            "No answer came in time; the command may have been carried out. Send the same command "
            "again, with the same id.",
        ) from error
    return answer.data


def _read(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Transient("bad-answer", "The service's answer cannot be read.") from error
    if not isinstance(document, dict):
        raise Transient("bad-answer", "The service's answer cannot be read.")
    return document
