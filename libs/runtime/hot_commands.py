"""The hot path of commands: from the parser of the connection to the desk and back, many at once.

The same contract as in `libs.runtime.commands`, without a task, a future or a span for each:
requests are handed over as many at once as have come meanwhile, and answers are written in one go.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nats.errors import Error as NatsError

from libs.eventstore.natspy import TappedClient
from libs.eventstore.wire import parse_headers
from libs.runtime.commands import (
    BUSY,
    REPLY_PREFIXES,
    STOPPING,
    count_ignored,
    duration,
    problem_bytes,
    too_large,
)
from libs.runtime.failures import HANDLING, Delivery, Transient, classify
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from libs.runtime.telemetry import is_on

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

PENDING_MAX: Final = 10_000
"""How many commands may be under way at once, unless told otherwise."""

TAKEN_MAX: Final = 500
"""How many commands are handed over at once."""

UNSUBSCRIBE_TIMEOUT_S: Final = 1.0
"""Seconds in which the server has to confirm that it sends no more commands."""

_REPLY_PREFIXES: Final = tuple(prefix.encode("ascii") for prefix in REPLY_PREFIXES)

_log = get_logger(__name__)


@dataclass(slots=True, eq=False)  # frozen, it would take three times as long to make
class Request:
    """A command that waits for its answer; nobody changes it."""

    data: bytes
    """The request's bytes."""
    head: bytes | None = None
    """Its block of headers as it came; None or empty without."""
    reply: bytes = b""
    """Where the answer goes."""
    began_s: float = 0.0
    """When it came, on the monotonic clock."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers, taken apart when somebody asks."""
        return parse_headers(self.head) if self.head else {}


Deliver = Callable[[Sequence[tuple[Request, bytes | Exception]]], None]
"""Answers commands that were handed over: with bytes, or the problem document of an error."""

Take = Callable[[Sequence[Request], Deliver], Awaitable[None]]
"""Takes commands in the order of arrival, and returns when it can take more; each is delivered
once, then or later. What it raises itself answers all that it was handed."""


async def serve_commands_plain(
    client: TappedClient,
    subject: str,
    take: Take,
    *,
    health: Health,
    stop: asyncio.Event,
    max_pending: int = PENDING_MAX,
) -> None:
    """Answer commands from a tapped subscription: the hot path.

    Commands are handed over in the order of arrival, as many at once as have come meanwhile; there
    is no task, future or span for each.

    Args:
        client: Connected, and ours to write answers with; see `broker.connect`.
        subject: See `command_subject`.
        take: Takes commands, and answers them.
        health: Told of a part named by the subject, and what is counted.
        stop: When set, no further command is taken; those under way are still answered.
        max_pending: How many commands may be under way, 1 or more. The next one is answered at
            once by a `transient` problem with code `busy`.

    Raises:
        ExceptionGroup: With the error that must end the process.
    """
    gate = _Gate(client, health, stop, max_pending)
    subscription = await client.tap(subject, gate.on_message)
    await client.flush()
    health.set(subject, ok=True, detail="taking commands")
    try:
        async with asyncio.TaskGroup() as group:
            closing = group.create_task(gate.close_on_stop(subscription))
            try:
                await gate.work(take)
            finally:
                closing.cancel()
    finally:
        health.set(subject, ok=False, detail="stopped")
        await _unsubscribe(subscription)
        gate.refuse_rest()


async def _unsubscribe(subscription: "Subscription") -> None:
    """Let the server send no more commands; all it has sent are tapped when this returns."""
    with contextlib.suppress(NatsError, OSError):  # OSError includes the deadline
        async with asyncio.timeout(UNSUBSCRIBE_TIMEOUT_S):
            await subscription.drain()  # type: ignore[no-untyped-call]


class _Gate:
    """The hot path's side of the connection: requests in, answers out."""

    def __init__(
        self, client: TappedClient, health: Health, stop: asyncio.Event, max_pending: int
    ) -> None:
        self._client, self._health, self._stop = client, health, stop
        self._max_pending = max_pending
        self._arrived: list[Request] = []
        self._open: set[Request] = set()
        self._out: list[bytes] = []
        self._moved = asyncio.Event()
        self._closed = False
        self._fatal: Exception | None = None

    def on_message(self, subject: bytes, reply: bytes, data: bytes, head: bytes | None) -> None:
        """Put one request into the queue; called by the parser, so it neither waits nor raises."""
        if not reply.startswith(_REPLY_PREFIXES):
            count_ignored(self._health, subject.decode("utf-8", "replace"), reply.decode("latin-1"))
        elif self._stop.is_set() or self._fatal is not None:
            self._refuse(reply, STOPPING)
        elif len(self._open) >= self._max_pending:
            self._refuse(reply, BUSY)
        else:
            request = Request(data, head, reply, time.monotonic())
            self._open.add(request)
            self._arrived.append(request)
            self._moved.set()

    def _refuse(self, reply: bytes, why: Transient) -> None:
        """Answer without handling; what is refused in one pass of the loop is written in one go."""
        self._health.count(f"commands-{why.code}")
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(_frame(reply, problem_bytes(why)))

    async def work(self, take: Take) -> None:
        """Hand commands over until the stop, and until all are answered.

        Raises:
            Exception: What must end the process.
        """
        while self._fatal is None and (self._open or not self._closed):
            if not self._arrived:
                self._moved.clear()
                await self._moved.wait()
                continue
            taken, self._arrived = self._arrived[:TAKEN_MAX], self._arrived[TAKEN_MAX:]
            try:
                await take(taken, self.deliver)
            except Exception as error:  # noqa: BLE001 - every failure is answered
                self.deliver([(request, error) for request in taken])
        if self._fatal is not None:
            raise self._fatal

    async def close_on_stop(self, subscription: "Subscription") -> None:
        """Wait for the stop, then let no further command come."""
        await self._stop.wait()
        await _unsubscribe(subscription)
        self._closed = True
        self._moved.set()

    def deliver(self, answers: Sequence[tuple[Request, bytes | Exception]]) -> None:
        """Write answers in one go; see `Deliver`."""
        size_max, answered = self._client.max_payload, 0
        for request, answer in answers:
            if request not in self._open:
                continue  # it was refused by the stop already
            self._open.discard(request)
            if isinstance(answer, bytes) and len(answer) <= size_max:
                answered += 1
                self._out.append(_frame(request.reply, answer))
            else:
                self._out.append(_frame(request.reply, self._problem(answer)))
        if answered:
            self._health.count("commands-answered", answered)
        if is_on():
            now = time.monotonic()
            for request, _ in answers:
                duration.record(now - request.began_s)
        self._flush()
        if self._fatal is not None or not self._open:
            self._moved.set()

    def _problem(self, answer: object) -> bytes:
        """The answer that tells of an error; the first that must end the process is kept."""
        error: Exception = AssertionError("a handler answers with bytes")
        if isinstance(answer, bytes):
            error = too_large(answer)
        elif isinstance(answer, Exception):
            error = answer
        failure = classify(error)
        self._health.count(f"commands-{failure.value}")
        if HANDLING[failure].delivery is Delivery.EXIT:
            self._fatal = self._fatal or error
        return problem_bytes(error)

    def refuse_rest(self) -> None:
        """Tell everybody who still waits to come again."""
        self._out += [_frame(request.reply, problem_bytes(STOPPING)) for request in self._open]
        self._open.clear()
        self._flush()

    def _flush(self) -> None:
        block, count = b"".join(self._out), len(self._out)
        self._out.clear()
        if block and not self._client.write_now(block):
            self._health.count("commands-answer-lost", count)
            _log.warning("answer-lost", count=count, reason="the connection is away")


def _frame(reply: bytes, answer: bytes) -> bytes:
    """One answer as the protocol writes it; the reply subject has come as one token of it."""
    return b"PUB %b %d\r\n%b\r\n" % (reply, len(answer), answer)
