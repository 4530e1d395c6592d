"""The courier: carries rounds to the ledger and their ends back, outside of the writer's turn.

It does one thing at a time, in this order, for ever: settle the open round, or prepare the one that
is due. A crash between any two of its steps loses nothing, since each begins from durable facts.
"""

import asyncio
from collections.abc import Awaitable

from libs.events.positions import Position
from libs.runtime.failures import HANDLING, FailureClass
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from libs.runtime.writer import Writer
from libs.stellar.errors import StellarError
from services.anchor.domain import Anchor, Failed
from services.anchor.ledgerwork import Ground, LedgerWork

_log = get_logger(__name__)
_PART = "stellar"


class Courier:
    """A task of the anchor's process beside its writer."""

    def __init__(
        self,
        *,
        writer: Writer,
        rules: Anchor,
        work: LedgerWork,
        health: Health,
        changed: asyncio.Event,
    ) -> None:
        """Join the parts.

        Args:
            writer: Appends to ANCHORS.
            rules: The writer's rules.
            work: Asks and sends.
            health: Told how the ledger answers.
            changed: Set whenever the rules folded a fact.
        """
        self._writer, self._rules, self._work = writer, rules, work
        self._health, self._changed = health, changed
        self._failures = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until asked to stop.

        Raises:
            BrokenLaw: A log is not what was signed before: nothing more is ever signed.
        """
        if not await _unless(stop, self._writer.recovered.wait()):
            return
        self._rules.check()
        self._health.set(_PART, ok=True, detail="nothing asked yet")
        while not stop.is_set():
            self._changed.clear()
            if await self._try_step(stop):
                continue
            delay_s = self._delay_s()
            waiting = (
                self._changed.wait() if delay_s is None else asyncio.sleep(delay_s, result=True)
            )
            await _unless(stop, waiting)

    async def _try_step(self, stop: asyncio.Event) -> bool:
        """One step; a ledger that does not answer counts as a step that did not move."""
        try:
            return bool(await _unless(stop, self._step()))
        except StellarError as error:
            self._failures += 1
            self._health.set(_PART, ok=False, detail=str(error))
            _log.warning("stellar-waits", reason=str(error), failures=self._failures)
            return False

    def _delay_s(self) -> float | None:
        """Seconds until the next try; nothing when there is nothing to try."""
        if self._failures:
            return HANDLING[FailureClass.TRANSIENT].delay_s(self._failures)
        return None

    async def _step(self) -> bool:
        """Settle or prepare; tell whether to look again at once."""
        opened = self._rules.open
        if opened is not None:
            return await self._settle(opened.fact.round)
        if self._rules.plan() is None:
            return False
        ground = await self._work.survey()
        position = await self._writer.submit(lambda writer: self._prepare(writer, ground))
        if position is not None:
            _log.info("round-prepared", round=self._rules.rounds, position=str(position))
        return position is not None

    def _prepare(self, writer: Writer, ground: Ground) -> Position | None:
        """In the writer's turn: plan again on the state of this turn, sign, stage."""
        plan = self._rules.plan()
        if plan is None:
            return None
        return writer.stage([self._rules.prepared(plan, self._work.sign(plan, ground))])

    async def _settle(self, number: int) -> bool:
        opened = self._rules.open
        assert opened is not None, "the courier alone ends rounds"
        end = await self._work.settle(opened.fact)
        if end is None:
            self._failures += 1
            self._health.set(_PART, ok=False, detail=f"round {number} is not in a ledger yet")
            return False
        await self._writer.submit(lambda writer: writer.stage([self._rules.conclude(number, end)]))
        if isinstance(end, Failed):
            self._failures += 1
            self._health.count("rounds-failed")
            self._health.set(_PART, ok=False, detail=f"round {number} failed: {end.reason}")
            _log.warning("round-failed", round=number, reason=end.reason)
            return False
        self._failures = 0
        self._health.count("rounds-anchored")
        self._health.set(_PART, ok=True, detail=f"round {number} in ledger {end.ledger}")
        _log.info("round-anchored", round=number, ledger=end.ledger)
        return True


async def _unless(stop: asyncio.Event, work: Awaitable[object]) -> object:
    """Return the result of the work, or None if it was asked to stop before."""
    working, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)
