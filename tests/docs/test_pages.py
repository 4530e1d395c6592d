"""What the pages say of the repository is true: links, paths, commands, targets, names, figures.

Every Markdown file of ours is looked at. What is hard to check by machine (whether a sentence is
right) is left to readers; what can be looked up is looked up here.
"""

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heliograph.cli import COMMANDS
from heliograph.demo.player import calendar_of
from heliograph.environment import SERVICES
from heliograph.folder import Folder
from heliograph.settings import BootstrapSettings
from libs.runtime.clock import ManualClock
from libs.runtime.health import Health, health_app
from libs.runtime.process import ExitCode
from libs.runtime.settings import SharedSettings
from services.teller.source import read_source
from tools import settings_table

ROOT = Path(__file__).parents[2]
FOLDERS = (
    "bench",
    "data",
    "deploy",
    "devnet",
    "docs",
    "examples",
    "heliograph",
    "libs",
    "services",
    "tests",
    "tools",
)
"""A path that begins with one of them is one of the repository's."""


def pages() -> list[Path]:
    """Every Markdown file that is ours."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.split() if listed.returncode == 0 else []
    found = [ROOT / name for name in names] or [
        *ROOT.glob("*.md"),
        *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")),
    ]
    return [path for path in found if path.exists() and "node_modules" not in path.parts]


PAGES = pages()
IDS = [str(path.relative_to(ROOT)) for path in PAGES]
OURS = pytest.mark.parametrize("page", PAGES, ids=IDS)


def text_of(page: Path) -> str:
    return page.read_text("utf-8")


def without_blocks(text: str) -> str:
    """The text without fenced code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def ticked(page: Path) -> Iterator[str]:
    """Everything in single backticks outside of code blocks."""
    yield from re.findall(r"`([^`\n]+)`", without_blocks(text_of(page)))


def anchors_of(page: Path) -> set[str]:
    """The places in a page that a link can name, as GitHub names them."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", without_blocks(text_of(page)), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", title.lower())
        found.add(plain.replace(" ", "-"))
    return found


def test_the_pages_are_found() -> None:
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/README.md"} <= set(IDS)


@OURS
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_blocks(text_of(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, place = target.partition("#")
        wanted = (page.parent / path).resolve() if path else page
        assert wanted.exists(), target
        if place and wanted.suffix == ".md":
            assert place in anchors_of(wanted), target


@OURS
def test_every_path_of_the_repository_exists(page: Path) -> None:
    for word in ticked(page):
        first, slash, _ = word.partition("/")
        if not slash or first not in FOLDERS or re.search(r"[\s<>{}…]", word):
            continue
        path = word.rstrip("/").partition(":")[0]
        assert list(ROOT.glob(path)), word


@OURS
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = re.findall(r"(?:^|[`$ ])make ([a-z][a-z-]+)(?=[`\s=]|$)", _commands(page), re.MULTILINE)
    assert set(named) <= targets


@OURS
def test_every_command_of_ours_exists(page: Path) -> None:
    known = {name for name, *_ in COMMANDS}
    command = r"(?:^|[/`$] ?|&& |    )(?<!-n )heliograph ([a-z]+)(?=[`\s]|$)"
    assert set(re.findall(command, _commands(page), re.MULTILINE)) <= known


@OURS
def test_every_module_that_is_run_exists(page: Path) -> None:
    for name in re.findall(r"python -m ([a-z_.]+[a-z_])\b(?!\.<)", text_of(page)):
        if name.split(".")[0] in FOLDERS:
            path = ROOT / name.replace(".", "/")
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), name


def _commands(page: Path) -> str:
    """What is written as a command: in backticks, in blocks, in indented lines."""
    text = text_of(page)
    blocks = re.findall(r"^```.*?^```$", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^    .+$", text, re.MULTILINE)
    return "\n".join([*ticked(page), *blocks, *indented])


@OURS
def test_every_variable_is_read_by_somebody(page: Path) -> None:
    services = settings_table.service_settings()
    classes: list[type[SharedSettings]] = [*services, BootstrapSettings, SharedSettings]
    known = {"HELIOGRAPH_DATA", "HELIOGRAPH_TEST_SEED"}
    known |= {name for cls in classes for name in cls.variables()}
    known |= {f"HELIOGRAPH_{name.upper()}_" for name in (*SERVICES, "devnet")}
    compose = ROOT / "docker-compose.yml"
    known |= set(re.findall(r"HELIOGRAPH_\w+", text_of(compose))) if compose.exists() else set()
    for name in re.findall(r"HELIOGRAPH_[A-Z_]*[A-Z]\b(?!_)", text_of(page)):
        assert name in known or name.startswith("HELIOGRAPH_DEVNET_"), name


@OURS
def test_python_in_pages_is_python(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL):
        ast.parse(block)


@OURS
def test_json_in_pages_is_json(page: Path) -> None:
    for block in re.findall(r"^```json\n(.*?)^```$", text_of(page), re.MULTILINE | re.DOTALL):
        json.loads(block)


@OURS
def test_a_page_names_no_place_on_somebodys_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.])/(?:work|root|home|Users|tmp)/", text_of(page))


def test_the_index_names_every_page() -> None:
    index = text_of(ROOT / "docs" / "README.md")
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"({page.name}" in index, page.name


# docs/operate.md


OPERATE = ROOT / "docs" / "operate.md"


def rows_of(page: Path, heading: str) -> list[str]:
    """First cells of the first table below a heading."""
    section = text_of(page).partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \|", section, re.MULTILINE)
    return rows[1:]


def test_every_exit_code_is_explained() -> None:
    codes = [int(cell) for cell in rows_of(OPERATE, "When a service restarts") if cell.isdigit()]
    assert codes == [code.value for code in ExitCode]


def test_every_path_of_health_is_explained() -> None:
    app = health_app(Health("x", "0", ManualClock()))
    paths = [route.path for route in app.routes if "{" not in route.path]  # type: ignore[attr-defined]
    assert [cell.strip("`") for cell in rows_of(OPERATE, "Health")] == [f"GET {p}" for p in paths]


def test_the_data_folder_is_explained() -> None:
    folder = Folder(Path("x"))
    files = {folder.lock.name, folder.credentials.name, folder.state.name}
    told = {cell.strip("`") for cell in rows_of(OPERATE, "The data folder")}
    assert told == files | {"broker", "devnet", "logs", "postgres", "snapshots", "teller"}


def test_every_log_event_and_code_exists() -> None:
    sources = [ROOT / "libs" / "runtime", ROOT / "services", ROOT / "libs" / "rules"]
    code = "\n".join(text_of(path) for folder in sources for path in folder.rglob("*.py"))
    cells = rows_of(OPERATE, "Logs")
    text = text_of(OPERATE).partition("These do not mend themselves")[2]
    cells += re.findall(r"^\| (`.+?) \|", text, re.MULTILINE)
    names = [name for cell in cells for name in re.findall(r"`([a-z-]+)`", cell)]
    assert len(names) > 10
    assert [name for name in names if f'"{name}"' not in code] == []


# README.md


def test_the_figures_of_the_readme_are_those_of_a_play() -> None:
    """`tests/demo` compares a play with the golden result; this compares the page with it."""
    golden = json.loads(text_of(ROOT / "tests" / "golden" / "demo-season.json"))
    source = read_source(ROOT / "data" / "pv" / "serf_east_15min_ac_power.csv").report
    calendar = calendar_of(
        datetime.fromisoformat(source.first_at),
        datetime.fromisoformat(source.until_at),
        "America/Denver",
    )
    paid, last = 0, golden["invoices"][-1]
    told = {f"{source.rows:,}", *_numbers("day 20: 2016-07-21 0 paid; day 40: 2016-08-10")}
    told |= {kwh(source.generated_wh), kwh(source.drawn_wh), kwh(_energy(golden["invoices"]))}
    for invoice in golden["invoices"]:
        told.add(money(paid))
        paid += invoice["total_stroops"]
    told |= {money(paid), f"{golden['title']['household']:,}"}
    told |= {kwh(_energy([last])), money(last["total_stroops"]), str(last["number"])}
    ends = calendar.midnights()[-1].astimezone(UTC)
    told |= _numbers(f"{last['invoice']} {ends:%Y-%m-%d %H:%M:%S} 1 13")
    block = re.findall(r"^```\n(.*?)^```$", text_of(ROOT / "README.md"), re.MULTILINE | re.DOTALL)[
        0
    ]
    block = block.replace("serf_east_15min_ac_power.csv", "").replace("15 minutes", "")
    assert _numbers(block) <= told


def _numbers(text: str) -> set[str]:
    return {each.rstrip(".,") for each in re.findall(r"\d[\d,.]*", text)}


def _energy(invoices: list[dict[str, list[dict[str, int]]]]) -> int:
    return sum(line["energy_wh"] for invoice in invoices for line in invoice["lines"])


def kwh(energy_wh: int) -> str:
    return f"{energy_wh // 1000:,}.{energy_wh % 1000:03}"


def money(amount_stroops: int) -> str:
    return f"{amount_stroops // 10**7:,}.{amount_stroops % 10**7:07}"
