"""The subscriber client and the examples of docs/subscribe.md, with everything killed on the way.

The examples run as processes of their own against the broker of the embedded stack, as its
read-only user. Amounts are powers of two, so that a sum names the invoices in it: one that is lost
or counted twice cannot hide.
"""

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from heliograph.stack import Stack, StackOptions
from heliograph.subscribe import (
    GapFound,
    InvalidFact,
    NotPermitted,
    NumberMissing,
    OtherHistory,
    PositionFile,
    PositionUnreadable,
    Rewound,
    Subscriber,
    Trimmed,
)
from libs.events import Draft, Fact, InvoiceIssued, InvoicePaid, Position, TimeReached, encode
from libs.events.positions import fact_hash
from libs.eventstore import (
    Frame,
    JetStreamStore,
    MemoryServer,
    MemoryStore,
    Stored,
    StreamSpec,
)

ROOT = Path(__file__).parents[2]
DEPLOYMENT, STREAM = "demo", "BILLING_pilot"
NOW = datetime(2016, 8, 2, 6, tzinfo=UTC)
COUNT = 45
KILLS = 3


def invoice(number: int, agreement: str = "home") -> InvoiceIssued:
    return InvoiceIssued(
        invoice=f"{agreement}-{number}",
        number=number,
        agreement=agreement,
        recipient="household",
        asset="USD",
        period_from=NOW,
        period_until=NOW,
        due_at=NOW,
        readings=(),
        rated_intervals=0,
        unrated_intervals=0,
        generated_wh=0,
        consumed_wh=0,
        lines=(),
        total_stroops=2 ** (number - 1),
    )


def paid(number: int) -> InvoicePaid:
    return InvoicePaid(
        invoice=f"home-{number}", number=number, agreement="home", total_stroops=2 ** (number - 1)
    )


class Pen:
    """Writes the facts of one stream as its writer would."""

    def __init__(self, deployment: str = DEPLOYMENT) -> None:
        self.deployment = deployment
        self.last = 0
        self.numbers: dict[str, int] = {}

    def frame(self, key: str, fact: Fact) -> Frame:
        self.last += 1
        n = self.numbers[key] = self.numbers.get(key, 0) + 1
        draft = Draft(key, fact, f"{key}.{n}", NOW)
        subject, data = encode(
            draft, deployment=self.deployment, stream=STREAM, n=n, cause="- test", seen=""
        )
        return Frame(subject, data)

    def month(self, number: int) -> list[Frame]:
        """An invoice, a reached time and a payment: three positions, one of them an invoice."""
        return [
            self.frame("home", invoice(number)),
            self.frame("time", TimeReached(to=NOW)),
            self.frame("home", paid(number)),
        ]


# The client, on a played store.


@pytest.fixture
def server() -> MemoryServer:
    played = MemoryServer()
    played.declare(StreamSpec(name=STREAM, subjects=("billing.pilot.*.*",)))
    return played


async def fill(server: MemoryServer, frames: Sequence[Frame]) -> None:
    store = MemoryStore(server)
    await store.append(STREAM, frames, expected=await store.end(STREAM))


def subscriber(server: MemoryServer) -> Subscriber:
    return Subscriber(MemoryStore(server), deployment=DEPLOYMENT)


async def sequences(
    server: MemoryServer,
    *,
    after: Position | int = 0,
    name: str | Sequence[str] = (),
    key: str | None = None,
) -> list[int]:
    until = await MemoryStore(server).end(STREAM)
    facts = subscriber(server).facts(STREAM, after=after, until=until, name=name, key=key)
    async with aclosing(facts):
        return [recorded.sequence async for recorded in facts]


async def test_facts_come_in_order_and_typed(server: MemoryServer) -> None:
    await fill(server, Pen().month(1))
    facts = [each async for each in subscriber(server).facts(STREAM, until=3)]
    assert [each.sequence for each in facts] == [1, 2, 3]
    assert facts[0].fact == invoice(1)
    assert await sequences(server, after=facts[1].position) == [3]


async def test_only_what_was_asked_for_is_given(server: MemoryServer) -> None:
    pen = Pen()
    await fill(server, [*pen.month(1), pen.frame("other", invoice(2, "other")), *pen.month(3)])
    assert await sequences(server, name="InvoiceIssued") == [1, 4, 5]
    assert await sequences(server, name=("InvoiceIssued", "InvoicePaid")) == [1, 3, 4, 5, 7]
    assert await sequences(server, key="home") == [1, 3, 5, 7]
    assert await sequences(server, key="time") == [2, 6]
    assert await sequences(server, key="home", name="InvoicePaid") == [3, 7]


@pytest.mark.parametrize("name", ["InvoiceIsued", "ReadingRecorded"])
async def test_a_name_that_can_never_come_is_refused(server: MemoryServer, name: str) -> None:
    with pytest.raises(ValueError, match=f"no fact '{name}' stands in BILLING_pilot"):
        await sequences(server, name=name)


async def test_another_fact_at_the_kept_position_is_named_with_the_kept_one(
    server: MemoryServer,
) -> None:
    await fill(server, Pen().month(1))
    other = Position(STREAM, 2, fact_hash(b"another fact"))
    with pytest.raises(OtherHistory) as caught:
        await sequences(server, after=other)
    stored = await MemoryStore(server).get(STREAM, 2)
    assert stored is not None
    found = Position(STREAM, 2, fact_hash(stored.data))
    assert (caught.value.kept, caught.value.found) == (other, found)
    assert str(other) in str(caught.value)
    assert str(found) in str(caught.value)


async def test_a_trimmed_position_is_answered_with_the_first_kept_one(
    server: MemoryServer,
) -> None:
    await fill(server, Pen().month(1) + Pen().month(2))
    kept = [each async for each in subscriber(server).facts(STREAM, until=2)][-1].position
    server.trim(STREAM, 4)
    with pytest.raises(Trimmed) as caught:
        await sequences(server, after=kept)
    assert caught.value.first == 5
    assert "first kept one is 5" in str(caught.value)
    with pytest.raises(Trimmed):
        await sequences(server)
    assert await sequences(server, after=caught.value.first - 1) == [5, 6]


async def test_a_stream_that_ends_before_the_kept_position_stops(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.subscribe.LAGGING_LEADER_S", 0.2)
    await fill(server, Pen().month(1))
    kept = [each async for each in subscriber(server).facts(STREAM, until=3)][-1].position
    server.rewind(STREAM, 1)
    with pytest.raises(Rewound):
        await sequences(server, after=kept)


async def test_a_lost_fact_stops_behind_the_last_whole_one(server: MemoryServer) -> None:
    await fill(server, Pen().month(1) + Pen().month(2))
    server.hide(STREAM, 5)
    facts = subscriber(server).facts(STREAM)
    assert [(await anext(facts)).sequence for _ in range(4)] == [1, 2, 3, 4]
    with pytest.raises(GapFound) as caught:
        await anext(facts)
    assert caught.value.missing == 5
    with pytest.raises(GapFound):
        await sequences(server, after=Position(STREAM, 5, fact_hash(b"was there once")))


class Leaky(MemoryStore):
    """A store that does not say that it left something out."""

    async def read(
        self, stream: str, *, after: int = 0, until: int | None = None, subject: str | None = None
    ) -> AsyncGenerator[list[Stored], None]:
        async for batch in super().read(stream, after=after, until=until, subject=subject):
            yield [stored for stored in batch if stored.sequence != 2]


async def test_the_client_counts_for_itself(server: MemoryServer) -> None:
    await fill(server, Pen().month(1))
    facts = Subscriber(Leaky(server), deployment=DEPLOYMENT).facts(STREAM, name="InvoicePaid")
    with pytest.raises(GapFound, match="position 2 of BILLING_pilot is missing"):
        await anext(facts)


async def test_a_lost_fact_of_one_key_is_seen_by_its_number(server: MemoryServer) -> None:
    pen = Pen()
    await fill(server, pen.month(1) + pen.month(2))
    server.hide(STREAM, 4)
    with pytest.raises(NumberMissing) as caught:
        await sequences(server, key="home")
    assert (caught.value.wanted, caught.value.found) == (3, 4)
    assert caught.value.position.sequence == 6


async def test_a_fact_that_does_not_belong_there_stops(server: MemoryServer) -> None:
    await fill(server, Pen().month(1) + Pen("elsewhere").month(2))
    with pytest.raises(InvalidFact, match=r"^BILLING_pilot:4: source '/elsewhere/BILLING_pilot'"):
        await sequences(server)


async def test_a_fact_of_a_newer_release_stops_only_those_who_ask_for_it(
    server: MemoryServer,
) -> None:
    pen = Pen()
    newer = Frame("billing.pilot.home.NewsTold", b'{"type":"heliograph.NewsTold.v1","n":3}')
    await fill(server, [*pen.month(1), newer])
    pen.numbers["home"] = 3
    await fill(server, pen.month(2))
    assert await sequences(server, name="InvoiceIssued") == [1, 5]
    assert await sequences(server, name="InvoiceIssued", key="home") == [1, 5]
    with pytest.raises(InvalidFact, match="BILLING_pilot:4: no fact 'NewsTold'"):
        await sequences(server)


# The file that keeps a position.


def test_a_kept_position_is_there_after_a_start(tmp_path: Path) -> None:
    kept = PositionFile(tmp_path / "positions", STREAM)
    assert (kept.position, kept.result) == (Position.start(STREAM), None)
    place = Position(STREAM, 7, "a" * 32)
    kept.keep(place, {"household": 12})
    again = PositionFile(tmp_path / "positions", STREAM)
    assert (again.position, again.result) == (place, {"household": 12})
    assert [path.name for path in (tmp_path / "positions").iterdir()] == ["BILLING_pilot.json"]


def test_a_position_never_goes_back_nor_to_another_stream(tmp_path: Path) -> None:
    kept = PositionFile(tmp_path, STREAM)
    kept.keep(Position(STREAM, 7, "a" * 32))
    for wrong in (Position(STREAM, 6, "f" * 32), Position("LEDGER_pilot", 8, "a" * 32)):
        with pytest.raises(ValueError, match="does not follow"):
            kept.keep(wrong)
    assert PositionFile(tmp_path, STREAM).position.sequence == 7


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = PositionFile(tmp_path, STREAM)
    kept.keep(Position(STREAM, 7, "a" * 32), [1])

    def full(_: int) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        kept.keep(Position(STREAM, 8, "b" * 32), [1, 2])
    assert (kept.position.sequence, kept.result) == (7, [1])
    assert PositionFile(tmp_path, STREAM).result == [1]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"position": "BILLING_pilot:7", "result": null}',
        f'{{"position": "LEDGER_pilot:7:{"a" * 32}", "result": null}}',
    ],
)
def test_a_damaged_file_is_never_taken_for_the_start(tmp_path: Path, text: str) -> None:
    (tmp_path / f"{STREAM}.json").write_text(text)
    with pytest.raises(PositionUnreadable, match=STREAM):
        PositionFile(tmp_path, STREAM)


# The examples, as processes, against a real broker.


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[Stack]:
    options = StackOptions(
        data=folder, services=(), infrastructure=("broker",), deployment=DEPLOYMENT
    )
    async with Stack(options) as stack:
        yield stack


@asynccontextmanager
async def writing(stack: Stack) -> AsyncIterator[JetStreamStore]:
    password = stack.credentials.passwords["billing"]
    store = await JetStreamStore.connect(
        stack.urls.nats, "billing", password, api_prefix="FACTS.API"
    )
    try:
        yield store
    finally:
        await store.close()


class Example:
    """One of the examples, started and killed as often as wanted."""

    def __init__(self, script: str, stack: Stack, folder: Path) -> None:
        self.script, self.folder = script, folder
        self.output = folder / f"{script}.out"
        self.env = os.environ | {
            "NATS_URL": stack.urls.nats,
            "NATS_PASSWORD": stack.credentials.passwords["auditor"],
            "DEPLOYMENT": DEPLOYMENT,
            "POSITIONS": str(folder / "positions"),
            "PYTHONPATH": str(ROOT),
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, **more: str) -> None:
        with self.output.open("ab") as out, (self.folder / "errors").open("ab") as errors:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                str(ROOT / "examples" / self.script),
                stdout=out,
                stderr=errors,
                env=self.env | more,
                cwd=self.folder,
            )

    async def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    def lines(self) -> list[str]:
        """What was printed, without a line that a kill cut off."""
        text = self.output.read_text() if self.output.exists() else ""
        return text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]

    def handled(self) -> int:
        """How far the kept position is."""
        return PositionFile(self.folder / "positions", STREAM).position.sequence


async def until(condition: Callable[[], bool], what: Callable[[], object]) -> None:
    try:
        async with asyncio.timeout(30):
            while not condition():  # noqa: ASYNC110 - a file of another process is looked at
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(what()) from None


async def append_all(store: JetStreamStore, pen: Pen) -> None:
    for number in range(1, COUNT + 1):
        expected = pen.last
        await store.append(STREAM, pen.month(number), expected=expected)
        await asyncio.sleep(0.05)


async def test_killed_example_and_killed_broker_count_every_invoice_once(tmp_path: Path) -> None:
    seed = int(os.environ.get("HELIOGRAPH_TEST_SEED", "0"))
    chance = random.Random(seed)
    async with broker(tmp_path / "stack") as stack, writing(stack) as store:
        ours = Example("subscribe.py", stack, tmp_path)
        plain = Example("subscribe_plain.py", stack, tmp_path)
        await ours.start()
        await plain.start()
        appending = asyncio.create_task(append_all(store, Pen()))
        await until(lambda: ours.handled() > 0, (tmp_path / "errors").read_text)
        stack.kill("broker")
        for _ in range(KILLS):
            reached = ours.handled()
            await until(lambda reached=reached: ours.handled() > reached, lambda: f"seed {seed}")  # type: ignore[misc]
            await asyncio.sleep(chance.uniform(0, 0.1))
            await ours.kill()
            await ours.start()
        await appending
        last = 3 * (COUNT - 1) + 1
        await until(lambda: ours.handled() == last, lambda: (ours.handled(), f"seed {seed}"))
        await until(lambda: len(plain.lines()) >= 3 * COUNT, lambda: plain.lines()[-1:])
        await ours.kill()
        await plain.kill()
        kept = PositionFile(tmp_path / "positions", STREAM)
        assert kept.result == {"household": 2**COUNT - 1}, f"seed {seed}"
        assert stack.restarts["broker"] == 1
        printed = [int(line.split()[0]) for line in ours.lines()]
        assert printed == sorted(set(printed))
        async with Subscriber.connect(
            url=stack.urls.nats,
            user="auditor",
            password=stack.credentials.passwords["auditor"],
            deployment=DEPLOYMENT,
        ) as subscriber:
            everything = [
                f"{each.position} {each.envelope.type}"
                async for each in subscriber.facts(STREAM, until=3 * COUNT)
            ]
            assert plain.lines() == everything
            of_key = [
                each.sequence
                async for each in subscriber.facts(STREAM, until=3 * COUNT, key="time")
            ]
            assert of_key == list(range(2, 3 * COUNT, 3))
            with pytest.raises(NotPermitted):
                await subscriber.end("INTAKE")


def test_the_page_shows_the_examples_that_were_tested() -> None:
    page = (ROOT / "docs" / "subscribe.md").read_text()
    scripts = (ROOT / "examples").glob("subscribe*.py")
    for script in sorted([*scripts, ROOT / "examples" / "balance.py"]):
        assert f"```python\n{script.read_text()}```\n" in page, script.name


def test_a_kept_file_is_plain_json(tmp_path: Path) -> None:
    PositionFile(tmp_path, STREAM).keep(Position(STREAM, 7, "a" * 32), 1)
    document = json.loads((tmp_path / "BILLING_pilot.json").read_text())
    assert document == {"position": f"BILLING_pilot:7:{'a' * 32}", "result": 1}
