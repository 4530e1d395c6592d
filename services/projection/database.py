"""Connections to Postgres, and which of its errors pass by themselves.

One connection per task, never shared. A connection that met an error is thrown away, and the whole
unit of work is done again from the stored position.
"""

from typing import Final

import asyncpg

from libs.runtime.failures import FailureClass, classify
from services.projection.settings import ProjectionSettings
from services.projection.table import Merge
from services.projection.tables import TABLES

CONNECT_TIMEOUT_S: Final = 5.0
"""Seconds until an attempt to connect is given up."""

COMMAND_GRACE_S: Final = 5.0
"""Seconds that the client waits beyond the server's own limit."""

CLOSE_TIMEOUT_S: Final = 2.0
"""Seconds in which a connection may end politely."""

Connection = asyncpg.Connection
"""A connection to Postgres."""

# InternalClientError ("another operation is in progress") means two tasks on one connection, which
# we never have, or a connection that the dying server ended with an error of its own: it passes.
_PASSING: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresSystemError,
)


def is_passing(error: BaseException) -> bool:
    """Tell whether trying again later may help: Postgres is away, full, being set up, failing over.

    A mistake of ours in SQL or rows is not among them.
    """
    return isinstance(error, _PASSING) or classify(error) is FailureClass.TRANSIENT


async def connect(settings: ProjectionSettings) -> "Connection[asyncpg.Record]":
    """Open a connection that works in our schema.

    Raises:
        OSError: Postgres is away.
        asyncpg.PostgresError: It does not let us in.
    """
    timeout_ms = str(int(settings.statement_timeout_s * 1000))
    connection: Connection[asyncpg.Record] = await asyncpg.connect(
        settings.postgres_dsn.get_secret_value(),
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=settings.statement_timeout_s + COMMAND_GRACE_S,
        server_settings={
            "application_name": "heliograph-projection",
            "search_path": settings.schema_name,
            "statement_timeout": timeout_ms,
            "idle_in_transaction_session_timeout": timeout_ms,
            "timezone": "UTC",
        },
    )
    return connection


async def prepare_staging(connection: "Connection[asyncpg.Record]") -> None:
    """Make the temporary tables through which merged rows go; they are emptied at each commit."""
    for table in TABLES:
        if table.merge is not Merge.APPEND:
            await connection.execute(
                f"CREATE TEMP TABLE {table.staging} (LIKE {table.name}) ON COMMIT DELETE ROWS"
            )


async def let_go(connection: "Connection[asyncpg.Record]") -> None:
    """Close a connection, whatever state it is in."""
    try:
        await connection.close(timeout=CLOSE_TIMEOUT_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()
