"""`heliograph keys` and `heliograph sign`, at the terminal."""

import io
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import heliograph
from heliograph import cli
from heliograph.commands import sign as sign_command
from libs.events.command import COMMANDS
from libs.events.jws import parse, payload_of, verify

ROOT = Path(heliograph.__file__).parent.parent
POSITION = f"LEDGER_pilot:7:{'a' * 32}"


@dataclass
class Done:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def claims(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        signed = parse(self.out, "hg-command+jws")
        verify(signed)
        return payload_of(signed)


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def do(*arguments: str, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["heliograph", *arguments])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        try:
            cli.main()
            code: object = 0
        except SystemExit as end:
            code = end.code or 0
        assert isinstance(code, int)
        return Done(code, *capsys.readouterr())

    return do


@pytest.fixture
def sign(run: Run) -> Run:
    """`heliograph sign` as anna, by the wall clock unless told otherwise."""
    assert run("keys", "new", "anna.key").code == 0

    def do(*arguments: str, stdin: str = "") -> Done:
        clock = () if {"--clock", "--valid-from"} & set(arguments) else ("--clock", "wall")
        who = ("--key", "anna.key", "--member", "anna", "--book", "pilot", *clock)
        return run("sign", *who, *arguments, stdin=stdin)

    return do


TRADE = ("--command", "ExecuteTrade", "-f", "tradeId=T1")


def test_a_key_is_made_shown_and_checked(run: Run) -> None:
    made = run("keys", "new", "anna.key")
    address = made.out.strip()
    assert re.fullmatch("G[A-Z2-7]{55}", address)
    seed = Path("anna.key").read_text().strip()
    assert seed not in made.out + made.err
    assert run("keys", "show", "anna.key").out.strip() == address
    assert run("keys", "show", "anna.key", "--secret").out.strip() == seed
    assert run("keys", "check", address).code == 0
    again = run("keys", "new", "anna.key")
    assert (again.code, again.err) == (
        1,
        "heliograph: anna.key is there already; a key is never overwritten.\n",
    )
    assert Path("anna.key").read_text().strip() == seed


def test_what_is_no_key_or_address_is_told_in_one_sentence(run: Run) -> None:
    Path("bad.key").write_text("SECRETSECRET")
    for arguments in (
        ("show", "bad.key"),
        ("show", "no.key"),
        ("check", "GA"),
        ("check", "S" * 56),
    ):
        done = run("keys", *arguments)
        assert done.code == 1
        assert done.err.startswith("heliograph: ")
        assert "SECRET" not in done.err
    assert run("keys", "new", "a.key", "--secret").code == 2
    assert run("keys", "lose", "a.key").code == 2


def test_fields_are_text_or_json_and_stay_as_they_are(sign: Run) -> None:
    done = sign(
        "--command",
        "CreateTrade",
        *("-f", "tradeId=T1", "-f", "sellerId=anna", "--field", "buyerId=ben"),
        *("-f", "amount=200.0", "-f", "pricePerUnit=0.0800000"),
        *("-f", 'metadata:={"order": "a=b:=c"}'),
    )
    assert done.claims["body"] == {
        "tradeId": "T1",
        "sellerId": "anna",
        "buyerId": "ben",
        "amount": "200.0",
        "pricePerUnit": "0.0800000",
        "metadata": {"order": "a=b:=c"},
    }
    assert {key: done.claims[key] for key in ("deployment", "service", "book", "member")} == {
        "deployment": "embedded",
        "service": "ledger",
        "book": "pilot",
        "member": "anna",
    }


def test_a_body_is_text_a_file_or_the_standard_input(sign: Run) -> None:
    body = '{\n  "tradeId": "T1"\n}\n'
    Path("body.json").write_text(body)
    told = ("--command", "ExecuteTrade", "--body")
    for done in (sign(*told, body), sign(*told, "@body.json"), sign(*told, "@-", stdin=body)):
        assert done.claims["body"] == {"tradeId": "T1"}
    missing = sign(*told, "@none.json")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err.startswith("heliograph: none.json cannot be read")


def test_only_the_signed_text_is_on_standard_output(sign: Run) -> None:
    """A line end would be sent by `curl --data-binary`, and the gateway would refuse it."""
    done = sign(*TRADE)
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", done.out)
    assert done.err.count("\n") == 1
    assert done.err.startswith("heliograph: valid until ")
    assert done.claims["id"] in done.err


def test_the_note_signs_the_same_text_again(sign: Run) -> None:
    first = sign(*TRADE, "--window", "600")
    again = sign(*TRADE, *first.err.partition("sign with ")[2].split())
    assert again.out == first.out
    assert sign(*TRADE, "--window", "600").out != first.out


def test_window_deployment_id_and_positions_are_signed_as_told(sign: Run) -> None:
    done = sign(
        *TRADE,
        *("--id", "mine", "--deployment", "demo", "--window", "60"),
        *("--valid-from", "2016-07-01T06:00:00Z", "--after", POSITION),
        *("--after", f"MEMBERS:1:{'b' * 32}"),
    )
    claims = done.claims
    assert (claims["id"], claims["deployment"]) == ("mine", "demo")
    assert (claims["nbf"], claims["exp"]) == (1467352800, 1467352860)
    assert claims["after"] == f"{POSITION} MEMBERS:1:{'b' * 32}"


def test_faults_are_told_by_field_and_rule_and_nothing_is_signed(sign: Run) -> None:
    done = sign("--command", "CreateTrade", "-f", "tradeId=a.b", "-f", "amount:=200")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        "heliograph: CreateTrade cannot be signed:",
        "  body.tradeId: String should match pattern '^[A-Za-z0-9_-]{1,64}$'",
        "  body.sellerId: Field required",
        "  body.buyerId: Field required",
        '  body.amount: decimal text of kWh in quotes, such as "200", never a number',
        "  body.pricePerUnit: Field required",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--command", "ExecuteTrad"), "did you mean ExecuteTrade?"),
        (("--command", "Xyzzy"), "--list names them all."),
        ((*TRADE, "--after", "x"), "--after: a position is written STREAM:sequence:hash"),
        (
            (*TRADE, "--after", POSITION, "--after", POSITION),
            "after: `seen` names each stream once",
        ),
        ((*TRADE, "--valid-from", "2016-07-01"), "--valid-from 2016-07-01: an instant is written"),
        ((*TRADE, "--id", "a b"), "id: String should match pattern"),
        ((*TRADE, "--clock", "http://127.0.0.1:1"), "http://127.0.0.1:1/api/clock does not answer"),
        (("--command", "ExecuteTrade", "-f", "tradeId:=T1"), "tradeId: Expecting value"),
        (("--command", "ExecuteTrade", "-f", 'tradeId:="a","x":1'), "tradeId: one JSON value"),
        (("--command", "ExecuteTrade"), "body.tradeId: Field required"),
        (("--batch", "none.jsonl"), "none.jsonl cannot be read"),
    ],
)
def test_what_a_user_can_mend_ends_with_1(arguments: tuple[str, ...], says: str, sign: Run) -> None:
    done = sign(*arguments)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("heliograph: ")
    assert says in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (*TRADE, "--batch", "x"),
        (*TRADE, "--body", "{}"),
        ("--command", "ExecuteTrade", "-f", "tradeId"),
        ("--command", "ExecuteTrade", "-f", ":=1"),
        (*TRADE, "-f", "tradeId=T2"),
        (*TRADE, "--clock", "sundial"),
        (*TRADE, "--window", "0"),
        (*TRADE, "--window", "86401"),
    ],
)
def test_wrong_options_end_with_2(arguments: tuple[str, ...], sign: Run) -> None:
    done = sign(*arguments)
    assert (done.code, done.out) == (2, "")


def test_key_member_and_book_must_be_told(run: Run) -> None:
    told = {"--key": "a.key", "--member": "anna", "--book": "pilot"}
    for missing in told:
        rest = [part for pair in told.items() if pair[0] != missing for part in pair]
        done = run("sign", *TRADE, *rest)
        assert done.code == 2
        assert f"{missing} is missing" in done.err


def test_a_batch_is_read_line_by_line(sign: Run) -> None:
    lines = [
        json.dumps({"command": "ExecuteTrade", "body": {"tradeId": "T1"}}),
        json.dumps({"id": "x", "command": "ExecuteTrade", "body": {"tradeId": "T2"}}),
    ]
    Path("lines").write_text("\n".join(lines))
    by_file = sign("--batch", "lines", "--id", "b", "--valid-from", "2016-07-01T06:00:00Z")
    assert by_file.claims["command"] == "Batch"
    assert [item["id"] for item in by_file.claims["body"]["commands"]] == ["b-1", "x"]
    piped = sign(
        *("--batch", "-", "--id", "b", "--valid-from", "2016-07-01T06:00:00Z"),
        stdin="\n".join(lines),
    )
    assert piped.out == by_file.out
    wrong = sign("--batch", "-", stdin=f'{lines[0]}\n{{"command":"ExecuteTrade","body":{{}}}}')
    assert (wrong.code, wrong.out) == (1, "")
    assert "\n  line 2, body.tradeId: Field required\n" in wrong.err


def test_every_command_is_listed_and_has_a_schema(run: Run) -> None:
    listed = [line.split()[:2] for line in run("sign", "--list").out.splitlines()]
    assert listed == [[name, COMMANDS[name].service] for name in sorted(COMMANDS)]
    schema = json.loads(run("sign", "--schema", "CreateTrade").out)
    assert schema["properties"]["amount"]["type"] == "string"
    assert "pricePerUnit" in schema["required"]
    assert run("sign", "--schema", "Xyzzy").code == 1


# Clocks.


@contextmanager
def installation(answer: bytes, status: int = 200) -> Iterator[str]:
    """Something that answers everything with the same bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/api/clock" else 404)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


PLAYED = b'{"now_at": "2016-07-01T06:00:00Z", "is_played": true}'


def test_an_installation_tells_the_time_that_its_rules_go_by(sign: Run) -> None:
    with installation(PLAYED) as url:
        done = sign(*TRADE, "--clock", url)
    assert done.claims["nbf"] == 1467352800 - 300
    assert done.claims["exp"] == done.claims["nbf"] + 86_400
    assert f"by the clock of {url};" in done.err


@pytest.mark.parametrize(
    ("answer", "status", "says"),
    [
        (b"<html>", 200, "tells no time"),
        (b"[]", 200, "tells no time"),
        (b'{"now_at": null}', 200, "tells no time"),
        (b"{}", 503, "does not answer"),
    ],
)
def test_an_installation_without_a_clock_is_no_reason_to_guess(
    answer: bytes, status: int, says: str, sign: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installation(answer, status) as url:
        asked = sign(*TRADE, "--clock", url)
        assert (asked.code, asked.out) == (1, "")
        assert says in asked.err
        monkeypatch.setattr(sign_command, "HERE", url)
        assert "by the clock of this machine;" in sign(*TRADE, "--clock", "auto").err


def test_auto_asks_the_installation_here_and_else_the_machine(
    sign: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installation(PLAYED) as url:
        monkeypatch.setattr(sign_command, "HERE", url)
        assert sign(*TRADE, "--clock", "auto").claims["nbf"] == 1467352800 - 300
    assert "by the clock of this machine;" in sign(*TRADE, "--clock", "auto").err


def test_a_process_of_its_own_says_and_does_the_same(tmp_path: Path) -> None:
    """In a pipe, as the shell has it; nothing slow is loaded for the help."""

    def start(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "heliograph", *arguments],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            timeout=60,
            check=False,
        )

    assert start("keys", "new", "anna.key").returncode == 0
    who = ("--key", "anna.key", "--member", "anna", "--book", "pilot", "--clock", "wall")
    done = start("sign", *who, *TRADE)
    verify(parse(done.stdout, "hg-command+jws"))
    refused = start("sign", *who, "--command", "ExecuteTrade")
    assert (refused.returncode, refused.stdout) == (1, b"")
    assert b"body.tradeId: Field required" in refused.stderr
    assert b"Traceback" not in refused.stderr
