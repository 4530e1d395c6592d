"""HTTP for the SDK's asynchronous server, over httpx. One request is one request: no retries.

The SDK's own clients retry a POST by themselves, and its asynchronous one changes aiohttp for the
whole process when it is imported beside it; this one does neither.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import httpx
from stellar_sdk import exceptions as sdk
from stellar_sdk.client.base_async_client import BaseAsyncClient
from stellar_sdk.client.response import Response

GET_TIMEOUT_S: Final = 11.0
"""A question waits at most this long, all in all."""
POST_TIMEOUT_S: Final = 35.0
"""A submission waits at most this long: Horizon gives up after 30 seconds by itself."""
ANSWER_SIZE_MAX: Final = 16_000_000
"""Longest answer that is read, in bytes."""


class HttpxClient(BaseAsyncClient):
    """One connection pool with deadlines and a limit on what is read."""

    def __init__(
        self, *, get_timeout_s: float = GET_TIMEOUT_S, post_timeout_s: float = POST_TIMEOUT_S
    ) -> None:
        self._get_timeout_s = get_timeout_s
        self._post_timeout_s = post_timeout_s
        self._http = httpx.AsyncClient(timeout=None, follow_redirects=False)  # noqa: S113 - below

    async def get(
        self,
        url: str,
        params: dict[str, str] | None = None,
        max_content_size: int | None = None,
    ) -> Response:
        """Ask; raise the SDK's `ConnectionError` when no whole answer comes in time."""
        request = self._http.build_request("GET", url, params=params)
        limit = min(max_content_size or ANSWER_SIZE_MAX, ANSWER_SIZE_MAX)
        return await self._send(request, self._get_timeout_s, limit)

    async def post(
        self,
        url: str,
        data: dict[str, str] | None = None,
        json_data: dict[str, Any] | None = None,
    ) -> Response:
        """Submit once; raise the SDK's `ConnectionError` when no whole answer comes in time."""
        request = self._http.build_request("POST", url, data=data, json=json_data)
        return await self._send(request, self._post_timeout_s, ANSWER_SIZE_MAX)

    def stream(
        self, url: str, params: dict[str, str] | None = None
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Not offered: pages are read from a kept cursor instead."""
        raise NotImplementedError("This client does not stream.")

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _send(self, request: httpx.Request, timeout_s: float, limit: int) -> Response:
        """Send a request and read the answer, both within one deadline.

        httpx's own timeouts count between two pieces of an answer, so that a server could go on
        for ever; hence none of them, and one deadline around everything.
        """
        body = bytearray()
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._http.send(request, stream=True)
                try:
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > limit:
                            raise sdk.ContentSizeLimitExceededError(limit)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:  # TimeoutError is an OSError
            reason = type(error).__name__
            raise sdk.ConnectionError(f"No answer from {request.url}: {reason}.") from error
        text = body.decode(errors="replace")
        return Response(response.status_code, text, dict(response.headers), str(request.url))
