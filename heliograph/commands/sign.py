"""`heliograph sign`: one signed command on standard output, and nothing else there."""

import difflib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from heliograph.errors import StackError

if TYPE_CHECKING:
    from heliograph.signing import Window
    from libs.events.positions import Position

HERE: Final = "http://127.0.0.1:3000"
"""The installation on this machine, which `--clock auto` asks."""

ASK_TIMEOUT_S: Final = 5.0
"""Seconds that an installation has to tell its time."""

DAY_S: Final = 86_400
"""The longest window."""

Key = Annotated[Path | None, typer.Option("--key", help="File of the member's key.")]
Member = Annotated[str | None, typer.Option("--member", help="Who asks.")]
Book = Annotated[
    str | None,
    typer.Option(
        "--book",
        help="The book; `register` for members, the partition for ingest, `main` for the oracle.",
    ),
]
Name = Annotated[str | None, typer.Option("--command", help="Its name; see --list.")]
Deployment = Annotated[
    str, typer.Option("--deployment", help="Id of the installation that it is for.")
]
CommandId = Annotated[
    str | None, typer.Option("--id", help="Its id; a random one unless told, told by a note.")
]
After = Annotated[
    list[str] | None,
    typer.Option(
        "--after",
        metavar="STREAM:N:HASH",
        help="A fact that it answers: the service first reads that far; repeatable.",
    ),
]
ValidFrom = Annotated[
    str | None,
    typer.Option(
        "--valid-from",
        metavar="YYYY-MM-DDTHH:MM:SSZ",
        help="When its window begins. Without it: 5 minutes before now, by --clock.",
    ),
]
WindowS = Annotated[
    int, typer.Option("--window", min=1, max=DAY_S, help="Seconds from then on, or from now on.")
]
ClockOption = Annotated[
    str,
    typer.Option(
        "--clock",
        metavar="auto|wall|URL",
        help="Whose now: `wall` this machine's; URL an installation's, for a played clock; `auto` "
        f"the installation's at {HERE} if one answers, else this machine's.",
    ),
]
BodyOption = Annotated[
    str | None,
    typer.Option("--body", metavar="JSON|@FILE", help="The body, as JSON; @- reads it."),
]
Fields = Annotated[
    list[str] | None,
    typer.Option(
        "--field",
        "-f",
        metavar="NAME=TEXT",
        help="A field of the body, as text; NAME:=JSON for anything else. Repeatable.",
    ),
]
Batch = Annotated[
    str | None,
    typer.Option(
        "--batch",
        metavar="FILE",
        help="Sign a batch: a line for each command, a JSON object of `command`, `body` and, if "
        "need be, `id`; - reads them.",
    ),
]
List = Annotated[bool, typer.Option("--list", help="Name every command, and leave.")]
Schema = Annotated[
    str | None,
    typer.Option("--schema", metavar="NAME", help="Print the JSON Schema of a body, and leave."),
]


def sign(  # noqa: PLR0913, PLR0917 - an option each
    key: Key = None,
    member: Member = None,
    book: Book = None,
    command: Name = None,
    deployment: Deployment = "embedded",
    command_id: CommandId = None,
    after: After = None,
    valid_from: ValidFrom = None,
    window: WindowS = DAY_S,
    clock: ClockOption = "auto",
    body: BodyOption = None,
    field: Fields = None,
    batch: Batch = None,
    list_: List = False,  # noqa: FBT002 - as typer has flags
    schema: Schema = None,
) -> None:
    """Check a command and sign it: prints a compact JWS for POST, as application/jose.

    The body is signed as it is given, once the command's own rules let it pass. A note on the
    standard error tells its id and window: with the same ones you sign the same text again.

    Example: heliograph sign --key anna.key --member anna --book pilot --command ExecuteTrade
    -f tradeId=TRADE001 | curl -H 'Content-Type: application/jose' --data-binary @-
    http://127.0.0.1:3000/api/trade/execute
    """
    if schema is not None:
        return _tell_schema(schema)
    if list_:
        return _tell_commands()
    from heliograph.signing import NotSigned, Signer, new_command_id  # noqa: PLC0415 - only here

    name = _command_name(command, batch)
    path, member, book = _told("--key", key), _told("--member", member), _told("--book", book)
    command_id = new_command_id() if command_id is None else command_id
    signer = Signer.from_file(path, member=member, deployment=deployment)
    seen = _positions(after or [])
    try:
        asked = _body(name, body, field or [], batch, command_id)
        during, by = _window(valid_from, window, clock)
        text = signer.sign_json(
            name, asked, book=book, command_id=command_id, window=during, after=seen
        )
    except NotSigned as error:
        lines = "".join(f"\n  {fault}" for fault in error.faults)
        raise StackError(f"{error.what} cannot be signed:{lines}") from error
    _note(command_id, during, by)
    # Without a line end in a pipe: `curl --data-binary` would send it, and a JWS has none.
    typer.echo(text, nl=sys.stdout.isatty())
    return None


_T = TypeVar("_T")


def _told(option: str, value: _T | None) -> _T:
    if value is None:
        raise typer.BadParameter(f"{option} is missing.")
    return value


def _command_name(command: str | None, batch: str | None) -> str:
    """The command's name: told, or `Batch`."""
    if (command is None) == (batch is None):
        raise typer.BadParameter("Tell either --command or --batch.")
    return _known(command or "Batch")


def _known(name: str) -> str:
    from libs.events.command import COMMANDS  # noqa: PLC0415 - only when it is used

    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {near[0]}?" if near else "--list names them all."
        raise StackError(f"{name} is no command; {hint}")
    return name


def _body(
    name: str, body: str | None, fields: list[str], batch: str | None, command_id: str
) -> str | dict[str, Any]:
    """What is asked: JSON as it was given, or made of fields or lines."""
    if sum((body is not None, bool(fields), batch is not None)) > 1:
        raise typer.BadParameter("Tell one of --body, --field and --batch.")
    if batch is not None:
        from heliograph.signing import batch_body  # noqa: PLC0415 - only when it is used

        return batch_body(_read(batch).splitlines(), command_id)
    if body is None:
        return _of_fields(name, fields)
    return _read(body[1:]) if body.startswith("@") else body


def _of_fields(name: str, fields: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for text in fields:
        field, value = _field(name, text)
        if field in found:
            raise typer.BadParameter(f"{field} is told twice.")
        found[field] = value
    return found


def _field(name: str, text: str) -> tuple[str, Any]:
    """Read NAME=TEXT or NAME:=JSON."""
    field, equals, value = text.partition("=")
    if not equals or not field.rstrip(":"):
        raise typer.BadParameter(f"{text}: write a field as NAME=TEXT or NAME:=JSON.")
    if not field.endswith(":"):
        return field, value
    from heliograph.signing import NotSigned, strict_object  # noqa: PLC0415 - only when it is used

    field = field[:-1]
    found = strict_object(name, f"{{{json.dumps(field)}:{value}}}", field)
    if len(found) > 1:
        raise NotSigned(name, [f"{field}: one JSON value"])
    return field, found[field]


def _read(name: str) -> str:
    """Read a file, or the standard input for `-`."""
    try:
        return sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise StackError(f"{name} cannot be read: {error}.") from error


def _positions(texts: list[str]) -> "list[Position]":
    from libs.events.positions import Position  # noqa: PLC0415 - only when it is used

    try:
        return [Position.parse(text) for text in texts]
    except ValueError as error:
        raise StackError(f"--after: {error}.") from error


def _window(valid_from: str | None, seconds: int, clock: str) -> "tuple[Window, str]":
    """The window, and in words what began it."""
    from heliograph.signing import Window  # noqa: PLC0415 - only when it is used
    from libs.events.quantities import parse_instant  # noqa: PLC0415 - as above

    if valid_from is None:
        now, by = now_by(clock)
        return Window.around(now, seconds), f"by {by}"
    try:
        return Window.beginning(parse_instant(valid_from), seconds), "as told"
    except ValueError as error:
        raise StackError(f"--valid-from {valid_from}: {error}.") from error


def now_by(clock: str) -> tuple[datetime, str]:
    """Now, and whose it is, by an option `--clock`.

    Raises:
        StackError: The installation that was named tells no time.
    """
    from libs.runtime.clock import SystemClock  # noqa: PLC0415 - only when it is used

    if clock.startswith(("http://", "https://")):
        return _ask(clock), f"the clock of {clock}"
    if clock == "auto":
        try:
            return _ask(HERE, by_proxy=False), f"the clock of {HERE}"
        except StackError:
            pass  # nobody is there, or somebody else
    elif clock != "wall":
        raise typer.BadParameter(f"--clock {clock}: write auto, wall or a URL.")
    return SystemClock().now(), "the clock of this machine"


def _ask(url: str, *, by_proxy: bool = True) -> datetime:
    """Ask an installation for the time that its rules go by."""
    import httpx  # noqa: PLC0415 - only when it is used

    from libs.events.quantities import parse_instant  # noqa: PLC0415 - as above

    asked = f"{url.rstrip('/')}/api/clock"
    try:
        with httpx.Client(timeout=ASK_TIMEOUT_S, trust_env=by_proxy) as http:
            answer = http.get(asked).raise_for_status().json()
        return parse_instant(answer["now_at"])
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StackError(f"{asked} does not answer: {error}.") from error
    except (ValueError, TypeError, KeyError) as error:
        raise StackError(f"{asked} tells no time: {error}.") from error


def _note(command_id: str, window: "Window", by: str) -> None:
    """Tell what a repeat needs, where it is not in the way."""
    from libs.events.quantities import format_instant  # noqa: PLC0415 - only when it is used

    first, last = (
        format_instant(datetime.fromtimestamp(second, UTC))
        for second in (window.not_before, window.expires)
    )
    length_s = window.expires - window.not_before
    typer.echo(
        f"heliograph: valid until {last}, {by}; to repeat it send the same text, or sign with "
        f"--id {command_id} --valid-from {first} --window {length_s}",
        err=True,
    )


def _tell_commands() -> None:
    """Every command with its service and what it is for."""
    from libs.events.command import COMMANDS  # noqa: PLC0415 - only when it is used

    for name, model in sorted(COMMANDS.items()):
        sentence = (model.__doc__ or "").split("\n", 1)[0]
        typer.echo(f"{name:<20} {model.service:<8} {sentence}")


def _tell_schema(name: str) -> None:
    """The JSON Schema of a body."""
    from libs.events.command import COMMANDS  # noqa: PLC0415 - only when it is used

    typer.echo(json.dumps(COMMANDS[_known(name)].model_json_schema(), indent=2))
