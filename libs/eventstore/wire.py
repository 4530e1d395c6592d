"""The bytes that go over the wire: frames of an append, and what comes back with a message."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from libs.eventstore.appending import Append
from libs.eventstore.model import APPEND_HEADER, NO_HEADERS

HEADER_LINE: Final = b"NATS/1.0\r\n"
"""First line of every block of headers."""
FIRST_ANSWER: Final = "1"
"""Last token of the reply subject of the first frame."""
LAST_ANSWER: Final = "2"
"""Last token of the reply subject of the last frame, the one that commits."""

SHORT_FORM_COUNT: Final = 9
"""Tokens of a delivery's reply subject without domain."""
LONG_FORM_COUNT_MIN: Final = 11
"""Least tokens of a delivery's reply subject with domain and account."""

_PLAIN: Final = re.compile(rb"NATS/1\.0\r\nHeliograph-Append: ([^\r]*)\r\n(?:Nats-[^\r]*\r\n)*\r\n")
"""A block as `encode_append` writes it for a frame without headers of its own."""
_OWN_PREFIXES: Final = ("Nats-", "Heliograph-")


def encode_append(append: Append, attempt: int, reply: str) -> bytes:
    """Write all frames of an append as one block of protocol.

    One frame is a plain publish: the answer is the same and the frame is smaller. More are an
    atomic batch with a batch id of this attempt, since the server refuses a batch id that it has
    seen fail. Only the first frame carries the expected position (and the stream's name, so that a
    subject that belongs to another stream is refused), as ADR-50 asks. The first and the last frame
    ask for an answer.

    Args:
        append: What to store.
        attempt: Number of the attempt from 1.
        reply: Subject under which answers are awaited, without its last token.

    Source:
        ADR-50 of NATS; contract on eventing, section 3.
    """
    final = len(append.frames)
    block: list[bytes] = []
    for number, (frame, head) in enumerate(
        zip(append.frames, heads(append, attempt), strict=True), 1
    ):
        answer = ""
        if number == 1:
            answer = f"{reply}.{FIRST_ANSWER} "
        if number == final:
            answer = f"{reply}.{LAST_ANSWER} "
        size = len(head) + len(frame.data)
        block += (
            f"HPUB {frame.subject} {answer}{len(head)} {size}\r\n{head}".encode(),
            frame.data,
            b"\r\n",
        )
    return b"".join(block)


def heads(append: Append, attempt: int) -> Iterator[str]:
    """Give the headers of every frame, ASCII, in order; see `encode_append`."""
    final = len(append.frames)
    common = f"NATS/1.0\r\n{APPEND_HEADER}: {append.append_id}\r\n"
    if final > 1:
        common += f"Nats-Batch-Id: {append.append_id}-{attempt}\r\nNats-Batch-Sequence: "
    for number, frame in enumerate(append.frames, 1):
        head = f"{common}{number}\r\n" if final > 1 else common
        if number == 1:
            head += (
                f"Nats-Expected-Last-Sequence: {append.expected}\r\n"
                f"Nats-Expected-Stream: {append.stream}\r\n"
            )
        if number == final > 1:
            head += "Nats-Batch-Commit: 1\r\n"
        for name, value in frame.headers.items():
            head += f"{name}: {value}\r\n"
        yield f"{head}\r\n"


def parse_position(reply: bytes) -> tuple[int, int]:
    """Take the positions out of the reply subject of a delivered message.

    Args:
        reply: `$JS.ACK.<stream>.<consumer>.<deliveries>.<position>.<number>.<time>.<pending>`, or
            since nats-server 2.15 the same with domain and account before the stream and perhaps a
            token at the end.

    Returns:
        Position in the stream, and number of the delivery within the consumer from 1.

    Raises:
        ValueError: It is not such a subject.
    """
    tokens = reply.split(b".")
    if len(tokens) == SHORT_FORM_COUNT:
        return int(tokens[5]), int(tokens[6])
    if len(tokens) >= LONG_FORM_COUNT_MIN:
        return int(tokens[7]), int(tokens[8])
    raise ValueError(f"no positions in {reply!r}")


def parse_stored_headers(block: bytes | None) -> tuple[bytes, Mapping[str, str]]:
    """Take the append id and the writer's own headers out of a block of headers.

    Returns:
        The append id (empty when there is none) and the writer's headers.
    """
    if not block:
        return b"", NO_HEADERS
    plain = _PLAIN.fullmatch(block)
    if plain is not None:
        return plain[1], NO_HEADERS
    append_id, own = split_headers(parse_headers(block))
    return append_id.encode(), own


def parse_headers(block: bytes) -> dict[str, str]:
    """Take apart a block of headers as the API gives it, without status lines.

    Args:
        block: `NATS/1.0`, then lines `Name: value`.
    """
    lines = block.removeprefix(HEADER_LINE).decode("utf-8", "replace").split("\r\n")
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def split_headers(headers: Mapping[str, str] | None) -> tuple[str, Mapping[str, str]]:
    """Part the append id and the writer's own headers from those of the store.

    Returns:
        The append id (`""` when there is none) and the writer's headers.
    """
    if not headers:
        return "", NO_HEADERS
    own = {name: value for name, value in headers.items() if not name.startswith(_OWN_PREFIXES)}
    return headers.get(APPEND_HEADER, ""), own or NO_HEADERS


def is_end_of_append(headers: Mapping[str, str]) -> bool:
    """Tell from all headers of a message whether an append can end with it."""
    return "Nats-Batch-Id" not in headers or "Nats-Batch-Commit" in headers
