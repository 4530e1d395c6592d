"""What strangers send is not remembered: headers are cached for keys that can exist only."""

import base64
import json
from contextlib import suppress

from libs.events.errors import InvalidSignature
from libs.events.jws import KEYS_REMEMBERED, _kid_of, parse


def part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_headers_with_long_kids_fill_no_memory() -> None:
    before = _kid_of.cache_info().currsize
    for number in range(100):
        header = {"alg": "EdDSA", "kid": f"{number:06}" + "x" * 40_000, "typ": "hg-command+jws"}
        text = f"{part(json.dumps(header).encode())}.{part(b'{}')}.{part(b'0' * 64)}"
        with suppress(InvalidSignature):
            parse(text, "hg-command+jws")
    assert _kid_of.cache_info().currsize == before <= KEYS_REMEMBERED
