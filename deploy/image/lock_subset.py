"""Picks out of requirements.lock what some extras of pyproject.toml need, hashes included.

    python lock_subset.py pyproject.toml requirements.lock anchor cli > requirements.txt

A name that is no extra is taken as a package of the lock, with what stands below it.

The lock says beside every package who asked for it, so no index is asked. Nothing but the standard
library is used: the image's first stage runs this before anything is installed.
"""

# ruff: noqa: INP001 - a program beside the Dockerfile, in no package
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

PROJECT: Final = "heliograph"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==")


def chosen(pyproject: str, lock: str, names: Iterable[str]) -> str:
    """Give the entries of a lock for extras and packages.

    Args:
        pyproject: The text of pyproject.toml.
        lock: The text of requirements.lock, as uv writes it.
        names: Of extras (then with what the project itself asks for) and of packages.

    Raises:
        SystemExit: Something is not locked.
    """
    known = tomllib.loads(pyproject)["project"]["optional-dependencies"]
    extras = [name for name in names if name in known]
    packages = {_canonical(name) for name in names if name not in known}
    return subset(lock, packages | (direct(pyproject, extras) if extras else set()))


def direct(pyproject: str, extras: Iterable[str]) -> set[str]:
    """Name what a project itself asks for: its dependencies and those of some extras.

    Args:
        pyproject: The text of pyproject.toml.
        extras: Names of extras; those that they stand on are followed.
    """
    project = tomllib.loads(pyproject)["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]
    found, seen, waiting = set(project["dependencies"]), set[str](), list(extras)
    while waiting:
        extra = waiting.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in optional[extra]:
            if requirement.startswith(f"{PROJECT}["):
                waiting += requirement.removeprefix(f"{PROJECT}[").rstrip("]").split(",")
            else:
                found.add(requirement)
    return {_canonical(requirement) for requirement in found}


def subset(lock: str, wanted: Iterable[str]) -> str:
    """Give the entries of a lock that some packages need, they themselves included.

    Args:
        lock: The text of requirements.lock, as uv writes it.
        wanted: Canonical names.

    Raises:
        SystemExit: One of them is not locked.
    """
    entries = dict(_entries(lock))
    needed = set(wanted)
    if missing := needed - entries.keys():
        sys.exit(f"not in the lock: {', '.join(sorted(missing))}")
    while more := {name for name, (_, via) in entries.items() if via & needed} - needed:
        needed |= more
    return "".join(text for name, (text, _) in entries.items() if name in needed)


def _entries(lock: str) -> Iterator[tuple[str, tuple[str, set[str]]]]:
    """Give name, text and who asked for it, of each entry."""
    for entry in re.split(r"(?m)^(?=\S)", lock):
        found = _PINNED.match(entry)
        if found is not None:
            comments = [line.strip() for line in entry.splitlines() if "# " in line]
            via = {
                _canonical(c.removeprefix("# via").lstrip("# ")) for c in comments if c != "# via"
            }
            yield _canonical(found[1]), (entry, via - {PROJECT})


def _canonical(requirement: str) -> str:
    found = _NAME.match(requirement)
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found is not None else ""


if __name__ == "__main__":
    pyproject_path, lock_path, *names = sys.argv[1:]
    sys.stdout.write(
        chosen(Path(pyproject_path).read_text("utf-8"), Path(lock_path).read_text("utf-8"), names)
    )
