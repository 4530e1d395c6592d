"""Asking a part over HTTP whether it is ready. Small, for the command line must start fast."""

import asyncio
import contextlib
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

OK: Final = HTTPStatus.OK.value
"""The status of what is ready."""
ASK_EVERY_S: Final = 0.1
"""Seconds between two questions."""
ANSWER_S: Final = 3.0
"""Seconds to wait for one answer."""
ANSWER_BYTES_MAX: Final = 1_000_000
"""Bytes of an answer that are read."""


async def get(url: str, timeout_s: float = ANSWER_S) -> tuple[int, bytes]:
    """Ask once.

    Args:
        url: An `http` address.
        timeout_s: Seconds to wait.

    Returns:
        Status and body; status 0 and the reason where nobody answers.
    """
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {target} HTTP/1.0\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            writer.write(request.encode("ascii"))
            await writer.drain()
            answer = await reader.read(ANSWER_BYTES_MAX)
            while (more := await reader.read(ANSWER_BYTES_MAX)) and len(answer) < ANSWER_BYTES_MAX:
                answer += more
    except (OSError, TimeoutError) as error:
        return 0, (str(error) or type(error).__name__).encode()
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = head.split(maxsplit=2)
    is_answer = len(fields) > 1 and fields[1].isdigit()
    return (int(fields[1]), body) if is_answer else (0, b"no HTTP")


async def answers_ok(url: str) -> None:
    """Wait until it answers with 200."""
    while (await get(url))[0] != OK:  # noqa: ASYNC110 - another process is asked
        await asyncio.sleep(ASK_EVERY_S)
