"""Signed messages: the one profile of compact JWS that Heliograph speaks.

Steps of verification, in order; a message that fails one is refused with its rule:

1. At most 64 KiB of ASCII (160 KiB for a command, which may be a batch of them), three parts.
2. Every part is canonical base64url: no padding, one spelling.
3. The header is a JSON object with exactly `alg`, `kid`, `typ`; no key stands twice.
4. `alg` is `EdDSA`, `typ` is the expected one, `kid` is a Stellar address of a sound key.
5. The payload is a JSON object; no key stands twice at any depth.
6. The signature of 64 bytes verifies under that key (libsodium, strict).

Whether the key may speak for the meter or member is the caller's question.

Source: RFC 7515, RFC 8037; eventing contract, section 5.
"""

import base64
import json
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import nacl.bindings
import nacl.exceptions

from libs.events.errors import InvalidSignature
from libs.events.ids import ADDRESS_LENGTH, address_of, public_key_of

SIGNED_SIZE_MAX = 65_536
"""Largest signed report or login in bytes."""

COMMAND_SIZE_MAX = 163_840
"""Largest signed command in bytes: a batch of 500 stands in one fact, which has 256 KiB."""

KEYS_REMEMBERED = 65_536
"""Headers that are remembered, one per key and type of message."""

MessageType = Literal["hg-report+jws", "hg-command+jws", "hg-login+jws"]
"""What a signed message is for; a message of one type never passes for another."""

_HEADER_MEMBERS = {"alg", "kid", "typ"}
_SEED_SIZE = 32


class Signed(NamedTuple):
    """A message in its parts. Its signature is verified unless `parse` alone made it."""

    kid: str
    """Stellar address of the key that signed it."""
    payload: bytes
    """The payload: a JSON object in UTF-8."""
    signing_input: bytes
    """What the signature covers."""
    signature: bytes
    """Ed25519 signature, 64 bytes."""


class SigningKey:
    """An Ed25519 key that signs messages; its address is its `kid`."""

    def __init__(self, seed: bytes) -> None:
        """Make the key from its seed of 32 bytes.

        Raises:
            ValueError: The seed does not have 32 bytes.
        """
        if len(seed) != _SEED_SIZE:
            raise ValueError("a seed has 32 bytes")
        public_key, self._secret_key = nacl.bindings.crypto_sign_seed_keypair(seed)
        self.seed = seed
        self.address = address_of(public_key)

    def sign(self, message_type: MessageType, payload: bytes) -> str:
        """Sign a JSON object as a compact JWS. The same input gives the same text."""
        header = {"alg": "EdDSA", "kid": self.address, "typ": message_type}
        head = json.dumps(header, separators=(",", ":")).encode("ascii")
        signing_input = f"{_to_base64url(head)}.{_to_base64url(payload)}"
        signed = nacl.bindings.crypto_sign(signing_input.encode("ascii"), self._secret_key)
        return f"{signing_input}.{_to_base64url(signed[:64])}"


def parse(text: str | bytes, message_type: MessageType) -> Signed:
    """Take a message apart: steps 1 to 4. The signature is not verified here.

    Raises:
        InvalidSignature: A step failed; `rule` names it.
    """
    size_max = COMMAND_SIZE_MAX if message_type == "hg-command+jws" else SIGNED_SIZE_MAX
    if len(text) > size_max:
        raise InvalidSignature(f"more than {size_max} bytes", rule="size")
    try:
        compact = text.decode("ascii") if isinstance(text, bytes) else text
    except UnicodeDecodeError as error:
        raise InvalidSignature("not ASCII", rule="compact-jws") from error
    parts = compact.split(".")
    if len(parts) != 3:  # noqa: PLR2004
        raise InvalidSignature("a compact JWS has three parts", rule="compact-jws")
    kid = _kid_of(parts[0], message_type)
    payload, signature = _from_base64url(parts[1]), _from_base64url(parts[2])
    if len(signature) != nacl.bindings.crypto_sign_BYTES:
        raise InvalidSignature("an Ed25519 signature has 64 bytes", rule="signature")
    signing_input = compact.rpartition(".")[0].encode("ascii")
    return Signed(kid, payload, signing_input, signature)


@lru_cache(maxsize=KEYS_REMEMBERED)  # errors are not remembered, so strangers cannot fill it
def _kid_of(head: str, message_type: MessageType) -> str:
    """Read the header: steps 2 to 4. One key always has the same header, so it is read once."""
    header = _json_object(_from_base64url(head), "header")
    if set(header) != _HEADER_MEMBERS:
        raise InvalidSignature("the header has exactly alg, kid and typ", rule="header-members")
    if header["alg"] != "EdDSA":
        raise InvalidSignature("alg must be EdDSA", rule="alg")
    if header["typ"] != message_type:
        raise InvalidSignature(f"typ must be {message_type}", rule="typ")
    kid = header["kid"]
    if not isinstance(kid, str) or len(kid) != ADDRESS_LENGTH:
        raise InvalidSignature("kid must be a Stellar address", rule="kid")
    return kid


def verify(signed: Signed) -> dict[str, Any]:
    """Verify the signature and read the payload: the rest of step 4, and steps 5 and 6.

    Returns:
        The payload as plain JSON values.

    Raises:
        InvalidSignature: A step failed; `rule` names it.
    """
    verify_signature(signed)
    return _json_object(signed.payload, "payload")


def verify_signature(signed: Signed) -> None:
    """Verify that the key of the address signed the message. Releases the interpreter lock.

    Raises:
        InvalidSignature: `kid` is no sound address, or the signature is wrong.
    """
    try:
        public_key = public_key_of(signed.kid)
    except ValueError as error:
        raise InvalidSignature(f"kid: {error}", rule="kid") from error
    try:
        nacl.bindings.crypto_sign_open(signed.signature + signed.signing_input, public_key)
    except nacl.exceptions.BadSignatureError as error:
        raise InvalidSignature("the signature is wrong", rule="signature") from error


def payload_of(signed: Signed) -> dict[str, Any]:
    """Read the payload: step 5.

    Raises:
        InvalidSignature: It is no JSON object, or a key stands twice.
    """
    return _json_object(signed.payload, "payload")


def _to_base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _from_base64url(part: str) -> bytes:
    """Decode one part, and refuse a second spelling of the same bytes."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as error:
        raise InvalidSignature("not base64url without padding", rule="base64url") from error
    if _to_base64url(data) != part:  # so is whatever the decoder skips: padding, other characters
        raise InvalidSignature("base64url has one spelling", rule="base64url")
    return data


def _json_object(data: bytes, what: str) -> dict[str, Any]:
    """Read a JSON object strictly: UTF-8, no double key, no NaN, no deep nesting."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        raise InvalidSignature(f"{what}: {error}", rule=f"{what}-json") from error
    if not isinstance(value, dict):
        raise InvalidSignature(f"{what} is no JSON object", rule=f"{what}-json")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")
