"""What a watcher of the trading demonstration sees besides the lines: its tables."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from heliograph.demo.check import Figure
from heliograph.demo.energy_day import SHAPES, USE, EnergyDay
from heliograph.demo.factories import FACTORIES
from heliograph.demo.screen import Screen
from heliograph.demo.seed_story import EXPECTED, SHOWN, Story
from heliograph.demo.trading_hand import Outcome
from libs.events.quantities import STROOPS_PER_UNIT, WH_PER_KWH


def tell_day(screen: Screen, day: EnergyDay, source: str) -> None:
    """Say where the day's energy comes from, and what was made of it."""
    made = sum(map(sum, day.made_wh.values())) // WH_PER_KWH
    used = sum(map(sum, day.used_wh.values())) // WH_PER_KWH
    local = day.starts_at.date()
    screen.say(
        f"[bold]{source}[/]: real PV power of {local}, {day.time_zone}, scaled to twenty plants "
        f"({made:,} kWh) whose factories use {used:,} kWh."
    )
    for kind, shape in SHAPES.items():
        word = "real" if kind == "solar" else "[yellow]not measured[/], made from it"
        screen.say(f"  {kind}: {word}: {shape}.")
    screen.say(f"  use: [yellow]not measured[/], {USE}.")


def show_story(console: Console, story: Story) -> None:
    """Balances after each act, and what was refused."""
    table = Table(title="The seed's story, by its own routes", title_justify="left")
    table.add_column("")
    for factory in SHOWN:
        table.add_column(f"{factory} kWh", justify="right")
        table.add_column("tokens", justify="right")
    table.add_column("as told")
    for act, balances in story.balances.items():
        cells = [text for factory in SHOWN for text in balances[factory]]
        agrees = EXPECTED[act] == balances
        table.add_row(act, *cells, "[green]agree" if agrees else "[red]MISMATCH")
    console.print(table)
    table = Table(title="Tried, and refused", title_justify="left")
    for column in ("what", "code", "HTTP"):
        table.add_column(column)
    for what, code, status in story.refusals:
        table.add_row(what, code, str(status))
    console.print(table)


def show_factories(console: Console, outcome: Outcome, figures: Mapping[str, list[Figure]]) -> None:
    """One row per factory: kWh of the day, tokens before and after, and whether all ways agree."""
    title = "The factories: kWh of the day; tokens at registration and in the end"
    table = Table(title=title, title_justify="left", padding=(0, 0), pad_edge=False)
    table.add_column("factory")
    for column in ("made", "own use", "minted", "bought", "sold", "before", "after"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for factory in FACTORIES:
        account = outcome.accounts[factory.id]
        energy = (
            account.made_wh,
            account.own_wh,
            account.surplus_wh,
            account.bought_wh,
            account.sold_wh,
        )
        agrees = all(figure.agrees for figure in figures[factory.id])
        table.add_row(
            f"{factory.number:02} {factory.energy_type}",
            *(f"{value / WH_PER_KWH:,.1f}" for value in energy),
            f"{factory.balance_kwh:,}",
            f"{account.tokens_stroops / STROOPS_PER_UNIT:,.3f}",
            "[green]agree" if agrees else "[red]MISMATCH",
        )
    console.print(table)


def show_wrong(console: Console, figures: Sequence[Figure]) -> None:
    """Every figure that was not the same in all ways."""
    for figure in figures:
        if not figure.agrees:
            ways = ", ".join(f"{way}: {value}" for way, value in figure.values.items())
            console.print(f"[red]{figure.name}[/]: {ways}", highlight=False)
