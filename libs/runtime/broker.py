"""One connection to NATS: waits at start, reconnects for ever, ends the process if closed for good.

The settings of the client are those that survived the tests of `docs/eventing.md`, section 8:
nats-py by itself gives up after two minutes and then leaves a service that looks alive.
"""

import asyncio
import contextlib
from collections import deque
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from typing_extensions import override

from libs.eventstore.natspy import TappedClient
from libs.runtime.failures import Transient
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from libs.runtime.settings import SharedSettings

PING_EVERY_S: Final = 20
"""Seconds between two pings; a link counts as dead after three that were not answered."""

RECONNECT_WAIT_S: Final = 1
"""Seconds between two attempts to reconnect to the same server."""

DRAIN_TIMEOUT_S: Final = 2
"""Seconds in which a connection that is closed sends what was published."""

REASONS_MAX: Final = 3
"""How many different reasons are remembered while there is no connection."""

_log = get_logger(__name__)


class _Client(TappedClient):
    """A client that knows whether it was closed by us."""

    wanted = True
    """False from the moment its owner closes it."""

    @override
    async def close(self) -> None:
        """Close, on purpose."""
        self.wanted = False
        await super().close()

    @override
    async def drain(self) -> None:
        """Drain and close, on purpose."""
        self.wanted = False
        await super().drain()


class _Watch:
    """Reports on `health` what happens to one connection."""

    def __init__(self, client: _Client, health: Health, part: str) -> None:
        self._client = client
        self._health = health
        self._part = part
        self._reasons: deque[str] = deque(maxlen=REASONS_MAX)

    @property
    def reasons(self) -> str:
        """What went wrong since the last success, each thing once, the latest last."""
        return "; ".join(self._reasons) or "no answer"

    def connected(self) -> None:
        url = self._client.connected_url
        self._reasons.clear()
        self._health.set(
            self._part, ok=True, detail=url.netloc.rpartition("@")[2] if url is not None else ""
        )

    async def on_error(self, error: Exception) -> None:
        reason = str(error) or type(error).__name__
        if self._client.wanted and reason not in self._reasons:
            self._reasons.append(reason)
            _log.warning("nats-error", part=self._part, reason=reason)

    async def on_disconnected(self) -> None:
        self._health.set(self._part, ok=False, detail="disconnected")
        if self._client.wanted:
            _log.warning("nats-disconnected", part=self._part)

    async def on_reconnected(self) -> None:
        self.connected()
        _log.info("nats-reconnected", part=self._part)

    async def on_closed(self) -> None:
        self._health.set(self._part, ok=False, detail="closed")
        if self._client.wanted:
            _log.error("nats-closed", part=self._part, reason=self.reasons)
            self._health.give_up(
                Transient("nats-closed", f"NATS closed the connection: {self.reasons}.")
            )


async def connect(settings: SharedSettings, health: Health, *, part: str = "nats") -> TappedClient:
    """Connect to NATS as the service's user.

    While the connection is interrupted the part is out of order on `health`; when it closes for
    good without having been asked to, `health.give_up` ends the process. Closing it is the
    caller's business: `await disconnect(client)` when the service stops.

    Args:
        settings: Where NATS is, who we are, and how long to wait at start.
        health: Told how the connection is.
        part: The connection's name on `health` and, after the service's, at NATS.

    Returns:
        A connected client.

    Raises:
        Transient: NATS was not reached, or did not let us in, within `start_timeout_s`.
    """
    client = _Client()
    watch = _Watch(client, health, part)
    health.set(part, ok=False, detail="connecting")
    password = settings.nats_password
    try:
        async with asyncio.timeout(settings.start_timeout_s):
            await client.connect(
                settings.nats_url.split(","),
                name=f"heliograph-{settings.service or 'client'}-{part}",
                user=settings.nats_user,
                password=password.get_secret_value() if password is not None else None,
                error_cb=watch.on_error,
                disconnected_cb=watch.on_disconnected,
                reconnected_cb=watch.on_reconnected,
                closed_cb=watch.on_closed,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_S,
                ping_interval=PING_EVERY_S,
                max_outstanding_pings=3,
            )
    except TimeoutError:
        await client.close()
        raise Transient(
            "nats-unreachable",
            f"{settings.nats_url} not reached in {settings.start_timeout_s:g} s: {watch.reasons}.",
        ) from None
    except BaseException:
        await client.close()
        raise
    watch.connected()
    return client


async def disconnect(client: Client) -> None:
    """Close a connection, in whatever state it is; what was published is sent first, if it can be.

    Args:
        client: From `connect`; closed already does no harm.
    """
    with contextlib.suppress(NatsError, OSError):
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            await client.drain()
    with contextlib.suppress(NatsError, OSError):  # it flushes, though nobody may be there
        await client.close()


async def request(client: Client, subject: str, data: bytes, timeout_s: float) -> Msg:
    """Ask and wait for the answer, from a loop that may be cancelled.

    Args:
        client: Connected.
        subject: Who is asked.
        data: What is asked.
        timeout_s: Seconds that the answer may take.

    Raises:
        NatsError, OSError: There was none.
        CancelledError: Also when the answer came in the same moment. The client waits by
            `asyncio.wait_for`, which in Python 3.11 then forgets that it was cancelled: a loop
            around it would go on for ever in a process that ends.
    """
    try:
        return await client.request(subject, data, timeout=timeout_s)
    finally:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
