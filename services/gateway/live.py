"""The live feed: one look at the positions for all listeners, told as Server-Sent Events.

An event says that something moved and what the positions are now; it carries no rows. Whoever
missed events has missed nothing: the next one tells the whole state.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from libs.runtime.failures import HeliographError, Transient

LOOK_EVERY_S: Final = 0.3
"""Seconds between two looks while somebody listens."""

HEARTBEAT_S: Final = 15.0
"""Seconds of silence after which a comment shows that the feed is alive."""

RETRY_MS: Final = 2_000
"""Milliseconds after which a browser comes back when the feed was cut."""

Look = Callable[[], Awaitable[dict[str, Any]]]
"""Gives the present summary, as JSON values."""


class LiveFeed:
    """Looks while somebody listens, and tells everybody what moved."""

    def __init__(self, look: Look, listeners_max: int) -> None:
        """Prepare; keep `run` running.

        Args:
            look: Asks for the summary.
            listeners_max: Most listeners at once.
        """
        self._look, self._max = look, listeners_max
        self._listeners = 0
        self._number = 0
        self._event = ""
        self._state: dict[str, Any] | None = None
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._closed = False

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._listeners

    async def run(self, stop: asyncio.Event) -> None:
        """Look again and again while somebody listens, until asked to stop."""
        closing = asyncio.create_task(self._close_on(stop))
        try:
            while not self._closed:
                await self._wanted.wait()
                if self._closed:
                    break
                await self._look_once()
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)

    async def _close_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._closed = True
        self._wanted.set()
        self._wake()

    async def _look_once(self) -> None:
        try:
            state = {"ok": True, **await self._look()}
        except HeliographError as error:
            state = {"ok": False, "code": error.code}
        if state == self._state:
            return
        self._state = state
        self._number += 1
        name = "moved" if state["ok"] else "away"
        text = json.dumps(state, separators=(",", ":"))
        self._event = f"id: {self._number}\nevent: {name}\ndata: {text}\n\n"
        self._wake()

    def _wake(self) -> None:
        woken, self._changed = self._changed, asyncio.Event()
        woken.set()

    def listen(self) -> AsyncIterator[str]:
        """Begin to listen.

        Raises:
            Transient: Too many listen already, or the gateway is stopping.
        """
        if self._closed or self._listeners >= self._max:
            raise Transient("feed-full", "Too many listen already. Try again.", retry_after_s=10)
        return self._tell()

    async def _tell(self) -> AsyncIterator[str]:
        told = 0
        self._listeners += 1  # here, for a generator that was never begun never ends
        self._wanted.set()
        try:
            yield f"retry: {RETRY_MS}\n\n"
            while not self._closed:
                changed = self._changed
                if self._number != told:
                    told = self._number
                    yield self._event
                    continue
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await changed.wait()
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            self._listeners -= 1
            if self._listeners == 0 and not self._closed:
                self._wanted.clear()
