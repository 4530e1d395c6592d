"""Ids stay one token of a subject, and an address spells one sound key and nothing else.

The keys of small order are the published list, checked here once more by curve arithmetic that
shares nothing with libsodium.
"""

import base64
import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from libs.events.ids import Address, HashHex, Id, Reference, address_of, is_id, public_key_of
from libs.events.jws import SigningKey
from tools.jws_vectors import FIELD, SMALL_ORDER_KEYS

ADDRESS = "GA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJVSGZ"
"""The example of SEP-23."""
PUBLIC_KEY = bytes.fromhex("3f0c34bf93ad0d9971d04ccc90f705511c838aad9734a4a2fb0d7a03fc7fe89a")

seeds = st.binary(min_size=32, max_size=32)
Point = tuple[int, int]


def spelled(version: int, key: bytes) -> str:
    """An address without any check of the key."""
    body = bytes([version]) + key
    return base64.b32encode(body + binascii.crc_hqx(body, 0).to_bytes(2, "little")).decode()


def point_of(key: bytes) -> Point:
    """The point that 32 bytes spell, in any spelling (RFC 8032, section 5.1.3)."""
    number = int.from_bytes(key, "little")
    y, sign = number % 2**255 % FIELD, number >> 255
    d = -121665 * pow(121666, -1, FIELD) % FIELD
    squared = (y * y - 1) * pow(d * y * y + 1, -1, FIELD) % FIELD
    x = pow(squared, (FIELD + 3) // 8, FIELD)
    if x * x % FIELD != squared:
        x = x * pow(2, (FIELD - 1) // 4, FIELD) % FIELD
    assert x * x % FIELD == squared, "no point"
    return (x if x % 2 == sign else -x % FIELD), y


def doubled(point: Point) -> Point:
    x, y = point
    d = -121665 * pow(121666, -1, FIELD)
    product = d * x * x * y * y
    return (
        2 * x * y * pow(1 + product, -1, FIELD) % FIELD,
        (y * y + x * x) * pow(1 - product, -1, FIELD) % FIELD,
    )


@pytest.mark.parametrize("text", ["a", "Z", "0", "_", "-", "a" * 64, "meter-7_B"])
def test_letters_digits_line_and_dash_are_an_id(text: str) -> None:
    assert is_id(text)
    assert TypeAdapter(Id).validate_python(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 65,
        "a.b",
        "a*",
        "*",
        ">",
        "a>",
        "a/b",
        "a b",
        " a",
        "a\n",
        "a\0",
        "\u00e9",
        "\uff11",
        "a+b",
        "#",
        "$a",
        "a:b",
        "a,b",
        "\u202ea",
    ],
)
def test_nothing_else_is_an_id(text: str) -> None:
    assert not is_id(text)
    with pytest.raises(ValidationError):
        TypeAdapter(Id).validate_python(text)


@given(st.text(max_size=70))
def test_the_two_readings_of_an_id_agree(text: str) -> None:
    try:
        TypeAdapter(Id).validate_python(text)
    except ValidationError:
        assert not is_id(text)
    else:
        assert is_id(text)


def test_an_id_is_text() -> None:
    for value in (7, None, b"a", ["a"], True):
        with pytest.raises(ValidationError):
            TypeAdapter(Id).validate_python(value)


def test_a_reference_joins_ids_with_dots() -> None:
    reference = TypeAdapter(Reference)

    assert reference.validate_python("raul.july-paid") == "raul.july-paid"
    assert reference.validate_python(f"{'a' * 64}.{'b' * 64}") == f"{'a' * 64}.{'b' * 64}"
    for text in ("", "a b", "a*", "a" * 131, "a/b", "a\n"):
        with pytest.raises(ValidationError):
            reference.validate_python(text)


def test_a_hash_is_64_small_hexadecimal_digits() -> None:
    digest = "0123456789abcdef" * 4

    assert TypeAdapter(HashHex).validate_python(digest) == digest
    for text in (digest[1:], digest + "0", digest.upper(), "g" * 64, digest[:-1] + "\n"):
        with pytest.raises(ValidationError):
            TypeAdapter(HashHex).validate_python(text)


def test_the_example_of_the_standard_is_read_and_written() -> None:
    assert public_key_of(ADDRESS) == PUBLIC_KEY
    assert address_of(PUBLIC_KEY) == ADDRESS
    assert TypeAdapter(Address).validate_python(ADDRESS) == ADDRESS


@given(seeds)
def test_the_address_of_every_key_leads_back_to_it(seed: bytes) -> None:
    address = SigningKey(seed).address

    assert address_of(public_key_of(address)) == address


@given(seeds, st.integers(0, 55), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_no_address_with_one_wrong_letter_is_read(seed: bytes, at: int, letter: str) -> None:
    address = SigningKey(seed).address
    changed = address[:at] + letter + address[at + 1 :]

    if changed == address:
        assert public_key_of(changed)
    else:
        with pytest.raises(ValueError, match=r"check sum|begins with G|base32"):
            public_key_of(changed)


@given(seeds, st.integers(0, 54))
def test_no_address_with_two_letters_swapped_is_read(seed: bytes, at: int) -> None:
    address = SigningKey(seed).address
    changed = address[:at] + address[at + 1] + address[at] + address[at + 2 :]

    if changed == address:
        assert public_key_of(changed)
    else:
        with pytest.raises(ValueError, match=r"check sum|begins with G"):
            public_key_of(changed)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "56 characters"),
        (ADDRESS[:-1], "56 characters"),
        (ADDRESS + "A", "56 characters"),
        (ADDRESS.lower(), "base32"),
        (ADDRESS[:-1] + "1", "base32"),
        (ADDRESS[:-1] + "\u00c4", "56 characters"),
        (ADDRESS[:-8] + "========", "base32"),
        (spelled(18 << 3, PUBLIC_KEY), "begins with G"),
        (spelled(19 << 3, PUBLIC_KEY), "begins with G"),
        (spelled(23 << 3, PUBLIC_KEY), "begins with G"),
        (spelled(6 << 3 | 1, PUBLIC_KEY), "begins with G"),
    ],
    ids=[
        "empty",
        "short",
        "long",
        "small letters",
        "the digit 1",
        "not ASCII",
        "padding",
        "seed",
        "pre-authorised",
        "hash",
        "other version",
    ],
)
def test_what_is_no_address_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        public_key_of(text)
    with pytest.raises(ValidationError):
        TypeAdapter(Address).validate_python(text)


@pytest.mark.parametrize("key", SMALL_ORDER_KEYS)
def test_no_key_of_small_order_is_let_in(key: str) -> None:
    address = spelled(6 << 3, bytes.fromhex(key))

    with pytest.raises(ValueError, match="small order"):
        public_key_of(address)
    with pytest.raises(ValidationError, match="small order"):
        TypeAdapter(Address).validate_python(address)


def test_the_published_list_holds_every_point_of_small_order() -> None:
    points = {point_of(bytes.fromhex(key)) for key in SMALL_ORDER_KEYS}

    assert len(set(SMALL_ORDER_KEYS)) == 14
    assert len(points) == 8
    assert {doubled(doubled(doubled(point))) for point in points} == {(0, 1)}


@pytest.mark.parametrize("y", [FIELD, FIELD + 1, FIELD + 3, FIELD + 18, 2**255 - 1])
@pytest.mark.parametrize("sign", [0, 1])
def test_no_key_in_a_second_spelling_is_let_in(y: int, sign: int) -> None:
    key = (y | sign << 255).to_bytes(32, "little")

    with pytest.raises(ValueError, match="non-canonical"):
        public_key_of(spelled(6 << 3, key))


def test_a_key_that_is_no_point_is_refused() -> None:
    with pytest.raises(ValueError, match="non-canonical"):
        public_key_of(spelled(6 << 3, (2).to_bytes(32, "little")))


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_only_32_bytes_have_an_address(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        address_of(bytes(size))
