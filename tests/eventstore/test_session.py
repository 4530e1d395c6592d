"""One session fed by hand: what a server does only in rare moments."""

import asyncio
from typing import cast

import pytest

from libs.eventstore import GapFound, UnexpectedAnswer
from libs.eventstore.link import Link, Settings
from libs.eventstore.session import PULL_COUNT, PULLS_MAX, Session, SessionOver


class Wire:
    """Counts what is asked for; takes the place of the connection."""

    def __init__(self) -> None:
        self.pulls: list[bytes] = []
        self.client = self
        self.settings = Settings(url="nats://nowhere", silence_max_s=0.5)
        self.epoch = 0
        self.denied: list[str] = []

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def publish(self, subject: str, body: bytes, reply: str) -> None:
        self.pulls.append(body)


def session(wire: Wire, subject: str | None = None, wanted: int | None = None) -> Session:
    return Session(cast(Link, wire), "S", 0, subject, wanted)


def feed(made: Session, position: int, delivery: int) -> None:
    reply = f"$JS.ACK.S.c.1.{position}.{delivery}.1.0".encode()
    made._on_message(b"s.a", reply, b"", b"")


def status(made: Session, line: str, **headers: int) -> None:
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    made._on_message(b"box", b"", b"", f"NATS/1.0 {line}\r\n{more}\r\n".encode())


async def test_a_delivery_that_is_lost_on_the_way_ends_the_session() -> None:
    for subject in (None, "s.*"):
        made = session(Wire(), subject)
        feed(made, 1, 1)
        feed(made, 3, 3)
        feed(made, 4, 4)
        assert [item.sequence for item in await made.next(0.1)] == [1]
        with pytest.raises(SessionOver, match="delivery 2 was lost"):
            await made.next(0.1)


async def test_a_gap_in_the_store_is_told_after_what_came_before() -> None:
    made = session(Wire())
    feed(made, 1, 1)
    feed(made, 3, 2)
    assert [item.sequence for item in await made.next(0.1)] == [1]
    with pytest.raises(GapFound):
        await made.next(0.1)


async def test_with_a_filter_positions_may_have_gaps() -> None:
    made = session(Wire(), "s.*")
    feed(made, 1, 1)
    feed(made, 9, 2)
    assert [item.sequence for item in await made.next(0.1)] == [1, 9]


async def test_what_was_asked_for_and_did_not_come_is_asked_for_again() -> None:
    wire = Wire()
    made = session(wire)
    await made._pull()
    assert len(wire.pulls) == PULLS_MAX
    for _ in range(PULLS_MAX):
        status(made, "408 Request Timeout", Nats_Pending_Messages=PULL_COUNT)
    assert await made.next(0.1) == []
    assert len(wire.pulls) == 2 * PULLS_MAX


async def test_a_reader_with_an_end_asks_for_no_more_than_that() -> None:
    wire = Wire()
    made = session(wire, wanted=1200)
    await made._pull()
    assert [b'"batch": 1000' in wire.pulls[0], b'"batch": 200' in wire.pulls[1]] == [True, True]
    assert len(wire.pulls) == 2
    status(made, "409 Message Size Exceeds MaxBytes", Nats_Pending_Messages=150)
    await made.next(0.1)
    assert b'"batch": 150' in wire.pulls[2]


async def test_words_of_the_server() -> None:
    for line, over in {
        "409 Consumer Deleted": "Consumer Deleted",
        "409 Leadership Change": "Leadership Change",
        "409 Server Shutdown": "Server Shutdown",
        "503": "503",
        "400 Bad Request": "Bad Request",
    }.items():
        made = session(Wire())
        status(made, line)
        with pytest.raises(SessionOver, match=over) as caught:
            await made.next(0.1)
        assert (caught.value.nobody is not None) is (line == "503")
    made = session(Wire())
    status(made, "100 Idle Heartbeat", Nats_Last_Consumer=0)
    assert await made.next(0.1) == []


async def test_silence_ends_the_session_and_heartbeats_do_not() -> None:
    made = session(Wire())
    for _ in range(8):
        asyncio.get_running_loop().call_later(0.1, status, made, "100 Idle Heartbeat")
        assert await made.next(1.0) == []
    with pytest.raises(SessionOver, match="heartbeat"):
        await made.next(1.0)


async def test_a_slow_caller_is_not_taken_for_a_silent_server() -> None:
    made = session(Wire())
    await made._pull()
    for number in range(1, PULL_COUNT * PULLS_MAX + 1):
        feed(made, number, number)
    await asyncio.sleep(0.6)  # Everything has come, so the server has nothing to say.
    for _ in range(PULLS_MAX):
        assert len(await made.next(0.1)) == PULL_COUNT
    assert await made.next(0.05) == []


async def test_a_message_without_positions_is_an_error() -> None:
    made = session(Wire())
    made._on_message(b"s.a", b"_INBOX.x", b"", None)
    with pytest.raises(UnexpectedAnswer, match="no positions"):
        await made.next(0.1)
