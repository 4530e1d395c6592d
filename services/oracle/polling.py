"""Looks at the sources of prices, and says under their keys what is new.

The edge of the oracle: what it finds becomes signed commands to the oracle's own desk, judged like
anybody's. A source that fails is looked at less and less often, and harms no other.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx

from libs.events.billing_commands import Observe
from libs.events.command import WINDOW_S_MAX, Command, write_command
from libs.events.jws import SigningKey
from libs.runtime.failures import (
    Delivery,
    NotYet,
    Refused,
    as_heliograph_error,
    from_problem,
    is_problem,
)
from libs.runtime.logs import get_logger
from libs.runtime.telemetry import Counter
from services.oracle.feeds import Feeds
from services.oracle.fetching import Fetched, fetch, new_client
from services.oracle.sources import Source, command_id, to_observe

BACKOFF_FIRST_S: Final = 5.0
"""Pause in seconds after a first failure; each further one doubles it."""

BACKOFF_S_MAX: Final = 900
"""Longest pause in seconds after failures, for sources that are looked at more often."""

EARLY_S: Final = 300
"""Seconds by which a command's window begins before now."""

_LOOKS: Final = Counter(
    "heliograph.oracle.looks", unit="1", description="Looks at sources of prices, by outcome."
)

Handle = Callable[[bytes], Awaitable[bytes]]
"""Hands a signed command to the desk and gives its answer."""

Now = Callable[[], datetime | None]
"""The time by the clock of the rules."""


@dataclass(slots=True)
class _Watched:
    source: Source
    key: SigningKey
    last: Fetched | None = None
    failures: int = 0

    @property
    def pause_s(self) -> float:
        """Seconds until the next look."""
        every_s = self.source.every_s
        if not self.failures:
            return every_s
        longer_s = BACKOFF_FIRST_S * 2.0 ** min(self.failures - 1, 20)
        return min(longer_s, max(every_s, BACKOFF_S_MAX))


class Poller:
    """Looks at every source in its own time."""

    def __init__(
        self,
        *,
        sources: Sequence[Source],
        deployment: str,
        handle: Handle,
        now: Now,
        feeds: Feeds,
    ) -> None:
        """Read the keys of the sources.

        Args:
            sources: What is looked at.
            deployment: Id of the installation.
            handle: Takes commands.
            now: Tells the time of the rules.
            feeds: Tells what need not be said again, and in which asset a feed is.

        Raises:
            Refused: A key cannot be read.
        """
        self._watched = [_Watched(source, source.key()) for source in sources]
        self._deployment, self._handle = deployment, handle
        self._now, self._feeds = now, feeds
        self._log = get_logger("oracle.polling")

    async def run(self, stop: asyncio.Event) -> None:
        """Look until asked to stop."""
        async with new_client() as http, asyncio.TaskGroup() as group:
            for watched in self._watched:
                group.create_task(self._watch(http, watched, stop))

    async def look(self, http: httpx.AsyncClient, name: str) -> int:
        """Look at one source now.

        Returns:
            How many observations were accepted: 0 where nothing is new.

        Raises:
            HeliographError: What failed.
        """
        return await self._look(http, next(w for w in self._watched if w.source.name == name))

    async def _watch(self, http: httpx.AsyncClient, watched: _Watched, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                accepted = await self._look(http, watched)
            except Exception as error:  # noqa: BLE001 - its class decides what follows
                self._failed(watched, error)
            else:
                watched.failures = 0
                _LOOKS.add(outcome="accepted" if accepted else "unchanged")
            try:
                async with asyncio.timeout(watched.pause_s):
                    await stop.wait()
            except TimeoutError:
                continue

    def _failed(self, watched: _Watched, error: Exception) -> None:
        """Tell of a failure; what is a mistake of ours ends the process."""
        ours = as_heliograph_error(error)
        if ours.handling.delivery is Delivery.EXIT:
            raise error
        watched.failures += 1
        _LOOKS.add(outcome=ours.code)
        self._log.warning(
            "source-failed",
            source=watched.source.name,
            code=ours.code,
            field=ours.field,
            detail=ours.message,
            failures=watched.failures,
            retry_s=watched.pause_s,
        )

    async def _look(self, http: httpx.AsyncClient, watched: _Watched) -> int:
        source, now = watched.source, self._now()
        if now is None:
            raise NotYet("no-time-yet", "no TimeAdvanced was read yet")
        found = await fetch(http, source.address(now), watched.last)
        if found is None:
            return 0
        self._check_feed(source)
        since = self._feeds.observed_until(source.feed, source.member)
        bodies, are_all = to_observe(source, found.data, now=now, since=since)
        for body in bodies:
            await self._say(watched, body)
        if are_all:
            watched.last = found
        if bodies:
            self._log.info("source-observed", source=source.name, observations=len(bodies))
        return len(bodies)

    def _check_feed(self, source: Source) -> None:
        """An observation names no currency, so nobody but us can tell that it is another."""
        rules = self._feeds.rules_of(source.feed)
        if rules is None:
            raise NotYet("unknown-feed", f"no feed is called {source.feed} yet")
        if (rules.asset, rules.base) != (source.asset, source.base):
            told = rules.asset if rules.base is None else f"{rules.asset} for one {rules.base}"
            raise Refused("feed-asset", f"{source.feed} is in {told}", field="asset")

    async def _say(self, watched: _Watched, body: Observe) -> None:
        now = self._now()
        assert now is not None, "time does not go away"
        first = max(0, int(now.timestamp()) - EARLY_S)
        claims = Command(
            deployment=self._deployment,
            service="oracle",
            book="main",
            id=command_id(body),
            member=watched.source.member,
            nbf=first,
            exp=first + WINDOW_S_MAX,
            command=body.command_name,
            body=body,
        )
        text = watched.key.sign("hg-command+jws", write_command(claims))
        document = json.loads(await self._handle(text.encode("ascii")))
        if is_problem(document):
            raise from_problem(document)
