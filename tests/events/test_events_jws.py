"""Signed messages: one file of vectors, judged by us, by OpenSSL and by WebCrypto.

`tests/golden/jws-vectors.json` holds messages and the verdict that everybody must reach. Libsodium
is what runs in Heliograph. OpenSSL (through `cryptography`, and as a whole JWS library `joserfc`)
and WebCrypto are foreign. Both accept forged signatures under keys of small order and a signature
whose nonce is zero, where libsodium does not: the vectors say so in `plain`, and a verifier that
looks at the key first (`tests/node/verify_jws.mjs`) reaches our verdicts all the same.
"""

import base64
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature as WrongSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import OKPKey

from libs.events.errors import InvalidSignature
from libs.events.ids import public_key_of
from libs.events.jws import (
    COMMAND_SIZE_MAX,
    SIGNED_SIZE_MAX,
    MessageType,
    Signed,
    SigningKey,
    parse,
    payload_of,
    verify,
    verify_signature,
)
from tests.node_support import NodeScript, node_script
from tools import jws_vectors

__all__ = ["node_script"]

FILE = Path(__file__).parents[1] / "golden" / "jws-vectors.json"
VECTORS: list[dict[str, Any]] = json.loads(FILE.read_text("ascii"))["vectors"]
VALID = [vector for vector in VECTORS if vector["verdict"] == "valid"]

RULES = {
    "size",
    "compact-jws",
    "base64url",
    "header-json",
    "header-members",
    "alg",
    "typ",
    "kid",
    "signature",
    "payload-json",
}

# RFC 8037, appendix A: the key, and the message that it signed.
RFC_SEED = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"
RFC_PUBLIC_KEY = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC_MESSAGE = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)

seeds = st.binary(min_size=32, max_size=32)
kinds = st.sampled_from(["hg-report+jws", "hg-command+jws", "hg-login+jws"])
objects = st.dictionaries(
    st.text(max_size=8),
    st.integers() | st.text(max_size=8) | st.lists(st.booleans(), max_size=3),
    max_size=4,
)


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def text_of(vector: dict[str, Any]) -> str:
    text = vector["text"]
    return text if isinstance(text, str) else "".join(piece * times for piece, times in text)


def ours(text: str | bytes, kind: MessageType) -> str:
    try:
        verify(parse(text, kind))
    except InvalidSignature as error:
        return error.rule
    return "valid"


def plain(text: str) -> bool:
    """What OpenSSL says of the signature alone, whatever key the header spells."""
    signing_input, _, signature = text.rpartition(".")
    header = json.loads(decoded(signing_input.partition(".")[0]))
    key = base64.b32decode(header["kid"])[1:33]
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(decoded(signature), signing_input.encode())
    except WrongSignature:
        return False
    return True


def foreign(text: str, address: str) -> jws.CompactSignature:
    """The message as `joserfc` understands it, once it has verified it."""
    x = base64.urlsafe_b64encode(public_key_of(address)).rstrip(b"=").decode()
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": x})
    with warnings.catch_warnings():
        # RFC 9864 prefers the name `Ed25519` to `EdDSA`; our contract is older and names `EdDSA`.
        warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)
        registry = jws.JWSRegistry(algorithms=["EdDSA"])
        registry.max_payload_length = COMMAND_SIZE_MAX
        return jws.deserialize_compact(text, key, registry=registry)


def by_name(vector: dict[str, Any]) -> str:
    return str(vector["name"])


@pytest.mark.parametrize("vector", VECTORS, ids=by_name)
def test_libsodium_and_our_profile_reach_the_verdict(vector: dict[str, Any]) -> None:
    text = text_of(vector)

    assert ours(text.encode("utf-8"), vector["type"]) == vector["verdict"]


@pytest.mark.parametrize("vector", VECTORS, ids=by_name)
def test_text_is_judged_like_its_bytes(vector: dict[str, Any]) -> None:
    text = text_of(vector)
    verdict = vector["verdict"] if text.isascii() else "base64url"

    assert ours(text, vector["type"]) == verdict


@pytest.mark.parametrize("vector", [v for v in VECTORS if v["plain"] is not None], ids=by_name)
def test_openssl_finds_of_the_signature_what_the_vector_says(vector: dict[str, Any]) -> None:
    assert plain(text_of(vector)) is vector["plain"]


@pytest.mark.parametrize("vector", VALID, ids=by_name)
def test_a_whole_foreign_library_accepts_what_is_valid(vector: dict[str, Any]) -> None:
    text = text_of(vector)
    signed = parse(text, vector["type"])

    found = foreign(text, signed.kid)

    assert found.payload == signed.payload
    assert found.headers() == {"alg": "EdDSA", "kid": signed.kid, "typ": vector["type"]}


@pytest.mark.node
def test_webcrypto_reaches_every_verdict(node_script: NodeScript) -> None:
    found = {
        each["name"]: each for each in node_script("verify_jws.mjs", stdin={"vectors": VECTORS})
    }

    assert {name: each["verdict"] for name, each in found.items()} == {
        vector["name"]: vector["verdict"] for vector in VECTORS
    }
    asked = [vector for vector in VECTORS if vector["plain"] is not None]
    assert {v["name"]: found[v["name"]]["plain"] for v in asked} == {
        v["name"]: v["plain"] for v in asked
    }


def test_the_vectors_are_those_that_the_generator_makes() -> None:
    made = json.loads(json.dumps(jws_vectors.document()))

    assert json.loads(FILE.read_text("ascii")) == made


def test_every_rule_has_vectors_and_every_name_is_used_once() -> None:
    names = Counter(vector["name"] for vector in VECTORS)

    assert {vector["verdict"] for vector in VECTORS} == RULES | {"valid"}
    assert max(names.values()) == 1
    assert len(VALID) >= 10


def test_openssl_differs_from_libsodium_only_where_the_key_or_the_nonce_is_of_small_order() -> None:
    signed = ("kid", "signature")
    differing = [v["name"] for v in VECTORS if v["verdict"] in signed and v["plain"] is True]

    assert all("small order" in name or "nonce of zero" in name for name in differing)
    assert len(differing) == 16


def test_the_published_example_verifies_under_its_key() -> None:
    key = SigningKey(decoded(RFC_SEED))
    signing_input, _, signature = RFC_MESSAGE.rpartition(".")
    signed = Signed(key.address, b"", signing_input.encode(), decoded(signature))

    verify_signature(signed)
    assert public_key_of(key.address) == decoded(RFC_PUBLIC_KEY)
    assert signature == _signed_by(key, signing_input)


def _signed_by(key: SigningKey, signing_input: str) -> str:
    return jws_vectors.b64(jws_vectors.ed25519(key, signing_input.encode()))


def test_the_published_example_is_no_message_of_ours() -> None:
    with pytest.raises(InvalidSignature) as caught:
        parse(RFC_MESSAGE, "hg-command+jws")
    assert caught.value.rule == "header-members"


@settings(max_examples=60)
@given(seeds, kinds, objects)
def test_what_we_sign_everybody_accepts(seed: bytes, kind: Any, payload: dict[str, Any]) -> None:
    key = SigningKey(seed)
    data = json.dumps(payload).encode()
    text = key.sign(kind, data)
    signed = parse(text, kind)

    assert verify(signed) == payload_of(signed) == payload
    assert key.sign(kind, data) == text
    assert plain(text)
    assert foreign(text, key.address).payload == data
    assert Ed25519PrivateKey.from_private_bytes(seed).sign(signed.signing_input) == signed.signature


@settings(max_examples=150)
@given(st.data())
def test_no_message_with_one_letter_changed_is_accepted(data: st.DataObject) -> None:
    text = text_of(data.draw(st.sampled_from(VALID[:7])))
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(max_codepoint=127).filter(lambda c: c != text[at]))
    kind = json.loads(decoded(text.partition(".")[0]))["typ"]

    assert ours(text, kind) == "valid"
    assert ours(text[:at] + letter + text[at + 1 :], kind) in RULES


@settings(max_examples=150)
@given(st.binary(max_size=200) | st.text(max_size=120), kinds)
def test_any_bytes_at_all_are_refused_by_a_rule(text: bytes | str, kind: Any) -> None:
    assert ours(text, kind) in RULES


def test_a_message_of_one_type_never_passes_for_another() -> None:
    key = SigningKey(bytes(range(32)))
    all_kinds: tuple[MessageType, ...] = ("hg-report+jws", "hg-command+jws", "hg-login+jws")
    for signed_as in all_kinds:
        text = key.sign(signed_as, b"{}")
        verdicts = {kind: ours(text, kind) for kind in all_kinds}
        assert verdicts == {kind: "valid" if kind == signed_as else "typ" for kind in all_kinds}


def test_the_largest_command_has_160_kib_and_everything_else_64() -> None:
    sizes = {v["name"]: len(text_of(v)) for v in VECTORS if "large" in v["name"]}

    assert sizes == {
        "valid of the largest size": 163_840,
        "form: one byte too large": 163_841,
        "valid report of the largest size": 65_536,
        "form: a report two bytes too large": 65_538,
    }
    assert (SIGNED_SIZE_MAX, COMMAND_SIZE_MAX) == (65_536, 163_840)


def test_a_step_that_fails_does_not_hide_an_earlier_one() -> None:
    # A message that breaks many rules is refused by the first of them, so that the rule is stable.
    key = SigningKey(bytes(32))
    head = jws_vectors.b64(b'{"alg":"none","kid":"G","typ":"JWT"}')

    assert ours(f"{head}.e30.AA", "hg-command+jws") == "alg"
    assert ours(f"{head}=.e30.AA", "hg-command+jws") == "base64url"
    assert ours(key.sign("hg-report+jws", b"[]"), "hg-command+jws") == "typ"


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_a_seed_has_32_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey(bytes(size))


def test_the_address_of_a_key_is_its_kid() -> None:
    key = SigningKey(b"7" * 32)

    assert parse(key.sign("hg-login+jws", b"{}"), "hg-login+jws").kid == key.address
    assert key.seed == b"7" * 32
