"""`heliograph paygo`: the digits of a pay-as-you-go token, from its fact and a device's key."""

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from heliograph.errors import StackError

KEY_PATTERN: Final = r"[0-9A-Fa-f]{32}"
"""The secret key of a device: 16 bytes in hexadecimal."""

STARTING_CODE_MAX: Final = 999_999_999
"""The largest starting code: nine digits."""


def paygo(
    action: Annotated[Literal["token"], typer.Argument(help="`token`: make the digits.")],
    device: Annotated[str, typer.Option("--device", help="The device's serial number.")],
    key_file: Annotated[
        Path,
        typer.Option(
            "--key-file",
            help="JSON with `device`, `secret_key` (32 hexadecimal digits) and, if the maker set "
            "one, `starting_code`.",
        ),
    ],
    fact: Annotated[
        str | None,
        typer.Option("--fact", metavar="FILE", help="The SupplyTokenIssued as JSON; - reads it."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="Without --fact: its count.")
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=0, max=995, help="Without --fact: its days.")
    ] = None,
    kind: Annotated[
        Literal["add-time", "disable"] | None,
        typer.Option("--kind", help="Without --fact: its kind; add-time unless told."),
    ] = None,
) -> None:
    """Make the nine digits that a holder types into his device.

    They follow from the fact's count, kind and days and from the device's key, so the same fact
    always gives the same digits, and a device takes them once. The key never leaves this machine.

    Example: heliograph paygo token --device SN-0042 --key-file SN-0042.json --count 4 --days 31
    """
    del action  # there is one
    told = (count, days, kind)
    if (fact is None) == (told == (None, None, None)):
        raise typer.BadParameter("Tell either --fact, or --count with --days or --kind.")
    if fact is not None:
        count, days, kind = _read_fact(fact, device)
    if count is None:
        raise typer.BadParameter("--count is missing.")
    kind = kind or "add-time"
    if (days or 0) > 0 and kind == "disable":
        raise typer.BadParameter("--kind disable has no --days.")
    if days is None and kind == "add-time":
        raise typer.BadParameter("--days is missing.")
    secret_key, starting_code = _read_key(key_file, device)
    typer.echo(digits(secret_key, starting_code, kind=kind, count=count, days=days or 0))


def digits(secret_key: str, starting_code: int | None, *, kind: str, count: int, days: int) -> str:
    """The nine digits of a token.

    Args:
        secret_key: The device's key: 32 hexadecimal digits.
        starting_code: Its starting code; None: it follows from the key.
        kind: `add-time` or `disable`.
        count: The count of the fact.
        days: The days of the fact.

    Raises:
        StackError: The count is of another kind of token, or OpenPAYGO is not installed.
    """
    try:
        from openpaygo import (  # type: ignore[import-untyped] # noqa: PLC0415 - an extra
            TokenType,
            generate_token,
        )
    except ImportError as error:
        raise StackError("OpenPAYGO is missing: pip install 'heliograph[paygo]'.") from error
    adds = kind == "add-time"
    made, text = generate_token(
        secret_key=secret_key,
        starting_code=starting_code,
        count=count - 1,  # the library is told the count before
        token_type=TokenType.ADD_TIME if adds else TokenType.DISABLE_PAYG,
        value=days if adds else None,
    )
    if made != count:
        parity = "even" if adds else "odd"
        raise StackError(f"count {count}: a token for {kind} has an {parity} count.")
    return str(text)


def _read_fact(name: str, device: str) -> tuple[int, int, Literal["add-time", "disable"]]:
    """Read the fact, alone or in its envelope; it must be for this device."""
    from libs.events.supply import SupplyTokenIssued  # noqa: PLC0415 - only when it is used

    document = _json("--fact", sys.stdin.read() if name == "-" else _text(Path(name)))
    try:
        fact = SupplyTokenIssued.model_validate_json(json.dumps(document.get("data", document)))
    except ValueError as error:
        raise StackError(f"--fact: no SupplyTokenIssued: {error}") from error
    if fact.device != device:
        raise StackError(f"--fact: that token is for {fact.device}, not for {device}.")
    return fact.count, fact.days, fact.kind


def _read_key(path: Path, device: str) -> tuple[str, int | None]:
    """Read a device's key; a file of another device is refused."""
    document = _json(str(path), _text(path))
    if document.get("device") != device:
        raise StackError(f"{path} is the key of {document.get('device')}, not of {device}.")
    secret, start = document.get("secret_key"), document.get("starting_code")
    if not isinstance(secret, str) or re.fullmatch(KEY_PATTERN, secret) is None:
        raise StackError(f"{path}: secret_key must be 32 hexadecimal digits.")
    if start is not None and not (type(start) is int and 0 < start <= STARTING_CODE_MAX):
        raise StackError(f"{path}: starting_code must be a number of at most nine digits.")
    return secret, start


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise StackError(f"{path} cannot be read: {error}.") from error


def _json(what: str, text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise StackError(f"{what}: no JSON: {error}.") from error
    if not isinstance(document, dict):
        raise StackError(f"{what}: no JSON object.")
    return document
