"""Signed messages, good and bad, with the verdict that every verifier must reach.

Each vector breaks exactly one rule of the profile in `libs.events.jws`, and is named after it.
Where a plain Ed25519 verification (OpenSSL's, which asks for less than libsodium's) can be made at
all, `plain` says what it finds: it accepts forged signatures under small-order keys, which is why
every verifier has to look at the key first.

Long texts are written as a list of pieces with the number of times that each stands there. Texts
are read as UTF-8.

Source: RFC 7515, RFC 8032, RFC 8037; for the keys: K. Chalkias, F. Garillot, V. Nikolaenko, "Taming
the many EdDSAs" (2020), which lists the points of small order in all their spellings.
"""

import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import nacl.bindings

from libs.events.ids import address_of
from libs.events.jws import COMMAND_SIZE_MAX, SIGNED_SIZE_MAX, SigningKey
from tools.example_parts import key_of

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493
FIELD = 2**255 - 19

SMALL_ORDER_KEYS = (
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
)
"""The eight points of small order, then their six other spellings."""

TYPE, REPORT = "hg-command+jws", "hg-report+jws"
SIGNER = key_of("vectors")
PAYLOAD = {"deployment": "golden-valley", "id": "vector"}
Vector = dict[str, Any]


def b64(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def compact(value: object) -> bytes:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def header(**members: object) -> dict[str, object]:
    """The right header with some members replaced or added."""
    return {"alg": "EdDSA", "kid": SIGNER.address, "typ": TYPE} | members


def sign(head: bytes, payload: bytes, *, cut: int = 64) -> str:
    """A message with a right signature, whatever its header and payload are."""
    signing_input = f"{b64(head)}.{b64(payload)}"
    return f"{signing_input}.{b64(ed25519(SIGNER, signing_input.encode('ascii'))[:cut])}"


def ed25519(key: SigningKey, message: bytes) -> bytes:
    """Sign bytes."""
    _, secret = nacl.bindings.crypto_sign_seed_keypair(key.seed)
    return nacl.bindings.crypto_sign(message, secret)[:64]


def secret_scalar(key: SigningKey) -> int:
    """The secret scalar behind a seed (RFC 8032, section 5.1.5)."""
    raw = bytearray(hashlib.sha512(key.seed).digest()[:32])
    raw[0] &= 248
    raw[31] = raw[31] & 127 | 64
    return int.from_bytes(raw, "little")


def challenge(commitment: bytes, public_key: bytes, message: bytes) -> int:
    """The hash that a signature answers, reduced."""
    digest = hashlib.sha512(commitment + public_key + message).digest()
    return int.from_bytes(digest, "little") % GROUP_ORDER


def forged(public_key: bytes, message: bytes, scalar: int) -> bytes:
    """A signature under `scalar` times the base point plus any point of small order.

    The part of small order vanishes once the challenge is a multiple of eight.
    """
    for nonce in itertools.count(1):
        commitment = nacl.bindings.crypto_scalarmult_ed25519_base_noclamp(
            nonce.to_bytes(32, "little")
        )
        asked = challenge(commitment, public_key, message)
        if asked % 8 == 0:
            answer = (nonce + asked * scalar) % GROUP_ORDER
            return commitment + answer.to_bytes(32, "little")
    raise AssertionError("one challenge in eight fits")


def under_key(public_key: bytes, signer: Callable[[bytes], bytes]) -> str:
    """A message whose `kid` spells any 32 bytes."""
    head = compact(header(kid=address_of(public_key)))
    signing_input = f"{b64(head)}.{b64(compact(PAYLOAD))}"
    return f"{signing_input}.{b64(signer(signing_input.encode('ascii')))}"


def respelled(part: str) -> str:
    """The same bytes in another base64url spelling: bits that nobody reads are set."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4 in {2, 3}, "no bits are left over"
    return part[:-1] + alphabet[alphabet.index(part[-1]) + 1]


def _vector(
    name: str, text: object, verdict: str, *, plain: bool | None = None, kind: str = TYPE
) -> Vector:
    return {"name": name, "type": kind, "text": text, "verdict": verdict, "plain": plain}


def _valid() -> Iterator[Vector]:
    for kind in ("hg-report+jws", "hg-command+jws", "hg-login+jws"):
        text = sign(compact(header(typ=kind)), compact(PAYLOAD))
        yield _vector(f"valid {kind}", text, "valid", plain=True, kind=kind)
    head = compact(header())
    for name, payload in (
        ("empty payload", b"{}"),
        ("payload with spaces", b' { "id" : [ 1 , { } ] } \n'),
        ("payload in UTF-8", compact({"id": "Z\u00fcrich \u2600"})),
        ("payload with the same key in two objects", b'{"a":{"x":1},"b":{"x":2}}'),
    ):
        yield _vector(f"valid {name}", sign(head, payload), "valid", plain=True)
    turned = compact(dict(reversed(header().items())))
    for name, other in (("in another order", turned), ("with spaces", json.dumps(header()))):
        data = other.encode("ascii") if isinstance(other, str) else other
        text = sign(data, compact(PAYLOAD))
        yield _vector(f"valid header {name}", text, "valid", plain=True)
    padded = _padded(COMMAND_SIZE_MAX)
    yield _vector("valid of the largest size", padded, "valid", plain=True)
    padded = _padded(SIGNED_SIZE_MAX, REPORT)
    yield _vector("valid report of the largest size", padded, "valid", plain=True, kind=REPORT)


def _padded(size: int, kind: str = TYPE) -> list[list[Any]]:
    """A message of exactly so many bytes: a payload with a long text, run-length coded."""
    head = b64(compact(header(typ=kind)))
    signature_size = 86
    room = size - len(head) - signature_size - 2
    for slack in range(24):
        opening = b'{"id":"' + b"x" * slack
        opening += b"x" * (-len(opening) % 3)
        for closing in (b'"}', b' "}', b'  "}', b'   "}'):
            rest = room - len(b64(opening)) - len(b64(closing))
            if rest >= 0 and rest % 4 == 0:
                middle = rest // 4
                payload = opening + b"xxx" * middle + closing
                text = sign(compact(header(typ=kind)), payload)
                assert len(text) == size
                start = [[f"{head}.{b64(opening)}", 1], ["eHh4", middle]]
                return [*start, [text[text.rindex(".") - len(b64(closing)) :], 1]]
    raise AssertionError("no payload has that length")


def _header_faults() -> Iterator[Vector]:
    payload = compact(PAYLOAD)
    signing_input = f"{b64(compact(header(alg='none')))}.{b64(payload)}"
    yield _vector("alg none", f"{signing_input}.", "alg")
    for name, secret in (
        ("public key", nacl.bindings.crypto_sign_seed_keypair(SIGNER.seed)[0]),
        ("address", SIGNER.address.encode("ascii")),
    ):
        signing_input = f"{b64(compact(header(alg='HS256')))}.{b64(payload)}"
        mac = hmac.digest(secret, signing_input.encode("ascii"), "sha256")
        yield _vector(f"alg HS256 with the {name} as secret", f"{signing_input}.{b64(mac)}", "alg")
    for value in ("none", "eddsa", "Ed25519", "ES256", ["EdDSA"], None):
        name = f"alg {json.dumps(value)} under a right signature"
        yield _vector(name, sign(compact(header(alg=value)), payload), "alg", plain=True)
    key = {"kty": "OKP", "crv": "Ed25519", "x": b64(bytes(32))}
    members: tuple[tuple[str, object], ...] = (
        ("jwk", key),
        ("jku", "https://example.org/keys"),
        ("x5c", ["AA=="]),
        ("x5u", "https://example.org/chain"),
        ("crit", ["exp"]),
        ("b64", False),
        ("cty", "json"),
        ("zip", "DEF"),
        ("nonce", "1"),
    )
    for member, item in members:
        text = sign(compact(header(**{member: item})), payload)
        yield _vector(f"header with {member}", text, "header-members", plain=True)
    for member in ("alg", "kid", "typ"):
        lacking = {name: value for name, value in header().items() if name != member}
        plain = None if member == "kid" else True
        text = sign(compact(lacking), payload)
        yield _vector(f"header without {member}", text, "header-members", plain=plain)
    for kind in ("hg-report+jws", "JWT", "HG-COMMAND+JWS", 7):
        text = sign(compact(header(typ=kind)), payload)
        yield _vector(f"typ {json.dumps(kind)} for a command", text, "typ", plain=True)
    yield from _header_json_faults(payload)


def _header_json_faults(payload: bytes) -> Iterator[Vector]:
    head = compact(header()).decode("ascii")
    for name, data, plain in (
        ("alg twice", head.replace('"alg"', '"alg":"none","alg"'), True),
        ("alg twice, once escaped", head.replace('"alg"', '"\\u0061lg":"none","alg"'), True),
        ("byte order mark", "\ufeff" + head, None),
        ("a list around it", f"[{head}]", None),
        ("a comma too many", head[:-1] + ",}", None),
        ("a second object behind it", head + "{}", None),
    ):
        text = sign(data.encode("utf-8"), payload)
        yield _vector(f"header with {name}", text, "header-json", plain=plain)
    yield _vector("header in Latin-1", sign(b'{"alg":"\xe9"}', payload), "header-json")
    yield _vector("empty header", sign(b"", payload), "header-json")


def _payload_faults() -> Iterator[Vector]:
    head = compact(header())
    for name, data in (
        ("NaN", b'{"id":NaN}'),
        ("Infinity", b'{"id":Infinity}'),
        ("-Infinity", b'{"id":-Infinity}'),
        ("a key twice", b'{"id":"a","id":"b"}'),
        ("a key twice in depth", b'{"body":[{"to":{"x":1,"x":1}}]}'),
        ("a key twice, once escaped", b'{"id":"a","\\u0069d":"b"}'),
        ("a byte order mark", b"\xef\xbb\xbf{}"),
        ("UTF-16", '{"id":1}'.encode("utf-16-le")),
        ("a byte that is not UTF-8", b'{"id":"\xff"}'),
        ("an overlong spelling", b'{"id":"\xc0\xaf"}'),
        ("a list", b"[]"),
        ("a number", b"7"),
        ("nothing", b""),
        ("a comma too many", b'{"id":1,}'),
        ("single quotes", b"{'id':1}"),
        ("a comment", b'{"id":1/**/}'),
        ("a second object", b"{}{}"),
        ("a raw line feed in a text", b'{"id":"\n"}'),
        ("a leading zero", b'{"id":01}'),
    ):
        yield _vector(f"payload with {name}", sign(head, data), "payload-json", plain=True)
    deep = 7_000
    text = sign(head, b'{"a":' + b"[" * 3 * deep + b"]" * 3 * deep + b"}")
    first = len(b64(head)) + 1
    opening, closing = b64(b'{"a":['), b64(b"[[]")
    assert text[first:].startswith(opening)
    pieces: list[tuple[str, int]] = [
        (text[: first + len(opening)], 1),
        ("W1tb", deep - 1),
        (closing, 1),
        ("XV1d", deep - 1),
        (text[first + len(opening) + len(closing) + 8 * (deep - 1) :], 1),
    ]
    assert "".join(part * times for part, times in pieces) == text
    yield _vector("payload nested too deep", pieces, "payload-json", plain=True)


def _spelling_faults() -> Iterator[Vector]:
    head, payload = compact(header()), b'{"id":"vector"}  '
    while len(b64(head)) % 4 == 0:
        head += b" "
    right = sign(head, payload)
    parts = right.split(".")
    for index, name in enumerate(("header", "payload", "signature")):
        for fault, part in (
            ("padding", parts[index] + "=" * (-len(parts[index]) % 4)),
            ("another last character", respelled(parts[index])),
            ("a line feed", parts[index] + "\n"),
            ("one character of a group", parts[index] + "A" * (5 - len(parts[index]) % 4)),
            ("a space", " " + parts[index]),
            ("the alphabet of plain base64", "+/" + parts[index]),
        ):
            changed = [*parts[:index], part, *parts[index + 1 :]]
            yield _vector(f"{name} with {fault}", ".".join(changed), "base64url")
    for name, text in (
        ("nothing", ""),
        ("no signature part", ".".join(parts[:2])),
        ("four parts", right + "."),
        ("five parts", right + ".."),
        ("JSON in place of the compact form", '{"payload":"e30"}'),
    ):
        yield _vector(f"form: {name}", text, "compact-jws")
    yield _vector("form: byte order mark before it", "\ufeff" + right, "compact-jws")
    yield _vector("form: a letter that is not ASCII", right[:-1] + "\u00e9", "compact-jws")
    digit = "\uff10"
    yield _vector("form: a wide digit", right[:-1] + digit, "compact-jws")
    padded = _padded(COMMAND_SIZE_MAX + 1)
    yield _vector("form: one byte too large", padded, "size", plain=True)
    padded = _padded(SIGNED_SIZE_MAX + 2, REPORT)  # no payload makes it one byte
    yield _vector("form: a report two bytes too large", padded, "size", plain=True, kind=REPORT)


def _signature_faults() -> Iterator[Vector]:
    head, payload = compact(header()), compact(PAYLOAD)
    right = sign(head, payload)
    signing_input, _, last = right.rpartition(".")
    signature = ed25519(SIGNER, signing_input.encode("ascii"))
    answer = int.from_bytes(signature[32:], "little")
    malleated = signature[:32] + (answer + GROUP_ORDER).to_bytes(32, "little")
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    other = ed25519(key_of("somebody else"), signing_input.encode("ascii"))
    for name, data, plain in (
        ("S plus the group's order", malleated, False),
        ("one bit flipped", flipped, False),
        ("of somebody else", other, False),
        ("of zeros", bytes(64), False),
        ("cut to 63 bytes", signature[:63], None),
        ("of 65 bytes", signature + b"\0", None),
        ("of no bytes", b"", None),
        ("in DER", b"\x30\x44" + signature, None),
    ):
        text = f"{signing_input}.{b64(data)}"
        yield _vector(f"signature {name}", text, "signature", plain=plain)
    altered = f"{b64(head)}.{b64(compact(PAYLOAD | {'id': 'other'}))}.{last}"
    yield _vector("signature of another payload", altered, "signature", plain=False)
    public_key = nacl.bindings.crypto_sign_seed_keypair(SIGNER.seed)[0]
    commitment = bytes.fromhex(SMALL_ORDER_KEYS[0])
    asked = challenge(commitment, public_key, signing_input.encode("ascii"))
    lazy = commitment + (asked * secret_scalar(SIGNER) % GROUP_ORDER).to_bytes(32, "little")
    text = f"{signing_input}.{b64(lazy)}"
    yield _vector("signature with a nonce of zero", text, "signature", plain=True)


def _key_faults() -> Iterator[Vector]:
    for index, key in enumerate(SMALL_ORDER_KEYS):
        public_key = bytes.fromhex(key)
        text = under_key(public_key, partial(forged, public_key, scalar=0))
        name = f"key of small order {index + 1}, forged signature"
        yield _vector(name, text, "kid", plain=True)
    mixed = nacl.bindings.crypto_core_ed25519_add(
        nacl.bindings.crypto_sign_seed_keypair(SIGNER.seed)[0], bytes.fromhex(SMALL_ORDER_KEYS[4])
    )
    text = under_key(mixed, lambda data: forged(mixed, data, secret_scalar(SIGNER)))
    yield _vector("key with a part of small order", text, "kid", plain=True)
    for name, number in (("non-canonical key", FIELD + 3), ("key that is no point", 2)):
        public_key = number.to_bytes(32, "little")
        text = under_key(public_key, lambda data: ed25519(SIGNER, data))
        yield _vector(name, text, "kid", plain=False)
    payload, address = compact(PAYLOAD), SIGNER.address
    swapped = address[:-1] + ("A" if address[-1] != "A" else "B")
    seed = base64.b32encode(bytes([18 << 3]) + bytes(34)).decode("ascii")
    for name, kid in (
        ("with a wrong check sum", swapped),
        ("in small letters", address.lower()),
        ("cut", address[:-1]),
        ("with padding", address[:-4] + "===="),
        ("that spells a seed", seed),
        ("empty", ""),
        ("not ASCII", address[:-1] + "\u00c4"),
    ):
        yield _vector(f"kid {name}", sign(compact(header(kid=kid)), payload), "kid")
    yield _vector("kid that is a list", sign(compact(header(kid=[address])), payload), "kid")


def document() -> dict[str, Any]:
    """The whole file."""
    vectors = [
        *_valid(),
        *_header_faults(),
        *_payload_faults(),
        *_spelling_faults(),
        *_signature_faults(),
        *_key_faults(),
    ]
    return {
        "about": "Signed messages of Heliograph with the verdict of every verifier; see docs of"
        " tools/jws_vectors.py. `verdict` is `valid` or the rule that is broken; `plain` is what"
        " Ed25519 without checks of the key says; null where it cannot be asked.",
        "vectors": vectors,
    }
