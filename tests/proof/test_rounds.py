"""The text of a round: what is written is read, and nothing else is."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from libs.merkle import Checkpoint, ProofError
from libs.proof.rounds import (
    ROUND_SIZE_MAX,
    origin_of,
    round_sha256,
    split_round,
    verify_round,
    vkey_of,
    write_round,
)

SEED = hashlib.sha256(b"rounds").digest()
PUBLIC_KEY = bytes(SigningKey(SEED).verify_key)


def head(stream: str, size: int = 3) -> Checkpoint:
    return Checkpoint(origin_of("demo", stream), size, hashlib.sha256(stream.encode()).digest())


TEXT = write_round([head("PRICES"), head("ANCHORS"), head("LEDGER_pilot")], SEED)
MEMO = "6044ef75e0c87ac0f4cac8af1c22aeae74494cf8da15a9b9de1a963e98532ecc"
KEYS = {
    f"demo/{stream}": vkey_of("demo", stream, PUBLIC_KEY)
    for stream in ("ANCHORS", "LEDGER_pilot", "PRICES")
}


def test_the_text_is_this_one() -> None:
    """Golden: the memo of a round depends on every byte of it."""
    assert TEXT.split("\n")[:6] == [
        "demo/ANCHORS",
        "3",
        "0th3V/vc6l8chmUJVGu0HG7WqClOdyMuslq5+w1azIY=",
        "",
        TEXT.split("\n")[4],
        "",
    ]
    assert TEXT.split("\n")[4].startswith("— demo/ANCHORS ")
    assert round_sha256(TEXT).hex() == hashlib.sha256(TEXT.encode()).hexdigest() == MEMO


def test_origins_are_in_order() -> None:
    assert list(split_round(TEXT)) == ["demo/ANCHORS", "demo/LEDGER_pilot", "demo/PRICES"]


@given(st.sets(st.from_regex(r"[A-Z]{1,8}", fullmatch=True), min_size=1, max_size=12))
def test_written_and_read_back(streams: set[str]) -> None:
    heads = {f"demo/{stream}": head(stream, len(stream)) for stream in streams}
    text = write_round(list(heads.values()), SEED)
    keys = {f"demo/{stream}": vkey_of("demo", stream, PUBLIC_KEY) for stream in streams}
    assert verify_round(text, keys) == heads
    assert "\n".join(split_round(text).values()) == text


def test_logs_without_a_known_key_are_passed_over() -> None:
    assert list(verify_round(TEXT, {"demo/PRICES": KEYS["demo/PRICES"]})) == ["demo/PRICES"]


def test_another_key_is_refused() -> None:
    other = bytes(SigningKey(hashlib.sha256(b"other").digest()).verify_key)
    with pytest.raises(ProofError):
        verify_round(TEXT, {"demo/PRICES": vkey_of("demo", "PRICES", other)})


def test_one_log_does_not_stand_in_for_another() -> None:
    """The same key signs all logs; the origin keeps them apart."""
    notes = split_round(TEXT)
    swapped = notes["demo/ANCHORS"].replace("demo/ANCHORS\n", "demo/PRICES\n", 1)
    with pytest.raises(ProofError):
        verify_round(swapped, KEYS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "x",
        TEXT[:-1],
        TEXT + "\n",
        "\n" + TEXT,
        TEXT + TEXT,
        TEXT + "\n" + TEXT,
        "\n".join(reversed(list(split_round(TEXT).values()))),
        TEXT.replace("\n\n", "\n", 1),
        TEXT.replace("demo/ANCHORS\n3\n", "demo/ANCHORS\n03\n", 1),
        "a" * (ROUND_SIZE_MAX + 1) + "\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        verify_round(text, KEYS)


def test_nothing_and_twice_are_refused() -> None:
    for heads in ([], [head("PRICES"), head("PRICES", 4)]):
        with pytest.raises(ProofError):
            write_round(heads, SEED)


def test_too_many_logs_are_refused() -> None:
    with pytest.raises(ProofError, match="longer"):
        write_round([head(f"A{'B' * 50}_{n}") for n in range(400)], SEED)
