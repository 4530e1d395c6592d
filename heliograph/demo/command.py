"""`heliograph demo`: a season from the meter to the proof, or a day of energy trading."""

import asyncio
import tempfile
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from heliograph.errors import StackError
from heliograph.folder import choose_ports
from libs.runtime.failures import HeliographError

SEASON: Final = "data/pv/serf_east_15min_ac_power.csv"
"""The season that is replayed unless another file is named; see `data/pv/LICENSE`."""

SEASON_ZONE, SEASON_NAMEPLATE_W = "America/Denver", 6_000
"""Where the season was measured (Golden, Colorado), and a power that it never exceeds."""

LOAD_W: Final = 500
"""The household's constant draw in W, unless told."""

NAMEPLATE_W_MAX: Final = 10_000_000_000
"""Most nameplate of a plant: 10 GW, more than any on Earth."""

SPAN_MAX: Final = timedelta(days=3_653)
"""Longest span of a file, ten years: a play takes every day of it, with rows or without."""

NAMEPLATE_MARGIN = 1.25
"""A nameplate that is not stated is the highest measured power and a quarter of it."""


def demo(  # noqa: PLR0913, PLR0917 - an option each
    play: Annotated[
        Literal["season", "trading", "ownership"],
        typer.Argument(
            help="What is played: a season of one plant; a day of twenty factories and their "
            "market; or how two households come to own a plant, one of them late. Only --folder, "
            "--port and --kill are for all of them."
        ),
    ] = "season",
    data: Annotated[
        Path | None,
        typer.Option(
            help="CSV of two columns with header, time and power in W, with one constant step of "
            "1, 3, 5 or 15 minutes. Without it: 104 days of a real system in Colorado.",
        ),
    ] = None,
    nameplate_w: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=NAMEPLATE_W_MAX,
            help="Nameplate of the plant in W; more energy is refused.",
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="IANA time zone of the site, for months and for times without offset."),
    ] = None,
    load_w: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="The household's constant draw in W.")
    ] = LOAD_W,
    folder: Annotated[
        Path | None, typer.Option(help="Keep the data, logs, result and proof in this new folder.")
    ] = None,
    port: Annotated[
        int,
        typer.Option(min=0, max=65_535, help="Port of the gateway; a free one for 0 or if taken."),
    ] = 3000,
    kill: Annotated[
        int | None,
        typer.Option(
            metavar="SEED", help="Kill every process once, at random moments of this seed."
        ),
    ] = None,
    billing_down: Annotated[
        tuple[int, int] | None,
        typer.Option(metavar="FROM UNTIL", help="Stop billing between two days of the play."),
    ] = None,
) -> None:
    """Replay a season of sunshine, from reading to proof; a day of energy trading; or ownership.

    Starts a broker, a database, a double of Stellar (the devnet) and every service on this machine,
    plays by a clock of its own and finds every figure a second way. The season ends with the
    verified proof of an invoice. The trading day registers twenty factories and plays the example
    of the energy network's first design, by signed requests; then their plants are metered, their
    surplus is minted and their market is cleared. The play of ownership raises a plant from five
    investors and lets two households use it by time-of-use prices: one pays off early, the other
    is late into grace, sold to the grid and cured. Ends with an error if anything does not match.
    """
    season: dict[str, object] = {
        "--data": data,
        "--nameplate-w": nameplate_w,
        "--time-zone": time_zone,
        "--load-w": None if load_w == LOAD_W else load_w,
        "--billing-down": billing_down,
    }
    check_folder(folder)
    made = None
    with ExitStack() as stack:
        if folder is None:
            made = stack.enter_context(tempfile.TemporaryDirectory(prefix="heliograph-demo-"))
            folder = Path(made)
        port = port or choose_ports(["gateway"], {})["gateway"]
        try:
            if play == "trading":
                check_season_only(season)
                wrong = _play_trading(folder, port, kill, kept=made is None)
            elif play == "ownership":
                check_season_only(season)
                wrong = _play_ownership(folder, port, kill)
            else:
                scene, source = read_scene(data, nameplate_w, time_zone, load_w)
                check_billing_down(billing_down, scene, source)
                wrong = _play_season(scene, source, folder, port, kill, billing_down)
        except (TimeoutError, OSError, HeliographError) as error:
            raise StackError(f"The play did not get on: {error}") from error
    if wrong:
        raise StackError(f"Figures that do not match: {'; '.join(wrong)}")


def _play_season(
    scene: Any,
    source: dict[str, Any],
    folder: Path,
    port: int,
    kill: int | None,
    billing_down: tuple[int, int] | None,
) -> list[str]:
    """Play the season; give what did not match."""
    from rich.console import Console  # noqa: PLC0415 - keeps `heliograph --help` fast

    from heliograph.demo.run import DemoOptions, run_demo  # noqa: PLC0415
    from heliograph.demo.screen import Screen  # noqa: PLC0415

    screen = Screen(Console(soft_wrap=False))
    tell_source(screen, scene, source)
    options = DemoOptions(
        scene=scene,
        source=source,
        folder=folder,
        gateway_port=port,
        kill_seed=kill,
        billing_down=billing_down,
    )
    with screen:
        return asyncio.run(run_demo(options, screen)).mismatches


def _play_trading(folder: Path, port: int, kill: int | None, *, kept: bool) -> list[str]:
    """Play the trading day; give what did not match."""
    from rich.console import Console  # noqa: PLC0415 - keeps `heliograph --help` fast

    from heliograph.demo.energy_day import day_of  # noqa: PLC0415
    from heliograph.demo.screen import Screen  # noqa: PLC0415
    from heliograph.demo.trading import DAY, TradingOptions, run_trading  # noqa: PLC0415
    from heliograph.demo.trading_screen import tell_day  # noqa: PLC0415
    from services.teller.source import read_source  # noqa: PLC0415

    day = day_of(read_source(_season(), SEASON_ZONE), DAY, SEASON_ZONE)
    screen = Screen(Console(soft_wrap=False))
    tell_day(screen, day, Path(SEASON).name)
    options = TradingOptions(day=day, folder=folder, gateway_port=port, kept=kept, kill_seed=kill)
    with screen:
        return asyncio.run(run_trading(options, screen))


def _play_ownership(folder: Path, port: int, kill: int | None) -> list[str]:
    """Play how two households come to own a plant; give what did not match."""
    from rich.console import Console  # noqa: PLC0415 - keeps `heliograph --help` fast

    from heliograph.demo.ownership import (  # noqa: PLC0415
        DIVERTED,
        OwnershipOptions,
        run_ownership,
    )
    from heliograph.demo.ownership_season import season_of  # noqa: PLC0415
    from heliograph.demo.screen import Screen  # noqa: PLC0415
    from services.teller.source import read_source  # noqa: PLC0415

    season = season_of(read_source(_season(), SEASON_ZONE), DIVERTED)
    screen = Screen(Console(soft_wrap=False))
    options = OwnershipOptions(season=season, folder=folder, gateway_port=port, kill_seed=kill)
    with screen:
        return asyncio.run(run_ownership(options, screen))


def check_season_only(options: dict[str, object]) -> None:
    """Refuse what only the season can be told.

    Raises:
        StackError: An option was given.
    """
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise StackError(f"{', '.join(given)}: only for `heliograph demo season`.")


def read_scene(
    data: Path | None, nameplate_w: int | None, time_zone: str | None, load_w: int
) -> tuple[Any, Any]:
    """Read the source once, to know its days, and settle what is to be played.

    Raises:
        StackError: The file cannot be played; the reason is in the message.
    """
    from heliograph.demo.cast import Scene  # noqa: PLC0415
    from services.teller.source import SourceRefused, read_source  # noqa: PLC0415

    path = data or _season()
    zone = time_zone or (SEASON_ZONE if data is None else None)
    _check_zone(zone)
    try:
        source = read_source(path, zone)
    except (SourceRefused, OSError, UnicodeDecodeError) as error:
        raise StackError(f"{path}: {error}") from error
    highest_w = -(-max((*source.powers, 0)) // source.scale)
    if nameplate_w is None:
        margin = min(max(1, int(highest_w * NAMEPLATE_MARGIN)), NAMEPLATE_W_MAX)
        nameplate_w = SEASON_NAMEPLATE_W if data is None else margin
    if highest_w > nameplate_w:
        raise StackError(
            f"--nameplate-w {nameplate_w}: the file has {highest_w} W, which ingest would refuse."
        )
    scene = Scene(str(path.absolute()), zone or "UTC", nameplate_w, load_w)
    found = source.report.as_json()
    _check_span(path, scene, found)
    return scene, found


def _check_span(path: Path, scene: Any, source: dict[str, Any]) -> None:
    """Refuse a file whose days no play could come to the end of."""
    from libs.events.quantities import parse_instant  # noqa: PLC0415

    first, until = source["first_at"], source["until_at"]
    if parse_instant(until) - parse_instant(first) > SPAN_MAX:
        last = _last_row(until, source["step_s"])
        raise StackError(
            f"{path}: from the first row, {first}, to the last, {last}, it is more than ten years."
        )
    try:
        _days(scene, source)
    except StackError as error:
        raise StackError(f"{path}: {error}") from error


def _last_row(until: str, step_s: int) -> str:
    """Give the time of the last row, from its end."""
    from libs.events.quantities import format_instant, parse_instant  # noqa: PLC0415

    return format_instant(parse_instant(until) - timedelta(seconds=step_s))


def _days(scene: Any, source: dict[str, Any]) -> int:
    """Count the days of a play."""
    from heliograph.demo.player import calendar_of  # noqa: PLC0415
    from libs.events.quantities import parse_instant  # noqa: PLC0415

    first_at, until_at = parse_instant(source["first_at"]), parse_instant(source["until_at"])
    return len(calendar_of(first_at, until_at, scene.time_zone).midnights())


def check_billing_down(
    billing_down: tuple[int, int] | None, scene: Any, source: dict[str, Any]
) -> None:
    """Refuse days between which billing would not stop, or would not come back.

    Raises:
        StackError: They are not two days of the play, one after the other.
    """
    if billing_down is None:
        return
    (first, last), days = billing_down, _days(scene, source)
    if not 0 <= first < last < days:
        raise StackError(
            f"--billing-down {first} {last}: the play has {days} days, from 0 to {days - 1}; "
            "FROM must be one of them and UNTIL a later one."
        )


def check_folder(folder: Path | None) -> None:
    """Refuse a folder that is not new.

    Raises:
        StackError: It is a file, cannot be looked into, or is not empty.
    """
    try:
        if folder is None or not folder.exists():
            return
        if not folder.is_dir():
            raise StackError(f"{folder} is a file: a play needs a folder.")
        empty = not any(folder.iterdir())
    except OSError as error:
        raise StackError(f"{folder}: {error.strerror}") from error
    if not empty:
        raise StackError(f"{folder} is not empty: a play begins in a new folder.")


def _season() -> Path:
    path = Path(__file__).parents[2] / SEASON
    if not path.exists():
        raise StackError("The season's data come with the repository: name a file with --data.")
    return path


def _check_zone(zone: str | None) -> None:
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    try:
        ZoneInfo(zone or "UTC")
    except (KeyError, ValueError, OSError) as error:
        raise StackError(f"--time-zone {zone}: there is no such IANA time zone.") from error


def tell_source(screen: Any, scene: Any, source: dict[str, Any]) -> None:
    """Say what was found in the file, and everything in it that was not used."""
    screen.say(
        f"[bold]{Path(scene.source).name}[/]: {source['rows']:,} rows of {source['step_s'] // 60} "
        f"minutes, {source['first_at']} to {source['until_at']}, site time {scene.time_zone}, "
        f"nameplate {scene.nameplate_w:,} W, household {scene.load_w:,} W"
    )
    named = {
        "malformed": "malformed rows",
        "blank": "blank values",
        "not_numeric": "values that are no number",
        "duplicates": "duplicated rows, dropped",
        "contradictions": "rows that contradict each other, dropped",
        "unordered": "rows out of order, sorted",
        "off_raster": "rows off the step's raster, dropped",
        "ambiguous": "ambiguous local times, dropped",
        "nonexistent": "local times that do not exist, dropped",
        "gaps": "gaps",
        "missing": "missing intervals, not rated",
        "negative": "negative values, counted as the plant's own draw",
    }
    found = [f"{source[key]:,} {words}" for key, words in named.items() if source.get(key)]
    if found:
        screen.say(f"In the file: {'; '.join(found)}.")
