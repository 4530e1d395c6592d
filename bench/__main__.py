"""`python -m bench`: run all benchmarks and print the table."""

import argparse
import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import growth, ingest, projection
from bench.measure import Results, machine


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    meters: int
    rounds: int
    growth: bool


SHORT, FULL = Size(20, 5, growth=False), Size(500, 40, growth=True)


async def run(size: Size, folder: Path) -> Results:
    """Run every benchmark, one after the other."""
    results = Results(machine())
    await ingest.run(folder / "raw", results, meters=size.meters, rounds=size.rounds)
    await projection.run(folder / "view", results, meters=size.meters, rounds=size.rounds)
    if size.growth:
        await growth.run(folder, results, meters=size.meters, rounds=size.rounds // 4)
    return results


def show(results: Results, console: Console) -> None:
    """Print the table of ratios."""
    about = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    table = Table(title=f"Ratios of one run ({about})", title_justify="left")
    for column in ("path", "figure", "unit", "ratio", "of", "bar", ""):
        table.add_column(column, justify="right" if column in {"figure", "ratio"} else "left")
    for row in results.rows:
        at_most = row.of.startswith("first")
        reached = ""
        if row.ratio is not None and row.bar is not None:
            good = row.ratio <= row.bar if at_most else row.ratio >= row.bar
            reached = "[green]reached" if good else "[yellow]missed"
        table.add_row(
            row.path,
            f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:,.2f}",  # noqa: PLR2004
            row.unit,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.of,
            "" if row.bar is None else f"{'<=' if at_most else '>='} {row.bar}",
            reached,
        )
    console.print(table)


def main() -> None:
    """Be the command."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only check that everything runs")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="heliograph-bench-") as folder:
        results = asyncio.run(run(SHORT if arguments.short else FULL, Path(folder)))
    show(results, Console(width=150))
    if arguments.json:
        results.write(arguments.json)


if __name__ == "__main__":
    main()
