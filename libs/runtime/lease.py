"""Who holds the pen of a stream: so that a second process can stand by, and take over soon.

The holder answers pings on `lease.<service>.<stream>` for as long as its writer makes progress. A
standby pings each second. When twice nobody is there (the holder's connection is gone), or four
times no answer came (it hangs), the standby takes the pen and answers from then on.

This is for liveness alone. What makes sure that two never both append is the expected position of
every append: of two that take the pen at once, one is fenced, ends and comes back as a standby.

Source: eventing contract, section 1 (lease and fence) and section 3 (standbys).
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Final

from nats.errors import Error as NatsError
from nats.errors import NoRespondersError

from libs.runtime.broker import request
from libs.runtime.commands import REPLY_PREFIXES
from libs.runtime.failures import FencedOff
from libs.runtime.health import Health
from libs.runtime.logs import get_logger

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

PING_EVERY_S: Final = 1.0
"""Seconds between two pings, and seconds that the holder has to answer one."""

FIRST_PINGS_S: Final = 0.1
"""Seconds between the first two pings, so that a start with nobody there does not wait."""

ABSENT_TIMES: Final = 2
"""Pings in a row that nobody served, after which the holder counts as gone."""

SILENT_TIMES: Final = 4
"""Pings in a row without an answer, after which the holder counts as hung."""

HOLDER_BYTES: Final = 8
"""Random bytes by which one holder is told from another."""

Standing = Callable[[], int | None]
"""How far the holder's stream is stored, as far as it knows; None while it makes no progress."""

_log = get_logger(__name__)


class _Heard(Enum):
    HELD = "held"
    ABSENT = "absent"
    SILENT = "silent"


class Lease:
    """One process's claim to the pen of one stream."""

    def __init__(self, client: "Client", service: str, stream: str, health: Health) -> None:
        """Prepare; nothing is claimed yet.

        Args:
            client: Connected as the service's user.
            service: The service's name; only its own account knows the subject.
            stream: The stream that is to be written.
            health: Told under `lease <stream>` whether we are `holder` or `standby`.
        """
        self._client, self._health = client, health
        self._stream, self._subject = stream, f"lease.{service}.{stream}"
        self._part = f"lease {stream}"
        self._id = secrets.token_hex(HOLDER_BYTES)
        self._standing: Standing = lambda: None
        self._subscription: Subscription | None = None
        self.standing_by = asyncio.Event()
        """Set once somebody else was found to hold the pen."""

    async def take(
        self, stop: asyncio.Event, standing: Standing, meanwhile: Callable[[], Awaitable[None]]
    ) -> None:
        """Return once the pen is ours, or when asked to stop.

        Args:
            stop: Ends the wait.
            standing: Asked for every answer that we give as the holder.
            meanwhile: Called after each ping as a standby; it keeps the state hot.
        """
        absent = silent = 0
        while not stop.is_set():
            heard = await self._ping()
            if not self._client.is_connected:
                absent = silent = 0  # it says nothing about the holder that we are cut off
            elif heard is _Heard.HELD:
                absent = silent = 0
                self._stand_by()
            elif heard is _Heard.ABSENT:
                absent += 1
            else:
                silent += 1
            if absent >= ABSENT_TIMES or absent + silent >= SILENT_TIMES:
                await self._claim(standing, "gone" if absent else "hung")
                return
            if heard is not _Heard.SILENT or not self._client.is_connected:
                known = self.standing_by.is_set()
                await _pause(stop, PING_EVERY_S if known else FIRST_PINGS_S)
            await meanwhile()

    async def guard(self) -> None:
        """As the holder, look whether another one holds the pen too, for ever.

        Raises:
            FencedOff: Another one does, and is ahead of us, or we hang; so this process wakes up
                late, or lost the draw of two that took the pen at once.
        """
        while True:
            await asyncio.sleep(PING_EVERY_S)
            other = await self._other()
            mine = self._standing()
            if other is not None and (mine is None or other > (mine, self._id)):
                raise FencedOff("fenced", f"another process holds the pen of {self._stream}")

    async def release(self) -> None:
        """Stop answering, so that a standby takes over at once."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(NatsError, OSError):
                await subscription.unsubscribe()
                await self._client.flush()

    def _stand_by(self) -> None:
        if not self.standing_by.is_set():
            self.standing_by.set()
            self._health.set(self._part, ok=True, detail="standby")
            _log.info("lease-standby", stream=self._stream)

    async def _claim(self, standing: Standing, why: str) -> None:
        self._standing = standing
        self._subscription = await self._client.subscribe(self._subject, cb=self._answer)
        await self._client.flush()
        self._health.set(self._part, ok=True, detail="holder")
        _log.info(
            "lease-taken",
            stream=self._stream,
            before=f"the holder was {why}" if self.standing_by.is_set() else "nobody held it",
        )

    async def _answer(self, message: "Msg") -> None:
        """Answer a ping, unless it is our own, or we hang and somebody else should take over."""
        stored = self._standing()
        if stored is None or message.data == self._id.encode():
            return
        if message.reply.startswith(REPLY_PREFIXES):
            with contextlib.suppress(NatsError, OSError):
                body = json.dumps({"stored": stored, "holder": self._id})
                await self._client.publish(message.reply, body.encode())

    async def _ping(self) -> _Heard:
        try:
            await self._request()
        except NoRespondersError:
            return _Heard.ABSENT
        except (NatsError, OSError):  # OSError includes the time limit
            return _Heard.SILENT
        return _Heard.HELD

    async def _request(self) -> "Msg":
        """Send one ping and wait for its answer."""
        return await request(self._client, self._subject, self._id.encode(), PING_EVERY_S)

    async def _other(self) -> tuple[int, str] | None:
        """Give how far another holder is and its id; None when there is none."""
        try:
            told = json.loads((await self._request()).data)
            return int(told["stored"]), str(told["holder"])
        except (NatsError, OSError, ValueError, LookupError, TypeError):
            return None


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
