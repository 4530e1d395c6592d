"""`heliograph keys`: key files that members sign with."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from heliograph.errors import StackError


def keys(
    action: Annotated[
        Literal["new", "show", "check"],
        typer.Argument(help="`new` makes a key, `show` tells its address, `check` an address."),
    ],
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help="The key file; for `check` the address.")
    ],
    secret: Annotated[  # noqa: FBT002 - as typer has flags
        bool, typer.Option("--secret", help="With `show`: print the secret seed (S...) instead.")
    ] = False,
) -> None:
    """Make a key that signs commands, tell its address, or check an address.

    A key file holds a Stellar secret seed; only its owner may read it, and it is never overwritten.
    The address (G...) is what an approver registers.

    Examples: heliograph keys new anna.key; heliograph keys show anna.key
    """
    from heliograph.keys import new_key, read_key, read_secret  # noqa: PLC0415 - only when used
    from libs.events.ids import public_key_of  # noqa: PLC0415 - as above

    if secret and action != "show":
        raise typer.BadParameter("--secret goes with `show`.")
    match action:
        case "new":
            typer.echo(new_key(Path(target)))
        case "show":
            path = Path(target)
            typer.echo(read_secret(path) if secret else read_key(path).address)
        case "check":
            try:
                public_key_of(target)
            except ValueError as error:
                raise StackError(f"{target} is no address: {error}.") from error
            typer.echo(f"{target}: an address")
