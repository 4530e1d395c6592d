"""`python -m bench`: run all benchmarks and print the table."""

import argparse
import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import books, growth, ingest, projection, rating, trades
from bench.books import BooksSize
from bench.measure import Results, machine
from bench.rating import RatingSize
from bench.trades import TradesSize


@dataclass(frozen=True, slots=True)
class Size:
    """How much is measured."""

    meters: int
    rounds: int
    growth: bool
    trades: TradesSize
    books: BooksSize
    rating: RatingSize


SHORT = Size(
    20,
    5,
    growth=False,
    trades=TradesSize(members=20, trades=1_000, warm=100, eventsourced=50),
    books=BooksSize(small=10, large=100, facts=2_000, measured=500),
    rating=RatingSize(agreements=20, intervals=500),
)
FULL = Size(
    500,
    40,
    growth=True,
    trades=TradesSize(members=1_000, trades=30_000, warm=2_000, eventsourced=2_000),
    books=BooksSize(small=100, large=100_000, facts=1_000_000, measured=9_500),
    rating=RatingSize(agreements=1_000, intervals=1_000),
)


async def run(size: Size, folder: Path) -> Results:
    """Run every benchmark, one after the other."""
    results = Results(machine())
    rating.run(results, size.rating)
    await ingest.run(folder / "raw", results, meters=size.meters, rounds=size.rounds)
    await projection.run(folder / "view", results, meters=size.meters, rounds=size.rounds)
    if size.growth:
        await growth.run(folder, results, meters=size.meters, rounds=size.rounds // 4)
    await trades.run(folder / "trade", results, size.trades)
    await books.run(folder / "books", results, size.books)
    return results


def show(results: Results, console: Console) -> None:
    """Print the table of ratios."""
    about = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    table = Table(title=f"Ratios of one run ({about})", title_justify="left")
    for column in ("path", "figure", "unit", "ratio", "of", "bar", ""):
        table.add_column(column, justify="right" if column in {"figure", "ratio"} else "left")
    for row in results.rows:
        reached = ""
        if row.ratio is not None and row.bar is not None:
            good = row.ratio <= row.bar if row.at_most else row.ratio >= row.bar
            reached = "[green]reached" if good else "[yellow]missed"
        table.add_row(
            row.path,
            f"{row.value:,.0f}" if row.value >= 100 else f"{row.value:,.2f}",  # noqa: PLR2004
            row.unit,
            "" if row.ratio is None else f"{row.ratio:.2f}",
            row.of,
            "" if row.bar is None else f"{'<=' if row.at_most else '>='} {row.bar}",
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
