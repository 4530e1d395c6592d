"""One connection to NATS: requests with clear outcomes, and what happens when it breaks.

nats-py keeps silent about much: a forbidden publish, a lost answer, a connection that is closed for
good. Here every request ends in an answer or in one of four exceptions.
"""

import asyncio
import json
import logging
import re
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Final, Self

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from libs.eventstore.appending import GRACE_S
from libs.eventstore.errors import (
    NotPermitted,
    StoreUnavailable,
    UnexpectedAnswer,
    UnknownStream,
)
from libs.eventstore.natspy import TappedClient
from libs.eventstore.wire import FIRST_ANSWER

RETRY_PAUSE_S: Final = 0.1
"""Seconds between two attempts of a question to the API."""
DENIED_MAX: Final = 100
"""Forbidden subjects that are remembered, the newest."""
TIMEOUTS_MAX: Final = 3
"""Questions in a row without an answer after which the connection is thought dead and made anew."""
TRANSIENT_ERRORS: Final = frozenset({10008, 10009, 10076})
"""Error codes of a server that is starting, electing or has lost its storage."""
NO_STREAMS_HERE: Final = 10039
"""Error code for an account that has no streams: the API is not imported under this prefix."""
NO_STREAM: Final = 10059
"""Error code for a stream that does not exist."""

_LOG: Final = logging.getLogger("heliograph.eventstore")
_QUOTED = re.compile(r'"([^"]*)"')


class NoAnswer(Exception):
    """The answer did not come in time, or the connection was lost while it was awaited."""


class NobodyServes(Exception):
    """The server says that nobody listens on the subject."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to connect and how long to wait."""

    url: str
    """Such as `nats://127.0.0.1:4222`; several with commas between."""
    user: str | None = None
    """Name of the account's user."""
    password: str | None = field(default=None, repr=False)
    """Its password."""
    name: str = "heliograph"
    """Shown by the server's monitoring."""
    api_prefix: str = "$JS.API"
    """`FACTS.API` where the API is imported from another account."""
    inbox_prefix: str = "_INBOX"
    """First tokens of reply subjects."""
    connect_timeout_s: float = 10.0
    """Seconds until a first connection is given up."""
    answer_timeout_s: float = 2.0
    """Seconds to wait for one answer before asking what happened."""
    deadline_s: float = 30.0
    """Seconds after which an outcome is reported as unknown."""
    grace_s: float = GRACE_S
    """Seconds for which what looks like a lasting fault may still be a server that is starting."""
    reconnect_pause_s: float = 0.2
    """Seconds between two attempts to connect again."""
    heartbeat_s: float = 2.0
    """Seconds of silence after which the server shows a reader that it is there."""
    silence_max_s: float = 5.0
    """Seconds without message or heartbeat after which a reader begins anew."""
    session_pulls_max: int = 2_000
    """Requests after which a reader begins anew.

    The server remembers every request that came from another account (0.7 KB each, measured) until
    its inbox is gone.
    """


@dataclass(slots=True, eq=False)
class _Waiter:
    future: asyncio.Future[Msg]
    subjects: Collection[str]


class Link:
    """A connection that reconnects for ever and tells when it is closed for good."""

    def __init__(self, settings: Settings, on_closed: Callable[[str], None] | None) -> None:
        self.settings = settings
        self.client = TappedClient()
        self.epoch = 0
        """Grows whenever the connection is lost or closed."""
        self.listeners: set[Callable[[], None]] = set()
        """Called whenever `epoch` has grown or a subject was forbidden."""
        self.denied: deque[str] = deque(maxlen=DENIED_MAX)
        """Subjects that the server has forbidden, in small letters as nats-py reports them."""
        self._on_closed = on_closed
        self._up = asyncio.Event()
        self._closed_by_us = False
        self._closed_because: str | None = None
        self._last_error = ""
        self._refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiters: dict[str, _Waiter] = {}
        self._number = 0
        self._inbox = ""

    @classmethod
    async def open(cls, settings: Settings, on_closed: Callable[[str], None] | None = None) -> Self:
        """Connect.

        Raises:
            NotPermitted: User or password are wrong.
            StoreUnavailable: No server answered in time.
        """
        link = cls(settings, on_closed)
        connecting = asyncio.ensure_future(link._connect())
        try:
            await asyncio.wait(
                (connecting, link._refused),
                timeout=settings.connect_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if connecting.done():
                connecting.result()
                return link
            link._closed_by_us = True
            if link._refused.done():
                raise NotPermitted(settings.url, link._refused.result())
            raise StoreUnavailable(f"no connection to {settings.url}: {link._last_error}")
        except NatsError as error:
            raise StoreUnavailable(f"no connection to {settings.url}: {error}") from error
        finally:
            if not connecting.done():
                connecting.cancel()
                await asyncio.gather(connecting, return_exceptions=True)
                await link.client.close()

    async def _connect(self) -> None:
        settings = self.settings
        options: dict[str, Any] = {
            "servers": settings.url.split(","),
            "name": settings.name,
            "inbox_prefix": settings.inbox_prefix,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": settings.reconnect_pause_s,
            "ping_interval": 10,
            "max_outstanding_pings": 2,
            "error_cb": self._on_error,
            "disconnected_cb": self._on_down,
            "reconnected_cb": self._on_up,
            "closed_cb": self._on_close,
        }
        if settings.user is not None:
            options |= {"user": settings.user, "password": settings.password}
        await self.client.connect(**options)
        self._inbox = self.client.new_inbox()
        await self.client.subscribe(f"{self._inbox}.>", cb=self._on_answer)
        await self._on_up()

    # What nats-py calls.

    async def _on_error(self, error: Exception) -> None:
        text = str(error) or type(error).__name__
        self._last_error = text
        lowered = text.lower()
        if "authorization violation" in lowered and not self._refused.done():
            self._refused.set_result(text)
        if "permissions violation" not in lowered:
            _LOG.debug("connection-error %s", text)
            return
        _LOG.warning("permission-refused %s", text)
        named = set(_QUOTED.findall(lowered))
        self.denied.extend(named)
        for waiter in tuple(self._waiters.values()):
            hit = next((subject for subject in waiter.subjects if subject.lower() in named), None)
            if hit is None and "for subscription" in lowered:
                hit = f"{self._inbox}.>"
            if hit is not None and not waiter.future.done():
                waiter.future.set_exception(NotPermitted(hit, text))
        for listener in tuple(self.listeners):
            listener()

    async def _on_down(self) -> None:
        self._up.clear()
        self._wake("connection lost")

    async def _on_up(self) -> None:
        self._up.set()

    async def _on_close(self) -> None:
        reason = str(self.client.last_error or self._last_error or "closed")
        self._closed_because = "closed by this process" if self._closed_by_us else reason
        self._up.set()
        self._wake(f"connection closed for good: {self._closed_because}")
        if not self._closed_by_us and self._on_closed is not None:
            self._on_closed(reason)

    def _wake(self, reason: str) -> None:
        self.epoch += 1
        waiting, self._waiters = self._waiters, {}
        for waiter in waiting.values():
            if not waiter.future.done():
                waiter.future.set_exception(NoAnswer(reason))
        for listener in tuple(self.listeners):
            listener()

    async def _on_answer(self, message: Msg) -> None:
        token, _, part = message.subject[len(self._inbox) + 1 :].partition(".")
        waiter = self._waiters.get(token)
        if waiter is None or waiter.future.done():
            return
        if part == FIRST_ANSWER and not message.data and not message.headers:
            return  # The first frame of a batch was taken in; the matter is still open.
        waiter.future.set_result(message)

    # What the store calls.

    @property
    def closed_because(self) -> str | None:
        """Why the connection is closed for good, None while it is not."""
        return self._closed_because

    def now(self) -> float:
        """Give loop time (s)."""
        return asyncio.get_running_loop().time()

    async def up(self, deadline: float) -> None:
        """Wait until connected.

        Args:
            deadline: Loop time (s).

        Raises:
            StoreUnavailable: Closed for good, or still away at the deadline.
        """
        try:
            async with asyncio.timeout_at(deadline):
                await self._up.wait()
        except TimeoutError:
            raise StoreUnavailable(f"not connected: {self._last_error}") from None
        if self._closed_because is not None:
            raise StoreUnavailable(f"connection closed for good: {self._closed_because}")

    def new_reply(self) -> tuple[str, str]:
        """Give a token for `wait` and the reply subject that leads to it."""
        self._number += 1
        token = str(self._number)
        return token, f"{self._inbox}.{token}"

    def expect(self, token: str, subjects: Collection[str]) -> asyncio.Future[Msg]:
        """Begin to wait for an answer to a request on these subjects."""
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._waiters[token] = _Waiter(future, subjects)
        return future

    async def answer(self, token: str, future: asyncio.Future[Msg], timeout_s: float) -> Msg:
        """Wait for the answer.

        Raises:
            NoAnswer: None in time, or the connection was lost.
            NobodyServes: Nobody listens on the subject.
            NotPermitted: The server forbids the subject.
        """
        try:
            async with asyncio.timeout(timeout_s):
                message = await future
        except TimeoutError:
            raise NoAnswer(f"no answer within {timeout_s:.1f} s") from None
        finally:
            self._waiters.pop(token, None)
            if future.done() and not future.cancelled():
                future.exception()  # Seen, whoever left first.
        if message.headers and message.headers.get("Status") == "503":
            raise NobodyServes
        return message

    async def ask(self, subject: str, body: bytes, timeout_s: float) -> Msg:
        """Send one request and wait for its answer; raises as `answer` does."""
        token, reply = self.new_reply()
        future = self.expect(token, (subject,))
        try:
            await self.client.publish(subject, body, reply=f"{reply}.2")
        except NatsError as error:
            self._waiters.pop(token, None)
            future.cancel()
            raise NoAnswer(str(error)) from error
        return await self.answer(token, future, timeout_s)

    async def api(
        self, name: str, stream: str, body: dict[str, Any], deadline: float
    ) -> dict[str, Any]:
        """Ask the JetStream API until it answers.

        Args:
            name: Subject behind the prefix, such as `STREAM.INFO.LEDGER_1`.
            stream: Name of the stream, for errors.
            body: The request.
            deadline: Loop time (s).

        Returns:
            The answer; it may hold an `error` of the API other than the ones below.

        Raises:
            UnknownStream: There is no such stream.
            NotPermitted: Forbidden, or nobody has served the subject for `grace_s`.
            StoreUnavailable: No answer before the deadline.
        """
        subject = f"{self.settings.api_prefix}.{name}"
        request = json.dumps(body).encode() if body else b""
        nobody_since: float | None = None
        timeouts = 0
        while True:
            await self.up(deadline)
            epoch = self.epoch
            try:
                message = await self.ask(subject, request, self.settings.answer_timeout_s)
                answer = parse_answer(subject, message.data)
                if not _is_transient(answer, subject, stream):
                    return answer
                nobody_since, reason = None, str(answer["error"])
            except NoAnswer as error:
                nobody_since, reason = None, str(error)
                timeouts = timeouts + 1 if epoch == self.epoch else 0
                if timeouts >= TIMEOUTS_MAX:
                    # A dead peer shows in no other way until keep-alive does, half a minute later.
                    timeouts = 0
                    await self.client.force_reconnect()
            except NobodyServes:
                nobody_since, reason = nobody_since or self.now(), f"nobody serves {subject}"
                if self.now() - nobody_since > self.settings.grace_s:
                    raise NotPermitted(subject, "nobody serves it for this connection") from None
            if self.now() >= deadline:
                raise StoreUnavailable(f"{subject}: {reason}")
            await asyncio.sleep(RETRY_PAUSE_S)

    async def close(self) -> None:
        """Close for good."""
        self._closed_by_us = True
        await self.client.close()


def parse_answer(subject: str, data: bytes) -> dict[str, Any]:
    """Take apart an answer of the API or to an append.

    Raises:
        UnexpectedAnswer: It is not a JSON object.
    """
    try:
        answer = json.loads(data)
    except ValueError as error:
        raise UnexpectedAnswer(f"{subject} answered {data[:200]!r}") from error
    if not isinstance(answer, dict):
        raise UnexpectedAnswer(f"{subject} answered {data[:200]!r}")
    return answer


def _is_transient(answer: dict[str, Any], subject: str, stream: str) -> bool:
    """Tell whether the same question may be answered later; raise what is certain."""
    code = answer.get("error", {}).get("err_code", 0)
    if code == NO_STREAM:
        raise UnknownStream(stream)
    if code == NO_STREAMS_HERE:
        raise NotPermitted(subject, "this account has no streams")
    return code in TRANSIENT_ERRORS
