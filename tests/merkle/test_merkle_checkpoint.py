"""Checkpoints agree with published ones, and nothing but the exact form is read.

Published checkpoints, keys and signatures, none of them ours:

- C2SP tlog-checkpoint v1.0.0: the text of its first example. (Its signature is a picture of the
  format; no key is published for it.)
- transparency-dev/formats, `log/note_test.go`: a real checkpoint of sum.golang.org, the checksum
  database of Go, with its public key, and three witnesses that signed it as well.
- C2SP signed-note v1.1.0 and golang.org/x/mod/sumdb/note: notes that are no checkpoints.
"""

import base64
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from libs.merkle import (
    EMPTY_ROOT,
    SIZE_MAX,
    Checkpoint,
    ProofError,
    parse_checkpoint,
    sign_note,
    verify_checkpoint,
)

SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
SUMDB_ORIGIN = "go.sum database tree"
SUMDB_NOTE = (
    "go.sum database tree\n6476701\nmb8QLQIs0Z0yP5Cstq6guj87oXWeC9gEM8oVikmm9Wk=\n\n"
    "— sum.golang.org Az3grsLX85Gz+s1SiTbgkuqxgItqFq7gsMUEyVnrsa9LM7Us9S+1xbFIGu95949rj4nPRYfvi"
    "mWEPWL+o3GeoWwOoAw=\n"
)
WITNESSES = (
    "monkeys+db4d9f7e+AULaJMvTtDLHPUcUrjdDad9vDlh/PTfC2VV60JUtCfWT",
    "bananas+cf639f13+AaPjhFnPCQnid/Ql32KWhmh+uk72FVRfK+2DLmO3BI3M",
    "witness+f13a86db+AdYV1Ztajd9BvyjP2HgpwrqYL6TjOwIjGMOq8Bu42xbN",
)
WITNESS_LINES = (
    "— monkeys 202ffh9ve46Mqbhuyb4wnC2Pwdan5EsXQym/tF1ggXJqhjGosU4T5intH4iKMRgDLxrnXuIjRaU2Nbv"
    "AnaepM6Y+8ww=\n"
    "— bananas z2OfE+2bbsBZ7NLgfuslc0v7NFW2QyexJ7fhePpoL2N/P7N/COd5S+JNHbQEAlYzz2C5sg0E+x/MggS"
    "1mDR6t3/9rQw=\n"
    "— witness 8TqG25yWGFLdT7WPf/WoyeG3LwqtkXP+8S3yykOVm6EMh4hPgCke6eSVPU4BdtXNMPJBXKF+UpDbGgC"
    "dcpR8SVSoqAU=\n"
)
FOO = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
FOO_NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2"
    "ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngo"
    "tpRZb6KE6RyyBwJnAM=\n"
)
C2SP_CHECKPOINT = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
)

SEED = hashlib.sha256(b"a log").digest()
NAME = "example.org/heliograph/readings-0"
KEY = bytes(SigningKey(SEED).verify_key)
TEXT = Checkpoint(NAME, 7, hashlib.sha256(b"root").digest()).text()


@pytest.mark.parametrize("keys", [[SUMDB], *([vkey] for vkey in WITNESSES), [SUMDB, *WITNESSES]])
def test_a_real_checkpoint_verifies_with_its_log_and_with_each_witness(keys: list[str]) -> None:
    note = SUMDB_NOTE + WITNESS_LINES
    checkpoint = verify_checkpoint(note, keys, origin=SUMDB_ORIGIN)
    assert (checkpoint.origin, checkpoint.size) == (SUMDB_ORIGIN, 6476701)
    assert note.startswith(f"{checkpoint.text()}\n")
    with pytest.raises(ProofError) as refusal:
        verify_checkpoint(note.replace("6476701", "6476702"), keys, origin=SUMDB_ORIGIN)
    assert refusal.value.step == 5


def test_the_checkpoint_text_of_c2sp_is_read_and_written_alike() -> None:
    checkpoint = parse_checkpoint(C2SP_CHECKPOINT)
    assert checkpoint.origin == "example.com/behind-the-sofa"
    assert checkpoint.size == 20852163
    assert base64.b64encode(checkpoint.root) == b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    assert checkpoint.extensions == ()
    assert checkpoint.text() == C2SP_CHECKPOINT


origins = st.text(st.characters(exclude_categories=["Cs"], min_codepoint=0x20), min_size=1)
checkpoints = st.builds(
    Checkpoint,
    origins,
    st.integers(0, SIZE_MAX),
    st.binary(min_size=32, max_size=32),
    st.lists(origins, max_size=3).map(tuple),
)


@given(checkpoints)
@settings(deadline=None, max_examples=60)
def test_every_checkpoint_comes_back_from_its_text(checkpoint: Checkpoint) -> None:
    assert parse_checkpoint(checkpoint.text()) == checkpoint


def test_extension_lines_are_kept() -> None:
    text = C2SP_CHECKPOINT + "first\nsecond line\n"
    assert parse_checkpoint(text).extensions == ("first", "second line")
    assert parse_checkpoint(text).text() == text


ROOT_LINE = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
MALFORMED_CHECKPOINTS = {
    "nothing": "",
    "an empty line": "\n",
    "one line": "o\n",
    "no root": "o\n1\n",
    "an empty root": "o\n1\n\n",
    "no newline at the end": f"o\n1\n{ROOT_LINE}",
    "an empty origin": f"\n1\n{ROOT_LINE}\n",
    "an empty line at the end": f"o\n1\n{ROOT_LINE}\n\n",
    "an empty extension line": f"o\n1\n{ROOT_LINE}\n\nx\n",
    "a leading zero": f"o\n01\n{ROOT_LINE}\n",
    "two zeros": f"o\n00\n{ROOT_LINE}\n",
    "a plus sign": f"o\n+1\n{ROOT_LINE}\n",
    "a minus sign": f"o\n-1\n{ROOT_LINE}\n",
    "a space before": f"o\n 1\n{ROOT_LINE}\n",
    "a space behind": f"o\n1 \n{ROOT_LINE}\n",
    "an underscore": f"o\n1_0\n{ROOT_LINE}\n",
    "a fraction": f"o\n1.0\n{ROOT_LINE}\n",
    "an exponent": f"o\n1e3\n{ROOT_LINE}\n",
    "hexadecimal": f"o\n0x1\n{ROOT_LINE}\n",
    "digits of another script": f"o\n\u0661\n{ROOT_LINE}\n",
    "a superscript": f"o\n\u00b2\n{ROOT_LINE}\n",
    "a size too large": f"o\n{SIZE_MAX + 1}\n{ROOT_LINE}\n",
    "a size of 20 digits": f"o\n{10**19}\n{ROOT_LINE}\n",
    "a size of 5000 digits": f"o\n{'9' * 5000}\n{ROOT_LINE}\n",
    "a root without padding": f"o\n1\n{ROOT_LINE[:-1]}\n",
    "a root with bits behind the end": f"o\n1\n{ROOT_LINE[:-2]}J=\n",
    "a root in the other alphabet": f"o\n1\n{ROOT_LINE.replace('/', '_')}\n",
    "a root with a space": f"o\n1\n{ROOT_LINE} \n",
    "a root of 31 bytes": f"o\n1\n{base64.b64encode(bytes(31)).decode()}\n",
    "a root of 33 bytes": f"o\n1\n{base64.b64encode(bytes(33)).decode()}\n",
    "carriage returns": f"o\r\n1\r\n{ROOT_LINE}\r\n",
    "bytes": b"o\n1\n",
    "a number": 7,
}


@pytest.mark.parametrize("text", MALFORMED_CHECKPOINTS.values(), ids=MALFORMED_CHECKPOINTS)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(ProofError):
        parse_checkpoint(text)


def test_the_smallest_and_largest_sizes_are_read() -> None:
    for size in (0, 9, 10, SIZE_MAX):
        assert parse_checkpoint(f"o\n{size}\n{ROOT_LINE}\n").size == size


@pytest.mark.parametrize(
    "fields",
    [
        ("", 1, EMPTY_ROOT),
        ("a\nb", 1, EMPTY_ROOT),
        ("a\tb", 1, EMPTY_ROOT),
        (None, 1, EMPTY_ROOT),
        ("o", -1, EMPTY_ROOT),
        ("o", SIZE_MAX + 1, EMPTY_ROOT),
        ("o", True, EMPTY_ROOT),
        ("o", "1", EMPTY_ROOT),
        ("o", 1, EMPTY_ROOT[1:]),
        ("o", 1, "x" * 32),
        ("o", 1, EMPTY_ROOT, ("",)),
        ("o", 1, EMPTY_ROOT, ("a\nb",)),
        ("o", 1, EMPTY_ROOT, (None,)),
        ("o", 1, EMPTY_ROOT, ["a"]),
    ],
)
def test_a_checkpoint_that_could_not_be_read_again_cannot_be_made(
    fields: tuple[str, int, bytes],
) -> None:
    with pytest.raises(ProofError):
        Checkpoint(*fields)


def test_a_checkpoint_of_another_log_is_refused_though_the_key_is_right() -> None:
    note = sign_note(TEXT, NAME, SEED)
    assert verify_checkpoint(note, {NAME: KEY}, origin=NAME).size == 7
    with pytest.raises(ProofError) as refusal:
        verify_checkpoint(note, {NAME: KEY}, origin="example.org/heliograph/readings-1")
    assert refusal.value.step == 8


def test_a_signed_text_that_is_no_checkpoint_is_refused() -> None:
    with pytest.raises(ProofError) as refusal:
        verify_checkpoint(FOO_NOTE, [FOO], origin="This is an example message.")
    assert refusal.value.step == 7


def test_an_unsigned_checkpoint_is_refused_before_it_is_read() -> None:
    with pytest.raises(ProofError) as refusal:
        verify_checkpoint(f"{TEXT}\n{PETER_LINE}", {NAME: KEY}, origin=NAME)
    assert refusal.value.step == 6
