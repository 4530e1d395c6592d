"""How a service answers signed commands: verify, judge, decide, append, answer.

The same desk serves ingest, oracle, ledger and billing. An answer that says yes is sent only after
the facts are durable; a refusal only after it is proved that we still are the writer.

Source: eventing contract, sections 3 and 5.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence

from pydantic import ValidationError

from libs.events.envelope import Draft
from libs.events.errors import InvalidSignature
from libs.events.jws import Signed, parse, verify_signature
from libs.events.positions import Position, write_cause
from libs.rules.authority import Authority, Order
from libs.runtime.failures import (
    HANDLING,
    Delivery,
    Poison,
    Refused,
    classify,
    problem_document,
)
from libs.runtime.writer import Writer

Decide = Callable[[Order], Sequence[Draft]]
"""What a judged command leads to; raises a `HeliographError` for what it does not."""


class OrderDesk:
    """Answers the commands of one writer."""

    def __init__(self, *, writer: Writer, authority: Authority, decide: Decide) -> None:
        """Join a writer, the authority in its rules, and what decides.

        Args:
            writer: Appends the facts.
            authority: Part of the same rules that the writer folds facts into.
            decide: Called in the writer's turn with a command that was judged.
        """
        self._writer, self._authority, self._decide = writer, authority, decide

    async def handle(self, data: bytes, headers: Mapping[str, str] | None = None) -> bytes:
        """Answer one command.

        Args:
            data: The compact JWS as it came.
            headers: Headers of the message; not looked at.

        Returns:
            JSON: `{"outcome": "accepted", "first": ..., "position": ...}` or a problem document.

        Raises:
            Exception: What must end the process: a bug, a broken law, a fence.
        """
        del headers
        try:
            await self._writer.recovered.wait()
            text, signed = await asyncio.to_thread(_verified, data)
            first, last = await self._writer.submit(lambda writer: self._work(writer, text, signed))
        except Exception as error:
            if HANDLING[classify(error)].delivery is Delivery.EXIT:
                raise  # whoever serves us answers it, and ends the process
            return json.dumps(problem_document(error)).encode("utf-8")
        answer = {"outcome": "accepted", "first": str(first), "position": str(last)}
        return json.dumps(answer).encode("utf-8")

    def _work(self, writer: Writer, text: str, signed: Signed) -> tuple[Position, Position]:
        """In the writer's turn: judge, decide, stage."""
        order, known = self._authority.judge(signed, text, writer.read)
        if known is not None:
            return known.first, known.last
        assert order is not None
        try:
            drafts = list(self._decide(order))
        except (ValidationError, OverflowError) as error:
            # Nothing is staged yet: what follows would not fit into a fact, so the command is no.
            raise Refused("out-of-range", f"what follows fits into no fact: {error}") from error
        assert drafts, "an accepted command leads to at least one fact"
        cause = write_cause(None, order.id)
        first = drafts[0]
        drafts[0] = Draft(first.key, first.fact, first.id, first.time, first.cause or cause)
        last = writer.stage(drafts)
        known = self._authority.accepted(order.command)
        return known.first, last


def _verified(data: bytes) -> tuple[str, Signed]:
    """Check form and signature; on a thread, since libsodium releases the interpreter lock."""
    try:
        signed = parse(data, "hg-command+jws")
        verify_signature(signed)
    except InvalidSignature as error:
        if error.rule in {"signature", "kid"}:
            raise Refused("bad-signature", str(error), field=error.rule) from error
        raise Poison("not-a-command", f"{error.rule}: {error}") from error
    return data.decode("ascii"), signed
