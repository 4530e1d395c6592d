"""The schema of the views: numbered SQL files, each applied once, in order, under one lock."""

from pathlib import Path
from typing import Final

import asyncpg

from libs.runtime.failures import BrokenLaw
from libs.runtime.logs import get_logger
from services.projection.database import Connection

LOCK: Final = 0x48454C494F
"""Key of the advisory lock: `HELIO`."""

FOLDER: Final = Path(__file__).parent / "schema"
"""Where the files are: `<version>_<name>.sql`."""

_log = get_logger(__name__)


def versions() -> list[tuple[int, str]]:
    """Give the SQL of every version, oldest first, from 1 without gaps."""
    found = sorted(FOLDER.glob("*.sql"))
    numbered = [(int(path.name.partition("_")[0]), path.read_text("utf-8")) for path in found]
    assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1)), found
    return numbered


async def apply(
    connection: "Connection[asyncpg.Record]", schema: str, *, reader_role: str | None = None
) -> int:
    """Bring the schema to the newest version; doing it again changes nothing.

    Args:
        connection: Of the role that owns the views.
        schema: Name of the Postgres schema, letters, digits and `_`.
        reader_role: Is granted to read, if it is named.

    Returns:
        The version that stands now.

    Raises:
        BrokenLaw: The schema is newer than this release.
    """
    known = versions()
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        await connection.execute(f'SET LOCAL search_path TO "{schema}"')
        await connection.execute("CREATE TABLE IF NOT EXISTS projection_schema (version integer)")
        version = await connection.fetchval("SELECT max(version) FROM projection_schema") or 0
        if version > known[-1][0]:
            raise BrokenLaw(
                "schema-newer", f"the views have version {version}, newer than {known[-1][0]}"
            )
        for number, sql in known[version:]:
            await connection.execute(sql)
            await connection.execute("INSERT INTO projection_schema VALUES ($1)", number)
            _log.info("schema-applied", schema=schema, version=number)
        if reader_role is not None:
            await connection.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO "{reader_role}"')
            await connection.execute(
                f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO "{reader_role}"'
            )
    return known[-1][0]


async def drop(connection: "Connection[asyncpg.Record]", schema: str) -> None:
    """Remove all views, to be rebuilt from the streams. The streams are not touched."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')
    _log.warning("views-dropped", schema=schema)
