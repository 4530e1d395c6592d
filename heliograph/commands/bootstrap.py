"""`heliograph bootstrap`: declare every stream at a broker, as a job before the services."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliograph.errors import StackError

if TYPE_CHECKING:
    from heliograph.settings import BootstrapSettings


def bootstrap(
    url: Annotated[
        str | None,
        typer.Option(help="Of the broker; HELIOGRAPH_NATS_URL unless told.", show_default=False),
    ] = None,
    credentials: Annotated[
        Path | None,
        typer.Option(
            help="File with the passwords; HELIOGRAPH_BOOTSTRAP_CREDENTIALS_FILE unless told.",
            dir_okay=False,
        ),
    ] = None,
    book: Annotated[
        list[str] | None,
        typer.Option(help="A book; repeatable. HELIOGRAPH_BOOTSTRAP_BOOKS unless told."),
    ] = None,
    partitions: Annotated[
        int | None,
        typer.Option(
            help="Partitions of READINGS, fixed for ever; HELIOGRAPH_BOOTSTRAP_PARTITIONS."
        ),
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(help="Copies of each stream; HELIOGRAPH_BOOTSTRAP_REPLICAS unless told."),
    ] = None,
    wait: Annotated[
        float, typer.Option(min=0.1, help="Seconds to wait for a broker that is starting.")
    ] = 60.0,
) -> None:
    """Declare every stream and consumer; doing it again changes nothing.

    With HELIOGRAPH_BOOTSTRAP_POSTGRES_DSN (or its _FILE) it makes database and roles too.
    """
    from heliograph.bootstrap import declare_all  # noqa: PLC0415 - only when it is used

    given: dict[str, Any] = {"nats_url": url, "partitions": partitions, "replicas": replicas}
    given["books"] = tuple(book) if book else None
    settings = _settings({name: it for name, it in given.items() if it is not None}, credentials)
    done = asyncio.run(
        declare_all(settings.nats_url, settings.layout(), settings.passwords(), timeout_s=wait)
    )
    for stream, what in sorted(done.items()):
        typer.echo(f"{stream}: {what.value}")
    if settings.postgres_dsn is not None:
        from heliograph.database import prepare  # noqa: PLC0415 - as above

        dsn = settings.postgres_dsn.get_secret_value()
        asyncio.run(prepare(dsn, settings.passwords(), timeout_s=wait))
        typer.echo("database and roles: ready")


def _settings(values: dict[str, Any], credentials: Path | None) -> "BootstrapSettings":
    from heliograph.settings import BootstrapSettings  # noqa: PLC0415 - only when it is used
    from libs.runtime.settings import SettingsError  # noqa: PLC0415 - as above

    try:
        if credentials is not None:
            values["credentials"] = credentials.read_text("utf-8")
        return BootstrapSettings(**values)
    except OSError as error:
        raise StackError(f"The credentials cannot be read: {error}.") from error
    except SettingsError as error:
        raise StackError(f"these settings cannot be used:\n{error}") from error
