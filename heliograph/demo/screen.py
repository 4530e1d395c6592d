"""What a watcher of the demonstration sees: a progress bar, events, and the report at the end."""

from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from heliograph.demo.check import Figure
from heliograph.parts import StackEvent, What


class Screen:
    """Writes to a console; on a terminal with a live bar, elsewhere in plain lines."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._done = 0
        self._each = "day"

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text, highlight=False)

    def on_event(self, event: StackEvent) -> None:
        """Tell of what died, and nothing of what went well."""
        if event.what is What.DIED:
            self.say(f"[yellow]{event.part} died ({event.detail}); starting it again")

    def begin(self, what: str, total: int, unit: str, *, each: str = "day") -> None:
        """Start the bar.

        Args:
            what: What is done.
            total: Number of steps.
            unit: What is counted, as a word behind the number.
            each: What one step is called.
        """
        self._done, self._each = 0, each
        self._task = self._progress.add_task(what, total=total, unit=unit, note="")

    def step(self, now: datetime, note: str) -> None:
        """One step is played."""
        self._done += 1
        text = f"{now:%Y-%m-%d}  {note}"
        if self._task is not None:
            self._progress.update(self._task, advance=1, note=text)
        if not self.console.is_terminal and self._done % 20 == 0:
            self.say(f"  {self._each} {self._done}: {text}")

    def report(self, figures: Sequence[Figure]) -> None:
        """The table of figures, each with the ways in which it was found."""
        table = Table(title="What the streams, the views and the source say", title_justify="left")
        for column in ("figure", "value", "found in", ""):
            table.add_column(column, justify="right" if column == "value" else "left")
        for figure in figures:
            if figure.agrees:
                value, mark = next(iter(figure.values.values())), "[green]agree"
            else:
                value = "\n".join(f"{way}: {value}" for way, value in figure.values.items())
                mark = "[red]MISMATCH"
            ways = ", ".join(figure.values)
            table.add_row(figure.name, value, ways, mark if len(figure.values) > 1 else "")
        self.console.print(table)
