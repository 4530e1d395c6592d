"""Asking a gateway as a program does: one answer, or every page of a list."""

from typing import Any

import httpx


async def get(client: httpx.AsyncClient, path: str, **query: str) -> Any:
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def whole(client: httpx.AsyncClient, path: str, limit: int, **query: str) -> list[Any]:
    """Every item of a list, page by page."""
    found: list[Any] = []
    more = query | {"limit": str(limit)}
    while True:
        page = await get(client, path, **more)
        assert page["count"] == len(page["data"]) <= limit
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        assert page["count"] == limit
        more["cursor"] = page["next_cursor"]
