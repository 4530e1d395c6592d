"""Reading the views: a small pool, read only, with a limit on everything.

Whatever goes wrong with Postgres becomes one answer: try again.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from libs.runtime.failures import Transient
from libs.runtime.health import Health
from libs.runtime.logs import get_logger
from services.gateway.settings import GatewaySettings

ACQUIRE_TIMEOUT_S: Final = 3.0
"""Seconds to wait for a connection before the answer is "try again"."""

COMMAND_GRACE_S: Final = 1.0
"""Seconds that the client waits beyond the server's own limit."""

CLOSE_TIMEOUT_S: Final = 2.0
"""Seconds in which the pool may close politely."""

PART: Final = "postgres"
"""Name of Postgres on health."""

Connection = Any
"""A connection from the pool, within one read-only transaction."""

_AWAY: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a rollback on a connection that died
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)
_MISSING: Final = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError)

_log = get_logger(__name__)


class Views:
    """The views in Postgres."""

    def __init__(self, settings: GatewaySettings, health: Health) -> None:
        """Prepare; nothing is connected yet, so that Postgres may be away.

        Args:
            settings: Where Postgres is.
            health: Told whether it answers.
        """
        self._settings, self._health = settings, health
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        health.set(PART, ok=False, detail="not asked yet")

    async def open(self) -> None:
        """Make the pool; its connections are opened when they are needed."""
        settings = self._settings
        timeout_ms = str(int(settings.statement_timeout_s * 1000))
        self._pool = await asyncpg.create_pool(
            settings.postgres_dsn.get_secret_value(),
            min_size=0,
            max_size=settings.connections,
            timeout=ACQUIRE_TIMEOUT_S,
            command_timeout=settings.statement_timeout_s + COMMAND_GRACE_S,
            max_inactive_connection_lifetime=60.0,
            server_settings={
                "application_name": "heliograph-gateway",
                "search_path": settings.schema_name,
                "statement_timeout": timeout_ms,
                "idle_in_transaction_session_timeout": timeout_ms,
                "default_transaction_read_only": "on",
                "timezone": "UTC",
            },
        )

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Give a connection within one transaction, so that all questions see the same state.

        Raises:
            Transient: Postgres is away or slow, or the views are not made yet.
        """
        assert self._pool is not None, "opened at start"
        try:
            async with (
                self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection,
                connection.transaction(isolation="repeatable_read", readonly=True),
            ):
                yield connection
        except _MISSING as error:
            self._health.set(PART, ok=False, detail="the views are not made yet")
            raise Transient(
                "views-missing", "The projection has not made the views yet. Try again."
            ) from error
        except _AWAY as error:
            self._health.set(PART, ok=False, detail=type(error).__name__)
            self._health.count("postgres-failures")
            _log.warning("postgres-away", reason=repr(error))
            raise Transient("views-away", "The database does not answer. Try again.") from error
        self._health.set(PART, ok=True, detail="answers")

    async def look(self) -> bool:
        """Ask for next to nothing, so that health knows whether the views answer; tell it too."""
        try:
            async with self.reading() as connection:
                await connection.fetchval("SELECT count(*) FROM projection_position")
        except Transient:
            return False
        return True

    async def close(self) -> None:
        """Close the pool; connections that are still busy are cut."""
        if self._pool is None:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pool.close()
        except _AWAY:
            self._pool.terminate()
