"""Positions, `seen` and `cause` have one grammar: what is written is read, and nothing else is."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from libs.events.positions import (
    EMPTY_HASH,
    CauseText,
    Position,
    PositionText,
    SeenText,
    fact_hash,
    parse_cause,
    parse_seen,
    write_cause,
    write_seen,
)

H = "0123456789abcdef" * 2

streams = st.from_regex(r"[A-Z]{1,8}(_[A-Za-z0-9_-]{1,64})?", fullmatch=True)
hashes = st.from_regex(r"[0-9a-f]{32}", fullmatch=True)
positions = st.builds(Position, streams, st.integers(0, 10**16 - 1), hashes)
names = st.from_regex(r"[A-Za-z0-9_./:-]{1,40}", fullmatch=True)
several = st.lists(positions, max_size=6, unique_by=lambda position: position.stream)


@settings(max_examples=50)
@given(positions)
def test_every_position_comes_back_from_its_text(position: Position) -> None:
    assert Position.parse(str(position)) == position
    assert TypeAdapter(PositionText).validate_python(str(position)) == str(position)


@settings(max_examples=30)
@given(several)
def test_every_list_of_positions_comes_back_from_its_text(wanted: list[Position]) -> None:
    text = write_seen(wanted)

    assert parse_seen(text) == {position.stream: position for position in wanted}
    assert list(parse_seen(text)) == sorted(position.stream for position in wanted)
    assert write_seen(reversed(wanted)) == text
    assert TypeAdapter(SeenText).validate_python(text) == text


@settings(max_examples=50)
@given(st.none() | positions, names)
def test_every_cause_comes_back_from_its_text(position: Position | None, name: str) -> None:
    text = write_cause(position, name)

    assert parse_cause(text) == (position, name)
    assert TypeAdapter(CauseText).validate_python(text) == text


def test_the_grammar_is_what_the_decision_says() -> None:
    position = Position("READINGS_0", 42, H)

    assert str(position) == f"READINGS_0:42:{H}"
    assert write_cause(position, "pv.42") == f"READINGS_0:42:{H} pv.42"
    assert write_cause(None, "raul.july") == "- raul.july"
    assert write_seen([]) == ""
    assert write_seen([position, Position("PRICES", 7, H)]) == f"PRICES:7:{H} READINGS_0:42:{H}"


def test_the_start_of_a_stream_has_no_hash() -> None:
    start = Position.start("MEMBERS")

    assert (start.sequence, start.hash) == (0, EMPTY_HASH)
    assert str(start) == f"MEMBERS:0:{'0' * 32}"


def test_a_hash_is_half_of_the_sha256_of_the_bytes() -> None:
    # The digest of the empty text is the well-known one of FIPS 180-4.
    assert fact_hash(b"") == "e3b0c44298fc1c149afbf4c8996fb924"
    assert fact_hash(b"sun") == hashlib.sha256(b"sun").hexdigest()[:32]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "READINGS_0",
        "READINGS_0:42",
        f"READINGS_0::{H}",
        f"READINGS_0:042:{H}",
        f"READINGS_0:-1:{H}",
        f"READINGS_0:+1:{H}",
        f"READINGS_0:1.0:{H}",
        f"READINGS_0:{10**16}:{H}",
        f"READINGS_0:42:{H[:-1]}",
        f"READINGS_0:42:{H}0",
        f"READINGS_0:42:{H.upper()}",
        f"readings_0:42:{H}",
        f"READINGS_:42:{H}",
        f"READINGS_a.b:42:{H}",
        f"READINGS_{'a' * 65}:42:{H}",
        f"READINGS_0:4\uff12:{H}",
        f" READINGS_0:42:{H}",
        f"READINGS_0:42:{H}\n",
        f"READINGS_0:42:{H} ",
        f":42:{H}",
    ],
)
def test_what_is_no_position_is_refused_everywhere(text: str) -> None:
    with pytest.raises(ValueError, match="STREAM:sequence:hash"):
        Position.parse(text)
    with pytest.raises(ValidationError):
        TypeAdapter(PositionText).validate_python(text)


@pytest.mark.parametrize(
    "text",
    [
        " ",
        f"A:1:{H} ",
        f" A:1:{H}",
        f"A:1:{H}  B:1:{H}",
        f"A:1:{H}\tB:1:{H}",
        f"A:1:{H},B:1:{H}",
        "-",
    ],
)
def test_positions_stand_one_space_apart(text: str) -> None:
    with pytest.raises(ValueError, match="position"):
        parse_seen(text)
    with pytest.raises(ValidationError):
        TypeAdapter(SeenText).validate_python(text)


@pytest.mark.parametrize("text", [f"B:1:{H} A:1:{H}", f"A:1:{H} A:2:{H}", f"A:1:{H} A:1:{H}"])
def test_seen_names_each_stream_once_in_order(text: str) -> None:
    with pytest.raises(ValueError, match="each stream once, sorted"):
        parse_seen(text)


@pytest.mark.parametrize(
    "text", ["", "-", "- ", " a", "pv.42", f"A:1:{H}", f"A:1:{H} ", "A:1 pv.42"]
)
def test_what_is_no_cause_is_refused_everywhere(text: str) -> None:
    with pytest.raises(ValueError, match=r"cause|position"):
        parse_cause(text)
    with pytest.raises(ValidationError):
        TypeAdapter(CauseText).validate_python(text)


@pytest.mark.parametrize("text", ["-  a", "- a b", "- a\n", f"- {'a' * 201}", "- \u00e9", "-- a"])
def test_a_stored_cause_names_one_id(text: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(CauseText).validate_python(text)


@given(st.text(max_size=60))
def test_the_two_readings_of_a_position_agree(text: str) -> None:
    try:
        Position.parse(text)
    except ValueError:
        with pytest.raises(ValidationError):
            TypeAdapter(PositionText).validate_python(text)
    else:
        assert TypeAdapter(PositionText).validate_python(text) == text


@settings(max_examples=50)
@given(positions, positions)
def test_positions_sort_by_stream_then_place(one: Position, other: Position) -> None:
    same = one.stream == other.stream

    assert (one < other) == (
        (one.stream, one.sequence, one.hash) < (other.stream, other.sequence, other.hash)
    )
    assert not same or (one.sequence < other.sequence) <= (one < other)
