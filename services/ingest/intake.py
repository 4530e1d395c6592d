"""The edge of ingest: messages of the intake in, facts and receipts out.

    take what has arrived -> verify on threads -> one piece of work for the writer -> durable
    -> acknowledge, send receipts

While one batch is decided and appended, the next is taken and verified. Nothing is acknowledged and
no receipt is sent before the append is durable.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from libs.events.positions import Position
from libs.runtime.failures import Transient
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from libs.runtime.telemetry import Counter, span
from libs.runtime.writer import Writer
from services.ingest.domain import Ingest, Outcome, Verdict
from services.ingest.lookback import LookBack
from services.ingest.past import Past
from services.ingest.pull import Puller
from services.ingest.refusals import Refusals
from services.ingest.reports import Incoming, open_report

CHUNK: Final = 50
"""Reports that one thread verifies in a row."""

NOT_YET_DELAYS_S: Final = (1, 2, 5, 10, 30)
"""Seconds until a report that is not yet to be judged comes again; the last repeats."""

NOT_YET_TRIES_MAX: Final = 10
"""Deliveries after which such a report is let go without a receipt: its sender still has it."""

BUSY_DELAY_S: Final = 1
"""Seconds until what could not be decided comes again."""

_NANOSECONDS: Final = 1_000_000_000
_to_json: Final = json.JSONEncoder(separators=(",", ":")).encode
_log = get_logger(__name__)
_reports = Counter(
    "heliograph.ingest.reports", unit="{report}", description="Reports by what became of them"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """One message of the intake, opened."""

    message: Msg
    """As it came."""
    incoming: Incoming
    """What it says."""
    deliveries: int
    """How often it was delivered, from 1."""


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of one message."""

    taken: Taken
    """The message."""
    verdict: Verdict
    """The judgement."""
    position: Position | None
    """Where its reading stands."""


class Intake:
    """Takes, decides and answers the reports of one partition."""

    def __init__(
        self,
        *,
        client: Client,
        puller: Puller,
        writer: Writer,
        rules: Ingest,
        refusals: Refusals,
        lookback: LookBack,
        health: Health,
    ) -> None:
        """Join the parts.

        Args:
            client: Connected in the account of the devices; closed by the caller.
            puller: Brings the messages.
            writer: Appends to READINGS.
            rules: What the writer folds its facts into.
            refusals: Keeps what strangers sent.
            lookback: Knows old sequences.
            health: Counts.
        """
        self._client, self._puller = client, puller
        self._writer, self._rules = writer, rules
        self._refusals, self._lookback, self._health = refusals, lookback, health
        self._looking: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(os.cpu_count() or 1, "verify")

    async def run(self, stop: asyncio.Event) -> None:
        """Work until asked to stop."""
        self._health.set("intake", ok=False, detail="starting")
        await self._writer.recovered.wait()
        await self._puller.open()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._refusals.run()),
                    group.create_task(self._lookback.run()),
                    group.create_task(self._work(group)),
                ]
                await stop.wait()
                for task in (*tasks, *self._looking):
                    task.cancel()
        finally:
            self._health.rest("intake")
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _work(self, group: asyncio.TaskGroup) -> None:
        """Decide batch after batch; the next one is opened meanwhile."""
        coming = group.create_task(self._take())
        try:
            while True:
                batch = await coming
                coming = group.create_task(self._take())
                with span("intake", kind="consumer", attributes={"reports": len(batch)}):
                    await self._decide(batch, group)
        finally:
            coming.cancel()

    async def _take(self) -> list[Taken]:
        """Take what has arrived, and open it on threads."""
        messages = await self._puller.take()
        loop = asyncio.get_running_loop()
        chunks = [messages[at : at + CHUNK] for at in range(0, len(messages), CHUNK)]
        opened = await asyncio.gather(
            *(loop.run_in_executor(self._threads, _open, chunk) for chunk in chunks)
        )
        batch = [taken for chunk in opened for taken in chunk]
        # Reports of one meter in their own order: less is held back and fewer gaps open.
        batch.sort(key=lambda taken: (taken.incoming.meter or "", taken.incoming.seq or 0))
        return batch

    async def _decide(self, batch: Sequence[Taken], group: asyncio.TaskGroup) -> None:
        """Let the writer decide a batch, then answer each message."""
        try:
            decided = await self._writer.submit(lambda writer: self._judge_all(writer, batch))
        except Transient as error:
            _log.warning("reports-wait", reason=error.code, count=len(batch))
            for taken in batch:
                await self._again(taken.message, BUSY_DELAY_S)
            return
        for one in decided:
            if one.verdict.outcome is Outcome.LOOK_BACK:
                await self._look_back(one.taken, group)
            else:
                await self._settle(one)

    def _judge_all(self, writer: Writer, batch: Sequence[Taken]) -> list[Decided]:
        """In the writer's turn: judge each, stage what follows."""
        return [self._judge(writer, taken) for taken in batch]

    def _judge(self, writer: Writer, taken: Taken, looked_back: Past | None = None) -> Decided:
        verdict = self._rules.judge(
            taken.incoming, looked_back=looked_back, hold=taken.deliveries == 1
        )
        position = verdict.position
        if verdict.draft is not None:
            position = writer.stage([verdict.draft])
        return Decided(taken, verdict, position)

    async def _look_back(self, taken: Taken, group: asyncio.TaskGroup) -> None:
        """Answer a report of an old sequence once the stream was asked; in a task of its own."""
        incoming = taken.incoming
        assert incoming.meter is not None
        assert incoming.seq is not None
        answer = self._lookback.ask(incoming.meter, incoming.seq)
        if answer is None:
            await self._again(taken.message, BUSY_DELAY_S)
            return

        async def judge_again() -> None:
            try:
                past = await answer
                decided = await self._writer.submit(lambda writer: self._judge(writer, taken, past))
            except Transient:
                await self._again(taken.message, BUSY_DELAY_S)
            else:
                await self._settle(decided)

        task = group.create_task(judge_again())
        self._looking.add(task)
        task.add_done_callback(self._looking.discard)

    async def _settle(self, decided: Decided) -> None:
        """Acknowledge and answer what is durable by now."""
        message, incoming = decided.taken.message, decided.taken.incoming
        verdict = decided.verdict
        _reports.add(outcome=verdict.outcome.name.lower())
        self._health.count(f"reports-{verdict.outcome.name.lower().replace('_', '-')}")
        if verdict.outcome is Outcome.NOT_YET:
            await self._not_yet(decided.taken)
            return
        if verdict.outcome is Outcome.REFUSED:
            assert verdict.breach is not None
            self._note_refusal(message.subject, incoming, verdict)
        if verdict.ours:
            await self._send_receipt(decided)
        await self._client.publish(message.reply, b"+ACK")

    def _note_refusal(self, subject: str, incoming: Incoming, verdict: Verdict) -> None:
        breach = verdict.breach
        assert breach is not None
        if breach.reason == "sequence-reused" and verdict.draft is not None:
            _log.error("sequence-reused", meter=incoming.meter, seq=incoming.seq)
            self._health.count("alarms")
        if verdict.draft is None and not verdict.ours:
            enrolled = incoming.meter is not None and self._rules.is_enrolled(incoming.meter)
            self._refusals.keep(subject, incoming, breach, enrolled=enrolled)
        else:
            self._health.count(f"refused-{breach.reason}")

    async def _not_yet(self, taken: Taken) -> None:
        if taken.deliveries >= NOT_YET_TRIES_MAX:
            self._health.count("reports-let-go")
            await self._client.publish(taken.message.reply, b"+ACK")
            return
        index = min(taken.deliveries, len(NOT_YET_DELAYS_S)) - 1
        await self._again(taken.message, NOT_YET_DELAYS_S[index])

    async def _again(self, message: Msg, delay_s: int) -> None:
        """Give a message back, to come again."""
        text = json.dumps({"delay": delay_s * _NANOSECONDS})
        await self._client.publish(message.reply, f"-NAK {text}".encode())

    async def _send_receipt(self, decided: Decided) -> None:
        """Tell the sender what became of his report, on core NATS: he asks again if it is lost."""
        incoming, breach = decided.taken.incoming, decided.verdict.breach
        refused = decided.verdict.outcome is Outcome.REFUSED
        receipt: dict[str, object] = {
            "meter": incoming.meter,
            "seq": incoming.seq,
            "sha256": incoming.sha256,
            "outcome": "refused" if refused else "recorded",
        }
        if refused and breach is not None:
            receipt |= {"reason": breach.reason, "detail": breach.detail}
        if decided.position is not None:
            receipt["position"] = str(decided.position)
        text = _to_json(receipt).encode("utf-8")
        await self._client.publish(f"receipts.{incoming.site}.{incoming.meter}", text)


def _open(messages: Sequence[Msg]) -> list[Taken]:
    """Open a chunk of messages; runs on a thread."""
    return [
        Taken(message, open_report(message.subject, message.data), _deliveries(message.reply))
        for message in messages
    ]


def _deliveries(reply: str) -> int:
    """How often a message was delivered, from its reply subject.

    Source:
        `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<seq>.<time>.<pending>`, or with domain and
        account hash before the stream, and a token behind.
    """
    tokens = reply.split(".")
    at = 4 if len(tokens) == 9 else 6  # noqa: PLR2004 - both forms of the subject
    try:
        return int(tokens[at])
    except (IndexError, ValueError):
        return 1
