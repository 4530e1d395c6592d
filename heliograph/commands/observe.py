"""`heliograph observe`: what a source says of a document of prices or rates, signed."""

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from heliograph.errors import StackError

if TYPE_CHECKING:
    from heliograph.signing import Signer, Window
    from libs.events.billing_commands import Observe
    from services.oracle.sources import Document

Kind = Annotated[
    Literal["entsoe", "price-csv", "ecb", "rate-csv"],
    typer.Option("--kind", help="How the document is written."),
]
From = Annotated[
    str, typer.Option("--from", metavar="FILE|URL", help="The document of prices or rates.")
]
Feed = Annotated[str, typer.Option("--feed", help="The feed that is observed.")]
AssetOption = Annotated[
    str,
    typer.Option("--asset", help="What prices are in; of a rate what a unit of --base is worth."),
]
Base = Annotated[
    str | None, typer.Option("--base", help="The currency that is converted; for rates only.")
]
IntervalS = Annotated[
    int | None,
    typer.Option("--interval-s", help="Seconds of an interval, where a table has one line only."),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="YYYY-MM-DDTHH:MM:SSZ",
        help="Leave out intervals that start before: what you have observed is not taken twice.",
    ),
]
Key = Annotated[Path, typer.Option("--key", help="File of the source's key.")]
Member = Annotated[str, typer.Option("--member", help="The source: a member that the feed lists.")]
Deployment = Annotated[
    str, typer.Option("--deployment", help="Id of the installation that it is for.")
]
ClockOption = Annotated[
    str,
    typer.Option(
        "--clock",
        metavar="auto|wall|URL",
        help="Whose now: see `heliograph sign`. With --send: the installation's, unless told.",
    ),
]
Send = Annotated[
    str | None,
    typer.Option(
        "--send", metavar="URL", help="Send it to this gateway and print positions in its place."
    ),
]


def observe(  # noqa: PLR0913, PLR0917 - an option each
    kind: Kind,
    place: From,
    feed: Feed,
    asset: AssetOption,
    key: Key,
    member: Member,
    base: Base = None,
    interval_s: IntervalS = None,
    since: Since = None,
    deployment: Deployment = "embedded",
    clock: ClockOption = "auto",
    send: Send = None,
) -> None:
    """Read prices or rates, check them, and sign what the source says: a compact JWS a line.

    The same document gives commands with the same ids, so sending it again changes nothing. Prints
    nothing where there is nothing new. A source that the installation itself looks at needs no such
    command: see docs/prices.md.

    Example: heliograph observe --kind entsoe --from day-ahead.xml --feed spot --asset EUR
    --key exchange.key --member exchange --send http://127.0.0.1:3000
    """
    from pydantic import ValidationError  # noqa: PLC0415 - only when it is used

    from heliograph.commands.sign import now_by  # noqa: PLC0415 - as above
    from heliograph.signing import Signer, Window  # noqa: PLC0415 - as above
    from services.oracle.sources import Document  # noqa: PLC0415 - as above

    try:
        document = Document(feed=feed, kind=kind, asset=asset, base=base, interval_s=interval_s)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, fault["loc"]))
        raise StackError(f"{field}: {fault['msg']}.".lstrip(": ")) from error
    signer = Signer.from_file(key, member=member, deployment=deployment)
    now, _ = now_by(send if send is not None and clock == "auto" else clock)
    bodies = _bodies(document, place, now, _instant(since))
    texts = _signed(signer, bodies, Window.around(now))
    if send is None:
        typer.echo("\n".join(texts), nl=bool(texts) and sys.stdout.isatty())
        return
    _send(texts, send, deployment)


def _instant(since: str | None) -> datetime | None:
    from libs.events.quantities import parse_instant  # noqa: PLC0415 - only when it is used

    try:
        return None if since is None else parse_instant(since)
    except ValueError as error:
        raise StackError(f"--since {since}: {error}.") from error


def _bodies(
    document: "Document", place: str, now: datetime, since: datetime | None
) -> tuple["Observe", ...]:
    """What the source says of the document."""
    import asyncio  # noqa: PLC0415 - only when it is used

    from libs.runtime.failures import HeliographError  # noqa: PLC0415 - as above
    from services.oracle.fetching import fetch_once  # noqa: PLC0415 - as above
    from services.oracle.sources import to_observe  # noqa: PLC0415 - as above

    try:
        data = asyncio.run(fetch_once(place))
        bodies, are_all = to_observe(document, data, now=now, since=since)
    except HeliographError as error:
        raise StackError(f"The document cannot be observed: {error}.") from error
    if not are_all:
        typer.echo("heliograph: left out: what lies too far ahead; observe it later", err=True)
    return bodies


def _signed(signer: "Signer", bodies: tuple["Observe", ...], window: "Window") -> list[str]:
    from heliograph.signing import NotSigned  # noqa: PLC0415 - only when it is used
    from services.oracle.sources import command_id  # noqa: PLC0415 - as above

    try:
        return [
            signer.sign(body, book="main", command_id=command_id(body), window=window)
            for body in bodies
        ]
    except NotSigned as error:
        raise StackError(f"{error}.") from error


def _send(texts: list[str], gateway_url: str, deployment: str) -> None:
    """Send the commands in their order, and tell where their facts stand."""
    import asyncio  # noqa: PLC0415 - only when it is used

    import httpx  # noqa: PLC0415 - as above

    from heliograph.client import CommandClient  # noqa: PLC0415 - as above
    from libs.runtime.failures import HeliographError  # noqa: PLC0415 - as above

    async def send_all() -> None:
        async with httpx.AsyncClient(timeout=30) as http:
            client = CommandClient(http, gateway_url=gateway_url, deployment=deployment)
            for text in texts:
                typer.echo(str((await client.send(text)).first))

    try:
        asyncio.run(send_all())
    except HeliographError as error:
        raise StackError(f"It was not taken: {error}.") from error
