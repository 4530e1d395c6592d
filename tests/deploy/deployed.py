"""What the deployment files say, read by the tools that will read them."""

import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic_settings import BaseSettings

from devnet.settings import Settings as DevnetSettings
from heliograph import broker
from heliograph.credentials import Credentials
from heliograph.demo.attach import DemoSettings
from heliograph.installation import Plan, complete, files
from heliograph.layout import Layout
from heliograph.settings import BootstrapSettings
from libs.runtime.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
K8S = ROOT / "deploy" / "k8s"
OVERLAYS = ("dev", "production")

FOREIGN = {
    # Not ours: what official images and Python's and Go's runtimes read.
    "POSTGRES_PASSWORD_FILE",
    "POSTGRES_INITDB_ARGS",
    "GOMEMLIMIT",
    "FORWARDED_ALLOW_IPS",
    "POD_NAME",
}

Json = dict[str, Any]


def program(name: str) -> str:
    """A tool from the dev extra, beside this Python."""
    found = Path(sys.executable).parent / name
    if not found.exists():
        pytest.fail(f"{name} is missing beside {sys.executable}: make setup", pytrace=False)
    return str(found)


def run(*command: str, env: Mapping[str, str] | None = None) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, **(env or {})}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@functools.cache
def compose(env_file: str | None = None, profile: str = "*") -> Json:
    """The Compose file as Compose understands it."""
    chosen = ["--env-file", f"deploy/compose/{env_file}"] if env_file else []
    profiles = ["--profile", profile] if profile else []
    command = [program("docker-compose"), *chosen, *profiles, "config", "--format", "json"]
    found: Json = json.loads(run(*command))
    return found


@functools.cache
def manifests(overlay: str) -> tuple[Json, ...]:
    """The documents of an overlay as kubectl makes them."""
    text = run(program("kubectl"), "kustomize", str(K8S / "overlays" / overlay))
    return tuple(yaml.safe_load_all(text))


def settings_class(argv: Iterable[str]) -> type[BaseSettings] | None:
    """The settings class of what a container runs; None for other people's programs."""
    words = " ".join(argv).split()
    for word in words:
        if word.startswith("services."):
            module = importlib.import_module(f"{word}.settings")
            (found,) = (
                value
                for value in vars(module).values()
                if isinstance(value, type)
                and issubclass(value, ServiceSettings)
                and value.__module__ == module.__name__
            )
            return found
    if "devnet" in words:
        return DevnetSettings
    if "bootstrap" in words:
        return BootstrapSettings
    if "heliograph.demo.attach" in words:
        return DemoSettings
    return None


def known_variables(found: type[BaseSettings]) -> set[str]:
    if issubclass(found, ServiceSettings):
        return set(found.variables())
    prefix = str(found.model_config.get("env_prefix", ""))
    return {f"{prefix}{name.upper()}" for name in found.model_fields}


@functools.cache
def secret_files(*, kubernetes: bool = False, played: bool = True) -> dict[str, dict[str, str]]:
    """What `heliograph secrets` would write, by reader and file name."""
    listeners = broker.Listeners(client_port=1, monitor_port=2, mqtt_port=3, store="/data")
    database = "postgres-rw" if kubernetes else "postgres"
    plan = Plan(layout=Layout(), listeners=listeners, database=database, played=played)
    credentials = Credentials()
    complete(credentials, plan)
    return files(credentials, plan)


def construct(found: type[BaseSettings], environment: Mapping[str, str]) -> BaseSettings:
    """Make the settings from exactly this environment, as the process would.

    Raises:
        Exception: They cannot be used.
    """
    if issubclass(found, ServiceSettings):
        return found.from_environment(environment)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("HELIOGRAPH_")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return found()


def is_pinned(image: str) -> bool:
    """Tell whether an image is named by digest, or by a tag that has a number in it."""
    if "@sha256:" in image:
        return True
    _, colon, tag = image.rpartition(":")
    return bool(colon) and tag not in {"latest", "testing"} and any(c.isdigit() for c in tag)
