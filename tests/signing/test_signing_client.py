"""Sending batches: a fake gateway answers, and the client asks again for what has no answer yet."""

import json
from typing import Any

import httpx
import pytest

from heliograph.client import Accepted, CommandClient
from libs.runtime.failures import HeliographError, NotYet, Refused, Transient, problem_document

POSITION = f"LEDGER_pilot:{{}}:{'0' * 32}"
BUSY = problem_document(Transient("busy", "Send it again."))
NOT_YET = problem_document(NotYet("behind", "Send it again."))
REFUSED = problem_document(Refused("too-little-money", "The wallet holds less."))


def accepted(number: int) -> dict[str, Any]:
    position = POSITION.format(number)
    return {"outcome": "accepted", "first": position, "position": position}


class Gateway:
    """Gives its answers one after the other, the last again and again."""

    def __init__(self, *answers: dict[str, Any] | list[dict[str, Any]]) -> None:
        self._answers = [*answers]
        self.heard: list[bytes] = []

    async def send(self, *, deadline_s: float = 60) -> list[Accepted | HeliographError]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(self._on)) as http:
            client = CommandClient(
                http, gateway_url="http://gateway", deployment="test", deadline_s=deadline_s
            )
            return await client.send_batch("the text")

    def _on(self, request: httpx.Request) -> httpx.Response:
        self.heard.append(request.content)
        told = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        document = told if isinstance(told, dict) else {"answers": told}
        return httpx.Response(200, content=json.dumps(document))


def said(answers: list[Accepted | HeliographError]) -> list[int | str]:
    return [
        answer.code if isinstance(answer, HeliographError) else answer.last.sequence
        for answer in answers
    ]


async def test_every_item_of_a_batch_has_its_answer_in_order() -> None:
    gateway = Gateway([accepted(1), REFUSED, accepted(2)])
    assert said(await gateway.send()) == [1, "too-little-money", 2]
    assert len(gateway.heard) == 1


@pytest.mark.parametrize("problem", [BUSY, NOT_YET])
async def test_a_batch_is_sent_again_until_no_item_is_transient(problem: dict[str, Any]) -> None:
    gateway = Gateway(
        problem,
        [accepted(1), REFUSED, problem],
        problem,
        [accepted(1), REFUSED, accepted(2)],
    )
    assert said(await gateway.send()) == [1, "too-little-money", 2]
    assert gateway.heard == [b"the text"] * 4


async def test_at_the_deadline_each_item_has_what_was_last_heard_of_it() -> None:
    gateway = Gateway([REFUSED, BUSY, accepted(1)])
    assert said(await gateway.send(deadline_s=0)) == ["too-little-money", "busy", 1]
    silent = Gateway([REFUSED, BUSY, accepted(1)], BUSY)
    assert said(await silent.send(deadline_s=0.05)) == ["too-little-money", "busy", 1]


async def test_a_batch_that_is_refused_as_a_whole_is_an_error() -> None:
    with pytest.raises(Refused, match="too-little-money"):
        await Gateway(REFUSED).send()
    with pytest.raises(Transient, match="busy"):
        await Gateway(BUSY).send(deadline_s=0)
