"""Preparing a PostgreSQL that somebody else runs, on a real one."""

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from heliograph.database import prepare
from heliograph.errors import StackError
from heliograph.postgres import DATABASE, OWNER, READER, SUPERUSER
from heliograph.stack import Stack, StackOptions

PASSWORDS = {OWNER: "o'w\\ner", READER: 'rea"der$$'}
"""With what a careless statement would stumble over."""


@pytest.fixture
async def superuser(tmp_path: Path) -> AsyncIterator[str]:
    """The address of an empty server, as its superuser."""
    options = StackOptions(data=tmp_path / "data", infrastructure=("postgres",), services=())
    async with Stack(options) as stack:
        password = stack.credentials.passwords[SUPERUSER]
        dsn = f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{stack.ports['postgres']}/postgres"
        connection = await asyncpg.connect(dsn)
        await connection.execute(f"DROP DATABASE {DATABASE}")
        for role in (OWNER, READER):
            await connection.execute(f"DROP OWNED BY {role}")
            await connection.execute(f"DROP ROLE {role}")
        await connection.close()
        yield dsn


async def login(dsn: str, role: str, password: str) -> "asyncpg.Connection[asyncpg.Record]":
    port = int(dsn.rpartition(":")[2].partition("/")[0])
    return await asyncpg.connect(
        host="127.0.0.1", port=port, user=role, password=password, database=DATABASE
    )


async def test_the_owner_writes_the_reader_reads_and_again_changes_only_passwords(
    superuser: str,
) -> None:
    await prepare(superuser, PASSWORDS)
    owner = await login(superuser, OWNER, PASSWORDS[OWNER])
    await owner.execute("CREATE TABLE kept (value integer); INSERT INTO kept VALUES (7)")
    await owner.close()

    await prepare(superuser, {**PASSWORDS, READER: "another"})
    reader = await login(superuser, READER, "another")
    assert await reader.fetchval("SELECT value FROM kept") == 7
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.execute("INSERT INTO kept VALUES (8)")
    await reader.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await login(superuser, READER, PASSWORDS[READER])

    with pytest.raises(StackError, match=f"no password for the role '{READER}'"):
        await prepare(superuser, {OWNER: "x"})
    wrong = superuser.replace(f"{SUPERUSER}:", f"{SUPERUSER}:not-")
    with pytest.raises(StackError, match="refused the bootstrap"):
        await prepare(wrong, PASSWORDS)


async def test_a_server_that_does_not_come_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=r"did not answer in 0\.3 s"):
            await prepare(f"postgresql://x:y@127.0.0.1:{port}/postgres", PASSWORDS, timeout_s=0.3)
