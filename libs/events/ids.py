"""Ids: what may stand in a subject, and Stellar addresses.

An id becomes one token of a NATS subject and one level of an MQTT topic, so its alphabet is narrow
on purpose: a `*`, `>`, `.` or `/` in an id would change what a subject means.
"""

import base64
import binascii
import re
from functools import lru_cache
from typing import Annotated

from nacl.bindings import crypto_core_ed25519_is_valid_point
from pydantic import AfterValidator, StringConstraints

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
"""What every id in a subject matches (eventing contract, section 1)."""

ADDRESS_LENGTH = 56
"""Characters of a Stellar address."""

ADDRESSES_REMEMBERED = 65_536
"""Addresses whose key is remembered: checking a point costs as much as verifying a signature."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ADDRESS_VERSION = 6 << 3  # SEP-23: account ids start with `G`
_SECRET_SEED_VERSION = 18 << 3  # SEP-23: secret seeds start with `S`
_PUBLIC_KEY_SIZE = 32

Id = Annotated[str, StringConstraints(strict=True, pattern=ID_PATTERN)]
"""One id: 1 to 64 of letters, digits, `_` and `-`."""

Reference = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9_.-]{1,130}$")]
"""A name made of ids, such as `<member>.<command id>`; never a token of a subject."""

HashHex = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 hash as 64 lower-case hexadecimal digits."""


def is_id(text: str) -> bool:
    """Tell whether the text may stand as one token of a subject."""
    return _ID.fullmatch(text) is not None


@lru_cache(maxsize=ADDRESSES_REMEMBERED)
def public_key_of(address: str) -> bytes:
    """Decode a Stellar address to the Ed25519 public key that it spells.

    Args:
        address: A SEP-23 account id, 56 characters, beginning with `G`.

    Returns:
        The public key, 32 bytes, a canonical point of the main subgroup.

    Raises:
        ValueError: The text is no address, its check sum is wrong, or the key is non-canonical or
            of small order (OpenSSL accepts forged signatures under such keys).

    Source:
        SEP-23; eventing contract, section 5.
    """
    if len(address) != ADDRESS_LENGTH or not address.isascii():
        raise ValueError("a Stellar address has 56 characters")
    try:
        raw = base64.b32decode(address)
    except binascii.Error as error:
        raise ValueError("a Stellar address is written in base32") from error
    version, key, check = raw[0], raw[1:-2], raw[-2:]
    if version != _ADDRESS_VERSION or len(key) != _PUBLIC_KEY_SIZE:
        raise ValueError("a Stellar address begins with G")
    if binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") != check:
        raise ValueError("the check sum of the Stellar address is wrong")
    if not crypto_core_ed25519_is_valid_point(key):
        raise ValueError("the key of the address is non-canonical or of small order")
    return key


def address_of(public_key: bytes) -> str:
    """Spell an Ed25519 public key (32 bytes) as a Stellar address.

    Raises:
        ValueError: The key does not have 32 bytes.

    Source:
        SEP-23.
    """
    if len(public_key) != _PUBLIC_KEY_SIZE:
        raise ValueError("a public key has 32 bytes")
    body = bytes([_ADDRESS_VERSION]) + public_key
    check = binascii.crc_hqx(body, 0).to_bytes(2, "little")
    return base64.b32encode(body + check).decode("ascii")


def seed_of(secret: str) -> bytes:
    """Read a Stellar secret seed, as key files hold it.

    Args:
        secret: 56 characters that begin with `S`.

    Returns:
        The seed of the key, 32 bytes.

    Raises:
        ValueError: The text is no secret seed, or its check sum is wrong; the text is not told.

    Source:
        SEP-23.
    """
    if len(secret) != ADDRESS_LENGTH or not secret.startswith("S"):
        raise ValueError("a Stellar secret seed has 56 characters and begins with S")
    try:
        raw = base64.b32decode(secret)
    except ValueError:
        # Not chained: the text of the other error could hold a part of the seed.
        raise ValueError("a Stellar secret seed is written in base32") from None
    check = binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little")
    if raw[0] != _SECRET_SEED_VERSION or raw[-2:] != check:
        raise ValueError("the check sum of the Stellar secret seed is wrong")
    return raw[1:-2]


def _checked_address(text: str) -> str:
    public_key_of(text)
    return text


Address = Annotated[
    str,
    StringConstraints(strict=True, pattern=r"^G[A-Z2-7]{55}$"),
    AfterValidator(_checked_address),
]
"""A Stellar address: the public half of an Ed25519 key, check sum and point verified."""
