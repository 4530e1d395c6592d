"""Starting and ending one child process, so that none is ever left behind."""

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from heliograph import guard


@dataclass(frozen=True, slots=True)
class RunAs:
    """Whom a child of root runs as."""

    uid: int
    """The user's number."""
    gid: int
    """The group's number."""
    capability: int | None = None
    """The one capability it keeps, by its number in Linux."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program and how it ends."""

    argv: tuple[str, ...]
    """The program and its arguments."""
    environment: Mapping[str, str] = field(repr=False)
    """All of its environment."""
    stop_signal: signal.Signals = signal.SIGTERM
    """What asks it to stop."""
    stop_s: float = 12.0
    """Seconds that it has to stop before it is killed."""
    orphan_signal: signal.Signals = signal.SIGKILL
    """What it gets from the kernel when the supervisor dies."""
    run_as: RunAs | None = None
    """Whom it runs as, if this process is root."""


def plain_environment() -> dict[str, str]:
    """Give the environment of programs that nothing of the caller's may change."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


async def spawn(command: Command, log: Path, folder: Path) -> Process:
    """Start a program in a process group of its own.

    Args:
        command: What to run.
        log: File behind which its output is written.
        folder: Its working directory.
    """
    who = command.run_as
    changes = ("-", "-", "-")
    if who is not None:
        kept = "-" if who.capability is None else str(who.capability)
        changes = (str(who.uid), str(who.gid), kept)
    number = str(command.orphan_signal.value)
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), number, *changes),
            *command.argv,
            stdin=DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(command.environment),
            cwd=folder,
            start_new_session=True,
            umask=0o077,
        )


async def end(process: Process, command: Command) -> bool:
    """Ask a process to stop and wait; kill it when its time is over.

    Returns:
        Whether it stopped by itself.
    """
    send(process, command.stop_signal)
    try:
        async with asyncio.timeout(command.stop_s):
            await process.wait()
    except TimeoutError:
        send(process, signal.SIGKILL)
        await process.wait()
        return False
    return True


def send(process: Process, number: signal.Signals) -> None:
    """Send a signal: SIGKILL to all of the process's group, any other to the process itself."""
    if process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        if number is signal.SIGKILL:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


def sweep(process: Process) -> None:
    """Kill what an ended process left behind in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def explain(code: int) -> str:
    """Say how a process ended: `exit code 3`, `killed by SIGKILL`."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
