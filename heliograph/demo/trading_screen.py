"""What a watcher of the trading demonstration sees besides the lines: its tables."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from heliograph.demo import cast
from heliograph.demo.check import Figure
from heliograph.demo.energy_day import SHAPES, USE, EnergyDay
from heliograph.demo.factories import BOOK, FACTORIES
from heliograph.demo.screen import Screen
from heliograph.demo.seed_story import EXPECTED, SHOWN, Story
from heliograph.demo.trading_hand import SOLD_IN_STORY, Outcome
from libs.events.quantities import STROOPS_PER_UNIT, WH_PER_KWH, format_instant

LISTS: Final = ("factories", "trades", "market/slots")
"""The gateway's lists of what is traded, below `/api/`; the web console shows none of it."""


EXAMPLE: Final = "The example of the energy network's first design, by its own routes"
"""What the first table shows."""


def tell_lists(screen: Screen, gateway: str) -> None:
    """Name what can be looked at."""
    for path in LISTS:
        screen.say(f"  {gateway}/api/{path}")


def tell_reopening(screen: Screen, day: EnergyDay, folder: Path | None) -> None:
    """Say how to look at the play again.

    Args:
        screen: Where to say it.
        day: What was played; its beginning is where the played clock began.
        folder: Where the data are kept; None if they are not.
    """
    if folder is None:
        screen.say("The data are removed now; with --folder they are kept, to look at them again.")
        return
    options = f"--deployment {cast.DEPLOYMENT} --book {BOOK}"
    line = f"heliograph up --data {shlex.quote(str(folder))} {options}"
    screen.say("To look at factories, trades and prices again, start the services on these data:")
    # One line, which the terminal may fold and we do not, so that it can be copied.
    line = f"  {line} --played-from {format_instant(day.starts_at)}"
    screen.console.print(line, highlight=False, markup=False, soft_wrap=True)
    screen.say("and ask the gateway, at the address that it prints:")
    screen.say(f"  {', '.join(f'/api/{path}' for path in LISTS)}")


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
    table = Table(title=EXAMPLE, title_justify="left")
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
    title = (
        "The factories: kWh of the day; tokens when registered, before the example, and in the end"
    )
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
    example = SOLD_IN_STORY["Factory01"][1] // STROOPS_PER_UNIT
    accounts = outcome.accounts.values()
    unsold_wh = sum(each.surplus_wh - each.sold_wh for each in accounts)
    console.print(
        f"Between before and after lie the day's trades and the example's {example} tokens, from "
        f"Factory04 to Factory01. {unsold_wh / WH_PER_KWH:,.1f} kWh of the surplus found no buyer "
        "and stay with the factories.",
        highlight=False,
    )


def show_wrong(console: Console, figures: Sequence[Figure]) -> None:
    """Every figure that was not the same in all ways."""
    for figure in figures:
        if not figure.agrees:
            ways = ", ".join(f"{way}: {value}" for way, value in figure.values.items())
            console.print(f"[red]{figure.name}[/]: {ways}", highlight=False)
