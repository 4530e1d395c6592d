"""`heliograph up`: run the embedded stack until it is told to stop."""

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from heliograph.commands.options import DATA, DataOption
from heliograph.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.status import Status

    from heliograph.layout import Layout
    from heliograph.parts import StackEvent
    from heliograph.stack import Stack, StackOptions


def up(  # noqa: PLR0913, PLR0917 - an option each
    data: DataOption = DATA,
    port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_535,
            help="Port of the web console and REST; refused if it is taken. "
            "Without it: 3000, or a free one, which is told.",
        ),
    ] = None,
    deployment: Annotated[
        str, typer.Option(help="Id of the installation; signed messages name it.")
    ] = "embedded",
    book: Annotated[str, typer.Option(help="Id of the book, that is of the community.")] = "pilot",
    site: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE:METER,METER",
            help="A site with a device that sends reports by MQTT, and its meters; repeatable. "
            "Without any: rooftop:pv-1,home-1.",
        ),
    ] = None,
    played_from: Annotated[
        str | None,
        typer.Option(
            metavar="YYYY-MM-DDTHH:MM:SSZ",
            help="Let a player move time on, beginning here, in place of the clock.",
        ),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="CSV of time and power in W that the teller of the first site reports. "
            "Without it no teller runs here.",
        ),
    ] = None,
    standby: Annotated[
        Literal["ledger"] | None,
        typer.Option(help="Run a second process of this service, which takes over from the first."),
    ] = None,
) -> None:
    """Run broker, database, devnet and all services on this machine until ctrl-C; data are kept."""
    from rich.console import Console  # noqa: PLC0415 - only when it is used

    from heliograph.environment import SERVICES, standby_of  # noqa: PLC0415 - as above
    from heliograph.stack import GATEWAY_PORT, StackOptions  # noqa: PLC0415 - as above

    reporter = _Reporter(Console())
    services = [name for name in SERVICES if name != "teller" or source is not None]
    if standby is not None:
        services.append(standby_of(standby))
    extra: dict[str, dict[str, str]] = {}
    if played_from is not None:
        extra["oracle"] = {"HELIOGRAPH_ORACLE_PLAYED_FROM": played_from}
    if source is not None:
        extra["teller"] = {"HELIOGRAPH_TELLER_SOURCE": str(source.absolute())}
    options = StackOptions(
        data=data,
        services=tuple(services),
        deployment=deployment,
        layout=_layout(book, site or ()),
        played_time=played_from is not None,
        gateway_port=port or GATEWAY_PORT,
        gateway_port_only=port is not None,
        extra_env=extra,
        on_event=reporter.hear,
    )
    asyncio.run(_run(options, reporter))


async def _run(options: "StackOptions", reporter: "_Reporter") -> None:
    """Run until asked to stop; asked twice, kill."""
    from heliograph.stack import Stack  # noqa: PLC0415 - only when it is used

    task = asyncio.current_task()
    assert task is not None
    asked = False

    def ask() -> None:
        nonlocal asked
        reporter.note("stopping; ctrl-C again kills" if not asked else "killing")
        asked = True
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ask)
    try:
        with reporter:
            async with Stack(options) as stack:
                reporter.running(stack)
                await loop.create_future()
    except asyncio.CancelledError:
        if not asked:
            raise
    reporter.note("stopped")


def _layout(book: str, sites: "Sequence[str]") -> "Layout":
    from heliograph.layout import DEFAULT_SITES, Layout  # noqa: PLC0415 - only when it is used

    try:
        return Layout(books=(book,), sites=dict(map(_site, sites)) or DEFAULT_SITES)
    except ValueError as error:
        raise StackError(f"{error}.") from error


def _site(text: str) -> tuple[str, tuple[str, ...]]:
    site, colon, meters = text.partition(":")
    if not colon or not meters:
        raise StackError(f"--site {text}: write it as SITE:METER,METER.")
    return site, tuple(meter.strip() for meter in meters.split(","))


class _Reporter:
    """Tells the person at the terminal: one moving line while starting, then what happens."""

    def __init__(self, console: "Console") -> None:
        self._console = console
        self._status: Status | None = None
        self._up = False

    def __enter__(self) -> None:
        """Show the line, if this is a terminal."""
        if self._console.is_terminal:
            self._status = self._console.status("starting")
            self._status.start()

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self._end_status()

    def hear(self, event: "StackEvent") -> None:
        """Tell an event."""
        self._status_text(f"{event.part}: {event.what} {event.detail}")
        match event.what:
            case "died":
                times = f" (restart {event.restarts})"
                self._console.print(f"[red]{event.part}[/] ended: {event.detail}{times}")
            case "note":
                text = f"{event.part}: {event.detail}"
                self._console.print(text, highlight=False, soft_wrap=True)
            case "ready" if self._up or not self._console.is_terminal:
                self._console.print(f"{event.part}: ready")
            case _:
                pass

    def note(self, text: str) -> None:
        """Tell something in words."""
        self._status_text(text)
        self._console.print(text)

    def running(self, stack: "Stack") -> None:
        """Show what runs where."""
        from rich.table import Table  # noqa: PLC0415 - only when it is used

        self._end_status()
        self._up = True
        urls = stack.urls
        where = {
            "broker": f"{urls.nats}  mqtt://{urls.mqtt_host}:{urls.mqtt_port}",
            "postgres": urls.postgres_reader.rpartition("@")[2],
            "devnet": urls.devnet,
            **urls.health,
        }
        if "gateway" in where:
            where["gateway"] = f"{urls.gateway}  (health {urls.health['gateway']})"
        table = Table("part", "where", "process")
        for name, pid in stack.pids.items():
            table.add_row(name, where.get(name, ""), str(pid or "-"))
        self._console.print(table)
        folder = stack.folder
        self._tell(f"data, logs and passwords: {folder.path}")
        self._tell_unusual(stack)
        self._console.print("ctrl-C stops everything")

    def _tell_unusual(self, stack: "Stack") -> None:
        """Say again, below the table, what else would be overlooked."""
        from heliograph.stack import taken  # noqa: PLC0415 - only when it is used

        wanted, url = stack.options.gateway_port, stack.urls.gateway
        if stack.ports["gateway"] != wanted:
            self._tell(f"[bold yellow]{taken(wanted)}; the gateway answers at {url}[/]")
        if stack.options.played_time:
            self._tell(
                "[bold]time is played:[/] it stands still until an approver moves it on with "
                f"AdvanceTime (docs/operate.md, A played clock); {url}/api/clock tells it"
            )

    def _tell(self, text: str) -> None:
        """One line, which the terminal may fold and we do not, so that it can be copied."""
        self._console.print(text, highlight=False, soft_wrap=True)

    def _status_text(self, text: str) -> None:
        if self._status is not None:
            self._status.update(text)

    def _end_status(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
