"""What `heliograph doctor` looks at: this machine, the data folder, and the stack if one runs."""

import asyncio
import importlib.util
import json
import locale
import os
import re
import shutil
import sys
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from heliograph import postgres, probes
from heliograph.assembly import nats_server
from heliograph.environment import SERVICES
from heliograph.errors import StackError
from heliograph.folder import Folder, holder, is_free

PYTHON_MIN: Final = (3, 11)
"""The oldest Python that is supported."""
BROKER_MIN: Final = (2, 12)
"""The oldest nats-server that has atomic batches."""
DISK_BROKEN: Final = 200 * 1024**2
"""Free bytes below which nothing starts well."""
DISK_NOTE: Final = 2 * 1024**3
"""Free bytes below which it is worth a word."""
PROGRAM_S: Final = 10.0
"""Seconds that a program may take to tell its version."""

_INSTALL: Final = "pip install 'heliograph[all]' into this Python environment."


class Grade(Enum):
    """How a finding is to be taken."""

    GOOD = "good"
    """Nothing to do."""
    NOTE = "note"
    """Worth knowing; nothing is broken."""
    BROKEN = "broken"
    """It must be mended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    """The thing."""
    grade: Grade
    """How it is."""
    found: str
    """What was found."""
    mend: str = ""
    """What to do, if anything."""


async def examine(data: Path, port: int) -> list[Finding]:
    """Look at everything.

    Args:
        data: The data folder, absolute; it need not exist.
        port: Where the gateway should be.
    """
    folder = Folder(data)
    running = holder(folder.lock)
    findings = [
        _python(),
        await _broker(),
        await _database(),
        _account(data),
        *_services(),
        _zones(),
        _encoding(),
        _disk(data),
        _writable(data),
        _port(port, is_ours=running is not None),
        _lock(folder, running),
    ]
    if running is not None:
        findings += await _stack(folder)
    return findings


def _python() -> Finding:
    found = ".".join(str(number) for number in sys.version_info[:3])
    if sys.version_info[:2] < PYTHON_MIN:
        wanted = ".".join(str(number) for number in PYTHON_MIN)
        return Finding("Python", Grade.BROKEN, found, f"use Python {wanted} or newer.")
    return Finding("Python", Grade.GOOD, found)


async def _broker() -> Finding:
    return await _program("nats-server", nats_server, BROKER_MIN)


async def _database() -> Finding:
    def find() -> Path:
        return postgres.programs() / "postgres"

    return await _program("PostgreSQL", find, (int(postgres.MAJOR),))


async def _program(what: str, find: Callable[[], Path], wanted: tuple[int, ...]) -> Finding:
    """Run a program to see whether it can run, and of which version it is."""
    try:
        path = find()
        process = await asyncio.create_subprocess_exec(
            str(path), "--version", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(PROGRAM_S):
            output, _ = await process.communicate()
    except (StackError, OSError, TimeoutError) as error:
        return Finding(what, Grade.BROKEN, str(error) or type(error).__name__, _INSTALL)
    text = output.decode("utf-8", "replace").strip()
    match = re.search(r"(\d+)\.(\d+)(\.\d+)?", text)
    if process.returncode != 0 or match is None:
        return Finding(what, Grade.BROKEN, f"{path} does not run: {text[:200]}", _INSTALL)
    found = (int(match[1]), int(match[2]))
    if found[: len(wanted)] < wanted:
        return Finding(what, Grade.BROKEN, f"{match[0]} is too old", _INSTALL)
    return Finding(what, Grade.GOOD, f"{match[0]} ({path})")


def _account(data: Path) -> Finding:
    """Tell whom PostgreSQL would run as."""
    what = "user"
    if os.geteuid():
        return Finding(what, Grade.GOOD, "not root; PostgreSQL runs as the same user")
    try:
        who = postgres.instead_of_root(postgres.programs(), data / "postgres")
    except StackError as error:
        return Finding(what, Grade.BROKEN, str(error), "run as an ordinary user, or do as it says.")
    kept = "" if who.capability is None else f", with capability {who.capability} to pass folders"
    return Finding(what, Grade.GOOD, f"root; PostgreSQL runs as uid {who.uid}{kept}")


def _services() -> Iterator[Finding]:
    missing = [name for name in (*SERVICES, "devnet") if not _is_there(name)]
    if missing:
        found = f"missing: {', '.join(missing)}"
        yield Finding("services", Grade.BROKEN, found, _INSTALL)
    else:
        yield Finding("services", Grade.GOOD, f"all {len(SERVICES)} are installed")


def _is_there(name: str) -> bool:
    module = "devnet.__main__" if name == "devnet" else f"services.{name}.__main__"
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _zones() -> Finding:
    try:
        zoneinfo.ZoneInfo("Europe/Berlin")
    except zoneinfo.ZoneInfoNotFoundError:
        return Finding("time zones", Grade.BROKEN, "no data", "pip install tzdata.")
    return Finding("time zones", Grade.GOOD, "data found")


def _encoding() -> Finding:
    found = locale.getpreferredencoding(do_setlocale=False)
    if found.lower().replace("-", "") not in {"utf8", "cp65001"}:
        mend = "export LC_ALL=C.UTF-8, or names and tables may show wrongly."
        return Finding("text", Grade.NOTE, found, mend)
    return Finding("text", Grade.GOOD, found)


def _disk(data: Path) -> Finding:
    free = shutil.disk_usage(_existing(data)).free
    found = f"{free / 1024**3:.1f} GiB free"
    mend = f"make room on the disk of {data}, or choose another folder with --data."
    if free < DISK_BROKEN:
        return Finding("disk", Grade.BROKEN, found, mend)
    if free < DISK_NOTE:
        return Finding("disk", Grade.NOTE, found, mend)
    return Finding("disk", Grade.GOOD, found)


def _writable(data: Path) -> Finding:
    place = _existing(data)
    if not os.access(place, os.W_OK | os.X_OK):
        mend = "choose another folder with --data, or change who may write there."
        return Finding("data folder", Grade.BROKEN, f"{place} cannot be written", mend)
    state = str(data) if place == data else f"{data} will be made"
    return Finding("data folder", Grade.GOOD, state)


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _port(port: int, *, is_ours: bool) -> Finding:
    what = f"port {port}"
    if is_free(port):
        return Finding(what, Grade.GOOD, "free")
    if is_ours:
        return Finding(what, Grade.GOOD, "in use while the stack runs")
    return Finding(what, Grade.NOTE, "taken by another program", "the gateway takes a free one.")


def _lock(folder: Folder, running: int | None) -> Finding:
    if running is not None:
        return Finding("stack", Grade.GOOD, f"runs (process {running})")
    try:
        left = folder.lock.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        left = ""
    if left:
        found = f"does not run; process {left} was killed"
        return Finding("stack", Grade.NOTE, found, "nothing to do: the next start recovers.")
    return Finding("stack", Grade.GOOD, "does not run")


async def _stack(folder: Folder) -> list[Finding]:
    """Ask each part of the stack that runs how it is."""
    try:
        state = folder.load_state()
    except StackError as error:
        return [Finding("stack", Grade.BROKEN, str(error), "stop the stack and start it again.")]
    ports: dict[str, int] = state.get("ports", {})
    return await asyncio.gather(
        *(_part(name, ports, folder) for name in state.get("parts", ()) if isinstance(name, str))
    )


async def _part(name: str, ports: dict[str, int], folder: Folder) -> Finding:
    if name == "postgres":
        answers, found = not is_free(ports.get(name, 0)), "listens"
    else:
        paths = {"broker": ("monitor", "/healthz"), "devnet": ("devnet", "/")}
        port, path = paths.get(name, (f"health-{name}", "/readyz"))
        status, body = await probes.get(f"http://127.0.0.1:{ports.get(port, 0)}{path}")
        answers, found = status == probes.OK, "ready" if status == probes.OK else _why(body)
    if answers:
        return Finding(name, Grade.GOOD, found)
    mend = f"see {folder.log(name)}; the stack starts it again if it died."
    return Finding(name, Grade.BROKEN, found, mend)


def _why(body: bytes) -> str:
    """Name the parts of a service that are out of order."""
    try:
        parts: dict[str, Any] = json.loads(body)["parts"]
        bad = [f"{name}: {part['detail']}" for name, part in parts.items() if not part["ok"]]
    except (ValueError, KeyError, TypeError):
        return f"no answer: {body[:200].decode('utf-8', 'replace')}"
    return "; ".join(bad)
