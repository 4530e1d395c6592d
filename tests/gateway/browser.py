"""Headless Chromium, spoken to over a pipe: enough to open a page and ask it things."""

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--disable-dev-shm-usage",
]


def browser() -> str:
    return next(filter(None, map(shutil.which, NAMES)))


async def dumped(url: str, folder: Path) -> str:
    """The page's DOM once its script has run; for pages that come to rest."""
    process = await asyncio.create_subprocess_exec(
        *(browser(), *FLAGS, "--virtual-time-budget=5000", "--dump-dom"),
        *(f"--user-data-dir={folder}", url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return said.decode()


class LivePage:
    """A page that stays open, in real time."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder
        self._number = 0
        self._session: str | None = None

    async def __aenter__(self) -> Self:
        to_browser, to_us = os.pipe(), os.pipe()
        flags = " ".join([*FLAGS, "--remote-debugging-pipe", f"--user-data-dir={self._folder}"])
        redirections = f"3</proc/self/fd/{to_browser[0]} 4>/proc/self/fd/{to_us[1]}"
        self._process = await asyncio.create_subprocess_exec(
            *("sh", "-c", f"exec {browser()} {flags} {redirections}"),
            pass_fds=(to_browser[0], to_us[1]),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        os.close(to_browser[0])
        os.close(to_us[1])
        self._out = os.fdopen(to_browser[1], "wb", buffering=0)
        self._reader = asyncio.StreamReader(limit=2**24)
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), os.fdopen(to_us[0], "rb")
        )
        target = await self._ask("Target.createTarget", url=self._url)
        attached = await self._ask(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self._session = attached["sessionId"]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.kill()
        await self._process.wait()
        self._out.close()
        self._transport.close()

    async def _ask(self, method: str, **parameters: object) -> Any:
        self._number += 1
        request: dict[str, object] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            request["sessionId"] = self._session
        self._out.write(json.dumps(request).encode() + b"\0")
        async with asyncio.timeout(30):
            while True:
                answer = json.loads((await self._reader.readuntil(b"\0"))[:-1])
                if answer.get("id") == self._number:
                    return answer.get("result", {})  # an error while a page is loading

    async def evaluate(self, expression: str) -> Any:
        """Ask the page."""
        said = await self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return said.get("result", {}).get("value")

    async def becomes(self, expression: str, seconds: float = 20) -> None:
        """Wait until the page says yes."""
        async with asyncio.timeout(seconds):
            while not await self.evaluate(expression):  # noqa: ASYNC110 - it is another program
                await asyncio.sleep(0.05)
