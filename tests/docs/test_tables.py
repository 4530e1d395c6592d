"""The generated pages are those that their tools write, and they say what programs say."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from heliograph.cli import COMMANDS, make_app
from heliograph.settings import BootstrapSettings
from libs.runtime.settings import SharedSettings
from tools import cli_table, settings_table

ROOT = Path(__file__).parents[2]
SETTINGS, CLI = (ROOT / "docs" / name for name in ("settings.md", "cli.md"))
Main = Callable[..., int]


@pytest.mark.parametrize("main", [settings_table.main, cli_table.main])
def test_the_page_is_what_its_tool_writes(main: Main) -> None:
    assert main(["--check"]) == 0


@pytest.mark.parametrize("main", [settings_table.main, cli_table.main])
def test_a_stale_or_missing_page_is_found_and_written_anew(main: Main, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert main(["--check"], page) == 1
    assert main([], page) == 0
    assert main(["--check"], page) == 0
    page.write_text(page.read_text().replace("HELIOGRAPH_", "HELIOGRAF_", 1))
    assert main(["--check"], page) == 1


def test_every_variable_that_a_service_reads_is_on_the_page() -> None:
    named = set(re.findall(r"^\| `(HELIOGRAPH_\w+)` \|", SETTINGS.read_text(), re.MULTILINE))
    read: set[str] = set()
    services = settings_table.service_settings()
    classes: list[type[SharedSettings]] = [*services, BootstrapSettings, SharedSettings]
    for cls in classes:
        own = cls.prefixes("")[0]
        shared = {f"{own}{name.upper()}" for name in SharedSettings.model_fields}
        every = {name.removesuffix("_FILE") for name in cls.variables()}
        read |= every - shared if cls.service else every
    assert named == read


def test_every_service_with_settings_is_found() -> None:
    folders = {path.parent.name for path in (ROOT / "services").glob("*/settings.py")}
    assert {cls.service for cls in settings_table.service_settings()} == folders
    assert len(folders) >= 8


def help_of(*arguments: str) -> str:
    wide = {"COLUMNS": "400", "TERM": "dumb"}
    result = CliRunner(env=wide).invoke(make_app(), [*arguments, "--help"])
    assert result.exit_code == 0
    return result.output


def test_the_help_of_the_command_lists_what_the_page_lists() -> None:
    rows = re.findall(
        r"^\| \[`heliograph (\S+)`\]\(\S+\) \| (.*) \|$", CLI.read_text(), re.MULTILINE
    )
    assert [name for name, _ in rows] == [name for name, *_ in COMMANDS]
    text = " ".join(help_of().replace("│", " ").split())
    for name, sentence in rows:
        assert f"{name} {sentence}" in text


@pytest.mark.parametrize("command", [name for name, *_ in COMMANDS])
def test_the_help_of_each_command_has_the_options_of_the_page(command: str) -> None:
    section = CLI.read_text().partition(f"\n## heliograph {command}\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    on_page = {name for row in rows for name in re.findall(r"`(--[a-z-]+)`", row.split(" | ")[0])}
    in_help = set(re.findall(r"^│[ *]+(--[a-z-]+)", help_of(command), re.MULTILINE))
    assert on_page == in_help - {"--help"}


def test_the_installed_command_starts() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heliograph", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.startswith("heliograph ")
