"""For real: the image is built, the stack comes up, a season is played in it while everything dies.

Needs a Docker engine and its base images; where none answers this is left out (tests/conftest.py).
`HELIOGRAPH_TEST_IMAGE` names an image that is there already and is not built again.
"""

import json
import os
import secrets
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import docker  # type: ignore[import-untyped]
import pytest
from docker.models.containers import Container  # type: ignore[import-untyped]

from heliograph.environment import SERVICES
from heliograph.folder import choose_ports
from heliograph.verify import sentence_of
from libs.proof.verify import Verdict, verify_proof
from libs.runtime.process import ExitCode
from tests.deploy import deployed

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]

GOLDEN = deployed.ROOT / "tests" / "golden" / "demo-season.json"
KILLED = ("broker", "postgres", "devnet", *SERVICES)
UP_S = 120
"""Seconds until the stack must be healthy, on a busy machine; a minute is what it promises."""
PLAY_S = 900


@dataclass(frozen=True)
class Stack:
    project: str
    engine: docker.DockerClient
    environment: dict[str, str]

    def compose(self, *arguments: str, timeout_s: float = 300) -> str:
        command = [deployed.program("docker-compose"), "--project-name", self.project]
        command += ["--env-file", "deploy/compose/demo.env", *arguments]
        done = subprocess.run(
            command,
            cwd=deployed.ROOT,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def container(self, service: str) -> Container:
        labels = [
            f"com.docker.compose.project={self.project}",
            f"com.docker.compose.service={service}",
        ]
        (found,) = self.engine.containers.list(all=True, filters={"label": labels})
        return found

    def is_healthy(self, service: str) -> bool:
        state: dict[str, Any] = self.container(service).attrs["State"]
        return bool(state["Running"] and state["Health"]["Status"] == "healthy")

    def started(self, service: str) -> str:
        """When its process began; empty while there is none."""
        state: dict[str, Any] = self.container(service).attrs["State"]
        return str(state["StartedAt"]) if state["Running"] else ""

    def started_anew(self, service: str, before: str) -> bool:
        return self.started(service) not in {"", before}

    def crash(self, service: str) -> str:
        """Let the main process die as if by itself, so that the engine starts it again.

        Only who may signal processes of the engine's machine can do that; otherwise it is killed
        through the engine, which then waits to be told to start it.
        """
        container = self.container(service)
        pid = int(container.attrs["State"]["Pid"])
        try:
            program = Path(f"/proc/{pid}/cgroup").read_text()
            if str(container.id) not in program:
                raise PermissionError
            os.kill(pid, signal.SIGKILL)
        except (OSError, ValueError):
            container.kill()
            container.start()
            return "killed and started"
        return "crashed"

    def file(self, service: str, path: str) -> bytes:
        stream, _ = self.container(service).get_archive(path)
        with tarfile.open(fileobj=BytesIO(b"".join(stream))) as archive:
            (member,) = archive.getmembers()
            extracted = archive.extractfile(member)
            assert extracted is not None
            return extracted.read()


def wait_for(what: Callable[[], bool], seconds: float, name: str) -> float:
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < seconds, f"{name}: not in {seconds} s"
        time.sleep(0.2)
    return time.monotonic() - began


@pytest.fixture(scope="module")
def image() -> str:
    given = os.environ.get("HELIOGRAPH_TEST_IMAGE")
    if given:
        return given
    engine = docker.from_env(timeout=1200)
    try:
        built, _ = engine.images.build(path=str(deployed.ROOT), tag="heliograph:test", rm=True)
        size = int(built.attrs["Size"])
        print(f"image {built.short_id}: {size / 1e6:.0f} MB")  # noqa: T201 - quoted in the docs
    finally:
        engine.close()
    return "heliograph:test"


@pytest.fixture
def stack(image: str) -> Iterator[Stack]:
    ports = choose_ports(["GATEWAY_PORT", "NATS_PORT", "MQTT_PORT"], {})
    engine = docker.from_env(timeout=60)
    environment = {name: str(port) for name, port in ports.items()}
    stack = Stack(
        f"heliograph-test-{secrets.token_hex(3)}",
        engine,
        {**environment, "HELIOGRAPH_IMAGE": image},
    )
    try:
        yield stack
    finally:
        stack.compose("down", "--volumes", "--remove-orphans", "--timeout", "5")
        engine.close()


def test_a_season_is_played_in_containers_while_each_of_them_dies(stack: Stack) -> None:
    began = time.monotonic()
    stack.compose("up", "--no-build", "--detach", "--wait", *(set(KILLED)), timeout_s=UP_S)
    print(f"\nall healthy after {time.monotonic() - began:.0f} s")  # noqa: T201
    for name in KILLED:
        assert stack.is_healthy(name)

    stack.compose("up", "--no-build", "--detach", "--no-deps", "play")
    began = time.monotonic()

    def says(text: bytes) -> bool:
        play = stack.container("play")
        assert play.status in {"created", "running"}, play.logs().decode()
        return text in play.logs()

    wait_for(lambda: says(b"Members, meters"), PLAY_S, "the stage")
    for name in KILLED:
        assert says(b""), "the season is still being played"
        before = stack.started(name)
        how = stack.crash(name)
        again = wait_for(partial(stack.started_anew, name, before), 60, name)
        print(f"{name}: {how}, runs again after {again:.1f} s")  # noqa: T201
    for name in KILLED:
        wait_for(partial(stack.is_healthy, name), 90, name)

    play = stack.container("play")
    assert play.wait(timeout=PLAY_S)["StatusCode"] == 0, play.logs().decode()
    print(f"played in {time.monotonic() - began:.0f} s")  # noqa: T201
    text = play.logs().decode()
    assert "MISMATCH" not in text
    result = json.loads(stack.file("play", "/data/result.json"))
    assert result == json.loads(GOLDEN.read_text()), "the figures of the embedded stack"

    invoice = [each["invoice"] for each in result["invoices"] if each["total_stroops"]][-1]
    proof = stack.file("play", f"/data/{invoice}.proof.json")
    verified = verify_proof(proof, stack.file("play", "/data/trust.json"))
    assert verified.verdict is Verdict.PROVED
    print(sentence_of(verified))  # noqa: T201

    # Doing it all again changes nothing.
    assert "created" not in stack.compose("run", "--rm", "--no-deps", "bootstrap")
    kept = stack.compose("run", "--rm", "--no-deps", "init")
    assert "nothing was missing" in kept


def test_the_image_needs_neither_root_nor_a_disk(image: str) -> None:
    """As any user, on a read-only root: a service without settings says what it misses."""
    engine = docker.from_env(timeout=60)
    container = engine.containers.run(
        image,
        ["sh", "-c", "touch /x 2>&1; heliograph --version; id -u; exec python -m services.ledger"],
        detach=True,
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        network_mode="none",
        user="20002:20002",
    )
    try:
        code, said = container.wait(timeout=120)["StatusCode"], container.logs().decode()
        assert "Read-only file system" in said
        assert "20002" in said
        assert "heliograph 0" in said
        assert "HELIOGRAPH_DEPLOYMENT: it is not set" in said
        assert code == ExitCode.SETTINGS
    finally:
        container.remove(force=True)
        engine.close()
