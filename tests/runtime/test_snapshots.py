"""Snapshots of a writer: used when everything fits, never otherwise, and never in anybody's way."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from libs.events.quantities import format_instant, parse_instant
from libs.rules.dumps import Dumped, Loaded
from libs.runtime.continuity import Continuity
from libs.runtime.failures import BrokenLaw
from libs.runtime.snapshots import Snapshots, code_hash
from libs.runtime.writer import Writer
from tests.histories import DEPLOYMENT
from tests.runtime.test_writer import (
    MEMBERS,
    OWN,
    PRICES,
    Client,
    Tally,
    World,
    depositing,
    running,
)

EVERY = 4


class Kept(Tally):
    """The rules of the writer's tests, with a snapshot of their state."""

    spoils = False

    def dump(self) -> Dumped:
        wallets, times, reached = dict(self.wallets), tuple(self.times), tuple(self.reached)
        return {
            "wallets": (list(each) for each in wallets.items()),
            "times": ([format_instant(time), cause] for time, cause in times),
            "reached": map(format_instant, reached),
        }

    def load(self, dumped: Loaded) -> None:
        if self.spoils:
            raise ValueError("a bug")
        self.wallets = Counter(dict(dumped["wallets"]))
        self.times = [(parse_instant(time), cause) for time, cause in dumped["times"]]
        self.reached = set(map(parse_instant, dumped["reached"]))

    @property
    def state(self) -> object:
        return self.wallets, self.times, self.reached


class Place:
    """A world whose writer keeps snapshots in a folder."""

    def __init__(self, folder: Path, every: int = EVERY) -> None:
        self.world = World()
        self.folder, self.every = folder, every
        self.rules = Kept()

    def fresh(self, code: str = "code", inputs: tuple[str, ...] = (PRICES, MEMBERS)) -> Writer:
        """The writer of a process that was started anew."""
        self.rules, self.world.client = Kept(), Client(self.world.server)
        self.world.rules = self.rules
        snapshots = Snapshots(
            url=self.folder.as_uri(), deployment=DEPLOYMENT, code=code, every=self.every
        )
        return self.world.writer(inputs=inputs, continuity=Continuity(snapshots=snapshots))

    def files(self) -> list[Path]:
        return sorted((self.folder / DEPLOYMENT / OWN).glob("*"))

    async def live(self, count: int, name: str = "a") -> None:
        """Run a process for so many deposits, and stop it."""
        async with running(self.fresh()) as process:
            for number in range(count):
                await process.writer.submit(depositing("ines", 1, f"{name}.{number}"))

    async def start(self, **changes: Any) -> tuple[tuple[object, int], list[dict[str, Any]]]:
        """Start anew; give the state and what the log says of snapshots."""
        with capture_logs() as logs:
            async with running(self.fresh(**changes)):
                state = self.rules.state
                folded = len(self.rules.folded)
        said = [dict(each) for each in logs if each["event"] in SAID]
        return (state, folded), said


SAID = {"snapshot-used", "snapshot-not-used", "snapshot-none"}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "snapshots")


def replayed(place: Place) -> tuple[object, int]:
    """What a replay of everything gives, and how many facts it folds."""
    rules = Kept()
    facts = [each for stream in (OWN, PRICES, MEMBERS) for each in place.world.facts(stream)]
    for each in facts:
        rules.evolve(each)
    return rules.state, len(facts)


async def test_a_start_folds_only_what_came_after_the_snapshot(place: Place) -> None:
    await place.world.advance(1, 2)
    await place.world.register("ines", "ivo")
    await place.live(10)
    await place.world.advance(3)
    (state, folded), said = await place.start()

    whole, count = replayed(place)
    assert state == whole
    assert folded == 1 + 1 < count  # the hour, and what was said of it
    assert [each["event"] for each in said] == ["snapshot-used"]


async def test_numbers_and_positions_go_on_after_a_snapshot(place: Place) -> None:
    await place.live(5)
    await place.live(5, "b")

    facts = place.world.facts()
    assert [each.envelope.n for each in facts] == list(range(1, 11))
    (_, folded), _ = await place.start()
    assert folded == 0


async def test_a_snapshot_is_written_each_so_many_facts_and_at_a_stop(place: Place) -> None:
    async with running(place.fresh()) as process:
        for number in range(EVERY + 1):
            await process.writer.submit(depositing("ines", 1, f"a.{number}"))
        async with asyncio.timeout(20):
            while not place.files():  # noqa: ASYNC110 - a thread writes it
                await asyncio.sleep(0.01)
        first = place.files()
        await process.writer.submit(depositing("ines", 1, "z"))

    assert len(first) == 1
    assert place.files()[-1].name == f"{EVERY + 2:016d}.jsonl"
    assert not [each for each in place.files() if each.suffix != ".jsonl"]


async def test_the_newest_two_are_kept(place: Place) -> None:
    for number in range(5):
        await place.live(3, f"r{number}")

    assert [each.name for each in place.files()] == [f"{n:016d}.jsonl" for n in (12, 15)]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def without_a_line(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([lines[0], *lines[2:]]))


def flipped(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b'"ines",', b'"inez",', 1))


def with_head(file: Path, **changes: Any) -> None:
    """Change the head, and make the hash right again."""
    head, *rest = file.read_bytes().splitlines(keepends=True)
    changed = json.dumps({**json.loads(head), **changes}).encode() + b"\n"
    body = b"".join([changed, *rest[:-1]])
    file.write_bytes(
        body + json.dumps({"sha256": hashlib.sha256(body).hexdigest()}).encode() + b"\n"
    )


def of_another_fact(file: Path) -> None:
    with_head(file, own=f"{OWN}:8:{'1' * 32}")


def of_another_input(file: Path) -> None:
    with_head(file, inputs=f"{MEMBERS}:1:{'1' * 32} {PRICES}:0:{'0' * 32}")


def beyond_the_end(file: Path) -> None:
    with_head(file, own=f"{OWN}:99:{'1' * 32}")


def of_another_format(file: Path) -> None:
    with_head(file, format=0)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (cut, "its end is missing"),
        (emptied, "its end is missing"),
        (without_a_line, "its bytes are not as they were written"),
        (flipped, "its bytes are not as they were written"),
        (of_another_fact, "another fact stands at LEDGER_valley:8"),
        (of_another_input, "another fact stands at MEMBERS:1"),
        (beyond_the_end, "LEDGER_valley has nothing at 99"),
        (of_another_format, "its format is 0, not 1"),
    ],
)
async def test_a_snapshot_that_does_not_fit_is_not_used_and_the_log_says_why(
    place: Place, spoil: Callable[[Path], None], reason: str
) -> None:
    await place.world.register("ines")
    await place.live(8)
    spoil(place.files()[-1])
    for older in place.files()[:-1]:
        older.unlink()
    found, said = await place.start()

    assert found == replayed(place)
    assert [each["event"] for each in said] == ["snapshot-not-used", "snapshot-none"]
    assert said[0]["reason"].startswith(reason)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"code": "other"}, "it was folded by other code"),
        ({"inputs": (PRICES,)}, "it followed MEMBERS, PRICES"),
    ],
)
async def test_a_snapshot_of_other_code_or_other_inputs_is_not_used(
    place: Place, changes: dict[str, Any], reason: str
) -> None:
    await place.live(8)
    (_, folded), said = await place.start(**changes)
    assert folded == 8
    assert said[0]["reason"] == reason


async def test_an_older_snapshot_serves_when_the_newest_is_broken(place: Place) -> None:
    await place.live(4)
    await place.live(4, "b")
    cut(place.files()[-1])
    (_, folded), said = await place.start()

    assert folded == 4
    assert [each["event"] for each in said] == ["snapshot-not-used", "snapshot-used"]


async def test_a_snapshot_of_a_history_that_is_no_more_does_not_stay(place: Place) -> None:
    await place.live(4)
    lost = place.files()[-1].with_name(f"{99:016d}.jsonl")
    lost.write_bytes(place.files()[-1].read_bytes())
    with_head(lost, own=f"{OWN}:99:{'1' * 32}")
    await place.live(4, "b")

    assert [each.name for each in place.files()] == [f"{n:016d}.jsonl" for n in (4, 8)]


async def test_rows_that_cannot_be_loaded_end_one_start_and_not_the_next(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.live(3)
    monkeypatch.setattr(Kept, "spoils", True)
    writer = place.fresh()
    with pytest.raises(BrokenLaw, match="a bug"):
        await writer.run(asyncio.Event())
    assert place.files() == []
    found, _ = await place.start()
    assert found == replayed(place)


async def test_a_place_that_cannot_be_written_stops_nobody(place: Place) -> None:
    writer = place.fresh()
    place.folder.rmdir()
    place.folder.write_text("no folder")
    with capture_logs() as logs:
        async with running(writer) as process:
            for number in range(2 * EVERY):
                await process.writer.submit(depositing("ines", 1, f"a.{number}"))

    assert place.rules.wallets == {"ines": 2 * EVERY}
    assert "snapshot-not-written" in {each["event"] for each in logs}


async def test_rules_without_a_snapshot_are_replayed(tmp_path: Path) -> None:
    place = Place(tmp_path / "snapshots")
    snapshots = Snapshots(url=place.folder.as_uri(), deployment=DEPLOYMENT, code="c", every=1)
    for _ in range(2):
        place.world.rules = Tally()
        writer = place.world.writer(continuity=Continuity(snapshots=snapshots))
        async with running(writer) as process:
            await process.writer.submit(depositing("ines", 1, f"a.{writer.position.sequence}"))

    assert place.world.rules.wallets == {"ines": 2}
    assert place.files() == []


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    runs=st.lists(st.integers(0, 7), min_size=1, max_size=4),
    every=st.integers(1, 6),
    hours=st.integers(0, 3),
)
def test_whatever_was_run_before_a_start_with_snapshots_equals_a_replay(
    tmp_path_factory: pytest.TempPathFactory, runs: list[int], every: int, hours: int
) -> None:
    async def story() -> None:
        place = Place(tmp_path_factory.mktemp("snapshots"), every)
        for turn, count in enumerate(runs):
            await place.live(count, f"r{turn}")
            await place.world.advance(*(turn * 10 + hour + 1 for hour in range(hours)))
        (state, _), _ = await place.start()
        whole, _ = replayed(place)
        assert state == whole

    asyncio.run(story())


def test_the_hash_of_code_changes_with_any_file(tmp_path: Path, code_path: Path) -> None:
    (code_path / "rules.py").write_text("x = 1\n")
    before = code_hash("hashed_code")
    (code_path / "note.txt").write_text("no code")
    assert code_hash("hashed_code") == before
    (code_path / "rules.py").write_text("x = 2\n")
    changed = code_hash("hashed_code")
    (code_path / "rules.py").rename(code_path / "other.py")
    assert len({before, changed, code_hash("hashed_code")}) == 3
    with pytest.raises(ValueError, match="no package"):
        code_hash("no_such_package")


@pytest.fixture
def code_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "hashed_code"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    return folder
