"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, Final

import typer

DATA: Final = Path(".heliograph")
"""The data folder unless told, below the folder in which the command is given."""

DataOption = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="HELIOGRAPH_DATA",
        file_okay=False,
        help="Folder of all data: streams, database, logs, passwords.",
    ),
]
"""Where a stack keeps everything."""

PortOption = Annotated[
    int,
    typer.Option(
        "--port",
        min=1,
        max=65_535,
        help="Port of the web console and REST; if it is taken, a free one is used.",
    ),
]
"""Where the gateway should be."""
