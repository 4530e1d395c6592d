"""Run scripts of `tests/node` with Node. Import the fixture `node_script` where it is needed."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "node"
INSTALL_TIMEOUT_S = 240
SCRIPT_TIMEOUT_S = 120

NodeScript = Callable[..., Any]


@pytest.fixture(scope="session")
def node_script() -> NodeScript:
    """Give a function that runs a script and returns the JSON it printed."""
    _install()
    return _run


def _run(name: str, *arguments: str, stdin: Any = None) -> Any:
    program = shutil.which("node")
    assert program is not None, "the marker `node` leaves the test out otherwise"
    finished = subprocess.run(
        [program, str(FOLDER / name), *arguments],
        input=None if stdin is None else json.dumps(stdin),
        capture_output=True,
        text=True,
        timeout=SCRIPT_TIMEOUT_S,
        check=False,
        cwd=FOLDER,
    )
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def _install() -> None:
    """Run `npm ci` unless the installed packages are those of the lock file."""
    lock = hashlib.sha256((FOLDER / "package-lock.json").read_bytes()).hexdigest()
    done = FOLDER / "node_modules" / ".heliograph-lock"
    if done.is_file() and done.read_text() == lock:
        return
    program = shutil.which("npm")
    assert program is not None, "the marker `node` leaves the test out otherwise"
    subprocess.run(
        [program, "ci", "--no-fund", "--no-audit"],
        capture_output=True,
        timeout=INSTALL_TIMEOUT_S,
        check=True,
        cwd=FOLDER,
    )
    done.write_text(lock)
