"""`heliograph tariff import` and `heliograph observe`, as a user types them."""

import hashlib
import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typer.testing import CliRunner
from typing_extensions import override

from heliograph.cli import make_app
from heliograph.errors import StackError
from libs.events.billing_commands import Observe, PublishTariff
from libs.events.command import read_command
from libs.events.jws import parse, verify_signature
from libs.events.pricing import TariffPublished
from libs.runtime.failures import Refused, problem_document
from tests.histories import key_of
from tests.oracle.papers import day_ahead, rates
from tests.oracle.staging import oracle
from tests.oracle.test_oracle_polling import key_file

URDB = Path(__file__).parent / "documents" / "urdb.json"
FROM = "2026-06-01T00:00:00Z"


def run(*arguments: str) -> Any:
    return CliRunner().invoke(make_app(), list(arguments))


def imported(*more: str, urdb: Path = URDB) -> Any:
    told = ["--urdb", str(urdb), "--tariff", "home", "--asset", "USD", "--effective-from", FROM]
    return run("tariff", "import", *told, *more)


def test_an_imported_tariff_is_a_body_that_an_approver_can_publish() -> None:
    done = imported()
    assert (done.exit_code, done.stderr) == (0, "heliograph: left out: dgrules\n")
    body = PublishTariff.model_validate_json(done.stdout)
    assert body.source_sha256 == hashlib.sha256(URDB.read_bytes()).hexdigest()
    (fact,) = oracle().when("approver", "t", body)
    assert isinstance(fact, TariffPublished)
    assert fact.prices.time_of_use is not None


def test_an_imported_tariff_is_signed_as_it_was_printed(tmp_path: Path) -> None:
    path = tmp_path / "body.json"
    path.write_text(imported().stdout)
    key = key_file(tmp_path, "approver")
    asked = ["--command", "PublishTariff", "--body", f"@{path}", "--member", "approver"]
    done = run("sign", *asked, "--key", str(key), "--book", "main", "--clock", "wall")
    assert done.exit_code == 0
    assert read_command(parse(done.stdout, "hg-command+jws")).command == "PublishTariff"


def test_what_cannot_be_imported_is_told_with_member_and_rule(tmp_path: Path) -> None:
    document = json.loads(URDB.read_text())["items"][0]
    path = tmp_path / "rate.json"
    path.write_text(json.dumps(document | {"flatdemandstructure": [[{"rate": 4}]]}))
    refused = imported(urdb=path)
    assert isinstance(refused.exception, StackError)
    assert "demand-charge: flatdemandstructure" in str(refused.exception)
    assert refused.stdout == ""
    ignored = imported("--ignore-demand", urdb=path)
    assert ignored.exit_code == 0
    assert "left out: flatdemandstructure" in ignored.stderr
    path.unlink()
    assert "source-away" in str(imported(urdb=path).exception)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [("--asset", "no asset", "asset"), ("--effective-from", "June", "--effective-from June")],
)
def test_an_option_that_is_wrong_is_named(option: str, value: str, told: str) -> None:
    assert told in str(imported(option, value).exception)


class Gateway(ThreadingHTTPServer):
    """Tells the time, and takes commands until it is told what is wrong with them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.taken: list[bytes] = []
        self.problem: dict[str, Any] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self) -> dict[str, Any]:
        if self.problem is not None:
            return self.problem
        place = f"PRICES:{len(self.taken)}:{'0' * 32}"
        return {"outcome": "accepted", "first": place, "position": place}


class _Answer(BaseHTTPRequestHandler):
    @override
    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        assert self.path == "/api/clock"
        self._say({"now_at": FROM})

    def do_POST(self) -> None:
        gateway = self.server
        assert isinstance(gateway, Gateway)
        assert self.path == "/api/commands"
        gateway.taken.append(self.rfile.read(int(self.headers["content-length"])))
        self._say(gateway.answer())

    def _say(self, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    server = Gateway()
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


Observed = Callable[..., Any]


@pytest.fixture
def observed(tmp_path: Path, gateway: Gateway) -> Observed:
    def do(data: bytes, *more: str) -> Any:
        path = tmp_path / "document"
        path.write_bytes(data)
        told = ["--from", str(path), "--feed", "spot", "--member", "north"]
        key = ["--key", str(key_file(tmp_path)), "--clock", gateway.url]
        return run("observe", *told, *key, *more)

    return do


def test_a_source_signs_what_a_document_says(observed: Observed) -> None:
    late = ("2026-06-02T05:00Z", "2026-06-02T06:00Z", {1: "30"})
    data = day_ahead("2026-06-01T22:00Z", "2026-06-02T00:00Z", {1: "10", 2: "20"}, more=[late])
    done = observed(data, "--kind", "entsoe", "--asset", "EUR")
    assert done.exit_code == 0
    texts = done.stdout.splitlines()
    commands = []
    for text in texts:
        message = parse(text, "hg-command+jws")
        verify_signature(message)
        assert message.kid == key_of("north").address
        commands.append(read_command(message))
    bodies = [command.body for command in commands]
    assert [body.observed.values for body in bodies if isinstance(body, Observe)] == [
        (100_000, 200_000),
        (300_000,),
    ]
    assert {(each.member, each.book, each.command) for each in commands} == {
        ("north", "main", "Observe")
    }
    again = observed(data, "--kind", "entsoe", "--asset", "EUR")
    assert again.stdout == done.stdout, "the same ids, so that a repeat is known"


def test_what_was_observed_before_can_be_left_out(observed: Observed) -> None:
    data = rates({"2026-05-31": {"USD": "1.1"}, "2026-06-01": {"USD": "1.2"}})
    asked = ["--kind", "ecb", "--asset", "USD", "--base", "EUR"]
    done = observed(data, *asked, "--since", FROM)
    (text,) = done.stdout.splitlines()
    body = read_command(parse(text, "hg-command+jws")).body
    assert isinstance(body, Observe)
    assert body.observed.values == (12_000_000,)
    nothing = observed(data, *asked, "--since", "2026-06-02T00:00:00Z")
    assert (nothing.exit_code, nothing.stdout) == (0, "")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--asset", "GBP"], "document-unit: TimeSeries.0.currency_Unit.name"),
        (["--asset", "EUR", "--base", "USD"], "base: for a rate"),
        (["--asset", "EUR", "--since", "June"], "--since June"),
    ],
)
def test_what_cannot_be_observed_is_told(observed: Observed, more: list[str], told: str) -> None:
    data = day_ahead("2026-06-01T22:00Z", "2026-06-01T23:00Z", {1: "10"})
    done = observed(data, "--kind", "entsoe", *more)
    assert isinstance(done.exception, StackError)
    assert told in str(done.exception)
    assert done.stdout == ""


def test_observations_are_sent_in_their_order(observed: Observed, gateway: Gateway) -> None:
    more = [("2026-06-02T05:00Z", "2026-06-02T06:00Z", {1: "30"})]
    data = day_ahead("2026-06-01T22:00Z", "2026-06-01T23:00Z", {1: "10"}, more=more)
    asked = ["--kind", "entsoe", "--asset", "EUR"]
    printed = observed(data, *asked).stdout.splitlines()
    done = observed(data, *asked, "--send", gateway.url)
    assert [text.decode() for text in gateway.taken] == printed
    assert done.stdout.splitlines() == [f"PRICES:{n}:{'0' * 32}" for n in (1, 2)]


def test_what_the_oracle_refuses_is_told(observed: Observed, gateway: Gateway) -> None:
    gateway.problem = problem_document(Refused("not-a-source", "north does not observe spot"))
    data = day_ahead("2026-06-01T22:00Z", "2026-06-01T23:00Z", {1: "10"})
    done = observed(data, "--kind", "entsoe", "--asset", "EUR", "--send", gateway.url)
    assert isinstance(done.exception, StackError)
    assert "not-a-source" in str(done.exception)
