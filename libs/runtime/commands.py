"""How a service answers commands: one request, one answer, always.

A request on `commands.<service>.<book>` carries a compact JWS as bytes; the answer is JSON as
bytes. A handler that raises is answered by the problem document of its failure class. An error that
must end the process (a bug, a fence) is answered first and raised then.

Only requests whose reply subject is an inbox are handled. Any other reply subject could be one that
a stream listens on: the answer would be stored there as if it were a fact.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError

from libs.runtime.broker import connect, disconnect
from libs.runtime.failures import (
    HANDLING,
    BrokenLaw,
    Delivery,
    Transient,
    classify,
    problem_document,
)
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from libs.runtime.settings import SharedSettings
from libs.runtime.telemetry import Histogram, extract_context, span

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

REPLY_PREFIXES: Final = ("_INBOX.", "_R_.")
"""What a reply subject must begin with: an inbox, or the rewritten one of an imported service."""

BUSY: Final = Transient("busy", "Too many commands are under way. Send it again.", retry_after_s=1)
"""What is said where no more commands may be under way."""

STOPPING: Final = Transient(
    "stopping", "The service is stopping. Send the same command again, with the same id."
)
"""What is said by a service that ends."""

Handle = Callable[[bytes, Mapping[str, str]], Awaitable[bytes]]
"""Answers one command: the request's bytes and headers in, the answer's bytes out."""


_log = get_logger(__name__)
duration = Histogram(
    "heliograph.command.duration", unit="s", description="From a command's arrival to its answer"
)
"""The one distribution that both ways of serving add to."""


def command_subject(service: str, book: str) -> str:
    """Return the subject on which a service takes the commands for a book."""
    return f"commands.{service}.{book}"


def problem_bytes(error: BaseException) -> bytes:
    """Return the problem document of an error as compact JSON in UTF-8."""
    document = problem_document(error)
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def count_ignored(health: Health, subject: str, reply: str) -> None:
    """Count a request that may not be answered."""
    health.count("commands-ignored")
    if health.counters["commands-ignored"] == 1:  # the counter tells the rest
        _log.warning("command-ignored", subject=subject, reply=reply[:64])


def too_large(answer: bytes) -> BrokenLaw:
    """The bug of an answer that can never be sent."""
    return BrokenLaw("answer-too-large", f"An answer has {len(answer)} bytes.")


async def serve_commands_faststream(
    settings: SharedSettings,
    subject: str,
    handle: Handle,
    *,
    health: Health,
    stop: asyncio.Event,
) -> None:
    """Answer commands by a FastStream subscriber, one after the other: off the hot path.

    FastStream wires and parses; connecting, answering and ending stay ours, because it would drop
    an invalid request without an answer, decode by content type, and not end a process whose
    connection is gone (`docs/eventing.md`, section 8).

    Args:
        settings: Where NATS is and who we are. The connection is this function's own.
        subject: See `command_subject`.
        handle: Answers one command.
        health: Told of a part named by the subject, and what is counted.
        stop: When set, no further command is taken; the one under way is still answered.

    Raises:
        Transient: NATS was not reached in time.
        Exception: The error of a handler that must end the process.
    """
    connections: list[Client] = []

    async def take_connection() -> "Client":
        connections.append(await connect(settings, health, part=subject))
        return connections[0]

    async def publish(reply: str, answer: bytes) -> None:
        await connections[0].publish(reply, answer)

    async def on_command(message: Any) -> None:
        await desk.serve_in_turn(message.raw_message, stop)

    desk = _Desk(handle, health, publish)
    broker = _faststream_broker(take_connection, settings.stop_timeout_s)
    subscriber = broker.subscriber(subject, no_reply=True)
    subscriber(on_command)
    try:
        await broker.start()
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        fatal: asyncio.Future[Any] = desk.fatal
        await asyncio.wait({stopping, fatal}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
    finally:
        health.set(subject, ok=False, detail="stopped")
        try:
            await _stop_faststream(broker, subscriber, settings.stop_timeout_s)
        finally:
            for connection in connections:
                await disconnect(connection)
    if desk.fatal.done():
        raise desk.fatal.result()


def _faststream_broker(take_connection: Callable[[], Awaitable["Client"]], timeout_s: float) -> Any:
    """Make a FastStream broker that uses our connection and hands over whole messages."""
    from faststream.nats import NatsBroker  # noqa: PLC0415 - only this path needs it

    class Broker(NatsBroker):
        async def _connect(self) -> "Client":
            connection = await take_connection()
            self.config.connect(connection)
            return connection

    return Broker(apply_types=False, decoder=_undecoded, logger=None, graceful_timeout=timeout_s)


async def _stop_faststream(broker: Any, subscriber: Any, timeout_s: float) -> None:
    """Let every command that has come be answered, then stop the broker."""
    subscription = subscriber.subscription
    if subscription is not None and broker.connection.is_connected:
        with contextlib.suppress(NatsError, OSError):  # OSError includes the deadline
            async with asyncio.timeout(timeout_s):
                await subscription.drain()
        subscriber.subscription = None  # or FastStream would unsubscribe again and fail
    try:
        await broker.stop()
    except* (NatsError, OSError):
        _log.info("broker-stop-incomplete")  # as when it is just reconnecting


async def _undecoded(message: Any) -> Any:
    """Hand the whole message to the handler, whatever its content type claims."""
    return message


class _Desk:
    """Takes requests one after the other and answers them."""

    def __init__(
        self, handle: Handle, health: Health, publish: Callable[[str, bytes], Awaitable[None]]
    ) -> None:
        self.fatal: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._handle = handle
        self._health = health
        self._publish = publish  # `Msg.respond` would send the request's headers back

    def may_answer(self, message: "Msg") -> bool:
        """Tell whether an answer can harm nobody."""
        if message.reply.startswith(REPLY_PREFIXES):
            return True
        count_ignored(self._health, message.subject, message.reply)
        return False

    async def refuse(self, message: "Msg", why: Transient) -> None:
        """Answer at once, without handling."""
        self._health.count(f"commands-{why.code}")
        await self._respond(message, problem_bytes(why))

    async def serve_in_turn(self, message: "Msg", stop: asyncio.Event) -> None:
        """Take, handle and answer one request; what must end the process is kept in `fatal`."""
        if not self.may_answer(message):
            return
        if stop.is_set() or self.fatal.done():
            await self.refuse(message, STOPPING)
            return
        with contextlib.suppress(Exception):  # FastStream would swallow it; `fatal` has it
            await self.serve(message)

    async def serve(self, message: "Msg") -> None:
        """Handle and answer one request; raise what must end the process, once it is answered."""
        began = time.monotonic()
        fatal: Exception | None = None
        try:
            with span(
                "command",
                kind="server",
                parent=extract_context(message.headers),
                subject=message.subject,
            ):
                answer = await self._handle(message.data, message.headers or {})
                assert isinstance(answer, bytes), "a handler answers with bytes"
            self._health.count("commands-answered")
        except asyncio.CancelledError:
            await self._respond(message, problem_bytes(STOPPING))
            raise
        except Exception as error:  # noqa: BLE001 - every failure is answered
            failure = classify(error)
            self._health.count(f"commands-{failure.value}")
            answer = problem_bytes(error)
            if HANDLING[failure].delivery is Delivery.EXIT:
                fatal = error
        fatal = await self._respond(message, answer) or fatal
        duration.record(time.monotonic() - began)
        if fatal is not None:
            if not self.fatal.done():
                self.fatal.set_result(fatal)
            raise fatal

    async def _respond(self, message: "Msg", answer: bytes) -> Exception | None:
        """Send the answer; return the error if it was one that can never be sent."""
        try:
            await self._publish(message.reply, answer)
        except MaxPayloadError:
            error = too_large(answer)
            await self._publish(message.reply, problem_bytes(error))
            return error
        except (NatsError, OSError) as error:
            self._health.count("commands-answer-lost")
            _log.warning("answer-lost", subject=message.subject, reason=str(error))
        return None
