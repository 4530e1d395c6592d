"""docs/sign.md is true: its blocks are run as they stand, and what they send can be read.

Behind the page's address stands a small server that takes a command as the gateway does: by content
type, signature and the service's own reading. Whether the command is carried out, others test.
"""

import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from heliograph.credentials import address_of_seed, new_stellar_seed
from heliograph.keys import read_key
from libs.events.command import Command, read_command
from libs.events.jws import COMMAND_SIZE_MAX, parse, verify
from libs.runtime.failures import Refused, problem_document
from services.gateway.commands import CONTENT_TYPE, route

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "sign.md"
EXAMPLE = ROOT / "examples" / "sign.py"
ADDRESS = "http://127.0.0.1:3000"
ACCEPTED = {
    "outcome": "accepted",
    "first": f"LEDGER_pilot:1:{'0' * 32}",
    "position": f"LEDGER_pilot:2:{'1' * 32}",
}
REFUSED = Refused("bad-signature", "This cannot be read.", field="command")
PLAYED_AT = "2016-07-01T06:00:00Z"
"""The time of the installation, whose clock is played."""
Taken = list[tuple[str, str, Command]]
"""Path, address of the key, and what was asked."""


@contextmanager
def gateway() -> Iterator[tuple[str, Taken]]:
    taken: Taken = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = self.rfile.read(int(self.headers["content-length"]))
            try:
                assert self.headers["content-type"] == CONTENT_TYPE
                route(message, {"pilot"})
                signed = parse(message, "hg-command+jws")
                verify(signed)
                taken.append((self.path, signed.kid, read_command(signed)))
            except Exception as error:  # noqa: BLE001 - `curl --fail` tells it
                said = problem_document(REFUSED)
                self._answer(REFUSED.status, said | {"cause": repr(error)})
                return
            self._answer(200, ACCEPTED)

        def do_GET(self) -> None:
            assert self.path == "/api/clock"
            self._answer(200, {"now_at": PLAYED_AT})

        def _answer(self, status: int, document: Mapping[str, object]) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", taken
        server.shutdown()


def prepare(folder: Path) -> tuple[dict[str, str], str]:
    """A folder with the data of an installation, the command on the path, and its approver."""
    seed = new_stellar_seed()
    (folder / ".heliograph").mkdir()
    credentials = {"passwords": {}, "seeds": {"first-approver": seed}}
    (folder / ".heliograph" / "credentials.json").write_text(json.dumps(credentials))
    programs = folder / "programs"
    programs.mkdir()
    command = programs / "heliograph"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m heliograph "$@"\n')
    command.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}, address_of_seed(seed)


def test_every_block_of_the_page_runs_and_sends_what_a_service_reads(tmp_path: Path) -> None:
    environment, approver = prepare(tmp_path)
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    with gateway() as (url, taken):
        script = "set -e\n" + "\n".join(blocks).replace(ADDRESS, url)
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    seller = read_key(tmp_path / "anna.key").address
    assert [(path, kid, each.command) for path, kid, each in taken] == [
        ("/api/commands", approver, "RegisterMember"),
        ("/api/factory/register", approver, "RegisterFactory"),
        ("/api/factory/register", approver, "RegisterFactory"),
        ("/api/trade/create", seller, "CreateTrade"),
        ("/api/commands", seller, "Batch"),
    ]
    assert stat.S_IMODE((tmp_path / "approver.key").stat().st_mode) == 0o600


def test_the_python_example_asks_once_however_often_it_is_started(tmp_path: Path) -> None:
    environment, _ = prepare(tmp_path)
    made = subprocess.run(
        ["heliograph", "keys", "new", "ben.key"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    with gateway() as (url, taken):
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, str(EXAMPLE)],
                cwd=tmp_path,
                env=environment | {"GATEWAY": url, "DEPLOYMENT": "embedded"},
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.stdout == f"done: {ACCEPTED['first']} to {ACCEPTED['position']}\n", (
                done.stderr
            )
    first, second = taken
    assert first == second
    assert first[:2] == ("/api/commands", made.stdout.strip())
    assert first[2].command == "ExecuteTrade"
    played = int(datetime.fromisoformat(PLAYED_AT).timestamp())
    assert first[2].nbf <= played < first[2].exp  # by the installation's clock, not by ours


def test_the_python_example_tells_a_refusal_in_a_line(tmp_path: Path) -> None:
    environment, _ = prepare(tmp_path)
    (tmp_path / "execute-TRADE101.jws").write_text("no command")
    with gateway() as (url, _):
        done = subprocess.run(
            [sys.executable, str(EXAMPLE)],
            cwd=tmp_path,
            env=environment | {"GATEWAY": url, "DEPLOYMENT": "embedded"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{REFUSED.code}: {REFUSED.message}\n"


def test_the_page_shows_the_example_that_was_tested() -> None:
    assert f"```python\n{EXAMPLE.read_text('utf-8')}```\n" in PAGE.read_text("utf-8")


def test_the_page_names_every_claim() -> None:
    table = PAGE.read_text("utf-8").partition("| claim |")[2]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.+?) \|", table, re.MULTILINE))))
    assert named == set(Command.model_fields)


def test_the_page_tells_the_size_that_is_taken() -> None:
    sizes = re.findall(r"at most ([\d,]+)\s+bytes", PAGE.read_text("utf-8"))
    assert set(sizes) == {f"{COMMAND_SIZE_MAX:,}"}
