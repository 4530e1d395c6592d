"""The one policy for tests that need an outside program.

Where the program is missing the test is left out, with the reason; `REQUIRE=node,docker` in the
environment turns that into a failure, as CI does.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache

import pytest


def _has_node() -> bool:
    return shutil.which("node") is not None and shutil.which("npm") is not None


def _has_browser() -> bool:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return any(shutil.which(name) is not None for name in names)


def _has_docker() -> bool:
    program = shutil.which("docker")
    if program is None:
        return False
    try:
        asked = subprocess.run([program, "info"], capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return False
    return asked.returncode == 0


NEEDS: dict[str, Callable[[], bool]] = {
    "node": cache(_has_node),
    "browser": cache(_has_browser),
    "docker": cache(_has_docker),
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    required = {name.strip() for name in os.environ.get("REQUIRE", "").split(",")}
    for name, is_there in NEEDS.items():
        if item.get_closest_marker(name) is None or is_there():
            continue
        if name in required:
            pytest.fail(f"{name} is required (REQUIRE={name}) and missing", pytrace=False)
        pytest.skip(f"{name} is missing on this machine")
