"""Every row of the outcome table, played without a socket.

`Script` is a wire whose answers are written down; it counts what is sent and asked.
"""

import asyncio
from collections.abc import Sequence

import pytest
from typing_extensions import override

from libs.eventstore import (
    EventStoreError,
    Fenced,
    Frame,
    NotPermitted,
    Rewound,
    Stored,
    StoreFull,
    StoreUnavailable,
    TornAppend,
    UnexpectedAnswer,
    UnknownStream,
)
from libs.eventstore.appending import (
    Answer,
    Append,
    Landed,
    Nobody,
    Refused,
    Unknown,
    append_once,
)
from libs.eventstore.model import StreamState

OURS, OTHER = "ours", "other"
WRONG_POSITION = Refused("10071 wrong last sequence")
LOST = Unknown("no answer")
FULL = Refused("10077 maximum bytes exceeded", StoreFull("S", "stream", "full"))


class Script:
    """A wire that says what it was told to say, the last word again and again."""

    def __init__(
        self,
        answers: Sequence[Answer],
        found: Sequence[str | EventStoreError | None] = (None,),
        last: Sequence[int] = (5,),
        at_the_end: str | None = OURS,
    ) -> None:
        self.answers, self.found, self.ends = list(answers), list(found), list(last)
        self.at_the_end = at_the_end
        self.sent: list[tuple[int, Append]] = []
        self.asked: list[int] = []
        self.clock = 100.0

    def now(self) -> float:
        self.clock += 0.5
        return self.clock

    async def send(self, append: Append, attempt: int, deadline: float) -> Answer:
        self.sent.append((attempt, append))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def ask(self, stream: str, sequence: int, deadline: float) -> Stored | None:
        self.asked.append(sequence)
        who = self.at_the_end
        if sequence == 6:
            found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
            if isinstance(found, EventStoreError):
                raise found
            who = found
        return None if who is None else Stored(stream, sequence, "s.a", b"", who, {})

    async def state(self, stream: str, deadline: float) -> StreamState:
        last = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        return StreamState(first=1, last=last, subjects=("s.>",), message_bytes_max=-1)

    async def run(self, deadline_s: float = 50.0) -> int:
        append = Append("S", (Frame("s.a", b"1"), Frame("s.a", b"2")), 5, OURS)
        async with asyncio.timeout(10):
            return await append_once(self, append, deadline_s, self.now)


async def test_a_positive_answer_is_enough() -> None:
    script = Script([Landed(7)])
    assert await script.run() == 7
    assert script.asked == []


async def test_a_positive_answer_with_another_position_is_not_believed() -> None:
    with pytest.raises(UnexpectedAnswer):
        await Script([Landed(8)]).run()


@pytest.mark.parametrize("answer", [LOST, WRONG_POSITION, FULL, Nobody("s.a")])
async def test_our_own_id_at_the_position_means_that_it_landed(answer: Answer) -> None:
    script = Script([answer], found=[OURS])
    assert await script.run() == 7
    assert script.asked == [6, 7]
    assert len(script.sent) == 1


@pytest.mark.parametrize("answer", [LOST, WRONG_POSITION, FULL, Nobody("s.a")])
async def test_another_id_at_the_position_means_another_writer(answer: Answer) -> None:
    with pytest.raises(Fenced) as caught:
        await Script([answer], found=[OTHER]).run()
    assert caught.value.found_append_id == OTHER


async def test_a_message_without_an_id_is_another_writer_too() -> None:
    with pytest.raises(Fenced):
        await Script([LOST], found=[""]).run()


@pytest.mark.parametrize("answer", [LOST, WRONG_POSITION])
async def test_a_free_position_means_the_same_append_again_as_a_new_attempt(
    answer: Answer,
) -> None:
    script = Script([answer, answer, answer, Landed(7)])
    assert await script.run() == 7
    assert [attempt for attempt, _ in script.sent] == [1, 2, 3, 4]
    assert all(append == script.sent[0][1] for _, append in script.sent)


async def test_a_resend_that_finds_the_first_sending_landed_meanwhile() -> None:
    script = Script([LOST, WRONG_POSITION], found=[None, OURS])
    assert await script.run() == 7


async def test_a_sending_that_lands_between_the_two_questions() -> None:
    assert await Script([LOST], found=[None, OURS], last=[7]).run() == 7
    with pytest.raises(Fenced):
        await Script([LOST], found=[None, OTHER], last=[7]).run()


async def test_a_part_of_an_append_is_called_so_after_a_while() -> None:
    for at_the_end in (None, OTHER):
        with pytest.raises(TornAppend):
            await Script([LOST], found=[OURS], at_the_end=at_the_end).run()


async def test_the_rest_of_an_append_is_waited_for() -> None:
    class Slow(Script):
        @override
        async def ask(self, stream: str, sequence: int, deadline: float) -> Stored | None:
            self.at_the_end = OURS if len(self.asked) == 3 else None
            return await super().ask(stream, sequence, deadline)

    script = Slow([LOST], found=[OURS])
    assert await script.run() == 7
    assert script.asked == [6, 7, 7, 7]


@pytest.mark.parametrize("answer", [LOST, WRONG_POSITION])
async def test_a_stream_that_ends_before_the_position_was_rewound(answer: Answer) -> None:
    with pytest.raises(Rewound):
        await Script([answer], last=[4]).run()


async def test_a_position_that_exists_but_is_not_kept_proves_nothing() -> None:
    with pytest.raises(StoreUnavailable, match="outcome unknown"):
        await Script([LOST], last=[9]).run()


async def test_a_refusal_for_good_is_passed_on_when_nothing_stands_there() -> None:
    script = Script([FULL])
    with pytest.raises(StoreFull):
        await script.run()
    assert len(script.sent) == 1


async def test_a_refusal_behind_a_lost_sending_proves_nothing() -> None:
    with pytest.raises(StoreUnavailable, match="outcome unknown"):
        await Script([LOST, FULL]).run()


async def test_the_deadline_leaves_the_outcome_unknown() -> None:
    for answer in (LOST, WRONG_POSITION):
        with pytest.raises(StoreUnavailable, match="outcome unknown"):
            await Script([answer]).run(deadline_s=2.0)


async def test_a_leader_that_cannot_be_asked_leaves_the_outcome_unknown() -> None:
    for error in (StoreUnavailable("x"), NotPermitted("a", "b"), UnknownStream("S")):
        with pytest.raises(StoreUnavailable, match="outcome unknown"):
            await Script([LOST], found=[error]).run()


async def test_nobody_for_long_is_a_missing_permission() -> None:
    with pytest.raises(NotPermitted):
        await Script([Nobody("s.a")]).run()
    assert await Script([Nobody("s.a"), Nobody("s.a"), Landed(7)]).run() == 7


async def test_an_unknown_stream_is_named_when_nothing_can_have_been_stored() -> None:
    with pytest.raises(UnknownStream):
        await Script([Nobody("s.a")], found=[UnknownStream("S")]).run()
