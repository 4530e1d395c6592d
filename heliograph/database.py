"""Preparing a PostgreSQL that somebody else runs: the database and the two roles that use it."""

import asyncio
from collections.abc import Mapping
from typing import Final

import asyncpg

from heliograph.errors import StackError
from heliograph.postgres import DATABASE, OWNER, READER

RETRY_S: Final = 0.5
"""Seconds between two attempts while the server is not there yet."""


async def prepare(dsn: str, passwords: Mapping[str, str], *, timeout_s: float = 30.0) -> None:
    """Make the database and the roles, and set their passwords; doing it again changes nothing.

    Args:
        dsn: Of the superuser.
        passwords: By role.
        timeout_s: Seconds to wait for a server that is still starting.

    Raises:
        StackError: It cannot be reached, or refuses.
    """
    connection = await _connected(dsn, timeout_s)
    try:
        await _set_up(connection, passwords)
    except KeyError as error:
        raise StackError(f"The credentials hold no password for the role {error}.") from None
    except asyncpg.PostgresError as error:
        raise StackError(f"PostgreSQL could not be prepared: {error}.") from error
    finally:
        await connection.close()


async def _connected(dsn: str, timeout_s: float) -> "asyncpg.Connection[asyncpg.Record]":
    reason = "no answer"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    return await asyncpg.connect(dsn, timeout=5)
                except asyncpg.InvalidPasswordError as error:
                    raise StackError(f"PostgreSQL refused the bootstrap: {error}.") from None
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    reason = str(error) or type(error).__name__
                await asyncio.sleep(RETRY_S)
    except TimeoutError:
        raise StackError(f"PostgreSQL did not answer in {timeout_s:g} s: {reason}.") from None


async def _set_up(
    connection: "asyncpg.Connection[asyncpg.Record]", passwords: Mapping[str, str]
) -> None:
    present = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
    for role in (OWNER, READER):
        verb = "ALTER" if role in present else "CREATE"
        # The statement is made by the server, which quotes name and password as they must be.
        statement = await connection.fetchval(
            f"SELECT format('{verb} ROLE %I LOGIN PASSWORD %L', $1::text, $2::text)",
            role,
            passwords[role],
        )
        await connection.execute(statement)
    await connection.execute(f"GRANT pg_read_all_data TO {READER}")
    known = "SELECT 1 FROM pg_database WHERE datname = $1"
    if await connection.fetchval(known, DATABASE) is None:
        await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")
