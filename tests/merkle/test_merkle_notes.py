"""Signed notes and keys agree with published ones, and nothing but the exact form is read.

Published keys, notes and signatures, none of them ours:

- golang.org/x/mod/sumdb/note, `note_test.go` and `example_test.go`: the keys PeterNeumann and
  EnochRoot with their notes, and the list of malformed notes.
- C2SP signed-note v1.1.0, section "Verifier keys": example.com/foo.
- sum.golang.org, the checksum database of Go: its public key, as in cmd/go.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_core_ed25519_add, crypto_core_ed25519_is_valid_point
from nacl.signing import SigningKey

from libs.merkle import (
    Checkpoint,
    ProofError,
    encode_vkey,
    key_id,
    parse_checkpoint,
    parse_vkey,
    sign_note,
    verify_note,
)

GO_TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
PETER_SKEY = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
PETER_SEED = base64.b64decode(PETER_SKEY.split("+", 4)[4])[1:]
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngo"
    "tpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_SEED = bytes(32)
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWL"
    "ox33WWd1RvMc+QQ=\n"
)
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2"
    "ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
# Points of small order in every way of writing them, and coordinates beyond the prime, which a
# careless decoder takes for smaller numbers. `test_a_weak_point_is_weak` shows what they are.
PRIME = 2**255 - 19
ORDER_8 = (
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
)
_Y = [*(int.from_bytes(point, "little") for point in ORDER_8), *(0, 1, PRIME - 1)]
_Y += [PRIME + y for y in range(19)]
WEAK_KEYS = [(y | sign << 255).to_bytes(32, "little") for y in _Y for sign in (0, 1)]

SEED = hashlib.sha256(b"a log").digest()
NAME = "example.org/heliograph/readings-0"
KEY = bytes(SigningKey(SEED).verify_key)
TEXT = Checkpoint(NAME, 7, hashlib.sha256(b"root").digest()).text()


def refused_at(
    step: int, note: str | bytes, keys: Mapping[str, bytes] | Iterable[str]
) -> ProofError:
    with pytest.raises(ProofError) as refusal:
        verify_note(note, keys)
    assert refusal.value.step == step, refusal.value
    return refusal.value


def signature_line(name: str, value: bytes) -> str:
    return f"— {name} {base64.b64encode(value).decode('ascii')}\n"


# --- Published notes and keys ---


@pytest.mark.parametrize(
    ("name", "seed", "vkey", "line"),
    [
        ("PeterNeumann", PETER_SEED, PETER, PETER_LINE),
        ("EnochRoot", ENOCH_SEED, ENOCH, ENOCH_LINE),
    ],
)
def test_the_notes_of_go_are_signed_to_the_same_bytes(
    name: str, seed: bytes, vkey: str, line: str
) -> None:
    assert sign_note(GO_TEXT, name, seed) == f"{GO_TEXT}\n{line}"
    assert encode_vkey(name, bytes(SigningKey(seed).verify_key)) == vkey


@pytest.mark.parametrize("keys", [[PETER], [ENOCH], [PETER, ENOCH], [ENOCH, FOO, ENOCH]])
def test_a_published_note_verifies_with_any_key_that_signed_it(keys: list[str]) -> None:
    assert verify_note(f"{GO_TEXT}\n{PETER_LINE}{ENOCH_LINE}", keys) == GO_TEXT
    assert verify_note(f"{GO_TEXT}\n{PETER_LINE}{ENOCH_LINE}".encode(), keys) == GO_TEXT
    by_name = dict(parse_vkey(vkey) for vkey in keys)
    assert verify_note(f"{GO_TEXT}\n{PETER_LINE}{ENOCH_LINE}", by_name) == GO_TEXT


def test_the_example_of_the_signed_note_page_verifies() -> None:
    assert verify_note(FOO_NOTE, [FOO]) == "This is an example message.\n"


@pytest.mark.parametrize("vkey", [PETER, ENOCH, FOO, SUMDB])
def test_a_published_verifier_key_is_read_and_written_alike(vkey: str) -> None:
    name, public_key = parse_vkey(vkey)
    assert encode_vkey(name, public_key) == vkey
    assert key_id(name, public_key).hex() == vkey.split("+")[1]


GO_MALFORMED = [
    (GO_TEXT, 3),
    (f"{GO_TEXT}\n", 4),
    (f"{GO_TEXT}\n{PETER_LINE[:-1]}", 2),
    (f"\x01{GO_TEXT}\n{PETER_LINE}", 2),
    (b"\xff" + f"{GO_TEXT}\n{PETER_LINE}".encode(), 2),
    (f"{GO_TEXT}\n{PETER_LINE.replace('PeterNeumann', 'Bad Name')}", 4),
    (f"{GO_TEXT}\n{PETER_LINE}Unexpected line.\n", 4),
    (f"{GO_TEXT}\n{PETER_LINE[:60]}ABCD{PETER_LINE[60:]}", 5),
    (f"{GO_TEXT}\n{PETER_LINE * 101}", 3),
]


@pytest.mark.parametrize(("note", "step"), GO_MALFORMED)
def test_the_malformed_notes_of_go_are_refused(note: str | bytes, step: int) -> None:
    refused_at(step, note, [PETER])


# --- Notes ---


printable = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=0x20))


@given(st.lists(printable, min_size=1, max_size=6), st.binary(min_size=32, max_size=32))
@settings(deadline=None, max_examples=60)
def test_every_text_comes_back_from_its_own_note(lines: list[str], seed: bytes) -> None:
    text = "".join(f"{line}\n" for line in lines)
    note = sign_note(text, NAME, seed)
    public_key = bytes(SigningKey(seed).verify_key)
    assert verify_note(note, {NAME: public_key}) == text
    assert verify_note(note.encode(), [encode_vkey(NAME, public_key)]) == text


def test_empty_lines_at_the_end_of_a_text_are_text() -> None:
    for text in ("\n", "\n\n", "a\n\n", "a\n\n\n", f"a\n\n{PETER_LINE}"):
        assert verify_note(sign_note(text, NAME, SEED), {NAME: KEY}) == text


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_no_byte_of_a_signed_note_can_be_changed(data: st.DataObject) -> None:
    note = sign_note(TEXT, NAME, SEED).encode()
    at = data.draw(st.integers(0, len(note) - 1))
    changed = bytearray(note)
    changed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProofError):
        verify_note(bytes(changed), {NAME: KEY})


def test_a_note_that_only_strangers_signed_is_refused() -> None:
    note = sign_note(TEXT, NAME, SEED)
    refused_at(6, note, [PETER])
    refused_at(6, note, [])
    refused_at(6, note, {})


def test_a_stranger_with_the_name_of_a_known_key_is_passed_over() -> None:
    own = sign_note(TEXT, NAME, SEED)
    strange_line = sign_note(TEXT, NAME, bytes(32)).removeprefix(f"{TEXT}\n")
    refused_at(6, f"{TEXT}\n{strange_line}", {NAME: KEY})
    assert verify_note(own + strange_line, {NAME: KEY}) == TEXT


def test_a_stranger_with_the_id_of_a_known_key_is_passed_over() -> None:
    line = signature_line("example.org/other", key_id(NAME, KEY) + bytes(64))
    refused_at(6, f"{TEXT}\n{line}", {NAME: KEY})
    assert verify_note(sign_note(TEXT, NAME, SEED) + line, {NAME: KEY}) == TEXT


def test_signatures_of_other_types_are_passed_over() -> None:
    longer = signature_line("witness.example/w1", b"\x04abc" + bytes(2420))
    shortest = signature_line("witness.example/w2", b"\x04abc" + b"\x00")
    assert verify_note(sign_note(TEXT, NAME, SEED) + longer + shortest, {NAME: KEY}) == TEXT


def test_one_bad_signature_of_a_known_key_spoils_a_note() -> None:
    note = sign_note(TEXT, NAME, SEED)
    for signature in (bytes(64), bytes(63), bytes(65), b"\x00"):
        refused_at(5, note + signature_line(NAME, key_id(NAME, KEY) + signature), {NAME: KEY})
    other = sign_note(TEXT.replace("7", "8", 1), NAME, SEED).rsplit("\n\n", 1)[1]
    refused_at(5, note + other, {NAME: KEY})
    refused_at(5, f"{TEXT}\n{other}", {NAME: KEY})


def test_a_signature_that_is_not_reduced_is_refused() -> None:
    # Adding the group order gives a second signature that a careless verifier accepts.
    order = 2**252 + 27742317777372353535851937790883648493
    signature = SigningKey(SEED).sign(TEXT.encode()).signature
    scalar = int.from_bytes(signature[32:], "little") + order
    second = signature[:32] + scalar.to_bytes(32, "little")
    refused_at(5, f"{TEXT}\n{signature_line(NAME, key_id(NAME, KEY) + second)}", {NAME: KEY})


LINE = sign_note(TEXT, NAME, SEED).removeprefix(f"{TEXT}\n")
VALUE = LINE.split(" ")[2].rstrip("\n")
MALFORMED_LINES = {
    "a hyphen for a dash": LINE.replace("—", "-"),
    "no space after the dash": LINE.replace("— ", "—"),
    "two spaces after the dash": LINE.replace("— ", "—  "),
    "no name": f"— {VALUE}\n",
    "an empty name": f"—  {VALUE}\n",
    "a name with a plus sign": LINE.replace(NAME, "a+b"),
    "a name with a no-break space": LINE.replace(NAME, "a\u00a0b"),
    "a name with a next-line mark": LINE.replace(NAME, "a\u0085b"),
    "a name with an ideographic space": LINE.replace(NAME, "a\u3000b"),
    "no signature": f"— {NAME}\n",
    "an empty signature": f"— {NAME} \n",
    "an id and no signature": signature_line(NAME, key_id(NAME, KEY)),
    "three bytes": signature_line(NAME, b"abc"),
    "no padding": LINE.replace("=", ""),
    "too much padding": LINE.replace("=\n", "==\n"),
    "bits behind the end": re.sub(r"(.)=\n", lambda m: chr(ord(m[1]) + 1) + "=\n", LINE),
    "the other alphabet": LINE.replace(VALUE, "-_" + VALUE[2:]),
    "a space in the middle": LINE.replace(VALUE, VALUE[:8] + " " + VALUE[8:]),
    "a space at the end": LINE.replace("\n", " \n"),
    "letters beyond ASCII": LINE.replace(VALUE, "é" + VALUE[1:]),
}


@pytest.mark.parametrize("line", MALFORMED_LINES.values(), ids=MALFORMED_LINES)
def test_a_malformed_signature_line_spoils_a_note(line: str) -> None:
    assert line != LINE
    refused_at(4, f"{TEXT}\n{line}", {NAME: KEY})
    refused_at(4, f"{TEXT}\n{LINE}{line}", {NAME: KEY})
    # Also where the key is unknown.
    refused_at(4, f"{TEXT}\n{PETER_LINE}{line}", [PETER])


@pytest.mark.parametrize("control", [chr(code) for code in range(32) if chr(code) != "\n"])
def test_control_characters_are_refused_everywhere(control: str) -> None:
    with pytest.raises(ProofError):
        sign_note(f"a{control}b\n", NAME, SEED)
    with pytest.raises(ProofError):
        sign_note(TEXT, f"a{control}b", SEED)
    with pytest.raises(ProofError):
        parse_checkpoint(TEXT.replace("readings", f"readings{control}"))
    refused_at(2, f"a{control}b\n\n{PETER_LINE}", [PETER])
    refused_at(2, f"{GO_TEXT}\n{PETER_LINE.replace('Neumann', control)}", [PETER])
    refused_at(2, f"{GO_TEXT}\n{PETER_LINE}".replace("\n", f"{control}\n"), [PETER])


@pytest.mark.parametrize(
    ("note", "step"),
    [
        ("", 2),
        ("\n", 3),
        ("\n\n", 4),
        (f"\n{PETER_LINE}", 3),
        (f"{GO_TEXT}{PETER_LINE}", 3),
        (f"{GO_TEXT}\n{PETER_LINE}\n", 4),
        (f"{GO_TEXT}\n{PETER_LINE}\n{PETER_LINE}", 5),
        (f"{GO_TEXT}\n\n{PETER_LINE}", 5),
        (f" {GO_TEXT}\n{PETER_LINE}", 5),
        ("\ud800\n\n" + PETER_LINE, 2),
        ("a" * 1_000_000 + f"\n\n{PETER_LINE}", 2),
        (None, 2),
        (7, 2),
    ],
)
def test_what_is_not_laid_out_as_a_note_is_refused(note: str, step: int) -> None:
    refused_at(step, note, [PETER])


def test_a_hundred_signatures_are_read() -> None:
    assert verify_note(f"{GO_TEXT}\n{PETER_LINE * 100}", [PETER]) == GO_TEXT


def test_a_note_of_a_million_bytes_is_read_and_one_byte_more_is_not() -> None:
    text = "a" * (1_000_000 - len(f"\n{LINE}".encode()) - 1) + "\n"
    note = sign_note(text, NAME, SEED)
    assert len(note.encode()) == 1_000_000
    assert verify_note(note, {NAME: KEY}) == text
    refused_at(2, f"a{note}", {NAME: KEY})
    with pytest.raises(ProofError):
        sign_note(f"a{text}", NAME, SEED)


@pytest.mark.parametrize("text", ["", "a", "a\nb", "\ud800\n", None, b"a\n", "a" * 999_999 + "\n"])
def test_what_no_note_can_carry_is_not_signed(text: str) -> None:
    with pytest.raises(ProofError):
        sign_note(text, NAME, SEED)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u2003b", "\ud800", None, b"a"])
def test_what_is_no_key_name_is_refused(name: str) -> None:
    with pytest.raises(ProofError):
        sign_note(TEXT, name, SEED)
    with pytest.raises(ProofError):
        encode_vkey(name, KEY)
    refused_at(1, FOO_NOTE, {name: KEY})


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33), bytes(64), "x" * 32, None])
def test_what_is_no_seed_does_not_sign(seed: bytes) -> None:
    with pytest.raises(ProofError):
        sign_note(TEXT, NAME, seed)


# --- Keys ---


@pytest.mark.parametrize("key", WEAK_KEYS, ids=bytes.hex)
def test_a_public_key_that_nobody_can_own_is_refused(key: bytes) -> None:
    with pytest.raises(ProofError):
        encode_vkey(NAME, key)
    encoded = base64.b64encode(b"\x01" + key).decode("ascii")
    hint = hashlib.sha256(NAME.encode() + b"\n\x01" + key).hexdigest()[:8]
    with pytest.raises(ProofError, match="honest signer"):
        parse_vkey(f"{NAME}+{hint}+{encoded}")
    refused_at(1, FOO_NOTE, {NAME: key})


def test_a_weak_point_is_weak() -> None:
    for point in ORDER_8:
        double = crypto_core_ed25519_add(point, point)
        four = crypto_core_ed25519_add(double, double)
        neutral = crypto_core_ed25519_add(four, four)
        assert four == (PRIME - 1).to_bytes(32, "little")
        assert neutral == (1).to_bytes(32, "little")


def test_a_public_key_of_mixed_order_is_refused() -> None:
    mixed = crypto_core_ed25519_add(KEY, ORDER_8[0])
    assert crypto_core_ed25519_is_valid_point(KEY)
    with pytest.raises(ProofError, match="honest signer"):
        key_id(NAME, mixed)


@pytest.mark.parametrize("key", [b"", KEY[:31], KEY + b"\x00", None, "x" * 32, b"\x01" + KEY])
def test_a_public_key_is_32_bytes(key: bytes) -> None:
    with pytest.raises(ProofError):
        encode_vkey(NAME, key)
    refused_at(1, FOO_NOTE, {NAME: key})


MALFORMED_VKEYS = [
    "",
    "PeterNeumann",
    "PeterNeumann+c74f20a3",
    "PeterNeumann+c74f20a3+",
    PETER.replace("PeterNeumann", ""),
    PETER.replace("PeterNeumann", "Peter Neumann"),
    PETER.replace("PeterNeumann", "PeterNeuman"),
    PETER.replace("c74f20a3", "c74f20a4"),
    PETER.replace("c74f20a3", "C74F20A3"),
    PETER.replace("c74f20a3", "0c74f20a3"),
    PETER.replace("+ARpc", "+AhpC"),
    PETER.replace("+ARpc", "+AR.c"),
    PETER + "\n",
    PETER + "=",
    PETER[:-4],
    None,
    b"x",
]


@pytest.mark.parametrize("vkey", MALFORMED_VKEYS)
def test_a_malformed_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(ProofError):
        parse_vkey(vkey)
    refused_at(1, f"{GO_TEXT}\n{PETER_LINE}", [PETER, vkey])


def test_a_verifier_key_of_another_type_is_refused_though_its_id_fits() -> None:
    encoded = base64.b64encode(b"\x04" + KEY).decode("ascii")
    for type_byte in (b"\x01", b"\x04"):
        hint = hashlib.sha256(NAME.encode() + b"\n" + type_byte + KEY).hexdigest()[:8]
        with pytest.raises(ProofError, match="not an Ed25519 key"):
            parse_vkey(f"{NAME}+{hint}+{encoded}")


@pytest.mark.parametrize("keys", [None, 7, PETER, PETER.encode()])
def test_known_keys_are_a_mapping_or_a_list(keys: list[str]) -> None:
    refused_at(1, f"{GO_TEXT}\n{PETER_LINE}", keys)


def test_two_known_keys_with_one_name_and_id_are_refused() -> None:
    # Found by trying the numbers from 0 as seeds, until two keys of one name had the same id.
    seeds = [number.to_bytes(32, "big") for number in (77213, 80252)]
    keys = [bytes(SigningKey(seed).verify_key) for seed in seeds]
    vkeys = [encode_vkey("a", key) for key in keys]
    assert keys[0] != keys[1]
    assert key_id("a", keys[0]) == key_id("a", keys[1])
    refused_at(1, FOO_NOTE, [FOO, *vkeys])
    assert verify_note(FOO_NOTE, [FOO, vkeys[0], vkeys[0]])
