"""The data folder of a stack: one stack at a time, the same ports again, logs with one old copy."""

import contextlib
import fcntl
import json
import os
import random
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from heliograph.errors import StackError

PORT_FIRST: Final = 20_000
"""First of the ports that are tried; all lie below those that systems give to outgoing links."""
PORT_LAST: Final = 32_000
"""Last of the ports that are tried."""
PORT_TRIES: Final = 2_000
"""Ports that are tried before giving up."""
LOCK_TRIES: Final = 5
"""Attempts to take the lock."""
LOCK_RETRY_S: Final = 0.05
"""Seconds between two of them."""

_FOLDERS: Final = ("logs", "broker", "devnet")


@dataclass(frozen=True, slots=True)
class Folder:
    """Where everything of one stack lies."""

    path: Path
    """Absolute."""

    @property
    def lock(self) -> Path:
        """Held by the stack that runs; holds its process id."""
        return self.path / "lock"

    @property
    def credentials(self) -> Path:
        """Passwords and seeds."""
        return self.path / "credentials.json"

    @property
    def state(self) -> Path:
        """Ports, and what this folder is fixed to."""
        return self.path / "stack.json"

    def log(self, name: str) -> Path:
        """Output of one process."""
        return self.path / "logs" / f"{name}.log"

    def check_belongs(self, deployment: str, books: Iterable[str], partitions: int) -> None:
        """Refuse what the data were not made for; nothing is written.

        Args:
            deployment: Id of the installation that is to use them.
            books: Its books.
            partitions: Their number.

        Raises:
            StackError: They belong to others; the message says how to start with those.
        """
        kept, asked = self.load_state(), sorted(books)
        theirs = kept.get("books") or self._books_of_streams(asked)
        faults, options = [], []
        if (name := kept.get("deployment", deployment)) != deployment:
            faults.append(f"deployment {name!r}, not {deployment!r}")
            options.append(f"--deployment {name}")
        if theirs != asked:
            faults.append(f"{_books(theirs)}, not {', '.join(map(repr, asked))}")
            options.append(f"--book {theirs[0]}")
        if (number := kept.get("partitions", partitions)) != partitions:
            faults.append(f"partitions {number}, not {partitions}")
        if not faults:
            return
        # No option names several books, or the number of partitions.
        can = bool(options) and len(theirs) == 1 and number == partitions
        ways = [] if can and name == deployment else ["choose another folder"]
        ways += [f"start with {' '.join(options)}"] if can else []
        raise StackError(
            f"The data in {self.path} belong to {' and '.join(faults)}: {', or '.join(ways)}."
        )

    def _books_of_streams(self, asked: list[str]) -> list[str]:
        """Tell the books by the streams, for a folder of a release that did not note them.

        A start with a wrong book may have left streams of it, so those asked for need only be
        among them.
        """
        prefix = "VAULT_LEDGER_"
        accounts = (self.path / "broker" / "streams" / "jetstream").glob(f"{prefix}*")
        found = sorted(account.name.removeprefix(prefix) for account in accounts)
        return asked if not found or set(asked) <= set(found) else found

    def make(self) -> None:
        """Make the folders.

        Others may pass through the first one, for PostgreSQL's user must, but read nothing.

        Raises:
            StackError: They cannot be made.
        """
        try:
            self.path.mkdir(mode=0o711, parents=True, exist_ok=True)
            for name in _FOLDERS:
                (self.path / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise StackError(f"The data folder {self.path} cannot be used: {error}.") from error

    def rotate_logs(self) -> None:
        """Keep each log of the last time as `<name>.log.1`, and nothing older."""
        for log in (self.path / "logs").glob("*.log"):
            log.replace(log.with_name(f"{log.name}.1"))

    def load_state(self) -> dict[str, Any]:
        """Read what is kept; empty where nothing is.

        Raises:
            StackError: It is there but cannot be read.
        """
        try:
            found = json.loads(self.state.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise StackError(f"{self.state} cannot be read: {error}.") from error
        return found if isinstance(found, dict) else {}

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Keep it, whole or not at all."""
        part = self.state.with_name(f"{self.state.name}.part")
        part.write_text(json.dumps(state, indent=1) + "\n", "utf-8")
        part.replace(self.state)


def _books(names: Iterable[str]) -> str:
    """Write `book 'park'`, or `books 'north', 'south'`."""
    told = [repr(name) for name in names]
    return f"book{'s' * (len(told) > 1)} {', '.join(told)}"


class Lock:
    """The right to run a stack on a data folder; the kernel gives it back when we end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        """Take it.

        Raises:
            StackError: Another process holds it.
        """
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        for attempt in range(LOCK_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                # Whoever only looks who holds it, holds it for a moment.
                if attempt == LOCK_TRIES - 1:
                    os.close(descriptor)
                    raise StackError(
                        f"A stack already runs on {self._path.parent} "
                        f"(process {holder(self._path)}): stop it first, or choose another folder."
                    ) from None
                time.sleep(LOCK_RETRY_S)
        os.truncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        if self._descriptor is not None:
            os.truncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> int | None:
    """Give the process that holds a lock, None where nobody does.

    A number in the file alone proves nothing: the process may have been killed.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        text = os.read(descriptor, 32).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)


def is_free(port: int) -> bool:
    """Tell whether we could listen on a port of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose_ports(names: Iterable[str], kept: Mapping[str, int]) -> dict[str, int]:
    """Give each name a free port: the one it had, or another.

    Args:
        names: What needs a port.
        kept: The ports of the last time.

    Raises:
        StackError: There is none left.
    """
    chosen: dict[str, int] = {}
    dice = random.SystemRandom()
    for name in names:
        port = kept.get(name)
        tries = 0
        while port is None or port in chosen.values() or not is_free(port):
            tries += 1
            if tries > PORT_TRIES:
                raise StackError(f"No free port between {PORT_FIRST} and {PORT_LAST} was found.")
            port = dice.randint(PORT_FIRST, PORT_LAST)
        chosen[name] = port
    return chosen
