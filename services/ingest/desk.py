"""The desk of a partition: two writers answer its commands.

Enrolments belong to the writer of METERS, corrections to that of READINGS. A correction that keeps
every rule that can be judged without the readings is decided twice: the first time the rules ask
for what the stream holds, the second time they know it.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from libs.events.commands import CorrectReading
from libs.events.errors import InvalidSignature
from libs.events.jws import parse, payload_of
from libs.runtime.failures import Transient
from libs.runtime.hot_commands import Deliver, Request
from libs.runtime.orders import OrderDesk
from libs.runtime.writer import Writer
from services.ingest.corrections import LookBackNeeded
from services.ingest.domain import Ingest
from services.ingest.lookback import LookBack

LOOKS_MAX: Final = 3
"""Most times that the stream is asked for one correction; others of its meter may come between."""


class PartitionDesk(OrderDesk):
    """Answers corrections itself and hands everything else to the desk of METERS."""

    def __init__(
        self, *, writer: Writer, rules: Ingest, lookback: LookBack, meters: OrderDesk
    ) -> None:
        """Join the parts.

        Args:
            writer: Appends to READINGS.
            rules: What that writer folds its facts into.
            lookback: Reads what the stream holds.
            meters: The desk of the other writer.
        """
        super().__init__(writer=writer, authority=rules.authority, decide=rules.correct)
        self._rules, self._lookback, self._meters = rules, lookback, meters
        self._one = asyncio.Lock()

    async def take(self, requests: Sequence[Request], deliver: Deliver) -> None:
        """Take commands; see `OrderDesk.take`."""
        for request in requests:
            if _is_correction(request.data):
                await self._correct(request, deliver)
            else:
                await self._meters.take([request], deliver)

    async def _correct(self, request: Request, deliver: Deliver) -> None:
        """Decide one correction, one at a time, since the rules keep what was looked up last."""
        async with self._one:
            answer = await self._ask(request)
            for _ in range(LOOKS_MAX):
                if not isinstance(answer, LookBackNeeded):
                    break
                try:
                    self._rules.corrections.look(await self._lookback.recorded(answer.asked))
                except Transient as error:
                    answer = error
                else:
                    answer = await self._ask(request)
        deliver([(request, answer)])

    async def _ask(self, request: Request) -> bytes | Exception:
        """Let the writer's turn decide a correction, as any command."""
        answered: asyncio.Future[bytes | Exception] = asyncio.get_running_loop().create_future()
        await super().take([request], partial(_note, answered))
        return await answered


def _note(
    answered: "asyncio.Future[bytes | Exception]",
    answers: Sequence[tuple[Request, bytes | Exception]],
) -> None:
    if not answered.done():
        answered.set_result(answers[0][1])


def _is_correction(data: bytes) -> bool:
    """Tell whose command it is; one that cannot be read is refused by the other desk."""
    try:
        return payload_of(parse(data, "hg-command+jws")).get("command") == (
            CorrectReading.command_name
        )
    except InvalidSignature:
        return False
