"""`heliograph doctor`: what is missing or broken, and how to mend it."""

import asyncio
from typing import Final

import typer

from heliograph.commands.options import DATA, DataOption, PortOption

_MARKS: Final = {
    "good": ("ok", "green"),
    "note": ("note", "yellow"),
    "broken": ("broken", "red"),
}


def doctor(data: DataOption = DATA, port: PortOption = 3000) -> None:
    """Say what is missing or broken, and how to mend it; exit code 1 if something is broken."""
    from rich.console import Console  # noqa: PLC0415 - only when it is used
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    from heliograph.examination import Grade, examine  # noqa: PLC0415 - as above

    findings = asyncio.run(examine(data.absolute(), port))
    table = Table("", "what", "found")
    for finding in findings:
        mark, colour = _MARKS[finding.grade.value]
        table.add_row(Text(mark, style=colour), finding.what, Text(finding.found))
    console = Console()
    console.print(table)
    for finding in findings:
        if finding.mend:
            console.print(f"{finding.what}: {finding.mend}", markup=False, highlight=False)
    broken = sum(finding.grade is Grade.BROKEN for finding in findings)
    if broken:
        console.print(f"{broken} broken", style="red")
        raise typer.Exit(1)
    console.print("nothing is broken", style="green")
