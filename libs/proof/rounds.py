"""The text of one anchor round: the signed checkpoints of all logs, and nothing else.

Each checkpoint is a C2SP signed note; the notes follow each other in order of their origin, with an
empty line between two of them. The SHA-256 of the whole text is the memo of the round's
transaction. Format: docs/formats/round.md.

The text says nothing about who is to be trusted: `libs.merkle.verify_checkpoint` does, note by
note.

Source: C2SP signed-note and tlog-checkpoint; docs/formats/round.md.
"""

import hashlib
from collections.abc import Mapping, Sequence

from libs.merkle import (
    Checkpoint,
    ProofError,
    encode_vkey,
    parse_checkpoint,
    sign_note,
    verify_checkpoint,
)

ROUND_SIZE_MAX = 65_536
"""Longest round text in bytes, as `AnchorPrepared` takes it: some 250 logs."""

_BETWEEN = "\n"
"""Stands between two notes; each note ends with a newline, so it makes an empty line."""


def origin_of(deployment: str, stream: str) -> str:
    """The origin of a stream's log, such as `demo/READINGS_0`; also the name of its key."""
    return f"{deployment}/{stream}"


def vkey_of(deployment: str, stream: str, public_key: bytes) -> str:
    """The verifier key of a stream's log: `name+id+key`, the name being its origin."""
    return encode_vkey(origin_of(deployment, stream), public_key)


def write_round(checkpoints: Sequence[Checkpoint], seed: bytes) -> str:
    """Sign the checkpoints and write them as one text.

    Args:
        checkpoints: One for each log, in any order.
        seed: Ed25519 seed of the logs' key, 32 bytes.

    Returns:
        The text; the same arguments give the same text.

    Raises:
        ProofError: There is none, two have one origin, one cannot be signed, or the text is longer
            than `ROUND_SIZE_MAX`.
    """
    ordered = sorted(checkpoints, key=lambda checkpoint: checkpoint.origin)
    origins = [checkpoint.origin for checkpoint in ordered]
    if not ordered or len(set(origins)) != len(origins):
        raise ProofError("a round names at least one log, and each log once")
    notes = [sign_note(point.text(), point.origin, seed) for point in ordered]
    text = _BETWEEN.join(notes)
    if len(text.encode()) > ROUND_SIZE_MAX:
        raise ProofError(f"the text of a round is longer than {ROUND_SIZE_MAX} bytes")
    return text


def split_round(text: str) -> dict[str, str]:
    """Take the text of a round apart; signatures are not verified here.

    Returns:
        The signed note of each log, by origin, in the order of the text.

    Raises:
        ProofError: The text is not what `write_round` writes: notes in order of their origin, an
            empty line between two of them.
    """
    if len(text.encode("utf-8", "replace")) > ROUND_SIZE_MAX:
        raise ProofError(f"the text of a round is longer than {ROUND_SIZE_MAX} bytes")
    if not text.endswith("\n"):
        raise ProofError("the text of a round does not end with a newline")
    parts = text[:-1].split("\n\n")
    if len(parts) % 2:
        raise ProofError("the text of a round is not a row of signed notes")
    notes: dict[str, str] = {}
    for body, signatures in zip(parts[::2], parts[1::2], strict=True):
        origin = parse_checkpoint(f"{body}\n").origin
        if notes and origin <= max(notes):
            raise ProofError("the notes of a round are not in order of their origin")
        notes[origin] = f"{body}\n\n{signatures}\n"
    return notes


def verify_round(text: str, log_keys: Mapping[str, str]) -> dict[str, Checkpoint]:
    """Verify the checkpoints of a round whose keys are known.

    Args:
        text: The text of the round.
        log_keys: Verifier key (`name+id+key`) by origin; logs without one are passed over.

    Returns:
        The checkpoints of the logs with a known key, by origin.

    Raises:
        ProofError: The text is malformed, or a checkpoint of a known log is not signed by its key.
    """
    return {
        origin: verify_checkpoint(note, [log_keys[origin]], origin=origin)
        for origin, note in split_round(text).items()
        if origin in log_keys
    }


def round_sha256(text: str) -> bytes:
    """SHA-256 of a round's text, 32 bytes: the memo of its transaction."""
    return hashlib.sha256(text.encode("utf-8")).digest()
