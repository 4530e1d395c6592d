"""Sends signed commands to a gateway, as any member's program would.

A command's id and bytes are made once, before the first send; whatever happens on the way, the same
bytes are sent again, so a command is never carried out twice.
"""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from heliograph.signing import Signer, Window
from libs.events.command import Body
from libs.events.jws import SigningKey
from libs.events.positions import Position
from libs.runtime.failures import FailureClass, HeliographError, Transient, from_problem, is_problem

RETRIED = frozenset({FailureClass.NOT_YET, FailureClass.TRANSIENT})
"""Failures after which the same command is sent again."""

FIRST_DELAY_S, DELAY_S_MAX = 0.01, 1.0


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an accepted command led to."""

    first: Position
    """Position of its first fact."""
    last: Position
    """Position of its last fact."""


class CommandClient:
    """Signs commands and brings them to a gateway until they are answered."""

    def __init__(
        self, http: httpx.AsyncClient, *, gateway_url: str, deployment: str, deadline_s: float = 90
    ) -> None:
        """Prepare the client.

        Args:
            http: Does the requests; closed by its owner.
            gateway_url: Such as `http://127.0.0.1:3000`.
            deployment: Id of the installation.
            deadline_s: Seconds after which a command that is not answered is given up.
        """
        self._http, self._url = http, f"{gateway_url.rstrip('/')}/api/commands"
        self._deployment, self._deadline_s = deployment, deadline_s

    def write(
        self,
        key: SigningKey,
        member: str,
        body: Body,
        *,
        command_id: str,
        book: str,
        now: datetime,
        after: Iterable[Position] = (),
    ) -> str:
        """Write and sign a command that is valid for a day from `now`."""
        signer = Signer(key, member=member, deployment=self._deployment)
        window = Window.beginning(now)
        return signer.sign(body, book=book, command_id=command_id, window=window, after=after)

    async def send(self, text: str) -> Accepted:
        """Send a signed command until it is answered.

        Raises:
            HeliographError: It was refused, or not answered before the deadline.
        """
        return _accepted(await self._ask(text))

    async def send_batch(self, text: str) -> list[Accepted]:
        """Send a signed batch until each of its commands is answered.

        Raises:
            HeliographError: The first that was refused; or it was not answered before the deadline.
        """
        return [_accepted(answer) for answer in (await self._ask(text))["answers"]]

    async def _ask(self, text: str) -> Any:
        """Send the same text until it is answered for good, a batch until all of it is."""
        loop = asyncio.get_running_loop()
        deadline, delay_s = loop.time() + self._deadline_s, FIRST_DELAY_S
        while True:
            try:
                return await self._try(text)
            except HeliographError as error:
                if error.failure not in RETRIED or loop.time() > deadline:
                    raise
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 1.5, DELAY_S_MAX)

    async def _try(self, text: str) -> Any:
        try:
            answer = await self._http.post(
                self._url, content=text, headers={"content-type": "application/jose"}
            )
        except httpx.HTTPError as error:
            raise Transient("gateway-away", f"the gateway does not answer: {error!r}") from error
        try:
            document: Any = json.loads(answer.content)
        except ValueError as error:
            raise Transient("no-json", f"HTTP {answer.status_code} without JSON") from error
        for part in (document, *document.get("answers", ())):
            if is_problem(part):
                raise from_problem(part)
        return document


def _accepted(document: Any) -> Accepted:
    return Accepted(Position.parse(document["first"]), Position.parse(document["position"]))
