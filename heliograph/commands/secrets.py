"""`heliograph secrets`: the passwords, seeds and broker configuration of a stack in containers."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from heliograph.errors import StackError

if TYPE_CHECKING:
    from heliograph.layout import Layout


def secrets(  # noqa: PLR0913, PLR0917 - an option each
    out: Annotated[Path, typer.Argument(help="Folder of folders, one per reader; it is made.")],
    into: Annotated[
        Literal["compose", "kubernetes"],
        typer.Option("--for", help="What they are for; it decides host names."),
    ] = "compose",
    nodes: Annotated[int, typer.Option(min=1, max=5, help="Servers of the broker: 1, 3 or 5.")] = 1,
    database: Annotated[str, typer.Option(help="Host of PostgreSQL.")] = "postgres",
    book: Annotated[list[str] | None, typer.Option(help="A book; repeatable. pilot.")] = None,
    partitions: Annotated[int, typer.Option(help="Partitions of READINGS, fixed for ever.")] = 1,
    site: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SITE:METER,METER",
            help="A site with a device that sends reports by MQTT; repeatable. "
            "Without any: rooftop:pv-1,home-1.",
        ),
    ] = None,
    played: Annotated[  # noqa: FBT002 - as typer has flags
        bool, typer.Option(help="For the demonstration: its players' fixed keys.")
    ] = False,
    owner: Annotated[
        list[str] | None,
        typer.Option(
            metavar="READER:UID", help="User to whom a reader's files are given; * for all others."
        ),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(metavar="FOLDER:UID", help="A folder of data to give to a user."),
    ] = None,
) -> None:
    """Make what is missing and write every file anew; what was made once stays as it is.

    OUT/master/credentials.json holds everything: keep it as you keep keys, it cannot be made again.
    """
    from heliograph import installation  # noqa: PLC0415 - only when it is used
    from heliograph.broker import Listeners  # noqa: PLC0415 - as above

    clustered = into == "kubernetes"
    listeners = Listeners(
        host="0.0.0.0",  # noqa: S104 - inside a container; what is published is decided outside
        client_port=4222,
        monitor_port=8222,
        mqtt_port=1883,
        store="/data",
        server_name="$POD_NAME" if clustered else "heliograph",
        peers=tuple(f"nats-{node}.nats" for node in range(nodes)) if nodes > 1 else (),
    )
    plan = installation.Plan(
        layout=_layout(book or ("pilot",), site or (), partitions, nodes),
        listeners=listeners,
        database=database,
        played=played,
        owners=dict(_numbered(text) for text in owner or ()),
    )
    made = installation.write(out, plan)
    for text in own or ():
        folder, user = _numbered(text)
        installation.own(Path(folder), user)
    typer.echo(f"{out}: {'made' if made else 'nothing was missing'}; every file is written")


def _layout(books: Sequence[str], sites: Sequence[str], partitions: int, replicas: int) -> "Layout":
    from heliograph.layout import DEFAULT_SITES, Layout  # noqa: PLC0415 - only when it is used

    named = {}
    for text in sites:
        site, _, meters = text.partition(":")
        if not meters:
            raise StackError(f"--site {text}: write it as SITE:METER,METER.")
        named[site] = tuple(meter.strip() for meter in meters.split(","))
    try:
        return Layout(
            books=tuple(books),
            partitions=partitions,
            sites=named or DEFAULT_SITES,
            replicas=replicas,
        )
    except ValueError as error:
        raise StackError(f"{error}.") from error


def _numbered(text: str) -> tuple[str, int]:
    name, _, number = text.rpartition(":")
    if not name or not number.isdigit():
        raise StackError(f"{text}: write it as NAME:UID.")
    return name, int(number)


def main() -> None:
    """Be the command, where `heliograph` is not at hand."""
    try:
        typer.run(secrets)
    except StackError as error:
        typer.secho(f"heliograph secrets: {error}", fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
