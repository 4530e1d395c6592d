"""A real PostgreSQL for tests: the stack's own, on a port of its own, with a database per use."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

import asyncpg

from heliograph import guard
from heliograph.postgres import OWNER, READER, ROLES, SUPERUSER, Postgres
from tests.servers import free_port


class Server:
    """One cluster, as the embedded stack makes it; `kill` and `start` as often as wanted."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")  # a killed process loses nothing there, and syncing costs nothing
        where = memory if os.access(memory, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="heliograph-pg-", dir=where))
        self.folder.chmod(0o755)
        self.port = free_port()
        self._postgres = Postgres(self.folder / "data", self.port, dict.fromkeys(ROLES, "test"))
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0

    async def start(self) -> Self:
        """Start it; back when it lets us in.

        The kernel ends it with the thread that started it, so this is no work for a thread pool.
        """
        async with asyncio.timeout(60):
            ready = asyncio.create_task(self._postgres.ready())
            while not ready.done():
                if self._process is None or self._process.poll() is not None:
                    await self._postgres.prepare()  # one that lost its memory to an orphan ends
                    self._spawn()
                await asyncio.wait({ready}, timeout=0.2)
            await ready
        return self

    def _spawn(self) -> None:
        command = self._postgres.command()
        who, changes = command.run_as, ["-", "-", "-"]
        if who is not None:
            kept = "-" if who.capability is None else str(who.capability)
            changes = [str(who.uid), str(who.gid), kept]
        number = str(command.orphan_signal.value)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), number),
                    *changes,
                    *command.argv,
                ],
                cwd=self.folder,
                env=dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                umask=0o077,
            )

    def kill(self) -> None:
        """Kill the server and all its children with -9."""
        assert self._process is not None
        number = self._process.pid
        os.kill(number, signal.SIGSTOP)  # so that it makes no further child meanwhile
        children = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        for pid in (number, *map(int, children)):
            os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """End it politely, so that it leaves no shared memory behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def dsn(self, database: str, role: str = OWNER) -> str:
        return f"postgresql://{role}:test@127.0.0.1:{self.port}/{database}"

    def reader(self, dsn: str) -> str:
        """The same database for the role that may only read."""
        return dsn.replace(f"//{OWNER}:", f"//{READER}:")

    async def new_database(self) -> str:
        self._made += 1
        name = f"test_{self._made}"
        connection = await asyncpg.connect(self.dsn("postgres", SUPERUSER))
        try:
            await connection.execute(f"CREATE DATABASE {name} OWNER {OWNER}")
        finally:
            await connection.close()
        return self.dsn(name)
