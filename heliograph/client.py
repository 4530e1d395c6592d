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

    async def send_batch(self, text: str) -> list[Accepted | HeliographError]:
        """Send a signed batch until each of its commands is answered.

        Returns:
            What each command led to, or why it was refused, in the order of the batch. A command
            that was not answered for good before the deadline has the last failure of its own.

        Raises:
            HeliographError: The batch as a whole was refused, or never answered.
        """
        pace = _Pace(self._deadline_s)
        answers: list[Accepted | HeliographError] | None = None
        while True:
            try:
                answers = [_read(each) for each in (await self._try(text))["answers"]]
            except HeliographError as error:
                if error.failure not in RETRIED or pace.is_over:
                    if answers is None:
                        raise
                    return answers
            else:
                if pace.is_over or not any(_is_retried(each) for each in answers):
                    return answers
            await pace.pause()

    async def _ask(self, text: str) -> Any:
        """Send the same text until it is answered for good."""
        pace = _Pace(self._deadline_s)
        while True:
            try:
                return await self._try(text)
            except HeliographError as error:
                if error.failure not in RETRIED or pace.is_over:
                    raise
            await pace.pause()

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
        if is_problem(document):
            raise from_problem(document)
        return document


class _Pace:
    """When to send again, and until when."""

    def __init__(self, deadline_s: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._end, self._delay_s = self._clock() + deadline_s, FIRST_DELAY_S

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self._clock() > self._end

    async def pause(self) -> None:
        """Wait before the next try, each time longer."""
        await asyncio.sleep(self._delay_s)
        self._delay_s = min(self._delay_s * 1.5, DELAY_S_MAX)


def _read(document: Any) -> Accepted | HeliographError:
    return from_problem(document) if is_problem(document) else _accepted(document)


def _is_retried(answer: Accepted | HeliographError) -> bool:
    return isinstance(answer, HeliographError) and answer.failure in RETRIED


def _accepted(document: Any) -> Accepted:
    return Accepted(Position.parse(document["first"]), Position.parse(document["position"]))
