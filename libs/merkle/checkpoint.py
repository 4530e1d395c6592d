"""Checkpoints and signed notes: the text that names a log's size and root, and who vouches for it.

A checkpoint is at least three lines: origin, size, root. A signed note is any text, an empty line,
and one line for each signature:

    example.org/heliograph/readings-0
    20852163
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — example.org/heliograph/readings-0 <base64 of key id and signature>

Only Ed25519 (signature type 1) is signed and verified. Signatures of other types and other keys are
read and passed over, so that witnesses may add theirs. Text of a note must not be used before
`verify_note` or `verify_checkpoint` has returned it.

Source:
    C2SP signed-note and tlog-checkpoint, v1.0.0 (https://c2sp.org); key text form as in Go's
    golang.org/x/mod/sumdb/note.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from libs.merkle._checks import SIZE_MAX, at_step, checked_bytes, checked_integer
from libs.merkle.errors import ProofError

ED25519 = b"\x01"
"""Signature type of C2SP signed-note, in one byte."""

PUBLIC_KEY_SIZE = 32
"""Length of an Ed25519 public key, in bytes."""

SEED_SIZE = 32
"""Length of an Ed25519 private seed, in bytes."""

SIGNATURE_SIZE = 64
"""Length of an Ed25519 signature, in bytes."""

KEY_ID_SIZE = 4
"""Length of a key id, in bytes."""

NOTE_SIZE_MAX = 1_000_000
"""Largest note that is read, in bytes. Go's sumdb/note has the same limit."""

SIGNATURE_COUNT_MAX = 100
"""Most signatures that are read from a note. C2SP asks for at least 16; Go's limit is 100."""

_DASH = "\N{EM DASH} "
_FORBIDDEN = re.compile(r"[\x00-\x09\x0b-\x1f]")
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}")
_VKEY = re.compile(r"([^+]+)\+([0-9a-f]{8})\+(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Size and root of one log at one moment.

    Raises:
        ProofError: A field could not be written as one line of a checkpoint, or the size or root is
            out of range.
    """

    origin: str
    """Which log, as one line of text, such as `example.org/heliograph/readings-0`. Not empty."""

    size: int
    """Number of leaves."""

    root: bytes
    """Root at that size, 32 bytes."""

    extensions: tuple[str, ...] = ()
    """`(line_count,)` further lines as they were found, none of them empty. We write none."""

    def __post_init__(self) -> None:
        _checked_line(self.origin, "the origin")
        checked_integer(self.size, "the size of a checkpoint")
        checked_bytes(self.root, "the root of a checkpoint")
        given: object = self.extensions
        if not isinstance(given, tuple):
            raise ProofError("the extension lines are not a tuple")
        for line in given:
            _checked_line(line, "an extension line")

    def text(self) -> str:
        """Write the checkpoint as the text that is signed.

        Returns:
            Origin, decimal size, base64 root and extension lines, each ended by a newline.

        Source:
            C2SP tlog-checkpoint, "Note text".
        """
        root = base64.b64encode(self.root).decode("ascii")
        return "".join(f"{line}\n" for line in (self.origin, self.size, root, *self.extensions))


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint; only the one form that `Checkpoint.text` writes is accepted.

    The text says nothing about who wrote it; `verify_checkpoint` does.

    Args:
        text: At least three lines, none empty, each ended by a newline.

    Returns:
        The checkpoint; `text()` gives back the same text, character by character.

    Raises:
        ProofError: A line is missing, empty or has a control character, the size is not a plain
            decimal number without leading zeros up to `SIZE_MAX`, or the root is not the base64 of
            32 bytes.

    Source:
        C2SP tlog-checkpoint, "Note text".
    """
    lines = _checked_text(text, "a checkpoint")[:-1].split("\n")
    if len(lines) < 3:  # noqa: PLR2004 - origin, size, root
        raise ProofError("a checkpoint has fewer than three lines")
    origin, size, root, *extensions = lines
    if not _DECIMAL.fullmatch(size) or int(size) > SIZE_MAX:
        raise ProofError("the size of a checkpoint is not a plain decimal number")
    return Checkpoint(
        origin=origin,
        size=int(size),
        root=_canonical_base64(root, "the root of a checkpoint"),
        extensions=tuple(extensions),
    )


def verify_checkpoint(
    note: str | bytes, verifier_keys: Mapping[str, bytes] | Iterable[str], *, origin: str
) -> Checkpoint:
    """Verify a signed checkpoint of one log.

    Steps:
        1 to 6. Those of `verify_note`.
        7. The text that was signed is a checkpoint (`parse_checkpoint`).
        8. The origin is that of the log asked for, so that no log can stand in for another one that
           the same key signs.

    Args:
        note: The signed note.
        verifier_keys: The keys that may sign for this log, as in `verify_note`.
        origin: The origin line that is expected, whole.

    Returns:
        The checkpoint.

    Raises:
        ProofError: One of the steps fails.

    Source:
        C2SP tlog-checkpoint.
    """
    text = verify_note(note, verifier_keys)
    with at_step(7):
        checkpoint = parse_checkpoint(text)
    with at_step(8):
        if checkpoint.origin != origin:
            raise ProofError("the checkpoint is that of another log")
    return checkpoint


def key_id(name: str, public_key: bytes) -> bytes:
    """Work out the short id by which a signature line names its key.

    It is a hint for finding the key, not a fingerprint: anyone can make a second key with the same
    id.

    Args:
        name: Key name: not empty, no space, no plus sign.
        public_key: Ed25519 public key, 32 bytes.

    Returns:
        4 bytes.

    Raises:
        ProofError: The name or the key is not acceptable.

    Source:
        C2SP signed-note, "Signatures".
    """
    line = _checked_name(name).encode()
    key = _checked_public_key(public_key)
    return hashlib.sha256(line + b"\n" + ED25519 + key).digest()[:KEY_ID_SIZE]


def encode_vkey(name: str, public_key: bytes) -> str:
    """Write a public key as the one line of text in which verifier keys are handed on.

    Args:
        name: Key name: not empty, no space, no plus sign.
        public_key: Ed25519 public key, 32 bytes.

    Returns:
        `name+id+key`: the id as 8 hexadecimal digits, the key as base64 of type byte and public
        key.

    Raises:
        ProofError: The name or the key is not acceptable.

    Source:
        golang.org/x/mod/sumdb/note, "Verifying Notes"; C2SP signed-note v1.1.0, "Verifier keys".
    """
    hint = key_id(name, public_key)
    key = base64.b64encode(ED25519 + public_key).decode("ascii")
    return f"{name}+{hint.hex()}+{key}"


def parse_vkey(vkey: str) -> tuple[str, bytes]:
    """Read a verifier key; only the one form that `encode_vkey` writes is accepted.

    Args:
        vkey: `name+id+key`.

    Returns:
        `(name, public_key)`: the key name, and the Ed25519 public key, 32 bytes.

    Raises:
        ProofError: The text has another form, another signature type, an id that does not belong to
            the key, or a key that nobody can have made honestly.

    Source:
        golang.org/x/mod/sumdb/note, "Verifying Notes"; C2SP signed-note v1.1.0, "Verifier keys".
    """
    given: object = vkey
    parts = _VKEY.fullmatch(given) if isinstance(given, str) else None
    if parts is None:
        raise ProofError("a verifier key is not of the form name+id+key")
    name, hexadecimal, encoded = parts.groups()
    key = _canonical_base64(encoded, "a verifier key")
    if key[:1] != ED25519:
        raise ProofError("a verifier key is not an Ed25519 key")
    if key_id(name, key[1:]).hex() != hexadecimal:
        raise ProofError("the id of a verifier key does not belong to it")
    return name, key[1:]


def sign_note(text: str, name: str, seed: bytes) -> str:
    """Sign a text, with the same result each time.

    Args:
        text: Not empty, ended by a newline, no control characters but newlines. Empty lines are
            fine.
        name: Key name: not empty, no space, no plus sign. For a checkpoint usually its origin.
        seed: Ed25519 private seed, 32 bytes.

    Returns:
        The note: the text, an empty line, and one signature line.

    Raises:
        ProofError: Text, name or seed is not acceptable, or the note would be too long to be read.

    Source:
        C2SP signed-note; RFC 8032 for Ed25519.
    """
    signed = _checked_text(text, "the text of a note").encode()
    key = SigningKey(checked_bytes(seed, "the seed", size=SEED_SIZE))
    key_hint = key_id(name, bytes(key.verify_key))
    signature = base64.b64encode(key_hint + key.sign(signed).signature).decode("ascii")
    return _readable(f"{text}\n{_DASH}{name} {signature}\n")


def verify_note(note: str | bytes, verifier_keys: Mapping[str, bytes] | Iterable[str]) -> str:
    """Verify that a known key signed a note, and give back the text that it signed.

    Steps:
        1. Every known key is sound, and no two different ones share name and id.
        2. The note is UTF-8 without control characters, not too long, and ends with a newline.
        3. Its last empty line parts a text from 1 to `SIGNATURE_COUNT_MAX` signature lines.
        4. Every signature line is well formed, also those of unknown keys.
        5. Every signature of a known key verifies over the text; one that does not spoils the note.
        6. At least one signature was of a known key.

    Signatures of unknown keys are not checked, even if they share a name or an id with a known key.
    One known key is enough: how many must sign is for the caller to ask, one call for each key.

    Args:
        note: The signed note, as text or as UTF-8.
        verifier_keys: Whom to believe: key name to Ed25519 public key, 32 bytes; or verifier keys
            in text form, which may hold several keys of one name.

    Returns:
        The text with its last newline, without the empty line that follows.

    Raises:
        ProofError: One of the steps fails.

    Source:
        C2SP signed-note; limits as in golang.org/x/mod/sumdb/note.
    """
    with at_step(1):
        known = _known_keys(verifier_keys)
    with at_step(2):
        whole = _readable(note)
    with at_step(3):
        text, lines = _split_note(whole)
    with at_step(4):
        signatures = [_parse_signature_line(line) for line in lines]
    with at_step(5):
        verified_count = 0
        for name, hint, signature in signatures:
            public_key = known.get((name, hint))
            if public_key is None:
                continue
            if not _is_signed(text, signature, public_key):
                raise ProofError(f"a signature of the known key {name} does not verify")
            verified_count += 1
    with at_step(6):
        if verified_count == 0:
            raise ProofError("no known key signed the note")
    return text


def _known_keys(verifier_keys: object) -> dict[tuple[str, bytes], bytes]:
    """Map (name, key id) to public key."""
    if isinstance(verifier_keys, Mapping):
        pairs = list(verifier_keys.items())
    elif isinstance(verifier_keys, Iterable) and not isinstance(verifier_keys, (str, bytes)):
        pairs = [parse_vkey(vkey) for vkey in verifier_keys]
    else:
        raise ProofError("the known keys are neither a mapping nor a list")
    known: dict[tuple[str, bytes], bytes] = {}
    for name, public_key in pairs:
        place = (name, key_id(name, public_key))
        if known.setdefault(place, public_key) != public_key:
            raise ProofError(f"two known keys share the name {name} and one id")
    return known


def _readable(note: object) -> str:
    """Decode a note and refuse what no note may hold."""
    if isinstance(note, bytes):
        try:
            note = note.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ProofError("the note is not UTF-8") from error
    whole = _checked_text(note, "the note")
    if len(whole.encode()) > NOTE_SIZE_MAX:
        raise ProofError(f"the note is longer than {NOTE_SIZE_MAX} bytes")
    return whole


def _split_note(whole: str) -> tuple[str, list[str]]:
    """Part a note into its text and its signature lines, at the last empty line."""
    at = whole.rfind("\n\n")
    if at < 0:
        raise ProofError("the note has no empty line before its signatures")
    lines = whole[at + 2 : -1].split("\n")
    if len(lines) > SIGNATURE_COUNT_MAX:
        raise ProofError(f"the note has more than {SIGNATURE_COUNT_MAX} signatures")
    return whole[: at + 1], lines


def _parse_signature_line(line: str) -> tuple[str, bytes, bytes]:
    """Take a signature line apart into key name, key id and signature."""
    name, space, encoded = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise ProofError("a signature line has another form")
    value = _canonical_base64(encoded, "a signature")
    if len(value) <= KEY_ID_SIZE:
        raise ProofError("a signature is empty")
    return _checked_name(name), value[:KEY_ID_SIZE], value[KEY_ID_SIZE:]


def _is_signed(text: str, signature: bytes, public_key: bytes) -> bool:
    if len(signature) != SIGNATURE_SIZE:
        return False
    try:
        VerifyKey(public_key).verify(text.encode(), signature)
    except BadSignatureError:
        return False
    return True


def _checked_public_key(public_key: object) -> bytes:
    """Accept an Ed25519 public key that an honest signer can have.

    Refused are points that are not on the curve, are written in a second way, or have a small or
    mixed
    order: for some of these a signature verifies over any text, or verifiers differ in their
        answer.
    """
    key = checked_bytes(public_key, "a public key", size=PUBLIC_KEY_SIZE)
    if not crypto_core_ed25519_is_valid_point(key):
        raise ProofError("a public key is not a point that an honest signer can have")
    return key


def _checked_name(name: object) -> str:
    line = _checked_line(name, "a key name")
    if "+" in line or any(character.isspace() for character in line):
        raise ProofError("a key name has a space or a plus sign")
    return line


def _checked_line(line: object, what: str) -> str:
    """Accept one line of text without its newline, not empty."""
    if not isinstance(line, str) or not line or "\n" in line:
        raise ProofError(f"{what} is not one line of text")
    _checked_text(f"{line}\n", what)
    return line


def _checked_text(text: object, what: str) -> str:
    """Accept text that can be part of a note: UTF-8, ended by a newline, no control characters."""
    if not isinstance(text, str) or not text.endswith("\n"):
        raise ProofError(f"{what} is not text that ends with a newline")
    if _FORBIDDEN.search(text):
        raise ProofError(f"{what} has a control character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ProofError(f"{what} cannot be written as UTF-8") from error
    return text


def _canonical_base64(encoded: str, what: str) -> bytes:
    """Decode standard base64 and refuse every way of writing it but one."""
    try:
        value = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise ProofError(f"{what} is not base64") from error
    if base64.b64encode(value).decode("ascii") != encoded:
        raise ProofError(f"{what} is base64 in a second way of writing")
    return value
