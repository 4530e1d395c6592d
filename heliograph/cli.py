"""The `heliograph` command: a table of commands, and one way to end.

What a user can mend is told in one sentence, with exit code 1; a traceback means a mistake of ours.
"""

import importlib
import importlib.metadata
import sys
from typing import Annotated, Final

import typer

from heliograph.errors import StackError

COMMANDS: Final = (
    # name, module, function; in the order of `--help`
    ("demo", "heliograph.demo.command", "demo"),
    ("prove", "heliograph.prove", "prove"),
    ("verify", "heliograph.verify", "verify"),
    ("up", "heliograph.commands.up", "up"),
    ("doctor", "heliograph.commands.doctor", "doctor"),
    ("keys", "heliograph.commands.keys", "keys"),
    ("sign", "heliograph.commands.sign", "sign"),
    ("tariff", "heliograph.commands.tariff", "tariff"),
    ("observe", "heliograph.commands.observe", "observe"),
    ("secrets", "heliograph.commands.secrets", "secrets"),
    ("preview", "heliograph.commands.foresight", "preview"),
    ("what-if", "heliograph.commands.foresight", "what_if"),
    ("forecast", "heliograph.commands.foresight", "forecast"),
    ("paygo", "heliograph.commands.paygo", "paygo"),
    ("bootstrap", "heliograph.commands.bootstrap", "bootstrap"),
)
"""Every command. A new one is a module, here or in a folder of its own, and a row."""

INTERRUPTED: Final = 130
"""Exit code after ctrl-C, as shells have it."""


def make_app() -> typer.Typer:
    """Make the command with everything in the table."""
    app = typer.Typer(
        name="heliograph",
        help="Energy that people own together: run it, watch it, check it.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, module, function in COMMANDS:
        app.command(name)(getattr(importlib.import_module(module), function))
    return app


def main() -> None:
    """Be the command."""
    try:
        make_app()()
    except StackError as error:
        typer.secho(f"heliograph: {error}", fg="red", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def version() -> str:
    """Give the release, or `0` where it is not installed."""
    try:
        return importlib.metadata.version("heliograph")
    except importlib.metadata.PackageNotFoundError:
        return "0"


def _tell_version(wanted: bool | None) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        typer.echo(f"heliograph {version()}")
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool | None,
        typer.Option(
            "--version",
            callback=_tell_version,
            is_eager=True,
            help="Show the release and leave.",
        ),
    ] = None,
) -> None:
    """Run Heliograph on this machine, and look after it."""


if __name__ == "__main__":
    main()
