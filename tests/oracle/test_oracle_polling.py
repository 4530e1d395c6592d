"""Sources that the oracle looks at: files, a server on this machine, and a real desk.

The rules, the writer and the desk are the service's own, on the store in memory; the server is a
real one and is told what to answer.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from typing_extensions import override

from libs.events.billing_commands import DefineFeed
from libs.events.envelope import Recorded, decode
from libs.events.fact import Fact
from libs.events.pricing import PriceObserved, PricePublished
from libs.events.subjects import family_of
from libs.eventstore import Frame, MemoryServer, MemoryStore, StreamSpec
from libs.runtime.failures import HeliographError, Refused
from libs.runtime.orders import OrderDesk
from libs.runtime.writer import Writer
from services.oracle import fetching
from services.oracle.polling import Poller
from services.oracle.sources import Source, read_sources
from tests.histories import DEPLOYMENT, START, History, key_of, signed
from tests.oracle.papers import day_ahead
from tests.oracle.staging import new_oracle, rules

MEMBERS, PRICES = "MEMBERS", "PRICES"
NIGHT = ("2026-06-01T22:00Z", "2026-06-02T00:00Z")
TWO = day_ahead(*NIGHT, {1: "10", 2: "20"})
FOUR = day_ahead(NIGHT[0], "2026-06-02T02:00Z", {1: "10", 2: "20", 3: "30", 4: "-40"})


class Site(ThreadingHTTPServer):
    """Answers with one document, and notes what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.document, self.etag, self.status = b"", "", 200
        self.location = ""
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    @override
    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        site = self.server
        assert isinstance(site, Site)
        known = self.headers.get("if-none-match", "")
        site.asked.append((self.path, known))
        if site.status == 200 and known and known == site.etag:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(site.status)
        if site.location:
            self.send_header("location", site.location)
        if site.etag:
            self.send_header("etag", site.etag)
        self.send_header("content-length", str(len(site.document)))
        self.end_headers()
        self.wfile.write(site.document)


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class World:
    """An oracle with one feed of one source, and a poller of some sources."""

    def __init__(self) -> None:
        self.server, self.history = MemoryServer(), History()
        for name in (MEMBERS, PRICES):
            family, part = family_of(name)
            self.server.declare(StreamSpec(name=name, subjects=family.subjects(part)))
        self.rules = new_oracle()
        self.writer = Writer(
            store=MemoryStore(self.server),
            rules=self.rules,
            deployment=DEPLOYMENT,
            stream=PRICES,
            inputs=(MEMBERS,),
        )
        self.desk = OrderDesk(
            writer=self.writer, authority=self.rules.authority, decide=self.rules.decide
        )

    async def put(self, recorded: Recorded[Fact]) -> None:
        end = len(self.server.stream(recorded.stream).kept)
        frame = Frame(recorded.envelope.subject, recorded.data)
        await MemoryStore(self.server).append(recorded.stream, [frame], expected=end)

    def facts(self) -> list[Fact]:
        return [
            decode(
                deployment=DEPLOYMENT,
                stream=PRICES,
                sequence=each.sequence,
                subject=each.subject,
                data=each.data,
            ).fact
            for each in self.server.stream(PRICES).kept
            if each is not None
        ]

    def observed(self) -> list[tuple[int, ...]]:
        return [each.observed.values for each in self.facts() if isinstance(each, PriceObserved)]

    def poller(self, *sources: Source) -> Poller:
        return Poller(
            sources=sources,
            deployment=DEPLOYMENT,
            handle=self.desk.handle,
            now=lambda: self.rules.now,
            feeds=self.rules.feeds,
        )

    async def tick(self, seconds: float) -> None:
        now = START + timedelta(seconds=seconds)
        await self.writer.submit(lambda writer: writer.stage(self.rules.tick(now, 60)))


@asynccontextmanager
async def oracle() -> AsyncIterator[World]:
    world = World()
    for member in ("approver", "north"):
        roles = ("approver",) if member == "approver" else ("recipient",)
        await world.put(world.history.register(member, *roles))
    stop = asyncio.Event()
    running = asyncio.create_task(world.writer.run(stop))
    async with asyncio.timeout(20):
        try:
            await world.writer.recovered.wait()
            await world.tick(0)
            spot = rules(sources=("north",), quorum=1)
            text = signed("approver", "f", DefineFeed(feed="spot", rules=spot), "main")
            answer = json.loads(await world.desk.handle(text.encode()))
            assert answer["outcome"] == "accepted"
            yield world
        finally:
            stop.set()
            await asyncio.wait({running})
        running.result()


def key_file(folder: Path, member: str = "north") -> Path:
    from stellar_sdk import Keypair  # noqa: PLC0415 - only here

    path = folder / f"{member}.key"
    path.write_text(Keypair.from_raw_ed25519_seed(key_of(member).seed).secret)
    return path


def source(folder: Path, **changes: Any) -> Source:
    values: dict[str, Any] = {
        "name": "night",
        "feed": "spot",
        "kind": "entsoe",
        "asset": "EUR",
        "member": "north",
        "key_file": key_file(folder),
        "place": str(folder / "prices.xml"),
    }
    return Source.model_validate(values | changes)


async def look(poller: Poller, name: str = "night") -> int:
    async with fetching.new_client() as http:
        return await poller.look(http, name)


async def refusal_of(poller: Poller) -> HeliographError:
    with pytest.raises(HeliographError) as refusal:
        await look(poller)
    return refusal.value


async def test_a_document_of_a_server_becomes_prices_once(tmp_path: Path, site: Site) -> None:
    site.document, site.etag = TWO, '"one"'
    async with oracle() as world:
        poller = world.poller(source(tmp_path, place=f"{site.url}/prices"))
        assert await look(poller) == 1
        assert await look(poller) == 0
        assert site.asked == [("/prices", ""), ("/prices", '"one"')]
        (published,) = [each for each in world.facts() if isinstance(each, PricePublished)]
        assert published.published.values == (100_000, 200_000)


async def test_the_same_bytes_under_another_tag_say_nothing_new(tmp_path: Path, site: Site) -> None:
    site.document, site.etag = TWO, '"one"'
    async with oracle() as world:
        poller = world.poller(source(tmp_path, place=site.url))
        await look(poller)
        site.etag = '"two"'
        assert await look(poller) == 0
        assert len(world.observed()) == 1


async def test_of_a_longer_document_only_what_is_new_is_observed(tmp_path: Path) -> None:
    place = tmp_path / "prices.xml"
    place.write_bytes(TWO)
    async with oracle() as world:
        poller = world.poller(source(tmp_path))
        await look(poller)
        place.write_bytes(FOUR)
        assert await look(poller) == 1
        assert world.observed() == [(100_000, 200_000), (300_000, -400_000)]


async def test_a_new_process_knows_what_was_observed(tmp_path: Path) -> None:
    (tmp_path / "prices.xml").write_bytes(TWO)
    async with oracle() as world:
        await look(world.poller(source(tmp_path)))
        assert await look(world.poller(source(tmp_path))) == 0
        assert len(world.observed()) == 1


async def test_what_lies_too_far_ahead_is_observed_when_its_time_comes(tmp_path: Path) -> None:
    far = day_ahead("2026-07-05T22:00Z", "2026-07-06T02:00Z", {n: f"{n}" for n in range(1, 5)})
    (tmp_path / "prices.xml").write_bytes(far)
    async with oracle() as world:
        poller = world.poller(source(tmp_path))
        assert await look(poller) == 1
        assert await look(poller) == 0
        assert world.observed() == [(10_000, 20_000)]
        await world.tick(86_400)
        assert await look(poller) == 1
        assert world.observed()[1] == (30_000, 40_000)


@pytest.mark.parametrize(
    ("status", "document", "code"),
    [
        (500, b"", "source-answer"),
        (404, b"", "source-answer"),
        (200, b"no XML", "document-shape"),
        (200, b" " * (fetching.DOCUMENT_SIZE_MAX + 1), "document-size"),
    ],
    ids=["broken", "away", "nonsense", "large"],
)
async def test_what_fails_has_a_code_and_the_next_look_may_succeed(
    tmp_path: Path, site: Site, status: int, document: bytes, code: str
) -> None:
    site.status, site.document = status, document
    async with oracle() as world:
        poller = world.poller(source(tmp_path, place=site.url))
        assert (await refusal_of(poller)).code == code
        assert world.observed() == []
        site.status, site.document = 200, TWO
        assert await look(poller) == 1


@pytest.mark.parametrize(
    "location",
    ["file:///etc/hostname", f"http://xn--{'a' * 80}.com/", "http://[::1", "/"],
    ids=["a file", "no name", "no address", "a circle"],
)
async def test_a_server_that_points_elsewhere_harms_nobody(
    tmp_path: Path, site: Site, location: str
) -> None:
    site.status, site.location = 302, location
    async with oracle() as world:
        poller = world.poller(source(tmp_path, place=site.url))
        assert (await refusal_of(poller)).code == "source-away"
        assert world.observed() == []


async def test_a_server_that_is_not_there_is_told_without_its_address(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("geheim")
    async with oracle() as world:
        away = source(
            tmp_path, place="http://127.0.0.1:9/?key={secret}", secret_file=tmp_path / "token"
        )
        error = await refusal_of(world.poller(away))
        assert error.code == "source-away"
        assert "geheim" not in repr(error)
        assert error.__cause__ is None


async def test_days_and_the_secret_stand_in_the_address(tmp_path: Path, site: Site) -> None:
    (tmp_path / "token").write_text("geheim\n")
    site.document = TWO
    async with oracle() as world:
        place = f"{site.url}/?from={{today}}&to={{day_after}}&key={{secret}}"
        await look(world.poller(source(tmp_path, place=place, secret_file=tmp_path / "token")))
    assert site.asked[0][0] == "/?from=20260601&to=20260603&key=geheim"


async def test_the_oracle_judges_a_source_as_anybody(tmp_path: Path) -> None:
    (tmp_path / "prices.xml").write_bytes(TWO)
    async with oracle() as world:
        stranger = source(tmp_path, member="approver", key_file=key_file(tmp_path, "approver"))
        assert (await refusal_of(world.poller(stranger))).code == "not-a-source"
        wrong = source(tmp_path, key_file=key_file(tmp_path, "approver"))
        assert (await refusal_of(world.poller(wrong))).code == "wrong-key"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"asset": "USD"}, "feed-asset"),
        ({"kind": "ecb", "base": "USD"}, "feed-asset"),
        ({"feed": "moon"}, "unknown-feed"),
    ],
)
async def test_a_source_in_another_currency_than_its_feed_says_nothing(
    tmp_path: Path, changes: dict[str, Any], code: str
) -> None:
    (tmp_path / "prices.xml").write_bytes(TWO)
    async with oracle() as world:
        assert (await refusal_of(world.poller(source(tmp_path, **changes)))).code == code
        assert world.observed() == []


async def test_a_source_that_fails_harms_no_other_and_is_asked_less_often(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.oracle.polling.BACKOFF_FIRST_S", 0.05)
    (tmp_path / "prices.xml").write_bytes(TWO)
    site.status = 500
    async with oracle() as world:
        bad = source(tmp_path, name="bad", place=site.url, every_s=1)
        poller = world.poller(bad, source(tmp_path))
        stop = asyncio.Event()
        running = asyncio.create_task(poller.run(stop))
        while len(site.asked) < 3 or not world.observed():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        watched = poller._watched[0]
        assert watched.pause_s == pytest.approx(0.05 * 2 ** (watched.failures - 1))
        stop.set()
        await running


async def test_a_mistake_of_ours_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with oracle() as world:
        poller = world.poller(source(tmp_path))

        async def broken(*_: object) -> None:
            raise ZeroDivisionError

        monkeypatch.setattr("services.oracle.polling.fetch", broken)
        with pytest.raises(ExceptionGroup) as error:
            await poller.run(asyncio.Event())
        assert error.group_contains(ZeroDivisionError)


FILE = """
[[sources]]
name = "night"
feed = "spot"
kind = "entsoe"
asset = "EUR"
member = "north"
key_file = "north.key"
place = "prices.xml"
"""


@pytest.mark.parametrize("ending", [".toml", ".json"])
def test_a_file_of_sources_is_toml_or_json_and_names_paths_below_its_folder(
    tmp_path: Path, ending: str
) -> None:
    key_file(tmp_path)
    path = tmp_path / f"sources{ending}"
    told = {"name": "night", "feed": "spot", "kind": "entsoe", "asset": "EUR", "member": "north"}
    told |= {"key_file": "north.key", "place": "prices.xml"}
    path.write_text(FILE if ending == ".toml" else json.dumps({"sources": [told]}))
    (found,) = read_sources(path)
    assert found.place == str(tmp_path / "prices.xml")
    assert found.every_s == 3_600
    assert found.key().address == key_of("north").address


@pytest.mark.parametrize(
    ("text", "code", "field"),
    [
        ("sources = 5", "sources-wrong", "sources"),
        (FILE + 'colour = "red"', "sources-wrong", "sources.0.colour"),
        (FILE.replace("entsoe", "oracle-bones"), "sources-wrong", "sources.0.kind"),
        (FILE + 'base = "USD"', "sources-wrong", "sources.0"),
        (FILE + "interval_s = 900", "sources-wrong", "sources.0"),
        (FILE * 2, "sources-wrong", "sources.name"),
        ("[[", "sources-unreadable", None),
    ],
)
def test_a_file_of_sources_that_is_wrong_names_the_field(
    tmp_path: Path, text: str, code: str, field: str | None
) -> None:
    path = tmp_path / "sources.toml"
    path.write_text(text)
    with pytest.raises(Refused) as refusal:
        read_sources(path)
    assert (refusal.value.code, refusal.value.field) == (code, field)


def test_a_missing_file_or_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        read_sources(tmp_path / "none.toml")
    assert refusal.value.code == "sources-unreadable"
    good = source(tmp_path)
    (tmp_path / "wrong.key").write_text("SECRET")
    for name in ("wrong.key", "none.key"):
        with pytest.raises(Refused) as refusal:
            good.model_copy(update={"key_file": tmp_path / name}).key()
        assert (refusal.value.code, refusal.value.field is None) == (
            "key-unreadable",
            name == "none.key",
        )
        assert "SECRET" not in str(refusal.value)
