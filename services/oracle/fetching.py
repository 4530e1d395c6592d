"""Fetches documents from files and by HTTP: with a time limit, a size limit, and no twice.

A document that has not changed since the last time, by its server's word or by its bytes, is none.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from libs.runtime.failures import Refused, Transient

TIMEOUT_S: Final = 30.0
"""Seconds that a server has for each step of an answer."""

TOTAL_TIMEOUT_S: Final = 60.0
"""Seconds for the whole of it."""

DOCUMENT_SIZE_MAX: Final = 4 * 1024 * 1024
"""Most bytes of a document."""

REDIRECTS_MAX: Final = 5
"""Most redirections that are followed."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document, and how to ask whether it has changed."""

    data: bytes
    """The document."""
    address: str
    """Where it was."""
    etag: str | None = None
    """What its server calls this version."""
    modified: str | None = None
    """When its server says that it was changed."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the document."""
        return hashlib.sha256(self.data).digest()


def new_client() -> httpx.AsyncClient:
    """Make a client with the limits of this module."""
    return httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=True, max_redirects=REDIRECTS_MAX)


async def fetch(
    http: httpx.AsyncClient, address: str, known: Fetched | None = None
) -> Fetched | None:
    """Fetch a document.

    Args:
        http: Does requests.
        address: Path of a file, or an http(s) URL; it is in no error.
        known: The last one that was worked off.

    Returns:
        None where it has not changed.

    Raises:
        Transient: It is not there now, or its server does not give it.
        Refused: It is too large.
    """
    last = known if known is not None and known.address == address else None
    if address.startswith(("http://", "https://")):
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                found = await _get(http, address, last)
        except TimeoutError as error:
            raise Transient("source-away", "the server was too slow") from error
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            # The last one is a host that is no name, to which a server may point. Not chained: the
            # other error's text may hold the address, with its token.
            raise Transient("source-away", f"the server is away: {type(error).__name__}") from None
    else:
        found = Fetched(await asyncio.to_thread(_read, Path(address)), address)
    if found is None or (last is not None and last.digest == found.digest):
        return None
    return found


async def fetch_once(address: str) -> bytes:
    """Fetch a document that is looked at once; errors as in `fetch`."""
    async with new_client() as http:
        found = await fetch(http, address)
    assert found is not None, "nothing is known that it could be the same as"
    return found.data


async def _get(http: httpx.AsyncClient, address: str, last: Fetched | None) -> Fetched | None:
    headers = {}
    if last is not None and last.etag is not None:
        headers["if-none-match"] = last.etag
    if last is not None and last.modified is not None:
        headers["if-modified-since"] = last.modified
    async with http.stream("GET", address, headers=headers) as answer:
        if answer.status_code == httpx.codes.NOT_MODIFIED and last is not None:
            return None
        if answer.status_code != httpx.codes.OK:
            raise Transient("source-answer", f"the server answers with {answer.status_code}")
        data = bytearray()
        async for part in answer.aiter_bytes():
            data += part
            if len(data) > DOCUMENT_SIZE_MAX:
                raise _too_large()
        told = answer.headers
        return Fetched(bytes(data), address, told.get("etag"), told.get("last-modified"))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(DOCUMENT_SIZE_MAX + 1)
    except OSError as error:
        raise Transient("source-away", f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > DOCUMENT_SIZE_MAX:
        raise _too_large()
    return data


def _too_large() -> Refused:
    return Refused("document-size", f"a document has at most {DOCUMENT_SIZE_MAX} bytes")
