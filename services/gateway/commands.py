"""Passing signed commands on: the gateway reads only for whom they are, and judges nothing.

The deciding service verifies the signature; a command that was changed on the way is refused there.
"""

import asyncio
import json
from collections.abc import Awaitable, Collection
from dataclasses import dataclass
from typing import Any, Final

from nats.aio.client import Client
from nats.aio.msg import Msg
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
    NotFound,
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

REGISTER: Final = "register"
"""The ledger's book of members."""

OF_BOOKS: Final = {"ledger": frozenset({REGISTER}), "billing": frozenset[str]()}
"""Services that decide for the books of the installation, and which others each takes."""

ASK_AGAIN_S: Final = 3.0
"""Seconds without answer after which the command is sent again: a standby may have taken over."""

AWAY_S: Final = 3.0
"""Seconds for which a service that nobody serves is asked again, before the caller is told."""

PAUSE_S: Final = 0.2
"""Seconds before a service is asked again that is away, or that said that it ends."""

ENDING: Final = frozenset({"writer-stopped", "stopping", "fenced"})
"""Codes of a process that ends: its successor answers the same command."""

AWAY: Final = "service-away"
"""Code that tells that nobody serves."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Where commands are passed on."""

    client: Client
    """Connected as the gateway."""
    books: Collection[str]
    """All books of the installation."""
    timeout_s: float
    """Seconds that a service has to answer, however often it is asked."""


def check_book(book: str, books: Collection[str]) -> None:
    """Check that the installation has a book.

    Args:
        book: What was asked for.
        books: All that the service in question takes.

    Raises:
        NotFound: It has not.
    """
    if book not in books:
        known = ", ".join(sorted(books))
        raise NotFound("unknown-book", f"There is no such book here, only {known}.", field="book")


def route(message: bytes, books: Collection[str]) -> str:
    """Read the unverified claims that name the subject of a command.

    Args:
        message: A compact JWS of type `hg-command+jws`.
        books: All books of the installation.

    Returns:
        The subject, such as `commands.ledger.pilot`.

    Raises:
        Poison: It is no command.
        Refused: It names no service or book.
        NotFound: It names a book that the installation does not have.
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
    if service in OF_BOOKS:
        check_book(book, OF_BOOKS[service].union(books))
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


async def forward(desk: Desk, message: bytes) -> Response:
    """Pass a command on and its answer back.

    Args:
        desk: Where to.
        message: The signed command, unchanged.

    Returns:
        200 with the service's JSON, or the service's problem with its status.

    Raises:
        Transient, Poison, Refused, NotFound: As `ask`, but for what the service itself refused.
    """
    data = await _request(desk, message)
    document = _read(data)
    if not is_problem(document):
        return Response(data, 200, media_type="application/json")
    told = problem(from_problem(document))
    headers = {"Retry-After": told.headers["Retry-After"]} if "Retry-After" in told.headers else {}
    return Response(data, told.status_code, headers, media_type=PROBLEM_CONTENT_TYPE)


async def ask(desk: Desk, message: bytes) -> dict[str, Any]:
    """Pass a command on and read the service's answer.

    Args:
        desk: Where to.
        message: The signed command, unchanged.

    Returns:
        What the service answered to an accepted command.

    Raises:
        Transient: Nobody answered in time. The command may have been carried out; sending it again
            with the same id is always right.
        Poison: It is no command.
        Refused: It names no service or book.
        NotFound: It names a book that the installation does not have.
        HeliographError: What the service answered.
    """
    document = _read(await _request(desk, message))
    if is_problem(document):
        raise from_problem(document)
    return document


async def _request(desk: Desk, message: bytes) -> bytes:
    subject = route(message, desk.books)
    asking = _Asking(desk, subject, message)
    try:
        return await asking.answer()
    finally:
        asking.close()


class _Asking:
    """One command on its way: sent again while nobody answers; whichever answer comes first counts.

    A process that hangs or ends is replaced by its standby, which answers the same command; the
    command's id makes sure that it is carried out once.
    """

    def __init__(self, desk: Desk, subject: str, message: bytes) -> None:
        self._desk, self._subject, self._message = desk, subject, message
        self._clock = asyncio.get_running_loop().time
        self._deadline = self._clock() + desk.timeout_s
        self._sent: set[asyncio.Task[bytes | Transient]] = set()
        self._away_since: float | None = None
        self._ending: bytes | None = None

    async def answer(self) -> bytes:
        """Give the first answer that is for good, or the last of a process that ended.

        Raises:
            Transient: There was none in time.
        """
        while (left_s := self._deadline - self._clock()) > 0:
            self._send(left_s)
            done, _ = await asyncio.wait(
                self._sent, timeout=min(ASK_AGAIN_S, left_s), return_when=asyncio.FIRST_COMPLETED
            )
            self._sent -= done
            if (found := self._judge([one.result() for one in done])) is not None:
                return found
            if done:
                await asyncio.sleep(min(PAUSE_S, max(0.0, self._deadline - self._clock())))
        if self._ending is not None:
            return self._ending
        raise _no_answer() if self._away_since is None else _away()

    def close(self) -> None:
        """Forget what is still on its way."""
        for one in self._sent:
            one.cancel()

    def _send(self, left_s: float) -> None:
        request = self._desk.client.request(self._subject, self._message, timeout=left_s)
        self._sent.add(asyncio.create_task(_data_of(request)))

    def _judge(self, results: list[bytes | Transient]) -> bytes | None:
        """Give an answer that is for good, if there is one.

        Raises:
            Transient: None will come.
        """
        for data in results:
            if isinstance(data, bytes):
                if not _is_ending(data):
                    return data
                self._ending, self._away_since = data, None
        for error in results:
            if isinstance(error, Transient) and self._is_lost(error):
                raise error
        return None

    def _is_lost(self, error: Transient) -> bool:
        """Tell whether asking again is of no use; a request that somebody took is waited for."""
        if error.code != AWAY:
            return True
        now = self._clock()
        self._away_since = now if self._away_since is None else self._away_since
        return not self._sent and now - self._away_since >= AWAY_S


async def _data_of(request: Awaitable[Msg]) -> bytes | Transient:
    """Give an answer, or what kept it away: of several questions only one is told to the caller."""
    try:
        return (await request).data
    except NoRespondersError:
        return _away()
    except (NatsError, TimeoutError, OSError):
        return _no_answer()


def _away() -> Transient:
    return Transient(AWAY, "The service for this command is away. Send the same command again.")


def _no_answer() -> Transient:
    return Transient(
        "no-answer",
        "No answer came in time; the command may have been carried out. Send the same command "
        "again, with the same id.",
    )


def _is_ending(data: bytes) -> bool:
    try:
        document = _read(data)
    except Transient:
        return False
    return is_problem(document) and document.get("code") in ENDING


def _read(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Transient("bad-answer", "The service's answer cannot be read.") from error
    if not isinstance(document, dict):
        raise Transient("bad-answer", "The service's answer cannot be read.")
    return document
