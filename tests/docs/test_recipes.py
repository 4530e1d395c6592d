"""What CONTRIBUTING promises to catch: the steps of its recipes that nothing else would miss."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from heliograph.environment import SERVICES
from libs.events.command import COMMANDS
from libs.events.fact import REGISTRY
from libs.events.subjects import FAMILIES, family_of
from libs.rules.postings import postings
from services.anchor.app import streams_of
from tools.examples import examples

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
FOLDERS = sorted(path.parent.name for path in (ROOT / "services").glob("*/__main__.py"))
COMMANDS_ONLY = {"audit"}
"""Folders that are a command of the user and no process of the stack."""
PROCESSES = [name for name in FOLDERS if name not in COMMANDS_ONLY]


def readme_of(service: str) -> str:
    return (ROOT / "services" / service / "README.md").read_text("utf-8")


def test_every_process_belongs_to_the_stack() -> None:
    assert sorted(SERVICES) == PROCESSES


@pytest.mark.parametrize("service", PROCESSES)
def test_a_service_has_the_files_that_every_service_has(service: str) -> None:
    folder = ROOT / "services" / service
    wanted = {"README.md", "__init__.py", "__main__.py", "app.py", "settings.py"}
    assert wanted <= {path.name for path in folder.iterdir()}


def test_every_service_is_kept_apart_from_the_others() -> None:
    contracts = PROJECT["tool"]["importlinter"]["contracts"]
    (apart,) = [each for each in contracts if each["type"] == "independence"]
    assert set(apart["modules"]) >= {f"services.{name}" for name in PROCESSES}


def test_every_service_has_an_extra() -> None:
    assert set(PROJECT["project"]["optional-dependencies"]) >= set(PROCESSES)


def test_every_family_of_streams_is_anchored() -> None:
    anchored = {family_of(stream)[0].name for stream in streams_of(["pilot"], 1)}
    assert anchored | {"ANCHORS"} == set(FAMILIES)


@pytest.mark.parametrize("name", sorted({name for name, _ in REGISTRY}))
def test_every_fact_stands_in_the_readme_of_its_writer(name: str) -> None:
    for (fact, _), cls in REGISTRY.items():
        if fact == name:
            for family in cls.families:
                assert f"`{name}`" in readme_of(family.writer), family.writer


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_stands_in_the_readme_of_its_service(name: str) -> None:
    assert f"`{name}`" in readme_of(COMMANDS[name].service)


def test_every_fact_that_moves_something_is_in_the_account_map() -> None:
    page = ROOT / "docs" / "decisions" / "0001-facts-append-accounts-rounding.md"
    text = page.read_text("utf-8").partition("### Accounts")[2]
    moving = {type(each.fact).fact_name for each in examples() if postings(each.fact)}
    assert {name for name in moving if f"`{name}`" not in text} == set()


def test_the_changelog_names_every_version_of_every_fact() -> None:
    releases = re.split(r"^## ", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    events = "\n".join(each.partition("### Events")[2] for each in releases[1:])
    for name, version in REGISTRY:
        told = f"`{name}`" if version == 1 else f"`{name}` version {version}"
        assert told in events, f"{told} is not under Events"


def test_the_changelog_has_the_form_that_it_names() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    released = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert all(
        re.fullmatch(r"\[\d+\.\d+\.\d+\] - (unreleased|\d{4}-\d\d-\d\d)", each) for each in released
    )
    assert released[0].startswith(f"[{PROJECT['project']['version']}]")
    known = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security", "Events"}
    assert set(re.findall(r"^### (.+)$", text, re.MULTILINE)) <= known
