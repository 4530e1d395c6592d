"""docs/prices.md is true: its blocks are run as they stand, and the oracle's rules judge them."""

import json
import re
import subprocess
import threading
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from heliograph.keys import new_key
from libs.events.command import read_command
from libs.events.commands import RegisterMember
from libs.events.jws import parse, verify
from libs.events.membership import MemberRegistered
from libs.events.pricing import PricePublished, TariffPublished
from libs.events.quantities import format_instant
from libs.rules.authority import Authority
from libs.runtime.clock import SystemClock
from libs.runtime.failures import HeliographError, problem_document
from services.oracle.domain import Oracle
from services.oracle.sources import Source, read_sources
from tests.docs.test_sign import ADDRESS, prepare
from tests.histories import ANY_COMMAND_SIGNED, Stage

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "prices.md"
URDB = Path("tests/oracle/documents/urdb.json")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


class Behind:
    """What stands behind the gateway: the register, and the oracle's own rules."""

    def __init__(self, approver: str) -> None:
        rules = Oracle(
            authority=Authority(deployment="embedded", service="oracle", book="main"),
            stream="PRICES",
            followers={},
            played_from=None,
        )
        self.stage = Stage(rules, "PRICES", "main")
        self.stage.now = SystemClock().now().replace(microsecond=0)
        self.stage.given(*self.stage.history.advance(self.stage.now))
        self.register("approver", approver, "approver")

    def register(self, member: str, address: str, *roles: str) -> None:
        fact = MemberRegistered.model_validate(
            {"member": member, "address": address, "roles": roles, "command": ANY_COMMAND_SIGNED}
        )
        self.stage.given(self.stage.history.record("MEMBERS", member, fact))

    def take(self, message: bytes) -> Mapping[str, object]:
        signed = parse(message, "hg-command+jws")
        verify(signed)
        body = read_command(signed).body
        if isinstance(body, RegisterMember):
            self.register(body.member, body.address, *body.roles)
        else:
            order, known = self.stage.judge(message.decode())
            assert known is None
            assert order is not None
            self.stage._record(self.stage.rules.decide(order), f"- {order.id}")
            self.stage.follow_up()
        at = str(self.stage.history.facts[-1].position)
        return {"outcome": "accepted", "first": at, "position": at}


@contextmanager
def gateway(behind: Behind) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            message = self.rfile.read(int(self.headers["content-length"]))
            try:
                self._answer(200, behind.take(message))
            except HeliographError as error:
                self._answer(error.status, problem_document(error))

        def do_GET(self) -> None:
            self._answer(200, {"now_at": format_instant(behind.stage.now)})

        def _answer(self, status: int, document: Mapping[str, object]) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_every_block_of_the_page_leads_to_the_prices_that_it_tells_of(tmp_path: Path) -> None:
    environment, _ = prepare(tmp_path)
    (tmp_path / URDB.parent).mkdir(parents=True)
    (tmp_path / URDB).write_bytes((ROOT / URDB).read_bytes())
    behind = Behind(new_key(tmp_path / "approver.key"))
    with gateway(behind) as url:
        script = "set -e\n" + "\n".join(blocks("sh")).replace(ADDRESS, url)
        done = subprocess.run(
            ["sh", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    facts = [each.fact for each in behind.stage.history.facts if each.stream == "PRICES"]
    assert [type(fact).__name__ for fact in facts[1:]] == [
        "TariffPublished",
        "TariffPublished",
        "FeedDefined",
        "TariffPublished",
        *["PriceObserved"] * 3,
        "PricePublished",
        "FeedDefined",
    ]
    tariffs = [fact.tariff for fact in facts if isinstance(fact, TariffPublished)]
    assert tariffs == ["fixed", "home-tou", "spot-plus"]
    (price,) = [fact for fact in facts if isinstance(fact, PricePublished)]
    assert price.published.values == (453_700,)


def test_the_file_of_sources_is_one(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    path = tmp_path / "sources.toml"
    path.write_text(text)
    (tmp_path / "entsoe.token").write_text("secret")
    found = read_sources(path)
    assert [source.kind for source in found] == ["entsoe", "ecb"]
    now = SystemClock().now()
    assert f"periodStart={now:%Y%m%d}0000" in found[0].address(now)
    assert set(tomllib.loads(text)["sources"][0]) <= set(Source.model_fields)


def test_every_refusal_of_the_oracle_stands_on_the_page() -> None:
    told = set(re.findall(r"`([a-z-]+)`", PAGE.read_text("utf-8").partition("## Refusals")[2]))
    for name in ("tariffs.py", "feeds.py"):
        text = (ROOT / "services" / "oracle" / name).read_text("utf-8")
        codes = set(re.findall(r'Refused\(\s*"([a-z-]+)"', text))
        assert codes
        assert codes <= told
