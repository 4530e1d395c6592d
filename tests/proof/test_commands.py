"""`heliograph verify` and `heliograph prove`, as somebody calls them."""

import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from heliograph import prove as prove_command
from heliograph.credentials import Credentials
from heliograph.prove import prove
from heliograph.stack import Stack, StackOptions
from heliograph.verify import verify
from libs.events.subjects import family_of
from libs.eventstore import Frame, JetStreamStore, Stored
from libs.proof.model import TrustFile
from libs.proof.verify import Verdict, verify_proof
from tests.anchor.world import LOG_SEED
from tests.devnet_process import ROOT

Season = dict[str, list[Stored]]


def app() -> typer.Typer:
    made = typer.Typer()
    made.command("verify")(verify)
    made.command("prove")(prove)
    return made


@pytest.fixture
def files(tmp_path: Path, proof: bytes, trust: bytes) -> tuple[str, str]:
    (tmp_path / "proof.json").write_bytes(proof)
    (tmp_path / "trust.json").write_bytes(trust)
    return str(tmp_path / "proof.json"), str(tmp_path / "trust.json")


def test_proved(files: tuple[str, str]) -> None:
    done = CliRunner().invoke(app(), ["verify", files[0], "--trust", files[1]])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line.split()[:2] for line in lines[:13]] == [[str(n), "✓"] for n in range(1, 14)]
    assert lines[-1].startswith("Proved: invoice home-2016-07 (number 1) over ")
    assert "not covered:" in done.output


def test_consistent(files: tuple[str, str]) -> None:
    done = CliRunner().invoke(app(), ["verify", files[0]])
    assert done.exit_code == 2
    assert done.output.splitlines()[-1].startswith("Consistent, trust not established: ")


def test_refused(files: tuple[str, str]) -> None:
    path = Path(files[0])
    path.write_bytes(path.read_bytes().replace(b'"size": ', b'"size": 1', 1))
    done = CliRunner().invoke(app(), ["verify", files[0], "--trust", files[1]])
    assert done.exit_code == 1
    assert "  4 ✗ " in done.output
    assert done.output.splitlines()[-1].startswith("Refused: step 4 failed: ")


def test_a_file_that_is_not_there(files: tuple[str, str]) -> None:
    for arguments in ([files[0] + "x"], [files[0], "--trust", files[1] + "x"]):
        assert CliRunner().invoke(app(), ["verify", *arguments]).exit_code == 1


def test_json(files: tuple[str, str]) -> None:
    done = CliRunner().invoke(app(), ["verify", files[0], "--trust", files[1], "--json"])
    found = json.loads(done.output)
    assert (done.exit_code, found["verdict"], len(found["steps"])) == (0, "proved", 13)
    assert found["energy_wh"] > 0
    path = Path(files[0])
    path.write_bytes(path.read_bytes()[:-2])
    done = CliRunner().invoke(app(), ["verify", files[0], "--json"])
    found = json.loads(done.output)
    assert (done.exit_code, found["verdict"], found["step"]) == (1, "refused", 1)


def test_the_verifier_loads_no_service_and_no_broker(files: tuple[str, str]) -> None:
    """In a process of its own: what is imported is libraries, and nothing that reaches out."""
    code = (
        "import sys; from heliograph.verify import verify; from pathlib import Path\n"
        "try: verify(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except BaseException as error: assert getattr(error, 'exit_code', None) == 0, error\n"
        "bad = [m for m in sys.modules if m.split('.')[0] in"
        " {'services', 'nats', 'faststream', 'uvicorn', 'asyncpg'}]\n"
        "assert not bad, bad\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *files], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_prove_writes_what_verifies(
    season: Season, trusted: TrustFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read(_source: object, _book: str) -> Season:
        return season

    monkeypatch.setattr(prove_command, "_read", read)
    out, trust = tmp_path / "a.json", tmp_path / "t.json"
    arguments = ["prove", "home-2016-08", "--nats", "nats://x:1", "-o", str(out)]
    keys = [part for vkey in trusted.log_keys for part in ("--log-key", vkey)]
    done = CliRunner().invoke(app(), [*arguments, "--trust-out", str(trust), *keys])
    assert done.exit_code == 0, done.output
    assert trust.read_bytes() == trusted.to_bytes()
    assert verify_proof(out.read_bytes(), trust.read_bytes()).verdict is Verdict.PROVED


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prove", "x", "-o", "o"], "either --data FOLDER or --nats URL"),
        (["prove", "x", "-o", "o", "--nats", "nats://x:1"], "no proof of x yet"),
        (["prove", "home-2016-07", "-o", "o", "--nats", "n", "--trust-out", "t"], "--log-key"),
    ],
)
def test_prove_says_what_is_missing(
    season: Season,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    async def read(_source: object, _book: str) -> Season:
        return season

    monkeypatch.setattr(prove_command, "_read", read)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app(), arguments)
    assert message in str(done.exception)
    assert not (tmp_path / "t").exists()


def test_prove_needs_a_folder_of_a_stack(tmp_path: Path) -> None:
    done = CliRunner().invoke(app(), ["prove", "x", "-o", "o", "--data", str(tmp_path)])
    assert "not the data folder of a stack" in str(done.exception)


async def test_prove_reads_the_streams_of_a_running_stack(
    season: Season, trusted: TrustFile, tmp_path: Path
) -> None:
    """A real broker with its accounts: written by each stream's writer, read by the auditor."""
    seeds = {"anchor-log": base64.b64encode(LOG_SEED).decode()}
    Credentials({}, seeds).save(tmp_path / "credentials.json")
    options = StackOptions(
        data=tmp_path, services=(), infrastructure=("broker",), deployment="demo"
    )
    out, trust = tmp_path / "proof.json", tmp_path / "trust.json"
    async with Stack(options) as stack:
        for stream, rows in season.items():
            user = family_of(stream)[0].writer
            store = await JetStreamStore.connect(
                stack.urls.nats, user, stack.credentials.passwords[user], api_prefix="FACTS.API"
            )
            frames = [Frame(row.subject, row.data) for row in rows]
            for begin in range(0, len(frames), 500):
                await store.append(stream, frames[begin : begin + 500], expected=begin)
            await store.close()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "heliograph", "prove", "home-2016-07"),
            *("--data", str(tmp_path), "-o", str(out), "--trust-out", str(trust)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=ROOT,
        )
        told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    assert trust.read_bytes() == trusted.to_bytes()
    assert verify_proof(out.read_bytes(), trust.read_bytes()).verdict is Verdict.PROVED
