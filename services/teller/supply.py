"""The supply of a holding at its site: what the ledger said last, and the relay that follows.

The Teller asks the gateway, on a beat of its own. Only an answer moves the relay: while nobody
answers, it stays as it was, and after a restart it is set to what was said last. A household is
never cut off by a lost connection. An answer from before the last one is left.
"""

import asyncio
import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, Self

import httpx

from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from services.teller.settings import TellerSettings

FILE_NAME: Final = "supply.json"
"""The file in the data folder that holds what was said last."""

ASK_TIMEOUT_S: Final = 10.0
"""Seconds that the gateway has to answer."""

ANSWER_SIZE_MAX: Final = 65_536
"""Most bytes of an answer that are read."""

_POSITION: Final = re.compile(r"([A-Za-z0-9_-]{1,128}):([0-9]{1,16})(?::[0-9a-f]{32})?", re.ASCII)

_log = get_logger(__name__)


class State(StrEnum):
    """What the ledger says of a holding's supply."""

    SUPPLIED = "supplied"
    """As always."""
    DIVERTED = "diverted"
    """Its energy is sold to the grid; the household still draws from there."""
    DISCONNECTED = "disconnected"
    """The load relay is open."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was said last of a holding."""

    holding: str
    """The holding."""
    state: State
    """Its supply."""
    position: str | None
    """Stream and sequence of the fact that says so; None: nothing ever changed."""

    @classmethod
    def read(cls, text: str | bytes, holding: str) -> Self:
        """Read an answer, or what was kept of one.

        Raises:
            ValueError: It says nothing of this holding.
        """
        try:
            told = json.loads(text)
            if told["holding"] != holding:
                raise ValueError(f"it is about {told['holding']}, not {holding}")
            position = told["position"]
            if position is not None:
                _place(position)
            return cls(holding, State(told["state"]), position)
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"no supply state: {error!r}") from error

    def is_before(self, other: "Told") -> bool:
        """Tell whether it says what was so in the same book before another answer."""
        if self.position is None or other.position is None:
            return other.position is not None
        (stream, mine), (other_stream, theirs) = _place(self.position), _place(other.position)
        return stream == other_stream and mine < theirs


def _place(position: str) -> tuple[str, int]:
    """Read a stream and a sequence; the hash that may follow is not looked at.

    Raises:
        ValueError: It is neither.
    """
    found = _POSITION.fullmatch(position)
    if found is None:
        raise ValueError(f"no position: {position}")
    return found[1], int(found[2])


class Relay(Protocol):
    """What switches a household's load."""

    def set(self, *, closed: bool) -> None:
        """Close it, so that the load is supplied, or open it; to do so again changes nothing.

        Raises:
            OSError: It could not be switched; it is as it was.
        """


class FileRelay:
    """A relay behind a file that takes `1` (closed) or `0`, as GPIO lines in sysfs do."""

    def __init__(self, path: Path) -> None:
        """Use a file.

        Args:
            path: Such as `/sys/class/gpio/gpio17/value`.
        """
        self._path = path

    def set(self, *, closed: bool) -> None:
        """Write one digit; see `Relay`."""
        # Not replaced by another file: the path may be a device.
        self._path.write_text("1" if closed else "0", "ascii")


class SupplyWatch:
    """Asks for the supply of one holding, keeps it, and drives the relay."""

    def __init__(
        self,
        *,
        holding: str,
        url: str,
        book: str,
        poll_s: float,
        folder: Path,
        relay: Relay | None,
        health: Health,
    ) -> None:
        """Take up what was said last.

        Args:
            holding: The holding of this site.
            url: The gateway's address.
            book: The book in which the holding stands.
            poll_s: Seconds between two questions.
            folder: Where the last answer is kept.
            relay: What is switched; None: the state is only shown.
            health: Told of the relay, as part `relay`; counts.
        """
        self._holding, self._poll_s, self._relay, self._health = holding, poll_s, relay, health
        self._url = f"{url.rstrip('/')}/api/holdings/{holding}/supply?book={book}"
        self._path = folder / FILE_NAME
        self._told = self._kept()
        self._is_set = False
        self._answered = False

    @classmethod
    def of(cls, settings: TellerSettings, health: Health) -> "SupplyWatch | None":
        """The watch that the settings ask for, if they do."""
        if settings.gateway_url is None or settings.holding is None:
            return None
        return cls(
            holding=settings.holding,
            url=settings.gateway_url,
            book=settings.book,
            poll_s=settings.supply_poll_s,
            folder=settings.data,
            relay=None if settings.relay is None else FileRelay(settings.relay),
            health=health,
        )

    def _kept(self) -> Told | None:
        try:
            return Told.read(self._path.read_bytes(), self._holding)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:  # another holding's, or damaged: ask anew
            _log.warning("supply-not-kept", reason=str(error))
            return None

    async def run(self, client: Callable[[], httpx.AsyncClient] | None = None) -> None:
        """Ask and switch, for ever.

        Args:
            client: Makes the client; for tests.
        """
        make = client or (lambda: httpx.AsyncClient(timeout=ASK_TIMEOUT_S))
        self._switch()
        async with make() as http:
            while True:
                await self.look(http)
                await asyncio.sleep(self._poll_s)

    async def look(self, http: httpx.AsyncClient) -> None:
        """Ask once, and let the relay follow; without an answer it stays as it was."""
        try:
            told = await self._ask(http)
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            self._answered = False
            self._health.count("supply-unanswered")
            _log.warning("supply-unanswered", reason=str(error) or type(error).__name__)
        else:
            self._answered = True
            self._take(told)
        self._switch()

    async def _ask(self, http: httpx.AsyncClient) -> Told:
        async with http.stream("GET", self._url) as answer:
            answer.raise_for_status()
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > ANSWER_SIZE_MAX:
                    raise ValueError(f"more than {ANSWER_SIZE_MAX} bytes")
        return Told.read(body, self._holding)

    def _take(self, told: Told) -> None:
        """Take an answer, unless it is older than what is known."""
        if self._told is not None and told.is_before(self._told):
            _log.warning("supply-older", position=told.position, known=self._told.position)
            return
        if self._told is None or told.state != self._told.state:
            self._is_set = False
            _log.info("supply-told", state=told.state.value, position=told.position)
        if told != self._told:
            self._told = told
            self._keep(told)

    def _keep(self, told: Told) -> None:
        """Put the last answer on disk, whole or not at all."""
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                json.dump(asdict(told), file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
        except OSError as error:  # the relay follows all the same; the next answer is kept again
            _log.error("supply-not-kept", reason=str(error))

    def _switch(self) -> None:
        """Set the relay to what was said last; again at the next look if that fails."""
        if self._relay is None or self._told is None or self._is_set:
            return
        closed = self._told.state is not State.DISCONNECTED
        try:
            self._relay.set(closed=closed)
        except OSError as error:
            self._health.set("relay", ok=False, detail=str(error))
            _log.error("relay-failed", reason=str(error))
            return
        self._is_set = True
        self._health.set("relay", ok=True, detail="closed" if closed else "open")
        _log.info("relay-set", closed=closed)

    def status(self) -> dict[str, Any]:
        """What `GET /status` shows of the supply."""
        told = self._told
        return {
            "holding": self._holding,
            "state": None if told is None else told.state.value,
            "position": None if told is None else told.position,
            "answered": self._answered,
            "relay": self._relay_shown(),
        }

    def _relay_shown(self) -> str | None:
        """How the relay was set last: `closed`, `open`, or None where it was not."""
        if self._relay is None or self._told is None or not self._is_set:
            return None
        return "open" if self._told.state is State.DISCONNECTED else "closed"
