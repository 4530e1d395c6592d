"""The bytes on the wire: written as ADR-50 asks, read in both forms of the reply subject."""

import pytest

from libs.eventstore import Frame
from libs.eventstore.appending import Append
from libs.eventstore.model import matches
from libs.eventstore.wire import (
    encode_append,
    parse_headers,
    parse_position,
    parse_stored_headers,
    split_headers,
)


def test_one_frame_is_a_plain_publish() -> None:
    append = Append("S", (Frame("s.a", b"one", {"traceparent": "00-1"}),), 41, "abc")
    head = (
        "NATS/1.0\r\nHeliograph-Append: abc\r\nNats-Expected-Last-Sequence: 41\r\n"
        "Nats-Expected-Stream: S\r\ntraceparent: 00-1\r\n\r\n"
    )
    wanted = f"HPUB s.a box.2 {len(head)} {len(head) + 3}\r\n{head}one\r\n"
    assert encode_append(append, 1, "box") == wanted.encode()


def test_several_frames_are_an_atomic_batch_with_an_id_of_the_attempt() -> None:
    append = Append("S", tuple(Frame("s.a", data) for data in (b"1", b"22", b"333")), 7, "abc")
    block = encode_append(append, 4, "box").decode()
    first, second, third = block.split("HPUB ")[1:]
    for number, frame in enumerate((first, second, third), 1):
        assert "Heliograph-Append: abc\r\n" in frame
        assert "Nats-Batch-Id: abc-4\r\n" in frame
        assert f"Nats-Batch-Sequence: {number}\r\n" in frame
        assert ("Nats-Expected-Last-Sequence: 7\r\n" in frame) is (number == 1)
        assert ("Nats-Batch-Commit: 1\r\n" in frame) is (number == 3)
        assert "Nats-Msg-Id" not in frame
    assert first.startswith("s.a box.1 ")
    assert second.split()[1].isdigit()
    assert third.startswith("s.a box.2 ")


@pytest.mark.parametrize(
    "reply",
    [
        b"$JS.ACK.S.c.1.12.3.1795238113533900324.9",
        b"$JS.ACK._.hash.S.c.1.12.3.1795238113533900324.9",
        b"$JS.ACK.hub.hash.S.c.1.12.3.1795238113533900324.9.token",
    ],
)
def test_positions_are_read_from_every_form_of_the_reply_subject(reply: bytes) -> None:
    assert parse_position(reply) == (12, 3)


@pytest.mark.parametrize(
    "reply", [b"", b"_INBOX.x.y", b"$JS.ACK.S.c.1.12.3.4.9.x", b"1.2.3.4.5.x.7.8.9"]
)
def test_another_subject_has_no_positions(reply: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - ours or that of int()
        parse_position(reply)


def test_the_headers_of_the_store_are_taken_off() -> None:
    frame = Frame("s.a", b"", {"traceparent": "00-1", "tracestate": "a: b"})
    for frames in ((frame,), (frame, Frame("s.a", b""))):
        block = encode_append(Append("S", frames, 0, "abc"), 1, "box")
        head = block[block.index(b"NATS/1.0") : block.index(b"\r\n\r\n") + 4]
        assert parse_stored_headers(head) == (b"abc", frame.headers)
        assert split_headers(parse_headers(head)) == ("abc", frame.headers)
    plain = encode_append(Append("S", (Frame("s.a", b""),), 0, "abc"), 1, "box")
    head = plain[plain.index(b"NATS/1.0") : plain.index(b"\r\n\r\n") + 4]
    assert parse_stored_headers(head) == (b"abc", {})
    assert parse_stored_headers(b"NATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n") == (b"", {})
    assert parse_stored_headers(None) == (b"", {})
    assert split_headers(None) == ("", {})


@pytest.mark.parametrize(
    ("subject", "pattern", "wanted"),
    [
        ("a.b", "a.b", True),
        ("a.b", "a.*", True),
        ("a.b", "*.b", True),
        ("a.b", "a.>", True),
        ("a.b", ">", True),
        ("a", "a.>", False),
        ("a.b.c", "a.*", False),
        ("a.b.c", "a.>", True),
        ("a.b", "a.b.*", False),
        ("a.b", "b.*", False),
        ("a.b.c", "*.*.c", True),
        ("a.b.c", "a.*.>", True),
    ],
)
def test_subjects_match_as_the_server_says(subject: str, pattern: str, *, wanted: bool) -> None:
    assert matches(subject, pattern) is wanted
