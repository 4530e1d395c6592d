"""How a service answers signed commands: verify, judge, decide, append, answer.

The same desk serves ingest, oracle, ledger and billing. Commands are verified as many at once as
have come, on threads; one piece of work in the writer's turn then judges and decides all of them in
the order of their arrival. An answer that says yes is sent only after the facts are durable; a
refusal only after it is proved that we still are the writer.

Source: eventing contract, sections 3 and 5.
"""

import asyncio
import json
import os
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby
from typing import Final, NamedTuple

from pydantic import ValidationError

from libs.events.batch import Batch, BatchItem
from libs.events.envelope import Draft
from libs.events.errors import InvalidFact, InvalidSignature
from libs.events.jws import Signed, parse, verify_signature
from libs.events.positions import write_cause
from libs.events.subjects import TIME_FACTS, TIME_KEY
from libs.rules.accepted import Accepted
from libs.rules.authority import Authority, Opened, Order
from libs.runtime.commands import problem_bytes
from libs.runtime.failures import (
    HANDLING,
    Delivery,
    HeliographError,
    Poison,
    Refused,
    Transient,
    classify,
    problem_document,
)
from libs.runtime.hot_commands import Deliver, Request
from libs.runtime.telemetry import extract_context, is_on, span
from libs.runtime.writer import APPEND_FACTS_MAX, Writer

Decide = Callable[[Order], Sequence[Draft]]
"""What a judged command leads to; raises a `HeliographError` for what it does not."""

TURN_COMMANDS: Final = 500
"""Most commands that one turn judges, those of batches counted singly."""

TURN_BYTES: Final = 1024 * 1024
"""So many bytes of commands at least are judged before a turn ends: reading takes up to 0.3 ms per
KiB, and whoever waits for the loop, such as a standby, must not take us for hung."""

ITEM_FACTS: Final = 2
"""Facts that a command of a batch is expected to lead to: a batch waits for an append with so much
room, so that only an unusual one meets the limit of the append."""

HURRY_BYTES: Final = 64 * 1024
"""From so many bytes on, the commands that wait are decided while the turn before is appended."""

INLINE_MAX: Final = 8
"""So many commands are verified at once where they are; handing more to threads pays."""

THREADS: Final = min(4, os.cpu_count() or 1)
"""Threads that verify a batch; each takes one part of it."""


class _Verified(NamedTuple):
    """A command with a right signature that waits for the writer's turn."""

    request: Request
    deliver: Deliver
    signed: Signed
    text: str


class OrderDesk:
    """Answers the commands of one writer."""

    def __init__(self, *, writer: Writer, authority: Authority, decide: Decide) -> None:
        """Join a writer, the authority in its rules, and what decides.

        Args:
            writer: Appends the facts.
            authority: Part of the same rules that the writer folds facts into.
            decide: Called in the writer's turn with a command that was judged.
        """
        self.writer, self._authority, self._decide = writer, authority, decide
        self._verified: deque[_Verified] = deque()
        self._waiting_bytes = 0
        self._judged = 0
        self._posted = False
        self._in_order = asyncio.Lock()

    async def handle(self, data: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """Answer one command.

        Args:
            data: The compact JWS as it came.
            headers: Headers of the message; not looked at.

        Returns:
            JSON: `{"outcome": "accepted", "first": ..., "position": ...}`, for a batch
            `{"outcome": "batch", "answers": [...]}`, or a problem document.

        Raises:
            Exception: What must end the process: a bug, a broken law, a fence.
        """
        del headers
        answered: asyncio.Future[bytes | Exception] = asyncio.get_running_loop().create_future()

        def deliver(answers: Sequence[tuple[Request, bytes | Exception]]) -> None:
            if not answered.done():
                answered.set_result(answers[0][1])

        await self.take([Request(data)], deliver)
        answer = await answered
        if isinstance(answer, bytes):
            return answer
        if HANDLING[classify(answer)].delivery is Delivery.EXIT:
            raise answer  # whoever serves us answers it, and ends the process
        return problem_bytes(answer)

    async def take(self, requests: Sequence[Request], deliver: Deliver) -> None:
        """Take commands in the order of their arrival; returns when it can take more.

        Args:
            requests: The commands.
            deliver: Given the answers, in one go for all that were decided in one turn.

        Raises:
            Exception: A bug in the verification; then none of them is answered.
        """
        await self.writer.recovered.wait()
        async with self._in_order:
            verdicts = await _verify([request.data for request in requests])
        wrong: list[tuple[Request, bytes | Exception]] = []
        for request, verdict in zip(requests, verdicts, strict=True):
            if isinstance(verdict, HeliographError):
                wrong.append((request, verdict))
            else:
                self._verified.append(_Verified(request, deliver, *verdict))
                self._waiting_bytes += len(request.data)
        if wrong:
            deliver(wrong)
        self._post()

    def _post(self) -> None:
        """See that one piece of work waits for the writer while a command waits for it."""
        if self._verified and not self._posted:
            taken: list[_Verified] = []
            try:
                self.writer.post(partial(self._work, taken), partial(self._settled, taken))
            except Transient as error:
                waiting, self._verified, self._waiting_bytes = list(self._verified), deque(), 0
                _deliver(waiting, [error] * len(waiting))
                return
            self._posted = True
        if self._waiting_bytes >= HURRY_BYTES:
            self.writer.hurry()

    def _work(self, taken: list[_Verified], writer: Writer) -> list[bytes | Exception]:
        """In the writer's turn: answer commands in order, as long as there is room."""
        answers: list[bytes | Exception] = []
        self._posted, self._judged = False, 0
        until_bytes = self._waiting_bytes - TURN_BYTES
        with _span_of(self._verified):
            while self._verified and self._judged < TURN_COMMANDS and writer.takes_more:
                if self._waiting_bytes <= until_bytes:
                    break
                waiting = self._verified.popleft()
                taken.append(waiting)  # whatever happens now, it hears of this turn's end
                answer = self._answer(writer, waiting)
                if answer is None:
                    self._verified.appendleft(taken.pop())
                    break
                answers.append(answer)
                self._waiting_bytes -= len(waiting.request.data)
        self._post()
        return answers

    def _settled(self, taken: list[_Verified], outcome: object) -> None:
        """The turn is over: its facts are durable, or nothing of it was stored or said."""
        if isinstance(outcome, Exception):
            _deliver(taken, [outcome] * len(taken))
            self._posted = False
            self._post()  # whoever waits behind them hears the same, or is taken after all
        else:
            assert isinstance(outcome, list), "what `_work` returned"
            _deliver(taken, outcome)

    def _answer(self, writer: Writer, waiting: _Verified) -> bytes | Exception | None:
        """Answer one command; None for a batch that waits for an append with more room.

        Raises:
            Exception: What must end the process; nothing of the turn is stored then.
        """
        room = writer.room
        self._judged += 1
        try:
            opened = self._authority.open(waiting.signed, waiting.text, writer.read)
            body = opened.command.body
            if type(body) is Batch:
                return self._answer_batch(writer, opened, body.commands)
            order, known = self._authority.judge_opened(opened)
            if order is not None:
                known = self._carry_out(writer, order, write_cause(None, order.id))
        except HeliographError as error:
            if writer.room != room or HANDLING[error.failure].delivery is Delivery.EXIT:
                raise
            return error
        assert known is not None, "an order, or what a repeat is answered with"
        return f"{{{_accepted(known)}".encode("ascii")

    def _answer_batch(
        self, writer: Writer, opened: Opened, items: Sequence[BatchItem]
    ) -> bytes | None:
        """Answer the commands of a batch, each by itself; see `_answer`."""
        self._authority.check_signer(opened)
        if APPEND_FACTS_MAX > writer.room < ITEM_FACTS * len(items):
            return None
        self._judged += len(items)
        batch = _Batch(opened)
        answers = [self._answer_item(writer, batch, item) for item in items]
        return f'{{"outcome":"batch","answers":[{",".join(answers)}]}}'.encode()

    def _answer_item(self, writer: Writer, batch: "_Batch", item: BatchItem) -> str:
        room = writer.room
        try:
            if item.id in batch.ids:
                raise Refused("duplicate-id", "the id stands twice in the batch", field="id")
            batch.ids.add(item.id)
            is_first = batch.cause is None
            order, known = self._authority.judge_item(batch.opened, item, is_first=is_first)
            if order is not None:
                if batch.is_full:
                    raise _no_room()
                known = self._carry_out(writer, order, batch.cause or write_cause(None, order.id))
                batch.cause = batch.cause or write_cause(known.first, order.id)
        except HeliographError as error:
            if writer.room != room or HANDLING[error.failure].delivery is Delivery.EXIT:
                raise
            batch.is_full = batch.is_full or error.code == _APPEND_FULL
            problem = {"id": item.id, **problem_document(error)}
            return json.dumps(problem, ensure_ascii=False, separators=(",", ":"))
        assert known is not None, "an order, or what a repeat is answered with"
        return f'{{"id":"{item.id}",{_accepted(known)}'

    def _carry_out(self, writer: Writer, order: Order, cause: str) -> Accepted:
        """Let an order lead to facts, and stage them."""
        try:
            drafts = list(self._decide(order))
        except (ValidationError, OverflowError) as error:
            # Nothing is staged yet: what follows would not fit into a fact, so the command is no.
            raise Refused("out-of-range", f"what follows fits into no fact: {error}") from error
        assert drafts, "an accepted command leads to at least one fact"
        if any(each.key == TIME_KEY and each.fact.fact_name not in TIME_FACTS for each in drafts):
            raise Refused("id-reserved", f"nothing that members name is called {TIME_KEY}")
        if len(drafts) > writer.room:
            raise _no_room()
        drafts = _with_causes(drafts, order, cause)
        room = writer.room
        try:
            writer.stage(drafts, cause)
        except InvalidFact as error:
            if writer.room != room:
                raise  # half of it is folded already
            raise Refused("out-of-range", f"what follows is no fact: {error}") from error
        return self._authority.accepted(order.command)


def _with_causes(drafts: list[Draft], order: Order, cause: str) -> list[Draft]:
    """Let the fact that keeps the command, and what stands before it, name the command's cause.

    Return that accrues before title moves stands before the fact with the signed text.
    """
    keeping = [
        index
        for index, draft in enumerate(drafts)
        if getattr(draft.fact, "command", None) is not None
    ]
    assert len(keeping) == (order.kept is not None), "the signed text stands once in its append"
    own = keeping[0] + 1 if keeping else 1
    if own == 1:  # the writer names it
        return drafts
    return [draft._replace(cause=draft.cause or cause) for draft in drafts[:own]] + drafts[own:]


@dataclass(slots=True)
class _Batch:
    """How far a batch was decided."""

    opened: Opened
    cause: str | None = None
    is_full: bool = False
    ids: set[str] = field(default_factory=set)


_APPEND_FULL: Final = "append-full"


def _accepted(known: Accepted) -> str:
    """The rest of the JSON object that says yes; nothing in it would have to be escaped."""
    first, last = known.first, known.last
    text = str(first)
    return f'"outcome":"accepted","first":"{text}","position":"{text if last is first else last}"}}'


def _no_room() -> Transient:
    return Transient(_APPEND_FULL, "The append has no room left. Send it again, with the same id.")


def _deliver(waiting: Sequence[_Verified], answers: Sequence[bytes | Exception]) -> None:
    """Hand answers to those who brought the commands, in one go to each."""
    pairs = zip(waiting, answers, strict=True)
    for deliver, theirs in groupby(pairs, lambda pair: pair[0].deliver):
        deliver([(each.request, answer) for each, answer in theirs])


def _span_of(waiting: Sequence[_Verified]) -> AbstractContextManager[object]:
    """The span of a turn, joined to the traces that the commands carry."""
    if not is_on():
        return nullcontext()
    found = (extract_context(each.request.headers) for each in waiting if each.request.head)
    contexts = [context for context in found if context is not None]
    if len(waiting) == 1 and contexts:
        return span("commands", kind="server", parent=contexts[0])
    return span("commands", kind="server", links=contexts, attributes={"waiting": len(waiting)})


async def _verify(messages: Sequence[bytes]) -> list[tuple[Signed, str] | HeliographError]:
    """Verify messages in their order: a few here, many in parts on threads.

    libsodium releases the interpreter lock, so the parts are verified at the same time.
    """
    if len(messages) <= INLINE_MAX:
        return _verdicts(messages)
    size = -(-len(messages) // THREADS)
    parts = (messages[at : at + size] for at in range(0, len(messages), size))
    found = await asyncio.gather(*(asyncio.to_thread(_verdicts, part) for part in parts))
    return list(chain.from_iterable(found))


def _verdicts(messages: Sequence[bytes]) -> list[tuple[Signed, str] | HeliographError]:
    return [_verdict(message) for message in messages]


def _verdict(data: bytes) -> tuple[Signed, str] | HeliographError:
    """Check form and signature of one message."""
    try:
        signed = parse(data, "hg-command+jws")
        verify_signature(signed)
    except InvalidSignature as error:
        if error.rule in {"signature", "kid"}:
            return Refused("bad-signature", str(error), field=error.rule)
        return Poison("not-a-command", f"{error.rule}: {error}")
    return signed, data.decode("ascii")
